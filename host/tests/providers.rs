//! The providers against the services that they speak to: what is streamed, what a tool brings, what is sent, and what
//! becomes of a service that misbehaves. `providers/service.mjs` plays the services; each test says what it answers.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "clippy exempts only functions that are tests themselves, not what they share"
)]

mod daemon;
#[path = "staged/service.rs"]
mod service;
#[path = "staged/skip.rs"]
mod skip;

use std::os::unix::fs::OpenOptionsExt as _;

use daemon::Home;
use openpista_host::message::{Body, Media, Message, Role, Sender, now};
use openpista_host::store::{Options, Session, Store};
use serde_json::{Value, json};
use service::Service;
use skip::{found, skip};

/// The key that the services are shown. Nobody else may see it.
const KEY: &str = "eyJhbGciOiJub25lIn0.eyJodHRwczovL2FwaS5vcGVuYWkuY29tL2F1dGgiOnsiY2hhdGdwdF9hY2NvdW50X2lkIjoiYWNjLTEifX0.cHJvdmlkZXJzLXRlc3QtUW0y";

/// An instance of each provider, with a model that thinks where there is one.
const CHAT: &str = "chat/gpt-4o-mini";
const MESSAGES: &str = "messages/claude-sonnet-4-6";
const RESPONSES: &str = "responses/gpt-6-sol";

/// A home whose instances all ask one service.
struct Stage {
    home: Home,
    service: Service,
}

impl Stage {
    /// None, and a word about it, where the machine lacks something.
    fn new(test: &str, fixtures: &Value) -> Option<Self> {
        let missing = |name: &&str| !daemon::stock().join(format!("{name}.wasm")).exists();
        let components = ["provider-anthropic", "provider-openai-responses", "provider-openai-chat"];
        let npm = match service::packages(found("OPENPISTA_NPM", "target/npm"), &["@copilotkit/aimock"]) {
            Ok(_) if components.iter().any(missing) => Err("the first-party components are not built".into()),
            found => found,
        };
        match npm {
            Ok(npm) => {
                let script = json!({"key": KEY, "fixtures": fixtures});
                let service = Service::start(&npm, "providers/service.mjs", &script);
                let home = Home::new();
                configure(&home, &service.address, KEY);
                Some(Self { home, service })
            }
            Err(reason) => {
                skip(&format!("providers::{test}"), &reason);
                None
            }
        }
    }

    /// Says it to a model, allowing what it wants; `session` goes on with one. The exit code and all events.
    async fn say(&self, model: &str, session: Option<&str>, words: &str) -> Said {
        let mut arguments = vec!["run", "-e", words, "--json", "--yes", "--model", model];
        arguments.extend(session.into_iter().flat_map(|session| ["--session", session]));
        let (code, out, err) = self.home.said(&arguments).await;
        assert!(!out.contains(KEY) && !err.contains(KEY), "{out}{err}");
        let mut events: Vec<Value> = out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let end = events.pop().unwrap_or_else(|| panic!("no events: {err}"));
        Said { code, events, end }
    }

    /// What was asked of the services, without the lists of models.
    fn asked(self) -> Vec<Value> {
        let mut requests = self.service.requests();
        requests.retain(|request| request["method"] == "POST");
        requests
    }
}

fn configure(home: &Home, address: &str, key: &str) {
    let provider = |name: &str, plugin: &str, path: &str, more: &str, models: &str| {
        format!(
            "[providers.{name}]\nplugin = \"{plugin}\"\nsecrets = {{ api-key = \"{key}\" }}\n\
             settings = {{ base-url = \"{address}{path}\", models = [{models}]{more} }}\n"
        )
    };
    let text = [
        provider("chat", "provider-openai-chat", "/v1", "", "\"gpt-4o-mini\""),
        provider("messages", "provider-anthropic", "", "", "\"claude-sonnet-4-6\", \"claude-opus-5-5\""),
        provider("responses", "provider-openai-responses", "/v1", "", "\"gpt-6-sol\""),
    ]
    .concat();
    let path = home.path().join("config.toml");
    let file = std::fs::OpenOptions::new().create(true).write(true).truncate(true).mode(0o600).open(path);
    std::io::Write::write_all(&mut file.unwrap(), text.as_bytes()).unwrap();
}

/// One turn as a script sees it.
struct Said {
    code: Option<i32>,
    events: Vec<Value>,
    /// The last event.
    end: Value,
}

