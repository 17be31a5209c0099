//! The exports.

use openpista_plugin::exchange::{self, Broken};

use crate::answer::Answer;
use crate::contract::exports::openpista::plugin::manifest::{self, Manifest, Need, Place, Secret, SecretUse};
use crate::contract::exports::openpista::plugin::provider::{self, Completion, Model, ProviderError, Request};
use crate::contract::openpista::http::client;
use crate::contract::openpista::log::log;
use crate::contract::openpista::plugin::deltas::Sink;
use crate::contract::openpista::secrets::secrets;
use crate::contract::openpista::settings::settings;
use crate::contract::openpista::types::types::{Error, Signal};
use crate::settings::{Settings, presets};
use crate::shared::{broken, now, offered, salt};
use crate::{body, models, shared};

/// What the host calls.
pub struct Plugin;

fn send(settings: &Settings, path: &str, body: Option<String>) -> Result<client::Incoming, Broken> {
    let mut headers = settings.headers.clone();
    match secrets::stand_in("api-key") {
        Ok(key) => headers.push(("authorization".into(), format!("Bearer {key}"))),
        // Services on this machine want none; the others will say so.
        Err(Error::NotFound(_)) => (),
        Err(error) => return Err(broken(error)),
    }
    shared::send(format!("{}{path}", settings.base_url), headers, body)
}

impl manifest::Guest for Plugin {
    fn describe() -> Manifest {
        let place = Place { audience: "{base-url}".into(), name: "authorization".into() };
        Manifest {
            name: env!("CARGO_PKG_NAME").into(),
            version: env!("CARGO_PKG_VERSION").into(),
            summary: "Models of every service that speaks Chat Completions".into(),
            needs: vec![
                Need {
                    capability: "http".into(),
                    scope: vec!["{base-url}".into()],
                    reason: "asks the model's service".into(),
                    optional: false,
                },
                Need {
                    capability: "secrets".into(),
                    scope: Vec::new(),
                    reason: "signs in with the API key".into(),
                    optional: false,
                },
            ],
            secrets: vec![Secret {
                name: "api-key".into(),
                title: "API key, from the service's account page".into(),
                uses: vec![SecretUse::Header(place)],
                optional: true,
            }],
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
        let names = body::names(&request);
        let written = body::write(&request, &settings, &names);
        for name in &written.ignored {
            log::log(log::Level::Warn, &format!("the option {name} was ignored: it is no JSON or not changeable"));
        }
        let sent = send(&settings, "/chat/completions", Some(written.json.to_string()));
        let answer = Answer::new(&names, salt());
        Ok(exchange::follow(sent, answer, now(), |delta| out.push(&delta) == Signal::Proceed)?)
    }
}
