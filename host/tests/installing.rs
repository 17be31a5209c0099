//! Plugins that come from files, the web and a registry: what is installed is what was meant, and all else changes nothing.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::string_slice,
    reason = "clippy exempts only functions that are tests themselves, not what they share"
)]

mod daemon;
#[path = "installing/registry.rs"]
mod registry;
#[path = "installing/server.rs"]
mod server;
#[path = "staged/skip.rs"]
#[allow(dead_code, reason = "this test crate uses only its word for skipping")]
mod skip;

use std::path::PathBuf;

use daemon::client::kind;
use daemon::model::{Answer, Asked, Model};
use daemon::{Home, guest, until, version};
use registry::{PASSWORD, Registry, USER};
use serde_json::{Value, json};
use server::{Authority, Server};

/// What the plugin of these tests calls itself.
const NAME: &str = "tool-pure-with-a-name-that-is-found-among-the-bytes";
const VERSION: &str = "1.0.0-with-a-version-that-is-found-among-the-bytes";
const NEXT: &str = "1.1.0-with-a-version-that-is-found-among-the-bytes";

/// The registry, or the test is skipped.
macro_rules! registry {
    ($start:expr, $test:literal) => {
        match $start {
            Some(registry) => registry,
            None => {
                return skip::skip(concat!("installing::", $test), "there is no docker-registry; apt has it");
            }
        }
    };
}

fn first() -> Vec<u8> {
    guest("guest-pure")
}

fn next() -> Vec<u8> {
    version(&first(), VERSION, NEXT)
}

/// The same plugin, and it asks for more.
fn grown() -> Vec<u8> {
    guest("guest-grown")
}

/// A home without the components that these tests do not need.
fn home() -> Home {
    Home::with(&["provider-demo"])
}

/// Writes a file into the workspace.
fn file(home: &Home, name: &str, bytes: &[u8]) -> String {
    let path = home.workspace().join(name);
    std::fs::write(&path, bytes).unwrap();
    path.to_str().unwrap().to_string()
}

async fn keygen(home: &Home, name: &str) -> (String, String) {
    let path = home.workspace().join(name);
    let made = home.json(&["plugin", "keygen", name]).await;
    (path.to_str().unwrap().to_string(), made[0]["key"].as_str().unwrap().to_string())
}

/// Publishes bytes; returns the reference with its digest.
async fn publish(home: &Home, bytes: &[u8], to: &str, key: Option<&str>) -> String {
    let file = file(home, "published.wasm", bytes);
    let mut arguments = vec!["plugin", "publish", &file, to];
    arguments.extend(key.iter().flat_map(|key| ["--key", key]));
    home.json(&arguments).await[0]["source"].as_str().unwrap().to_string()
}

/// The plugin as it is listed.
async fn listed(home: &Home, name: &str) -> Option<Value> {
    home.json(&["plugin", "list"]).await.into_iter().find(|plugin| plugin["name"] == json!(name))
}

/// Everything that a refusal must leave as it is.
fn kept(home: &Home) -> Vec<(PathBuf, Vec<u8>)> {
    let mut files = vec![home.path().join("plugins.lock")];
    files.extend(std::fs::read_dir(home.plugins()).unwrap().map(|entry| entry.unwrap().path()));
    files.sort();
    files.into_iter().map(|path| (path.clone(), std::fs::read(path).unwrap_or_default())).collect()
}

/// The command is refused with these words, and nothing changes.
async fn refused(home: &Home, code: i32, words: &str, arguments: &[&str]) {
    let before = kept(home);
    let (exit, out, err) = home.said(arguments).await;
    assert!(err.contains(words), "`{}` should say {words:?}: {out}{err}", arguments.join(" "));
    assert_eq!(exit, Some(code), "{out}{err}");
    assert!(kept(home) == before, "`{}` changed something", arguments.join(" "));
    let staged = home.path().join("cache/staged");
    assert!(!staged.exists() || std::fs::read_dir(staged).unwrap().next().is_none(), "something is left behind");
}

