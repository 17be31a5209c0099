//! Places where a test can have the process killed, to see that what was promised before is still there after.
//!
//! A leaf. `OPENPISTA_FAILPOINT=name` kills the process with SIGKILL when it first gets to `failpoint("name")`,
//! `name:3` at the third time; `*:3` when it gets to any failpoint for the third time. Nothing of the process runs after
//! that, no buffer is flushed: the same as `kill -9` or a lost machine. Without the variable a failpoint costs one look at
//! a word that does not change.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

/// The environment variable that arms one failpoint.
pub const VARIABLE: &str = "OPENPISTA_FAILPOINT";

/// All failpoints that there are.
pub const ALL: [&str; 10] = [
    "store.before-commit",
    "store.after-commit",
    "connection.before-send",
    "connection.after-send",
    "deliver.before-send",
    "deliver.after-send",
    "model.before-ask",
    "model.after-answer",
    "tool.before-call",
    "tool.after-call",
];

/// Stands for each of them.
const ANY: &str = "*";

#[derive(Debug)]
struct Armed {
    name: String,
    left: AtomicU64,
}

impl Armed {
    fn parse(text: &str) -> Option<Self> {
        let (name, count) = text.rsplit_once(':').unwrap_or((text, "1"));
        let count: u64 = count.parse().ok()?;
        (!name.is_empty() && count > 0).then(|| Self { name: name.into(), left: AtomicU64::new(count) })
    }

    /// True once: at the time that the count says.
    fn reached(&self, name: &str) -> bool {
        (self.name == name || self.name == ANY) && self.left.fetch_sub(1, Ordering::Relaxed) == 1
    }
}

/// The environment is read once, so that an unarmed process pays for a comparison only.
static ARMED: OnceLock<Option<Armed>> = OnceLock::new();

/// Ends the process here if this failpoint is armed and its count is reached.
pub fn failpoint(name: &str) {
    let armed = ARMED.get_or_init(|| std::env::var(VARIABLE).ok().as_deref().and_then(Armed::parse));
    if armed.as_ref().is_some_and(|armed| armed.reached(name)) {
        die();
    }
}

fn die() -> ! {
    // The signal may take a moment to arrive; nothing may happen in it.
    let _ = nix::sys::signal::kill(nix::unistd::getpid(), nix::sys::signal::Signal::SIGKILL);
    std::process::abort();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_third_time_is_the_one_that_was_asked_for() {
        let armed = Armed::parse("store.before-commit:3").unwrap();
        let hits: Vec<bool> = (0..5).map(|_| armed.reached("store.before-commit")).collect();
        assert_eq!(hits, [false, false, true, false, false]);
    }

    #[test]
    fn another_name_does_not_count() {
        let armed = Armed::parse("deliver.before-send").unwrap();
        assert!(!armed.reached("store.before-commit"));
        assert!(armed.reached("deliver.before-send"));
    }

    #[test]
    fn a_star_counts_them_all() {
        let armed = Armed::parse("*:3").unwrap();
        assert_eq!(ALL.map(|name| armed.reached(name)).iter().position(|hit| *hit), Some(2));
    }

    #[test]
    fn nonsense_arms_nothing() {
        for text in ["", ":2", "name:", "name:0", "name:many"] {
            assert!(Armed::parse(text).is_none(), "{text:?}");
        }
    }
}
