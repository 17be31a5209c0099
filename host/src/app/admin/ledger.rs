//! What the operator asks of the ledger.

use super::super::archive::{Archives, Found};
use super::Admin;
use crate::admin::{LedgerEntry, Refusal, Request, Response, ResponseSink};
use crate::store::LedgerFilter;

impl Admin {
    pub(super) async fn ledger(&self, request: Request, out: &ResponseSink) -> Result<(), Refusal> {
        let Request::LedgerShow { plugin, instance, session, capability, denied, since, limit } = request else {
            return Ok(());
        };
        let session = match session {
            Some(prefix) => Some(self.0.store.read(|tx| tx.session_find(&prefix))?.id),
            None => None,
        };
        self.0.store.flush().await?;
        let filter = LedgerFilter {
            name: plugin,
            instance,
            session,
            capability,
            since,
            allowed: denied.then_some(false),
            ..LedgerFilter::default()
        };
        let mut before = None;
        let mut left = limit;
        while left > 0 {
            let page = self.0.store.read(|tx| tx.ledger(&filter, before, left))?;
            for (number, line) in page.lines {
                left = left.saturating_sub(1);
                out.send(Response::Ledger(LedgerEntry {
                    number,
                    at: line.at,
                    plugin: line.plugin,
                    instance: line.instance,
                    session: line.session,
                    operation: line.operation,
                    capability: line.capability,
                    what: line.what,
                    allowed: line.allowed,
                    arguments: line.arguments,
                    approval: line.approval,
                    outcome: line.outcome,
                    took: line.took,
                }))
                .await?;
            }
            before = page.before;
            if before.is_none() {
                return Ok(());
            }
        }
        Ok(())
    }

    /// The archives, then the store.
    pub(super) async fn ledger_verify(&self) -> Result<Response, Refusal> {
        self.0.store.flush().await?;
        let (store, archives) = (self.0.store.clone(), Archives::of(&self.0.config));
        let checked = tokio::task::spawn_blocking(move || archives.verify(&store));
        let Found { lines, archived, broken_at, archive, missing } =
            checked.await.map_err(|error| Refusal::failed(error.to_string()))??;
        Ok(Response::LedgerChecked { lines, broken_at, archived, archive, missing })
    }
}
