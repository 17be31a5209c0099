//! Encrypted servers on this machine: one whose certificate nobody vouches for gets not one byte of a request, and one
//! whose authority the person trusts is asked.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "clippy exempts only functions that are tests themselves, not what they share"
)]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use base64::Engine as _;
use openpista_host::capability::Error;
use openpista_host::capability::http::{Egress, EgressOptions, Outgoing, SocketError};
use openpista_host::capability::secrets::CallSecrets;
use openpista_host::transport::{Request, websocket_config};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

#[path = "staged/home.rs"]
mod home;
#[path = "staged/skip.rs"]
mod skip;

use home::{Home, stock};
use skip::skip;

/// Who vouches for servers.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: CertificateDer<'static>,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap().der().clone();
        Self { issuer: Issuer::new(params, key), certificate }
    }

    /// As a file for `SSL_CERT_FILE`.
    fn file(&self, folder: &Path) -> PathBuf {
        let text = base64::engine::general_purpose::STANDARD.encode(&self.certificate);
        let lines: Vec<_> = text.as_bytes().chunks(64).map(|line| String::from_utf8_lossy(line)).collect();
        let path = folder.join("authority.pem");
        let text = format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", lines.join("\n"));
        std::fs::write(&path, text).unwrap();
        path
    }
}

/// A server that answers each request with one message of a model, until the tests end.
struct Server {
    port: u16,
    /// Requests that came through the handshake.
    asked: Arc<AtomicUsize>,
}

impl Server {
    /// With a certificate for this name.
    fn start(authority: &Authority, name: &str, expired: bool) -> Self {
        let mut params = CertificateParams::new(vec![name.to_string()]).unwrap();
        if expired {
            params.not_after = rcgen::date_time_ymd(2020, 1, 1);
        }
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &authority.issuer).unwrap().der().clone();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let key = PrivatePkcs8KeyDer::from(key.serialize_der());
        let config = config.with_no_client_auth().with_single_cert(vec![certificate], key.into()).unwrap();
        let config = Arc::new(config);
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let asked = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&asked);
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let connection = ServerConnection::new(Arc::clone(&config)).unwrap();
                let mut stream = BufReader::new(StreamOwned::new(connection, stream));
                if read_request(&mut stream).is_some() {
                    counted.fetch_add(1, Ordering::SeqCst);
                    // The client may have gone already.
                    let _ = answer(stream.get_mut());
                }
            }
        });
        Self { port, asked }
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

type Encrypted = StreamOwned<ServerConnection, std::net::TcpStream>;

/// Reads a whole request; none if there is none, as when the handshake failed.
fn read_request(stream: &mut BufReader<Encrypted>) -> Option<()> {
    let mut length = 0;
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).ok().filter(|read| *read > 0)?;
        match line.trim_end().split_once(": ") {
            Some((name, value)) if name.eq_ignore_ascii_case("content-length") => length = value.parse().ok()?,
            None if line.trim_end().is_empty() => break,
            _ => (),
        }
    }
    stream.read_exact(&mut vec![0; length]).ok()
}

fn answer(stream: &mut Encrypted) -> std::io::Result<()> {
    let piece = json!({"choices": [{"delta": {"content": "Safe and sound."}, "finish_reason": "stop"}]});
    let body = format!("data: {piece}\n\ndata: [DONE]\n\n");
    let length = body.len();
    let head = format!("HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length: {length}\r\n");
    stream.write_all(format!("{head}connection: close\r\n\r\n{body}").as_bytes())?;
    stream.conn.send_close_notify();
    stream.flush()
}

