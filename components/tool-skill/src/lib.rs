//! `tool-skill`: a tool for each skill that can be run, and `skill.read` for the texts of all.
//!
//! Which skills there are is the host's to say, over the capability [`skill`](contract::openpista::skill::skill).
//! [`offer`] makes tools of the list and understands their calls, [`report`] writes what the model reads of a run,
//! `guest` ties them to the exports.

pub mod contract;
pub mod offer;
pub mod report;

#[cfg(target_arch = "wasm32")]
mod guest;
