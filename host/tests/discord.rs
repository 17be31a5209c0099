//! The Discord channel with the executable: whole conversations against two servers, and what goes wrong on the way. One
//! server is crabline, which is maintained elsewhere; the other one, `fake`, has what crabline lacks: interactions, sessions
//! that go on with what was missed, nonces, limits and errors.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "clippy exempts only functions that are tests themselves, not what they share"
)]

mod daemon;
#[path = "discord/fake.rs"]
mod fake;
mod messenger;
#[path = "staged/skip.rs"]
mod skip;
#[path = "discord/world.rs"]
mod world;

use std::sync::Arc;

use daemon::{Home, stock, until, version};
use fake::{Discord, ME, Order, TOKEN};
use messenger::home::{reconfigure, said, with_pictures};
use messenger::kills;
use messenger::model::{Model, echo, runs, several};
use serde_json::{Value, json};
use skip::skip;
use tokio::sync::Notify;
use tokio_tungstenite::tungstenite::Message;
use world::{ALONE, ANN, BEN, Crabline, SERVER, STRANGER, THREAD, TOWN, channel, home, status};

#[tokio::test]
async fn crabline_takes_a_whole_conversation() {
    const NAME: &str = "discord::crabline_takes_a_whole_conversation";
    let folder = tempfile::tempdir().unwrap();
    let crabline = match Crabline::start(folder.path()).await {
        Ok(crabline) => crabline,
        Err(why) => return skip(NAME, &why),
    };
    let gate = Arc::new(Notify::new());
    let model = Model::start(several(&gate)).await;
    let home = home(&model, &crabline.named("botToken"), &crabline.settings(), "");
    if !with_pictures(&home) {
        return skip(NAME, "the guests of the tests are not built");
    }
    let daemon = home.start().await;
    // Once it is told of the commands it is signed in.
    until("the commands", async || {
        crabline.asked().iter().any(|line| line["path"].as_str().unwrap().ends_with("/commands")).then_some(())
    })
    .await;

    crabline.says(ANN, ALONE, "slowly", json!({})).await;
    crabline.shows(ALONE, "The beg").await;
    assert!(crabline.wrote("PATCH", ALONE).is_empty());
    gate.notify_one();
    crabline.shows(ALONE, "The beginning of it, and the end.").await;
    assert_eq!(crabline.wrote("POST", ALONE).len(), 1, "a draft is edited");

    crabline.says(ANN, ALONE, "silently", json!({})).await;
    until("the typing sign", async || {
        crabline.asked().iter().any(|line| line["path"].as_str().unwrap().ends_with("/typing")).then_some(())
    })
    .await;
    gate.notify_one();
    crabline.shows(ALONE, "Now I know.").await;

    crabline.says(ANN, ALONE, "draw", json!({})).await;
    crabline.shows(ALONE, "It is **drawn**.").await;
    until("the picture", async || {
        let wrote = crabline.wrote("POST", ALONE);
        wrote.iter().any(|body| body["attachments"][0]["filename"] == json!("pixel.png")).then_some(())
    })
    .await;

    crabline.says(ANN, ALONE, "long", json!({})).await;
    crabline.shows(ALONE, "The **end**.").await;
    let wrote = [crabline.wrote("POST", ALONE), crabline.wrote("PATCH", ALONE)].concat();
    let whole = |body: &&Value| {
        let text = body["content"].as_str().unwrap_or_default();
        text.starts_with("```rust\nlet line_") && text.contains("\n```")
    };
    assert!(wrote.iter().any(|body| whole(&body)), "{wrote:#?}");

    // Nobody mentions the bot; a stranger does; somebody who may does; in a thread it is another conversation.
    let server = json!({"guildId": SERVER});
    let mention = format!("<@{}>", crabline.named("botUserId"));
    crabline.says(ANN, TOWN, "just talking", server.clone()).await;
    crabline.says(STRANGER, TOWN, &format!("{mention} let me in"), server.clone()).await;
    crabline.says(BEN, TOWN, &format!("{mention} hello there"), server).await;
    crabline.shows(TOWN, "answer to hello there").await;
    let thread = json!({"guildId": SERVER, "parentChannelId": TOWN});
    crabline.says(ANN, THREAD, &format!("{mention} and here"), thread).await;
    crabline.shows(THREAD, "answer to and here").await;
    assert_eq!(said(&home, &format!("discord:{TOWN}")).await, ["hello there"]);
    assert_eq!(said(&home, &format!("discord:{THREAD}")).await, ["and here"]);

    crabline.says(ANN, ALONE, "/status", json!({})).await;
    crabline.shows(ALONE, "Session ").await;
    let refused: Vec<Value> = crabline.asked().into_iter().filter(|line| line["accepted"] != json!(true)).collect();
    assert_eq!(refused, Vec::<Value>::new());
    drop(daemon);
}

