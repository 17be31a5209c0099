//! What an instance has done since the host started: counts, times, memory, and whether it is set aside.
//!
//! A record outlives what it is about: when settings or grants change, or the file is replaced, the next instance of the
//! name goes on with it, and another component begins with a clean slate. Each call touches atomics only; the lock is for
//! calls that break, and for those after one that did.

use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use super::aside::{Aside, Conduct};
use crate::message::{Timestamp, now};

/// Each power of two of a microsecond has so many buckets.
const PARTS: u32 = 4;
/// Up to 2²⁸ µs, which is four and a half minutes; what is slower counts as that.
const BUCKETS: usize = 28 * PARTS as usize;

/// How a call ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended<'a> {
    /// With an answer.
    Well,
    /// With an error of the guest's own.
    Error,
    /// With a trap, for this reason.
    Trap(&'a str),
    /// At a limit, this one.
    Limit(&'a str),
    /// It took too long.
    Late,
    /// Nobody wanted it any more.
    Cancelled,
}

/// Figures of an instance, as of now.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counts {
    /// That were begun.
    pub calls: u64,
    /// Errors of its own.
    pub errors: u64,
    /// Traps.
    pub traps: u64,
    /// Calls that ran into a limit.
    pub limits: u64,
    /// Calls that took too long.
    pub late: u64,
    /// Calls that were cancelled.
    pub cancelled: u64,
    /// Calls that were refused while it was set aside.
    pub refused: u64,
    /// When the last one began.
    pub last: Option<Timestamp>,
    /// Half of the calls took at most this, waiting included.
    pub p50: Option<Duration>,
    /// All but one of a hundred took at most this.
    pub p99: Option<Duration>,
    /// The most memory that one call had, in bytes.
    pub peak: usize,
}

/// See the module.
pub struct Record {
    base: Instant,
    /// Milliseconds after `base`; 0: it is not set aside.
    until: AtomicU64,
    /// Calls that broke and count, so that one that works needs no lock.
    strikes: AtomicUsize,
    conduct: Mutex<Conduct>,
    pardoned: Notify,
    calls: AtomicU64,
    errors: AtomicU64,
    traps: AtomicU64,
    limits: AtomicU64,
    late: AtomicU64,
    cancelled: AtomicU64,
    refused: AtomicU64,
    last: AtomicU64,
    peak: Arc<AtomicUsize>,
    times: [AtomicU32; BUCKETS],
}

impl Default for Record {
    fn default() -> Self {
        Self {
            base: Instant::now(),
            until: AtomicU64::new(0),
            strikes: AtomicUsize::new(0),
            conduct: Mutex::default(),
            pardoned: Notify::new(),
            calls: AtomicU64::new(0),
            errors: AtomicU64::new(0),
            traps: AtomicU64::new(0),
            limits: AtomicU64::new(0),
            late: AtomicU64::new(0),
            cancelled: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            last: AtomicU64::new(0),
            peak: Arc::default(),
            times: std::array::from_fn(|_| AtomicU32::new(0)),
        }
    }
}

impl std::fmt::Debug for Record {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Record").field("counts", &self.counts()).finish_non_exhaustive()
    }
}

fn bucket(took: Duration) -> usize {
    let micros = took.as_micros().max(1);
    let power = micros.ilog2();
    let part = (micros.saturating_sub(1 << power)).saturating_mul(u128::from(PARTS)) >> power;
    let at = u128::from(power.saturating_mul(PARTS)).saturating_add(part);
    usize::try_from(at).unwrap_or(BUCKETS).min(BUCKETS - 1)
}

/// The upper end of a bucket.
fn upper(bucket: usize) -> Duration {
    let (power, part) = (bucket / PARTS as usize, bucket % PARTS as usize);
    let start = 1_u64 << power;
    let width = start.saturating_mul(part as u64 + 1) / u64::from(PARTS);
    Duration::from_micros(start.saturating_add(width))
}

impl Record {
    /// A call begins, unless the instance is set aside.
    pub fn admit(&self) -> Result<(), Aside> {
        if let Some(aside) = self.aside() {
            self.refused.fetch_add(1, Ordering::Relaxed);
            return Err(aside);
        }
        self.calls.fetch_add(1, Ordering::Relaxed);
        self.last.store(now(), Ordering::Relaxed);
        Ok(())
    }

    /// A call ended. If the instance is set aside now, until when.
    pub fn ended(&self, operation: &'static str, cause: u64, took: Duration, how: Ended<'_>) -> Option<Aside> {
        if let Some(times) = self.times.get(bucket(took)) {
            times.fetch_add(1, Ordering::Relaxed);
        }
        let (count, why) = match how {
            Ended::Well | Ended::Error => {
                if how == Ended::Error {
                    self.errors.fetch_add(1, Ordering::Relaxed);
                }
                if self.strikes.load(Ordering::Relaxed) > 0 {
                    let mut conduct = self.conduct();
                    conduct.worked(operation);
                    self.strikes.store(conduct.strikes(), Ordering::Relaxed);
                }
                return None;
            }
            Ended::Trap(why) => (&self.traps, Some(why)),
            Ended::Limit(why) => (&self.limits, Some(why)),
            Ended::Late => (&self.late, None),
            Ended::Cancelled => (&self.cancelled, None),
        };
        count.fetch_add(1, Ordering::Relaxed);
        let why = why?;
        let mut conduct = self.conduct();
        let aside = conduct.broke(Instant::now(), operation, cause, why);
        self.strikes.store(conduct.strikes(), Ordering::Relaxed);
        if let Some(aside) = &aside {
            let until = aside.until.duration_since(self.base).as_millis();
            self.until.store(u64::try_from(until).unwrap_or(u64::MAX).max(1), Ordering::Release);
        }
        aside
    }

