//! What is wrong with what a component says: its manifest and its tools, as it said them.

use std::collections::BTreeSet;

use serde_json::Value;

use super::check::Fault;
use super::contract::meant;
use crate::capability::http::Entry;
use crate::message::ToolDefinition;
use crate::plugin::Shape;
use crate::plugin::manifest::name_is_good;
use crate::plugin::standing::unlisted;
use crate::plugin::tools::name_is_good as tool_name_is_good;
use crate::runtime::linker::{CAPABILITIES, capability_of};
use crate::wit::role::manifest as wit;

/// Mistakes of one schema that are told.
const MISTAKES: usize = 5;
const NAME_RULE: &str = "lower case letters, digits and `-`, beginning with a letter, at most 64 bytes";

/// All that is wrong with a manifest.
pub(super) fn manifest(said: &wit::Manifest, shape: &Shape) -> Vec<Fault> {
    let mut faults = Vec::new();
    if !name_is_good(&said.name) {
        faults.push(Fault::error(
            "bad-name",
            format!("its name is {}", quoted(&said.name)),
            format!("write {NAME_RULE}"),
        ));
    }
    if let Err(error) = semver::Version::parse(&said.version) {
        let what = format!("its version is {}: {error}", quoted(&said.version));
        faults.push(Fault::error("bad-version", what, "write a semantic version such as 1.2.0"));
    }
    if said.summary.trim().is_empty() {
        let advice = "one line in `summary` tells the person what they allow";
        faults.push(Fault::warning("no-summary", "it does not say what it is for", advice));
    }
    let settings = settings(said, &mut faults);
    needs(said, shape, settings.as_ref(), &mut faults);
    secrets(said, settings.as_ref(), &mut faults);
    presets(said, settings.as_ref(), &mut faults);
    faults
}

/// As a person reads it: one line, not endless.
fn quoted(text: &str) -> String {
    let line: String = text.chars().take(80).collect();
    format!("{line:?}")
}

/// The names of the settings, if there is a schema that can be read.
fn settings(said: &wit::Manifest, faults: &mut Vec<Fault>) -> Option<BTreeSet<String>> {
    let text = said.settings.as_deref()?;
    let wrong = schema(text, "settings", faults)?;
    let object = wrong.get("type").and_then(Value::as_str) == Some("object");
    if !object {
        let what = "the schema of its settings is not that of an object";
        faults
            .push(Fault::error("settings-schema", what, "write {\"type\": \"object\", \"properties\": …}").at("/type"));
    }
    let properties = wrong.get("properties").and_then(Value::as_object).cloned().unwrap_or_default();
    let required = wrong.get("required").and_then(Value::as_array).cloned().unwrap_or_default();
    for (index, name) in required.iter().enumerate().filter_map(|(index, name)| Some((index, name.as_str()?))) {
        if !properties.contains_key(name) {
            let what = format!("the schema of its settings requires `{name}`, which it does not describe");
            let near = meant(name, properties.keys().map(String::as_str));
            faults.push(Fault::error("settings-schema", what, near).at(format!("/required/{index}")));
        }
    }
    for (name, property) in &properties {
        let Some(default) = property.get("default") else { continue };
        // A broken schema is told already.
        let Ok(validator) = jsonschema::validator_for(property) else { continue };
        if let Err(error) = validator.validate(default) {
            let what = format!("the default of its setting `{name}` does not fit its own schema: {error}");
            let fault = Fault::error("settings-schema", what, "correct the default or the schema");
            faults.push(fault.at(format!("/properties/{}/default", escaped(name))));
        }
    }
    Some(properties.keys().cloned().collect())
}

