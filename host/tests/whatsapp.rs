//! The WhatsApp channel with the executable, both ways. By the bridge: the real one with crabline, which speaks the protocol
//! of WhatsApp Web, and a stand-in that the test plays, for what crabline lacks: codes, pictures, a device that is logged
//! out. By the Cloud API: crabline's and `graph`, which has signed webhooks, buttons, files and errors.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "clippy exempts only functions that are tests themselves, not what they share"
)]

mod daemon;
#[path = "whatsapp/graph.rs"]
mod graph;
mod messenger;
#[path = "staged/skip.rs"]
mod skip;
#[path = "whatsapp/stand_in.rs"]
mod stand_in;
#[path = "whatsapp/world.rs"]
mod world;

use std::sync::Arc;

use daemon::{until, version};
use graph::{Graph, OTHER_PHONE, PHONE, SECRET, TOKEN, VERIFY, signature, webhook};
use messenger::home::{reconfigure, said, with_pictures};
use messenger::kills;
use messenger::model::{Model, echo, last, runs, several};
use messenger::service::{get, post};
use serde_json::{Value, json};
use skip::skip;
use stand_in::StandIn;
use tokio::sync::Notify;
use world::{ANN, BEN, Crabline, GROUP, STRANGER, allowed, jid, status, with_bridge, with_cloud};

