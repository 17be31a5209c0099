//! `openpista:log`: a guest's line in the host's log, at most 100 a second of one call.

use std::time::{Duration, Instant};

use super::View;
use super::said::{Voice, Weight};
use crate::wit::openpista::log::log::{Host, Level};

const LINE_MAX: usize = 4 << 10;
/// So much is searched for secrets before it is cut, for half a secret could not be found. The longest spelling of the
/// longest secret fits in.
const SEARCHED_MAX: usize = LINE_MAX + (96 << 10);
/// Lines in one [`WINDOW`]; more are dropped and counted.
const LINES_MAX: usize = 100;
const WINDOW: Duration = Duration::from_secs(1);

/// How much one call logs.
pub struct Flow {
    instance: String,
    since: Instant,
    lines: usize,
    dropped: usize,
}

impl Flow {
    /// Nothing yet.
    pub fn new(instance: &str) -> Self {
        Self { instance: instance.to_string(), since: Instant::now(), lines: 0, dropped: 0 }
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
        self.lines += 1;
        true
    }

    fn tell(&mut self) {
        if self.dropped > 0 {
            tracing::warn!(target: "plugin", instance = self.instance,
                "{} lines were dropped: a call logs at most {LINES_MAX} a second", self.dropped);
            self.dropped = 0;
        }
    }
}

impl Drop for Flow {
    fn drop(&mut self) {
        self.tell();
    }
}

impl Host for View<'_> {
    async fn log(&mut self, level: Level, mut message: String) -> wasmtime::Result<()> {
        if !self.call.log.admits(Instant::now()) {
            return Ok(());
        }
        message.truncate(message.floor_char_boundary(SEARCHED_MAX));
        let mut message = self.call.clean(&message);
        message.truncate(message.floor_char_boundary(LINE_MAX));
        let caller = &self.call.caller;
        let weight = match level {
            Level::Debug => Weight::Debug,
            Level::Info => Weight::Info,
            Level::Warn => Weight::Warn,
            Level::Error => Weight::Error,
        };
        let said = &self.call.services.said;
        said.say(&caller.plugin, &caller.instance, Voice::Log, weight, caller.session.as_deref(), message.as_str());
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
        let mut flow = Flow::new("web");
        let start = flow.since;
        let admitted = |flow: &mut Flow, at: Duration| (0..250).filter(|_| flow.admits(start + at)).count();
        assert_eq!(admitted(&mut flow, Duration::ZERO), 100);
        assert_eq!(admitted(&mut flow, Duration::from_millis(999)), 0);
        assert_eq!(flow.dropped, 400);
        assert_eq!(admitted(&mut flow, WINDOW), 100);
        assert_eq!(flow.dropped, 150);
    }
}
