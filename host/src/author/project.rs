//! A plugin's folder: which command builds it, where the component is then, what belongs to its sources.
//!
//! A folder may say both itself: `[package.metadata.openpista]` in `Cargo.toml`, `[tool.openpista]` in `pyproject.toml`,
//! `"openpista"` in `package.json`, each with `build`, a command for the shell, and `wasm`, a path in the folder.

use std::collections::BTreeMap;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Component, Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context as _, Result, bail};
use serde::Deserialize;
use sha2::{Digest, Sha256};
use tokio::process::Command;

/// Folders that hold no sources.
const NOT_SOURCES: &[&str] =
    &["target", "node_modules", "dist", "build", "__pycache__", "venv", "bindings", "componentize_py_runtime"];
/// Files in a project; beyond, it is no folder of one plugin.
const FILES_MOST: usize = 20_000;
/// A larger file is told by its size and time.
const READ_MOST: u64 = 1 << 20;
/// Lines of a build that failed.
const SHOWN: usize = 120;

/// How a folder becomes a component.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Project {
    /// The folder.
    pub folder: PathBuf,
    /// For the shell, in the folder.
    pub build: String,
    /// Where the component is then.
    pub wasm: Wasm,
}

/// Where a component is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wasm {
    /// There.
    At(PathBuf),
    /// The newest `.wasm` under the folder.
    Newest,
}

/// What a folder says of itself.
#[derive(Debug, Default, Deserialize)]
struct Own {
    build: Option<String>,
    wasm: Option<PathBuf>,
}

/// A build that ended.
#[derive(Debug)]
pub struct Built {
    /// It did.
    pub ok: bool,
    /// What it wrote, the end of it.
    pub log: String,
    /// From begin to end.
    pub took: Duration,
}

impl Project {
    /// Finds out how a folder is built. `build` and `wasm` are the person's word and count first.
    pub async fn find(folder: &Path, build: Option<String>, wasm: Option<PathBuf>) -> Result<Self> {
        if !folder.is_dir() {
            bail!("{} is no folder", folder.display());
        }
        let found = match (&build, &wasm) {
            (Some(_), Some(_)) => (String::new(), Wasm::Newest),
            _ => detected(folder, build.is_some()).await?,
        };
        let wasm = wasm.map_or(found.1, |wasm| Wasm::At(folder.join(wasm)));
        Ok(Self { folder: folder.to_path_buf(), build: build.unwrap_or(found.0), wasm })
    }

    /// Runs the build. It ends with its whole process group when this is dropped.
    pub async fn build(&self) -> Result<Built> {
        let begun = Instant::now();
        let mut command = Command::new("sh");
        // One stream, in the order in which it was written.
        command.arg("-c").arg(format!("exec 2>&1\n{}", self.build)).current_dir(&self.folder);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).process_group(0);
        let child = command.spawn().with_context(|| format!("cannot start `{}`", self.build))?;
        let group = Group(child.id());
        let output = child.wait_with_output().await?;
        group.over();
        let text = String::from_utf8_lossy(&output.stdout);
        let lines: Vec<&str> = text.lines().collect();
        let log = lines.iter().skip(lines.len().saturating_sub(SHOWN)).copied().collect::<Vec<_>>().join("\n");
        Ok(Built { ok: output.status.success(), log, took: begun.elapsed() })
    }

    /// The component that the last build made.
    pub fn component(&self) -> Result<PathBuf> {
        match &self.wasm {
            Wasm::At(path) if path.is_file() => Ok(path.clone()),
            Wasm::At(path) => bail!(
                "the build made no {}; name the file with --output, or as `wasm` where the folder says how it is built",
                path.display()
            ),
            Wasm::Newest => {
                let mut found = Vec::new();
                walk(
                    &self.folder,
                    &mut |path, meta| {
                        if path.extension().is_some_and(|ending| ending == "wasm") {
                            found.push((meta.modified().unwrap_or(SystemTime::UNIX_EPOCH), path.to_path_buf()));
                        }
                    },
                    &["node_modules", ".git"],
                )?;
                found.sort();
                let newest = found.pop().map(|(_, path)| path);
                newest.with_context(|| {
                    format!("the build made no .wasm in {}; name the file with --output", self.folder.display())
                })
            }
        }
    }

    /// All sources in one value: it changes when one of them does.
    pub fn sources(&self) -> Result<[u8; 32]> {
        let mut all = BTreeMap::new();
        walk(
            &self.folder,
            &mut |path, meta| {
                if !self.is_source(path) {
                    return;
                }
                let content = match meta.len() {
                    0..=READ_MOST => std::fs::read(path).unwrap_or_default(),
                    _ => format!("{} {:?}", meta.len(), meta.modified().ok()).into_bytes(),
                };
                all.insert(path.to_path_buf(), <[u8; 32]>::from(Sha256::digest(content)));
            },
            NOT_SOURCES,
        )?;
        let mut hash = Sha256::new();
        for (path, content) in all {
            hash.update(path.as_os_str().as_encoded_bytes());
            hash.update(content);
        }
        Ok(hash.finalize().into())
    }

    /// Whether a file counts: nothing that builds make, nothing hidden.
    pub fn is_source(&self, path: &Path) -> bool {
        let Ok(inside) = path.strip_prefix(&self.folder) else { return false };
        let made = inside.components().any(|part| match part {
            Component::Normal(name) => name.to_str().is_some_and(|name| is_made(name, NOT_SOURCES)),
            _ => false,
        });
        let ending = path.extension().and_then(|ending| ending.to_str()).unwrap_or_default();
        let output = matches!(&self.wasm, Wasm::At(output) if output == path);
        !made && !output && !matches!(ending, "wasm" | "lock" | "log" | "tmp" | "swp" | "pyc")
    }
}

