//! `wasi:http/outgoing-handler` through the same gate, for guests that use their language's own `fetch`.
//!
//! A request body is taken in whole before it is sent (at most 16 MiB), for stand-ins in it have to be found; an
//! answer's body streams.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::stream;
use http_body_util::{BodyExt as _, Limited, StreamBody};
use hyper::body::Frame;
use tokio_util::sync::CancellationToken;
use wasmtime_wasi_http::{Error as WasiError, RequestOptions, WasiBody, WasiHttpHooks};

use super::exchange::{BODY_MAX, Waits};
use super::{Egress, Incoming, Outgoing, arguments, end, noted};
use crate::capability::ledger::Begun;
use crate::capability::secrets::CallSecrets;
use crate::capability::{Call, Caller, Error, Ledger, LedgerEntry};
use crate::grant::Grants;
use crate::wit::openpista::http::exchange::Request;

/// What lies in a store for `wasi:http`: the call's part of the gate.
pub struct WasiEgress {
    inner: Arc<Inner>,
}

struct Inner {
    egress: Arc<Egress>,
    ledger: Arc<dyn Ledger>,
    caller: Caller,
    grants: Arc<Grants>,
    secrets: CallSecrets,
    cancel: CancellationToken,
}

/// Tells a guest about the end of a request.
type Done = Box<dyn Future<Output = Result<(), WasiError>> + Send>;
type Sent = Box<dyn Future<Output = Result<(http::Response<WasiBody>, Done), WasiError>> + Send>;

impl WasiEgress {
    /// For one call: the same scope, secrets, ledger and cancellation.
    pub fn of(call: &Call) -> Self {
        Self {
            inner: Arc::new(Inner {
                egress: Arc::clone(&call.services.http),
                ledger: Arc::clone(&call.services.ledger),
                caller: call.caller.clone(),
                grants: Arc::clone(&call.grants),
                secrets: call.secrets.clone(),
                cancel: call.cancel.clone(),
            }),
        }
    }
}

impl WasiHttpHooks for WasiEgress {
    fn send_request(&mut self, request: http::Request<WasiBody>, options: Option<RequestOptions>, _: Done) -> Sent {
        let inner = Arc::clone(&self.inner);
        Box::new(async move {
            let incoming = inner.send(request, options.unwrap_or_default()).await?;
            Ok((answer(incoming)?, Box::new(std::future::ready(Ok(()))) as Done))
        })
    }
}

impl Inner {
    async fn send(&self, request: http::Request<WasiBody>, options: RequestOptions) -> Result<Incoming, WasiError> {
        let (parts, body) = request.into_parts();
        let too_large = || WasiError::HttpRequestBodySize(Some(BODY_MAX as u64));
        let body = Limited::new(body, BODY_MAX).collect().await.map_err(|_| too_large())?;
        let text = |value: &http::HeaderValue| String::from_utf8(value.as_bytes().to_vec());
        let headers: Result<Vec<_>, _> =
            parts.headers.iter().map(|(name, value)| Ok((name.to_string(), text(value)?))).collect();
        let request = Request {
            method: parts.method.to_string(),
            url: parts.uri.to_string(),
            headers: headers.map_err(|_: std::string::FromUtf8Error| WasiError::HttpProtocolError)?,
            body: body.to_bytes().to_vec(),
        };
        let entry = LedgerEntry {
            caller: self.caller.clone(),
            capability: "http",
            what: noted(&request, &self.secrets),
            arguments: arguments(&request),
            ..LedgerEntry::default()
        };
        let begun = Begun::new(Arc::clone(&self.ledger), entry);
        let from = Outgoing {
            instance: &self.caller.instance,
            scope: self.grants.scope("http").unwrap_or_default(),
            secrets: &self.secrets,
            cancel: &self.cancel,
        };
        let default = Waits::default();
        let waits = Waits {
            first_byte: options.first_byte_timeout.unwrap_or(default.first_byte),
            between: options.between_bytes_timeout.unwrap_or(default.between),
        };
        let outcome = begun.noted(self.egress.send(from, request, waits)).await;
        end(begun, &outcome);
        outcome.map_err(translated)
    }
}

/// Headers that were cleaned into something that is none are left out.
fn answer(incoming: Incoming) -> Result<http::Response<WasiBody>, WasiError> {
    let mut builder = http::Response::builder().status(incoming.status());
    for (name, value) in incoming.headers() {
        if let Ok((name, mut value)) = super::exchange::header_pair(name, value) {
            value.set_sensitive(false);
            builder = builder.header(name, value);
        }
    }
    let frames = stream::unfold(Some(incoming), |incoming| async move {
        let mut incoming = incoming?;
        match incoming.read().await {
            Ok(chunk) => Some((Ok(Frame::data(chunk?)), Some(incoming))),
            Err(error) => Some((Err::<Frame<Bytes>, _>(translated(error)), None)),
        }
    });
    builder.body(StreamBody::new(frames).boxed_unsync()).map_err(|_| WasiError::HttpProtocolError)
}

