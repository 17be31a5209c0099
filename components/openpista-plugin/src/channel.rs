//! What every channel needs around the contract, as macros: bindings are generated in each component, so their types can't
//! be named here. Each is used once, in a module beside `crate::contract`; `channel_stage!` in one for tests.

/// The host behind a trait, so that a channel's logic runs natively in its tests: `Host`, and on `wasm32` its
/// implementation `Real`. For channels that ask a web API: their world imports `http` and `secrets`.
#[expect(clippy::crate_in_macro_def, reason = "the bindings are those of the crate that uses it")]
#[macro_export]
macro_rules! channel_host {
    () => {
        use crate::contract::openpista::connection::connection::{ConnectionId, Target};
        use crate::contract::openpista::gateway::gateway::{Decision, Inbound, Notice, Sender, Settlement};
        use crate::contract::openpista::http::exchange::{Request, Response};
        use crate::contract::openpista::types::types::{Error, Timestamp};

        /// Each function is the one of the same name in the contract, unless it says otherwise.
        pub trait Host {
            /// `state.get` as text.
            fn get(&self, key: &str) -> Result<Option<String>, Error>;
            /// `state.set`
            fn set(&self, key: &str, value: &str) -> Result<(), Error>;
            /// `state.remove`
            fn remove(&self, key: &str) -> Result<(), Error>;
            /// `secrets.stand-in`
            fn stand_in(&self, secret: &str) -> Result<String, Error>;
            /// `secrets.matches`
            fn matches(&self, secret: &str, candidate: &str) -> Result<bool, Error>;
            /// `secrets.verify`, with SHA-256.
            fn verify(&self, secret: &str, message: &[u8], mac: &[u8]) -> Result<bool, Error>;
            /// `http.send`, with the whole body; `too-large` past `most` bytes.
            fn http(&self, request: &Request, most: usize) -> Result<Response, Error> {
                self.http_within(request, most, None)
            }
            /// The same; `timed-out` if the answer does not begin within so many ms (none: 20 s).
            fn http_within(&self, request: &Request, most: usize, ms: Option<u32>) -> Result<Response, Error>;
            /// `gateway.submit`
            fn submit(&self, message: &Inbound) -> Result<(), Error>;
            /// `gateway.decide`
            fn decide(&self, approval: &str, by: &Sender, decision: Decision) -> Result<(), Error>;
            /// `gateway.tell-operator`
            fn tell(&self, notice: &Notice) -> Result<(), Error>;
            /// `gateway.settle`
            fn settle(&self, delivery: &str, outcome: Settlement) -> Result<(), Error>;
            /// `connection.send` of a text.
            fn send(&self, to: &Target, text: String) -> Result<(), Error>;
            /// `connection.close`
            fn close(&self, id: ConnectionId, code: u16, reason: &str) -> Result<(), Error>;
            /// `connection.tag`
            fn tag(&self, id: ConnectionId, tags: &[&str]) -> Result<(), Error>;
            /// `connection.tagged`
            fn tagged(&self, tag: &str) -> Result<Vec<ConnectionId>, Error>;
            /// `connection.alarm`
            fn alarm(&self, name: &str, after_ms: u64, on: Option<ConnectionId>) -> Result<(), Error>;
            /// `connection.public-url`
            fn public_url(&self, transport: &str) -> Option<String>;
            /// The clock.
            fn now(&self) -> Timestamp;
            /// A warning in the log.
            fn warn(&self, words: &str);
        }

        /// The real one.
        #[cfg(target_arch = "wasm32")]
        pub struct Real;

        #[cfg(target_arch = "wasm32")]
        impl Host for Real {
            fn get(&self, key: &str) -> Result<Option<String>, Error> {
                let value = crate::contract::openpista::state::state::get(key)?;
                Ok(value.and_then(|bytes| String::from_utf8(bytes).ok()))
            }
            fn set(&self, key: &str, value: &str) -> Result<(), Error> {
                crate::contract::openpista::state::state::set(key, value.as_bytes())
            }
            fn remove(&self, key: &str) -> Result<(), Error> {
                crate::contract::openpista::state::state::remove(key)
            }
            fn stand_in(&self, secret: &str) -> Result<String, Error> {
                crate::contract::openpista::secrets::secrets::stand_in(secret)
            }
            fn matches(&self, secret: &str, candidate: &str) -> Result<bool, Error> {
                crate::contract::openpista::secrets::secrets::matches(secret, candidate)
            }
            fn verify(&self, secret: &str, message: &[u8], mac: &[u8]) -> Result<bool, Error> {
                let hash = crate::contract::openpista::secrets::secrets::Hash::Sha256;
                crate::contract::openpista::secrets::secrets::verify(secret, hash, message, mac)
            }
            fn http_within(&self, request: &Request, most: usize, ms: Option<u32>) -> Result<Response, Error> {
                use crate::contract::openpista::http::client::{Options, send};
                // Less than a call may take, so that it is the server that is blamed.
                let ms = ms.unwrap_or(20_000);
                let options = Options { first_byte_ms: Some(ms), between_bytes_ms: Some(ms) };
                let incoming = send(request, Some(options))?;
                let mut body = Vec::new();
                while let Some(piece) = incoming.read()? {
                    if body.len() + piece.len() > most {
                        return Err(Error::TooLarge(format!("the answer has more than {most} bytes")));
                    }
                    body.extend_from_slice(&piece);
                }
                Ok(Response { status: incoming.status(), headers: incoming.headers(), body })
            }
            fn submit(&self, message: &Inbound) -> Result<(), Error> {
                crate::contract::openpista::gateway::gateway::submit(message)
            }
            fn decide(&self, approval: &str, by: &Sender, decision: Decision) -> Result<(), Error> {
                crate::contract::openpista::gateway::gateway::decide(approval, by, decision)
            }
            fn tell(&self, notice: &Notice) -> Result<(), Error> {
                crate::contract::openpista::gateway::gateway::tell_operator(notice)
            }
            fn settle(&self, delivery: &str, outcome: Settlement) -> Result<(), Error> {
                crate::contract::openpista::gateway::gateway::settle(delivery, &outcome)
            }
            fn send(&self, to: &Target, text: String) -> Result<(), Error> {
                let frame = crate::contract::openpista::connection::connection::Frame::Text(text);
                crate::contract::openpista::connection::connection::send(to, &frame)
            }
            fn close(&self, id: ConnectionId, code: u16, reason: &str) -> Result<(), Error> {
                crate::contract::openpista::connection::connection::close(id, code, reason)
            }
            fn tag(&self, id: ConnectionId, tags: &[&str]) -> Result<(), Error> {
                let tags: Vec<String> = tags.iter().map(|tag| (*tag).to_string()).collect();
                crate::contract::openpista::connection::connection::tag(id, &tags)
            }
            fn tagged(&self, tag: &str) -> Result<Vec<ConnectionId>, Error> {
                crate::contract::openpista::connection::connection::tagged(tag)
            }
            fn alarm(&self, name: &str, after_ms: u64, on: Option<ConnectionId>) -> Result<(), Error> {
                crate::contract::openpista::connection::connection::alarm(name, after_ms, on)
            }
            fn public_url(&self, transport: &str) -> Option<String> {
                crate::contract::openpista::connection::connection::public_url(transport)
            }
            fn now(&self) -> Timestamp {
                let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
                u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
            }
            fn warn(&self, words: &str) {
                crate::contract::openpista::log::log::log(crate::contract::openpista::log::log::Level::Warn, words);
            }
        }
    };
}

