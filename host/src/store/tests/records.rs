//! What is kept: sessions, messages, the state of plugins, grants, the ledger. What is put in comes out, in order, once,
//! and goes when it should.

use std::collections::BTreeMap;
use std::io::Cursor;

use bytes::Bytes;

use super::queues::{accept, approval, inbound, taken};
use super::*;
use crate::message::{Content, Extension, Media, Part, Replay, ToolCall, ToolOutcome, Usage};

const DAY: u64 = 24 * 60 * 60 * 1_000;

fn ids(sessions: &[Session]) -> Vec<&str> {
    sessions.iter().map(|session| session.id.as_str()).collect()
}

// Sessions.

#[test]
fn a_conversation_has_one_current_session_and_the_old_ones_stay_listed() {
    let (_folder, store) = fresh();
    let first = write(&store, |tx| tx.session_ensure("web", "c", &ann(), 1)).unwrap();
    assert_eq!(write(&store, |tx| tx.session_ensure("web", "c", &ann(), 5)), Ok(first.clone()));
    let second = session("second", "c", 2);
    let started = second.clone();
    write(&store, move |tx| tx.session_start(&started)).unwrap();
    store
        .read(|tx| {
            assert_eq!(tx.session_current("web", "c")?, Some(second.clone()));
            assert_eq!(tx.session_current("web", "other")?, None);
            assert_eq!(tx.session_current("other", "c")?, None);
            assert_eq!(tx.session(&first.id)?, Some(first.clone()));
            assert_eq!(tx.sessions(None, None, 10)?, [second.clone(), first.clone()]);
            assert_eq!(tx.sessions(Some("web"), None, 10)?, [second.clone(), first.clone()]);
            assert_eq!(tx.sessions(Some("other"), None, 10)?, []);
            Ok(())
        })
        .unwrap();
}

#[test]
fn pages_of_sessions_skip_nobody_even_with_equal_times() {
    let (_folder, store) = fresh();
    write(&store, |tx| {
        for (id, at) in [("a", 1), ("b", 2), ("c", 2), ("d", 2), ("e", 3)] {
            tx.session_start(&session(id, id, at))?;
        }
        tx.session_start(&Session { instance: "console".into(), ..session("z", "z", 9) })
    })
    .unwrap();
    for instance in [Some("web"), None] {
        let page = |before, limit| store.read(|tx| tx.sessions(instance, before, limit)).unwrap();
        assert_eq!(ids(&page(Some(9), 2)), ["e", "d", "c", "b"]);
        assert_eq!(ids(&page(Some(2), 2)), ["a"]);
        assert_eq!(ids(&page(Some(1), 2)), <[&str; 0]>::default());
        assert_eq!(ids(&page(None, 0)), <[&str; 0]>::default());
    }
    assert_eq!(ids(&store.read(|tx| tx.sessions(None, None, 1)).unwrap()), ["z"]);
    assert_eq!(ids(&store.read(|tx| tx.sessions(Some("web"), None, 1)).unwrap()), ["e"]);
}

#[test]
fn a_message_moves_its_session_to_the_front() {
    let (_folder, store) = fresh();
    write(&store, |tx| {
        tx.session_start(&session("a", "a", 1))?;
        tx.session_start(&session("b", "b", 2))?;
        tx.message_append("a", &said("hello", 3))
    })
    .unwrap();
    for instance in [Some("web"), None] {
        assert_eq!(ids(&store.read(|tx| tx.sessions(instance, None, 9)).unwrap()), ["a", "b"]);
    }
}

