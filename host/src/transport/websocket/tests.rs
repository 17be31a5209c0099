//! Websockets on real sockets of the loopback, and over pipes in memory where time has to pass.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::protocol::Role;
use tokio_tungstenite::{MaybeTlsStream, connect_async};

use super::*;
use crate::capability::connection::{Connections as _, Effect};
use crate::transport::connection::QUEUE_MAX;
use crate::transport::fake::{Fake, Seen, setup};
use crate::transport::http::{HttpLimits, HttpSettings, Server};
use crate::transport::{Event, Hub, TransportKind, TransportRequest};
use crate::wit::openpista::connection::connection::Target;

type Client = WebSocketStream<MaybeTlsStream<TcpStream>>;

async fn server(hub: &Arc<Hub>) -> Server {
    let settings = HttpSettings {
        listen: vec![([127, 0, 0, 1], 0).into()],
        hosts: Vec::new(),
        cors_origins: Vec::new(),
        limits: HttpLimits::default(),
    };
    let server = Server::bind(settings, Arc::clone(hub)).await.unwrap();
    server.open();
    server
}

fn socket() -> Vec<TransportRequest> {
    setup("socket", TransportKind::Websocket("/socket".into()))
}

async fn connect(address: SocketAddr, query: &str) -> Client {
    connect_async(format!("ws://{address}/web/socket{query}")).await.unwrap().0
}

async fn say(client: &mut Client, text: &str) {
    client.send(Message::text(text)).await.unwrap();
}

/// The next data or close frame.
async fn hear<S: AsyncRead + AsyncWrite + Unpin>(client: &mut WebSocketStream<S>) -> Message {
    loop {
        match client.next().await.expect("a frame comes").unwrap() {
            Message::Ping(_) | Message::Pong(_) => {}
            other => return other,
        }
    }
}

fn closed_with(message: Message) -> (u16, String) {
    match message {
        Message::Close(Some(frame)) => (frame.code.into(), frame.reason.as_str().to_owned()),
        other => panic!("not a close frame: {other:?}"),
    }
}

/// A bare socket after the handshake, for bytes that no client would send.
async fn bare(address: SocketAddr) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = "GET /web/socket HTTP/1.1\r\nhost: localhost\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
                   sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    let head = String::from_utf8(head).unwrap();
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    assert!(head.contains("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="), "the answer to the key of RFC 6455: {head}");
    stream
}

#[tokio::test]
async fn frames_come_in_order_and_go_back_and_the_end_is_told() {
    let fake = Fake::echoing();
    fake.configure("web", socket()).unwrap();
    let server = server(&fake.hub).await;
    let mut client = connect(server.addresses()[0], "?token=x").await;
    assert_eq!(fake.seen().await, Seen::opened("socket", "/socket?token=x"));
    for number in 0..100 {
        say(&mut client, &number.to_string()).await;
    }
    for number in 0..100 {
        assert_eq!(hear(&mut client).await, Message::text(number.to_string()));
        assert_eq!(fake.seen().await, Seen::text("socket", &number.to_string()));
    }
    client.send(Message::binary(vec![0, 255])).await.unwrap();
    assert_eq!(hear(&mut client).await, Message::binary(vec![0, 255]));
    assert_eq!(fake.seen().await, Seen::Binary { transport: "socket".into(), bytes: vec![0, 255] });
    let frame = CloseFrame { code: CloseCode::from(4001), reason: "enough".into() };
    client.close(Some(frame)).await.unwrap();
    assert_eq!(fake.seen().await, Seen::closed("socket", 4001, "enough"));
    assert!(!fake.hub.is_open("web", fake.last()));
    let counts = fake.hub.counts();
    assert_eq!((counts.opened, counts.open, counts.frames_in, counts.frames_out), (1, 0, 101, 101));
}

