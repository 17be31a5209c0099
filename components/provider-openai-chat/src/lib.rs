//! `provider-openai-chat`: the Chat Completions API, which OpenAI, OpenRouter, Together, Ollama and many others speak.
//!
//! One component, an instance for each service. [`settings`] is what an instance is told, [`body`] writes the request,
//! [`answer`] grows from the chunks of the stream, [`models`] is the list on offer with the data of `models.json`,
//! [`shared`] is what all providers do. `guest` ties them to the exports.
//!
//! Source of the wire format: the API reference at platform.openai.com/docs/api-reference/chat, and what the other
//! services document as their differences from it.

pub mod answer;
pub mod body;
pub mod contract;
pub mod models;
pub mod settings;
pub mod shared;

#[cfg(target_arch = "wasm32")]
mod guest;
