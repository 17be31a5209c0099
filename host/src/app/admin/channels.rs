//! What the operator asks about channels and who may write to them.

use super::super::shown::in_words;
use super::Admin;
use crate::admin::{
    ChannelSummary, ContactSummary, PairingSummary, Refusal, Request, Response, ResponseSink, TransportSummary,
};
use crate::message::now;
use crate::plugin::registry::RoleKind;
use crate::transport::State;

fn contact_summary(channel: String, contact: crate::store::Contact) -> ContactSummary {
    ContactSummary { channel, sender: contact.id, name: contact.name, since: contact.since }
}

impl Admin {
    pub(super) async fn about_contacts(&self, request: Request, out: &ResponseSink) -> Result<(), Refusal> {
        match request {
            Request::ContactList { channel } => self.contacts(channel.as_deref(), out).await?,
            Request::ChannelPair { code } => {
                let Some(pairing) = self.0.gateway.pair(&code).await? else {
                    return Err(Refusal::not_found(format!(
                        "the code {code} is not known, or its hour is over: the next message there brings a new one"
                    )));
                };
                out.send(Response::Contact(ContactSummary {
                    channel: pairing.instance,
                    sender: pairing.sender.id,
                    name: pairing.sender.name,
                    since: now(),
                }))
                .await?;
            }
            Request::ChannelAllow { channel, sender } => {
                self.known_channel(&channel)?;
                let contact = self.0.gateway.let_in(&channel, &sender).await?;
                out.send(Response::Contact(contact_summary(channel, contact))).await?;
            }
            Request::ChannelForget { channel, sender } => {
                let was_in = self.0.gateway.forget(&channel, &sender).await?;
                if !was_in {
                    return Err(Refusal::not_found(format!(
                        "{sender} was not let in to {channel}; `openpista-host channel contacts` lists who was"
                    )));
                }
            }
            Request::ChannelRestart { channel } => {
                self.known_channel(&channel)?;
                self.0.gateway.restart(&channel).await;
            }
            Request::ChannelSkip { channel } => {
                self.known_channel(&channel)?;
                let deliveries = self.0.gateway.skip(&channel);
                out.send(Response::Skipped { deliveries }).await?;
            }
            // The others are not about channels.
            _ => (),
        }
        Ok(())
    }

    /// A channel that is there, working or not.
    fn known_channel(&self, name: &str) -> Result<(), Refusal> {
        let snapshot = self.0.registry.snapshot();
        let idle = snapshot.idle.iter().any(|idle| idle.role == RoleKind::Channel && idle.name == name);
        if idle || snapshot.get(RoleKind::Channel, name).is_some() {
            return Ok(());
        }
        let all: Vec<&str> = snapshot.of(RoleKind::Channel).map(|channel| channel.name.as_str()).collect();
        Err(Refusal::not_found(format!("there is no channel {name}; there are {}", all.join(", "))))
    }

    async fn contacts(&self, channel: Option<&str>, out: &ResponseSink) -> Result<(), Refusal> {
        let (contacts, pairings) = self.0.store.read(|tx| Ok((tx.contacts()?, tx.pairings(now())?)))?;
        for (instance, contact) in contacts {
            if channel.is_none_or(|channel| channel == instance) {
                out.send(Response::Contact(contact_summary(instance, contact))).await?;
            }
        }
        for pairing in pairings {
            if channel.is_none_or(|channel| channel == pairing.instance) {
                out.send(Response::Pairing(PairingSummary {
                    code: pairing.code,
                    channel: pairing.instance,
                    sender: pairing.sender.id,
                    name: pairing.sender.name,
                    expires: pairing.expires,
                }))
                .await?;
            }
        }
        Ok(())
    }

    pub(super) async fn channels(&self, name: Option<&str>, out: &ResponseSink) -> Result<(), Refusal> {
        let transports = self.0.hub.status();
        let mut found = name.is_none();
        for status in self.0.gateway.channel_status() {
            if name.is_some_and(|name| name != status.name) {
                continue;
            }
            found = true;
            let own: Vec<_> = transports.iter().filter(|transport| transport.instance == status.name).collect();
            let off = own.iter().all(|transport| matches!(transport.state, State::Off { .. }));
            let down = own
                .iter()
                .any(|transport| !matches!(transport.state, State::Open | State::Listening | State::Off { .. }));
            let waits = own.iter().find_map(|transport| match &transport.state {
                State::AuthRequired { reason } => Some(reason.clone()),
                _ => None,
            });
            let state = match (&status.failed, own.is_empty(), down) {
                (Some(_), _, _) | (None, true, _) => "down",
                // Nothing happens until a person has done something.
                (None, false, true) if waits.is_some() => "down",
                (None, false, _) if off => "off",
                (None, false, true) => "connecting",
                (None, false, false) => "live",
            };
            let served = own.iter().any(|transport| matches!(transport.kind, "http" | "websocket"));
            let address = if served { self.0.address() } else { None };
            let detail = status.failed.or(waits).or(status.notice).or(address).unwrap_or_default();
            let transports = own
                .into_iter()
                .map(|transport| TransportSummary {
                    id: transport.transport.clone(),
                    kind: transport.kind.to_string(),
                    state: in_words(&transport.state),
                    progress: transport.progress,
                })
                .collect();
            let (name, plugin, state) = (status.name, status.plugin, state.into());
            let summary = ChannelSummary { name, plugin, state, detail, qr: status.qr, transports };
            out.send(Response::Channel(summary)).await?;
        }
        for idle in self.0.registry.snapshot().idle.iter().filter(|idle| idle.role == RoleKind::Channel) {
            if name.is_some_and(|name| name != idle.name) {
                continue;
            }
            found = true;
            out.send(Response::Channel(ChannelSummary {
                name: idle.name.clone(),
                plugin: idle.plugin.clone(),
                state: "off".into(),
                detail: idle.reason.clone(),
                qr: None,
                transports: Vec::new(),
            }))
            .await?;
        }
        if found { Ok(()) } else { Err(Refusal::not_found("there is no channel of that name")) }
    }
}
