//! The contract's types, generated from `wit/`.

#![allow(unsafe_code, missing_docs, reason = "generated: the calls over the component boundary are unsafe")]

wit_bindgen::generate!({
    path: "wit",
    world: "tool-skill",
    generate_all,
    additional_derives: [PartialEq, Clone],
});

#[cfg(target_arch = "wasm32")]
use crate::guest::Plugin;

#[cfg(target_arch = "wasm32")]
export!(Plugin with_types_in crate::contract);
