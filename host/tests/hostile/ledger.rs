//! What calls leave in the ledger.

use std::sync::Arc;

use openpista_host::admin::{LedgerEntry, Link, Request, Response};
use openpista_host::app::Admin;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::bench::{Bench, guest};

async fn show(bench: &Bench, change: impl FnOnce(&mut Request)) -> Vec<LedgerEntry> {
    let mut request = Request::LedgerShow {
        plugin: None,
        instance: None,
        session: None,
        capability: None,
        since: None,
        denied: false,
        limit: 99,
    };
    change(&mut request);
    let link = Link::Here(Arc::new(Admin(Arc::clone(&bench.app))));
    let lines = link.all(request).await.unwrap().into_iter().map(|response| match response {
        Response::Ledger(entry) => entry,
        other => panic!("{other:?}"),
    });
    lines.collect()
}

#[tokio::test]
async fn a_tool_call_and_what_it_asked_for_stand_there_with_their_arguments_outcome_and_time() {
    let files = [("pure.wasm", guest("guest-pure")), ("waiting.wasm", guest("guest-waiting"))];
    let bench = Bench::new(&files, "[tools.waiting]\ngrants = { shell = [\"true\"] }\n").await;
    let call = |tool: &'static str, arguments| bench.call(tool, arguments, CancellationToken::new());
    call("pure.echo", json!({"a": 1, "b": 2})).await.unwrap();
    call("pure.echo", json!({"b": 2, "a": 1})).await.unwrap();
    call("pure.echo", json!({"a": 1, "b": 3})).await.unwrap();
    let denied = call("waiting.run", json!({})).await;
    assert!(denied.is_err(), "{denied:?}");

    let mut pure = show(&bench, |request| {
        if let Request::LedgerShow { plugin, .. } = request {
            *plugin = Some("tool-pure-with-a-name-that-is-found-among-the-bytes".into());
        }
    })
    .await;
    pure.reverse();
    let [first, same, other] = pure.as_slice() else { panic!("{pure:?}") };
    assert_eq!((first.capability.as_str(), first.what.as_str(), first.outcome.as_str()), ("tools", "pure.echo", "ok"));
    assert_eq!((first.approval.as_str(), first.allowed, first.took.is_some()), ("policy", true, true));
    assert_eq!((first.arguments.len(), &first.arguments), (64, &same.arguments));
    assert_ne!(first.arguments, other.arguments);

    let shell = show(&bench, |request| {
        if let Request::LedgerShow { capability, denied, .. } = request {
            (*capability, *denied) = (Some("shell".into()), true);
        }
    })
    .await;
    let [shell] = shell.as_slice() else { panic!("{shell:?}") };
    assert_eq!((shell.instance.as_str(), shell.outcome.as_str(), shell.allowed), ("waiting", "denied", false));
    assert_eq!((shell.approval.as_str(), shell.arguments.len()), ("policy", 64));
    let later = show(&bench, |request| {
        if let Request::LedgerShow { since, .. } = request {
            *since = Some(u64::MAX);
        }
    })
    .await;
    assert_eq!(later, []);
}
