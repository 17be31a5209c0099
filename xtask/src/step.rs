//! Steps and the commands they run: what is going on is said before it starts, its output streams on, and a table with
//! the time of each step ends the report.

use std::ffi::{OsStr, OsString};
use std::fmt::Write as _;
use std::fs::File;
use std::io::{IsTerminal as _, Read as _, Write as _};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

/// What a step is called, what it does, and how to run it alone.
pub struct Step {
    pub name: &'static str,
    pub does: String,
    pub alone: String,
}

/// How a step that did not fail ended.
pub enum Done {
    Yes,
    /// Nothing had to be done, or it could not be: the reason stands in the table.
    Skipped(String),
}

enum Outcome {
    Done,
    Skipped(String),
    Failed(String),
}

/// The steps that ran, in order.
pub struct Report {
    rows: Vec<(Step, Duration, Outcome)>,
    started: Instant,
}

impl Report {
    pub fn new() -> Self {
        Self { rows: Vec::new(), started: Instant::now() }
    }

    /// Runs one step. False if it failed: the caller decides whether the next ones make sense.
    pub fn step(&mut self, step: Step, work: impl FnOnce() -> Result<Done>) -> bool {
        say(&format!("\n{} {}: {}", bold("▶"), bold(step.name), step.does));
        let started = Instant::now();
        let outcome = match work() {
            Ok(Done::Yes) => Outcome::Done,
            Ok(Done::Skipped(reason)) => {
                say(&format!("  {reason}"));
                Outcome::Skipped(reason)
            }
            Err(error) => {
                let error = format!("{error:#}");
                say(&format!("  {} {error}", bold("failed:")));
                Outcome::Failed(error)
            }
        };
        let went_well = !matches!(outcome, Outcome::Failed(_));
        self.rows.push((step, started.elapsed(), outcome));
        went_well
    }

    /// Prints the table and what failed. True if nothing did.
    pub fn finish(&self) -> bool {
        say(&self.table());
        let mut well = true;
        for (step, _, outcome) in &self.rows {
            if let Outcome::Failed(error) = outcome {
                well = false;
                say(&format!("{} failed: {error}", bold(step.name)));
                say(&format!("  to run it alone: {}\n", step.alone));
            }
        }
        well
    }

    fn table(&self) -> String {
        let width = self.rows.iter().map(|(step, ..)| step.name.chars().count()).max().unwrap_or(0).max(8);
        let mut text = String::from("\n");
        for (step, time, outcome) in &self.rows {
            let note = match outcome {
                Outcome::Done => "",
                Outcome::Skipped(reason) => reason,
                Outcome::Failed(_) => "FAILED",
            };
            // Writing to a string cannot fail.
            let _ = writeln!(text, "{}", format!("  {:width$}  {:>10}  {note}", step.name, shown(*time)).trim_end());
        }
        let _ = writeln!(text, "  {:width$}  {:>10}", "together", shown(self.started.elapsed()));
        text
    }
}

/// A time as a person reads it: `0.4 s`, `12 s`, `3 min 05 s`.
pub fn shown(time: Duration) -> String {
    let seconds = time.as_secs_f64();
    if seconds < 10.0 {
        format!("{seconds:.1} s")
    } else if seconds < 60.0 {
        format!("{seconds:.0} s")
    } else {
        format!("{} min {:02} s", time.as_secs() / 60, time.as_secs() % 60)
    }
}

/// One line on standard output, at once: the next thing may take minutes.
pub fn say(line: &str) {
    println!("{line}");
    // A closed pipe shows at the next write; there is nobody to tell here.
    let _ = std::io::stdout().flush();
}

fn bold(text: &str) -> String {
    if std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none() {
        format!("\x1b[1m{text}\x1b[0m")
    } else {
        text.to_string()
    }
}

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// With the exit code 0.
    Well,
    /// With another, or by a signal.
    Badly,
    /// It was still running and was killed.
    Late,
}

/// A command that is shown before it runs.
pub struct Run {
    command: Command,
    environment: Vec<(String, OsString)>,
}

impl Run {
    /// In the folder `at`.
    pub fn new(at: &Path, program: impl AsRef<OsStr>) -> Self {
        let mut command = Command::new(program);
        // What cargo told us about xtask must not reach the cargos that we start: build scripts that look at it (ring's
        // does) would run again, and everything behind them would be compiled again, for `cargo build` by hand.
        for (name, _) in std::env::vars_os() {
            let told = ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_", "CARGO_CRATE_", "CARGO_PRIMARY_"];
            if name.to_str().is_some_and(|name| told.iter().any(|prefix| name.starts_with(prefix))) {
                command.env_remove(name);
            }
        }
        command.current_dir(at);
        Self { command, environment: Vec::new() }
    }

    /// `cargo` in the folder `at`; the toolchain is the one that runs us.
    pub fn cargo(at: &Path) -> Self {
        Self::new(at, "cargo")
    }

    pub fn arg(mut self, argument: impl AsRef<OsStr>) -> Self {
        self.command.arg(argument);
        self
    }

    pub fn args<A: AsRef<OsStr>>(mut self, arguments: impl IntoIterator<Item = A>) -> Self {
        self.command.args(arguments);
        self
    }