/// The session of a device that was paired before, as far as the protocol needs it.
fn paired(home: &daemon::Home) {
    let session = home.path().join("channels/whatsapp/session");
    std::fs::create_dir_all(&session).unwrap();
    std::fs::write(session.join("creds.json"), r#"{"me":{"id":"15550000000:1@s.whatsapp.net","name":"Pista"}}"#)
        .unwrap();
}

/// The processes that run in the bridge's folder.
fn bridges(home: &daemon::Home) -> Vec<i32> {
    let folder = home.path().join("channels/whatsapp").canonicalize().unwrap();
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    processes
        .filter(|process| std::fs::read_link(process.path().join("cwd")).is_ok_and(|cwd| cwd == folder))
        .filter_map(|process| process.file_name().to_str()?.parse().ok())
        .collect()
}

#[tokio::test]
async fn crabline_takes_a_whole_conversation_of_the_real_bridge() {
    const NAME: &str = "whatsapp::crabline_takes_a_whole_conversation_of_the_real_bridge";
    let folder = tempfile::tempdir().unwrap();
    let crabline = match Crabline::start(folder.path()).await {
        Ok(crabline) => crabline,
        Err(why) => return skip(NAME, &why),
    };
    let bridge = match crabline.bridge(folder.path()) {
        Ok(bridge) => bridge,
        Err(why) => return skip(NAME, &why),
    };
    let gate = Arc::new(Notify::new());
    let (replies, commands) = (several(&gate), runs);
    let model = Model::start(move |request| match last(request).as_str() {
        "run it" => commands(request),
        _ if request.to_string().contains("made-by-the-tool") => commands(request),
        _ => replies(request),
    });
    let model = model.await;
    let home = with_bridge(&model, &bridge, "");
    paired(&home);
    let daemon = home.start().await;
    let ann = jid(ANN);
    status(&home, |row| row.contains("\"live\"") && !row.contains("no connection")).await;

    crabline.says(ANN, &ann, "hello").await;
    crabline.shows(&ann, "answer to hello").await;
    let session = home.path().join("channels/whatsapp/session/creds.json");
    let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&session).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600);

    // The bridge dies, and another one goes on with its session.
    let first = bridges(&home);
    assert_eq!(first.len(), 1);
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(first[0]), nix::sys::signal::Signal::SIGKILL).unwrap();
    crabline.says(ANN, &ann, "again").await;
    crabline.shows(&ann, "answer to again").await;
    assert_ne!(bridges(&home), first);

    crabline.says(ANN, &ann, "silently").await;
    until("the typing sign", async || {
        let signs = crabline.frames("chatstate");
        signs.iter().any(|sign| sign.to_string().contains("composing")).then_some(())
    })
    .await;
    gate.notify_one();
    crabline.shows(&ann, "Now I know.").await;

    crabline.says(ANN, &ann, "long").await;
    crabline.shows(&ann, "The *end*.").await;
    let pieces: Vec<(String, String)> = crabline.shown(&ann).into_iter().skip(3).collect();
    assert_eq!(pieces.len(), 2, "{pieces:#?}");
    assert!(pieces.iter().all(|(_, text)| text.chars().count() <= 4_000));
    assert!(pieces[1].1.starts_with("```let line_0 = 0 < 3"), "{pieces:#?}");

    let audio = json!({"contentBase64": "T2dnUwACAAAAAAAAAAA=", "mimeType": "audio/ogg; codecs=opus", "ptt": true});
    let before = model.asked().len();
    crabline.inbound(&json!({"chatJid": ann, "senderJid": ann, "audio": audio})).await;
    until("the voice note", async || (model.asked().len() > before).then_some(())).await;

    // Questions are asked in words, for there are no buttons.
    crabline.says(ANN, &ann, "run it").await;
    crabline.shows(&ann, "touch made-by-the-tool").await;
    let made = home.workspace().join("made-by-the-tool");
    assert!(!made.exists());
    crabline.says(ANN, &ann, "y").await;
    crabline.shows(&ann, "It ran.").await;
    assert!(made.exists());

    // Nobody mentions the bot in the group.
    crabline.says(BEN, GROUP, "just talking").await;
    crabline.says(STRANGER, &jid(STRANGER), "let me in").await;
    crabline.says(BEN, &jid(BEN), "hello").await;
    crabline.shows(&jid(BEN), "answer to hello").await;
    assert_eq!(said(&home, &format!("whatsapp:{GROUP}")).await, Vec::<String>::new());
    assert_eq!(said(&home, &format!("whatsapp:{STRANGER}")).await, Vec::<String>::new());

    // Killed in the middle of a turn: the next process goes on with it, as the device that it was.
    crabline.says(ANN, &ann, "silently").await;
    until("the turn", async || {
        (model.asked().iter().filter(|asked| last(asked) == "silently").count() == 2).then_some(())
    })
    .await;
    let creds = std::fs::read(&session).unwrap();
    daemon.kill().await;
    gate.notify_one();
    crabline.says(ANN, &ann, "while you were away").await;
    let _daemon = home.start().await;
    gate.notify_one();
    crabline.shows(&ann, "answer to while you were away").await;
    let key = |bytes: &[u8]| serde_json::from_slice::<Value>(bytes).unwrap()["noiseKey"].clone();
    assert_eq!(key(&creds), key(&std::fs::read(&session).unwrap()), "the session survives");
    let ids: Vec<String> = crabline.shown(&ann).into_iter().map(|(id, _)| id).collect();
    let mut once = ids.clone();
    once.sort();
    once.dedup();
    assert_eq!(ids.len(), once.len(), "nothing was sent twice under another id");
}

