//! What the gateway dispatches: messages, slash commands, pressed buttons.

use openpista_plugin::messenger::Groups;
use serde_json::{Value, json};

use crate::api::Api;
use crate::ask::pressed;
use crate::commands;
use crate::contract::exports::openpista::plugin::channel::{ChannelError, Event};
use crate::contract::openpista::gateway::gateway::{Inbound, Sender};
use crate::files;
use crate::handle::{Handle, sent};
use crate::host::Fault;
use crate::session::{self, Me};

/// Before the channel's id in the name of a conversation.
pub const PREFIX: &str = "discord:";

/// `channel.receive`
pub fn receive(api: Api<'_>, event: &Event) -> Result<(), ChannelError> {
    match event {
        Event::Opened(opened) => session::opened(api.host, opened.source.connection),
        Event::Frame((source, frame)) => session::frame(api, source, frame),
        Event::Closed(closed) => session::closed(api.host, closed),
        Event::Alarm(alarm) => match (alarm.name.as_str(), &alarm.source) {
            (session::BEAT, Some(source)) => session::due(api.host, source.connection),
            (session::SIGNED_IN, Some(source)) => session::signed_in(api.host, source.connection),
            (commands::ALARM, _) => commands::tell(api),
            _ => Ok(()),
        },
        Event::Answer(_) | Event::Other(_) => Ok(()),
    }
}

fn text<'a>(of: &'a Value, path: &str) -> &'a str {
    of.pointer(path).and_then(Value::as_str).unwrap_or_default()
}

/// A message that somebody wrote; whether it is for the bot.
pub fn message(api: Api<'_>, message: &Value) -> Result<bool, ChannelError> {
    let nonsense = |what: &str| ChannelError::Malformed(format!("a message has no {what}"));
    let id = Some(text(message, "/id")).filter(|id| !id.is_empty()).ok_or_else(|| nonsense("id"))?;
    let channel = Some(text(message, "/channel_id")).filter(|id| !id.is_empty()).ok_or_else(|| nonsense("channel"))?;
    let author = message.get("author").ok_or_else(|| nonsense("author"))?;
    let yes = |key: &str| author.get(key).and_then(Value::as_bool) == Some(true);
    // Those of people are plain messages and answers; all else the service writes itself.
    let own = matches!(message.get("type").and_then(Value::as_u64), None | Some(0 | 19));
    let written = own && !yes("bot") && !yes("system") && message.get("webhook_id").is_none_or(Value::is_null);
    let me = session::me(api.host)?;
    let named = message.get("guild_id").is_some_and(|server| !server.is_null());
    if !written || (named && !is_addressed(message, me.as_ref(), api.settings.groups)) {
        return Ok(false);
    }
    let (mut said, attachments) = (said(message, me.as_ref()), files::attached(message));
    if said.is_empty() {
        // A sticker is all that some people say.
        said = text(message, "/sticker_items/0/name").to_string();
    }
    if said.is_empty() && attachments.is_empty() {
        return Ok(false);
    }
    api.host.submit(&Inbound {
        id: id.to_string(),
        conversation: format!("{PREFIX}{channel}"),
        sender: sender(author, message.get("member")).ok_or_else(|| nonsense("author"))?,
        text: said,
        attachments,
        sent: sent(id),
        handle: Some(Handle { id: id.into(), named, interaction: None }.text()),
    })?;
    Ok(true)
}

/// By the name that a server or the person gave; the user name is what there always is.
fn sender(user: &Value, member: Option<&Value>) -> Option<Sender> {
    let id = Some(text(user, "/id")).filter(|id| !id.is_empty())?;
    let nick = member.map(|member| text(member, "/nick")).unwrap_or_default();
    let names = [nick, text(user, "/global_name"), text(user, "/username")];
    let name = names.into_iter().find(|name| !name.is_empty()).unwrap_or_default();
    Some(Sender { id: id.to_string(), name: name.to_string() })
}

fn mentions(message: &Value) -> impl Iterator<Item = &Value> {
    message.get("mentions").and_then(Value::as_array).into_iter().flatten()
}

