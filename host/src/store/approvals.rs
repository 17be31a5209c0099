//! Approvals: open ones by conversation, decided once, over when their time is.
//!
//! Who may decide is the gateway's question; that a decision comes in time and only once is settled here, in the
//! transaction that stores it. Closed ones are kept for 30 days.

use redb::{ReadableTable as _, TableDefinition};

use super::aging::KEPT;
use super::error::StoreError;
use super::transaction::{Reading, Writing, decode};
use crate::message::{Approval, Decision, Sender, Timestamp};

pub(super) const APPROVALS: TableDefinition<&str, &[u8]> = TableDefinition::new("approvals");
/// Instance, conversation, approval: what waits for an answer.
pub(super) const OPEN: TableDefinition<(&str, &str, &str), ()> = TableDefinition::new("approvals.open");
/// When it expires, and which: only open ones.
pub(super) const DUE: TableDefinition<(u64, &str), ()> = TableDefinition::new("approvals.due");
/// When it was closed, and which.
pub(super) const CLOSED: TableDefinition<(u64, &str), ()> = TableDefinition::new("approvals.closed");

/// How many old ones go with each new one.
const STEP: usize = 4;

/// What came of a decision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decided {
    /// It holds.
    Now(Approval),
    /// It was answered before; that answer holds.
    Already(Approval),
    /// Its time was over.
    Expired(Approval),
    /// There is no such approval.
    Unknown,
}

impl Reading<'_> {
    /// An approval, open or closed.
    pub fn approval(&self, id: &str) -> Result<Option<Approval>, StoreError> {
        self.record(APPROVALS, id)
    }

    /// Whether it still waits for an answer.
    pub fn approval_is_open(&self, approval: &Approval) -> Result<bool, StoreError> {
        let key = (approval.instance.as_str(), approval.conversation.as_str(), approval.id.as_str());
        Ok(self.view(OPEN)?.get(key)?.is_some())
    }

    /// What waits for an answer in a conversation.
    pub fn approvals_open(&self, instance: &str, conversation: &str) -> Result<Vec<Approval>, StoreError> {
        let mut ids = Vec::new();
        for entry in self.view(OPEN)?.range((instance, conversation, "")..)? {
            let key = entry?.0;
            let (of, at, id) = key.value();
            if (of, at) != (instance, conversation) {
                break;
            }
            ids.push(id.to_string());
        }
        self.approvals_of(&ids)
    }

    /// Everything that waits for an answer.
    pub fn approvals_open_all(&self) -> Result<Vec<Approval>, StoreError> {
        let mut ids = Vec::new();
        for entry in self.view(OPEN)?.all()? {
            ids.push(entry?.0.value().2.to_string());
        }
        self.approvals_of(&ids)
    }

    fn approvals_of(&self, ids: &[String]) -> Result<Vec<Approval>, StoreError> {
        let view = self.view(APPROVALS)?;
        let mut found = Vec::with_capacity(ids.len());
        for id in ids {
            if let Some(bytes) = view.get(id.as_str())? {
                found.push(decode("approvals", bytes.value())?);
            }
        }
        Ok(found)
    }
}

impl Writing<'_> {
    /// Stores a new approval, which is open until it is decided or its time is over.
    pub fn approval_put(&mut self, approval: &Approval, at: Timestamp) -> Result<(), StoreError> {
        let id = approval.id.as_str();
        self.put(APPROVALS, id, approval)?;
        self.set(OPEN, (approval.instance.as_str(), approval.conversation.as_str(), id), ())?;
        self.set(DUE, (approval.expires, id), ())?;
        let mut closed = self.table(CLOSED)?;
        let mut old = Vec::new();
        for entry in closed.range((0, "")..(at.saturating_sub(KEPT), ""))?.take(STEP) {
            let key = entry?.0;
            old.push((key.value().0, key.value().1.to_string()));
        }
        let mut approvals = self.table(APPROVALS)?;
        for (then, id) in &old {
            closed.remove((*then, id.as_str()))?;
            approvals.remove(id.as_str())?;
        }
        Ok(())
    }

    /// Keeps what `approvals.ask` returned. Whether there is such an approval.
    pub fn approval_receipt(&mut self, id: &str, receipt: &str) -> Result<bool, StoreError> {
        let Some(mut approval) = self.approval(id)? else {
            return Ok(false);
        };
        approval.receipt = Some(receipt.into());
        self.put(APPROVALS, id, &approval)?;
        Ok(true)
    }

    /// Decides, if it is open and in time.
    pub fn approval_decide(
        &mut self,
        id: &str,
        decision: Decision,
        by: &Sender,
        at: Timestamp,
    ) -> Result<Decided, StoreError> {
        let Some(mut approval) = self.approval(id)? else {
            return Ok(Decided::Unknown);
        };
        if approval.decision.is_some() {
            return Ok(Decided::Already(approval));
        }
        if at >= approval.expires || !self.approval_is_open(&approval)? {
            return Ok(Decided::Expired(approval));
        }
        approval.decision = Some((decision, by.clone()));
        self.approval_close(&approval, at)?;
        Ok(Decided::Now(approval))
    }

    /// Closes an open approval without a decision: its turn was stopped. Whether it was open.
    pub fn approval_withdraw(&mut self, id: &str, at: Timestamp) -> Result<bool, StoreError> {
        let Some(approval) = self.approval(id)? else {
            return Ok(false);
        };
        let open = self.approval_is_open(&approval)?;
        if open {
            self.approval_close(&approval, at)?;
        }
        Ok(open)
    }

    /// Closes up to `limit` whose time is over and returns them.
    pub fn approvals_expire(&mut self, at: Timestamp, limit: usize) -> Result<Vec<Approval>, StoreError> {
        let mut ids = Vec::new();
        for entry in self.view(DUE)?.range(..(at.saturating_add(1), ""))?.take(limit) {
            ids.push(entry?.0.value().1.to_string());
        }
        let over = self.approvals_of(&ids)?;
        for approval in &over {
            self.approval_close(approval, at)?;
        }
        Ok(over)
    }

    fn approval_close(&mut self, approval: &Approval, at: Timestamp) -> Result<(), StoreError> {
        let id = approval.id.as_str();
        self.put(APPROVALS, id, approval)?;
        self.unset(OPEN, (approval.instance.as_str(), approval.conversation.as_str(), id))?;
        self.unset(DUE, (approval.expires, id))?;
        self.set(CLOSED, (at, id), ())
    }
}

/// Not on a hot path: approvals are few, and those older than a month are gone.
pub(super) fn delete_of_session(tx: &mut Writing<'_>, session: &str) -> Result<(), StoreError> {
    let mut of_it: Vec<Approval> = Vec::new();
    for entry in tx.view(APPROVALS)?.all()? {
        let approval: Approval = decode("approvals", entry?.1.value())?;
        if approval.session == session {
            of_it.push(approval);
        }
    }
    if of_it.is_empty() {
        return Ok(());
    }
    for approval in &of_it {
        let id = approval.id.as_str();
        tx.unset(APPROVALS, id)?;
        tx.unset(OPEN, (approval.instance.as_str(), approval.conversation.as_str(), id))?;
        tx.unset(DUE, (approval.expires, id))?;
    }
    let gone = |id: &str| of_it.iter().any(|approval| approval.id == id);
    tx.table(CLOSED)?.retain(|(_, id), ()| !gone(id))?;
    Ok(())
}
