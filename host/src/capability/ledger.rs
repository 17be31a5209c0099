//! What a capability call leaves in the ledger: one line when it is over, with how long it took and what came of it.
//!
//! A call that is still under way after [`SLOW`] leaves a line before that, too, so one that a kill cuts off is there.

use std::sync::Arc;
use std::time::{Duration, Instant};

use sha2::{Digest as _, Sha256};
use tokio_util::task::AbortOnDropHandle;

use super::{Caller, NOTE_MAX, View};

/// A call that takes longer is noted when it is known to, and again when it is over.
pub const SLOW: Duration = Duration::from_millis(250);
/// What is said of a call that is under way.
pub const BEGUN: &str = "begun";
/// What is said of a call that was allowed and of which nothing else is known.
pub const DONE: &str = "ok";
/// What is said of a call that was not allowed.
pub const DENIED: &str = "denied";
/// What is said of a call that was given up: cancelled, too slow, or its guest broke.
pub const CUT_OFF: &str = "cut off";

/// One line of the ledger.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LedgerEntry {
    /// Who.
    pub caller: Caller,
    /// `http`, `shell`, … or `tools` for a tool call.
    pub capability: &'static str,
    /// What, with secrets cut out: `GET api.example.org/v1`.
    pub what: String,
    /// SHA-256 of the arguments, in hex; empty where there are none.
    pub arguments: String,
    /// It was allowed.
    pub allowed: bool,
    /// What came of it, in a word or two.
    pub outcome: String,
    /// From its beginning to its end; none while it is under way.
    pub took: Option<Duration>,
}

/// Takes notes; must not block and never fails towards the guest.
pub trait Ledger: Send + Sync {
    /// One note.
    fn note(&self, entry: LedgerEntry);
}

/// SHA-256 of several texts, each with its length before it, in hex.
pub fn hash<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
        hash.update(part);
    }
    hex::encode(hash.finalize())
}

/// A capability call that has begun. Dropped without an end it is noted as cut off.
pub struct Begun {
    ledger: Arc<dyn Ledger>,
    entry: Option<LedgerEntry>,
    started: Instant,
    _later: Option<AbortOnDropHandle<()>>,
}

impl Begun {
    /// Now.
    pub fn new(ledger: Arc<dyn Ledger>, entry: LedgerEntry) -> Self {
        Self { ledger, entry: Some(entry), started: Instant::now(), _later: None }
    }

    /// Waits for the call; one that is slow is noted meanwhile.
    pub async fn noted<T>(&self, work: impl Future<Output = T>) -> T {
        tokio::pin!(work);
        tokio::select! {
            biased;
            done = &mut work => return done,
            () = tokio::time::sleep(SLOW) => (),
        }
        note_begun(&*self.ledger, self.entry.as_ref());
        work.await
    }

    /// The same for a call that nobody waits for in one place, such as a process.
    pub fn noted_later(&mut self) {
        let (ledger, entry) = (Arc::clone(&self.ledger), self.entry.clone());
        self._later = Some(AbortOnDropHandle::new(tokio::spawn(async move {
            tokio::time::sleep(SLOW).await;
            note_begun(&*ledger, entry.as_ref());
        })));
    }

    /// It is over.
    pub fn end(mut self, allowed: bool, outcome: impl Into<String>) {
        self.close(allowed, outcome.into());
    }

    fn close(&mut self, allowed: bool, outcome: String) {
        if let Some(entry) = self.entry.take() {
            self.ledger.note(LedgerEntry { allowed, outcome, took: Some(self.started.elapsed()), ..entry });
        }
    }
}

fn note_begun(ledger: &dyn Ledger, entry: Option<&LedgerEntry>) {
    if let Some(entry) = entry {
        ledger.note(LedgerEntry { allowed: true, outcome: BEGUN.into(), ..entry.clone() });
    }
}

impl Drop for Begun {
    fn drop(&mut self) {
        self.close(true, CUT_OFF.into());
    }
}

impl View<'_> {
    fn entry(&self, capability: &'static str, what: String, arguments: String) -> LedgerEntry {
        let mut what = self.call.clean(&what);
        what.truncate(what.floor_char_boundary(NOTE_MAX));
        LedgerEntry { caller: self.call.caller.clone(), capability, what, arguments, ..LedgerEntry::default() }
    }

    /// Notes a capability call that takes no time; `arguments` is their hash.
    pub fn note(&self, capability: &'static str, what: impl Into<String>, arguments: String, allowed: bool) {
        let entry = self.entry(capability, what.into(), arguments);
        let outcome = if allowed { DONE } else { DENIED };
        self.call.services.ledger.note(LedgerEntry { allowed, outcome: outcome.into(), ..entry });
    }

    /// A capability call begins.
    pub fn begin(&self, capability: &'static str, what: impl Into<String>, arguments: String) -> Begun {
        Begun::new(Arc::clone(&self.call.services.ledger), self.entry(capability, what.into(), arguments))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    #[derive(Default)]
    struct Notes(Mutex<Vec<(String, bool, bool)>>);

    impl Ledger for Notes {
        fn note(&self, entry: LedgerEntry) {
            self.0.lock().unwrap().push((entry.outcome, entry.allowed, entry.took.is_some()));
        }
    }

    fn begun(notes: &Arc<Notes>) -> Begun {
        Begun::new(Arc::clone(notes) as _, LedgerEntry { capability: "http", ..LedgerEntry::default() })
    }

    fn taken(notes: &Notes) -> Vec<(String, bool, bool)> {
        std::mem::take(&mut *notes.0.lock().unwrap())
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_leaves_one_line_with_its_time_and_a_slow_one_another_before() {
        let notes = Arc::new(Notes::default());
        let quick = begun(&notes);
        quick.noted(tokio::time::sleep(SLOW / 2)).await;
        quick.end(false, DENIED);
        assert_eq!(taken(&notes), [(DENIED.to_string(), false, true)]);
        let slow = begun(&notes);
        slow.noted(tokio::time::sleep(SLOW * 2)).await;
        slow.end(true, "200");
        assert_eq!(taken(&notes), [(BEGUN.to_string(), true, false), ("200".to_string(), true, true)]);
        let mut process = begun(&notes);
        process.noted_later();
        tokio::time::sleep(SLOW * 2).await;
        assert_eq!(taken(&notes), [(BEGUN.to_string(), true, false)]);
        drop(process);
        assert_eq!(taken(&notes), [(CUT_OFF.to_string(), true, true)]);
    }

    #[test]
    fn what_is_hashed_is_told_apart_by_where_it_is_split() {
        let one: [&[u8]; 2] = [b"ab", b"c"];
        let other: [&[u8]; 2] = [b"a", b"bc"];
        assert_ne!(hash(one), hash(other));
        assert_eq!(hash(one), hash(one));
    }
}
