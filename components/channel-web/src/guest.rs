//! The exports, and the host behind [`Host`].

use std::time::{SystemTime, UNIX_EPOCH};

use crate::contract::exports::openpista::plugin::approvals::{self, Verdict};
use crate::contract::exports::openpista::plugin::channel::{
    self, ChannelError, Delivery, DeliveryError, Event, Outcome, Setup,
};
use crate::contract::exports::openpista::plugin::http_handler::{self, Incoming};
use crate::contract::exports::openpista::plugin::manifest::{self, Manifest, Need, Secret, SecretUse};
use crate::contract::exports::openpista::plugin::observer::{self, Update};
use crate::contract::openpista::connection::connection::{self, ConnectionId, Frame, Target};
use crate::contract::openpista::control::models::{self, Model};
use crate::contract::openpista::control::sessions::{self, Entry, Session};
use crate::contract::openpista::gateway::gateway::{self, Approval, Decision, Inbound, Sender};
use crate::contract::openpista::http::exchange::Response;
use crate::contract::openpista::log::log;
use crate::contract::openpista::secrets::secrets;
use crate::contract::openpista::state::state;
use crate::contract::openpista::types::types::{Error, Timestamp};
use crate::host::{Host, in_words};
use crate::{pages, web};

/// What the host calls.
pub struct Plugin;

struct Real;

impl Host for Real {
    fn get(&self, key: &str) -> Result<Option<String>, Error> {
        Ok(state::get(key)?.and_then(|bytes| String::from_utf8(bytes).ok()))
    }

    fn set(&self, key: &str, value: &str) -> Result<(), Error> {
        state::set(key, value.as_bytes())
    }

    fn remove(&self, key: &str) -> Result<(), Error> {
        state::remove(key)
    }

    fn keys(&self, prefix: &str) -> Result<Vec<String>, Error> {
        state::keys(prefix, None)
    }

    fn is_web_token(&self, candidate: &str) -> Result<bool, Error> {
        secrets::matches("web-token", candidate)
    }

    fn random(&self) -> Result<[u8; 32], Error> {
        let mut bytes = [0; 32];
        getrandom::fill(&mut bytes).map_err(|error| Error::Other(format!("no random numbers: {error}")))?;
        Ok(bytes)
    }

    fn now(&self) -> Timestamp {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    }

    fn is_https(&self, transport: &str) -> bool {
        connection::public_url(transport).is_some_and(|url| url.starts_with("https://"))
    }

    fn send(&self, to: &Target, text: &str) -> Result<(), Error> {
        match connection::send(to, &Frame::Text(text.into())) {
            // It has just been closed; the client comes back and catches up.
            Err(Error::NotFound(_)) => Ok(()),
            done => done,
        }
    }

    fn tag(&self, connection: ConnectionId, tags: &[String]) -> Result<(), Error> {
        connection::tag(connection, tags)
    }

    fn close(&self, connection: ConnectionId, code: u16, reason: &str) -> Result<(), Error> {
        connection::close(connection, code, reason)
    }

    fn submit(&self, message: Inbound) -> Result<(), Error> {
        gateway::submit(&message)
    }

    fn decide(&self, approval: &str, by: &Sender, decision: Decision) -> Result<(), Error> {
        gateway::decide(approval, by, decision)
    }

    fn waiting(&self, conversation: &str) -> Result<Vec<Approval>, Error> {
        gateway::waiting(conversation)
    }

    fn cancel(&self, conversation: &str, by: &Sender) -> Result<(), Error> {
        gateway::cancel(conversation, by)
    }

    fn sessions(&self, before: Option<Timestamp>) -> Result<Vec<Session>, Error> {
        sessions::page(before)
    }

    fn history(&self, conversation: &str, after: u64) -> Result<Vec<Entry>, Error> {
        sessions::history(conversation, after)
    }

    fn running(&self, conversation: &str) -> Result<Option<String>, Error> {
        sessions::running(conversation)
    }

    fn models(&self) -> Result<Vec<Model>, Error> {
        models::all()
    }

    fn choose(&self, conversation: &str, model: &str) -> Result<(), Error> {
        models::choose(conversation, model)
    }
}

impl manifest::Guest for Plugin {
    fn describe() -> Manifest {
        let need = |capability: &str, scope: &[&str], reason: &str| Need {
            capability: capability.into(),
            scope: scope.iter().map(|word| (*word).to_string()).collect(),
            reason: reason.into(),
            optional: false,
        };
        Manifest {
            name: env!("CARGO_PKG_NAME").into(),
            version: env!("CARGO_PKG_VERSION").into(),
            summary: "Chat in the browser".into(),
            needs: vec![
                need("connection", &["http", "websocket"], "serves the page and its connection"),
                need("control", &["own", "models"], "shows your web sessions and lets you choose the model"),
                need("secrets", &[], "checks the token of the printed link"),
            ],
            secrets: vec![Secret {
                name: "web-token".into(),
                title: "Token of the web page's link; made at the first start unless you set one".into(),
                uses: vec![SecretUse::Compare],
                optional: false,
            }],
            settings: None,
            presets: Vec::new(),
            about: vec![("licence".into(), env!("CARGO_PKG_LICENSE").into())],
        }
    }
}

impl channel::Guest for Plugin {
    fn open() -> Result<Setup, ChannelError> {
        Ok(web::setup())
    }

    fn receive(event: Event) -> Result<(), ChannelError> {
        web::receive(&Real, &event)
    }

    fn deliver(delivery: Delivery) -> Result<Outcome, DeliveryError> {
        web::deliver(&Real, &delivery)
    }
}

impl http_handler::Guest for Plugin {
    fn handle(incoming: Incoming) -> Result<Response, ChannelError> {
        pages::handle(&Real, &incoming)
    }
}

impl approvals::Guest for Plugin {
    fn ask(approval: Approval) -> Result<Outcome, DeliveryError> {
        web::ask(&Real, &approval)
    }

    fn decided(verdict: Verdict) -> Result<(), DeliveryError> {
        web::decided(&Real, &verdict)
    }
}

impl observer::Guest for Plugin {
    fn notify(update: Update) {
        if let Err(error) = web::notify(&Real, &update) {
            let why = in_words(&error);
            log::log(log::Level::Warn, &format!("a change could not be passed on: {why}"));
        }
    }
}
