//! Between the contract's types and the host's own. Mechanical, both ways; limits are checked where values come in.

use std::hash::{Hash as _, Hasher as _};

use crate::agent::ports;
use crate::capability::gateway::{approval, checked_media};
use crate::message::{
    Body, Content, Delivery, DeliveryContent, Extension, Media, Message, Part, Replay, Role, ToolCall, ToolDefinition,
    ToolHints, ToolOutcome, Usage,
};
use crate::wit::role::{channel, provider, tools};
use crate::wit::types;

/// Tells what calls are about: the same for the same texts.
pub fn cause<'a>(parts: impl IntoIterator<Item = &'a String>) -> u64 {
    let mut hasher = std::hash::DefaultHasher::new();
    for part in parts {
        part.hash(&mut hasher);
    }
    hasher.finish()
}

/// Opaque bytes on a part: more is dropped.
const REPLAY_MAX: usize = 256 << 10;

fn extension_in(from: types::Extension) -> Extension {
    Extension { kind: from.kind, data: from.data }
}

fn extension_out(from: Extension) -> types::Extension {
    types::Extension { kind: from.kind, data: from.data }
}

/// To the contract.
pub fn media_out(from: Media) -> types::Media {
    types::Media { mime: from.mime, name: from.name, data: from.data.to_vec() }
}

/// From a guest; a file over the limit becomes a note.
pub fn content_in(from: types::Content) -> Content {
    match from {
        types::Content::Text(text) => Content::Text(text),
        types::Content::Media(media) => match checked_media(media) {
            Ok(media) => Content::Media(media),
            Err(why) => Content::Text(format!("[a file was left out: {why}]")),
        },
        types::Content::Json(json) => Content::Json(json),
        types::Content::Other(other) => Content::Other(extension_in(other)),
    }
}

/// To the contract.
pub fn content_out(from: Content) -> types::Content {
    match from {
        Content::Text(text) => types::Content::Text(text),
        Content::Media(media) => types::Content::Media(media_out(media)),
        Content::Json(json) => types::Content::Json(json),
        Content::Other(other) => types::Content::Other(extension_out(other)),
    }
}

/// From a guest.
pub fn definition_in(from: types::ToolDefinition) -> ToolDefinition {
    let has = |flag| from.hints.contains(flag);
    ToolDefinition {
        hints: ToolHints {
            read_only: has(types::ToolHints::READ_ONLY),
            destructive: has(types::ToolHints::DESTRUCTIVE),
            idempotent: has(types::ToolHints::IDEMPOTENT),
            open_world: has(types::ToolHints::OPEN_WORLD),
        },
        name: from.name,
        description: from.description,
        parameters: from.parameters,
    }
}

fn definition_out(from: &ToolDefinition) -> types::ToolDefinition {
    let hints = [
        (from.hints.read_only, types::ToolHints::READ_ONLY),
        (from.hints.destructive, types::ToolHints::DESTRUCTIVE),
        (from.hints.idempotent, types::ToolHints::IDEMPOTENT),
        (from.hints.open_world, types::ToolHints::OPEN_WORLD),
    ]
    .into_iter()
    .filter(|(set, _)| *set)
    .fold(types::ToolHints::empty(), |all, (_, hint)| all | hint);
    types::ToolDefinition {
        name: from.name.clone(),
        description: from.description.clone(),
        parameters: from.parameters.clone(),
        hints,
    }
}

fn usage_in(from: types::Usage) -> Usage {
    Usage {
        input: from.input,
        output: from.output,
        cache_read: from.cache_read,
        cache_write: from.cache_write,
        cost: from.cost,
    }
}

fn usage_out(from: Usage) -> types::Usage {
    types::Usage {
        input: from.input,
        output: from.output,
        cache_read: from.cache_read,
        cache_write: from.cache_write,
        cost: from.cost,
    }
}

/// A model's request, for the instance that is asked: replay bytes of others stay behind.
pub fn request_out(instance: &str, from: ports::Request) -> provider::Request {
    provider::Request {
        model: from.model,
        system: from.system,
        messages: from.messages.into_iter().map(|message| message_out(instance, message)).collect(),
        tools: from.tools.iter().map(definition_out).collect(),
        choice: if from.tools_allowed { provider::ToolChoice::Auto } else { provider::ToolChoice::None },
        max_tokens: from.max_tokens,
        effort: from.effort.map(|effort| match effort {
            ports::Effort::Off => provider::Effort::Off,
            ports::Effort::Low => provider::Effort::Low,
            ports::Effort::Medium => provider::Effort::Medium,
            ports::Effort::High => provider::Effort::High,
        }),
        cache_key: from.cache_key,
        options: from.options,
    }
}

fn message_out(instance: &str, from: Message) -> provider::Message {
    provider::Message {
        role: match from.role {
            Role::User => provider::Role::User,
            Role::Assistant => provider::Role::Assistant,
        },
        parts: from.parts.into_iter().map(|part| part_out(instance, part)).collect(),
    }
}

fn part_out(instance: &str, from: Part) -> provider::Part {
    let body = match from.body {
        Body::Text(text) => provider::Body::Text(text),
        Body::Media(media) => provider::Body::Media(media_out(media)),
        Body::Reasoning(text) => provider::Body::Reasoning(text),
        Body::Call(call) => {
            provider::Body::Call(provider::ToolCall { id: call.id, name: call.name, arguments: call.arguments })
        }
        Body::Outcome(outcome) => provider::Body::Outcome(provider::ToolOutcome {
            id: outcome.id,
            name: outcome.name,
            content: outcome.content.into_iter().map(content_out).collect(),
            failed: outcome.failed,
        }),
        Body::Other(other) => provider::Body::Other(extension_out(other)),
    };
    let replay = from.replay.filter(|replay| replay.instance == instance).map(|replay| replay.data.to_vec());
    provider::Part { body, replay }
}

