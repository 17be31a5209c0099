//! `cargo xtask soak mutants`: whether each mechanism that stops an attack is what its test is about.
//!
//! `host/tests/mutants.toml` names the mechanisms, how each looks when it is switched off, and the test that must fail
//! then. The change is made in a copy of the source with a target folder of its own, both below `target/mutants`, so the
//! tree itself is never touched. Before anything is switched off all the tests run once and have to pass.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::guests;
use crate::step::{Done, Ended, Report, Run, Step, say, shown};
use crate::workspace::Workspace;

/// The list, from the root.
const LIST: &str = "host/tests/mutants.toml";
/// What all tests together may take while nothing is switched off.
const ALL: Duration = Duration::from_secs(600);
/// What one test may take beyond all of them before: what has not ended by then has noticed, too.
const ONE: Duration = Duration::from_secs(60);

/// One mechanism.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Mutant {
    name: String,
    off: String,
    file: String,
    find: String,
    replace: String,
    target: String,
    test: String,
}

/// What came of one.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Fate {
    /// The test failed.
    Noticed,
    /// The test did not end.
    Hung,
    /// The test passed all the same.
    Survived,
    /// It could not be tried.
    Untried(String),
}

impl Fate {
    fn words(&self) -> String {
        match self {
            Self::Noticed => "failed as it should".into(),
            Self::Hung => "failed as it should (it did not end)".into(),
            Self::Survived => "SURVIVED".into(),
            Self::Untried(why) => format!("NOT TRIED: {why}"),
        }
    }

    fn is_good(&self) -> bool {
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
    /// A file in which something is switched off, and its text before.
    changed: Option<(PathBuf, String)>,
}

/// Tries the mutants of these names, or all. True if each was noticed.
pub fn run(workspace: &Workspace, only: &[String], mut report: Report) -> Result<bool> {
    let mutants = chosen(read(&workspace.root().join(LIST))?, only)?;
    let step = |name, does: &str| Step { name, does: does.into(), alone: "cargo xtask soak mutants".into() };
    if !report.step(step("components", "builds what the tests load"), || guests::build_all(workspace)) {
        return Ok(report.finish());
    }
    let mut copy = None;
    let copying = || {
        copy = Some(Copy::make(workspace)?);
        Ok(Done::Yes)
    };
    report.step(step("copy", "copies the source to target/mutants"), copying);
    let Some(mut copy) = copy else { return Ok(report.finish()) };
    let before = step("before", "builds the copy and runs the tests: with every mechanism they pass");
    let mut limit = ONE;
    let passing = || {
        limit += copy.all_pass(workspace, &mutants)?;
        Ok(Done::Yes)
    };
    if !report.step(before, passing) {
        return Ok(report.finish());
    }
    let mut fates = Vec::new();
    let trying = || {
        for mutant in &mutants {
            let began = Instant::now();
            let fate = copy.fate(workspace, mutant, limit).unwrap_or_else(|error| Fate::Untried(format!("{error:#}")));
            say(&format!("  {}: {} ({})", mutant.name, fate.words(), shown(began.elapsed())));
            fates.push(fate);
        }
        copy.put_back()?;
        let bad = fates.iter().filter(|fate| !fate.is_good()).count();
        if bad > 0 {
            bail!("{bad} of {} mechanisms can be switched off and no test fails", mutants.len());
        }
        Ok(Done::Yes)
    };
    report.step(step("mutants", "switches off one mechanism after the other"), trying);
    say(&table(&mutants, &fates));
    Ok(report.finish())
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
            Ok(Mutant {
                name: word("name")?,
                off: word("off")?,
                file: word("file")?,
                find: word("find")?,
                replace: word("replace")?,
                target: word("target")?,
                test: word("test")?,
            })
        })
        .collect()
}

fn chosen(all: Vec<Mutant>, only: &[String]) -> Result<Vec<Mutant>> {
    if let Some(unknown) = only.iter().find(|name| !all.iter().any(|mutant| mutant.name == **name)) {
        bail!("{LIST} has no mutant `{unknown}`");
    }
    Ok(all.into_iter().filter(|mutant| only.is_empty() || only.contains(&mutant.name)).collect())
}

/// The text with the mechanism switched off.
fn switched_off(text: &str, mutant: &Mutant) -> Result<String> {
    match text.matches(&mutant.find).count() {
        1 => Ok(text.replacen(&mutant.find, &mutant.replace, 1)),
        count => bail!("`find` stands {count} times in {}", mutant.file),
    }
}

fn table(mutants: &[Mutant], fates: &[Fate]) -> String {
    let width = |of: fn(&Mutant) -> &String| mutants.iter().map(|one| of(one).chars().count()).max().unwrap_or(0);
    let (name, test) = (width(|one| &one.name), width(|one| &one.test));
    let rows = mutants.iter().zip(fates);
    rows.map(|(mutant, fate)| format!("  {:name$}  {:test$}  {}\n", mutant.name, mutant.test, fate.words())).collect()
}

impl Copy {
    /// What git knows, and what it would add; with what is compiled already of other people's crates, the first time.
    fn make(workspace: &Workspace) -> Result<Self> {
        let folder = workspace.target().join("mutants");
        let copy = Self {
            root: folder.join("source"),
            target: folder.join("target"),
            logs: folder.join("logs"),
            guests: guests::find(&workspace.root().join(guests::TEST_GUESTS))?,
            changed: None,
        };
        fs::create_dir_all(&copy.root).with_context(|| format!("cannot make {}", copy.root.display()))?;
        fs::create_dir_all(&copy.logs).with_context(|| format!("cannot make {}", copy.logs.display()))?;
        copy.take_over(workspace)?;
        let compiled = workspace.target().join("debug");
        if !copy.target.exists() && compiled.exists() {
            for part in [".fingerprint", "build", "deps"] {
                copy_compiled(&compiled.join(part), &copy.target.join("debug").join(part))?;
            }
        }
        Ok(copy)
    }

