//! What is wrong with a component's outside: what kind of file it is, what it imports, what it exports.

use std::collections::BTreeSet;

use wasmtime::Engine;
use wasmtime::component::Component;
use wasmtime::component::types::ComponentItem;

use super::check::Fault;
use super::contract::{interface, interfaces, meant, nearest, unversioned};
use crate::plugin::{CONTRACT, Shape};
use crate::runtime::linker::CAPABILITIES;

const WIT_HERE: &str = "build it with the WIT of this host, which `openpista-host plugin new` lays out";
/// The parts of WASI 0.2 that are linked.
const WASI: &[&str] = &["cli", "clocks", "filesystem", "http", "io", "random", "sockets"];

/// Bytes that are no component.
pub(super) fn kind(bytes: &[u8], why: &str) -> Fault {
    let core = bytes.get(4..8) == Some(&[1, 0, 0, 0]);
    if core {
        let what = "it is a core WebAssembly module, not a component";
        let advice = "in Rust: `cargo build --release --target wasm32-wasip2`, or `cargo component build --release`; \
                      Python: `componentize-py`; JavaScript: `jco componentize`; a module that carries its WIT already: \
                      `wasm-tools component new`";
        return Fault::error("core-module", what, advice);
    }
    Fault::error("no-component", why, "take the `.wasm` file that the build made; it may have been copied in part")
}

/// `openpista:…` interfaces of another version of the contract: one fault for each version.
pub(super) fn versions(shape: &Shape) -> Vec<Fault> {
    let all = shape.exports.iter().chain(&shape.imports);
    let ours = all.filter(|name| name.starts_with("openpista:")).filter_map(|name| name.split_once('@'));
    let mut seen: Vec<(&str, Vec<&str>)> = Vec::new();
    for (name, version) in ours.filter(|(_, version)| other_contract(version)) {
        match seen.iter_mut().find(|(known, _)| *known == version) {
            Some((_, names)) => names.push(name),
            None => seen.push((version, vec![name])),
        }
    }
    let fault = |(version, names): (&str, Vec<&str>)| {
        let newer = semver::Version::parse(version).ok() > semver::Version::parse(CONTRACT).ok();
        let more = if names.len() > 1 { format!(" and {} more", names.len() - 1) } else { String::new() };
        let first = names.first().copied().unwrap_or_default();
        let with =
            |what: &str| format!("it was built for {what} contract: {first} {version}{more}; this host has {CONTRACT}");
        if newer {
            Fault::error(
                "contract-newer",
                with("a newer"),
                "update openpista-host, or build it with the WIT of this host",
            )
        } else {
            Fault::error("contract-older", with("an older"), WIT_HERE)
        }
    };
    seen.into_iter().map(fault).collect()
}

fn other_contract(version: &str) -> bool {
    match (semver::Version::parse(version), semver::Version::parse(CONTRACT)) {
        (Ok(theirs), Ok(mine)) => (theirs.major, theirs.minor) != (mine.major, mine.minor),
        _ => false,
    }
}

fn of_other_contract(name: &str) -> bool {
    name.starts_with("openpista:") && name.split_once('@').is_some_and(|(_, version)| other_contract(version))
}

/// What it lacks among its exports.
pub(super) fn exports(shape: &Shape) -> Vec<Fault> {
    let mut faults = Vec::new();
    let mine: Vec<&str> = shape.exports.iter().map(|name| unversioned(name)).collect();
    // What the version is wrong of is said already.
    let other = shape.exports.iter().any(|name| of_other_contract(name));
    let roles = ["provider", "channel", "tools"];
    let parts = [
        "manifest",
        "provider",
        "channel",
        "tools",
        "outgoing",
        "http-handler",
        "attachments",
        "approvals",
        "observer",
    ];
    let known: Vec<String> = parts.iter().map(|part| format!("openpista:plugin/{part}")).collect();
    for name in mine.iter().filter(|name| name.starts_with("openpista:") && !known.iter().any(|known| known == *name)) {
        let near = meant(name, known.iter().map(String::as_str));
        let advice = if near.is_empty() { format!("a plugin exports some of {}", parts.join(", ")) } else { near };
        faults.push(
            Fault::error("unknown-export", format!("it exports {name}, which is no part of a plugin"), advice)
                .at(*name),
        );
    }
    let has = |part: &str| mine.iter().any(|name| name.strip_prefix("openpista:plugin/") == Some(part));
    let manifest = has("manifest");
    let role = roles.iter().any(|role| has(role));
    if other || (manifest && role) {
        return faults;
    }
    if let Some((what, advice)) = stranger(&mine) {
        faults.push(Fault::error("other-world", what, advice));
        return faults;
    }
    let world = "let its world include `openpista:plugin/tool-plugin@0.1.0` (or `provider-plugin`, `channel-plugin`) and \
                 export it: in Rust with the macro `export!`";
    if !manifest {
        let has = if mine.is_empty() { "nothing".to_string() } else { mine.join(", ") };
        let what =
            format!("it does not say what it is: it exports {has}, and not openpista:plugin/manifest@{CONTRACT}");
        faults.push(Fault::error("no-manifest", what, world));
    }
    if !role {
        let what = "it has no role: it exports none of provider, channel and tools";
        faults.push(Fault::error("no-role", what, world));
    }
    faults
}

