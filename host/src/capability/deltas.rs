//! `openpista:plugin/deltas` and `openpista:plugin/progress`: what a guest says while it works.

use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;
use wasmtime::component::Resource;

use super::View;
use crate::agent::ports::{Delta, Deltas};
use crate::wit::openpista::plugin::{deltas, progress};
use crate::wit::types::Signal;

/// A line of progress is cut here, in bytes.
const PROGRESS_MAX: usize = 4 << 10;
/// Lines of progress of one call in a second; ten of them reach a channel.
const PROGRESS_A_SECOND: u32 = 100;
/// What the deltas of one answer may have, in bytes: what is shown of a turn is kept in the host's memory, not the guest's.
/// It is many times what the longest answer of a model has.
const DELTAS_MAX: usize = 16 << 20;
/// What one delta counts besides its text: millions of small ones cost, too.
const DELTA_COST: usize = 16;

/// Where a provider's deltas go.
pub struct Sink {
    deltas: Deltas,
    cancel: CancellationToken,
    pushed: usize,
}

impl Sink {
    /// Hands on to `deltas` what is pushed; `cancel` says stop.
    pub fn new(deltas: Deltas, cancel: CancellationToken) -> Self {
        Self { deltas, cancel, pushed: 0 }
    }
}

/// How often one call reports.
#[derive(Debug, Default)]
pub struct Pace {
    since: Option<Instant>,
    reports: u32,
}

impl Pace {
    /// Whether one more line of progress is handed on; those in between are lost, as older ones are that nobody took.
    fn admits(&mut self, now: Instant) -> bool {
        if self.since.is_none_or(|since| now.duration_since(since) >= Duration::from_secs(1)) {
            *self = Self { since: Some(now), reports: 0 };
        }
        self.reports += 1;
        self.reports <= PROGRESS_A_SECOND
    }
}

fn signal(cancel: &CancellationToken) -> Signal {
    if cancel.is_cancelled() { Signal::Stop } else { Signal::Proceed }
}

impl deltas::Host for View<'_> {}

impl deltas::HostSink for View<'_> {
    async fn push(&mut self, sink: Resource<Sink>, delta: deltas::Delta) -> wasmtime::Result<Signal> {
        let sink = self.table.get_mut(&sink)?;
        let text = match &delta {
            deltas::Delta::Text(text) | deltas::Delta::Reasoning(text) => text.len(),
            deltas::Delta::Call(call) => call.arguments.len().saturating_add(call.name.as_ref().map_or(0, String::len)),
            deltas::Delta::Other(_) => 0,
        };
        sink.pushed = sink.pushed.saturating_add(text).saturating_add(DELTA_COST);
        if sink.pushed > DELTAS_MAX {
            return Err(wasmtime::Error::msg(format!("one answer streams at most {} MiB", DELTAS_MAX >> 20)));
        }
        match delta {
            deltas::Delta::Text(text) => (sink.deltas)(Delta::Text(text)),
            deltas::Delta::Reasoning(text) => (sink.deltas)(Delta::Reasoning(text)),
            deltas::Delta::Call(call) => {
                (sink.deltas)(Delta::Call { index: call.index, name: call.name, arguments: call.arguments });
            }
            deltas::Delta::Other(_) => (),
        }
        Ok(signal(&sink.cancel))
    }

    async fn drop(&mut self, sink: Resource<Sink>) -> wasmtime::Result<()> {
        self.table.delete(sink)?;
        Ok(())
    }
}

impl progress::Host for View<'_> {
    async fn report(&mut self, text: String) -> wasmtime::Result<Signal> {
        if !self.call.pace.admits(Instant::now()) {
            return Ok(signal(&self.call.cancel));
        }
        if let Some(report) = &self.call.progress {
            // Before it is cut: half a secret could not be found.
            let mut text = self.call.clean(&text);
            text.truncate(text.floor_char_boundary(PROGRESS_MAX));
            report(text);
        }
        Ok(signal(&self.call.cancel))
    }

    async fn tools_changed(&mut self) -> wasmtime::Result<()> {
        self.call.tools_changed = true;
        Ok(())
    }
}
