//! Events of the transports as calls of the channel component.
//!
//! The component is looked up at each event, so what was replaced serves the next one, over the same socket. What a call
//! held is stored before the event counts as taken; an error or a trap discards it and the event is tried again after
//! 1, 5 and 25 s, then put aside. While the channel itself is set aside its events wait.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::Duration;

use async_trait::async_trait;
use tokio_util::sync::CancellationToken;

use super::{Gateway, lock};
use crate::capability::http::{Outgoing, SocketError, Target as HttpTarget};
use crate::capability::secrets::{CallSecrets, Redactor};
use crate::capability::{self, Error, connection};
use crate::plugin::channel::{ChannelInstance, Failure};
use crate::plugin::record::Record;
use crate::runtime::CallError;
use crate::store::StoreError;
use crate::transport::{
    ByteStream, DialError, Dialer, DialledSocket, Event, EventOutcome, Frame, Incoming, PreparedRequest, Receiver,
    ReceiverError, Request, Response, TransportKind, TransportRequest, websocket_config,
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
    /// The channel is set aside.
    NotNow(Arc<Record>),
}

impl Gateway {
    async fn attempt(&self, instance: &str, event: &Event, number: u64) -> Attempt {
        let Some(channel) = self.channel(instance) else {
            return Attempt::Again(format!("the channel {instance} is gone"));
        };
        let failure = match channel.receive(event, number).await {
            Ok(((), held)) => match self.commit(instance, held).await {
                Ok(()) => return Attempt::Over(EventOutcome::Taken),
                // Another call wrote the key that this one compared: it sees the new value at the next attempt.
                Err(error @ StoreError::Conflict { .. }) => return Attempt::Again(error.to_string()),
                Err(error) => return Attempt::Again(format!("it cannot be stored: {error}")),
            },
            Err(failure) => failure,
        };
        match failure {
            Failure::Broke(CallError::Aside { .. }) => Attempt::NotNow(Arc::clone(&channel.instance.record)),
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
        Failure::Said(ChannelError::Unavailable(_)) | Failure::Broke(CallError::Aside { .. }) => {
            ReceiverError::Unavailable(words)
        }
        _ => ReceiverError::Failed(words),
    }
}

/// Puts secrets in the place of stand-ins, where the manifest declares it; the processes by their transports.
fn fill_environments(
    secrets: &CallSecrets,
    transports: &mut [TransportRequest],
) -> Result<Vec<(String, Peer)>, String> {
    let mut processes = Vec::new();
    for transport in transports {
        let TransportKind::Process(process) = &mut transport.kind else { continue };
        let command = process.command.first().cloned().unwrap_or_default();
        for (variable, value) in &mut process.env {
            let filled = secrets.fill_environment(&command, variable, std::mem::take(value));
            *value = filled.map_err(|error| capability::in_words(&error).to_string())?;
        }
        let redactor = secrets.instance().redactor_from_command(&command).map_err(|error| error.to_string())?;
        processes.push((transport.id.clone(), Peer { target: None, redactor }));
    }
    Ok(processes)
}

impl Gateway {
    /// Prepares what a channel's setup names: its processes get their secrets, and what they say is cleaned of them from
    /// then on. Whoever was at the other end of a transport that is no more is forgotten: one of the same name may lead
    /// to a stranger.
    pub(super) fn prepare_transports(
        &self,
        instance: &str,
        secrets: &CallSecrets,
        transports: &mut [TransportRequest],
    ) -> Result<(), String> {
        let processes = fill_environments(secrets, transports)?;
        let mut peers = lock(&self.peers);
        let dialled = |id: &str| transports.iter().any(|one| one.id == id && matches!(one.kind, TransportKind::Dial));
        peers.retain(|(of, transport), _| of != instance || dialled(transport));
        peers.extend(processes.into_iter().map(|(transport, peer)| ((instance.to_string(), transport), peer)));
        Ok(())
    }

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
            let peer = peers.get(&(instance.to_string(), transport));
            let Some(target) = peer.and_then(|peer| peer.target.as_ref()) else { return true };
            match secrets.fill_frame(target, std::mem::take(text)) {
                Ok(filled) => {
                    *text = filled;
                    true
                }
                Err(error) => {
                    tracing::error!(instance, "a frame is not sent: {}", capability::in_words(&error));
                    false
                }
            }
        });
    }

    /// What a dialled peer or a bridge process sends back never shows a secret to the guest.
    fn cleaned(&self, instance: &str, event: Event) -> Event {
        let redactor = |transport: &str| {
            let peers = lock(&self.peers);
            peers.get(&(instance.to_string(), transport.to_string())).map(|peer| Arc::clone(&peer.redactor))
        };
        let (source, frame) = match event {
            Event::Frame(frame) => frame,
            // The peer chose the reason.
            Event::Closed(mut closed) => {
                if let Some(redactor) = redactor(&closed.source.transport) {
                    closed.reason = redactor.clean(&closed.reason);
                }
                return Event::Closed(closed);
            }
            event => return event,
        };
        let frame = match (redactor(&source.transport), frame) {
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
        let number = self.events.fetch_add(1, Ordering::Relaxed);
        loop {
            match self.attempt(instance, &event, number).await {
                Attempt::Over(outcome) => return outcome,
                // It is nobody's attempt: the event waits, and what comes behind it on its connection.
                Attempt::NotNow(record) => tokio::select! {
                    () = record.returns() => (),
                    () = self.stop.cancelled() => return EventOutcome::Unavailable,
                },
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

/// Who is at the other end of a connection and was given secrets: frames from it are cleaned of them.
pub(super) struct Peer {
    /// For a dialled one: frames to it may hold secrets. A process has its own in its environment.
    target: Option<HttpTarget>,
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
        error => DialError::Unavailable(capability::in_words(&error).to_string()),
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
            let peer = Peer { target: Some(dialled.target), redactor: dialled.redactor };
            lock(&gateway.peers).insert((self.channel.instance.name.clone(), self.transport.clone()), peer);
        }
        Ok(dialled.socket)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capability::secrets::{Declared, InstanceSecrets, SecretValue, Use};
    use crate::wit::role::channel::Process;

    fn secrets() -> CallSecrets {
        let uses = vec![Use::Environment { command: "bridge".into(), name: "TOKEN".into() }];
        let declared = Declared { name: "key".into(), uses, optional: false };
        let value = SecretValue::new("correct-horse").unwrap();
        CallSecrets::new(Arc::new(InstanceSecrets::new("shop", [(declared, Some(value))]).unwrap()))
    }

    fn process(command: &str, variable: &str, value: &str) -> TransportRequest {
        let env = vec![("LEVEL".into(), "1".into()), (variable.to_string(), value.to_string())];
        TransportRequest {
            id: "line".into(),
            kind: TransportKind::Process(Process { command: vec![command.into(), "-v".into()], env }),
        }
    }

    #[test]
    fn a_bridge_gets_its_secret_where_the_manifest_says_so_and_cannot_tell_it_back() {
        let secrets = secrets();
        let stand_in = secrets.stand_in("key").unwrap();
        let mut transports = [process("bridge", "TOKEN", &stand_in)];
        let peers = fill_environments(&secrets, &mut transports).unwrap();
        let TransportKind::Process(filled) = &transports[0].kind else { panic!("{transports:?}") };
        assert_eq!(filled.env, [("LEVEL".into(), "1".into()), ("TOKEN".into(), "correct-horse".into())]);
        let [(transport, peer)] = peers.as_slice() else { panic!("{}", peers.len()) };
        assert_eq!((transport.as_str(), peer.target.is_none()), ("line", true));
        assert_eq!(peer.redactor.clean("hello correct-horse"), "hello [secret key]");
        for mut stranger in [process("other", "TOKEN", &stand_in), process("bridge", "OTHER", &stand_in)] {
            let refused = fill_environments(&secrets, std::slice::from_mut(&mut stranger)).map(|_| ());
            assert!(refused.as_ref().is_err_and(|why| why.contains("the manifest does not declare")), "{refused:?}");
        }
    }
}
