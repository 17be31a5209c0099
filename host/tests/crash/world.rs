//! A home, a model's service and some people, over one daemon after the other.

use std::os::unix::process::ExitStatusExt as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use openpista_host::failpoint::VARIABLE;
use serde_json::json;
use tokio::sync::Notify;
use tokio::time::timeout;

use super::judge;
use super::person::{Person, Wish};
use crate::daemon::model::{Answer, Asked, Model};
use crate::daemon::{Home, guest, until};

/// The tool of [`Wish::Run`], as the model calls it.
const RUN: &str = "system_run";
/// The tool of [`Wish::Ask`].
const ASK: &str = "attack";
/// A life that nothing ends is over after this.
const LIFE: Duration = Duration::from_secs(100);

/// Numbers from a seed: xorshift, which is random enough to choose moments.
#[derive(Debug, Clone)]
pub struct Rng(u64);

impl Rng {
    /// `OPENPISTA_SEED`, else another one each time. It is printed, to be set again.
    pub fn new() -> Self {
        let set = std::env::var("OPENPISTA_SEED").ok().and_then(|seed| seed.parse().ok());
        let seed: u64 = set.unwrap_or_else(|| getrandom::u64().unwrap());
        eprintln!("OPENPISTA_SEED={seed}");
        Self(seed | 1)
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 >> 11
    }

    /// From 0 to `bound` - 1.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    /// One of them.
    pub fn choose<T: Copy>(&mut self, all: &[T]) -> T {
        all[usize::try_from(self.below(all.len() as u64)).unwrap()]
    }

    /// Another row of numbers.
    pub fn split(&mut self) -> Self {
        Self(self.next() | 1)
    }
}

/// What ends a daemon.
#[derive(Debug, Clone)]
pub enum Kill {
    /// It kills itself there, as `OPENPISTA_FAILPOINT` says.
    At(String),
    /// It is killed when people have seen so many frames of it.
    Frames(u64),
}

impl Kill {
    /// Somewhere in the busy part of a life, now at a failpoint, now wherever it is.
    pub fn anywhere(rng: &mut Rng) -> Self {
        match rng.below(3) {
            0 => Self::Frames(1 + rng.below(100)),
            _ => Self::At(format!("*:{}", 1 + rng.below(200))),
        }
    }
}

/// One daemon, as people meet it.
pub struct Life {
    /// Of the page.
    pub address: String,
    /// Of the page's link.
    pub token: String,
    /// Nobody ends it before all is answered.
    pub last: bool,
    /// People say more than was planned.
    pub chatty: bool,
    frames: AtomicU64,
    most: u64,
    over: Notify,
}

impl Life {
    /// A frame was seen.
    pub fn pulse(&self) {
        if self.frames.fetch_add(1, Ordering::Relaxed) + 1 == self.most {
            self.over.notify_one();
        }
    }
}

/// See the module.
pub struct World {
    /// The home.
    pub home: Home,
    /// The model's service.
    pub model: Model,
    /// Who talks.
    pub people: Vec<Person>,
    /// Daemons that were killed.
    pub kills: usize,
    chatty: bool,
}

/// What the model does: a pure function of what it is asked, but for the number by which its answers are told apart.
fn script(number: usize, asked: &Asked) -> Answer {
    let question = asked.question();
    let id = question.split(' ').next().unwrap_or_default();
    if asked.messages.last().is_some_and(|last| last["role"] == "tool") {
        return Answer::Text(format!("answer to {id} [{number}]"));
    }
    let run = (RUN, json!({"command": note(id, "run")}));
    let ask = (ASK, json!({"attack": "script", "script": note(id, "ask")}));
    match Wish::of(question) {
        Wish::Talk => Answer::Text(format!("answer to {id} [{number}]")),
        Wish::Run => Answer::Calls(vec![run]),
        Wish::Ask => Answer::Calls(vec![ask]),
        Wish::Both => Answer::Calls(vec![run, ask]),
    }
}

/// What tools do leaves a line in the file `ran`, each time that they do it. A command can be made to wait in the middle,
/// by a pipe of the name `wait`.
fn note(id: &str, tool: &str) -> String {
    format!(": > begun-{id}-{tool}; [ ! -p wait ] || read -r line < wait; echo {id}-{tool} >> ran; echo done")
}

