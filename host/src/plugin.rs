//! Plugins: `.wasm` files in a folder, each a component that describes itself.
//!
//! `Plugin` is one such file as it was last good. `registry` keeps the folder and what is made of it, `stock` lays out
//! the first-party ones, `watch` notices changes; `instance` runs calls, `record` counts
//! them, `aside` says when one breaks too often; `provider`, `tools` and `channel` put the
//! contract's roles behind the host's ports.

pub mod aside;
pub mod channel;
pub mod convert;
pub mod folder;
pub mod instance;
pub mod manifest;
pub mod provider;
pub mod record;
pub mod registry;
pub mod remembered;
pub mod settings;
pub mod standing;
pub mod stock;
pub mod tools;
pub mod watch;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tokio_util::sync::CancellationToken;
use wasmtime::Engine;
use wasmtime::component::Component;

use crate::runtime::limits::Limits;
use crate::runtime::state::Guest;
use crate::runtime::{Budget, Runtime, linker};
use crate::wit::role;
use manifest::Manifest;

/// The contract that this host speaks.
pub const CONTRACT: &str = "0.1.0";
/// So long may a component take to describe itself.
pub const DESCRIBE: Duration = Duration::from_secs(10);

/// A component that described itself.
#[derive(Debug)]
pub struct Plugin {
    /// The name of its file, without the folder.
    pub file: String,
    /// SHA-256 of its bytes, in hex.
    pub digest: String,
    /// What it says of itself.
    pub manifest: Manifest,
    /// What it exports and imports.
    pub shape: Shape,
    /// Where its bytes are kept, whatever happens to the file.
    pub bytes: PathBuf,
    component: Mutex<Option<Weak<Component>>>,
}

/// A component's outside.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shape {
    /// Interfaces that it exports.
    pub exports: Vec<String>,
    /// Interfaces that it imports.
    pub imports: Vec<String>,
}

impl Shape {
    /// Of a component.
    pub fn of(engine: &Engine, component: &Component) -> Self {
        let kind = component.component_type();
        Self {
            exports: kind.exports(engine).map(|(name, _)| name.to_string()).collect(),
            imports: kind.imports(engine).map(|(name, _)| name.to_string()).collect(),
        }
    }

    fn exports_role(&self, role: &str) -> bool {
        self.exports.iter().any(|name| name.starts_with(&format!("openpista:plugin/{role}@")))
    }

    /// It is a provider.
    pub fn provider(&self) -> bool {
        self.exports_role("provider")
    }

    /// It is a channel.
    pub fn channel(&self) -> bool {
        self.exports_role("channel")
    }

    /// It has tools.
    pub fn tools(&self) -> bool {
        self.exports_role("tools")
    }
}

/// What is kept of a description.
#[derive(Serialize, Deserialize)]
struct Described {
    manifest: Manifest,
    shape: Shape,
}

