//! What the host lends to guests: one file for each WIT package.
//!
//! Every host function of the contract is implemented on [`View`]: a borrow of the call that the guest serves and of
//! its resource table, made by `runtime` from a store's data. So a capability sees who calls, what is granted, whether
//! the turn was cancelled, and nothing of wasmtime beyond the table. The shape of each file is the same: a service with
//! what is shared by all calls, the scope check, the `Host` implementation, its tests.
//!
//! A denial is a value ([`Error::AccessDenied`]) whose text names the command that would allow it. A check that fails
//! to run denies.

pub mod connection;
pub mod control;
pub mod deltas;
pub mod gateway;
pub mod http;
pub mod ledger;
pub mod log;
pub mod said;
pub mod secrets;
pub mod settings;
pub mod shell;
pub mod skill;
pub mod state;

use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use wasmtime::component::{HasData, ResourceTable};

use crate::grant::Grants;
pub use crate::wit::types::Error;
pub use ledger::{Ledger, LedgerEntry};

/// An error of a capability for a person: what is made from the contract shows itself as code.
pub fn in_words(error: &Error) -> &str {
    match error {
        Error::AccessDenied(why)
        | Error::NotFound(why)
        | Error::Invalid(why)
        | Error::TooLarge(why)
        | Error::Unavailable(why)
        | Error::Other(why) => why,
        Error::Cancelled => "cancelled",
        Error::TimedOut => "timed out",
    }
}

/// Who a call serves. Comes from the host, never from an argument.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Caller {
    /// The plugin's name.
    pub plugin: String,
    /// The instance's name; for tools without instances the plugin's.
    pub instance: String,
    /// SHA-256 of the component, in hex.
    pub digest: String,
    /// The session, for a provider or tool in a turn.
    pub session: Option<String>,
    /// The turn.
    pub turn: Option<String>,
    /// Which of the contract's calls: `tools.call`, `channel.receive`, …
    pub operation: &'static str,
    /// Who or what let it run, for a tool call: a rule, the session's word, an approval. Empty: nothing had to.
    pub approval: String,
}

/// One call of a guest: what the host knows and holds for it.
pub struct Call {
    /// Who calls.
    pub caller: Caller,
    /// What it may do.
    pub grants: Arc<Grants>,
    /// The instance's settings, a JSON object.
    pub settings: Arc<str>,
    /// The instance's secrets and this call's stand-ins for them.
    pub secrets: secrets::CallSecrets,
    /// The turn was cancelled, or the call's time is over.
    pub cancel: CancellationToken,
    /// What takes effect when the call returns ok.
    pub held: Held,
    /// Where `progress.report` goes.
    pub progress: Option<Arc<dyn Fn(String) + Send + Sync>>,
    /// How often it reports progress.
    pub pace: deltas::Pace,
    /// `progress.tools-changed` was called.
    pub tools_changed: bool,
    /// How much it logs.
    pub log: log::Flow,
    /// Shared by all calls.
    pub services: Arc<Services>,
}

/// What was asked for and takes effect all together.
#[derive(Default)]
pub struct Held {
    /// Of `state`.
    pub state: state::Writes,
    /// Of `gateway`, `connection` and `control`, in the order they were asked for.
    pub effects: Vec<Effect>,
    /// Connections that are tagged by them. To be dropped after that.
    pub joining: Vec<connection::Joining>,
    /// Bytes of them.
    bytes: usize,
    /// What the stand-ins in them stand for.
    pub secrets: secrets::CallSecrets,
}

/// What one call may hold besides state: its own memory does not bound what it hands over.
const HELD_MAX: usize = 64 << 20;
const EFFECTS_MAX: usize = 10_000;

impl Held {
    /// Nothing yet, of a call with these secrets.
    pub fn new(secrets: secrets::CallSecrets) -> Self {
        Self { secrets, ..Self::default() }
    }

    /// Holds one more, of so many bytes.
    fn hold(&mut self, effect: Effect, bytes: usize) -> Result<(), Error> {
        let after = self.bytes.saturating_add(bytes);
        if after > HELD_MAX {
            return Err(Error::TooLarge(format!("one call hands over at most {} MiB", HELD_MAX >> 20)));
        }
        if self.effects.len() >= EFFECTS_MAX {
            return Err(Error::TooLarge(format!("one call has at most {EFFECTS_MAX} effects")));
        }
        self.bytes = after;
        self.effects.push(effect);
        Ok(())
    }
}

/// One held effect of a channel's call.
#[derive(Debug, Clone, PartialEq)]
pub enum Effect {
    /// Of `gateway`.
    Gateway(gateway::Effect),
    /// Of `connection`.
    Connection(connection::Effect),
    /// Of `control`.
    Control(control::Effect),
}

/// What the capabilities share: made once by `app`.
pub struct Services {
    /// The one way out.
    pub http: Arc<http::Egress>,
    /// Processes.
    pub shell: shell::Shell,
    /// Skills, and the sandbox for those that are WebAssembly.
    pub skills: Arc<dyn skill::Skills>,
    /// Plugin state.
    pub state: Arc<dyn state::PluginState>,
    /// Reading for `gateway` and `control`.
    pub conversations: Arc<dyn control::Conversations>,
    /// Reading for `connection`.
    pub connections: Arc<dyn connection::Connections>,
    /// Where each capability call is noted.
    pub ledger: Arc<dyn Ledger>,
    /// Every secret of the host, so that none gets into the log or out of a process.
    pub known: Arc<secrets::Known>,
    /// What plugins said last.
    pub said: Arc<said::Said>,
}

/// A note is cut here: what is noted is a guest's argument, and thousands of notes may wait to be written.
const NOTE_MAX: usize = 4 << 10;

/// What a host function works on.
pub struct View<'a> {
    /// The call that is served.
    pub call: &'a mut Call,
    /// The store's resources.
    pub table: &'a mut ResourceTable,
}

/// For wasmtime: host functions take a [`View`].
pub struct HasView;

impl HasData for HasView {
    type Data<'a> = View<'a>;
}

impl Call {
    /// A text without the secrets of anybody, and with names in place of this call's stand-ins.
    pub fn clean(&self, text: &str) -> String {
        self.services.known.cleaned(self.secrets.redact(text))
    }
}

impl crate::wit::types::Host for View<'_> {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_one_call_holds_is_bounded_in_bytes_and_in_number() {
        let alarm = || Effect::Connection(connection::Effect::Alarm { name: String::new(), after_ms: 1_000, on: None });
        let mut held = Held::default();
        assert_eq!((held.hold(alarm(), HELD_MAX - 1), held.hold(alarm(), 1)), (Ok(()), Ok(())));
        assert_eq!(held.hold(alarm(), 1), Err(Error::TooLarge("one call hands over at most 64 MiB".into())));
        let mut many = Held::default();
        assert!((0..EFFECTS_MAX).all(|_| many.hold(alarm(), 0).is_ok()));
        assert_eq!(many.hold(alarm(), 0), Err(Error::TooLarge("one call has at most 10000 effects".into())));
        assert_eq!((held.effects.len(), many.effects.len()), (2, EFFECTS_MAX));
    }
}
