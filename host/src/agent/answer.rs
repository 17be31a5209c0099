//! One answer of a model: the request, the stream, and what is done when it fails.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sha2::{Digest, Sha256};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::context::{self, Target};
use super::event::{Event, Events, Failure};
use super::ports::{Completion, Delta, Deltas, Provider, ProviderError, Request, Stop};
use super::{GRACE, Model, Scope, State, compaction, excerpt, tokens};
use crate::message::{Body, Message, Part, Role, ToolDefinition, Usage, now};

/// How often one model is asked again for one answer.
const RETRIES: u32 = 3;
/// The first wait before asking again, where the service names none; doubled each time.
const BACK_OFF: Duration = Duration::from_millis(500);
/// A summary has to come in this time.
const SUMMARY_TIME: Duration = Duration::from_secs(40);
/// Tokens of what the host itself adds: the summary's marks, the closing note.
const MARKS: usize = 120;
/// More pieces than this are not given to the model; the oldest ones are summed up mechanically.
const SUMMARY_PIECES: usize = 6;

/// What came of asking.
pub(super) enum Asked {
    Answer(Completion),
    /// The turn was stopped; what was said so far, and its usage if known.
    Stopped(String, Usage),
    Failed(Failure),
}

/// What a failed attempt leads to.
#[derive(Debug, PartialEq, Eq)]
enum Step {
    Retry(Duration),
    Fallback,
    Compact,
    End,
}

/// `tries`: how often this model was asked again already. `jitter`: 0 to 255, so that many turns that failed together
/// don't come back together.
fn step(error: &ProviderError, tries: u32, jitter: u8, left: Duration) -> Step {
    let wait = BACK_OFF.saturating_mul(1 << tries.min(8));
    let wait = wait.saturating_add(wait.saturating_mul(u32::from(jitter)) / 512);
    let wait = match error {
        ProviderError::AuthRequired(_) | ProviderError::AccessDenied(_) | ProviderError::BadRequest(_) => {
            return Step::End;
        }
        ProviderError::Exhausted(_) | ProviderError::SetAside(_) => return Step::Fallback,
        ProviderError::ContextTooLong(_) => return Step::Compact,
        ProviderError::Other(_) if tries > 0 => return Step::Fallback,
        ProviderError::RateLimited(Some(ms)) => Duration::from_millis(u64::from(*ms)),
        ProviderError::RateLimited(None)
        | ProviderError::Overloaded(_)
        | ProviderError::Transport(_)
        | ProviderError::Other(_) => wait,
    };
    if tries < RETRIES && wait < left { Step::Retry(wait) } else { Step::Fallback }
}

/// What one attempt has streamed. Closed with the attempt, so that a piece that comes late goes nowhere.
#[derive(Default)]
struct Draft {
    closed: bool,
    pushed: bool,
    text: String,
}

fn sink(events: Events) -> (Deltas, Arc<Mutex<Draft>>) {
    let draft = Arc::new(Mutex::new(Draft::default()));
    let deltas: Deltas = {
        let draft = Arc::clone(&draft);
        Arc::new(move |delta| {
            let mut draft = draft.lock().unwrap_or_else(PoisonError::into_inner);
            if draft.closed {
                return;
            }
            draft.pushed = true;
            match delta {
                Delta::Text(text) => {
                    draft.text.push_str(&text);
                    events(Event::Text(text));
                }
                Delta::Reasoning(text) => events(Event::Reasoning(text)),
                Delta::Call { .. } => (),
            }
        })
    };
    (deltas, draft)
}

/// One attempt's result, or none if the turn was stopped meanwhile and the provider did not come back in time.
/// A task of its own: a panic in a provider fails the attempt only.
async fn attempt(
    provider: &Arc<dyn Provider>,
    request: Request,
    deltas: Deltas,
    stop: &CancellationToken,
) -> Option<Result<Completion, ProviderError>> {
    let provider = Arc::clone(provider);
    let cancel = stop.clone();
    let mut task =
        AbortOnDropHandle::new(tokio::spawn(async move { provider.complete(request, deltas, cancel).await }));
    let joined = tokio::select! {
        biased;
        joined = &mut task => joined,
        () = stop.cancelled() => timeout(GRACE, &mut task).await.ok()?,
    };
    Some(joined.unwrap_or_else(|error| Err(ProviderError::Other(format!("the provider broke: {error}")))))
}

