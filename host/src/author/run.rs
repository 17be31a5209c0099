//! A tool called by hand: with what the person allows for this one call, and nothing kept of it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use serde_json::{Map, Value};
use tokio_util::sync::CancellationToken;

use super::Bench;
use crate::admin::{CallFailure, Called, FailureKind};
use crate::agent::ports::{Progress, ToolError};
use crate::capability::secrets::{InstanceSecrets, SecretValue};
use crate::message::{Content, ToolDefinition, new_id};
use crate::plugin::instance::{Around, Host, Instance};
use crate::plugin::registry::declared;
use crate::plugin::standing::{Standing, Words, expanded, weigh};
use crate::plugin::{Plugin, convert, digest, tools};
use crate::runtime::fixed::Fixed;
use crate::runtime::limits::Limits;
use crate::runtime::{CallError, TICK_MS};
use crate::wit::role::tools as wit;

/// Whoever calls by hand ends a call that takes too long; this ends one that nobody waits for.
const CALL: Duration = Duration::from_secs(3_600);

/// What the person gives a component for its calls.
#[derive(Debug, Clone, Default)]
pub struct Given {
    /// Capabilities with their scopes; an empty scope is all that the plugin asks for.
    pub allow: BTreeMap<String, Vec<String>>,
    /// Settings.
    pub settings: Map<String, Value>,
    /// Secrets by name.
    pub secrets: BTreeMap<String, SecretValue>,
}

/// A component that can be called.
pub struct Trial {
    /// With its grants, settings and secrets.
    pub instance: Arc<Instance>,
    /// Its tools.
    pub tools: Vec<ToolDefinition>,
    /// Secrets that it declares and that have no value.
    pub unset: Vec<String>,
}

impl Trial {
    /// Loads a component. Whatever it asks for and is not given is linked, and each call of it is denied.
    pub async fn open(bench: &Bench, path: &Path, given: Given) -> Result<Self> {
        let bytes = tokio::fs::read(path).await.with_context(|| format!("cannot read {}", path.display()))?;
        let file = path.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
        let mut plugin = Plugin::inspect(&bench.host.runtime, &file, &digest(&bytes), path.to_path_buf()).await?;
        for need in &mut plugin.manifest.needs {
            need.optional = true;
        }
        let manifest = &plugin.manifest;
        let own: BTreeSet<String> = given.settings.keys().cloned().collect();
        let settings = manifest.settings(given.settings).map_err(anyhow::Error::msg)?;
        let granted = granted(&plugin, given.allow, &settings, &own)?;
        let words = Words { granted, denied: BTreeSet::new() };
        let grants = match weigh(&plugin, false, &words, &settings, &own) {
            Standing::Ready(grants) => grants,
            Standing::Refused(why) => bail!("{why}"),
            Standing::Waiting(_) => bail!("it asks for more than it has"),
        };
        let mut values = given.secrets;
        if let Some(unknown) = values.keys().find(|name| !manifest.secrets.iter().any(|secret| secret.name == **name)) {
            let known: Vec<&str> = manifest.secrets.iter().map(|secret| secret.name.as_str()).collect();
            let known = if known.is_empty() { "none".to_string() } else { known.join(", ") };
            bail!("{} has no secret `{unknown}`; it has {known}", manifest.name);
        }
        bench.known.learn("the command line", values.clone().into_iter().collect())?;
        let unset = manifest.secrets.iter().filter(|secret| !secret.optional && !values.contains_key(&secret.name));
        let unset = unset.map(|secret| secret.name.clone()).collect();
        let secrets = manifest
            .secrets
            .iter()
            .map(|secret| Ok((declared(secret, &settings, &own)?, values.remove(&secret.name))))
            .collect::<Result<Vec<_>, String>>()
            .map_err(anyhow::Error::msg)?;
        let name = manifest.short_name().to_string();
        let secrets = InstanceSecrets::new(&name, secrets)?;
        let settings: Arc<str> = Value::Object(settings).to_string().into();
        let plugin = Arc::new(plugin);
        let limits = Limits::default();
        let record = Arc::default();
        let instance = Arc::new(Instance::new(name, plugin, grants, settings, Arc::new(secrets), limits, record));
        let tools = match instance.plugin.shape.tools() {
            true => tools::offered(&bench.host, &instance).await.map_err(anyhow::Error::msg)?.0,
            false => Vec::new(),
        };
        // What `definitions` was denied is nothing that was asked for now.
        bench.notes.take();
        Ok(Self { instance, tools, unset })
    }

    /// The tool of that name, or the sentence that says which there are.
    pub fn tool(&self, name: &str) -> Result<&ToolDefinition, String> {
        find(&self.tools, name)
    }
}

/// The tool of that name, or the sentence that says which there are.
pub fn find<'a>(tools: &'a [ToolDefinition], name: &str) -> Result<&'a ToolDefinition, String> {
    tools.iter().find(|tool| tool.name == name).ok_or_else(|| {
        let names = || tools.iter().map(|tool| tool.name.as_str());
        match super::contract::nearest(name, names()) {
            Some(near) => format!("there is no tool {name}; did you mean `{near}`?"),
            None if tools.is_empty() => format!("there is no tool {name}: it offers none"),
            None => format!("there is no tool {name}; there are: {}", names().collect::<Vec<_>>().join(", ")),
        }
    })
}

