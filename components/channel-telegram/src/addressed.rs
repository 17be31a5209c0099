//! Which messages of a group are for the bot, and what is left of them without its name.

use openpista_plugin::messenger::{COMMANDS, Groups};
use serde_json::Value;

use crate::register::Me;

/// The text of a message: of a picture, its caption.
pub fn text(message: &Value) -> &str {
    let of = |key| message.get(key).and_then(Value::as_str);
    of("text").or_else(|| of("caption")).unwrap_or_default()
}

/// Whether a message of a group is for the bot. A command of another bot never is.
pub fn is_addressed(message: &Value, me: &Me, groups: Groups) -> bool {
    let command = entities(message).find(|entity| entity.kind == "bot_command" && entity.offset == 0);
    let own_command = command.map(|entity| {
        let name = entity.text.trim_start_matches('/');
        match name.split_once('@') {
            Some((_, bot)) => bot.eq_ignore_ascii_case(&me.name),
            None => COMMANDS.iter().any(|(own, _)| name.eq_ignore_ascii_case(own)),
        }
    });
    match groups {
        Groups::Off => false,
        Groups::All => own_command != Some(false),
        Groups::Mention => own_command.unwrap_or_else(|| is_named(message, me) || is_answer(message, me)),
    }
}

/// The text without the bot's name in front.
pub fn said(message: &Value, me: &Me) -> String {
    let whole = text(message);
    let name = entities(message).find(|entity| entity.offset == 0 && entity.names(me));
    let rest = name.and_then(|entity| whole.strip_prefix(entity.text.as_str()));
    rest.unwrap_or(whole).trim_start_matches([',', ':']).trim().to_string()
}

fn is_named(message: &Value, me: &Me) -> bool {
    entities(message).any(|entity| entity.names(me))
}

/// Within a topic that the bot opened, every message answers the service message that opened it: that counts for none.
fn is_answer(message: &Value, me: &Me) -> bool {
    message.get("reply_to_message").is_some_and(|answered| {
        answered.get("forum_topic_created").is_none()
            && answered.get("from").and_then(|from| from.get("id")).and_then(Value::as_i64) == Some(me.id)
    })
}

struct Entity {
    kind: String,
    offset: usize,
    text: String,
    user: Option<i64>,
}

impl Entity {
    fn names(&self, me: &Me) -> bool {
        match self.kind.as_str() {
            "mention" => self.text.trim_start_matches('@').eq_ignore_ascii_case(&me.name),
            "text_mention" => self.user == Some(me.id),
            _ => false,
        }
    }
}

/// Offsets and lengths are in UTF-16 units.
fn entities(message: &Value) -> impl Iterator<Item = Entity> {
    let units: Vec<u16> = text(message).encode_utf16().collect();
    let list = message.get("entities").or_else(|| message.get("caption_entities")).and_then(Value::as_array);
    list.into_iter().flatten().filter_map(move |entity| {
        let size = |key| entity.get(key).and_then(Value::as_u64).and_then(|size| usize::try_from(size).ok());
        let (offset, length) = (size("offset")?, size("length")?);
        let text = String::from_utf16_lossy(units.get(offset..offset.checked_add(length)?)?);
        let user = entity.get("user").and_then(|user| user.get("id")).and_then(Value::as_i64);
        Some(Entity { kind: entity.get("type")?.as_str()?.to_string(), offset, text, user })
    })
}
