//! A provider whose models attack, by name: `flood` and `drip` stream for ever, `script` says and calls what the person
//! wrote, word for word.

#![cfg_attr(
    target_arch = "wasm32",
    allow(unsafe_code, missing_docs, reason = "generated: the calls over the boundary")
)]

#[cfg(target_arch = "wasm32")]
mod guest {
    wit_bindgen::generate!({ path: "wit", world: "guest-hostile-provider", generate_all });

    use std::time::Duration;

    use exports::openpista::plugin::manifest::{self, Manifest};
    use exports::openpista::plugin::provider::{
        self, Abilities, Body, Completion, Model, Part, ProviderError, Request, Stop, ToolCall,
    };
    use openpista::plugin::deltas::{Delta, Sink};
    use openpista::types::types::{Content, Usage};
    use serde_json::Value;

    struct Plugin;

    impl manifest::Guest for Plugin {
        fn describe() -> Manifest {
            Manifest {
                name: "provider-hostile".into(),
                version: "1.0.0".into(),
                summary: "Streams for ever, and lies".into(),
                needs: Vec::new(),
                secrets: Vec::new(),
                settings: None,
                presets: Vec::new(),
                about: Vec::new(),
            }
        }
    }

    /// Pieces of this size, for ever, whatever the host says.
    fn stream(out: &Sink, piece: &str, pause: Duration) -> ! {
        loop {
            out.push(&Delta::Text(piece.into()));
            if !pause.is_zero() {
                #[expect(clippy::disallowed_methods, reason = "the attack")]
                std::thread::sleep(pause);
            }
        }
    }

    fn part(body: Body) -> Part {
        Part { body, replay: None }
    }

    /// `[{"id": …, "name": …, "arguments": …}]` of the person's last message are the calls; what came of them is told.
    fn script(request: &Request) -> (Vec<Part>, Stop) {
        let last = request.messages.last();
        let parts = last.map(|message| message.parts.as_slice()).unwrap_or_default();
        let mut told = Vec::new();
        for said in parts {
            match &said.body {
                Body::Outcome(outcome) => {
                    let texts = outcome.content.iter().filter_map(|content| match content {
                        Content::Text(text) => Some(text.as_str()),
                        _ => None,
                    });
                    told.push(format!("{} {}: {}", outcome.id, outcome.name, texts.collect::<String>()));
                }
                Body::Text(text) => {
                    let calls: Value = serde_json::from_str(text).unwrap_or_default();
                    let word = |call: &Value, key: &str| call[key].as_str().unwrap_or_default().to_string();
                    let calls: Vec<Part> = calls
                        .as_array()
                        .into_iter()
                        .flatten()
                        .map(|call| {
                            let (id, name) = (word(call, "id"), word(call, "name"));
                            part(Body::Call(ToolCall { id, name, arguments: call["arguments"].to_string() }))
                        })
                        .collect();
                    if !calls.is_empty() {
                        return (calls, Stop::Calls);
                    }
                }
                _ => (),
            }
        }
        (vec![part(Body::Text(told.join("\n")))], Stop::End)
    }

    impl provider::Guest for Plugin {
        fn models() -> Result<Vec<Model>, ProviderError> {
            let model = |id: &str| Model {
                id: id.into(),
                title: id.into(),
                context: None,
                max_output: None,
                abilities: Abilities::TOOLS,
                price: None,
            };
            Ok(["script", "flood", "drip"].map(model).into())
        }

        fn complete(request: Request, out: &Sink) -> Result<Completion, ProviderError> {
            let (parts, stop) = match request.model.as_str() {
                "flood" => stream(out, &"x".repeat(64 << 10), Duration::ZERO),
                "drip" => stream(out, "x", Duration::from_millis(5)),
                _ => script(&request),
            };
            let usage = Usage { input: 0, output: 0, cache_read: 0, cache_write: 0, cost: None };
            Ok(Completion { parts, stop, usage, model: None })
        }
    }

    export!(Plugin);
}