#[tokio::test]
async fn a_plugin_is_published_signed_installed_updated_brought_back_and_removed() {
    let registry =
        registry!(Registry::start(), "a_plugin_is_published_signed_installed_updated_brought_back_and_removed");
    let home = home();
    let (key, public) = keygen(&home, "ann.key").await;
    let mode = std::os::unix::fs::MetadataExt::mode(&std::fs::metadata(&key).unwrap()) & 0o777;
    assert_eq!(mode, 0o600);
    let (code, _, err) = home.said(&["plugin", "keygen", "ann.key"]).await;
    assert!(code == Some(1) && err.contains("never overwritten"), "{err}");

    let tag = registry.reference("ann/pure:1");
    let pinned = publish(&home, &first(), &tag, Some(&key)).await;
    assert!(pinned.starts_with(&format!("{tag}@sha256:")), "{pinned}");
    let (code, out, err) = home.said(&["plugin", "add", &tag, "--yes"]).await;
    assert_eq!(code, Some(0), "{out}{err}");
    for words in [NAME, VERSION, "asks for nothing", &tag, "new; from now on only that key", &public, "is installed"] {
        assert!(out.contains(words), "{words} in\n{out}");
    }
    let plugin = listed(&home, NAME).await.unwrap();
    assert_eq!((&plugin["standing"], &plugin["installed"]["source"]), (&json!("ready"), &json!(tag)), "{plugin}");
    let manifest = pinned.rsplit(':').next().unwrap();
    assert_eq!(plugin["installed"]["manifest"], json!(manifest));
    let lock = std::fs::read_to_string(home.path().join("plugins.lock")).unwrap();
    assert!(lock.contains(&format!("[plugin.{NAME}]")) && lock.contains(&public), "{lock}");

    let (_, out, _) = home.said(&["plugin", "update"]).await;
    assert!(out.contains("nothing newer there"), "{out}");
    publish(&home, &next(), &tag, Some(&key)).await;
    let (code, out, err) = home.said(&["plugin", "update", "--check"]).await;
    assert_eq!(code, Some(0), "{err}");
    assert!(out.contains(NEXT) && out.contains("(known)") && out.contains("replaces"), "{out}");
    assert_eq!(listed(&home, NAME).await.unwrap()["version"], json!(VERSION));
    let (code, out, err) = home.said(&["plugin", "update", NAME, "--yes"]).await;
    assert_eq!(code, Some(0), "{out}{err}");
    assert_eq!(listed(&home, NAME).await.unwrap()["version"], json!(NEXT));

    for version in [VERSION, NEXT, VERSION] {
        let (code, out, err) = home.said(&["plugin", "rollback", NAME]).await;
        assert_eq!(code, Some(0), "{out}{err}");
        let plugin = listed(&home, NAME).await.unwrap();
        assert_eq!((&plugin["version"], &plugin["installed"]["version"]), (&json!(version), &json!(version)));
    }

    refused(&home, 5, "add --yes", &["plugin", "remove", NAME]).await;
    let gone = home.json(&["plugin", "remove", NAME, "--yes"]).await;
    assert_eq!(gone[0]["instances"], json!([NAME.strip_prefix("tool-").unwrap()]), "{gone:?}");
    assert_eq!(listed(&home, NAME).await, None);
    let lock = std::fs::read_to_string(home.path().join("plugins.lock")).unwrap();
    assert!(!lock.contains("[plugin.") && lock.contains(&public), "whom one trusts stays: {lock}");
    refused(&home, 4, "no version", &["plugin", "rollback", NAME]).await;
}

#[tokio::test]
async fn without_a_word_nothing_is_installed() {
    let home = home();
    let source = file(&home, "pure.wasm", &first());
    home.json(&["plugin", "list"]).await;
    refused(&home, 5, "add --yes to install it", &["plugin", "add", &source]).await;
    let waiting = file(&home, "grown.wasm", &grown());
    refused(&home, 5, "--no-allow", &["plugin", "add", &waiting]).await;
    let (code, out, err) = home.said(&["plugin", "add", &waiting, "--yes", "--no-allow"]).await;
    assert_eq!(code, Some(0), "{out}{err}");
    for words in ["http (api.example.org): looks things up", "A key of example.org", "to api.example.org in the header"]
    {
        assert!(out.contains(words), "{words} in\n{out}");
    }
    assert_eq!(listed(&home, NAME).await.unwrap()["standing"], json!("waiting"));
    // What was put there from elsewhere stays what it is.
    refused(&home, 5, "is installed from", &["plugin", "add", &source, "--yes"]).await;
    let (code, _, err) = home.said(&["plugin", "add", &source, "--yes", "--replace"]).await;
    assert_eq!(code, Some(0), "{err}");
    // And what came with the host is not replaced by what only has its name.
    let stock = std::fs::read(home.plugins().join("provider-demo.wasm")).unwrap();
    let (words, others) = ("The host's own", "The host's OWN");
    if memchr::memmem::find_iter(&stock, words).count() == 1 {
        let other = file(&home, "other.wasm", &version(&stock, words, others));
        refused(&home, 5, "came with openpista-host", &["plugin", "add", &other, "--yes"]).await;
    }
}

