//! Files that are not what they should be: a clear error each time, no panic, and nothing is overwritten.

use std::os::unix::fs::PermissionsExt as _;

use redb::{Database, TableDefinition};

use super::*;

/// A closed database with two sessions of 200 messages, and its bytes.
fn sample() -> (TempDir, PathBuf, Vec<u8>) {
    let (folder, store) = fresh();
    for id in ["a", "b"] {
        write(&store, move |tx| {
            tx.session_start(&session(id, id, 1))?;
            for number in 0..200_u64 {
                tx.message_append(id, &said(format!("{id} says {number}"), number))?;
            }
            Ok(())
        })
        .unwrap();
    }
    store.close();
    let path = file_in(&folder);
    let bytes = std::fs::read(&path).unwrap();
    (folder, path, bytes)
}

fn open(path: &Path) -> Result<Store, OpenError> {
    Store::open(path, Options::default())
}

#[test]
fn an_empty_file_is_not_taken_for_a_first_start() {
    let (_folder, path, _) = sample();
    std::fs::write(&path, b"").unwrap();
    let error = open(&path).unwrap_err();
    assert!(matches!(error, OpenError::CutOff { length: 0, .. }), "{error:?}");
    assert_eq!(std::fs::read(&path).unwrap(), b"");
}

#[test]
fn a_file_of_something_else_is_refused_and_unchanged() {
    let (_folder, path, _) = sample();
    std::fs::write(&path, "just some notes\n".repeat(1_000)).unwrap();
    let error = open(&path).unwrap_err();
    assert_eq!(
        error.to_string(),
        format!(
            "{} is not a database of openpista-host; move it away to start with an empty store, or put your backup there",
            path.display()
        )
    );
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "just some notes\n".repeat(1_000));
}

#[test]
fn the_database_of_another_program_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("other.redb");
    let other = Database::create(&path).unwrap();
    let transaction = other.begin_write().unwrap();
    transaction.open_table(TableDefinition::<u64, u64>::new("meta")).unwrap().insert(1, 2).unwrap();
    transaction.commit().unwrap();
    drop(other);
    let error = open(&path).unwrap_err();
    assert!(matches!(error, OpenError::NotADatabase { .. }), "{error:?}");
}

#[test]
fn a_cut_off_database_is_refused_or_whole() {
    let (_folder, path, bytes) = sample();
    for part in 1..16 {
        let length = bytes.len() * part / 16;
        std::fs::write(&path, &bytes[..length]).unwrap();
        match open(&path) {
            Err(OpenError::CutOff { length: found, expected, .. }) => {
                assert_eq!(found, u64::try_from(length).unwrap());
                assert!(expected > found);
                assert!(std::fs::read(&path).unwrap() == bytes[..length], "cut at {length}: it was changed");
            }
            Err(other) => panic!("cut at {length} of {}: {other:?}", bytes.len()),
            // Only unused space was cut.
            Ok(store) => assert_eq!((texts(&store, "a").len(), texts(&store, "b").len()), (200, 200)),
        }
    }
    for length in [5, 20, 100, 4_000] {
        std::fs::write(&path, &bytes[..length]).unwrap();
        let error = open(&path).unwrap_err();
        assert!(matches!(error, OpenError::CutOff { .. }), "cut at {length}: {error:?}");
    }
}

#[test]
fn damaged_pages_are_errors_and_the_check_finds_what_reading_does_not() {
    let (_folder, path, bytes) = sample();
    let expected = |id: &str| (0..200).map(|number| format!("{id} says {number}")).collect::<Vec<_>>();
    let mut noticed = 0;
    for place in (0..bytes.len()).step_by(1_531) {
        let mut damaged = bytes.clone();
        for byte in damaged.iter_mut().skip(place).take(48) {
            *byte ^= 0x5a;
        }
        std::fs::write(&path, &damaged).unwrap();
        let Ok(store) = open(&path) else {
            noticed += 1;
            continue;
        };
        let read = ["a", "b"].map(|id| {
            store.read(|tx| {
                let all = tx.messages(id, 0, usize::MAX)?;
                Ok(all.into_iter().map(|stored| stored.message.text()).collect::<Vec<_>>())
            })
        });
        if read != [Ok(expected("a")), Ok(expected("b"))] {
            noticed += 1;
            let unreadable = read.iter().any(Result::is_err);
            assert!(unreadable || store.check() != Ok(true), "damage at {place} goes unnoticed");
        }
        // Whatever it is, the writer answers.
        let _ = write(&store, |tx| tx.message_append("a", &said("more", 999)));
    }
    assert!(noticed > 10, "only {noticed} damages were in pages that are in use");
}

#[test]
fn a_newer_format_is_refused_with_the_way_out() {
    let (_folder, path, _) = sample();
    let database = Database::open(&path).unwrap();
    let transaction = database.begin_write().unwrap();
    transaction.open_table(transaction::META).unwrap().insert("format", 99).unwrap();
    transaction.commit().unwrap();
    drop(database);
    assert_eq!(
        open(&path).unwrap_err().to_string(),
        format!(
            "{} was written by a newer openpista-host (format 99, this one knows 1); install that version or restore a \
             backup",
            path.display()
        )
    );
}

#[test]
fn a_file_in_place_of_the_folder_is_named_in_the_error() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("home"), "a file").unwrap();
    let error = open(&file_in(&folder)).unwrap_err();
    let home = folder.path().join("home");
    assert!(matches!(&error, OpenError::Io { path, .. } if *path == home), "{error:?}");
}

#[test]
fn a_folder_in_place_of_the_file_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(file_in(&folder)).unwrap();
    let error = open(&file_in(&folder)).unwrap_err();
    assert!(matches!(error, OpenError::NotADatabase { .. }), "{error:?}");
}

#[test]
fn only_the_user_can_read_what_is_stored() {
    let (folder, store) = fresh();
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&file_in(&folder)), mode(&folder.path().join("home"))), (0o600, 0o700));
    store.close();
    std::fs::set_permissions(file_in(&folder), std::fs::Permissions::from_mode(0o644)).unwrap();
    open(&file_in(&folder)).unwrap();
    assert_eq!(mode(&file_in(&folder)), 0o600);
    let names: Vec<_> =
        std::fs::read_dir(folder.path().join("home")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["store.redb"]);
}

#[test]
fn a_database_that_loses_its_pages_while_in_use_works_again_when_they_are_back() {
    let (_folder, path, _) = sample();
    let store = Store::open(&path, Options { cache: 0, ..Options::default() }).unwrap();
    let whole = std::fs::read(&path).unwrap();
    std::fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(8_192).unwrap();
    assert!(store.read(|tx| tx.messages("a", 0, usize::MAX)).is_err());
    assert!(write(&store, |tx| tx.message_append("a", &said("lost", 999))).is_err());
    assert!(store.read(|tx| tx.messages("a", 0, usize::MAX)).is_err());
    std::fs::write(&path, whole).unwrap();
    assert_eq!(texts(&store, "a").len(), 200);
    assert_eq!(write(&store, |tx| tx.message_append("a", &said("back", 999))), Ok(201));
    assert_eq!(store.check(), Ok(true));
}