    pub fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, &value);
        self.environment.push((name.to_string(), value.as_ref().to_os_string()));
        self
    }

    /// Shows the command and runs it with our input and output. An exit code that is not 0 is an error.
    pub fn run(mut self) -> Result<()> {
        say(&format!("  $ {}", self.line()));
        let status = self.command.status().with_context(|| self.cannot_start())?;
        if !status.success() {
            bail!("`{}` ended with {status}", self.line());
        }
        Ok(())
    }

    /// As `run`, and what it prints on standard output is in the file `copy`, too.
    pub fn run_copying(mut self, copy: &Path) -> Result<()> {
        say(&format!("  $ {}", self.line()));
        let mut file = File::create(copy).with_context(|| format!("cannot write {}", copy.display()))?;
        let mut child = self.command.stdout(Stdio::piped()).spawn().with_context(|| self.cannot_start())?;
        if let Some(mut printed) = child.stdout.take() {
            let mut piece = vec![0; 64 << 10];
            loop {
                let read = printed.read(&mut piece)?;
                let Some(piece) = piece.get(..read).filter(|piece| !piece.is_empty()) else { break };
                file.write_all(piece)?;
                std::io::stdout().write_all(piece)?;
                std::io::stdout().flush()?;
            }
        }
        let status = child.wait()?;
        if !status.success() {
            bail!("`{}` ended with {status}", self.line());
        }
        Ok(())
    }

    /// Runs the command without showing it and returns what it printed.
    pub fn output(mut self) -> Result<String> {
        let output = self.command.stdin(Stdio::null()).output().with_context(|| self.cannot_start())?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            bail!("`{}` ended with {}: {}", self.line(), output.status, said.trim());
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Runs the command without output, for at most `limit`. False if it failed or was still running then.
    pub fn succeeds_within(mut self, limit: Duration) -> Result<bool> {
        say(&format!("  $ {}", self.line()));
        let quiet = self.command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut child = quiet.spawn().with_context(|| self.cannot_start())?;
        Ok(status_within(&mut child, limit)?.is_some_and(|status| status.success()))
    }

    /// Runs the command without showing it, for at most `limit`; what it writes goes into the file `log`.
    pub fn ends_within(mut self, limit: Duration, log: &Path) -> Result<Ended> {
        let file = File::create(log).with_context(|| format!("cannot write {}", log.display()))?;
        self.command.stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file);
        let mut child = self.command.spawn().with_context(|| self.cannot_start())?;
        Ok(match status_within(&mut child, limit)? {
            Some(status) if status.success() => Ended::Well,
            Some(_) => Ended::Badly,
            None => Ended::Late,
        })
    }

    /// Becomes the command. Returns only if it cannot be started.
    pub fn become_it(mut self) -> Result<()> {
        use std::os::unix::process::CommandExt as _;
        say(&format!("  $ {}\n", self.line()));
        let error = self.command.exec();
        Err(error).with_context(|| self.cannot_start())
    }

    /// As it would be typed.
    fn line(&self) -> String {
        let environment = self.environment.iter().map(|(name, value)| format!("{name}={}", quoted(value)));
        let words = std::iter::once(self.command.get_program()).chain(self.command.get_args()).map(quoted);
        environment.chain(words).collect::<Vec<_>>().join(" ")
    }

    fn cannot_start(&self) -> String {
        format!("cannot start `{}`", self.command.get_program().to_string_lossy())
    }
}

/// How a child ended; none if it had to be killed after `limit`.
#[expect(clippy::disallowed_methods, reason = "a child process can only be polled, and nothing else runs here")]
fn status_within(child: &mut Child, limit: Duration) -> Result<Option<ExitStatus>> {
    let started = Instant::now();
    while started.elapsed() < limit {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    child.kill()?;
    child.wait()?;
    Ok(None)
}

fn quoted(word: &OsStr) -> String {
    let word = word.to_string_lossy();
    if word.is_empty() || word.contains(|c: char| c.is_whitespace() || "'\"$*;&|<>()".contains(c)) {
        format!("'{}'", word.replace('\'', r"'\''"))
    } else {
        word.into_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(name: &'static str) -> Step {
        Step { name, does: "something".into(), alone: format!("cargo xtask {name}") }
    }

    #[test]
    fn a_step_that_fails_is_in_the_table_and_does_not_hide_the_others() {
        let mut report = Report::new();
        assert!(report.step(step("one"), || Ok(Done::Yes)));
        assert!(!report.step(step("two"), || bail!("it broke")));
        assert!(report.step(step("three"), || Ok(Done::Skipped("not needed".into()))));
        let lines: Vec<Vec<String>> = report
            .table()
            .lines()
            .map(|line| {
                line.split_whitespace().filter(|word| word.parse::<f64>().is_err()).map(str::to_string).collect()
            })
            .collect();
        let row = |words: &str| words.split_whitespace().map(str::to_string).collect::<Vec<_>>();
        assert_eq!(lines, ["", "one s", "two s FAILED", "three s not needed", "together s"].map(row));
        assert!(!report.finish());
    }

    #[test]
    fn times_are_shown_as_a_person_reads_them() {
        let times = [340, 12_400, 59_900, 185_000].map(|time| shown(Duration::from_millis(time)));
        assert_eq!(times, ["0.3 s", "12 s", "60 s", "3 min 05 s"]);
    }

    #[test]
    fn a_command_is_shown_as_it_would_be_typed() {
        let run = Run::new(Path::new("."), "sh").env("NAME", "two words").args(["-c", "it's", "", "plain"]);
        assert_eq!(run.line(), r"NAME='two words' sh -c 'it'\''s' '' plain");
    }

    #[test]
    fn a_command_that_fails_is_named_with_its_exit_code_and_what_it_said() {
        let failed =
            Run::new(Path::new("."), "sh").args(["-c", "echo no >&2; exit 3"]).output().unwrap_err().to_string();
        assert_eq!(failed, "`sh -c 'echo no >&2; exit 3'` ended with exit status: 3: no");
        let missing = Run::new(Path::new("."), "no-such-program").run().unwrap_err().to_string();
        assert_eq!(missing, "cannot start `no-such-program`");
    }
}
