//! The answer that grows from the chunks of a stream, or comes at once in one.

use openpista_plugin::exchange;
use openpista_plugin::failure::{self, Failure};
use openpista_plugin::sse::Event;
use openpista_plugin::tool_names::ToolNames;
use serde_json::Value;

use crate::contract::exports::openpista::plugin::provider::{Body, Completion, Part, Stop, ToolCall};
use crate::contract::openpista::plugin::deltas::{CallDelta, Delta};
use crate::contract::openpista::types::types::Usage;
use crate::shared::no_usage;

/// A call of a tool that is being written.
#[derive(Debug, Default)]
struct Growing {
    /// The API's number for it.
    index: Option<u64>,
    id: String,
    name: String,
    arguments: String,
}

/// What has come so far.
#[derive(Debug)]
pub struct Answer<'a> {
    names: &'a ToolNames,
    /// For calls to which the service gives no id; differs from answer to answer.
    salt: u64,
    reasoning: String,
    text: String,
    refused: bool,
    calls: Vec<Growing>,
    finish: Option<String>,
    /// The service said `[DONE]`.
    done: bool,
    usage: Usage,
    model: Option<String>,
}

impl<'a> Answer<'a> {
    /// Nothing yet.
    pub fn new(names: &'a ToolNames, salt: u64) -> Self {
        Self {
            names,
            salt,
            reasoning: String::new(),
            text: String::new(),
            refused: false,
            calls: Vec::new(),
            finish: None,
            done: false,
            usage: no_usage(),
            model: None,
        }
    }

    fn grow(&mut self, delta: &Value, deltas: &mut Vec<Delta>) {
        let reasoning =
            delta.get("reasoning_content").or_else(|| delta.get("reasoning")).map(plain).unwrap_or_default();
        if !reasoning.is_empty() {
            self.reasoning.push_str(&reasoning);
            deltas.push(Delta::Reasoning(reasoning));
        }
        for key in ["content", "refusal"] {
            let text = delta.get(key).map(plain).unwrap_or_default();
            if !text.is_empty() {
                self.refused |= key == "refusal";
                self.text.push_str(&text);
                deltas.push(Delta::Text(text));
            }
        }
        for piece in delta.get("tool_calls").and_then(Value::as_array).into_iter().flatten() {
            deltas.extend(self.grow_call(piece).map(Delta::Call));
        }
    }

    fn grow_call(&mut self, piece: &Value) -> Option<CallDelta> {
        let text = |pointer: &str| piece.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
        let (index, id) = (piece.get("index").and_then(Value::as_u64), text("/id"));
        // Some servers give each call the index 0, or none: another id is then another call.
        let same = self.calls.iter().rposition(|call| {
            let same_index = index.is_none() || call.index == index;
            same_index && (id.is_empty() || call.id.is_empty() || call.id == id)
        });
        let at = match same {
            Some(at) => at,
            None => {
                self.calls.push(Growing { index, ..Growing::default() });
                self.calls.len() - 1
            }
        };
        let call = self.calls.get_mut(at)?;
        if call.id.is_empty() {
            call.id = id.into();
        }
        let name = text("/function/name");
        // A name comes whole; some servers send it again with each piece.
        let new_name = call.name.is_empty() && !name.is_empty();
        if new_name {
            call.name = name.into();
        }
        let arguments = match piece.pointer("/function/arguments") {
            Some(Value::String(text)) => text.clone(),
            Some(object @ Value::Object(_)) => object.to_string(),
            _ => String::new(),
        };
        call.arguments.push_str(&arguments);
        Some(CallDelta { index: u32::try_from(at).ok()?, name: new_name.then(|| self.names.own(name)), arguments })
    }

