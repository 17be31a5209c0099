//! The turn: model → tool calls → results → model → reply.
//!
//! [`run_turn`] is the whole loop. It asks a model (`answer`), stores what it said, runs the calls side by side
//! (`dispatch`), stores each outcome as it comes, and asks again, until there are no more calls. What it needs from the
//! world comes through [`ports`]; what is shown meanwhile goes out as [`event::Event`]. It knows no wasm, no socket and
//! no database, and uses `message` only.
//!
//! Everything is journalled before anything acts on it, so a turn that a kill cut off is run again with the same id and
//! what the journal has, and goes on from there. A call without an outcome may have run: the model is told, and nothing
//! runs it again.

mod answer;
pub mod arguments;
mod clock;
mod compaction;
pub mod context;
pub mod dispatch;
pub mod event;
mod excerpt;
pub mod policy;
pub mod ports;
mod tokens;

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use self::answer::Asked;
use self::arguments::Schemas;
use self::clock::Clock;
use self::context::Past;
use self::dispatch::Dispatch;
use self::event::{Ending, Event, Events, Failure, TurnEnd};
use self::ports::{Approver, Completion, Effort, Journal, Provider, Stop, Toolbox};
use crate::message::{Body, Content, Message, Part, Role, ToolCall, ToolDefinition, ToolOutcome, Usage, now};

/// What was asked to stop has this long to do it by itself.
const GRACE: Duration = Duration::from_secs(2);
/// A model whose context is not known is taken to have this many tokens.
const CONTEXT: usize = 128_000;

const CLOSING: &str = "[From the host: this turn has used up its rounds of tool calls. No tool can be called now. \
                       Answer with what you have, and say what is still to do.]";

/// A model that can be asked, with what it takes.
#[derive(Clone)]
pub struct Model {
    /// The instance that serves it.
    pub provider: Arc<dyn Provider>,
    /// As the API calls it.
    pub id: String,
    /// Its context in tokens, if known.
    pub context: Option<u32>,
    /// A cap for an answer in tokens.
    pub max_output: Option<u32>,
    /// It can call tools.
    pub tools: bool,
    /// It takes images.
    pub images: bool,
    /// It takes documents.
    pub documents: bool,
    /// How hard it shall think.
    pub effort: Option<Effort>,
    /// The person's options for it: name and JSON.
    pub options: Vec<(String, String)>,
}

impl Model {
    /// `instance/model`.
    pub fn name(&self) -> String {
        format!("{}/{}", self.provider.instance(), self.id)
    }

    /// Tokens that a request may have: what the person allows, and at most what leaves room for the answer and for an
    /// estimate that is too low.
    fn bound(&self, limits: &Limits) -> usize {
        let context = self.context.map_or(CONTEXT, |context| usize::try_from(context).unwrap_or(usize::MAX));
        let output = self.max_output.map_or(context / 8, |output| usize::try_from(output).unwrap_or(usize::MAX));
        let free = (context / 5).saturating_mul(4).saturating_sub(output).max(context / 4);
        free.min(limits.context_tokens)
    }
}

/// What bounds a turn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Answers that may call tools.
    pub max_rounds: usize,
    /// Of the whole turn; stands still while a person is asked.
    pub time: Duration,
    /// Of one call, waiting included.
    pub tool_time: Duration,
    /// Characters of one call's result.
    pub tool_chars: usize,
    /// Calls that run at once.
    pub side_by_side: usize,
    /// Tokens of one request.
    pub context_tokens: usize,
    /// Earlier turns of which the messages are sent; beyond that the older half is summed up, so that a turn of a long
    /// conversation costs no more time and money than one of a short.
    pub context_turns: usize,
    /// Bytes of media in one request, and of one call's result.
    pub media_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_rounds: 30,
            time: Duration::from_secs(120),
            tool_time: Duration::from_secs(120),
            tool_chars: 30_000,
            side_by_side: 8,
            context_tokens: 100_000,
            context_turns: 60,
            media_bytes: 6 << 20,
        }
    }
}

/// A turn to run, or to go on with.
pub struct Turn {
    /// All messages of the turn have it.
    pub id: String,
    /// The session's id.
    pub session: String,
    /// Asked in this order.
    pub models: Vec<Model>,
    /// From [`context::system`].
    pub system: String,
    /// What is stored: the person's message, and what an earlier run of this turn journalled, included.
    pub past: Past,
    /// Calls of an earlier run that surely did not begin, for their approval is still open: they are asked about again
    /// instead of being taken as interrupted.
    pub unstarted: HashSet<String>,
    /// The turn begins with content that others wrote.
    pub untrusted: bool,
    /// All tools.
    pub toolbox: Arc<dyn Toolbox>,
    /// Where messages are stored.
    pub journal: Arc<dyn Journal>,
    /// Who decides about calls.
    pub approver: Arc<dyn Approver>,
    /// Compiled schemas, shared by all turns.
    pub schemas: Arc<Schemas>,
    /// Who watches.
    pub events: Events,
    /// What bounds it.
    pub limits: Limits,
    /// Stops it.
    pub cancel: CancellationToken,
}

