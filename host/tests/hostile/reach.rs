//! Reaching where a guest may not: addresses inside, and secrets.

use std::convert::Infallible;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use openpista_host::capability::Services;
use openpista_host::capability::http::{Egress, EgressOptions, Reach, Resolver};
use openpista_host::plugin::instance::Host;
use serde_json::json;

use super::bench::{Bench, PATIENCE, attack_on};

/// With what other spellings change.
pub const SECRET: &str = "s3cret/with signs&é";

/// A server on this machine; counts what it is asked.
pub struct Server {
    /// On 127.0.0.1.
    pub port: u16,
    asked: Arc<AtomicUsize>,
}

/// How it answers.
pub type Answer = fn(&Request<hyper::body::Incoming>) -> Response<Full<Bytes>>;

impl Server {
    /// Until the test's runtime ends.
    pub async fn start(answer: Answer) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let asked = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&asked);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let counted = Arc::clone(&counted);
                let service = service_fn(move |request| {
                    counted.fetch_add(1, Ordering::SeqCst);
                    let answered = answer(&request);
                    async move { Ok::<_, Infallible>(answered) }
                });
                let connection = hyper::server::conn::http1::Builder::new();
                tokio::spawn(connection.serve_connection(TokioIo::new(stream), service));
            }
        });
        Self { port, asked }
    }

    /// By the name `localhost`.
    pub fn url(&self, path: &str) -> String {
        format!("http://localhost:{}{path}", self.port)
    }

    /// So often.
    pub fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

/// The path that was asked for.
pub fn plain(request: &Request<hyper::body::Incoming>) -> Response<Full<Bytes>> {
    Response::new(request.uri().path().to_string().into())
}

/// `/to?URL` leads to the URL.
pub fn leading(request: &Request<hyper::body::Incoming>) -> Response<Full<Bytes>> {
    let to = request.uri().query().unwrap_or_default();
    Response::builder().status(302).header("location", to).body(Full::default()).unwrap()
}

/// Gives the secret back in every spelling, in a header and in the body.
pub fn echoing(request: &Request<hyper::body::Incoming>) -> Response<Full<Bytes>> {
    use base64::Engine as _;
    let given = request.headers().get("authorization").map(|value| value.as_bytes().to_vec()).unwrap_or_default();
    let arrived = given == format!("Bearer {SECRET}").as_bytes();
    let percent = percent_encoding::utf8_percent_encode(SECRET, percent_encoding::NON_ALPHANUMERIC).to_string();
    let base64 = base64::engine::general_purpose::STANDARD.encode(SECRET);
    let within = base64::engine::general_purpose::URL_SAFE.encode(format!("ab{SECRET}yz"));
    let body = format!("arrived: {arrived}\n{SECRET}\n{percent}\n{base64}\n{within}\n");
    Response::builder()
        .header("x-plain", http::HeaderValue::from_bytes(&given).unwrap())
        .header("x-percent", percent)
        .header("x-base64", base64)
        .body(body.into())
        .unwrap()
}

/// The hosts in the scope of `http`.
pub fn grants(items: &[&str]) -> String {
    format!("grants = {{ http = {} }}", json!(items))
}

#[tokio::test]
async fn addresses_inside_are_refused_even_where_they_are_granted() {
    let server = Server::start(plain).await;
    // To this machine it is another name of this machine.
    let nowhere = format!("0.0.0.0:{}", server.port);
    let bench = Bench::hostile(&grants(&[&nowhere, "169.254.169.254", "lan:169.254.169.254"])).await;
    let told = bench.told(json!({ "attack": "fetch", "url": format!("http://{nowhere}/") })).await;
    assert!(told.starts_with(&format!("Error::AccessDenied(\"{nowhere} leads to 0.0.0.0, ")), "{told}");
    assert_eq!(server.asked(), 0);
    let told = bench.told(json!({ "attack": "fetch", "url": "http://169.254.169.254/latest/meta-data" })).await;
    assert_eq!(
        told,
        "Error::AccessDenied(\"169.254.169.254 leads to 169.254.169.254, which is link-local, where clouds answer \
         with credentials; no grant allows that\")"
    );
    bench.pure_works().await;
}

#[test]
fn no_grant_reaches_where_clouds_keep_their_credentials() {
    for address in ["169.254.169.254", "100.100.100.200", "168.63.129.16", "fd00:ec2::254", "::ffff:169.254.169.254"] {
        let address: IpAddr = address.parse().unwrap();
        for reach in [Reach::Public, Reach::Loopback, Reach::Lan] {
            assert!(!reach.admits(address), "{address} within {reach:?}");
        }
    }
}

