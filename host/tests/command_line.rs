//! The executable as a person or a script meets it: exit codes, what it says, what it leaves alone.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails here")]

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Output};

use openpista_host::home::{Home, Lock};

/// The executable with a home of its own and nothing of the machine's environment.
fn host(home: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_openpista-host"));
    command.args(arguments).env_clear().env("HOME", home).env("OPENPISTA_HOME", home.join("pista"));
    command.stdin(std::process::Stdio::null()).current_dir(home);
    command
}

fn out(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn err(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

fn run(home: &Path, arguments: &[&str]) -> (Option<i32>, String, String) {
    let output = host(home, arguments).output().unwrap();
    (output.status.code(), out(&output), err(&output))
}

#[test]
fn help_shows_every_command_and_the_exit_codes() {
    let home = tempfile::tempdir().unwrap();
    let (code, text, _) = run(home.path(), &["--help"]);
    assert_eq!(code, Some(0));
    for word in [
        "run",
        "quit",
        "status",
        "stop",
        "session",
        "plugin",
        "model",
        "channel",
        "config",
        "ledger",
        "doctor",
        "completions",
        "version",
        "Examples:",
        "Exit codes:",
    ] {
        assert!(text.contains(word), "{word} is not in the help:\n{text}");
    }
    for command in ["run", "session", "plugin", "config", "ledger"] {
        assert_eq!(run(home.path(), &[command, "--help"]).0, Some(0));
    }
    assert!(!home.path().join("pista").exists());
}

#[test]
fn completions_are_made_for_each_shell() {
    let home = tempfile::tempdir().unwrap();
    for shell in ["bash", "zsh", "fish"] {
        let (code, text, _) = run(home.path(), &["completions", shell]);
        assert_eq!(code, Some(0));
        assert!(text.contains("openpista-host") && text.contains("doctor"), "{shell}: {text}");
    }
}

#[test]
fn a_wrong_option_is_a_usage_error() {
    let home = tempfile::tempdir().unwrap();
    let (code, _, text) = run(home.path(), &["run", "--lisen", "x"]);
    assert_eq!(code, Some(2));
    assert!(text.contains("--listen"), "{text}");
    assert_eq!(run(home.path(), &["stop"]).0, Some(2));
    assert_eq!(run(home.path(), &["run", "-e", " "]).0, Some(2));
    assert_eq!(run(home.path(), &["run", "--yes"]).0, Some(2));
}

#[test]
fn an_unknown_key_stops_every_start_with_its_line() {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("mine.toml");
    std::fs::write(&file, "[agent]\n\nmax_tool_round = 3\n").unwrap();
    let file = file.to_str().unwrap();
    let expected = format!("{file}:3: unknown key `max_tool_round` in [agent]; did you mean `max_tool_rounds`?");
    for arguments in [&["run", "--config", file][..], &["config", "show", "--config", file]] {
        let (code, text, error) = run(home.path(), arguments);
        assert_eq!((code, text.as_str()), (Some(3), ""));
        assert_eq!(error, format!("error: the configuration has a problem:\n  {expected}\n"));
    }
    let (code, text, _) = run(home.path(), &["config", "check", "--config", file]);
    assert_eq!((code, text), (Some(3), format!("{expected}\n")));
    let (code, text, _) = run(home.path(), &["config", "check", "--json", "--config", file]);
    let answer: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(code, Some(3));
    assert_eq!(
        answer,
        serde_json::json!({
            "ok": false,
            "problems": [{
                "place": format!("{file}:3"),
                "text": "unknown key `max_tool_round` in [agent]; did you mean `max_tool_rounds`?"
            }],
            "warnings": []
        })
    );
    assert!(!home.path().join("pista").exists());
}

#[test]
fn the_environment_is_seen_with_its_variable() {
    let home = tempfile::tempdir().unwrap();
    let output = host(home.path(), &["config", "show", "--json", "--changed"])
        .env("OPENPISTA_AGENT_MAX_TOOL_ROUNDS", "7")
        .env("openpista_WEB_TOKEN", "very secret")
        .output()
        .unwrap();
    let lines: Vec<serde_json::Value> = out(&output).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(
        lines,
        [
            serde_json::json!({
                "key": "agent.max_tool_rounds", "value": 7, "default": 30,
                "origin": {"from": "environment", "variable": "OPENPISTA_AGENT_MAX_TOOL_ROUNDS"}
            }),
            serde_json::json!({
                "key": "server.token", "value": "[set]", "default": null,
                "origin": {"from": "environment", "variable": "openpista_WEB_TOKEN"}
            }),
        ]
    );
}

#[test]
fn the_example_is_written_once_and_only_for_its_owner() {
    use std::os::unix::fs::PermissionsExt as _;
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("pista/config.toml");
    assert_eq!(run(home.path(), &["config", "init"]).0, Some(0));
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(std::fs::metadata(path.parent().unwrap()).unwrap().permissions().mode() & 0o777, 0o700);
    assert_eq!(run(home.path(), &["config", "check"]).0, Some(0));
    std::fs::write(&path, "[agent]\n").unwrap();
    let (code, _, error) = run(home.path(), &["config", "init"]);
    assert_eq!(code, Some(1));
    assert!(error.contains("never overwritten"), "{error}");
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "[agent]\n");
}

#[test]
fn a_second_daemon_names_the_first_and_touches_nothing() {
    let home = tempfile::tempdir().unwrap();
    let first = Home::locate(Some(home.path().join("pista")), None).unwrap();
    first.create().unwrap();
    let lock = Lock::acquire(&first).unwrap();
    let before = listing(first.path());
    let (code, text, error) = run(home.path(), &["run", "--no-console"]);
    assert_eq!((code, text.as_str()), (Some(6), ""));
    assert_eq!(
        error,
        format!(
            "error: the process {} is already running on {}; `openpista-host quit` ends a daemon\n",
            std::process::id(),
            first.path().display()
        )
    );
    assert_eq!(listing(first.path()), before);
    drop(lock);
    Lock::acquire(&first).unwrap();
}

#[test]
fn a_running_daemon_keeps_a_second_one_out_and_ends_cleanly_at_a_signal() {
    let home = tempfile::tempdir().unwrap();
    let mut first = host(home.path(), &["run", "--no-console", "--listen", "127.0.0.1:0"])
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(first.stderr.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap().starts_with("  web page ")));
    let (code, _, error) = run(home.path(), &["run", "--no-console"]);
    assert_eq!(code, Some(6));
    assert!(error.contains(&format!("the process {} is already running", first.id())), "{error}");
    let (code, text, _) = run(home.path(), &["status", "--json"]);
    let status: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!((code, &status["pid"]), (Some(0), &serde_json::json!(first.id())));
    let pid = nix::unistd::Pid::from_raw(i32::try_from(first.id()).unwrap());
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM).unwrap();
    // Reads to the end, so that the daemon never writes into a closed pipe.
    assert!(lines.all(|line| line.is_ok()));
    assert_eq!(first.wait().unwrap().code(), Some(0));
}

