//! What a guest finds that is trusted with nothing: WASI with the files that its store holds, and what everyone has. No
//! capability is linked.
//!
//! WASI keeps a guest within the folders that it was given, links included. The home of the host may lie within such a
//! folder, and is nobody's to read: [`Reach`] looks at what was opened, by whichever path, and closes it again.

use std::collections::BTreeSet;
use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;

use wasmtime::component::{Linker, Resource};
use wasmtime::{Engine, StoreContextMut};
use wasmtime_wasi::filesystem::{Descriptor, WasiFilesystemView as _};
use wasmtime_wasi::p2::bindings::filesystem::types::{
    DescriptorFlags, ErrorCode, Host as _, HostDescriptor as _, OpenFlags, PathFlags,
};

use super::state::HostState;

/// The interface of which one function is replaced, with the version that `wasmtime-wasi` links. A test reads a file of
/// the home by way of the workspace, so another version does not pass unseen.
const FILES: &str = "wasi:filesystem/types@0.2.12";

/// Which files within its folders a guest may open. Paths are real ones, without links.
#[derive(Debug, Clone, Default)]
pub struct Reach {
    /// Nothing in here …
    pub closed: PathBuf,
    /// … but what is in one of these.
    pub open: Vec<PathBuf>,
}

impl Reach {
    /// Whether the guest may have it. What cannot be found out is refused.
    fn admits(&self, file: &File) -> bool {
        let Ok(path) = real_path(file) else { return false };
        !path.starts_with(&self.closed) || self.open.iter().any(|open| path.starts_with(open))
    }
}

/// Where an open file lies now.
#[cfg(target_os = "linux")]
fn real_path(file: &File) -> std::io::Result<PathBuf> {
    use std::os::fd::AsRawFd as _;
    std::fs::read_link(format!("/proc/self/fd/{}", file.as_raw_fd()))
}

/// Where an open file lies now.
#[cfg(target_os = "macos")]
fn real_path(file: &File) -> std::io::Result<PathBuf> {
    let mut path = PathBuf::new();
    nix::fcntl::fcntl(file, nix::fcntl::FcntlArg::F_GETPATH(&mut path))?;
    Ok(path)
}

/// Where an open file lies now: not to be found out here.
#[cfg(not(any(target_os = "linux", target_os = "macos")))]
fn real_path(_: &File) -> std::io::Result<PathBuf> {
    Err(std::io::ErrorKind::Unsupported.into())
}

/// A linker without capabilities, for stores that were made with [`HostState::sandboxed`].
pub fn linker(engine: &Engine) -> wasmtime::Result<Linker<HostState>> {
    let mut linker = super::linker::linker(engine, &BTreeSet::new())?;
    linker.allow_shadowing(true);
    linker.instance(FILES)?.func_wrap_async("[method]descriptor.open-at", |store, asked| {
        Box::new(async move { Ok((open_at(store, asked).await?,)) })
    })?;
    linker.allow_shadowing(false);
    Ok(linker)
}

type Asked = (Resource<Descriptor>, PathFlags, String, OpenFlags, DescriptorFlags);

async fn open_at(
    mut store: StoreContextMut<'_, HostState>,
    (folder, path_flags, path, how, flags): Asked,
) -> wasmtime::Result<Result<Resource<Descriptor>, ErrorCode>> {
    let reach = store.data().reach.clone();
    let mut files = store.data_mut().filesystem();
    let opened = match files.open_at(folder, path_flags, path, how, flags).await {
        Ok(opened) => opened,
        Err(error) => return Ok(Err(files.convert_error_code(error)?)),
    };
    let admitted = match (files.table.get(&opened)?, reach) {
        (_, None) => true,
        (Descriptor::File(file), Some(reach)) => reach.admits(&file.file),
        (Descriptor::Dir(dir), Some(reach)) => reach.admits(&dir.dir),
    };
    if admitted {
        return Ok(Ok(opened));
    }
    files.table.delete(opened)?;
    Ok(Err(ErrorCode::Access))
}

/// What a sandboxed store may open, shared by its calls.
pub type SharedReach = Arc<Reach>;
