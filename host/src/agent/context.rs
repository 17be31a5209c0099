//! From what is stored to what a model is asked: a request that every API takes.
//!
//! Stored history can be anything that a kill, another provider or an older build left behind. What comes out of
//! [`messages`] always begins and ends with a user message, alternates, and has the outcome of each call in the very
//! next message; ids are unique, media fits. The stored history itself is never changed.

use std::collections::HashSet;

use super::event::Ending;
use super::{excerpt, tokens};
use crate::message::{Body, Content, Extension, Media, Message, Part, Role, Timestamp, ToolCall, ToolOutcome};

/// The kind of the part that says how a turn ended; see [`ended`].
const ENDED: &str = "openpista/ended";

/// What the model is told in place of an outcome that was never stored.
pub const INTERRUPTED: &str = "Interrupted: the host stopped before the result was stored. It may have run. It was not run again; look at the \
     state of things before you do it again.";

/// Characters that a part of the system prompt may take.
const SYSTEM_PART_MAX: usize = 120_000;

/// A session's messages since its last compaction.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Past {
    /// What came before them, summed up.
    pub summary: Option<String>,
    /// With their cursors, in order.
    pub messages: Vec<(u64, Message)>,
}

/// What the system prompt is made of. An empty part is left out.
#[derive(Debug, Clone, Copy, Default)]
pub struct System<'a> {
    /// Who the agent is and how it works.
    pub base: &'a str,
    /// The folder that it works in.
    pub workspace: &'a str,
    /// The skills' text.
    pub skills: &'a str,
    /// The person's date, time and zone. Comes last, so that what is before it stays in a prompt cache.
    pub now: &'a str,
}

/// The system prompt.
pub fn system(parts: System<'_>) -> String {
    let workspace = titled("Workspace", parts.workspace);
    let skills = titled("Skills", parts.skills);
    let now = titled("Now", parts.now);
    let all = [parts.base.trim().to_owned(), workspace, skills, now];
    let kept: Vec<String> =
        all.iter().filter(|part| !part.is_empty()).map(|part| excerpt::ends(part, SYSTEM_PART_MAX)).collect();
    kept.join("\n\n")
}

fn titled(title: &str, text: &str) -> String {
    let text = text.trim();
    if text.is_empty() { String::new() } else { format!("# {title}\n{text}") }
}

/// Who is asked.
#[derive(Debug, Clone, Copy)]
pub struct Target<'a> {
    /// The provider instance: only its own replay bytes go back to it.
    pub instance: &'a str,
    /// The model takes images.
    pub images: bool,
    /// The model takes documents.
    pub documents: bool,
    /// Media of one request, in bytes.
    pub media_bytes: usize,
    /// Tokens that the messages may take.
    pub tokens: usize,
}

/// The part that marks a closing message, for all endings but the plain one.
pub(super) fn ended(ending: &Ending) -> Option<Part> {
    if *ending == Ending::Done {
        return None;
    }
    let data = serde_json::to_string(ending).ok()?;
    Some(Body::Other(Extension { kind: ENDED.into(), data }).into())
}

/// How the turn ended that this message closes.
pub fn ending(message: &Message) -> Ending {
    message
        .parts
        .iter()
        .find_map(|part| match &part.body {
            Body::Other(other) if other.kind == ENDED => serde_json::from_str(&other.data).ok(),
            _ => None,
        })
        .unwrap_or(Ending::Done)
}

fn ending_note(data: &str) -> &'static str {
    match serde_json::from_str(data) {
        Ok(Ending::Cut) => "[The answer ended here: output limit.]",
        Ok(Ending::OutOfRounds) => "[The turn ended here: no more tool rounds.]",
        Ok(Ending::Filtered(_)) => "[The model's service withheld the answer.]",
        Ok(Ending::TimedOut) => "[The turn ended here: its time was over.]",
        Ok(Ending::Cancelled) => "[The turn ended here: the user stopped it.]",
        Ok(Ending::Done | Ending::Failed(_)) | Err(_) => "[The turn ended here.]",
    }
}

