//! The answer that grows from the events of a stream, or comes at once as a response.

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

/// An item of the output that is being written.
#[derive(Clone, Debug, Default, PartialEq)]
struct Item {
    /// The API's number for it, and its id; some servers give only one of them.
    index: Option<u64>,
    id: String,
    kind: Kind,
    /// Of a message, or the arguments of a call.
    text: String,
    refused: bool,
    phase: Option<String>,
    summary: Vec<String>,
    encrypted: String,
    /// Whole: what is encrypted before that is no use.
    done: bool,
    call_id: String,
    name: String,
}

#[derive(Clone, Copy, Debug, Default, PartialEq)]
enum Kind {
    Message,
    Reasoning,
    Call,
    /// A kind that came after this was written.
    #[default]
    Unknown,
}

/// What has come so far.
#[derive(Debug)]
pub struct Answer<'a> {
    names: &'a ToolNames,
    /// The model as it was asked for: its reasoning goes back to it only.
    asked: &'a str,
    /// For calls to which the service gives no id; differs from answer to answer.
    salt: u64,
    items: Vec<Item>,
    stop: Option<Stop>,
    usage: Usage,
    model: Option<String>,
}

impl<'a> Answer<'a> {
    /// Nothing yet.
    pub fn new(names: &'a ToolNames, asked: &'a str, salt: u64) -> Self {
        Self { names, asked, salt, items: Vec::new(), stop: None, usage: no_usage(), model: None }
    }

    /// The item that an event is about; a new one if it is the first word of it.
    fn at(&mut self, index: Option<u64>, id: &str, kind: Kind) -> usize {
        let same = self.items.iter().rposition(|item| match (index, item.index) {
            (Some(index), Some(own)) => index == own,
            _ => !id.is_empty() && item.id == id,
        });
        same.unwrap_or_else(|| {
            self.items.push(Item { index, id: id.into(), kind, ..Item::default() });
            self.items.len() - 1
        })
    }

    fn call_number(&self, at: usize) -> u32 {
        let calls = self.items.iter().take(at).filter(|item| item.kind == Kind::Call).count();
        u32::try_from(calls).unwrap_or(u32::MAX)
    }

    /// `output_item.added` and `.done`, and each item of a response that comes at once. What is there already is not
    /// told again.
    fn item(&mut self, index: Option<u64>, value: &Value, done: bool) -> Vec<Delta> {
        let id = text(value, "id");
        let kind = match value.get("type").and_then(Value::as_str) {
            Some("message") => Kind::Message,
            Some("reasoning") => Kind::Reasoning,
            Some("function_call") => Kind::Call,
            _ => Kind::Unknown,
        };
        let at = self.at(index, &id, kind);
        let number = self.call_number(at);
        let Some(item) = self.items.get_mut(at) else { return Vec::new() };
        item.kind = kind;
        item.done |= done;
        let mut deltas = Vec::new();
        match kind {
            Kind::Message => {
                let content = || value.get("content").and_then(Value::as_array).into_iter().flatten();
                let whole: String = content().map(|part| text(part, "text") + &text(part, "refusal")).collect();
                item.refused |= content().any(|part| part.get("type").and_then(Value::as_str) == Some("refusal"));
                item.phase = value.get("phase").and_then(Value::as_str).map(str::to_string).or(item.phase.take());
                deltas.extend(rest(&mut item.text, whole).map(Delta::Text));
            }
            Kind::Reasoning => {
                let list = |key: &str| -> Vec<String> {
                    let parts = value.get(key).and_then(Value::as_array).into_iter().flatten();
                    parts.map(|part| text(part, "text")).filter(|text| !text.is_empty()).collect()
                };
                let summary = list("summary");
                let whole = if summary.is_empty() { list("content") } else { summary.clone() };
                deltas.extend(rest(&mut item.text, whole.join("\n\n")).map(Delta::Reasoning));
                if !summary.is_empty() {
                    item.summary = summary;
                }
                let encrypted = text(value, "encrypted_content");
                if !encrypted.is_empty() {
                    item.encrypted = encrypted;
                }
            }
            Kind::Call => {
                let begun = !item.name.is_empty();
                item.name = text(value, "name");
                item.call_id = text(value, "call_id");
                let new = rest(&mut item.text, text(value, "arguments"));
                if !begun || new.is_some() {
                    let name = (!begun).then(|| self.names.own(&item.name));
                    deltas.push(Delta::Call(CallDelta { index: number, name, arguments: new.unwrap_or_default() }));
                }
            }
            Kind::Unknown => (),
        }
        deltas
    }

