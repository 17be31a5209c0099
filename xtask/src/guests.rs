//! The components: finds the guest crates, builds them in one go and puts each where it is looked for.
//!
//! A guest is a crate with `cdylib` among its crate types, in `components/` (a plugin, built to `plugins/NAME.wasm`) or
//! in `host/tests/guests/` (built to `target/test-guests/NAME.wasm`).

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::step::{Done, Run, say};
use crate::workspace::Workspace;

const TARGET: &str = "wasm32-wasip2";
/// The profile of Cargo.toml that guests are built with.
pub const PROFILE: &str = "guest";
/// Names what the last build put into a folder, so that a guest that is gone takes its file with it.
const LIST: &str = ".built";

/// The folder that holds the first-party components, from the root.
pub const COMPONENTS: &str = "components";
/// The folder that holds the skills, from the root.
pub const SKILLS: &str = "skills";
/// The folder that holds the guests of the tests, from the root.
pub const TEST_GUESTS: &str = "host/tests/guests";

/// The names of the guest crates in a folder of crates, sorted.
pub fn find(folder: &Path) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(folder).with_context(|| format!("cannot list {}", folder.display()))? {
        let path = entry?.path();
        let manifest = path.join("Cargo.toml");
        if !manifest.is_file() {
            continue;
        }
        let text = fs::read_to_string(&manifest).with_context(|| format!("cannot read {}", manifest.display()))?;
        let Some(name) = guest_name(&text).with_context(|| format!("cannot read {}", manifest.display()))? else {
            continue;
        };
        if path.file_name().is_none_or(|folder| folder != name.as_str()) {
            bail!("{} names the crate `{name}`; a guest and its folder have the same name", manifest.display());
        }
        names.push(name);
    }
    names.sort();
    Ok(names)
}

/// The crate's name, if it is a guest.
fn guest_name(manifest: &str) -> Result<Option<String>> {
    let manifest: toml::Table = manifest.parse()?;
    let types = manifest.get("lib").and_then(|lib| lib.get("crate-type")).and_then(toml::Value::as_array);
    if !types.is_some_and(|types| types.iter().any(|kind| kind.as_str() == Some("cdylib"))) {
        return Ok(None);
    }
    let name = manifest.get("package").and_then(|package| package.get("name")).and_then(toml::Value::as_str);
    name.map(|name| Some(name.to_string())).context("[package] has no name")
}

/// Builds the first-party components into `plugins/`: all, or those named.
pub fn build_components(workspace: &Workspace, only: &[String]) -> Result<Done> {
    let all = find(&workspace.root().join(COMPONENTS))?;
    if let Some(unknown) = only.iter().find(|name| !all.contains(name)) {
        bail!("components/ has no `{unknown}`; it has {}", all.join(", "));
    }
    if all.is_empty() {
        return Ok(Done::Skipped("components/ has no component".into()));
    }
    if only.is_empty() {
        compile(workspace, &all)?;
        place(workspace, &all, &workspace.plugins(), true)?;
    } else {
        compile(workspace, only)?;
        place(workspace, only, &workspace.plugins(), false)?;
    }
    Ok(Done::Yes)
}

/// Builds the first-party components and the guests of the tests, in one go.
pub fn build_all(workspace: &Workspace) -> Result<Done> {
    let components = find(&workspace.root().join(COMPONENTS))?;
    let tests = find(&workspace.root().join(TEST_GUESTS))?;
    let all: Vec<String> = components.iter().chain(&tests).cloned().collect();
    if all.is_empty() {
        return Ok(Done::Skipped("there is no guest".into()));
    }
    compile(workspace, &all)?;
    place(workspace, &components, &workspace.plugins(), true)?;
    let skills = skills(workspace)?;
    place(workspace, &tests, &workspace.test_guests(), false)?;
    for name in &skills {
        skill(workspace, name)?;
    }
    let all: Vec<String> = tests.into_iter().chain(skills).collect();
    forget_others(&workspace.test_guests(), &all)?;
    Ok(Done::Yes)
}

/// The names of the skills, each a crate that knows nothing of this workspace.
pub fn skills(workspace: &Workspace) -> Result<Vec<String>> {
    let folders = entries(&workspace.root().join(SKILLS))?.into_iter().filter(|path| path.join("Cargo.toml").is_file());
    let name = |path: PathBuf| path.file_name().map(|name| name.to_string_lossy().into_owned());
    let mut names: Vec<String> = folders.filter_map(name).collect();
    names.sort();
    Ok(names)
}

/// Where the skills are built, so that their own folders stay clean.
pub fn skills_target(workspace: &Workspace) -> PathBuf {
    workspace.target().join("skills")
}

/// Builds a skill as its author does, apart from the workspace, for the features of the SDK must not reach the components
/// that do without them; and puts it among the guests of the tests.
pub fn skill(workspace: &Workspace, name: &str) -> Result<()> {
    let target = skills_target(workspace);
    let cargo = Run::cargo(&workspace.root().join(SKILLS).join(name)).env("CARGO_TARGET_DIR", &target);
    cargo.args(["build", "--release", "--locked", "--target", TARGET]).run()?;
    let built = target.join(TARGET).join("release");
    // A command has the name of its crate, a library that of its module.
    let files = [built.join(format!("{name}.wasm")), built.join(format!("{}.wasm", name.replace('-', "_")))];
    let Some(from) = files.iter().find(|file| file.is_file()) else { bail!("skills/{name} makes no component") };
    copy_if_different(from, &workspace.test_guests().join(format!("{name}.wasm")))?;
    Ok(())
}

