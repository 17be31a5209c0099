use openpista_plugin::messenger::Groups;
use openpista_plugin::shown::Shown;
use serde_json::{Value, json};

use crate::contract::exports::openpista::plugin::approvals::Verdict;
use crate::contract::exports::openpista::plugin::channel::{
    Alarm, ChannelError, Closed, Delivery, DeliveryContent, DeliveryError, Draft, Event, Opened, Outcome, Preference,
    Reply, Source, TransportKind,
};
use crate::contract::openpista::connection::connection::{Frame, Target};
use crate::contract::openpista::gateway::gateway::{Approval, Attachment, Decision, Inbound, Notice, Sender};
use crate::contract::openpista::types::types::{Media, Usage};
use crate::handle::Handle;
use crate::settings::Settings;
use crate::show::Chat;
use crate::stage::{NOW, Stage, Web};
use crate::{ask, commands, files, incoming, session};

const HERE: &str = "discord:500";
/// A snowflake of a second before the clock's beginning.
const ID: u64 = (NOW - 1_000 - 1_420_070_400_000) << 22;

fn source() -> Source {
    Source { transport: "gateway".into(), connection: 3, tags: vec![] }
}

fn takes(stage: &Stage, event: &Event) -> Result<(), ChannelError> {
    incoming::receive(stage.api(), event)
}

fn frame(stage: &Stage, frame: Value) -> Result<(), ChannelError> {
    takes(stage, &Event::Frame((source(), Frame::Text(frame.to_string()))))
}

fn ready(stage: &Stage) {
    let data = json!({
        "session_id": "s1", "resume_gateway_url": "wss://resume.discord.gg",
        "user": {"id": "42", "username": "pista", "bot": true}, "application": {"id": "43"}
    });
    frame(stage, json!({"op": 0, "s": 1, "t": "READY", "d": data})).unwrap();
}

fn with(settings: Value) -> Stage {
    let stage =
        Stage { web: Web { settings: Settings::parse(&settings.to_string()), ..Web::default() }, ..Stage::default() };
    ready(&stage);
    stage
}

fn event(stage: &Stage, kind: &str, number: u64, data: Value) {
    frame(stage, json!({"op": 0, "s": number, "t": kind, "d": data})).unwrap();
}

/// A message of person 7, to the bot alone unless `more` says otherwise.
fn says(stage: &Stage, number: u64, text: &str, more: Value) {
    let mut message = json!({
        "id": (ID + number).to_string(), "channel_id": "500", "type": 0, "content": text, "mentions": [],
        "author": {"id": "7", "username": "ann", "global_name": "Ann"}
    });
    message.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    event(stage, "MESSAGE_CREATE", number, message);
}

fn texts(stage: &Stage) -> Vec<String> {
    stage.submitted.borrow().iter().map(|inbound| inbound.text.clone()).collect()
}

fn sent(stage: &Stage) -> Vec<Value> {
    stage.sent.borrow().iter().map(|(_, text)| serde_json::from_str(text).unwrap()).collect()
}

fn rings(stage: &Stage, name: &str) -> Result<(), ChannelError> {
    let on = (name != commands::ALARM).then(source);
    takes(stage, &Event::Alarm(Alarm { name: name.into(), source: on }))
}

