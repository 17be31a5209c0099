//! What is shown by the Cloud API: replies in pieces, files, questions with buttons, the typing sign.
//!
//! Nothing can be changed that was sent, so there are no drafts. The receipt of a turn lists what it has sent; one message
//! is sent in a call, and if more are to follow, the outcome is a part.

use openpista_plugin::messenger::file_name;
use openpista_plugin::question::{Answer, data, question};
use openpista_plugin::request::left_out;
use openpista_plugin::rich::Run;
use openpista_plugin::shown::{Messages, Shown, hash};
use serde_json::{Value, json};

use crate::contract::exports::openpista::plugin::approvals::Verdict;
use crate::contract::exports::openpista::plugin::channel::{
    ChannelError, Delivery, DeliveryContent, DeliveryError, Outcome,
};
use crate::contract::openpista::gateway::gateway::{Approval, Sender};
use crate::contract::openpista::types::types::Media;
use crate::graph::Graph;
use crate::host::Fault;
use crate::text::{self, MESSAGES};

/// What a pressed button does, as in every messenger.
pub mod answers {
    openpista_plugin::messenger_questions!();
}

/// Before what a button of ours carries: those of templates carry what somebody else wrote.
pub const PRESSED: &str = "pista:";
/// The buttons of a question. A title has at most 20 characters.
const BUTTONS: [(Answer, &str); 3] =
    [(Answer::Once, "✅ Allow"), (Answer::Session, "✅ This session"), (Answer::Deny, "🚫 Deny")];
/// The text above buttons.
const BODY: usize = 1_024;
/// Stands for the file in the receipt.
const FILE: u32 = 0;

/// One chat, to write to.
pub struct Chat<'a> {
    graph: Graph<'a>,
    phone: String,
    person: String,
}

impl<'a> Chat<'a> {
    /// The chat of a conversation.
    pub fn of(graph: Graph<'a>, conversation: &str) -> Result<Self, DeliveryError> {
        let strange = || DeliveryError::Rejected(format!("{conversation} is no conversation of this channel"));
        let (phone, person) =
            conversation.strip_prefix("whatsapp:").and_then(|rest| rest.split_once('/')).ok_or_else(strange)?;
        Ok(Self { graph, phone: phone.into(), person: person.into() })
    }

    fn text(&self, text: &str) -> Result<String, Fault> {
        self.graph.text(&self.phone, &self.person, text)
    }

    /// `channel.deliver`
    pub fn deliver(&self, delivery: Delivery) -> Result<Outcome, DeliveryError> {
        Ok(self.show(delivery)?)
    }

    fn show(&self, delivery: Delivery) -> Result<Outcome, Fault> {
        let first = |words: &str| self.text(text::plain(words).first().map_or("", String::as_str));
        match delivery.content {
            DeliveryContent::Working => {
                let Some(id) = delivery.handle else { return Ok(Outcome::Done(None)) };
                let sign = json!({"status": "read", "message_id": id, "typing_indicator": {"type": "text"}});
                self.graph.post(&self.phone, sign)?;
            }
            DeliveryContent::Reply(reply) => return self.put(&reply.text, delivery.receipt.as_deref()),
            DeliveryContent::Failed(why) => {
                first(&format!("❌ {why}"))?;
            }
            DeliveryContent::Notice(words) => {
                first(&words)?;
            }
            DeliveryContent::Media(file) => {
                self.file(file)?;
            }
            DeliveryContent::Draft(_) | DeliveryContent::Activity(_) | DeliveryContent::Other(_) => (),
        }
        Ok(Outcome::Done(None))
    }

    /// Sends the next piece of a reply.
    fn put(&self, markdown: &str, receipt: Option<&str>) -> Result<Outcome, Fault> {
        let mut pieces = text::reply(markdown);
        if pieces.is_empty() {
            pieces.push("✅".into());
        }
        let mut hashes: Vec<u32> = pieces.iter().take(MESSAGES).map(|piece| hash(piece)).collect();
        if pieces.len() > MESSAGES {
            pieces.truncate(MESSAGES);
            hashes.push(FILE);
        }
        let mut shown = Shown::parse(receipt);
        let over = shown.advance(&hashes, true, self.graph.host.now(), &mut Pieces { chat: self, pieces, markdown })?;
        Ok(if over { Outcome::Done(Some(shown.receipt())) } else { Outcome::Part((shown.receipt(), 0)) })
    }

