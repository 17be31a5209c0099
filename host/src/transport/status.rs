//! How the transports are: what `channel status` and the metrics show. Health is progress of the transport (a frame, an
//! answer, a request), never a side call that may work while the transport is stuck.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use serde::Serialize;

use crate::message::{Timestamp, now};

/// Where a transport stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "state")]
pub enum State {
    /// On its way to the first connection or answer.
    Starting,
    /// Accepts connections or requests.
    Listening,
    /// Connected, running, polling.
    Open,
    /// Tried again later.
    BackingOff {
        /// What went wrong.
        reason: String,
        /// When it is tried again.
        until: Timestamp,
    },
    /// Waits for a person: a credential is missing or was refused.
    AuthRequired {
        /// What the channel says.
        reason: String,
    },
    /// Not used on this start.
    Off {
        /// Why, and how to have it.
        reason: String,
    },
}

/// One transport of an instance, for people and scripts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TransportStatus {
    /// The channel instance.
    pub instance: String,
    /// The channel's name for it.
    pub transport: String,
    /// `http`, `websocket`, …
    pub kind: &'static str,
    /// Where it stands.
    #[serde(flatten)]
    pub state: State,
    /// Since when.
    pub since: Timestamp,
    /// When something last came over it.
    pub progress: Option<Timestamp>,
    /// Open connections.
    pub connections: usize,
}

/// What was counted since the start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Connections that were opened.
    pub opened: u64,
    /// Open now.
    pub open: u64,
    /// Frames that came.
    pub frames_in: u64,
    /// Frames that were queued.
    pub frames_out: u64,
    /// Requests to `http` transports.
    pub requests: u64,
    /// Answers to polls.
    pub polls: u64,
    /// Connections closed because the peer did not read.
    pub overflowed: u64,
}

/// The counters behind [`Counts`].
#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) opened: AtomicU64,
    pub(super) frames_in: AtomicU64,
    pub(super) frames_out: AtomicU64,
    pub(super) requests: AtomicU64,
    pub(super) polls: AtomicU64,
    pub(super) overflowed: AtomicU64,
}

impl Counters {
    pub(super) fn read(&self, open: usize) -> Counts {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Counts {
            opened: read(&self.opened),
            open: open as u64,
            frames_in: read(&self.frames_in),
            frames_out: read(&self.frames_out),
            requests: read(&self.requests),
            polls: read(&self.polls),
            overflowed: read(&self.overflowed),
        }
    }
}

/// Counts one.
pub(super) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

/// The health of one transport.
#[derive(Debug)]
pub(super) struct Health {
    state: Mutex<(State, Timestamp)>,
    /// 0: nothing came yet.
    progress: AtomicU64,
}

impl Health {
    pub(super) fn new(state: State) -> Self {
        Self { state: Mutex::new((state, now())), progress: AtomicU64::new(0) }
    }

    /// A new state; the time is kept if it is the same one.
    pub(super) fn set(&self, state: State) {
        let mut current = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if current.0 != state {
            *current = (state, now());
        }
    }

    /// Something came over it.
    pub(super) fn progressed(&self) {
        self.progress.store(now(), Ordering::Relaxed);
    }

    pub(super) fn state(&self) -> (State, Timestamp) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn progress(&self) -> Option<Timestamp> {
        Some(self.progress.load(Ordering::Relaxed)).filter(|at| *at != 0)
    }
}
