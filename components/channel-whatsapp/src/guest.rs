//! The exports.

use crate::cloud::Chat;
use crate::contract::exports::openpista::plugin::approvals::{self, Verdict};
use crate::contract::exports::openpista::plugin::attachments;
use crate::contract::exports::openpista::plugin::channel::{
    self, ChannelError, Delivery, DeliveryError, Event, Outcome, Setup,
};
use crate::contract::exports::openpista::plugin::http_handler::{self, Incoming};
use crate::contract::exports::openpista::plugin::manifest::{self, Manifest, Need, Place, Preset, Secret, SecretUse};
use crate::contract::openpista::gateway::gateway::Approval;
use crate::contract::openpista::http::exchange::Response;
use crate::contract::openpista::settings::settings;
use crate::contract::openpista::types::types::Media;
use crate::graph::Graph;
use crate::host::Real;
use crate::settings::{Mode, SCHEMA, Settings};
use crate::{bridge, files, setup, webhook};

/// What the host calls.
pub struct Plugin;

/// Where the API keeps the files that people send.
const FILES: &str = "lookaside.fbsbx.com";

fn chosen() -> Settings {
    Settings::parse(&settings::get())
}

fn graph(settings: &Settings) -> Graph<'_> {
    Graph { host: &Real, settings }
}

impl manifest::Guest for Plugin {
    fn describe() -> Manifest {
        let need = |capability: &str, scope: &[&str], reason: &str| Need {
            capability: capability.into(),
            scope: scope.iter().map(|word| (*word).to_string()).collect(),
            reason: reason.into(),
            optional: true,
        };
        let secret =
            |name: &str, title: &str, uses| Secret { name: name.into(), title: title.into(), uses, optional: true };
        let bearer =
            |audience: &str| SecretUse::Header(Place { audience: audience.into(), name: "authorization".into() });
        let variable = |secret: &str, variable: &str| (secret.to_string(), variable.to_string());
        Manifest {
            name: env!("CARGO_PKG_NAME").into(),
            version: env!("CARGO_PKG_VERSION").into(),
            summary: "Chat on WhatsApp".into(),
            needs: vec![
                need("http", &["{api}", FILES], "mode `cloud`: sends answers and fetches files"),
                need("secrets", &[], "mode `cloud`: shows the access token, checks the webhook's signature"),
                need(
                    "connection",
                    &["http", "process:{bridge}", "process:{bridge_path}"],
                    "takes messages by webhook (mode `cloud`) or starts the bridge (mode `bridge`)",
                ),
            ],
            secrets: vec![
                secret("token", "Mode `cloud`: a system user's access token", vec![bearer("{api}"), bearer(FILES)]),
                secret(
                    "app-secret",
                    "Mode `cloud`: the app's secret, from its basic settings",
                    vec![SecretUse::Verify],
                ),
                secret(
                    "verify-token",
                    "Mode `cloud`: a long random text, the same as in the webhook's form",
                    vec![SecretUse::Compare],
                ),
            ],
            settings: Some(SCHEMA.into()),
            presets: vec![Preset {
                name: "whatsapp".into(),
                title: "WhatsApp".into(),
                settings: "{}".into(),
                environment: vec![
                    variable("token", "WHATSAPP_TOKEN"),
                    variable("app-secret", "WHATSAPP_APP_SECRET"),
                    variable("verify-token", "WHATSAPP_VERIFY_TOKEN"),
                ],
                probe: None,
                model: None,
                // People whom nobody knows can write to it, so it runs only when a person asks for it.
                rank: 0,
            }],
            about: vec![("licence".into(), env!("CARGO_PKG_LICENSE").into())],
        }
    }
}

impl channel::Guest for Plugin {
    fn open() -> Result<Setup, ChannelError> {
        setup::open(&Real, &chosen())
    }

    fn receive(event: Event) -> Result<(), ChannelError> {
        bridge::receive(&Real, &chosen(), &event)
    }

    fn deliver(delivery: Delivery) -> Result<Outcome, DeliveryError> {
        let settings = chosen();
        match settings.mode {
            Mode::Bridge => bridge::deliver(&Real, delivery),
            Mode::Cloud => Chat::of(graph(&settings), &delivery.conversation)?.deliver(delivery),
        }
    }
}

impl http_handler::Guest for Plugin {
    fn handle(incoming: Incoming) -> Result<Response, ChannelError> {
        webhook::handle(graph(&chosen()), &incoming)
    }
}

impl attachments::Guest for Plugin {
    fn fetch(reference: String) -> Result<Media, ChannelError> {
        files::fetch(graph(&chosen()), &reference)
    }
}

impl approvals::Guest for Plugin {
    fn ask(approval: Approval) -> Result<Outcome, DeliveryError> {
        let settings = chosen();
        Chat::of(graph(&settings), &approval.conversation)?.ask(&approval)
    }

    fn decided(verdict: Verdict) -> Result<(), DeliveryError> {
        let settings = chosen();
        Chat::of(graph(&settings), &verdict.approval.conversation)?.decided(&verdict)
    }
}
