//! A host for the tests, and what answers for the API.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;

use serde_json::{Value, json};

use crate::graph::Graph;
use crate::settings::Settings;

openpista_plugin::channel_stage!(Web);

/// The API.
pub struct Web {
    pub settings: Settings,
    /// Answers that come before the usual ones.
    pub next: RefCell<VecDeque<(u16, Value)>>,
    pub file: RefCell<Vec<u8>>,
    pub messages: Cell<u32>,
}

impl Default for Web {
    fn default() -> Self {
        Self {
            settings: Settings::parse(r#"{"mode": "cloud"}"#),
            next: RefCell::default(),
            file: RefCell::default(),
            messages: Cell::default(),
        }
    }
}

impl Web {
    /// The next request fails so.
    pub fn fails(&self, status: u16, code: u32) {
        self.next.borrow_mut().push_back((status, json!({"error": {"message": format!("(#{code})"), "code": code}})));
    }

    fn answer(&self, request: &Request) -> Response {
        let respond = |status, body| Response { status, headers: Vec::new(), body };
        if let Some((status, body)) = self.next.borrow_mut().pop_front() {
            return respond(status, body.to_string().into_bytes());
        }
        let end = request.url.rsplit('/').next().unwrap();
        let body = match end {
            "messages" => {
                self.messages.set(self.messages.get() + 1);
                json!({"messages": [{"id": format!("wamid.{}==", self.messages.get())}]})
            }
            "media" => json!({"id": "uploaded"}),
            "file" => return respond(200, self.file.borrow().clone()),
            _ => {
                json!({"id": end, "url": "https://lookaside.fbsbx.com/file", "mime_type": "image/png", "file_size": 4})
            }
        };
        respond(200, body.to_string().into_bytes())
    }
}

impl Stage {
    pub fn graph(&self) -> Graph<'_> {
        Graph { host: self, settings: &self.settings }
    }

    /// The bodies of all posts that are JSON.
    pub fn posted(&self) -> Vec<Value> {
        self.asked.borrow().iter().filter_map(|request| serde_json::from_slice(&request.body).ok()).collect()
    }
}
