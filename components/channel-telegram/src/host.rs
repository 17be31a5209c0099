//! What the channel asks of the host, as one trait, and the host's errors in the words of a channel.

use crate::contract::openpista::gateway::gateway::{Decision, Inbound, Notice, Sender};
use crate::contract::openpista::http::exchange::Request;
use crate::contract::openpista::types::types::{Error, Timestamp};

/// Each function is the one of the same name in the contract, unless it says otherwise.
pub trait Host {
    /// `state.get` as text.
    fn get(&self, key: &str) -> Result<Option<String>, Error>;
    /// `state.set`
    fn set(&self, key: &str, value: &str) -> Result<(), Error>;
    /// `state.remove`
    fn remove(&self, key: &str) -> Result<(), Error>;
    /// `secrets.stand-in`
    fn stand_in(&self, secret: &str) -> Result<String, Error>;
    /// `secrets.matches` with the webhook's secret token.
    fn is_webhook_secret(&self, candidate: &str) -> Result<bool, Error>;
    /// `http.send` and the whole body, `too-large` past `most` bytes.
    fn http(&self, request: &Request, most: usize) -> Result<(u16, Vec<u8>), Error>;
    /// `gateway.submit`
    fn submit(&self, message: &Inbound) -> Result<(), Error>;
    /// `gateway.decide`
    fn decide(&self, approval: &str, by: &Sender, decision: Decision) -> Result<(), Error>;
    /// `gateway.tell-operator`
    fn tell(&self, notice: &Notice) -> Result<(), Error>;
    /// `connection.alarm` without a connection.
    fn alarm(&self, name: &str, after_ms: u64) -> Result<(), Error>;
    /// `connection.public-url`
    fn public_url(&self, transport: &str) -> Option<String>;
    /// The clock.
    fn now(&self) -> Timestamp;
    /// A warning in the log.
    fn warn(&self, words: &str);
}

openpista_plugin::channel_errors!();