/// A part of a JSON Pointer.
fn escaped(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

/// A schema that can be used, or what is wrong with it, with the place in it.
fn schema(text: &str, of: &str, faults: &mut Vec<Fault>) -> Option<Value> {
    let code = if of == "settings" { "settings-schema" } else { "tool-schema" };
    let whose =
        if of == "settings" { "the schema of its settings".into() } else { format!("the schema of the tool {of}") };
    let value: Value = match serde_json::from_str(text) {
        Ok(value) => value,
        Err(error) => {
            let what = format!("{whose} is no JSON: {error}");
            faults.push(Fault::error(code, what, "make it from a value with your language's JSON library"));
            return None;
        }
    };
    if !value.is_object() {
        faults.push(Fault::error(code, format!("{whose} is no JSON object"), "write {\"type\": \"object\", …}").at(""));
        return None;
    }
    let advice = "correct it there: it is a JSON Schema";
    let mut wrong = Vec::new();
    let dialect = value.get("$schema").and_then(Value::as_str);
    if dialect.is_none_or(|dialect| dialect.contains("json-schema.org/")) {
        match jsonschema::meta::validator_for(&value) {
            Ok(meta) => {
                for error in meta.iter_errors(&value).take(MISTAKES) {
                    let place = error.instance_path().to_string();
                    wrong.push(
                        Fault::error(code, format!("{whose} is wrong at {}: {error}", at(&place)), advice).at(place),
                    );
                }
            }
            Err(error) => {
                wrong.push(Fault::error(code, format!("{whose} is of no known kind: {error}"), advice).at("/$schema"))
            }
        }
    }
    if wrong.is_empty()
        && let Err(error) = jsonschema::validator_for(&value)
    {
        let place = error.instance_path().to_string();
        let advice = "nothing is fetched for a schema: what `$ref` names has to stand in its own `$defs`";
        wrong.push(Fault::error(code, format!("{whose} cannot be used: {error}"), advice).at(place));
    }
    let good = wrong.is_empty();
    faults.extend(wrong);
    good.then_some(value)
}

fn at(place: &str) -> &str {
    if place.is_empty() { "its top" } else { place }
}

/// What it asks for, against what it imports.
fn needs(said: &wit::Manifest, shape: &Shape, settings: Option<&BTreeSet<String>>, faults: &mut Vec<Fault>) {
    let asked = |capability: &str| said.needs.iter().any(|need| need.capability == capability);
    let mut told = BTreeSet::new();
    for (import, capability) in unlisted(shape, &asked, !said.secrets.is_empty()) {
        // An import that this host does not have is told as such.
        if !CAPABILITIES.contains(&capability) || !told.insert(capability) {
            continue;
        }
        let what = format!("it imports {import}, but its manifest does not ask for {capability}");
        let advice = if capability == "secrets" {
            "declare the secret in `secrets` of the manifest: that grants the capability".to_string()
        } else {
            format!(
                "add {capability} to `needs`, with its scope and the reason; or do not use it, then it is not imported"
            )
        };
        faults.push(Fault::error("not-asked", what, advice).at(import));
    }
    for (index, need) in said.needs.iter().enumerate() {
        let place = format!("needs[{index}]");
        let name = need.capability.as_str();
        if !CAPABILITIES.contains(&name) {
            let near = meant(name, CAPABILITIES.iter().copied());
            let advice = if near.is_empty() { format!("there are {}", CAPABILITIES.join(", ")) } else { near };
            let what = format!("it asks for {}, a capability that this host does not have", quoted(name));
            faults.push(Fault::warning("unknown-need", what, advice).at(place));
            continue;
        }
        // A channel polls and dials with the host's transports; what it opens is a need without an import.
        let by_host = shape.channel() && matches!(name, "http" | "connection" | "gateway");
        if !by_host && !shape.imports.iter().any(|import| capability_of(import) == Some(name)) {
            let what = format!("it asks for {name} and never uses it");
            let advice = format!("take {name} out of `needs`: a person is asked to allow it for nothing");
            faults.push(Fault::warning("unused-need", what, advice).at(&place));
        }
        if need.reason.trim().is_empty() {
            let what = format!("it does not say why it needs {name}");
            faults.push(Fault::warning("no-reason", what, "the person who grants it reads `reason`").at(&place));
        }
        if said.needs.iter().take(index).any(|before| before.capability == name) {
            let what = format!("it asks for {name} twice");
            faults.push(Fault::warning("twice", what, "one need with all of its scope is enough").at(&place));
        }
        if name == "http" {
            if need.scope.is_empty() {
                let advice = "name the hosts in its scope: `api.example.org`, `*.example.org`, `{base-url}`";
                faults.push(
                    Fault::warning("empty-scope", "it asks for http of no host, so it may ask none", advice).at(&place),
                );
            }
            for entry in &need.scope {
                host(entry, settings, &place, "the scope of http", faults);
            }
        }
    }
}

/// An entry of the scope of `http`, or an audience.
fn host(entry: &str, settings: Option<&BTreeSet<String>>, place: &str, whose: &str, faults: &mut Vec<Fault>) {
    if let Some(setting) = entry.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')) {
        let none = BTreeSet::new();
        let known = settings.unwrap_or(&none);
        if !known.contains(setting) {
            let what = format!("{whose} names the setting {entry}, which its settings do not have");
            let near = meant(setting, known.iter().map(String::as_str));
            let advice =
                if near.is_empty() { format!("describe `{setting}` in the schema of the settings") } else { near };
            faults.push(Fault::error("scope", what, advice).at(place));
        }
    } else if let Err(error) = Entry::parse(entry) {
        let advice =
            "write a host: `api.example.org`, `*.example.org`, `localhost:11434`, `lan:nas.home:8080`, `{setting}`";
        faults.push(Fault::error("scope", format!("{whose} has {}: {error}", quoted(entry)), advice).at(place));
    }
}

