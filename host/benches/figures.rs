//! `cargo xtask bench`: what the host costs, as a table. The model and the clients are native and in this process; they
//! take processor time too, so the figures are an upper bound. See `docs/figures.md` for what each line means.

#![expect(clippy::print_stdout, reason = "its table is its answer")]

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use futures_util::future::try_join_all;
use serde_json::json;
use tokio_util::sync::CancellationToken;

#[path = "../tests/hostile/bench.rs"]
#[expect(dead_code, reason = "made for the hostile suite; only its host with given plugins is used here")]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "it is a test's")]
mod bench;
#[path = "figures/channels.rs"]
mod channels;
#[path = "figures/client.rs"]
mod client;
#[path = "figures/lines.rs"]
mod lines;
#[path = "figures/messenger.rs"]
mod messenger;
#[path = "figures/model.rs"]
mod model;
#[path = "figures/plugins.rs"]
mod plugins;
#[path = "figures/process.rs"]
mod process;
#[path = "figures/table.rs"]
mod table;

use client::Client;
use model::Model;
use process::{Daemon, Home};
use table::{Row, percentile, size, time};

/// About what a person writes.
const MESSAGE: &str = "Please have a look at the folder with the pictures and tell me what is new in it.";

/// Each figure by its name on the command line.
const FIGURES: [&str; 14] = [
    "tool", "start", "idle", "web", "clients", "session", "deltas", "waiting", "channel", "socket", "channels",
    "plugins", "replace", "lines",
];

#[tokio::main]
async fn main() -> Result<()> {
    // `cargo bench` adds an option of its own.
    let wanted: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    if let Some(unknown) = wanted.iter().find(|name| !FIGURES.contains(&name.as_str())) {
        anyhow::bail!("there is no figure `{unknown}`; there are {}", FIGURES.join(", "));
    }
    let model = Model::start().await?;
    let (mut rows, mut failed) = (Vec::new(), Vec::new());
    for name in FIGURES.into_iter().filter(|name| wanted.is_empty() || wanted.iter().any(|one| one == name)) {
        eprintln!("measuring: {name}");
        match figure(name, &model).await {
            Ok(measured) => rows.extend(measured),
            // The others are still worth having.
            Err(error) => failed.push(format!("{name}: {error:#}")),
        }
    }
    rows.push(binary()?);
    println!("\n{}", machine()?);
    println!("{}", table::table(&rows));
    ensure!(failed.is_empty(), "not measured: {}", failed.join("; "));
    Ok(())
}

