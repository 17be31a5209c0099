//! `channel-discord`: chats with a Discord bot.
//!
//! [`session`] is the gateway's session: where to dial, hello, heartbeat, identify or resume, and what a close means.
//! [`incoming`] turns what the gateway dispatches into messages, commands and decisions; [`files`] fetches what came with
//! a message. [`show`] shows replies, growing ones by editing, and files; [`ask`] shows questions with buttons.
//! [`commands`] tells the API once which slash commands there are. [`api`] is the one way to the API, reads its errors
//! and keeps its limits, [`markup`] writes its Markdown, [`handle`] says what a delivery answers, [`settings`] are the
//! person's. All of it talks to the host through [`host::Host`], so the tests play the host; `guest` is the real one.
//!
//! Gateway and API are described at <https://discord.com/developers/docs>.

pub mod api;
pub mod ask;
pub mod commands;
pub mod contract;
pub mod files;
pub mod handle;
pub mod host;
pub mod incoming;
pub mod markup;
pub mod session;
pub mod settings;
pub mod show;

#[cfg(target_arch = "wasm32")]
use session as register;

#[cfg(target_arch = "wasm32")]
mod guest;
#[cfg(test)]
mod stage;
#[cfg(test)]
mod tests;
