//! The one HTTP server: HTTP/1.1 for webhooks and pages, and the upgrade to websockets.
//!
//! `app` binds it with what the person configured; routes come from the [`Hub`] at each request, so that instances come
//! and go while it runs. Before a channel sees anything, a request has passed limits of size, number and time, the
//! check of its host and the check of its origin (`guard`). After it, the host's own headers are put on the answer.

mod answer;
mod guard;
#[cfg(test)]
mod tests;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper::body::{Body as _, Incoming as Body};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::Role;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::answer::{allow, from_channel, hardened, plain};
use self::guard::{Guard, Origin, changes_something};
use super::connection::{End, code, lock};
use super::hub::Route;
use super::{EventOutcome, Hub, Incoming, ReceiverError, websocket};

/// What a server is made with.
#[derive(Debug, Clone)]
pub struct HttpSettings {
    /// Where to listen. Port 0 takes a free one.
    pub listen: Vec<SocketAddr>,
    /// Names by which the server may be asked, besides its addresses, `localhost` and public addresses.
    pub hosts: Vec<String>,
    /// Origins of pages elsewhere that may ask: `https://chat.example.org`.
    pub cors_origins: Vec<String>,
    /// Sizes, numbers and times.
    pub limits: HttpLimits,
}

/// The limits of a server. The default is what the contract says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HttpLimits {
    /// Bytes of a request's body.
    pub body: usize,
    /// Bytes of a request's line and headers.
    pub head: usize,
    /// Headers of a request.
    pub headers: usize,
    /// Connections at once, websockets included.
    pub connections: usize,
    /// Until a whole head has come; also how long a connection may be idle.
    pub head_within: Duration,
    /// Until the whole body has come.
    pub body_within: Duration,
    /// Until the channel has answered.
    pub answer_within: Duration,
}

impl Default for HttpLimits {
    fn default() -> Self {
        Self {
            body: 10 << 20,
            head: 64 << 10,
            headers: 100,
            connections: 1024,
            head_within: Duration::from_secs(30),
            body_within: Duration::from_secs(30),
            answer_within: Duration::from_secs(10),
        }
    }
}

/// Why the server does not listen.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// Somebody else has the port.
    #[error(
        "port {port} on {ip} is taken by another program: stop it, or choose another port with \
         `listen = \"{ip}:PORT\"` under `[server]` in config.toml, or `--listen`",
        port = .0.port(),
        ip = .0.ip()
    )]
    Taken(SocketAddr),
    /// The address is not ours, the port is reserved, …
    #[error("{0} cannot be listened on: {1}; see `listen` under `[server]` in config.toml")]
    Other(SocketAddr, std::io::Error),
}

/// A server that has its addresses. Who connects before [`Server::open`] waits.
pub struct Server {
    addresses: Vec<SocketAddr>,
    listeners: Mutex<Vec<TcpListener>>,
    shared: Arc<Shared>,
    stop: CancellationToken,
    tasks: TaskTracker,
}

/// What every connection of a server shares.
struct Shared {
    hub: Arc<Hub>,
    guard: Guard,
    limits: HttpLimits,
    free: Arc<Semaphore>,
    stop: CancellationToken,
}

/// What is known of the connection that a request came over.
struct Peer {
    address: SocketAddr,
    local: SocketAddr,
    permit: Arc<OwnedSemaphorePermit>,
}

impl Server {
    /// Listens on all addresses, or on none.
    pub async fn bind(settings: HttpSettings, hub: Arc<Hub>) -> Result<Self, BindError> {
        let (mut addresses, mut listeners) = (Vec::new(), Vec::new());
        for address in &settings.listen {
            let listener = TcpListener::bind(address).await.map_err(|error| match error.kind() {
                std::io::ErrorKind::AddrInUse => BindError::Taken(*address),
                _ => BindError::Other(*address, error),
            })?;
            addresses.push(listener.local_addr().map_err(|error| BindError::Other(*address, error))?);
            listeners.push(listener);
        }
        let stop = CancellationToken::new();
        let hosts = settings.hosts.iter().map(|host| host.to_ascii_lowercase()).collect();
        let shared = Arc::new(Shared {
            hub,
            guard: Guard { hosts, origins: settings.cors_origins },
            limits: settings.limits,
            free: Arc::new(Semaphore::new(settings.limits.connections)),
            stop: stop.clone(),
        });
        Ok(Self { addresses, listeners: Mutex::new(listeners), shared, stop, tasks: TaskTracker::new() })
    }

