use super::*;
use crate::message::{Part, ToolCall, ToolOutcome};

fn message(role: Role, body: Body) -> (u64, Message) {
    (1, Message { role, parts: vec![Part::from(body)], at: 0, turn: None, model: None, usage: None })
}

fn text(role: Role, text: &str) -> (u64, Message) {
    message(role, Body::Text(text.into()))
}

fn call(id: &str) -> (u64, Message) {
    let call = ToolCall { id: id.into(), name: "run".into(), arguments: r#"{"n":1}"#.into() };
    message(Role::Assistant, Body::Call(call))
}

fn outcome(id: &str) -> (u64, Message) {
    let content = vec![Content::Text("42 files".into())];
    message(Role::User, Body::Outcome(ToolOutcome { id: id.into(), name: "run".into(), content, failed: false }))
}

#[test]
fn the_cut_falls_between_turns_or_rounds() {
    let past = Past {
        summary: None,
        messages: vec![text(Role::User, "go"), call("a"), outcome("a"), call("b"), outcome("b")],
    };
    assert_eq!(cut(&past, usize::MAX, usize::MAX), Some(1));
    let last_round: usize = past.messages[3..].iter().map(|(_, message)| tokens::of_message(message)).sum();
    assert_eq!(cut(&past, last_round, usize::MAX), Some(3));
    // The outcome alone would fit; its call comes along.
    assert_eq!(cut(&past, last_round - 1, usize::MAX), Some(3));
    let single = Past { summary: None, messages: vec![text(Role::User, "go")] };
    assert_eq!(cut(&single, 0, usize::MAX), None);
}

#[test]
fn a_transcript_names_who_said_what_and_comes_in_pieces() {
    let messages = [text(Role::User, "go"), call("a"), outcome("a"), text(Role::Assistant, "done")];
    assert_eq!(
        transcript(&messages, 1_000),
        ["User: go\nCall of run: {\"n\":1}\nResult of run: 42 files\nAssistant: done\n"]
    );
    assert_eq!(
        transcript(&messages, 10),
        ["User: go\n", "Call of run: {\"n\":1}\n", "Result of run: 42 files\n", "Assistant: done\n"]
    );
}

#[test]
fn without_a_model_what_the_user_stated_outlives_talk() {
    let messages = [
        text(Role::User, "Nice day. My sister Ilse lives at 12 Elm Street. How are you?"),
        text(Role::Assistant, "Fine, thanks. What a day."),
    ];
    assert_eq!(
        mechanical(Some("User: Call me Bo."), &messages, 70),
        "User: Call me Bo.\nUser: My sister Ilse lives at 12 Elm Street."
    );
}

#[test]
fn what_is_being_worked_on_is_said_when_it_would_go() {
    let going = [text(Role::User, "Count them."), call("a"), outcome("a")];
    assert_eq!(at_work(&going, &[call("b"), outcome("b")]), Some("Count them.".into()));
    assert_eq!(at_work(&going, &[text(Role::User, "Next.")]), None);
}
