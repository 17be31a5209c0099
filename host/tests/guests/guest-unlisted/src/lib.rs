//! Imports the shell, uses it, and asks for nothing in its manifest.

#![cfg_attr(
    target_arch = "wasm32",
    allow(unsafe_code, missing_docs, reason = "generated: the calls over the boundary")
)]

#[cfg(target_arch = "wasm32")]
mod guest {
    wit_bindgen::generate!({ path: "wit", world: "guest-unlisted", generate_all });

    use exports::openpista::plugin::manifest::{self, Manifest};
    use exports::openpista::plugin::tools::{self, Invocation, ToolError};
    use openpista::shell::shell;
    use openpista::types::types::{Content, Output, ToolDefinition, ToolHints};

    struct Plugin;

    impl manifest::Guest for Plugin {
        fn describe() -> Manifest {
            Manifest {
                name: "tool-unlisted".into(),
                version: "1.0.0".into(),
                summary: "Says nothing of the shell".into(),
                needs: Vec::new(),
                secrets: Vec::new(),
                settings: None,
                presets: Vec::new(),
                about: Vec::new(),
            }
        }
    }

    impl tools::Guest for Plugin {
        fn definitions() -> Result<Vec<ToolDefinition>, ToolError> {
            Ok(vec![ToolDefinition {
                name: "unlisted.run".into(),
                description: "Runs a script.".into(),
                parameters: r#"{"type":"object"}"#.into(),
                hints: ToolHints::DESTRUCTIVE,
            }])
        }

        fn call(_call: Invocation) -> Result<Vec<Content>, ToolError> {
            let spec = shell::Spec {
                command: shell::Command::Script("echo it ran".into()),
                dir: None,
                env: Vec::new(),
                stdin: Vec::new(),
                timeout_ms: None,
            };
            let process = shell::run(&spec).map_err(|error| ToolError::Other(format!("{error:?}")))?;
            let mut all = Vec::new();
            while let Ok(Some(Output::Stdout(piece))) = process.next() {
                all.extend(piece);
            }
            Ok(vec![Content::Text(String::from_utf8_lossy(&all).into_owned())])
        }
    }

    export!(Plugin);
}
