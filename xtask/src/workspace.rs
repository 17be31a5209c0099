//! Where things are in the repository.

use std::env;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// The repository and what the build makes in it.
pub struct Workspace {
    root: PathBuf,
    target: PathBuf,
}

impl Workspace {
    pub fn find() -> Result<Self> {
        let here = Path::new(env!("CARGO_MANIFEST_DIR"));
        let root = here.parent().context("xtask lies in no folder")?.to_path_buf();
        let target = env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), |folder| root.join(folder));
        Ok(Self { root, target })
    }

    pub fn root(&self) -> &Path {
        &self.root
    }

    pub fn wit(&self) -> PathBuf {
        self.root.join("wit")
    }

    pub fn target(&self) -> &Path {
        &self.target
    }

    /// Where the components of the build are put; a host of the dev profile reads them there.
    pub fn plugins(&self) -> PathBuf {
        self.root.join("plugins")
    }

    pub fn test_guests(&self) -> PathBuf {
        self.target.join("test-guests")
    }

    /// Where `setup` puts cargo-component and cargo-deny.
    pub fn tools(&self) -> PathBuf {
        self.target.join("tools")
    }

    /// A program that `setup` installed.
    pub fn tool(&self, name: &str) -> PathBuf {
        self.tools().join("bin").join(name)
    }

    /// Where `setup` puts the npm packages of the tests.
    pub fn npm(&self) -> PathBuf {
        self.target.join("npm")
    }

    /// Where `setup` puts what builds plugins in Python and JavaScript, and tests build those in Rust.
    pub fn authors(&self) -> PathBuf {
        self.target.join("authors")
    }

    /// Where `setup` puts a Node.js if the machine's is too old.
    pub fn node(&self) -> PathBuf {
        self.target.join("node")
    }

    /// What the npm packages of the tests are, with their lock file.
    pub fn npm_manifest(&self) -> PathBuf {
        self.root.join("host/tests/npm")
    }

    pub fn allowed_skips(&self) -> PathBuf {
        self.root.join("host/tests/allowed-skips.txt")
    }
}

/// The first of these programs that is on the path.
pub fn program(names: &[&str]) -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    names.iter().find_map(|name| on_path(&path, name))
}

fn on_path(path: &OsStr, name: &str) -> Option<PathBuf> {
    env::split_paths(path).map(|folder| folder.join(name)).find(|file| file.is_file())
}
