//! The hub: which channel instances there are, what each has open, and how to reach it.
//!
//! `app` makes one. The channel driver configures instances on it and applies what calls held; the HTTP server asks it
//! for routes; the `connection` capability reads from it through [`Connections`].

use std::collections::{BTreeMap, BTreeSet};
use std::panic::AssertUnwindSafe;
use std::path::PathBuf;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use futures_util::FutureExt as _;
use tokio_util::sync::CancellationToken;

use super::connection::{Instance, Transport, lock};
use super::status::{Counters, Counts, TransportStatus};
use super::{Console, Receiver, TransportKind, TransportRequest, console, dial, poll, process};
use crate::capability::connection::{Connections, Effect};
use crate::wit::openpista::connection::connection::Target;

/// How long a closing instance may take to say good-bye on its sockets.
const CLOSE_GRACE: Duration = Duration::from_secs(5);
/// What panicked will do it again, most likely.
const AFTER_PANIC: Duration = Duration::from_secs(60);
/// Bits of a connection's id that count within one start.
const ID_BITS: u32 = 28;

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
    /// The public address of the server in front of the mount, without a slash at its end.
    pub public_url: Option<String>,
    /// Where the instance's processes run; made if it is missing.
    pub folder: PathBuf,
}

/// Why a setup was refused. Nothing changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SetupError {
    /// This host cannot do that.
    #[error("transport `{0}` is of a kind that this host does not have: {1}")]
    Unsupported(String, String),
    /// Two with the same id.
    #[error("two transports are called `{0}`")]
    Twice(String),
    /// A path that does not begin with a slash, an empty command.
    #[error("transport `{0}`: {1}")]
    Invalid(String, String),
    /// Another one has it.
    #[error(
        "transport `{0}`: {1} is already taken by `{2}`; give one of them another `mount` in config.toml"
    )]
    PathTaken(String, String, String),
    /// There is one standard input only.
    #[error(
        "transport `{0}`: the console is already used by `{1}`; switch one of the two off in config.toml"
    )]
    ConsoleTaken(String, String),
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
}