/// What a message in a server has that mentions the bot.
fn mentioned() -> Value {
    json!({"guild_id": SERVER, "mentions": [{"id": ME, "username": "pista"}]})
}

#[tokio::test]
async fn a_question_is_answered_by_its_buttons_and_only_by_who_was_asked() {
    let discord = Discord::start().await;
    let model = Model::start(runs).await;
    let home = home(&model, TOKEN, &discord.settings(), "");
    let daemon = home.start().await;
    let asked = discord.says(ANN, TOWN, &format!("<@{ME}> run it"), mentioned());
    let question = discord.sees("POST", "/messages", |body| body["components"].is_array()).await;
    assert!(question.body["content"].as_str().unwrap().contains("touch made-by-the-tool"));
    assert_eq!(question.body["message_reference"]["message_id"], json!(asked));
    let button = question.body["components"][0]["components"][0]["custom_id"].clone();
    let made = home.workspace().join("made-by-the-tool");
    let presses = async |who: &str| {
        let id = discord.interacts(3, who, TOWN, json!({"custom_id": button, "component_type": 2}));
        discord.sees("POST", &format!("/interactions/{id}/"), |_| true).await.body
    };

    for other in [BEN, STRANGER] {
        let told = presses(other).await;
        assert_eq!(told["data"]["content"], json!("Only the person who was asked can answer this."));
        assert_eq!(told["data"]["flags"], json!(64), "nobody else sees it");
    }
    assert!(!made.exists());
    assert_eq!(presses(ANN).await, json!({"type": 6}));
    discord.shows(TOWN, "It ran.").await;
    assert!(made.exists());
    let id = question.answer["id"].as_str().unwrap();
    let over = discord.sees("PATCH", &format!("/messages/{id}"), |_| true).await;
    assert!(over.body["content"].as_str().unwrap().ends_with(&format!("✅ Allowed by Person {ANN}")), "{over:?}");
    assert_eq!(over.body["components"], json!([]));

    let late = presses(ANN).await;
    assert_eq!(late["data"]["content"], json!("This is answered already, or its time is over."));
    let ledger = home.json(&["ledger", "show"]).await;
    let lines: Vec<String> = ledger.iter().map(Value::to_string).collect();
    let decisions: Vec<&String> = lines.iter().filter(|line| line.contains("decide ")).collect();
    assert_eq!(decisions.len(), 4, "{decisions:?}");
    // Neither the bot's token nor what answers an interaction is written anywhere.
    let log = daemon.log();
    for secret in [TOKEN, &"x".repeat(100)] {
        assert!(lines.iter().all(|line| !line.contains(secret)) && !log.contains(secret), "{secret}");
    }
    assert_eq!(discord.strange(), Vec::<String>::new());
}

#[tokio::test]
async fn a_question_that_nobody_answers_ends_and_says_so() {
    let discord = Discord::start().await;
    let model = Model::start(runs).await;
    let home = home(&model, TOKEN, &discord.settings(), "approval_timeout = \"1s\"");
    let _daemon = home.start().await;
    discord.says(ANN, ALONE, "run it", json!({}));
    discord.shows(ALONE, "⌛ Not answered in time").await;
    assert!(!home.workspace().join("made-by-the-tool").exists());
}

