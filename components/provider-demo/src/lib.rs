//! `provider-demo`: a provider without a model behind it, so that a machine without a key and without a network shows
//! the whole loop: text that streams, tool calls, approvals, answers from their results.
//!
//! It follows rules and says so in its answers. [`turn`] decides what to do with a request: sum it up ([`summary`]),
//! report what tools gave back, call tools ([`intent`] reads what is wanted, [`choose`] picks among the tools that are
//! offered and fills their arguments from the JSON Schema), or answer from what the person said before ([`memory`]).
//! It knows no tool by name. The same request always has the same answer. `guest` ties it to the exports.

pub mod choose;
pub mod contract;
pub mod intent;
pub mod memory;
pub mod summary;
pub mod turn;
pub mod words;

#[cfg(target_arch = "wasm32")]
mod guest;
