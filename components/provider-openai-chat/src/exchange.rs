//! Sending a request and following its answer. The network and the listener are arguments, so that the tests play both.

use openpista_plugin::sse;
use openpista_plugin::tool_names::ToolNames;

use crate::answer::Answer;
use crate::contract::exports::openpista::plugin::provider::{Completion, Model, ProviderError};
use crate::contract::openpista::plugin::deltas::Delta;
use crate::contract::openpista::types::types::{Error, Signal};
use crate::{failure, models};

/// Bytes of an answer that is not a stream; more is no answer of this API.
const LARGEST: usize = 16 * 1024 * 1024;

/// An answer of which the body is still coming.
pub trait Incoming {
    /// The status.
    fn status(&self) -> u16;
    /// Names in lower case.
    fn headers(&self) -> Vec<(String, String)>;
    /// The next piece; none at the end.
    fn read(&self) -> Result<Option<Vec<u8>>, Error>;
}

/// What a completion needs besides the answer.
pub struct Context<'a> {
    /// As in the request's body.
    pub names: &'a ToolNames,
    /// Makes ids of calls where the service gives none.
    pub salt: u64,
    /// Milliseconds since 1970.
    pub now: u64,
}

/// `provider.complete`, once the request was sent.
pub fn follow(
    sent: Result<impl Incoming, Error>,
    context: &Context<'_>,
    mut push: impl FnMut(Delta) -> Signal,
) -> Result<Completion, ProviderError> {
    let mut answer = Answer::new(context.names, context.salt);
    let incoming = match sent {
        Ok(incoming) => incoming,
        Err(error) => return failure::from_capability(error).map_or_else(|| Ok(answer.cancelled()), Err),
    };
    let headers = incoming.headers();
    if incoming.status() != 200 {
        return match read_all(&incoming) {
            Ok(body) => Err(failure::from_status(incoming.status(), &headers, &body, context.now)),
            Err(Error::Cancelled) => Ok(answer.cancelled()),
            // The status says enough.
            Err(_) => Err(failure::from_status(incoming.status(), &headers, b"", context.now)),
        };
    }
    let is_json = headers
        .iter()
        .any(|(name, value)| name == "content-type" && value.to_lowercase().starts_with("application/json"));
    let mut events = Events::new(is_json);
    loop {
        let piece = match incoming.read() {
            Ok(piece) => piece,
            Err(Error::TimedOut) => return Err(ProviderError::Transport("the answer stopped coming".into())),
            Err(error) => return failure::from_capability(error).map_or_else(|| Ok(answer.cancelled()), Err),
        };
        let ended = piece.is_none();
        for data in events.take(piece)? {
            if data.trim() == "[DONE]" {
                return answer.finish(true);
            }
            for delta in answer.take(&data)? {
                if push(delta) == Signal::Stop {
                    return Ok(answer.cancelled());
                }
            }
        }
        if ended {
            return answer.finish(false);
        }
    }
}

/// `provider.models`, once the request was sent.
pub fn list(sent: Result<impl Incoming, Error>, now: u64) -> Result<Vec<Model>, ProviderError> {
    let failed = |error| failure::from_capability(error).unwrap_or_else(|| ProviderError::Other("cancelled".into()));
    let incoming = sent.map_err(failed)?;
    let body = read_all(&incoming).map_err(failed)?;
    if incoming.status() != 200 {
        return Err(failure::from_status(incoming.status(), &incoming.headers(), &body, now));
    }
    models::parse(&String::from_utf8_lossy(&body))
        .ok_or_else(|| ProviderError::Other("the service's list of models is not in a known form".into()))
}

fn read_all(incoming: &impl Incoming) -> Result<Vec<u8>, Error> {
    let mut all = Vec::new();
    while let Some(piece) = incoming.read()? {
        all.extend(piece);
        if all.len() > LARGEST {
            return Err(Error::TooLarge("the service's answer is over 16 MiB".into()));
        }
    }
    Ok(all)
}

/// Pieces of a body as the JSON texts in it: those of the events of a stream, or the one that the whole body is.
enum Events {
    Stream(sse::Parser),
    Whole(Vec<u8>),
}

impl Events {
    fn new(is_json: bool) -> Self {
        if is_json { Self::Whole(Vec::new()) } else { Self::Stream(sse::Parser::new()) }
    }

    /// None is the end.
    fn take(&mut self, piece: Option<Vec<u8>>) -> Result<Vec<String>, ProviderError> {
        match (self, piece) {
            (Self::Stream(parser), Some(bytes)) => {
                let events = parser.push(&bytes).into_iter();
                Ok(events.map(|event| event.data).filter(|data| !data.is_empty()).collect())
            }
            // A last event may lack its blank line.
            (Self::Stream(parser), None) => Ok(parser.push(b"\n\n").into_iter().map(|event| event.data).collect()),
            (Self::Whole(all), Some(bytes)) => {
                all.extend(bytes);
                if all.len() > LARGEST {
                    return Err(ProviderError::Other("the service's answer is over 16 MiB".into()));
                }
                Ok(Vec::new())
            }
            (Self::Whole(all), None) => Ok(vec![String::from_utf8_lossy(all).into_owned()]),
        }
    }
}

#[cfg(test)]
mod tests;
