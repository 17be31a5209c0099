//! `provider-openai-responses`: the Responses API, by key or by a ChatGPT subscription's token.
//!
//! [`settings`] is what an instance is told, [`body`] writes the request, [`answer`] grows from the events of the stream,
//! [`replay`] is what a part of an answer carries back to the service, [`models`] is the list on offer with the data of
//! `models.json`, [`shared`] is what all providers do. `guest` ties them to the exports.
//!
//! Nothing is stored at the service: each request has the whole conversation, with the model's reasoning encrypted.
//!
//! Source of the wire format: the API reference at platform.openai.com/docs/api-reference/responses.

pub mod answer;
pub mod body;
pub mod contract;
pub mod models;
pub mod replay;
pub mod settings;
pub mod shared;

#[cfg(target_arch = "wasm32")]
mod guest;
