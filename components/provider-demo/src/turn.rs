//! One answer: what to do with a request, and how it streams.

use std::hash::{DefaultHasher, Hash, Hasher};

use crate::choose::{self, Choice};
use crate::contract::exports::openpista::plugin::provider::{
    Abilities, Body, Completion, Message, Model, Part, Price, Request, Role, Stop, ToolCall, ToolChoice, ToolOutcome,
};
use crate::contract::openpista::plugin::deltas::{CallDelta, Delta};
use crate::contract::openpista::types::types::{Content, Signal, Usage};
use crate::intent::{Intent, intents};
use crate::{memory, summary, words};

/// The only model.
pub const MODEL: &str = "demo";

/// Ends every answer that could be taken for one of a real model.
const FOOT: &str = "*I am the demo model of openpista: rules, no AI. To connect a real one, set a key such as \
                    `OPENAI_API_KEY` or start Ollama, and restart `openpista-host run`.*";

/// Characters of a tool's output that an answer repeats.
const SHOWN: usize = 4_000;

/// `provider.models`
pub fn models() -> Vec<Model> {
    vec![Model {
        id: MODEL.into(),
        title: "Demo (offline, no AI)".into(),
        context: Some(32_000),
        max_output: None,
        abilities: Abilities::TOOLS,
        price: Some(Price { input: 0, output: 0, cache_read: 0, cache_write: 0 }),
    }]
}

/// `provider.complete`: the answer, word by word into `push`.
pub fn complete(request: &Request, mut push: impl FnMut(Delta) -> Signal) -> Completion {
    let answer = answer(request);
    let mut text = String::new();
    let mut parts = Vec::new();
    let mut stop = if answer.calls.is_empty() { Stop::End } else { Stop::Calls };
    for word in answer.text.split_inclusive(char::is_whitespace) {
        text.push_str(word);
        if push(Delta::Text(word.into())) == Signal::Stop {
            stop = Stop::Cancelled;
            break;
        }
    }
    if !text.is_empty() {
        parts.push(part(Body::Text(text)));
    }
    if stop == Stop::Calls {
        for (index, call) in (0u32..).zip(answer.calls) {
            let delta = CallDelta { index, name: Some(call.name.clone()), arguments: call.arguments.clone() };
            if push(Delta::Call(delta)) == Signal::Stop {
                stop = Stop::Cancelled;
                break;
            }
            parts.push(part(Body::Call(call)));
        }
    }
    let usage = Usage {
        input: request.messages.iter().flat_map(texts).map(count).sum::<u64>() + count(&request.system),
        output: parts.iter().filter_map(text_of).map(count).sum(),
        cache_read: 0,
        cache_write: 0,
        cost: None,
    };
    Completion { parts, stop, usage, model: Some(MODEL.into()) }
}

/// Words stand for tokens: the demo has none.
fn count(text: &str) -> u64 {
    text.split_whitespace().count() as u64
}

fn part(body: Body) -> Part {
    Part { body, replay: None }
}

fn text_of(part: &Part) -> Option<&str> {
    match &part.body {
        Body::Text(text) => Some(text),
        _ => None,
    }
}

fn texts(message: &Message) -> impl Iterator<Item = &str> {
    message.parts.iter().filter_map(text_of)
}

fn said_by_the_user(request: &Request) -> impl Iterator<Item = &str> {
    request.messages.iter().filter(|message| message.role == Role::User).flat_map(texts)
}

#[derive(Debug, Default, PartialEq)]
struct Answer {
    text: String,
    calls: Vec<ToolCall>,
}

impl Answer {
    fn text(text: String) -> Self {
        Self { text, calls: Vec::new() }
    }

    fn with_foot(text: &str) -> Self {
        Self::text(format!("{text}\n\n{FOOT}"))
    }
}

fn answer(request: &Request) -> Answer {
    if summary::is_wanted(&request.system, request.tools.len()) {
        return Answer::text(summary::summarize(said_by_the_user(request), request.max_tokens));
    }
    let Some(last) = request.messages.iter().rev().find(|message| message.role == Role::User) else {
        return Answer::with_foot("There is no message to answer.");
    };
    let outcomes: Vec<&ToolOutcome> = last
        .parts
        .iter()
        .filter_map(|part| match &part.body {
            Body::Outcome(outcome) => Some(outcome),
            _ => None,
        })
        .collect();
    if !outcomes.is_empty() {
        return Answer::with_foot(&report(&outcomes));
    }
    // The host may put a summary of what was said before into the same message.
    let message = texts(last).filter(|text| !memory::is_record(text)).collect::<Vec<_>>().join("\n");
    let intents = if is_telling(&message) { Vec::new() } else { intents(&message) };
    let choices = choices(request, &message, &intents);
    if !choices.is_empty() {
        return Answer { text: announcement(&choices, &intents), calls: calls(request, choices) };
    }
    if let Some(intent) = intents.first() {
        return Answer::with_foot(&format!(
            "To show {} I would run `{}`, but no tool that runs commands is offered to me.",
            intent.what, intent.command
        ));
    }
    Answer::with_foot(&talk(request, &message))
}