    /// Makes every file as it is in the tree; one that is the same already is not touched, so it is not compiled again.
    fn take_over(&self, workspace: &Workspace) -> Result<()> {
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
            let bytes = fs::read(&from).with_context(|| format!("cannot read {}", from.display()))?;
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
        limit: Duration,
        log: &Path,
    ) -> Result<Ended> {
        Run::new(&self.root.join("host"), executable)
            .env("OPENPISTA_STOCK", workspace.plugins())
            .env("OPENPISTA_TEST_GUESTS", workspace.test_guests())
            .env("OPENPISTA_NPM", workspace.npm())
            .arg("--exact")
            .args(tests)
            .ends_within(limit, log)
    }

    /// Fails unless all tests pass; how long they took.
    fn all_pass(&self, workspace: &Workspace, mutants: &[Mutant]) -> Result<Duration> {
        let mut by_target: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        for mutant in mutants {
            by_target.entry(&mutant.target).or_default().insert(&mutant.test);
        }
        let mut together = Duration::ZERO;
        for (target, tests) in by_target {
            let executable = self.build(target)?;
            let tests: Vec<&str> = tests.into_iter().collect();
            let log = self.logs.join("before.log");
            let began = Instant::now();
            let ended = self.test(workspace, &executable, &tests, ALL, &log)?;
            together += began.elapsed();
            let said = fs::read_to_string(&log).unwrap_or_default();
            if ended != Ended::Well || !said.contains(&format!("test result: ok. {} passed", tests.len())) {
                bail!("with every mechanism in place the tests do not pass; see {}", log.display());
            }
        }
        Ok(together)
    }

    /// Leaves the copy as it is if that is switched off already, so that nothing is compiled again.
    fn switch_off(&mut self, mutant: &Mutant) -> Result<()> {
        let path = self.root.join(&mutant.file);
        let read = |path: &Path| fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()));
        let before = match &self.changed {
            Some((changed, before)) if *changed == path => before.clone(),
            _ => read(&path)?,
        };
        let after = switched_off(&before, mutant)?;
        if read(&path)? == after {
            return Ok(());
        }
        self.put_back()?;
        fs::write(&path, after).with_context(|| format!("cannot write {}", path.display()))?;
        self.changed = Some((path, before));
        Ok(())
    }

    fn put_back(&mut self) -> Result<()> {
        let Some((path, before)) = self.changed.take() else { return Ok(()) };
        fs::write(&path, before).with_context(|| format!("cannot write {}", path.display()))
    }

    fn fate(&mut self, workspace: &Workspace, mutant: &Mutant, limit: Duration) -> Result<Fate> {
        self.switch_off(mutant)?;
        let executable = self.build(&mutant.target)?;
        let log = self.logs.join(format!("{}.log", mutant.name.replace(|c: char| !c.is_ascii_alphanumeric(), "-")));
        Ok(match self.test(workspace, &executable, &[&mutant.test], limit, &log)? {
            Ended::Well => {
                say(&format!("  nobody noticed: {}", mutant.off));
                Fate::Survived
            }
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
fn copy_compiled(from: &Path, to: &Path) -> Result<()> {
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
            name: name.into(),
            off: word("nothing stops it"),
            file: word("a.rs"),
            find: find.into(),
            replace: word("false"),
            target: word("hostile"),
            test: word("part::it_stops"),
        }
    }

    #[test]
    fn what_is_switched_off_stands_there_once() {
        assert_eq!(switched_off("if a < b {}", &mutant("one", "a < b")).unwrap(), "if false {}");
        let twice = switched_off("a a", &mutant("one", "a")).unwrap_err().to_string();
        assert_eq!(twice, "`find` stands 2 times in a.rs");
        assert!(switched_off("b", &mutant("one", "a")).is_err());
    }

    #[test]
    fn only_those_that_are_named_are_tried_and_an_unknown_name_is_refused() {
        let all = || vec![mutant("one", "a"), mutant("two", "b")];
        assert_eq!(chosen(all(), &[]).unwrap(), all());
        assert_eq!(chosen(all(), &["two".into()]).unwrap(), [mutant("two", "b")]);
        let unknown = chosen(all(), &["three".into()]).unwrap_err().to_string();
        assert_eq!(unknown, "host/tests/mutants.toml has no mutant `three`");
    }

    #[test]
    fn the_checked_in_list_can_be_read() {
        let list = Workspace::find().unwrap().root().join(LIST);
        assert!(!read(&list).unwrap().is_empty());
    }

    #[test]
    fn the_table_says_what_survived() {
        let mutants = [mutant("one", "a"), mutant("second", "b"), mutant("third", "c")];
        let table = table(&mutants, &[Fate::Noticed, Fate::Survived, Fate::Untried("it does not compile".into())]);
        let expected = "  one     part::it_stops  failed as it should\n  second  part::it_stops  SURVIVED\n  third   \
                        part::it_stops  NOT TRIED: it does not compile\n";
        assert_eq!(table, expected);
    }

    #[test]
    fn cargo_says_where_the_executable_is() {
        let said = "   Compiling x v0.1.0\n  Executable tests/hostile.rs (/a b/deps/hostile-0123)\n";
        assert_eq!(executable(said), Some("/a b/deps/hostile-0123"));
        assert_eq!(executable("error: no"), None);
    }
}
