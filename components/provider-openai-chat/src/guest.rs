//! The exports, and the network behind [`Incoming`].

use std::hash::{BuildHasher, RandomState};
use std::time::{SystemTime, UNIX_EPOCH};

use crate::contract::exports::openpista::plugin::manifest::{self, Manifest, Need, Place, Secret, SecretUse};
use crate::contract::exports::openpista::plugin::provider::{self, Completion, Model, ProviderError, Request};
use crate::contract::openpista::http::client;
use crate::contract::openpista::log::log;
use crate::contract::openpista::plugin::deltas::Sink;
use crate::contract::openpista::secrets::secrets;
use crate::contract::openpista::settings::settings;
use crate::contract::openpista::types::types::Error;
use crate::exchange::{self, Context, Incoming};
use crate::settings::{Settings, presets};
use crate::{body, models};

/// What the host calls.
pub struct Plugin;

impl Incoming for client::Incoming {
    fn status(&self) -> u16 {
        self.status()
    }

    fn headers(&self) -> Vec<(String, String)> {
        self.headers()
    }

    fn read(&self) -> Result<Option<Vec<u8>>, Error> {
        self.read()
    }
}

fn send(settings: &Settings, method: &str, path: &str, body: Vec<u8>) -> Result<client::Incoming, Error> {
    let mut headers = settings.headers.clone();
    match secrets::stand_in("api-key") {
        Ok(key) => headers.push(("authorization".into(), format!("Bearer {key}"))),
        // Services on this machine want none; the others will say so.
        Err(Error::NotFound(_)) => (),
        Err(error) => return Err(error),
    }
    if !body.is_empty() {
        headers.push(("content-type".into(), "application/json".into()));
        headers.push(("accept".into(), "text/event-stream, application/json".into()));
    }
    let url = format!("{}{path}", settings.base_url);
    // The first byte of a thinking model, or of one that a local server has to load, takes its time.
    let options = client::Options { first_byte_ms: Some(110_000), between_bytes_ms: None };
    client::send(&client::Request { method: method.into(), url, headers, body }, Some(options))
}

fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
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
        if !settings.models.is_empty() {
            return Ok(settings.models.iter().map(|id| models::named(id)).collect());
        }
        exchange::list(send(&settings, "GET", "/models", Vec::new()), now())
    }

    fn complete(request: Request, out: &Sink) -> Result<Completion, ProviderError> {
        let settings = Settings::parse(&settings::get());
        let names = body::names(&request);
        let written = body::write(&request, &settings, &names);
        for name in &written.ignored {
            log::log(log::Level::Warn, &format!("the option {name} was ignored: it is no JSON or not changeable"));
        }
        let sent = send(&settings, "POST", "/chat/completions", written.json.to_string().into_bytes());
        let context = Context { names: &names, salt: RandomState::new().hash_one(0u8), now: now() };
        exchange::follow(sent, &context, |delta| out.push(&delta))
    }
}
