//! `openpista:gateway`: from a channel into the host. All of it is held until the call returns ok.

use super::{Error, View};
use crate::message::{Attachment, Decision, Inbound, Media, Sender};
use crate::wit::openpista::gateway::gateway::{
    Approval, Attachment as WitAttachment, Decision as WitDecision, Host, Inbound as WitInbound, Notice,
    Sender as WitSender, Settlement,
};

const TEXT_MAX: usize = 256 << 10;
const CONVERSATION_MAX: usize = 256;
const HANDLE_MAX: usize = 4 << 10;
const MEDIA_MAX: usize = 10 << 20;
const NOTICE_MAX: usize = 1 << 10;
/// Of a notice that is no text: more than fits into a QR code.
const CODE_MAX: usize = 4 << 10;
/// What a delivery left behind for the next one, in bytes.
pub const RECEIPT_MAX: usize = 4 << 10;

/// One held effect.
#[derive(Debug, Clone, PartialEq)]
pub enum Effect {
    /// A message of a person.
    Submit(Inbound),
    /// An answer to an approval.
    Decide {
        /// Which.
        approval: String,
        /// Who.
        by: Sender,
        /// What.
        decision: Decision,
    },
    /// Stop the turn of a conversation.
    Cancel {
        /// Where.
        conversation: String,
        /// Who.
        by: Sender,
    },
    /// The end of a delivery that was pending.
    Settle {
        /// Which.
        delivery: String,
        /// How.
        outcome: Settlement,
    },
    /// For the person who runs the host.
    Notice(Notice),
}

impl Effect {
    /// What it keeps in memory, about.
    fn bytes(&self) -> usize {
        match self {
            Self::Submit(inbound) => {
                let media = inbound.attachments.iter().map(|attachment| match attachment {
                    Attachment::Media(media) => media.data.len(),
                    Attachment::Later(reference) => reference.len(),
                });
                inbound.text.len() + media.sum::<usize>()
            }
            Self::Decide { approval, .. } => approval.len(),
            Self::Cancel { conversation, .. } => conversation.len(),
            Self::Settle { delivery, outcome } => {
                delivery.len()
                    + match outcome {
                        Settlement::Shown(receipt) => receipt.as_ref().map_or(0, String::len),
                        Settlement::Unavailable(why) | Settlement::Rejected(why) => why.len(),
                    }
            }
            Self::Notice(notice) => notice_bytes(notice),
        }
    }
}

fn notice_bytes(notice: &Notice) -> usize {
    match notice {
        Notice::Text(text) | Notice::Qr((text, _)) => text.len(),
        Notice::Other(other) => other.kind.len() + other.data.len(),
        Notice::Clear => 0,
    }
}

fn sender(from: WitSender) -> Sender {
    Sender { id: from.id, name: from.name }
}

/// The type that a file says it has, unless its bytes say otherwise: a page or a script can't pass for an image.
pub fn checked_media(from: crate::wit::types::Media) -> Result<Media, Error> {
    if from.data.len() > MEDIA_MAX {
        return Err(Error::TooLarge(format!("a file has at most {MEDIA_MAX} bytes")));
    }
    let mime = infer::get(&from.data).map_or_else(
        || {
            let claimed = from.mime.to_ascii_lowercase();
            let plain = claimed.starts_with("text/plain") || claimed == "application/json";
            if plain { claimed } else { "application/octet-stream".into() }
        },
        |kind| kind.mime_type().to_string(),
    );
    let name = from.name.map(|name| {
        let base = name.rsplit(['/', '\\']).next().unwrap_or_default();
        base.chars().filter(|c| !c.is_control()).collect::<String>()
    });
    Ok(Media { mime, name: name.filter(|name| !name.is_empty()), data: from.data.into() })
}

