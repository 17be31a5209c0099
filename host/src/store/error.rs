//! What can go wrong with the store, in words that say what to do, and how redb's errors become them.

use std::path::{Path, PathBuf};

/// Why the store could not be opened. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has it.
    #[error(
        "{} is in use by another openpista-host; end that one (openpista-host quit) or choose another home", path.display()
    )]
    Locked {
        /// The database.
        path: PathBuf,
    },
    /// The file is something else.
    #[error(
        "{} is not a database of openpista-host; move it away to start with an empty store, or put your backup there",
        path.display()
    )]
    NotADatabase {
        /// The file.
        path: PathBuf,
    },
    /// The end of the file is missing.
    #[error(
        "{} is cut off: it has {length} bytes and should have at least {expected}; restore it from a backup, or move it \
         away to start with an empty store",
        path.display()
    )]
    CutOff {
        /// The database.
        path: PathBuf,
        /// What is there, in bytes.
        length: u64,
        /// What its own header says, in bytes.
        expected: u64,
    },
    /// It can't be read.
    #[error(
        "{} is damaged ({reason}); restore it from a backup, or move it away to start with an empty store", path.display()
    )]
    Corrupt {
        /// The database.
        path: PathBuf,
        /// What was found.
        reason: String,
    },
    /// A later version wrote it.
    #[error(
        "{} was written by a newer openpista-host (format {found}, this one knows {known}); install that version or \
         restore a backup",
        path.display()
    )]
    Newer {
        /// The database.
        path: PathBuf,
        /// Its format.
        found: u64,
        /// The newest one that this program reads.
        known: u64,
    },
    /// An older version wrote it and it could not be brought up to date.
    #[error("{} has format {found}, which could not be brought to format {known}: {reason}; install the version that wrote it, or restore a backup", path.display())]
    Migration {
        /// The database.
        path: PathBuf,
        /// Its format.
        found: u64,
        /// The format that is wanted.
        known: u64,
        /// What failed.
        reason: String,
    },
    /// The file or its folder refuses.
    #[error("no permission for {}: {reason}; give your user read and write access to it, or choose another home", path.display())]
    Denied {
        /// The file or folder.
        path: PathBuf,
        /// As the system says it.
        reason: String,
    },
    /// No space left.
    #[error("the disk is full, {} can't be opened; free some space and start again", path.display())]
    Full {
        /// The database.
        path: PathBuf,
    },
    /// Else.
    #[error("{} can't be opened: {reason}; check the folder and the disk", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// As the system says it.
        reason: String,
    },
}

/// Why something was not read or stored. Of a write: nothing of it is stored.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// `close` was called.
    #[error("the store is closed, openpista-host is about to end; nothing was stored")]
    Closed,
    /// Too many unimportant writes wait.
    #[error("the disk does not keep up and the store's queue is full; this note was not stored")]
    Busy,
    /// No space left.
    #[error("the disk is full, nothing was stored; free some space and try again")]
    Full,
    /// A damaged page or a record that can't be read.
    #[error("the store is damaged: {0}; see openpista-host doctor, and restore a backup")]
    Corrupt(String),
    /// The system says no.
    #[error("the store can't be read or written: {0}; check the disk")]
    Io(String),
    /// A record could not be put into bytes.
    #[error("a record can't be stored: {0}")]
    Encode(String),
    /// What a state write expected is no longer so.
    #[error("the state {key} of {instance} was changed by another call meanwhile; nothing was stored")]
    Conflict {
        /// The channel, provider or tool instance.
        instance: String,
        /// Which of its keys.
        key: String,
    },
    /// An instance's state would get too large.
    #[error("the state of {instance} may have {most} bytes and would have {size}; remove some of it first")]
    TooLarge {
        /// The instance.
        instance: String,
        /// What it would be, in bytes.
        size: u64,
        /// The limit, in bytes.
        most: u64,
    },
    /// There is none.
    #[error("there is no {what} {id}")]
    NotFound {
        /// `session`, `inbox entry`, …
        what: &'static str,
        /// What was looked for.
        id: String,
    },
    /// A shortened id fits several.
    #[error("{prefix} is the beginning of more than one {what} id; type more of it")]
    Ambiguous {
        /// `session`, …
        what: &'static str,
        /// What was looked for.
        prefix: String,
    },
    /// The caller's own reason to store nothing.
    #[error("{0}")]
    Refused(String),
}

/// `ENOSPC`, a quota, or a limit on file sizes.
pub(super) fn no_space(error: &std::io::Error) -> bool {
    use std::io::ErrorKind;
    matches!(error.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge)
}

impl From<redb::StorageError> for StoreError {
    fn from(error: redb::StorageError) -> Self {
        use redb::StorageError as S;
        match error {
            S::Corrupted(what) => Self::Corrupt(what),
            S::ValueTooLarge(size) => Self::Encode(format!("{size} bytes are more than a record may have")),
            S::Io(error) if no_space(&error) => Self::Full,
            S::Io(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => {
                Self::Corrupt("the file ends too early".into())
            }
            S::Io(error) => Self::Io(error.to_string()),
            S::PreviousIo | S::DatabaseClosed => Self::Io(REOPEN.into()),
            other => Self::Io(other.to_string()),
        }
    }
}

/// What a handle says after an earlier failure, until the writer has opened the file again.
const REOPEN: &str = "an earlier read or write failed";

impl StoreError {
    /// Whether the database handle must be opened again before anything else works.
    pub(super) fn needs_reopening(&self) -> bool {
        matches!(self, Self::Full | Self::Io(_))
    }
}

macro_rules! through_redb {
    ($($error:ty),*) => {
        $(impl From<$error> for StoreError {
            fn from(error: $error) -> Self {
                match redb::Error::from(error) {
                    redb::Error::Io(error) => redb::StorageError::Io(error).into(),
                    redb::Error::Corrupted(what) => Self::Corrupt(what),
                    redb::Error::PreviousIo => redb::StorageError::PreviousIo.into(),
                    redb::Error::DatabaseClosed => redb::StorageError::DatabaseClosed.into(),
                    other @ (redb::Error::TableTypeMismatch { .. }
                    | redb::Error::TypeDefinitionChanged { .. }
                    | redb::Error::TableDoesNotExist(_)) => Self::Corrupt(other.to_string()),
                    other => Self::Io(other.to_string()),
                }
            }
        })*
    };
}
through_redb!(redb::TableError, redb::TransactionError, redb::CommitError, redb::SetDurabilityError);

/// Sorts what the system says about a file or folder.
pub(super) fn of_io(path: &Path, error: &std::io::Error) -> OpenError {
    let path = path.to_path_buf();
    if no_space(error) {
        return OpenError::Full { path };
    }
    match error.kind() {
        std::io::ErrorKind::PermissionDenied | std::io::ErrorKind::ReadOnlyFilesystem => {
            OpenError::Denied { path, reason: error.to_string() }
        }
        _ => OpenError::Io { path, reason: error.to_string() },
    }
}

/// The words of a panic.
pub(super) fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
    text.unwrap_or("an unreadable page").to_string()
}
