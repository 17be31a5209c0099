//! The models on offer: what the service lists, completed with what `models.json` knows.

use openpista_plugin::models::{Abilities, Model, Price, Table, converses};
use serde_json::Value;

fn table() -> Table {
    Table::parse(include_str!("models.json"))
}

/// The answer of `GET /models` as models; none if it has no list. OpenAI's form has an object with `data`, Together
/// answers with the array itself, OpenRouter and Together add sizes and prices.
pub fn parse(text: &str) -> Option<Vec<Model>> {
    let value: Value = serde_json::from_str(text).ok()?;
    // Ollama without a model answers null.
    let list = match value.get("data") {
        Some(Value::Null) => return Some(Vec::new()),
        Some(list) => list.as_array()?,
        None => value.as_array()?,
    };
    let table = table();
    let mut models: Vec<Model> = list.iter().filter_map(|entry| listed(&table, entry)).collect();
    table.sort(&mut models);
    Some(models)
}

/// A model of which only the id is known.
pub fn named(id: &str) -> Model {
    table().named(id)
}

/// What comes nearest to no reasoning at all.
pub fn least_effort(id: &str) -> String {
    table().text(id, "least-effort").unwrap_or("none").into()
}

fn listed(table: &Table, entry: &Value) -> Option<Model> {
    let id = entry.get("id").and_then(Value::as_str)?;
    let chats = match entry.get("type").and_then(Value::as_str) {
        Some(kind) => matches!(kind, "chat" | "language" | "model"),
        None => converses(id),
    };
    if !chats {
        return None;
    }
    let known = table.named(id);
    let size = |value: Option<&Value>| value.and_then(Value::as_u64).and_then(|size| u32::try_from(size).ok());
    let title = entry.get("display_name").or_else(|| entry.get("name")).and_then(Value::as_str);
    Some(Model {
        title: title.filter(|title| !title.is_empty()).map_or(known.title, str::to_string),
        context: size(entry.get("context_length")).or_else(|| size(entry.get("context_window"))).or(known.context),
        max_output: size(entry.pointer("/top_provider/max_completion_tokens")).or(known.max_output),
        abilities: abilities(entry).unwrap_or(known.abilities),
        price: price(entry).or(known.price),
        id: known.id,
    })
}

/// OpenRouter's.
fn abilities(entry: &Value) -> Option<Abilities> {
    let has = |list: &Value, name: &str| list.as_array().is_some_and(|all| all.iter().any(|item| item == name));
    let parameters = entry.get("supported_parameters")?;
    let takes = |name: &str| entry.pointer("/architecture/input_modalities").is_some_and(|takes| has(takes, name));
    Some(Abilities {
        tools: has(parameters, "tools"),
        reasoning: has(parameters, "reasoning"),
        images: takes("image"),
        documents: takes("file"),
    })
}

/// OpenRouter writes dollars for a token as texts, Together dollars for a million tokens as numbers.
fn price(entry: &Value) -> Option<Price> {
    let pricing = entry.get("pricing")?;
    let per_token = |key: &str| {
        let dollars: f64 = pricing.get(key)?.as_str()?.parse().ok()?;
        // A negative price stands for one that varies.
        (dollars >= 0.0).then(|| (dollars * 1e12).round() as u64)
    };
    if let (Some(input), Some(output)) = (per_token("prompt"), per_token("completion")) {
        let cache_read = per_token("input_cache_read").unwrap_or(input);
        let cache_write = per_token("input_cache_write").unwrap_or(input);
        return Some(Price { input, output, cache_read, cache_write });
    }
    Price::per_million(pricing)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_data_file_is_whole() {
        let table = table();
        assert!(table.entries().len() > 20);
        for entry in table.entries() {
            assert!(entry["id"].is_string(), "{entry}");
            assert!(entry.get("abilities").is_some_and(Value::is_array), "{entry}");
        }
    }

    #[test]
    fn a_snapshot_or_a_size_has_the_data_of_its_model_and_the_longest_entry_wins() {
        assert_eq!(named("gpt-5-mini-2025-08-07").price.unwrap().output, 2_000_000);
        assert_eq!(named("openai/gpt-5").context, Some(400_000));
        assert_eq!(named("llama3.2-vision:11b").abilities, Abilities { images: true, ..Abilities::default() });
        assert_eq!(named("gpt-5.9").price, None);
        assert_eq!(
            [least_effort("gpt-5"), least_effort("gpt-5.1"), least_effort("other")],
            ["minimal", "none", "none"]
        );
    }

    #[test]
    fn a_plain_list_is_completed_sorted_and_rid_of_what_does_not_chat() {
        let list = r#"{"object":"list","data":[
            {"id":"mystery","object":"model"},{"id":"text-embedding-3-small","object":"model"},{"id":"gpt-4o-mini","object":"model"}]}"#;
        assert_eq!(
            parse(list).unwrap(),
            [
                Model {
                    id: "gpt-4o-mini".into(),
                    title: "GPT-4o mini".into(),
                    context: Some(128_000),
                    max_output: Some(16_384),
                    abilities: Abilities { images: true, documents: true, ..Abilities::TOOLS },
                    price: Some(Price { input: 150_000, output: 600_000, cache_read: 75_000, cache_write: 150_000 }),
                },
                Model {
                    id: "mystery".into(),
                    title: "mystery".into(),
                    context: None,
                    max_output: None,
                    abilities: Abilities::TOOLS,
                    price: None,
                }
            ]
        );
    }

    #[test]
    fn richer_lists_speak_for_themselves() {
        let routed = r#"{"data":[{"id":"maker/model","name":"Maker: Model","context_length":200000,
            "architecture":{"input_modalities":["text","image"]},"supported_parameters":["tools","temperature"],
            "pricing":{"prompt":"0.000003","completion":"0.000015","input_cache_read":"0.0000003"},
            "top_provider":{"max_completion_tokens":64000}}]}"#;
        assert_eq!(
            parse(routed).unwrap(),
            [Model {
                id: "maker/model".into(),
                title: "Maker: Model".into(),
                context: Some(200_000),
                max_output: Some(64_000),
                abilities: Abilities { images: true, ..Abilities::TOOLS },
                price: Some(Price {
                    input: 3_000_000,
                    output: 15_000_000,
                    cache_read: 300_000,
                    cache_write: 3_000_000
                }),
            }]
        );
        let together = r#"[{"id":"a/b","type":"chat","display_name":"B","context_length":8192,"pricing":{"input":0.88,"output":0.88}},
            {"id":"c/d","type":"image"}]"#;
        let models = parse(together).unwrap();
        assert_eq!(models.iter().map(|model| model.title.as_str()).collect::<Vec<_>>(), ["B"]);
        assert_eq!(models[0].price.map(|price| price.input), Some(880_000));
    }

    #[test]
    fn an_empty_list_is_one_and_nonsense_is_none() {
        assert_eq!(parse(r#"{"object":"list","data":null}"#), Some(vec![]));
        assert_eq!(parse("<html>"), None);
        assert_eq!(parse(r#"{"error":"no"}"#), None);
    }
}
