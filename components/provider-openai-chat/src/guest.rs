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
use crate::shared::{self, bearer, listed, log_ignored, names, now, salt, secret};
use crate::{body, models};

/// What the host calls.
pub struct Plugin;

fn send(settings: &Settings, path: &str, body: Option<String>) -> Result<client::Incoming, Broken> {
    let mut headers = settings.headers.clone();
    headers.extend(bearer("api-key")?);
    shared::send(format!("{}{path}", settings.base_url), headers, body)
}

impl manifest::Guest for Plugin {
    fn describe() -> Manifest {
        let secrets = vec![secret("api-key", "API key, from the service's account page", "authorization")];
        shared::manifest("Models of every service that speaks Chat Completions", secrets, Settings::schema(), presets())
    }
}

impl provider::Guest for Plugin {
    fn models() -> Result<Vec<Model>, ProviderError> {
        let settings = Settings::parse(&settings::get());
        let named = settings.models.iter().map(|id| models::named(id)).collect();
        listed(named, Vec::new(), || send(&settings, "/models", None), models::parse)
    }

    fn complete(request: Request, out: &Sink) -> Result<Completion, ProviderError> {
        let settings = Settings::parse(&settings::get());
        let names = names(&request);
        let written = body::write(&request, &settings, &names);
        log_ignored(&written.ignored);
        let sent = send(&settings, "/chat/completions", Some(written.json.to_string()));
        let answer = Answer::new(&names, salt());
        Ok(exchange::follow(sent, answer, now(), |delta| out.push(&delta) == Signal::Proceed)?)
    }
}
