//! What must hold when all is over: in the journal of the model's service, which lived through everything, in the store
//! that the daemons left behind, and in what people saw.

use std::collections::{BTreeMap, BTreeSet};
use std::slice::Iter;

use openpista_host::message::{Body, Content, Message, Role, ToolOutcome};
use openpista_host::store::{LedgerCheck, Options, Store};
use serde_json::Value;

use super::person::{Person, answers};
use super::world::World;
use crate::daemon::model::Asked;

/// Each request is one that every API takes, and of each session later ones only add to what earlier ones showed: a turn
/// that had begun is never begun anew, a call that has its outcome keeps it, a message is answered once.
pub fn journal(journal: &[Asked]) {
    let mut told: BTreeMap<String, &Asked> = BTreeMap::new();
    for (number, asked) in journal.iter().enumerate() {
        let session = asked.question().split('-').next().unwrap_or_default().to_string();
        request(&asked.messages, &session);
        if let Some(before) = told.insert(session, asked) {
            assert!(
                asked.messages.starts_with(&before.messages),
                "request {number} does not go on from the one before it: {:#?}\n{:#?}",
                before.messages,
                asked.messages
            );
        }
        for said in asked.messages.iter().filter_map(|message| message["content"].as_str()) {
            let Some((id, of)) = said.strip_prefix("answer to ").and_then(|rest| rest.split_once(" [")) else {
                continue;
            };
            let of: usize = of.trim_end_matches(']').parse().unwrap();
            assert!(journal[of].question().starts_with(&format!("{id} ")), "{said} answers {:?}", journal[of]);
        }
    }
}

/// The messages of the session in order without a gap, each with its answer, each call with its outcome.
fn request(messages: &[Value], session: &str) {
    let role = |message: &Value| message["role"].as_str().unwrap_or_default().to_string();
    let mut rest = messages.iter().peekable();
    for number in 0.. {
        let id = format!("{session}-m{number}");
        let question = rest.next().unwrap_or_else(|| panic!("it ends with the model's own words: {messages:#?}"));
        let text = question["content"].as_str().unwrap_or_default();
        assert!(role(question) == "user" && text.starts_with(&format!("{id} ")), "not {id}: {messages:#?}");
        loop {
            let Some(answer) = rest.next() else { return };
            assert_eq!(role(answer), "assistant", "{id} is followed by something else: {messages:#?}");
            let calls: Vec<&Value> = answer["tool_calls"].as_array().into_iter().flatten().collect();
            if calls.is_empty() {
                assert!(answers(answer["content"].as_str().unwrap_or_default(), &id), "{id}: {messages:#?}");
                break;
            }
            for call in calls {
                let outcome = rest.next().unwrap_or_else(|| panic!("{id} has a call without outcome: {messages:#?}"));
                assert_eq!((role(outcome).as_str(), &outcome["tool_call_id"]), ("tool", &call["id"]), "{messages:#?}");
            }
            if rest.peek().is_none() {
                return;
            }
        }
    }
}

/// The store is sound, nothing waits in it, and its histories are what people saw.
pub fn store(world: &World) {
    let store = Store::open(world.home.path().join("openpista.redb"), Options::default()).unwrap();
    assert_eq!(store.check(), Ok(true));
    let waiting = store.read(|tx| Ok((tx.inbox_conversations()?, tx.outbox_conversations()?, tx.turns_running()?)));
    assert_eq!(waiting, Ok((Vec::new(), Vec::new(), Vec::new())));
    let left = store.read(|tx| Ok((tx.approvals_open_all()?, tx.undelivered(None, 10)?)));
    assert_eq!(left, Ok((Vec::new(), Vec::new())));
    let ledger = store.read(|tx| tx.ledger_verify()).unwrap();
    assert!(matches!(ledger, LedgerCheck::Whole(_)), "{ledger:?}");
    assert_eq!(store.read(|tx| tx.sessions(None, None, 100)).unwrap().len(), world.people.len());
    let ran = world.ran();
    assert_eq!(ran.iter().collect::<BTreeSet<_>>().len(), ran.len(), "something ran twice: {ran:?}");
    for person in &world.people {
        assert_eq!(person.trouble, Vec::<Value>::new());
        let doubled: usize = person.deliveries.values().map(|times| times - 1).sum();
        assert!(doubled <= world.kills, "{doubled} deliveries of {} came twice", person.session);
        let conversation = format!("web:{}", person.session);
        let history = store.read(|tx| {
            let session = tx.session_current("web", &conversation)?.unwrap();
            tx.messages(&session.id, 0, usize::MAX)
        });
        let history: Vec<Message> = history.unwrap().into_iter().map(|stored| stored.message).collect();
        History { person, ran: &ran, turns: BTreeSet::new() }.judge(&history);
    }
    store.close();
}

