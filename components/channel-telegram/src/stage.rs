//! A host for the tests: it keeps what the channel does, and answers for the API.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};

use serde_json::{Value, json};

use crate::api::Api;
use crate::contract::openpista::gateway::gateway::{Decision, Inbound, Notice, Sender};
use crate::contract::openpista::http::exchange::Request;
use crate::contract::openpista::types::types::{Error, Timestamp};
use crate::host::Host;
use crate::settings::Settings;

pub const NOW: u64 = 1_700_000_000_000;

pub struct Stage {
    pub settings: Settings,
    pub state: RefCell<BTreeMap<String, String>>,
    /// Method and body of each call; of an upload only the text.
    pub calls: RefCell<Vec<(String, Value)>>,
    /// Answers that come before the usual ones, for a method.
    pub next: RefCell<VecDeque<(String, u16, Value)>>,
    pub file: RefCell<Vec<u8>>,
    pub submitted: RefCell<Vec<Inbound>>,
    pub decided: RefCell<Vec<(String, String, Decision)>>,
    pub told: RefCell<Vec<Notice>>,
    pub alarms: RefCell<Vec<(String, u64)>>,
    pub public_url: RefCell<Option<String>>,
    pub now: Cell<u64>,
    pub warned: RefCell<Vec<String>>,
    pub messages: Cell<i64>,
}

impl Default for Stage {
    fn default() -> Self {
        Self {
            settings: Settings::parse("{}"),
            state: RefCell::default(),
            calls: RefCell::default(),
            next: RefCell::default(),
            file: RefCell::default(),
            submitted: RefCell::default(),
            decided: RefCell::default(),
            told: RefCell::default(),
            alarms: RefCell::default(),
            public_url: RefCell::default(),
            now: Cell::new(NOW),
            warned: RefCell::default(),
            messages: Cell::new(100),
        }
    }
}

impl Stage {
    pub fn api(&self) -> Api<'_> {
        Api { host: self, settings: &self.settings }
    }

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
}

impl Host for Stage {
    fn get(&self, key: &str) -> Result<Option<String>, Error> {
        Ok(self.state.borrow().get(key).cloned())
    }
    fn set(&self, key: &str, value: &str) -> Result<(), Error> {
        self.state.borrow_mut().insert(key.into(), value.into());
        Ok(())
    }
    fn remove(&self, key: &str) -> Result<(), Error> {
        self.state.borrow_mut().remove(key);
        Ok(())
    }
    fn stand_in(&self, secret: &str) -> Result<String, Error> {
        Ok(format!("<{secret}>"))
    }
    fn matches(&self, _secret: &str, candidate: &str) -> Result<bool, Error> {
        Ok(candidate == "right")
    }
    fn http(&self, request: &Request, most: usize) -> Result<(u16, Vec<u8>), Error> {
        if request.url.contains("/file/") {
            let file = self.file.borrow().clone();
            return if file.len() > most { Err(Error::TooLarge("too large".into())) } else { Ok((200, file)) };
        }
        let method = request.url.rsplit('/').next().unwrap().to_string();
        let body = serde_json::from_slice(&request.body)
            .unwrap_or_else(|_| Value::String(String::from_utf8_lossy(&request.body).into_owned()));
        self.calls.borrow_mut().push((method.clone(), body));
        let mut next = self.next.borrow_mut();
        if let Some(at) = next.iter().position(|(name, ..)| *name == method) {
            let (_, status, answer) = next.remove(at).unwrap();
            return Ok((status, answer.to_string().into_bytes()));
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
        Ok((200, json!({"ok": true, "result": result}).to_string().into_bytes()))
    }
    fn submit(&self, message: &Inbound) -> Result<(), Error> {
        if message.text.len() > 256 * 1024 {
            return Err(Error::TooLarge("a message has at most 256 KiB".into()));
        }
        self.submitted.borrow_mut().push(message.clone());
        Ok(())
    }
    fn decide(&self, approval: &str, by: &Sender, decision: Decision) -> Result<(), Error> {
        match (approval, by.id.as_str()) {
            ("open", "7") => self.decided.borrow_mut().push((approval.into(), by.id.clone(), decision)),
            ("open", _) => return Err(Error::AccessDenied("somebody else was asked".into())),
            _ => return Err(Error::NotFound("no such approval".into())),
        }
        Ok(())
    }
    fn tell(&self, notice: &Notice) -> Result<(), Error> {
        self.told.borrow_mut().push(notice.clone());
        Ok(())
    }
    fn alarm(&self, name: &str, after_ms: u64) -> Result<(), Error> {
        self.alarms.borrow_mut().push((name.into(), after_ms));
        Ok(())
    }
    fn public_url(&self, _transport: &str) -> Option<String> {
        self.public_url.borrow().clone()
    }
    fn now(&self) -> Timestamp {
        self.now.get()
    }
    fn warn(&self, words: &str) {
        self.warned.borrow_mut().push(words.into());
    }
}
