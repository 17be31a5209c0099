//! The host behind a trait, so that a plugin's logic runs natively in its tests.

use super::bindings::capabilities::openpista::http::client::{self, Options};
use super::bindings::capabilities::openpista::http::exchange::Request;
use super::bindings::capabilities::openpista::log::log;
use super::bindings::capabilities::openpista::plugin::progress;
use super::bindings::capabilities::openpista::secrets::secrets;
use super::bindings::capabilities::openpista::settings::settings as wit_settings;
use super::bindings::capabilities::openpista::shell::shell;
use super::bindings::capabilities::openpista::state::state;
use super::bindings::capabilities::openpista::types::types::Output;
use super::{Error, Level, Signal};

/// What a plugin can ask of the host. Take it as `&impl Host`, not as `&dyn Host`: only what a component uses is then
/// imported, and only what is imported has to be asked for. Each function is the one of the same name in the contract, unless it says otherwise.
pub trait Host {
    /// `log.log`
    fn log(&self, level: Level, line: &str);
    /// `settings.get`: a JSON object. [`settings`] reads it into a type.
    fn settings(&self) -> String;
    /// `settings.instance`
    fn instance(&self) -> String;
    /// `state.get`
    fn get(&self, key: &str) -> Result<Option<Vec<u8>>, Error>;
    /// `state.set`
    fn set(&self, key: &str, value: &[u8]) -> Result<(), Error>;
    /// `state.remove`
    fn remove(&self, key: &str) -> Result<(), Error>;
    /// `state.keys`
    fn keys(&self, prefix: &str, after: Option<&str>) -> Result<Vec<String>, Error>;
    /// `secrets.stand-in`: a text to write where the secret belongs.
    fn stand_in(&self, secret: &str) -> Result<String, Error>;
    /// `http.send`; [`http`](super::http) is more comfortable.
    fn send(&self, request: &Request, options: Option<Options>) -> Result<Box<dyn Incoming>, Error>;
    /// `shell.run`
    fn run(&self, spec: &shell::Spec) -> Result<Box<dyn Process>, Error>;
    /// `progress.report`: a line for the person who waits.
    fn report(&self, line: &str) -> Signal;
    /// `progress.tools-changed`
    fn tools_changed(&self);
    /// Milliseconds since 1970-01-01T00:00:00Z.
    fn now(&self) -> u64;
}

/// An answer of which the body is still coming.
pub trait Incoming {
    /// 100 to 599.
    fn status(&self) -> u16;
    /// Names in lower case.
    fn headers(&self) -> Vec<(String, String)>;
    /// The next piece; none at the end.
    fn read(&self) -> Result<Option<Vec<u8>>, Error>;
}

/// A running process.
pub trait Process {
    /// The next piece of what it writes; none after it ended.
    fn next(&self) -> Result<Option<Output>, Error>;
}

/// The settings of the instance. The host has checked them against the schema that `About::settings` made of `T`.
pub fn settings<T: serde::de::DeserializeOwned>(host: &impl Host) -> Result<T, Error> {
    serde_json::from_str(&host.settings()).map_err(|error| Error::Invalid(format!("the settings: {error}")))
}

/// The host that a component runs in.
#[derive(Debug, Clone, Copy, Default)]
pub struct Real;

impl Host for Real {
    fn log(&self, level: Level, line: &str) {
        log::log(level, line);
    }

    fn settings(&self) -> String {
        wit_settings::get()
    }

    fn instance(&self) -> String {
        wit_settings::instance()
    }

    fn get(&self, key: &str) -> Result<Option<Vec<u8>>, Error> {
        state::get(key)
    }

    fn set(&self, key: &str, value: &[u8]) -> Result<(), Error> {
        state::set(key, value)
    }

    fn remove(&self, key: &str) -> Result<(), Error> {
        state::remove(key)
    }

    fn keys(&self, prefix: &str, after: Option<&str>) -> Result<Vec<String>, Error> {
        state::keys(prefix, after)
    }

    fn stand_in(&self, secret: &str) -> Result<String, Error> {
        secrets::stand_in(secret)
    }

    fn send(&self, request: &Request, options: Option<Options>) -> Result<Box<dyn Incoming>, Error> {
        Ok(Box::new(client::send(request, options)?))
    }

    fn run(&self, spec: &shell::Spec) -> Result<Box<dyn Process>, Error> {
        Ok(Box::new(shell::run(spec)?))
    }

    fn report(&self, line: &str) -> Signal {
        progress::report(line)
    }

    fn tools_changed(&self) {
        progress::tools_changed();
    }

    fn now(&self) -> u64 {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    }
}

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

impl Process for shell::Process {
    fn next(&self) -> Result<Option<Output>, Error> {
        self.next()
    }
}
