//! The messages of sessions: appended at the end, read in ranges, never changed.

use redb::TableDefinition;
use serde::{Deserialize, Serialize};

use super::error::StoreError;
use super::transaction::{Reading, Writing, decode};
use crate::message::{Message, Role, Timestamp};

/// Session and cursor to the message.
pub(super) const MESSAGES: TableDefinition<(&str, u64), &[u8]> = TableDefinition::new("messages");

/// A search looks at this many messages at most.
const SEARCH_MOST: usize = 20_000;
/// Characters of context on each side of what was found.
const EXCERPT: usize = 60;

/// A message with its place in the session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stored {
    /// From 1, without gaps.
    pub cursor: u64,
    /// What was said.
    pub message: Message,
}

/// Where a search found something.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hit {
    /// The session's id.
    pub session: String,
    /// The message in it.
    pub cursor: u64,
    /// Who said it.
    pub role: Role,
    /// When.
    pub at: Timestamp,
    /// The words around.
    pub excerpt: String,
}

/// What a search found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Found {
    /// Newest session first, in each the newest message first.
    pub hits: Vec<Hit>,
    /// Everything was looked at; else there may be more in older messages.
    pub complete: bool,
}

impl Reading<'_> {
    /// What came after `after` (0: from the start), oldest first.
    pub fn messages(&self, session: &str, after: u64, limit: usize) -> Result<Vec<Stored>, StoreError> {
        let view = self.view(MESSAGES)?;
        let from = after.saturating_add(1);
        let range = view.range((session, from)..=(session, u64::MAX))?.take(limit);
        range.map(|entry| stored(entry?)).collect()
    }

    /// One message.
    pub fn message(&self, session: &str, cursor: u64) -> Result<Option<Message>, StoreError> {
        self.record(MESSAGES, (session, cursor))
    }

    /// How many there are.
    pub fn messages_count(&self, session: &str) -> Result<u64, StoreError> {
        Ok(self.session(session)?.map_or(0, |session| session.last))
    }

    /// Looks for `words` in what was said, in one session, one instance's or all; capital letters don't matter.
    pub fn messages_search(
        &self,
        words: &str,
        instance: Option<&str>,
        session: Option<&str>,
        limit: usize,
    ) -> Result<Found, StoreError> {
        let wanted = words.to_lowercase();
        if wanted.is_empty() {
            return Ok(Found { hits: Vec::new(), complete: true });
        }
        let mut found = Found::default();
        let mut left = SEARCH_MOST;
        let mut before = None;
        let view = self.view(MESSAGES)?;
        loop {
            let page = match session {
                Some(id) => self.session(id)?.into_iter().collect(),
                None => self.sessions(instance, before, 100)?,
            };
            for session in &page {
                let id = session.id.as_str();
                for entry in view.range((id, 0)..=(id, u64::MAX))?.rev() {
                    if left == 0 || found.hits.len() >= limit {
                        return Ok(found);
                    }
                    left = left.saturating_sub(1);
                    let Stored { cursor, message } = stored(entry?)?;
                    if let Some(excerpt) = excerpt(&message.text(), &wanted) {
                        let hit = Hit { session: id.into(), cursor, role: message.role, at: message.at, excerpt };
                        found.hits.push(hit);
                    }
                }
            }
            before = page.last().map(|last| last.updated);
            if before.is_none() || session.is_some() {
                found.complete = true;
                return Ok(found);
            }
        }
    }
}

impl Writing<'_> {
    /// Adds a message at the end of a session and counts its usage there; returns its cursor.
    pub fn message_append(&mut self, session: &str, message: &Message) -> Result<u64, StoreError> {
        let mut record = self.session_or_missing(session)?;
        let listed = record.updated;
        record.last = record.last.saturating_add(1);
        record.updated = record.updated.max(message.at);
        if let Some(usage) = message.usage {
            record.usage += usage;
        }
        self.put(MESSAGES, (session, record.last), message)?;
        self.session_store(&record, Some(listed))?;
        if let (Some(usage), Some(model)) = (message.usage, &message.model) {
            self.usage_add(message.at, model, usage)?;
        }
        Ok(record.last)
    }
}

pub(super) fn delete_all(tx: &mut Writing<'_>, session: &str) -> Result<(), StoreError> {
    tx.table(MESSAGES)?.retain_in((session, 0)..=(session, u64::MAX), |_, _| false)?;
    Ok(())
}

type Entry<'a> = (redb::AccessGuard<'a, (&'static str, u64)>, redb::AccessGuard<'a, &'static [u8]>);

fn stored((key, bytes): Entry<'_>) -> Result<Stored, StoreError> {
    Ok(Stored { cursor: key.value().1, message: decode("messages", bytes.value())? })
}

/// The words around the first place where it stands. Lower case can have another length, so places are counted in
/// characters of the lower-case text and the excerpt is taken from there only if the lengths differ.
fn excerpt(text: &str, wanted: &str) -> Option<String> {
    let lower = text.to_lowercase();
    let (before, _) = lower.split_once(wanted)?;
    let place = before.chars().count();
    let shown = if lower.chars().count() == text.chars().count() { text } else { &lower };
    let from = place.saturating_sub(EXCERPT);
    let many = wanted.chars().count().saturating_add(EXCERPT).saturating_add(place.saturating_sub(from));
    let words: String = shown.chars().skip(from).take(many).collect();
    Some(words.split_whitespace().collect::<Vec<_>>().join(" "))
}

#[cfg(test)]
mod tests {
    use super::excerpt;

    #[test]
    fn an_excerpt_shows_the_words_around_as_they_were_written() {
        assert_eq!(excerpt("The BLUE  Lamp\nis here", "blue  lamp"), Some("The BLUE Lamp is here".into()));
        assert_eq!(excerpt("The blue lamp", "red"), None);
    }

    #[test]
    fn an_excerpt_of_letters_whose_lower_case_is_longer_stays_whole() {
        assert_eq!(excerpt("İİİ ünïcode", "ünïcode"), Some("i̇i̇i̇ ünïcode".into()));
    }
}
