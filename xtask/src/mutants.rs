//! `cargo xtask soak mutants`: whether each mechanism that stops an attack is what its test is about.
//!
//! `host/tests/mutants.toml` names the mechanisms, how each looks when it is switched off, and the tests that must fail
//! then. A copy of the source gets a switch at each of these places, and a target folder of its own, both below
//! `target/mutants`: what is shipped has no switches, and all of them cost one build. First the tests run with nothing
//! switched off and have to pass; then each mechanism is off for its own tests.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::guests;
use crate::step::{Done, Ended, Report, Run, Step, say};
use crate::workspace::Workspace;

/// The list, from the root.
const LIST: &str = "host/tests/mutants.toml";
/// Names what is switched off; only the copy looks at it.
const VARIABLE: &str = "OPENPISTA_MUTANT";
/// What all tests together may take while nothing is switched off.
const ALL: Duration = Duration::from_secs(600);
/// What one test may take beyond all of them before: what has not ended by then has noticed, too.
const ONE: Duration = Duration::from_secs(60);

/// One mechanism.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mutant {
    /// What somebody tries.
    pub attack: String,
    /// What stops it.
    pub name: String,
    pub off: String,
    pub file: String,
    pub find: String,
    pub replace: String,
    pub target: String,
    pub tests: Vec<String>,
}

/// What came of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// The test failed.
    Noticed,
    /// The test did not end.
    Hung,
    /// The test passed all the same.
    Survived,
}

impl Fate {
    fn words(self) -> &'static str {
        match self {
            Self::Noticed => "failed as it should",
            Self::Hung => "failed as it should (it did not end)",
            Self::Survived => "SURVIVED",
        }
    }

    fn is_good(self) -> bool {
        matches!(self, Self::Noticed | Self::Hung)
    }
}

/// The copy of the source, with its target folder.
struct Copy {
    root: PathBuf,
    target: PathBuf,
    logs: PathBuf,
    /// The guests that are left out of the build.
    guests: Vec<String>,
}

/// Tries the mutants of these names, or all. True if each was noticed.
pub fn run(workspace: &Workspace, only: &[String], mut report: Report) -> Result<bool> {
    let all = listed(workspace)?;
    let mutants = chosen(&all, only)?;
    let step = |name, does: &str| Step { name, does: does.into(), alone: "cargo xtask soak mutants".into() };
    if !report.step(step("components", "builds what the tests load"), || guests::build_all(workspace)) {
        return Ok(report.finish());
    }
    let mut copy = None;
    let copying = || {
        copy = Some(Copy::make(workspace, &all)?);
        Ok(Done::Yes)
    };
    report.step(step("copy", "copies the source to target/mutants, with switches"), copying);
    let Some(copy) = copy else { return Ok(report.finish()) };
    let before = step("before", "builds the copy and runs the tests: with nothing switched off they pass");
    let mut limit = ONE;
    let mut executables = BTreeMap::new();
    let passing = || {
        let together = copy.all_pass(workspace, &mutants, &mut executables)?;
        limit += together;
        Ok(Done::Yes)
    };
    if !report.step(before, passing) {
        return Ok(report.finish());
    }
    let mut fates = Vec::new();
    let trying = || {
        for mutant in &mutants {
            for test in &mutant.tests {
                let executable = executables.get(&mutant.target).context("nothing was built")?;
                let fate = copy.fate(workspace, executable, mutant, test, limit)?;
                say(&format!("  {}: {}", mutant.name, fate.words()));
                if fate == Fate::Survived {
                    say(&format!("    {test} passes, although {}", mutant.off));
                }
                fates.push((mutant.name.as_str(), test.as_str(), fate));
            }
        }
        let bad = fates.iter().filter(|(.., fate)| !fate.is_good()).count();
        if bad > 0 {
            bail!("{bad} tests pass though the mechanism that they are about is switched off");
        }
        Ok(Done::Yes)
    };
    report.step(step("mutants", "switches off one mechanism after the other"), trying);
    say(&table(&fates));
    Ok(report.finish())
}

/// All of the list.
pub fn listed(workspace: &Workspace) -> Result<Vec<Mutant>> {
    read(&workspace.root().join(LIST))
}

