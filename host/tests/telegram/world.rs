//! A home with the channel, and crabline's people.

use std::path::Path;

use serde_json::{Value, json};

use super::bot_api::TOKEN;
use super::daemon::{Home, until};
use super::messenger::{self, crabline, model::Model};

/// The person who may write; another one who may; one who may not.
pub const ANN: i64 = 7;
pub const BEN: i64 = 8;
pub const STRANGER: i64 = 9;
/// A group.
pub const GROUP: i64 = -100_700;

/// A home of which the model and the Bot API are these. `agent` and `settings` are further lines.
pub fn home(model: &Model, api: &str, agent: &str, settings: &str) -> Home {
    let channel = format!(
        "[channels.telegram]\ncontacts = \"allow\"\nallow = [\"{ANN}\", \"{BEN}\"]\n\
         secrets = {{ bot-token = \"{TOKEN}\", webhook-secret = \"hook-Secret_123456\" }}\n\
         settings = {{ api = \"{api}\"{settings} }}"
    );
    messenger::home::home(model, "channel-telegram", &channel, agent)
}

/// What the channel says of itself in `channel status`, once it is as wanted.
pub async fn status(home: &Home, wanted: impl Fn(&str) -> bool) -> String {
    messenger::home::status(home, "telegram", wanted).await
}

/// The Bot API of crabline.
pub struct Crabline(crabline::Crabline);

impl Crabline {
    pub async fn start(folder: &Path) -> Result<Self, String> {
        let arguments = ["--bot-username", "pista_bot"];
        let server = crabline::Crabline::start(folder, "telegram", &arguments, &[("CRABLINE_BOT_TOKEN", TOKEN)]);
        Ok(Self(server.await?))
    }

    pub fn address(&self) -> String {
        self.0.endpoint("apiRoot")
    }

    /// A message of a person.
    pub async fn says(&self, person: i64, chat: i64, text: &str, more: Value) {
        let mut body = json!({"chatId": chat, "fromId": person, "text": text});
        if let (Some(all), Value::Object(more)) = (body.as_object_mut(), more) {
            all.extend(more);
        }
        self.0.inbound(&self.address(), "/crabline/telegram/inbound", &body).await;
    }

    /// The bodies of all calls of a method, and whether each was accepted.
    pub fn called(&self, method: &str) -> Vec<(Value, bool)> {
        self.0.called(method)
    }

    /// Every call of a method that writes, in order.
    pub fn shown(&self, chat: i64) -> Vec<String> {
        let lines = self.0.recorded().into_iter().filter(|line| line["body"]["chat_id"] == json!(chat));
        lines.filter_map(|line| line["body"]["text"].as_str().map(str::to_string)).collect()
    }

    /// Waits until a chat is shown this.
    pub async fn shows(&self, chat: i64, text: &str) {
        until(&format!("{text:?} in chat {chat}"), async || {
            self.shown(chat).iter().any(|shown| shown.contains(text)).then_some(())
        })
        .await;
    }
}
