use serde_json::{Value, json};

use crate::contract::exports::openpista::plugin::approvals::Verdict;
use crate::contract::exports::openpista::plugin::channel::{
    Alarm, ChannelError, Delivery, DeliveryContent, DeliveryError, Draft, Event, Outcome, Preference, Reply, Source,
    TransportKind,
};
use crate::contract::exports::openpista::plugin::http_handler::Incoming;
use crate::contract::openpista::connection::connection::{Frame, Target};
use crate::contract::openpista::gateway::gateway::{Approval, Attachment, Decision, Inbound, Notice, Sender};
use crate::contract::openpista::http::exchange::{Request, Response};
use crate::contract::openpista::types::types::{Media, Usage};
use crate::settings::Settings;
use crate::show::Chat;
use crate::stage::{NOW, Stage, Web};
use crate::{ask, files, incoming, register, said};

const DIRECT: &str = "slack:D1";
const THREAD: &str = "slack:C1/1700.5";

fn with(settings: Value) -> Stage {
    Stage { web: Web { settings: Settings::parse(&settings.to_string()), ..Web::default() }, ..Stage::default() }
}

fn merged(mut one: Value, other: Value) -> Value {
    one.as_object_mut().unwrap().extend(other.as_object().unwrap().clone());
    one
}

fn framed(stage: &Stage, text: &str) -> Result<(), ChannelError> {
    let source = Source { transport: "socket".into(), connection: 5, tags: vec![] };
    incoming::receive(stage.api(), &Event::Frame((source, Frame::Text(text.into()))))
}

fn envelope(stage: &Stage, kind: &str, payload: &Value) {
    framed(stage, &json!({"envelope_id": "e1", "type": kind, "payload": payload}).to_string()).unwrap();
}

/// An event about a message of person 7, in a direct message unless `more` says otherwise.
fn event(ts: &str, text: &str, more: Value) -> Value {
    let event = json!({"type": "message", "channel": "D1", "channel_type": "im", "user": "7", "text": text, "ts": ts});
    json!({"type": "event_callback", "event_id": "Ev1", "event": merged(event, more)})
}

fn says(stage: &Stage, ts: &str, text: &str, more: Value) {
    envelope(stage, "events_api", &event(ts, text, more));
}

fn in_channel(stage: &Stage, ts: &str, text: &str, more: Value) {
    says(stage, ts, text, merged(json!({"channel": "C1", "channel_type": "channel"}), more));
}

fn said(stage: &Stage) -> Vec<(String, String)> {
    let submitted = stage.submitted.borrow();
    submitted.iter().map(|inbound| (inbound.conversation.clone(), inbound.text.clone())).collect()
}

fn texts(stage: &Stage) -> Vec<String> {
    said(stage).into_iter().map(|(_, text)| text).collect()
}

fn delivery(conversation: &str, receipt: Option<&str>, content: DeliveryContent) -> Delivery {
    Delivery {
        id: "d1".into(),
        conversation: conversation.into(),
        turn: Some("t1".into()),
        handle: None,
        receipt: receipt.map(str::to_string),
        content,
    }
}

fn reply(text: &str) -> DeliveryContent {
    let usage = Usage { input: 0, output: 0, cache_read: 0, cache_write: 0, cost: None };
    DeliveryContent::Reply(Reply { text: text.into(), usage, model: "a/b".into() })
}

fn draft(text: &str) -> DeliveryContent {
    DeliveryContent::Draft(Draft { text: text.into(), since: 0, reasoning: String::new() })
}

fn show(stage: &Stage, place: &str, receipt: Option<&str>, content: DeliveryContent) -> Result<Outcome, DeliveryError> {
    Chat::of(stage.api(), place)?.deliver(delivery(place, receipt, content))
}

/// Delivers until it is done; the receipt and the number of calls.
fn to_the_end(stage: &Stage, receipt: Option<&str>, text: &str) -> (String, usize) {
    let mut receipt = receipt.map(str::to_string);
    for calls in 1..30 {
        match show(stage, DIRECT, receipt.as_deref(), reply(text)).unwrap() {
            Outcome::Done(done) => return (done.unwrap(), calls),
            Outcome::Part((part, 0)) => receipt = Some(part),
            other => panic!("{other:?}"),
        }
    }
    panic!("it does not end")
}

