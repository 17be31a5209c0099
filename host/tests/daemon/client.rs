//! A client of the web page's websocket.

use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use super::PATIENCE;

/// One connection, with every frame that came over it.
pub struct Client {
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    /// All frames so far.
    pub seen: Vec<Value>,
}

/// The field `type` of a frame.
pub fn kind(frame: &Value) -> &str {
    frame["type"].as_str().unwrap_or_default()
}

/// The types of frames, in order.
pub fn kinds(frames: &[Value]) -> Vec<&str> {
    frames.iter().map(kind).collect()
}

impl Client {
    /// Connected, and no more.
    pub async fn connect(address: &str) -> Result<Self, tokio_tungstenite::tungstenite::Error> {
        let url = format!("{}/ws", address.replacen("http", "ws", 1));
        let (socket, _) = tokio::time::timeout(PATIENCE, connect_async(url)).await.expect("a connection in time")?;
        Ok(Self { socket, seen: Vec::new() })
    }

    /// Signed in by the token, and through the replay of the session.
    pub async fn known(address: &str, token: &str, session: &str, seen: u64) -> Self {
        let mut client = Self::connect(address).await.expect("a websocket");
        client.hello(token, session, seen).await;
        client.expect("ready").await;
        client
    }

    /// Says who it is and what it wants to see.
    pub async fn hello(&mut self, token: &str, session: &str, seen: u64) {
        self.send(json!({"type": "hello", "session": session, "seen": seen, "token": token})).await;
    }

    /// Sends a frame.
    pub async fn send(&mut self, frame: Value) {
        self.try_send(frame).await.expect("a frame that is sent");
    }

    /// Sends a frame, unless the connection is gone.
    pub async fn try_send(&mut self, frame: Value) -> Result<(), tokio_tungstenite::tungstenite::Error> {
        self.raw(Message::text(frame.to_string())).await
    }

    /// Sends what may be no frame of the page.
    pub async fn raw(&mut self, message: Message) -> Result<(), tokio_tungstenite::tungstenite::Error> {
        self.socket.send(message).await
    }

    /// A message under the client's own id.
    pub async fn say(&mut self, id: &str, text: &str) {
        self.send(json!({"type": "say", "id": id, "text": text})).await;
    }

    /// Answers a question.
    pub async fn decide(&mut self, approval: &Value, decision: &str) {
        self.send(json!({"type": "approve", "id": approval["id"], "decision": decision})).await;
    }

    /// The next frame; none if the connection ended.
    pub async fn next(&mut self, end: Instant) -> Result<Option<Value>, CloseCode> {
        loop {
            let message = timeout_at(end, self.socket.next()).await;
            let message = message.unwrap_or_else(|_| panic!("no more frames after {}", self.story()));
            match message {
                Some(Ok(Message::Text(text))) => {
                    let frame: Value = serde_json::from_str(&text).expect("a frame is JSON");
                    self.seen.push(frame.clone());
                    return Ok(Some(frame));
                }
                Some(Ok(Message::Close(Some(close)))) => return Err(close.code),
                Some(Ok(Message::Close(None)) | Err(_)) | None => return Ok(None),
                Some(Ok(_)) => (),
            }
        }
    }

    /// Takes in what comes within so long.
    pub async fn listen(&mut self, time: Duration) {
        let end = Instant::now() + PATIENCE;
        let _ = tokio::time::timeout(time, async { while let Ok(Some(_)) = self.next(end).await {} }).await;
    }

    /// The next frame of this type.
    pub async fn expect(&mut self, wanted: &str) -> Value {
        self.expect_any(&[wanted]).await
    }

    /// The next frame of one of these types.
    pub async fn expect_any(&mut self, wanted: &[&str]) -> Value {
        let end = Instant::now() + PATIENCE;
        loop {
            match self.next(end).await {
                Ok(Some(frame)) if wanted.contains(&kind(&frame)) => return frame,
                Ok(Some(_)) => (),
                ended => panic!("waited for {wanted:?}, the connection ended ({ended:?}) after {}", self.story()),
            }
        }
    }

    /// Reads until the other side ends the connection; its code, if it gave one.
    pub async fn expect_end(&mut self) -> Option<CloseCode> {
        let end = Instant::now() + PATIENCE;
        loop {
            match self.next(end).await {
                Ok(Some(_)) => (),
                Ok(None) => return None,
                Err(code) => return Some(code),
            }
        }
    }

    /// Is gone from one moment to the next: the other side gets a reset instead of a good-bye.
    pub fn vanish(self) {
        if let MaybeTlsStream::Plain(stream) = self.socket.get_ref() {
            stream.set_zero_linger().expect("a socket takes options");
        }
    }

    /// Whether the connection answers.
    pub async fn ping(&mut self) {
        self.send(json!({"type": "ping"})).await;
        self.expect("pong").await;
    }

    fn story(&self) -> String {
        let cut = |frame: &Value| frame.to_string().chars().take(400).collect::<String>();
        self.seen.iter().rev().take(12).rev().map(|frame| format!("\n  {}", cut(frame))).collect()
    }
}

/// For loops that try again.
pub const PAUSE: Duration = Duration::from_millis(50);
