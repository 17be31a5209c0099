//! The exports.

openpista_plugin::messenger_exports!();
openpista_plugin::messenger_manifest!();

/// Where the service keeps files that people send.
const FILES: [&str; 2] = ["cdn.discordapp.com", "media.discordapp.net"];
/// Where a session may be resumed.
const GATEWAYS: &str = "*.discord.gg";

impl manifest::Guest for Plugin {
    fn describe() -> Manifest {
        let [files, media] = FILES;
        let hosts = ["{api}", "{gateway}", GATEWAYS, files, media];
        let why = "takes messages from the gateway, sends answers by the API, fetches files that people send";
        let uses = vec![
            SecretUse::Header(place("{api}", "authorization")),
            SecretUse::Frame(place("{gateway}", "/d/token")),
            SecretUse::Frame(place(GATEWAYS, "/d/token")),
        ];
        manifest(
            "Chat with a Discord bot",
            vec![need("http", &hosts, why, false), need("secrets", &[], "signs the bot in and its requests", false)],
            vec![secret("bot-token", "The bot's token, from the developer portal", uses, false)],
            ["discord", "Discord"],
            &[("bot-token", "DISCORD_BOT_TOKEN")],
        )
    }
}
