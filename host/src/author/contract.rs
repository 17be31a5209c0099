//! The names in the contract, read from its one-file form: which interfaces there are, what their functions look like,
//! and which of them a wrong name was meant to be.

use std::collections::BTreeMap;
use std::sync::OnceLock;

const FLAT: &str = include_str!("../../../wit/flat/openpista.wit");
/// Names less alike than this were not meant.
const ALIKE: f64 = 0.85;

/// One interface of the contract.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Interface {
    /// `openpista:http/client`, without a version.
    pub name: String,
    /// By the name that a component has for them (`send`, `[method]incoming.read`), as they are declared.
    pub functions: BTreeMap<String, String>,
}

/// All of them, also those that plugins export.
pub fn interfaces() -> &'static [Interface] {
    static ALL: OnceLock<Vec<Interface>> = OnceLock::new();
    ALL.get_or_init(|| read(FLAT))
}

/// One, by its name without a version.
pub fn interface(name: &str) -> Option<&'static Interface> {
    interfaces().iter().find(|interface| interface.name == name)
}

/// `a:b/c@0.1.0` without the version.
pub fn unversioned(name: &str) -> &str {
    name.split_once('@').map_or(name, |(name, _)| name)
}

/// What a wrong name was meant to be.
pub fn nearest<'a>(name: &str, all: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    all.into_iter()
        .map(|known| (strsim::jaro_winkler(known, name), known))
        .max_by(|(one, _), (other, _)| one.total_cmp(other))
        .filter(|(alike, _)| *alike >= ALIKE)
        .map(|(_, known)| known)
}

/// The same as a sentence's end: `; did you mean …?`, or nothing.
pub fn meant<'a>(name: &str, all: impl IntoIterator<Item = &'a str>) -> String {
    nearest(name, all).map(|known| format!("did you mean `{known}`?")).unwrap_or_default()
}

/// Reads the flat form, which xtask writes with the indentation of the sources: packages at the edge, interfaces within,
/// functions and resources within these.
fn read(flat: &str) -> Vec<Interface> {
    let mut all: Vec<Interface> = Vec::new();
    let (mut package, mut resource) = (String::new(), None);
    for line in flat.lines() {
        let text = line.trim_start();
        let depth = line.len() - text.len();
        if text.starts_with("//") {
            continue;
        }
        match depth {
            0 => {
                if let Some(name) = text.strip_prefix("package ") {
                    package = unversioned(name).to_string();
                }
            }
            2 => {
                if let Some(name) = text.strip_prefix("interface ").and_then(|rest| rest.strip_suffix(" {")) {
                    let name = format!("{package}/{name}");
                    all.push(Interface { name, functions: BTreeMap::new() });
                }
            }
            4 if text.starts_with("resource ") => {
                resource =
                    text.strip_prefix("resource ").map(|rest| rest.trim_end_matches([' ', '{', ';']).to_string());
            }
            4 if text.starts_with('}') => resource = None,
            _ => {
                let Some((name, _)) = text.split_once(": func(") else { continue };
                let name = match &resource {
                    Some(resource) => format!("[method]{resource}.{name}"),
                    None => name.to_string(),
                };
                if let Some(interface) = all.last_mut() {
                    interface.functions.insert(name, text.trim_end_matches(';').to_string());
                }
            }
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_names_are_those_that_a_parser_of_wit_finds() {
        let mut resolve = wit_parser::Resolve::new();
        resolve.push_str("all.wit", &format!("package test:all;\n{FLAT}")).unwrap();
        let mut expected: Vec<(String, Vec<String>)> = resolve
            .interfaces
            .iter()
            .map(|(_, interface)| {
                let package = &resolve.packages[interface.package.unwrap()].name;
                let name = format!("{}:{}/{}", package.namespace, package.name, interface.name.as_ref().unwrap());
                let mut functions: Vec<String> = interface.functions.keys().cloned().collect();
                functions.sort();
                (name, functions)
            })
            .collect();
        let mut found: Vec<(String, Vec<String>)> = interfaces()
            .iter()
            .map(|interface| (interface.name.clone(), interface.functions.keys().cloned().collect()))
            .collect();
        expected.sort();
        found.sort();
        assert_eq!(found, expected);
    }

    #[test]
    fn a_function_is_shown_as_it_is_declared() {
        let client = interface("openpista:http/client").unwrap();
        assert_eq!(
            client.functions["send"],
            "send: func(request: request, options: option<options>) -> result<incoming, error>"
        );
        assert_eq!(client.functions["[method]incoming.status"], "status: func() -> u16");
    }

    #[test]
    fn a_slip_is_recognised_and_another_word_is_not() {
        let names = || interfaces().iter().map(|interface| interface.name.as_str());
        assert_eq!(nearest("openpista:htttp/client", names()), Some("openpista:http/client"));
        assert_eq!(nearest("openpista:http/clients", names()), Some("openpista:http/client"));
        assert_eq!(nearest("openpista:shel/shell", names()), Some("openpista:shell/shell"));
        assert_eq!(nearest("acme:robots/arm", names()), None);
        assert_eq!(meant("sned", ["send", "close"]), "did you mean `send`?");
    }
}
