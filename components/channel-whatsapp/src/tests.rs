use openpista_plugin::messenger::Groups;
use serde_json::{Value, json};

use crate::cloud::Chat;
use crate::contract::exports::openpista::plugin::channel::{
    ChannelError, Delivery, DeliveryContent, DeliveryError, Draft, Event, Opened, Outcome, Preference, Process, Reply,
    Source, TransportKind,
};
use crate::contract::exports::openpista::plugin::http_handler::Incoming;
use crate::contract::openpista::connection::connection::{Frame, Target};
use crate::contract::openpista::gateway::gateway::{
    Approval, Attachment, Decision, Inbound, Notice, Sender, Settlement,
};
use crate::contract::openpista::http::exchange::{Request, Response};
use crate::contract::openpista::types::types::{Media, Usage};
use crate::settings::{Mode, Settings};
use crate::stage::{NOW, Stage};
use crate::text::{marked, plain, reply as cut};
use crate::{bridge, files, setup, webhook};

const CHAT: &str = "whatsapp:100/15551234567";

fn source() -> Source {
    Source { transport: "bridge".into(), connection: 5, tags: vec![] }
}

fn line(stage: &Stage, line: &Value) -> Result<(), ChannelError> {
    let settings = Settings::parse("{}");
    bridge::receive(stage, &settings, &Event::Frame((source(), Frame::Text(line.to_string()))))
}

fn said(more: Value) -> Value {
    let mut line = json!({
        "type": "message", "ack": "7.json", "id": "15551234567@s.whatsapp.net/A1", "chat": "15551234567@s.whatsapp.net",
        "group": false, "sender": "15551234567@s.whatsapp.net", "name": "Ann", "text": "hello", "at": 1_700_000_000_000_u64,
        "me": ["15550000000@s.whatsapp.net", "77@lid"], "mentions": [], "answers": "", "handle": "{}"
    });
    line.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    line
}

fn in_group(text: &str, more: Value) -> Value {
    let mut line = said(json!({"chat": "120@g.us", "group": true, "text": text}));
    line.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    line
}

fn texts(stage: &Stage) -> Vec<String> {
    stage.submitted.borrow().iter().map(|inbound| inbound.text.clone()).collect()
}

fn delivery(conversation: &str, receipt: Option<&str>, content: DeliveryContent) -> Delivery {
    Delivery {
        id: "d1".into(),
        conversation: conversation.into(),
        turn: Some("t1".into()),
        handle: Some("wamid.in".into()),
        receipt: receipt.map(str::to_string),
        content,
    }
}

fn reply(text: &str) -> DeliveryContent {
    let usage = Usage { input: 0, output: 0, cache_read: 0, cache_write: 0, cost: None };
    DeliveryContent::Reply(Reply { text: text.into(), usage, model: "a/b".into() })
}

fn media(mime: &str, size: usize) -> Media {
    Media { mime: mime.into(), name: Some("x".into()), data: vec![1; size] }
}

fn with_bridge() -> Stage {
    let stage = Stage::default();
    let opened = Opened { source: source(), peer: None, path: String::new(), headers: vec![] };
    bridge::receive(&stage, &Settings::parse("{}"), &Event::Opened(opened)).unwrap();
    stage
}

/// What the bridge was told.
fn orders(stage: &Stage) -> Vec<Value> {
    stage
        .sent
        .borrow()
        .iter()
        .map(|(to, text)| {
            assert_eq!(*to, Target::One(5));
            serde_json::from_str(text).unwrap()
        })
        .collect()
}

