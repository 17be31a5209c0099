//! Plugins that were built for a released contract still run, and the contract of today says of everything in it what it
//! said then. `compat/README.md` has how the kept files are made.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "clippy exempts only functions that are tests themselves, not what they share"
)]

#[path = "compat/contract.rs"]
mod contract;
mod daemon;

use std::path::{Path, PathBuf};

use contract::{broken, parse};
use daemon::model::{Answer, Asked, Model};
use daemon::{Home, until};
use serde_json::json;

const LANGUAGES: [&str; 3] = ["rust", "python", "js"];

/// The folders of released contracts.
fn kept() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/compat");
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut folders: Vec<PathBuf> = entries.filter(|path| path.join("openpista.wit").exists()).collect();
    folders.sort();
    assert!(!folders.is_empty());
    folders
}

fn contract_of_today() -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../wit/flat/openpista.wit")).unwrap()
}

/// All three count, one of them twice.
fn script(_: usize, asked: &Asked) -> Answer {
    let outcomes: Vec<&str> = asked.outcomes().collect();
    match outcomes.as_slice() {
        [] => Answer::Calls(vec![
            ("kept-rust_count", json!({"by": 2})),
            ("kept-python_count", json!({"by": 3})),
            ("kept-js_count", json!({"by": 4})),
        ]),
        [_, _, _] => Answer::Calls(vec![("kept-js_count", json!({"by": 1})), ("kept-python_count", json!({"by": -1}))]),
        all => Answer::Text(all.join("\n")),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn plugins_that_were_built_for_a_released_contract_describe_themselves_and_are_called() {
    for folder in kept() {
        let model = Model::start(script).await;
        let home = Home::with(&["channel-web", "provider-openai-chat"]);
        home.configure(&(model.config() + "[tools.kept-js]\nplugin = \"kept-js\"\nsettings = { unit = \"steps\" }\n"));
        std::fs::create_dir_all(home.plugins()).unwrap();
        for language in LANGUAGES {
            let packed = std::fs::read(folder.join(format!("{language}.wasm.zst"))).unwrap();
            let bytes = zstd::decode_all(packed.as_slice()).unwrap();
            std::fs::write(home.plugins().join(format!("kept-{language}.wasm")), bytes).unwrap();
        }
        let daemon = home.start().await;
        for language in LANGUAGES {
            let name = format!("kept-{language}");
            let plugin = until(&format!("{name} to be ready"), async || {
                let list = home.json(&["plugin", "list"]).await;
                list.into_iter().find(|plugin| plugin["name"] == json!(name) && plugin["standing"] == json!("ready"))
            })
            .await;
            assert_eq!(plugin["tools"], json!([format!("{name}.count")]), "{plugin}");
            assert_eq!(plugin["settings"]["properties"]["unit"]["default"], json!("times"), "{plugin}");
        }
        let mut client = daemon.client(&home, "kept").await;
        client.say("m1", "count").await;
        let reply = client.expect_any(&["approval", "reply", "failed"]).await;
        let text = reply["text"].as_str().unwrap_or_default();
        for expected in ["2 times", "3 times", "4 steps", "5 steps", "\"count\"", "it counts up only"] {
            assert!(text.contains(expected), "{}: {expected} is not in {reply}", folder.display());
        }
        let log = daemon.log();
        for language in LANGUAGES {
            assert!(
                log.lines().any(|line| line.contains("counted to") && line.contains(&format!("kept-{language}"))),
                "{log}"
            );
        }
    }
}

#[test]
fn the_contract_of_today_breaks_no_released_one() {
    let today = parse(&contract_of_today());
    for folder in kept() {
        let then = parse(&std::fs::read_to_string(folder.join("openpista.wit")).unwrap());
        let wrong = broken(&then, &today);
        assert!(wrong.is_empty(), "{} is released, and plugins rely on it:\n{}", folder.display(), wrong.join("\n"));
    }
}

/// What is wrong with the contract of today, with these words of it replaced.
fn changed(words: &str, others: &str) -> Vec<String> {
    let today = contract_of_today();
    assert_eq!(today.matches(words).count(), 1, "{words}");
    broken(&parse(&today), &parse(&today.replacen(words, others, 1)))
}

#[test]
fn what_is_taken_away_or_changed_is_refused_in_plain_words() {
    let remove = "remove: func(key: string) -> result<_, error>;";
    for (words, others, expected) in [
        (remove, "", "openpista:state/state: the function `remove` is gone"),
        (
            remove,
            "remove: func(key: string, at: u64) -> result<_, error>;",
            "openpista:state/state: the function `remove` was func(key: string) -> result<_, error>, \
             and is func(key: string, at: u64) -> result<_, error>",
        ),
        (
            "mime: string,",
            "mime: string,\n    width: u32,",
            "openpista:types/types: the type `media` was record { mime: string, name: option<string>, data: list<u8> }, \
             and is record { mime: string, width: u32, name: option<string>, data: list<u8> }",
        ),
        (
            "type timestamp = u64;",
            "type timestamp = s64;",
            "openpista:types/types: the type `timestamp` was u64, and is s64",
        ),
        (
            "push: func(delta: delta) -> signal;",
            "",
            "openpista:plugin/deltas: the function `[method]sink.push` is gone",
        ),
        (
            "describe: func() -> manifest;",
            "describe: func() -> manifest;\n    health: func() -> bool;",
            "openpista:plugin/manifest: plugins export it, and none that was built before has the function `health`",
        ),
        (
            "    import progress;\n    export manifest;\n    export tools;",
            "    export manifest;\n    export tools;",
            "the world openpista:plugin/tool-plugin: the import of openpista:plugin/progress is gone",
        ),
        (
            "    import progress;\n    export manifest;\n    export tools;",
            "    import progress;\n    export manifest;\n    export tools;\n    export observer;",
            "the world openpista:plugin/tool-plugin: no plugin that was built before exports openpista:plugin/observer",
        ),
    ] {
        assert_eq!(changed(words, others), [expected]);
    }
    let today = contract_of_today();
    let next = parse(&today.replace("@0.1.0", "@0.2.0"));
    let wrong = broken(&parse(&today), &next);
    assert!(wrong.iter().any(|line| line == "the interface openpista:state/state@0.1 is gone"), "{wrong:?}");
}

#[test]
fn what_is_added_is_accepted() {
    let remove = "remove: func(key: string) -> result<_, error>;";
    for (words, others) in [
        (remove, "remove: func(key: string) -> result<_, error>;\n    clear: func();"),
        (remove, "remove: func(key: string) -> result<_, error>;\n    record usage { bytes: u64 }"),
        (
            "    import progress;\n    export manifest;\n    export tools;",
            "    import progress;\n    import openpista:shell/shell@0.1.0;\n    export manifest;\n    export tools;",
        ),
    ] {
        assert_eq!(changed(words, others), Vec::<String>::new(), "{others}");
    }
    let today = contract_of_today();
    let more =
        format!("{today}\npackage openpista:clock@0.1.0 {{\n  interface clock {{\n    now: func() -> u64;\n  }}\n}}\n");
    assert_eq!(broken(&parse(&today), &parse(&more)), Vec::<String>::new());
    let patch = today.replace("@0.1.0", "@0.1.1");
    assert_eq!(broken(&parse(&today), &parse(&patch)), Vec::<String>::new());
}
