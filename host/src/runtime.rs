//! wasmtime, set up once: compiles components (kept on disk by content), links what is granted, and runs each call in a
//! fresh instance under limits.
//!
//! Running time is counted by epoch ticks while wasm runs, so a guest that waits for a model or a person spends none.
//! Waiting is bounded apart from that by the time limit of each call. A guest that spins yields to the others at every
//! tick. After a trap or a dropped call the store is thrown away with everything in it.

pub mod cache;
pub mod fixed;
pub mod limits;
pub mod linker;
pub mod sandbox;
pub mod state;

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use anyhow::Result;
use tokio_util::sync::CancellationToken;
use wasmtime::component::{Component, Instance, InstancePre};
use wasmtime::{Config, Engine, Store, UpdateDeadline};

use cache::Cache;
use limits::{Limits, Violation};
use state::{HostState, State};

/// Milliseconds of one tick.
pub const TICK_MS: u64 = 10;
/// How often running guests are looked at.
pub const TICK: Duration = Duration::from_millis(TICK_MS);
/// A cancelled guest has so long to return by itself.
const GRACE: Duration = Duration::from_secs(2);

/// A time as ticks, rounded up.
pub const fn ticks(time: Duration) -> u64 {
    #[expect(clippy::cast_possible_truncation, reason = "a limit of 500 million years is not asked for")]
    let ms = time.as_millis() as u64;
    ms.div_ceil(TICK_MS)
}

/// Why a call gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// The guest ran into a limit.
    #[error("{plugin} was stopped: {violation}")]
    Limit {
        /// Which plugin.
        plugin: String,
        /// Which limit.
        violation: Violation,
    },
    /// The guest trapped: a panic, an unreachable, a full stack.
    #[error("{plugin} failed: {reason}")]
    Trap {
        /// Which plugin.
        plugin: String,
        /// wasmtime's word for it.
        reason: String,
    },
    /// Waiting and running took too long.
    #[error("{plugin} did not answer within {} s", .after.as_secs())]
    TimedOut {
        /// Which plugin.
        plugin: String,
        /// The call's time limit.
        after: Duration,
    },
    /// It broke too often lately and is not called for a while.
    #[error(
        "{instance} is set aside for {} more: it broke again and again, the last time because {why}. To use it at once: \
         openpista-host plugin resume {instance}",
        in_words(*.left)
    )]
    Aside {
        /// Which instance.
        instance: String,
        /// For so long.
        left: Duration,
        /// What broke last.
        why: String,
    },
    /// The turn was cancelled and the guest did not return in time.
    #[error("cancelled")]
    Cancelled,
}

/// `30 s`, `8 min`, rounded up.
pub fn in_words(time: Duration) -> String {
    let seconds = time.as_millis().div_ceil(1_000);
    if seconds < 120 { format!("{seconds} s") } else { format!("{} min", seconds.div_ceil(60)) }
}

/// The engine with its cache and its clock.
pub struct Runtime {
    engine: Engine,
    cache: Cache,
    clock: Arc<Clock>,
}

/// Ticks while guests run, and sleeps while none does.
#[derive(Default)]
struct Clock {
    live: AtomicUsize,
    gate: Mutex<bool>,
    wake: Condvar,
}

impl Runtime {
    /// One for the process; compiled components are kept in `cache`.
    pub fn new(cache: &Path) -> Result<Self> {
        let mut config = Config::new();
        config.epoch_interruption(true).parallel_compilation(true);
        let engine = Engine::new(&config).map_err(|error| anyhow::anyhow!("wasmtime cannot start: {error:#}"))?;
        let cache = Cache::open(cache, &engine)?;
        let clock = Arc::new(Clock::default());
        let ticking = Arc::clone(&clock);
        let weak = engine.weak();
        std::thread::Builder::new().name("epoch".into()).spawn(move || {
            while let Some(engine) = weak.upgrade() {
                engine.increment_epoch();
                drop(engine);
                ticking.wait();
            }
        })?;
        Ok(Self { engine, cache, clock })
    }

    /// The engine.
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// The folder of what is derived from components.
    pub fn cache(&self) -> &Cache {
        &self.cache
    }

