//! The home: the folder with everything that a host keeps, and the lock that gives it to one process.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Where things lie in a home.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Home(PathBuf);

/// Why a home cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum HomeError {
    /// Neither `--home` nor `HOME` says where.
    #[error("there is no home: set HOME, or say where with --home")]
    Nowhere,
    /// It is a file.
    #[error("{0} is not a folder; move it away, or choose another home with --home")]
    NotAFolder(PathBuf),
    /// It belongs to somebody else.
    #[error("{0} belongs to another user; choose another home with --home")]
    NotYours(PathBuf),
    /// Else.
    #[error("cannot use the home {path}: {source}; check its permissions, or choose another with --home")]
    Io {
        /// What was touched.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Another process has it.
    #[error("{}", held(.path, *.pid))]
    Locked {
        /// The home.
        path: PathBuf,
        /// Which process, if it said so.
        pid: Option<u32>,
    },
}

fn held(path: &Path, pid: Option<u32>) -> String {
    let by = pid.map_or_else(|| "another process".to_owned(), |pid| format!("the process {pid}"));
    format!("{by} is already running on {}; `openpista-host quit` ends a daemon", path.display())
}

impl Home {
    /// Where the person wants it, else `.openpista` in their own folder.
    pub fn locate(wanted: Option<PathBuf>, user_folder: Option<&Path>) -> Result<Self, HomeError> {
        let path = match (wanted, user_folder) {
            (Some(path), _) => path,
            (None, Some(folder)) => folder.join(".openpista"),
            (None, None) => return Err(HomeError::Nowhere),
        };
        std::path::absolute(&path).map(Self).map_err(|source| HomeError::Io { path, source })
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// The daemon's socket.
    pub fn socket(&self) -> PathBuf {
        self.0.join("admin.sock")
    }

    /// Who has the home; the file stays when nobody has it.
    pub fn lock_file(&self) -> PathBuf {
        self.0.join("openpista.pid")
    }

    /// Logs while the console is open.
    pub fn log_file(&self) -> PathBuf {
        self.0.join("log").join("openpista.log")
    }

    /// What was typed into the console.
    pub fn history_file(&self) -> PathBuf {
        self.0.join("history")
    }

    /// Makes it, for its owner only. One that is there is looked at and left as it is.
    pub fn create(&self) -> Result<(), HomeError> {
        let io = |source| HomeError::Io { path: self.0.clone(), source };
        match std::fs::metadata(&self.0) {
            Ok(found) if !found.is_dir() => return Err(HomeError::NotAFolder(self.0.clone())),
            Ok(found) if found.uid() != nix::unistd::geteuid().as_raw() => {
                return Err(HomeError::NotYours(self.0.clone()));
            }
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.0).map_err(io)?;
            }
            Err(error) => return Err(io(error)),
        }
        std::fs::read_dir(&self.0).map(drop).map_err(io)
    }

    /// The permissions, if others can look in.
    pub fn open_to_others(&self) -> Option<u32> {
        let mode = std::fs::metadata(&self.0).ok()?.permissions().mode() & 0o777;
        (mode & 0o077 != 0).then_some(mode)
    }
}

/// The home is this process's as long as this lives; the operating system ends it with the process, however that ends.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

/// Who was killed while it started a command leaves the lock to that command, until its program begins. That is a matter
/// of milliseconds.
const HEIR: Duration = Duration::from_secs(1);
/// Between two attempts meanwhile.
const AGAIN: Duration = Duration::from_millis(10);

impl Lock {
    /// Takes the home, or says who has it. Nothing is changed if somebody has.
    pub fn acquire(home: &Home) -> Result<Self, HomeError> {
        let until = Instant::now() + HEIR;
        loop {
            match Self::try_acquire(home) {
                Err(HomeError::Locked { pid: Some(pid), .. }) if is_gone(pid) && Instant::now() < until => {
                    #[expect(clippy::disallowed_methods, reason = "no task waits for this thread, and nobody tells")]
                    std::thread::sleep(AGAIN);
                }
                done => return done,
            }
        }
    }

    fn try_acquire(home: &Home) -> Result<Self, HomeError> {
        let path = home.lock_file();
        let io = |source| HomeError::Io { path: path.clone(), source };
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .map_err(io)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut text = String::new();
                // Unreadable or half-written only costs the number.
                let pid = file.read_to_string(&mut text).ok().and_then(|_| text.trim().parse().ok());
                return Err(HomeError::Locked { path: home.path().to_owned(), pid });
            }
            Err(TryLockError::Error(error)) => return Err(io(error)),
        }
        file.set_len(0).map_err(io)?;
        file.rewind().map_err(io)?;
        writeln!(file, "{}", std::process::id()).map_err(io)?;
        Ok(Self { _file: file })
    }
}

/// No process has this number.
fn is_gone(pid: u32) -> bool {
    let pid = i32::try_from(pid).map(nix::unistd::Pid::from_raw);
    pid.is_ok_and(|pid| nix::sys::signal::kill(pid, None) == Err(nix::errno::Errno::ESRCH))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A home of which the lock is held, with the number of a process in it.
    fn held(pid: u32) -> (tempfile::TempDir, Home, File) {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::locate(Some(folder.path().to_owned()), None).unwrap();
        let mut file = File::create(home.lock_file()).unwrap();
        writeln!(file, "{pid}").unwrap();
        file.lock().unwrap();
        (folder, home, file)
    }

    fn gone() -> u32 {
        let mut child = std::process::Command::new("true").spawn().unwrap();
        child.wait().unwrap();
        child.id()
    }

    #[test]
    fn what_a_killed_process_leaves_to_a_command_that_it_was_starting_is_waited_for() {
        let (_folder, home, heir) = held(gone());
        let (start, started) = std::sync::mpsc::channel();
        let heir = std::thread::spawn(move || {
            started.recv().unwrap();
            drop(heir);
        });
        start.send(()).unwrap();
        Lock::acquire(&home).unwrap();
        heir.join().unwrap();
    }

    #[test]
    fn a_process_that_runs_has_the_home() {
        let (_folder, home, _file) = held(std::process::id());
        let locked = Lock::acquire(&home).unwrap_err();
        assert!(matches!(locked, HomeError::Locked { pid: Some(pid), .. } if pid == std::process::id()), "{locked}");
    }
}
