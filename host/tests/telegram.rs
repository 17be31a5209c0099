//! The Telegram channel with the executable: whole conversations against two Bot API servers, and what goes wrong on the
//! way. One server is crabline, which is maintained elsewhere; the other one, `bot_api`, has what crabline lacks:
//! pressed buttons, files that people send, and errors.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "clippy exempts only functions that are tests themselves, not what they share"
)]

#[path = "telegram/bot_api.rs"]
mod bot_api;
mod daemon;
mod messenger;
#[path = "staged/skip.rs"]
mod skip;
#[path = "telegram/world.rs"]
mod world;

use std::sync::Arc;

use bot_api::{BotApi, Broken};
use daemon::until;
use messenger::home::{reconfigure, said, with_pictures};
use messenger::kills;
use messenger::model::{Model, echo, last, runs, several};
use messenger::service::post;
use serde_json::{Value, json};
use skip::skip;
use tokio::sync::Notify;
use world::{ANN, BEN, Crabline, GROUP, STRANGER, home, status};

#[tokio::test]
async fn crabline_takes_a_whole_conversation() {
    const NAME: &str = "telegram::crabline_takes_a_whole_conversation";
    let folder = tempfile::tempdir().unwrap();
    let crabline = match Crabline::start(folder.path()).await {
        Ok(crabline) => crabline,
        Err(why) => return skip(NAME, &why),
    };
    let gate = Arc::new(Notify::new());
    let model = Model::start(several(&gate)).await;
    let home = home(&model, &crabline.address(), "", "");
    if !with_pictures(&home) {
        return skip(NAME, "the guests of the tests are not built");
    }
    let daemon = home.start().await;

    crabline.says(ANN, ANN, "slowly", json!({})).await;
    crabline.shows(ANN, "The beg").await;
    assert!(crabline.called("/editMessageText").is_empty());
    gate.notify_one();
    crabline.shows(ANN, "The beginning of it, and the end.").await;
    assert_eq!(crabline.called("/sendMessage").len(), 1, "a draft is edited");

    crabline.says(ANN, ANN, "silently", json!({})).await;
    let typing = until("the typing sign", async || crabline.called("/sendChatAction").first().cloned()).await;
    assert_eq!(typing.0, json!({"action": "typing", "chat_id": ANN}));
    gate.notify_one();
    crabline.shows(ANN, "Now I know.").await;

    crabline.says(ANN, ANN, "draw", json!({})).await;
    crabline.shows(ANN, "It is <b>drawn</b>.").await;
    let photos = until("the picture", async || {
        let photos = crabline.called("/sendPhoto");
        (!photos.is_empty()).then_some(photos)
    })
    .await;
    assert_eq!(photos, [(json!({"chat_id": ANN.to_string(), "photo": "pixel.png"}), true)]);

    crabline.says(ANN, ANN, "long", json!({})).await;
    crabline.shows(ANN, "The <b>end</b>.").await;
    let pieces: Vec<String> = crabline.shown(ANN).into_iter().filter(|text| text.contains("let line_")).collect();
    assert!(pieces.iter().any(|piece| {
        piece.starts_with("<pre><code class=\"language-rust\">let line_0 = 0 &lt; 3") && piece.contains("line_59")
    }));

    // Nobody mentions the bot; a stranger does; somebody who may does.
    let mention = json!({"entities": [{"type": "mention", "offset": 0, "length": 10}], "chatType": "supergroup"});
    crabline.says(ANN, GROUP, "just talking", json!({"chatType": "supergroup"})).await;
    crabline.says(STRANGER, GROUP, "@pista_bot let me in", mention.clone()).await;
    crabline.says(BEN, GROUP, "@pista_bot hello there", mention).await;
    crabline.shows(GROUP, "answer to hello there").await;
    assert_eq!(said(&home, &format!("telegram:{GROUP}")).await, ["hello there"]);

    crabline.says(ANN, ANN, "/status", json!({})).await;
    crabline.shows(ANN, "Session ").await;

    // Killed in the middle of a turn: the next process goes on with it.
    crabline.says(ANN, ANN, "slowly", json!({})).await;
    until("the turn", async || {
        (model.asked().iter().filter(|asked| last(asked) == "slowly").count() == 2).then_some(())
    })
    .await;
    daemon.kill().await;
    crabline.says(ANN, ANN, "while you were away", json!({})).await;
    gate.notify_one();
    let daemon = home.start().await;
    gate.notify_one();
    crabline.shows(ANN, "answer to while you were away").await;
    let words = said(&home, &format!("telegram:{ANN}")).await;
    assert_eq!(words, ["slowly", "silently", "draw", "long", "slowly", "while you were away"]);
    let refused: Vec<(Value, bool)> = ["sendMessage", "editMessageText", "sendPhoto", "setMyCommands", "getMe"]
        .iter()
        .flat_map(|method| crabline.called(&format!("/{method}")))
        .filter(|(_, accepted)| !accepted)
        .collect();
    assert_eq!(refused, []);
    assert_eq!(crabline.called("/setMyCommands").len(), 1, "told once, also over a restart");
    drop(daemon);
}

