//! `kill -9` at any moment: whatever a client was told is said is answered, once and in order, by the next process.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "clippy exempts only functions that are tests themselves, not what they share"
)]

mod daemon;

use std::collections::{BTreeSet, VecDeque};
use std::os::unix::process::ExitStatusExt as _;
use std::time::Duration;

use daemon::client::{Client, PAUSE, kind};
use daemon::{Daemon, Home, PATIENCE};
use openpista_host::store::{Options, Store};
use serde_json::{Value, json};
use tokio::time::{Instant, timeout};

/// Messages of one run.
const MESSAGES: usize = 6;
/// Failpoints that can be armed by name.
const FAILPOINTS: [&str; 4] =
    ["store.before-commit", "store.after-commit", "deliver.before-send", "deliver.after-send"];

/// The words of a message; the demo model answers without a tool.
fn words(number: usize) -> String {
    format!("hello number {number}")
}

/// What a client still has to say, whatever becomes of the daemon in between.
struct Talk {
    unsaid: VecDeque<usize>,
    said: BTreeSet<usize>,
}

impl Talk {
    fn new() -> Self {
        Self { unsaid: (1..=MESSAGES).collect(), said: BTreeSet::new() }
    }

    /// Says what is unsaid until all is, or the connection ends. Each message waits for the word that the one before it
    /// is stored, so the order is the client's.
    async fn go_on(&mut self, daemon: &Daemon, home: &Home) -> Option<()> {
        let mut client = Client::connect(&daemon.address).await.ok()?;
        let hello = json!({"type": "hello", "session": "crash", "seen": 0, "token": home.token()});
        client.try_send(hello).await.ok()?;
        let end = Instant::now() + PATIENCE;
        while let Some(number) = self.unsaid.front().copied() {
            let id = format!("m{number}");
            client.try_send(json!({"type": "say", "id": id, "text": words(number)})).await.ok()?;
            loop {
                let frame = client.next(end).await.ok()??;
                if kind(&frame) == "said" && frame["id"] == json!(id) {
                    break;
                }
            }
            self.unsaid.pop_front();
            self.said.insert(number);
        }
        Some(())
    }
}

/// The messages of the one session: role and text.
async fn story(home: &Home) -> Vec<(String, String)> {
    let sessions = home.json(&["session", "list"]).await;
    let Some(id) = sessions.first().and_then(|session| session["id"].as_str()) else { return Vec::new() };
    assert_eq!(sessions.len(), 1, "{sessions:?}");
    let shown = home.json(&["session", "show", id]).await;
    shown.iter().filter_map(|line| line.get("message")).map(|line| told(&line["message"])).collect()
}

fn told(message: &Value) -> (String, String) {
    let parts = message["parts"].as_array().cloned().unwrap_or_default();
    let text: String = parts.iter().filter_map(|part| part["body"]["text"].as_str()).collect();
    (message["role"].as_str().unwrap_or_default().to_string(), text)
}

/// Asks until every message has an answer, then judges what is stored.
async fn judge(home: &Home, daemon: &Daemon, what: &str) {
    let end = Instant::now() + PATIENCE;
    let story = loop {
        let story = story(home).await;
        let answered = story.iter().filter(|(role, _)| role == "assistant").count();
        if answered >= MESSAGES && idle(home).await {
            break story;
        }
        assert!(Instant::now() < end, "{what}: not all is answered: {story:#?}\n{}", daemon.log());
        tokio::time::sleep(PAUSE).await;
    };
    let roles: Vec<&str> = story.iter().map(|(role, _)| role.as_str()).collect();
    assert_eq!(roles, ["user", "assistant"].repeat(MESSAGES), "{what}: {story:#?}");
    let asked: Vec<&str> = story.iter().filter(|(role, _)| role == "user").map(|(_, text)| text.as_str()).collect();
    assert_eq!(asked, (1..=MESSAGES).map(words).collect::<Vec<_>>(), "{what}");
    assert!(story.iter().all(|(_, text)| !text.is_empty()), "{what}: {story:#?}");
}

