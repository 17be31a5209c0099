use openpista_plugin::exchange::played::{Played, answer, pieces, stream};
use openpista_plugin::exchange::{Broken, follow};
use proptest::prelude::*;

use super::*;
use crate::shared::staged::{self, part};

fn run(sent: Result<Played, Broken>) -> (Result<Completion, Failure>, Vec<Delta>) {
    let names = ToolNames::new(["a.b", "search"]);
    let mut deltas = Vec::new();
    let result = follow(sent, Answer::new(&names, "claude-test"), 0, |delta| {
        deltas.push(delta);
        true
    });
    (result, deltas)
}

fn thought(text: &str, replay: Replay) -> Part {
    Part { body: Body::Reasoning(text.into()), replay: Some(replay.write("claude-test")) }
}

fn call(id: &str, name: &str, arguments: &str) -> Part {
    part(staged::call(id, name, arguments))
}

/// Events in the frames of the API.
fn events(data: &[&str]) -> String {
    let frame = |data: &&str| {
        let kind = serde_json::from_str::<Value>(data).unwrap()["type"].as_str().unwrap().to_string();
        format!("event: {kind}\ndata: {data}\n\n")
    };
    data.iter().map(frame).collect()
}

const START: &str = r#"{"type":"message_start","message":{"id":"msg_1","type":"message","role":"assistant","model":"claude-test-2026","content":[],"stop_reason":null,"usage":{"input_tokens":20,"cache_creation_input_tokens":30,"cache_read_input_tokens":50,"output_tokens":1}}}"#;
const STOP: &str = r#"{"type":"message_stop"}"#;

fn full() -> String {
    events(&[
        START,
        r#"{"type":"content_block_start","index":0,"content_block":{"type":"thinking","thinking":"","signature":""}}"#,
        r#"{"type":"ping"}"#,
        r#"{"type":"content_block_delta","index":0,"delta":{"type":"thinking_delta","thinking":"Hm."}}"#,
        r#"{"type":"content_block_delta","index":0,"delta":{"type":"signature_delta","signature":"c2ln"}}"#,
        r#"{"type":"content_block_stop","index":0}"#,
        r#"{"type":"content_block_start","index":1,"content_block":{"type":"redacted_thinking","data":"ZGF0YQ=="}}"#,
        r#"{"type":"content_block_stop","index":1}"#,
        r#"{"type":"content_block_start","index":2,"content_block":{"type":"text","text":""}}"#,
        r#"{"type":"content_block_delta","index":2,"delta":{"type":"text_delta","text":"Grüße "}}"#,
        r#"{"type":"content_block_delta","index":2,"delta":{"type":"text_delta","text":"🦀"}}"#,
        r#"{"type":"content_block_stop","index":2}"#,
        r#"{"type":"content_block_start","index":3,"content_block":{"type":"tool_use","id":"toolu_1","name":"a_b","input":{}}}"#,
        r#"{"type":"content_block_start","index":4,"content_block":{"type":"tool_use","id":"toolu_2","name":"search","input":{}}}"#,
        r#"{"type":"content_block_delta","index":3,"delta":{"type":"input_json_delta","partial_json":"{\"x\":"}}"#,
        r#"{"type":"content_block_delta","index":4,"delta":{"type":"input_json_delta","partial_json":""}}"#,
        r#"{"type":"content_block_delta","index":3,"delta":{"type":"input_json_delta","partial_json":"1}"}}"#,
        r#"{"type":"content_block_start","index":5,"content_block":{"type":"something_new","data":1}}"#,
        r#"{"type":"content_block_delta","index":5,"delta":{"type":"newer_still","text":"?"}}"#,
        r#"{"type":"message_delta","delta":{"stop_reason":"tool_use","stop_sequence":null},"usage":{"output_tokens":25}}"#,
        STOP,
    ])
}

