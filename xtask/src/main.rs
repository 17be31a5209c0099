//! Builds, runs and tests openpista-host: `cargo xtask COMMAND`.
//!
//! `step` says what happens and how long it took, `workspace` knows where things are, and one module per command does
//! the work: `setup` installs, `guests` builds the components, `flatten` writes the contract as one file, `test` checks,
//! `mutants` checks the tests, `attacks` prints what they are about, `fuzz` runs the fuzzers.
#![expect(clippy::print_stdout, reason = "a build tool talks on standard output")]

use std::process::ExitCode;

use anyhow::{Result, bail};

use setup::Permission;
use step::{Done, Report, Run, Step, say};
use workspace::Workspace;

mod attacks;
mod flatten;
mod fuzz;
mod guests;
mod mutants;
mod setup;
mod skips;
mod step;
mod test;
mod workspace;

const HELP: &str = "\
Builds, runs and tests openpista-host.

    cargo xtask COMMAND

Start here
    run [-- ARGS]     build all and start the daemon; ARGS go to `openpista-host run`
    test [CHECK…]     everything that must hold, or only the checks named; installs what it needs

Building
    build [NAME…]     the components and the host (debug), or only the components named
    build --release   one binary with the components inside: target/release/openpista-host
    flatten           write wit/flat/openpista.wit anew from wit/; --check only compares
    setup             install what building and testing need; --sudo: system packages, too, when not root

Checking
    check             the quick checks: format, contract, clippy
    soak              the long tests: crashes and load, many times over
    soak mutants      switches off each mechanism of host/tests/mutants.toml in a copy; its test has to fail
                      (`soak mutants NAME…`: only those)
    soak fuzz         the fuzzers of host/fuzz, five minutes each
                      (`soak fuzz TARGET… --seconds N`: only those, so long)
    bench [FIGURE…]   what the release costs in time and memory, as a table; takes some minutes to build

The checks of `test`
";

