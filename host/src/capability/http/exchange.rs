//! One request and the redirects that it leads to, each hop checked and filled like the first.

use std::borrow::Cow;
use std::time::Duration;

use http::{HeaderName, HeaderValue, Method, StatusCode, header};
use url::Url;

use super::incoming::{Body, Incoming};
use super::resolve::ResolveError;
use super::scope::Target;
use super::{Egress, Outgoing};
use crate::capability::Error;
use crate::capability::secrets::{Filter, Redactor};
use crate::wit::openpista::http::exchange::{Header, Request, Response};

const REDIRECTS: usize = 5;
/// Of a request, in bytes.
pub(super) const BODY_MAX: usize = 16 << 20;
/// Of an answer that is wanted whole.
const WHOLE_MAX: usize = 10 << 20;
const URL_MAX: usize = 16 << 10;
const HEADERS_MAX: usize = 100;
const HEADER_BYTES_MAX: usize = 64 << 10;
/// Of all headers of an answer, in bytes.
pub(super) const ANSWER_HEADERS_MAX: u32 = 256 << 10;

/// Headers that are the host's: given by a guest, they are dropped. `range` is one, because a piece of a body could
/// begin in the middle of a secret.
const HOSTS_OWN: [&str; 13] = [
    "accept-encoding",
    "connection",
    "content-length",
    "expect",
    "host",
    "http2-settings",
    "if-range",
    "keep-alive",
    "range",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// How long to wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Waits {
    /// Until the headers.
    pub first_byte: Duration,
    /// Between two chunks.
    pub between: Duration,
}

impl Default for Waits {
    fn default() -> Self {
        Self { first_byte: Duration::from_secs(30), between: Duration::from_secs(120) }
    }
}

impl Waits {
    /// In ms; none is the default.
    pub fn new(first_byte: Option<u32>, between: Option<u32>) -> Self {
        let given = |ms: Option<u32>| ms.map(|ms| Duration::from_millis(ms.into()));
        let default = Self::default();
        Self {
            first_byte: given(first_byte).unwrap_or(default.first_byte),
            between: given(between).unwrap_or(default.between),
        }
    }
}

/// What the next hop asks; stand-ins are still in it.
struct Hop {
    method: Method,
    url: Url,
    headers: Vec<Header>,
    body: Vec<u8>,
}

impl Egress {
    /// Sends a request, follows redirects, and returns when the headers of the last answer are there.
    pub async fn send(&self, from: Outgoing<'_>, request: Request, waits: Waits) -> Result<Incoming, Error> {
        let hop = Hop::new(request)?;
        if !matches!(hop.url.scheme(), "http" | "https") {
            return Err(Error::Invalid(format!("{} addresses cannot be asked, only http and https", hop.url.scheme())));
        }
        from.bounded(waits.first_byte, self.follow(from, hop, waits)).await
    }

    /// The whole answer, at most 10 MiB, for a transport that polls.
    pub async fn request(&self, from: Outgoing<'_>, request: Request, wait: Duration) -> Result<Response, Error> {
        let whole = async {
            let mut incoming = self.send(from, request, Waits { first_byte: wait, between: wait }).await?;
            let body = incoming.rest(WHOLE_MAX).await?;
            Ok(Response { status: incoming.status, headers: incoming.headers, body })
        };
        from.bounded(wait, whole).await
    }

    async fn follow(&self, from: Outgoing<'_>, mut hop: Hop, waits: Waits) -> Result<Incoming, Error> {
        let permit = self.turn(from.instance).await?;
        for _ in 0..=REDIRECTS {
            let (target, response) = self.hop(from, &hop).await?;
            let Some(next) = hop.next(from, &target, &response)? else {
                let redactor = from.secrets.instance().redactor_from(&target);
                let redactor = redactor.map_err(|error| Error::Unavailable(error.to_string()))?;
                let headers = answer_headers(&response, &redactor)?;
                let status = response.status().as_u16();
                let body = Body::new(response, permit, Filter::new(redactor), waits.between, from.cancel.clone());
                return Ok(Incoming { status, headers, body });
            };
            hop = next;
        }
        Err(Error::Unavailable(format!("the server redirected over {REDIRECTS} times")))
    }

