//! `openpista:plugin/deltas` and `openpista:plugin/progress`: what a guest says while it works.

use tokio_util::sync::CancellationToken;
use wasmtime::component::Resource;

use super::View;
use crate::agent::ports::{Delta, Deltas};
use crate::wit::openpista::plugin::{deltas, progress};
use crate::wit::types::Signal;

/// A line of progress is cut here, in bytes.
const PROGRESS_MAX: usize = 4 << 10;

/// Where a provider's deltas go.
pub struct Sink {
    /// Takes them.
    pub deltas: Deltas,
    /// Says stop.
    pub cancel: CancellationToken,
}

fn signal(cancel: &CancellationToken) -> Signal {
    if cancel.is_cancelled() { Signal::Stop } else { Signal::Proceed }
}

impl deltas::Host for View<'_> {}

impl deltas::HostSink for View<'_> {
    async fn push(&mut self, sink: Resource<Sink>, delta: deltas::Delta) -> wasmtime::Result<Signal> {
        let sink = self.table.get(&sink)?;
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
