//! What a turn needs from the world: a model, tools, a journal, someone to ask. `plugin`, `session` and `store` provide
//! them; the agent knows nothing of wasm, sockets or databases.

use std::sync::Arc;

use async_trait::async_trait;
use tokio_util::sync::CancellationToken;

use crate::message::{Content, Decision, Message, Part, ToolCall, ToolDefinition, Usage};

/// All that a model is to know for one answer. Rules for `messages`: see `provider.request` in `wit/provider.wit`.
#[derive(Debug, Clone, PartialEq)]
pub struct Request {
    /// As the API calls it, without the instance.
    pub model: String,
    /// The system prompt.
    pub system: String,
    /// Begins with a user message, roles alternate, each call has its outcome.
    pub messages: Vec<Message>,
    /// On offer.
    pub tools: Arc<[ToolDefinition]>,
    /// Whether it may call them.
    pub tools_allowed: bool,
    /// A cap for the answer.
    pub max_tokens: Option<u32>,
    /// `off`, `low`, `medium`, `high`.
    pub effort: Option<Effort>,
    /// Stable for the session.
    pub cache_key: String,
    /// The person's options for the model: name and JSON.
    pub options: Vec<(String, String)>,
}

/// How hard to think.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Effort {
    /// Not at all.
    Off,
    /// A little.
    Low,
    /// Some.
    Medium,
    /// Much.
    High,
}

/// A model's answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Completion {
    /// The whole answer, in order.
    pub parts: Vec<Part>,
    /// Why it ended.
    pub stop: Stop,
    /// What it took.
    pub usage: Usage,
    /// The model that answered, if the API says so.
    pub model: Option<String>,
}

/// Why an answer ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stop {
    /// It was done.
    End,
    /// It wants tools run.
    Calls,
    /// It ran into the cap.
    MaxTokens,
    /// Withheld by the API's filter.
    Filtered(String),
    /// The turn was cancelled.
    Cancelled,
    /// Else.
    Other(String),
}

/// Why there is no answer. The same cases as the contract's; see there for what each leads to.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProviderError {
    /// No credential, or it was refused.
    #[error("sign-in needed: {0}")]
    AuthRequired(String),
    /// A capability refused.
    #[error("not allowed: {0}")]
    AccessDenied(String),
    /// Too many requests; in ms, if the API says how long.
    #[error("the model's service asks to wait")]
    RateLimited(Option<u32>),
    /// Quota or balance used up.
    #[error("quota used up: {0}")]
    Exhausted(String),
    /// Busy.
    #[error("the model's service is overloaded: {0}")]
    Overloaded(String),
    /// The context does not fit.
    #[error("the conversation is too long for the model: {0}")]
    ContextTooLong(String),
    /// The API says that the request is wrong.
    #[error("the model's service refused the request: {0}")]
    BadRequest(String),
    /// No connection, or it broke.
    #[error("the connection to the model's service failed: {0}")]
    Transport(String),
    /// It broke too often lately and is not asked for a while.
    #[error("{0}")]
    SetAside(String),
    /// A trap, a limit, or else.
    #[error("{0}")]
    Other(String),
}

/// A piece of an answer that is being written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Delta {
    /// More text.
    Text(String),
    /// More thinking that may be shown.
    Reasoning(String),
    /// A piece of a tool call.
    Call {
        /// Which of the answer's calls.
        index: u32,
        /// Once known.
        name: Option<String>,
        /// The next piece of the arguments.
        arguments: String,
    },
}

/// Takes deltas as they come; must not block.
pub type Deltas = Arc<dyn Fn(Delta) + Send + Sync>;

/// A provider instance.
#[async_trait]
pub trait Provider: Send + Sync {
    /// The instance's name.
    fn instance(&self) -> &str;
    /// One answer. `cancel` makes it return soon.
    async fn complete(
        &self,
        request: Request,
        deltas: Deltas,
        cancel: CancellationToken,
    ) -> Result<Completion, ProviderError>;
}

/// Why a tool did not do it. All are told to the model.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ToolError {
    /// A capability refused; the text says what to grant.
    #[error("not allowed: {0}")]
    AccessDenied(String),
    /// The arguments do not fit.
    #[error("the arguments do not fit: {0}")]
    InvalidArguments(String),
    /// It ran and failed: what it has to show.
    #[error("it failed")]
    Failed(Vec<Content>),
    /// Its time was over.
    #[error("its time was over")]
    TimedOut,
    /// The turn was cancelled.
    #[error("cancelled")]
    Cancelled,
    /// A trap, a limit, or else.
    #[error("{0}")]
    Other(String),
}

/// One call as the toolbox gets it: approved, arguments checked against the schema.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invocation {
    /// The model's id of the call.
    pub id: String,
    /// The tool.
    pub name: String,
    /// A JSON object.
    pub arguments: String,
    /// The session it serves.
    pub session: String,
    /// The turn it serves.
    pub turn: String,
    /// What [`Toolbox::edition`] said when the call was looked at; another one is not run.
    pub edition: Option<String>,
    /// Who or what let it run, for the ledger.
    pub approval: String,
}

/// Takes a line of a tool's progress; must not block.
pub type Progress = Arc<dyn Fn(String) + Send + Sync>;

/// All tools of all plugins.
#[async_trait]
pub trait Toolbox: Send + Sync {
    /// What is on offer right now. Cheap: asked at each round.
    fn definitions(&self) -> Arc<[ToolDefinition]>;
    /// Whose tool it is and what it is said to do, as one word: it differs when either does. None: there is no such tool,
    /// or it is never another one.
    fn edition(&self, _tool: &str) -> Option<String> {
        None
    }
    /// Runs one. Dropping the future, or `cancel`, ends it and what it started.
    async fn call(
        &self,
        invocation: Invocation,
        progress: Progress,
        cancel: CancellationToken,
    ) -> Result<Vec<Content>, ToolError>;
}

/// Where a turn's messages are stored before anything acts on them.
#[async_trait]
pub trait Journal: Send + Sync {
    /// Stores a message of the running turn durably; returns its cursor.
    async fn append(&self, message: Message) -> anyhow::Result<u64>;
    /// Stores that everything up to and including `upto` is summed up in `summary` for the model.
    async fn compacted(&self, upto: u64, summary: String) -> anyhow::Result<()>;
}

/// What the policy says of a tool.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Policy {
    /// Runs.
    Allow,
    /// A person is asked.
    Ask,
    /// Never.
    Deny,
}

/// What came of asking a person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// Their word.
    Said(Decision),
    /// Nobody answered in time.
    Late,
    /// There is nobody to ask, or no way to: why, and what to do about it, in whole sentences for the model.
    Nobody(String),
}

/// Who decides about a call.
#[async_trait]
pub trait Approver: Send + Sync {
    /// Policy × hints × arguments × what was allowed for this session. Also what untrusted content makes ask again.
    fn policy(&self, call: &ToolCall, tool: &ToolDefinition, untrusted: bool) -> Policy;
    /// Asks a person and waits. If the tool is allowed for the session meanwhile, by the answer about another call, and
    /// `policy` would let this one run now, that is the answer.
    async fn ask(&self, call: &ToolCall, tool: &ToolDefinition, untrusted: bool) -> Answer;
    /// Why a call runs that was let run, for the ledger: a rule, the session's word, an approval.
    fn grounds(&self, _call: &ToolCall) -> String {
        String::new()
    }
    /// A call does not run, for this reason: for the ledger.
    fn refused(&self, _call: &ToolCall, _why: &str) {}
}
