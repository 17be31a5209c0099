//! The exports.

use crate::api::Api;
use crate::contract::exports::openpista::plugin::approvals::{self, Verdict};
use crate::contract::exports::openpista::plugin::attachments;
use crate::contract::exports::openpista::plugin::channel::{
    self, ChannelError, Delivery, DeliveryError, Event, Outcome, Setup,
};
use crate::contract::exports::openpista::plugin::http_handler::{self, Incoming};
use crate::contract::exports::openpista::plugin::manifest::{self, Manifest, Need, Place, Preset, Secret, SecretUse};
use crate::contract::exports::openpista::plugin::outgoing;
use crate::contract::openpista::gateway::gateway::Approval;
use crate::contract::openpista::http::exchange::{Request, Response};
use crate::contract::openpista::settings::settings;
use crate::contract::openpista::types::types::Media;
use crate::host::Real;
use crate::settings::{SCHEMA, Settings};
use crate::show::Chat;
use crate::{ask, files, incoming, register};

/// What the host calls.
pub struct Plugin;

fn chosen() -> Settings {
    Settings::parse(&settings::get())
}

fn api(settings: &Settings) -> Api<'_> {
    Api { host: &Real, settings }
}

impl manifest::Guest for Plugin {
    fn describe() -> Manifest {
        let need = |capability: &str, scope: &[&str], reason: &str, optional| Need {
            capability: capability.into(),
            scope: scope.iter().map(|word| (*word).to_string()).collect(),
            reason: reason.into(),
            optional,
        };
        let bearer =
            |audience: &str| SecretUse::Header(Place { audience: audience.into(), name: "authorization".into() });
        Manifest {
            name: env!("CARGO_PKG_NAME").into(),
            version: env!("CARGO_PKG_VERSION").into(),
            summary: "Chat with a Slack app".into(),
            needs: vec![
                need("http", &["{api}", "{hosts}"], "talks to Slack: messages, files, its socket", false),
                need("secrets", &[], "shows Slack the app's tokens, and checks its signatures", false),
                need("connection", &["http"], "takes messages as requests, if you choose that", true),
            ],
            secrets: vec![
                Secret {
                    name: "bot-token".into(),
                    title: "The bot's token (xoxb-…), from OAuth & Permissions of the app".into(),
                    uses: ["{api}", "{hosts}"].map(bearer).into(),
                    optional: false,
                },
                Secret {
                    name: "app-token".into(),
                    title: "For mode = \"socket\": an app-level token (xapp-…) with connections:write".into(),
                    uses: vec![bearer("{api}")],
                    optional: true,
                },
                Secret {
                    name: "signing-secret".into(),
                    title: "For mode = \"events\": the signing secret, from Basic Information of the app".into(),
                    uses: vec![SecretUse::Verify],
                    optional: true,
                },
            ],
            settings: Some(SCHEMA.into()),
            presets: vec![Preset {
                name: "slack".into(),
                title: "Slack".into(),
                settings: "{}".into(),
                environment: vec![
                    ("bot-token".into(), "SLACK_BOT_TOKEN".into()),
                    ("app-token".into(), "SLACK_APP_TOKEN".into()),
                ],
                probe: None,
                model: None,
                // Whoever is in the workspace can write to it, so it runs only when a person asks for it.
                rank: 0,
            }],
            about: vec![("licence".into(), env!("CARGO_PKG_LICENSE").into())],
        }
    }
}

impl channel::Guest for Plugin {
    fn open() -> Result<Setup, ChannelError> {
        register::open(&Real, &chosen())
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
        register::next(api(&chosen()))
    }
}

impl http_handler::Guest for Plugin {
    fn handle(incoming: Incoming) -> Result<Response, ChannelError> {
        incoming::handle(api(&chosen()), &incoming)
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
