//! The bridge to WhatsApp Web: what its lines mean, and the lines that show something.
//!
//! The bridge knows again what it has sent, by the key in each order, so an order can be repeated. It keeps each message
//! until it is told that the host has it: the acknowledgement is held with the message and goes out when that is stored.

use openpista_plugin::messenger::Groups;
use openpista_plugin::request::{base64, left_out};
use serde_json::{Value, json};

use crate::contract::exports::openpista::plugin::channel::{
    ChannelError, Delivery, DeliveryContent, DeliveryError, Event, Outcome,
};
use crate::contract::openpista::connection::connection::{Frame, Target};
use crate::contract::openpista::gateway::gateway::{Attachment, Inbound, Notice, Sender, Settlement};
use crate::contract::openpista::types::types::Media;
use crate::host::Host;
use crate::settings::Settings;
use crate::text::{self, MESSAGES};

/// The tag of the bridge's connection.
const BRIDGE: &str = "bridge";
/// Before the chat in the name of a conversation.
const PREFIX: &str = "whatsapp:";
/// What the account of a person ends with; such a chat is named by the number alone.
const PERSON: &str = "@s.whatsapp.net";
/// How long a code can be scanned, in ms. WhatsApp gives the first one 60 seconds, the others 20.
const SCAN: u64 = 60_000;
/// A larger file does not fit into a line of 10 MiB.
const FILE_MOST: usize = 7 * 1024 * 1024;

/// `channel.receive`
pub fn receive(host: &dyn Host, settings: &Settings, event: &Event) -> Result<(), ChannelError> {
    match event {
        Event::Opened(opened) => Ok(host.tag(opened.source.connection, &[BRIDGE])?),
        Event::Frame((source, Frame::Text(line))) => {
            let line: Value = serde_json::from_str(line)
                .map_err(|error| ChannelError::Malformed(format!("the bridge wrote no JSON: {error}")))?;
            self::line(host, settings, source.connection, &line)
        }
        // The host shows that the process ended, and starts it again.
        _ => Ok(()),
    }
}

fn line(host: &dyn Host, settings: &Settings, bridge: u64, line: &Value) -> Result<(), ChannelError> {
    let of = |key: &str| line.get(key).and_then(Value::as_str).unwrap_or_default();
    match of("type") {
        "qr" => Ok(host.tell(&Notice::Qr((of("qr").into(), host.now().saturating_add(SCAN))))?),
        "connected" => Ok(host.tell(&Notice::Clear)?),
        "offline" => Ok(host.tell(&Notice::Text(format!(
            "no connection to WhatsApp ({}); the bridge tries again by itself",
            of("why")
        )))?),
        "logged-out" => Ok(host.tell(&Notice::Text(format!(
            "WhatsApp has logged this device out ({}). Run `openpista-host channel restart` with this channel's name, then \
             `channel status`, and scan the new code",
            of("why")
        )))?),
        "sent" => Ok(host.settle(of("id"), Settlement::Shown(None))?),
        "failed" if line.get("never").and_then(Value::as_bool) == Some(true) => {
            Ok(host.settle(of("id"), Settlement::Rejected(of("why").into()))?)
        }
        "failed" => Ok(host.settle(of("id"), Settlement::Unavailable(of("why").into()))?),
        "message" => {
            if let Some(inbound) = said(settings.groups, line)? {
                host.submit(&inbound)?;
            }
            let ack = json!({"type": "ack", "ack": of("ack")});
            Ok(host.send(&Target::One(bridge), ack.to_string())?)
        }
        other => Err(ChannelError::Malformed(format!("the bridge wrote a line of the unknown type {other:?}"))),
    }
}

/// The message, if it is for the bot.
fn said(groups: Groups, line: &Value) -> Result<Option<Inbound>, ChannelError> {
    let of = |key: &str| line.get(key).and_then(Value::as_str).unwrap_or_default();
    let list = |key: &str| line.get(key).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    if of("id").is_empty() || of("chat").is_empty() || of("sender").is_empty() {
        return Err(ChannelError::Malformed("a message of the bridge has no id, chat or sender".into()));
    }
    let me: Vec<&str> = list("me").iter().filter_map(Value::as_str).collect();
    let mut text = of("text").trim();
    if line.get("group").and_then(Value::as_bool) == Some(true) {
        let is_me = |jid: &str| me.contains(&jid);
        let addressed = list("mentions").iter().filter_map(Value::as_str).any(is_me) || is_me(of("answers"));
        if groups == Groups::Off || (groups == Groups::Mention && !addressed) {
            return Ok(None);
        }
        text = without_name(text, &me);
    }
    let file = line.get("media").map(|media| {
        let of = |key: &str| media.get(key).and_then(Value::as_str);
        let data = openpista_plugin::request::from_base64(of("data").unwrap_or_default());
        let nonsense = || ChannelError::Malformed("a file of the bridge is no base64".into());
        let (mime, name) = (of("mime").unwrap_or_default().to_string(), of("name").map(str::to_string));
        Ok::<_, ChannelError>(Attachment::Media(Media { mime, name, data: data.ok_or_else(nonsense)? }))
    });
    let attachments: Vec<Attachment> = file.transpose()?.into_iter().collect();
    if text.is_empty() && attachments.is_empty() {
        return Ok(None);
    }
    Ok(Some(Inbound {
        id: of("id").into(),
        conversation: format!("{PREFIX}{}", short(of("chat"))),
        sender: Sender { id: short(of("sender")).into(), name: of("name").into() },
        text: text.into(),
        attachments,
        sent: line.get("at").and_then(Value::as_u64).unwrap_or_default(),
        handle: Some(of("handle").to_string()).filter(|handle| !handle.is_empty()),
    }))
}

