//! Components that come, go and change under a running daemon.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "clippy exempts only functions that are tests themselves, not what they share"
)]

mod daemon;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use daemon::client::{Client, kind};
use daemon::model::{Answer, Asked, Model};
use daemon::{Daemon, Home, stock, until, version};
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

const QUESTION: &str = "show me the files here";

/// How the file stands in `plugin list`.
async fn standing(home: &Home, file: &str) -> Option<Value> {
    let list = home.json(&["plugin", "list"]).await;
    list.into_iter().find(|plugin| plugin["file"] == json!(file))
}

/// What the list says of a file that is broken while its last good version serves; none while it is not.
async fn broken(home: &Home, file: &str) -> Option<String> {
    let plugin = standing(home, file).await?;
    assert_eq!(plugin["standing"], json!("ready"), "{plugin}");
    plugin["reason"].as_str().filter(|why| why.contains("broken")).map(str::to_string)
}

/// A first-party component, and words of it that another version says otherwise.
#[derive(Clone, Copy)]
struct Component {
    name: &'static str,
    words: &'static str,
    others: &'static str,
}

/// What it says to a frame that it does not know.
const CHANNEL: Component = Component {
    name: "channel-web",
    words: "The web chat does not know this kind of message.",
    others: "The web chat has never heard of such a message..",
};
/// A header of its requests.
const PROVIDER: Component = Component {
    name: "provider-openai-chat",
    words: "text/event-stream, application/json",
    others: "application/json, text/event-stream",
};
/// The beginning of its results.
const TOOL: Component = Component { name: "tool-shell", words: "exit code: ", others: "exit-code: " };

impl Component {
    fn file(&self) -> String {
        format!("{}.wasm", self.name)
    }

    /// Puts the other version in its place, and waits until it is what is used.
    async fn replace(&self, home: &Home) {
        let before = standing(home, &self.file()).await.unwrap();
        let other = version(&std::fs::read(stock().join(self.file())).unwrap(), self.words, self.others);
        // As an editor or a package tool would do it: written beside, then renamed.
        let part = home.plugins().join("other.part");
        std::fs::write(&part, other).unwrap();
        std::fs::rename(&part, home.plugins().join(self.file())).unwrap();
        let after = until("the other version to be seen", async || {
            standing(home, &self.file()).await.filter(|plugin| plugin["digest"] != before["digest"])
        })
        .await;
        assert_eq!((&after["standing"], &after["stock"]), (&json!("ready"), &json!(false)), "{after}");
    }
}

/// What came with the host is allowed as it came; another version is allowed what the person allowed.
async fn allow(home: &Home, plugin: &str) {
    let (code, out, err) = home.said(&["plugin", "allow", plugin]).await;
    assert_eq!(code, Some(0), "{out}{err}");
}

/// Noise, a module that is no component, and half of the file.
fn spoilt(good: &[u8]) -> [Vec<u8>; 3] {
    let noise = good.iter().map(|byte| byte.wrapping_mul(31).wrapping_add(7)).collect();
    [noise, b"\0asm\x01\0\0\0".to_vec(), good[..good.len() / 2].to_vec()]
}

#[tokio::test]
async fn a_tool_is_gone_at_the_next_turn_when_its_file_is_and_back_when_it_is() {
    let home = Home::new();
    let daemon = home.start().await;
    let mut client = daemon.client(&home, "tools").await;
    let file = home.plugins().join("tool-shell.wasm");
    let kept = std::fs::read(&file).unwrap();
    std::fs::remove_file(&file).unwrap();
    until("the tool to go", async || standing(&home, "tool-shell.wasm").await.is_none().then_some(())).await;
    client.say("m1", QUESTION).await;
    assert_eq!(kind(&client.expect_any(&["approval", "reply"]).await), "reply");
    std::fs::write(&file, kept).unwrap();
    until("the tool to come back", async || {
        standing(&home, "tool-shell.wasm").await.filter(|plugin| plugin["standing"] == json!("ready"))
    })
    .await;
    client.say("m2", QUESTION).await;
    assert_eq!(kind(&client.expect_any(&["approval", "reply"]).await), "approval");
}

