//! What a test finds on the machine, and a word about it where it finds too little. Included by the tests that need it.

use std::io::Write as _;
use std::path::{Path, PathBuf};

/// Notes that a test did not run, as docs/testing.md says.
pub fn skip(test: &str, reason: &str) {
    let line = format!("SKIP {test}: {reason}\n");
    eprint!("{line}");
    if let Some(file) = std::env::var_os("OPENPISTA_SKIPS") {
        let file = std::fs::OpenOptions::new().create(true).append(true).open(file);
        file.unwrap().write_all(line.as_bytes()).unwrap();
    }
}

/// A path that the environment names, else one of the workspace; none if nothing is there.
pub fn found(variable: &str, otherwise: &str) -> Option<PathBuf> {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let path = std::env::var_os(variable).map_or_else(|| workspace.join(otherwise), PathBuf::from);
    path.exists().then_some(path)
}