fn is_made(name: &str, made: &[&str]) -> bool {
    name.starts_with('.') || name.ends_with('~') || made.contains(&name)
}

/// Ends what is left of a build.
struct Group(Option<u32>);

impl Group {
    fn over(mut self) {
        self.0 = None;
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        let Some(group) = self.0.and_then(|id| i32::try_from(id).ok()) else { return };
        // It may have ended by itself.
        let _ = nix::sys::signal::killpg(nix::unistd::Pid::from_raw(group), nix::sys::signal::Signal::SIGKILL);
    }
}

/// A folder and all in it that may hold sources.
pub fn source_folders(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut all = vec![folder.to_path_buf()];
    let mut next = 0;
    while let Some(folder) = all.get(next).cloned() {
        next += 1;
        let Ok(entries) = std::fs::read_dir(&folder) else { continue };
        for entry in entries.flatten() {
            let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
            if is_folder && !entry.file_name().to_str().is_some_and(|name| is_made(name, NOT_SOURCES)) {
                all.push(entry.path());
            }
        }
        if all.len() > FILES_MOST {
            bail!("there are more than {FILES_MOST} folders; name the folder of the plugin itself");
        }
    }
    Ok(all)
}

/// Every file of a folder, without those in folders that are `skipped` or hidden.
fn walk(folder: &Path, found: &mut dyn FnMut(&Path, &std::fs::Metadata), skipped: &[&str]) -> Result<()> {
    let (mut folders, mut files) = (vec![folder.to_path_buf()], 0_usize);
    while let Some(folder) = folders.pop() {
        let entries = match std::fs::read_dir(&folder) {
            Ok(entries) => entries,
            // Gone meanwhile.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error).with_context(|| format!("cannot read {}", folder.display())),
        };
        for entry in entries.flatten() {
            // Links are not followed: they may lead in a circle, or out of the folder.
            let Ok(kind) = entry.file_type() else { continue };
            let (path, name) = (entry.path(), entry.file_name());
            if kind.is_dir() {
                if !name.to_str().is_some_and(|name| is_made(name, skipped)) {
                    folders.push(path);
                }
            } else if let Ok(meta) = entry.metadata() {
                files += 1;
                if files > FILES_MOST {
                    bail!("there are more than {FILES_MOST} files; name the folder of the plugin itself");
                }
                found(&path, &meta);
            }
        }
    }
    Ok(())
}