#[tokio::test]
async fn the_bridge_goes_on_while_its_component_is_replaced() {
    let bridge = StandIn::start().await;
    let model = Model::start(echo).await;
    let home = with_bridge(&model, &bridge.command(), "");
    let config = home.path().join("config.toml");
    let text = std::fs::read_to_string(&config).unwrap();
    home.configure(&text.replace("[channels.whatsapp]", "[channels.whatsapp]\nplugin = \"channel-whatsapp\""));
    let _daemon = home.start().await;
    let ann = jid(ANN);
    bridge.says(ANN, &ann, "one", json!({}));
    bridge.shows(&ann, "answer to one").await;
    let file = home.plugins().join("channel-whatsapp.wasm");
    let other = version(&std::fs::read(&file).unwrap(), "Chat on WhatsApp", "Talk on WhatsApp");
    let (exit, _, error) = home.said(&["plugin", "allow", "channel-whatsapp"]).await;
    assert_eq!(exit, Some(0), "{error}");
    std::fs::write(&file, other).unwrap();
    bridge.says(ANN, &ann, "two", json!({}));
    until("the new component", async || {
        let plugins = home.json(&["plugin", "list"]).await;
        plugins.iter().any(|plugin| plugin.to_string().contains("Talk on WhatsApp")).then_some(())
    })
    .await;
    bridge.says(ANN, &ann, "three", json!({}));
    bridge.shows(&ann, "answer to three").await;
    assert_eq!(bridge.starts(), 1, "the same process serves on");
    assert_eq!(said(&home, &format!("whatsapp:{ANN}")).await, ["one", "two", "three"]);
}

#[tokio::test]
async fn pictures_go_both_ways_and_groups_hear_only_what_is_meant_for_them() {
    let bridge = StandIn::start().await;
    let model = Model::start(several(&Arc::default())).await;
    let home = with_bridge(&model, &bridge.command(), "");
    if !with_pictures(&home) {
        return skip("whatsapp::pictures_go_both_ways_and_groups_hear_only_what_is_meant_for_them", "no guests");
    }
    let _daemon = home.start().await;
    let ann = jid(ANN);
    bridge.says(ANN, &ann, "draw", json!({}));
    bridge.shows(&ann, "It is *drawn*.").await;
    let parts = bridge.parts(&ann);
    assert!(parts.iter().any(|part| part["media"]["mime"] == "image/png"), "{parts:#?}");
    let picture = json!({"media": {"mime": "image/png", "name": null, "data": "iVBORw0KGgp3aGF0ZXZlcg=="}});
    bridge.says(ANN, &ann, "what is this?", picture);
    bridge.shows(&ann, "answer to what is this?").await;
    assert!(model.asked().last().unwrap().to_string().contains("data:image/png;base64,iVBORw0KGgp3aGF0ZXZlcg=="));

    bridge.says(ANN, GROUP, "just talking", json!({}));
    let mention = json!({"mentions": ["15550000000@s.whatsapp.net"]});
    bridge.says(STRANGER, GROUP, "@15550000000 let me in", mention.clone());
    bridge.says(BEN, GROUP, "@15550000000 hello there", mention);
    bridge.shows(GROUP, "answer to hello there").await;
    assert_eq!(said(&home, &format!("whatsapp:{GROUP}")).await, ["hello there"]);
    let orders = bridge.orders("show");
    assert!(orders.iter().any(|order| order["chat"] == GROUP && order["quote"] == "{}"), "it answers the message");
    until("all to be acknowledged", async || (bridge.orders("ack").len() == 5).then_some(())).await;
}

#[tokio::test]
async fn with_stream_a_reply_grows_in_one_message() {
    let bridge = StandIn::start().await;
    let gate = Arc::new(Notify::new());
    let model = Model::start(several(&gate)).await;
    let home = with_bridge(&model, &bridge.command(), ", stream = true");
    let _daemon = home.start().await;
    let ann = jid(ANN);
    bridge.says(ANN, &ann, "slowly", json!({}));
    bridge.shows(&ann, "The beg").await;
    gate.notify_one();
    bridge.shows(&ann, "The beginning of it, and the end.").await;
    assert_eq!(bridge.parts(&ann).len(), 1, "{:?}", bridge.parts(&ann));
    assert!(bridge.orders("show").len() > 1);
}