    fn complete(self, stop: Stop) -> Completion {
        let part = |body| Part { body, replay: None };
        let mut parts = Vec::new();
        if !self.reasoning.is_empty() {
            parts.push(part(Body::Reasoning(self.reasoning)));
        }
        if !self.text.is_empty() {
            parts.push(part(Body::Text(self.text)));
        }
        for (at, call) in self.calls.into_iter().enumerate() {
            let id = if call.id.is_empty() { format!("call-{:016x}-{at}", self.salt) } else { call.id };
            // A tool without parameters may come without arguments.
            let arguments = if call.arguments.trim().is_empty() { "{}".into() } else { call.arguments };
            parts.push(part(Body::Call(ToolCall { id, name: self.names.own(&call.name), arguments })));
        }
        Completion { parts, stop, usage: self.usage, model: self.model }
    }
}

impl exchange::Answer for Answer<'_> {
    type Delta = Delta;
    type Completion = Completion;

    /// One chunk, or a whole answer, which has a `message` in the place of the `delta`.
    fn take(&mut self, event: &Event) -> Result<Vec<Delta>, Failure> {
        let mut deltas = Vec::new();
        if event.data.trim() == "[DONE]" {
            self.done = true;
            return Ok(deltas);
        }
        let chunk: Value = serde_json::from_str(&event.data)
            .map_err(|error| Failure::Other(format!("the service sent broken JSON: {error}")))?;
        if let Some(error) = chunk.get("error").filter(|error| !error.is_null()) {
            return Err(failure::from_stream(error));
        }
        if let Some(model) = chunk.get("model").and_then(Value::as_str).filter(|model| !model.is_empty()) {
            self.model = Some(model.into());
        }
        if let Some(usage) = chunk.get("usage").filter(|usage| usage.is_object()) {
            self.usage = read_usage(usage);
        }
        let Some(choice) = chunk.pointer("/choices/0") else {
            return Ok(deltas);
        };
        if let Some(delta) = choice.get("delta").or_else(|| choice.get("message")) {
            self.grow(delta, &mut deltas);
        }
        if let Some(reason) = choice.get("finish_reason").and_then(Value::as_str) {
            self.finish = Some(reason.into());
        }
        Ok(deltas)
    }

    fn is_over(&self) -> bool {
        self.done
    }

    /// Without a reason to end and without a word that it is done, it broke off.
    fn finish(self) -> Result<Completion, Failure> {
        if self.finish.is_none() && !self.done {
            return Err(Failure::Transport("the answer broke off before its end".into()));
        }
        let stop = match self.finish.as_deref() {
            Some("length" | "max_tokens") => Stop::MaxTokens,
            Some("content_filter") => Stop::Filtered("the service's filter held the answer back".into()),
            Some("error") => return Err(Failure::Overloaded("the service broke the answer off".into())),
            _ if self.refused => Stop::Filtered("the model refused".into()),
            // Some servers say `stop` after calls, too.
            _ if !self.calls.is_empty() => Stop::Calls,
            None | Some("stop" | "eos" | "tool_calls" | "function_call") => Stop::End,
            Some(other) => Stop::Other(other.into()),
        };
        Ok(self.complete(stop))
    }

    /// What there is, without the calls, which may be half written.
    fn cancelled(mut self) -> Completion {
        self.calls.clear();
        self.complete(Stop::Cancelled)
    }
}

/// A text, or the texts of a list of parts.
fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(parts) => parts.iter().filter_map(|part| part.get("text").and_then(Value::as_str)).collect(),
        _ => String::new(),
    }
}

fn read_usage(usage: &Value) -> Usage {
    let number = |pointer: &str| usage.pointer(pointer).and_then(Value::as_u64).unwrap_or(0);
    Usage {
        input: number("/prompt_tokens"),
        output: number("/completion_tokens"),
        cache_read: number("/prompt_tokens_details/cached_tokens"),
        cache_write: number("/prompt_tokens_details/cache_write_tokens"),
        cost: usage
            .get("cost")
            .and_then(Value::as_f64)
            .filter(|dollars| *dollars >= 0.0)
            .map(|dollars| (dollars * 1e6).round() as u64),
    }
}

#[cfg(test)]
mod tests;