/// Build command and output, as the folder says or as its kind is usually built.
async fn detected(folder: &Path, has_build: bool) -> Result<(String, Wasm)> {
    let read = |name: &str| std::fs::read_to_string(folder.join(name)).ok();
    let at = |wasm: Option<PathBuf>| wasm.map_or(Wasm::Newest, |wasm| Wasm::At(folder.join(wasm)));
    if let Some(text) = read("Cargo.toml") {
        let table: toml::Table = text.parse().context("Cargo.toml cannot be read")?;
        let own = own(table.get("package").and_then(|package| package.get("metadata")?.get("openpista")))?;
        if let (Some(build), Some(wasm)) = (&own.build, &own.wasm) {
            return Ok((build.clone(), Wasm::At(folder.join(wasm))));
        }
        let package = table.get("package").and_then(|package| package.get("name")).and_then(toml::Value::as_str);
        let library = table.get("lib").and_then(|lib| lib.get("name")).and_then(toml::Value::as_str);
        let Some(name) = library.or(package) else {
            bail!("{} is a workspace: name the folder of the plugin's crate", folder.join("Cargo.toml").display());
        };
        return rust(folder, name, own, has_build).await;
    }
    if let Some(text) = read("pyproject.toml") {
        let table: toml::Table = text.parse().context("pyproject.toml cannot be read")?;
        let own = own(table.get("tool").and_then(|tool| tool.get("openpista")))?;
        return match own.build {
            Some(build) => Ok((build, at(own.wasm))),
            None if has_build => Ok((String::new(), at(own.wasm))),
            None => bail!(
                "pyproject.toml does not say how the component is built; write it there:\n  [tool.openpista]\n  build = \
                 \"componentize-py -d wit -w WORLD componentize app -o plugin.wasm\"\n  wasm = \"plugin.wasm\""
            ),
        };
    }
    if let Some(text) = read("package.json") {
        let value: serde_json::Value = serde_json::from_str(&text).context("package.json cannot be read")?;
        let own: Own = match value.get("openpista") {
            Some(own) => Own::deserialize(own).context("`openpista` in package.json")?,
            None => Own::default(),
        };
        let script = value.pointer("/scripts/build").is_some();
        return match own.build {
            Some(build) => Ok((build, at(own.wasm))),
            None if script => Ok(("npm run build".into(), at(own.wasm))),
            None if has_build => Ok((String::new(), at(own.wasm))),
            None => bail!("package.json has no script `build`; write one that makes the component"),
        };
    }
    if has_build {
        return Ok((String::new(), Wasm::Newest));
    }
    bail!(
        "{} has no Cargo.toml, pyproject.toml or package.json; say how it is built: --build \"COMMAND\" --output FILE.wasm",
        folder.display()
    )
}

fn own(table: Option<&toml::Value>) -> Result<Own> {
    match table {
        Some(table) => table.clone().try_into().context("what the folder says of how it is built (`build`, `wasm`)"),
        None => Ok(Own::default()),
    }
}

/// With cargo-component if it is there, else for the target that makes components by itself.
async fn rust(folder: &Path, name: &str, own: Own, has_build: bool) -> Result<(String, Wasm)> {
    let file = format!("{}.wasm", name.replace('-', "_"));
    let (build, target) = if has_cargo_component(folder).await {
        ("cargo component build --release", "wasm32-wasip1")
    } else {
        ("cargo build --release --target wasm32-wasip2", "wasm32-wasip2")
    };
    let custom = has_build || own.build.is_some();
    let wasm = match own.wasm {
        Some(wasm) => Wasm::At(folder.join(wasm)),
        // With another command it may be anywhere.
        None if custom => Wasm::Newest,
        None => Wasm::At(target_folder(folder).await?.join(target).join("release").join(file)),
    };
    Ok((own.build.unwrap_or_else(|| build.to_string()), wasm))
}

async fn has_cargo_component(folder: &Path) -> bool {
    let mut command = Command::new("cargo");
    command.args(["component", "--version"]).current_dir(folder).stdin(Stdio::null());
    command.output().await.is_ok_and(|output| output.status.success())
}

/// Where cargo puts what it builds: a workspace, the environment or a configuration may move it.
async fn target_folder(folder: &Path) -> Result<PathBuf> {
    let mut command = Command::new("cargo");
    command
        .args(["metadata", "--no-deps", "--format-version", "1", "--offline"])
        .current_dir(folder)
        .stdin(Stdio::null());
    let output = command.output().await.context("cannot start cargo; see https://rustup.rs")?;
    if !output.status.success() {
        bail!("cargo does not know this folder:\n{}", String::from_utf8_lossy(&output.stderr).trim());
    }
    let value: serde_json::Value =
        serde_json::from_slice(&output.stdout).context("cargo's description of the folder")?;
    let target =
        value.get("target_directory").and_then(serde_json::Value::as_str).context("cargo names no target folder")?;
    Ok(PathBuf::from(target))
}

