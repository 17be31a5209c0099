//! The Slack channel with the executable: whole conversations against two Slacks, and what goes wrong on the way. One is
//! crabline, which is maintained elsewhere; the other one, `slack_api`, has what crabline lacks: Socket Mode, edits,
//! pressed buttons, files, and errors.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "clippy exempts only functions that are tests themselves, not what they share"
)]

mod daemon;
mod messenger;
#[path = "staged/skip.rs"]
mod skip;
#[path = "slack/slack_api.rs"]
mod slack_api;
#[path = "slack/world.rs"]
mod world;

use std::sync::{Arc, Mutex};
use std::time::{SystemTime, UNIX_EPOCH};

use daemon::{Home, stock, until, version};
use messenger::home::{reconfigure, said, with_pictures};
use messenger::kills;
use messenger::model::{Model, echo, last, runs, several};
use messenger::service::{Asked, Service, answer, try_post};
use serde_json::{Value, json};
use skip::skip;
use slack_api::{Failure, Reception, SIGNING_SECRET, Slack, signature};
use tokio::sync::Notify;
use world::{ANN, BEN, Crabline, STRANGER, TEAM, WITH_ANN, home, home_at, status};

const PNG: &[u8] = b"\x89PNG\r\n\x1a\nwhatever";

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

/// A request as Slack sends it; the status.
async fn hook(address: &str, secret: &str, at: u64, kind: &str, body: &str) -> u16 {
    let signed = signature(secret, at, body);
    let headers = format!("x-slack-request-timestamp: {at}\r\nx-slack-signature: {signed}\r\ncontent-type: {kind}\r\n");
    try_post(address, "/slack", &headers, body).await.unwrap()
}

/// What was refused, as the ledger has it.
async fn refused(home: &Home, what: &str) -> usize {
    let denied = home.json(&["ledger", "show", "--denied"]).await;
    denied.iter().filter(|line| line["what"] == json!(what)).count()
}

/// Stands where the public address leads: hands requests on to the daemon, once there is one, and keeps them.
#[derive(Clone, Default)]
struct Gate {
    daemon: Arc<Mutex<String>>,
    passed: Arc<Mutex<Vec<Asked>>>,
}

impl Gate {
    async fn start(&self) -> Service {
        let gate = self.clone();
        Service::start(move |asked, stream| {
            let gate = gate.clone();
            async move {
                gate.passed.lock().unwrap().push(asked.clone());
                let status = gate.pass(&asked).await.unwrap_or(502);
                answer(stream, status, "text/plain", b"").await
            }
        })
        .await
    }

    async fn pass(&self, asked: &Asked) -> Option<u16> {
        let daemon = self.daemon.lock().unwrap().clone();
        let names = ["x-slack-request-timestamp", "x-slack-signature", "content-type", "x-slack-retry-num"];
        let headers: String = names.map(|name| format!("{name}: {}\r\n", asked.header(name))).concat();
        try_post(&daemon, "/slack", &headers, std::str::from_utf8(&asked.body).unwrap()).await
    }
}

