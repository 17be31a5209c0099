//! For plugins of your own, in Rust: a trait for each role, and a macro that makes a component of it.
//!
//! Enable the feature of the role: `tools` or `provider`. `docs/sdk.md` is the guide; its code is run by the tests.
//!
//! - [`Tool`] and [`export_tools!`](crate::export_tools): tools whose schemas are made from Rust types.
//! - [`Provider`] and [`export_provider!`](crate::export_provider): a model's API.
//! - [`About`] is what a plugin says of itself.
//! - [`Host`] is what it can ask of the host; [`Mock`] plays the host in `cargo test`.
//! - [`http`] asks others, and reads answers whole, as JSON, or event by event.

mod about;
mod host;
pub mod http;
mod mock;
#[cfg(feature = "provider")]
mod provider;
#[cfg(feature = "tools")]
mod tool;

/// The contract's types, generated from its WIT. For what has no shorter way here.
#[allow(
    unsafe_code,
    missing_docs,
    clippy::all,
    clippy::pedantic,
    reason = "generated: the calls over the component boundary are unsafe"
)]
pub mod bindings {
    /// What plugins import.
    pub mod capabilities {
        wit_bindgen::generate!({
            path: "wit",
            world: "capabilities",
            generate_all,
            additional_derives: [PartialEq, Clone],
        });
    }

    /// What every plugin exports.
    pub mod describe {
        wit_bindgen::generate!({
            path: "wit",
            world: "describe",
            pub_export_macro: true,
            with: {
                "openpista:types/types@0.1.0": crate::sdk::bindings::capabilities::openpista::types::types,
                "openpista:plugin/manifest@0.1.0": generate,
            },
            additional_derives: [PartialEq, Clone],
        });
    }

    /// What plugins with tools export.
    #[cfg(feature = "tools")]
    pub mod tools {
        wit_bindgen::generate!({
            path: "wit",
            world: "tools",
            pub_export_macro: true,
            with: {
                "openpista:types/types@0.1.0": crate::sdk::bindings::capabilities::openpista::types::types,
                "openpista:plugin/tools@0.1.0": generate,
            },
            additional_derives: [PartialEq, Clone],
        });
    }

    /// What providers export.
    #[cfg(feature = "provider")]
    pub mod provider {
        wit_bindgen::generate!({
            path: "wit",
            world: "provider",
            pub_export_macro: true,
            with: {
                "openpista:types/types@0.1.0": crate::sdk::bindings::capabilities::openpista::types::types,
                "openpista:plugin/deltas@0.1.0": generate,
                "openpista:plugin/provider@0.1.0": generate,
            },
            additional_derives: [PartialEq, Clone],
        });
    }
}

pub use about::{About, Secret};
pub use bindings::capabilities::openpista::log::log::Level;
pub use bindings::capabilities::openpista::types::types::{
    Content, Error, Media, Signal, ToolDefinition, ToolHints, Usage,
};
pub use host::{Host, Incoming, Process, Real, settings};
pub use mock::{Answers, Mock};
#[cfg(feature = "provider")]
pub use provider::{Deltas, Provider, Pushed};
#[cfg(feature = "tools")]
pub use tool::{Answer, Offered, Tool, answer, definitions};

#[cfg(feature = "tools")]
pub use bindings::tools::exports::openpista::plugin::tools::ToolError;

/// For the macros, and for `#[schemars(crate = "…")]`.
pub use schemars;
/// For the macros.
pub use serde_json;

/// The JSON Schema of a type, without references, as models' services like it.
pub fn schema<T: schemars::JsonSchema>() -> serde_json::Value {
    let settings = schemars::generate::SchemaSettings::draft2020_12().with(|settings| {
        settings.meta_schema = None;
        settings.inline_subschemas = true;
    });
    let mut schema = settings.into_generator().into_root_schema_for::<T>().to_value();
    if let Some(object) = schema.as_object_mut() {
        // The name of a Rust type says nothing to a model. A type without fields is an object all the same.
        object.remove("title");
        object.entry("type").or_insert_with(|| "object".into());
        if object.get("type").and_then(serde_json::Value::as_str) == Some("object") {
            object.entry("properties").or_insert_with(|| serde_json::json!({}));
        }
    }
    schema
}

#[cfg(all(test, feature = "tools"))]
mod tests;
