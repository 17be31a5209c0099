use openpista_plugin::messenger::Groups;
use serde_json::{Value, json};

use crate::contract::exports::openpista::plugin::approvals::Verdict;
use crate::contract::exports::openpista::plugin::channel::{
    Alarm, Answer, ChannelError, Delivery, DeliveryContent, DeliveryError, Draft, Event, Outcome, Preference, Reply,
    TransportKind,
};
use crate::contract::exports::openpista::plugin::http_handler::Incoming;
use crate::contract::openpista::gateway::gateway::{Approval, Attachment, Decision, Inbound, Notice, Sender};
use crate::contract::openpista::http::exchange::{Request, Response};
use crate::contract::openpista::types::types::{Media, Usage};
use crate::settings::Settings;
use crate::show::Chat;
use crate::stage::{NOW, Stage, Web};
use crate::{ask, files, incoming, register};

const PRIVATE: &str = "telegram:7";
const GROUP: &str = "telegram:-100";

fn polled(stage: &Stage, status: u16, body: &Value) -> Result<(), ChannelError> {
    let response = Response { status, headers: vec![], body: body.to_string().into_bytes() };
    incoming::receive(stage.api(), &Event::Answer(Answer { transport: "updates".into(), response }))
}

fn updates(stage: &Stage, updates: &[Value]) {
    polled(stage, 200, &json!({"ok": true, "result": updates})).unwrap();
}

/// A message of person 7, in a private chat unless `more` says otherwise.
fn message(update: i64, text: &str, more: Value) -> Value {
    let mut message = json!({
        "message_id": update * 10, "date": 1_700_000_000, "text": text,
        "from": {"id": 7, "is_bot": false, "first_name": "Ann", "last_name": "Bo"}, "chat": {"id": 7, "type": "private"}
    });
    message.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    json!({"update_id": update, "message": message})
}

fn in_group(update: i64, text: &str, more: Value) -> Value {
    let mut all = json!({"chat": {"id": -100, "type": "supergroup"}});
    all.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    message(update, text, all)
}

fn entity(kind: &str, offset: usize, length: usize) -> Value {
    json!({"entities": [{"type": kind, "offset": offset, "length": length}]})
}

fn texts(stage: &Stage) -> Vec<String> {
    stage.submitted.borrow().iter().map(|inbound| inbound.text.clone()).collect()
}

fn with(settings: Value) -> Stage {
    Stage { web: Web { settings: Settings::parse(&settings.to_string()), ..Web::default() }, ..Stage::default() }
}

