//! The exports, and the host behind [`Host`].

use std::time::{SystemTime, UNIX_EPOCH};

use crate::console::{CONVERSATION, Console, Host, Settings, setup};
use crate::contract::exports::openpista::plugin::approvals::{self, Verdict};
use crate::contract::exports::openpista::plugin::channel::{
    self, ChannelError, Delivery, DeliveryError, Event, Outcome, Setup,
};
use crate::contract::exports::openpista::plugin::manifest::{self, Manifest, Need};
use crate::contract::openpista::connection::connection::{self, ConnectionId, Frame, Target};
use crate::contract::openpista::gateway::gateway::{self, Approval, Decision, Inbound, Sender};
use crate::contract::openpista::settings::settings;
use crate::contract::openpista::state::state;
use crate::contract::openpista::types::types::{Error, Timestamp};

/// What the host calls.
pub struct Plugin;

struct Real;

impl Host for Real {
    fn submit(&self, message: Inbound) -> Result<(), Error> {
        gateway::submit(&message)
    }

    fn decide(&self, approval: &str, by: &Sender, decision: Decision) -> Result<(), Error> {
        gateway::decide(approval, by, decision)
    }

    fn waiting(&self) -> Result<Vec<Approval>, Error> {
        gateway::waiting(CONVERSATION)
    }

    fn tag(&self, connection: ConnectionId, tag: &str) -> Result<(), Error> {
        connection::tag(connection, &[tag.to_string()])
    }

    fn print(&self, text: &str) -> Result<(), Error> {
        connection::send(&Target::Tagged(CONVERSATION.into()), &Frame::Text(text.into()))
    }

    fn get(&self, key: &str) -> Result<Option<String>, Error> {
        Ok(state::get(key)?.and_then(|bytes| String::from_utf8(bytes).ok()))
    }

    fn set(&self, key: &str, value: &str) -> Result<(), Error> {
        state::set(key, value.as_bytes())
    }

    fn now(&self) -> Timestamp {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    }
}

fn console() -> Console<'static, Real> {
    Console::new(&Real, Settings::parse(&settings::get()))
}

impl manifest::Guest for Plugin {
    fn describe() -> Manifest {
        Manifest {
            name: env!("CARGO_PKG_NAME").into(),
            version: env!("CARGO_PKG_VERSION").into(),
            summary: "Chat in the terminal in which the daemon runs".into(),
            needs: vec![Need {
                capability: "connection".into(),
                scope: vec!["console".into()],
                reason: "reads what you type and writes the answers".into(),
                optional: false,
            }],
            secrets: Vec::new(),
            settings: Some(Settings::schema().to_string()),
            presets: Vec::new(),
            about: vec![("licence".into(), env!("CARGO_PKG_LICENSE").into())],
        }
    }
}

impl channel::Guest for Plugin {
    fn open() -> Result<Setup, ChannelError> {
        Ok(setup())
    }

    fn receive(event: Event) -> Result<(), ChannelError> {
        console().receive(event)
    }

    fn deliver(delivery: Delivery) -> Result<Outcome, DeliveryError> {
        console().deliver(delivery)
    }
}

impl approvals::Guest for Plugin {
    fn ask(approval: Approval) -> Result<Outcome, DeliveryError> {
        console().ask(&approval)
    }

    fn decided(verdict: Verdict) -> Result<(), DeliveryError> {
        console().decided(&verdict)
    }
}
