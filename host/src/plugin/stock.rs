//! First-party components: they travel inside the host binary and are laid out into the plugins folder.
//!
//! A note in the folder says which bytes were laid out. A file that still is what was laid out is upgraded; one that
//! the person changed is left alone; one that the person deleted stays deleted.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::digest;
use crate::runtime::cache::write_private;

/// Name, SHA-256 in hex, deflated bytes: made by `build.rs`, empty where no components were built before the host.
type Embedded = (&'static str, &'static str, &'static [u8]);

include!(concat!(env!("OUT_DIR"), "/stock.rs"));

const NOTE: &str = ".stock.json";
/// A folder to take first-party components from, instead of what the binary holds.
pub const VARIABLE: &str = "OPENPISTA_STOCK";

/// Where first-party components come from.
#[derive(Debug, Clone)]
pub enum Source {
    /// The binary itself.
    Embedded,
    /// A folder, in development: a component that was built again is there without linking the host again.
    Folder(PathBuf),
}

/// One of them.
struct Item {
    file: String,
    digest: String,
    bytes: Box<dyn Fn() -> Result<Vec<u8>>>,
}

impl Source {
    /// What this build has: the binary's own, or the folder that the build names.
    pub fn of_this_build() -> Self {
        if let Some(folder) = std::env::var_os(VARIABLE) {
            return Self::Folder(folder.into());
        }
        // A build without components of its own is a development build; its tree has the folder beside it.
        let tree = Path::new(env!("CARGO_MANIFEST_DIR")).join("../plugins");
        if STOCK.is_empty() && tree.is_dir() {
            return Self::Folder(tree);
        }
        Self::Embedded
    }

    fn items(&self) -> Result<Vec<Item>> {
        match self {
            Self::Embedded => Ok(STOCK
                .iter()
                .map(|(file, digest, packed)| Item {
                    file: (*file).to_string(),
                    digest: (*digest).to_string(),
                    bytes: Box::new(|| unpack(packed)),
                })
                .collect()),
            Self::Folder(folder) => {
                let mut items = Vec::new();
                for file in wasm_files(folder)? {
                    let bytes = std::fs::read(folder.join(&file))?;
                    let digest = digest(&bytes);
                    items.push(Item { file, digest, bytes: Box::new(move || Ok(bytes.clone())) });
                }
                Ok(items)
            }
        }
    }
}

fn unpack(packed: &[u8]) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    flate2::read::DeflateDecoder::new(packed).read_to_end(&mut bytes).context("a built-in component is damaged")?;
    Ok(bytes)
}

/// The `.wasm` files of a folder, sorted.
pub fn wasm_files(folder: &Path) -> Result<Vec<String>> {
    let mut files = Vec::new();
    let entries = std::fs::read_dir(folder).with_context(|| format!("cannot read the folder {}", folder.display()))?;
    for entry in entries {
        let entry = entry?;
        let Ok(name) = entry.file_name().into_string() else { continue };
        if Path::new(&name).extension().is_some_and(|ending| ending == "wasm") && !name.starts_with('.') {
            files.push(name);
        }
    }
    files.sort();
    Ok(files)
}

/// What was shipped, and what laying it out did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Laid {
    /// Digests that were shipped with this host, now or when they were laid out: their needs are granted.
    pub digests: std::collections::BTreeSet<String>,
    /// Files put there or upgraded.
    pub written: Vec<String>,
    /// Files that the person changed.
    pub kept: Vec<String>,
}

/// Lays the components out.
pub fn lay_out(source: &Source, folder: &Path) -> Result<Laid> {
    let note_path = folder.join(NOTE);
    let note: BTreeMap<String, String> = match std::fs::read(&note_path) {
        Ok(bytes) => serde_json::from_slice(&bytes).unwrap_or_default(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => BTreeMap::new(),
        Err(error) => return Err(error).with_context(|| format!("cannot read {}", note_path.display())),
    };
    let mut next = note.clone();
    let mut laid = Laid::default();
    for item in source.items()? {
        laid.digests.insert(item.digest.clone());
        let path = folder.join(&item.file);
        let present = match std::fs::read(&path) {
            Ok(bytes) => Some(digest(&bytes)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
            Err(error) => return Err(error).with_context(|| format!("cannot read {}", path.display())),
        };
        let noted = note.get(&item.file);
        let write = match (&present, noted) {
            (None, None) => true,
            // Deleted by the person.
            (None, Some(_)) => false,
            (Some(present), _) if *present == item.digest => {
                next.insert(item.file.clone(), item.digest.clone());
                false
            }
            (Some(present), Some(noted)) if present == noted => true,
            (Some(_), _) => {
                laid.kept.push(item.file.clone());
                false
            }
        };
        if write {
            write_private(&path, &(item.bytes)()?)?;
            next.insert(item.file.clone(), item.digest.clone());
            laid.written.push(item.file.clone());
        }
    }
    if next != note {
        write_private(&note_path, &serde_json::to_vec_pretty(&next)?)?;
    }
    Ok(laid)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folders() -> (tempfile::TempDir, PathBuf, Source) {
        let temporary = tempfile::tempdir().unwrap();
        let stock = temporary.path().join("stock");
        let plugins = temporary.path().join("plugins");
        std::fs::create_dir(&stock).unwrap();
        std::fs::create_dir(&plugins).unwrap();
        std::fs::write(stock.join("a.wasm"), "one").unwrap();
        (temporary, plugins, Source::Folder(stock))
    }

    fn stock_of(source: &Source) -> &Path {
        match source {
            Source::Folder(folder) => folder,
            Source::Embedded => unreachable!("the tests use a folder"),
        }
    }

    #[test]
    fn a_missing_file_is_laid_out_and_an_unmodified_one_is_upgraded() {
        let (_keep, plugins, source) = folders();
        assert_eq!(lay_out(&source, &plugins).unwrap().written, ["a.wasm"]);
        assert_eq!(lay_out(&source, &plugins).unwrap().written, [""; 0]);
        std::fs::write(stock_of(&source).join("a.wasm"), "two").unwrap();
        assert_eq!(lay_out(&source, &plugins).unwrap().written, ["a.wasm"]);
        assert_eq!(std::fs::read(plugins.join("a.wasm")).unwrap(), b"two");
    }

    #[test]
    fn a_file_that_the_person_changed_is_left_alone() {
        let (_keep, plugins, source) = folders();
        lay_out(&source, &plugins).unwrap();
        std::fs::write(plugins.join("a.wasm"), "mine").unwrap();
        std::fs::write(stock_of(&source).join("a.wasm"), "two").unwrap();
        let laid = lay_out(&source, &plugins).unwrap();
        assert_eq!((laid.written, laid.kept), (vec![], vec!["a.wasm".to_string()]));
        assert_eq!(std::fs::read(plugins.join("a.wasm")).unwrap(), b"mine");
    }

    #[test]
    fn a_file_that_the_person_deleted_stays_deleted() {
        let (_keep, plugins, source) = folders();
        lay_out(&source, &plugins).unwrap();
        std::fs::remove_file(plugins.join("a.wasm")).unwrap();
        assert_eq!(lay_out(&source, &plugins).unwrap().written, [""; 0]);
        assert!(!plugins.join("a.wasm").exists());
    }
}
