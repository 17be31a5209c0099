//! A request of the contract as the JSON of the API.

use openpista_plugin::request as pieces;
use openpista_plugin::tool_names::ToolNames;
use serde_json::{Map, Value, json};

use crate::contract::exports::openpista::plugin::provider::{
    Body, Message, Part, Request, Role, ToolChoice, ToolDefinition, ToolOutcome,
};
use crate::contract::openpista::types::types::{Content, Media};
use crate::models;
use crate::replay::Replay;
use crate::settings::Settings;
use crate::shared::{effort_name, ids};

/// Fields that are the component's own: an option of this name is passed over.
const OWN: &[&str] = &["model", "input", "instructions", "stream", "store", "include", "tools", "tool_choice"];

/// The least limit that the API takes.
const LIMIT_LEAST: u32 = 16;

/// What is sent, and what was left out of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Written {
    /// The body.
    pub json: Value,
    /// Options that were ignored, for the log.
    pub ignored: Vec<String>,
}

/// Writes it.
pub fn write(request: &Request, settings: &Settings, names: &ToolNames) -> Written {
    let reasons = models::reasons(&request.model);
    let writer = Writer { names, ids: &ids(request), model: &request.model };
    let mut input = Vec::new();
    for message in &request.messages {
        match message.role {
            Role::User => writer.user(message, &mut input),
            Role::Assistant => writer.assistant(message, &mut input),
        }
    }
    let mut body = Map::new();
    body.insert("model".into(), json!(request.model));
    body.insert("instructions".into(), json!(request.system));
    body.insert("input".into(), Value::Array(input));
    body.insert("stream".into(), json!(true));
    // What is not stored there has to come with each request, the reasoning encrypted.
    body.insert("store".into(), json!(false));
    if reasons {
        body.insert("include".into(), json!(["reasoning.encrypted_content"]));
        let mut reasoning = Map::new();
        if let Some(effort) = request.effort {
            reasoning.insert("effort".into(), json!(effort_name(effort, models::least_effort(&request.model))));
        }
        if !settings.summary.is_empty() {
            reasoning.insert("summary".into(), json!(settings.summary));
        }
        if !reasoning.is_empty() {
            body.insert("reasoning".into(), Value::Object(reasoning));
        }
    }
    if !request.tools.is_empty() {
        let tools: Vec<Value> = request.tools.iter().map(|tool| definition(tool, names)).collect();
        body.insert("tools".into(), Value::Array(tools));
        body.insert("parallel_tool_calls".into(), json!(true));
        let choice = match &request.choice {
            ToolChoice::Auto => json!("auto"),
            ToolChoice::None => json!("none"),
            ToolChoice::Required => json!("required"),
            ToolChoice::Named(name) => json!({"type": "function", "name": names.legal(name)}),
        };
        body.insert("tool_choice".into(), choice);
    }
    if let Some(most) = request.max_tokens.filter(|_| settings.limit) {
        body.insert("max_output_tokens".into(), json!(most.max(LIMIT_LEAST)));
    }
    if !request.cache_key.is_empty() {
        body.insert("prompt_cache_key".into(), json!(request.cache_key));
    }
    let ignored = pieces::options(&mut body, &request.options, |name| !OWN.contains(&name));
    Written { json: Value::Object(body), ignored }
}

fn definition(tool: &ToolDefinition, names: &ToolNames) -> Value {
    json!({
        "type": "function",
        "name": names.legal(&tool.name),
        "description": tool.description,
        "parameters": pieces::schema(&tool.parameters),
        // Strict wants schemas of one form, which those of tools seldom have.
        "strict": false
    })
}

/// What writing the messages needs to know of the whole.
struct Writer<'a> {
    names: &'a ToolNames,
    ids: &'a ToolNames,
    model: &'a str,
}

