//! How many tokens a text takes, about: on the high side, without any model's own tokenizer.

use super::ports::Request;
use crate::message::{Body, Content, Media, Message, ToolDefinition};

/// What an image takes at most in the common APIs.
const IMAGE: usize = 1600;
/// The envelope of a message or a part.
const ENVELOPE: usize = 8;

/// Tokens of a text. English is about four characters a token, other alphabets about two, and a character of a
/// script without spaces, or an emoji, is one or two tokens.
pub(super) fn of_text(text: &str) -> usize {
    let quarters: usize = text
        .chars()
        .map(|c| match c {
            'a'..='z' | 'A'..='Z' | ' ' => 1,
            '\0'..='\u{58f}' => 2,
            '\u{590}'..='\u{ffff}' => 4,
            _ => 8,
        })
        .sum();
    quarters.div_ceil(4)
}

fn of_media(media: &Media) -> usize {
    // A document's pages are not known here; its size is what there is to go by.
    if media.mime.starts_with("image/") { IMAGE } else { IMAGE.saturating_add(media.data.len() / 50) }
}

fn of_content(content: &Content) -> usize {
    match content {
        Content::Text(text) | Content::Json(text) => of_text(text),
        Content::Media(media) => of_media(media),
        Content::Other(other) => of_text(&other.data),
    }
}

fn of_body(body: &Body) -> usize {
    match body {
        Body::Text(text) | Body::Reasoning(text) => of_text(text),
        Body::Media(media) => of_media(media),
        Body::Call(call) => of_text(&call.name).saturating_add(of_text(&call.arguments)),
        Body::Outcome(outcome) => outcome.content.iter().map(of_content).sum(),
        Body::Other(other) => of_text(&other.data),
    }
}

/// Tokens of a message.
pub(super) fn of_message(message: &Message) -> usize {
    message
        .parts
        .iter()
        .map(|part| {
            let replay = part.replay.as_ref().map_or(0, |replay| replay.data.len() / 4);
            of_body(&part.body).saturating_add(replay).saturating_add(ENVELOPE)
        })
        .sum::<usize>()
        .saturating_add(ENVELOPE)
}

/// Tokens of what goes with every request.
pub(super) fn of_frame(system: &str, tools: &[ToolDefinition]) -> usize {
    tools
        .iter()
        .map(|tool| {
            of_text(&tool.name)
                .saturating_add(of_text(&tool.description))
                .saturating_add(of_text(&tool.parameters))
                .saturating_add(ENVELOPE)
        })
        .sum::<usize>()
        .saturating_add(of_text(system))
}

/// Tokens of a request.
pub(super) fn of_request(request: &Request) -> usize {
    request.messages.iter().map(of_message).sum::<usize>().saturating_add(of_frame(&request.system, &request.tools))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scripts_are_weighed_by_what_they_take() {
        let weights = ["four", "1234", "слово", "日本語", "한국어", "🦀"].map(of_text);
        assert_eq!(weights, [1, 2, 3, 3, 3, 2]);
    }
}
