//! Whether a plugin may work: what it asks for against what it was granted.
//!
//! Stock plugins are granted what they ask for, bound to the digests that were shipped. All else needs the person's
//! word, in the config or by `plugin allow`; a plugin that asks for nothing with power works at once.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use super::manifest::{Manifest, Need};
use super::{Plugin, Shape};
use crate::grant::Grants;
use crate::runtime::linker::{CAPABILITIES, capability_of};

/// What everyone has, or has by its role.
const FREE: &[&str] = &["log", "settings", "state", "plugin", "types"];

/// The person's words about one plugin or instance: capability → scope; and what is refused whatever else says yes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Words {
    /// Granted.
    pub granted: BTreeMap<String, Vec<String>>,
    /// Refused.
    pub denied: BTreeSet<String>,
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// It works, with these.
    Ready(Grants),
    /// It asks for more than it has.
    Waiting(Vec<Need>),
    /// It can't work, whatever is granted.
    Refused(String),
}

/// Weighs a plugin's needs. `settings` fill in `{name}` in scopes; `own` tells which of them the person wrote.
pub fn weigh(
    plugin: &Plugin,
    stock: bool,
    words: &Words,
    settings: &Map<String, Value>,
    own: &BTreeSet<String>,
) -> Standing {
    let manifest = &plugin.manifest;
    if let Some(refused) = refused(plugin) {
        return Standing::Refused(refused);
    }
    let mut scopes: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut missing = Vec::new();
    for need in &manifest.needs {
        let asked = expanded(&need.scope, settings, own);
        let granted = words.granted.get(&need.capability);
        let denied = words.denied.contains(&need.capability);
        let scope = match granted {
            _ if denied => None,
            Some(granted) => Some(meet(&asked, &expanded(granted, settings, own))),
            // A channel's connections are what it is for, as long as it opens no process.
            None if stock => Some(asked),
            None => None,
        };
        match scope {
            Some(scope) => {
                scopes.entry(need.capability.clone()).or_default().extend(scope);
            }
            // Linked, and every call is denied: its scope is empty.
            None if need.optional => {
                scopes.entry(need.capability.clone()).or_default();
            }
            None => missing.push(need.clone()),
        }
    }
    if !missing.is_empty() {
        return Standing::Waiting(missing);
    }
    if plugin.shape.channel() {
        scopes.entry("gateway".into()).or_default();
        scopes.entry("connection".into()).or_default();
    }
    if !manifest.secrets.is_empty() {
        scopes.entry("secrets".into()).or_default();
    }
    Standing::Ready(Grants::new(scopes))
}

/// An import that the manifest does not list is never linked; here is the sentence that says so.
fn refused(plugin: &Plugin) -> Option<String> {
    let asked = |capability: &str| plugin.manifest.needs.iter().any(|need| need.capability == capability);
    let (import, capability) =
        unlisted(&plugin.shape, &asked, !plugin.manifest.secrets.is_empty()).into_iter().next()?;
    Some(if CAPABILITIES.contains(&capability) {
        format!("it imports {import}, but its manifest does not ask for {capability}: add it to `needs`")
    } else {
        format!("it imports {import}, which this host does not have")
    })
}

/// The imports that need a grant which is not `asked` for, each with its capability.
pub fn unlisted<'a>(shape: &'a Shape, asked: &dyn Fn(&str) -> bool, secrets: bool) -> Vec<(&'a str, &'a str)> {
    let with_power = shape.imports.iter().filter_map(|import| Some((import.as_str(), capability_of(import)?)));
    with_power
        .filter(|(import, capability)| {
            let by_role = shape.channel() && matches!(*capability, "gateway" | "connection");
            let by_secret = *capability == "secrets" && secrets;
            // Records without functions have no power.
            let records = import.starts_with("openpista:http/exchange@");
            let free = FREE.contains(capability) || by_role || by_secret || records;
            !(free || CAPABILITIES.contains(capability) && asked(capability))
        })
        .collect()
}

/// Both asked for and granted; `*` on one side takes what the other says. `lan:HOST` is more than `HOST`, so both come
/// to `HOST`: a host that a setting names is asked for with `lan:`, and people grant it without.
fn meet(asked: &[String], granted: &[String]) -> Vec<String> {
    let covers = |set: &[String], item: &String| {
        set.iter().any(|entry| entry == "*" || entry == item || entry.strip_prefix("lan:") == Some(item.as_str()))
    };
    let mut scope: Vec<String> = asked.iter().filter(|item| covers(granted, item)).cloned().collect();
    for item in granted {
        if covers(asked, item) && !scope.contains(item) {
            scope.push(item.clone());
        }
    }
    scope
}