async fn figure(name: &str, model: &Model) -> Result<Vec<Row>> {
    match name {
        "tool" => tool().await,
        "start" => start(model),
        "idle" => idle(model).await,
        "web" => web(model).await,
        "clients" => clients(model).await,
        "session" => session(model).await,
        "deltas" => deltas(model).await,
        "waiting" => waiting(model).await,
        "channel" => channels::round_trip(model).await,
        "socket" => channels::busy_socket(model).await,
        "channels" => channels::idle(model).await,
        "plugins" => plugins::installed(&model.address).await,
        "replace" => plugins::replaced().await,
        _ => lines::lines(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../components")),
    }
}

/// What the figures depend on, and when they were taken.
fn machine() -> Result<String> {
    let cpu = std::fs::read_to_string("/proc/cpuinfo")?;
    let name = cpu.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or("\t: a processor");
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease")?;
    let cores = std::thread::available_parallelism()?;
    let syncs = process::sync_times(&std::env::temp_dir())?;
    let profile = if cfg!(debug_assertions) { "dev profile: no figures to show anyone" } else { "release" };
    Ok(format!(
        "{}, {cores} cores, Linux {}, {}; fsync of 4 KiB: p50 {}, p99 {}; {profile}\n",
        name.trim_start_matches(['\t', ' ', ':']),
        kernel.trim(),
        jiff::Zoned::now().date(),
        time(percentile(&syncs, 50)),
        time(percentile(&syncs, 99)),
    ))
}

/// One call of a tool in a fresh instance, in this process: no disk, no process, no network.
async fn tool() -> Result<Vec<Row>> {
    // The scope lets one command through, and it is not the guest's: the call is checked, noted and refused.
    let config = "[tools.pure]\n[tools.waiting]\ngrants = { shell = [\"true\"] }\n";
    let files = [("pure.wasm", bench::guest("guest-pure")), ("waiting.wasm", bench::guest("guest-waiting"))];
    let bench = bench::Bench::new(&files, config).await;
    let mut rows = Vec::new();
    for (tool, refused, what) in [
        ("pure.echo", false, "one tool call in a fresh instance, no capability"),
        ("waiting.run", true, "one tool call in a fresh instance, grant check and ledger in it"),
    ] {
        let mut times = Vec::new();
        for round in 0..5_500 {
            let arguments = json!({"text": "a text"});
            let started = Instant::now();
            let answer = bench.call(tool, arguments, CancellationToken::new()).await;
            let took = started.elapsed();
            ensure!(answer.is_err() == refused, "{tool} answered {answer:?}");
            if round >= 500 {
                times.push(took);
            }
        }
        let compared = "native original, its WASM skill: 185 ms; at least 100 µs, wanted 50 µs";
        rows.push(Row::of_times(what, &times, String::new(), compared));
    }
    Ok(rows)
}

/// From the start of the process to the open port, with components that were compiled before.
fn start(model: &Model) -> Result<Vec<Row>> {
    let home = Home::new(&model.address)?;
    let (daemon, first) = home.start()?;
    daemon.end()?;
    let (mut open, mut page) = (Vec::new(), Vec::new());
    for _ in 0..40 {
        let (daemon, took) = home.start()?;
        open.push(took.open);
        page.push(took.page);
        daemon.end()?;
    }
    let compared = "native original: 16 ms; at least 60 ms, wanted 16 ms";
    Ok(vec![
        Row::of_times("start to open port, warm cache", &open, String::new(), compared),
        Row::of_times("start to the page, warm cache", &page, String::new(), ""),
        Row::of_times("the first start of all to the page", &[first.page], String::new(), ""),
    ])
}

async fn idle(model: &Model) -> Result<Vec<Row>> {
    let home = Home::new(&model.address)?;
    home.start()?.0.end()?;
    let (daemon, _) = home.start()?;
    let fresh = settled(&daemon).await?;
    let mut client = Client::new(&daemon.address, &home.token()?, "idle").await?;
    client.round(MESSAGE).await?;
    drop(client);
    let used = settled(&daemon).await?;
    let compared = "native original: 17.7 MB; at least 40 MB, wanted 18 MB";
    Ok(vec![
        Row::of_memory("idle, stock plugins, warm cache", fresh, compared),
        Row::of_memory("idle, after a message through all three components", used, ""),
    ])
}

/// Components that nobody calls have given their memory back by then.
const REST: Duration = Duration::from_secs(17);

/// What the process has when it has rested, and that has not changed for a second.
async fn settled(daemon: &Daemon) -> Result<u64> {
    tokio::time::sleep(REST).await;
    let mut last = daemon.usage()?.resident;
    for _ in 0..30 {
        tokio::time::sleep(Duration::from_secs(1)).await;
        let now = daemon.usage()?.resident;
        if now == last {
            break;
        }
        last = now;
    }
    Ok(last)
}

/// From a message on the websocket to its reply on it, all of it stored.
async fn web(model: &Model) -> Result<Vec<Row>> {
    let home = Home::new(&model.address)?;
    let (daemon, _) = home.start()?;
    let token = home.token()?;
    let mut times = Vec::new();
    for session in 0..11 {
        let mut client = Client::new(&daemon.address, &token, &format!("web-{session}")).await?;
        for _ in 0..50 {
            let took = client.round(MESSAGE).await?;
            // The first session loads the components.
            if session > 0 {
                times.push(took);
            }
        }
    }
    let memory = size(daemon.usage()?.resident);
    let compared = "native original: 44 ms; at least 4 ms, wanted 2 ms";
    Ok(vec![Row::of_times("web round trip, one client, durable", &times, memory, compared)])
}

async fn clients(model: &Model) -> Result<Vec<Row>> {
    const CLIENTS: usize = 50;
    const ROUNDS: usize = 60;
    let home = Home::new(&model.address)?;
    let (daemon, _) = home.start()?;
    let token = home.token()?;
    let mut all = Vec::new();
    for number in 0..CLIENTS {
        all.push(Client::new(&daemon.address, &token, &format!("clients-{number}")).await?);
    }
    all.first_mut().context("a client")?.round(MESSAGE).await?;
    let started = Instant::now();
    let rounds = all.into_iter().map(|mut client| async move {
        let mut times = Vec::new();
        for _ in 0..ROUNDS {
            times.push(client.round(MESSAGE).await?);
        }
        anyhow::Ok(times)
    });
    let times: Vec<Duration> =
        try_join_all(rounds.map(tokio::spawn)).await?.into_iter().collect::<Result<Vec<_>>>()?.concat();
    let rate = times.len() as f64 / started.elapsed().as_secs_f64();
    let memory = size(daemon.usage()?.resident);
    let compared = "native original: 230–280/s, p99 0.7–1.2 s; at least 700/s, wanted 1,400/s and 150 ms";
    Ok(vec![Row::of_times(&format!("50 clients at once: {rate:.0} messages/s"), &times, memory, compared)])
}

/// A conversation that grows: what a message costs at its end, beside what it cost at its beginning.
async fn session(model: &Model) -> Result<Vec<Row>> {
    let home = Home::new(&model.address)?;
    let (daemon, _) = home.start()?;
    let token = home.token()?;
    let mut warm = Client::new(&daemon.address, &token, "warm").await?;
    for _ in 0..20 {
        warm.round(MESSAGE).await?;
    }
    let mut client = Client::new(&daemon.address, &token, "long").await?;
    let mut times = Vec::new();
    // A message and its reply each.
    for _ in 0..1_500 {
        times.push(client.round(MESSAGE).await?);
    }
    let (first, last) = (&times[..20], &times[times.len() - 20..]);
    let (before, after) = (percentile(first, 50), percentile(last, 50));
    let ratio = after.as_secs_f64() / before.as_secs_f64();
    let memory = size(daemon.usage()?.resident);
    Ok(vec![
        Row::of_times("one session, its first 20 messages", first, String::new(), "native original: 2.7 ms"),
        Row::of_times(
            &format!("one session, the last 20 of 3,000 messages: {ratio:.2} times"),
            last,
            memory,
            "native original: 25.9 ms; at least 1.5 times, wanted flat",
        ),
        Row::of_times("one session, all 3,000 messages", &times, String::new(), ""),
    ])
}

/// What a piece of a streamed answer adds: long answers beside short ones.
async fn deltas(model: &Model) -> Result<Vec<Row>> {
    const PIECES: u32 = 4_000;
    let home = Home::new(&model.address)?;
    let (daemon, _) = home.start()?;
    let token = home.token()?;
    let mut short = Client::new(&daemon.address, &token, "short").await?;
    let mut base = Vec::new();
    for _ in 0..40 {
        base.push(short.round(&format!("{} 1", model::PIECES)).await?);
    }
    let base = percentile(&base[10..], 50);
    let (mut times, mut processor) = (Vec::new(), Duration::ZERO);
    const ANSWERS: u32 = 20;
    for number in 0..ANSWERS {
        let mut client = Client::new(&daemon.address, &token, &format!("deltas-{number}")).await?;
        let before = daemon.usage()?.processor;
        let took = client.round(&format!("{} {PIECES}", model::PIECES)).await?;
        processor += daemon.usage()?.processor.saturating_sub(before);
        times.push(took.saturating_sub(base) / PIECES);
    }
    let memory = size(daemon.usage()?.resident);
    let each = time(processor / (PIECES * ANSWERS));
    Ok(vec![Row::of_times(
        &format!("host time added by each streamed delta ({each} of a processor)"),
        &times,
        memory,
        "at least 200 µs, wanted 50 µs",
    )])
}

/// Turns that all wait for a model at the same time.
async fn waiting(model: &Model) -> Result<Vec<Row>> {
    const TURNS: usize = 1_000;
    let home = Home::new(&model.address)?;
    let (daemon, _) = home.start()?;
    let token = home.token()?;
    let mut all = Vec::new();
    for number in 0..TURNS {
        all.push(Client::new(&daemon.address, &token, &format!("waiting-{number}")).await?);
    }
    for client in &mut all {
        client.say(model::WAIT).await?;
    }
    let end = Instant::now() + Duration::from_secs(100);
    while model.waiting() < TURNS {
        ensure!(Instant::now() < end, "only {} of {TURNS} turns reached the model", model.waiting());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let memory = daemon.usage()?.resident;
    let started = Instant::now();
    model.release();
    try_join_all(all.iter_mut().map(|client| client.until("reply"))).await?;
    let took = started.elapsed();
    Ok(vec![Row {
        what: format!("1,000 turns wait for a slow model; all served {} after its answer", time(took)),
        p50: String::new(),
        p99: String::new(),
        memory: size(memory),
        compared: "at least 400 MB, wanted 150 MB".into(),
    }])
}

fn binary() -> Result<Row> {
    let bytes = std::fs::metadata(env!("CARGO_BIN_EXE_openpista-host"))?.len();
    Ok(Row {
        what: format!("the executable, components inside: {}", size(bytes)),
        p50: String::new(),
        p99: String::new(),
        memory: String::new(),
        compared: "native original: 46 MB; at least 40 MB, wanted 25 MB".into(),
    })
}

impl Row {
    fn of_times(what: &str, times: &[Duration], memory: String, compared: &str) -> Self {
        let p50 = time(percentile(times, 50));
        let p99 = time(percentile(times, 99));
        Self { what: what.into(), p50, p99, memory, compared: compared.into() }
    }

    fn of_memory(what: &str, bytes: u64, compared: &str) -> Self {
        let none = String::new;
        Self { what: what.into(), p50: none(), p99: none(), memory: size(bytes), compared: compared.into() }
    }
}
