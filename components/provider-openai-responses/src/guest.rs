//! The exports.

use openpista_plugin::exchange::{self, Broken};

use crate::answer::Answer;
use crate::contract::exports::openpista::plugin::manifest::{self, Manifest, SecretUse};
use crate::contract::exports::openpista::plugin::provider::{self, Completion, Model, ProviderError, Request};
use crate::contract::openpista::http::client;
use crate::contract::openpista::plugin::deltas::Sink;
use crate::contract::openpista::secrets::secrets;
use crate::contract::openpista::settings::settings;
use crate::contract::openpista::types::types::Signal;
use crate::settings::{Settings, presets};
use crate::shared::{self, bearer, listed, log_ignored, names, now, salt, secret};
use crate::{body, models};

/// Where a subscription's token names its account.
const ACCOUNT: &str = "/https:~1~1api.openai.com~1auth/chatgpt_account_id";

/// What the host calls.
pub struct Plugin;

fn send(settings: &Settings, path: &str, body: Option<String>) -> Result<client::Incoming, Broken> {
    let mut headers = settings.headers.clone();
    headers.extend(bearer("api-key")?);
    // A subscription's token says whose it is; an API key says nothing.
    if settings.account.is_empty()
        && let Ok(Some(account)) = secrets::fact("api-key", ACCOUNT)
    {
        headers.push(("chatgpt-account-id".into(), account));
    }
    shared::send(format!("{}{path}", settings.base_url), headers, body)
}

impl manifest::Guest for Plugin {
    fn describe() -> Manifest {
        let mut key = secret(
            "api-key",
            "API key from the service's account page, or a subscription's access token",
            "authorization",
        );
        key.uses.push(SecretUse::Fact(ACCOUNT.into()));
        let secrets = vec![key];
        shared::manifest(
            "Models of services that speak the Responses API, by key or by subscription",
            secrets,
            Settings::schema(),
            presets(),
        )
    }
}

impl provider::Guest for Plugin {
    fn models() -> Result<Vec<Model>, ProviderError> {
        let settings = Settings::parse(&settings::get());
        let named = settings.models.iter().map(|id| models::named(id)).collect();
        listed(named, models::known(), || send(&settings, "/models", None), models::parse)
    }

    fn complete(request: Request, out: &Sink) -> Result<Completion, ProviderError> {
        let settings = Settings::parse(&settings::get());
        let names = names(&request);
        let written = body::write(&request, &settings, &names);
        log_ignored(&written.ignored);
        let sent = send(&settings, "/responses", Some(written.json.to_string()));
        let answer = Answer::new(&names, &request.model, salt());
        Ok(exchange::follow(sent, answer, now(), |delta| out.push(&delta) == Signal::Proceed)?)
    }
}
