use openpista_plugin::exchange::played::{Played, answer, pieces, stream};
use openpista_plugin::exchange::{Broken, follow};
use proptest::prelude::*;

use super::*;
use crate::shared::staged::{self, part};

fn run(sent: Result<Played, Broken>) -> (Result<Completion, Failure>, Vec<Delta>) {
    let names = ToolNames::new(["a.b", "search"]);
    let mut deltas = Vec::new();
    let result = follow(sent, Answer::new(&names, "m", 0xabc), 0, |delta| {
        deltas.push(delta);
        true
    });
    (result, deltas)
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

const CREATED: &str = r#"{"type":"response.created","response":{"id":"resp_1","object":"response","status":"in_progress","model":"m-2026","output":[]},"sequence_number":0}"#;

fn full() -> String {
    events(&[
        CREATED,
        r#"{"type":"response.in_progress","response":{"status":"in_progress","model":"m-2026"}}"#,
        r#"{"type":"response.output_item.added","output_index":0,"item":{"id":"rs_1","type":"reasoning","summary":[],"encrypted_content":"gA"}}"#,
        r#"{"type":"response.reasoning_summary_part.added","item_id":"rs_1","output_index":0,"summary_index":0,"part":{"type":"summary_text","text":""}}"#,
        r#"{"type":"response.reasoning_summary_text.delta","item_id":"rs_1","output_index":0,"summary_index":0,"delta":"Hm"}"#,
        r#"{"type":"response.reasoning_summary_text.delta","item_id":"rs_1","output_index":0,"summary_index":0,"delta":"."}"#,
        r#"{"type":"response.reasoning_summary_text.delta","item_id":"rs_1","output_index":0,"summary_index":1,"delta":"So."}"#,
        r#"{"type":"response.output_item.done","output_index":0,"item":{"id":"rs_1","type":"reasoning","summary":[{"type":"summary_text","text":"Hm."},{"type":"summary_text","text":"So."}],"encrypted_content":"gAAA"}}"#,
        r#"{"type":"response.output_item.added","output_index":1,"item":{"id":"msg_1","type":"message","status":"in_progress","role":"assistant","content":[],"phase":"commentary"}}"#,
        r#"{"type":"response.content_part.added","item_id":"msg_1","output_index":1,"content_index":0,"part":{"type":"output_text","text":""}}"#,
        r#"{"type":"response.output_text.delta","item_id":"msg_1","output_index":1,"content_index":0,"delta":"Grüße "}"#,
        r#"{"type":"response.output_text.delta","item_id":"msg_1","output_index":1,"content_index":0,"delta":"🦀"}"#,
        r#"{"type":"response.output_text.done","item_id":"msg_1","output_index":1,"text":"Grüße 🦀"}"#,
        r#"{"type":"response.output_item.done","output_index":1,"item":{"id":"msg_1","type":"message","role":"assistant","phase":"commentary","content":[{"type":"output_text","text":"Grüße 🦀","annotations":[]}]}}"#,
        r#"{"type":"response.output_item.added","output_index":2,"item":{"id":"fc_1","type":"function_call","call_id":"call_1","name":"a_b","arguments":""}}"#,
        r#"{"type":"response.output_item.added","output_index":3,"item":{"id":"fc_2","type":"function_call","call_id":"call_2","name":"search","arguments":""}}"#,
        r#"{"type":"response.function_call_arguments.delta","item_id":"fc_1","output_index":2,"delta":"{\"x\":"}"#,
        r#"{"type":"response.function_call_arguments.delta","item_id":"fc_1","output_index":2,"delta":"1}"}"#,
        r#"{"type":"response.output_item.done","output_index":2,"item":{"id":"fc_1","type":"function_call","call_id":"call_1","name":"a_b","arguments":"{\"x\":1}"}}"#,
        r#"{"type":"response.output_item.done","output_index":3,"item":{"id":"fc_2","type":"function_call","call_id":"call_2","name":"search","arguments":"{}"}}"#,
        r#"{"type":"response.output_item.added","output_index":4,"item":{"id":"x_1","type":"something_new"}}"#,
        r#"{"type":"response.newer_still.delta","output_index":4,"delta":"?"}"#,
        r#"{"type":"response.completed","response":{"id":"resp_1","object":"response","status":"completed","model":"m-2026","output":[],"usage":{"input_tokens":100,"input_tokens_details":{"cached_tokens":64},"output_tokens":20,"output_tokens_details":{"reasoning_tokens":9},"total_tokens":120}}}"#,
    ])
}

fn reasoning() -> Part {
    let replay =
        Replay::Reasoning { id: "rs_1".into(), encrypted: "gAAA".into(), summary: vec!["Hm.".into(), "So.".into()] };
    Part { body: Body::Reasoning("Hm.\n\nSo.".into()), replay: Some(replay.write("m")) }
}

fn whole() -> Completion {
    Completion {
        parts: vec![
            reasoning(),
            Part {
                body: Body::Text("Grüße 🦀".into()), replay: Some(Replay::Phase("commentary".into()).write("m"))
            },
            call("call_1", "a.b", r#"{"x":1}"#),
            call("call_2", "search", "{}"),
        ],
        stop: Stop::Calls,
        usage: Usage { input: 100, output: 20, cache_read: 64, cache_write: 0, cost: None },
        model: Some("m-2026".into()),
    }
}

#[test]
fn reasoning_text_and_calls_that_grow_side_by_side() {
    let (result, deltas) = run(stream(&full()));
    assert_eq!(result, Ok(whole()));
    let piece = |index, name: Option<&str>, arguments: &str| {
        Delta::Call(CallDelta { index, name: name.map(String::from), arguments: arguments.into() })
    };
    assert_eq!(
        deltas,
        [
            Delta::Reasoning("Hm".into()),
            Delta::Reasoning(".".into()),
            Delta::Reasoning("\n\nSo.".into()),
            Delta::Text("Grüße ".into()),
            Delta::Text("🦀".into()),
            piece(0, Some("a.b"), ""),
            piece(1, Some("search"), ""),
            piece(0, None, "{\"x\":"),
            piece(0, None, "1}"),
            piece(1, None, "{}"),
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
        let end = text.find("event: response.completed").unwrap();
        let early = answer(200, "text/event-stream", vec![Ok(text.as_bytes()[..end * cut / 1_000].to_vec())]);
        prop_assert!(run(early).0.is_err());
    }

    #[test]
    fn garbage_is_refused_and_never_a_trap(data in "\\PC{0,80}", kind in "[a-z_.]{0,30}") {
        let garbage = format!("event: {kind}\ndata: {data}\n\n");
        prop_assert!(run(stream(&garbage)).0.is_err());
        let odd = format!("data: {{\"type\":\"response.output_text.delta\",\"output_index\":7,\"{kind}\":7}}\n\n");
        prop_assert!(run(stream(&odd)).0.is_err());
    }
}

#[test]
fn a_response_in_one_piece_is_understood_too() {
    let body = r#"{"id":"resp_1","object":"response","status":"completed","model":"m","error":null,"output":[
        {"type":"reasoning","id":"rs_1","summary":[]},
        {"type":"message","id":"msg_1","role":"assistant","content":[{"type":"output_text","text":"Hi"}]},
        {"type":"function_call","id":"fc_1","name":"a_b","arguments":"{}"}],
        "usage":{"input_tokens":3,"output_tokens":2}}"#;
    let (result, _) = run(answer(200, "application/json", vec![Ok(body.into())]));
    assert_eq!(
        result,
        Ok(Completion {
            parts: vec![part(Body::Text("Hi".into())), call("call-0000000000000abc-2", "a.b", "{}")],
            stop: Stop::Calls,
            usage: Usage { input: 3, output: 2, ..no_usage() },
            model: Some("m".into()),
        })
    );
}

#[test]
fn items_that_only_the_last_event_has_count_too() {
    let end = r#"{"type":"response.completed","response":{"status":"completed","output":[
        {"type":"message","id":"msg_1","content":[{"type":"output_text","text":"Hi"}]}]}}"#;
    let (result, deltas) = run(stream(&events(&[CREATED, &end.replace('\n', "")])));
    assert_eq!(result.map(|completion| completion.parts), Ok(vec![part(Body::Text("Hi".into()))]));
    assert_eq!(deltas, [Delta::Text("Hi".into())]);
}