    fn file(&self, file: Media) -> Result<String, Fault> {
        let kind = match file.mime.as_str() {
            "image/jpeg" | "image/png" => "image",
            "audio/aac" | "audio/amr" | "audio/mpeg" | "audio/mp4" | "audio/ogg" => "audio",
            "video/mp4" | "video/3gpp" => "video",
            _ => "document",
        };
        let name = file_name(file.name.clone(), &file.mime);
        let words = left_out(Some(&name), &file.mime);
        let sent = self.graph.upload(&self.phone, &name, file).and_then(|id| {
            let body = if kind == "document" { json!({"id": id, "filename": name}) } else { json!({"id": id}) };
            self.graph.send(&self.phone, &self.person, kind, body)
        });
        match sent {
            // Not each type of file is taken; that there was one is worth a word.
            Err(Fault::Refused(_)) => self.text(&words),
            sent => sent,
        }
    }

    /// `approvals.ask`
    pub fn ask(&self, approval: &Approval) -> Result<Outcome, DeliveryError> {
        Ok(Outcome::Done(Some(self.question(approval)?)))
    }

    fn question(&self, approval: &Approval) -> Result<String, Fault> {
        let mut body = text::marked(&question(&approval.tool, &approval.arguments));
        if body.chars().count() > BODY {
            self.text(&body)?;
            body = text::marked(&[Run::plain("May I run "), Run::bold(&approval.tool), Run::plain(", as above?")]);
        }
        let button = |(answer, title): (Answer, &str)| json!({"type": "reply", "reply": {"id": format!("{PRESSED}{}", data(answer, &approval.id)), "title": title}});
        let buttons: Vec<Value> = BUTTONS.into_iter().map(button).collect();
        let interactive = json!({"type": "button", "body": {"text": body}, "action": {"buttons": buttons}});
        self.graph.send(&self.phone, &self.person, "interactive", interactive)
    }

    /// `approvals.decided`: buttons cannot be taken away, and who pressed one sees that. So only an end without an answer
    /// is told.
    pub fn decided(&self, verdict: &Verdict) -> Result<(), DeliveryError> {
        if verdict.receipt.is_none() || verdict.decision.is_some() {
            return Ok(());
        }
        self.text(&format!("⌛ Not answered in time, so {} is not run", verdict.approval.tool))?;
        Ok(())
    }
}

struct Pieces<'a> {
    chat: &'a Chat<'a>,
    pieces: Vec<String>,
    markdown: &'a str,
}

impl Messages for Pieces<'_> {
    type Fault = Fault;

    fn send(&mut self, place: usize) -> Result<String, Fault> {
        let id = match self.pieces.get(place) {
            Some(piece) => self.chat.text(piece)?,
            None => {
                let data = self.markdown.as_bytes().to_vec();
                self.chat.file(Media { mime: "text/plain".into(), name: Some("reply.txt".into()), data })?
            }
        };
        // The ids end with signs that stand for something in a receipt.
        Ok(id.trim_end_matches('=').replace(',', ""))
    }

    fn edit(&mut self, _place: usize, _id: &str) -> Result<bool, Fault> {
        Ok(true)
    }

    fn delete(&mut self, _id: &str) -> Result<(), Fault> {
        Ok(())
    }
}

/// A button of a question was pressed. Who may not press it, or comes late, is told so.
pub fn pressed(graph: Graph<'_>, (phone, person): (&str, &str), data: &str, by: &Sender) -> Result<(), ChannelError> {
    let why = answers::pressed(graph.host, data, by)?;
    if !why.is_empty()
        && let Err(fault) = graph.text(phone, person, why)
    {
        graph.host.warn(&format!("who pressed a button was not told why it does not count: {fault:?}"));
    }
    Ok(())
}
