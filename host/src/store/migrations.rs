//! The format of the store: which tables a new one has, and how an older one is brought up to date, step by step.
//!
//! Format 1 is the first. A change that an older program could not live with gets the next number and a step here; a
//! table or a record's field that is only added needs neither. Before the first step the file is copied beside itself;
//! each step is one transaction, so a program that is killed in the middle goes on where it was.

use std::path::Path;

use redb::{Database, ReadableDatabase as _, TableHandle as _, WriteTransaction};

use super::error::{OpenError, StoreError};
use super::transaction::META;
use super::{approvals, contacts, grants, inbox, ledger, messages, outbox, sessions, state, usage};

/// What this program writes.
pub(super) const FORMAT: u64 = 1;
const FORMAT_KEY: &str = "format";

/// Brings the tables from one format to the next.
pub(super) type Step = fn(&WriteTransaction) -> Result<(), StoreError>;

/// The step at index `n` leads from format `n + FIRST` to the one after it.
const STEPS: &[Step] = &[];
const FIRST: u64 = 1;

/// Makes all tables of a new store.
pub(super) fn found(database: &Database, path: &Path) -> Result<(), OpenError> {
    write(database, |transaction| {
        make_tables(transaction)?;
        transaction.open_table(META)?.insert(FORMAT_KEY, FORMAT)?;
        Ok(())
    })
    .map_err(|error| failed(path, error))
}

/// Checks the format, and migrates when it is an older one.
pub(super) fn run(database: &Database, path: &Path) -> Result<(), OpenError> {
    migrate(database, path, FIRST, STEPS)?;
    let missing = tables_missing(database).map_err(|error| failed(path, error))?;
    if missing {
        write(database, make_tables).map_err(|error| failed(path, error))?;
    }
    Ok(())
}

/// From whatever format it has to `first + steps.len()`.
fn migrate(database: &Database, path: &Path, first: u64, steps: &[Step]) -> Result<(), OpenError> {
    let known = first.saturating_add(u64::try_from(steps.len()).unwrap_or(u64::MAX));
    let found = format(database, path)?;
    if found > known {
        return Err(OpenError::Newer { path: path.into(), found, known });
    }
    let stopped = |reason: String| OpenError::Migration { path: path.into(), found, known, reason };
    if found == known {
        return Ok(());
    }
    let Some(done) = found.checked_sub(first).and_then(|done| usize::try_from(done).ok()) else {
        return Err(stopped("that format is too old".into()));
    };
    keep_copy(path, found).map_err(|error| stopped(format!("it could not be copied first: {error}")))?;
    for (step, number) in steps.iter().skip(done).zip(found.saturating_add(1)..) {
        write(database, |transaction| {
            step(transaction)?;
            transaction.open_table(META)?.insert(FORMAT_KEY, number)?;
            Ok(())
        })
        .map_err(|error| stopped(error.to_string()))?;
    }
    Ok(())
}

fn format(database: &Database, path: &Path) -> Result<u64, OpenError> {
    let read = || -> Result<Option<u64>, StoreError> {
        match database.begin_read()?.open_table(META) {
            Ok(meta) => Ok(redb::ReadableTable::get(&meta, FORMAT_KEY)?.map(|value| value.value())),
            Err(redb::TableError::Storage(error)) => Err(error.into()),
            // No such table, or one of another shape: some other program's database.
            Err(_) => Ok(None),
        }
    };
    match super::guarded(read) {
        Ok(Some(format)) => Ok(format),
        Ok(None) => Err(OpenError::NotADatabase { path: path.into() }),
        Err(error) => Err(failed(path, error)),
    }
}

fn keep_copy(path: &Path, found: u64) -> std::io::Result<()> {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".format-{found}"));
    // Copies the mode too. The file is at rest: this process has the lock and has written nothing yet.
    std::fs::copy(path, &name)?;
    std::fs::File::open(&name)?.sync_all()
}

fn tables_missing(database: &Database) -> Result<bool, StoreError> {
    super::guarded(|| {
        let there: Vec<String> = database.begin_read()?.list_tables()?.map(|table| table.name().to_string()).collect();
        Ok(table_names().iter().any(|table| !there.iter().any(|name| name == table)))
    })
}

fn write(
    database: &Database,
    change: impl FnOnce(&WriteTransaction) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    super::guarded(|| {
        let mut transaction = database.begin_write()?;
        transaction.set_quick_repair(true);
        change(&transaction)?;
        Ok(transaction.commit()?)
    })
}

fn failed(path: &Path, error: StoreError) -> OpenError {
    match error {
        StoreError::Full => OpenError::Full { path: path.into() },
        StoreError::Corrupt(reason) => OpenError::Corrupt { path: path.into(), reason },
        other => OpenError::Io { path: path.into(), reason: other.to_string() },
    }
}

macro_rules! tables {
    ($($table:expr),* $(,)?) => {
        fn table_names() -> Vec<&'static str> {
            vec![$($table.name()),*]
        }

        /// A reader can't make a table, so all of them are made at once.
        fn make_tables(transaction: &WriteTransaction) -> Result<(), StoreError> {
            $(transaction.open_table($table)?;)*
            Ok(())
        }
    };
}

