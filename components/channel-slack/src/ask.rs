//! Approvals as messages with buttons.

use openpista_plugin::cut::pieces;
use openpista_plugin::question::{BUTTONS, data, question};
use openpista_plugin::rich::Run;
use serde_json::{Value, json};

use crate::contract::exports::openpista::plugin::channel::{DeliveryError, Outcome};
use crate::contract::openpista::gateway::gateway::Approval;
use crate::host::Fault;
use crate::show::{Chat, Piece, cost};

openpista_plugin::messenger_questions!();

/// UTF-16 units of the text of a block.
const BLOCK: usize = 3_000;

/// `approvals.ask`
pub fn ask(chat: &Chat<'_>, approval: &Approval) -> Result<Outcome, DeliveryError> {
    let buttons = BUTTONS.map(|(answer, words)| {
        let text = json!({"type": "plain_text", "text": words, "emoji": true});
        let value = data(answer, &approval.id);
        // Ids of actions differ within a block.
        json!({"type": "button", "action_id": format!("{answer:?}"), "text": text, "value": value})
    });
    let piece = piece(&question(&approval.tool, &approval.arguments));
    let blocks = json!([section(&piece), {"type": "actions", "elements": buttons}]);
    Ok(Outcome::Done(Some(chat.send(&piece, Some(blocks))?)))
}

/// `approvals.decided`: the buttons go, and what was said stands there.
pub fn decided(chat: &Chat<'_>, verdict: &Verdict) -> Result<(), DeliveryError> {
    // Without a receipt it was never shown.
    let Some(ts) = &verdict.receipt else { return Ok(()) };
    let piece = piece(&ended(verdict));
    match chat.edit(ts, &piece, Some(json!([section(&piece)]))) {
        Ok(()) | Err(Fault::Missing) => Ok(()),
        Err(fault) => Err(fault.into()),
    }
}

/// Escapes may make even a short command too long for a block: then its middle is missing.
fn piece(runs: &[Run]) -> Piece {
    if cost(runs) <= BLOCK {
        return Piece::of(runs);
    }
    let cut = pieces(runs.to_vec(), BLOCK / 2 - 10, &cost);
    let (first, last) = (cut.first().cloned().unwrap_or_default(), cut.last().cloned().unwrap_or_default());
    Piece::of(&[first, vec![Run::plain("\n…\n")], last].concat())
}

fn section(piece: &Piece) -> Value {
    json!({"type": "section", "text": {"type": "mrkdwn", "text": piece.text}})
}
