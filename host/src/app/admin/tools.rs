//! Tools of installed plugins, called by hand: with their own grants, settings and secrets, and nothing kept.

use std::sync::Arc;

use super::Admin;
use crate::admin::{Refusal, Response, ResponseSink};
use crate::agent::arguments::Schemas;
use crate::author::run::{Call, call, find};
use crate::author::{Notes, shadow};
use crate::message::{ToolDefinition, new_id};
use crate::plugin::instance::{Host, Instance};
use crate::plugin::registry::RoleKind;
use crate::plugin::tools::offered;
use crate::runtime::fixed::Fixed;

impl Admin {
    /// The tools instance of that name, or of the plugin of that name.
    fn tools_instance(&self, name: &str) -> Result<Arc<Instance>, Refusal> {
        let snapshot = self.0.registry.snapshot();
        if let Some(instance) = snapshot.get(RoleKind::Tools, name) {
            return Ok(Arc::clone(instance));
        }
        if let Some(instance) = snapshot.of(RoleKind::Tools).find(|instance| instance.plugin.manifest.name == name) {
            return Ok(Arc::clone(instance));
        }
        let idle = snapshot.idle.iter().find(|idle| idle.name == name || idle.plugin == name);
        if let Some(idle) = idle {
            let refused = format!("{name} does not work now: {}", idle.reason);
            return Err(if idle.waiting.is_empty() { Refusal::failed(refused) } else { Refusal::denied(refused) });
        }
        let plugin = self.named(name)?;
        let (role, instead) = if plugin.shape.provider() {
            ("a provider", "ask it with: openpista-host run -e TEXT --model INSTANCE/MODEL")
        } else {
            ("a channel", "see how it stands with: openpista-host channel status")
        };
        Err(Refusal::invalid(format!("{name} is {role}, and `plugin run` calls tools; {instead}")))
    }

    pub(super) async fn tools_of(&self, name: &str) -> Result<Vec<ToolDefinition>, Refusal> {
        let instance = self.tools_instance(name)?;
        let offered = offered(self.0.registry.host(), &instance).await;
        offered.map(|(tools, _)| tools).map_err(|why| Refusal::failed(format!("{name} does not name its tools: {why}")))
    }

    pub(super) async fn call_tool(
        &self,
        name: &str,
        tool: String,
        arguments: String,
        deterministic: bool,
        out: &ResponseSink,
    ) -> Result<(), Refusal> {
        let instance = self.tools_instance(name)?;
        let tools = self.tools_of(name).await?;
        let known = find(&tools, &tool).map_err(Refusal::not_found)?;
        let arguments = Schemas::default().check(&arguments, &known.parameters).map_err(Refusal::invalid)?;
        let (host, notes) = (self.0.registry.host(), Arc::new(Notes::default()));
        let apart =
            Host { runtime: Arc::clone(&host.runtime), services: Arc::new(shadow(&host.services, Arc::clone(&notes))) };
        let (said, mut heard) = tokio::sync::mpsc::channel(16);
        let request = Call {
            tool: tool.clone(),
            arguments,
            id: None,
            session: format!("by-hand-{}", new_id()),
            // What nobody takes in time is not worth waiting for.
            progress: Arc::new(move |line| drop(said.try_send(line))),
            cancel: out.gone().clone(),
            fixed: deterministic.then(Fixed::default),
        };
        let running = call(&apart, &instance, request);
        tokio::pin!(running);
        let done = loop {
            tokio::select! {
                done = &mut running => break done,
                Some(line) = heard.recv() => out.send(Response::Progress(self.0.known.cleaned(line))).await?,
            }
        };
        out.send(Response::Called(done.told(&self.0.known, &tool, &notes))).await?;
        Ok(())
    }
}
