//! A web server of the tests: answers each path with the bytes that it was told, head and all, encrypted or not.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read, Write};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

/// Who vouches for servers.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: CertificateDer<'static>,
}

impl Authority {
    pub fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap().der().clone();
        Self { issuer: Issuer::new(params, key), certificate }
    }

    /// As a file for `SSL_CERT_FILE`.
    pub fn file(&self, folder: &Path) -> PathBuf {
        let text = base64::engine::general_purpose::STANDARD.encode(&self.certificate);
        let lines: Vec<_> = text.as_bytes().chunks(64).map(String::from_utf8_lossy).collect();
        let path = folder.join("authority.pem");
        let text = format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", lines.join("\n"));
        std::fs::write(&path, text).unwrap();
        path
    }
}

/// What is said to a path; without it, 404.
type Pages = Arc<Mutex<BTreeMap<String, Vec<u8>>>>;

pub struct Server {
    /// `http://127.0.0.1:PORT`, or `https://localhost:PORT`.
    pub address: String,
    pages: Pages,
}

impl Server {
    pub fn plain() -> Self {
        Self::start("http://127.0.0.1", None)
    }

    pub fn encrypted(authority: &Authority) -> Self {
        let params = CertificateParams::new(vec!["localhost".to_string()]).unwrap();
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &authority.issuer).unwrap().der().clone();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let key = PrivatePkcs8KeyDer::from(key.serialize_der());
        let config = config.with_no_client_auth().with_single_cert(vec![certificate], key.into()).unwrap();
        Self::start("https://localhost", Some(Arc::new(config)))
    }

    fn start(at: &str, tls: Option<Arc<ServerConfig>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("{at}:{}", listener.local_addr().unwrap().port());
        let pages = Pages::default();
        let told = Arc::clone(&pages);
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                match &tls {
                    None => answer(stream, &told),
                    Some(config) => {
                        let connection = ServerConnection::new(Arc::clone(config)).unwrap();
                        let mut stream = StreamOwned::new(connection, stream);
                        answer(&mut stream, &told);
                        stream.conn.send_close_notify();
                        let _ = stream.flush();
                    }
                }
            }
        });
        Self { address, pages }
    }

    /// An answer with these bytes, whole.
    pub fn file(&self, path: &str, kind: &str, bytes: &[u8]) -> String {
        let head = format!("HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\ncontent-length: {}\r\n", bytes.len());
        self.raw(path, &[format!("{head}connection: close\r\n\r\n").as_bytes(), bytes].concat())
    }

    /// An answer as it is on the wire.
    pub fn raw(&self, path: &str, bytes: &[u8]) -> String {
        self.pages.lock().unwrap().insert(path.to_string(), bytes.to_vec());
        format!("{}{path}", self.address)
    }
}

fn answer(stream: impl Read + Write, pages: &Pages) {
    let mut stream = BufReader::new(stream);
    let mut first = String::new();
    // A handshake that failed has no request.
    let Ok(1..) = stream.read_line(&mut first) else { return };
    let mut line = String::new();
    while stream.read_line(&mut line).is_ok_and(|read| read > 2) {
        line.clear();
    }
    let path = first.split(' ').nth(1).unwrap_or_default().to_string();
    let gone = b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\nconnection: close\r\n\r\n".to_vec();
    let bytes = pages.lock().unwrap().get(&path).cloned().unwrap_or(gone);
    // The client may have gone already.
    let _ = stream.get_mut().write_all(&bytes).and_then(|()| stream.get_mut().flush());
}
