//! Events of the transports as calls of the channel component.
//!
//! The component is looked up at each event, so what was replaced serves the next one, over the same socket. What a call
//! held is stored before the event counts as taken; an error or a trap discards it and the event is tried again after
//! 1, 5 and 25 s, then put aside.

use std::sync::{Arc, Weak};
use std::time::Duration;

use async_trait::async_trait;
use tokio_util::sync::CancellationToken;

use super::{Gateway, lock};
use crate::capability::Error;
use crate::capability::connection;
use crate::capability::http::{Outgoing, SocketError, Target as HttpTarget};
use crate::capability::secrets::{CallSecrets, Redactor};
use crate::plugin::channel::{ChannelInstance, Failure};
use crate::store::StoreError;
use crate::transport::{
    ByteStream, DialError, Dialer, DialledSocket, Event, EventOutcome, Frame, Incoming, PreparedRequest, Receiver,
    ReceiverError, Request, Response, websocket_config,
};
use crate::wit::openpista::connection::connection::Target;
use crate::wit::role::channel::ChannelError;

/// An event that failed is tried again after these.
const AGAIN: [Duration; 3] = [Duration::from_secs(1), Duration::from_secs(5), Duration::from_secs(25)];

/// Why a call gave no answer, for a person.
pub(super) fn in_words(failure: &Failure<ChannelError>) -> String {
    match failure {
        Failure::Said(error) => match error {
            ChannelError::AuthRequired(why) => format!("a credential is missing or was refused: {why}"),
            ChannelError::AccessDenied(why)
            | ChannelError::Malformed(why)
            | ChannelError::Unavailable(why)
            | ChannelError::Other(why) => why.clone(),
        },
        Failure::Broke(error) => error.to_string(),
    }
}

/// What came of one attempt.
enum Attempt {
    Over(EventOutcome),
    Again(String),
}

impl Gateway {
    async fn attempt(&self, instance: &str, event: &Event) -> Attempt {
        let Some(channel) = self.channel(instance) else {
            return Attempt::Again(format!("the channel {instance} is gone"));
        };
        let failure = match channel.receive(event).await {
            Ok(((), held)) => match self.commit(instance, held).await {
                Ok(()) => return Attempt::Over(EventOutcome::Taken),
                // Another call wrote the key that this one compared: it sees the new value at the next attempt.
                Err(error @ StoreError::Conflict { .. }) => return Attempt::Again(error.to_string()),
                Err(error) => return Attempt::Again(format!("it cannot be stored: {error}")),
            },
            Err(failure) => failure,
        };
        match failure {
            Failure::Said(ChannelError::Malformed(why)) => {
                tracing::warn!(instance, "an event was nonsense: {why}");
                Attempt::Over(EventOutcome::Dropped)
            }
            Failure::Said(ChannelError::AuthRequired(why)) => {
                tracing::error!(instance, "a credential is missing or was refused: {why}");
                Attempt::Over(EventOutcome::AuthRequired(why))
            }
            failure => Attempt::Again(in_words(&failure)),
        }
    }
}

fn refused(failure: &Failure<ChannelError>) -> ReceiverError {
    let words = in_words(failure);
    match failure {
        Failure::Said(ChannelError::AuthRequired(_)) => ReceiverError::AuthRequired(words),
        Failure::Said(ChannelError::Unavailable(_)) => ReceiverError::Unavailable(words),
        _ => ReceiverError::Failed(words),
    }
}

impl Gateway {
    /// Secrets for the frames that a call sends to dialled connections. A frame that would carry one elsewhere is not
    /// sent.
    pub(super) fn fill_frames(&self, instance: &str, secrets: &CallSecrets, effects: &mut Vec<connection::Effect>) {
        if lock(&self.peers).is_empty() {
            return;
        }
        effects.retain_mut(|effect| {
            let connection::Effect::Send(Target::One(id), Frame::Text(text)) = effect else { return true };
            let Some(transport) = self.parts.hub.transport_of(instance, *id) else { return true };
            let peers = lock(&self.peers);
            let Some(peer) = peers.get(&(instance.to_string(), transport)) else { return true };
            match secrets.fill_frame(&peer.target, std::mem::take(text)) {
                Ok(filled) => {
                    *text = filled;
                    true
                }
                Err(error) => {
                    tracing::error!(instance, "a frame is not sent: {error}");
                    false
                }
            }
        });
    }

    /// What a dialled peer sends back never shows a secret to the guest.
    fn cleaned(&self, instance: &str, event: Event) -> Event {
        let Event::Frame((source, frame)) = event else { return event };
        let redactor = {
            let peers = lock(&self.peers);
            peers.get(&(instance.to_string(), source.transport.clone())).map(|peer| Arc::clone(&peer.redactor))
        };
        let frame = match (redactor, frame) {
            (None, frame) => frame,
            (Some(redactor), Frame::Text(text)) => Frame::Text(redactor.clean(&text)),
            (Some(redactor), Frame::Binary(bytes)) => Frame::Binary(redactor.clean_bytes(&bytes)),
        };
        Event::Frame((source, frame))
    }
}