/// The messages of a request; `closing` is said to the model last, without being stored.
pub fn messages(past: &Past, target: &Target<'_>, closing: Option<&str>) -> Vec<Message> {
    let mut builder = Builder::new(target.instance);
    if let Some(summary) = &past.summary {
        builder.said.push(text(format!(
            "[Summary of the conversation so far, made by the host. Older messages are not shown.]\n{summary}\n\
             [End of the summary.]"
        )));
    }
    for (_, message) in &past.messages {
        match message.role {
            Role::User => builder.user(message),
            Role::Assistant => builder.assistant(message),
        }
    }
    builder.said.extend(closing.map(|closing| text(closing.to_owned())));
    let mut messages = builder.finish();
    fit_media(&mut messages, target);
    fit_text(&mut messages, target.tokens);
    messages
}

fn text(text: String) -> Part {
    Body::Text(text).into()
}

/// A call of the last assistant message, with what came of it.
struct Open {
    /// As stored.
    stored: String,
    /// As sent.
    id: String,
    name: String,
    outcome: Option<ToolOutcome>,
}

struct Builder<'a> {
    instance: &'a str,
    done: Vec<Message>,
    open: Vec<Open>,
    /// What the user says next, after the outcomes.
    said: Vec<Part>,
    said_at: Timestamp,
    ids: HashSet<String>,
}

impl<'a> Builder<'a> {
    fn new(instance: &'a str) -> Self {
        Self { instance, done: Vec::new(), open: Vec::new(), said: Vec::new(), said_at: 0, ids: HashSet::new() }
    }

    fn user(&mut self, message: &Message) {
        self.said_at = message.at;
        for part in &message.parts {
            match &part.body {
                Body::Outcome(outcome) => {
                    let waiting = self.open.iter_mut().find(|open| open.stored == outcome.id && open.outcome.is_none());
                    if let Some(open) = waiting {
                        open.outcome = Some(outcome.clone());
                    }
                }
                Body::Text(text) if text.trim().is_empty() => (),
                Body::Text(_) | Body::Media(_) | Body::Other(_) => {
                    self.said.push(Part { body: part.body.clone(), replay: self.replay(part) });
                }
                Body::Reasoning(_) | Body::Call(_) => (),
            }
        }
    }

    fn assistant(&mut self, message: &Message) {
        let own = message
            .model
            .as_deref()
            .is_some_and(|model| model.strip_prefix(self.instance).is_some_and(|model| model.starts_with('/')));
        let mut parts = Vec::new();
        let mut open = Vec::new();
        for part in &message.parts {
            let replay = self.replay(part);
            let body = match &part.body {
                Body::Text(text) if text.trim().is_empty() && replay.is_none() => continue,
                // Another provider's thinking is not this one's; most APIs refuse it.
                Body::Reasoning(_) if replay.is_none() && !own => continue,
                Body::Outcome(_) => continue,
                Body::Call(call) => {
                    let sent = ToolCall {
                        id: self.unique(&call.id),
                        name: call.name.clone(),
                        arguments: object(&call.arguments),
                    };
                    open.push(Open {
                        stored: call.id.clone(),
                        id: sent.id.clone(),
                        name: call.name.clone(),
                        outcome: None,
                    });
                    Body::Call(sent)
                }
                Body::Media(media) => Body::Text(left_out(media, "sent to the user")),
                Body::Other(other) if other.kind == ENDED => Body::Text(ending_note(&other.data).into()),
                Body::Text(_) | Body::Reasoning(_) | Body::Other(_) => part.body.clone(),
            };
            parts.push(Part { body, replay });
        }
        // An answer without words or calls was an answer, but no API takes an empty message.
        if parts.iter().all(|part| matches!(part.body, Body::Reasoning(_))) {
            return;
        }
        self.flush();
        match self.done.last_mut() {
            Some(last) if last.role == Role::Assistant => last.parts.append(&mut parts),
            _ => {
                if self.done.is_empty() {
                    self.done.push(said_by(
                        Role::User,
                        vec![text("[The conversation began earlier.]".into())],
                        message.at,
                    ));
                }
                self.done.push(said_by(Role::Assistant, parts, message.at));
            }
        }
        self.open = open;
    }

