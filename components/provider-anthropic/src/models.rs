//! The models on offer: what the service lists, completed with what `models.json` knows.

use openpista_plugin::models::{Model, Table};
use serde_json::Value;

/// Tokens of an answer of a model of which nothing is known: the service wants a limit, and every model of today can
/// write so much.
const MAX_TOKENS: u32 = 8_192;

/// How a model is told to think.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Thinking {
    /// It does not.
    No,
    /// Up to a number of tokens.
    Budget,
    /// As it sees fit, if asked to.
    Adaptive,
    /// As it sees fit, unless switched off.
    On,
    /// As it sees fit; at the least between the calls of tools.
    BetweenTools,
    /// As it sees fit.
    Always,
}

/// What `models.json` says of a model, beyond what the contract has a place for.
#[derive(Clone, Debug, PartialEq)]
pub struct Traits {
    /// How it is told to think.
    pub thinking: Thinking,
    /// Its signed thinking counts only behind an unchanged conversation.
    pub bound: bool,
    /// It takes `temperature` and the like.
    pub sampling: bool,
    /// The longest answer, in tokens.
    pub max_output: u32,
}

fn table() -> Table {
    Table::parse(include_str!("models.json"))
}

/// Of this model.
pub fn traits(id: &str) -> Traits {
    let table = table();
    let is = |key: &str| table.says(id, key).and_then(Value::as_bool);
    Traits {
        thinking: match table.text(id, "thinking") {
            Some("budget") => Thinking::Budget,
            Some("adaptive") => Thinking::Adaptive,
            Some("on") => Thinking::On,
            Some("between-tools") => Thinking::BetweenTools,
            Some("always") => Thinking::Always,
            _ => Thinking::No,
        },
        bound: is("bound").unwrap_or(false),
        sampling: is("sampling").unwrap_or(true),
        max_output: table.named(id).max_output.unwrap_or(MAX_TOKENS),
    }
}

/// The answer of `GET /v1/models` as models; none if it has no list.
pub fn parse(text: &str) -> Option<Vec<Model>> {
    let value: Value = serde_json::from_str(text).ok()?;
    let table = table();
    let listed = |entry: &Value| {
        let id = entry.get("id").and_then(Value::as_str)?;
        let size = |key: &str| entry.get(key).and_then(Value::as_u64).and_then(|size| u32::try_from(size).ok());
        let known = table.named(id);
        let title = entry.get("display_name").and_then(Value::as_str).filter(|title| !title.is_empty());
        Some(Model {
            title: title.map_or(known.title, str::to_string),
            context: size("max_input_tokens").or(known.context),
            max_output: size("max_tokens").or(known.max_output),
            ..known
        })
    };
    let mut models: Vec<Model> = value.get("data")?.as_array()?.iter().filter_map(listed).collect();
    table.sort(&mut models);
    Some(models)
}

/// Those that are known without a list.
pub fn known() -> Vec<Model> {
    table().known()
}

/// A model of which only the id is known.
pub fn named(id: &str) -> Model {
    table().named(id)
}

#[cfg(test)]
mod tests {
    use openpista_plugin::models::{Abilities, Price};

    use super::*;

    #[test]
    fn the_data_file_is_whole() {
        let table = table();
        for entry in table.entries() {
            let id = entry["id"].as_str().unwrap();
            assert!(entry["abilities"].is_array(), "{entry}");
            let thinks = table.named(id).abilities.reasoning;
            assert_eq!(traits(id).thinking != Thinking::No, thinks, "{entry}");
            assert!(entry.get("thinking").is_none() || traits(id).thinking != Thinking::No, "{entry}");
        }
        assert!(table.entries().len() > 10);
    }

    #[test]
    fn a_model_that_came_later_is_told_to_think_as_the_newest_are() {
        assert_eq!(
            traits("claude-opus-7"),
            Traits { thinking: Thinking::Always, bound: true, sampling: false, max_output: 8_192 }
        );
        assert_eq!(
            traits("another-service-7b"),
            Traits { thinking: Thinking::No, bound: false, sampling: true, max_output: 8_192 }
        );
        let snapshot = traits("claude-haiku-4-5-20251001");
        assert_eq!((snapshot.thinking, snapshot.max_output), (Thinking::Budget, 64_000));
    }

    #[test]
    fn the_list_is_completed_and_sorted() {
        let list = r#"{"data":[
            {"type":"model","id":"claude-mystery","display_name":"Mystery","created_at":"2026-01-01T00:00:00Z"},
            {"type":"model","id":"claude-haiku-4-5-20251001","display_name":"Claude Haiku 4.5","max_input_tokens":190000}],
            "has_more":false,"first_id":"a","last_id":"b"}"#;
        let all = Abilities { images: true, documents: true, reasoning: true, ..Abilities::TOOLS };
        assert_eq!(
            parse(list).unwrap(),
            [
                Model {
                    id: "claude-haiku-4-5-20251001".into(),
                    title: "Claude Haiku 4.5".into(),
                    context: Some(190_000),
                    max_output: Some(64_000),
                    abilities: all,
                    price: Some(Price {
                        input: 1_000_000,
                        output: 5_000_000,
                        cache_read: 100_000,
                        cache_write: 1_250_000
                    }),
                },
                Model {
                    id: "claude-mystery".into(),
                    title: "Mystery".into(),
                    context: None,
                    max_output: None,
                    abilities: all,
                    price: None,
                }
            ]
        );
        assert_eq!((parse("<html>"), parse(r#"{"error":{}}"#)), (None, None));
    }
}
