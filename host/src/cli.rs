//! The command line: what can be typed, and one file per command that does it.
//!
//! A command reads the configuration, finds the daemon of its home or opens the home itself ([`connect`]), asks with an
//! [`crate::admin::Request`] and writes what comes back. Only `run` builds the whole host; how is handed in as
//! [`Hooks`], because the command line comes before everything else and knows none of it.

mod arguments;
mod author;
mod config;
mod connect;
mod daemon;
mod doctor;
mod installing;
mod ledger;
mod lists;
mod logging;
mod plugin;
mod publishing;
mod say;
mod scaffold;
mod session;
mod skill;
mod terminal;

use std::collections::BTreeMap;
use std::future::Future;
use std::io::IsTerminal as _;
use std::path::PathBuf;
use std::pin::Pin;
use std::process::ExitCode;
use std::sync::Arc;

use clap::{CommandFactory as _, Parser as _};
use tokio_util::sync::CancellationToken;

use crate::admin::{AskError, RefusalKind, SharedHandler};
use crate::capability::secrets::Known;
use crate::config::{Config, ConfigError, Sources};
use crate::home::{Home, HomeError};
use crate::output::{Output, Paint};
use arguments::{Arguments, Command};

/// A future that someone else runs.
pub type Boxed<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// What the application does for the command line.
pub struct Hooks {
    /// Runs the host until it is told to end.
    pub daemon: fn(Config, DaemonOptions) -> Boxed<anyhow::Result<()>>,
    /// Opens the home without a server, for one command.
    pub offline: fn(Config, Arc<Known>) -> Boxed<anyhow::Result<SharedHandler>>,
}

/// How the host is to run.
#[derive(Debug)]
pub struct DaemonOptions {
    /// Where things lie.
    pub home: Home,
    /// Whether a person talks to it here.
    pub console: bool,
    /// Gets to know every secret, so that the log has none.
    pub known: Arc<Known>,
    /// Cancelled when it is to end.
    pub shutdown: CancellationToken,
}

/// How a command ended. The numbers are documented and stay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// Done.
    Done = 0,
    /// It did not work.
    Failed = 1,
    /// The command makes no sense; also clap's own.
    Usage = 2,
    /// The configuration is wrong.
    Config = 3,
    /// No such session, plugin, model.
    NotFound = 4,
    /// Denied, or nobody was there to approve.
    Denied = 5,
    /// A daemon runs and must not, or the other way round.
    Daemon = 6,
    /// By the person.
    Interrupted = 130,
}

/// A failure with its exit code.
#[derive(Debug)]
pub struct Failure {
    exit: Exit,
    error: anyhow::Error,
}

impl Failure {
    fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self { exit, error: anyhow::Error::msg(message.into()) }
    }
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        let exit = if error.downcast_ref::<HomeError>().is_some_and(|e| matches!(e, HomeError::Locked { .. })) {
            Exit::Daemon
        } else if error.downcast_ref::<ConfigError>().is_some() {
            Exit::Config
        } else {
            Exit::Failed
        };
        Self { exit, error }
    }
}

/// With its causes; many of our errors name their cause in their own words, and nothing is said twice.
fn in_words(error: &anyhow::Error) -> String {
    error.chain().fold(String::new(), |text, cause| match cause.to_string() {
        cause if text.is_empty() => cause,
        cause if text.contains(&cause) => text,
        cause => format!("{text}: {cause}"),
    })
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        Self { exit: Exit::Config, error: error.into() }
    }
}

impl From<HomeError> for Failure {
    fn from(error: HomeError) -> Self {
        let exit = if matches!(error, HomeError::Locked { .. }) { Exit::Daemon } else { Exit::Failed };
        Self { exit, error: error.into() }
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self { exit: Exit::Failed, error: error.into() }
    }
}

impl From<AskError> for Failure {
    fn from(error: AskError) -> Self {
        let exit = match &error {
            AskError::NoDaemon => Exit::Daemon,
            AskError::Refused(refusal) => match refusal.kind {
                RefusalKind::NotFound => Exit::NotFound,
                RefusalKind::Denied => Exit::Denied,
                RefusalKind::Invalid => Exit::Usage,
                RefusalKind::Failed => Exit::Failed,
            },
            _ => Exit::Failed,
        };
        Self { exit, error: error.into() }
    }
}

/// What every command knows.
struct Context {
    hooks: Hooks,
    known: Arc<Known>,
    home: Home,
    sources: Sources,
    output: Output,
    verbosity: i16,
}

