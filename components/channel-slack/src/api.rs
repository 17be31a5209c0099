//! The one way to the Web API, and what its errors mean.
//!
//! Arguments go as a form, which all methods take. An error is a word in the answer; one that is not known here will be
//! refused again, which shows in the log. See <https://docs.slack.dev/apis/web-api>.

use openpista_plugin::messenger::pause;
use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use serde_json::{Map, Value};

use crate::contract::openpista::http::exchange::{Request, Response};
use crate::host::{Fault, Host};
use crate::settings::Settings;

/// Bytes of an answer that is no file.
const ANSWER_MOST: usize = 8 * 1024 * 1024;
/// Milliseconds for what is asked while Slack waits for us: it does so for three seconds.
const QUICK: u32 = 1_500;

/// The bot's token: for all but the socket.
const BOT: &str = "bot-token";
/// The app's token: for the socket.
const APP: &str = "app-token";

/// Reads an answer of the API; `secret` is the token that it was asked with.
pub fn read(secret: &str, answer: &Response) -> Result<Value, Fault> {
    let body: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    let of = |key: &str| body.get(key).and_then(Value::as_str);
    let error = match (body.get("ok").and_then(Value::as_bool), of("error")) {
        (Some(true), _) => return Ok(body),
        (_, Some(error)) => error,
        _ if answer.status == 429 => "ratelimited",
        _ => return Err(Fault::Down(format!("the API answered {}, and not as Slack does", answer.status))),
    };
    let words = format!("Slack says {error}");
    Err(match error {
        "ratelimited" | "rate_limited" => {
            let header = answer.headers.iter().find(|(name, _)| name == "retry-after");
            Fault::Wait(pause(header.and_then(|(_, value)| value.trim().parse().ok()).unwrap_or(1.0)))
        }
        "invalid_auth"
        | "not_authed"
        | "account_inactive"
        | "token_revoked"
        | "token_expired"
        | "not_allowed_token_type" => Fault::Token(format!(
            "{words}: the secret {secret} is refused. Take it anew from the app's settings at api.slack.com/apps"
        )),
        "missing_scope" => Fault::Refused(format!(
            "{words}: give the app the scope {}, and install it again",
            of("needed").unwrap_or("that it lacks")
        )),
        "not_in_channel" => Fault::Refused(format!("{words}: invite the app to the channel")),
        "channel_not_found"
        | "is_archived"
        | "thread_not_found"
        | "user_disabled"
        | "cannot_dm_bot"
        | "messages_tab_disabled"
        | "restricted_action" => Fault::Gone(words),
        "message_not_found" | "cant_update_message" | "edit_window_closed" | "cant_delete_message" => Fault::Missing,
        "internal_error" | "fatal_error" | "service_unavailable" | "request_timeout" | "team_added_to_org" => {
            Fault::Down(words)
        }
        _ if answer.status >= 500 => Fault::Down(words),
        _ => Fault::Refused(words),
    })
}

/// Arguments as a form; what is no text, as JSON.
fn form(arguments: &Value) -> String {
    let encoded = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
    let field = |(name, value): (&String, &Value)| {
        let text = value.as_str().map_or_else(|| value.to_string(), str::to_string);
        format!("{}={}", encoded(name), encoded(&text))
    };
    arguments.as_object().into_iter().flatten().map(field).collect::<Vec<_>>().join("&")
}

/// The fields of a form.
pub fn fields(form: &[u8]) -> Map<String, Value> {
    let decoded = |text: &str| percent_decode_str(&text.replace('+', " ")).decode_utf8_lossy().into_owned();
    let form = String::from_utf8_lossy(form);
    let pairs = form.split('&').filter_map(|field| field.split_once('='));
    pairs.map(|(name, value)| (decoded(name), Value::String(decoded(value)))).collect()
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
    /// Calls a method as the bot.
    pub fn call(&self, method: &str, arguments: &Value) -> Result<Value, Fault> {
        self.ask(BOT, method, arguments, None)
    }

    /// The same while Slack waits for us: an answer that does not come soon is none.
    pub fn quickly(&self, method: &str, arguments: &Value) -> Result<Value, Fault> {
        self.ask(BOT, method, arguments, Some(QUICK))
    }

    /// Calls a method as the app.
    pub fn as_app(&self, method: &str) -> Result<Value, Fault> {
        self.ask(APP, method, &Value::Null, None)
    }

    fn ask(&self, secret: &str, method: &str, arguments: &Value, within: Option<u32>) -> Result<Value, Fault> {
        let request = Request {
            method: "POST".into(),
            url: format!("{}/{method}", self.settings.api),
            headers: vec![self.bearer(secret)?, ("content-type".into(), "application/x-www-form-urlencoded".into())],
            body: form(arguments).into_bytes(),
        };
        read(secret, &self.host.http_within(&request, ANSWER_MOST, within)?)
    }

    /// The header with a token: a stand-in, which the host replaces where it may go.
    fn bearer(&self, secret: &str) -> Result<(String, String), Fault> {
        Ok(("authorization".into(), format!("Bearer {}", self.host.stand_in(secret)?)))
    }

    /// Sends the bytes of a file to the address that was given for them.
    pub fn upload(&self, url: &str, bytes: Vec<u8>) -> Result<(), Fault> {
        let headers = vec![("content-type".into(), "application/octet-stream".into())];
        let request = Request { method: "POST".into(), url: url.into(), headers, body: bytes };
        let answer = self.host.http(&request, ANSWER_MOST)?;
        match answer.status {
            200..=299 => Ok(()),
            429 | 500.. => Err(Fault::Down(format!("the upload was answered {}", answer.status))),
            status => Err(Fault::Refused(format!("the upload was answered {status}"))),
        }
    }

    /// The bytes of a file by its address, with their type as the server names it.
    pub fn file(&self, url: &str, most: usize) -> Result<(String, Vec<u8>), Fault> {
        let headers = vec![self.bearer(BOT)?];
        let request = Request { method: "GET".into(), url: url.into(), headers, body: Vec::new() };
        let Response { status, headers, body } = self.host.http(&request, most)?;
        if status != 200 {
            return Err(Fault::Down(format!("the file's address answered {status}")));
        }
        let kind = headers.into_iter().find(|(name, _)| name == "content-type");
        Ok((kind.map(|(_, value)| value).unwrap_or_default(), body))
    }
}
