//! The turn: model → tool calls → results → model → reply.

pub mod ports;
