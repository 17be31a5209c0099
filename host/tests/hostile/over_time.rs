//! Attacks that take their time: dripping, flooding over many calls, and changing between a check and what it was about.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use nix::fcntl::{AT_FDCWD, RenameFlags, renameat2};
use openpista_host::admin::{Answers, Link, Request, Response, TurnEvent};
use openpista_host::agent::ports::{Invocation, ToolError, Toolbox as _};
use openpista_host::app::Admin;
use openpista_host::message::Decision;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::bench::{Bench, guest, until};
use super::exhaustion::Log;

/// The hostile tool, the hostile provider and the harmless tool.
async fn with_models(config: &str) -> Bench {
    let files = [
        ("hostile.wasm", guest("guest-hostile")),
        ("provider.wasm", guest("guest-hostile-provider")),
        ("pure.wasm", guest("guest-pure")),
    ];
    Bench::new(&files, config).await
}

/// Says something to a model; what follows is the turn.
async fn say(bench: &Bench, model: &str, text: String, session: Option<String>, yes: bool) -> Answers {
    let link = Link::Here(Arc::new(Admin(Arc::clone(&bench.app))));
    link.ask(Request::Say { text, session, model: Some(format!("hostile/{model}")), yes }).await.unwrap()
}

/// The next event of the turn that is wanted.
async fn event<T>(answers: &mut Answers, wanted: impl Fn(TurnEvent) -> Option<T>) -> T {
    loop {
        match answers.next().await.unwrap().expect("the turn goes on") {
            Response::Turn(event) => {
                if let Some(found) = wanted(event) {
                    return found;
                }
            }
            other => panic!("{other:?}"),
        }
    }
}

/// How the turn ended: ok, text, notice.
async fn end(answers: &mut Answers) -> (bool, String, String) {
    event(answers, |event| match event {
        TurnEvent::End { ok, text, notice, .. } => Some((ok, text, notice.unwrap_or_default())),
        _ => None,
    })
    .await
}

async fn question(answers: &mut Answers) -> String {
    event(answers, |event| match event {
        TurnEvent::Approval { id, .. } => Some(id),
        TurnEvent::ToolStarted { name, .. } => panic!("{name} runs, and nobody was asked"),
        _ => None,
    })
    .await
}

async fn decide(bench: &Bench, approval: String, decision: Decision) {
    let link = Link::Here(Arc::new(Admin(Arc::clone(&bench.app))));
    link.all(Request::Decide { approval, decision }).await.unwrap();
}

fn calls(calls: Value) -> String {
    calls.to_string()
}

fn attack(id: &str, arguments: &Value) -> Value {
    json!({ "id": id, "name": "attack", "arguments": arguments })
}

#[tokio::test]
async fn progress_without_end_is_handed_on_a_hundred_times_a_second() {
    let bench = Bench::hostile("").await;
    let seen = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&seen);
    let invocation = Invocation {
        id: "call-1".into(),
        name: "attack".into(),
        arguments: json!({ "attack": "reports" }).to_string(),
        session: "session-1".into(),
        turn: "turn-1".into(),
        approval: String::new(),
        edition: None,
    };
    let progress = Arc::new(move |_| {
        counted.fetch_add(1, Ordering::SeqCst);
    });
    bench.app.tools.call(invocation, progress, CancellationToken::new()).await.unwrap();
    let seen = seen.load(Ordering::SeqCst);
    assert!((100..50_000).contains(&seen), "{seen} of 100000");
    bench.pure_works().await;
}

#[tokio::test]
async fn a_turn_that_drips_for_ever_ends_with_its_time_whether_model_or_tool() {
    let bench = with_models("[agent]\nturn_timeout = \"1s\"\n").await;
    let (ok, text, _) = end(&mut say(&bench, "drip", "go".into(), None, true).await).await;
    assert!(!ok && text.trim_start_matches('x').is_empty(), "{text}");
    let drip = calls(json!([attack("1", &json!({ "attack": "drip" }))]));
    let (ok, ..) = end(&mut say(&bench, "script", drip, None, true).await).await;
    assert!(!ok);
    bench.pure_works().await;
}

