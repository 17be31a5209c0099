//! The sockets, processes and timers that the host owns on behalf of channel instances.
//!
//! A channel says in its `setup` what it wants; [`Hub::reconfigure`] opens it and keeps it open: back-off, heartbeat,
//! limits and health are the same for every messenger. What comes in goes to a [`Receiver`] (the channel driver), what
//! a call held for its connections comes back through [`Hub::apply`]. The component behind an instance can be replaced
//! while its sockets stay open, for nothing here knows a component: only names, frames and outcomes.
//!
//! ```text
//! http::Server ─┬─ request ──────────────▶ Receiver::request
//!               └─ upgrade ─ websocket ─┐
//! dial ───────────────────── websocket ─┤
//! process, console ──────────── lines ──┼─ Link ─▶ Receiver::event     (one at a time for a connection)
//! poll, timer ──────────────────────────┘
//! Hub::apply ─▶ Connection (bounded queue) ─▶ the writing half of the same
//! ```
//!
//! Layering: only leaves (the contract's types, plain data). Egress for `poll` and `dial` comes in as a [`Dialer`].

mod backoff;
mod connection;
mod console;
mod dial;
pub mod http;
mod hub;
mod instance;
mod lines;
mod poll;
mod process;
mod status;
mod timer;
mod websocket;

#[cfg(test)]
mod fake;

use std::time::Duration;

use async_trait::async_trait;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_tungstenite::WebSocketStream;

pub use backoff::{Backoff, random};
pub use console::Console;
pub use hub::{Hub, HubSettings, InstanceOptions, SetupError};
pub use status::{Counts, State, TransportStatus};
pub use websocket::config as websocket_config;

pub use crate::wit::openpista::connection::connection::Frame;
pub use crate::wit::openpista::http::exchange::{Request, Response};
pub use crate::wit::role::channel::{Event, Transport as TransportRequest, TransportKind};
pub use crate::wit::role::http_handler::Incoming;

/// The largest frame in either direction, in bytes.
pub const FRAME_MAX: usize = 10 << 20;

/// What a transport hands to the channel driver.
///
/// Calls for one connection are made one at a time, in order; connections go side by side. The futures of `request` and
/// `next` are dropped when their time is over or nobody waits for them any more; that of `event` only when the daemon
/// ends. What must not be torn apart (commit, then apply) belongs into a task of its own.
#[async_trait]
pub trait Receiver: Send + Sync {
    /// One event. Awaited before the next one of its connection is read, so a slow channel slows its peer, not the
    /// host. Repeating after a failure is the driver's: an outcome is final.
    async fn event(&self, instance: &str, event: Event) -> EventOutcome;

    /// A request under an `http` transport.
    async fn request(&self, instance: &str, incoming: Incoming) -> Result<Response, ReceiverError>;

    /// `outgoing.next`: what a `poll` shall ask, or where a `dial` shall connect to.
    async fn next(&self, instance: &str, transport: &str) -> Result<PreparedRequest, ReceiverError>;
}

/// What became of an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EventOutcome {
    /// Taken, its effects are stored.
    Taken,
    /// Nonsense, or put aside after its attempts: the transport goes on.
    Dropped,
    /// Not taken after all attempts: a poll waits longer and longer, for its answer will come again.
    Unavailable,
    /// The credential is missing or was refused: `poll` and `dial` wait until [`Hub::wake`] or [`Hub::reconfigure`].
    AuthRequired(String),
}

/// Why the driver has no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReceiverError {
    /// As in [`EventOutcome::AuthRequired`].
    #[error("a credential is missing or was refused: {0}")]
    AuthRequired(String),
    /// It may work later.
    #[error("not available: {0}")]
    Unavailable(String),
    /// A trap, a refusal, an error of the channel.
    #[error("{0}")]
    Failed(String),
}

/// A request that went through the egress gate and may now be made, once, in one of two ways. The gate implements it,
/// with what the request needs (grants, secrets, the pinned address) inside.
#[async_trait]
pub trait Dialer: Send {
    /// Makes the request and reads the whole answer, whatever its status.
    async fn poll(self: Box<Self>) -> Result<Response, DialError>;

    /// Opens a websocket, with [`websocket_config`] as its limits.
    async fn dial(self: Box<Self>) -> Result<DialledSocket, DialError>;
}

/// What `outgoing.next` led to.
pub type PreparedRequest = Box<dyn Dialer>;

/// A websocket that was dialled, over whatever the gate connected.
pub type DialledSocket = WebSocketStream<Box<dyn ByteStream>>;

/// A stream of bytes in both directions: TCP, TLS, a pipe in memory.
pub trait ByteStream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> ByteStream for S {}

/// Why a request or a connection out failed. Each is tried again with back-off.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DialError {
    /// The gate refused; the text says what to grant.
    #[error("{0}")]
    AccessDenied(String),
    /// No connection, or it broke.
    #[error("{0}")]
    Unavailable(String),
    /// The server answered a websocket handshake with this instead.
    #[error("the server answered {status} instead of opening a websocket")]
    Status {
        /// Of HTTP.
        status: u16,
        /// It asked to wait so long.
        retry_after: Option<Duration>,
    },
}

/// The lines of what is there as a whole, up to one that is too long: for the fuzzers.
#[cfg(any(test, fuzzing))]
pub fn lines_of(mut bytes: &[u8], most: usize) -> Vec<Vec<u8>> {
    use futures_util::FutureExt as _;
    std::iter::from_fn(|| lines::next(&mut bytes, most).now_or_never()?.ok()?)
        .map(|line| match lines::frame(line) {
            Frame::Text(text) => text.into_bytes(),
            Frame::Binary(bytes) => bytes,
        })
        .collect()
}

/// What of a frame reaches a terminal, and the same without colours: for the fuzzers.
#[cfg(any(test, fuzzing))]
pub fn drawn_of(frame: &str) -> Vec<(String, String)> {
    console::drawn(frame)
}
