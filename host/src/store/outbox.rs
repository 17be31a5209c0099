//! What channels shall show and have not shown yet, in order for each conversation; what could not be delivered; the
//! receipts that let a later delivery of a turn change an earlier one.
//!
//! A delivery is identified by its instance and id: queueing it twice is queueing it once, also after it was delivered.
//! Whoever delivers reads `outbox_of` a conversation, and ends each attempt with `outbox_delivered`, `outbox_failed` or
//! `outbox_give_up`.

use redb::TableDefinition;
use serde::{Deserialize, Serialize};

use super::aging::Aging;
use super::error::StoreError;
use super::queues;
use super::transaction::{Reading, Writing, decode};
use crate::message::{Delivery, DeliveryContent, Timestamp};

pub(super) const OUTBOX: TableDefinition<(&str, &str, u64), &[u8]> = TableDefinition::new("outbox");
/// The same key. Apart from the delivery, because it changes and a delivery can have megabytes.
pub(super) const ATTEMPTS: TableDefinition<(&str, &str, u64), &[u8]> = TableDefinition::new("outbox.attempts");
/// Instance and id to conversation and number, while it is queued.
pub(super) const PLACES: TableDefinition<(&str, &str), (&str, u64)> = TableDefinition::new("outbox.places");
pub(super) const SEEN: Aging =
    Aging { records: TableDefinition::new("outbox.seen"), by_time: TableDefinition::new("outbox.seen.by-time") };
/// Instance and turn to the receipt.
pub(super) const RECEIPTS: Aging =
    Aging { records: TableDefinition::new("receipts"), by_time: TableDefinition::new("receipts.by-time") };
pub(super) const UNDELIVERED: TableDefinition<u64, &[u8]> = TableDefinition::new("outbox.undelivered");

/// This many undelivered ones are kept for people to look at.
const UNDELIVERED_MOST: u64 = 1_000;

/// How the attempts for a delivery went.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Attempts {
    /// Failed ones.
    pub failed: u32,
    /// Not before this time.
    pub next: Timestamp,
    /// What the last one said.
    pub error: String,
}

/// A delivery in the queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Queued {
    /// What is to be shown.
    pub delivery: Delivery,
    /// When it was queued.
    pub queued: Timestamp,
    /// What was tried.
    pub attempts: Attempts,
}

/// A delivery that was given up. The bytes of a file are not kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Undelivered {
    /// The delivery's id.
    pub id: String,
    /// The channel instance.
    pub instance: String,
    /// Where it should have gone.
    pub conversation: String,
    /// Its turn.
    pub turn: Option<String>,
    /// `reply`, `failed`, `notice`, `file`, `ask` or `decided`.
    pub kind: String,
    /// What it said.
    pub text: String,
    /// How often it was tried.
    pub attempts: u32,
    /// Why it was given up.
    pub error: String,
    /// When.
    pub at: Timestamp,
}

#[derive(Serialize, Deserialize)]
struct Waiting {
    delivery: Delivery,
    queued: Timestamp,
}

struct Place {
    instance: String,
    conversation: String,
    number: u64,
}

impl Place {
    fn parts(&self) -> (&str, &str, u64) {
        (&self.instance, &self.conversation, self.number)
    }
}

fn in_words(content: &DeliveryContent) -> (&'static str, String) {
    match content {
        DeliveryContent::Media(media) => ("file", media.name.clone().unwrap_or_else(|| media.mime.clone())),
        DeliveryContent::Reply { text, .. } => ("reply", text.clone()),
        DeliveryContent::Failed(text) => ("failed", text.clone()),
        DeliveryContent::Notice(text) => ("notice", text.clone()),
        DeliveryContent::Ask(approval) => ("ask", approval.summary.clone()),
        DeliveryContent::Decided(approval) => ("decided", approval.summary.clone()),
    }
}

impl Reading<'_> {
    /// A delivery that is in the queue.
    pub fn outbox_entry(&self, instance: &str, id: &str) -> Result<Option<Queued>, StoreError> {
        let Some(place) = self.outbox_place(instance, id)? else {
            return Ok(None);
        };
        let waiting: Option<Waiting> = self.record(OUTBOX, place.parts())?;
        waiting.map(|waiting| self.with_attempts(place.parts(), waiting)).transpose()
    }

    /// Deliveries of a conversation with a number above `after`, with their numbers, in order.
    pub fn outbox_of(
        &self,
        instance: &str,
        conversation: &str,
        after: u64,
        limit: usize,
    ) -> Result<Vec<(u64, Queued)>, StoreError> {
        let page = queues::of::<Waiting>(self, OUTBOX, (instance, conversation, after), limit)?;
        page.into_iter()
            .map(|(number, waiting)| Ok((number, self.with_attempts((instance, conversation, number), waiting)?)))
            .collect()
    }

    /// Instance and conversation of everything that is queued.
    pub fn outbox_conversations(&self) -> Result<Vec<(String, String)>, StoreError> {
        queues::conversations(self, OUTBOX)
    }

    /// What is queued, of one instance or of all.
    pub fn outbox(&self, instance: Option<&str>, limit: usize) -> Result<Vec<Queued>, StoreError> {
        let all = queues::all::<Waiting>(self, OUTBOX, instance, limit)?;
        all.into_iter()
            .map(|((instance, conversation, number), waiting)| {
                self.with_attempts((&instance, &conversation, number), waiting)
            })
            .collect()
    }

    /// How many deliveries are queued in all.
    pub fn outbox_count(&self) -> Result<u64, StoreError> {
        self.view(OUTBOX)?.len()
    }

    /// What was given up, the latest first; of one instance or of all.
    pub fn undelivered(&self, instance: Option<&str>, limit: usize) -> Result<Vec<Undelivered>, StoreError> {
        let mut found = Vec::new();
        for entry in self.view(UNDELIVERED)?.all()?.rev() {
            if found.len() >= limit {
                break;
            }
            let record: Undelivered = decode("outbox.undelivered", entry?.1.value())?;
            if instance.is_none_or(|instance| instance == record.instance) {
                found.push(record);
            }
        }
        Ok(found)
    }

    /// The receipt of a turn's last delivery.
    pub fn receipt(&self, instance: &str, turn: &str) -> Result<Option<String>, StoreError> {
        let bytes = RECEIPTS.get(self, instance, turn)?;
        bytes.map(|bytes| String::from_utf8(bytes).map_err(|error| StoreError::Corrupt(error.to_string()))).transpose()
    }

    fn outbox_place(&self, instance: &str, id: &str) -> Result<Option<Place>, StoreError> {
        let places = self.view(PLACES)?;
        let place = places.get((instance, id))?;
        Ok(place.map(|place| {
            let (conversation, number) = place.value();
            Place { instance: instance.into(), conversation: conversation.into(), number }
        }))
    }

    fn with_attempts(&self, key: (&str, &str, u64), waiting: Waiting) -> Result<Queued, StoreError> {
        let attempts = self.record(ATTEMPTS, key)?.unwrap_or_default();
        Ok(Queued { delivery: waiting.delivery, queued: waiting.queued, attempts })
    }
}

