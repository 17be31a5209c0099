//! The exports.

use crate::api::Api;
use crate::contract::exports::openpista::plugin::approvals::{self, Verdict};
use crate::contract::exports::openpista::plugin::attachments;
use crate::contract::exports::openpista::plugin::channel::{
    self, ChannelError, Delivery, DeliveryError, Event, Outcome, Setup,
};
use crate::contract::exports::openpista::plugin::manifest::{self, Manifest, Need, Place, Preset, Secret, SecretUse};
use crate::contract::exports::openpista::plugin::outgoing;
use crate::contract::openpista::gateway::gateway::Approval;
use crate::contract::openpista::http::exchange::Request;
use crate::contract::openpista::settings::settings;
use crate::contract::openpista::types::types::Media;
use crate::host::Real;
use crate::settings::{SCHEMA, Settings};
use crate::show::Chat;
use crate::{ask, files, incoming, session};

/// What the host calls.
pub struct Plugin;

fn chosen() -> Settings {
    Settings::parse(&settings::get())
}

fn api(settings: &Settings) -> Api<'_> {
    Api { host: &Real, settings }
}

/// Where the service keeps files that people send.
const FILES: [&str; 2] = ["cdn.discordapp.com", "media.discordapp.net"];
/// Where a session may be resumed.
const GATEWAYS: &str = "*.discord.gg";

impl manifest::Guest for Plugin {
    fn describe() -> Manifest {
        let need = |capability: &str, scope: &[&str], reason: &str| Need {
            capability: capability.into(),
            scope: scope.iter().map(|word| (*word).to_string()).collect(),
            reason: reason.into(),
            optional: false,
        };
        let place = |audience: &str, name: &str| Place { audience: audience.into(), name: name.into() };
        let [files, media] = FILES;
        Manifest {
            name: env!("CARGO_PKG_NAME").into(),
            version: env!("CARGO_PKG_VERSION").into(),
            summary: "Chat with a Discord bot".into(),
            needs: vec![
                need(
                    "http",
                    &["{api}", "{gateway}", GATEWAYS, files, media],
                    "takes messages from the gateway, sends answers by the API, fetches files that people send",
                ),
                need("secrets", &[], "signs the bot in and its requests"),
            ],
            secrets: vec![Secret {
                name: "bot-token".into(),
                title: "The bot's token, from the developer portal".into(),
                uses: vec![
                    SecretUse::Header(place("{api}", "authorization")),
                    SecretUse::Frame(place("{gateway}", "/d/token")),
                    SecretUse::Frame(place(GATEWAYS, "/d/token")),
                ],
                optional: false,
            }],
            settings: Some(SCHEMA.into()),
            presets: vec![Preset {
                name: "discord".into(),
                title: "Discord".into(),
                settings: "{}".into(),
                environment: vec![("bot-token".into(), "DISCORD_BOT_TOKEN".into())],
                probe: None,
                model: None,
                // Whoever finds the bot can write to it, so it runs only when a person asks for it.
                rank: 0,
            }],
            about: vec![("licence".into(), env!("CARGO_PKG_LICENSE").into())],
        }
    }
}

impl channel::Guest for Plugin {
    fn open() -> Result<Setup, ChannelError> {
        Ok(session::open(&chosen()))
    }

    fn receive(event: Event) -> Result<(), ChannelError> {
        incoming::receive(api(&chosen()), &event)
    }

    fn deliver(delivery: Delivery) -> Result<Outcome, DeliveryError> {
        let settings = chosen();
        Chat::of(api(&settings), &delivery.conversation)?.deliver(delivery)
    }
}

impl outgoing::Guest for Plugin {
    fn next(_transport: String) -> Result<Request, ChannelError> {
        session::next(api(&chosen()))
    }
}

impl attachments::Guest for Plugin {
    fn fetch(reference: String) -> Result<Media, ChannelError> {
        files::fetch(api(&chosen()), &reference)
    }
}

impl approvals::Guest for Plugin {
    fn ask(approval: Approval) -> Result<Outcome, DeliveryError> {
        let settings = chosen();
        ask::ask(&Chat::of(api(&settings), &approval.conversation)?, &approval)
    }

    fn decided(verdict: Verdict) -> Result<(), DeliveryError> {
        let settings = chosen();
        ask::decided(&Chat::of(api(&settings), &verdict.approval.conversation)?, &verdict)
    }
}
