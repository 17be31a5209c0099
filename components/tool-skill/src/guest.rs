//! The exports: the only part that runs in the host alone.

use crate::contract::exports::openpista::plugin::manifest::{self, Manifest, Need};
use crate::contract::exports::openpista::plugin::tools::{self, Invocation, ToolError};
use crate::contract::openpista::skill::skill;
use crate::contract::openpista::types::types::{Content, ToolDefinition};
use crate::offer::{Asked, asked, definitions};
use crate::report::{refusal, result};

/// What the host calls.
pub struct Plugin;

impl manifest::Guest for Plugin {
    fn describe() -> Manifest {
        Manifest {
            name: env!("CARGO_PKG_NAME").into(),
            version: env!("CARGO_PKG_VERSION").into(),
            summary: "Reads skills and runs those in WebAssembly".into(),
            needs: vec![Need {
                capability: "skill".into(),
                scope: vec!["*".into()],
                reason: "reads skills for the model and runs them in a sandbox".into(),
                optional: false,
            }],
            secrets: Vec::new(),
            settings: None,
            presets: Vec::new(),
            about: vec![("licence".into(), env!("CARGO_PKG_LICENSE").into())],
        }
    }
}

impl tools::Guest for Plugin {
    fn definitions() -> Result<Vec<ToolDefinition>, ToolError> {
        Ok(definitions(&skill::all()))
    }

    fn call(call: Invocation) -> Result<Vec<Content>, ToolError> {
        match asked(&skill::all(), &call.name, &call.arguments)? {
            Asked::Read(name, file) => {
                let text = skill::read(&name, file.as_deref()).map_err(|error| refusal(&call.name, error))?;
                Ok(vec![Content::Text(text)])
            }
            Asked::Run(run) => result(skill::run(&run).map_err(|error| refusal(&call.name, error))?),
        }
    }
}
