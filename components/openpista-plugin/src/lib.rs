//! For plugins of openpista in Rust.
//!
//! With the feature `tools` or `provider` it is the SDK: see `sdk`, and `docs/sdk.md`. Without a feature it is what the
//! first-party guests share and no host function gives: pure code, without bindings of its own, because each of them
//! generates its own from the contract. All of it runs natively, in the tests.
//!
//! - [`clip`]: bytes of a process as text with a hard cap.
//! - [`sse`]: server-sent events out of any pieces.
//! - For channels: [`channel_errors!`] puts the contract's error into their words. For messengers: [`channel_host!`],
//!   [`messenger_faults!`], [`messenger_questions!`], [`messenger_manifest!`] and [`messenger_exports!`] are what each needs
//!   around its own bindings, [`channel_stage!`] is a host for its tests, [`messenger`] has the settings that they share,
//!   [`rich`] is Markdown as runs of text with a style, [`cut`] such text in pieces that fit, [`marks`] writes it in a
//!   messenger's own Markdown, [`question`] the words and buttons of an approval, [`shown`] the messages that show a growing
//!   reply, [`multipart`] the body of an upload.
//! - For providers: [`exchange`] follows an answer, [`failure`] maps what goes wrong, [`models`] is a table of what is
//!   known of models, [`request`] has the pieces that requests are made of, [`tool_names`] makes names and ids legal,
//!   and the macro [`provider!`] ties them to a component's own types.

mod channel;
pub mod clip;
pub mod cut;
pub mod errors;
pub mod exchange;
pub mod failure;
pub mod marks;
pub mod messenger;
pub mod models;
pub mod multipart;
mod provider;
pub mod question;
pub mod request;
pub mod rich;
#[cfg(feature = "sdk")]
pub mod sdk;
pub mod shown;
pub mod sse;
pub mod tool_names;

/// The code of the guide, run as tests.
#[cfg(all(doctest, feature = "tools"))]
#[doc = include_str!("../../../docs/sdk.md")]
struct Guide;

/// For [`provider!`]: a component need not depend on serde_json for it.
pub use serde_json::Value;