#[test]
fn quit_ends_the_daemon_and_waits_for_it() {
    let home = tempfile::tempdir().unwrap();
    let mut daemon = host(home.path(), &["run", "--no-console", "--listen", "127.0.0.1:0"])
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(daemon.stderr.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap().starts_with("  web page ")));
    assert_eq!(run(home.path(), &["quit"]).0, Some(0));
    assert!(lines.all(|line| line.is_ok()));
    assert_eq!(daemon.wait().unwrap().code(), Some(0));
    assert_eq!(run(home.path(), &["status"]).0, Some(6));
    assert!(!home.path().join("pista/admin.sock").exists());
}

fn listing(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap())
        .map(|entry| (entry.file_name().into_string().unwrap(), std::fs::read(entry.path()).unwrap()))
        .collect();
    files.sort();
    files
}

#[test]
fn commands_for_a_daemon_say_that_there_is_none() {
    let home = tempfile::tempdir().unwrap();
    let expected = format!("error: no daemon is running on {}\n", home.path().join("pista").display());
    for arguments in [&["quit"][..], &["status"], &["stop", "--all"]] {
        let (code, _, error) = run(home.path(), arguments);
        assert_eq!((code, error), (Some(6), expected.clone()));
    }
}

#[test]
fn a_home_that_is_a_file_is_explained() {
    let home = tempfile::tempdir().unwrap();
    std::fs::write(home.path().join("pista"), "a file").unwrap();
    let (code, _, error) = run(home.path(), &["run", "--no-console", "--config", "/dev/null"]);
    assert_eq!(code, Some(1));
    assert!(error.contains("is not a folder"), "{error}");
    assert_eq!(run(home.path(), &["doctor", "--config", "/dev/null"]).0, Some(1));
}

#[test]
fn a_new_plugin_is_laid_out_once() {
    let home = tempfile::tempdir().unwrap();
    for role in ["tools", "provider", "channel"] {
        let folder = format!("my-{role}");
        let (code, _, error) = run(home.path(), &["plugin", "new", &folder, "--role", role]);
        assert_eq!((code, error.contains("error")), (Some(0), false), "{error}");
        for file in ["Cargo.toml", "README.md", "src/lib.rs", "wit/world.wit", "wit/openpista.wit"] {
            let text = std::fs::read_to_string(home.path().join(&folder).join(file)).unwrap();
            assert!(!text.is_empty() && !text.contains("@NAME@") && !text.contains("@ROLE@"), "{file}");
        }
        assert_eq!(run(home.path(), &["plugin", "new", &folder]).0, Some(1));
    }
    assert_eq!(run(home.path(), &["plugin", "new", "Bad Name"]).0, Some(2));
    assert_eq!(run(home.path(), &["plugin", "new", "core"]).0, Some(2));
}
