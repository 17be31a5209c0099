//! A plugin that is kept: a tool that counts, in the state of its instance.

/// The contract's types, generated from the kept WIT.
#[allow(unsafe_code, missing_docs, clippy::all, reason = "generated code")]
pub mod bindings {
    wit_bindgen::generate!({ path: "wit", world: "guest", generate_all });

    use crate::Plugin;
    export!(Plugin with_types_in self);
}

use bindings::exports::openpista::plugin::manifest::{self, Manifest};
use bindings::exports::openpista::plugin::tools::{self, Invocation, ToolError};
use bindings::openpista::log::log::{Level, log};
use bindings::openpista::plugin::progress::report;
use bindings::openpista::types::types::{Content, ToolDefinition, ToolHints};
use bindings::openpista::{settings::settings, state::state};
use serde_json::{Value, json};

const NAME: &str = "kept-rust.count";

/// What the host calls.
pub struct Plugin;

impl manifest::Guest for Plugin {
    fn describe() -> Manifest {
        let schema = json!({
            "type": "object",
            "additionalProperties": false,
            "properties": {"unit": {"type": "string", "default": "times"}}
        });
        Manifest {
            name: env!("CARGO_PKG_NAME").into(),
            version: env!("CARGO_PKG_VERSION").into(),
            summary: env!("CARGO_PKG_DESCRIPTION").into(),
            needs: Vec::new(),
            secrets: Vec::new(),
            settings: Some(schema.to_string()),
            presets: Vec::new(),
            about: vec![("licence".into(), env!("CARGO_PKG_LICENSE").into())],
        }
    }
}

impl tools::Guest for Plugin {
    fn definitions() -> Result<Vec<ToolDefinition>, ToolError> {
        let parameters = json!({
            "type": "object",
            "additionalProperties": false,
            "required": ["by"],
            "properties": {"by": {"type": "integer"}}
        });
        Ok(vec![ToolDefinition {
            name: NAME.into(),
            description: "Counts up.".into(),
            parameters: parameters.to_string(),
            hints: ToolHints::READ_ONLY,
        }])
    }

    fn call(call: Invocation) -> Result<Vec<Content>, ToolError> {
        let failed = |what: String| ToolError::Other(what);
        let arguments: Value = serde_json::from_str(&call.arguments).map_err(|error| failed(error.to_string()))?;
        let settings: Value = serde_json::from_str(&settings::get()).map_err(|error| failed(error.to_string()))?;
        let by = arguments["by"].as_i64().unwrap_or_default();
        if by < 0 {
            return Err(ToolError::InvalidArguments("it counts up only".into()));
        }
        let before = state::get("count").map_err(|error| failed(format!("{error:?}")))?.unwrap_or_default();
        let count = String::from_utf8_lossy(&before).parse::<i64>().unwrap_or_default() + by;
        state::set("count", count.to_string().as_bytes()).map_err(|error| failed(format!("{error:?}")))?;
        log(Level::Info, &format!("counted to {count}"));
        report("counting");
        let unit = settings["unit"].as_str().unwrap_or_default();
        Ok(vec![Content::Text(format!("{count} {unit}")), Content::Json(json!({"count": count}).to_string())])
    }
}
