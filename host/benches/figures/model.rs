//! A model's service on this machine that costs next to nothing: what is measured is the host.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::Result;
use bytes::Bytes;
use futures_util::stream;
use http::{Request, Response};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::Notify;

/// Asks for an answer in so many pieces: the word and a number.
pub const PIECES: &str = "pieces";
/// Asks for an answer that comes only when `release` is called.
pub const WAIT: &str = "wait";

/// A piece of a streamed answer is so long.
const PIECE: &str = "word ";

#[derive(Default)]
struct Waiting {
    count: AtomicUsize,
    go: Notify,
}

/// The service.
pub struct Model {
    /// What `base-url` is set to.
    pub address: String,
    waiting: Arc<Waiting>,
}

impl Model {
    /// Listening on a port of its own, until the process ends.
    pub async fn start() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = format!("http://{}/v1", listener.local_addr()?);
        let waiting = Arc::new(Waiting::default());
        let shared = Arc::clone(&waiting);
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                // Without it the second piece of an answer waits for the acknowledgement of the first.
                let _ = socket.set_nodelay(true);
                let waiting = Arc::clone(&shared);
                tokio::spawn(async move {
                    let service = service_fn(move |request| answer(request, Arc::clone(&waiting)));
                    // A client that is gone ends its connection, not the service.
                    let _ = hyper::server::conn::http1::Builder::new()
                        .serve_connection(TokioIo::new(socket), service)
                        .await;
                });
            }
        });
        Ok(Self { address, waiting })
    }

    /// How many answers wait.
    pub fn waiting(&self) -> usize {
        self.waiting.count.load(Ordering::Acquire)
    }

    /// Lets all that wait be answered.
    pub fn release(&self) {
        self.waiting.go.notify_waiters();
    }
}

async fn answer(
    request: Request<Incoming>,
    waiting: Arc<Waiting>,
) -> Result<Response<BoxBody<Bytes, Infallible>>, hyper::Error> {
    if request.uri().path().ends_with("/models") {
        let models = json!({"object": "list", "data": [{"id": "bench", "object": "model"}]}).to_string();
        return Ok(Response::new(Full::new(Bytes::from(models)).boxed()));
    }
    let body = request.into_body().collect().await?.to_bytes();
    let asked = last_words(&body);
    let mut words = asked.split(' ');
    let pieces = match words.next() {
        Some(PIECES) => words.next().and_then(|count| count.parse().ok()).unwrap_or(1),
        Some(WAIT) => {
            let go = waiting.go.notified();
            waiting.count.fetch_add(1, Ordering::AcqRel);
            go.await;
            waiting.count.fetch_sub(1, Ordering::AcqRel);
            1
        }
        _ => 1,
    };
    let piece = event(&json!({"choices": [{"index": 0, "delta": {"content": PIECE}}]}));
    let end = event(&json!({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 9, "completion_tokens": pieces}}));
    let last = Bytes::from(format!("{end}data: [DONE]\n\n"));
    let piece = Bytes::from(piece);
    // Each piece is a frame of its own, as a service that streams sends it.
    let frames = (0..pieces).map(move |_| piece.clone()).chain(std::iter::once(last));
    let body = StreamBody::new(stream::iter(frames.map(|bytes| Ok(Frame::data(bytes)))));
    let mut response = Response::new(BodyExt::boxed(body));
    response.headers_mut().insert("content-type", http::HeaderValue::from_static("text/event-stream"));
    Ok(response)
}

fn event(value: &Value) -> String {
    format!("data: {value}\n\n")
}

/// What the last message of the request says. Only its end is read: a long history must cost the host, not this.
fn last_words(body: &[u8]) -> String {
    let key = br#""content":"#;
    let Some(at) = memchr::memmem::rfind(body, br#""role":"user""#) else { return String::new() };
    let Some(found) = memchr::memmem::find(&body[at..], key) else { return String::new() };
    let rest = &body[at + found + key.len()..];
    let mut values = serde_json::Deserializer::from_slice(rest).into_iter::<Value>();
    match values.next() {
        Some(Ok(Value::String(text))) => text,
        Some(Ok(Value::Array(parts))) => parts.iter().filter_map(|part| part["text"].as_str()).collect(),
        _ => String::new(),
    }
}
