//! `channel-console`: the terminal in which the daemon was started.
//!
//! The host owns standard input and output; this component owns what is written there. [`console`] holds the protocol
//! (a line is a message or the answer to a question; deliveries become text), [`screen`] knows what a terminal shows
//! and keeps control characters out of it, [`markdown`] draws a reply while it grows, [`receipt`] remembers how far. All of it talks
//! to the host through [`console::Host`], so the tests play the host; `guest` is the real one.

pub mod console;
pub mod contract;
pub mod markdown;
pub mod receipt;
pub mod screen;

#[cfg(target_arch = "wasm32")]
mod guest;
