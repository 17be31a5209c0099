//! The commands about a channel that runs: `channel skip` and `channel restart`, with the executable and a Bot API server.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "clippy exempts only functions that are tests themselves, not what they share"
)]

#[allow(dead_code, reason = "the tests of the channel use the rest")]
#[path = "telegram/bot_api.rs"]
mod bot_api;
mod daemon;
mod messenger;
#[allow(dead_code, reason = "`messenger` looks for files with it")]
#[path = "staged/skip.rs"]
mod skip;

use bot_api::{BotApi, TOKEN};
use daemon::{Home, until};
use messenger::home::{home, said, status};
use messenger::model::{Model, echo};
use serde_json::{Value, json};

const ANN: i64 = 7;
const BEN: i64 = 8;
const HOUR: u64 = 3_600;

/// A home with the channel, which writes whole replies only.
fn telegram(model: &Model, bot: &BotApi) -> Home {
    let channel = format!(
        "[channels.telegram]\ncontacts = \"allow\"\nallow = [\"{ANN}\", \"{BEN}\"]\n\
         secrets = {{ bot-token = \"{TOKEN}\" }}\nsettings = {{ api = \"{}\", stream = false }}",
        bot.address()
    );
    home(model, "channel-telegram", &channel, "")
}

/// Gives up what is tried again and again, as soon as so many deliveries are.
async fn skips(home: &Home, wanted: u64) {
    until("a delivery that is tried again", async || {
        let rows = home.json(&["channel", "skip", "telegram"]).await;
        let skipped = rows[0]["skipped"].as_u64().unwrap();
        assert!(skipped <= wanted, "{skipped}");
        (skipped == wanted).then_some(())
    })
    .await;
}

#[tokio::test]
async fn skip_gives_up_what_is_stuck_and_the_next_ones_are_shown() {
    let (model, bot) = (Model::start(echo).await, BotApi::start().await);
    let home = telegram(&model, &bot);
    let _daemon = home.start().await;
    bot.says(BEN, BEN, "hello", Value::Null);
    bot.shows(BEN, "answer to hello").await;
    let (code, out, err) = home.said(&["channel", "skip", "telegram"]).await;
    assert_eq!(code, Some(0), "{out}{err}");
    assert_eq!(out, "nothing is tried again and again: there is nothing to give up\n");

    bot.fails("sendMessage", 429, "Too Many Requests", json!({"retry_after": HOUR}));
    bot.says(ANN, ANN, "one", Value::Null);
    until("the attempt", async || (bot.called("sendMessage").len() == 2).then_some(())).await;
    bot.says(ANN, ANN, "two", Value::Null);
    bot.says(ANN, ANN, "three", Value::Null);
    until("all answers of the model", async || (model.asked().len() == 4).then_some(())).await;
    // Others are not held up by it.
    bot.says(BEN, BEN, "four", Value::Null);
    bot.shows(BEN, "answer to four").await;
    assert_eq!(bot.texts(ANN), Vec::<String>::new());

    skips(&home, 1).await;
    bot.shows(ANN, "answer to three").await;
    assert_eq!(bot.texts(ANN), ["answer to two", "answer to three"]);
}

#[tokio::test]
async fn restart_opens_the_transports_again_and_loses_nothing() {
    let (model, bot) = (Model::start(echo).await, BotApi::start().await);
    let home = telegram(&model, &bot);
    let _daemon = home.start().await;
    bot.says(ANN, ANN, "before", Value::Null);
    bot.shows(ANN, "answer to before").await;
    status(&home, "telegram", |row| row.contains("live")).await;

    // One waits for its time, one comes just before, one just after.
    bot.fails("sendMessage", 429, "Too Many Requests", json!({"retry_after": HOUR}));
    bot.says(BEN, BEN, "waits", Value::Null);
    until("the attempt", async || (bot.called("sendMessage").len() == 2).then_some(())).await;
    bot.says(ANN, ANN, "during", Value::Null);
    let (code, out, err) = home.said(&["channel", "restart", "telegram"]).await;
    assert_eq!(code, Some(0), "{out}{err}");
    bot.says(ANN, ANN, "after", Value::Null);
    bot.shows(ANN, "answer to after").await;
    status(&home, "telegram", |row| row.contains("live") && !row.contains("down")).await;
    assert_eq!(bot.texts(ANN), ["answer to before", "answer to during", "answer to after"]);
    assert_eq!(said(&home, &format!("telegram:{ANN}")).await, ["before", "during", "after"]);

    // The messenger's word counts after a restart, too, until the operator's.
    assert_eq!(bot.texts(BEN), Vec::<String>::new());
    bot.says(BEN, BEN, "goes on", Value::Null);
    skips(&home, 1).await;
    bot.shows(BEN, "answer to goes on").await;

    // A channel that waits for a credential tries again at once.
    bot.refuses(true);
    status(&home, "telegram", |row| !row.contains("\"live\"")).await;
    bot.refuses(false);
    let (code, out, err) = home.said(&["channel", "restart", "telegram"]).await;
    assert_eq!(code, Some(0), "{out}{err}");
    bot.says(ANN, ANN, "again", Value::Null);
    bot.shows(ANN, "answer to again").await;
    status(&home, "telegram", |row| row.contains("\"live\"")).await;
}

#[tokio::test]
async fn a_channel_that_is_not_there_is_named_with_those_that_are() {
    let (model, bot) = (Model::start(echo).await, BotApi::start().await);
    let home = telegram(&model, &bot);
    for command in ["skip", "restart"] {
        let (code, out, err) = home.said(&["channel", command, "telegram"]).await;
        assert_eq!(code, Some(6), "without a daemon: {out}{err}");
    }
    let _daemon = home.start().await;
    for command in ["skip", "restart"] {
        let (code, out, err) = home.said(&["channel", command, "telegrm"]).await;
        assert_eq!(code, Some(4), "{out}{err}");
        assert!(err.contains("there is no channel telegrm") && err.contains("telegram"), "{err}");
    }
}
