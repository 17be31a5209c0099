//! One websocket, accepted or dialled: frames in, frames out, heartbeat, limits, end.
//!
//! Reading and writing are two futures of one task, so a reply that an event led to is written without a change of
//! thread. The reader never gives up an event that it has begun: whatever ends the connection is noted on it, and the
//! reader sees it before its next frame.

use std::time::Duration;

use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt as _, StreamExt as _};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep_until, timeout};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Bytes;
use tokio_tungstenite::tungstenite::error::{Error, ProtocolError};
use tokio_tungstenite::tungstenite::protocol::frame::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{Message, WebSocketConfig};

use super::connection::{End, Link, Outgoing, code};
use super::{EventOutcome, FRAME_MAX, Frame};

/// The host asks the peer for a sign of life so often.
const PING_EVERY: Duration = Duration::from_secs(20);
/// A peer that was not heard of for this long is gone.
const SILENCE_MAX: Duration = Duration::from_secs(60);
/// An accepted connection has this long to sign in.
const SIGN_IN_WITHIN: Duration = Duration::from_secs(30);
/// How long a peer may take to answer a close.
const CLOSE_WITHIN: Duration = Duration::from_secs(2);
/// Bytes of a reason in a close frame, by RFC 6455.
const REASON_MAX: usize = 123;

/// The limits of a websocket.
pub fn config() -> WebSocketConfig {
    WebSocketConfig::default()
        .max_message_size(Some(FRAME_MAX))
        .max_frame_size(Some(FRAME_MAX))
        // One buffer for each connection stays allocated: 1,000 idle ones shall not cost 128 MB.
        .read_buffer_size(8 << 10)
        .write_buffer_size(32 << 10)
}

/// Serves a websocket of which `opened` was taken, until it ends. `accepted`: the peer has to sign in.
pub(super) async fn serve<S>(
    socket: WebSocketStream<S>,
    link: &Link,
    mut outgoing: UnboundedReceiver<Outgoing>,
    accepted: bool,
) -> (End, Option<String>)
where
    S: AsyncRead + AsyncWrite + Send + Unpin,
{
    let (mut sink, stream) = socket.split();
    let read = {
        let reader = read(stream, link, accepted);
        let writer = write(&mut sink, link, &mut outgoing, accepted);
        tokio::pin!(reader);
        tokio::select! {
            biased;
            read = &mut reader => read,
            () = writer => reader.await,
        }
    };
    if read.say_so {
        let _ = timeout(CLOSE_WITHIN, sink.send(close_message(&read.end))).await;
    }
    let _ = timeout(CLOSE_WITHIN, sink.close()).await;
    (read.end, read.auth_required)
}

/// What the reader came back with.
struct Read {
    end: End,
    /// The peer shall be told.
    say_so: bool,
    /// The channel wants a credential.
    auth_required: Option<String>,
}

impl Read {
    fn told(end: End) -> Self {
        Self { end, say_so: true, auth_required: None }
    }

    fn by_peer(end: End) -> Self {
        Self { end, say_so: false, auth_required: None }
    }
}

async fn read<S>(mut stream: SplitStream<WebSocketStream<S>>, link: &Link, accepted: bool) -> Read
where
    S: AsyncRead + AsyncWrite + Send + Unpin,
{
    loop {
        let heard = tokio::select! {
            biased;
            end = link.connection.ended() => {
                // Codes that RFC 6455 keeps for what no close frame said must not be in one.
                let say_so = end.code != code::VANISHED;
                return Read { end, say_so, auth_required: None };
            }
            heard = timeout(SILENCE_MAX, stream.next()) => heard,
        };
        let message = match heard {
            Err(_) => return Read::told(End::new(code::AWAY, "nothing was heard for 60 s")),
            Ok(None) => return Read::by_peer(End::new(code::VANISHED, "the connection broke")),
            Ok(Some(Err(error))) => return ended_by(&error),
            Ok(Some(Ok(message))) => message,
        };
        let frame = match message {
            Message::Text(text) => Frame::Text(text.as_str().to_owned()),
            Message::Binary(bytes) => Frame::Binary(bytes.into()),
            Message::Close(frame) => {
                let (code, reason) =
                    frame.map_or((code::NORMAL, String::new()), |f| (f.code.into(), f.reason.as_str().to_owned()));
                return Read::by_peer(End { code, reason });
            }
            Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => {
                link.connection.transport.health.progressed();
                continue;
            }
        };
        match link.frame(frame).await {
            // Who came to us is not asked for our credential.
            EventOutcome::AuthRequired(why) if !accepted => {
                return Read { auth_required: Some(why), ..Read::told(End::new(code::NORMAL, "")) };
            }
            _ => {}
        }
    }
}

