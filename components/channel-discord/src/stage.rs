//! A host for the tests, and what answers for the API.

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, VecDeque};

use serde_json::{Value, json};

use crate::api::Api;
use crate::settings::Settings;

openpista_plugin::channel_stage!(Web);

/// A call: method, path and body; of an upload only the text.
pub type Call = (String, String, Value);

/// The API.
pub struct Web {
    pub settings: Settings,
    pub calls: RefCell<Vec<Call>>,
    /// Answers that come before the usual ones, for a method and the end of a path.
    pub next: RefCell<VecDeque<(String, String, Response)>>,
    pub messages: Cell<u64>,
    /// Messages by their nonce.
    pub known: RefCell<HashMap<String, Value>>,
    /// Headers of each answer.
    pub headers: RefCell<Vec<(String, String)>>,
    pub file: RefCell<Vec<u8>>,
}

impl Default for Web {
    fn default() -> Self {
        Self {
            settings: Settings::parse("{}"),
            calls: RefCell::default(),
            next: RefCell::default(),
            messages: Cell::new(100),
            known: RefCell::default(),
            headers: RefCell::default(),
            file: RefCell::default(),
        }
    }
}

impl Web {
    /// The next call of this method, of which the path ends so, fails.
    pub fn fails(&self, method: &str, end: &str, status: u16, body: Value) {
        let answer = Response { status, headers: Vec::new(), body: body.to_string().into_bytes() };
        self.next.borrow_mut().push_back((method.into(), end.into(), answer));
    }

    /// The bodies of all calls of a method of which the path holds this.
    pub fn called(&self, method: &str, part: &str) -> Vec<Value> {
        let calls = self.calls.borrow();
        let here = |(of, path, _): &&Call| of == method && path.contains(part);
        calls.iter().filter(here).map(|(_, _, body)| body.clone()).collect()
    }

    fn answer(&self, request: &Request) -> Response {
        let respond = |body| Response { status: 200, headers: self.headers.borrow().clone(), body };
        let Some(path) = request.url.strip_prefix("https://discord.com/api/v10") else {
            return respond(self.file.borrow().clone());
        };
        let body = serde_json::from_slice(&request.body)
            .unwrap_or_else(|_| Value::String(String::from_utf8_lossy(&request.body).into_owned()));
        self.calls.borrow_mut().push((request.method.clone(), path.into(), body.clone()));
        let mut next = self.next.borrow_mut();
        if let Some(at) =
            next.iter().position(|(method, end, _)| *method == request.method && path.ends_with(end.as_str()))
        {
            return next.remove(at).unwrap().2;
        }
        self.messages.set(self.messages.get() + 1);
        let message = json!({"id": self.messages.get().to_string(), "content": body["content"]});
        let answer = match body["nonce"].as_str() {
            Some(nonce) => self.known.borrow_mut().entry(nonce.into()).or_insert(message).clone(),
            None => message,
        };
        respond(answer.to_string().into_bytes())
    }
}

impl Stage {
    pub fn api(&self) -> Api<'_> {
        Api { host: self, settings: &self.settings }
    }
}
