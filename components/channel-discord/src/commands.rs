//! The slash commands, which the API is told once, and again only when they or the bot change.

use openpista_plugin::messenger::COMMANDS;
use serde_json::{Value, json};

use crate::api::Api;
use crate::contract::exports::openpista::plugin::channel::ChannelError;
use crate::session::me;

/// The alarm at which the API is told.
pub const ALARM: &str = "commands";
/// What the API knows, and of which bot.
const KNOWN: &str = "commands";
/// Ms until it is told again when it failed.
const AGAIN: u64 = 60_000;

fn list() -> Value {
    let command = |(name, description): (&str, &str)| {
        let mut command = json!({"type": 1, "name": name, "description": description});
        if name == "model" {
            command["options"] = json!([{"type": 3, "name": "name", "description": "Its name", "required": false}]);
        }
        command
    };
    Value::Array(COMMANDS.map(command).into())
}

/// Tells the API unless it knows. Nothing else waits for it.
pub fn tell(api: Api<'_>) -> Result<(), ChannelError> {
    let Some(me) = me(api.host)? else { return Ok(()) };
    let list = list();
    let known = format!("{} {list}", me.application);
    if api.host.get(KNOWN)?.as_ref() == Some(&known) {
        return Ok(());
    }
    match api.call("PUT", &format!("/applications/{}/commands", me.application), &list) {
        Ok(_) => Ok(api.host.set(KNOWN, &known)?),
        Err(fault) => {
            api.host.warn(&format!("the slash commands are not registered yet: {fault:?}"));
            Ok(api.host.alarm(ALARM, AGAIN, None)?)
        }
    }
}