fn is_addressed(message: &Value, me: Option<&Me>, groups: Groups) -> bool {
    let own = |user: &Value| me.is_some_and(|me| text(user, "/id") == me.id);
    match groups {
        Groups::Off => false,
        Groups::All => true,
        Groups::Mention => mentions(message).any(own) || message.pointer("/referenced_message/author").is_some_and(own),
    }
}

/// The text, in which people are called by name. The bot's name at either end is no part of what is said.
fn said(message: &Value, me: Option<&Me>) -> String {
    let mut said = text(message, "/content").trim().to_string();
    if let Some(me) = me {
        let marks = [format!("<@{}>", me.id), format!("<@!{}>", me.id)];
        for mark in &marks {
            let inner = said.trim_start_matches(mark.as_str()).trim_end_matches(mark.as_str());
            said = inner.trim_start_matches([',', ':']).trim().to_string();
        }
        for mark in &marks {
            said = said.replace(mark, &format!("@{}", me.name));
        }
    }
    for user in mentions(message) {
        let Some(who) = sender(user, user.get("member")) else { continue };
        for mark in [format!("<@{}>", who.id), format!("<@!{}>", who.id)] {
            said = said.replace(&mark, &format!("@{}", who.name));
        }
    }
    said
}

/// Something that the service wants answered within three seconds: a slash command, or a pressed button.
pub fn interaction(api: Api<'_>, interaction: &Value) -> Result<(), ChannelError> {
    let of = |path: &str| Some(text(interaction, path)).filter(|text| !text.is_empty());
    let nonsense = |what: &str| ChannelError::Malformed(format!("an interaction has no {what}"));
    let member = interaction.get("member");
    let user = member.and_then(|member| member.get("user")).or_else(|| interaction.get("user"));
    let sender = user.and_then(|user| sender(user, member)).ok_or_else(|| nonsense("user"))?;
    let id = of("/id").ok_or_else(|| nonsense("id"))?;
    let token = of("/token").ok_or_else(|| nonsense("token"))?;
    let answer = |body: Value| api.interaction("POST", &format!("/interactions/{id}/{token}/callback"), &body);
    let word = |words: &str| answer(json!({"type": 4, "data": {"content": words, "flags": 64}}));
    match interaction.get("type").and_then(Value::as_u64) {
        Some(2) if of("/guild_id").is_some() && api.settings.groups == Groups::Off => {
            warned(api, word("This bot answers only those who write to it alone."));
            Ok(())
        }
        Some(2) => {
            let channel = of("/channel_id").ok_or_else(|| nonsense("channel"))?;
            let application = of("/application_id").ok_or_else(|| nonsense("application"))?;
            let mut said = format!("/{}", of("/data/name").ok_or_else(|| nonsense("command"))?);
            if let Some(argument) = of("/data/options/0/value") {
                said = format!("{said} {argument}");
            }
            // Who was not told in time sees the answer in the channel.
            let told = warned(api, answer(json!({"type": 5})));
            let interaction = told.then(|| (application.to_string(), token.to_string()));
            Ok(api.host.submit(&Inbound {
                id: id.to_string(),
                conversation: format!("{PREFIX}{channel}"),
                sender,
                text: said,
                attachments: Vec::new(),
                sent: sent(id),
                handle: Some(Handle { id: id.into(), named: false, interaction }.text()),
            })?)
        }
        Some(3) => {
            let why = pressed(api.host, of("/data/custom_id").unwrap_or_default(), &sender)?;
            warned(api, if why.is_empty() { answer(json!({"type": 6})) } else { word(why) });
            Ok(())
        }
        _ => Ok(()),
    }
}

/// Whether it was answered, now or at an earlier attempt. If not it still counts: the answer is only a sign to the person.
fn warned(api: Api<'_>, answered: Result<Value, Fault>) -> bool {
    match answered {
        Ok(_) | Err(Fault::Same) => true,
        Err(fault) => {
            api.host.warn(&format!("an interaction was not answered: {fault:?}"));
            false
        }
    }
}
