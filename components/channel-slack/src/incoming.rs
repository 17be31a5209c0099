//! What Slack brings: messages, pressed buttons, slash commands, in envelopes over the socket or as signed requests.
//!
//! An envelope is acknowledged, and a request answered, when what it led to is stored; what was lost on the way comes
//! again and is the same message. What makes no sense is logged and acknowledged, for it would come again.
//! See <https://docs.slack.dev/apis/events-api/using-socket-mode> and
//! <https://docs.slack.dev/authentication/verifying-requests-from-slack>.

use std::cell::Cell;

use serde_json::{Value, json};

use crate::addressed::is_addressed;
use crate::api::{Api, fields};
use crate::contract::exports::openpista::plugin::channel::{ChannelError, Event, Source};
use crate::contract::exports::openpista::plugin::http_handler::Incoming;
use crate::contract::openpista::connection::connection::{Frame, Target};
use crate::contract::openpista::gateway::gateway::{Inbound, Sender};
use crate::contract::openpista::http::exchange::Response;
use crate::contract::openpista::types::types::Error;
use crate::place::Place;
use crate::register::{self, CHECK, CHECK_SOON, COMMANDS};
use crate::{ask, files, said};

/// A request older or newer than this many milliseconds is a replay.
const FRESH: u64 = 300_000;
/// Names of others that are looked up for one message: Slack waits.
const NAMES: u8 = 4;
/// What is said to a slash command in a channel.
const ELSEWHERE: &str = "Here, mention me: that begins a thread. In it, write !new, !model, !stop, !status or !help.";

/// `channel.receive`
pub fn receive(api: Api<'_>, event: &Event) -> Result<(), ChannelError> {
    match event {
        Event::Frame((source, Frame::Text(text))) => framed(api, source, text),
        Event::Alarm(alarm) if alarm.name == CHECK => register::check(api),
        _ => Ok(()),
    }
}

fn framed(api: Api<'_>, source: &Source, text: &str) -> Result<(), ChannelError> {
    let frame: Value =
        serde_json::from_str(text).map_err(|error| ChannelError::Malformed(format!("a frame is no JSON: {error}")))?;
    let of = |key: &str| frame.get(key).and_then(Value::as_str);
    let kind = of("type").unwrap_or_default();
    if kind == "disconnect" {
        return Ok(api.host.close(source.connection, 1_000, "Slack wants another connection")?);
    }
    let Some(envelope) = of("envelope_id") else { return Ok(()) };
    let payload = frame.get("payload").unwrap_or(&Value::Null);
    let words = sensible(
        api,
        match kind {
            "events_api" => callback(api, payload).map(|()| None),
            "interactive" => button(api, payload).map(|()| None),
            "slash_commands" => command(api, payload),
            _ => Ok(None),
        },
    )?;
    let mut answer = json!({"envelope_id": envelope});
    if let Some(words) = words {
        answer["payload"] = json!({"text": words});
    }
    Ok(api.host.send(&Target::One(source.connection), answer.to_string())?)
}

fn sensible<T: Default>(api: Api<'_>, done: Result<T, ChannelError>) -> Result<T, ChannelError> {
    match done {
        Err(ChannelError::Malformed(why)) => {
            api.host.warn(&format!("something is passed over: {why}"));
            Ok(T::default())
        }
        done => done,
    }
}

/// `http-handler.handle`
pub fn handle(api: Api<'_>, incoming: &Incoming) -> Result<Response, ChannelError> {
    let request = &incoming.request;
    let respond = |status, kind: &str, body: &str| Response {
        status,
        headers: vec![("content-type".into(), kind.into())],
        body: body.as_bytes().to_vec(),
    };
    let empty = |status| Ok(respond(status, "text/plain", ""));
    if request.method != "POST" {
        return empty(405);
    }
    let header = |name: &str| request.headers.iter().find(|(one, _)| one == name).map_or("", |(_, value)| value);
    if !is_signed(api, header("x-slack-request-timestamp"), header("x-slack-signature"), &request.body)? {
        api.host.warn("a request is refused: Slack did not sign it, or long ago");
        return empty(401);
    }
    let words = if header("content-type").starts_with("application/x-www-form-urlencoded") {
        let form = Value::Object(fields(&request.body));
        sensible(
            api,
            match form.get("payload").and_then(Value::as_str) {
                Some(payload) => button(api, &serde_json::from_str(payload).unwrap_or_default()).map(|()| None),
                None => command(api, &form),
            },
        )?
    } else {
        let body: Value = serde_json::from_slice(&request.body).unwrap_or_default();
        if let Some(challenge) = body.get("challenge").and_then(Value::as_str) {
            return Ok(respond(200, "text/plain", challenge));
        }
        sensible(api, callback(api, &body).map(|()| None))?
    };
    match words {
        Some(words) => {
            let said = json!({"response_type": "ephemeral", "text": words});
            Ok(respond(200, "application/json", &said.to_string()))
        }
        None => empty(200),
    }
}

