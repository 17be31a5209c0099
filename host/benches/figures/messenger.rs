//! A messenger on this machine that costs next to nothing: what is measured is the host. A gateway of which the frames come
//! over a websocket that the host dials, and the web API beside it, as far as `channel-discord` uses them; and a long poll
//! that brings nothing.

use std::convert::Infallible;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use bytes::Bytes;
use futures_util::{SinkExt as _, StreamExt as _};
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_tungstenite::tungstenite::Message;

/// An answer is waited for so long.
const PATIENCE: Duration = Duration::from_secs(60);
/// A poll that brings nothing lasts so long.
const POLL: Duration = Duration::from_secs(50);

/// The messenger, until the process ends.
pub struct Messenger {
    /// Of the web API.
    pub api: String,
    /// Of the gateway.
    pub gateway: String,
    frames: mpsc::UnboundedSender<Value>,
    shown: mpsc::UnboundedReceiver<Instant>,
    ready: mpsc::UnboundedReceiver<()>,
    sequence: u64,
}

impl Messenger {
    /// Listening on ports of its own.
    pub async fn start() -> Result<Self> {
        let (api, gateway) = (TcpListener::bind("127.0.0.1:0").await?, TcpListener::bind("127.0.0.1:0").await?);
        let (frames, outgoing) = mpsc::unbounded_channel();
        let (show, shown) = mpsc::unbounded_channel();
        let (greet, ready) = mpsc::unbounded_channel();
        let addresses = (format!("http://{}", api.local_addr()?), format!("ws://{}", gateway.local_addr()?));
        tokio::spawn(async move {
            while let Ok((socket, _)) = api.accept().await {
                let _ = socket.set_nodelay(true);
                let show = show.clone();
                tokio::spawn(async move {
                    let service = service_fn(move |request| answer(request, show.clone()));
                    // A client that is gone ends its connection, not the service.
                    let _ = hyper::server::conn::http1::Builder::new()
                        .serve_connection(TokioIo::new(socket), service)
                        .await;
                });
            }
        });
        tokio::spawn(async move {
            let outgoing = std::sync::Arc::new(tokio::sync::Mutex::new(outgoing));
            while let Ok((socket, _)) = gateway.accept().await {
                let _ = socket.set_nodelay(true);
                let (outgoing, greet) = (std::sync::Arc::clone(&outgoing), greet.clone());
                tokio::spawn(async move {
                    // The host may end it at any time.
                    let _ = serve(socket, greet, &mut *outgoing.lock().await).await;
                });
            }
        });
        Ok(Self { api: addresses.0, gateway: addresses.1, frames, shown, ready, sequence: 1 })
    }

    /// Waits until a connection is signed in.
    pub async fn signed_in(&mut self) -> Result<()> {
        tokio::time::timeout(PATIENCE, self.ready.recv()).await.context("nobody signs in")?;
        Ok(())
    }

    /// A message of a person who is alone with the bot, or, in a server, one that is for somebody else.
    pub fn says(&mut self, channel: u64, server: Option<u64>) -> Result<()> {
        self.sequence += 1;
        let number = self.sequence;
        let mut message = json!({
            "id": (1_u64 << 60 | number).to_string(), "channel_id": channel.to_string(), "type": 0, "mentions": [],
            "author": {"id": "7", "username": "ann"}, "content": "Please have a look at what is new.", "attachments": [],
            "timestamp": "2026-01-01T00:00:00.000000+00:00"
        });
        if let Some(server) = server {
            message["guild_id"] = server.to_string().into();
        }
        self.frames.send(json!({"op": 0, "t": "MESSAGE_CREATE", "s": number, "d": message}))?;
        Ok(())
    }

    /// When the next message was shown.
    pub async fn shown(&mut self) -> Result<Instant> {
        tokio::time::timeout(PATIENCE, self.shown.recv()).await.context("nothing is shown")?.context("it ended")
    }
}

async fn serve(
    socket: TcpStream,
    greet: mpsc::UnboundedSender<()>,
    outgoing: &mut mpsc::UnboundedReceiver<Value>,
) -> Result<()> {
    let mut socket = tokio_tungstenite::accept_async(socket).await?;
    socket.send(Message::text(json!({"op": 10, "d": {"heartbeat_interval": 41_250}}).to_string())).await?;
    loop {
        tokio::select! {
            frame = outgoing.recv() => socket.send(Message::text(frame.context("it ended")?.to_string())).await?,
            frame = socket.next() => {
                let Message::Text(text) = frame.context("it is gone")?? else { continue };
                let frame: Value = serde_json::from_str(&text)?;
                match frame["op"].as_u64() {
                    Some(1) => socket.send(Message::text(json!({"op": 11}).to_string())).await?,
                    Some(2 | 6) => {
                        let ready = json!({"op": 0, "t": "READY", "s": 1, "d": {
                            "session_id": "bench", "user": {"id": "42", "username": "pista"}, "application": {"id": "43"}
                        }});
                        socket.send(Message::text(ready.to_string())).await?;
                        greet.send(())?;
                    }
                    _ => (),
                }
            }
        }
    }
}

async fn answer(
    request: Request<Incoming>,
    show: mpsc::UnboundedSender<Instant>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let path = request.uri().path().to_owned();
    // What is sent counts from when it has come whole.
    let _ = request.into_body().collect().await;
    if path.ends_with("/getUpdates") {
        tokio::time::sleep(POLL).await;
    }
    if path.ends_with("/messages") {
        // Nobody may be waiting.
        let _ = show.send(Instant::now());
    }
    let result = if path.ends_with("/getUpdates") {
        json!([])
    } else {
        json!({"id": 42, "is_bot": true, "first_name": "Pista", "username": "pista_bot"})
    };
    let body = json!({"ok": true, "id": "77", "result": result});
    let response = Response::builder().header("content-type", "application/json");
    Ok(response.body(Full::from(body.to_string())).unwrap_or_default())
}
