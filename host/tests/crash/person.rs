//! Somebody who talks in one session of the web page, over however many daemons it takes, and remembers what was seen.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use tokio::time::Instant;

use super::world::{Life, Rng};
use crate::daemon::PATIENCE;
use crate::daemon::client::{Client, kind};

/// Messages that wait for their answers at the same time.
const IN_FLIGHT: usize = 3;

/// What a message makes the model do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wish {
    /// Answer.
    Talk,
    /// Call the tool that the policy allows.
    Run,
    /// Call the tool that the person is asked about.
    Ask,
    /// Both side by side.
    Both,
}

impl Wish {
    const ALL: [Self; 4] = [Self::Talk, Self::Run, Self::Ask, Self::Both];

    fn word(self) -> &'static str {
        match self {
            Self::Talk => "talk",
            Self::Run => "run",
            Self::Ask => "ask",
            Self::Both => "both",
        }
    }

    /// By the last word of a message.
    pub fn of(text: &str) -> Self {
        let word = text.split(' ').next_back().unwrap_or_default();
        Self::ALL.into_iter().find(|wish| wish.word() == word).unwrap_or(Self::Talk)
    }
}

/// A message, and what came back.
#[derive(Debug, Clone)]
pub struct Said {
    /// `s1-m4`, unique in the world.
    pub id: String,
    /// The id and the wish.
    pub text: String,
    /// The daemon said that it has it.
    pub taken: bool,
    /// The answers that were seen; one that was seen twice is one.
    pub answers: BTreeSet<String>,
}

impl Said {
    fn new(id: String, wish: Wish) -> Self {
        let text = format!("{id} {}", wish.word());
        Self { id, text, taken: false, answers: BTreeSet::new() }
    }
}

/// See the module.
#[derive(Debug)]
pub struct Person {
    /// The session.
    pub session: String,
    /// What was said, in order.
    pub said: Vec<Said>,
    /// How each question was answered, with what it was about.
    pub decided: BTreeMap<String, (String, &'static str)>,
    /// How often each delivery of a reply came.
    pub deliveries: BTreeMap<String, usize>,
    /// What should not have come.
    pub trouble: Vec<Value>,
    /// Leaves some questions open until the next daemon asks again.
    pub ponders: bool,
    /// Says no to some.
    pub denies: bool,
    rng: Rng,
    seen: u64,
    /// The message after which nothing is left to say, and what was last delivered.
    farewell: Option<String>,
    delivered: String,
}

impl Person {
    /// Has said nothing yet.
    pub fn new(session: &str, rng: Rng) -> Self {
        Self {
            session: session.into(),
            said: Vec::new(),
            decided: BTreeMap::new(),
            deliveries: BTreeMap::new(),
            trouble: Vec::new(),
            ponders: false,
            denies: false,
            rng,
            seen: 0,
            farewell: None,
            delivered: String::new(),
        }
    }

    /// Wants this said next.
    pub fn plan(&mut self, wish: Wish) {
        let id = format!("{}-m{}", self.session, self.said.len());
        self.said.push(Said::new(id, wish));
    }

    /// Everything that was said has its answer.
    pub fn is_content(&self) -> bool {
        self.said.iter().all(|said| said.taken && !said.answers.is_empty())
    }

    /// And so has a last message, which came as a delivery: the ones before it were made.
    pub fn is_done(&self) -> bool {
        self.is_content() && self.farewell.as_ref().is_some_and(|id| answers(&self.delivered, id))
    }

    /// Talks to a daemon until it is gone; in the last life, until everything is answered.
    pub async fn talk(&mut self, life: &Life) {
        let Ok(mut client) = Client::connect(&life.address).await else { return };
        let hello = json!({"type": "hello", "session": self.session, "seen": self.seen, "token": life.token});
        if client.try_send(hello).await.is_err() {
            return;
        }
        let end = Instant::now() + PATIENCE;
        // The one that was sent and not acknowledged; each waits for the word that the one before it is stored.
        let mut sent: Option<usize> = None;
        let mut ready = false;
        while !(life.last && self.is_done()) {
            if ready && sent.is_none() {
                sent = self.next(life);
                if let Some(said) = sent.and_then(|next| self.said.get(next)) {
                    let say = json!({"type": "say", "id": said.id, "text": said.text});
                    if client.try_send(say).await.is_err() {
                        return;
                    }
                }
            }
            let Ok(Some(frame)) = client.next(end).await else { return };
            life.pulse();
            ready |= kind(&frame) == "ready";
            if let Some(answer) = self.take(&frame, life)
                && client.try_send(answer).await.is_err()
            {
                return;
            }
            if sent.is_some_and(|sent| self.said[sent].taken) {
                sent = None;
            }
        }
    }

    /// What is said next: what the last daemon did not take, or something new.
    fn next(&mut self, life: &Life) -> Option<usize> {
        let untaken = self.said.iter().position(|said| !said.taken);
        let waiting = self.said.iter().filter(|said| said.answers.is_empty()).count();
        let fresh = if life.last {
            (self.farewell.is_none() && self.is_content()).then_some(Wish::Talk)
        } else {
            (life.chatty && waiting < IN_FLIGHT).then(|| self.rng.choose(&Wish::ALL))
        };
        match (untaken, fresh) {
            (None, Some(wish)) => {
                self.plan(wish);
                let place = self.said.len() - 1;
                self.farewell = life.last.then(|| self.said[place].id.clone());
                Some(place)
            }
            (untaken, _) => untaken,
        }
    }

    /// Takes note of a frame; what is sent back.
    fn take(&mut self, frame: &Value, life: &Life) -> Option<Value> {
        let text = |name: &str| frame[name].as_str().unwrap_or_default();
        match kind(frame) {
            "entry" => {
                self.seen = self.seen.max(frame["cursor"].as_u64().unwrap_or_default());
                if text("author") == "assistant" {
                    let parts = frame["parts"].as_array().into_iter().flatten();
                    let words: String = parts.filter_map(|part| part["text"].as_str()).collect();
                    self.answered(&words);
                }
            }
            "reply" => {
                *self.deliveries.entry(text("id").into()).or_default() += 1;
                self.delivered = text("text").into();
                self.answered(text("text"));
            }
            "said" => {
                if let Some(said) = self.said.iter_mut().find(|said| said.id == text("id")) {
                    said.taken = true;
                }
            }
            "approval" => return self.decide(text("id"), text("arguments"), life),
            "failed" | "notice" | "error" | "refused" => self.trouble.push(frame.clone()),
            _ => (),
        }
        None
    }

    fn decide(&mut self, id: &str, about: &str, life: &Life) -> Option<Value> {
        if !life.last && self.ponders && self.rng.below(2) == 0 {
            return None;
        }
        let decision = if self.denies && self.rng.below(4) == 0 { "deny" } else { "once" };
        // Asked again, because the answer was lost on its way, nobody says something else.
        let (_, decision) = self.decided.entry(id.into()).or_insert_with(|| (about.into(), decision));
        Some(json!({"type": "approve", "id": id, "decision": decision}))
    }

    fn answered(&mut self, words: &str) {
        // A message of the model that only calls has no words.
        let Some(said) = self.said.iter_mut().find(|said| answers(words, &said.id)) else {
            if !words.is_empty() {
                self.trouble.push(json!({"unexpected": words}));
            }
            return;
        };
        said.answers.insert(words.into());
    }
}

/// Whether the model says this to the message.
pub fn answers(words: &str, id: &str) -> bool {
    words.strip_prefix("answer to ").and_then(|rest| rest.strip_prefix(id)).is_some_and(|rest| rest.starts_with(" ["))
}
