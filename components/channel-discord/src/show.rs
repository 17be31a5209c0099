//! What is shown in a channel: replies in pieces that are edited while they grow, files, notices, the typing sign.
//!
//! The receipt of a turn lists its messages with a hash of what each shows, so a fresh instance changes only what is
//! different. Each message is sent with a nonce that is the same at each attempt: the API answers a second one with the
//! message that is there already, so neither a lost answer nor a kill doubles one. What it shows then may be an older
//! draft; the hash of what came back says so, and the next step edits it.

use openpista_plugin::cut::{pieces, plain};
use openpista_plugin::messenger::{file_name, key, merged};
use openpista_plugin::multipart::Form;
use openpista_plugin::rich::parse;
use openpista_plugin::shown::{Shown, Step, hash};
use serde_json::{Value, json};

use crate::api::Api;
use crate::contract::exports::openpista::plugin::channel::{Delivery, DeliveryContent, DeliveryError, Outcome};
use crate::contract::openpista::types::types::Media;
use crate::handle::Handle;
use crate::host::Fault;
use crate::incoming::PREFIX;
use crate::markup::{cost, markdown};

/// Of one message, with its markup.
const MESSAGE: usize = 2_000;
/// A reply of more messages than this comes as the first of them and a file.
const MESSAGES: usize = 10;
/// Stands for the file in the receipt.
const FILE: u32 = 0;

/// One channel, to write to.
pub struct Chat<'a> {
    api: Api<'a>,
    channel: String,
}

