//! A provider component as the agent's [`Provider`] port.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio_util::sync::CancellationToken;
use wasmtime::component::Resource;

use super::convert;
use super::instance::{Around, Host, Instance};
use crate::agent::ports::{Completion, Deltas, Provider, ProviderError, Request};
use crate::capability::deltas::Sink;
use crate::failpoint::failpoint;
use crate::runtime::CallError;
use crate::wit::role::provider as wit;

/// The turn's clock ends a slow answer; this ends one that nobody waits for.
const COMPLETE: Duration = Duration::from_secs(3600);
const MODELS: Duration = Duration::from_secs(30);

/// One provider instance.
pub struct ProviderInstance {
    /// What runs.
    pub instance: Arc<Instance>,
    /// With what.
    pub host: Arc<Host>,
}

fn missing() -> wasmtime::Error {
    wasmtime::Error::msg("it is no provider")
}

fn broke(error: &CallError) -> ProviderError {
    match error {
        // Asking it again is no use: the next model is asked at once.
        CallError::Aside { .. } => ProviderError::SetAside(error.to_string()),
        error => ProviderError::Other(error.to_string()),
    }
}

impl ProviderInstance {
    /// The models on offer.
    pub async fn models(&self) -> Result<Vec<wit::Model>, ProviderError> {
        let around = Around { operation: "provider.models", ..Around::default() };
        let answer = self
            .instance
            .call(&self.host, around, MODELS, async |store, instance, exports| {
                let guest = exports.provider.as_ref().ok_or_else(missing)?.load(&mut *store, instance)?;
                guest.call_models(store).await
            })
            .await;
        match answer {
            Ok((models, _)) => models.map_err(convert::provider_error_in),
            Err(error) => Err(broke(&error)),
        }
    }
}

#[async_trait]
impl Provider for ProviderInstance {
    fn instance(&self) -> &str {
        &self.instance.name
    }

    async fn complete(
        &self,
        request: Request,
        deltas: Deltas,
        cancel: CancellationToken,
    ) -> Result<Completion, ProviderError> {
        let around = Around {
            operation: "provider.complete",
            session: Some(request.cache_key.clone()),
            // A session whose request breaks it again and again is one cause.
            cause: convert::cause([&request.cache_key]),
            cancel: cancel.clone(),
            ..Around::default()
        };
        let request = convert::request_out(&self.instance.name, request);
        failpoint("model.before-ask");
        let answer = self
            .instance
            .call(&self.host, around, COMPLETE, async |store, instance, exports| {
                let guest = exports.provider.as_ref().ok_or_else(missing)?.load(&mut *store, instance)?;
                let sink = store.data_mut().table().push(Sink::new(deltas, cancel))?;
                let lent = Resource::new_borrow(sink.rep());
                let answer = guest.call_complete(&mut *store, &request, lent).await?;
                store.data_mut().table().delete(sink)?;
                Ok(answer)
            })
            .await;
        failpoint("model.after-answer");
        match answer {
            Ok((answer, _)) => answer
                .map(|completion| convert::completion_in(&self.instance.name, completion))
                .map_err(convert::provider_error_in),
            Err(error) => Err(broke(&error)),
        }
    }
}