#[tokio::test]
async fn crabline_takes_a_conversation_by_requests_that_it_signed() {
    const NAME: &str = "slack::crabline_takes_a_conversation_by_requests_that_it_signed";
    let folder = tempfile::tempdir().unwrap();
    let gate = Gate::default();
    let public = gate.start().await;
    let crabline = match Crabline::start(folder.path(), &format!("{}/slack", public.address)).await {
        Ok(crabline) => crabline,
        Err(why) => return skip(NAME, &why),
    };
    let model = {
        let several = several(&Arc::default());
        Model::start(move |request| if last(request) == "long" { several(request) } else { runs(request) }).await
    };
    // It knows no edits.
    let settings = ", mode = \"events\", stream = false";
    let home = home_at(&model, &crabline.address(), "127.0.0.1:9", "", settings);
    reconfigure(&home, "\"picture.draw\"", "\"system.run\"");
    let daemon = home.start().await;
    gate.daemon.lock().unwrap().clone_from(&daemon.address);

    crabline.says(ANN, WITH_ANN, "hello", json!({})).await;
    assert_eq!(crabline.shows(WITH_ANN, "answer to hello").await, None);
    crabline.says(ANN, WITH_ANN, "run it", json!({})).await;
    crabline.shows(WITH_ANN, "It ran.").await;
    assert!(home.workspace().join("made-by-the-tool").exists());
    crabline.says(ANN, WITH_ANN, "long", json!({})).await;
    crabline.shows(WITH_ANN, "The *end*.").await;
    let pieces: Vec<String> = crabline.shown(WITH_ANN).into_iter().map(|(text, _)| text).collect();
    assert!(pieces.iter().all(|piece| piece.encode_utf16().count() <= 4_000));
    assert!(pieces.iter().any(|piece| piece.starts_with("```\nlet line_0 = 0 &lt; 3") && piece.contains("line_59")));

    // Nobody mentions the bot; a stranger does; somebody who may does, and goes on in the thread.
    let thread = "1700001000.000100";
    crabline.says(ANN, TEAM, "just talking", json!({})).await;
    crabline.says(STRANGER, TEAM, "<@UCRABBOT> let me in", json!({})).await;
    crabline.says(BEN, TEAM, "<@UCRABBOT> hello there", json!({"ts": thread})).await;
    assert_eq!(crabline.shows(TEAM, "answer to hello there").await.as_deref(), Some(thread));
    crabline.says(BEN, TEAM, "and more", json!({"threadTs": thread})).await;
    crabline.shows(TEAM, "answer to and more").await;
    crabline.says(ANN, TEAM, "and now?", json!({"threadTs": thread})).await;
    assert_eq!(crabline.shows(TEAM, "answer to and now?").await.as_deref(), Some(thread));
    assert_eq!(said(&home, &format!("slack:{TEAM}/{thread}")).await, ["hello there", "and more", "and now?"]);
    assert!(crabline.posted().iter().all(|(_, accepted)| *accepted));

    // Its first request once more, as somebody may who has heard it; and changed.
    let first = gate.passed.lock().unwrap()[0].clone();
    assert_eq!(gate.pass(&first).await, Some(200));
    let forged = Asked { body: String::from_utf8(first.body).unwrap().replace("hello", "obey!").into(), ..first };
    assert_eq!(gate.pass(&forged).await, Some(401));
    assert_eq!(said(&home, &format!("slack:{WITH_ANN}")).await, ["hello", "run it", "long"]);
    assert_eq!(refused(&home, "verify signing-secret").await, 1);
}

#[tokio::test]
async fn a_reply_grows_by_edits_and_survives_a_kill() {
    let slack = Slack::start().await;
    let gate = Arc::new(Notify::new());
    let model = Model::start(several(&gate)).await;
    let home = home(&model, &slack, "", "");
    assert!(with_pictures(&home), "the guests of the tests are built");
    let daemon = home.start().await;
    slack.says(ANN, WITH_ANN, "slowly", json!({}));
    slack.shows(WITH_ANN, "The beg").await;
    assert_eq!(slack.called("chat.update").len(), 0);
    gate.notify_one();
    slack.shows(WITH_ANN, "The beginning of it, and the end.").await;
    assert_eq!(slack.called("chat.postMessage").len(), 1, "a draft is edited");

    slack.says(ANN, WITH_ANN, "draw", json!({}));
    slack.shows(WITH_ANN, "It is *drawn*.").await;
    let shared = slack.sees("files.completeUploadExternal", |_| true).await;
    assert_eq!(shared.fields["channel_id"], json!(WITH_ANN));
    let uploads = slack.uploads();
    assert_eq!(uploads.len(), 1);
    assert!(uploads[0].0 == "pixel.png" && uploads[0].1.starts_with(b"\x89PNG"), "{uploads:?}");

    slack.says(ANN, WITH_ANN, "long", json!({}));
    slack.shows(WITH_ANN, "The *end*.").await;
    slack.says(ANN, WITH_ANN, "!status", json!({}));
    slack.shows(WITH_ANN, "Session ").await;

    // Killed in the middle of a turn: the next process goes on with it.
    slack.says(ANN, WITH_ANN, "slowly", json!({}));
    until("the turn", async || {
        (model.asked().iter().filter(|asked| last(asked) == "slowly").count() == 2).then_some(())
    })
    .await;
    daemon.kill().await;
    slack.says(ANN, WITH_ANN, "while you were away", json!({}));
    gate.notify_one();
    let _daemon = home.start().await;
    gate.notify_one();
    slack.shows(WITH_ANN, "answer to while you were away").await;
    let words = said(&home, &format!("slack:{WITH_ANN}")).await;
    assert_eq!(words, ["slowly", "draw", "long", "slowly", "while you were away"]);
}