#[tokio::test]
async fn a_layer_that_was_tampered_with_is_refused() {
    let registry = registry!(Registry::start(), "a_layer_that_was_tampered_with_is_refused");
    let home = home();
    let tag = registry.reference("ann/pure:1");
    publish(&home, &first(), &tag, None).await;
    assert_eq!(home.said(&["plugin", "add", &tag, "--yes"]).await.0, Some(0));
    publish(&home, &next(), &tag, None).await;
    let blob = registry.blob(&openpista_host::plugin::digest(&next()));
    std::fs::write(&blob, version(&next(), "Gives its arguments back.", "Gives your password back.")).unwrap();
    refused(&home, 5, "has other bytes than its digest says", &["plugin", "update", NAME, "--yes"]).await;
    std::fs::write(&blob, &next()[..1_000]).unwrap();
    refused(&home, 1, "cut off", &["plugin", "update", NAME, "--yes"]).await;
    assert_eq!(listed(&home, NAME).await.unwrap()["standing"], json!("ready"));
}

#[tokio::test]
async fn what_is_pinned_stays_when_its_tag_moves() {
    let registry = registry!(Registry::start(), "what_is_pinned_stays_when_its_tag_moves");
    let home = home();
    let tag = registry.reference("ann/pure:1");
    let pinned = publish(&home, &first(), &tag, None).await;
    let moved = publish(&home, &next(), &tag, None).await;
    let (code, out, err) = home.said(&["plugin", "add", &pinned, "--yes"]).await;
    assert_eq!(code, Some(0), "{out}{err}");
    assert_eq!(listed(&home, NAME).await.unwrap()["version"], json!(VERSION));
    let (code, out, _) = home.said(&["plugin", "update", "--yes"]).await;
    assert!(code == Some(0) && out.contains("it is pinned") && out.contains(&moved), "{out}");
    assert_eq!(listed(&home, NAME).await.unwrap()["version"], json!(VERSION));
    // A registry that gives something else for the digest is not believed.
    let digest = pinned.rsplit(':').next().unwrap();
    std::fs::write(registry.blob(digest), registry.manifest("ann/pure", "1").await).unwrap();
    let (code, _, err) = home.said(&["plugin", "add", &pinned, "--yes"]).await;
    assert!(code == Some(5) || code == Some(1), "{err}");
    assert_eq!(listed(&home, NAME).await.unwrap()["version"], json!(VERSION));
}

#[tokio::test]
async fn another_signer_and_a_missing_signature_are_refused_until_the_person_says_so() {
    let registry =
        registry!(Registry::start(), "another_signer_and_a_missing_signature_are_refused_until_the_person_says_so");
    let home = home();
    let ((key, public), (other, others)) = (keygen(&home, "ann.key").await, keygen(&home, "eve.key").await);
    let tag = registry.reference("ann/pure:1");
    publish(&home, &first(), &tag, Some(&key)).await;
    assert_eq!(home.said(&["plugin", "add", &tag, "--yes"]).await.0, Some(0));
    publish(&home, &next(), &tag, Some(&other)).await;
    let advice = format!("openpista-host plugin trust {NAME} {others}");
    refused(&home, 5, &advice, &["plugin", "update", NAME, "--yes"]).await;
    publish(&home, &next(), &tag, None).await;
    refused(&home, 5, "now it is not signed", &["plugin", "update", NAME, "--yes"]).await;
    // Taking it away and beginning anew does not forget whom one trusted.
    assert_eq!(home.said(&["plugin", "remove", NAME, "--yes"]).await.0, Some(0));
    refused(&home, 5, "now it is not signed", &["plugin", "add", &tag, "--yes"]).await;
    publish(&home, &next(), &tag, Some(&other)).await;
    refused(&home, 5, "was signed by the key", &["plugin", "add", &tag, "--yes"]).await;
    let (code, out, err) = home.said(&["plugin", "add", &tag, "--yes", "--accept-signer", &others]).await;
    assert!(code == Some(0) && out.contains("(known)"), "{out}{err}");
    publish(&home, &first(), &tag, Some(&key)).await;
    assert_eq!(home.said(&["plugin", "trust", NAME, &public]).await.0, Some(0));
    let (code, out, err) = home.said(&["plugin", "update", "--yes"]).await;
    assert!(code == Some(0) && out.contains("its version went BACK"), "{out}{err}");
    publish(&home, &next(), &tag, None).await;
    assert_eq!(home.said(&["plugin", "trust", NAME, "none"]).await.0, Some(0));
    assert_eq!(home.said(&["plugin", "update", "--yes"]).await.0, Some(0));
}

