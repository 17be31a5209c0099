//! A skill that is a plain command: it counts lines, words and characters of text files, and the words used most.
//!
//! Nothing in it knows of a host: it reads its arguments, files and standard input, and writes to standard output, so
//! `cargo run -- README.md` works as well. Built with `cargo build --release --target wasm32-wasip2` it is a component.

use std::collections::BTreeMap;
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// A longer file is left out.
const FILE_MAX: u64 = 16 << 20;
const DEPTH_MAX: usize = 16;
const WORDS: usize = 10;
/// Shorter words say little.
const LETTERS: usize = 4;

/// What is counted.
#[derive(Debug, Default, PartialEq)]
struct Count {
    lines: usize,
    words: usize,
    characters: usize,
}

/// All of a run.
#[derive(Default)]
struct Tally {
    files: Vec<(String, Count)>,
    vocabulary: BTreeMap<String, usize>,
    troubles: Vec<String>,
}

fn main() -> ExitCode {
    let (paths, most) = match arguments(std::env::args().skip(1)) {
        Ok(asked) => asked,
        Err(why) => {
            eprintln!("{why}\nusage: word-count [-n WORDS] [FILE OR FOLDER]...");
            return ExitCode::from(2);
        }
    };
    let mut tally = Tally::default();
    if paths.is_empty() {
        let mut text = String::new();
        match io::stdin().read_to_string(&mut text) {
            Ok(_) => tally.add("input".into(), &text),
            Err(error) => tally.troubles.push(format!("input: {error}")),
        }
    }
    for path in &paths {
        tally.take(path, 0);
    }
    for trouble in &tally.troubles {
        eprintln!("{trouble}");
    }
    // Nobody reads on: then there is nobody to tell.
    let _ = io::stdout().write_all(tally.report(most).as_bytes());
    if tally.troubles.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn arguments(mut given: impl Iterator<Item = String>) -> Result<(Vec<PathBuf>, usize), String> {
    let (mut paths, mut most) = (Vec::new(), WORDS);
    while let Some(argument) = given.next() {
        if argument == "-n" {
            let number = given.next().unwrap_or_default();
            most = number.parse().map_err(|_| format!("-n needs a number, not {number:?}"))?;
        } else if argument.starts_with('-') {
            return Err(format!("{argument} is not known"));
        } else {
            paths.push(argument.into());
        }
    }
    Ok((paths, most))
}

impl Tally {
    fn take(&mut self, path: &Path, depth: usize) {
        let name = path.display();
        let taken = std::fs::metadata(path).and_then(|meta| {
            if meta.is_dir() { self.folder(path, depth) } else { self.file(path, meta.len(), depth == 0) }
        });
        if let Err(error) = taken {
            self.troubles.push(format!("{name}: {error}"));
        }
    }

    fn folder(&mut self, path: &Path, depth: usize) -> io::Result<()> {
        let mut within: Vec<PathBuf> = std::fs::read_dir(path)?.flatten().map(|entry| entry.path()).collect();
        within.sort();
        let hidden = |path: &PathBuf| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'));
        for path in within.iter().filter(|path| !hidden(path) && depth < DEPTH_MAX) {
            self.take(path, depth + 1);
        }
        Ok(())
    }

    /// What was named must be a text; what is found in a folder may be anything.
    fn file(&mut self, path: &Path, length: u64, named: bool) -> io::Result<()> {
        if length > FILE_MAX {
            return if named { Err(io::Error::other("it is longer than 16 MiB")) } else { Ok(()) };
        }
        match String::from_utf8(std::fs::read(path)?) {
            Ok(text) => self.add(path.display().to_string(), &text),
            Err(_) if named => return Err(io::Error::other("it is not text in UTF-8")),
            Err(_) => (),
        }
        Ok(())
    }

    fn add(&mut self, name: String, text: &str) {
        self.files.push((name, count(text)));
        for word in text.split(|c: char| !c.is_alphanumeric()).filter(|word| word.chars().count() >= LETTERS) {
            *self.vocabulary.entry(word.to_lowercase()).or_default() += 1;
        }
    }

    fn report(&self, most: usize) -> String {
        let line = |name: &str, count: &Count| {
            format!("{name}: {} lines, {} words, {} characters\n", count.lines, count.words, count.characters)
        };
        let mut text: String = self.files.iter().map(|(name, count)| line(name, count)).collect();
        if self.files.len() != 1 {
            let all = self.files.iter().fold(Count::default(), |all, (_, one)| Count {
                lines: all.lines + one.lines,
                words: all.words + one.words,
                characters: all.characters + one.characters,
            });
            text.push_str(&line(&format!("total of {} files", self.files.len()), &all));
        }
        let mut words: Vec<(&String, &usize)> = self.vocabulary.iter().collect();
        words.sort_by(|a, b| b.1.cmp(a.1).then(a.0.cmp(b.0)));
        let words: Vec<String> = words.iter().take(most).map(|(word, times)| format!("{word} {times}")).collect();
        if !words.is_empty() {
            text.push_str(&format!("most used: {}\n", words.join(", ")));
        }
        text
    }
}

fn count(text: &str) -> Count {
    Count {
        lines: text.lines().count(),
        words: text.split_whitespace().count(),
        characters: text.chars().count(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn characters_are_counted_and_not_bytes() {
        assert_eq!(count("één twee\ndrie\n"), Count { lines: 2, words: 3, characters: 14 });
        assert_eq!(count(""), Count::default());
    }

    #[test]
    fn the_report_has_each_file_the_total_and_the_words_used_most() {
        let mut tally = Tally::default();
        tally.add("a.md".into(), "Bread, bread and jam.\n");
        tally.add("b.md".into(), "No bread; milk\n");
        assert_eq!(
            tally.report(2),
            "a.md: 1 lines, 4 words, 22 characters\nb.md: 1 lines, 3 words, 15 characters\n\
             total of 2 files: 2 lines, 7 words, 37 characters\nmost used: bread 3, milk 1\n"
        );
        assert!(!tally.report(0).contains("most used"));
    }

    #[test]
    fn arguments_are_paths_and_a_number_of_words() {
        let read = |text: &str| arguments(text.split_whitespace().map(str::to_owned));
        assert_eq!(read("-n 3 a b"), Ok((vec!["a".into(), "b".into()], 3)));
        assert_eq!(read(""), Ok((vec![], WORDS)));
        assert_eq!(read("--all"), Err("--all is not known".into()));
        assert_eq!(read("-n x"), Err("-n needs a number, not \"x\"".into()));
    }
}
