//! The table of attacks at the end of the tests: what was tried, what stopped it, whether it did.
//!
//! `host/tests/mutants.toml` names for each mechanism the attack and the tests that are about it. Those tests say with
//! their result whether the attack was stopped; so a test that did not run cannot look like one that passed.

use std::collections::BTreeMap;

use anyhow::{Result, bail};

use crate::mutants::Mutant;
use crate::step::{Done, say};

/// What came of an attack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Stopped,
    Failed,
    /// None of its tests ran.
    NotTried,
}

impl Outcome {
    fn words(self) -> &'static str {
        match self {
            Self::Stopped => "stopped",
            Self::Failed => "NOT STOPPED",
            Self::NotTried => "NOT TRIED",
        }
    }
}

/// Prints the table; fails if an attack was not stopped. `said` is what `cargo test` printed.
pub fn judge(mutants: &[Mutant], said: &str) -> Result<Done> {
    let passed = results(said);
    let rows: Vec<(&Mutant, Outcome)> = mutants.iter().map(|mutant| (mutant, outcome(mutant, &passed))).collect();
    say(&table(&rows));
    let count = |wanted| rows.iter().filter(|(_, outcome)| *outcome == wanted).count();
    let (failed, untried) = (count(Outcome::Failed), count(Outcome::NotTried));
    if failed + untried > 0 {
        bail!("{failed} attacks were not stopped, {untried} were not tried");
    }
    say(&format!("  {} attacks, each stopped by what is about it", rows.len()));
    Ok(Done::Yes)
}

/// By the test's path: whether it passed. In `test exhaustion::a_panic_is_a_trap ... ok`.
fn results(said: &str) -> BTreeMap<&str, bool> {
    let lines = said.lines().filter_map(|line| line.strip_prefix("test ")?.split_once(" ... "));
    lines.filter(|(_, result)| *result != "ignored").map(|(name, result)| (name, result == "ok")).collect()
}

fn outcome(mutant: &Mutant, passed: &BTreeMap<&str, bool>) -> Outcome {
    let results: Option<Vec<bool>> = mutant.tests.iter().map(|test| passed.get(test.as_str()).copied()).collect();
    match results {
        None => Outcome::NotTried,
        Some(results) if results.iter().all(|passed| *passed) => Outcome::Stopped,
        Some(_) => Outcome::Failed,
    }
}

fn table(rows: &[(&Mutant, Outcome)]) -> String {
    let width = |text: fn(&Mutant) -> &str| rows.iter().map(|(one, _)| text(one).chars().count()).max().unwrap_or(0);
    let (attack, name) = (width(|one| &one.attack), width(|one| &one.name));
    let line = |one: &str, by: &str, came: &str| format!("  {one:attack$}  {by:name$}  {came}\n");
    let rows = rows.iter().map(|(mutant, outcome)| line(&mutant.attack, &mutant.name, outcome.words()));
    std::iter::once(line("attack", "what stopped it", "")).chain(rows).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mutant(name: &str, tests: &[&str]) -> Mutant {
        Mutant {
            attack: format!("an attack on {name}"),
            name: name.into(),
            off: "it goes through".into(),
            file: "a.rs".into(),
            find: "a".into(),
            replace: "b".into(),
            target: "hostile".into(),
            tests: tests.iter().map(|test| (*test).to_string()).collect(),
        }
    }

    #[test]
    fn an_attack_is_stopped_if_all_of_its_tests_ran_and_passed() {
        let said = "running 3 tests\ntest part::one ... ok\ntest part::two ... FAILED\ntest part::three ... ignored\n";
        let of = |tests: &[&str]| outcome(&mutant("x", tests), &results(said));
        assert_eq!(
            [&["part::one"][..], &["part::one", "part::two"], &["part::three"], &["part::four"]].map(of),
            [Outcome::Stopped, Outcome::Failed, Outcome::NotTried, Outcome::NotTried]
        );
        assert!(judge(&[mutant("x", &["part::one"])], said).is_ok());
        let error = judge(&[mutant("x", &["part::two"]), mutant("y", &["part::four"])], said).err().unwrap();
        assert_eq!(error.to_string(), "1 attacks were not stopped, 1 were not tried");
    }

    #[test]
    fn the_table_has_a_line_for_each_attack() {
        let (one, other) = (mutant("one", &[]), mutant("the other", &[]));
        let table = table(&[(&one, Outcome::Stopped), (&other, Outcome::Failed)]);
        let lines: Vec<&str> = table.lines().map(str::trim_end).collect();
        assert_eq!(
            lines,
            [
                "  attack                  what stopped it",
                "  an attack on one        one        stopped",
                "  an attack on the other  the other  NOT STOPPED"
            ]
        );
    }
}