    /// Answers from now on. Not before the routes are there: a client that came early would only hear that there is
    /// nothing, so until then it waits in the system's queue.
    pub fn open(&self) {
        for listener in std::mem::take(&mut *lock(&self.listeners)) {
            self.tasks.spawn(accept(listener, Arc::clone(&self.shared), self.tasks.clone()));
        }
    }

    /// Where it listens, with the real ports.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Takes no more requests, finishes those that have begun, within this time. Websockets are the hub's.
    pub async fn shutdown(&self, within: Duration) {
        self.stop.cancel();
        self.tasks.close();
        let _ = timeout(within, self.tasks.wait()).await;
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>, tasks: TaskTracker) {
    loop {
        let accepted = tokio::select! {
            biased;
            () = shared.stop.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, address)) => match Arc::clone(&shared.free).try_acquire_owned() {
                Ok(permit) => {
                    tasks.spawn(serve(stream, address, Arc::new(permit), Arc::clone(&shared)));
                }
                Err(_) => turn_away(stream, &tasks),
            },
            Err(error) => {
                // Out of file descriptors, most likely: they come back when connections end.
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

/// Says that there are too many connections, if that fits into the socket's buffer at once.
fn turn_away(mut stream: TcpStream, tasks: &TaskTracker) {
    tracing::warn!("a connection was turned away: there are too many");
    tasks.spawn(async move {
        let answer =
            b"HTTP/1.1 503 Service Unavailable\r\nconnection: close\r\nretry-after: 5\r\ncontent-length: 0\r\n\r\n";
        let _ = timeout(Duration::from_secs(1), stream.write_all(answer)).await;
    });
}

async fn serve(stream: TcpStream, address: SocketAddr, permit: Arc<OwnedSemaphorePermit>, shared: Arc<Shared>) {
    let Ok(local) = stream.local_addr() else { return };
    // Small answers shall not wait for the acknowledgement of the one before.
    let _ = stream.set_nodelay(true);
    let peer = Arc::new(Peer { address, local, permit });
    let limits = shared.limits;
    let service = {
        let shared = Arc::clone(&shared);
        service_fn(move |request| {
            let (shared, peer) = (Arc::clone(&shared), Arc::clone(&peer));
            async move { Ok::<_, Infallible>(answer(request, &shared, &peer).await) }
        })
    };
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.head_within)
        .max_headers(limits.headers)
        .max_buf_size(limits.head)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    tokio::pin!(connection);
    let served = tokio::select! {
        served = &mut connection => served,
        () = shared.stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = served {
        tracing::debug!(peer = %address, %error, "a connection ended early");
    }
}

/// Answers one request: checks, route, channel, headers.
async fn answer(request: Request<Body>, shared: &Arc<Shared>, peer: &Peer) -> Response<Full<Bytes>> {
    if head_size(&request) > shared.limits.head {
        let why = format!("A request's head has at most {} bytes here.\n", shared.limits.head);
        return hardened(plain(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, &why), None);
    }
    let public = shared.hub.public_hosts();
    if !shared.guard.knows_host(request.uri(), request.headers(), peer.local, &public) {
        let why = "This server is not known by that name. If it should be, add the name to `allowed_hosts` under `[server]` in \
                   config.toml.\n";
        return hardened(plain(StatusCode::MISDIRECTED_REQUEST, why), None);
    }
    let origin = shared.guard.origin(request.headers(), &public);
    let upgrade = is_upgrade(&request);
    let preflight =
        request.method() == Method::OPTIONS && request.headers().contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
    if let Origin::Foreign(origin) = &origin
        && (upgrade || preflight || changes_something(request.method()))
    {
        tracing::warn!(origin, peer = %peer.address, "refused: the page is another site's");
        let why = "Pages of this origin may not ask. If they should, add it to `cors_origins` under `[server]` in \
                   config.toml.\n";
        return hardened(plain(StatusCode::FORBIDDEN, why), None);
    }
    let cors = match origin {
        Origin::Configured(origin) => Some(origin),
        Origin::Own | Origin::Foreign(_) => None,
    };
    let answer = if preflight && cors.is_some() {
        allow(request.headers())
    } else if upgrade {
        open_websocket(request, shared, peer)
    } else {
        ask_channel(request, shared, peer).await
    };
    hardened(answer, cors)
}

/// The request goes to the channel whose transport lies under its path.
async fn ask_channel(request: Request<Body>, shared: &Shared, peer: &Peer) -> Response<Full<Bytes>> {
    let (path, query) = (request.uri().path(), request.uri().query());
    let Some(route) = shared.hub.route_http(path, query) else {
        return if shared.hub.route_websocket(path, query).is_some() {
            let mut answer = plain(StatusCode::UPGRADE_REQUIRED, "There is a websocket here, and no page.\n");
            answer.headers_mut().insert(header::UPGRADE, HeaderValue::from_static("websocket"));
            answer
        } else {
            plain(StatusCode::NOT_FOUND, "There is nothing here.\n")
        };
    };
    if route.bare && is_for_a_page(&request) {
        return to_the_folder(path, query);
    }
    let (head, body) = request.into_parts();
    let body = match read_body(body, shared.limits).await {
        Ok(body) => body,
        Err(refusal) => return refusal,
    };
    route.instance.counters.requests.fetch_add(1, Ordering::Relaxed);
    route.transport.health.progressed();
    let Route { instance, transport, url, .. } = route;
    let incoming = Incoming {
        transport: transport.id.clone(),
        request: super::Request {
            method: head.method.as_str().to_owned(),
            url,
            headers: as_list(&head.headers),
            body: body.into(),
        },
        peer: peer.address.to_string(),
    };
    let receiver = instance.receiver();
    match timeout(shared.limits.answer_within, receiver.request(&instance.name, incoming)).await {
        Ok(Ok(response)) => from_channel(response).unwrap_or_else(|why| {
            tracing::warn!(instance = instance.name, transport = transport.id, why, "an answer could not be sent");
            plain(StatusCode::INTERNAL_SERVER_ERROR, "The channel gave an answer that cannot be sent; see the log.\n")
        }),
        Ok(Err(error)) => {
            tracing::warn!(instance = instance.name, transport = transport.id, %error, "a request failed");
            match error {
                ReceiverError::Failed(_) => {
                    plain(StatusCode::INTERNAL_SERVER_ERROR, "The channel could not answer; see the log.\n")
                }
                ReceiverError::AuthRequired(_) | ReceiverError::Unavailable(_) => {
                    plain(StatusCode::SERVICE_UNAVAILABLE, "The channel cannot answer now; try again.\n")
                }
            }
        }
        Err(_) => {
            tracing::warn!(instance = instance.name, transport = transport.id, "a request took too long");
            plain(StatusCode::SERVICE_UNAVAILABLE, "The channel took too long to answer; try again.\n")
        }
    }
}

/// A browser opens it. Services that call a webhook do not follow, and do not ask for a page.
fn is_for_a_page(request: &Request<Body>) -> bool {
    let wanted = request.headers().get(header::ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or_default();
    matches!(*request.method(), Method::GET | Method::HEAD) && wanted.contains("text/html")
}

/// The same address with a slash at its end. Relative, for the path may be another one in front of a proxy.
fn to_the_folder(path: &str, query: Option<&str>) -> Response<Full<Bytes>> {
    let last = path.rsplit('/').next().unwrap_or_default();
    let to = query.map_or_else(|| format!("{last}/"), |query| format!("{last}/?{query}"));
    let mut answer = plain(StatusCode::TEMPORARY_REDIRECT, "The page is at this address with a slash at its end.\n");
    if let Ok(to) = HeaderValue::try_from(to) {
        answer.headers_mut().insert(header::LOCATION, to);
    }
    answer
}

async fn read_body(body: Body, limits: HttpLimits) -> Result<Bytes, Response<Full<Bytes>>> {
    let too_large =
        || plain(StatusCode::PAYLOAD_TOO_LARGE, &format!("A body has at most {} bytes here.\n", limits.body));
    if body.size_hint().lower() > limits.body as u64 {
        return Err(too_large());
    }
    match timeout(limits.body_within, Limited::new(body, limits.body).collect()).await {
        Ok(Ok(whole)) => Ok(whole.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(too_large()),
        Ok(Err(_)) => Err(plain(StatusCode::BAD_REQUEST, "The body broke off.\n")),
        Err(_) => Err(plain(StatusCode::REQUEST_TIMEOUT, "The body took too long.\n")),
    }
}

/// Accepts a websocket and serves it in a task of its instance.
fn open_websocket(mut request: Request<Body>, shared: &Shared, peer: &Peer) -> Response<Full<Bytes>> {
    let Some(route) = shared.hub.route_websocket(request.uri().path(), request.uri().query()) else {
        return plain(StatusCode::NOT_FOUND, "There is no websocket here.\n");
    };
    let version = request.headers().get(header::SEC_WEBSOCKET_VERSION).is_some_and(|version| version == "13");
    let key = request.headers().get(header::SEC_WEBSOCKET_KEY).map(|key| derive_accept_key(key.as_bytes()));
    let accept = key.and_then(|key| HeaderValue::from_str(&key).ok());
    let Some(accept) = accept.filter(|_| version && request.method() == Method::GET) else {
        let mut answer = plain(StatusCode::BAD_REQUEST, "This is not a websocket handshake of version 13.\n");
        answer.headers_mut().insert(header::SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
        return answer;
    };
    let upgraded = hyper::upgrade::on(&mut request);
    let headers = as_list(request.headers());
    let (address, permit) = (peer.address.to_string(), Arc::clone(&peer.permit));
    let Route { instance, transport, url, .. } = route;
    let tasks = instance.tasks.clone();
    tasks.spawn(async move {
        // Counts as a connection until it ends.
        let _permit = permit;
        let upgraded = match upgraded.await {
            Ok(upgraded) => TokioIo::new(upgraded),
            Err(error) => return tracing::debug!(peer = address, %error, "a websocket was not opened"),
        };
        let socket = WebSocketStream::from_raw_socket(upgraded, Role::Server, Some(websocket::config())).await;
        let (link, outgoing) = instance.open(&transport);
        match link.opened(Some(address), url, headers).await {
            EventOutcome::Taken => {}
            EventOutcome::Dropped => {
                link.connection.end(End::new(code::REFUSED, "the channel refused the connection"));
            }
            EventOutcome::Unavailable | EventOutcome::AuthRequired(_) => {
                link.connection.end(End::new(code::FAILED, "the channel could not take the connection"));
            }
        }
        let (end, _) = websocket::serve(socket, &link, outgoing, true).await;
        link.closed(end).await;
    });
    let mut answer = Response::new(Full::default());
    *answer.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = answer.headers_mut();
    headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(header::SEC_WEBSOCKET_ACCEPT, accept);
    answer
}

/// hyper stops reading somewhere past its limit; this is the exact one.
fn head_size(request: &Request<Body>) -> usize {
    let line = request.uri().path_and_query().map_or(0, |line| line.as_str().len());
    request.headers().iter().fold(line, |sum, (name, value)| sum + name.as_str().len() + value.len() + 4)
}

fn is_upgrade(request: &Request<Body>) -> bool {
    let names = |name: HeaderName, wanted: &str| {
        request
            .headers()
            .get_all(name)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .any(|value| value.split(',').any(|item| item.trim().eq_ignore_ascii_case(wanted)))
    };
    names(header::CONNECTION, "upgrade") && names(header::UPGRADE, "websocket")
}

/// Names in lower case, in the order they came; bytes that are no text are replaced.
fn as_list(headers: &HeaderMap) -> Vec<(String, String)> {
    let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    headers.iter().map(|(name, value)| (name.as_str().to_owned(), text(value))).collect()
}