impl Said {
    fn session(&self) -> &str {
        self.events[0]["session"].as_str().unwrap()
    }

    fn of(&self, kind: &str) -> Vec<&Value> {
        self.events.iter().filter(|event| event["event"] == kind).collect()
    }

    fn answer(&self) -> &str {
        assert_eq!(self.code, Some(0), "{:?} {}", self.events, self.end);
        self.end["text"].as_str().unwrap()
    }
}

/// Answers these words.
fn answers(words: &str, text: &str) -> Value {
    json!({"match": {"userMessage": words}, "response": {"content": text}})
}

fn header<'a>(request: &'a Value, name: &str) -> Option<&'a str> {
    request["headers"][name].as_str()
}

/// The `type` of each item of a list.
fn kinds(list: &Value) -> Vec<&str> {
    list.as_array().unwrap().iter().map(|item| item["type"].as_str().unwrap_or("?")).collect()
}

#[tokio::test]
async fn a_text_is_streamed_and_signed_for_as_each_service_wants_it() {
    let text = "All of this comes in many small pieces, as it should: 가나다 🦀.";
    let test = "a_text_is_streamed_and_signed_for_as_each_service_wants_it";
    let Some(stage) = Stage::new(test, &json!([answers("tell me", text)])) else { return };
    for model in [MESSAGES, RESPONSES, CHAT] {
        let said = stage.say(model, None, "tell me").await;
        assert_eq!(said.answer(), text, "{model}");
        let pieces = said.of("text");
        assert!(pieces.len() > 3, "{model}: {pieces:?}");
    }
    let asked = stage.asked();
    let seen: Vec<(&str, Option<&str>, Option<&str>)> = asked
        .iter()
        .map(|request| {
            (request["path"].as_str().unwrap(), header(request, "x-api-key"), header(request, "authorization"))
        })
        .collect();
    let bearer = format!("Bearer {KEY}");
    assert_eq!(
        seen,
        [
            ("/v1/messages", Some(KEY), None),
            ("/v1/responses", None, Some(bearer.as_str())),
            ("/v1/chat/completions", None, Some(bearer.as_str()))
        ]
    );
    assert_eq!(header(&asked[0], "anthropic-version"), Some("2023-06-01"));
    assert_eq!(header(&asked[1], "chatgpt-account-id"), Some("acc-1"));
    assert_eq!((&asked[1]["body"]["store"], &asked[1]["body"]["stream"]), (&json!(false), &json!(true)));
}

#[tokio::test]
async fn a_bearer_token_goes_with_its_beta_header_and_bound_thinking_with_its_own() {
    let test = "a_bearer_token_goes_with_its_beta_header_and_bound_thinking_with_its_own";
    let Some(stage) = Stage::new(test, &json!([answers("hello", "Hi.")])) else { return };
    let path = stage.home.path().join("config.toml");
    let config = std::fs::read_to_string(&path).unwrap().replacen(
        &format!("provider-anthropic\"\nsecrets = {{ api-key = \"{KEY}\" }}"),
        &format!("provider-anthropic\"\nsecrets = {{ oauth-token = \"{KEY}\" }}"),
        1,
    );
    std::fs::write(&path, config).unwrap();
    for model in [MESSAGES, "messages/claude-opus-5-5"] {
        assert_eq!(stage.say(model, None, "hello").await.answer(), "Hi.");
    }
    let asked = stage.asked();
    let betas: Vec<Option<&str>> = asked.iter().map(|request| header(request, "anthropic-beta")).collect();
    let both = "oauth-2025-04-20,thinking-binding-controls-2026-08-01";
    assert_eq!(betas, [Some("oauth-2025-04-20"), Some(both)]);
    let bearer = format!("Bearer {KEY}");
    assert!(asked.iter().all(|request| header(request, "authorization") == Some(&bearer)));
    assert!(asked.iter().all(|request| header(request, "x-api-key").is_none()));
}

/// Two calls at once, thought about first, and what is said when both are done.
fn work(words: &str, id: &str, done: &str) -> [Value; 2] {
    let call = |number: u8| {
        let arguments = json!({"command": format!("echo {words}-{number}")}).to_string();
        json!({"id": format!("{id}{number}"), "name": "system_run", "arguments": arguments})
    };
    [
        json!({
            "match": {"userMessage": words, "hasToolResult": true},
            "response": {"content": done, "reasoning": "That went well.", "reasoningSignature": "c2lnLTI="}
        }),
        json!({
            "match": {"userMessage": words},
            "response": {
                "toolCalls": [call(1), call(2)],
                "reasoning": "Both at once.", "reasoningSignature": "c2lnLTE="
            }
        }),
    ]
}

