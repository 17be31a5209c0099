//! The ledger in the store: a note rides along with the next commit.
//!
//! A guest may be noted faster than the disk writes. So each instance has at most [`WAITING_MOST`] notes that wait, and
//! [`ALWAYS`] however many others flood the ledger; those beyond are counted, and the ledger itself says how many are
//! missing in the place where they would stand. Nobody else's notes are touched by that, and the log tells of it once a
//! second at most.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::capability::{Ledger, LedgerEntry};
use crate::message::now;
use crate::store::{LedgerLine, Store, StoreError, Writing};

/// Notes of one instance that wait for the disk: as many as the store commits without waiting for more.
const WAITING_MOST: usize = 512;
/// So many of any instance wait even when …
const ALWAYS: usize = 8;
/// … all together have this many. The rest of the store's queue is for what matters more, such as that a reply was shown.
const TOGETHER_MOST: usize = 8_192;
/// Between two lines of the log about one instance.
const TELL: Duration = Duration::from_secs(1);

/// See the module.
pub struct Notes {
    store: Store,
    counts: Arc<Mutex<Counts>>,
}

#[derive(Default)]
struct Counts {
    waiting: usize,
    instances: HashMap<String, Count>,
}

/// How an instance stands.
#[derive(Default)]
struct Count {
    waiting: usize,
    /// Not kept, and not said in the ledger yet.
    missing: u64,
    /// Not kept, and not said in the log yet.
    untold: u64,
    told: Option<Instant>,
}

fn lock(counts: &Mutex<Counts>) -> MutexGuard<'_, Counts> {
    counts.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Counts {
    /// Room for one more note of the instance: how many are missing before it. None: it is one of them.
    fn admit(&mut self, instance: &str) -> Option<u64> {
        let most = if self.waiting < TOGETHER_MOST { WAITING_MOST } else { ALWAYS };
        let count = self.instances.entry(instance.to_string()).or_default();
        if count.waiting >= most {
            count.lose(1);
            return None;
        }
        count.waiting += 1;
        self.waiting += 1;
        Some(std::mem::take(&mut count.missing))
    }

    /// One waits no more. When it was the last one: how many are missing behind it.
    fn leave(&mut self, instance: &str) -> Option<u64> {
        self.waiting = self.waiting.saturating_sub(1);
        let count = self.instances.get_mut(instance)?;
        count.waiting = count.waiting.saturating_sub(1);
        (count.waiting == 0 && count.missing > 0).then(|| std::mem::take(&mut count.missing))
    }

    fn tell(&mut self, instance: &str, at: Instant) -> Option<u64> {
        self.instances.get_mut(instance)?.tell(at)
    }
}

impl Count {
    /// One more is not kept, after as many that the ledger does not tell of yet.
    fn lose(&mut self, missing: u64) {
        self.missing = self.missing.saturating_add(missing);
        self.untold = self.untold.saturating_add(1);
    }

    /// How many the log shall tell of now.
    fn tell(&mut self, at: Instant) -> Option<u64> {
        if self.untold == 0 || self.told.is_some_and(|told| at.duration_since(told) < TELL) {
            return None;
        }
        self.told = Some(at);
        Some(std::mem::take(&mut self.untold))
    }
}

/// Says in the ledger how many notes are missing before the next one.
fn append_gap(tx: &mut Writing<'_>, line: &LedgerLine, missing: u64) -> Result<(), StoreError> {
    if missing == 0 {
        return Ok(());
    }
    tx.ledger_append(&LedgerLine {
        session: None,
        turn: None,
        operation: String::new(),
        capability: "ledger".into(),
        arguments: String::new(),
        approval: String::new(),
        outcome: String::new(),
        took: None,
        what: format!("{missing} notes are missing here: they came faster than they could be written"),
        ..line.clone()
    })
}

/// A note that waits, until it is stored or lost.
struct Place {
    store: Store,
    counts: Arc<Mutex<Counts>>,
    line: LedgerLine,
}

impl Drop for Place {
    fn drop(&mut self) {
        // The flood is over: what it swept away is said now, for there may never be a next note.
        let Some(missing) = lock(&self.counts).leave(&self.line.instance) else { return };
        let line = LedgerLine { at: now(), ..std::mem::take(&mut self.line) };
        let instance = line.instance.clone();
        if self.store.write_later(move |tx| append_gap(tx, &line, missing)).is_err()
            && let Some(count) = lock(&self.counts).instances.get_mut(&instance)
        {
            count.missing = count.missing.saturating_add(missing);
        }
    }
}

impl Notes {
    /// Nothing waits.
    pub fn new(store: Store) -> Self {
        Self { store, counts: Arc::default() }
    }

