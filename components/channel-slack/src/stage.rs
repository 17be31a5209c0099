//! A host for the tests, and what answers for Slack.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;

use serde_json::{Map, Value, json};

use crate::api::{Api, fields};
use crate::settings::Settings;

openpista_plugin::channel_stage!(Web);

/// The API.
pub struct Web {
    pub settings: Settings,
    /// Method and arguments of each call; of an upload its bytes as text.
    pub calls: RefCell<Vec<(String, Map<String, Value>)>>,
    /// Answers that come before the usual ones, for a method.
    pub next: RefCell<VecDeque<(String, Response)>>,
    /// Type and bytes.
    pub file: RefCell<(String, Vec<u8>)>,
    pub messages: Cell<u32>,
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
    pub fn fails(&self, method: &str, status: u16, error: &str) {
        let headers = vec![("retry-after".into(), "3".into())];
        let body = json!({"ok": false, "error": error, "needed": "files:write"}).to_string().into_bytes();
        self.next.borrow_mut().push_back((method.into(), Response { status, headers, body }));
    }

    /// The arguments of all calls of a method.
    pub fn called(&self, method: &str) -> Vec<Map<String, Value>> {
        let calls = self.calls.borrow();
        calls.iter().filter(|(name, _)| name == method).map(|(_, arguments)| arguments.clone()).collect()
    }

    fn answer(&self, request: &Request) -> Response {
        if request.url.contains("/files-pri/") {
            let (kind, body) = self.file.borrow().clone();
            return Response { status: 200, headers: vec![("content-type".into(), kind)], body };
        }
        let method = request.url.rsplit('/').next().unwrap().to_string();
        self.calls.borrow_mut().push((method.clone(), fields(&request.body)));
        let mut next = self.next.borrow_mut();
        if let Some(at) = next.iter().position(|(name, ..)| *name == method) {
            return next.remove(at).unwrap().1;
        }
        let mut answer = json!({"ok": true});
        match method.as_str() {
            "auth.test" => answer["user_id"] = "UBOT".into(),
            "apps.connections.open" => answer["url"] = "wss://wss-primary.slack.com/link/?ticket=1".into(),
            "users.info" => {
                answer["user"] = json!({"name": "ann", "profile": {"display_name": "", "real_name": "Ann Bo"}})
            }
            "files.info" => answer["file"] = json!({"url_private": "https://files.slack.com/files-pri/T-F2/b"}),
            "files.getUploadURLExternal" => {
                answer["upload_url"] = "https://files.slack.com/upload/v1/bytes".into();
                answer["file_id"] = "F9".into();
            }
            "chat.postMessage" => {
                self.messages.set(self.messages.get() + 1);
                answer["ts"] = format!("1700.{}", self.messages.get()).into();
            }
            _ => (),
        }
        Response { status: 200, headers: Vec::new(), body: answer.to_string().into_bytes() }
    }
}

impl Stage {
    pub fn api(&self) -> Api<'_> {
        Api { host: self, settings: &self.settings }
    }
}
