//! WASI's own HTTP, which a language's `fetch` uses: it passes the same gate as the contract's.

use std::sync::Arc;

use openpista_host::plugin::instance::Instance;
use openpista_host::plugin::registry::{Broken, RoleKind};
use openpista_host::runtime::CallError;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::bench::{Bench, PATIENCE, attack_on, guest, lie};
use super::reach::{SECRET, Server, echoing, everything_is_here, grants, leading, plain};

async fn bench(config: &str) -> Bench {
    let files = [("wasi.wasm", guest("guest-wasi-http")), ("pure.wasm", guest("guest-pure"))];
    Bench::new(&files, &format!("[tools.wasi-http]\n{config}")).await
}

fn instance(bench: &Bench) -> Arc<Instance> {
    Arc::clone(bench.app.registry.snapshot().get(RoleKind::Tools, "wasi-http").expect("the guest is loaded"))
}

async fn told(bench: &Bench, arguments: Value) -> String {
    let answered: Result<_, CallError> = attack_on(bench.host(), &instance(bench), arguments, PATIENCE).await;
    answered.expect("the guest is not stopped").expect("the tool answers")
}

const DENIED: &str = "ErrorCode::HttpRequestDenied";

#[tokio::test]
async fn a_granted_server_is_asked_with_the_body_and_answers() {
    let server = Server::start(plain).await;
    let bench = bench(&grants(&[&format!("localhost:{}", server.port)])).await;
    let body = "x".repeat(100_000);
    let answer = told(&bench, json!({ "url": server.url("/a/path?q=1"), "method": "POST", "body": body })).await;
    let (head, content) = answer.rsplit_once('\n').unwrap();
    assert!(head.starts_with("200\n"), "{answer}");
    assert_eq!((content, server.asked()), ("/a/path", 1));
}

#[tokio::test]
async fn what_is_not_on_the_list_or_inside_is_refused_and_nobody_is_asked() {
    let (server, leads) = (Server::start(plain).await, Server::start(leading).await);
    let bench = bench(&grants(&[&format!("localhost:{}", leads.port), "169.254.169.254"])).await;
    for url in [
        "http://169.254.169.254/latest/meta-data".to_string(),
        "https://example.org/".to_string(),
        server.url("/"),
        leads.url(&format!("/to?{}", server.url("/"))),
        leads.url("/to?http://169.254.169.254/latest/meta-data"),
    ] {
        assert_eq!(told(&bench, json!({ "url": url })).await, DENIED, "{url}");
    }
    assert_eq!((server.asked(), leads.asked()), (0, 2));
    bench.pure_works().await;
}

#[tokio::test]
async fn a_granted_name_that_leads_to_this_machine_is_refused() {
    let server = Server::start(plain).await;
    let name = format!("public.test:{}", server.port);
    let bench = bench(&grants(&[&name])).await;
    let host = everything_is_here(&bench);
    let arguments = json!({ "url": format!("https://{name}/") });
    let answer = attack_on(&host, &instance(&bench), arguments, PATIENCE).await.unwrap().unwrap();
    assert_eq!((answer.as_str(), server.asked()), (DENIED, 0));
}

#[tokio::test]
async fn a_secret_goes_to_its_audience_only_and_never_comes_back() {
    let (server, other) = (Server::start(echoing).await, Server::start(echoing).await);
    let hosts = [format!("localhost:{}", server.port), format!("localhost:{}", other.port)];
    let bench = bench(&format!(
        "settings = {{ server = {} }}\nsecrets = {{ key = {} }}\n{}",
        json!(server.url("")),
        json!(SECRET),
        grants(&[&hosts[0], &hosts[1]])
    ))
    .await;
    let answer = told(&bench, json!({ "url": server.url("/"), "secret": "yes" })).await;
    assert!(answer.contains("arrived: true") && !answer.contains("s3cret"), "{answer}");
    assert!(answer.contains("x-plain: Bearer [secret key]"), "{answer}");
    assert_eq!(told(&bench, json!({ "url": other.url("/"), "secret": "yes" })).await, DENIED);
    assert_eq!(other.asked(), 0);
}

/// Why the tools instance is idle.
fn idle(bench: &Bench) -> Vec<(String, Vec<String>)> {
    let snapshot = bench.app.registry.snapshot();
    let idle = snapshot.idle.iter().filter(|idle| idle.role == RoleKind::Tools);
    idle.map(|idle| (idle.reason.clone(), idle.waiting.iter().map(|need| need.capability.clone()).collect())).collect()
}

#[tokio::test]
async fn it_waits_for_the_grant_of_http_and_is_not_linked_if_it_does_not_ask() {
    let waiting = bench("").await;
    let reason = "it asks for more than it has; openpista-host plugin allow tool-wasi-http".to_string();
    assert_eq!(idle(&waiting), [(reason, vec!["http".to_string()])]);
    let gone = waiting.call("wasi.fetch", json!({}), CancellationToken::new()).await;
    assert!(gone.is_err(), "{gone:?}");

    let silent = lie(&guest("guest-wasi-http"), "the-manifest-asks-for-http", b"the-manifest-asks-for-none");
    let silent = Bench::new(&[("wasi.wasm", silent)], "[tools.wasi-http]\ngrants = { http = [\"*\"] }\n").await;
    let [(reason, needs)] = &idle(&silent)[..] else { panic!("it is not idle") };
    assert!(reason.starts_with("it imports wasi:http/"), "{reason}");
    assert!(reason.ends_with(", but its manifest does not ask for http: add it to `needs`"), "{reason}");
    assert_eq!(needs, &Vec::<String>::new());
}

#[tokio::test]
async fn describing_with_it_is_refused() {
    let asking = lie(&guest("guest-wasi-http"), "itself-it-is-pure", b"itself-it-asks-it");
    let bench = Bench::new(&[("wasi.wasm", asking)], "").await;
    let broken = bench.app.registry.snapshot().broken.clone();
    let [Broken { reason, .. }] = broken.as_slice() else { panic!("{broken:?}") };
    assert!(reason.starts_with("describe failed: `describe` must be pure, but it called wasi:http/types@"), "{reason}");
}
