//! One named instance of a plugin: its grants, settings, secrets and limits, and the running of a call on it.
//!
//! The component is loaded at the first call, not before, and given back when it was not called for a while, so a plugin
//! that nobody uses costs its table row. Each call is a fresh instance of the component.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Result;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use wasmtime::component::InstancePre;

use super::Plugin;
use super::record::{Ended, Record};
use crate::capability::said::Weight;
use crate::capability::{Call, Caller, Held, Services};
use crate::grant::Grants;
use crate::runtime::limits::Limits;
use crate::runtime::state::{HostState, Left};
use crate::runtime::{Budget, CallError, CallStore, Runtime};
use crate::wit::role;

/// What instances share.
pub struct Host {
    /// Runs guests.
    pub runtime: Arc<Runtime>,
    /// What capabilities work with.
    pub services: Arc<Services>,
}

/// A plugin with a name, grants, settings, secrets and limits.
pub struct Instance {
    /// Unique within its role.
    pub name: String,
    /// What it is an instance of.
    pub plugin: Arc<Plugin>,
    /// What it may do.
    pub grants: Arc<Grants>,
    /// A JSON object.
    pub settings: Arc<str>,
    /// Shared by its calls.
    pub secrets: Arc<crate::capability::secrets::InstanceSecrets>,
    /// Of each call.
    pub limits: Limits,
    logged: Arc<crate::capability::log::Meter>,
    /// What it has done, and those of its name before it.
    pub record: Arc<Record>,
    slot: Mutex<Slot>,
    /// Loading takes a while; one does it for all that wait.
    loading: tokio::sync::Mutex<()>,
    live: Semaphore,
}

/// What is loaded, and when it was last asked for.
#[derive(Default)]
struct Slot {
    loaded: Option<Arc<Loaded>>,
    used: Option<Instant>,
}

/// A linked component.
pub struct Loaded {
    pre: InstancePre<HostState>,
    /// It is loaded again from a file; where none could be written, it would have to be compiled.
    kept: bool,
    /// What it exports.
    pub exports: Exports,
}

/// What a component exports, found by interface.
pub struct Exports {
    /// Role.
    pub provider: Option<role::provider::GuestIndices>,
    /// Role.
    pub tools: Option<role::tools::GuestIndices>,
    /// Role.
    pub channel: Option<role::channel::GuestIndices>,
    /// Ability.
    pub outgoing: Option<role::outgoing::GuestIndices>,
    /// Ability.
    pub http_handler: Option<role::http_handler::GuestIndices>,
    /// Ability.
    pub attachments: Option<role::attachments::GuestIndices>,
    /// Ability.
    pub approvals: Option<role::approvals::GuestIndices>,
    /// Ability.
    pub observer: Option<role::observer::GuestIndices>,
}

/// Around one call.
#[derive(Clone, Default)]
pub struct Around {
    /// Which of the contract's calls.
    pub operation: &'static str,
    /// The session that it serves.
    pub session: Option<String>,
    /// The turn that it serves.
    pub turn: Option<String>,
    /// Who or what let it run, for a tool call.
    pub approval: String,
    /// What it is about: the same for an event, a delivery or arguments that are tried again.
    pub cause: u64,
    /// Ends it.
    pub cancel: CancellationToken,
    /// Where progress goes.
    pub progress: Option<crate::agent::ports::Progress>,
    /// Clocks and randomness in place of the machine's own.
    pub fixed: Option<crate::runtime::fixed::Fixed>,
}

/// What a call of the contract answers: whether it is an error of the guest's own.
pub trait Answered {
    /// It is.
    fn is_error(&self) -> bool;
}

impl<T, E> Answered for Result<T, E> {
    fn is_error(&self) -> bool {
        self.is_err()
    }
}

impl Answered for () {
    fn is_error(&self) -> bool {
        false
    }
}

/// What a call left behind besides its answer.
pub struct After {
    /// What takes effect if the answer was ok.
    pub held: Held,
    /// `tools-changed` was called.
    pub tools_changed: bool,
    /// Bytes of memory that it had.
    pub memory: usize,
    /// Ticks that it ran.
    pub ticks: u64,
}

impl Instance {
    /// Nothing is loaded yet.
    pub fn new(
        name: String,
        plugin: Arc<Plugin>,
        grants: Grants,
        settings: Arc<str>,
        secrets: Arc<crate::capability::secrets::InstanceSecrets>,
        limits: Limits,
        record: Arc<Record>,
    ) -> Self {
        Self {
            name,
            plugin,
            grants: Arc::new(grants),
            settings,
            secrets,
            limits,
            logged: Arc::default(),
            record,
            slot: Mutex::default(),
            loading: tokio::sync::Mutex::default(),
            live: Semaphore::new(limits.live_calls),
        }
    }

    /// The linked component, loaded now if need be. Whoever has it keeps it.
    pub async fn loaded(&self, runtime: &Arc<Runtime>) -> Result<Arc<Loaded>> {
        if let Some(loaded) = self.ready() {
            return Ok(loaded);
        }
        let _alone = self.loading.lock().await;
        if let Some(loaded) = self.ready() {
            return Ok(loaded);
        }
        let component = self.plugin.component(runtime).await?;
        let capabilities: BTreeSet<String> = self.grants.iter().map(|(name, _)| name.to_string()).collect();
        let linker = crate::runtime::linker::linker(runtime.engine(), &capabilities)
            .map_err(|error| anyhow::anyhow!("{error:#}"))?;
        let pre = linker
            .instantiate_pre(&component)
            .map_err(|error| anyhow::anyhow!("{} cannot be linked: {error:#}", self.plugin.manifest.name))?;
        let kept = runtime.cache().holds(&self.plugin.digest);
        let loaded = Arc::new(Loaded { exports: Exports::of(&pre), pre, kept });
        self.slot().loaded = Some(Arc::clone(&loaded));
        Ok(loaded)
    }

