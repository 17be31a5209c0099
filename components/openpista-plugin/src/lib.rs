//! What the first-party guests share and no host function gives: pure code, without bindings of its own, because
//! each component generates its own from the contract. All of it runs natively, in the tests.
//!
//! - [`channel_errors!`]: the contract's error in the words of a channel.
//! - [`clip`]: bytes of a process as text with a hard cap.
//! - [`tool_names`]: names of tools as an API wants them, and back.
//! - [`sse`]: server-sent events out of any pieces.

pub mod clip;
pub mod errors;
pub mod sse;
pub mod tool_names;