fn mentioned(text: &str) -> (String, Value) {
    (format!("@pista_bot {text}"), json!({"entities": [{"type": "mention", "offset": 0, "length": 10}]}))
}

#[tokio::test]
async fn a_question_is_answered_by_its_buttons_and_only_by_who_was_asked() {
    let api = BotApi::start().await;
    let model = Model::start(runs).await;
    let home = home(&model, api.address(), "", "");
    let _daemon = home.start().await;
    let (text, entities) = mentioned("run it");
    let asked = api.says(ANN, GROUP, &text, entities);
    let question = api.sees("sendMessage", |body| body["reply_markup"].is_object()).await;
    assert!(question.body["text"].as_str().unwrap().contains("touch made-by-the-tool"));
    assert_eq!(question.body["reply_parameters"]["message_id"], json!(asked));
    let rows = question.body["reply_markup"]["inline_keyboard"].as_array().unwrap();
    let button = rows[0][0]["callback_data"].as_str().unwrap();
    let made = home.workspace().join("made-by-the-tool");

    for other in [BEN, STRANGER] {
        api.presses(other, GROUP, button);
        let id = json!(format!("query-{other}"));
        let told = api.sees("answerCallbackQuery", |body| body["callback_query_id"] == id).await;
        assert_eq!(told.body["text"], json!("Only the person who was asked can answer this."));
    }
    assert!(!made.exists());
    api.presses(ANN, GROUP, button);
    api.shows(GROUP, "It ran.").await;
    assert!(made.exists());
    let id = question.answer["result"]["message_id"].clone();
    let over = api.sees("editMessageText", |body| body["message_id"] == id).await;
    assert!(over.body["text"].as_str().unwrap().ends_with("✅ Allowed by Person 7"), "{over:?}");
    assert!(over.body.get("reply_markup").is_none());

    api.presses(ANN, GROUP, button);
    let late = "This is answered already, or its time is over.";
    api.sees("answerCallbackQuery", |body| body["text"] == json!(late)).await;
    let ledger = home.json(&["ledger", "show"]).await;
    let lines: Vec<String> = ledger.iter().map(Value::to_string).filter(|line| line.contains("decide ")).collect();
    assert_eq!(lines.len(), 4, "{lines:?}");
}

#[tokio::test]
async fn a_question_that_nobody_answers_ends_and_says_so() {
    let api = BotApi::start().await;
    let model = Model::start(runs).await;
    let home = home(&model, api.address(), "approval_timeout = \"1s\"", "");
    let _daemon = home.start().await;
    api.says(ANN, ANN, "run it", json!({}));
    api.shows(ANN, "⌛ Not answered in time").await;
    let question = api.sees("sendMessage", |body| body["reply_markup"].is_object()).await;
    let rows = question.body["reply_markup"]["inline_keyboard"].as_array().unwrap();
    api.presses(ANN, ANN, rows[0][0]["callback_data"].as_str().unwrap());
    api.sees("answerCallbackQuery", |body| body["show_alert"] == json!(true)).await;
    assert!(!home.workspace().join("made-by-the-tool").exists());
}

