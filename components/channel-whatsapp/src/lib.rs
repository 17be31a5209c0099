//! `channel-whatsapp`: chats on WhatsApp, in one of two ways that the setting `mode` chooses.
//!
//! With `bridge`, a process of ours speaks the protocol of WhatsApp Web, and [`bridge`] exchanges lines with it. With
//! `cloud`, [`webhook`] takes what the Cloud API brings, [`graph`] is the one way to that API and reads its errors,
//! [`cloud`] shows replies, questions and files by it, and [`files`] fetches what came with a message. [`text`] cuts
//! replies and writes WhatsApp's markup, [`setup`] opens what the mode needs, [`settings`] are the person's. All of it talks to the host through
//! [`host::Host`], so the tests play the host; `guest` is the real one.
//!
//! The Cloud API is described at <https://developers.facebook.com/docs/whatsapp/cloud-api>, the lines of the bridge at the
//! head of `bridge/bridge.mjs`.

pub mod bridge;
pub mod cloud;
pub mod contract;
pub mod files;
pub mod graph;
pub mod host;
pub mod settings;
pub mod setup;
pub mod text;
pub mod webhook;

#[cfg(target_arch = "wasm32")]
mod guest;
#[cfg(test)]
mod stage;
#[cfg(test)]
mod tests;
