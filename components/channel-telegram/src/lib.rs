//! `channel-telegram`: chats with a Telegram bot.
//!
//! [`incoming`] turns updates (of the host's long poll, or of the webhook) into messages, decisions and moves of chats;
//! [`addressed`] says which messages of a group are for the bot. [`show`] shows replies, growing ones by editing, and
//! files; [`ask`] shows questions with buttons; [`files`] fetches what came with a message. [`register`] tells the API
//! once what the bot can do and how it wants its updates. [`api`] is the one way to the API and reads its errors,
//! [`markup`] writes its HTML, [`place`] names conversations, [`settings`] are the person's. All of it talks to the host
//! through [`host::Host`], so the tests play the host; `guest` is the real one.
//!
//! The API is described at <https://core.telegram.org/bots/api>.

pub mod addressed;
pub mod api;
pub mod ask;
pub mod contract;
pub mod files;
pub mod host;
pub mod incoming;
pub mod markup;
pub mod place;
pub mod register;
pub mod settings;
pub mod show;

#[cfg(target_arch = "wasm32")]
mod guest;
#[cfg(test)]
mod stage;
#[cfg(test)]
mod tests;