/// What was allowed, as far as the plugin asks for it: the rule of `plugin allow`.
fn granted(
    plugin: &Plugin,
    allow: BTreeMap<String, Vec<String>>,
    settings: &Map<String, Value>,
    own: &BTreeSet<String>,
) -> Result<BTreeMap<String, Vec<String>>> {
    let name = &plugin.manifest.name;
    let mut granted = BTreeMap::new();
    for (capability, scope) in allow {
        let Some(need) = plugin.manifest.needs.iter().find(|need| need.capability == capability) else {
            let asked: Vec<&str> = plugin.manifest.needs.iter().map(|need| need.capability.as_str()).collect();
            let asked = if asked.is_empty() { "nothing".to_string() } else { asked.join(", ") };
            bail!("{name} does not ask for {capability}; it asks for {asked}");
        };
        let filled = expanded(&need.scope, settings, own);
        let asked = |item: &String| {
            let same = |one: &String| one == item || one.strip_prefix("lan:") == Some(item) || one == "*";
            need.scope.iter().chain(&filled).any(same)
        };
        if let Some(beyond) = scope.iter().find(|item| !asked(item)) {
            bail!("{name} does not ask for {capability}={beyond}; it asks for {}", need.scope.join(", "));
        }
        granted.insert(capability, if scope.is_empty() { need.scope.clone() } else { scope });
    }
    Ok(granted)
}

/// How a call is made.
pub struct Call {
    /// The tool.
    pub tool: String,
    /// A JSON object that fits its schema.
    pub arguments: String,
    /// The model's id of the call; none: a new one.
    pub id: Option<String>,
    /// The session that it belongs to.
    pub session: String,
    /// Takes lines of progress.
    pub progress: Progress,
    /// Ends it.
    pub cancel: CancellationToken,
    /// Clocks and randomness in place of the machine's own.
    pub fixed: Option<Fixed>,
}

/// What a call said, and what it cost.
pub struct Said {
    /// As the agent gets it.
    pub said: Result<Vec<Content>, ToolError>,
    /// From begin to end.
    pub took: Duration,
    /// Milliseconds that it ran, and bytes of memory that it had; nothing is known of a call that was cut off.
    pub used: Option<(u64, u64)>,
}

/// Makes a call. State that it wrote is stored with the services of `host`.
pub async fn call(host: &Host, instance: &Arc<Instance>, call: Call) -> Said {
    let begun = Instant::now();
    let around = Around {
        operation: "tools.call",
        session: Some(call.session.clone()),
        turn: None,
        cancel: call.cancel,
        progress: Some(call.progress),
        fixed: call.fixed,
        ..Around::default()
    };
    let id = call.id.unwrap_or_else(new_id);
    let request = wit::Invocation { id, name: call.tool, arguments: call.arguments, session: call.session };
    let done = instance
        .call(host, around, CALL, async |store, live, exports| {
            let missing = || wasmtime::Error::msg("it has no tools");
            let guest = exports.tools.as_ref().ok_or_else(missing)?.load(&mut *store, live)?;
            guest.call_call(store, &request).await
        })
        .await;
    let (answer, after) = match done {
        Ok(done) => done,
        Err(error) => {
            let error = match error {
                CallError::Cancelled => ToolError::Cancelled,
                CallError::TimedOut { .. } => ToolError::TimedOut,
                error => ToolError::Other(error.to_string()),
            };
            return Said { said: Err(error), took: begun.elapsed(), used: None };
        }
    };
    let used = Some((after.ticks.saturating_mul(TICK_MS), u64::try_from(after.memory).unwrap_or(u64::MAX)));
    let mut said = match answer {
        Ok(content) => Ok(content.into_iter().map(convert::content_in).collect()),
        Err(error) => Err(convert::tool_error_in(error)),
    };
    if said.is_ok()
        && !after.held.state.is_empty()
        && let Err(error) = host.services.state.commit(&instance.name, after.held.state).await
    {
        said = Err(ToolError::Other(format!("what the tool wanted to keep was not stored: {error:#}")));
    }
    Said { said, took: begun.elapsed(), used }
}

impl Said {
    /// For a person or a script, with secrets cut out.
    pub fn told(self, bench_known: &crate::capability::secrets::Known, tool: &str, notes: &super::Notes) -> Called {
        let clean = |content: Vec<Content>| -> Vec<Content> {
            let clean = |one| match one {
                Content::Text(text) => Content::Text(bench_known.cleaned(text)),
                Content::Json(text) => Content::Json(bench_known.cleaned(text)),
                other => other,
            };
            content.into_iter().map(clean).collect()
        };
        let failure = |kind, text: String| Some(CallFailure { kind, text: bench_known.cleaned(text) });
        let (content, error) = match self.said {
            Ok(content) => (clean(content), None),
            Err(ToolError::Failed(content)) => (clean(content), failure(FailureKind::Failed, "it failed".into())),
            Err(error) => {
                let kind = match &error {
                    ToolError::AccessDenied(_) => FailureKind::AccessDenied,
                    ToolError::InvalidArguments(_) => FailureKind::InvalidArguments,
                    ToolError::TimedOut => FailureKind::TimedOut,
                    ToolError::Cancelled => FailureKind::Cancelled,
                    ToolError::Failed(_) | ToolError::Other(_) => FailureKind::Other,
                };
                (Vec::new(), failure(kind, error.to_string()))
            }
        };
        let (ran_ms, memory) = self.used.unwrap_or_default();
        Called {
            tool: tool.to_string(),
            ok: error.is_none(),
            content,
            error,
            denied: notes.take(),
            took_ms: u64::try_from(self.took.as_millis()).unwrap_or(u64::MAX),
            ran_ms,
            memory,
        }
    }
}
