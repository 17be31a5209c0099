//! Files that earlier builds made are read as they were meant. They lie in `host/tests/store`, one for each format.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};

use super::queues::{approval, delivery, inbound};
use super::records::{everything, line};
use super::*;
use crate::message::Usage;

const FORMAT_1: &[u8] = include_bytes!("../../../tests/store/format-1.redb.gz");

fn turn() -> Turn {
    Turn { id: "t".into(), session: "s".into(), started: 6, round: 2, cancelled: true }
}

fn granted() -> Granted {
    Granted {
        allowed: BTreeMap::from([("http".into(), vec!["api.example.org".into()])]),
        denied: BTreeMap::from([("shell".into(), vec![])]),
    }
}

fn filled(session: &mut Session) {
    session.title = "Lamps".into();
    session.model = Some("cloud/m".into());
    session.allowed.push("system.run".into());
    session.compaction = Some(Compaction { upto: 1, summary: "a lamp".into() });
}

/// One of each kind of record.
fn fill(tx: &mut Writing<'_>) -> Result<(), StoreError> {
    tx.session_start(&session("s", "c", 1))?;
    tx.message_append("s", &everything())?;
    tx.session_change("s", filled)?;
    if let Accepted::New(key) = tx.inbox_accept(&inbound("c", "m1"), 5)? {
        tx.turn_set(&key, &turn())?;
    }
    for id in ["d1", "d2", "d3"] {
        tx.outbox_enqueue(&delivery("c", id), 5)?;
    }
    tx.outbox_delivered("web", "d1", Some("r1"), 6)?;
    tx.outbox_give_up("web", "d2", "blocked", 7)?;
    tx.outbox_failed("web", "d3", "no network", 8)?;
    tx.approval_put(&approval("a", "s", 50), 5)?;
    tx.state_apply("web", &BTreeMap::from([("k".into(), Some(vec![0, 255]))]), &BTreeMap::new())?;
    tx.grants_set("web", &granted())?;
    tx.grants_bind("web", "abc")?;
    tx.last_good_set("web.wasm", Some("abc"))?;
    tx.ledger_append(&line(1))
}

/// How the file of a format is made, once, by the last build that writes it: with the place in the variable.
#[test]
#[ignore = "makes the file that the test below reads"]
fn writes_the_file_of_this_format() {
    let (folder, store) = fresh();
    write(&store, fill).unwrap();
    store.close();
    let place = std::env::var_os("OPENPISTA_TEST_FORMAT_FILE").unwrap();
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    packed.write_all(&std::fs::read(file_in(&folder)).unwrap()).unwrap();
    std::fs::write(place, packed.finish().unwrap()).unwrap();
}

#[test]
fn a_store_of_format_1_is_read_and_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.redb");
    let mut bytes = Vec::new();
    flate2::read::GzDecoder::new(FORMAT_1).read_to_end(&mut bytes).unwrap();
    std::fs::write(&path, bytes).unwrap();
    let store = Store::open(&path, Options::default()).unwrap();
    store
        .read(|tx| {
            let mut expected = Session { updated: 5, last: 1, ..session("s", "c", 1) };
            expected.usage = everything().usage.unwrap();
            filled(&mut expected);
            assert_eq!(tx.sessions(Some("web"), None, 9)?, [expected.clone()]);
            assert_eq!(tx.session_current("web", "c")?, Some(expected));
            assert_eq!(tx.messages("s", 0, 9)?, [Stored { cursor: 1, message: everything() }]);
            let entry = tx.inbox_next("web", "c")?.unwrap();
            assert_eq!((entry.inbound, entry.accepted, entry.turn), (inbound("c", "m1"), 5, Some(turn())));
            let attempts = Attempts { failed: 1, next: 8, error: "no network".into() };
            let queued = Queued { delivery: delivery("c", "d3"), queued: 5, attempts };
            assert_eq!(tx.outbox(None, 9)?, [queued]);
            assert_eq!(tx.undelivered(None, 9)?.len(), 1);
            assert_eq!(tx.receipt("web", "t")?, Some("r1".into()));
            assert_eq!(tx.approvals_open_all()?, [approval("a", "s", 50)]);
            assert_eq!(tx.state_get("web", "k")?, Some(vec![0, 255]));
            assert_eq!((tx.grants("web")?, tx.grants_digest("web")?), (Some(granted()), Some("abc".into())));
            assert_eq!(tx.last_good("web.wasm")?, Some("abc".into()));
            assert_eq!(tx.ledger(&LedgerFilter::default(), None, 9)?.lines, [(1, line(1))]);
            assert_eq!(tx.ledger_verify()?, LedgerCheck::Whole(1));
            let usage: Vec<Usage> = tx.usage(0, u64::MAX)?.into_iter().map(|day| day.usage).collect();
            assert_eq!(usage, [everything().usage.unwrap()]);
            Ok(())
        })
        .unwrap();
    let seen =
        write(&store, |tx| Ok((tx.inbox_accept(&inbound("c", "m1"), 9)?, tx.outbox_enqueue(&delivery("c", "d1"), 9)?)));
    assert_eq!(seen, Ok((Accepted::Duplicate, false)));
    assert_eq!(write(&store, |tx| tx.message_append("s", &said("more", 9))), Ok(2));
}
