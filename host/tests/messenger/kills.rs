//! `kill -9` again and again while twenty chats go on: what a messenger took is answered once, in order, whatever happens.

use std::collections::BTreeSet;

use super::home::said;
use super::model::{Model, last};
use crate::daemon::{Home, until};

const CHATS: usize = 20;
const KILLS: usize = 10;
/// Of each chat.
const MESSAGES: usize = 25;
/// That wait when a daemon starts. The others are said while it runs.
const WAITING: usize = 1;

/// Where each second kill strikes.
const POINTS: [&str; 5] =
    ["store.before-commit", "store.after-commit", "deliver.before-send", "deliver.after-send", "model.before-ask"];

/// A messenger, as its people see it.
pub trait Messenger {
    /// Whether it shows a delivery once that it is given twice.
    const KNOWS_AGAIN: bool;

    /// What the host calls a chat: channel and conversation.
    fn conversation(&self, chat: usize) -> String;

    /// A person says something. The messenger keeps it until the host has taken it.
    fn says(&self, chat: usize, text: &str);

    /// What a chat shows of the bot's: its messages in order, each as it was last edited.
    fn texts(&self, chat: usize) -> Vec<String>;
}

/// Numbers that are the same for the same seed.
struct Dice(u64);

impl Dice {
    /// `OPENPISTA_SEED`, else another one each time. It is printed, to be set again.
    fn new() -> Self {
        let set = std::env::var("OPENPISTA_SEED").ok().and_then(|seed| seed.parse().ok());
        let seed: u64 = set.unwrap_or_else(|| getrandom::u64().unwrap());
        eprintln!("OPENPISTA_SEED={seed}");
        Self(seed | 1)
    }

    /// From 1 to `most`.
    fn throw(&mut self, most: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 11).unwrap() % most + 1
    }
}

/// 500 messages and ten kills, at failpoints and at moments that nobody chose. The model has to be `echo`.
pub async fn trial(messenger: &impl Messenger, home: &Home, model: &Model) {
    let mut dice = Dice::new();
    let mut said = 0;
    let say = |messages: usize, said: &mut usize| {
        for number in *said..(*said + messages).min(MESSAGES) {
            (0..CHATS).for_each(|chat| messenger.says(chat, &text(chat, number)));
        }
        *said = (*said + messages).min(MESSAGES);
    };
    for kill in 0..KILLS {
        say(WAITING, &mut said);
        if let (0, Some(name)) = (kill % 2, POINTS.get(kill / 2)) {
            // It kills itself at the point, some messages further on.
            let point = format!("{name}:{}", dice.throw(CHATS));
            let mut daemon = home.launch(&[("OPENPISTA_FAILPOINT", &point)]);
            say(1, &mut said);
            let answered = |chat| messenger.texts(chat).contains(&answer(chat, said - 1));
            // Many messages in one commit, and it never gets there.
            until("the kill, or all answers", async || (!daemon.runs() || (0..CHATS).all(answered)).then_some(()))
                .await;
            daemon.kill().await;
        } else {
            let asked = model.asked().len() + dice.throw(CHATS);
            let daemon = home.start().await;
            say(1, &mut said);
            until("some questions", async || (model.asked().len() >= asked).then_some(())).await;
            daemon.kill().await;
        }
    }
    let daemon = home.start().await;
    say(MESSAGES, &mut said);
    for chat in 0..CHATS {
        let end = answer(chat, MESSAGES - 1);
        until(&format!("{end:?} in {:#?}", messenger.texts(chat)), async || {
            messenger.texts(chat).contains(&end).then_some(())
        })
        .await;
    }
    for chat in 0..CHATS {
        judge(messenger, home, chat).await;
    }
    let asked: BTreeSet<String> = model.asked().iter().map(last).collect();
    assert_eq!(asked.len(), CHATS * MESSAGES, "each was asked");
    daemon.end().await;
}

fn text(chat: usize, number: usize) -> String {
    format!("message {number} of chat {chat}.")
}

fn answer(chat: usize, number: usize) -> String {
    format!("answer to {}", text(chat, number))
}

async fn judge<M: Messenger>(messenger: &M, home: &Home, chat: usize) {
    let wanted: Vec<String> = (0..MESSAGES).map(|number| text(chat, number)).collect();
    assert_eq!(said(home, &messenger.conversation(chat)).await, wanted, "one turn each, in order");
    let mut texts = messenger.texts(chat);
    let all = texts.len();
    // A draft that was sent and not noted stays behind as the beginning of the reply.
    texts.reverse();
    texts.dedup_by(|earlier, later| later.starts_with(earlier.as_str()));
    texts.reverse();
    let doubled = all - texts.len();
    let most = if M::KNOWS_AGAIN { 0 } else { KILLS };
    assert!(doubled <= most, "chat {chat}: {doubled} doubled deliveries for {KILLS} kills");
    let answers: Vec<String> = (0..MESSAGES).map(|number| answer(chat, number)).collect();
    assert_eq!(texts, answers, "chat {chat}");
}
