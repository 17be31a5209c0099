//! What authors of plugins type: `plugin check`, `run`, `dev` and `replay`, on real components. Those with faults are made
//! of WIT alone: their exports trap, and their imports are whatever the test writes.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "clippy exempts only functions that are tests themselves, not what they share"
)]

mod daemon;

use std::path::{Path, PathBuf};
use std::process::Stdio;

use daemon::{Home, guest, stock, until, version};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::Child;
use tokio::sync::mpsc;
use wit_component::{ComponentEncoder, StringEncoding, dummy_module, embed_component_metadata};
use wit_parser_of_component::{ManglingAndAbi, Resolve, WorldId};

/// The world in its contract, which `edit` changes.
fn world(world: &str, edit: impl Fn(String) -> String) -> (Resolve, WorldId) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../wit/flat/openpista.wit");
    let flat = edit(std::fs::read_to_string(path).unwrap());
    let mut resolve = Resolve::default();
    let text = format!("package test:faulty;\nworld faulty {{\n{world}\n}}\n{flat}");
    let package = resolve.push_str("faulty.wit", &text).unwrap();
    let world = resolve.select_world(&[package], None).unwrap();
    (resolve, world)
}

/// A component of this world. `edit` changes the contract that it is built with.
fn component(words: &str, edit: impl Fn(String) -> String) -> Vec<u8> {
    let (resolve, world) = world(words, edit);
    let mut module = dummy_module(&resolve, world, ManglingAndAbi::Standard32);
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8).unwrap();
    ComponentEncoder::default().module(&module).unwrap().validate(true).encode().unwrap()
}

fn once(text: String, words: &str, others: &str) -> String {
    assert_eq!(text.matches(words).count(), 1, "{words}");
    text.replace(words, others)
}

/// A file beside the home.
fn file(home: &Home, name: &str, bytes: &[u8]) -> PathBuf {
    let path = home.workspace().join(name);
    std::fs::write(&path, bytes).unwrap();
    path
}

/// Exit code and report of `plugin check --json`.
async fn checked(home: &Home, bytes: &[u8]) -> (Option<i32>, Value) {
    let path = file(home, "checked.wasm", bytes);
    let (code, out, err) = home.said(&["plugin", "check", path.to_str().unwrap(), "--json"]).await;
    let report = serde_json::from_str(&out).unwrap_or_else(|_| panic!("{out}{err}"));
    (code, report)
}

/// The faults of a level, as code and place.
fn faults<'a>(report: &'a Value, level: &str) -> Vec<(&'a str, Option<&'a str>)> {
    let all = report["faults"].as_array().unwrap().iter().filter(|fault| fault["level"] == level);
    all.map(|fault| (fault["code"].as_str().unwrap(), fault["place"].as_str())).collect()
}

/// What a fault says, and its advice.
fn words<'a>(report: &'a Value, code: &str) -> (&'a str, &'a str) {
    let all = report["faults"].as_array().unwrap();
    let fault = all.iter().find(|fault| fault["code"] == code).unwrap_or_else(|| panic!("{code}: {report}"));
    (fault["what"].as_str().unwrap(), fault["advice"].as_str().unwrap())
}

fn skill() -> Vec<u8> {
    guest("hello-sdk")
}

#[tokio::test]
async fn a_good_component_is_summed_up_without_a_daemon_and_beside_one() {
    let home = Home::with(&["channel-web", "provider-demo"]);
    let path = file(&home, "hello.wasm", &skill());
    let check = ["plugin", "check", path.to_str().unwrap()];
    let (code, out, err) = home.said(&check).await;
    assert_eq!(code, Some(0), "{out}{err}");
    for part in ["hello-sdk 0.1.0  good", "tools", "words.count", "text: string", "{site}", "ignore", "MiB to start"] {
        assert!(out.contains(part), "{part}: {out}");
    }
    assert!(!home.path().join("openpista.redb").exists(), "nothing is opened for it");
    let _daemon = home.start().await;
    assert_eq!(home.said(&check).await.0, Some(0));
    let (code, report) = checked(&home, &std::fs::read(stock().join("tool-shell.wasm")).unwrap()).await;
    assert_eq!((code, &report["standing"], &report["tools"]), (Some(0), &json!("waiting"), &json!(["system.run"])));
    assert_eq!(report["definitions"][0]["parameters"]["required"], json!(["command"]));
    assert_eq!(faults(&report, "error"), []);
    assert!(report["memory"].as_u64().unwrap() > 0 && report["size"].as_u64().unwrap() > 0);
}

