//! A request that is repeated: ask the channel what to send, send it, hand the answer over, wait.
//!
//! The wait is the interval as long as things go well, what the server asks for (`Retry-After`), or back-off. An answer
//! that the channel could not take comes again with the next poll, so nothing is lost by waiting.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, timeout};

use super::connection::Transport;
use super::instance::Instance;
use super::status::{State, count};
use super::{Backoff, DialError, Event, EventOutcome, ReceiverError, Response, backoff};
use crate::message::now;
use crate::wit::role::channel::Answer;

/// How long an answer may take: long polls are the point.
const ANSWER_WITHIN: Duration = Duration::from_secs(120);
/// A server that answers at once and with nothing is not asked more often than this, whatever the channel says.
const INTERVAL_LEAST: Duration = Duration::from_millis(50);

/// What an attempt leads to.
enum Next {
    /// All is well: again when the interval is over.
    Interval,
    /// After so long at least; none: as back-off says.
    Wait(Option<Duration>, String),
    /// When a credential came.
    Credential(String),
}

/// Polls for as long as the transport is wanted.
pub(super) async fn run(instance: &Arc<Instance>, transport: &Arc<Transport>, interval: Duration, random: fn() -> f64) {
    let interval = interval.max(INTERVAL_LEAST);
    let mut backoff = Backoff::new(random);
    loop {
        let began = Instant::now();
        let asked = tokio::select! {
            biased;
            () = transport.stop.cancelled() => return,
            asked = ask(instance, transport) => asked,
        };
        let next = match asked {
            Ok(response) => deliver(instance, transport, response).await,
            Err(next) => next,
        };
        let rest = interval.saturating_sub(began.elapsed());
        let wanted = match next {
            Next::Interval => {
                backoff.reset();
                transport.health.set(State::Open);
                transport.pause(rest).await
            }
            Next::Wait(asked, reason) => {
                let wait = asked.unwrap_or_else(|| backoff.after_failure());
                transport.back_off(wait.max(rest), reason).await
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

async fn ask(instance: &Instance, transport: &Transport) -> Result<Response, Next> {
    let prepared = instance.receiver().next(&instance.name, &transport.id).await.map_err(|error| match error {
        ReceiverError::AuthRequired(reason) => Next::Credential(reason),
        other => Next::Wait(None, other.to_string()),
    })?;
    match timeout(ANSWER_WITHIN, prepared.poll()).await {
        Ok(Ok(response)) => Ok(response),
        Ok(Err(DialError::Status { status, retry_after })) => {
            Err(Next::Wait(retry_after, format!("the server answered {status}")))
        }
        Ok(Err(error)) => Err(Next::Wait(None, error.to_string())),
        Err(_) => Err(Next::Wait(None, "the server did not answer within 120 s".to_owned())),
    }
}

async fn deliver(instance: &Instance, transport: &Transport, response: Response) -> Next {
    count(&instance.counters.polls);
    let status = response.status;
    if status < 400 {
        transport.health.progressed();
    }
    let retry_after = backoff::retry_after(&response, now());
    let answer = Answer { transport: transport.id.clone(), response };
    match instance.event(Event::Answer(answer)).await {
        EventOutcome::AuthRequired(reason) => Next::Credential(reason),
        EventOutcome::Unavailable => Next::Wait(None, "the channel could not take the answer".to_owned()),
        EventOutcome::Taken | EventOutcome::Dropped if status >= 400 => {
            Next::Wait(retry_after, format!("the server answered {status}"))
        }
        EventOutcome::Taken | EventOutcome::Dropped => Next::Interval,
    }
}

#[cfg(test)]
mod tests;
