//! `openpista:http`: the one way out.
//!
//! Whatever leaves for another host passes [`Egress`]: a guest's `send`, a transport's poll or dial, a guest's
//! `wasi:http`. Each hop goes the same way: the host is looked up in the instance's scope ([`scope`]), stand-ins become
//! secrets for that host only (`secrets::place`), the name is resolved and its addresses are checked at the moment of
//! connecting ([`resolve`], [`address`]), and what comes back is cleaned of that host's secrets ([`incoming`]).
//!
//! There is one pooled client for each [`Reach`], so a warm connection that was made under a wide scope entry is never
//! used under a narrow one.

pub mod address;
pub mod exchange;
pub mod incoming;
pub mod resolve;
pub mod scope;
pub mod socket;
pub mod tls;
pub mod wasi;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};
use std::time::Duration;

use rustls::ClientConfig;
use rustls::pki_types::CertificateDer;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use url::Url;
use wasmtime::component::Resource;

pub use address::Reach;
pub use exchange::Waits;
pub use incoming::Incoming;
pub use resolve::{Resolver, SystemResolver};
pub use scope::{Entry, EntryError, Target, TargetHost};
pub use socket::{Dialled, SocketError, Stream};
pub use wasi::WasiEgress;

use super::secrets::CallSecrets;
use super::{Error, View, ledger};
use crate::wit::openpista::http::client::{Host, HostIncoming, Options};
use crate::wit::openpista::http::exchange::{Header, Request};

/// Requests of one instance at a time; more wait. Each turn that waits for a slow model holds one, so there may be about
/// as many as there are calls of one plugin.
const AT_ONCE: usize = 2_048;

/// How the gate is set up.
pub struct EgressOptions {
    /// Names to addresses.
    pub resolver: Arc<dyn Resolver>,
    /// Sent unless the guest sends one.
    pub user_agent: String,
    /// For one connection.
    pub connect_timeout: Duration,
    /// Certificate authorities besides the system's.
    pub authorities: Vec<CertificateDer<'static>>,
}

impl Default for EgressOptions {
    fn default() -> Self {
        Self {
            resolver: Arc::new(SystemResolver),
            user_agent: concat!("openpista-host/", env!("CARGO_PKG_VERSION")).to_string(),
            connect_timeout: Duration::from_secs(10),
            authorities: Vec::new(),
        }
    }
}

/// For whom something is sent: the instance, what it may do, and when to give up.
#[derive(Clone, Copy)]
pub struct Outgoing<'a> {
    /// The instance's name.
    pub instance: &'a str,
    /// Its granted `http` scope; empty when nothing is granted.
    pub scope: &'a [String],
    /// Its secrets, and the stand-ins that were given out.
    pub secrets: &'a CallSecrets,
    /// Ends every wait.
    pub cancel: &'a CancellationToken,
}

/// The gate that all requests pass.
pub struct Egress {
    options: EgressOptions,
    /// Made at first use: an idle daemon reads no certificates.
    tls: OnceLock<ClientConfig>,
    clients: Clients,
    busy: Mutex<HashMap<String, Weak<Semaphore>>>,
}

#[derive(Default)]
struct Clients {
    public: OnceLock<reqwest::Client>,
    loopback: OnceLock<reqwest::Client>,
    lan: OnceLock<reqwest::Client>,
}

impl Egress {
    /// With nothing connected yet.
    pub fn new(options: EgressOptions) -> Self {
        Self { options, tls: OnceLock::new(), clients: Clients::default(), busy: Mutex::default() }
    }

    fn tls(&self) -> Result<&ClientConfig, Error> {
        if let Some(ready) = self.tls.get() {
            return Ok(ready);
        }
        let made = tls::client_config(&self.options.authorities);
        let made = made.map_err(|error| Error::Unavailable(format!("TLS cannot be set up: {error}")))?;
        Ok(self.tls.get_or_init(|| made))
    }

    fn checked(&self, reach: Reach) -> resolve::Checked {
        resolve::Checked::new(Arc::clone(&self.options.resolver), reach)
    }

    fn client(&self, reach: Reach) -> Result<&reqwest::Client, Error> {
        let place = match reach {
            Reach::Public => &self.clients.public,
            Reach::Loopback => &self.clients.loopback,
            Reach::Lan => &self.clients.lan,
        };
        if let Some(ready) = place.get() {
            return Ok(ready);
        }
        let mut tls = self.tls()?.clone();
        tls.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        let made = reqwest::Client::builder()
            .tls_backend_preconfigured(tls)
            .dns_resolver(self.checked(reach))
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .referer(false)
            .user_agent(&self.options.user_agent)
            .connect_timeout(self.options.connect_timeout)
            .tcp_nodelay(true)
            .http2_max_header_list_size(exchange::ANSWER_HEADERS_MAX)
            .build();
        let made = made.map_err(|error| Error::Unavailable(format!("the HTTP client cannot be set up: {error}")))?;
        Ok(place.get_or_init(|| made))
    }

    /// Waits until the instance has fewer than its most requests under way.
    async fn turn(&self, instance: &str) -> Result<OwnedSemaphorePermit, Error> {
        let semaphore = {
            let mut busy = self.busy.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(known) = busy.get(instance).and_then(Weak::upgrade) {
                known
            } else {
                busy.retain(|_, semaphore| semaphore.strong_count() > 0);
                let made = Arc::new(Semaphore::new(AT_ONCE));
                busy.insert(instance.to_string(), Arc::downgrade(&made));
                made
            }
        };
        // Nobody closes it.
        semaphore.acquire_owned().await.map_err(|_| Error::Cancelled)
    }
}