    fn grow(&mut self, event: &Value, kind: Kind) -> Option<Delta> {
        let new = text(event, "delta");
        let at = self.at(event.get("output_index").and_then(Value::as_u64), &text(event, "item_id"), kind);
        let number = self.call_number(at);
        let item = self.items.get_mut(at)?;
        if new.is_empty() {
            return None;
        }
        let mut told = new.clone();
        if kind == Kind::Reasoning {
            // Each part of a summary is a paragraph.
            let part = event.get("summary_index").and_then(Value::as_u64).and_then(|part| usize::try_from(part).ok());
            if let Some(part) = part.filter(|part| *part == item.summary.len()) {
                item.summary.push(String::new());
                if part > 0 {
                    told.insert_str(0, "\n\n");
                }
            }
            if let Some(last) = item.summary.last_mut() {
                last.push_str(&new);
            }
        }
        item.text.push_str(&told);
        Some(match kind {
            Kind::Reasoning => Delta::Reasoning(told),
            Kind::Call => Delta::Call(CallDelta { index: number, name: None, arguments: told }),
            Kind::Message | Kind::Unknown => Delta::Text(told),
        })
    }

    /// The object that the last events have, and all of an answer that is no stream.
    fn response(&mut self, response: &Value) -> Result<Vec<Delta>, Failure> {
        let model = text(response, "model");
        self.model = Some(model).filter(|model| !model.is_empty()).or(self.model.take());
        if let Some(usage) = response.get("usage").filter(|usage| usage.is_object()) {
            self.usage = read_usage(usage);
        }
        let reason = response.pointer("/incomplete_details/reason").and_then(Value::as_str);
        self.stop = match (response.get("status").and_then(Value::as_str), reason) {
            (Some("failed"), _) => {
                return Err(failure::from_stream(response.get("error").unwrap_or(&Value::Null)));
            }
            (Some("cancelled"), _) => return Err(Failure::Overloaded("the service broke the answer off".into())),
            (Some("incomplete"), Some("content_filter")) => {
                Some(Stop::Filtered("the service's filter held the answer back".into()))
            }
            (Some("incomplete"), Some("max_output_tokens" | "max_tokens") | None) => Some(Stop::MaxTokens),
            (Some("incomplete"), Some(other)) => Some(Stop::Other(other.into())),
            (Some("in_progress" | "queued"), _) => return Ok(Vec::new()),
            // Completed; some servers leave the word out.
            _ => Some(Stop::End),
        };
        let output = response.get("output").and_then(Value::as_array).into_iter().flatten();
        Ok(output.zip(0..).flat_map(|(item, index)| self.item(Some(index), item, true)).collect())
    }

    fn complete(mut self, stop: Stop) -> Completion {
        // Those that name no place came in order.
        self.items.sort_by_key(|item| item.index.unwrap_or(u64::MAX));
        let mut parts = Vec::new();
        for (at, item) in self.items.into_iter().enumerate() {
            let (body, replay) = match item.kind {
                Kind::Message if item.text.is_empty() => continue,
                Kind::Message => (Body::Text(item.text), item.phase.map(Replay::Phase)),
                Kind::Reasoning if item.text.is_empty() && item.encrypted.is_empty() => continue,
                Kind::Reasoning => {
                    let sealed = item.done && !item.encrypted.is_empty() && !item.id.is_empty();
                    let replay = sealed.then_some(Replay::Reasoning {
                        id: item.id,
                        encrypted: item.encrypted,
                        summary: item.summary,
                    });
                    (Body::Reasoning(item.text), replay)
                }
                Kind::Call => {
                    let id =
                        if item.call_id.is_empty() { format!("call-{:016x}-{at}", self.salt) } else { item.call_id };
                    let arguments = if item.text.trim().is_empty() { "{}".into() } else { item.text };
                    (Body::Call(ToolCall { id, name: self.names.own(&item.name), arguments }), None)
                }
                Kind::Unknown => continue,
            };
            parts.push(Part { body, replay: replay.map(|replay| replay.write(self.asked)) });
        }
        Completion { parts, stop, usage: self.usage, model: self.model }
    }
}

