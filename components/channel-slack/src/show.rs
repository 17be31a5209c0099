//! What is shown in a conversation: replies in pieces that are edited while they grow, files, notices.
//!
//! The receipt of a turn lists its messages with a hash of what each shows, so a fresh instance changes only what is
//! different. One message is sent or edited in a call; if more are to follow, the outcome is a part, so that a limit of
//! the API or a crash between two of them repeats nothing.

use openpista_plugin::cut::{pieces, plain};
use openpista_plugin::messenger::file_name;
use openpista_plugin::rich::{Run, parse};
use openpista_plugin::shown::{Messages, Shown, hash};
use serde_json::{Value, json};

use crate::addressed::takes_part;
use crate::api::Api;
use crate::contract::exports::openpista::plugin::channel::{Delivery, DeliveryContent, DeliveryError, Outcome};
use crate::host::Fault;
use crate::markup::mrkdwn;
use crate::place::Place;

/// Of one message with its markup, in UTF-16 units. A new message may have ten times as many, an edited one may not, and
/// a draft becomes the reply by an edit.
const MESSAGE: usize = 4_000;
/// A reply of more messages than this comes as the first of them and a file.
const MESSAGES: usize = 8;
/// Stands for the file in the receipt.
const FILE: u32 = 0;

/// What a text costs of a message.
pub fn cost(runs: &[Run]) -> usize {
    mrkdwn(runs).encode_utf16().count()
}

/// One message's text.
pub struct Piece {
    /// Escaped.
    pub text: String,
    /// Its marks count.
    styled: bool,
}

impl Piece {
    /// With its styles.
    pub fn of(runs: &[Run]) -> Self {
        Self { text: mrkdwn(runs), styled: true }
    }

    /// Words of the host, in which nothing is a mark. What would be cut off is cut off.
    fn plain(words: &str) -> Self {
        Self { text: mrkdwn(&plain(words, MESSAGE, &cost)), styled: false }
    }
}

/// One conversation, to write to.
pub struct Chat<'a> {
    /// The API.
    pub api: Api<'a>,
    place: Place,
}

impl<'a> Chat<'a> {
    /// Of this name.
    pub fn of(api: Api<'a>, conversation: &str) -> Result<Self, DeliveryError> {
        let strange = || DeliveryError::Rejected(format!("{conversation} is no conversation of this channel"));
        Ok(Self { api, place: Place::parse(conversation).ok_or_else(strange)? })
    }

    /// Sends a message; its `ts`.
    pub fn send(&self, piece: &Piece, blocks: Option<Value>) -> Result<String, Fault> {
        let mut body = json!({"unfurl_links": false, "unfurl_media": false, "mrkdwn": piece.styled});
        if let Some(thread) = &self.place.thread {
            body["thread_ts"] = thread.as_str().into();
        }
        let sent = self.message("chat.postMessage", body, piece, blocks)?;
        let ts = sent.get("ts").and_then(Value::as_str).map(str::to_string);
        ts.ok_or_else(|| Fault::Refused("a message without a ts".into()))
    }

    /// Shows something else in a message.
    pub fn edit(&self, ts: &str, piece: &Piece, blocks: Option<Value>) -> Result<(), Fault> {
        self.message("chat.update", json!({"ts": ts}), piece, blocks).map(|_| ())
    }

    fn message(&self, method: &str, mut body: Value, piece: &Piece, blocks: Option<Value>) -> Result<Value, Fault> {
        body["channel"] = self.place.channel.as_str().into();
        body["text"] = piece.text.as_str().into();
        if let Some(blocks) = blocks {
            body["blocks"] = blocks;
        }
        self.api.call(method, &body)
    }