impl<'a> Chat<'a> {
    /// The channel of a conversation.
    pub fn of(api: Api<'a>, conversation: &str) -> Result<Self, DeliveryError> {
        let number = |id: &&str| !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_digit());
        match conversation.strip_prefix(PREFIX).filter(number) {
            Some(channel) => Ok(Self { api, channel: channel.into() }),
            None => Err(DeliveryError::Rejected(format!("{conversation} is no conversation of this channel"))),
        }
    }

    /// Its id.
    pub fn channel(&self) -> &str {
        &self.channel
    }

    fn path(&self, rest: &str) -> String {
        format!("/channels/{}/{rest}", self.channel)
    }

    /// Sends a message; its id and the hash of what it shows. In a server it answers the message that is meant.
    pub fn send(&self, text: &str, nonce: &str, handle: &Handle, more: Value) -> Result<(String, u32), Fault> {
        let mut body = merged(message(text), json!({"nonce": nonce, "enforce_nonce": true}));
        if handle.named {
            body["message_reference"] = json!({"message_id": handle.id, "fail_if_not_exists": false});
        }
        shown(&self.api.call("POST", &self.path("messages"), &merged(body, more))?, text)
    }

    /// Shows something else in a message.
    pub fn edit(&self, id: &str, text: &str, more: Value) -> Result<(), Fault> {
        self.api.call("PATCH", &self.path(&format!("messages/{id}")), &merged(message(text), more)).map(|_| ())
    }

    /// As `send`, but a slash command's answer stands where the command does, as long as that can be had.
    fn answer(&self, text: &str, nonce: &str, handle: &Handle) -> Result<(String, u32), Fault> {
        if let Some(path) = handle.answer(self.api.host.now()) {
            match self.api.interaction("PATCH", &path, &message(text)) {
                Err(fault @ (Fault::Wait(_) | Fault::Host(_) | Fault::Down(_))) => return Err(fault),
                Err(_) => (),
                Ok(sent) => return shown(&sent, text),
            }
        }
        self.send(text, nonce, handle, Value::Null)
    }

    /// `channel.deliver`
    pub fn deliver(&self, delivery: Delivery) -> Result<Outcome, DeliveryError> {
        let known = Shown::parse(delivery.receipt.as_deref());
        let handle = Handle::parse(delivery.handle.as_deref());
        let once = key(&[&self.channel, &delivery.id]);
        let done = match delivery.content {
            DeliveryContent::Working => self.api.call("POST", &self.path("typing"), &json!({})).map(|_| ()),
            DeliveryContent::Draft(draft) => return self.put(&draft.text, known, &handle, &once, false),
            DeliveryContent::Reply(reply) => {
                let silent = reply.text.trim().is_empty() && known.messages.is_empty();
                return self.put(if silent { "✅" } else { &reply.text }, known, &handle, &once, true);
            }
            DeliveryContent::Failed(why) => self.say(&format!("❌ {why}"), &once, &handle, &known),
            DeliveryContent::Notice(words) => self.say(&words, &once, &handle, &known),
            DeliveryContent::Media(file) => self.file(file, &once),
            DeliveryContent::Activity(_) | DeliveryContent::Other(_) => Ok(()),
        };
        done?;
        Ok(Outcome::Done(None))
    }

    /// Words of the host: no Markdown. What would be cut off is cut off.
    fn say(&self, words: &str, nonce: &str, handle: &Handle, known: &Shown) -> Result<(), Fault> {
        let text = markdown(&plain(words, MESSAGE, &cost));
        // Where the command stands is what was shown before.
        let place = if known.messages.is_empty() { handle.clone() } else { Handle::default() };
        self.answer(&text, nonce, &place).map(|_| ())
    }

    /// Brings the turn's messages nearer to this text, by one step.
    fn put(
        &self,
        text: &str,
        mut known: Shown,
        handle: &Handle,
        once: &str,
        whole: bool,
    ) -> Result<Outcome, DeliveryError> {
        let cut = pieces(parse(text), MESSAGE, &cost);
        let wanted: Vec<String> = cut.iter().take(MESSAGES).map(|runs| markdown(runs)).collect();
        let mut hashes: Vec<u32> = wanted.iter().map(|text| hash(text)).collect();
        if cut.len() > MESSAGES && whole {
            hashes.push(FILE);
        }
        let step = known.step(&hashes);
        let (Step::Edit(at) | Step::Send(at) | Step::Delete(at)) = step else {
            return Ok(Outcome::Done(Some(known.receipt())));
        };
        let id = known.messages.get(at).map(|(id, _)| id.clone());
        // By what began the turn, not by the turn: one that is begun anew after a kill finds its draft again.
        let own = key(&[&self.channel, &handle.id, if handle.id.is_empty() { once } else { "" }, &at.to_string()]);
        match (step, wanted.get(at), id) {
            (Step::Delete(_), _, Some(id)) if whole => {
                let gone = self.api.call("DELETE", &self.path(&format!("messages/{id}")), &Value::Null);
                // One that cannot be deleted stays.
                if let Err(fault @ (Fault::Wait(_) | Fault::Host(_) | Fault::Down(_))) = gone {
                    return Err(fault.into());
                }
                known.messages.truncate(at);
            }
            (Step::Delete(_), ..) => (),
            (_, Some(piece), Some(id)) => {
                let (id, hash) = match self.edit(&id, piece, Value::Null) {
                    // The person deleted it: under its own nonce the API might say that it is there.
                    Err(Fault::Missing) => self.send(piece, &key(&[&own, once]), &Handle::default(), Value::Null)?,
                    edited => (id, edited.map(|()| hash(piece))?),
                };
                known.put(at, id, hash);
            }
            (_, Some(piece), None) => {
                let place = if at == 0 { handle.clone() } else { Handle::default() };
                let (id, hash) = self.answer(piece, &own, &place)?;
                known.put(at, id, hash);
            }
            (_, None, _) => {
                let name = Some("reply.md".to_string());
                let reply = Media { mime: "text/markdown".into(), name, data: text.as_bytes().to_vec() };
                self.file(reply, &own)?;
                known.put(at, "0".into(), FILE);
            }
        }
        known.at = self.api.host.now();
        if !whole || known.step(&hashes) == Step::Done {
            return Ok(Outcome::Done(Some(known.receipt())));
        }
        let pause = self.api.wait("POST", &self.path("messages"))?;
        Ok(Outcome::Part((known.receipt(), pause)))
    }

    fn file(&self, file: Media, nonce: &str) -> Result<(), Fault> {
        let name = file_name(file.name, &file.mime);
        let body = json!({
            "nonce": nonce, "enforce_nonce": true, "allowed_mentions": {"parse": []},
            "attachments": [{"id": 0, "filename": name}]
        });
        let form = Form::default().text("payload_json", &body.to_string());
        self.api.upload(&self.path("messages"), form.file("files[0]", &name, &file.mime, file.data)).map(|_| ())
    }
}

/// Nobody is called by what the model writes.
fn message(text: &str) -> Value {
    json!({"content": text, "allowed_mentions": {"parse": []}})
}

/// The id of a message, and the hash of what it shows.
fn shown(message: &Value, sent: &str) -> Result<(String, u32), Fault> {
    let text = |key: &str| message.get(key).and_then(Value::as_str);
    let id = text("id").ok_or_else(|| Fault::Refused("a message without an id".into()))?;
    Ok((id.to_string(), hash(text("content").unwrap_or(sent))))
}
