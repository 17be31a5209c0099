//! The host as a process: started on a home of its own, looked at from outside.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// The unit of times in /proc, in milliseconds: Linux shows hundredths of a second on every machine.
const TICK: u64 = 10;
/// A start that takes longer has failed.
const PATIENCE: Duration = Duration::from_secs(120);

/// A home, gone with this.
pub struct Home(tempfile::TempDir);

impl Home {
    /// With a provider at this address as the model.
    pub fn new(model: &str) -> Result<Self> {
        Self::with(model, "")
    }

    /// The same with more of the configuration.
    pub fn with(model: &str, more: &str) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        std::fs::create_dir_all(folder.path().join("workspace"))?;
        let home = folder.path().join("home");
        std::fs::create_dir(&home)?;
        let config = format!(
            "[agent]\nmodel = \"bench/bench\"\n\n[providers.bench]\nplugin = \"provider-openai-chat\"\nsettings = {{ base-url = {model:?} }}\n{more}"
        );
        std::fs::write(home.join("config.toml"), config)?;
        Ok(Self(folder))
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("home")
    }

    /// The folder of its plugins, made now if need be.
    pub fn plugins(&self) -> Result<PathBuf> {
        let folder = self.path().join("plugins");
        std::fs::create_dir_all(&folder)?;
        Ok(folder)
    }

    /// The token of the page.
    pub fn token(&self) -> Result<String> {
        Ok(std::fs::read_to_string(self.path().join("web-token"))?.trim().to_string())
    }

    /// Starts the host; returns it when it has answered with its page, and how long that took.
    #[expect(
        clippy::disallowed_methods,
        reason = "nothing tells of an open port; a timer of the runtime is too coarse"
    )]
    pub fn start(&self) -> Result<(Daemon, Started)> {
        // Free a moment ago; if somebody else takes it meanwhile, the start fails and says so.
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let log = std::fs::File::create(self.0.path().join("stderr"))?;
        let mut command = Command::new(env!("CARGO_BIN_EXE_openpista-host"));
        command
            .arg("--home")
            .arg(self.path())
            .args(["run", "--no-console", "--listen"])
            .arg(format!("127.0.0.1:{port}"))
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", self.0.path())
            .env("OPENPISTA_WORKSPACE", self.0.path().join("workspace"))
            .env("OPENPISTA_LOG", "warn")
            .current_dir(self.0.path().join("workspace"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log);
        // A build for development holds no components.
        if let Some(stock) = std::env::var_os("OPENPISTA_STOCK") {
            command.env("OPENPISTA_STOCK", stock);
        }
        let started = Instant::now();
        let mut daemon = Daemon { child: command.spawn()?, address: format!("http://127.0.0.1:{port}") };
        loop {
            if let Ok(stream) = TcpStream::connect(("127.0.0.1", port)) {
                let open = started.elapsed();
                page(stream)?;
                return Ok((daemon, Started { open, page: started.elapsed() }));
            }
            if daemon.child.try_wait()?.is_some() || started.elapsed() > PATIENCE {
                bail!("it did not start: {}", std::fs::read_to_string(self.0.path().join("stderr"))?);
            }
            std::thread::sleep(Duration::from_micros(200));
        }
    }
}

/// How long a start took.
pub struct Started {
    /// Until the port took a connection.
    pub open: Duration,
    /// Until the page was there.
    pub page: Duration,
}

/// Asks for the page, on a connection that may still wait to be taken.
fn page(mut stream: TcpStream) -> Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(b"GET / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    if !answer.starts_with("HTTP/1.1 200") {
        bail!("there is no page: {}", answer.lines().next().unwrap_or_default());
    }
    Ok(())
}

/// Killed when this is dropped.
pub struct Daemon {
    child: Child,
    /// `http://127.0.0.1:PORT`
    pub address: String,
}

/// What the system says of a process, in bytes and seconds.
pub struct Usage {
    /// In memory now, what it shares with its file included.
    pub resident: u64,
    /// Of the processor, its own and the system's for it.
    pub processor: Duration,
}

impl Daemon {
    /// As of now.
    pub fn usage(&self) -> Result<Usage> {
        let folder = PathBuf::from(format!("/proc/{}", self.child.id()));
        let status = std::fs::read_to_string(folder.join("status"))?;
        let size = |name: &str| -> Result<u64> {
            let line = status.lines().find_map(|line| line.strip_prefix(name)).context("a field of /proc")?;
            Ok(line.trim_start_matches(':').trim().trim_end_matches(" kB").parse::<u64>()? * 1024)
        };
        let stat = std::fs::read_to_string(folder.join("stat"))?;
        // The name in brackets may hold anything; user and system time are the 12th and 13th field behind it.
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
        let ticks = |at: usize| anyhow::Ok(fields.get(at).context("a time in /proc")?.parse::<u64>()?);
        let processor = Duration::from_millis((ticks(11)? + ticks(12)?) * TICK);
        Ok(Usage { resident: size("VmRSS")?, processor })
    }

    /// Ends it as a person does.
    pub fn end(mut self) -> Result<()> {
        kill(Pid::from_raw(i32::try_from(self.child.id())?), Signal::SIGTERM)?;
        let status = self.child.wait()?;
        if !status.success() {
            bail!("it ended with {status}");
        }
        Ok(())
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// How long this disk takes to make 4 KiB durable, many times.
pub fn sync_times(folder: &Path) -> Result<Vec<Duration>> {
    let mut file = tempfile::tempfile_in(folder)?;
    (0..200)
        .map(|_| {
            let started = Instant::now();
            file.write_all(&[7; 4096])?;
            file.sync_data()?;
            Ok(started.elapsed())
        })
        .collect()
}
