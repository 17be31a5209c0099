//! Time, rounds, cancelling, and models that fail.

use std::time::Duration;

use super::super::ports::*;
use super::super::*;
use super::fakes::*;
use crate::message::Decision;

fn forever() -> Tools {
    Tools::default().with("wait", |_, _, _| std::future::pending())
}

#[tokio::test]
async fn after_the_last_round_the_model_closes_without_tools() {
    let fake = scripted(
        "fake",
        vec![calls(vec![call("a", "echo", "")]), calls(vec![call("b", "echo", "")]), say("Half done.")],
    );
    let mut world = World::new(&[&fake], Tools::default().echo("echo"), allowing());
    world.limits.max_rounds = 2;
    assert_eq!(world.run().await, end(Ending::OutOfRounds, "Half done.", 3));
    let seen = fake.seen.lock().unwrap();
    assert_eq!(seen.iter().map(|r| r.tools_allowed).collect::<Vec<_>>(), [true, true, false]);
    let last = seen[2].messages.last().unwrap().parts.last().unwrap();
    assert_eq!(last.body, Body::Text(CLOSING.into()));
}

#[tokio::test]
async fn a_call_in_the_closing_answer_is_not_run() {
    let fake = scripted(
        "fake",
        vec![calls(vec![call("a", "echo", "")]), calls(vec![Body::Text("More!".into()), call("b", "echo", "")])],
    );
    let mut world = World::new(&[&fake], Tools::default().echo("echo"), allowing());
    world.limits.max_rounds = 1;
    assert_eq!(world.run().await, end(Ending::OutOfRounds, "More!", 2));
    assert_eq!(world.tools.ran.lock().unwrap().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn the_turns_time_ends_a_model_that_hangs_and_keeps_what_it_said() {
    let fake = scripted("fake", vec![Reply::Hang("I will")]);
    let world = World::new(&[&fake], Tools::default(), allowing());
    let start = tokio::time::Instant::now();
    assert_eq!(world.run().await, end(Ending::TimedOut, "I will", 0));
    assert_eq!(start.elapsed(), Duration::from_secs(122));
    assert_eq!(world.stored(), [(Role::Assistant, vec![Body::Text("I will".into()), note(&Ending::TimedOut)])]);
}

#[tokio::test(start_paused = true)]
async fn the_clock_stands_still_while_a_person_thinks() {
    let fake = scripted("fake", vec![calls(vec![call("a", "echo", "")]), say("ok")]);
    let person = person(Policy::Ask, |_| {
        Box::pin(async {
            tokio::time::sleep(Duration::from_secs(3600)).await;
            Answer::Said(Decision::AllowOnce)
        })
    });
    let world = World::new(&[&fake], Tools::default().echo("echo"), person);
    assert_eq!(world.run().await, end(Ending::Done, "ok", 2));
}

#[tokio::test(start_paused = true)]
async fn a_tool_that_takes_too_long_is_ended_and_the_turn_goes_on() {
    let fake = scripted("fake", vec![calls(vec![call("a", "wait", "")]), say("Too slow.")]);
    let mut world = World::new(&[&fake], forever(), allowing());
    world.limits.tool_time = Duration::from_secs(30);
    assert_eq!(world.run().await, end(Ending::Done, "Too slow.", 2));
    let told = "Timed out after 30 s and was ended. What it had done until then is done.";
    assert_eq!(world.stored()[1], (Role::User, vec![outcome("a", "wait", told, true)]));
}

#[tokio::test(start_paused = true)]
async fn cancelling_while_the_model_writes_keeps_what_it_said() {
    let fake = scripted("fake", vec![Reply::Hang("Partly")]);
    let world = World::new(&[&fake], Tools::default(), allowing());
    let cancel = async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        world.cancel.cancel();
    };
    let (ended, ()) = tokio::join!(world.run(), cancel);
    assert_eq!(ended, end(Ending::Cancelled, "Partly", 0));
    assert_eq!(world.run().await, end(Ending::Cancelled, "Partly", 0));
}

#[tokio::test(start_paused = true)]
async fn cancelling_while_tools_run_and_wait_gives_every_call_its_outcome() {
    let fake = scripted(
        "fake",
        vec![calls(vec![call("runs", "wait", ""), call("queued", "wait", ""), call("done", "echo", "")])],
    );
    let (dropped, was_dropped) = tokio::sync::oneshot::channel::<()>();
    let dropped = std::sync::Mutex::new(Some(dropped));
    let tools = Tools::default().echo("echo").with("wait", move |_, _, cancel| {
        let alive = dropped.lock().unwrap().take();
        async move {
            cancel.cancelled().await;
            // Deaf: it has to be dropped.
            std::future::pending::<()>().await;
            drop(alive);
            Ok(vec![])
        }
    });
    let mut world = World::new(&[&fake], tools, allowing());
    world.limits.side_by_side = 1;
    let cancel = async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        world.cancel.cancel();
    };
    let (ended, ()) = tokio::join!(world.run(), cancel);
    assert_eq!(ended, end(Ending::Cancelled, "", 1));
    assert!(was_dropped.await.is_err());
    let mut stored: Vec<Body> = world.stored()[1..4].iter().flat_map(|(_, bodies)| bodies.clone()).collect();
    stored.sort_by_key(|body| match body {
        Body::Outcome(outcome) => outcome.id.clone(),
        _ => String::new(),
    });
    let cancelled = "Cancelled: the turn was stopped while this ran. What it had done until then is done.";
    let not_run = "Not run: the turn was stopped before.";
    assert_eq!(
        stored,
        [
            outcome("done", "echo", not_run, true),
            outcome("queued", "wait", not_run, true),
            outcome("runs", "wait", cancelled, true),
        ]
    );
    assert_eq!(world.stored()[4], (Role::Assistant, vec![note(&Ending::Cancelled)]));
}

