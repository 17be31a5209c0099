//! For tests: a channel driver in native Rust, with a script, that tells what it saw.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::BoxFuture;
use tokio::sync::{Semaphore, mpsc};
use tokio::time::Instant;

use super::*;
use crate::capability::connection::Effect;
use crate::wit::openpista::connection::connection::Target;

/// An event, without what differs from run to run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Seen {
    Opened { transport: String, path: String },
    Text { transport: String, text: String, tags: Vec<String> },
    Binary { transport: String, bytes: Vec<u8> },
    Closed { transport: String, code: u16, reason: String },
    Answer { transport: String, status: u16, body: String },
    Alarm { name: String, on_connection: bool },
}

impl Seen {
    pub(super) fn opened(transport: &str, path: &str) -> Self {
        Self::Opened { transport: transport.into(), path: path.into() }
    }

    pub(super) fn text(transport: &str, text: &str) -> Self {
        Self::Text { transport: transport.into(), text: text.into(), tags: Vec::new() }
    }

    pub(super) fn closed(transport: &str, code: u16, reason: &str) -> Self {
        Self::Closed { transport: transport.into(), code, reason: reason.into() }
    }

    pub(super) fn answer(transport: &str, status: u16, body: &str) -> Self {
        Self::Answer { transport: transport.into(), status, body: body.into() }
    }

    fn of(event: Event) -> Self {
        match event {
            Event::Opened(opened) => Self::Opened { transport: opened.source.transport, path: opened.path },
            Event::Frame((source, Frame::Text(text))) => {
                Self::Text { transport: source.transport, text, tags: source.tags }
            }
            Event::Frame((source, Frame::Binary(bytes))) => Self::Binary { transport: source.transport, bytes },
            Event::Closed(closed) => {
                Self::Closed { transport: closed.source.transport, code: closed.code, reason: closed.reason }
            }
            Event::Answer(answer) => Self::Answer {
                transport: answer.transport,
                status: answer.response.status,
                body: String::from_utf8(answer.response.body).unwrap(),
            },
            Event::Alarm(alarm) => Self::Alarm { name: alarm.name, on_connection: alarm.source.is_some() },
            Event::Other(other) => panic!("{other:?}"),
        }
    }
}

/// What an attempt of a poll or a dial meets.
#[expect(clippy::large_enum_variant, reason = "a handful of them in a test")]
pub(super) enum Attempt {
    Denied(ReceiverError),
    Answer(Response),
    Fails(DialError),
    Hangs,
    Opens(DialledSocket),
}

type OnEvent = Box<dyn Fn(&Hub, &Event) -> EventOutcome + Send + Sync>;
type OnRequest = Box<dyn Fn(Incoming) -> BoxFuture<'static, Result<Response, ReceiverError>> + Send + Sync>;

pub(super) struct FakeReceiver {
    hub: OnceLock<Weak<Hub>>,
    seen: mpsc::UnboundedSender<Seen>,
    last: AtomicU64,
    on_event: Mutex<OnEvent>,
    on_request: Mutex<OnRequest>,
    attempts: Mutex<VecDeque<Attempt>>,
    asked: Mutex<Vec<u64>>,
    start: Instant,
    /// Each event takes a permit before it is seen.
    pub(super) gate: Semaphore,
}

#[async_trait]
impl Receiver for FakeReceiver {
    async fn event(&self, _: &str, event: Event) -> EventOutcome {
        self.gate.acquire().await.unwrap().forget();
        if let Event::Opened(opened) = &event {
            self.last.store(opened.source.connection, Ordering::SeqCst);
        }
        let outcome = {
            let hub = self.hub.get().and_then(Weak::upgrade).unwrap();
            (self.on_event.lock().unwrap_or_else(PoisonError::into_inner))(&hub, &event)
        };
        let _ = self.seen.send(Seen::of(event));
        outcome
    }

    async fn request(&self, _: &str, incoming: Incoming) -> Result<Response, ReceiverError> {
        let answer = (self.on_request.lock().unwrap())(incoming);
        answer.await
    }

    async fn next(&self, _: &str, _: &str) -> Result<PreparedRequest, ReceiverError> {
        self.asked.lock().unwrap().push(self.start.elapsed().as_millis() as u64);
        let attempt = self.attempts.lock().unwrap().pop_front();
        match attempt {
            None => std::future::pending().await,
            Some(Attempt::Denied(error)) => Err(error),
            Some(attempt) => Ok(Box::new(FakeDialer(attempt))),
        }
    }
}

struct FakeDialer(Attempt);

#[async_trait]
impl Dialer for FakeDialer {
    async fn poll(self: Box<Self>) -> Result<Response, DialError> {
        match self.0 {
            Attempt::Answer(response) => Ok(response),
            Attempt::Fails(error) => Err(error),
            _ => std::future::pending().await,
        }
    }

