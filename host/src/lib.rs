//! openpista-host: a small native host for an agent whose providers, channels and tools are WebAssembly components.

pub mod admin;
pub mod agent;
pub mod app;
pub mod author;
pub mod capability;
pub mod cli;
pub mod config;
pub mod failpoint;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
pub mod gateway;
pub mod grant;
pub mod home;
pub mod install;
pub mod live;
pub mod message;
pub mod models;
pub mod output;
pub mod plugin;
pub mod runtime;
pub mod session;
pub mod skill;
pub mod store;
pub mod transport;
pub mod wit;