#[test]
fn what_is_known_of_a_session_changes_and_what_makes_it_itself_does_not() {
    let (_folder, store) = fresh();
    write(&store, |tx| tx.session_start(&session("a", "a", 1))).unwrap();
    let changed = write(&store, |tx| {
        tx.session_change("a", |session| {
            session.title = "Blue lamps".into();
            session.model = Some("acme/small".into());
            session.allowed.push("system.run".into());
            session.compaction = Some(Compaction { upto: 4, summary: "lamps".into() });
            session.updated = 7;
            session.id = "other".into();
            session.conversation = "other".into();
            session.last = 99;
        })
    })
    .unwrap();
    let expected = Session {
        title: "Blue lamps".into(),
        model: Some("acme/small".into()),
        allowed: vec!["system.run".into()],
        compaction: Some(Compaction { upto: 4, summary: "lamps".into() }),
        updated: 7,
        ..session("a", "a", 1)
    };
    assert_eq!(changed, expected);
    assert_eq!(store.read(|tx| tx.sessions(None, None, 9)), Ok(vec![expected]));
    let missing = write(&store, |tx| tx.session_change("x", |session| session.title = "x".into()));
    assert_eq!(missing, Err(StoreError::NotFound { what: "session", id: "x".into() }));
}

#[test]
fn a_session_is_found_by_the_beginning_of_its_id_if_that_fits_one() {
    let (_folder, store) = fresh();
    write(&store, |tx| {
        for id in ["abc", "abd", "ab", "xyz"] {
            tx.session_start(&session(id, id, 1))?;
        }
        Ok(())
    })
    .unwrap();
    let find = |prefix: &str| store.read(|tx| tx.session_find(prefix)).map(|found| found.id);
    assert_eq!(find("x"), Ok("xyz".into()));
    assert_eq!(find("ab"), Ok("ab".into()));
    assert_eq!(find("abd"), Ok("abd".into()));
    assert_eq!(find("a"), Err(StoreError::Ambiguous { what: "session", prefix: "a".into() }));
    for none in ["b", "abcd", "z", ""] {
        assert_eq!(find(none), Err(StoreError::NotFound { what: "session", id: none.into() }));
    }
}

#[test]
fn a_deleted_session_takes_its_messages_and_approvals_along() {
    let (_folder, store) = fresh();
    write(&store, |tx| {
        for id in ["a", "b"] {
            tx.session_start(&session(id, id, 1))?;
            tx.message_append(id, &said("hello", 2))?;
        }
        tx.approval_put(&approval("open", "a", 50), 2)?;
        tx.approval_put(&approval("closed", "a", 50), 2)?;
        tx.approval_withdraw("closed", 3)?;
        tx.approval_put(&approval("other", "b", 50), 2)
    })
    .unwrap();
    assert_eq!(write(&store, |tx| tx.session_delete("a")), Ok(true));
    assert_eq!(write(&store, |tx| tx.session_delete("a")), Ok(false));
    store
        .read(|tx| {
            assert_eq!(tx.session("a")?, None);
            assert_eq!(tx.session_current("web", "a")?, None);
            assert_eq!(ids(&tx.sessions(None, None, 9)?), ["b"]);
            assert_eq!(ids(&tx.sessions(Some("web"), None, 9)?), ["b"]);
            assert_eq!(tx.messages("a", 0, 9)?, []);
            assert_eq!(tx.messages("b", 0, 9)?.len(), 1);
            assert_eq!((tx.approval("open")?, tx.approval("closed")?), (None, None));
            assert_eq!(tx.approvals_open_all()?, [approval("other", "b", 50)]);
            Ok(())
        })
        .unwrap();
    assert_eq!(write(&store, |tx| tx.approvals_expire(99, 9)), Ok(vec![approval("other", "b", 50)]));
}

#[test]
fn deleting_an_old_session_leaves_the_current_one() {
    let (_folder, store) = fresh();
    write(&store, |tx| {
        tx.session_start(&session("old", "c", 1))?;
        tx.session_start(&session("new", "c", 2))?;
        tx.session_delete("old")
    })
    .unwrap();
    assert_eq!(store.read(|tx| tx.session_current("web", "c")), Ok(Some(session("new", "c", 2))));
}

// Messages.

pub(super) fn picture() -> Media {
    Media { mime: "image/png".into(), name: Some("lamp.png".into()), data: Bytes::from(vec![0xff; 3_000]) }
}

