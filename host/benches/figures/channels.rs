//! What channels cost: a message through one, a busy socket, idle ones.

use std::time::Duration;

use anyhow::Result;

use super::messenger::Messenger;
use super::model::Model;
use super::process::Home;
use super::table::{Row, size};
use super::{MESSAGE, settled};
use crate::client::Client;

/// Of a server in which people talk with each other.
const SERVER: u64 = 900;

fn discord(name: &str, messenger: &Messenger) -> String {
    let (api, gateway) = (&messenger.api, &messenger.gateway);
    format!(
        "[channels.{name}]\nplugin = \"channel-discord\"\ncontacts = \"open\"\nsecrets = {{ bot-token = \"bench-token-1234\" }}\n\
         settings = {{ api = \"{api}\", gateway = \"{gateway}\", stream = false }}\n"
    )
}

/// From a frame on a socket that the host dialled to the request that shows the reply, all of it stored.
pub async fn round_trip(model: &Model) -> Result<Vec<Row>> {
    let mut messenger = Messenger::start().await?;
    let home = Home::with(&model.address, &discord("discord", &messenger))?;
    let (daemon, _) = home.start()?;
    messenger.signed_in().await?;
    let mut times = Vec::new();
    for chat in 0..11 {
        for _ in 0..50 {
            let started = std::time::Instant::now();
            messenger.says(1_000 + chat, None)?;
            let took = messenger.shown().await?.duration_since(started);
            // The first one loads the components.
            if chat > 0 {
                times.push(took);
            }
        }
    }
    let memory = size(daemon.usage()?.resident);
    let what = "a frame in to a frame out through a messenger's channel, durable";
    Ok(vec![Row::of_times(what, &times, memory, "at least 3 ms")])
}

/// Many frames over one dialled socket, each a fresh instance that stores how far it is.
pub async fn busy_socket(model: &Model) -> Result<Vec<Row>> {
    const RATE: u32 = 1_000;
    const SECONDS: u32 = 10;
    let mut messenger = Messenger::start().await?;
    let home = Home::with(&model.address, &discord("discord", &messenger))?;
    let (daemon, _) = home.start()?;
    messenger.signed_in().await?;
    messenger.says(1_000, None)?;
    messenger.shown().await?;
    let before = daemon.usage()?.processor;
    let mut tick = tokio::time::interval(Duration::from_millis(10));
    let started = std::time::Instant::now();
    for _ in 0..SECONDS * 100 {
        tick.tick().await;
        for _ in 0..RATE / 100 {
            messenger.says(2_000, Some(SERVER))?;
        }
    }
    // Behind all of them: when it is answered, all are taken.
    messenger.says(1_000, None)?;
    let end = messenger.shown().await?;
    let processor = daemon.usage()?.processor.saturating_sub(before);
    let share = processor.as_secs_f64() / f64::from(SECONDS) * 100.0;
    let late = end.duration_since(started).saturating_sub(Duration::from_secs(SECONDS.into()));
    let memory = size(daemon.usage()?.resident);
    Ok(vec![Row {
        what: format!(
            "1,000 frames a second over one dialled socket: {share:.0} % of a core, {late:.0?} behind at the end"
        ),
        p50: String::new(),
        p99: String::new(),
        memory,
        compared: "at least 50 % of a core".into(),
    }])
}

/// Six channels that are connected, and nobody writes.
pub async fn idle(model: &Model) -> Result<Vec<Row>> {
    let mut messenger = Messenger::start().await?;
    let api = messenger.api.clone();
    let telegram = |name: &str| {
        format!(
            "[channels.{name}]\nplugin = \"channel-telegram\"\nsecrets = {{ bot-token = \"bench-token-1234\" }}\n\
             settings = {{ api = \"{api}\" }}\n"
        )
    };
    let hooks = format!(
        "[channels.slack]\nsecrets = {{ bot-token = \"bench-token-1234\", signing-secret = \"bench-secret-1234\" }}\n\
         settings = {{ mode = \"events\", api = \"{api}\" }}\n\
         [channels.whatsapp]\nsecrets = {{ token = \"bench-token-1234\", app-secret = \"bench-secret-1234\", verify-token = \"bench-verify-1234\" }}\n\
         settings = {{ mode = \"cloud\", api = \"{api}\" }}\n"
    );
    let tables =
        [discord("discord", &messenger), discord("other", &messenger), telegram("telegram"), telegram("more"), hooks];
    let mut resident = Vec::new();
    for channels in ["", &tables.concat()] {
        let home = Home::with(&model.address, channels)?;
        // The first start compiles.
        home.start()?.0.end()?;
        let (daemon, _) = home.start()?;
        if !channels.is_empty() {
            messenger.signed_in().await?;
        }
        Client::new(&daemon.address, &home.token()?, "idle").await?.round(MESSAGE).await?;
        resident.push(settled(&daemon).await?);
    }
    let more = resident[1].saturating_sub(resident[0]);
    let what = format!("six idle channels of four messengers: {} more", size(more));
    Ok(vec![Row::of_memory(&what, resident[1], "at least 6 MB more")])
}
