//! What is shown in a chat: replies in pieces that are edited while they grow, files, notices, the typing sign.
//!
//! The receipt of a turn lists its messages with a hash of what each shows, so a fresh instance changes only what is
//! different. One message is sent or edited in a call; if more are to follow, the outcome is a part, so that a limit of
//! the API or a crash between two of them repeats nothing.

use openpista_plugin::cut::{self, pieces, utf16};
use openpista_plugin::messenger::{file_name, merged};
use openpista_plugin::multipart::Form;
use openpista_plugin::rich::{Run, parse, text};
use openpista_plugin::shown::{Messages, Shown, hash};
use serde_json::{Value, json};

use crate::api::Api;
use crate::contract::exports::openpista::plugin::channel::{Delivery, DeliveryContent, DeliveryError, Outcome};
use crate::contract::openpista::types::types::Media;
use crate::host::Fault;
use crate::markup::html;
use crate::place::{Place, moved};

/// Of one message, after its markup is read, in UTF-16 units.
const MESSAGE: usize = 4_096;
/// A reply of more messages than this comes as the first of them and a file.
const MESSAGES: usize = 8;
/// Stands for the file in the receipt.
const FILE: u32 = 0;
/// A group takes 20 messages a minute, edits included: drafts are this many ms apart there.
const GROUP_PACE: u64 = 3_500;

/// One message's text, in both forms.
pub struct Piece {
    html: Option<String>,
    plain: String,
}

impl Piece {
    /// With its styles.
    pub fn of(runs: &[Run]) -> Self {
        Self { html: Some(html(runs)), plain: text(runs) }
    }

    fn hash(&self) -> u32 {
        hash(self.html.as_ref().unwrap_or(&self.plain))
    }
}

/// One chat, to write to.
pub struct Chat<'a> {
    /// The API.
    pub api: Api<'a>,
    place: Place,
}

impl<'a> Chat<'a> {
    /// The chat of a conversation.
    pub fn of(api: Api<'a>, conversation: &str) -> Result<Self, DeliveryError> {
        let strange = || DeliveryError::Rejected(format!("{conversation} is no conversation of this channel"));
        Ok(Self { api, place: Place::parse(conversation).ok_or_else(strange)?.today(api.host)? })
    }

    /// Sends a message; its id. In a group it answers the message that is meant.
    pub fn send(&self, piece: &Piece, answers: Option<&str>, more: Value) -> Result<i64, Fault> {
        let mut body = merged(json!({}), more);
        if let Some(id) = answers.filter(|_| self.place.is_group()).and_then(|id| id.parse::<i64>().ok()) {
            body["reply_parameters"] = json!({"message_id": id, "allow_sending_without_reply": true});
        }
        let sent = self.text("sendMessage", piece, &body)?;
        sent.get("message_id").and_then(Value::as_i64).ok_or_else(|| Fault::Refused("a message without an id".into()))
    }

    /// Shows something else in a message.
    pub fn edit(&self, id: i64, piece: &Piece) -> Result<(), Fault> {
        match self.text("editMessageText", piece, &json!({"message_id": id})) {
            Ok(_) | Err(Fault::Same) => Ok(()),
            Err(fault) => Err(fault),
        }
    }

    /// With the styles, or without them should the API not like them.
    fn text(&self, method: &str, piece: &Piece, body: &Value) -> Result<Value, Fault> {
        let body = merged(json!({"link_preview_options": {"is_disabled": true}}), body.clone());
        if let Some(html) = &piece.html {
            match self.call(method, merged(json!({"text": html, "parse_mode": "HTML"}), body.clone())) {
                Err(Fault::Unparsed(words)) => self.api.host.warn(&format!("sent without its styles: {words}")),
                done => return done,
            }
        }
        self.call(method, merged(json!({"text": piece.plain}), body))
    }

    /// A method about this chat; in its new place if it has moved.
    fn call(&self, method: &str, mut body: Value) -> Result<Value, Fault> {
        body["chat_id"] = self.place.chat.into();
        if let Some(thread) = self.place.thread.filter(|_| !method.starts_with("edit") && !method.starts_with("delete"))
        {
            body["message_thread_id"] = thread.into();
        }
        match self.api.call(method, &body) {
            Err(Fault::Moved(to)) => {
                moved(self.api.host, self.place.chat, to)?;
                body["chat_id"] = to.into();
                self.api.call(method, &body)
            }
            done => done,
        }
    }

    fn upload(&self, method: &str, field: &str, name: &str, mime: &str, data: Vec<u8>) -> Result<Value, Fault> {
        let mut form = Form::default().text("chat_id", &self.place.chat.to_string());
        if let Some(thread) = self.place.thread {
            form = form.text("message_thread_id", &thread.to_string());
        }
        self.api.upload(method, form.file(field, name, mime, data))
    }