/// One of everything that a message can have.
pub(super) fn everything() -> Message {
    let outcome = ToolOutcome {
        id: "1".into(),
        name: "system.run".into(),
        content: vec![
            Content::Text("ok".into()),
            Content::Media(picture()),
            Content::Json("{}".into()),
            Content::Other(Extension { kind: "x.y".into(), data: "1".into() }),
        ],
        failed: true,
    };
    let call = ToolCall { id: "1".into(), name: "system.run".into(), arguments: "{\"broken".into() };
    let bodies = [
        Body::Text("Blue Lamp".into()),
        Body::Media(picture()),
        Body::Reasoning("hm".into()),
        Body::Call(call),
        Body::Outcome(outcome),
        Body::Other(Extension { kind: "x.y".into(), data: "1".into() }),
    ];
    let mut parts: Vec<Part> = bodies.into_iter().map(Part::from).collect();
    parts[2].replay = Some(Replay { instance: "cloud".into(), data: Bytes::from_static(&[1, 2, 3]) });
    Message {
        role: Role::Assistant,
        parts,
        at: 5,
        turn: Some("t".into()),
        model: Some("cloud/m".into()),
        usage: Some(Usage { input: 10, output: 5, cache_read: 3, cache_write: 1, cost: Some(7) }),
    }
}

#[test]
fn messages_come_back_as_they_were_in_order() {
    let (_folder, store) = fresh();
    write(&store, |tx| {
        tx.session_start(&session("a", "a", 1))?;
        assert_eq!(tx.message_append("a", &said("one", 2))?, 1);
        assert_eq!(tx.message_append("a", &everything())?, 2);
        assert_eq!(tx.message_append("a", &said("three", 4))?, 3);
        Ok(())
    })
    .unwrap();
    let one = Stored { cursor: 1, message: said("one", 2) };
    let two = Stored { cursor: 2, message: everything() };
    let three = Stored { cursor: 3, message: said("three", 4) };
    store
        .read(|tx| {
            assert_eq!(tx.messages("a", 0, 9)?, [one.clone(), two.clone(), three.clone()]);
            assert_eq!(tx.messages("a", 1, 1)?, std::slice::from_ref(&two));
            assert_eq!(tx.messages("a", 3, 9)?, []);
            assert_eq!(tx.message("a", 2)?, Some(everything()));
            assert_eq!(tx.message("a", 4)?, None);
            assert_eq!(tx.messages_count("a")?, 3);
            let session = tx.session("a")?.unwrap();
            assert_eq!((session.updated, session.usage), (5, everything().usage.unwrap()));
            Ok(())
        })
        .unwrap();
}

#[test]
fn files_are_stored_as_bytes_and_exported_as_base64() {
    let stored = transaction::encode(&picture()).unwrap();
    assert!(stored.len() < 3_000 + 64, "{} bytes", stored.len());
    assert_eq!(transaction::decode::<Media>("x", &stored), Ok(picture()));
    let media = Media { data: Bytes::from_static(b"\xfflamp"), ..picture() };
    let json = serde_json::to_value(&media).unwrap();
    assert_eq!(json, serde_json::json!({"mime": "image/png", "name": "lamp.png", "data": "/2xhbXA="}));
    assert_eq!(serde_json::from_value::<Media>(json).unwrap(), media);
}

#[test]
fn a_record_of_an_earlier_build_without_the_newer_fields_is_read() {
    #[derive(serde::Serialize)]
    struct Early {
        id: String,
        instance: String,
        conversation: String,
        owner: Sender,
        created: u64,
        updated: u64,
    }
    let early = Early {
        id: "a".into(),
        instance: "web".into(),
        conversation: "a".into(),
        owner: ann(),
        created: 1,
        updated: 1,
    };
    let bytes = transaction::encode(&early).unwrap();
    assert_eq!(transaction::decode::<Session>("sessions", &bytes), Ok(session("a", "a", 1)));
}

