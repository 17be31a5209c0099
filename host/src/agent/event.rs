//! What a turn says while it runs, and how it ended.
//!
//! Events are for the eye: a channel's draft, its activity lines, the terminal. Nothing depends on one arriving; what
//! counts is in the journal and in [`TurnEnd`].

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::message::{Decision, Media, ToolCall, Usage};

/// Takes events in order; must not block.
pub type Events = Arc<dyn Fn(Event) + Send + Sync>;

/// A sign of life of a running turn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A model is about to write. Text from here on follows earlier text of the turn after a blank line, as in
    /// [`TurnEnd::text`].
    Answering {
        /// `instance/model`.
        model: String,
    },
    /// More text of the answer.
    Text(String),
    /// More thinking that may be shown.
    Reasoning(String),
    /// What was streamed since the last [`Event::Answering`] does not count: the answer begins anew.
    Restarted,
    /// The model's service is asked again, or another model takes over.
    Retrying {
        /// What went wrong, for the person.
        reason: String,
        /// `instance/model` that is asked next.
        model: String,
        /// How long the turn waits before.
        wait: Duration,
    },
    /// Older messages are being summed up.
    Compacting,
    /// A person is asked about the call.
    ApprovalWaiting(ToolCall),
    /// The question is over.
    ApprovalOver {
        /// The call's id.
        call: String,
        /// None: nobody answered, or the turn ended.
        decision: Option<Decision>,
    },
    /// The tool runs.
    ToolStarted(ToolCall),
    /// A line of what it does.
    ToolProgress {
        /// The call's id.
        call: String,
        /// At most 4 KiB.
        line: String,
    },
    /// It did it.
    ToolDone {
        /// The call's id.
        call: String,
        /// The tool.
        name: String,
        /// The beginning of what it gave back, in one line.
        line: String,
        /// Files that it made, to be shown.
        media: Vec<Media>,
    },
    /// It did not do it, or was not run.
    ToolFailed {
        /// The call's id.
        call: String,
        /// The tool.
        name: String,
        /// Why, in one line.
        line: String,
    },
}

/// How a turn came out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TurnEnd {
    /// Why it is over.
    pub ending: Ending,
    /// Everything that the model said in the turn, in CommonMark. Can be empty: a model may act and say nothing.
    pub text: String,
    /// `instance/model` that answered last.
    pub model: String,
    /// Of the whole turn, summaries included.
    pub usage: Usage,
}

/// Why a turn is over. Stored with the closing message, so that a turn that is resumed after its end ends the same.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ending {
    /// The model was done.
    Done,
    /// The answer ran into the model's cap.
    Cut,
    /// It wanted more rounds of tools than a turn has; the text says how far it came.
    OutOfRounds,
    /// The API withheld the answer.
    Filtered(String),
    /// Somebody stopped it.
    Cancelled,
    /// The turn's time was over.
    TimedOut,
    /// There is no answer.
    Failed(Failure),
}

impl Ending {
    /// What a person is told besides the text; none if there is nothing to say.
    pub fn notice(&self) -> Option<String> {
        match self {
            Self::Done => None,
            Self::Cut => Some("The answer was cut off: it reached the model's output limit. Ask it to go on.".into()),
            Self::OutOfRounds => Some("The turn used up its rounds of tool calls. Ask to go on.".into()),
            Self::Filtered(reason) if reason.is_empty() => {
                Some("The model's service withheld the answer. Put the question differently.".into())
            }
            Self::Filtered(reason) => {
                Some(format!("The model's service withheld the answer ({reason}). Put the question differently."))
            }
            Self::Cancelled => Some("Stopped.".into()),
            Self::TimedOut => Some("Stopped: the turn's time was over. Ask to go on.".into()),
            Self::Failed(failure) => Some(failure.to_string()),
        }
    }
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
pub enum Failure {
    /// No credential, or it was refused: the person signs in.
    #[error("{model} needs a sign-in (look at its secrets in config.toml): {reason}")]
    AuthRequired {
        /// `instance/model`.
        model: String,
        /// As the API says it.
        reason: String,
    },
    /// The model could not answer, nor could its fallbacks.
    #[error("{model} gave no answer: {reason}")]
    Model {
        /// `instance/model`, the last that was asked.
        model: String,
        /// What it said.
        reason: String,
    },
    /// The conversation does not fit even when summed up.
    #[error("{model} cannot take a conversation of this length: {reason}. Start a new one, or use another model.")]
    TooLong {
        /// `instance/model`.
        model: String,
        /// What it said.
        reason: String,
    },
    /// No model to ask.
    #[error("no model is set up: name one under [agent] in config.toml")]
    NoModel,
    /// Nothing may happen that is not stored.
    #[error("the conversation could not be stored: {0}")]
    Journal(String),
}
