//! What commands ask of a host, answered from its parts.

mod channels;
pub(in crate::app) mod installing;
mod ledger;
mod plugins;
mod skills;
mod tools;

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::mpsc;

use super::shown::{aside_in_words, needs, roles, summary, tool_summary, turn_event};
use super::{App, joints};
use crate::admin::{
    Check, CheckStatus, Grant, Handler, ModelSummary, PluginSummary, Refusal, Request, Response, ResponseSink,
    Standing, Status, TurnEvent,
};
use crate::agent::event::Ending;
use crate::agent::ports::Toolbox as _;
use crate::message::{Decision, Inbound, Sender, new_id, now};
use crate::plugin::Plugin;
use crate::plugin::manifest::Need;
use crate::plugin::registry::{Broken, Idle, RoleKind, Snapshot};
use crate::session::{Catalogue as _, Key, Tapped};
use crate::store::{Granted, Session, StoreError};

/// The instance that sits at this machine: `run -e`.
const LOCAL: &str = "local";
const SEARCHED: usize = 1_000;
const PAGE: usize = 1_000;

/// Answers commands.
pub struct Admin(pub Arc<App>);

fn me() -> Sender {
    Sender { id: "local".into(), name: std::env::var("USER").unwrap_or_default() }
}

fn settled(in_time: bool) -> Result<(), Refusal> {
    if in_time { Ok(()) } else { Err(Refusal::not_found("that question is answered already, or its time is over")) }
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::NotFound { .. } => Self::not_found(error.to_string()),
            StoreError::Ambiguous { .. } => Self::invalid(error.to_string()),
            error => Self::failed(error.to_string()),
        }
    }
}

impl From<crate::admin::Gone> for Refusal {
    fn from(gone: crate::admin::Gone) -> Self {
        Self::failed(gone.to_string())
    }
}

#[async_trait]
impl Handler for Admin {
    async fn handle(&self, request: Request, out: ResponseSink) -> Result<(), Refusal> {
        let answered = self.answer(request, out).await;
        answered.map_err(|refusal| Refusal { message: self.0.known.cleaned(refusal.message), ..refusal })
    }
}

impl Admin {
    async fn answer(&self, request: Request, out: ResponseSink) -> Result<(), Refusal> {
        match request {
            Request::Status => out.send(Response::Status(self.status())).await?,
            Request::Say { text, session, model, yes } => self.say(text, session, model, yes, &out).await?,
            Request::Decide { approval, decision } => {
                settled(self.0.gateway.decide(approval, decision, me()).await?)?;
            }
            Request::Nobody { approval } => settled(self.0.gateway.nobody(approval).await?)?,
            Request::Stop { session } => self.stop(session, &out).await?,
            Request::Quit => self.0.quit.cancel(),
            Request::SessionList { query, limit } => self.session_list(query, limit, &out).await?,
            Request::SessionShow { session, last } => self.session_show(&session, last, &out).await?,
            Request::SessionDelete { session } => self.session_delete(&session, &out).await?,
            Request::PluginList => {
                for summary in self.plugins() {
                    out.send(Response::Plugin(Box::new(summary))).await?;
                }
            }
            Request::PluginInspect { name } => out.send(Response::Plugin(Box::new(self.plugin(&name)?))).await?,
            Request::PluginTools { name } => out.send(Response::Tools(self.tools_of(&name).await?)).await?,
            Request::PluginCall { name, tool, arguments, deterministic } => {
                self.call_tool(&name, tool, arguments, deterministic, &out).await?;
            }
            Request::PluginAllow { name, grants } => {
                out.send(Response::Plugin(Box::new(self.allow(&name, grants).await?))).await?;
            }
            Request::PluginDeny { name, grants } => {
                out.send(Response::Plugin(Box::new(self.deny(&name, grants).await?))).await?;
            }
            Request::SkillList | Request::SkillShow { .. } | Request::SkillCheck { .. } => {
                self.about_skills(request, &out).await?;
            }
            Request::Installing(wanted) => self.installing(wanted, &out).await?,
            Request::ModelList => self.models(&out).await?,
            Request::ChannelList { name } => self.channels(name.as_deref(), &out).await?,
            Request::ContactList { .. }
            | Request::ChannelPair { .. }
            | Request::ChannelAllow { .. }
            | Request::ChannelForget { .. }
            | Request::ChannelRestart { .. }
            | Request::ChannelSkip { .. } => self.about_contacts(request, &out).await?,
            Request::PluginResume { name } => self.resume(&name, &out).await?,
            Request::PluginLog { name, last, follow } => self.log(&name, last, follow, &out).await?,
            Request::LedgerShow { .. } => self.ledger(request, &out).await?,
            Request::LedgerVerify => {
                let found = self.ledger_verify().await?;
                out.send(found).await?;
            }
            Request::Doctor => {
                for check in self.doctor() {
                    out.send(Response::Check(check)).await?;
                }
            }
        }
        Ok(())
    }

