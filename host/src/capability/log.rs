//! `openpista:log`: a guest's line in the host's log, at most 100 a second of one call and 1,000 a minute of one instance.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::View;
use super::said::{Voice, Weight};
use crate::message::in_one_line;
use crate::wit::openpista::log::log::{Host, Level};

const LINE_MAX: usize = 4 << 10;
/// So much is searched for secrets before it is cut, for half a secret could not be found. The longest spelling of the
/// longest secret fits in.
const SEARCHED_MAX: usize = LINE_MAX + (96 << 10);
/// Lines in one [`WINDOW`]; more are dropped and counted.
const LINES_MAX: usize = 100;
const WINDOW: Duration = Duration::from_secs(1);
/// Lines of all calls of an instance in one [`LONG_WINDOW`]: many calls that each say little flood the log as well.
const LINES_OF_ALL_MAX: usize = 1_000;
const LONG_WINDOW: Duration = Duration::from_secs(60);

/// How much all calls of an instance log: a budget that fills up again, line by line.
#[derive(Debug)]
pub struct Meter(Mutex<(Option<Instant>, usize, usize)>);

impl Default for Meter {
    fn default() -> Self {
        Self(Mutex::new((None, 0, 0)))
    }
}

impl Meter {
    /// Whether the instance may write one more line; with how many it could not write since the last one.
    pub fn admits(&self, now: Instant) -> Option<usize> {
        let mut meter = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (since, lines, dropped) = &mut *meter;
        if since.is_none_or(|since| now.duration_since(since) >= LONG_WINDOW) {
            (*since, *lines) = (Some(now), 0);
        }
        if *lines >= LINES_OF_ALL_MAX {
            *dropped += 1;
            return None;
        }
        *lines += 1;
        Some(std::mem::take(dropped))
    }
}

/// How much one call logs.
pub struct Flow {
    instance: String,
    all: Arc<Meter>,
    since: Instant,
    lines: usize,
    dropped: usize,
}

impl Flow {
    /// Nothing yet; `all` is the instance's.
    pub fn new(instance: &str, all: Arc<Meter>) -> Self {
        Self { instance: instance.to_string(), all, since: Instant::now(), lines: 0, dropped: 0 }
    }

    /// What the instance's calls share.
    pub fn all(&self) -> Arc<Meter> {
        Arc::clone(&self.all)
    }

    /// Whether one more line is written.
    fn admits(&mut self, now: Instant) -> bool {
        if now.duration_since(self.since) >= WINDOW {
            self.tell();
            self.since = now;
            self.lines = 0;
        }
        if self.lines >= LINES_MAX {
            self.dropped += 1;
            return false;
        }
        if !admits(&self.all, &self.instance, now) {
            return false;
        }
        self.lines += 1;
        true
    }

    /// Says how many lines were dropped since it was last said.
    fn tell(&mut self) {
        if self.dropped > 0 {
            tracing::warn!(target: "plugin", instance = self.instance,
                "{} lines were dropped: a call logs at most {LINES_MAX} a second", self.dropped);
            self.dropped = 0;
        }
    }
}

/// Asks the instance's meter, and tells what was dropped before.
pub fn admits(all: &Meter, instance: &str, now: Instant) -> bool {
    let Some(dropped) = all.admits(now) else { return false };
    if dropped > 0 {
        tracing::warn!(target: "plugin", instance,
            "{dropped} lines of its calls were dropped: a plugin logs at most {LINES_OF_ALL_MAX} a minute");
    }
    true
}

impl Drop for Flow {
    fn drop(&mut self) {
        self.tell();
    }
}

impl Host for View<'_> {
    async fn log(&mut self, level: Level, mut message: String) -> wasmtime::Result<()> {
        // What nobody reads takes nothing from what is written.
        let unread = matches!(level, Level::Debug) && !tracing::enabled!(target: "plugin", tracing::Level::DEBUG);
        if unread || !self.call.log.admits(Instant::now()) {
            return Ok(());
        }
        message.truncate(message.floor_char_boundary(SEARCHED_MAX));
        let mut message = self.call.clean(&message);
        message.truncate(message.floor_char_boundary(LINE_MAX));
        let message = in_one_line(&message);
        let caller = &self.call.caller;
        let weight = match level {
            Level::Debug => Weight::Debug,
            Level::Info => Weight::Info,
            Level::Warn => Weight::Warn,
            Level::Error => Weight::Error,
        };
        let said = &self.call.services.said;
        said.say(&caller.plugin, &caller.instance, Voice::Log, weight, caller.session.as_deref(), &*message);
        let (plugin, instance) = (caller.plugin.as_str(), caller.instance.as_str());
        let (session, turn) = (caller.session.as_deref(), caller.turn.as_deref());
        match level {
            Level::Debug => tracing::debug!(target: "plugin", plugin, instance, session, turn, "{message}"),
            Level::Info => tracing::info!(target: "plugin", plugin, instance, session, turn, "{message}"),
            Level::Warn => tracing::warn!(target: "plugin", plugin, instance, session, turn, "{message}"),
            Level::Error => tracing::error!(target: "plugin", plugin, instance, session, turn, "{message}"),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_logs_a_hundred_lines_in_each_second() {
        let mut flow = Flow::new("web", Arc::default());
        let start = flow.since;
        let admitted = |flow: &mut Flow, at: Duration| (0..250).filter(|_| flow.admits(start + at)).count();
        assert_eq!(admitted(&mut flow, Duration::ZERO), 100);
        assert_eq!(admitted(&mut flow, Duration::from_millis(999)), 0);
        assert_eq!(flow.dropped, 400);
        assert_eq!(admitted(&mut flow, WINDOW), 100);
        assert_eq!(flow.dropped, 150);
    }

    #[test]
    fn an_instance_logs_a_thousand_lines_in_each_minute_and_says_later_how_many_more() {
        let meter = Meter::default();
        let start = Instant::now();
        let admitted = |at: Duration| (0..700).filter(|_| meter.admits(start + at).is_some()).count();
        assert_eq!([admitted(Duration::ZERO), admitted(Duration::from_secs(59))], [700, 300]);
        assert_eq!(meter.admits(start + LONG_WINDOW), Some(400));
        assert_eq!(admitted(LONG_WINDOW), 700);
    }
}
