//! Dialling a websocket: the same scope, the same checked address, the same secrets, no redirects.

use std::borrow::Cow;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{self, handshake};
use tokio_tungstenite::{WebSocketStream, client_async_with_config};
use tokio_util::either::Either;

use super::address::Reach;
use super::exchange::{bad_certificate, header_pair, kept_headers, parse_url};
use super::resolve::ResolveError;
use super::scope::{Target, TargetHost};
use super::{Egress, Outgoing};
use crate::capability::Error;
use crate::capability::secrets::Redactor;
use crate::wit::openpista::http::exchange::{Header, Request};

/// Until the websocket is open.
const HANDSHAKE: Duration = Duration::from_secs(30);

/// What a websocket runs over: plain for `ws`, encrypted for `wss`.
pub type Stream = Either<TcpStream, TlsStream<TcpStream>>;

/// An open websocket, with what its frames have to pass.
pub struct Dialled<S> {
    /// As the server opened it.
    pub socket: WebSocketStream<S>,
    /// For `CallSecrets::fill_frame`.
    pub target: Target,
    /// What comes in is cleaned with it, message by message.
    pub redactor: Arc<Redactor>,
    /// Of the server's answer to the handshake, cleaned.
    pub headers: Vec<Header>,
}

/// Why there is no websocket.
#[derive(Debug, Clone, PartialEq)]
pub enum SocketError {
    /// The gate refused, or nobody was reached.
    Gate(Error),
    /// The server answered the handshake with this instead.
    Status {
        /// Of HTTP.
        status: u16,
        /// It asked to wait so long.
        retry_after: Option<Duration>,
    },
}

impl From<Error> for SocketError {
    fn from(error: Error) -> Self {
        Self::Gate(error)
    }
}

impl Egress {
    /// Opens a websocket to a `ws` or `wss` address, with `config` as its limits. `wrap` makes of the stream what the
    /// caller keeps, before the handshake.
    pub async fn dial<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        from: Outgoing<'_>,
        request: Request,
        config: WebSocketConfig,
        wrap: impl FnOnce(Stream) -> S,
    ) -> Result<Dialled<S>, SocketError> {
        if request.method != "GET" || !request.body.is_empty() {
            return Err(Error::Invalid("a websocket is dialled with GET and without a body".into()).into());
        }
        let url = parse_url(&request.url)?;
        if !matches!(url.scheme(), "ws" | "wss") {
            return Err(Error::Invalid(format!("{} addresses cannot be dialled, only ws and wss", url.scheme())).into());
        }
        let opened = from.bounded(HANDSHAKE, async { Ok(self.open(from, url, request.headers, config, wrap).await) });
        opened.await?
    }

    async fn open<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        from: Outgoing<'_>,
        mut url: url::Url,
        headers: Vec<Header>,
        config: WebSocketConfig,
        wrap: impl FnOnce(Stream) -> S,
    ) -> Result<Dialled<S>, SocketError> {
        let (target, reach) = from.admit(&url)?;
        let mut headers = kept_headers(headers);
        headers.retain(|(name, _)| {
            let name = name.to_ascii_lowercase();
            !name.starts_with("sec-websocket-") || name == "sec-websocket-protocol"
        });
        from.secrets.fill_request(&target, &mut url, &mut headers, &mut Cow::Borrowed(&[]))?;
        let opened = url.as_str().into_client_request();
        let mut request = opened.map_err(|_| Error::Invalid("that address cannot be dialled".into()))?;
        for (name, value) in headers {
            let (name, value) = header_pair(&name, &value)?;
            request.headers_mut().append(name, value);
        }
        let redactor = from.secrets.instance().redactor_from(&target);
        let redactor = redactor.map_err(|error| Error::Unavailable(error.to_string()))?;
        let stream = self.encrypted(&target, self.connect(from, &target, reach).await?).await?;
        match client_async_with_config(request, wrap(stream), Some(config)).await {
            Ok((socket, answer)) => {
                let headers = cleaned(&answer, &redactor);
                Ok(Dialled { socket, target, redactor, headers })
            }
            Err(tungstenite::Error::Http(answer)) => {
                let retry_after = answer.headers().get(http::header::RETRY_AFTER);
                let seconds = retry_after.and_then(|value| value.to_str().ok()?.trim().parse().ok());
                Err(SocketError::Status {
                    status: answer.status().as_u16(),
                    retry_after: seconds.map(Duration::from_secs),
                })
            }
            Err(error) => {
                let why = from.secrets.redact(&error.to_string());
                Err(Error::Unavailable(format!("no websocket to {}: {why}", target.entry())).into())
            }
        }
    }

    async fn encrypted(&self, target: &Target, stream: TcpStream) -> Result<Stream, Error> {
        if !target.secure {
            return Ok(Either::Left(stream));
        }
        let untrusted =
            |why: &dyn std::fmt::Display| Error::Unavailable(format!("no TLS with {}: {why}", target.entry()));
        let name = match &target.host {
            TargetHost::Address(address) => ServerName::IpAddress((*address).into()),
            TargetHost::Name(name) => ServerName::try_from(name.clone()).map_err(|error| untrusted(&error))?,
        };
        let connector = TlsConnector::from(Arc::new(self.tls()?.clone()));
        let stream = connector.connect(name, stream).await.map_err(|error| {
            let advice = if bad_certificate(&error) { super::tls::UNTRUSTED } else { "" };
            untrusted(&format_args!("{error}{advice}"))
        })?;
        Ok(Either::Right(stream))
    }

    async fn connect(&self, from: Outgoing<'_>, target: &Target, reach: Reach) -> Result<TcpStream, Error> {
        let addresses: Vec<IpAddr> = match &target.host {
            TargetHost::Address(address) => vec![*address],
            TargetHost::Name(name) => match self.checked(reach).addresses(name).await {
                Ok(addresses) => addresses,
                Err(ResolveError::Refused(refused)) => return Err(from.refused(target, &refused)),
                Err(unknown) => return Err(Error::Unavailable(unknown.to_string())),
            },
        };
        let mut last = "it has no address".to_string();
        for address in addresses {
            let attempt = TcpStream::connect(SocketAddr::new(address, target.port));
            match tokio::time::timeout(self.options.connect_timeout, attempt).await {
                Ok(Ok(stream)) => {
                    if let Err(error) = stream.set_nodelay(true) {
                        tracing::debug!("small frames may be late: {error}");
                    }
                    return Ok(stream);
                }
                Ok(Err(error)) => last = error.to_string(),
                Err(_) => last = "nobody answers".into(),
            }
        }
        Err(Error::Unavailable(format!("no connection to {}: {last}", target.entry())))
    }
}

fn cleaned(answer: &handshake::client::Response, redactor: &Arc<Redactor>) -> Vec<Header> {
    let headers = answer.headers().iter();
    headers
        .map(|(name, value)| (name.to_string(), redactor.clean(&String::from_utf8_lossy(value.as_bytes()))))
        .collect()
}