fn translated(error: Error) -> WasiError {
    match error {
        Error::AccessDenied(_) => WasiError::HttpRequestDenied,
        Error::Invalid(_) => WasiError::HttpRequestUriInvalid,
        Error::TooLarge(_) => WasiError::HttpResponseBodySize(None),
        Error::TimedOut => WasiError::HttpResponseTimeout,
        Error::Cancelled => WasiError::ConnectionTerminated,
        Error::NotFound(why) | Error::Unavailable(why) | Error::Other(why) => WasiError::InternalError(Some(why)),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::sync::Mutex;

    use http_body_util::Full;

    use super::super::tests::server::{Server, plain, with_headers};
    use super::super::tests::{SECRET, World, local};
    use super::*;
    use crate::capability::http::Entry;
    use crate::capability::secrets::Use;

    #[derive(Default)]
    struct Notes(Mutex<Vec<(String, bool)>>);

    impl Ledger for Notes {
        fn note(&self, entry: LedgerEntry) {
            self.0.lock().unwrap().push((entry.what, entry.allowed));
        }
    }

    fn hooks(world: World, notes: &Arc<Notes>) -> WasiEgress {
        let caller = Caller { instance: "shop".into(), ..Caller::default() };
        WasiEgress {
            inner: Arc::new(Inner {
                egress: Arc::new(world.egress),
                ledger: Arc::clone(notes) as _,
                caller,
                grants: Arc::new(Grants::new([("http".into(), world.scope)])),
                secrets: world.secrets,
                cancel: world.cancel,
            }),
        }
    }

    async fn fetch(
        hooks: &mut WasiEgress,
        url: String,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Result<(u16, String), WasiError> {
        let builder =
            headers.iter().fold(http::Request::post(url), |builder, (name, value)| builder.header(*name, *value));
        let body = Full::new(Bytes::from(body.to_string())).map_err(|never| match never {}).boxed_unsync();
        let sent = hooks.send_request(builder.body(body).unwrap(), None, Box::new(std::future::ready(Ok(()))));
        let (answer, done) = Box::into_pin(sent).await?;
        Box::into_pin(done).await?;
        let status = answer.status().as_u16();
        let body = answer.into_body().collect().await?.to_bytes();
        Ok((status, String::from_utf8(body.to_vec()).unwrap()))
    }

    #[tokio::test]
    async fn a_fetch_passes_the_same_gate_with_secrets_ledger_and_redaction() {
        let server = Server::start(|seen| {
            let key = seen.header("x-key").unwrap_or_default();
            with_headers(201, &[], [seen.body, key.into()].concat())
        })
        .await;
        let audience = Entry::parse(&local(&server)).unwrap();
        let world = World::new(&[local(&server)]).with_secret(vec![Use::Header { audience, name: "x-key".into() }]);
        let (stand_in, notes) = (world.stand_in(), Arc::new(Notes::default()));
        let mut hooks = hooks(world, &notes);
        let outcome = fetch(&mut hooks, server.url("/x?q=1"), &[("x-key", &stand_in)], "body ").await.unwrap();
        assert_eq!(outcome, (201, "body [secret key]".into()));
        assert_eq!(server.seen()[0].header("x-key"), Some(SECRET.into()));

        let denied = fetch(&mut hooks, "https://elsewhere.test/".into(), &[], "").await;
        assert!(matches!(denied, Err(WasiError::HttpRequestDenied)), "{denied:?}");
        let misplaced = fetch(&mut hooks, server.url("/"), &[], &stand_in).await;
        assert!(matches!(misplaced, Err(WasiError::HttpRequestDenied)), "{misplaced:?}");
        let here = format!("localhost:{}", server.port);
        let expected = [
            (format!("POST {here}/x"), true),
            ("POST elsewhere.test/".into(), false),
            (format!("POST {here}/"), false),
        ];
        assert_eq!(*notes.0.lock().unwrap(), expected);
    }

    #[tokio::test]
    async fn a_fetch_with_an_endless_body_is_refused() {
        let server = Server::start(|_| plain("")).await;
        let mut hooks = hooks(World::new(&[local(&server)]), &Arc::default());
        let outcome = fetch(&mut hooks, server.url("/"), &[], &"x".repeat(BODY_MAX + 1)).await;
        assert!(matches!(outcome, Err(WasiError::HttpRequestBodySize(_))), "{outcome:?}");
        assert_eq!(server.connections(), 0);
    }
}
