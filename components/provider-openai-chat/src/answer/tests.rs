use openpista_plugin::exchange::played::{Played, answer as played, pieces, stream};
use openpista_plugin::exchange::{Broken, follow};
use proptest::prelude::*;

use super::*;
use crate::shared::staged::{self, part};

fn run(sent: Result<Played, Broken>) -> (Result<Completion, Failure>, Vec<Delta>) {
    let names = ToolNames::new(["a.b", "search"]);
    let mut deltas = Vec::new();
    let result = follow(sent, Answer::new(&names, 0xabc), 0, |delta| {
        deltas.push(delta);
        true
    });
    (result, deltas)
}

fn call(id: &str, name: &str, arguments: &str) -> Part {
    part(staged::call(id, name, arguments))
}

const FULL: &str = r#": processing

data: {"model":"m-1","choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}]}

data: {"choices":[{"delta":{"reasoning_content":"Hm."}}]}

data: {"choices":[{"delta":{"content":"Grüße "}}]}

data: {"choices":[{"delta":{"content":"🦀"}}]}

data: {"choices":[{"delta":{"tool_calls":[{"index":0,"id":"c1","type":"function","function":{"name":"a_b","arguments":""}}]}}]}

data: {"choices":[{"delta":{"tool_calls":[{"index":1,"id":"c2","type":"function","function":{"name":"search","arguments":"{\"q\":"}}]}}]}

data: {"choices":[{"delta":{"tool_calls":[{"index":0,"function":{"arguments":"{\"x\":1}"}},{"index":1,"function":{"arguments":"\"y\"}"}}]}}]}

data: {"choices":[{"delta":{},"finish_reason":"tool_calls"}]}

data: {"choices":[],"usage":{"prompt_tokens":100,"completion_tokens":20,"prompt_tokens_details":{"cached_tokens":64},"cost":0.0012}}

data: [DONE]

"#;

fn full() -> Completion {
    Completion {
        parts: vec![
            part(Body::Reasoning("Hm.".into())),
            part(Body::Text("Grüße 🦀".into())),
            call("c1", "a.b", r#"{"x":1}"#),
            call("c2", "search", r#"{"q":"y"}"#),
        ],
        stop: Stop::Calls,
        usage: Usage { input: 100, output: 20, cache_read: 64, cache_write: 0, cost: Some(1_200) },
        model: Some("m-1".into()),
    }
}

#[test]
fn text_reasoning_and_calls_that_grow_side_by_side() {
    let (result, deltas) = run(stream(FULL));
    assert_eq!(result, Ok(full()));
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
            piece(1, Some("search"), "{\"q\":"),
            piece(0, None, "{\"x\":1}"),
            piece(1, None, "\"y\"}"),
        ]
    );
}

proptest! {
    #[test]
    fn however_the_stream_is_cut_the_answer_is_the_same(size in 1usize..200) {
        prop_assert_eq!(run(pieces(FULL, size)).0, Ok(full()));
    }
}

#[test]
fn an_answer_in_one_piece_is_understood_too() {
    let body = r#"{"model":"m","choices":[{"message":{"role":"assistant","content":"Hi","tool_calls":[
        {"id":"c1","type":"function","function":{"name":"a_b","arguments":"{}"}},
        {"id":"c2","type":"function","function":{"name":"a_b","arguments":"{}"}}]},"finish_reason":"tool_calls"}],
        "usage":{"prompt_tokens":1,"completion_tokens":2}}"#;
    let (result, _) = run(played(200, "application/json", vec![Ok(body.into())]));
    assert_eq!(
        result,
        Ok(Completion {
            parts: vec![part(Body::Text("Hi".into())), call("c1", "a.b", "{}"), call("c2", "a.b", "{}")],
            stop: Stop::Calls,
            usage: Usage { input: 1, output: 2, ..no_usage() },
            model: Some("m".into()),
        })
    );
}