struct History<'a> {
    person: &'a Person,
    ran: &'a [String],
    turns: BTreeSet<&'a str>,
}

impl<'a> History<'a> {
    /// One turn for each message, in order, and nothing else.
    fn judge(mut self, history: &'a [Message]) {
        let mut rest = history.iter();
        for said in &self.person.said {
            let message = rest.next().unwrap_or_else(|| panic!("{} is lost: {history:#?}", said.text));
            assert_eq!((message.role, message.text()), (Role::User, said.text.clone()), "{history:#?}");
            let turn = message.turn.as_deref().unwrap();
            assert!(self.turns.insert(turn), "{} shares a turn: {history:#?}", said.text);
            let reply = self.turn(turn, &mut rest);
            assert_eq!(said.answers, BTreeSet::from([reply]), "what was seen of {}", said.text);
        }
        assert_eq!(rest.as_slice(), [], "more than was asked for");
    }

    /// The model's closing words; before them each call with one outcome.
    fn turn(&self, turn: &str, rest: &mut Iter<'_, Message>) -> String {
        let next = |rest: &mut Iter<'_, Message>, role: Role| {
            let message = rest.next().unwrap_or_else(|| panic!("the turn {turn} has no end")).clone();
            assert_eq!((message.role, message.turn.as_deref()), (role, Some(turn)), "{message:#?}");
            message
        };
        loop {
            let answer = next(rest, Role::Assistant);
            let mut open: BTreeMap<&str, &str> =
                answer.calls().map(|call| (call.id.as_str(), call.arguments.as_str())).collect();
            if open.is_empty() {
                return answer.text();
            }
            while !open.is_empty() {
                let message = next(rest, Role::User);
                let [part] = message.parts.as_slice() else { panic!("not one outcome: {message:#?}") };
                let Body::Outcome(outcome) = &part.body else { panic!("not an outcome: {message:#?}") };
                let arguments = open.remove(outcome.id.as_str());
                self.outcome(outcome, arguments.unwrap_or_else(|| panic!("it has its outcome already: {message:#?}")));
            }
        }
    }

    /// What the model was told is what happened.
    fn outcome(&self, outcome: &ToolOutcome, arguments: &str) {
        let (_, rest) = arguments.split_once("echo ").unwrap();
        let (key, _) = rest.split_once(" >> ran").unwrap();
        let times = self.ran.iter().filter(|line| *line == key).count();
        let [Content::Text(text)] = outcome.content.as_slice() else { panic!("{outcome:#?}") };
        let about = |asked: &str| asked.contains(&format!("echo {key} >> ran"));
        let decisions: Vec<&str> =
            self.person.decided.values().filter(|(asked, _)| about(asked)).map(|(_, decision)| *decision).collect();
        assert!(decisions.len() <= 1, "{key} was asked for as two questions");
        // Nothing runs without the person's word, where it is asked for.
        if outcome.name == "attack" && decisions != ["once"] {
            assert_eq!(times, 0, "{key} ran although {decisions:?}");
        }
        if text.starts_with("Interrupted:") {
            assert!(outcome.failed, "{outcome:?}");
        } else if text.starts_with("The user said no") {
            assert_eq!((decisions.as_slice(), outcome.failed), (&["deny"][..], true), "{key}");
        } else {
            assert!(text.contains("done") && !outcome.failed, "{outcome:#?}");
            assert_eq!(times, 1, "{key}: {text}");
        }
    }
}
