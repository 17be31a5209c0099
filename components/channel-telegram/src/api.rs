//! The one way to the Bot API, and what its errors mean.
//!
//! An error has a code and words; which of the errors 400 it is stands only in the words, so they are searched for what
//! the API has said for years. What is not recognised is refused for good, which shows in the log.

use openpista_plugin::multipart::Form;
use serde_json::Value;

use crate::contract::openpista::http::exchange::{Request, Response};
use crate::contract::openpista::types::types::Error;
use crate::host::{Fault, Host};
use crate::settings::Settings;

/// Bytes of an answer that is no file.
const ANSWER_MOST: usize = 8 * 1024 * 1024;

/// Parts of the words of errors 400 after which a chat can't be written to.
const CLOSED: [&str; 10] = [
    "chat not found",
    "peer_id_invalid",
    "user is deactivated",
    "chat was deactivated",
    "chat_write_forbidden",
    "not enough rights",
    "have no rights",
    "message thread not found",
    "topic_closed",
    "topic_deleted",
];
/// Parts of the words when a message that was to be edited or deleted is not there.
const MISSING: [&str; 5] = [
    "message to edit not found",
    "message can't be edited",
    "message_id_invalid",
    "message to delete not found",
    "message can't be deleted",
];

/// Reads an answer of the API.
pub fn read(status: u16, body: &[u8]) -> Result<Value, Fault> {
    let answer: Value = serde_json::from_slice(body).unwrap_or_default();
    if answer.get("ok").and_then(Value::as_bool) == Some(true) {
        return Ok(answer.get("result").cloned().unwrap_or_default());
    }
    let code = answer.get("error_code").and_then(Value::as_u64).unwrap_or(status.into());
    let words = match answer.get("description").and_then(Value::as_str) {
        Some(words) => words.to_string(),
        None => format!("the API answered {status}, and not as the Bot API does"),
    };
    let parameter = |name: &str| answer.get("parameters").and_then(|all| all.get(name)).and_then(Value::as_i64);
    if let Some(chat) = parameter("migrate_to_chat_id") {
        return Err(Fault::Moved(chat));
    }
    let lower = words.to_lowercase();
    let says = |parts: &[&str]| parts.iter().any(|part| lower.contains(part));
    Err(match code {
        401 | 404 => Fault::Token(format!(
            "the bot's token is refused ({words}): take it from @BotFather and set the secret bot-token. With a server \
             of your own: is `api` its address?"
        )),
        403 => Fault::Gone(words),
        409 => Fault::Conflict(words),
        420 | 429 => {
            let seconds = parameter("retry_after").and_then(|wait| u32::try_from(wait).ok()).unwrap_or(1);
            Fault::Wait(seconds.max(1).saturating_mul(1_000))
        }
        400 if says(&["message is not modified"]) => Fault::Same,
        400 if says(&["can't parse"]) => Fault::Unparsed(words),
        400 if says(&MISSING) => Fault::Missing,
        400 if says(&CLOSED) => Fault::Gone(words),
        400..=499 if code != 408 => Fault::Refused(words),
        _ => Fault::Down(words),
    })
}

/// Calls of the API.
#[derive(Clone, Copy)]
pub struct Api<'a> {
    /// The host.
    pub host: &'a dyn Host,
    /// Where it is.
    pub settings: &'a Settings,
}

impl Api<'_> {
    /// The request for a method. Its token is a stand-in, which the host replaces.
    pub fn request(&self, method: &str, body: &Value) -> Result<Request, Error> {
        self.post(method, "application/json", body.to_string().into_bytes())
    }

    fn post(&self, method: &str, kind: &str, body: Vec<u8>) -> Result<Request, Error> {
        Ok(Request {
            method: "POST".into(),
            url: format!("{}/bot{}/{method}", self.settings.api, self.host.stand_in("bot-token")?),
            headers: vec![("content-type".into(), kind.into())],
            body,
        })
    }

    /// Calls a method; its result.
    pub fn call(&self, method: &str, body: &Value) -> Result<Value, Fault> {
        self.send(&self.request(method, body)?)
    }

    /// Calls a method with files.
    pub fn upload(&self, method: &str, form: Form) -> Result<Value, Fault> {
        let (kind, body) = form.finish();
        self.send(&self.post(method, &kind, body)?)
    }

    fn send(&self, request: &Request) -> Result<Value, Fault> {
        let answer = self.host.http(request, ANSWER_MOST)?;
        read(answer.status, &answer.body)
    }

    /// The bytes of a file by the path that `getFile` gave.
    pub fn file(&self, path: &str, most: usize) -> Result<Vec<u8>, Fault> {
        let token = self.host.stand_in("bot-token")?;
        let url = format!("{}/file/bot{token}/{path}", self.settings.api);
        let request = Request { method: "GET".into(), url, headers: Vec::new(), body: Vec::new() };
        let Response { status, body, .. } = self.host.http(&request, most)?;
        if status == 200 { Ok(body) } else { Err(read(status, &body).err().unwrap_or(Fault::Missing)) }
    }
}
