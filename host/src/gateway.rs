//! Between channels and sessions: what a channel's call held becomes durable and takes effect; what a turn says finds
//! its way back.
//!
//! `driver` turns events of the transports into calls of the channel component, again where the contract says so;
//! [`Gateway::commit`] stores what a call held in one transaction and only then executes it; `deliver` has one worker
//! for each conversation that shows replies in order; `control` answers what clients ask about conversations. What goes
//! to a channel goes through `discreet`, without the host's secrets.

mod contacts;
mod control;
mod deliver;
mod discreet;
mod driver;
mod watch;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::PathBuf;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock, Weak};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::Notify;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use self::contacts::Door;
use crate::capability::secrets::Known;
use crate::capability::{
    self, Effect, Held, connection as connection_effect, control as control_effect, gateway as gateway_effect,
};
use crate::failpoint::failpoint;
use crate::grant::{Grants, denial};
use crate::live::Live;
use crate::message::{Decision, Delivery, DeliveryContent, Inbound, Media, Sender, now};
use crate::plugin::channel::{ChannelInstance, Failure};
use crate::plugin::registry::{Registry, RoleKind};
use crate::session::approver::over;
use crate::session::{Catalogue, Key, Outlet, Sessions, command};
use crate::store::{Accepted, Decided, Store, StoreError};
use crate::transport::{Hub, InstanceOptions, TransportKind};
use crate::wit::openpista::gateway::gateway::{Notice, Settlement};
use crate::wit::role::channel::Preference;
use crate::wit::role::observer::Update;

pub use contacts::Contacts;
pub use deliver::Verdict;
pub use watch::{ChannelStatus, Operator};

/// Changes of sessions are told to observers together, so often.
const OBSERVE: Duration = Duration::from_millis(250);
/// A component that nobody called for so long gives its memory back.
const REST: Duration = Duration::from_secs(10);
/// Approvals whose time is over are looked for so often.
const SWEEP: Duration = Duration::from_secs(30);

/// What the config says of one channel.
#[derive(Debug, Clone, Default)]
pub struct ChannelOptions {
    /// `/NAME` unless it says otherwise.
    pub mount: Option<String>,
    /// The address in front of the mount.
    pub public_url: Option<String>,
    /// Who may write; none: everybody where people sign in, else whom the operator lets in.
    pub contacts: Option<Contacts>,
}

/// What a gateway is made with.
pub struct Parts {
    /// Everything that matters.
    pub store: Store,
    /// Plugins.
    pub registry: Arc<Registry>,
    /// Sockets.
    pub hub: Arc<Hub>,
    /// Models, for clients.
    pub catalogue: Arc<dyn Catalogue>,
    /// By instance.
    pub options: BTreeMap<String, ChannelOptions>,
    /// Every secret, so that no channel is told one.
    pub known: Arc<Known>,
    /// Who hears of a channel that does not work.
    pub operator: Operator,
    /// Folders of bridge processes.
    pub folder: PathBuf,
    /// Ends the daemon.
    pub quit: CancellationToken,
}

/// See the module.
pub struct Gateway {
    parts: Parts,
    me: Weak<Gateway>,
    sessions: OnceLock<Arc<Sessions>>,
    workers: Mutex<HashMap<Key, deliver::Worker>>,
    channels: RwLock<BTreeMap<String, Opened>>,
    notices: Mutex<BTreeMap<String, Notice>>,
    /// Why a channel's credential does not do for deliveries, by instance.
    refused: Mutex<BTreeMap<String, String>>,
    watch: Mutex<watch::Watch>,
    reconciling: tokio::sync::Mutex<()>,
    changed: Mutex<BTreeSet<Key>>,
    changes: Notify,
    settled: Mutex<HashMap<String, Settlement>>,
    /// By instance and transport.
    peers: Mutex<HashMap<(String, String), driver::Peer>>,
    /// What an earlier run left is known: deliveries begin.
    resumed: CancellationToken,
    stop: CancellationToken,
    /// Events so far, so that one that is tried again is known.
    events: AtomicU64,
}