tables!(
    META,
    approvals::APPROVALS,
    approvals::CLOSED,
    approvals::DUE,
    approvals::OPEN,
    contacts::CONTACTS,
    contacts::PAIRINGS,
    grants::DIGESTS,
    grants::GRANTS,
    grants::LAST_GOOD,
    inbox::INBOX,
    inbox::SEEN.by_time,
    inbox::SEEN.records,
    inbox::TURNS,
    ledger::CHAIN,
    ledger::LEDGER,
    messages::MESSAGES,
    outbox::ATTEMPTS,
    outbox::OUTBOX,
    outbox::PLACES,
    outbox::RECEIPTS.by_time,
    outbox::RECEIPTS.records,
    outbox::SEEN.by_time,
    outbox::SEEN.records,
    outbox::UNDELIVERED,
    sessions::BY_INSTANCE,
    sessions::BY_TIME,
    sessions::CURRENT,
    sessions::SESSIONS,
    state::SIZES,
    state::STATE,
    usage::USAGE,
);

#[cfg(test)]
mod tests {
    use redb::{ReadableTable as _, TableDefinition};

    use super::*;

    /// An early format: one table of names without times.
    const NAMES: TableDefinition<&str, &str> = TableDefinition::new("names");
    const NAMES_AT: TableDefinition<(u64, &str), &str> = TableDefinition::new("names.at");

    fn early() -> (tempfile::TempDir, std::path::PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store.redb");
        let database = Database::create(&path).unwrap();
        write(&database, |transaction| {
            transaction.open_table(META)?.insert(FORMAT_KEY, 0)?;
            transaction.open_table(NAMES)?.insert("ann", "Ann")?;
            Ok(())
        })
        .unwrap();
        (folder, path)
    }

    fn add_times(transaction: &WriteTransaction) -> Result<(), StoreError> {
        let old = transaction.open_table(NAMES)?;
        let mut new = transaction.open_table(NAMES_AT)?;
        for entry in old.iter()? {
            let (id, name) = entry?;
            new.insert((1, id.value()), name.value())?;
        }
        Ok(())
    }

    fn drop_old(transaction: &WriteTransaction) -> Result<(), StoreError> {
        transaction.delete_table(NAMES)?;
        Ok(())
    }

    fn stumble(transaction: &WriteTransaction) -> Result<(), StoreError> {
        transaction.delete_table(NAMES)?;
        Err(StoreError::Full)
    }

    fn names(database: &Database) -> Vec<String> {
        let transaction = database.begin_read().unwrap();
        let table = transaction.open_table(NAMES_AT).unwrap();
        table.iter().unwrap().map(|entry| entry.unwrap().1.value().to_string()).collect()
    }

    #[test]
    fn the_steps_lead_to_the_current_format() {
        assert_eq!(FIRST + u64::try_from(STEPS.len()).unwrap(), FORMAT);
    }

    #[test]
    fn an_older_store_is_copied_and_brought_up_step_by_step() {
        let (_folder, path) = early();
        let database = Database::open(&path).unwrap();
        migrate(&database, &path, 0, &[add_times, drop_old]).unwrap();
        assert_eq!(format(&database, &path).unwrap(), 2);
        assert_eq!(names(&database), ["Ann"]);
        let copy = Database::open(path.with_file_name("store.redb.format-0")).unwrap();
        assert_eq!(format(&copy, &path).unwrap(), 0);
        let transaction = copy.begin_read().unwrap();
        assert_eq!(transaction.open_table(NAMES).unwrap().get("ann").unwrap().unwrap().value(), "Ann");
        // Nothing is left to do the next time.
        migrate(&database, &path, 0, &[add_times, drop_old]).unwrap();
    }

    #[test]
    fn a_step_that_fails_leaves_what_the_steps_before_it_reached() {
        let (_folder, path) = early();
        let database = Database::open(&path).unwrap();
        let error = migrate(&database, &path, 0, &[add_times, stumble]).unwrap_err();
        assert!(matches!(error, OpenError::Migration { found: 0, known: 2, .. }), "{error:?}");
        assert_eq!(format(&database, &path).unwrap(), 1);
        migrate(&database, &path, 0, &[add_times, drop_old]).unwrap();
        assert_eq!(format(&database, &path).unwrap(), 2);
        assert_eq!(names(&database), ["Ann"]);
    }

    #[test]
    fn a_store_older_than_the_first_step_is_refused() {
        let (_folder, path) = early();
        let database = Database::open(&path).unwrap();
        let error = run(&database, &path).unwrap_err();
        assert!(matches!(error, OpenError::Migration { found: 0, known: FORMAT, .. }), "{error:?}");
    }

    #[test]
    fn tables_that_were_added_later_are_made() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store.redb");
        let database = Database::create(&path).unwrap();
        write(&database, |transaction| {
            transaction.open_table(META)?.insert(FORMAT_KEY, FORMAT)?;
            Ok(())
        })
        .unwrap();
        assert!(tables_missing(&database).unwrap());
        run(&database, &path).unwrap();
        assert!(!tables_missing(&database).unwrap());
    }
}
