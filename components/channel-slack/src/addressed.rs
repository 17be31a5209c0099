//! Which messages of a channel are for the bot.
//!
//! One that mentions it is. In a thread, so are the later ones of who mentioned it there, and of everybody once it has
//! written there: a stranger's mention alone must not make it answer others.

use openpista_plugin::messenger::Groups;
use serde_json::Value;

use crate::api::Api;
use crate::contract::openpista::types::types::Error;
use crate::host::{Host, in_words};
use crate::place::Place;

/// Whether a message is for the bot.
pub fn is_addressed(api: Api<'_>, event: &Value, place: &Place, user: &str, me: &str) -> Result<bool, Error> {
    if place.is_direct() {
        return Ok(true);
    }
    let of = |key: &str| event.get(key).and_then(Value::as_str).unwrap_or_default();
    let named = |end: &str| of("text").contains(&format!("<@{me}{end}"));
    let by = format!("by/{}/{user}", place.name());
    match api.settings.groups {
        Groups::Off => Ok(false),
        Groups::All => Ok(true),
        Groups::Mention if of("type") == "app_mention" || named(">") || named("|") => {
            once(api.host, &by);
            Ok(true)
        }
        Groups::Mention => {
            let within = !of("thread_ts").is_empty();
            Ok(within && (api.host.get(&by)?.is_some() || api.host.get(&wrote(place))?.is_some()))
        }
    }
}

/// The bot writes in a thread.
pub fn takes_part(host: &dyn Host, place: &Place) {
    if !place.is_direct() {
        once(host, &wrote(place));
    }
}

fn wrote(place: &Place) -> String {
    format!("in/{}", place.name())
}

/// Should there be no room for it, the message counts all the same.
fn once(host: &dyn Host, key: &str) {
    let kept = host.get(key).and_then(|known| if known.is_some() { Ok(()) } else { host.set(key, "") });
    if let Err(error) = kept {
        host.warn(&format!("a thread is not remembered: {}", in_words(&error)));
    }
}