#[test]
fn the_socket_is_dialled_at_an_address_that_is_asked_for_each_time() {
    let stage = Stage::default();
    let setup = register::open(&stage, &stage.settings).unwrap();
    assert_eq!(setup.transports[0].kind, TransportKind::Dial);
    assert_eq!(setup.preferences, [Preference::Drafts(1_200)]);
    for _ in 0..2 {
        let request = register::next(stage.api()).unwrap();
        assert_eq!(
            (request.method.as_str(), request.url.as_str()),
            ("GET", "wss://wss-primary.slack.com/link/?ticket=1")
        );
    }
    assert_eq!((stage.called("auth.test").len(), stage.called("apps.connections.open").len()), (1, 2));
    let asked = stage.asked.borrow();
    let shown = |at: usize| (asked[at].url.as_str(), asked[at].headers[0].1.as_str());
    assert_eq!(shown(0), ("https://slack.com/api/auth.test", "Bearer <bot-token>"));
    assert_eq!(shown(1), ("https://slack.com/api/apps.connections.open", "Bearer <app-token>"));
}

#[test]
fn trouble_on_the_way_to_the_socket_says_whether_a_person_is_needed() {
    type Is = fn(&ChannelError) -> bool;
    let person: Is = |error| matches!(error, ChannelError::AuthRequired(_));
    let later: Is = |error| matches!(error, ChannelError::Unavailable(_));
    for (method, status, error, right) in [
        ("auth.test", 200, "invalid_auth", person),
        ("auth.test", 200, "token_revoked", person),
        ("apps.connections.open", 200, "not_allowed_token_type", person),
        ("apps.connections.open", 429, "ratelimited", later),
        ("apps.connections.open", 500, "internal_error", later),
    ] {
        let stage = Stage::default();
        stage.fails(method, status, error);
        let said = register::next(stage.api()).unwrap_err();
        assert!(right(&said), "{method} {error}: {said:?}");
    }
}

#[test]
fn a_token_that_is_refused_is_told_until_it_is_good_again() {
    let stage = with(json!({"mode": "events"}));
    let setup = register::open(&stage, &stage.settings).unwrap();
    assert_eq!(setup.transports[0].kind, TransportKind::Http("/".into()));
    let rings = || incoming::receive(stage.api(), &Event::Alarm(Alarm { name: "check".into(), source: None })).unwrap();
    stage.fails("auth.test", 200, "account_inactive");
    stage.fails("auth.test", 503, "service_unavailable");
    (0..3).for_each(|_| rings());
    let told = stage.told.borrow();
    assert!(matches!(&told[..], [Notice::Text(words), Notice::Clear] if words.contains("bot-token")), "{told:?}");
    let alarms: Vec<u64> = stage.alarms.borrow().iter().map(|(_, after, _)| *after).collect();
    assert_eq!(alarms, [100, 15_000, 15_000, 60_000]);
    envelope(&stage, "events_api", &json!({"event": {"type": "tokens_revoked"}}));
    assert_eq!(stage.alarms.borrow().last().unwrap().1, 100);
}

