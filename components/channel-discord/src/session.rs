//! The gateway's session: where to dial, hello, heartbeat, identify or resume, and what a close means.
//!
//! A fresh instance remembers nothing, so the session's id, the address to resume it at and the number of the last event
//! are in the state. The number is stored together with what the event brought: after a cut, a restart or another
//! version of this component the gateway sends what came behind it, and nothing is lost or taken twice.

use serde_json::{Value, json};

use crate::api::Api;
use crate::commands;
use crate::contract::exports::openpista::plugin::channel::{ChannelError, Closed, Preference, Setup};
use crate::contract::exports::openpista::plugin::channel::{Source, Transport, TransportKind};
use crate::contract::openpista::connection::connection::{ConnectionId, Frame, Target};
use crate::contract::openpista::gateway::gateway::Notice;
use crate::contract::openpista::http::exchange::Request;
use crate::contract::openpista::types::types::Error;
use crate::host::Host;
use crate::incoming;
use crate::settings::Settings;

/// The alarm of the heartbeat.
pub const BEAT: &str = "beat";
/// The alarm by which a new connection has to be signed in.
pub const SIGNED_IN: &str = "signed-in";

/// Key of the session's id, what it tells of, and the address to resume it at: a line each.
const SESSION: &str = "session";
/// Key of the number of the last event.
const SEQUENCE: &str = "sequence";
/// Key of the ms between two heartbeats.
const EVERY: &str = "every";
/// Key that is there while a heartbeat is not answered.
const UNANSWERED: &str = "unanswered";
/// Key of how often it was dialled since it last worked.
const ATTEMPTS: &str = "attempts";
/// Key of the bot's id, its application's id and its name.
const ME: &str = "me";

/// So many events that brought nothing may come again.
const BEHIND: u64 = 100;
/// Ms within which a connection has to be signed in.
const SIGN_IN_WITHIN: u64 = 20_000;
/// No alarm of the host's is sooner, in ms.
const SOONEST: u64 = 100;
/// So often the address that the session named is tried, before the common one is.
const TRIES: u32 = 3;
/// A close with this code keeps the session; 1000 and 1001 would end it.
const AGAIN: u16 = 4_000;

/// The bot.
#[derive(Clone, Debug, PartialEq)]
pub struct Me {
    /// Its user id.
    pub id: String,
    /// The id of its application.
    pub application: String,
    /// Its user name.
    pub name: String,
}

/// The bot; none before it was signed in for the first time.
pub fn me(host: &dyn Host) -> Result<Option<Me>, Error> {
    let known = host.get(ME)?.unwrap_or_default();
    let mut words = known.splitn(3, ' ').map(str::to_string);
    let (Some(id), Some(application), Some(name)) = (words.next(), words.next(), words.next()) else {
        return Ok(None);
    };
    Ok(Some(Me { id, application, name }))
}

/// `channel.open`
pub fn open(_host: &dyn Host, settings: &Settings) -> Result<Setup, ChannelError> {
    let drafts = settings.stream.then_some(Preference::Drafts(1_500));
    let preferences = [Preference::Working(8_000)].into_iter().chain(drafts).collect();
    Ok(Setup { transports: vec![Transport { id: "gateway".into(), kind: TransportKind::Dial }], preferences })
}

/// `outgoing.next`
pub fn next(api: Api<'_>) -> Result<Request, ChannelError> {
    let host = api.host;
    token(host)?;
    let attempts: u32 = host.get(ATTEMPTS)?.and_then(|text| text.parse().ok()).unwrap_or_default();
    host.set(ATTEMPTS, &attempts.saturating_add(1).to_string())?;
    let session = session(api)?;
    let address = match &session {
        Some((_, address)) if !address.is_empty() && attempts < TRIES => address,
        _ => &api.settings.gateway,
    };
    let url = format!("{}?v=10&encoding=json", address.trim_end_matches('/'));
    Ok(Request { method: "GET".into(), url, headers: Vec::new(), body: Vec::new() })
}

