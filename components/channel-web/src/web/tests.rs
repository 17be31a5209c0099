use super::stage::{NOW, Stage};
use super::*;
use crate::contract::exports::openpista::plugin::channel::{Activity, ActivityState, DeliveryContent, Draft, Reply};
use crate::contract::openpista::control::models::Model;
use crate::contract::openpista::control::sessions::{Author, Entry, Session};
use crate::contract::openpista::types::types::{Content, Media, Usage};

fn source(tags: &[&str]) -> Source {
    Source { transport: "socket".into(), connection: 5, tags: tags.iter().map(|tag| tag.to_string()).collect() }
}

const JOINED: &[&str] = &["all", "u/owner", "s/abc"];

fn open(stage: &Stage, headers: &[(&str, &str)]) {
    let headers = headers.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
    let opened = Opened { source: source(&[]), peer: Some("127.0.0.1".into()), path: "/ws".into(), headers };
    receive(stage, &Event::Opened(opened)).unwrap();
}

fn says(stage: &Stage, tags: &[&str], frame: Value) {
    receive(stage, &Event::Frame((source(tags), Frame::Text(frame.to_string())))).unwrap();
}

fn one() -> Target {
    Target::One(5)
}

fn all_of(session: &str) -> Target {
    Target::Tagged(format!("s/{session}"))
}

fn delivered(content: DeliveryContent) -> Delivery {
    Delivery {
        id: "d1".into(),
        conversation: "web:abc".into(),
        turn: Some("t1".into()),
        handle: None,
        receipt: None,
        content,
    }
}

fn entry(cursor: u64, author: Author, text: &str) -> Entry {
    Entry { cursor, author, name: None, content: vec![Content::Text(text.into())], at: NOW }
}

fn question() -> Approval {
    Approval {
        id: "a1".into(),
        conversation: "web:abc".into(),
        handle: None,
        tool: "system.run".into(),
        summary: "run ls".into(),
        arguments: r#"{"command":"ls"}"#.into(),
        expires: NOW,
    }
}

#[test]
fn a_browser_with_a_cookie_is_known_when_it_connects() {
    let stage = Stage::default();
    let signed = sign_in::exchange(&stage, "right token", "pages").unwrap().unwrap();
    let cookie = signed.cookie.split(';').next().unwrap();
    open(&stage, &[("cookie", cookie)]);
    assert_eq!(*stage.tags.borrow(), [(5, vec!["all".to_string(), "u/owner".to_string()])]);
    assert_eq!(*stage.sent.borrow(), [(one(), json!({"type": "welcome", "user": "owner"}))]);
}

#[test]
fn one_without_is_asked_to_sign_in_and_gets_nothing_else() {
    let stage = Stage::default();
    open(&stage, &[("cookie", "openpista=forged")]);
    says(&stage, &[], json!({"type": "hello", "session": "abc", "seen": 0}));
    says(&stage, &[], json!({"type": "say", "id": "m1", "text": "hi"}));
    says(&stage, &["s/abc"], json!({"type": "approve", "id": "a1", "decision": "once"}));
    assert_eq!(*stage.tags.borrow(), []);
    assert_eq!(*stage.closed.borrow(), [(5, 4401), (5, 4401), (5, 4401)]);
    assert_eq!(*stage.submitted.borrow(), []);
    assert_eq!(*stage.sent.borrow(), [(one(), json!({"type": "sign-in"}))]);
}

#[test]
fn a_program_may_say_hello_with_the_token_itself() {
    let stage = Stage::default();
    says(&stage, &[], json!({"type": "hello", "session": "abc", "token": "wrong"}));
    assert_eq!(*stage.closed.borrow(), [(5, 4401)]);
    says(&stage, &[], json!({"type": "hello", "session": "abc", "token": "right token"}));
    let tags: Vec<String> = JOINED.iter().map(|tag| tag.to_string()).collect();
    assert_eq!(*stage.tags.borrow(), [(5, tags)]);
    stage.locked.set(true);
    says(&stage, &[], json!({"type": "hello", "session": "abc", "token": "right token"}));
    assert_eq!(stage.closed.borrow().len(), 2);
}

