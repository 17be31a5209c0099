//! The web page as a person meets it: the real daemon, a real browser, and a model's service that streams
//! (`browser/model.mjs`). `browser/chat.mjs` plays the person and tells what there was to see.

#![expect(clippy::panic, clippy::unwrap_used, reason = "what a test is made of fails as loudly as the test")]

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::thread::JoinHandle;

use serde_json::{Value, json};

#[path = "staged/home.rs"]
mod home;
#[path = "staged/service.rs"]
mod service;
#[path = "staged/skip.rs"]
mod skip;

use home::{Home, KEY, stock};
use service::{Running, Service};
use skip::{found, skip};

const QUESTION: &str = "show me the files here";
/// What a page that parses a model's words would run.
const INJECTION: &str = "<img src=\"x\" onerror=\"window.injected = true\">";
const ENDING: &str = "That is all of them.";

/// What the test needs from the machine.
struct Machine {
    npm: PathBuf,
    chromium: PathBuf,
    stock: PathBuf,
}

fn machine() -> Result<Machine, String> {
    let npm = service::packages(found("OPENPISTA_NPM", "target/npm"), &["playwright-core", "@copilotkit/aimock"])?;
    let chromium = found("OPENPISTA_CHROMIUM", "/usr/bin/chromium").ok_or("there is no Chromium")?;
    Ok(Machine { npm, chromium, stock: stock()? })
}

/// The daemon, the link that it printed, and its log.
struct Daemon {
    process: Running,
    link: String,
    log: JoinHandle<String>,
}

impl Daemon {
    fn start(home: &Home) -> Self {
        let mut command = home.host(&["run", "-v", "--no-console", "--listen", "127.0.0.1:0"]);
        let mut process = Running(command.stderr(Stdio::piped()).spawn().unwrap());
        let mut lines = BufReader::new(process.0.stderr.take().unwrap()).lines().map(Result::unwrap);
        let mut before = String::new();
        let link = lines.by_ref().find_map(|line| {
            before.push_str(&line);
            line.strip_prefix("  web page   ").map(String::from)
        });
        let link = link.unwrap_or_else(|| panic!("the daemon printed no link:\n{before}"));
        let log = std::thread::spawn(move || before + &lines.collect::<String>());
        Self { process, link, log }
    }

    fn end(mut self) -> (Option<i32>, String) {
        let pid = nix::unistd::Pid::from_raw(i32::try_from(self.process.0.id()).unwrap());
        nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM).unwrap();
        (self.process.0.wait().unwrap().code(), self.log.join().unwrap())
    }
}

/// Files below a folder that hold some text.
fn holding(folder: &Path, text: &str) -> Vec<String> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            names.extend(holding(&path, text));
        } else if path.is_file() && std::fs::read(&path).unwrap().windows(text.len()).any(|at| at == text.as_bytes()) {
            names.push(path.file_name().unwrap().to_str().unwrap().to_string());
        }
    }
    names
}

#[test]
fn a_person_asks_allows_a_tool_and_reads_the_answer_while_it_grows() {
    let machine = match machine() {
        Ok(machine) => machine,
        Err(reason) => {
            return skip("browser::a_person_asks_allows_a_tool_and_reads_the_answer_while_it_grows", &reason);
        }
    };
    let listed = "The folder holds a poem, a list of things to buy and a letter that was never sent. ".repeat(12);
    let answer = format!("{}\n\n{INJECTION}\n\n{ENDING}", listed.trim_end());
    let call = json!({"id": "call_files", "name": "system_run", "arguments": "{\"command\":\"ls -la\"}"});
    let script = json!({"key": KEY, "question": QUESTION, "answer": answer, "call": call});
    let service = Service::start(&machine.npm, "browser/model.mjs", &script);
    let home = Home::new(&machine.stock, &["channel-web", "provider-openai-chat", "tool-shell"], &service.address, "");
    for name in ["poem.txt", "things to buy.md"] {
        std::fs::write(home.workspace().join(name), "").unwrap();
    }
    let daemon = Daemon::start(&home);
    let screenshot = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("target/screenshots/web-chat.png");
    std::fs::create_dir_all(screenshot.parent().unwrap()).unwrap();

    let person = json!({"link": daemon.link, "question": QUESTION, "ending": ENDING, "screenshot": screenshot});
    let mut browser = service::node(&machine.npm, "browser/chat.mjs", &person);
    let browser = browser.env("OPENPISTA_CHROMIUM", &machine.chromium).output().unwrap();
    let said = String::from_utf8(browser.stderr).unwrap();
    assert!(browser.status.success(), "{said}");
    let mut seen: Value = serde_json::from_slice(&browser.stdout).unwrap();

    // The link's token is a secret: it opens the page once and stays nowhere.
    let (root, token) = daemon.link.split_once("#token=").unwrap();
    let address = seen["address"].take();
    let address = address.as_str().unwrap();
    assert!(address.starts_with(&format!("{root}s/")) && !address.contains(token), "{address}");

    let lengths: Vec<u64> = serde_json::from_value(seen["lengths"].take()).unwrap();
    let partial = lengths.iter().filter(|length| **length < answer.len() as u64 / 2).count();
    assert!(partial >= 3 && lengths.is_sorted(), "the text did not grow while it came: {lengths:?}");

    let output = seen["live"]["output"].take();
    let again = seen["reloaded"]["output"].take();
    for name in ["poem.txt", "things to buy.md"] {
        assert!(output.as_str().unwrap().contains(name) && again.as_str().unwrap().contains(name), "{output}\n{again}");
    }
    let html = seen["html"].take();
    assert!(!html.as_str().unwrap().contains(KEY));
    let shown = json!({
        "person": [QUESTION],
        "tools": ["system.run"],
        "output": null,
        "answer": [answer.replace("\n\n", "\n")],
        "injected": 0
    });
    assert_eq!(
        seen,
        json!({
            "address": null,
            "asked": {"heading": "Allow system.run?", "arguments": "{\n  \"command\": \"ls -la\"\n}"},
            "decided": "✓ Allowed. (owner)",
            "lengths": null,
            "live": shown,
            "reloaded": shown,
            "ran": false,
            "complaints": [],
            "elsewhere": [],
            "html": null
        })
    );

    let (code, ledger, error) = home.run(&["ledger", "show", "--json"]);
    assert_eq!(code, Some(0), "{error}");
    let asked = format!("POST {}/v1/chat/completions", service.address.strip_prefix("http://").unwrap());
    let asked: Vec<bool> =
        ledger.iter().filter(|line| line["what"] == asked.as_str()).map(|line| line["allowed"] == true).collect();
    assert_eq!(asked, [true, true], "{ledger:?}");
    let (code, log) = daemon.end();
    assert_eq!(code, Some(0), "{log}");
    assert!(!log.contains(KEY), "{log}");
    // The ledger and the conversation are among these.
    assert_eq!(holding(&home.path(), KEY), ["config.toml"]);

    // The service answers only who shows the key, so a status of 200 says that the real one arrived.
    let mut requests = service.requests();
    let result = requests[1]["last"]["content"].take();
    for name in ["poem.txt", "things to buy.md"] {
        assert!(result.as_str().unwrap().contains(name), "{result}");
    }
    let request = |last: Value| {
        json!({
            "method": "POST",
            "path": "/v1/chat/completions",
            "status": 200,
            "stream": true,
            "model": "gpt-4o-mini",
            "last": last
        })
    };
    assert_eq!(
        requests,
        [
            request(json!({"role": "user", "content": QUESTION})),
            request(json!({"role": "tool", "tool_call_id": "call_files", "content": null})),
        ]
    );
}
