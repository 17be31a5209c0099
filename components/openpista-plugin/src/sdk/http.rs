//! Asking others: a request that is put together step by step, and an answer that is read whole, as JSON, or event by
//! event as it comes.
//!
//! ```
//! use openpista_plugin::sdk::{Error, Host, http};
//!
//! fn names(host: &impl Host) -> Result<Vec<String>, Error> {
//!     http::get("https://api.example.com/names").query("most", "5").header("accept", "application/json").send(host)?.good()?.json()
//! }
//! ```

use std::collections::VecDeque;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::bindings::capabilities::openpista::http::client::Options;
use super::bindings::capabilities::openpista::http::exchange;
use super::{Error, Host, Incoming};
use crate::sse::{Event, Parser};

/// Bytes of an answer that is read whole.
const MOST: usize = 8 << 20;
/// Characters of a refusal that are told.
const TOLD: usize = 500;

/// A request that is being put together.
#[derive(Debug, Clone)]
pub struct Request {
    method: &'static str,
    url: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
    options: Options,
}

/// GET
pub fn get(url: impl Into<String>) -> Request {
    Request::new("GET", url)
}

/// POST
pub fn post(url: impl Into<String>) -> Request {
    Request::new("POST", url)
}

impl Request {
    /// Of any method.
    pub fn new(method: &'static str, url: impl Into<String>) -> Self {
        let options = Options { first_byte_ms: None, between_bytes_ms: None };
        Self { method, url: url.into(), headers: Vec::new(), body: Vec::new(), options }
    }

    /// One more header.
    #[must_use]
    pub fn header(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// `authorization: Bearer …`, with what stands for a secret.
    #[must_use]
    pub fn bearer(self, stand_in: &str) -> Self {
        self.header("authorization", format!("Bearer {stand_in}"))
    }

    /// One more parameter of the query, encoded.
    #[must_use]
    pub fn query(mut self, name: &str, value: &str) -> Self {
        self.url.push(if self.url.contains('?') { '&' } else { '?' });
        encode(name, &mut self.url);
        self.url.push('=');
        encode(value, &mut self.url);
        self
    }

    /// A body in JSON.
    #[must_use]
    pub fn json(self, value: &impl Serialize) -> Self {
        // What cannot be written as JSON (a map whose keys are no texts) is a mistake that the first test shows.
        let body = serde_json::to_vec(value).unwrap_or_default();
        self.header("content-type", "application/json").body(body)
    }

    /// Any body.
    #[must_use]
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    /// Waits so long for the answer to begin.
    #[must_use]
    pub fn within(mut self, time: Duration) -> Self {
        self.options.first_byte_ms = Some(u32::try_from(time.as_millis()).unwrap_or(u32::MAX));
        self
    }

    /// Asks. Any status is an answer.
    pub fn send(self, host: &impl Host) -> Result<Response, Error> {
        let Self { method, url, headers, body, options } = self;
        let request = exchange::Request { method: method.into(), url, headers, body };
        Ok(Response { incoming: host.send(&request, Some(options))? })
    }
}

fn encode(text: &str, into: &mut String) {
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            into.push(char::from(byte));
        } else {
            into.push_str(&format!("%{byte:02X}"));
        }
    }
}

/// An answer.
pub struct Response {
    incoming: Box<dyn Incoming>,
}

impl Response {
    /// 100 to 599.
    pub fn status(&self) -> u16 {
        self.incoming.status()
    }

    /// The first header of that name.
    pub fn header(&self, name: &str) -> Option<String> {
        self.incoming.headers().into_iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    /// Itself if the status is 2xx, else an error with the status and the beginning of what was said.
    pub fn good(self) -> Result<Self, Error> {
        let status = self.status();
        if (200..300).contains(&status) {
            return Ok(self);
        }
        let said =
            String::from_utf8_lossy(&self.bytes().unwrap_or_default()).trim().chars().take(TOLD).collect::<String>();
        let text = if said.is_empty() { format!("status {status}") } else { format!("status {status}: {said}") };
        Err(match status {
            404 => Error::NotFound(text),
            408 | 429 | 500.. => Error::Unavailable(text),
            _ => Error::Other(text),
        })
    }

    /// The whole body, at most 8 MiB.
    pub fn bytes(&self) -> Result<Vec<u8>, Error> {
        let mut all = Vec::new();
        while let Some(piece) = self.incoming.read()? {
            if all.len() + piece.len() > MOST {
                return Err(Error::TooLarge(format!("the answer has more than {} MiB", MOST >> 20)));
            }
            all.extend(piece);
        }
        Ok(all)
    }

    /// The whole body as text.
    pub fn text(&self) -> Result<String, Error> {
        Ok(String::from_utf8_lossy(&self.bytes()?).into_owned())
    }

    /// The whole body, read into a type.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, Error> {
        serde_json::from_slice(&self.bytes()?)
            .map_err(|error| Error::Other(format!("the answer is not as expected: {error}")))
    }

    /// Server-sent events as they come.
    pub fn events(self) -> Events {
        Events { incoming: self.incoming, parser: Parser::new(), ready: VecDeque::new(), over: false }
    }
}

/// Server-sent events, one after the other.
pub struct Events {
    incoming: Box<dyn Incoming>,
    parser: Parser,
    ready: VecDeque<Event>,
    over: bool,
}

impl Iterator for Events {
    type Item = Result<Event, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Some(Ok(event));
            }
            if self.over {
                return None;
            }
            match self.incoming.read() {
                Ok(Some(piece)) => self.ready.extend(self.parser.push(&piece)),
                Ok(None) => self.over = true,
                Err(error) => {
                    self.over = true;
                    return Some(Err(error));
                }
            }
        }
    }
}