#[tokio::test]
async fn a_picture_that_a_person_sends_reaches_the_model() {
    let discord = Discord::start().await;
    let model = Model::start(echo).await;
    let home = home(&model, TOKEN, &discord.settings(), "");
    let _daemon = home.start().await;
    let url = discord.file("a.png", b"\x89PNG\r\n\x1a\nwhatever".to_vec());
    let file = json!({"id": "1", "filename": "a.png", "content_type": "image/png", "size": 16, "url": url});
    discord.says(ANN, ALONE, "what is this?", json!({"attachments": [file]}));
    discord.shows(ALONE, "answer to what is this?").await;
    let asked = model.asked().last().unwrap().to_string();
    assert!(asked.contains("data:image/png;base64,iVBORw0KGgp3aGF0ZXZlcg=="), "{asked}");

    // One that cannot be had, and one that nobody may fetch, do not hold up the message.
    let gone = json!({"filename": "b.png", "content_type": "image/png", "size": 16, "url": format!("{url}x")});
    let elsewhere = json!({"filename": "c.png", "content_type": "image/png", "url": "https://files.example/c.png"});
    discord.says(ANN, ALONE, "and this?", json!({"attachments": [gone, elsewhere]}));
    discord.shows(ALONE, "and this?").await;
}

#[tokio::test]
async fn a_slash_command_is_answered_where_it_stands() {
    let discord = Discord::start().await;
    let model = Model::start(echo).await;
    let home = home(&model, TOKEN, &discord.settings(), "");
    let daemon = home.start().await;
    let commands = discord.sees("PUT", "/commands", |_| true).await.body;
    let names: Vec<&str> = commands.as_array().unwrap().iter().filter_map(|one| one["name"].as_str()).collect();
    assert_eq!(names, ["new", "model", "stop", "status", "help"]);
    discord.says(ANN, ALONE, "hello", json!({}));
    discord.shows(ALONE, "answer to hello").await;
    let id = discord.interacts(2, ANN, ALONE, json!({"name": "status", "type": 1}));
    let told = discord.sees("POST", &format!("/interactions/{id}/"), |_| true).await;
    assert_eq!(told.body, json!({"type": 5}));
    discord.sees("PATCH", "/messages/@original", |body| body["content"].as_str().unwrap().contains("Session ")).await;
    assert_eq!(discord.texts(ALONE).len(), 2, "not in the channel once more");

    let options = json!([{"name": "name", "type": 3, "value": "nosuch/model"}]);
    discord.interacts(2, ANN, ALONE, json!({"name": "model", "type": 1, "options": options}));
    discord.sees("PATCH", "/messages/@original", |body| body["content"].as_str().unwrap().contains("❌")).await;

    // The address is gone before the answer is there.
    discord.fails("PATCH", "@original", 0, 404, "", json!({"code": 10_015, "message": "Unknown Webhook"}));
    discord.interacts(2, ANN, ALONE, json!({"name": "help", "type": 1}));
    discord.sees("POST", "/messages", |body| body["content"].as_str().unwrap().contains("this list")).await;
    daemon.end().await;
    let daemon = home.start().await;
    discord.says(ANN, ALONE, "again", json!({}));
    discord.shows(ALONE, "answer to again").await;
    assert_eq!(discord.called("PUT", "/commands").len(), 1, "told once, also over a restart");
    assert!(!daemon.log().contains(&"x".repeat(100)), "what answers an interaction is in the log");
    assert_eq!(discord.strange(), Vec::<String>::new());
}

/// What the bot closes with when its heartbeat was not answered, and what another version says instead.
const WORDS: &str = "no answer to the heartbeat";
const OTHERS: &str = "no reply for the heartbeat";

/// Puts another version of the component in its place, and waits until it is what is used.
async fn replace(home: &Home) {
    let standing = async || {
        let list = home.json(&["plugin", "list"]).await;
        list.into_iter().find(|plugin| plugin["file"] == json!("channel-discord.wasm"))
    };
    let before = standing().await.unwrap();
    let other = version(&std::fs::read(stock().join("channel-discord.wasm")).unwrap(), WORDS, OTHERS);
    let part = home.plugins().join("other.part");
    std::fs::write(&part, other).unwrap();
    std::fs::rename(&part, home.plugins().join("channel-discord.wasm")).unwrap();
    until("the other version to be used", async || {
        standing().await.filter(|plugin| plugin["digest"] != before["digest"] && plugin["standing"] == json!("ready"))
    })
    .await;
}

