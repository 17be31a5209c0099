//! `openpista:shell`: process groups on the host's machine.
//!
//! A process belongs to its call: when the handle is dropped, the call ends, or the turn is cancelled, the whole group
//! is killed. The environment is a clean list; nothing of the daemon's own variables or open files reaches a process.
//! Secrets of the host are cut out of what a process writes before the guest sees it: a guest shortens long output, and
//! half a secret could not be found later.
//! Scope: `*` or program names, `dir:PATH` for where (the workspace always).

use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use bytes::BytesMut;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::{Child, Command};
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use wasmtime::component::Resource;

use super::ledger::{self, Begun};
use super::secrets::Filter;
use super::{Error, View};
use crate::wit::openpista::shell::shell::{Command as What, Host, HostProcess, Spec};
use crate::wit::types::Output;

const PIECE_MAX: usize = 64 << 10;
/// Pieces that wait to be taken; then the process waits.
const PIECES: usize = 8;
const TIMEOUT: Duration = Duration::from_secs(30);
const TIMEOUT_MAX: Duration = Duration::from_secs(3600);
const STDIN_MAX: usize = 10 << 20;
/// After the command's end, so long for what is still in its pipes.
const DRAIN: Duration = Duration::from_millis(250);
/// Names the call in the environment of its processes.
const MARK: &str = "OPENPISTA_CALL";

/// Starts process groups.
#[derive(Debug, Clone)]
pub struct Shell {
    /// Where processes start unless told otherwise, absolute.
    pub workspace: PathBuf,
    /// For scripts: `/bin/bash` or `/bin/sh`.
    pub interpreter: PathBuf,
}

impl Shell {
    /// With the machine's bash, or its sh where there is none.
    pub fn new(workspace: PathBuf) -> Self {
        let interpreter = ["/bin/bash", "/usr/bin/bash", "/usr/local/bin/bash"]
            .into_iter()
            .map(PathBuf::from)
            .find(|path| path.exists())
            .unwrap_or_else(|| "/bin/sh".into());
        Self { workspace, interpreter }
    }

    /// The folder to start in, if the scope has it. It is opened first, and what was opened is checked and started in:
    /// a link that is changed in between leads nowhere else.
    fn folder(&self, dir: Option<&str>, scope: &[String]) -> Result<Folder, Error> {
        let Some(dir) = dir.filter(|dir| !dir.is_empty()) else { return Ok(Folder::named(self.workspace.clone())) };
        let joined = self.workspace.join(dir);
        let (folder, real) = Folder::open(&joined)
            .map_err(|error| Error::NotFound(format!("the folder {}: {error}", joined.display())))?;
        let within = |root: &Path| root.canonicalize().is_ok_and(|root| real.starts_with(root));
        let granted = within(&self.workspace)
            || scope
                .iter()
                .any(|item| item == "*" || item.strip_prefix("dir:").is_some_and(|dir| within(Path::new(dir))));
        if granted { Ok(folder) } else { Err(Error::AccessDenied(format!("dir:{}", real.display()))) }
    }
}

/// A folder to start in.
struct Folder {
    path: PathBuf,
    /// What `path` leads through.
    _open: Option<std::fs::File>,
}

impl Folder {
    /// By its name: one that the person chose.
    fn named(path: PathBuf) -> Self {
        Self { path, _open: None }
    }

    /// Opens it; with its real name, links resolved.
    #[cfg(target_os = "linux")]
    fn open(path: &Path) -> std::io::Result<(Self, PathBuf)> {
        use std::os::fd::AsRawFd as _;
        use std::os::unix::fs::OpenOptionsExt as _;
        let flags = libc::O_PATH | libc::O_DIRECTORY;
        let open = std::fs::OpenOptions::new().read(true).custom_flags(flags).open(path)?;
        // In the process that is started the descriptor has the same number until the command runs.
        let path = PathBuf::from(format!("/proc/self/fd/{}", open.as_raw_fd()));
        let real = std::fs::read_link(&path)?;
        Ok((Self { path, _open: Some(open) }, real))
    }

    /// Resolves it; elsewhere no system names what is open.
    #[cfg(not(target_os = "linux"))]
    fn open(path: &Path) -> std::io::Result<(Self, PathBuf)> {
        let real = path.canonicalize()?;
        Ok((Self::named(real.clone()), real))
    }
}

/// A running process group.
pub struct Process {
    output: mpsc::Receiver<Output>,
    group: Group,
    child: Option<Child>,
    deadline: Instant,
    cancel: CancellationToken,
    /// Its line in the ledger, written when it has ended.
    begun: Option<Begun>,
}

/// Kills a process group, and what left the group by becoming a session of its own, when it goes out of scope.
struct Group {
    pid: Option<Pid>,
    /// In the environment of everything that the command starts.
    mark: String,
}