/// A channel that is open.
#[derive(Debug, Clone, Default)]
struct Opened {
    digest: String,
    settings: Arc<str>,
    grants: Arc<Grants>,
    preferences: Preferences,
    /// It has buttons, or its own words, for approvals.
    asks: bool,
    observes: bool,
    console: bool,
    /// Why it is not.
    failed: Option<String>,
}

/// What a channel likes to have delivered.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Preferences {
    /// Drafts, so far apart.
    drafts: Option<Duration>,
    /// They hold only what is new.
    increments: bool,
    /// A typing sign, again after so long.
    working: Option<Duration>,
    activity: bool,
    reasoning: bool,
    /// It lets nobody in who did not sign in.
    signed_in: bool,
    /// It has no buttons, whatever its component exports.
    in_words: bool,
}

impl Preferences {
    fn of(list: &[Preference]) -> Self {
        let mut all = Self::default();
        let ms = |ms: u32| Some(Duration::from_millis(ms.into()));
        for preference in list {
            match preference {
                Preference::Drafts(apart) => all.drafts = ms(*apart),
                Preference::Increments(apart) => {
                    all.drafts = ms(*apart);
                    all.increments = true;
                }
                Preference::Working(apart) => all.working = ms((*apart).max(1_000)),
                Preference::Activity => all.activity = true,
                Preference::Reasoning => all.reasoning = true,
                Preference::SignedIn => all.signed_in = true,
                Preference::InWords => all.in_words = true,
                Preference::Other(_) => (),
            }
        }
        all
    }
}