impl Writer<'_> {
    /// The results of tools are items of their own; what the person said follows.
    fn user(&self, message: &Message, input: &mut Vec<Value>) {
        let mut said = Vec::new();
        for part in &message.parts {
            match &part.body {
                Body::Outcome(outcome) => input.push(self.outcome(outcome)),
                Body::Text(text) => said.push(text_part(text)),
                Body::Media(media) => said.push(media_part(media)),
                Body::Other(other) => said.push(text_part(&format!("[{}: left out]", other.kind))),
                // Of the assistant only.
                Body::Reasoning(_) | Body::Call(_) => (),
            }
        }
        if !said.is_empty() {
            input.push(json!({"type": "message", "role": "user", "content": said}));
        }
    }

    fn outcome(&self, outcome: &ToolOutcome) -> Value {
        let texts = outcome.content.iter().filter_map(|content| match content {
            Content::Text(text) | Content::Json(text) => Some(text.clone()),
            Content::Other(other) => Some(format!("[{}: left out]", other.kind)),
            Content::Media(_) => None,
        });
        let text = texts.collect::<Vec<_>>().join("\n");
        let files = outcome.content.iter().filter_map(|content| match content {
            Content::Media(media) => Some(media_part(media)),
            _ => None,
        });
        let files: Vec<Value> = files.collect();
        let output = if files.is_empty() {
            json!(pieces::outcome_text(&text, outcome.failed))
        } else {
            let text =
                (outcome.failed || !text.is_empty()).then(|| text_part(&pieces::outcome_text(&text, outcome.failed)));
            Value::Array(text.into_iter().chain(files).collect())
        };
        json!({"type": "function_call_output", "call_id": self.ids.legal(&outcome.id), "output": output})
    }

    fn assistant(&self, message: &Message, input: &mut Vec<Value>) {
        for (at, part) in message.parts.iter().enumerate() {
            match &part.body {
                Body::Text(text) if text.trim().is_empty() => (),
                Body::Text(text) => {
                    let mut item = json!({
                        "type": "message", "role": "assistant", "content": [{"type": "output_text", "text": text}]
                    });
                    if let (Some(item), Some(Replay::Phase(phase))) = (item.as_object_mut(), self.replay(part)) {
                        item.insert("phase".into(), json!(phase));
                    }
                    input.push(item);
                }
                // Without the id of its item: the API would miss a reasoning item that was left out.
                Body::Call(call) => input.push(json!({
                    "type": "function_call",
                    "call_id": self.ids.legal(&call.id),
                    "name": self.names.legal(&call.name),
                    "arguments": pieces::object_text(&call.arguments)
                })),
                Body::Reasoning(_) if leads_to_something(message.parts.get(at + 1..).unwrap_or_default()) => {
                    input.extend(self.replay(part).and_then(reasoning));
                }
                Body::Other(other) => input.push(json!({
                    "type": "message", "role": "assistant",
                    "content": [{"type": "output_text", "text": format!("[{}: left out]", other.kind)}]
                })),
                Body::Reasoning(_) | Body::Outcome(_) | Body::Media(_) => (),
            }
        }
    }

    fn replay(&self, part: &Part) -> Option<Replay> {
        Replay::read(part.replay.as_deref()?, self.model)
    }
}

/// The API refuses reasoning that nothing follows, as when an answer was cut short.
fn leads_to_something(parts: &[Part]) -> bool {
    parts.iter().any(|part| match &part.body {
        Body::Text(text) => !text.trim().is_empty(),
        Body::Call(_) => true,
        _ => false,
    })
}

fn reasoning(replay: Replay) -> Option<Value> {
    let Replay::Reasoning { id, encrypted, summary } = replay else { return None };
    let summary: Vec<Value> = summary.iter().map(|text| json!({"type": "summary_text", "text": text})).collect();
    Some(json!({"type": "reasoning", "id": id, "summary": summary, "encrypted_content": encrypted}))
}

fn text_part(text: &str) -> Value {
    json!({"type": "input_text", "text": text})
}

fn media_part(media: &Media) -> Value {
    let url = || pieces::data_url(&media.mime, &media.data);
    if media.mime.starts_with("image/") {
        json!({"type": "input_image", "image_url": url(), "detail": "auto"})
    } else if media.mime == "application/pdf" {
        let name = media.name.as_deref().unwrap_or("document.pdf");
        json!({"type": "input_file", "filename": name, "file_data": url()})
    } else {
        text_part(&pieces::left_out(media.name.as_deref(), &media.mime))
    }
}

#[cfg(test)]
mod tests;