#[tokio::test]
async fn the_components_that_come_with_the_host_have_no_fault() {
    let home = Home::with(&[]);
    let mut looked_at = 0;
    for entry in std::fs::read_dir(stock()).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|ending| ending == "wasm") {
            let (code, report) = checked(&home, &std::fs::read(&path).unwrap()).await;
            assert_eq!(
                (code, faults(&report, "error"), faults(&report, "warning")),
                (Some(0), vec![], vec![]),
                "{report}"
            );
            looked_at += 1;
        }
    }
    assert!(looked_at > 0);
}

#[tokio::test]
async fn every_fault_of_a_component_is_told_at_once() {
    let home = Home::with(&[]);
    let world = "include openpista:plugin/tool-plugin@0.1.0;
        import openpista:htttp/client@0.1.0;
        import wasi:keyvalue/store@0.2.0;
        import openpista:shell/shell@0.1.0;
        import plain: func();";
    let bytes = component(world, |flat| {
        let flat = once(flat, "keys: func(prefix: string,", "keys: func(prefix: u32,");
        let flat = once(flat, "log: func(level: level,", "sing: func();\n    log: func(level: level,");
        format!(
            "{flat}\npackage openpista:htttp@0.1.0 {{ interface client {{ ping: func(); }} }}
             package wasi:keyvalue@0.2.0 {{ interface store {{ get: func(key: string) -> string; }} }}"
        )
    });
    let (code, report) = checked(&home, &bytes).await;
    assert_eq!((code, &report["standing"]), (Some(1), &json!("broken")));
    let mut found = faults(&report, "error");
    found.sort_unstable();
    assert_eq!(
        found,
        [
            ("describe-trap", None),
            ("other-type", Some("openpista:state/state@0.1.0")),
            ("unknown-function", Some("openpista:log/log@0.1.0")),
            ("unknown-import", Some("openpista:htttp/client@0.1.0")),
            ("unknown-import", Some("plain")),
            ("unknown-import", Some("wasi:keyvalue/store@0.2.0")),
        ]
    );
    let all = report["faults"].to_string();
    assert!(all.contains("did you mean `openpista:http/client`?"), "{all}");
    assert!(all.contains("openpista:state/state"), "{all}");
    let (what, _) = words(&report, "other-type");
    assert!(what.contains("keys: func(prefix: string, after: option<string>)"), "{what}");
    assert!(words(&report, "unknown-function").0.contains("`sing` of openpista:log/log"), "{all}");
}

#[tokio::test]
async fn what_it_exports_in_another_shape_is_told() {
    let home = Home::with(&[]);
    let bytes = component("include openpista:plugin/tool-plugin@0.1.0;", |flat| {
        once(
            flat,
            "    arguments: json,\n      /// The session's id",
            "    arguments: u64,\n      /// The session's id",
        )
    });
    let (code, report) = checked(&home, &bytes).await;
    let places: Vec<_> = faults(&report, "error").into_iter().filter(|(code, _)| *code == "export-type").collect();
    assert_eq!((code, places), (Some(1), vec![("export-type", Some("openpista:plugin/tools"))]), "{report}");
}