/// `{base-url}` becomes the host of that setting; one that the person wrote may lie in the local network. `process:{bridge}`
/// becomes the program that the setting, a text or a command, begins with.
pub fn expanded(scope: &[String], settings: &Map<String, Value>, own: &BTreeSet<String>) -> Vec<String> {
    scope
        .iter()
        .filter_map(|item| {
            if let Some(name) = item.strip_prefix("process:{").and_then(|rest| rest.strip_suffix('}')) {
                let setting = settings.get(name)?;
                return Some(format!("process:{}", setting.get(0).unwrap_or(setting).as_str()?));
            }
            let Some(name) = item.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')) else {
                return Some(item.clone());
            };
            let host = host_of(settings.get(name)?.as_str()?)?;
            Some(if own.contains(name) { format!("lan:{host}") } else { host })
        })
        .collect()
}

/// `https://api.example.org/v1` → `api.example.org`; a port that is not the scheme's own stays.
pub fn host_of(setting: &str) -> Option<String> {
    match url::Url::parse(setting) {
        Ok(url) if url.has_host() => {
            let host = url.host_str()?;
            Some(url.port().map_or_else(|| host.to_string(), |port| format!("{host}:{port}")))
        }
        _ if !setting.is_empty() && !setting.contains(['/', ' ']) => Some(setting.to_string()),
        _ => None,
    }
}

/// Whether a grant that was given to one version still covers another: it asks for no more.
pub fn asks_no_more(before: &Manifest, now: &Manifest) -> bool {
    now.needs.iter().all(|need| {
        before.needs.iter().any(|had| {
            had.capability == need.capability
                && need.scope.iter().all(|item| had.scope.contains(item) || had.scope.iter().any(|all| all == "*"))
        })
    }) && now.secrets.iter().all(|secret| {
        before
            .secrets
            .iter()
            .any(|had| had.name == secret.name && secret.uses.iter().all(|usage| had.uses.contains(usage)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strings(items: &[&str]) -> Vec<String> {
        items.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_scope_is_what_was_asked_for_and_granted() {
        assert_eq!(meet(&strings(&["a", "b"]), &strings(&["b", "c"])), strings(&["b"]));
        assert_eq!(meet(&strings(&["a", "b"]), &strings(&["*"])), strings(&["a", "b"]));
        assert_eq!(meet(&strings(&["*"]), &strings(&["ls"])), strings(&["ls"]));
        assert_eq!(meet(&strings(&["*"]), &strings(&["*"])), strings(&["*"]));
        assert_eq!(meet(&strings(&["a"]), &strings(&["c"])), strings(&[]));
        assert_eq!(meet(&strings(&["lan:a"]), &strings(&["a"])), strings(&["a"]));
        assert_eq!(meet(&strings(&["a"]), &strings(&["lan:a"])), strings(&["a"]));
    }

    #[test]
    fn a_setting_in_a_scope_becomes_its_host_and_only_a_persons_own_may_be_local() {
        let settings: Map<String, Value> =
            serde_json::from_str(r#"{"base-url":"http://10.0.0.2:8080/v1","other":"https://api.example.org/v1"}"#)
                .unwrap();
        let own = BTreeSet::from(["base-url".to_string()]);
        let scope = expanded(&strings(&["{base-url}", "{other}", "{gone}", "x.org"]), &settings, &own);
        assert_eq!(scope, strings(&["lan:10.0.0.2:8080", "api.example.org", "x.org"]));
    }

    #[test]
    fn a_command_in_a_scope_becomes_its_program() {
        let settings: Map<String, Value> =
            serde_json::from_str(r#"{"bridge":["node","bridge.mjs"],"one":"cat","none":[]}"#).unwrap();
        let scope = strings(&["process:{bridge}", "process:{one}", "process:{none}", "process:{gone}", "process:x"]);
        assert_eq!(
            expanded(&scope, &settings, &BTreeSet::new()),
            strings(&["process:node", "process:cat", "process:x"])
        );
    }
}
