//! A channel that opens more than it was granted, and one that reaches for what is not its own.

use std::path::Path;
use std::sync::Arc;

use openpista_host::admin::{Link, Request};
use openpista_host::app::Admin;
use openpista_host::capability::connection::Connections as _;
use openpista_host::plugin::channel::ChannelInstance;
use openpista_host::plugin::registry::RoleKind;
use openpista_host::transport::{Event, Frame, State, TransportStatus};
use openpista_host::wit::role::channel::Source;
use serde_json::{Value, json};

use super::bench::{Bench, guest, lives, until};
use super::reach::{Server, plain};

/// The channel with these settings and grants, opened as far as it may be.
async fn bench(settings: &Value, grants: &str) -> Bench {
    let files = [("channel.wasm", guest("guest-hostile-channel")), ("pure.wasm", guest("guest-pure"))];
    let settings: Vec<_> =
        settings.as_object().unwrap().iter().map(|(key, value)| format!("{key} = {value}")).collect();
    let config = format!("[channels.hostile]\nsettings = {{ {} }}\n{grants}\n", settings.join(", "));
    let bench = Bench::new(&files, &config).await;
    bench.app.plugins_changed().await;
    bench
}

/// Why it is not open.
fn failed(bench: &Bench) -> Option<String> {
    let all = bench.app.gateway.channel_status();
    all.into_iter().find(|one| one.name == "hostile").expect("the channel is loaded").failed
}

fn status(bench: &Bench) -> Option<TransportStatus> {
    bench.app.hub.status().pop()
}

fn stored(bench: &Bench, key: &str) -> Option<String> {
    let value = bench.app.store.read(|tx| tx.state_get("hostile", key)).unwrap();
    value.map(|value| String::from_utf8(value).unwrap())
}

fn denied(item: &str) -> Option<String> {
    Some(format!(
        "hostile may not use connection for {item}; to allow it: openpista-host plugin allow hostile connection={item}"
    ))
}

/// A process that leaves a mark and stays.
fn marking(mark: &Path) -> Vec<String> {
    let script = format!("echo $$ > '{0}.part'; mv '{0}.part' '{0}'; exec cat", mark.display());
    vec!["/bin/sh".into(), "-c".into(), script]
}

#[tokio::test]
async fn a_channel_opens_nothing_that_it_was_not_granted() {
    let folder = tempfile::tempdir().unwrap();
    let mark = folder.path().join("pid");
    for (opens, item) in [
        ("process", "process:/bin/sh"),
        ("http", "http"),
        ("websocket", "websocket"),
        ("console", "console"),
        ("quic", "quic"),
        ("pigeon", "pigeon"),
    ] {
        let bench = bench(&json!({ "opens": opens, "command": marking(&mark) }), "").await;
        assert_eq!(failed(&bench), denied(item));
        assert_eq!(status(&bench), None, "{opens}");
        // Nothing of what the call held took effect either.
        assert_eq!(stored(&bench, "opened"), None);
        bench.pure_works().await;
    }
    assert!(!mark.exists());
}

#[tokio::test]
async fn a_grant_of_one_process_opens_that_and_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let mark = folder.path().join("pid");
    let granted = "grants = { connection = [\"process:/bin/sh\", \"process:/bin/bash\", \"console\"] }";
    // What the manifest does not ask for is nobody's to have, whatever is granted.
    let mut command = marking(&mark);
    command[0] = "/bin/bash".into();
    let other = bench(&json!({ "opens": "process", "command": command }), granted).await;
    assert_eq!(failed(&other), denied("process:/bin/bash"));
    let console = bench(&json!({ "opens": "console" }), granted).await;
    assert_eq!(failed(&console), denied("console"));
    assert!(!mark.exists());

    let one = bench(&json!({ "opens": "process", "command": marking(&mark) }), granted).await;
    assert_eq!(failed(&one), None);
    let pid = until(|| std::fs::read_to_string(&mark).ok()?.trim().parse::<i32>().ok()).await;
    assert!(lives(pid));
    assert_eq!(stored(&one, "opened"), Some("yes".into()));
    one.app.hub.shutdown().await;
    until(|| (!lives(pid)).then_some(())).await;
}

#[tokio::test]
async fn a_grant_that_is_taken_away_ends_what_was_opened_with_it() {
    let folder = tempfile::tempdir().unwrap();
    let mark = folder.path().join("pid");
    let granted = "grants = { connection = [\"process:/bin/sh\"] }";
    let bench = bench(&json!({ "opens": "process", "command": marking(&mark) }), granted).await;
    let pid = until(|| std::fs::read_to_string(&mark).ok()?.trim().parse::<i32>().ok()).await;
    let link = Link::Here(Arc::new(Admin(Arc::clone(&bench.app))));
    link.all(Request::PluginDeny { name: "channel-hostile".into(), grants: vec![] }).await.unwrap();
    bench.app.plugins_changed().await;
    assert_eq!(failed(&bench), denied("process:/bin/sh"));
    assert_eq!(status(&bench), None);
    until(|| (!lives(pid)).then_some(())).await;
}

#[tokio::test]
async fn what_a_channel_dials_and_polls_passes_the_gate_of_http() {
    let server = Server::start(plain).await;
    let address = format!("localhost:{}", server.port);
    for (opens, scheme) in [("poll", "http"), ("dial", "ws")] {
        let bench = bench(&json!({ "opens": opens, "url": format!("{scheme}://{address}/") }), "").await;
        assert_eq!(failed(&bench), None);
        let reason = until(|| match status(&bench)?.state {
            State::BackingOff { reason, .. } => Some(reason),
            _ => None,
        })
        .await;
        assert!(reason.contains(&format!("hostile may not use http for {address}")), "{opens}: {reason}");
        bench.app.hub.shutdown().await;
    }
    assert_eq!(server.asked(), 0);
}

#[tokio::test]
async fn a_connection_of_somebody_else_is_not_there() {
    let other = "grants = { connection = [\"process:/bin/sh\"] }\n[channels.other]\nplugin = \"channel-hostile\"";
    let command = ["/bin/sh", "-c", "exec cat"];
    let bench = bench(&json!({ "opens": "process", "command": command }), other).await;
    let id = until(|| stored(&bench, "connection")).await;
    let instance = Arc::clone(bench.app.registry.snapshot().get(RoleKind::Channel, "other").unwrap());
    let other = ChannelInstance { instance, host: Arc::clone(bench.host()) };
    let source = Source { transport: "way".into(), connection: 1, tags: Vec::new() };
    let ((), held) = other.receive(&Event::Frame((source, Frame::Text(id.clone()))), 0).await.unwrap();
    let gone = format!("Err(Error::NotFound(\"connection {id} is closed\"))");
    let told = held.state.set["told"].clone().map(|told| String::from_utf8(told).unwrap());
    assert_eq!(told, Some(format!("{gone} {gone} {gone}")));
    assert!(held.effects.is_empty());
    assert!(bench.app.hub.is_open("hostile", id.parse().unwrap()));
    bench.app.hub.shutdown().await;
}

#[tokio::test]
async fn an_alarm_that_is_set_while_it_opens_for_the_first_time_rings() {
    let bench = bench(&json!({ "alarm": 100 }), "").await;
    assert_eq!(until(|| stored(&bench, "alarmed")).await, "soon");
    bench.app.hub.shutdown().await;
}
