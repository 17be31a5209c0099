//! A home with the channel, and crabline's people.

use std::path::Path;

use serde_json::{Value, json};

use super::daemon::{Home, until};
use super::messenger::{self, crabline, model::Model};
use super::slack_api::{APP_TOKEN, BOT_TOKEN, SIGNING_SECRET, Slack};

/// The person who may write; another one who may; one who may not. Each has a direct message.
pub const ANN: &str = "U07";
pub const BEN: &str = "U08";
pub const STRANGER: &str = "U09";
pub const WITH_ANN: &str = "D07";
/// A channel.
pub const TEAM: &str = "C07";

/// A home of which the model and Slack are these. `agent` and `settings` are further lines.
pub fn home(model: &Model, slack: &Slack, agent: &str, settings: &str) -> Home {
    home_at(model, &format!("{}/api", slack.address()), &slack.sockets, agent, settings)
}

/// The same by addresses.
pub fn home_at(model: &Model, api: &str, hosts: &str, agent: &str, settings: &str) -> Home {
    let channel = format!(
        "[channels.slack]\ncontacts = \"allow\"\nallow = [\"{ANN}\", \"{BEN}\"]\n\
         settings = {{ api = \"{api}\", hosts = \"{hosts}\"{settings} }}\n\
         secrets = {{ bot-token = \"{BOT_TOKEN}\", app-token = \"{APP_TOKEN}\", signing-secret = \"{SIGNING_SECRET}\" }}"
    );
    messenger::home::home(model, "channel-slack", &channel, agent)
}

/// What the channel says of itself in `channel status`, once it is as wanted.
pub async fn status(home: &Home, wanted: impl Fn(&str) -> bool) -> String {
    messenger::home::status(home, "slack", wanted).await
}

/// Slack as crabline has it: it sends signed requests to an address.
pub struct Crabline(crabline::Crabline);

impl Crabline {
    pub async fn start(folder: &Path, events: &str) -> Result<Self, String> {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/slack/crabline.mjs");
        let environment = [("BOT_TOKEN", BOT_TOKEN), ("SIGNING_SECRET", SIGNING_SECRET), ("EVENTS", events)];
        Ok(Self(crabline::Crabline::start_by(&script, folder, &environment).await?))
    }

    pub fn address(&self) -> String {
        self.0.endpoint("apiRoot")
    }

    /// A message of a person.
    pub async fn says(&self, person: &str, channel: &str, text: &str, more: Value) {
        let mut body = json!({"channel": channel, "user": person, "text": text});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let address = self.address();
        self.0.inbound(address.trim_end_matches("/api/"), "/crabline/slack/inbound", &body).await;
    }

    /// The bodies of all messages, and whether each was accepted.
    pub fn posted(&self) -> Vec<(Value, bool)> {
        self.0.called("/chat.postMessage")
    }

    /// What a channel was shown, with the thread that it was shown in.
    pub fn shown(&self, channel: &str) -> Vec<(String, Option<String>)> {
        let here = self.posted().into_iter().filter(|(body, _)| body["channel"] == json!(channel));
        let text = |value: &Value| value.as_str().map(str::to_string);
        here.filter_map(|(body, _)| Some((text(&body["text"])?, text(&body["thread_ts"])))).collect()
    }

    /// Waits until a channel is shown this; the thread.
    pub async fn shows(&self, channel: &str, text: &str) -> Option<String> {
        until(&format!("{text:?} in {channel}"), async || {
            self.shown(channel).into_iter().find(|(shown, _)| shown.contains(text)).map(|(_, thread)| thread)
        })
        .await
    }
}