#[test]
fn a_search_finds_words_in_any_case_newest_first() {
    let (_folder, store) = fresh();
    write(&store, |tx| {
        for (id, at) in [("a", 1), ("b", 2)] {
            tx.session_start(&session(id, id, at))?;
            for number in 0..3 {
                tx.message_append(id, &said(format!("{id}{number}: the BLUE lamp"), at))?;
            }
            tx.message_append(id, &said("nothing of it", at))?;
        }
        tx.session_start(&Session { instance: "console".into(), ..session("z", "z", 9) })?;
        tx.message_append("z", &said("a blue lamp too", 9))
    })
    .unwrap();
    let places = |instance: Option<&str>, session: Option<&str>, limit| {
        let found = store.read(|tx| tx.messages_search("Blue Lamp", instance, session, limit)).unwrap();
        let places: Vec<String> = found.hits.iter().map(|hit| format!("{}{}", hit.session, hit.cursor)).collect();
        (places.join(" "), found.complete)
    };
    assert_eq!(places(None, None, 99), ("z1 b3 b2 b1 a3 a2 a1".into(), true));
    assert_eq!(places(Some("web"), None, 99), ("b3 b2 b1 a3 a2 a1".into(), true));
    assert_eq!(places(None, Some("a"), 99), ("a3 a2 a1".into(), true));
    assert_eq!(places(None, None, 2), ("z1 b3".into(), false));
    assert_eq!(places(None, Some("nowhere"), 2), (String::new(), true));
    let hit = store.read(|tx| tx.messages_search("blue LAMP", None, Some("a"), 1)).unwrap().hits;
    let excerpt = "a2: the BLUE lamp".to_string();
    assert_eq!(hit, [Hit { session: "a".into(), cursor: 3, role: Role::User, at: 1, excerpt }]);
    assert_eq!(store.read(|tx| tx.messages_search("", None, None, 9)).unwrap().hits, []);
}

#[test]
fn an_exported_session_comes_back_whole_under_a_new_id() {
    let (_folder, store) = fresh();
    write(&store, |tx| {
        tx.session_start(&session("a", "a", 1))?;
        for number in 0..120 {
            tx.message_append("a", &said(number.to_string(), 2))?;
        }
        tx.message_append("a", &everything())?;
        tx.session_change("a", |session| {
            session.allowed.push("system.run".into());
            session.compaction = Some(Compaction { upto: 7, summary: "numbers".into() });
        })
    })
    .unwrap();
    let mut lines = Vec::new();
    store
        .read(|tx| {
            lines.clear();
            tx.session_export("a", &mut lines)
        })
        .unwrap();
    assert_eq!(lines.iter().filter(|byte| **byte == b'\n').count(), 122);

    let imported = session_import(Cursor::new(&lines)).unwrap();
    let copy = write(&store, move |tx| tx.session_import(&imported)).unwrap();
    store
        .read(|tx| {
            let original = tx.session("a")?.unwrap();
            let expected = Session { id: copy.id.clone(), allowed: vec![], ..original.clone() };
            assert_eq!(tx.session(&copy.id)?, Some(expected));
            assert_ne!(copy.id, "a");
            assert_eq!(tx.messages(&copy.id, 0, 999)?, tx.messages("a", 0, 999)?);
            assert_eq!(tx.session_current("web", "a")?, Some(original));
            assert_eq!(tx.sessions(None, None, 9)?.len(), 2);
            Ok(())
        })
        .unwrap();
}

#[test]
fn what_is_not_an_exported_session_is_refused_with_its_line() {
    let refused = |text: &str| session_import(Cursor::new(text)).unwrap_err().to_string();
    assert_eq!(refused(""), "line 1 is not of an exported session: there is nothing in it");
    assert!(refused("\n{}").starts_with("line 2 is not of an exported session: missing field"), "{}", refused("\n{}"));
    let head = serde_json::json!({"format": "openpista-session-1", "session": session("a", "a", 1)}).to_string();
    assert!(refused(&format!("{head}\nhello")).starts_with("line 2 is not of an exported session: expected value"));
    let other = head.replace("session-1", "session-9");
    assert!(refused(&other).ends_with("its format is openpista-session-9, this version reads openpista-session-1"));
    assert_eq!(session_import(Cursor::new(head)).unwrap().messages, []);
}

// State of plugins.

type Map = BTreeMap<String, Option<Vec<u8>>>;

fn map(entries: &[(&str, Option<&[u8]>)]) -> Map {
    entries.iter().map(|(key, value)| ((*key).to_string(), value.map(<[u8]>::to_vec))).collect()
}

fn apply(store: &Store, instance: &'static str, set: Map, expected: Map) -> Result<(), StoreError> {
    write(store, move |tx| tx.state_apply(instance, &set, &expected))
}

