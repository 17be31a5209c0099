//! The calls of a recorded conversation, made again: what `session export` wrote is a test.
//!
//! A recording has JSON lines; a line with a message may have calls, and a later one their outcomes. The calls of one
//! plugin's tools are made in their order, in one session, with state that is empty at the beginning. What a tool says is
//! put into the words that the model gets, and compared with what it got then.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use serde::Deserialize;
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use super::Bench;
use super::run::{Call, Trial, call};
use crate::agent::Limits;
use crate::agent::arguments::Schemas;
use crate::agent::dispatch::{outcome, says_nothing};
use crate::agent::ports::ToolError;
use crate::message::{Body, Content, Message, ToolCall, ToolOutcome};
use crate::runtime::fixed::Fixed;

/// Lines that a difference shows of each side.
const SHOWN: usize = 12;

/// A conversation, line by line, as it was written.
pub struct Recording {
    lines: Vec<String>,
    session: String,
    calls: Vec<Recorded>,
}

/// A call in it.
struct Recorded {
    call: ToolCall,
    at: u64,
    outcome: Option<Place>,
}

/// An outcome in it.
struct Place {
    line: usize,
    part: usize,
    outcome: ToolOutcome,
}

/// What came of one recorded call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Again {
    /// As recorded.
    Same,
    /// What was recorded and what came, as lines.
    Differs(Vec<String>),
    /// Why it was not made.
    Skipped(String),
}

/// A recorded call that was made again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replayed {
    /// The model's id of it.
    pub id: String,
    /// The tool.
    pub tool: String,
    /// Its arguments, as recorded.
    pub arguments: String,
    /// What came of it.
    pub result: Again,
}

#[derive(Deserialize)]
struct Exported {
    message: Message,
}

impl Recording {
    /// Reads what `session export` writes.
    pub fn read(text: &str) -> Result<Self> {
        let lines: Vec<String> = text.lines().map(str::to_string).collect();
        let mut recording = Self { session: String::new(), calls: Vec::new(), lines: Vec::new() };
        let mut outcomes: BTreeMap<String, Place> = BTreeMap::new();
        for (number, line) in lines.iter().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
            let place = || format!("line {} is nothing that `session export` writes", number + 1);
            let value: Value = serde_json::from_str(line).with_context(place)?;
            if let Some(id) = value.pointer("/session/id").and_then(Value::as_str) {
                recording.session = id.to_string();
            }
            let Some(message) = value.get("message") else { continue };
            let Exported { message } = Exported::deserialize(message).with_context(place)?;
            for (part, one) in message.parts.into_iter().enumerate() {
                match one.body {
                    Body::Call(call) => recording.calls.push(Recorded { call, at: message.at, outcome: None }),
                    Body::Outcome(outcome) => {
                        outcomes.insert(outcome.id.clone(), Place { line: number, part, outcome });
                    }
                    _ => (),
                }
            }
        }
        for recorded in &mut recording.calls {
            recorded.outcome = outcomes.remove(&recorded.call.id);
        }
        recording.lines = lines;
        Ok(recording)
    }

    /// The tools that are called in it.
    pub fn tools(&self) -> Vec<&str> {
        let mut names: Vec<&str> = self.calls.iter().map(|recorded| recorded.call.name.as_str()).collect();
        names.sort_unstable();
        names.dedup();
        names
    }

    /// Makes the calls of this plugin again. `fixed`: at the recorded time, with the same random numbers each time.
    /// `update` puts what came now in the place of what was recorded. `heard` is told of each as it is done.
    pub async fn again(
        &mut self,
        bench: &Bench,
        trial: &Trial,
        fixed: bool,
        update: bool,
        mut heard: impl FnMut(&Replayed),
    ) -> Result<usize> {
        let schemas = Schemas::default();
        let mut different = 0;
        let mine = |recorded: &Recorded| trial.tools.iter().find(|tool| tool.name == recorded.call.name);
        let mut updates = Vec::new();
        for (number, recorded) in self.calls.iter().enumerate() {
            let Some(tool) = mine(recorded) else { continue };
            let result = match &recorded.outcome {
                None => Again::Skipped("the recording has no outcome of it".into()),
                Some(place) if says_nothing(&place.outcome) => Again::Skipped("it was not run, or cut off".into()),
                Some(place) => {
                    let now = match schemas.check(&recorded.call.arguments, &tool.parameters) {
                        // In a turn it would not get to the tool either.
                        Err(why) => {
                            let content = vec![Content::Text(why)];
                            ToolOutcome { content, failed: true, ..place.outcome.clone() }
                        }
                        Ok(arguments) => {
                            let fixed = fixed
                                .then(|| Fixed { at: recorded.at, seed: u64::try_from(number).unwrap_or(u64::MAX) });
                            self.made(bench, trial, recorded, arguments, fixed).await
                        }
                    };
                    if now == place.outcome {
                        Again::Same
                    } else {
                        let differs = difference(&place.outcome, &now);
                        updates.push((place.line, place.part, now));
                        Again::Differs(differs)
                    }
                }
            };
            different += usize::from(matches!(result, Again::Differs(_)));
            heard(&Replayed {
                id: recorded.call.id.clone(),
                tool: tool.name.clone(),
                arguments: recorded.call.arguments.clone(),
                result,
            });
        }
        if update {
            for (line, part, now) in updates {
                self.put(line, part, &now)?;
            }
        }
        Ok(different)
    }

    async fn made(
        &self,
        bench: &Bench,
        trial: &Trial,
        recorded: &Recorded,
        arguments: String,
        fixed: Option<Fixed>,
    ) -> ToolOutcome {
        let request = Call {
            tool: recorded.call.name.clone(),
            arguments,
            id: Some(recorded.call.id.clone()),
            session: self.session.clone(),
            progress: Arc::new(|_| ()),
            cancel: CancellationToken::new(),
            fixed,
        };
        let said = call(&bench.host, &trial.instance, request).await.said;
        let clean = |content: Vec<Content>| -> Vec<Content> {
            let one = |one| match one {
                Content::Text(text) => Content::Text(bench.known.cleaned(text)),
                Content::Json(text) => Content::Json(bench.known.cleaned(text)),
                other => other,
            };
            content.into_iter().map(one).collect()
        };
        let said = match said {
            Ok(content) => Ok(clean(content)),
            Err(ToolError::Failed(content)) => Err(ToolError::Failed(clean(content))),
            Err(error) => Err(error),
        };
        let limits = Limits::default();
        outcome(&recorded.call, said, limits.tool_chars, limits.media_bytes)
    }

    /// Everything else on the line stays as it is.
    fn put(&mut self, line: usize, part: usize, now: &ToolOutcome) -> Result<()> {
        let text = self.lines.get_mut(line).context("the recording changed meanwhile")?;
        let mut value: Value = serde_json::from_str(text)?;
        let place = value.pointer_mut(&format!("/message/message/parts/{part}/body/outcome"));
        *place.context("the recording has no such outcome")? = serde_json::to_value(now)?;
        *text = value.to_string();
        Ok(())
    }

    /// As a file.
    pub fn text(&self) -> String {
        let mut text = self.lines.join("\n");
        text.push('\n');
        text
    }
}

