//! `channel-web`: chat in a browser. The page and the websocket both come from this component; the sockets are the
//! host's.
//!
//! [`pages`] answers HTTP: the page, its files, and `POST /auth`. [`sign_in`] turns the token of the printed link into
//! a cookie and knows a cookie again. [`web`] is the protocol of the websocket, one JSON object a frame (docs in
//! `docs/components.md`); [`frames`] writes what the page reads. All of it talks to the host through [`host::Host`],
//! so the tests play the host; `guest` is the real one. The page itself lies in `page/`.

pub mod contract;
pub mod frames;
pub mod host;
pub mod pages;
pub mod sign_in;
pub mod web;

#[cfg(target_arch = "wasm32")]
mod guest;