#[tokio::test]
async fn the_opened_event_has_the_peer_and_the_headers() {
    let fake = Fake::new();
    let (send, mut opened) = tokio::sync::mpsc::unbounded_channel();
    fake.on_event(move |_, event| {
        if let Event::Opened(event) = event {
            send.send(event.clone()).unwrap();
        }
        EventOutcome::Taken
    });
    fake.configure("web", socket()).unwrap();
    let server = server(&fake.hub).await;
    let mut request = format!("ws://{}/web/socket", server.addresses()[0]).into_client_request().unwrap();
    request.headers_mut().insert("Sec-WebSocket-Protocol", "chat".parse().unwrap());
    request.headers_mut().insert("cookie", "token=1".parse().unwrap());
    // The client refuses an answer without its protocol; what the server was told is what counts here.
    let _ = connect_async(request).await;
    let opened = opened.recv().await.unwrap();
    assert!(opened.headers.contains(&("cookie".into(), "token=1".into())), "{:?}", opened.headers);
    assert!(opened.peer.unwrap().starts_with("127.0.0.1:"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn parallel_connections_each_keep_their_order() {
    let fake = Fake::echoing();
    fake.configure("web", socket()).unwrap();
    let server = server(&fake.hub).await;
    let address = server.addresses()[0];
    let clients: Vec<_> = (0..20)
        .map(|name| {
            tokio::spawn(async move {
                let mut client = connect(address, "").await;
                for number in 0..50 {
                    say(&mut client, &format!("{name}.{number}")).await;
                }
                let mut heard = Vec::new();
                for _ in 0..50 {
                    heard.push(hear(&mut client).await);
                }
                let sent: Vec<_> = (0..50).map(|number| Message::text(format!("{name}.{number}"))).collect();
                assert_eq!(heard, sent);
            })
        })
        .collect();
    for client in clients {
        client.await.unwrap();
    }
}

#[tokio::test]
async fn a_channel_that_is_busy_holds_its_peer_back_and_not_others() {
    let fake = Fake::new();
    fake.configure("web", socket()).unwrap();
    let server = server(&fake.hub).await;
    let mut client = connect(server.addresses()[0], "").await;
    assert_eq!(fake.seen().await, Seen::opened("socket", "/socket"));
    fake.shut_gate();
    say(&mut client, "one").await;
    say(&mut client, "two").await;
    fake.until(|hub| hub.counts().frames_in == 1).await;
    // Another connection gets through to its own first event meanwhile.
    let _other = connect(server.addresses()[0], "?other").await;
    fake.until(|hub| hub.counts().open == 2).await;
    assert_eq!(fake.hub.counts().frames_in, 1, "the second frame waits in the socket");
    fake.nothing_seen().await;
    fake.receiver.gate.add_permits(3);
    let mut seen = [fake.seen().await, fake.seen().await, fake.seen().await];
    seen.sort_by_key(|seen| format!("{seen:?}"));
    let expected = [Seen::opened("socket", "/socket?other"), Seen::text("socket", "one"), Seen::text("socket", "two")];
    assert_eq!(seen, expected);
}

#[tokio::test]
async fn frames_of_ten_mib_pass_and_larger_ones_close_the_connection() {
    let fake = Fake::new();
    fake.configure("web", socket()).unwrap();
    let server = server(&fake.hub).await;
    let mut client = connect(server.addresses()[0], "").await;
    assert_eq!(fake.seen().await, Seen::opened("socket", "/socket"));
    let whole = vec![7; FRAME_MAX];
    client.send(Message::binary(whole.clone())).await.unwrap();
    assert_eq!(fake.seen().await, Seen::Binary { transport: "socket".into(), bytes: whole });
    // The server stops reading in the middle of it.
    let _ = client.send(Message::binary(vec![7; FRAME_MAX + 1])).await;
    assert_eq!(fake.seen().await, Seen::closed("socket", 1009, "a frame has at most 10485760 bytes"));
}

#[tokio::test]
async fn garbage_closes_only_its_own_connection() {
    let fake = Fake::echoing();
    fake.configure("web", socket()).unwrap();
    let server = server(&fake.hub).await;
    let mut good = connect(server.addresses()[0], "").await;
    assert_eq!(fake.seen().await, Seen::opened("socket", "/socket"));
    let masked_text_that_is_not_utf8 = [0x81, 0x82, 0, 0, 0, 0, 0xc3, 0x28];
    let not_masked = [0x81, 0x01, b'x'];
    let reserved_opcode = [0x83, 0x80, 0, 0, 0, 0];
    for (bytes, code) in
        [(&masked_text_that_is_not_utf8[..], 1007), (&not_masked[..], 1002), (&reserved_opcode[..], 1002)]
    {
        let mut stream = bare(server.addresses()[0]).await;
        assert_eq!(fake.seen().await, Seen::opened("socket", "/socket"));
        stream.write_all(bytes).await.unwrap();
        let Seen::Closed { code: told, .. } = fake.seen().await else { panic!("not closed") };
        assert_eq!(told, code);
        let mut frame = Vec::new();
        stream.read_to_end(&mut frame).await.unwrap();
        assert_eq!(frame[0], 0x88, "a close frame");
        assert_eq!(u16::from_be_bytes([frame[2], frame[3]]), code);
    }
    say(&mut good, "still here").await;
    assert_eq!(hear(&mut good).await, Message::text("still here"));
}

#[tokio::test]
async fn a_peer_that_vanishes_is_closed_with_1006() {
    let fake = Fake::new();
    fake.configure("web", socket()).unwrap();
    let server = server(&fake.hub).await;
    let stream = bare(server.addresses()[0]).await;
    assert_eq!(fake.seen().await, Seen::opened("socket", "/socket"));
    drop(stream);
    let Seen::Closed { code, .. } = fake.seen().await else { panic!("not closed") };
    assert_eq!(code, 1006);
}

#[tokio::test]
async fn tags_come_with_events_and_can_be_sent_to() {
    let fake = Fake::new();
    fake.on_event(|hub, event| {
        if let Event::Frame((source, Frame::Text(text))) = event {
            let effects = match text.split_once(' ') {
                Some(("tag", tag)) => vec![Effect::Tag(source.connection, vec![tag.into(), "all".into()])],
                Some(("to", tag)) => vec![Effect::Send(Target::Tagged(tag.into()), Frame::Text("hello".into()))],
                _ => Vec::new(),
            };
            hub.apply("web", effects);
        }
        EventOutcome::Taken
    });
    fake.configure("web", socket()).unwrap();
    let server = server(&fake.hub).await;
    let address = server.addresses()[0];
    let (mut ann, mut bob) = (connect(address, "").await, connect(address, "").await);
    assert_eq!(fake.seen().await, Seen::opened("socket", "/socket"));
    assert_eq!(fake.seen().await, Seen::opened("socket", "/socket"));
    say(&mut ann, "tag ann").await;
    assert_eq!(fake.seen().await, Seen::text("socket", "tag ann"));
    say(&mut bob, "tag bob").await;
    assert_eq!(fake.seen().await, Seen::text("socket", "tag bob"));
    assert_eq!(fake.hub.tagged("web", "all").len(), 2);
    assert_eq!(fake.hub.tagged("other", "all"), [0_u64; 0]);

    say(&mut ann, "to bob").await;
    assert_eq!(hear(&mut bob).await, Message::text("hello"));
    say(&mut bob, "to all").await;
    assert_eq!(hear(&mut ann).await, Message::text("hello"));
    assert_eq!(hear(&mut bob).await, Message::text("hello"));
    let tags = vec!["ann".to_owned(), "all".to_owned()];
    assert_eq!(fake.seen().await, Seen::Text { transport: "socket".into(), text: "to bob".into(), tags });

    say(&mut bob, "to nobody").await;
    drop(bob);
    fake.until(|hub| hub.tagged("web", "all").len() == 1).await;
    assert_eq!(fake.hub.tagged("web", "bob"), [0_u64; 0]);
}

#[tokio::test]
async fn what_is_sent_to_a_tag_while_a_call_gives_it_comes_behind_what_the_call_sends() {
    let fake = Fake::new();
    fake.configure("web", socket()).unwrap();
    let server = server(&fake.hub).await;
    let mut client = connect(server.addresses()[0], "").await;
    assert_eq!(fake.seen().await, Seen::opened("socket", "/socket"));
    let id = fake.last();
    let tags = |tags: &[&str]| tags.iter().map(ToString::to_string).collect::<Vec<_>>();
    let one = |text: &str| Effect::Send(Target::One(id), Frame::Text(text.into()));
    let all = |tag: &str, text: &str| Effect::Send(Target::Tagged(tag.into()), Frame::Text(text.into()));

    fake.hub.join("web", id, &tags(&["talk"]));
    fake.hub.apply("web", vec![all("talk", "meanwhile"), all("elsewhere", "not for us")]);
    fake.hub.apply("web", vec![Effect::Tag(id, tags(&["talk"])), one("before"), all("talk", "own"), one("after")]);
    fake.hub.apply("web", vec![all("talk", "at last")]);
    fake.hub.joined("web", id);
    fake.hub.apply("web", vec![all("talk", "later")]);
    for text in ["before", "own", "after", "meanwhile", "at last", "later"] {
        assert_eq!(hear(&mut client).await, Message::text(text));
    }

    // A call that fails gives no tags, and takes none.
    fake.hub.join("web", id, &tags(&["other"]));
    fake.hub.apply("web", vec![all("other", "not for us"), all("talk", "still ours")]);
    fake.hub.joined("web", id);
    fake.hub.apply("web", vec![all("other", "not for us"), all("talk", "and this")]);
    for text in ["still ours", "and this"] {
        assert_eq!(hear(&mut client).await, Message::text(text));
    }
}

#[tokio::test]
async fn a_close_comes_after_what_was_queued_and_nothing_after_it() {
    let fake = Fake::new();
    fake.on_event(|hub, event| {
        if let Event::Frame((source, _)) = event {
            let id = source.connection;
            let text = |text: &str| Effect::Send(Target::One(id), Frame::Text(text.into()));
            let close = Effect::Close { id, code: 4003, reason: "wrong token, try again ".repeat(20) };
            hub.apply("web", vec![text("first"), text("second"), close, text("too late")]);
            assert!(!hub.is_open("web", id));
        }
        EventOutcome::Taken
    });
    fake.configure("web", socket()).unwrap();
    let server = server(&fake.hub).await;
    let mut client = connect(server.addresses()[0], "").await;
    say(&mut client, "go").await;
    assert_eq!(hear(&mut client).await, Message::text("first"));
    assert_eq!(hear(&mut client).await, Message::text("second"));
    let (code, reason) = closed_with(hear(&mut client).await);
    assert_eq!((code, reason.len()), (4003, REASON_MAX));
}

#[tokio::test]
async fn a_code_that_must_not_be_sent_becomes_a_normal_close() {
    let fake = Fake::new();
    fake.on_event(|hub, event| {
        if let Event::Frame((source, _)) = event {
            hub.apply("web", vec![Effect::Close { id: source.connection, code: 1006, reason: String::new() }]);
        }
        EventOutcome::Taken
    });
    fake.configure("web", socket()).unwrap();
    let server = server(&fake.hub).await;
    let mut client = connect(server.addresses()[0], "").await;
    say(&mut client, "go").await;
    assert_eq!(closed_with(hear(&mut client).await), (1000, String::new()));
}

#[tokio::test]
async fn a_peer_that_does_not_read_is_closed_when_its_queue_is_full() {
    let fake = Fake::new();
    fake.configure("web", socket()).unwrap();
    let server = server(&fake.hub).await;
    let silent = bare(server.addresses()[0]).await;
    assert_eq!(fake.seen().await, Seen::opened("socket", "/socket"));
    let id = fake.last();
    let megabyte = Frame::Binary(vec![0; 1 << 20]);
    // The kernel's buffers take some; so it is more than the queue alone.
    let mut sent = 0;
    while fake.hub.is_open("web", id) {
        assert!(sent < 20 * (QUEUE_MAX >> 20), "the queue never closes");
        fake.hub.apply("web", vec![Effect::Send(Target::One(id), megabyte.clone())]);
        sent += 1;
        tokio::task::yield_now().await;
    }
    assert!(sent >= QUEUE_MAX >> 20, "closed after {sent} MiB");
    assert_eq!(
        fake.seen().await,
        Seen::closed("socket", 1013, "too much is waiting to be read; come back and catch up")
    );
    assert_eq!(fake.hub.counts().overflowed, 1);
    drop(silent);
}

#[tokio::test]
async fn a_connection_that_the_channel_does_not_take_is_closed() {
    let fake = Fake::new();
    fake.configure("web", socket()).unwrap();
    let server = server(&fake.hub).await;
    for (outcome, code) in [(EventOutcome::Dropped, 1008), (EventOutcome::Unavailable, 1011)] {
        fake.on_event(move |_, _| outcome.clone());
        let mut client = connect(server.addresses()[0], "").await;
        assert_eq!(closed_with(hear(&mut client).await).0, code);
    }
}

#[tokio::test]
async fn sockets_stay_open_when_the_component_is_replaced_and_close_when_the_transport_is_gone() {
    let fake = Fake::echoing();
    fake.configure("web", socket()).unwrap();
    let server = server(&fake.hub).await;
    let mut client = connect(server.addresses()[0], "").await;
    say(&mut client, "old").await;
    assert_eq!(hear(&mut client).await, Message::text("old"));

    // The replacement answers differently, on the same socket.
    let newer = Fake::new();
    let hub = Arc::clone(&fake.hub);
    newer.on_event(move |_, event| {
        if let Event::Frame((source, _)) = event {
            let answer = Frame::Text("new".into());
            hub.apply("web", vec![Effect::Send(Target::One(source.connection), answer)]);
        }
        EventOutcome::Taken
    });
    let with_page = [socket(), setup("page", TransportKind::Http("/".into()))].concat();
    fake.hub.reconfigure("web", newer.receiver.clone(), fake.options("/web"), with_page).unwrap();
    say(&mut client, "who are you").await;
    assert_eq!(hear(&mut client).await, Message::text("new"));

    let page = setup("page", TransportKind::Http("/".into()));
    fake.hub.reconfigure("web", newer.receiver.clone(), fake.options("/web"), page).unwrap();
    assert_eq!(closed_with(hear(&mut client).await), (1012, "the channel was closed or replaced".into()));
    let seen = [newer.seen().await, newer.seen().await];
    assert_eq!(
        seen,
        [Seen::text("socket", "who are you"), Seen::closed("socket", 1012, "the channel was closed or replaced")]
    );
}

#[tokio::test]
async fn ids_grow_and_carry_the_start_of_the_daemon() {
    let fake = Fake::new();
    fake.configure("web", socket()).unwrap();
    let server = server(&fake.hub).await;
    let mut ids = Vec::new();
    for _ in 0..2 {
        let _client = connect(server.addresses()[0], "").await;
        assert_eq!(fake.seen().await, Seen::opened("socket", "/socket"));
        ids.push(fake.last());
        let Seen::Closed { .. } = ({
            drop(_client);
            fake.seen().await
        }) else {
            panic!("not closed")
        };
    }
    assert_eq!(ids, [(7 << 21) + 1, (7 << 21) + 2]);
}

#[tokio::test]
async fn closing_an_instance_closes_its_sockets_without_more_events() {
    let fake = Fake::echoing();
    fake.configure("web", socket()).unwrap();
    let server = server(&fake.hub).await;
    let mut client = connect(server.addresses()[0], "").await;
    assert_eq!(fake.seen().await, Seen::opened("socket", "/socket"));
    let (message, ()) = tokio::join!(hear(&mut client), fake.hub.close_instance("web"));
    assert_eq!(closed_with(message).0, 1012);
    fake.nothing_seen().await;
    assert_eq!(fake.hub.status(), []);
}

/// An accepted websocket over a pipe in memory, where time passes only when all wait. Gives the peer's end.
async fn piped(fake: &Fake) -> DuplexStream {
    fake.configure("web", socket()).unwrap();
    let (ours, theirs) = tokio::io::duplex(1 << 16);
    let socket = WebSocketStream::from_raw_socket(ours, Role::Server, Some(config())).await;
    let route = fake.hub.route_websocket("/web/socket", None).unwrap();
    let (link, outgoing) = route.instance.open(&route.transport);
    link.opened(None, "/socket".into(), Vec::new()).await;
    assert_eq!(fake.seen().await, Seen::opened("socket", "/socket"));
    tokio::spawn(async move {
        let (end, _) = serve(socket, &link, outgoing, true).await;
        link.closed(end).await;
    });
    theirs
}

fn sign_in(fake: &Fake) {
    fake.hub.apply("web", vec![Effect::Tag(fake.last(), vec!["signed in".into()])]);
}

async fn client_of(stream: DuplexStream) -> WebSocketStream<DuplexStream> {
    WebSocketStream::from_raw_socket(stream, Role::Client, None).await
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_does_not_sign_in_is_closed_after_30_s() {
    let fake = Fake::new();
    let started = Instant::now();
    let mut client = client_of(piped(&fake).await).await;
    assert_eq!(closed_with(hear(&mut client).await), (4408, "no sign-in within 30 s".into()));
    assert_eq!(started.elapsed().as_secs(), 30);
    assert_eq!(fake.seen().await, Seen::closed("socket", 4408, "no sign-in within 30 s"));
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_answers_pings_stays() {
    let fake = Fake::echoing();
    let mut client = client_of(piped(&fake).await).await;
    sign_in(&fake);
    assert!(timeout(Duration::from_secs(600), hear(&mut client)).await.is_err(), "nothing but pings");
    client.send(Message::text("still here")).await.unwrap();
    assert_eq!(hear(&mut client).await, Message::text("still here"));
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_answers_nothing_is_closed_after_60_s() {
    let fake = Fake::new();
    let started = Instant::now();
    let mute = piped(&fake).await;
    sign_in(&fake);
    assert_eq!(fake.seen().await, Seen::closed("socket", 1001, "nothing was heard for 60 s"));
    // The peer had 2 s more to answer the close, and again 2 s for the end of the stream.
    assert!((60..=64).contains(&started.elapsed().as_secs()), "{:?}", started.elapsed());
    drop(mute);
}

#[tokio::test(start_paused = true)]
async fn time_that_the_channel_takes_does_not_count_as_the_peers_silence() {
    let fake = Fake::echoing();
    let mut client = client_of(piped(&fake).await).await;
    sign_in(&fake);
    fake.shut_gate();
    client.send(Message::text("slow")).await.unwrap();
    assert!(timeout(Duration::from_secs(300), hear(&mut client)).await.is_err());
    fake.receiver.gate.add_permits(100);
    assert_eq!(hear(&mut client).await, Message::text("slow"));
}

#[tokio::test(start_paused = true)]
async fn alarms_of_a_connection_come_in_its_order_and_end_with_it() {
    let fake = Fake::new();
    let mut client = client_of(piped(&fake).await).await;
    sign_in(&fake);
    let alarm = |name: &str, after_ms, on| Effect::Alarm { name: name.into(), after_ms, on };
    let id = fake.last();
    fake.hub.apply(
        "web",
        vec![
            alarm("soon", 1_000, Some(id)),
            alarm("never", 100_000, Some(id)),
            alarm("instance", 200_000, None),
            alarm("of nobody", 100, Some(id + 1)),
        ],
    );
    assert_eq!(fake.seen().await, Seen::Alarm { name: "soon".into(), on_connection: true });
    client.close(None).await.unwrap();
    let Seen::Closed { code: 1000, .. } = fake.seen().await else { panic!("not closed") };
    assert_eq!(fake.seen().await, Seen::Alarm { name: "instance".into(), on_connection: false });
    fake.hub.apply("web", vec![alarm("of a closed instance", 1_000, None)]);
    fake.hub.close_instance("web").await;
    tokio::time::sleep(Duration::from_secs(10)).await;
    fake.nothing_seen().await;
}
