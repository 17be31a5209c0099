//! `openpista:log`: a guest's line in the host's log.

use super::View;
use crate::wit::openpista::log::log::{Host, Level};

const LINE_MAX: usize = 4 << 10;

impl Host for View<'_> {
    async fn log(&mut self, level: Level, mut message: String) -> wasmtime::Result<()> {
        message.truncate(message.floor_char_boundary(LINE_MAX));
        let message = self.call.secrets.redact(&message);
        let caller = &self.call.caller;
        let (plugin, instance) = (caller.plugin.as_str(), caller.instance.as_str());
        let (session, turn) = (caller.session.as_deref(), caller.turn.as_deref());
        match level {
            Level::Debug => tracing::debug!(target: "plugin", plugin, instance, session, turn, "{message}"),
            Level::Info => tracing::info!(target: "plugin", plugin, instance, session, turn, "{message}"),
            Level::Warn => tracing::warn!(target: "plugin", plugin, instance, session, turn, "{message}"),
            Level::Error => tracing::error!(target: "plugin", plugin, instance, session, turn, "{message}"),
        }
        Ok(())
    }
}
