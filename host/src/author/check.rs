//! A file looked at as the daemon would look at it, and further: every fault at once, each with what to do about it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use anyhow::Context as _;
use serde::Serialize;
use serde_json::{Map, Value};
use tokio_util::sync::CancellationToken;
use wasmtime::component::Component;

use super::Bench;
use super::faults;
use super::shape;
use crate::capability::secrets::InstanceSecrets;
use crate::grant::Grants;
use crate::message::ToolDefinition;
use crate::plugin::instance::Instance;
pub use crate::plugin::manifest::{Manifest, Need};
use crate::plugin::stock::wasm_files;
use crate::plugin::{DESCRIBE, Plugin, Shape, check_kind, digest, known_as, tools};
use crate::runtime::limits::{Limits, Violation};
use crate::runtime::linker::{CAPABILITIES, describing_without, unfit};
use crate::runtime::state::Guest;
use crate::runtime::{Budget, CallError};
use crate::wit::role;

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// The host refuses the file, or a part of it.
    Error,
    /// It works, but hardly as it was meant.
    Warning,
    /// Good to know.
    Note,
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Fault {
    /// How bad.
    pub level: Level,
    /// For scripts; stays.
    pub code: &'static str,
    /// In plain words.
    pub what: String,
    /// What to do.
    pub advice: String,
    /// Where: an import, a JSON Pointer into a schema.
    pub place: Option<String>,
}

impl Fault {
    /// The host refuses it.
    pub fn error(code: &'static str, what: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { level: Level::Error, code, what: what.into(), advice: advice.into(), place: None }
    }

    /// It works, but.
    pub fn warning(code: &'static str, what: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { level: Level::Warning, ..Self::error(code, what, advice) }
    }

    /// Good to know.
    pub fn note(code: &'static str, what: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { level: Level::Note, ..Self::error(code, what, advice) }
    }

    /// With its place.
    pub fn at(self, place: impl Into<String>) -> Self {
        Self { place: Some(place.into()), ..self }
    }
}

/// All that is known of a file.
#[derive(Debug, Default)]
pub struct Report {
    /// Its name, without the folder.
    pub file: String,
    /// SHA-256 in hex.
    pub digest: String,
    /// Bytes.
    pub size: u64,
    /// What is wrong, the worst first.
    pub faults: Vec<Fault>,
    /// What it imports and exports, if it is a component.
    pub shape: Shape,
    /// What it says of itself, if it can be used.
    pub manifest: Option<Manifest>,
    /// Its tools, as it offers them with the defaults of its settings.
    pub tools: Vec<ToolDefinition>,
    /// How long it took to compile; none: it had been compiled before.
    pub compile_ms: Option<u64>,
    /// The most memory that it had to describe itself or to name its tools, in bytes.
    pub memory: usize,
}

impl Report {
    /// The host would take it.
    pub fn good(&self) -> bool {
        self.faults.iter().all(|fault| fault.level != Level::Error)
    }

    fn sorted(mut self) -> Self {
        self.faults.sort_by_key(|fault| fault.level);
        self
    }
}

/// Looks at a file. `installed` is the plugins folder, for names that are taken. An error is a file that cannot be read.
pub async fn check(bench: &Bench, path: &Path, installed: &Path) -> anyhow::Result<Report> {
    let file = path.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
    let bytes = tokio::fs::read(path).await.with_context(|| format!("cannot read {}", path.display()))?;
    let size = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
    let mut report = Report { file, digest: digest(&bytes), size, ..Report::default() };
    if let Err(error) = check_kind(&bytes) {
        report.faults.push(shape::kind(&bytes, &error.to_string()));
        return Ok(report);
    }
    let component = match compiled(bench, &mut report, bytes).await? {
        Ok(component) => component,
        Err(why) => {
            let advice = "build it again, and copy it whole; if it stays so, it uses what this version of WebAssembly's \
                          component model has not";
            report.faults.push(Fault::error("damaged", why, advice));
            return Ok(report);
        }
    };
    let runtime = &bench.host.runtime;
    report.shape = Shape::of(runtime.engine(), &component);
    report.faults.extend(shape::versions(&report.shape));
    report.faults.extend(shape::exports(&report.shape));
    let unfit = unfit(runtime.engine(), &component).map_err(|error| anyhow::anyhow!("{error:#}"))?;
    let engine = runtime.engine();
    report.faults.extend(unfit.iter().filter_map(|(import, why)| shape::import(engine, &component, import, why)));
    report.faults.extend(shape::closed(&report.shape));
    let unfit: BTreeSet<String> = unfit.into_iter().map(|(import, _)| import).collect();
    let said = described(bench, &component, &unfit, &mut report).await;
    if let Some(said) = said {
        report.faults.extend(faults::manifest(&said, &report.shape));
        match Manifest::check(said) {
            Ok(manifest) => {
                clash(bench, &mut report, &manifest, installed);
                report.manifest = Some(manifest);
            }
            // What `faults` did not think of.
            Err(error) if report.good() => {
                report.faults.push(Fault::error("manifest", error.to_string(), "correct it in `describe`"));
            }
            Err(_) => (),
        }
    }
    let usable =
        unfit.is_empty() && report.manifest.is_some() && report.faults.iter().all(|fault| fault.code != "export-type");
    if usable && report.shape.tools() {
        offered(bench, path, &mut report).await;
    }
    Ok(report.sorted())
}

