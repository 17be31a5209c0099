//! What a plugin says of itself, as the host keeps it: checked once for each digest, cached beside the compiled code.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::message::steers;
use crate::wit::role::manifest as wit;

/// One word of what a plugin asks for, in bytes.
const SCOPE_MAX: usize = 1 << 10;

/// A plugin's word about itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// `channel-web`: role, dash, name.
    pub name: String,
    /// Semantic version.
    pub version: String,
    /// One line.
    pub summary: String,
    /// What it asks for.
    pub needs: Vec<Need>,
    /// Which secrets it uses.
    pub secrets: Vec<Secret>,
    /// JSON Schema of its settings.
    pub settings: Option<serde_json::Value>,
    /// Ready-made instances.
    pub presets: Vec<Preset>,
    /// Licence, homepage, …
    pub about: Vec<(String, String)>,
}

/// One capability that it asks for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Need {
    /// The capability.
    pub capability: String,
    /// What within it.
    pub scope: Vec<String>,
    /// Why.
    pub reason: String,
    /// It works without.
    pub optional: bool,
}

/// One secret that it uses.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Secret {
    /// Its name.
    pub name: String,
    /// For the person.
    pub title: String,
    /// Where it may go.
    pub uses: Vec<SecretUse>,
    /// It works without.
    pub optional: bool,
}

/// Where a secret may go, or what may be done with it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SecretUse {
    /// A request header.
    Header(Place),
    /// The password of basic authentication.
    Basic(Place),
    /// In the path of a URL at this audience.
    Path(String),
    /// A query parameter.
    Query(Place),
    /// A string in a JSON body.
    Json(Place),
    /// A form field.
    Form(Place),
    /// A string in a websocket frame.
    Frame(Place),
    /// An environment variable of a process.
    Environment(Place),
    /// Checking an HMAC.
    Verify,
    /// Comparing.
    Compare,
    /// Making an HMAC chain.
    Mac {
        /// Before the secret.
        prefix: String,
        /// Exactly so many.
        rounds: u8,
    },
    /// In the data of a digest.
    Digest,
    /// Telling a claim of the token that it is.
    Fact(String),
}

/// One audience and one name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// A host, or a command.
    pub audience: String,
    /// The header, parameter, field, variable or pointer.
    pub name: String,
}

/// An instance that the plugin knows by itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Preset {
    /// The instance's name.
    pub name: String,
    /// For the person.
    pub title: String,
    /// Settings that differ from the defaults.
    pub settings: serde_json::Map<String, serde_json::Value>,
    /// Secret's name → environment variable.
    pub environment: Vec<(String, String)>,
    /// A local service.
    pub probe: Option<String>,
    /// The model that is asked unless the person chose one.
    pub model: Option<String>,
    /// Highest first; 0 only by name.
    pub rank: u8,
}

/// Why a manifest is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ManifestError {
    /// Name or version.
    #[error("its manifest has a bad {what}: {found:?}; {rule}")]
    Field {
        /// Which field.
        what: &'static str,
        /// What it says.
        found: String,
        /// What it should.
        rule: &'static str,
    },
    /// Settings or preset.
    #[error("its manifest has a broken {what}: {why}")]
    Json {
        /// Which part.
        what: String,
        /// Why.
        why: String,
    },
    /// A use that this host does not know.
    #[error("its secret {secret:?} wants the use {kind:?}, which needs a newer openpista-host")]
    Unknown {
        /// The secret.
        secret: String,
        /// The kind.
        kind: String,
    },
}

/// Whether a plugin, or a secret, can have this name.
pub fn name_is_good(name: &str) -> bool {
    let letters = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    !name.is_empty()
        && name.len() <= 64
        && name.chars().all(letters)
        && name.starts_with(|c: char| c.is_ascii_lowercase())
}

/// A text from a plugin for a person: one line, without what steers a terminal or turns the direction of writing, not
/// endless.
fn one_line(text: &str) -> String {
    text.chars().filter(|c| !steers(*c)).take(300).collect()
}

