//! Bridge processes with a real `bash`.

use std::os::unix::fs::PermissionsExt as _;

use super::*;
use crate::capability::connection::{Connections as _, Effect};
use crate::transport::fake::{Fake, Seen, setup};
use crate::transport::{Frame, TransportKind, TransportRequest};
use crate::wit::openpista::connection::connection::Target;

fn bash(script: &str) -> Vec<TransportRequest> {
    let command = ["bash", "-c", script].map(str::to_owned).to_vec();
    let env = vec![("BRIDGE_TOKEN".to_owned(), "s3cret".to_owned())];
    setup("bridge", TransportKind::Process(Process { command, env }))
}

fn write(fake: &Fake, text: &str) {
    fake.hub.apply("bot", vec![Effect::Send(Target::One(fake.last()), Frame::Text(text.into()))]);
}

/// The process is gone, or nobody has reaped it yet.
fn is_over(pid: &str) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat")).map_or(true, |stat| stat.contains(") Z "))
}

async fn pid_from(fake: &Fake) -> String {
    let Seen::Text { text, .. } = fake.seen().await else { panic!("no line with a pid") };
    text
}

#[tokio::test]
async fn lines_go_both_ways() {
    let fake = Fake::new();
    fake.configure("bot", bash("while read -r line; do echo \"heard $line\"; done")).unwrap();
    assert_eq!(fake.seen().await, Seen::opened("bridge", ""));
    write(&fake, "one");
    write(&fake, "zwei ü");
    assert_eq!(fake.seen().await, Seen::text("bridge", "heard one"));
    assert_eq!(fake.seen().await, Seen::text("bridge", "heard zwei ü"));
    let status = fake.hub.status().remove(0);
    assert_eq!((status.kind, status.state, status.connections), ("process", State::Open, 1));
}

#[tokio::test]
async fn it_runs_in_a_folder_of_its_own_with_a_clean_environment() {
    let fake = Fake::new();
    fake.configure("bot", bash("pwd; env -u PATH -u LANG -u PWD -u SHLVL -u _ | sort; cat")).unwrap();
    assert_eq!(fake.seen().await, Seen::opened("bridge", ""));
    let folder = fake.folder().canonicalize().unwrap();
    let folder = folder.to_str().unwrap();
    assert_eq!(fake.seen().await, Seen::text("bridge", folder));
    assert_eq!(fake.seen().await, Seen::text("bridge", "BRIDGE_TOKEN=s3cret"));
    assert_eq!(fake.seen().await, Seen::text("bridge", &format!("HOME={}", fake.folder().display())));
    write(&fake, "nothing else");
    assert_eq!(fake.seen().await, Seen::text("bridge", "nothing else"));
    let mode = std::fs::metadata(folder).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
}

#[tokio::test]
async fn one_that_dies_is_told_with_its_code_and_started_again() {
    let fake = Fake::new();
    fake.configure("bot", bash("test -e again && exec cat; touch again; echo last words; exit 3")).unwrap();
    assert_eq!(fake.seen().await, Seen::opened("bridge", ""));
    assert_eq!(fake.seen().await, Seen::text("bridge", "last words"));
    assert_eq!(fake.seen().await, Seen::closed("bridge", 3, "the process ended: exit status: 3"));
    assert_eq!(fake.seen().await, Seen::opened("bridge", ""));
    write(&fake, "back");
    assert_eq!(fake.seen().await, Seen::text("bridge", "back"));
}

#[tokio::test]
async fn a_signal_is_told_as_a_shell_tells_it() {
    let fake = Fake::new();
    fake.configure("bot", bash("kill -9 $$")).unwrap();
    assert_eq!(fake.seen().await, Seen::opened("bridge", ""));
    let Seen::Closed { code, .. } = fake.seen().await else { panic!("not closed") };
    assert_eq!(code, 137);
}

#[tokio::test]
async fn what_the_process_started_ends_with_it() {
    let fake = Fake::new();
    fake.configure("bot", bash("sleep 1000 & echo $!; wait")).unwrap();
    assert_eq!(fake.seen().await, Seen::opened("bridge", ""));
    let child = pid_from(&fake).await;
    assert!(!is_over(&child));
    fake.hub.close_instance("bot").await;
    fake.until(|_| is_over(&child)).await;
}

#[tokio::test]
async fn a_child_that_keeps_the_pipe_open_does_not_hide_the_end() {
    let fake = Fake::new();
    fake.configure("bot", bash("sleep 1000 & echo $!; exit 4")).unwrap();
    assert_eq!(fake.seen().await, Seen::opened("bridge", ""));
    let child = pid_from(&fake).await;
    assert_eq!(fake.seen().await, Seen::closed("bridge", 4, "the process ended: exit status: 4"));
    fake.until(|_| is_over(&child)).await;
}