#[test]
fn each_mode_opens_what_it_needs() {
    let stage = Stage::default();
    let settings = Settings::parse(r#"{"bridge": ["node", "x.mjs"], "stream": true}"#);
    let setup = setup::open(&stage, &settings).unwrap();
    let process = Process { command: vec!["node".into(), "x.mjs".into()], env: vec![] };
    assert_eq!(setup.transports[0].kind, TransportKind::Process(process));
    assert_eq!(setup.preferences, [Preference::Working(8_000), Preference::InWords, Preference::Drafts(3_000)]);
    let setup = setup::open(&stage, &stage.settings).unwrap();
    assert_eq!(setup.transports[0].kind, TransportKind::Http("/".into()));
    assert_eq!(setup.preferences, [Preference::Working(20_000)]);
}

#[test]
fn the_settings_have_the_defaults_of_their_schema() {
    let schema: Value = serde_json::from_str(crate::settings::SCHEMA).unwrap();
    let fields = schema["properties"].as_object().unwrap();
    let fields = fields.iter().filter(|(_, field)| field["default"] != Value::Null);
    let defaults: serde_json::Map<_, _> =
        fields.map(|(name, field)| (name.clone(), field["default"].clone())).collect();
    let settings = Settings::parse(&Value::Object(defaults).to_string());
    let wanted = Settings {
        mode: Mode::Bridge,
        bridge: vec!["openpista-whatsapp-bridge".into()],
        groups: Groups::Mention,
        stream: false,
        api: crate::settings::API.into(),
    };
    assert_eq!(settings, wanted);
    let own = Settings::parse(r#"{"bridge": ["x"], "bridge_path": "/opt/b", "session_dir": "/s"}"#);
    assert_eq!(own.bridge, ["/opt/b", "--folder", "/s"]);
}

#[test]
fn a_message_of_the_bridge_is_acknowledged_with_its_storing() {
    let stage = with_bridge();
    line(&stage, &said(json!({"media": {"mime": "image/png", "name": null, "data": "AQI="}}))).unwrap();
    let wanted = Inbound {
        id: "15551234567@s.whatsapp.net/A1".into(),
        conversation: "whatsapp:15551234567".into(),
        sender: Sender { id: "15551234567".into(), name: "Ann".into() },
        text: "hello".into(),
        attachments: vec![Attachment::Media(Media { mime: "image/png".into(), name: None, data: vec![1, 2] })],
        sent: 1_700_000_000_000,
        handle: Some("{}".into()),
    };
    assert_eq!(*stage.submitted.borrow(), [wanted]);
    assert_eq!(orders(&stage), [json!({"type": "ack", "ack": "7.json"})]);
}

#[test]
fn in_groups_it_hears_what_mentions_or_answers_it() {
    let stage = with_bridge();
    let mention = json!({"mentions": ["77@lid"]});
    line(&stage, &in_group("just talking", json!({}))).unwrap();
    line(&stage, &in_group("@77 hello", mention.clone())).unwrap();
    line(&stage, &in_group("@770 is nobody", mention)).unwrap();
    line(&stage, &in_group("and you?", json!({"answers": "15550000000@s.whatsapp.net"}))).unwrap();
    line(&stage, &in_group("@1 you there", json!({"mentions": ["1@s.whatsapp.net"], "answers": "1@s.whatsapp.net"})))
        .unwrap();
    assert_eq!(texts(&stage), ["hello", "@770 is nobody", "and you?"]);
    assert_eq!(stage.submitted.borrow()[0].conversation, "whatsapp:120@g.us");
    assert_eq!(orders(&stage).len(), 5, "all are acknowledged");
    for (groups, count) in [("all", 1), ("off", 0)] {
        let stage = with_bridge();
        let settings = Settings::parse(&json!({"groups": groups}).to_string());
        let line = in_group("just talking", json!({})).to_string();
        bridge::receive(&stage, &settings, &Event::Frame((source(), Frame::Text(line)))).unwrap();
        assert_eq!(stage.submitted.borrow().len(), count);
    }
}

#[test]
fn the_operator_hears_how_the_bridge_stands() {
    let stage = with_bridge();
    line(&stage, &json!({"type": "qr", "qr": "2@abc"})).unwrap();
    line(&stage, &json!({"type": "connected", "me": []})).unwrap();
    line(&stage, &json!({"type": "offline", "why": "no net"})).unwrap();
    line(&stage, &json!({"type": "logged-out", "why": "by the phone"})).unwrap();
    let told = stage.told.borrow();
    assert_eq!(told[..2], [Notice::Qr(("2@abc".into(), NOW + 60_000)), Notice::Clear]);
    assert!(matches!(&told[2], Notice::Text(words) if words.contains("no net")));
    assert!(matches!(&told[3], Notice::Text(words) if words.contains("channel restart")));
}

#[test]
fn lines_that_make_no_sense_are_dropped() {
    let stage = with_bridge();
    for text in ["garbage", "{}", r#"{"type": "message"}"#, r#"{"type": "new"}"#] {
        let event = Event::Frame((source(), Frame::Text(text.into())));
        assert!(matches!(bridge::receive(&stage, &Settings::parse("{}"), &event), Err(ChannelError::Malformed(_))));
    }
    let broken = said(json!({"media": {"mime": "image/png", "data": "?"}}));
    assert!(matches!(line(&stage, &broken), Err(ChannelError::Malformed(_))));
}

#[test]
fn what_the_bridge_shows_is_settled_by_it() {
    let stage = with_bridge();
    let show = |content| bridge::deliver(&stage, delivery("whatsapp:15551234567", None, content)).unwrap();
    assert_eq!(show(DeliveryContent::Working), Outcome::Done(None));
    let draft = Draft { text: "Hel".into(), since: 0, reasoning: String::new() };
    assert_eq!(show(DeliveryContent::Draft(draft)), Outcome::Done(None));
    assert_eq!(show(reply("**Hello**")), Outcome::Pending);
    assert_eq!(show(DeliveryContent::Media(media("image/png", 2))), Outcome::Pending);
    assert_eq!(show(DeliveryContent::Media(media("image/png", 8 << 20))), Outcome::Pending);
    let chat = "15551234567@s.whatsapp.net";
    let order = |id: &str, key: &str, part: Value| json!({"type": "show", "id": id, "key": key, "chat": chat, "parts": [part], "quote": null});
    assert_eq!(
        orders(&stage),
        [
            json!({"type": "typing", "chat": chat}),
            order("", "t1", json!({"text": "Hel"})),
            order("d1", "t1", json!({"text": "*Hello*"})),
            order("d1", "d1", json!({"media": {"mime": "image/png", "name": "x", "data": "AQE="}})),
            order(
                "d1",
                "d1",
                json!({"text": "[x: left out, for this API takes no image/png] It has more than 7 MiB."})
            ),
        ]
    );
    line(&stage, &json!({"type": "sent", "id": "d1"})).unwrap();
    line(&stage, &json!({"type": "failed", "id": "d2", "why": "no"})).unwrap();
    line(&stage, &json!({"type": "failed", "id": "d3", "why": "not at all", "never": true})).unwrap();
    assert_eq!(
        *stage.settled.borrow(),
        [
            ("d1".into(), Settlement::Shown(None)),
            ("d2".into(), Settlement::Unavailable("no".into())),
            ("d3".into(), Settlement::Rejected("not at all".into()))
        ]
    );

    let stage = with_bridge();
    bridge::deliver(&stage, delivery("whatsapp:120@g.us", None, reply("x"))).unwrap();
    assert_eq!((&orders(&stage)[0]["chat"], &orders(&stage)[0]["quote"]), (&json!("120@g.us"), &json!("wamid.in")));
    let none = Stage::default();
    let answer = bridge::deliver(&none, delivery("whatsapp:1", None, reply("x")));
    assert!(matches!(answer, Err(DeliveryError::Unavailable(_))));
}

#[test]
fn markup_is_whatsapps_own() {
    let shown = |markdown: &str| cut(markdown).join("|");
    assert_eq!(shown("**b** *i* ~~s~~ `c*d`"), "*b* _i_ ~s~ `c*d`");
    assert_eq!(shown("```rust\nlet a = 1;\n```"), "```let a = 1;```");
    assert_eq!(shown("[x](https://y.test) https://z.test"), "x (https://y.test) https://z.test");
    assert_eq!(shown("> a\n> b\n\nc"), "> a\n> b\n\nc");
    assert_eq!(marked(&openpista_plugin::rich::parse("**a** b")), "*a* b");
    assert_eq!(plain("2 * 3 * 4"), ["2 * 3 * 4"]);
    let long = cut(&"a **word** ".repeat(2_000));
    assert!(long.len() > 3 && long.iter().all(|piece| piece.chars().count() <= 4_000), "{}", long.len());
}

fn posted(stage: &Stage, headers: &[(&str, &str)], body: &Value) -> u16 {
    asked(stage, "POST", "/", headers, &body.to_string()).status
}

fn asked(stage: &Stage, method: &str, url: &str, headers: &[(&str, &str)], body: &str) -> Response {
    let headers = headers.iter().map(|(name, value)| ((*name).to_string(), (*value).to_string())).collect();
    let request = Request { method: method.into(), url: url.into(), headers, body: body.as_bytes().to_vec() };
    let incoming = Incoming { transport: "hook".into(), request, peer: "1.2.3.4".into() };
    webhook::handle(stage.graph(), &incoming).unwrap()
}

/// `mac` in hexadecimal digits, which the stage takes for right.
const SIGNED: [(&str, &str); 1] = [("x-hub-signature-256", "sha256=6d6163")];

fn webhook(messages: Value) -> Value {
    json!({"object": "whatsapp_business_account", "entry": [{"id": "1", "changes": [{"field": "messages", "value": {
        "messaging_product": "whatsapp", "metadata": {"display_phone_number": "1555", "phone_number_id": "100"},
        "contacts": [{"profile": {"name": "Ann"}, "wa_id": "7"}], "messages": messages
    }}]}]})
}

fn of_ann(id: &str, kind: &str, body: Value) -> Value {
    json!({"from": "7", "id": id, "timestamp": "1700000000", "type": kind, kind: body})
}

#[test]
fn the_address_is_verified_by_the_token() {
    let stage = Stage::default();
    let ask = |token: &str| {
        asked(&stage, "GET", &format!("/?hub.mode=subscribe&hub.challenge=12%2B3&hub.verify_token={token}"), &[], "")
    };
    let right = ask("ri%67ht");
    assert_eq!((right.status, right.body), (200, b"12+3".to_vec()));
    assert_eq!([ask("wrong").status, asked(&stage, "GET", "/", &[], "").status], [403, 404]);
    assert_eq!(asked(&stage, "PUT", "/", &[], "").status, 405);
}

#[test]
fn nothing_counts_without_the_signature() {
    let stage = Stage::default();
    let body = webhook(json!([of_ann("wamid.1", "text", json!({"body": "hi"}))]));
    let name = "x-hub-signature-256";
    for headers in [vec![], vec![(name, "sha256=00")], vec![(name, "6d6163")], vec![(name, "sha256=6d616")]] {
        assert_eq!(posted(&stage, &headers, &body), 401);
    }
    assert!(stage.submitted.borrow().is_empty());
    assert_eq!(posted(&stage, &SIGNED, &body), 200);
    let wanted = Inbound {
        id: "wamid.1".into(),
        conversation: "whatsapp:100/7".into(),
        sender: Sender { id: "7".into(), name: "Ann".into() },
        text: "hi".into(),
        attachments: vec![],
        sent: 1_700_000_000_000,
        handle: Some("wamid.1".into()),
    };
    assert_eq!(*stage.submitted.borrow(), [wanted]);
}

#[test]
fn all_kinds_of_messages_are_taken_and_nonsense_is_passed() {
    let stage = Stage::default();
    let list = json!([
        {"from": "../7", "id": "x", "type": "text", "text": {"body": "bad"}},
        of_ann("1", "image", json!({"id": "m1", "mime_type": "image/jpeg", "caption": "look"})),
        of_ann("2", "location", json!({"latitude": 52.5, "longitude": 13.4, "name": "Here"})),
        of_ann("3", "contacts", json!([{"name": {"formatted_name": "Bo"}, "phones": [{"phone": "+1"}]}])),
        of_ann("4", "button", json!({"text": "Yes", "payload": "deny-all"})),
        of_ann("5", "interactive", json!({"type": "list_reply", "list_reply": {"id": "row", "title": "Second"}})),
        of_ann("6", "reaction", json!({"emoji": "👍"})),
        of_ann("7", "document", json!({"id": "../secret", "filename": "a.pdf"})),
    ]);
    assert_eq!(posted(&stage, &SIGNED, &webhook(list)), 200);
    assert_eq!(texts(&stage), ["look", "📍 52.5, 13.4, Here", "👤 Bo, +1", "Yes", "Second"]);
    assert_eq!(stage.warned.borrow().len(), 1);
    let statuses =
        json!({"entry": [{"changes": [{"field": "messages", "value": {"statuses": [{"status": "read"}]}}]}]});
    assert_eq!(posted(&stage, &SIGNED, &statuses), 200);
    assert_eq!(asked(&stage, "POST", "/", &SIGNED, "no json").status, 200);
    let reference = match &stage.submitted.borrow()[0].attachments[..] {
        [Attachment::Later(reference)] => reference.clone(),
        other => panic!("{other:?}"),
    };
    *stage.file.borrow_mut() = vec![9];
    let file = files::fetch(stage.graph(), &reference).unwrap();
    assert_eq!(file, Media { mime: "image/jpeg".into(), name: None, data: vec![9] });
    let asked = stage.asked.borrow();
    assert_eq!(asked[0].url, "https://graph.facebook.com/v25.0/m1");
    assert_eq!(asked[1].headers[0], ("authorization".into(), "Bearer <token>".into()));
}

#[test]
fn a_pressed_button_decides_and_others_are_told_why_not() {
    let stage = Stage::default();
    let press = |from: &str, data: &str| {
        let reply = json!({"type": "button_reply", "button_reply": {"id": data, "title": "Allow"}});
        let mut message = of_ann("wamid.p", "interactive", reply);
        message["from"] = from.into();
        assert_eq!(posted(&stage, &SIGNED, &webhook(json!([message]))), 200);
    };
    press("7", "pista:sopen");
    press("8", "pista:oopen");
    press("7", "pista:ogone");
    assert_eq!(*stage.decided.borrow(), [("open".into(), "7".into(), Decision::AllowSession)]);
    let told: Vec<Value> = stage.posted().iter().map(|body| json!([body["to"], body["text"]["body"]])).collect();
    assert_eq!(
        told,
        [
            json!(["8", "Only the person who was asked can answer this."]),
            json!(["7", "This is answered already, or its time is over."]),
        ]
    );
    assert!(stage.submitted.borrow().is_empty());
}

fn show(stage: &Stage, receipt: Option<&str>, content: DeliveryContent) -> Result<Outcome, DeliveryError> {
    Chat::of(stage.graph(), CHAT).unwrap().deliver(delivery(CHAT, receipt, content))
}

#[test]
fn a_long_reply_is_sent_in_parts_and_its_rest_as_a_file() {
    let stage = Stage::default();
    let long = "A sentence of some length. ".repeat(2_000);
    let mut receipt = None;
    let mut parts = 0;
    loop {
        match show(&stage, receipt.as_deref(), reply(&long)).unwrap() {
            Outcome::Part((next, 0)) => receipt = Some(next),
            Outcome::Done(Some(_)) => break,
            other => panic!("{other:?}"),
        }
        parts += 1;
    }
    let bodies = stage.posted();
    assert_eq!((parts, bodies.len()), (8, 9));
    assert!(bodies[..8].iter().all(|body| body["to"] == "15551234567" && body["type"] == "text"));
    assert_eq!(bodies[8]["document"], json!({"id": "uploaded", "filename": "reply.txt"}));
}

#[test]
fn files_go_out_by_their_kind_and_what_is_not_taken_is_named() {
    let stage = Stage::default();
    show(&stage, None, DeliveryContent::Media(media("image/png", 3))).unwrap();
    assert_eq!(stage.posted()[0]["image"], json!({"id": "uploaded"}));
    stage.fails(400, 131_053);
    show(&stage, None, DeliveryContent::Media(media("image/tiff", 3))).unwrap();
    assert_eq!(stage.posted()[1]["text"]["body"], "[x: left out, for this API takes no image/tiff]");
    show(&stage, None, DeliveryContent::Working).unwrap();
    let sign = json!({"messaging_product": "whatsapp", "status": "read", "message_id": "wamid.in", "typing_indicator": {"type": "text"}});
    assert_eq!(stage.posted()[2], sign);
    show(&stage, None, DeliveryContent::Failed("no model".into())).unwrap();
    assert_eq!(stage.posted()[3]["text"]["body"], "❌ no model");
}

#[test]
fn each_error_of_the_api_has_its_meaning() {
    let stage = Stage::default();
    let fails = |status, code| {
        stage.fails(status, code);
        show(&stage, None, reply("x"))
    };
    assert_eq!(fails(400, 131_056), Err(DeliveryError::RetryAfter(6_000)));
    assert_eq!(fails(400, 130_429), Err(DeliveryError::RetryAfter(5_000)));
    assert_eq!(fails(400, 80_007), Err(DeliveryError::RetryAfter(30_000)));
    assert!(matches!(fails(400, 131_047), Err(DeliveryError::Rejected(why)) if why.contains("24 hours")));
    assert!(matches!(fails(400, 131_026), Err(DeliveryError::Gone(_))));
    assert!(matches!(fails(400, 100), Err(DeliveryError::Rejected(_))));
    assert!(matches!(fails(500, 131_000), Err(DeliveryError::Unavailable(_))));
    assert!(matches!(fails(502, 0), Err(DeliveryError::Unavailable(_))));
    for (status, code) in [(401, 190), (401, 0), (403, 10)] {
        let refused = fails(status, code);
        assert!(
            matches!(&refused, Err(DeliveryError::AuthRequired(why)) if why.contains("access token is refused")),
            "{refused:?}"
        );
    }
    assert!(matches!(show(&stage, None, reply("x")), Ok(Outcome::Done(Some(_)))));
    assert!(stage.told.borrow().is_empty());
}

fn approval(arguments: &str) -> Approval {
    Approval {
        id: "open".into(),
        conversation: CHAT.into(),
        handle: None,
        tool: "system.run".into(),
        summary: "ls".into(),
        arguments: arguments.into(),
        expires: 0,
    }
}

#[test]
fn a_question_has_three_short_buttons_and_shows_all_of_a_long_command() {
    let stage = Stage::default();
    let chat = Chat::of(stage.graph(), CHAT).unwrap();
    assert_eq!(chat.ask(&approval(r#"{"command":"ls"}"#)), Ok(Outcome::Done(Some("wamid.1==".into()))));
    let body = stage.posted()[0]["interactive"].clone();
    assert_eq!(body["body"]["text"], "May I run *system.run*?\n\n```ls```");
    let buttons = body["action"]["buttons"].as_array().unwrap();
    let ids: Vec<&str> = buttons.iter().map(|one| one["reply"]["id"].as_str().unwrap()).collect();
    assert_eq!(ids, ["pista:oopen", "pista:sopen", "pista:dopen"]);
    assert!(buttons.iter().all(|one| one["reply"]["title"].as_str().unwrap().chars().count() <= 20));

    chat.ask(&approval(&json!({"command": "x".repeat(2_000)}).to_string())).unwrap();
    let bodies = stage.posted();
    assert!(bodies[1]["text"]["body"].as_str().unwrap().contains(&"x".repeat(2_000)));
    assert_eq!(bodies[2]["interactive"]["body"]["text"], "May I run *system.run*, as above?");
}
