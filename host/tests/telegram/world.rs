//! A home with the channel, the model's service and a Bot API server, and what can be asked about them.

use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;

use serde_json::Value;

use super::bot_api::TOKEN;
use super::daemon::{Home, until};
use super::model::Model;
use super::skip::found;

/// The person who may write; another one who may; one who may not.
pub const ANN: i64 = 7;
pub const BEN: i64 = 8;
pub const STRANGER: i64 = 9;
/// A group.
pub const GROUP: i64 = -100_700;

/// A home of which the model and the Bot API are these. `agent` and `settings` are further lines.
pub fn home(model: &Model, api: &str, agent: &str, settings: &str) -> Home {
    let home = Home::new();
    let service = model.address();
    let text = format!(
        "[agent]\nmodel = \"fake/gpt-4o-mini\"\n{agent}\n\
         [policy.tools]\n\"picture.draw\" = \"allow\"\n\
         [providers.fake]\nplugin = \"provider-openai-chat\"\n\
         settings = {{ base-url = \"{service}/v1\", models = [\"gpt-4o-mini\"] }}\nsecrets = {{ api-key = \"sk-telegram-test\" }}\n\
         [channels.telegram]\ncontacts = \"allow\"\nallow = [\"{ANN}\", \"{BEN}\"]\n\
         secrets = {{ bot-token = \"{TOKEN}\", webhook-secret = \"hook-Secret_123456\" }}\n\
         settings = {{ api = \"{api}\"{settings} }}\n"
    );
    let config = home.path().join("config.toml");
    let file = std::fs::OpenOptions::new().create_new(true).write(true).mode(0o600).open(config);
    file.unwrap().write_all(text.as_bytes()).unwrap();
    home
}

/// The tool that draws, if it is built. It asks for nothing, so it works as soon as it is there.
pub fn with_pictures(home: &Home) -> bool {
    let Some(guests) = found("OPENPISTA_TEST_GUESTS", "target/test-guests") else { return false };
    let _ = std::fs::create_dir_all(home.plugins());
    std::fs::copy(guests.join("guest-picture.wasm"), home.plugins().join("tool-picture.wasm")).is_ok()
}

/// What a channel says of itself in `channel status`, once it is as wanted.
pub async fn status(home: &Home, wanted: impl Fn(&str) -> bool) -> String {
    until("the channel's status", async || {
        let rows = home.json(&["channel", "status"]).await;
        let shown = rows.iter().map(Value::to_string).find(|row| row.contains("\"telegram\""))?;
        wanted(&shown).then_some(shown)
    })
    .await
}

/// What persons said in a conversation, as the host keeps it.
pub async fn said(home: &Home, conversation: &str) -> Vec<String> {
    let sessions = home.json(&["session", "list"]).await;
    let Some(session) = sessions.iter().find(|session| session["conversation"] == conversation) else {
        return Vec::new();
    };
    let shown = home.json(&["session", "show", session["id"].as_str().unwrap()]).await;
    let messages = shown.iter().filter_map(|line| line.get("message")).map(|line| &line["message"]);
    messages
        .filter(|message| message["role"] == "user")
        .filter_map(|message| message["parts"][0]["body"]["text"].as_str().map(str::to_string))
        .collect()
}
