//! What the world can do to a running host: a disk without space, a home that cannot be read, a damaged store, files
//! that are no plugins. It says what is wrong, acknowledges nothing that it did not keep, and goes on.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "clippy exempts only functions that are tests themselves, not what they share"
)]

mod daemon;
#[path = "staged/skip.rs"]
#[allow(dead_code, reason = "this test crate uses only its word for skipping")]
mod skip;

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use daemon::client::{PAUSE, kind};
use daemon::{Daemon, Home, until};
use nix::unistd::{Uid, chown, geteuid};
use serde_json::{Value, json};
use skip::skip;

/// A user who owns nothing.
const NOBODY: u32 = 65_534;
/// Nearly as long as a message may be.
const LONG: usize = 250_000;

/// A small disk of its own under a home.
struct Disk(PathBuf);

impl Disk {
    /// Or why there is none.
    async fn under(home: &Home) -> Result<Self, String> {
        let mount = tokio::process::Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=80m,mode=700", "tmpfs"])
            .arg(home.path())
            .stdin(Stdio::null())
            .output()
            .await;
        let mount = mount.map_err(|error| format!("no disk can be mounted: {error}"))?;
        if !mount.status.success() {
            let said = String::from_utf8_lossy(&mount.stderr).trim().to_string();
            return Err(format!("no disk can be mounted: {said}"));
        }
        home.warm();
        Ok(Self(home.path()))
    }

    fn filler(&self) -> PathBuf {
        self.0.join("filler")
    }

