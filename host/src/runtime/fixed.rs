//! Clocks and randomness that are the same each time, so that a call that is made again can be compared.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use sha2::{Digest, Sha256};
use wasmtime_wasi::random::Deterministic;
use wasmtime_wasi::{HostMonotonicClock, HostWallClock, WasiCtxBuilder};

/// Clocks go on by so much each time they are read: a guest that waits for a moment by looking at them gets there.
const STEP: Duration = Duration::from_millis(1);
/// Random bytes before they come again.
const BYTES: usize = 64 << 10;

/// When a call takes place, and by which chance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fixed {
    /// Milliseconds since 1970-01-01T00:00:00Z at its beginning.
    pub at: u64,
    /// The same seed, the same random numbers.
    pub seed: u64,
}

/// A moment in 2023, the first seed.
impl Default for Fixed {
    fn default() -> Self {
        Self { at: 1_700_000_000_000, seed: 0 }
    }
}

impl Fixed {
    /// In place of the machine's own.
    pub(super) fn apply(self, wasi: &mut WasiCtxBuilder) {
        let clock = Steps { begin: Duration::from_millis(self.at), read: Arc::default() };
        let bytes = |kind: u8| Deterministic::new(self.bytes(kind));
        wasi.wall_clock(clock.clone()).monotonic_clock(clock).secure_random(bytes(0)).insecure_random(bytes(1));
        wasi.insecure_random_seed(u128::from(self.seed));
    }

    fn bytes(self, kind: u8) -> Vec<u8> {
        let block = |count: u64| {
            let mut hash = Sha256::new();
            hash.update(self.seed.to_le_bytes());
            hash.update([kind]);
            hash.update(count.to_le_bytes());
            hash.finalize()
        };
        (0..).flat_map(block).take(BYTES).collect()
    }
}

#[derive(Clone)]
struct Steps {
    begin: Duration,
    read: Arc<AtomicU64>,
}

impl Steps {
    fn since(&self) -> Duration {
        let read = self.read.fetch_add(1, Ordering::Relaxed);
        STEP.saturating_mul(u32::try_from(read).unwrap_or(u32::MAX))
    }
}

impl HostWallClock for Steps {
    fn resolution(&self) -> Duration {
        STEP
    }

    fn now(&self) -> Duration {
        self.begin.saturating_add(self.since())
    }
}

impl HostMonotonicClock for Steps {
    fn resolution(&self) -> u64 {
        1
    }

    fn now(&self) -> u64 {
        u64::try_from(self.since().as_nanos()).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clocks_begin_where_they_are_told_and_go_on_and_chance_is_of_the_seed() {
        let clock = Steps { begin: Duration::from_secs(7), read: Arc::default() };
        assert_eq!(HostWallClock::now(&clock), Duration::from_secs(7));
        assert_eq!(HostMonotonicClock::now(&clock), 1_000_000);
        let of = |seed| Fixed { at: 0, seed }.bytes(0);
        assert_eq!(of(1), of(1));
        assert_ne!(of(1), of(2));
        assert_ne!(of(1), Fixed { at: 0, seed: 1 }.bytes(1));
    }
}
