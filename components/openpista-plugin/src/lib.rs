//! What the first-party guests share and no host function gives: pure code, without bindings of its own, because
//! each component generates its own from the contract. All of it runs natively, in the tests.
//!
//! - [`clip`]: bytes of a process as text with a hard cap.
//! - [`sse`]: server-sent events out of any pieces.
//! - For providers: [`exchange`] follows an answer, [`failure`] maps what goes wrong, [`models`] is a table of what is
//!   known of models, [`request`] has the pieces that requests are made of, [`tool_names`] makes names and ids legal,
//!   and the macro [`provider!`] ties them to a component's own types.

pub mod clip;
pub mod exchange;
pub mod failure;
pub mod models;
pub mod request;
pub mod sse;
pub mod tool_names;

mod provider;

/// For [`provider!`]: a component need not depend on serde_json for it.
pub use serde_json::Value;
