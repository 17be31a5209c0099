//! A process that is killed at any point has lost nothing of what it was told is stored; a full disk harms nothing that
//! is there.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, Command, Stdio};

use super::*;

const CHILD: &str = "OPENPISTA_TEST_STORE";
/// Set: the child commits without quick repair.
const PLAIN: &str = "OPENPISTA_TEST_STORE_PLAIN";
const WRITERS: usize = 4;

/// This test binary again, running one of the ignored tests below on a database.
fn child(test: &str, path: &Path, failpoint: Option<&str>, quick_repair: bool) -> Child {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["--ignored", "--exact", "--nocapture", "--test-threads=1"])
        .arg(format!("store::tests::crash::{test}"))
        .env(CHILD, path)
        .env_remove(crate::failpoint::VARIABLE)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    if !quick_repair {
        command.env(PLAIN, "1");
    }
    if let Some(failpoint) = failpoint {
        command.env(crate::failpoint::VARIABLE, failpoint);
    }
    command.spawn().unwrap()
}

fn path_of_child() -> PathBuf {
    std::env::var_os(CHILD).unwrap().into()
}

fn tell(line: &str) {
    let mut out = std::io::stdout().lock();
    out.write_all(format!("\n@{line}\n").as_bytes()).unwrap();
    out.flush().unwrap();
}

/// The lines that the child told; the harness writes others.
fn told(child: &mut Child) -> impl Iterator<Item = String> + use<> {
    let out = BufReader::new(child.stdout.take().unwrap());
    out.lines().map_while(Result::ok).filter_map(|line| line.strip_prefix('@').map(str::to_string))
}

/// Writers that each append 1, 2, 3, … to a session of their own and tell each number when it is stored.
#[test]
#[ignore = "runs as the child of the tests below"]
fn appends_until_it_is_killed() {
    let options = Options { quick_repair: std::env::var_os(PLAIN).is_none(), ..Options::default() };
    let store = Store::open(path_of_child(), options).unwrap();
    std::thread::scope(|scope| {
        for writer in 0..WRITERS {
            let store = store.clone();
            scope.spawn(move || {
                let id = format!("s{writer}");
                for number in 1_u64..100_000 {
                    let id = id.clone();
                    let stored = write(&store, move |tx| {
                        if number == 1 {
                            tx.session_start(&session(&id, &id, 1))?;
                        }
                        tx.message_append(&id, &said(number.to_string(), number))
                    });
                    assert_eq!(stored, Ok(number));
                    tell(&format!("{writer} {number}"));
                }
            });
        }
    });
}

/// Lets the child append, kills it after `acknowledged` lines if it does not die by itself, and looks at what is there.
fn appends_are_kept(failpoint: Option<&str>, acknowledged: usize, quick_repair: bool) {
    let folder = tempfile::tempdir().unwrap();
    let path = file_in(&folder);
    let mut child = child("appends_until_it_is_killed", &path, failpoint, quick_repair);
    let mut last: BTreeMap<usize, u64> = BTreeMap::new();
    for (line, count) in told(&mut child).zip(1..) {
        let (writer, number) = line.split_once(' ').unwrap();
        last.insert(writer.parse().unwrap(), number.parse().unwrap());
        if count == acknowledged {
            child.kill().unwrap();
        }
    }
    let ended = child.wait().unwrap();
    assert_eq!(std::os::unix::process::ExitStatusExt::signal(&ended), Some(9), "{failpoint:?} {ended}");

    let store = Store::open(&path, Options::default()).unwrap();
    for writer in 0..WRITERS {
        let told = last.get(&writer).copied().unwrap_or(0);
        let there = texts(&store, &format!("s{writer}"));
        let count = u64::try_from(there.len()).unwrap();
        // The one after the last that was told may have been stored without being told.
        assert!(count == told || count == told + 1, "writer {writer} was told {told} and has {count}");
        assert_eq!(there, (1..=count).map(|number| number.to_string()).collect::<Vec<_>>());
    }
    assert_eq!(store.check(), Ok(true));
    // And it goes on.
    write(&store, |tx| {
        tx.session_ensure("web", "s0", &ann(), 1)?;
        tx.message_append("s0", &said("more", 9)).or(Ok(0))
    })
    .unwrap();
}

