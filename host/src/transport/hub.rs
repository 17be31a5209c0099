//! The hub: which channel instances there are, what each has open, and how to reach it.
//!
//! `app` makes one. The channel driver configures instances on it and applies what calls held; the HTTP server asks it
//! for routes; the `connection` capability reads from it through [`Connections`].

mod setup;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::panic::AssertUnwindSafe;
use std::path::PathBuf;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use futures_util::FutureExt as _;
use tokio_util::sync::CancellationToken;

pub use self::setup::SetupError;
use self::setup::{check, joined, trimmed, under};
use super::connection::{Transport, lock};
use super::instance::Instance;
use super::status::{Counters, Counts, TransportStatus};
use super::{Console, Receiver, TransportKind, TransportRequest, console, dial, poll, process};
use crate::capability::connection::{Connections, Effect};
use crate::wit::openpista::connection::connection::Target;

/// How long a closing instance may take to say good-bye on its sockets.
const CLOSE_GRACE: Duration = Duration::from_secs(5);
/// What panicked will do it again, most likely.
const AFTER_PANIC: Duration = Duration::from_secs(60);
/// Bits of a connection's id that count within one second since the start. Above them are the 32 of the generation: an id
/// stays below 2^53, for a guest in JavaScript has no larger whole numbers.
const ID_BITS: u32 = 21;

/// What the hub is made with.
pub struct HubSettings {
    /// A number that grows with each start: seconds since 1970, or a stored counter. Ids of connections begin with it,
    /// so they are never used twice.
    pub generation: u32,
    /// Numbers from 0 to 1, for the jitter of back-off.
    pub random: fn() -> f64,
    /// Standard input and output, if a channel may have them; else why not and how to allow it.
    pub console: Result<Console, String>,
}

/// What the person configured for an instance, as far as transports need it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InstanceOptions {
    /// `/NAME`, or `/` for the whole server.
    pub mount: String,
    /// The public address of the mount.
    pub public_url: Option<String>,
    /// Where the instance's processes run; made if it is missing.
    pub folder: PathBuf,
}

/// The registry of instances, transports and connections.
pub struct Hub {
    instances: RwLock<BTreeMap<String, Arc<Instance>>>,
    ids: Arc<AtomicU64>,
    counters: Arc<Counters>,
    random: fn() -> f64,
    console: Result<Arc<tokio::sync::Mutex<Console>>, String>,
    stop: CancellationToken,
}

/// Where a request goes.
pub(super) struct Route {
    pub(super) instance: Arc<Instance>,
    pub(super) transport: Arc<Transport>,
    /// Path and query, relative to the mount.
    pub(super) url: String,
    /// The path was the mount itself, without a slash behind it.
    pub(super) bare: bool,
}

impl Hub {
    /// A hub without instances.
    pub fn new(settings: HubSettings) -> Arc<Self> {
        Arc::new(Self {
            instances: RwLock::default(),
            ids: Arc::new(AtomicU64::new((u64::from(settings.generation) << ID_BITS) + 1)),
            counters: Arc::default(),
            random: settings.random,
            console: settings.console.map(|console| Arc::new(tokio::sync::Mutex::new(console))),
            stop: CancellationToken::new(),
        })
    }

    /// Opens what a channel asked for in its setup. Called again when its component, settings or secrets changed:
    /// transports with the same id and kind keep their sockets (and try again at once if they were waiting), new ones
    /// are opened, the others closed. Values of a process' environment are as they shall be. Needs a Tokio runtime;
    /// after [`Hub::shutdown`] nothing is opened any more.
    pub fn reconfigure(
        &self,
        name: &str,
        receiver: Arc<dyn Receiver>,
        options: InstanceOptions,
        transports: Vec<TransportRequest>,
    ) -> Result<(), SetupError> {
        let mut instances = self.instances.write().unwrap_or_else(PoisonError::into_inner);
        check(&instances, name, &options, &transports)?;
        if self.stop.is_cancelled() {
            return Ok(());
        }
        let instance = match instances.get(name) {
            Some(instance) => {
                instance.replace(receiver, options);
                Arc::clone(instance)
            }
            None => {
                let (counters, ids) = (Arc::clone(&self.counters), Arc::clone(&self.ids));
                let instance = Arc::new(Instance::new(name, receiver, options, counters, ids));
                instances.insert(name.to_owned(), Arc::clone(&instance));
                instance
            }
        };
        let mut current = lock(&instance.transports);
        let mut old = std::mem::take(&mut *current);
        for request in transports {
            let same = old.iter().position(|had| had.id == request.id && had.kind == request.kind);
            if let Some(position) = same {
                let kept = old.swap_remove(position);
                kept.wake.notify_one();
                current.push(kept);
                continue;
            }
            let before = old.iter().find(|had| had.id == request.id).map(|had| had.finished.clone());
            let transport = Arc::new(Transport::new(request, &instance.stop));
            self.start(&instance, &transport, before);
            current.push(transport);
        }
        for gone in old {
            gone.stop.cancel();
        }
        Ok(())
    }

