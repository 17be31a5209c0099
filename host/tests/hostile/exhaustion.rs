//! Taking too much: time, memory, stack, host calls, output.

use std::io::Write;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use openpista_host::agent::ports::ToolError;
use openpista_host::plugin::registry::RoleKind;
use openpista_host::runtime::limits::{Limits, Violation};
use openpista_host::runtime::state::Guest;
use openpista_host::runtime::{Budget, CallError, Runtime};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::bench::{Bench, PATIENCE, attack_on, guest, lives, until};

fn violation(error: CallError) -> Violation {
    match error {
        CallError::Limit { plugin, violation } => {
            assert_eq!(plugin, "tool-hostile");
            violation
        }
        other => panic!("not a limit: {other:?}"),
    }
}

fn trap(error: CallError) -> String {
    match error {
        CallError::Trap { plugin, reason } => {
            assert_eq!(plugin, "tool-hostile");
            reason
        }
        other => panic!("not a trap: {other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn an_endless_loop_runs_into_its_running_time_and_leaves_the_only_thread_to_others() {
    let bench = Bench::hostile("limits = { running = \"200ms\" }").await;
    let stopped = bench.beside_pure(json!({ "attack": "spin" })).await.unwrap_err();
    assert_eq!(violation(stopped), Violation::Running(200));

    let bench = Bench::hostile("limits = { running = \"5s\" }").await;
    tokio::select! {
        biased;
        ended = bench.attack(json!({ "attack": "spin" })) => panic!("it kept the thread until it was stopped: {ended:?}"),
        () = bench.pure_works() => (),
    }
}

#[tokio::test]
async fn an_endless_loop_is_cut_off_two_seconds_after_the_turn_was_cancelled() {
    let bench = Bench::hostile("limits = { running = \"10s\" }").await;
    let cancel = CancellationToken::new();
    cancel.cancel();
    let stopped = bench.call("attack", json!({ "attack": "spin" }), cancel).await;
    assert_eq!(stopped, Err(ToolError::Cancelled));
    bench.pure_works().await;
}

#[tokio::test]
async fn memory_without_end_runs_into_the_memory_limit() {
    let bench = Bench::hostile("").await;
    let stopped = bench.beside_pure(json!({ "attack": "memory" })).await.unwrap_err();
    assert_eq!(violation(stopped), Violation::Memory(64 << 20));
}

#[tokio::test]
async fn the_model_is_told_in_words_which_limit_it_was() {
    let bench = Bench::hostile("limits = { memory = \"8MB\" }").await;
    let stopped = bench.call("attack", json!({ "attack": "memory" }), CancellationToken::new()).await;
    let words = "tool-hostile was stopped: it wanted more than its 8 MiB of memory";
    assert_eq!(stopped, Err(ToolError::Other(words.into())));
}

/// A component with nothing but a core module that has this table, and an instance of it.
fn component_with_a_table(elements: u32) -> Vec<u8> {
    let mut limits = vec![0x01, 0x70, 0x00];
    let mut rest = elements;
    while rest > 0x7f {
        limits.push(u8::try_from(rest & 0x7f).unwrap() | 0x80);
        rest >>= 7;
    }
    limits.push(u8::try_from(rest).unwrap());
    let table = [vec![0x04, u8::try_from(limits.len()).unwrap()], limits].concat();
    let module = [b"\0asm\x01\0\0\0".to_vec(), table].concat();
    let core = [vec![0x01, u8::try_from(module.len()).unwrap()], module].concat();
    let instance = vec![0x02, 0x04, 0x01, 0x00, 0x00, 0x00];
    [b"\0asm\x0d\0\x01\0".to_vec(), core, instance].concat()
}

#[tokio::test]
async fn a_huge_table_runs_into_the_limit_of_its_elements() {
    let folder = tempfile::tempdir().unwrap();
    let runtime = Runtime::new(folder.path()).unwrap();
    let limits = Limits::default();
    for (elements, expected) in [(100_000, None), (200_000, Some(Violation::Table(100_000)))] {
        let bytes = component_with_a_table(elements);
        let component = runtime.component(&format!("table{elements}"), &|| Ok(bytes.clone())).unwrap();
        let linker = wasmtime::component::Linker::<Guest>::new(runtime.engine());
        let pre = linker.instantiate_pre(&component).unwrap();
        let budget = Budget { limits, time: Duration::from_secs(60), cancel: CancellationToken::new() };
        let done = runtime.run("table", &pre, Guest::new(limits), budget, async |_, _| Ok(())).await;
        let stopped = match done {
            Ok(_) => None,
            Err(CallError::Limit { violation, .. }) => Some(violation),
            Err(other) => panic!("{other:?}"),
        };
        assert_eq!(stopped, expected);
    }
}

#[tokio::test]
async fn endless_recursion_exhausts_the_guests_own_stack() {
    let bench = Bench::hostile("").await;
    let stopped = bench.beside_pure(json!({ "attack": "recursion" })).await.unwrap_err();
    assert_eq!(trap(stopped), "wasm trap: call stack exhausted");
}

#[tokio::test]
async fn a_panic_is_a_trap_that_the_model_is_told_of() {
    let bench = Bench::hostile("").await;
    let failed = bench.call("attack", json!({ "attack": "panic" }), CancellationToken::new()).await;
    let words = "tool-hostile failed: wasm trap: wasm `unreachable` instruction executed";
    assert_eq!(failed, Err(ToolError::Other(words.into())));
    bench.pure_works().await;
}

#[tokio::test]
async fn waiting_for_an_hour_runs_into_the_time_of_the_call_though_nothing_runs() {
    let bench = Bench::hostile("").await;
    let time = Duration::from_millis(300);
    let instance = bench.instance();
    let arguments = json!({ "attack": "sleep" });
    let (waited, ()) = tokio::join!(attack_on(bench.host(), &instance, arguments, time), bench.pure_works());
    match waited {
        Err(CallError::TimedOut { plugin, after }) => assert_eq!((plugin.as_str(), after), ("tool-hostile", time)),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn an_answer_of_100_mb_runs_into_the_memory_limit_and_with_more_memory_into_that_of_one_transfer() {
    let bench = Bench::hostile("").await;
    let stopped = bench.beside_pure(json!({ "attack": "answer" })).await.unwrap_err();
    assert_eq!(violation(stopped), Violation::Memory(64 << 20));

    let bench = Bench::hostile("limits = { memory = \"256MB\" }").await;
    let stopped = bench.beside_pure(json!({ "attack": "answer" })).await.unwrap_err();
    assert_eq!(
        trap(stopped),
        "too much data is being copied between the host and the guest: fuel allocated for hostcalls has been exhausted"
    );
}

#[tokio::test]
async fn a_text_that_is_no_utf_8_is_a_trap() {
    let bench = Bench::hostile("").await;
    let stopped = bench.beside_pure(json!({ "attack": "characters" })).await.unwrap_err();
    assert_eq!(trap(stopped), "invalid utf-8 sequence of 1 bytes from index 1");
}

#[tokio::test]
async fn random_numbers_without_end_are_refused_before_they_are_made() {
    let bench = Bench::hostile("").await;
    let stopped = bench.beside_pure(json!({ "attack": "random" })).await.unwrap_err();
    assert_eq!(trap(stopped), "requested len 4000000000 exceeds limit 67108864");
}

/// What is logged, by lines.
#[derive(Clone, Default)]
pub struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Log {
    /// From now on, of this thread: tests that use it run on one.
    pub fn start() -> (Self, tracing::subscriber::DefaultGuard) {
        // While there is only one, `tracing` takes what another thread wants to hear for what all want to hear.
        static ANOTHER: std::sync::LazyLock<tracing::Dispatch> =
            std::sync::LazyLock::new(|| tracing_subscriber::fmt().with_writer(std::io::sink).finish().into());
        std::sync::LazyLock::force(&ANOTHER);
        let log = Self::default();
        let writer = log.clone();
        let subscriber =
            tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone()).with_target(true).finish();
        (log, tracing::subscriber::set_default(subscriber))
    }

    /// All of it.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().unwrap()).into_owned()
    }
}

#[tokio::test]
async fn a_flood_of_standard_output_is_cut_at_64_kib_of_one_call() {
    let (log, _logging) = Log::start();
    let bench = Bench::hostile("").await;
    assert_eq!(bench.beside_pure(json!({ "attack": "stdout" })).await.unwrap().unwrap(), "100000 lines written");
    let text = log.text();
    assert_eq!(text.matches("the guest wrote more than 64 KiB in one call; the rest is dropped").count(), 1);
    assert_eq!(text.lines().filter(|line| line.contains("yyyy")).count(), 64);
}

#[tokio::test]
async fn a_flood_of_log_lines_is_cut_at_100_a_second_and_counted() {
    let (log, _logging) = Log::start();
    let bench = Bench::hostile("").await;
    assert_eq!(bench.beside_pure(json!({ "attack": "log" })).await.unwrap().unwrap(), "all logged");
    let text = log.text();
    let written = text.matches("plugin: flood ").count();
    let dropped: usize = text
        .lines()
        .filter_map(|line| line.split_once(" lines were dropped: a call logs at most 100 a second"))
        .map(|(before, _)| before.rsplit(' ').next().unwrap().parse::<usize>().unwrap())
        .sum();
    assert_eq!(written + dropped, 100_000);
    assert!((100..100_000).contains(&written), "{written}");
}

#[tokio::test]
async fn keys_without_end_are_refused_at_100_000_of_one_call() {
    let bench = Bench::hostile("").await;
    let told = bench.beside_pure(json!({ "attack": "keys" })).await.unwrap().unwrap();
    assert_eq!(told, "100000: Error::TooLarge(\"one call writes at most 100000 keys\")");
}

#[tokio::test]
async fn state_over_64_mib_is_refused_within_a_call_and_over_several() {
    let bench = Bench::hostile("").await;
    let told = bench.beside_pure(json!({ "attack": "state", "prefix": "a", "mib": 70 })).await.unwrap().unwrap();
    assert_eq!(told, "64: Error::TooLarge(\"an instance keeps at most 64 MiB of state\")");

    let write = |prefix: &'static str| json!({ "attack": "state", "prefix": prefix, "mib": 40 });
    let first = bench.call("attack", write("a"), CancellationToken::new()).await;
    assert_eq!(first, Ok("all set".into()));
    let second = bench.call("attack", write("b"), CancellationToken::new()).await;
    let Err(ToolError::Other(words)) = second else { panic!("{second:?}") };
    assert!(words.starts_with("what the tool wanted to keep was not stored: "), "{words}");
    // All or nothing: what the second call held is not there.
    let kept = bench.app.store.read(|tx| tx.state_keys("hostile", "", None, 1000)).unwrap();
    assert_eq!(kept, (0..40).map(|index| format!("a{index:03}")).collect::<Vec<_>>());
    bench.pure_works().await;
}

#[tokio::test]
async fn processes_without_end_are_refused_at_the_limit_of_resources() {
    let config = "grants = { shell = [\"*\"] }\n[limits]\nresources = 16";
    let bench = Bench::hostile(config).await;
    let told = bench.beside_pure(json!({ "attack": "processes" })).await.unwrap().unwrap();
    assert_eq!(told, "16: Error::TooLarge(\"too many processes in one call\")");
}

/// What a script leaves behind hides as well as it can: one has nothing of the environment, one is its own session.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn cancelling_kills_what_left_the_environment_or_the_group() {
    let bench = Bench::hostile("grants = { shell = [\"*\"] }").await;
    let marker = bench.path("pids");
    let script = format!(
        "env -i \"$(command -v sleep)\" 300 & one=$!; setsid sleep 300 & echo $one $! > '{0}.part'; \
         mv '{0}.part' '{0}'; exec sleep 300",
        marker.display()
    );
    // The name, and whether it is more than a dead process that nobody asked after.
    let stands = |pid: i32| {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let (name, state) = stat.split_once('(')?.1.rsplit_once(") ")?;
        (!state.starts_with('Z')).then(|| name.to_string())
    };
    let cancel = CancellationToken::new();
    let watch = async {
        let pids = until(|| {
            let pids = std::fs::read_to_string(&marker).ok()?;
            Some(pids.split_whitespace().map(|pid| pid.parse::<i32>().unwrap()).collect::<Vec<_>>())
        })
        .await;
        until(|| pids.iter().all(|pid| stands(*pid).as_deref() == Some("sleep")).then_some(())).await;
        cancel.cancel();
        pids
    };
    let arguments = json!({ "attack": "script", "script": script });
    let (_, pids) = tokio::join!(bench.call("attack", arguments, cancel.clone()), watch);
    assert_eq!(pids.len(), 2);
    until(|| pids.iter().all(|pid| stands(*pid).is_none()).then_some(())).await;
}

#[tokio::test]
async fn cancelling_kills_the_process_that_a_tool_waits_for() {
    let bench = Bench::hostile("grants = { shell = [\"*\"] }").await;
    let marker = bench.path("pid");
    let script = format!("echo $$ > '{0}.part'; mv '{0}.part' '{0}'; exec sleep 300", marker.display());
    let cancel = CancellationToken::new();
    let watch = async {
        let pid = until(|| std::fs::read_to_string(&marker).ok()?.trim().parse::<i32>().ok()).await;
        bench.pure_works().await;
        assert!(lives(pid));
        cancel.cancel();
        pid
    };
    let arguments = json!({ "attack": "script", "script": script });
    let (answer, pid) = tokio::join!(bench.call("attack", arguments, cancel.clone()), watch);
    // The guest is told, has its two seconds, and says so.
    assert_eq!(answer, Ok("Error::Cancelled".into()));
    until(|| (!lives(pid)).then_some(())).await;
}

#[tokio::test]
async fn what_nobody_calls_gives_its_memory_back_and_what_runs_keeps_it() {
    let bench = Bench::new(&[("pure.wasm", guest("guest-pure"))], "[tools.pure]\n").await;
    let rest = |idle| bench.app.registry.snapshot().rest(idle);
    let echo = async || bench.call("pure.echo", json!({"text": "a"}), CancellationToken::new()).await;
    echo().await.unwrap();
    assert_eq!(rest(PATIENCE), 0, "it was called a moment ago");
    assert_eq!([rest(Duration::ZERO), rest(Duration::ZERO)], [1, 0]);
    // It is loaded again, by many at once, and gone again when all are served.
    let calls = (0..20).map(|_| echo());
    assert!(futures_util::future::join_all(calls).await.iter().all(Result::is_ok));
    let snapshot = bench.app.registry.snapshot();
    let instance = snapshot.of(RoleKind::Tools).next().unwrap();
    let running = instance.loaded(&bench.app.registry.host().runtime).await.unwrap();
    assert_eq!(rest(Duration::ZERO), 0, "somebody has it");
    drop(running);
    assert_eq!(rest(Duration::ZERO), 1);
}