    async fn dial(self: Box<Self>) -> Result<DialledSocket, DialError> {
        match self.0 {
            Attempt::Opens(socket) => Ok(socket),
            Attempt::Fails(error) => Err(error),
            _ => std::future::pending().await,
        }
    }
}

/// A hub with a fake driver.
pub(super) struct Fake {
    pub(super) hub: Arc<Hub>,
    pub(super) receiver: Arc<FakeReceiver>,
    events: tokio::sync::Mutex<mpsc::UnboundedReceiver<Seen>>,
    folder: tempfile::TempDir,
}

impl Fake {
    pub(super) fn new() -> Self {
        Self::with_console(Err("no console in this test".into()))
    }

    pub(super) fn with_console(console: Result<Console, String>) -> Self {
        let hub = Hub::new(HubSettings { generation: 7, random: || 1.0, console });
        let (seen, events) = mpsc::unbounded_channel();
        let receiver = Arc::new(FakeReceiver {
            hub: OnceLock::new(),
            seen,
            last: AtomicU64::new(0),
            on_event: Mutex::new(Box::new(|_, _| EventOutcome::Taken)),
            on_request: Mutex::new(Box::new(|_| {
                Box::pin(async { Ok(Response { status: 200, headers: Vec::new(), body: b"ok".to_vec() }) })
            })),
            attempts: Mutex::default(),
            asked: Mutex::default(),
            start: Instant::now(),
            gate: Semaphore::new(Semaphore::MAX_PERMITS),
        });
        receiver.hub.set(Arc::downgrade(&hub)).unwrap();
        Self { hub, receiver, events: tokio::sync::Mutex::new(events), folder: tempfile::tempdir().unwrap() }
    }

    /// Frames are sent back.
    pub(super) fn echoing() -> Self {
        let fake = Self::new();
        fake.on_event(|hub, event| {
            if let Event::Frame((source, frame)) = event {
                hub.apply("web", vec![Effect::Send(Target::One(source.connection), frame.clone())]);
            }
            EventOutcome::Taken
        });
        fake
    }

    pub(super) fn on_event(&self, act: impl Fn(&Hub, &Event) -> EventOutcome + Send + Sync + 'static) {
        *self.receiver.on_event.lock().unwrap() = Box::new(act);
    }

    pub(super) fn on_request<F>(&self, act: impl Fn(Incoming) -> F + Send + Sync + 'static)
    where
        F: Future<Output = Result<Response, ReceiverError>> + Send + 'static,
    {
        *self.receiver.on_request.lock().unwrap() = Box::new(move |incoming| Box::pin(act(incoming)));
    }

    pub(super) fn attempts(&self, attempts: Vec<Attempt>) {
        self.receiver.attempts.lock().unwrap().extend(attempts);
    }

    /// When `next` was asked, in ms from the start.
    pub(super) fn asked(&self) -> Vec<u64> {
        self.receiver.asked.lock().unwrap().clone()
    }

    /// Events wait for permits of the gate.
    pub(super) fn shut_gate(&self) {
        self.receiver.gate.forget_permits(Semaphore::MAX_PERMITS);
    }

    pub(super) fn folder(&self) -> PathBuf {
        self.folder.path().join("bridge")
    }

    pub(super) fn options(&self, mount: &str) -> InstanceOptions {
        InstanceOptions { mount: mount.into(), public_url: None, folder: self.folder() }
    }

    pub(super) fn configure(&self, instance: &str, transports: Vec<TransportRequest>) -> Result<(), SetupError> {
        self.mount(instance, &format!("/{instance}"), transports)
    }

    pub(super) fn mount(
        &self,
        instance: &str,
        mount: &str,
        transports: Vec<TransportRequest>,
    ) -> Result<(), SetupError> {
        self.hub.reconfigure(instance, self.receiver.clone(), self.options(mount), transports)
    }

    /// The next event.
    pub(super) async fn seen(&self) -> Seen {
        let mut events = self.events.lock().await;
        tokio::time::timeout(Duration::from_secs(200), events.recv()).await.expect("an event comes").unwrap()
    }

    /// No event has come that was not looked at.
    pub(super) async fn nothing_seen(&self) {
        assert_eq!(self.events.lock().await.try_recv().ok(), None);
    }

    /// The id of the connection that was opened last.
    pub(super) fn last(&self) -> u64 {
        self.receiver.last.load(Ordering::SeqCst)
    }

    /// Returns when this holds.
    pub(super) async fn until(&self, holds: impl Fn(&Hub) -> bool) {
        let looked = async {
            while !holds(&self.hub) {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(200), looked).await.expect("it holds in the end");
    }
}

/// A setup of one transport.
pub(super) fn setup(id: &str, kind: TransportKind) -> Vec<TransportRequest> {
    vec![TransportRequest { id: id.into(), kind }]
}