    /// The compiled component of these bytes: from the cache, or compiled now (which takes a core for a while).
    pub fn component(&self, digest: &str, bytes: &dyn Fn() -> Result<Vec<u8>>) -> Result<Component> {
        self.component_in(&self.cache, digest, bytes)
    }

    /// The same, kept in a cache of its own.
    pub fn component_in(&self, cache: &Cache, digest: &str, bytes: &dyn Fn() -> Result<Vec<u8>>) -> Result<Component> {
        if let Some(component) = cache.load(&self.engine, digest) {
            return Ok(component);
        }
        let bytes = bytes()?;
        let component = Component::from_binary(&self.engine, &bytes).map_err(|error| {
            anyhow::anyhow!("it is cut off, damaged, or uses what this host does not know: {error:#}")
        })?;
        cache.keep(digest, &component);
        // What was just compiled is on the heap; what is loaded is mapped from the file and shared.
        Ok(cache.load(&self.engine, digest).unwrap_or(component))
    }

    /// Runs `work` on a fresh instance.
    pub async fn run<S: State, R>(
        &self,
        plugin: &str,
        pre: &InstancePre<S>,
        data: S,
        budget: Budget,
        work: impl AsyncFnOnce(&mut Store<S>, &Instance) -> wasmtime::Result<R>,
    ) -> Result<(R, S::Left), CallError> {
        let _running = self.clock.enter();
        let mut store = Store::new(&self.engine, data);
        store.limiter(|data| &mut data.guest().meter);
        store.set_hostcall_fuel(budget.limits.transfer);
        store.set_epoch_deadline(1);
        store.epoch_deadline_callback(|mut store| {
            store.data_mut().guest().meter.tick()?;
            Ok(UpdateDeadline::Yield(1))
        });
        let call = async {
            let instance = pre.instantiate_async(&mut store).await?;
            work(&mut store, &instance).await
        };
        let cancelled = async {
            budget.cancel.cancelled().await;
            tokio::time::sleep(GRACE).await;
        };
        let done = tokio::select! {
            biased;
            done = call => done,
            () = tokio::time::sleep(budget.time) => {
                return Err(CallError::TimedOut { plugin: plugin.to_string(), after: budget.time });
            }
            () = cancelled => return Err(CallError::Cancelled),
        };
        match done {
            Ok(answer) => Ok((answer, store.data_mut().leave())),
            Err(error) => Err(match error.downcast_ref::<Violation>() {
                Some(violation) => CallError::Limit { plugin: plugin.to_string(), violation: *violation },
                None => CallError::Trap { plugin: plugin.to_string(), reason: reason(&error) },
            }),
        }
    }
}

/// How much a call may take.
#[derive(Debug)]
pub struct Budget {
    /// What it may use.
    pub limits: Limits,
    /// From start to end, waiting included.
    pub time: Duration,
    /// Two seconds after this the call is cut off.
    pub cancel: CancellationToken,
}

/// The store of a call.
pub type CallStore = Store<HostState>;

/// One line without the backtrace's addresses.
fn reason(error: &wasmtime::Error) -> String {
    let root = error.root_cause().to_string();
    let mut line = root.lines().next().unwrap_or_default().to_string();
    line.truncate(line.floor_char_boundary(500));
    line
}

impl Clock {
    fn enter(self: &Arc<Self>) -> Running {
        if self.live.fetch_add(1, Ordering::AcqRel) == 0
            && let Ok(mut open) = self.gate.lock()
        {
            *open = true;
            self.wake.notify_one();
        }
        Running(Arc::clone(self))
    }

    /// One tick; longer while nothing runs.
    #[expect(clippy::disallowed_methods, reason = "a thread of its own that keeps time")]
    fn wait(&self) {
        std::thread::sleep(TICK);
        if self.live.load(Ordering::Acquire) > 0 {
            return;
        }
        let Ok(mut open) = self.gate.lock() else { return };
        *open = self.live.load(Ordering::Acquire) > 0;
        while !*open {
            // The time-out lets the thread see that the engine is gone.
            let Ok((guard, over)) = self.wake.wait_timeout(open, Duration::from_secs(60)) else { return };
            open = guard;
            if over.timed_out() {
                return;
            }
        }
    }
}

/// A guest that runs, or waits within a call.
struct Running(Arc<Clock>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.live.fetch_sub(1, Ordering::AcqRel);
    }
}