fn whole() -> Completion {
    Completion {
        parts: vec![
            thought("Hm.", Replay::Signature("c2ln".into())),
            thought("", Replay::Redacted("ZGF0YQ==".into())),
            part(Body::Text("Grüße 🦀".into())),
            call("toolu_1", "a.b", r#"{"x":1}"#),
            call("toolu_2", "search", "{}"),
        ],
        stop: Stop::Calls,
        usage: Usage { input: 100, output: 25, cache_read: 50, cache_write: 30, cost: None },
        model: Some("claude-test-2026".into()),
    }
}

#[test]
fn thinking_text_and_calls_that_grow_side_by_side() {
    let (result, deltas) = run(stream(&full()));
    assert_eq!(result, Ok(whole()));
    let piece = |index, name: Option<&str>, arguments: &str| {
        Delta::Call(CallDelta { index, name: name.map(String::from), arguments: arguments.into() })
    };
    assert_eq!(
        deltas,
        [
            Delta::Reasoning("Hm.".into()),
            Delta::Text("Grüße ".into()),
            Delta::Text("🦀".into()),
            piece(0, Some("a.b"), ""),
            piece(1, Some("search"), ""),
            piece(0, None, "{\"x\":"),
            piece(0, None, "1}"),
        ]
    );
}

proptest! {
    #[test]
    fn however_the_stream_is_cut_the_answer_is_the_same(size in 1usize..300) {
        prop_assert_eq!(run(pieces(&full(), size)).0, Ok(whole()));
    }

    #[test]
    fn a_stream_that_ends_early_is_never_taken_for_an_answer(cut in 0usize..1_000) {
        let text = full();
        let end = text.find("event: message_delta").unwrap();
        let early = answer(200, "text/event-stream", vec![Ok(text.as_bytes()[..end * cut / 1_000].to_vec())]);
        prop_assert!(run(early).0.is_err());
    }

    #[test]
    fn garbage_is_refused_and_never_a_trap(data in "\\PC{0,80}", kind in "[a-z_]{0,20}") {
        let garbage = format!("event: {kind}\ndata: {data}\n\n");
        prop_assert!(run(stream(&garbage)).0.is_err());
        let odd = format!("data: {{\"type\":\"content_block_delta\",\"index\":7,\"delta\":{{\"{kind}\":7}}}}\n\n");
        prop_assert!(run(stream(&odd)).0.is_err());
    }
}

#[test]
fn a_message_in_one_piece_is_understood_too() {
    let body = r#"{"id":"msg_1","type":"message","role":"assistant","model":"m","content":[
        {"type":"text","text":"Hi"},{"type":"tool_use","id":"t","name":"a_b","input":{"x":1}}],
        "stop_reason":"tool_use","usage":{"input_tokens":3,"output_tokens":2}}"#;
    let (result, _) = run(answer(200, "application/json", vec![Ok(body.into())]));
    assert_eq!(
        result,
        Ok(Completion {
            parts: vec![part(Body::Text("Hi".into())), call("t", "a.b", r#"{"x":1}"#)],
            stop: Stop::Calls,
            usage: Usage { input: 3, output: 2, ..no_usage() },
            model: Some("m".into()),
        })
    );
}

#[test]
fn the_reason_to_stop_is_kept() {
    let stop = |delta: &str| {
        let end = format!(r#"{{"type":"message_delta","delta":{delta},"usage":{{"output_tokens":3}}}}"#);
        run(stream(&events(&[START, &end, STOP]))).0.map(|completion| completion.stop)
    };
    for (reason, wanted) in [
        ("end_turn", Stop::End),
        ("stop_sequence", Stop::End),
        ("tool_use", Stop::Calls),
        ("max_tokens", Stop::MaxTokens),
        ("model_context_window_exceeded", Stop::MaxTokens),
        ("refusal", Stop::Filtered("the model's service refused".into())),
        ("pause_turn", Stop::Other("pause_turn".into())),
        ("pondering", Stop::Other("pondering".into())),
    ] {
        assert_eq!(stop(&format!(r#"{{"stop_reason":"{reason}"}}"#)), Ok(wanted));
    }
    let refused = r#"{"stop_reason":"refusal","stop_details":{"type":"refusal","explanation":"Not that."}}"#;
    assert_eq!(stop(refused), Ok(Stop::Filtered("Not that.".into())));
    assert_eq!(stop(r#"{"stop_reason":null}"#), Err(Failure::Transport("the answer broke off before its end".into())));
}

#[test]
fn counts_replace_each_other_and_the_cache_is_part_of_the_input() {
    let end = r#"{"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"input_tokens":25,"cache_read_input_tokens":60,"output_tokens":9}}"#;
    let usage = run(stream(&events(&[START, end, STOP]))).0.map(|completion| completion.usage);
    assert_eq!(usage, Ok(Usage { input: 115, output: 9, cache_read: 60, cache_write: 30, cost: None }));
}

#[test]
fn errors_within_the_stream_are_told_by_their_type() {
    let table = [
        ("overloaded_error", "Overloaded", Failure::Overloaded("Overloaded".into())),
        ("api_error", "Internal", Failure::Overloaded("Internal".into())),
        ("timeout_error", "Late", Failure::Overloaded("Late".into())),
        ("rate_limit_error", "Slow", Failure::RateLimited(None)),
        ("billing_error", "Pay", Failure::Exhausted("Pay".into())),
        ("authentication_error", "Who?", Failure::AuthRequired("Who?".into())),
        ("permission_error", "No.", Failure::AuthRequired("No.".into())),
        ("request_too_large", "Big", Failure::ContextTooLong("Big".into())),
        ("invalid_request_error", "prompt is too long: 9", Failure::ContextTooLong("prompt is too long: 9".into())),
        ("invalid_request_error", "max_tokens: no", Failure::BadRequest("max_tokens: no".into())),
        ("not_found_error", "model: x", Failure::BadRequest("model: x".into())),
    ];
    for (kind, words, wanted) in table {
        let error =
            format!(r#"{{"type":"error","error":{{"type":"{kind}","message":"{words}"}},"request_id":"req_1"}}"#);
        assert_eq!(run(stream(&events(&[START, &error]))).0, Err(wanted), "{kind}");
    }
}

#[test]
fn a_refused_request_says_why() {
    let refused = |status: u16, kind: &str, words: &str| {
        let body = format!(r#"{{"type":"error","error":{{"type":"{kind}","message":"{words}"}}}}"#);
        run(answer(status, "application/json", vec![Ok(body.into())])).0
    };
    assert_eq!(refused(529, "overloaded_error", "Overloaded"), Err(Failure::Overloaded("Overloaded".into())));
    assert_eq!(
        refused(401, "authentication_error", "invalid x-api-key"),
        Err(Failure::AuthRequired("invalid x-api-key".into()))
    );
    assert_eq!(refused(429, "rate_limit_error", "Slow"), Err(Failure::RateLimited(None)));
    assert_eq!(refused(404, "not_found_error", "model: x"), Err(Failure::BadRequest("model: x".into())));
}

#[test]
fn stopping_keeps_what_was_said_and_drops_half_written_calls() {
    let names = ToolNames::default();
    let mut left = 4;
    let result = follow(stream(&full()), Answer::new(&names, "claude-test"), 0, |_| {
        left -= 1;
        left > 0
    });
    let completion = Completion {
        parts: whole().parts.into_iter().take(3).collect(),
        stop: Stop::Cancelled,
        usage: Usage { input: 100, output: 1, cache_read: 50, cache_write: 30, cost: None },
        model: Some("claude-test-2026".into()),
    };
    assert_eq!(result, Ok(completion));
}

#[test]
fn thinking_without_its_signature_is_shown_and_never_sent_back() {
    let text = full();
    let (before, _) = text.split_once("event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"signature_delta\"").unwrap();
    let cut = answer(200, "text/event-stream", vec![Ok(before.into()), Err(Broken::Cancelled)]);
    assert_eq!(run(cut).0.map(|completion| completion.parts), Ok(vec![part(Body::Reasoning("Hm.".into()))]));
}
