//! `openpista:state`: a small durable map for each instance. Reads see the call's own writes first; writes are held.

use std::collections::BTreeMap;

use super::{Error, View};
use crate::wit::openpista::state::state::Host;

const KEY_MAX: usize = 256;
const VALUE_MAX: usize = 1 << 20;
const KEYS_MAX: usize = 1_000;
/// What one call may hold, in bytes of keys and values: as much as the store would take at the end.
const HELD_MAX: usize = 64 << 20;
/// Keys that one call may write; the bytes alone would let it hold millions of empty values.
const HELD_KEYS_MAX: usize = 100_000;

/// Held writes of one call: a value, or none for a removal.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Writes {
    /// What to write.
    pub set: BTreeMap<String, Option<Vec<u8>>>,
    /// What must still be so when it is written.
    pub expected: BTreeMap<String, Option<Vec<u8>>>,
    /// Bytes of keys and values in `set`.
    bytes: usize,
}

impl Writes {
    /// Nothing to do.
    pub fn is_empty(&self) -> bool {
        self.set.is_empty() && self.expected.is_empty()
    }

    /// Holds one more write, unless the call holds too much: the guest's memory does not bound what it hands over.
    fn hold(&mut self, key: String, value: Option<Vec<u8>>) -> Result<(), Error> {
        let size = |value: &Option<Vec<u8>>| value.as_ref().map_or(0, Vec::len);
        let before = self.set.get(&key).map_or(0, |old| key.len() + size(old));
        let after = self.bytes - before + key.len() + size(&value);
        if after > HELD_MAX && after > self.bytes {
            return Err(Error::TooLarge(format!("an instance keeps at most {} MiB of state", HELD_MAX >> 20)));
        }
        if self.set.len() >= HELD_KEYS_MAX && !self.set.contains_key(&key) {
            return Err(Error::TooLarge(format!("one call writes at most {HELD_KEYS_MAX} keys")));
        }
        self.bytes = after;
        self.set.insert(key, value);
        Ok(())
    }
}

/// What is stored; `app` joins it to the store.
#[async_trait::async_trait]
pub trait PluginState: Send + Sync {
    /// The value, or none.
    fn get(&self, instance: &str, key: &str) -> anyhow::Result<Option<Vec<u8>>>;
    /// Keys with `prefix` after `after`, in byte order, at most `limit`.
    fn keys(&self, instance: &str, prefix: &str, after: Option<&str>, limit: usize) -> anyhow::Result<Vec<String>>;
    /// Stores what a call held, all of it or nothing.
    async fn commit(&self, instance: &str, writes: Writes) -> anyhow::Result<()>;
}

fn check_key(key: &str) -> Result<(), Error> {
    if key.is_empty() {
        return Err(Error::Invalid("a state key is empty".into()));
    }
    if key.len() > KEY_MAX {
        return Err(Error::TooLarge(format!("a state key has at most {KEY_MAX} bytes")));
    }
    Ok(())
}

impl View<'_> {
    fn state_get(&self, key: &str) -> Result<Option<Vec<u8>>, Error> {
        check_key(key)?;
        if let Some(held) = self.call.held.state.set.get(key) {
            return Ok(held.clone());
        }
        self.call
            .services
            .state
            .get(&self.call.caller.instance, key)
            .map_err(|error| Error::Unavailable(format!("state cannot be read: {error:#}")))
    }

    fn state_set(&mut self, key: String, value: Vec<u8>) -> Result<(), Error> {
        check_key(&key)?;
        if value.len() > VALUE_MAX {
            return Err(Error::TooLarge(format!("a state value has at most {VALUE_MAX} bytes")));
        }
        self.call.held.state.hold(key, Some(value))
    }
}

impl Host for View<'_> {
    async fn get(&mut self, key: String) -> wasmtime::Result<Result<Option<Vec<u8>>, Error>> {
        Ok(self.state_get(&key))
    }

    async fn set(&mut self, key: String, value: Vec<u8>) -> wasmtime::Result<Result<(), Error>> {
        Ok(self.state_set(key, value))
    }

    async fn compare_and_set(
        &mut self,
        key: String,
        expected: Option<Vec<u8>>,
        value: Vec<u8>,
    ) -> wasmtime::Result<Result<bool, Error>> {
        let current = match self.state_get(&key) {
            Ok(current) => current,
            Err(error) => return Ok(Err(error)),
        };
        if current != expected {
            return Ok(Ok(false));
        }
        // Only the first comparison is about what is stored; later ones are about this call's own writes.
        let first = !self.call.held.state.set.contains_key(&key);
        Ok(self.state_set(key.clone(), value).map(|()| {
            if first {
                self.call.held.state.expected.entry(key).or_insert(expected);
            }
            true
        }))
    }

    async fn remove(&mut self, key: String) -> wasmtime::Result<Result<(), Error>> {
        Ok(check_key(&key).and_then(|()| self.call.held.state.hold(key, None)))
    }

    async fn keys(&mut self, prefix: String, after: Option<String>) -> wasmtime::Result<Result<Vec<String>, Error>> {
        let stored = self.call.services.state.keys(
            &self.call.caller.instance,
            &prefix,
            after.as_deref(),
            // Held removals may hide some of what is stored.
            KEYS_MAX + self.call.held.state.set.len(),
        );
        let mut keys: std::collections::BTreeSet<String> = match stored {
            Ok(stored) => stored.into_iter().collect(),
            Err(error) => return Ok(Err(Error::Unavailable(format!("state cannot be read: {error:#}")))),
        };
        for (key, value) in &self.call.held.state.set {
            let later = after.as_ref().is_none_or(|after| key > after);
            if value.is_none() {
                keys.remove(key);
            } else if key.starts_with(&prefix) && later {
                keys.insert(key.clone());
            }
        }
        Ok(Ok(keys.into_iter().take(KEYS_MAX).collect()))
    }
}
