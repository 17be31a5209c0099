//! For the tests of messengers' channels: the model's service, a home, servers of a messenger, and a trial that kills the
//! host again and again.

#![allow(dead_code, reason = "each test crate uses its part of it")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "clippy exempts only functions that are tests themselves, not what they share"
)]

pub mod crabline;
pub mod home;
pub mod kills;
pub mod model;
pub mod service;
