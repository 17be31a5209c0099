//! One actor for each conversation: its messages are handled in order, conversations run side by side.
//!
//! An actor takes the oldest message of its conversation from the inbox, answers it with a turn (or does the command
//! that it is), and takes the next. It keeps the session's messages since the last compaction in memory, so a turn costs
//! the same in a long conversation as in a new one. It ends when it has been idle for a while; everything that matters
//! is in the store.

pub mod approver;
pub mod command;
mod discreet;
pub mod journal;
pub mod turn;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::agent::arguments::Schemas;
use crate::agent::context::Past;
use crate::agent::event::{Event, TurnEnd};
use crate::agent::ports::Toolbox;
use crate::agent::{Limits, Model, policy::Rules};
use crate::capability::secrets::Known;
use crate::live::Live;
use crate::message::{Approval, Delivery, Media};
use crate::store::Store;

/// An actor without work ends after this.
const IDLE: Duration = Duration::from_secs(120);
/// A store that cannot be read or written is tried again after this, …
const RETRY: Duration = Duration::from_secs(2);
/// … doubled each time up to this: what is damaged stays so, and each attempt is a line of the log.
const RETRY_MAX: Duration = Duration::from_secs(300);

/// A conversation: the channel instance and its own name for it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key {
    /// The channel instance.
    pub instance: String,
    /// Its conversation.
    pub conversation: String,
}

/// How sessions behave; from the config.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Of each turn.
    pub limits: Limits,
    /// How long a person may think about an approval.
    pub approval_time: Duration,
    /// The person's rules for tools.
    pub rules: Arc<Rules>,
    /// Untrusted content does not make tools ask again.
    pub trust_content: bool,
    /// Who the agent is; goes before all else in the system prompt.
    pub base_prompt: String,
    /// Where tools work.
    pub workspace: String,
}

/// Which models there are; `models` implements it.
#[async_trait]
pub trait Catalogue: Send + Sync {
    /// The session's choice first (or the default), then the fallbacks. Empty: none is set up.
    async fn line_up(&self, chosen: Option<&str>) -> Vec<Model>;
    /// `instance/model` names that can be chosen.
    fn names(&self) -> Vec<String>;
    /// The full name of what a person typed; else a sentence with the nearest.
    fn find(&self, typed: &str) -> Result<String, String>;
}

/// What sessions know of tools beyond the toolbox.
pub trait Power: Send + Sync {
    /// The tool's plugin was granted something that reaches out of its own memory.
    fn powerful(&self, tool: &str) -> bool;
    /// The plugin and the instance that have it: what is allowed of one is not allowed of another that comes to have the
    /// tool's name. None: nobody knows.
    fn owner(&self, tool: &str) -> Option<(String, String)>;
}

/// What skills say to the model.
pub trait Lore: Send + Sync {
    /// The part of the system prompt for a turn that begins now. Cheap: nothing is looked for.
    fn text(&self) -> Arc<str>;
}

/// What sessions need of the way back to the person; `gateway` implements it.
#[async_trait]
pub trait Outlet: Send + Sync {
    /// These are stored now: deliver them.
    fn enqueued(&self, deliveries: Vec<Delivery>);
    /// A turn runs from now on, or none does.
    fn live(&self, key: &Key, live: Option<Arc<Live>>);
    /// The session is new, busy, idle, renamed.
    fn changed(&self, key: &Key);
    /// A file that the channel has to fetch.
    async fn fetch(&self, instance: &str, reference: &str) -> Result<Media, String>;
    /// Somebody at this machine asked for the daemon's end (`/quit`).
    fn quit(&self, key: &Key) -> bool;
}

/// What a turn says to somebody who runs it by hand (`run -e`).
#[derive(Debug, Clone)]
pub enum Tapped {
    /// The agent's events.
    Event(Event),
    /// An approval waits.
    Ask(Box<Approval>),
    /// The turn is over.
    End(TurnEnd),
    /// The host's own words: the answer to a command.
    Notice(String),
}

/// Takes what a turn says; must not block.
pub type Tap = Arc<dyn Fn(Tapped) + Send + Sync>;

/// What all actors share.
pub struct Desk {
    /// Everything that matters.
    pub store: Store,
    /// All tools.
    pub toolbox: Arc<dyn Toolbox>,
    /// Which of them have power.
    pub power: Arc<dyn Power>,
    /// All models.
    pub catalogue: Arc<dyn Catalogue>,
    /// All skills.
    pub lore: Arc<dyn Lore>,
    /// Compiled schemas.
    pub schemas: Arc<Schemas>,
    /// The config.
    pub settings: Settings,
    /// The way back.
    pub outlet: Arc<dyn Outlet>,
    /// Every secret, so that none is shown.
    pub known: Arc<Known>,
    /// Who waits for a decision, by approval.
    pub waiting: approver::Waiting,
}

/// All actors.
pub struct Sessions {
    desk: Arc<Desk>,
    actors: Mutex<HashMap<Key, Actor>>,
    tasks: TaskTracker,
    stop: CancellationToken,
}

struct Actor {
    wake: Arc<Notify>,
    running: Arc<Mutex<Option<Running>>>,
    tap: Arc<Mutex<Option<Tapping>>>,
}

/// Somebody follows the answer to one message.
#[derive(Clone)]
struct Tapping {
    /// The message's id.
    message: String,
    tap: Tap,
}

