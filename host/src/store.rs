//! Everything that must outlive the process: sessions and their messages, what came in, what goes out, approvals, the
//! state of plugins, grants, the ledger, usage.
//!
//! One redb file, `openpista.redb` in the home, which one process has at a time. Reading ([`Store::read`]) happens on the
//! caller's thread and sees one consistent state. Writing ([`Store::write`]) hands a closure to the one writer thread
//! (`writer`), which commits durably what is queued and answers then: whoever has an `Ok` will find it after a kill or
//! a power cut. What belongs together goes into one closure and is stored together or not at all:
//!
//! ```ignore
//! store
//!     .write(move |tx| {
//!         tx.state_apply("my-channel", &set, &expected)?;
//!         tx.inbox_accept(&inbound, now)
//!     })
//!     .await?;
//! ```
//!
//! A leaf over `message`: it knows no session logic, no plugin and no transport. Each file in `store/` gives
//! [`Reading`] and [`Writing`] the functions of one kind of record. A session of any length and a queue of any number
//! of conversations costs the same: every hot path is a look-up or a short range.

mod aging;
mod approvals;
mod contacts;
mod error;
mod file;
mod grants;
mod inbox;
mod ledger;
mod messages;
mod migrations;
mod outbox;
mod queues;
mod sessions;
mod state;
mod transaction;
mod transfer;
mod usage;
mod writer;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::thread::JoinHandle;

use redb::{Database, DatabaseError, ReadableDatabase as _, WriteTransaction};
use tokio::sync::oneshot;

pub use approvals::Decided;
pub use contacts::{Contact, Pairing};
pub use error::{OpenError, StoreError};
pub use grants::Granted;
pub use inbox::{Accepted, InboxEntry, InboxKey, Turn};
pub use ledger::{LedgerCheck, LedgerFilter, LedgerLine, LedgerPage, Stored as StoredLine, link as ledger_link};
pub use messages::{Found, Hit, Stored};
pub use outbox::{Attempts, Queued, Undelivered};
pub use sessions::{Compaction, Session};
pub use state::STATE_MOST;
pub use transaction::{Reading, Writing};
pub use transfer::{Imported, session_import};
pub use usage::DayUsage;
use writer::{Job, Queue, Request};

/// How a store is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// What redb may keep in memory, in bytes.
    pub cache: usize,
    /// Commits also store what a start after a kill needs to know: such a start takes milliseconds at any size of the
    /// file, each commit a second fsync and some 0.3 ms of work. Without it, that start reads the whole file once.
    pub quick_repair: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self { cache: 8 << 20, quick_repair: false }
    }
}

/// The open database; a clone is another hold on the same one. The last one that goes closes it.
#[derive(Clone)]
pub struct Store {
    inner: Arc<Inner>,
}

struct Inner {
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// What callers and the writer thread share.
struct Shared {
    path: PathBuf,
    options: Options,
    /// None while the file could not be opened again after a failure, and after the end.
    database: RwLock<Option<Database>>,
    /// Grows with each reopening.
    generation: AtomicU64,
    queue: Queue,
}

/// Runs what may stumble over a damaged page: redb panics on some.
fn guarded<T>(work: impl FnOnce() -> Result<T, StoreError>) -> Result<T, StoreError> {
    catch_unwind(AssertUnwindSafe(work))
        .unwrap_or_else(|panic| Err(StoreError::Corrupt(error::panic_text(panic.as_ref()))))
}

impl Store {
    /// Opens the database at `path`, makes it (and its folder) when there is none, migrates an older one.
    pub fn open(path: impl AsRef<Path>, options: Options) -> Result<Self, OpenError> {
        let path = path.as_ref().to_path_buf();
        let database = file::open(&path, options.cache)?;
        let shared = Arc::new(Shared {
            path: path.clone(),
            options,
            database: RwLock::new(Some(database)),
            generation: AtomicU64::new(0),
            queue: Queue::default(),
        });
        let thread = std::thread::Builder::new()
            .name("store-writer".into())
            .spawn({
                let shared = shared.clone();
                move || writer::run(&shared)
            })
            .map_err(|error| OpenError::Io { path, reason: error.to_string() })?;
        Ok(Self { inner: Arc::new(Inner { shared, thread: Mutex::new(Some(thread)) }) })
    }

