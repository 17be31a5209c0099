//! Each defence of the server has a test of its own here, on real sockets of the loopback.

use tokio::io::AsyncReadExt as _;

use super::*;
use crate::transport::TransportKind;
use crate::transport::fake::{Fake, setup};

async fn server(fake: &Fake, change: impl FnOnce(&mut HttpSettings)) -> Server {
    let mut settings = HttpSettings {
        listen: vec![([127, 0, 0, 1], 0).into()],
        hosts: vec!["Chat.Example.org".into()],
        cors_origins: vec!["https://other.example.org".into()],
        limits: HttpLimits::default(),
    };
    change(&mut settings);
    let server = Server::bind(settings, Arc::clone(&fake.hub)).await.unwrap();
    server.open();
    server
}

/// Sends these bytes and reads to the end.
async fn raw(server: &Server, request: impl AsRef<[u8]>) -> String {
    let mut stream = TcpStream::connect(server.addresses()[0]).await.unwrap();
    // An answer may come, and the socket close, before all was sent.
    let _ = stream.write_all(request.as_ref()).await;
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    String::from_utf8(answer).unwrap()
}

/// A request without a body; `headers` end with a line break each.
async fn ask(server: &Server, method: &str, path: &str, headers: &str) -> String {
    let host = if headers.to_ascii_lowercase().contains("host:") { "" } else { "host: localhost\r\n" };
    raw(server, format!("{method} {path} HTTP/1.1\r\n{host}connection: close\r\n{headers}\r\n")).await
}

fn status(answer: &str) -> u16 {
    answer.split(' ').nth(1).unwrap_or_else(|| panic!("no status in {answer:?}")).parse().unwrap()
}

fn header<'a>(answer: &'a str, name: &str) -> Vec<&'a str> {
    let head = answer.split("\r\n\r\n").next().unwrap();
    head.lines().filter_map(|line| line.split_once(": ")).filter(|(n, _)| *n == name).map(|(_, v)| v).collect()
}

fn body(answer: &str) -> &str {
    answer.split_once("\r\n\r\n").unwrap().1
}

/// Answers with what it was asked.
fn mirror(fake: &Fake) {
    fake.on_request(|incoming| async move {
        let request = incoming.request;
        let body = String::from_utf8(request.body).unwrap();
        let said = format!("{} {} {} {body}", incoming.transport, request.method, request.url);
        Ok(super::super::Response { status: 200, headers: Vec::new(), body: said.into_bytes() })
    });
}

fn http(id: &str, path: &str) -> Vec<super::super::TransportRequest> {
    setup(id, TransportKind::Http(path.into()))
}

#[tokio::test]
async fn a_request_goes_to_the_longest_mount_and_path() {
    let fake = Fake::new();
    mirror(&fake);
    fake.mount("web", "/", [http("page", "/"), http("files", "/files")].concat()).unwrap();
    fake.mount("chat", "/chat", http("hook", "/hook")).unwrap();
    let server = server(&fake, |_| {}).await;
    for (path, expected) in [
        ("/", "page GET / "),
        ("/index.html?x=1&y", "page GET /index.html?x=1&y "),
        ("/files/a%20b", "files GET /files/a%20b "),
        ("/filesystem", "page GET /filesystem "),
        ("/chat/hook", "hook GET /hook "),
        ("/chat/hook/deep?q", "hook GET /hook/deep?q "),
        ("/chat", "page GET /chat "),
        ("/chatter/hook", "page GET /chatter/hook "),
    ] {
        assert_eq!(body(&ask(&server, "GET", path, "").await), expected, "{path}");
    }
    let posted = raw(
        &server,
        "POST /chat/hook HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\ncontent-length: 5\r\n\r\nhello",
    );
    assert_eq!(body(&posted.await), "hook POST /hook hello");
}

#[tokio::test]
async fn a_browser_is_sent_to_the_folder_of_a_mount_and_a_webhook_is_not() {
    let fake = Fake::new();
    mirror(&fake);
    fake.mount("root", "/", http("page", "/")).unwrap();
    fake.mount("chat", "/a/chat", http("own", "/")).unwrap();
    let server = server(&fake, |_| {}).await;
    let browser = "accept: text/html,application/xhtml+xml,*/*;q=0.8\r\n";
    for (path, to) in [("/a/chat", "chat/"), ("/a/chat?x=1&y", "chat/?x=1&y")] {
        let answer = ask(&server, "GET", path, browser).await;
        assert_eq!((status(&answer), header(&answer, "location")), (307, vec![to]), "{path}");
    }
    for (method, path, accept, expected) in [
        ("GET", "/a/chat/", browser, "own GET / "),
        ("GET", "/a/chat?challenge=1", "accept: */*\r\n", "own GET /?challenge=1 "),
        ("POST", "/a/chat", browser, "own POST / "),
        ("GET", "/", browser, "page GET / "),
    ] {
        assert_eq!(body(&ask(&server, method, path, accept).await), expected, "{method} {path}");
    }
}