impl View<'_> {
    fn inbound(&self, from: WitInbound) -> Result<Inbound, Error> {
        self.in_channel("gateway")?;
        if from.id.is_empty() || from.conversation.is_empty() || from.sender.id.is_empty() {
            return Err(Error::Invalid("a message needs an id, a conversation and a sender".into()));
        }
        let limits = [
            ("id", from.id.len(), CONVERSATION_MAX),
            ("conversation", from.conversation.len(), CONVERSATION_MAX),
            ("sender", from.sender.id.len().max(from.sender.name.len()), CONVERSATION_MAX),
            ("text", from.text.len(), TEXT_MAX),
            ("handle", from.handle.as_ref().map_or(0, String::len), HANDLE_MAX),
        ];
        if let Some((what, _, most)) = limits.iter().find(|(_, size, most)| size > most) {
            return Err(Error::TooLarge(format!("a message's {what} has at most {most} bytes")));
        }
        let attachments = from
            .attachments
            .into_iter()
            .map(|attachment| match attachment {
                WitAttachment::Media(media) => checked_media(media).map(Attachment::Media),
                WitAttachment::Later(reference) if reference.len() > HANDLE_MAX => {
                    Err(Error::TooLarge(format!("an attachment's reference has at most {HANDLE_MAX} bytes")))
                }
                WitAttachment::Later(reference) => Ok(Attachment::Later(reference)),
            })
            .collect::<Result<_, _>>()?;
        Ok(Inbound {
            instance: self.call.caller.instance.clone(),
            id: from.id,
            conversation: from.conversation,
            sender: sender(from.sender),
            text: from.text,
            attachments,
            sent: from.sent,
            handle: from.handle,
        })
    }

    fn hold_gateway(&mut self, effect: Effect) -> Result<(), Error> {
        let bytes = effect.bytes();
        self.call.held.hold(super::Effect::Gateway(effect), bytes)
    }
}

impl Host for View<'_> {
    async fn submit(&mut self, message: WitInbound) -> wasmtime::Result<Result<(), Error>> {
        Ok(self.inbound(message).and_then(|inbound| self.hold_gateway(Effect::Submit(inbound))))
    }

    async fn decide(
        &mut self,
        approval: String,
        by: WitSender,
        decision: WitDecision,
    ) -> wasmtime::Result<Result<(), Error>> {
        if let Err(error) = self.in_channel("gateway") {
            return Ok(Err(error));
        }
        let by = sender(by);
        let checked = self.call.services.conversations.may_decide(&self.call.caller.instance, &approval, &by);
        let arguments =
            super::ledger::hash([approval.as_bytes(), by.id.as_bytes(), format!("{decision:?}").as_bytes()]);
        self.note("gateway", format!("decide {approval} by {}", by.id), arguments, checked.is_ok());
        let decision = match decision {
            WitDecision::AllowOnce => Decision::AllowOnce,
            WitDecision::AllowSession => Decision::AllowSession,
            WitDecision::Deny => Decision::Deny,
        };
        Ok(checked.and_then(|()| self.hold_gateway(Effect::Decide { approval, by, decision })))
    }

    async fn waiting(&mut self, conversation: String) -> wasmtime::Result<Result<Vec<Approval>, Error>> {
        Ok(self.in_channel("gateway").map(|()| {
            let waiting = self.call.services.conversations.waiting(&self.call.caller.instance, &conversation);
            waiting.into_iter().map(approval).collect()
        }))
    }

    async fn cancel(&mut self, conversation: String, by: WitSender) -> wasmtime::Result<Result<(), Error>> {
        let by = sender(by);
        Ok(self.in_channel("gateway").and_then(|()| self.hold_gateway(Effect::Cancel { conversation, by })))
    }

    async fn settle(&mut self, delivery: String, outcome: Settlement) -> wasmtime::Result<Result<(), Error>> {
        if let Settlement::Shown(Some(receipt)) = &outcome
            && receipt.len() > RECEIPT_MAX
        {
            return Ok(Err(Error::TooLarge(format!("a receipt has at most {RECEIPT_MAX} bytes"))));
        }
        Ok(self.in_channel("gateway").and_then(|()| self.hold_gateway(Effect::Settle { delivery, outcome })))
    }

    async fn tell_operator(&mut self, notice: Notice) -> wasmtime::Result<Result<(), Error>> {
        let most = if matches!(notice, Notice::Text(_)) { NOTICE_MAX } else { CODE_MAX };
        if notice_bytes(&notice) > most {
            return Ok(Err(Error::TooLarge(format!("a notice has at most {most} bytes"))));
        }
        Ok(self.in_channel("gateway").and_then(|()| self.hold_gateway(Effect::Notice(notice))))
    }
}

/// An approval as the contract has it.
pub fn approval(from: crate::message::Approval) -> Approval {
    Approval {
        id: from.id,
        conversation: from.conversation,
        handle: from.handle,
        tool: from.tool,
        summary: from.summary,
        arguments: from.arguments,
        expires: from.expires,
    }
}
