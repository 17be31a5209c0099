//! What one call of a guest may use, and the typed reason when it wanted more.
//!
//! wasmtime's own `StoreLimits` answers a refusal that cannot be told from a guest's panic. Here a refusal is an error
//! of our own type: it ends the call, and `Violation` says which limit it was.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use wasmtime::ResourceLimiter;

/// The limits of one call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// All linear memories together, in bytes.
    pub memory: usize,
    /// Running time in ticks of [`super::TICK`]; waiting is not counted.
    pub ticks: u64,
    /// Elements of one table.
    pub table_elements: usize,
    /// Core instances, memories and tables within the component.
    pub instances: usize,
    /// Live resources (processes, answers) of one call.
    pub resources: usize,
    /// Bytes that one host call or one return may carry out of the guest.
    pub transfer: usize,
    /// Calls of one instance at the same time; more wait.
    pub live_calls: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            memory: 64 << 20,
            ticks: super::ticks(std::time::Duration::from_secs(30)),
            table_elements: 100_000,
            instances: 64,
            resources: 128,
            transfer: 24 << 20,
            live_calls: 2_000,
        }
    }
}

/// A limit that a guest ran into.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Violation {
    /// Linear memory.
    #[error("it wanted more than its {} MiB of memory", .0 >> 20)]
    Memory(usize),
    /// A table.
    #[error("it wanted a table of more than {0} elements")]
    Table(usize),
    /// Running time.
    #[error("it ran for more than its {0} ms")]
    Running(u64),
}

/// Counts what one store uses.
#[derive(Debug)]
pub struct Meter {
    limits: Limits,
    memory: usize,
    ticks: u64,
    /// The most that any call had, kept by whoever wants to know.
    peak: Arc<AtomicUsize>,
}

impl Meter {
    /// A fresh count; the most memory is noted in `peak`.
    pub fn new(limits: Limits, peak: Arc<AtomicUsize>) -> Self {
        Self { limits, memory: 0, ticks: 0, peak }
    }

    /// Bytes of linear memory that were asked for.
    pub fn memory(&self) -> usize {
        self.memory
    }

    /// Ticks of running time.
    pub fn ticks(&self) -> u64 {
        self.ticks
    }

    /// One tick of running time is over.
    pub fn tick(&mut self) -> Result<(), Violation> {
        self.ticks += 1;
        if self.ticks > self.limits.ticks {
            return Err(Violation::Running(self.limits.ticks.saturating_mul(super::TICK_MS)));
        }
        Ok(())
    }
}

impl ResourceLimiter for Meter {
    fn memory_growing(&mut self, current: usize, desired: usize, _maximum: Option<usize>) -> wasmtime::Result<bool> {
        let total = self.memory.saturating_add(desired.saturating_sub(current));
        if total > self.limits.memory {
            return Err(Violation::Memory(self.limits.memory).into());
        }
        self.memory = total;
        self.peak.fetch_max(total, Ordering::Relaxed);
        Ok(true)
    }

    fn table_growing(&mut self, _current: usize, desired: usize, _maximum: Option<usize>) -> wasmtime::Result<bool> {
        if desired > self.limits.table_elements {
            return Err(Violation::Table(self.limits.table_elements).into());
        }
        Ok(true)
    }

    fn instances(&self) -> usize {
        self.limits.instances
    }

    fn memories(&self) -> usize {
        self.limits.instances
    }

    fn tables(&self) -> usize {
        self.limits.instances
    }
}
