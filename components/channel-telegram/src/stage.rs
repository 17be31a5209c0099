//! A host for the tests, and what answers for the API.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;

use serde_json::{Value, json};

use crate::api::Api;
use crate::settings::Settings;

openpista_plugin::channel_stage!(Web);

/// The API.
pub struct Web {
    pub settings: Settings,
    /// Method and body of each call; of an upload only the text.
    pub calls: RefCell<Vec<(String, Value)>>,
    /// Answers that come before the usual ones, for a method.
    pub next: RefCell<VecDeque<(String, u16, Value)>>,
    pub file: RefCell<Vec<u8>>,
    pub messages: Cell<i64>,
}

impl Default for Web {
    fn default() -> Self {
        Self {
            settings: Settings::parse("{}"),
            calls: RefCell::default(),
            next: RefCell::default(),
            file: RefCell::default(),
            messages: Cell::new(100),
        }
    }
}

impl Web {
    /// The next call of this method fails so.
    pub fn fails(&self, method: &str, code: u16, description: &str, parameters: Value) {
        let answer = json!({"ok": false, "error_code": code, "description": description, "parameters": parameters});
        self.next.borrow_mut().push_back((method.into(), code, answer));
    }

    /// The bodies of all calls of a method.
    pub fn called(&self, method: &str) -> Vec<Value> {
        let calls = self.calls.borrow();
        calls.iter().filter(|(name, _)| name == method).map(|(_, body)| body.clone()).collect()
    }

    fn answer(&self, request: &Request) -> Response {
        let respond = |status, body| Response { status, headers: Vec::new(), body };
        if request.url.contains("/file/") {
            return respond(200, self.file.borrow().clone());
        }
        let method = request.url.rsplit('/').next().unwrap().to_string();
        let body = serde_json::from_slice(&request.body)
            .unwrap_or_else(|_| Value::String(String::from_utf8_lossy(&request.body).into_owned()));
        self.calls.borrow_mut().push((method.clone(), body));
        let mut next = self.next.borrow_mut();
        if let Some(at) = next.iter().position(|(name, ..)| *name == method) {
            let (_, status, answer) = next.remove(at).unwrap();
            return respond(status, answer.to_string().into_bytes());
        }
        let result = match method.as_str() {
            "getMe" => json!({"id": 42, "is_bot": true, "first_name": "Pista", "username": "pista_bot"}),
            "getFile" => json!({"file_id": "f", "file_path": "photos/file_1.jpg"}),
            name if name.starts_with("send") && name != "sendChatAction" => {
                self.messages.set(self.messages.get() + 1);
                json!({"message_id": self.messages.get()})
            }
            _ => json!(true),
        };
        respond(200, json!({"ok": true, "result": result}).to_string().into_bytes())
    }
}

impl Stage {
    pub fn api(&self) -> Api<'_> {
        Api { host: self, settings: &self.settings }
    }
}