/// A component of a well-known other kind.
fn stranger(exports: &[&str]) -> Option<(String, String)> {
    let library = "build a library (`crate-type = [\"cdylib\"]`) with the world of a plugin".to_string();
    if exports.contains(&"wasi:cli/run") {
        return Some(("it is a command (it exports wasi:cli/run), not a plugin".into(), library));
    }
    if exports.contains(&"wasi:http/incoming-handler") {
        return Some((
            "it is a web server's handler (it exports wasi:http/incoming-handler), not a plugin".into(),
            library,
        ));
    }
    None
}

/// An import that this host has not, or not so. None if it is said already.
pub(super) fn import(engine: &Engine, component: &Component, import: &str, why: &str) -> Option<Fault> {
    if of_other_contract(import) {
        return None;
    }
    let name = unversioned(import);
    if name.starts_with("openpista:") {
        return Some(match interface(name) {
            Some(known) => ours(engine, component, import, &known.functions.keys().map(String::as_str).collect(), why),
            None => unknown(import, name),
        });
    }
    if let Some(rest) = name.strip_prefix("wasi:") {
        return Some(wasi(import, rest));
    }
    let what = format!("it imports {import}, which is no part of the contract");
    Some(
        Fault::error(
            "unknown-import",
            what,
            "take it out of the world: a plugin imports what the host has, and WASI 0.2",
        )
        .at(import),
    )
}

fn unknown(import: &str, name: &str) -> Fault {
    let imported = interfaces().iter().map(|interface| interface.name.as_str());
    let near = meant(name, imported);
    let advice = if near.is_empty() {
        format!("the host has {}; another one may be in a newer openpista-host", CAPABILITIES.join(", "))
    } else {
        near
    };
    Fault::error("unknown-import", format!("it imports {import}, which this host does not have"), advice).at(import)
}

/// An interface of the contract of which a function is unknown or has another type.
fn ours(engine: &Engine, component: &Component, import: &str, known: &BTreeSet<&str>, why: &str) -> Fault {
    let name = unversioned(import);
    let version = import.split_once('@').map_or("", |(_, version)| version);
    let patch = semver::Version::parse(version).ok() > semver::Version::parse(CONTRACT).ok();
    let item = component.component_type().imports(engine).find(|(known, _)| *known == import).map(|(_, item)| item.ty);
    let functions: Vec<String> = match item {
        Some(ComponentItem::ComponentInstance(instance)) => instance
            .exports(engine)
            .filter(|(_, item)| matches!(item.ty, ComponentItem::ComponentFunc(_)))
            .map(|(name, _)| name.to_string())
            .collect(),
        _ => Vec::new(),
    };
    let missing: Vec<&String> = functions.iter().filter(|function| !known.contains(function.as_str())).collect();
    if let Some(first) = missing.first() {
        let all: Vec<String> = missing.iter().map(|function| format!("`{}`", spoken(function))).collect();
        let what = format!("it imports {} of {name}, which that interface does not have", all.join(", "));
        let advice = match nearest(first, known.iter().copied()) {
            _ if patch => {
                format!("it was built for {version} of the contract; update openpista-host, which has {CONTRACT}")
            }
            Some(near) => format!("did you mean `{}`? {WIT_HERE}", spoken(near)),
            None => WIT_HERE.to_string(),
        };
        return Fault::error("unknown-function", what, advice).at(import);
    }
    // wasmtime names the function between backticks.
    let declared = interface(name).and_then(|interface| {
        functions
            .iter()
            .filter(|function| why.contains(&format!("`{function}`")))
            .find_map(|f| interface.functions.get(f))
    });
    let here = declared.map(|declared| format!("; this host has `{declared}`")).unwrap_or_default();
    let what = format!("its {name} is not this host's: {why}{here}");
    let advice = if patch {
        "update openpista-host, or ".to_string() + WIT_HERE
    } else {
        format!("the WIT was changed: {WIT_HERE}")
    };
    Fault::error("other-type", what, advice).at(import)
}

/// `[method]incoming.read` as a person writes it.
fn spoken(function: &str) -> &str {
    function.split_once(']').map_or(function, |(_, name)| name)
}