/// What is asked for is compared letter by letter and shown to the person who decides, so it must be what it looks like.
fn need(from: wit::Need) -> Result<Need, ManifestError> {
    let words = std::iter::once(&from.capability).chain(&from.scope);
    if let Some(bad) = words.clone().find(|word| word.len() > SCOPE_MAX || word.contains(steers)) {
        let rule = "a capability and what it is asked for have no control or invisible characters, and at most 1 KiB";
        return Err(ManifestError::Field { what: "need", found: one_line(bad), rule });
    }
    Ok(Need { capability: from.capability, scope: from.scope, reason: one_line(&from.reason), optional: from.optional })
}

impl Manifest {
    /// Checks what a plugin said.
    pub fn check(from: wit::Manifest) -> Result<Self, ManifestError> {
        let name_rule = "lower case letters, digits and `-`, beginning with a letter, at most 64 bytes";
        if !name_is_good(&from.name) {
            return Err(ManifestError::Field { what: "name", found: one_line(&from.name), rule: name_rule });
        }
        if semver::Version::parse(&from.version).is_err() {
            let rule = "a semantic version such as 1.2.0";
            return Err(ManifestError::Field { what: "version", found: one_line(&from.version), rule });
        }
        let settings = from.settings.map(|text| schema(&text)).transpose()?;
        let secrets = from.secrets.into_iter().map(secret).collect::<Result<Vec<_>, _>>()?;
        if let Some(bad) = secrets.iter().find(|secret| !name_is_good(&secret.name)) {
            return Err(ManifestError::Field { what: "secret's name", found: one_line(&bad.name), rule: name_rule });
        }
        let presets = from.presets.into_iter().map(preset).collect::<Result<Vec<_>, _>>()?;
        Ok(Self {
            name: from.name,
            version: from.version,
            summary: one_line(&from.summary),
            needs: from.needs.into_iter().map(need).collect::<Result<_, _>>()?,
            secrets,
            settings,
            presets,
            about: from.about.into_iter().map(|(key, value)| (one_line(&key), one_line(&value))).collect(),
        })
    }

    /// The needs by capability.
    pub fn needs_by_capability(&self) -> BTreeMap<&str, &Need> {
        self.needs.iter().map(|need| (need.capability.as_str(), need)).collect()
    }

    /// The name that an instance has unless the person gives one: `channel-web` → `web`.
    pub fn short_name(&self) -> &str {
        ["channel-", "provider-", "tool-"]
            .iter()
            .find_map(|role| self.name.strip_prefix(role))
            .filter(|rest| !rest.is_empty())
            .unwrap_or(&self.name)
    }

    /// Fills in the schema's defaults and checks the rest. The error names each key that is wrong.
    pub fn settings(
        &self,
        given: serde_json::Map<String, serde_json::Value>,
    ) -> Result<serde_json::Map<String, serde_json::Value>, String> {
        super::settings::checked(&self.name, self.settings.as_ref(), given)
            .map_err(|faults| format!("its settings are wrong: {}", faults.join("; ")))
    }
}

fn schema(text: &str) -> Result<serde_json::Value, ManifestError> {
    let broken = |why: String| ManifestError::Json { what: "settings schema".into(), why };
    let schema: serde_json::Value = serde_json::from_str(text).map_err(|error| broken(error.to_string()))?;
    if schema.get("type").and_then(|kind| kind.as_str()) != Some("object") {
        return Err(broken("its type is not object".into()));
    }
    super::settings::validator(&schema).map_err(broken)?;
    Ok(schema)
}