#[tokio::test]
async fn a_picture_that_a_person_sends_reaches_the_model() {
    let api = BotApi::start().await;
    let model = Model::start(echo).await;
    let home = home(&model, api.address(), "", "");
    let _daemon = home.start().await;
    let png = b"\x89PNG\r\n\x1a\nwhatever".to_vec();
    api.file("large", png);
    let photo = json!([{"file_id": "small", "width": 90}, {"file_id": "large", "width": 800}]);
    api.says(ANN, ANN, "", json!({"text": null, "caption": "what is this?", "photo": photo}));
    api.shows(ANN, "answer to what is this?").await;
    let asked = model.asked().last().unwrap().to_string();
    assert!(asked.contains("data:image/png;base64,iVBORw0KGgp3aGF0ZXZlcg=="), "{asked}");
    assert_eq!(api.called("getFile")[0].body, json!({"file_id": "large"}));

    // One that cannot be had does not hold up the message.
    api.fails("getFile", 400, "Bad Request: file is too big", Value::Null);
    api.fails("getFile", 400, "Bad Request: file is too big", Value::Null);
    api.fails("getFile", 400, "Bad Request: file is too big", Value::Null);
    api.says(ANN, ANN, "", json!({"text": null, "caption": "and this?", "document": {"file_id": "gone"}}));
    api.shows(ANN, "and this?").await;
}

#[tokio::test]
async fn limits_of_the_api_in_the_middle_of_a_long_reply_repeat_nothing() {
    let api = BotApi::start().await;
    let model = Model::start(several(&Arc::default())).await;
    let home = home(&model, api.address(), "", ", stream = false");
    let _daemon = home.start().await;
    api.says(ANN, ANN, "hello", json!({}));
    api.shows(ANN, "answer to hello").await;
    // The first message of it is taken, the second one refused for a second.
    api.fails_after("sendMessage", 1, 429, "Too Many Requests: retry after 1", json!({"retry_after": 1}));
    api.says(ANN, ANN, "long", json!({}));
    api.shows(ANN, "The <b>end</b>.").await;
    let texts = api.texts(ANN);
    assert_eq!(texts.len(), 3, "{texts:?}");
    assert_eq!(api.called("sendMessage").len(), 4, "one was refused, none was sent twice");

    api.fails("sendMessage", 429, "Too Many Requests: retry after 1", json!({"retry_after": 1}));
    api.fails("sendMessage", 400, "Bad Request: can't parse entities: no end tag", Value::Null);
    api.says(ANN, ANN, "a *b* <c>", json!({}));
    api.shows(ANN, "answer to a b <c>").await;
    api.says(ANN, ANN, "on", json!({}));
    api.shows(ANN, "answer to on").await;
    let texts = api.texts(ANN);
    assert_eq!(texts[3..], ["answer to a b <c>", "answer to on"], "{texts:?}");
}

#[tokio::test]
async fn a_second_program_a_refused_token_and_bad_gateways_are_told_and_passed() {
    let api = BotApi::start().await;
    let model = Model::start(echo).await;
    let home = home(&model, api.address(), "", "");
    let daemon = home.start().await;
    api.says(ANN, ANN, "one", json!({}));
    api.shows(ANN, "answer to one").await;
    api.second_program();
    status(&home, |row| row.contains("Another program takes this bot's messages")).await;
    api.says(ANN, ANN, "two", json!({}));
    api.shows(ANN, "answer to two").await;
    status(&home, |row| !row.contains("Another program")).await;
    api.fails("sendMessage", 502, "Bad Gateway", Value::Null);
    api.says(ANN, ANN, "three", json!({}));
    api.shows(ANN, "answer to three").await;
    api.refuses(true);
    status(&home, |row| row.contains("the bot's token is refused")).await;
    api.refuses(false);
    api.says(ANN, ANN, "four", json!({}));
    daemon.kill().await;
    let _daemon = home.start().await;
    api.shows(ANN, "answer to four").await;
    let ledger = home.json(&["ledger", "show"]).await;
    assert!(ledger.iter().all(|line| !line.to_string().contains(bot_api::TOKEN)), "the token is in the ledger");
}

#[tokio::test]
async fn broken_polls_are_passed_and_the_status_tells_of_them_and_nothing_is_lost() {
    let api = BotApi::start().await;
    let model = Model::start(echo).await;
    let home = home(&model, api.address(), "", "");
    let _daemon = home.start().await;
    api.says(ANN, ANN, "before", json!({}));
    api.shows(ANN, "answer to before").await;
    let table = [
        (Broken::Closed, "tried again soon: "),
        (Broken::Cut, "tried again soon: "),
        (Broken::Garbage, ""),
        (Broken::Status(502, ""), "the server answered 502"),
        (Broken::Status(429, "retry-after: 2\r\n"), "the server answered 429"),
    ];
    for (number, (broken, words)) in table.into_iter().enumerate() {
        api.breaks(&[broken]);
        status(&home, |row| row.contains(words) && (words.is_empty() || row.contains("\"connecting\""))).await;
        let text = format!("behind {number}");
        api.says(ANN, ANN, &text, json!({}));
        api.shows(ANN, &format!("answer to {text}")).await;
        status(&home, |row| row.contains("\"live\"")).await;
    }
    // A server that is away for long, and comes back.
    api.breaks(&[Broken::Status(502, ""); 4]);
    api.says(ANN, ANN, "behind all", json!({}));
    api.shows(ANN, "answer to behind all").await;
    assert_eq!(api.to_break(), 0);
    assert_eq!(said(&home, &format!("telegram:{ANN}")).await.len(), 7);
}

