//! A channel instance: its open connections by id and by tag, its alarms, and where its events go.
//!
//! The driver behind an instance can be replaced while its connections stay. Held effects come in here, each as one
//! step under one lock, so that a frame sent to a tag reaches exactly those that had it then.

use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::connection::{Connection, End, Link, Outgoing, Transport, code, lock};
use super::hub::InstanceOptions;
use super::status::{Counters, count};
use super::timer::Alarms;
use super::{Event, EventOutcome, Frame, Receiver, TransportKind};
use crate::wit::role::channel::Alarm;

/// Frames that may wait for a connection that is being tagged.
const HELD_MOST: usize = 10_000;

/// The open connections of an instance, by id and by tag.
#[derive(Default)]
struct Open {
    by_id: HashMap<u64, Arc<Connection>>,
    by_tag: HashMap<String, BTreeSet<u64>>,
    joining: HashMap<u64, Joining>,
}

/// What is sent to tags that calls are going to give to a connection, as long as they run.
#[derive(Default)]
struct Joining {
    calls: usize,
    tags: BTreeSet<String>,
    held: Vec<(String, Outgoing)>,
}

impl Open {
    fn has_tag(&self, id: u64, tag: &str) -> bool {
        self.by_tag.get(tag).is_some_and(|ids| ids.contains(&id))
    }

    /// Keeps a frame for those who are being tagged; who is in `own` is being tagged by the sender.
    fn hold(&mut self, tag: &str, outgoing: &Outgoing, own: &BTreeSet<u64>) {
        for (id, joining) in self.joining.iter_mut().filter(|(id, _)| !own.contains(*id)) {
            let wanted = joining.tags.contains(tag) || self.by_tag.get(tag).is_some_and(|ids| ids.contains(id));
            if !wanted {
                continue;
            }
            joining.held.push((tag.to_owned(), outgoing.clone()));
            if joining.held.len() > HELD_MOST
                && let Some(connection) = self.by_id.get(id)
            {
                connection.end(End::new(code::OVERLOAD, "too much came at once; come back and catch up"));
            }
        }
    }

    fn tagged(&self, tag: &str) -> impl Iterator<Item = &Arc<Connection>> {
        let ids = self.by_tag.get(tag).into_iter().flatten();
        ids.filter_map(|id| self.by_id.get(id)).filter(|connection| connection.is_open())
    }

    fn untag(&mut self, connection: &Connection) {
        for tag in connection.retag(Vec::new()) {
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
    pub(super) fn open(self: &Arc<Self>, transport: &Arc<Transport>) -> (Link, mpsc::UnboundedReceiver<Outgoing>) {
        let (connection, outgoing) = Connection::new(self.ids.fetch_add(1, Ordering::Relaxed), transport);
        let connection = Arc::new(connection);
        lock(&self.open).by_id.insert(connection.id, Arc::clone(&connection));
        count(&self.counters.opened);
        (Link { instance: Arc::clone(self), connection }, outgoing)
    }

    pub(super) fn is_open(&self, id: u64) -> bool {
        lock(&self.open).by_id.get(&id).is_some_and(|connection| connection.is_open())
    }

    pub(super) fn tagged(&self, tag: &str) -> Vec<u64> {
        lock(&self.open).tagged(tag).map(|connection| connection.id).collect()
    }

    /// The transport that a connection belongs to.
    pub(super) fn transport_of(&self, id: u64) -> Option<String> {
        lock(&self.open).by_id.get(&id).map(|connection| connection.transport.id.clone())
    }

    /// Open connections: of one transport, or all.
    pub(super) fn connections(&self, transport: Option<&str>) -> usize {
        let open = lock(&self.open);
        match transport {
            None => open.by_id.len(),
            Some(id) => open.by_id.values().filter(|connection| connection.transport.id == id).count(),
        }
    }

    /// Shows it on the console, if the instance has it.
    pub(super) fn console_says(&self, text: &str) {
        let open = lock(&self.open);
        let on_console = |connection: &&Arc<Connection>| matches!(connection.transport.kind, TransportKind::Console);
        for connection in open.by_id.values().filter(on_console).filter(|connection| connection.is_open()) {
            connection.send(Frame::Text(text.to_owned()).into(), &self.counters);
        }
    }

    pub(super) fn send_one(&self, id: u64, frame: Frame) {
        let open = lock(&self.open);
        if let Some(connection) = open.by_id.get(&id).filter(|connection| connection.is_open()) {
            connection.send(frame.into(), &self.counters);
        }
    }

    /// `own`: connections that the same call tags. They get its frames in its order; others that are being tagged get
    /// them behind what their own call sends.
    pub(super) fn send_tagged(&self, tag: &str, frame: Frame, own: &BTreeSet<u64>) {
        let outgoing = Outgoing::from(frame);
        let mut open = lock(&self.open);
        open.hold(tag, &outgoing, own);
        let at_once = |id: &u64| own.contains(id) || !open.joining.contains_key(id);
        for connection in open.tagged(tag).filter(|connection| at_once(&connection.id)) {
            connection.send(outgoing.clone(), &self.counters);
        }
    }

    /// From now on what is sent to these tags is kept for the connection, too.
    pub(super) fn join(&self, id: u64, tags: &[String]) {
        let mut open = lock(&self.open);
        if open.by_id.contains_key(&id) {
            let joining = open.joining.entry(id).or_default();
            joining.calls = joining.calls.saturating_add(1);
            joining.tags.extend(tags.iter().cloned());
        }
    }

    /// The call is over: what was kept for tags that the connection has now is sent.
    pub(super) fn joined(&self, id: u64) {
        let mut open = lock(&self.open);
        let Some(joining) = open.joining.get_mut(&id) else { return };
        joining.calls = joining.calls.saturating_sub(1);
        if joining.calls > 0 {
            return;
        }
        let held = open.joining.remove(&id).map(|joining| joining.held).unwrap_or_default();
        let Some(connection) = open.by_id.get(&id) else { return };
        for (_, outgoing) in held.into_iter().filter(|(tag, _)| connection.is_open() && open.has_tag(id, tag)) {
            connection.send(outgoing, &self.counters);
        }
    }

    pub(super) fn close(&self, id: u64, code: u16, reason: String) {
        let open = lock(&self.open);
        if let Some(connection) = open.by_id.get(&id).filter(|connection| connection.is_open()) {
            connection.close(End { code, reason });
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
        connection.retag(tags);
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
                    let turn = connection.turn().await;
                    if !instance.has(connection.id) {
                        return;
                    }
                    (turn, Some(connection.source()))
                }
            };
            instance.event(Event::Alarm(Alarm { name: rung, source })).await;
        });
        if !set {
            tracing::warn!(instance = self.name, "an alarm was not set: the channel has too many of them");
        }
    }

    pub(super) fn cancel_alarms(&self) {
        self.alarms.cancel_all();
    }

    fn has(&self, id: u64) -> bool {
        lock(&self.open).by_id.contains_key(&id)
    }

    /// Takes it off the lists, with its tags and alarms.
    pub(super) fn forget(&self, connection: &Connection) {
        let mut open = lock(&self.open);
        open.by_id.remove(&connection.id);
        open.joining.remove(&connection.id);
        open.untag(connection);
        drop(open);
        self.alarms.cancel_of(connection.id);
    }
}