#[test]
fn it_dials_says_who_it_is_and_beats() {
    let stage = Stage::default();
    let setup = session::open(&stage, &stage.settings).unwrap();
    assert_eq!(setup.transports[0].kind, TransportKind::Dial);
    assert_eq!(setup.preferences, [Preference::Working(8_000), Preference::Drafts(1_500)]);
    assert_eq!(session::next(stage.api()).unwrap().url, "wss://gateway.discord.gg?v=10&encoding=json");
    let opened = Opened { source: source(), peer: None, path: String::new(), headers: vec![] };
    takes(&stage, &Event::Opened(opened)).unwrap();
    frame(&stage, json!({"op": 10, "d": {"heartbeat_interval": 41_250}})).unwrap();
    assert_eq!(sent(&stage)[0]["op"], 2);
    assert_eq!(sent(&stage)[0]["d"]["token"], "<bot-token>");
    assert_eq!(sent(&stage)[0]["d"]["intents"], (1 << 9) | (1 << 12), "no privileged one");
    assert_eq!(stage.sent.borrow()[0].0, Target::One(3));
    ready(&stage);
    rings(&stage, session::SIGNED_IN).unwrap();
    rings(&stage, session::BEAT).unwrap();
    assert_eq!(sent(&stage)[1], json!({"op": 1, "d": 1}));
    frame(&stage, json!({"op": 11})).unwrap();
    rings(&stage, session::BEAT).unwrap();
    frame(&stage, json!({"op": 1})).unwrap();
    assert_eq!((sent(&stage).len(), stage.closed.borrow().len()), (4, 0));
    rings(&stage, session::BEAT).unwrap();
    assert_eq!(*stage.closed.borrow(), [(3, 4_000)], "the last but one was not answered");
    let alarms: Vec<(String, u64)> =
        stage.alarms.borrow().iter().map(|(name, after, _)| (name.clone(), *after)).collect();
    let beat = |after: u64| ("beat".to_string(), after);
    assert_eq!(
        alarms,
        [
            ("signed-in".to_string(), 20_000),
            beat((NOW % 41_250).max(100)),
            ("commands".to_string(), 100),
            beat(41_250),
            beat(41_250)
        ]
    );
}

#[test]
fn a_session_goes_on_behind_its_last_event() {
    let stage = with(json!({}));
    says(&stage, 5, "hi", json!({}));
    takes(&stage, &Event::Closed(Closed { source: source(), code: 1_006, reason: String::new() })).unwrap();
    let dialled = || session::next(stage.api()).unwrap().url;
    assert_eq!(dialled(), "wss://resume.discord.gg?v=10&encoding=json");
    frame(&stage, json!({"op": 10, "d": {"heartbeat_interval": 41_250}})).unwrap();
    let resume = json!({"op": 6, "d": {"token": "<bot-token>", "session_id": "s1", "seq": 5}});
    assert_eq!(sent(&stage), [resume]);
    assert_eq!([dialled(), dialled(), dialled()].map(|url| url.contains("resume")), [true, true, false]);
    frame(&stage, json!({"op": 0, "s": 6, "t": "RESUMED", "d": {}})).unwrap();
    assert_eq!(stage.told.borrow().last(), Some(&Notice::Clear));
    assert!(dialled().contains("resume"));
    frame(&stage, json!({"op": 7})).unwrap();
    frame(&stage, json!({"op": 9, "d": true})).unwrap();
    assert!(stage.state.borrow().contains_key("session"));
    frame(&stage, json!({"op": 9, "d": false})).unwrap();
    assert_eq!(*stage.closed.borrow(), [(3, 4_000); 3]);
    frame(&stage, json!({"op": 10, "d": {}})).unwrap();
    assert_eq!(sent(&stage)[1]["op"], 2);
}