#[tokio::test]
async fn an_answer_that_streams_without_end_is_ended_at_16_mib() {
    let bench = with_models("").await;
    let streamed = AtomicUsize::new(0);
    let (ok, text, notice) = event(&mut say(&bench, "flood", "go".into(), None, true).await, |event| match event {
        TurnEvent::Text { text } => {
            streamed.fetch_add(text.len(), Ordering::SeqCst);
            None
        }
        TurnEvent::End { ok, text, notice, .. } => Some((ok, text, notice.unwrap_or_default())),
        _ => None,
    })
    .await;
    assert!(!ok && text.is_empty());
    // It is asked twice.
    let streamed = streamed.load(Ordering::SeqCst) >> 20;
    assert!(streamed <= 32, "{streamed} MiB");
    assert!(notice.contains("one answer streams at most 16 MiB"), "{notice}");
    bench.pure_works().await;
}

#[tokio::test]
async fn calls_to_nothing_and_ids_that_were_used_before_are_told_apart() {
    let bench = with_models("").await;
    let echo = |text: &str| json!({ "id": "a", "name": "pure.echo", "arguments": { "text": text } });
    let asked = calls(json!([{ "id": "a", "name": "no.such", "arguments": {} }, echo("one"), echo("two")]));
    let (ok, text, _) = end(&mut say(&bench, "script", asked, None, false).await).await;
    assert!(ok, "{text}");
    let mut told: Vec<(&str, &str)> = text.lines().map(|line| line.split_once(' ').unwrap()).collect();
    told.sort_by_key(|(_, what)| *what);
    assert_eq!(
        told.iter().map(|(_, what)| *what).collect::<Vec<_>>(),
        [
            "no.such: There is no tool `no.such`. Use only tools that are on offer.",
            "pure.echo: {\"text\":\"one\"}",
            "pure.echo: {\"text\":\"two\"}"
        ]
    );
    let mut ids: Vec<&str> = told.iter().map(|(id, _)| *id).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 3, "{text}");
}

#[tokio::test]
async fn what_was_allowed_is_not_run_by_a_tool_that_became_another_meanwhile() {
    let bench = with_models("[tools.hostile]\ngrants = { shell = [\"touch\"] }\n").await;
    let mark = bench.path("mark");
    let touch = json!({ "attack": "program", "program": "touch", "argument": mark });
    let mut turn = say(&bench, "script", calls(json!([attack("1", &touch)])), None, false).await;
    let approval = question(&mut turn).await;
    let another = json!({ "attack": "become", "text": "Something else" });
    assert_eq!(bench.call("attack", another, CancellationToken::new()).await, Ok("changed".into()));
    decide(&bench, approval, Decision::AllowOnce).await;
    let (_, text, _) = end(&mut turn).await;
    assert!(text.contains("the tool attack became another one while this call waited"), "{text}");
    assert!(!mark.exists());

    // Asked again, it runs.
    let mut turn = say(&bench, "script", calls(json!([attack("2", &touch)])), None, false).await;
    let approval = question(&mut turn).await;
    decide(&bench, approval, Decision::AllowOnce).await;
    end(&mut turn).await;
    assert!(mark.exists());
}

#[tokio::test]
async fn what_is_allowed_for_the_session_is_not_allowed_for_another_plugins_tool_of_that_name() {
    let bench = with_models("[tools.hostile]\n[tools.other]\nplugin = \"tool-hostile\"\n").await;
    let call = |id: &str| calls(json!([attack(id, &json!({ "attack": "say", "text": "hello" }))]));
    let mut turn = say(&bench, "script", call("1"), None, false).await;
    let session = event(&mut turn, |event| match event {
        TurnEvent::Begin { session } => Some(session),
        _ => None,
    })
    .await;
    let approval = question(&mut turn).await;
    decide(&bench, approval, Decision::AllowSession).await;
    end(&mut turn).await;
    // It holds for the same one.
    let mut turn = say(&bench, "script", call("2"), Some(session.clone()), false).await;
    let ran = event(&mut turn, |event| match event {
        TurnEvent::ToolStarted { .. } => Some(true),
        TurnEvent::Approval { .. } => Some(false),
        _ => None,
    });
    assert!(ran.await);
    end(&mut turn).await;

    assert_eq!(bench.app.tools.owner("attack").unwrap().name, "hostile");
    let gone = json!({ "attack": "become", "text": "gone" });
    bench.call("attack", gone, CancellationToken::new()).await.unwrap();
    assert_eq!(bench.app.tools.owner("attack").unwrap().name, "other");
    let mut turn = say(&bench, "script", call("3"), Some(session), false).await;
    let approval = question(&mut turn).await;
    decide(&bench, approval, Decision::Deny).await;
    end(&mut turn).await;
}

