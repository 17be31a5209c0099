//! Approvals as messages with buttons.

use openpista_plugin::question::{BUTTONS, data, question};
use serde_json::json;

use crate::contract::exports::openpista::plugin::channel::{DeliveryError, Outcome};
use crate::contract::openpista::gateway::gateway::Approval;
use crate::host::Fault;
use crate::show::{Chat, Piece};

openpista_plugin::messenger_questions!();

/// `approvals.ask`
pub fn ask(chat: &Chat<'_>, approval: &Approval) -> Result<Outcome, DeliveryError> {
    // One below the other: side by side their words would be cut on a phone.
    let rows = BUTTONS.map(|(answer, words)| json!([{"text": words, "callback_data": data(answer, &approval.id)}]));
    let more = json!({"reply_markup": {"inline_keyboard": rows}});
    // A question is far below the length at which it would have to be cut.
    let piece = Piece::of(&question(&approval.tool, &approval.arguments));
    let id = chat.send(&piece, approval.handle.as_deref(), more)?;
    Ok(Outcome::Done(Some(id.to_string())))
}

/// `approvals.decided`: the buttons go, and what was said stands there.
pub fn decided(chat: &Chat<'_>, verdict: &Verdict) -> Result<(), DeliveryError> {
    // Without a receipt it was never shown.
    let Some(id) = verdict.receipt.as_deref().and_then(|receipt| receipt.parse().ok()) else { return Ok(()) };
    match chat.edit(id, &Piece::of(&ended(verdict))) {
        Ok(()) | Err(Fault::Missing) => Ok(()),
        Err(fault) => Err(fault.into()),
    }
}
