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
use crate::shared::{self, bearer, log_ignored, names, now, offered, salt, secret};
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
        let models = if settings.models.is_empty() {
            exchange::list(send(&settings, "/models", None), now(), models::parse)?
        } else {
            settings.models.iter().map(|id| models::named(id)).collect()
        };
        Ok(models.into_iter().map(offered).collect())
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
