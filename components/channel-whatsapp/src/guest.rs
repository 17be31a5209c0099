//! The exports.

use crate::cloud::Chat;
use crate::contract::exports::openpista::plugin::approvals::{self, Verdict};
use crate::contract::exports::openpista::plugin::attachments;
use crate::contract::exports::openpista::plugin::channel::{
    self, ChannelError, Delivery, DeliveryError, Event, Outcome, Setup,
};
use crate::contract::exports::openpista::plugin::http_handler::{self, Incoming};
use crate::contract::openpista::gateway::gateway::Approval;
use crate::contract::openpista::http::exchange::Response;
use crate::contract::openpista::settings::settings;
use crate::contract::openpista::types::types::Media;
use crate::graph::Graph;
use crate::host::Real;
use crate::settings::{Mode, Settings};
use crate::{bridge, files, setup, webhook};

openpista_plugin::messenger_manifest!();

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
        let bearer = |audience: &str| SecretUse::Header(place(audience, "authorization"));
        // Which of them are needed depends on the mode.
        let needs = vec![
            need("http", &["{api}", FILES], "mode `cloud`: sends answers and fetches files", true),
            need("secrets", &[], "mode `cloud`: shows the access token, checks the webhook's signature", true),
            need(
                "connection",
                &["http", "process:{bridge}", "process:{bridge_path}"],
                "takes messages by webhook (mode `cloud`) or starts the bridge (mode `bridge`)",
                true,
            ),
        ];
        let token = vec![bearer("{api}"), bearer(FILES)];
        let shared = "Mode `cloud`: a long random text, the same as in the webhook's form";
        let secrets = vec![
            secret("token", "Mode `cloud`: a system user's access token", token, true),
            secret(
                "app-secret",
                "Mode `cloud`: the app's secret, from its basic settings",
                vec![SecretUse::Verify],
                true,
            ),
            secret("verify-token", shared, vec![SecretUse::Compare], true),
        ];
        let environment = [
            ("token", "WHATSAPP_TOKEN"),
            ("app-secret", "WHATSAPP_APP_SECRET"),
            ("verify-token", "WHATSAPP_VERIFY_TOKEN"),
        ];
        manifest("Chat on WhatsApp", needs, secrets, ["whatsapp", "WhatsApp"], &environment)
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