#[async_trait]
impl Receiver for Gateway {
    async fn event(&self, instance: &str, event: Event) -> EventOutcome {
        let event = self.cleaned(instance, event);
        let mut pauses = AGAIN.into_iter();
        loop {
            match self.attempt(instance, &event).await {
                Attempt::Over(outcome) => return outcome,
                Attempt::Again(why) => match pauses.next() {
                    Some(pause) => {
                        tracing::warn!(instance, "an event is tried again in {} s: {why}", pause.as_secs());
                        tokio::time::sleep(pause).await;
                    }
                    None => {
                        tracing::error!(instance, "an event is put aside: {why}");
                        return EventOutcome::Unavailable;
                    }
                },
            }
        }
    }

    async fn request(&self, instance: &str, incoming: Incoming) -> Result<Response, ReceiverError> {
        let me = self.me.upgrade().ok_or_else(|| ReceiverError::Unavailable("the host is ending".into()))?;
        let instance = instance.to_string();
        // The transport drops its future when the client leaves; what a call held must not be torn apart.
        let task = tokio::spawn(async move { me.answer(&instance, incoming).await });
        task.await.unwrap_or_else(|error| Err(ReceiverError::Failed(format!("the channel's call broke: {error}"))))
    }

    async fn next(&self, instance: &str, transport: &str) -> Result<PreparedRequest, ReceiverError> {
        let me = self.me.upgrade().ok_or_else(|| ReceiverError::Unavailable("the host is ending".into()))?;
        let (instance, transport) = (instance.to_string(), transport.to_string());
        let task = tokio::spawn(async move { me.prepare(&instance, &transport).await });
        task.await.unwrap_or_else(|error| Err(ReceiverError::Failed(format!("the channel's call broke: {error}"))))
    }
}

impl Gateway {
    async fn answer(&self, instance: &str, incoming: Incoming) -> Result<Response, ReceiverError> {
        let gone = || ReceiverError::Unavailable(format!("the channel {instance} is gone"));
        let channel = self.channel(instance).ok_or_else(gone)?;
        match channel.handle(&incoming).await {
            Ok((response, held)) => {
                self.commit(instance, held)
                    .await
                    .map_err(|error| ReceiverError::Unavailable(format!("it cannot be stored: {error}")))?;
                Ok(response)
            }
            Err(failure) => {
                tracing::warn!(instance, "a request failed: {}", in_words(&failure));
                Err(refused(&failure))
            }
        }
    }

    async fn prepare(&self, instance: &str, transport: &str) -> Result<PreparedRequest, ReceiverError> {
        let gone = || ReceiverError::Unavailable(format!("the channel {instance} is gone"));
        let channel = self.channel(instance).ok_or_else(gone)?;
        let (request, held) = channel.next(transport).await.map_err(|failure| refused(&failure))?;
        let secrets = held.secrets.clone();
        self.commit(instance, held)
            .await
            .map_err(|error| ReceiverError::Unavailable(format!("it cannot be stored: {error}")))?;
        let cancel = self.stop.child_token();
        let (gateway, transport) = (self.me.clone(), transport.to_string());
        Ok(Box::new(Prepared { gateway, transport, channel, request, secrets, cancel }))
    }
}

/// A request that the channel prepared, to be made through the egress gate with the instance's own scope and secrets.
struct Prepared {
    gateway: Weak<Gateway>,
    transport: String,
    channel: ChannelInstance,
    request: Request,
    secrets: CallSecrets,
    cancel: CancellationToken,
}

/// Who is at the other end of a dialled connection: frames to it may hold secrets, frames from it are cleaned of them.
pub(super) struct Peer {
    target: HttpTarget,
    redactor: Arc<Redactor>,
}

/// An answer to a poll may take so long.
const POLL: Duration = Duration::from_secs(120);

impl Prepared {
    fn outgoing(&self) -> Outgoing<'_> {
        Outgoing {
            instance: &self.channel.instance.name,
            scope: self.channel.instance.grants.scope("http").unwrap_or_default(),
            secrets: &self.secrets,
            cancel: &self.cancel,
        }
    }
}

fn failed(error: Error) -> DialError {
    match error {
        Error::AccessDenied(why) => DialError::AccessDenied(why),
        error => DialError::Unavailable(error.to_string()),
    }
}

#[async_trait]
impl Dialer for Prepared {
    async fn poll(self: Box<Self>) -> Result<Response, DialError> {
        let egress = &self.channel.host.services.http;
        egress.request(self.outgoing(), self.request.clone(), POLL).await.map_err(failed)
    }

    async fn dial(self: Box<Self>) -> Result<DialledSocket, DialError> {
        let egress = &self.channel.host.services.http;
        let boxed = |stream| Box::new(stream) as Box<dyn ByteStream>;
        let dialled = egress.dial(self.outgoing(), self.request.clone(), websocket_config(), boxed).await;
        let dialled = dialled.map_err(|error| match error {
            SocketError::Gate(error) => failed(error),
            SocketError::Status { status, retry_after } => DialError::Status { status, retry_after },
        })?;
        if let Some(gateway) = self.gateway.upgrade() {
            let peer = Peer { target: dialled.target, redactor: dialled.redactor };
            lock(&gateway.peers).insert((self.channel.instance.name.clone(), self.transport.clone()), peer);
        }
        Ok(dialled.socket)
    }
}