/// `channel_stage!(Web)`: a host for a channel's tests, `Stage`, that keeps what the channel does. `Web` answers for the
/// messenger's API: a type with `Default` and `fn answer(&self, request: &Request) -> Response`; the stage leads to it.
/// One approval is known, `open`, and the person `7` was asked. The secret is `right`, the MAC of anything `mac`.
#[expect(clippy::crate_in_macro_def, reason = "the bindings are those of the crate that uses it")]
#[macro_export]
macro_rules! channel_stage {
    ($web:ty) => {
        use crate::contract::openpista::connection::connection::{ConnectionId, Target};
        use crate::contract::openpista::gateway::gateway::{Decision, Inbound, Notice, Sender, Settlement};
        use crate::contract::openpista::http::exchange::{Request, Response};
        use crate::contract::openpista::types::types::{Error, Timestamp};
        use crate::host::Host;

        /// The time at the beginning.
        pub const NOW: u64 = 1_700_000_000_000;

        /// The host, as a test plays it.
        pub struct Stage {
            pub web: $web,
            pub state: std::cell::RefCell<std::collections::BTreeMap<String, String>>,
            /// All requests.
            pub asked: std::cell::RefCell<Vec<Request>>,
            pub submitted: std::cell::RefCell<Vec<Inbound>>,
            pub decided: std::cell::RefCell<Vec<(String, String, Decision)>>,
            pub told: std::cell::RefCell<Vec<Notice>>,
            pub settled: std::cell::RefCell<Vec<(String, Settlement)>>,
            pub sent: std::cell::RefCell<Vec<(Target, String)>>,
            pub closed: std::cell::RefCell<Vec<(ConnectionId, u16)>>,
            pub tags: std::cell::RefCell<std::collections::BTreeMap<ConnectionId, Vec<String>>>,
            pub alarms: std::cell::RefCell<Vec<(String, u64, Option<ConnectionId>)>>,
            pub public_url: std::cell::RefCell<Option<String>>,
            pub now: std::cell::Cell<u64>,
            pub warned: std::cell::RefCell<Vec<String>>,
        }

        impl Default for Stage {
            fn default() -> Self {
                Self {
                    web: <$web>::default(),
                    state: std::cell::RefCell::default(),
                    asked: std::cell::RefCell::default(),
                    submitted: std::cell::RefCell::default(),
                    decided: std::cell::RefCell::default(),
                    told: std::cell::RefCell::default(),
                    settled: std::cell::RefCell::default(),
                    sent: std::cell::RefCell::default(),
                    closed: std::cell::RefCell::default(),
                    tags: std::cell::RefCell::default(),
                    alarms: std::cell::RefCell::default(),
                    public_url: std::cell::RefCell::default(),
                    now: std::cell::Cell::new(NOW),
                    warned: std::cell::RefCell::default(),
                }
            }
        }

        impl std::ops::Deref for Stage {
            type Target = $web;
            fn deref(&self) -> &$web {
                &self.web
            }
        }

        impl Host for Stage {
            fn get(&self, key: &str) -> Result<Option<String>, Error> {
                Ok(self.state.borrow().get(key).cloned())
            }
            fn set(&self, key: &str, value: &str) -> Result<(), Error> {
                self.state.borrow_mut().insert(key.into(), value.into());
                Ok(())
            }
            fn remove(&self, key: &str) -> Result<(), Error> {
                self.state.borrow_mut().remove(key);
                Ok(())
            }
            fn stand_in(&self, secret: &str) -> Result<String, Error> {
                Ok(format!("<{secret}>"))
            }
            fn matches(&self, _secret: &str, candidate: &str) -> Result<bool, Error> {
                Ok(candidate == "right")
            }
            fn verify(&self, _secret: &str, _message: &[u8], mac: &[u8]) -> Result<bool, Error> {
                Ok(mac == b"mac")
            }
            fn http_within(&self, request: &Request, most: usize, _ms: Option<u32>) -> Result<Response, Error> {
                self.asked.borrow_mut().push(request.clone());
                let answer = self.web.answer(request);
                if answer.body.len() > most { Err(Error::TooLarge("too large".into())) } else { Ok(answer) }
            }
            fn submit(&self, message: &Inbound) -> Result<(), Error> {
                if message.text.len() > 256 * 1024 {
                    return Err(Error::TooLarge("a message has at most 256 KiB".into()));
                }
                self.submitted.borrow_mut().push(message.clone());
                Ok(())
            }
            fn decide(&self, approval: &str, by: &Sender, decision: Decision) -> Result<(), Error> {
                match (approval, by.id.as_str()) {
                    ("open", "7") => self.decided.borrow_mut().push((approval.into(), by.id.clone(), decision)),
                    ("open", _) => return Err(Error::AccessDenied("somebody else was asked".into())),
                    _ => return Err(Error::NotFound("no such approval".into())),
                }
                Ok(())
            }
            fn tell(&self, notice: &Notice) -> Result<(), Error> {
                self.told.borrow_mut().push(notice.clone());
                Ok(())
            }
            fn settle(&self, delivery: &str, outcome: Settlement) -> Result<(), Error> {
                self.settled.borrow_mut().push((delivery.into(), outcome));
                Ok(())
            }
            fn send(&self, to: &Target, text: String) -> Result<(), Error> {
                self.sent.borrow_mut().push((to.clone(), text));
                Ok(())
            }
            fn close(&self, id: ConnectionId, code: u16, _reason: &str) -> Result<(), Error> {
                self.closed.borrow_mut().push((id, code));
                Ok(())
            }
            fn tag(&self, id: ConnectionId, tags: &[&str]) -> Result<(), Error> {
                self.tags.borrow_mut().insert(id, tags.iter().map(|tag| (*tag).to_string()).collect());
                Ok(())
            }
            fn tagged(&self, tag: &str) -> Result<Vec<ConnectionId>, Error> {
                let tags = self.tags.borrow();
                Ok(tags.iter().filter(|(_, all)| all.iter().any(|one| one == tag)).map(|(id, _)| *id).collect())
            }
            fn alarm(&self, name: &str, after_ms: u64, on: Option<ConnectionId>) -> Result<(), Error> {
                if after_ms < 100 {
                    return Err(Error::Invalid("an alarm is at least 100 ms away".into()));
                }
                self.alarms.borrow_mut().push((name.into(), after_ms, on));
                Ok(())
            }
            fn public_url(&self, _transport: &str) -> Option<String> {
                self.public_url.borrow().clone()
            }
            fn now(&self) -> Timestamp {
                self.now.get()
            }
            fn warn(&self, words: &str) {
                self.warned.borrow_mut().push(words.into());
            }
        }
    };
}