/// An outcome as lines that can be compared.
fn lines(outcome: &ToolOutcome) -> Vec<String> {
    let mut lines = vec![if outcome.failed { "failed".to_string() } else { "done".to_string() }];
    for one in &outcome.content {
        match one {
            Content::Text(text) => lines.extend(text.lines().map(str::to_string)),
            Content::Json(text) => {
                let value: Result<Value, _> = serde_json::from_str(text);
                let pretty = value.ok().and_then(|value| serde_json::to_string_pretty(&value).ok());
                lines.extend(pretty.unwrap_or_else(|| text.clone()).lines().map(str::to_string));
            }
            Content::Media(media) => {
                let name = media.name.as_deref().unwrap_or("a file");
                let digest = crate::plugin::digest(&media.data);
                let short = digest.get(..12).unwrap_or_default();
                lines.push(format!("[{name}, {}, {} bytes, {short}]", media.mime, media.data.len()));
            }
            Content::Other(other) => lines.push(format!("[{}] {}", other.kind, other.data)),
        }
    }
    lines
}

/// What is between the beginning and the end that both have: `-` was recorded, `+` came now.
fn difference(recorded: &ToolOutcome, now: &ToolOutcome) -> Vec<String> {
    let (before, after) = (lines(recorded), lines(now));
    let same = before.iter().zip(&after).take_while(|(one, other)| one == other).count();
    let rest = before.len().min(after.len()) - same;
    let end = before.iter().rev().zip(after.iter().rev()).take(rest).take_while(|(one, other)| one == other).count();
    let part = |sign: char, all: &[String]| -> Vec<String> {
        let all: Vec<&String> = all.iter().take(all.len() - end).skip(same).collect();
        let mut shown: Vec<String> = all.iter().take(SHOWN).map(|line| format!("{sign} {line}")).collect();
        if all.len() > SHOWN {
            shown.push(format!("{sign} … {} more lines", all.len() - SHOWN));
        }
        shown
    };
    let mut shown = part('-', &before);
    shown.extend(part('+', &after));
    if shown.is_empty() {
        shown.push("the same lines, put together differently".to_string());
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome_of(text: &str) -> ToolOutcome {
        let content = vec![Content::Text(text.into())];
        ToolOutcome { id: "1".into(), name: "a".into(), content, failed: false }
    }

    #[test]
    fn a_difference_shows_what_is_not_the_same() {
        assert_eq!(difference(&outcome_of("a\nb\nc"), &outcome_of("a\nx\nc")), ["- b", "+ x"]);
        assert_eq!(difference(&outcome_of("a"), &outcome_of("a\na")), ["+ a"]);
        let failed = ToolOutcome { failed: true, ..outcome_of("a") };
        assert_eq!(difference(&outcome_of("a"), &failed), ["- done", "+ failed"]);
        let long: Vec<String> = (0..20).map(|number| number.to_string()).collect();
        let shown = difference(&outcome_of("x"), &outcome_of(&long.join("\n")));
        assert_eq!((shown.len(), shown[13].as_str()), (14, "+ … 8 more lines"));
    }

    #[test]
    fn a_line_that_is_no_export_is_named() {
        let error = Recording::read("{\"session\":{\"id\":\"s\"}}\nnot json\n").err().unwrap();
        assert_eq!(error.to_string(), "line 2 is nothing that `session export` writes");
    }
}
