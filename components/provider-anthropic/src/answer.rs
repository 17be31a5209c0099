//! The answer that grows from the events of a stream, or comes at once as a message.

use openpista_plugin::exchange;
use openpista_plugin::failure::{self, Failure};
use openpista_plugin::sse::Event;
use openpista_plugin::tool_names::ToolNames;
use serde_json::Value;

use crate::contract::exports::openpista::plugin::provider::{Body, Completion, Part, Stop, ToolCall};
use crate::contract::openpista::plugin::deltas::{CallDelta, Delta};
use crate::contract::openpista::types::types::Usage;
use crate::replay::Replay;
use crate::shared::no_usage;

/// A block that is being written.
#[derive(Clone, Debug, PartialEq)]
enum Block {
    Text(String),
    Thinking {
        text: String,
        signature: String,
    },
    Redacted(String),
    Call {
        number: u32,
        id: String,
        name: String,
        arguments: String,
    },
    /// A kind that came after this was written.
    Unknown,
}

/// What has come so far.
#[derive(Debug)]
pub struct Answer<'a> {
    names: &'a ToolNames,
    /// The model as it was asked for: what it signed goes back to it only.
    asked: &'a str,
    /// In the API's order, with its numbers.
    blocks: Vec<(u64, Block)>,
    stop: Option<String>,
    /// Why the model refused, if it did and says so.
    refusal: Option<String>,
    over: bool,
    usage: Usage,
    model: Option<String>,
}

impl<'a> Answer<'a> {
    /// Nothing yet.
    pub fn new(names: &'a ToolNames, asked: &'a str) -> Self {
        Self {
            names,
            asked,
            blocks: Vec::new(),
            stop: None,
            refusal: None,
            over: false,
            usage: no_usage(),
            model: None,
        }
    }

    /// What `message_start` has, and all of an answer that is no stream.
    fn message(&mut self, message: &Value) -> Vec<Delta> {
        self.model = text(message, "/model").filter(|model| !model.is_empty());
        self.count(message.get("usage"));
        self.ending(message);
        let content = message.get("content").and_then(Value::as_array);
        content.into_iter().flatten().zip(0..).flat_map(|(block, index)| self.begin(index, block)).collect()
    }

    fn ending(&mut self, of: &Value) {
        self.stop = text(of, "/stop_reason").or(self.stop.take());
        self.refusal = text(of, "/stop_details/explanation").or(self.refusal.take());
    }

    /// The counts are of the whole answer, not of what is new; one that is not given stays.
    fn count(&mut self, usage: Option<&Value>) {
        let number = |key: &str| usage?.get(key)?.as_u64();
        let (read, written) = (number("cache_read_input_tokens"), number("cache_creation_input_tokens"));
        // The API's own count of the input leaves the cache out.
        let plain = number("input_tokens")
            .unwrap_or(self.usage.input.saturating_sub(self.usage.cache_read).saturating_sub(self.usage.cache_write));
        self.usage.cache_read = read.unwrap_or(self.usage.cache_read);
        self.usage.cache_write = written.unwrap_or(self.usage.cache_write);
        self.usage.input = plain.saturating_add(self.usage.cache_read).saturating_add(self.usage.cache_write);
        self.usage.output = number("output_tokens").unwrap_or(self.usage.output);
    }

    fn begin(&mut self, index: u64, block: &Value) -> Vec<Delta> {
        let value = |pointer: &str| text(block, pointer).unwrap_or_default();
        let number = self.blocks.iter().filter(|(_, block)| matches!(block, Block::Call { .. })).count();
        let new = match block.get("type").and_then(Value::as_str) {
            Some("text") => Block::Text(value("/text")),
            Some("thinking") => Block::Thinking { text: value("/thinking"), signature: value("/signature") },
            Some("redacted_thinking") => Block::Redacted(value("/data")),
            Some("tool_use") => Block::Call {
                number: u32::try_from(number).unwrap_or(u32::MAX),
                id: value("/id"),
                name: value("/name"),
                // A stream begins with `{}` and sends the rest in pieces.
                arguments: block
                    .get("input")
                    .filter(|input| *input != &Value::Object(serde_json::Map::new()))
                    .map(Value::to_string)
                    .unwrap_or_default(),
            },
            _ => Block::Unknown,
        };
        let delta = match &new {
            Block::Text(text) if !text.is_empty() => Some(Delta::Text(text.clone())),
            Block::Thinking { text, .. } if !text.is_empty() => Some(Delta::Reasoning(text.clone())),
            Block::Call { number, name, arguments, .. } => Some(Delta::Call(CallDelta {
                index: *number,
                name: Some(self.names.own(name)),
                arguments: arguments.clone(),
            })),
            _ => None,
        };
        self.blocks.push((index, new));
        delta.into_iter().collect()
    }