fn is_signed(api: Api<'_>, at: &str, signature: &str, body: &[u8]) -> Result<bool, Error> {
    let (Ok(seconds), Some(Ok(mac))) = (at.parse::<u64>(), signature.strip_prefix("v0=").map(hex::decode)) else {
        return Ok(false);
    };
    let signed = [b"v0:", at.as_bytes(), b":", body].concat();
    let fresh = api.host.now().abs_diff(seconds.saturating_mul(1_000)) <= FRESH;
    // Asked in any case: the ledger has the forged ones.
    Ok(api.host.verify("signing-secret", &signed, &mac)? && fresh)
}

/// An event with what is around it.
fn callback(api: Api<'_>, payload: &Value) -> Result<(), ChannelError> {
    let event = payload.get("event").unwrap_or(&Value::Null);
    match event.get("type").and_then(Value::as_str) {
        Some("message" | "app_mention") => message(api, event),
        Some("tokens_revoked" | "app_uninstalled") => Ok(api.host.alarm(CHECK, CHECK_SOON, None)?),
        _ => Ok(()),
    }
}

fn message(api: Api<'_>, event: &Value) -> Result<(), ChannelError> {
    let of = |key: &str| event.get(key).and_then(Value::as_str);
    let nonsense = |what: &str| ChannelError::Malformed(format!("a message has no {what}"));
    // All else is the story of other messages: edited, deleted, somebody joined.
    let kind = of("subtype");
    let Some(user) = of("user").filter(|_| kind.is_none_or(|kind| matches!(kind, "file_share" | "thread_broadcast")))
    else {
        return Ok(());
    };
    let me = register::me(api)?;
    if user == me || user == "USLACKBOT" || of("bot_id").is_some() {
        return Ok(());
    }
    let channel = of("channel").ok_or_else(|| nonsense("channel"))?;
    let ts = of("ts").ok_or_else(|| nonsense("ts"))?;
    let mut place = Place { channel: channel.into(), thread: of("thread_ts").map(str::to_string) };
    if !place.is_direct() {
        place.thread.get_or_insert_with(|| ts.to_string());
    }
    if !is_addressed(api, event, &place, user, &me)? {
        return Ok(());
    }
    let (attachments, elsewhere) = files::attached(event);
    let named = Cell::new(0);
    let name = |user: &str| {
        named.set(named.get() + 1);
        if named.get() > NAMES { user.to_string() } else { said::name(api, user) }
    };
    let text = said::command(said::read(of("text").unwrap_or_default(), &me, &name));
    let text = [vec![text], elsewhere].concat().join("\n").trim().to_string();
    if text.is_empty() && attachments.is_empty() {
        return Ok(());
    }
    let seconds: u64 = ts.split('.').next().and_then(|seconds| seconds.parse().ok()).unwrap_or_default();
    Ok(api.host.submit(&Inbound {
        // A mention comes as `message` and as `app_mention`: it is one.
        id: format!("{channel}/{ts}"),
        conversation: place.name(),
        sender: Sender { id: user.into(), name: said::name(api, user) },
        text,
        attachments,
        sent: seconds.saturating_mul(1_000),
        handle: None,
    })?)
}

/// A slash command in a direct message is what its words say; elsewhere there is no thread that it could be about.
fn command(api: Api<'_>, payload: &Value) -> Result<Option<String>, ChannelError> {
    let of = |key: &str| payload.get(key).and_then(Value::as_str);
    let nonsense = || ChannelError::Malformed("a slash command has no channel, user or id".into());
    let (Some(channel), Some(user), Some(id)) = (of("channel_id"), of("user_id"), of("trigger_id")) else {
        return Err(nonsense());
    };
    let place = Place { channel: channel.into(), thread: None };
    if !place.is_direct() {
        return Ok(Some(ELSEWHERE.into()));
    }
    let words = of("text").unwrap_or_default().trim();
    let text = match words.split_whitespace().next() {
        None => "/help".to_string(),
        Some(first) if COMMANDS.contains(&first) => format!("/{words}"),
        Some(_) => words.to_string(),
    };
    api.host.submit(&Inbound {
        id: format!("command/{id}"),
        conversation: place.name(),
        sender: Sender { id: user.into(), name: said::name(api, user) },
        text,
        attachments: Vec::new(),
        sent: api.host.now(),
        handle: None,
    })?;
    Ok(None)
}

/// A button. Who may not press it, or too late, is told so; nobody else sees that.
fn button(api: Api<'_>, payload: &Value) -> Result<(), ChannelError> {
    let of = |at: &str| payload.pointer(at).and_then(Value::as_str);
    if of("/type") != Some("block_actions") {
        return Ok(());
    }
    let user = of("/user/id").ok_or_else(|| ChannelError::Malformed("a pressed button has no user".into()))?;
    let sender = Sender { id: user.into(), name: said::name(api, user) };
    let why = ask::pressed(api.host, of("/actions/0/value").unwrap_or_default(), &sender)?;
    if why.is_empty() {
        return Ok(());
    }
    let mut answer = json!({"channel": of("/channel/id"), "user": user, "text": why});
    if let Some(thread) = of("/message/thread_ts").or_else(|| of("/container/thread_ts")) {
        answer["thread_ts"] = thread.into();
    }
    if let Err(fault) = api.quickly("chat.postEphemeral", &answer) {
        api.host.warn(&format!("who pressed a button was not told: {fault:?}"));
    }
    Ok(())
}
