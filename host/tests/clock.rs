//! The machine's clock jumps while the host runs: what waits goes on over every kind of transport, and nothing is lost or
//! done twice.

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
#[allow(dead_code, reason = "the tests of the channel use all of it")]
#[path = "discord/fake.rs"]
mod discord;
#[allow(dead_code, reason = "the tests of the channel use all of it")]
#[path = "whatsapp/graph.rs"]
mod graph;
mod messenger;
#[path = "staged/skip.rs"]
mod skip;
#[allow(dead_code, reason = "the tests of the channel use all of it")]
#[path = "whatsapp/stand_in.rs"]
mod stand_in;

use std::path::{Path, PathBuf};

use bot_api::BotApi;
use daemon::Home;
use discord::Discord;
use graph::Graph;
use messenger::home::{said, status};
use messenger::model::{Model, echo};
use serde_json::json;
use skip::skip;
use stand_in::StandIn;

const PERSON: &str = "7000000";
/// As WhatsApp Web names them.
const JID: &str = "7000000@s.whatsapp.net";

/// The library that the program `faketime` loads: where it lies depends on the machine.
fn faketime() -> Option<PathBuf> {
    let found = |folder: PathBuf| Some(folder.join("faketime/libfaketime.so.1")).filter(|path| path.exists());
    let lib = Path::new("/usr/lib");
    let folders = std::fs::read_dir(lib).ok()?.flatten().map(|entry| entry.path());
    found(lib.into()).or_else(|| folders.filter(|path| path.is_dir()).find_map(found))
}

/// A messenger for each kind of transport: a poll, a dialled socket, a webhook, a process.
struct World {
    poll: BotApi,
    dial: Discord,
    hook: Graph,
    process: StandIn,
}

impl World {
    async fn start() -> Self {
        Self {
            poll: BotApi::start().await,
            dial: Discord::start().await,
            hook: Graph::start().await,
            process: StandIn::start().await,
        }
    }

    fn home(&self, model: &Model) -> Home {
        let components =
            ["channel-telegram", "channel-discord", "channel-whatsapp", "channel-web", "provider-openai-chat"];
        let home = Home::with(&components);
        let service = model.address();
        let hook = format!(
            "secrets = {{ token = \"{}\", app-secret = \"{}\", verify-token = \"{}\" }}\n\
             settings = {{ mode = \"cloud\", api = \"{}\" }}",
            graph::TOKEN,
            graph::SECRET,
            graph::VERIFY,
            self.hook.api()
        );
        home.configure(&format!(
            "[agent]\nmodel = \"fake/gpt-4o-mini\"\n[providers.fake]\nplugin = \"provider-openai-chat\"\n\
             settings = {{ base-url = \"{service}/v1\", models = [\"gpt-4o-mini\"] }}\nsecrets = {{ api-key = \"sk-clock-test\" }}\n\
             [channels.telegram]\ncontacts = \"open\"\nsecrets = {{ bot-token = \"{}\" }}\nsettings = {{ api = \"{}\" }}\n\
             [channels.discord]\ncontacts = \"open\"\nsecrets = {{ bot-token = \"{}\" }}\nsettings = {{ {} }}\n\
             [channels.whatsapp]\ncontacts = \"open\"\n{hook}\n\
             [channels.bridge]\nplugin = \"channel-whatsapp\"\ncontacts = \"open\"\nsettings = {{ bridge = {} }}\n",
            bot_api::TOKEN,
            self.poll.address(),
            discord::TOKEN,
            self.dial.settings(),
            self.process.command()
        ));
        self.hook.brings_to(&home);
        home
    }

    fn says(&self, text: &str) {
        let person = PERSON.parse().unwrap();
        self.poll.says(person, person, text, json!({}));
        self.dial.says(PERSON, PERSON, text, json!({}));
        self.hook.says(PERSON, text);
        self.process.says(PERSON, JID, text, json!({}));
    }

