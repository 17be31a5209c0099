//! The exports.

openpista_plugin::messenger_exports!(webhook);
openpista_plugin::messenger_manifest!();

impl manifest::Guest for Plugin {
    fn describe() -> Manifest {
        let bearer = |audience: &str| SecretUse::Header(place(audience, "authorization"));
        let needs = vec![
            need("http", &["{api}", "{hosts}"], "talks to Slack: messages, files, its socket", false),
            need("secrets", &[], "shows Slack the app's tokens, and checks its signatures", false),
            need("connection", &["http"], "takes messages as requests, if you choose that", true),
        ];
        let secrets = vec![
            secret(
                "bot-token",
                "The bot's token (xoxb-…), from OAuth & Permissions of the app",
                ["{api}", "{hosts}"].map(bearer).into(),
                false,
            ),
            secret(
                "app-token",
                "For mode = \"socket\": an app-level token (xapp-…) with connections:write",
                vec![bearer("{api}")],
                true,
            ),
            secret(
                "signing-secret",
                "For mode = \"events\": the signing secret, from Basic Information of the app",
                vec![SecretUse::Verify],
                true,
            ),
        ];
        let environment = [("bot-token", "SLACK_BOT_TOKEN"), ("app-token", "SLACK_APP_TOKEN")];
        manifest("Chat with a Slack app", needs, secrets, ["slack", "Slack"], &environment)
    }
}