#[tokio::test]
async fn the_session_survives_a_cut_a_kill_and_another_version_of_the_component() {
    let discord = Discord::start().await;
    let model = Model::start(echo).await;
    let home = home(&model, TOKEN, &discord.settings(), "");
    let daemon = home.start().await;
    let (code, out, err) = home.said(&["plugin", "allow", "channel-discord"]).await;
    assert_eq!(code, Some(0), "{out}{err}");
    discord.says(ANN, ALONE, "one", json!({}));
    discord.shows(ALONE, "answer to one").await;

    discord.order(Order::Cut);
    discord.says(ANN, ALONE, "two", json!({}));
    discord.shows(ALONE, "answer to two").await;
    discord.order(Order::Frame(json!({"op": 7, "d": null})));
    discord.signed_in(3).await;
    daemon.kill().await;
    discord.says(ANN, ALONE, "three", json!({}));
    let daemon = home.start().await;
    discord.shows(ALONE, "answer to three").await;

    // Another version takes over the open connection while five people talk.
    let before = discord.counts();
    let places: Vec<String> = (0..5).map(|place| format!("13500000000000020{place}")).collect();
    let round = async |number: usize| {
        for place in &places {
            discord.says(ANN, place, &format!("round {number} in {place}"), json!({}));
        }
    };
    round(1).await;
    replace(&home).await;
    round(2).await;
    for (place, number) in places.iter().flat_map(|place| [(place, 1), (place, 2)]) {
        discord.shows(place, &format!("answer to round {number} in {place}")).await;
    }
    let after = discord.counts();
    assert_eq!((after.connections, after.identified, after.resumed), (before.connections, 1, 3));
    assert!(discord.paths()[1..].iter().all(|path| path.starts_with("/resume?v=10")), "{:?}", discord.paths());
    for place in &places {
        assert_eq!(said(&home, &format!("discord:{place}")).await.len(), 2);
    }

    // And it is the other version: it says so when its heartbeat is not answered.
    discord.heartbeat(200);
    discord.order(Order::Cut);
    discord.signed_in(5).await;
    discord.deaf(true);
    until("the words of the other version", async || discord.ends().contains(&(4_000, OTHERS.into())).then_some(()))
        .await;
    discord.deaf(false);
    discord.says(ANN, ALONE, "four", json!({}));
    discord.shows(ALONE, "answer to four").await;
    assert_eq!((discord.counts().identified, discord.texts(ALONE).len()), (1, 4));
    assert_eq!(discord.strange(), Vec::<String>::new());
    drop(daemon);
}

#[tokio::test]
async fn a_heartbeat_is_sent_and_one_without_an_answer_means_to_come_back() {
    let discord = Discord::start().await;
    discord.heartbeat(150);
    let model = Model::start(echo).await;
    let home = home(&model, TOKEN, &discord.settings(), "");
    let _daemon = home.start().await;
    until("some heartbeats", async || (discord.counts().heartbeats > 5).then_some(())).await;
    assert_eq!(discord.counts().connections, 1);
    discord.order(Order::Frame(json!({"op": 1, "d": null})));
    discord.deaf(true);
    discord.signed_in(2).await;
    discord.deaf(false);
    assert_eq!(discord.ends()[0], (4_000, WORDS.into()));
    discord.says(ANN, ALONE, "hello", json!({}));
    discord.shows(ALONE, "answer to hello").await;
    assert_eq!(discord.counts().identified, 1, "the session goes on");
    assert!(discord.frames(1).iter().any(|beat| beat["d"].as_u64().is_some_and(|number| number >= 1)));
}