#[tokio::test]
async fn a_bridge_that_fails_or_dies_or_talks_nonsense_loses_nothing() {
    let bridge = StandIn::start().await;
    let model = Model::start(echo).await;
    let home = with_bridge(&model, &bridge.command(), "");
    let _daemon = home.start().await;
    let ann = jid(ANN);
    bridge.writes("(node:1) Warning: this is no JSON");
    bridge.writes("{\"type\":\"news\"}");
    bridge.says(ANN, &ann, "one", json!({}));
    bridge.shows(&ann, "answer to one").await;
    bridge.fails(1);
    bridge.says(ANN, &ann, "two", json!({}));
    bridge.shows(&ann, "answer to two").await;
    bridge.dies();
    until("another start", async || (bridge.starts() == 2).then_some(())).await;
    bridge.says(ANN, &ann, "three", json!({}));
    bridge.shows(&ann, "answer to three").await;
    assert_eq!(said(&home, &format!("whatsapp:{ANN}")).await, ["one", "two", "three"]);
    let texts: Vec<Value> = bridge.parts(&ann);
    assert_eq!(texts.len(), 3, "{texts:?}");
}

#[tokio::test]
async fn the_operator_sees_the_code_and_what_is_wrong_with_the_bridge() {
    let bridge = StandIn::start().await;
    let model = Model::start(echo).await;
    let home = with_bridge(&model, &bridge.command(), "");
    let _daemon = home.start().await;
    bridge.writes(json!({"type": "qr", "qr": "2@abc,def=,ghi="}).to_string());
    let row = status(&home, |row| row.contains("waits to be scanned")).await;
    assert!(row.contains("2@abc,def=,ghi="), "{row}");
    let (_, out, _) = home.said(&["channel", "status"]).await;
    assert!(out.contains("To be scanned for whatsapp") && out.contains("██"), "{out}");
    let (_, out, _) = home.said(&["channel", "list"]).await;
    assert!(!out.contains("██"), "{out}");
    bridge.writes(json!({"type": "connected", "me": []}).to_string());
    status(&home, |row| !row.contains("scanned")).await;
    bridge.writes(json!({"type": "offline", "why": "no net"}).to_string());
    status(&home, |row| row.contains("no connection to WhatsApp (no net)")).await;
    bridge.writes(json!({"type": "logged-out", "why": "by the phone"}).to_string());
    status(&home, |row| row.contains("logged this device out") && row.contains("channel restart")).await;
    let starts = bridge.starts();
    let (exit, ..) = home.said(&["channel", "restart", "whatsapp"]).await;
    assert_eq!(exit, Some(0));
    until("another start", async || (bridge.starts() > starts).then_some(())).await;
}

#[tokio::test]
async fn a_bridge_that_is_not_installed_is_named() {
    let model = Model::start(echo).await;
    let home = with_bridge(&model, "[\"openpista-no-such-bridge\"]", "");
    let _daemon = home.start().await;
    let row = status(&home, |row| row.contains("could not be started")).await;
    assert!(row.contains("openpista-no-such-bridge"), "{row}");
}

#[tokio::test]
async fn crabline_takes_a_conversation_by_the_cloud_api() {
    const NAME: &str = "whatsapp::crabline_takes_a_conversation_by_the_cloud_api";
    let folder = tempfile::tempdir().unwrap();
    let crabline = match Crabline::start(folder.path()).await {
        Ok(crabline) => crabline,
        Err(why) => return skip(NAME, &why),
    };
    let model = Model::start(several(&Arc::default())).await;
    let home = with_cloud(&model, &crabline.api(), "");
    let daemon = home.start().await;
    // Its number; the read sign needs a message that it knows, which it does not when the test brings it.
    for (id, text) in [("wamid.A", "hello"), ("wamid.B", "long")] {
        let body = webhook("100000000000000", ANN, id, "text", json!({"body": text}));
        assert_eq!(post(&daemon.address, "/whatsapp", &signature(&body, SECRET), &body).await, 200);
    }
    let texts = until("the replies", async || {
        let posted = crabline.posted();
        let texts: Vec<(Value, bool)> = posted.into_iter().filter(|(body, _)| body["type"] == "text").collect();
        texts.iter().any(|(body, _)| body.to_string().contains("The *end*")).then_some(texts)
    })
    .await;
    assert!(texts.iter().all(|(body, accepted)| *accepted && body["to"] == ANN), "{texts:#?}");
    assert_eq!(texts[0].0["text"]["body"], "answer to hello");
    assert_eq!(texts.len(), 3);
}

