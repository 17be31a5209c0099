//! The exports.

use openpista_plugin::exchange::{self, Broken};

use crate::answer::Answer;
use crate::contract::exports::openpista::plugin::manifest::{self, Manifest};
use crate::contract::exports::openpista::plugin::provider::{self, Completion, Model, ProviderError, Request};
use crate::contract::openpista::http::client;
use crate::contract::openpista::plugin::deltas::Sink;
use crate::contract::openpista::settings::settings;
use crate::contract::openpista::types::types::Signal;
use crate::settings::{Settings, presets};
use crate::shared::{self, bearer, listed, log_ignored, names, now, secret, stand_in};
use crate::{body, models};

/// What the host calls.
pub struct Plugin;

/// A token goes before a key: who has both set it up by hand.
fn send(settings: &Settings, path: &str, bound: bool, body: Option<String>) -> Result<client::Incoming, Broken> {
    let token = bearer("oauth-token")?;
    let mut headers = settings.headers(token.is_some(), bound);
    match token {
        Some(token) => headers.push(token),
        None => headers.extend(stand_in("api-key")?.map(|key| ("x-api-key".into(), key))),
    }
    shared::send(format!("{}{path}", settings.base_url), headers, body)
}

impl manifest::Guest for Plugin {
    fn describe() -> Manifest {
        let secrets = vec![
            secret("api-key", "API key, from platform.claude.com", "x-api-key"),
            secret("oauth-token", "bearer token of a sign-in, instead of an API key", "authorization"),
        ];
        shared::manifest("Claude models by the Messages API", secrets, Settings::schema(), presets())
    }
}

impl provider::Guest for Plugin {
    fn models() -> Result<Vec<Model>, ProviderError> {
        let settings = Settings::parse(&settings::get());
        let named = settings.models.iter().map(|id| models::named(id)).collect();
        listed(named, models::known(), || send(&settings, "/v1/models?limit=1000", false, None), models::parse)
    }

    fn complete(request: Request, out: &Sink) -> Result<Completion, ProviderError> {
        let settings = Settings::parse(&settings::get());
        let names = names(&request);
        let written = body::write(&request, &settings, &names);
        log_ignored(&written.ignored);
        let sent = send(&settings, "/v1/messages", written.bound, Some(written.json.to_string()));
        let answer = Answer::new(&names, &request.model);
        Ok(exchange::follow(sent, answer, now(), |delta| out.push(&delta) == Signal::Proceed)?)
    }
}