impl Context {
    fn config(&self) -> Result<Config, Failure> {
        let config = Config::load(&self.sources)?;
        for warning in &config.warnings {
            self.output.note(Paint::Warn, &format!("warning: {warning}"));
        }
        Ok(config)
    }
}

/// Parses what was typed, does it, reports what went wrong once.
pub fn run(hooks: Hooks) -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            // Help and version are errors to clap too, with exit code 0. A closed pipe is nobody's problem.
            let _gone = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
        }
    };
    let output = Output::new(arguments.global.json);
    let known = Arc::new(Known::default());
    let exit = match act(arguments, hooks, output, &known) {
        Ok(exit) => exit,
        Err(Failure { error, .. }) if reader_left(&error) => Exit::Done,
        Err(Failure { exit, error }) => {
            output.note(Paint::Bad, &known.clean(&format!("error: {}", in_words(&error))));
            exit
        }
    };
    ExitCode::from(exit as u8)
}

fn reader_left(error: &anyhow::Error) -> bool {
    error.downcast_ref::<std::io::Error>().is_some_and(|error| error.kind() == std::io::ErrorKind::BrokenPipe)
}

fn act(arguments: Arguments, hooks: Hooks, output: Output, known: &Arc<Known>) -> Result<Exit, Failure> {
    let Arguments { global, command } = arguments;
    // These need neither home nor configuration, and must work when both are broken.
    match &command {
        Command::Completions { shell } => {
            let mut bytes = Vec::new();
            clap_complete::generate(*shell, &mut Arguments::command(), "openpista-host", &mut bytes);
            output.piece(&String::from_utf8_lossy(&bytes))?;
            return Ok(Exit::Done);
        }
        Command::Version => {
            output.line(&arguments::version())?;
            return Ok(Exit::Done);
        }
        Command::Plugin(arguments::PluginCommand::New { name, role, lang, into }) => {
            return scaffold::new(name, *role, *lang, into.as_deref(), output);
        }
        _ => {}
    }
    let environment: BTreeMap<String, String> = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect();
    let variable = |name: &str| environment.get(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let user_folder = variable("HOME");
    let home = Home::locate(global.home.or_else(|| variable("OPENPISTA_HOME")), user_folder.as_deref())?;
    let file = global.config.or_else(|| variable("OPENPISTA_CONFIG"));
    let started_in = std::env::current_dir().unwrap_or_else(|_| home.path().to_owned());
    let mut overrides = BTreeMap::new();
    command.overrides(&mut overrides);
    let sources = Sources {
        home: home.path().to_owned(),
        file: file.map(|file| started_in.join(file)),
        environment,
        overrides,
        user_folder: user_folder.unwrap_or_else(|| home.path().to_owned()),
        started_in,
        at_terminal: std::io::stdin().is_terminal() || std::io::stderr().is_terminal(),
    };
    let verbosity = i16::from(global.verbose) - i16::from(global.quiet);
    let context = Context { hooks, known: Arc::clone(known), home, sources, output, verbosity };
    match command {
        Command::Config(command) => config::run(&context, command),
        Command::Run(options) => match options.say {
            Some(text) => wait(say::run(context, text, options.turn)),
            None => daemon::run(context, &options),
        },
        command => wait(ask(context, command)),
    }
}

async fn ask(context: Context, command: Command) -> Result<Exit, Failure> {
    match command {
        Command::Session(command) => session::run(&context, command).await,
        Command::Plugin(command) => plugin::run(&context, command).await,
        Command::Skill(command) => skill::run(&context, command).await,
        Command::Doctor => doctor::run(&context).await,
        Command::Quit => daemon::quit(&context).await,
        Command::Stop { all: _, session } => lists::stop(&context, session).await,
        Command::Status => lists::status(&context).await,
        Command::Model(command) => lists::models(&context, command).await,
        Command::Channel(command) => lists::channels(&context, command).await,
        Command::Ledger(command) => ledger::run(&context, command).await,
        // Done before there is anyone to ask.
        Command::Run(_) | Command::Config(_) | Command::Completions { .. } | Command::Version => Ok(Exit::Done),
    }
}

/// Runs what needs tasks; commands that do not never start a thread.
fn wait(work: impl Future<Output = Result<Exit, Failure>>) -> Result<Exit, Failure> {
    let workers = std::thread::available_parallelism().map_or(2, |cores| cores.get().max(2));
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(workers)
        .enable_all()
        .build()
        .map_err(anyhow::Error::from)?;
    let result = runtime.block_on(work);
    // A guest or a name lookup that is stuck in a blocking thread must not keep a command from ending.
    runtime.shutdown_timeout(std::time::Duration::from_secs(2));
    result
}
