//! A host for `cargo test`: plays settings, state, secrets and answers, and keeps what a plugin did.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};

use super::bindings::capabilities::openpista::http::client::Options;
use super::bindings::capabilities::openpista::http::exchange::Request;
use super::bindings::capabilities::openpista::shell::shell::{Command, Spec};
use super::bindings::capabilities::openpista::types::types::Output;
use super::{Error, Host, Incoming, Level, Process, Signal};

/// What a request or a command is answered with.
#[derive(Debug, Clone, PartialEq)]
pub struct Answers {
    status: u16,
    headers: Vec<(String, String)>,
    pieces: Vec<Vec<u8>>,
    then: Option<Error>,
}

impl Answers {
    /// A status and a body.
    pub fn new(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Self { status, headers: Vec::new(), pieces: vec![body.into()], then: None }
    }

    /// 200 with this JSON.
    pub fn json(value: &serde_json::Value) -> Self {
        Self::new(200, value.to_string()).header("content-type", "application/json")
    }

    /// 200 with a body that comes in these pieces: a stream.
    pub fn pieces<'a>(pieces: impl IntoIterator<Item = &'a str>) -> Self {
        let pieces = pieces.into_iter().map(|piece| piece.as_bytes().to_vec()).collect();
        Self { status: 200, headers: Vec::new(), pieces, then: None }
    }

    /// One more header.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_lowercase(), value.into()));
        self
    }

    /// After the last piece the connection breaks like that.
    #[must_use]
    pub fn then(mut self, error: Error) -> Self {
        self.then = Some(error);
        self
    }
}

/// The host, as a test plays it. What is not prepared is refused as the real host would: `access-denied`, `not-found`.
#[derive(Default)]
pub struct Mock {
    settings: RefCell<serde_json::Map<String, serde_json::Value>>,
    secrets: RefCell<Vec<String>>,
    answers: RefCell<VecDeque<Result<Answers, Error>>>,
    outputs: RefCell<VecDeque<Result<Vec<Output>, Error>>>,
    stopped: Cell<bool>,
    now: Cell<u64>,
    /// What is kept. A real call that fails keeps nothing of what it wrote; here it is seen.
    pub state: RefCell<BTreeMap<String, Vec<u8>>>,
    /// Requests, in order.
    pub asked: RefCell<Vec<Request>>,
    /// Commands, in order.
    pub ran: RefCell<Vec<Command>>,
    /// Lines of the log.
    pub logged: RefCell<Vec<(Level, String)>>,
    /// Lines of progress.
    pub reported: RefCell<Vec<String>>,
    /// How often `tools_changed` was called.
    pub changed: Cell<usize>,
}

impl Mock {
    /// With nothing prepared, at a moment in 2023.
    pub fn new() -> Self {
        Self { now: Cell::new(1_700_000_000_000), ..Self::default() }
    }

    /// A setting.
    #[must_use]
    pub fn setting(self, key: &str, value: impl Into<serde_json::Value>) -> Self {
        self.settings.borrow_mut().insert(key.into(), value.into());
        self
    }

    /// A secret that has a value. `<NAME>` stands for it.
    #[must_use]
    pub fn secret(self, name: &str) -> Self {
        self.secrets.borrow_mut().push(name.into());
        self
    }

    /// The next request is answered with this.
    #[must_use]
    pub fn answers(self, answers: Answers) -> Self {
        self.answers.borrow_mut().push_back(Ok(answers));
        self
    }

    /// The next request fails like that.
    #[must_use]
    pub fn fails(self, error: Error) -> Self {
        self.answers.borrow_mut().push_back(Err(error));
        self
    }

    /// The next command writes this to standard output and ends with this code.
    #[must_use]
    pub fn runs(self, stdout: &str, code: i32) -> Self {
        let output = vec![Output::Stdout(stdout.as_bytes().to_vec()), Output::Exited(code)];
        self.outputs.borrow_mut().push_back(Ok(output));
        self
    }