    fn status(&self) -> Status {
        Status {
            version: env!("CARGO_PKG_VERSION").into(),
            pid: std::process::id(),
            started: self.0.started,
            address: self.0.open_address(),
            turns: self.0.sessions.busy(),
            aside: self.aside().into_iter().map(|(name, aside)| format!("{name}: {aside}")).collect(),
        }
    }

    /// The conversation of a session, made its current one; a new one without a session.
    async fn conversation(&self, session: Option<String>, model: Option<String>) -> Result<(Key, String), Refusal> {
        let model = match model {
            Some(typed) => Some(self.0.models.find(&typed).map_err(Refusal::not_found)?),
            None => None,
        };
        let found = match session {
            Some(prefix) => self.0.store.read(|tx| tx.session_find(&prefix))?,
            None => Session::new(LOCAL, &new_id(), me(), now()),
        };
        let key = Key { instance: found.instance.clone(), conversation: found.conversation.clone() };
        let id = found.id.clone();
        self.0
            .store
            .write(move |tx| {
                let current = tx.session_current(&found.instance, &found.conversation)?;
                if current.is_none_or(|current| current.id != found.id) {
                    tx.session_start(&found)?;
                }
                if let Some(model) = &model {
                    tx.session_change(&found.id, |session| session.model = Some(model.clone()))?;
                }
                Ok(())
            })
            .await?;
        Ok((key, id))
    }

    async fn say(
        &self,
        text: String,
        session: Option<String>,
        model: Option<String>,
        yes: bool,
        out: &ResponseSink,
    ) -> Result<(), Refusal> {
        if self.0.addresses.get().is_none() {
            // No daemon looked for them.
            self.0.look_for_skills().await;
        }
        let (key, session) = self.conversation(session, model).await?;
        out.send(Response::Turn(TurnEvent::Begin { session })).await?;
        let (said, mut heard) = mpsc::unbounded_channel();
        let id = new_id();
        let inbound = Inbound {
            instance: key.instance.clone(),
            id: id.clone(),
            conversation: key.conversation.clone(),
            sender: me(),
            text,
            attachments: Vec::new(),
            sent: now(),
            handle: None,
        };
        self.0.gateway.submit(inbound).await?;
        self.0.sessions.wake_with(
            &key,
            id,
            Arc::new(move |tapped| {
                // Nobody listens any more: the turn is being cancelled.
                let _ = said.send(tapped);
            }),
        );
        loop {
            let tapped = tokio::select! {
                () = out.gone().cancelled() => {
                    self.0.sessions.cancel(&key);
                    return Ok(());
                }
                tapped = heard.recv() => tapped.ok_or_else(|| Refusal::failed("the host is ending"))?,
            };
            let event = match tapped {
                Tapped::Ask(approval) if yes => {
                    self.0.gateway.decide(approval.id, Decision::AllowOnce, me()).await?;
                    continue;
                }
                Tapped::Ask(approval) => TurnEvent::Approval {
                    id: approval.id,
                    call: approval.call,
                    tool: approval.tool,
                    summary: approval.summary,
                    arguments: approval.arguments,
                },
                Tapped::Event(event) => match turn_event(event) {
                    Some(event) => event,
                    None => continue,
                },
                Tapped::Notice(text) => {
                    let end = TurnEvent::End {
                        ok: true,
                        cancelled: false,
                        text,
                        model: String::new(),
                        usage: crate::message::Usage::default(),
                        notice: None,
                    };
                    out.send(Response::Turn(end)).await?;
                    return Ok(());
                }
                Tapped::End(end) => {
                    let event = TurnEvent::End {
                        ok: end.ending == Ending::Done,
                        cancelled: end.ending == Ending::Cancelled,
                        notice: end.ending.notice().map(|notice| self.0.known.cleaned(notice)),
                        text: end.text,
                        model: end.model,
                        usage: end.usage,
                    };
                    out.send(Response::Turn(event)).await?;
                    return Ok(());
                }
            };
            out.send(Response::Turn(event)).await?;
        }
    }

