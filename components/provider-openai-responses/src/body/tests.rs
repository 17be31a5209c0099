//! What is sent, held against the rules of the Responses API field by field.

use super::*;
use crate::contract::exports::openpista::plugin::provider::Effort;
use crate::contract::openpista::types::types::Extension;
use crate::shared::names;
use crate::shared::staged::{self, call, media, message, outcome, part, text, tool};

const MODEL: &str = "gpt-6-sol";

fn request(messages: Vec<Message>) -> Request {
    Request { system: "Be brief.".into(), ..staged::request(MODEL, messages) }
}

fn image() -> Media {
    media("image/png", "screen.png", &[1, 2, 3])
}

fn question() -> Vec<Message> {
    vec![message(Role::User, vec![text("Hi")])]
}

fn written(request: &Request) -> Value {
    write(request, &Settings::parse("{}"), &names(request)).json
}

fn sealed(text: &str, model: &str) -> Part {
    let replay = Replay::Reasoning { id: "rs_1".into(), encrypted: "gAAA".into(), summary: vec![text.into()] };
    Part { body: Body::Reasoning(text.into()), replay: Some(replay.write(model)) }
}

/// A whole turn of a model that reasons, with two calls at once, as it comes back.
fn turn(model: &str) -> Vec<Message> {
    vec![
        message(Role::User, vec![text("Look"), Body::Media(image())]),
        Message {
            role: Role::Assistant,
            parts: vec![
                sealed("I should look.", model),
                Part { body: text("I look."), replay: Some(Replay::Phase("commentary".into()).write(model)) },
                part(call("call_1", "screen.capture", r#"{"url": "x"}"#)),
                part(call("call_2", "screen_capture", "{broken")),
            ],
        },
        message(
            Role::User,
            vec![
                outcome("call_1", "t", vec![Content::Text("done".into()), Content::Media(image())], false),
                outcome("call_2", "t", vec![Content::Text("no JSON".into())], true),
                text("And?"),
            ],
        ),
    ]
}

#[test]
fn a_plain_question_is_a_plain_request() {
    assert_eq!(
        written(&request(question())),
        json!({
            "model": MODEL,
            "instructions": "Be brief.",
            "input": [{"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Hi"}]}],
            "stream": true,
            "store": false,
            "include": ["reasoning.encrypted_content"]
        })
    );
}

#[test]
fn a_whole_turn_goes_back_as_it_came_with_its_reasoning() {
    let request = Request {
        tools: vec![tool("screen.capture"), tool("screen_capture")],
        choice: ToolChoice::Named("screen.capture".into()),
        max_tokens: Some(100),
        effort: Some(Effort::High),
        cache_key: "k".into(),
        options: [("service_tier", "\"flex\""), ("store", "true"), ("x", "{")]
            .map(|(name, value)| (name.to_string(), value.to_string()))
            .to_vec(),
        ..request(turn(MODEL))
    };
    let image = json!({"type": "input_image", "image_url": "data:image/png;base64,AQID", "detail": "auto"});
    let parameters = json!({"type": "object", "properties": {"url": {"type": "string"}}});
    let settings = Settings::parse(r#"{"reasoning-summary":"auto"}"#);
    let written = write(&request, &settings, &names(&request));
    assert_eq!(
        written.json,
        json!({
            "model": MODEL,
            "instructions": "Be brief.",
            "input": [
                {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Look"}, image]},
                {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "I should look."}], "encrypted_content": "gAAA"},
                {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "I look."}], "phase": "commentary"},
                {"type": "function_call", "call_id": "call_1", "name": "screen_capture_2", "arguments": "{\"url\": \"x\"}"},
                {"type": "function_call", "call_id": "call_2", "name": "screen_capture", "arguments": "{}"},
                {"type": "function_call_output", "call_id": "call_1", "output": [{"type": "input_text", "text": "done"}, image]},
                {"type": "function_call_output", "call_id": "call_2", "output": "[The tool failed.]\nno JSON"},
                {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "And?"}]}
            ],
            "stream": true,
            "store": false,
            "include": ["reasoning.encrypted_content"],
            "reasoning": {"effort": "high", "summary": "auto"},
            "tools": [
                {"type": "function", "name": "screen_capture_2", "description": "Does it", "parameters": parameters, "strict": false},
                {"type": "function", "name": "screen_capture", "description": "Does it", "parameters": parameters, "strict": false}
            ],
            "parallel_tool_calls": true,
            "tool_choice": {"type": "function", "name": "screen_capture_2"},
            "max_output_tokens": 100,
            "prompt_cache_key": "k",
            "service_tier": "flex"
        })
    );
    assert_eq!(written.ignored, ["store", "x"]);
}