#[tokio::test]
async fn a_mention_begins_a_thread_in_which_the_bot_stays() {
    let slack = Slack::start().await;
    let model = Model::start(echo).await;
    let home = home(&model, &slack, "", "");
    let _daemon = home.start().await;
    slack.says(ANN, TEAM, "just talking", json!({}));
    slack.says(STRANGER, TEAM, "<@U0BOT> open the door", json!({}));
    // Slack tells of a mention twice.
    let (event, ts) = slack.message(ANN, TEAM, "<@U0BOT> what about <@U08>?", json!({}));
    let mut mention = event.clone();
    mention["event"]["type"] = json!("app_mention");
    slack.envelope("events_api", mention);
    slack.envelope("events_api", event);
    let answer = slack.shows(TEAM, "answer to what about @Person U08?").await;
    assert_eq!(answer.fields["thread_ts"], json!(ts));
    // That the bot takes part is stored with its first message, so it is when there is a second one.
    slack.says(ANN, TEAM, "and more", json!({"thread_ts": ts}));
    slack.shows(TEAM, "answer to and more").await;
    slack.says(BEN, TEAM, "go on", json!({"thread_ts": ts}));
    slack.shows(TEAM, "answer to go on").await;
    // The bot's own messages come back as events.
    slack.says("U0BOT", TEAM, "answer to go on", json!({"thread_ts": ts, "bot_id": "B1"}));
    slack.says(ANN, TEAM, "an edit", json!({"thread_ts": ts, "subtype": "message_changed"}));
    let last = slack.says(ANN, TEAM, "thanks &amp; bye", json!({"thread_ts": ts}));
    slack.shows(TEAM, "answer to thanks &amp; bye").await;
    let conversation = format!("slack:{TEAM}/{ts}");
    assert_eq!(said(&home, &conversation).await, ["what about @Person U08?", "and more", "go on", "thanks & bye"]);
    assert!(last > ts);
    assert_eq!(home.json(&["session", "list"]).await.len(), 1);

    // In a direct message the conversation is the message itself, or a thread in it; slash commands belong there.
    slack.says(ANN, WITH_ANN, "hello", json!({}));
    slack.shows(WITH_ANN, "answer to hello").await;
    let aside = slack.says(ANN, WITH_ANN, "aside", json!({"thread_ts": "1700000099.000100"}));
    slack.shows(WITH_ANN, "answer to aside").await;
    assert_eq!(said(&home, &format!("slack:{WITH_ANN}/1700000099.000100")).await, ["aside"]);
    assert!(aside > ts);
    let command = |channel: &str, text: &str| {
        let trigger = format!("{channel}.{text}");
        let payload = json!({
            "command": "/pista", "text": text, "user_id": ANN, "user_name": "ann", "channel_id": channel,
            "channel_name": "x", "trigger_id": trigger, "team_id": "T1", "is_enterprise_install": "false"
        });
        slack.envelope("slash_commands", payload)
    };
    slack.acknowledged(&command(WITH_ANN, "status")).await;
    slack.shows(WITH_ANN, "Session ").await;
    let elsewhere = slack.acknowledged(&command(TEAM, "status")).await;
    assert!(elsewhere["payload"]["text"].as_str().unwrap().starts_with("Here, mention me"), "{elsewhere}");
}

