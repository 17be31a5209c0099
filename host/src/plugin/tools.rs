//! All tools of all plugins as the agent's [`Toolbox`] port.
//!
//! The list is asked for when the plugins change, not at each round; a plugin whose `definitions` fails keeps its last
//! list. A tool's name is unique in the host: what came with the host has it, then whoever had it, then the first
//! instance by name.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, RwLock};
use std::time::Duration;

use async_trait::async_trait;
use sha2::{Digest as _, Sha256};
use tokio_util::sync::CancellationToken;

use super::convert;
use super::instance::{Around, Host, Instance};
use super::registry::{Registry, RoleKind};
use super::remembered;
use crate::agent::ports::{Invocation, Progress, ToolError, Toolbox};
use crate::capability::ledger::{self, Begun};
use crate::capability::{Caller, LedgerEntry};
use crate::failpoint::failpoint;
use crate::message::{Content, ToolDefinition, arguments_hash};
use crate::runtime::CallError;
use crate::wit::role::tools as wit;

const DEFINITIONS: Duration = Duration::from_secs(30);
/// The turn's clock and the running time end a call; this ends one that nobody waits for.
const CALL: Duration = Duration::from_secs(3600);
const TOOLS_MAX: usize = 256;
const LIST_MAX: usize = 1 << 20;

/// The tools on offer.
pub struct PluginTools {
    registry: Arc<Registry>,
    table: RwLock<Table>,
}

#[derive(Default)]
struct Table {
    definitions: Arc<[ToolDefinition]>,
    owners: HashMap<String, Owned>,
    last: BTreeMap<String, (String, Vec<ToolDefinition>)>,
    clashes: Vec<String>,
}

/// A tool's instance, and what it said of the tool.
struct Owned {
    instance: Arc<Instance>,
    edition: String,
}

/// The same as long as the same instance of the same plugin says the same of the tool.
fn edition(instance: &Instance, tool: &ToolDefinition) -> String {
    let mut hasher = Sha256::new();
    let hints = format!("{:?}", tool.hints);
    let owner = [instance.plugin.manifest.name.as_str(), instance.name.as_str()];
    for part in owner.into_iter().chain([tool.name.as_str(), &tool.description, &tool.parameters, &hints]) {
        hasher.update(part.len().to_le_bytes());
        hasher.update(part);
    }
    hex::encode(hasher.finalize())
}

fn missing() -> wasmtime::Error {
    wasmtime::Error::msg("it has no tools")
}

impl PluginTools {
    /// Empty until `refresh`.
    pub fn new(registry: Arc<Registry>) -> Self {
        Self { registry, table: RwLock::default() }
    }

    /// Tools that are hidden because another plugin has their name, in words.
    pub fn clashes(&self) -> Vec<String> {
        self.table.read().map(|table| table.clashes.clone()).unwrap_or_default()
    }

    /// The instance that has a tool.
    pub fn owner(&self, tool: &str) -> Option<Arc<Instance>> {
        Some(Arc::clone(&self.table.read().ok()?.owners.get(tool)?.instance))
    }

    /// The list of an instance; that of one which depends on nothing was remembered at an earlier start.
    async fn asked(&self, instance: &Arc<Instance>, fresh: bool) -> Result<Vec<ToolDefinition>, String> {
        let host = self.registry.host();
        if !fresh && let Some(list) = remembered::recall(&host.runtime, instance) {
            return Ok(list);
        }
        let list = definitions(host, instance).await?;
        remembered::remember(&host.runtime, instance, &list);
        Ok(list)
    }

    /// Asks every tools instance again. `fresh` names one whose list may have changed though its file did not.
    pub async fn refresh(&self, fresh: Option<&str>) {
        self.ask_again(|instance| fresh == Some(&instance.name)).await;
    }

    /// Asks those again that were granted a capability, because what it offers has changed.
    pub async fn refresh_with(&self, capability: &str) {
        self.ask_again(|instance| instance.grants.has(capability)).await;
    }