/// The id and the address of the session that can be resumed. With other intents it would go on without what they bring.
fn session(api: Api<'_>) -> Result<Option<(String, String)>, Error> {
    let kept = api.host.get(SESSION)?.unwrap_or_default();
    let mut lines = kept.lines().map(str::to_string);
    let (id, intents, address) = (lines.next(), lines.next(), lines.next().unwrap_or_default());
    Ok(id.filter(|_| intents == Some(api.settings.intents().to_string())).map(|id| (id, address)))
}

fn forget(host: &dyn Host) -> Result<(), Error> {
    host.remove(SESSION)?;
    host.remove(SEQUENCE)
}

fn token(host: &dyn Host) -> Result<String, ChannelError> {
    host.stand_in("bot-token").map_err(|error| match error {
        Error::NotFound(_) => ChannelError::AuthRequired(
            "the bot has no token: make one in the developer portal (Bot, Reset Token) and set the secret bot-token"
                .into(),
        ),
        error => error.into(),
    })
}

/// A connection is there.
pub fn opened(host: &dyn Host, on: ConnectionId) -> Result<(), ChannelError> {
    host.remove(UNANSWERED)?;
    Ok(host.alarm(SIGNED_IN, SIGN_IN_WITHIN, Some(on))?)
}

/// The alarm after it: whoever takes connections and then says nothing is not waited for.
pub fn signed_in(host: &dyn Host, on: ConnectionId) -> Result<(), ChannelError> {
    if host.get(ATTEMPTS)?.is_none() {
        return Ok(());
    }
    let words = "Discord's gateway takes the connection and does not sign the bot in within 20 s. It is tried again.";
    host.tell(&Notice::Text(words.into()))?;
    Ok(host.close(on, AGAIN, "not signed in")?)
}

/// A frame of the gateway.
pub fn frame(api: Api<'_>, source: &Source, frame: &Frame) -> Result<(), ChannelError> {
    let nonsense = |what: &str| ChannelError::Malformed(format!("a frame of the gateway {what}"));
    let Frame::Text(text) = frame else { return Err(nonsense("is no text")) };
    let frame: Value = serde_json::from_str(text).map_err(|_| nonsense("is no JSON"))?;
    let (host, on) = (api.host, source.connection);
    let data = frame.get("d").unwrap_or(&Value::Null);
    match frame.get("op").and_then(Value::as_u64).ok_or_else(|| nonsense("has no opcode"))? {
        0 => dispatch(api, &frame, data),
        1 => Ok(beat(host, on)?),
        7 => Ok(host.close(on, AGAIN, "asked to come again")?),
        9 => {
            if data.as_bool() != Some(true) {
                forget(host)?;
            }
            Ok(host.close(on, AGAIN, "the session is not valid")?)
        }
        10 => hello(api, on, data),
        11 => Ok(host.remove(UNANSWERED)?),
        _ => Ok(()),
    }
}

fn hello(api: Api<'_>, on: ConnectionId, data: &Value) -> Result<(), ChannelError> {
    let host = api.host;
    let every = data.get("heartbeat_interval").and_then(Value::as_u64).unwrap_or(41_250).max(SOONEST);
    host.set(EVERY, &every.to_string())?;
    // Somewhere in the interval, so that those who were cut off together do not come back in step.
    host.alarm(BEAT, (host.now() % every).max(SOONEST), Some(on))?;
    let token = token(host)?;
    let sequence = host.get(SEQUENCE)?.and_then(|text| text.parse::<u64>().ok());
    let first = match session(api)?.zip(sequence) {
        Some(((id, _), sequence)) => json!({"op": 6, "d": {"token": token, "session_id": id, "seq": sequence}}),
        None => {
            let properties = json!({"os": "linux", "browser": "openpista", "device": "openpista"});
            let intents = api.settings.intents();
            json!({"op": 2, "d": {"token": token, "intents": intents, "properties": properties}})
        }
    };
    Ok(host.send(&Target::One(on), first.to_string())?)
}

