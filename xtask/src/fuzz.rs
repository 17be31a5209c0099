//! `cargo xtask soak fuzz`: the fuzzers of `host/fuzz`, one after the other.
//!
//! `cargo fuzz` does the same with a nightly toolchain and an address sanitizer. Here the toolchain of the workspace will do:
//! libFuzzer needs nothing but the counters that LLVM puts into the code, and only into ours. So xtask is the compiler's
//! wrapper of that build and adds the flags for our own crates; what is compiled already of other people's serves as it is.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};

use crate::mutants::copy_compiled;
use crate::step::{Done, Report, Run, Step};
use crate::workspace::Workspace;

/// Set for the build: xtask is called as the compiler's wrapper.
const VARIABLE: &str = "OPENPISTA_FUZZ";
/// The crate of the fuzzers, from the root.
const FOLDER: &str = "host/fuzz";
/// Our crates that fuzzers get into.
const OURS: [&str; 2] = ["openpista_host", "openpista_plugin"];
/// For each target, unless told otherwise.
const SECONDS: u64 = 300;

/// The flags that `cargo fuzz` gives, without what needs a nightly toolchain.
const FLAGS: [&str; 7] = [
    "--cfg=fuzzing",
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
    "-Ccodegen-units=1",
];

/// Whether xtask was called by cargo as the compiler's wrapper; then it is the compiler, with more flags for our crates.
pub fn wrapped(arguments: impl Iterator<Item = OsString>) -> Option<ExitCode> {
    std::env::var_os(VARIABLE)?;
    let arguments: Vec<OsString> = arguments.collect();
    let (compiler, rest) =
        arguments.split_first().filter(|(compiler, _)| compiler.to_string_lossy().ends_with("rustc"))?;
    use std::os::unix::process::CommandExt as _;
    let targets = std::env::var(VARIABLE).unwrap_or_default();
    let error = std::process::Command::new(compiler).args(rest).args(flags(rest, &targets)).exec();
    eprintln!("xtask: {} does not start: {error}", compiler.to_string_lossy());
    Some(ExitCode::FAILURE)
}

fn flags(arguments: &[OsString], targets: &str) -> &'static [&'static str] {
    let after = |flag: &str| {
        let found = arguments.iter().position(|argument| argument == flag);
        found.and_then(|at| arguments.get(at + 1)).and_then(|value| value.to_str())
    };
    let (name, program) = (after("--crate-name").unwrap_or_default(), after("--crate-type") == Some("bin"));
    let ours = OURS.contains(&name) || (program && targets.split(' ').any(|target| target == name));
    if ours { &FLAGS } else { &[] }
}

/// Runs the named targets, or all, each for so many seconds.
pub fn run(workspace: &Workspace, arguments: &[String], mut report: Report) -> Result<bool> {
    let folder = workspace.root().join(FOLDER);
    let all = targets(&folder)?;
    let (chosen, seconds) = chosen(&all, arguments)?;
    let step = |name: &str, does: &str| Step {
        name: if name == "build" { "build" } else { "fuzz" },
        does: does.into(),
        alone: format!("cargo xtask soak fuzz {name}"),
    };
    let target = workspace.target().join("fuzz");
    let building = || {
        build(workspace, &folder, &target, &all)?;
        Ok(Done::Yes)
    };
    if !report.step(step("build", "builds the fuzzers, the first time for some minutes"), building) {
        return Ok(report.finish());
    }
    for name in chosen {
        report.step(step(&name, &format!("{name} for {seconds} s")), || fuzz(&folder, &target, &name, seconds));
    }
    Ok(report.finish())
}

fn targets(folder: &Path) -> Result<Vec<String>> {
    let folder = folder.join("fuzz_targets");
    let entries = fs::read_dir(&folder).with_context(|| format!("cannot list {}", folder.display()))?;
    let mut names: Vec<String> = entries
        .flatten()
        .filter_map(|entry| Some(entry.path().file_stem().and_then(OsStr::to_str)?.to_string()))
        .collect();
    names.sort();
    Ok(names)
}