#[test]
fn state_is_written_removed_and_listed_for_each_instance() {
    let (_folder, store) = fresh();
    let some: Option<&[u8]> = Some(b"1");
    apply(&store, "web", map(&[("a", some), ("b:1", some), ("b:2", some), ("b:3", some), ("c", some)]), Map::new())
        .unwrap();
    apply(&store, "we", map(&[("z", Some(b"22"))]), Map::new()).unwrap();
    apply(&store, "web", map(&[("b:2", None), ("nowhere", None), ("a", Some(b"333"))]), Map::new()).unwrap();
    store
        .read(|tx| {
            assert_eq!(tx.state_get("web", "a")?, Some(b"333".to_vec()));
            assert_eq!(tx.state_get("web", "b:2")?, None);
            assert_eq!(tx.state_get("we", "a")?, None);
            assert_eq!(tx.state_keys("web", "", None, 9)?, ["a", "b:1", "b:3", "c"]);
            assert_eq!(tx.state_keys("web", "b:", None, 9)?, ["b:1", "b:3"]);
            assert_eq!(tx.state_keys("web", "b:", Some("b:1"), 9)?, ["b:3"]);
            assert_eq!(tx.state_keys("web", "b:", Some("a"), 1)?, ["b:1"]);
            assert_eq!(tx.state_keys("web", "b:", Some("c"), 9)?, <[String; 0]>::default());
            assert_eq!(tx.state_keys("we", "", None, 9)?, ["z"]);
            assert_eq!((tx.state_size("web")?, tx.state_size("we")?), (4 + 4 + 4 + 2, 3));
            Ok(())
        })
        .unwrap();
    write(&store, |tx| tx.state_remove("we")).unwrap();
    assert_eq!(store.read(|tx| tx.state_get("we", "z")), Ok(None));
    assert_eq!(store.read(|tx| tx.state_size("we")), Ok(0));
    assert_eq!(store.read(|tx| tx.state_keys("web", "", None, 9)).unwrap().len(), 4);
}

#[test]
fn a_write_that_expected_something_else_stores_nothing_of_its_closure() {
    let (_folder, store) = fresh();
    apply(&store, "web", map(&[("offset", Some(b"7"))]), map(&[("offset", None)])).unwrap();
    let result = write(&store, |tx| {
        let accepted = tx.inbox_accept(&inbound("c", "m1"), 5)?;
        tx.state_apply("web", &map(&[("offset", Some(b"9"))]), &map(&[("offset", Some(b"8"))]))?;
        Ok(accepted)
    });
    assert_eq!(result, Err(StoreError::Conflict { instance: "web".into(), key: "offset".into() }));
    assert_eq!(store.read(|tx| tx.inbox_conversations()), Ok(vec![]));
    assert_eq!(store.read(|tx| tx.state_get("web", "offset")), Ok(Some(b"7".to_vec())));
    taken(accept(&store, "c", "m1", 6));
}

#[test]
fn an_instance_can_t_keep_more_than_its_share() {
    let (_folder, store) = fresh();
    let part = 8 << 20;
    for key in ["a", "b", "c", "d", "e", "f", "g"] {
        apply(&store, "web", Map::from([(key.into(), Some(vec![0; part]))]), Map::new()).unwrap();
    }
    let more = |size: usize| apply(&store, "web", Map::from([("h".into(), Some(vec![0; size]))]), Map::new());
    let too_large = StoreError::TooLarge { instance: "web".into(), size: STATE_MOST + 1, most: STATE_MOST };
    assert_eq!(more(part - 8 + 1), Err(too_large));
    assert_eq!(more(part - 8), Ok(()));
    assert_eq!(store.read(|tx| tx.state_size("web")), Ok(STATE_MOST));
    apply(&store, "other", map(&[("a", Some(b"1"))]), Map::new()).unwrap();
    apply(&store, "web", map(&[("a", None)]), Map::new()).unwrap();
    assert_eq!(store.read(|tx| tx.state_size("web")), Ok(STATE_MOST - 1 - (8 << 20)));
}

// Grants, last good versions, usage.