#[tokio::test]
async fn a_server_that_accepts_and_never_answers_is_told_and_its_end_is_seen() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = silent.local_addr().unwrap();
    let model = Model::start(echo).await;
    let home = home(&model, &format!("http://{address}"), "", "");
    let _daemon = home.start().await;
    status(&home, |row| row.contains("there was no answer in time")).await;
    drop(silent);
    status(&home, |row| row.contains("refused")).await;
}

#[tokio::test]
async fn a_webhook_brings_messages_to_who_shows_its_secret() {
    let api = BotApi::start().await;
    let model = Model::start(echo).await;
    let home = home(&model, api.address(), "", ", mode = \"webhook\"");
    let config = home.path().join("config.toml");
    let text = std::fs::read_to_string(&config).unwrap();
    std::fs::write(&config, format!("{text}[server]\npublic_url = \"https://pista.example\"\n")).unwrap();
    let daemon = home.start().await;
    let set = api.sees("setWebhook", |_| true).await;
    assert_eq!(
        set.body,
        json!({
            "url": "https://pista.example/telegram", "secret_token": "hook-Secret_123456",
            "allowed_updates": ["message", "callback_query"]
        })
    );
    let update = json!({"update_id": 1, "message": {
        "message_id": 1, "date": 1_700_000_000, "chat": {"id": ANN, "type": "private"}, "text": "by hook",
        "from": {"id": ANN, "is_bot": false, "first_name": "Ann"}
    }});
    let update = update.to_string();
    let hook = async |secret: &str| post(&daemon.address, "/telegram", secret, &update).await;
    let right = "x-telegram-bot-api-secret-token: hook-Secret_123456\r\n";
    let wrong = "x-telegram-bot-api-secret-token: hook-Secret_12345\r\n";
    assert_eq!([hook("").await, hook(wrong).await], [401, 401]);
    assert_eq!(said(&home, &format!("telegram:{ANN}")).await, Vec::<String>::new());
    assert_eq!(hook(right).await, 200);
    api.shows(ANN, "answer to by hook").await;
    // Sent again, as after a lost answer: it is the same message.
    assert_eq!(hook(right).await, 200);
    assert_eq!(said(&home, &format!("telegram:{ANN}")).await, ["by hook"]);
}

#[tokio::test]
async fn killed_within_a_long_reply_it_repeats_one_message_at_most() {
    let api = BotApi::start().await;
    let model = Model::start(several(&Arc::default())).await;
    let home = home(&model, api.address(), "", ", stream = false");
    let mut daemon = home.launch(&[("OPENPISTA_FAILPOINT", "deliver.after-send:2")]);
    api.says(ANN, ANN, "long", json!({}));
    daemon.ended().await;
    let _daemon = home.start().await;
    api.shows(ANN, "The <b>end</b>.").await;
    let mut texts = api.texts(ANN);
    assert!(texts.len() <= 3, "{texts:?}");
    texts.dedup();
    assert_eq!(texts.len(), 2, "{texts:?}");
}

