//! What the web chat asks of the host, as one trait, and its errors in the words of a channel.

use crate::contract::exports::openpista::plugin::channel::{ChannelError, DeliveryError};
use crate::contract::openpista::connection::connection::{ConnectionId, Target};
use crate::contract::openpista::control::models::Model;
use crate::contract::openpista::control::sessions::{Entry, Session};
use crate::contract::openpista::gateway::gateway::{Approval, Decision, Inbound, Sender};
use crate::contract::openpista::types::types::{Error, Timestamp};

/// Each function is the one of the same name in the contract, unless it says otherwise.
pub trait Host {
    /// `state.get` as text.
    fn get(&self, key: &str) -> Result<Option<String>, Error>;
    /// `state.set`
    fn set(&self, key: &str, value: &str) -> Result<(), Error>;
    /// `state.remove`
    fn remove(&self, key: &str) -> Result<(), Error>;
    /// `state.keys` from the start.
    fn keys(&self, prefix: &str) -> Result<Vec<String>, Error>;
    /// `secrets.matches` with the token of the printed link.
    fn is_web_token(&self, candidate: &str) -> Result<bool, Error>;
    /// 32 random bytes.
    fn random(&self) -> Result<[u8; 32], Error>;
    /// The clock.
    fn now(&self) -> Timestamp;
    /// The page's public address is one of https.
    fn is_https(&self, transport: &str) -> bool;
    /// `connection.send` of a text.
    fn send(&self, to: &Target, text: &str) -> Result<(), Error>;
    /// `connection.tag`
    fn tag(&self, connection: ConnectionId, tags: &[String]) -> Result<(), Error>;
    /// `connection.close`
    fn close(&self, connection: ConnectionId, code: u16, reason: &str) -> Result<(), Error>;
    /// `gateway.submit`
    fn submit(&self, message: Inbound) -> Result<(), Error>;
    /// `gateway.decide`
    fn decide(&self, approval: &str, by: &Sender, decision: Decision) -> Result<(), Error>;
    /// `gateway.waiting`
    fn waiting(&self, conversation: &str) -> Result<Vec<Approval>, Error>;
    /// `gateway.cancel`
    fn cancel(&self, conversation: &str, by: &Sender) -> Result<(), Error>;
    /// `sessions.page`
    fn sessions(&self, before: Option<Timestamp>) -> Result<Vec<Session>, Error>;
    /// `sessions.history`
    fn history(&self, conversation: &str, after: u64) -> Result<Vec<Entry>, Error>;
    /// `sessions.running`
    fn running(&self, conversation: &str) -> Result<Option<String>, Error>;
    /// `models.all`
    fn models(&self) -> Result<Vec<Model>, Error>;
    /// `models.choose`
    fn choose(&self, conversation: &str, model: &str) -> Result<(), Error>;
}

openpista_plugin::channel_errors!(Error, ChannelError, DeliveryError);
