//! A channel that reaches for conversations, questions and connections of others, and one that wants too much of its own.

use std::sync::Arc;

use openpista_host::message::{Approval, Decision, Sender, now};
use openpista_host::plugin::channel::ChannelInstance;
use openpista_host::plugin::registry::RoleKind;
use openpista_host::store::Session;
use openpista_host::transport::{Event, Frame};
use openpista_host::wit::role::channel::Source;

use super::bench::{Bench, guest};

const ALL: &str = "grants = { control = [\"own\", \"all\", \"models\"] }";
const OWN: &str = "grants = { control = [\"own\"] }";

/// The hostile channel twice, once as somebody else.
async fn bench(grants: &str) -> Bench {
    let files = [("channel.wasm", guest("guest-hostile-channel")), ("pure.wasm", guest("guest-pure"))];
    let config = format!("[channels.hostile]\n{grants}\n[channels.other]\nplugin = \"channel-hostile\"\n");
    Bench::new(&files, &config).await
}

/// What the host answers to it.
async fn told(bench: &Bench, want: &str) -> String {
    let instance = Arc::clone(bench.app.registry.snapshot().get(RoleKind::Channel, "hostile").unwrap());
    let channel = ChannelInstance { instance, host: Arc::clone(bench.host()) };
    let source = Source { transport: "way".into(), connection: 1, tags: Vec::new() };
    let ((), held) = channel.receive(&Event::Frame((source, Frame::Text(want.into()))), 1).await.unwrap();
    String::from_utf8(held.state.set["told"].clone().unwrap()).unwrap()
}

fn ann() -> Sender {
    Sender { id: "ann".into(), name: "Ann".into() }
}

/// An open question to Ann, of that instance.
fn question(id: &str, instance: &str) -> Approval {
    Approval {
        id: id.into(),
        instance: instance.into(),
        conversation: "c".into(),
        session: "s".into(),
        turn: "t".into(),
        call: "1".into(),
        owner: ann(),
        handle: None,
        tool: "system.run".into(),
        summary: "ls".into(),
        arguments: "{}".into(),
        owned_by: String::new(),
        hash: "00".into(),
        expires: now() + 600_000,
        by_hand: false,
        decision: None,
        receipt: None,
    }
}

#[tokio::test]
async fn a_question_is_answered_by_who_was_asked_where_it_was_asked_and_once() {
    let bench = bench("").await;
    bench
        .app
        .store
        .write(|tx| {
            for approval in [question("mine", "hostile"), question("theirs", "other"), question("done", "hostile")] {
                tx.approval_put(&approval, now())?;
            }
            tx.approval_decide("done", Decision::Deny, &ann(), now()).map(|_| ())
        })
        .await
        .unwrap();
    let denied = "Err(Error::AccessDenied(\"somebody else was asked\"))";
    assert_eq!(told(&bench, "decide theirs ann").await, denied);
    assert_eq!(told(&bench, "decide mine eve").await, denied);
    let over = "Err(Error::NotFound(\"that question is answered already, or its time is over\"))";
    assert_eq!(told(&bench, "decide done ann").await, over);
    assert_eq!(told(&bench, "decide none ann").await, over);
    assert_eq!(told(&bench, "decide mine ann").await, "Ok(())");
    // It sees its own.
    assert_eq!(told(&bench, "waiting c").await, "Ok(1)");
}

#[tokio::test]
async fn conversations_of_others_are_not_there() {
    let bench = bench(OWN).await;
    bench
        .app
        .store
        .write(|tx| {
            tx.session_start(&Session::new("other", "theirs", ann(), now()))?;
            tx.session_start(&Session::new("hostile", "mine", ann(), now()))
        })
        .await
        .unwrap();
    let gone = "Err(Error::NotFound(\"there is no conversation theirs\"))";
    assert_eq!(told(&bench, "rename theirs x").await, gone);
    assert_eq!(told(&bench, "remove theirs x").await, gone);
    assert_eq!(told(&bench, "history theirs x").await, "Ok(0)");
    assert_eq!(told(&bench, "running theirs x").await, "Ok(None)");
    assert_eq!(told(&bench, "rename mine x").await, "Ok(())");
    assert_eq!(told(&bench, "page all x").await, "Ok(1)");
}

#[tokio::test]
async fn control_is_denied_item_by_item() {
    let denied = |item: &str| {
        format!(
            "Err(Error::AccessDenied(\"hostile may not use control for {item}; to allow it: openpista-host plugin allow \
             hostile control={item}\"))"
        )
    };
    let none = bench("").await;
    for want in ["page all x", "history c x", "running c x", "rename c x", "remove c x"] {
        assert_eq!(told(&none, want).await, denied("own"), "{want}");
    }
    let own = bench(OWN).await;
    assert_eq!(told(&own, "models all x").await, denied("models"));
    assert_eq!(told(&own, "choose c demo/echo").await, denied("models"));
    let all = bench(ALL).await;
    assert_eq!(told(&all, "choose c demo/echo").await, "Err(Error::NotFound(\"there is no model demo/echo\"))");
}

#[tokio::test]
async fn what_one_call_hands_over_is_bounded_in_number_and_in_bytes() {
    let bench = bench("").await;
    let number = told(&bench, "cancels c u").await;
    assert_eq!(number, "Some((10000, Error::TooLarge(\"one call has at most 10000 effects\")))");
    let bytes = told(&bench, "files c u").await;
    assert_eq!(bytes, "Some((7, Error::TooLarge(\"one call hands over at most 64 MiB\")))");
    bench.pure_works().await;
}

#[tokio::test]
async fn what_is_said_over_a_connection_or_to_the_operator_has_a_size() {
    let bench = bench("").await;
    let said = told(&bench, "notice it x").await;
    assert_eq!(said, "Err(Error::TooLarge(\"a notice has at most 1024 bytes\"))");
    assert_eq!(told(&bench, "alarm it x").await, "Err(Error::Invalid(\"an alarm is at least 100 ms away\"))");
    assert_eq!(told(&bench, "frame it x").await, "Err(Error::TooLarge(\"a frame has at most 10485760 bytes\"))");
    let tags = "Err(Error::TooLarge(\"a connection has at most 8 tags of 256 bytes\"))";
    assert_eq!(told(&bench, "tags 1 x").await, tags);
}
