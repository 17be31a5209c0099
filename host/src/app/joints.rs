//! Where parts that do not know each other meet: small implementations of one part's traits over another.

use std::borrow::Cow;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock, Weak};

use async_trait::async_trait;
use tokio_util::sync::CancellationToken;

use crate::agent::ports::{Invocation, Progress, ToolError, Toolbox};
use crate::capability::Error;
use crate::capability::control::Conversations;
use crate::capability::secrets::Known;
use crate::capability::state::{PluginState, Writes};
use crate::gateway::Gateway;
use crate::message::{Approval, Content, Sender, ToolDefinition};
use crate::plugin::manifest::Manifest;
use crate::plugin::registry::{GrantBook, Registry};
use crate::plugin::standing::Words;
use crate::plugin::tools::PluginTools;
use crate::session::{Lore, Power};
use crate::skill::Library;
use crate::store::Store;
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

/// The texts of skills.
pub struct Texts(pub Arc<Library>);

impl Lore for Texts {
    fn text(&self) -> Arc<str> {
        Arc::clone(&self.0.shelf().prompt)
    }
}

/// Reads what skills say, which the model is told anyway, and nothing else.
const SKILL_READ: &str = "skill.read";

/// Whether a tool reaches out of its own memory.
pub struct ToolPower {
    /// All tools.
    pub tools: Arc<PluginTools>,
    /// Which of their plugins came with the host.
    pub registry: Arc<Registry>,
}

impl Power for ToolPower {
    fn powerful(&self, tool: &str) -> bool {
        // A tool that is unknown is taken for the worst.
        self.tools.owner(tool).is_none_or(|owner| {
            // Only of the plugin that came with the host: another one may call anything so.
            let reads = tool == SKILL_READ && self.registry.is_stock(&owner.plugin.digest);
            owner.grants.iter().any(|(capability, _)| !(reads && capability == "skill"))
        })
    }

    fn owner(&self, tool: &str) -> Option<(String, String)> {
        let owner = self.tools.owner(tool)?;
        Some((owner.plugin.manifest.name.clone(), owner.name.clone()))
    }
}

/// The tools, with every secret of the host cut out of what they say: it goes to the model, and from there anywhere.
pub struct Discreet<T> {
    /// All tools.
    pub tools: Arc<T>,
    /// All secrets.
    pub known: Arc<Known>,
}

#[async_trait]
impl<T: Toolbox> Toolbox for Discreet<T> {
    fn definitions(&self) -> Arc<[ToolDefinition]> {
        self.tools.definitions()
    }

    fn edition(&self, tool: &str) -> Option<String> {
        self.tools.edition(tool)
    }

    async fn call(
        &self,
        invocation: Invocation,
        progress: Progress,
        cancel: CancellationToken,
    ) -> Result<Vec<Content>, ToolError> {
        let said = self.tools.call(invocation, progress, cancel).await;
        let text = |text| self.known.cleaned(text);
        match said {
            Ok(content) => Ok(clean_content(&self.known, content)),
            Err(ToolError::Failed(content)) => Err(ToolError::Failed(clean_content(&self.known, content))),
            Err(ToolError::AccessDenied(why)) => Err(ToolError::AccessDenied(text(why))),
            Err(ToolError::InvalidArguments(why)) => Err(ToolError::InvalidArguments(text(why))),
            Err(ToolError::Other(why)) => Err(ToolError::Other(text(why))),
            Err(error @ (ToolError::TimedOut | ToolError::Cancelled)) => Err(error),
        }
    }
}

fn clean_content(known: &Known, content: Vec<Content>) -> Vec<Content> {
    let clean = |one| match one {
        Content::Text(text) => Content::Text(known.cleaned(text)),
        Content::Json(text) => Content::Json(known.cleaned(text)),
        Content::Media(mut media) => {
            // What is compressed holds no text, and a byte that is changed in it breaks it.
            let compressed = ["image/", "audio/", "video/"].iter().any(|kind| media.mime.starts_with(kind));
            if !compressed && let Cow::Owned(cleaned) = known.clean_bytes(&media.data) {
                media.data = cleaned.into();
            }
            media.name = media.name.map(|name| known.cleaned(name));
            Content::Media(media)
        }
        Content::Other(mut other) => {
            other.data = known.cleaned(other.data);
            Content::Other(other)
        }
    };
    content.into_iter().map(clean).collect()
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

#[cfg(test)]
mod tests;
