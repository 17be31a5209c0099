//! openpista-host: a small native host for an agent whose providers, channels and tools are WebAssembly components.

pub mod agent;
pub mod capability;
pub mod grant;
pub mod message;
pub mod transport;
pub mod wit;