    async fn stop(&self, session: Option<String>, out: &ResponseSink) -> Result<(), Refusal> {
        let session = match session {
            Some(prefix) => Some(self.0.store.read(|tx| tx.session_find(&prefix))?.id),
            None => None,
        };
        let sessions = self.0.sessions.cancel_all(session.as_deref());
        out.send(Response::Stopped { sessions }).await?;
        Ok(())
    }

    async fn session_list(&self, query: Option<String>, limit: usize, out: &ResponseSink) -> Result<(), Refusal> {
        let sessions = match query {
            None => self.0.store.read(|tx| tx.sessions(None, None, limit))?,
            Some(words) => self.0.store.read(|tx| {
                let found = tx.messages_search(&words, None, None, SEARCHED)?;
                let mut ids: Vec<String> = Vec::new();
                for hit in found.hits {
                    if !ids.contains(&hit.session) {
                        ids.push(hit.session);
                    }
                }
                ids.truncate(limit);
                ids.iter().filter_map(|id| tx.session(id).transpose()).collect::<Result<Vec<_>, _>>()
            })?,
        };
        for session in sessions {
            out.send(Response::Session(summary(session))).await?;
        }
        Ok(())
    }

    async fn session_show(&self, prefix: &str, last: Option<usize>, out: &ResponseSink) -> Result<(), Refusal> {
        let session = self.0.store.read(|tx| tx.session_find(prefix))?;
        let id = session.id.clone();
        let skipped = last.map_or(0, |last| session.last.saturating_sub(u64::try_from(last).unwrap_or(u64::MAX)));
        out.send(Response::Session(summary(session))).await?;
        let mut after = skipped;
        loop {
            let page = self.0.store.read(|tx| tx.messages(&id, after, PAGE))?;
            let Some(end) = page.last().map(|stored| stored.cursor) else { return Ok(()) };
            for stored in page {
                out.send(Response::Message { cursor: stored.cursor, message: stored.message }).await?;
            }
            after = end;
        }
    }

    async fn session_delete(&self, prefix: &str, out: &ResponseSink) -> Result<(), Refusal> {
        let session = self.0.store.read(|tx| tx.session_find(prefix))?;
        self.0.sessions.cancel_all(Some(&session.id));
        let id = session.id.clone();
        self.0.store.write(move |tx| tx.session_delete(&id)).await?;
        out.send(Response::Session(summary(session))).await?;
        Ok(())
    }

    fn plugins(&self) -> Vec<PluginSummary> {
        let snapshot = self.0.registry.snapshot();
        let mut all: Vec<PluginSummary> =
            snapshot.plugins.values().map(|plugin| self.summary(&snapshot, plugin)).collect();
        let unused = snapshot.broken.iter().filter(|broken| broken.serving.is_none());
        all.extend(unused.map(|broken| {
            PluginSummary::bare(broken.file.trim_end_matches(".wasm"), &broken.file, Standing::Broken, &broken.reason)
        }));
        for file in self.0.registry.looking_at() {
            if !all.iter().any(|plugin| plugin.file == file) {
                all.push(PluginSummary::bare(
                    file.trim_end_matches(".wasm"),
                    &file,
                    Standing::Loading,
                    "it is new and is being compiled; that takes some seconds, once",
                ));
            }
        }
        self.0.tell_of_pinned(&mut all);
        all
    }