fn read(path: &Path) -> Result<Vec<Mutant>> {
    let text = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    parse(&text).with_context(|| format!("cannot read {}", path.display()))
}

fn parse(text: &str) -> Result<Vec<Mutant>> {
    let table: toml::Table = text.parse()?;
    let list = table.get("mutant").and_then(toml::Value::as_array).context("it has no [[mutant]]")?;
    list.iter()
        .map(|entry| {
            let word = |key: &str| {
                let word = entry.get(key).and_then(toml::Value::as_str);
                word.map(str::to_string).with_context(|| format!("a mutant has no `{key}`: {entry}"))
            };
            let tests = entry.get("tests").and_then(toml::Value::as_array);
            let tests = tests.with_context(|| format!("a mutant has no `tests`: {entry}"))?;
            Ok(Mutant {
                attack: word("attack")?,
                name: word("name")?,
                off: word("off")?,
                file: word("file")?,
                find: word("find")?,
                replace: word("replace")?,
                target: word("target")?,
                tests: tests.iter().filter_map(toml::Value::as_str).map(str::to_string).collect(),
            })
        })
        .collect()
}

fn chosen(all: &[Mutant], only: &[String]) -> Result<Vec<Mutant>> {
    if let Some(unknown) = only.iter().find(|name| !all.iter().any(|mutant| mutant.name == **name)) {
        bail!("{LIST} has no mutant `{unknown}`");
    }
    Ok(all.iter().filter(|mutant| only.is_empty() || only.contains(&mutant.name)).cloned().collect())
}

/// The text of a file with its switches.
fn with_switches(text: String, path: &str, mutants: &[Mutant]) -> Result<String> {
    mutants.iter().filter(|mutant| mutant.file == path).try_fold(text, |text, mutant| {
        match text.matches(&mutant.find).count() {
            1 => {
                let off = format!("(std::env::var_os({VARIABLE:?}).is_some_and(|name| name == {:?}))", mutant.name);
                Ok(text.replacen(&mutant.find, &mutant.replace.replace("OFF", &off), 1))
            }
            count => bail!("{}: `find` stands {count} times in {path}", mutant.name),
        }
    })
}

fn table(fates: &[(&str, &str, Fate)]) -> String {
    let name = fates.iter().map(|(name, ..)| name.chars().count()).max().unwrap_or(0);
    let test = fates.iter().map(|(_, test, _)| test.chars().count()).max().unwrap_or(0);
    let rows = fates.iter();
    rows.map(|(mechanism, about, fate)| format!("  {mechanism:name$}  {about:test$}  {}\n", fate.words())).collect()
}

impl Copy {
    /// What git knows, and what it would add; with what is compiled already of other people's crates, the first time.
    fn make(workspace: &Workspace, mutants: &[Mutant]) -> Result<Self> {
        let folder = workspace.target().join("mutants");
        let copy = Self {
            root: folder.join("source"),
            target: folder.join("target"),
            logs: folder.join("logs"),
            guests: guests::find(&workspace.root().join(guests::TEST_GUESTS))?,
        };
        fs::create_dir_all(&copy.root).with_context(|| format!("cannot make {}", copy.root.display()))?;
        fs::create_dir_all(&copy.logs).with_context(|| format!("cannot make {}", copy.logs.display()))?;
        copy.take_over(workspace, mutants)?;
        let compiled = workspace.target().join("debug");
        if !copy.target.exists() && compiled.exists() {
            for part in [".fingerprint", "build", "deps"] {
                copy_compiled(&compiled.join(part), &copy.target.join("debug").join(part))?;
            }
        }
        Ok(copy)
    }

