//! Who decides about a tool call: the policy, what was allowed for the session, or a person.
//!
//! A question is stored before it is shown, and so is its answer, so both outlive a restart: a turn that is resumed
//! finds the question that is still open and waits on. What is allowed for the session answers the questions about the
//! same tool that wait beside it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use sha2::{Digest as _, Sha256};
use tokio::sync::watch;

use super::{Desk, Key, Tap, Tapped, lock};
use crate::agent::policy::{Facts, decide};
use crate::agent::ports::{Answer, Approver, Policy};
use crate::message::{
    Approval, Decision, Delivery, DeliveryContent, Sender, ToolCall, ToolDefinition, allowance, arguments_hash, new_id,
    now, steers,
};
use crate::store::{Decided, LedgerLine};

const SUMMARY_MAX: usize = 300;
const NO_ONE_THERE: &str = "The message came from a command line that nobody sits at. To allow it, the user can run the \
                            command with --yes, or write a line for the tool under [policy.tools] in config.toml.";
const NOT_STORED: &str = "The host could not store the question; its log says why.";

/// Who waits for an answer, by approval.
#[derive(Default)]
pub struct Waiting(Mutex<HashMap<String, watch::Sender<Option<Answer>>>>);

impl Waiting {
    /// A decision is stored (none: nobody answered in time): the turn goes on.
    pub fn decided(&self, approval: &str, decision: Option<Decision>) {
        self.answer(approval, decision.map_or(Answer::Late, Answer::Said));
    }

    /// Whoever follows the turn has nobody to ask.
    pub fn nobody(&self, approval: &str) {
        self.answer(approval, Answer::Nobody(NO_ONE_THERE.into()));
    }

    fn answer(&self, approval: &str, answer: Answer) {
        if let Some(waiter) = lock(&self.0).remove(approval) {
            // A turn that is gone needs no answer.
            let _ = waiter.send(Some(answer));
        }
    }

    fn wait<'a>(&'a self, approval: &'a str) -> Waiter<'a> {
        let mut waiting = lock(&self.0);
        let answer = waiting.entry(approval.to_string()).or_insert_with(|| watch::channel(None).0).subscribe();
        Waiter { waiting: self, approval, answer }
    }
}

/// One who waits; a turn that is stopped leaves nothing behind.
struct Waiter<'a> {
    waiting: &'a Waiting,
    approval: &'a str,
    answer: watch::Receiver<Option<Answer>>,
}

impl Waiter<'_> {
    async fn answered(&mut self) -> Answer {
        let answered = self.answer.wait_for(Option::is_some).await;
        answered.ok().and_then(|answer| answer.clone()).unwrap_or(Answer::Late)
    }
}

impl Drop for Waiter<'_> {
    fn drop(&mut self) {
        lock(&self.waiting.0).remove(self.approval);
    }
}

/// For one turn.
pub struct TurnApprover {
    /// What all share.
    pub desk: Arc<Desk>,
    /// Where to ask.
    pub key: Key,
    /// The session.
    pub session: String,
    /// The turn.
    pub turn: String,
    /// Who began it, and may answer.
    pub owner: Sender,
    /// From the message that began it.
    pub handle: Option<String>,
    /// Tools allowed for the session, with whose word it was.
    pub allowed: watch::Sender<HashMap<String, Sender>>,
    /// Questions of an earlier run of this turn that were open when this one began.
    pub asked: Vec<Approval>,
    /// By call of the model: the question that was asked about it.
    pub approved: Mutex<HashMap<String, String>>,
    /// Somebody who runs the turn by hand.
    pub tap: Option<Tap>,
}

/// A decision holds for exactly this tool of this owner and these arguments.
fn hash(call: &ToolCall, owned_by: &str) -> String {
    let mut hasher = Sha256::new();
    for part in [call.name.as_str(), owned_by] {
        hasher.update(part.as_bytes());
        hasher.update([0]);
    }
    hasher.update(call.arguments.as_bytes());
    hex::encode(hasher.finalize())
}

/// One line for a person: the arguments' values. The tool is told apart from it.
fn summary(arguments: &str) -> String {
    let values = match serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(arguments) {
        Ok(arguments) if arguments.len() == 1 => {
            arguments.values().map(|value| value.as_str().map_or_else(|| value.to_string(), str::to_string)).collect()
        }
        Ok(arguments) => arguments
            .iter()
            .map(|(name, value)| {
                format!("{name}: {}", value.as_str().map_or_else(|| value.to_string(), str::to_string))
            })
            .collect::<Vec<_>>()
            .join(", "),
        Err(_) => arguments.to_string(),
    };
    let mut line: String = values.chars().map(|c| if steers(c) { ' ' } else { c }).take(SUMMARY_MAX + 1).collect();
    if line.chars().count() > SUMMARY_MAX {
        line = line.chars().take(SUMMARY_MAX).chain(['…']).collect();
    }
    line
}

