//! Dialling a websocket: the same scope, the same checked address, the same secrets, no redirects.

use std::borrow::Cow;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{self, handshake};
use tokio_tungstenite::{Connector, MaybeTlsStream, WebSocketStream, client_async_tls_with_config};

use super::address::Reach;
use super::exchange::{header_pair, kept_headers, parse_url};
use super::resolve::ResolveError;
use super::scope::{Target, TargetHost};
use super::{Egress, Outgoing};
use crate::capability::Error;
use crate::capability::secrets::Redactor;
use crate::wit::openpista::http::exchange::{Header, Request};

/// Of one message, in bytes.
const MESSAGE_MAX: usize = 10 << 20;
/// Until the websocket is open.
const HANDSHAKE: Duration = Duration::from_secs(30);

/// A websocket that was dialled.
pub type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// An open websocket, with what its frames have to pass.
pub struct Dialled {
    /// Whole messages of at most 10 MiB.
    pub socket: Socket,
    /// For `CallSecrets::fill_frame`.
    pub target: Target,
    /// What comes in is cleaned with it, message by message.
    pub redactor: Arc<Redactor>,
    /// Of the server's answer to the handshake, cleaned.
    pub headers: Vec<Header>,
}

impl Egress {
    /// Opens a websocket to a `ws` or `wss` address.
    pub async fn dial(&self, from: Outgoing<'_>, request: Request) -> Result<Dialled, Error> {
        if request.method != "GET" || !request.body.is_empty() {
            return Err(Error::Invalid("a websocket is dialled with GET and without a body".into()));
        }
        let url = parse_url(&request.url)?;
        if !matches!(url.scheme(), "ws" | "wss") {
            return Err(Error::Invalid(format!("{} addresses cannot be dialled, only ws and wss", url.scheme())));
        }
        from.bounded(HANDSHAKE, self.open(from, url, request.headers)).await
    }

    async fn open(&self, from: Outgoing<'_>, mut url: url::Url, headers: Vec<Header>) -> Result<Dialled, Error> {
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
        let stream = self.connect(from, &target, reach).await?;
        let connector = if target.secure { Connector::Rustls(Arc::new(self.tls()?.clone())) } else { Connector::Plain };
        let config = WebSocketConfig::default().max_message_size(Some(MESSAGE_MAX)).max_frame_size(Some(MESSAGE_MAX));
        let redactor = from.secrets.instance().redactor_from(&target);
        let redactor = redactor.map_err(|error| Error::Unavailable(error.to_string()))?;
        match client_async_tls_with_config(request, stream, Some(config), Some(connector)).await {
            Ok((socket, answer)) => {
                let headers = cleaned(&answer, &redactor);
                Ok(Dialled { socket, target, redactor, headers })
            }
            Err(tungstenite::Error::Http(answer)) => {
                let status = answer.status().as_u16();
                Err(Error::Unavailable(format!("{} answered {status} instead of opening a websocket", target.entry())))
            }
            Err(error) => {
                let why = from.secrets.redact(&error.to_string());
                Err(Error::Unavailable(format!("no websocket to {}: {why}", target.entry())))
            }
        }
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