impl Outgoing<'_> {
    /// Where a URL leads, and how far it may reach there: the check of the name, and of an address that is written out.
    fn admit(&self, url: &Url) -> Result<(Target, Reach), Error> {
        let Some(target) = Target::of(url) else {
            return Err(Error::Invalid(format!(
                "{}: only http, https, ws and wss addresses with a host can be asked",
                url.scheme()
            )));
        };
        if !url.username().is_empty() || url.password().is_some() {
            return Err(Error::Invalid(
                "an address holds no user name or password; use the header authorization".into(),
            ));
        }
        let Some(reach) = scope::reach(self.scope, &target) else {
            // Only a `lan:` entry allows plain http to a name.
            let named = matches!(&target.host, TargetHost::Name(name) if name != "localhost");
            let lan = if named && !target.secure { "lan:" } else { "" };
            let what = format!("{lan}{}", target.entry());
            return Err(Error::AccessDenied(crate::grant::denial(self.instance, "http", &what)));
        };
        match target.host {
            TargetHost::Address(address) if !reach.admits(address) => {
                Err(self.refused(&target, &resolve::Refused::new(&target.entry(), address)))
            }
            _ => Ok((target, reach)),
        }
    }

    /// The denial of an address, with what would allow it where anything would.
    fn refused(&self, target: &Target, refused: &resolve::Refused) -> Error {
        let hint = if refused.lan_would_do {
            let entry = format!("lan:{}", target.entry());
            crate::grant::denial(self.instance, "http", &entry)
        } else {
            "no grant allows that".to_string()
        };
        Error::AccessDenied(format!("{refused}; {hint}"))
    }

    /// Runs `work` until it is done, the time is over, or the call is cancelled.
    async fn bounded<T>(&self, wait: Duration, work: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
        bounded(self.cancel, wait, work).await
    }
}

async fn bounded<T>(
    cancel: &CancellationToken,
    wait: Duration,
    work: impl Future<Output = Result<T, Error>>,
) -> Result<T, Error> {
    tokio::select! {
        biased;
        () = cancel.cancelled() => Err(Error::Cancelled),
        done = tokio::time::timeout(wait, work) => done.unwrap_or(Err(Error::TimedOut)),
    }
}

impl Host for View<'_> {
    async fn send(
        &mut self,
        request: Request,
        options: Option<Options>,
    ) -> wasmtime::Result<Result<Resource<Incoming>, Error>> {
        let begun = self.begin("http", noted(&request, &self.call.secrets), arguments(&request));
        let waits =
            options.map_or_else(Waits::default, |options| Waits::new(options.first_byte_ms, options.between_bytes_ms));
        let from = Outgoing {
            instance: &self.call.caller.instance,
            scope: self.call.grants.scope("http").unwrap_or_default(),
            secrets: &self.call.secrets,
            cancel: &self.call.cancel,
        };
        let answer = begun.noted(self.call.services.http.send(from, request, waits)).await;
        end(begun, &answer);
        Ok(match answer {
            Ok(incoming) => {
                self.table.push(incoming).map_err(|_| Error::TooLarge("too many answers held in one call".into()))
            }
            Err(error) => Err(error),
        })
    }
}

/// The hash of what is asked for, as the guest wrote it: stand-ins and not secrets are in it.
fn arguments(request: &Request) -> String {
    ledger::hash([request.method.as_bytes(), request.url.as_bytes(), request.body.as_slice()])
}

/// What came of a request, for the ledger.
fn end(begun: ledger::Begun, answer: &Result<Incoming, Error>) {
    match answer {
        Ok(incoming) => begun.end(true, incoming.status().to_string()),
        Err(Error::AccessDenied(_)) => begun.end(false, ledger::DENIED),
        Err(Error::Cancelled) => begun.end(true, "cancelled"),
        Err(Error::TimedOut) => begun.end(true, "timed out"),
        Err(_) => begun.end(true, "failed"),
    }
}

/// A part of a path with more characters is no name of anything: services write tokens there that they gave out themselves.
const NAME_MOST: usize = 64;

/// What the ledger says of a request: no query, names for secrets, and of the path what may be names.
fn noted(request: &Request, secrets: &CallSecrets) -> String {
    let method = &request.method;
    let place =
        Url::parse(&request.url).ok().and_then(|url| Some(format!("{}{}", Target::of(&url)?.entry(), url.path())));
    let Some(place) = place else { return format!("{} without a host", secrets.redact(method)) };
    let place = secrets.redact(&format!("{method} {place}"));
    let names = place.split('/').enumerate().map(|(at, name)| match name.char_indices().nth(NAME_MOST) {
        Some(_) if at > 0 => "…",
        _ => name,
    });
    names.collect::<Vec<_>>().join("/")
}

impl HostIncoming for View<'_> {
    async fn status(&mut self, incoming: Resource<Incoming>) -> wasmtime::Result<u16> {
        Ok(self.table.get(&incoming)?.status())
    }

    async fn headers(&mut self, incoming: Resource<Incoming>) -> wasmtime::Result<Vec<Header>> {
        Ok(self.table.get(&incoming)?.headers().to_vec())
    }

    async fn read(&mut self, incoming: Resource<Incoming>) -> wasmtime::Result<Result<Option<Vec<u8>>, Error>> {
        let incoming = self.table.get_mut(&incoming)?;
        Ok(incoming.read().await.map(|chunk| chunk.map(|chunk| chunk.to_vec())))
    }

    async fn drop(&mut self, incoming: Resource<Incoming>) -> wasmtime::Result<()> {
        self.table.delete(incoming)?;
        Ok(())
    }
}

impl crate::wit::openpista::http::exchange::Host for View<'_> {}

#[cfg(test)]
mod tests;