#[tokio::test]
async fn a_session_that_is_no_more_begins_anew() {
    let discord = Discord::start().await;
    let model = Model::start(echo).await;
    let home = home(&model, TOKEN, &discord.settings(), "");
    let _daemon = home.start().await;
    discord.signed_in(1).await;
    discord.forgets();
    discord.order(Order::Cut);
    discord.signed_in(2).await;
    discord.says(ANN, ALONE, "hello", json!({}));
    discord.shows(ALONE, "answer to hello").await;
    discord.order(Order::Close(4_009));
    discord.signed_in(3).await;
    assert_eq!((discord.counts().identified, discord.frames(6).len()), (3, 1));
    assert_eq!(discord.frames(2)[0]["d"]["intents"], json!((1 << 9) | (1 << 12)));
}

#[tokio::test]
async fn a_close_for_good_says_what_to_do_and_is_not_tried_again_before_that() {
    let discord = Discord::start().await;
    let model = Model::start(echo).await;
    let home = home(&model, TOKEN, &format!("{}, groups = \"all\"", discord.settings()), "");
    discord.closes(Some(4_014));
    let _daemon = home.start().await;
    let row = status(&home, |row| row.contains("\"down\"")).await;
    assert!(row.contains("turn on the Message Content Intent"), "{row}");
    assert_eq!(discord.frames(2)[0]["d"]["intents"], json!((1 << 9) | (1 << 12) | (1 << 15)));
    discord.closes(None);
    discord.says(ANN, TOWN, "hello", json!({"guild_id": SERVER}));
    // The host looks at its channels every 5 s: it has looked, and left this one alone.
    assert_eq!(discord.counts().connections, 1);
    let (code, out, err) = home.said(&["channel", "restart", "discord"]).await;
    assert_eq!(code, Some(0), "{out}{err}");
    discord.shows(TOWN, "answer to hello").await;
    assert_eq!(discord.counts().connections, 2);
    status(&home, |row| !row.contains("Message Content")).await;
}

#[tokio::test]
async fn a_token_that_is_revoked_is_told_and_other_channels_go_on() {
    let (discord, other) = (Discord::start().await, Discord::start().await);
    let model = Model::start(echo).await;
    let tables = channel("discord", TOKEN, &discord.settings()) + &channel("other", TOKEN, &other.settings());
    let home = messenger::home::home(&model, "channel-discord", &tables, "");
    let _daemon = home.start().await;
    discord.says(ANN, ALONE, "one", json!({}));
    discord.shows(ALONE, "answer to one").await;
    status(&home, |row| row.contains("\"live\"")).await;
    discord.refuses(true);
    let row = status(&home, |row| row.contains("\"down\"")).await;
    assert!(row.contains("Reset Token") && row.contains("4004"), "{row}");
    other.says(ANN, ALONE, "are you there?", json!({}));
    other.shows(ALONE, "answer to are you there?").await;
    messenger::home::status(&home, "other", |row| row.contains("\"live\"")).await;
    discord.says(ANN, ALONE, "two", json!({}));
    discord.refuses(false);
    home.said(&["channel", "restart", "discord"]).await;
    discord.shows(ALONE, "answer to two").await;
    status(&home, |row| row.contains("\"live\"")).await;
    assert_eq!((other.counts().connections, discord.counts().connections), (1, 2));
}

