//! Sessions: which one a conversation is in, what is known of each, the lists of them.
//!
//! A conversation of a channel instance has one current session; starting another leaves the old one in the lists.
//! Two indexes keep "newest first" cheap, of all instances and of one.

use redb::{ReadableTable as _, TableDefinition};
use serde::{Deserialize, Serialize};

use super::error::StoreError;
use super::transaction::{Reading, Writing, decode};
use super::{approvals, messages};
use crate::message::{Sender, Timestamp, Usage};

pub(super) const SESSIONS: TableDefinition<&str, &[u8]> = TableDefinition::new("sessions");
/// Instance and conversation to the session that is current there.
pub(super) const CURRENT: TableDefinition<(&str, &str), &str> = TableDefinition::new("sessions.current");
pub(super) const BY_TIME: TableDefinition<(u64, &str), ()> = TableDefinition::new("sessions.by-time");
pub(super) const BY_INSTANCE: TableDefinition<(&str, u64, &str), ()> = TableDefinition::new("sessions.by-instance");

/// What is known of a session, without its messages.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session {
    /// From `new_id`.
    pub id: String,
    /// The channel instance.
    pub instance: String,
    /// The conversation there.
    pub conversation: String,
    /// Whose it is.
    pub owner: Sender,
    /// For people; empty until it has one.
    #[serde(default)]
    pub title: String,
    /// `instance/model`, if the person chose one.
    #[serde(default)]
    pub model: Option<String>,
    /// When it was started.
    pub created: Timestamp,
    /// When something was last said in it.
    pub updated: Timestamp,
    /// Tools that the person allowed for this session.
    #[serde(default)]
    pub allowed: Vec<String>,
    /// What the older part is summed up as.
    #[serde(default)]
    pub compaction: Option<Compaction>,
    /// The sum of all model calls.
    #[serde(default)]
    pub usage: Usage,
    /// The cursor of the last message; 0 while there is none. Messages are numbered from 1 without gaps.
    #[serde(default)]
    pub last: u64,
}

/// A summary that stands for the beginning of a session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Compaction {
    /// Up to and including this cursor.
    pub upto: u64,
    /// For the model.
    pub summary: String,
}

impl Session {
    /// A new one without messages.
    pub fn new(instance: &str, conversation: &str, owner: Sender, at: Timestamp) -> Self {
        Self {
            id: crate::message::new_id(),
            instance: instance.into(),
            conversation: conversation.into(),
            owner,
            title: String::new(),
            model: None,
            created: at,
            updated: at,
            allowed: Vec::new(),
            compaction: None,
            usage: Usage::default(),
            last: 0,
        }
    }
}

impl Reading<'_> {
    /// A session by its whole id.
    pub fn session(&self, id: &str) -> Result<Option<Session>, StoreError> {
        self.record(SESSIONS, id)
    }

    /// The session that the conversation is in.
    pub fn session_current(&self, instance: &str, conversation: &str) -> Result<Option<Session>, StoreError> {
        let id = self.view(CURRENT)?.get((instance, conversation))?.map(|id| id.value().to_string());
        id.map_or(Ok(None), |id| self.session(&id))
    }

    /// A session by its id or the beginning of it; an error when there is none or more than one.
    pub fn session_find(&self, prefix: &str) -> Result<Session, StoreError> {
        let missing = || StoreError::NotFound { what: "session", id: prefix.into() };
        if prefix.is_empty() {
            return Err(missing());
        }
        let view = self.view(SESSIONS)?;
        let mut fitting = view.range(prefix..)?;
        let (id, bytes) = fitting.next().ok_or_else(missing)??;
        if !id.value().starts_with(prefix) {
            return Err(missing());
        }
        if id.value() != prefix
            && let Some(next) = fitting.next()
            && next?.0.value().starts_with(prefix)
        {
            return Err(StoreError::Ambiguous { what: "session", prefix: prefix.into() });
        }
        decode("sessions", bytes.value())
    }

    /// Sessions of one instance or of all, the one last spoken in first, from those older than `before`. A page has
    /// `limit` of them, and more only when the last ones have the same time, so that `before` skips nobody.
    pub fn sessions(
        &self,
        instance: Option<&str>,
        before: Option<Timestamp>,
        limit: usize,
    ) -> Result<Vec<Session>, StoreError> {
        let end = before.unwrap_or(u64::MAX);
        let mut ids: Vec<(u64, String)> = Vec::new();
        let full = |ids: &[(u64, String)], at: u64| ids.len() >= limit && ids.last().is_some_and(|last| last.0 != at);
        if let Some(instance) = instance {
            let view = self.view(BY_INSTANCE)?;
            for entry in view.range((instance, 0, "")..(instance, end, ""))?.rev() {
                let key = entry?.0;
                let (_, at, id) = key.value();
                if full(&ids, at) || limit == 0 {
                    break;
                }
                ids.push((at, id.to_string()));
            }
        } else {
            let view = self.view(BY_TIME)?;
            for entry in view.range((0, "")..(end, ""))?.rev() {
                let key = entry?.0;
                let (at, id) = key.value();
                if full(&ids, at) || limit == 0 {
                    break;
                }
                ids.push((at, id.to_string()));
            }
        }
        let view = self.view(SESSIONS)?;
        let mut page = Vec::with_capacity(ids.len());
        for (_, id) in &ids {
            if let Some(bytes) = view.get(id.as_str())? {
                page.push(decode("sessions", bytes.value())?);
            }
        }
        Ok(page)
    }

    /// How many sessions there are.
    pub fn sessions_count(&self) -> Result<u64, StoreError> {
        self.view(SESSIONS)?.len()
    }

    pub(super) fn session_or_missing(&self, id: &str) -> Result<Session, StoreError> {
        self.session(id)?.ok_or_else(|| StoreError::NotFound { what: "session", id: id.into() })
    }
}

