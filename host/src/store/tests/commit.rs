//! One writer for many callers.

use std::sync::mpsc;

use super::*;

/// Makes everything that is queued until `release` is sent or dropped share one batch.
fn hold(store: &Store) -> mpsc::Sender<()> {
    let (release, released) = mpsc::channel::<()>();
    let (started, begun) = mpsc::channel();
    drop(store.write(move |_| {
        let _ = started.send(());
        let _ = released.recv();
        Ok(())
    }));
    begun.recv().unwrap();
    release
}

#[test]
fn writes_that_come_during_a_commit_share_the_next_one() {
    let (_folder, store) = fresh();
    write(&store, |tx| tx.session_start(&session("s", "c", 1))).unwrap();
    let before = store.read(|tx| tx.batch()).unwrap();
    let release = hold(&store);
    let many: Vec<_> =
        (0..50).map(|number| store.write(move |tx| tx.message_append("s", &said(number.to_string(), 2)))).collect();
    drop(release);
    let cursors: Vec<u64> = many.into_iter().map(|one| wait(one).unwrap()).collect();
    assert_eq!(cursors, (1..=50).collect::<Vec<u64>>());
    assert_eq!(store.read(|tx| tx.batch()).unwrap(), before + 1);
    assert_eq!(texts(&store, "s"), (0..50).map(|number| number.to_string()).collect::<Vec<_>>());
}

#[test]
fn a_change_that_fails_after_writing_takes_only_itself_out() {
    let (_folder, store) = fresh();
    write(&store, |tx| tx.session_start(&session("s", "c", 1))).unwrap();
    let before = store.read(|tx| tx.batch()).unwrap();
    let release = hold(&store);
    let first = store.write(|tx| tx.message_append("s", &said("first", 2)));
    let bad = store.write(|tx| {
        tx.message_append("s", &said("never", 2))?;
        Err::<(), _>(StoreError::Refused("no".into()))
    });
    let early = store.write(|_| Err::<(), _>(StoreError::Refused("before writing".into())));
    let panics = store.write(|tx| {
        tx.message_append("s", &said("never either", 2))?;
        let nothing: Option<u64> = tx.messages("nowhere", 0, 1)?.first().map(|stored| stored.cursor);
        Ok(nothing.unwrap())
    });
    let last = store.write(|tx| tx.message_append("s", &said("last", 2)));
    drop(release);
    assert_eq!(wait(first), Ok(1));
    assert_eq!(wait(bad), Err(StoreError::Refused("no".into())));
    assert_eq!(wait(early), Err(StoreError::Refused("before writing".into())));
    assert_eq!(wait(panics), Err(StoreError::Corrupt("called `Option::unwrap()` on a `None` value".into())));
    assert_eq!(wait(last), Ok(2));
    assert_eq!(texts(&store, "s"), ["first", "last"]);
    assert_eq!(store.read(|tx| tx.batch()).unwrap(), before + 1);
    assert_eq!(store.check(), Ok(true));
}

#[test]
fn reading_and_failing_alone_commits_nothing() {
    let (_folder, store) = fresh();
    let before = store.read(|tx| tx.batch()).unwrap();
    assert_eq!(write(&store, |tx| tx.sessions_count()), Ok(0));
    let missing = write(&store, |tx| tx.message_append("nowhere", &said("x", 1)));
    assert_eq!(missing, Err(StoreError::NotFound { what: "session", id: "nowhere".into() }));
    assert_eq!(store.read(|tx| tx.batch()).unwrap(), before);
}

#[test]
fn a_write_happens_even_if_nobody_waits_for_it() {
    let (_folder, store) = fresh();
    drop(store.write(|tx| tx.session_start(&session("s", "c", 1))));
    wait(store.flush()).unwrap();
    assert_eq!(store.read(|tx| tx.sessions_count()), Ok(1));
}

#[test]
fn notes_ride_along_and_are_there_after_closing() {
    let (folder, store) = fresh();
    for at in 0..10 {
        store.write_later(move |tx| tx.ledger_append(&LedgerLine { at, ..LedgerLine::default() })).unwrap();
    }
    store.close();
    store.close();
    assert_eq!(store.write_later(|_| Ok(())), Err(StoreError::Closed));
    assert_eq!(write(&store, |_| Ok(())), Err(StoreError::Closed));
    assert_eq!(store.check(), Err(StoreError::Closed));
    assert!(store.read(|tx| tx.batch()).is_err());
    let again = Store::open(file_in(&folder), Options::default()).unwrap();
    assert_eq!(again.read(|tx| tx.ledger_verify()), Ok(LedgerCheck::Whole(10)));
    assert_eq!(again.read(|tx| tx.batch()), Ok(1));
}

#[test]
fn notes_alone_are_stored_without_anyone_asking() {
    let (_folder, store) = fresh();
    let (stored, seen) = mpsc::channel();
    store
        .write_later(move |tx| {
            let _ = stored.send(());
            tx.ledger_append(&LedgerLine::default())
        })
        .unwrap();
    seen.recv().unwrap();
    wait(store.flush()).unwrap();
    assert_eq!(store.read(|tx| tx.ledger_verify()), Ok(LedgerCheck::Whole(1)));
}

#[test]
fn too_many_notes_are_refused_and_writes_are_not() {
    let (_folder, store) = fresh();
    let release = hold(&store);
    let refused = (0..10_001).filter(|_| store.write_later(|_| Ok(())) == Err(StoreError::Busy)).count();
    assert_eq!(refused, 1);
    let written = store.write(|tx| tx.session_start(&session("s", "c", 1)));
    drop(release);
    wait(written).unwrap();
    assert_eq!(store.write_later(|_| Ok(())), Ok(()));
}

#[test]
fn the_last_hold_may_go_inside_a_change() {
    let (folder, store) = fresh();
    let (gone, went) = mpsc::channel();
    let mut held = Some(store.clone());
    let written = store.write(move |tx| {
        tx.session_ensure("web", "c", &ann(), 1)?;
        held.take();
        let _ = gone.send(());
        Ok(())
    });
    went.recv().unwrap();
    wait(written).unwrap();
    store.close();
    let again = Store::open(file_in(&folder), Options::default()).unwrap();
    assert_eq!(again.read(|tx| tx.sessions_count()), Ok(1));
}

#[test]
fn a_reader_sees_one_state_while_others_write() {
    let (_folder, store) = fresh();
    write(&store, |tx| tx.session_start(&session("s", "c", 1))).unwrap();
    let (before, after) = store
        .read(|tx| {
            let before = tx.messages_count("s")?;
            write(&store, |tx| tx.message_append("s", &said("meanwhile", 2)))?;
            Ok((before, tx.messages_count("s")?))
        })
        .unwrap();
    assert_eq!((before, after), (0, 0));
    assert_eq!(store.read(|tx| tx.messages_count("s")), Ok(1));
}
