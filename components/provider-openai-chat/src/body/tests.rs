use super::*;
use crate::contract::exports::openpista::plugin::provider::Effort;
use crate::shared::names;
use crate::shared::staged::{self, call, media, message, outcome, text, tool};

fn image() -> Media {
    media("image/png", "screen.png", &[1, 2, 3])
}

fn request(messages: Vec<Message>) -> Request {
    Request { cache_key: "k".into(), ..staged::request("m", messages) }
}

fn settings() -> Settings {
    Settings::parse(r#"{"base-url":"https://api.example.org/v1"}"#)
}

fn written(request: &Request) -> Value {
    write(request, &settings(), &names(request)).json
}

#[test]
fn a_plain_question_is_a_plain_request() {
    assert_eq!(
        written(&Request { system: "Be brief.".into(), ..request(vec![message(Role::User, vec![text("Hi")])]) }),
        json!({
            "model": "m",
            "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}],
            "stream": true,
            "stream_options": {"include_usage": true}
        })
    );
}

#[test]
fn a_whole_turn_with_parallel_calls_and_an_image_from_a_tool() {
    let request = Request {
        tools: vec![tool("screen.capture"), tool("screen_capture")],
        choice: ToolChoice::Named("screen.capture".into()),
        max_tokens: Some(100),
        effort: Some(Effort::High),
        options: vec![
            ("temperature".into(), "0.5".into()),
            ("stream".into(), "false".into()),
            ("top_p".into(), "x".into()),
        ],
        ..request(vec![
            message(Role::User, vec![text("Look"), Body::Media(image())]),
            message(
                Role::Assistant,
                vec![
                    Body::Reasoning("hm".into()),
                    text("I look."),
                    call("c1", "screen.capture", r#"{"url":"x"}"#),
                    call("c2", "screen_capture", "{broken"),
                ],
            ),
            message(
                Role::User,
                vec![
                    outcome("c1", "screen.capture", vec![Content::Text("done".into()), Content::Media(image())], false),
                    outcome("c2", "screen_capture", vec![Content::Text("no JSON".into())], true),
                    text("And?"),
                ],
            ),
        ])
    };
    let image = json!({"type": "image_url", "image_url": {"url": "data:image/png;base64,AQID"}});
    let parameters = json!({"type": "object", "properties": {"url": {"type": "string"}}});
    let written = write(&request, &Settings { prompt_cache_key: true, ..settings() }, &names(&request));
    assert_eq!(
        written.json,
        json!({
            "model": "m",
            "messages": [
                {"role": "user", "content": [{"type": "text", "text": "Look"}, image]},
                {"role": "assistant", "content": "I look.", "tool_calls": [
                    {"id": "c1", "type": "function", "function": {"name": "screen_capture_2", "arguments": "{\"url\":\"x\"}"}},
                    {"id": "c2", "type": "function", "function": {"name": "screen_capture", "arguments": "{}"}}
                ]},
                {"role": "tool", "tool_call_id": "c1", "content": "done\n[screen.png: in the next message]"},
                {"role": "tool", "tool_call_id": "c2", "content": "[The tool failed.]\nno JSON"},
                {"role": "user", "content": [
                    {"type": "text", "text": "[The files that screen.capture returned:]"}, image,
                    {"type": "text", "text": "And?"}
                ]}
            ],
            "stream": true,
            "stream_options": {"include_usage": true},
            "tools": [
                {"type": "function", "function": {"name": "screen_capture_2", "description": "Does it", "parameters": parameters}},
                {"type": "function", "function": {"name": "screen_capture", "description": "Does it", "parameters": parameters}}
            ],
            "tool_choice": {"type": "function", "function": {"name": "screen_capture_2"}},
            "max_tokens": 100,
            "reasoning_effort": "high",
            "prompt_cache_key": "k",
            "temperature": 0.5
        })
    );
    assert_eq!(written.ignored, ["stream", "top_p"]);
}

#[test]
fn the_limit_goes_into_the_field_that_the_service_knows() {
    let request = Request { max_tokens: Some(7), ..request(vec![]) };
    let settings = Settings { max_tokens_field: "max_completion_tokens".into(), ..settings() };
    let body = write(&request, &settings, &names(&request)).json;
    assert_eq!((body.get("max_completion_tokens"), body.get("max_tokens")), (Some(&json!(7)), None));
}

#[test]
fn no_effort_is_what_the_model_calls_it() {
    let effort = |model: &str| {
        let request = Request { model: model.into(), effort: Some(Effort::Off), ..request(vec![]) };
        written(&request)["reasoning_effort"].clone()
    };
    assert_eq!([effort("gpt-5"), effort("gpt-5.1"), effort("o3")], [json!("minimal"), json!("none"), json!("low")]);
}

#[test]
fn what_the_api_does_not_take_is_named() {
    let sound = media("audio/ogg", "voice.ogg", &[0]);
    let body = written(&request(vec![message(Role::User, vec![Body::Media(sound)])]));
    assert_eq!(
        body["messages"],
        json!([{"role": "user", "content": "[voice.ogg: left out, for this API takes no audio/ogg]"}])
    );
}

#[test]
fn calls_alone_have_null_for_text_and_reasoning_alone_is_nothing() {
    let body = written(&request(vec![
        message(Role::Assistant, vec![call("c", "old.tool", "{}")]),
        message(Role::Assistant, vec![Body::Reasoning("hm".into())]),
    ]));
    assert_eq!(
        body["messages"],
        json!([{"role": "assistant", "content": null, "tool_calls": [
            {"id": "c", "type": "function", "function": {"name": "old_tool", "arguments": "{}"}}]}])
    );
}
