//! How long to wait before trying again: doubling from 1 s to 60 s, with jitter, so that many instances that lost the
//! same server do not come back in step. Also reads `Retry-After`, for a server that says how long.

use std::time::Duration;

use super::Response;
use crate::message::Timestamp;

const LEAST: Duration = Duration::from_secs(1);
const MOST: Duration = Duration::from_secs(60);
/// A server cannot silence a channel for longer than this.
const RETRY_AFTER_MOST: Duration = Duration::from_secs(3600);

/// The waits between the attempts at one thing.
#[derive(Debug, Clone)]
pub struct Backoff {
    failures: u32,
    random: fn() -> f64,
}

impl Backoff {
    /// `random` gives numbers from 0 to 1.
    pub fn new(random: fn() -> f64) -> Self {
        Self { failures: 0, random }
    }

    /// The wait after one more failure: between half and all of the doubled time, never under 1 s.
    pub fn after_failure(&mut self) -> Duration {
        let doubled = LEAST.saturating_mul(1 << self.failures.min(6)).min(MOST);
        self.failures = self.failures.saturating_add(1);
        let share = 0.5 + 0.5 * (self.random)().clamp(0.0, 1.0);
        doubled.mul_f64(share).max(LEAST)
    }

    /// It worked: the next wait is short again.
    pub fn reset(&mut self) {
        self.failures = 0;
    }
}

/// A number from 0 to 1 from the operating system; the middle where it has none, for nothing secret hangs on it.
pub fn random() -> f64 {
    getrandom::u32().map_or(0.5, |bits| f64::from(bits) / f64::from(u32::MAX))
}

/// The wait that a response asks for: `Retry-After` in seconds or as a date.
pub(super) fn retry_after(response: &Response, now: Timestamp) -> Option<Duration> {
    let (_, value) = response.headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("retry-after"))?;
    let value = value.trim();
    let asked = match value.parse::<u64>() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => {
            let date = jiff::fmt::rfc2822::parse(value).ok()?.timestamp().as_millisecond();
            Duration::from_millis(u64::try_from(date).ok()?.saturating_sub(now))
        }
    };
    Some(asked.min(RETRY_AFTER_MOST))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(backoff: &mut Backoff, count: usize) -> Vec<u64> {
        (0..count).map(|_| backoff.after_failure().as_millis() as u64).collect()
    }

    #[test]
    fn waits_double_up_to_a_minute_and_start_over_after_success() {
        let mut backoff = Backoff::new(|| 1.0);
        assert_eq!(seconds(&mut backoff, 8), [1000, 2000, 4000, 8000, 16000, 32000, 60000, 60000]);
        backoff.reset();
        assert_eq!(seconds(&mut backoff, 2), [1000, 2000]);
    }

    #[test]
    fn jitter_takes_off_at_most_half_and_never_goes_below_a_second() {
        let mut backoff = Backoff::new(|| 0.0);
        assert_eq!(seconds(&mut backoff, 7), [1000, 1000, 2000, 4000, 8000, 16000, 30000]);
    }

    #[test]
    fn a_source_of_randomness_out_of_range_does_no_harm() {
        let mut backoff = Backoff::new(|| f64::INFINITY);
        assert_eq!(backoff.after_failure(), Duration::from_secs(1));
        assert!((0.0..=1.0).contains(&random()));
    }

    #[test]
    fn retry_after_is_read_as_seconds_and_as_a_date() {
        let with = |value: &str| Response {
            status: 429,
            headers: vec![("Retry-After".into(), value.into())],
            body: Vec::new(),
        };
        // 1994-11-06T08:49:37Z, the example of RFC 9110.
        let date = 784_111_777_000;
        assert_eq!(retry_after(&with("7"), 0), Some(Duration::from_secs(7)));
        assert_eq!(retry_after(&with("Sun, 06 Nov 1994 08:49:37 GMT"), date - 30_000), Some(Duration::from_secs(30)));
        assert_eq!(retry_after(&with("Sun, 06 Nov 1994 08:49:37 GMT"), date + 1), Some(Duration::ZERO));
        assert_eq!(retry_after(&with("99999999"), 0), Some(Duration::from_secs(3600)));
        assert_eq!(retry_after(&with("soon"), 0), None);
        assert_eq!(retry_after(&Response { status: 429, headers: Vec::new(), body: Vec::new() }, 0), None);
    }
}