/// A model's answer, from the instance that gave it.
pub fn completion_in(instance: &str, from: provider::Completion) -> ports::Completion {
    ports::Completion {
        parts: from.parts.into_iter().map(|part| part_in(instance, part)).collect(),
        stop: match from.stop {
            provider::Stop::End => ports::Stop::End,
            provider::Stop::Calls => ports::Stop::Calls,
            provider::Stop::MaxTokens => ports::Stop::MaxTokens,
            provider::Stop::Filtered(why) => ports::Stop::Filtered(why),
            provider::Stop::Cancelled => ports::Stop::Cancelled,
            provider::Stop::Other(why) => ports::Stop::Other(why),
        },
        usage: usage_in(from.usage),
        model: from.model,
    }
}

fn part_in(instance: &str, from: provider::Part) -> Part {
    let body = match from.body {
        provider::Body::Text(text) => Body::Text(text),
        provider::Body::Media(media) => match checked_media(media) {
            Ok(media) => Body::Media(media),
            Err(why) => Body::Text(format!("[a file was left out: {why}]")),
        },
        provider::Body::Reasoning(text) => Body::Reasoning(text),
        provider::Body::Call(call) => Body::Call(ToolCall { id: call.id, name: call.name, arguments: call.arguments }),
        provider::Body::Outcome(outcome) => Body::Outcome(ToolOutcome {
            id: outcome.id,
            name: outcome.name,
            content: outcome.content.into_iter().map(content_in).collect(),
            failed: outcome.failed,
        }),
        provider::Body::Other(other) => Body::Other(extension_in(other)),
    };
    let replay = from
        .replay
        .filter(|data| data.len() <= REPLAY_MAX)
        .map(|data| Replay { instance: instance.to_string(), data: data.into() });
    Part { body, replay }
}

/// Why there is no answer.
pub fn provider_error_in(from: provider::ProviderError) -> ports::ProviderError {
    use ports::ProviderError as Error;
    match from {
        provider::ProviderError::AuthRequired(why) => Error::AuthRequired(why),
        provider::ProviderError::AccessDenied(why) => Error::AccessDenied(why),
        provider::ProviderError::RateLimited(ms) => Error::RateLimited(ms),
        provider::ProviderError::Exhausted(why) => Error::Exhausted(why),
        provider::ProviderError::Overloaded(why) => Error::Overloaded(why),
        provider::ProviderError::ContextTooLong(why) => Error::ContextTooLong(why),
        provider::ProviderError::BadRequest(why) => Error::BadRequest(why),
        provider::ProviderError::Transport(why) => Error::Transport(why),
        provider::ProviderError::Other(why) => Error::Other(why),
    }
}

/// Why a tool did not do it.
pub fn tool_error_in(from: tools::ToolError) -> ports::ToolError {
    use ports::ToolError as Error;
    match from {
        tools::ToolError::AccessDenied(why) => Error::AccessDenied(why),
        tools::ToolError::InvalidArguments(why) => Error::InvalidArguments(why),
        tools::ToolError::Failed(content) => Error::Failed(content.into_iter().map(content_in).collect()),
        tools::ToolError::TimedOut => Error::TimedOut,
        tools::ToolError::Cancelled => Error::Cancelled,
        tools::ToolError::Other(why) => Error::Other(why),
    }
}

/// What a kept delivery is for the channel: a delivery, or one of `approvals`.
pub enum Shown {
    /// `channel.deliver`.
    Deliver(channel::DeliveryContent),
    /// `approvals.ask`.
    Ask(crate::wit::openpista::gateway::gateway::Approval),
    /// `approvals.decided`.
    Decided(crate::wit::role::approvals::Verdict),
}

/// A kept delivery for the contract.
pub fn shown(from: DeliveryContent, receipt: Option<String>) -> Shown {
    use crate::wit::openpista::gateway::gateway as wit;
    Shown::Deliver(match from {
        DeliveryContent::Media(media) => channel::DeliveryContent::Media(media_out(media)),
        DeliveryContent::Reply { text, usage, model } => {
            channel::DeliveryContent::Reply(channel::Reply { text, usage: usage_out(usage), model })
        }
        DeliveryContent::Failed(why) => channel::DeliveryContent::Failed(why),
        DeliveryContent::Notice(words) => channel::DeliveryContent::Notice(words),
        DeliveryContent::Ask(asked) => return Shown::Ask(approval(asked)),
        DeliveryContent::Decided(decided) => {
            let (decision, by) = match decided.decision.clone() {
                None => (None, None),
                Some((decision, by)) => {
                    let decision = match decision {
                        crate::message::Decision::AllowOnce => wit::Decision::AllowOnce,
                        crate::message::Decision::AllowSession => wit::Decision::AllowSession,
                        crate::message::Decision::Deny => wit::Decision::Deny,
                    };
                    (Some(decision), Some(wit::Sender { id: by.id, name: by.name }))
                }
            };
            let verdict = crate::wit::role::approvals::Verdict { approval: approval(decided), decision, by, receipt };
            return Shown::Decided(verdict);
        }
    })
}

/// A delivery's frame around its content.
pub fn delivery_out(
    delivery: &Delivery,
    receipt: Option<String>,
    content: channel::DeliveryContent,
) -> channel::Delivery {
    channel::Delivery {
        id: delivery.id.clone(),
        conversation: delivery.conversation.clone(),
        turn: delivery.turn.clone(),
        handle: delivery.handle.clone(),
        receipt,
        content,
    }
}