#[tokio::test]
async fn what_nobody_serves_is_not_found() {
    let fake = Fake::new();
    fake.configure("chat", http("hook", "/hook")).unwrap();
    let server = server(&fake, |_| {}).await;
    assert_eq!(status(&ask(&server, "GET", "/", "").await), 404);
    fake.hub.close_instance("chat").await;
    assert_eq!(status(&ask(&server, "GET", "/chat/hook", "").await), 404);
}

#[tokio::test]
async fn a_body_over_the_limit_is_refused_whether_its_length_is_told_or_not() {
    let fake = Fake::new();
    mirror(&fake);
    fake.mount("web", "/", http("page", "/")).unwrap();
    let server = server(&fake, |settings| settings.limits.body = 10).await;
    let told = "POST / HTTP/1.1\r\nhost: localhost\r\ncontent-length: 11\r\n\r\n";
    assert_eq!(status(&raw(&server, told).await), 413);
    let head = "POST / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n";
    assert_eq!(status(&raw(&server, format!("{head}b\r\nhello world\r\n0\r\n\r\n")).await), 413);
    let fits = raw(&server, format!("{head}a\r\nhelloworld\r\n0\r\n\r\n")).await;
    assert_eq!(body(&fits), "page POST / helloworld");
}

#[tokio::test]
async fn a_channel_that_takes_too_long_is_a_503() {
    let fake = Fake::new();
    fake.on_request(|_| std::future::pending());
    fake.mount("web", "/", http("page", "/")).unwrap();
    let server = server(&fake, |settings| settings.limits.answer_within = Duration::from_millis(20)).await;
    assert_eq!(status(&ask(&server, "GET", "/", "").await), 503);
}

#[tokio::test]
async fn errors_of_a_channel_are_answers_that_the_sender_tries_again() {
    let fake = Fake::new();
    fake.mount("web", "/", http("page", "/")).unwrap();
    let server = server(&fake, |_| {}).await;
    for (error, expected) in [
        (ReceiverError::Failed("trap".into()), 500),
        (ReceiverError::Unavailable("later".into()), 503),
        (ReceiverError::AuthRequired("no token".into()), 503),
    ] {
        fake.on_request(move |_| std::future::ready(Err(error.clone())));
        let answer = ask(&server, "GET", "/", "").await;
        assert_eq!(status(&answer), expected);
        assert!(!answer.contains("trap") && !answer.contains("token"), "inner words stay inside: {answer}");
    }
}

#[tokio::test]
async fn a_slow_head_ends_the_connection() {
    let fake = Fake::new();
    let server = server(&fake, |settings| settings.limits.head_within = Duration::from_millis(30)).await;
    let mut stream = TcpStream::connect(server.addresses()[0]).await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nhost: loc").await.unwrap();
    let mut answer = Vec::new();
    let read = timeout(Duration::from_secs(20), stream.read_to_end(&mut answer)).await;
    assert!(read.is_ok(), "the server still waits");
}

#[tokio::test]
async fn a_slow_body_is_given_up() {
    let fake = Fake::new();
    fake.mount("web", "/", http("page", "/")).unwrap();
    let server = server(&fake, |settings| settings.limits.body_within = Duration::from_millis(30)).await;
    let half = "POST / HTTP/1.1\r\nhost: localhost\r\ncontent-length: 10\r\n\r\nhel";
    assert_eq!(status(&raw(&server, half).await), 408);
}

#[tokio::test]
async fn too_many_or_too_large_headers_are_refused() {
    let fake = Fake::new();
    fake.mount("web", "/", http("page", "/")).unwrap();
    let server = server(&fake, |_| {}).await;
    let many: String = (0..200).map(|number| format!("x-{number}: y\r\n")).collect();
    assert_eq!(status(&ask(&server, "GET", "/", &many).await), 431);
    let large = format!("x: {}\r\n", "y".repeat(100 << 10));
    let answer = ask(&server, "GET", "/", &large).await;
    // What the server did not read any more can make the system drop the answer.
    assert!(answer.is_empty() || status(&answer) == 431, "{answer}");
    assert_eq!(status(&ask(&server, "GET", "/", "x: y\r\n").await), 200);
}