    /// Whoever waits has stopped the turn.
    #[must_use]
    pub fn stopped(self) -> Self {
        self.stopped.set(true);
        self
    }

    /// The time, in milliseconds since 1970.
    #[must_use]
    pub fn at(self, now: u64) -> Self {
        self.now.set(now);
        self
    }
}

impl Host for Mock {
    fn log(&self, level: Level, line: &str) {
        self.logged.borrow_mut().push((level, line.into()));
    }

    fn settings(&self) -> String {
        serde_json::Value::Object(self.settings.borrow().clone()).to_string()
    }

    fn instance(&self) -> String {
        "mock".into()
    }

    fn get(&self, key: &str) -> Result<Option<Vec<u8>>, Error> {
        Ok(self.state.borrow().get(key).cloned())
    }

    fn set(&self, key: &str, value: &[u8]) -> Result<(), Error> {
        if key.len() > 256 || value.len() > 1 << 20 {
            return Err(Error::TooLarge("a key has at most 256 bytes, a value 1 MiB".into()));
        }
        self.state.borrow_mut().insert(key.into(), value.into());
        Ok(())
    }

    fn remove(&self, key: &str) -> Result<(), Error> {
        self.state.borrow_mut().remove(key);
        Ok(())
    }

    fn keys(&self, prefix: &str, after: Option<&str>) -> Result<Vec<String>, Error> {
        let state = self.state.borrow();
        let keys = state.keys().filter(|key| key.starts_with(prefix) && after.is_none_or(|after| key.as_str() > after));
        Ok(keys.take(1_000).cloned().collect())
    }

    fn stand_in(&self, secret: &str) -> Result<String, Error> {
        if self.secrets.borrow().iter().any(|known| known == secret) {
            return Ok(format!("<{secret}>"));
        }
        Err(Error::NotFound(format!("the secret {secret} has no value")))
    }

    fn send(&self, request: &Request, _options: Option<Options>) -> Result<Box<dyn Incoming>, Error> {
        self.asked.borrow_mut().push(request.clone());
        let none = || Err(Error::AccessDenied(format!("the mock host has no answer for {}", request.url)));
        let answers = self.answers.borrow_mut().pop_front().unwrap_or_else(none)?;
        let pieces = RefCell::new(answers.pieces.clone().into());
        Ok(Box::new(Played { answers, pieces }))
    }

    fn run(&self, spec: &Spec) -> Result<Box<dyn Process>, Error> {
        self.ran.borrow_mut().push(spec.command.clone());
        let none = || Err(Error::AccessDenied("the mock host runs no such command".into()));
        let output = self.outputs.borrow_mut().pop_front().unwrap_or_else(none)?;
        Ok(Box::new(Ran(RefCell::new(output.into()))))
    }

    fn report(&self, line: &str) -> Signal {
        self.reported.borrow_mut().push(line.into());
        if self.stopped.get() { Signal::Stop } else { Signal::Proceed }
    }

    fn tools_changed(&self) {
        self.changed.set(self.changed.get() + 1);
    }

    fn now(&self) -> u64 {
        self.now.get()
    }
}

struct Played {
    answers: Answers,
    pieces: RefCell<VecDeque<Vec<u8>>>,
}

impl Incoming for Played {
    fn status(&self) -> u16 {
        self.answers.status
    }

    fn headers(&self) -> Vec<(String, String)> {
        self.answers.headers.clone()
    }

    fn read(&self) -> Result<Option<Vec<u8>>, Error> {
        match (self.pieces.borrow_mut().pop_front(), &self.answers.then) {
            (Some(piece), _) => Ok(Some(piece)),
            (None, Some(error)) => Err(error.clone()),
            (None, None) => Ok(None),
        }
    }
}

struct Ran(RefCell<VecDeque<Output>>);

impl Process for Ran {
    fn next(&self) -> Result<Option<Output>, Error> {
        Ok(self.0.borrow_mut().pop_front())
    }
}
