//! A channel that does not work is told to the person who runs the host, by another one.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "clippy exempts only functions that are tests themselves, not what they share"
)]

#[allow(dead_code, reason = "the tests of the channel use all of it")]
#[path = "telegram/bot_api.rs"]
mod bot_api;
mod daemon;
mod messenger;
#[allow(dead_code, reason = "nothing here is skipped")]
#[path = "staged/skip.rs"]
mod skip;
#[allow(dead_code, reason = "the tests of the channel use all of it")]
#[path = "whatsapp/stand_in.rs"]
mod stand_in;

use bot_api::{BotApi, TOKEN};
use daemon::{Home, until};
use messenger::model::{Model, echo};
use serde_json::{Value, json};
use stand_in::StandIn;
use tokio::io::AsyncReadExt as _;

/// Whom the bot knows.
const ANN: i64 = 7;

fn home(model: &Model, channels: &str, operator: &str) -> Home {
    let home = Home::with(&["channel-telegram", "channel-web", "provider-openai-chat"]);
    let service = model.address();
    home.configure(&format!(
        "[agent]\nmodel = \"fake/gpt-4o-mini\"\n{operator}\n[providers.fake]\nplugin = \"provider-openai-chat\"\n\
         settings = {{ base-url = \"{service}/v1\", models = [\"gpt-4o-mini\"] }}\nsecrets = {{ api-key = \"sk-operator-test\" }}\n\
         {channels}\n"
    ));
    home
}

fn bot(name: &str, api: &str) -> String {
    format!(
        "[channels.{name}]\nplugin = \"channel-telegram\"\ncontacts = \"allow\"\nallow = [\"{ANN}\"]\n\
         secrets = {{ bot-token = \"{TOKEN}\" }}\nsettings = {{ api = \"{api}\" }}\n"
    )
}

fn notice(seen: &[Value], part: &str) -> Option<()> {
    let here =
        |frame: &Value| frame["type"] == "notice" && frame["text"].as_str().is_some_and(|text| text.contains(part));
    seen.iter().any(here).then_some(())
}

#[tokio::test]
async fn who_sits_at_the_page_hears_that_a_token_is_refused_and_that_it_works_again() {
    let api = BotApi::start().await;
    let model = Model::start(echo).await;
    let home = home(&model, &bot("telegram", api.address()), "");
    let daemon = home.start().await;
    let mut page = daemon.client(&home, "s0").await;
    page.say("m0", "hello").await;
    page.expect("reply").await;

    api.refuses(true);
    let told = page.expect("notice").await;
    let words = told["text"].as_str().unwrap();
    assert!(words.starts_with("⚠️ The channel telegram does not work: the bot's token is refused"), "{words}");
    assert!(!words.contains(TOKEN), "{words}");

    api.refuses(false);
    let (exit, _, error) = home.said(&["channel", "restart", "telegram"]).await;
    assert_eq!(exit, Some(0), "{error}");
    let told = page.expect("notice").await;
    assert_eq!(told["text"], "✅ The channel telegram works again.");
    api.says(ANN, ANN, "there?", json!({}));
    api.shows(ANN, "answer to there?").await;
}

#[tokio::test]
async fn who_sits_at_the_terminal_sees_the_code_that_is_to_be_scanned() {
    let bridge = StandIn::start().await;
    let home = Home::with(&["channel-whatsapp", "channel-console", "provider-demo"]);
    home.configure(&format!("[channels.whatsapp]\nsettings = {{ bridge = {} }}\n", bridge.command()));
    let mut command = home.command(&["run", "--console", "--listen", "127.0.0.1:0"]);
    let mut daemon = command.stdin(std::process::Stdio::piped()).spawn().unwrap();
    until("the bridge", async || (bridge.starts() > 0).then_some(())).await;
    let (mut output, mut seen) = (daemon.stdout.take().unwrap(), String::new());
    let mut reads = async |wanted: &str| {
        while !seen.contains(wanted) {
            let mut bytes = [0; 8 << 10];
            let read = tokio::time::timeout(daemon::PATIENCE, output.read(&mut bytes)).await.expect("more in time");
            let read = read.unwrap();
            assert!(read > 0, "{wanted} is not in {seen}");
            seen.push_str(&String::from_utf8_lossy(&bytes[..read]));
        }
    };
    // The terminal is there when it asks.
    reads("> ").await;
    for code in ["2@one", "2@two", "2@three", "2@four"] {
        bridge.writes(json!({"type": "qr", "qr": code}).to_string());
    }
    reads("Newer ones: openpista-host channel status").await;
    reads("The channel whatsapp does not work: a QR code waits to be scanned").await;
    assert_eq!((seen.matches("To be scanned for whatsapp:").count(), seen.contains("██")), (3, true), "{seen}");
    drop(daemon);
}

#[tokio::test]
async fn a_conversation_that_is_named_hears_of_a_server_that_is_not_there_and_its_own_channel_goes_on() {
    let api = BotApi::start().await;
    let model = Model::start(echo).await;
    // Nobody listens at port 1.
    let channels = format!("{}{}", bot("telegram", api.address()), bot("other", "http://127.0.0.1:1"));
    let operator = format!("[operator]\nnotify = [\"telegram:{ANN}\"]\nafter = \"1s\"\n");
    let home = home(&model, &channels, &operator);
    let daemon = home.start().await;
    api.says(ANN, ANN, "hello", json!({}));
    api.shows(ANN, "answer to hello").await;
    api.shows(ANN, "The channel other does not work").await;
    // It is told once, however often it is tried.
    let mut page = daemon.client(&home, "s0").await;
    page.say("m0", "hello").await;
    page.expect("reply").await;
    until("another attempt", async || {
        let rows = home.json(&["channel", "status", "other"]).await;
        rows.iter().any(|row| row.to_string().contains("tried again soon")).then_some(())
    })
    .await;
    let told = api.texts(ANN).iter().filter(|text| text.contains("does not work")).count();
    assert_eq!((told, notice(&page.seen, "does not work")), (1, None));
}
