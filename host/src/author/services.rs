//! What capabilities work with when there is no daemon: state in memory, nobody to talk to, denials kept to be told.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;

use crate::admin::Denied;
use crate::capability::connection::Connections;
use crate::capability::control::Conversations;
use crate::capability::http::{Egress, EgressOptions};
use crate::capability::secrets::Known;
use crate::capability::shell::Shell;
use crate::capability::skill::{Serving, Skills};
use crate::capability::state::{PluginState, Writes};
use crate::capability::{Error, Ledger, LedgerEntry, Services};
use crate::message::{Approval, Sender};
use crate::wit::openpista::control::{models, sessions};
use crate::wit::openpista::skill::skill;

/// Services of a process that stores nothing.
pub(super) fn alone(workspace: PathBuf, known: Arc<Known>, notes: Arc<Notes>) -> Services {
    Services {
        http: Arc::new(Egress::new(EgressOptions::default())),
        shell: Shell::new(workspace),
        state: Arc::new(Memory::default()),
        conversations: Arc::new(Nobody),
        connections: Arc::new(Nobody),
        ledger: notes,
        known,
        skills: Arc::new(Nobody),
        said: Arc::default(),
    }
}

/// The services of a running host for a call by hand: its state can be read and is not changed, and `notes` hears of
/// denials beside the ledger.
pub fn shadow(of: &Services, notes: Arc<Notes>) -> Services {
    Services {
        http: Arc::clone(&of.http),
        shell: of.shell.clone(),
        state: Arc::new(Unchanged(Arc::clone(&of.state))),
        conversations: Arc::clone(&of.conversations),
        connections: Arc::clone(&of.connections),
        ledger: Arc::new(Both(Arc::clone(&of.ledger), notes)),
        known: Arc::clone(&of.known),
        skills: Arc::clone(&of.skills),
        said: Arc::clone(&of.said),
    }
}

fn open<T>(lock: &Mutex<T>) -> MutexGuard<'_, T> {
    lock.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What was denied.
#[derive(Default)]
pub struct Notes(Mutex<Vec<Denied>>);

impl Notes {
    /// What was denied since the last time.
    pub fn take(&self) -> Vec<Denied> {
        std::mem::take(&mut open(&self.0))
    }
}

impl Ledger for Notes {
    fn note(&self, entry: LedgerEntry) {
        let denied = Denied { capability: entry.capability.to_string(), what: entry.what };
        let mut all = open(&self.0);
        if !entry.allowed && !all.contains(&denied) && all.len() < 100 {
            all.push(denied);
        }
    }
}

struct Both(Arc<dyn Ledger>, Arc<Notes>);

impl Ledger for Both {
    fn note(&self, entry: LedgerEntry) {
        self.1.note(entry.clone());
        self.0.note(entry);
    }
}

/// State as long as the process lives.
#[derive(Default)]
struct Memory(Mutex<BTreeMap<String, BTreeMap<String, Vec<u8>>>>);

#[async_trait]
impl PluginState for Memory {
    fn get(&self, instance: &str, key: &str) -> anyhow::Result<Option<Vec<u8>>> {
        Ok(open(&self.0).get(instance).and_then(|state| state.get(key).cloned()))
    }

    fn keys(&self, instance: &str, prefix: &str, after: Option<&str>, limit: usize) -> anyhow::Result<Vec<String>> {
        let all = open(&self.0);
        let from = after.map_or(Bound::Included(prefix), |after| Bound::Excluded(after.max(prefix)));
        let keys = all.get(instance).into_iter().flat_map(|state| state.range::<str, _>((from, Bound::Unbounded)));
        Ok(keys.map(|(key, _)| key.clone()).filter(|key| key.starts_with(prefix)).take(limit).collect())
    }

