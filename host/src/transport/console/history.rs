//! What was typed, kept over restarts: a file with one JSON text a line, for its owner only.
//!
//! The editor's own file would change the umask of the whole process for a moment, while others make files.

use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;

/// So many lines are remembered; the file is cut when it has twice as many.
pub(super) const MOST: usize = 1_000;
/// A longer line is a document, not something to type again.
const LINE_MAX: usize = 8 << 10;

/// The file.
pub(super) struct History {
    path: PathBuf,
    last: String,
}

impl History {
    /// What is remembered, oldest first. A file that cannot be read is none.
    pub(super) fn open(path: PathBuf) -> (Self, Vec<String>) {
        let text = std::fs::read_to_string(&path).unwrap_or_default();
        let mut lines: Vec<String> = text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
        let surplus = lines.len().saturating_sub(MOST);
        lines.drain(..surplus);
        let history = Self { path, last: lines.last().cloned().unwrap_or_default() };
        if surplus > MOST {
            history.rewrite(&lines);
        }
        (history, lines)
    }

    /// Remembers a line; `false`: it is not worth it, or the person began it with a space.
    pub(super) fn add(&mut self, line: &str) -> bool {
        let worth = line.len() <= LINE_MAX && line.trim().chars().nth(1).is_some();
        if !worth || line.starts_with(' ') || line == self.last {
            return false;
        }
        line.clone_into(&mut self.last);
        let file = std::fs::OpenOptions::new().append(true).create(true).mode(0o600).open(&self.path);
        let written = file.and_then(|mut file| file.write_all(&encoded(line)));
        if let Err(error) = written {
            tracing::warn!("{}: {error}; what is typed is forgotten at the end", self.path.display());
        }
        true
    }

    fn rewrite(&self, lines: &[String]) {
        let part = self.path.with_extension("part");
        let bytes: Vec<u8> = lines.iter().flat_map(|line| encoded(line)).collect();
        let file = std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&part);
        let done = file.and_then(|mut file| file.write_all(&bytes)).and_then(|()| std::fs::rename(&part, &self.path));
        if let Err(error) = done {
            tracing::warn!("{}: {error}; it is not cut", self.path.display());
        }
    }
}

fn encoded(line: &str) -> Vec<u8> {
    let mut bytes = serde_json::Value::from(line).to_string().into_bytes();
    bytes.push(b'\n');
    bytes
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn lines_come_back_in_their_order_and_only_their_owner_reads_them() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("history");
        let (mut history, before) = History::open(path.clone());
        assert_eq!(before, Vec::<String>::new());
        assert_eq!(
            ["first", "two\nlines", "two\nlines", " secret", "y", "grüß"].map(|line| history.add(line)),
            [true, true, false, false, false, true]
        );
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(History::open(path).1, ["first", "two\nlines", "grüß"]);
    }

    #[test]
    fn the_file_does_not_grow_without_end() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("history");
        let many: String = (0..2 * MOST + 1).map(|number| format!("\"line {number}\"\n")).collect();
        std::fs::write(&path, many + "no JSON\n").unwrap();
        let (_, lines) = History::open(path.clone());
        assert_eq!((lines.len(), lines.last().map(String::as_str)), (MOST, Some("line 2000")));
        assert_eq!(std::fs::read_to_string(&path).unwrap().lines().count(), MOST);
    }
}
