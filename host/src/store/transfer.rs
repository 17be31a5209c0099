//! A whole session as JSON lines, to keep, to look at, to move to another home.
//!
//! The first line is the session, each other one a message with its cursor; bytes are base64. Reading it in makes a new
//! session with a new id, so that nothing is ever overwritten.

use std::io::{BufRead, Write};

use serde::{Deserialize, Serialize};

use super::error::StoreError;
use super::messages::Stored;
use super::sessions::Session;
use super::transaction::{Reading, Writing};

/// What the first line says, so that another program's file is refused.
const FORMAT: &str = "openpista-session-1";
const STEP: usize = 50;

#[derive(Serialize, Deserialize)]
struct Head {
    format: String,
    session: Session,
}

/// A session that was read from JSON lines and is not stored yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Imported {
    /// As it was exported.
    pub session: Session,
    /// In order.
    pub messages: Vec<Stored>,
}

fn written(error: &std::io::Error) -> StoreError {
    StoreError::Refused(format!("the session can't be written out: {error}"))
}

impl Reading<'_> {
    /// Writes a session as JSON lines.
    pub fn session_export(&self, id: &str, out: &mut impl Write) -> Result<(), StoreError> {
        fn line(out: &mut impl Write, record: &impl Serialize) -> Result<(), StoreError> {
            serde_json::to_writer(&mut *out, record).map_err(|error| written(&error.into()))?;
            out.write_all(b"\n").map_err(|error| written(&error))
        }
        let session = self.session_or_missing(id)?;
        line(out, &Head { format: FORMAT.into(), session })?;
        let mut after = 0;
        loop {
            let page = self.messages(id, after, STEP)?;
            let Some(last) = page.last() else {
                return Ok(());
            };
            after = last.cursor;
            for stored in &page {
                line(out, stored)?;
            }
        }
    }
}

/// Reads JSON lines that [`Reading::session_export`] wrote. The text says which line is wrong.
pub fn session_import(from: impl BufRead) -> Result<Imported, StoreError> {
    let wrong = |line: usize, error: &dyn std::fmt::Display| {
        StoreError::Refused(format!("line {line} is not of an exported session: {error}"))
    };
    let mut lines =
        from.lines().zip(1..).filter(|(line, _)| line.as_ref().map_or(true, |line| !line.trim().is_empty()));
    let Some((head, number)) = lines.next() else {
        return Err(wrong(1, &"there is nothing in it"));
    };
    let head = head.map_err(|error| wrong(number, &error))?;
    let Head { format, session } = serde_json::from_str(&head).map_err(|error| wrong(number, &error))?;
    if format != FORMAT {
        return Err(wrong(number, &format!("its format is {format}, this version reads {FORMAT}")));
    }
    let mut messages: Vec<Stored> = Vec::new();
    for (line, number) in lines {
        let line = line.map_err(|error| wrong(number, &error))?;
        messages.push(serde_json::from_str(&line).map_err(|error| wrong(number, &error))?);
    }
    Ok(Imported { session, messages })
}

impl Writing<'_> {
    /// Stores an imported session under a new id, in the lists but not as its conversation's current one. What was
    /// allowed for the old session is not allowed for the new one, and its usage is not counted again by day.
    pub fn session_import(&mut self, imported: &Imported) -> Result<Session, StoreError> {
        let from = &imported.session;
        let count = u64::try_from(imported.messages.len()).unwrap_or(u64::MAX);
        let session = Session {
            id: crate::message::new_id(),
            allowed: Vec::new(),
            compaction: from.compaction.clone().filter(|compaction| compaction.upto <= count),
            last: count,
            ..from.clone()
        };
        self.session_store(&session, None)?;
        for (stored, cursor) in imported.messages.iter().zip(1..) {
            self.put(super::messages::MESSAGES, (session.id.as_str(), cursor), &stored.message)?;
        }
        Ok(session)
    }
}