/// `[TARGET…] [--seconds N]`
fn chosen(all: &[String], arguments: &[String]) -> Result<(Vec<String>, u64)> {
    let mut names = Vec::new();
    let mut seconds = SECONDS;
    let mut words = arguments.iter();
    while let Some(word) = words.next() {
        if word == "--seconds" {
            let number = words.next().and_then(|word| word.parse().ok()).filter(|number| *number > 0);
            seconds = number.context("`--seconds` wants a number")?;
        } else if all.contains(word) {
            names.push(word.clone());
        } else {
            bail!("there is no fuzzer `{word}`; there are {}", all.join(", "));
        }
    }
    Ok((if names.is_empty() { all.to_vec() } else { names }, seconds))
}

fn build(workspace: &Workspace, folder: &Path, target: &Path, all: &[String]) -> Result<()> {
    // The same versions as in the host's workspace; cargo adds what only fuzzers need.
    let lock = "Cargo.lock";
    fs::copy(workspace.root().join(lock), folder.join(lock)).context("cannot copy Cargo.lock")?;
    let compiled = workspace.target().join("debug");
    if !target.exists() && compiled.exists() {
        for part in [".fingerprint", "build", "deps"] {
            copy_compiled(&compiled.join(part), &target.join("debug").join(part))?;
        }
    }
    let xtask = std::env::current_exe().context("xtask does not know where it is")?;
    let cargo = Run::cargo(folder).env("CARGO_TARGET_DIR", target).env("RUSTC_WRAPPER", xtask);
    cargo.env(VARIABLE, all.join(" ")).args(["build", "--bins"]).run()
}

fn fuzz(folder: &Path, target: &Path, name: &str, seconds: u64) -> Result<Done> {
    let make = |path: PathBuf| -> Result<PathBuf> {
        fs::create_dir_all(&path).with_context(|| format!("cannot make {}", path.display()))?;
        Ok(path)
    };
    // What is found on the way stays for the next run; what is worth keeping for all, a person puts into the corpus.
    let (found, broken) = (make(target.join("found").join(name))?, make(target.join("broken").join(name))?);
    let run = Run::new(folder, target.join("debug").join(name)).arg(found).arg(folder.join("corpus").join(name));
    let limits = [format!("-max_total_time={seconds}"), "-timeout=20".into(), "-rss_limit_mb=4096".into()];
    let prefix = format!("-artifact_prefix={}/", broken.display());
    run.args(limits).args(["-print_final_stats=1", "-max_len=8192", prefix.as_str()]).run().with_context(|| {
        format!(
            "what breaks it is in {}: mend that, and keep the file in {FOLDER}/corpus/{name} under a telling name",
            broken.display()
        )
    })?;
    Ok(Done::Yes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        text.split_whitespace().map(str::to_string).collect()
    }

    #[test]
    fn targets_and_seconds_are_chosen_and_what_is_unknown_refused() {
        let all = words("config sse");
        assert_eq!(chosen(&all, &[]).unwrap(), (all.clone(), SECONDS));
        assert_eq!(chosen(&all, &words("sse --seconds 7")).unwrap(), (words("sse"), 7));
        let said = |text| chosen(&all, &words(text)).unwrap_err().to_string();
        assert_eq!(said("wasm"), "there is no fuzzer `wasm`; there are config, sse");
        assert_eq!(said("--seconds soon"), "`--seconds` wants a number");
    }

    #[test]
    fn only_our_crates_get_the_flags() {
        let count = |text: &str| {
            let arguments: Vec<OsString> = text.split(' ').map(OsString::from).collect();
            flags(&arguments, "config sse").len()
        };
        assert_eq!(count("--crate-name openpista_host --crate-type lib"), FLAGS.len());
        assert_eq!(count("--crate-name sse --crate-type bin"), FLAGS.len());
        assert_eq!(count("--crate-name sse --crate-type lib"), 0);
        assert_eq!(count("--crate-name serde --crate-type lib"), 0);
    }
}
