//! What waits: messages, deliveries, questions. Each is taken once, in order, and goes when it should.

use super::records::picture;
use super::*;
use crate::message::{Approval, Attachment, Decision, Delivery, DeliveryContent, Inbound, Usage};

const DAY: u64 = 24 * 60 * 60 * 1_000;

// Inbox.

pub(super) fn inbound(conversation: &str, id: &str) -> Inbound {
    Inbound {
        instance: "web".into(),
        id: id.into(),
        conversation: conversation.into(),
        sender: ann(),
        text: format!("text of {id}"),
        attachments: vec![Attachment::Media(picture()), Attachment::Later("file-7".into())],
        sent: 1,
        handle: Some("h".into()),
    }
}

pub(super) fn accept(store: &Store, conversation: &'static str, id: &'static str, at: u64) -> Accepted {
    write(store, move |tx| tx.inbox_accept(&inbound(conversation, id), at)).unwrap()
}

pub(super) fn taken(accepted: Accepted) -> InboxKey {
    match accepted {
        Accepted::New(key) => key,
        Accepted::Duplicate => panic!("a duplicate"),
    }
}

#[test]
fn a_message_is_taken_once_also_after_it_was_answered() {
    let (_folder, store) = fresh();
    let key = taken(accept(&store, "c", "m1", 5));
    assert_eq!(accept(&store, "c", "m1", 6), Accepted::Duplicate);
    let entry = InboxEntry { key: key.clone(), inbound: inbound("c", "m1"), accepted: 5, turn: None };
    assert_eq!(store.read(|tx| tx.inbox_next("web", "c")), Ok(Some(entry.clone())));
    assert_eq!(store.read(|tx| tx.inbox_entry(&key)), Ok(Some(entry)));
    let finish = |key: InboxKey| write(&store, move |tx| tx.inbox_finish(&key)).unwrap();
    assert_eq!((finish(key.clone()), finish(key.clone())), (true, false));
    assert_eq!(accept(&store, "c", "m1", 7), Accepted::Duplicate);
    assert_eq!(store.read(|tx| tx.inbox_next("web", "c")), Ok(None));
    assert_eq!(store.read(|tx| tx.inbox_entry(&key)), Ok(None));
}

#[test]
fn the_same_id_of_another_instance_is_another_message() {
    let (_folder, store) = fresh();
    taken(accept(&store, "c", "m1", 5));
    let other = Inbound { instance: "console".into(), ..inbound("c", "m1") };
    taken(write(&store, move |tx| tx.inbox_accept(&other, 5)).unwrap());
}

#[test]
fn each_conversation_has_its_messages_in_the_order_of_arrival() {
    let (_folder, store) = fresh();
    for (conversation, id) in [("b", "m1"), ("a", "m2"), ("b", "m3"), ("b\u{1}", "m4")] {
        taken(accept(&store, conversation, id, 5));
    }
    let next = |conversation: &str| {
        let next = store.read(|tx| tx.inbox_next("web", conversation)).unwrap();
        next.map(|entry| (entry.inbound.id, entry.key))
    };
    let all = store.read(|tx| tx.inbox_conversations()).unwrap();
    let named = |conversation: &str| ("web".to_string(), conversation.to_string());
    assert_eq!(all, [named("a"), named("b"), named("b\u{1}")]);
    let (first, key) = next("b").unwrap();
    assert_eq!(first, "m1");
    write(&store, move |tx| tx.inbox_finish(&key)).unwrap();
    assert_eq!(next("b").unwrap().0, "m3");
    assert_eq!(next("a").unwrap().0, "m2");
}

