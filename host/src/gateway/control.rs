//! What clients ask about conversations, read from the store at once.

use super::{Gateway, discreet};
use crate::capability::Error;
use crate::capability::control::Conversations;
use crate::message::{Approval, Body, Content, Message, Role, Sender, now};
use crate::plugin::convert::{content_out, media_out};
use crate::plugin::registry::RoleKind;
use crate::session::Key;
use crate::store::Session;
use crate::wit::openpista::control::{models, sessions as wit};
use crate::wit::types;

/// Files in one page of a history, in bytes.
const FILES_MAX: usize = 12 << 20;

impl Gateway {
    fn shown_session(&self, session: Session) -> wit::Session {
        let key = Key { instance: session.instance.clone(), conversation: session.conversation.clone() };
        let busy = self.sessions().is_some_and(|sessions| sessions.running(&key).is_some());
        wit::Session {
            id: session.id,
            channel: session.instance,
            conversation: session.conversation,
            owner: session.owner.id,
            title: self.parts.known.cleaned(session.title),
            model: session.model.unwrap_or_default(),
            updated: session.updated,
            busy,
        }
    }
}

impl Conversations for Gateway {
    fn may_decide(&self, instance: &str, approval: &str, by: &Sender) -> Result<(), Error> {
        let found = self
            .parts
            .store
            .read(|tx| {
                let Some(approval) = tx.approval(approval)? else { return Ok(None) };
                let open = tx.approval_is_open(&approval)? && approval.expires > now();
                Ok(open.then_some(approval))
            })
            .map_err(|error| Error::Unavailable(format!("the approval cannot be read: {error}")))?;
        match found {
            Some(approval) if approval.instance == instance && approval.owner.id == by.id => Ok(()),
            Some(_) => Err(Error::AccessDenied("somebody else was asked".into())),
            None => Err(Error::NotFound("that question is answered already, or its time is over".into())),
        }
    }

    fn waiting(&self, instance: &str, conversation: &str) -> Vec<Approval> {
        self.parts.store.read(|tx| tx.approvals_open(instance, conversation)).unwrap_or_else(|error| {
            tracing::error!("open approvals cannot be read: {error}");
            Vec::new()
        })
    }

    fn page(&self, instance: Option<&str>, before: Option<u64>, limit: usize) -> anyhow::Result<Vec<wit::Session>> {
        let page = self.parts.store.read(|tx| tx.sessions(instance, before, limit))?;
        Ok(page.into_iter().map(|session| self.shown_session(session)).collect())
    }

    fn exists(&self, instance: Option<&str>, conversation: &str) -> anyhow::Result<bool> {
        let Some(instance) = instance else { return Ok(false) };
        Ok(self.parts.store.read(|tx| tx.session_current(instance, conversation))?.is_some())
    }

    fn history(&self, instance: &str, conversation: &str, after: u64, limit: usize) -> anyhow::Result<Vec<wit::Entry>> {
        let stored = self.parts.store.read(|tx| {
            let Some(session) = tx.session_current(instance, conversation)? else { return Ok(Vec::new()) };
            tx.messages(&session.id, after, limit)
        })?;
        let known = &self.parts.known;
        let mut entries: Vec<wit::Entry> =
            stored.into_iter().map(|stored| entry(stored.cursor, discreet::message(known, stored.message))).collect();
        name_older_files(&mut entries);
        Ok(entries)
    }

    fn running(&self, instance: &str, conversation: &str) -> Option<String> {
        let key = Key { instance: instance.into(), conversation: conversation.into() };
        self.sessions()?.running(&key).map(|live| live.written().text)
    }

    fn models(&self) -> Vec<models::Model> {
        let snapshot = self.parts.registry.snapshot();
        self.parts
            .catalogue
            .names()
            .into_iter()
            .map(|id| {
                let (provider, title) = id.split_once('/').unwrap_or((id.as_str(), id.as_str()));
                models::Model {
                    title: title.to_string(),
                    provider: provider.to_string(),
                    ready: snapshot.get(RoleKind::Provider, provider).is_some(),
                    id: id.clone(),
                }
            })
            .collect()
    }
}

/// The newest files stay, as many as fit into a guest's memory beside all else; of the others it is told what they were.
fn name_older_files(entries: &mut [wit::Entry]) {
    let mut room = FILES_MAX;
    for content in entries.iter_mut().rev().flat_map(|entry| entry.content.iter_mut().rev()) {
        let types::Content::Media(media) = content else { continue };
        match room.checked_sub(media.data.len()) {
            Some(rest) => room = rest,
            None => {
                let name = media.name.as_deref().unwrap_or("a file");
                *content = types::Content::Text(format!("[{name}, {}: not shown again]", media.mime));
            }
        }
    }
}

/// A message as the person saw it. Calls are told by their outcomes, thinking is left out.
fn entry(cursor: u64, message: Message) -> wit::Entry {
    let mut author = match message.role {
        Role::User => wit::Author::Person,
        Role::Assistant => wit::Author::Assistant,
    };
    let mut name = None;
    let mut content = Vec::new();
    for part in message.parts {
        match part.body {
            Body::Text(text) => content.push(types::Content::Text(text)),
            Body::Media(media) => content.push(types::Content::Media(media_out(media))),
            Body::Outcome(outcome) => {
                author = wit::Author::Tool;
                name = Some(outcome.name);
                content.extend(outcome.content.into_iter().map(|piece: Content| content_out(piece)));
            }
            Body::Reasoning(_) | Body::Call(_) | Body::Other(_) => (),
        }
    }
    wit::Entry { cursor, author, name, content, at: message.at }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_files_of_a_history_are_there_and_older_ones_are_named() {
        let file = |name: &str, size: usize| {
            types::Content::Media(types::Media {
                mime: "image/png".into(),
                name: Some(name.into()),
                data: vec![0; size],
            })
        };
        let text = |text: &str| types::Content::Text(text.into());
        let entry = |content: Vec<types::Content>| wit::Entry {
            cursor: 1,
            author: wit::Author::Tool,
            name: None,
            content,
            at: 1,
        };
        let mut entries = [
            entry(vec![file("old.png", 2), text("words")]),
            entry(vec![file("a.png", 5), file("b.png", FILES_MAX - 6)]),
        ];
        name_older_files(&mut entries);
        let told = entry(vec![text("[old.png, image/png: not shown again]"), text("words")]);
        assert!(entries[0] == told, "{:?}", entries[0].content.first());
        assert!(entries[1] == entry(vec![file("a.png", 5), file("b.png", FILES_MAX - 6)]));
    }
}
