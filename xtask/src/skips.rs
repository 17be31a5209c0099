//! Tests that did not run, and whether that is allowed.
//!
//! A test that lacks something (a browser, Node.js) appends a line `SKIP NAME: REASON` to the file that
//! `OPENPISTA_SKIPS` names, and returns. On a person's machine that is a notice. With `CI=true` it is a failure unless
//! the name stands in `host/tests/allowed-skips.txt`: a test cannot quietly stop running.

use std::fs;

use anyhow::{Context, Result, bail};

use crate::step::{Done, say};
use crate::workspace::Workspace;

/// The variable that tells the tests where to note a skip.
pub const VARIABLE: &str = "OPENPISTA_SKIPS";

/// A test that did not run.
#[derive(Debug, PartialEq)]
struct Skip {
    test: String,
    reason: String,
}

/// Empties the list and returns its path.
pub fn start(workspace: &Workspace) -> Result<std::path::PathBuf> {
    let path = workspace.target().join("skips.txt");
    fs::create_dir_all(workspace.target()).with_context(|| format!("cannot make {}", workspace.target().display()))?;
    fs::write(&path, "").with_context(|| format!("cannot write {}", path.display()))?;
    Ok(path)
}

/// Shows what was skipped. In CI, fails for what is not on the checked-in list.
pub fn judge(workspace: &Workspace) -> Result<Done> {
    let path = workspace.target().join("skips.txt");
    let noted = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let skips = parse(&noted);
    if skips.is_empty() {
        return Ok(Done::Skipped("no test was skipped".into()));
    }
    for skip in &skips {
        say(&format!("  skipped {}: {}", skip.test, skip.reason));
    }
    let path = workspace.allowed_skips();
    let list = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let surprising = not_allowed(&skips, &list);
    if !surprising.is_empty() && std::env::var_os("CI").is_some_and(|value| value == "true") {
        bail!("with CI=true these tests must run, or stand in {}: {}", path.display(), surprising.join(", "));
    }
    let (count, verb) =
        if skips.len() == 1 { ("1 test".into(), "was") } else { (format!("{} tests", skips.len()), "were") };
    Ok(Done::Skipped(format!("{count} {verb} skipped")))
}

/// A line that is not understood counts as a skip, too: it must not hide one.
fn parse(noted: &str) -> Vec<Skip> {
    let lines = noted.lines().filter(|line| !line.trim().is_empty());
    lines
        .map(|line| {
            let said = line.strip_prefix("SKIP ").unwrap_or(line);
            let (test, reason) = said.split_once(": ").unwrap_or((said, "no reason given"));
            Skip { test: test.trim().to_string(), reason: reason.trim().to_string() }
        })
        .collect()
}

/// The tests that the list does not name. `#` begins a comment.
fn not_allowed<'a>(skips: &'a [Skip], list: &str) -> Vec<&'a str> {
    let allowed: Vec<&str> =
        list.lines().filter_map(|line| line.split('#').next()).map(str::trim).filter(|name| !name.is_empty()).collect();
    skips.iter().map(|skip| skip.test.as_str()).filter(|test| !allowed.contains(test)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_skip_is_a_name_and_a_reason_and_a_strange_line_is_one_too() {
        let noted = "SKIP web::grows: there is no Chromium: none at all\n\nSKIP odd\nodder\n";
        let skip = |test: &str, reason: &str| Skip { test: test.into(), reason: reason.into() };
        assert_eq!(
            parse(noted),
            [
                skip("web::grows", "there is no Chromium: none at all"),
                skip("odd", "no reason given"),
                skip("odder", "no reason given"),
            ]
        );
    }

    #[test]
    fn only_tests_on_the_list_may_skip() {
        let skips = parse("SKIP a: x\nSKIP b: x\nSKIP a::c: x\n");
        assert_eq!(not_allowed(&skips, "# why\na # because\n"), ["b", "a::c"]);
    }
}
