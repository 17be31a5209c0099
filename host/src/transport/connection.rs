//! One instance with its open connections.
//!
//! A [`Connection`] is what others see: tags, a bounded queue of frames to send, a way to end it. A [`Link`] is held by
//! the task that serves the socket: it turns what comes in into events, one at a time, and takes the connection off the
//! list when it is dropped. Events of one connection and its alarms share a lane (a fair lock), so that a fresh guest
//! never sees them out of order or side by side.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{Notify, mpsc};
use tokio_tungstenite::tungstenite::Utf8Bytes;
use tokio_util::sync::CancellationToken;

use super::instance::Instance;
use super::status::{Counters, Health, State, count};
use super::{Event, EventOutcome, Frame, TransportKind, TransportRequest};
use crate::message::now;
use crate::wit::role::channel::{Closed, Opened, Source};

/// What may wait to be sent before the peer counts as one that does not read.
pub(super) const QUEUE_MAX: usize = 32 << 20;
/// What a queued frame costs besides its bytes, so that empty ones cannot be queued without end.
const FRAME_COST: usize = 64;

/// Close codes: those of RFC 6455, and our own from 4000 on.
pub(super) mod code {
    pub(in crate::transport) const NORMAL: u16 = 1000;
    pub(in crate::transport) const AWAY: u16 = 1001;
    pub(in crate::transport) const PROTOCOL: u16 = 1002;
    /// Never on the wire: there was no close frame.
    pub(in crate::transport) const VANISHED: u16 = 1006;
    pub(in crate::transport) const NOT_UTF8: u16 = 1007;
    pub(in crate::transport) const REFUSED: u16 = 1008;
    pub(in crate::transport) const TOO_LARGE: u16 = 1009;
    pub(in crate::transport) const FAILED: u16 = 1011;
    pub(in crate::transport) const RESTART: u16 = 1012;
    pub(in crate::transport) const OVERLOAD: u16 = 1013;
    pub(in crate::transport) const NOT_SIGNED_IN: u16 = 4408;
}

/// Why a connection ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct End {
    pub(super) code: u16,
    pub(super) reason: String,
}

impl End {
    pub(super) fn new(code: u16, reason: impl Into<String>) -> Self {
        Self { code, reason: reason.into() }
    }
}

/// What the writing half of a connection gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Outgoing {
    Text(Utf8Bytes),
    Binary(Bytes),
    Close(End),
}

impl Outgoing {
    fn cost(&self) -> usize {
        FRAME_COST
            + match self {
                Self::Text(text) => text.len(),
                Self::Binary(bytes) => bytes.len(),
                Self::Close(end) => end.reason.len(),
            }
    }

    /// The bytes of a frame; none for a close.
    pub(super) fn bytes(&self) -> Option<&[u8]> {
        match self {
            Self::Text(text) => Some(text.as_bytes()),
            Self::Binary(bytes) => Some(bytes),
            Self::Close(_) => None,
        }
    }
}

impl From<Frame> for Outgoing {
    fn from(frame: Frame) -> Self {
        match frame {
            Frame::Text(text) => Self::Text(text.into()),
            Frame::Binary(bytes) => Self::Binary(bytes.into()),
        }
    }
}

/// A transport of an instance, as it was asked for, and how it is.
pub(super) struct Transport {
    pub(super) id: String,
    pub(super) kind: TransportKind,
    pub(super) health: Health,
    /// It vanished from the setup, or the instance ends. Its connections' `end` are children of it.
    pub(super) stop: CancellationToken,
    /// Cancelled when its task is over.
    pub(super) finished: CancellationToken,
    /// Try again now: a credential came, or the settings changed.
    pub(super) wake: Notify,
}

impl Transport {
    pub(super) fn new(request: TransportRequest, instance: &CancellationToken) -> Self {
        let state = match &request.kind {
            TransportKind::Http(_) | TransportKind::Websocket(_) => State::Listening,
            _ => State::Starting,
        };
        Self {
            id: request.id,
            kind: request.kind,
            health: Health::new(state),
            stop: instance.child_token(),
            finished: CancellationToken::new(),
            wake: Notify::new(),
        }
    }

    /// Waits before the next attempt; cut short by a wake. `false`: it is not wanted any more.
    pub(super) async fn back_off(&self, wait: Duration, reason: String) -> bool {
        if self.stop.is_cancelled() {
            return false;
        }
        let until = now().saturating_add(u64::try_from(wait.as_millis()).unwrap_or(u64::MAX));
        tracing::info!(transport = self.id, reason, wait_ms = wait.as_millis(), "tried again later");
        self.health.set(State::BackingOff { reason, until });
        self.pause(wait).await
    }

    /// Waits without a change of state. `false`: it is not wanted any more.
    pub(super) async fn pause(&self, wait: Duration) -> bool {
        tokio::select! {
            biased;
            () = self.stop.cancelled() => false,
            () = self.wake.notified() => true,
            () = tokio::time::sleep(wait) => true,
        }
    }

    /// Waits for a wake. `false`: it is not wanted any more.
    pub(super) async fn wait_for_credential(&self, reason: String) -> bool {
        tracing::warn!(transport = self.id, reason, "waits for a credential");
        self.health.set(State::AuthRequired { reason });
        tokio::select! {
            biased;
            () = self.stop.cancelled() => false,
            () = self.wake.notified() => true,
        }
    }
}