impl Group {
    fn kill(&mut self) {
        let Some(pid) = self.pid.take() else { return };
        // Gone already is as good as killed.
        let _ = killpg(pid, Signal::SIGKILL);
        for straggler in marked(&self.mark) {
            let _ = nix::sys::signal::kill(straggler, Signal::SIGKILL);
        }
    }
}

/// The processes with this mark in their environment, where the system tells (Linux).
fn marked(mark: &str) -> Vec<Pid> {
    let mark = format!("{MARK}={mark}");
    let Ok(processes) = std::fs::read_dir("/proc") else { return Vec::new() };
    processes
        .flatten()
        .filter_map(|entry| Some((entry.file_name().to_str()?.parse().ok()?, entry.path())))
        .filter(|(_, path)| {
            std::fs::read(path.join("environ"))
                .is_ok_and(|environment| environment.split(|byte| *byte == 0).any(|entry| entry == mark.as_bytes()))
        })
        .map(|(pid, _)| Pid::from_raw(pid))
        .collect()
}

impl Drop for Group {
    fn drop(&mut self) {
        self.kill();
    }
}

impl Process {
    fn start(
        shell: &Shell,
        spec: Spec,
        dir: &Folder,
        cancel: CancellationToken,
        filter: impl Fn() -> Filter,
    ) -> Result<Self, Error> {
        let mut command = match &spec.command {
            What::Script(script) => {
                let mut command = Command::new(&shell.interpreter);
                command.arg("-c").arg(script);
                command
            }
            What::Program(line) => {
                let (program, arguments) =
                    line.split_first().ok_or_else(|| Error::Invalid("the command is empty".into()))?;
                let mut command = Command::new(program);
                command.args(arguments);
                command
            }
        };
        command.env_clear().current_dir(&dir.path).process_group(0).kill_on_drop(true);
        for name in ["PATH", "HOME", "LANG", "LC_ALL", "TERM", "TZ", "USER", "LOGNAME", "SHELL", "TMPDIR"] {
            if let Some(value) = std::env::var_os(name) {
                command.env(name, value);
            }
        }
        let mark = crate::message::new_id();
        command.env("OPENPISTA_WORKSPACE", &shell.workspace).env(MARK, &mark);
        command.envs(spec.env.iter().map(|(name, value)| (name, value)));
        let stdin = if spec.stdin.is_empty() { Stdio::null() } else { Stdio::piped() };
        command.stdin(stdin).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().map_err(|error| {
            let what = match &spec.command {
                What::Script(_) => shell.interpreter.display().to_string(),
                What::Program(line) => line.first().cloned().unwrap_or_default(),
            };
            if error.kind() == std::io::ErrorKind::NotFound {
                Error::NotFound(format!("there is no program {what}"))
            } else {
                Error::Unavailable(format!("{what} does not start: {error}"))
            }
        })?;
        let group = Group { pid: child.id().and_then(|id| i32::try_from(id).ok()).map(Pid::from_raw), mark };
        if let Some(mut pipe) = child.stdin.take() {
            tokio::spawn(async move {
                // A process that does not read its input ends the write; that is its business.
                let _ = pipe.write_all(&spec.stdin).await;
            });
        }
        let (pieces, output) = mpsc::channel(PIECES);
        if let Some(pipe) = child.stdout.take() {
            tokio::spawn(forward(pipe, filter(), pieces.clone(), Output::Stdout));
        }
        if let Some(pipe) = child.stderr.take() {
            tokio::spawn(forward(pipe, filter(), pieces, Output::Stderr));
        }
        let time = spec.timeout_ms.map_or(TIMEOUT, |ms| Duration::from_millis(ms.into())).min(TIMEOUT_MAX);
        Ok(Self { output, group, child: Some(child), deadline: Instant::now() + time, cancel, begun: None })
    }

    /// The next piece; none after the exit.
    async fn next(&mut self) -> Result<Option<Output>, Error> {
        if self.child.is_none() {
            return Ok(None);
        }
        let next = async {
            let Some(child) = self.child.as_mut() else { return Err(Error::Other("the process is lost".into())) };
            tokio::select! {
                biased;
                piece = self.output.recv() => match piece {
                    Some(piece) => Ok(piece),
                    None => exit(child).await,
                },
                // What the command left behind keeps the pipes open; the command's own end counts.
                _ = child.wait() => {
                    self.group.kill();
                    match tokio::time::timeout(DRAIN, self.output.recv()).await {
                        Ok(Some(piece)) => Ok(piece),
                        Ok(None) | Err(_) => exit(child).await,
                    }
                }
            }
        };
        let done = tokio::select! {
            biased;
            () = self.cancel.cancelled() => Err(Error::Cancelled),
            done = next => done,
            () = tokio::time::sleep_until(self.deadline) => Err(Error::TimedOut),
        };
        if matches!(done, Ok(Output::Exited(_)) | Err(_)) {
            self.group.kill();
            self.child = None;
            if let Some(begun) = self.begun.take() {
                match &done {
                    Ok(Output::Exited(code)) => begun.end(true, format!("exit {code}")),
                    Err(Error::Cancelled) => begun.end(true, "cancelled"),
                    Err(Error::TimedOut) => begun.end(true, "timed out"),
                    Ok(_) | Err(_) => begun.end(true, "failed"),
                }
            }
        }
        done.map(Some)
    }
}

