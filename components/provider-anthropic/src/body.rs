//! A request of the contract as the JSON of the API.

use openpista_plugin::request as pieces;
use openpista_plugin::tool_names::ToolNames;
use serde_json::{Map, Value, json};

use crate::contract::exports::openpista::plugin::provider::{
    Body, Message, Part, Request, Role, ToolChoice, ToolDefinition, ToolOutcome,
};
use crate::contract::openpista::types::types::{Content, Media};
use crate::models::{self, Traits};
use crate::replay::Replay;
use crate::settings::{Cache, Settings};
use crate::shared::ids;
use crate::thinking;

/// Fields that are the component's own: an option of this name is passed over.
const OWN: &[&str] = &["model", "messages", "system", "stream", "tools", "tool_choice", "max_tokens"];

/// Options that a model which thinks refuses, and the newest models always.
const SAMPLING: &[&str] = &["temperature", "top_p", "top_k"];

/// The types of images that the API takes.
const IMAGES: &[&str] = &["image/jpeg", "image/png", "image/gif", "image/webp"];

/// Characters of an image in base64 that the API takes; it refuses the whole request for a larger one.
const IMAGE_MOST: usize = 5 * 1024 * 1024;

/// What is sent, and what was left out of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Written {
    /// The body.
    pub json: Value,
    /// Options that were ignored, for the log.
    pub ignored: Vec<String>,
    /// The body has a word on thinking that is bound to its conversation, which wants a header of its own.
    pub bound: bool,
}

/// Writes it.
pub fn write(request: &Request, settings: &Settings, names: &ToolNames) -> Written {
    let traits = models::traits(&request.model);
    let max_tokens = request.max_tokens.unwrap_or(traits.max_output).max(1);
    let mut body = Map::new();
    body.insert("model".into(), json!(request.model));
    body.insert("max_tokens".into(), json!(max_tokens));
    body.insert("stream".into(), json!(true));
    let thinks = thinking::write(&mut body, &traits, request.effort, max_tokens, begins_with_thinking(request));
    let bound = body.get("thinking").is_some_and(|thinking| thinking.get("block_binding").is_some());

    let mut messages = messages(&Writer { names, ids: &ids(request), model: &request.model, thinks }, request);
    let mut tools = tools(request, names);
    let mut system = match request.system.trim() {
        "" => Vec::new(),
        _ => vec![json!({"type": "text", "text": request.system})],
    };
    mark(settings.cache, &mut tools, &mut system, &mut messages);
    if !system.is_empty() {
        body.insert("system".into(), Value::Array(system));
    }
    if !tools.is_empty() {
        body.insert("tool_choice".into(), choice(request, &traits, thinks, names));
        body.insert("tools".into(), Value::Array(tools));
    }
    body.insert("messages".into(), Value::Array(messages));

    let sampling = traits.sampling && !thinks;
    let ignored = pieces::options(&mut body, &request.options, |name| {
        !OWN.contains(&name) && (sampling || !SAMPLING.contains(&name))
    });
    Written { json: Value::Object(body), ignored, bound }
}

/// What writing the messages needs to know of the whole.
struct Writer<'a> {
    names: &'a ToolNames,
    ids: &'a ToolNames,
    model: &'a str,
    thinks: bool,
}

/// Whether a turn may be gone on with by a model that has to think first: it is a new one, or began so.
fn begins_with_thinking(request: &Request) -> bool {
    let [.., assistant, user] = request.messages.as_slice() else { return true };
    let answers = user.parts.iter().any(|part| matches!(part.body, Body::Outcome(_)));
    !answers || assistant.parts.first().is_some_and(|part| replay(part, &request.model).is_some())
}

fn replay(part: &Part, model: &str) -> Option<Replay> {
    match part.body {
        Body::Reasoning(_) => Replay::read(part.replay.as_deref()?, model),
        _ => None,
    }
}

/// Messages of one side that follow each other become one; results of tools stand before what the person said.
fn messages(writer: &Writer<'_>, request: &Request) -> Vec<Value> {
    let mut sides: Vec<(Role, Vec<Value>)> = Vec::new();
    for message in &request.messages {
        let blocks = match message.role {
            Role::User => writer.user(message),
            Role::Assistant => writer.assistant(message),
        };
        match sides.last_mut() {
            _ if blocks.is_empty() => (),
            Some((role, all)) if *role == message.role => all.extend(blocks),
            _ => sides.push((message.role, blocks)),
        }
    }
    let side = |(role, mut blocks): (Role, Vec<Value>)| match role {
        Role::User => {
            blocks.sort_by_key(|block| kind(block) != "tool_result");
            json!({"role": "user", "content": blocks})
        }
        Role::Assistant => json!({"role": "assistant", "content": blocks}),
    };
    sides.into_iter().map(side).collect()
}

fn kind(block: &Value) -> &str {
    block.get("type").and_then(Value::as_str).unwrap_or_default()
}