    async fn hop(&self, from: Outgoing<'_>, hop: &Hop) -> Result<(Target, reqwest::Response), Error> {
        let (target, reach) = from.admit(&hop.url)?;
        let mut url = hop.url.clone();
        let mut headers = hop.headers.clone();
        let mut body = Cow::Borrowed(hop.body.as_slice());
        from.secrets.fill_request(&target, &mut url, &mut headers, &mut body)?;
        let mut request = reqwest::Request::new(hop.method.clone(), url);
        for (name, value) in headers {
            let (name, value) = header_pair(&name, &value)?;
            request.headers_mut().append(name, value);
        }
        if !body.is_empty() {
            *request.body_mut() = Some(body.into_owned().into());
        }
        match self.client(reach)?.execute(request).await {
            Ok(response) => Ok((target, response)),
            Err(error) => Err(failure(from, &target, &error)),
        }
    }
}

impl Hop {
    fn new(request: Request) -> Result<Self, Error> {
        let too_large =
            |what: &str, limit: usize| Err(Error::TooLarge(format!("a request's {what} has at most {limit} bytes")));
        if request.body.len() > BODY_MAX {
            return too_large("body", BODY_MAX);
        }
        if request.url.len() > URL_MAX {
            return too_large("address", URL_MAX);
        }
        if request.headers.iter().map(|(name, value)| name.len() + value.len()).sum::<usize>() > HEADER_BYTES_MAX {
            return too_large("headers together", HEADER_BYTES_MAX);
        }
        if request.headers.len() > HEADERS_MAX {
            return Err(Error::TooLarge(format!("a request has at most {HEADERS_MAX} headers")));
        }
        let method = Method::from_bytes(request.method.as_bytes())
            .ok()
            .filter(|method| !matches!(*method, Method::CONNECT | Method::TRACE))
            .ok_or_else(|| Error::Invalid(format!("{} is no method that can be asked", request.method)))?;
        let url = parse_url(&request.url)?;
        Ok(Self { method, url, headers: kept_headers(request.headers), body: request.body })
    }

    /// The hop that a redirect asks for; none when the answer is the last.
    fn next(&self, from: Outgoing<'_>, target: &Target, response: &reqwest::Response) -> Result<Option<Self>, Error> {
        let status = response.status();
        let moved = matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308);
        let Some(location) = response.headers().get(header::LOCATION).filter(|_| moved) else { return Ok(None) };
        let location = from.secrets.stand_ins_for_values(target, &String::from_utf8_lossy(location.as_bytes()))?;
        let joined = self.url.join(&location);
        let mut url =
            joined.map_err(|error| Error::Unavailable(format!("the server redirected to no address: {error}")))?;
        url.set_fragment(None);
        let Some(to) = Target::of(&url).filter(|_| matches!(url.scheme(), "http" | "https")) else {
            return Err(Error::AccessDenied(format!("the server redirected to a {} address", url.scheme())));
        };
        let mut headers = self.headers.clone();
        if to != *target {
            headers.retain(|(name, value)| {
                let personal = ["authorization", "cookie"].iter().any(|own| name.eq_ignore_ascii_case(own));
                !personal || from.secrets.header_is_for(&to, name, value)
            });
        }
        let fetch_only = match status {
            StatusCode::SEE_OTHER => self.method != Method::GET && self.method != Method::HEAD,
            StatusCode::MOVED_PERMANENTLY | StatusCode::FOUND => self.method == Method::POST,
            _ => false,
        };
        if !fetch_only {
            return Ok(Some(Self { method: self.method.clone(), url, headers, body: self.body.clone() }));
        }
        headers.retain(|(name, _)| !name.to_ascii_lowercase().starts_with("content-"));
        Ok(Some(Self { method: Method::GET, url, headers, body: Vec::new() }))
    }
}

pub(super) fn parse_url(text: &str) -> Result<Url, Error> {
    let mut url = Url::parse(text).map_err(|error| Error::Invalid(format!("that is no absolute address: {error}")))?;
    url.set_fragment(None);
    Ok(url)
}

