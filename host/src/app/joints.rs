//! Where parts that do not know each other meet: small implementations of one part's traits over another.

use std::path::PathBuf;
use std::sync::{Arc, OnceLock, Weak};

use async_trait::async_trait;

use crate::capability::control::Conversations;
use crate::capability::state::{PluginState, Writes};
use crate::capability::{Error, Ledger, LedgerEntry};
use crate::gateway::Gateway;
use crate::message::{Approval, Sender, now};
use crate::plugin::manifest::Manifest;
use crate::plugin::registry::GrantBook;
use crate::plugin::standing::Words;
use crate::plugin::tools::PluginTools;
use crate::session::Power;
use crate::store::{LedgerLine, Store};
use crate::wit::openpista::control::{models, sessions};

/// Plugin state in the store.
pub struct State(pub Store);

#[async_trait]
impl PluginState for State {
    fn get(&self, instance: &str, key: &str) -> anyhow::Result<Option<Vec<u8>>> {
        Ok(self.0.read(|tx| tx.state_get(instance, key))?)
    }

    fn keys(&self, instance: &str, prefix: &str, after: Option<&str>, limit: usize) -> anyhow::Result<Vec<String>> {
        Ok(self.0.read(|tx| tx.state_keys(instance, prefix, after, limit))?)
    }

    async fn commit(&self, instance: &str, writes: Writes) -> anyhow::Result<()> {
        let instance = instance.to_string();
        let change = move |tx: &mut crate::store::Writing<'_>| tx.state_apply(&instance, &writes.set, &writes.expected);
        Ok(self.0.write(change).await?)
    }
}

/// The ledger in the store: rides along with the next commit.
pub struct Notes(pub Store);

impl Ledger for Notes {
    fn note(&self, entry: LedgerEntry) {
        let line = LedgerLine {
            at: now(),
            plugin: entry.caller.plugin,
            instance: entry.caller.instance,
            digest: entry.caller.digest,
            session: entry.caller.session,
            turn: entry.caller.turn,
            operation: entry.caller.operation.to_string(),
            capability: entry.capability.to_string(),
            what: entry.what,
            allowed: entry.allowed,
        };
        if let Err(error) = self.0.write_later(move |tx| tx.ledger_append(&line)) {
            tracing::error!("a line of the ledger is lost: {error}");
        }
    }
}

/// The person's grants in the store, with the manifest that each was given to.
pub struct Book(pub Store, pub PathBuf);

impl GrantBook for Book {
    fn words(&self, plugin: &str) -> Option<(Words, Option<Manifest>)> {
        let granted = self.0.read(|tx| tx.grants(plugin)).unwrap_or_else(|error| {
            tracing::error!("the grants of {plugin} cannot be read, so it has none: {error}");
            None
        })?;
        let given_to =
            std::fs::read(manifest_path(&self.1, plugin)).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok());
        let denied = granted.denied.keys().cloned().collect();
        Some((Words { granted: granted.allowed, denied }, given_to))
    }
}

/// Where the manifest lies that a plugin's grants were given to.
pub fn manifest_path(folder: &std::path::Path, plugin: &str) -> PathBuf {
    folder.join(format!("{plugin}.granted.json"))
}

/// Whether a tool reaches out of its own memory.
pub struct ToolPower(pub Arc<PluginTools>);

impl Power for ToolPower {
    fn powerful(&self, tool: &str) -> bool {
        // A tool that is unknown is taken for the worst.
        self.0.owner(tool).is_none_or(|owner| owner.grants.iter().next().is_some())
    }
}

/// The gateway, for capabilities that were made before it.
#[derive(Default)]
pub struct Later(OnceLock<Weak<Gateway>>);

impl Later {
    /// From now on.
    pub fn join(&self, gateway: &Arc<Gateway>) {
        // Said once, by `app`.
        let _ = self.0.set(Arc::downgrade(gateway));
    }

    fn gateway(&self) -> Option<Arc<Gateway>> {
        self.0.get()?.upgrade()
    }

    fn there(&self) -> anyhow::Result<Arc<Gateway>> {
        self.gateway().ok_or_else(|| anyhow::anyhow!("the host is ending"))
    }
}

impl Conversations for Later {
    fn may_decide(&self, instance: &str, approval: &str, by: &Sender) -> Result<(), Error> {
        let gateway = self.there().map_err(|error| Error::Unavailable(error.to_string()))?;
        gateway.may_decide(instance, approval, by)
    }

    fn waiting(&self, instance: &str, conversation: &str) -> Vec<Approval> {
        self.gateway().map(|gateway| gateway.waiting(instance, conversation)).unwrap_or_default()
    }

    fn page(
        &self,
        instance: Option<&str>,
        before: Option<u64>,
        limit: usize,
    ) -> anyhow::Result<Vec<sessions::Session>> {
        self.there()?.page(instance, before, limit)
    }

    fn exists(&self, instance: Option<&str>, conversation: &str) -> anyhow::Result<bool> {
        self.there()?.exists(instance, conversation)
    }

    fn history(
        &self,
        instance: &str,
        conversation: &str,
        after: u64,
        limit: usize,
    ) -> anyhow::Result<Vec<sessions::Entry>> {
        self.there()?.history(instance, conversation, after, limit)
    }

    fn running(&self, instance: &str, conversation: &str) -> Option<String> {
        self.gateway()?.running(instance, conversation)
    }

    fn models(&self) -> Vec<models::Model> {
        self.gateway().map(|gateway| Conversations::models(&*gateway)).unwrap_or_default()
    }
}
