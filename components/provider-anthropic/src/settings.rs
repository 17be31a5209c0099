//! `[providers.NAME.settings]`, and the instances that need none.

use openpista_plugin::request as pieces;
use serde_json::{Value, json};

use crate::contract::exports::openpista::plugin::manifest::Preset;

/// What an instance is told.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// `https://api.anthropic.com`, without a slash at the end.
    pub base_url: String,
    /// How long what was read is kept in the service's cache.
    pub cache: Cache,
    /// The value of `anthropic-beta` that goes with a bearer token.
    pub oauth_beta: String,
    /// Further values of `anthropic-beta`.
    pub betas: Vec<String>,
    /// Further headers of each request.
    pub headers: Vec<(String, String)>,
    /// The models on offer instead of those that the service lists.
    pub models: Vec<String>,
}

/// The prompt cache.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Cache {
    /// Not used.
    Off,
    /// The service's default.
    FiveMinutes,
    /// Costs more to write.
    OneHour,
}

const ADDRESS: &str = "https://api.anthropic.com";

impl Settings {
    /// The JSON Schema for the manifest.
    pub fn schema() -> Value {
        pieces::settings_schema(json!({
            "base-url": {
                "type": "string", "pattern": "^https?://", "default": ADDRESS,
                "description": "Where the API is, without /v1."
            },
            "cache": {
                "type": "string", "enum": ["off", "5m", "1h"], "default": "5m",
                "description": "How long the service keeps what it has read, so that the next request costs less."
            },
            "oauth-beta": {
                "type": "string", "default": "oauth-2025-04-20",
                "description": "The value of the header anthropic-beta that goes with oauth-token."
            },
            "betas": {
                "type": "array", "items": {"type": "string"}, "default": [],
                "description": "Further values of the header anthropic-beta."
            }
        }))
    }

    /// The host has checked the text against the schema.
    pub fn parse(text: &str) -> Self {
        let value: Value = serde_json::from_str(text).unwrap_or_default();
        let text_of = |key: &str| value.get(key).and_then(Value::as_str);
        Self {
            base_url: text_of("base-url").unwrap_or(ADDRESS).trim_end_matches('/').to_string(),
            cache: match text_of("cache") {
                Some("off") => Cache::Off,
                Some("1h") => Cache::OneHour,
                _ => Cache::FiveMinutes,
            },
            oauth_beta: text_of("oauth-beta").unwrap_or_default().to_string(),
            betas: pieces::texts(&value, "betas"),
            headers: pieces::headers(&value, &["authorization", "x-api-key", "anthropic-beta"]),
            models: pieces::texts(&value, "models"),
        }
    }

    /// The headers of each request, but for the key. `bearer`: there is a token in its place; `bound`: the model's
    /// thinking is bound to its conversation, which needs a word about what then happens.
    pub fn headers(&self, bearer: bool, bound: bool) -> Vec<(String, String)> {
        let mut headers = self.headers.clone();
        if !headers.iter().any(|(name, _)| name == "anthropic-version") {
            headers.push(("anthropic-version".into(), "2023-06-01".into()));
        }
        let oauth = Some(self.oauth_beta.as_str()).filter(|value| bearer && !value.is_empty());
        let binding = bound.then_some("thinking-binding-controls-2026-08-01");
        let betas: Vec<&str> = oauth.into_iter().chain(binding).chain(self.betas.iter().map(String::as_str)).collect();
        if !betas.is_empty() {
            headers.push(("anthropic-beta".into(), betas.join(",")));
        }
        headers
    }
}

/// The instances that are known by name.
pub fn presets() -> Vec<Preset> {
    let preset = |name: &str, title: &str, environment: (&str, &str), rank: u8| Preset {
        name: name.into(),
        title: title.into(),
        settings: "{}".into(),
        environment: vec![(environment.0.into(), environment.1.into())],
        probe: None,
        model: Some("claude-opus-5-5".into()),
        rank,
    };
    vec![
        preset("anthropic", "Anthropic", ("api-key", "ANTHROPIC_API_KEY"), 85),
        // The name that people look for; the same key, so it is not offered a second time.
        preset("claude", "Claude", ("api-key", "ANTHROPIC_API_KEY"), 0),
        preset("anthropic-token", "Anthropic, by a bearer token", ("oauth-token", "ANTHROPIC_AUTH_TOKEN"), 84),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(name: &str, value: &str) -> (String, String) {
        (name.into(), value.into())
    }

    #[test]
    fn settings_are_read_with_their_defaults() {
        let plain = Settings {
            base_url: "https://api.anthropic.com".into(),
            cache: Cache::FiveMinutes,
            oauth_beta: String::new(),
            betas: vec![],
            headers: vec![],
            models: vec![],
        };
        assert_eq!(Settings::parse("{}"), plain);
        let given = r#"{"base-url": "http://127.0.0.1:9/", "cache": "1h", "oauth-beta": "o", "betas": ["b"],
            "headers": {"X-A": "1", "X-Api-Key": "no", "Authorization": "no"}, "models": ["m"]}"#;
        assert_eq!(
            Settings::parse(given),
            Settings {
                base_url: "http://127.0.0.1:9".into(),
                cache: Cache::OneHour,
                oauth_beta: "o".into(),
                betas: vec!["b".into()],
                headers: vec![header("x-a", "1")],
                models: vec!["m".into()],
            }
        );
    }

    #[test]
    fn the_version_is_always_sent_and_betas_where_they_belong() {
        let version = header("anthropic-version", "2023-06-01");
        let beta = |value: &str| header("anthropic-beta", value);
        let settings = Settings::parse(r#"{"oauth-beta": "oauth-2025-04-20"}"#);
        let binding = "thinking-binding-controls-2026-08-01";
        assert_eq!(settings.headers(false, false), std::slice::from_ref(&version));
        assert_eq!(settings.headers(true, false), [version.clone(), beta("oauth-2025-04-20")]);
        assert_eq!(settings.headers(false, true), [version.clone(), beta(binding)]);
        let more = Settings { betas: vec!["x".into()], ..settings };
        assert_eq!(more.headers(true, true), [version, beta(&format!("oauth-2025-04-20,{binding},x"))]);
    }

    #[test]
    fn one_key_offers_one_preset() {
        let offered: Vec<(String, u8)> = presets().into_iter().map(|preset| (preset.name, preset.rank)).collect();
        let wanted = [("anthropic", 85), ("claude", 0), ("anthropic-token", 84)];
        assert_eq!(offered, wanted.map(|(name, rank)| (name.to_string(), rank)));
    }
}