    fn plugin(&self, name: &str) -> Result<PluginSummary, Refusal> {
        let snapshot = self.0.registry.snapshot();
        if let Some(plugin) = find(&snapshot, name) {
            return Ok(self.summary(&snapshot, &plugin));
        }
        self.plugins().into_iter().find(|summary| summary.name == name || summary.file == name).ok_or_else(|| {
            let known: Vec<&str> = snapshot.plugins.keys().map(String::as_str).collect();
            Refusal::not_found(format!("there is no plugin or instance {name}; there are: {}", known.join(", ")))
        })
    }

    fn summary(&self, snapshot: &Snapshot, plugin: &Arc<Plugin>) -> PluginSummary {
        let instances: Vec<_> = snapshot
            .instances
            .iter()
            .filter(|(_, instance)| instance.plugin.digest == plugin.digest)
            .map(|((role, name), instance)| (name.clone(), *role, Arc::clone(instance)))
            .collect();
        let idle: Vec<&Idle> = snapshot.idle.iter().filter(|idle| idle.plugin == plugin.manifest.name).collect();
        let serving = snapshot.broken.iter().find(|broken| broken.serving.as_ref() == Some(&plugin.digest));
        let (standing, reason) = match (instances.is_empty(), idle.first()) {
            (true, Some(idle)) if !idle.waiting.is_empty() => (Standing::Waiting, Some(idle.reason.clone())),
            (true, Some(idle)) if idle.unset => (Standing::Unset, Some(idle.reason.clone())),
            (true, Some(idle)) => (Standing::Broken, Some(idle.reason.clone())),
            (true, None) => (Standing::Off, Some("no instance of it is wanted; see config.toml".into())),
            (false, _) if instances.iter().any(|(_, _, instance)| instance.record.aside().is_some()) => {
                let aside = instances.iter().filter_map(|(name, _, instance)| Some((name, instance.record.aside()?)));
                let words = aside.map(|(name, aside)| format!("{name} {}", aside_in_words(&aside)));
                (Standing::Aside, Some(words.collect::<Vec<_>>().join("; ")))
            }
            (false, _) => (Standing::Ready, broken_or_idle(serving, &idle)),
        };
        let granted = |capability: &str| instances.iter().any(|(_, _, instance)| instance.grants.has(capability));
        let tools = self.0.tools.definitions();
        let own = |tool: &str| self.0.tools.owner(tool).is_some_and(|owner| owner.plugin.digest == plugin.digest);
        PluginSummary {
            name: plugin.manifest.name.clone(),
            version: plugin.manifest.version.clone(),
            description: plugin.manifest.summary.clone(),
            file: plugin.file.clone(),
            digest: plugin.digest.clone(),
            stock: self.0.registry.is_stock(&plugin.digest),
            roles: roles(plugin),
            standing,
            reason,
            tools: tools.iter().filter(|tool| own(&tool.name)).map(|tool| tool.name.clone()).collect(),
            needs: needs(plugin, &granted),
            secrets: plugin
                .manifest
                .secrets
                .iter()
                .map(|secret| {
                    let set = instances
                        .iter()
                        .any(|(_, _, instance)| instance.secrets.values().iter().any(|(name, _)| *name == secret.name));
                    (secret.name.clone(), set)
                })
                .collect(),
            serving: instances.iter().map(|(_, role, instance)| self.instance(*role, instance)).collect(),
            instances: instances.into_iter().map(|(name, ..)| name).collect(),
            settings: plugin.manifest.settings.clone(),
            installed: self.installed(plugin).map(Box::new),
            imports: plugin.shape.imports.clone(),
            exports: plugin.shape.exports.clone(),
            tool_definitions: tools.iter().filter(|tool| own(&tool.name)).map(tool_summary).collect(),
        }
    }

