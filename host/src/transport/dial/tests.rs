//! Dialled websockets against a scripted server over pipes in memory, in paused time.

use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use tokio::io::DuplexStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role};

use crate::capability::connection::{Connections as _, Effect};
use crate::transport::fake::{Attempt, Fake, Seen, setup};
use crate::transport::{
    ByteStream, DialError, Event, EventOutcome, Frame, ReceiverError, State, TransportKind, TransportRequest,
    websocket_config,
};
use crate::wit::openpista::connection::connection::Target;

/// An attempt that connects, and the server's end of it.
async fn opens() -> (Attempt, WebSocketStream<DuplexStream>) {
    let (ours, theirs) = tokio::io::duplex(1 << 16);
    let ours: Box<dyn ByteStream> = Box::new(ours);
    let ours = WebSocketStream::from_raw_socket(ours, Role::Client, Some(websocket_config())).await;
    (Attempt::Opens(ours), WebSocketStream::from_raw_socket(theirs, Role::Server, None).await)
}

fn dial() -> Vec<TransportRequest> {
    setup("gateway", TransportKind::Dial)
}

fn unavailable() -> Attempt {
    Attempt::Fails(DialError::Unavailable("connection refused".into()))
}

#[tokio::test(start_paused = true)]
async fn a_dialled_connection_carries_frames_both_ways_and_stays_without_signing_in() {
    let fake = Fake::new();
    let (attempt, mut server) = opens().await;
    fake.attempts(vec![attempt]);
    fake.configure("bot", dial()).unwrap();
    assert_eq!(fake.seen().await, Seen::opened("gateway", ""));
    server.send(Message::text("hello")).await.unwrap();
    assert_eq!(fake.seen().await, Seen::text("gateway", "hello"));
    fake.hub.apply("bot", vec![Effect::Send(Target::One(fake.last()), Frame::Text("identify".into()))]);
    assert_eq!(server.next().await.unwrap().unwrap(), Message::text("identify"));

    // The server answers pings for ten minutes and sends nothing.
    let quiet = tokio::time::timeout(Duration::from_secs(600), async {
        while let Some(Ok(Message::Ping(_))) = server.next().await {}
    });
    assert!(quiet.await.is_err(), "the connection ended");
    assert!(fake.hub.is_open("bot", fake.last()));
    assert_eq!(fake.hub.status()[0].state, State::Open);
    assert_eq!(fake.hub.status()[0].connections, 1);
}

#[tokio::test(start_paused = true)]
async fn it_is_dialled_again_with_back_off_that_a_short_connection_does_not_reset() {
    let fake = Fake::new();
    let (attempt, server) = opens().await;
    fake.attempts(vec![unavailable(), unavailable(), attempt, unavailable()]);
    fake.configure("bot", dial()).unwrap();
    assert_eq!(fake.seen().await, Seen::opened("gateway", ""));
    drop(server);
    assert_eq!(fake.seen().await, Seen::closed("gateway", 1006, "the connection broke"));
    fake.until(|_| fake.asked().len() == 5).await;
    assert_eq!(fake.asked(), [0, 1000, 3000, 7000, 15_000]);
}

#[tokio::test(start_paused = true)]
async fn after_a_connection_that_held_the_wait_is_short_again() {
    let fake = Fake::new();
    let (attempt, mut server) = opens().await;
    fake.attempts(vec![unavailable(), unavailable(), attempt]);
    fake.configure("bot", dial()).unwrap();
    assert_eq!(fake.seen().await, Seen::opened("gateway", ""));
    let held = tokio::time::timeout(Duration::from_secs(57), async { while server.next().await.is_some() {} });
    assert!(held.await.is_err());
    drop(server);
    fake.until(|_| fake.asked().len() == 4).await;
    assert_eq!(fake.asked(), [0, 1000, 3000, 61_000]);
}

