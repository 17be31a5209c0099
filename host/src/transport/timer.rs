//! Alarms: named, replaceable, bound to a connection or to the instance, cancelled with it. Each waits in a task of
//! its own on the runtime's timer wheel, which is as cheap as a queue of our own would be.

use std::collections::HashMap;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::task::AbortHandle;

/// More than a channel of this contract can need; a guest that asks for more is told so in the log.
const ALARMS_MAX: usize = 4096;

/// The connection (none: the instance) and the name.
type Key = (Option<u64>, String);

/// The alarms of one instance.
#[derive(Default)]
pub(super) struct Alarms {
    pending: Mutex<Pending>,
}

#[derive(Default)]
struct Pending {
    tasks: HashMap<Key, (u64, AbortHandle)>,
    serial: u64,
}

impl Alarms {
    /// Runs `ring` after this time, unless it is replaced or cancelled before. Once it has begun it is not cut off.
    /// `false`: there are too many.
    pub(super) fn set<F>(self: &Arc<Self>, name: String, on: Option<u64>, after: Duration, ring: F) -> bool
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let key = (on, name);
        let mut pending = self.lock();
        if pending.tasks.len() >= ALARMS_MAX && !pending.tasks.contains_key(&key) {
            return false;
        }
        pending.serial += 1;
        let serial = pending.serial;
        let (alarms, due) = (Arc::clone(self), key.clone());
        let task = tokio::spawn(async move {
            tokio::time::sleep(after).await;
            if alarms.take(&due, serial) {
                ring.await;
            }
        });
        if let Some((_, replaced)) = pending.tasks.insert(key, (serial, task.abort_handle())) {
            replaced.abort();
        }
        true
    }

    /// Cancels those of a connection.
    pub(super) fn cancel_of(&self, connection: u64) {
        self.lock().tasks.retain(|(on, _), (_, task)| {
            let keep = *on != Some(connection);
            if !keep {
                task.abort();
            }
            keep
        });
    }

    /// Cancels all.
    pub(super) fn cancel_all(&self) {
        for (_, (_, task)) in self.lock().tasks.drain() {
            task.abort();
        }
    }

    /// Takes a due alarm off the list; `false` if it was replaced or cancelled while it became due.
    fn take(&self, key: &Key, serial: u64) -> bool {
        let mut pending = self.lock();
        let current = pending.tasks.get(key).is_some_and(|(set, _)| *set == serial);
        if current {
            pending.tasks.remove(key);
        }
        current
    }

    fn lock(&self) -> MutexGuard<'_, Pending> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::mpsc;
    use tokio::time::Instant;

    use super::*;

    struct Bells {
        alarms: Arc<Alarms>,
        ring: mpsc::UnboundedSender<(&'static str, u64)>,
        rung: mpsc::UnboundedReceiver<(&'static str, u64)>,
        start: Instant,
    }

    impl Bells {
        fn new() -> Self {
            let (ring, rung) = mpsc::unbounded_channel();
            Self { alarms: Arc::default(), ring, rung, start: Instant::now() }
        }

        fn set(&self, label: &'static str, name: &str, on: Option<u64>, after_ms: u64) -> bool {
            let (ring, start) = (self.ring.clone(), self.start);
            self.alarms.set(name.to_owned(), on, Duration::from_millis(after_ms), async move {
                let _ = ring.send((label, start.elapsed().as_millis() as u64));
            })
        }

        /// All that ring within an hour.
        async fn all(mut self) -> Vec<(&'static str, u64)> {
            tokio::time::sleep(Duration::from_secs(3600)).await;
            let mut rung = Vec::new();
            while let Ok(bell) = self.rung.try_recv() {
                rung.push(bell);
            }
            rung
        }
    }

    #[tokio::test(start_paused = true)]
    async fn alarms_ring_once_each_when_they_are_due() {
        let bells = Bells::new();
        assert!(bells.set("late", "b", None, 500));
        assert!(bells.set("early", "a", None, 100));
        assert_eq!(bells.all().await, [("early", 100), ("late", 500)]);
    }

    #[tokio::test(start_paused = true)]
    async fn the_same_name_replaces_an_alarm_but_only_of_the_same_connection() {
        let bells = Bells::new();
        bells.set("first", "ping", Some(1), 100);
        bells.set("other connection", "ping", Some(2), 200);
        bells.set("instance", "ping", None, 250);
        bells.set("second", "ping", Some(1), 300);
        assert_eq!(bells.all().await, [("other connection", 200), ("instance", 250), ("second", 300)]);
    }

    #[tokio::test(start_paused = true)]
    async fn alarms_end_with_their_connection_and_with_the_instance() {
        let bells = Bells::new();
        bells.set("gone", "a", Some(1), 100);
        bells.set("stays", "a", Some(2), 100);
        bells.alarms.cancel_of(1);
        let bells_of_another = Bells::new();
        bells_of_another.set("gone", "a", None, 100);
        bells_of_another.alarms.cancel_all();
        assert_eq!(bells.all().await, [("stays", 100)]);
        assert_eq!(bells_of_another.all().await, []);
    }

    #[tokio::test(start_paused = true)]
    async fn a_flood_of_alarms_is_refused() {
        let bells = Bells::new();
        for number in 0..ALARMS_MAX {
            assert!(bells.set("one of many", &number.to_string(), None, 1000));
        }
        assert!(!bells.set("too many", "another", None, 1000));
        assert!(bells.set("a replacement", "7", None, 1000));
    }
}
