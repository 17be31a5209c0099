//! What commands are told of an instance: what it may do, what it has done, what it said.

use serde::{Deserialize, Serialize};

use crate::message::Timestamp;

/// An instance of a plugin that works.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstanceSummary {
    /// Its name.
    pub name: String,
    /// `provider`, `channel`, `tools`.
    pub role: String,
    /// What it may do: capability and scope.
    pub grants: Vec<Grant>,
    /// Of each of its calls.
    pub limits: LimitsSummary,
    /// Since the host started.
    pub counts: CountsSummary,
    /// Bytes of its state.
    pub state: u64,
    /// It is set aside.
    pub aside: Option<AsideSummary>,
}

/// A capability with a scope: `http=api.example.com`, or `shell` alone for one without a scope.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grant {
    /// The capability.
    pub capability: String,
    /// In the capability's own words.
    pub scope: Vec<String>,
}

/// What one call may use.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LimitsSummary {
    /// Bytes of memory.
    pub memory: u64,
    /// Running time in ms; waiting is not counted.
    pub running: u64,
    /// Elements of one table.
    pub table_elements: u64,
    /// Core instances, memories and tables.
    pub instances: u64,
    /// Processes and answers that it holds.
    pub resources: u64,
    /// Bytes that it hands over at once.
    pub host_call: u64,
    /// Calls at the same time.
    pub live_calls: u64,
}

/// What an instance has done since the host started.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CountsSummary {
    /// Calls that were begun.
    pub calls: u64,
    /// That ended with an error of the plugin's own.
    pub errors: u64,
    /// That trapped.
    pub traps: u64,
    /// That ran into a limit.
    pub limits: u64,
    /// That took too long.
    pub late: u64,
    /// That were cancelled.
    pub cancelled: u64,
    /// That were refused while it was set aside.
    pub refused: u64,
    /// When the last one began.
    pub last: Option<Timestamp>,
    /// Half of them took at most so many µs, waiting included.
    pub p50: Option<u64>,
    /// All but one of a hundred.
    pub p99: Option<u64>,
    /// The most memory that one had, in bytes.
    pub memory: u64,
}

/// An instance that is not called for a while.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AsideSummary {
    /// For so many ms more.
    pub left: u64,
    /// How often it was lately.
    pub times: u32,
    /// What broke last.
    pub why: String,
}

/// A tool as the model is told of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToolSummary {
    /// Its name.
    pub name: String,
    /// What it does.
    pub description: String,
    /// JSON Schema of its arguments.
    pub parameters: serde_json::Value,
    /// What it says of itself: `read-only`, `destructive`, …
    pub hints: Vec<String>,
}

/// A line that a plugin wrote, or the host about it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SaidLine {
    /// When.
    pub at: Timestamp,
    /// The plugin.
    pub plugin: String,
    /// Its instance.
    pub instance: String,
    /// `log`, `stdout`, `stderr`, or `host`: the host about it.
    pub from: String,
    /// `debug`, `info`, `warn`, `error`.
    pub level: String,
    /// The session that the call served.
    pub session: Option<String>,
    /// The line.
    pub text: String,
}