#[tokio::test]
async fn a_session_with_tools_and_thinking_goes_on_with_each_other_provider() {
    let turns =
        [("alpha", MESSAGES), ("beta", RESPONSES), ("gamma", CHAT), ("delta", MESSAGES), ("epsilon", RESPONSES)];
    let fixtures: Vec<Value> = turns
        .iter()
        .flat_map(|(words, _)| work(words, &format!("call.{words}:"), &format!("{words} is done.")))
        .collect();
    let test = "a_session_with_tools_and_thinking_goes_on_with_each_other_provider";
    let Some(stage) = Stage::new(test, &json!(fixtures)) else { return };
    let mut session: Option<String> = None;
    for (words, model) in turns {
        let said = stage.say(model, session.as_deref(), words).await;
        assert_eq!(said.answer(), format!("{words} is done."), "{model}");
        let started = said.of("tool_started");
        assert_eq!(started.len(), 2, "{model}: {:?}", said.events);
        assert_eq!(said.of("tool_done").len(), 2, "{model}: {:?}", said.events);
        assert!(!said.of("reasoning").is_empty(), "{model}");
        session = Some(said.session().to_string());
    }
    let asked = stage.asked();
    assert!(asked.iter().all(|request| request["status"] == 200), "{asked:?}");
    assert_eq!(asked.len(), 10);

    // The tools of two turns before, in the words of this service, and thinking only where it is the service's own.
    let body = &asked[7]["body"];
    let messages = body["messages"].as_array().unwrap();
    let sides: Vec<(&str, Vec<&str>)> =
        messages.iter().map(|message| (message["role"].as_str().unwrap(), kinds(&message["content"]))).collect();
    let own = vec!["thinking", "tool_use", "tool_use"];
    let foreign = vec!["tool_use", "tool_use"];
    let results = vec!["tool_result", "tool_result"];
    assert_eq!(
        sides,
        [
            ("user", vec!["text"]),
            ("assistant", own.clone()),
            ("user", results.clone()),
            ("assistant", vec!["thinking", "text"]),
            ("user", vec!["text"]),
            ("assistant", foreign.clone()),
            ("user", results.clone()),
            ("assistant", vec!["text"]),
            ("user", vec!["text"]),
            ("assistant", foreign),
            ("user", results.clone()),
            ("assistant", vec!["text"]),
            ("user", vec!["text"]),
            ("assistant", own),
            ("user", results)
        ]
    );
    assert_eq!(
        messages[1]["content"],
        json!([
            {"type": "thinking", "thinking": "Both at once.", "signature": "c2lnLTE="},
            {"type": "tool_use", "id": "call_alpha_1", "name": "system_run", "input": {"command": "echo alpha-1"}},
            {"type": "tool_use", "id": "call_alpha_2", "name": "system_run", "input": {"command": "echo alpha-2"}}
        ])
    );
    let result = &messages[6]["content"][1];
    assert_eq!(result["tool_use_id"], "call_beta_2");
    assert!(result["content"][0]["text"].as_str().unwrap().contains("beta-2"), "{result}");
    // The schema of the tool is the tool's own, and the cache is marked behind it.
    let tool = body["tools"].as_array().unwrap().last().unwrap();
    assert_eq!(tool["cache_control"], json!({"type": "ephemeral"}));

    let input = &asked[9]["body"]["input"];
    let calls =
        ["function_call", "function_call", "function_call_output", "function_call_output", "message", "message"];
    let mut wanted = vec!["message"];
    wanted.extend(calls);
    wanted.push("reasoning");
    wanted.extend(&calls[..4]);
    wanted.extend(["reasoning", "message", "message"]);
    wanted.extend(calls);
    wanted.extend(calls);
    wanted.push("reasoning");
    wanted.extend(&calls[..4]);
    assert_eq!(kinds(input), wanted);
    let reasoning = input.as_array().unwrap().iter().find(|item| item["type"] == "reasoning").unwrap();
    assert_eq!(reasoning["summary"], json!([{"type": "summary_text", "text": "Both at once."}]));
    assert!(reasoning["encrypted_content"].as_str().is_some_and(|sealed| !sealed.is_empty()), "{reasoning}");
}