fn delivery(conversation: &str, receipt: Option<&str>, content: DeliveryContent) -> Delivery {
    Delivery {
        id: "d1".into(),
        conversation: conversation.into(),
        turn: Some("t1".into()),
        handle: Some("70".into()),
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

fn show(
    stage: &Stage,
    conversation: &str,
    receipt: Option<&str>,
    content: DeliveryContent,
) -> Result<Outcome, DeliveryError> {
    Chat::of(stage.api(), conversation)?.deliver(delivery(conversation, receipt, content))
}

/// Delivers until it is done; the receipt and the number of calls.
fn to_the_end(stage: &Stage, receipt: Option<&str>, text: &str) -> (String, usize) {
    let mut receipt = receipt.map(str::to_string);
    for calls in 1..30 {
        match show(stage, PRIVATE, receipt.as_deref(), reply(text)).unwrap() {
            Outcome::Done(done) => return (done.unwrap(), calls),
            Outcome::Part((part, 0)) => receipt = Some(part),
            other => panic!("{other:?}"),
        }
    }
    panic!("it does not end")
}

#[test]
fn the_api_is_told_once_and_then_polled() {
    let stage = Stage::default();
    let setup = register::open(&stage, &stage.settings).unwrap();
    assert_eq!(setup.transports[0].kind, TransportKind::Poll(0));
    assert_eq!(setup.preferences, [Preference::Working(4_500), Preference::Drafts(1_000)]);
    let request = register::next(stage.api()).unwrap();
    assert_eq!(request.url, "https://api.telegram.org/bot<bot-token>/getUpdates");
    let body: Value = serde_json::from_slice(&request.body).unwrap();
    // The first poll answers at once, and so does one behind a poll that brought nothing good.
    assert_eq!(body, json!({"timeout": 0, "allowed_updates": ["message", "callback_query"]}));
    updates(&stage, &[]);
    let wait = || {
        let body: Value = serde_json::from_slice(&register::next(stage.api()).unwrap().body).unwrap();
        body["timeout"].clone()
    };
    assert_eq!([wait(), wait()], [json!(50), json!(0)]);
    register::next(stage.api()).unwrap();
    register::open(&stage, &stage.settings).unwrap();
    register::next(stage.api()).unwrap();
    let count = |method: &str| stage.called(method).len();
    assert_eq!([count("getMe"), count("setMyCommands"), count("deleteWebhook")], [2, 1, 2]);
    let commands = stage.called("setMyCommands")[0]["commands"].clone();
    let names: Vec<&str> = commands.as_array().unwrap().iter().map(|one| one["command"].as_str().unwrap()).collect();
    assert_eq!(names, ["new", "model", "stop", "status", "help"]);
}

#[test]
fn a_private_message_is_taken_with_its_offset() {
    let stage = Stage::default();
    updates(&stage, &[message(5, "hello", json!({}))]);
    assert_eq!(
        *stage.submitted.borrow(),
        [Inbound {
            id: "7/50".into(),
            conversation: "telegram:7".into(),
            sender: Sender { id: "7".into(), name: "Ann Bo".into() },
            text: "hello".into(),
            attachments: vec![],
            sent: 1_700_000_000_000,
            handle: Some("50".into()),
        }]
    );
    let body: Value = serde_json::from_slice(&register::next(stage.api()).unwrap().body).unwrap();
    assert_eq!(body["offset"], 6);
    updates(&stage, &[]);
    assert_eq!(register::offset(&stage).unwrap(), None, "all is confirmed, and ids may begin anew");
}

#[test]
fn an_update_that_makes_no_sense_does_not_stop_the_others() {
    let stage = Stage::default();
    let odd = [
        json!({"update_id": 1}),
        json!({"update_id": 2, "message": {}}),
        json!({"update_id": 3, "message": {"chat": {"id": 7, "type": "private"}, "from": {"id": 7}, "text": "x"}}),
        json!({"update_id": 4, "callback_query": {"id": "q"}}),
        json!({"update_id": 5, "edited_message": {"text": "x"}}),
        message(6, &"x".repeat(300_000), json!({})),
        json!("nonsense"),
        message(7, "after", json!({})),
    ];
    updates(&stage, &odd);
    assert_eq!(texts(&stage), ["after"]);
    assert_eq!(register::offset(&stage).unwrap(), Some(8));
    assert!(stage.warned.borrow().len() >= 3, "{:?}", stage.warned.borrow());
}

#[test]
fn in_a_group_only_what_is_meant_for_the_bot_is_taken() {
    let stage = Stage::default();
    let answer = |id: i64| json!({"reply_to_message": {"message_id": 1, "from": {"id": id, "is_bot": true}}});
    let mut opened = answer(42);
    opened["reply_to_message"]["forum_topic_created"] = json!({});
    updates(
        &stage,
        &[
            in_group(1, "just talking", json!({})),
            in_group(2, "@Pista_bot: what is this?", entity("mention", 0, 10)),
            in_group(3, "🦀 hey @pista_bot", entity("mention", 7, 10)),
            in_group(4, "hey @other_bot", entity("mention", 4, 10)),
            in_group(5, "an answer", answer(42)),
            in_group(6, "an answer to another bot", answer(43)),
            in_group(7, "in a topic that the bot opened", opened),
            in_group(8, "/new@pista_bot", entity("bot_command", 0, 14)),
            in_group(9, "/new@other_bot", entity("bot_command", 0, 14)),
            in_group(10, "/status", entity("bot_command", 0, 7)),
            in_group(11, "/dance", entity("bot_command", 0, 6)),
            in_group(
                12,
                "Pista, come",
                json!({"entities": [
                    {"type": "text_mention", "offset": 0, "length": 5, "user": {"id": 42}}
                ]}),
            ),
            in_group(13, "broken", entity("mention", 4, 900)),
        ],
    );
    assert_eq!(texts(&stage), ["what is this?", "🦀 hey @pista_bot", "an answer", "/new@pista_bot", "/status", "come"]);
    assert!(stage.submitted.borrow().iter().all(|inbound| inbound.conversation == GROUP));
}

#[test]
fn the_setting_for_groups_opens_or_closes_them() {
    let all = with(json!({"groups": "all"}));
    let list = [in_group(1, "talk", json!({})), in_group(2, "/new@other_bot", entity("bot_command", 0, 14))];
    updates(&all, &list);
    assert_eq!(texts(&all), ["talk"]);
    let off = with(json!({"groups": "off"}));
    assert_eq!(off.settings.groups, Groups::Off);
    updates(&off, &[in_group(1, "@pista_bot hi", entity("mention", 0, 10)), message(2, "hi", json!({}))]);
    assert_eq!(texts(&off), ["hi"]);
}

#[test]
fn topics_are_conversations_and_chains_of_answers_are_not() {
    let stage = with(json!({"groups": "all"}));
    updates(
        &stage,
        &[
            in_group(1, "a", json!({"message_thread_id": 9, "is_topic_message": true})),
            in_group(2, "b", json!({"message_thread_id": 9})),
        ],
    );
    let places: Vec<String> = stage.submitted.borrow().iter().map(|one| one.conversation.clone()).collect();
    assert_eq!(places, ["telegram:-100/9", "telegram:-100"]);
    show(&stage, "telegram:-100/9", None, reply("hi")).unwrap();
    let sent = &stage.called("sendMessage")[0];
    assert_eq!((&sent["message_thread_id"], &sent["reply_parameters"]["message_id"]), (&json!(9), &json!(70)));
}

#[test]
fn who_writes_for_a_chat_is_that_chat_and_bots_are_nobody() {
    let stage = with(json!({"groups": "all"}));
    updates(
        &stage,
        &[
            in_group(1, "a", json!({"sender_chat": {"id": -100, "title": "The Group"}})),
            in_group(2, "b", json!({"from": {"id": 8, "is_bot": true, "first_name": "Bot"}})),
            message(3, "c", json!({"chat": {"id": -5, "type": "channel"}})),
        ],
    );
    let senders: Vec<(String, String)> =
        stage.submitted.borrow().iter().map(|one| (one.sender.id.clone(), one.sender.name.clone())).collect();
    assert_eq!(senders, [("-100".to_string(), "The Group".to_string())]);
}

#[test]
fn files_are_references_that_are_fetched_later() {
    let stage = Stage::default();
    let photo = json!([
        {"file_id": "small", "width": 90, "file_size": 1000}, {"file_id": "large", "width": 1280, "file_size": 90_000},
        {"file_id": "huge", "width": 9000, "file_size": 11_000_000_u64}
    ]);
    updates(
        &stage,
        &[
            message(1, "", json!({"text": null, "photo": photo, "caption": "what is this?"})),
            message(
                2,
                "",
                json!({"document": {"file_id": "doc", "file_name": "a.pdf", "mime_type": "application/pdf"}}),
            ),
            message(3, "", json!({"voice": {"file_id": "v"}})),
            message(4, "", json!({"animation": {"file_id": "an"}, "document": {"file_id": "an"}})),
            message(5, "", json!({"sticker": {"emoji": "👍"}})),
            message(6, "", json!({"new_chat_title": "x"})),
        ],
    );
    let references: Vec<Vec<Value>> = stage
        .submitted
        .borrow()
        .iter()
        .map(|one| {
            let reference = |attachment: &Attachment| match attachment {
                Attachment::Later(reference) => serde_json::from_str(reference).unwrap(),
                Attachment::Media(_) => panic!("a file without being asked"),
            };
            one.attachments.iter().map(reference).collect()
        })
        .collect();
    assert_eq!(
        references,
        [
            vec![json!({"id": "large", "mime": "image/jpeg", "name": null, "size": 90_000})],
            vec![json!({"id": "doc", "mime": "application/pdf", "name": "a.pdf", "size": null})],
            vec![json!({"id": "v", "mime": "audio/ogg", "name": null, "size": null})],
            vec![json!({"id": "an", "mime": "video/mp4", "name": null, "size": null})],
            vec![],
        ]
    );
    assert_eq!(texts(&stage), ["what is this?", "", "", "", "👍"]);

    *stage.file.borrow_mut() = vec![1, 2, 3];
    let fetched = files::fetch(stage.api(), &references[0][0].to_string()).unwrap();
    assert_eq!(fetched, Media { mime: "image/jpeg".into(), name: None, data: vec![1, 2, 3] });
    assert_eq!(stage.called("getFile"), [json!({"file_id": "large"})]);
    let large = json!({"id": "x", "size": 20_000_000}).to_string();
    assert!(matches!(files::fetch(stage.api(), &large), Err(ChannelError::Malformed(_))));
    for path in ["/var/lib/bot/x", "a/../../b", "a?b", ""] {
        stage.next.borrow_mut().push_back(("getFile".into(), 200, json!({"ok": true, "result": {"file_path": path}})));
        assert!(matches!(files::fetch(stage.api(), r#"{"id":"x"}"#), Err(ChannelError::Other(_))), "{path}");
    }
}

#[test]
fn a_group_that_becomes_a_supergroup_is_the_same_conversation() {
    let stage = with(json!({"groups": "all"}));
    updates(
        &stage,
        &[
            message(1, "", json!({"chat": {"id": -100, "type": "group"}, "migrate_to_chat_id": -999})),
            message(2, "on", json!({"chat": {"id": -999, "type": "supergroup"}})),
        ],
    );
    assert_eq!(stage.submitted.borrow()[0].conversation, GROUP);
    show(&stage, GROUP, None, reply("here")).unwrap();
    assert_eq!(stage.called("sendMessage")[0]["chat_id"], -999);

    let late = Stage::default();
    late.fails("sendMessage", 400, "Bad Request: group chat was upgraded", json!({"migrate_to_chat_id": -999}));
    show(&late, GROUP, None, reply("here")).unwrap();
    let chats: Vec<Value> = late.called("sendMessage").iter().map(|sent| sent["chat_id"].clone()).collect();
    assert_eq!(chats, [json!(-100), json!(-999)]);
    assert_eq!(late.state.borrow().get("moved/-100").map(String::as_str), Some("-999"));
}

#[test]
fn a_refused_token_a_second_program_and_trouble_are_told_apart() {
    let stage = Stage::default();
    let refused = |code: u16, words: &str| json!({"ok": false, "error_code": code, "description": words});
    assert!(matches!(polled(&stage, 401, &refused(401, "Unauthorized")), Err(ChannelError::AuthRequired(_))));
    assert!(matches!(polled(&stage, 404, &refused(404, "Not Found")), Err(ChannelError::AuthRequired(_))));
    polled(&stage, 409, &refused(409, "Conflict: terminated by other getUpdates request")).unwrap();
    let told = stage.told.borrow().clone();
    assert!(
        matches!(&told[..], [Notice::Text(told)] if told.starts_with("Another program takes this bot")),
        "{told:?}"
    );
    polled(&stage, 502, &json!("<html>")).unwrap();
    polled(&stage, 429, &refused(429, "Too Many Requests")).unwrap();
    updates(&stage, &[]);
    assert_eq!(stage.told.borrow()[1..], [Notice::Clear]);
}

fn hook(stage: &Stage, method: &str, secret: Option<&str>, body: &str) -> u16 {
    let headers = secret.map(|secret| ("x-telegram-bot-api-secret-token".to_string(), secret.to_string()));
    let request = Request {
        method: method.into(),
        url: "/".into(),
        headers: headers.into_iter().collect(),
        body: body.as_bytes().to_vec(),
    };
    let incoming = Incoming { transport: "hook".into(), request, peer: "1.2.3.4".into() };
    incoming::handle(stage.api(), &incoming).unwrap().status
}

#[test]
fn a_webhook_is_told_to_the_api_and_believed_only_with_its_secret() {
    let stage = with(json!({"mode": "webhook"}));
    let setup = register::open(&stage, &stage.settings).unwrap();
    assert_eq!(setup.transports[0].kind, TransportKind::Http("/".into()));
    assert_eq!(*stage.alarms.borrow(), [("register".to_string(), 100, None)]);
    let rings = || incoming::receive(stage.api(), &Event::Alarm(Alarm { name: "register".into(), source: None }));
    rings().unwrap();
    let told = stage.told.borrow().last().cloned();
    assert!(matches!(&told, Some(Notice::Text(told)) if told.ends_with("set public_url in [server]")), "{told:?}");
    assert_eq!(stage.alarms.borrow().len(), 2);
    *stage.public_url.borrow_mut() = Some("https://me.test/telegram".into());
    rings().unwrap();
    assert_eq!(
        stage.called("setWebhook"),
        [json!({
            "url": "https://me.test/telegram", "secret_token": "<webhook-secret>",
            "allowed_updates": ["message", "callback_query"]
        })]
    );
    assert_eq!(stage.told.borrow().last(), Some(&Notice::Clear));

    let body = message(1, "hello", json!({})).to_string();
    assert_eq!(hook(&stage, "POST", None, &body), 401);
    assert_eq!(hook(&stage, "POST", Some("wrong"), &body), 401);
    assert_eq!(hook(&stage, "GET", Some("right"), &body), 405);
    assert_eq!(texts(&stage), Vec::<String>::new());
    assert_eq!(hook(&stage, "POST", Some("right"), "{"), 200);
    assert_eq!(hook(&stage, "POST", Some("right"), &body), 200);
    assert_eq!(texts(&stage), ["hello"]);
}

#[test]
fn a_reply_replaces_its_draft_and_what_is_shown_is_not_sent_again() {
    let stage = Stage::default();
    let Outcome::Done(Some(receipt)) = show(&stage, PRIVATE, None, draft("**Hel")).unwrap() else { panic!() };
    let (receipt, calls) = to_the_end(&stage, Some(&receipt), "**Hello** you");
    assert_eq!(calls, 1);
    let sent = &stage.called("sendMessage")[0];
    assert_eq!(
        (&sent["text"], &sent["parse_mode"], &sent["reply_parameters"]),
        (&json!("**Hel"), &json!("HTML"), &Value::Null)
    );
    let edit = &stage.called("editMessageText")[0];
    assert_eq!((&edit["text"], &edit["message_id"]), (&json!("<b>Hello</b> you"), &json!(101)));
    to_the_end(&stage, Some(&receipt), "**Hello** you");
    assert_eq!(stage.calls.borrow().len(), 2);
    stage.fails("editMessageText", 400, "Bad Request: message is not modified: …", json!({}));
    to_the_end(&stage, Some("0;101=0"), "**Hello** you");
}

#[test]
fn a_long_reply_is_sent_in_parts_that_each_have_a_receipt() {
    let stage = Stage::default();
    let text = format!("{}\n\n```rust\n{}```\n\nend", "word ".repeat(700), "let a = 1;\n".repeat(200));
    let (receipt, calls) = to_the_end(&stage, None, &text);
    let sent = stage.called("sendMessage");
    assert_eq!((calls, sent.len()), (2, 2));
    assert!(sent[1]["text"].as_str().unwrap().starts_with("<pre><code class=\"language-rust\">let a"), "whole");
    stage.fails("sendMessage", 429, "Too Many Requests: retry after 3", json!({"retry_after": 3}));
    let first = receipt.split(',').next().unwrap();
    let again = show(&stage, PRIVATE, Some(first), reply(&text));
    assert_eq!(again, Err(DeliveryError::RetryAfter(3_000)));
    let (_, calls) = to_the_end(&stage, Some(first), &text);
    assert_eq!((calls, stage.called("sendMessage").len()), (1, 4), "only what was missing");
    to_the_end(&stage, Some(&receipt), "short after all");
    assert_eq!(stage.called("deleteMessage").len(), 1);
}

#[test]
fn a_reply_beyond_all_measure_ends_as_a_file() {
    let stage = Stage::default();
    let (_, calls) = to_the_end(&stage, None, &"many words ".repeat(6_000));
    assert_eq!((calls, stage.called("sendMessage").len(), stage.called("sendDocument").len()), (9, 8, 1));
}

#[test]
fn a_group_is_not_edited_more_often_than_it_takes() {
    let stage = Stage::default();
    let Outcome::Done(Some(receipt)) = show(&stage, GROUP, None, draft("one")).unwrap() else { panic!() };
    stage.now.set(NOW + 1_000);
    assert_eq!(show(&stage, GROUP, Some(&receipt), draft("one two")), Err(DeliveryError::RetryAfter(2_500)));
    stage.now.set(NOW + 3_500);
    show(&stage, GROUP, Some(&receipt), draft("one two")).unwrap();
    stage.now.set(NOW + 3_600);
    show(&stage, GROUP, Some(&receipt), reply("one two three")).unwrap();
}

#[test]
fn markup_that_the_api_does_not_like_is_sent_plain() {
    let stage = Stage::default();
    stage.fails("sendMessage", 400, "Bad Request: can't parse entities: Unsupported start tag", json!({}));
    to_the_end(&stage, None, "**a** <b");
    let sent = stage.called("sendMessage");
    assert_eq!((&sent[1]["text"], &sent[1]["parse_mode"]), (&json!("a <b"), &Value::Null));
}

#[test]
fn errors_of_the_api_say_whether_to_try_again() {
    type Is = fn(&DeliveryError) -> bool;
    let gone: Is = |error| matches!(error, DeliveryError::Gone(_));
    let later: Is = |error| matches!(error, DeliveryError::Unavailable(_));
    let never: Is = |error| matches!(error, DeliveryError::Rejected(_));
    let token: Is = |error| matches!(error, DeliveryError::AuthRequired(_));
    let cases: [(u16, &str, Is); 8] = [
        (403, "Forbidden: bot was blocked by the user", gone),
        (400, "Bad Request: chat not found", gone),
        (400, "Bad Request: message thread not found", gone),
        (400, "Bad Request: TOPIC_CLOSED", gone),
        (401, "Unauthorized", token),
        (500, "Internal Server Error", later),
        (409, "Conflict", later),
        (400, "Bad Request: something else", never),
    ];
    for (code, words, right) in cases {
        let stage = Stage::default();
        stage.fails("sendMessage", code, words, json!({}));
        let error = show(&stage, PRIVATE, None, reply("x")).unwrap_err();
        assert!(right(&error), "{code} {words}: {error:?}");
    }
    let stage = Stage::default();
    stage.next.borrow_mut().push_back(("sendMessage".into(), 502, json!("<html>")));
    assert!(later(&show(&stage, PRIVATE, None, reply("x")).unwrap_err()));
    assert!(never(&show(&stage, "web:7", None, reply("x")).unwrap_err()));
}

#[test]
fn a_draft_that_was_deleted_is_sent_anew() {
    let stage = Stage::default();
    stage.fails("editMessageText", 400, "Bad Request: message to edit not found", json!({}));
    let (receipt, _) = to_the_end(&stage, Some("0;55=1"), "whole");
    assert!(receipt.contains("101="), "{receipt}");
}

#[test]
fn notices_failures_and_the_typing_sign_are_shown() {
    let stage = Stage::default();
    for content in [
        DeliveryContent::Working,
        DeliveryContent::Failed("*broken*".into()),
        DeliveryContent::Notice("/new - a <b>".into()),
        reply(" "),
    ] {
        assert!(matches!(show(&stage, PRIVATE, None, content), Ok(Outcome::Done(_))));
    }
    assert_eq!(stage.called("sendChatAction"), [json!({"action": "typing", "chat_id": 7})]);
    let sent = stage.called("sendMessage");
    let texts: Vec<&str> = sent.iter().map(|sent| sent["text"].as_str().unwrap()).collect();
    assert_eq!(texts, ["❌ *broken*", "/new - a <b>", "✅"]);
    assert!(sent.iter().all(|sent| sent["parse_mode"].is_null()));
}

#[test]
fn images_are_photos_and_other_files_documents() {
    let stage = Stage::default();
    let media = |mime: &str, name: Option<&str>| {
        DeliveryContent::Media(Media { mime: mime.into(), name: name.map(str::to_string), data: b"bytes".to_vec() })
    };
    show(&stage, "telegram:-100/9", None, media("image/png", None)).unwrap();
    show(&stage, PRIVATE, None, media("text/plain", Some("a.txt"))).unwrap();
    stage.fails("sendPhoto", 400, "Bad Request: PHOTO_INVALID_DIMENSIONS", json!({}));
    show(&stage, PRIVATE, None, media("image/webp", None)).unwrap();
    let photo = stage.called("sendPhoto")[0].as_str().unwrap().to_string();
    for part in
        ["name=\"chat_id\"\r\n\r\n-100", "name=\"message_thread_id\"\r\n\r\n9", "filename=\"image.png\"", "bytes"]
    {
        assert!(photo.contains(part), "{part} in {photo}");
    }
    let documents = stage.called("sendDocument");
    assert!(documents[0].as_str().unwrap().contains("name=\"document\"; filename=\"a.txt\""));
    assert!(documents[1].as_str().unwrap().contains("image.webp"));
}

fn approval() -> Approval {
    Approval {
        id: "open".into(),
        conversation: GROUP.into(),
        handle: Some("70".into()),
        tool: "system.run".into(),
        summary: "ls -la".into(),
        arguments: r#"{"command":"ls -la <x>"}"#.into(),
        expires: NOW + 600_000,
    }
}

#[test]
fn a_question_has_buttons_and_its_end_takes_them_away() {
    let stage = Stage::default();
    let chat = Chat::of(stage.api(), GROUP).unwrap();
    assert_eq!(ask::ask(&chat, &approval()), Ok(Outcome::Done(Some("101".into()))));
    let sent = &stage.called("sendMessage")[0];
    assert_eq!(sent["text"], "May I run <b>system.run</b>?\n\n<pre>ls -la &lt;x&gt;</pre>");
    assert_eq!(sent["reply_parameters"]["message_id"], 70);
    let rows = sent["reply_markup"]["inline_keyboard"].as_array().unwrap();
    let data: Vec<&str> = rows.iter().map(|row| row[0]["callback_data"].as_str().unwrap()).collect();
    assert_eq!(data, ["oopen", "sopen", "dopen"]);

    let by = Some(Sender { id: "7".into(), name: "Ann".into() });
    let mut verdict =
        Verdict { approval: approval(), decision: Some(Decision::AllowOnce), by, receipt: Some("101".into()) };
    ask::decided(&chat, &verdict).unwrap();
    let edit = &stage.called("editMessageText")[0];
    assert!(edit["text"].as_str().unwrap().ends_with("✅ Allowed by Ann"), "{edit}");
    assert!(edit.get("reply_markup").is_none());
    (verdict.decision, verdict.by) = (None, None);
    ask::decided(&chat, &verdict).unwrap();
    assert!(stage.called("editMessageText")[1]["text"].as_str().unwrap().contains('⌛'));
    stage.fails("editMessageText", 400, "Bad Request: message to edit not found", json!({}));
    ask::decided(&chat, &verdict).unwrap();
    verdict.receipt = None;
    ask::decided(&chat, &verdict).unwrap();
    assert_eq!(stage.called("editMessageText").len(), 3);
}

#[test]
fn a_button_counts_once_and_for_who_was_asked() {
    let stage = Stage::default();
    let press = |update: i64, user: i64, data: &str| {
        json!({"update_id": update, "callback_query": {
            "id": format!("q{update}"), "from": {"id": user, "first_name": "U"}, "data": data,
            "message": {"message_id": 1, "chat": {"id": -100, "type": "supergroup"}}
        }})
    };
    stage.fails("answerCallbackQuery", 400, "Bad Request: query is too old", json!({}));
    updates(&stage, &[press(1, 8, "oopen"), press(2, 7, "sopen"), press(3, 7, "dgone"), press(4, 7, "?")]);
    assert_eq!(*stage.decided.borrow(), [("open".to_string(), "7".to_string(), Decision::AllowSession)]);
    let answers: Vec<(Value, Value)> = stage
        .called("answerCallbackQuery")
        .iter()
        .map(|one| (one["callback_query_id"].clone(), one["text"].clone()))
        .collect();
    let answer = |id: &str, text: &str| (json!(id), json!(text));
    assert_eq!(
        answers,
        [
            answer("q1", "Only the person who was asked can answer this."),
            answer("q2", ""),
            answer("q3", "This is answered already, or its time is over."),
            answer("q4", "This button is none of mine."),
        ]
    );
}
