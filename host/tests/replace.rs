//! A component that is replaced again and again: neither memory nor the cache grow with it. A file of its own, for the
//! memory of the process is looked at and nothing else may run in it.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "clippy.toml exempts test functions only, and this file is nothing but a test"
)]

#[path = "hostile/bench.rs"]
#[allow(dead_code, reason = "made for the hostile suite; only its host with given plugins is used here")]
mod bench;

use bench::{Bench, guest, lie};

const VERSION: &str = "1.0.0-with-a-version-that-is-found-among-the-bytes";
/// Some replacements before memory is looked at: allocators and caches fill up.
const WARM: usize = 40;
/// And some more.
const REPLACED: usize = 160;
/// What a replacement may leave behind on the way, in bytes: far less than a component or what was compiled of it.
const EACH_MOST: usize = 20_000;

/// In memory now, in bytes.
fn resident() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    statm.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() * 4096
}

async fn replace(bench: &Bench, numbers: std::ops::Range<usize>) {
    let whole = guest("guest-pure");
    for number in numbers {
        let version = format!("1.0.{number:05}");
        // No zeros at the front of a number: a semantic version has none.
        let version = version.replacen("1.0.", "1.0.1", 1);
        let version = format!("{version}-{}", "v".repeat(VERSION.len() - version.len() - 1));
        std::fs::write(bench.path("plugins/pure.wasm"), lie(&whole, VERSION, version.as_bytes())).unwrap();
        assert!(bench.app.registry.scan().await.unwrap(), "{number}");
        bench.app.plugins_changed().await;
        bench.pure_works().await;
    }
}

async fn leaves_nothing_behind(many: usize) {
    let bench = Bench::new(&[("pure.wasm", guest("guest-pure"))], "").await;
    replace(&bench, 0..WARM).await;
    let before = resident();
    replace(&bench, WARM..WARM + many).await;
    let grown = resident().saturating_sub(before);
    assert!(grown < many * EACH_MOST, "{grown} bytes more after {many} replacements");
    let files = |folder: &str| {
        let entries = std::fs::read_dir(bench.path(folder)).unwrap();
        entries.flatten().filter(|entry| entry.path().is_file()).count()
    };
    // The bytes, what was compiled and what it says of itself; of the last ones, for a call may run on one still.
    assert!(files("cache") <= 6 && files("cache/good") <= 4, "{} {}", files("cache"), files("cache/good"));
    let list = bench.app.registry.snapshot();
    assert_eq!((list.plugins.len(), list.broken.len()), (1, 0));
}

#[tokio::test]
async fn a_component_that_is_replaced_again_and_again_leaves_memory_and_cache_as_they_were() {
    leaves_nothing_behind(REPLACED).await;
}

#[tokio::test]
#[ignore = "long; `cargo xtask soak`"]
async fn soak_a_thousand_replacements_leave_memory_and_cache_as_they_were() {
    leaves_nothing_behind(1_000).await;
}
