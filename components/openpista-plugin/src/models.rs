//! What a provider knows of its models without asking: a table in JSON, in the component.
//!
//! The table is an object with `models`, a list. An entry holds for its `id`, and for ids that go on after it with `-`,
//! `:` or `@` (snapshots and sizes); the longest one wins. `title`, `context` and `max-output` in tokens, `abilities`
//! (`tools`, `images`, `documents`, `reasoning`), `price` in US dollars for a million tokens (`input`, `output`,
//! `cache-read`, `cache-write`), and whatever else the provider wants to know of a model.

use serde_json::Value;

/// Parts of ids of models that take no conversation, where a service lists them without saying so.
const OTHERS: &[&str] = &[
    "embed",
    "whisper",
    "tts",
    "dall-e",
    "moderation",
    "transcribe",
    "realtime",
    "-live",
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

/// Whether one can talk to a model of that id, as far as the id tells.
pub fn converses(id: &str) -> bool {
    let id = id.to_lowercase();
    !OTHERS.iter().any(|part| id.contains(part))
}

/// A model on offer: the contract's `model`, without the bindings of a component.
#[derive(Clone, Debug, PartialEq)]
pub struct Model {
    /// As the API calls it.
    pub id: String,
    /// For people.
    pub title: String,
    /// In tokens; none: not known.
    pub context: Option<u32>,
    /// In tokens; none: not known.
    pub max_output: Option<u32>,
    /// What it takes and does.
    pub abilities: Abilities,
    /// None: not known.
    pub price: Option<Price>,
}

/// What a model takes and does.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Abilities {
    /// It calls tools.
    pub tools: bool,
    /// It sees images.
    pub images: bool,
    /// It reads documents.
    pub documents: bool,
    /// It thinks first.
    pub reasoning: bool,
}

impl Abilities {
    /// Most models of today take tools; one that does not says so when asked.
    pub const TOOLS: Self = Self { tools: true, images: false, documents: false, reasoning: false };
}

/// Millionths of a US dollar for a million tokens.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Price {
    /// Read anew.
    pub input: u64,
    /// Written.
    pub output: u64,
    /// Read from the cache.
    pub cache_read: u64,
    /// Put into the cache.
    pub cache_write: u64,
}

impl Price {
    /// Of an object with dollars as numbers; a cache without a price costs what input does.
    pub fn per_million(dollars: &Value) -> Option<Self> {
        let millionths = |key: &str| dollars.get(key)?.as_f64().map(|dollars| (dollars * 1e6).round() as u64);
        let input = millionths("input")?;
        Some(Self {
            input,
            output: millionths("output")?,
            cache_read: millionths("cache-read").unwrap_or(input),
            cache_write: millionths("cache-write").unwrap_or(input),
        })
    }
}

/// The table.
#[derive(Clone, Debug)]
pub struct Table(Vec<Value>);

impl Table {
    /// From its text.
    pub fn parse(text: &str) -> Self {
        let data: Value = serde_json::from_str(text).unwrap_or_default();
        Self(data.get("models").and_then(Value::as_array).cloned().unwrap_or_default())
    }

    /// Its entries.
    pub fn entries(&self) -> &[Value] {
        &self.0
    }

    /// Where the entry for this id stands: the order in which models are shown.
    pub fn place(&self, id: &str) -> Option<usize> {
        // `openai/gpt-5` and `meta-llama/Llama-3.3-70B` name the maker first.
        let bare = id.rsplit('/').next().unwrap_or(id);
        let holds = |entry: &Value| {
            bare.strip_prefix(entry_id(entry)).is_some_and(|rest| rest.is_empty() || rest.starts_with(['-', ':', '@']))
        };
        let fitting = self.0.iter().enumerate().filter(|(_, entry)| holds(entry));
        fitting.max_by_key(|(_, entry)| entry_id(entry).len()).map(|(at, _)| at)
    }

    /// What the table says of a model under this key.
    pub fn says(&self, id: &str, key: &str) -> Option<&Value> {
        self.0.get(self.place(id)?)?.get(key)
    }

    /// A text of the table.
    pub fn text(&self, id: &str, key: &str) -> Option<&str> {
        self.says(id, key).and_then(Value::as_str)
    }

    /// A model of which only the id is known.
    pub fn named(&self, id: &str) -> Model {
        let size = |key: &str| self.says(id, key).and_then(Value::as_u64).and_then(|size| u32::try_from(size).ok());
        // A title is the model's own, not that of its snapshots and sizes.
        let title = self.text(id, "title").filter(|_| self.text(id, "id") == Some(id));
        Model {
            id: id.into(),
            title: title.unwrap_or(id).into(),
            context: size("context"),
            max_output: size("max-output"),
            abilities: self.says(id, "abilities").and_then(Value::as_array).map_or(Abilities::TOOLS, |names| {
                let has = |wanted: &str| names.iter().any(|name| name == wanted);
                Abilities {
                    tools: has("tools"),
                    images: has("images"),
                    documents: has("documents"),
                    reasoning: has("reasoning"),
                }
            }),
            price: self.says(id, "price").and_then(Price::per_million),
        }
    }

    /// All that have a title: what is on offer as far as it is known without asking.
    pub fn known(&self) -> Vec<Model> {
        let titled = self.0.iter().filter(|entry| entry.get("title").is_some());
        titled.map(|entry| self.named(entry_id(entry))).collect()
    }

    /// In the order of the table; those that it does not know follow, as they came.
    pub fn sort(&self, models: &mut [Model]) {
        models.sort_by_key(|model| self.place(&model.id).unwrap_or(usize::MAX));
    }
}

fn entry_id(entry: &Value) -> &str {
    entry.get("id").and_then(Value::as_str).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = r#"{"models": [
        {"id": "m", "title": "M", "context": 100, "max-output": 10, "abilities": ["images"], "price": {"input": 1.5, "output": 2, "cache-write": 3}},
        {"id": "m-small", "title": "M small", "abilities": ["tools", "documents", "reasoning"], "mood": "calm"}]}"#;

    #[test]
    fn an_entry_holds_for_snapshots_and_sizes_and_the_longest_wins() {
        let table = Table::parse(TABLE);
        let places = ["m", "m-2026", "maker/m:7b", "m-small-2", "m@1", "mm", "n"].map(|id| table.place(id));
        assert_eq!(places, [Some(0), Some(0), Some(0), Some(1), Some(0), None, None]);
        assert_eq!((table.text("m-small-2", "mood"), table.text("m", "mood")), (Some("calm"), None));
    }

    #[test]
    fn what_is_not_known_is_left_open() {
        let table = Table::parse(TABLE);
        assert_eq!(
            table.named("m"),
            Model {
                id: "m".into(),
                title: "M".into(),
                context: Some(100),
                max_output: Some(10),
                abilities: Abilities { images: true, ..Abilities::default() },
                price: Some(Price {
                    input: 1_500_000,
                    output: 2_000_000,
                    cache_read: 1_500_000,
                    cache_write: 3_000_000
                }),
            }
        );
        let stranger = Model {
            id: "x".into(),
            title: "x".into(),
            context: None,
            max_output: None,
            abilities: Abilities::TOOLS,
            price: None,
        };
        assert_eq!(table.named("x"), stranger);
        let mut models = vec![stranger, table.named("m-small"), table.named("m-1")];
        table.sort(&mut models);
        assert_eq!(models.iter().map(|model| model.title.as_str()).collect::<Vec<_>>(), ["m-1", "M small", "x"]);
        assert!(Table::parse("no").entries().is_empty());
        assert_eq!(table.known(), [table.named("m"), table.named("m-small")]);
    }
}