impl Writing<'_> {
    /// Stores a new session and makes it its conversation's current one; the one before stays in the lists.
    pub fn session_start(&mut self, session: &Session) -> Result<(), StoreError> {
        self.session_store(session, None)?;
        self.set(CURRENT, (session.instance.as_str(), session.conversation.as_str()), session.id.as_str())
    }

    /// The current session of the conversation, made when there is none.
    pub fn session_ensure(
        &mut self,
        instance: &str,
        conversation: &str,
        owner: &Sender,
        at: Timestamp,
    ) -> Result<Session, StoreError> {
        if let Some(current) = self.session_current(instance, conversation)? {
            return Ok(current);
        }
        let session = Session::new(instance, conversation, owner.clone(), at);
        self.session_start(&session)?;
        Ok(session)
    }

    /// Changes what is known of a session: title, model, allowed tools, compaction, usage. Its id, conversation and
    /// messages stay.
    pub fn session_change(&mut self, id: &str, change: impl FnOnce(&mut Session)) -> Result<Session, StoreError> {
        let before = self.session_or_missing(id)?;
        let mut after = before.clone();
        change(&mut after);
        let Session { id, instance, conversation, created, last, .. } = &before;
        after.id.clone_from(id);
        after.instance.clone_from(instance);
        after.conversation.clone_from(conversation);
        after.created = *created;
        after.last = *last;
        if after != before {
            self.session_store(&after, Some(before.updated))?;
        }
        Ok(after)
    }

    /// Deletes a session with its messages and approvals; its conversation begins anew. Whether it was there.
    pub fn session_delete(&mut self, id: &str) -> Result<bool, StoreError> {
        let Some(session) = self.session(id)? else {
            return Ok(false);
        };
        self.unset(SESSIONS, id)?;
        self.unset(BY_TIME, (session.updated, id))?;
        self.unset(BY_INSTANCE, (session.instance.as_str(), session.updated, id))?;
        let mut current = self.table(CURRENT)?;
        let conversation = (session.instance.as_str(), session.conversation.as_str());
        let is_current = current.get(conversation)?.is_some_and(|current| current.value() == id);
        if is_current {
            current.remove(conversation)?;
        }
        drop(current);
        messages::delete_all(self, id)?;
        approvals::delete_of_session(self, id)?;
        Ok(true)
    }

    /// Writes the record and moves it in the indexes; `listed` is the time that it is listed under now.
    pub(super) fn session_store(&mut self, session: &Session, listed: Option<Timestamp>) -> Result<(), StoreError> {
        let (id, instance) = (session.id.as_str(), session.instance.as_str());
        self.put(SESSIONS, id, session)?;
        if listed == Some(session.updated) {
            return Ok(());
        }
        let mut by_time = self.table(BY_TIME)?;
        let mut by_instance = self.table(BY_INSTANCE)?;
        if let Some(listed) = listed {
            by_time.remove((listed, id))?;
            by_instance.remove((instance, listed, id))?;
        }
        by_time.insert((session.updated, id), ())?;
        by_instance.insert((instance, session.updated, id), ())?;
        Ok(())
    }
}
