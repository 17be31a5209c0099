//! `provider-openai-chat`: the Chat Completions API, which OpenAI, OpenRouter, Together, Ollama and many others speak.
//!
//! One component, an instance for each service. [`settings`] is what an instance is told, [`body`] writes the request,
//! [`exchange`] sends it and follows the stream, [`answer`] grows from the chunks, [`failure`] maps what goes wrong to
//! what the host does about it, [`models`] is the list on offer with the data of `models.json`. `guest` ties them to
//! the exports.
//!
//! Source of the wire format: the API reference at platform.openai.com/docs/api-reference/chat, and what the other
//! services document as their differences from it.

pub mod answer;
pub mod body;
pub mod contract;
pub mod exchange;
pub mod failure;
pub mod models;
pub mod settings;

#[cfg(target_arch = "wasm32")]
mod guest;