#[test]
fn calls_with_the_same_index_and_other_ids_are_other_calls_and_missing_ids_are_made() {
    let same = concat!(
        r#"data: {"choices":[{"delta":{"tool_calls":[{"index":0,"id":"x","function":{"name":"search","arguments":"{}"}}]}}]}"#,
        "\n\n",
        r#"data: {"choices":[{"delta":{"tool_calls":[{"index":0,"id":"y","function":{"name":"search"}}]},"finish_reason":"stop"}]}"#,
        "\n\n"
    );
    let (result, _) = run(stream(same));
    assert_eq!(
        result.map(|c| (c.parts, c.stop)),
        Ok((vec![call("x", "search", "{}"), call("y", "search", "{}")], Stop::Calls))
    );
    let without = r#"data: {"choices":[{"delta":{"tool_calls":[{"index":0,"function":{"name":"search","arguments":"{}"}}]},"finish_reason":"stop"}]}"#;
    let (result, _) = run(stream(without));
    assert_eq!(result.map(|c| c.parts), Ok(vec![call("call-0000000000000abc-0", "search", "{}")]));
}

#[test]
fn the_reason_to_finish_is_kept() {
    for (reason, stop) in [
        ("stop", Stop::End),
        ("length", Stop::MaxTokens),
        ("content_filter", Stop::Filtered("the service's filter held the answer back".into())),
        ("pondering", Stop::Other("pondering".into())),
    ] {
        let text =
            format!("data: {{\"choices\":[{{\"delta\":{{\"content\":\"a\"}},\"finish_reason\":\"{reason}\"}}]}}\n\n");
        assert_eq!(run(stream(&text)).0.map(|completion| completion.stop), Ok(stop));
    }
    let refusal = "data: {\"choices\":[{\"delta\":{\"refusal\":\"I won't.\"},\"finish_reason\":\"stop\"}]}\n\n";
    let (result, deltas) = run(stream(refusal));
    assert_eq!(result.map(|c| c.stop), Ok(Stop::Filtered("the model refused".into())));
    assert_eq!(deltas, [Delta::Text("I won't.".into())]);
}

#[test]
fn a_stream_that_breaks_off_is_a_fault_of_the_transport() {
    let half = "data: {\"choices\":[{\"delta\":{\"content\":\"Hal\"}}]}\n\n";
    assert_eq!(run(stream(half)).0, Err(Failure::Transport("the answer broke off before its end".into())));
    let reset = vec![Ok(half.into()), Err(Broken::Failed(Failure::Transport("connection reset".into())))];
    let (result, deltas) = run(played(200, "text/event-stream", reset));
    assert_eq!(result, Err(Failure::Transport("connection reset".into())));
    assert_eq!(deltas, [Delta::Text("Hal".into())]);
}

#[test]
fn broken_json_and_errors_within_the_stream_are_told() {
    let (result, _) = run(stream("data: {\"choices\":\n\n"));
    assert!(
        matches!(&result, Err(Failure::Other(why)) if why.starts_with("the service sent broken JSON: ")),
        "{result:?}"
    );
    let (result, _) = run(stream("data: {\"error\":{\"message\":\"busy\",\"type\":\"server_error\"}}\n\n"));
    assert_eq!(result, Err(Failure::Overloaded("busy".into())));
}

#[test]
fn a_refused_request_is_read_to_its_reason() {
    let body = vec![Ok(br#"{"error":{"message":"Wrong"#.to_vec()), Ok(br#" key"}}"#.to_vec())];
    assert_eq!(run(played(401, "application/json", body)).0, Err(Failure::AuthRequired("Wrong key".into())));
}

#[test]
fn stopping_keeps_the_text_and_drops_half_written_calls() {
    let names = ToolNames::default();
    let mut left = 5;
    let result = follow(stream(FULL), Answer::new(&names, 0), 0, |_| {
        left -= 1;
        left > 0
    });
    let completion = Completion {
        parts: vec![part(Body::Reasoning("Hm.".into())), part(Body::Text("Grüße 🦀".into()))],
        stop: Stop::Cancelled,
        usage: no_usage(),
        model: Some("m-1".into()),
    };
    assert_eq!(result, Ok(completion));
    let cancelled = played(200, "text/event-stream", vec![Err(Broken::Cancelled)]);
    assert_eq!(run(cancelled).0.map(|completion| completion.stop), Ok(Stop::Cancelled));
    assert_eq!(run(Err(Broken::Cancelled)).0.map(|completion| completion.stop), Ok(Stop::Cancelled));
}
