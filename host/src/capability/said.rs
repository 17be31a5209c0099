//! What plugins wrote last, by `log` and by standard output, and what the host said about them: what `plugin log` shows.
//!
//! A bounded part for each instance, in memory only; the log has everything. Whoever adds a line has cut secrets out of
//! it before, as for the log.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use crate::message::{Timestamp, now};

/// Lines of one instance.
const LINES_MOST: usize = 200;
/// Bytes of one instance.
const BYTES_MOST: usize = 64 << 10;
/// Instances; far above what a host has, so it only bounds names that come and go.
const INSTANCES_MOST: usize = 2_000;

/// Who wrote a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Voice {
    /// The guest, by `log`.
    Log,
    /// The guest, to its standard output.
    Stdout,
    /// The guest, to its standard error.
    Stderr,
    /// The host, about the guest.
    Host,
}

/// How much a line matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Weight {
    /// For whoever looks for a fault.
    Debug,
    /// Ordinary.
    Info,
    /// Somebody should look.
    Warn,
    /// It does not work.
    Error,
}

/// One line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// Of all lines of all instances, from 1.
    pub number: u64,
    /// When.
    pub at: Timestamp,
    /// The plugin.
    pub plugin: String,
    /// Its instance.
    pub instance: String,
    /// Whose words.
    pub from: Voice,
    /// How much it matters.
    pub weight: Weight,
    /// The session that the call served.
    pub session: Option<String>,
    /// Without a line break at its end.
    pub text: String,
}

/// See the module.
pub struct Said {
    inner: Mutex<Inner>,
    last: watch::Sender<u64>,
}

#[derive(Default)]
struct Inner {
    number: u64,
    instances: HashMap<String, Part>,
}

#[derive(Default)]
struct Part {
    lines: VecDeque<Line>,
    bytes: usize,
}

impl Default for Said {
    fn default() -> Self {
        Self { inner: Mutex::default(), last: watch::channel(0).0 }
    }
}

impl Part {
    fn push(&mut self, line: Line) {
        self.bytes = self.bytes.saturating_add(line.text.len());
        self.lines.push_back(line);
        while self.lines.len() > LINES_MOST || (self.bytes > BYTES_MOST && self.lines.len() > 1) {
            let Some(gone) = self.lines.pop_front() else { break };
            self.bytes = self.bytes.saturating_sub(gone.text.len());
        }
    }
}

impl Said {
    /// One more line, in the words of somebody about an instance.
    pub fn say(
        &self,
        plugin: &str,
        instance: &str,
        from: Voice,
        weight: Weight,
        session: Option<&str>,
        text: impl Into<String>,
    ) {
        let number = {
            let mut inner = self.inner();
            inner.number = inner.number.saturating_add(1);
            let number = inner.number;
            if !inner.instances.contains_key(instance) && inner.instances.len() >= INSTANCES_MOST {
                return;
            }
            let line = Line {
                number,
                at: now(),
                plugin: plugin.to_string(),
                instance: instance.to_string(),
                from,
                weight,
                session: session.map(str::to_string),
                text: text.into(),
            };
            inner.instances.entry(instance.to_string()).or_default().push(line);
            number
        };
        // Without a lock: whoever is woken looks at once.
        self.last.send_if_modified(|last| {
            let newer = number > *last;
            *last = number.max(*last);
            newer
        });
    }

    /// The host's own words about an instance.
    pub fn host(&self, plugin: &str, instance: &str, weight: Weight, text: impl Into<String>) {
        self.say(plugin, instance, Voice::Host, weight, None, text);
    }

    /// What was said of a plugin or an instance after a line, in order; only the last so many.
    pub fn of(&self, name: &str, after: u64, last: usize) -> Vec<Line> {
        let mut lines: Vec<Line> = {
            let inner = self.inner();
            let all = inner.instances.values().flat_map(|part| &part.lines);
            all.filter(|line| line.number > after && (line.instance == name || line.plugin == name)).cloned().collect()
        };
        lines.sort_unstable_by_key(|line| line.number);
        lines.drain(..lines.len().saturating_sub(last));
        lines
    }

    /// Tells of each new line, whosever it is.
    pub fn news(&self) -> watch::Receiver<u64> {
        self.last.subscribe()
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(said: &Said, name: &str, after: u64, last: usize) -> Vec<String> {
        said.of(name, after, last).into_iter().map(|line| line.text).collect()
    }

    #[test]
    fn lines_are_found_by_instance_and_by_plugin_in_the_order_they_came() {
        let said = Said::default();
        said.host("tool-a", "one", Weight::Info, "1");
        said.host("tool-a", "two", Weight::Info, "2");
        said.host("tool-b", "b", Weight::Info, "3");
        said.host("tool-a", "one", Weight::Info, "4");
        assert_eq!(texts(&said, "tool-a", 0, 9), ["1", "2", "4"]);
        assert_eq!(texts(&said, "one", 0, 9), ["1", "4"]);
        assert_eq!(texts(&said, "tool-a", 1, 1), ["4"]);
        assert_eq!((texts(&said, "tool-a", 4, 9).len(), texts(&said, "none", 0, 9).len()), (0, 0));
    }

    #[test]
    fn an_instance_keeps_its_last_lines_and_takes_no_room_from_others() {
        let said = Said::default();
        said.host("tool-b", "calm", Weight::Info, "here");
        for number in 0..LINES_MOST + 5 {
            said.host("tool-a", "loud", Weight::Info, number.to_string());
        }
        let kept = texts(&said, "loud", 0, usize::MAX);
        assert_eq!((kept.len(), kept.first().map(String::as_str)), (LINES_MOST, Some("5")));
        for _ in 0..LINES_MOST {
            said.host("tool-a", "loud", Weight::Info, "x".repeat(4 << 10));
        }
        assert_eq!(texts(&said, "loud", 0, usize::MAX).len(), BYTES_MOST / (4 << 10));
        assert_eq!(texts(&said, "calm", 0, 9), ["here"]);
    }

    #[tokio::test]
    async fn whoever_follows_is_told_of_each_line() {
        let said = Said::default();
        let mut news = said.news();
        said.host("tool-a", "one", Weight::Warn, "now");
        news.changed().await.unwrap();
        assert_eq!(texts(&said, "one", 0, 9), ["now"]);
    }
}