    /// Makes every file as it is in the tree, with switches; one that is so already is not touched, so it is not compiled
    /// again.
    fn take_over(&self, workspace: &Workspace, mutants: &[Mutant]) -> Result<()> {
        let arguments = ["ls-files", "-z", "--cached", "--others", "--exclude-standard"];
        let listed = Run::new(workspace.root(), "git").args(arguments).output()?;
        let listed: BTreeSet<&str> = listed.split('\0').filter(|path| !path.is_empty()).collect();
        for path in &listed {
            let (from, to) = (workspace.root().join(path), self.root.join(path));
            // Listed and deleted.
            if from.symlink_metadata().is_err() {
                continue;
            }
            // Following links: a copy of what they lead to does as well.
            let mut bytes = fs::read(&from).with_context(|| format!("cannot read {}", from.display()))?;
            if mutants.iter().any(|mutant| mutant.file == *path) {
                bytes = with_switches(String::from_utf8(bytes)?, path, mutants)?.into_bytes();
            }
            if fs::read(&to).is_ok_and(|there| there == bytes) {
                continue;
            }
            if let Some(parent) = to.parent() {
                fs::create_dir_all(parent).with_context(|| format!("cannot make {}", parent.display()))?;
            }
            fs::write(&to, bytes).with_context(|| format!("cannot write {}", to.display()))?;
        }
        remove_others(&self.root, &self.root, &listed)
    }

    /// Builds the test binary; the path of what came of it.
    fn build(&self, target: &str) -> Result<PathBuf> {
        let mut cargo = Run::cargo(&self.root).env("CARGO_TARGET_DIR", &self.target);
        // The same set of crates as in `test`: with another one cargo would compile them with other features.
        cargo = cargo.args(["test", "--workspace", "--no-run", "--test", target]);
        for guest in &self.guests {
            cargo = cargo.args(["--exclude", guest]);
        }
        let log = self.logs.join("build.log");
        let ended = cargo.ends_within(Duration::MAX, &log)?;
        let said = fs::read_to_string(&log).with_context(|| format!("cannot read {}", log.display()))?;
        if ended != Ended::Well {
            bail!(
                "it does not compile: {}",
                said.lines().find(|line| line.starts_with("error")).unwrap_or("see the log")
            );
        }
        executable(&said).map(|path| self.root.join(path)).context("cargo names no executable")
    }

    fn test(
        &self,
        workspace: &Workspace,
        executable: &Path,
        tests: &[&str],
        off: Option<&str>,
        limit: Duration,
        log: &Path,
    ) -> Result<Ended> {
        Run::new(&self.root.join("host"), executable)
            .env("OPENPISTA_STOCK", workspace.plugins())
            .env("OPENPISTA_TEST_GUESTS", workspace.test_guests())
            .env("OPENPISTA_NPM", workspace.npm())
            .env(VARIABLE, off.unwrap_or_default())
            .arg("--exact")
            .args(tests)
            .ends_within(limit, log)
    }

    /// Fails unless all tests pass; how long they took. `executables` are what was built, by target.
    fn all_pass(
        &self,
        workspace: &Workspace,
        mutants: &[Mutant],
        executables: &mut BTreeMap<String, PathBuf>,
    ) -> Result<Duration> {
        let mut by_target: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        for mutant in mutants {
            by_target.entry(&mutant.target).or_default().extend(mutant.tests.iter().map(String::as_str));
        }
        let mut together = Duration::ZERO;
        for (target, tests) in by_target {
            let executable = self.build(target)?;
            let tests: Vec<&str> = tests.into_iter().collect();
            let log = self.logs.join("before.log");
            let began = Instant::now();
            let ended = self.test(workspace, &executable, &tests, None, ALL, &log)?;
            together += began.elapsed();
            let said = fs::read_to_string(&log).unwrap_or_default();
            if ended != Ended::Well || !said.contains(&format!("test result: ok. {} passed", tests.len())) {
                bail!("with nothing switched off the tests do not pass; see {}", log.display());
            }
            executables.insert(target.to_string(), executable);
        }
        Ok(together)
    }

    fn fate(
        &self,
        workspace: &Workspace,
        executable: &Path,
        mutant: &Mutant,
        test: &str,
        limit: Duration,
    ) -> Result<Fate> {
        let log = self.logs.join(format!("{}.log", mutant.name.replace(|c: char| !c.is_ascii_alphanumeric(), "-")));
        Ok(match self.test(workspace, executable, &[test], Some(&mutant.name), limit, &log)? {
            Ended::Well => Fate::Survived,
            Ended::Badly => Fate::Noticed,
            Ended::Late => Fate::Hung,
        })
    }
}

/// The path in `Executable tests/hostile.rs (target/debug/deps/hostile-0123)`.
fn executable(said: &str) -> Option<&str> {
    let line = said.lines().find(|line| line.trim_start().starts_with("Executable "))?;
    line.rsplit_once('(')?.1.strip_suffix(')')
}

