//! Requests to where plugins are: https, bounded in size and time, redirects followed one by one and never to an
//! unencrypted place.
//!
//! Whoever types an address means it, so private addresses are reached; that is the difference to `capability::http`,
//! through which guests ask.

use std::path::PathBuf;
use std::time::Duration;

use futures_util::StreamExt as _;
use http::header::{AUTHORIZATION, CONTENT_TYPE, LOCATION};
use reqwest::{Method, RequestBuilder, Response};
use url::Url;

use super::source::is_loopback;
use crate::capability::http::tls;

const CONNECT: Duration = Duration::from_secs(10);
/// Hops of one request.
const REDIRECTS: usize = 5;
/// Bytes of an error's text that are looked at.
const COMPLAINT_MOST: u64 = 4 << 10;
/// Characters of it that are shown.
const COMPLAINT_SHOWN: usize = 200;

/// Told how many bytes there are of how many.
pub type Progress<'a> = dyn Fn(u64, Option<u64>) + Send + Sync + 'a;

/// How much and how long.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Bytes of a component.
    pub size: u64,
    /// From the first request to the last byte.
    pub time: Duration,
    /// Without a single byte.
    pub idle: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self { size: 64 << 20, time: Duration::from_secs(600), idle: Duration::from_secs(30) }
    }
}

/// Why nothing came.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FetchError {
    /// Unencrypted.
    #[error(
        "http://{0} is not encrypted, so anyone on the way could change what comes; use https, or say --plain-http if you mean it"
    )]
    Plain(String),
    /// Sent on to somewhere unencrypted.
    #[error("{from} redirects to http://{to}, which is not encrypted; nothing was fetched from there")]
    RedirectToPlain {
        /// Who sends on.
        from: String,
        /// Where to.
        to: String,
    },
    /// Sent on to something else.
    #[error("{from} redirects to nowhere that can be asked")]
    RedirectToNowhere {
        /// Who sends on.
        from: String,
    },
    /// Sent on and on.
    #[error("{0} redirects again and again")]
    Redirects(String),
    /// An answer that is none.
    #[error("{what}: the server answered {status}{}", said(.says))]
    Status {
        /// What was asked for.
        what: String,
        /// The code.
        status: u16,
        /// Its words.
        says: String,
    },
    /// A login is needed, or was refused.
    #[error("{host} {}", login_words(*.given))]
    Login {
        /// Who asks.
        host: String,
        /// One was given.
        given: bool,
    },
    /// A login is there and cannot be read.
    #[error("{0}")]
    Logins(String),
    /// Too many bytes.
    #[error("{what} is larger than {}; [plugins] max_download in config.toml sets the limit", size(*.most))]
    TooLarge {
        /// What.
        what: String,
        /// The limit.
        most: u64,
    },
    /// It ended before its end.
    #[error("{what} was cut off: {why}; try again")]
    CutOff {
        /// What.
        what: String,
        /// In the words of whoever noticed.
        why: String,
    },
    /// No answer.
    #[error("no answer from {host}: {why}")]
    Unreachable {
        /// Who.
        host: String,
        /// Why.
        why: String,
    },
    /// It took too long.
    #[error("it took longer than {} s and was given up", .time.as_secs())]
    TimedOut {
        /// The limit.
        time: Duration,
    },
    /// Nobody waits for it any more.
    #[error("it was given up")]
    Cancelled,
    /// No such file.
    #[error("there is no file {path}")]
    NoFile {
        /// Which.
        path: PathBuf,
    },
    /// A file that cannot be read.
    #[error("{path} cannot be read: {why}")]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// A signature of other signs.
    #[error("the signature beside it is no text")]
    NotText,
    /// What the registry has is something else.
    #[error("{what}: {why}")]
    Artifact {
        /// The reference.
        what: String,
        /// What is wrong.
        why: String,
    },
    /// Other bytes than those that were announced.
    #[error(
        "{what} has other bytes than its digest says: sha256:{wanted} was wanted, sha256:{found} came. Nothing is installed; the registry, or somebody on the way, changed it"
    )]
    Digest {
        /// What.
        what: String,
        /// In hex.
        wanted: String,
        /// In hex.
        found: String,
    },
}

