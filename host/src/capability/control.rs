//! `openpista:control`: what a rich client needs beyond messages. Scope: `own`, `all`, `models`.

use super::{Error, View};
use crate::message::{Approval, Sender};
use crate::wit::openpista::control::{models, sessions};

const TITLE_MAX: usize = 200;
const HISTORY_MAX: usize = 200;
const PAGE_MAX: usize = 100;

/// One held change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// A new title.
    Rename {
        /// Of this conversation's current session.
        conversation: String,
        /// At most 200 bytes.
        title: String,
    },
    /// Forget it.
    Remove {
        /// The conversation.
        conversation: String,
    },
    /// Another model from the next turn on.
    Choose {
        /// The conversation.
        conversation: String,
        /// `instance/model`.
        model: String,
    },
}

/// What the host knows of conversations; `gateway` implements it.
pub trait Conversations: Send + Sync {
    /// `Ok` when this person may answer this approval now; `not-found` when it is late or answered, `access-denied`
    /// when it is someone else's.
    fn may_decide(&self, instance: &str, approval: &str, by: &Sender) -> Result<(), Error>;
    /// The open approvals of a conversation.
    fn waiting(&self, instance: &str, conversation: &str) -> Vec<Approval>;
    /// Sessions, newest first; of one instance, or of all.
    fn page(&self, instance: Option<&str>, before: Option<u64>, limit: usize)
    -> anyhow::Result<Vec<sessions::Session>>;
    /// Whether the conversation is the instance's (or anyone's, with `None`).
    fn exists(&self, instance: Option<&str>, conversation: &str) -> anyhow::Result<bool>;
    /// What was said after a cursor.
    fn history(
        &self,
        instance: &str,
        conversation: &str,
        after: u64,
        limit: usize,
    ) -> anyhow::Result<Vec<sessions::Entry>>;
    /// The text so far of the turn that runs.
    fn running(&self, instance: &str, conversation: &str) -> Option<String>;
    /// The catalogue.
    fn models(&self) -> Vec<models::Model>;
}

fn unreadable(error: &anyhow::Error) -> Error {
    Error::Unavailable(format!("the store cannot be read: {error:#}"))
}

impl View<'_> {
    fn control_scope(&self, item: &str) -> Result<(), Error> {
        let scope = self.call.grants.scope("control").unwrap_or_default();
        let allowed = scope.iter().any(|granted| granted == item || (item == "own" && granted == "all"));
        if allowed {
            Ok(())
        } else {
            Err(Error::AccessDenied(crate::grant::denial(&self.call.caller.instance, "control", item)))
        }
    }

    fn hold_control(&mut self, effect: Effect) -> Result<(), Error> {
        let (Effect::Rename { conversation, .. }
        | Effect::Remove { conversation }
        | Effect::Choose { conversation, .. }) = &effect;
        let bytes = conversation.len() + TITLE_MAX;
        self.call.held.hold(super::Effect::Control(effect), bytes)
    }

    fn own_conversation(&self, conversation: &str) -> Result<(), Error> {
        self.control_scope("own")?;
        let exists = self.call.services.conversations.exists(Some(&self.call.caller.instance), conversation);
        match exists {
            Ok(true) => Ok(()),
            Ok(false) => Err(Error::NotFound(format!("there is no conversation {conversation}"))),
            Err(error) => Err(unreadable(&error)),
        }
    }
}

impl sessions::Host for View<'_> {
    async fn page(&mut self, before: Option<u64>) -> wasmtime::Result<Result<Vec<sessions::Session>, Error>> {
        if let Err(error) = self.control_scope("own") {
            return Ok(Err(error));
        }
        let all = self.control_scope("all").is_ok();
        let instance = (!all).then_some(self.call.caller.instance.as_str());
        let page = self.call.services.conversations.page(instance, before, PAGE_MAX);
        Ok(page.map_err(|error| unreadable(&error)))
    }

    async fn history(
        &mut self,
        conversation: String,
        after: u64,
    ) -> wasmtime::Result<Result<Vec<sessions::Entry>, Error>> {
        if let Err(error) = self.control_scope("own") {
            return Ok(Err(error));
        }
        let instance = &self.call.caller.instance;
        let history = self.call.services.conversations.history(instance, &conversation, after, HISTORY_MAX);
        Ok(history.map_err(|error| unreadable(&error)))
    }

    async fn running(&mut self, conversation: String) -> wasmtime::Result<Result<Option<String>, Error>> {
        let instance = &self.call.caller.instance;
        Ok(self.control_scope("own").map(|()| self.call.services.conversations.running(instance, &conversation)))
    }

    async fn rename(&mut self, conversation: String, title: String) -> wasmtime::Result<Result<(), Error>> {
        if title.len() > TITLE_MAX {
            return Ok(Err(Error::TooLarge(format!("a title has at most {TITLE_MAX} bytes"))));
        }
        Ok(self
            .own_conversation(&conversation)
            .and_then(|()| self.hold_control(Effect::Rename { conversation, title })))
    }

    async fn remove(&mut self, conversation: String) -> wasmtime::Result<Result<(), Error>> {
        Ok(self.own_conversation(&conversation).and_then(|()| self.hold_control(Effect::Remove { conversation })))
    }
}

impl models::Host for View<'_> {
    async fn all(&mut self) -> wasmtime::Result<Result<Vec<models::Model>, Error>> {
        Ok(self.control_scope("models").map(|()| self.call.services.conversations.models()))
    }

    async fn choose(&mut self, conversation: String, model: String) -> wasmtime::Result<Result<(), Error>> {
        if let Err(error) = self.control_scope("models") {
            return Ok(Err(error));
        }
        if !self.call.services.conversations.models().iter().any(|known| known.id == model) {
            return Ok(Err(Error::NotFound(format!("there is no model {model}"))));
        }
        Ok(self.hold_control(Effect::Choose { conversation, model }))
    }
}
