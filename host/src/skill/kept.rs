//! What a guest writes to standard output and error: both ends of it are kept, whatever it writes in between, and secrets
//! of the host are cut out before anything is left out, for half a secret could not be found.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use bytes::Bytes;
use tokio::io::AsyncWrite;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamResult};

use crate::capability::secrets::Filter;
use crate::capability::skill::Written;

/// Of the beginning, and of the end.
const HALF: usize = 512 << 10;

/// One stream; clones write to the same.
#[derive(Clone)]
pub struct Kept(Arc<Mutex<Stream>>);

struct Stream {
    filter: Filter,
    head: Vec<u8>,
    tail: Vec<u8>,
    lost: u64,
}

impl Stream {
    fn push(&mut self, bytes: &[u8]) {
        let certain = self.filter.push(bytes);
        self.keep(&certain);
    }

    fn keep(&mut self, bytes: &[u8]) {
        let (first, rest) = bytes.split_at(bytes.len().min(HALF.saturating_sub(self.head.len())));
        self.head.extend_from_slice(first);
        self.tail.extend_from_slice(rest);
        if self.tail.len() > 2 * HALF {
            self.shorten();
        }
    }

    fn shorten(&mut self) {
        let over = self.tail.len().saturating_sub(HALF);
        self.tail.drain(..over);
        self.lost = self.lost.saturating_add(u64::try_from(over).unwrap_or(u64::MAX));
    }
}

impl Kept {
    /// Nothing yet.
    pub fn new(filter: Filter) -> Self {
        Self(Arc::new(Mutex::new(Stream { filter, head: Vec::new(), tail: Vec::new(), lost: 0 })))
    }

    /// What was written so far, at the end.
    pub fn written(&self) -> Written {
        // A poisoned lock means that keeping panicked: what is there is there.
        let mut stream = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let rest = stream.filter.finish();
        stream.keep(&rest);
        stream.shorten();
        let at = u64::try_from(stream.head.len()).unwrap_or(u64::MAX);
        let mut bytes = std::mem::take(&mut stream.head);
        bytes.append(&mut stream.tail);
        Written { bytes, lost: stream.lost, at }
    }

    fn push(&self, bytes: &[u8]) {
        if let Ok(mut stream) = self.0.lock() {
            stream.push(bytes);
        }
    }
}

impl IsTerminal for Kept {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for Kept {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(self.clone())
    }

    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }
}

#[async_trait::async_trait]
impl Pollable for Kept {
    async fn ready(&mut self) {}
}

impl OutputStream for Kept {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        self.push(&bytes);
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(HALF)
    }
}

impl AsyncWrite for Kept {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.push(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capability::secrets::Known;

    #[test]
    fn both_ends_are_kept_and_the_rest_is_counted() {
        let kept = Kept::new(Known::default().filter());
        kept.push(b"begin");
        for _ in 0..100 {
            kept.push(&vec![b'x'; 100_000]);
        }
        kept.push(b"end");
        let written = kept.written();
        assert_eq!((written.bytes.len(), written.at), (2 * HALF, u64::try_from(HALF).unwrap()));
        assert_eq!(written.lost, 10_000_008 - 2 * u64::try_from(HALF).unwrap());
        assert!(written.bytes.starts_with(b"beginx") && written.bytes.ends_with(b"xend"));
    }

    #[test]
    fn what_fits_is_whole() {
        let kept = Kept::new(Known::default().filter());
        kept.push(b"one ");
        kept.push(b"two");
        assert_eq!(kept.written(), Written { bytes: b"one two".to_vec(), lost: 0, at: 7 });
    }
}