/// What a commit led to, to be done once it is stored.
#[derive(Default)]
struct Stored {
    woken: BTreeSet<Key>,
    cancelled: Vec<Key>,
    decided: Vec<(String, Decision)>,
    deliveries: Vec<Delivery>,
    settled: Vec<(Key, String, Settlement)>,
    removed: Vec<Key>,
    changed: BTreeSet<Key>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Gateway {
    /// Without sessions yet: they need it as their outlet.
    pub fn new(parts: Parts) -> Arc<Self> {
        Arc::new_cyclic(|me| Self {
            parts,
            me: Weak::clone(me),
            sessions: OnceLock::new(),
            workers: Mutex::default(),
            channels: RwLock::default(),
            notices: Mutex::default(),
            refused: Mutex::default(),
            watch: Mutex::default(),
            reconciling: tokio::sync::Mutex::default(),
            changed: Mutex::default(),
            changes: Notify::new(),
            settled: Mutex::default(),
            peers: Mutex::default(),
            resumed: CancellationToken::new(),
            stop: CancellationToken::new(),
            events: AtomicU64::new(0),
        })
    }

    /// Sessions and gateway know each other; said once.
    pub fn join(&self, sessions: Arc<Sessions>) {
        // A second call would be a mistake of `app`; the first one holds.
        let _ = self.sessions.set(sessions);
    }

    fn sessions(&self) -> Option<&Arc<Sessions>> {
        self.sessions.get()
    }

    fn channel(&self, instance: &str) -> Option<ChannelInstance> {
        let snapshot = self.parts.registry.snapshot();
        let found = snapshot.get(RoleKind::Channel, instance)?;
        Some(ChannelInstance { instance: Arc::clone(found), host: Arc::clone(self.parts.registry.host()) })
    }

    fn opened(&self, instance: &str) -> Opened {
        let channels = self.channels.read().unwrap_or_else(PoisonError::into_inner);
        channels.get(instance).cloned().unwrap_or_default()
    }

    /// What was there before the last end goes on: messages, deliveries, questions.
    pub async fn resume(&self) -> Result<(), StoreError> {
        let store = &self.parts.store;
        for (instance, conversation) in store.read(|tx| tx.outbox_conversations())? {
            let key = Key { instance, conversation };
            // A damaged record is one conversation's trouble.
            if let Err(error) = self.deliver_what_waits(&key) {
                tracing::error!(conversation = key.conversation, "what waits for delivery cannot be read: {error}");
            }
        }
        self.resumed.cancel();
        for (instance, conversation) in store.read(|tx| tx.inbox_conversations())? {
            if let Some(sessions) = self.sessions() {
                sessions.wake(&Key { instance, conversation });
            }
        }
        self.sweep().await
    }

    /// Runs until the end: tells observers, watches over channels, closes approvals whose time is over.
    pub async fn tend(self: Arc<Self>) {
        let (mut look, mut sweep) = (tokio::time::interval(watch::LOOK), tokio::time::interval(SWEEP));
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        sweep.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = self.stop.cancelled() => return,
                () = self.changes.notified() => {
                    tokio::time::sleep(OBSERVE).await;
                    self.tell_observers().await;
                }
                _ = look.tick() => {
                    self.parts.registry.snapshot().rest(REST);
                    self.watch_over().await;
                }
                _ = sweep.tick() => {
                    if let Err(error) = self.sweep().await {
                        tracing::error!("approvals cannot be looked through: {error}");
                    }
                }
            }
        }
    }

    /// Ends the workers.
    pub fn shutdown(&self) {
        self.stop.cancel();
    }

    /// Questions that nobody waits for any more (their turn is over, or the host was down) are taken away in time.
    async fn sweep(&self) -> Result<(), StoreError> {
        let deliveries = self
            .parts
            .store
            .write(|tx| {
                let mut deliveries = Vec::new();
                for approval in tx.approvals_expire(now(), 100)? {
                    let by_hand = approval.by_hand;
                    let delivery = over(approval);
                    if !by_hand {
                        tx.outbox_enqueue(&delivery, now())?;
                    }
                    deliveries.push(delivery);
                }
                Ok(deliveries)
            })
            .await?;
        for delivery in &deliveries {
            if let (DeliveryContent::Decided(approval), Some(sessions)) = (&delivery.content, self.sessions()) {
                sessions.desk().waiting.decided(&approval.id, None);
            }
        }
        self.enqueued(deliveries);
        Ok(())
    }

    /// Opens channels that are new or changed, closes those that are gone. Sockets of a transport that stays, stay.
    pub async fn reconcile(&self) {
        // Plugins may change while a person has a channel opened anew.
        let _alone = self.reconciling.lock().await;
        let snapshot = self.parts.registry.snapshot();
        let wanted: BTreeSet<String> = snapshot.of(RoleKind::Channel).map(|channel| channel.name.clone()).collect();
        let before: Vec<String> = {
            let channels = self.channels.read().unwrap_or_else(PoisonError::into_inner);
            channels.keys().filter(|name| !wanted.contains(*name)).cloned().collect()
        };
        for gone in before {
            tracing::info!("the channel {gone} is closed: its plugin is gone");
            self.channels.write().unwrap_or_else(PoisonError::into_inner).remove(&gone);
            self.parts.hub.close_instance(&gone).await;
            lock(&self.peers).retain(|(instance, _), _| *instance != gone);
        }
        for name in wanted {
            let Some(channel) = self.channel(&name) else { continue };
            let known = self.opened(&name);
            let same = known.digest == channel.instance.plugin.digest
                && known.settings == channel.instance.settings
                && known.grants == channel.instance.grants;
            if same && known.failed.is_none() {
                continue;
            }
            lock(&self.refused).remove(&name);
            let opened = self.open(&name, &channel).await;
            if let Some(why) = opened.failed.as_ref().filter(|why| known.failed.as_ref() != Some(*why)) {
                tracing::error!("the channel {name} does not open: {why}");
            }
            self.channels.write().unwrap_or_else(PoisonError::into_inner).insert(name.clone(), opened);
            self.wake_workers(&name);
        }
    }

    async fn open(&self, name: &str, channel: &ChannelInstance) -> Opened {
        let mut opened = Opened {
            digest: channel.instance.plugin.digest.clone(),
            settings: Arc::clone(&channel.instance.settings),
            grants: Arc::clone(&channel.instance.grants),
            ..Opened::default()
        };
        let (mut setup, mut held) = match channel.open().await {
            Ok(answer) => answer,
            Err(failure) => {
                opened.failed = Some(driver::in_words(&failure));
                return opened;
            }
        };
        if let Some(item) = setup.transports.iter().find_map(|one| beyond(&channel.instance.grants, &one.kind)) {
            // What the call held is dropped, and what was opened under more grants ends.
            self.parts.hub.close_instance(name).await;
            opened.failed = Some(denial(name, "connection", &item));
            return opened;
        }
        if let Err(why) = self.prepare_transports(name, &held.secrets, &mut setup.transports) {
            opened.failed = Some(why);
            return opened;
        }
        let connections = match self.keep(name, &mut held).await {
            Ok(connections) => connections,
            Err(error) => {
                opened.failed = Some(error.to_string());
                return opened;
            }
        };
        let Some(me) = self.me.upgrade() else { return opened };
        let options = self.parts.options.get(name).cloned().unwrap_or_default();
        opened.preferences = Preferences::of(&setup.preferences);
        opened.console = setup.transports.iter().any(|t| matches!(t.kind, TransportKind::Console));
        if let Ok(loaded) = channel.instance.loaded(&channel.host.runtime).await {
            opened.asks = loaded.exports.approvals.is_some() && !opened.preferences.in_words;
            opened.observes = loaded.exports.observer.is_some();
        }
        let mount = options.mount.unwrap_or_else(|| format!("/{name}"));
        let public = |url: String| format!("{}{}", url.trim_end_matches('/'), mount.trim_end_matches('/'));
        let place =
            InstanceOptions { public_url: options.public_url.map(public), mount, folder: self.parts.folder.join(name) };
        opened.failed =
            self.parts.hub.reconfigure(name, me, place, setup.transports).err().map(|error| error.to_string());
        // Only now the hub knows the instance: an alarm of its first `open` would be nobody's before.
        self.parts.hub.apply(name, connections);
        opened
    }

    /// Stores what a call held and then executes it; nothing of it happens if it cannot be stored.
    pub async fn commit(&self, instance: &str, mut held: Held) -> Result<(), StoreError> {
        let connections = self.keep(instance, &mut held).await?;
        if !connections.is_empty() {
            failpoint("connection.before-send");
            self.parts.hub.apply(instance, connections);
            failpoint("connection.after-send");
        }
        // Connections that the call tagged get what came for their tags meanwhile.
        drop(held);
        Ok(())
    }

    /// The part of `commit` before anything is sent; returns what is to be sent.
    async fn keep(&self, instance: &str, held: &mut Held) -> Result<Vec<connection_effect::Effect>, StoreError> {
        let (mut connections, mut notices, mut kept) = (Vec::new(), Vec::new(), Vec::new());
        for effect in std::mem::take(&mut held.effects) {
            match effect {
                Effect::Connection(effect) => connections.push(effect),
                Effect::Gateway(gateway_effect::Effect::Notice(notice)) => notices.push(notice),
                other => kept.push(other),
            }
        }
        // A call that only sends commits nothing.
        if !kept.is_empty() || !held.state.is_empty() {
            let stored = self.store(instance, std::mem::take(&mut held.state), kept).await?;
            self.execute(stored);
        }
        for notice in notices {
            self.notice(instance, notice);
        }
        self.fill_frames(instance, &held.secrets, &mut connections);
        Ok(connections)
    }

    async fn store(
        &self,
        instance: &str,
        state: crate::capability::state::Writes,
        effects: Vec<Effect>,
    ) -> Result<Stored, StoreError> {
        let door = self.door(instance);
        let asks = self.opened(instance).asks;
        let instance = instance.to_string();
        let change = move |tx: &mut crate::store::Writing<'_>| {
            let mut stored = Stored::default();
            if !state.is_empty() {
                tx.state_apply(&instance, &state.set, &state.expected)?;
            }
            for effect in &effects {
                match effect {
                    Effect::Gateway(effect) => store_gateway(tx, &door, asks, effect, &mut stored)?,
                    Effect::Control(effect) => store_control(tx, &instance, effect, &mut stored)?,
                    Effect::Connection(_) => (),
                }
            }
            Ok(stored)
        };
        self.parts.store.write(change).await
    }

    fn execute(&self, stored: Stored) {
        let Some(sessions) = self.sessions() else { return };
        for (approval, decision) in stored.decided {
            sessions.desk().waiting.decided(&approval, Some(decision));
        }
        for (key, delivery, outcome) in stored.settled {
            lock(&self.settled).insert(delivery, outcome);
            self.wake_worker(&key);
        }
        self.enqueued(stored.deliveries);
        for key in stored.cancelled.iter().chain(&stored.removed) {
            sessions.cancel(key);
        }
        for key in &stored.woken {
            sessions.wake(key);
        }
        for key in &stored.changed {
            self.changed(key);
        }
    }

    /// Takes a message of somebody who sits at this machine (`run -e`); it is stored like any other.
    pub async fn submit(&self, inbound: Inbound) -> Result<(), StoreError> {
        let change = move |tx: &mut crate::store::Writing<'_>| tx.inbox_accept(&inbound, now()).map(|_| ());
        self.parts.store.write(change).await
    }

    /// An answer to an approval from somebody who sits at this machine; whether it came in time.
    pub async fn decide(&self, approval: String, decision: Decision, by: Sender) -> Result<bool, StoreError> {
        let id = approval.clone();
        let decided = self.parts.store.write(move |tx| decide(tx, &id, decision, &by)).await?;
        let Decided::Now(closed) = decided else { return Ok(false) };
        self.execute(Stored {
            decided: vec![(approval, decision)],
            deliveries: (!closed.by_hand).then(|| over(closed)).into_iter().collect(),
            ..Stored::default()
        });
        Ok(true)
    }

    /// Somebody who runs a turn by hand has nobody to ask; whether the question still waited.
    pub async fn nobody(&self, approval: String) -> Result<bool, StoreError> {
        let id = approval.clone();
        let change = move |tx: &mut crate::store::Writing<'_>| match tx.approval(&id)? {
            // What a conversation was asked is for those to answer who are there.
            Some(asked) if asked.by_hand => tx.approval_withdraw(&id, now()),
            _ => Ok(false),
        };
        let open = self.parts.store.write(change).await?;
        if let (true, Some(sessions)) = (open, self.sessions()) {
            sessions.desk().waiting.nobody(&approval);
        }
        Ok(open)
    }

    async fn tell_observers(&self) {
        let changed = std::mem::take(&mut *lock(&self.changed));
        let observers: Vec<String> = {
            let channels = self.channels.read().unwrap_or_else(PoisonError::into_inner);
            channels.iter().filter(|(_, opened)| opened.observes).map(|(name, _)| name.clone()).collect()
        };
        for name in observers {
            let Some(channel) = self.channel(&name) else { continue };
            let scope = channel.instance.grants.scope("control").unwrap_or_default();
            let all = scope.iter().any(|item| item == "all");
            let seen = changed.iter().filter(|key| all || key.instance == name);
            let conversations: Vec<String> = seen.map(|key| key.conversation.clone()).collect();
            if conversations.is_empty() {
                continue;
            }
            match channel.notify(&Update::Sessions(conversations)).await {
                Ok(held) => {
                    if let Err(error) = self.commit(&name, held).await {
                        tracing::warn!("what {name} made of a change is not stored: {error}");
                    }
                }
                Err(error) => tracing::warn!("{error}"),
            }
        }
    }
}