    /// `channel.deliver`
    pub fn deliver(&self, delivery: Delivery) -> Result<Outcome, DeliveryError> {
        let shown = Shown::parse(delivery.receipt.as_deref());
        let done = match delivery.content {
            DeliveryContent::Draft(draft) => return self.put(&draft.text, shown, false),
            DeliveryContent::Reply(reply) if reply.text.trim().is_empty() && shown.messages.is_empty() => {
                self.send(&Piece::plain("✅"), None).map(|ts| Some(format!("0;{ts}=0")))
            }
            DeliveryContent::Reply(reply) => return self.put(&reply.text, shown, true),
            DeliveryContent::Failed(why) => self.send(&Piece::plain(&format!("❌ {why}")), None).map(|_| None),
            DeliveryContent::Notice(words) => self.send(&Piece::plain(&words), None).map(|_| None),
            DeliveryContent::Media(file) => self.file(&file_name(file.name, &file.mime), file.data).map(|_| None),
            // There is no typing sign for bots in threads and direct messages; a draft comes soon.
            DeliveryContent::Working | DeliveryContent::Activity(_) | DeliveryContent::Other(_) => Ok(None),
        };
        Ok(Outcome::Done(done?))
    }

    /// Brings the turn's messages nearer to this text, by one step.
    fn put(&self, markdown: &str, mut shown: Shown, whole: bool) -> Result<Outcome, DeliveryError> {
        let cut = pieces(parse(markdown), MESSAGE, &cost);
        let pieces: Vec<Piece> = cut.iter().take(MESSAGES).map(|runs| Piece::of(runs)).collect();
        let mut hashes: Vec<u32> = pieces.iter().map(|piece| hash(&piece.text)).collect();
        if cut.len() > MESSAGES && whole {
            hashes.push(FILE);
        }
        let mut text = Text { chat: self, pieces, markdown };
        let over = shown.advance(&hashes, whole, self.api.host.now(), &mut text)?;
        takes_part(self.api.host, &self.place);
        Ok(if over { Outcome::Done(Some(shown.receipt())) } else { Outcome::Part((shown.receipt(), 0)) })
    }

    /// Sends a file, in three steps; its id.
    fn file(&self, name: &str, data: Vec<u8>) -> Result<String, Fault> {
        let place = self.api.call("files.getUploadURLExternal", &json!({"filename": name, "length": data.len()}))?;
        let of = |key: &str| place.get(key).and_then(Value::as_str);
        let (Some(url), Some(id)) = (of("upload_url"), of("file_id")) else {
            return Err(Fault::Refused("Slack gave no place for a file".into()));
        };
        self.api.upload(url, data)?;
        let mut body = json!({"files": [{"id": id, "title": name}], "channel_id": self.place.channel});
        if let Some(thread) = &self.place.thread {
            body["thread_ts"] = thread.as_str().into();
        }
        self.api.call("files.completeUploadExternal", &body)?;
        Ok(id.to_string())
    }
}

/// A turn's text. Behind its pieces there is all of it as a file.
struct Text<'a> {
    chat: &'a Chat<'a>,
    pieces: Vec<Piece>,
    markdown: &'a str,
}

impl Messages for Text<'_> {
    type Fault = Fault;

    fn send(&mut self, place: usize) -> Result<String, Fault> {
        match self.pieces.get(place) {
            Some(piece) => self.chat.send(piece, None),
            None => self.chat.file("reply.md", self.markdown.as_bytes().to_vec()),
        }
    }

    fn edit(&mut self, place: usize, ts: &str) -> Result<bool, Fault> {
        let Some(piece) = self.pieces.get(place) else { return Ok(false) };
        match self.chat.edit(ts, piece, None) {
            Err(Fault::Missing) => Ok(false),
            done => done.map(|()| true),
        }
    }

    fn delete(&mut self, ts: &str) -> Result<(), Fault> {
        match self.chat.api.call("chat.delete", &json!({"channel": self.chat.place.channel, "ts": ts})) {
            Err(fault @ (Fault::Wait(_) | Fault::Host(_) | Fault::Down(_))) => Err(fault),
            _ => Ok(()),
        }
    }
}
