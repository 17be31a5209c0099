//! The state of plugins: a small map for each instance, with a limit on its size and writes that can depend on what is
//! stored.

use std::collections::BTreeMap;

use redb::TableDefinition;

use super::error::StoreError;
use super::transaction::{Reading, Writing};

pub(super) const STATE: TableDefinition<(&str, &str), &[u8]> = TableDefinition::new("state");
/// Instance to the bytes of its keys and values: kept along, so that a write need not count.
pub(super) const SIZES: TableDefinition<&str, u64> = TableDefinition::new("state.sizes");

/// What one instance may keep, in bytes of keys and values.
pub const STATE_MOST: u64 = 64 << 20;

fn size(key: &str, value: &[u8]) -> u64 {
    u64::try_from(key.len().saturating_add(value.len())).unwrap_or(u64::MAX)
}

impl Reading<'_> {
    /// The value of a key.
    pub fn state_get(&self, instance: &str, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.view(STATE)?.get((instance, key))?.map(|value| value.value().to_vec()))
    }

    /// Keys with `prefix` after `after`, in byte order, at most `limit`.
    pub fn state_keys(
        &self,
        instance: &str,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<String>, StoreError> {
        let from = after.filter(|after| *after >= prefix).unwrap_or(prefix);
        let mut keys = Vec::new();
        for entry in self.view(STATE)?.range((instance, from)..)? {
            let found = entry?.0;
            let (of, key) = found.value();
            if of != instance || !key.starts_with(prefix) || keys.len() >= limit {
                break;
            }
            if Some(key) != after {
                keys.push(key.to_string());
            }
        }
        Ok(keys)
    }

    /// The bytes of an instance's keys and values.
    pub fn state_size(&self, instance: &str) -> Result<u64, StoreError> {
        Ok(self.view(SIZES)?.get(instance)?.map_or(0, |size| size.value()))
    }
}

impl Writing<'_> {
    /// Writes `set` (none removes) if all of `expected` is still so. Otherwise, or when the instance would have more
    /// than [`STATE_MOST`], an error: then nothing of the whole change is stored.
    pub fn state_apply(
        &mut self,
        instance: &str,
        set: &BTreeMap<String, Option<Vec<u8>>>,
        expected: &BTreeMap<String, Option<Vec<u8>>>,
    ) -> Result<(), StoreError> {
        let before = self.state_size(instance)?;
        let mut after = before;
        let view = self.view(STATE)?;
        for (key, value) in expected {
            let stored = view.get((instance, key.as_str()))?;
            if stored.as_ref().map(|stored| stored.value()) != value.as_deref() {
                return Err(StoreError::Conflict { instance: instance.into(), key: key.clone() });
            }
        }
        for (key, value) in set {
            let stored = view.get((instance, key.as_str()))?;
            after = after.saturating_sub(stored.map_or(0, |stored| size(key, stored.value())));
            after = after.saturating_add(value.as_ref().map_or(0, |value| size(key, value)));
        }
        drop(view);
        if after > STATE_MOST && after > before {
            return Err(StoreError::TooLarge { instance: instance.into(), size: after, most: STATE_MOST });
        }
        if set.is_empty() {
            return Ok(());
        }
        let mut state = self.table(STATE)?;
        for (key, value) in set {
            match value {
                Some(value) => state.insert((instance, key.as_str()), value.as_slice())?,
                None => state.remove((instance, key.as_str()))?,
            };
        }
        drop(state);
        self.set(SIZES, instance, after)
    }

    /// Forgets everything of an instance.
    pub fn state_remove(&mut self, instance: &str) -> Result<(), StoreError> {
        let mut state = self.table(STATE)?;
        // The end of the instance's range: no string lies between a string and itself with a zero byte.
        let next = format!("{instance}\0");
        state.retain_in((instance, "")..(next.as_str(), ""), |_, _| false)?;
        drop(state);
        self.unset(SIZES, instance)?;
        Ok(())
    }
}
