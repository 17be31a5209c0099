//! What a turn stores, and what is stored with it: the person's message with the first answer, the reply with the last.
//!
//! The closing message, the reply to deliver and the end of the inbox entry are one transaction, so after a kill a
//! message is either unanswered or answered, never both and never half.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;

use super::{Cache, Desk, Key, Tap, lock};
use crate::agent::context::{self, Past};
use crate::agent::event::Ending;
use crate::agent::ports::Journal;
use crate::message::{Body, Content, Delivery, DeliveryContent, Message, Role, Usage, now};
use crate::store::{Compaction, InboxKey, Turn};

/// What an empty answer is shown as: a model may act and say nothing.
const SILENT: &str = "Done.";

/// Of a reply, in bytes.
const REPLY_MAX: usize = 1 << 20;
const CUT: &str = "\n\n[The rest is too long to be shown here.]";

/// For one turn.
pub struct TurnJournal {
    /// What all share.
    pub desk: Arc<Desk>,
    /// Where the reply goes.
    pub key: Key,
    /// The session.
    pub session: String,
    /// The turn.
    pub turn: String,
    /// The message that began it.
    pub inbox: InboxKey,
    /// From that message.
    pub handle: Option<String>,
    /// Somebody who runs the turn by hand reads the reply there.
    pub tap: Option<Tap>,
    /// What is said so far.
    pub said: Mutex<Said>,
}

/// What is said so far.
#[derive(Default)]
pub struct Said {
    /// The person's message, until it is stored.
    pub user: Option<Message>,
    /// The session's title, to be stored with it.
    pub title: Option<String>,
    /// The inbox entry names the turn.
    pub running: bool,
    /// The model's texts.
    pub texts: Vec<String>,
    /// Of all model calls.
    pub usage: Usage,
    /// The closing message is stored.
    pub closed: bool,
    /// What was stored after the person's message.
    pub added: Vec<(u64, Message)>,
    /// The older part was summed up meanwhile.
    pub compacted: bool,
}

impl Said {
    /// Counts a message of the turn.
    pub fn note(&mut self, message: &Message) {
        if message.role != Role::Assistant {
            return;
        }
        let text = message.text();
        if !text.trim().is_empty() {
            self.texts.push(text.trim().to_string());
        }
        self.usage += message.usage.unwrap_or_default();
    }
}

/// As long as the contract lets a reply be. The session keeps all of it.
fn shortened(mut text: String) -> String {
    if text.len() > REPLY_MAX {
        text.truncate(text.floor_char_boundary(REPLY_MAX.saturating_sub(CUT.len())));
        text.push_str(CUT);
    }
    text
}

impl TurnJournal {
    fn delivery(&self, suffix: &str, content: DeliveryContent) -> Delivery {
        Delivery {
            id: format!("{}-{suffix}", self.turn),
            instance: self.key.instance.clone(),
            conversation: self.key.conversation.clone(),
            turn: Some(self.turn.clone()),
            handle: self.handle.clone(),
            content,
        }
    }

    /// What the person is shown at the end.
    fn reply(&self, ending: &Ending, said: &Said, model: &str) -> Vec<Delivery> {
        let text = said.texts.join("\n\n");
        let notice = ending.notice();
        let mut deliveries = Vec::new();
        if !text.is_empty() || notice.is_none() {
            let text = if text.is_empty() { SILENT.to_string() } else { shortened(text) };
            let reply = DeliveryContent::Reply { text, usage: said.usage, model: model.to_string() };
            deliveries.push(self.delivery("reply", reply));
        }
        if let Some(notice) = notice {
            let content = match ending {
                Ending::Failed(_) | Ending::Filtered(_) => DeliveryContent::Failed(notice),
                Ending::Done | Ending::Cut | Ending::OutOfRounds | Ending::Cancelled | Ending::TimedOut => {
                    DeliveryContent::Notice(notice)
                }
            };
            deliveries.push(self.delivery("end", content));
        }
        deliveries
    }

