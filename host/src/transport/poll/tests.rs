//! Polls against a scripted server, in paused time: each wait is exact.

use crate::transport::fake::{Attempt, Fake, Seen, setup};
use crate::transport::{DialError, Event, EventOutcome, ReceiverError, Response, State, TransportKind};

fn answer(status: u16, headers: &[(&str, &str)], body: &str) -> Attempt {
    let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    Attempt::Answer(Response { status, headers, body: body.into() })
}

fn unavailable() -> Attempt {
    Attempt::Fails(DialError::Unavailable("connection refused".into()))
}

/// Runs a poll of this interval until the script is over, and says when each attempt was made.
async fn attempts(fake: &Fake, interval: u32, script: Vec<Attempt>) -> Vec<u64> {
    let count = script.len();
    fake.attempts(script);
    fake.configure("bot", setup("updates", TransportKind::Poll(interval))).unwrap();
    fake.until(|_| fake.asked().len() > count).await;
    fake.asked()
}

#[tokio::test(start_paused = true)]
async fn answers_are_events_and_come_at_least_an_interval_apart() {
    let fake = Fake::new();
    let script = vec![answer(200, &[], "a"), answer(204, &[], "b"), answer(200, &[], "c")];
    assert_eq!(attempts(&fake, 1500, script).await, [0, 1500, 3000, 4500]);
    assert_eq!(fake.seen().await, Seen::answer("updates", 200, "a"));
    assert_eq!(fake.seen().await, Seen::answer("updates", 204, "b"));
    assert_eq!(fake.seen().await, Seen::answer("updates", 200, "c"));
    let status = fake.hub.status().remove(0);
    assert_eq!((status.kind, status.state), ("poll", State::Open));
    assert!(status.progress.is_some());
    assert_eq!(fake.hub.counts().polls, 3);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_answers_at_once_is_not_hammered() {
    let fake = Fake::new();
    let script = (0..3).map(|_| answer(200, &[], "")).collect();
    assert_eq!(attempts(&fake, 0, script).await, [0, 50, 100, 150]);
}

#[tokio::test(start_paused = true)]
async fn failures_wait_longer_and_longer_until_one_succeeds() {
    let fake = Fake::new();
    let script = vec![unavailable(), unavailable(), unavailable(), answer(200, &[], ""), unavailable()];
    // 1, 2, 4 s; the interval after success; 1 s again.
    assert_eq!(attempts(&fake, 500, script).await, [0, 1000, 3000, 7000, 7500, 8500]);
}

#[tokio::test(start_paused = true)]
async fn a_429_is_delivered_and_its_retry_after_is_kept() {
    let fake = Fake::new();
    let script = vec![answer(429, &[("retry-after", "7")], "slow down"), answer(503, &[], ""), answer(200, &[], "")];
    assert_eq!(attempts(&fake, 100, script).await, [0, 7000, 8000, 8100]);
    assert_eq!(fake.seen().await, Seen::answer("updates", 429, "slow down"));
}

#[tokio::test(start_paused = true)]
async fn a_server_that_hangs_is_given_up_after_two_minutes() {
    let fake = Fake::new();
    assert_eq!(attempts(&fake, 100, vec![Attempt::Hangs]).await, [0, 121_000]);
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_the_channel_cannot_take_is_asked_for_again_later_and_later() {
    let fake = Fake::new();
    fake.on_event(|_, _| EventOutcome::Unavailable);
    let script = (0..3).map(|_| answer(200, &[], "the same")).collect();
    assert_eq!(attempts(&fake, 100, script).await, [0, 1000, 3000, 7000]);
}

#[tokio::test(start_paused = true)]
async fn nonsense_that_was_dropped_does_not_slow_the_poll() {
    let fake = Fake::new();
    fake.on_event(|_, _| EventOutcome::Dropped);
    let script = (0..2).map(|_| answer(200, &[], "nonsense")).collect();
    assert_eq!(attempts(&fake, 100, script).await, [0, 100, 200]);
}

#[tokio::test(start_paused = true)]
async fn a_missing_credential_stops_the_poll_until_it_is_woken() {
    let fake = Fake::new();
    let denied = || Attempt::Denied(ReceiverError::AuthRequired("no token".into()));
    fake.attempts(vec![denied(), answer(401, &[], "")]);
    fake.on_event(|_, event| match event {
        Event::Answer(answer) if answer.response.status == 401 => EventOutcome::AuthRequired("it was refused".into()),
        _ => EventOutcome::Taken,
    });
    let parked = |reason: &str| State::AuthRequired { reason: reason.into() };
    let transports = setup("updates", TransportKind::Poll(100));
    fake.configure("bot", transports.clone()).unwrap();
    fake.until(|hub| hub.status()[0].state == parked("no token")).await;
    tokio::time::sleep(std::time::Duration::from_secs(3600)).await;
    assert_eq!(fake.asked().len(), 1);

    fake.hub.wake("bot");
    fake.until(|hub| hub.status()[0].state == parked("it was refused")).await;
    assert_eq!(fake.asked().len(), 2);

    fake.configure("bot", transports).unwrap();
    fake.until(|_| fake.asked().len() == 3).await;
}

#[tokio::test(start_paused = true)]
async fn the_status_says_what_went_wrong_and_when_it_is_tried_again() {
    let fake = Fake::new();
    fake.attempts(vec![Attempt::Fails(DialError::AccessDenied("allow api.example.org".into()))]);
    fake.configure("bot", setup("updates", TransportKind::Poll(100))).unwrap();
    fake.until(|hub| {
        let status = hub.status().remove(0);
        matches!(status.state, State::BackingOff { reason, until }
            if reason == "allow api.example.org" && until >= status.since + 1000)
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_poll_ends_with_its_transport() {
    let fake = Fake::new();
    fake.attempts((0..1000).map(|_| answer(200, &[], "")).collect());
    fake.configure("bot", setup("updates", TransportKind::Poll(1000))).unwrap();
    fake.until(|_| fake.asked().len() == 2).await;
    fake.configure("bot", Vec::new()).unwrap();
    tokio::time::sleep(std::time::Duration::from_secs(60)).await;
    assert_eq!(fake.asked().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_panic_of_the_driver_ends_one_attempt_and_not_the_poll() {
    let fake = Fake::new();
    fake.on_event(|_, event| match event {
        Event::Answer(answer) if answer.response.body == b"bad" => panic!("for this test"),
        _ => EventOutcome::Taken,
    });
    let script = vec![answer(200, &[], "bad"), answer(200, &[], "good")];
    assert_eq!(attempts(&fake, 100, script).await, [0, 60_000, 60_100]);
}