    async fn shows(&self, text: &str) {
        self.poll.shows(PERSON.parse().unwrap(), text).await;
        self.dial.shows(PERSON, text).await;
        self.hook.shows(PERSON, text).await;
        self.process.shows(JID, text).await;
    }

    /// What each shows.
    fn texts(&self) -> [Vec<String>; 4] {
        let parts = self.process.parts(JID);
        let process = parts.iter().filter_map(|part| part["text"].as_str().map(str::to_string)).collect();
        [self.poll.texts(PERSON.parse().unwrap()), self.dial.texts(PERSON), self.hook.texts(PERSON), process]
    }
}

#[tokio::test]
async fn a_clock_that_jumps_forth_and_back_stops_no_conversation() {
    const NAME: &str = "clock::a_clock_that_jumps_forth_and_back_stops_no_conversation";
    let Some(library) = faketime() else { return skip(NAME, "faketime is not installed") };
    let world = World::start().await;
    // So that heartbeats fall between the jumps.
    world.dial.heartbeat(300);
    let model = Model::start(echo).await;
    let home = world.home(&model);
    let clock = home.workspace().join("clock");
    let set = |time: &str| std::fs::write(&clock, format!("{time}\n")).unwrap();
    set("+0");
    let preload = format!("LD_PRELOAD={}", library.display());
    let file = format!("FAKETIME_TIMESTAMP_FILE={}", clock.display());
    // Timers have a clock of their own, which no one sets.
    let around = ["env", &preload, &file, "FAKETIME_NO_CACHE=1", "FAKETIME_DONT_FAKE_MONOTONIC=1"];
    let daemon = home.start_in(&around).await;
    world.dial.signed_in(1).await;
    let mut page = daemon.client(&home, "s0").await;
    let mut words = Vec::new();
    for (number, time) in ["+0", "+3h", "-3h", "+400d", "+0"].into_iter().enumerate() {
        // Nothing is left of a limit, for a second from then on: a clock that goes back must not make hours of it.
        world.dial.limits("x-ratelimit-remaining: 0\r\nx-ratelimit-reset-after: 1\r\n");
        set(time);
        let text = format!("at {time}, number {number}");
        world.says(&text);
        page.say(&format!("m{number}"), &text).await;
        page.expect("reply").await;
        world.shows(&format!("answer to {text}")).await;
        for channel in ["telegram", "discord", "whatsapp", "bridge", "web"] {
            status(&home, channel, |row| row.contains("\"live\"")).await;
        }
        words.push(text);
    }
    assert_eq!(world.dial.counts().connections, 1, "no heartbeat was missed");
    for conversation in
        [format!("telegram:{PERSON}"), format!("discord:{PERSON}"), format!("whatsapp:100/{PERSON}"), "web:s0".into()]
    {
        assert_eq!(said(&home, &conversation).await, words, "{conversation}");
    }
    let answers: Vec<String> = words.iter().map(|text| format!("answer to {text}")).collect();
    assert_eq!(world.texts(), [(); 4].map(|()| answers.clone()));
    let (exit, out, error) = home.said(&["ledger", "verify"]).await;
    assert_eq!(exit, Some(0), "{out}{error}");
    // The host did see these times.
    let sessions = home.json(&["session", "list"]).await;
    let shown = home.json(&["session", "show", sessions[0]["id"].as_str().unwrap()]).await;
    let times: Vec<u64> = shown.iter().filter_map(|line| line["message"]["message"]["at"].as_u64()).collect();
    let spread = times.iter().max().unwrap() - times.iter().min().unwrap();
    assert!(spread > 399 * 24 * 3_600_000, "{times:?}");
    // What the next process finds was stored at times that are not in order.
    daemon.kill().await;
    let _daemon = home.start().await;
    world.says("once more");
    world.shows("answer to once more").await;
    assert!(world.texts().iter().all(|texts| texts.len() == words.len() + 1), "{:?}", world.texts());
}
