//! `tool-shell`: the tool `system.run`, a command for the machine's shell.
//!
//! The host starts the process and kills its group when the call ends; this component turns arguments into a
//! [`shell`](contract::openpista::shell::shell) call ([`arguments`]), follows what comes out ([`run`]) and writes the
//! report that the model reads ([`report`]). `guest` ties them to the exports.

pub mod arguments;
pub mod contract;
pub mod report;
pub mod run;

#[cfg(target_arch = "wasm32")]
mod guest;
