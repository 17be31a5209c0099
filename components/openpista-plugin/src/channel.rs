//! What every channel needs around the contract, as macros: bindings are generated in each component, so their types can't
//! be named here. Both are used once, in a module beside `crate::contract`.

/// The host behind a trait, so that a channel's logic runs natively in its tests: `Host`, and on `wasm32` its
/// implementation `Real`. For channels that ask a web API: their world imports `http` and `secrets`.
#[expect(clippy::crate_in_macro_def, reason = "the bindings are those of the crate that uses it")]
#[macro_export]
macro_rules! channel_host {
    () => {
        use crate::contract::openpista::gateway::gateway::{Decision, Inbound, Notice, Sender};
        use crate::contract::openpista::http::exchange::Request;
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
            /// `http.send`, with the status and the whole body; `too-large` past `most` bytes.
            fn http(&self, request: &Request, most: usize) -> Result<(u16, Vec<u8>), Error>;
            /// `gateway.submit`
            fn submit(&self, message: &Inbound) -> Result<(), Error>;
            /// `gateway.decide`
            fn decide(&self, approval: &str, by: &Sender, decision: Decision) -> Result<(), Error>;
            /// `gateway.tell-operator`
            fn tell(&self, notice: &Notice) -> Result<(), Error>;
            /// `connection.alarm` without a connection.
            fn alarm(&self, name: &str, after_ms: u64) -> Result<(), Error>;
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
            fn http(&self, request: &Request, most: usize) -> Result<(u16, Vec<u8>), Error> {
                let incoming = crate::contract::openpista::http::client::send(request, None)?;
                let mut body = Vec::new();
                while let Some(piece) = incoming.read()? {
                    if body.len() + piece.len() > most {
                        return Err(Error::TooLarge(format!("the answer has more than {most} bytes")));
                    }
                    body.extend_from_slice(&piece);
                }
                Ok((incoming.status(), body))
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
            fn alarm(&self, name: &str, after_ms: u64) -> Result<(), Error> {
                crate::contract::openpista::connection::connection::alarm(name, after_ms, None)
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
                    // A credential may be replaced within the time that a delivery is tried.
                    Fault::Token(words) | Fault::Down(words) | Fault::Conflict(words) => Self::Unavailable(words),
                    Fault::Gone(words) => Self::Gone(words),
                    Fault::Unparsed(words) | Fault::Refused(words) => Self::Rejected(words),
                    Fault::Moved(_) | Fault::Same | Fault::Missing => Self::Rejected("the message is gone".into()),
                }
            }
        }
    };
}
