//! A home with one channel and the model's service, and what can be asked about it.

use serde_json::Value;

use super::model::Model;
use crate::daemon::{Home, until};
use crate::skip::found;

/// A home with the shell, a model that is this one, and a channel. `channel` is its table, from `[channels.NAME]` on;
/// `agent` are further lines of `[agent]`.
pub fn home(model: &Model, plugin: &str, channel: &str, agent: &str) -> Home {
    let home = Home::with(&[plugin, "provider-openai-chat", "tool-shell"]);
    let service = model.address();
    home.configure(&format!(
        "[agent]\nmodel = \"fake/gpt-4o-mini\"\n{agent}\n\
         [policy.tools]\n\"picture.draw\" = \"allow\"\n\
         [providers.fake]\nplugin = \"provider-openai-chat\"\n\
         settings = {{ base-url = \"{service}/v1\", models = [\"gpt-4o-mini\"] }}\nsecrets = {{ api-key = \"sk-messenger-test\" }}\n\
         {channel}\n"
    ));
    home
}

/// Writes the configuration anew with other words in a place.
pub fn reconfigure(home: &Home, words: &str, others: &str) {
    let text = std::fs::read_to_string(home.path().join("config.toml")).unwrap();
    assert!(text.contains(words), "{words:?} is not in {text}");
    home.configure(&text.replace(words, others));
}

/// The tool that draws, if it is built. It asks for nothing, so it works as soon as it is there.
pub fn with_pictures(home: &Home) -> bool {
    let Some(guests) = found("OPENPISTA_TEST_GUESTS", "target/test-guests") else { return false };
    let _ = std::fs::create_dir_all(home.plugins());
    std::fs::copy(guests.join("guest-picture.wasm"), home.plugins().join("tool-picture.wasm")).is_ok()
}

/// What a channel says of itself in `channel status`, once it is as wanted.
pub async fn status(home: &Home, channel: &str, wanted: impl Fn(&str) -> bool) -> String {
    let named = format!("\"{channel}\"");
    until("the channel's status", async || {
        let rows = home.json(&["channel", "status"]).await;
        let shown = rows.iter().map(Value::to_string).find(|row| row.contains(&named))?;
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
