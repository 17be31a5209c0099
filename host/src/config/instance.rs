//! `[providers.NAME]`, `[channels.NAME]`, `[tools.NAME]`: which plugin serves under that name, with which settings,
//! secrets, grants and limits.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use serde_json::{Map, Value};
use toml::de::{DeTable, DeValue};

use super::limits::{LimitWishes, Limits};
use super::read::{Origin, Reader, Section, json};
use super::{limits, scalar};

/// What an instance does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Talks to a model.
    Provider,
    /// Talks to people.
    Channel,
    /// Acts.
    Tool,
}

impl Role {
    /// The section of the file.
    pub const fn section(self) -> &'static str {
        match self {
            Self::Provider => "providers",
            Self::Channel => "channels",
            Self::Tool => "tools",
        }
    }
}

/// Who may write to a channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Contacts {
    /// Anyone who reaches it.
    Open,
    /// Those in `allow`, and those whom the operator let in.
    Allow,
    /// The same, and a stranger gets a code for the operator.
    Pairing,
}

/// A secret's value; never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps a value.
    pub fn new(value: impl Into<String>) -> Self {
        Self(value.into())
    }

    /// The value itself.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[set]")
    }
}

/// Where a secret's value is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SecretSource {
    /// In the configuration itself.
    Inline(Secret),
    /// In an environment variable.
    Environment(String),
    /// In a file: its text without the last line break.
    File(PathBuf),
}

/// Why a secret has no value.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// No such variable.
    #[error("the environment variable {0} is not set")]
    NoVariable(String),
    /// The file cannot be read.
    #[error("{path}: {source}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// There is a value without characters.
    #[error("the secret is empty")]
    Empty,
}

impl SecretSource {
    /// The value, as it is now.
    pub fn read(&self, environment: &BTreeMap<String, String>) -> Result<Secret, SecretError> {
        let value = match self {
            Self::Inline(secret) => secret.clone(),
            Self::Environment(name) => {
                Secret::new(environment.get(name).ok_or_else(|| SecretError::NoVariable(name.clone()))?)
            }
            Self::File(path) => {
                let text = std::fs::read_to_string(path)
                    .map_err(|source| SecretError::Unreadable { path: path.clone(), source })?;
                Secret::new(text.trim_end_matches(['\r', '\n']))
            }
        };
        if value.reveal().is_empty() { Err(SecretError::Empty) } else { Ok(value) }
    }

    fn show(&self) -> Value {
        match self {
            Self::Inline(_) => Value::from("[set]"),
            Self::Environment(name) => Value::from(format!("[${name}]")),
            Self::File(path) => Value::from(format!("[{}]", path.display())),
        }
    }
}

/// A plugin under a name of its own.
#[derive(Debug, Clone, PartialEq)]
pub struct Instance {
    /// Small letters, digits, `-`.
    pub name: String,
    /// The plugin's name; `None`: the one that knows the instance's name, or is called like it.
    pub plugin: Option<String>,
    /// Whether it is to be loaded.
    pub enabled: bool,
    /// For the plugin; its own schema checks them when it is loaded.
    pub settings: Map<String, Value>,
    /// By the names of the plugin's manifest.
    pub secrets: BTreeMap<String, SecretSource>,
    /// Capabilities with scopes, on top of what was allowed by command.
    pub grants: BTreeMap<String, Vec<String>>,
    /// Instead of what `[limits]` says.
    pub limits: LimitWishes,
    /// Channels: where its pages are, `/` at the front.
    pub mount: Option<String>,
    /// Channels: who may write; `None`: what the channel's kind makes sensible.
    pub contacts: Option<Contacts>,
    /// Channels: senders who may write without asking.
    pub allow: Vec<String>,
}

/// What a channel's older keys say about the server.
#[derive(Debug, Default)]
pub(super) struct ServerWishes {
    pub port: Option<(u16, Origin)>,
    pub token: Option<SecretSource>,
    pub cors_origins: Vec<String>,
}

/// All instances of a role.
pub(super) fn read<'a>(
    reader: &mut Reader<'a>,
    root: &DeTable<'a>,
    role: Role,
    ceiling: &Limits,
    wishes: &mut ServerWishes,
) -> BTreeMap<String, Instance> {
    let mut instances = BTreeMap::new();
    let Some(entry) = root.get(role.section()) else { return instances };
    let Some(table) = entry.get_ref().as_table() else {
        let place = reader.place(entry.span().start);
        reader.problem(place, format!("`{0}` must be tables: write [{0}.NAME]", role.section()));
        return instances;
    };
    for (key, value) in table {
        let name = key.get_ref().as_ref();
        let place = reader.place(key.span().start);
        if !is_name(name) {
            reader.problem(place, format!("\"{name}\" cannot be a name: use small letters, digits and -, at most 64"));
            continue;
        }
        let Some(table) = value.get_ref().as_table() else {
            reader.problem(
                place,
                format!("`{name}` in [{0}] must be a table of its own: write [{0}.{name}]", role.section()),
            );
            continue;
        };
        let section = reader.section(&format!("{}.{name}", role.section()), Some(table));
        instances.insert(name.to_owned(), one(section, name, role, ceiling, wishes));
    }
    instances
}

