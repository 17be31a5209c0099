//! The executable as a daemon, for the tests of whole processes: starts it on a home of its own with nothing of the
//! machine's environment, asks it over its admin socket, talks to its page over the websocket. Everything waits with a
//! deadline and says what it saw until then.

#![allow(dead_code, reason = "each test crate uses its part of it")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "clippy exempts only functions that are tests themselves, not what they share"
)]

pub mod client;
pub mod model;

use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Output, Stdio};
use std::time::Duration;

use openpista_host::admin::{Link, Request, Response};
use serde_json::Value;
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep, timeout};

/// Nothing here takes longer, on a busy machine and with components to compile.
pub const PATIENCE: Duration = Duration::from_secs(120);
/// Between two looks at something that no event tells of.
const LOOK: Duration = Duration::from_millis(20);

/// Looks again until there is something, or fails with what was waited for.
pub async fn until<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let end = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(Instant::now() < end, "waited {} s in vain for: {what}", PATIENCE.as_secs());
        sleep(LOOK).await;
    }
}

/// The folder with the first-party components.
pub fn stock() -> PathBuf {
    let given = std::env::var_os("OPENPISTA_STOCK").map(PathBuf::from);
    given.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join("plugins"))
}

/// A guest of the tests.
pub fn guest(name: &str) -> Vec<u8> {
    let folder = std::env::var_os("OPENPISTA_TEST_GUESTS")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/test-guests"), PathBuf::from);
    let path = folder.join(format!("{name}.wasm"));
    std::fs::read(&path).unwrap_or_else(|error| {
        panic!("{}: {error}; the guests of the tests are built by: cargo xtask test components", path.display())
    })
}

/// The bytes with other words, as many, in place of some that are there once: another version that does one thing
/// differently.
pub fn version(bytes: &[u8], words: &str, others: &str) -> Vec<u8> {
    assert_eq!(words.len(), others.len());
    let found: Vec<usize> = memchr::memmem::find_iter(bytes, words).collect();
    let [at] = found.as_slice() else { panic!("{words:?} is there {} times", found.len()) };
    let mut bytes = bytes.to_vec();
    bytes.splice(*at..*at + words.len(), others.bytes());
    bytes
}

/// A home with a workspace beside it; both are gone with it.
pub struct Home {
    folder: tempfile::TempDir,
    stock: PathBuf,
}

impl Home {
    /// With what earlier tests compiled, so that not each of them compiles the same components again.
    pub fn new() -> Self {
        let home = Self { folder: tempfile::tempdir().unwrap(), stock: stock() };
        let private = |path: &Path| std::fs::DirBuilder::new().mode(0o700).recursive(true).create(path).unwrap();
        private(&home.path());
        private(&home.workspace());
        home.warm();
        std::fs::write(home.workspace().join("marmalade.txt"), "sweet\n").unwrap();
        home
    }

    /// With these first-party components only, which makes a start faster.
    pub fn with(components: &[&str]) -> Self {
        let mut home = Self::new();
        let few = home.folder.path().join("stock");
        std::fs::create_dir(&few).unwrap();
        for file in components.iter().map(|name| format!("{name}.wasm")) {
            std::fs::copy(home.stock.join(&file), few.join(&file)).unwrap();
        }
        home.stock = few;
        home
    }

    /// Writes `config.toml`.
    pub fn configure(&self, text: &str) {
        let mut file = std::fs::OpenOptions::new();
        let file = file.create(true).truncate(true).write(true).mode(0o600).open(self.path().join("config.toml"));
        std::io::Write::write_all(&mut file.unwrap(), text.as_bytes()).unwrap();
    }

    /// Gives it what earlier tests compiled.
    pub fn warm(&self) {
        let cache = self.path().join("cache");
        std::fs::DirBuilder::new().mode(0o700).recursive(true).create(&cache).unwrap();
        copy_compiled(&compiled(), &cache);
    }

    /// `--home`
    pub fn path(&self) -> PathBuf {
        self.folder.path().join("home")
    }

    /// Where tools work.
    pub fn workspace(&self) -> PathBuf {
        self.folder.path().join("workspace")
    }

    /// Where components lie.
    pub fn plugins(&self) -> PathBuf {
        self.path().join("plugins")
    }

    /// The token of the page's link.
    pub fn token(&self) -> String {
        std::fs::read_to_string(self.path().join("web-token")).unwrap().trim().to_string()
    }

