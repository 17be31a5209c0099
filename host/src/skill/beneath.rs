//! Opens files of a folder without following a link on the way, so that nothing leads out of it, also not what is
//! exchanged meanwhile.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::OwnedFd;
use std::path::{Component, Path};

use nix::errno::Errno;
use nix::fcntl::{OFlag, open, openat};
use nix::sys::stat::Mode;

/// An ordinary file at a relative path below the folder.
pub fn open_file(folder: &Path, relative: &Path) -> io::Result<File> {
    let links = OFlag::O_NOFOLLOW;
    let step = OFlag::O_DIRECTORY | links | OFlag::O_CLOEXEC;
    let mut names = Vec::new();
    for component in relative.components() {
        match component {
            Component::Normal(name) => names.push(name),
            Component::CurDir => (),
            _ => return Err(io::Error::new(io::ErrorKind::PermissionDenied, "it leads out of the folder")),
        }
    }
    let Some((file, folders)) = names.split_last() else {
        return Err(io::Error::new(io::ErrorKind::IsADirectory, "it is a folder"));
    };
    let mut at: OwnedFd = open(folder, step, Mode::empty())?;
    for name in folders {
        at = openat(&at, *name, step, Mode::empty()).map_err(said)?;
    }
    // Without waiting: it may be a pipe.
    let how = OFlag::O_RDONLY | links | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
    let file = File::from(openat(&at, *file, how, Mode::empty()).map_err(said)?);
    if !file.metadata()?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is no ordinary file"));
    }
    Ok(file)
}

fn said(error: Errno) -> io::Error {
    match error {
        Errno::ELOOP | Errno::ENOTDIR => io::Error::new(
            io::ErrorKind::PermissionDenied,
            "it is a link, or there is one on the way; links are not followed",
        ),
        error => error.into(),
    }
}

/// All of a file, if it is not longer than that.
pub fn read(file: File, most: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.take(most.saturating_add(1)).read_to_end(&mut bytes)?;
    if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > most {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("it is longer than {} KiB", most >> 10)));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_ordinary_files_below_the_folder_are_opened_and_no_link_is_followed() {
        let home = tempfile::tempdir().unwrap();
        let folder = home.path().join("skill");
        std::fs::create_dir_all(folder.join("sub")).unwrap();
        std::fs::write(home.path().join("secret"), "no").unwrap();
        std::fs::write(folder.join("sub/file"), "yes").unwrap();
        std::os::unix::fs::symlink("../secret", folder.join("link")).unwrap();
        std::os::unix::fs::symlink("..", folder.join("up")).unwrap();
        nix::unistd::mkfifo(&folder.join("pipe"), Mode::S_IRUSR).unwrap();
        let text = |path: &str| open_file(&folder, Path::new(path)).and_then(|file| read(file, 3));
        assert_eq!(text("./sub/file").unwrap(), b"yes");
        for path in ["link", "up/secret", "../secret", "/etc/passwd", "sub", "pipe", "", "sub/../../secret"] {
            assert!(text(path).is_err(), "{path}");
        }
        std::fs::write(folder.join("long"), "four").unwrap();
        assert_eq!(text("long").unwrap_err().to_string(), "it is longer than 0 KiB");
    }
}