async fn exit(child: &mut Child) -> Result<Output, Error> {
    let status = child.wait().await.map_err(|error| Error::Other(format!("the process is lost: {error}")))?;
    let code = status.code().or_else(|| status.signal().map(|signal| 128 + signal)).unwrap_or(-1);
    Ok(Output::Exited(code))
}

/// Hands on what comes, as it comes; a full queue makes the process wait.
async fn forward(
    mut pipe: impl AsyncRead + Unpin,
    mut filter: Filter,
    pieces: mpsc::Sender<Output>,
    as_piece: fn(Vec<u8>) -> Output,
) {
    let mut buffer = BytesMut::with_capacity(PIECE_MAX);
    loop {
        buffer.reserve(PIECE_MAX);
        let ended = matches!(pipe.read_buf(&mut buffer).await, Ok(0) | Err(_));
        let mut piece = filter.push(&buffer.split());
        if ended {
            piece.extend(filter.finish());
        }
        for part in piece.chunks(PIECE_MAX) {
            if pieces.send(as_piece(part.to_vec())).await.is_err() {
                return;
            }
        }
        if ended {
            return;
        }
    }
}

impl View<'_> {
    fn shell_start(&mut self, spec: Spec) -> Result<Resource<Process>, Error> {
        let (what, granted) = {
            let scope = self.call.grants.scope("shell").unwrap_or_default();
            let all = scope.iter().any(|item| item == "*");
            match &spec.command {
                What::Script(script) => (script.clone(), all),
                What::Program(line) => {
                    let program = line.first().cloned().unwrap_or_default();
                    let granted = all || scope.contains(&program);
                    (program, granted)
                }
            }
        };
        let instance = self.call.caller.instance.clone();
        let arguments = arguments(&spec);
        if !granted {
            self.note("shell", what.as_str(), arguments, false);
            let item = if matches!(spec.command, What::Script(_)) { "*" } else { what.as_str() };
            return Err(Error::AccessDenied(crate::grant::denial(&instance, "shell", item)));
        }
        if spec.stdin.len() > STDIN_MAX {
            return Err(Error::TooLarge(format!("the input of a process has at most {STDIN_MAX} bytes")));
        }
        let services = &self.call.services;
        let scope = self.call.grants.scope("shell").unwrap_or_default();
        let started = services
            .shell
            .folder(spec.dir.as_deref(), scope)
            .map_err(|error| match error {
                Error::AccessDenied(item) => Error::AccessDenied(crate::grant::denial(&instance, "shell", &item)),
                error => error,
            })
            .and_then(|dir| {
                Process::start(&services.shell, spec, &dir, self.call.cancel.clone(), || services.known.filter())
            });
        let mut begun = self.begin("shell", what, arguments);
        let process = match started {
            Ok(mut process) => {
                begun.noted_later();
                process.begun = Some(begun);
                process
            }
            Err(error) => {
                let denied = matches!(error, Error::AccessDenied(_));
                begun.end(!denied, if denied { ledger::DENIED } else { "failed" });
                return Err(error);
            }
        };
        self.table.push(process).map_err(|_| Error::TooLarge("too many processes in one call".into()))
    }
}

/// The hash of all that decides what a process does.
fn arguments(spec: &Spec) -> String {
    let (kind, line) = match &spec.command {
        What::Script(script) => ("script", std::slice::from_ref(script)),
        What::Program(line) => ("program", line.as_slice()),
    };
    let number = line.len().to_string();
    let head = [kind.as_bytes(), spec.dir.as_deref().unwrap_or_default().as_bytes(), &spec.stdin, number.as_bytes()];
    let variables = spec.env.iter().flat_map(|(name, value)| [name.as_bytes(), value.as_bytes()]);
    ledger::hash(head.into_iter().chain(line.iter().map(String::as_bytes)).chain(variables))
}

impl Host for View<'_> {
    async fn run(&mut self, spec: Spec) -> wasmtime::Result<Result<Resource<Process>, Error>> {
        Ok(self.shell_start(spec))
    }
}

impl HostProcess for View<'_> {
    async fn next(&mut self, process: Resource<Process>) -> wasmtime::Result<Result<Option<Output>, Error>> {
        Ok(self.table.get_mut(&process)?.next().await)
    }

    async fn drop(&mut self, process: Resource<Process>) -> wasmtime::Result<()> {
        self.table.delete(process)?;
        Ok(())
    }
}
