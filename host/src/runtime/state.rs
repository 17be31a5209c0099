//! The data of one store: the call that is served, its resources, its count of what it uses, and the WASI that every
//! guest has (clocks, randomness, output into the log; no files, sockets, environment or arguments).

use std::io;
use std::pin::Pin;
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Instant;

use bytes::Bytes;
use tokio::io::AsyncWrite;
use wasmtime::component::ResourceTable;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::pipe::MemoryOutputPipe;
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamResult};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};
use wasmtime_wasi_http::{WasiHttpCtx, WasiHttpCtxView, WasiHttpView};

use super::fixed::Fixed;
use super::limits::{Limits, Meter};
use super::sandbox::SharedReach;
use crate::capability::http::WasiEgress;
use crate::capability::log;
use crate::capability::said::{Said, Voice, Weight};
use crate::capability::secrets::Filter;
use crate::capability::{Call, Held, View};
use crate::message::in_one_line;

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
    /// Of a sandboxed guest: what it may open.
    pub(super) reach: Option<SharedReach>,
}

/// What is left of a call that returned.
pub struct Left {
    /// What takes effect if its answer was ok.
    pub held: Held,
    /// It said that its tools changed.
    pub tools_changed: bool,
    /// Bytes of memory that it had.
    pub memory: usize,
    /// Ticks that it ran.
    pub ticks: u64,
}

/// A store's data, as the runtime needs it.
pub trait State: WasiView + Send + 'static {
    /// What is left of a call that returned.
    type Left;
    /// The common part.
    fn guest(&mut self) -> &mut Guest;
    /// Takes out what is needed when the store is gone.
    fn leave(&mut self) -> Self::Left;
}

impl Guest {
    /// Without output: what is written is dropped.
    pub fn new(limits: Limits) -> Self {
        Self::with(WasiCtx::builder().build(), limits, Arc::default())
    }

    /// With what it writes kept, for whoever looks why it fails. More than 1 MiB is a trap.
    pub fn heard(limits: Limits) -> (Self, MemoryOutputPipe) {
        let heard = MemoryOutputPipe::new(1 << 20);
        let wasi = WasiCtx::builder().stdout(heard.clone()).stderr(heard.clone()).build();
        (Self::with(wasi, limits, Arc::default()), heard)
    }

    fn with(wasi: WasiCtx, limits: Limits, peak: Arc<AtomicUsize>) -> Self {
        let mut table = ResourceTable::new();
        table.set_max_capacity(limits.resources);
        Self { wasi, table, meter: Meter::new(limits, peak) }
    }
}

impl HostState {
    /// For one call; the most memory that it has is noted in `peak`.
    pub fn new(call: Call, limits: Limits, peak: Arc<AtomicUsize>, fixed: Option<Fixed>) -> Self {
        let [stdout, stderr] = ["stdout", "stderr"].map(|stream| GuestOutput::new(&call, stream));
        let mut wasi = WasiCtx::builder();
        wasi.stdout(stdout).stderr(stderr);
        if let Some(fixed) = fixed {
            fixed.apply(&mut wasi);
        }
        let guest = Guest::with(wasi.build(), limits, peak);
        Self { guest, call, http: WasiHttpCtx::new(), egress: None, reach: None }
    }

    /// For one call of a guest that is trusted with nothing, with its own WASI: files, arguments, output.
    pub fn sandboxed(call: Call, limits: Limits, wasi: WasiCtx, reach: SharedReach) -> Self {
        let guest = Guest::with(wasi, limits, Arc::default());
        Self { guest, call, http: WasiHttpCtx::new(), egress: None, reach: Some(reach) }
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
    /// Bytes of memory that it had.
    type Left = usize;

    fn guest(&mut self) -> &mut Guest {
        self
    }

    fn leave(&mut self) -> usize {
        self.meter.memory()
    }
}

impl State for HostState {
    type Left = Left;

    fn guest(&mut self) -> &mut Guest {
        &mut self.guest
    }

    fn leave(&mut self) -> Self::Left {
        Left {
            held: std::mem::take(&mut self.call.held),
            tools_changed: self.call.tools_changed,
            memory: self.guest.meter.memory(),
            ticks: self.guest.meter.ticks(),
        }
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
    /// Lines of all calls of the instance.
    all: Arc<log::Meter>,
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
            all: call.log.all(),
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
        if log::admits(&self.all, &self.instance, Instant::now()) {
            let line = in_one_line(&line);
            tracing::info!(target: "plugin", instance = self.instance, stream = self.stream, "{line}");
            let from = if self.stream == "stderr" { Voice::Stderr } else { Voice::Stdout };
            self.said.say(&self.plugin, &self.instance, from, Weight::Info, self.session.as_deref(), line);
        }
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