    /// Starts what a transport needs of its own; `before` is over when the one that it replaces is.
    fn start(&self, instance: &Arc<Instance>, transport: &Arc<Transport>, before: Option<CancellationToken>) {
        let (owner, served, random) = (Arc::clone(instance), Arc::clone(transport), self.random);
        let console = self.console.clone();
        instance.tasks.spawn(async move {
            let _finished = served.finished.clone().drop_guard();
            if let Some(before) = before {
                before.cancelled().await;
            }
            // A panic (of the driver, of a store that it reads) ends one attempt, not the transport.
            while AssertUnwindSafe(serve(&owner, &served, console.clone(), random)).catch_unwind().await.is_err() {
                tracing::error!(instance = owner.name, transport = served.id, "the transport panicked");
                if !served.back_off(AFTER_PANIC, "an error in the host; see the log".to_owned()).await {
                    return;
                }
            }
        });
    }

    /// Does what a call held, in its order.
    pub fn apply(&self, instance: &str, effects: Vec<Effect>) {
        let Some(instance) = self.instance(instance) else {
            return;
        };
        let tagged = |effect: &Effect| if let Effect::Tag(id, _) = effect { Some(*id) } else { None };
        let own: BTreeSet<u64> = effects.iter().filter_map(tagged).collect();
        for effect in effects {
            match effect {
                Effect::Send(Target::One(id), frame) => instance.send_one(id, frame),
                Effect::Send(Target::Tagged(tag), frame) => instance.send_tagged(&tag, frame, &own),
                Effect::Close { id, code, reason } => instance.close(id, code, reason),
                Effect::Tag(id, tags) => instance.tag(id, tags),
                Effect::Alarm { name, after_ms, on } => instance.alarm(name, Duration::from_millis(after_ms), on),
            }
        }
    }

    /// The host's own words on the console, on lines of their own; nothing where no channel has it.
    pub fn console_says(&self, text: &str) {
        for instance in self.instances().values() {
            instance.console_says(&format!("{}{text}\n", console::FRESH_LINE));
        }
    }

    /// A credential came: what waits for one, or backs off, tries again now.
    pub fn wake(&self, instance: &str) {
        if let Some(instance) = self.instance(instance) {
            for transport in lock(&instance.transports).iter() {
                transport.wake.notify_one();
            }
        }
    }

    /// The transport that an open connection belongs to.
    pub fn transport_of(&self, instance: &str, id: u64) -> Option<String> {
        self.instance(instance)?.transport_of(id)
    }

    /// Closes all that an instance has open, without events for it, and waits until that is done, 5 s at most. Not to
    /// be called from within one of its events.
    pub async fn close_instance(&self, name: &str) {
        let gone = self.instances.write().unwrap_or_else(PoisonError::into_inner).remove(name);
        if let Some(instance) = gone {
            close(&instance).await;
        }
    }

    /// Closes everything: the daemon ends.
    pub async fn shutdown(&self) {
        self.stop.cancel();
        let all = std::mem::take(&mut *self.instances.write().unwrap_or_else(PoisonError::into_inner));
        futures_util::future::join_all(all.values().map(close)).await;
    }

    /// How each transport is.
    pub fn status(&self) -> Vec<TransportStatus> {
        let mut all = Vec::new();
        for instance in self.instances().values() {
            for transport in lock(&instance.transports).iter() {
                let (state, since) = transport.health.state();
                all.push(TransportStatus {
                    instance: instance.name.clone(),
                    transport: transport.id.clone(),
                    kind: kind_name(&transport.kind),
                    state,
                    since,
                    progress: transport.health.progress(),
                    connections: instance.connections(Some(&transport.id)),
                });
            }
        }
        all
    }

    /// What was counted since the start.
    pub fn counts(&self) -> Counts {
        self.counters.read(self.instances().values().map(|instance| instance.connections(None)).sum())
    }

    /// The `http` transport for a path, the longest mount and path first.
    pub(super) fn route_http(&self, path: &str, query: Option<&str>) -> Option<Route> {
        self.route(path, query, |full, kind| match kind {
            TransportKind::Http(own) => under(&joined(full, own), path).then(|| full.len() + own.len()),
            _ => None,
        })
    }

    /// The `websocket` transport at exactly this path.
    pub(super) fn route_websocket(&self, path: &str, query: Option<&str>) -> Option<Route> {
        self.route(path, query, |full, kind| match kind {
            TransportKind::Websocket(own) => (joined(full, own) == trimmed(path)).then(|| full.len() + own.len()),
            _ => None,
        })
    }

