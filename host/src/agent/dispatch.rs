//! One tool call: prepared, approved, run, and its outcome made fit for the model.
//!
//! Nothing here fails the turn: whatever goes wrong becomes an outcome that the model reads.

use std::sync::Arc;

use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};
use tokio_util::task::AbortOnDropHandle;

use super::event::Event;
use super::ports::{Answer, Invocation, Policy, ToolError};
use super::{GRACE, Scope, excerpt};
use crate::message::{Content, Decision, Media, ToolCall, ToolDefinition, ToolOutcome};

/// Names this alike are worth a hint.
const ALIKE: f64 = 0.75;
/// Characters of the line that stands for an outcome.
const LINE: usize = 160;

const DENIED: &str = "The user said no to this call. Do not try it again or another way; go on without it, or ask what \
                      they want instead.";
const UNANSWERED: &str = "Not run: this call needs the user's approval and nobody gave it in time. Do not try it \
                          again; say what you wanted to do and why.";
const STOPPED: &str = "Not run: the turn was stopped before.";
const CANCELLED: &str = "Cancelled: the turn was stopped while this ran. What it had done until then is done.";

/// The calls of one answer.
pub(super) struct Dispatch<'a> {
    pub scope: &'a Scope<'a>,
    pub tools: &'a [ToolDefinition],
    /// The turn has taken in content that others wrote.
    pub untrusted: bool,
    /// How many run at once; those that wait for a person don't count.
    pub running: &'a Semaphore,
}

type Result = std::result::Result<Vec<Content>, Vec<Content>>;

fn failed(text: impl Into<String>) -> Vec<Content> {
    vec![Content::Text(text.into())]
}