#[test]
fn grants_and_the_digest_they_were_given_to_are_kept_by_name() {
    let (_folder, store) = fresh();
    let granted = Granted {
        allowed: BTreeMap::from([("http".into(), vec!["api.example.org".into()]), ("shell".into(), vec![])]),
        denied: BTreeMap::from([("state".into(), vec![])]),
    };
    let given = granted.clone();
    write(&store, move |tx| {
        tx.grants_set("web", &given)?;
        tx.grants_bind("web", "abc")?;
        tx.grants_set("other", &Granted::default())
    })
    .unwrap();
    store
        .read(|tx| {
            assert_eq!(tx.grants("web")?, Some(granted.clone()));
            assert_eq!(tx.grants("nobody")?, None);
            assert_eq!(tx.grants_digest("web")?, Some("abc".into()));
            let all = BTreeMap::from([("other".into(), Granted::default()), ("web".into(), granted.clone())]);
            assert_eq!(tx.grants_all()?, all);
            Ok(())
        })
        .unwrap();
    assert_eq!(write(&store, |tx| tx.grants_remove("web")), Ok(true));
    assert_eq!(write(&store, |tx| tx.grants_remove("web")), Ok(false));
    assert_eq!(store.read(|tx| Ok((tx.grants("web")?, tx.grants_digest("web")?))), Ok((None, None)));
}

#[test]
fn the_last_good_version_of_a_plugin_file_is_known() {
    let (_folder, store) = fresh();
    write(&store, |tx| {
        tx.last_good_set("a.wasm", Some("1"))?;
        tx.last_good_set("b.wasm", Some("2"))?;
        tx.last_good_set("a.wasm", Some("3"))
    })
    .unwrap();
    assert_eq!(store.read(|tx| tx.last_good("a.wasm")), Ok(Some("3".into())));
    write(&store, |tx| tx.last_good_set("a.wasm", None)).unwrap();
    assert_eq!(store.read(|tx| tx.last_good_all()), Ok(BTreeMap::from([("b.wasm".into(), "2".into())])));
}

#[test]
fn usage_adds_up_by_day_and_model() {
    let (_folder, store) = fresh();
    let usage = |input| Usage { input, output: 1, cost: Some(2), ..Usage::default() };
    write(&store, move |tx| {
        tx.usage_add(DAY + 5, "a/m", usage(10))?;
        tx.usage_add(2 * DAY - 1, "a/m", usage(20))?;
        tx.usage_add(DAY, "b/m", usage(1))?;
        tx.usage_add(2 * DAY, "a/m", usage(7))?;
        tx.session_start(&session("s", "s", 1))?;
        tx.message_append("s", &everything())
    })
    .unwrap();
    let day = |day: u64, model: &str, usage| DayUsage { day: day * DAY, model: model.into(), usage };
    let first = day(1, "a/m", Usage { input: 30, output: 2, cost: Some(4), ..Usage::default() });
    let second = day(1, "b/m", usage(1));
    let third = day(2, "a/m", usage(7));
    assert_eq!(store.read(|tx| tx.usage(DAY, DAY + 1)), Ok(vec![first.clone(), second.clone()]));
    let all = vec![day(0, "cloud/m", everything().usage.unwrap()), first, second, third];
    assert_eq!(store.read(|tx| tx.usage(0, u64::MAX)), Ok(all));
}

// Ledger.

pub(super) fn line(number: u64) -> LedgerLine {
    LedgerLine {
        at: number,
        plugin: if number.is_multiple_of(2) { "even".into() } else { "odd".into() },
        instance: "web".into(),
        digest: "d".into(),
        session: Some("s".into()),
        turn: Some(format!("t{number}")),
        operation: "tools.call".into(),
        capability: "http".into(),
        what: format!("GET /{number}"),
        allowed: !number.is_multiple_of(3),
        ..LedgerLine::default()
    }
}

fn with_lines(count: u64) -> (TempDir, Store) {
    let (folder, store) = fresh();
    write(&store, move |tx| (1..=count).try_for_each(|number| tx.ledger_append(&line(number)))).unwrap();
    (folder, store)
}

