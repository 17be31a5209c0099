//! Looking like somebody else: in the log, in what is asked for, by a name; and reaching for the machine behind the
//! language's own library.

use std::collections::BTreeSet;
use std::sync::Arc;

use openpista_host::plugin::digest;
use openpista_host::plugin::manifest::Manifest;
use openpista_host::plugin::registry::{GrantBook, Registry, Wishes};
use openpista_host::plugin::standing::Words;
use serde_json::json;

use super::bench::{Bench, guest, lie};
use super::exhaustion::Log;
use super::reach::{Server, plain};

const FORGED: &str =
    "fine\n2026-01-01T00:00:00Z ERROR openpista_host: forged\r\u{1b}[2J\u{1b}]0;title\u{7}\u{202e}drow";

#[tokio::test]
async fn a_line_of_log_is_one_line_and_steers_no_terminal() {
    let (log, _logging) = Log::start();
    let bench = Bench::hostile("").await;
    bench.told(json!({ "attack": "say", "text": FORGED })).await;
    let text = log.text();
    let line = text.lines().find(|line| line.contains("forged")).unwrap();
    assert!(line.contains("fine\\n2026-01-01T00:00:00Z ERROR"), "{line}");
    assert!(line.contains("\\r\\u{1b}[2J\\u{1b}]0;title\\u{7}\\u{202e}drow"), "{line}");
    assert!(!text.contains(['\u{1b}', '\u{202e}', '\r', '\u{7}']), "{text:?}");
}

#[tokio::test]
async fn what_a_guest_prints_steers_no_terminal() {
    let (log, _logging) = Log::start();
    let bench = Bench::hostile("").await;
    bench.told(json!({ "attack": "print", "text": format!("{FORGED}\n") })).await;
    let text = log.text();
    // A line that it prints is a line of its own, marked as its.
    let line = text.lines().find(|line| line.contains("forged")).unwrap();
    assert!(line.contains("plugin:") && line.contains("hostile"), "{line}");
    assert!(!text.contains(['\u{1b}', '\u{202e}', '\r', '\u{7}']), "{text:?}");
}

#[tokio::test]
async fn what_is_asked_for_is_what_it_looks_like() {
    // The same length as `/sh`.
    let lying = lie(&guest("guest-hostile-channel"), "process:/bin/sh", "process:/bin\u{202e}".as_bytes());
    let files = [("lying.wasm", lying), ("pure.wasm", guest("guest-pure"))];
    let bench = Bench::new(&files, "").await;
    let snapshot = bench.app.registry.snapshot();
    let reason = &snapshot.broken.first().expect("the file is refused").reason;
    assert!(reason.starts_with("its manifest has a bad need: \"process:/bin\"; "), "{reason}");
    bench.pure_works().await;
}

struct NoWords;

impl GrantBook for NoWords {
    fn words(&self, _: &str) -> Option<(Words, Option<Manifest>)> {
        None
    }
}

#[tokio::test]
async fn a_file_that_takes_the_name_of_what_came_with_the_host_does_not_get_its_place() {
    let bench = Bench::new(&[("pure.wasm", guest("guest-pure"))], "").await;
    let genuine = guest("guest-pure");
    let posing = lie(&genuine, "1.0.0-with-a-version", b"6.6.6-with-a-version");
    let folder = bench.path("plugins");
    std::fs::write(folder.join("aaa.wasm"), posing).unwrap();
    let shipped = BTreeSet::from([digest(&genuine)]);
    let good = bench.path("good");
    let host = Arc::clone(bench.host());
    let registry = Registry::new(folder, good, host, shipped, Wishes::default(), Arc::new(NoWords)).unwrap();
    registry.scan().await.unwrap();
    let snapshot = registry.snapshot();
    let plugin = &snapshot.plugins["tool-pure-with-a-name-that-is-found-among-the-bytes"];
    assert_eq!((plugin.file.as_str(), plugin.digest == digest(&genuine)), ("pure.wasm", true));
    let told: Vec<&str> = snapshot.broken.iter().map(|broken| broken.file.as_str()).collect();
    assert_eq!(told, ["aaa.wasm"]);
}

#[tokio::test]
async fn the_languages_own_library_finds_no_network() {
    let server = Server::start(plain).await;
    let bench = Bench::hostile("").await;
    let address = format!("127.0.0.1:{}", server.port);
    let told = bench.told(json!({ "attack": "connect", "address": address })).await;
    assert_eq!(told, "Err(PermissionDenied) Err(PermissionDenied)");
    assert_eq!(server.asked(), 0);
}

#[tokio::test]
async fn the_languages_own_library_finds_no_files_variables_or_arguments() {
    let bench = Bench::hostile("").await;
    let told = bench.told(json!({ "attack": "files" })).await;
    let (errors, counts) = told.split_at(told.len() - 4);
    assert_eq!(counts, " 0 0", "{told}");
    assert_eq!(errors.matches("Err(").count(), 2, "{told}");
    assert!(!std::path::Path::new("/tmp/mark").exists());
}