/// A PNG of one pixel.
const PIXEL: &[u8] = &[
    0x89, b'P', b'N', b'G', 0x0d, 0x0a, 0x1a, 0x0a, 0, 0, 0, 0x0d, b'I', b'H', b'D', b'R', 0, 0, 0, 1, 0, 0, 0, 1, 8,
    0, 0, 0, 0, 0x3a, 0x7e, 0x9b, 0x55, 0, 0, 0, 0x0a, b'I', b'D', b'A', b'T', 0x78, 0x9c, 0x63, 0x60, 0, 0, 0, 2, 0,
    1, 0x48, 0xaf, 0xa4, 0x71, 0, 0, 0, 0, b'I', b'E', b'N', b'D', 0xae, 0x42, 0x60, 0x82,
];

/// A session in which the person has sent an image, as a messenger would have left it.
async fn session_with_an_image(home: &Home) -> String {
    let store = Store::open(home.path().join("openpista.redb"), Options::default()).unwrap();
    let owner = Sender { id: "owner".into(), name: "owner".into() };
    let session = Session::new("execute", "with an image", owner, now());
    let media = Media { mime: "image/png".into(), name: Some("pixel.png".into()), data: PIXEL.into() };
    let parts = vec![Body::Text("What is this?".into()).into(), Body::Media(media).into()];
    let message = Message { role: Role::User, parts, at: now(), turn: None, model: None, usage: None };
    let answer = Message { role: Role::Assistant, parts: vec![Body::Text("Wait.".into()).into()], ..message.clone() };
    let id = session.id.clone();
    store
        .write(move |tx| {
            tx.session_start(&session)?;
            tx.message_append(&session.id, &message)?;
            tx.message_append(&session.id, &answer).map(drop)
        })
        .await
        .unwrap();
    store.close();
    id
}

#[tokio::test]
async fn an_image_reaches_each_model_in_the_words_of_its_service() {
    let test = "an_image_reaches_each_model_in_the_words_of_its_service";
    let Some(stage) = Stage::new(test, &json!([answers("and now", "A pixel.")])) else { return };
    let session = session_with_an_image(&stage.home).await;
    for model in [MESSAGES, RESPONSES, CHAT] {
        assert_eq!(stage.say(model, Some(&session), "and now").await.answer(), "A pixel.", "{model}");
    }
    let asked = stage.asked();
    let data = asked[0]["body"]["messages"][0]["content"][1]["source"]["data"].as_str().unwrap();
    let url = format!("data:image/png;base64,{data}");
    assert!(data.starts_with("iVBORw0KGgo"), "{data}");
    assert_eq!(
        asked[0]["body"]["messages"][0]["content"][1]["source"],
        json!({"type": "base64", "media_type": "image/png", "data": data})
    );
    assert_eq!(
        asked[1]["body"]["input"][0]["content"][1],
        json!({"type": "input_image", "image_url": url, "detail": "auto"})
    );
    assert_eq!(asked[2]["body"]["messages"][1]["content"][1], json!({"type": "image_url", "image_url": {"url": url}}));
}

