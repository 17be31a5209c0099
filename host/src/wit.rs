//! The contract as Rust: everything that `bindgen!` makes of `wit/`, in one place.
//!
//! Imports (what guests call) become `Host` traits that `capability` implements; exports (what the host calls) become
//! `GuestIndices` that `plugin` finds by interface, so that an optional ability needs no flag. The only names from our
//! own code are the types behind the contract's resources.

#![allow(missing_docs, clippy::all)]

wasmtime::component::bindgen!({
    path: "../wit",
    world: "host",
    imports: { default: async | trappable },
    exports: { default: async },
    additional_derives: [Clone, PartialEq],
    with: {
        "openpista:http/client.incoming": crate::capability::http::Incoming,
        "openpista:plugin/deltas.sink": crate::capability::deltas::Sink,
        "openpista:shell/shell.process": crate::capability::shell::Process,
    },
});

pub use exports::openpista::plugin as role;
pub use openpista::types::types;