async fn compiled(bench: &Bench, report: &mut Report, bytes: Vec<u8>) -> anyhow::Result<Result<Component, String>> {
    let (runtime, digest) = (Arc::clone(&bench.host.runtime), report.digest.clone());
    let known = runtime.cache().holds(&digest);
    let begun = Instant::now();
    let compiled = tokio::task::spawn_blocking(move || runtime.component(&digest, &|| Ok(bytes.clone()))).await?;
    report.compile_ms = (!known).then(|| u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX));
    Ok(compiled.map_err(|error| format!("{error:#}")))
}

/// Asks it what it is, with traps where it has no business, and looks whether its exports fit the contract.
async fn described(
    bench: &Bench,
    component: &Component,
    unfit: &BTreeSet<String>,
    report: &mut Report,
) -> Option<role::manifest::Manifest> {
    let runtime = &bench.host.runtime;
    let linked =
        describing_without(runtime.engine(), component, unfit).and_then(|linker| linker.instantiate_pre(component));
    let pre = match linked {
        Ok(pre) => pre,
        Err(error) => {
            let what = format!("it cannot be linked: {}", error.root_cause());
            report.faults.push(Fault::error("link", what, "build it with the WIT of this host"));
            return None;
        }
    };
    let limits = Limits::default();
    let budget = Budget { limits, time: DESCRIBE, cancel: CancellationToken::new() };
    let (guest, heard) = Guest::heard(limits);
    let manifest = role::manifest::GuestIndices::new(&pre).ok();
    let roles = crate::plugin::instance::Exports::of(&pre);
    let run = runtime.run("it", &pre, guest, budget, async |store, instance| {
        let mut misfits = Vec::new();
        macro_rules! fits {
            ($($indices:expr => $name:literal),*) => {
                $(if let Some(indices) = $indices
                    && let Err(error) = indices.load(&mut *store, instance)
                {
                    misfits.push(($name, error.root_cause().to_string()));
                })*
            };
        }
        fits!(
            &manifest => "manifest", &roles.provider => "provider", &roles.tools => "tools", &roles.channel => "channel",
            &roles.outgoing => "outgoing", &roles.http_handler => "http-handler",
            &roles.attachments => "attachments", &roles.approvals => "approvals", &roles.observer => "observer"
        );
        let fits = misfits.iter().all(|(name, _)| *name != "manifest");
        let said = match manifest.as_ref().filter(|_| fits) {
            Some(indices) => Some(indices.load(&mut *store, instance)?.call_describe(store).await),
            None => None,
        };
        Ok((misfits, said))
    });
    let done = run.await;
    let (misfits, said, memory) = match done {
        Ok(((misfits, said), memory)) => (misfits, said, memory),
        Err(error) => {
            report.faults.push(silent(&error, &heard.contents()));
            return None;
        }
    };
    report.memory = report.memory.max(memory);
    report.faults.extend(misfits.into_iter().map(|(name, why)| shape::misfit(name, &why)));
    match said? {
        Ok(said) => Some(said),
        Err(error) => {
            // A limit that the guest ran into is an error of ours; all else is a trap.
            let error = match error.downcast_ref::<Violation>() {
                Some(violation) => CallError::Limit { plugin: "it".into(), violation: *violation },
                None => CallError::Trap { plugin: "it".into(), reason: error.root_cause().to_string() },
            };
            report.faults.push(silent(&error, &heard.contents()));
            None
        }
    }
}