fn secrets(said: &wit::Manifest, settings: Option<&BTreeSet<String>>, faults: &mut Vec<Fault>) {
    for (index, secret) in said.secrets.iter().enumerate() {
        let place = format!("secrets[{index}]");
        if !name_is_good(&secret.name) {
            let what = format!("a secret's name is {}", quoted(&secret.name));
            faults.push(Fault::error("bad-name", what, format!("write {NAME_RULE}")).at(&place));
        }
        if said.secrets.iter().take(index).any(|before| before.name == secret.name) {
            let what = format!("there are two secrets {}", quoted(&secret.name));
            faults.push(Fault::error("twice", what, "one secret with all of its uses is enough").at(&place));
        }
        if secret.uses.is_empty() {
            let what = format!("nothing may be done with its secret {}", quoted(&secret.name));
            faults.push(Fault::warning("no-use", what, "say in `uses` where it may go").at(&place));
        }
        for usage in &secret.uses {
            let audience = match usage {
                wit::SecretUse::Header(at)
                | wit::SecretUse::Basic(at)
                | wit::SecretUse::Query(at)
                | wit::SecretUse::Json(at)
                | wit::SecretUse::Form(at)
                | wit::SecretUse::Frame(at) => &at.audience,
                wit::SecretUse::Path(audience) => audience,
                wit::SecretUse::Other(other) => {
                    let what = format!("its secret {} has the use {}", quoted(&secret.name), quoted(&other.kind));
                    faults.push(Fault::error("unknown-use", what, "that needs a newer openpista-host").at(&place));
                    continue;
                }
                _ => continue,
            };
            host(audience, settings, &place, &format!("the audience of the secret {}", quoted(&secret.name)), faults);
        }
    }
}

fn presets(said: &wit::Manifest, settings: Option<&BTreeSet<String>>, faults: &mut Vec<Fault>) {
    for (index, preset) in said.presets.iter().enumerate() {
        let place = format!("presets[{index}]");
        let given: serde_json::Map<String, Value> = match serde_json::from_str(&preset.settings) {
            Ok(given) => given,
            Err(error) => {
                let what = format!("the settings of its preset {} are no JSON object: {error}", quoted(&preset.name));
                faults.push(Fault::error("preset", what, "write `{}` if none differ from the defaults").at(&place));
                continue;
            }
        };
        let none = BTreeSet::new();
        let known = settings.unwrap_or(&none);
        for key in given.keys().filter(|key| !known.contains(*key)) {
            let what = format!("its preset {} sets `{key}`, which its settings do not have", quoted(&preset.name));
            faults.push(Fault::error("preset", what, meant(key, known.iter().map(String::as_str))).at(&place));
        }
    }
}