impl Writer<'_> {
    fn user(&self, message: &Message) -> Vec<Value> {
        let block = |part: &Part| match &part.body {
            Body::Outcome(outcome) => Some(self.outcome(outcome)),
            Body::Text(text) => text_block(text),
            Body::Media(media) => Some(media_block(media)),
            Body::Other(other) => text_block(&format!("[{}: left out]", other.kind)),
            // Of the assistant only.
            Body::Reasoning(_) | Body::Call(_) => None,
        };
        message.parts.iter().filter_map(block).collect()
    }

    /// The blocks stay in their order: the signature of thinking covers what stands before it.
    fn assistant(&self, message: &Message) -> Vec<Value> {
        let block = |part: &Part| match &part.body {
            Body::Text(text) => text_block(text),
            Body::Call(call) => Some(json!({
                "type": "tool_use",
                "id": self.ids.legal(&call.id),
                "name": self.names.legal(&call.name),
                "input": pieces::object(&call.arguments)
            })),
            // Thinking that is not signed, or by another, is refused; so is any where none is asked for.
            Body::Reasoning(text) if self.thinks => match replay(part, self.model)? {
                Replay::Signature(signature) => {
                    Some(json!({"type": "thinking", "thinking": text, "signature": signature}))
                }
                Replay::Redacted(data) => Some(json!({"type": "redacted_thinking", "data": data})),
            },
            Body::Other(other) => text_block(&format!("[{}: left out]", other.kind)),
            Body::Reasoning(_) | Body::Outcome(_) | Body::Media(_) => None,
        };
        let mut blocks: Vec<Value> = message.parts.iter().filter_map(block).collect();
        // Thinking that nothing follows, as when the answer was stopped, is refused.
        while blocks.last().is_some_and(|block| matches!(kind(block), "thinking" | "redacted_thinking")) {
            blocks.pop();
        }
        blocks
    }

    fn outcome(&self, outcome: &ToolOutcome) -> Value {
        let block = |content: &Content| match content {
            Content::Text(text) | Content::Json(text) => text_block(text),
            Content::Media(media) => Some(media_block(media)),
            Content::Other(other) => text_block(&format!("[{}: left out]", other.kind)),
        };
        let content: Vec<Value> = outcome.content.iter().filter_map(block).collect();
        let mut result = json!({"type": "tool_result", "tool_use_id": self.ids.legal(&outcome.id)});
        if let Some(result) = result.as_object_mut() {
            if !content.is_empty() {
                result.insert("content".into(), Value::Array(content));
            }
            if outcome.failed {
                result.insert("is_error".into(), json!(true));
            }
        }
        result
    }
}

/// The API refuses blank texts.
fn text_block(text: &str) -> Option<Value> {
    (!text.trim().is_empty()).then(|| json!({"type": "text", "text": text}))
}

fn media_block(media: &Media) -> Value {
    let base64 = |data: String| json!({"type": "base64", "media_type": media.mime, "data": data});
    let source = if IMAGES.contains(&media.mime.as_str()) {
        let data = pieces::base64(&media.data);
        if data.len() > IMAGE_MOST {
            let name = media.name.as_deref().unwrap_or(&media.mime);
            return json!({"type": "text", "text": format!("[{name}: left out, for this API takes no image so large]")});
        }
        return json!({"type": "image", "source": base64(data)});
    } else if media.mime == "application/pdf" {
        base64(pieces::base64(&media.data))
    } else if let Some(text) = plain(media) {
        json!({"type": "text", "media_type": "text/plain", "data": text})
    } else {
        return json!({"type": "text", "text": pieces::left_out(media.name.as_deref(), &media.mime)});
    };
    let mut block = json!({"type": "document", "source": source});
    if let (Some(block), Some(name)) = (block.as_object_mut(), &media.name) {
        block.insert("title".into(), json!(name));
    }
    block
}

fn plain(media: &Media) -> Option<&str> {
    let is_text = media.mime.starts_with("text/") || media.mime == "application/json";
    std::str::from_utf8(&media.data).ok().filter(|text| is_text && !text.trim().is_empty())
}

fn tools(request: &Request, names: &ToolNames) -> Vec<Value> {
    if !request.tools.is_empty() {
        return request.tools.iter().map(|tool| definition(tool, names)).collect();
    }
    // A history with calls wants tools, even where there are none any more.
    let mut stubs: Vec<Value> = Vec::new();
    for part in request.messages.iter().flat_map(|message| &message.parts) {
        let Body::Call(call) = &part.body else { continue };
        let stub = json!({"name": names.legal(&call.name), "input_schema": pieces::schema("")});
        if !stubs.contains(&stub) {
            stubs.push(stub);
        }
    }
    stubs
}

fn definition(tool: &ToolDefinition, names: &ToolNames) -> Value {
    json!({
        "name": names.legal(&tool.name),
        "description": tool.description,
        "input_schema": pieces::schema(&tool.parameters)
    })
}

/// A model that thinks, and the newest ones always, refuse to be made to call a tool: they are then left the choice.
fn choice(request: &Request, traits: &Traits, thinks: bool, names: &ToolNames) -> Value {
    let forced = traits.sampling && !thinks;
    match &request.choice {
        _ if request.tools.is_empty() => json!({"type": "none"}),
        ToolChoice::None => json!({"type": "none"}),
        ToolChoice::Required if forced => json!({"type": "any"}),
        ToolChoice::Named(name) if forced => json!({"type": "tool", "name": names.legal(name)}),
        ToolChoice::Auto | ToolChoice::Required | ToolChoice::Named(_) => json!({"type": "auto"}),
    }
}

/// Marks where the service's cache is to remember the request up to, in at most four places, as many as it takes: behind
/// the tools, behind the system prompt, and behind the last two messages of the user. The last one is what the next
/// request goes on from; the one before it is what this one finds again when much was said in between.
fn mark(cache: Cache, tools: &mut [Value], system: &mut [Value], messages: &mut [Value]) {
    let control = match cache {
        Cache::Off => return,
        Cache::FiveMinutes => json!({"type": "ephemeral"}),
        Cache::OneHour => json!({"type": "ephemeral", "ttl": "1h"}),
    };
    let users = messages.iter_mut().rev().filter(|message| message.get("role") == Some(&json!("user"))).take(2);
    let ends = users.filter_map(|message| message.get_mut("content")?.as_array_mut()?.last_mut());
    for block in tools.last_mut().into_iter().chain(system.last_mut()).chain(ends) {
        if let Some(block) = block.as_object_mut() {
            block.insert("cache_control".into(), control.clone());
        }
    }
}

#[cfg(test)]
mod tests;
