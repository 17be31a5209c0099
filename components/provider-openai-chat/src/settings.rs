//! `[providers.NAME.settings]`, and the services that need none.

use openpista_plugin::request as pieces;
use serde_json::{Value, json};

use crate::contract::exports::openpista::plugin::manifest::Preset;

/// What an instance is told.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// `https://api.example.org/v1`, without a slash at the end.
    pub base_url: String,
    /// The field of the request that limits the answer.
    pub max_tokens_field: String,
    /// Tell the service which requests belong to one session, so that its cache finds them.
    pub prompt_cache_key: bool,
    /// Further headers of each request.
    pub headers: Vec<(String, String)>,
    /// The models on offer instead of those that the service lists.
    pub models: Vec<String>,
}

impl Settings {
    /// The JSON Schema for the manifest.
    pub fn schema() -> Value {
        let mut schema = pieces::settings_schema(json!({
            "base-url": {
                "type": "string", "pattern": "^https?://",
                "description": "Where the API is, up to and with its version: https://api.example.org/v1"
            },
            "max-tokens-field": {
                "type": "string", "enum": ["max_tokens", "max_completion_tokens"], "default": "max_tokens",
                "description": "The field that limits the length of an answer; newer OpenAI models want max_completion_tokens."
            },
            "prompt-cache-key": {
                "type": "boolean", "default": false,
                "description": "Send prompt_cache_key, so that the requests of a session meet the same cache."
            }
        }));
        if let Some(schema) = schema.as_object_mut() {
            schema.insert("required".into(), json!(["base-url"]));
        }
        schema
    }

    /// The host has checked the text against the schema.
    pub fn parse(text: &str) -> Self {
        let value: Value = serde_json::from_str(text).unwrap_or_default();
        let text_of = |key: &str| value.get(key).and_then(Value::as_str);
        Self {
            base_url: text_of("base-url").unwrap_or_default().trim_end_matches('/').to_string(),
            max_tokens_field: text_of("max-tokens-field").unwrap_or("max_tokens").to_string(),
            prompt_cache_key: value.get("prompt-cache-key").and_then(Value::as_bool).unwrap_or(false),
            headers: pieces::headers(&value, &["authorization"]),
            models: pieces::texts(&value, "models"),
        }
    }
}

/// The services that are known by name.
pub fn presets() -> Vec<Preset> {
    let hosted = |name: &str, title: &str, settings: Value, variable: &str, model: &str, rank: u8| Preset {
        name: name.into(),
        title: title.into(),
        settings: settings.to_string(),
        environment: vec![("api-key".into(), variable.into())],
        probe: None,
        model: Some(model.into()),
        rank,
    };
    vec![
        hosted(
            "openai",
            "OpenAI",
            json!({
                "base-url": "https://api.openai.com/v1",
                "max-tokens-field": "max_completion_tokens",
                "prompt-cache-key": true
            }),
            "OPENAI_API_KEY",
            "gpt-5.1",
            90,
        ),
        hosted(
            "openrouter",
            "OpenRouter",
            json!({"base-url": "https://openrouter.ai/api/v1"}),
            "OPENROUTER_API_KEY",
            "openrouter/auto",
            80,
        ),
        hosted(
            "together",
            "Together AI",
            json!({"base-url": "https://api.together.xyz/v1"}),
            "TOGETHER_API_KEY",
            "meta-llama/Llama-3.3-70B-Instruct-Turbo",
            70,
        ),
        Preset {
            name: "ollama".into(),
            title: "Ollama on this machine".into(),
            settings: json!({"base-url": "http://127.0.0.1:11434/v1"}).to_string(),
            environment: Vec::new(),
            probe: Some("http://127.0.0.1:11434/api/tags".into()),
            model: None,
            rank: 50,
        },
        Preset {
            name: "custom".into(),
            title: "Another service that speaks Chat Completions".into(),
            settings: "{}".into(),
            environment: Vec::new(),
            probe: None,
            model: None,
            rank: 0,
        },
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_read_with_their_defaults() {
        assert_eq!(
            Settings::parse(
                r#"{"base-url": "https://api.example.org/v1/", "headers": {"X-Title": "openpista", "Authorization": "no"}, "models": ["a"]}"#
            ),
            Settings {
                base_url: "https://api.example.org/v1".into(),
                max_tokens_field: "max_tokens".into(),
                prompt_cache_key: false,
                headers: vec![("x-title".into(), "openpista".into())],
                models: vec!["a".into()],
            }
        );
    }

    #[test]
    fn every_preset_but_custom_says_where_the_service_is() {
        let found: Vec<(String, String)> =
            presets().into_iter().map(|preset| (preset.name, Settings::parse(&preset.settings).base_url)).collect();
        let wanted = [
            ("openai", "https://api.openai.com/v1"),
            ("openrouter", "https://openrouter.ai/api/v1"),
            ("together", "https://api.together.xyz/v1"),
            ("ollama", "http://127.0.0.1:11434/v1"),
            ("custom", ""),
        ];
        assert_eq!(found, wanted.map(|(name, url)| (name.to_string(), url.to_string())));
    }
}