impl Writing<'_> {
    /// Queues a delivery at the end of its conversation; whether it is new.
    pub fn outbox_enqueue(&mut self, delivery: &Delivery, at: Timestamp) -> Result<bool, StoreError> {
        let (instance, id) = (delivery.instance.as_str(), delivery.id.as_str());
        if SEEN.has(self, instance, id)? {
            return Ok(false);
        }
        let number = self.next_number()?;
        SEEN.put(self, instance, id, &[], at)?;
        self.set(PLACES, (instance, id), (delivery.conversation.as_str(), number))?;
        let waiting = Waiting { delivery: delivery.clone(), queued: at };
        self.put(OUTBOX, (instance, delivery.conversation.as_str(), number), &waiting)?;
        Ok(true)
    }

    /// The channel showed it. A receipt is kept for its turn. Whether it was still queued.
    pub fn outbox_delivered(
        &mut self,
        instance: &str,
        id: &str,
        receipt: Option<&str>,
        at: Timestamp,
    ) -> Result<bool, StoreError> {
        let Some(waiting) = self.outbox_take(instance, id)? else {
            return Ok(false);
        };
        if let (Some(turn), Some(receipt)) = (&waiting.delivery.turn, receipt) {
            self.receipt_set(instance, turn, receipt, at)?;
        }
        Ok(true)
    }

    /// An attempt failed; the next one not before `next`. Returns how often it failed, 0 when it is not queued.
    pub fn outbox_failed(&mut self, instance: &str, id: &str, error: &str, next: Timestamp) -> Result<u32, StoreError> {
        let changed = self.outbox_attempts(instance, id, |attempts| {
            attempts.failed = attempts.failed.saturating_add(1);
            attempts.next = next;
            attempts.error = error.into();
        })?;
        Ok(changed.map_or(0, |attempts| attempts.failed))
    }

    /// It can't be delivered: out of the queue, into the list of what was given up. Whether it was queued.
    pub fn outbox_give_up(&mut self, instance: &str, id: &str, error: &str, at: Timestamp) -> Result<bool, StoreError> {
        let Some(Queued { delivery, attempts, .. }) = self.outbox_entry(instance, id)? else {
            return Ok(false);
        };
        self.outbox_take(instance, id)?;
        let (kind, text) = in_words(&delivery.content);
        let record = Undelivered {
            id: delivery.id,
            instance: delivery.instance,
            conversation: delivery.conversation,
            turn: delivery.turn,
            kind: kind.into(),
            text,
            attempts: attempts.failed,
            error: error.into(),
            at,
        };
        let number = self.next_number()?;
        self.put(UNDELIVERED, number, &record)?;
        let mut undelivered = self.table(UNDELIVERED)?;
        while redb::ReadableTableMetadata::len(&undelivered)? > UNDELIVERED_MOST {
            undelivered.pop_first()?;
        }
        Ok(true)
    }

    /// Keeps a receipt for the later deliveries of a turn, over a restart too.
    pub fn receipt_set(&mut self, instance: &str, turn: &str, receipt: &str, at: Timestamp) -> Result<(), StoreError> {
        RECEIPTS.put(self, instance, turn, receipt.as_bytes(), at)
    }

    fn outbox_take(&mut self, instance: &str, id: &str) -> Result<Option<Waiting>, StoreError> {
        let Some(place) = self.outbox_place(instance, id)? else {
            return Ok(None);
        };
        self.unset(PLACES, (instance, id))?;
        self.unset(ATTEMPTS, place.parts())?;
        let mut outbox = self.table(OUTBOX)?;
        let bytes = outbox.remove(place.parts())?;
        bytes.map(|bytes| decode("outbox", bytes.value())).transpose()
    }

    fn outbox_attempts(
        &mut self,
        instance: &str,
        id: &str,
        change: impl FnOnce(&mut Attempts),
    ) -> Result<Option<Attempts>, StoreError> {
        let Some(place) = self.outbox_place(instance, id)? else {
            return Ok(None);
        };
        let mut attempts = self.record(ATTEMPTS, place.parts())?.unwrap_or_default();
        change(&mut attempts);
        self.put(ATTEMPTS, place.parts(), &attempts)?;
        Ok(Some(attempts))
    }
}
