//! `openpista:connection`: sending to, naming and closing a channel's connections. Everything that changes is held.

use std::sync::Arc;

use super::{Error, View};
use crate::wit::openpista::connection::connection::{Frame, Host, Target};

const FRAME_MAX: usize = 10 << 20;
const TAGS_MAX: usize = 8;
const TAG_MAX: usize = 256;
const ALARM_MIN_MS: u64 = 100;

/// One held change.
#[derive(Debug, Clone, PartialEq)]
pub enum Effect {
    /// Queue a frame.
    Send(Target, Frame),
    /// Close after what was queued.
    Close {
        /// Which.
        id: u64,
        /// As in a websocket's close frame.
        code: u16,
        /// For the peer.
        reason: String,
    },
    /// Replace the tags.
    Tag(u64, Vec<String>),
    /// An event later.
    Alarm {
        /// The same name replaces it.
        name: String,
        /// From when the call returned.
        after_ms: u64,
        /// Ends with that connection.
        on: Option<u64>,
    },
}

/// What is open; `transport` implements it.
pub trait Connections: Send + Sync {
    /// The connection is open and belongs to the instance.
    fn is_open(&self, instance: &str, id: u64) -> bool;
    /// The open connections with this tag.
    fn tagged(&self, instance: &str, tag: &str) -> Vec<u64>;
    /// The public address of an `http` transport, if the person configured one.
    fn public_url(&self, instance: &str, transport: &str) -> Option<String>;
    /// A call is going to tag the connection: what is sent to these tags from now on is kept for it.
    fn join(&self, instance: &str, id: u64, tags: &[String]);
    /// The call is over, whether it had the tags set or not; said once for each `join`.
    fn joined(&self, instance: &str, id: u64);
}

/// A connection that a call is going to tag. Tags take effect when the call is over, and it may read before what was
/// said until now; what is sent between both waits here, and comes behind what the call itself sends.
pub struct Joining {
    connections: Arc<dyn Connections>,
    instance: String,
    id: u64,
}

impl Drop for Joining {
    fn drop(&mut self) {
        self.connections.joined(&self.instance, self.id);
    }
}

impl View<'_> {
    /// `connection` works in a channel's calls only.
    pub(super) fn in_channel(&self, capability: &str) -> Result<(), Error> {
        let operation = self.call.caller.operation;
        let channel = ["channel.", "outgoing.", "http-handler.", "attachments.", "approvals.", "observer."];
        if channel.iter().any(|role| operation.starts_with(role)) {
            Ok(())
        } else {
            Err(Error::AccessDenied(format!("{capability} is for a channel's calls, this is {operation}")))
        }
    }

    fn open_connection(&self, id: u64) -> Result<(), Error> {
        self.in_channel("connection")?;
        if self.call.services.connections.is_open(&self.call.caller.instance, id) {
            Ok(())
        } else {
            Err(Error::NotFound(format!("connection {id} is closed")))
        }
    }

    fn hold_connection(&mut self, effect: Effect) -> Result<(), Error> {
        let bytes = match &effect {
            Effect::Send(_, Frame::Text(text)) => text.len(),
            Effect::Send(_, Frame::Binary(bytes)) => bytes.len(),
            Effect::Close { reason, .. } => reason.len(),
            Effect::Tag(_, tags) => tags.iter().map(String::len).sum(),
            Effect::Alarm { name, .. } => name.len(),
        };
        self.call.held.hold(super::Effect::Connection(effect), bytes)
    }
}

impl Host for View<'_> {
    async fn send(&mut self, to: Target, frame: Frame) -> wasmtime::Result<Result<(), Error>> {
        let size = match &frame {
            Frame::Text(text) => text.len(),
            Frame::Binary(bytes) => bytes.len(),
        };
        if size > FRAME_MAX {
            return Ok(Err(Error::TooLarge(format!("a frame has at most {FRAME_MAX} bytes"))));
        }
        let there = match &to {
            Target::One(id) => self.open_connection(*id),
            Target::Tagged(_) => self.in_channel("connection"),
        };
        Ok(there.and_then(|()| self.hold_connection(Effect::Send(to, frame))))
    }

    async fn close(&mut self, id: u64, code: u16, reason: String) -> wasmtime::Result<Result<(), Error>> {
        Ok(self.open_connection(id).and_then(|()| self.hold_connection(Effect::Close { id, code, reason })))
    }

    async fn tag(&mut self, id: u64, tags: Vec<String>) -> wasmtime::Result<Result<(), Error>> {
        if tags.len() > TAGS_MAX || tags.iter().any(|tag| tag.len() > TAG_MAX) {
            let why = format!("a connection has at most {TAGS_MAX} tags of {TAG_MAX} bytes");
            return Ok(Err(Error::TooLarge(why)));
        }
        Ok(self.open_connection(id).and_then(|()| {
            let (connections, instance) =
                (Arc::clone(&self.call.services.connections), self.call.caller.instance.clone());
            connections.join(&instance, id, &tags);
            self.call.held.joining.push(Joining { connections, instance, id });
            self.hold_connection(Effect::Tag(id, tags))
        }))
    }

    async fn tagged(&mut self, tag: String) -> wasmtime::Result<Result<Vec<u64>, Error>> {
        Ok(self
            .in_channel("connection")
            .map(|()| self.call.services.connections.tagged(&self.call.caller.instance, &tag)))
    }

    async fn alarm(&mut self, name: String, after_ms: u64, on: Option<u64>) -> wasmtime::Result<Result<(), Error>> {
        if name.len() > TAG_MAX {
            return Ok(Err(Error::TooLarge(format!("an alarm's name has at most {TAG_MAX} bytes"))));
        }
        if after_ms < ALARM_MIN_MS {
            return Ok(Err(Error::Invalid(format!("an alarm is at least {ALARM_MIN_MS} ms away"))));
        }
        let there = on.map_or_else(|| self.in_channel("connection"), |id| self.open_connection(id));
        Ok(there.and_then(|()| self.hold_connection(Effect::Alarm { name, after_ms, on })))
    }

    async fn public_url(&mut self, transport: String) -> wasmtime::Result<Option<String>> {
        Ok(self.call.services.connections.public_url(&self.call.caller.instance, &transport))
    }
}
