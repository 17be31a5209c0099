//! Asks with WASI's own HTTP, as a language's `fetch` does, and never with the contract's.

#![cfg_attr(
    target_arch = "wasm32",
    allow(unsafe_code, missing_docs, reason = "generated: the calls over the boundary")
)]

#[cfg(target_arch = "wasm32")]
mod fetch;

#[cfg(target_arch = "wasm32")]
mod guest {
    wit_bindgen::generate!({ path: "wit", world: "guest-wasi-http", generate_all });

    use std::hint::black_box;

    use exports::openpista::plugin::manifest::{self, Manifest, Need, Place, Secret, SecretUse};
    use exports::openpista::plugin::tools::{self, Invocation, ToolError};
    use openpista::secrets::secrets;
    use openpista::types::types::{Content, ToolDefinition, ToolHints};
    use serde_json::Value;

    use crate::fetch::fetch;

    /// Tests write other ends over both: then it imports what it does not ask for, or asks while it describes itself.
    const ASKS_FOR: &str = "the-manifest-asks-for-http";
    const DESCRIBES: &str = "and-while-it-describes-itself-it-is-pure";

    struct Plugin;

    impl manifest::Guest for Plugin {
        fn describe() -> Manifest {
            if !black_box(DESCRIBES).ends_with("pure") {
                fetch("http://localhost/", "GET", "", None);
            }
            let need = Need {
                capability: "http".into(),
                scope: vec!["*".into()],
                reason: "to ask with".into(),
                optional: false,
            };
            let header = SecretUse::Header(Place { audience: "{server}".into(), name: "authorization".into() });
            Manifest {
                name: "tool-wasi-http".into(),
                version: "1.0.0".into(),
                summary: "Asks with WASI's own HTTP".into(),
                needs: if black_box(ASKS_FOR).ends_with("http") { vec![need] } else { Vec::new() },
                secrets: vec![Secret {
                    name: "key".into(),
                    title: "The key".into(),
                    uses: vec![header],
                    optional: true,
                }],
                settings: Some(r#"{"type":"object","properties":{"server":{"type":"string"}}}"#.into()),
                presets: Vec::new(),
                about: Vec::new(),
            }
        }
    }

    impl tools::Guest for Plugin {
        fn definitions() -> Result<Vec<ToolDefinition>, ToolError> {
            Ok(vec![ToolDefinition {
                name: "wasi.fetch".into(),
                description: "Asks a server.".into(),
                parameters: r#"{"type":"object"}"#.into(),
                hints: ToolHints::OPEN_WORLD,
            }])
        }

        fn call(call: Invocation) -> Result<Vec<Content>, ToolError> {
            let arguments: Value = serde_json::from_str(&call.arguments).unwrap_or_default();
            let text = |key: &str| arguments.get(key).and_then(Value::as_str).unwrap_or_default();
            let secret = match text("secret") {
                "yes" => secrets::stand_in("key").map(|text| Some(format!("Bearer {text}"))),
                _ => Ok(None),
            };
            let secret = secret.map_err(|error| ToolError::Other(format!("{error:?}")))?;
            let told = fetch(text("url"), text("method"), text("body"), secret.as_deref());
            Ok(vec![Content::Text(told)])
        }
    }

    export!(Plugin);
}
