//! The page's websocket against the executable: a question, its approval, its answer, and everything that can come
//! between them.

mod daemon;

use daemon::client::{Client, kind, kinds};
use daemon::{Home, until};
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

const QUESTION: &str = "show me the files here";

fn said_of(frames: &[Value]) -> Vec<&Value> {
    frames.iter().filter(|frame| kind(frame) == "said").collect()
}

#[tokio::test]
async fn a_question_is_asked_for_approval_and_answered_to_all_who_look_at_the_session() {
    let home = Home::new();
    let daemon = home.start().await;
    let mut client = daemon.client(&home, "talk").await;
    let mut other = daemon.client(&home, "talk").await;
    let mut elsewhere = daemon.client(&home, "another").await;

    client.say("m1", QUESTION).await;
    let approval = client.expect("approval").await;
    assert_eq!((&approval["tool"], &approval["arguments"]), (&json!("system.run"), &json!(r#"{"command":"ls -la"}"#)));
    client.decide(&approval, "once").await;
    let reply = client.expect("reply").await;
    assert!(reply["text"].as_str().unwrap().contains("marmalade.txt"), "{reply}");

    let story = kinds(&client.seen);
    let place = |wanted: &str| story.iter().position(|kind| *kind == wanted).unwrap_or_else(|| panic!("{story:?}"));
    assert!(place("said") < place("approval"), "{story:?}");
    assert!(place("approval") < place("decided"), "{story:?}");
    assert!(place("draft") < place("reply"), "{story:?}");
    let said = said_of(&client.seen);
    assert_eq!((said.len(), &said[0]["id"], &said[0]["text"]), (1, &json!("m1"), &json!(QUESTION)));

    assert_eq!(other.expect("reply").await, reply);
    assert!(other.seen.contains(&approval));
    elsewhere.ping().await;
    let foreign = ["said", "approval", "draft", "reply", "activity", "working"];
    assert!(!elsewhere.seen.iter().any(|frame| foreign.contains(&kind(frame))), "{:?}", kinds(&elsewhere.seen));
}

#[tokio::test]
async fn what_is_denied_is_not_run() {
    let home = Home::new();
    let daemon = home.start().await;
    let mut client = daemon.client(&home, "no").await;
    client.say("m1", "run touch made-by-the-tool").await;
    let approval = client.expect("approval").await;
    client.decide(&approval, "deny").await;
    assert_eq!(client.expect("decided").await["decision"], json!("deny"));
    client.expect("reply").await;
    assert!(!home.workspace().join("made-by-the-tool").exists());
}

#[tokio::test]
async fn a_permission_for_the_session_asks_once_and_only_there() {
    let home = Home::new();
    let daemon = home.start().await;
    let mut client = daemon.client(&home, "often").await;
    client.say("m1", QUESTION).await;
    let approval = client.expect("approval").await;
    client.decide(&approval, "session").await;
    client.expect("reply").await;
    client.say("m2", QUESTION).await;
    assert_eq!(kind(&client.expect_any(&["reply", "approval"]).await), "reply");
    let mut other = daemon.client(&home, "seldom").await;
    other.say("m3", QUESTION).await;
    assert_eq!(kind(&other.expect_any(&["reply", "approval"]).await), "approval");
}

#[tokio::test]
async fn a_permission_for_the_session_settles_the_other_questions_about_the_tool() {
    let home = Home::new();
    let daemon = home.start().await;
    let mut client = daemon.client(&home, "several").await;
    client.say("m1", "Show the files, the memory and the date").await;
    let mut asked = Vec::new();
    for _ in 0..3 {
        asked.push(client.expect("approval").await);
    }
    client.decide(&asked[1], "session").await;
    client.expect("reply").await;
    let decided = |frame: &&Value| kind(frame) == "decided";
    let mut settled: Vec<_> =
        client.seen.iter().filter(decided).map(|frame| (frame["id"].clone(), frame["decision"].clone())).collect();
    let mut expected: Vec<_> = asked.iter().map(|frame| (frame["id"].clone(), json!("session"))).collect();
    settled.sort_by_key(|(id, _)| id.to_string());
    expected.sort_by_key(|(id, _)| id.to_string());
    assert_eq!(settled, expected);
}

#[tokio::test]
async fn stop_ends_a_running_command_with_its_process() {
    let home = Home::new();
    let daemon = home.start().await;
    let mut client = daemon.client(&home, "stop").await;
    client.say("m1", "run `echo $$ > pid; exec sleep 100`").await;
    let approval = client.expect("approval").await;
    client.decide(&approval, "once").await;
    let file = home.workspace().join("pid");
    let pid =
        until("the command's process", async || std::fs::read_to_string(&file).ok()?.trim().parse::<u32>().ok()).await;
    let process = format!("/proc/{pid}/cmdline");
    let runs = || std::fs::read(&process).is_ok_and(|line| line.starts_with(b"sleep"));
    until("the command to run", async || runs().then_some(())).await;
    client.send(json!({"type": "stop"})).await;
    client.expect_any(&["failed", "notice", "reply"]).await;
    until("the command's end", async || (!runs()).then_some(())).await;
    client.say("m2", "hello").await;
    client.expect("reply").await;
}

#[tokio::test]
async fn a_client_that_comes_back_gets_what_it_missed_and_only_that() {
    let home = Home::new();
    let daemon = home.start().await;
    let mut client = daemon.client(&home, "again").await;
    client.say("m1", "hello").await;
    let first = client.expect("reply").await;
    drop(client);

    let mut client = daemon.client(&home, "again").await;
    let entries = |client: &Client| -> Vec<Value> {
        client.seen.iter().filter(|frame| kind(frame) == "entry").cloned().collect()
    };
    let told = |entries: &[Value]| -> Vec<(String, String)> {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_string();
        entries.iter().map(|entry| (text(&entry["author"]), text(&entry["parts"][0]["text"]))).collect()
    };
    let replayed = entries(&client);
    let reply = |frame: &Value| ("assistant".to_string(), frame["text"].as_str().unwrap().to_string());
    assert_eq!(told(&replayed), [("person".to_string(), "hello".to_string()), reply(&first)]);
    let seen = replayed.last().unwrap()["cursor"].as_u64().unwrap();

    client.say("m2", "and again").await;
    let second = client.expect("reply").await;
    client.say("m1", "hello").await;
    client.say("m3", QUESTION).await;
    let approval = client.expect("approval").await;
    drop(client);
    let mut client = Client::known(&daemon.address, &home.token(), "again", seen).await;
    assert!(client.seen.contains(&approval), "an open question is asked again: {:?}", client.seen);
    assert_eq!(
        told(&entries(&client)).into_iter().filter(|(_, text)| !text.is_empty()).take(3).collect::<Vec<_>>(),
        [("person".to_string(), "and again".to_string()), reply(&second), ("person".to_string(), QUESTION.to_string())]
    );
    client.decide(&approval, "once").await;
    client.expect("reply").await;
}

#[tokio::test]
async fn a_wrong_token_is_shown_the_door() {
    let home = Home::new();
    let daemon = home.start().await;
    let mut client = Client::connect(&daemon.address).await.unwrap();
    client.expect("sign-in").await;
    client.hello("0123456789012345678901", "talk", 0).await;
    assert_eq!(client.expect_end().await, Some(CloseCode::from(4401)));
    let mut silent = Client::connect(&daemon.address).await.unwrap();
    silent.say("m1", "hello").await;
    assert_eq!(silent.expect_end().await, Some(CloseCode::from(4401)));
    assert_eq!(home.json(&["session", "list"]).await, Vec::<Value>::new());
}

#[tokio::test]
async fn frames_that_make_no_sense_harm_nobody_else() {
    let home = Home::new();
    let daemon = home.start().await;
    let mut good = daemon.client(&home, "good").await;
    for message in [
        Message::text("{"),
        Message::text(""),
        Message::text("[[[[[[[[[["),
        Message::text(r#"{"type": 7}"#),
        Message::text(r#"{"type":"say","id":"../..","text":"x"}"#),
        Message::binary(vec![0, 159, 146, 150]),
        Message::text("x".repeat(600_000)),
    ] {
        let mut bad = daemon.client(&home, "bad").await;
        // The other side may close before all of it is sent.
        let _ = bad.raw(message).await;
        good.ping().await;
    }
    good.say("m1", "hello").await;
    good.expect("reply").await;
}