    /// Whether it is set aside now.
    pub fn aside(&self) -> Option<Aside> {
        if self.until.load(Ordering::Acquire) == 0 {
            return None;
        }
        let conduct = self.conduct();
        let aside = conduct.aside(Instant::now()).cloned();
        if aside.is_none() {
            self.until.store(0, Ordering::Release);
        }
        aside
    }

    /// It may be called at once, and what broke before is forgotten. Whether it was set aside.
    pub fn pardon(&self) -> bool {
        let was = self.conduct().pardon(Instant::now());
        self.until.store(0, Ordering::Release);
        self.strikes.store(0, Ordering::Relaxed);
        self.pardoned.notify_waiters();
        was
    }

    /// Returns when it is not set aside, or not any more.
    pub async fn returns(&self) {
        loop {
            let pardoned = self.pardoned.notified();
            tokio::pin!(pardoned);
            // Before looking, so that a pardon in between is not missed.
            pardoned.as_mut().enable();
            let Some(aside) = self.aside() else { return };
            tokio::select! {
                () = pardoned => (),
                () = tokio::time::sleep_until(aside.until) => (),
            }
        }
    }

    /// Where the most memory of a call is kept.
    pub fn peak(&self) -> Arc<AtomicUsize> {
        Arc::clone(&self.peak)
    }

    /// Figures as of now.
    pub fn counts(&self) -> Counts {
        let get = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let times: Vec<u64> = self.times.iter().map(|count| count.load(Ordering::Relaxed).into()).collect();
        let all: u64 = times.iter().sum();
        let part = |percent: u64| {
            let wanted = all.saturating_mul(percent).div_ceil(100).max(1);
            let mut seen = 0_u64;
            times
                .iter()
                .position(|count| {
                    seen = seen.saturating_add(*count);
                    seen >= wanted
                })
                .map(upper)
        };
        Counts {
            calls: get(&self.calls),
            errors: get(&self.errors),
            traps: get(&self.traps),
            limits: get(&self.limits),
            late: get(&self.late),
            cancelled: get(&self.cancelled),
            refused: get(&self.refused),
            last: Some(get(&self.last)).filter(|last| *last > 0),
            p50: part(50),
            p99: part(99),
            peak: self.peak.load(Ordering::Relaxed),
        }
    }

    fn conduct(&self) -> MutexGuard<'_, Conduct> {
        self.conduct.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_at_most_the_upper_end_of_its_bucket_and_close_to_it() {
        for micros in [1_u64, 2, 3, 5, 63, 64, 65, 999, 1_000, 12_345, 60_000_000] {
            let took = Duration::from_micros(micros);
            let end = upper(bucket(took));
            assert!(took <= end && end <= took * 2, "{took:?} {end:?}");
        }
        assert_eq!(bucket(Duration::from_secs(86_400)), BUCKETS - 1);
        assert_eq!(bucket(Duration::ZERO), 0);
    }

    #[test]
    fn calls_are_counted_by_how_they_ended() {
        let record = Record::default();
        let ends = [
            Ended::Well,
            Ended::Well,
            Ended::Error,
            Ended::Trap("t"),
            Ended::Limit("l"),
            Ended::Late,
            Ended::Cancelled,
        ];
        for (cause, how) in (0..).zip(ends) {
            record.admit().unwrap();
            assert_eq!(record.ended("tools.call", cause, Duration::from_millis(1), how), None);
        }
        let counts = record.counts();
        let Counts { calls, errors, traps, limits, late, cancelled, refused, .. } = counts;
        assert_eq!((calls, errors, traps, limits, late, cancelled, refused), (7, 1, 1, 1, 1, 1, 0));
        assert!(counts.p50 >= Some(Duration::from_millis(1)) && counts.p99 < Some(Duration::from_millis(2)));
        assert!(counts.last.is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_for_the_end_is_woken_by_the_time_and_by_a_pardon() {
        let record = Arc::new(Record::default());
        record.returns().await;
        let set_aside =
            || (0..5).find_map(|cause| record.ended("tools.call", cause, Duration::ZERO, Ended::Trap("t"))).unwrap();
        let aside = set_aside();
        assert_eq!(record.admit(), Err(aside.clone()));
        record.returns().await;
        assert_eq!((Instant::now() >= aside.until, record.admit()), (true, Ok(())));
        let again = set_aside();
        let waiting = tokio::spawn({
            let record = Arc::clone(&record);
            async move { record.returns().await }
        });
        tokio::task::yield_now().await;
        assert!(record.pardon());
        waiting.await.unwrap();
        assert_eq!((Instant::now() < again.until, record.admit()), (true, Ok(())));
        assert_eq!(record.counts().refused, 1);
    }
}
