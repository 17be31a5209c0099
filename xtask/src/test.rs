//! `cargo xtask test`: everything that must hold before a change is taken.
//!
//! A step that fails does not stop the others unless they would build on it, so one run shows all there is to mend.

use std::ffi::OsString;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::guests;
use crate::setup::{self, Permission};
use crate::step::{Done, Report, Run, Step};
use crate::workspace::Workspace;
use crate::{attacks, flatten, mutants, skips};

/// The checks by name, in the order in which they run.
pub const CHECKS: [(&str, &str); 7] = [
    ("format", "the code is formatted"),
    ("contract", "wit/flat/openpista.wit says what wit/ says"),
    ("components", "builds the components and the guests of the tests"),
    ("clippy", "no warning in any crate"),
    ("licences", "licences, sources and bans of the dependencies (deny.toml)"),
    ("skills", "the skills build and pass their tests, one and a first-party component with `cargo component build`"),
    ("tests", "all tests of all crates"),
];

/// The ones that need nothing installed and take no more than a compile.
pub const QUICK: [&str; 3] = ["format", "contract", "clippy"];

/// What the tests printed, in the target folder.
const SAID: &str = "tests.log";

/// How long fetching the list of known vulnerabilities may take: without a network it is skipped.
const FETCH: Duration = Duration::from_secs(60);

/// Runs the named checks. True if all hold.
pub fn checks(workspace: &Workspace, names: &[String], report: &mut Report) -> Result<()> {
    if let Some(unknown) = names.iter().find(|name| !CHECKS.iter().any(|(check, _)| check == name)) {
        let known: Vec<&str> = CHECKS.iter().map(|(name, _)| *name).collect();
        bail!("there is no check `{unknown}`; there are {}", known.join(", "));
    }
    for (name, does) in CHECKS {
        if !names.iter().any(|wanted| wanted == name) {
            continue;
        }
        let step = Step { name, does: does.into(), alone: format!("cargo xtask test {name}") };
        let went_well = report.step(step, || check(workspace, name));
        if name == "tests" {
            let step =
                Step { name: "skips", does: "tests that did not run".into(), alone: "cargo xtask test tests".into() };
            report.step(step, || skips::judge(workspace));
            let step = Step {
                name: "attacks",
                does: "what hostile plugins tried, and what stopped it".into(),
                alone: "cargo xtask test tests".into(),
            };
            report.step(step, || {
                let said = workspace.target().join(SAID);
                let said = std::fs::read(&said).with_context(|| format!("cannot read {}", said.display()))?;
                attacks::judge(&mutants::listed(workspace)?, &String::from_utf8_lossy(&said))
            });
        }
        if name == "components" && !went_well {
            break;
        }
    }
    Ok(())
}

/// All checks, after installing what they need.
pub fn all(workspace: &Workspace, permission: Permission, report: &mut Report) -> Result<()> {
    if !setup::rust(workspace, report) {
        return Ok(());
    }
    setup::tests(workspace, permission, report);
    checks(workspace, &CHECKS.map(|(name, _)| name.to_string()), report)
}

/// The tests that are too long for every change: crash and load tests, repeated many times.
pub fn soak(workspace: &Workspace, report: &mut Report) -> Result<()> {
    if !setup::rust(workspace, report) {
        return Ok(());
    }
    let alone = || "cargo xtask soak".to_string();
    let components = Step { name: "components", does: "builds what the tests load".into(), alone: alone() };
    if !report.step(components, || guests::build_all(workspace)) {
        return Ok(());
    }
    let tests =
        Step { name: "soak", does: "the tests whose names begin with soak_; this is long".into(), alone: alone() };
    report.step(tests, || {
        let cargo = test_command(workspace)?.env("OPENPISTA_SOAK", "1");
        cargo.args(["--", "--ignored", "--nocapture", "soak_"]).run()?;
        Ok(Done::Yes)
    });
    let step = Step { name: "skips", does: "tests that did not run".into(), alone: alone() };
    report.step(step, || skips::judge(workspace));
    Ok(())
}

fn check(workspace: &Workspace, name: &str) -> Result<Done> {
    let cargo = || Run::cargo(workspace.root());
    match name {
        "format" => cargo().args(["fmt", "--all", "--check"]).run()?,
        "contract" => flatten::check(&workspace.wit())?,
        "components" => return guests::build_all(workspace),
        "clippy" => cargo().args(["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"]).run()?,
        "licences" => return licences(workspace),
        "skills" => return skills(workspace),
        _ => test_command(workspace)?.run_copying(&workspace.target().join(SAID))?,
    }
    Ok(Done::Yes)
}

/// `cargo test` with what the tests find in their environment.
fn test_command(workspace: &Workspace) -> Result<Run> {
    let mut cargo = Run::cargo(workspace.root())
        .env("OPENPISTA_STOCK", workspace.plugins())
        .env("OPENPISTA_TEST_GUESTS", workspace.test_guests())
        .env("OPENPISTA_NPM", workspace.npm())
        .env("OPENPISTA_AUTHORS", workspace.authors())
        .env(skips::VARIABLE, skips::start(workspace)?);
    if let Some(chromium) = setup::chromium() {
        cargo = cargo.env("OPENPISTA_CHROMIUM", chromium);
    }
    if let Some(node) = setup::own_node(workspace) {
        cargo = cargo.env("OPENPISTA_NODE", node);
    }
    cargo = cargo.args(["test", "--workspace", "--no-fail-fast"]);
    // They are tested by the tests that load them; natively they would only be linked.
    for guest in guests::find(&workspace.root().join(guests::TEST_GUESTS))? {
        cargo = cargo.args(["--exclude", &guest]);
    }
    Ok(cargo)
}

fn licences(workspace: &Workspace) -> Result<Done> {
    let deny = || Run::new(workspace.root(), workspace.tool("cargo-deny"));
    deny().args(["--workspace", "check", "bans", "licenses", "sources"]).run()?;
    if !deny().args(["fetch", "db"]).succeeds_within(FETCH)? {
        return Ok(Done::Skipped("the list of vulnerabilities could not be fetched: not looked at".into()));
    }
    deny().args(["--workspace", "check", "--disable-fetch", "advisories"]).run()?;
    Ok(Done::Yes)
}

/// The way of a third party: the skill as its author builds it, then one of our own the same way.
fn skills(workspace: &Workspace) -> Result<Done> {
    let mut path = OsString::from(workspace.tools().join("bin"));
    if let Some(rest) = std::env::var_os("PATH") {
        path.push(":");
        path.push(rest);
    }
    let component = |at: &str| Run::cargo(&workspace.root().join(at)).env("PATH", &path).args(["component", "build"]);
    let target = guests::skills_target(workspace);
    component("skills/hello-wasm").env("CARGO_TARGET_DIR", &target).arg("--release").run()?;
    for name in guests::skills(workspace)? {
        guests::skill(workspace, &name)?;
        let cargo = Run::cargo(&workspace.root().join(guests::SKILLS).join(&name)).env("CARGO_TARGET_DIR", &target);
        cargo.args(["test", "--locked"]).run()?;
    }
    component("components/tool-shell").args(["--profile", guests::PROFILE]).run()?;
    Ok(Done::Yes)
}