#[tokio::test]
async fn one_that_ignores_the_request_to_end_is_killed() {
    let fake = Fake::new();
    fake.configure("bot", bash("trap '' TERM; echo $$; while :; do read -r line; done")).unwrap();
    assert_eq!(fake.seen().await, Seen::opened("bridge", ""));
    let process = pid_from(&fake).await;
    fake.hub.close_instance("bot").await;
    fake.until(|_| is_over(&process)).await;
}

#[tokio::test]
async fn a_close_ends_it_and_it_comes_back() {
    let fake = Fake::new();
    fake.configure("bot", bash("echo $$; exec cat")).unwrap();
    assert_eq!(fake.seen().await, Seen::opened("bridge", ""));
    let first = pid_from(&fake).await;
    let (id, reason) = (fake.last(), "restart it".to_owned());
    fake.hub.apply("bot", vec![Effect::Close { id, code: 1000, reason }]);
    assert_eq!(fake.seen().await, Seen::closed("bridge", 143, "restart it"));
    assert!(!fake.hub.is_open("bot", id));
    assert_eq!(fake.seen().await, Seen::opened("bridge", ""));
    assert_ne!(pid_from(&fake).await, first);
}

#[tokio::test]
async fn another_command_starts_only_when_the_old_one_is_over() {
    let fake = Fake::new();
    fake.configure("bot", bash("echo > running; trap 'rm running; exit' TERM; while :; do read -r x; done")).unwrap();
    assert_eq!(fake.seen().await, Seen::opened("bridge", ""));
    let running = fake.folder().join("running");
    fake.until(|_| running.exists()).await;
    fake.configure("bot", bash("test -e running && echo both || echo alone; exec cat")).unwrap();
    let Seen::Closed { reason, .. } = fake.seen().await else { panic!("not closed") };
    assert_eq!(reason, "the channel was closed or replaced");
    assert_eq!(fake.seen().await, Seen::opened("bridge", ""));
    assert_eq!(fake.seen().await, Seen::text("bridge", "alone"));
}

#[tokio::test]
async fn a_line_without_an_end_stops_it_before_memory_is_full() {
    let fake = Fake::new();
    fake.configure("bot", bash("exec cat /dev/zero")).unwrap();
    assert_eq!(fake.seen().await, Seen::opened("bridge", ""));
    let Seen::Closed { reason, .. } = fake.seen().await else { panic!("not closed") };
    assert_eq!(reason, "a line has more than 10485760 bytes");
}

#[tokio::test]
async fn one_that_does_not_read_is_ended_when_its_queue_is_full() {
    let fake = Fake::new();
    fake.configure("bot", bash("sleep 1000")).unwrap();
    assert_eq!(fake.seen().await, Seen::opened("bridge", ""));
    let megabyte = Frame::Binary(vec![b'x'; 1 << 20]);
    for _ in 0..40 {
        fake.hub.apply("bot", vec![Effect::Send(Target::One(fake.last()), megabyte.clone())]);
    }
    let Seen::Closed { reason, .. } = fake.seen().await else { panic!("not closed") };
    assert_eq!(reason, "too much is waiting to be read; come back and catch up");
}

#[tokio::test]
async fn a_command_that_does_not_exist_backs_off_and_says_so() {
    let fake = Fake::new();
    let command = vec!["no-such-bridge".to_owned()];
    let kind = TransportKind::Process(Process { command, env: Vec::new() });
    fake.configure("bot", setup("bridge", kind)).unwrap();
    fake.until(|hub| {
        matches!(hub.status().remove(0).state, State::BackingOff { reason, .. }
            if reason.starts_with("`no-such-bridge` could not be started"))
    })
    .await;
    fake.nothing_seen().await;
}

#[tokio::test]
async fn what_the_process_does_not_read_any_more_is_no_reason_to_lose_its_last_words() {
    let fake = Fake::new();
    let script = "exec <&-; echo shut; until test -e go; do sleep 0.01; done; echo after; exit 0";
    fake.configure("bot", bash(script)).unwrap();
    assert_eq!(fake.seen().await, Seen::opened("bridge", ""));
    assert_eq!(fake.seen().await, Seen::text("bridge", "shut"));
    write(&fake, "into nothing");
    std::fs::write(fake.folder().join("go"), "").unwrap();
    assert_eq!(fake.seen().await, Seen::text("bridge", "after"));
    assert_eq!(fake.seen().await, Seen::closed("bridge", 0, "the process ended: exit status: 0"));
}