    /// Files that a tool made are shown to the person.
    fn files(&self, message: &Message) -> Vec<Delivery> {
        let mut files = Vec::new();
        for part in &message.parts {
            let Body::Outcome(outcome) = &part.body else { continue };
            for (index, content) in outcome.content.iter().enumerate() {
                if let Content::Media(media) = content {
                    let id = format!("{}-{index}", outcome.id);
                    files.push(self.delivery(&id, DeliveryContent::Media(media.clone())));
                }
            }
        }
        files
    }

    /// What the session's actor remembers for the next turn; none if it has to be read again.
    pub fn cache(&self, mut past: Past) -> Option<Cache> {
        let mut said = lock(&self.said);
        if said.compacted {
            return None;
        }
        past.messages.append(&mut said.added);
        Some(Cache { session: self.session.clone(), past })
    }

    /// Stores the end of a turn that has no closing message: it failed.
    pub async fn fail(&self, ending: &Ending, model: &str) -> anyhow::Result<()> {
        let (user, deliveries) = {
            let said = lock(&self.said);
            (said.user.clone(), self.reply(ending, &said, model))
        };
        self.store(user, None, deliveries, true).await?;
        Ok(())
    }

    async fn store(
        &self,
        user: Option<Message>,
        message: Option<Message>,
        deliveries: Vec<Delivery>,
        closing: bool,
    ) -> anyhow::Result<u64> {
        let deliveries = if self.tap.is_some() { Vec::new() } else { deliveries };
        let first = !lock(&self.said).running;
        let title = lock(&self.said).title.clone();
        let (session, turn, inbox) = (self.session.clone(), self.turn.clone(), self.inbox.clone());
        let (queued, stored) = (deliveries.clone(), message.clone());
        let cursor = self
            .desk
            .store
            .write(move |tx| {
                let mut cursor = 0;
                for message in user.iter().chain(&stored) {
                    cursor = tx.message_append(&session, message)?;
                }
                if let Some(title) = &title {
                    tx.session_change(&session, |session| session.title.clone_from(title))?;
                }
                for delivery in &queued {
                    tx.outbox_enqueue(delivery, now())?;
                }
                if closing {
                    tx.inbox_finish(&inbox)?;
                } else if first {
                    let (id, session) = (turn.clone(), session.clone());
                    tx.turn_set(&inbox, &Turn { id, session, started: now(), round: 0, cancelled: false })?;
                }
                Ok(cursor)
            })
            .await?;
        {
            let mut said = lock(&self.said);
            said.user = None;
            said.title = None;
            said.added.extend(message.map(|message| (cursor, message)));
            said.running = true;
            said.closed |= closing;
        }
        if !deliveries.is_empty() {
            self.desk.outlet.enqueued(deliveries);
        }
        Ok(cursor)
    }
}

#[async_trait]
impl Journal for TurnJournal {
    async fn append(&self, message: Message) -> anyhow::Result<u64> {
        let closing = message.role == Role::Assistant && message.calls().next().is_none();
        let (user, deliveries) = {
            let mut said = lock(&self.said);
            said.note(&message);
            let deliveries = if closing {
                let model = message.model.clone().unwrap_or_default();
                self.reply(&context::ending(&message), &said, &model)
            } else {
                self.files(&message)
            };
            (said.user.clone(), deliveries)
        };
        self.store(user, Some(message), deliveries, closing).await
    }

    async fn compacted(&self, upto: u64, summary: String) -> anyhow::Result<()> {
        let session = self.session.clone();
        lock(&self.said).compacted = true;
        let change = move |tx: &mut crate::store::Writing<'_>| {
            let compaction = Compaction { upto, summary: summary.clone() };
            tx.session_change(&session, |session| session.compaction = Some(compaction)).map(|_| ())
        };
        Ok(self.desk.store.write(change).await?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reply_is_as_long_as_the_contract_lets_it_be() {
        assert_eq!(shortened("ä".repeat(REPLY_MAX / 2)), "ä".repeat(REPLY_MAX / 2));
        let cut = shortened(format!("{}x", "ä".repeat(REPLY_MAX / 2)));
        assert!(cut.len() <= REPLY_MAX && cut.ends_with(&format!("ä{CUT}")), "{}", cut.len());
    }
}
