//! A turn that a kill cut off and that is run again.

use super::super::ports::*;
use super::super::*;
use super::fakes::*;
use crate::message::Decision;

fn script() -> Vec<Reply> {
    vec![calls(vec![call("a", "echo", ""), call("b", "echo", "")]), calls(vec![call("c", "echo", "")]), say("Done.")]
}

/// A model that goes on from what it is shown: answers by how many answers are in the request.
fn going_on() -> Arc<Scripted> {
    answering(Box::new(|request| {
        let answers = request.messages.iter().filter(|m| m.role == Role::Assistant).count();
        match script().into_iter().nth(answers) {
            Some(Reply::Say(bodies, stop)) => {
                Completion { parts: bodies.into_iter().map(Part::from).collect(), stop, usage: USAGE, model: None }
            }
            _ => panic!("asked once too often"),
        }
    }))
}

#[tokio::test]
async fn after_a_kill_at_any_step_there_is_one_reply_and_no_call_runs_twice() {
    for lives in 0..=6 {
        let fake = going_on();
        let world = World::new(&[&fake], Tools::default().echo("echo"), allowing());
        *world.memory.lives.lock().unwrap() = Some(lives);
        let first = world.run().await;
        if lives < 6 {
            assert_eq!(first.ending, Ending::Failed(Failure::Journal("killed".into())), "after {lives}");
        } else {
            assert_eq!(first, end(Ending::Done, "Done.", 3));
        }
        *world.memory.lives.lock().unwrap() = None;
        assert_eq!(world.run().await, end(Ending::Done, "Done.", 3), "after {lives}");
        // And once more, as if the kill came between the last message and its delivery.
        assert_eq!(world.run().await, end(Ending::Done, "Done.", 3), "after {lives}");

        let mut ran: Vec<String> =
            world.tools.ran.lock().unwrap().iter().map(|invocation| invocation.id.clone()).collect();
        let all = ran.len();
        ran.sort();
        ran.dedup();
        assert_eq!(ran.len(), all, "after {lives}");
        let replies = world
            .stored()
            .iter()
            .filter(|(role, bodies)| {
                *role == Role::Assistant && !bodies.iter().any(|body| matches!(body, Body::Call(_)))
            })
            .count();
        assert_eq!(replies, 1, "after {lives}");
        let mut outcomes: Vec<String> = world
            .stored()
            .iter()
            .flat_map(|(_, bodies)| bodies.clone())
            .filter_map(|body| match body {
                Body::Outcome(outcome) => Some(outcome.id),
                _ => None,
            })
            .collect();
        outcomes.sort();
        assert_eq!(outcomes, ["a", "b", "c"], "after {lives}");
    }
}

#[tokio::test]
async fn a_call_without_an_outcome_is_told_as_interrupted_and_not_run_again() {
    let fake = going_on();
    let world = World::new(&[&fake], Tools::default().echo("echo"), allowing());
    *world.memory.lives.lock().unwrap() = Some(1);
    world.run().await;
    *world.memory.lives.lock().unwrap() = None;
    let before = world.tools.ran.lock().unwrap().len();
    world.run().await;
    let after: Vec<String> = world.tools.ran.lock().unwrap().iter().skip(before).map(|call| call.id.clone()).collect();
    assert_eq!(after, ["c"]);
    let stored: Vec<Body> = world.stored()[1..3].iter().flat_map(|(_, bodies)| bodies.clone()).collect();
    assert_eq!(stored, ["a", "b"].map(|id| outcome(id, "echo", context::INTERRUPTED, true)));
}

#[tokio::test]
async fn a_call_whose_approval_was_still_open_is_asked_about_again() {
    let fake = going_on();
    let person = person(Policy::Ask, |_| Box::pin(async { Answer::Said(Decision::AllowOnce) }));
    let mut world = World::new(&[&fake], Tools::default().echo("echo"), person);
    let mut answer = user("t1", "");
    answer.role = Role::Assistant;
    answer.parts = vec![call("a", "echo", "").into(), call("b", "echo", "").into()];
    world.memory.put(answer);
    world.unstarted.insert("b".into());
    let ended = world.run().await;
    assert_eq!((ended.ending, ended.text.as_str()), (Ending::Done, "Done."));
    let stored: Vec<Body> = world.stored()[1..3].iter().flat_map(|(_, bodies)| bodies.clone()).collect();
    assert_eq!(stored, [outcome("a", "echo", context::INTERRUPTED, true), outcome("b", "echo", "echo {}", false)]);
}

#[tokio::test]
async fn what_an_earlier_run_took_in_stays_untrusted() {
    let fake = scripted("fake", vec![calls(vec![call("b", "fetch", "")]), say("ok")]);
    let mut cautious = Arc::into_inner(allowing()).unwrap();
    cautious.untrusted = Policy::Deny;
    let world = World::new(&[&fake], Tools::default().echo("fetch").open_world(), Arc::new(cautious));
    let mut answer = user("t1", "");
    answer.role = Role::Assistant;
    answer.parts = vec![call("a", "fetch", "").into()];
    world.memory.put(answer);
    let mut result = user("t1", "");
    result.parts = vec![outcome("a", "fetch", "a page", false).into()];
    world.memory.put(result);
    world.run().await;
    assert_eq!(*world.tools.ran.lock().unwrap(), []);
}