    /// A plugin that is not in the folder, as it would stand there.
    fn checked(&self, plugin: &Plugin, name: String) -> PluginSummary {
        let snapshot = self.0.registry.snapshot();
        let stock = self.0.registry.is_stock(&plugin.digest);
        let twin = snapshot.plugins.get(&plugin.manifest.name).filter(|twin| twin.digest != plugin.digest);
        let asks = plugin.manifest.needs.iter().any(|need| !need.optional);
        PluginSummary {
            name: plugin.manifest.name.clone(),
            version: plugin.manifest.version.clone(),
            description: plugin.manifest.summary.clone(),
            file: name,
            digest: plugin.digest.clone(),
            stock,
            roles: roles(plugin),
            standing: if asks && !stock { Standing::Waiting } else { Standing::Ready },
            reason: match twin {
                Some(twin) => Some(format!("{} has the same name: this one would replace it or be refused", twin.file)),
                None if asks && !stock => Some(format!(
                    "after putting it into the folder: openpista-host plugin allow {}",
                    plugin.manifest.name
                )),
                None => None,
            },
            instances: Vec::new(),
            tools: Vec::new(),
            needs: needs(plugin, &|_| stock),
            secrets: plugin.manifest.secrets.iter().map(|secret| (secret.name.clone(), false)).collect(),
            settings: plugin.manifest.settings.clone(),
            installed: None,
            imports: plugin.shape.imports.clone(),
            exports: plugin.shape.exports.clone(),
            tool_definitions: Vec::new(),
            serving: Vec::new(),
        }
    }

    async fn allow(&self, name: &str, grants: Vec<Grant>) -> Result<PluginSummary, Refusal> {
        let plugin = self.named(name)?;
        let asked: BTreeMap<String, Vec<String>> = if grants.is_empty() {
            plugin.manifest.needs.iter().map(|need| (need.capability.clone(), need.scope.clone())).collect()
        } else {
            grants.into_iter().map(|grant| (grant.capability, grant.scope)).collect()
        };
        let asked = asked
            .into_iter()
            .map(|(capability, scope)| {
                let need = plugin.manifest.needs.iter().find(|need| need.capability == capability);
                let wanted = need.map(|need| need.scope.clone()).unwrap_or_default();
                let beyond = scope.iter().find(|item| !wanted.contains(item) && !wanted.iter().any(|all| all == "*"));
                match (need, beyond) {
                    (Some(_), Some(item)) => Err(Refusal::invalid(format!(
                        "{} does not ask for {capability}={item}; it asks for {}",
                        plugin.manifest.name,
                        wanted.join(", ")
                    ))),
                    (Some(_), None) if scope.is_empty() => Ok((capability, wanted)),
                    _ => Ok((capability, scope)),
                }
            })
            .collect::<Result<BTreeMap<_, _>, _>>()?;
        if let Some(unasked) =
            asked.keys().find(|capability| !plugin.manifest.needs.iter().any(|need| need.capability == **capability))
        {
            return Err(Refusal::invalid(format!("{} does not ask for {unasked}", plugin.manifest.name)));
        }
        self.change_grants(&plugin, move |granted| {
            for (capability, scope) in &asked {
                granted.denied.remove(capability);
                let had = granted.allowed.entry(capability.clone()).or_default();
                for item in scope {
                    if !had.contains(item) {
                        had.push(item.clone());
                    }
                }
            }
        })
        .await?;
        self.plugin(&plugin.manifest.name)
    }

