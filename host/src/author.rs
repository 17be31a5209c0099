//! For those who write plugins: what is wrong with a component, and its tools called without a daemon and a model.
//!
//! [`check`] looks at a file as the daemon would and lists every fault with what to do. [`run`] calls a tool with what the
//! person allows for this one call. [`replay`] makes the calls of a recorded conversation again. [`project`] knows how a
//! folder is built. All of it works on a [`Bench`]: a runtime with services of its own, which stores nothing.
//! [`contract`] knows the names in the contract, for "did you mean".

pub mod check;
pub mod contract;
pub mod faults;
pub mod project;
pub mod replay;
pub mod run;
mod services;
pub mod shape;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::agent::arguments::Schemas;
use crate::capability::Services;
use crate::capability::secrets::Known;
use crate::message::ToolDefinition;
use crate::plugin::instance::Host;
use crate::runtime::Runtime;

pub use services::{Notes, shadow};

/// Runs components for their author: nothing is stored beyond compiled code.
pub struct Bench {
    /// A runtime, and services without a store.
    pub host: Host,
    /// What the calls asked of the host and were denied.
    pub notes: Arc<Notes>,
    /// Secrets that were given for a call.
    pub known: Arc<Known>,
}

/// The arguments of a call in their shortest form, or what is wrong with them.
pub fn checked(arguments: &str, tool: &ToolDefinition) -> Result<String, String> {
    Schemas::default().check(arguments, &tool.parameters)
}

impl Bench {
    /// Compiled code is kept in `cache`; processes work in `workspace`.
    pub fn new(cache: &Path, workspace: PathBuf, known: Arc<Known>) -> anyhow::Result<Self> {
        let notes = Arc::new(Notes::default());
        let services: Services = services::alone(workspace, Arc::clone(&known), Arc::clone(&notes));
        let host = Host { runtime: Arc::new(Runtime::new(cache)?), services: Arc::new(services) };
        Ok(Self { host, notes, known })
    }
}
