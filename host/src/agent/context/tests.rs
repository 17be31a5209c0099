use proptest::prelude::*;

use super::*;
use crate::message::Replay;

/// The rules of `provider.request`.
pub(in crate::agent) fn assert_valid(messages: &[Message]) {
    assert_eq!(messages.first().map(|m| m.role), Some(Role::User), "begins with the user");
    assert_eq!(messages.last().map(|m| m.role), Some(Role::User), "ends with the user");
    let mut ids = HashSet::new();
    for (at, message) in messages.iter().enumerate() {
        assert!(!message.parts.is_empty(), "no empty message");
        let expected = if at % 2 == 0 { Role::User } else { Role::Assistant };
        assert_eq!(message.role, expected, "roles alternate");
        let calls: Vec<(&str, &str)> = message.calls().map(|call| (call.id.as_str(), call.name.as_str())).collect();
        for (id, _) in &calls {
            assert!(!id.is_empty() && ids.insert(id.to_string()), "ids are unique");
        }
        for call in message.calls() {
            let arguments: serde_json::Value = serde_json::from_str(&call.arguments).unwrap();
            assert!(arguments.is_object());
        }
        if message.role == Role::Assistant {
            let outcomes: Vec<(&str, &str)> = messages[at + 1]
                .parts
                .iter()
                .map_while(|part| match &part.body {
                    Body::Outcome(outcome) => Some((outcome.id.as_str(), outcome.name.as_str())),
                    _ => None,
                })
                .collect();
            assert_eq!(outcomes, calls, "each call has its outcome, in order, first");
            let all = messages[at + 1].parts.iter().filter(|part| matches!(part.body, Body::Outcome(_))).count();
            assert_eq!(all, calls.len(), "and nothing else has one");
        } else {
            assert_eq!(calls, []);
        }
        if at == 0 {
            assert!(!message.parts.iter().any(|part| matches!(part.body, Body::Outcome(_))));
        }
    }
}

fn target() -> Target<'static> {
    Target { instance: "one", images: true, documents: false, media_bytes: 5_000, tokens: 100_000 }
}

fn media(mime: &str, size: usize) -> Media {
    Media { mime: mime.into(), name: Some("a.bin".into()), data: vec![1; size].into() }
}

fn body() -> impl Strategy<Value = Body> {
    let id = prop::sample::select(vec!["", "a", "b", "c", "a_2"]);
    let name = prop::sample::select(vec!["run", "fetch"]);
    let arguments = prop::sample::select(vec!["{}", "{\"n\":1}", "{\"n\":", "[]", ""]);
    let call = (id.clone(), name.clone(), arguments).prop_map(|(id, name, arguments)| {
        Body::Call(ToolCall { id: id.into(), name: name.into(), arguments: arguments.into() })
    });
    let outcome = (id, name, any::<bool>(), 0_usize..3).prop_map(|(id, name, failed, size)| {
        let content = (0..size)
            .map(|n| match n {
                0 => Content::Text("text".into()),
                _ => Content::Media(media("image/png", 2_000)),
            })
            .collect();
        Body::Outcome(ToolOutcome { id: id.into(), name: name.into(), content, failed })
    });
    prop_oneof![
        3 => prop::sample::select(vec!["", " ", "hello", "세계"]).prop_map(|text| Body::Text(text.into())),
        4 => call,
        4 => outcome,
        1 => (prop::sample::select(vec!["image/png", "application/pdf"]), 0_usize..4_000)
            .prop_map(|(mime, size)| Body::Media(media(mime, size))),
        1 => Just(Body::Reasoning("hm".into())),
        1 => Just(ended(&Ending::Cancelled).unwrap().body),
    ]
}

fn stored() -> impl Strategy<Value = Past> {
    let replay = prop::option::of(prop::sample::select(vec!["one", "two"]));
    let part = (body(), replay).prop_map(|(body, instance)| Part {
        body,
        replay: instance
            .map(|instance| Replay { instance: instance.into(), data: instance.as_bytes().to_vec().into() }),
    });
    let message =
        (any::<bool>(), prop::collection::vec(part, 0..5), any::<bool>()).prop_map(|(user, parts, own)| Message {
            role: if user { Role::User } else { Role::Assistant },
            parts,
            at: 0,
            turn: None,
            model: Some(if own { "one/m".into() } else { "two/m".into() }),
            usage: None,
        });
    (prop::collection::vec(message, 0..12), any::<bool>()).prop_map(|(messages, summed)| Past {
        summary: summed.then(|| "before".to_owned()),
        messages: (1..).zip(messages).collect(),
    })
}

