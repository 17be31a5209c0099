//! The plugins folder as it lies on the disk: which files changed since they were read last, and their bytes by digest.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, SystemTime};

use anyhow::Result;
use serde::{Deserialize, Serialize};

use super::digest;
use super::stock::wasm_files;
use crate::runtime::cache::write_private;

/// One file as it was found.
pub struct Found {
    /// Of its bytes; else why they cannot be read.
    pub digest: String,
    /// How it looked.
    pub stamp: Option<Stamp>,
    /// Why it is no component.
    pub problem: Option<String>,
}

/// What the system says of a file, if it is old enough that a change since would show.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stamp {
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

/// A change within the same tick of the file system's clock would not show.
const TICK: Duration = Duration::from_secs(2);

impl Stamp {
    /// Of a file that was not touched lately. Whoever sets its times back still sets the time of that change.
    fn of(path: &Path) -> Option<Self> {
        use std::os::unix::fs::MetadataExt as _;
        let about = std::fs::metadata(path).ok()?;
        let changed = (about.ctime(), about.ctime_nsec());
        let at = SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(u64::try_from(changed.0).ok()?))?;
        let stamp =
            Self { inode: about.ino(), size: about.size(), modified: (about.mtime(), about.mtime_nsec()), changed };
        (at.elapsed().ok()? > TICK).then_some(stamp)
    }
}

/// What is known of each file: how it looked, and its digest.
pub type Known = BTreeMap<String, (Option<Stamp>, String)>;

/// Beside the last good bytes, in a folder that only the user can write. `.json` is nobody's ending there.
const INDEX: &str = "files.index";

/// What an earlier run knew of the files. Whatever is wrong with it, they are read.
pub fn read_index(good: &Path) -> Known {
    std::fs::read(good.join(INDEX)).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default()
}

/// Keeps it for the next run.
pub fn write_index(good: &Path, known: &Known) {
    let path = good.join(INDEX);
    if read_index(good) == *known {
        return;
    }
    if let Ok(json) = serde_json::to_vec(known) {
        // Without it the next start reads all files.
        let _ = write_private(&path, &json);
    }
}

/// Reads all files and keeps their bytes by digest, so that what is inspected is what is run. A file that did not change
/// since it was read last is not read again.
pub fn read_folder(folder: &Path, good: &Path, known: &Known) -> Result<BTreeMap<String, Found>> {
    let mut found = BTreeMap::new();
    for file in wasm_files(folder)? {
        let path = folder.join(&file);
        // Before the bytes: what changes while they are read shows the next time.
        let stamp = Stamp::of(&path);
        if let Some((before, digest)) = known.get(&file)
            && stamp.is_some()
            && stamp == *before
            && good.join(format!("{digest}.wasm")).exists()
        {
            found.insert(file, Found { digest: digest.clone(), stamp, problem: None });
            continue;
        }
        let row = match std::fs::read(&path) {
            Ok(bytes) => {
                let digest = digest(&bytes);
                let kept = good.join(format!("{digest}.wasm"));
                let problem = super::check_kind(&bytes).err().map(|error| format!("{error:#}"));
                if problem.is_none() && !kept.exists() {
                    write_private(&kept, &bytes)?;
                }
                Found { digest, stamp, problem }
            }
            // Gone between listing and reading.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
            Err(error) => {
                let problem = Some(format!("it cannot be read: {error}"));
                Found { digest: format!("unreadable:{error}"), stamp: None, problem }
            }
        };
        found.insert(file, row);
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    const COMPONENT: &[u8] = b"\0asm\x0d\0\x01\0";

    /// Long enough ago to be relied on.
    fn age(path: &Path) {
        let past = SystemTime::now() - Duration::from_secs(60);
        std::fs::File::options().append(true).open(path).unwrap().set_modified(past).unwrap();
    }

    #[test]
    fn a_file_that_was_touched_just_now_is_read_again_whatever_its_times_say() {
        let folder = tempfile::tempdir().unwrap();
        let (plugins, good) = (folder.path().join("plugins"), folder.path().join("good"));
        std::fs::create_dir_all(&plugins).unwrap();
        std::fs::create_dir_all(&good).unwrap();
        let path = plugins.join("a.wasm");
        std::fs::write(&path, COMPONENT).unwrap();
        age(&path);
        let found = read_folder(&plugins, &good, &Known::new()).unwrap();
        let first = &found["a.wasm"];
        // Setting its time back is a change, too.
        assert_eq!((first.stamp, first.digest.as_str()), (None, digest(COMPONENT).as_str()));
        let known = Known::from([("a.wasm".to_string(), (None, "another".to_string()))]);
        assert_eq!(read_folder(&plugins, &good, &known).unwrap()["a.wasm"].digest, digest(COMPONENT));
    }

    #[test]
    fn what_is_known_of_files_is_kept_for_the_next_run_and_nonsense_is_nothing() {
        let good = tempfile::tempdir().unwrap();
        let stamp = Stamp { inode: 1, size: 2, modified: (3, 4), changed: (5, 6) };
        let known = Known::from([("a.wasm".to_string(), (Some(stamp), "digest".to_string()))]);
        write_index(good.path(), &known);
        assert_eq!(read_index(good.path()), known);
        std::fs::write(good.path().join(INDEX), "{").unwrap();
        assert_eq!(read_index(good.path()), Known::new());
    }
}