/// Fails if there is nothing that a release could embed.
pub fn refuse_empty(workspace: &Workspace) -> Result<()> {
    let folder = workspace.plugins();
    let any = entries(&folder)?.iter().any(|path| path.extension().is_some_and(|extension| extension == "wasm"));
    if !any {
        bail!("{} holds no component, so the binary would do nothing", folder.display());
    }
    Ok(())
}

fn compile(workspace: &Workspace, names: &[String]) -> Result<()> {
    let mut cargo = Run::cargo(workspace.root()).args(["build", "--target", TARGET, "--profile", PROFILE]);
    for name in names {
        cargo = cargo.args(["--package", name]);
    }
    cargo.run()
}

/// Copies what was built. `whole`: these are all, and what an earlier build put there beyond them is removed.
fn place(workspace: &Workspace, names: &[String], folder: &Path, whole: bool) -> Result<()> {
    fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let built = workspace.target().join(TARGET).join(PROFILE);
    for name in names {
        let from = built.join(format!("{}.wasm", name.replace('-', "_")));
        let to = folder.join(format!("{name}.wasm"));
        if copy_if_different(&from, &to)? {
            say(&format!("  {} is new", to.strip_prefix(workspace.root()).unwrap_or(&to).display()));
        }
    }
    if whole {
        forget_others(folder, names)?;
    }
    Ok(())
}

/// Removes what the last build put into the folder and this one did not. Files of a person stay.
fn forget_others(folder: &Path, names: &[String]) -> Result<()> {
    let list = folder.join(LIST);
    for name in fs::read_to_string(&list).unwrap_or_default().lines() {
        if names.iter().any(|kept| kept == name) {
            continue;
        }
        let file = folder.join(format!("{name}.wasm"));
        match fs::remove_file(&file) {
            Ok(()) => say(&format!("  {} is gone, as its crate is", file.display())),
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(error).with_context(|| format!("cannot remove {}", file.display())),
        }
    }
    let names: String = names.iter().map(|name| format!("{name}\n")).collect();
    fs::write(&list, names).with_context(|| format!("cannot write {}", list.display()))
}

/// A running daemon watches the folder, so an unchanged file is not touched and a new one appears whole.
fn copy_if_different(from: &Path, to: &Path) -> Result<bool> {
    let bytes = fs::read(from).with_context(|| format!("cannot read {}", from.display()))?;
    if fs::read(to).is_ok_and(|old| old == bytes) {
        return Ok(false);
    }
    let part = to.with_extension("wasm.part");
    fs::write(&part, bytes).with_context(|| format!("cannot write {}", part.display()))?;
    fs::rename(&part, to).with_context(|| format!("cannot write {}", to.display()))?;
    Ok(true)
}

fn entries(folder: &Path) -> Result<Vec<PathBuf>> {
    let context = || format!("cannot list {}", folder.display());
    fs::read_dir(folder).with_context(context)?.map(|entry| Ok(entry.with_context(context)?.path())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn crates(manifests: &[(&str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in manifests {
            fs::create_dir(folder.path().join(name)).unwrap();
            fs::write(folder.path().join(name).join("Cargo.toml"), text).unwrap();
        }
        folder
    }

    #[test]
    fn guests_are_the_crates_with_a_cdylib() {
        let folder = crates(&[
            ("tool-b", "[package]\nname = \"tool-b\"\n[lib]\ncrate-type = [\"cdylib\", \"rlib\"]\n"),
            ("tool-a", "[package]\nname = \"tool-a\"\n[lib]\ncrate-type = [\"cdylib\"]\n"),
            ("sdk", "[package]\nname = \"sdk\"\n"),
        ]);
        fs::write(folder.path().join("README.md"), "not a crate").unwrap();
        assert_eq!(find(folder.path()).unwrap(), ["tool-a", "tool-b"]);
    }

    #[test]
    fn a_guest_is_named_as_its_folder() {
        let folder = crates(&[("tool-a", "[package]\nname = \"shell\"\n[lib]\ncrate-type = [\"cdylib\"]\n")]);
        let error = find(folder.path()).unwrap_err().to_string();
        assert!(error.ends_with("names the crate `shell`; a guest and its folder have the same name"), "{error}");
    }

    #[test]
    fn a_file_is_written_only_when_its_bytes_differ() {
        let folder = tempfile::tempdir().unwrap();
        let (from, to) = (folder.path().join("from"), folder.path().join("to.wasm"));
        fs::write(&from, "one").unwrap();
        assert!(copy_if_different(&from, &to).unwrap());
        assert!(!copy_if_different(&from, &to).unwrap());
        fs::write(&from, "two").unwrap();
        assert!(copy_if_different(&from, &to).unwrap());
        assert_eq!(fs::read(&to).unwrap(), b"two");
        assert_eq!(entries(folder.path()).unwrap().len(), 2);
    }

    #[test]
    fn a_guest_that_is_gone_takes_its_file_with_it_and_no_other() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["old", "kept", "mine"] {
            fs::write(folder.path().join(format!("{name}.wasm")), name).unwrap();
        }
        forget_others(folder.path(), &["kept".into(), "old".into()]).unwrap();
        forget_others(folder.path(), &["kept".into()]).unwrap();
        let mut left = entries(folder.path()).unwrap();
        left.sort();
        assert_eq!(left, [".built", "kept.wasm", "mine.wasm"].map(|name| folder.path().join(name)));
    }
}