/// Every name is this machine.
struct Inside;

#[async_trait::async_trait]
impl Resolver for Inside {
    async fn resolve(&self, _: &str) -> std::io::Result<Vec<IpAddr>> {
        Ok(vec![Ipv4Addr::LOCALHOST.into()])
    }
}

/// The host, with every name on this machine.
pub fn everything_is_here(bench: &Bench) -> Host {
    let shared = &bench.host().services;
    let services = Services {
        http: Arc::new(Egress::new(EgressOptions { resolver: Arc::new(Inside), ..EgressOptions::default() })),
        shell: shared.shell.clone(),
        skills: Arc::clone(&shared.skills),
        state: Arc::clone(&shared.state),
        conversations: Arc::clone(&shared.conversations),
        connections: Arc::clone(&shared.connections),
        ledger: Arc::clone(&shared.ledger),
        known: Arc::clone(&shared.known),
        said: Arc::clone(&shared.said),
    };
    Host { runtime: Arc::clone(&bench.host().runtime), services: Arc::new(services) }
}

#[tokio::test]
async fn a_granted_name_that_leads_to_this_machine_is_refused() {
    let server = Server::start(plain).await;
    let name = format!("public.test:{}", server.port);
    let bench = Bench::hostile(&grants(&[&name])).await;
    let host = everything_is_here(&bench);
    let arguments = json!({ "attack": "fetch", "url": format!("https://{name}/") });
    let told = attack_on(&host, &bench.instance(), arguments, PATIENCE).await.unwrap().unwrap();
    assert_eq!(
        told,
        format!(
            "Error::AccessDenied(\"public.test leads to 127.0.0.1, which is this machine; hostile may not use http \
             for lan:{name}; to allow it: openpista-host plugin allow hostile http=lan:{name}\")"
        )
    );
    assert_eq!(server.asked(), 0);
}

#[tokio::test]
async fn a_redirect_is_checked_like_the_first_address() {
    let (server, other) = (Server::start(leading).await, Server::start(plain).await);
    let bench = Bench::hostile(&grants(&[&format!("localhost:{}", server.port)])).await;
    for (to, refused) in [
        (other.url("/"), format!("localhost:{}", other.port)),
        (format!("http://127.0.0.1:{}/", other.port), format!("127.0.0.1:{}", other.port)),
        (format!("http://2130706433:{}/", other.port), format!("127.0.0.1:{}", other.port)),
        ("http://169.254.169.254/latest/meta-data".to_string(), "169.254.169.254".to_string()),
    ] {
        let told = bench.told(json!({ "attack": "fetch", "url": server.url(&format!("/to?{to}")) })).await;
        let words = format!("Error::AccessDenied(\"hostile may not use http for {refused}; to allow it: ");
        assert!(told.starts_with(&words), "{to}: {told}");
    }
    assert_eq!((server.asked(), other.asked()), (4, 0));
    bench.pure_works().await;
}

#[tokio::test]
async fn a_secret_that_a_server_echoes_never_reaches_the_guest_in_any_spelling() {
    let server = Server::start(echoing).await;
    let config = format!(
        "settings = {{ server = {} }}\nsecrets = {{ key = {} }}\n{}",
        json!(server.url("")),
        json!(SECRET),
        grants(&[&format!("localhost:{}", server.port)])
    );
    let bench = Bench::hostile(&config).await;
    let told = bench.told(json!({ "attack": "fetch", "url": server.url("/"), "secret": "yes" })).await;
    let body = told.lines().skip_while(|line| !line.starts_with("arrived")).collect::<Vec<_>>();
    let [arrived, plain, percent, base64, within] = body.as_slice() else { panic!("{told}") };
    assert_eq!(
        [*arrived, *plain, *percent, *base64],
        ["arrived: true", "[secret key]", "[secret key]", "[secret key]="]
    );
    assert!(within.contains("[secret key]"), "{within}");
    for header in ["x-plain: Bearer [secret key]", "x-percent: [secret key]", "x-base64: [secret key]="] {
        assert!(told.lines().any(|line| line == header), "{header}: {told}");
    }
    assert!(!told.contains("s3cret"), "{told}");
    bench.pure_works().await;
}

