//! The database file: making it, opening it, and saying what is wrong with it.
//!
//! A new database gets its tables under another name and then takes its place with one link, so a file in that place
//! is always whole: one that is empty or cut off is damage and never taken for a first start.

use std::fs::{File, OpenOptions};
use std::io::{Read as _, Seek as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use redb::{Database, DatabaseError, StorageError};

use super::error::{self, OpenError};
use super::migrations;

/// How redb's files begin.
const MAGIC: [u8; 9] = *b"redb\x1A\x0A\xA9\x0D\x0A";
/// The fields of the file's first 64 bytes that tell its length, each a little-endian `u32`: see redb's `header.rs`.
const GEOMETRY: std::ops::Range<usize> = 12..32;
/// The page that redb's header is in.
const HEADER: usize = 4096;
const ATTEMPTS: usize = 3;

/// Opens the database, makes it when there is none, and brings it up to the current format.
pub(super) fn open(path: &Path, cache: usize) -> Result<Database, OpenError> {
    make_folder(path)?;
    let mut last = None;
    // Two processes may start on an empty home at once: one of them makes the file, the other one finds it.
    for _ in 0..ATTEMPTS {
        match std::fs::metadata(path) {
            Ok(found) if found.is_file() => {
                let database = open_existing(path, cache)?;
                migrations::run(&database, path)?;
                return Ok(database);
            }
            Ok(_) => return Err(OpenError::NotADatabase { path: path.into() }),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => match create(path, cache) {
                Ok(Some(database)) => return Ok(database),
                Ok(None) => {}
                Err(error) => last = Some(error),
            },
            Err(error) => return Err(error::of_io(path, &error)),
        }
    }
    Err(last.unwrap_or_else(|| OpenError::Locked { path: path.into() }))
}

/// Opens a file that is there, without looking at its format.
pub(super) fn open_existing(path: &Path, cache: usize) -> Result<Database, OpenError> {
    let mut file = OpenOptions::new().read(true).write(true).open(path).map_err(|error| error::of_io(path, &error))?;
    let (header, expected) = check_header(path, &mut file)?;
    // What is said to a damaged file: the missing end explains it better than whatever redb stumbled over.
    let damaged = |reason: String| match std::fs::metadata(path) {
        Ok(found) if found.len() < expected => OpenError::CutOff { path: path.into(), length: found.len(), expected },
        _ => OpenError::Corrupt { path: path.into(), reason },
    };
    let opened = catch_unwind(AssertUnwindSafe(|| redb::Builder::new().set_cache_size(cache).create_file(file)))
        .map_err(|panic| damaged(error::panic_text(panic.as_ref())))
        .and_then(|opened| {
            opened.map_err(|error| match error {
                DatabaseError::DatabaseAlreadyOpen => OpenError::Locked { path: path.into() },
                DatabaseError::Storage(StorageError::Io(error))
                    if error.kind() == std::io::ErrorKind::UnexpectedEof =>
                {
                    damaged("it ends too early".into())
                }
                DatabaseError::Storage(StorageError::Io(error)) => error::of_io(path, &error),
                other => damaged(other.to_string()),
            })
        });
    if let Err(OpenError::CutOff { .. } | OpenError::Corrupt { .. }) = &opened {
        put_back(path, &header);
    }
    let database = opened?;
    // A backup that was put back may have come with any mode.
    private(path).map_err(|error| error::of_io(path, &error))?;
    Ok(database)
}

/// Before redb finds out that it cannot repair a file it has written into its header what it made of it: the length as it
/// is now. The next start would no longer know that something is missing.
fn put_back(path: &Path, header: &[u8]) {
    let put = || {
        let mut file = OpenOptions::new().read(true).write(true).open(path)?;
        let mut now = vec![0; header.len()];
        file.read_exact(&mut now)?;
        if now == header {
            return Ok(());
        }
        file.rewind()?;
        file.write_all(header)
    };
    if let Err(error) = put() {
        let error: std::io::Error = error;
        tracing::warn!("{} could not be left as it was: {error}", path.display());
    }
}

/// The page of the header, and the length that the file should have at least, in bytes.
fn check_header(path: &Path, file: &mut File) -> Result<(Vec<u8>, u64), OpenError> {
    let length = file.metadata().map_err(|error| error::of_io(path, &error))?.len();
    let mut header = Vec::with_capacity(HEADER);
    let most = u64::try_from(HEADER).unwrap_or(u64::MAX);
    std::io::Read::by_ref(file).take(most).read_to_end(&mut header).map_err(|error| error::of_io(path, &error))?;
    let start = header.get(..MAGIC.len().min(header.len())).unwrap_or_default();
    if !MAGIC.starts_with(start) {
        return Err(OpenError::NotADatabase { path: path.into() });
    }
    let Some(geometry) = header.get(GEOMETRY) else {
        return Err(OpenError::CutOff { path: path.into(), length, expected: most });
    };
    let mut numbers = geometry
        .chunks_exact(4)
        .map(|four| four.iter().rev().fold(0_u64, |number, byte| number.wrapping_shl(8) | u64::from(*byte)));
    let mut next = || numbers.next().unwrap_or(0);
    let (page, region_header, region_most, full_regions, trailing) = (next(), next(), next(), next(), next());
    let trailing = if trailing == 0 { 0 } else { trailing.saturating_add(region_header) };
    let regions = full_regions.saturating_mul(region_header.saturating_add(region_most));
    let expected = regions.saturating_add(trailing).saturating_add(1).saturating_mul(page);
    Ok((header, expected))
}

/// `None`: another process was faster.
fn create(path: &Path, cache: usize) -> Result<Option<Database>, OpenError> {
    let fail = |error: std::io::Error| error::of_io(path, &error);
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".new-{}", crate::message::new_id()));
    let fresh = PathBuf::from(name);
    let file = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(&fresh).map_err(fail)?;
    let made = catch_unwind(AssertUnwindSafe(|| redb::Builder::new().set_cache_size(cache).create_file(file)))
        .map_err(|panic| error::panic_text(panic.as_ref()))
        .and_then(|made| made.map_err(|error| error.to_string()))
        .map_err(|reason| OpenError::Io { path: path.into(), reason })
        .and_then(|database| migrations::found(&database, path).map(|()| database));
    let placed = made.and_then(|database| match std::fs::hard_link(&fresh, path) {
        Ok(()) => Ok(Some(database)),
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(None),
        // Some file systems have no links; there the first start of two processes at once is not guarded.
        Err(_) => std::fs::rename(&fresh, path).map(|()| Some(database)).map_err(fail),
    });
    // Gone already after a rename.
    let _ = std::fs::remove_file(&fresh);
    if matches!(placed, Ok(Some(_))) {
        // The name must be as durable as what is in the file.
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        File::open(folder).and_then(|folder| folder.sync_all()).map_err(fail)?;
    }
    placed
}

fn make_folder(path: &Path) -> Result<(), OpenError> {
    let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) else {
        return Ok(());
    };
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(|error| error::of_io(folder, &error))
}

fn private(path: &Path) -> std::io::Result<()> {
    let mut permissions = std::fs::metadata(path)?.permissions();
    if permissions.mode() & 0o077 != 0 {
        permissions.set_mode(0o600);
        std::fs::set_permissions(path, permissions)?;
    }
    Ok(())
}