    /// Reads on this thread, from one consistent state. Runs a second time when the first stumbled over a database that
    /// had to be opened again.
    pub fn read<T>(&self, mut look: impl FnMut(&Reading<'_>) -> Result<T, StoreError>) -> Result<T, StoreError> {
        let shared = &self.inner.shared;
        let generation = shared.generation.load(Ordering::Acquire);
        let mut panicked = true;
        let first = guarded(|| {
            let transaction = shared.begin_read();
            let result = transaction.and_then(|transaction| look(&Reading::new(&transaction)));
            panicked = false;
            result
        });
        match first {
            Err(error) if panicked || error.needs_reopening() => {
                self.ask(|done| Request::Reopen { generation, done })??;
                if panicked {
                    return Err(error);
                }
                guarded(|| look(&Reading::new(&shared.begin_read()?)))
            }
            result => result,
        }
    }

    /// Stores what `change` does, durably, together with whatever else is queued. It is queued now, in the order of the
    /// calls, and happens even if the future is dropped. `change` may run more than once, and only
    /// the last run counts; if it returns an error nothing of it is stored. It runs on the writer's thread: it must not
    /// wait for anything, least of all for this store.
    pub fn write<T, F>(&self, change: F) -> impl Future<Output = Result<T, StoreError>> + Send + use<T, F>
    where
        T: Send + 'static,
        F: FnMut(&mut Writing<'_>) -> Result<T, StoreError> + Send + 'static,
    {
        let (answer, answered) = oneshot::channel();
        let job = Box::new(Change { change, result: None, answer });
        let queued = self.inner.shared.queue.push(Request::Change(job)).is_ok();
        async move {
            if !queued {
                return Err(StoreError::Closed);
            }
            answered.await.unwrap_or(Err(StoreError::Closed))
        }
    }

    /// Stores with the next batch, at the latest in a quarter of a second; a failure goes to the log. For notes that a
    /// kill may take away.
    pub fn write_later<F>(&self, change: F) -> Result<(), StoreError>
    where
        F: FnMut(&mut Writing<'_>) -> Result<(), StoreError> + Send + 'static,
    {
        self.inner.shared.queue.push_later(Box::new(Note { change }))
    }

    /// Returns when all that was queued before is stored or has failed.
    pub async fn flush(&self) -> Result<(), StoreError> {
        self.write(|_| Ok(())).await
    }

    /// Looks at every page: whether the file is sound. Nothing is written meanwhile.
    pub fn check(&self) -> Result<bool, StoreError> {
        self.ask(|done| Request::Check { done })?
    }

    /// Stores what is queued and gives the file free. Later calls fail; a second `close` does nothing. Blocks.
    pub fn close(&self) {
        self.inner.close();
    }

    fn ask<T>(&self, request: impl FnOnce(std::sync::mpsc::SyncSender<T>) -> Request) -> Result<T, StoreError> {
        let (done, answer) = std::sync::mpsc::sync_channel(1);
        self.inner.shared.queue.push(request(done)).map_err(|_| StoreError::Closed)?;
        answer.recv().map_err(|_| StoreError::Closed)
    }
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store").field("path", &self.inner.shared.path).finish_non_exhaustive()
    }
}

impl Inner {
    fn close(&self) {
        self.shared.queue.close();
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        // The last hold may be dropped by a change on the writer itself, which then ends by itself.
        if let Some(thread) = thread.filter(|thread| thread.thread().id() != std::thread::current().id()) {
            let _ = thread.join();
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.close();
    }
}

impl Shared {
    fn with_database<T>(&self, use_it: impl FnOnce(&Database) -> Result<T, StoreError>) -> Result<T, StoreError> {
        let database = self.database.read().unwrap_or_else(PoisonError::into_inner);
        use_it(database.as_ref().ok_or_else(|| StoreError::Io("the database could not be opened again".into()))?)
    }

    fn is_open(&self) -> bool {
        self.database.read().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    fn begin_read(&self) -> Result<redb::ReadTransaction, StoreError> {
        self.with_database(|database| Ok(database.begin_read()?))
    }

    fn begin_write(&self) -> Result<WriteTransaction, StoreError> {
        self.with_database(|database| {
            let mut transaction = database.begin_write()?;
            transaction.set_quick_repair(self.options.quick_repair);
            Ok(transaction)
        })
    }

    fn last_batch(&self) -> Option<u64> {
        guarded(|| Reading::new(&self.begin_read()?).batch()).ok()
    }

    /// Opens the file anew, on the writer thread only: there no transaction of its own is alive. With a generation: only
    /// if nobody did since.
    fn reopen(&self, seen: Option<u64>) -> Result<(), StoreError> {
        let mut database = self.database.write().unwrap_or_else(PoisonError::into_inner);
        let current = self.generation.load(Ordering::Acquire) == seen.unwrap_or(u64::MAX);
        if seen.is_some() && !current && database.is_some() {
            return Ok(());
        }
        // Gives up the lock of the file before it is taken again.
        let old = database.take();
        let _ = catch_unwind(AssertUnwindSafe(move || drop(old)));
        self.generation.fetch_add(1, Ordering::AcqRel);
        let opened = file::open_existing(&self.path, self.options.cache);
        *database = Some(opened.map_err(|error| match error {
            OpenError::Full { .. } => StoreError::Full,
            OpenError::Corrupt { reason, .. } => StoreError::Corrupt(reason),
            other => StoreError::Io(other.to_string()),
        })?);
        Ok(())
    }

    /// Only on the writer thread. A reader in the middle of something makes it wait for the next call.
    fn check_now(&self) -> Result<bool, StoreError> {
        let mut database = self.database.write().unwrap_or_else(PoisonError::into_inner);
        let Some(database) = database.as_mut() else {
            return Err(StoreError::Io("the database could not be opened again".into()));
        };
        guarded(|| match database.check_integrity() {
            Ok(sound) => Ok(sound),
            Err(DatabaseError::TransactionInProgress) => {
                Err(StoreError::Refused("the store is being read right now; check it again".into()))
            }
            Err(DatabaseError::Storage(error)) => Err(error.into()),
            Err(other) => Err(StoreError::Corrupt(other.to_string())),
        })
    }

    fn put_away(&self) {
        let old = self.database.write().unwrap_or_else(PoisonError::into_inner).take();
        let _ = catch_unwind(AssertUnwindSafe(move || drop(old)));
    }
}

/// A change whose caller waits for `T`.
struct Change<T, F> {
    change: F,
    result: Option<T>,
    answer: oneshot::Sender<Result<T, StoreError>>,
}

impl<T, F> Job for Change<T, F>
where
    T: Send,
    F: FnMut(&mut Writing<'_>) -> Result<T, StoreError> + Send,
{
    fn run(&mut self, writing: &mut Writing<'_>) -> Result<(), StoreError> {
        self.result = None;
        self.result = Some((self.change)(writing)?);
        Ok(())
    }

    fn answer(self: Box<Self>, outcome: Result<(), StoreError>) -> Option<StoreError> {
        let Self { result, answer, .. } = *self;
        // Nobody may be waiting any more.
        let _ = answer.send(outcome.and_then(|()| result.ok_or(StoreError::Closed)));
        None
    }
}

/// A change that nobody waits for.
struct Note<F> {
    change: F,
}

impl<F> Job for Note<F>
where
    F: FnMut(&mut Writing<'_>) -> Result<(), StoreError> + Send,
{
    fn run(&mut self, writing: &mut Writing<'_>) -> Result<(), StoreError> {
        (self.change)(writing)
    }

    fn answer(self: Box<Self>, outcome: Result<(), StoreError>) -> Option<StoreError> {
        outcome.err()
    }
}

#[cfg(test)]
mod tests;
