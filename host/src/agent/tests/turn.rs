//! The loop as a whole: answers, calls, approvals.

use tokio::sync::Barrier;

use super::super::ports::*;
use super::super::*;
use super::fakes::*;
use crate::message::Decision;

#[tokio::test]
async fn a_plain_answer_is_streamed_stored_and_returned() {
    let fake = scripted("fake", vec![say("Hello.")]);
    let world = World::new(&[&fake], Tools::default(), allowing());
    assert_eq!(world.run().await, end(Ending::Done, "Hello.", 1));
    assert_eq!(world.events(), [Event::Answering { model: "fake/m".into() }, Event::Text("Hello.".into())]);
    assert_eq!(world.stored(), [(Role::Assistant, vec![Body::Text("Hello.".into())])]);
}

#[tokio::test]
async fn calls_of_one_answer_run_side_by_side_and_their_outcomes_reach_the_model_in_order() {
    let fake = scripted(
        "fake",
        vec![
            calls(vec![Body::Text("Looking.".into()), call("a", "meet", ""), call("b", "meet", r#"{"n":2}"#)]),
            say("Both met."),
        ],
    );
    // Both have to be there at once for either to go on; the first to be called comes back last.
    let both = Arc::new(Barrier::new(2));
    let (done, wait) = tokio::sync::watch::channel(false);
    let tools = Tools::default().with("meet", move |invocation, progress, _| {
        let (both, done, mut wait) = (Arc::clone(&both), done.clone(), wait.clone());
        async move {
            both.wait().await;
            if invocation.id == "a" {
                wait.wait_for(|done| *done).await.unwrap();
            }
            progress(format!("met {}", invocation.id));
            done.send_replace(true);
            Ok(vec![Content::Text(invocation.arguments)])
        }
    });
    let world = World::new(&[&fake], tools, allowing());
    assert_eq!(world.run().await, end(Ending::Done, "Looking.\n\nBoth met.", 2));
    let seen = fake.seen.lock().unwrap();
    let last: Vec<Body> = seen[1].messages[2].parts.iter().map(|part| part.body.clone()).collect();
    assert_eq!(last, [outcome("a", "meet", "{}", false), outcome("b", "meet", r#"{"n":2}"#, false)]);
    let progress: Vec<Event> =
        world.events().into_iter().filter(|event| matches!(event, Event::ToolProgress { .. })).collect();
    assert_eq!(progress, ["b", "a"].map(|id| Event::ToolProgress { call: id.into(), line: format!("met {id}") }));
}

#[tokio::test]
async fn an_answer_is_stored_before_its_calls_run() {
    let fake = scripted("fake", vec![calls(vec![call("a", "look", "")]), say("ok")]);
    let memory: Arc<std::sync::OnceLock<Arc<Memory>>> = Arc::default();
    let seen = Arc::clone(&memory);
    let tools = Tools::default().with("look", move |_, _, _| {
        let stored = seen.get().unwrap().bodies();
        async move { Ok(vec![Content::Text(format!("{} stored", stored.len()))]) }
    });
    let world = World::new(&[&fake], tools, allowing());
    assert!(memory.set(Arc::clone(&world.memory)).is_ok());
    assert_eq!(world.run().await, end(Ending::Done, "ok", 2));
    assert_eq!(world.stored()[1], (Role::User, vec![outcome("a", "look", "2 stored", false)]));
}

#[tokio::test]
async fn an_empty_answer_after_tools_is_an_answer() {
    let fake = scripted("fake", vec![calls(vec![call("a", "echo", "")]), Reply::Say(vec![], Stop::End)]);
    let world = World::new(&[&fake], Tools::default().echo("echo"), allowing());
    assert_eq!(world.run().await, end(Ending::Done, "", 2));
}

#[tokio::test]
async fn what_goes_wrong_with_a_call_is_told_to_the_model() {
    let broken = vec![
        call("a", "ecco", "{}"),
        call("b", "zzz", "{}"),
        call("c", "echo", "{\"n\": "),
        call("d", "echo", r#"{"n":"x"}"#),
        call("e", "boom", ""),
        call("f", "refused", ""),
        call("f", "echo", ""),
    ];
    let fake = scripted("fake", vec![calls(broken), say("Oh.")]);
    let tools = Tools::default()
        .echo("echo")
        .with("boom", |_, _, _| async { panic!("a bug in the tool") })
        .with("refused", |_, _, _| async { Err(ToolError::AccessDenied("grant shell".into())) });
    let world = World::new(&[&fake], tools, allowing());
    assert_eq!(world.run().await, end(Ending::Done, "Oh.", 2));
    let told: Vec<(String, bool, String)> = fake.seen.lock().unwrap()[1].messages[2]
        .parts
        .iter()
        .map(|part| {
            let Body::Outcome(outcome) = &part.body else { panic!("only outcomes") };
            let Content::Text(text) = &outcome.content[0] else { panic!("only text") };
            (outcome.id.clone(), outcome.failed, text.split(" at line").next().unwrap().to_owned())
        })
        .collect();
    let expected = [
        ("a", true, "There is no tool `ecco`. Did you mean `echo`?"),
        ("b", true, "There is no tool `zzz`. Use only tools that are on offer."),
        ("c", true, "The arguments are not valid JSON: EOF while parsing a value"),
        ("d", true, "The arguments do not fit the tool's schema:\n- /n: \"x\" is not of type \"integer\""),
        ("e", true, "The tool failed: it broke while it ran (task 0 panicked)"),
        ("f", true, "Not allowed: grant shell"),
        ("f_2", false, "echo {}"),
    ];
    let told: Vec<(&str, bool, String)> = told
        .iter()
        .map(|(id, failed, text)| {
            let text = if id == "e" { "The tool failed: it broke while it ran (task 0 panicked)" } else { text };
            (id.as_str(), *failed, text.to_owned())
        })
        .collect();
    assert_eq!(told, expected.map(|(id, failed, text)| (id, failed, text.to_owned())));
}

#[tokio::test]
async fn denied_and_unanswered_calls_never_run() {
    let fake =
        scripted("fake", vec![calls(["no", "late", "nobody"].map(|id| call(id, "echo", "")).to_vec()), say("ok")]);
    let person = person(Policy::Ask, |call| {
        let answer = match call.id.as_str() {
            "no" => Answer::Said(Decision::Deny),
            "late" => Answer::Late,
            _ => Answer::Nobody("No one is at the keyboard. Use --yes.".into()),
        };
        Box::pin(async move { answer })
    });
    let world = World::new(&[&fake], Tools::default().echo("echo"), person);
    assert_eq!(world.run().await, end(Ending::Done, "ok", 2));
    assert_eq!(*world.tools.ran.lock().unwrap(), []);
    let stored: Vec<Body> = world.stored()[1..4].iter().flat_map(|(_, bodies)| bodies.clone()).collect();
    assert_eq!(
        stored,
        [
            outcome(
                "no",
                "echo",
                "The user said no to this call. Do not try it again or another way; go on without it, or ask what \
                 they want instead.",
                true
            ),
            outcome(
                "late",
                "echo",
                "Not run: this call needs the user's approval and nobody gave it in time. Do not try it again; say \
                 what you wanted to do and why.",
                true
            ),
            outcome(
                "nobody",
                "echo",
                "Not run: this call needs the user's approval, and nobody could be asked. No one is at the keyboard. \
                 Use --yes. Do not try it again; say what you wanted to do and how it can be allowed.",
                true
            ),
        ]
    );
}

#[tokio::test]
async fn a_call_that_the_policy_denies_is_neither_asked_about_nor_run() {
    let fake = scripted("fake", vec![calls(vec![call("a", "echo", "")]), say("ok")]);
    let world =
        World::new(&[&fake], Tools::default().echo("echo"), person(Policy::Deny, |_| Box::pin(async { Answer::Late })));
    world.run().await;
    assert_eq!((world.tools.ran.lock().unwrap().len(), world.person.asked.lock().unwrap().len()), (0, 0));
}

#[tokio::test]
async fn approvals_of_one_answer_wait_side_by_side_and_what_is_asked_is_what_runs() {
    let fake = scripted("fake", vec![calls(vec![call("a", "echo", " {\"n\" : 1}"), call("b", "echo", "")]), say("ok")]);
    let both = Arc::new(Barrier::new(2));
    let person = person(Policy::Ask, move |_| {
        let both = Arc::clone(&both);
        Box::pin(async move {
            both.wait().await;
            Answer::Said(Decision::AllowOnce)
        })
    });
    let mut world = World::new(&[&fake], Tools::default().echo("echo"), person);
    world.limits.side_by_side = 1;
    assert_eq!(world.run().await, end(Ending::Done, "ok", 2));
    let asked: Vec<String> = world.person.asked.lock().unwrap().iter().map(|call| call.arguments.clone()).collect();
    assert_eq!(asked, [r#"{"n":1}"#, "{}"]);
    let mut ran: Vec<String> = world.tools.ran.lock().unwrap().iter().map(|call| call.arguments.clone()).collect();
    ran.sort();
    assert_eq!(ran, [r#"{"n":1}"#, "{}"]);
}

#[tokio::test]
async fn untrusted_content_makes_the_policy_look_again() {
    let fake =
        scripted("fake", vec![calls(vec![call("a", "fetch", "")]), calls(vec![call("b", "fetch", "")]), say("ok")]);
    let mut cautious = Person {
        policy: Policy::Allow,
        untrusted: Policy::Ask,
        asking: Box::new(|_| Box::pin(async { Answer::Said(Decision::Deny) })),
        asked: std::sync::Mutex::default(),
    };
    let world = World::new(&[&fake], Tools::default().echo("fetch").open_world(), Arc::new(cautious));
    world.run().await;
    let ran: Vec<String> = world.tools.ran.lock().unwrap().iter().map(|call| call.id.clone()).collect();
    assert_eq!(ran, ["a"]);

    let fake =
        scripted("fake", vec![calls(vec![call("a", "echo", "")]), calls(vec![call("b", "echo", "")]), say("ok")]);
    cautious = Person {
        policy: Policy::Allow,
        untrusted: Policy::Deny,
        asking: Box::new(|_| Box::pin(async { Answer::Late })),
        asked: std::sync::Mutex::default(),
    };
    let world = World::new(&[&fake], Tools::default().echo("echo"), Arc::new(cautious));
    world.run().await;
    assert_eq!(world.tools.ran.lock().unwrap().len(), 2);
}

#[tokio::test]
async fn a_long_result_is_cut_with_a_mark_and_media_is_kept_for_display() {
    let picture = crate::message::Media { mime: "image/png".into(), name: None, data: vec![7; 2048].into() };
    let kept = picture.clone();
    let fake = scripted("fake", vec![calls(vec![call("a", "big", "")]), say("ok")]);
    let tools = Tools::default().with("big", move |_, _, _| {
        let picture = picture.clone();
        async move { Ok(vec![Content::Text("x".repeat(100)), Content::Media(picture), Content::Text("y".into())]) }
    });
    let mut world = World::new(&[&fake], tools, allowing());
    world.limits.tool_chars = 8;
    world.run().await;
    let content = vec![
        Content::Text("xxxxxx\n[… 92 characters left out …]\nxx".into()),
        Content::Text("[More was left out: the result is too long.]".into()),
    ];
    assert_eq!(
        world.stored()[1].1,
        [Body::Outcome(ToolOutcome { id: "a".into(), name: "big".into(), content, failed: false })]
    );
    world.memory.past.lock().unwrap().messages.truncate(1);
    *fake.script.lock().unwrap() = vec![calls(vec![call("a", "big", "")]), say("ok")].into();
    world.limits.tool_chars = 8000;
    world.events();
    world.run().await;
    let shown = world.events().into_iter().find_map(|event| match event {
        Event::ToolDone { media, .. } => Some(media),
        _ => None,
    });
    assert_eq!(shown, Some(vec![kept]));
}

#[tokio::test]
async fn an_answer_that_was_cut_or_withheld_says_so() {
    let texts = |text: &str, stop| Reply::Say(vec![Body::Text(text.into())], stop);
    for (stop, ending) in [
        (Stop::MaxTokens, Ending::Cut),
        (Stop::Filtered("violence".into()), Ending::Filtered("violence".into())),
        (Stop::Other("pause".into()), Ending::Done),
    ] {
        let fake = scripted("fake", vec![texts("So far", stop)]);
        let world = World::new(&[&fake], Tools::default(), allowing());
        assert_eq!(world.run().await, end(ending.clone(), "So far", 1));
        // The end is in the journal: running the turn again asks nobody.
        assert_eq!(world.run().await, end(ending, "So far", 1));
    }
}
