//! The gate against real servers on this machine. Each test's name says which defence it is about; with that defence
//! switched off, the test fails.

mod answers;
mod redirects;
pub(super) mod server;
mod sockets;

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::FutureExt as _;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::capability::secrets::{Declared, InstanceSecrets, SecretValue, Use};
use server::{Server, plain};

pub(super) const SECRET: &str = "tok/en+0123456789";

/// Names that lead where the test wants; each answer is given once, the last one for ever.
#[derive(Default)]
struct Names {
    answers: Mutex<HashMap<String, VecDeque<IpAddr>>>,
    asked: Mutex<Vec<String>>,
}

#[async_trait::async_trait]
impl Resolver for Names {
    async fn resolve(&self, name: &str) -> std::io::Result<Vec<IpAddr>> {
        self.asked.lock().unwrap().push(name.to_string());
        let mut answers = self.answers.lock().unwrap();
        let left = answers.get_mut(name).ok_or(std::io::ErrorKind::NotFound)?;
        let next = if left.len() > 1 { left.pop_front() } else { left.front().copied() };
        Ok(next.into_iter().collect())
    }
}

/// An instance and the gate.
pub(super) struct World {
    pub(super) egress: Egress,
    names: Arc<Names>,
    pub(super) scope: Vec<String>,
    pub(super) secrets: CallSecrets,
    pub(super) cancel: CancellationToken,
}

impl World {
    /// With this scope. `localhost` and every name under `home` are this machine; `rebind.test` claims to be public.
    pub(super) fn new(scope: &[String]) -> Self {
        let names = Arc::new(Names::default());
        let here = "127.0.0.1".parse::<IpAddr>().unwrap();
        for name in ["localhost", "a.home", "b.home", "rebind.test"] {
            names.answers.lock().unwrap().insert(name.into(), VecDeque::from([here]));
        }
        let egress = Egress::new(EgressOptions { resolver: Arc::clone(&names) as _, ..EgressOptions::default() });
        Self { egress, names, scope: scope.to_vec(), secrets: CallSecrets::default(), cancel: CancellationToken::new() }
    }

    /// With a secret that `uses` makes places for.
    pub(super) fn with_secret(mut self, uses: Vec<Use>) -> Self {
        let declared = Declared { name: "key".into(), uses, optional: false };
        let value = SecretValue::new(SECRET).unwrap();
        self.secrets = CallSecrets::new(Arc::new(InstanceSecrets::new("shop", [(declared, Some(value))]).unwrap()));
        self
    }

    fn from(&self) -> Outgoing<'_> {
        Outgoing { instance: "shop", scope: &self.scope, secrets: &self.secrets, cancel: &self.cancel }
    }

    async fn send(&self, request: Request) -> Result<Incoming, Error> {
        self.egress.send(self.from(), request, Waits::default()).await
    }

    async fn text(&self, request: Request) -> Result<String, Error> {
        let mut incoming = self.send(request).await?;
        Ok(String::from_utf8(incoming.rest(usize::MAX).await?).unwrap())
    }

    /// A stand-in for the secret.
    pub(super) fn stand_in(&self) -> String {
        self.secrets.stand_in("key").unwrap()
    }
}

fn get(url: impl Into<String>) -> Request {
    Request { method: "GET".into(), url: url.into(), headers: Vec::new(), body: Vec::new() }
}

fn with(mut request: Request, name: &str, value: impl Into<String>) -> Request {
    request.headers.push((name.into(), value.into()));
    request
}

fn lan(name: &str, server: &Server) -> String {
    format!("lan:{name}:{}", server.port)
}

pub(super) fn local(server: &Server) -> String {
    format!("localhost:{}", server.port)
}

fn denied<T>(outcome: &Result<T, Error>) -> bool {
    matches!(outcome, Err(Error::AccessDenied(_)))
}

#[tokio::test]
async fn a_host_off_the_list_is_denied_with_the_command_that_allows_it_and_never_asked() {
    let server = Server::start(|_| plain("hello")).await;
    let world = World::new(&["localhost:1".into()]);
    let outcome = world.text(get(server.url("/"))).await;
    let expected = format!(
        "shop may not use http for localhost:{0}; to allow it: openpista-host plugin allow shop http=localhost:{0}",
        server.port
    );
    assert_eq!(outcome, Err(Error::AccessDenied(expected)));
    assert_eq!(server.connections(), 0);
}