/// SHA-256 in hex.
pub fn digest(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

impl Plugin {
    /// Compiles and describes a component, or takes both from the cache. `bytes` must be what `digest` says.
    pub async fn inspect(runtime: &Arc<Runtime>, file: &str, digest: &str, bytes: PathBuf) -> Result<Self> {
        let described = match read_described(&runtime.cache().path(digest, "json")) {
            Some(described) => described,
            None => {
                announce(runtime, file, digest, &bytes);
                let component = compile(runtime, digest, &bytes).await?;
                let described = describe(runtime, &component).await?;
                if let Ok(json) = serde_json::to_vec(&described) {
                    // Without it the next start describes again.
                    let _ = crate::runtime::cache::write_private(&runtime.cache().path(digest, "json"), &json);
                }
                described
            }
        };
        Ok(Self {
            file: file.to_string(),
            digest: digest.to_string(),
            manifest: described.manifest,
            shape: described.shape,
            bytes,
            component: Mutex::new(None),
        })
    }

    /// The compiled component; shared by all instances, gone from memory when none uses it.
    pub async fn component(&self, runtime: &Arc<Runtime>) -> Result<Arc<Component>> {
        let held = self.component.lock().ok().and_then(|held| held.as_ref().and_then(Weak::upgrade));
        if let Some(component) = held {
            return Ok(component);
        }
        let component = Arc::new(compile(runtime, &self.digest, &self.bytes).await?);
        if let Ok(mut held) = self.component.lock() {
            *held = Some(Arc::downgrade(&component));
        }
        Ok(component)
    }
}

/// Says what takes so long. A component with a whole interpreter in it is compiled for some seconds.
fn announce(runtime: &Runtime, file: &str, digest: &str, bytes: &Path) {
    const LARGE: u64 = 1 << 20;
    let size = std::fs::metadata(bytes).map_or(0, |meta| meta.len());
    if size > LARGE && !runtime.cache().holds(digest) {
        tracing::info!("{file} has {} MB and is being compiled, which takes some seconds, once", size.div_ceil(LARGE));
    }
}

/// The name and version that the bytes of this digest gave themselves, if they were looked at before.
pub fn known_as(runtime: &Runtime, digest: &str) -> Option<(String, String)> {
    let described = read_described(&runtime.cache().path(digest, "json"))?;
    Some((described.manifest.name, described.manifest.version))
}

fn read_described(path: &Path) -> Option<Described> {
    serde_json::from_slice(&std::fs::read(path).ok()?).ok()
}

async fn compile(runtime: &Arc<Runtime>, digest: &str, bytes: &Path) -> Result<Component> {
    let (runtime, digest, path) = (Arc::clone(runtime), digest.to_string(), bytes.to_path_buf());
    tokio::task::spawn_blocking(move || {
        runtime.component(&digest, &|| {
            let bytes = std::fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
            check_kind(&bytes)?;
            Ok(bytes)
        })
    })
    .await
    .context("compiling was interrupted")?
}

/// Says in plain words what is wrong with bytes that are no component.
pub fn check_kind(bytes: &[u8]) -> Result<()> {
    const MAGIC: &[u8] = b"\0asm";
    match (bytes.get(..4), bytes.get(4..8)) {
        (Some(MAGIC), Some([0x0d, 0, 1, 0])) => Ok(()),
        (Some(MAGIC), Some([1, 0, 0, 0])) => bail!(
            "it is a core WebAssembly module, not a component: build it with `cargo component build`, or for the target wasm32-wasip2"
        ),
        (Some(MAGIC), Some(_)) => bail!("it is WebAssembly of a format that this host does not know"),
        (Some(MAGIC), None) => bail!("it is cut off: only its first bytes are there"),
        _ => bail!("it is no WebAssembly: it does not begin with `\\0asm`"),
    }
}

/// As far as a file is looked at before its code runs.
#[cfg(any(test, fuzzing))]
pub fn look(engine: &Engine, bytes: &[u8]) -> Result<()> {
    check_kind(bytes)?;
    let component = Component::from_binary(engine, bytes).map_err(|error| anyhow::anyhow!("{error:#}"))?;
    check_world(&Shape::of(engine, &component))?;
    let linker = linker::describing(engine, &component).map_err(|error| anyhow::anyhow!("{error:#}"))?;
    linker.instantiate_pre(&component).map(|_| ()).map_err(|error| anyhow::anyhow!("{error:#}"))
}

/// Asks a component what it is, in a store where everything of ours traps.
async fn describe(runtime: &Arc<Runtime>, component: &Component) -> Result<Described> {
    let engine = runtime.engine();
    let shape = Shape::of(engine, component);
    check_world(&shape)?;
    let pre = linker::describing(engine, component)
        .and_then(|linker| linker.instantiate_pre(component))
        .map_err(|error| anyhow::anyhow!("it cannot be linked: {error:#}"))?;
    let indices = role::manifest::GuestIndices::new(&pre)
        .map_err(|error| anyhow::anyhow!("its manifest does not fit the contract {CONTRACT}: {error:#}"))?;
    let limits = Limits::default();
    let budget = Budget { limits, time: DESCRIBE, cancel: CancellationToken::new() };
    let (manifest, _) = runtime
        .run("describe", &pre, Guest::new(limits), budget, async |store, instance| {
            indices.load(&mut *store, instance)?.call_describe(store).await
        })
        .await?;
    Ok(Described { manifest: Manifest::check(manifest)?, shape })
}

/// Says in plain words why a component is no plugin of ours.
fn check_world(shape: &Shape) -> Result<()> {
    let ours = |names: &[String]| -> Vec<String> {
        names.iter().filter(|name| name.starts_with("openpista:")).cloned().collect()
    };
    let (exports, imports) = (ours(&shape.exports), ours(&shape.imports));
    for name in exports.iter().chain(&imports) {
        let Some((interface, version)) = name.split_once('@') else { continue };
        let theirs = semver::Version::parse(version);
        let mine = semver::Version::parse(CONTRACT);
        if let (Ok(theirs), Ok(mine)) = (theirs, mine)
            && (theirs.major, theirs.minor) != (mine.major, mine.minor)
        {
            let (what, todo) = if theirs > mine {
                ("a newer", "update openpista-host")
            } else {
                ("an older", "build it again with the WIT of this host (`openpista-host plugin new` lays it out)")
            };
            bail!("it was built for {what} contract ({interface} {version}; this host has {CONTRACT}): {todo}");
        }
    }
    if !exports.iter().any(|name| name.starts_with("openpista:plugin/manifest@")) {
        let has = if shape.exports.is_empty() { "nothing".to_string() } else { shape.exports.join(", ") };
        bail!("it is a component of another world: it exports {has}, and not openpista:plugin/manifest@{CONTRACT}");
    }
    if !(shape.provider() || shape.channel() || shape.tools()) {
        bail!("it exports no role: one of provider, channel and tools is needed");
    }
    Ok(())
}