impl TurnApprover {
    /// Plugin and instance of the tool; empty if nobody has it.
    fn owned_by(&self, call: &ToolCall) -> String {
        self.desk.power.owner(&call.name).map_or_else(String::new, |(plugin, instance)| format!("{plugin} {instance}"))
    }

    fn allowance(&self, call: &ToolCall) -> String {
        allowance(&call.name, &self.owned_by(call))
    }

    fn fresh(&self, call: &ToolCall) -> Approval {
        let time = u64::try_from(self.desk.settings.approval_time.as_millis()).unwrap_or(u64::MAX);
        // For the eye only: what is run is the call itself.
        let arguments = self.desk.known.clean(&call.arguments);
        let owned_by = self.owned_by(call);
        Approval {
            id: new_id(),
            instance: self.key.instance.clone(),
            conversation: self.key.conversation.clone(),
            session: self.session.clone(),
            turn: self.turn.clone(),
            call: call.id.clone(),
            owner: self.owner.clone(),
            handle: self.handle.clone(),
            tool: call.name.clone(),
            summary: summary(&arguments),
            arguments: arguments.into_owned(),
            hash: hash(call, &owned_by),
            owned_by,
            expires: now().saturating_add(time),
            by_hand: self.tap.is_some(),
            decision: None,
            receipt: None,
        }
    }

    /// The question of an earlier run of this turn, which may have been answered a moment ago; else a new one, stored
    /// with its delivery.
    async fn question(&self, call: &ToolCall) -> anyhow::Result<Approval> {
        let hash = hash(call, &self.owned_by(call));
        if let Some(asked) = self.asked.iter().find(|asked| asked.call == call.id && asked.hash == hash) {
            return Ok(asked.clone());
        }
        let approval = self.fresh(call);
        let delivery = Delivery {
            id: format!("ask-{}", approval.id),
            instance: self.key.instance.clone(),
            conversation: self.key.conversation.clone(),
            turn: Some(self.turn.clone()),
            handle: self.handle.clone(),
            content: DeliveryContent::Ask(approval.clone()),
        };
        let by_hand = self.tap.is_some();
        let stored = (approval.clone(), delivery.clone());
        self.desk
            .store
            .write(move |tx| {
                tx.approval_put(&stored.0, now())?;
                if !by_hand {
                    tx.outbox_enqueue(&stored.1, now())?;
                }
                Ok(())
            })
            .await?;
        if !by_hand {
            self.desk.outlet.enqueued(vec![delivery]);
        }
        Ok(approval)
    }
}

#[async_trait]
impl Approver for TurnApprover {
    fn policy(&self, call: &ToolCall, tool: &ToolDefinition, untrusted: bool) -> Policy {
        let facts = Facts {
            powerful: self.desk.power.powerful(&call.name),
            hints: tool.hints,
            allowed_for_session: self.allowed.borrow().contains_key(&self.allowance(call)),
            untrusted,
            trust_content: self.desk.settings.trust_content,
        };
        decide(&self.desk.settings.rules, &call.name, facts)
    }

    fn grounds(&self, call: &ToolCall) -> String {
        if let Some(approval) = lock(&self.approved).get(&call.id) {
            return approval.clone();
        }
        if self.desk.settings.rules.find(&call.name) == Some(Policy::Allow) {
            return "policy: a rule allows it".into();
        }
        match self.allowed.borrow().get(&self.allowance(call)) {
            Some(by) => format!("session: allowed by {}", by.id),
            None => "not asked: the tool has no power".into(),
        }
    }

    fn refused(&self, call: &ToolCall, why: &str) {
        let (plugin, instance) = self.desk.power.owner(&call.name).unwrap_or_default();
        let line = LedgerLine {
            at: now(),
            plugin,
            instance,
            session: Some(self.session.clone()),
            turn: Some(self.turn.clone()),
            operation: "tools.call".into(),
            capability: "tools".into(),
            what: call.name.clone(),
            arguments: arguments_hash(&call.arguments),
            approval: lock(&self.approved).get(&call.id).cloned().unwrap_or_default(),
            outcome: why.into(),
            ..LedgerLine::default()
        };
        if let Err(error) = self.desk.store.write_later(move |tx| tx.ledger_append(&line)) {
            tracing::error!("the ledger does not tell of a call that was refused: {error}");
        }
    }

    async fn ask(&self, call: &ToolCall, tool: &ToolDefinition, untrusted: bool) -> Answer {
        let approval = match self.question(call).await {
            Ok(approval) => approval,
            Err(error) => {
                tracing::error!("an approval cannot be stored, so the call is not run: {error:#}");
                return Answer::Nobody(NOT_STORED.into());
            }
        };
        lock(&self.approved).insert(call.id.clone(), format!("approval {}", approval.id));
        self.wait(call, tool, untrusted, approval).await
    }
}