#[tokio::test]
async fn a_question_is_answered_by_its_buttons_and_only_by_who_was_asked() {
    let slack = Slack::start().await;
    let model = Model::start(runs).await;
    let home = home(&model, &slack, "", "");
    let _daemon = home.start().await;
    let thread = slack.says(ANN, TEAM, "<@U0BOT> run it", json!({}));
    let question = slack.sees("chat.postMessage", |fields| fields["blocks"].is_array()).await;
    assert!(question.fields["blocks"][0]["text"]["text"].as_str().unwrap().contains("touch made-by-the-tool"));
    assert_eq!(question.fields["thread_ts"], json!(thread));
    let button = question.fields["blocks"][1]["elements"][0]["value"].as_str().unwrap().to_string();
    let made = home.workspace().join("made-by-the-tool");
    let presses = |person: &str| slack.envelope("interactive", slack.press(person, &question, &button));

    for other in [BEN, STRANGER] {
        presses(other);
        let told = slack.sees("chat.postEphemeral", |fields| fields["user"] == json!(other)).await;
        assert_eq!(told.fields["text"], json!("Only the person who was asked can answer this."));
        assert_eq!(told.fields["thread_ts"], json!(thread));
    }
    assert!(!made.exists());
    presses(ANN);
    slack.shows(TEAM, "It ran.").await;
    assert!(made.exists());
    let over = slack.sees("chat.update", |fields| fields["ts"] == question.answer["ts"]).await;
    let blocks = over.fields["blocks"].as_array().unwrap();
    assert_eq!(blocks.len(), 1, "no buttons: {over:?}");
    assert!(blocks[0]["text"]["text"].as_str().unwrap().ends_with("✅ Allowed by Person U07"), "{over:?}");

    presses(ANN);
    let late = "This is answered already, or its time is over.";
    slack.sees("chat.postEphemeral", |fields| fields["text"] == json!(late)).await;
    let ledger = home.json(&["ledger", "show"]).await;
    let lines: Vec<String> = ledger.iter().map(Value::to_string).filter(|line| line.contains("decide ")).collect();
    assert_eq!(lines.len(), 4, "{lines:?}");
    let secrets = [slack_api::BOT_TOKEN, slack_api::APP_TOKEN, SIGNING_SECRET, "ticket="];
    assert!(ledger.iter().all(|line| secrets.iter().all(|secret| !line.to_string().contains(secret))));
}

#[tokio::test]
async fn a_picture_that_a_person_sends_reaches_the_model() {
    let slack = Slack::start().await;
    let model = Model::start(echo).await;
    // The files are at the API's address here; one that lies elsewhere is not asked for with the token.
    let home = home(&model, &slack, "", "");
    let _daemon = home.start().await;
    let shot = |url: &str| {
        json!({"subtype": "file_share", "files": [
            {"id": "F1", "name": "a.png", "mimetype": "image/png", "size": 16, "url_private": url}
        ]})
    };
    slack.says(ANN, WITH_ANN, "what is this?", shot(&slack.file("a.png", PNG)));
    slack.shows(WITH_ANN, "answer to what is this?").await;
    let asked = model.asked().last().unwrap().to_string();
    assert!(asked.contains("data:image/png;base64,iVBORw0KGgp3aGF0ZXZlcg=="), "{asked}");

    // A page to sign in instead of the file; and an address of somebody else. Neither holds up the message.
    slack.says(ANN, WITH_ANN, "and this?", shot(&format!("{}/files-pri/not-there", slack.address())));
    slack.shows(WITH_ANN, "and this?").await;
    let asked = model.asked().last().unwrap().to_string();
    assert!(!asked.contains("Sign in"), "{asked}");
    slack.says(ANN, WITH_ANN, "or that?", shot("https://elsewhere.example/files-pri/b.png"));
    slack.shows(WITH_ANN, "or that?").await;
    assert!(refused(&home, "GET elsewhere.example/files-pri/b.png").await > 0);
}