fn secret(from: wit::Secret) -> Result<Secret, ManifestError> {
    let place = |place: wit::Place| Place { audience: place.audience, name: place.name };
    let uses = from
        .uses
        .into_iter()
        .map(|usage| {
            Ok(match usage {
                wit::SecretUse::Header(at) => SecretUse::Header(place(at)),
                wit::SecretUse::Basic(at) => SecretUse::Basic(place(at)),
                wit::SecretUse::Path(audience) => SecretUse::Path(audience),
                wit::SecretUse::Query(at) => SecretUse::Query(place(at)),
                wit::SecretUse::Json(at) => SecretUse::Json(place(at)),
                wit::SecretUse::Form(at) => SecretUse::Form(place(at)),
                wit::SecretUse::Frame(at) => SecretUse::Frame(place(at)),
                wit::SecretUse::Environment(at) => SecretUse::Environment(place(at)),
                wit::SecretUse::Verify => SecretUse::Verify,
                wit::SecretUse::Compare => SecretUse::Compare,
                wit::SecretUse::Mac(mac) => SecretUse::Mac { prefix: mac.prefix, rounds: mac.rounds },
                wit::SecretUse::Digest => SecretUse::Digest,
                wit::SecretUse::Fact(claim) => SecretUse::Fact(one_line(&claim)),
                wit::SecretUse::Other(other) => {
                    return Err(ManifestError::Unknown { secret: one_line(&from.name), kind: one_line(&other.kind) });
                }
            })
        })
        .collect::<Result<Vec<_>, _>>()?;
    Ok(Secret { name: from.name, title: one_line(&from.title), uses, optional: from.optional })
}

fn preset(from: wit::Preset) -> Result<Preset, ManifestError> {
    let settings = serde_json::from_str(&from.settings).map_err(|error| ManifestError::Json {
        what: format!("preset {:?}", one_line(&from.name)),
        why: error.to_string(),
    })?;
    Ok(Preset {
        name: from.name,
        title: one_line(&from.title),
        settings,
        environment: from.environment,
        probe: from.probe,
        model: from.model,
        rank: from.rank,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest() -> wit::Manifest {
        wit::Manifest {
            name: "tool-weather".into(),
            version: "1.0.0".into(),
            summary: "The weather\nof a place".into(),
            needs: vec![],
            secrets: vec![],
            settings: Some(
                r#"{"type":"object","properties":{"unit":{"type":"string","enum":["c","f"],"default":"c"}}}"#.into(),
            ),
            presets: vec![],
            about: vec![],
        }
    }

    #[test]
    fn a_good_manifest_passes_and_its_words_are_one_line() {
        let checked = Manifest::check(manifest()).unwrap();
        assert_eq!(checked.summary, "The weatherof a place");
        assert_eq!(checked.short_name(), "weather");
    }

    #[test]
    fn lies_about_names_and_versions_are_refused() {
        for name in ["", "Tool", "../../etc", "tool_weather", "0tool", &"x".repeat(65)] {
            let bad = wit::Manifest { name: name.into(), ..manifest() };
            assert!(matches!(Manifest::check(bad), Err(ManifestError::Field { what: "name", .. })), "{name}");
        }
        let bad = wit::Manifest { version: "newest".into(), ..manifest() };
        assert!(matches!(Manifest::check(bad), Err(ManifestError::Field { what: "version", .. })));
    }

    #[test]
    fn a_broken_settings_schema_is_refused() {
        for schema in ["{", "[]", r#"{"type":"string"}"#, r#"{"type":"object","properties":{"a":{"type":7}}}"#] {
            let bad = wit::Manifest { settings: Some(schema.into()), ..manifest() };
            assert!(matches!(Manifest::check(bad), Err(ManifestError::Json { .. })), "{schema}");
        }
    }

    #[test]
    fn settings_are_checked_and_the_wrong_key_is_named() {
        let checked = Manifest::check(manifest()).unwrap();
        let given = |text: &str| serde_json::from_str::<serde_json::Map<_, _>>(text).unwrap();
        assert_eq!(checked.settings(given("{}")).unwrap(), given(r#"{"unit":"c"}"#));
        let unknown = checked.settings(given(r#"{"units":"c"}"#)).unwrap_err();
        assert_eq!(unknown, "its settings are wrong: `settings.units` is not known; did you mean `unit`?");
        let wrong = checked.settings(given(r#"{"unit":"k"}"#)).unwrap_err();
        assert_eq!(wrong, r#"its settings are wrong: `settings.unit` is "k": "c", "f" are allowed"#);
    }
}