#[test]
fn a_direct_message_is_taken_and_its_envelope_acknowledged() {
    let stage = Stage::default();
    says(&stage, "1700000000.000100", "hello &lt;you&gt;", json!({}));
    assert_eq!(
        *stage.submitted.borrow(),
        [Inbound {
            id: "D1/1700000000.000100".into(),
            conversation: DIRECT.into(),
            sender: Sender { id: "7".into(), name: "Ann Bo".into() },
            text: "hello <you>".into(),
            attachments: vec![],
            sent: 1_700_000_000_000,
            handle: None,
        }]
    );
    assert_eq!(*stage.sent.borrow(), [(Target::One(5), r#"{"envelope_id":"e1"}"#.to_string())]);
    says(&stage, "1700000001.000100", "in a thread", json!({"thread_ts": "1700.5"}));
    assert_eq!(said(&stage)[1].0, "slack:D1/1700.5");
    assert_eq!(stage.called("users.info").len(), 1, "a name is kept");
}

#[test]
fn what_makes_no_sense_is_acknowledged_and_passed() {
    let stage = Stage::default();
    let story = ["message_changed", "message_deleted", "channel_join", "bot_message"];
    for more in [json!({"channel": null}), json!({"ts": null}), json!({"user": null}), json!({"bot_id": "B1"})]
        .into_iter()
        .chain([
            json!({"user": "UBOT"}),
            json!({"user": "USLACKBOT"}),
            json!({"text": " "}),
            json!({"type": "reaction_added"}),
        ])
        .chain(story.map(|kind| json!({"subtype": kind})))
    {
        says(&stage, "1.2", "x", more);
    }
    says(&stage, "1.3", &"x".repeat(300_000), json!({}));
    for (kind, payload) in [("interactive", json!({})), ("slash_commands", json!({})), ("unknown", json!(3))] {
        envelope(&stage, kind, &payload);
    }
    assert_eq!(stage.sent.borrow().len(), 16);
    assert_eq!(texts(&stage), Vec::<String>::new());
    assert!(matches!(framed(&stage, "garbage{"), Err(ChannelError::Malformed(_))));
    for other in ["[]", "3", r#"{"type":"hello","num_connections":1}"#] {
        framed(&stage, other).unwrap();
    }
    framed(&stage, r#"{"type":"disconnect","reason":"refresh_requested"}"#).unwrap();
    assert_eq!((stage.sent.borrow().len(), stage.closed.borrow().clone()), (16, vec![(5, 1_000)]));
}

#[test]
fn in_a_channel_a_mention_begins_a_thread_and_the_thread_goes_on_without() {
    let stage = Stage::default();
    let within = json!({"thread_ts": "1700.5"});
    in_channel(&stage, "1700.4", "just talking", json!({}));
    in_channel(&stage, "1700.5", "<@UBOT> hi <@UBOT2>", json!({"user": "8"}));
    in_channel(&stage, "1700.5", "<@UBOT> hi", json!({"type": "app_mention", "user": "8"}));
    in_channel(&stage, "1700.6", "I am no part of it", within.clone());
    in_channel(&stage, "1700.7", "and this", merged(within.clone(), json!({"user": "8"})));
    show(&stage, THREAD, None, draft("so")).unwrap();
    in_channel(&stage, "1700.8", "now I am", within.clone());
    in_channel(&stage, "1700.9", "elsewhere", json!({"thread_ts": "1700.4"}));
    let heard: Vec<String> = said(&stage).into_iter().map(|(place, text)| format!("{place} {text}")).collect();
    assert_eq!(heard, ["hi @Ann Bo", "hi", "and this", "now I am"].map(|text| format!("{THREAD} {text}")));
    let ids: Vec<String> = stage.submitted.borrow().iter().map(|inbound| inbound.id.clone()).collect();
    assert_eq!(ids[0], ids[1], "one message");

    let all = with(json!({"groups": "all"}));
    in_channel(&all, "1700.4", "just talking", json!({}));
    assert_eq!(said(&all), [("slack:C1/1700.4".to_string(), "just talking".to_string())]);
    let off = with(json!({"groups": "off"}));
    in_channel(&off, "1700.4", "<@UBOT> hi", json!({"type": "app_mention"}));
    assert_eq!(said(&off), []);
}

#[test]
fn markup_of_people_is_read() {
    let name = |user: &str| format!("name of {user}");
    for (written, read) in [
        ("<@UBOT>: what is 1 &lt; 2 &amp;&amp; &gt;?", "what is 1 < 2 && >?"),
        ("ask <@U2|ben> or <@U3>", "ask @ben or @name of U3"),
        ("<#C1|general> <#C2> <!here> <!subteam^S1|@team> <!date^1^x|today>", "#general #C2 @here @team today"),
        (
            "<https://a.test/?x=1&amp;y=2> <https://a.test|a.test> <https://a.test|here>",
            "https://a.test/?x=1&y=2 https://a.test here (https://a.test)",
        ),
        ("<mailto:a@b.test|a@b.test>", "a@b.test"),
        ("1 < 2 and &amp;lt;", "1  2 and &lt;"),
    ] {
        assert_eq!(said::read(written, "UBOT", &name), read);
    }
    for (written, meant) in [("!new", "/new"), ("!model gpt", "/model gpt"), ("!news", "!news"), ("wow!", "wow!")] {
        assert_eq!(said::command(written.into()), meant);
    }
}

#[test]
fn a_name_that_cannot_be_had_holds_up_nothing() {
    let stage = Stage::default();
    stage.fails("users.info", 200, "missing_scope");
    says(&stage, "1.1", "one", json!({}));
    says(&stage, "1.2", "two", json!({}));
    stage.now.set(NOW + 48 * 3_600_000);
    stage.fails("users.info", 429, "ratelimited");
    says(&stage, "1.3", "three", json!({}));
    let names: Vec<String> = stage.submitted.borrow().iter().map(|inbound| inbound.sender.name.clone()).collect();
    assert_eq!(names, ["7", "Ann Bo", "Ann Bo"]);
    assert_eq!(stage.called("users.info").len(), 3);
}

#[test]
fn slash_commands_are_for_direct_messages() {
    let stage = Stage::default();
    let command = |channel: &str, text: &str| {
        let payload =
            json!({"command": "/pista", "channel_id": channel, "user_id": "7", "trigger_id": text, "text": text});
        envelope(&stage, "slash_commands", &payload);
    };
    ["new", "", "what time is it"].iter().for_each(|text| command("D1", text));
    command("C1", "new");
    assert_eq!(texts(&stage), ["/new", "/help", "what time is it"]);
    assert!(stage.sent.borrow()[3].1.contains(r#""payload":{"text":"Here, mention me"#));
}

#[test]
fn files_come_by_their_address_and_with_the_token() {
    let stage = Stage::default();
    let shot = json!({
        "id": "F1", "mimetype": "image/png", "name": "a.png", "size": 3,
        "url_private": "https://files.slack.com/files-pri/T-F1/a.png"
    });
    let others = json!([
        shot, {"id": "F2", "file_access": "check_file_info"}, {"id": "F3", "mode": "tombstone"},
        {"id": "F4", "is_external": true, "title": "plan", "url_private": "https://docs.test/x"}
    ]);
    says(&stage, "1.1", "", json!({"subtype": "file_share", "files": others}));
    let inbound = stage.submitted.borrow()[0].clone();
    assert_eq!(inbound.text, "📎 plan: https://docs.test/x");
    let references: Vec<String> = inbound
        .attachments
        .iter()
        .map(|one| match one {
            Attachment::Later(reference) => reference.clone(),
            Attachment::Media(_) => panic!("the bytes are not here"),
        })
        .collect();
    assert_eq!(references.len(), 2);

    *stage.file.borrow_mut() = ("image/png".into(), vec![1, 2, 3]);
    let fetched = files::fetch(stage.api(), &references[0]).unwrap();
    assert_eq!(fetched, Media { mime: "image/png".into(), name: Some("a.png".into()), data: vec![1, 2, 3] });
    assert_eq!(stage.asked.borrow().last().unwrap().headers[0].1, "Bearer <bot-token>");
    files::fetch(stage.api(), &references[1]).unwrap();
    assert_eq!(stage.called("files.info")[0]["file"], "F2");
    *stage.file.borrow_mut() = ("text/html; charset=utf-8".into(), b"<!DOCTYPE html>".to_vec());
    let page = files::fetch(stage.api(), &references[0]).unwrap_err();
    assert!(matches!(&page, ChannelError::Other(why) if why.contains("files:read")), "{page:?}");
    let large = json!({"url": "https://files.slack.com/files-pri/x", "size": 20_000_000}).to_string();
    assert!(matches!(files::fetch(stage.api(), &large), Err(ChannelError::Malformed(_))));
}

fn asks(stage: &Stage, method: &str, at: u64, signature: &str, kind: &str, body: &str) -> Response {
    let header = |name: &str, value: &str| (name.to_string(), value.to_string());
    let request = Request {
        method: method.into(),
        url: "/".into(),
        headers: vec![
            header("x-slack-request-timestamp", &(at / 1_000).to_string()),
            header("x-slack-signature", signature),
            header("content-type", kind),
        ],
        body: body.as_bytes().to_vec(),
    };
    let incoming = Incoming { transport: "events".into(), request, peer: "1.2.3.4".into() };
    incoming::handle(stage.api(), &incoming).unwrap()
}

#[test]
fn a_request_is_believed_only_with_a_fresh_signature() {
    let stage = with(json!({"mode": "events"}));
    let right = format!("v0={}", hex::encode("mac"));
    let body = event("1.1", "hello", json!({})).to_string();
    let status = |method, at, signature: &str| asks(&stage, method, at, signature, "application/json", &body).status;
    assert_eq!(status("GET", NOW, &right), 405);
    for (at, signature) in
        [(NOW, "v0=00"), (NOW, ""), (NOW, "mac"), (NOW, "v0=zz"), (NOW - 301_000, &right), (NOW + 301_000, &right)]
    {
        assert_eq!(status("POST", at, signature), 401, "{at} {signature}");
    }
    assert_eq!(texts(&stage), Vec::<String>::new());
    assert_eq!(status("POST", NOW - 299_000, &right), 200);
    assert_eq!(texts(&stage), ["hello"]);
    let challenge =
        asks(&stage, "POST", NOW, &right, "application/json", r#"{"type":"url_verification","challenge":"c!"}"#);
    assert_eq!((challenge.status, challenge.body), (200, b"c!".to_vec()));
    assert_eq!(asks(&stage, "POST", NOW, &right, "application/json", "{").status, 200);

    let form = "application/x-www-form-urlencoded";
    let command = "command=%2Fpista&text=status+now&channel_id=D1&user_id=7&trigger_id=1.2";
    assert_eq!(asks(&stage, "POST", NOW, &right, form, command).body, Vec::<u8>::new());
    assert_eq!(texts(&stage)[1], "/status now");
    let elsewhere = asks(&stage, "POST", NOW, &right, form, &command.replace("D1", "C1"));
    assert!(String::from_utf8(elsewhere.body).unwrap().contains("ephemeral"));
    let press = "payload=%7B%22type%22%3A%22block_actions%22%2C%22user%22%3A%7B%22id%22%3A%227%22%7D%2C%22actions%22%3A%5B%7B%22value%22%3A%22oopen%22%7D%5D%7D";
    assert_eq!(asks(&stage, "POST", NOW, &right, form, press).status, 200);
    assert_eq!(stage.decided.borrow().len(), 1);
}

#[test]
fn a_reply_replaces_its_draft_and_what_is_shown_is_not_sent_again() {
    let stage = Stage::default();
    let Outcome::Done(Some(receipt)) = show(&stage, DIRECT, None, draft("**Hel")).unwrap() else { panic!() };
    let (receipt, calls) = to_the_end(&stage, Some(&receipt), "**Hello** you");
    assert_eq!(calls, 1);
    let sent = &stage.called("chat.postMessage")[0];
    assert_eq!((&sent["text"], &sent["channel"], sent.get("thread_ts")), (&json!("**Hel"), &json!("D1"), None));
    let edit = &stage.called("chat.update")[0];
    assert_eq!((&edit["text"], &edit["ts"]), (&json!("*Hello* you"), &json!("1700.101")));
    let before = stage.calls.borrow().len();
    to_the_end(&stage, Some(&receipt), "**Hello** you");
    assert_eq!(stage.calls.borrow().len(), before);
    stage.fails("chat.update", 200, "message_not_found");
    let (receipt, _) = to_the_end(&stage, Some("0;55.1=1"), "whole");
    assert!(receipt.contains("1700.102="), "one that was deleted is sent anew: {receipt}");
}

#[test]
fn a_long_reply_is_sent_in_parts_that_each_have_a_receipt() {
    let stage = Stage::default();
    let text = format!("{}\n\n```rust\n{}```\n\nend", "word & ".repeat(350), "let a = 1;\n".repeat(300));
    let (receipt, calls) = to_the_end(&stage, None, &text);
    let sent = stage.called("chat.postMessage");
    assert_eq!((calls, sent.len()), (2, 2));
    assert!(sent[1]["text"].as_str().unwrap().starts_with("```\nlet a"), "whole");
    stage.fails("chat.postMessage", 429, "ratelimited");
    let first = receipt.split(',').next().unwrap();
    assert_eq!(show(&stage, DIRECT, Some(first), reply(&text)), Err(DeliveryError::RetryAfter(3_000)));
    let (_, calls) = to_the_end(&stage, Some(first), &text);
    assert_eq!((calls, stage.called("chat.postMessage").len()), (1, 4), "only what was missing");
    to_the_end(&stage, Some(&receipt), "short after all");
    assert_eq!(stage.called("chat.delete").len(), 1);
    let (_, calls) = to_the_end(&stage, None, &"many words ".repeat(6_000));
    assert_eq!((calls, stage.called("files.completeUploadExternal").len()), (9, 1), "beyond all measure: a file");
}

#[test]
fn errors_of_the_api_say_whether_to_try_again() {
    type Is = fn(&DeliveryError) -> bool;
    let gone: Is = |error| matches!(error, DeliveryError::Gone(_));
    let later: Is = |error| matches!(error, DeliveryError::Unavailable(_));
    let never: Is = |error| matches!(error, DeliveryError::Rejected(_));
    let token: Is = |error| matches!(error, DeliveryError::AuthRequired(_));
    let cases: [(u16, &str, Is); 10] = [
        (200, "channel_not_found", gone),
        (200, "is_archived", gone),
        (200, "not_in_channel", never),
        (200, "missing_scope", never),
        (200, "msg_too_long", never),
        (200, "invalid_auth", token),
        (200, "account_inactive", token),
        (200, "internal_error", later),
        (503, "whatever", later),
        (200, "something_new", never),
    ];
    for (status, error, right) in cases {
        let stage = Stage::default();
        stage.fails("chat.postMessage", status, error);
        let said = show(&stage, DIRECT, None, reply("x")).unwrap_err();
        assert!(right(&said), "{status} {error}: {said:?}");
    }
    let stage = Stage::default();
    let page = Response { status: 502, headers: vec![], body: b"<html>".to_vec() };
    stage.next.borrow_mut().push_back(("chat.postMessage".into(), page));
    assert!(later(&show(&stage, DIRECT, None, reply("x")).unwrap_err()));
    let limit = Response { status: 429, headers: vec![("retry-after".into(), "7".into())], body: vec![] };
    stage.next.borrow_mut().push_back(("chat.postMessage".into(), limit));
    assert_eq!(show(&stage, DIRECT, None, reply("x")), Err(DeliveryError::RetryAfter(7_000)));
    assert!(never(&show(&stage, "web:7", None, reply("x")).unwrap_err()));
}

#[test]
fn notices_failures_and_files_are_shown_where_they_belong() {
    let stage = Stage::default();
    let media = |mime: &str, name: Option<&str>| {
        DeliveryContent::Media(Media { mime: mime.into(), name: name.map(str::to_string), data: b"bytes".to_vec() })
    };
    for content in [
        DeliveryContent::Working,
        DeliveryContent::Failed("*broken*".into()),
        DeliveryContent::Notice("/new - a <b>".into()),
        reply(" "),
        media("image/png", None),
        media("text/plain", Some("a.txt")),
    ] {
        assert!(matches!(show(&stage, THREAD, None, content), Ok(Outcome::Done(_))));
    }
    let sent = stage.called("chat.postMessage");
    let texts: Vec<&str> = sent.iter().map(|sent| sent["text"].as_str().unwrap()).collect();
    assert_eq!(texts, ["❌ *broken*", "/new - a &lt;b&gt;", "✅"]);
    assert!(sent.iter().all(|sent| sent["mrkdwn"] == "false" && sent["thread_ts"] == "1700.5"), "{sent:?}");
    let names: Vec<Value> =
        stage.called("files.getUploadURLExternal").iter().map(|one| one["filename"].clone()).collect();
    assert_eq!(names, ["image.png", "a.txt"]);
    let upload = stage.asked.borrow().iter().find(|one| one.url.ends_with("/bytes")).cloned().unwrap();
    assert_eq!((upload.body.as_slice(), upload.headers.len()), (b"bytes".as_slice(), 1), "without a token");
    let done = &stage.called("files.completeUploadExternal")[0];
    assert_eq!((&done["channel_id"], &done["thread_ts"]), (&json!("C1"), &json!("1700.5")));
    assert_eq!(done["files"], r#"[{"id":"F9","title":"image.png"}]"#);
}

fn approval(command: &str) -> Approval {
    Approval {
        id: "open".into(),
        conversation: THREAD.into(),
        handle: None,
        tool: "system.run".into(),
        summary: "ls -la".into(),
        arguments: json!({"command": command}).to_string(),
        expires: NOW + 600_000,
    }
}

fn blocks(call: &serde_json::Map<String, Value>) -> Value {
    serde_json::from_str(call["blocks"].as_str().unwrap()).unwrap()
}

#[test]
fn a_question_has_buttons_and_its_end_takes_them_away() {
    let stage = Stage::default();
    let chat = Chat::of(stage.api(), THREAD).unwrap();
    assert_eq!(ask::ask(&chat, &approval("ls -la <x>")), Ok(Outcome::Done(Some("1700.101".into()))));
    let sent = blocks(&stage.called("chat.postMessage")[0]);
    assert_eq!(sent[0]["text"]["text"], "May I run *system.run*?\n\n```\nls -la &lt;x&gt;\n```");
    let buttons = sent[1]["elements"].as_array().unwrap();
    let values: Vec<&str> = buttons.iter().map(|one| one["value"].as_str().unwrap()).collect();
    assert_eq!(values, ["oopen", "sopen", "dopen"]);

    let by = Some(Sender { id: "7".into(), name: "Ann".into() });
    let mut verdict =
        Verdict { approval: approval("ls"), decision: Some(Decision::AllowOnce), by, receipt: Some("1700.101".into()) };
    ask::decided(&chat, &verdict).unwrap();
    let edit = blocks(&stage.called("chat.update")[0]);
    assert!(edit[0]["text"]["text"].as_str().unwrap().ends_with("✅ Allowed by Ann"), "{edit}");
    assert_eq!(edit.as_array().unwrap().len(), 1);
    stage.fails("chat.update", 200, "message_not_found");
    (verdict.decision, verdict.by) = (None, None);
    ask::decided(&chat, &verdict).unwrap();
    verdict.receipt = None;
    ask::decided(&chat, &verdict).unwrap();
    assert_eq!(stage.called("chat.update").len(), 2);

    ask::ask(&chat, &approval(&"<".repeat(2_400))).unwrap();
    let long = blocks(&stage.called("chat.postMessage")[1]);
    assert!(long[0]["text"]["text"].as_str().unwrap().len() <= 3_000);
}

#[test]
fn a_button_counts_once_and_for_who_was_asked() {
    let stage = Stage::default();
    let press = |user: &str, value: &str| {
        let payload = json!({
            "type": "block_actions", "user": {"id": user}, "channel": {"id": "C1"},
            "message": {"ts": "1700.101", "thread_ts": "1700.5"}, "actions": [{"value": value}]
        });
        envelope(&stage, "interactive", &payload);
    };
    stage.fails("chat.postEphemeral", 200, "user_not_in_channel");
    for (user, value) in [("8", "oopen"), ("7", "sopen"), ("7", "dgone"), ("7", "?")] {
        press(user, value);
    }
    assert_eq!(*stage.decided.borrow(), [("open".to_string(), "7".to_string(), Decision::AllowSession)]);
    let told: Vec<(Value, Value)> =
        stage.called("chat.postEphemeral").iter().map(|one| (one["user"].clone(), one["text"].clone())).collect();
    let line = |user: &str, text: &str| (json!(user), json!(text));
    assert_eq!(
        told,
        [
            line("8", "Only the person who was asked can answer this."),
            line("7", "This is answered already, or its time is over."),
            line("7", "This button is none of mine."),
        ]
    );
    assert_eq!(stage.sent.borrow().len(), 4, "acknowledged");
}