/// A connection as others see it.
pub(super) struct Connection {
    pub(super) id: u64,
    pub(super) transport: Arc<Transport>,
    tags: Mutex<Vec<String>>,
    queue: mpsc::UnboundedSender<Outgoing>,
    queued: AtomicUsize,
    /// A close is queued: nothing more is sent to it.
    closing: AtomicBool,
    lane: tokio::sync::Mutex<()>,
    ended: CancellationToken,
    end: OnceLock<End>,
}

impl Connection {
    /// The other half is for whoever writes to the peer.
    pub(super) fn new(id: u64, transport: &Arc<Transport>) -> (Self, mpsc::UnboundedReceiver<Outgoing>) {
        let (queue, outgoing) = mpsc::unbounded_channel();
        let connection = Self {
            id,
            transport: Arc::clone(transport),
            tags: Mutex::default(),
            queue,
            queued: AtomicUsize::new(0),
            closing: AtomicBool::new(false),
            lane: tokio::sync::Mutex::default(),
            ended: transport.stop.child_token(),
            end: OnceLock::new(),
        };
        (connection, outgoing)
    }

    /// Waits for its turn: events of a connection go one at a time.
    pub(super) async fn turn(&self) -> tokio::sync::MutexGuard<'_, ()> {
        self.lane.lock().await
    }

    /// Ends it after what is queued; nothing more can be sent.
    pub(super) fn close(&self, end: End) {
        self.closing.store(true, Ordering::Release);
        // Nobody writes any more: it is over already.
        let _ = self.queue.send(Outgoing::Close(end));
    }

    /// New tags; gives back the old ones.
    pub(super) fn retag(&self, tags: Vec<String>) -> Vec<String> {
        std::mem::replace(&mut *lock(&self.tags), tags)
    }

    /// Ends it now; the first reason stays.
    pub(super) fn end(&self, end: End) {
        let _ = self.end.set(end);
        self.ended.cancel();
    }

    /// Returns when it shall end, with the reason.
    pub(super) async fn ended(&self) -> End {
        self.ended.cancelled().await;
        self.end.get().cloned().unwrap_or_else(|| End::new(code::RESTART, "the channel was closed or replaced"))
    }

    pub(super) fn is_tagged(&self) -> bool {
        !lock(&self.tags).is_empty()
    }

    /// The writing half has passed it on.
    pub(super) fn sent(&self, outgoing: &Outgoing) {
        self.queued.fetch_sub(outgoing.cost(), Ordering::Relaxed);
    }

    /// Queues a frame; a queue that is too long ends the connection.
    pub(super) fn send(&self, outgoing: Outgoing, counters: &Counters) {
        let cost = outgoing.cost();
        let waiting = self.queued.fetch_add(cost, Ordering::Relaxed).saturating_add(cost);
        if waiting > QUEUE_MAX {
            self.closing.store(true, Ordering::Release);
            count(&counters.overflowed);
            tracing::warn!(connection = self.id, transport = self.transport.id, "closed: the peer does not read");
            self.end(End::new(code::OVERLOAD, "too much is waiting to be read; come back and catch up"));
        } else if self.queue.send(outgoing).is_ok() {
            count(&counters.frames_out);
        }
    }

    /// The channel closed it, or what was queued for it was too much.
    pub(super) fn is_closing(&self) -> bool {
        self.closing.load(Ordering::Acquire)
    }

    /// Frames can be sent to it.
    pub(super) fn is_open(&self) -> bool {
        !self.closing.load(Ordering::Acquire) && !self.ended.is_cancelled()
    }

    /// It, as events name it.
    pub(super) fn source(&self) -> Source {
        Source { transport: self.transport.id.clone(), connection: self.id, tags: lock(&self.tags).clone() }
    }
}

/// The connection of the task that serves its socket. Dropping it takes the connection off the list.
pub(super) struct Link {
    pub(super) instance: Arc<Instance>,
    pub(super) connection: Arc<Connection>,
}

impl Link {
    /// It is there: the first event of a connection.
    pub(super) async fn opened(
        &self,
        peer: Option<String>,
        path: String,
        headers: Vec<(String, String)>,
    ) -> EventOutcome {
        let _turn = self.connection.turn().await;
        let source = self.connection.source();
        self.instance.event(Event::Opened(Opened { source, peer, path, headers })).await
    }

    /// A frame came.
    pub(super) async fn frame(&self, frame: Frame) -> EventOutcome {
        count(&self.instance.counters.frames_in);
        self.connection.transport.health.progressed();
        let _turn = self.connection.turn().await;
        self.instance.event(Event::Frame((self.connection.source(), frame))).await
    }

    /// It is gone: the last event of a connection, which has no more alarms and gets no more frames.
    pub(super) async fn closed(self, end: End) -> EventOutcome {
        let _turn = self.connection.turn().await;
        let source = self.connection.source();
        self.instance.forget(&self.connection);
        self.instance.event(Event::Closed(Closed { source, code: end.code, reason: end.reason })).await
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.instance.forget(&self.connection);
    }
}

/// A panic elsewhere leaves these maps whole: each change to them is done in one step.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