/// What an error of the websocket means for its end.
fn ended_by(error: &Error) -> Read {
    match error {
        Error::Capacity(_) => Read::told(End::new(code::TOO_LARGE, format!("a frame has at most {FRAME_MAX} bytes"))),
        Error::Utf8(_) => Read::told(End::new(code::NOT_UTF8, "a text frame was not UTF-8")),
        Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) => {
            Read::by_peer(End::new(code::VANISHED, "the connection broke"))
        }
        Error::Protocol(broken) => Read::told(End::new(code::PROTOCOL, broken.to_string())),
        other => Read::by_peer(End::new(code::VANISHED, other.to_string())),
    }
}

/// Writes what is queued, in batches, and pings. Ends only after it has ended the connection.
async fn write<S>(
    sink: &mut SplitSink<WebSocketStream<S>, Message>,
    link: &Link,
    outgoing: &mut UnboundedReceiver<Outgoing>,
    accepted: bool,
) where
    S: AsyncRead + AsyncWrite + Send + Unpin,
{
    let started = Instant::now();
    let mut pings = interval_at(started + PING_EVERY, PING_EVERY);
    pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let sign_in = sleep_until(started + SIGN_IN_WITHIN);
    tokio::pin!(sign_in);
    let mut unsigned = accepted;
    loop {
        let written = tokio::select! {
            biased;
            () = &mut sign_in, if unsigned => {
                unsigned = false;
                if !link.connection.is_tagged() {
                    link.connection.end(End::new(code::NOT_SIGNED_IN, "no sign-in within 30 s"));
                    return;
                }
                Ok(())
            }
            _ = pings.tick() => sink.send(Message::Ping(Bytes::new())).await,
            next = outgoing.recv() => match next {
                // The connection keeps a sender, so there is always another one.
                None => return,
                Some(first) => match batch(sink, link, first, outgoing).await {
                    Ok(None) => Ok(()),
                    Ok(Some(end)) => {
                        // The peer's answer ends the reader; one that does not answer is not waited for.
                        tokio::time::sleep(CLOSE_WITHIN).await;
                        link.connection.end(End { code: code::VANISHED, reason: end.reason });
                        return;
                    }
                    Err(error) => Err(error),
                },
            },
        };
        if let Err(error) = written {
            link.connection.end(End::new(code::VANISHED, error.to_string()));
            return;
        }
    }
}

/// Writes one frame and all that wait behind it, then flushes once. Returns the end that was asked for, if one was.
async fn batch<S>(
    sink: &mut SplitSink<WebSocketStream<S>, Message>,
    link: &Link,
    first: Outgoing,
    outgoing: &mut UnboundedReceiver<Outgoing>,
) -> Result<Option<End>, Error>
where
    S: AsyncRead + AsyncWrite + Send + Unpin,
{
    let mut next = Some(first);
    while let Some(item) = next {
        let message = match &item {
            Outgoing::Text(text) => Message::Text(text.clone()),
            Outgoing::Binary(bytes) => Message::Binary(bytes.clone()),
            Outgoing::Close(end) => {
                sink.send(close_message(end)).await?;
                return Ok(Some(end.clone()));
            }
        };
        sink.feed(message).await?;
        link.connection.sent(&item);
        next = outgoing.try_recv().ok();
    }
    sink.flush().await?;
    Ok(None)
}

/// A close frame, with a code that may be in one and a reason that fits.
fn close_message(end: &End) -> Message {
    let wished = CloseCode::from(end.code);
    let code = if wished.is_allowed() { wished } else { CloseCode::Normal };
    let reason = end.reason.get(..end.reason.floor_char_boundary(REASON_MAX)).unwrap_or_default().into();
    Message::Close(Some(CloseFrame { code, reason }))
}

#[cfg(test)]
mod tests;