#[tokio::test]
async fn a_stranger_is_told_a_code_and_starts_nothing_until_the_operator_pairs_them() {
    let api = BotApi::start().await;
    let model = Model::start(echo).await;
    let home = home(&model, api.address(), "", "");
    reconfigure(&home, "contacts = \"allow\"\nallow = [\"7\", \"8\"]\n", "");
    let _daemon = home.start().await;

    api.says(STRANGER, STRANGER, "open the door", json!({}));
    api.shows(STRANGER, "openpista-host channel pair").await;
    let code = api.texts(STRANGER)[0].split_whitespace().last().unwrap().to_string();
    // The second message brings no second code, and neither starts a turn.
    api.says(STRANGER, STRANGER, "please", json!({}));
    let waiting = home.json(&["channel", "contacts"]).await;
    assert_eq!(waiting.len(), 1, "{waiting:?}");
    assert_eq!((waiting[0]["code"].as_str(), waiting[0]["sender"].as_str()), (Some(code.as_str()), Some("9")));
    until("both messages in the ledger", async || {
        let denied = home.json(&["ledger", "show", "--denied"]).await;
        (denied.iter().filter(|line| line["what"] == "message of somebody unknown: 9").count() == 2).then_some(())
    })
    .await;
    assert_eq!(api.texts(STRANGER).len(), 1);
    assert!(home.json(&["session", "list"]).await.is_empty());

    let (exit, _, error) = home.said(&["channel", "pair", "WRONG-CODE"]).await;
    assert_eq!(exit, Some(4), "{error}");
    let (exit, out, _) = home.said(&["channel", "pair", &code.to_lowercase()]).await;
    assert_eq!((exit, out.contains("may write to telegram now")), (Some(0), true), "{out}");
    api.shows(STRANGER, "You are known here now").await;
    api.says(STRANGER, STRANGER, "hello", json!({}));
    api.shows(STRANGER, "answer to hello").await;

    let (exit, ..) = home.said(&["channel", "forget", "telegram", "9"]).await;
    assert_eq!(exit, Some(0));
    api.says(STRANGER, STRANGER, "again", json!({}));
    until("a new code", async || (home.json(&["channel", "contacts"]).await.len() == 1).then_some(())).await;
    let (exit, ..) = home.said(&["channel", "allow", "nosuch", "9"]).await;
    assert_eq!(exit, Some(4));
}

#[tokio::test]
async fn another_version_takes_over_while_people_talk_and_nothing_is_lost() {
    let api = BotApi::start().await;
    let model = Model::start(echo).await;
    let home = home(&model, api.address(), "", "");
    let _daemon = home.start().await;
    // What came with the host is allowed as it came; another version is allowed what the person allowed.
    let (exit, _, error) = home.said(&["plugin", "allow", "channel-telegram"]).await;
    assert_eq!(exit, Some(0), "{error}");
    let file = home.plugins().join("channel-telegram.wasm");
    let bytes = std::fs::read(&file).unwrap();
    let digest = async || {
        let list = home.json(&["plugin", "list"]).await;
        list.into_iter().find(|plugin| plugin["name"] == "channel-telegram").map(|plugin| plugin["digest"].clone())
    };
    for round in 0..5 {
        let before = digest().await;
        api.says(ANN, ANN, &format!("round {round}"), json!({}));
        // Each differs from the one before it.
        let words = if round % 2 == 0 { "Begin a new session" } else { "Start a new session" };
        std::fs::write(&file, daemon::version(&bytes, "Start a new session", words)).unwrap();
        until("the new version", async || (digest().await != before).then_some(())).await;
        api.says(BEN, BEN, &format!("round {round}"), json!({}));
        api.shows(BEN, &format!("answer to round {round}")).await;
    }
    for chat in [ANN, BEN] {
        api.shows(chat, "answer to round 4").await;
        let wanted: Vec<String> = (0..5).map(|round| format!("round {round}")).collect();
        assert_eq!(said(&home, &format!("telegram:{chat}")).await, wanted);
        let answers: Vec<String> = wanted.iter().map(|text| format!("answer to {text}")).collect();
        assert_eq!(api.texts(chat), answers);
    }
    let told = api.called("setMyCommands");
    assert!(told.iter().any(|call| call.body["commands"][0]["description"] == "Begin a new session"), "{told:?}");
}

/// The persons of [`kills`] as the Bot API has them.
impl kills::Messenger for BotApi {
    /// There are no keys by which a message that is sent again would be known.
    const KNOWS_AGAIN: bool = false;

    fn conversation(&self, chat: usize) -> String {
        format!("telegram:{}", 1_000 + chat)
    }

    fn says(&self, chat: usize, text: &str) {
        let id = i64::try_from(1_000 + chat).unwrap();
        self.says(id, id, text, json!({}));
    }

    fn texts(&self, chat: usize) -> Vec<String> {
        self.texts(i64::try_from(1_000 + chat).unwrap())
    }
}

#[tokio::test]
async fn killed_ten_times_it_loses_no_message_of_twenty_chats_and_answers_each_once() {
    let api = BotApi::start().await;
    let model = Model::start(echo).await;
    let home = home(&model, api.address(), "", "");
    reconfigure(&home, "contacts = \"allow\"\nallow = [\"7\", \"8\"]\n", "contacts = \"open\"\n");
    kills::trial(&api, &home, &model).await;
}