#[tokio::test]
async fn a_stand_in_for_another_audience_is_refused_and_nothing_is_sent() {
    let (server, other) = (Server::start(echoing).await, Server::start(echoing).await);
    let hosts = [format!("localhost:{}", server.port), format!("localhost:{}", other.port)];
    let config = format!(
        "settings = {{ server = {} }}\nsecrets = {{ key = {} }}\n{}",
        json!(server.url("")),
        json!(SECRET),
        grants(&[&hosts[0], &hosts[1]])
    );
    let bench = Bench::hostile(&config).await;
    let told = bench.told(json!({ "attack": "fetch", "url": other.url("/"), "secret": "yes" })).await;
    assert!(told.starts_with("Error::AccessDenied(\""), "{told}");
    assert!(!told.contains("s3cret"), "{told}");
    assert_eq!(other.asked(), 0);
}

#[tokio::test]
async fn answers_without_end_are_refused_at_the_limit_of_resources() {
    let server = Server::start(plain).await;
    let config = format!("{}\n[limits]\nresources = 16", grants(&[&format!("localhost:{}", server.port)]));
    let bench = Bench::hostile(&config).await;
    let told = bench.beside_pure(json!({ "attack": "exchanges", "url": server.url("/") })).await.unwrap().unwrap();
    assert_eq!(told, "16: Error::TooLarge(\"too many answers held in one call\")");
}

/// A server that answers every request with these bytes, one after the other.
async fn raw(answer: Vec<Vec<u8>>) -> u16 {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") {
                request.push(stream.read_u8().await.unwrap_or(b'\n'));
                if request.len() > 10_000 {
                    break;
                }
            }
            for part in &answer {
                // A guest that has enough leaves.
                let _ = stream.write_all(part).await;
                let _ = stream.flush().await;
            }
        }
    });
    port
}

/// What the guest is told of a server that answers so and may have the secret.
async fn told_of(answer: Vec<Vec<u8>>) -> String {
    let port = raw(answer).await;
    let address = format!("http://localhost:{port}");
    let config = format!(
        "settings = {{ server = {} }}\nsecrets = {{ key = {} }}\n{}",
        json!(address),
        json!(SECRET),
        grants(&[&format!("localhost:{port}")])
    );
    let bench = Bench::hostile(&config).await;
    bench.told(json!({ "attack": "fetch", "url": format!("{address}/"), "secret": "yes" })).await
}

fn whole(headers: &str, body: &[u8]) -> Vec<Vec<u8>> {
    let head = format!("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {}\r\n{headers}\r\n", body.len());
    vec![head.into_bytes(), body.to_vec()]
}

#[tokio::test]
async fn a_secret_is_found_in_html_in_json_in_hex_and_written_twice() {
    use base64::Engine as _;
    let percent =
        |text: &str| percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string();
    let lines = [
        SECRET.replace('&', "&amp;"),
        SECRET.replace('/', "\\/").replace('é', "\\u00e9"),
        hex::encode(SECRET),
        percent(&percent(SECRET)),
        percent(base64::engine::general_purpose::STANDARD.encode(SECRET).trim_end_matches('=')),
    ];
    let told = told_of(whole("", lines.join("\n").as_bytes())).await;
    let body: Vec<&str> = told.lines().skip_while(|line| !line.starts_with("[secret")).collect();
    assert_eq!(body, ["[secret key]"; 5], "{told}");
}

#[tokio::test]
async fn a_secret_that_comes_byte_by_byte_is_found() {
    let mut answer = vec![b"HTTP/1.1 200 OK\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n".to_vec()];
    for byte in format!("<{SECRET}>").bytes() {
        answer.push([b"1\r\n", &[byte][..], b"\r\n"].concat());
    }
    // What stands behind the end is no part of the answer.
    answer.push(format!("0\r\nx-trailer: {SECRET}\r\n\r\n").into_bytes());
    let told = told_of(answer).await;
    assert!(told.ends_with("\n<[secret key]>"), "{told}");
    assert!(!told.contains("s3cret"), "{told}");
}

#[tokio::test]
async fn a_secret_in_a_compressed_answer_is_found_and_an_encoding_that_nobody_knows_refused() {
    use std::io::Write as _;
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    gzip.write_all(SECRET.as_bytes()).unwrap();
    let told = told_of(whole("content-encoding: gzip\r\n", &gzip.finish().unwrap())).await;
    assert!(told.ends_with("\n[secret key]"), "{told}");
    // Whoever knows it could take it apart.
    let told = told_of(whole("content-encoding: x-turned\r\n", &SECRET.bytes().rev().collect::<Vec<_>>())).await;
    assert!(
        told.starts_with("Error::Unavailable(\"the server answered in an encoding that was not asked for"),
        "{told}"
    );
}
