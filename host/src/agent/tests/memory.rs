//! Long sessions: what was said early is still there, and a turn costs the same.

use super::super::ports::*;
use super::super::*;
use super::fakes::*;
use crate::message::Decision;

/// Answers from what it is shown and nothing else.
fn shown(request: &Request) -> String {
    let mut all = String::new();
    for part in request.messages.iter().flat_map(|message| &message.parts) {
        if let Body::Text(text) = &part.body {
            all.push_str(text);
            all.push('\n');
        }
    }
    all
}

fn completion(text: String) -> Completion {
    Completion { parts: vec![Body::Text(text).into()], stop: Stop::End, usage: USAGE, model: None }
}

fn answer(request: &Request) -> Completion {
    let shown = shown(request);
    let asked = shown.lines().rev().any(|line| line == "What is the code of my locker?");
    completion(match shown.contains("4711") {
        true if asked => "It is 4711.".into(),
        false if asked => "I do not know.".into(),
        _ => "Interesting. Tell me more about the weather there, please, in some detail.".into(),
    })
}

async fn long_session(fake: Arc<Scripted>) -> (TurnEnd, usize, usize) {
    let mut world = World::new(&[&fake], Tools::default(), allowing());
    world.limits.context_tokens = 3_000;
    world.memory = Arc::default();
    let mut largest = 0;
    for n in 1..=1_000 {
        world.turn = format!("t{n}");
        let text = match n {
            3 => "By the way, the code of my locker at Hotel Ilse is 4711.".to_owned(),
            1_000 => "What is the code of my locker?".to_owned(),
            n => format!("It rained in town number {n} the whole day and the streets were wet and empty."),
        };
        world.memory.put(user(&world.turn, &text));
        let ended = world.run().await;
        assert_eq!(ended.ending, Ending::Done);
        let size = fake.seen.lock().unwrap().drain(..).map(|r| tokens::of_request(&r)).max();
        largest = largest.max(size.unwrap_or_default());
        if n == 1_000 {
            let kept = world.memory.past().messages.len();
            assert_eq!(world.memory.all.lock().unwrap().len(), 2_000);
            return (ended, largest, kept);
        }
    }
    unreachable!()
}

#[tokio::test]
async fn a_fact_of_message_5_is_known_at_message_2000_with_a_model_that_sums_up() {
    let fake = answering(Box::new(|request| {
        if request.system == compaction::PROMPT {
            let facts: Vec<String> =
                shown(request).lines().filter(|line| line.contains("locker at")).map(str::to_owned).collect();
            return completion(facts.first().cloned().unwrap_or_else(|| "Talk about rain.".into()));
        }
        answer(request)
    }));
    let (ended, largest, kept) = long_session(fake).await;
    assert_eq!(ended.text, "It is 4711.");
    assert!(largest <= 3_000 && kept < 150, "{largest} tokens, {kept} messages");
}

#[tokio::test]
async fn a_fact_of_message_5_is_known_at_message_2000_though_no_model_ever_sums_up() {
    let fake = answering(Box::new(|request| {
        if request.system == compaction::PROMPT {
            return Completion { parts: vec![], stop: Stop::End, usage: Usage::default(), model: None };
        }
        answer(request)
    }));
    let (ended, largest, kept) = long_session(fake).await;
    assert_eq!(ended.text, "It is 4711.");
    assert!(largest <= 3_000 && kept < 150, "{largest} tokens, {kept} messages");
}

#[tokio::test]
async fn a_long_conversation_of_short_messages_is_summed_up_by_their_number() {
    let fake = answering(Box::new(|request| {
        if request.system == compaction::PROMPT {
            return completion("They talk about rain.".into());
        }
        completion("I see.".into())
    }));
    let mut world = World::new(&[&fake], Tools::default(), allowing());
    world.limits.context_turns = 10;
    world.memory = Arc::default();
    let mut sums = 0;
    for n in 1..=100 {
        world.turn = format!("t{n}");
        world.memory.put(user(&world.turn, &format!("It rained in town number {n}.")));
        assert_eq!(world.run().await.ending, Ending::Done);
        for request in fake.seen.lock().unwrap().drain(..) {
            if request.system == compaction::PROMPT {
                sums += 1;
            } else {
                // Two messages a turn, the person's own, and one that may hold the summary.
                assert!(request.messages.len() <= 22, "{} messages", request.messages.len());
                assert!(shown(&request).contains(&format!("town number {n}.")));
            }
        }
    }
    // Half of them go at a time: not with each message.
    assert!((10..=25).contains(&sums), "summed up {sums} times");
}