/// Approvals with buttons: `pressed`, what a button does, and `ended`, a question with its end. In a module beside
/// `crate::host`, which has the `Host` of [`channel_host!`].
#[expect(clippy::crate_in_macro_def, reason = "the bindings are those of the crate that uses it")]
#[macro_export]
macro_rules! messenger_questions {
    () => {
        use $crate::question::Answer;

        use crate::contract::exports::openpista::plugin::approvals::Verdict;
        use crate::contract::openpista::gateway::gateway::{Decision, Sender};
        use crate::contract::openpista::types::types::Error;
        use crate::host::Host;

        /// A button of [`question`]($crate::question) was pressed: what to tell who did; nothing if it counts.
        pub fn pressed(host: &dyn Host, data: &str, by: &Sender) -> Result<&'static str, Error> {
            let Some((answer, approval)) = $crate::question::read(data) else {
                return Ok("This button is none of mine.");
            };
            let decision = match answer {
                Answer::Once => Decision::AllowOnce,
                Answer::Session => Decision::AllowSession,
                Answer::Deny => Decision::Deny,
            };
            match host.decide(approval, by, decision) {
                Ok(()) => Ok(""),
                Err(Error::NotFound(_)) => Ok("This is answered already, or its time is over."),
                Err(Error::AccessDenied(_)) => Ok("Only the person who was asked can answer this."),
                Err(error) => Err(error),
            }
        }

        /// A question with its end.
        pub fn ended(verdict: &Verdict) -> Vec<$crate::rich::Run> {
            let answer = verdict.decision.map(|decision| match decision {
                Decision::AllowOnce => Answer::Once,
                Decision::AllowSession => Answer::Session,
                Decision::Deny => Answer::Deny,
            });
            let by = verdict.by.as_ref().map(|by| by.name.as_str()).filter(|name| !name.is_empty());
            let approval = &verdict.approval;
            $crate::question::ended(&approval.tool, &approval.arguments, answer.map(|answer| (answer, by)))
        }
    };
}

