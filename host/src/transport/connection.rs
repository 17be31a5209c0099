//! One instance with its open connections.
//!
//! A [`Connection`] is what others see: tags, a bounded queue of frames to send, a way to end it. A [`Link`] is held by
//! the task that serves the socket: it turns what comes in into events, one at a time, and takes the connection off the
//! list when it is dropped. Events of one connection and its alarms share a lane (a fair lock), so that a fresh guest
//! never sees them out of order or side by side.

use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{Notify, mpsc};
use tokio_tungstenite::tungstenite::Utf8Bytes;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::hub::InstanceOptions;
use super::status::{Counters, Health, State, count};
use super::timer::Alarms;
use super::{Event, EventOutcome, Frame, Receiver, TransportKind, TransportRequest};
use crate::message::now;
use crate::wit::role::channel::{Alarm, Closed, Opened, Source};

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
        Self {
            code,
            reason: reason.into(),
        }
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
        tracing::info!(
            transport = self.id,
            reason,
            wait_ms = wait.as_millis(),
            "tried again later"
        );
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
    /// Ends it now; the first reason stays.
    pub(super) fn end(&self, end: End) {
        let _ = self.end.set(end);
        self.ended.cancel();
    }

    /// Returns when it shall end, with the reason.
    pub(super) async fn ended(&self) -> End {
        self.ended.cancelled().await;
        self.end
            .get()
            .cloned()
            .unwrap_or_else(|| End::new(code::RESTART, "the channel was closed or replaced"))
    }

    pub(super) fn is_tagged(&self) -> bool {
        !lock(&self.tags).is_empty()
    }

    /// The writing half has passed it on.
    pub(super) fn sent(&self, outgoing: &Outgoing) {
        self.queued.fetch_sub(outgoing.cost(), Ordering::Relaxed);
    }

    fn send(&self, outgoing: Outgoing, counters: &Counters) {
        let cost = outgoing.cost();
        let waiting = self
            .queued
            .fetch_add(cost, Ordering::Relaxed)
            .saturating_add(cost);
        if waiting > QUEUE_MAX {
            self.closing.store(true, Ordering::Release);
            count(&counters.overflowed);
            tracing::warn!(
                connection = self.id,
                transport = self.transport.id,
                "closed: the peer does not read"
            );
            self.end(End::new(
                code::OVERLOAD,
                "too much is waiting to be read; come back and catch up",
            ));
        } else if self.queue.send(outgoing).is_ok() {
            count(&counters.frames_out);
        }
    }

    fn is_open(&self) -> bool {
        !self.closing.load(Ordering::Acquire) && !self.ended.is_cancelled()
    }

    fn source(&self) -> Source {
        Source {
            transport: self.transport.id.clone(),
            connection: self.id,
            tags: lock(&self.tags).clone(),
        }
    }
}

/// The open connections of an instance, by id and by tag.
#[derive(Default)]
struct Open {
    by_id: HashMap<u64, Arc<Connection>>,
    by_tag: HashMap<String, BTreeSet<u64>>,
}

impl Open {
    fn tagged(&self, tag: &str) -> impl Iterator<Item = &Arc<Connection>> {
        let ids = self.by_tag.get(tag).into_iter().flatten();
        ids.filter_map(|id| self.by_id.get(id))
            .filter(|connection| connection.is_open())
    }

    fn untag(&mut self, connection: &Connection) {
        for tag in lock(&connection.tags).drain(..) {
            if let Some(ids) = self.by_tag.get_mut(&tag) {
                ids.remove(&connection.id);
                if ids.is_empty() {
                    self.by_tag.remove(&tag);
                }
            }
        }
    }
}

/// A channel instance: what it has open and where its events go.
pub(super) struct Instance {
    pub(super) name: String,
    receiver: RwLock<Arc<dyn Receiver>>,
    options: RwLock<Arc<InstanceOptions>>,
    open: Mutex<Open>,
    pub(super) transports: Mutex<Vec<Arc<Transport>>>,
    alarms: Arc<Alarms>,
    /// Alarms without a connection go one at a time.
    lane: tokio::sync::Mutex<()>,
    pub(super) tasks: TaskTracker,
    /// The instance is gone: no more events.
    pub(super) stop: CancellationToken,
    pub(super) counters: Arc<Counters>,
    ids: Arc<AtomicU64>,
}

impl Instance {
    pub(super) fn new(
        name: &str,
        receiver: Arc<dyn Receiver>,
        options: InstanceOptions,
        counters: Arc<Counters>,
        ids: Arc<AtomicU64>,
    ) -> Self {
        Self {
            name: name.to_owned(),
            receiver: RwLock::new(receiver),
            options: RwLock::new(Arc::new(options)),
            open: Mutex::default(),
            transports: Mutex::default(),
            alarms: Arc::default(),
            lane: tokio::sync::Mutex::default(),
            tasks: TaskTracker::new(),
            stop: CancellationToken::new(),
            counters,
            ids,
        }
    }