impl Dispatch<'_> {
    /// What came of the call, always.
    pub async fn run(&self, call: &ToolCall) -> ToolOutcome {
        let result = self.attempt(call).await;
        let failed = result.is_err();
        let (Ok(content) | Err(content)) = result;
        let limits = &self.scope.turn.limits;
        let content = capped(content, limits.tool_chars, limits.media_bytes);
        let (id, name, line) = (call.id.clone(), call.name.clone(), one_line(&content));
        self.scope.emit(if failed {
            Event::ToolFailed { call: id, name, line }
        } else {
            Event::ToolDone { call: id, name, line, media: media(&content) }
        });
        ToolOutcome { id: call.id.clone(), name: call.name.clone(), content, failed }
    }

    async fn attempt(&self, call: &ToolCall) -> Result {
        let (call, tool) = self.prepare(call).map_err(failed)?;
        // What is run is what was looked at: while a person thinks, another plugin may take the name, or the tool may become
        // one that does something else.
        let edition = self.scope.turn.toolbox.edition(&call.name);
        if let Err((why, told)) = self.approve(&call, tool).await {
            self.scope.turn.approver.refused(&call, why);
            return Err(failed(told));
        }
        self.execute(call, edition).await
    }

    /// The tool, and the call with its arguments checked.
    fn prepare(&self, call: &ToolCall) -> std::result::Result<(ToolCall, &ToolDefinition), String> {
        let Some(tool) = self.tools.iter().find(|tool| tool.name == call.name) else {
            return Err(self.unknown(&call.name));
        };
        let arguments = self.scope.turn.schemas.check(&call.arguments, &tool.parameters)?;
        Ok((ToolCall { id: call.id.clone(), name: call.name.clone(), arguments }, tool))
    }

    fn unknown(&self, name: &str) -> String {
        let nearest = self
            .tools
            .iter()
            .map(|tool| (strsim::jaro_winkler(&tool.name, name), tool.name.as_str()))
            .max_by(|(one, _), (other, _)| one.total_cmp(other))
            .filter(|(alike, _)| *alike >= ALIKE);
        match nearest {
            Some((_, nearest)) => format!("There is no tool `{name}`. Did you mean `{nearest}`?"),
            None if self.tools.is_empty() => format!("There is no tool `{name}`: no tools are on offer."),
            None => format!("There is no tool `{name}`. Use only tools that are on offer."),
        }
    }

    /// A refusal: in a word for the ledger, and in words for the model.
    async fn approve(&self, call: &ToolCall, tool: &ToolDefinition) -> std::result::Result<(), (&'static str, String)> {
        let scope = self.scope;
        if scope.stop.is_cancelled() {
            return Err(("stopped", STOPPED.into()));
        }
        match scope.turn.approver.policy(call, tool, self.untrusted) {
            Policy::Allow => return Ok(()),
            Policy::Deny => {
                let told = format!("Not run: the policy here denies `{}`. Do not try it again.", call.name);
                return Err(("denied by the policy", told));
            }
            Policy::Ask => (),
        }
        let answer = {
            let _paused = scope.clock.pause();
            scope.emit(Event::ApprovalWaiting(call.clone()));
            tokio::select! {
                biased;
                () = scope.stop.cancelled() => Answer::Late,
                answer = scope.turn.approver.ask(call, tool, self.untrusted) => answer,
            }
        };
        let decision = if let Answer::Said(decision) = answer { Some(decision) } else { None };
        scope.emit(Event::ApprovalOver { call: call.id.clone(), decision });
        match answer {
            Answer::Said(Decision::AllowOnce | Decision::AllowSession) => Ok(()),
            Answer::Said(Decision::Deny) => Err(("denied by a person", DENIED.into())),
            _ if scope.stop.is_cancelled() => Err(("stopped", STOPPED.into())),
            Answer::Late => Err(("not answered in time", UNANSWERED.into())),
            Answer::Nobody(why) => Err((
                "nobody to ask",
                format!(
                    "Not run: this call needs the user's approval, and nobody could be asked. {why} Do not try it again; say \
                 what you wanted to do and how it can be allowed."
                ),
            )),
        }
    }

    async fn execute(&self, call: ToolCall, edition: Option<String>) -> Result {
        let scope = self.scope;
        let permit = tokio::select! {
            biased;
            () = scope.stop.cancelled() => return Err(failed(STOPPED)),
            permit = self.running.acquire() => permit,
        };
        let Ok(_permit) = permit else {
            return Err(failed(STOPPED));
        };
        scope.emit(Event::ToolStarted(call.clone()));
        let cancel = scope.stop.child_token();
        let progress = {
            let events = Arc::clone(&scope.turn.events);
            let id = call.id.clone();
            Arc::new(move |line| events(Event::ToolProgress { call: id.clone(), line }))
        };
        // A task of its own: calls use all cores, and a panic fails this call only.
        let mut task = AbortOnDropHandle::new(tokio::spawn({
            let toolbox = Arc::clone(&scope.turn.toolbox);
            let cancel = cancel.clone();
            let approval = scope.turn.approver.grounds(&call);
            let invocation = Invocation {
                id: call.id,
                name: call.name,
                arguments: call.arguments,
                session: scope.turn.session.clone(),
                turn: scope.turn.id.clone(),
                edition,
                approval,
            };
            async move { toolbox.call(invocation, progress, cancel).await }
        }));
        let time = scope.turn.limits.tool_time;
        let late = tokio::select! {
            biased;
            joined = &mut task => return told(joined),
            () = scope.stop.cancelled() => CANCELLED.to_owned(),
            () = sleep(time) => format!(
                "Timed out after {} s and was ended. What it had done until then is done.", time.as_secs()
            ),
        };
        cancel.cancel();
        // What it finished in the last moment is worth keeping: it did happen.
        match timeout(GRACE, &mut task).await {
            Ok(Ok(Ok(content))) => Ok(content),
            _ => Err(failed(late)),
        }
    }
}

