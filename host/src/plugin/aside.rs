//! When an instance that breaks again and again is set aside, and for how long.
//!
//! A call breaks when the guest traps or runs into a limit; errors that it returns, denials, and calls that were cancelled
//! or took too long are no reason. [`STRIKES`] of them within [`WINDOW`] set the instance aside for [`FIRST`], doubled each
//! time up to [`MOST`]. Two things keep one hostile message from shutting out everybody else: what is tried again counts
//! at most [`EACH`] times, and a call that works takes back what an earlier one of its kind did.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

/// So many calls that broke …
pub const STRIKES: usize = 5;
/// … within this time set an instance aside.
pub const WINDOW: Duration = Duration::from_secs(60);
/// The same event, delivery or tool call counts at most so often.
pub const EACH: usize = 2;
/// For so long the first time.
pub const FIRST: Duration = Duration::from_secs(30);
/// Never for longer.
pub const MOST: Duration = Duration::from_secs(3600);
/// Who was not set aside for so long, and for as long as the last time took, begins anew.
pub const CALM: Duration = Duration::from_secs(600);

/// An instance that is not called for a while.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Aside {
    /// Since then.
    pub since: Instant,
    /// Until then.
    pub until: Instant,
    /// How often without a calm time in between, this one included.
    pub times: u32,
    /// What broke last.
    pub why: String,
}

/// How an instance has behaved lately. The clock is the caller's.
#[derive(Debug, Default)]
pub struct Conduct {
    strikes: VecDeque<Strike>,
    aside: Option<Aside>,
}

#[derive(Debug)]
struct Strike {
    at: Instant,
    operation: &'static str,
    cause: u64,
}

impl Conduct {
    /// A call broke. `cause` tells what it was about: the same for the same event, delivery or arguments. Returns what it
    /// is set aside for, if it is now.
    pub fn broke(&mut self, at: Instant, operation: &'static str, cause: u64, why: &str) -> Option<Aside> {
        // One that was under way when it was set aside.
        if self.aside(at).is_some() {
            return None;
        }
        self.strikes.retain(|strike| at.duration_since(strike.at) < WINDOW);
        let same = self.strikes.iter().filter(|strike| strike.operation == operation && strike.cause == cause);
        if same.count() >= EACH {
            return None;
        }
        self.strikes.push_back(Strike { at, operation, cause });
        if self.strikes.len() < STRIKES {
            return None;
        }
        self.strikes.clear();
        let before = self.aside.as_ref().filter(|last| {
            let pause = last.until.duration_since(last.since);
            at.duration_since(last.until) < CALM.max(pause)
        });
        let times = before.map_or(0, |last| last.times);
        let pause = FIRST.saturating_mul(1_u32.checked_shl(times).unwrap_or(u32::MAX)).min(MOST);
        let aside = Aside { since: at, until: at + pause, times: times.saturating_add(1), why: why.to_string() };
        self.aside = Some(aside.clone());
        Some(aside)
    }

    /// A call of this kind worked: one that broke before is taken back.
    pub fn worked(&mut self, operation: &'static str) {
        if let Some(at) = self.strikes.iter().position(|strike| strike.operation == operation) {
            self.strikes.remove(at);
        }
    }

    /// Whether it is set aside now.
    pub fn aside(&self, at: Instant) -> Option<&Aside> {
        self.aside.as_ref().filter(|aside| at < aside.until)
    }

    /// Calls that broke and count.
    pub fn strikes(&self) -> usize {
        self.strikes.len()
    }