    async fn ask_again(&self, fresh: impl Fn(&Instance) -> bool + Send + Sync) {
        let snapshot = self.registry.snapshot();
        let last = self.table.read().map(|table| table.last.clone()).unwrap_or_default();
        let mut table = Table::default();
        let mut all = Vec::new();
        let mut instances: Vec<&Arc<Instance>> = snapshot.of(RoleKind::Tools).collect();
        // A newcomer does not get a tool's name from whoever has it, least of all from what came with the host.
        instances.sort_by_key(|instance| {
            (!self.registry.is_stock(&instance.plugin.digest), !last.contains_key(&instance.name))
        });
        for instance in instances {
            // Digest, settings and grants decide the list.
            let key = format!("{} {} {:?}", instance.plugin.digest, instance.settings, instance.grants);
            let known = last.get(&instance.name).filter(|(old, _)| *old == key && !fresh(instance));
            let definitions = match known {
                Some((_, definitions)) => definitions.clone(),
                None => match self.asked(instance, fresh(instance)).await {
                    Ok(definitions) => definitions,
                    Err(why) => {
                        tracing::warn!("the tools of {} are not known: {why}", instance.name);
                        last.get(&instance.name).map(|(_, definitions)| definitions.clone()).unwrap_or_default()
                    }
                },
            };
            for definition in &definitions {
                if let Some(first) = table.owners.get(&definition.name) {
                    let name = &definition.name;
                    table
                        .clashes
                        .push(format!("{name} of {} is hidden: {} has that name", instance.name, first.instance.name));
                    continue;
                }
                let owned = Owned { instance: Arc::clone(instance), edition: edition(instance, definition) };
                table.owners.insert(definition.name.clone(), owned);
                all.push(definition.clone());
            }
            table.last.insert(instance.name.clone(), (key, definitions));
        }
        for clash in &table.clashes {
            tracing::warn!("{clash}");
        }
        table.definitions = all.into();
        if let Ok(mut current) = self.table.write() {
            *current = table;
        }
    }
}

/// A tool call as the ledger notes it: the arguments are the model's, so that only their hash is kept.
fn begin(host: &Host, instance: &Instance, invocation: &Invocation) -> Begun {
    let caller = Caller {
        plugin: instance.plugin.manifest.name.clone(),
        instance: instance.name.clone(),
        digest: instance.plugin.digest.clone(),
        session: Some(invocation.session.clone()),
        turn: Some(invocation.turn.clone()),
        operation: "tools.call",
        approval: invocation.approval.clone(),
    };
    let entry = LedgerEntry {
        caller,
        capability: "tools",
        what: invocation.name.clone(),
        arguments: arguments_hash(&invocation.arguments),
        ..LedgerEntry::default()
    };
    Begun::new(Arc::clone(&host.services.ledger), entry)
}

fn end<T, A>(begun: Begun, done: &Result<(Result<T, wit::ToolError>, A), CallError>) {
    let outcome = match done {
        Ok((Ok(_), _)) => ledger::DONE,
        Ok((Err(_), _)) => "failed",
        Err(CallError::Trap { .. }) => "trapped",
        Err(CallError::Limit { .. }) => "at a limit",
        Err(CallError::TimedOut { .. }) => "timed out",
        Err(CallError::Cancelled) => "cancelled",
        Err(CallError::Aside { .. }) => return begun.end(false, "set aside"),
    };
    begun.end(true, outcome);
}

/// What one instance offers, checked.
async fn definitions(host: &Host, instance: &Arc<Instance>) -> Result<Vec<ToolDefinition>, String> {
    let (list, _) = offered(host, instance).await?;
    let (good, bad): (Vec<_>, Vec<_>) = list.into_iter().partition(is_good);
    for tool in bad {
        tracing::warn!("a tool of {} is left out: its name or schema is broken: {:?}", instance.name, tool.name);
    }
    Ok(good)
}

