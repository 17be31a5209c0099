//! `kill -9` at any moment: whatever a client was told is taken is answered, once and in order, by the next process. The
//! judge lives outside of it: the journal of the model's service, and what people at the page saw.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "clippy exempts only functions that are tests themselves, not what they share"
)]

mod daemon;

#[path = "crash/judge.rs"]
mod judge;
#[path = "crash/person.rs"]
mod person;
#[path = "crash/world.rs"]
mod world;

use daemon::client::kind;
use openpista_host::failpoint;
use person::Wish;
use world::{Kill, Rng, World};

/// Kills of one home, before its last daemon lives.
const KILLS: usize = 25;

/// Two homes, each killed at moments that nobody chose.
async fn random_kills() {
    let mut rng = Rng::new();
    let (one, other) = (rng.split(), rng.split());
    let killed = async |mut rng: Rng| {
        let mut world = World::busy(&mut rng).await;
        for _ in 0..KILLS {
            let kill = Kill::anywhere(&mut rng);
            world.survive(&kill).await;
        }
        world.end().await;
        // Else the kills met nobody at work.
        assert!(world.model.journal().len() > KILLS, "{:#?}", world.people);
    };
    tokio::join!(killed(one), killed(other));
}

/// Kills at each of these failpoints: at the first time that it is reached, then at a later one, and so on.
async fn kills_at(part: &str, step: usize) {
    let names: Vec<&str> = failpoint::ALL.into_iter().filter(|name| name.starts_with(part)).collect();
    assert_eq!(names.len(), 2, "one before and one after");
    for name in names {
        let mut world = World::busy(&mut Rng::new()).await;
        for count in (1..).step_by(step).take(8) {
            world.survive(&Kill::At(format!("{name}:{count}"))).await;
        }
        world.end().await;
    }
}

#[tokio::test]
async fn a_kill_before_or_after_a_commit_loses_and_doubles_nothing() {
    kills_at("store.", 1).await;
}

#[tokio::test]
async fn a_kill_before_or_after_something_is_sent_loses_and_doubles_nothing() {
    // The first ones are the greetings of those who come.
    kills_at("connection.", 6).await;
}

#[tokio::test]
async fn a_kill_before_or_after_a_delivery_loses_and_doubles_nothing() {
    kills_at("deliver.", 1).await;
}

#[tokio::test]
async fn a_kill_before_or_after_the_model_is_asked_loses_and_doubles_nothing() {
    kills_at("model.", 1).await;
}

#[tokio::test]
async fn a_kill_before_or_after_a_tool_is_called_loses_and_doubles_nothing() {
    kills_at("tool.", 1).await;
}

#[tokio::test]
async fn fifty_kills_at_random_moments_lose_and_double_nothing() {
    random_kills().await;
}

#[tokio::test]
#[ignore = "long; `cargo xtask soak`"]
async fn soak_five_hundred_kills_lose_and_double_nothing() {
    for _ in 0..10 {
        random_kills().await;
    }
}

#[tokio::test]
async fn a_tool_that_ran_when_the_host_was_killed_is_not_run_again_and_the_model_is_told() {
    let mut world = World::new(1, &mut Rng::new()).await;
    world.people[0].plan(Wish::Run);
    let (begun, pipe) = (world.home.workspace().join("begun-s0-m0-run"), world.home.workspace().join("wait"));
    nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).unwrap();
    world.survive_until("the command to run", async || begun.exists().then_some(())).await;
    // The command outlives the host, and goes on when something comes through the pipe.
    std::fs::write(&pipe, "\n").unwrap();
    std::fs::remove_file(&pipe).unwrap();
    world.end().await;
    assert_eq!(world.ran(), ["s0-m0-run"]);
    let outcomes = world.outcomes();
    assert!(matches!(outcomes.as_slice(), [only] if only.contains("Interrupted:")), "{outcomes:?}");
}

#[tokio::test]
async fn a_question_that_is_open_when_the_host_is_killed_is_asked_again_and_its_answer_holds() {
    let mut world = World::new(1, &mut Rng::new()).await;
    world.people[0].plan(Wish::Ask);
    // The question is out: the one delivery before the reply.
    world.survive(&Kill::At("deliver.after-send:1".into())).await;
    world.survive(&Kill::At("deliver.before-send:1".into())).await;
    world.end().await;
    assert_eq!(world.ran(), ["s0-m0-ask"]);
    assert_eq!(world.outcomes(), ["done\n"]);
}

/// Between the start of the next daemon and the moment in which the turn waits again, the page shows the question already.
#[tokio::test]
async fn an_answer_that_comes_before_the_turn_goes_on_after_a_kill_is_the_answer() {
    let mut world = World::new(1, &mut Rng::new()).await;
    // The turn goes on when it knows the instance's models, and that is in the test's hand.
    let config = std::fs::read_to_string(world.home.path().join("config.toml")).unwrap();
    world.home.configure(&config.replace("fake/model", "fake").replace(", models = [\"model\"]", ""));
    world.people[0].plan(Wish::Ask);
    world.survive(&Kill::At("deliver.after-send:1".into())).await;
    world.model.lists(false);
    let daemon = world.home.start().await;
    let mut client = daemon.client(&world.home, "s0").await;
    let approval = client.seen.iter().find(|frame| kind(frame) == "approval").cloned().unwrap();
    client.decide(&approval, "once").await;
    client.expect("decided").await;
    world.model.lists(true);
    let next = client.expect_any(&["approval", "reply"]).await;
    assert_eq!(kind(&next), "reply", "{next}");
    assert_eq!(world.ran(), ["s0-m0-ask"]);
}

#[tokio::test]
async fn what_was_allowed_and_not_begun_when_the_host_was_killed_is_not_run_later() {
    let mut world = World::new(1, &mut Rng::new()).await;
    world.people[0].plan(Wish::Ask);
    world.survive(&Kill::At("tool.before-call:1".into())).await;
    world.end().await;
    assert_eq!(world.ran(), [""; 0]);
    let outcomes = world.outcomes();
    assert!(matches!(outcomes.as_slice(), [only] if only.contains("Interrupted:")), "{outcomes:?}");
}

#[tokio::test]
async fn what_ran_and_was_not_stored_when_the_host_was_killed_is_not_run_again() {
    let mut world = World::new(1, &mut Rng::new()).await;
    world.people[0].plan(Wish::Both);
    world.survive(&Kill::At("tool.after-call:1".into())).await;
    world.end().await;
    let mut ran = world.ran();
    ran.retain(|line| line == "s0-m0-run");
    assert_eq!(ran, ["s0-m0-run"]);
    assert!(world.outcomes().iter().any(|outcome| outcome.contains("Interrupted:")), "{:?}", world.outcomes());
}