/// `channel_errors!`, and `Fault`: what a messenger's API may say instead of doing it, with what that means for a call and
/// for a delivery.
#[expect(clippy::crate_in_macro_def, reason = "the bindings are those of the crate that uses it")]
#[macro_export]
macro_rules! messenger_faults {
    () => {
        use crate::contract::exports::openpista::plugin::channel::{ChannelError, DeliveryError};
        $crate::channel_errors!(Error, ChannelError, DeliveryError);

        /// Why a messenger's API did not do it.
        #[derive(Clone, Debug, PartialEq)]
        pub enum Fault {
            /// The host did not send it, or no answer came.
            Host(crate::contract::openpista::types::types::Error),
            /// The credential is missing or refused.
            Token(String),
            /// Another program has what is ours.
            Conflict(String),
            /// Not before so many ms.
            Wait(u32),
            /// The conversation is gone or closed to us.
            Gone(String),
            /// The conversation has this id now.
            Moved(i64),
            /// An edit that changes nothing.
            Same,
            /// The markup is not understood.
            Unparsed(String),
            /// The message that was to be changed is gone.
            Missing,
            /// The API is in trouble.
            Down(String),
            /// Anything else that will be refused again.
            Refused(String),
        }

        impl From<crate::contract::openpista::types::types::Error> for Fault {
            fn from(error: crate::contract::openpista::types::types::Error) -> Self {
                Self::Host(error)
            }
        }

        /// What an error says, for a person.
        pub fn words(error: &ChannelError) -> &str {
            match error {
                ChannelError::AuthRequired(why)
                | ChannelError::AccessDenied(why)
                | ChannelError::Malformed(why)
                | ChannelError::Unavailable(why)
                | ChannelError::Other(why) => why,
            }
        }

        impl From<Fault> for ChannelError {
            fn from(fault: Fault) -> Self {
                match fault {
                    Fault::Host(error) => error.into(),
                    Fault::Token(words) => Self::AuthRequired(words),
                    Fault::Wait(ms) => Self::Unavailable(format!("the API asks to wait {} s", ms / 1_000)),
                    Fault::Down(words) | Fault::Conflict(words) => Self::Unavailable(words),
                    Fault::Gone(words) | Fault::Unparsed(words) | Fault::Refused(words) => Self::Other(words),
                    Fault::Moved(_) | Fault::Same | Fault::Missing => Self::Other("it is gone".into()),
                }
            }
        }

        impl From<Fault> for DeliveryError {
            fn from(fault: Fault) -> Self {
                match fault {
                    Fault::Host(error) => error.into(),
                    Fault::Wait(ms) => Self::RetryAfter(ms),
                    Fault::Token(words) => Self::AuthRequired(words),
                    Fault::Down(words) | Fault::Conflict(words) => Self::Unavailable(words),
                    Fault::Gone(words) => Self::Gone(words),
                    Fault::Unparsed(words) | Fault::Refused(words) => Self::Rejected(words),
                    Fault::Moved(_) | Fault::Same | Fault::Missing => Self::Rejected("the message is gone".into()),
                }
            }
        }
    };
}