impl TurnApprover {
    /// Waits for the answer to a question that is stored.
    async fn wait(&self, call: &ToolCall, tool: &ToolDefinition, untrusted: bool, approval: Approval) -> Answer {
        let mut allowed = self.allowed.subscribe();
        let mut waiter = self.desk.waiting.wait(&approval.id);
        if let Some(answer) = self.stored(&approval) {
            return answer;
        }
        if let Some(tap) = &self.tap {
            tap(Tapped::Ask(Box::new(approval.clone())));
        }
        let left = std::time::Duration::from_millis(approval.expires.saturating_sub(now()));
        let late = tokio::time::sleep(left);
        tokio::pin!(late);
        loop {
            tokio::select! {
                answer = waiter.answered() => {
                    return if let Answer::Said(decision) = answer { self.said(&approval, decision) } else { answer };
                }
                () = &mut late => {
                    self.expire(&approval).await;
                    return Answer::Late;
                }
                Ok(()) = allowed.changed() => {
                    // What strangers wrote may make a tool ask although it is allowed: then this question stays.
                    let by = self.allowed.borrow().get(&self.allowance(call)).cloned();
                    if let Some(by) = by
                        && self.policy(call, tool, untrusted) == Policy::Allow
                        && let Some(answer) = self.release(&approval, by).await
                    {
                        return answer;
                    }
                }
            }
        }
    }
}

impl TurnApprover {
    /// The answer that was there before anybody waited for it: a question is seen as soon as it is stored.
    fn stored(&self, approval: &Approval) -> Option<Answer> {
        let stored = self.desk.store.read(|tx| {
            let open = tx.approval_is_open(approval)?;
            Ok((open, tx.approval(&approval.id)?.and_then(|stored| stored.decision)))
        });
        match stored {
            Ok((true, _)) => None,
            Ok((false, Some((decision, _)))) => Some(self.said(approval, decision)),
            Ok((false, None)) => Some(Answer::Late),
            Err(error) => {
                tracing::error!("whether an approval was answered cannot be read: {error}");
                None
            }
        }
    }

    /// A person's word, which may let other calls run that wait.
    fn said(&self, approval: &Approval, decision: Decision) -> Answer {
        // The session's record has it already: it was stored with the decision.
        if decision == Decision::AllowSession {
            let found = self.desk.store.read(|tx| tx.approval(&approval.id)).ok().flatten();
            let by = found.and_then(|approval| approval.decision).map_or_else(|| self.owner.clone(), |(_, by)| by);
            self.allowed.send_if_modified(|allowed| allowed.insert(approval.allowance(), by).is_none());
        }
        Answer::Said(decision)
    }

    /// The tool was allowed for the session by the answer to another question: this one is settled by it, and taken
    /// away where it is shown. None: that could not be stored, and it stays open.
    async fn release(&self, approval: &Approval, by: Sender) -> Option<Answer> {
        let id = approval.id.clone();
        let decided = self.desk.store.write(move |tx| {
            let decided = tx.approval_decide(&id, Decision::AllowSession, &by, now())?;
            match &decided {
                Decided::Now(closed) if !closed.by_hand => {
                    tx.outbox_enqueue(&over(closed.clone()), now())?;
                }
                _ => (),
            }
            Ok(decided)
        });
        match decided.await {
            Ok(Decided::Now(closed)) => {
                if !closed.by_hand {
                    self.desk.outlet.enqueued(vec![over(closed)]);
                }
                Some(Answer::Said(Decision::AllowSession))
            }
            // A person was faster.
            Ok(Decided::Already(closed)) => closed.decision.map(|(decision, _)| Answer::Said(decision)),
            Ok(Decided::Expired(_) | Decided::Unknown) => Some(Answer::Late),
            Err(error) => {
                tracing::error!("an approval that is settled by another stays open: {error}");
                None
            }
        }
    }

    /// Nobody answered: the question is taken away where it was shown.
    async fn expire(&self, approval: &Approval) {
        let deliveries = expired(&self.desk, vec![approval.clone()], self.tap.is_none()).await;
        self.desk.outlet.enqueued(deliveries);
    }
}

/// What takes a question away where it was shown.
pub fn over(approval: Approval) -> Delivery {
    Delivery {
        id: format!("over-{}", approval.id),
        instance: approval.instance.clone(),
        conversation: approval.conversation.clone(),
        turn: Some(approval.turn.clone()),
        handle: approval.handle.clone(),
        content: DeliveryContent::Decided(approval),
    }
}

/// Closes questions that are over without an answer; the deliveries that say so.
pub async fn expired(desk: &Desk, approvals: Vec<Approval>, shown: bool) -> Vec<Delivery> {
    let deliveries: Vec<Delivery> = approvals.iter().cloned().map(over).collect();
    let stored = (approvals, deliveries.clone());
    let written = desk
        .store
        .write(move |tx| {
            for approval in &stored.0 {
                tx.approval_withdraw(&approval.id, now())?;
            }
            if shown {
                for delivery in &stored.1 {
                    tx.outbox_enqueue(delivery, now())?;
                }
            }
            Ok(())
        })
        .await;
    match written {
        Ok(()) if shown => deliveries,
        Ok(()) => Vec::new(),
        Err(error) => {
            tracing::error!("the end of an approval cannot be stored: {error}");
            Vec::new()
        }
    }
}

#[cfg(test)]
mod tests;