#[tokio::test(start_paused = true)]
async fn closing_it_means_reconnecting() {
    let fake = Fake::new();
    let ((first, mut server), (second, _keep)) = (opens().await, opens().await);
    fake.attempts(vec![first, second]);
    fake.configure("bot", dial()).unwrap();
    assert_eq!(fake.seen().await, Seen::opened("gateway", ""));
    let id = fake.last();
    fake.hub.apply("bot", vec![Effect::Close { id, code: 4000, reason: "resume".into() }]);
    assert!(matches!(server.next().await, Some(Ok(Message::Close(Some(frame)))) if u16::from(frame.code) == 4000));
    assert!(server.next().await.is_none_or(|end| end.is_err()));
    assert_eq!(fake.seen().await, Seen::closed("gateway", 4000, "resume"));
    assert_eq!(fake.seen().await, Seen::opened("gateway", ""));
    assert_ne!(fake.last(), id);
}

#[tokio::test(start_paused = true)]
async fn a_channel_that_closes_a_connection_that_held_is_connected_again_at_once() {
    let fake = Fake::new();
    let ((first, mut server), (second, _keep)) = (opens().await, opens().await);
    fake.attempts(vec![first, second]);
    fake.configure("bot", dial()).unwrap();
    assert_eq!(fake.seen().await, Seen::opened("gateway", ""));
    let held = tokio::time::timeout(Duration::from_secs(40), async { while server.next().await.is_some() {} });
    assert!(held.await.is_err());
    fake.hub.apply("bot", vec![Effect::Close { id: fake.last(), code: 1000, reason: "come again".into() }]);
    while let Some(Ok(_)) = server.next().await {}
    assert_eq!(fake.seen().await, Seen::closed("gateway", 1000, "come again"));
    assert_eq!(fake.seen().await, Seen::opened("gateway", ""));
    assert_eq!(fake.asked(), [0, 40_000]);
}

#[tokio::test(start_paused = true)]
async fn a_handshake_that_is_answered_with_429_waits_as_long_as_it_says() {
    let fake = Fake::new();
    let retry_after = Some(Duration::from_secs(9));
    fake.attempts(vec![Attempt::Fails(DialError::Status { status: 429, retry_after }), Attempt::Hangs]);
    fake.configure("bot", dial()).unwrap();
    fake.until(|_| fake.asked().len() == 3).await;
    // A server that does not answer the handshake is given up after 30 s.
    assert_eq!(fake.asked(), [0, 9000, 40_000]);
}

#[tokio::test(start_paused = true)]
async fn a_missing_credential_parks_it_until_it_is_woken() {
    let fake = Fake::new();
    let (attempt, mut server) = opens().await;
    fake.attempts(vec![Attempt::Denied(ReceiverError::AuthRequired("no token".into())), attempt]);
    fake.on_event(|_, event| match event {
        Event::Frame(_) => EventOutcome::AuthRequired("the token was refused".into()),
        _ => EventOutcome::Taken,
    });
    fake.configure("bot", dial()).unwrap();
    let parked = |reason: &str| State::AuthRequired { reason: reason.into() };
    fake.until(|hub| hub.status()[0].state == parked("no token")).await;
    fake.hub.wake("bot");
    assert_eq!(fake.seen().await, Seen::opened("gateway", ""));
    server.send(Message::text("invalid session")).await.unwrap();
    assert_eq!(fake.seen().await, Seen::text("gateway", "invalid session"));
    while let Some(Ok(_)) = server.next().await {}
    fake.until(|hub| hub.status()[0].state == parked("the token was refused")).await;
    tokio::time::sleep(Duration::from_secs(3600)).await;
    assert_eq!(fake.asked().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_close_that_only_a_person_can_mend_parks_it() {
    let fake = Fake::new();
    let (attempt, mut server) = opens().await;
    fake.attempts(vec![attempt]);
    fake.on_event(|_, event| match event {
        Event::Closed(closed) if closed.code == 4004 => EventOutcome::AuthRequired("the token was refused".into()),
        _ => EventOutcome::Taken,
    });
    fake.configure("bot", dial()).unwrap();
    assert_eq!(fake.seen().await, Seen::opened("gateway", ""));
    let refused = CloseFrame { code: 4004.into(), reason: "no".into() };
    server.send(Message::Close(Some(refused))).await.unwrap();
    while let Some(Ok(_)) = server.next().await {}
    assert_eq!(fake.seen().await, Seen::closed("gateway", 4004, "no"));
    let parked = State::AuthRequired { reason: "the token was refused".into() };
    fake.until(|hub| hub.status()[0].state == parked).await;
    tokio::time::sleep(Duration::from_secs(3600)).await;
    assert_eq!(fake.asked().len(), 1);
}
