//! The exports.

use crate::contract::exports::openpista::plugin::manifest::{self, Manifest, Need, Place, Preset, Secret, SecretUse};
use crate::settings::SCHEMA;

openpista_plugin::messenger_exports!(webhook);

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
            settings: Some(SCHEMA.into()),
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
