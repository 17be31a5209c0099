//! A tool that gives a picture back: the smallest PNG there is.

#![cfg_attr(
    target_arch = "wasm32",
    allow(unsafe_code, missing_docs, reason = "generated: the calls over the boundary")
)]

#[cfg(target_arch = "wasm32")]
mod guest {
    wit_bindgen::generate!({ path: "wit", world: "guest-picture", generate_all });

    use exports::openpista::plugin::manifest::{self, Manifest};
    use exports::openpista::plugin::tools::{self, Invocation, ToolError};
    use openpista::types::types::{Content, Media, ToolDefinition, ToolHints};

    /// One grey pixel.
    const PICTURE: [u8; 67] = [
        137, 80, 78, 71, 13, 10, 26, 10, 0, 0, 0, 13, 73, 72, 68, 82, 0, 0, 0, 1, 0, 0, 0, 1, 8, 0, 0, 0, 0, 58, 126,
        155, 85, 0, 0, 0, 10, 73, 68, 65, 84, 120, 156, 99, 104, 0, 0, 0, 130, 0, 129, 119, 205, 114, 182, 0, 0, 0, 0,
        73, 69, 78, 68, 174, 66, 96, 130,
    ];

    struct Plugin;

    impl manifest::Guest for Plugin {
        fn describe() -> Manifest {
            Manifest {
                name: "tool-picture".into(),
                version: "1.0.0".into(),
                summary: "Draws".into(),
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
                name: "picture.draw".into(),
                description: "Draws a picture.".into(),
                parameters: r#"{"type":"object"}"#.into(),
                hints: ToolHints::READ_ONLY,
            }])
        }

        fn call(_call: Invocation) -> Result<Vec<Content>, ToolError> {
            let picture = Media { mime: "image/png".into(), name: Some("pixel.png".into()), data: PICTURE.to_vec() };
            Ok(vec![Content::Text("drawn".into()), Content::Media(picture)])
        }
    }

    export!(Plugin);
}