/// Asks until there is an answer, the turn is stopped, or nothing is left to try. `closing`: the model shall end here,
/// without tools.
pub(super) async fn ask(
    scope: &Scope<'_>,
    state: &mut State,
    tools: &Arc<[ToolDefinition]>,
    closing: Option<&str>,
) -> Result<Asked, anyhow::Error> {
    let mut tries = 0_u32;
    let mut restarted = false;
    let mut shrunk: Option<usize> = None;
    let mut announced = false;
    loop {
        let Some(model) = scope.turn.models.get(state.model) else {
            return Ok(Asked::Failed(Failure::NoModel));
        };
        let bound = model.bound(&scope.turn.limits).min(shrunk.unwrap_or(usize::MAX));
        let request = prepare(scope, state, model, tools, closing, bound).await?;
        if scope.stop.is_cancelled() {
            return Ok(Asked::Stopped(String::new(), Usage::default()));
        }
        let size = tokens::of_request(&request);
        let name = model.name();
        if !announced {
            scope.emit(Event::Answering { model: name.clone() });
            announced = true;
        }
        let (deltas, draft) = sink(Arc::clone(&scope.turn.events));
        let result = attempt(&model.provider, request, deltas, scope.stop).await;
        let (pushed, said) = {
            let mut draft = draft.lock().unwrap_or_else(PoisonError::into_inner);
            draft.closed = true;
            (draft.pushed, std::mem::take(&mut draft.text))
        };
        if scope.stop.is_cancelled() {
            return Ok(stopped(result, said));
        }
        let error = match result {
            Some(Ok(Completion { stop: Stop::Cancelled, .. })) => {
                ProviderError::Other("the provider stopped although nobody asked it to".into())
            }
            Some(Ok(completion)) => return Ok(Asked::Answer(completion)),
            Some(Err(error)) => error,
            None => ProviderError::Other("the provider did not come back".into()),
        };
        let mut step = step(&error, tries, jitter(&scope.turn.id, tries), scope.clock.left());
        if step == Step::Compact {
            // Too long although it looked short enough: this model counts more than was estimated.
            step = if shrunk.is_none() { Step::Retry(Duration::ZERO) } else { Step::Fallback };
            shrunk = Some(size.min(bound) / 5 * 3);
        }
        let has_fallback = state.model.saturating_add(1) < scope.turn.models.len();
        let over = step == Step::End || (step == Step::Fallback && !has_fallback) || (pushed && restarted);
        if over {
            return Ok(Asked::Failed(failure(name, &error, pushed)));
        }
        if pushed {
            restarted = true;
            scope.emit(Event::Restarted);
        }
        let wait = match step {
            Step::Retry(wait) => {
                tries = tries.saturating_add(1);
                wait
            }
            Step::Fallback | Step::Compact | Step::End => {
                state.model = state.model.saturating_add(1);
                tries = 0;
                shrunk = None;
                announced = false;
                Duration::ZERO
            }
        };
        let next = scope.turn.models.get(state.model).map(Model::name).unwrap_or_default();
        scope.emit(Event::Retrying { reason: format!("{name}: {error}"), model: next, wait });
        tokio::select! {
            biased;
            () = scope.stop.cancelled() => return Ok(Asked::Stopped(String::new(), Usage::default())),
            () = sleep(wait) => (),
        }
    }
}

/// What a stopped attempt leaves: the provider's own word if it came in time, else what it had streamed.
fn stopped(result: Option<Result<Completion, ProviderError>>, said: String) -> Asked {
    match result {
        Some(Ok(completion)) => {
            let text = joined(&completion.parts);
            let longer = if text.len() >= said.len() { text } else { said };
            Asked::Stopped(longer, completion.usage)
        }
        Some(Err(_)) | None => Asked::Stopped(said, Usage::default()),
    }
}

fn joined(parts: &[Part]) -> String {
    parts
        .iter()
        .filter_map(|part| match &part.body {
            Body::Text(text) => Some(text.as_str()),
            _ => None,
        })
        .collect()
}

fn failure(model: String, error: &ProviderError, pushed: bool) -> Failure {
    match error {
        ProviderError::AuthRequired(reason) => Failure::AuthRequired { model, reason: reason.clone() },
        ProviderError::ContextTooLong(reason) => Failure::TooLong { model, reason: reason.clone() },
        error if pushed => Failure::Model { model, reason: format!("the answer was cut off while it came ({error})") },
        error => Failure::Model { model, reason: error.to_string() },
    }
}

/// Spread over turns and tries, the same for the same turn and try.
fn jitter(turn: &str, tries: u32) -> u8 {
    let mut hash = Sha256::new();
    hash.update(turn);
    hash.update(tries.to_le_bytes());
    hash.finalize().first().copied().unwrap_or_default()
}