/// What a transport needs of the scope of `connection` and has not. Polls and dials are in the scope of `http`, which
/// the gate checks at each request.
fn beyond(grants: &Grants, kind: &TransportKind) -> Option<String> {
    let item = match kind {
        TransportKind::Http(_) => "http".to_string(),
        TransportKind::Websocket(_) => "websocket".to_string(),
        TransportKind::Quic(_) => "quic".to_string(),
        TransportKind::Console => "console".to_string(),
        TransportKind::Process(process) => {
            format!("process:{}", process.command.first().map_or("", String::as_str))
        }
        TransportKind::Poll(_) | TransportKind::Dial => return None,
        TransportKind::Other(other) => other.kind.clone(),
    };
    let scope = grants.scope("connection").unwrap_or_default();
    (!scope.contains(&item)).then_some(item)
}

/// A decision with all that it brings: the session's allowance, the end of the question where it was shown.
fn decide(
    tx: &mut crate::store::Writing<'_>,
    approval: &str,
    decision: Decision,
    by: &Sender,
) -> Result<Decided, StoreError> {
    let decided = tx.approval_decide(approval, decision, by, now())?;
    if let Decided::Now(closed) = &decided {
        if decision == Decision::AllowSession {
            tx.session_change(&closed.session, |session| {
                let allowance = closed.allowance();
                if !session.allowed.contains(&allowance) {
                    session.allowed.push(allowance);
                }
            })?;
        }
        // Who ran the turn by hand was asked there, and no channel has anything to take away.
        if !closed.by_hand {
            tx.outbox_enqueue(&over(closed.clone()), now())?;
        }
    }
    Ok(decided)
}