#[tokio::test]
async fn a_connection_over_the_limit_is_turned_away_until_another_ends() {
    let fake = Fake::new();
    fake.mount("web", "/", http("page", "/")).unwrap();
    let server = server(&fake, |settings| settings.limits.connections = 1).await;
    let mut first = TcpStream::connect(server.addresses()[0]).await.unwrap();
    first.write_all(b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
    let mut byte = [0];
    first.read_exact(&mut byte).await.unwrap();
    assert_eq!(status(&raw(&server, "").await), 503);
    drop(first);
    loop {
        match status(&ask(&server, "GET", "/", "").await) {
            503 => tokio::task::yield_now().await,
            other => break assert_eq!(other, 200),
        }
    }
}

#[tokio::test]
async fn a_name_that_is_not_ours_is_misdirected_against_dns_rebinding() {
    let fake = Fake::new();
    let mut options = fake.options("/");
    options.public_url = Some("https://bot.example.net/".into());
    fake.hub.reconfigure("web", fake.receiver.clone(), options, http("page", "/")).unwrap();
    let server = server(&fake, |_| {}).await;
    for known in ["localhost:3210", "LocalHost", "127.0.0.1:1", "[::1]:3210", "chat.example.org", "bot.example.net:443"]
    {
        assert_eq!(status(&ask(&server, "GET", "/", &format!("host: {known}\r\n")).await), 200, "{known}");
    }
    for foreign in ["evil.example", "localhost.evil.example", "192.168.1.7", "127.0.0.1.evil.example", "", "a b"] {
        let answer = ask(&server, "GET", "/", &format!("host: {foreign}\r\n")).await;
        assert_eq!(status(&answer), 421, "{foreign}");
        assert!(answer.contains("config.toml"), "{answer}");
    }
    let without = raw(&server, "GET / HTTP/1.0\r\n\r\n").await;
    assert_eq!(status(&without), 421);
    let two = ask(&server, "GET", "/", "host: localhost\r\nhost: evil.example\r\n").await;
    assert!([400, 421].contains(&status(&two)), "{two}");
    let absolute = ask(&server, "GET", "http://evil.example/", "host: localhost\r\n").await;
    assert_eq!(status(&absolute), 421);
}

#[tokio::test]
async fn another_sites_page_may_read_nothing_and_change_nothing() {
    let fake = Fake::new();
    fake.mount("web", "/", http("page", "/")).unwrap();
    let server = server(&fake, |_| {}).await;
    for (method, origin, expected) in [
        ("POST", "http://localhost:3210", 200),
        ("POST", "https://other.example.org", 200),
        ("POST", "http://localhost:9999", 403),
        ("POST", "https://evil.example", 403),
        ("PUT", "null", 403),
        ("DELETE", "https://evil.example", 403),
        ("GET", "https://evil.example", 200),
    ] {
        let headers = format!("host: localhost:3210\r\norigin: {origin}\r\n");
        let answer = ask(&server, method, "/", &headers).await;
        assert_eq!(status(&answer), expected, "{method} {origin}");
        let cors = if origin == "https://other.example.org" { vec![origin] } else { Vec::new() };
        assert_eq!(header(&answer, "access-control-allow-origin"), cors, "{method} {origin}");
    }
    assert_eq!(status(&ask(&server, "POST", "/", "").await), 200, "a messenger's server sends no origin");
}

#[tokio::test]
async fn a_preflight_is_answered_for_configured_origins_only() {
    let fake = Fake::new();
    fake.mount("web", "/", http("page", "/")).unwrap();
    let server = server(&fake, |_| {}).await;
    let asks = "access-control-request-method: PUT\r\naccess-control-request-headers: x-a\r\n";
    let good = ask(&server, "OPTIONS", "/", &format!("origin: https://other.example.org\r\n{asks}")).await;
    assert_eq!(status(&good), 204);
    assert_eq!(header(&good, "access-control-allow-origin"), ["https://other.example.org"]);
    assert_eq!(header(&good, "access-control-allow-methods"), ["PUT"]);
    assert_eq!(header(&good, "access-control-allow-headers"), ["x-a"]);
    let bad = ask(&server, "OPTIONS", "/", &format!("origin: https://evil.example\r\n{asks}")).await;
    assert_eq!(status(&bad), 403);
    assert_eq!(header(&bad, "access-control-allow-origin"), [""; 0]);
}

#[tokio::test]
async fn every_answer_has_the_hosts_headers_and_keeps_the_channels_policy() {
    let fake = Fake::new();
    fake.on_request(|_| async {
        let headers = [
            ("content-type", "text/html"),
            ("content-security-policy", "default-src 'self'"),
            ("x-frame-options", "ALLOWALL"),
            ("content-length", "9999"),
            ("access-control-allow-origin", "*"),
            ("set-cookie", "a=1"),
            ("set-cookie", "b=2"),
        ];
        let headers = headers.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
        Ok(super::super::Response { status: 201, headers, body: b"page".to_vec() })
    });
    fake.mount("web", "/", http("page", "/")).unwrap();
    let server = server(&fake, |_| {}).await;
    let answer = ask(&server, "GET", "/", "").await;
    assert_eq!(status(&answer), 201);
    assert_eq!(body(&answer), "page");
    for (name, expected) in [
        ("content-type", vec!["text/html"]),
        ("content-length", vec!["4"]),
        ("x-content-type-options", vec!["nosniff"]),
        ("referrer-policy", vec!["no-referrer"]),
        ("x-frame-options", vec!["DENY"]),
        ("content-security-policy", vec!["default-src 'self'", "frame-ancestors 'none'"]),
        ("access-control-allow-origin", vec![]),
        ("set-cookie", vec!["a=1", "b=2"]),
    ] {
        assert_eq!(header(&answer, name), expected, "{name}");
    }
    let head = ask(&server, "HEAD", "/", "").await;
    assert_eq!((body(&head), header(&head, "content-length")), ("", vec!["4"]));
    let missing = ask(&server, "GET", "/", "host: evil.example\r\n").await;
    assert_eq!(header(&missing, "x-content-type-options"), ["nosniff"]);
}

#[tokio::test]
async fn an_answer_that_cannot_be_sent_is_a_500_and_injects_nothing() {
    let fake = Fake::new();
    fake.mount("web", "/", http("page", "/")).unwrap();
    let server = server(&fake, |_| {}).await;
    for (code, name, value) in [(42, "x", "y"), (101, "x", "y"), (200, "a b", "y"), (200, "x", "a\r\nevil: 1")] {
        fake.on_request(move |_| async move {
            let headers = vec![(name.to_owned(), value.to_owned())];
            Ok(super::super::Response { status: code, headers, body: Vec::new() })
        });
        let answer = ask(&server, "GET", "/", "").await;
        assert_eq!(status(&answer), 500, "{code} {name}");
        assert!(!answer.contains("evil"), "{answer}");
    }
}

#[tokio::test]
async fn a_taken_port_is_named_with_what_to_do() {
    let fake = Fake::new();
    let first = server(&fake, |_| {}).await;
    let taken = first.addresses()[0];
    let settings = HttpSettings {
        listen: vec![taken],
        hosts: Vec::new(),
        cors_origins: Vec::new(),
        limits: HttpLimits::default(),
    };
    let Err(error) = Server::bind(settings, Arc::clone(&fake.hub)).await else { panic!("bound twice") };
    let port = taken.port();
    assert_eq!(
        error.to_string(),
        format!(
            "port {port} on 127.0.0.1 is taken by another program: stop it, or choose another port with \
             `listen = \"127.0.0.1:PORT\"` under `[server]` in config.toml, or `--listen`"
        )
    );
}

#[tokio::test]
async fn shutdown_finishes_the_request_that_runs_and_takes_no_more() {
    let fake = Fake::new();
    let (begun, mut began) = tokio::sync::mpsc::unbounded_channel();
    let go = Arc::new(Semaphore::new(0));
    let waits = Arc::clone(&go);
    fake.on_request(move |_| {
        let (begun, waits) = (begun.clone(), Arc::clone(&waits));
        async move {
            begun.send(()).unwrap();
            let _permit = waits.acquire().await.unwrap();
            Ok(super::super::Response { status: 200, headers: Vec::new(), body: b"finished".to_vec() })
        }
    });
    fake.mount("web", "/", http("page", "/")).unwrap();
    let server = server(&fake, |_| {}).await;
    let asked = ask(&server, "GET", "/", "");
    let ended = async {
        began.recv().await.unwrap();
        let ended = server.shutdown(Duration::from_secs(20));
        let release = async { go.add_permits(1) };
        tokio::join!(ended, release);
    };
    let (answer, ()) = tokio::join!(asked, ended);
    assert_eq!(body(&answer), "finished");
    assert!(TcpStream::connect(server.addresses()[0]).await.is_err());
}

#[tokio::test]
async fn a_websocket_path_is_not_a_page_and_a_page_is_not_a_websocket() {
    let fake = Fake::new();
    fake.mount(
        "web",
        "/",
        [setup("socket", TransportKind::Websocket("/socket".into())), http("page", "/page")].concat(),
    )
    .unwrap();
    let server = server(&fake, |_| {}).await;
    assert_eq!(status(&ask(&server, "GET", "/socket", "").await), 426);
    let upgrade = "connection: upgrade\r\nupgrade: websocket\r\n";
    let keyed = format!("{upgrade}sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n");
    assert_eq!(status(&ask(&server, "GET", "/page", &keyed).await), 404);
    assert_eq!(status(&ask(&server, "GET", "/socket", upgrade).await), 400);
    let foreign = format!("{keyed}origin: https://evil.example\r\n");
    assert_eq!(status(&ask(&server, "GET", "/socket", &foreign).await), 403);
}
