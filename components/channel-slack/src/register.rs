//! How messages come, who the bot is, and whether its token is good.

use serde_json::{Value, json};

use crate::api::Api;
use crate::contract::exports::openpista::plugin::channel::{ChannelError, Preference, Setup, Transport, TransportKind};
use crate::contract::openpista::gateway::gateway::Notice;
use crate::contract::openpista::http::exchange::Request;
use crate::host::{Fault, Host};
use crate::settings::Settings;

/// The transport of Socket Mode.
pub const SOCKET: &str = "socket";
/// The transport of the Events API.
pub const EVENTS: &str = "events";
/// The alarm that looks whether the token is good.
pub const CHECK: &str = "check";

/// Commands that the host knows in every channel.
pub const COMMANDS: [&str; 5] = ["new", "model", "stop", "status", "help"];

/// Key of the bot's user id.
const ME: &str = "me";
/// Edits of messages are counted for the whole workspace: about fifty a minute.
const PACE: u32 = 1_200;
/// Milliseconds between two looks at a good token. A socket stays open when the bot's token is revoked, and requests
/// only end, so nothing else would tell.
const CHECK_EVERY: u64 = 60_000;
/// The same, of one that is not.
const CHECK_AGAIN: u64 = 15_000;
/// Until the first look, or when Slack says that a token is revoked.
pub const CHECK_SOON: u64 = 100;

/// `channel.open`. After a start or a change the bot is asked for anew.
pub fn open(host: &dyn Host, settings: &Settings) -> Result<Setup, ChannelError> {
    host.remove(ME)?;
    let (secret, transport) = if settings.events {
        ("signing-secret", Transport { id: EVENTS.into(), kind: TransportKind::Http("/".into()) })
    } else {
        ("app-token", Transport { id: SOCKET.into(), kind: TransportKind::Dial })
    };
    host.stand_in(secret).map_err(|_| {
        let mode = &transport.id;
        ChannelError::AuthRequired(format!("mode = \"{mode}\" needs the secret {secret}, from the app's settings"))
    })?;
    // The socket's first connection asks for the bot anyway.
    host.alarm(CHECK, if settings.events { CHECK_SOON } else { CHECK_EVERY }, None)?;
    let preferences = if settings.stream { vec![Preference::Drafts(PACE)] } else { Vec::new() };
    Ok(Setup { transports: vec![transport], preferences })
}

/// `outgoing.next`: each address is good for one connection.
pub fn next(api: Api<'_>) -> Result<Request, ChannelError> {
    me(api)?;
    let opened = api.as_app("apps.connections.open")?;
    let url = opened.get("url").and_then(Value::as_str);
    let url = url.ok_or_else(|| ChannelError::Unavailable("Slack gave no address for the socket".into()))?;
    Ok(Request { method: "GET".into(), url: url.into(), headers: Vec::new(), body: Vec::new() })
}

/// The bot's user id.
pub fn me(api: Api<'_>) -> Result<String, ChannelError> {
    match api.host.get(ME)? {
        Some(me) => Ok(me),
        None => Ok(ask(api)?),
    }
}

fn ask(api: Api<'_>) -> Result<String, Fault> {
    let bot = api.quickly("auth.test", &json!({}))?;
    let me = bot.get("user_id").and_then(Value::as_str).unwrap_or_default();
    if api.host.get(ME)?.as_deref() != Some(me) {
        api.host.set(ME, me)?;
    }
    Ok(me.to_string())
}

/// The alarm.
pub fn check(api: Api<'_>) -> Result<(), ChannelError> {
    let again = match ask(api) {
        Ok(_) => {
            api.host.tell(&Notice::Clear)?;
            CHECK_EVERY
        }
        Err(Fault::Token(words)) => {
            api.host.tell(&Notice::Text(words))?;
            CHECK_AGAIN
        }
        // It shows where it is in the way.
        Err(_) => CHECK_AGAIN,
    };
    Ok(api.host.alarm(CHECK, again, None)?)
}
