//! Lists of tools on disk, beside what was compiled, so that a start asks no component for what cannot have changed.
//!
//! Only for a component that has neither state nor a capability: its list can depend on nothing but its bytes and its
//! settings. All others are asked at each start.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::Plugin;
use super::instance::Instance;
use crate::message::ToolDefinition;
use crate::runtime::Runtime;
use crate::runtime::cache::write_private;
use crate::runtime::linker::capability_of;

/// What a component may import and still depend on nothing.
const HARMLESS: [&str; 4] = ["log", "settings", "plugin", "types"];
/// Settings of one component that are remembered.
const MOST: usize = 16;

/// By the hash of the settings.
#[derive(Default, Serialize, Deserialize)]
struct Lists(BTreeMap<String, Vec<ToolDefinition>>);

fn depends_on_nothing(plugin: &Plugin) -> bool {
    let mut capabilities = plugin.shape.imports.iter().filter_map(|import| capability_of(import));
    capabilities.all(|capability| HARMLESS.contains(&capability))
}

fn path(runtime: &Runtime, instance: &Instance) -> PathBuf {
    runtime.cache().path(&instance.plugin.digest, "tools")
}

fn read(path: &PathBuf) -> Lists {
    std::fs::read(path).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default()
}

/// The list, if it is known without asking.
pub fn recall(runtime: &Runtime, instance: &Instance) -> Option<Vec<ToolDefinition>> {
    if !depends_on_nothing(&instance.plugin) {
        return None;
    }
    read(&path(runtime, instance)).0.remove(&super::digest(instance.settings.as_bytes()))
}

/// Keeps a list for the next start, if it may be kept.
pub fn remember(runtime: &Runtime, instance: &Instance, list: &[ToolDefinition]) {
    if !depends_on_nothing(&instance.plugin) {
        return;
    }
    let path = path(runtime, instance);
    let mut lists = read(&path);
    if lists.0.len() >= MOST {
        lists.0.clear();
    }
    lists.0.insert(super::digest(instance.settings.as_bytes()), list.to_vec());
    // Without it the next start asks again.
    if let Ok(json) = serde_json::to_vec(&lists) {
        let _ = write_private(&path, &json);
    }
}
