//! What came of a tool that a person called by hand. Also the shape of `plugin run --json`.

use serde::{Deserialize, Serialize};

use crate::message::Content;

/// One call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Called {
    /// The tool.
    pub tool: String,
    /// It did what was asked.
    pub ok: bool,
    /// What it gave back, or has to show of its failure.
    pub content: Vec<Content>,
    /// Why it did not do it.
    pub error: Option<CallFailure>,
    /// What it asked of the host and was denied.
    pub denied: Vec<Denied>,
    /// From begin to end.
    pub took_ms: u64,
    /// Of that, how long it ran; the rest it waited. Counted in steps of 10 ms.
    pub ran_ms: u64,
    /// Bytes of memory that it had.
    pub memory: u64,
}

/// Why a call failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallFailure {
    /// Which of the contract's errors, or `stopped`.
    pub kind: FailureKind,
    /// In words.
    pub text: String,
}

/// The errors of a tool.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureKind {
    /// A capability refused.
    AccessDenied,
    /// The arguments do not fit.
    InvalidArguments,
    /// It ran and failed.
    Failed,
    /// Its time was over.
    TimedOut,
    /// It was interrupted.
    Cancelled,
    /// A trap, a limit, or else.
    Other,
}

/// One thing that was denied.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Denied {
    /// `http`, `shell`, …
    pub capability: String,
    /// What was wanted of it.
    pub what: String,
}