    fn grow(&mut self, index: u64, delta: &Value) -> Option<Delta> {
        let value = |key: &str| delta.get(key).and_then(Value::as_str).filter(|text| !text.is_empty());
        let (_, block) = self.blocks.iter_mut().rev().find(|(at, _)| *at == index)?;
        match block {
            Block::Text(text) => {
                let new = value("text")?;
                text.push_str(new);
                Some(Delta::Text(new.into()))
            }
            Block::Thinking { text, signature } => {
                if let Some(new) = value("signature") {
                    signature.push_str(new);
                }
                let new = value("thinking")?;
                text.push_str(new);
                Some(Delta::Reasoning(new.into()))
            }
            Block::Call { number, arguments, .. } => {
                let new = value("partial_json")?;
                arguments.push_str(new);
                Some(Delta::Call(CallDelta { index: *number, name: None, arguments: new.into() }))
            }
            Block::Redacted(_) | Block::Unknown => None,
        }
    }

    fn complete(self, stop: Stop) -> Completion {
        let mut parts = Vec::new();
        for (_, block) in self.blocks {
            let (body, replay) = match block {
                Block::Text(text) if text.is_empty() => continue,
                Block::Text(text) => (Body::Text(text), None),
                Block::Thinking { text, signature } if text.is_empty() && signature.is_empty() => continue,
                Block::Thinking { text, signature } => {
                    let signed = (!signature.is_empty()).then(|| Replay::Signature(signature).write(self.asked));
                    (Body::Reasoning(text), signed)
                }
                Block::Redacted(data) => {
                    (Body::Reasoning(String::new()), Some(Replay::Redacted(data).write(self.asked)))
                }
                Block::Call { id, name, arguments, .. } => {
                    let arguments = if arguments.trim().is_empty() { "{}".into() } else { arguments };
                    (Body::Call(ToolCall { id, name: self.names.own(&name), arguments }), None)
                }
                Block::Unknown => continue,
            };
            parts.push(Part { body, replay });
        }
        Completion { parts, stop, usage: self.usage, model: self.model }
    }
}

impl exchange::Answer for Answer<'_> {
    type Delta = Delta;
    type Completion = Completion;

    fn take(&mut self, event: &Event) -> Result<Vec<Delta>, Failure> {
        let value: Value = serde_json::from_str(&event.data)
            .map_err(|error| Failure::Other(format!("the service sent broken JSON: {error}")))?;
        let index = value.get("index").and_then(Value::as_u64).unwrap_or_default();
        let of = |key: &str| value.get(key).unwrap_or(&Value::Null);
        Ok(match value.get("type").and_then(Value::as_str).unwrap_or(&event.name) {
            "message_start" => self.message(of("message")),
            "content_block_start" => self.begin(index, of("content_block")),
            "content_block_delta" => self.grow(index, of("delta")).into_iter().collect(),
            "message_delta" => {
                self.ending(of("delta"));
                self.count(value.get("usage"));
                Vec::new()
            }
            "message_stop" => {
                self.over = true;
                Vec::new()
            }
            // The whole of it, from a service that does not stream.
            "message" => {
                self.over = true;
                self.message(&value)
            }
            "error" => return Err(failure::from_stream(of("error"))),
            // `ping`, `content_block_stop`, and what is yet to come.
            _ => Vec::new(),
        })
    }

    fn is_over(&self) -> bool {
        self.over
    }

    fn finish(mut self) -> Result<Completion, Failure> {
        let calls = self.blocks.iter().any(|(_, block)| matches!(block, Block::Call { .. }));
        let stop = match self.stop.as_deref() {
            // Without a reason to end it broke off; one that lacks only its last event is whole.
            None => return Err(Failure::Transport("the answer broke off before its end".into())),
            Some("tool_use") => Stop::Calls,
            Some("end_turn" | "stop_sequence") if calls => Stop::Calls,
            Some("end_turn" | "stop_sequence") => Stop::End,
            Some("max_tokens" | "model_context_window_exceeded") => Stop::MaxTokens,
            Some("refusal") => {
                Stop::Filtered(self.refusal.take().unwrap_or_else(|| "the model's service refused".into()))
            }
            Some(other) => Stop::Other(other.into()),
        };
        Ok(self.complete(stop))
    }

    /// What there is, without the calls, which may be half written.
    fn cancelled(mut self) -> Completion {
        self.blocks.retain(|(_, block)| !matches!(block, Block::Call { .. }));
        self.complete(Stop::Cancelled)
    }
}

fn text(value: &Value, pointer: &str) -> Option<String> {
    value.pointer(pointer).and_then(Value::as_str).map(str::to_string)
}

#[cfg(test)]
mod tests;
