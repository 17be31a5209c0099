//! People who may write to a channel, and strangers who asked to.

use redb::TableDefinition;
use serde::{Deserialize, Serialize};

use super::error::StoreError;
use super::transaction::{Reading, Writing, decode};
use crate::message::{Sender, Timestamp, new_code};

/// Instance and the sender's id.
pub(super) const CONTACTS: TableDefinition<(&str, &str), &[u8]> = TableDefinition::new("contacts");
/// By code.
pub(super) const PAIRINGS: TableDefinition<&str, &[u8]> = TableDefinition::new("contacts.pairings");

/// A code holds for so long.
const PAIRING_MS: u64 = 60 * 60 * 1_000;
/// Strangers of one instance that have a code at the same time: who comes later gets none, so nobody is flooded.
const PAIRINGS_MOST: usize = 20;

/// Somebody who may write.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Contact {
    /// As the channel names them.
    pub id: String,
    /// When the operator let them in.
    pub since: Timestamp,
    /// As they call themselves.
    #[serde(default)]
    pub name: String,
}

/// A stranger who wrote and has a code to show.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pairing {
    /// What the operator types.
    pub code: String,
    /// The channel.
    pub instance: String,
    /// Where they wrote, to be told there.
    pub conversation: String,
    /// Who.
    pub sender: Sender,
    /// From their message.
    pub handle: Option<String>,
    /// The code is good until then.
    pub expires: Timestamp,
}

impl Reading<'_> {
    /// Whether the operator let this sender in.
    pub fn contact(&self, instance: &str, sender: &str) -> Result<Option<Contact>, StoreError> {
        self.record(CONTACTS, (instance, sender))
    }

    /// Instance and contact, in order.
    pub fn contacts(&self) -> Result<Vec<(String, Contact)>, StoreError> {
        let mut all = Vec::new();
        for entry in self.view(CONTACTS)?.all()? {
            let (key, bytes) = entry?;
            all.push((key.value().0.to_string(), decode("contacts", bytes.value())?));
        }
        Ok(all)
    }

    /// Codes that are still good.
    pub fn pairings(&self, now: Timestamp) -> Result<Vec<Pairing>, StoreError> {
        Ok(self.pairings_all()?.into_iter().filter(|pairing| pairing.expires > now).collect())
    }

    fn pairings_all(&self) -> Result<Vec<Pairing>, StoreError> {
        let mut all = Vec::new();
        for entry in self.view(PAIRINGS)?.all()? {
            all.push(decode("contacts.pairings", entry?.1.value())?);
        }
        Ok(all)
    }
}

impl Writing<'_> {
    /// Lets a sender in.
    pub fn contact_add(&mut self, instance: &str, contact: &Contact) -> Result<(), StoreError> {
        self.put(CONTACTS, (instance, contact.id.as_str()), contact)
    }

    /// Whether there was one.
    pub fn contact_remove(&mut self, instance: &str, sender: &str) -> Result<bool, StoreError> {
        self.unset(CONTACTS, (instance, sender))
    }

    /// A code for a stranger. None: they have one already, or too many others have.
    pub fn pairing_open(
        &mut self,
        instance: &str,
        conversation: &str,
        sender: &Sender,
        handle: Option<String>,
        now: Timestamp,
    ) -> Result<Option<Pairing>, StoreError> {
        let (good, over): (Vec<_>, Vec<_>) =
            self.pairings_all()?.into_iter().partition(|pairing| pairing.expires > now);
        for pairing in over {
            self.unset(PAIRINGS, pairing.code.as_str())?;
        }
        let own = || good.iter().filter(|pairing| pairing.instance == instance);
        if own().any(|pairing| pairing.sender.id == sender.id) || own().count() >= PAIRINGS_MOST {
            return Ok(None);
        }
        let pairing = Pairing {
            code: new_code(),
            instance: instance.into(),
            conversation: conversation.into(),
            sender: sender.clone(),
            handle,
            expires: now.saturating_add(PAIRING_MS),
        };
        self.put(PAIRINGS, pairing.code.as_str(), &pairing)?;
        Ok(Some(pairing))
    }

    /// The operator typed a code: its stranger is a contact now. None: there is no such code, or its time is over.
    pub fn pairing_take(&mut self, code: &str, now: Timestamp) -> Result<Option<Pairing>, StoreError> {
        let Some(pairing) = self.record::<_, Pairing>(PAIRINGS, code)?.filter(|pairing| pairing.expires > now) else {
            return Ok(None);
        };
        self.unset(PAIRINGS, code)?;
        let contact = Contact { id: pairing.sender.id.clone(), since: now, name: pairing.sender.name.clone() };
        self.contact_add(&pairing.instance, &contact)?;
        Ok(Some(pairing))
    }
}