#[test]
fn the_journal_of_a_turn_lives_as_long_as_its_message_is_in_the_queue() {
    let (folder, store) = fresh();
    let key = taken(accept(&store, "c", "m1", 5));
    taken(accept(&store, "d", "m2", 5));
    let turn = Turn { id: "t".into(), session: "s".into(), started: 6, round: 2, cancelled: false };
    let (at, begun) = (key.clone(), turn.clone());
    write(&store, move |tx| tx.turn_set(&at, &begun)).unwrap();
    store.close();
    let store = Store::open(file_in(&folder), Options::default()).unwrap();
    assert_eq!(store.read(|tx| tx.turns_running()), Ok(vec![(key.clone(), turn.clone())]));
    assert_eq!(store.read(|tx| tx.turn(&key)), Ok(Some(turn.clone())));
    assert_eq!(store.read(|tx| tx.inbox_next("web", "c")).unwrap().unwrap().turn, Some(turn.clone()));
    let at = key.clone();
    write(&store, move |tx| tx.inbox_finish(&at)).unwrap();
    assert_eq!(store.read(|tx| tx.turns_running()), Ok(vec![]));
    let late = write(&store, move |tx| tx.turn_set(&key, &turn)).unwrap_err();
    assert_eq!(late, StoreError::NotFound { what: "inbox entry", id: "1 of c in web".into() });
}

#[test]
fn ids_are_forgotten_after_thirty_days_a_few_at_a_time() {
    let (_folder, store) = fresh();
    for id in ["1", "2", "3", "4", "5", "6"] {
        taken(accept(&store, "c", id, 5));
    }
    taken(accept(&store, "c", "new", 5 + 30 * DAY));
    assert_eq!(accept(&store, "c", "1", 5 + 30 * DAY), Accepted::Duplicate);
    taken(accept(&store, "c", "newer", 6 + 30 * DAY));
    taken(accept(&store, "c", "1", 6 + 30 * DAY));
    taken(accept(&store, "c", "5", 6 + 30 * DAY));
    assert_eq!(accept(&store, "c", "new", 6 + 30 * DAY), Accepted::Duplicate);
}

// Outbox.

pub(super) fn delivery(conversation: &str, id: &str) -> Delivery {
    Delivery {
        id: id.into(),
        instance: "web".into(),
        conversation: conversation.into(),
        turn: Some("t".into()),
        handle: None,
        content: DeliveryContent::Reply { text: format!("reply {id}"), usage: Usage::default(), model: "m".into() },
    }
}

fn enqueue(store: &Store, conversation: &'static str, id: &'static str) -> bool {
    write(store, move |tx| tx.outbox_enqueue(&delivery(conversation, id), 5)).unwrap()
}

/// The delivery whose turn it is in a conversation.
fn next(store: &Store, conversation: &str) -> Option<Queued> {
    let mut page = store.read(|tx| tx.outbox_of("web", conversation, 0, 1)).unwrap();
    page.pop().map(|(_, queued)| queued)
}

#[test]
fn a_delivery_is_queued_once_also_after_it_was_shown() {
    let (folder, store) = fresh();
    assert_eq!((enqueue(&store, "c", "d1"), enqueue(&store, "c", "d1")), (true, false));
    let queued = Queued { delivery: delivery("c", "d1"), queued: 5, attempts: Attempts::default() };
    assert_eq!(store.read(|tx| tx.outbox(None, 9)), Ok(vec![queued.clone()]));
    assert_eq!(store.read(|tx| tx.outbox_entry("web", "d1")), Ok(Some(queued.clone())));
    assert_eq!(next(&store, "c"), Some(queued));
    let deliver = || write(&store, |tx| tx.outbox_delivered("web", "d1", Some("r1"), 6)).unwrap();
    assert_eq!((deliver(), deliver()), (true, false));
    assert!(!enqueue(&store, "c", "d1"));
    assert_eq!(next(&store, "c"), None);
    store.close();
    let store = Store::open(file_in(&folder), Options::default()).unwrap();
    assert_eq!(store.read(|tx| tx.receipt("web", "t")), Ok(Some("r1".into())));
    assert_eq!(store.read(|tx| tx.receipt("console", "t")), Ok(None));
}