    fn write(&self, line: LedgerLine, missing: u64) {
        let instance = line.instance.clone();
        let place = Place { store: self.store.clone(), counts: Arc::clone(&self.counts), line };
        let written = self.store.write_later(move |tx| {
            append_gap(tx, &place.line, missing)?;
            tx.ledger_append(&place.line)
        });
        // All instances together are too much, or the host is ending.
        if written.is_err()
            && let Some(count) = lock(&self.counts).instances.get_mut(&instance)
        {
            count.lose(missing.saturating_add(1));
        }
    }
}

impl Ledger for Notes {
    fn note(&self, entry: LedgerEntry) {
        let line = LedgerLine {
            at: now(),
            plugin: entry.caller.plugin,
            instance: entry.caller.instance,
            digest: entry.caller.digest,
            session: entry.caller.session,
            turn: entry.caller.turn,
            operation: entry.caller.operation.to_string(),
            capability: entry.capability.to_string(),
            what: entry.what,
            allowed: entry.allowed,
            arguments: entry.arguments,
            approval: entry.caller.approval,
            outcome: entry.outcome,
            took: entry.took.map(|took| u64::try_from(took.as_micros()).unwrap_or(u64::MAX)),
        };
        let instance = line.instance.clone();
        let admitted = lock(&self.counts).admit(&instance);
        if let Some(missing) = admitted {
            self.write(line, missing);
        }
        let told = lock(&self.counts).tell(&instance, Instant::now());
        if let Some(lost) = told {
            tracing::error!("{lost} notes of {instance} were not kept: they came faster than they can be written");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capability::Caller;
    use crate::store::{LedgerFilter, Options};

    fn note(notes: &Notes, instance: &str, what: &str) {
        let caller = Caller { instance: instance.into(), ..Caller::default() };
        notes.note(LedgerEntry { caller, capability: "http", what: what.into(), allowed: true, ..Default::default() });
    }

    /// The oldest first.
    async fn written(store: &Store, instance: &str) -> Vec<String> {
        // The word about what is missing is queued when the last note is stored.
        store.flush().await.unwrap();
        store.flush().await.unwrap();
        let filter = LedgerFilter { instance: Some(instance.into()), ..LedgerFilter::default() };
        let page = store.read(|tx| tx.ledger(&filter, None, 10_000)).unwrap();
        page.lines.into_iter().rev().map(|(_, line)| line.what).collect()
    }

    #[tokio::test]
    async fn a_flood_of_notes_leaves_a_gap_that_the_ledger_tells_of_and_nobody_else_loses_one() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path().join("store.redb"), Options::default()).unwrap();
        let notes = Notes::new(store.clone());
        // The disk is busy until the test says otherwise.
        let (release, busy) = std::sync::mpsc::channel::<()>();
        let blocked = store.write(move |_| {
            let _ = busy.recv();
            Ok(())
        });
        for number in 0..WAITING_MOST + 7 {
            note(&notes, "flood", &number.to_string());
        }
        note(&notes, "calm", "one");
        drop(release);
        blocked.await.unwrap();
        let gap =
            |missing: u64| format!("{missing} notes are missing here: they came faster than they could be written");
        let kept = (0..WAITING_MOST).map(|number| number.to_string());
        assert_eq!(written(&store, "flood").await, kept.chain([gap(7)]).collect::<Vec<_>>());
        assert_eq!(written(&store, "calm").await, ["one"]);
        note(&notes, "flood", "later");
        assert_eq!(written(&store, "flood").await.last().map(String::as_str), Some("later"));
    }

    #[test]
    fn the_gap_is_told_before_the_next_note_and_in_the_log_once_a_second() {
        let mut counts = Counts::default();
        assert_eq!((0..WAITING_MOST + 5).filter(|_| counts.admit("web").is_some()).count(), WAITING_MOST);
        let start = Instant::now();
        assert_eq!(counts.tell("web", start), Some(5));
        assert_eq!((counts.admit("web"), counts.tell("web", start)), (None, None));
        assert_eq!(counts.leave("web"), None);
        assert_eq!(counts.admit("web"), Some(6));
        assert_eq!(counts.tell("web", start + TELL), Some(1));
        assert_eq!(counts.tell("web", start + TELL * 2), None);
    }

    #[test]
    fn many_floods_together_leave_room_for_everybody_else() {
        let mut counts = Counts::default();
        for flood in 0..100 {
            while counts.admit(&format!("flood {flood}")).is_some() {}
        }
        assert!(counts.waiting < TOGETHER_MOST + 100 * ALWAYS, "{}", counts.waiting);
        assert_eq!((0..ALWAYS + 1).filter(|_| counts.admit("calm").is_some()).count(), ALWAYS);
    }
}
