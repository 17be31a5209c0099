//! A model that follows a script, tools that are closures, a journal in memory.

use std::collections::VecDeque;
use std::sync::Mutex;

use async_trait::async_trait;

use super::super::ports::*;
use super::super::*;
use crate::message::ToolHints;

/// What the model does when it is asked.
pub enum Reply {
    Say(Vec<Body>, Stop),
    Fail(ProviderError),
    /// Streams, then breaks.
    Break(&'static str, ProviderError),
    /// Streams, then waits until it is dropped, deaf to the cancel token.
    Hang(&'static str),
    Panic,
}

pub fn say(text: &str) -> Reply {
    Reply::Say(vec![Body::Text(text.into())], Stop::End)
}

pub fn call(id: &str, name: &str, arguments: &str) -> Body {
    Body::Call(ToolCall { id: id.into(), name: name.into(), arguments: arguments.into() })
}

pub fn calls(calls: Vec<Body>) -> Reply {
    Reply::Say(calls, Stop::Calls)
}

pub fn outcome(id: &str, name: &str, text: &str, failed: bool) -> Body {
    let content = vec![Content::Text(text.into())];
    Body::Outcome(ToolOutcome { id: id.into(), name: name.into(), content, failed })
}

pub const USAGE: Usage = Usage { input: 10, output: 1, cache_read: 0, cache_write: 0, cost: None };

pub type Answering = Box<dyn Fn(&Request) -> Completion + Send + Sync>;

pub struct Scripted {
    pub instance: &'static str,
    pub script: Mutex<VecDeque<Reply>>,
    /// Answers when the script is empty.
    pub then: Option<Answering>,
    pub seen: Mutex<Vec<Request>>,
}

pub fn scripted(instance: &'static str, script: Vec<Reply>) -> Arc<Scripted> {
    Arc::new(Scripted { instance, script: Mutex::new(script.into()), then: None, seen: Mutex::default() })
}

pub fn answering(then: Answering) -> Arc<Scripted> {
    Arc::new(Scripted { instance: "fake", script: Mutex::default(), then: Some(then), seen: Mutex::default() })
}

#[async_trait]
impl Provider for Scripted {
    fn instance(&self) -> &str {
        self.instance
    }

    async fn complete(
        &self,
        request: Request,
        deltas: Deltas,
        _cancel: CancellationToken,
    ) -> Result<Completion, ProviderError> {
        super::super::context::tests::assert_valid(&request.messages);
        let next = self.script.lock().unwrap().pop_front();
        let answer = self.then.as_ref().map(|then| then(&request));
        self.seen.lock().unwrap().push(request);
        match next {
            Some(Reply::Say(bodies, stop)) => {
                for body in &bodies {
                    if let Body::Text(text) = body {
                        deltas(Delta::Text(text.clone()));
                    }
                }
                let parts = bodies.into_iter().map(Part::from).collect();
                Ok(Completion { parts, stop, usage: USAGE, model: None })
            }
            Some(Reply::Fail(error)) => Err(error),
            Some(Reply::Break(text, error)) => {
                deltas(Delta::Text(text.into()));
                Err(error)
            }
            Some(Reply::Hang(text)) => {
                if !text.is_empty() {
                    deltas(Delta::Text(text.into()));
                }
                std::future::pending().await
            }
            Some(Reply::Panic) => panic!("a bug in the provider"),
            None => Ok(answer.expect("the script is over")),
        }
    }
}

type Run = Arc<dyn Fn(Invocation, Progress, CancellationToken) -> Running + Send + Sync>;
pub type Running = std::pin::Pin<Box<dyn Future<Output = Result<Vec<Content>, ToolError>> + Send>>;

#[derive(Default)]
pub struct Tools {
    definitions: Vec<ToolDefinition>,
    runs: Vec<Run>,
    pub ran: Mutex<Vec<Invocation>>,
}

impl Tools {
    pub fn with<F, R>(mut self, name: &str, run: F) -> Self
    where
        F: Fn(Invocation, Progress, CancellationToken) -> R + Send + Sync + 'static,
        R: Future<Output = Result<Vec<Content>, ToolError>> + Send + 'static,
    {
        self.definitions.push(ToolDefinition {
            name: name.into(),
            description: "A tool.".into(),
            parameters: r#"{"type":"object","properties":{"n":{"type":"integer"}}}"#.into(),
            hints: ToolHints::default(),
        });
        self.runs.push(Arc::new(move |invocation, progress, cancel| Box::pin(run(invocation, progress, cancel))));
        self
    }

    /// A tool that says its name and arguments.
    pub fn echo(self, name: &str) -> Self {
        self.with(name, |invocation, _, _| async move {
            Ok(vec![Content::Text(format!("{} {}", invocation.name, invocation.arguments))])
        })
    }

    pub fn open_world(mut self) -> Self {
        self.definitions.last_mut().unwrap().hints.open_world = true;
        self
    }
}

#[async_trait]
impl Toolbox for Tools {
    fn definitions(&self) -> Arc<[ToolDefinition]> {
        self.definitions.clone().into()
    }

    async fn call(
        &self,
        invocation: Invocation,
        progress: Progress,
        cancel: CancellationToken,
    ) -> Result<Vec<Content>, ToolError> {
        self.ran.lock().unwrap().push(invocation.clone());
        let at = self.definitions.iter().position(|tool| tool.name == invocation.name).unwrap();
        self.runs[at](invocation, progress, cancel).await
    }
}

/// Stores; dies for good after `lives` appends.
#[derive(Default)]
pub struct Memory {
    pub past: Mutex<Past>,
    pub all: Mutex<Vec<Message>>,
    pub lives: Mutex<Option<usize>>,
}

impl Memory {
    /// What a journal that was read from disk would give.
    pub fn past(&self) -> Past {
        self.past.lock().unwrap().clone()
    }

    pub fn put(&self, message: Message) -> u64 {
        let mut all = self.all.lock().unwrap();
        all.push(message.clone());
        let cursor = all.len() as u64;
        self.past.lock().unwrap().messages.push((cursor, message));
        cursor
    }

    pub fn bodies(&self) -> Vec<(Role, Vec<Body>)> {
        let all = self.all.lock().unwrap();
        all.iter().map(|m| (m.role, m.parts.iter().map(|part| part.body.clone()).collect())).collect()
    }
}

#[async_trait]
impl Journal for Memory {
    async fn append(&self, message: Message) -> anyhow::Result<u64> {
        if let Some(lives) = self.lives.lock().unwrap().as_mut() {
            *lives = lives.checked_sub(1).ok_or_else(|| anyhow::anyhow!("killed"))?;
        }
        Ok(self.put(message))
    }

    async fn compacted(&self, upto: u64, summary: String) -> anyhow::Result<()> {
        let mut past = self.past.lock().unwrap();
        past.messages.retain(|(cursor, _)| *cursor > upto);
        past.summary = Some(summary);
        Ok(())
    }
}

pub type Asking = Box<dyn Fn(&ToolCall) -> Deciding + Send + Sync>;
pub type Deciding = std::pin::Pin<Box<dyn Future<Output = Answer> + Send>>;

pub struct Person {
    pub policy: Policy,
    /// Once the turn is untrusted.
    pub untrusted: Policy,
    pub asking: Asking,
    pub asked: Mutex<Vec<ToolCall>>,
}

pub fn allowing() -> Arc<Person> {
    person(Policy::Allow, |_| Box::pin(async { Answer::Late }))
}

pub fn person(policy: Policy, asking: impl Fn(&ToolCall) -> Deciding + Send + Sync + 'static) -> Arc<Person> {
    Arc::new(Person { policy, untrusted: policy, asking: Box::new(asking), asked: Mutex::default() })
}

#[async_trait]
impl Approver for Person {
    fn policy(&self, _call: &ToolCall, _tool: &ToolDefinition, untrusted: bool) -> Policy {
        if untrusted { self.untrusted } else { self.policy }
    }

    async fn ask(&self, call: &ToolCall, _tool: &ToolDefinition, _untrusted: bool) -> Answer {
        self.asked.lock().unwrap().push(call.clone());
        (self.asking)(call).await
    }
}

pub struct World {
    pub models: Vec<Model>,
    pub tools: Arc<Tools>,
    pub person: Arc<Person>,
    pub memory: Arc<Memory>,
    pub events: Arc<Mutex<Vec<Event>>>,
    pub cancel: CancellationToken,
    pub limits: Limits,
    pub unstarted: HashSet<String>,
    pub turn: String,
}

pub fn model(provider: &Arc<Scripted>) -> Model {
    Model {
        provider: Arc::<Scripted>::clone(provider),
        id: "m".into(),
        context: None,
        max_output: None,
        tools: true,
        images: true,
        documents: true,
        effort: None,
        options: Vec::new(),
    }
}

pub fn user(turn: &str, text: &str) -> Message {
    Message {
        role: Role::User,
        parts: vec![Body::Text(text.into()).into()],
        at: 1,
        turn: Some(turn.into()),
        model: None,
        usage: None,
    }
}

impl World {
    pub fn new(providers: &[&Arc<Scripted>], tools: Tools, person: Arc<Person>) -> Self {
        let memory = Arc::new(Memory::default());
        memory.put(user("t1", "Do it."));
        Self {
            models: providers.iter().map(|provider| model(provider)).collect(),
            tools: Arc::new(tools),
            person,
            memory,
            events: Arc::default(),
            cancel: CancellationToken::new(),
            limits: Limits::default(),
            unstarted: HashSet::new(),
            turn: "t1".into(),
        }
    }

    pub async fn run(&self) -> TurnEnd {
        let events = Arc::clone(&self.events);
        run_turn(Turn {
            id: self.turn.clone(),
            session: "s1".into(),
            models: self.models.clone(),
            system: "You are a test.".into(),
            past: self.memory.past(),
            unstarted: self.unstarted.clone(),
            untrusted: false,
            toolbox: Arc::<Tools>::clone(&self.tools),
            journal: Arc::<Memory>::clone(&self.memory),
            approver: Arc::<Person>::clone(&self.person),
            schemas: Arc::default(),
            events: Arc::new(move |event| events.lock().unwrap().push(event)),
            limits: self.limits.clone(),
            cancel: self.cancel.clone(),
        })
        .await
    }

    pub fn events(&self) -> Vec<Event> {
        std::mem::take(&mut self.events.lock().unwrap())
    }

    /// What the journal holds after the user's message.
    pub fn stored(&self) -> Vec<(Role, Vec<Body>)> {
        self.memory.bodies().split_off(1)
    }
}

pub fn end(ending: Ending, text: &str, answers: u64) -> TurnEnd {
    let usage = Usage { input: 10 * answers, output: answers, ..Usage::default() };
    TurnEnd { ending, text: text.into(), model: "fake/m".into(), usage }
}

pub fn note(ending: &Ending) -> Body {
    context::ended(ending).unwrap().body
}