impl FetchError {
    /// Another attempt may go better: the place could not be reached, or did not finish.
    pub fn may_pass(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::CutOff { .. } | Self::TimedOut { .. } => true,
            Self::Status { status, .. } => *status >= 500 || *status == 429,
            _ => false,
        }
    }
}

fn said(says: &str) -> String {
    if says.is_empty() { String::new() } else { format!(": {says}") }
}

fn login_words(given: bool) -> &'static str {
    if given {
        "does not accept the login that is set for it: see [registries] in config.toml, or `docker login`"
    } else {
        "wants a login: set one in [registries] of config.toml, or run `docker login`"
    }
}

/// `3.2 MB`, in the units that config.toml has.
pub fn size(bytes: u64) -> String {
    match bytes {
        0..1_024 => format!("{bytes} bytes"),
        1_024..1_048_576 => format!("{} KB", bytes.div_ceil(1_024)),
        _ => format!("{}.{} MB", bytes >> 20, ((bytes >> 10) % 1_024) * 10 / 1_024),
    }
}

/// The client.
pub struct Web {
    client: reqwest::Client,
}

impl Web {
    /// With the system's certificate authorities, as all connections of the host.
    pub fn new(limits: Limits) -> Result<Self, FetchError> {
        let unset = |why: String| FetchError::Unreachable { host: "the network".into(), why };
        let mut tls = tls::client_config(&[]).map_err(|error| unset(error.to_string()))?;
        tls.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        let client = reqwest::Client::builder()
            .tls_backend_preconfigured(tls)
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .referer(false)
            // What is counted and digested is what was stored, not what was packed for the way.
            .no_gzip()
            .no_brotli()
            .no_deflate()
            .no_zstd()
            .user_agent(concat!("openpista-host/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(CONNECT)
            .read_timeout(limits.idle)
            .build()
            .map_err(|error| unset(error.to_string()))?;
        Ok(Self { client })
    }

    /// A request that is not sent yet.
    pub fn request(&self, method: Method, url: Url) -> RequestBuilder {
        self.client.request(method, url)
    }

    /// Sends it and follows where it is sent on to. What authorises goes to no other host, nor to another port of it.
    pub async fn send(&self, request: RequestBuilder, plain: bool) -> Result<Response, FetchError> {
        let mut request = request.build().map_err(|error| unreachable_because(None, &error))?;
        admit(request.url(), plain)?;
        for _ in 0..=REDIRECTS {
            let url = request.url().clone();
            let again = request.try_clone();
            let response =
                self.client.execute(request).await.map_err(|error| unreachable_because(Some(&url), &error))?;
            let sent_on = response.status().is_redirection() && response.status().as_u16() != 304;
            let Some(mut next) = again.filter(|next| sent_on && matches!(*next.method(), Method::GET | Method::HEAD))
            else {
                return Ok(response);
            };
            let from = place(&url);
            let location = response.headers().get(LOCATION).and_then(|value| value.to_str().ok());
            let Some(to) = location.and_then(|location| url.join(location).ok()) else {
                return Err(FetchError::RedirectToNowhere { from });
            };
            match to.scheme() {
                "https" => (),
                "http" if url.scheme() == "http" && (plain || is_loopback(&to)) => (),
                "http" => return Err(FetchError::RedirectToPlain { from, to: place(&to) }),
                _ => return Err(FetchError::RedirectToNowhere { from }),
            }
            if place(&to) != from {
                next.headers_mut().remove(AUTHORIZATION);
            }
            *next.url_mut() = to;
            request = next;
        }
        Err(FetchError::Redirects(place(request.url())))
    }

    /// The whole of a file in the web.
    pub async fn download(
        &self,
        url: &Url,
        plain: bool,
        most: u64,
        progress: &Progress<'_>,
    ) -> Result<Vec<u8>, FetchError> {
        let response = self.send(self.request(Method::GET, url.clone()), plain).await?;
        let what = shown(url);
        if !response.status().is_success() {
            return Err(complaint(what, response).await);
        }
        let page = response.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
        let page = page.is_some_and(|kind| kind.starts_with("text/html"));
        let bytes = body(what.clone(), response, most, progress).await?;
        if page && !bytes.starts_with(b"\0asm") {
            let why = "the server sent a web page, not a component; is it the address of the file itself?".into();
            return Err(FetchError::Artifact { what, why });
        }
        Ok(bytes)
    }
}

/// Only what is encrypted, or this machine, or meant.
fn admit(url: &Url, plain: bool) -> Result<(), FetchError> {
    match url.scheme() {
        "https" => Ok(()),
        "http" if plain || is_loopback(url) => Ok(()),
        _ => Err(FetchError::Plain(place(url))),
    }
}

/// Host and port.
pub fn place(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}

/// An address without what may be secret in it.
fn shown(url: &Url) -> String {
    let mut url = url.clone();
    url.set_query(None);
    url.to_string()
}

/// All of a body, as long as it has no more than `most`.
pub async fn body(what: String, response: Response, most: u64, progress: &Progress<'_>) -> Result<Vec<u8>, FetchError> {
    let total = response.content_length();
    if total.is_some_and(|total| total > most) {
        return Err(FetchError::TooLarge { what, most });
    }
    let mut bytes = Vec::new();
    let mut stream = response.bytes_stream();
    while let Some(piece) = stream.next().await {
        let piece = piece.map_err(|error| FetchError::CutOff { what: what.clone(), why: cause(&error) })?;
        bytes.extend_from_slice(&piece);
        let so_far = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        if so_far > most {
            return Err(FetchError::TooLarge { what, most });
        }
        progress(so_far, total);
    }
    Ok(bytes)
}

/// An answer that says no, in its own words as far as they are for people.
pub async fn complaint(what: String, response: Response) -> FetchError {
    let status = response.status().as_u16();
    let page = response.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default().to_owned();
    let mut says = response.status().canonical_reason().unwrap_or_default().to_owned();
    if let Ok(bytes) = body(what.clone(), response, COMPLAINT_MOST, &|_, _| ()).await
        && page.contains("json")
        && let Ok(told) = serde_json::from_slice::<serde_json::Value>(&bytes)
        && let Some(error) = told.get("errors").and_then(|errors| errors.get(0))
    {
        let word = |key: &str| error.get(key).and_then(serde_json::Value::as_str).unwrap_or_default();
        says = format!("{} {}", word("code"), word("message"));
    }
    let says = says.chars().filter(|c| !c.is_control()).take(COMPLAINT_SHOWN).collect();
    FetchError::Status { what, status, says }
}

fn unreachable_because(url: Option<&Url>, error: &reqwest::Error) -> FetchError {
    let host = url.map_or_else(|| "the server".to_owned(), place);
    let why = cause(error);
    // A certificate that is not trusted: what helps stands behind it.
    let advice = if why.contains("certificate") { tls::UNTRUSTED } else { "" };
    FetchError::Unreachable { host, why: format!("{why}{advice}") }
}

/// The innermost reason.
fn cause(error: &reqwest::Error) -> String {
    let first: &(dyn std::error::Error + 'static) = error;
    let last = std::iter::successors(Some(first), |error| error.source()).last();
    last.map_or_else(String::new, ToString::to_string)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_encrypted_places_are_asked_unless_it_is_this_machine_or_meant() {
        let admit = |text: &str, plain| admit(&Url::parse(text).unwrap(), plain);
        assert_eq!(admit("https://x.org/a", false), Ok(()));
        assert_eq!(admit("http://127.0.0.1:1/a", false), Ok(()));
        assert_eq!(admit("http://x.org/a", false), Err(FetchError::Plain("x.org".into())));
        assert_eq!(admit("http://x.org/a", true), Ok(()));
        assert!(admit("ftp://x.org/a", true).is_err());
    }

    #[test]
    fn sizes_are_written_as_people_read_them() {
        assert_eq!([12, 2_000, 3 << 20, (5 << 20) + (1 << 19)].map(size), ["12 bytes", "2 KB", "3.0 MB", "5.5 MB"]);
    }
}
