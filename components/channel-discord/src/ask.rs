//! Approvals as messages with buttons.

use openpista_plugin::cut::pieces;
use openpista_plugin::messenger::key;
use openpista_plugin::question::{Answer as Button, BUTTONS, data, question};
use openpista_plugin::rich::Run;
use serde_json::{Value, json};

use crate::contract::exports::openpista::plugin::channel::{DeliveryError, Outcome};
use crate::contract::openpista::gateway::gateway::Approval;
use crate::handle::Handle;
use crate::host::Fault;
use crate::markup::{cost, markdown};
use crate::show::Chat;

openpista_plugin::messenger_questions!();

/// Of one message of a question: its end has to fit behind it.
const MESSAGE: usize = 1_800;

/// `approvals.ask`. A long one takes several messages, the last of which has the buttons. Each is known again by its nonce
/// when the question is asked again because one of them failed.
pub fn ask(chat: &Chat<'_>, approval: &Approval) -> Result<Outcome, DeliveryError> {
    let style = |answer| match answer {
        Button::Once => 3,
        Button::Session => 2,
        Button::Deny => 4,
    };
    let buttons = BUTTONS.map(|(answer, words)| {
        json!({"type": 2, "style": style(answer), "label": words, "custom_id": data(answer, &approval.id)})
    });
    let buttons = json!({"components": [{"type": 1, "components": buttons}]});
    let all = cut(question(&approval.tool, &approval.arguments));
    let handle = Handle::parse(approval.handle.as_deref());
    let mut last = None;
    for (at, piece) in all.iter().enumerate() {
        let more = if at + 1 == all.len() { buttons.clone() } else { Value::Null };
        let key = key(&[chat.channel(), &approval.id, &at.to_string()]);
        last = Some(chat.send(&markdown(piece), &key, &handle, more)?.0);
    }
    Ok(Outcome::Done(last))
}

/// `approvals.decided`: the buttons go, and what was said stands there.
pub fn decided(chat: &Chat<'_>, verdict: &Verdict) -> Result<(), DeliveryError> {
    // Without a receipt it was never shown.
    let Some(id) = &verdict.receipt else { return Ok(()) };
    let mut runs = ended(verdict);
    let end = runs.pop();
    let mut last = cut(runs).pop().unwrap_or_default();
    last.extend(end);
    match chat.edit(id, &markdown(&last), json!({"components": []})) {
        Ok(()) | Err(Fault::Missing) => Ok(()),
        Err(fault) => Err(fault.into()),
    }
}

fn cut(runs: Vec<Run>) -> Vec<Vec<Run>> {
    pieces(runs, MESSAGE, &cost)
}