proptest! {
    #[test]
    fn whatever_is_stored_the_request_is_valid(past in stored(), closing in any::<bool>()) {
        let before = past.clone();
        let messages = messages(&past, &target(), closing.then_some("End here."));
        assert_valid(&messages);
        let mut bytes = 0;
        for part in messages.iter().flat_map(|message| &message.parts) {
            prop_assert!(part.replay.as_ref().is_none_or(|replay| replay.instance == "one"));
            match &part.body {
                Body::Media(media) => {
                    prop_assert_eq!(&media.mime, "image/png");
                    bytes += media.data.len();
                }
                Body::Outcome(outcome) => for content in &outcome.content {
                    if let Content::Media(media) = content {
                        bytes += media.data.len();
                    }
                },
                _ => (),
            }
        }
        prop_assert!(bytes <= 5_000);
        prop_assert_eq!(past, before);
    }

    #[test]
    fn a_cut_never_parts_a_call_from_its_outcome(past in stored(), keep in 0_usize..4_000) {
        if let Some(cut) = crate::agent::compaction::cut(&past, keep, usize::MAX) {
            prop_assert!(cut > 0 && cut < past.messages.len());
            // Orphans apart, every outcome that stays has its call in what stays.
            let (going, staying) = past.messages.split_at(cut);
            let open: HashSet<&str> = going
                .iter()
                .rev()
                .find(|(_, message)| message.role == Role::Assistant)
                .map(|(_, message)| message.calls().map(|call| call.id.as_str()).collect())
                .unwrap_or_default();
            let answered: HashSet<&str> = going
                .iter()
                .rev()
                .take_while(|(_, message)| message.role == Role::User)
                .flat_map(|(_, message)| &message.parts)
                .filter_map(|part| match &part.body {
                    Body::Outcome(outcome) => Some(outcome.id.as_str()),
                    _ => None,
                })
                .collect();
            let user_first = staying.first().is_some_and(|(_, message)| message.role == Role::User);
            prop_assert!(!user_first || open.is_subset(&answered));
        }
    }
}

fn message(role: Role, bodies: Vec<Body>) -> (u64, Message) {
    let parts = bodies.into_iter().map(Part::from).collect();
    (1, Message { role, parts, at: 0, turn: None, model: Some("two/m".into()), usage: None })
}

fn bodies(past: &Past, target: &Target<'_>) -> Vec<Vec<Body>> {
    let messages = messages(past, target, None);
    assert_valid(&messages);
    messages.into_iter().map(|m| m.parts.into_iter().map(|part| part.body).collect()).collect()
}

fn text(text: &str) -> Body {
    Body::Text(text.into())
}

fn call(id: &str) -> Body {
    Body::Call(ToolCall { id: id.into(), name: "run".into(), arguments: "{}".into() })
}

fn outcome(id: &str, words: &str, failed: bool) -> Body {
    let content = vec![Content::Text(words.into())];
    Body::Outcome(ToolOutcome { id: id.into(), name: "run".into(), content, failed })
}

#[test]
fn outcomes_that_were_stored_one_by_one_come_in_the_order_of_the_calls_in_one_message() {
    let past = Past {
        summary: None,
        messages: vec![
            message(Role::User, vec![text("go")]),
            message(Role::Assistant, vec![Body::Reasoning("foreign".into()), call("a"), call("b"), call("a")]),
            message(Role::User, vec![outcome("b", "second", false)]),
            message(Role::User, vec![outcome("a", "first", false)]),
            message(Role::User, vec![outcome("ghost", "whose?", false)]),
            message(Role::User, vec![text("and?")]),
        ],
    };
    assert_eq!(
        bodies(&past, &target()),
        [
            vec![text("go")],
            vec![call("a"), call("b"), call("a_2")],
            vec![
                outcome("a", "first", false),
                outcome("b", "second", false),
                outcome("a_2", INTERRUPTED, true),
                text("and?"),
            ],
        ]
    );
}

#[test]
fn a_summary_comes_first_and_is_marked() {
    let past = Past {
        summary: Some("The cat is called Mog.".into()),
        messages: vec![message(Role::Assistant, vec![text("Hm.")]), message(Role::User, vec![text("Cat?")])],
    };
    assert_eq!(
        bodies(&past, &target()),
        [
            vec![text(
                "[Summary of the conversation so far, made by the host. Older messages are not shown.]\n\
                 The cat is called Mog.\n[End of the summary.]"
            )],
            vec![text("Hm.")],
            vec![text("Cat?")],
        ]
    );
}

#[test]
fn media_that_the_model_cannot_take_or_that_is_too_much_leaves_a_note() {
    let past = Past {
        summary: None,
        messages: vec![message(
            Role::User,
            vec![
                Body::Media(media("image/png", 3_000)),
                Body::Media(media("application/pdf", 10)),
                Body::Media(media("image/png", 4_000)),
            ],
        )],
    };
    assert_eq!(
        bodies(&past, &target()),
        [vec![
            text("[a.bin, image/png, 2 KiB: left out to save room]"),
            text("[a.bin, application/pdf, 10 bytes: left out, this model does not take such files]"),
            Body::Media(media("image/png", 4_000)),
        ]]
    );
}

#[test]
fn one_message_that_is_too_long_by_itself_is_cut_to_fit() {
    let past = Past { summary: None, messages: vec![message(Role::User, vec![text(&"words ".repeat(50_000))])] };
    let target = Target { tokens: 1_000, ..target() };
    let messages = messages(&past, &target, None);
    assert!(messages.iter().map(tokens::of_message).sum::<usize>() <= 1_000);
    assert!(messages.iter().any(|message| message.text().contains("characters left out")));
}

#[test]
fn the_system_prompt_leaves_out_what_is_empty_and_ends_with_the_time() {
    let parts = System { base: "You help.\n", workspace: "/srv/w", skills: " ", now: "Friday, 20 November 2026" };
    assert_eq!(system(parts), "You help.\n\n# Workspace\n/srv/w\n\n# Now\nFriday, 20 November 2026");
}