impl exchange::Answer for Answer<'_> {
    type Delta = Delta;
    type Completion = Completion;

    fn take(&mut self, event: &Event) -> Result<Vec<Delta>, Failure> {
        if event.data.trim() == "[DONE]" {
            return Ok(Vec::new());
        }
        let value: Value = serde_json::from_str(&event.data)
            .map_err(|error| Failure::Other(format!("the service sent broken JSON: {error}")))?;
        let index = value.get("output_index").and_then(Value::as_u64);
        let of = |key: &str| value.get(key).unwrap_or(&Value::Null);
        Ok(match value.get("type").and_then(Value::as_str).unwrap_or(&event.name) {
            "response.created" | "response.in_progress" => {
                self.model = of("response").get("model").and_then(Value::as_str).map(str::to_string);
                Vec::new()
            }
            "response.output_item.added" => self.item(index, of("item"), false),
            "response.output_item.done" => self.item(index, of("item"), true),
            "response.output_text.delta" => self.grow(&value, Kind::Message).into_iter().collect(),
            "response.refusal.delta" => {
                let delta = self.grow(&value, Kind::Message);
                let at = self.at(index, &text(&value, "item_id"), Kind::Message);
                if let Some(item) = self.items.get_mut(at) {
                    item.refused = true;
                }
                delta.into_iter().collect()
            }
            "response.reasoning_summary_text.delta" | "response.reasoning_text.delta" => {
                self.grow(&value, Kind::Reasoning).into_iter().collect()
            }
            "response.function_call_arguments.delta" => self.grow(&value, Kind::Call).into_iter().collect(),
            "response.completed" | "response.incomplete" | "response.failed" | "response.done" => {
                self.response(of("response"))?
            }
            "error" => {
                let error = value.get("error").filter(|error| !error.is_null()).unwrap_or(&value);
                return Err(failure::from_stream(error));
            }
            // The whole of it, from a service that does not stream.
            _ if value.get("object").and_then(Value::as_str) == Some("response") => self.response(&value)?,
            _ if value.get("error").is_some_and(|error| !error.is_null()) => {
                return Err(failure::from_stream(of("error")));
            }
            // Parts that begin and end, tools of the service, keep-alives, and what is yet to come.
            _ => Vec::new(),
        })
    }

    fn is_over(&self) -> bool {
        self.stop.is_some()
    }

    fn finish(mut self) -> Result<Completion, Failure> {
        let refused = self.items.iter().any(|item| item.refused);
        let calls = self.items.iter().any(|item| item.kind == Kind::Call);
        let stop = match self.stop.take() {
            None => return Err(Failure::Transport("the answer broke off before its end".into())),
            Some(Stop::End) if refused => Stop::Filtered("the model refused".into()),
            Some(Stop::End) if calls => Stop::Calls,
            Some(stop) => stop,
        };
        Ok(self.complete(stop))
    }

    /// What there is, without the calls, which may be half written.
    fn cancelled(mut self) -> Completion {
        self.items.retain(|item| item.kind != Kind::Call);
        self.complete(Stop::Cancelled)
    }
}

fn text(value: &Value, key: &str) -> String {
    value.get(key).and_then(Value::as_str).unwrap_or_default().into()
}

/// Puts the whole in the place of what has come; what that adds to it, if anything.
fn rest(come: &mut String, whole: String) -> Option<String> {
    if whole.is_empty() {
        return None;
    }
    let new = whole.strip_prefix(come.as_str()).filter(|new| !new.is_empty()).map(str::to_string);
    *come = whole;
    new
}

fn read_usage(usage: &Value) -> Usage {
    let number = |pointer: &str| usage.pointer(pointer).and_then(Value::as_u64).unwrap_or(0);
    Usage {
        input: number("/input_tokens"),
        output: number("/output_tokens"),
        cache_read: number("/input_tokens_details/cached_tokens"),
        cache_write: number("/input_tokens_details/cache_write_tokens"),
        cost: None,
    }
}

#[cfg(test)]
mod tests;