fn store_gateway(
    tx: &mut crate::store::Writing<'_>,
    door: &Door,
    asks: bool,
    effect: &gateway_effect::Effect,
    stored: &mut Stored,
) -> Result<(), StoreError> {
    let instance = door.instance.as_str();
    let key = |conversation: &str| Key { instance: instance.to_string(), conversation: conversation.to_string() };
    match effect {
        gateway_effect::Effect::Submit(inbound) => {
            if !door.knows(tx, &inbound.sender)? {
                return door.stranger(tx, inbound, stored);
            }
            let place = key(&inbound.conversation);
            if !asks && let Some((approval, decision)) = answer_in_words(tx, inbound)? {
                if let Accepted::New(entry) = tx.inbox_accept(inbound, now())? {
                    tx.inbox_finish(&entry)?;
                    if let Decided::Now(closed) = decide(tx, &approval, decision, &inbound.sender)? {
                        stored.decided.push((approval, decision));
                        stored.deliveries.extend((!closed.by_hand).then(|| over(closed)));
                    }
                }
                return Ok(());
            }
            if let Accepted::New(_) = tx.inbox_accept(inbound, now())? {
                if command::parse(&inbound.text) == Some(command::Command::Stop) {
                    stored.cancelled.push(place.clone());
                }
                stored.woken.insert(place);
            }
        }
        gateway_effect::Effect::Decide { approval, by, decision } => {
            if let Decided::Now(closed) = decide(tx, approval, *decision, by)? {
                stored.decided.push((approval.clone(), *decision));
                stored.deliveries.extend((!closed.by_hand).then(|| over(closed)));
            }
        }
        gateway_effect::Effect::Cancel { conversation, by } => {
            if !door.knows(tx, by)? {
                return door.refused(tx, by, "a stop");
            }
            tracing::info!(instance, conversation, by = by.id, "the turn is stopped");
            stored.cancelled.push(key(conversation));
        }
        gateway_effect::Effect::Settle { delivery, outcome } => {
            if let Some(queued) = tx.outbox_entry(instance, delivery)? {
                let place = key(&queued.delivery.conversation);
                stored.settled.push((place, delivery.clone(), outcome.clone()));
            }
        }
        gateway_effect::Effect::Notice(_) => (),
    }
    Ok(())
}