    /// Ends the user's side: all outcomes in the order of the calls, then what was said.
    fn flush(&mut self) {
        let mut parts: Vec<Part> = Vec::new();
        for open in self.open.drain(..) {
            let (content, failed) = match open.outcome {
                Some(outcome) if outcome.content.is_empty() => {
                    (vec![Content::Text("(no output)".into())], outcome.failed)
                }
                Some(outcome) => (outcome.content, outcome.failed),
                None => (vec![Content::Text(INTERRUPTED.into())], true),
            };
            parts.push(Body::Outcome(ToolOutcome { id: open.id, name: open.name, content, failed }).into());
        }
        parts.append(&mut self.said);
        if !parts.is_empty() {
            self.done.push(said_by(Role::User, parts, self.said_at));
        }
    }

    fn finish(mut self) -> Vec<Message> {
        self.flush();
        if self.done.last().is_none_or(|last| last.role == Role::Assistant) {
            self.done.push(said_by(Role::User, vec![text("Go on.".into())], self.said_at));
        }
        self.done
    }

    fn replay(&self, part: &Part) -> Option<crate::message::Replay> {
        part.replay.as_ref().filter(|replay| replay.instance == self.instance).cloned()
    }

    fn unique(&mut self, id: &str) -> String {
        let unique = unique_id(id, |id| self.ids.contains(id));
        self.ids.insert(unique.clone());
        unique
    }
}

/// `id`, or the first of `id_2`, `id_3`, … that is not taken.
pub(super) fn unique_id(id: &str, taken: impl Fn(&str) -> bool) -> String {
    let id = if id.is_empty() { "call" } else { id };
    if !taken(id) {
        return id.to_owned();
    }
    (2_u64..).map(|n| format!("{id}_{n}")).find(|id| !taken(id)).unwrap_or_default()
}

/// Several APIs take an object only; what was wrong with other arguments stands in the outcome.
fn object(arguments: &str) -> String {
    match serde_json::from_str::<serde_json::Value>(arguments) {
        Ok(serde_json::Value::Object(_)) => arguments.to_owned(),
        _ => "{}".to_owned(),
    }
}

fn said_by(role: Role, parts: Vec<Part>, at: Timestamp) -> Message {
    Message { role, parts, at, turn: None, model: None, usage: None }
}

fn left_out(media: &Media, why: &str) -> String {
    let name = media.name.as_deref().unwrap_or("a file");
    format!("[{name}, {}, {}: {why}]", media.mime, excerpt::size(media.data.len()))
}

/// Why the model is not shown the file, if so; counts what it is shown.
fn refused(media: &Media, target: &Target<'_>, room: &mut usize) -> Option<&'static str> {
    let takes = if media.mime.starts_with("image/") { target.images } else { target.documents };
    if !takes {
        return Some("left out, this model does not take such files");
    }
    match room.checked_sub(media.data.len()) {
        Some(rest) => {
            *room = rest;
            None
        }
        None => Some("left out to save room"),
    }
}

/// The newest media stay, as many as fit.
fn fit_media(messages: &mut [Message], target: &Target<'_>) {
    let mut room = target.media_bytes;
    for part in messages.iter_mut().rev().flat_map(|message| message.parts.iter_mut().rev()) {
        match &mut part.body {
            Body::Media(media) => {
                if let Some(why) = refused(media, target, &mut room) {
                    part.body = Body::Text(left_out(media, why));
                }
            }
            Body::Outcome(outcome) => {
                for content in outcome.content.iter_mut().rev() {
                    if let Content::Media(media) = content
                        && let Some(why) = refused(media, target, &mut room)
                    {
                        *content = Content::Text(left_out(media, why));
                    }
                }
            }
            _ => (),
        }
    }
}

/// The last resort for what compaction can't take away, such as one message that is too long by itself: texts are cut
/// shorter and shorter until all fits.
fn fit_text(messages: &mut [Message], bound: usize) {
    let mut longest = bound.saturating_mul(2);
    while longest >= 200 && messages.iter().map(tokens::of_message).sum::<usize>() > bound {
        for part in messages.iter_mut().flat_map(|message| message.parts.iter_mut()) {
            match &mut part.body {
                Body::Text(text) => *text = excerpt::ends(text, longest),
                Body::Outcome(outcome) => {
                    for content in &mut outcome.content {
                        match content {
                            Content::Text(text) => *text = excerpt::ends(text, longest),
                            Content::Json(json) if json.len() > longest => {
                                *content = Content::Text(excerpt::ends(json, longest));
                            }
                            _ => (),
                        }
                    }
                }
                _ => (),
            }
        }
        longest /= 2;
    }
}

#[cfg(test)]
pub(super) mod tests;
