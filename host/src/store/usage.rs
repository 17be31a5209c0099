//! Tokens and cost by day (UTC) and model.

use redb::TableDefinition;
use serde::{Deserialize, Serialize};

use super::error::StoreError;
use super::transaction::{Reading, Writing, decode};
use crate::message::{Timestamp, Usage};

pub(super) const USAGE: TableDefinition<(u64, &str), &[u8]> = TableDefinition::new("usage");

const DAY_MS: u64 = 24 * 60 * 60 * 1_000;

/// What one model took on one day.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DayUsage {
    /// When the day began.
    pub day: Timestamp,
    /// `instance/model`.
    pub model: String,
    /// The sum.
    pub usage: Usage,
}

impl Reading<'_> {
    /// Of the days that contain `from` to `to`, oldest first.
    pub fn usage(&self, from: Timestamp, to: Timestamp) -> Result<Vec<DayUsage>, StoreError> {
        let mut found = Vec::new();
        for entry in self.view(USAGE)?.range((from / DAY_MS, "")..((to / DAY_MS).saturating_add(1), ""))? {
            let (key, bytes) = entry?;
            let (day, model) = key.value();
            let usage = decode("usage", bytes.value())?;
            found.push(DayUsage { day: day.saturating_mul(DAY_MS), model: model.into(), usage });
        }
        Ok(found)
    }
}

impl Writing<'_> {
    /// Adds to a day's sum. `message_append` does it for messages that carry usage and a model.
    pub fn usage_add(&mut self, at: Timestamp, model: &str, usage: Usage) -> Result<(), StoreError> {
        let key = (at / DAY_MS, model);
        let mut sum: Usage = self.record(USAGE, key)?.unwrap_or_default();
        sum += usage;
        self.put(USAGE, key, &sum)
    }
}