/// What does not change while the turn runs.
struct Scope<'a> {
    turn: &'a Turn,
    clock: &'a Clock,
    /// The turn is cancelled, or its time is over.
    stop: &'a CancellationToken,
    timed_out: &'a AtomicBool,
}

impl Scope<'_> {
    fn emit(&self, event: Event) {
        (self.turn.events)(event);
    }

    fn why_stopped(&self) -> Ending {
        if self.timed_out.load(Ordering::Acquire) { Ending::TimedOut } else { Ending::Cancelled }
    }
}

/// What changes while the turn runs.
struct State {
    past: Past,
    /// Which of the models is asked; a turn that fell back stays there.
    model: usize,
    /// `instance/model` that answered last.
    answered: Option<String>,
    rounds: usize,
    texts: Vec<String>,
    usage: Usage,
    untrusted: bool,
}

/// Runs the turn to its end. Events come while it runs; the end is also in the journal, unless the turn failed.
pub async fn run_turn(mut turn: Turn) -> TurnEnd {
    let past = std::mem::take(&mut turn.past);
    let clock = Clock::new(turn.limits.time);
    let stop = turn.cancel.child_token();
    let timed_out = AtomicBool::new(false);
    let scope = Scope { turn: &turn, clock: &clock, stop: &stop, timed_out: &timed_out };
    let mut state = State {
        past: Past::default(),
        model: 0,
        answered: None,
        rounds: 0,
        texts: Vec::new(),
        usage: Usage::default(),
        untrusted: turn.untrusted,
    };
    let tools = turn.toolbox.definitions();
    for (_, message) in past.messages.iter().filter(|(_, message)| message.turn.as_ref() == Some(&turn.id)) {
        state.note(message, &tools);
    }
    state.past = past;
    let timer = async {
        clock.over().await;
        timed_out.store(true, Ordering::Release);
        stop.cancel();
        std::future::pending().await
    };
    let rounds = tokio::select! {
        ending = rounds(&scope, &mut state) => ending,
        never = timer => never,
    };
    let ending = rounds.unwrap_or_else(|error| Ending::Failed(Failure::Journal(format!("{error:#}"))));
    let model = state.answered.or_else(|| turn.models.first().map(Model::name)).unwrap_or_default();
    TurnEnd { ending, text: state.texts.join("\n\n"), model, usage: state.usage }
}

async fn rounds(scope: &Scope<'_>, state: &mut State) -> anyhow::Result<Ending> {
    if let Some(ending) = state.ended(scope) {
        return Ok(ending);
    }
    let unanswered = state.unanswered(scope);
    let (unstarted, interrupted): (Vec<_>, Vec<_>) =
        unanswered.into_iter().partition(|call| scope.turn.unstarted.contains(&call.id));
    for call in interrupted {
        let content = vec![Content::Text(context::INTERRUPTED.into())];
        let outcome = ToolOutcome { id: call.id, name: call.name, content, failed: true };
        state.store_outcome(scope, outcome, &scope.turn.toolbox.definitions()).await?;
    }
    run_calls(scope, state, unstarted, scope.turn.toolbox.definitions()).await?;
    loop {
        if scope.stop.is_cancelled() {
            return close(scope, state, String::new(), Usage::default()).await;
        }
        let closing = (state.rounds >= scope.turn.limits.max_rounds).then_some(CLOSING);
        let tools = scope.turn.toolbox.definitions();
        let completion = match answer::ask(scope, state, &tools, closing).await? {
            Asked::Answer(completion) => completion,
            Asked::Stopped(text, usage) => return close(scope, state, text, usage).await,
            Asked::Failed(failure) => return Ok(Ending::Failed(failure)),
        };
        let (message, ending) = state.message(scope, completion, closing.is_some());
        let calls: Vec<ToolCall> = message.calls().cloned().collect();
        state.store(scope, message, &tools).await?;
        match ending {
            Some(ending) => return Ok(ending),
            None => run_calls(scope, state, calls, tools).await?,
        }
    }
}

/// Runs the calls of one answer side by side and stores each outcome as it comes.
async fn run_calls(
    scope: &Scope<'_>,
    state: &mut State,
    calls: Vec<ToolCall>,
    tools: Arc<[ToolDefinition]>,
) -> anyhow::Result<()> {
    let running = Semaphore::new(scope.turn.limits.side_by_side.max(1));
    let dispatch = Dispatch { scope, tools: &tools, untrusted: state.untrusted, running: &running };
    let mut outcomes: FuturesUnordered<_> = calls.iter().map(|call| dispatch.run(call)).collect();
    while let Some(outcome) = outcomes.next().await {
        state.store_outcome(scope, outcome, &tools).await?;
    }
    Ok(())
}

