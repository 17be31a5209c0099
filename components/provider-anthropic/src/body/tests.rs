//! What is sent, held against the rules of the Messages API field by field.

use super::*;
use crate::contract::exports::openpista::plugin::provider::Effort;
use crate::contract::openpista::types::types::Extension;
use crate::shared::names;
use crate::shared::staged::{self, call, media, message, outcome, part, text, tool};

const MODEL: &str = "claude-sonnet-4-6";

fn request(messages: Vec<Message>) -> Request {
    Request { max_tokens: Some(1_000), effort: Some(Effort::Off), ..staged::request(MODEL, messages) }
}

fn question() -> Vec<Message> {
    vec![message(Role::User, vec![text("Hi")])]
}

fn uncached() -> Settings {
    Settings::parse(r#"{"cache":"off"}"#)
}

fn written(request: &Request) -> Value {
    write(request, &uncached(), &names(request)).json
}

fn options(given: &[(&str, &str)]) -> Vec<(String, String)> {
    given.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect()
}

/// A whole turn of a model that thinks, with two calls at once, as it comes back.
fn turn(model: &str) -> Vec<Message> {
    let signed =
        |text: &str, replay: Replay| Part { body: Body::Reasoning(text.into()), replay: Some(replay.write(model)) };
    vec![
        message(Role::User, vec![text("Look"), Body::Media(media("image/png", "screen.png", &[1, 2, 3]))]),
        Message {
            role: Role::Assistant,
            parts: vec![
                signed("I should look.", Replay::Signature("c2ln".into())),
                signed("", Replay::Redacted("ZGF0YQ==".into())),
                part(text("I look.")),
                part(call("toolu_1", "screen.capture", r#"{"url":"x"}"#)),
                part(call("toolu_2", "screen_capture", "{broken")),
            ],
        },
        message(
            Role::User,
            vec![
                outcome(
                    "toolu_1",
                    "screen.capture",
                    vec![Content::Text("done".into()), Content::Media(media("image/png", "screen.png", &[1, 2, 3]))],
                    false,
                ),
                outcome("toolu_2", "screen_capture", vec![Content::Json("{\"no\":1}".into())], true),
                text("And?"),
            ],
        ),
    ]
}

#[test]
fn a_plain_question_is_a_plain_request() {
    let request = Request { system: "Be brief.".into(), ..request(question()) };
    assert_eq!(
        written(&request),
        json!({
            "model": MODEL,
            "max_tokens": 1_000,
            "stream": true,
            "system": [{"type": "text", "text": "Be brief."}],
            "messages": [{"role": "user", "content": [{"type": "text", "text": "Hi"}]}]
        })
    );
}

#[test]
fn a_whole_turn_goes_back_as_it_came_with_its_signatures() {
    let request = Request {
        system: "Be brief.".into(),
        tools: vec![tool("screen.capture"), tool("screen_capture")],
        effort: Some(Effort::High),
        options: options(&[("stop_sequences", "[\"x\"]"), ("stream", "false"), ("temperature", "0.5"), ("a", "{")]),
        ..request(turn(MODEL))
    };
    let image = json!({"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AQID"}});
    let schema = json!({"type": "object", "properties": {"url": {"type": "string"}}});
    let cache = json!({"type": "ephemeral"});
    let written = write(&request, &Settings::parse("{}"), &names(&request));
    assert_eq!(
        written.json,
        json!({
            "model": MODEL,
            "max_tokens": 1_000,
            "stream": true,
            "thinking": {"type": "adaptive", "display": "summarized"},
            "output_config": {"effort": "high"},
            "system": [{"type": "text", "text": "Be brief.", "cache_control": cache}],
            "tool_choice": {"type": "auto"},
            "tools": [
                {"name": "screen_capture_2", "description": "Does it", "input_schema": schema},
                {"name": "screen_capture", "description": "Does it", "input_schema": schema, "cache_control": cache}
            ],
            "messages": [
                {"role": "user", "content": [
                    {"type": "text", "text": "Look"},
                    {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AQID"}, "cache_control": cache}
                ]},
                {"role": "assistant", "content": [
                    {"type": "thinking", "thinking": "I should look.", "signature": "c2ln"},
                    {"type": "redacted_thinking", "data": "ZGF0YQ=="},
                    {"type": "text", "text": "I look."},
                    {"type": "tool_use", "id": "toolu_1", "name": "screen_capture_2", "input": {"url": "x"}},
                    {"type": "tool_use", "id": "toolu_2", "name": "screen_capture", "input": {}}
                ]},
                {"role": "user", "content": [
                    {"type": "tool_result", "tool_use_id": "toolu_1", "content": [{"type": "text", "text": "done"}, image]},
                    {"type": "tool_result", "tool_use_id": "toolu_2", "content": [{"type": "text", "text": "{\"no\":1}"}], "is_error": true},
                    {"type": "text", "text": "And?", "cache_control": cache}
                ]}
            ],
            "stop_sequences": ["x"]
        })
    );
    assert_eq!((written.ignored, written.bound), (vec!["stream".to_string(), "temperature".into(), "a".into()], false));
}

/// All values under a key, however deep.
fn all<'a>(value: &'a Value, key: &str, found: &mut Vec<&'a Value>) {
    match value {
        Value::Object(fields) => fields.iter().for_each(|(name, value)| {
            if name == key {
                found.push(value);
            }
            all(value, key, found);
        }),
        Value::Array(items) => items.iter().for_each(|item| all(item, key, found)),
        _ => (),
    }
}

#[test]
fn the_cache_is_marked_in_four_places_at_most_and_never_on_thinking() {
    let mut history = turn(MODEL);
    for _ in 0..5 {
        history.push(message(Role::Assistant, vec![text("So.")]));
        history.push(message(Role::User, vec![text("Go on.")]));
    }
    let request = Request {
        system: "S".into(),
        tools: vec![tool("a"), tool("b")],
        effort: Some(Effort::High),
        ..request(history)
    };
    let marks = |settings: &str| {
        let body = write(&request, &Settings::parse(settings), &names(&request)).json;
        let mut found = Vec::new();
        all(&body, "cache_control", &mut found);
        found.into_iter().cloned().collect::<Vec<_>>()
    };
    let long = json!({"type": "ephemeral", "ttl": "1h"});
    assert_eq!(marks(r#"{"cache":"1h"}"#), [long.clone(), long.clone(), long.clone(), long]);
    assert_eq!(marks(r#"{"cache":"off"}"#), Vec::<Value>::new());
}

#[test]
fn messages_of_one_side_become_one_with_the_results_first() {
    let history = vec![
        message(Role::User, vec![text("Do both")]),
        message(Role::Assistant, vec![call("a", "t", "{}")]),
        message(Role::Assistant, vec![call("b", "t", "{}")]),
        message(Role::User, vec![text("By the way")]),
        message(Role::User, vec![outcome("a", "t", vec![Content::Text("1".into())], false)]),
        message(Role::User, vec![outcome("b", "t", vec![], false)]),
    ];
    let body = written(&Request { tools: vec![tool("t")], ..request(history) });
    assert_eq!(
        body["messages"],
        json!([
            {"role": "user", "content": [{"type": "text", "text": "Do both"}]},
            {"role": "assistant", "content": [
                {"type": "tool_use", "id": "a", "name": "t", "input": {}},
                {"type": "tool_use", "id": "b", "name": "t", "input": {}}
            ]},
            {"role": "user", "content": [
                {"type": "tool_result", "tool_use_id": "a", "content": [{"type": "text", "text": "1"}]},
                {"type": "tool_result", "tool_use_id": "b"},
                {"type": "text", "text": "By the way"}
            ]}
        ])
    );
}

#[test]
fn a_history_of_another_provider_goes_on() {
    let foreign =
        Part { body: Body::Reasoning("Hm".into()), replay: Some(br#"{"id":"rs_1","encrypted":"x"}"#.to_vec()) };
    let history = vec![
        message(Role::User, vec![text("Do it")]),
        Message {
            role: Role::Assistant,
            parts: vec![
                foreign,
                part(text(" ")),
                part(call("functions.run:0", "run", "{}")),
                part(call("functions_run_0", "run", "{}")),
            ],
        },
        message(
            Role::User,
            vec![
                outcome("functions.run:0", "run", vec![Content::Text("1".into())], false),
                outcome("functions_run_0", "run", vec![Content::Text("\n".into())], false),
            ],
        ),
    ];
    for (model, thinking) in
        [(MODEL, json!({"type": "adaptive", "display": "summarized"})), ("claude-haiku-4-5", Value::Null)]
    {
        let request = Request {
            model: model.into(),
            effort: Some(Effort::High),
            tools: vec![tool("run")],
            ..request(history.clone())
        };
        let body = written(&request);
        // A model with a budget would have to have begun this turn with thinking.
        assert_eq!(body["thinking"], thinking);
        assert_eq!(
            body["messages"][1]["content"],
            json!([
                {"type": "tool_use", "id": "functions_run_0_2", "name": "run", "input": {}},
                {"type": "tool_use", "id": "functions_run_0", "name": "run", "input": {}}
            ])
        );
        assert_eq!(
            body["messages"][2]["content"],
            json!([
                {"type": "tool_result", "tool_use_id": "functions_run_0_2", "content": [{"type": "text", "text": "1"}]},
                {"type": "tool_result", "tool_use_id": "functions_run_0"}
            ])
        );
    }
}

#[test]
fn thinking_of_another_model_or_where_none_is_asked_for_stays_behind() {
    let kinds = |request: &Request| -> Vec<String> {
        let body = written(request);
        body["messages"][1]["content"].as_array().unwrap().iter().map(|block| kind(block).to_string()).collect()
    };
    let of = |model: &str, effort| Request { model: model.into(), effort, ..request(turn(MODEL)) };
    let without = ["text", "tool_use", "tool_use"];
    assert_eq!(kinds(&of(MODEL, None)), ["thinking", "redacted_thinking", "text", "tool_use", "tool_use"]);
    assert_eq!(kinds(&of(MODEL, Some(Effort::Off))), without);
    assert_eq!(kinds(&of("claude-opus-5-5", None)), without);
}

#[test]
fn thinking_that_nothing_follows_stays_behind() {
    let signed = |text: &str| Part {
        body: Body::Reasoning(text.into()),
        replay: Some(Replay::Signature("c2ln".into()).write(MODEL)),
    };
    let stopped = Message { role: Role::Assistant, parts: vec![signed("a"), part(text("So")), signed("b")] };
    let alone = Message { role: Role::Assistant, parts: vec![signed("c")] };
    let kinds = |message: Message| -> Vec<String> {
        let body = written(&Request { effort: None, ..request([question(), vec![message]].concat()) });
        let content = body["messages"][1]["content"].as_array().into_iter().flatten();
        content.map(|block| kind(block).to_string()).collect()
    };
    assert_eq!((kinds(stopped), kinds(alone)), (vec!["thinking".to_string(), "text".into()], vec![]));
}

#[test]
fn a_model_with_a_budget_goes_on_thinking_in_a_turn_that_began_so() {
    let model = "claude-haiku-4-5";
    let body = written(&Request {
        model: model.into(),
        max_tokens: Some(20_000),
        effort: Some(Effort::Low),
        ..request(turn(model))
    });
    assert_eq!(body["thinking"], json!({"type": "enabled", "budget_tokens": 2_048}));
    assert_eq!(kind(&body["messages"][1]["content"][0]), "thinking");
}

#[test]
fn thinking_that_is_bound_says_what_is_to_happen_when_the_conversation_changed() {
    let request = Request { model: "claude-opus-5-5".into(), effort: None, ..request(question()) };
    let written = write(&request, &uncached(), &names(&request));
    assert!(written.bound);
    assert_eq!(
        written.json["thinking"],
        json!({
            "type": "adaptive", "display": "summarized",
            "block_binding": {"prefix_mismatch_behavior": "drop_block"}
        })
    );
}

#[test]
fn a_model_is_made_to_call_only_where_it_can_be() {
    let choice = |model: &str, choice: ToolChoice| {
        written(&Request { model: model.into(), choice, tools: vec![tool("a.b")], ..request(question()) })["tool_choice"].clone()
    };
    let named = || ToolChoice::Named("a.b".into());
    assert_eq!(choice(MODEL, ToolChoice::Auto), json!({"type": "auto"}));
    assert_eq!(choice(MODEL, ToolChoice::None), json!({"type": "none"}));
    assert_eq!(choice(MODEL, ToolChoice::Required), json!({"type": "any"}));
    assert_eq!(choice(MODEL, named()), json!({"type": "tool", "name": "a_b"}));
    assert_eq!(choice("claude-opus-5-5", named()), json!({"type": "auto"}));
}

#[test]
fn a_history_with_calls_keeps_their_tools() {
    let body = written(&request(turn(MODEL)));
    assert_eq!(
        (&body["tools"], &body["tool_choice"]),
        (
            &json!([
                {"name": "screen_capture_2", "input_schema": {"type": "object", "properties": {}}},
                {"name": "screen_capture", "input_schema": {"type": "object", "properties": {}}}
            ]),
            &json!({"type": "none"})
        )
    );
}

#[test]
fn documents_are_sent_by_their_type_and_what_the_api_does_not_take_is_named() {
    let files = vec![
        Body::Media(media("application/pdf", "a.pdf", &[1])),
        Body::Media(media("text/markdown", "b.md", "# Hällo".as_bytes())),
        Body::Media(media("image/svg+xml", "c.svg", b"<svg/>")),
        Body::Media(media("image/png", "large.png", &vec![0; 3_932_161])),
        Body::Media(media("audio/ogg", "d.ogg", &[0])),
        Body::Other(Extension { kind: "x:place".into(), data: "{}".into() }),
    ];
    let body = written(&request(vec![message(Role::User, files)]));
    assert_eq!(
        body["messages"][0]["content"],
        json!([
            {"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": "AQ=="}, "title": "a.pdf"},
            {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "# Hällo"}, "title": "b.md"},
            {"type": "text", "text": "[c.svg: left out, for this API takes no image/svg+xml]"},
            {"type": "text", "text": "[large.png: left out, for this API takes no image so large]"},
            {"type": "text", "text": "[d.ogg: left out, for this API takes no audio/ogg]"},
            {"type": "text", "text": "[x:place: left out]"}
        ])
    );
}

#[test]
fn the_limit_is_the_models_own_where_the_host_names_none() {
    let limit = |model: &str| {
        written(&Request { model: model.into(), max_tokens: None, ..request(question()) })["max_tokens"].clone()
    };
    assert_eq!([limit("claude-opus-4-1"), limit("claude-of-tomorrow")], [json!(32_000), json!(8_192)]);
}

#[test]
fn options_for_sampling_reach_only_a_model_that_takes_them() {
    let ignored = |model: &str, effort| {
        let request = Request {
            model: model.into(),
            effort,
            max_tokens: Some(9_000),
            options: options(&[("temperature", "0.2"), ("max_tokens", "1")]),
            ..request(question())
        };
        write(&request, &uncached(), &names(&request)).ignored
    };
    assert_eq!(ignored("claude-haiku-4-5", None), ["max_tokens"]);
    assert_eq!(ignored("claude-haiku-4-5", Some(Effort::Low)), ["temperature", "max_tokens"]);
    assert_eq!(ignored("claude-opus-4-8", Some(Effort::Off)), ["temperature", "max_tokens"]);
}
