//! What a person wrote, out of Slack's markup: references in angle brackets, and three escapes.
//! See <https://docs.slack.dev/messaging/formatting-message-text>.

use serde_json::{Value, json};

use crate::api::Api;
use crate::host::in_words;
use crate::register::COMMANDS;

/// A name is asked for again after a day.
const NAME_GOOD: u64 = 24 * 3_600 * 1_000;

/// The text without the bot's name. `name` tells those of other users.
pub fn read(text: &str, me: &str, name: &dyn Fn(&str) -> String) -> String {
    let mut plain = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('<') {
        plain.push_str(&unescaped(before));
        let Some((reference, behind)) = after.split_once('>') else {
            rest = after;
            continue;
        };
        plain.push_str(&shown(reference, me, name));
        rest = behind;
    }
    plain.push_str(&unescaped(rest));
    plain.trim().trim_start_matches([',', ':']).trim().to_string()
}

/// `!new` is `/new`: Slack keeps what begins with a slash to itself.
pub fn command(text: String) -> String {
    let first = |text: &str| text.split_whitespace().next().unwrap_or_default().to_string();
    match text.strip_prefix('!') {
        Some(rest) if COMMANDS.contains(&first(rest).as_str()) => format!("/{rest}"),
        _ => text,
    }
}

fn shown(reference: &str, me: &str, name: &dyn Fn(&str) -> String) -> String {
    let (what, label) = match reference.split_once('|') {
        Some((what, label)) => (what, Some(unescaped(label)).filter(|label| !label.is_empty())),
        None => (reference, None),
    };
    if let Some(user) = what.strip_prefix('@') {
        return if user == me { String::new() } else { format!("@{}", label.unwrap_or_else(|| name(user))) };
    }
    if let Some(channel) = what.strip_prefix('#') {
        return format!("#{}", label.unwrap_or_else(|| channel.to_string()));
    }
    if let Some(special) = what.strip_prefix('!') {
        return label.unwrap_or_else(|| format!("@{}", special.split('^').next().unwrap_or_default()));
    }
    let url = unescaped(what);
    match label {
        Some(label) if !url.ends_with(&label) => format!("{label} ({url})"),
        Some(label) if url.starts_with("mailto:") => label,
        _ => url,
    }
}

fn unescaped(text: &str) -> String {
    text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
}

/// What a user is called; the id, should Slack not say it soon. Nothing waits for a name.
pub fn name(api: Api<'_>, user: &str) -> String {
    let key = format!("name/{user}");
    let known = api.host.get(&key).ok().flatten();
    let known = known.as_deref().and_then(|known| known.split_once(' '));
    let now = api.host.now();
    if let Some((at, name)) = known
        && at.parse().is_ok_and(|at: u64| now.saturating_sub(at) < NAME_GOOD)
    {
        return name.to_string();
    }
    let asked = api.quickly("users.info", &json!({"user": user})).unwrap_or_default();
    let names = ["/user/profile/display_name", "/user/profile/real_name", "/user/real_name", "/user/name"];
    let found = names.iter().find_map(|at| asked.pointer(at).and_then(Value::as_str).filter(|name| !name.is_empty()));
    match (found, known) {
        (Some(name), _) => {
            if let Err(error) = api.host.set(&key, &format!("{now} {name}")) {
                api.host.warn(&format!("a name is not kept: {}", in_words(&error)));
            }
            name.to_string()
        }
        (None, Some((_, name))) => name.to_string(),
        (None, None) => user.to_string(),
    }
}
