//! An instance that breaks again and again is set aside: its calls are refused at once, nothing of a channel's is lost,
//! everybody else goes on, and a word of the operator or another file ends it.

use std::sync::Arc;

use openpista_host::admin::{Link, PluginSummary, Request, Response, SaidLine, Standing};
use openpista_host::agent::ports::ToolError;
use openpista_host::app::Admin;
use openpista_host::plugin::instance::Instance;
use openpista_host::plugin::registry::RoleKind;
use openpista_host::transport::{Event, EventOutcome, Frame, Receiver as _};
use openpista_host::wit::role::channel::Source;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::bench::{Bench, guest, lie, until};

fn link(bench: &Bench) -> Link {
    Link::Here(Arc::new(Admin(Arc::clone(&bench.app))))
}

async fn inspect(bench: &Bench, name: &str) -> PluginSummary {
    match link(bench).all(Request::PluginInspect { name: name.into() }).await.unwrap().pop() {
        Some(Response::Plugin(summary)) => *summary,
        other => panic!("{other:?}"),
    }
}

async fn said(bench: &Bench, name: &str) -> Vec<SaidLine> {
    let request = Request::PluginLog { name: name.into(), last: 50, follow: false };
    let lines = link(bench).all(request).await.unwrap().into_iter().map(|response| match response {
        Response::Said(line) => line,
        other => panic!("{other:?}"),
    });
    lines.collect()
}

async fn resume(bench: &Bench, name: &str) -> Vec<String> {
    match link(bench).all(Request::PluginResume { name: name.into() }).await.unwrap().pop() {
        Some(Response::Resumed { instances }) => instances,
        other => panic!("{other:?}"),
    }
}

/// A call that traps, about something of its own.
async fn trap(bench: &Bench, about: usize) -> String {
    let arguments = json!({ "attack": "panic", "about": about });
    match bench.call("attack", arguments, CancellationToken::new()).await {
        Err(ToolError::Other(why)) => why,
        other => panic!("{other:?}"),
    }
}

fn refused(why: &str) -> bool {
    why.starts_with("hostile is set aside for ") && why.ends_with("openpista-host plugin resume hostile")
}

#[tokio::test]
async fn a_tool_that_traps_again_and_again_is_set_aside_until_the_operator_says_otherwise() {
    let bench = Bench::hostile("").await;
    for about in 0..5 {
        let why = trap(&bench, about).await;
        assert!(!refused(&why), "{about}: {why}");
    }
    let why = trap(&bench, 5).await;
    assert!(refused(&why), "{why}");
    bench.pure_works().await;

    let shown = inspect(&bench, "hostile").await;
    assert_eq!(shown.standing, Standing::Aside);
    let [instance] = shown.serving.as_slice() else { panic!("{shown:?}") };
    let aside = instance.aside.as_ref().expect("it is set aside");
    assert!(aside.left <= 30_000 && aside.times == 1, "{aside:?}");
    // The list of tools, five that trapped; the sixth was none.
    assert_eq!((instance.counts.calls, instance.counts.traps, instance.counts.refused), (6, 5, 1));
    assert!(instance.counts.memory > 0 && instance.counts.p99 >= instance.counts.p50, "{instance:?}");
    let lines = said(&bench, "hostile").await;
    let host: Vec<&SaidLine> = lines.iter().filter(|line| line.from == "host").collect();
    assert!(host.iter().any(|line| line.text.starts_with("it is set aside for 30 s")), "{lines:?}");
    assert_eq!(host.iter().filter(|line| line.text.starts_with("tools.call: tool-hostile failed")).count(), 5);
    // What the guest itself wrote when it panicked.
    assert!(lines.iter().any(|line| line.from == "stderr" && line.text.contains("panicked")), "{lines:?}");

    assert_eq!(resume(&bench, "tool-hostile").await, ["hostile"]);
    let why = trap(&bench, 6).await;
    assert!(!refused(&why), "{why}");
    assert_eq!(resume(&bench, "hostile").await, Vec::<String>::new());
    assert_eq!(inspect(&bench, "hostile").await.standing, Standing::Ready);
}

#[tokio::test]
async fn the_same_call_again_and_again_and_calls_that_are_answered_set_nobody_aside() {
    let bench = Bench::hostile("").await;
    for _ in 0..10 {
        let why = trap(&bench, 0).await;
        assert!(!refused(&why), "{why}");
    }
    // An error of its own is an answer.
    for about in 0..10 {
        let arguments = json!({ "attack": "none", "about": about });
        let answer = bench.call("attack", arguments, CancellationToken::new()).await;
        assert!(matches!(answer, Err(ToolError::InvalidArguments(_))), "{answer:?}");
    }
    let shown = inspect(&bench, "hostile").await;
    assert_eq!((shown.standing, shown.serving[0].counts.errors), (Standing::Ready, 10));
}

#[tokio::test]
async fn another_file_begins_with_a_clean_slate() {
    let bench = Bench::hostile("").await;
    for about in 0..5 {
        trap(&bench, about).await;
    }
    assert_eq!(inspect(&bench, "hostile").await.standing, Standing::Aside);
    let other =
        lie(&guest("guest-hostile"), "All of them; the argument says which", b"All of them; the argument says what!");
    std::fs::write(bench.path("plugins/hostile.wasm"), other).unwrap();
    assert!(bench.app.registry.scan().await.unwrap());
    bench.app.plugins_changed().await;
    let why = trap(&bench, 5).await;
    assert!(!refused(&why), "{why}");
}

/// A frame from a connection of its own.
fn frame(connection: u64, text: &str) -> Event {
    let source = Source { transport: "way".into(), connection, tags: Vec::new() };
    Event::Frame((source, Frame::Text(text.into())))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_channel_that_traps_at_some_messages_loses_none_of_the_others() {
    let files = [("channel.wasm", guest("guest-hostile-channel")), ("pure.wasm", guest("guest-pure"))];
    let bench = Bench::new(&files, "[channels.hostile]\n").await;
    bench.app.plugins_changed().await;
    let channel = || -> Arc<Instance> {
        Arc::clone(bench.app.registry.snapshot().get(RoleKind::Channel, "hostile").expect("the channel is loaded"))
    };
    let told = || bench.app.store.read(|tx| tx.state_get("hostile", "told")).unwrap();
    let send = |connection: u64, text: &'static str| {
        let gateway = Arc::clone(&bench.app.gateway);
        tokio::spawn(async move { gateway.event("hostile", frame(connection, text)).await })
    };
    // One alone is tried again and again, and nobody else waits for it.
    let mut hostile = vec![send(1, "trap")];
    until(|| (channel().record.counts().traps >= 2).then_some(())).await;
    assert_eq!(send(2, "7").await.unwrap(), EventOutcome::Taken);
    assert!(channel().record.aside().is_none() && told().is_some());
    // With several of them the channel is set aside. What comes meanwhile waits, and is there in the end.
    hostile.extend([send(3, "trap"), send(4, "trap")]);
    until(|| channel().record.aside().map(drop)).await;
    let refused = channel().record.counts().refused;
    let waiting = send(5, "8");
    until(|| (channel().record.counts().refused > refused).then_some(())).await;
    assert!(!waiting.is_finished());
    bench.pure_works().await;
    assert_eq!(resume(&bench, "hostile").await, ["hostile"]);
    assert_eq!(waiting.await.unwrap(), EventOutcome::Taken);
    for event in hostile {
        event.abort();
    }
}