fn choices(request: &Request, message: &str, intents: &[Intent]) -> Vec<Choice> {
    let tools = &request.tools;
    let found = match &request.choice {
        ToolChoice::None => return Vec::new(),
        ToolChoice::Named(name) => {
            let named = tools.iter().find(|tool| tool.name == *name);
            return named.map(|tool| choose::forced(message, intents, tool)).into_iter().collect();
        }
        // What a person tells is no order, whatever words a tool's name has.
        _ if is_telling(message) => Vec::new(),
        _ if intents.is_empty() && remembered(request, message).is_some() => Vec::new(),
        _ => choose::choose(message, intents, tools),
    };
    match (&request.choice, tools.first()) {
        (ToolChoice::Required, Some(first)) if found.is_empty() => {
            vec![choose::forced(message, intents, first)]
        }
        _ => found,
    }
}

/// `My machine is called Rex` tells something; `I want to see the files` does not.
fn is_telling(message: &str) -> bool {
    const OPENERS: &[&str] = &["i", "im", "ive", "my", "our", "we", "remember", "note"];
    const WISHES: &[&str] = &["want", "need", "would", "wish", "id", "must", "should"];
    let said = words::all(message);
    said.first().is_some_and(|first| OPENERS.contains(&first.as_str()))
        && !said.iter().any(|word| WISHES.contains(&word.as_str()))
        && memory::is_fact(message)
}

/// The ids tell apart all calls of a conversation: what they are made from has every earlier call in it.
fn calls(request: &Request, choices: Vec<Choice>) -> Vec<ToolCall> {
    let mut hasher = DefaultHasher::new();
    request.cache_key.hash(&mut hasher);
    for part in request.messages.iter().flat_map(|message| &message.parts) {
        match &part.body {
            Body::Text(text) => text.hash(&mut hasher),
            Body::Call(call) => call.id.hash(&mut hasher),
            Body::Outcome(outcome) => outcome.id.hash(&mut hasher),
            _ => (),
        }
    }
    let turn = hasher.finish();
    let numbered = choices.into_iter().enumerate();
    numbered
        .map(|(at, choice)| ToolCall {
            id: format!("demo-{turn:016x}-{at}"),
            name: choice.name,
            arguments: choice.arguments.to_string(),
        })
        .collect()
}

fn announcement(choices: &[Choice], intents: &[Intent]) -> String {
    let names: Vec<String> = choices.iter().map(|choice| format!("`{}`", choice.name)).collect();
    let mut unique = names.clone();
    unique.dedup();
    match intents {
        [] => format!("I ask {} about that.\n\n", unique.join(" and ")),
        _ => {
            let wanted: Vec<&str> = intents.iter().map(|intent| intent.what.as_str()).collect();
            format!("For {} I use {}.\n\n", wanted.join(" and "), unique.join(" and "))
        }
    }
}

/// What the tools gave back, in blocks that keep its lines.
fn report(outcomes: &[&ToolOutcome]) -> String {
    let mut sections = Vec::new();
    for outcome in outcomes {
        let said: Vec<String> = outcome
            .content
            .iter()
            .map(|content| match content {
                Content::Text(text) | Content::Json(text) => text.clone(),
                Content::Media(media) => format!("[{}, {} bytes]", media.mime, media.data.len()),
                Content::Other(other) => format!("[{}]", other.kind),
            })
            .collect();
        let said = said.join("\n");
        let opening = if outcome.failed {
            format!("`{}` did not succeed:", outcome.name)
        } else {
            format!("This is what `{}` says:", outcome.name)
        };
        if said.trim().is_empty() {
            sections.push(format!("{opening} nothing."));
        } else {
            sections.push(format!("{opening}\n\n{}", block(&shorten(said.trim_end()))));
        }
    }
    sections.join("\n\n")
}

fn shorten(text: &str) -> String {
    let mut shown: String = text.chars().take(SHOWN).collect();
    if shown.len() < text.len() {
        shown.push_str("\n[… the rest is left out here …]");
    }
    shown
}

/// A code block whose fence is longer than any in the text.
fn block(text: &str) -> String {
    let longest = text.split(|c| c != '`').map(str::len).max().unwrap_or(0);
    let fence = "`".repeat(longest.max(2) + 1);
    format!("{fence}\n{text}\n{fence}")
}

/// An earlier statement that answers the question.
fn remembered(request: &Request, message: &str) -> Option<String> {
    if !memory::is_question(message) && !message.to_lowercase().contains("remember") {
        return None;
    }
    let mut earlier: Vec<&str> = said_by_the_user(request).collect();
    // The last one is the question.
    earlier.pop();
    // The host may put the summary of what was left out into the system prompt.
    let in_system = request.system.split_once("Facts that the user stated:").map(|(_, facts)| facts);
    memory::recall(message, &memory::statements(in_system.into_iter().chain(earlier)))
}

fn talk(request: &Request, message: &str) -> String {
    if let Some(statement) = remembered(request, message) {
        return format!("You told me: “{statement}”");
    }
    if memory::is_question(message) {
        return "I can't answer that: nothing you said before tells me, and I have no knowledge of my own. Ask me to \
                show the files here, the disk usage, the memory, the processes or the time, or to run a command."
            .into();
    }
    if memory::statements([message]).iter().any(|statement| memory::is_fact(statement)) {
        return "Noted. Ask me about it later, and I will find it in our conversation.".into();
    }
    let sees_media =
        request.messages.last().is_some_and(|last| last.parts.iter().any(|part| matches!(part.body, Body::Media(_))));
    if sees_media {
        return "I got a file, but I cannot look at it.".into();
    }
    "Hello! Ask me to *show the files here*, *how full the disk is* or *what time it is*, or to *run* a command: I \
     call the tools that are installed, and you decide what they may do."
        .into()
}

#[cfg(test)]
mod tests;