#[tokio::test(start_paused = true)]
async fn cancelling_while_a_person_is_asked_ends_the_question() {
    let fake = scripted("fake", vec![calls(vec![call("a", "echo", "")])]);
    let world =
        World::new(&[&fake], Tools::default().echo("echo"), person(Policy::Ask, |_| Box::pin(std::future::pending())));
    let cancel = async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        world.cancel.cancel();
    };
    let (ended, ()) = tokio::join!(world.run(), cancel);
    assert_eq!(ended, end(Ending::Cancelled, "", 1));
    let over = Event::ApprovalOver { call: "a".into(), decision: None };
    assert!(world.events().contains(&over));
}

#[tokio::test(start_paused = true)]
async fn cancelling_while_it_waits_to_ask_again_ends_at_once() {
    let fake = scripted("fake", vec![Reply::Fail(ProviderError::RateLimited(Some(60_000)))]);
    let world = World::new(&[&fake], Tools::default(), allowing());
    let start = tokio::time::Instant::now();
    let cancel = async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        world.cancel.cancel();
    };
    let (ended, ()) = tokio::join!(world.run(), cancel);
    assert_eq!((ended, start.elapsed()), (end(Ending::Cancelled, "", 0), Duration::from_secs(1)));
}

#[tokio::test]
async fn a_turn_that_is_cancelled_before_it_begins_asks_nobody() {
    let fake = scripted("fake", vec![]);
    let world = World::new(&[&fake], Tools::default(), allowing());
    world.cancel.cancel();
    assert_eq!(world.run().await, end(Ending::Cancelled, "", 0));
    assert_eq!(*fake.seen.lock().unwrap(), []);
}

fn failed(model: &str, reason: &str) -> Ending {
    Ending::Failed(Failure::Model { model: model.into(), reason: reason.into() })
}

/// What the first model does, how the turn ends, how often the first model is asked.
type Row = (Vec<Reply>, (Ending, &'static str, &'static str), usize);

