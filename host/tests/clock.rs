//! The machine's clock jumps while the host runs: what waits goes on, and nothing is lost or done twice.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "clippy exempts only functions that are tests themselves, not what they share"
)]

#[allow(dead_code, reason = "the tests of the channel use all of it")]
#[path = "telegram/bot_api.rs"]
mod bot_api;
mod daemon;
mod messenger;
#[path = "staged/skip.rs"]
mod skip;

use std::path::{Path, PathBuf};

use bot_api::{BotApi, TOKEN};
use messenger::home::{home, said, status};
use messenger::model::{Model, echo};
use serde_json::json;
use skip::skip;

const ANN: i64 = 7;

/// The library that the program `faketime` loads: where it lies depends on the machine.
fn faketime() -> Option<PathBuf> {
    let found = |folder: PathBuf| Some(folder.join("faketime/libfaketime.so.1")).filter(|path| path.exists());
    let lib = Path::new("/usr/lib");
    let folders = std::fs::read_dir(lib).ok()?.flatten().map(|entry| entry.path());
    found(lib.into()).or_else(|| folders.filter(|path| path.is_dir()).find_map(found))
}

#[tokio::test]
async fn a_clock_that_jumps_forth_and_back_stops_no_conversation() {
    const NAME: &str = "clock::a_clock_that_jumps_forth_and_back_stops_no_conversation";
    let Some(library) = faketime() else { return skip(NAME, "faketime is not installed") };
    let api = BotApi::start().await;
    let model = Model::start(echo).await;
    let channel = format!(
        "[channels.telegram]\ncontacts = \"allow\"\nallow = [\"{ANN}\"]\nsecrets = {{ bot-token = \"{TOKEN}\" }}\n\
         settings = {{ api = \"{}\" }}",
        api.address()
    );
    let home = home(&model, "channel-telegram", &channel, "");
    let clock = home.workspace().join("clock");
    let set = |time: &str| std::fs::write(&clock, format!("{time}\n")).unwrap();
    set("+0");
    let preload = format!("LD_PRELOAD={}", library.display());
    let file = format!("FAKETIME_TIMESTAMP_FILE={}", clock.display());
    // Timers have a clock of their own, which no one sets.
    let around = ["env", &preload, &file, "FAKETIME_NO_CACHE=1", "FAKETIME_DONT_FAKE_MONOTONIC=1"];
    let daemon = home.start_in(&around).await;
    let mut words = Vec::new();
    for (number, time) in ["+0", "+3h", "-3h", "+400d", "+0"].into_iter().enumerate() {
        set(time);
        let text = format!("at {time}, number {number}");
        api.says(ANN, ANN, &text, json!({}));
        api.shows(ANN, &format!("answer to {text}")).await;
        status(&home, "telegram", |row| row.contains("\"live\"")).await;
        words.push(text);
    }
    assert_eq!(said(&home, &format!("telegram:{ANN}")).await, words);
    // The host did see these times.
    let sessions = home.json(&["session", "list"]).await;
    let shown = home.json(&["session", "show", sessions[0]["id"].as_str().unwrap()]).await;
    let times: Vec<u64> = shown.iter().filter_map(|line| line["message"]["message"]["at"].as_u64()).collect();
    assert!(!times.is_empty(), "{shown:?}");
    let spread = times.iter().max().unwrap() - times.iter().min().unwrap();
    assert!(spread > 399 * 24 * 3_600_000, "{times:?}");
    let answers: Vec<String> = words.iter().map(|text| format!("answer to {text}")).collect();
    assert_eq!(api.texts(ANN), answers);
    let (exit, out, error) = home.said(&["ledger", "verify"]).await;
    assert_eq!(exit, Some(0), "{out}{error}");
    // What the next process finds was stored at times that are not in order.
    daemon.kill().await;
    let _daemon = home.start().await;
    api.says(ANN, ANN, "once more", json!({}));
    api.shows(ANN, "answer to once more").await;
    assert_eq!(api.texts(ANN).len(), words.len() + 1);
}
