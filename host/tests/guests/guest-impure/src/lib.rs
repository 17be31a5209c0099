//! Reads its state while it describes itself.

#![cfg_attr(
    target_arch = "wasm32",
    allow(unsafe_code, missing_docs, reason = "generated: the calls over the boundary")
)]

#[cfg(target_arch = "wasm32")]
mod guest {
    wit_bindgen::generate!({ path: "wit", world: "guest-impure", generate_all });

    use exports::openpista::plugin::manifest::{self, Manifest};
    use exports::openpista::plugin::tools::{self, Invocation, ToolError};
    use openpista::types::types::{Content, ToolDefinition};

    struct Plugin;

    impl manifest::Guest for Plugin {
        fn describe() -> Manifest {
            Manifest {
                name: "tool-impure".into(),
                version: "1.0.0".into(),
                summary: format!("{:?}", openpista::state::state::get("a key")),
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
            Ok(Vec::new())
        }

        fn call(_call: Invocation) -> Result<Vec<Content>, ToolError> {
            Ok(vec![Content::Text("never called".into())])
        }
    }

    export!(Plugin);
}