/// Why there is no manifest.
fn silent(error: &CallError, heard: &[u8]) -> Fault {
    let heard = String::from_utf8_lossy(heard);
    let wrote: Vec<&str> = heard.lines().map(str::trim_end).filter(|line| !line.is_empty()).collect();
    let wrote = match wrote.as_slice() {
        [] => String::new(),
        lines => format!("; it wrote: {}", lines.iter().take(5).copied().collect::<Vec<_>>().join(" / ")),
    };
    match error {
        CallError::Trap { reason, .. } if reason.contains("must be pure") => Fault::error(
            "describe-impure",
            reason.clone(),
            "return data only: settings, state, the log and all capabilities are there for the other calls",
        ),
        CallError::Trap { reason, .. } => Fault::error(
            "describe-trap",
            format!("it failed while it described itself: {reason}{wrote}"),
            "`describe` panicked, or threw an exception that nobody caught; it must return data whatever happens",
        ),
        CallError::Limit { violation: Violation::Running(_), .. } | CallError::TimedOut { .. } => Fault::error(
            "describe-hang",
            format!("it did not describe itself within {} s{wrote}", DESCRIBE.as_secs()),
            "`describe` may compute nothing long and wait for nothing: it returns data that is known beforehand",
        ),
        CallError::Limit { violation, .. } => Fault::error(
            "describe-limit",
            format!("it was stopped while it described itself: {violation}"),
            "make it smaller: a plugin gets so much unless the person grants more under `limits`",
        ),
        CallError::Cancelled | CallError::Aside { .. } => Fault::error("describe-trap", "cancelled", "try again"),
    }
}

/// Another plugin of that name.
fn clash(bench: &Bench, report: &mut Report, manifest: &Manifest, installed: &Path) {
    for (file, version) in namesakes(bench, &manifest.name, installed, &report.digest) {
        report.faults.push(if file == report.file {
            let what = format!("{} {version} is installed as {file}", manifest.name);
            Fault::note("replaces", what, "in that folder this file takes its place")
        } else {
            let what = format!("there is a plugin {} already: {version}, in the file {file}", manifest.name);
            Fault::warning(
                "name-clash",
                what,
                format!("one name, one file: copy this one over {file}, or name it otherwise in `describe`"),
            )
        });
    }
}

/// Files in the plugins folder that have this name and other bytes, with their versions.
pub fn namesakes(bench: &Bench, name: &str, installed: &Path, digest_here: &str) -> Vec<(String, String)> {
    let files = wasm_files(installed).unwrap_or_default();
    let read = files.into_iter().filter_map(|file| {
        let bytes = std::fs::read(installed.join(&file)).ok()?;
        let digest = digest(&bytes);
        let (known, version) = known_as(&bench.host.runtime, &digest)?;
        (known == name && digest != digest_here).then_some((file, version))
    });
    read.collect()
}

/// Its tools with the settings' defaults, every capability linked and nothing allowed.
async fn offered(bench: &Bench, path: &Path, report: &mut Report) {
    let Some(manifest) = report.manifest.clone() else { return };
    let settings = match manifest.settings(Map::new()) {
        Ok(settings) => settings,
        Err(_) => defaults(&manifest),
    };
    let listed = async {
        let bytes: PathBuf = path.to_path_buf();
        let plugin = Plugin::inspect(&bench.host.runtime, &report.file, &report.digest, bytes).await;
        let plugin = plugin.map_err(|error| format!("{error:#}"))?;
        let secrets = InstanceSecrets::new(manifest.short_name(), []).map_err(|error| error.to_string())?;
        let all: BTreeMap<String, Vec<String>> =
            CAPABILITIES.iter().map(|name| ((*name).to_string(), Vec::new())).collect();
        let instance = Arc::new(Instance::new(
            manifest.short_name().to_string(),
            Arc::new(plugin),
            Grants::new(all),
            Value::Object(settings).to_string().into(),
            Arc::new(secrets),
            Limits::default(),
            Arc::default(),
        ));
        tools::offered(&bench.host, &instance).await
    };
    match listed.await {
        Ok((tools, memory)) => {
            report.memory = report.memory.max(memory);
            report.faults.extend(faults::tools(&tools, !manifest.needs.is_empty()));
            report.tools = tools;
        }
        Err(why) => {
            let advice = "`definitions` has to answer with the defaults of the settings and with nothing granted, or the \
                          model gets none of its tools until it does";
            report.faults.push(Fault::warning("definitions", format!("it does not name its tools: {why}"), advice));
        }
    }
    // What was tried here is no news.
    bench.notes.take();
}

/// The defaults alone, when something that is required has none.
fn defaults(manifest: &Manifest) -> Map<String, Value> {
    let properties = manifest.settings.as_ref().and_then(|schema| schema.get("properties")?.as_object());
    let given = properties
        .into_iter()
        .flatten()
        .filter_map(|(key, property)| Some((key.clone(), property.get("default")?.clone())));
    given.collect()
}
