//! The exports, and the host behind [`Host`].

use std::time::{SystemTime, UNIX_EPOCH};

use crate::api::Api;
use crate::contract::exports::openpista::plugin::approvals::{self, Verdict};
use crate::contract::exports::openpista::plugin::attachments;
use crate::contract::exports::openpista::plugin::channel::{
    self, ChannelError, Delivery, DeliveryError, Event, Outcome, Setup,
};
use crate::contract::exports::openpista::plugin::http_handler::{self, Incoming};
use crate::contract::exports::openpista::plugin::manifest::{self, Manifest, Need, Place, Preset, Secret, SecretUse};
use crate::contract::exports::openpista::plugin::outgoing;
use crate::contract::openpista::connection::connection;
use crate::contract::openpista::gateway::gateway::{self, Approval, Decision, Inbound, Notice, Sender};
use crate::contract::openpista::http::client;
use crate::contract::openpista::http::exchange::{Request, Response};
use crate::contract::openpista::log::log;
use crate::contract::openpista::secrets::secrets;
use crate::contract::openpista::settings::settings;
use crate::contract::openpista::state::state;
use crate::contract::openpista::types::types::{Error, Media, Timestamp};
use crate::host::Host;
use crate::settings::Settings;
use crate::show::Chat;
use crate::{ask, files, incoming, register};

/// What the host calls.
pub struct Plugin;

struct Real;

impl Host for Real {
    fn get(&self, key: &str) -> Result<Option<String>, Error> {
        Ok(state::get(key)?.and_then(|bytes| String::from_utf8(bytes).ok()))
    }

    fn set(&self, key: &str, value: &str) -> Result<(), Error> {
        state::set(key, value.as_bytes())
    }

    fn remove(&self, key: &str) -> Result<(), Error> {
        state::remove(key)
    }

    fn stand_in(&self, secret: &str) -> Result<String, Error> {
        secrets::stand_in(secret)
    }

    fn is_webhook_secret(&self, candidate: &str) -> Result<bool, Error> {
        secrets::matches("webhook-secret", candidate)
    }

    fn http(&self, request: &Request, most: usize) -> Result<(u16, Vec<u8>), Error> {
        let incoming = client::send(request, None)?;
        let mut body = Vec::new();
        while let Some(piece) = incoming.read()? {
            if body.len() + piece.len() > most {
                return Err(Error::TooLarge(format!("the answer has more than {most} bytes")));
            }
            body.extend_from_slice(&piece);
        }
        Ok((incoming.status(), body))
    }

    fn submit(&self, message: &Inbound) -> Result<(), Error> {
        gateway::submit(message)
    }

    fn decide(&self, approval: &str, by: &Sender, decision: Decision) -> Result<(), Error> {
        gateway::decide(approval, by, decision)
    }

    fn tell(&self, notice: &Notice) -> Result<(), Error> {
        gateway::tell_operator(notice)
    }

    fn alarm(&self, name: &str, after_ms: u64) -> Result<(), Error> {
        connection::alarm(name, after_ms, None)
    }

    fn public_url(&self, transport: &str) -> Option<String> {
        connection::public_url(transport)
    }

    fn now(&self) -> Timestamp {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    }

    fn warn(&self, words: &str) {
        log::log(log::Level::Warn, words);
    }
}

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
        Manifest {
            name: env!("CARGO_PKG_NAME").into(),
            version: env!("CARGO_PKG_VERSION").into(),
            summary: "Chat with a Telegram bot".into(),
            needs: vec![
                need("http", &["{api}"], "asks the Bot API for messages and sends the answers", false),
                need("secrets", &[], "writes the bot's token into the address of each request", false),
                need("connection", &["http"], "takes messages by webhook, if you choose that", true),
            ],
            secrets: vec![
                Secret {
                    name: "bot-token".into(),
                    title: "The bot's token, from @BotFather".into(),
                    uses: vec![SecretUse::Path("{api}".into())],
                    optional: false,
                },
                Secret {
                    name: "webhook-secret".into(),
                    title: "For mode = \"webhook\": a long random text of letters, digits, - and _".into(),
                    uses: vec![
                        SecretUse::Compare,
                        SecretUse::Json(Place { audience: "{api}".into(), name: "/secret_token".into() }),
                    ],
                    optional: true,
                },
            ],
            settings: Some(Settings::schema().to_string()),
            presets: vec![Preset {
                name: "telegram".into(),
                title: "Telegram".into(),
                settings: "{}".into(),
                environment: vec![("bot-token".into(), "TELEGRAM_BOT_TOKEN".into())],
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
