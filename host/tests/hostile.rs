//! Hostile guests in the real host: each attack with the mechanism that stops it, and a harmless tool that goes on
//! working meanwhile. The guests are in `guests/`; `cargo xtask test` builds them.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "clippy.toml exempts test functions only, and this file is nothing but a test"
)]

#[path = "hostile/aside.rs"]
mod aside;
#[path = "hostile/bad_files.rs"]
mod bad_files;
#[path = "hostile/bench.rs"]
mod bench;
#[path = "hostile/channel.rs"]
mod channel;
#[path = "hostile/conversations.rs"]
mod conversations;
#[path = "hostile/exhaustion.rs"]
mod exhaustion;
#[path = "hostile/grants.rs"]
mod grants;
#[path = "hostile/ledger.rs"]
mod ledger;
#[path = "hostile/over_time.rs"]
mod over_time;
#[path = "hostile/posing.rs"]
mod posing;
#[path = "hostile/reach.rs"]
mod reach;
#[path = "hostile/wasi_http.rs"]
mod wasi_http;
