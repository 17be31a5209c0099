use super::*;
use crate::contract::openpista::types::types::{ToolDefinition, ToolHints};

fn user(text: &str) -> Message {
    Message { role: Role::User, parts: vec![part(Body::Text(text.into()))] }
}

fn assistant(text: &str) -> Message {
    Message { role: Role::Assistant, parts: vec![part(Body::Text(text.into()))] }
}

fn shell(name: &str) -> ToolDefinition {
    ToolDefinition {
        name: name.into(),
        description: "Runs a bash command".into(),
        parameters: r#"{"type":"object","required":["command"],"properties":{"command":{"type":"string"}}}"#.into(),
        hints: ToolHints::empty(),
    }
}

fn request(messages: Vec<Message>, tools: Vec<ToolDefinition>) -> Request {
    Request {
        model: MODEL.into(),
        system: "You are an assistant.".into(),
        messages,
        tools,
        choice: ToolChoice::Auto,
        max_tokens: None,
        effort: None,
        cache_key: "s1".into(),
        options: vec![],
    }
}

fn run(request: &Request) -> (Completion, Vec<Delta>) {
    let mut deltas = Vec::new();
    let completion = complete(request, |delta| {
        deltas.push(delta);
        Signal::Proceed
    });
    (completion, deltas)
}

fn text(completion: &Completion) -> String {
    completion.parts.iter().filter_map(text_of).collect()
}

fn calls_of(completion: &Completion) -> Vec<(String, String)> {
    let calls = completion.parts.iter().filter_map(|part| match &part.body {
        Body::Call(call) => Some((call.name.clone(), call.arguments.clone())),
        _ => None,
    });
    calls.collect()
}

