//! An answer whose body is still coming: read piece by piece, cleaned of the secrets that its sender knows.

use std::time::Duration;

use bytes::Bytes;
use tokio::sync::OwnedSemaphorePermit;
use tokio_util::sync::CancellationToken;

use super::bounded;
use crate::capability::Error;
use crate::capability::secrets::Filter;
use crate::wit::openpista::http::exchange::Header;

/// Of one body, in bytes, decompressed.
const BODY_MAX: u64 = 64 << 20;
/// Of one chunk, in bytes.
const CHUNK_MAX: usize = 64 << 10;

/// An answer. Dropping it closes the exchange.
pub struct Incoming {
    pub(super) status: u16,
    pub(super) headers: Vec<Header>,
    pub(super) body: Body,
}

/// What is left of a body.
pub(super) struct Body {
    /// None after its end, or after an error.
    response: Option<(reqwest::Response, OwnedSemaphorePermit)>,
    filter: Filter,
    /// Came, and fitted in no chunk yet.
    ready: Bytes,
    received: u64,
    between: Duration,
    cancel: CancellationToken,
}

impl Incoming {
    /// 100 to 599.
    pub fn status(&self) -> u16 {
        self.status
    }

    /// Names in lower case.
    pub fn headers(&self) -> &[Header] {
        &self.headers
    }

    /// The next piece as soon as there is one, 1 byte to 64 KiB; none at the end.
    pub async fn read(&mut self) -> Result<Option<Bytes>, Error> {
        self.body.read().await
    }

    /// The rest, unless it has more than `limit` bytes.
    pub async fn rest(&mut self, limit: usize) -> Result<Vec<u8>, Error> {
        let mut all = Vec::new();
        while let Some(chunk) = self.read().await? {
            if all.len() + chunk.len() > limit {
                return Err(Error::TooLarge(format!("the answer has over {limit} bytes")));
            }
            all.extend_from_slice(&chunk);
        }
        Ok(all)
    }
}

impl Body {
    pub(super) fn new(
        response: reqwest::Response,
        permit: OwnedSemaphorePermit,
        filter: Filter,
        between: Duration,
        cancel: CancellationToken,
    ) -> Self {
        Self { response: Some((response, permit)), filter, ready: Bytes::new(), received: 0, between, cancel }
    }

    async fn read(&mut self) -> Result<Option<Bytes>, Error> {
        loop {
            if !self.ready.is_empty() {
                return Ok(Some(self.ready.split_to(self.ready.len().min(CHUNK_MAX))));
            }
            let Some((mut response, permit)) = self.response.take() else { return Ok(None) };
            // Until the next piece is here, nothing is put back: an error ends the exchange.
            let next = bounded(&self.cancel, self.between, async {
                response.chunk().await.map_err(|error| Error::Unavailable(super::exchange::cause(&error)))
            });
            let cleaned = match next.await? {
                Some(chunk) => {
                    self.received += chunk.len() as u64;
                    if self.received > BODY_MAX {
                        return Err(Error::TooLarge(format!("an answer has at most {BODY_MAX} bytes")));
                    }
                    self.response = Some((response, permit));
                    self.filter.push(&chunk)
                }
                None => self.filter.finish(),
            };
            self.ready = cleaned.into();
        }
    }
}