#[tokio::test]
async fn the_page_closes_with_its_component_and_opens_again() {
    let home = Home::new();
    let daemon = home.start().await;
    let mut client = daemon.client(&home, "page").await;
    let file = home.plugins().join("channel-web.wasm");
    let kept = std::fs::read(&file).unwrap();
    std::fs::remove_file(&file).unwrap();
    client.expect_end().await;
    assert!(Client::connect(&daemon.address).await.is_err());
    std::fs::write(&file, kept).unwrap();
    until("the page to open", async || Client::connect(&daemon.address).await.ok().map(drop)).await;
    let mut client = daemon.client(&home, "page").await;
    client.say("m1", "hello").await;
    client.expect("reply").await;
}

#[tokio::test]
async fn without_a_provider_the_person_is_told() {
    let home = Home::new();
    let daemon = home.start().await;
    let mut client = daemon.client(&home, "model").await;
    std::fs::remove_file(home.plugins().join("provider-demo.wasm")).unwrap();
    until("the provider to go", async || standing(&home, "provider-demo.wasm").await.is_none().then_some(())).await;
    client.say("m1", "hello").await;
    let failed = client.expect_any(&["failed", "reply"]).await;
    assert_eq!(kind(&failed), "failed", "{failed}");
    assert!(failed["text"].as_str().unwrap().contains("model"), "{failed}");
}

#[tokio::test]
async fn a_broken_file_over_a_good_one_changes_nothing_but_the_list() {
    let home = Home::new();
    let daemon = home.start().await;
    let mut client = daemon.client(&home, "broken").await;
    for name in ["tool-shell", "provider-demo", "channel-web", "channel-console"] {
        let file = format!("{name}.wasm");
        let good = std::fs::read(home.plugins().join(&file)).unwrap();
        for (round, bad) in spoilt(&good).into_iter().enumerate() {
            std::fs::write(home.plugins().join(&file), bad).unwrap();
            let why = until("the file to be listed as broken", async || broken(&home, &file).await).await;
            assert!(why.contains("last good version"), "{why}");
            client.say(&format!("{name}-{round}"), QUESTION).await;
            let approval = client.expect_any(&["approval", "reply"]).await;
            assert_eq!(kind(&approval), "approval", "the good one is still in use");
            client.decide(&approval, "once").await;
            let reply = client.expect("reply").await;
            assert!(reply["text"].as_str().unwrap().contains("marmalade.txt"), "{reply}");
            std::fs::write(home.plugins().join(&file), &good).unwrap();
            let good_again = async || broken(&home, &file).await.is_none().then_some(());
            until("the file to be good again", good_again).await;
        }
    }
}

/// A question that only a channel answers: both versions know nothing of it, and say it in other words.
const RIDDLE: &str = "riddle";

async fn riddle(client: &mut Client) -> String {
    client.send(json!({"type": RIDDLE})).await;
    client.expect("error").await["text"].as_str().unwrap().to_string()
}

#[tokio::test]
async fn a_socket_that_was_opened_under_one_version_is_served_by_the_next() {
    let home = Home::with(&["channel-web", "provider-demo"]);
    let daemon = home.start().await;
    allow(&home, CHANNEL.name).await;
    let mut client = daemon.client(&home, "socket").await;
    assert_eq!(riddle(&mut client).await, CHANNEL.words);
    CHANNEL.replace(&home).await;
    assert_eq!(riddle(&mut client).await, CHANNEL.others);
    // And what it was told before holds: who it is, which session it looks at.
    client.say("m1", "hello").await;
    client.expect("reply").await;
}

/// Each runs one command, so that all three components have something to do in each turn.
fn script(number: usize, asked: &Asked) -> Answer {
    match asked.outcomes().next() {
        Some(_) => Answer::Text(format!("done [{number}]")),
        None => Answer::Calls(vec![("system_run", json!({"command": "echo done"}))]),
    }
}

/// Fifty people who talk all the time, each in a session of their own.
struct Crowd {
    turns: Arc<Vec<AtomicUsize>>,
    enough: CancellationToken,
    talks: JoinSet<()>,
}

