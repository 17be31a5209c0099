//! What a delivery answers: a message, or a slash command, which has an address of its own for a while.

use serde_json::{Value, json};

/// Ms that the address of an interaction holds; a minute less than the API says.
const HOLDS: u64 = 14 * 60 * 1_000;
/// Of the first snowflake, in ms since 1970.
const EPOCH: u64 = 1_420_070_400_000;

/// What began a turn, or was a command.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Handle {
    /// The id of the message or of the interaction: the same for each attempt at a turn.
    pub id: String,
    /// In a server an answer names the message; alone with the bot it is clear.
    pub named: bool,
    /// Of an interaction: its application and token.
    pub interaction: Option<(String, String)>,
}

impl Handle {
    /// From the text that came back.
    pub fn parse(handle: Option<&str>) -> Self {
        let value: Value = handle.and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
        let text = |key: &str| value.get(key).and_then(Value::as_str).map(str::to_string);
        Self {
            id: text("id").unwrap_or_default(),
            named: value.get("named").and_then(Value::as_bool).unwrap_or_default(),
            interaction: text("application").zip(text("token")),
        }
    }

    /// As a text.
    pub fn text(&self) -> String {
        match &self.interaction {
            Some((application, token)) => json!({"id": self.id, "application": application, "token": token}),
            None => json!({"id": self.id, "named": self.named}),
        }
        .to_string()
    }

    /// The path of the answer to the interaction, as long as it can be given.
    pub fn answer(&self, now: u64) -> Option<String> {
        let (application, token) = self.interaction.as_ref()?;
        let holds = now < sent(&self.id).saturating_add(HOLDS);
        holds.then(|| format!("/webhooks/{application}/{token}/messages/@original"))
    }
}

/// When something with this id was made, in ms since 1970.
pub fn sent(id: &str) -> u64 {
    id.parse::<u64>().map(|id| (id >> 22).saturating_add(EPOCH)).unwrap_or_default()
}
