//! A host for the tests: it keeps what the web chat does.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;

use serde_json::Value;

use crate::contract::openpista::connection::connection::{ConnectionId, Target};
use crate::contract::openpista::control::models::Model;
use crate::contract::openpista::control::sessions::{Entry, Session};
use crate::contract::openpista::gateway::gateway::{Approval, Decision, Inbound, Sender};
use crate::contract::openpista::types::types::{Error, Timestamp};
use crate::host::Host;

pub const NOW: u64 = 1_700_000_000_000;

pub struct Stage {
    pub state: RefCell<BTreeMap<String, String>>,
    pub now: Cell<u64>,
    pub https: Cell<bool>,
    pub locked: Cell<bool>,
    pub sent: RefCell<Vec<(Target, Value)>>,
    pub tags: RefCell<Vec<(ConnectionId, Vec<String>)>>,
    pub closed: RefCell<Vec<(ConnectionId, u16)>>,
    pub submitted: RefCell<Vec<Inbound>>,
    pub decided: RefCell<Vec<(String, String, Decision)>>,
    pub cancelled: RefCell<Vec<String>>,
    pub waiting: RefCell<Vec<Approval>>,
    pub sessions: RefCell<Vec<Session>>,
    pub history: RefCell<Vec<Entry>>,
    pub running: RefCell<Option<String>>,
    pub models: RefCell<Vec<Model>>,
    pub chosen: RefCell<Vec<(String, String)>>,
    random: Cell<u8>,
}

impl Default for Stage {
    fn default() -> Self {
        Self {
            state: RefCell::default(),
            now: Cell::new(NOW),
            https: Cell::new(false),
            locked: Cell::new(false),
            sent: RefCell::default(),
            tags: RefCell::default(),
            closed: RefCell::default(),
            submitted: RefCell::default(),
            decided: RefCell::default(),
            cancelled: RefCell::default(),
            waiting: RefCell::default(),
            sessions: RefCell::default(),
            history: RefCell::default(),
            running: RefCell::default(),
            models: RefCell::default(),
            chosen: RefCell::default(),
            random: Cell::new(7),
        }
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
    fn keys(&self, prefix: &str) -> Result<Vec<String>, Error> {
        Ok(self.state.borrow().keys().filter(|key| key.starts_with(prefix)).cloned().collect())
    }
    fn is_web_token(&self, candidate: &str) -> Result<bool, Error> {
        if self.locked.get() {
            return Err(Error::AccessDenied("too many wrong candidates".into()));
        }
        Ok(candidate == "right token")
    }
    fn random(&self) -> Result<[u8; 32], Error> {
        let byte = self.random.get();
        self.random.set(byte + 1);
        Ok([byte; 32])
    }
    fn now(&self) -> Timestamp {
        self.now.get()
    }
    fn is_https(&self, _transport: &str) -> bool {
        self.https.get()
    }
    fn send(&self, to: &Target, text: &str) -> Result<(), Error> {
        self.sent.borrow_mut().push((to.clone(), serde_json::from_str(text).unwrap()));
        Ok(())
    }
    fn tag(&self, connection: ConnectionId, tags: &[String]) -> Result<(), Error> {
        self.tags.borrow_mut().push((connection, tags.to_vec()));
        Ok(())
    }
    fn close(&self, connection: ConnectionId, code: u16, _reason: &str) -> Result<(), Error> {
        self.closed.borrow_mut().push((connection, code));
        Ok(())
    }
    fn submit(&self, message: Inbound) -> Result<(), Error> {
        if message.text.len() > 256 * 1024 {
            return Err(Error::TooLarge("a message has at most 256 KiB".into()));
        }
        self.submitted.borrow_mut().push(message);
        Ok(())
    }
    fn decide(&self, approval: &str, by: &Sender, decision: Decision) -> Result<(), Error> {
        if !self.waiting.borrow().iter().any(|open| open.id == approval) {
            return Err(Error::NotFound("no such approval".into()));
        }
        self.decided.borrow_mut().push((approval.into(), by.id.clone(), decision));
        Ok(())
    }
    fn waiting(&self, conversation: &str) -> Result<Vec<Approval>, Error> {
        Ok(self.waiting.borrow().iter().filter(|open| open.conversation == conversation).cloned().collect())
    }
    fn cancel(&self, conversation: &str, _by: &Sender) -> Result<(), Error> {
        self.cancelled.borrow_mut().push(conversation.into());
        Ok(())
    }
    fn sessions(&self, _before: Option<Timestamp>) -> Result<Vec<Session>, Error> {
        Ok(self.sessions.borrow().clone())
    }
    fn history(&self, _conversation: &str, after: u64) -> Result<Vec<Entry>, Error> {
        let history = self.history.borrow();
        if history.is_empty() {
            return Err(Error::NotFound("nothing was said there".into()));
        }
        Ok(history.iter().filter(|entry| entry.cursor > after).take(200).cloned().collect())
    }
    fn running(&self, _conversation: &str) -> Result<Option<String>, Error> {
        Ok(self.running.borrow().clone())
    }
    fn models(&self) -> Result<Vec<Model>, Error> {
        Ok(self.models.borrow().clone())
    }
    fn choose(&self, conversation: &str, model: &str) -> Result<(), Error> {
        if !self.models.borrow().iter().any(|known| known.id == model) {
            return Err(Error::NotFound(format!("there is no model {model}")));
        }
        self.chosen.borrow_mut().push((conversation.into(), model.into()));
        Ok(())
    }
}
