//! A home with the channel, and crabline's people.

use std::path::Path;

use serde_json::{Value, json};

use super::daemon::{Home, until};
use super::messenger::{self, crabline, model::Model};

/// The person who may write; another one who may; one who may not.
pub const ANN: &str = "135000000000000007";
pub const BEN: &str = "135000000000000008";
pub const STRANGER: &str = "135000000000000009";
/// A channel in which Ann is alone with the bot, one of a server, and a thread in it.
pub const ALONE: &str = "135000000000000107";
pub const TOWN: &str = "135000000000000010";
pub const THREAD: &str = "135000000000000110";
/// The server.
pub const SERVER: &str = "135000000000000011";

/// The table of an instance of the channel.
pub fn channel(name: &str, token: &str, settings: &str) -> String {
    format!(
        "[channels.{name}]\nplugin = \"channel-discord\"\ncontacts = \"allow\"\nallow = [\"{ANN}\", \"{BEN}\"]\n\
         secrets = {{ bot-token = \"{token}\" }}\nsettings = {{ {settings} }}\n"
    )
}

/// A home of which the model and the server are these. `agent` are further lines.
pub fn home(model: &Model, token: &str, settings: &str, agent: &str) -> Home {
    messenger::home::home(model, "channel-discord", &channel("discord", token, settings), agent)
}

/// What the channel says of itself in `channel status`, once it is as wanted.
pub async fn status(home: &Home, wanted: impl Fn(&str) -> bool) -> String {
    messenger::home::status(home, "discord", wanted).await
}

/// Crabline's server.
pub struct Crabline(crabline::Crabline);

impl Crabline {
    pub async fn start(folder: &Path) -> Result<Self, String> {
        Ok(Self(crabline::Crabline::start(folder, "discord", &[], &[]).await?))
    }

    /// The settings that lead there.
    pub fn settings(&self) -> String {
        let (api, gateway) = (self.0.endpoint("apiRoot"), self.0.endpoint("gatewayUrl"));
        format!("api = \"{api}/v10\", gateway = \"{gateway}\"")
    }

    /// Of the bot.
    pub fn named(&self, name: &str) -> String {
        self.0.manifest[name].as_str().unwrap_or_else(|| panic!("no {name} in {}", self.0.manifest)).to_string()
    }

    /// A message of a person.
    pub async fn says(&self, person: &str, channel: &str, text: &str, more: Value) {
        let mut body = json!({"channelId": channel, "senderId": person, "senderName": "Somebody", "content": text});
        if let (Some(all), Value::Object(more)) = (body.as_object_mut(), more) {
            all.extend(more);
        }
        let address = self.0.endpoint("apiRoot");
        let address = address.strip_suffix("/api").unwrap_or(&address);
        self.0.inbound(address, "/crabline/discord/inbound", &body).await;
    }

    /// All that was asked of the API, and whether it was accepted.
    pub fn asked(&self) -> Vec<Value> {
        let of_api = |line: &Value| line["type"] == json!("api") && line["method"] != json!("WS");
        self.0.recorded().into_iter().filter(of_api).collect()
    }

    /// What was written into a channel by this method, in order.
    pub fn wrote(&self, method: &str, channel: &str) -> Vec<Value> {
        let path = format!("/channels/{channel}/messages");
        let here =
            |line: &Value| line["path"].as_str().is_some_and(|of| of.contains(&path)) && line["method"] == method;
        self.asked().into_iter().filter(here).map(|line| line["body"].clone()).collect()
    }

    /// Waits until a channel is shown this.
    pub async fn shows(&self, channel: &str, text: &str) {
        until(&format!("{text:?} in channel {channel}"), async || {
            let wrote = [self.wrote("POST", channel), self.wrote("PATCH", channel)].concat();
            wrote.iter().any(|body| body["content"].as_str().is_some_and(|said| said.contains(text))).then_some(())
        })
        .await;
    }
}
