//! What the first-party guests share and no host function gives: pure code, without bindings of its own, because
//! each component generates its own from the contract. All of it runs natively, in the tests.
//!
//! - [`channel_errors!`]: the contract's error in the words of a channel.
//! - [`clip`]: bytes of a process as text with a hard cap.
//! - [`tool_names`]: names of tools as an API wants them, and back.
//! - [`sse`]: server-sent events out of any pieces.
//! - [`rich`]: Markdown as runs of text with a style, for messengers' markup; [`cut`]: such text in pieces that fit.
//! - [`question`]: the words and buttons of an approval.
//! - [`shown`]: the messages that show a growing reply; [`multipart`]: the body of an upload.
//! - [`channel_host`], [`channel_errors`]: what each channel needs around its own bindings, as macros.

mod channel;
pub mod clip;
pub mod cut;
pub mod errors;
pub mod multipart;
pub mod question;
pub mod rich;
pub mod shown;
pub mod sse;
pub mod tool_names;