    /// Writes until not one byte more is taken.
    fn fill(&self) {
        use std::io::Write as _;
        let mut filler = std::fs::File::create(self.filler()).unwrap();
        for size in [1 << 20, 1 << 12, 1] {
            while filler.write(&vec![b'x'; size]).is_ok_and(|written| written > 0) {}
        }
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Lazily: a process that is being killed may still hold a file.
        let _ = std::process::Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

/// So many long messages at most until there is no space.
const MANY: usize = 60;

fn id(number: usize) -> String {
    format!("m{number}")
}

/// Says messages while there is space, and one when there is none any more: what was acknowledged is answered and kept,
/// and what was not is as soon as there is space again.
async fn survives_a_full_disk(home: &Home, daemon: Daemon, fill: impl FnOnce(&Daemon), free: impl FnOnce(&Daemon)) {
    let said =
        |seen: &[Value], number| seen.iter().any(|frame| kind(frame) == "said" && frame["id"] == json!(id(number)));
    let mut client = daemon.client(home, "full").await;
    client.say(&id(0), "hello number 0").await;
    client.expect("reply").await;
    fill(&daemon);
    let full = |daemon: &Daemon| {
        daemon
            .log()
            .contains("an event is tried again in 1 s: it cannot be stored: the disk is full, nothing was stored")
    };
    let mut last = 0;
    while !full(&daemon) {
        last += 1;
        assert!(last < MANY, "there is always space:\n{}", daemon.log());
        client.say(&id(last), &format!("hello number {last} {}", "x".repeat(LONG))).await;
        // Which of the two comes is not known beforehand.
        until("the message to be stored or the disk to be full", async || {
            client.listen(PAUSE).await;
            (said(&client.seen, last) || full(&daemon)).then_some(())
        })
        .await;
    }
    // It answers, and did not say that it has the message.
    assert!(!said(&client.seen, last), "message {last} was acknowledged:\n{}", daemon.log());
    assert_eq!(home.json(&["status"]).await[0]["pid"], json!(daemon.pid()));
    free(&daemon);
    until(&format!("message {last} to be stored; the daemon says:\n{}", daemon.log()), async || {
        client.listen(PAUSE).await;
        said(&client.seen, last).then_some(())
    })
    .await;
    let replies = |seen: &[Value]| seen.iter().filter(|frame| kind(frame) == "reply").count();
    while replies(&client.seen) <= last {
        client.expect("reply").await;
    }
    assert!(daemon.end().await.success());
    let sessions = home.json(&["session", "list"]).await;
    let shown = home.json(&["session", "show", sessions[0]["id"].as_str().unwrap()]).await;
    let asked: Vec<String> = shown
        .iter()
        .filter_map(|line| line.get("message"))
        .filter(|line| line["message"]["role"] == json!("user"))
        .map(|line| line["message"]["parts"][0]["body"]["text"].as_str().unwrap())
        .map(|text| text.trim_end_matches('x').trim_end().to_string())
        .collect();
    assert_eq!(asked, (0..=last).map(|number| format!("hello number {number}")).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_full_disk_is_told_nothing_is_acknowledged_and_with_space_it_goes_on() {
    let home = Home::new();
    let disk = match Disk::under(&home).await {
        Ok(disk) => disk,
        Err(why) => {
            return skip("bad_input::a_full_disk_is_told_nothing_is_acknowledged_and_with_space_it_goes_on", &why);
        }
    };
    let daemon = home.start().await;
    let free = |_: &Daemon| std::fs::remove_file(disk.filler()).unwrap();
    survives_a_full_disk(&home, daemon, |_| disk.fill(), free).await;
}

/// The limit on the size of files, of a process that ignores the signal which comes with it: the same error as of a
/// full disk or a quota, without a disk of one's own.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_limit_on_the_size_of_files_is_a_full_disk() {
    let home = Home::new();
    let daemon = home.start_in(&["sh", "-c", "trap '' XFSZ; exec \"$@\"", "sh"]).await;
    let limit = |daemon: &Daemon, size: &str| {
        let pid = daemon.pid().to_string();
        let done = std::process::Command::new("prlimit").args(["--pid", &pid, &format!("--fsize={size}:")]).status();
        assert!(done.unwrap().success());
    };
    let store = home.path().join("openpista.redb");
    let fill = |daemon: &Daemon| limit(daemon, &std::fs::metadata(&store).unwrap().len().to_string());
    survives_a_full_disk(&home, daemon, fill, |daemon| limit(daemon, "unlimited")).await;
}

/// The executable as a user who is not root: root may read everything.
async fn as_nobody(home: &Home, arguments: &[&str]) -> (Option<i32>, String, String) {
    let mut command = home.command(arguments);
    if geteuid().is_root() {
        command.uid(NOBODY).gid(NOBODY);
    }
    let output = command.output().await.unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

/// A home that belongs to whoever `as_nobody` is, with everything in it.
fn home_of_nobody() -> Home {
    let home = Home::new();
    if geteuid().is_root() {
        let parent = home.path().parent().unwrap().to_path_buf();
        std::fs::set_permissions(&parent, std::fs::Permissions::from_mode(0o755)).unwrap();
        give(&parent);
    }
    home
}

fn give(path: &Path) {
    if geteuid().is_root() {
        chown(path, Some(Uid::from_raw(NOBODY)), None).unwrap();
    }
    if path.is_dir() {
        std::fs::read_dir(path).unwrap().for_each(|entry| give(&entry.unwrap().path()));
    }
}

fn mode(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

const START: [&str; 4] = ["run", "--no-console", "--listen", "127.0.0.1:0"];

#[tokio::test]
async fn a_home_that_cannot_be_read_or_written_is_named_with_the_reason() {
    let home = home_of_nobody();
    mode(&home.path(), 0o000);
    let (code, out, err) = as_nobody(&home, &START).await;
    assert_eq!((code, out.as_str()), (Some(3), ""), "{err}");
    let config = home.path().join("config.toml");
    let told = format!("error: cannot read the configuration {}: Permission denied (os error 13)\n", config.display());
    assert_eq!(err, told);
    // It can be read, and nothing can be made in it.
    mode(&home.path(), 0o500);
    let (code, out, err) = as_nobody(&home, &START).await;
    assert_eq!((code, out.as_str()), (Some(1), ""), "{err}");
    let lock = home.path().join("openpista.pid");
    let told = format!(
        "error: cannot use the home {}: Permission denied (os error 13); check its permissions, or choose another with \
         --home\n",
        lock.display()
    );
    assert_eq!(err, told);
    mode(&home.path(), 0o700);
    if geteuid().is_root() {
        chown(&home.path(), Some(Uid::from_raw(0)), None).unwrap();
        mode(&home.path(), 0o755);
        let (code, _, err) = as_nobody(&home, &START).await;
        assert_eq!(code, Some(1));
        assert!(err.contains("belongs to another user; choose another home with --home"), "{err}");
    }
}

#[tokio::test]
async fn a_store_that_may_not_be_read_is_named_with_the_reason() {
    let home = home_of_nobody();
    let (code, out, err) = as_nobody(&home, &["run", "-e", "hello"]).await;
    assert_eq!(code, Some(0), "{out}{err}");
    let store = home.path().join("openpista.redb");
    mode(&store, 0o000);
    let (code, _, err) = as_nobody(&home, &START).await;
    assert_eq!(code, Some(1), "{err}");
    assert!(err.contains(&format!("no permission for {}", store.display())), "{err}");
    mode(&store, 0o600);
    let (code, out, err) = as_nobody(&home, &["session", "list"]).await;
    assert_eq!(code, Some(0), "{out}{err}");
}

#[tokio::test]
async fn a_store_that_is_cut_off_or_damaged_is_named_and_left_as_it_is() {
    let home = Home::new();
    let (code, out, err) = home.said(&["run", "-e", "hello"]).await;
    assert_eq!(code, Some(0), "{out}{err}");
    let store = home.path().join("openpista.redb");
    let whole = std::fs::read(&store).unwrap();
    let mut damaged = whole.clone();
    damaged.iter_mut().skip(512).for_each(|byte| *byte ^= 0xa5);
    let cut = whole.get(..whole.len() / 2).unwrap().to_vec();
    let cut_off = format!("is cut off: it has {} bytes and should have at least {}", cut.len(), whole.len());
    let cases = [(cut, cut_off.as_str()), (Vec::new(), "is cut off: it has 0 bytes"), (damaged, "is damaged (")];
    for (bad, words) in cases {
        std::fs::write(&store, &bad).unwrap();
        for command in [&START[..], &["session", "list"]] {
            let (code, _, err) = home.said(command).await;
            assert_eq!(code, Some(1), "{err}");
            assert!(err.contains(&format!("{} {words}", store.display())), "{words}: {err}");
            assert!(err.contains("restore it from a backup"), "{err}");
            assert!(!err.contains("panicked"), "{err}");
        }
        assert!(std::fs::read(&store).unwrap() == bad, "{words}: it was changed");
    }
    std::fs::write(&store, whole).unwrap();
    assert_eq!(home.json(&["session", "list"]).await.len(), 1);
}

/// The bytes of a guest of the tests.
fn guest(name: &str) -> Vec<u8> {
    let folder = std::env::var_os("OPENPISTA_TEST_GUESTS")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/test-guests"), PathBuf::from);
    let path = folder.join(format!("{name}.wasm"));
    std::fs::read(&path).unwrap_or_else(|error| {
        panic!("{}: {error}; the guests of the tests are built by: cargo xtask test components", path.display())
    })
}

#[tokio::test]
async fn files_that_are_no_plugins_are_listed_with_what_is_wrong_and_the_others_work() {
    let home = Home::new();
    std::fs::create_dir(home.plugins()).unwrap();
    let whole = guest("guest-pure");
    let files: [(&str, Vec<u8>, &str, &str); 8] = [
        ("core", b"\0asm\x01\0\0\0".to_vec(), "broken", "it is a core WebAssembly module, not a component"),
        ("cut", whole.get(..whole.len() / 2).unwrap().to_vec(), "broken", "it is cut off, damaged, or uses what"),
        ("elsewhere", guest("guest-elsewhere"), "broken", "it is a component of another world"),
        ("impure", guest("guest-impure"), "broken", "`describe` must be pure"),
        ("noise", b"no plugin at all".to_vec(), "broken", "it is no WebAssembly"),
        ("older", guest("guest-older"), "broken", "it was built for an older contract"),
        ("unlisted", guest("guest-unlisted"), "broken", "but its manifest does not ask for shell"),
        ("wasi-http", guest("guest-wasi-http"), "waiting", "openpista-host plugin allow tool-wasi-http"),
    ];
    for (name, bytes, ..) in &files {
        std::fs::write(home.plugins().join(format!("{name}.wasm")), bytes).unwrap();
    }
    let daemon = home.start().await;
    let listed = home.json(&["plugin", "list"]).await;
    for (name, _, standing, reason) in &files {
        let file = format!("{name}.wasm");
        let row = listed.iter().find(|plugin| plugin["file"] == json!(file)).unwrap_or_else(|| panic!("no {file}"));
        assert_eq!(row["standing"], json!(standing), "{row}");
        assert!(row["reason"].as_str().unwrap_or_default().contains(reason), "{row}");
    }
    let mut client = daemon.client(&home, "beside").await;
    client.say("m1", "hello").await;
    client.expect("reply").await;
    assert!(daemon.end().await.success());
}