/// The turn that an actor runs.
#[derive(Clone)]
struct Running {
    cancel: CancellationToken,
    live: Arc<Live>,
    session: String,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Sessions {
    /// No actor runs yet.
    pub fn new(desk: Arc<Desk>) -> Arc<Self> {
        Arc::new(Self { desk, actors: Mutex::default(), tasks: TaskTracker::new(), stop: CancellationToken::new() })
    }

    /// What all actors share.
    pub fn desk(&self) -> &Arc<Desk> {
        &self.desk
    }

    /// There is something in the conversation's inbox.
    pub fn wake(self: &Arc<Self>, key: &Key) {
        self.actor(key, None);
    }

    /// As `wake`, and everything that is said about the message of this id goes to the tap, and not to the channel.
    pub fn wake_with(self: &Arc<Self>, key: &Key, message: String, tap: Tap) {
        self.actor(key, Some(Tapping { message, tap }));
    }

    fn actor(self: &Arc<Self>, key: &Key, tap: Option<Tapping>) {
        if self.stop.is_cancelled() {
            return;
        }
        let mut actors = lock(&self.actors);
        let actor = actors.entry(key.clone()).or_insert_with(|| {
            let actor = Actor { wake: Arc::default(), running: Arc::default(), tap: Arc::default() };
            let (sessions, key) = (Arc::clone(self), key.clone());
            let (wake, running, tap) = (Arc::clone(&actor.wake), Arc::clone(&actor.running), Arc::clone(&actor.tap));
            self.tasks.spawn(async move { sessions.act(key, &wake, &running, &tap).await });
            actor
        });
        if tap.is_some() {
            *lock(&actor.tap) = tap;
        }
        actor.wake.notify_one();
    }

    /// Stops the turn of a conversation; whether one ran.
    pub fn cancel(&self, key: &Key) -> bool {
        let actors = lock(&self.actors);
        let running = actors.get(key).and_then(|actor| lock(&actor.running).clone());
        running.inspect(|running| running.cancel.cancel()).is_some()
    }

    /// Stops every turn, or that of one session; the sessions of those that ran.
    pub fn cancel_all(&self, session: Option<&str>) -> Vec<String> {
        let actors = lock(&self.actors);
        let running = actors.values().filter_map(|actor| lock(&actor.running).clone());
        running
            .filter(|running| session.is_none_or(|session| running.session == session))
            .map(|running| {
                running.cancel.cancel();
                running.session
            })
            .collect()
    }

    /// The turn that runs in a conversation.
    pub fn running(&self, key: &Key) -> Option<Arc<Live>> {
        let actors = lock(&self.actors);
        actors.get(key).and_then(|actor| lock(&actor.running).as_ref().map(|running| Arc::clone(&running.live)))
    }

    /// Turns that run now.
    pub fn busy(&self) -> usize {
        lock(&self.actors).values().filter(|actor| lock(&actor.running).is_some()).count()
    }

    /// Ends all actors. Turns that run are left where they are: they are journalled and go on at the next start.
    pub async fn shutdown(&self) {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }

    /// Before the next attempt, which the next message begins at once. The end of the daemon is not held up.
    async fn wait(&self, wake: &Notify, pause: &mut Duration) {
        tokio::select! {
            () = self.stop.cancelled() => (),
            () = wake.notified() => (),
            () = tokio::time::sleep(*pause) => (),
        }
        *pause = pause.saturating_mul(2).min(RETRY_MAX);
    }

    async fn act(
        self: Arc<Self>,
        key: Key,
        wake: &Notify,
        running: &Arc<Mutex<Option<Running>>>,
        tap: &Arc<Mutex<Option<Tapping>>>,
    ) {
        let mut cache = None;
        let mut pause = RETRY;
        loop {
            let next = self.desk.store.read(|tx| tx.inbox_next(&key.instance, &key.conversation));
            match next {
                Ok(Some(entry)) => {
                    let tapping = lock(tap).clone().filter(|tapping| tapping.message == entry.inbound.id);
                    let said = tapping.map(|tapping| tapping.tap);
                    let work = turn::answer(&self.desk, &key, entry, running, said.as_ref(), &mut cache);
                    let done = tokio::select! {
                        // At the daemon's end the turn is dropped with what it runs; the journal has the rest.
                        () = self.stop.cancelled() => return,
                        done = work => done,
                    };
                    *lock(running) = None;
                    self.desk.outlet.live(&key, None);
                    match done {
                        Ok(()) => pause = RETRY,
                        Err(error) => {
                            tracing::error!(conversation = key.conversation, "a message waits: {error:#}");
                            cache = None;
                            self.wait(wake, &mut pause).await;
                        }
                    }
                    continue;
                }
                Ok(None) => (),
                Err(error) => {
                    tracing::error!("the inbox cannot be read: {error}");
                    if self.stop.is_cancelled() {
                        return;
                    }
                    self.wait(wake, &mut pause).await;
                    continue;
                }
            }
            tokio::select! {
                () = self.stop.cancelled() => return,
                () = wake.notified() => (),
                () = tokio::time::sleep(IDLE) => {
                    let mut actors = lock(&self.actors);
                    // A wake that came since is not lost: it is either seen here, or finds no actor and starts one.
                    let woken = futures_util::FutureExt::now_or_never(wake.notified()).is_some();
                    if !woken {
                        actors.remove(&key);
                        return;
                    }
                }
            }
        }
    }
}

/// What an actor remembers between turns.
pub struct Cache {
    /// The session.
    pub session: String,
    /// Its messages since the last compaction.
    pub past: Past,
}
