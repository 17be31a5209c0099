//! A bridge process: its lines are frames, its errors go to the log, and it is started again when it ends.
//!
//! It leads a process group, so that what it started ends with it, runs in the instance's own folder, and sees of the
//! host's environment only `PATH` and `LANG`.

use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tokio::io::{AsyncWriteExt as _, BufReader};
use tokio::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::{Instant, timeout};

use super::connection::{Connection, End, Link, Outgoing, Transport, code};
use super::instance::Instance;
use super::status::State;
use super::{Backoff, EventOutcome, FRAME_MAX, lines};
use crate::wit::role::channel::Process;

/// A process that ran for so long was a good one: the next wait is short.
const STEADY: Duration = Duration::from_secs(30);
/// How long a process may take to end after it was asked to.
const END_WITHIN: Duration = Duration::from_secs(2);
/// The longest piece of an error line in the log, in bytes.
const LOG_LINE_MAX: usize = 16 << 10;

/// Keeps the process running for as long as the transport is wanted.
pub(super) async fn run(instance: &Arc<Instance>, transport: &Arc<Transport>, process: &Process, random: fn() -> f64) {
    let mut backoff = Backoff::new(random);
    while !transport.stop.is_cancelled() {
        let began = Instant::now();
        let ended = match start(process, &instance.options().folder) {
            Ok(started) => serve(instance, transport, started).await,
            Err(reason) => Ended { reason, auth_required: None },
        };
        if began.elapsed() >= STEADY {
            backoff.reset();
        }
        let wanted = match ended.auth_required {
            Some(reason) => transport.wait_for_credential(reason).await,
            None => transport.back_off(backoff.after_failure(), ended.reason).await,
        };
        if !wanted {
            return;
        }
    }
}

/// What became of a process.
struct Ended {
    reason: String,
    auth_required: Option<String>,
}

/// A process with its pipes.
struct Started {
    child: Child,
    group: Group,
    input: ChildStdin,
    output: ChildStdout,
    errors: ChildStderr,
}

/// A process group that ends when this is dropped.
struct Group(Option<Pid>);