fn told(joined: std::result::Result<std::result::Result<Vec<Content>, ToolError>, tokio::task::JoinError>) -> Result {
    match joined {
        Ok(Ok(content)) => Ok(content),
        Ok(Err(error)) => Err(failure(error)),
        Err(error) => Err(failure(ToolError::Other(format!("it broke while it ran ({error})")))),
    }
}

/// What the model is told of a call that somebody makes by hand: the same as in a turn. Texts share `chars` characters,
/// media `bytes` bytes.
pub fn outcome(
    call: &ToolCall,
    said: std::result::Result<Vec<Content>, ToolError>,
    chars: usize,
    bytes: usize,
) -> ToolOutcome {
    let (content, failed) = match said {
        Ok(content) => (content, false),
        Err(error) => (failure(error), true),
    };
    ToolOutcome { id: call.id.clone(), name: call.name.clone(), content: capped(content, chars, bytes), failed }
}

/// The outcome of a call that did not get to its tool, or did not come back from it: it says nothing of the tool.
pub fn says_nothing(outcome: &ToolOutcome) -> bool {
    let whole = [DENIED, UNANSWERED, STOPPED, CANCELLED, super::context::INTERRUPTED];
    let begins = ["Not run: ", "Timed out ", "There is no tool `"];
    match outcome.content.as_slice() {
        [Content::Text(text)] if outcome.failed => {
            whole.contains(&text.as_str()) || begins.iter().any(|begin| text.starts_with(begin))
        }
        _ => false,
    }
}

fn failure(error: ToolError) -> Vec<Content> {
    match error {
        ToolError::Failed(content) => content,
        ToolError::AccessDenied(reason) => failed(format!("Not allowed: {reason}")),
        ToolError::InvalidArguments(reason) => failed(format!("The arguments do not fit: {reason}")),
        ToolError::TimedOut => failed("Timed out and was ended. What it had done until then is done."),
        ToolError::Cancelled => failed(CANCELLED),
        ToolError::Other(reason) => failed(format!("The tool failed: {reason}")),
    }
}

/// What is stored and given to the model: texts share `chars` characters, media share `bytes` bytes.
fn capped(content: Vec<Content>, chars: usize, bytes: usize) -> Vec<Content> {
    let (mut chars, mut bytes) = (chars, bytes);
    let mut kept: Vec<Content> = Vec::new();
    for content in content {
        if chars == 0 {
            kept.push(Content::Text("[More was left out: the result is too long.]".into()));
            break;
        }
        let text = match &content {
            Content::Text(text) => excerpt::without_data_uris(text),
            Content::Json(text) => text.clone(),
            Content::Other(other) => other.data.clone(),
            Content::Media(media) => {
                kept.push(match bytes.checked_sub(media.data.len()) {
                    Some(rest) => {
                        bytes = rest;
                        content
                    }
                    None => Content::Text(format!(
                        "[{}, {}, {}: too large to keep]",
                        media.name.as_deref().unwrap_or("a file"),
                        media.mime,
                        excerpt::size(media.data.len())
                    )),
                });
                continue;
            }
        };
        let short = excerpt::ends(&text, chars);
        chars = chars.saturating_sub(text.chars().count());
        kept.push(match content {
            Content::Json(_) | Content::Other(_) if short == text => content,
            _ => Content::Text(short),
        });
    }
    kept
}

fn media(content: &[Content]) -> Vec<Media> {
    content
        .iter()
        .filter_map(|content| match content {
            Content::Media(media) => Some(media.clone()),
            _ => None,
        })
        .collect()
}

/// The first thing that can be shown in a line.
fn one_line(content: &[Content]) -> String {
    content
        .iter()
        .map(|content| match content {
            Content::Text(text) | Content::Json(text) => excerpt::line(text, LINE),
            Content::Media(media) => format!("{}, {}", media.mime, excerpt::size(media.data.len())),
            Content::Other(other) => excerpt::line(&other.kind, LINE),
        })
        .find(|line| !line.is_empty())
        .unwrap_or_else(|| "(no output)".into())
}
