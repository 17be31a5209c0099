//! `provider-anthropic`: Claude models by the Messages API.
//!
//! [`settings`] is what an instance is told, [`body`] writes the request, [`thinking`] says how each model is told to
//! think, [`answer`] grows from the events of the stream, [`replay`] is what a part of an answer carries back to the
//! service, [`models`] is the list on offer with the data of `models.json`, [`shared`] is what all providers do.
//! `guest` ties them to the exports.
//!
//! Source of the wire format: the API reference and guides at platform.claude.com/docs.

pub mod answer;
pub mod body;
pub mod contract;
pub mod models;
pub mod replay;
pub mod settings;
pub mod shared;
pub mod thinking;

#[cfg(target_arch = "wasm32")]
mod guest;