/// No turn runs.
async fn idle(home: &Home) -> bool {
    home.json(&["status"]).await.iter().any(|status| status["turns"] == json!(0))
}

/// No message and no delivery is left in the store; its daemon has ended.
fn nothing_waits(home: &Home, what: &str) {
    let store = Store::open(home.path().join("openpista.redb"), Options::default()).unwrap();
    let waiting = store.read(|tx| Ok((tx.inbox_conversations()?, tx.outbox_conversations()?))).unwrap();
    assert_eq!(waiting, (Vec::new(), Vec::new()), "{what}");
    store.close();
}

async fn survives_failpoint(name: &str, count: u32) {
    let what = format!("{name}:{count}");
    let home = Home::new();
    let mut talk = Talk::new();
    let mut first = home.launch(&[("OPENPISTA_FAILPOINT", &what)]);
    if first.ready(&home).await.is_some() {
        // The kill comes while messages are said, or while they are answered.
        let _ = talk.go_on(&first, &home).await;
    }
    assert_eq!(
        first.ended().await.signal(),
        Some(nix::sys::signal::Signal::SIGKILL as i32),
        "{what} was not reached:\n{}",
        first.log()
    );
    let second = home.start().await;
    talk.go_on(&second, &home).await.unwrap_or_else(|| panic!("{what}: the second daemon ended:\n{}", second.log()));
    judge(&home, &second, &what).await;
    assert!(second.end().await.success(), "{what}");
    nothing_waits(&home, &what);
}

/// Kills the daemon after so long, again and again, then lets one live.
async fn survives_kills(delays: &[Duration]) {
    let what = format!("killed after {delays:?}");
    let home = Home::new();
    let mut talk = Talk::new();
    for delay in delays {
        let daemon = home.start().await;
        let talking = timeout(*delay, talk.go_on(&daemon, &home));
        if matches!(talking.await, Ok(Some(()))) {
            // Said faster than that: the kill meets the answers.
            tokio::task::yield_now().await;
        }
        daemon.kill().await;
    }
    let daemon = home.start().await;
    talk.go_on(&daemon, &home).await.unwrap_or_else(|| panic!("{what}: the last daemon ended:\n{}", daemon.log()));
    judge(&home, &daemon, &what).await;
    assert!(daemon.end().await.success(), "{what}");
    nothing_waits(&home, &what);
}

/// Without a crate for it: the digits of a new id are random enough to choose moments.
fn delays(count: usize) -> Vec<Duration> {
    let bytes = std::iter::repeat_with(openpista_host::message::new_id).flat_map(String::into_bytes);
    bytes.take(count).map(|byte| Duration::from_millis(u64::from(byte) * 3)).collect()
}

#[tokio::test]
async fn a_kill_before_a_commit_loses_and_doubles_nothing() {
    for count in 1..=6 {
        survives_failpoint(FAILPOINTS[0], count).await;
    }
}

#[tokio::test]
async fn a_kill_after_a_commit_loses_and_doubles_nothing() {
    for count in 1..=6 {
        survives_failpoint(FAILPOINTS[1], count).await;
    }
}

#[tokio::test]
async fn a_kill_before_a_delivery_loses_and_doubles_nothing() {
    for count in 1..=6 {
        survives_failpoint(FAILPOINTS[2], count).await;
    }
}

#[tokio::test]
async fn a_kill_after_a_delivery_loses_and_doubles_nothing() {
    for count in 1..=6 {
        survives_failpoint(FAILPOINTS[3], count).await;
    }
}

#[tokio::test]
async fn kills_at_random_moments_lose_and_double_nothing() {
    survives_kills(&delays(10)).await;
}

#[tokio::test]
#[ignore = "long; `cargo xtask soak`"]
async fn soak_five_hundred_kills_lose_and_double_nothing() {
    for _ in 0..50 {
        survives_kills(&delays(10)).await;
    }
}