#[test]
fn hello_replays_what_was_missed_then_what_is_going_on() {
    let stage = Stage::default();
    *stage.history.borrow_mut() =
        vec![entry(3, Author::Person, "old"), entry(8, Author::Person, "files?"), entry(9, Author::Assistant, "Two.")];
    *stage.running.borrow_mut() = Some("I am loo".into());
    stage.waiting.borrow_mut().push(question());
    stage.sessions.borrow_mut().push(Session {
        id: "1".into(),
        channel: "web".into(),
        conversation: "web:abc".into(),
        owner: "owner".into(),
        title: "Files".into(),
        model: "demo/demo".into(),
        updated: NOW,
        busy: true,
    });
    stage.models.borrow_mut().extend([
        Model { id: "demo/demo".into(), title: "Demo".into(), provider: "demo".into(), ready: true },
        Model { id: "x/y".into(), title: "Y".into(), provider: "x".into(), ready: false },
    ]);
    says(&stage, &["all", "u/owner"], json!({"type": "hello", "session": "abc", "seen": 3}));
    let said = |cursor: u64, author: &str, text: &str| json!({"type": "entry", "cursor": cursor, "author": author, "name": null, "at": NOW, "parts": [{"text": text}]});
    let wanted = [
        json!({"type": "hello", "session": "abc", "user": "owner", "seen": 3}),
        said(8, "person", "files?"),
        said(9, "assistant", "Two."),
        json!({"type": "draft", "text": "I am loo", "since": 0, "reasoning": ""}),
        json!({"type": "approval", "id": "a1", "tool": "system.run", "summary": "run ls",
               "arguments": "{\"command\":\"ls\"}", "expires": NOW}),
        json!({"type": "ready"}),
        json!({"type": "sessions", "sessions": [
            {"id": "abc", "title": "Files", "model": "demo/demo", "updated": NOW, "busy": true}]}),
        json!({"type": "models", "models": [{"id": "demo/demo", "title": "Demo"}]}),
    ];
    assert_eq!(*stage.sent.borrow(), wanted.map(|frame| (one(), frame)));
}

#[test]
fn a_long_history_is_replayed_page_by_page_and_keeps_its_newest_part() {
    let stage = Stage::default();
    *stage.history.borrow_mut() = (1..=2_350).map(|n| entry(n, Author::Person, "x")).collect();
    says(&stage, JOINED, json!({"type": "hello", "session": "abc"}));
    let sent = stage.sent.borrow();
    let cursors: Vec<u64> = sent.iter().filter_map(|(_, frame)| frame["cursor"].as_u64()).collect();
    assert_eq!(cursors, (351..=2_350).collect::<Vec<u64>>());
}

#[test]
fn a_message_is_submitted_under_the_clients_id_and_acknowledged_to_all_who_look() {
    let stage = Stage::default();
    says(&stage, JOINED, json!({"type": "say", "id": "m1", "text": "show files"}));
    assert_eq!(
        *stage.submitted.borrow(),
        [Inbound {
            id: "owner/abc/m1".into(),
            conversation: "web:abc".into(),
            sender: Sender { id: "owner".into(), name: "owner".into() },
            text: "show files".into(),
            attachments: vec![],
            sent: NOW,
            handle: None,
        }]
    );
    assert_eq!(
        *stage.sent.borrow(),
        [(all_of("abc"), json!({"type": "said", "id": "m1", "text": "show files", "at": NOW}))]
    );
}

#[test]
fn the_same_client_id_in_two_sessions_is_two_messages() {
    let stage = Stage::default();
    for session in ["abc", "xyz"] {
        let tags = ["all", "u/owner", &format!("s/{session}")];
        says(&stage, &tags, json!({"type": "say", "id": "m1", "text": "hello"}));
    }
    let ids: Vec<String> = stage.submitted.borrow().iter().map(|inbound| inbound.id.clone()).collect();
    assert_eq!(ids, ["owner/abc/m1", "owner/xyz/m1"]);
}

#[test]
fn a_message_that_can_never_be_taken_is_refused_by_its_id() {
    let stage = Stage::default();
    says(&stage, JOINED, json!({"type": "say", "id": "m1", "text": "x".repeat(300_000)}));
    assert_eq!(
        *stage.sent.borrow(),
        [(one(), json!({"type": "refused", "id": "m1", "text": "a message has at most 256 KiB"}))]
    );
}

#[test]
fn stop_and_approve_reach_the_gateway_and_a_late_answer_is_told() {
    let stage = Stage::default();
    stage.waiting.borrow_mut().push(question());
    says(&stage, JOINED, json!({"type": "stop"}));
    for decision in ["once", "session", "deny"] {
        says(&stage, JOINED, json!({"type": "approve", "id": "a1", "decision": decision}));
    }
    says(&stage, JOINED, json!({"type": "approve", "id": "gone", "decision": "once"}));
    assert_eq!(*stage.cancelled.borrow(), ["web:abc"]);
    let by = |decision| ("a1".to_string(), "owner".to_string(), decision);
    assert_eq!(*stage.decided.borrow(), [by(Decision::AllowOnce), by(Decision::AllowSession), by(Decision::Deny)]);
    assert_eq!(*stage.sent.borrow(), [(one(), json!({"type": "decided", "id": "gone", "decision": null, "by": null}))]);
}

#[test]
fn a_model_is_chosen_for_the_session() {
    let stage = Stage::default();
    stage.models.borrow_mut().push(Model { id: "a/b".into(), title: "B".into(), provider: "a".into(), ready: true });
    says(&stage, JOINED, json!({"type": "model", "model": "a/b"}));
    says(&stage, JOINED, json!({"type": "model", "model": "no"}));
    assert_eq!(*stage.chosen.borrow(), [("web:abc".to_string(), "a/b".to_string())]);
    assert_eq!(
        *stage.sent.borrow(),
        [
            (all_of("abc"), json!({"type": "notice", "text": "The model is now a/b."})),
            (one(), json!({"type": "error", "text": "there is no model no"}))
        ]
    );
}