impl World {
    /// Everybody is there, and nothing is said.
    pub async fn new(people: usize, rng: &mut Rng) -> Self {
        let model = Model::start(script).await;
        let home = Home::with(&["channel-web", "provider-openai-chat", "tool-shell"]);
        let policy = format!("[policy.tools]\n\"system.run\" = \"allow\"\n\"{ASK}\" = \"ask\"\n");
        let asked = "[tools.hostile]\ngrants = { shell = [\"*\"] }\n";
        home.configure(&[&model.config(), policy.as_str(), asked].concat());
        std::fs::create_dir(home.plugins()).unwrap();
        std::fs::write(home.plugins().join("guest-hostile.wasm"), guest("guest-hostile")).unwrap();
        let people = (0..people).map(|number| Person::new(&format!("s{number}"), rng.split())).collect();
        Self { home, model, people, kills: 0, chatty: false }
    }

    /// People say more and more, and half of them take their time with questions.
    pub async fn busy(rng: &mut Rng) -> Self {
        let mut world = Self::new(4, rng).await;
        for (number, person) in world.people.iter_mut().enumerate() {
            person.denies = true;
            // The others keep the daemon busy whatever these leave open.
            person.ponders = number % 2 == 0;
        }
        world.chatty = true;
        world
    }

    /// Lives through a kill.
    pub async fn survive(&mut self, kill: &Kill) {
        let (variable, most) = match kill {
            Kill::At(place) => (Some((VARIABLE, place.as_str())), u64::MAX),
            Kill::Frames(most) => (None, *most),
        };
        let mut daemon = self.home.launch(variable.as_slice());
        // Else it died while it started.
        if let Some(address) = daemon.ready(&self.home).await {
            let life = Life { most, ..self.life(address, false) };
            let talks = self.people.iter_mut().map(|person| person.talk(&life));
            let ended = async {
                tokio::select! {
                    ended = timeout(LIFE, daemon.ended()) => {
                        assert!(ended.is_ok(), "{kill:?} does not come:\n{}", daemon.log());
                    }
                    () = life.over.notified() => daemon.strike(),
                }
            };
            tokio::join!(futures_util::future::join_all(talks), ended);
        }
        let ended = daemon.ended().await;
        assert_eq!(ended.signal(), Some(nix::sys::signal::Signal::SIGKILL as i32), "{kill:?}: {}", daemon.log());
        self.kills += 1;
    }

    /// Lives until something is the case, and is killed then.
    pub async fn survive_until(&mut self, what: &str, look: impl AsyncFnMut() -> Option<()>) {
        let daemon = self.home.start().await;
        let life = self.life(daemon.address.clone(), false);
        let talks = self.people.iter_mut().map(|person| person.talk(&life));
        let ended = async {
            until(what, look).await;
            daemon.kill().await;
        };
        tokio::join!(futures_util::future::join_all(talks), ended);
        self.kills += 1;
    }

    fn life(&self, address: String, last: bool) -> Life {
        let (frames, over) = (AtomicU64::new(0), Notify::new());
        Life { address, token: self.home.token(), last, chatty: self.chatty, frames, most: u64::MAX, over }
    }

    /// A daemon that nobody kills answers everything. Then all that is left behind is judged.
    pub async fn end(&mut self) {
        let daemon = self.home.start().await;
        let life = self.life(daemon.address.clone(), true);
        let talks = self.people.iter_mut().map(|person| person.talk(&life));
        futures_util::future::join_all(talks).await;
        let log = daemon.log();
        let lost: Vec<_> = self.people.iter().filter(|person| !person.is_done()).collect();
        assert!(lost.is_empty(), "the last daemon left before all was answered: {lost:#?}\n{log}");
        assert!(daemon.end().await.success(), "{log}");
        judge::journal(&self.model.journal());
        judge::store(self);
    }

    /// What the tools did, a line each.
    pub fn ran(&self) -> Vec<String> {
        let lines = std::fs::read_to_string(self.home.workspace().join("ran")).unwrap_or_default();
        lines.lines().map(str::to_string).collect()
    }

    /// What came of calls, as the model was told at last.
    pub fn outcomes(&self) -> Vec<String> {
        let journal = self.model.journal();
        let told = journal.last().map(|asked| &asked.messages).into_iter().flatten();
        let tools = told.filter(|message| message["role"] == "tool");
        tools.map(|message| message["content"].as_str().unwrap_or_default().to_string()).collect()
    }
}