#[tokio::test]
async fn only_signed_webhooks_count_and_each_message_once() {
    let api = Graph::start().await;
    let model = Model::start(echo).await;
    let home = with_cloud(&model, &api.api(), "");
    let daemon = home.start().await;
    let ask = async |token: &str| {
        let query = format!("hub.mode=subscribe&hub.challenge=1158201444&hub.verify_token={token}");
        get(&daemon.address, &format!("/whatsapp?{query}")).await
    };
    assert_eq!(ask(VERIFY).await, (200, "1158201444".into()));
    assert_eq!(ask("guessed").await.0, 403);

    let body = webhook(PHONE, ANN, "wamid.1", "text", json!({"body": "by hook"}));
    let other = body.replace("by hook", "by hack");
    let bring = async |headers: &str, body: &str| post(&daemon.address, "/whatsapp", headers, body).await;
    let right = signature(&body, SECRET);
    assert_eq!([bring("", &body).await, bring(&right, &other).await], [401, 401]);
    assert_eq!(bring(&signature(&body, "another secret that is as long"), &body).await, 401);
    assert_eq!(said(&home, &format!("whatsapp:{PHONE}/{ANN}")).await, Vec::<String>::new());
    assert_eq!([bring(&right, &body).await, bring(&right, &body).await], [200, 200]);
    api.shows(ANN, "answer to by hook").await;
    assert_eq!(bring(&right, &body).await, 200);
    assert_eq!(said(&home, &format!("whatsapp:{PHONE}/{ANN}")).await, ["by hook"]);

    // The same person at another number of ours: another conversation, answered from there.
    let body = webhook(OTHER_PHONE, ANN, "wamid.2", "text", json!({"body": "and here"}));
    assert_eq!(bring(&signature(&body, SECRET), &body).await, 200);
    let shown = api.shows(ANN, "answer to and here").await;
    assert_eq!(shown.phone, OTHER_PHONE);
    assert_eq!(said(&home, &format!("whatsapp:{OTHER_PHONE}/{ANN}")).await, ["and here"]);
    let log = daemon.log();
    for secret in [TOKEN, SECRET, VERIFY] {
        assert!(!log.contains(secret), "{log}");
    }
}

#[tokio::test]
async fn a_stranger_starts_nothing_until_the_operator_pairs_them() {
    let api = Graph::start().await;
    let model = Model::start(echo).await;
    let home = with_cloud(&model, &api.api(), "");
    reconfigure(&home, &allowed(), "");
    api.brings_to(&home);
    let _daemon = home.start().await;
    api.says(STRANGER, "open the door");
    api.shows(STRANGER, "openpista-host channel pair").await;
    let code = api.texts(STRANGER)[0].split_whitespace().last().unwrap().to_string();
    assert!(home.json(&["session", "list"]).await.is_empty());
    let (exit, ..) = home.said(&["channel", "pair", &code]).await;
    assert_eq!(exit, Some(0));
    api.says(STRANGER, "hello");
    api.shows(STRANGER, "answer to hello").await;
}

fn button(question: &graph::Call) -> String {
    let buttons = &question.body["interactive"]["action"]["buttons"];
    buttons[0]["reply"]["id"].as_str().unwrap().to_string()
}

