//! A client of the page's websocket that looks at no more of a frame than it must.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use futures_util::{SinkExt as _, StreamExt as _};
use serde::Deserialize;
use serde_json::json;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{WebSocketStream, client_async};

/// Nothing that is measured takes longer.
const PATIENCE: Duration = Duration::from_secs(120);

/// One connection to one session.
pub struct Client {
    socket: WebSocketStream<TcpStream>,
    session: String,
    said: u64,
}

#[derive(Deserialize)]
struct Kind<'a> {
    #[serde(borrow, rename = "type")]
    kind: std::borrow::Cow<'a, str>,
}

impl Client {
    /// Signed in and through the replay of the session.
    pub async fn new(address: &str, token: &str, session: &str) -> Result<Self> {
        let host = address.strip_prefix("http://").context("an http address")?;
        let stream = TcpStream::connect(host).await?;
        stream.set_nodelay(true)?;
        let (socket, _) = client_async(format!("ws://{host}/ws"), stream).await?;
        let mut client = Self { socket, session: session.into(), said: 0 };
        client.send(json!({"type": "hello", "session": session, "seen": 0, "token": token}).to_string()).await?;
        client.until("ready").await?;
        Ok(client)
    }

    async fn send(&mut self, frame: String) -> Result<()> {
        Ok(self.socket.send(Message::text(frame)).await?)
    }

    /// Sends a message.
    pub async fn say(&mut self, text: &str) -> Result<()> {
        self.said += 1;
        let id = format!("{}-{}", self.session, self.said);
        self.send(json!({"type": "say", "id": id, "text": text}).to_string()).await
    }

    /// From a message to its reply.
    pub async fn round(&mut self, text: &str) -> Result<Duration> {
        let started = Instant::now();
        self.say(text).await?;
        self.until("reply").await?;
        Ok(started.elapsed())
    }

    /// Reads up to a frame of this type.
    pub async fn until(&mut self, wanted: &str) -> Result<()> {
        tokio::time::timeout(PATIENCE, self.read(wanted)).await.with_context(|| format!("no {wanted} came"))?
    }

    async fn read(&mut self, wanted: &str) -> Result<()> {
        while let Some(message) = self.socket.next().await {
            let Message::Text(text) = message? else { continue };
            let kind = serde_json::from_str::<Kind<'_>>(&text)?.kind;
            if kind == wanted {
                return Ok(());
            }
            if kind == "failed" {
                bail!("a turn failed: {text}");
            }
        }
        bail!("the connection ended before there was a {wanted}")
    }
}