    /// Public addresses' hosts: they may be named by a request.
    pub(super) fn public_hosts(&self) -> Vec<String> {
        let instances = self.instances();
        let urls = instances.values().filter_map(|instance| instance.options().public_url.clone());
        urls.filter_map(|url| Some(url::Url::parse(&url).ok()?.host_str()?.to_ascii_lowercase())).collect()
    }

    fn route(
        &self,
        path: &str,
        query: Option<&str>,
        rank: impl Fn(&str, &TransportKind) -> Option<usize>,
    ) -> Option<Route> {
        let mut best: Option<(usize, Route)> = None;
        for instance in self.instances().values() {
            let options = instance.options();
            for transport in lock(&instance.transports).iter() {
                let Some(rank) = rank(trimmed(&options.mount), &transport.kind) else {
                    continue;
                };
                if best.as_ref().is_none_or(|(other, _)| rank > *other) {
                    let mut url = path.strip_prefix(trimmed(&options.mount)).unwrap_or(path).to_owned();
                    let bare = url.is_empty();
                    if !url.starts_with('/') {
                        url.insert(0, '/');
                    }
                    if let Some(query) = query {
                        url.push('?');
                        url.push_str(query);
                    }
                    let (instance, transport) = (Arc::clone(instance), Arc::clone(transport));
                    best = Some((rank, Route { instance, transport, url, bare }));
                }
            }
        }
        best.map(|(_, route)| route)
    }

    fn instance(&self, name: &str) -> Option<Arc<Instance>> {
        self.instances().get(name).cloned()
    }

    fn instances(&self) -> std::sync::RwLockReadGuard<'_, BTreeMap<String, Arc<Instance>>> {
        self.instances.read().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Connections for Hub {
    fn is_open(&self, instance: &str, id: u64) -> bool {
        self.instance(instance).is_some_and(|instance| instance.is_open(id))
    }

    fn tagged(&self, instance: &str, tag: &str) -> Vec<u64> {
        self.instance(instance).map(|instance| instance.tagged(tag)).unwrap_or_default()
    }

    fn public_url(&self, instance: &str, transport: &str) -> Option<String> {
        let instance = self.instance(instance)?;
        let options = instance.options();
        let transports = lock(&instance.transports);
        let path = transports.iter().find(|known| known.id == transport).and_then(|known| match &known.kind {
            TransportKind::Http(path) => Some(trimmed(path)),
            _ => None,
        })?;
        Some(format!("{}{path}", trimmed(options.public_url.as_deref()?)))
    }

    fn join(&self, instance: &str, id: u64, tags: &[String]) {
        if let Some(instance) = self.instance(instance) {
            instance.join(id, tags);
        }
    }

    fn joined(&self, instance: &str, id: u64) {
        if let Some(instance) = self.instance(instance) {
            instance.joined(id);
        }
    }
}

/// Runs what a transport needs of its own, until it is not wanted any more.
async fn serve(
    instance: &Arc<Instance>,
    transport: &Arc<Transport>,
    console: Result<Arc<tokio::sync::Mutex<Console>>, String>,
    random: fn() -> f64,
) {
    match &transport.kind {
        TransportKind::Console => console::run(instance, transport, console).await,
        TransportKind::Process(command) => process::run(instance, transport, command, random).await,
        TransportKind::Poll(interval) => {
            let interval = Duration::from_millis(u64::from(*interval));
            poll::run(instance, transport, interval, random).await;
        }
        TransportKind::Dial => dial::run(instance, transport, random).await,
        // The HTTP server serves these; `check` refused the others.
        TransportKind::Http(_) | TransportKind::Websocket(_) => {}
        TransportKind::Quic(_) | TransportKind::Other(_) => {}
    }
}

/// Ends an instance and waits for its tasks.
async fn close(instance: &Arc<Instance>) {
    instance.stop.cancel();
    instance.cancel_alarms();
    instance.tasks.close();
    if tokio::time::timeout(CLOSE_GRACE, instance.tasks.wait()).await.is_err() {
        tracing::warn!(instance = instance.name, "some connections did not close in time and were dropped");
    }
}

fn kind_name(kind: &TransportKind) -> &'static str {
    match kind {
        TransportKind::Http(_) => "http",
        TransportKind::Websocket(_) => "websocket",
        TransportKind::Quic(_) => "quic",
        TransportKind::Console => "console",
        TransportKind::Process(_) => "process",
        TransportKind::Poll(_) => "poll",
        TransportKind::Dial => "dial",
        TransportKind::Other(_) => "other",
    }
}