#[tokio::test]
async fn a_host_on_the_list_is_asked_with_the_hosts_own_headers_only() {
    let server = Server::start(|_| plain("hello")).await;
    let world = World::new(&[local(&server)]);
    let given =
        ["Host", "Content-Length", "Connection", "Accept-Encoding", "Range", "Proxy-Authorization", "TE", "X-Own"];
    let request = given.iter().fold(get(server.url("/x?y=1")), |request, name| with(request, name, "given"));
    assert_eq!(world.text(request).await, Ok("hello".into()));
    let seen = server.seen();
    let headers: Vec<_> = seen[0].headers.iter().filter(|(_, value)| value == "given").collect();
    assert_eq!(headers, [&("x-own".to_string(), "given".to_string())]);
    assert_eq!((seen[0].method.as_str(), seen[0].path.as_str()), ("GET", "/x?y=1"));
    assert_eq!(seen[0].header("host"), Some(format!("localhost:{}", server.port)));
    assert_eq!(seen[0].header("user-agent"), Some(concat!("openpista-host/", env!("CARGO_PKG_VERSION")).into()));
}

#[tokio::test]
async fn a_name_that_resolves_to_this_machine_is_denied_before_a_connection_is_made() {
    let server = Server::start(|_| plain("hello")).await;
    let world = World::new(&[format!("rebind.test:{}", server.port)]);
    let outcome = world.text(get(format!("https://rebind.test:{}/", server.port))).await;
    let expected = format!(
        "rebind.test leads to 127.0.0.1, which is this machine; shop may not use http for lan:rebind.test:{0}; \
         to allow it: openpista-host plugin allow shop http=lan:rebind.test:{0}",
        server.port
    );
    assert_eq!(outcome, Err(Error::AccessDenied(expected)));
    assert_eq!(server.connections(), 0);
}

#[tokio::test]
async fn a_name_that_changes_after_it_was_checked_is_checked_at_each_connection() {
    let server = Server::start(|_| server::with_headers(200, &[("connection", "close")], "hello")).await;
    let world = World::new(&[local(&server)]);
    let answers = VecDeque::from(["127.0.0.1", "10.0.0.1"].map(|address| address.parse().unwrap()));
    world.names.answers.lock().unwrap().insert("localhost".into(), answers);
    assert_eq!(world.text(get(server.url("/"))).await, Ok("hello".into()));
    let second = world.text(get(server.url("/"))).await;
    assert!(denied(&second), "{second:?}");
    assert_eq!(*world.names.asked.lock().unwrap(), ["localhost", "localhost"], "one look-up for each connection");
}

#[tokio::test]
async fn a_metadata_address_is_denied_even_where_the_list_names_it() {
    let world = World::new(&["lan:169.254.169.254".into(), "169.254.169.254".into(), "lan:meta.home".into()]);
    world
        .names
        .answers
        .lock()
        .unwrap()
        .insert("meta.home".into(), VecDeque::from(["169.254.169.254".parse().unwrap()]));
    for url in
        ["http://169.254.169.254/latest", "http://0xA9FEA9FE/", "http://[::ffff:a9fe:a9fe]/", "http://meta.home/"]
    {
        let outcome = world.text(get(url)).await;
        assert!(denied(&outcome), "{url}: {outcome:?}");
    }
}

#[tokio::test]
async fn plain_http_is_for_ones_own_network_only() {
    let world = World::new(&["a.home".into()]);
    let outcome = world.text(get("http://a.home/")).await;
    assert!(denied(&outcome), "{outcome:?}");
    assert_eq!(*world.names.asked.lock().unwrap(), Vec::<String>::new());
}

#[tokio::test]
async fn a_request_that_no_server_should_get_is_refused() {
    let world = World::new(&["localhost".into()]);
    let mut connect = get("http://localhost/");
    connect.method = "CONNECT".into();
    let mut large = get("http://localhost/");
    large.body = vec![0; (16 << 20) + 1];
    let smuggled = with(get("http://localhost/"), "x-a", "1\r\nx-b: 2");
    let named = with(get("http://localhost/"), "x a", "1");
    let requests =
        [connect, smuggled, named, get("/relative"), get("ftp://localhost/"), get("http://me:pw@localhost/")];
    for request in requests {
        let what = format!("{request:?}");
        assert!(matches!(world.text(request).await, Err(Error::Invalid(_))), "{what}");
    }
    let many = (0..101).fold(get("http://localhost/"), |request, _| with(request, "x", "y"));
    let long = with(get("http://localhost/"), "x", "y".repeat(65 << 10));
    for request in [large, many, long, get(format!("http://localhost/{}", "x".repeat(17 << 10)))] {
        assert!(matches!(world.text(request).await, Err(Error::TooLarge(_))));
    }
}

