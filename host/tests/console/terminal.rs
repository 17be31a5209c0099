//! A real terminal: tmux, with keys, a screen to look at, and a size that can change.

use std::process::{Output, Stdio};

use tokio::process::Command;

use super::daemon::{Home, until};

/// A tmux server of its own with one window, in which the daemon runs; it ends with this.
pub struct Terminal {
    folder: tempfile::TempDir,
}

/// What the shell writes when the daemon has ended.
pub const ENDED: &str = "ended with";

impl Terminal {
    /// None: there is no tmux.
    pub async fn there() -> bool {
        let version = Command::new("tmux").arg("-V").stdout(Stdio::null()).stderr(Stdio::null()).status().await;
        version.is_ok_and(|status| status.success())
    }

    /// Runs the daemon on a home in a window of 60 columns and 24 rows; afterwards the shell says how the terminal is.
    pub async fn start(home: &Home, environment: &[(&str, &str)]) -> Self {
        let terminal = Self { folder: tempfile::tempdir().unwrap() };
        let command = home.command(&["run", "--listen", "127.0.0.1:0"]);
        let mut script = String::new();
        let own = command.as_std().get_envs().filter_map(|(name, value)| Some((name.to_str()?, value?.to_str()?)));
        for (name, value) in own.chain(environment.iter().copied()) {
            script.push_str(&format!("export {name}='{value}'\n"));
        }
        let arguments = command.as_std().get_args().map(|part| part.to_str().unwrap());
        let line: Vec<String> = std::iter::once(command.as_std().get_program().to_str().unwrap())
            .chain(arguments)
            .map(|part| format!("'{part}'"))
            .collect();
        script.push_str(&format!("{}\necho \"{ENDED} $?\"\nstty -a\nexec cat\n", line.join(" ")));
        let path = terminal.folder.path().join("run.sh");
        std::fs::write(&path, script).unwrap();
        let run = format!("sh '{}'", path.display());
        let made = terminal.tmux(&["new-session", "-d", "-x", "60", "-y", "24", "-s", "test", &run]).await;
        assert!(made.status.success(), "{made:?}");
        terminal
    }

    async fn tmux(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new("tmux");
        command.arg("-u").arg("-f").arg("/dev/null").arg("-S").arg(self.folder.path().join("tmux")).args(arguments);
        command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default()).env("LANG", "C.UTF-8");
        command.output().await.unwrap()
    }

    /// Presses keys, by tmux's names.
    pub async fn press(&self, keys: &[&str]) {
        assert!(self.tmux(&[&["send-keys", "-t", "test"], keys].concat()).await.status.success());
    }

    /// Types text.
    pub async fn types(&self, text: &str) {
        assert!(self.tmux(&["send-keys", "-t", "test", "-l", text]).await.status.success());
    }

    /// Types text and Enter.
    pub async fn says(&self, text: &str) {
        self.types(text).await;
        self.press(&["Enter"]).await;
    }

    /// Pastes text, as a terminal does that was asked to mark what is pasted.
    pub async fn pastes(&self, text: &str) {
        assert!(self.tmux(&["set-buffer", "--", text]).await.status.success());
        assert!(self.tmux(&["paste-buffer", "-p", "-t", "test"]).await.status.success());
    }

    pub async fn resize(&self, columns: u16, rows: u16) {
        let (columns, rows) = (columns.to_string(), rows.to_string());
        let done = self.tmux(&["resize-window", "-t", "test", "-x", &columns, "-y", &rows]).await;
        assert!(done.status.success(), "{done:?}");
    }

    /// What stands there, without rows that are empty at the end.
    pub async fn screen(&self) -> String {
        let text = self.tmux(&["capture-pane", "-p", "-t", "test"]).await.stdout;
        String::from_utf8(text).unwrap().trim_end().to_string()
    }

    /// With its colours.
    pub async fn colours(&self) -> String {
        String::from_utf8(self.tmux(&["capture-pane", "-e", "-p", "-t", "test"]).await.stdout).unwrap()
    }

    /// What tmux knows of the window.
    pub async fn property(&self, format: &str) -> String {
        let text = self.tmux(&["display-message", "-p", "-t", "test", format]).await.stdout;
        String::from_utf8(text).unwrap().trim_end().to_string()
    }

    /// Waits until the screen is as wanted.
    pub async fn is(&self, what: &str, wanted: impl Fn(&str) -> bool) -> String {
        let seen = std::cell::RefCell::new(String::new());
        let print = Print(&seen);
        let found = until(what, async || {
            let screen = self.screen().await;
            let good = wanted(&screen);
            seen.borrow_mut().clone_from(&screen);
            good.then_some(screen)
        })
        .await;
        std::mem::forget(print);
        found
    }

    /// Waits until this stands there.
    pub async fn shows(&self, text: &str) -> String {
        self.is(text, |screen| screen.contains(text)).await
    }

    /// Waits until the last row is this.
    pub async fn waits_at(&self, row: &str) -> String {
        self.is(&format!("the last row {row:?}"), |screen| screen.lines().last() == Some(row)).await
    }
}

/// What was seen last, when a test fails.
struct Print<'a>(&'a std::cell::RefCell<String>);

impl Drop for Print<'_> {
    fn drop(&mut self) {
        eprintln!("the screen:\n{}", self.0.borrow());
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let mut command = std::process::Command::new("tmux");
        let _gone = command.arg("-S").arg(self.folder.path().join("tmux")).arg("kill-server").output();
    }
}