#[test]
fn what_makes_no_sense_is_answered_and_never_taken() {
    let stage = Stage::default();
    for (tags, frame) in [
        (&["all", "u/owner"][..], json!({"type": "say", "id": "m", "text": "no session yet"})),
        (JOINED, json!({"type": "say", "id": "", "text": "x"})),
        (JOINED, json!({"type": "say", "id": "m", "text": "  "})),
        (JOINED, json!({"type": "hello", "session": "../x"})),
        (JOINED, json!({"type": "approve", "id": "a1", "decision": "always"})),
        (JOINED, json!({"type": "dance"})),
        (JOINED, json!([1])),
    ] {
        says(&stage, tags, frame);
    }
    assert_eq!(*stage.submitted.borrow(), []);
    assert!(stage.sent.borrow().iter().all(|(to, frame)| *to == one() && frame["type"] == "error"));
    assert_eq!(stage.sent.borrow().len(), 7);
    for frame in [Frame::Text("{".into()), Frame::Binary(vec![1])] {
        let result = receive(&stage, &Event::Frame((source(JOINED), frame)));
        assert!(matches!(result, Err(ChannelError::Malformed(_))), "{result:?}");
    }
}

#[test]
fn deliveries_go_to_their_session_only() {
    let stage = Stage::default();
    let usage = Usage { input: 7, output: 3, cache_read: 0, cache_write: 0, cost: None };
    let contents = vec![
        DeliveryContent::Working,
        DeliveryContent::Draft(Draft { text: "lo".into(), since: 3, reasoning: "hm".into() }),
        DeliveryContent::Activity(Activity {
            call: "c".into(),
            tool: "system.run".into(),
            state: ActivityState::Started("{}".into()),
        }),
        DeliveryContent::Media(Media { mime: "image/png".into(), name: None, data: vec![1, 2, 3] }),
        DeliveryContent::Media(Media { mime: "image/svg+xml".into(), name: Some("x.svg".into()), data: vec![1] }),
        DeliveryContent::Reply(Reply { text: "Hello".into(), usage, model: "demo/demo".into() }),
        DeliveryContent::Failed("no model".into()),
        DeliveryContent::Notice("hm".into()),
    ];
    for content in contents {
        assert_eq!(deliver(&stage, &delivered(content)), Ok(Outcome::Done(None)));
    }
    let wanted = [
        json!({"type": "working", "id": "d1", "turn": "t1"}),
        json!({"type": "draft", "text": "lo", "since": 3, "reasoning": "hm", "id": "d1", "turn": "t1"}),
        json!({"type": "activity", "call": "c", "tool": "system.run", "state": "started", "text": "{}", "id": "d1", "turn": "t1"}),
        json!({"type": "media", "part": {"image": "data:image/png;base64,AQID", "name": "image/png"}, "id": "d1", "turn": "t1"}),
        json!({"type": "media", "part": {"file": "x.svg", "bytes": 1}, "id": "d1", "turn": "t1"}),
        json!({"type": "reply", "text": "Hello", "model": "demo/demo", "tokens": {"in": 7, "out": 3}, "id": "d1", "turn": "t1"}),
        json!({"type": "failed", "text": "no model", "id": "d1", "turn": "t1"}),
        json!({"type": "notice", "text": "hm", "id": "d1", "turn": "t1"}),
    ];
    assert_eq!(*stage.sent.borrow(), wanted.map(|frame| (all_of("abc"), frame)));
}

#[test]
fn a_question_and_its_end_are_shown_where_it_was_asked() {
    let stage = Stage::default();
    ask(&stage, &question()).unwrap();
    let by = Some(Sender { id: "owner".into(), name: "Ada".into() });
    let verdict = Verdict { approval: question(), decision: Some(Decision::Deny), by, receipt: None };
    decided(&stage, &verdict).unwrap();
    decided(&stage, &Verdict { decision: None, by: None, ..verdict }).unwrap();
    let sent = stage.sent.borrow();
    assert_eq!(sent[0].0, all_of("abc"));
    assert_eq!(sent[1], (all_of("abc"), json!({"type": "decided", "id": "a1", "decision": "deny", "by": "Ada"})));
    assert_eq!(sent[2], (all_of("abc"), json!({"type": "decided", "id": "a1", "decision": null, "by": null})));
}

#[test]
fn changes_are_told_to_every_signed_in_page() {
    let stage = Stage::default();
    for update in [Update::Sessions(vec!["web:abc".into()]), Update::Models, Update::Worker("report".into())] {
        notify(&stage, &update).unwrap();
    }
    let to_all = |what: &str| (Target::Tagged("all".into()), json!({"type": "changed", "what": what}));
    assert_eq!(*stage.sent.borrow(), [to_all("sessions"), to_all("models")]);
}

#[test]
fn the_page_never_takes_text_for_markup() {
    for (name, script) in [
        ("app.js", include_str!("../../page/app.js")),
        ("link.js", include_str!("../../page/link.js")),
        ("markdown.js", include_str!("../../page/markdown.js")),
    ] {
        for way in
            ["innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "Function(", "localStorage"]
        {
            assert!(!script.contains(way), "{name} uses {way}");
        }
    }
}