#[tokio::test]
async fn a_busy_service_is_asked_again_and_one_that_refuses_is_not() {
    let fails = |words: &str, status: u16, kind: &str, sequence: Option<u8>| {
        let mut fixture = json!({
            "match": {"userMessage": words},
            "response": {"error": {"message": "as the script says", "type": kind, "code": kind}, "status": status, "retryAfter": 1}
        });
        if let Some(sequence) = sequence {
            fixture["match"]["sequenceIndex"] = json!(sequence);
        }
        fixture
    };
    let fixtures = [
        fails("busy", 529, "overloaded_error", Some(0)),
        answers("busy", "Here I am."),
        fails("often", 429, "rate_limit_error", Some(0)),
        answers("often", "Here I am."),
        fails("wrong", 400, "invalid_request_error", None),
    ];
    for model in [MESSAGES, RESPONSES] {
        let test = "a_busy_service_is_asked_again_and_one_that_refuses_is_not";
        let Some(stage) = Stage::new(test, &json!(fixtures)) else { return };
        let busy = stage.say(model, None, "busy").await;
        assert_eq!(busy.answer(), "Here I am.", "{model}");
        assert_eq!(busy.of("retrying").len(), 1, "{model}: {:?}", busy.events);
        let often = stage.say(model, None, "often").await;
        assert_eq!(often.answer(), "Here I am.", "{model}");
        let waits: Vec<&Value> = often.of("retrying").into_iter().map(|event| &event["wait"]).collect();
        assert_eq!(waits, [&json!(1_000)], "{model}");
        let wrong = stage.say(model, None, "wrong").await;
        assert_eq!((wrong.code, wrong.of("retrying").len()), (Some(1), 0), "{model}: {:?}", wrong.events);
        assert!(wrong.end["notice"].as_str().unwrap().contains("as the script says"), "{model}: {}", wrong.end);
        // The service shuts out whoever shows another key.
        configure(&stage.home, &stage.service.address, "sk-another-0000000000");
        let stranger = stage.say(model, None, "busy").await;
        assert_eq!(stranger.code, Some(1), "{model}");
        assert!(stranger.end["notice"].as_str().unwrap().contains("needs a sign-in"), "{model}: {}", stranger.end);
        let statuses: Vec<Value> = stage.asked().iter().map(|request| request["status"].clone()).collect();
        assert_eq!(statuses, [529, 200, 429, 200, 400, 401].map(Value::from), "{model}");
    }
}

#[tokio::test]
async fn a_stream_that_is_cut_is_begun_anew_and_a_slow_one_is_waited_for() {
    let text = "One two three four five six seven eight nine ten eleven twelve.";
    // With a pause between its pieces, what came before the cut has left the service by then.
    let cut = json!({
        "match": {"userMessage": "cut", "sequenceIndex": 0},
        "response": {"content": text}, "truncateAfterChunks": 8, "latency": 15
    });
    let slow = json!({"match": {"userMessage": "slow"}, "response": {"content": text}, "latency": 120});
    let always = json!({"match": {"userMessage": "broken"}, "response": {"content": text}, "truncateAfterChunks": 8, "latency": 15});
    let fixtures = json!([cut, answers("cut", text), slow, always]);
    for model in [MESSAGES, RESPONSES] {
        let test = "a_stream_that_is_cut_is_begun_anew_and_a_slow_one_is_waited_for";
        let Some(stage) = Stage::new(test, &fixtures) else { return };
        let said = stage.say(model, None, "cut").await;
        assert_eq!((said.answer(), said.of("restarted").len()), (text, 1), "{model}: {:?}", said.events);
        let said = stage.say(model, None, "slow").await;
        assert_eq!((said.answer(), said.of("restarted").len()), (text, 0), "{model}: {:?}", said.events);
        assert!(said.of("text").len() > 3, "{model}");
        let said = stage.say(model, None, "broken").await;
        assert_eq!((said.code, said.of("restarted").len()), (Some(1), 1), "{model}: {:?}", said.events);
        let notice = said.end["notice"].as_str().unwrap();
        assert!(notice.contains("the answer was cut off while it came"), "{model}: {notice}");
    }
}

#[tokio::test]
async fn an_answer_that_is_stopped_while_the_model_thinks_leaves_a_session_that_goes_on() {
    let endless = "I wonder. ".repeat(200);
    let fixtures = json!([
        {"match": {"userMessage": "ponder"}, "response": {"content": "Done.", "reasoning": endless}, "latency": 60},
        answers("and now", "Here I am.")
    ]);
    let test = "an_answer_that_is_stopped_while_the_model_thinks_leaves_a_session_that_goes_on";
    for model in [MESSAGES, RESPONSES] {
        let Some(stage) = Stage::new(test, &fixtures) else { return };
        let daemon = stage.home.start().await;
        let mut client = daemon.client(&stage.home, "stopped").await;
        client.send(json!({"type": "model", "model": model})).await;
        client.say("m1", "ponder").await;
        client.expect("draft").await;
        client.send(json!({"type": "stop"})).await;
        client.expect_any(&["notice", "failed", "reply"]).await;
        client.say("m2", "and now").await;
        while client.expect("reply").await["text"] != json!("Here I am.") {}
        assert!(daemon.end().await.success());
        let asked = stage.asked();
        assert_eq!(asked.len(), 2, "{model}");
        let body = &asked[1]["body"];
        assert!(!body.to_string().contains("I wonder"), "{model}: {body}");
        assert!(body.to_string().contains("and now"), "{model}: {body}");
    }
}