#[tokio::test]
async fn the_kind_and_the_version_of_a_file_are_told_in_plain_words() {
    let home = Home::with(&[]);
    for (bytes, code, advice) in [
        (b"\0asm\x01\0\0\0".to_vec(), "core-module", "wasm32-wasip2"),
        (b"#!/bin/sh\n".to_vec(), "no-component", "the build"),
        (skill()[..5_000].to_vec(), "damaged", "copy it whole"),
        (guest("guest-older"), "contract-older", "WIT of this host"),
        (guest("guest-elsewhere"), "no-manifest", "export!"),
        (guest("guest-impure"), "describe-impure", "return data only"),
        (guest("guest-unlisted"), "not-asked", "`needs`"),
    ] {
        let (exit, report) = checked(&home, &bytes).await;
        assert_eq!(exit, Some(1), "{code}: {report}");
        let said = words(&report, code).1;
        assert!(said.contains(advice), "{code}: {said}");
    }
    let newer = component("include openpista:plugin/tool-plugin@0.2.0;", |flat| flat.replace("@0.1.0", "@0.2.0"));
    let (_, report) = checked(&home, &newer).await;
    assert!(words(&report, "contract-newer").1.contains("update openpista-host"), "{report}");
    assert_eq!(faults(&report, "error").iter().filter(|(code, _)| *code == "contract-newer").count(), 1);
    let command = component("export wasi:cli/run@0.2.0;", |flat| {
        format!("{flat}\npackage wasi:cli@0.2.0 {{ interface run {{ run: func() -> result; }} }}")
    });
    assert_eq!(faults(&checked(&home, &command).await.1, "error"), [("other-world", None)]);
}

#[tokio::test]
async fn a_manifest_with_mistakes_is_told_with_the_places_of_them() {
    let home = Home::with(&[]);
    let good = guest("guest-pure");
    let bad =
        version(&good, r#""found-among-the-bytes":{"type":"string"}"#, r#""found-among-the-bytes":{"type":"strinx"}"#);
    let bad = version(&bad, "1.0.0-with-a-version", "1.0,0-with-a-version");
    let (code, report) = checked(&home, &bad).await;
    assert_eq!(code, Some(1));
    assert_eq!(
        faults(&report, "error"),
        [("bad-version", None), ("settings-schema", Some("/properties/found-among-the-bytes/type"))]
    );
    let bad = version(&good, r#"{"type":"object"}"#, r#"{"type":"objekt"}"#);
    assert_eq!(faults(&checked(&home, &bad).await.1, "error"), [("tool-schema", Some("/type"))]);
    let bad = version(&good, "pure.echo", "pure echo");
    assert_eq!(faults(&checked(&home, &bad).await.1, "error"), [("tool-name", Some("pure echo"))]);
}

#[tokio::test]
async fn a_description_that_never_ends_is_ended() {
    let home = Home::with(&[]);
    let (resolve, world) = world("export openpista:plugin/manifest@0.1.0;", |flat| flat);
    let mut module = wat::parse_str(
        r#"(module (memory (export "memory") 1)
            (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) unreachable)
            (func (export "openpista:plugin/manifest@0.1.0#describe") (result i32) (loop (br 0)) unreachable))"#,
    )
    .unwrap();
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8).unwrap();
    let bytes = ComponentEncoder::default().module(&module).unwrap().encode().unwrap();
    let (code, report) = checked(&home, &bytes).await;
    assert_eq!((code, faults(&report, "error")), (Some(1), vec![("no-role", None), ("describe-hang", None)]));
}

#[tokio::test]
async fn a_name_that_is_taken_is_told_before_it_is_installed() {
    let home = Home::with(&[]);
    std::fs::create_dir_all(home.plugins()).unwrap();
    std::fs::write(home.plugins().join("first.wasm"), guest("guest-pure")).unwrap();
    home.json(&["plugin", "list"]).await;
    let other = version(&guest("guest-pure"), "Gives its arguments back.", "Gives its arguments away.");
    let (code, report) = checked(&home, &other).await;
    assert_eq!((code, faults(&report, "warning")), (Some(0), vec![("name-clash", None)]));
    assert!(words(&report, "name-clash").1.contains("first.wasm"), "{report}");
}

#[tokio::test]
async fn a_file_that_is_not_there_and_a_folder_are_told_apart() {
    let home = Home::with(&[]);
    assert_eq!(home.said(&["plugin", "check", "gone.wasm"]).await.0, Some(4));
    assert_eq!(home.said(&["plugin", "check", "."]).await.0, Some(2));
}