#[test]
fn a_model_that_does_not_reason_is_not_asked_for_it() {
    let request = Request { model: "gpt-4o".into(), effort: Some(Effort::High), ..request(question()) };
    let body = write(&request, &Settings::parse(r#"{"reasoning-summary":"auto"}"#), &names(&request)).json;
    assert_eq!((body.get("include"), body.get("reasoning")), (None, None));
}

#[test]
fn no_effort_is_what_the_model_calls_it() {
    let effort = |model: &str| {
        let request = Request { model: model.into(), effort: Some(Effort::Off), ..request(question()) };
        written(&request)["reasoning"]["effort"].clone()
    };
    assert_eq!(["gpt-5", "gpt-6-sol", "gpt-6.1-sol"].map(effort), [json!("minimal"), json!("none"), json!("low")]);
}

#[test]
fn the_limit_is_sent_where_it_is_taken_and_never_below_the_least() {
    let limit = |settings: &str, most| {
        let request = Request { max_tokens: Some(most), ..request(question()) };
        write(&request, &Settings::parse(settings), &names(&request)).json.get("max_output_tokens").cloned()
    };
    assert_eq!(limit("{}", 7), Some(json!(16)));
    assert_eq!(limit("{}", 700), Some(json!(700)));
    assert_eq!(limit(r#"{"limit-output":false}"#, 700), None);
}

#[test]
fn a_history_of_another_provider_goes_on() {
    let foreign =
        Part { body: Body::Reasoning("Hm".into()), replay: Some(br#"{"model":"gpt-6-sol","signature":"x"}"#.to_vec()) };
    let long = "functions.run:0/".repeat(8);
    let history = vec![
        message(Role::User, vec![text("Do it")]),
        Message {
            role: Role::Assistant,
            parts: vec![foreign, part(text(" ")), part(call(&long, "a.b", "{}")), part(call("toolu_1", "a_b", "{}"))],
        },
        message(
            Role::User,
            vec![
                outcome(&long, "t", vec![Content::Json("1".into())], false),
                outcome("toolu_1", "t", vec![Content::Media(media("application/pdf", "a.pdf", &[1, 2, 3]))], false),
            ],
        ),
    ];
    let id = "functions_run_0_".repeat(4);
    assert_eq!(
        written(&Request { tools: vec![tool("a.b"), tool("a_b")], ..request(history) })["input"],
        json!([
            {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Do it"}]},
            {"type": "function_call", "call_id": id, "name": "a_b_2", "arguments": "{}"},
            {"type": "function_call", "call_id": "toolu_1", "name": "a_b", "arguments": "{}"},
            {"type": "function_call_output", "call_id": id, "output": "1"},
            {"type": "function_call_output", "call_id": "toolu_1", "output": [
                {"type": "input_file", "filename": "a.pdf", "file_data": "data:application/pdf;base64,AQID"}
            ]}
        ])
    );
}

#[test]
fn reasoning_of_another_model_or_that_leads_to_nothing_stays_behind() {
    let kinds = |messages: Vec<Message>| -> Vec<String> {
        let body = written(&request(messages));
        let kind = |item: &Value| item["type"].as_str().unwrap().to_string();
        body["input"].as_array().unwrap().iter().map(kind).collect()
    };
    assert_eq!(kinds(turn("gpt-5"))[..3], ["message", "message", "function_call"]);
    let cut = Message { role: Role::Assistant, parts: vec![part(text("So")), sealed("Hm", MODEL), part(text(" "))] };
    assert_eq!(kinds(vec![message(Role::User, vec![text("Hi")]), cut]), ["message", "message"]);
}

#[test]
fn what_the_api_does_not_take_is_named() {
    let files = vec![
        Body::Media(media("audio/ogg", "a.ogg", &[0])),
        Body::Other(Extension { kind: "x:place".into(), data: "{}".into() }),
    ];
    assert_eq!(
        written(&request(vec![message(Role::User, files)]))["input"][0]["content"],
        json!([
            {"type": "input_text", "text": "[a.ogg: left out, for this API takes no audio/ogg]"},
            {"type": "input_text", "text": "[x:place: left out]"}
        ])
    );
}
