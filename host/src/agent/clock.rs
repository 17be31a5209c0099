//! The turn's clock: it stands still while a person is being asked.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

/// Counts down from the turn's time.
pub struct Clock {
    state: Mutex<State>,
    changed: Notify,
}

struct State {
    /// What was left when it last began to run or stopped.
    left: Duration,
    since: Instant,
    /// It runs when nobody pauses it.
    pauses: usize,
}

impl State {
    fn left(&self) -> Duration {
        if self.pauses > 0 { self.left } else { self.left.saturating_sub(self.since.elapsed()) }
    }
}

/// The clock stands still until this is dropped. Several can overlap.
pub struct Pause<'a>(&'a Clock);

impl Clock {
    /// Runs from now.
    pub fn new(time: Duration) -> Self {
        Self { state: Mutex::new(State { left: time, since: Instant::now(), pauses: 0 }), changed: Notify::new() }
    }

    /// Time that is left.
    pub fn left(&self) -> Duration {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).left()
    }

    /// Stops it for as long as the pause lives.
    pub fn pause(&self) -> Pause<'_> {
        self.change(|state| state.pauses = state.pauses.saturating_add(1));
        Pause(self)
    }

    fn change(&self, with: impl FnOnce(&mut State)) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.left = state.left();
        state.since = Instant::now();
        with(&mut state);
        drop(state);
        self.changed.notify_one();
    }

    /// Returns when the time is over. For one waiter.
    pub async fn over(&self) {
        loop {
            let (left, paused) = {
                let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
                (state.left(), state.pauses > 0)
            };
            if paused {
                self.changed.notified().await;
            } else if left.is_zero() {
                return;
            } else {
                tokio::select! {
                    () = tokio::time::sleep(left) => (),
                    () = self.changed.notified() => (),
                }
            }
        }
    }
}

impl Drop for Pause<'_> {
    fn drop(&mut self) {
        self.0.change(|state| state.pauses = state.pauses.saturating_sub(1));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn it_stands_still_while_any_pause_lives() {
        let clock = Clock::new(Duration::from_secs(10));
        let start = Instant::now();
        let asking = async {
            tokio::time::sleep(Duration::from_secs(4)).await;
            let first = clock.pause();
            tokio::time::sleep(Duration::from_secs(100)).await;
            let second = clock.pause();
            drop(first);
            tokio::time::sleep(Duration::from_secs(100)).await;
            drop(second);
            assert_eq!(clock.left(), Duration::from_secs(6));
        };
        tokio::join!(clock.over(), asking);
        assert_eq!(start.elapsed(), Duration::from_secs(210));
    }
}
