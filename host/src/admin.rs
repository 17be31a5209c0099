//! The local way into a running host: every command of the command line and the terminal interface is its client.
//!
//! A socket in the home (`admin.sock`, 0600, only for the same user) takes one request per connection, as one line of
//! JSON, and answers with lines of [`Frame`]: any number of responses, then `end` or a refusal. A connection that closes
//! without either was cut off. Without a daemon the command builds a [`Handler`] in its own process and asks that, so a
//! command is written once.

mod about;
mod called;
mod client;
mod installing;
mod model;
mod server;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

pub use about::*;
pub use called::{CallFailure, Called, Denied, FailureKind};
pub use client::{Answers, AskError, Link};
pub use installing::*;
pub use model::*;
pub use server::{BindError, Server};

/// Bytes of a request line; beyond, the connection is closed with a refusal.
pub const REQUEST_MOST: usize = 1 << 20;
/// Bytes of a response line: a message with its files.
pub const RESPONSE_MOST: usize = 128 << 20;

/// Serves requests: the daemon's, or one that a command built for itself.
#[async_trait]
pub trait Handler: Send + Sync {
    /// Answers into `out`, in order. When the asker is gone, `out` says so; what is half done may be finished.
    async fn handle(&self, request: Request, out: ResponseSink) -> Result<(), Refusal>;
}

/// One line of an answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Frame {
    /// There is more to come.
    Response(Box<Response>),
    /// It is not done, and why.
    Refused(Refusal),
    /// It is done.
    End,
}

/// The asker has gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the one who asked is gone")]
pub struct Gone;

/// Takes the responses to one request.
#[derive(Debug, Clone)]
pub struct ResponseSink {
    responses: mpsc::Sender<Response>,
    gone: CancellationToken,
}

impl ResponseSink {
    /// Hands one on; waits while the asker is slow.
    pub async fn send(&self, response: Response) -> Result<(), Gone> {
        tokio::select! {
            biased;
            () = self.gone.cancelled() => Err(Gone),
            sent = self.responses.send(response) => sent.map_err(|_| Gone),
        }
    }

    /// Cancelled when nobody listens any more.
    pub fn gone(&self) -> &CancellationToken {
        &self.gone
    }
}

/// A sink with its other end. `gone` is to be cancelled when that end is dropped.
fn sink() -> (ResponseSink, mpsc::Receiver<Response>) {
    let (responses, receiver) = mpsc::channel(64);
    (ResponseSink { responses, gone: CancellationToken::new() }, receiver)
}

/// A handler that others hold too.
pub type SharedHandler = Arc<dyn Handler>;