/// Puts a component into a folder in one step, so that a daemon never sees half of it.
pub fn install(bytes: &[u8], folder: &Path, file: &str) -> Result<PathBuf> {
    use std::io::Write as _;
    let target = folder.join(file);
    let part = folder.join(format!(".{file}.{}.part", std::process::id()));
    let mut open = std::fs::OpenOptions::new();
    let written = open
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&part)
        .and_then(|mut file| file.write_all(bytes).and_then(|()| file.sync_all()))
        .and_then(|()| std::fs::rename(&part, &target));
    if let Err(error) = written {
        // What is left of it is hidden and in nobody's way.
        let _ = std::fs::remove_file(&part);
        return Err(error).with_context(|| format!("cannot write {}", target.display()));
    }
    Ok(target)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        folder
    }

    async fn found(files: &[(&str, &str)]) -> Result<(String, Wasm)> {
        let folder = folder(files);
        let project = Project::find(folder.path(), None, None).await?;
        let inside = |wasm| match wasm {
            Wasm::At(path) => Wasm::At(path.strip_prefix(folder.path()).unwrap().to_path_buf()),
            Wasm::Newest => Wasm::Newest,
        };
        Ok((project.build, inside(project.wasm)))
    }

    #[tokio::test]
    async fn a_folder_says_itself_how_it_is_built() {
        let python = [("pyproject.toml", "[tool.openpista]\nbuild = \"make it\"\nwasm = \"out/a.wasm\"\n")];
        assert_eq!(found(&python).await.unwrap(), ("make it".into(), Wasm::At("out/a.wasm".into())));
        let node = [("package.json", r#"{"scripts":{"build":"x"},"openpista":{"wasm":"dist/a.wasm"}}"#)];
        assert_eq!(found(&node).await.unwrap(), ("npm run build".into(), Wasm::At("dist/a.wasm".into())));
        let rust = "[package]\nname = \"a\"\n[package.metadata.openpista]\nbuild = \"just\"\nwasm = \"a.wasm\"\n";
        assert_eq!(found(&[("Cargo.toml", rust)]).await.unwrap(), ("just".into(), Wasm::At("a.wasm".into())));
    }

    #[tokio::test]
    async fn a_folder_that_does_not_is_told_what_to_write() {
        let why = |error: Result<(String, Wasm)>| format!("{:#}", error.unwrap_err());
        assert!(why(found(&[("pyproject.toml", "")]).await).contains("[tool.openpista]"));
        assert!(why(found(&[("package.json", "{}")]).await).contains("script `build`"));
        assert!(why(found(&[("main.c", "")]).await).contains("--build"));
        assert!(why(found(&[("Cargo.toml", "[workspace]\n")]).await).contains("workspace"));
    }

    #[test]
    fn what_builds_make_is_no_source() {
        let folder = folder(&[("src/lib.rs", "1"), ("wit/world.wit", "2"), ("target/x.rs", "3"), ("a.wasm", "4")]);
        let project = Project { folder: folder.path().into(), build: String::new(), wasm: Wasm::Newest };
        let before = project.sources().unwrap();
        for made in ["target/y.rs", ".git/x", "node_modules/a/b.js", "b.wasm", "Cargo.lock", "src/.lib.rs.swp"] {
            let path = folder.path().join(made);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "new").unwrap();
            assert_eq!(project.sources().unwrap(), before, "{made}");
        }
        assert!(project.is_source(&folder.path().join("src/lib.rs")));
        std::fs::write(folder.path().join("src/lib.rs"), "5").unwrap();
        assert_ne!(project.sources().unwrap(), before);
    }

    #[tokio::test]
    async fn a_build_that_fails_shows_what_it_wrote_in_its_order() {
        let folder = folder(&[]);
        let build = "echo one; echo two >&2; echo three; exit 3".to_string();
        let project = Project { folder: folder.path().into(), build, wasm: Wasm::Newest };
        let built = project.build().await.unwrap();
        assert_eq!((built.ok, built.log.as_str()), (false, "one\ntwo\nthree"));
        assert!(project.component().unwrap_err().to_string().contains("--output"));
    }
}
