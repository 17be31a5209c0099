//! Queues that are kept in one table: one for each conversation of each channel instance, in the order of a number.

use redb::TableDefinition;
use serde::de::DeserializeOwned;

use super::error::StoreError;
use super::transaction::{Reading, decode};

/// Instance, conversation, number.
pub(super) type Key = (&'static str, &'static str, u64);
/// The same, to keep.
pub(super) type OwnKey = (String, String, u64);
pub(super) type Queues = TableDefinition<'static, Key, &'static [u8]>;

/// The first of a conversation.
pub(super) fn first<T: DeserializeOwned>(
    tx: &Reading<'_>,
    table: Queues,
    instance: &str,
    conversation: &str,
) -> Result<Option<(u64, T)>, StoreError> {
    let view = tx.view(table)?;
    let first = view.range((instance, conversation, 0)..=(instance, conversation, u64::MAX))?.next();
    let Some(entry) = first else {
        return Ok(None);
    };
    let (key, bytes) = entry?;
    Ok(Some((key.value().2, decode(redb::TableHandle::name(&table), bytes.value())?)))
}

/// Those of a conversation behind a number, in order.
pub(super) fn of<T: DeserializeOwned>(
    tx: &Reading<'_>,
    table: Queues,
    (instance, conversation, after): (&str, &str, u64),
    limit: usize,
) -> Result<Vec<(u64, T)>, StoreError> {
    let view = tx.view(table)?;
    let from = (instance, conversation, after.saturating_add(1));
    let mut found = Vec::new();
    for entry in view.range(from..=(instance, conversation, u64::MAX))?.take(limit) {
        let (key, bytes) = entry?;
        found.push((key.value().2, decode(redb::TableHandle::name(&table), bytes.value())?));
    }
    Ok(found)
}

/// The conversations that have any: one look-up for each, however long the queues are.
pub(super) fn conversations(tx: &Reading<'_>, table: Queues) -> Result<Vec<(String, String)>, StoreError> {
    use std::ops::Bound;
    let view = tx.view(table)?;
    let mut found: Vec<(String, String)> = Vec::new();
    loop {
        let after = found.last().map(|(instance, conversation)| (instance.as_str(), conversation.as_str(), u64::MAX));
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let next = view.range::<(&str, &str, u64)>((from, Bound::Unbounded))?.next();
        let Some(entry) = next else {
            return Ok(found);
        };
        let (key, _) = entry?;
        let (instance, conversation, _) = key.value();
        let next = (instance.to_string(), conversation.to_string());
        found.push(next);
    }
}

/// All of an instance, or of everybody, in the order of the key.
pub(super) fn all<T: DeserializeOwned>(
    tx: &Reading<'_>,
    table: Queues,
    instance: Option<&str>,
    limit: usize,
) -> Result<Vec<(OwnKey, T)>, StoreError> {
    let view = tx.view(table)?;
    let range = match instance {
        Some(instance) => view.range((instance, "", 0)..)?,
        None => view.all()?,
    };
    let mut found = Vec::new();
    for entry in range {
        let (key, bytes) = entry?;
        let (of, conversation, number) = key.value();
        if found.len() >= limit || instance.is_some_and(|instance| instance != of) {
            break;
        }
        found.push(((of.into(), conversation.into(), number), decode(redb::TableHandle::name(&table), bytes.value())?));
    }
    Ok(found)
}