/// All that is wrong with a list of tools. One that asks for a capability may have it of what it finds there.
pub(super) fn tools(tools: &[ToolDefinition], asks: bool) -> Vec<Fault> {
    let mut faults = Vec::new();
    if tools.is_empty() {
        let advice = "that is right for tools that come later (`tools-changed`), or with a setting";
        let fault = if asks { Fault::note } else { Fault::warning };
        faults.push(fault("no-tools", "it offers no tool", advice));
    }
    let mut seen = BTreeSet::new();
    for tool in tools {
        let name = quoted(&tool.name);
        if !tool_name_is_good(&tool.name) {
            let advice = "write letters, digits, `_`, `.` and `-`, at most 128: `weather.forecast`";
            faults.push(Fault::error("tool-name", format!("a tool's name is {name}"), advice).at(&tool.name));
        }
        if !seen.insert(&tool.name) {
            let what = format!("there are two tools {name}");
            faults.push(Fault::error("tool-twice", what, "only the first one is there for the model").at(&tool.name));
        }
        if tool.description.trim().is_empty() {
            let what = format!("the tool {name} has no description");
            faults.push(Fault::warning("no-description", what, "the model chooses by it").at(&tool.name));
        }
        let Some(parameters) = schema(&tool.parameters, &name, &mut faults) else { continue };
        if parameters.get("type").and_then(Value::as_str) != Some("object") {
            let what = format!("the schema of the tool {name} is not that of an object");
            let advice = "write {\"type\": \"object\", \"properties\": …}: arguments are an object, and some models' services \
                          refuse all else";
            faults.push(Fault::warning("tool-schema", what, advice).at("/type"));
        }
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said() -> wit::Manifest {
        wit::Manifest {
            name: "weather".into(),
            version: "1.0.0".into(),
            summary: "The weather".into(),
            needs: vec![],
            secrets: vec![],
            settings: None,
            presets: vec![],
            about: vec![],
        }
    }

    fn need(capability: &str, scope: &[&str]) -> wit::Need {
        let scope = scope.iter().map(ToString::to_string).collect();
        wit::Need { capability: capability.into(), scope, reason: "asks".into(), optional: false }
    }

    fn shape(imports: &[&str]) -> Shape {
        Shape { exports: vec![], imports: imports.iter().map(ToString::to_string).collect() }
    }

    fn told(faults: &[Fault]) -> Vec<(&str, Option<&str>)> {
        faults.iter().map(|fault| (fault.code, fault.place.as_deref())).collect()
    }

    #[test]
    fn everything_that_is_wrong_is_told_at_once() {
        let bad = wit::Manifest {
            name: "My Weather".into(),
            version: "one".into(),
            summary: String::new(),
            needs: vec![need("htpp", &[]), need("shell", &["*"]), need("http", &["https://x.org/v1", "{base-ulr}"])],
            settings: Some(r#"{"type":"object","properties":{"base-url":{"type":"strin"}}}"#.into()),
            ..said()
        };
        let faults = manifest(&bad, &shape(&["openpista:http/client@0.1.0"]));
        assert_eq!(
            told(&faults),
            [
                ("bad-name", None),
                ("bad-version", None),
                ("no-summary", None),
                ("settings-schema", Some("/properties/base-url/type")),
                ("unknown-need", Some("needs[0]")),
                ("unused-need", Some("needs[1]")),
                ("scope", Some("needs[2]")),
                ("scope", Some("needs[2]")),
            ]
        );
        assert_eq!(faults[4].advice, "did you mean `http`?");
    }

    #[test]
    fn a_schema_is_told_with_the_place_of_each_mistake() {
        let with = |schema: &str| manifest(&wit::Manifest { settings: Some(schema.into()), ..said() }, &shape(&[]));
        assert_eq!(told(&with("{")), [("settings-schema", None)]);
        assert_eq!(told(&with("[]")), [("settings-schema", Some(""))]);
        assert_eq!(told(&with(r#"{"type":"string"}"#)), [("settings-schema", Some("/type"))]);
        let two = r#"{"type":"object","required":["b"],"properties":{"a":{"type":"integer","default":"x"}}}"#;
        assert_eq!(
            told(&with(two)),
            [("settings-schema", Some("/required/0")), ("settings-schema", Some("/properties/a/default"))]
        );
        let elsewhere = r#"{"type":"object","properties":{"a":{"$ref":"http://127.0.0.1:9/x"}}}"#;
        assert_eq!(with(elsewhere).len(), 1);
        assert_eq!(with(r#"{"type":"object","$schema":"http://example.org/mine"}"#).len(), 1);
        assert_eq!(told(&with(r#"{"type":"object","properties":{"a":{"type":"string","default":"x"}}}"#)), []);
    }

    #[test]
    fn an_import_that_is_not_asked_for_is_one_fault_for_each_capability() {
        let imports =
            shape(&["openpista:control/models@0.1.0", "openpista:control/sessions@0.1.0", "openpista:log/log@0.1.0"]);
        let faults = manifest(&said(), &imports);
        assert_eq!(told(&faults), [("not-asked", Some("openpista:control/models@0.1.0"))]);
        let secrets = manifest(&said(), &shape(&["openpista:secrets/secrets@0.1.0"]));
        assert!(secrets[0].advice.contains("declare the secret"), "{secrets:?}");
    }

    #[test]
    fn tools_need_legal_and_different_names_and_schemas_that_can_be_used() {
        let tool = |name: &str, parameters: &str| ToolDefinition {
            name: name.into(),
            description: "Does it".into(),
            parameters: parameters.into(),
            hints: crate::message::ToolHints::default(),
        };
        let object = r#"{"type":"object"}"#;
        let list = [
            tool("a.b", object),
            tool("a.b", object),
            tool("a b", object),
            tool("c", r#"{"type":"object","properties":{"x":{"type":"strin"}}}"#),
            tool("d", "{}"),
        ];
        let faults = tools(&list, false);
        assert_eq!(
            told(&faults),
            [
                ("tool-twice", Some("a.b")),
                ("tool-name", Some("a b")),
                ("tool-schema", Some("/properties/x/type")),
                ("tool-schema", Some("/type")),
            ]
        );
        assert_eq!(told(&tools(&[], false)), [("no-tools", None)]);
    }
}
