//! What a component finds when it is instantiated: WASI and what everyone has, then one line for each capability that
//! is granted. An interface that is not linked does not exist for the guest.

use std::collections::BTreeSet;

use wasmtime::Engine;
use wasmtime::component::types::ComponentItem;
use wasmtime::component::{Component, Linker, ResourceType};

use super::state::{Guest, HostState};
use crate::capability::HasView;
use crate::wit::openpista as wit;

/// The capabilities that a grant can name. Log, settings, state, progress and deltas are everyone's.
pub const CAPABILITIES: &[&str] = &["http", "secrets", "gateway", "connection", "control", "shell", "skill"];

/// A linker with the given capabilities.
pub fn linker(engine: &Engine, capabilities: &BTreeSet<String>) -> wasmtime::Result<Linker<HostState>> {
    let mut linker = Linker::new(engine);
    let l = &mut linker;
    wasmtime_wasi::p2::add_to_linker_async(l)?;
    wit::types::types::add_to_linker::<_, HasView>(l, HostState::view)?;
    wit::log::log::add_to_linker::<_, HasView>(l, HostState::view)?;
    wit::settings::settings::add_to_linker::<_, HasView>(l, HostState::view)?;
    wit::state::state::add_to_linker::<_, HasView>(l, HostState::view)?;
    wit::plugin::progress::add_to_linker::<_, HasView>(l, HostState::view)?;
    wit::plugin::deltas::add_to_linker::<_, HasView>(l, HostState::view)?;
    wit::http::exchange::add_to_linker::<_, HasView>(l, HostState::view)?;
    for capability in capabilities {
        match capability.as_str() {
            "http" => {
                wit::http::client::add_to_linker::<_, HasView>(l, HostState::view)?;
                wasmtime_wasi_http::p2::add_only_http_to_linker_async(l)?;
            }
            "secrets" => wit::secrets::secrets::add_to_linker::<_, HasView>(l, HostState::view)?,
            "gateway" => wit::gateway::gateway::add_to_linker::<_, HasView>(l, HostState::view)?,
            "connection" => wit::connection::connection::add_to_linker::<_, HasView>(l, HostState::view)?,
            "control" => {
                wit::control::sessions::add_to_linker::<_, HasView>(l, HostState::view)?;
                wit::control::models::add_to_linker::<_, HasView>(l, HostState::view)?;
            }
            "shell" => wit::shell::shell::add_to_linker::<_, HasView>(l, HostState::view)?,
            "skill" => wit::skill::skill::add_to_linker::<_, HasView>(l, HostState::view)?,
            // A grant may name what a later host has; the plugin that needs it is refused when its import is missing.
            _ => (),
        }
    }
    Ok(linker)
}

/// A linker for `describe`: WASI, because interpreters start with it, and every import that a grant is about traps.
pub fn describing(engine: &Engine, component: &Component) -> wasmtime::Result<Linker<Guest>> {
    let mut linker = Linker::new(engine);
    wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
    let mut known = Vec::new();
    for (name, item) in component.component_type().imports(engine) {
        let ComponentItem::ComponentInstance(interface) = item.ty else { continue };
        // An interface that uses a resource of another names it again; only the first of them defines it.
        let resources = interface.exports(engine).filter_map(|(resource, item)| match item.ty {
            ComponentItem::Resource(kind) => Some((resource.to_string(), kind)),
            _ => None,
        });
        let own: Vec<_> = resources.filter(|(_, kind)| !known.contains(kind)).collect();
        known.extend(own.iter().map(|(_, kind)| *kind));
        if capability_of(name).is_none() {
            continue;
        }
        let mut instance = linker.instance(name)?;
        for (resource, _) in &own {
            instance.resource(resource, ResourceType::host::<()>(), |_, _| Ok(()))?;
        }
        for (function, item) in interface.exports(engine) {
            if let ComponentItem::ComponentFunc(_) = item.ty {
                let what = format!("{name}#{function}");
                instance.func_new(function, move |_, _, _, _| {
                    wasmtime::bail!("`describe` must be pure, but it called {what}")
                })?;
            }
        }
    }
    Ok(linker)
}

/// The capability that an import belongs to: `openpista:shell/shell@0.1.0` → `shell`. WASI's requests are `http`, too;
/// the rest of WASI is everyone's.
pub fn capability_of(import: &str) -> Option<&str> {
    if import.starts_with("wasi:http/") {
        return Some("http");
    }
    let package = import.strip_prefix("openpista:")?;
    package.split_once('/').map(|(name, _)| name)
}