    fn slot(&self) -> MutexGuard<'_, Slot> {
        self.slot.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn ready(&self) -> Option<Arc<Loaded>> {
        let mut slot = self.slot();
        slot.used = Some(Instant::now());
        slot.loaded.clone()
    }

    /// Gives back what is loaded if no call runs, and none was made for so long; whether it did. The next call loads it
    /// again, which takes less than a millisecond.
    pub fn rest(&self, idle: Duration) -> bool {
        let mut slot = self.slot();
        let free = slot.loaded.as_ref().is_some_and(|loaded| loaded.kept && Arc::strong_count(loaded) == 1);
        let rests = free && slot.used.is_some_and(|used| used.elapsed() >= idle);
        if rests {
            slot.loaded = None;
        }
        rests
    }

    /// Runs one call in a fresh instance, unless this one is set aside. What it held is returned and takes effect only if
    /// the caller says so.
    pub async fn call<R: Answered>(
        &self,
        host: &Host,
        around: Around,
        time: Duration,
        work: impl AsyncFnOnce(&mut CallStore, &wasmtime::component::Instance, &Exports) -> wasmtime::Result<R>,
    ) -> Result<(R, After), CallError> {
        self.record.admit().map_err(|aside| CallError::Aside {
            instance: self.name.clone(),
            left: aside.until.duration_since(tokio::time::Instant::now()),
            why: aside.why,
        })?;
        let (operation, cause, began) = (around.operation, around.cause, Instant::now());
        let done = self.run(host, around, time, work).await;
        let took = began.elapsed();
        let words = done.as_ref().err().map(ToString::to_string).unwrap_or_default();
        let how = match &done {
            Ok((answer, _)) if answer.is_error() => Ended::Error,
            Ok(_) => Ended::Well,
            Err(CallError::Trap { reason, .. }) => Ended::Trap(reason),
            Err(CallError::Limit { .. }) => Ended::Limit(&words),
            Err(CallError::TimedOut { .. }) => Ended::Late,
            Err(CallError::Cancelled | CallError::Aside { .. }) => Ended::Cancelled,
        };
        let aside = self.record.ended(operation, cause, took, how);
        if !words.is_empty() && !matches!(how, Ended::Cancelled) {
            self.tell(host, Weight::Warn, format!("{operation}: {words}"));
        }
        if let Some(aside) = aside {
            let pause = crate::runtime::in_words(aside.until.duration_since(aside.since));
            let text = format!(
                "it is set aside for {pause}, for it broke {} times within a minute; to use it at once: openpista-host \
                 plugin resume {}",
                super::aside::STRIKES,
                self.name
            );
            tracing::error!(instance = self.name, "{text}");
            self.tell(host, Weight::Error, text);
        }
        done
    }

    /// The host's own words about it.
    fn tell(&self, host: &Host, weight: Weight, text: String) {
        let text = host.services.known.cleaned(text);
        host.services.said.host(&self.plugin.manifest.name, &self.name, weight, text);
    }

    async fn run<R>(
        &self,
        host: &Host,
        around: Around,
        time: Duration,
        work: impl AsyncFnOnce(&mut CallStore, &wasmtime::component::Instance, &Exports) -> wasmtime::Result<R>,
    ) -> Result<(R, After), CallError> {
        let name = &self.plugin.manifest.name;
        let trap = |reason: String| CallError::Trap { plugin: name.clone(), reason };
        let loaded = self.loaded(&host.runtime).await.map_err(|error| trap(format!("{error:#}")))?;
        let _live = self.live.acquire().await.map_err(|_| CallError::Cancelled)?;
        let secrets = crate::capability::secrets::CallSecrets::new(Arc::clone(&self.secrets));
        let call = Call {
            caller: Caller {
                plugin: name.clone(),
                instance: self.name.clone(),
                digest: self.plugin.digest.clone(),
                session: around.session,
                turn: around.turn,
                operation: around.operation,
                approval: around.approval,
            },
            grants: Arc::clone(&self.grants),
            settings: Arc::clone(&self.settings),
            secrets: secrets.clone(),
            cancel: around.cancel.clone(),
            held: Held::new(secrets),
            progress: around.progress,
            pace: crate::capability::deltas::Pace::default(),
            tools_changed: false,
            log: crate::capability::log::Flow::new(&self.name, Arc::clone(&self.logged)),
            services: Arc::clone(&host.services),
        };
        let budget = Budget { limits: self.limits, time, cancel: around.cancel };
        let data = HostState::new(call, self.limits, self.record.peak(), around.fixed);
        let (answer, left) = host
            .runtime
            .run(name, &loaded.pre, data, budget, async |store, instance| work(store, instance, &loaded.exports).await)
            .await?;
        let Left { held, tools_changed, memory, ticks } = left;
        Ok((answer, After { held, tools_changed, memory, ticks }))
    }
}

impl Exports {
    /// By interface.
    pub fn of<S>(pre: &InstancePre<S>) -> Self {
        Self {
            provider: role::provider::GuestIndices::new(pre).ok(),
            tools: role::tools::GuestIndices::new(pre).ok(),
            channel: role::channel::GuestIndices::new(pre).ok(),
            outgoing: role::outgoing::GuestIndices::new(pre).ok(),
            http_handler: role::http_handler::GuestIndices::new(pre).ok(),
            attachments: role::attachments::GuestIndices::new(pre).ok(),
            approvals: role::approvals::GuestIndices::new(pre).ok(),
            observer: role::observer::GuestIndices::new(pre).ok(),
        }
    }
}
