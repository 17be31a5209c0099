//! Who decides about a tool call: the policy, what was allowed for the session, or a person.
//!
//! A question is stored before it is shown, and so is its answer, so both outlive a restart: a turn that is resumed
//! finds the question that is still open and waits on.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use sha2::{Digest as _, Sha256};
use tokio::sync::watch;

use super::{Desk, Key, Tap, Tapped, lock};
use crate::agent::policy::{Facts, decide};
use crate::agent::ports::{Approver, Policy};
use crate::message::{Approval, Decision, Delivery, DeliveryContent, Sender, ToolCall, ToolDefinition, new_id, now};

const SUMMARY_MAX: usize = 300;

/// Who waits for a decision, by approval.
#[derive(Default)]
pub struct Waiting(Mutex<HashMap<String, watch::Sender<Option<Option<Decision>>>>>);

impl Waiting {
    /// A decision is stored (none: nobody answered in time): the turn goes on.
    pub fn decided(&self, approval: &str, decision: Option<Decision>) {
        if let Some(waiter) = lock(&self.0).remove(approval) {
            // A turn that is gone needs no answer.
            let _ = waiter.send(Some(decision));
        }
    }

    fn wait(&self, approval: &str) -> watch::Receiver<Option<Option<Decision>>> {
        lock(&self.0).entry(approval.to_string()).or_insert_with(|| watch::channel(None).0).subscribe()
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
    /// Tools allowed for the session.
    pub allowed: Mutex<HashSet<String>>,
    /// Questions of an earlier run of this turn that were open when this one began.
    pub asked: Vec<Approval>,
    /// Somebody who runs the turn by hand.
    pub tap: Option<Tap>,
}

/// A decision holds for exactly this tool and these arguments.
fn hash(call: &ToolCall) -> String {
    let mut hasher = Sha256::new();
    hasher.update(call.name.as_bytes());
    hasher.update([0]);
    hasher.update(call.arguments.as_bytes());
    hex::encode(hasher.finalize())
}

/// One line for a person: the arguments' values. The tool is told apart from it.
fn summary(call: &ToolCall) -> String {
    let values = match serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(&call.arguments) {
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
        Err(_) => call.arguments.clone(),
    };
    let mut line: String = values.chars().map(|c| if c.is_control() { ' ' } else { c }).take(SUMMARY_MAX + 1).collect();
    if line.chars().count() > SUMMARY_MAX {
        line = line.chars().take(SUMMARY_MAX).chain(['…']).collect();
    }
    line
}

impl TurnApprover {
    fn fresh(&self, call: &ToolCall) -> Approval {
        let time = u64::try_from(self.desk.settings.approval_time.as_millis()).unwrap_or(u64::MAX);
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
            summary: summary(call),
            arguments: call.arguments.clone(),
            hash: hash(call),
            expires: now().saturating_add(time),
            by_hand: self.tap.is_some(),
            decision: None,
            receipt: None,
        }
    }

    /// The question of an earlier run of this turn, which may have been answered a moment ago; else a new one, stored
    /// with its delivery.
    async fn question(&self, call: &ToolCall) -> anyhow::Result<Approval> {
        let hash = hash(call);
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
            allowed_for_session: lock(&self.allowed).contains(&call.name),
            untrusted,
            trust_content: self.desk.settings.trust_content,
        };
        decide(&self.desk.settings.rules, &call.name, facts)
    }

    async fn ask(&self, call: &ToolCall, _tool: &ToolDefinition) -> Option<Decision> {
        let approval = match self.question(call).await {
            Ok(approval) => approval,
            Err(error) => {
                tracing::error!("an approval cannot be stored, so the call is not run: {error:#}");
                return None;
            }
        };
        let mut answer = self.desk.waiting.wait(&approval.id);
        self.look_back(&approval);
        if let Some(tap) = &self.tap {
            tap(Tapped::Ask(Box::new(approval.clone())));
        }
        let left = std::time::Duration::from_millis(approval.expires.saturating_sub(now()));
        let answered = async {
            let answered = answer.wait_for(Option::is_some).await.ok().and_then(|answer| *answer);
            answered.flatten()
        };
        let decision = tokio::select! {
            decision = answered => decision,
            () = tokio::time::sleep(left) => {
                self.expire(&approval).await;
                None
            }
        };
        // The session's record has it already: it was stored with the decision.
        if decision == Some(Decision::AllowSession) {
            lock(&self.allowed).insert(call.name.clone());
        }
        decision
    }
}

impl TurnApprover {
    /// A question is seen as soon as it is stored, so its answer can be there before anybody waited for it.
    fn look_back(&self, approval: &Approval) {
        let stored = self.desk.store.read(|tx| {
            let open = tx.approval_is_open(approval)?;
            Ok((open, tx.approval(&approval.id)?.and_then(|stored| stored.decision)))
        });
        match stored {
            Ok((true, _)) => (),
            Ok((false, decision)) => {
                self.desk.waiting.decided(&approval.id, decision.map(|(decision, _)| decision));
            }
            Err(error) => tracing::error!("whether an approval was answered cannot be read: {error}"),
        }
    }

    /// Nobody answered: the question is taken away where it was shown.
    async fn expire(&self, approval: &Approval) {
        let deliveries = expired(&self.desk, vec![approval.clone()], self.tap.is_none()).await;
        self.desk.outlet.enqueued(deliveries);
    }
}

/// Closes questions that are over without an answer; the deliveries that say so.
pub async fn expired(desk: &Desk, approvals: Vec<Approval>, shown: bool) -> Vec<Delivery> {
    let deliveries: Vec<Delivery> = approvals
        .iter()
        .map(|approval| Delivery {
            id: format!("over-{}", approval.id),
            instance: approval.instance.clone(),
            conversation: approval.conversation.clone(),
            turn: Some(approval.turn.clone()),
            handle: approval.handle.clone(),
            content: DeliveryContent::Decided(approval.clone()),
        })
        .collect();
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
mod tests {
    use super::*;

    fn call(arguments: &str) -> ToolCall {
        ToolCall { id: "1".into(), name: "system.run".into(), arguments: arguments.into() }
    }

    #[test]
    fn the_summary_is_one_bounded_line_with_the_values() {
        assert_eq!(summary(&call(r#"{"command":"ls -la"}"#)), "ls -la");
        assert_eq!(summary(&call(r#"{"command":"a\nb","timeout":3}"#)), "command: a b, timeout: 3");
        assert_eq!(summary(&call("broken")), "broken");
        assert_eq!(summary(&call(&format!(r#"{{"command":"{}"}}"#, "ä".repeat(500)))).chars().count(), 301);
    }

    #[test]
    fn a_decision_is_bound_to_tool_and_arguments() {
        let one = hash(&call(r#"{"command":"ls"}"#));
        assert_ne!(one, hash(&call(r#"{"command":"ls "}"#)));
        assert_ne!(one, hash(&ToolCall { name: "system.ru".into(), ..call(r#"n{"command":"ls"}"#) }));
    }
}
