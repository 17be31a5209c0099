//! Asks for the shell, and so waits for the person's word.

#![cfg_attr(
    target_arch = "wasm32",
    allow(unsafe_code, missing_docs, reason = "generated: the calls over the boundary")
)]

#[cfg(target_arch = "wasm32")]
mod guest {
    wit_bindgen::generate!({ path: "wit", world: "guest-waiting", generate_all });

    use exports::openpista::plugin::manifest::{self, Manifest, Need};
    use exports::openpista::plugin::tools::{self, Invocation, ToolError};
    use openpista::shell::shell;
    use openpista::types::types::{Content, Output, ToolDefinition, ToolHints};

    struct Plugin;

    impl manifest::Guest for Plugin {
        fn describe() -> Manifest {
            Manifest {
                name: "tool-waiting".into(),
                version: "1.0.0".into(),
                summary: "Runs a script".into(),
                needs: vec![Need {
                    capability: "shell".into(),
                    scope: vec!["*".into()],
                    reason: "runs a script".into(),
                    optional: false,
                }],
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
                name: "waiting.run".into(),
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