#[tokio::test]
async fn a_question_is_answered_by_its_buttons_and_only_by_who_was_asked() {
    let api = Graph::start().await;
    let model = Model::start(runs).await;
    let home = with_cloud(&model, &api.api(), "");
    api.brings_to(&home);
    let _daemon = home.start().await;
    api.says(ANN, "run it");
    let question = api.sees("the question", |body| body["type"] == "interactive").await;
    assert!(question.body.to_string().contains("touch made-by-the-tool"));
    let made = home.workspace().join("made-by-the-tool");
    api.presses(BEN, &button(&question));
    api.shows(BEN, "Only the person who was asked can answer this.").await;
    assert!(!made.exists());
    api.presses(ANN, &button(&question));
    api.shows(ANN, "It ran.").await;
    assert!(made.exists());
    api.presses(ANN, &button(&question));
    api.shows(ANN, "This is answered already, or its time is over.").await;
    let ledger = home.json(&["ledger", "show"]).await;
    let lines: Vec<String> = ledger.iter().map(Value::to_string).filter(|line| line.contains("decide ")).collect();
    assert_eq!(lines.len(), 3, "{lines:?}");
}

#[tokio::test]
async fn a_question_that_nobody_answers_ends_and_says_so() {
    let api = Graph::start().await;
    let model = Model::start(runs).await;
    let home = with_cloud(&model, &api.api(), "approval_timeout = \"1s\"");
    api.brings_to(&home);
    let _daemon = home.start().await;
    api.says(ANN, "run it");
    api.shows(ANN, "⌛ Not answered in time").await;
    let question = api.sees("the question", |body| body["type"] == "interactive").await;
    api.presses(ANN, &button(&question));
    api.shows(ANN, "its time is over").await;
    assert!(!home.workspace().join("made-by-the-tool").exists());
}

#[tokio::test]
async fn pictures_go_both_ways_by_the_cloud_api() {
    let api = Graph::start().await;
    let gate = Arc::new(Notify::new());
    let model = Model::start(several(&gate)).await;
    let home = with_cloud(&model, &api.api(), "");
    if !with_pictures(&home) {
        return skip("whatsapp::pictures_go_both_ways_by_the_cloud_api", "the guests of the tests are not built");
    }
    api.brings_to(&home);
    let _daemon = home.start().await;
    api.says(ANN, "draw");
    api.shows(ANN, "It is *drawn*.").await;
    let image = api.sees("the picture", |body| body["type"] == "image").await;
    assert_eq!(image.body["image"], json!({"id": "uploaded"}));
    assert!(api.called("media")[0].body.as_str().unwrap().contains("filename=\"pixel.png\""));

    api.file("large", b"\x89PNG\r\n\x1a\nwhatever".to_vec());
    api.event(PHONE, ANN, "image", json!({"id": "large", "mime_type": "image/png", "caption": "what is this?"}));
    api.shows(ANN, "answer to what is this?").await;
    assert!(model.asked().last().unwrap().to_string().contains("data:image/png;base64,iVBORw0KGgp3aGF0ZXZlcg=="));

    let id = api.says(ANN, "silently");
    api.sees("the typing sign", |body| {
        body["message_id"] == json!(id) && body["typing_indicator"] == json!({"type": "text"})
    })
    .await;
    gate.notify_one();
    api.shows(ANN, "Now I know.").await;
}

#[tokio::test]
async fn limits_and_bad_gateways_in_the_middle_of_a_long_reply_repeat_nothing() {
    let api = Graph::start().await;
    let model = Model::start(several(&Arc::default())).await;
    let home = with_cloud(&model, &api.api(), "");
    api.brings_to(&home);
    let _daemon = home.start().await;
    api.says(ANN, "hello");
    api.shows(ANN, "answer to hello").await;
    // The first message of it is taken, the second one is not, for some time.
    for (well, status, code) in [(1, 400, 131_056), (0, 502, 0), (0, 502, 0)] {
        api.fails("messages", well, status, code);
    }
    api.says(ANN, "long");
    api.shows(ANN, "The *end*.").await;
    assert_eq!(api.texts(ANN).len(), 3, "{:?}", api.texts(ANN));
    // More than a day has passed: that one is given up, and what comes later is shown.
    api.fails("messages", 0, 400, 131_047);
    api.says(ANN, "too late");
    until("the refusal", async || {
        api.called("messages")
            .iter()
            .any(|call| call.status == 400 && call.body["text"]["body"] == "answer to too late")
            .then_some(())
    })
    .await;
    api.says(ANN, "on");
    api.shows(ANN, "answer to on").await;
    assert_eq!(api.texts(ANN)[3..], ["answer to on"]);
}

