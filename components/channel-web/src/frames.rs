//! What the page reads: one JSON object a frame, told apart by `type`.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::contract::exports::openpista::plugin::approvals::Verdict;
use crate::contract::exports::openpista::plugin::channel::{ActivityState, Delivery, DeliveryContent};
use crate::contract::exports::openpista::plugin::observer::Update;
use crate::contract::openpista::control::models::Model;
use crate::contract::openpista::control::sessions::{Author, Entry, Session};
use crate::contract::openpista::gateway::gateway::{Approval, Decision};
use crate::contract::openpista::types::types::{Content, Media};
use crate::web::CONVERSATIONS;

/// Types that a browser shows as an image and nothing else; a page never gets another one as an address.
const IMAGES: &[&str] = &["image/png", "image/jpeg", "image/gif", "image/webp"];
/// Bytes of an image that fits, in base64, into a frame with everything around it.
const LARGEST: usize = 7 * 1024 * 1024;

/// A delivery; none if there is nothing to show.
pub fn delivery(delivery: &Delivery) -> Option<Value> {
    let mut frame = match &delivery.content {
        DeliveryContent::Working => json!({"type": "working"}),
        DeliveryContent::Draft(draft) => json!({
            "type": "draft", "text": draft.text, "since": draft.since, "reasoning": draft.reasoning
        }),
        DeliveryContent::Activity(activity) => {
            let (state, text) = match &activity.state {
                ActivityState::Started(arguments) => ("started", arguments),
                ActivityState::Progress(text) => ("progress", text),
                ActivityState::Done(text) => ("done", text),
                ActivityState::Failed(text) => ("failed", text),
            };
            json!({"type": "activity", "call": activity.call, "tool": activity.tool, "state": state, "text": text})
        }
        DeliveryContent::Media(file) => json!({"type": "media", "part": media(file)}),
        DeliveryContent::Reply(reply) => json!({
            "type": "reply", "text": reply.text, "model": reply.model,
            "tokens": {"in": reply.usage.input, "out": reply.usage.output}
        }),
        DeliveryContent::Failed(text) => json!({"type": "failed", "text": text}),
        DeliveryContent::Notice(text) => json!({"type": "notice", "text": text}),
        DeliveryContent::Other(_) => return None,
    };
    if let Value::Object(fields) = &mut frame {
        fields.insert("id".into(), json!(delivery.id));
        fields.insert("turn".into(), json!(delivery.turn));
    }
    Some(frame)
}

fn media(file: &Media) -> Value {
    let name = file.name.clone().unwrap_or_else(|| file.mime.clone());
    if IMAGES.contains(&file.mime.as_str()) && file.data.len() <= LARGEST {
        json!({"image": format!("data:{};base64,{}", file.mime, STANDARD.encode(&file.data)), "name": name})
    } else {
        json!({"file": name, "bytes": file.data.len()})
    }
}

/// Something that was said before.
pub fn entry(entry: &Entry) -> Value {
    let author = match entry.author {
        Author::Person => "person",
        Author::Assistant => "assistant",
        Author::Tool => "tool",
    };
    let parts: Vec<Value> = entry
        .content
        .iter()
        .map(|content| match content {
            Content::Text(text) | Content::Json(text) => json!({"text": text}),
            Content::Media(file) => media(file),
            Content::Other(other) => json!({"file": other.kind}),
        })
        .collect();
    json!({
        "type": "entry", "cursor": entry.cursor, "author": author, "name": entry.name, "at": entry.at, "parts": parts
    })
}

/// The list of sessions, newest first.
pub fn sessions(sessions: &[Session]) -> Value {
    let own = sessions.iter().filter_map(|session| {
        let id = session.conversation.strip_prefix(CONVERSATIONS)?;
        Some(json!({
            "id": id, "title": session.title, "model": session.model, "updated": session.updated, "busy": session.busy
        }))
    });
    json!({"type": "sessions", "sessions": own.collect::<Vec<_>>()})
}

/// The models that can be chosen.
pub fn models(models: &[Model]) -> Value {
    let ready = models.iter().filter(|model| model.ready);
    let list: Vec<Value> = ready.map(|model| json!({"id": model.id, "title": model.title})).collect();
    json!({"type": "models", "models": list})
}

/// A question.
pub fn approval(approval: &Approval) -> Value {
    json!({
        "type": "approval", "id": approval.id, "tool": approval.tool, "summary": approval.summary,
        "arguments": approval.arguments, "expires": approval.expires
    })
}

/// The end of one.
pub fn decided(verdict: &Verdict) -> Value {
    let decision = match verdict.decision {
        Some(Decision::AllowOnce) => json!("once"),
        Some(Decision::AllowSession) => json!("session"),
        Some(Decision::Deny) => json!("deny"),
        None => Value::Null,
    };
    let by = verdict.by.as_ref().map(|by| by.name.clone());
    json!({"type": "decided", "id": verdict.approval.id, "decision": decision, "by": by})
}

/// What has changed beside the conversation; none if the page shows nothing of it.
pub fn update(update: &Update) -> Option<Value> {
    match update {
        Update::Sessions(_) | Update::Removed(_) => Some(json!({"type": "changed", "what": "sessions"})),
        Update::Login(_) | Update::Models => Some(json!({"type": "changed", "what": "models"})),
        Update::Worker(_) | Update::Other(_) => None,
    }
}