    async fn commit(&self, instance: &str, writes: Writes) -> anyhow::Result<()> {
        let mut all = open(&self.0);
        let state = all.entry(instance.to_string()).or_default();
        if let Some((key, _)) = writes.expected.iter().find(|(key, value)| state.get(*key) != value.as_ref()) {
            anyhow::bail!("the key {key} was changed by another call meanwhile");
        }
        for (key, value) in writes.set {
            match value {
                Some(value) => state.insert(key, value),
                None => state.remove(&key),
            };
        }
        Ok(())
    }
}

/// Another's state, which stays as it is.
struct Unchanged(Arc<dyn PluginState>);

#[async_trait]
impl PluginState for Unchanged {
    fn get(&self, instance: &str, key: &str) -> anyhow::Result<Option<Vec<u8>>> {
        self.0.get(instance, key)
    }

    fn keys(&self, instance: &str, prefix: &str, after: Option<&str>, limit: usize) -> anyhow::Result<Vec<String>> {
        self.0.keys(instance, prefix, after, limit)
    }

    async fn commit(&self, _instance: &str, _writes: Writes) -> anyhow::Result<()> {
        Ok(())
    }
}

/// No conversations, no connections.
struct Nobody;

impl Conversations for Nobody {
    fn may_decide(&self, _instance: &str, _approval: &str, _by: &Sender) -> Result<(), Error> {
        Err(Error::Unavailable("no daemon runs".into()))
    }

    fn waiting(&self, _instance: &str, _conversation: &str) -> Vec<Approval> {
        Vec::new()
    }

    fn page(&self, _: Option<&str>, _: Option<u64>, _: usize) -> anyhow::Result<Vec<sessions::Session>> {
        Ok(Vec::new())
    }

    fn exists(&self, _instance: Option<&str>, _conversation: &str) -> anyhow::Result<bool> {
        Ok(false)
    }

    fn history(&self, _: &str, _: &str, _: u64, _: usize) -> anyhow::Result<Vec<sessions::Entry>> {
        Ok(Vec::new())
    }

    fn running(&self, _instance: &str, _conversation: &str) -> Option<String> {
        None
    }

    fn models(&self) -> Vec<models::Model> {
        Vec::new()
    }
}

#[async_trait]
impl Skills for Nobody {
    fn list(&self) -> Vec<skill::Skill> {
        Vec::new()
    }

    async fn read(&self, _name: &str, _file: Option<&str>) -> Result<String, Error> {
        Err(Error::Unavailable("skills are there when a daemon runs".into()))
    }

    async fn run(&self, _call: skill::Call, _serving: Serving) -> Result<skill::Outcome, Error> {
        Err(Error::Unavailable("skills are there when a daemon runs".into()))
    }
}

impl Connections for Nobody {
    fn is_open(&self, _instance: &str, _id: u64) -> bool {
        false
    }

    fn tagged(&self, _instance: &str, _tag: &str) -> Vec<u64> {
        Vec::new()
    }

    fn public_url(&self, _instance: &str, _transport: &str) -> Option<String> {
        None
    }

    fn join(&self, _instance: &str, _id: u64, _tags: &[String]) {}

    fn joined(&self, _instance: &str, _id: u64) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn state_in_memory_is_read_back_in_order_and_of_one_instance() {
        let memory = Memory::default();
        let mut writes = Writes::default();
        for key in ["a/1", "a/2", "a/3", "b"] {
            writes.set.insert(key.into(), Some(key.into()));
        }
        memory.commit("one", writes).await.unwrap();
        assert_eq!(memory.get("one", "a/2").unwrap(), Some(b"a/2".to_vec()));
        assert_eq!(memory.get("two", "a/2").unwrap(), None);
        assert_eq!(memory.keys("one", "a/", None, 2).unwrap(), ["a/1", "a/2"]);
        assert_eq!(memory.keys("one", "a/", Some("a/2"), 9).unwrap(), ["a/3"]);
        let mut late = Writes::default();
        late.expected.insert("b".into(), None);
        late.set.insert("c".into(), Some(Vec::new()));
        assert!(memory.commit("one", late).await.is_err());
        assert_eq!(memory.get("one", "c").unwrap(), None);
    }
}
