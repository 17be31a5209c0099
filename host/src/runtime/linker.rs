//! What a component finds when it is instantiated: WASI and what everyone has, then one line for each capability that
//! is granted. An interface that is not linked does not exist for the guest.

use std::collections::BTreeSet;

use wasmtime::Engine;
use wasmtime::component::types::ComponentItem;
use wasmtime::component::{Component, Linker, ResourceType};

use super::state::{Guest, HostState};
use crate::capability::HasView;
use crate::capability::deltas::Sink;
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
    describing_without(engine, component, &BTreeSet::new())
}

/// The same for a component that imports what this host does not have: that traps, too.
pub fn describing_without(
    engine: &Engine,
    component: &Component,
    unfit: &BTreeSet<String>,
) -> wasmtime::Result<Linker<Guest>> {
    let mut linker = Linker::new(engine);
    linker.allow_shadowing(true);
    wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
    stub(&mut linker, component, &|import| capability_of(import).is_some() || unfit.contains(import))?;
    Ok(linker)
}

/// What a component imports and this host has not, or not so, whatever is granted: the import's name, and why in
/// wasmtime's words.
pub fn unfit(engine: &Engine, component: &Component) -> wasmtime::Result<Vec<(String, String)>> {
    let all = CAPABILITIES.iter().map(ToString::to_string).collect();
    let mut found: Vec<(String, String)> = Vec::new();
    loop {
        let mut linker = linker(engine, &all)?;
        linker.allow_shadowing(true);
        // wasmtime names the first that does not fit; with a trap in its place, the next.
        stub(&mut linker, component, &|import| found.iter().any(|(name, _)| name == import))?;
        let Err(error) = linker.instantiate_pre(component) else { return Ok(found) };
        let said = error.to_string();
        let why: Vec<String> = error.chain().skip(1).map(ToString::to_string).collect();
        let name = said.split('`').nth(1).unwrap_or_default().to_string();
        let repeated = name.is_empty() || found.iter().any(|(known, _)| *known == name);
        found.push((name, why.join(": ")));
        if repeated {
            return Ok(found);
        }
    }
}

/// Puts traps in the place of all functions of the imports that `chosen` names.
fn stub<T: 'static>(
    linker: &mut Linker<T>,
    component: &Component,
    chosen: &dyn Fn(&str) -> bool,
) -> wasmtime::Result<()> {
    let engine = linker.engine().clone();
    let mut known = Vec::new();
    for (name, item) in component.component_type().imports(&engine) {
        if let ComponentItem::ComponentFunc(_) = item.ty
            && chosen(name)
        {
            let what = name.to_string();
            linker.root().func_new(name, move |_, _, _, _| wasmtime::bail!("there is no {what}"))?;
        }
        let ComponentItem::ComponentInstance(interface) = item.ty else { continue };
        // An interface that uses a resource of another names it again; only the first of them defines it.
        let resources = interface.exports(&engine).filter_map(|(resource, item)| match item.ty {
            ComponentItem::Resource(kind) => Some((resource.to_string(), kind)),
            _ => None,
        });
        let own: Vec<_> = resources.filter(|(_, kind)| !known.contains(kind)).collect();
        known.extend(own.iter().map(|(_, kind)| *kind));
        if !chosen(name) {
            continue;
        }
        let mut instance = linker.instance(name)?;
        for (resource, _) in &own {
            // What a provider's export takes has to be of the type that our bindings know.
            let kind = match resource.as_str() {
                "sink" => ResourceType::host::<Sink>(),
                _ => ResourceType::host::<()>(),
            };
            instance.resource(resource, kind, |_, _| Ok(()))?;
        }
        for (function, item) in interface.exports(&engine) {
            if let ComponentItem::ComponentFunc(_) = item.ty {
                let what = format!("{name}#{function}");
                instance.func_new(function, move |_, _, _, _| {
                    wasmtime::bail!("`describe` must be pure, but it called {what}")
                })?;
            }
        }
    }
    Ok(())
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
