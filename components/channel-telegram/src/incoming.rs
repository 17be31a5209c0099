//! Updates: messages, pressed buttons, chats that move.
//!
//! An update that makes no sense is logged and passed, for it would come again for ever. The offset is stored together
//! with the messages before it. After an empty answer it is forgotten: everything is confirmed then, and ids of updates
//! may begin anew when a bot was silent for long, or when another bot's token is set.

use serde_json::{Value, json};

use crate::addressed::{is_addressed, said};
use crate::api::{Api, read};
use crate::ask::pressed;
use crate::contract::exports::openpista::plugin::channel::{Answer, ChannelError, Event};
use crate::contract::exports::openpista::plugin::http_handler::Incoming;
use crate::contract::openpista::gateway::gateway::{Inbound, Notice, Sender};
use crate::contract::openpista::http::exchange::Response;
use crate::contract::openpista::types::types::Error;
use crate::files;
use crate::host::Fault;
use crate::place::{Place, moved};
use crate::register::{self, REGISTER};

/// `channel.receive`
pub fn receive(api: Api<'_>, event: &Event) -> Result<(), ChannelError> {
    match event {
        Event::Answer(answer) => polled(api, answer),
        Event::Alarm(alarm) if alarm.name == REGISTER => register::alarm(api),
        _ => Ok(()),
    }
}

fn polled(api: Api<'_>, answer: &Answer) -> Result<(), ChannelError> {
    let host = api.host;
    let updates = match read(answer.response.status, &answer.response.body) {
        Ok(updates) => updates,
        Err(fault @ Fault::Token(_)) => return Err(fault.into()),
        Err(Fault::Conflict(words)) => {
            return Ok(host.tell(&Notice::Text(format!(
                "Another program takes this bot's messages, too, so each gets only some of them. Stop it, or give this \
                 host a bot of its own. ({words})"
            )))?);
        }
        // The host shows it and waits.
        Err(_) => return Ok(()),
    };
    host.tell(&Notice::Clear)?;
    host.set(register::WELL, "1")?;
    let updates = updates.as_array().map(Vec::as_slice).unwrap_or_default();
    for update in updates {
        take(api, update)?;
    }
    let last = updates.iter().filter_map(|update| update.get("update_id")?.as_i64()).max();
    match (last, host.get("offset")?) {
        (Some(last), _) => Ok(host.set("offset", &last.saturating_add(1).to_string())?),
        (None, Some(_)) => Ok(host.remove("offset")?),
        (None, None) => Ok(()),
    }
}

/// `http-handler.handle`
pub fn handle(api: Api<'_>, incoming: &Incoming) -> Result<Response, ChannelError> {
    let status = |status| Ok(Response { status, headers: Vec::new(), body: Vec::new() });
    if incoming.request.method != "POST" {
        return status(405);
    }
    let shown = incoming.request.headers.iter().find(|(name, _)| name == "x-telegram-bot-api-secret-token");
    let Some((_, shown)) = shown else { return status(401) };
    match api.host.matches("webhook-secret", shown) {
        Ok(true) => (),
        Ok(false) => return status(401),
        Err(Error::TooLarge(_)) => return status(429),
        Err(error) => return Err(error.into()),
    }
    match serde_json::from_slice(&incoming.request.body) {
        Ok(update) => take(api, &update)?,
        Err(error) => api.host.warn(&format!("an update is passed over, it is no JSON: {error}")),
    }
    status(200)
}

fn take(api: Api<'_>, update: &Value) -> Result<(), ChannelError> {
    let taken = if let Some(message) = update.get("message") {
        self::message(api, message)
    } else if let Some(query) = update.get("callback_query") {
        self::query(api, query)
    } else {
        Ok(())
    };
    match taken {
        Err(ChannelError::Malformed(why)) => {
            api.host.warn(&format!("an update is passed over: {why}"));
            Ok(())
        }
        taken => taken,
    }
}