fn wasi(import: &str, rest: &str) -> Fault {
    let package = rest.split_once('/').map_or(rest, |(package, _)| package);
    let has = format!("of WASI this host has 0.2: {}", WASI.join(", "));
    let instead = match package {
        "keyvalue" | "blobstore" => "; to keep something, use openpista:state/state",
        "config" | "runtime-config" => "; for settings, use openpista:settings/settings",
        "logging" => "; for the log, use openpista:log/log",
        _ => "",
    };
    let version = import.split_once('@').map_or("", |(_, version)| version);
    let advice = if WASI.contains(&package) && !version.starts_with("0.2") {
        format!("{has}; build it for that version (in Rust the target wasm32-wasip2)")
    } else {
        format!("{has}{instead}")
    };
    Fault::error("unknown-import", format!("it imports {import}, which this host does not have"), advice).at(import)
}

/// Parts of WASI that are linked and refuse every call.
pub(super) fn closed(shape: &Shape) -> Vec<Fault> {
    let mut faults = Vec::new();
    for (package, what, advice) in [
        ("wasi:sockets/", "sockets", "every call is refused: use openpista:http/client, or WASI's own http"),
        ("wasi:filesystem/", "files", "there are none: keep data with openpista:state/state"),
    ] {
        if let Some(import) = shape.imports.iter().find(|import| import.starts_with(package)) {
            let what = format!("it imports {}, and a plugin has no {what} of its own", unversioned(import));
            faults.push(Fault::note("closed", what, format!("{advice}; many toolchains import it without using it")));
        }
    }
    faults
}

/// An export whose types are not those of the contract.
pub(super) fn misfit(part: &str, why: &str) -> Fault {
    let name = format!("openpista:plugin/{part}");
    Fault::error("export-type", format!("its {name} does not fit the contract {CONTRACT}: {why}"), WIT_HERE).at(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape(imports: &[&str], exports: &[&str]) -> Shape {
        let strings = |names: &[&str]| names.iter().map(ToString::to_string).collect();
        Shape { exports: strings(exports), imports: strings(imports) }
    }

    fn codes(faults: &[Fault]) -> Vec<&str> {
        faults.iter().map(|fault| fault.code).collect()
    }

    #[test]
    fn a_core_module_is_told_how_each_language_makes_a_component() {
        let fault = kind(b"\0asm\x01\0\0\0", "");
        assert_eq!(fault.code, "core-module");
        assert!(["wasm32-wasip2", "componentize-py", "jco"].iter().all(|word| fault.advice.contains(word)));
        assert_eq!(kind(b"\x7fELF", "it is no WebAssembly").code, "no-component");
    }

    #[test]
    fn another_contract_is_one_fault_however_many_interfaces_are_of_it() {
        let other = shape(
            &["openpista:log/log@0.2.0", "openpista:http/client@0.2.0", "wasi:io/streams@0.2.6"],
            &["openpista:plugin/tools@0.2.0", "openpista:plugin/manifest@0.2.0"],
        );
        let faults = versions(&other);
        assert_eq!(codes(&faults), ["contract-newer"]);
        assert_eq!(
            faults[0].what,
            format!(
                "it was built for a newer contract: openpista:plugin/tools 0.2.0 and 3 more; this host has {CONTRACT}"
            )
        );
        assert_eq!(exports(&other), []);
        assert_eq!(codes(&versions(&shape(&[], &["openpista:plugin/tools@0.0.9"]))), ["contract-older"]);
        assert_eq!(versions(&shape(&["openpista:log/log@0.1.7"], &[])), []);
    }

    #[test]
    fn what_it_does_not_export_is_named_with_what_it_may_have_meant() {
        assert_eq!(codes(&exports(&shape(&[], &[]))), ["no-manifest", "no-role"]);
        assert_eq!(codes(&exports(&shape(&[], &["openpista:plugin/manifest@0.1.0"]))), ["no-role"]);
        assert_eq!(codes(&exports(&shape(&[], &["wasi:cli/run@0.2.0"]))), ["other-world"]);
        let faults = exports(&shape(&[], &["openpista:plugin/manifest@0.1.0", "openpista:plugin/tool@0.1.0"]));
        assert_eq!(codes(&faults), ["unknown-export", "no-role"]);
        assert_eq!(faults[0].advice, "did you mean `openpista:plugin/tools`?");
        assert_eq!(exports(&shape(&[], &["openpista:plugin/manifest@0.1.0", "openpista:plugin/tools@0.1.0"])), []);
    }

    #[test]
    fn imports_that_are_not_there_are_told_what_is() {
        let fault = unknown("openpista:htttp/client@0.1.0", "openpista:htttp/client");
        assert_eq!(fault.advice, "did you mean `openpista:http/client`?");
        assert!(wasi("wasi:keyvalue/store@0.2.0", "keyvalue/store@0.2.0").advice.contains("openpista:state/state"));
        assert!(wasi("wasi:cli/run@0.3.0", "cli/run@0.3.0").advice.contains("wasm32-wasip2"));
        let noted = closed(&shape(&["wasi:sockets/tcp@0.2.0", "wasi:sockets/udp@0.2.0"], &[]));
        assert_eq!(codes(&noted), ["closed"]);
    }
}
