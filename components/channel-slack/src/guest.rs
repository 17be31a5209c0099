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