    /// `channel.deliver`
    pub fn deliver(&self, delivery: Delivery) -> Result<Outcome, DeliveryError> {
        let shown = Shown::parse(delivery.receipt.as_deref());
        let handle = delivery.handle.as_deref();
        let done = match delivery.content {
            DeliveryContent::Working => self.call("sendChatAction", json!({"action": "typing"})).map(|_| None),
            DeliveryContent::Draft(draft) => {
                let since = self.api.host.now().saturating_sub(shown.at);
                if self.place.is_group() && since < GROUP_PACE {
                    return Err(DeliveryError::RetryAfter(u32::try_from(GROUP_PACE - since).unwrap_or(u32::MAX)));
                }
                return self.put(&draft.text, shown, handle, false);
            }
            DeliveryContent::Reply(reply) if reply.text.trim().is_empty() && shown.messages.is_empty() => {
                self.send(&plain("✅"), handle, Value::Null).map(|id| Some(format!("0;{id}=0")))
            }
            DeliveryContent::Reply(reply) => return self.put(&reply.text, shown, handle, true),
            DeliveryContent::Failed(why) => self.send(&plain(&format!("❌ {why}")), handle, Value::Null).map(|_| None),
            DeliveryContent::Notice(words) => self.send(&plain(&words), handle, Value::Null).map(|_| None),
            DeliveryContent::Media(file) => self.file(file).map(|()| None),
            DeliveryContent::Activity(_) | DeliveryContent::Other(_) => Ok(None),
        };
        Ok(Outcome::Done(done?))
    }

    /// Brings the turn's messages nearer to this text, by one step.
    fn put(
        &self,
        markdown: &str,
        mut shown: Shown,
        handle: Option<&str>,
        whole: bool,
    ) -> Result<Outcome, DeliveryError> {
        let cut = pieces(parse(markdown), MESSAGE, &utf16);
        let pieces: Vec<Piece> = cut.iter().take(MESSAGES).map(|runs| Piece::of(runs)).collect();
        let mut hashes: Vec<u32> = pieces.iter().map(Piece::hash).collect();
        if cut.len() > MESSAGES && whole {
            hashes.push(FILE);
        }
        let mut text = Text { chat: self, pieces, markdown, handle };
        let over = shown.advance(&hashes, whole, self.api.host.now(), &mut text)?;
        Ok(if over { Outcome::Done(Some(shown.receipt())) } else { Outcome::Part((shown.receipt(), 0)) })
    }

    fn file(&self, file: Media) -> Result<(), Fault> {
        let name = file_name(file.name, &file.mime);
        if matches!(file.mime.as_str(), "image/jpeg" | "image/png" | "image/webp") {
            match self.upload("sendPhoto", "photo", &name, &file.mime, file.data.clone()) {
                // Too wide or too high for a photo: as a file it is taken.
                Err(Fault::Refused(_)) => (),
                done => return done.map(|_| ()),
            }
        }
        self.upload("sendDocument", "document", &name, &file.mime, file.data).map(|_| ())
    }
}

/// A turn's text. Behind its pieces there is all of it as a file.
struct Text<'a> {
    chat: &'a Chat<'a>,
    pieces: Vec<Piece>,
    markdown: &'a str,
    handle: Option<&'a str>,
}

impl Messages for Text<'_> {
    type Fault = Fault;

    fn send(&mut self, place: usize) -> Result<String, Fault> {
        if let Some(piece) = self.pieces.get(place) {
            let id = self.chat.send(piece, self.handle.filter(|_| place == 0), Value::Null)?;
            return Ok(id.to_string());
        }
        let data = self.markdown.as_bytes().to_vec();
        let sent = self.chat.upload("sendDocument", "document", "reply.md", "text/markdown", data)?;
        Ok(sent.get("message_id").map(Value::to_string).unwrap_or_default())
    }

    fn edit(&mut self, place: usize, id: &str) -> Result<bool, Fault> {
        let (Some(piece), Ok(id)) = (self.pieces.get(place), id.parse()) else { return Ok(false) };
        match self.chat.edit(id, piece) {
            Err(Fault::Missing) => Ok(false),
            done => done.map(|()| true),
        }
    }

    fn delete(&mut self, id: &str) -> Result<(), Fault> {
        match self.chat.call("deleteMessage", json!({"message_id": id.parse::<i64>().unwrap_or_default()})) {
            Err(fault @ (Fault::Wait(_) | Fault::Host(_) | Fault::Down(_))) => Err(fault),
            _ => Ok(()),
        }
    }
}

/// Words of the host: no Markdown. What would be cut off is cut off.
fn plain(words: &str) -> Piece {
    Piece { html: None, plain: text(&cut::plain(words, MESSAGE, &utf16)) }
}
