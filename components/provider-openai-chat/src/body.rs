//! A request of the contract as the JSON of the API.

use openpista_plugin::request as pieces;
use openpista_plugin::tool_names::ToolNames;
use serde_json::{Map, Value, json};

use crate::contract::exports::openpista::plugin::provider::{
    Body, Message, Request, Role, ToolChoice, ToolDefinition, ToolOutcome,
};
use crate::contract::openpista::types::types::{Content, Media};
use crate::models;
use crate::settings::Settings;
use crate::shared::effort_name;

/// Fields that are the component's own: an option of this name is passed over.
const OWN: &[&str] = &["model", "messages", "stream", "stream_options", "tools", "tool_choice", "n"];

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
    let mut messages = Vec::new();
    if !request.system.is_empty() {
        messages.push(json!({"role": "system", "content": request.system}));
    }
    for message in &request.messages {
        match message.role {
            Role::User => user(message, &mut messages),
            Role::Assistant => messages.extend(assistant(message, names)),
        }
    }
    let mut body = Map::new();
    body.insert("model".into(), json!(request.model));
    body.insert("messages".into(), Value::Array(messages));
    body.insert("stream".into(), json!(true));
    body.insert("stream_options".into(), json!({"include_usage": true}));
    if !request.tools.is_empty() {
        let tools: Vec<Value> = request.tools.iter().map(|tool| definition(tool, names)).collect();
        body.insert("tools".into(), Value::Array(tools));
        let choice = match &request.choice {
            ToolChoice::Auto => json!("auto"),
            ToolChoice::None => json!("none"),
            ToolChoice::Required => json!("required"),
            ToolChoice::Named(name) => json!({"type": "function", "function": {"name": names.legal(name)}}),
        };
        body.insert("tool_choice".into(), choice);
    }
    if let Some(most) = request.max_tokens {
        body.insert(settings.max_tokens_field.clone(), json!(most));
    }
    if let Some(effort) = request.effort {
        body.insert("reasoning_effort".into(), json!(effort_name(effort, models::least_effort(&request.model))));
    }
    if settings.prompt_cache_key && !request.cache_key.is_empty() {
        body.insert("prompt_cache_key".into(), json!(request.cache_key));
    }
    let ignored = pieces::options(&mut body, &request.options, |name| !OWN.contains(&name));
    Written { json: Value::Object(body), ignored }
}

fn definition(tool: &ToolDefinition, names: &ToolNames) -> Value {
    json!({
        "type": "function",
        "function": {
            "name": names.legal(&tool.name),
            "description": tool.description,
            "parameters": pieces::schema(&tool.parameters)
        }
    })
}

/// The results of tools go first, each a message of its own; a tool message takes text only, so their images follow in
/// a user message, with what the person said.
fn user(message: &Message, messages: &mut Vec<Value>) {
    let mut parts = Vec::new();
    for part in &message.parts {
        match &part.body {
            Body::Outcome(outcome) => {
                messages.push(json!({
                    "role": "tool",
                    "tool_call_id": outcome.id,
                    "content": outcome_text(outcome)
                }));
                let media: Vec<&Media> = media_of(&outcome.content).collect();
                if !media.is_empty() {
                    parts.push(text_part(&format!("[The files that {} returned:]", outcome.name)));
                    parts.extend(media.into_iter().map(media_part));
                }
            }
            Body::Text(text) => parts.push(text_part(text)),
            Body::Media(media) => parts.push(media_part(media)),
            Body::Other(other) => parts.push(text_part(&format!("[{}: left out]", other.kind))),
            // Of the assistant only.
            Body::Reasoning(_) | Body::Call(_) => (),
        }
    }
    match parts.as_slice() {
        [] => (),
        // Plain text in the plain form, which every server takes.
        [only] if only.get("text").is_some() => {
            messages.push(json!({"role": "user", "content": only.get("text")}));
        }
        _ => messages.push(json!({"role": "user", "content": parts})),
    }
}

fn media_of(content: &[Content]) -> impl Iterator<Item = &Media> {
    content.iter().filter_map(|content| match content {
        Content::Media(media) => Some(media),
        _ => None,
    })
}

fn outcome_text(outcome: &ToolOutcome) -> String {
    let texts = outcome.content.iter().map(|content| match content {
        Content::Text(text) | Content::Json(text) => text.clone(),
        Content::Media(media) => format!("[{}: in the next message]", file_name(media)),
        Content::Other(other) => format!("[{}: left out]", other.kind),
    });
    pieces::outcome_text(&texts.collect::<Vec<_>>().join("\n"), outcome.failed)
}

fn text_part(text: &str) -> Value {
    json!({"type": "text", "text": text})
}

fn file_name(media: &Media) -> String {
    media.name.clone().unwrap_or_else(|| media.mime.clone())
}

fn media_part(media: &Media) -> Value {
    let url = || pieces::data_url(&media.mime, &media.data);
    if media.mime.starts_with("image/") {
        json!({"type": "image_url", "image_url": {"url": url()}})
    } else if media.mime == "application/pdf" {
        json!({"type": "file", "file": {"filename": file_name(media), "file_data": url()}})
    } else {
        text_part(&pieces::left_out(media.name.as_deref(), &media.mime))
    }
}

/// Reasoning is not sent back: this API has no place for it. None when nothing is left.
fn assistant(message: &Message, names: &ToolNames) -> Option<Value> {
    let mut texts = Vec::new();
    let mut calls = Vec::new();
    for part in &message.parts {
        match &part.body {
            Body::Text(text) => texts.push(text.as_str()),
            Body::Call(call) => calls.push(json!({
                "id": call.id,
                "type": "function",
                "function": {"name": names.legal(&call.name), "arguments": pieces::object_text(&call.arguments)}
            })),
            _ => (),
        }
    }
    let text = texts.join("\n\n");
    match (text.is_empty(), calls.is_empty()) {
        (true, true) => None,
        (true, false) => Some(json!({"role": "assistant", "content": null, "tool_calls": calls})),
        (false, true) => Some(json!({"role": "assistant", "content": text})),
        (false, false) => Some(json!({"role": "assistant", "content": text, "tool_calls": calls})),
    }
}

#[cfg(test)]
mod tests;
