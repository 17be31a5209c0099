//! The next version of `guest-pure`: the same name, and wishes that it did not have before.

#![cfg_attr(
    target_arch = "wasm32",
    allow(unsafe_code, missing_docs, reason = "generated: the calls over the boundary")
)]

#[cfg(target_arch = "wasm32")]
mod guest {
    wit_bindgen::generate!({ path: "wit", world: "guest-grown", generate_all });

    use exports::openpista::plugin::manifest::{self, Manifest, Need, Place, Secret, SecretUse};
    use exports::openpista::plugin::tools::{self, Invocation, ToolError};
    use openpista::types::types::{Content, ToolDefinition, ToolHints};

    struct Plugin;

    impl manifest::Guest for Plugin {
        fn describe() -> Manifest {
            Manifest {
                name: "tool-pure-with-a-name-that-is-found-among-the-bytes".into(),
                version: "2.0.0".into(),
                summary: "Echoes".into(),
                needs: vec![Need {
                    capability: "http".into(),
                    scope: vec!["api.example.org".into()],
                    reason: "looks things up".into(),
                    optional: false,
                }],
                secrets: vec![Secret {
                    name: "key".into(),
                    title: "A key of example.org".into(),
                    uses: vec![SecretUse::Header(Place {
                        audience: "api.example.org".into(),
                        name: "authorization".into(),
                    })],
                    optional: true,
                }],
                settings: Some(r#"{"type":"object","properties":{"found-among-the-bytes":{"type":"string"}}}"#.into()),
                presets: Vec::new(),
                about: Vec::new(),
            }
        }
    }

    impl tools::Guest for Plugin {
        fn definitions() -> Result<Vec<ToolDefinition>, ToolError> {
            Ok(vec![ToolDefinition {
                name: "pure.echo".into(),
                description: "Gives its arguments back.".into(),
                parameters: r#"{"type":"object"}"#.into(),
                hints: ToolHints::READ_ONLY,
            }])
        }

        fn call(call: Invocation) -> Result<Vec<Content>, ToolError> {
            Ok(vec![Content::Text(call.arguments)])
        }
    }

    export!(Plugin);
}
