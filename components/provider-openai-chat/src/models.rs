//! The models on offer: what the service lists, completed with what `models.json` knows.

use serde_json::Value;

use crate::contract::exports::openpista::plugin::provider::{Abilities, Model, Price};

const DATA: &str = include_str!("models.json");

/// Parts of ids of models that do not chat, where the service lists them without saying so.
const NOT_FOR_CHAT: &[&str] = &[
    "embed",
    "whisper",
    "tts",
    "dall-e",
    "moderation",
    "transcribe",
    "realtime",
    "audio",
    "image",
    "sora",
    "davinci",
    "babbage",
    "rerank",
    "flux",
    "stable-diffusion",
    "computer-use",
    "-instruct-0914",
];

/// One entry of the data.
#[derive(Debug, Default)]
struct Known {
    title: Option<String>,
    context: Option<u32>,
    max_output: Option<u32>,
    abilities: Option<Abilities>,
    price: Option<Price>,
    least_effort: Option<String>,
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
    let mut models: Vec<Model> = list.iter().filter_map(listed).collect();
    models.sort_by_key(|model| known_at(&model.id).unwrap_or(usize::MAX));
    Some(models)
}

/// A model of which only the id is known.
pub fn named(id: &str) -> Model {
    let known = known(id);
    Model {
        id: id.into(),
        title: known.title.unwrap_or_else(|| id.into()),
        context: known.context,
        max_output: known.max_output,
        // Most models of today take tools; one that does not says so when asked.
        abilities: known.abilities.unwrap_or(Abilities::TOOLS),
        price: known.price,
    }
}

/// What comes nearest to no reasoning at all.
pub fn least_effort(id: &str) -> String {
    known(id).least_effort.unwrap_or_else(|| "none".into())
}

fn listed(entry: &Value) -> Option<Model> {
    let id = entry.get("id").and_then(Value::as_str)?;
    let chats = match entry.get("type").and_then(Value::as_str) {
        Some(kind) => matches!(kind, "chat" | "language" | "model"),
        None => !NOT_FOR_CHAT.iter().any(|part| id.to_lowercase().contains(part)),
    };
    if !chats {
        return None;
    }
    let known = named(id);
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
    let mut abilities = Abilities::empty();
    if has(parameters, "tools") {
        abilities |= Abilities::TOOLS;
    }
    if has(parameters, "reasoning") {
        abilities |= Abilities::REASONING;
    }
    if let Some(takes) = entry.pointer("/architecture/input_modalities") {
        if has(takes, "image") {
            abilities |= Abilities::IMAGES;
        }
        if has(takes, "file") {
            abilities |= Abilities::DOCUMENTS;
        }
    }
    Some(abilities)
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
    per_million(pricing)
}

fn per_million(pricing: &Value) -> Option<Price> {
    let millionths = |key: &str| pricing.get(key)?.as_f64().map(|dollars| (dollars * 1e6).round() as u64);
    let input = millionths("input")?;
    Some(Price {
        input,
        output: millionths("output")?,
        cache_read: millionths("cache-read").unwrap_or(input),
        cache_write: input,
    })
}

fn data() -> Vec<Value> {
    let data: Value = serde_json::from_str(DATA).unwrap_or_default();
    data.get("models").and_then(Value::as_array).cloned().unwrap_or_default()
}

fn entry_id(entry: &Value) -> &str {
    entry.get("id").and_then(Value::as_str).unwrap_or_default()
}

/// Where the longest entry that holds for the id stands.
fn place(entries: &[Value], id: &str) -> Option<usize> {
    // `openai/gpt-5` and `meta-llama/Llama-3.3-70B` name the maker first.
    let bare = id.rsplit('/').next().unwrap_or(id);
    let holds = |entry: &Value| {
        bare.strip_prefix(entry_id(entry)).is_some_and(|rest| rest.is_empty() || rest.starts_with(['-', ':', '@']))
    };
    let fitting = entries.iter().enumerate().filter(|(_, entry)| holds(entry));
    fitting.max_by_key(|(_, entry)| entry_id(entry).len()).map(|(at, _)| at)
}

fn known_at(id: &str) -> Option<usize> {
    place(&data(), id)
}

fn known(id: &str) -> Known {
    let entries = data();
    let Some(entry) = place(&entries, id).and_then(|at| entries.get(at)) else {
        return Known::default();
    };
    let size = |key: &str| entry.get(key).and_then(Value::as_u64).and_then(|size| u32::try_from(size).ok());
    let text = |key: &str| entry.get(key).and_then(Value::as_str).map(str::to_string);
    let abilities = entry.get("abilities").and_then(Value::as_array).map(|names| {
        names.iter().fold(Abilities::empty(), |abilities, name| {
            abilities
                | match name.as_str() {
                    Some("tools") => Abilities::TOOLS,
                    Some("images") => Abilities::IMAGES,
                    Some("documents") => Abilities::DOCUMENTS,
                    Some("reasoning") => Abilities::REASONING,
                    _ => Abilities::empty(),
                }
        })
    });
    Known {
        // A title is the model's own, not that of its snapshots and sizes.
        title: text("title").filter(|_| entry_id(entry) == id),
        context: size("context"),
        max_output: size("max-output"),
        abilities,
        price: entry.get("price").and_then(per_million),
        least_effort: text("least-effort"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_data_file_is_whole() {
        let entries = data();
        assert!(entries.len() > 20);
        for entry in &entries {
            assert!(!entry_id(entry).is_empty(), "{entry}");
            assert!(entry.get("abilities").is_some_and(Value::is_array), "{entry}");
        }
    }

    #[test]
    fn a_snapshot_or_a_size_has_the_data_of_its_model_and_the_longest_entry_wins() {
        assert_eq!(named("gpt-5-mini-2025-08-07").price.unwrap().output, 2_000_000);
        assert_eq!(named("openai/gpt-5").context, Some(400_000));
        assert_eq!(named("llama3.2-vision:11b").abilities, Abilities::IMAGES);
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
                    abilities: Abilities::TOOLS | Abilities::IMAGES | Abilities::DOCUMENTS,
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
                abilities: Abilities::TOOLS | Abilities::IMAGES,
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
