//! What the Cloud API brings: its question whether the address is ours, messages, and pressed buttons.
//!
//! Nothing counts without the signature, which covers the body to the byte. One body can have messages of several of our
//! phone numbers. A message that makes no sense is logged and passed, for the API brings the whole body again after an error.

use percent_encoding::percent_decode_str;
use serde_json::Value;

use crate::cloud::{PRESSED, pressed};
use crate::contract::exports::openpista::plugin::channel::ChannelError;
use crate::contract::exports::openpista::plugin::http_handler::Incoming;
use crate::contract::openpista::gateway::gateway::{Inbound, Sender};
use crate::contract::openpista::http::exchange::Response;
use crate::contract::openpista::types::types::Error;
use crate::files::{attached, is_id};
use crate::graph::Graph;

/// `http-handler.handle`
pub fn handle(graph: Graph<'_>, incoming: &Incoming) -> Result<Response, ChannelError> {
    let request = &incoming.request;
    let status = |status| Response { status, headers: Vec::new(), body: Vec::new() };
    match request.method.as_str() {
        "GET" => {
            let query = |name: &str| parameter(&request.url, name).unwrap_or_default();
            if query("hub.mode") != "subscribe" {
                return Ok(status(404));
            }
            Ok(match graph.host.matches("verify-token", &query("hub.verify_token")) {
                Ok(true) => Response {
                    status: 200,
                    headers: vec![("content-type".into(), "text/plain".into())],
                    body: query("hub.challenge").into_bytes(),
                },
                Ok(false) => status(403),
                Err(Error::TooLarge(_)) => status(429),
                Err(error) => return Err(error.into()),
            })
        }
        "POST" => {
            let shown = request.headers.iter().find(|(name, _)| name == "x-hub-signature-256");
            let mac = shown.and_then(|(_, value)| hex::decode(value.strip_prefix("sha256=")?).ok());
            let Some(mac) = mac else { return Ok(status(401)) };
            if !graph.host.verify("app-secret", &request.body, &mac)? {
                return Ok(status(401));
            }
            match serde_json::from_slice(&request.body) {
                Ok(body) => all(graph, &body)?,
                Err(error) => graph.host.warn(&format!("a webhook is passed over, it is no JSON: {error}")),
            }
            Ok(status(200))
        }
        _ => Ok(status(405)),
    }
}

fn list<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value.get(key).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

fn all(graph: Graph<'_>, body: &Value) -> Result<(), ChannelError> {
    let changes = list(body, "entry").iter().flat_map(|entry| list(entry, "changes"));
    for value in changes.filter(|change| change.get("field").and_then(Value::as_str) == Some("messages")) {
        let Some(value) = value.get("value") else { continue };
        for message in list(value, "messages") {
            match self::message(graph, value, message) {
                Err(ChannelError::Malformed(why)) => graph.host.warn(&format!("a message is passed over: {why}")),
                taken => taken?,
            }
        }
    }
    Ok(())
}

fn message(graph: Graph<'_>, value: &Value, message: &Value) -> Result<(), ChannelError> {
    let nonsense = |what: &str| ChannelError::Malformed(format!("it has no {what}"));
    let of = |key: &str| message.get(key).and_then(Value::as_str);
    let phone = value.pointer("/metadata/phone_number_id").and_then(Value::as_str).filter(|id| is_id(id));
    let phone = phone.ok_or_else(|| nonsense("phone number"))?;
    let from = of("from").filter(|id| is_id(id)).ok_or_else(|| nonsense("sender"))?;
    let id = of("id").ok_or_else(|| nonsense("id"))?;
    let kind = of("type").unwrap_or_default();
    let contact = list(value, "contacts").iter().find(|one| one.get("wa_id").and_then(Value::as_str) == Some(from));
    let name = contact.and_then(|one| one.pointer("/profile/name")).and_then(Value::as_str).unwrap_or_default();
    let sender = Sender { id: from.into(), name: name.into() };
    let (text, button) = said(kind, message);
    if let Some(data) = button.as_deref().and_then(|button| button.strip_prefix(PRESSED)) {
        return pressed(graph, (phone, from), data, &sender);
    }
    let attachments = attached(kind, message).into_iter().collect::<Vec<_>>();
    if text.is_empty() && attachments.is_empty() {
        return Ok(());
    }
    let seconds: u64 = of("timestamp").and_then(|text| text.parse().ok()).unwrap_or_default();
    Ok(graph.host.submit(&Inbound {
        id: id.into(),
        conversation: format!("whatsapp:{phone}/{from}"),
        sender,
        text,
        attachments,
        sent: seconds.saturating_mul(1_000),
        handle: Some(id.into()),
    })?)
}

/// The text of a message, and what a button carried that was pressed for it.
fn said(kind: &str, message: &Value) -> (String, Option<String>) {
    let part = message.get(kind).cloned().unwrap_or_default();
    let text = |pointer: &str| part.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_string();
    let card = |one: &Value| {
        let of = |pointer: &str| one.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
        format!("👤 {}, {}", of("/name/formatted_name"), of("/phones/0/phone"))
    };
    match kind {
        "text" => (text("/body"), None),
        "image" | "document" | "video" => (text("/caption"), None),
        "location" => {
            let number = |key: &str| part.get(key).map(Value::to_string).unwrap_or_default();
            let all = [format!("📍 {}, {}", number("latitude"), number("longitude")), text("/name"), text("/address")];
            (all.iter().filter(|word| !word.is_empty()).cloned().collect::<Vec<_>>().join(", "), None)
        }
        "contacts" => (
            part.as_array().map(|cards| cards.iter().map(card).collect::<Vec<_>>().join("\n")).unwrap_or_default(),
            None,
        ),
        // The answer to a template.
        "button" => (text("/text"), Some(text("/payload"))),
        "interactive" => {
            let reply = format!("/{}", text("/type"));
            (text(&format!("{reply}/title")), Some(text(&format!("{reply}/id"))))
        }
        _ => (String::new(), None),
    }
}

/// A parameter of an address' query, decoded.
fn parameter(url: &str, name: &str) -> Option<String> {
    let (_, query) = url.split_once('?')?;
    let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    let (_, value) = pairs.find(|(key, _)| decoded(key) == name)?;
    Some(decoded(value))
}

fn decoded(text: &str) -> String {
    percent_decode_str(&text.replace('+', " ")).decode_utf8_lossy().into_owned()
}
