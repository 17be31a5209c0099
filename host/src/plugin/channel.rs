//! A channel component: each of the contract's calls as one function, with what it held.
//!
//! Nothing takes effect here. The driver (`gateway`) stores what a call held, then executes it.

use std::sync::Arc;
use std::time::Duration;

use super::convert::cause;
use super::instance::{After, Around, Host, Instance};
use crate::capability::Held;
use crate::runtime::CallError;
use crate::wit::openpista::http::exchange::{Request, Response};
use crate::wit::role::approvals::Verdict;
use crate::wit::role::{channel as wit, http_handler, observer};
use crate::wit::types::Media;

const OPEN: Duration = Duration::from_secs(30);
const RECEIVE: Duration = Duration::from_secs(60);
const HANDLE: Duration = Duration::from_secs(10);

/// A channel instance.
#[derive(Clone)]
pub struct ChannelInstance {
    /// What runs.
    pub instance: Arc<Instance>,
    /// With what.
    pub host: Arc<Host>,
}

/// Why an answer did not come: the guest's own error, or ours.
#[derive(Debug)]
pub enum Failure<E> {
    /// As the guest said.
    Said(E),
    /// Trap, limit, time.
    Broke(CallError),
}

/// An answer and what takes effect with it.
pub type Answer<R, E> = Result<(R, Held), Failure<E>>;

macro_rules! guest {
    ($exports:ident.$role:ident, $store:ident, $instance:ident) => {
        $exports
            .$role
            .as_ref()
            .ok_or_else(|| wasmtime::Error::msg(concat!("it does not export ", stringify!($role))))?
            .load(&mut *$store, $instance)?
    };
}

fn answer<R, E>(done: Result<(Result<R, E>, After), CallError>) -> Answer<R, E> {
    match done {
        Ok((Ok(answer), after)) => Ok((answer, after.held)),
        Ok((Err(error), _)) => Err(Failure::Said(error)),
        Err(error) => Err(Failure::Broke(error)),
    }
}

fn around(operation: &'static str, cause: u64) -> Around {
    Around { operation, cause, ..Around::default() }
}

impl ChannelInstance {
    /// `channel.open`
    pub async fn open(&self) -> Answer<wit::Setup, wit::ChannelError> {
        let work = self.instance.call(&self.host, around("channel.open", 0), OPEN, async |store, instance, exports| {
            guest!(exports.channel, store, instance).call_open(store).await
        });
        answer(work.await)
    }

    /// `channel.receive`; `number` is the same for an event that is tried again.
    pub async fn receive(&self, event: &wit::Event, number: u64) -> Answer<(), wit::ChannelError> {
        let work = self.instance.call(
            &self.host,
            around("channel.receive", number),
            RECEIVE,
            async |store, instance, exports| guest!(exports.channel, store, instance).call_receive(store, event).await,
        );
        answer(work.await)
    }

    /// `channel.deliver`
    pub async fn deliver(&self, delivery: &wit::Delivery) -> Answer<wit::Outcome, wit::DeliveryError> {
        let work = self.instance.call(
            &self.host,
            around("channel.deliver", cause([&delivery.id])),
            RECEIVE,
            async |store, instance, exports| {
                guest!(exports.channel, store, instance).call_deliver(store, delivery).await
            },
        );
        answer(work.await)
    }

    /// `outgoing.next`
    pub async fn next(&self, transport: &str) -> Answer<Request, wit::ChannelError> {
        let around = around("outgoing.next", 0);
        let work = self.instance.call(&self.host, around, OPEN, async |store, instance, exports| {
            guest!(exports.outgoing, store, instance).call_next(store, transport).await
        });
        answer(work.await)
    }

    /// `http-handler.handle`
    pub async fn handle(&self, incoming: &http_handler::Incoming) -> Answer<Response, wit::ChannelError> {
        // Whoever sends nonsense again and again is one cause, whatever the port.
        let peer = incoming.peer.rsplit_once(':').map_or(incoming.peer.as_str(), |(address, _)| address).to_string();
        let around = around("http-handler.handle", cause([&peer]));
        let work = self.instance.call(&self.host, around, HANDLE, async |store, instance, exports| {
            guest!(exports.http_handler, store, instance).call_handle(store, incoming).await
        });
        answer(work.await)
    }

    /// `attachments.fetch`
    pub async fn fetch(&self, reference: &str) -> Answer<Media, wit::ChannelError> {
        let around = around("attachments.fetch", cause([&reference.to_string()]));
        let work = self.instance.call(&self.host, around, RECEIVE, async |store, instance, exports| {
            guest!(exports.attachments, store, instance).call_fetch(store, reference).await
        });
        answer(work.await)
    }

    /// `approvals.ask`
    pub async fn ask(
        &self,
        approval: &crate::wit::openpista::gateway::gateway::Approval,
    ) -> Answer<wit::Outcome, wit::DeliveryError> {
        let work = self.instance.call(
            &self.host,
            around("approvals.ask", cause([&approval.id])),
            RECEIVE,
            async |store, instance, exports| guest!(exports.approvals, store, instance).call_ask(store, approval).await,
        );
        answer(work.await)
    }

    /// `approvals.decided`
    pub async fn decided(&self, verdict: &Verdict) -> Answer<(), wit::DeliveryError> {
        let around = around("approvals.decided", 0);
        let work = self.instance.call(&self.host, around, RECEIVE, async |store, instance, exports| {
            guest!(exports.approvals, store, instance).call_decided(store, verdict).await
        });
        answer(work.await)
    }

    /// `observer.notify`; nothing if it does not observe.
    pub async fn notify(&self, update: &observer::Update) -> Result<Held, CallError> {
        let around = around("observer.notify", 0);
        let work =
            self.instance.call(&self.host, around, OPEN, async |store, instance, exports| match &exports.observer {
                Some(observer) => observer.load(&mut *store, instance)?.call_notify(store, update).await,
                None => Ok(()),
            });
        work.await.map(|((), after)| after.held)
    }
}