#[test]
fn deliveries_of_a_conversation_wait_for_the_first_one() {
    let (_folder, store) = fresh();
    for (conversation, id) in [("b", "d1"), ("a", "d2"), ("b", "d3")] {
        assert!(enqueue(&store, conversation, id));
    }
    let next = |conversation: &str| next(&store, conversation).unwrap();
    assert_eq!(write(&store, |tx| tx.outbox_failed("web", "d1", "no network", 100)), Ok(1));
    assert_eq!(write(&store, |tx| tx.outbox_failed("web", "d1", "still none", 200)), Ok(2));
    let attempts = Attempts { failed: 2, next: 200, error: "still none".into() };
    assert_eq!(next("b"), Queued { delivery: delivery("b", "d1"), queued: 5, attempts });
    assert_eq!(next("a").delivery.id, "d2");
    let all = store.read(|tx| tx.outbox_conversations()).unwrap();
    assert_eq!(all, [("web".into(), "a".into()), ("web".into(), "b".into())]);
    assert_eq!(write(&store, |tx| tx.outbox_delivered("web", "d1", None, 220)), Ok(true));
    assert_eq!(next("b").delivery.id, "d3");
    assert_eq!(next("b").attempts, Attempts::default());
    assert_eq!(store.read(|tx| tx.outbox_count()), Ok(2));
    assert_eq!(store.read(|tx| tx.receipt("web", "t")), Ok(None));
}

#[test]
fn what_waits_in_a_conversation_is_read_in_pages_and_nothing_else_with_it() {
    let (_folder, store) = fresh();
    for id in ["d1", "d2", "d3"] {
        assert!(enqueue(&store, "b", id));
    }
    for (conversation, id) in [("a", "before"), ("bb", "behind")] {
        assert!(enqueue(&store, conversation, id));
    }
    let page = |after, limit| {
        let page = store.read(|tx| tx.outbox_of("web", "b", after, limit)).unwrap();
        let last = page.last().map_or(after, |(number, _)| *number);
        (last, page.into_iter().map(|(_, queued)| queued.delivery.id).collect::<Vec<_>>())
    };
    let (last, first) = page(0, 2);
    assert_eq!(first, ["d1", "d2"]);
    assert_eq!(page(last, 2).1, ["d3"]);
    assert_eq!(page(page(last, 2).0, 2).1, <[&str; 0]>::default());
}

#[test]
fn what_happens_to_an_unknown_delivery_is_said() {
    let (_folder, store) = fresh();
    assert_eq!(write(&store, |tx| tx.outbox_failed("web", "x", "e", 1)), Ok(0));
    assert_eq!(write(&store, |tx| tx.outbox_give_up("web", "x", "e", 1)), Ok(false));
    assert_eq!(store.read(|tx| tx.outbox_entry("web", "x")), Ok(None));
    assert_eq!(store.read(|tx| tx.undelivered(None, 9)), Ok(vec![]));
}

#[test]
fn what_is_given_up_can_be_looked_at_and_blocks_nothing() {
    let (_folder, store) = fresh();
    enqueue(&store, "c", "d1");
    enqueue(&store, "c", "d2");
    write(&store, |tx| tx.outbox_failed("web", "d1", "blocked", 9)).unwrap();
    assert_eq!(write(&store, |tx| tx.outbox_give_up("web", "d1", "blocked by the person", 10)), Ok(true));
    let record = Undelivered {
        id: "d1".into(),
        instance: "web".into(),
        conversation: "c".into(),
        turn: Some("t".into()),
        kind: "reply".into(),
        text: "reply d1".into(),
        attempts: 1,
        error: "blocked by the person".into(),
        at: 10,
    };
    assert_eq!(store.read(|tx| tx.undelivered(Some("web"), 9)), Ok(vec![record.clone()]));
    assert_eq!(store.read(|tx| tx.undelivered(None, 9)), Ok(vec![record]));
    assert_eq!(store.read(|tx| tx.undelivered(Some("console"), 9)), Ok(vec![]));
    assert_eq!(next(&store, "c").unwrap().delivery.id, "d2");
    assert!(!enqueue(&store, "c", "d1"));
}

#[test]
fn the_list_of_what_was_given_up_keeps_the_newest_thousand() {
    let (_folder, store) = fresh();
    write(&store, |tx| {
        for number in 0..1_005_u64 {
            let id = number.to_string();
            tx.outbox_enqueue(&delivery("c", &id), 5)?;
            tx.outbox_give_up("web", &id, "no", number)?;
        }
        Ok(())
    })
    .unwrap();
    let kept = store.read(|tx| tx.undelivered(None, usize::MAX)).unwrap();
    let ids: Vec<String> = kept.into_iter().map(|record| record.id).collect();
    assert_eq!(ids, (5..1_005).rev().map(|number: u64| number.to_string()).collect::<Vec<_>>());
}

