//! The exports: the only part that runs in the host alone.

use crate::arguments::{Arguments, NAME, Settings, definition};
use crate::contract::exports::openpista::plugin::manifest::{self, Manifest, Need};
use crate::contract::exports::openpista::plugin::tools::{self, Invocation, ToolError};
use crate::contract::openpista::plugin::progress;
use crate::contract::openpista::settings::settings;
use crate::contract::openpista::shell::shell;
use crate::contract::openpista::types::types::{Content, ToolDefinition};
use crate::run::{follow, refusal};

/// What the host calls.
pub struct Plugin;

impl manifest::Guest for Plugin {
    fn describe() -> Manifest {
        Manifest {
            name: env!("CARGO_PKG_NAME").into(),
            version: env!("CARGO_PKG_VERSION").into(),
            summary: "Runs commands on this machine".into(),
            needs: vec![Need {
                capability: "shell".into(),
                scope: vec!["*".into()],
                reason: "runs the commands that the model asks for".into(),
                optional: false,
            }],
            secrets: Vec::new(),
            settings: Some(Settings::schema().to_string()),
            presets: Vec::new(),
            about: vec![("licence".into(), env!("CARGO_PKG_LICENSE").into())],
        }
    }
}

impl tools::Guest for Plugin {
    fn definitions() -> Result<Vec<ToolDefinition>, ToolError> {
        Ok(vec![definition(&Settings::parse(&settings::get()))])
    }

    fn call(call: Invocation) -> Result<Vec<Content>, ToolError> {
        if call.name != NAME {
            return Err(ToolError::InvalidArguments(format!("there is no tool {} here, only {NAME}", call.name)));
        }
        let settings = Settings::parse(&settings::get());
        let arguments = Arguments::parse(&call.arguments, &settings)?;
        let process = shell::run(&arguments.spec()).map_err(refusal)?;
        follow(&arguments, &settings, || process.next(), progress::report)
    }
}
