//! What a setup may ask for, and what the hub says of itself. Sockets are tested with their transports.

use super::*;
use crate::transport::State;
use crate::transport::fake::{Fake, setup};
use crate::wit::role::channel::Process;
use crate::wit::types::Extension;

fn http(id: &str, path: &str) -> Vec<TransportRequest> {
    setup(id, TransportKind::Http(path.into()))
}

fn refused(fake: &Fake, transports: Vec<TransportRequest>) -> String {
    fake.configure("bot", transports).unwrap_err().to_string()
}

#[tokio::test]
async fn ids_of_connections_fit_into_the_numbers_of_javascript() {
    let hub = Hub::new(HubSettings { generation: u32::MAX, random: || 1.0, console: Err("there is none".into()) });
    assert!(hub.ids.load(std::sync::atomic::Ordering::Relaxed) < 1 << 53);
}

#[tokio::test]
async fn a_setup_that_cannot_be_opened_is_refused_with_what_is_wrong() {
    let fake = Fake::new();
    let other = Extension { kind: "acme:pigeon".into(), data: "{}".into() };
    let process = Process { command: Vec::new(), env: Vec::new() };
    for (transports, expected) in [
        (
            setup("q", TransportKind::Quic((443, "h3".into()))),
            "transport `q` is of a kind that this host does not have: QUIC",
        ),
        (
            setup("p", TransportKind::Other(other)),
            "transport `p` is of a kind that this host does not have: acme:pigeon",
        ),
        ([http("a", "/"), http("a", "/b")].concat(), "two transports are called `a`"),
        (http("a", "hook"), "transport `a`: its path does not begin with a slash"),
        (setup("b", TransportKind::Process(process)), "transport `b`: it has no command"),
        (
            [http("a", "/x"), http("b", "/x/")].concat(),
            "transport `b`: /bot/x is already taken by `bot`; give one of them another `mount` in config.toml",
        ),
        (
            [setup("a", TransportKind::Console), setup("b", TransportKind::Console)].concat(),
            "transport `b`: the console is already used by `bot`; switch one of the two off in config.toml",
        ),
    ] {
        assert_eq!(refused(&fake, transports), expected);
    }
    assert_eq!(fake.hub.status(), []);
}

#[tokio::test]
async fn a_refused_setup_leaves_the_instance_as_it_was() {
    let fake = Fake::new();
    fake.configure("bot", http("hook", "/hook")).unwrap();
    let before = fake.hub.status();
    refused(&fake, [http("hook", "/other"), http("hook", "/again")].concat());
    assert_eq!(fake.hub.status(), before);
    assert!(fake.hub.route_http("/bot/hook", None).is_some());
}

#[tokio::test]
async fn paths_and_the_console_belong_to_one_instance_at_a_time() {
    let fake = Fake::new();
    fake.mount("first", "/", [http("page", "/"), setup("tty", TransportKind::Console)].concat()).unwrap();
    let page = fake.mount("second", "/", http("start", "/")).unwrap_err();
    assert_eq!(page, SetupError::PathTaken("start".into(), "/".into(), "first".into()));
    let console = fake.mount("second", "/second", setup("tty", TransportKind::Console)).unwrap_err();
    assert_eq!(console, SetupError::ConsoleTaken("tty".into(), "first".into()));
    // A websocket and pages may share a path, and what is given up is free.
    fake.mount("second", "/", setup("socket", TransportKind::Websocket("/".into()))).unwrap();
    fake.hub.close_instance("first").await;
    fake.mount("second", "/", [http("start", "/"), setup("tty", TransportKind::Console)].concat()).unwrap();
}

#[tokio::test]
async fn a_public_address_is_known_where_it_was_configured() {
    let fake = Fake::new();
    let transports =
        [http("hook", "/hook"), http("root", "/"), setup("socket", TransportKind::Websocket("/s".into()))].concat();
    fake.configure("plain", transports.clone()).unwrap();
    let mut options = fake.options("/bot");
    options.public_url = Some("https://bot.example.org/in/".into());
    fake.hub.reconfigure("bot", fake.receiver.clone(), options, transports).unwrap();
    let url = |instance, transport| fake.hub.public_url(instance, transport);
    assert_eq!(url("bot", "hook"), Some("https://bot.example.org/in/hook".into()));
    assert_eq!(url("bot", "root"), Some("https://bot.example.org/in".into()));
    assert_eq!(url("bot", "socket"), None);
    assert_eq!(url("bot", "unknown"), None);
    assert_eq!(url("plain", "hook"), None);
    assert_eq!(url("unknown", "hook"), None);
}

#[tokio::test]
async fn the_status_is_readable_by_scripts() {
    let fake = Fake::new();
    fake.configure("bot", http("hook", "/hook")).unwrap();
    let mut status = fake.hub.status().remove(0);
    assert_eq!(status.state, State::Listening);
    status.since = 5;
    status.state = State::BackingOff { reason: "no network".into(), until: 6 };
    let expected = serde_json::json!({
        "instance": "bot", "transport": "hook", "kind": "http", "state": "backing-off", "reason": "no network",
        "until": 6, "since": 5, "progress": null, "connections": 0,
    });
    assert_eq!(serde_json::to_value(status).unwrap(), expected);
}

#[tokio::test]
async fn effects_for_what_is_gone_do_nothing() {
    let fake = Fake::new();
    fake.configure("bot", http("hook", "/hook")).unwrap();
    let frame = || crate::transport::Frame::Text("x".into());
    let alarm = Effect::Alarm { name: "a".into(), after_ms: 100, on: Some(9) };
    let close = Effect::Close { id: 9, code: 1000, reason: String::new() };
    let effects = vec![
        Effect::Send(Target::One(9), frame()),
        Effect::Send(Target::Tagged("t".into()), frame()),
        Effect::Tag(9, vec!["t".into()]),
        close,
        alarm,
    ];
    fake.hub.apply("bot", effects.clone());
    fake.hub.apply("nobody", effects);
    assert_eq!(fake.hub.tagged("bot", "t"), [0_u64; 0]);
    assert_eq!(fake.hub.counts().frames_out, 0);
    fake.nothing_seen().await;
}
