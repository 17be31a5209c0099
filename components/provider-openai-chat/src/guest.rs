//! The exports.

use openpista_plugin::exchange::{self, Broken};

use crate::answer::Answer;
use crate::contract::exports::openpista::plugin::manifest::{self, Manifest};
use crate::contract::exports::openpista::plugin::provider::{self, Completion, Model, ProviderError, Request};
use crate::contract::openpista::http::client;
use crate::contract::openpista::log::log;
use crate::contract::openpista::plugin::deltas::Sink;
use crate::contract::openpista::settings::settings;
use crate::contract::openpista::types::types::Signal;
use crate::settings::{Settings, presets};
use crate::shared::{names, needs, now, offered, salt, secret, stand_in};
use crate::{body, models, shared};

/// What the host calls.
pub struct Plugin;

fn send(settings: &Settings, path: &str, body: Option<String>) -> Result<client::Incoming, Broken> {
    let mut headers = settings.headers.clone();
    if let Some(key) = stand_in("api-key")? {
        headers.push(("authorization".into(), format!("Bearer {key}")));
    }
    shared::send(format!("{}{path}", settings.base_url), headers, body)
}

impl manifest::Guest for Plugin {
    fn describe() -> Manifest {
        Manifest {
            name: env!("CARGO_PKG_NAME").into(),
            version: env!("CARGO_PKG_VERSION").into(),
            summary: "Models of every service that speaks Chat Completions".into(),
            needs: needs(),
            secrets: vec![secret("api-key", "API key, from the service's account page", "authorization")],
            settings: Some(Settings::schema().to_string()),
            presets: presets(),
            about: vec![("licence".into(), env!("CARGO_PKG_LICENSE").into())],
        }
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
        for name in &written.ignored {
            log::log(log::Level::Warn, &format!("the option {name} was ignored: it is no JSON or not changeable"));
        }
        let sent = send(&settings, "/chat/completions", Some(written.json.to_string()));
        let answer = Answer::new(&names, salt());
        Ok(exchange::follow(sent, answer, now(), |delta| out.push(&delta) == Signal::Proceed)?)
    }
}
