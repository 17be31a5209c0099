//! Dialled websockets, against a real server.

use futures_util::{SinkExt as _, StreamExt as _};
use tokio::net::TcpListener;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::server as handshake;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;

use super::*;

/// Accepts websockets, sends back the handshake's key and then everything it gets.
async fn echoing() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut told = String::new();
                #[allow(clippy::result_large_err)]
                let look = |request: &handshake::Request, answer: handshake::Response| {
                    let key = request.headers().get("authorization").map_or("", |key| key.to_str().unwrap());
                    told = format!("{} {key}", request.uri());
                    Ok(answer)
                };
                let mut socket = tokio_tungstenite::accept_hdr_async(stream, look).await.unwrap();
                socket.send(Message::text(told)).await.unwrap();
                while let Some(Ok(message)) = socket.next().await {
                    if message.is_text() {
                        socket.send(message).await.unwrap();
                    }
                }
            });
        }
    });
    port
}

impl World {
    async fn dial(&self, request: Request) -> Result<Dialled<Stream>, SocketError> {
        self.egress.dial(self.from(), request, WebSocketConfig::default(), |stream| stream).await
    }
}

fn refused(outcome: &Result<(), SocketError>) -> bool {
    matches!(outcome, Err(SocketError::Gate(Error::AccessDenied(_))))
}

async fn text(dialled: &mut Dialled<Stream>) -> String {
    dialled.socket.next().await.unwrap().unwrap().into_text().unwrap().to_string()
}

#[tokio::test]
async fn a_dialled_websocket_carries_secrets_and_its_frames_are_cleaned_of_them() {
    let port = echoing().await;
    let audience = Entry::parse(&format!("localhost:{port}")).unwrap();
    let world = World::new(&[format!("localhost:{port}")]).with_secret(vec![
        Use::Header { audience: audience.clone(), name: "authorization".into() },
        Use::Frame { audience, pointer: "/token".into() },
    ]);
    let request = with(get(format!("ws://localhost:{port}/chat?v=1")), "authorization", world.stand_in());
    let mut dialled = world.dial(request).await.unwrap();
    assert_eq!(text(&mut dialled).await, format!("/chat?v=1 {SECRET}"));

    let frame = format!("{{\"token\":\"{}\"}}", world.stand_in());
    let filled = world.secrets.fill_frame(&dialled.target, frame).unwrap();
    dialled.socket.send(Message::text(filled)).await.unwrap();
    let echo = text(&mut dialled).await;
    assert_eq!(echo, format!("{{\"token\":\"{SECRET}\"}}"));
    assert_eq!(dialled.redactor.clean(&echo), "{\"token\":\"[secret key]\"}");
}

#[tokio::test]
async fn a_dial_passes_the_same_gate_as_a_request() {
    let port = echoing().await;
    let world = World::new(&[format!("rebind.test:{port}"), "lan:169.254.169.254".into(), "a.home".into()]);
    let urls = [
        format!("ws://localhost:{port}/"),
        format!("wss://rebind.test:{port}/"),
        "ws://169.254.169.254/".into(),
        "ws://a.home/".into(),
    ];
    for url in urls {
        let outcome = world.dial(get(url.clone())).await.map(|_| ());
        assert!(refused(&outcome), "{url}: {outcome:?}");
    }
    let http = world.dial(get("http://a.home/")).await.map(|_| ());
    assert!(matches!(http, Err(SocketError::Gate(Error::Invalid(_)))));
}

#[tokio::test]
async fn a_server_that_opens_no_websocket_says_its_status() {
    let server = Server::start(|_| server::with_headers(429, &[("retry-after", "7")], "no")).await;
    let world = World::new(&[local(&server)]);
    let outcome = world.dial(get(format!("ws://localhost:{}/", server.port))).await.map(|_| ());
    let expected = SocketError::Status { status: 429, retry_after: Some(Duration::from_secs(7)) };
    assert_eq!(outcome, Err(expected));
}

#[tokio::test]
async fn cancelling_ends_a_dial() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let world = World::new(&[format!("localhost:{port}")]);
    let (outcome, _stream) = tokio::join!(world.dial(get(format!("ws://localhost:{port}/"))), async {
        let accepted = listener.accept().await;
        world.cancel.cancel();
        accepted
    });
    assert!(matches!(outcome, Err(SocketError::Gate(Error::Cancelled))));
}
