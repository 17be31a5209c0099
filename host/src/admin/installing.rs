//! What can be asked about installing plugins, and what is answered. In two steps, so that a person can look in between:
//! [`Installing::Stage`] fetches and says what came, [`Installing::Install`] puts just that in its place.

use serde::{Deserialize, Serialize};

use super::PluginSummary;

/// One thing that is wanted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "snake_case")]
pub enum Installing {
    /// Fetches a plugin and says what it is, without installing it → [`InstallEvent::Progress`]…, [`InstallEvent::Staged`].
    Stage {
        /// A file, an address, or a reference; a relative path begins in `folder`.
        source: String,
        /// Where the person is.
        folder: String,
        /// Unencrypted connections are meant.
        plain_http: bool,
        /// It may take the place of a plugin that came from elsewhere.
        replace: bool,
        /// This key may sign it from now on; `none`: nobody need.
        accept_signer: Option<String>,
    },
    /// The same for a plugin that is installed, from where it came → as before, or [`InstallEvent::UpToDate`].
    StageUpdate {
        /// The plugin.
        name: String,
        /// This key may sign it from now on; `none`: nobody need.
        accept_signer: Option<String>,
    },
    /// Puts what was staged in its place → [`InstallEvent::Installed`].
    Install {
        /// From [`StagedPlugin`].
        id: String,
        /// And allows what it newly asks for.
        allow: bool,
    },
    /// Forgets what was staged.
    Forget {
        /// From [`StagedPlugin`].
        id: String,
    },
    /// Puts the version before in its place → [`InstallEvent::Installed`].
    Rollback {
        /// The plugin.
        name: String,
    },
    /// What taking a plugin away means, or does → [`InstallEvent::Removal`].
    Remove {
        /// The plugin, or its file.
        name: String,
        /// What it stored goes too, and whose key was trusted.
        purge: bool,
        /// Do it.
        really: bool,
    },
    /// Trusts a key for a plugin → [`InstallEvent::Trust`].
    Trust {
        /// The plugin.
        name: String,
        /// A public key; `none` forgets the one that was trusted. Without it, the one that is trusted is told.
        key: Option<String>,
    },
    /// Which plugins were installed from somewhere → [`InstallEvent::Source`]…
    Sources,
}

/// What is said of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InstallEvent {
    /// More of it is here.
    Progress {
        /// Bytes so far.
        done: u64,
        /// Of so many, if that is known.
        total: Option<u64>,
    },
    /// It is here, and waits for a word.
    Staged(Box<StagedPlugin>),
    /// There is nothing else to be had.
    UpToDate {
        /// The plugin.
        name: String,
        /// Its version.
        version: String,
        /// Why that is all, if it is not that nothing changed.
        note: Option<String>,
    },
    /// It is in its place.
    Installed(Box<PluginSummary>),
    /// What goes, or went.
    Removal(Removal),
    /// Whose key is trusted.
    Trust {
        /// The plugin.
        name: String,
        /// The key; none: nobody's.
        key: Option<SignerSummary>,
    },
    /// Where a plugin came from.
    Source {
        /// The plugin.
        name: String,
        /// From where, and what.
        installed: InstalledSummary,
    },
}

/// A plugin that was fetched.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StagedPlugin {
    /// For [`Installing::Install`].
    pub id: String,
    /// What it is, as `plugin check` says it.
    pub plugin: PluginSummary,
    /// Bytes.
    pub size: u64,
    /// From where.
    pub source: String,
    /// SHA-256 of the manifest in the registry, in hex.
    pub manifest: Option<String>,
    /// Who signed it.
    pub signer: Option<SignerSummary>,
    /// Its secrets, with where they may go.
    pub audiences: Vec<Audience>,
    /// The one in whose place it comes.
    pub before: Option<Before>,
}

/// Who signed something.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignerSummary {
    /// The number of the key.
    pub id: String,
    /// The public key.
    pub key: String,
    /// It signed the version before, or the person named it.
    pub known: bool,
}

/// Where a secret may go.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Audience {
    /// The secret.
    pub secret: String,
    /// What it is.
    pub title: String,
    /// In words.
    pub uses: Vec<String>,
}

/// A version that gives way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Before {
    /// As it said.
    pub version: String,
    /// SHA-256, in hex.
    pub digest: String,
    /// It came with the host.
    pub stock: bool,
    /// The new one is its next version, by its source or its signer: what it was allowed holds on.
    pub same: bool,
    /// What the new one asks for beyond it.
    pub wider: Vec<String>,
    /// What the new one asks for no more.
    pub narrower: Vec<String>,
    /// The new one has a lower version.
    pub older: bool,
}

/// Where a plugin came from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstalledSummary {
    /// A file, an address, or a reference.
    pub source: String,
    /// As it said.
    pub version: String,
    /// SHA-256 of the file, in hex.
    pub digest: String,
    /// SHA-256 of the manifest in the registry, in hex.
    pub manifest: Option<String>,
    /// The number of the key that signed it.
    pub signer: Option<String>,
    /// When, RFC 3339.
    pub when: String,
    /// The version that `plugin rollback` brings back.
    pub previous: Option<String>,
}

/// What goes with a plugin.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Removal {
    /// The plugin.
    pub name: String,
    /// Its file.
    pub file: String,
    /// It came with the host.
    pub stock: bool,
    /// What it was allowed by command.
    pub grants: Vec<String>,
    /// Instances that end.
    pub instances: Vec<String>,
    /// Those of them that the configuration names, and that will be idle.
    pub configured: Vec<String>,
    /// Bytes that they stored.
    pub state: u64,
    /// These bytes go, too.
    pub purge: bool,
    /// It is done.
    pub done: bool,
}