#[test]
fn a_kill_before_a_commit_loses_nothing_that_was_acknowledged() {
    for count in [1, 2, 7] {
        appends_are_kept(Some(&format!("store.before-commit:{count}")), usize::MAX, count != 2);
    }
}

#[test]
fn a_kill_after_a_commit_loses_nothing_that_was_acknowledged() {
    for count in [1, 2, 7] {
        appends_are_kept(Some(&format!("store.after-commit:{count}")), usize::MAX, count != 2);
    }
}

#[test]
fn a_kill_at_any_point_loses_nothing_that_was_acknowledged() {
    for round in 1..=20 {
        appends_are_kept(None, round * 37 % 101 + 1, round % 2 == 0);
    }
}

/// The disk is "full" for files beyond a size. Tells what each step led to.
#[test]
#[ignore = "runs as the child of a test below"]
fn writes_until_the_disk_is_full() {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    let path = path_of_child();
    // Without this the signal would end the process; blocked, the write fails with an error as a full disk's does.
    let mut mask = nix::sys::signal::SigSet::empty();
    mask.add(nix::sys::signal::Signal::SIGXFSZ);
    mask.thread_block().unwrap();

    let store = Store::open(&path, Options::default()).unwrap();
    write(&store, |tx| tx.session_start(&session("s", "c", 1))).unwrap();
    let (_, hard) = getrlimit(Resource::RLIMIT_FSIZE).unwrap();
    let size = std::fs::metadata(&path).unwrap().len();
    setrlimit(Resource::RLIMIT_FSIZE, size + (256 << 10), hard).unwrap();

    let mut stored = 0;
    let error = loop {
        match write(&store, |tx| tx.message_append("s", &said("x".repeat(100_000), 2))) {
            Ok(cursor) => stored = cursor,
            Err(error) => break error,
        }
        assert!(stored < 1_000, "the limit does nothing");
    };
    assert_eq!(error, StoreError::Full);
    // Everybody who shares the failing commit hears of it.
    let both = [0, 1].map(|_| store.write(|tx| tx.message_append("s", &said("x".repeat(300_000), 2))));
    assert_eq!(both.map(wait), [Err(StoreError::Full), Err(StoreError::Full)]);
    assert_eq!(store.read(|tx| tx.messages_count("s")), Ok(stored));

    setrlimit(Resource::RLIMIT_FSIZE, hard, hard).unwrap();
    assert_eq!(write(&store, |tx| tx.message_append("s", &said("there is room again", 3))), Ok(stored + 1));
    assert_eq!(store.check(), Ok(true));
    store.close();
    let store = Store::open(&path, Options::default()).unwrap();
    assert_eq!(store.read(|tx| tx.messages_count("s")), Ok(stored + 1));
    tell("all as it should be");
}

#[test]
fn a_full_disk_is_an_error_and_later_writes_work_again() {
    let folder = tempfile::tempdir().unwrap();
    let mut child = child("writes_until_the_disk_is_full", &file_in(&folder), None, true);
    assert_eq!(told(&mut child).collect::<Vec<_>>(), ["all as it should be"]);
    assert!(child.wait().unwrap().success());
}

#[test]
#[ignore = "runs as the child of a test below"]
fn opens_and_tells_what_it_got() {
    match Store::open(path_of_child(), Options::default()) {
        Ok(_) => tell("opened"),
        Err(error) => tell(&error.to_string()),
    }
}

#[test]
fn a_database_in_use_by_another_process_is_left_alone() {
    let (folder, store) = fresh();
    write(&store, |tx| tx.session_start(&session("s", "c", 1))).unwrap();
    let path = file_in(&folder);
    let ask = || {
        let mut other = child("opens_and_tells_what_it_got", &path, None, true);
        let lines: Vec<String> = told(&mut other).collect();
        other.wait().unwrap();
        lines
    };
    let in_use = format!(
        "{} is in use by another openpista-host; end that one (openpista-host quit) or choose another home",
        path.display()
    );
    assert_eq!(ask(), [in_use]);
    write(&store, |tx| tx.message_append("s", &said("still mine", 2))).unwrap();
    store.close();
    assert_eq!(ask(), ["opened"]);
}
