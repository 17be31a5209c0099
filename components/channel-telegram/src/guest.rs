//! The exports.

openpista_plugin::messenger_exports!(webhook);
openpista_plugin::messenger_manifest!();

impl manifest::Guest for Plugin {
    fn describe() -> Manifest {
        let needs = vec![
            need("http", &["{api}"], "asks the Bot API for messages and sends the answers", false),
            need("secrets", &[], "writes the bot's token into the address of each request", false),
            need("connection", &["http"], "takes messages by webhook, if you choose that", true),
        ];
        let hook = vec![SecretUse::Compare, SecretUse::Json(place("{api}", "/secret_token"))];
        let secrets = vec![
            secret("bot-token", "The bot's token, from @BotFather", vec![SecretUse::Path("{api}".into())], false),
            secret(
                "webhook-secret",
                "For mode = \"webhook\": a long random text of letters, digits, - and _",
                hook,
                true,
            ),
        ];
        let environment = [("bot-token", "TELEGRAM_BOT_TOKEN")];
        manifest("Chat with a Telegram bot", needs, secrets, ["telegram", "Telegram"], &environment)
    }
}