/// For channels without buttons: the next message may be the answer to the question that is open.
fn answer_in_words(
    tx: &crate::store::Writing<'_>,
    inbound: &Inbound,
) -> Result<Option<(String, Decision)>, StoreError> {
    let decision = match inbound.text.trim().to_lowercase().as_str() {
        "y" | "yes" | "ok" | "allow" => Decision::AllowOnce,
        "s" | "session" | "always" => Decision::AllowSession,
        "n" | "no" | "deny" => Decision::Deny,
        _ => return Ok(None),
    };
    let open = tx.approvals_open(&inbound.instance, &inbound.conversation)?;
    Ok(open.into_iter().find(|approval| approval.owner.id == inbound.sender.id).map(|approval| (approval.id, decision)))
}

fn store_control(
    tx: &mut crate::store::Writing<'_>,
    instance: &str,
    effect: &control_effect::Effect,
    stored: &mut Stored,
) -> Result<(), StoreError> {
    let (conversation, change): (&String, &dyn Fn(&mut crate::store::Session)) = match effect {
        control_effect::Effect::Rename { conversation, title } => {
            (conversation, &|session| session.title.clone_from(title))
        }
        control_effect::Effect::Choose { conversation, model } => {
            (conversation, &|session| session.model = Some(model.clone()))
        }
        control_effect::Effect::Remove { conversation } => {
            if let Some(session) = tx.session_current(instance, conversation)? {
                tx.session_delete(&session.id)?;
                stored.removed.push(Key { instance: instance.into(), conversation: conversation.clone() });
            }
            return Ok(());
        }
    };
    let owner = Sender { id: "owner".into(), name: String::new() };
    let session = tx.session_ensure(instance, conversation, &owner, now())?;
    tx.session_change(&session.id, change)?;
    stored.changed.insert(Key { instance: instance.into(), conversation: conversation.clone() });
    Ok(())
}