fn beat(host: &dyn Host, on: ConnectionId) -> Result<(), Error> {
    let sequence = host.get(SEQUENCE)?.and_then(|text| text.parse::<u64>().ok());
    host.send(&Target::One(on), json!({"op": 1, "d": sequence}).to_string())
}

/// The alarm of the heartbeat.
pub fn due(host: &dyn Host, on: ConnectionId) -> Result<(), ChannelError> {
    if host.get(UNANSWERED)?.is_some() {
        return Ok(host.close(on, AGAIN, "no answer to the heartbeat")?);
    }
    beat(host, on)?;
    host.set(UNANSWERED, "1")?;
    let every = host.get(EVERY)?.and_then(|text| text.parse().ok()).unwrap_or(41_250);
    Ok(host.alarm(BEAT, every, Some(on))?)
}

fn dispatch(api: Api<'_>, frame: &Value, data: &Value) -> Result<(), ChannelError> {
    let host = api.host;
    if host.get(ATTEMPTS)?.is_some() {
        host.remove(ATTEMPTS)?;
        host.tell(&Notice::Clear)?;
    }
    let taken = match frame.get("t").and_then(Value::as_str) {
        Some("READY") => ready(api, data).map(|()| true),
        Some("MESSAGE_CREATE") => incoming::message(api, data),
        Some("INTERACTION_CREATE") => incoming::interaction(api, data).map(|()| true),
        _ => Ok(false),
    };
    let counts = match taken {
        Err(ChannelError::Malformed(why)) => {
            host.warn(&format!("an event is passed over: {why}"));
            true
        }
        taken => taken?,
    };
    let Some(sequence) = frame.get("s").and_then(Value::as_u64) else { return Ok(()) };
    let known: u64 = host.get(SEQUENCE)?.and_then(|text| text.parse().ok()).unwrap_or_default();
    // What brought nothing may come again after a cut: not each of them is worth a commit.
    if counts || sequence >= known.saturating_add(BEHIND) {
        host.set(SEQUENCE, &sequence.to_string())?;
    }
    Ok(())
}

fn ready(api: Api<'_>, data: &Value) -> Result<(), ChannelError> {
    let host = api.host;
    let text = |path: &str| data.pointer(path).and_then(Value::as_str);
    let (Some(session), Some(id)) = (text("/session_id"), text("/user/id")) else {
        return Err(ChannelError::Malformed("the gateway is ready without a session".into()));
    };
    let address = text("/resume_gateway_url").unwrap_or_default();
    host.set(SESSION, &format!("{session}\n{}\n{address}", api.settings.intents()))?;
    let application = text("/application/id").unwrap_or(id);
    host.set(ME, &format!("{id} {application} {}", text("/user/username").unwrap_or_default()))?;
    Ok(host.alarm(commands::ALARM, 100, None)?)
}

/// The connection is gone. After some of the codes it makes no sense to come again until a person has done something.
pub fn closed(host: &dyn Host, closed: &Closed) -> Result<(), ChannelError> {
    let what = match closed.code {
        4_004 => {
            "the bot's token is refused: make a new one in the developer portal (Bot, Reset Token) and set the secret \
             bot-token"
        }
        4_010 | 4_011 => "the bot is in more servers than one connection may serve, and this channel has only one",
        4_012 => "the gateway's version 10 is no more: a newer channel-discord is needed",
        4_013 => "the gateway does not know an intent: a newer channel-discord is needed",
        4_014 => {
            "the bot may not read all messages: turn on the Message Content Intent in the developer portal (Bot, \
             Privileged Gateway Intents), or set groups = \"mention\"; then: openpista-host channel restart"
        }
        4_003 | 4_007 | 4_009 => return Ok(forget(host)?),
        _ => return Ok(()),
    };
    Err(ChannelError::AuthRequired(format!("{what} (close code {})", closed.code)))
}
