//! The data of one store: the call that is served, its resources, its count of what it uses, and the WASI that every
//! guest has (clocks, randomness, output into the log; no files, sockets, environment or arguments).

use std::io;
use std::pin::Pin;
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use bytes::Bytes;
use tokio::io::AsyncWrite;
use wasmtime::component::ResourceTable;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamResult};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};
use wasmtime_wasi_http::{WasiHttpCtx, WasiHttpCtxView, WasiHttpView};

use super::limits::{Limits, Meter};
use crate::capability::http::WasiEgress;
use crate::capability::said::{Said, Voice, Weight};
use crate::capability::secrets::Filter;
use crate::capability::{Call, View};

/// A line of a guest's output is cut here.
const LINE_MAX: usize = 4 << 10;
/// All output of one call beyond this is dropped and counted.
const OUTPUT_MAX: usize = 64 << 10;

/// What every guest's store holds; all of it for a guest that serves nobody (`describe`).
pub struct Guest {
    wasi: WasiCtx,
    table: ResourceTable,
    pub(super) meter: Meter,
}

/// What the store of a call holds.
pub struct HostState {
    pub(super) guest: Guest,
    /// The call that is served.
    pub call: Call,
    http: WasiHttpCtx,
    /// Made when the guest first uses `wasi:http`.
    egress: Option<WasiEgress>,
}

/// A store's data, as the runtime needs it.
pub trait State: WasiView + Send + 'static {
    /// The common part.
    fn guest(&mut self) -> &mut Guest;
}

impl Guest {
    /// Without output: what is written is dropped.
    pub fn new(limits: Limits) -> Self {
        Self::with(WasiCtx::builder().build(), limits, Arc::default())
    }

    fn with(wasi: WasiCtx, limits: Limits, peak: Arc<AtomicUsize>) -> Self {
        let mut table = ResourceTable::new();
        table.set_max_capacity(limits.resources);
        Self { wasi, table, meter: Meter::new(limits, peak) }
    }
}

impl HostState {
    /// For one call; the most memory that it has is noted in `peak`.
    pub fn new(call: Call, limits: Limits, peak: Arc<AtomicUsize>) -> Self {
        let output = |stream| GuestOutput::new(&call, stream);
        let wasi = WasiCtx::builder().stdout(output("stdout")).stderr(output("stderr")).build();
        Self { guest: Guest::with(wasi, limits, peak), call, http: WasiHttpCtx::new(), egress: None }
    }

    /// What host functions work on.
    pub(super) fn view(&mut self) -> View<'_> {
        View { call: &mut self.call, table: &mut self.guest.table }
    }

    /// The resources of the call.
    pub fn table(&mut self) -> &mut ResourceTable {
        &mut self.guest.table
    }
}

impl State for Guest {
    fn guest(&mut self) -> &mut Guest {
        self
    }
}

impl State for HostState {
    fn guest(&mut self) -> &mut Guest {
        &mut self.guest
    }
}

impl WasiView for Guest {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

impl WasiView for HostState {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        self.guest.ctx()
    }
}

impl WasiHttpView for HostState {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        let hooks = self.egress.get_or_insert_with(|| WasiEgress::of(&self.call));
        WasiHttpCtxView { hooks, table: &mut self.guest.table, ctx: &mut self.http }
    }
}

/// Standard output or error of a guest: lines go to the log, bounded.
#[derive(Clone)]
struct GuestOutput(Arc<Mutex<Lines>>);

struct Lines {
    plugin: String,
    instance: String,
    session: Option<String>,
    said: Arc<Said>,
    stream: &'static str,
    redact: Arc<dyn Fn(&str) -> String + Send + Sync>,
    /// Everybody's secrets, before lines are cut: half of one could not be found.
    filter: Filter,
    partial: Vec<u8>,
    written: usize,
}

impl GuestOutput {
    fn new(call: &Call, stream: &'static str) -> Self {
        Self(Arc::new(Mutex::new(Lines {
            plugin: call.caller.plugin.clone(),
            instance: call.caller.instance.clone(),
            session: call.caller.session.clone(),
            said: Arc::clone(&call.services.said),
            stream,
            redact: call.secrets.redactor(),
            filter: call.services.known.filter(),
            partial: Vec::new(),
            written: 0,
        })))
    }
}

impl Lines {
    fn write(&mut self, bytes: &[u8]) {
        let before = self.written;
        self.written = self.written.saturating_add(bytes.len());
        if before >= OUTPUT_MAX {
            return;
        }
        let certain = self.filter.push(bytes);
        self.lines(&certain);
        if self.written >= OUTPUT_MAX {
            self.finish();
            tracing::warn!(target: "plugin", instance = self.instance, stream = self.stream,
                "the guest wrote more than {} KiB in one call; the rest is dropped", OUTPUT_MAX >> 10);
        }
    }

    fn lines(&mut self, bytes: &[u8]) {
        for byte in bytes {
            if *byte == b'\n' || self.partial.len() >= LINE_MAX {
                self.flush_line();
            }
            if *byte != b'\n' {
                self.partial.push(*byte);
            }
        }
    }

    fn finish(&mut self) {
        let rest = self.filter.finish();
        self.lines(&rest);
        self.flush_line();
    }

    fn flush_line(&mut self) {
        if self.partial.is_empty() {
            return;
        }
        let line = (self.redact)(&String::from_utf8_lossy(&self.partial));
        self.partial.clear();
        tracing::info!(target: "plugin", instance = self.instance, stream = self.stream, "{line}");
        let from = if self.stream == "stderr" { Voice::Stderr } else { Voice::Stdout };
        self.said.say(&self.plugin, &self.instance, from, Weight::Info, self.session.as_deref(), line);
    }
}

impl Drop for Lines {
    fn drop(&mut self) {
        if self.written < OUTPUT_MAX {
            self.finish();
        }
    }
}

impl IsTerminal for GuestOutput {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for GuestOutput {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(self.clone())
    }

    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }
}

impl GuestOutput {
    fn push(&self, bytes: &[u8]) {
        // A poisoned lock means that a log line panicked; the guest's output is not worth more.
        if let Ok(mut lines) = self.0.lock() {
            lines.write(bytes);
        }
    }
}

/// Without a task in between: what a guest wrote before it trapped is in the log.
#[async_trait::async_trait]
impl Pollable for GuestOutput {
    async fn ready(&mut self) {}
}

impl OutputStream for GuestOutput {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        self.push(&bytes);
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(OUTPUT_MAX)
    }
}

impl AsyncWrite for GuestOutput {
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
