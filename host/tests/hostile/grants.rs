//! What a plugin imports against what it asks for and what the person allowed.

use std::sync::Arc;

use openpista_host::admin::{Link, Request};
use openpista_host::agent::ports::{ToolError, Toolbox as _};
use openpista_host::app::Admin;
use openpista_host::capability::secrets::InstanceSecrets;
use openpista_host::grant::Grants;
use openpista_host::plugin::instance::Instance;
use openpista_host::plugin::registry::RoleKind;
use openpista_host::runtime::limits::Limits;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::bench::{Bench, guest};

#[tokio::test]
async fn a_plugin_that_imports_what_it_does_not_ask_for_is_never_linked_even_if_it_is_granted() {
    let files = [("unlisted.wasm", guest("guest-unlisted")), ("pure.wasm", guest("guest-pure"))];
    let bench = Bench::new(&files, "[tools.unlisted]\ngrants = { shell = [\"*\"] }\n").await;
    let snapshot = bench.app.registry.snapshot();
    let idle: Vec<_> = snapshot
        .idle
        .iter()
        .filter(|idle| idle.role == RoleKind::Tools)
        .map(|idle| (idle.name.as_str(), idle.reason.as_str()))
        .collect();
    let reason = "it imports openpista:shell/shell@0.1.0, but its manifest does not ask for shell: add it to `needs`";
    assert_eq!(idle, [("unlisted", reason)]);
    assert!(bench.app.tools.owner("unlisted.run").is_none());
    bench.pure_works().await;
}

#[tokio::test]
async fn a_plugin_that_waits_says_what_for_and_works_after_it_is_allowed_until_it_is_denied() {
    let files = [("waiting.wasm", guest("guest-waiting")), ("pure.wasm", guest("guest-pure"))];
    let bench = Bench::new(&files, "").await;
    let run = || bench.call("waiting.run", json!({}), CancellationToken::new());
    let idle = || {
        let snapshot = bench.app.registry.snapshot();
        let waiting = snapshot.idle.iter().filter(|idle| idle.name == "waiting");
        waiting
            .map(|idle| {
                let needs = idle.waiting.iter().map(|need| (need.capability.clone(), need.scope.clone())).collect();
                (idle.reason.clone(), needs)
            })
            .collect::<Vec<(String, Vec<(String, Vec<String>)>)>>()
    };
    let asks = || {
        let reason = "it asks for more than it has; openpista-host plugin allow tool-waiting".to_string();
        vec![(reason, vec![("shell".to_string(), vec!["*".to_string()])])]
    };
    let gone = || Err(ToolError::Other("the tool waiting.run is gone: its plugin was removed".into()));
    assert_eq!(idle(), asks());
    assert_eq!(run().await, gone());
    bench.pure_works().await;

    let link = Link::Here(Arc::new(Admin(Arc::clone(&bench.app))));
    link.all(Request::PluginAllow { name: "tool-waiting".into(), grants: vec![] }).await.unwrap();
    bench.app.plugins_changed().await;
    assert_eq!(idle(), vec![]);
    assert_eq!(run().await, Ok("it ran\n".into()));

    link.all(Request::PluginDeny { name: "tool-waiting".into(), grants: vec![] }).await.unwrap();
    bench.app.plugins_changed().await;
    assert_eq!(idle(), asks());
    assert_eq!(run().await, gone());
    bench.pure_works().await;
}

#[tokio::test]
async fn a_capability_that_is_not_granted_does_not_exist_for_a_component() {
    let files = [("waiting.wasm", guest("guest-waiting")), ("wasi.wasm", guest("guest-wasi-http"))];
    let bench = Bench::new(&files, "").await;
    let snapshot = bench.app.registry.snapshot();
    for (name, import) in [("tool-waiting", "openpista:shell/shell@"), ("tool-wasi-http", "wasi:http/")] {
        let plugin = Arc::clone(&snapshot.plugins[name]);
        let secrets = Arc::new(InstanceSecrets::new("bare", []).unwrap());
        // What all have, and the secrets that one of them imports.
        let grants = Grants::new([("secrets".to_string(), Vec::new())]);
        let bare =
            Instance::new("bare".into(), plugin, grants, "{}".into(), secrets, Limits::default(), Arc::default());
        let error = bare.loaded(&bench.host().runtime).await.err().expect("it is not linked").to_string();
        assert!(error.starts_with(&format!("{name} cannot be linked: ")) && error.contains(import), "{error}");
    }
}

#[tokio::test]
async fn what_is_optional_and_not_granted_is_denied_with_the_command_that_allows_it() {
    let bench = Bench::hostile("").await;
    let shell = bench.told(json!({ "attack": "script", "script": "id" })).await;
    assert_eq!(
        shell,
        "Error::AccessDenied(\"hostile may not use shell for *; to allow it: openpista-host plugin allow hostile \
         shell=*\")"
    );
    let http = bench.told(json!({ "attack": "fetch", "url": "https://example.org/" })).await;
    assert_eq!(
        http,
        "Error::AccessDenied(\"hostile may not use http for example.org; to allow it: openpista-host plugin allow \
         hostile http=example.org\")"
    );
    bench.pure_works().await;
}

#[tokio::test]
async fn a_program_that_is_not_in_the_scope_does_not_run() {
    let bench = Bench::hostile("grants = { shell = [\"echo\"] }").await;
    let run = |program, argument| bench.told(json!({ "attack": "program", "program": program, "argument": argument }));
    assert_eq!(run("echo", "it ran").await, "it ran\n");
    let mark = bench.path("mark");
    assert_eq!(
        run("touch", mark.to_str().unwrap()).await,
        "Error::AccessDenied(\"hostile may not use shell for touch; to allow it: openpista-host plugin allow hostile \
         shell=touch\")"
    );
    assert!(!mark.exists());
    let script = bench.told(json!({ "attack": "script", "script": "echo it ran" })).await;
    assert!(script.starts_with("Error::AccessDenied(\"hostile may not use shell for *; "), "{script}");
}

#[tokio::test]
async fn broken_tools_are_left_out_and_lists_over_the_limit_whole() {
    let files = [("hostile.wasm", guest("guest-hostile")), ("pure.wasm", guest("guest-pure"))];
    let instance =
        |list: &str| format!("[tools.{list}]\nplugin = \"tool-hostile\"\nsettings = {{ list = \"{list}\" }}\n");
    let config = ["many", "large", "broken"].map(instance).concat();
    let bench = Bench::new(&files, &config).await;
    let mut offered: Vec<_> = bench.app.tools.definitions().iter().map(|tool| tool.name.clone()).collect();
    offered.sort();
    assert_eq!(offered, ["attack", "good", "pure.echo"]);
    bench.pure_works().await;
}