#[tokio::test]
async fn a_signature_over_other_bytes_is_refused_wherever_it_lies() {
    let home = home();
    let (key, _) = keygen(&home, "ann.key").await;
    let good = file(&home, "pure.wasm", &first());
    assert_eq!(home.said(&["plugin", "publish", &good, "--key", &key]).await.0, Some(0));
    let signature = std::fs::read(format!("{good}.minisig")).unwrap();
    let bad = file(&home, "bad.wasm", &next());
    file(&home, "bad.wasm.minisig", &signature);
    home.json(&["plugin", "list"]).await;
    refused(&home, 5, "its signature is bad", &["plugin", "add", &bad, "--yes"]).await;
    file(&home, "bad.wasm.minisig", b"untrusted comment: nothing\n");
    refused(&home, 5, "not a minisign file", &["plugin", "add", &bad, "--yes"]).await;
    let server = Server::plain();
    let url = server.file("/w.wasm", "application/wasm", &next());
    server.file("/w.wasm.minisig", "text/plain", &signature);
    refused(&home, 5, "its signature is bad", &["plugin", "add", &url, "--yes"]).await;
    let url = server.file("/g.wasm", "application/wasm", &first());
    server.raw("/g.wasm.minisig", b"HTTP/1.1 503 Busy\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
    refused(&home, 1, "503", &["plugin", "add", &url, "--yes"]).await;
    let (code, out, err) = home.said(&["plugin", "add", &good, "--yes"]).await;
    assert_eq!(code, Some(0), "{out}{err}");
}

#[tokio::test]
async fn a_version_that_asks_for_more_is_shown_first_and_needs_a_word_of_its_own() {
    let home = home();
    let source = file(&home, "pure.wasm", &first());
    assert_eq!(home.said(&["plugin", "add", &source, "--yes"]).await.0, Some(0));
    file(&home, "pure.wasm", &grown());
    let shown = home.json(&["plugin", "update", NAME, "--check"]).await;
    let wider = json!([
        "http (api.example.org): looks things up",
        "the secret key: to api.example.org in the header authorization"
    ]);
    assert_eq!(shown[0]["before"]["wider"], wider, "{shown:?}");
    let (_, out, _) = home.said(&["plugin", "update", NAME, "--check"]).await;
    let place = |words: &str| out.find(words).unwrap_or_else(|| panic!("{words} in\n{out}"));
    assert!(place("NEW  http (api.example.org)") < place("replaces") && place("replaces") < place("signed by"));
    refused(&home, 5, "asks for more than the version before", &["plugin", "update", NAME, "--yes"]).await;
    let (code, out, err) = home.said(&["plugin", "update", NAME, "--yes", "--no-allow"]).await;
    assert_eq!(code, Some(0), "{out}{err}");
    assert_eq!(listed(&home, NAME).await.unwrap()["standing"], json!("waiting"));
    assert_eq!(home.said(&["plugin", "rollback", NAME]).await.0, Some(0));
    let (code, out, err) = home.said(&["plugin", "update", NAME, "--yes", "--allow-more"]).await;
    assert_eq!(code, Some(0), "{out}{err}");
    assert_eq!(listed(&home, NAME).await.unwrap()["standing"], json!("ready"));
    let goes = home.json(&["plugin", "remove", NAME, "--yes"]).await;
    assert_eq!(goes[0]["grants"], json!(["http (api.example.org)"]));
    // Its words went with it.
    assert_eq!(home.said(&["plugin", "add", &source, "--yes", "--no-allow"]).await.0, Some(0));
    assert_eq!(listed(&home, NAME).await.unwrap()["standing"], json!("waiting"));
}

#[tokio::test]
async fn what_the_web_gives_is_taken_only_whole_encrypted_and_if_it_is_a_plugin() {
    let home = home();
    home.configure("[plugins]\nmax_download = \"200KB\"\n");
    let server = Server::plain();
    let source = server.file("/pure.wasm", "application/wasm", &first());
    assert_eq!(home.said(&["plugin", "add", &source, "--yes"]).await.0, Some(0));

    let head = |length: usize| format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n");
    let half = &first()[..first().len() / 2];
    let cut = server.raw("/cut", &[head(first().len()).as_bytes(), half].concat());
    let chunked = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n";
    let endless =
        server.raw("/endless", &[format!("{chunked}{:x}\r\n", half.len()).as_bytes(), half, b"\r\n"].concat());
    let short = server.file("/short", "application/wasm", half);
    let announced = server.raw("/announced", head(300_000_000).as_bytes());
    let large = vec![7; 300_000];
    let piece = format!("{chunked}{:x}\r\n", large.len());
    let large = server.raw("/large", &[piece.as_bytes(), &large, b"\r\n0\r\n\r\n"].concat());
    let page = server.file("/page", "text/html; charset=utf-8", b"<html>Sign in</html>");
    let noise = server.file("/noise", "application/wasm", b"hello, this is no WebAssembly");
    let module = server.file("/module", "application/wasm", b"\0asm\x01\0\0\0");
    let other = server.file("/other", "application/wasm", &guest("guest-elsewhere"));
    let round = server
        .raw("/round", b"HTTP/1.1 302 Found\r\nlocation: /round\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
    let missing = format!("{}/nothing", server.address);
    for (url, words) in [
        (&cut, "was cut off"),
        (&endless, "was cut off"),
        (&short, "it is cut off, damaged"),
        (&announced, "is larger than 200 KB"),
        (&large, "is larger than 200 KB"),
        (&page, "a web page, not a component"),
        (&noise, "it is no WebAssembly"),
        (&module, "a core WebAssembly module"),
        (&other, "a component of another world"),
        (&round, "redirects again and again"),
        (&missing, "404: Not Found"),
    ] {
        refused(&home, 1, words, &["plugin", "add", url, "--yes", "--replace"]).await;
    }
    refused(&home, 5, "is not encrypted", &["plugin", "add", "http://192.0.2.1/w.wasm", "--yes"]).await;
    refused(&home, 2, "user name or password", &["plugin", "add", "https://a:b@localhost/w.wasm", "--yes"]).await;
    refused(&home, 4, "there is no file", &["plugin", "add", "nothing.wasm", "--yes"]).await;

    let authority = Authority::new();
    let encrypted = Server::encrypted(&authority);
    let url = encrypted.file("/pure.wasm", "application/wasm", &next());
    refused(&home, 1, "invalid peer certificate: UnknownIssuer", &["plugin", "add", &url, "--yes", "--replace"]).await;
    let trusted = authority.file(&home.workspace());
    let redirect =
        format!("HTTP/1.1 302 Found\r\nlocation: {source}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
    let elsewhere = encrypted.raw("/elsewhere", redirect.as_bytes());
    let with = async |url: &str| {
        let mut command = home.command(&["plugin", "add", url, "--yes", "--replace"]);
        let output = command.env("SSL_CERT_FILE", &trusted).output().await.unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    let before = kept(&home);
    let (code, err) = with(&elsewhere).await;
    assert!(code == Some(5) && err.contains("redirects to http://127.0.0.1"), "{err}");
    assert!(kept(&home) == before);
    let (code, err) = with(&url).await;
    assert_eq!(code, Some(0), "{err}");
    assert_eq!(listed(&home, NAME).await.unwrap()["version"], json!(NEXT));
}

#[tokio::test]
async fn what_a_registry_has_besides_plugins_is_refused() {
    let registry = registry!(Registry::start(), "what_a_registry_has_besides_plugins_is_refused");
    let home = home();
    // What comes with the host is laid out.
    assert!(listed(&home, "provider-demo").await.is_some());
    publish(&home, &first(), &registry.reference("ann/pure:1"), None).await;
    let manifest = registry.manifest("ann/pure", "1").await;
    let kind = "application/vnd.oci.image.manifest.v1+json";
    let image = manifest.replace("application/vnd.wasm.config.v0+json", "application/vnd.oci.image.config.v1+json");
    registry.put_manifest("ann/pure", "image", kind, &image).await;
    let packed = manifest.replace("\"application/wasm\"", "\"application/vnd.oci.image.layer.v1.tar\"");
    registry.put_manifest("ann/pure", "packed", kind, &packed).await;
    let mut two: Value = serde_json::from_str(&manifest).unwrap();
    let layer = two["layers"][0].clone();
    two["layers"].as_array_mut().unwrap().push(layer);
    registry.put_manifest("ann/pure", "two", kind, &two.to_string()).await;
    let mut huge: Value = serde_json::from_str(&manifest).unwrap();
    huge["layers"][0]["size"] = json!(1_u64 << 40);
    registry.put_manifest("ann/pure", "huge", kind, &huge.to_string()).await;
    for (tag, words) in [
        ("image", "it is no WebAssembly"),
        ("packed", "a layer of the type application/vnd.oci.image.layer"),
        ("two", "it has 2 layers"),
        ("huge", "is larger than 64.0 MB"),
        ("none", "there is no such thing in the registry"),
    ] {
        let source = registry.reference(&format!("ann/pure:{tag}"));
        refused(&home, 1, words, &["plugin", "add", &source, "--yes"]).await;
    }
    let nobody = "oci://127.0.0.1:1/ann/pure:1";
    refused(&home, 1, "no answer from 127.0.0.1:1", &["plugin", "add", nobody, "--yes"]).await;
}

#[tokio::test]
async fn a_registry_with_a_password_gets_it_from_the_configuration_and_nobody_else_does() {
    let registry = registry!(
        Registry::with_password(),
        "a_registry_with_a_password_gets_it_from_the_configuration_and_nobody_else_does"
    );
    let home = home();
    let plugin = file(&home, "pure.wasm", &first());
    let tag = registry.reference("ann/pure:1");
    home.json(&["plugin", "list"]).await;
    refused(&home, 1, "wants a login", &["plugin", "publish", &plugin, &tag]).await;
    refused(&home, 1, "wants a login", &["plugin", "add", &tag, "--yes"]).await;
    let login = |password: &str| {
        format!("[registries.\"{}\"]\nuser = \"{USER}\"\npassword = \"{password}\"\n", registry.address)
    };
    home.configure(&login("wrong-password-9"));
    refused(&home, 1, "does not accept the login", &["plugin", "publish", &plugin, &tag]).await;
    home.configure(&login(PASSWORD));
    let (code, out, err) = home.said(&["plugin", "publish", &plugin, &tag, "-vv"]).await;
    assert_eq!(code, Some(0), "{out}{err}");
    let (again, more, told) = home.said(&["plugin", "add", &tag, "--yes", "-vv"]).await;
    assert_eq!(again, Some(0), "{more}{told}");
    let all = [out, err, more, told].concat();
    assert!(!all.contains(PASSWORD), "{all}");
    // What docker login wrote will do, too.
    home.configure("");
    let docker = home.path().parent().unwrap().join(".docker");
    std::fs::create_dir(&docker).unwrap();
    let packed = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, format!("{USER}:{PASSWORD}"));
    let auths = json!({"auths": {registry.address.clone(): {"auth": packed}}});
    std::fs::write(docker.join("config.json"), auths.to_string()).unwrap();
    let (code, out, err) = home.said(&["plugin", "update"]).await;
    assert!(code == Some(0) && out.contains("nothing newer"), "{out}{err}");
}

/// Calls the tool once in each turn.
fn script(_: usize, asked: &Asked) -> Answer {
    match asked.outcomes().next() {
        Some(outcome) => Answer::Text(format!("it said {outcome}")),
        None if asked.tools.iter().any(|tool| tool == "pure_echo") => {
            Answer::Calls(vec![("pure_echo", json!({"word": "marmalade"}))])
        }
        None => Answer::Text("there is no such tool".into()),
    }
}

#[tokio::test]
async fn a_running_daemon_has_a_tool_as_soon_as_it_is_installed_and_its_next_version_too() {
    let registry =
        registry!(Registry::start(), "a_running_daemon_has_a_tool_as_soon_as_it_is_installed_and_its_next_version_too");
    let model = Model::start(script).await;
    let home = Home::with(&["channel-web", "provider-openai-chat"]);
    home.configure(&(model.config() + "[policy.tools]\n\"pure.echo\" = \"allow\"\n"));
    let tag = registry.reference("ann/pure:1");
    publish(&home, &first(), &tag, None).await;
    let daemon = home.start().await;
    let mut client = daemon.client(&home, "installing").await;
    let mut turn = 0;
    let mut say = async |expected: &str| {
        turn += 1;
        client.say(&format!("m{turn}"), "go on").await;
        let reply = client.expect_any(&["reply", "failed", "notice"]).await;
        assert_eq!(kind(&reply), "reply", "{reply}");
        assert!(reply["text"].as_str().unwrap().contains(expected), "{reply}");
    };
    say("there is no such tool").await;
    let (code, out, err) = home.said(&["plugin", "add", &tag, "--yes"]).await;
    assert_eq!(code, Some(0), "{out}{err}");
    say("marmalade").await;
    publish(&home, &next(), &tag, None).await;
    assert_eq!(home.said(&["plugin", "update", "--yes"]).await.0, Some(0));
    assert_eq!(listed(&home, NAME).await.unwrap()["version"], json!(NEXT));
    say("marmalade").await;
    assert_eq!(home.said(&["plugin", "rollback", NAME]).await.0, Some(0));
    say("marmalade").await;
    assert_eq!(home.said(&["plugin", "remove", NAME, "--yes"]).await.0, Some(0));
    say("there is no such tool").await;
}

#[tokio::test]
async fn a_daemon_brings_what_its_configuration_pins_and_says_why_it_does_not_bring_the_rest() {
    let registry = registry!(
        Registry::start(),
        "a_daemon_brings_what_its_configuration_pins_and_says_why_it_does_not_bring_the_rest"
    );
    let home = home();
    let tag = registry.reference("ann/grown:1");
    let pinned = publish(&home, &grown(), &tag, None).await;
    let pure = file(&home, "unpinned.wasm", &guest("guest-waiting"));
    let table = format!("[plugins.{NAME}]\nsource = \"{pinned}\"\ngrants = {{ http = [\"api.example.org\"] }}\n");
    let unpinned = format!("[plugins.tool-waiting]\nsource = \"{pure}\"\n");
    let moved = format!("[plugins.elsewhere]\nsource = \"{tag}\"\ndigest = \"sha256:{}\"\n", "ab".repeat(32));
    home.configure(&[table.clone(), unpinned, moved].concat());
    let told = listed(&home, NAME).await.unwrap();
    assert!(told["reason"].as_str().unwrap().contains("a daemon fetches it from"), "{told}");
    let daemon = home.start().await;
    let plugin = until("the plugin to come", async || {
        listed(&home, NAME).await.filter(|plugin| plugin["standing"] == json!("ready"))
    })
    .await;
    assert_eq!((&plugin["version"], &plugin["needs"][0]["granted"]), (&json!("2.0.0"), &json!(true)), "{plugin}");
    let why = async |name: &str, words: &str| {
        let told = until("the refusal to be listed", async || {
            let told = listed(&home, name).await?["reason"].as_str()?.to_string();
            told.contains(words).then_some(told)
        });
        told.await
    };
    why("tool-waiting", "it is not pinned").await;
    why("elsewhere", &format!("is {NAME} now, and not elsewhere")).await;
    until("the log to say it", async || {
        daemon.log().contains("the plugin tool-waiting of the configuration is not fetched").then_some(())
    })
    .await;
    refused(&home, 5, "says which", &["plugin", "update", NAME, "--yes"]).await;
    refused(&home, 5, "says which", &["plugin", "remove", NAME, "--yes"]).await;
    daemon.end().await;

    // Other bytes under the pinned name: the configured ones come back.
    let other = format!("{table}digest = \"sha256:{}\"\n", openpista_host::plugin::digest(&first()));
    home.configure(&other);
    let daemon = home.start().await;
    why(NAME, "was wanted, and sha256:").await;
    assert_eq!(listed(&home, NAME).await.unwrap()["version"], json!("2.0.0"));
    daemon.end().await;
    std::fs::write(home.plugins().join(format!("{NAME}.wasm")), first()).unwrap();
    home.configure(&table);
    let daemon = home.start().await;
    until("the pinned one to come back", async || {
        listed(&home, NAME).await.filter(|plugin| plugin["version"] == json!("2.0.0"))
    })
    .await;
    daemon.end().await;
}