#[test]
fn the_reason_to_stop_is_kept() {
    let stop = |response: &str| {
        let end = format!(r#"{{"type":"response.incomplete","response":{response}}}"#);
        run(stream(&events(&[CREATED, &end]))).0.map(|completion| completion.stop)
    };
    let incomplete =
        |reason: &str| format!(r#"{{"status":"incomplete","incomplete_details":{{"reason":"{reason}"}}}}"#);
    assert_eq!(stop(&incomplete("max_output_tokens")), Ok(Stop::MaxTokens));
    let filtered = Stop::Filtered("the service's filter held the answer back".into());
    assert_eq!(stop(&incomplete("content_filter")), Ok(filtered));
    assert_eq!(stop(&incomplete("pondering")), Ok(Stop::Other("pondering".into())));
    assert_eq!(stop(r#"{"status":"completed"}"#), Ok(Stop::End));
    let refusal = r#"{"type":"response.refusal.delta","item_id":"msg_1","output_index":0,"delta":"I won't."}"#;
    let (result, deltas) =
        run(stream(&events(&[CREATED, refusal, r#"{"type":"response.completed","response":{"status":"completed"}}"#])));
    assert_eq!(result.map(|completion| completion.stop), Ok(Stop::Filtered("the model refused".into())));
    assert_eq!(deltas, [Delta::Text("I won't.".into())]);
}

#[test]
fn a_response_that_failed_says_why() {
    let table = [
        ("server_error", "Broke", Failure::Overloaded("Broke".into())),
        ("rate_limit_exceeded", "Slow", Failure::RateLimited(None)),
        ("insufficient_quota", "Pay", Failure::Exhausted("Pay".into())),
        ("usage_limit_reached", "Enough", Failure::Exhausted("Enough".into())),
        ("context_length_exceeded", "Long", Failure::ContextTooLong("Long".into())),
        ("invalid_prompt", "No", Failure::BadRequest("No".into())),
        ("odd", "Odd", Failure::Other("Odd".into())),
    ];
    for (code, words, wanted) in table {
        let error = format!(r#"{{"code":"{code}","message":"{words}"}}"#);
        let failed = format!(r#"{{"type":"response.failed","response":{{"status":"failed","error":{error}}}}}"#);
        assert_eq!(run(stream(&events(&[CREATED, &failed]))).0, Err(wanted.clone()), "{code}");
        let event = format!(r#"{{"type":"error","code":"{code}","message":"{words}","param":null}}"#);
        assert_eq!(run(stream(&events(&[&event]))).0, Err(wanted.clone()), "{code}");
        let nested = format!(r#"{{"type":"error","error":{error}}}"#);
        assert_eq!(run(stream(&events(&[&nested]))).0, Err(wanted), "{code}");
    }
}

#[test]
fn stopping_keeps_what_was_said_and_drops_half_written_calls() {
    let names = ToolNames::default();
    let mut left = 6;
    let result = follow(stream(&full()), Answer::new(&names, "m", 0), 0, |_| {
        left -= 1;
        left > 0
    });
    let completion = Completion {
        parts: whole().parts.into_iter().take(2).collect(),
        stop: Stop::Cancelled,
        usage: no_usage(),
        model: Some("m-2026".into()),
    };
    assert_eq!(result, Ok(completion));
}

#[test]
fn reasoning_that_was_cut_is_shown_and_never_sent_back() {
    let text = full();
    let (before, _) = text.split_once("event: response.output_item.done").unwrap();
    let cut = answer(200, "text/event-stream", vec![Ok(before.into()), Err(Broken::Cancelled)]);
    let parts = run(cut).0.map(|completion| completion.parts);
    assert_eq!(parts, Ok(vec![part(Body::Reasoning("Hm.\n\nSo.".into()))]));
}
