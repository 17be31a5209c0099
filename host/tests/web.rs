//! The page's websocket against the executable: a question, its approval, its answer, and everything that can come
//! between them.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "clippy exempts only functions that are tests themselves, not what they share"
)]

mod daemon;

use daemon::client::{Client, kind, kinds};
use daemon::{Daemon, Home, PATIENCE, until};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;
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
async fn frames_that_make_no_sense_are_passed_over() {
    let home = Home::new();
    let daemon = home.start().await;
    let mut good = daemon.client(&home, "good").await;
    let mut bad = daemon.client(&home, "bad").await;
    for (message, complaint) in [
        (Message::text("{"), None),
        (Message::text(""), None),
        (Message::text("[[[[[[[[[["), None),
        (Message::binary(vec![0, 159, 146, 150]), None),
        (Message::text("x".repeat(600_000)), None),
        (Message::text(r#"{"type": 7}"#), Some("does not know this kind")),
        (Message::text(r#"{"type":"say","id":"../..","text":"x"}"#), Some("needs an id")),
    ] {
        bad.raw(message).await.unwrap();
        bad.send(json!({"type": "ping"})).await;
        let answer = bad.expect_any(&["pong", "error"]).await;
        match complaint {
            None => assert_eq!(kind(&answer), "pong", "{answer}"),
            Some(words) => {
                assert!(answer["text"].as_str().unwrap().contains(words), "{answer}");
                bad.expect("pong").await;
            }
        }
        good.ping().await;
    }
    good.say("m1", "hello").await;
    good.expect("reply").await;
}

/// The bytes of a connection that is a websocket from here on.
async fn bare(daemon: &Daemon) -> TcpStream {
    let mut stream = TcpStream::connect(daemon.address.strip_prefix("http://").unwrap()).await.unwrap();
    let request = "GET /ws HTTP/1.1\r\nhost: localhost\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
                   sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    assert!(head.starts_with(b"HTTP/1.1 101 "), "{}", String::from_utf8_lossy(&head));
    stream
}

#[tokio::test]
async fn bytes_that_are_no_frames_close_their_own_connection_and_say_why() {
    let home = Home::new();
    let daemon = home.start().await;
    let mut good = daemon.client(&home, "good").await;
    let not_utf8 = [0x81, 0x82, 0, 0, 0, 0, 0xc3, 0x28];
    let not_masked = [0x81, 0x01, b'x'];
    let unknown_opcode = [0x83, 0x80, 0, 0, 0, 0];
    // A text of 2^62 bytes.
    let too_long = [0x81, 0xff, 0x40, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    for (bytes, code) in
        [(&not_utf8[..], 1007), (&not_masked[..], 1002), (&unknown_opcode[..], 1002), (&too_long[..], 1009)]
    {
        let mut stream = bare(&daemon).await;
        stream.write_all(bytes).await.unwrap();
        let mut frames = Vec::new();
        timeout(PATIENCE, stream.read_to_end(&mut frames)).await.expect("the connection ends").unwrap();
        // A frame of the page's own may come before.
        let close = frames.windows(4).find(|bytes| bytes[0] == 0x88).expect("a close frame");
        assert_eq!(u16::from_be_bytes([close[2], close[3]]), code);
        good.ping().await;
    }
    good.say("m1", "hello").await;
    good.expect("reply").await;
}

#[tokio::test]
async fn a_client_that_vanishes_in_the_middle_of_its_turn_finds_the_answer_when_it_is_back() {
    let home = Home::new();
    let daemon = home.start().await;
    let mut client = daemon.client(&home, "gone").await;
    let mut other = daemon.client(&home, "gone").await;
    client.say("m1", QUESTION).await;
    client.expect("approval").await;
    client.vanish();
    let approval = other.expect("approval").await;
    // Another one is gone in the middle of a frame.
    let mut stream = bare(&daemon).await;
    stream.write_all(&[0x81, 0xff, 0, 0]).await.unwrap();
    stream.set_zero_linger().unwrap();
    drop(stream);
    other.decide(&approval, "once").await;
    let reply = other.expect("reply").await;
    let client = daemon.client(&home, "gone").await;
    let answers: Vec<&Value> = client.seen.iter().filter(|frame| frame["author"] == json!("assistant")).collect();
    let last = answers.last().unwrap()["parts"][0]["text"].as_str().unwrap();
    assert!(reply["text"].as_str().unwrap().ends_with(last), "{reply}\n{answers:?}");
    assert!(daemon.end().await.success());
}

#[tokio::test]
async fn a_client_that_does_not_read_is_let_go_and_others_go_on() {
    const LONG: usize = 200_000;
    let home = Home::new();
    let daemon = home.start().await;
    let mut deaf = daemon.client(&home, "deaf").await;
    let mut good = daemon.client(&home, "good").await;
    for number in 0..5 {
        deaf.say(&format!("deaf-{number}"), &"long ".repeat(LONG / 5)).await;
        deaf.expect("reply").await;
    }
    // Each time it gets all of that again, and reads nothing of it.
    let hello = json!({"type": "hello", "session": "deaf", "seen": 0, "token": home.token()});
    for _ in 0..100 {
        deaf.send(hello.clone()).await;
    }
    let told = async || daemon.log().contains("the peer does not read").then_some(());
    until("the client to be let go", async || {
        good.ping().await;
        told().await
    })
    .await;
    deaf.expect_end().await;
    good.say("good-1", "hello").await;
    good.expect("reply").await;
    let mut back = daemon.client(&home, "deaf").await;
    assert_eq!(back.seen.iter().filter(|frame| frame["author"] == json!("person")).count(), 5);
    back.say("back-1", "hello").await;
    back.expect("reply").await;
}
