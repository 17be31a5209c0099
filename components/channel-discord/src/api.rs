//! The one way to the API: what its errors mean, and its limits.
//!
//! Each call says how many more of its kind the API takes now. When none are left, when there will be is kept in the state,
//! and until then nothing is asked: whoever goes on asking is locked out for longer.

use openpista_plugin::messenger::pause;
use openpista_plugin::multipart::Form;
use serde_json::Value;

use crate::contract::openpista::http::exchange::{Request, Response};
use crate::contract::openpista::types::types::Error;
use crate::host::{Fault, Host};
use crate::settings::Settings;

/// Bytes of an answer.
const ANSWER_MOST: usize = 4 * 1024 * 1024;
/// As the API wants every client to name itself.
const AGENT: &str = concat!("DiscordBot (openpista-host, ", env!("CARGO_PKG_VERSION"), ")");

/// The API's codes for a message that is not there, an interaction that is over, and one that is answered already.
const MISSING: [u64; 4] = [10_008, 10_015, 10_062, 50_027];
const ANSWERED: u64 = 40_060;
/// Codes of the errors 400 after which a channel can't be written to: archived, locked, of a kind without messages.
const CLOSED: [u64; 4] = [50_008, 50_083, 160_005, 50_024];

/// Reads an answer of the API.
pub fn read(answer: &Response) -> Result<Value, Fault> {
    let body: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    let status = answer.status;
    if (200..300).contains(&status) {
        return Ok(body);
    }
    let code = body.get("code").and_then(Value::as_u64);
    let words = match body.get("message").and_then(Value::as_str) {
        Some(words) => format!("{words} ({status}, {})", code.unwrap_or_default()),
        None => format!("the API answered {status}, and not as it should"),
    };
    Err(match (status, code) {
        (429, _) => {
            let said = body.get("retry_after").and_then(Value::as_f64);
            Fault::Wait(pause(said.or_else(|| number(answer, "retry-after")).unwrap_or(1.0)))
        }
        (_, Some(code)) if MISSING.contains(&code) => Fault::Missing,
        (_, Some(ANSWERED)) => Fault::Same,
        (401, _) => Fault::Token(format!(
            "the bot's token is refused ({words}): make a new one in the developer portal (Bot, Reset Token) and set the \
             secret bot-token. With a server of your own: is `api` its address?"
        )),
        // What stands before the API answers so, too, and not for this channel.
        (403, None) => Fault::Down(words),
        (403, _) | (404, Some(1..)) => Fault::Gone(words),
        (400, Some(code)) if CLOSED.contains(&code) => Fault::Gone(words),
        (400..=499, _) if status != 408 => Fault::Refused(words),
        _ => Fault::Down(words),
    })
}

fn number(answer: &Response, header: &str) -> Option<f64> {
    let (_, value) = answer.headers.iter().find(|(name, _)| name == header)?;
    value.trim().parse().ok()
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
    /// Calls it as the bot; what it answers. The path begins with a slash.
    pub fn call(&self, method: &str, path: &str, body: &Value) -> Result<Value, Fault> {
        self.send(method, path, "application/json", body.to_string().into_bytes())
    }

    /// The same with files.
    pub fn upload(&self, path: &str, form: Form) -> Result<Value, Fault> {
        let (kind, body) = form.finish();
        self.send("POST", path, &kind, body)
    }

    /// Calls it with what an interaction brought, which is in the path: the token is not shown there.
    pub fn interaction(&self, method: &str, path: &str, body: &Value) -> Result<Value, Fault> {
        let request = self.request(method, path, "application/json", body.to_string().into_bytes());
        read(&self.host.http(&request, ANSWER_MOST)?)
    }

    /// How many ms a call has to wait for the API's limits.
    pub fn wait(&self, method: &str, path: &str) -> Result<u32, Error> {
        let Some(key) = bucket(method, path) else { return Ok(0) };
        let known = self.host.get(&key)?.unwrap_or_default();
        let mut numbers = known.split(' ').map(|number| number.parse::<u64>().unwrap_or_default());
        let (since, wait) = (numbers.next().unwrap_or_default(), numbers.next().unwrap_or_default());
        // A clock that was put back says nothing.
        let passed = self.host.now().checked_sub(since).unwrap_or(wait);
        Ok(u32::try_from(wait.saturating_sub(passed)).unwrap_or(u32::MAX))
    }

    fn send(&self, method: &str, path: &str, kind: &str, body: Vec<u8>) -> Result<Value, Fault> {
        let wait = self.wait(method, path)?;
        if wait > 0 {
            return Err(Fault::Wait(wait));
        }
        let mut request = self.request(method, path, kind, body);
        request.headers.push(("authorization".into(), format!("Bot {}", self.host.stand_in("bot-token")?)));
        let answer = self.host.http(&request, ANSWER_MOST)?;
        if let Some(key) = bucket(method, path)
            && number(&answer, "x-ratelimit-remaining") == Some(0.0)
        {
            let after = pause(number(&answer, "x-ratelimit-reset-after").unwrap_or(1.0));
            self.host.set(&key, &format!("{} {after}", self.host.now()))?;
        }
        read(&answer)
    }

    fn request(&self, method: &str, path: &str, kind: &str, body: Vec<u8>) -> Request {
        let headers = [("content-type", kind), ("user-agent", AGENT)];
        let headers = headers.map(|(name, value)| (name.to_string(), value.to_string())).into();
        Request { method: method.into(), url: format!("{}{path}", self.settings.api), headers, body }
    }
}

/// What is limited together: the calls of one kind in one channel.
fn bucket(method: &str, path: &str) -> Option<String> {
    let mut parts = path.strip_prefix("/channels/")?.split('/');
    let (channel, kind) = (parts.next()?, parts.next()?);
    Some(format!("wait/{channel}/{method}/{kind}"))
}
