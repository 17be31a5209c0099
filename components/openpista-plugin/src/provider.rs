//! The shared parts of a provider in the types of its own contract.

/// Ties [`exchange`](crate::exchange), [`failure`](crate::failure) and [`models`](crate::models) to the bindings that a
/// component generated, of which the module is the argument: `openpista_plugin::provider!(crate::contract);`. It stands
/// in a module of its own and brings the conversions, and what each provider says and does in the same words: its
/// needs and secrets, sending, the legal names of a request.
#[macro_export]
macro_rules! provider {
    ($($contract:tt)+) => {
        use $($contract)+::exports::openpista::plugin::manifest::{Manifest, Need, Place, Preset, Secret, SecretUse};
        use $($contract)+::exports::openpista::plugin::provider::{
            Abilities, Body, Effort, Model, Price, ProviderError, Request, ToolCall,
        };
        use $($contract)+::openpista::http::client;
        use $($contract)+::openpista::log::log;
        use $($contract)+::openpista::secrets::secrets;
        use $($contract)+::openpista::types::types::{Error, Usage};
        use $crate::exchange::{Broken, Incoming};
        use $crate::failure::Failure;
        use $crate::tool_names::ToolNames;

        impl From<Failure> for ProviderError {
            fn from(failure: Failure) -> Self {
                match failure {
                    Failure::AuthRequired(why) => Self::AuthRequired(why),
                    Failure::AccessDenied(why) => Self::AccessDenied(why),
                    Failure::RateLimited(ms) => Self::RateLimited(ms),
                    Failure::Exhausted(why) => Self::Exhausted(why),
                    Failure::Overloaded(why) => Self::Overloaded(why),
                    Failure::ContextTooLong(why) => Self::ContextTooLong(why),
                    Failure::BadRequest(why) => Self::BadRequest(why),
                    Failure::Transport(why) => Self::Transport(why),
                    Failure::Other(why) => Self::Other(why),
                }
            }
        }

        /// A capability that did not do it.
        pub fn broken(error: Error) -> Broken {
            Broken::Failed(match error {
                Error::Cancelled => return Broken::Cancelled,
                Error::TimedOut => return Broken::TimedOut,
                Error::AccessDenied(why) => Failure::AccessDenied(why),
                Error::Invalid(why) => Failure::BadRequest(why),
                Error::Unavailable(why) => Failure::Transport(why),
                Error::NotFound(why) | Error::TooLarge(why) | Error::Other(why) => Failure::Other(why),
            })
        }

        impl Incoming for client::Incoming {
            fn status(&self) -> u16 {
                self.status()
            }

            fn headers(&self) -> Vec<(String, String)> {
                self.headers()
            }

            fn read(&self) -> Result<Option<Vec<u8>>, Broken> {
                self.read().map_err(broken)
            }
        }

        /// It needs the service of the setting `base-url`, and its secrets.
        pub fn manifest(
            summary: &str,
            secrets: Vec<Secret>,
            settings: $crate::Value,
            presets: Vec<Preset>,
        ) -> Manifest {
            let need = |capability: &str, scope: Vec<String>, reason: &str| Need {
                capability: capability.into(),
                scope,
                reason: reason.into(),
                optional: false,
            };
            Manifest {
                name: env!("CARGO_PKG_NAME").into(),
                version: env!("CARGO_PKG_VERSION").into(),
                summary: summary.into(),
                needs: vec![
                    need("http", vec!["{base-url}".into()], "asks the model's service"),
                    need("secrets", Vec::new(), "signs in to the model's service"),
                ],
                secrets,
                settings: Some(settings.to_string()),
                presets,
                about: vec![("licence".into(), env!("CARGO_PKG_LICENSE").into())],
            }
        }

        /// For the manifest: a secret that goes to the service in a header.
        pub fn secret(name: &str, title: &str, header: &str) -> Secret {
            Secret {
                name: name.into(),
                title: title.into(),
                uses: vec![SecretUse::Header(Place { audience: "{base-url}".into(), name: header.into() })],
                // A server on this machine wants none; the others will say so.
                optional: true,
            }
        }

        /// What stands for a secret in this call; none if the person gave no value.
        pub fn stand_in(name: &str) -> Result<Option<String>, Broken> {
            match secrets::stand_in(name) {
                Ok(stand_in) => Ok(Some(stand_in)),
                Err(Error::NotFound(_)) => Ok(None),
                Err(error) => Err(broken(error)),
            }
        }

        /// The header `authorization` with that secret, if the person gave it.
        pub fn bearer(name: &str) -> Result<Option<(String, String)>, Broken> {
            Ok(stand_in(name)?.map(|token| ("authorization".into(), format!("Bearer {token}"))))
        }

        /// Tells the log which of the person's options a request left out.
        pub fn log_ignored(names: &[String]) {
            for name in names {
                log::log(log::Level::Warn, &format!("the option {name} was ignored: it is no JSON or not changeable"));
            }
        }

        fn calls(request: &Request) -> impl Iterator<Item = &ToolCall> {
            request.messages.iter().flat_map(|message| &message.parts).filter_map(|part| match &part.body {
                Body::Call(call) => Some(call),
                _ => None,
            })
        }

        /// The legal names for everything that a request calls by name.
        pub fn names(request: &Request) -> ToolNames {
            let called = calls(request).map(|call| call.name.as_str());
            ToolNames::new(request.tools.iter().map(|tool| tool.name.as_str()).chain(called))
        }

        /// The legal ids of a request's calls, which another provider may have made.
        pub fn ids(request: &Request) -> ToolNames {
            ToolNames::new(calls(request).map(|call| call.id.as_str()))
        }

        /// An effort as most services call it; `least` is what this model has for none at all.
        pub fn effort_name(effort: Effort, least: String) -> String {
            match effort {
                Effort::Off => least,
                Effort::Low => "low".into(),
                Effort::Medium => "medium".into(),
                Effort::High => "high".into(),
            }
        }

        /// A GET, or with a body in JSON a POST of which the answer is a stream.
        pub fn send(
            url: String,
            mut headers: Vec<(String, String)>,
            body: Option<String>,
        ) -> Result<client::Incoming, Broken> {
            let method = if body.is_some() { "POST" } else { "GET" };
            if body.is_some() {
                headers.push(("content-type".into(), "application/json".into()));
                headers.push(("accept".into(), "text/event-stream, application/json".into()));
            }
            // The first byte of a thinking model, or of one that a local server has to load, takes its time.
            let options = client::Options { first_byte_ms: Some(110_000), between_bytes_ms: None };
            let body = body.unwrap_or_default().into_bytes();
            client::send(&client::Request { method: method.into(), url, headers, body }, Some(options)).map_err(broken)
        }

        /// A model as the contract has it.
        pub fn offered(model: $crate::models::Model) -> Model {
            let has = [
                (model.abilities.tools, Abilities::TOOLS),
                (model.abilities.images, Abilities::IMAGES),
                (model.abilities.documents, Abilities::DOCUMENTS),
                (model.abilities.reasoning, Abilities::REASONING),
            ];
            Model {
                id: model.id,
                title: model.title,
                context: model.context,
                max_output: model.max_output,
                abilities: has.iter().filter(|(has, _)| *has).fold(Abilities::empty(), |all, (_, one)| all | *one),
                price: model.price.map(|price| Price {
                    input: price.input,
                    output: price.output,
                    cache_read: price.cache_read,
                    cache_write: price.cache_write,
                }),
            }
        }

        /// `provider.models`: those that the settings name, or else what `send` brings and `parse` understands, or else
        /// those that are `known`.
        pub fn listed(
            named: Vec<$crate::models::Model>,
            known: Vec<$crate::models::Model>,
            send: impl FnOnce() -> Result<client::Incoming, Broken>,
            parse: impl FnOnce(&str) -> Option<Vec<$crate::models::Model>>,
        ) -> Result<Vec<Model>, ProviderError> {
            let models = if named.is_empty() {
                $crate::exchange::list_or($crate::exchange::list(send(), now(), parse), known)?
            } else {
                named
            };
            Ok(models.into_iter().map(offered).collect())
        }

        /// Before the service has said anything.
        pub fn no_usage() -> Usage {
            Usage { input: 0, output: 0, cache_read: 0, cache_write: 0, cost: None }
        }

        /// Milliseconds since 1970.
        pub fn now() -> u64 {
            let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
            u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
        }

        /// Differs from call to call: makes ids where the service gives none.
        pub fn salt() -> u64 {
            std::hash::BuildHasher::hash_one(&std::hash::RandomState::new(), 0u8)
        }

        /// Pieces of requests, for the tests.
        #[cfg(test)]
        pub mod staged {
            use $($contract)+::exports::openpista::plugin::provider::{
                Body, Message, Part, Request, Role, ToolCall, ToolChoice, ToolOutcome,
            };
            use $($contract)+::openpista::types::types::{Content, Media, ToolDefinition, ToolHints};

            pub fn part(body: Body) -> Part {
                Part { body, replay: None }
            }

            pub fn message(role: Role, bodies: Vec<Body>) -> Message {
                Message { role, parts: bodies.into_iter().map(part).collect() }
            }

            pub fn text(text: &str) -> Body {
                Body::Text(text.into())
            }

            pub fn media(mime: &str, name: &str, data: &[u8]) -> Media {
                Media { mime: mime.into(), name: Some(name.into()), data: data.into() }
            }

            pub fn call(id: &str, name: &str, arguments: &str) -> Body {
                Body::Call(ToolCall { id: id.into(), name: name.into(), arguments: arguments.into() })
            }

            pub fn outcome(id: &str, name: &str, content: Vec<Content>, failed: bool) -> Body {
                Body::Outcome(ToolOutcome { id: id.into(), name: name.into(), content, failed })
            }

            pub fn tool(name: &str) -> ToolDefinition {
                ToolDefinition {
                    name: name.into(),
                    description: "Does it".into(),
                    parameters: r#"{"type":"object","properties":{"url":{"type":"string"}}}"#.into(),
                    hints: ToolHints::empty(),
                }
            }

            pub fn request(model: &str, messages: Vec<Message>) -> Request {
                Request {
                    model: model.into(),
                    system: String::new(),
                    messages,
                    tools: vec![],
                    choice: ToolChoice::Auto,
                    max_tokens: None,
                    effort: None,
                    cache_key: String::new(),
                    options: vec![],
                }
            }
        }
    };
}