fn one(mut section: Section<'_, '_>, name: &str, role: Role, ceiling: &Limits, wishes: &mut ServerWishes) -> Instance {
    let plugin = section.take("plugin", &[], None, |v, _| plugin_name(v), |p| Value::from(p.as_str())).0;
    let enabled = section.boolean("enabled", true);
    let mut settings = section.table("settings");
    let mut secrets = secrets(&mut section);
    let grants = section
        .take("grants", &[], Some(BTreeMap::new()), |value, _| grants(value), |g| Value::from_iter(g.clone()))
        .0
        .unwrap_or_default();
    let limits = limits::wishes(&mut section, ceiling);
    let mut instance = Instance {
        name: name.to_owned(),
        plugin,
        enabled,
        settings: Map::new(),
        secrets: BTreeMap::new(),
        grants,
        limits,
        mount: None,
        contacts: None,
        allow: Vec::new(),
    };
    if role == Role::Channel {
        instance.mount = section.take("mount", &[], None, |v, _| mount(v), |m| Value::from(m.as_str())).0;
        let contacts = [("open", Contacts::Open), ("allow", Contacts::Allow), ("pairing", Contacts::Pairing)];
        instance.contacts = section.choice("contacts", &[], None, &contacts);
        instance.allow = section.texts("allow");
        older_keys(&mut section, name, &mut settings, &mut secrets, wishes);
    }
    section.end();
    instance.settings = settings;
    instance.secrets = secrets;
    instance
}

/// Keys that stood directly in a channel's table before there were plugins: about the server, or settings.
fn older_keys(
    section: &mut Section<'_, '_>,
    name: &str,
    settings: &mut Map<String, Value>,
    secrets: &mut BTreeMap<String, SecretSource>,
    wishes: &mut ServerWishes,
) {
    let port = |value: &Value, _: &Reader<'_>| {
        scalar::count(value).and_then(|n| u16::try_from(n).map_err(|_| format!("{n} is not a port: 0 to 65535")))
    };
    let (port, origin) = section.take("port", &[], None, port, |port| Value::from(*port));
    if let Some(port) = port {
        wishes.port = Some((port, origin));
    }
    let token = |value: &Value, reader: &Reader<'_>| secret(value, reader);
    if let Some(token) = section.take("token", &[], None, token, SecretSource::show).0 {
        wishes.token = Some(token.clone());
        secrets.entry(format!("{name}-token")).or_insert(token);
    }
    wishes.cors_origins.extend(section.texts("cors_origins"));
    for key in ["static_dir", "session_dir", "bridge_path"] {
        if let Some(path) = section.path(key, &[], None) {
            settings.entry(key).or_insert_with(|| Value::from(path.display().to_string()));
        }
    }
}

fn secrets(section: &mut Section<'_, '_>) -> BTreeMap<String, SecretSource> {
    let mut secrets = BTreeMap::new();
    let Some(entry) = section.entry("secrets") else {
        section.record("secrets", Value::Object(Map::new()), Value::Object(Map::new()), Origin::Default);
        return secrets;
    };
    let DeValue::Table(table) = entry.get_ref() else {
        let place = section.reader.place(entry.span().start);
        section.reader.problem(place, "`secrets` must be a table: { name = \"value\" }");
        return secrets;
    };
    for (key, value) in table {
        let name = key.get_ref().to_string();
        match secret(&json(value.get_ref()), section.reader) {
            Ok(source) => {
                secrets.insert(name, source);
            }
            Err(text) => {
                let place = section.reader.place(value.span().start);
                section.reader.problem(place, format!("secret `{name}`: {text}"));
            }
        }
    }
    let shown = secrets.iter().map(|(name, source)| (name.clone(), source.show())).collect();
    let line = section.reader.line(entry.span().start);
    section.record("secrets", Value::Object(shown), Value::Object(Map::new()), Origin::File { line });
    secrets
}

/// A secret as it is written: the value, `{ env = "NAME" }` or `{ file = "path" }`.
pub(super) fn secret(value: &Value, reader: &Reader<'_>) -> Result<SecretSource, String> {
    // The value itself must not get into a message, so nothing here shows it.
    let wrong = || "write a text, { env = \"NAME\" } or { file = \"path\" }".to_owned();
    match value {
        Value::String(text) if text.is_empty() => {
            Err("an empty text is no secret; leave the key out to have none".to_owned())
        }
        Value::String(text) => Ok(SecretSource::Inline(Secret::new(text))),
        Value::Object(table) if table.len() == 1 => match table.iter().next() {
            Some((key, Value::String(name))) if key == "env" => Ok(SecretSource::Environment(name.clone())),
            Some((key, path @ Value::String(_))) if key == "file" => {
                Ok(SecretSource::File(scalar::path(path, reader.user_folder, reader.folder())?))
            }
            _ => Err(wrong()),
        },
        _ => Err(wrong()),
    }
}

pub(super) fn show_secret(source: &SecretSource) -> Value {
    source.show()
}

pub(super) fn grants(value: &Value) -> Result<BTreeMap<String, Vec<String>>, String> {
    let wrong = || format!("{value} does not name capabilities; write it like {{ http = [\"api.example.com\"] }}");
    let table = value.as_object().ok_or_else(wrong)?;
    table.iter().map(|(name, scope)| Ok((name.clone(), scalar::texts(scope).map_err(|_| wrong())?))).collect()
}

fn plugin_name(value: &Value) -> Result<String, String> {
    let name = scalar::text(value)?;
    if is_name(&name) {
        return Ok(name);
    }
    Err(format!("\"{name}\" is not the name of a plugin: its file's name without .wasm"))
}

fn mount(value: &Value) -> Result<String, String> {
    let mount = scalar::text(value)?;
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '/' | '-' | '_' | '.');
    if mount.starts_with('/') && mount.chars().all(plain) && !mount.contains("..") && !mount.contains("//") {
        return Ok(mount);
    }
    Err(format!("\"{mount}\" is not a path of a page: begin with /, like \"/\" or \"/chat\""))
}

/// Small letters, digits and `-` inside, at most 64.
pub fn is_name(name: &str) -> bool {
    let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    !name.is_empty() && name.len() <= 64 && name.chars().all(inner) && !name.starts_with('-') && !name.ends_with('-')
}
