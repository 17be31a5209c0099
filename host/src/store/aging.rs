//! Records that are kept for a while and then go by themselves: which ids were seen, receipts.
//!
//! Each has a time index. Whoever adds one also removes up to a few that are too old, so nothing ever sweeps the whole
//! table and none grows without bound.

use redb::{ReadableTable as _, TableDefinition};

use super::error::StoreError;
use super::transaction::{Reading, Writing};
use crate::message::Timestamp;

/// How long they are kept, in milliseconds: 30 days.
pub(super) const KEPT: u64 = 30 * 24 * 60 * 60 * 1_000;
/// How many old ones go with each new one: more than come, so that a backlog melts.
const STEP: usize = 4;

/// One kind of such records; the key is an instance and an id of its own.
pub(super) struct Aging {
    /// When it was put, and what.
    pub(super) records: TableDefinition<'static, (&'static str, &'static str), (u64, &'static [u8])>,
    /// In order of time.
    pub(super) by_time: TableDefinition<'static, (u64, &'static str, &'static str), ()>,
}

impl Aging {
    pub(super) fn has(&self, tx: &Reading<'_>, instance: &str, id: &str) -> Result<bool, StoreError> {
        Ok(tx.view(self.records)?.get((instance, id))?.is_some())
    }

    pub(super) fn get(&self, tx: &Reading<'_>, instance: &str, id: &str) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(tx.view(self.records)?.get((instance, id))?.map(|found| found.value().1.to_vec()))
    }

    /// Puts or replaces; prunes a little.
    pub(super) fn put(
        &self,
        tx: &mut Writing<'_>,
        instance: &str,
        id: &str,
        value: &[u8],
        at: Timestamp,
    ) -> Result<(), StoreError> {
        let before = tx.table(self.records)?.insert((instance, id), (at, value))?.map(|old| old.value().0);
        let mut by_time = tx.table(self.by_time)?;
        if let Some(before) = before {
            by_time.remove((before, instance, id))?;
        }
        by_time.insert((at, instance, id), ())?;
        let oldest = at.saturating_sub(KEPT);
        let mut gone = Vec::new();
        for entry in by_time.range((0, "", "")..(oldest, "", ""))?.take(STEP) {
            let (key, _) = entry?;
            let (then, instance, id) = key.value();
            gone.push((then, instance.to_string(), id.to_string()));
        }
        let mut records = tx.table(self.records)?;
        for (then, instance, id) in &gone {
            by_time.remove((*then, instance.as_str(), id.as_str()))?;
            records.remove((instance.as_str(), id.as_str()))?;
        }
        Ok(())
    }
}