fn short(jid: &str) -> &str {
    jid.strip_suffix(PERSON).unwrap_or(jid)
}

/// Without the bot's own name in front: a mention is written as `@` and the number.
fn without_name<'a>(text: &'a str, me: &[&str]) -> &'a str {
    let number = |jid: &&str| jid.split('@').next().unwrap_or_default().to_string();
    let rest = me.iter().find_map(|jid| {
        let rest = text.strip_prefix('@')?.strip_prefix(number(jid).as_str())?;
        (!rest.starts_with(|next: char| next.is_ascii_digit())).then_some(rest)
    });
    rest.unwrap_or(text).trim_start_matches([',', ':']).trim()
}

/// `channel.deliver`
pub fn deliver(host: &dyn Host, delivery: Delivery) -> Result<Outcome, DeliveryError> {
    let strange = || DeliveryError::Rejected(format!("{} is no conversation of this channel", delivery.conversation));
    let chat = delivery.conversation.strip_prefix(PREFIX).filter(|chat| !chat.contains('/')).ok_or_else(strange)?;
    let group = chat.ends_with("@g.us");
    let chat = if chat.contains('@') { chat.to_string() } else { format!("{chat}{PERSON}") };
    let Some(bridge) = host.tagged(BRIDGE)?.into_iter().next() else {
        return Err(DeliveryError::Unavailable("the bridge does not run".into()));
    };
    // A reply is the end of the turn's drafts, so they have one key.
    let turn = delivery.turn.as_deref().unwrap_or(&delivery.id);
    let (id, key) = match &delivery.content {
        DeliveryContent::Draft(_) => ("", turn),
        DeliveryContent::Reply(_) => (delivery.id.as_str(), turn),
        _ => (delivery.id.as_str(), delivery.id.as_str()),
    };
    let parts = match delivery.content {
        DeliveryContent::Working => {
            host.send(&Target::One(bridge), json!({"type": "typing", "chat": chat}).to_string())?;
            return Ok(Outcome::Done(None));
        }
        DeliveryContent::Activity(_) | DeliveryContent::Other(_) => return Ok(Outcome::Done(None)),
        DeliveryContent::Draft(draft) => texts(text::reply(&draft.text).into_iter().take(MESSAGES)),
        DeliveryContent::Reply(reply) => whole(&reply.text),
        DeliveryContent::Failed(why) => texts(text::plain(&format!("❌ {why}"))),
        DeliveryContent::Notice(words) => texts(text::plain(&words)),
        DeliveryContent::Media(file) => vec![media(file)],
    };
    let quote = delivery.handle.filter(|_| group);
    let order = json!({"type": "show", "id": id, "key": key, "chat": chat, "parts": parts, "quote": quote});
    host.send(&Target::One(bridge), order.to_string())?;
    Ok(if id.is_empty() { Outcome::Done(None) } else { Outcome::Pending })
}

fn texts(texts: impl IntoIterator<Item = String>) -> Vec<Value> {
    texts.into_iter().map(|text| json!({"text": text})).collect()
}

/// A reply without a word is a sign that it is done.
fn whole(markdown: &str) -> Vec<Value> {
    let all = text::reply(markdown);
    if all.is_empty() {
        return texts(["✅".to_string()]);
    }
    let more = all.len() > MESSAGES;
    let mut parts = texts(all.into_iter().take(MESSAGES));
    if more {
        let data = markdown.as_bytes().to_vec();
        parts.push(media(Media { mime: "text/plain".into(), name: Some("reply.txt".into()), data }));
    }
    parts
}

fn media(file: Media) -> Value {
    if file.data.len() > FILE_MOST {
        let words = left_out(file.name.as_deref(), &file.mime);
        return json!({"text": format!("{words} It has more than 7 MiB.")});
    }
    json!({"media": {"mime": file.mime, "name": file.name, "data": base64(&file.data)}})
}