#[tokio::test(start_paused = true)]
async fn every_failure_leads_where_it_should() {
    use ProviderError as E;
    let done = || (Ending::Done, "ok", "fake/m");
    let fallback = || (Ending::Done, "spare", "spare/m");
    let auth = Ending::Failed(Failure::AuthRequired { model: "fake/m".into(), reason: "401".into() });
    let table: Vec<Row> = vec![
        (vec![Reply::Fail(E::RateLimited(Some(9_000))), say("ok")], done(), 2),
        (vec![Reply::Fail(E::RateLimited(Some(900_000)))], fallback(), 1),
        ((0..4).map(|_| Reply::Fail(E::RateLimited(None))).collect(), fallback(), 4),
        (vec![Reply::Fail(E::Overloaded("busy".into())), say("ok")], done(), 2),
        ((0..4).map(|_| Reply::Fail(E::Transport("reset".into()))).collect(), fallback(), 4),
        (vec![Reply::Fail(E::Exhausted("no balance".into()))], fallback(), 1),
        (vec![Reply::Panic, say("ok")], done(), 2),
        (vec![Reply::Panic, Reply::Fail(E::Other("trap".into()))], fallback(), 2),
        (vec![Reply::Fail(E::AuthRequired("401".into()))], (auth, "", "fake/m"), 1),
        (
            vec![Reply::Fail(E::BadRequest("no such model".into()))],
            (failed("fake/m", "the model's service refused the request: no such model"), "", "fake/m"),
            1,
        ),
        (
            vec![Reply::Fail(E::AccessDenied("allow http".into()))],
            (failed("fake/m", "not allowed: allow http"), "", "fake/m"),
            1,
        ),
        (vec![Reply::Fail(E::ContextTooLong("8k".into())), say("ok")], done(), 2),
        ((0..2).map(|_| Reply::Fail(E::ContextTooLong("8k".into()))).collect(), fallback(), 2),
        (vec![Reply::Break("Hal", E::Transport("cut".into())), say("ok")], done(), 2),
        (
            (0..2).map(|_| Reply::Break("Hal", E::Transport("cut".into()))).collect(),
            (
                failed(
                    "fake/m",
                    "the answer was cut off while it came (the connection to the model's service failed: cut)",
                ),
                "",
                "fake/m",
            ),
            2,
        ),
        (vec![Reply::Say(vec![], Stop::Cancelled), say("ok")], done(), 2),
    ];
    for (at, (script, (ending, text, model), asked)) in table.into_iter().enumerate() {
        let fake = scripted("fake", script);
        let spare = scripted("spare", vec![say("spare")]);
        let world = World::new(&[&fake, &spare], Tools::default(), allowing());
        let ended = world.run().await;
        assert_eq!((&ended.ending, ended.text.as_str(), ended.model.as_str()), (&ending, text, model), "row {at}");
        assert_eq!(fake.seen.lock().unwrap().len(), asked, "row {at}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_breaks_while_it_comes_begins_anew_for_the_reader_too() {
    let error = ProviderError::Transport("cut".into());
    let fake = scripted("fake", vec![Reply::Break("Hal", error), say("Hello.")]);
    let world = World::new(&[&fake], Tools::default(), allowing());
    assert_eq!(world.run().await, end(Ending::Done, "Hello.", 1));
    let mut events = world.events();
    for event in &mut events {
        if let Event::Retrying { wait, .. } = event {
            assert!((Duration::from_millis(500)..Duration::from_millis(750)).contains(wait));
            *wait = Duration::ZERO;
        }
    }
    assert_eq!(
        events,
        [
            Event::Answering { model: "fake/m".into() },
            Event::Text("Hal".into()),
            Event::Restarted,
            Event::Retrying {
                reason: "fake/m: the connection to the model's service failed: cut".into(),
                model: "fake/m".into(),
                wait: Duration::ZERO,
            },
            Event::Text("Hello.".into()),
        ]
    );
    assert_eq!(world.stored(), [(Role::Assistant, vec![Body::Text("Hello.".into())])]);
}

#[tokio::test]
async fn a_turn_without_a_model_says_what_to_do() {
    let world = World::new(&[], Tools::default(), allowing());
    let ended = world.run().await;
    assert_eq!(ended.ending.notice(), Some("no model is set up: name one under [agent] in config.toml".to_owned()));
}