#[tokio::test]
async fn a_warm_connection_serves_the_next_request_but_never_a_narrower_scope() {
    let server = Server::start(|_| plain("hello")).await;
    let mut world = World::new(&[local(&server)]);
    for _ in 0..3 {
        assert_eq!(world.text(get(server.url("/"))).await, Ok("hello".into()));
    }
    assert_eq!(server.connections(), 1);
    world.scope = vec![lan("localhost", &server)];
    assert_eq!(world.text(get(server.url("/"))).await, Ok("hello".into()));
    assert_eq!(server.connections(), 2);
}

#[tokio::test]
async fn an_instance_has_so_many_requests_under_way_and_the_next_one_waits() {
    let server = Server::start(|_| plain("hello")).await;
    let world = World::new(&[local(&server)]);
    let _answer = world.send(get(server.url("/"))).await.unwrap();
    let mut open = Vec::new();
    for _ in 1..AT_ONCE {
        open.push(world.egress.turn("shop").await.unwrap());
    }
    // So many at a time use up what a task may do at once, and then nothing is ready.
    tokio::task::yield_now().await;
    assert!(world.egress.turn("shop").now_or_never().is_none(), "one more got through");
    assert!(world.egress.turn("another").now_or_never().is_some());
    open.pop();
    assert_eq!(world.text(get(server.url("/"))).await, Ok("hello".into()));
}

/// Tells that it was asked, and never answers.
async fn silent() -> (Server, tokio::sync::mpsc::Receiver<()>) {
    let (asked, was_asked) = tokio::sync::mpsc::channel(1);
    let server = Server::start(move |_| {
        let asked = asked.clone();
        async move {
            asked.send(()).await.unwrap();
            std::future::pending().await
        }
        .boxed()
    });
    (server.await, was_asked)
}

#[tokio::test]
async fn cancelling_ends_every_wait_at_once() {
    let (server, mut was_asked) = silent().await;
    let world = World::new(&[local(&server)]);
    let (outcome, ()) = tokio::join!(world.send(get(server.url("/"))), async {
        was_asked.recv().await;
        world.cancel.cancel();
    });
    assert!(matches!(outcome, Err(Error::Cancelled)));
    assert!(matches!(world.send(get(server.url("/"))).await, Err(Error::Cancelled)));
}

#[tokio::test]
async fn a_server_that_never_answers_is_given_up() {
    let (server, mut was_asked) = silent().await;
    let world = World::new(&[local(&server)]);
    let waits = Waits::new(Some(5_000), None);
    let (outcome, ()) = tokio::join!(world.egress.send(world.from(), get(server.url("/")), waits), async {
        was_asked.recv().await;
        // From here on the clock runs ahead whenever everything waits.
        tokio::time::pause();
    });
    assert!(matches!(outcome, Err(Error::TimedOut)));
}

#[tokio::test]
async fn nobody_at_the_port_is_unavailable_and_the_message_holds_no_address() {
    let port = {
        let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        taken.local_addr().unwrap().port()
    };
    let world = World::new(&[format!("localhost:{port}")]);
    let Err(Error::Unavailable(why)) = world.text(get(format!("http://localhost:{port}/path?query=1"))).await else {
        panic!("it answered")
    };
    assert!(why.starts_with(&format!("no answer from localhost:{port}: ")) && !why.contains("query"), "{why}");
    let unknown = World::new(&["nowhere.test".into()]).text(get("https://nowhere.test/")).await;
    assert_eq!(unknown, Err(Error::Unavailable("the name nowhere.test cannot be resolved: entity not found".into())));
}

#[tokio::test]
async fn the_ledger_sees_names_for_secrets_and_no_query() {
    let world = World::new(&[]).with_secret(vec![]);
    let request = get(format!("https://api.test/bot{}/getMe?q={SECRET}", world.stand_in()));
    assert_eq!(noted(&request, &world.secrets), "GET api.test/bot[secret key]/getMe");
    assert_eq!(noted(&get("nonsense"), &world.secrets), "GET without a host");
    let given_out = get(format!("https://api.test/hooks/{}/{}/messages", "7".repeat(64), "t".repeat(65)));
    let name = "7".repeat(64);
    assert_eq!(noted(&given_out, &world.secrets), format!("GET api.test/hooks/{name}/…/messages"));
}

#[tokio::test]
async fn a_poll_gets_its_whole_answer_and_no_more_than_ten_mebibytes() {
    let server =
        Server::start(|seen| if seen.path == "/big" { plain(vec![b'x'; (10 << 20) + 1]) } else { plain("small") })
            .await;
    let world = World::new(&[local(&server)]);
    let wait = Duration::from_secs(30);
    let small = world.egress.request(world.from(), get(server.url("/")), wait).await.unwrap();
    assert_eq!((small.status, small.body), (200, b"small".to_vec()));
    let big = world.egress.request(world.from(), get(server.url("/big")), wait).await;
    assert!(matches!(big, Err(Error::TooLarge(_))));
}
