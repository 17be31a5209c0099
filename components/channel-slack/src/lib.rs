//! `channel-slack`: chats with a Slack app.
//!
//! [`incoming`] takes what Slack brings, over a socket or as signed requests: messages, pressed buttons, slash commands.
//! [`addressed`] says which messages of a channel are for the bot, [`said`] reads their markup. [`show`] shows replies,
//! growing ones by editing, and files; [`ask`] shows questions with buttons; [`files`] fetches what came with a message.
//! [`register`] opens the connection and looks whether the token is good. [`api`] is the one way to the Web API and reads
//! its errors, [`markup`] writes messages, [`place`] names conversations, [`settings`] are the person's. All of it talks
//! to the host through [`host::Host`], so the tests play the host; `guest` is the real one.
//!
//! The API is described at <https://docs.slack.dev>.

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
pub mod said;
pub mod settings;
pub mod show;

#[cfg(target_arch = "wasm32")]
mod guest;
#[cfg(test)]
mod stage;
#[cfg(test)]
mod tests;