/// What a request to this port comes to, with these authorities besides the system's.
async fn ask(port: u16, authorities: Vec<CertificateDer<'static>>) -> Result<String, Error> {
    let egress = Egress::new(EgressOptions { authorities, ..EgressOptions::default() });
    let scope = [format!("localhost:{port}")];
    let (secrets, cancel) = (CallSecrets::default(), CancellationToken::new());
    let from = Outgoing { instance: "shop", scope: &scope, secrets: &secrets, cancel: &cancel };
    let get = |scheme: &str| Request {
        method: "GET".into(),
        url: format!("{scheme}://localhost:{port}/"),
        headers: Vec::new(),
        body: Vec::new(),
    };
    let answer = egress.request(from, get("https"), Duration::from_secs(60)).await;
    // A websocket goes the same way, up to the handshake of its own that this server does not know.
    let dialled = egress.dial(from, get("wss"), websocket_config(), |stream| stream).await.err();
    match (&answer, dialled) {
        (Ok(_), Some(SocketError::Status { status: 200, .. })) => (),
        (Err(Error::Unavailable(_)), Some(SocketError::Gate(Error::Unavailable(why)))) => {
            assert!(why.starts_with(&format!("no TLS with localhost:{port}: invalid peer certificate: ")), "{why}");
        }
        other => panic!("{other:?}"),
    }
    answer.map(|answer| String::from_utf8(answer.body).unwrap())
}

const ADVICE: &str = "; if you trust that server, add its authority to the system's, or name a file with all that you trust in SSL_CERT_FILE";

#[tokio::test]
async fn a_server_that_nobody_vouches_for_is_not_asked() {
    let (authority, other) = (Authority::new(), Authority::new());
    let server = Server::start(&authority, "localhost", false);
    let port = server.port;
    let unknown = format!("no answer from localhost:{port}: invalid peer certificate: UnknownIssuer{ADVICE}");
    assert_eq!(ask(port, Vec::new()).await, Err(Error::Unavailable(unknown.clone())));
    assert!(ask(port, vec![other.certificate]).await.is_err());
    assert_eq!(server.asked(), 0);

    assert!(ask(port, vec![authority.certificate]).await.unwrap().contains("Safe and sound."));
    assert_eq!(server.asked(), 2);
}

#[tokio::test]
async fn a_certificate_for_another_name_or_of_another_time_is_refused_though_its_authority_is_trusted() {
    let authority = Authority::new();
    for (name, expired, words) in [("elsewhere.test", false, "not valid for name"), ("localhost", true, "expired")] {
        let server = Server::start(&authority, name, expired);
        let Err(Error::Unavailable(why)) = ask(server.port, vec![authority.certificate.clone()]).await else {
            panic!("{words}: it was asked")
        };
        let start = format!("no answer from localhost:{}: invalid peer certificate: ", server.port);
        assert!(why.starts_with(&start) && why.contains(words) && why.ends_with(ADVICE), "{why}");
        assert_eq!(server.asked(), 0);
    }
}

#[test]
fn a_model_behind_a_certificate_of_ones_own_answers_once_ssl_cert_file_names_its_authority() {
    let stock = match stock() {
        Ok(stock) => stock,
        Err(reason) => {
            let test = "a_model_behind_a_certificate_of_ones_own_answers_once_ssl_cert_file_names_its_authority";
            return skip(&format!("tls::{test}"), &reason);
        }
    };
    let authority = Authority::new();
    let server = Server::start(&authority, "localhost", false);
    let address = format!("https://localhost:{}", server.port);
    let home = Home::new(&stock, &["provider-openai-chat"], &address, "");
    let run = |file: Option<PathBuf>| {
        let mut command = home.host(&["run", "-e", "are you safe?", "--json"]);
        let output = command.envs(file.map(|file| ("SSL_CERT_FILE", file))).output().unwrap();
        let out = String::from_utf8(output.stdout).unwrap();
        let end: Value = out.lines().last().map(|line| serde_json::from_str(line).unwrap()).unwrap_or_default();
        (output.status.code(), end)
    };
    let (code, end) = run(None);
    assert_eq!((code, &end["ok"]), (Some(1), &json!(false)), "{end}");
    let notice = end["notice"].as_str().unwrap();
    assert!(notice.contains("invalid peer certificate: UnknownIssuer") && notice.contains("SSL_CERT_FILE"), "{notice}");
    assert_eq!(server.asked(), 0);

    let (code, end) = run(Some(authority.file(&home.workspace())));
    assert_eq!((code, &end["text"]), (Some(0), &json!("Safe and sound.")), "{end}");
}
