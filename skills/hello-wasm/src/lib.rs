//! A skill in WebAssembly: the tool `hello.greet`, which greets a person by name.
//!
//! It imports no capability, so it works the moment its `.wasm` lies in `~/.openpista/plugins/`. Build it with
//! `cargo component build --release`, or with `cargo build --release --target wasm32-wasip2`.
//!
//! [`greet`] is the tool; the rest is what every tool plugin has: `describe` says what it is, `definitions` what the
//! model may call, `call` does it.

/// The contract's types, generated from `wit/`.
#[allow(unsafe_code, missing_docs, clippy::all, reason = "generated code")]
pub mod bindings {
    wit_bindgen::generate!({ path: "wit", world: "hello-wasm", generate_all });

    #[cfg(target_arch = "wasm32")]
    use crate::HelloWasm;
    #[cfg(target_arch = "wasm32")]
    export!(HelloWasm with_types_in self);
}

use bindings::exports::openpista::plugin::manifest::{self, Manifest};
use bindings::exports::openpista::plugin::tools::{self, Invocation, ToolError};
use bindings::openpista::types::types::{Content, ToolDefinition, ToolHints};
use serde_json::{Value, json};

/// The tool's name.
pub const NAME: &str = "hello.greet";

/// What the host calls.
pub struct HelloWasm;

impl manifest::Guest for HelloWasm {
    fn describe() -> Manifest {
        Manifest {
            name: env!("CARGO_PKG_NAME").into(),
            version: env!("CARGO_PKG_VERSION").into(),
            summary: env!("CARGO_PKG_DESCRIPTION").into(),
            needs: Vec::new(),
            secrets: Vec::new(),
            settings: None,
            presets: Vec::new(),
            about: vec![("licence".into(), env!("CARGO_PKG_LICENSE").into())],
        }
    }
}

impl tools::Guest for HelloWasm {
    fn definitions() -> Result<Vec<ToolDefinition>, ToolError> {
        Ok(vec![ToolDefinition {
            name: NAME.into(),
            description: "Greets a person by name.".into(),
            parameters: json!({
                "type": "object",
                "additionalProperties": false,
                "required": ["name"],
                "properties": {
                    "name": {"type": "string", "minLength": 1, "description": "Who is greeted."}
                }
            })
            .to_string(),
            hints: ToolHints::READ_ONLY | ToolHints::IDEMPOTENT,
        }])
    }

    fn call(call: Invocation) -> Result<Vec<Content>, ToolError> {
        if call.name != NAME {
            return Err(ToolError::InvalidArguments(format!("there is no tool {} here, only {NAME}", call.name)));
        }
        greet(&call.arguments).map(|text| vec![Content::Text(text)]).map_err(ToolError::InvalidArguments)
    }
}

/// The greeting for `{"name": "…"}`, or what is wrong with the arguments.
pub fn greet(arguments: &str) -> Result<String, String> {
    let value: Value = serde_json::from_str(arguments).map_err(|error| format!("the arguments are no JSON: {error}"))?;
    match value.get("name").and_then(Value::as_str).map(str::trim) {
        Some(name) if !name.is_empty() => Ok(format!("Hello, {name}!")),
        _ => Err("`name` must say who is greeted".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_greeted() {
        assert_eq!(greet(r#"{"name":" Ada "}"#), Ok("Hello, Ada!".into()));
    }

    #[test]
    fn a_missing_name_is_named() {
        assert_eq!(greet("{}"), Err("`name` must say who is greeted".into()));
        assert_eq!(greet(r#"{"name":7}"#), Err("`name` must say who is greeted".into()));
        assert!(greet("{").is_err_and(|why| why.starts_with("the arguments are no JSON: ")));
    }
}
