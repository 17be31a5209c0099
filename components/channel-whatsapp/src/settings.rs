//! `[channels.whatsapp.settings]`.

use openpista_plugin::messenger::{Groups, address, groups, streams, text};
use serde_json::Value;

/// The JSON Schema for the manifest.
pub const SCHEMA: &str = include_str!("settings.json");

/// The vendor's own server.
pub const API: &str = "https://graph.facebook.com/v25.0";

/// The way to WhatsApp.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// WhatsApp Web, by a process.
    Bridge,
    /// The Cloud API.
    Cloud,
}

/// What the person chose.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// See [`Mode`].
    pub mode: Mode,
    /// What starts the bridge.
    pub bridge: Vec<String>,
    /// See [`Groups`].
    pub groups: Groups,
    /// Replies are shown while they grow.
    pub stream: bool,
    /// The Cloud API, without a slash at the end.
    pub api: String,
}

impl Settings {
    /// From the host, which has checked them against the schema and filled in defaults.
    pub fn parse(settings: &str) -> Self {
        let settings: Value = serde_json::from_str(settings).unwrap_or_default();
        let text = |name: &str| text(&settings, name);
        let words = settings.get("bridge").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        let mut bridge: Vec<String> = words.iter().filter_map(|word| word.as_str().map(str::to_string)).collect();
        if !text("bridge_path").is_empty() {
            bridge = vec![text("bridge_path").into()];
        }
        if !text("session_dir").is_empty() {
            bridge.extend(["--folder".into(), text("session_dir").into()]);
        }
        Self {
            mode: if text("mode") == "cloud" { Mode::Cloud } else { Mode::Bridge },
            bridge,
            groups: groups(&settings),
            stream: streams(&settings, false),
            api: address(&settings, "api", API),
        }
    }
}