#[test]
fn a_wish_becomes_a_call_of_the_tool_that_is_there_under_any_name() {
    for name in ["system.run", "acme.terminal"] {
        let (completion, deltas) = run(&request(vec![user("show me the files here")], vec![shell(name)]));
        assert_eq!(completion.stop, Stop::Calls);
        assert_eq!(calls_of(&completion), [(name.to_string(), r#"{"command":"ls -la"}"#.to_string())]);
        let call = CallDelta { index: 0, name: Some(name.into()), arguments: r#"{"command":"ls -la"}"#.into() };
        assert_eq!(deltas.last(), Some(&Delta::Call(call)));
    }
}

#[test]
fn several_wishes_are_called_side_by_side_with_ids_of_their_own() {
    let (completion, _) = run(&request(vec![user("show the files and the memory")], vec![shell("system.run")]));
    let ids: Vec<&str> = completion
        .parts
        .iter()
        .filter_map(|part| match &part.body {
            Body::Call(call) => Some(call.id.as_str()),
            _ => None,
        })
        .collect();
    let [first, second] = ids.as_slice() else { panic!("{ids:?}") };
    assert_ne!(first, second);
}

#[test]
fn asking_the_same_again_has_other_call_ids() {
    let ask = |messages| {
        let (completion, _) = run(&request(messages, vec![shell("system.run")]));
        let id = completion.parts.iter().find_map(|part| match &part.body {
            Body::Call(call) => Some(call.clone()),
            _ => None,
        });
        id.unwrap()
    };
    let first = ask(vec![user("show the files")]);
    let second = ask(vec![
        user("show the files"),
        Message { role: Role::Assistant, parts: vec![part(Body::Call(first.clone()))] },
        Message {
            role: Role::User,
            parts: vec![part(Body::Outcome(ToolOutcome {
                id: first.id.clone(),
                name: first.name.clone(),
                content: vec![],
                failed: false,
            }))],
        },
        assistant("done"),
        user("show the files"),
    ]);
    assert_ne!(first.id, second.id);
}

#[test]
fn a_tools_result_is_shown_in_a_block_with_the_demos_name_under_it() {
    let outcome = |failed, said: &str| {
        part(Body::Outcome(ToolOutcome {
            id: "c".into(),
            name: "system.run".into(),
            content: vec![Content::Text(said.into())],
            failed,
        }))
    };
    let messages = vec![
        user("show"),
        assistant("…"),
        Message {
            role: Role::User,
            parts: vec![outcome(false, "exit code: 0\nstdout:\na ``` b\n"), outcome(true, "not allowed")],
        },
    ];
    let (completion, _) = run(&request(messages, vec![shell("system.run")]));
    assert_eq!(completion.stop, Stop::End);
    assert_eq!(
        text(&completion),
        format!(
            "This is what `system.run` says:\n\n````\nexit code: 0\nstdout:\na ``` b\n````\n\n\
             `system.run` did not succeed:\n\n```\nnot allowed\n```\n\n{FOOT}"
        )
    );
}

#[test]
fn it_remembers_what_was_said_in_the_conversation() {
    let messages = vec![user("My name is Ada."), assistant("Noted."), user("What is my name?")];
    let (completion, _) = run(&request(messages, vec![shell("system.run")]));
    assert_eq!(text(&completion), format!("You told me: “My name is Ada.”\n\n{FOOT}"));
}

#[test]
fn it_remembers_over_a_summary_wherever_the_host_puts_it() {
    let asked = Request {
        system: "Summarize the conversation below for yourself.".into(),
        ..request(vec![user("The launch code is 4711."), assistant("Noted."), user("Tell me a joke")], vec![])
    };
    let summed = text(&run(&asked).0);
    assert_eq!(
        summed,
        "Facts that the user stated:\n- The launch code is 4711.\nAlso said by the user:\n- Tell me a joke\n"
    );
    let question = "What is the launch code?";
    let in_system =
        Request { system: format!("Be kind.\n\nEarlier:\n{summed}"), ..request(vec![user(question)], vec![]) };
    let in_message = request(vec![user(&summed), assistant("I see."), user(question)], vec![]);
    let hosts = format!("[Summary of the conversation so far, made by the host.]\n{summed}[End of the summary.]");
    let beside = Message {
        role: Role::User,
        parts: [hosts.as_str(), question].map(|said| part(Body::Text(said.into()))).to_vec(),
    };
    for request in [in_system, in_message, request(vec![beside], vec![])] {
        assert_eq!(text(&run(&request).0), format!("You told me: “The launch code is 4711.”\n\n{FOOT}"));
    }
}

#[test]
fn a_summary_beside_a_wish_is_no_wish() {
    let summary = "[Summary of the conversation so far, made by the host.]\n- Show the memory\n[End of the summary.]";
    let parts = [summary, "show the files"].map(|said| part(Body::Text(said.into()))).to_vec();
    let (completion, _) = run(&request(vec![Message { role: Role::User, parts }], vec![shell("system.run")]));
    assert_eq!(calls_of(&completion), [("system.run".to_string(), r#"{"command":"ls -la"}"#.to_string())]);
}

#[test]
fn telling_something_is_no_order_for_a_tool() {
    let greet = ToolDefinition {
        name: "name.greet".into(),
        description: "Greets by name".into(),
        parameters: r#"{"type":"object","required":["name"],"properties":{"name":{"type":"string"}}}"#.into(),
        hints: ToolHints::empty(),
    };
    for told in ["My name is Ada", "My computer is called Rex"] {
        let (completion, _) = run(&request(vec![user(told)], vec![greet.clone(), shell("system.run")]));
        assert_eq!(calls_of(&completion), [], "{told}");
        assert!(text(&completion).starts_with("Noted."), "{told}");
    }
    let (completion, _) = run(&request(vec![user("I want to see the files")], vec![greet, shell("system.run")]));
    assert_eq!(calls_of(&completion), [("system.run".to_string(), r#"{"command":"ls -la"}"#.to_string())]);
}

#[test]
fn the_choice_of_tools_is_kept() {
    let with = |choice| Request { choice, ..request(vec![user("show the files")], vec![shell("a"), shell("b")]) };
    assert_eq!(calls_of(&run(&with(ToolChoice::None)).0), []);
    assert!(text(&run(&with(ToolChoice::None)).0).starts_with("To show the files here I would run `ls -la`, but"));
    assert_eq!(
        calls_of(&run(&with(ToolChoice::Named("b".into()))).0),
        [("b".to_string(), r#"{"command":"ls -la"}"#.to_string())]
    );
    let hello = Request { choice: ToolChoice::Required, ..request(vec![user("hello")], vec![shell("a")]) };
    assert_eq!(calls_of(&run(&hello).0), [("a".to_string(), r#"{"command":"pwd"}"#.to_string())]);
}

#[test]
fn every_plain_answer_says_that_it_is_the_demo_and_how_to_get_a_real_model() {
    for said in ["hello", "what is the capital of France?", "I like tea", "show the files"] {
        let answer = text(&run(&request(vec![user(said)], vec![])).0);
        assert!(answer.ends_with(FOOT), "{said}: {answer}");
    }
}

#[test]
fn words_come_one_by_one_and_add_up_to_the_answer() {
    let (completion, deltas) = run(&request(vec![user("hello")], vec![]));
    assert!(deltas.len() > 10);
    let streamed: String = deltas
        .iter()
        .map(|delta| match delta {
            Delta::Text(text) => text.as_str(),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(streamed, text(&completion));
}

#[test]
fn it_stops_when_told_and_keeps_what_was_said() {
    let mut left = 3;
    let completion = complete(&request(vec![user("show the files")], vec![shell("x")]), |_| {
        left -= 1;
        if left == 0 { Signal::Stop } else { Signal::Proceed }
    });
    assert_eq!(completion.stop, Stop::Cancelled);
    assert_eq!(text(&completion), "For the files ");
    assert_eq!(calls_of(&completion), []);
}