    async fn deny(&self, name: &str, grants: Vec<Grant>) -> Result<PluginSummary, Refusal> {
        let plugin = self.named(name)?;
        let all: Vec<String> = plugin.manifest.needs.iter().map(|need| need.capability.clone()).collect();
        let (needs, stock) = (plugin.manifest.needs.clone(), self.0.registry.is_stock(&plugin.digest));
        self.change_grants(&plugin, move |granted| {
            if grants.is_empty() {
                granted.allowed.clear();
                granted.denied = all.iter().map(|capability| (capability.clone(), Vec::new())).collect();
            }
            for grant in &grants {
                if grant.scope.is_empty() {
                    granted.allowed.remove(&grant.capability);
                    granted.denied.insert(grant.capability.clone(), Vec::new());
                } else {
                    // Taking a part away from what came with the host leaves the rest as the person's own word.
                    let rest = granted
                        .allowed
                        .entry(grant.capability.clone())
                        .or_insert_with(|| if stock { scope_of(&needs, &grant.capability) } else { Vec::new() });
                    rest.retain(|item| !grant.scope.contains(item));
                    if rest.is_empty() {
                        granted.allowed.remove(&grant.capability);
                        granted.denied.insert(grant.capability.clone(), Vec::new());
                    }
                }
            }
        })
        .await?;
        self.plugin(&plugin.manifest.name)
    }

    fn named(&self, name: &str) -> Result<Arc<Plugin>, Refusal> {
        let snapshot = self.0.registry.snapshot();
        find(&snapshot, name).ok_or_else(|| {
            let known: Vec<&str> = snapshot.plugins.keys().map(String::as_str).collect();
            Refusal::not_found(format!("there is no plugin {name}; there are: {}", known.join(", ")))
        })
    }

    async fn change_grants(
        &self,
        plugin: &Arc<Plugin>,
        change: impl Fn(&mut Granted) + Send + 'static,
    ) -> Result<(), Refusal> {
        let (name, bound) = (plugin.manifest.name.clone(), plugin.digest.clone());
        let folder = self.0.config.home.join("cache").join("good");
        let manifest = serde_json::to_vec(&plugin.manifest).map_err(|error| Refusal::failed(error.to_string()))?;
        crate::runtime::cache::write_private(&joints::manifest_path(&folder, &name), &manifest)?;
        self.0
            .store
            .write(move |tx| {
                let mut granted = tx.grants(&name)?.unwrap_or_default();
                change(&mut granted);
                tx.grants_set(&name, &granted)?;
                tx.grants_bind(&name, &bound)
            })
            .await?;
        self.0.registry.scan().await?;
        self.0.plugins_changed().await;
        Ok(())
    }

    async fn models(&self, out: &ResponseSink) -> Result<(), Refusal> {
        let choice = self.0.models.choice();
        let snapshot = self.0.registry.snapshot();
        for provider in snapshot.of(RoleKind::Provider) {
            let chosen = choice.as_ref().filter(|choice| choice.instance == provider.name);
            let note = |known: &str| match chosen {
                Some(choice) => Some(format!("chosen: {}", choice.why)),
                None => Some(known.to_string()).filter(|known| !known.is_empty()),
            };
            let keyed = snapshot.presets.get(&provider.name).is_none_or(|preset| preset.keyed);
            if !keyed && chosen.is_none() {
                let variables: Vec<String> = snapshot
                    .presets
                    .get(&provider.name)
                    .map(|preset| preset.preset.environment.iter().map(|(_, variable)| variable.clone()).collect())
                    .unwrap_or_default();
                out.send(Response::Model(ModelSummary {
                    instance: provider.name.clone(),
                    model: String::new(),
                    context: None,
                    chosen: false,
                    note: Some(format!("not set up: {} is not set", variables.join(" and "))),
                }))
                .await?;
                continue;
            }
            match self.0.models.ask(&provider.name).await {
                Ok(models) => {
                    for model in models {
                        let used = chosen.is_some_and(|choice| choice.model.as_ref().is_none_or(|id| *id == model.id));
                        out.send(Response::Model(ModelSummary {
                            instance: provider.name.clone(),
                            context: model.context.map(u64::from),
                            chosen: used,
                            note: if used { note("") } else { None },
                            model: model.id,
                        }))
                        .await?;
                    }
                }
                Err(why) => {
                    out.send(Response::Model(ModelSummary {
                        instance: provider.name.clone(),
                        model: chosen.and_then(|choice| choice.model.clone()).unwrap_or_default(),
                        context: None,
                        chosen: chosen.is_some(),
                        note: Some(why),
                    }))
                    .await?;
                }
            }
        }
        Ok(())
    }