    pub(super) fn receiver(&self) -> Arc<dyn Receiver> {
        Arc::clone(&self.receiver.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn options(&self) -> Arc<InstanceOptions> {
        Arc::clone(&self.options.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn replace(&self, receiver: Arc<dyn Receiver>, options: InstanceOptions) {
        *self.receiver.write().unwrap_or_else(PoisonError::into_inner) = receiver;
        *self.options.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(options);
    }

    /// Hands one event to the driver; nothing once the instance is gone.
    pub(super) async fn event(&self, event: Event) -> EventOutcome {
        if self.stop.is_cancelled() {
            return EventOutcome::Dropped;
        }
        self.receiver().event(&self.name, event).await
    }

    /// Registers a connection. The second half is for whoever writes to the peer.
    pub(super) fn open(
        self: &Arc<Self>,
        transport: &Arc<Transport>,
    ) -> (Link, mpsc::UnboundedReceiver<Outgoing>) {
        let (queue, outgoing) = mpsc::unbounded_channel();
        let connection = Arc::new(Connection {
            id: self.ids.fetch_add(1, Ordering::Relaxed),
            transport: Arc::clone(transport),
            tags: Mutex::default(),
            queue,
            queued: AtomicUsize::new(0),
            closing: AtomicBool::new(false),
            lane: tokio::sync::Mutex::default(),
            ended: transport.stop.child_token(),
            end: OnceLock::new(),
        });
        lock(&self.open)
            .by_id
            .insert(connection.id, Arc::clone(&connection));
        count(&self.counters.opened);
        (
            Link {
                instance: Arc::clone(self),
                connection,
            },
            outgoing,
        )
    }

    pub(super) fn is_open(&self, id: u64) -> bool {
        lock(&self.open)
            .by_id
            .get(&id)
            .is_some_and(|connection| connection.is_open())
    }

    pub(super) fn tagged(&self, tag: &str) -> Vec<u64> {
        lock(&self.open)
            .tagged(tag)
            .map(|connection| connection.id)
            .collect()
    }

    /// Open connections: of one transport, or all.
    pub(super) fn connections(&self, transport: Option<&str>) -> usize {
        let open = lock(&self.open);
        match transport {
            None => open.by_id.len(),
            Some(id) => open
                .by_id
                .values()
                .filter(|connection| connection.transport.id == id)
                .count(),
        }
    }

    pub(super) fn send_one(&self, id: u64, frame: Frame) {
        let open = lock(&self.open);
        if let Some(connection) = open.by_id.get(&id).filter(|connection| connection.is_open()) {
            connection.send(frame.into(), &self.counters);
        }
    }

    pub(super) fn send_tagged(&self, tag: &str, frame: Frame) {
        let outgoing = Outgoing::from(frame);
        for connection in lock(&self.open).tagged(tag) {
            connection.send(outgoing.clone(), &self.counters);
        }
    }

    pub(super) fn close(&self, id: u64, code: u16, reason: String) {
        let open = lock(&self.open);
        if let Some(connection) = open.by_id.get(&id).filter(|connection| connection.is_open()) {
            connection.closing.store(true, Ordering::Release);
            let _ = connection.queue.send(Outgoing::Close(End { code, reason }));
        }
    }

    pub(super) fn tag(&self, id: u64, tags: Vec<String>) {
        let mut open = lock(&self.open);
        let Some(connection) = open.by_id.get(&id).cloned() else {
            return;
        };
        open.untag(&connection);
        for tag in &tags {
            open.by_tag.entry(tag.clone()).or_default().insert(id);
        }
        *lock(&connection.tags) = tags;
    }

    pub(super) fn alarm(self: &Arc<Self>, name: String, after: Duration, on: Option<u64>) {
        let on = match on {
            None => None,
            Some(id) => match lock(&self.open).by_id.get(&id) {
                Some(connection) => Some(Arc::clone(connection)),
                None => return,
            },
        };
        let id = on.as_ref().map(|connection| connection.id);
        let (instance, rung) = (Arc::clone(self), name.clone());
        let set = self.alarms.set(name, id, after, async move {
            let (_turn, source) = match &on {
                None => (instance.lane.lock().await, None),
                Some(connection) => {
                    let turn = connection.lane.lock().await;
                    if !instance.has(connection.id) {
                        return;
                    }
                    (turn, Some(connection.source()))
                }
            };
            instance.event(Event::Alarm(Alarm { name: rung, source })).await;
        });
        if !set {
            tracing::warn!(
                instance = self.name,
                "an alarm was not set: the channel has too many of them"
            );
        }
    }

    pub(super) fn cancel_alarms(&self) {
        self.alarms.cancel_all();
    }

    fn has(&self, id: u64) -> bool {
        lock(&self.open).by_id.contains_key(&id)
    }

    fn forget(&self, connection: &Connection) {
        let mut open = lock(&self.open);
        open.by_id.remove(&connection.id);
        open.untag(connection);
        drop(open);
        self.alarms.cancel_of(connection.id);
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
        let _turn = self.connection.lane.lock().await;
        let source = self.connection.source();
        self.instance
            .event(Event::Opened(Opened {
                source,
                peer,
                path,
                headers,
            }))
            .await
    }

    /// A frame came.
    pub(super) async fn frame(&self, frame: Frame) -> EventOutcome {
        count(&self.instance.counters.frames_in);
        self.connection.transport.health.progressed();
        let _turn = self.connection.lane.lock().await;
        self.instance
            .event(Event::Frame((self.connection.source(), frame)))
            .await
    }

    /// It is gone: the last event of a connection, which has no more alarms and gets no more frames.
    pub(super) async fn closed(self, end: End) -> EventOutcome {
        let _turn = self.connection.lane.lock().await;
        let source = self.connection.source();
        self.instance.forget(&self.connection);
        self.instance
            .event(Event::Closed(Closed {
                source,
                code: end.code,
                reason: end.reason,
            }))
            .await
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