/// What one instance offers, as it says it, and the memory that it had for it in bytes.
pub async fn offered(host: &Host, instance: &Arc<Instance>) -> Result<(Vec<ToolDefinition>, usize), String> {
    let around = Around { operation: "tools.definitions", ..Around::default() };
    let (answer, after) = instance
        .call(host, around, DEFINITIONS, async |store, live, exports| {
            let guest = exports.tools.as_ref().ok_or_else(missing)?.load(&mut *store, live)?;
            guest.call_definitions(store).await
        })
        .await
        .map_err(|error| error.to_string())?;
    let list = answer.map_err(|error| convert::tool_error_in(error).to_string())?;
    let size: usize = list.iter().map(|tool| tool.name.len() + tool.description.len() + tool.parameters.len()).sum();
    if list.len() > TOOLS_MAX || size > LIST_MAX {
        return Err(format!("it offers {} tools of {size} bytes; {TOOLS_MAX} tools and 1 MiB are allowed", list.len()));
    }
    Ok((list.into_iter().map(convert::definition_in).collect(), after.memory))
}

/// Whether a tool can have this name.
pub fn name_is_good(name: &str) -> bool {
    let letter = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-');
    !name.is_empty() && name.len() <= 128 && name.chars().all(letter)
}

fn is_good(tool: &ToolDefinition) -> bool {
    let schema = serde_json::from_str::<serde_json::Value>(&tool.parameters)
        .is_ok_and(|schema| schema.is_object() && jsonschema::validator_for(&schema).is_ok());
    name_is_good(&tool.name) && schema
}

#[async_trait]
impl Toolbox for PluginTools {
    fn definitions(&self) -> Arc<[ToolDefinition]> {
        self.table.read().map(|table| Arc::clone(&table.definitions)).unwrap_or_default()
    }

    fn edition(&self, tool: &str) -> Option<String> {
        Some(self.table.read().ok()?.owners.get(tool)?.edition.clone())
    }

    async fn call(
        &self,
        invocation: Invocation,
        progress: Progress,
        cancel: CancellationToken,
    ) -> Result<Vec<Content>, ToolError> {
        let owned = self.table.read().ok().and_then(|table| {
            let owned = table.owners.get(&invocation.name)?;
            Some((Arc::clone(&owned.instance), owned.edition.clone()))
        });
        let Some((instance, edition)) = owned else {
            return Err(ToolError::Other(format!("the tool {} is gone: its plugin was removed", invocation.name)));
        };
        if invocation.edition.as_deref().is_some_and(|looked_at| looked_at != edition) {
            return Err(ToolError::Other(format!(
                "the tool {} became another one while this call waited, so what was said about the call does not hold; \
                 it was not run. Look at the tool again before you call it",
                invocation.name
            )));
        }
        let around = Around {
            operation: "tools.call",
            session: Some(invocation.session.clone()),
            turn: Some(invocation.turn.clone()),
            approval: invocation.approval.clone(),
            cause: convert::cause([&invocation.session, &invocation.name, &invocation.arguments]),
            cancel: cancel.clone(),
            progress: Some(progress),
            fixed: None,
        };
        let begun = begin(self.registry.host(), &instance, &invocation);
        let request = wit::Invocation {
            id: invocation.id,
            name: invocation.name,
            arguments: invocation.arguments,
            session: invocation.session,
        };
        // The guest ends with the turn, and so does what it started, even if nobody waits for the answer any more.
        let host = self.registry.host();
        failpoint("tool.before-call");
        let call = instance.call(host, around, CALL, async |store, live, exports| {
            let guest = exports.tools.as_ref().ok_or_else(missing)?.load(&mut *store, live)?;
            guest.call_call(store, &request).await
        });
        let done = begun.noted(call).await;
        end(begun, &done);
        failpoint("tool.after-call");
        let (answer, after) = match done {
            Ok(done) => done,
            Err(CallError::Cancelled) => return Err(ToolError::Cancelled),
            Err(error @ CallError::TimedOut { .. }) => {
                tracing::warn!("{error}");
                return Err(ToolError::TimedOut);
            }
            Err(error) => {
                tracing::warn!("{error}");
                return Err(ToolError::Other(error.to_string()));
            }
        };
        let content = answer.map_err(convert::tool_error_in)?;
        if !after.held.state.is_empty() {
            host.services
                .state
                .commit(&instance.name, after.held.state)
                .await
                .map_err(|error| ToolError::Other(format!("what the tool wanted to keep was not stored: {error:#}")))?;
        }
        if after.tools_changed {
            self.refresh(Some(&instance.name)).await;
        }
        Ok(content.into_iter().map(convert::content_in).collect())
    }
}