/// Without those that are the host's.
pub(super) fn kept_headers(headers: Vec<Header>) -> Vec<Header> {
    let own = |name: &str| HOSTS_OWN.contains(&name) || name.starts_with("proxy-");
    headers.into_iter().filter(|(name, _)| !own(name.trim().to_ascii_lowercase().as_str())).collect()
}

/// As the wire has it. Values never show up in logs of the client.
pub(super) fn header_pair(name: &str, value: &str) -> Result<(HeaderName, HeaderValue), Error> {
    let invalid =
        |what: &str| Error::Invalid(format!("{what} of the header {} holds what no header may", name.escape_default()));
    let parsed = HeaderName::from_bytes(name.as_bytes()).map_err(|_| invalid("the name"))?;
    let mut value = HeaderValue::from_bytes(value.as_bytes()).map_err(|_| invalid("the value"))?;
    value.set_sensitive(true);
    Ok((parsed, value))
}

fn answer_headers(response: &reqwest::Response, redactor: &std::sync::Arc<Redactor>) -> Result<Vec<Header>, Error> {
    // What the client understood, it decompressed, and took the header away. The rest could hide a secret.
    if let Some(encoding) = response.headers().get(header::CONTENT_ENCODING).filter(|value| *value != "identity") {
        let encoding = String::from_utf8_lossy(encoding.as_bytes()).into_owned();
        return Err(Error::Unavailable(format!(
            "the server answered in an encoding that was not asked for: {}",
            redactor.clean(&encoding)
        )));
    }
    let size: usize = response.headers().iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
    if size > ANSWER_HEADERS_MAX as usize {
        return Err(Error::TooLarge(format!("an answer's headers have at most {ANSWER_HEADERS_MAX} bytes")));
    }
    // A label has another length than the secret that it stands for.
    let kept = |name: &HeaderName| *name != header::CONTENT_LENGTH || redactor.finds_nothing();
    let cleaned = response.headers().iter().filter(|(name, _)| kept(name)).map(|(name, value)| {
        let value = redactor.clean_bytes(value.as_bytes());
        (redactor.clean(name.as_str()), String::from_utf8_lossy(&value).into_owned())
    });
    Ok(cleaned.collect())
}

/// Why there was no answer. The address is left out: it may hold a secret.
fn failure(from: Outgoing<'_>, target: &Target, error: &reqwest::Error) -> Error {
    match resolve_error(error) {
        Some(ResolveError::Refused(refused)) => from.refused(target, refused),
        Some(unknown) => Error::Unavailable(unknown.to_string()),
        None => {
            let advice = if untrusted(error) { super::tls::UNTRUSTED } else { "" };
            let why = format!("no answer from {}: {}{advice}", target.entry(), cause(error));
            Error::Unavailable(from.secrets.redact(&why))
        }
    }
}

/// The server showed a certificate that is not trusted for it.
fn untrusted(error: &reqwest::Error) -> bool {
    chain(error).filter_map(|error| error.downcast_ref::<std::io::Error>()).any(bad_certificate)
}

/// The same, of a handshake.
pub(super) fn bad_certificate(error: &std::io::Error) -> bool {
    let Some(inner) = error.get_ref() else { return false };
    match inner.downcast_ref::<std::io::Error>() {
        Some(within) => bad_certificate(within),
        None => matches!(inner.downcast_ref::<rustls::Error>(), Some(rustls::Error::InvalidCertificate(_))),
    }
}

fn resolve_error(error: &reqwest::Error) -> Option<&ResolveError> {
    chain(error).find_map(|error| error.downcast_ref::<ResolveError>())
}

fn chain<'a>(
    error: &'a (dyn std::error::Error + 'static),
) -> impl Iterator<Item = &'a (dyn std::error::Error + 'static)> {
    std::iter::successors(Some(error), |error| error.source())
}

/// The innermost reason: what the system or the protocol said, without the address.
pub(super) fn cause(error: &reqwest::Error) -> String {
    chain(error).skip(1).last().map_or_else(|| "the connection broke".to_string(), ToString::to_string)
}
