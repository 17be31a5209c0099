//! Services on this machine that the host talks to: one request a connection, read whole, answered by a function.

use std::future::Future;
use std::sync::Arc;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// A request.
#[derive(Clone, Debug)]
pub struct Asked {
    pub method: String,
    /// With the query.
    pub path: String,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Asked {
    /// The body as JSON; null if it is none.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// A header; empty if there is none.
    pub fn header(&self, name: &str) -> &str {
        self.headers.iter().find(|(header, _)| header == name).map_or("", |(_, value)| value)
    }
}

/// A service; it ends with this.
pub struct Service {
    pub address: String,
    _serving: JoinSet<()>,
}

impl Service {
    /// Each connection is given to `serve` with its request.
    pub async fn start<F, S>(serve: S) -> Self
    where
        F: Future<Output = std::io::Result<()>> + Send + 'static,
        S: Fn(Asked, TcpStream) -> F + Send + Sync + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let serve = Arc::new(serve);
        let mut serving = JoinSet::new();
        serving.spawn(async move {
            let mut open = JoinSet::new();
            while let Ok((mut stream, _)) = listener.accept().await {
                let serve = Arc::clone(&serve);
                open.spawn(async move {
                    if let Some(asked) = read(&mut stream).await {
                        // The other side may be killed at any time.
                        let _ = serve(asked, stream).await;
                    }
                });
            }
        });
        Self { address, _serving: serving }
    }
}

async fn read(stream: &mut TcpStream) -> Option<Asked> {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line).await.ok()?;
    let mut words = line.split(' ').map(str::to_string);
    let (method, path) = (words.next()?, words.next()?);
    let mut headers = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).await.ok()?;
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        headers.push((name.to_ascii_lowercase(), value.trim().to_string()));
    }
    let asked = Asked { method, path, headers, body: Vec::new() };
    let mut body = vec![0; asked.header("content-length").parse().unwrap_or(0)];
    reader.read_exact(&mut body).await.ok()?;
    Some(Asked { body, ..asked })
}

/// A whole answer, after which the connection is over.
pub async fn answer(stream: TcpStream, status: u16, kind: &str, body: &[u8]) -> std::io::Result<()> {
    answer_with(stream, status, &format!("content-type: {kind}\r\n"), body).await
}

/// As `answer`, with these headers, each with its line end.
pub async fn answer_with(mut stream: TcpStream, status: u16, headers: &str, body: &[u8]) -> std::io::Result<()> {
    let length = body.len();
    let head = format!("HTTP/1.1 {status} X\r\n{headers}content-length: {length}\r\nconnection: close\r\n\r\n");
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(body).await?;
    stream.shutdown().await
}

/// Asks a service; the status.
pub async fn post(address: &str, path: &str, headers: &str, body: &str) -> u16 {
    try_post(address, path, headers, body).await.unwrap_or_else(|| panic!("{address}{path} does not answer"))
}

/// Asks a service that may not be there; the status.
pub async fn try_post(address: &str, path: &str, headers: &str, body: &str) -> Option<u16> {
    let mut stream = TcpStream::connect(address.strip_prefix("http://")?).await.ok()?;
    let length = body.len();
    let head = format!(
        "POST {path} HTTP/1.1\r\nhost: localhost\r\n{headers}connection: close\r\ncontent-length: {length}\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await.ok()?;
    stream.write_all(body.as_bytes()).await.ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.ok()?;
    answer.split(' ').nth(1)?.parse().ok()
}

/// Asks a service for a page; the status and the body.
pub async fn get(address: &str, path: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(address.strip_prefix("http://").unwrap()).await.unwrap();
    let head = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_string())
}
