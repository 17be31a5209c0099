//! A server on this machine that answers as the test says and remembers what it was asked.

use std::convert::Infallible;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::{FutureExt as _, stream};
use http::Response;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::body::Frame;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::sync::mpsc;

pub type Answer = Response<UnsyncBoxBody<Bytes, Infallible>>;

/// A request as it arrived.
#[derive(Debug, Clone)]
pub struct Seen {
    pub method: String,
    pub path: String,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Seen {
    pub fn header(&self, name: &str) -> Option<String> {
        self.headers.iter().find(|(of, _)| of == name).map(|(_, value)| value.clone())
    }
}

/// Lives as long as the test's runtime.
pub struct Server {
    pub port: u16,
    connections: Arc<AtomicUsize>,
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl Server {
    pub async fn start(answer: impl Fn(Seen) -> BoxFuture<'static, Answer> + Send + Sync + 'static) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let connections = Arc::new(AtomicUsize::new(0));
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (answer, counted, journal) = (Arc::new(answer), Arc::clone(&connections), Arc::clone(&seen));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                counted.fetch_add(1, Ordering::SeqCst);
                let (answer, journal) = (Arc::clone(&answer), Arc::clone(&journal));
                let service = service_fn(move |request: http::Request<hyper::body::Incoming>| {
                    let (answer, journal) = (Arc::clone(&answer), Arc::clone(&journal));
                    async move {
                        let (parts, body) = request.into_parts();
                        let headers = parts.headers.iter();
                        let seen = Seen {
                            method: parts.method.to_string(),
                            path: parts.uri.to_string(),
                            headers: headers
                                .map(|(name, value)| {
                                    (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into())
                                })
                                .collect(),
                            body: body.collect().await.unwrap().to_bytes().to_vec(),
                        };
                        journal.lock().unwrap().push(seen.clone());
                        Ok::<_, Infallible>(answer(seen).await)
                    }
                });
                tokio::spawn(
                    hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service),
                );
            }
        });
        Self { port, connections, seen }
    }

    pub fn url(&self, path: &str) -> String {
        self.at("localhost", path)
    }

    pub fn at(&self, host: &str, path: &str) -> String {
        format!("http://{host}:{}{path}", self.port)
    }

    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    pub fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }
}

pub fn full(body: impl Into<Bytes>) -> UnsyncBoxBody<Bytes, Infallible> {
    Full::new(body.into()).boxed_unsync()
}

/// 200 with that body.
pub fn plain(body: impl Into<Bytes>) -> BoxFuture<'static, Answer> {
    with_headers(200, &[], body)
}

pub fn with_headers(status: u16, headers: &[(&str, &str)], body: impl Into<Bytes>) -> BoxFuture<'static, Answer> {
    let builder =
        headers.iter().fold(Response::builder().status(status), |builder, (name, value)| builder.header(*name, *value));
    std::future::ready(builder.body(full(body)).unwrap()).boxed()
}

/// 200, each piece as soon as the test sends it, the end when the sender is dropped.
pub fn streamed(pieces: mpsc::Receiver<Vec<u8>>) -> Answer {
    let frames = stream::unfold(pieces, |mut pieces| async move {
        let piece = pieces.recv().await?;
        Some((Ok(Frame::data(Bytes::from(piece))), pieces))
    });
    Response::new(StreamBody::new(frames).boxed_unsync())
}