#[test]
fn with_other_intents_a_session_begins_anew() {
    let mut stage = with(json!({}));
    stage.web.settings = Settings::parse(r#"{"groups": "all"}"#);
    assert!(!session::next(stage.api()).unwrap().url.contains("resume"));
    frame(&stage, json!({"op": 10, "d": {"heartbeat_interval": 41_250}})).unwrap();
    assert_eq!((&sent(&stage)[0]["op"], &sent(&stage)[0]["d"]["intents"]), (&json!(2), &json!(37_376)));
}

#[test]
fn close_codes_say_whether_to_resume_to_begin_anew_or_to_wait_for_a_person() {
    let close = |code: u16| {
        let stage = with(json!({}));
        let closed = takes(&stage, &Event::Closed(Closed { source: source(), code, reason: String::new() }));
        let kept = stage.state.borrow().contains_key("session");
        (closed, kept)
    };
    for code in [1_000, 1_001, 1_006, 1_012, 4_000, 4_001, 4_002, 4_005, 4_008] {
        assert_eq!(close(code), (Ok(()), true), "{code}");
    }
    for code in [4_003, 4_007, 4_009] {
        assert_eq!(close(code), (Ok(()), false), "{code}");
    }
    for (code, words) in [
        (4_004, "Reset Token"),
        (4_010, "more servers"),
        (4_011, "more servers"),
        (4_012, "newer"),
        (4_013, "newer"),
        (4_014, "turn on the Message Content Intent"),
    ] {
        let (Err(ChannelError::AuthRequired(said)), _) = close(code) else { panic!("{code}") };
        assert!(said.contains(words), "{said}");
    }
}

#[test]
fn a_gateway_that_takes_connections_and_says_nothing_is_left_and_told_of() {
    let stage = Stage::default();
    session::next(stage.api()).unwrap();
    rings(&stage, session::SIGNED_IN).unwrap();
    assert_eq!(*stage.closed.borrow(), [(3, 4_000)]);
    let told = stage.told.borrow().clone();
    assert!(matches!(&told[..], [Notice::Text(told)] if told.contains("does not sign the bot in")), "{told:?}");
}

#[test]
fn nonsense_is_passed_over() {
    let stage = with(json!({}));
    for text in ["", "{", "[]", "{}", r#"{"op":"x"}"#] {
        let nonsense = takes(&stage, &Event::Frame((source(), Frame::Text(text.into()))));
        assert!(matches!(nonsense, Err(ChannelError::Malformed(_))), "{text}");
    }
    assert!(takes(&stage, &Event::Frame((source(), Frame::Binary(vec![1])))).is_err());
    event(&stage, "MESSAGE_CREATE", 2, json!({}));
    event(&stage, "MESSAGE_CREATE", 3, json!({"id": "1", "channel_id": "2", "author": {}, "content": "x"}));
    event(&stage, "INTERACTION_CREATE", 4, json!({"type": 3}));
    event(&stage, "READY", 5, json!({}));
    event(&stage, "SOMETHING_NEW", 6, json!("?"));
    frame(&stage, json!({"op": 99})).unwrap();
    says(&stage, 8, "after", json!({}));
    assert_eq!((texts(&stage), stage.warned.borrow().len()), (vec!["after".to_string()], 4));
    assert_eq!(stage.state.borrow().get("sequence").map(String::as_str), Some("8"));
}

#[test]
fn of_events_that_bring_nothing_not_each_is_noted() {
    let stage = with(json!({}));
    let noted = || stage.state.borrow().get("sequence").cloned();
    assert_eq!(noted().as_deref(), Some("1"));
    (2..101).for_each(|number| event(&stage, "TYPING_START", number, json!({})));
    assert_eq!(noted().as_deref(), Some("1"));
    event(&stage, "TYPING_START", 101, json!({}));
    assert_eq!(noted().as_deref(), Some("101"));
    says(&stage, 102, "hello", json!({}));
    assert_eq!(noted().as_deref(), Some("102"));
}

#[test]
fn a_message_is_taken_with_its_number() {
    let stage = with(json!({}));
    says(&stage, 2, "hello", json!({}));
    let id = (ID + 2).to_string();
    assert_eq!(
        *stage.submitted.borrow(),
        [Inbound {
            id: id.clone(),
            conversation: HERE.into(),
            sender: Sender { id: "7".into(), name: "Ann".into() },
            text: "hello".into(),
            attachments: vec![],
            sent: NOW - 1_000,
            handle: Some(json!({"id": id, "named": false}).to_string()),
        }]
    );
}

#[test]
fn in_a_server_only_what_is_meant_for_the_bot_is_taken() {
    let stage = with(json!({}));
    let me = json!([{"id": "42", "username": "pista"}]);
    let in_server = |more: Value| {
        let mut all = json!({"guild_id": "9"});
        all.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        all
    };
    let answers = |id: &str| in_server(json!({"type": 19, "referenced_message": {"author": {"id": id}}}));
    says(&stage, 2, "just talking", in_server(json!({})));
    says(&stage, 3, "<@42>: what is this?", in_server(json!({"mentions": me})));
    says(
        &stage,
        4,
        "hey <@!42> and <@8>, come",
        in_server(json!({"mentions": [me[0], {"id": "8", "username": "ben"}]})),
    );
    says(&stage, 5, "an answer", answers("42"));
    says(&stage, 6, "an answer to another", answers("43"));
    says(&stage, 7, "to a thread", in_server(json!({"mentions": me, "channel_id": "501"})));
    says(&stage, 8, "by a bot", json!({"author": {"id": "8", "bot": true}}));
    says(&stage, 9, "by itself", json!({"author": {"id": "42", "bot": true}}));
    says(&stage, 10, "by a hook", json!({"webhook_id": "1"}));
    says(&stage, 11, "somebody joined", json!({"type": 7}));
    says(&stage, 12, "", in_server(json!({"mentions": me})));
    says(&stage, 13, "", json!({"sticker_items": [{"name": "wave"}]}));
    assert_eq!(texts(&stage), ["what is this?", "hey @pista and @ben, come", "an answer", "to a thread", "wave"]);
    let places: Vec<String> = stage.submitted.borrow().iter().map(|one| one.conversation.clone()).collect();
    assert_eq!(places, [HERE, HERE, HERE, "discord:501", HERE]);
    assert!(stage.submitted.borrow()[0].handle.as_ref().unwrap().contains("\"named\":true"));
}

#[test]
fn the_setting_for_servers_opens_or_closes_them() {
    let all = with(json!({"groups": "all"}));
    says(&all, 2, "talk", json!({"guild_id": "9"}));
    assert_eq!(texts(&all), ["talk"]);
    assert_eq!(all.settings.intents(), (1 << 9) | (1 << 12) | (1 << 15));
    let off = with(json!({"groups": "off"}));
    assert_eq!((off.settings.groups, off.settings.intents()), (Groups::Off, 1 << 12));
    says(&off, 2, "<@42> hi", json!({"guild_id": "9", "mentions": [{"id": "42"}]}));
    says(&off, 3, "hi", json!({}));
    assert_eq!(texts(&off), ["hi"]);
    event(&off, "INTERACTION_CREATE", 4, command("status", json!({"guild_id": "9"})));
    assert_eq!((texts(&off).len(), off.called("POST", "/callback")[0]["data"]["flags"].clone()), (1, json!(64)));
}

#[test]
fn files_are_references_that_are_fetched_later() {
    let stage = with(json!({}));
    let file = json!({
        "id": "1", "filename": "a.txt", "content_type": "text/plain; charset=utf-8", "size": 3,
        "url": "https://cdn.discordapp.com/attachments/1/2/a.txt?ex=3"
    });
    says(&stage, 2, "", json!({"attachments": [file, {"filename": "no address"}]}));
    let attachments = stage.submitted.borrow()[0].attachments.clone();
    let [Attachment::Later(reference)] = &attachments[..] else { panic!("{attachments:?}") };
    *stage.file.borrow_mut() = vec![1, 2, 3];
    let fetched = files::fetch(stage.api(), reference).unwrap();
    assert_eq!(fetched, Media { mime: "text/plain".into(), name: Some("a.txt".into()), data: vec![1, 2, 3] });
    assert_eq!(stage.asked.borrow().last().unwrap().headers, [], "the token is not shown there");
    let large = json!({"url": "https://cdn.discordapp.com/x", "size": 20_000_000}).to_string();
    assert!(matches!(files::fetch(stage.api(), &large), Err(ChannelError::Malformed(_))));
    *stage.file.borrow_mut() = vec![0; 11 * 1024 * 1024];
    assert!(matches!(files::fetch(stage.api(), reference), Err(ChannelError::Malformed(_))));
}

#[test]
fn commands_are_registered_once_for_a_bot() {
    let stage = Stage::default();
    rings(&stage, commands::ALARM).unwrap();
    ready(&stage);
    stage.fails("PUT", "/commands", 502, json!("<html>"));
    rings(&stage, commands::ALARM).unwrap();
    rings(&stage, commands::ALARM).unwrap();
    rings(&stage, commands::ALARM).unwrap();
    let told = stage.called("PUT", "/applications/43/commands");
    assert_eq!(told.len(), 2, "the first attempt failed");
    let names: Vec<&str> = told[1].as_array().unwrap().iter().map(|one| one["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["new", "model", "stop", "status", "help"]);
    assert_eq!(stage.alarms.borrow().last().unwrap().1, 60_000);
}

fn command(name: &str, more: Value) -> Value {
    let mut all = json!({
        "id": ID.to_string(), "application_id": "43", "type": 2, "token": "tok", "channel_id": "500",
        "member": {"nick": "Annie", "user": {"id": "7", "username": "ann"}}, "data": {"name": name}
    });
    all.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    all
}

#[test]
fn a_slash_command_is_acknowledged_and_answered_where_it_stands() {
    let stage = with(json!({}));
    let option = json!({"data": {"name": "model", "options": [{"name": "name", "value": "a/b"}]}});
    event(&stage, "INTERACTION_CREATE", 2, command("model", option));
    assert_eq!(stage.called("POST", &format!("/interactions/{ID}/tok/callback")), [json!({"type": 5})]);
    let inbound = stage.submitted.borrow()[0].clone();
    assert_eq!((inbound.text.as_str(), inbound.sender.name.as_str()), ("/model a/b", "Annie"));
    let notice = |handle: &Option<String>| Delivery {
        id: "command-1".into(),
        turn: None,
        handle: handle.clone(),
        ..delivery(None, DeliveryContent::Notice("From now on.".into()))
    };
    let chat = Chat::of(stage.api(), HERE).unwrap();
    chat.deliver(notice(&inbound.handle)).unwrap();
    let answered = stage.called("PATCH", "/webhooks/43/tok/messages/@original");
    assert_eq!(answered, [json!({"content": "From now on.", "allowed_mentions": {"parse": []}})]);
    let shown = |stage: &Stage| stage.asked.borrow().iter().any(|one| one.url.contains("tok") && one.headers.len() > 2);
    assert!(!shown(&stage), "the bot's token is not shown there");

    // The address is gone, or its time is over.
    stage.fails("PATCH", "@original", 401, json!({"code": 50_027, "message": "Invalid Webhook Token"}));
    chat.deliver(notice(&inbound.handle)).unwrap();
    assert_eq!(stage.called("POST", "/channels/500/messages").len(), 1);
    stage.now.set(NOW + 14 * 60 * 1_000);
    chat.deliver(notice(&inbound.handle)).unwrap();
    assert_eq!((stage.called("POST", "/channels/500/messages").len(), answered.len()), (2, 1));

    // Not acknowledged in time: it is still obeyed, and answered in the channel.
    stage.fails("POST", "/callback", 404, json!({"code": 10_062, "message": "Unknown interaction"}));
    event(&stage, "INTERACTION_CREATE", 3, command("status", json!({})));
    let late = stage.submitted.borrow()[1].clone();
    assert_eq!((late.text.as_str(), Handle::parse(late.handle.as_deref()).interaction), ("/status", None));
    // Taken again after a cut.
    stage.fails("POST", "/callback", 400, json!({"code": 40_060, "message": "already been acknowledged"}));
    event(&stage, "INTERACTION_CREATE", 4, command("status", json!({})));
    assert!(Handle::parse(stage.submitted.borrow()[2].handle.as_deref()).interaction.is_some());
    assert!(stage.warned.borrow().iter().all(|warning| !warning.contains("tok")), "{:?}", stage.warned.borrow());
}

fn delivery(receipt: Option<&str>, content: DeliveryContent) -> Delivery {
    Delivery {
        id: "d1".into(),
        conversation: HERE.into(),
        turn: Some("t1".into()),
        handle: Some(Handle { id: "70".into(), named: true, interaction: None }.text()),
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

fn show(stage: &Stage, receipt: Option<&str>, content: DeliveryContent) -> Result<Outcome, DeliveryError> {
    Chat::of(stage.api(), HERE)?.deliver(delivery(receipt, content))
}

/// Delivers until it is done; the receipt and the number of calls.
fn to_the_end(stage: &Stage, receipt: Option<&str>, text: &str) -> (String, usize) {
    let mut receipt = receipt.map(str::to_string);
    for calls in 1..30 {
        match show(stage, receipt.as_deref(), reply(text)).unwrap() {
            Outcome::Done(done) => return (done.unwrap(), calls),
            Outcome::Part((part, 0)) => receipt = Some(part),
            other => panic!("{other:?}"),
        }
    }
    panic!("it does not end")
}

#[test]
fn a_reply_replaces_its_draft_and_nobody_is_called_by_it() {
    let stage = Stage::default();
    let Outcome::Done(Some(receipt)) = show(&stage, None, draft("Hello @everyone, **be")).unwrap() else { panic!() };
    let (receipt, calls) = to_the_end(&stage, Some(&receipt), "Hello @everyone, **behold**");
    assert_eq!(calls, 1);
    let sent = &stage.called("POST", "/messages")[0];
    assert_eq!(sent["content"], "Hello @everyone, \\*\\*be");
    assert_eq!((&sent["allowed_mentions"], &sent["enforce_nonce"]), (&json!({"parse": []}), &json!(true)));
    assert!(sent["nonce"].as_str().unwrap().len() <= 25);
    assert_eq!(sent["message_reference"], json!({"message_id": "70", "fail_if_not_exists": false}));
    let edit = stage.called("PATCH", "/channels/500/messages/101");
    assert_eq!(edit, [json!({"content": "Hello @everyone, **behold**", "allowed_mentions": {"parse": []}})]);
    let before = stage.calls.borrow().len();
    to_the_end(&stage, Some(&receipt), "Hello @everyone, **behold**");
    assert_eq!(stage.calls.borrow().len(), before);
}

#[test]
fn what_was_sent_and_not_noted_is_found_again() {
    let stage = Stage::default();
    show(&stage, None, draft("The beg")).unwrap();
    // A kill: neither receipt nor turn are the same.
    let (receipt, calls) = to_the_end(&stage, None, "The beginning");
    assert_eq!((calls, Shown::parse(Some(&receipt)).messages.len()), (2, 1));
    assert_eq!(stage.called("PATCH", "/messages/101")[0]["content"], "The beginning");
    to_the_end(&stage, None, "The beginning");
    assert_eq!(stage.known.borrow().len(), 1, "one message in all");
    // The service may give back other white space: that is edited once and no more.
    stage.fails("POST", "/messages", 200, json!({"id": "9", "content": "other"}));
    assert_eq!(to_the_end(&stage, None, "The beginning").1, 2);
}

#[test]
fn a_long_reply_is_sent_in_parts_that_each_have_a_receipt() {
    let stage = Stage::default();
    let text = format!("{}\n\n```rust\n{}```\n\nend", "word ".repeat(350), "let a = 1;\n".repeat(100));
    let (receipt, calls) = to_the_end(&stage, None, &text);
    let sent = stage.called("POST", "/messages");
    assert_eq!((calls, sent.len()), (2, 2));
    assert!(sent[1]["content"].as_str().unwrap().starts_with("```rust\nlet a"), "whole");
    assert_ne!(sent[0]["nonce"], sent[1]["nonce"]);
    assert!(sent.iter().all(|one| one["content"].as_str().unwrap().chars().count() <= 2_000));
    let first = receipt.split(',').next().unwrap();
    stage.fails("POST", "/messages", 429, json!({"message": "You are being rate limited.", "retry_after": 0.2501}));
    assert_eq!(show(&stage, Some(first), reply(&text)), Err(DeliveryError::RetryAfter(251)));
    let (_, calls) = to_the_end(&stage, Some(first), &text);
    assert_eq!((calls, stage.known.borrow().len()), (1, 2), "only what was missing");
    to_the_end(&stage, Some(&receipt), "short after all");
    assert_eq!(stage.called("DELETE", "/messages/102").len(), 1);
}

#[test]
fn a_reply_beyond_all_measure_ends_as_a_file() {
    let stage = Stage::default();
    let (_, calls) = to_the_end(&stage, None, &"many words ".repeat(6_000));
    let sent = stage.called("POST", "/messages");
    assert_eq!((calls, sent.len()), (11, 11));
    assert!(sent[10].as_str().unwrap().contains("filename=\"reply.md\""));
}

#[test]
fn when_the_api_takes_no_more_it_is_not_asked() {
    let stage = Stage::default();
    let left = |left: &str| {
        vec![
            ("x-ratelimit-remaining".to_string(), left.to_string()),
            ("x-ratelimit-reset-after".to_string(), "1.5".to_string()),
        ]
    };
    *stage.headers.borrow_mut() = left("0");
    let long = "word ".repeat(500);
    let part = show(&stage, None, reply(&long)).unwrap();
    let Outcome::Part((receipt, 1_500)) = part else { panic!("{part:?}") };
    stage.now.set(NOW + 500);
    assert_eq!(show(&stage, Some(&receipt), reply(&long)), Err(DeliveryError::RetryAfter(1_000)));
    assert_eq!(stage.calls.borrow().len(), 1);
    *stage.headers.borrow_mut() = left("4");
    // Another kind of call, and another channel, have limits of their own.
    show(&stage, Some(&receipt), DeliveryContent::Working).unwrap();
    stage.now.set(NOW + 1_500);
    assert!(matches!(show(&stage, Some(&receipt), reply(&long)), Ok(Outcome::Done(_))));
}

#[test]
fn errors_of_the_api_say_whether_to_try_again() {
    type Is = fn(&DeliveryError) -> bool;
    let gone: Is = |error| matches!(error, DeliveryError::Gone(_));
    let later: Is = |error| matches!(error, DeliveryError::Unavailable(_));
    let never: Is = |error| matches!(error, DeliveryError::Rejected(_));
    let token: Is = |error| matches!(error, DeliveryError::AuthRequired(_));
    let cases: [(u16, Value, Is); 11] = [
        (403, json!({"code": 50_001, "message": "Missing Access"}), gone),
        (403, json!({"code": 50_007, "message": "Cannot send messages to this user"}), gone),
        (404, json!({"code": 10_003, "message": "Unknown Channel"}), gone),
        (400, json!({"code": 50_083, "message": "Thread is archived"}), gone),
        (403, json!("error code: 1020"), later),
        (401, json!({"code": 0, "message": "401: Unauthorized"}), token),
        (500, json!({"message": "500: Internal Server Error", "code": 0}), later),
        (502, json!("<html>"), later),
        (400, json!({"code": 50_035, "message": "Invalid Form Body"}), never),
        (404, json!({"code": 0, "message": "404: Not Found"}), never),
        (413, json!({"code": 40_005, "message": "Request entity too large"}), never),
    ];
    for (status, body, right) in cases {
        let stage = Stage::default();
        stage.fails("POST", "/messages", status, body.clone());
        let error = show(&stage, None, reply("x")).unwrap_err();
        assert!(right(&error), "{status} {body}: {error:?}");
    }
    let stage = Stage::default();
    for place in ["web:7", "discord:", "discord:../7"] {
        assert!(never(&Chat::of(stage.api(), place).err().unwrap()));
    }
}

#[test]
fn a_draft_that_was_deleted_is_sent_anew() {
    let stage = Stage::default();
    stage.fails("PATCH", "/messages/55", 404, json!({"code": 10_008, "message": "Unknown Message"}));
    let (receipt, _) = to_the_end(&stage, Some("0;55=1"), "whole");
    assert_eq!(Shown::parse(Some(&receipt)).messages[0].0, "101");
}

#[test]
fn notices_failures_files_and_the_typing_sign_are_shown() {
    let stage = Stage::default();
    let media = Media { mime: "image/png".into(), name: None, data: b"bytes".to_vec() };
    for content in [
        DeliveryContent::Working,
        DeliveryContent::Failed("*broken*".into()),
        DeliveryContent::Notice("/new - a <b>".into()),
        reply(" "),
        DeliveryContent::Media(media),
    ] {
        assert!(matches!(show(&stage, None, content), Ok(Outcome::Done(_))));
    }
    assert_eq!(stage.called("POST", "/typing"), [json!({})]);
    let sent = stage.called("POST", "/messages");
    let texts: Vec<&str> = sent.iter().filter_map(|sent| sent["content"].as_str()).collect();
    assert_eq!(texts, ["❌ \\*broken\\*", "/new - a \\<b>", "✅"]);
    let form = sent[3].as_str().unwrap();
    for part in ["name=\"payload_json\"", "name=\"files[0]\"; filename=\"image.png\"", "enforce_nonce", "bytes"] {
        assert!(form.contains(part), "{part} in {form}");
    }
}

fn approval(arguments: &str) -> Approval {
    Approval {
        id: "open".into(),
        conversation: HERE.into(),
        handle: Some(Handle { id: "70".into(), named: true, interaction: None }.text()),
        tool: "system.run".into(),
        summary: "ls -la".into(),
        arguments: arguments.into(),
        expires: NOW + 600_000,
    }
}

#[test]
fn a_question_has_buttons_and_its_end_takes_them_away() {
    let stage = Stage::default();
    let chat = Chat::of(stage.api(), HERE).unwrap();
    let short = approval(r#"{"command":"ls -la"}"#);
    assert_eq!(ask::ask(&chat, &short), Ok(Outcome::Done(Some("101".into()))));
    let sent = &stage.called("POST", "/messages")[0];
    assert_eq!(sent["content"], "May I run **system.run**?\n\n```\nls -la\n```");
    assert_eq!(sent["message_reference"]["message_id"], "70");
    let row = sent["components"][0]["components"].as_array().unwrap();
    let data: Vec<&str> = row.iter().map(|button| button["custom_id"].as_str().unwrap()).collect();
    assert_eq!(data, ["oopen", "sopen", "dopen"]);

    let by = Some(Sender { id: "7".into(), name: "Ann".into() });
    let mut verdict = Verdict { approval: short, decision: Some(Decision::AllowOnce), by, receipt: Some("101".into()) };
    ask::decided(&chat, &verdict).unwrap();
    let edit = stage.called("PATCH", "/messages/101").remove(0);
    assert!(edit["content"].as_str().unwrap().ends_with("✅ Allowed by Ann"), "{edit}");
    assert_eq!(edit["components"], json!([]));
    (verdict.decision, verdict.by) = (None, None);
    stage.fails("PATCH", "/messages/101", 404, json!({"code": 10_008, "message": "Unknown Message"}));
    ask::decided(&chat, &verdict).unwrap();
    verdict.receipt = None;
    ask::decided(&chat, &verdict).unwrap();
    assert_eq!(stage.called("PATCH", "/messages/101").len(), 2);
}

#[test]
fn a_long_question_is_shown_whole_and_only_once() {
    let stage = Stage::default();
    let chat = Chat::of(stage.api(), HERE).unwrap();
    let long = approval(&json!({"command": "echo **a**\n".repeat(230)}).to_string());
    // The first message of it is taken, the second one is not.
    stage.fails("POST", "/messages", 200, json!({"id": "1"}));
    stage.fails("POST", "/messages", 502, json!("<html>"));
    assert!(ask::ask(&chat, &long).is_err());
    assert_eq!(ask::ask(&chat, &long), Ok(Outcome::Done(Some("102".into()))));
    let sent = stage.called("POST", "/messages");
    assert_eq!((&sent[0]["nonce"], &sent[1]["nonce"]), (&sent[2]["nonce"], &sent[3]["nonce"]));
    assert!(sent[2]["components"].is_null() && sent[3]["components"].is_array());
    let verdict = Verdict { approval: long, decision: Some(Decision::Deny), by: None, receipt: Some("102".into()) };
    ask::decided(&chat, &verdict).unwrap();
    let edit = stage.called("PATCH", "/messages/102").remove(0);
    let end = edit["content"].as_str().unwrap();
    assert!(end.starts_with("```\necho") && end.ends_with("🚫 Denied") && end.len() < 2_000, "{end}");
}

#[test]
fn a_button_counts_once_and_for_who_was_asked() {
    let stage = with(json!({}));
    for (number, user, data) in [(2, "8", "oopen"), (3, "7", "sopen"), (4, "7", "dgone"), (5, "7", "?")] {
        let press = json!({
            "id": number.to_string(), "type": 3, "token": "tok", "channel_id": "500", "data": {"custom_id": data},
            "user": {"id": user, "username": "u"}
        });
        event(&stage, "INTERACTION_CREATE", number, press);
    }
    assert_eq!(*stage.decided.borrow(), [("open".to_string(), "7".to_string(), Decision::AllowSession)]);
    let word = |text: &str| json!({"type": 4, "data": {"content": text, "flags": 64}});
    assert_eq!(
        stage.called("POST", "/callback"),
        [
            word("Only the person who was asked can answer this."),
            json!({"type": 6}),
            word("This is answered already, or its time is over."),
            word("This button is none of mine."),
        ]
    );
}