/// Ends a turn that was stopped: what was said so far is kept.
async fn close(scope: &Scope<'_>, state: &mut State, text: String, usage: Usage) -> anyhow::Result<Ending> {
    let ending = scope.why_stopped();
    let mut parts: Vec<Part> = Vec::new();
    if !text.trim().is_empty() {
        parts.push(Body::Text(text).into());
    }
    parts.extend(context::ended(&ending));
    let message = Message {
        role: Role::Assistant,
        parts,
        at: now(),
        turn: Some(scope.turn.id.clone()),
        model: scope.turn.models.get(state.model).map(Model::name),
        usage: Some(usage),
    };
    state.store(scope, message, &[]).await?;
    Ok(ending)
}

impl State {
    /// Counts a message of this turn.
    fn note(&mut self, message: &Message, tools: &[ToolDefinition]) {
        if message.role == Role::Assistant {
            let text = message.text();
            if !text.trim().is_empty() {
                self.texts.push(text.trim().to_owned());
            }
            if message.calls().next().is_some() {
                self.rounds = self.rounds.saturating_add(1);
            }
            self.answered.clone_from(&message.model);
            self.usage += message.usage.unwrap_or_default();
        }
        for part in &message.parts {
            if let Body::Outcome(outcome) = &part.body {
                // A tool that is gone may have brought in anything.
                let tool = tools.iter().find(|tool| tool.name == outcome.name);
                self.untrusted |= tool.is_none_or(|tool| tool.hints.open_world);
            }
        }
    }

    async fn store(&mut self, scope: &Scope<'_>, message: Message, tools: &[ToolDefinition]) -> anyhow::Result<()> {
        let cursor = scope.turn.journal.append(message.clone()).await?;
        self.note(&message, tools);
        self.past.messages.push((cursor, message));
        Ok(())
    }

    async fn store_outcome(
        &mut self,
        scope: &Scope<'_>,
        outcome: ToolOutcome,
        tools: &[ToolDefinition],
    ) -> anyhow::Result<()> {
        let message = Message {
            role: Role::User,
            parts: vec![Body::Outcome(outcome).into()],
            at: now(),
            turn: Some(scope.turn.id.clone()),
            model: None,
            usage: None,
        };
        self.store(scope, message, tools).await
    }

    /// How the turn ended, if an earlier run brought it to its end.
    fn ended(&self, scope: &Scope<'_>) -> Option<Ending> {
        let (_, last) = self.past.messages.last()?;
        let closes =
            last.role == Role::Assistant && last.turn.as_ref() == Some(&scope.turn.id) && last.calls().next().is_none();
        closes.then(|| context::ending(last))
    }

    /// Calls of this turn's last answer whose outcome is not stored.
    fn unanswered(&self, scope: &Scope<'_>) -> Vec<ToolCall> {
        let mut calls: Vec<ToolCall> = Vec::new();
        for (_, message) in &self.past.messages {
            if message.turn.as_ref() != Some(&scope.turn.id) {
                continue;
            }
            if message.role == Role::Assistant {
                calls = message.calls().cloned().collect();
            }
            for part in &message.parts {
                if let Body::Outcome(outcome) = &part.body {
                    calls.retain(|call| call.id != outcome.id);
                }
            }
        }
        calls
    }

    /// The message that stores an answer, and how it ends the turn, if it does.
    fn message(&self, scope: &Scope<'_>, completion: Completion, closing: bool) -> (Message, Option<Ending>) {
        let model = scope.turn.models.get(self.model).map(Model::name);
        let mut ids: HashSet<String> =
            self.past.messages.iter().flat_map(|(_, m)| m.calls().map(|call| call.id.clone())).collect();
        let calls_count = !closing && !matches!(completion.stop, Stop::Filtered(_));
        let mut called = false;
        let mut parts = completion.parts;
        parts.retain_mut(|part| match &mut part.body {
            Body::Call(call) if calls_count => {
                call.id = context::unique_id(&call.id, |id| ids.contains(id));
                called |= ids.insert(call.id.clone());
                true
            }
            Body::Call(_) | Body::Outcome(_) => false,
            _ => true,
        });
        let ending = match completion.stop {
            Stop::Filtered(reason) => Some(Ending::Filtered(reason)),
            _ if called => None,
            _ if closing => Some(Ending::OutOfRounds),
            Stop::MaxTokens => Some(Ending::Cut),
            Stop::End | Stop::Calls | Stop::Cancelled | Stop::Other(_) => Some(Ending::Done),
        };
        parts.extend(ending.as_ref().and_then(context::ended));
        let message = Message {
            role: Role::Assistant,
            parts,
            at: now(),
            turn: Some(scope.turn.id.clone()),
            model,
            usage: Some(completion.usage),
        };
        (message, ending)
    }
}

#[cfg(test)]
mod tests;