#[test]
fn the_ledger_is_read_newest_first_in_pages_and_by_filter() {
    let (_folder, store) = with_lines(7);
    let page = |filter: LedgerFilter, before, limit| store.read(|tx| tx.ledger(&filter, before, limit)).unwrap();
    let lines = |numbers: &[u64]| numbers.iter().map(|number| (*number, line(*number))).collect::<Vec<_>>();
    let first = page(LedgerFilter::default(), None, 4);
    assert_eq!(first, LedgerPage { lines: lines(&[7, 6, 5, 4]), before: Some(4) });
    let second = page(LedgerFilter::default(), first.before, 4);
    assert_eq!(second, LedgerPage { lines: lines(&[3, 2, 1]), before: None });
    let even_denied = LedgerFilter { plugin: Some("even".into()), allowed: Some(false), ..LedgerFilter::default() };
    assert_eq!(page(even_denied, None, 9).lines, lines(&[6]));
    let of_turn = LedgerFilter { turn: Some("t2".into()), session: Some("s".into()), ..LedgerFilter::default() };
    assert_eq!(page(of_turn, None, 9).lines, lines(&[2]));
    let other = LedgerFilter { capability: Some("shell".into()), ..LedgerFilter::default() };
    assert_eq!(page(other, None, 9), LedgerPage::default());
}

#[test]
fn a_changed_or_missing_line_of_the_ledger_shows() {
    let (_folder, store) = with_lines(5);
    assert_eq!(store.read(|tx| tx.ledger_verify()), Ok(LedgerCheck::Whole(5)));
    // Each of them is undone by the error at its end.
    let damaged = |damage: fn(&mut Writing<'_>) -> Result<(), StoreError>| {
        let (seen, result) = std::sync::mpsc::channel();
        let undone = write(&store, move |tx| {
            damage(tx)?;
            let _ = seen.send(tx.ledger_verify()?);
            Err::<(), _>(StoreError::Refused("undone".into()))
        });
        assert_eq!(undone, Err(StoreError::Refused("undone".into())));
        result.recv().unwrap()
    };
    let changed = damaged(|tx| {
        let hash = tx.view(ledger::LEDGER)?.get(3)?.unwrap().value().0;
        let bytes = transaction::encode(&LedgerLine { allowed: true, ..line(3) })?;
        tx.set(ledger::LEDGER, 3, (hash, bytes.as_slice()))
    });
    assert_eq!(changed, LedgerCheck::Broken(3));
    assert_eq!(damaged(|tx| tx.unset(ledger::LEDGER, 2).map(|_| ())), LedgerCheck::Broken(2));
    assert_eq!(damaged(|tx| tx.unset(ledger::LEDGER, 5).map(|_| ())), LedgerCheck::Broken(5));
    assert_eq!(damaged(|tx| tx.unset(ledger::LEDGER, 1).map(|_| ())), LedgerCheck::Broken(1));
    assert_eq!(store.read(|tx| tx.ledger_verify()), Ok(LedgerCheck::Whole(5)));
}

#[test]
fn the_ledger_forgets_its_oldest_lines_and_stays_verifiable() {
    let (_folder, store) = with_lines(5);
    write(&store, |tx| (6..=8).try_for_each(|number| tx.ledger_append_keeping(&line(number), 4))).unwrap();
    assert_eq!(store.read(|tx| tx.ledger_verify()), Ok(LedgerCheck::Whole(4)));
    let kept = store.read(|tx| tx.ledger(&LedgerFilter::default(), None, 99)).unwrap();
    assert_eq!(kept.lines.iter().map(|(number, _)| *number).collect::<Vec<_>>(), [8, 7, 6, 5]);
}

#[test]
fn a_long_what_is_cut_at_a_character() {
    let (_folder, store) = fresh();
    let long = LedgerLine { what: "ü".repeat(2_000), ..line(1) };
    write(&store, move |tx| tx.ledger_append(&long)).unwrap();
    let kept = store.read(|tx| tx.ledger(&LedgerFilter::default(), None, 1)).unwrap();
    assert_eq!(kept.lines, [(1, LedgerLine { what: "ü".repeat(1_000), ..line(1) })]);
    assert_eq!(store.read(|tx| tx.ledger_verify()), Ok(LedgerCheck::Whole(1)));
}