// Approvals.

pub(super) fn approval(id: &str, session: &str, expires: u64) -> Approval {
    Approval {
        id: id.into(),
        instance: "web".into(),
        conversation: "c".into(),
        session: session.into(),
        turn: "t".into(),
        call: "1".into(),
        owner: ann(),
        handle: None,
        tool: "system.run".into(),
        summary: "run ls".into(),
        arguments: "{}".into(),
        owned_by: String::new(),
        hash: "00".into(),
        expires,
        decision: None,
        receipt: None,
        by_hand: false,
    }
}

#[test]
fn an_approval_is_decided_once_and_in_time() {
    let (_folder, store) = fresh();
    write(&store, |tx| {
        tx.approval_put(&approval("a", "s", 50), 1)?;
        tx.approval_put(&approval("b", "s", 50), 1)?;
        tx.approval_put(&Approval { conversation: "d".into(), ..approval("c", "s", 90) }, 1)
    })
    .unwrap();
    let open = |conversation: &str| {
        let open = store.read(|tx| tx.approvals_open("web", conversation)).unwrap();
        open.into_iter().map(|approval| approval.id).collect::<Vec<_>>()
    };
    assert_eq!((open("c"), open("d"), open("e")), (vec!["a".into(), "b".into()], vec!["c".into()], vec![]));
    let decide =
        |id: &'static str, decision, at| write(&store, move |tx| tx.approval_decide(id, decision, &ann(), at)).unwrap();
    let allowed = Approval { decision: Some((Decision::AllowOnce, ann())), ..approval("a", "s", 50) };
    assert_eq!(decide("a", Decision::AllowOnce, 49), Decided::Now(allowed.clone()));
    assert_eq!(decide("a", Decision::Deny, 49), Decided::Already(allowed.clone()));
    assert_eq!(store.read(|tx| tx.approval("a")), Ok(Some(allowed)));
    assert_eq!(decide("b", Decision::AllowOnce, 50), Decided::Expired(approval("b", "s", 50)));
    assert_eq!(decide("nowhere", Decision::Deny, 1), Decided::Unknown);
    assert_eq!(write(&store, |tx| tx.approval_withdraw("c", 60)), Ok(true));
    assert_eq!(write(&store, |tx| tx.approval_withdraw("c", 60)), Ok(false));
    assert!(matches!(decide("c", Decision::AllowOnce, 61), Decided::Expired(_)));
    assert_eq!((open("c"), open("d")), (vec!["b".into()], vec![]));
}

#[test]
fn approvals_whose_time_is_over_are_handed_out_once() {
    let (_folder, store) = fresh();
    write(&store, |tx| {
        for (id, expires) in [("a", 10), ("b", 20), ("c", 30)] {
            tx.approval_put(&approval(id, "s", expires), 1)?;
        }
        tx.approval_receipt("a", "r")
    })
    .unwrap();
    let expire = |at| write(&store, move |tx| tx.approvals_expire(at, 9)).unwrap();
    let first = Approval { receipt: Some("r".into()), ..approval("a", "s", 10) };
    assert_eq!(expire(9), []);
    assert_eq!(expire(20), [first, approval("b", "s", 20)]);
    assert_eq!(expire(20), []);
    assert_eq!(store.read(|tx| tx.approvals_open_all()), Ok(vec![approval("c", "s", 30)]));
    assert_eq!(write(&store, |tx| tx.approval_receipt("nowhere", "r")), Ok(false));
}

#[test]
fn closed_approvals_go_after_thirty_days() {
    let (_folder, store) = fresh();
    write(&store, |tx| {
        tx.approval_put(&approval("a", "s", 10), 1)?;
        tx.approvals_expire(10, 9)?;
        tx.approval_put(&approval("b", "s", 99), 10 + 30 * DAY)
    })
    .unwrap();
    assert!(store.read(|tx| tx.approval("a")).unwrap().is_some());
    write(&store, |tx| tx.approval_put(&approval("c", "s", 99), 11 + 30 * DAY)).unwrap();
    assert_eq!(store.read(|tx| tx.approval("a")), Ok(None));
    assert!(store.read(|tx| tx.approval("b")).unwrap().is_some());
}
