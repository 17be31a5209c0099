//! What a channel is shown, without the host's secrets: the model may have come upon one, or a person may have written
//! it. Drafts and activity are clean already (`session`), and so are approvals, of which the stored text is for the eye
//! only.

use crate::capability::secrets::Known;
use crate::message::{Body, Content, DeliveryContent, Message};

/// Of a delivery. Files are as they are: those of tools were cleaned when they came.
pub(super) fn content(known: &Known, content: DeliveryContent) -> DeliveryContent {
    match content {
        DeliveryContent::Reply { text, usage, model } => {
            DeliveryContent::Reply { text: known.cleaned(text), usage, model }
        }
        DeliveryContent::Failed(text) => DeliveryContent::Failed(known.cleaned(text)),
        DeliveryContent::Notice(text) => DeliveryContent::Notice(known.cleaned(text)),
        content @ (DeliveryContent::Media(_) | DeliveryContent::Ask(_) | DeliveryContent::Decided(_)) => content,
    }
}

/// Of the history: its texts, and what tools said before this host knew the secret.
pub(super) fn message(known: &Known, mut message: Message) -> Message {
    for part in &mut message.parts {
        match &mut part.body {
            Body::Text(text) => clean(known, text),
            Body::Outcome(outcome) => {
                for content in &mut outcome.content {
                    if let Content::Text(text) | Content::Json(text) = content {
                        clean(known, text);
                    }
                }
            }
            Body::Media(_) | Body::Reasoning(_) | Body::Call(_) | Body::Other(_) => (),
        }
    }
    message
}

fn clean(known: &Known, text: &mut String) {
    *text = known.cleaned(std::mem::take(text));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capability::secrets::SecretValue;
    use crate::message::{Role, ToolOutcome, Usage};

    fn known() -> Known {
        let known = Known::default();
        known.learn("a test", vec![("key".into(), SecretValue::new("correct-horse").unwrap())]).unwrap();
        known
    }

    #[test]
    fn no_words_for_a_channel_hold_a_secret() {
        let reply =
            |text: &str| DeliveryContent::Reply { text: text.into(), usage: Usage::default(), model: "a/b".into() };
        let kinds: [&dyn Fn(&str) -> DeliveryContent; 3] =
            [&reply, &|text| DeliveryContent::Failed(text.into()), &|text| DeliveryContent::Notice(text.into())];
        for kind in kinds {
            assert_eq!(content(&known(), kind("it is correct-horse.")), kind("it is [secret key]."));
        }
    }

    #[test]
    fn no_entry_of_the_history_holds_a_secret() {
        let said = |secret: &str| Message {
            role: Role::User,
            parts: vec![
                Body::Text(format!("use {secret}")).into(),
                Body::Outcome(ToolOutcome {
                    id: "1".into(),
                    name: "system.run".into(),
                    content: vec![Content::Text(secret.into()), Content::Json(format!("[\"{secret}\"]"))],
                    failed: false,
                })
                .into(),
            ],
            at: 1,
            turn: None,
            model: None,
            usage: None,
        };
        assert_eq!(message(&known(), said("correct-horse")), said("[secret key]"));
    }
}