#[tokio::test]
async fn a_turn_that_outgrows_the_context_by_itself_keeps_what_it_was_asked() {
    let fake = answering(Box::new(|request| {
        let shown = shown(request);
        if request.system == compaction::PROMPT {
            return Completion { parts: vec![], stop: Stop::End, usage: Usage::default(), model: None };
        }
        assert!(shown.contains("Count the pages of the blue book."), "{shown}");
        if request.tools_allowed {
            let n = request.messages.len();
            let call = call(&format!("call-{n}"), "page", "");
            return Completion { parts: vec![call.into()], stop: Stop::Calls, usage: USAGE, model: None };
        }
        completion("Thirty.".into())
    }));
    let tools =
        Tools::default().with("page", |_, _, _| async { Ok(vec![Content::Text("lorem ipsum dolor ".repeat(200))]) });
    let mut world =
        World::new(&[&fake], tools, person(Policy::Allow, |_| Box::pin(async { Answer::Said(Decision::Deny) })));
    world.memory = Arc::default();
    world.memory.put(user("t1", "Count the pages of the blue book."));
    world.limits.context_tokens = 4_000;
    let ended = world.run().await;
    assert_eq!((ended.ending, ended.text.as_str()), (Ending::OutOfRounds, "Thirty."));
    assert_eq!(world.tools.ran.lock().unwrap().len(), 30);
    let largest = fake.seen.lock().unwrap().iter().map(tokens::of_request).max();
    assert!(largest.is_some_and(|largest| largest <= 4_000), "{largest:?}");
}

/// A world whose session has a few long messages already.
fn with_history(fake: &Arc<Scripted>) -> World {
    let mut world = World::new(&[fake], Tools::default(), allowing());
    world.memory = Arc::default();
    for n in 0..4 {
        world
            .memory
            .put(user(&format!("old {n}"), &format!("My room number {n} is red. {}", "And so on. ".repeat(50))));
    }
    world.memory.put(user("t1", "Which room?"));
    world
}

#[tokio::test(start_paused = true)]
async fn a_model_that_finds_the_conversation_too_long_is_asked_again_with_a_shorter_one() {
    let fake = answering(Box::new(|request| {
        completion(if request.system == compaction::PROMPT { "The rooms are red." } else { "Red." }.into())
    }));
    fake.script.lock().unwrap().push_back(Reply::Fail(ProviderError::ContextTooLong("8k".into())));
    let world = with_history(&fake);
    let before = world.memory.all.lock().unwrap().clone();
    let ended = world.run().await;
    assert_eq!((ended.ending, ended.text.as_str()), (Ending::Done, "Red."));
    let seen = fake.seen.lock().unwrap();
    let (Some(first), Some(last)) = (seen.first(), seen.last()) else { panic!("it was asked") };
    assert!(tokens::of_request(last) <= tokens::of_request(first) / 5 * 3);
    assert_eq!(world.events().iter().filter(|event| **event == Event::Compacting).count(), 1);
    assert_eq!(world.memory.past().summary, Some("The rooms are red.".into()));
    // What is stored stays.
    assert_eq!(world.memory.all.lock().unwrap()[..before.len()], before);
}

#[tokio::test(start_paused = true)]
async fn cancelling_while_the_past_is_summed_up_leaves_it_as_it_was() {
    let fake = scripted("fake", vec![Reply::Hang("")]);
    let mut world = with_history(&fake);
    world.limits.context_tokens = 300;
    let before = world.memory.past();
    let cancel = async {
        tokio::time::sleep(std::time::Duration::from_secs(1)).await;
        world.cancel.cancel();
    };
    let (ended, ()) = tokio::join!(world.run(), cancel);
    assert_eq!(ended, end(Ending::Cancelled, "", 0));
    let mut after = world.memory.past();
    after.messages.truncate(before.messages.len());
    assert_eq!(after, before);
}

#[tokio::test(start_paused = true)]
async fn a_summary_that_takes_too_long_does_not_cost_the_turn() {
    let fake = scripted("fake", vec![Reply::Hang(""), say("Red.")]);
    let mut world = with_history(&fake);
    world.limits.context_tokens = 300;
    assert_eq!(world.run().await, end(Ending::Done, "Red.", 1));
    let summary = world.memory.past().summary.unwrap();
    assert!(summary.starts_with("User: My room number 0 is red."), "{summary}");
}
