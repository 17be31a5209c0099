//! A turn's events without the host's secrets, for all who watch: drafts, activity, the terminal of `run -e`.
//!
//! What the model writes comes in pieces, and a secret may be cut anywhere. So what may still become one is held back
//! until the next piece, or the end of the passage, shows what it is; everything else is passed on at once.

use std::sync::{Arc, Mutex};

use super::lock;
use crate::agent::event::{Event, Events};
use crate::capability::secrets::{Filter, Known};
use crate::message::ToolCall;

/// For one turn.
pub(super) struct Discreet {
    known: Arc<Known>,
    out: Events,
    writing: Mutex<Writing>,
}

/// What the model writes, as far as it came.
struct Writing {
    text: Filter,
    reasoning: Filter,
}

impl Discreet {
    /// What is left goes to `out`.
    pub(super) fn new(known: Arc<Known>, out: Events) -> Self {
        let writing = Mutex::new(Writing { text: known.filter(), reasoning: known.filter() });
        Self { known, out, writing }
    }

    /// Passes an event on.
    pub(super) fn take(&self, event: Event) {
        // Held until it is passed on: events come from several tasks, and what they say stays in order.
        let mut writing = lock(&self.writing);
        let text = |text| self.known.cleaned(text);
        let call = |call: ToolCall| ToolCall { arguments: text(call.arguments), ..call };
        let event = match event {
            Event::Text(piece) => {
                self.write(writing.text.push_text(&piece), Event::Text);
                return;
            }
            Event::Reasoning(piece) => {
                self.write(writing.reasoning.push_text(&piece), Event::Reasoning);
                return;
            }
            Event::Restarted => {
                *writing = Writing { text: self.known.filter(), reasoning: self.known.filter() };
                Event::Restarted
            }
            event => {
                self.end(&mut writing);
                match event {
                    Event::Retrying { reason, model, wait } => Event::Retrying { reason: text(reason), model, wait },
                    Event::ApprovalWaiting(waiting) => Event::ApprovalWaiting(call(waiting)),
                    Event::ToolStarted(started) => Event::ToolStarted(call(started)),
                    Event::ToolProgress { call, line } => Event::ToolProgress { call, line: text(line) },
                    Event::ToolDone { call, name, line, media } => {
                        Event::ToolDone { call, name, line: text(line), media }
                    }
                    Event::ToolFailed { call, name, line } => Event::ToolFailed { call, name, line: text(line) },
                    event => event,
                }
            }
        };
        (self.out)(event);
    }

    /// The turn is over: what was held back is no secret.
    pub(super) fn finish(&self) {
        self.end(&mut lock(&self.writing));
    }

    fn end(&self, writing: &mut Writing) {
        self.write(writing.reasoning.finish_text(), Event::Reasoning);
        self.write(writing.text.finish_text(), Event::Text);
    }

    fn write(&self, certain: String, event: fn(String) -> Event) {
        if !certain.is_empty() {
            (self.out)(event(certain));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capability::secrets::SecretValue;

    fn text(text: &str) -> Event {
        Event::Text(text.into())
    }

    fn call(arguments: &str) -> ToolCall {
        ToolCall { id: "1".into(), name: "system.run".into(), arguments: arguments.into() }
    }

    fn passed_on(events: Vec<Event>) -> Vec<Event> {
        let known = Arc::new(Known::default());
        known.learn("a test", vec![("key".into(), SecretValue::new("correct-horse").unwrap())]).unwrap();
        let passed: Arc<Mutex<Vec<Event>>> = Arc::default();
        let out = {
            let passed = Arc::clone(&passed);
            Arc::new(move |event| lock(&passed).push(event))
        };
        let discreet = Discreet::new(known, out);
        events.into_iter().for_each(|event| discreet.take(event));
        discreet.finish();
        lock(&passed).clone()
    }

    #[test]
    fn a_secret_that_two_pieces_share_is_cut_out_and_nothing_else_waits() {
        let said = passed_on(vec![text("it is "), text("correct-"), text("horse"), text("!"), text(" corr")]);
        assert_eq!(said, [text("it is "), text("[secret key]"), text("!"), text(" "), text("corr")]);
    }

    #[test]
    fn thinking_and_text_do_not_hold_each_other_back() {
        let thought = |text: &str| Event::Reasoning(text.into());
        let said = passed_on(vec![thought("correct"), text("corr"), thought("-horse."), text("ect answer")]);
        assert_eq!(said, [thought("[secret key]."), text("correct answer")]);
    }

    #[test]
    fn what_was_held_back_comes_before_the_tool_and_is_gone_when_the_answer_begins_anew() {
        let arguments = r#"{"command":"echo correct-horse"}"#;
        let said = passed_on(vec![
            text("corr"),
            Event::ToolStarted(call(arguments)),
            text("corr"),
            Event::Restarted,
            text("ect-horse"),
        ]);
        let cleaned = call(r#"{"command":"echo [secret key]"}"#);
        assert_eq!(said, [text("corr"), Event::ToolStarted(cleaned), Event::Restarted, text("ect-horse")]);
    }
}
