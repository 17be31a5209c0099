//! `run` and `quit`: the daemon's beginning and end.

use std::io::IsTerminal as _;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::arguments::RunOptions;
use super::terminal::Terminal;
use super::{Context, DaemonOptions, Exit, Failure, connect, logging};
use crate::admin::Request;
use crate::home::{HomeError, Lock};
use crate::output::Paint;

/// What is under way when a daemon is told to end may take so long.
const ENDING: Duration = Duration::from_secs(60);

/// Runs until a signal, `quit` or the end of the host.
pub fn run(context: Context, options: &RunOptions) -> Result<Exit, Failure> {
    let config = context.config()?;
    context.home.create()?;
    let lock = Lock::acquire(&context.home)?;
    let at_terminal = std::io::stdin().is_terminal() && std::io::stdout().is_terminal();
    let console = options.console || (at_terminal && !options.no_console);
    let log_file = context.home.log_file();
    logging::begin(&config.log, context.verbosity, console.then_some(log_file.as_path()), &context.known)?;
    if let Some(mode) = context.home.open_to_others() {
        let home = context.home.path().display();
        tracing::warn!("others can look into {home} (mode {mode:o}); run: chmod 700 {home}");
    }
    let terminal = Terminal::remember();
    super::wait(async move {
        let shutdown = CancellationToken::new();
        let signals = tokio::spawn(watch_signals(Signals::new()?, shutdown.clone(), terminal.clone()));
        let options = DaemonOptions { home: context.home, console, known: context.known, shutdown };
        let result = (context.hooks.daemon)(config, options).await;
        signals.abort();
        drop(terminal);
        drop(lock);
        result?;
        Ok(Exit::Done)
    })
}

struct Signals {
    interrupt: Signal,
    terminate: Signal,
    hangup: Signal,
}

impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
            _ = self.hangup.recv() => {}
        }
    }
}

async fn watch_signals(mut signals: Signals, shutdown: CancellationToken, terminal: Terminal) {
    signals.next().await;
    tracing::info!("ending; once more to end at once");
    shutdown.cancel();
    signals.next().await;
    terminal.restore();
    // What is not committed is lost here, as with any kill; the journal puts it right at the next start.
    std::process::exit(Exit::Interrupted as i32);
}

/// Ends the daemon and waits until it has.
pub async fn quit(context: &Context) -> Result<Exit, Failure> {
    let Some(link) = connect::daemon(context).await? else {
        return Err(Failure::new(Exit::Daemon, format!("no daemon is running on {}", context.home.path().display())));
    };
    link.all(Request::Quit).await?;
    let ended = tokio::time::timeout(ENDING, async {
        loop {
            match Lock::acquire(&context.home) {
                Ok(lock) => {
                    drop(lock);
                    return Ok(());
                }
                Err(HomeError::Locked { .. }) => tokio::time::sleep(Duration::from_millis(25)).await,
                Err(error) => return Err(Failure::from(error)),
            }
        }
    });
    match ended.await {
        Ok(result) => result?,
        Err(_) => {
            return Err(Failure::new(Exit::Failed, format!("the daemon is still ending after {} s", ENDING.as_secs())));
        }
    }
    context.output.note(Paint::Faint, "The daemon has ended.");
    Ok(Exit::Done)
}
