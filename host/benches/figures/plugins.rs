//! What plugins cost that nobody uses, and what their replacement leaves behind.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::bench::{self, Bench};
use super::process::{Daemon, Home};
use super::settled;
use super::table::{Row, percentile, size, time};

const NAME: &str = "tool-pure-with-a-name-that-is-found-among-the-bytes";
const VERSION: &str = "1.0.0-with-a-version-that-is-found-among-the-bytes";
const TOOL: &str = "pure.echo";

/// So many, and so many more.
const FEW: usize = 10;
const MANY: usize = 200;
const STARTS: usize = 15;

/// The harmless guest under another name, with a tool of another name.
fn copy(whole: &[u8], number: usize) -> Vec<u8> {
    let name = format!("tool-copy-{number:03}");
    let name = format!("{name}-{}", "n".repeat(NAME.len() - name.len() - 1));
    let tool = format!("pure.{number:04}");
    bench::lie(&bench::lie(whole, NAME, name.as_bytes()), TOOL, tool.as_bytes())
}

/// A home with so many plugins besides those that come with the host, which has been started before.
fn with(model: &str, many: usize) -> Result<Home> {
    let home = Home::new(model)?;
    let whole = bench::guest("guest-pure");
    let folder = home.plugins()?;
    for number in 0..many {
        std::fs::write(folder.join(format!("copy-{number:03}.wasm")), copy(&whole, number))?;
    }
    home.start()?.0.end()?;
    Ok(home)
}

fn starts(home: &Home) -> Result<(Vec<Duration>, Vec<Duration>)> {
    let (mut open, mut page) = (Vec::new(), Vec::new());
    for _ in 0..STARTS {
        let (daemon, took) = home.start()?;
        open.push(took.open);
        page.push(took.page);
        daemon.end()?;
    }
    Ok((open, page))
}

async fn idle(home: &Home) -> Result<u64> {
    let (daemon, _): (Daemon, _) = home.start()?;
    settled(&daemon).await
}

/// Ten installed plugins beside two hundred: the start, and what each costs that nobody uses.
pub async fn installed(model: &str) -> Result<Vec<Row>> {
    let (few, many) = (with(model, FEW)?, with(model, MANY)?);
    let (few_open, few_page) = starts(&few)?;
    let (many_open, many_page) = starts(&many)?;
    let (less, more) = (idle(&few).await?, idle(&many).await?);
    let ratio =
        |one: &[Duration], other: &[Duration]| percentile(other, 50).as_secs_f64() / percentile(one, 50).as_secs_f64();
    let each = more.saturating_sub(less) / u64::try_from(MANY - FEW)?;
    Ok(vec![
        Row::of_times("start to open port, 10 plugins more", &few_open, size(less), ""),
        Row::of_times(
            &format!("start to open port, 200 plugins more: {:.2} times", ratio(&few_open, &many_open)),
            &many_open,
            size(more),
            "at most 2 times",
        ),
        Row::of_times(
            &format!(
                "start to the page, 200 plugins more: {:.2} times of {}",
                ratio(&few_page, &many_page),
                time(percentile(&few_page, 50))
            ),
            &many_page,
            String::new(),
            "at most 2 times",
        ),
        Row {
            what: format!("each plugin that nobody uses: {} KB", each / 1_000),
            p50: String::new(),
            p99: String::new(),
            memory: String::new(),
            compared: "at most 60 KB".into(),
        },
    ])
}

/// A component that is replaced a thousand times, each time loaded and called.
pub async fn replaced() -> Result<Vec<Row>> {
    const TIMES: usize = 1_000;
    const WARM: usize = 100;
    let whole = bench::guest("guest-pure");
    let bench = Bench::new(&[("pure.wasm", whole.clone())], "").await;
    let (mut before, mut times) = (0, Vec::new());
    for number in 0..WARM + TIMES {
        if number == WARM {
            before = resident()?;
        }
        let version = format!("1.0.1{number:05}");
        let version = format!("{version}-{}", "v".repeat(VERSION.len() - version.len() - 1));
        std::fs::write(bench.path("plugins/pure.wasm"), bench::lie(&whole, VERSION, version.as_bytes()))?;
        let started = std::time::Instant::now();
        ensure!(bench.app.registry.scan().await?, "the replacement was not seen");
        bench.app.plugins_changed().await;
        let answer = bench.call(TOOL, json!({}), CancellationToken::new()).await;
        ensure!(answer.is_ok(), "the tool answered {answer:?}");
        times.push(started.elapsed());
    }
    let grown = resident()?.saturating_sub(before);
    Ok(vec![Row::of_times(
        &format!("replaced 1,000 times, compiled and called each time: {} more", size(grown)),
        &times,
        size(resident()?),
        "flat",
    )])
}

/// Of this process.
fn resident() -> Result<u64> {
    let statm = std::fs::read_to_string("/proc/self/statm")?;
    Ok(statm.split_whitespace().nth(1).context("a field of /proc")?.parse::<u64>()? * 4096)
}