/// The exports of a messenger's channel, all but its manifest, for a type `Plugin` that is made here: each call reads the
/// settings and hands on to the module that does it. With `webhook` there is an `http-handler`, too. The component has
/// `settings::Settings`, `api::Api`, `show::Chat`, and `register`, `incoming`, `files` and `ask` with functions of the names
/// in the contract.
#[expect(clippy::crate_in_macro_def, reason = "the bindings are those of the crate that uses it")]
#[macro_export]
macro_rules! messenger_exports {
    (webhook) => {
        $crate::messenger_exports!();
        use crate::contract::exports::openpista::plugin::http_handler;

        impl http_handler::Guest for Plugin {
            fn handle(incoming: http_handler::Incoming) -> Result<http_handler::Response, channel::ChannelError> {
                crate::incoming::handle(api(&chosen()), &incoming)
            }
        }
    };
    () => {
        use crate::contract::exports::openpista::plugin::{approvals, attachments, channel, outgoing};

        /// What the host calls.
        pub struct Plugin;

        fn chosen() -> crate::settings::Settings {
            crate::settings::Settings::parse(&crate::contract::openpista::settings::settings::get())
        }

        fn api(settings: &crate::settings::Settings) -> crate::api::Api<'_> {
            crate::api::Api { host: &crate::host::Real, settings }
        }

        impl channel::Guest for Plugin {
            fn open() -> Result<channel::Setup, channel::ChannelError> {
                crate::register::open(&crate::host::Real, &chosen())
            }

            fn receive(event: channel::Event) -> Result<(), channel::ChannelError> {
                crate::incoming::receive(api(&chosen()), &event)
            }

            fn deliver(delivery: channel::Delivery) -> Result<channel::Outcome, channel::DeliveryError> {
                let settings = chosen();
                crate::show::Chat::of(api(&settings), &delivery.conversation)?.deliver(delivery)
            }
        }

        impl outgoing::Guest for Plugin {
            fn next(_transport: String) -> Result<outgoing::Request, channel::ChannelError> {
                crate::register::next(api(&chosen()))
            }
        }

        impl attachments::Guest for Plugin {
            fn fetch(reference: String) -> Result<attachments::Media, channel::ChannelError> {
                crate::files::fetch(api(&chosen()), &reference)
            }
        }

        impl approvals::Guest for Plugin {
            fn ask(approval: approvals::Approval) -> Result<channel::Outcome, channel::DeliveryError> {
                let settings = chosen();
                crate::ask::ask(&crate::show::Chat::of(api(&settings), &approval.conversation)?, &approval)
            }

            fn decided(verdict: approvals::Verdict) -> Result<(), channel::DeliveryError> {
                let settings = chosen();
                let chat = crate::show::Chat::of(api(&settings), &verdict.approval.conversation)?;
                crate::ask::decided(&chat, &verdict)
            }
        }
    };
}