#[tokio::test]
async fn a_tool_of_a_file_is_called_and_its_state_forgotten() {
    let home = Home::with(&[]);
    let path = file(&home, "hello.wasm", &skill());
    let path = path.to_str().unwrap();
    let run = |rest: &[&'static str]| [&["plugin", "run", path][..], rest].concat();
    let (code, out, _) = home.said(&run(&[])).await;
    assert!(code == Some(0) && out.contains("words.count") && out.contains("text: string"), "{out}");
    for _ in 0..2 {
        let said = home.said(&run(&["words.count", r#"{"text":"a word or two"}"#, "-v"])).await;
        assert_eq!((said.0, said.1.as_str()), (Some(0), "4 words, 4 in all\n"), "{}", said.2);
        assert!(said.2.contains("counted 4") && said.2.contains("of memory"), "{}", said.2);
    }
    let settings = [r#"{"text":"a word or two"}"#, "--settings", r#"{"ignore":["a","or"]}"#];
    assert_eq!(home.said(&run(&[&["words.count"][..], &settings].concat())).await.1, "2 words, 2 in all\n");
    let (code, out, _) = home.said(&run(&["words.count", r#"{"text":"x"}"#, "--json"])).await;
    let called: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(
        (code, &called["ok"], &called["content"]),
        (Some(0), &json!(true), &json!([{"text": "1 words, 1 in all"}]))
    );
}

#[tokio::test]
async fn what_does_not_fit_is_told_before_anything_runs() {
    let home = Home::with(&[]);
    let path = file(&home, "hello.wasm", &skill());
    let path = path.to_str().unwrap();
    let said = async |rest: &[&str]| {
        let (code, _, err) = home.said(&[&["plugin", "run", path][..], rest].concat()).await;
        (code, err)
    };
    for (rest, exit, word) in [
        (&["words.count", r#"{"text":7}"#][..], 2, "/text"),
        (&["words.count", "{}"], 2, "text"),
        (&["words.count", "{"], 2, "JSON"),
        (&["words.cuont"], 4, "did you mean `words.count`?"),
        (&["words.count", r#"{"text":"x"}"#, "--settings", r#"{"ingore":[]}"#], 2, "did you mean `ignore`?"),
        (&["words.count", r#"{"text":"x"}"#, "--allow", "shell"], 2, "does not ask for shell"),
        (
            &["words.count", r#"{"text":"x"}"#, "--allow", "http=elsewhere.org"],
            2,
            "does not ask for http=elsewhere.org",
        ),
        (&["words.count", r#"{"text":"x"}"#, "--secret", "key=env:NO_SUCH_KEY"], 2, "NO_SUCH_KEY"),
        (&["words.count", r#"{"text":"x"}"#, "--secret", "key=very-secret-value"], 2, "NAME=env:VARIABLE"),
    ] {
        let (code, err) = said(rest).await;
        assert_eq!(code, Some(exit), "{rest:?}: {err}");
        assert!(err.contains(word) && !err.contains("very-secret"), "{rest:?}: {err}");
    }
    for (name, word) in [("provider-demo", "provider"), ("channel-web", "channel")] {
        let path = stock().join(format!("{name}.wasm"));
        let (code, _, err) = home.said(&["plugin", "run", path.to_str().unwrap()]).await;
        assert!(code == Some(2) && err.contains(word), "{err}");
    }
}

/// Answers each request with the same words.
async fn site(words: &'static str) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut head = vec![0; 8 << 10];
            let _ = stream.read(&mut head).await;
            let head =
                format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{words}", words.len());
            let _ = stream.write_all(head.as_bytes()).await;
        }
    });
    address
}

#[tokio::test]
async fn nothing_is_allowed_unless_it_is_said_and_a_denial_says_how() {
    let home = Home::with(&[]);
    let path = file(&home, "hello.wasm", &skill());
    let settings = json!({"site": site("one two three").await}).to_string();
    let call = ["plugin", "run", path.to_str().unwrap(), "words.page", r#"{"path":"/"}"#, "--settings", &settings];
    let (code, out, err) = home.said(&call).await;
    assert_eq!((code, out.as_str()), (Some(5), ""), "{err}");
    assert!(err.contains("--allow http") && !err.contains("plugin allow"), "{err}");
    let (code, out, err) = home.said(&[&call[..], &["--allow", "http"]].concat()).await;
    assert_eq!((code, out.as_str()), (Some(0), "3 words\n"), "{err}");
    let shell = stock().join("tool-shell.wasm");
    let call = |command: &str| json!({ "command": command }).to_string();
    let run = async |command: &str, rest: &[&str]| {
        let start = ["plugin", "run", shell.to_str().unwrap(), "system.run"];
        home.said(&[&start[..], &[call(command).as_str()], rest].concat()).await
    };
    let (code, _, err) = run("pwd", &[]).await;
    assert!(code == Some(5) && err.contains("--allow shell"), "{err}");
    let folder = home.workspace().join("elsewhere");
    std::fs::create_dir(&folder).unwrap();
    let (code, out, _) = run("pwd", &["--allow", "shell", "--workspace", "elsewhere"]).await;
    assert!(code == Some(0) && out.contains("elsewhere"), "{out}");
    let (code, out, err) = run("echo no; exit 3", &["--allow", "shell"]).await;
    assert!(code == Some(1) && out.contains("exit code: 3") && err.contains("it failed"), "{out}{err}");
}

#[tokio::test]
async fn a_file_that_a_tool_gives_back_is_kept_over_no_other() {
    let home = Home::with(&[]);
    let path = file(&home, "picture.wasm", &guest("guest-picture"));
    let path = path.to_str().unwrap();
    let tools = home.said(&["plugin", "run", path, "--json"]).await.1;
    let tool: Value = serde_json::from_str(tools.lines().next().unwrap()).unwrap();
    let call = ["plugin", "run", path, tool["name"].as_str().unwrap(), "{}", "--save", "kept"];
    for count in 1..=2 {
        let (code, out, err) = home.said(&call).await;
        assert_eq!(code, Some(0), "{out}{err}");
        assert_eq!(std::fs::read_dir(home.workspace().join("kept")).unwrap().count(), count, "{out}");
    }
}

#[tokio::test]
async fn an_installed_tool_is_called_by_its_own_grants_with_a_daemon_and_without() {
    let home = Home::with(&["channel-web", "provider-demo", "tool-shell"]);
    let call = ["plugin", "run", "tool-shell", "system.run", r#"{"command":"cat marmalade.txt"}"#];
    let denied = [&call[..], &["--allow", "shell"]].concat();
    for round in 0..2 {
        let daemon = if round == 1 { Some(home.start().await) } else { None };
        let (code, out, err) = home.said(&call).await;
        assert!(code == Some(0) && out.contains("sweet"), "{out}{err}");
        assert!(home.said(&["plugin", "run", "shell"]).await.1.contains("system.run"));
        let (code, _, err) = home.said(&denied).await;
        assert!(code == Some(2) && err.contains("its own grants"), "{err}");
        assert_eq!(home.said(&["plugin", "run", "nothing", "x"]).await.0, Some(4));
        let (code, _, err) = home.said(&["plugin", "run", "demo", "x"]).await;
        assert!(code == Some(2) && err.contains("is a provider"), "{err}");
        drop(daemon);
    }
}

#[tokio::test]
async fn what_a_call_by_hand_writes_is_not_kept_by_the_daemon_either() {
    let home = Home::with(&["channel-web", "provider-demo"]);
    std::fs::create_dir_all(home.plugins()).unwrap();
    std::fs::write(home.plugins().join("hello.wasm"), skill()).unwrap();
    let _daemon = home.start().await;
    for _ in 0..2 {
        let said = home.said(&["plugin", "run", "hello-sdk", "words.count", r#"{"text":"a b"}"#]).await;
        assert_eq!((said.0, said.1.as_str()), (Some(0), "2 words, 2 in all\n"), "{}", said.2);
    }
}

/// A recording with these calls and what came of them.
fn recording(calls: &[(&str, Value, Value, bool)]) -> String {
    let mut lines = vec![json!({"session": {"id": "s-1", "title": "kept as it is"}})];
    for (number, (tool, arguments, content, failed)) in calls.iter().enumerate() {
        let id = format!("c-{number}");
        let call = json!({"body": {"call": {"id": id, "name": tool, "arguments": arguments.to_string()}}});
        let outcome = json!({"body": {"outcome": {"id": id, "name": tool, "content": content, "failed": failed}}});
        lines.push(json!({"message": {"cursor": 1, "message": {"role": "assistant", "parts": [call], "at": 1}}}));
        lines.push(json!({"message": {"cursor": 2, "message": {"role": "user", "parts": [outcome], "at": 2}}}));
    }
    lines.iter().map(|line| format!("{line}\n")).collect()
}

#[tokio::test]
async fn recorded_calls_are_made_again_in_their_order_and_compared() {
    let home = Home::with(&[]);
    let wasm = file(&home, "hello.wasm", &skill());
    let text = |text: &str| json!([{ "text": text }]);
    let recorded = recording(&[
        ("words.count", json!({"text": "a b"}), text("2 words, 2 in all"), false),
        ("other.tool", json!({}), text("of another plugin"), false),
        ("words.count", json!({"text": "c"}), text("1 words, 3 in all"), false),
        ("words.count", json!({"text": "d"}), text("Not run: the policy here denies it."), true),
        (
            "words.count",
            json!({}),
            text("The arguments do not fit the tool's schema:\n- the arguments: \"text\" is a required property"),
            true,
        ),
    ]);
    let path = file(&home, "talk.jsonl", recorded.as_bytes());
    let replay = ["plugin", "replay", wasm.to_str().unwrap(), path.to_str().unwrap()];
    let (code, out, err) = home.said(&replay).await;
    assert_eq!(code, Some(0), "{out}{err}");
    assert!(err.contains("3 as recorded, 0 different, 1 not made"), "{err}");
    // Another version says it otherwise.
    std::fs::write(&path, recorded.replace("1 words, 3 in all", "1 word, 3 in all")).unwrap();
    let (code, out, _) = home.said(&replay).await;
    assert!(code == Some(1) && out.contains("    - 1 word, 3 in all\n    + 1 words, 3 in all"), "{out}");
    let (code, _, err) = home.said(&[&replay[..], &["--update"]].concat()).await;
    assert!(code == Some(0) && err.contains("1 written anew"), "{err}");
    assert_eq!(std::fs::read_to_string(&path).unwrap(), recorded);
    assert_eq!(home.said(&replay).await.0, Some(0));
    let demo = stock().join("provider-demo.wasm");
    let (code, _, err) = home.said(&["plugin", "replay", demo.to_str().unwrap(), path.to_str().unwrap()]).await;
    assert!(code == Some(2) && err.contains("has no tools"), "{err}");
    let broken = file(&home, "broken.jsonl", b"{}\nnot json\n");
    let (code, _, err) = home.said(&["plugin", "replay", replay[2], broken.to_str().unwrap()]).await;
    assert!(code == Some(1) && err.contains("line 2"), "{err}");
}

#[tokio::test]
async fn a_conversation_that_was_exported_is_a_test() {
    let home = Home::with(&["channel-web", "provider-demo", "tool-shell"]);
    let (code, out, err) = home.said(&["run", "-e", "show me the files here", "--yes"]).await;
    assert!(code == Some(0) && out.contains("marmalade.txt"), "{out}{err}");
    let sessions = home.json(&["session", "list"]).await;
    let path = home.path().join("talk.jsonl");
    let export = ["session", "export", sessions[0]["id"].as_str().unwrap(), "-o", path.to_str().unwrap()];
    assert_eq!(home.said(&export).await.0, Some(0));
    let shell = stock().join("tool-shell.wasm");
    let replay = ["plugin", "replay", shell.to_str().unwrap(), path.to_str().unwrap(), "--allow", "shell"];
    let (code, out, err) = home.said(&replay).await;
    assert!(code == Some(0) && err.contains("1 as recorded"), "{out}{err}");
    std::fs::write(home.workspace().join("new.txt"), "").unwrap();
    let (code, out, _) = home.said(&replay).await;
    assert!(code == Some(1) && out.contains("+ ") && out.contains("new.txt"), "{out}");
}

/// `plugin dev` with what it says, line by line.
struct Working {
    child: Child,
    lines: mpsc::UnboundedReceiver<String>,
    seen: Vec<String>,
}

impl Working {
    fn start(home: &Home, arguments: &[&str]) -> Self {
        let mut child = home.command(arguments).stdout(Stdio::null()).spawn().unwrap();
        let mut read = BufReader::new(child.stderr.take().unwrap()).lines();
        let (send, lines) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            while let Ok(Some(line)) = read.next_line().await {
                // The test is over.
                let _ = send.send(line);
            }
        });
        Self { child, lines, seen: Vec::new() }
    }

    /// The next line with these words.
    async fn says(&mut self, words: &str) -> String {
        until(words, async || {
            while let Ok(line) = self.lines.try_recv() {
                self.seen.push(line.clone());
                if line.contains(words) {
                    return Some(line);
                }
            }
            assert!(!self.lines.is_closed() || !self.lines.is_empty(), "no {words:?}: {:#?}", self.seen);
            None
        })
        .await
    }
}

#[tokio::test]
async fn a_folder_is_built_installed_and_built_again_at_each_change() {
    let home = Home::with(&["channel-web", "provider-demo"]);
    let _daemon = home.start().await;
    let folder = home.workspace().join("mine");
    std::fs::create_dir_all(folder.join("src")).unwrap();
    let other = version(&guest("guest-pure"), "Gives its arguments back.", "Gives its arguments away.");
    file(&home, "one.bin", &guest("guest-pure"));
    file(&home, "two.bin", &other);
    file(&home, "bad.bin", &guest("guest-unlisted"));
    let source = folder.join("src/which");
    std::fs::write(&source, "one").unwrap();
    let build = "cp ../$(cat src/which).bin out.wasm";
    let mut dev = Working::start(&home, &["plugin", "dev", "mine", "--build", build, "--output", "out.wasm"]);
    dev.says("building…").await;
    dev.says("built in").await;
    dev.says("installed tool-pure").await;
    dev.says("loaded by the daemon").await;
    dev.says("waiting for changes").await;
    let installed = home.plugins().join("tool-pure-with-a-name-that-is-found-among-the-bytes.wasm");
    assert_eq!(std::fs::read(&installed).unwrap(), guest("guest-pure"));
    std::fs::write(&source, "two").unwrap();
    dev.says("in place of 1.0.0").await;
    dev.says("loaded by the daemon").await;
    dev.says("waiting for changes").await;
    std::fs::write(&source, "bad").unwrap();
    dev.says("refused: 1 error").await;
    dev.says("waiting for changes").await;
    std::fs::write(&source, "none").unwrap();
    dev.says("the build failed").await;
    dev.says("waiting for changes").await;
    assert_eq!(std::fs::read(&installed).unwrap(), other, "what is installed stays as it is");
    let pid = nix::unistd::Pid::from_raw(i32::try_from(dev.child.id().unwrap()).unwrap());
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGINT).unwrap();
    dev.says("the plugin stays installed").await;
    assert_eq!(dev.child.wait().await.unwrap().code(), Some(0));
    assert!(installed.exists());
}

#[tokio::test]
async fn once_builds_once_and_says_with_its_exit_code_how_it_went() {
    let home = Home::with(&[]);
    file(&home, "one.bin", &guest("guest-waiting"));
    std::fs::create_dir(home.workspace().join("mine")).unwrap();
    let manifest = "[tool.openpista]\nbuild = \"cp ../one.bin plugin.wasm\"\nwasm = \"plugin.wasm\"\n";
    std::fs::write(home.workspace().join("mine/pyproject.toml"), manifest).unwrap();
    let (code, _, err) = home.said(&["plugin", "dev", "mine", "--once"]).await;
    assert!(code == Some(0) && err.contains("no daemon runs here"), "{err}");
    std::fs::write(home.workspace().join("one.bin"), b"no wasm").unwrap();
    let (code, out, err) = home.said(&["plugin", "dev", "mine", "--once"]).await;
    assert!(code == Some(1) && err.contains("refused") && out.contains("no WebAssembly"), "{out}{err}");
    std::fs::create_dir(home.workspace().join("empty")).unwrap();
    let (code, _, err) = home.said(&["plugin", "dev", "empty"]).await;
    assert!(code == Some(2) && err.contains("--build"), "{err}");
}
