//! The one writer: a thread that takes whatever is queued, runs it in one transaction and commits once.
//!
//! What arrives during a commit is the next batch, so fifty callers share the cost of one fsync and a lone caller waits
//! for nobody. A change that fails takes only itself out: if it had written already, the transaction is dropped and the
//! others run again (which is why changes are `FnMut`). Notes of [`Queue::push_later`] wait a moment for company.
//!
//! redb refuses everything after a failed read or write until the file is opened again, and may leave its locks
//! poisoned after a panic; so after either one the writer opens the file anew. Each batch carries a number: after a
//! failed commit it tells whether the batch reached the disk all the same, so an error means that nothing is stored.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::Shared;
use super::error::{StoreError, panic_text};
use super::transaction::{BATCH, META, Writing};
use crate::failpoint::failpoint;

/// At most this many changes share a commit, so that no caller waits for an endless one.
const BATCH_MOST: usize = 1_024;
/// This many notes may wait.
const LATER_MOST: usize = 10_000;
/// So many notes are committed without waiting for company, …
const LATER_BATCH: usize = 512;
/// … and after this time any number of them.
const LATER_WAIT: Duration = Duration::from_millis(250);

/// One queued change, with its caller.
pub(super) trait Job: Send {
    /// May run more than once; only the last run counts.
    fn run(&mut self, writing: &mut Writing<'_>) -> Result<(), StoreError>;
    /// Tells the caller, after the commit. A failure that nobody waits for is given back.
    fn answer(self: Box<Self>, outcome: Result<(), StoreError>) -> Option<StoreError>;
}

/// What the writer is asked to do.
pub(super) enum Request {
    Change(Box<dyn Job>),
    /// Open the file again if the handle is still the one of this generation.
    Reopen {
        generation: u64,
        done: std::sync::mpsc::SyncSender<Result<(), StoreError>>,
    },
    /// Look at every page.
    Check {
        done: std::sync::mpsc::SyncSender<Result<bool, StoreError>>,
    },
}

#[derive(Default)]
struct Waiting {
    requests: VecDeque<Request>,
    /// Someone waits for an answer.
    urgent: bool,
    /// How many of the requests are notes, and since when the oldest of them is here.
    later: usize,
    since: Option<Instant>,
    closing: bool,
}

/// What waits for the writer.
#[derive(Default)]
pub(super) struct Queue {
    waiting: Mutex<Waiting>,
    changed: Condvar,
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        // Nothing in here can be half done.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// For a caller that waits.
    pub(super) fn push(&self, request: Request) -> Result<(), Request> {
        let mut waiting = self.lock();
        if waiting.closing {
            return Err(request);
        }
        waiting.requests.push_back(request);
        waiting.urgent = true;
        self.changed.notify_one();
        Ok(())
    }

    /// For a note that nobody waits for.
    pub(super) fn push_later(&self, job: Box<dyn Job>) -> Result<(), StoreError> {
        let mut waiting = self.lock();
        if waiting.closing {
            return Err(StoreError::Closed);
        }
        if waiting.later >= LATER_MOST {
            return Err(StoreError::Busy);
        }
        waiting.requests.push_back(Request::Change(job));
        waiting.later = waiting.later.saturating_add(1);
        if waiting.since.is_none() {
            waiting.since = Some(Instant::now());
            self.changed.notify_one();
        } else if waiting.later >= LATER_BATCH {
            self.changed.notify_one();
        }
        Ok(())
    }

    /// Takes nothing more in; the writer ends when the rest is done.
    pub(super) fn close(&self) {
        self.lock().closing = true;
        self.changed.notify_one();
    }

