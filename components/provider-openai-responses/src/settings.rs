//! `[providers.NAME.settings]`, and the instances that are known by name.

use openpista_plugin::request as pieces;
use serde_json::{Value, json};

use crate::contract::exports::openpista::plugin::manifest::Preset;

/// What an instance is told.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// `https://api.openai.com/v1`, without a slash at the end.
    pub base_url: String,
    /// The account that a subscription's token is used for.
    pub account: String,
    /// How the model sums up its reasoning; empty: not at all.
    pub summary: String,
    /// Whether the service takes a limit for the answer.
    pub limit: bool,
    /// Further headers of each request.
    pub headers: Vec<(String, String)>,
    /// The models on offer instead of those that the service lists.
    pub models: Vec<String>,
}

const ADDRESS: &str = "https://api.openai.com/v1";

impl Settings {
    /// The JSON Schema for the manifest.
    pub fn schema() -> Value {
        pieces::settings_schema(json!({
            "base-url": {
                "type": "string", "pattern": "^https?://", "default": ADDRESS,
                "description": "Where the API is, up to and with its version."
            },
            "account": {
                "type": "string", "default": "",
                "description": "The account of a subscription, sent as chatgpt-account-id. Without it: the one that the token names."
            },
            "reasoning-summary": {
                "type": "string", "enum": ["none", "auto", "concise", "detailed"], "default": "auto",
                "description": "How the model sums up its reasoning. Some models want a verified organization for it: none."
            },
            "limit-output": {
                "type": "boolean", "default": true,
                "description": "Send max_output_tokens; the service behind a subscription refuses it."
            }
        }))
    }

    /// The host has checked the text against the schema.
    pub fn parse(text: &str) -> Self {
        let value: Value = serde_json::from_str(text).unwrap_or_default();
        let text_of = |key: &str| value.get(key).and_then(Value::as_str);
        let mut headers = pieces::headers(&value, &["authorization", "chatgpt-account-id"]);
        let account = text_of("account").unwrap_or_default().trim().to_string();
        if !account.is_empty() {
            headers.push(("chatgpt-account-id".into(), account.clone()));
        }
        Self {
            base_url: text_of("base-url").unwrap_or(ADDRESS).trim_end_matches('/').to_string(),
            account,
            summary: text_of("reasoning-summary").filter(|summary| *summary != "none").unwrap_or_default().to_string(),
            limit: value.get("limit-output").and_then(Value::as_bool).unwrap_or(true),
            headers,
            models: pieces::texts(&value, "models"),
        }
    }
}

/// The instances that are known by name.
pub fn presets() -> Vec<Preset> {
    vec![
        Preset {
            name: "openai-responses".into(),
            title: "OpenAI, by the Responses API".into(),
            settings: "{}".into(),
            environment: vec![("api-key".into(), "OPENAI_API_KEY".into())],
            probe: None,
            model: Some("gpt-6.1-sol".into()),
            rank: 89,
        },
        Preset {
            name: "chatgpt".into(),
            title: "ChatGPT, by a subscription".into(),
            settings: json!({
                "base-url": "https://chatgpt.com/backend-api/codex",
                "limit-output": false
            })
            .to_string(),
            environment: Vec::new(),
            probe: None,
            model: Some("gpt-6.1-sol".into()),
            rank: 0,
        },
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_read_with_their_defaults() {
        let plain = Settings {
            base_url: "https://api.openai.com/v1".into(),
            account: String::new(),
            summary: String::new(),
            limit: true,
            headers: vec![],
            models: vec![],
        };
        assert_eq!(Settings::parse("{}"), plain);
        let given = r#"{"base-url": "http://127.0.0.1:9/v1/", "account": " acc-1 ", "reasoning-summary": "auto",
            "limit-output": false, "headers": {"X-A": "1", "Authorization": "no"}, "models": ["m"]}"#;
        let header = |name: &str, value: &str| (name.to_string(), value.to_string());
        assert_eq!(
            Settings::parse(given),
            Settings {
                base_url: "http://127.0.0.1:9/v1".into(),
                account: "acc-1".into(),
                summary: "auto".into(),
                limit: false,
                headers: vec![header("x-a", "1"), header("chatgpt-account-id", "acc-1")],
                models: vec!["m".into()],
            }
        );
        assert_eq!(Settings::parse(r#"{"reasoning-summary": "none"}"#).summary, "");
    }

    #[test]
    fn a_subscription_is_set_up_by_hand_and_a_key_is_found() {
        let offered: Vec<(String, u8)> = presets().into_iter().map(|preset| (preset.name, preset.rank)).collect();
        assert_eq!(offered, [("openai-responses".to_string(), 89), ("chatgpt".to_string(), 0)]);
    }
}
