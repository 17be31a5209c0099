//! Events of the transports as calls of the channel component.
//!
//! The component is looked up at each event, so what was replaced serves the next one, over the same socket. What a call
//! held is stored before the event counts as taken; an error or a trap discards it and the event is tried again after
//! 1, 5 and 25 s, then put aside.

use std::time::Duration;

use async_trait::async_trait;
use tokio_util::sync::CancellationToken;

use super::Gateway;
use crate::capability::Error;
use crate::capability::http::Outgoing;
use crate::capability::secrets::CallSecrets;
use crate::plugin::channel::{ChannelInstance, Failure};
use crate::store::StoreError;
use crate::transport::{
    DialError, DialledSocket, Dialer, Event, EventOutcome, Incoming, PreparedRequest, Receiver, ReceiverError, Request,
    Response,
};
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

#[async_trait]
impl Receiver for Gateway {
    async fn event(&self, instance: &str, event: Event) -> EventOutcome {
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

    async fn next(&self, instance: &str, transport: &str) -> Result<PreparedRequest, ReceiverError> {
        let gone = || ReceiverError::Unavailable(format!("the channel {instance} is gone"));
        let channel = self.channel(instance).ok_or_else(gone)?;
        let (request, held) = channel.next(transport).await.map_err(|failure| refused(&failure))?;
        let secrets = held.secrets.clone();
        self.commit(instance, held)
            .await
            .map_err(|error| ReceiverError::Unavailable(format!("it cannot be stored: {error}")))?;
        Ok(Box::new(Prepared { channel, request, secrets, cancel: self.stop.child_token() }))
    }
}

/// A request that the channel prepared, to be made through the egress gate with the instance's own scope and secrets.
struct Prepared {
    channel: ChannelInstance,
    request: Request,
    secrets: CallSecrets,
    cancel: CancellationToken,
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
        Err(DialError::Unavailable("joined next".into()))
    }
}