fn main() -> ExitCode {
    if let Some(code) = fuzz::wrapped(std::env::args_os().skip(1)) {
        return code;
    }
    match run(std::env::args().skip(1).collect()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn help() -> String {
    let mut text = HELP.to_string();
    for (name, does) in test::CHECKS {
        text.push_str(&format!("    {name:17} {does}\n"));
    }
    text
}

/// True if all went well; what did not is on the screen by then.
fn run(mut arguments: Vec<String>) -> Result<bool> {
    let command = if arguments.is_empty() { "help".to_string() } else { arguments.remove(0) };
    if arguments.iter().take_while(|argument| *argument != "--").any(|a| a == "--help" || a == "-h") {
        say(&help());
        return Ok(true);
    }
    let workspace = Workspace::find()?;
    let mut report = Report::new();
    match command.as_str() {
        "help" | "--help" | "-h" => {
            say(&help());
            return Ok(true);
        }
        "setup" => {
            let permission = Permission { sudo: flag(&mut arguments, "--sudo") };
            none_left("setup", &arguments)?;
            if setup::rust(&workspace, &mut report) {
                setup::tests(&workspace, permission, &mut report);
            }
        }
        "run" => return start(&workspace, arguments, &mut report),
        "build" => {
            let release = flag(&mut arguments, "--release");
            build(&workspace, release, &arguments, &mut report)?;
        }
        "test" if arguments.is_empty() => test::all(&workspace, Permission::default(), &mut report)?,
        "test" => test::checks(&workspace, &arguments, &mut report)?,
        "check" => {
            none_left("check", &arguments)?;
            test::checks(&workspace, &test::QUICK.map(str::to_string), &mut report)?;
        }
        "soak" if arguments.first().is_some_and(|what| what == "mutants") => {
            return mutants::run(&workspace, arguments.get(1..).unwrap_or_default(), report);
        }
        "soak" if arguments.first().is_some_and(|what| what == "fuzz") => {
            return fuzz::run(&workspace, arguments.get(1..).unwrap_or_default(), report);
        }
        "soak" => {
            none_left("soak", &arguments)?;
            test::soak(&workspace, &mut report)?;
        }
        "bench" => bench(&workspace, &arguments, &mut report)?,
        "flatten" => {
            let only_check = flag(&mut arguments, "--check");
            none_left("flatten", &arguments)?;
            return flat(&workspace, only_check);
        }
        unknown => bail!("there is no command `{unknown}`; `cargo xtask help` lists them"),
    }
    Ok(report.finish())
}

/// Takes a flag out of the arguments.
fn flag(arguments: &mut Vec<String>, name: &str) -> bool {
    let before = arguments.len();
    arguments.retain(|argument| argument != name);
    arguments.len() < before
}

fn none_left(command: &str, arguments: &[String]) -> Result<()> {
    match arguments.first() {
        Some(argument) => bail!("`{command}` takes no `{argument}`; `cargo xtask help` says what it takes"),
        None => Ok(()),
    }
}

fn flat(workspace: &Workspace, only_check: bool) -> Result<bool> {
    let path = flatten::destination(&workspace.wit());
    if only_check {
        flatten::check(&workspace.wit())?;
        say(&format!("{} is in step with wit/", path.display()));
    } else if flatten::write(&workspace.wit())? {
        say(&format!("wrote {}", path.display()));
    } else {
        say(&format!("{} was up to date", path.display()));
    }
    Ok(true)
}

/// The components, then the host. With names, only those components.
fn build(workspace: &Workspace, release: bool, names: &[String], report: &mut Report) -> Result<()> {
    if let Some(option) = names.iter().find(|name| name.starts_with('-')) {
        bail!("`build` takes no `{option}`; `cargo xtask help` says what it takes");
    }
    if release && !names.is_empty() {
        bail!("a release holds all components: `cargo xtask build --release` takes no names");
    }
    if !setup::rust(workspace, report) {
        return Ok(());
    }
    let alone = ["cargo xtask build", &names.join(" ")].join(" ").trim_end().to_string();
    let step = Step { name: "components", does: "builds them for WebAssembly, into plugins/".into(), alone };
    if !report.step(step, || guests::build_components(workspace, names)) || !names.is_empty() {
        return Ok(());
    }
    let (does, alone, arguments): (&str, &str, &[&str]) = if release {
        let does = "builds the release with the components inside; this takes several minutes";
        (does, "cargo xtask build --release", &["build", "--release", "--package", "openpista-host"])
    } else {
        let does = "builds it; the first time this takes several minutes, as the WebAssembly compiler is in it";
        (does, "cargo xtask build", &["build", "--package", "openpista-host"])
    };
    report.step(Step { name: "host", does: does.into(), alone: alone.into() }, || {
        if release {
            guests::refuse_empty(workspace)?;
        }
        Run::cargo(workspace.root()).args(arguments).run()?;
        Ok(Done::Yes)
    });
    Ok(())
}

/// Measures the release. The names of figures go on to the program that does it, which knows them.
fn bench(workspace: &Workspace, names: &[String], report: &mut Report) -> Result<()> {
    if !setup::rust(workspace, report) {
        return Ok(());
    }
    let alone = || ["cargo xtask bench", &names.join(" ")].join(" ").trim_end().to_string();
    let components = Step { name: "components", does: "builds what is measured".into(), alone: alone() };
    if !report.step(components, || guests::build_all(workspace)) {
        return Ok(());
    }
    let does = "builds the release and measures it; the build takes several minutes the first time";
    report.step(Step { name: "bench", does: does.into(), alone: alone() }, || {
        guests::refuse_empty(workspace)?;
        let homes = workspace.target().join("bench");
        std::fs::create_dir_all(&homes)?;
        Run::cargo(workspace.root())
            .args(["bench", "--profile", "release", "--package", "openpista-host", "--bench", "figures", "--"])
            .args(names)
            .env("OPENPISTA_TEST_GUESTS", workspace.test_guests())
            // The disk that is measured is the one that the project is on, not a temporary folder in memory.
            .env("TMPDIR", homes)
            .run()?;
        Ok(Done::Yes)
    });
    Ok(())
}

/// Builds all and becomes the daemon.
fn start(workspace: &Workspace, mut arguments: Vec<String>, report: &mut Report) -> Result<bool> {
    if arguments.first().is_some_and(|argument| argument == "--") {
        arguments.remove(0);
    }
    build(workspace, false, &[], report)?;
    if !report.finish() {
        return Ok(false);
    }
    let host = workspace.target().join("debug/openpista-host");
    Run::new(workspace.root(), host)
        .env("OPENPISTA_STOCK", workspace.plugins())
        .arg("run")
        .args(arguments)
        .become_it()?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// The commands that `run` knows.
    const COMMANDS: [&str; 9] = ["help", "setup", "run", "build", "test", "check", "soak", "bench", "flatten"];

    /// What is written down for people, and what continuous integration runs.
    const PAGES: [&str; 9] = [
        "README.md",
        "components/README.md",
        "host/tests/guests/README.md",
        "plugins/README.md",
        "skills/README.md",
        "docs/testing.md",
        "justfile",
        ".ci/run",
        ".github/workflows/ci.yml",
    ];

    #[test]
    fn every_command_that_a_page_names_is_there_and_in_the_help() {
        let root = Workspace::find().unwrap().root().to_path_buf();
        let help = help();
        for page in PAGES {
            let text = fs::read_to_string(root.join(page)).unwrap();
            for after in text.split("cargo xtask ").skip(1) {
                let line = after.lines().next().unwrap_or_default();
                let mut words =
                    line.split(|c: char| !c.is_ascii_alphanumeric() && c != '-').filter(|word| !word.is_empty());
                let command = words.next().unwrap();
                assert!(COMMANDS.contains(&command), "{page} names `cargo xtask {command}`");
                assert!(command == "help" || help.contains(&format!("    {command} ")), "{command} is not in the help");
            }
        }
    }

    #[test]
    fn an_unknown_command_or_argument_is_refused_with_the_way_to_the_help() {
        let said = |arguments: &[&str]| run(arguments.iter().map(|a| a.to_string()).collect()).unwrap_err().to_string();
        assert_eq!(said(&["buidl"]), "there is no command `buidl`; `cargo xtask help` lists them");
        assert_eq!(said(&["check", "all"]), "`check` takes no `all`; `cargo xtask help` says what it takes");
        assert_eq!(said(&["build", "--fast"]), "`build` takes no `--fast`; `cargo xtask help` says what it takes");
        assert_eq!(
            said(&["build", "--release", "tool-shell"]),
            "a release holds all components: `cargo xtask build --release` takes no names"
        );
        assert_eq!(
            said(&["test", "speed"]),
            "there is no check `speed`; there are format, contract, components, clippy, licences, skills, tests"
        );
    }
}
