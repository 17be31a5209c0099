//! The exports: the only part that runs in the host alone.

use crate::contract::exports::openpista::plugin::manifest::{self, Manifest, Preset};
use crate::contract::exports::openpista::plugin::provider::{self, Completion, Model, ProviderError, Request};
use crate::contract::openpista::plugin::deltas::Sink;
use crate::turn;

/// What the host calls.
pub struct Plugin;

impl manifest::Guest for Plugin {
    fn describe() -> Manifest {
        Manifest {
            name: env!("CARGO_PKG_NAME").into(),
            version: env!("CARGO_PKG_VERSION").into(),
            summary: "Answers by rules, without a model and without a network: for trying things out".into(),
            needs: Vec::new(),
            secrets: Vec::new(),
            settings: None,
            presets: vec![Preset {
                name: "demo".into(),
                title: "Demo (offline, no AI)".into(),
                settings: "{}".into(),
                environment: Vec::new(),
                probe: None,
                model: Some(turn::MODEL.into()),
                rank: 1,
            }],
            about: vec![("licence".into(), env!("CARGO_PKG_LICENSE").into())],
        }
    }
}

impl provider::Guest for Plugin {
    fn models() -> Result<Vec<Model>, ProviderError> {
        Ok(turn::models())
    }

    fn complete(request: Request, out: &Sink) -> Result<Completion, ProviderError> {
        Ok(turn::complete(&request, |delta| out.push(&delta)))
    }
}
