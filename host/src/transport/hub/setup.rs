//! Whether a setup can be opened, decided before anything is changed; and how paths lie under mounts.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::InstanceOptions;
use crate::transport::connection::lock;
use crate::transport::instance::Instance;
use crate::transport::{TransportKind, TransportRequest};

/// Why a setup was refused. Nothing changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SetupError {
    /// This host cannot do that.
    #[error("transport `{0}` is of a kind that this host does not have: {1}")]
    Unsupported(String, String),
    /// Two with the same id.
    #[error("two transports are called `{0}`")]
    Twice(String),
    /// A path that does not begin with a slash, an empty command.
    #[error("transport `{0}`: {1}")]
    Invalid(String, String),
    /// Another one has it.
    #[error("transport `{0}`: {1} is already taken by `{2}`; give one of them another `mount` in config.toml")]
    PathTaken(String, String, String),
    /// There is one standard input only.
    #[error("transport `{0}`: the console is already used by `{1}`; switch one of the two off in config.toml")]
    ConsoleTaken(String, String),
}

/// Looks for everything that cannot be opened before anything is changed.
pub(super) fn check(
    instances: &BTreeMap<String, Arc<Instance>>,
    name: &str,
    options: &InstanceOptions,
    transports: &[TransportRequest],
) -> Result<(), SetupError> {
    let invalid = |id: &str, why: &str| Err(SetupError::Invalid(id.to_owned(), why.to_owned()));
    let mut ids = BTreeSet::new();
    let mut paths = BTreeSet::new();
    let mut consoles = 0;
    for transport in transports {
        let id = transport.id.as_str();
        if !ids.insert(id) {
            return Err(SetupError::Twice(id.to_owned()));
        }
        match &transport.kind {
            TransportKind::Http(path) | TransportKind::Websocket(path) if !path.starts_with('/') => {
                return invalid(id, "its path does not begin with a slash");
            }
            TransportKind::Process(process) if process.command.first().is_none_or(String::is_empty) => {
                return invalid(id, "it has no command");
            }
            TransportKind::Quic(_) => return Err(SetupError::Unsupported(id.to_owned(), "QUIC".to_owned())),
            TransportKind::Other(other) => {
                return Err(SetupError::Unsupported(id.to_owned(), other.kind.clone()));
            }
            TransportKind::Console => {
                consoles += 1;
                let others = instances.values().filter(|other| other.name != name);
                let taken = others
                    .into_iter()
                    .find(|other| lock(&other.transports).iter().any(|had| matches!(had.kind, TransportKind::Console)));
                let taken = taken.map(|other| other.name.clone()).or_else(|| (consoles > 1).then(|| name.to_owned()));
                if let Some(by) = taken {
                    return Err(SetupError::ConsoleTaken(id.to_owned(), by));
                }
            }
            _ => {}
        }
        if let Some(full) = address(&options.mount, &transport.kind) {
            let others = instances.values().filter(|other| other.name != name);
            let taken = others.into_iter().find(|other| {
                let mount = &other.options().mount;
                lock(&other.transports).iter().any(|had| address(mount, &had.kind).as_ref() == Some(&full))
            });
            let by = taken.map(|other| other.name.clone());
            if let Some(by) = by.or_else(|| paths.contains(&full).then(|| name.to_owned())) {
                let path = if full.1.is_empty() { "/".to_owned() } else { full.1 };
                return Err(SetupError::PathTaken(id.to_owned(), path, by));
            }
            paths.insert(full);
        }
    }
    Ok(())
}

/// Where a transport can be reached: whether by websocket, and the whole path.
fn address(mount: &str, kind: &TransportKind) -> Option<(bool, String)> {
    match kind {
        TransportKind::Http(path) => Some((false, joined(trimmed(mount), path))),
        TransportKind::Websocket(path) => Some((true, joined(trimmed(mount), path))),
        _ => None,
    }
}

pub(super) fn joined(mount: &str, path: &str) -> String {
    format!("{mount}{}", trimmed(path))
}

/// A path without slashes at its end: the root is empty.
pub(super) fn trimmed(path: &str) -> &str {
    path.trim_end_matches('/')
}

/// `path` is `prefix` or lies under it.
pub(super) fn under(prefix: &str, path: &str) -> bool {
    path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}
