//! What people wrote and what is not answered yet, in the order of arrival for each conversation, with the journal of
//! the turns that work on it.
//!
//! A message is taken once: its id is remembered for 30 days, longer than any messenger sends again. It stays in the
//! queue while its turn runs and goes with `inbox_finish`, which belongs into the closure that stores the turn's end.
//! After a kill, `inbox_conversations` says where there is work and `turns_running` what was begun.

use redb::TableDefinition;
use serde::{Deserialize, Serialize};

use super::aging::Aging;
use super::error::StoreError;
use super::queues;
use super::transaction::{Reading, Writing};
use crate::message::{Inbound, Timestamp};

pub(super) const INBOX: TableDefinition<(&str, &str, u64), &[u8]> = TableDefinition::new("inbox");
/// The same key. Apart from the message, because it changes with each round and a message can have megabytes.
pub(super) const TURNS: TableDefinition<(&str, &str, u64), &[u8]> = TableDefinition::new("inbox.turns");
pub(super) const SEEN: Aging =
    Aging { records: TableDefinition::new("inbox.seen"), by_time: TableDefinition::new("inbox.seen.by-time") };

/// The place of a message in the inbox.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct InboxKey {
    /// The channel instance.
    pub instance: String,
    /// The conversation.
    pub conversation: String,
    /// Grows with each arrival, over all conversations.
    pub number: u64,
}

impl InboxKey {
    fn parts(&self) -> (&str, &str, u64) {
        (&self.instance, &self.conversation, self.number)
    }
}

/// What became of a message that came in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Accepted {
    /// It waits in the queue.
    New(InboxKey),
    /// It was taken before: nothing was done.
    Duplicate,
}

/// A message in the queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InboxEntry {
    /// Its place.
    pub key: InboxKey,
    /// What was written.
    pub inbound: Inbound,
    /// When it was stored.
    pub accepted: Timestamp,
    /// The turn that works on it; `None` while it waits.
    pub turn: Option<Turn>,
}

/// The journal of a running turn.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Turn {
    /// From `new_id`.
    pub id: String,
    /// Where it runs.
    pub session: String,
    /// When it began.
    pub started: Timestamp,
    /// Model calls so far.
    #[serde(default)]
    pub round: u32,
    /// Somebody stopped it.
    #[serde(default)]
    pub cancelled: bool,
}

#[derive(Serialize, Deserialize)]
struct Waiting {
    inbound: Inbound,
    accepted: Timestamp,
}

impl Reading<'_> {
    /// The first message of a conversation that is not finished.
    pub fn inbox_next(&self, instance: &str, conversation: &str) -> Result<Option<InboxEntry>, StoreError> {
        let first = queues::first::<Waiting>(self, INBOX, instance, conversation)?;
        first.map_or(Ok(None), |(number, waiting)| {
            let key = InboxKey { instance: instance.into(), conversation: conversation.into(), number };
            Ok(Some(self.entry(key, waiting)?))
        })
    }

    /// A message that is in the queue.
    pub fn inbox_entry(&self, key: &InboxKey) -> Result<Option<InboxEntry>, StoreError> {
        let waiting: Option<Waiting> = self.record(INBOX, key.parts())?;
        waiting.map(|waiting| self.entry(key.clone(), waiting)).transpose()
    }

    fn entry(&self, key: InboxKey, waiting: Waiting) -> Result<InboxEntry, StoreError> {
        let turn = self.turn(&key)?;
        Ok(InboxEntry { key, inbound: waiting.inbound, accepted: waiting.accepted, turn })
    }

    /// Instance and conversation of everything that is not finished.
    pub fn inbox_conversations(&self) -> Result<Vec<(String, String)>, StoreError> {
        queues::conversations(self, INBOX)
    }

    /// The turn that works on a message.
    pub fn turn(&self, key: &InboxKey) -> Result<Option<Turn>, StoreError> {
        self.record(TURNS, key.parts())
    }

    /// All turns that were begun and not finished.
    pub fn turns_running(&self) -> Result<Vec<(InboxKey, Turn)>, StoreError> {
        queues::all(self, TURNS, None, usize::MAX).map(|all| {
            let with_key =
                |((instance, conversation, number), turn)| (InboxKey { instance, conversation, number }, turn);
            all.into_iter().map(with_key).collect()
        })
    }
}

impl Writing<'_> {
    /// Takes a message in, once.
    pub fn inbox_accept(&mut self, inbound: &Inbound, at: Timestamp) -> Result<Accepted, StoreError> {
        if SEEN.has(self, &inbound.instance, &inbound.id)? {
            return Ok(Accepted::Duplicate);
        }
        let number = self.next_number()?;
        let key = InboxKey { instance: inbound.instance.clone(), conversation: inbound.conversation.clone(), number };
        SEEN.put(self, &inbound.instance, &inbound.id, &[], at)?;
        self.put(INBOX, key.parts(), &Waiting { inbound: inbound.clone(), accepted: at })?;
        Ok(Accepted::New(key))
    }

    /// Notes that a turn works on a message, or how far it is. An error when the message is finished.
    pub fn turn_set(&mut self, key: &InboxKey, turn: &Turn) -> Result<(), StoreError> {
        if self.view(INBOX)?.get(key.parts())?.is_none() {
            let id = format!("{} of {} in {}", key.number, key.conversation, key.instance);
            return Err(StoreError::NotFound { what: "inbox entry", id });
        }
        self.put(TURNS, key.parts(), turn)
    }

    /// The message is dealt with. Whether it was still there: whoever gets `false` must not answer it again.
    pub fn inbox_finish(&mut self, key: &InboxKey) -> Result<bool, StoreError> {
        self.unset(TURNS, key.parts())?;
        self.unset(INBOX, key.parts())
    }
}