    /// Begins anew: the person said so, or it is another component now. Whether it was set aside.
    pub fn pardon(&mut self, at: Instant) -> bool {
        let was = self.aside(at).is_some();
        *self = Self::default();
        was
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CALL: &str = "tools.call";

    fn seconds(start: Instant, seconds: u64) -> Instant {
        start + Duration::from_secs(seconds)
    }

    /// So many different calls that break one after another, within one second.
    fn breaks(conduct: &mut Conduct, at: Instant, many: u64) -> Vec<u64> {
        (0..many).filter_map(|cause| conduct.broke(at, CALL, cause, "trap")).map(|aside| pause(&aside)).collect()
    }

    fn pause(aside: &Aside) -> u64 {
        aside.until.duration_since(aside.since).as_secs()
    }

    #[test]
    fn five_breaks_within_a_minute_set_an_instance_aside_for_half_a_minute() {
        let (mut conduct, start) = (Conduct::default(), Instant::now());
        assert_eq!(breaks(&mut conduct, start, 4), [0_u64; 0]);
        assert_eq!(conduct.aside(start), None);
        let aside = conduct.broke(seconds(start, 59), CALL, 4, "it trapped").unwrap();
        assert_eq!((pause(&aside), aside.times, aside.why.as_str()), (30, 1, "it trapped"));
        assert_eq!(conduct.aside(seconds(start, 88)), Some(&aside));
        assert_eq!(conduct.aside(seconds(start, 89)), None);
    }

    #[test]
    fn breaks_that_are_further_apart_do_not() {
        let (mut conduct, start) = (Conduct::default(), Instant::now());
        for number in 0..100 {
            assert_eq!(conduct.broke(seconds(start, number * 15), CALL, number, "trap"), None);
        }
    }

    #[test]
    fn the_same_event_that_is_tried_again_and_again_does_not() {
        let (mut conduct, start) = (Conduct::default(), Instant::now());
        for number in 0..100 {
            assert_eq!(conduct.broke(start, "channel.receive", 7, "trap"), None);
            assert_eq!(conduct.broke(seconds(start, number % 60), "channel.receive", 8, "trap"), None);
        }
        // A third one does.
        assert!(conduct.broke(seconds(start, 59), "channel.receive", 9, "trap").is_some());
    }

    #[test]
    fn what_works_in_between_takes_a_break_back_but_only_of_its_own_kind() {
        let (mut conduct, start) = (Conduct::default(), Instant::now());
        for cause in 0..100 {
            assert_eq!(conduct.broke(start, CALL, cause, "trap"), None);
            conduct.worked(CALL);
        }
        assert_eq!(breaks(&mut conduct, start, 4), [0_u64; 0]);
        conduct.worked("tools.definitions");
        assert_eq!(conduct.strikes(), 4);
        assert!(conduct.broke(start, CALL, 99, "trap").is_some());
    }

    #[test]
    fn each_time_is_twice_as_long_up_to_an_hour_and_a_calm_time_begins_anew() {
        let (mut conduct, mut at) = (Conduct::default(), Instant::now());
        let mut pauses = Vec::new();
        for _ in 0..9 {
            let pause = *breaks(&mut conduct, at, 5).first().unwrap();
            pauses.push(pause);
            at = seconds(at, pause + 1);
        }
        assert_eq!(pauses, [30, 60, 120, 240, 480, 960, 1920, 3600, 3600]);
        // As long as the last time took.
        assert_eq!(breaks(&mut conduct, seconds(at, 3_000), 5), [3600]);
        let later = seconds(at, 3_000 + 3_600 + 3_600);
        assert_eq!(breaks(&mut conduct, later, 5), [30]);
        assert_eq!(breaks(&mut conduct, seconds(later, 30 + 600), 5), [30]);
    }

    #[test]
    fn while_it_is_set_aside_nothing_counts_and_a_pardon_forgets_everything() {
        let (mut conduct, start) = (Conduct::default(), Instant::now());
        assert_eq!(breaks(&mut conduct, start, 20), [30]);
        assert!(conduct.pardon(start));
        assert_eq!((conduct.aside(start), conduct.strikes()), (None, 0));
        assert!(!conduct.pardon(start));
        assert_eq!(breaks(&mut conduct, start, 5), [30]);
    }
}