    /// The next batch; `None` at the end.
    fn take(&self) -> Option<Vec<Request>> {
        let mut waiting = self.lock();
        loop {
            if waiting.urgent || waiting.closing || waiting.later >= LATER_BATCH {
                break;
            }
            let left = waiting.since.map(|since| LATER_WAIT.saturating_sub(since.elapsed()));
            waiting = match left {
                Some(Duration::ZERO) => break,
                Some(left) => self.changed.wait_timeout(waiting, left).unwrap_or_else(PoisonError::into_inner).0,
                None => self.changed.wait(waiting).unwrap_or_else(PoisonError::into_inner),
            };
        }
        if waiting.requests.is_empty() && waiting.closing {
            return None;
        }
        let many = waiting.requests.len().min(BATCH_MOST);
        let batch = waiting.requests.drain(..many).collect();
        // What is left of a long queue counts as urgent: it has waited for a whole batch.
        waiting.urgent = !waiting.requests.is_empty();
        waiting.later = if waiting.urgent { waiting.later.saturating_sub(many) } else { 0 };
        waiting.since = waiting.urgent.then(Instant::now);
        Some(batch)
    }
}

/// A job, and why it is out.
struct Entry {
    job: Box<dyn Job>,
    failed: Option<StoreError>,
}

/// How one pass over the batch ended.
enum Pass {
    /// All that did not fail is stored.
    Stored,
    /// One more job is out; the others must run again.
    Again,
    /// The same, and the handle may be poisoned by a panic.
    Panicked,
    /// The storage failed. The number is the batch's, if it came to a commit.
    Broken(StoreError, Option<u64>),
}

/// The thread's life.
pub(super) fn run(shared: &Arc<Shared>) {
    while let Some(batch) = shared.queue.take() {
        let mut entries = Vec::with_capacity(batch.len());
        for request in batch {
            match request {
                Request::Change(job) => entries.push(Entry { job, failed: None }),
                Request::Reopen { generation, done } => {
                    let _ = done.send(shared.reopen(Some(generation)));
                }
                Request::Check { done } => {
                    // What was asked for before the check is in the file when it is looked at.
                    store(shared, std::mem::take(&mut entries));
                    let _ = done.send(shared.check_now());
                }
            }
        }
        store(shared, entries);
    }
    shared.put_away();
}

fn store(shared: &Shared, mut entries: Vec<Entry>) {
    let outcome = if entries.is_empty() { Ok(()) } else { commit(shared, &mut entries) };
    let mut unheard = Vec::new();
    for Entry { job, failed } in entries {
        unheard.extend(job.answer(failed.map_or_else(|| outcome.clone(), Err)));
    }
    // One line for a whole batch: on a full disk there are thousands of them.
    if let Some(error) = unheard.first() {
        tracing::warn!(%error, "{} notes were not stored", unheard.len());
    }
}

/// Ends: each round but the last one takes a job out.
fn commit(shared: &Shared, entries: &mut [Entry]) -> Result<(), StoreError> {
    loop {
        if !shared.is_open() {
            shared.reopen(None)?;
        }
        let pass = catch_unwind(AssertUnwindSafe(|| pass(shared, entries)))
            .unwrap_or_else(|panic| Pass::Broken(StoreError::Corrupt(panic_text(panic.as_ref())), None));
        match pass {
            Pass::Stored => return Ok(()),
            Pass::Again => {}
            Pass::Panicked => shared.reopen(None)?,
            Pass::Broken(error, number) => {
                tracing::error!(%error, "the store could not write");
                let reopened = shared.reopen(None);
                // The commit may have reached the disk before it failed.
                if reopened.is_ok() && number.is_some() && shared.last_batch() == number {
                    return Ok(());
                }
                return Err(error);
            }
        }
    }
}

fn pass(shared: &Shared, entries: &mut [Entry]) -> Pass {
    let begun = shared.begin_write();
    let transaction = match begun {
        Ok(transaction) => transaction,
        Err(error) => return Pass::Broken(error, None),
    };
    let mut wrote = false;
    for entry in entries.iter_mut().filter(|entry| entry.failed.is_none()) {
        let mut writing = Writing::new(&transaction);
        let ran = catch_unwind(AssertUnwindSafe(|| entry.job.run(&mut writing)));
        match ran {
            Ok(Ok(())) => wrote |= writing.wrote(),
            Ok(Err(error)) if error.needs_reopening() => return Pass::Broken(error, None),
            Ok(Err(error)) => {
                entry.failed = Some(error);
                if writing.wrote() {
                    return transaction.abort().map_or_else(|error| Pass::Broken(error.into(), None), |()| Pass::Again);
                }
            }
            Err(panic) => {
                entry.failed = Some(StoreError::Corrupt(panic_text(panic.as_ref())));
                return Pass::Panicked;
            }
        }
    }
    if !wrote {
        return transaction.abort().map_or_else(|error| Pass::Broken(error.into(), None), |()| Pass::Stored);
    }
    let mut writing = Writing::new(&transaction);
    let number = match writing.batch().map(|last| last.saturating_add(1)) {
        Ok(number) => number,
        Err(error) => return Pass::Broken(error, None),
    };
    if let Err(error) = writing.set(META, BATCH, number) {
        return Pass::Broken(error, None);
    }
    failpoint("store.before-commit");
    let committed = transaction.commit();
    failpoint("store.after-commit");
    committed.map_or_else(|error| Pass::Broken(error.into(), Some(number)), |()| Pass::Stored)
}
