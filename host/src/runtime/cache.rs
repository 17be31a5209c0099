//! Compiled components on disk: `DIGEST-COMPATIBILITY.cwasm`, so that a component is compiled once for each version of
//! the host, and for the compiler's settings.
//!
//! Compiled code is trusted by wasmtime as if it were our own, so the folder and its files must belong to the user and
//! be writable by nobody else; a file for which that does not hold is ignored and written anew. Files are put in place
//! by a rename, so a half-written one is never seen.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use wasmtime::Engine;
use wasmtime::component::Component;

/// The folder with compiled components.
#[derive(Debug, Clone)]
pub struct Cache {
    folder: PathBuf,
    compatibility: String,
}

impl Cache {
    /// Makes the folder if need be.
    pub fn open(folder: &Path, engine: &Engine) -> Result<Self> {
        private_folder(folder)?;
        let mut hasher = DefaultHasher::new();
        engine.precompile_compatibility_hash().hash(&mut hasher);
        // What a component says of itself is kept here as this host understood it; the next one may understand more.
        env!("CARGO_PKG_VERSION").hash(&mut hasher);
        Ok(Self { folder: folder.to_path_buf(), compatibility: format!("{:016x}", hasher.finish()) })
    }

    /// A path in the cache for what is derived from a component.
    pub fn path(&self, digest: &str, ending: &str) -> PathBuf {
        self.folder.join(format!("{digest}-{}.{ending}", self.compatibility))
    }

    /// The compiled component, if it is there and fits.
    pub fn load(&self, engine: &Engine, digest: &str) -> Option<Component> {
        let path = self.path(digest, "cwasm");
        if !private(&path) {
            return None;
        }
        // The file was made by `Engine` serialising what it compiled, stands in a folder that only this user can
        // write, was renamed into place whole, and wasmtime checks its version and settings itself.
        #[expect(unsafe_code, reason = "deserialize_file trusts the file; `private` and the rename are why we may")]
        let component = unsafe { Component::deserialize_file(engine, &path) };
        match component {
            Ok(component) => Some(component),
            Err(error) => {
                tracing::debug!("{} does not fit and is compiled anew: {error:#}", path.display());
                None
            }
        }
    }

    /// Whether what was compiled of these bytes is kept.
    pub fn holds(&self, digest: &str) -> bool {
        self.path(digest, "cwasm").exists()
    }

    /// Keeps what was compiled. A failure costs time at the next start and nothing else.
    pub fn keep(&self, digest: &str, component: &Component) {
        let kept = component
            .serialize()
            .map_err(|error| anyhow::anyhow!("{error:#}"))
            .and_then(|bytes| write_private(&self.path(digest, "cwasm"), &bytes));
        if let Err(error) = kept {
            tracing::warn!("a compiled component could not be kept: {error:#}");
        }
    }

    /// Removes what is kept of a component.
    pub fn forget(&self, digest: &str) {
        for ending in ["cwasm", "json", "tools"] {
            // What cannot be removed is in nobody's way.
            let _ = std::fs::remove_file(self.path(digest, ending));
        }
    }

    /// Removes what belongs to no digest in `live`, or to another version of the compiler.
    pub fn prune(&self, live: &dyn Fn(&str) -> bool) {
        let Ok(entries) = std::fs::read_dir(&self.folder) else { return };
        for entry in entries.flatten() {
            let name = entry.file_name();
            let Some(stem) = name.to_str().and_then(|name| name.split_once('.')).map(|(stem, _)| stem) else {
                continue;
            };
            let Some((digest, compatibility)) = stem.split_once('-') else { continue };
            if compatibility != self.compatibility || !live(digest) {
                // What cannot be removed is in nobody's way.
                let _ = std::fs::remove_file(entry.path());
            }
        }
    }
}

/// The file is ours and nobody else can write it.
fn private(path: &Path) -> bool {
    std::fs::symlink_metadata(path)
        .is_ok_and(|meta| meta.is_file() && meta.uid() == nix::unistd::geteuid().as_raw() && meta.mode() & 0o022 == 0)
}

/// Makes a folder, and those above it, for the user only; one that is there stays as it is.
pub fn private_folder(folder: &Path) -> Result<()> {
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
        .with_context(|| format!("cannot make the folder {}", folder.display()))
}

/// Writes a file that only the user can read, in one step.
pub fn write_private(path: &Path, bytes: &[u8]) -> Result<()> {
    let temporary = path.with_extension(format!("{}.tmp", crate::message::new_id()));
    let written = std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&temporary)
        .and_then(|mut file| file.write_all(bytes).and_then(|()| file.sync_all()))
        .and_then(|()| std::fs::rename(&temporary, path));
    if let Err(error) = written {
        let _ = std::fs::remove_file(&temporary);
        return Err(error).with_context(|| format!("cannot write {}", path.display()));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_made_is_for_its_owner_only_and_what_is_there_stays_as_it_is() {
        let home = tempfile::tempdir().unwrap();
        let folder = home.path().join("home").join("plugins");
        private_folder(&folder).unwrap();
        let mode = |path: &Path| std::fs::metadata(path).unwrap().mode() & 0o777;
        assert_eq!((mode(&folder), mode(folder.parent().unwrap())), (0o700, 0o700));
        write_private(&folder.join("file"), b"x").unwrap();
        assert_eq!(mode(&folder.join("file")), 0o600);
        let shared = <std::fs::Permissions as std::os::unix::fs::PermissionsExt>::from_mode(0o755);
        std::fs::set_permissions(&folder, shared).unwrap();
        private_folder(&folder).unwrap();
        assert_eq!(mode(&folder), 0o755);
    }
}
