//! What the fuzzers found worth keeping, and changes of it that are the same in every run.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::TARGETS;

#[path = "../../fuzz/sse.rs"]
mod sse;

/// Changes of each kept input.
const CHANGES: usize = 200;
/// After this, kept inputs are run as they are.
const ENOUGH: Duration = Duration::from_secs(10);

/// Marsaglia's xorshift: the same numbers everywhere.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self, below: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 33).unwrap() % below.max(1)
    }
}

/// One to four changes: a byte, a bit, a piece that is cut out, doubled, or taken from another input.
fn changed(input: &[u8], others: &[Vec<u8>], numbers: &mut Numbers) -> Vec<u8> {
    let mut bytes = input.to_vec();
    for _ in 0..=numbers.next(4) {
        let at = numbers.next(bytes.len() + 1);
        let to = (at + numbers.next(16)).min(bytes.len());
        match numbers.next(6) {
            0 if at < bytes.len() => bytes[at] = u8::try_from(numbers.next(256)).unwrap(),
            1 if at < bytes.len() => bytes[at] ^= 1 << numbers.next(8),
            2 => drop(bytes.drain(at..to)),
            3 => {
                let piece = bytes[at..to].to_vec();
                bytes.splice(at..at, piece);
            }
            4 => {
                let other = &others[numbers.next(others.len())];
                let from = numbers.next(other.len() + 1);
                let end = (from + numbers.next(32)).min(other.len());
                bytes.splice(at..at, other[from..end].iter().copied());
            }
            _ => bytes.insert(at, *b"\0\n\t\x1b\"\\{}[]$%&+/:@*.0123".get(numbers.next(23)).unwrap()),
        }
    }
    bytes
}

fn corpus(target: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
    let mut kept: Vec<_> = std::fs::read_dir(&folder)
        .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
        .map(|entry| entry.unwrap().path())
        .map(|path| (path.clone(), std::fs::read(path).unwrap()))
        .collect();
    kept.sort();
    kept
}

fn run(target: &str, run: fn(&[u8]), changes: usize) {
    let kept = corpus(target);
    assert!(!kept.is_empty(), "there is nothing to begin with in fuzz/corpus/{target}");
    let inputs: Vec<Vec<u8>> = kept.iter().map(|(_, bytes)| bytes.clone()).collect();
    let mut numbers = Numbers(0x9e37_79b9_7f4a_7c15);
    let began = Instant::now();
    for (path, bytes) in &kept {
        let tried = std::panic::catch_unwind(|| run(bytes));
        assert!(tried.is_ok(), "{}", path.display());
        for _ in 0..changes {
            if began.elapsed() > ENOUGH {
                break;
            }
            let input = changed(bytes, &inputs, &mut numbers);
            let tried = std::panic::catch_unwind(|| run(&input));
            assert!(tried.is_ok(), "{target} of {}", input.escape_ascii());
        }
    }
}

#[test]
fn what_fuzzers_found_and_changes_of_it_break_nothing() {
    for (target, function) in TARGETS {
        // Compiling takes a while.
        run(target, *function, if *target == "component" { 20 } else { CHANGES });
    }
    run("sse", sse::sse, CHANGES);
}

#[test]
fn each_folder_of_the_corpus_belongs_to_a_target_and_each_target_has_a_program() {
    let fuzz = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz");
    let names = |folder: &str| {
        let entries = std::fs::read_dir(fuzz.join(folder)).unwrap();
        let mut names: Vec<String> =
            entries.map(|entry| entry.unwrap().path().file_stem().unwrap().to_str().unwrap().to_string()).collect();
        names.sort();
        names
    };
    let mut targets: Vec<&str> = TARGETS.iter().map(|(name, _)| *name).chain(["sse"]).collect();
    targets.sort_unstable();
    assert_eq!(names("corpus"), targets);
    assert_eq!(names("fuzz_targets"), targets);
}