/// The request, after older messages were summed up if it would be too long otherwise.
async fn prepare(
    scope: &Scope<'_>,
    state: &mut State,
    model: &Model,
    tools: &Arc<[ToolDefinition]>,
    closing: Option<&str>,
    bound: usize,
) -> Result<Request, anyhow::Error> {
    let tools: Arc<[ToolDefinition]> = if model.tools { Arc::clone(tools) } else { Arc::new([]) };
    let room = bound.saturating_sub(tokens::of_frame(&scope.turn.system, &tools)).max(bound / 4);
    let stored: usize = state.past.messages.iter().map(|(_, message)| tokens::of_message(message)).sum();
    let summary = state.past.summary.as_deref().map_or(0, tokens::of_text);
    let most = scope.turn.limits.context_turns;
    let turns = state.past.messages.iter().filter(|(_, message)| compaction::begins_turn(message)).count();
    if stored.saturating_add(summary).saturating_add(MARKS) > room {
        compact(scope, state, model, room, usize::MAX).await?;
    } else if turns > most.saturating_add(1) {
        compact(scope, state, model, room, (most / 2).saturating_add(1)).await?;
    }
    let target = Target {
        instance: model.provider.instance(),
        images: model.images,
        documents: model.documents,
        media_bytes: scope.turn.limits.media_bytes,
        tokens: room,
    };
    Ok(Request {
        model: model.id.clone(),
        system: scope.turn.system.clone(),
        messages: context::messages(&state.past, &target, closing),
        tools_allowed: model.tools && closing.is_none(),
        tools,
        max_tokens: model.max_output,
        effort: model.effort,
        cache_key: cache_key(&scope.turn.session),
        options: model.options.clone(),
    })
}

fn cache_key(session: &str) -> String {
    let mut key = hex::encode(Sha256::digest(session));
    key.truncate(32);
    key
}

/// At most half of the room and `most` turns stay as they are.
async fn compact(
    scope: &Scope<'_>,
    state: &mut State,
    model: &Model,
    room: usize,
    most: usize,
) -> Result<(), anyhow::Error> {
    let Some(cut) = compaction::cut(&state.past, room / 2, most) else {
        return Ok(());
    };
    let (going, staying) = state.past.messages.split_at_checked(cut).unwrap_or_default();
    let Some((upto, _)) = going.last() else {
        return Ok(());
    };
    let upto = *upto;
    scope.emit(Event::Compacting);
    // A token of the densest scripts is one character, so that many characters are never more tokens.
    let chars = room / 4;
    let at_work = compaction::at_work(going, staying);
    let mut pieces = compaction::transcript(going, room / 2);
    let mut summary = state.past.summary.clone();
    if pieces.len() > SUMMARY_PIECES {
        summary = Some(compaction::mechanical(summary.as_deref(), going, chars));
        pieces.drain(..pieces.len().saturating_sub(SUMMARY_PIECES));
    }
    for piece in pieces {
        let (text, usage) = sum_up(scope, model, summary.as_deref(), &piece, chars).await;
        state.usage += usage;
        if scope.stop.is_cancelled() {
            return Ok(());
        }
        summary = text;
        if summary.is_none() {
            break;
        }
    }
    let mut summary = summary.unwrap_or_else(|| compaction::mechanical(state.past.summary.as_deref(), going, chars));
    if let Some(at_work) = at_work {
        summary.push_str("\nWhat the user asked for last, and what is being worked on:\n");
        summary.push_str(&excerpt::ends(&at_work, chars));
    }
    scope.turn.journal.compacted(upto, summary.clone()).await?;
    state.past.messages.drain(..cut);
    state.past.summary = Some(summary);
    Ok(())
}

/// One piece summed up by the model, with what that took; none if it can't now.
async fn sum_up(
    scope: &Scope<'_>,
    model: &Model,
    summary: Option<&str>,
    piece: &str,
    chars: usize,
) -> (Option<String>, Usage) {
    let question = Message {
        role: Role::User,
        parts: vec![Body::Text(compaction::question(summary, piece)).into()],
        at: now(),
        turn: None,
        model: None,
        usage: None,
    };
    let cap = u32::try_from(chars / 2).unwrap_or(u32::MAX).clamp(256, 4_000);
    let request = Request {
        model: model.id.clone(),
        system: compaction::PROMPT.into(),
        messages: vec![question],
        tools: Arc::new([]),
        tools_allowed: false,
        max_tokens: Some(model.max_output.unwrap_or(cap).min(cap)),
        effort: None,
        cache_key: cache_key(&format!("summary of {}", scope.turn.session)),
        options: model.options.clone(),
    };
    // The summary shall never cost the turn: half of what is left is the answer's.
    let time = SUMMARY_TIME.min(scope.clock.left() / 2);
    let answer = attempt(&model.provider, request, Arc::new(|_| ()), scope.stop);
    let Ok(Some(Ok(completion))) = timeout(time, answer).await else {
        return (None, Usage::default());
    };
    let text = joined(&completion.parts);
    let whole = matches!(completion.stop, Stop::End | Stop::Other(_)) && !text.trim().is_empty();
    (whole.then(|| excerpt::ends(text.trim(), chars)), completion.usage)
}

#[cfg(test)]
mod tests;