#[async_trait]
impl Outlet for Gateway {
    fn enqueued(&self, deliveries: Vec<Delivery>) {
        for delivery in deliveries {
            let key = Key { instance: delivery.instance.clone(), conversation: delivery.conversation.clone() };
            self.with_worker(&key, |worker| worker.push(delivery));
        }
    }

    fn live(&self, key: &Key, live: Option<Arc<Live>>) {
        // Somebody who runs a turn by hand has no channel to show it on.
        if self.channel(&key.instance).is_some() {
            self.with_worker(key, |worker| worker.live(live));
            self.changed(key);
        }
    }

    fn changed(&self, key: &Key) {
        lock(&self.changed).insert(key.clone());
        self.changes.notify_one();
    }

    async fn fetch(&self, instance: &str, reference: &str) -> Result<Media, String> {
        let channel = self.channel(instance).ok_or_else(|| format!("the channel {instance} is gone"))?;
        match channel.fetch(reference).await {
            Ok((media, held)) => {
                self.commit(instance, held).await.map_err(|error| error.to_string())?;
                gateway_effect::checked_media(media).map_err(|error| capability::in_words(&error).to_string())
            }
            Err(failure) => Err(driver::in_words(&failure)),
        }
    }

    fn quit(&self, key: &Key) -> bool {
        let console = self.opened(&key.instance).console;
        if console {
            self.parts.quit.cancel();
        }
        console
    }
}

impl<E> From<crate::runtime::CallError> for Failure<E> {
    fn from(error: crate::runtime::CallError) -> Self {
        Self::Broke(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wit::role::channel::Process;

    fn shell() -> TransportKind {
        TransportKind::Process(Process { command: vec!["/bin/sh".into(), "-c".into(), "id".into()], env: Vec::new() })
    }

    #[test]
    fn a_channel_opens_only_what_its_scope_of_connection_names() {
        let nothing = Grants::default();
        let all = [
            (TransportKind::Http("/".into()), Some("http")),
            (TransportKind::Websocket("/ws".into()), Some("websocket")),
            (TransportKind::Console, Some("console")),
            (shell(), Some("process:/bin/sh")),
            (TransportKind::Dial, None),
            (TransportKind::Poll(0), None),
        ];
        for (kind, missing) in all {
            assert_eq!(beyond(&nothing, &kind), missing.map(str::to_string));
        }
        let granted = Grants::new([("connection".to_string(), vec!["process:/bin/sh".to_string()])]);
        assert_eq!(beyond(&granted, &shell()), None);
        assert_eq!(beyond(&granted, &TransportKind::Console), Some("console".into()));
    }
}