impl Group {
    fn signal(&self, signal: Signal) {
        if let Some(group) = self.0 {
            // An error means that the group has no process any more.
            let _ = killpg(group, signal);
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.signal(Signal::SIGKILL);
    }
}

fn start(process: &Process, folder: &Path) -> Result<Started, String> {
    let Some((program, arguments)) = process.command.split_first() else {
        return Err("it has no command".to_owned());
    };
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
        .map_err(|error| format!("{}: {error}", folder.display()))?;
    let inherited = ["PATH", "LANG"].into_iter().filter_map(|name| Some((name, std::env::var_os(name)?)));
    let mut child = Command::new(program)
        .args(arguments)
        .env_clear()
        .envs(inherited)
        .env("HOME", folder)
        .envs(process.env.iter().map(|(name, value)| (name, value)))
        .current_dir(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| format!("`{program}` could not be started: {error}"))?;
    let group = Group(child.id().and_then(|id| i32::try_from(id).ok()).map(Pid::from_raw));
    match (child.stdin.take(), child.stdout.take(), child.stderr.take()) {
        (Some(input), Some(output), Some(errors)) => Ok(Started { child, group, input, output, errors }),
        _ => Err(format!("`{program}` has no pipes")),
    }
}

async fn serve(instance: &Arc<Instance>, transport: &Arc<Transport>, started: Started) -> Ended {
    let Started { mut child, mut group, input, output, errors } = started;
    let (link, mut outgoing) = instance.open(transport);
    transport.health.set(State::Open);
    instance.tasks.spawn(log(errors, instance.name.clone(), transport.id.clone()));

    let mut auth_required = match link.opened(None, String::new(), Vec::new()).await {
        EventOutcome::AuthRequired(reason) => Some(reason),
        _ => None,
    };
    if auth_required.is_some() {
        link.connection.end(End::new(code::NORMAL, "a credential is missing"));
    }
    let read = {
        let reader = receive(BufReader::new(output), &link);
        let writer = write(input, &mut outgoing, &link.connection);
        let exit = async {
            let exited = child.wait().await;
            // What it started may hold the pipe open: without it the reader comes to the end.
            group.signal(Signal::SIGKILL);
            exited
        };
        tokio::pin!(reader, writer, exit);
        let (mut written, mut exited) = (false, false);
        loop {
            tokio::select! {
                biased;
                read = &mut reader => break read,
                () = &mut writer, if !written => written = true,
                _ = &mut exit, if !exited => exited = true,
            }
        }
    };
    let asked = match read {
        Received::OutputOver => None,
        Received::Asked(end) => Some(end.reason),
        Received::Broken(reason) => Some(reason),
        Received::AuthRequired(reason) => {
            auth_required = Some(reason);
            Some("a credential is missing".to_owned())
        }
    };
    let status = end(&mut child, &mut group, asked.is_some()).await;
    let code = status.map_or(code::VANISHED, exit_code);
    let reason = asked.unwrap_or_else(|| match status {
        Some(status) => format!("the process ended: {status}"),
        None => "the process closed its output".to_owned(),
    });
    link.closed(End::new(code, reason.clone())).await;
    Ended { reason, auth_required }
}

/// Ends the whole group, gently first, and reaps the process.
async fn end(child: &mut Child, group: &mut Group, now: bool) -> Option<ExitStatus> {
    if now {
        group.signal(Signal::SIGTERM);
    }
    if timeout(END_WITHIN, child.wait()).await.is_err() {
        group.signal(Signal::SIGTERM);
        let _ = timeout(END_WITHIN, child.wait()).await;
    }
    group.signal(Signal::SIGKILL);
    let status = timeout(END_WITHIN, child.wait()).await.ok().and_then(Result::ok);
    if status.is_some() {
        // The number is free for others now.
        group.0 = None;
    }
    status
}

/// As a shell says it: 128 and the signal's number for one that was killed.
fn exit_code(status: ExitStatus) -> u16 {
    use std::os::unix::process::ExitStatusExt as _;
    let code = status.code().or_else(|| status.signal().map(|signal| 128 + signal));
    code.and_then(|code| u16::try_from(code).ok()).unwrap_or(code::VANISHED)
}

/// Why no more lines are read.
enum Received {
    OutputOver,
    Asked(End),
    Broken(String),
    AuthRequired(String),
}

async fn receive(mut output: BufReader<ChildStdout>, link: &Link) -> Received {
    loop {
        let line = tokio::select! {
            biased;
            end = link.connection.ended() => return Received::Asked(end),
            line = lines::next(&mut output, FRAME_MAX) => line,
        };
        match line {
            Ok(Some(line)) => {
                if let EventOutcome::AuthRequired(reason) = link.frame(lines::frame(line)).await {
                    return Received::AuthRequired(reason);
                }
            }
            Ok(None) => return Received::OutputOver,
            Err(error) => return Received::Broken(error.to_string()),
        }
    }
}

/// Writes what is queued, each frame as a line. Its end closes the process' input.
async fn write(mut input: ChildStdin, outgoing: &mut UnboundedReceiver<Outgoing>, connection: &Connection) {
    while let Some(item) = outgoing.recv().await {
        let written = match (&item, item.bytes()) {
            (Outgoing::Close(end), _) => return connection.end(end.clone()),
            (_, Some(bytes)) => line(&mut input, bytes).await,
            (_, None) => Ok(()),
        };
        connection.sent(&item);
        if let Err(error) = written {
            // It may still say something, and its end is what counts.
            tracing::debug!(connection = connection.id, %error, "the process does not read any more");
            return;
        }
    }
}

async fn line(input: &mut ChildStdin, bytes: &[u8]) -> std::io::Result<()> {
    input.write_all(bytes).await?;
    input.write_all(b"\n").await?;
    input.flush().await
}

/// Passes the process' errors to the log, line by line.
async fn log(errors: ChildStderr, instance: String, transport: String) {
    let mut errors = BufReader::new(errors);
    loop {
        match lines::next(&mut errors, LOG_LINE_MAX).await {
            Ok(Some(line)) => {
                tracing::info!(instance, transport, "{}", String::from_utf8_lossy(&line).trim_end());
            }
            Ok(None) => return,
            // The rest of a long line comes as the next one.
            Err(lines::LineError::TooLong(_)) => tracing::info!(instance, transport, "(a very long line)"),
            Err(lines::LineError::Read(error)) => {
                tracing::debug!(instance, transport, %error, "errors of the process are lost");
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests;
