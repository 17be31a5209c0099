//! What the host keeps for installing plugins: the fetcher, the lock file's place, and what was fetched and waits for the
//! person's word.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use anyhow::Result;
use tokio::time::Instant;

use crate::admin::Refusal;
use crate::capability::secrets::Known;
use crate::config::Config;
use crate::install::Installer;
use crate::install::fetch::{FetchError, Limits};
use crate::install::lock::LockError;
use crate::install::login::Logins;
use crate::install::signature::{Key, SignatureError, Signer};
use crate::install::source::Source;
use crate::plugin::Plugin;

/// What was fetched waits so long for a word.
const PATIENCE: Duration = Duration::from_secs(3_600);

/// Everything about installing.
pub struct Installations {
    /// Fetches.
    pub installer: Installer,
    /// The lock file.
    pub lock: PathBuf,
    /// Versions that gave way, `NAME.wasm`.
    pub previous: PathBuf,
    /// What was fetched, until it is installed.
    pub folder: PathBuf,
    /// One change at a time.
    pub alone: tokio::sync::Mutex<()>,
    /// Why a plugin that the configuration names is not as it says.
    pub troubles: Mutex<BTreeMap<String, String>>,
    staged: Mutex<BTreeMap<String, Staged>>,
}

/// A plugin that was fetched and looked at.
pub struct Staged {
    /// Its bytes lie in the folder for that.
    pub plugin: Plugin,
    /// From where.
    pub source: Source,
    /// Over unencrypted connections, if need be.
    pub plain_http: bool,
    /// SHA-256 of the manifest in the registry.
    pub manifest: Option<String>,
    /// Who signed it.
    pub signer: Option<Signer>,
    /// The key that was trusted when it was looked at.
    pub trusted: Option<Key>,
    /// The digest of what is in its place; none if nothing is.
    pub before: Option<String>,
    /// It has nothing to do with what is there: no word that was given to that counts for it.
    pub fresh: bool,
    /// What it newly asks for.
    pub grants: Vec<(String, Vec<String>)>,
    /// The file that it gets.
    pub file: String,
    /// Since when it waits.
    pub since: Instant,
}

/// What the person says about signers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Accepted {
    /// What is trusted already counts.
    Trusted,
    /// This key.
    Key(Key),
    /// Nobody need have signed it.
    Nobody,
}

impl Accepted {
    /// As it is typed.
    pub fn parse(text: Option<&str>) -> Result<Self, SignatureError> {
        match text {
            None => Ok(Self::Trusted),
            Some("none") => Ok(Self::Nobody),
            Some(key) => Key::parse(key).map(Self::Key),
        }
    }
}

impl Installations {
    /// Reads the logins of the configuration; fetches nothing.
    pub fn new(config: &Config, known: &Known) -> Result<Self> {
        let logins = Logins::of_config(config)?;
        known.learn("registries", logins.secrets())?;
        let folder = config.home.join("cache").join("staged");
        // What waited when the last host ended waits for nobody.
        let _ = std::fs::remove_dir_all(&folder);
        Ok(Self {
            installer: Installer::new(Limits { size: config.plugins.max_download, ..Limits::default() }, logins),
            lock: config.home.join("plugins.lock"),
            previous: config.home.join("previous"),
            folder,
            alone: tokio::sync::Mutex::default(),
            troubles: Mutex::default(),
            staged: Mutex::default(),
        })
    }

    /// Keeps what was fetched until it is installed, or forgotten.
    pub fn keep(&self, id: String, staged: Staged) {
        let mut all = self.staged.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|_, staged| {
            let keep = staged.since.elapsed() < PATIENCE;
            if !keep {
                let _ = std::fs::remove_file(&staged.plugin.bytes);
            }
            keep
        });
        all.insert(id, staged);
    }

    /// What was fetched, for good.
    pub fn take(&self, id: &str) -> Option<Staged> {
        self.staged.lock().unwrap_or_else(PoisonError::into_inner).remove(id)
    }

    /// Forgets what was fetched.
    pub fn drop_staged(&self, id: &str) {
        if let Some(staged) = self.take(id) {
            let _ = std::fs::remove_file(&staged.plugin.bytes);
        }
    }

    /// Notes why a plugin of the configuration is not there, or that it is.
    pub fn trouble(&self, name: &str, why: Option<String>) {
        let mut troubles = self.troubles.lock().unwrap_or_else(PoisonError::into_inner);
        match why {
            Some(why) => troubles.insert(name.to_owned(), why),
            None => troubles.remove(name),
        };
    }
}

impl From<FetchError> for Refusal {
    fn from(error: FetchError) -> Self {
        let text = error.to_string();
        match error {
            FetchError::NoFile { .. } => Self::not_found(text),
            FetchError::Digest { .. } | FetchError::RedirectToPlain { .. } | FetchError::Plain(_) => Self::denied(text),
            _ => Self::failed(text),
        }
    }
}

impl From<SignatureError> for Refusal {
    fn from(error: SignatureError) -> Self {
        match error {
            SignatureError::NoKey(_) | SignatureError::Secret(_) => Self::invalid(error.to_string()),
            _ => Self::denied(error.to_string()),
        }
    }
}

impl From<LockError> for Refusal {
    fn from(error: LockError) -> Self {
        Self::failed(error.to_string())
    }
}