impl Crowd {
    const PEOPLE: usize = 50;

    async fn gather(daemon: &Daemon, home: &Home) -> Self {
        let turns: Arc<Vec<AtomicUsize>> = Arc::new((0..Self::PEOPLE).map(|_| AtomicUsize::new(0)).collect());
        let (enough, mut talks) = (CancellationToken::new(), JoinSet::new());
        for person in 0..Self::PEOPLE {
            let mut client = daemon.client(home, &format!("c{person}")).await;
            let (turns, enough) = (Arc::clone(&turns), enough.clone());
            talks.spawn(async move {
                assert_eq!(riddle(&mut client).await, CHANNEL.words);
                for number in 0.. {
                    client.say(&format!("c{person}-m{number}"), "go on").await;
                    let answer = client.expect_any(&["reply", "failed", "notice", "error", "refused"]).await;
                    assert_eq!(kind(&answer), "reply", "{answer}");
                    turns[person].fetch_add(1, Ordering::Relaxed);
                    if enough.is_cancelled() {
                        break;
                    }
                }
                // Whoever was there before all this is served by what is there now.
                assert_eq!(riddle(&mut client).await, CHANNEL.others);
            });
        }
        Self { turns, enough, talks }
    }

    /// Until each has had a turn that began after now: not the next, but the one after it.
    async fn go_on(&mut self, while_what: &str) {
        let now: Vec<usize> = self.turns.iter().map(|turns| turns.load(Ordering::Relaxed)).collect();
        let turns = Arc::clone(&self.turns);
        let all = until(while_what, async || {
            turns.iter().zip(&now).all(|(turns, before)| turns.load(Ordering::Relaxed) >= before + 2).then_some(())
        });
        tokio::select! {
            () = all => (),
            Some(gone) = self.talks.join_next() => panic!("somebody is out: {gone:?}"),
        }
    }

    /// Everybody's last turn is over and their socket is the first one.
    async fn leave(self) -> usize {
        self.enough.cancel();
        self.talks.join_all().await;
        self.turns.iter().map(|turns| turns.load(Ordering::Relaxed)).sum()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn channel_provider_and_tool_are_replaced_under_fifty_clients_and_no_turn_fails() {
    let model = Model::start(script).await;
    let home = Home::with(&[CHANNEL.name, PROVIDER.name, TOOL.name]);
    home.configure(&(model.config() + "[policy.tools]\n\"system.run\" = \"allow\"\n"));
    let daemon = home.start().await;
    for component in [CHANNEL, PROVIDER, TOOL] {
        allow(&home, component.name).await;
    }
    let mut crowd = Crowd::gather(&daemon, &home).await;
    let last = || model.journal().pop().unwrap();
    crowd.go_on("all to talk").await;
    for component in [CHANNEL, PROVIDER, TOOL] {
        let file = home.plugins().join(component.file());
        let good = std::fs::read(&file).unwrap();
        let mut before = None;
        for bad in spoilt(&good) {
            std::fs::write(&file, bad).unwrap();
            let other = async || broken(&home, &component.file()).await.filter(|why| Some(why) != before.as_ref());
            before = Some(until("the file to be listed as broken", other).await);
        }
        crowd.go_on("all to talk over a broken file").await;
        component.replace(&home).await;
        crowd.go_on("all to talk over the other version").await;
    }
    assert_eq!(last().accept, PROVIDER.others);
    let turns = crowd.leave().await;
    let journal = model.journal();
    let results: Vec<String> = journal.iter().flat_map(Asked::outcomes).map(str::to_string).collect();
    assert_eq!((journal.len(), results.len()), (2 * turns, turns), "each turn asked twice, and ran one command");
    let of = |words: &str| results.iter().filter(|result| result.starts_with(&format!("{words}0"))).count();
    let (before, after) = (of(TOOL.words), of(TOOL.others));
    assert!(before >= Crowd::PEOPLE && after >= Crowd::PEOPLE, "{before} {after}");
    assert_eq!(before + after, turns, "{results:?}");
}
