//! A websocket that the host dials and keeps: ask the channel where to, connect, serve it, connect again with back-off.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, timeout};

use super::connection::{End, Transport, code};
use super::instance::Instance;
use super::status::State;
use super::{Backoff, DialError, DialledSocket, EventOutcome, ReceiverError, websocket};

/// How long connecting may take, TLS and handshake included.
const CONNECT_WITHIN: Duration = Duration::from_secs(30);
/// A connection that held for so long was a good one: the next wait is short. A server that takes us and throws us out
/// again at once is not hammered.
const STEADY: Duration = Duration::from_secs(30);

/// What an attempt leads to.
enum Next {
    /// Again after so long at least; none: as back-off says.
    Wait(Option<Duration>, String),
    /// The channel closed a good connection, by which it means to reconnect: at once, for what comes meanwhile would wait.
    Again,
    /// When a credential came.
    Credential(String),
}

/// Keeps a connection for as long as the transport is wanted.
pub(super) async fn run(instance: &Arc<Instance>, transport: &Arc<Transport>, random: fn() -> f64) {
    let mut backoff = Backoff::new(random);
    loop {
        let connected = tokio::select! {
            biased;
            () = transport.stop.cancelled() => return,
            connected = connect(instance, transport) => connected,
        };
        let next = match connected {
            Ok(socket) => {
                let began = Instant::now();
                let next = serve(instance, transport, socket).await;
                if began.elapsed() >= STEADY {
                    backoff.reset();
                }
                match next {
                    Next::Again if began.elapsed() < STEADY => Next::Wait(None, "the channel closed it".to_owned()),
                    next => next,
                }
            }
            Err(next) => next,
        };
        let wanted = match next {
            Next::Wait(asked, reason) => {
                transport.back_off(asked.unwrap_or_else(|| backoff.after_failure()), reason).await
            }
            Next::Again => {
                transport.health.set(State::Starting);
                !transport.stop.is_cancelled()
            }
            Next::Credential(reason) => {
                backoff.reset();
                transport.wait_for_credential(reason).await
            }
        };
        if !wanted {
            return;
        }
    }
}

async fn connect(instance: &Instance, transport: &Transport) -> Result<DialledSocket, Next> {
    let prepared = instance.receiver().next(&instance.name, &transport.id).await.map_err(|error| match error {
        ReceiverError::AuthRequired(reason) => Next::Credential(reason),
        other => Next::Wait(None, other.to_string()),
    })?;
    match timeout(CONNECT_WITHIN, prepared.dial()).await {
        Ok(Ok(socket)) => Ok(socket),
        Ok(Err(error)) => {
            let asked = match &error {
                DialError::Status { retry_after, .. } => *retry_after,
                _ => None,
            };
            Err(Next::Wait(asked, error.to_string()))
        }
        Err(_) => Err(Next::Wait(None, "the server could not be reached within 30 s".to_owned())),
    }
}

async fn serve(instance: &Arc<Instance>, transport: &Arc<Transport>, socket: DialledSocket) -> Next {
    let (link, outgoing) = instance.open(transport);
    transport.health.set(State::Open);
    transport.health.progressed();
    let opened = link.opened(None, String::new(), Vec::new()).await;
    let refused = match &opened {
        EventOutcome::Taken => None,
        EventOutcome::AuthRequired(reason) => Some(reason.clone()),
        EventOutcome::Dropped | EventOutcome::Unavailable => {
            Some("the channel could not take the connection".to_owned())
        }
    };
    if let Some(reason) = refused {
        link.connection.end(End::new(code::NORMAL, reason));
    }
    let (end, auth_required) = websocket::serve(socket, &link, outgoing, false).await;
    let reason = format!("the connection ended with {}: {}", end.code, end.reason);
    let by_channel = link.connection.is_closing() && end.code != code::OVERLOAD;
    // What a server closes with may say that a person has to do something.
    let closed = link.closed(end).await;
    match (opened, auth_required, closed) {
        (EventOutcome::AuthRequired(reason), ..) | (_, Some(reason), _) | (.., EventOutcome::AuthRequired(reason)) => {
            Next::Credential(reason)
        }
        _ if by_channel => Next::Again,
        _ => Next::Wait(None, reason),
    }
}

#[cfg(test)]
mod tests;