#[tokio::test]
async fn a_token_that_is_taken_away_while_it_runs_is_told_and_nothing_is_lost() {
    let api = Graph::start().await;
    let model = Model::start(echo).await;
    let home = with_cloud(&model, &api.api(), "");
    api.brings_to(&home);
    let daemon = home.start().await;
    api.says(ANN, "one");
    api.shows(ANN, "answer to one").await;
    api.refuses(true);
    api.says(ANN, "two");
    status(&home, |row| row.contains("the access token is refused")).await;
    daemon.kill().await;
    api.refuses(false);
    let _daemon = home.start().await;
    api.shows(ANN, "answer to two").await;
    status(&home, |row| !row.contains("token is refused")).await;
    assert_eq!(api.texts(ANN), ["answer to one", "answer to two"]);
    let ledger = home.json(&["ledger", "show"]).await;
    assert!(ledger.iter().all(|line| !line.to_string().contains(TOKEN)), "the token is in the ledger");
}

#[tokio::test]
async fn without_its_secrets_the_cloud_mode_says_what_it_needs() {
    let api = Graph::start().await;
    let model = Model::start(echo).await;
    let home = with_cloud(&model, &api.api(), "");
    reconfigure(&home, &format!("app-secret = \"{SECRET}\", "), "");
    let _daemon = home.start().await;
    status(&home, |row| row.contains("it needs the secret app-secret")).await;
}

fn person(chat: usize) -> String {
    format!("1555222{:04}", chat)
}

/// The persons of [`kills`] by the Cloud API.
impl kills::Messenger for Graph {
    /// There are no keys by which a message that is sent again would be known.
    const KNOWS_AGAIN: bool = false;

    fn conversation(&self, chat: usize) -> String {
        format!("whatsapp:{PHONE}/{}", person(chat))
    }

    fn says(&self, chat: usize, text: &str) {
        self.says(&person(chat), text);
    }

    fn texts(&self, chat: usize) -> Vec<String> {
        self.texts(&person(chat))
    }
}

#[tokio::test]
async fn killed_ten_times_the_cloud_mode_loses_no_message_of_twenty_chats() {
    let api = Graph::start().await;
    let model = Model::start(echo).await;
    let home = with_cloud(&model, &api.api(), "");
    reconfigure(&home, &allowed(), "contacts = \"open\"\n");
    api.brings_to(&home);
    kills::trial(&api, &home, &model).await;
}

/// The persons of [`kills`] by a bridge.
impl kills::Messenger for StandIn {
    /// By the key of each message.
    const KNOWS_AGAIN: bool = true;

    fn conversation(&self, chat: usize) -> String {
        format!("whatsapp:{}", person(chat))
    }

    fn says(&self, chat: usize, text: &str) {
        self.says(&person(chat), &jid(&person(chat)), text, json!({}));
    }

    fn texts(&self, chat: usize) -> Vec<String> {
        let parts = self.parts(&jid(&person(chat)));
        parts.iter().filter_map(|part| part["text"].as_str().map(str::to_string)).collect()
    }
}

#[tokio::test]
async fn killed_ten_times_with_a_bridge_it_answers_each_message_of_twenty_chats_once() {
    let bridge = StandIn::start().await;
    let model = Model::start(echo).await;
    let home = with_bridge(&model, &bridge.command(), "");
    reconfigure(&home, &allowed(), "contacts = \"open\"\n");
    kills::trial(&bridge, &home, &model).await;
}