    fn doctor(&self) -> Vec<Check> {
        let snapshot = self.0.registry.snapshot();
        let check = |name: &str, status, detail: String, advice: Option<String>| Check {
            name: name.into(),
            status,
            detail,
            advice,
        };
        let mut checks = Vec::new();
        match self.0.store.check() {
            Ok(true) => checks.push(check("database", CheckStatus::Ok, "every page is sound".into(), None)),
            Ok(false) => checks.push(check(
                "database",
                CheckStatus::Fail,
                "a page is damaged".into(),
                Some("stop the daemon and put a backup in place".into()),
            )),
            Err(error) => checks.push(check("database", CheckStatus::Fail, error.to_string(), None)),
        }
        checks.push(match self.0.models.choice() {
            Some(choice) => {
                let model = choice.model.map(|model| format!("/{model}")).unwrap_or_default();
                check("model", CheckStatus::Ok, format!("{}{model}: {}", choice.instance, choice.why), None)
            }
            None => check(
                "model",
                CheckStatus::Fail,
                "no provider is ready".into(),
                Some("see `openpista-host model list`".into()),
            ),
        });
        let count = snapshot.plugins.len();
        checks.push(match self.0.nothing_to_run() {
            Some(why) => check("plugins", CheckStatus::Fail, "none".into(), Some(why)),
            None => check("plugins", CheckStatus::Ok, format!("{count} loaded"), None),
        });
        for broken in &snapshot.broken {
            let advice = Some(format!("replace it, or remove it from {}", self.0.registry.folder().display()));
            checks.push(check(&broken.file, CheckStatus::Warn, broken.reason.clone(), advice));
        }
        for idle in snapshot.idle.iter().filter(|idle| !idle.unset) {
            checks.push(check(&idle.name, CheckStatus::Warn, idle.reason.clone(), None));
        }
        for (name, aside) in self.aside() {
            let advice =
                Some(format!("see `openpista-host plugin log {name}`; to use it at once: `plugin resume {name}`"));
            checks.push(check(&name, CheckStatus::Warn, aside, advice));
        }
        for clash in self.0.tools.clashes() {
            checks.push(check("tools", CheckStatus::Warn, clash, Some("rename or remove one of the two".into())));
        }
        checks
    }
}

fn find(snapshot: &Snapshot, name: &str) -> Option<Arc<Plugin>> {
    if let Some(plugin) = snapshot.plugins.get(name) {
        return Some(Arc::clone(plugin));
    }
    let by_instance = snapshot.instances.iter().find(|((_, instance), _)| instance == name);
    if let Some((_, instance)) = by_instance {
        return Some(Arc::clone(&instance.plugin));
    }
    let idle = snapshot.idle.iter().find(|idle| idle.name == name)?;
    snapshot.plugins.get(&idle.plugin).cloned()
}

/// What is wrong with a plugin that works.
fn broken_or_idle(broken: Option<&Broken>, idle: &[&Idle]) -> Option<String> {
    let broken =
        broken.map(|broken| format!("its file is broken now ({}); the last good version serves", broken.reason));
    let idle =
        idle.iter().filter(|idle| !idle.unset).map(|idle| format!("{} does not work: {}", idle.name, idle.reason));
    let all: Vec<String> = broken.into_iter().chain(idle).collect();
    (!all.is_empty()).then(|| all.join("; "))
}

fn scope_of(needs: &[Need], capability: &str) -> Vec<String> {
    needs.iter().filter(|need| need.capability == capability).flat_map(|need| need.scope.clone()).collect()
}