#[tokio::test]
async fn a_newcomer_does_not_get_the_name_of_a_tool_that_is_there() {
    let config = "[tools.aaa]\nplugin = \"tool-hostile\"\nsettings = { list = \"thief\" }\n";
    let bench = Bench::new(&[("pure.wasm", guest("guest-pure"))], config).await;
    bench.pure_works().await;
    std::fs::write(bench.path("plugins").join("aaa.wasm"), guest("guest-hostile")).unwrap();
    assert!(bench.app.registry.scan().await.unwrap());
    bench.app.plugins_changed().await;
    let hidden = bench.app.tools.clashes();
    assert!(hidden.iter().any(|clash| clash.starts_with("pure.echo of aaa is hidden")), "{hidden:?}");
    bench.pure_works().await;
}

#[tokio::test]
async fn words_are_guessed_ten_times_a_minute() {
    let bench = Bench::hostile("secrets = { word = \"a-good-word\" }").await;
    let told = bench.told(json!({ "attack": "guess" })).await;
    assert!(told.starts_with("10: Error::TooLarge(\"at most 10 wrong values of word a minute"), "{told}");
    // Another call does not begin anew.
    assert!(bench.told(json!({ "attack": "guess" })).await.starts_with("0: Error::TooLarge("));
}

#[tokio::test]
async fn lines_of_many_calls_are_cut_at_a_thousand_a_minute() {
    let (log, _logging) = Log::start();
    let bench = Bench::hostile("").await;
    let text = "drip\n".repeat(40);
    for _ in 0..15 {
        // On standard output and on standard error.
        bench.told(json!({ "attack": "print", "text": text })).await;
    }
    assert_eq!(log.text().lines().filter(|line| line.contains("plugin: drip")).count(), 1_000);
    bench.pure_works().await;
}

/// Changes two names with each other, again and again.
struct Swapping {
    over: Arc<AtomicBool>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Swapping {
    fn start(one: std::path::PathBuf, other: std::path::PathBuf) -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let until = Arc::clone(&over);
        let thread = std::thread::spawn(move || {
            while !until.load(Ordering::Relaxed) {
                renameat2(AT_FDCWD, &one, AT_FDCWD, &other, RenameFlags::RENAME_EXCHANGE).unwrap();
            }
        });
        Self { over, thread: Some(thread) }
    }
}

impl Drop for Swapping {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        self.thread.take().map(std::thread::JoinHandle::join);
    }
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_folder_that_is_swapped_for_a_link_while_it_is_looked_at_leads_nowhere_else() {
    let bench = Bench::hostile("grants = { shell = [\"pwd\"] }").await;
    let outside = tempfile::tempdir().unwrap();
    // What the host is given as its workspace here is its home.
    let (inside, link) = (bench.path("in"), bench.path("out"));
    let workspace = inside.parent().unwrap().canonicalize().unwrap();
    std::fs::create_dir(&inside).unwrap();
    std::os::unix::fs::symlink(outside.path(), &link).unwrap();
    let real = outside.path().canonicalize().unwrap();
    let refused = bench.told(json!({ "attack": "folder", "dir": "out" })).await;
    assert!(refused.contains(&format!("hostile may not use shell for dir:{}", real.display())), "{refused}");

    let _swapping = Swapping::start(inside, link);
    // Enough of them that a check of the name alone is passed by again and again.
    let seen = bench.told(json!({ "attack": "folders", "dir": "in", "times": 400 })).await;
    assert!(seen.lines().any(|line| std::path::Path::new(line).starts_with(&workspace)), "{seen}");
    assert!(!seen.lines().any(|line| std::path::Path::new(line) == real), "{seen}");
}

/// Its tools are gone when it was told so: for the tests above, this must be an error of nobody else.
#[tokio::test]
async fn a_tool_that_is_gone_is_said_to_be() {
    let bench = Bench::hostile("").await;
    bench.call("attack", json!({ "attack": "become", "text": "gone" }), CancellationToken::new()).await.unwrap();
    let answer = bench.call("attack", json!({ "attack": "say", "text": "x" }), CancellationToken::new()).await;
    assert_eq!(answer, Err(ToolError::Other("the tool attack is gone: its plugin was removed".into())));
    until(|| bench.app.tools.owner("attack").is_none().then_some(())).await;
}
