//! Who may write: a message of somebody unknown starts nothing. It is noted in the ledger and, where strangers may ask
//! to be let in, answered with a code that only whoever runs the host can use.

use std::sync::PoisonError;

use super::{Gateway, Stored};
use crate::message::{Delivery, DeliveryContent, Inbound, Sender, new_id, now};
use crate::store::{Contact, LedgerLine, Pairing, StoreError, Writing};

/// Whose messages a channel's instance takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Contacts {
    /// Everybody's.
    Open,
    /// Of these, and of those whom the operator let in.
    Allow(Vec<String>),
    /// The same, and a stranger gets a code for the operator.
    Pairing(Vec<String>),
}

/// What the gate needs to know of the instance.
pub(super) struct Door {
    pub(super) instance: String,
    pub(super) plugin: String,
    pub(super) digest: String,
    pub(super) contacts: Contacts,
}

impl Door {
    /// Whether this sender is known.
    pub(super) fn knows(&self, tx: &Writing<'_>, sender: &Sender) -> Result<bool, StoreError> {
        Ok(match &self.contacts {
            Contacts::Open => true,
            Contacts::Allow(listed) | Contacts::Pairing(listed) => {
                listed.contains(&sender.id) || tx.contact(&self.instance, &sender.id)?.is_some()
            }
        })
    }

    /// A message of somebody unknown.
    pub(super) fn stranger(
        &self,
        tx: &mut Writing<'_>,
        inbound: &Inbound,
        stored: &mut Stored,
    ) -> Result<(), StoreError> {
        self.refused(tx, &inbound.sender, "message")?;
        if !matches!(self.contacts, Contacts::Pairing(_)) {
            return Ok(());
        }
        let (sender, handle) = (&inbound.sender, inbound.handle.clone());
        let Some(pairing) = tx.pairing_open(&self.instance, &inbound.conversation, sender, handle, now())? else {
            return Ok(());
        };
        tracing::warn!(
            instance = self.instance,
            "somebody unknown wrote: {} ({}). To let them in: openpista-host channel pair {}",
            sender.name,
            sender.id,
            pairing.code
        );
        let text = format!(
            "This is somebody's own agent, and it does not know you yet. If it is yours, run this on its machine within \
             the hour, and write again:\n\nopenpista-host channel pair {}",
            pairing.code
        );
        tell(tx, &pairing, text, stored)
    }

    /// Notes what somebody unknown tried.
    pub(super) fn refused(&self, tx: &mut Writing<'_>, sender: &Sender, what: &str) -> Result<(), StoreError> {
        tx.ledger_append(&LedgerLine {
            at: now(),
            plugin: self.plugin.clone(),
            instance: self.instance.clone(),
            digest: self.digest.clone(),
            session: None,
            turn: None,
            operation: "channel.receive".into(),
            capability: "gateway".into(),
            what: format!("{what} of somebody unknown: {}", sender.id),
            allowed: false,
            outcome: crate::capability::ledger::DENIED.into(),
            ..LedgerLine::default()
        })
    }
}

/// A notice where the stranger wrote, in the same transaction.
fn tell(tx: &mut Writing<'_>, pairing: &Pairing, text: String, stored: &mut Stored) -> Result<(), StoreError> {
    let delivery = Delivery {
        id: new_id(),
        instance: pairing.instance.clone(),
        conversation: pairing.conversation.clone(),
        turn: None,
        handle: pairing.handle.clone(),
        content: DeliveryContent::Notice(text),
    };
    tx.outbox_enqueue(&delivery, now())?;
    stored.deliveries.push(delivery);
    Ok(())
}

impl Gateway {
    /// How messages of an instance come in.
    pub(super) fn door(&self, instance: &str) -> Door {
        let opened = self.opened(instance);
        let unset = if opened.preferences.signed_in { Contacts::Open } else { Contacts::Pairing(Vec::new()) };
        let options = self.parts.options.get(instance);
        let plugin = self.channel(instance).map(|channel| channel.instance.plugin.manifest.name.clone());
        Door {
            instance: instance.into(),
            plugin: plugin.unwrap_or_default(),
            digest: opened.digest,
            contacts: options.and_then(|options| options.contacts.clone()).unwrap_or(unset),
        }
    }

    /// The operator typed a code. None: there is none like it.
    pub async fn pair(&self, code: &str) -> Result<Option<Pairing>, StoreError> {
        // As people type it.
        let code: String = code.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_uppercase()).collect();
        let change = move |tx: &mut Writing<'_>| {
            let mut stored = Stored::default();
            let pairing = tx.pairing_take(&code, now())?;
            if let Some(pairing) = &pairing {
                tell(tx, pairing, "You are known here now. What can I do for you?".into(), &mut stored)?;
            }
            Ok((pairing, stored))
        };
        let (pairing, stored) = self.parts.store.write(change).await?;
        self.execute(stored);
        Ok(pairing)
    }

    /// The operator lets somebody in.
    pub async fn let_in(&self, instance: &str, sender: &str) -> Result<Contact, StoreError> {
        let contact = Contact { id: sender.into(), since: now(), name: String::new() };
        let (instance, added) = (instance.to_string(), contact.clone());
        self.parts.store.write(move |tx| tx.contact_add(&instance, &added)).await?;
        Ok(contact)
    }

    /// Closes a channel with its sockets and opens it again.
    pub async fn restart(&self, instance: &str) {
        self.parts.hub.close_instance(instance).await;
        self.channels.write().unwrap_or_else(PoisonError::into_inner).remove(instance);
        self.reconcile().await;
    }

    /// The operator shows somebody out; whether they were in.
    pub async fn forget(&self, instance: &str, sender: &str) -> Result<bool, StoreError> {
        let (instance, sender) = (instance.to_string(), sender.to_string());
        self.parts.store.write(move |tx| tx.contact_remove(&instance, &sender)).await
    }
}