#[tokio::test]
async fn the_socket_comes_back_at_a_new_address_whatever_breaks_it() {
    let slack = Slack::start().await;
    let model = Model::start(echo).await;
    let home = home(&model, &slack, "", "");
    slack.receives(Reception::Status(502, 0));
    slack.receives(Reception::Status(502, 0));
    slack.receives(Reception::Status(429, 1));
    slack.fails(
        "apps.connections.open",
        3,
        Failure::Status(429, 1, json!({"ok": false, "error": "ratelimited"}).to_string()),
    );
    slack.fails("apps.connections.open", 3, Failure::Status(502, 0, "<html>Bad Gateway".into()));
    let _daemon = home.start().await;
    status(&home, |row| row.contains("tried again soon") && row.contains("502")).await;
    let says = async |text: &str| {
        slack.says(ANN, WITH_ANN, text, json!({}));
        slack.shows(WITH_ANN, &format!("answer to {text}")).await;
    };
    says("one").await;
    assert_eq!(slack.connections(), (4, 1), "each address was used once");
    status(&home, |row| row.contains("\"live\"")).await;

    // What is no envelope harms nothing.
    for garbage in
        ["", "{", "[]", "\"\"", "{\"type\":7}", "{\"envelope_id\":{}}", "{\"type\":\"new\",\"envelope_id\":\"x\"}"]
    {
        slack.frame(garbage);
    }
    slack.binary(&[0, 159, 146, 150]);
    says("two").await;
    assert_eq!(slack.connections().1, 1, "the connection held");
    slack.frame(r#"{"type":"disconnect","reason":"refresh_requested","debug_info":{}}"#);
    until("another connection", async || (slack.connections().1 == 2).then_some(())).await;
    says("three").await;
    slack.tears();
    until("another connection", async || (slack.connections().1 == 3).then_some(())).await;
    says("four").await;
    assert_eq!(slack.connections(), (6, 3));
    assert_eq!(said(&home, &format!("slack:{WITH_ANN}")).await, ["one", "two", "three", "four"]);
}

#[tokio::test]
async fn a_server_that_accepts_and_never_answers_is_given_up_and_tried_again() {
    let slack = Slack::start().await;
    let model = Model::start(echo).await;
    let home = home(&model, &slack, "", ", stream = false");
    slack.receives(Reception::Silence);
    slack.fails("users.info", 0, Failure::Silence);
    slack.fails("chat.postMessage", 0, Failure::Silence);
    let _daemon = home.start().await;
    until("somebody to dial", async || (slack.attempts() == 1).then_some(())).await;
    status(&home, |row| row.contains("starting") || row.contains("connecting")).await;
    let envelope = slack.envelope("events_api", slack.message(ANN, WITH_ANN, "hello", json!({})).0);
    status(&home, |row| row.contains("tried again soon")).await;
    status(&home, |row| row.contains("\"live\"")).await;
    // The name is not waited for, the answer is sent again.
    slack.shows(WITH_ANN, "answer to hello").await;
    assert!(!slack.waits(&envelope));
    assert_eq!(slack.texts(WITH_ANN), ["answer to hello"]);
}

#[tokio::test]
async fn trouble_with_the_api_delays_a_reply_and_repeats_nothing() {
    let slack = Slack::start().await;
    let model = Model::start(several(&Arc::default())).await;
    let home = home(&model, &slack, "", ", stream = false");
    let _daemon = home.start().await;
    let limit = || Failure::Status(429, 1, json!({"ok": false, "error": "ratelimited"}).to_string());
    // The first message of it is taken, the second one refused for a second.
    slack.fails("chat.postMessage", 1, limit());
    slack.says(ANN, WITH_ANN, "long", json!({}));
    slack.shows(WITH_ANN, "The *end*.").await;
    assert_eq!((slack.texts(WITH_ANN).len(), slack.called("chat.postMessage").len()), (2, 3));
    for _ in 0..3 {
        slack.fails("chat.postMessage", 0, Failure::Status(502, 0, "<html>Bad Gateway".into()));
    }
    slack.says(ANN, WITH_ANN, "<!channel> *b*", json!({}));
    slack.shows(WITH_ANN, "answer to @channel").await;
    // A channel that is closed to us holds up no other.
    slack.refuses("chat.postMessage", "is_archived");
    let lost = slack.says(ANN, TEAM, "<@U0BOT> anybody?", json!({}));
    until("the attempt", async || {
        slack.called("chat.postMessage").into_iter().find(|call| call.fields["thread_ts"] == json!(lost))
    })
    .await;
    slack.says(ANN, WITH_ANN, "on", json!({}));
    slack.shows(WITH_ANN, "answer to on").await;
    assert_eq!(slack.texts(TEAM), Vec::<String>::new());
}

#[tokio::test]
async fn a_token_that_is_revoked_is_told_while_the_socket_is_open_and_nothing_is_lost() {
    let slack = Slack::start().await;
    let model = Model::start(echo).await;
    let home = home(&model, &slack, "", ", stream = false");
    let daemon = home.start().await;
    slack.says(ANN, WITH_ANN, "one", json!({}));
    slack.shows(WITH_ANN, "answer to one").await;
    slack.revokes(true);
    slack.envelope("events_api", json!({"type": "event_callback", "event": {"type": "tokens_revoked"}}));
    let row = status(&home, |row| row.contains("token_revoked")).await;
    assert!(row.contains("the secret bot-token is refused"), "{row}");
    slack.says(ANN, WITH_ANN, "two", json!({}));
    until("the turn", async || (model.asked().len() == 2).then_some(())).await;
    // A start with a token that is refused asks for another one, and says so.
    daemon.kill().await;
    let daemon = home.start().await;
    status(&home, |row| row.contains("needs a credential") && row.contains("token_revoked")).await;
    daemon.kill().await;
    slack.revokes(false);
    let _daemon = home.start().await;
    slack.shows(WITH_ANN, "answer to two").await;
    status(&home, |row| row.contains("\"live\"") && !row.contains("revoked")).await;
}

#[tokio::test]
async fn requests_are_believed_only_with_a_fresh_signature() {
    let slack = Slack::start().await;
    let model = Model::start(runs).await;
    let home = home(&model, &slack, "", ", mode = \"events\"");
    let daemon = home.start().await;
    let (json_kind, form) = ("application/json", "application/x-www-form-urlencoded");
    let at = now();
    let challenge = json!({"type": "url_verification", "challenge": "3eZbrw1aB"}).to_string();
    assert_eq!(hook(&daemon.address, SIGNING_SECRET, at, json_kind, &challenge).await, 200);
    let event = slack.message(ANN, WITH_ANN, "by request", json!({})).0.to_string();
    let sent = async |secret: &str, at: u64| hook(&daemon.address, secret, at, json_kind, &event).await;
    assert_eq!(sent("wrong-secret", at).await, 401);
    assert_eq!(sent(SIGNING_SECRET, at - 400).await, 401);
    assert_eq!(sent(SIGNING_SECRET, at + 400).await, 401);
    assert_eq!(try_post(&daemon.address, "/slack", "", &event).await, Some(401));
    assert_eq!(said(&home, &format!("slack:{WITH_ANN}")).await, Vec::<String>::new());
    assert_eq!(refused(&home, "verify signing-secret").await, 1);
    assert_eq!(sent(SIGNING_SECRET, at).await, 200);
    slack.shows(WITH_ANN, "answer to by request").await;
    // Sent again, as after a lost answer or by somebody who heard it: it is the same message.
    assert_eq!(sent(SIGNING_SECRET, at).await, 200);
    assert_eq!(said(&home, &format!("slack:{WITH_ANN}")).await, ["by request"]);

    let run = slack.message(ANN, WITH_ANN, "run it", json!({})).0.to_string();
    assert_eq!(hook(&daemon.address, SIGNING_SECRET, now(), json_kind, &run).await, 200);
    let question = slack.sees("chat.postMessage", |fields| fields["blocks"].is_array()).await;
    let value = question.fields["blocks"][1]["elements"][2]["value"].as_str().unwrap();
    let payload = slack.press(ANN, &question, value).to_string();
    let encoded = percent_encoding::utf8_percent_encode(&payload, percent_encoding::NON_ALPHANUMERIC);
    let press = format!("payload={encoded}");
    assert_eq!(hook(&daemon.address, "wrong-secret", now(), form, &press).await, 401);
    assert_eq!(hook(&daemon.address, SIGNING_SECRET, now(), form, &press).await, 200);
    slack.sees("chat.update", |fields| fields["text"].as_str().is_some_and(|text| text.contains("🚫 Denied"))).await;
    assert!(!home.workspace().join("made-by-the-tool").exists());
    let command = format!("command=%2Fpista&text=status&user_id={ANN}&channel_id={WITH_ANN}&trigger_id=13.37");
    assert_eq!(hook(&daemon.address, SIGNING_SECRET, now(), form, &command).await, 200);
    slack.shows(WITH_ANN, "Session ").await;
}

#[tokio::test]
async fn a_stranger_is_told_a_code_and_starts_nothing() {
    let slack = Slack::start().await;
    let model = Model::start(echo).await;
    let home = home(&model, &slack, "", "");
    reconfigure(&home, "contacts = \"allow\"\n", "");
    let _daemon = home.start().await;
    slack.says(STRANGER, "D09", "open the door", json!({}));
    slack.shows("D09", "openpista-host channel pair").await;
    let code = slack.texts("D09")[0].split_whitespace().last().unwrap().to_string();
    assert!(home.json(&["session", "list"]).await.is_empty());
    let (exit, out, _) = home.said(&["channel", "pair", &code]).await;
    assert_eq!((exit, out.contains("may write to slack now")), (Some(0), true), "{out}");
    slack.says(STRANGER, "D09", "hello", json!({}));
    slack.shows("D09", "answer to hello").await;
}

/// What the component says to slash commands in a channel, and what another version of it says.
const WORDS: &str = "Here, mention me: that begins a thread.";
const OTHERS: &str = "Mention me in here: so begins a thread.";

#[tokio::test]
async fn the_component_is_replaced_while_people_talk_and_the_socket_stays_open() {
    let slack = Slack::start().await;
    let model = Model::start(echo).await;
    let home = home(&model, &slack, "", "");
    let _daemon = home.start().await;
    let (exit, out, error) = home.said(&["plugin", "allow", "channel-slack"]).await;
    assert_eq!(exit, Some(0), "{out}{error}");
    let people = 10;
    let mut said_so_far = 0;
    let mut talk = |rounds: usize| {
        for round in said_so_far..said_so_far + rounds {
            (0..people).for_each(|one| {
                slack.says(ANN, &format!("D1{one}"), &format!("message {round}."), json!({}));
            });
        }
        said_so_far += rounds;
    };
    talk(2);
    slack.shows("D10", "answer to message 1.").await;
    let other = version(&std::fs::read(stock().join("channel-slack.wasm")).unwrap(), WORDS, OTHERS);
    let part = home.plugins().join("other.part");
    std::fs::write(&part, other).unwrap();
    talk(3);
    std::fs::rename(&part, home.plugins().join("channel-slack.wasm")).unwrap();
    talk(3);
    let command = json!({
        "command": "/pista", "text": "new", "user_id": ANN, "channel_id": TEAM, "trigger_id": "1.1"
    });
    until("the other version", async || {
        let id = slack.envelope("slash_commands", command.clone());
        slack.acknowledged(&id).await["payload"]["text"].as_str().filter(|said| said.starts_with(OTHERS)).map(drop)
    })
    .await;
    talk(2);
    let wanted: Vec<String> = (0..10).map(|round| format!("answer to message {round}.")).collect();
    for one in 0..people {
        let channel = format!("D1{one}");
        slack.shows(&channel, "answer to message 9.").await;
        assert_eq!(slack.texts(&channel), wanted);
    }
    assert_eq!(slack.connections(), (1, 1), "the first connection is the only one");
}

/// The persons of [`kills`] as Slack has them.
impl kills::Messenger for Slack {
    /// `client_msg_id` is for Slack's own clients.
    const KNOWS_AGAIN: bool = false;

    fn conversation(&self, chat: usize) -> String {
        format!("slack:D{}", 1_000 + chat)
    }

    fn says(&self, chat: usize, text: &str) {
        self.says(&format!("U{}", 1_000 + chat), &format!("D{}", 1_000 + chat), text, json!({}));
    }

    fn texts(&self, chat: usize) -> Vec<String> {
        self.texts(&format!("D{}", 1_000 + chat))
    }
}

#[tokio::test]
async fn killed_ten_times_it_loses_no_message_of_twenty_chats_and_answers_each_once() {
    let slack = Slack::start().await;
    let model = Model::start(echo).await;
    let home = home(&model, &slack, "", "");
    reconfigure(&home, "contacts = \"allow\"\nallow = [\"U07\", \"U08\"]\n", "contacts = \"open\"\n");
    kills::trial(&slack, &home, &model).await;
}