    /// The executable on this home, with a clean environment.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_openpista-host"));
        command
            .arg("--home")
            .arg(self.path())
            .args(arguments)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", self.folder.path())
            .env("OPENPISTA_STOCK", &self.stock)
            .env("OPENPISTA_WORKSPACE", self.workspace())
            .current_dir(self.workspace())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        command
    }

    /// Runs a command to its end.
    pub async fn run(&self, arguments: &[&str]) -> Output {
        let child = self.command(arguments).spawn().unwrap();
        timeout(PATIENCE, child.wait_with_output())
            .await
            .unwrap_or_else(|_| panic!("`{}` did not end in {} s", arguments.join(" "), PATIENCE.as_secs()))
            .unwrap()
    }

    /// Its exit code, standard output and standard error.
    pub async fn said(&self, arguments: &[&str]) -> (Option<i32>, String, String) {
        let output = self.run(arguments).await;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (output.status.code(), text(&output.stdout), text(&output.stderr))
    }

    /// What it writes with `--json`, one value a line.
    pub async fn json(&self, arguments: &[&str]) -> Vec<Value> {
        let (code, out, err) = self.said(&[arguments, &["--json"]].concat()).await;
        assert_eq!(code, Some(0), "`{}`: {out}{err}", arguments.join(" "));
        out.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("no JSON: {line}"))).collect()
    }

    /// A daemon that is ready.
    pub async fn start(&self) -> Daemon {
        self.start_with(&[]).await
    }

    /// As `start`, with more of an environment.
    pub async fn start_with(&self, environment: &[(&str, &str)]) -> Daemon {
        self.started(self.launch(environment)).await
    }

    /// As `start`, by a command that runs what is said behind it.
    pub async fn start_in(&self, around: &[&str]) -> Daemon {
        let inner = self.daemon_command();
        let (program, arguments) = around.split_first().unwrap();
        let mut command = Command::new(program);
        command.args(arguments).arg(inner.as_std().get_program()).args(inner.as_std().get_args()).env_clear();
        for (name, value) in inner.as_std().get_envs() {
            command.envs(value.map(|value| (name, value)));
        }
        command.current_dir(self.workspace()).stdin(Stdio::null()).kill_on_drop(true);
        self.started(self.spawn(command)).await
    }

    async fn started(&self, mut daemon: Daemon) -> Daemon {
        let address = daemon.ready(self).await.unwrap_or_else(|| {
            let log = std::fs::read_to_string(&daemon.log).unwrap_or_default();
            panic!("the daemon ended before it was ready:\n{log}")
        });
        daemon.address = address;
        copy_compiled(&self.path().join("cache"), &compiled());
        daemon
    }

    /// A daemon that may or may not become ready.
    pub fn launch(&self, environment: &[(&str, &str)]) -> Daemon {
        let mut command = self.daemon_command();
        command.envs(environment.iter().copied());
        self.spawn(command)
    }

    fn daemon_command(&self) -> Command {
        self.command(&["run", "--no-console", "--listen", "127.0.0.1:0"])
    }

    fn spawn(&self, mut command: Command) -> Daemon {
        let log = self.folder.path().join("stderr");
        let file = std::fs::OpenOptions::new().create(true).append(true).mode(0o600).open(&log).unwrap();
        command.stdout(Stdio::null()).stderr(file);
        Daemon { child: command.spawn().unwrap(), log, address: String::new() }
    }
}

/// A process that is killed when this is dropped.
pub struct Daemon {
    child: Child,
    log: PathBuf,
    /// `http://127.0.0.1:PORT`
    pub address: String,
}

impl Daemon {
    /// The address, once it serves; none if it ended before.
    pub async fn ready(&mut self, home: &Home) -> Option<String> {
        let end = Instant::now() + PATIENCE;
        loop {
            if self.child.try_wait().unwrap().is_some() {
                return None;
            }
            if let Some(address) = self.status(home).await {
                self.address.clone_from(&address);
                return Some(address);
            }
            assert!(Instant::now() < end, "the daemon is not ready after {} s:\n{}", PATIENCE.as_secs(), self.log());
            sleep(LOOK).await;
        }
    }

    async fn status(&self, home: &Home) -> Option<String> {
        let link = Link::daemon(&home.path().join("admin.sock")).await.ok()?;
        let answers = link.all(Request::Status).await.ok()?;
        answers.into_iter().find_map(|answer| match answer {
            // An earlier process of this home may have left its socket: only this one's word counts.
            Response::Status(status) if Some(status.pid) == self.child.id() => status.address,
            _ => None,
        })
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.child.id().unwrap()
    }

    /// Whether it still runs.
    pub fn runs(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// `kill -9`
    pub fn strike(&mut self) {
        // It may have ended by itself.
        let _ = self.child.start_kill();
    }

    /// `kill -9`, and wait until it is gone.
    pub async fn kill(mut self) {
        // It may have ended by itself.
        let _ = self.child.kill().await;
    }

    /// SIGTERM, and how it ended.
    pub async fn end(mut self) -> ExitStatus {
        let pid = nix::unistd::Pid::from_raw(i32::try_from(self.pid()).unwrap());
        nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM).unwrap();
        self.ended().await
    }

    /// How it ended.
    pub async fn ended(&mut self) -> ExitStatus {
        let log = self.log.clone();
        timeout(PATIENCE, self.child.wait())
            .await
            .unwrap_or_else(|_| panic!("the daemon still runs:\n{}", std::fs::read_to_string(log).unwrap_or_default()))
            .unwrap()
    }

    /// What it wrote to standard error, and daemons before it on the same home.
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// A client of its page, known by the token.
    pub async fn client(&self, home: &Home, session: &str) -> client::Client {
        client::Client::known(&self.address, &home.token(), session, 0).await
    }
}

fn compiled() -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("compiled");
    std::fs::DirBuilder::new().mode(0o700).recursive(true).create(&folder).unwrap();
    folder
}

/// Put in place by a rename: other tests copy at the same time.
fn copy_compiled(from: &Path, to: &Path) {
    for entry in std::fs::read_dir(from).unwrap().flatten() {
        let target = to.join(entry.file_name());
        let ready = entry.path().extension().is_some_and(|ending| ending == "cwasm" || ending == "json");
        if !ready || target.exists() {
            continue;
        }
        // The host's own rename or pruning may be faster.
        let Ok(bytes) = std::fs::read(entry.path()) else { continue };
        let mut part = tempfile::NamedTempFile::new_in(to).unwrap();
        std::io::Write::write_all(&mut part, &bytes).unwrap();
        part.persist(&target).unwrap();
    }
}
