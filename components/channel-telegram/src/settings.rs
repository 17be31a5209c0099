//! `[channels.telegram.settings]`.

use serde_json::Value;

/// The JSON Schema for the manifest.
pub const SCHEMA: &str = include_str!("settings.json");

/// The vendor's own server.
pub const API: &str = "https://api.telegram.org";

/// Which messages of a group are for the bot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Groups {
    /// Those that mention it, answer it, or are commands.
    Mention,
    /// All.
    All,
    /// None.
    Off,
}

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
        let text = |name: &str| settings.get(name).and_then(Value::as_str).unwrap_or_default();
        let api = text("api").trim_end_matches('/');
        Self {
            api: if api.is_empty() { API.into() } else { api.into() },
            webhook: text("mode") == "webhook",
            groups: match text("groups") {
                "all" => Groups::All,
                "off" => Groups::Off,
                _ => Groups::Mention,
            },
            stream: settings.get("stream").and_then(Value::as_bool).unwrap_or(true),
        }
    }
}