impl Hub {
    /// A hub without instances.
    pub fn new(settings: HubSettings) -> Arc<Self> {
        Arc::new(Self {
            instances: RwLock::default(),
            ids: Arc::new(AtomicU64::new((u64::from(settings.generation) << ID_BITS) + 1)),
            counters: Arc::default(),
            random: settings.random,
            console: settings
                .console
                .map(|console| Arc::new(tokio::sync::Mutex::new(console))),
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
            let same = old
                .iter()
                .position(|had| had.id == request.id && had.kind == request.kind);
            if let Some(position) = same {
                let kept = old.swap_remove(position);
                kept.wake.notify_one();
                current.push(kept);
                continue;
            }
            let before = old
                .iter()
                .find(|had| had.id == request.id)
                .map(|had| had.finished.clone());
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
            while AssertUnwindSafe(serve(&owner, &served, console.clone(), random))
                .catch_unwind()
                .await
                .is_err()
            {
                tracing::error!(
                    instance = owner.name,
                    transport = served.id,
                    "the transport panicked"
                );
                if !served
                    .back_off(AFTER_PANIC, "an error in the host; see the log".to_owned())
                    .await
                {
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
        for effect in effects {
            match effect {
                Effect::Send(Target::One(id), frame) => instance.send_one(id, frame),
                Effect::Send(Target::Tagged(tag), frame) => instance.send_tagged(&tag, frame),
                Effect::Close { id, code, reason } => instance.close(id, code, reason),
                Effect::Tag(id, tags) => instance.tag(id, tags),
                Effect::Alarm { name, after_ms, on } => {
                    instance.alarm(name, Duration::from_millis(after_ms), on)
                }
            }
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

    /// Closes all that an instance has open, without events for it, and waits until that is done, 5 s at most. Not to
    /// be called from within one of its events.
    pub async fn close_instance(&self, name: &str) {
        let gone = self
            .instances
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(name);
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
        self.counters.read(
            self.instances()
                .values()
                .map(|instance| instance.connections(None))
                .sum(),
        )
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
            TransportKind::Websocket(own) => {
                (joined(full, own) == trimmed(path)).then(|| full.len() + own.len())
            }
            _ => None,
        })
    }

    /// Public addresses' hosts: they may be named by a request.
    pub(super) fn public_hosts(&self) -> Vec<String> {
        let instances = self.instances();
        let urls = instances
            .values()
            .filter_map(|instance| instance.options().public_url.clone());
        urls.filter_map(|url| Some(url::Url::parse(&url).ok()?.host_str()?.to_ascii_lowercase()))
            .collect()
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
                    let mut url = path
                        .strip_prefix(trimmed(&options.mount))
                        .unwrap_or(path)
                        .to_owned();
                    if !url.starts_with('/') {
                        url.insert(0, '/');
                    }
                    if let Some(query) = query {
                        url.push('?');
                        url.push_str(query);
                    }
                    let (instance, transport) = (Arc::clone(instance), Arc::clone(transport));
                    best = Some((
                        rank,
                        Route {
                            instance,
                            transport,
                            url,
                        },
                    ));
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
        self.instance(instance)
            .is_some_and(|instance| instance.is_open(id))
    }

    fn tagged(&self, instance: &str, tag: &str) -> Vec<u64> {
        self.instance(instance)
            .map(|instance| instance.tagged(tag))
            .unwrap_or_default()
    }

    fn public_url(&self, instance: &str, transport: &str) -> Option<String> {
        let instance = self.instance(instance)?;
        let options = instance.options();
        let transports = lock(&instance.transports);
        let path = transports
            .iter()
            .find(|known| known.id == transport)
            .and_then(|known| match &known.kind {
                TransportKind::Http(path) => Some(trimmed(path)),
                _ => None,
            })?;
        Some(format!("{}{path}", trimmed(options.public_url.as_deref()?)))
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
    if tokio::time::timeout(CLOSE_GRACE, instance.tasks.wait())
        .await
        .is_err()
    {
        tracing::warn!(
            instance = instance.name,
            "some connections did not close in time and were dropped"
        );
    }
}

/// Looks for everything that cannot be opened before anything is changed.
fn check(
    instances: &BTreeMap<String, Arc<Instance>>,
    name: &str,
    options: &InstanceOptions,
    transports: &[TransportRequest],
) -> Result<(), SetupError> {
    let invalid = |id: &str, why: &str| Err(SetupError::Invalid(id.to_owned(), why.to_owned()));
    let mut ids = BTreeSet::new();
    let mut paths = BTreeSet::new();
    let mut consoles = 0;
    for transport in transports {
        let id = transport.id.as_str();
        if !ids.insert(id) {
            return Err(SetupError::Twice(id.to_owned()));
        }
        match &transport.kind {
            TransportKind::Http(path) | TransportKind::Websocket(path) if !path.starts_with('/') => {
                return invalid(id, "its path does not begin with a slash");
            }
            TransportKind::Process(process) if process.command.first().is_none_or(String::is_empty) => {
                return invalid(id, "it has no command");
            }
            TransportKind::Quic(_) => return Err(SetupError::Unsupported(id.to_owned(), "QUIC".to_owned())),
            TransportKind::Other(other) => {
                return Err(SetupError::Unsupported(id.to_owned(), other.kind.clone()));
            }
            TransportKind::Console => {
                consoles += 1;
                let others = instances.values().filter(|other| other.name != name);
                let taken = others.into_iter().find(|other| {
                    lock(&other.transports)
                        .iter()
                        .any(|had| matches!(had.kind, TransportKind::Console))
                });
                let taken = taken
                    .map(|other| other.name.clone())
                    .or_else(|| (consoles > 1).then(|| name.to_owned()));
                if let Some(by) = taken {
                    return Err(SetupError::ConsoleTaken(id.to_owned(), by));
                }
            }
            _ => {}
        }
        if let Some(full) = address(&options.mount, &transport.kind) {
            let others = instances.values().filter(|other| other.name != name);
            let taken = others.into_iter().find(|other| {
                let mount = &other.options().mount;
                lock(&other.transports)
                    .iter()
                    .any(|had| address(mount, &had.kind).as_ref() == Some(&full))
            });
            let by = taken.map(|other| other.name.clone());
            if let Some(by) = by.or_else(|| paths.contains(&full).then(|| name.to_owned())) {
                let path = if full.1.is_empty() { "/".to_owned() } else { full.1 };
                return Err(SetupError::PathTaken(id.to_owned(), path, by));
            }
            paths.insert(full);
        }
    }
    Ok(())
}

/// Where a transport can be reached: whether by websocket, and the whole path.
fn address(mount: &str, kind: &TransportKind) -> Option<(bool, String)> {
    match kind {
        TransportKind::Http(path) => Some((false, joined(trimmed(mount), path))),
        TransportKind::Websocket(path) => Some((true, joined(trimmed(mount), path))),
        _ => None,
    }
}

fn joined(mount: &str, path: &str) -> String {
    format!("{mount}{}", trimmed(path))
}

/// A path without slashes at its end: the root is empty.
fn trimmed(path: &str) -> &str {
    path.trim_end_matches('/')
}

/// `path` is `prefix` or lies under it.
fn under(prefix: &str, path: &str) -> bool {
    path.strip_prefix(prefix)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
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

#[cfg(test)]
mod tests;