#[tokio::test]
async fn broken_frames_bad_gateways_and_limits_are_passed_and_nothing_is_lost_or_doubled() {
    let discord = Discord::start().await;
    let model = Model::start(several(&Arc::default())).await;
    let home = home(&model, TOKEN, &format!("{}, stream = false", discord.settings()), "");
    let _daemon = home.start().await;
    discord.says(ANN, ALONE, "one", json!({}));
    discord.shows(ALONE, "answer to one").await;
    for garbage in [Message::text("{nonsense"), Message::text("[]"), Message::binary(vec![0, 255])] {
        discord.order(Order::Raw(garbage));
    }
    discord.order(Order::Frame(json!({"op": 0, "s": "x", "t": "MESSAGE_CREATE", "d": {"id": 7}})));
    discord.says(ANN, ALONE, "two", json!({}));
    discord.shows(ALONE, "answer to two").await;
    assert_eq!(discord.counts().connections, 1);
    discord.order(Order::CutInFrame);
    discord.says(ANN, ALONE, "three", json!({}));
    discord.shows(ALONE, "answer to three").await;

    for _ in 0..2 {
        discord.fails("POST", "/messages", 0, 502, "", json!("<html>Bad Gateway</html>"));
    }
    discord.says(ANN, ALONE, "four", json!({}));
    discord.shows(ALONE, "answer to four").await;
    discord.fails("POST", "/messages", 0, 429, "retry-after: 1\r\n", Value::Null);
    let limited = json!({"message": "You are being rate limited.", "retry_after": 0.3, "global": true});
    discord.fails("POST", "/messages", 0, 429, "x-ratelimit-global: true\r\n", limited);
    discord.says(ANN, ALONE, "five", json!({}));
    discord.shows(ALONE, "answer to five").await;

    // The first message of a long reply is the last one for a while; the next but one is refused.
    discord.limits("x-ratelimit-remaining: 0\r\nx-ratelimit-reset-after: 0.7\r\n");
    discord.fails("POST", "/messages", 2, 429, "", json!({"retry_after": 0.2}));
    let before = discord.called("POST", "/messages").len();
    discord.says(ANN, ALONE, "long", json!({}));
    discord.shows(ALONE, "The **end**.").await;
    let texts = discord.texts(ALONE);
    let sent = discord.called("POST", "/messages").len() - before;
    assert_eq!(sent, texts.len() - 5 + 1, "one was refused, none was sent twice: {texts:#?}");
    assert_eq!(texts[..5], ["one", "two", "three", "four", "five"].map(|said| format!("answer to {said}")));

    // A channel that is closed to the bot is given up, and nothing else.
    discord.fails("POST", "/messages", 0, 403, "", json!({"code": 50_001, "message": "Missing Access"}));
    discord.says(ANN, ALONE, "six", json!({}));
    discord.says(ANN, ALONE, "seven", json!({}));
    discord.shows(ALONE, "answer to seven").await;
    assert_eq!(said(&home, &format!("discord:{ALONE}")).await.len(), 8);
    assert_eq!(discord.strange(), Vec::<String>::new());
}

#[tokio::test]
async fn a_gateway_that_says_nothing_is_told_of_and_left() {
    let discord = Discord::start().await;
    discord.silent(true);
    let model = Model::start(echo).await;
    let home = home(&model, TOKEN, &discord.settings(), "");
    let _daemon = home.start().await;
    status(&home, |row| row.contains("does not sign the bot in")).await;
    discord.silent(false);
    discord.says(ANN, ALONE, "hello", json!({}));
    discord.shows(ALONE, "answer to hello").await;
    let row = status(&home, |row| !row.contains("does not sign")).await;
    assert!(row.contains("\"live\""), "{row}");
}

/// The persons of [`kills`] as the gateway has them.
impl kills::Messenger for Discord {
    const KNOWS_AGAIN: bool = true;

    fn conversation(&self, chat: usize) -> String {
        format!("discord:{}", 1_000 + chat)
    }

    fn says(&self, chat: usize, text: &str) {
        let id = (1_000 + chat).to_string();
        self.says(&id, &id, text, json!({}));
    }

    fn texts(&self, chat: usize) -> Vec<String> {
        self.texts(&(1_000 + chat).to_string())
    }
}

#[tokio::test]
async fn killed_ten_times_it_loses_no_message_of_twenty_chats_and_answers_each_once() {
    let discord = Discord::start().await;
    let model = Model::start(echo).await;
    let home = home(&model, TOKEN, &discord.settings(), "");
    let allow = format!("contacts = \"allow\"\nallow = [\"{ANN}\", \"{BEN}\"]\n");
    reconfigure(&home, &allow, "contacts = \"open\"\n");
    // What is said before there is a session the gateway keeps for nobody, so it begins with one.
    let daemon = home.start().await;
    discord.sees("PUT", "/commands", |_| true).await;
    daemon.end().await;
    kills::trial(&discord, &home, &model).await;
    assert_eq!(discord.counts().identified, 1, "one session over all kills");
}
