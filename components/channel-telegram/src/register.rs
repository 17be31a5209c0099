//! What the API is told once after each start: how the bot wants its updates, and its commands.

use openpista_plugin::messenger::COMMANDS;
use serde_json::{Value, json};

use crate::api::Api;
use crate::contract::exports::openpista::plugin::channel::{ChannelError, Preference, Setup, Transport, TransportKind};
use crate::contract::openpista::gateway::gateway::Notice;
use crate::contract::openpista::http::exchange::Request;
use crate::contract::openpista::types::types::Error;
use crate::host::{Fault, Host, words};
use crate::settings::Settings;

/// The transport of the long poll.
pub const UPDATES: &str = "updates";
/// The transport of the webhook.
pub const HOOK: &str = "hook";
/// The alarm that tells the API of the webhook.
pub const REGISTER: &str = "register";

/// Key of the bot's id and name; it is there once all was told.
const ME: &str = "me";
/// Key of what the API knows as commands, and of which bot.
const KNOWN: &str = "commands";
/// Key that is there when the last poll went well.
pub const WELL: &str = "well";
/// Seconds that a poll may wait for a message.
const POLL: u64 = 50;
/// Kinds of updates that are used.
const KINDS: [&str; 2] = ["message", "callback_query"];
/// Milliseconds until the webhook is told again when it failed.
const AGAIN: u64 = 30_000;

/// The bot.
#[derive(Clone, Debug, PartialEq)]
pub struct Me {
    /// Its user id.
    pub id: i64,
    /// Its user name, without `@`.
    pub name: String,
}

/// `channel.open`. After a start or a change the API is told anew.
pub fn open(host: &dyn Host, settings: &Settings) -> Result<Setup, ChannelError> {
    host.remove(ME)?;
    host.remove(WELL)?;
    let transport = if settings.webhook {
        host.stand_in("webhook-secret").map_err(|_| {
            ChannelError::AuthRequired("the webhook needs the secret webhook-secret: any long random text".into())
        })?;
        host.alarm(REGISTER, 100, None)?;
        Transport { id: HOOK.into(), kind: TransportKind::Http("/".into()) }
    } else {
        Transport { id: UPDATES.into(), kind: TransportKind::Poll(0) }
    };
    let mut preferences = vec![Preference::Working(4_500)];
    if settings.stream {
        preferences.push(Preference::Drafts(1_000));
    }
    Ok(Setup { transports: vec![transport], preferences })
}

/// `outgoing.next`
pub fn next(api: Api<'_>) -> Result<Request, ChannelError> {
    me(api)?;
    // Only behind a good answer it waits: else the person who repairs something would see it late.
    let wait = if api.host.get(WELL)?.is_some() { POLL } else { 0 };
    api.host.remove(WELL)?;
    let mut body = json!({"timeout": wait, "allowed_updates": KINDS});
    if let Some(offset) = offset(api.host)? {
        body["offset"] = offset.into();
    }
    Ok(api.request("getUpdates", &body)?)
}

/// The first update that was not taken yet; none: whatever there is.
pub fn offset(host: &dyn Host) -> Result<Option<i64>, Error> {
    Ok(host.get("offset")?.and_then(|text| text.parse().ok()))
}

/// The bot. If it is not known the API is told all that it has to know, too.
pub fn me(api: Api<'_>) -> Result<Me, ChannelError> {
    if let Some((id, name)) = api.host.get(ME)?.as_deref().and_then(|known| known.split_once(' '))
        && let Ok(id) = id.parse()
    {
        return Ok(Me { id, name: name.to_string() });
    }
    let me = tell(api)?;
    api.host.set(ME, &format!("{} {}", me.id, me.name))?;
    Ok(me)
}

fn tell(api: Api<'_>) -> Result<Me, Fault> {
    let bot = api.call("getMe", &json!({}))?;
    let me = Me {
        id: bot.get("id").and_then(Value::as_i64).unwrap_or_default(),
        name: bot.get("username").and_then(Value::as_str).unwrap_or_default().to_string(),
    };
    let list = COMMANDS.map(|(command, description)| json!({"command": command, "description": description}));
    let commands = json!({"commands": list});
    let known = format!("{} {commands}", me.id);
    if api.host.get(KNOWN)?.as_ref() != Some(&known) {
        api.call("setMyCommands", &commands)?;
        api.host.set(KNOWN, &known)?;
    }
    if !api.settings.webhook {
        // A webhook that is left from before would take all updates.
        api.call("deleteWebhook", &json!({}))?;
        return Ok(me);
    }
    let Some(url) = api.host.public_url(HOOK) else {
        return Err(Fault::Refused("it has no address: set public_url in [server]".into()));
    };
    let secret = api.host.stand_in("webhook-secret")?;
    api.call("setWebhook", &json!({"url": url, "secret_token": secret, "allowed_updates": KINDS}))?;
    Ok(me)
}

/// The alarm: nobody polls, so this is what tells the API of the webhook, again and again until it knows.
pub fn alarm(api: Api<'_>) -> Result<(), ChannelError> {
    match me(api) {
        Ok(_) => Ok(api.host.tell(&Notice::Clear)?),
        Err(why) => {
            api.host.tell(&Notice::Text(format!("the webhook is not set: {}", words(&why))))?;
            Ok(api.host.alarm(REGISTER, AGAIN, None)?)
        }
    }
}