fn message(api: Api<'_>, message: &Value) -> Result<(), ChannelError> {
    let host = api.host;
    let nonsense = |what: &str| ChannelError::Malformed(format!("a message has no {what}"));
    let number = |value: &Value, key: &str| value.get(key).and_then(Value::as_i64);
    let chat = message.get("chat").ok_or_else(|| nonsense("chat"))?;
    let id = number(chat, "id").ok_or_else(|| nonsense("chat"))?;
    if let Some(to) = number(message, "migrate_to_chat_id") {
        return Ok(moved(host, id, to)?);
    }
    if let Some(from) = number(message, "migrate_from_chat_id") {
        return Ok(moved(host, from, id)?);
    }
    let group = match chat.get("type").and_then(Value::as_str) {
        Some("private") => false,
        Some("group" | "supergroup") => true,
        _ => return Ok(()),
    };
    let Some(sender) = sender(message) else { return Ok(()) };
    let me = register::me(api)?;
    if group && !is_addressed(message, &me, api.settings.groups) {
        return Ok(());
    }
    let (mut text, attachments) = (said(message, &me), files::attached(message));
    if text.is_empty() {
        text = in_words(message).unwrap_or_default();
    }
    if text.is_empty() && attachments.is_empty() {
        return Ok(());
    }
    let number_of = number(message, "message_id").ok_or_else(|| nonsense("id"))?;
    // Without the flag the thread is a chain of answers, not a topic.
    let topic = message.get("is_topic_message").and_then(Value::as_bool) == Some(true);
    let thread = number(message, "message_thread_id").filter(|_| topic);
    Ok(host.submit(&Inbound {
        id: format!("{id}/{number_of}"),
        conversation: Place { chat: id, thread }.first(host)?.name(),
        sender,
        text,
        attachments,
        sent: number(message, "date")
            .and_then(|date| u64::try_from(date).ok())
            .unwrap_or_default()
            .saturating_mul(1_000),
        handle: Some(number_of.to_string()),
    })?)
}

/// Who wrote; none: a bot. Somebody who writes as a chat (an anonymous administrator) is that chat.
fn sender(message: &Value) -> Option<Sender> {
    let text = |of: &Value, key: &str| of.get(key).and_then(Value::as_str).unwrap_or_default().trim().to_string();
    let id = |of: &Value| of.get("id").and_then(Value::as_i64).map(|id| id.to_string());
    if let Some(chat) = message.get("sender_chat") {
        return Some(Sender { id: id(chat)?, name: text(chat, "title") });
    }
    let from = message.get("from")?;
    if from.get("is_bot").and_then(Value::as_bool) == Some(true) {
        return None;
    }
    let name = format!("{} {}", text(from, "first_name"), text(from, "last_name")).trim().to_string();
    let name = if name.is_empty() { text(from, "username") } else { name };
    Some(Sender { id: id(from)?, name })
}

/// What is no text and no file.
fn in_words(message: &Value) -> Option<String> {
    let of = |key: &str, field: &str| message.get(key).and_then(|value| value.get(field));
    let text = |key: &str, field: &str| of(key, field).and_then(Value::as_str).map(str::to_string);
    let place = || Some(format!("📍 {}, {}", of("location", "latitude")?, of("location", "longitude")?));
    let card = || Some(format!("👤 {}, {}", text("contact", "first_name")?, text("contact", "phone_number")?));
    text("sticker", "emoji").or_else(place).or_else(card)
}

/// A button. The answer to the query ends the waiting sign on it, and tells who may not press it why.
fn query(api: Api<'_>, query: &Value) -> Result<(), ChannelError> {
    let of = |key: &str| query.get(key).and_then(Value::as_str);
    let nonsense = || ChannelError::Malformed("a pressed button has no id or sender".into());
    let id = of("id").ok_or_else(nonsense)?;
    let sender = sender(query).ok_or_else(nonsense)?;
    let why = pressed(api.host, of("data").unwrap_or_default(), &sender)?;
    let answer = json!({"callback_query_id": id, "text": why, "show_alert": !why.is_empty()});
    // It is only a sign to the person; the decision counts without it.
    if let Err(fault) = api.call("answerCallbackQuery", &answer) {
        api.host.warn(&format!("a pressed button was not acknowledged: {fault:?}"));
    }
    Ok(())
}
