//! The one way to the Cloud API, and what its errors mean.
//!
//! Errors have numbers, listed at <https://developers.facebook.com/docs/whatsapp/cloud-api/support/error-codes>. What is not
//! recognised is refused for good, which shows in the log.

use openpista_plugin::failure::retry_after;
use openpista_plugin::multipart::Form;
use serde_json::{Value, json};

use crate::contract::openpista::http::exchange::{Request, Response};
use crate::contract::openpista::types::types::{Error, Media};
use crate::host::{Fault, Host};
use crate::settings::Settings;

/// Bytes of an answer that is no file.
const ANSWER_MOST: usize = 1024 * 1024;

/// Reads an answer of the API.
pub fn read(answer: &Response, now: u64) -> Result<Value, Fault> {
    let body: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    let error = body.get("error");
    if error.is_none() && (200..300).contains(&answer.status) {
        return Ok(body);
    }
    let code = error.and_then(|error| error.get("code")).and_then(Value::as_u64).unwrap_or_default();
    let text = |pointer: &str| error.and_then(|error| error.pointer(pointer)).and_then(Value::as_str);
    let words = match (text("/message"), text("/error_data/details")) {
        (Some(message), Some(details)) => format!("{message}: {details}"),
        (Some(message), None) => message.to_string(),
        _ => format!("the API answered {}, and not as the Cloud API does", answer.status),
    };
    // The API seldom says for how long.
    let wait = |seconds: u32| Fault::Wait(retry_after(&answer.headers, now).unwrap_or(seconds * 1_000).max(1_000));
    Err(match (code, answer.status) {
        (0 | 190, _) if answer.status == 401 || code == 190 => token(&words),
        (_, 401) | (3 | 10 | 200..=299, _) => token(&words),
        // One person gets one message each 6 s.
        (131_056, _) => wait(6),
        (130_429, _) | (_, 429) => wait(5),
        (4 | 80_007 | 131_048, _) => wait(30),
        (131_047, _) => Fault::Refused(format!(
            "more than 24 hours have passed since this person wrote, and WhatsApp takes no answer until they write again \
             ({words})"
        )),
        (131_026, _) => Fault::Gone(words),
        (1 | 2 | 131_000 | 131_016 | 131_057 | 133_004, _) => Fault::Down(words),
        (_, 400..=499) if answer.status != 408 => Fault::Refused(words),
        _ => Fault::Down(words),
    })
}

fn token(words: &str) -> Fault {
    Fault::Token(format!(
        "the access token is refused ({words}): make one for a system user in Meta's business settings and set the secret \
         `token`"
    ))
}

/// Calls of the API.
#[derive(Clone, Copy)]
pub struct Graph<'a> {
    /// The host.
    pub host: &'a dyn Host,
    /// Where it is.
    pub settings: &'a Settings,
}

impl Graph<'_> {
    fn request(&self, method: &str, url: String, kind: &str, body: Vec<u8>) -> Result<Request, Error> {
        let mut headers = vec![("authorization".into(), format!("Bearer {}", self.host.stand_in("token")?))];
        if !kind.is_empty() {
            headers.push(("content-type".into(), kind.into()));
        }
        Ok(Request { method: method.into(), url, headers, body })
    }

    fn call(&self, request: &Request) -> Result<Value, Fault> {
        read(&self.host.http(request, ANSWER_MOST)?, self.host.now())
    }

    /// Posts to the messages of a phone number: a message, or that one was read. The message's id.
    pub fn post(&self, phone: &str, mut body: Value) -> Result<String, Fault> {
        body["messaging_product"] = "whatsapp".into();
        let url = format!("{}/{phone}/messages", self.settings.api);
        let answer = self.call(&self.request("POST", url, "application/json", body.to_string().into_bytes())?)?;
        Ok(answer.pointer("/messages/0/id").and_then(Value::as_str).unwrap_or_default().to_string())
    }

    /// Sends a message to a person. `body` has what stands under its type.
    pub fn send(&self, phone: &str, to: &str, kind: &str, body: Value) -> Result<String, Fault> {
        self.post(phone, json!({"recipient_type": "individual", "to": to, "type": kind, kind: body}))
    }

    /// Sends a text.
    pub fn text(&self, phone: &str, to: &str, text: &str) -> Result<String, Fault> {
        self.send(phone, to, "text", json!({"body": text, "preview_url": false}))
    }

    /// Uploads a file; its id.
    pub fn upload(&self, phone: &str, name: &str, file: Media) -> Result<String, Fault> {
        let form = Form::default().text("messaging_product", "whatsapp").text("type", &file.mime);
        let (kind, body) = form.file("file", name, &file.mime, file.data).finish();
        let url = format!("{}/{phone}/media", self.settings.api);
        let answer = self.call(&self.request("POST", url, &kind, body)?)?;
        let id = answer.get("id").and_then(Value::as_str);
        Ok(id.ok_or_else(|| Fault::Refused("an upload without an id".into()))?.to_string())
    }

    /// What the API says of a file that came.
    pub fn media(&self, id: &str) -> Result<Value, Fault> {
        self.call(&self.request("GET", format!("{}/{id}", self.settings.api), "", Vec::new())?)
    }

    /// The bytes behind an address that the API gave. The host lets the token go to the vendor's addresses only.
    pub fn bytes(&self, url: &str, most: usize) -> Result<Vec<u8>, Fault> {
        let answer = self.host.http(&self.request("GET", url.into(), "", Vec::new())?, most)?;
        if answer.status == 200 {
            return Ok(answer.body);
        }
        Err(read(&answer, self.host.now()).err().unwrap_or(Fault::Missing))
    }
}