/// Removes what is in the copy and not in the list.
fn remove_others(root: &Path, folder: &Path, listed: &BTreeSet<&str>) -> Result<()> {
    let context = || format!("cannot list {}", folder.display());
    for entry in fs::read_dir(folder).with_context(context)? {
        let path = entry.with_context(context)?.path();
        if path.is_dir() {
            remove_others(root, &path, listed)?;
            continue;
        }
        let inside = path.strip_prefix(root).ok().and_then(Path::to_str);
        if !inside.is_some_and(|inside| listed.contains(inside) || inside == "Cargo.lock") {
            fs::remove_file(&path).with_context(|| format!("cannot remove {}", path.display()))?;
        }
    }
    Ok(())
}

/// Cargo goes by the times of files, so they stay. Executables are left out: they are large, and ours.
pub fn copy_compiled(from: &Path, to: &Path) -> Result<()> {
    let Ok(entries) = fs::read_dir(from) else { return Ok(()) };
    fs::create_dir_all(to).with_context(|| format!("cannot make {}", to.display()))?;
    for entry in entries.flatten() {
        let (path, target) = (entry.path(), to.join(entry.file_name()));
        if path.is_dir() {
            copy_compiled(&path, &target)?;
            continue;
        }
        let meta = entry.metadata().with_context(|| format!("cannot read {}", path.display()))?;
        if from.ends_with("deps") && path.extension().is_none() {
            continue;
        }
        fs::copy(&path, &target).with_context(|| format!("cannot copy {}", path.display()))?;
        let times = fs::FileTimes::new().set_modified(meta.modified()?);
        fs::File::options().write(true).open(&target).and_then(|file| file.set_times(times))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mutant(name: &str, find: &str) -> Mutant {
        let word = str::to_string;
        Mutant {
            attack: word("somebody tries"),
            name: name.into(),
            off: word("nothing stops it"),
            file: word("a.rs"),
            find: find.into(),
            replace: word("a < b && !OFF"),
            target: word("hostile"),
            tests: vec![word("part::it_stops")],
        }
    }

    #[test]
    fn what_gets_a_switch_stands_there_once() {
        let switched = |text: &str, find| with_switches(text.into(), "a.rs", &[mutant("one", find)]);
        assert_eq!(
            switched("if a < b {}", "a < b").unwrap(),
            "if a < b && !(std::env::var_os(\"OPENPISTA_MUTANT\").is_some_and(|name| name == \"one\")) {}"
        );
        assert_eq!(switched("a a", "a").unwrap_err().to_string(), "one: `find` stands 2 times in a.rs");
        assert!(switched("b", "a").is_err());
        assert_eq!(with_switches("b".into(), "other.rs", &[mutant("one", "a")]).unwrap(), "b");
    }

    #[test]
    fn only_those_that_are_named_are_tried_and_an_unknown_name_is_refused() {
        let all = [mutant("one", "a"), mutant("two", "b")];
        assert_eq!(chosen(&all, &[]).unwrap(), all);
        assert_eq!(chosen(&all, &["two".into()]).unwrap(), [mutant("two", "b")]);
        let unknown = chosen(&all, &["three".into()]).unwrap_err().to_string();
        assert_eq!(unknown, "host/tests/mutants.toml has no mutant `three`");
    }

    #[test]
    fn the_checked_in_list_can_be_read() {
        let list = Workspace::find().unwrap().root().join(LIST);
        assert!(!read(&list).unwrap().is_empty());
    }

    #[test]
    fn the_table_says_what_survived() {
        let table = table(&[("one", "part::it_stops", Fate::Noticed), ("second", "it_too", Fate::Survived)]);
        let expected = "  one     part::it_stops  failed as it should\n  second  it_too          SURVIVED\n";
        assert_eq!(table, expected);
    }

    #[test]
    fn cargo_says_where_the_executable_is() {
        let said = "   Compiling x v0.1.0\n  Executable tests/hostile.rs (/a b/deps/hostile-0123)\n";
        assert_eq!(executable(said), Some("/a b/deps/hostile-0123"));
        assert_eq!(executable("error: no"), None);
    }
}
