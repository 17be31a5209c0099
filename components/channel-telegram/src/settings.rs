//! `[channels.telegram.settings]`.

use openpista_plugin::messenger::{Groups, address, groups, streams, text};
use serde_json::Value;

/// The JSON Schema for the manifest.
pub const SCHEMA: &str = include_str!("settings.json");

/// The vendor's own server.
pub const API: &str = "https://api.telegram.org";

/// What the person chose.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// The API server, without a slash at the end.
    pub api: String,
    /// Updates come by a webhook; else the host polls.
    pub webhook: bool,
    /// See [`Groups`].
    pub groups: Groups,
    /// Replies are shown while they grow.
    pub stream: bool,
}

impl Settings {
    /// From the host, which has checked them against the schema and filled in defaults.
    pub fn parse(settings: &str) -> Self {
        let settings: Value = serde_json::from_str(settings).unwrap_or_default();
        Self {
            api: address(&settings, "api", API),
            webhook: text(&settings, "mode") == "webhook",
            groups: groups(&settings),
            stream: streams(&settings, true),
        }
    }
}
