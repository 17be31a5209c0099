//! `[channels.slack.settings]`.

use openpista_plugin::messenger::{Groups, address, groups, streams, text};
use serde_json::Value;

/// The JSON Schema for the manifest.
pub const SCHEMA: &str = include_str!("../settings.json");

/// Slack's own API.
pub const API: &str = "https://slack.com/api";

/// What the person chose.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// The Web API, without a slash at the end.
    pub api: String,
    /// Slack sends requests; else it is dialled.
    pub events: bool,
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
            events: text(&settings, "mode") == "events",
            groups: groups(&settings),
            stream: streams(&settings, true),
        }
    }
}
