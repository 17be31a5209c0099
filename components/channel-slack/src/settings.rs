//! `[channels.slack.settings]`.

use serde_json::Value;

/// The JSON Schema for the manifest.
pub const SCHEMA: &str = include_str!("../settings.json");

/// Slack's own API.
pub const API: &str = "https://slack.com/api";

/// Which messages of a channel are for the bot. (Those of a direct message always are.)
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Groups {
    /// Those that mention it, and those of a thread that it takes part in.
    Mention,
    /// All.
    All,
    /// None.
    Off,
}

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
        let text = |name: &str| settings.get(name).and_then(Value::as_str).unwrap_or_default();
        let api = text("api").trim_end_matches('/');
        Self {
            api: if api.is_empty() { API.into() } else { api.into() },
            events: text("mode") == "events",
            groups: match text("groups") {
                "all" => Groups::All,
                "off" => Groups::Off,
                _ => Groups::Mention,
            },
            stream: settings.get("stream").and_then(Value::as_bool).unwrap_or(true),
        }
    }
}
