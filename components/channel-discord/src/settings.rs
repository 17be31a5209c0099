//! `[channels.discord.settings]`.

use openpista_plugin::messenger::{Groups, address, groups, streams};
use serde_json::Value;

/// The JSON Schema for the manifest.
pub const SCHEMA: &str = include_str!("settings.json");

/// The vendor's own API.
pub const API: &str = "https://discord.com/api/v10";
/// The vendor's own gateway.
pub const GATEWAY: &str = "wss://gateway.discord.gg";

/// What the person chose.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// The API, with its version, without a slash at the end.
    pub api: String,
    /// The gateway, without a slash at the end.
    pub gateway: String,
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
            gateway: address(&settings, "gateway", GATEWAY),
            groups: groups(&settings),
            stream: streams(&settings, true),
        }
    }

    /// What the gateway shall tell. Of a message that mentions the bot, and of one sent to it alone, the text comes without
    /// the privileged intent; only who answers all needs that.
    pub fn intents(&self) -> u32 {
        const GUILD_MESSAGES: u32 = 1 << 9;
        const DIRECT_MESSAGES: u32 = 1 << 12;
        const MESSAGE_CONTENT: u32 = 1 << 15;
        match self.groups {
            Groups::Off => DIRECT_MESSAGES,
            Groups::Mention => DIRECT_MESSAGES | GUILD_MESSAGES,
            Groups::All => DIRECT_MESSAGES | GUILD_MESSAGES | MESSAGE_CONTENT,
        }
    }
}
