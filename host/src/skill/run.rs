//! The sandbox: a component of a skill, run in a fresh instance that is trusted with nothing.
//!
//! A component is either a WASI command (`wasi:cli/run`), which gets arguments and input, or one with the tools of the
//! contract. Both have the workspace and their own folder to read, the variables that `env` declares, their output kept,
//! and none of the capabilities: an import of one is refused when the component is looked at.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};
use std::time::Duration;

use anyhow::{Context as _, Result};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use wasmtime::component::{Component, InstancePre};
use wasmtime_wasi::p2::bindings::CommandIndices;
use wasmtime_wasi::p2::pipe::MemoryInputPipe;
use wasmtime_wasi::{FsPerms, I32Exit, WasiCtx};

use super::kept::Kept;
use super::scan::{Skill, Wasm, bytes};
use crate::capability::skill::{Call, End, Outcome, Serving};
use crate::capability::{self, Caller, Error, Held, Services, log};
use crate::grant::Grants;
use crate::plugin::check_kind;
use crate::runtime::cache::Cache;
use crate::runtime::limits::Limits;
use crate::runtime::linker::capability_of;
use crate::runtime::sandbox::{self, Reach};
use crate::runtime::state::HostState;
use crate::runtime::{Budget, CallError, Runtime, TICK_MS};
use crate::wit::role::tools;
use crate::wit::types::{Content, ToolDefinition};

/// Skills that run at the same time; more wait.
const SIDE_BY_SIDE: usize = 16;
/// Time that a run may spend waiting, beside what it may run.
const WAITING: Duration = Duration::from_secs(30);
const DEFINITIONS_MAX: usize = 64;
/// What everyone has, and what has no functions. All else of the contract is a capability.
const FREE: [&str; 5] = ["log", "settings", "state", "plugin", "types"];

/// What a component is, and so how it is run.
#[derive(Debug, Clone, PartialEq)]
pub enum Kind {
    /// `wasi:cli/run`.
    Command,
    /// The contract's tools.
    Tools(Vec<ToolDefinition>),
}

type Looked = Result<Kind, String>;

/// Runs components of skills.
pub struct Sandbox {
    runtime: Arc<Runtime>,
    cache: Cache,
    limits: Limits,
    workspace: PathBuf,
    home: PathBuf,
    services: OnceLock<Weak<Services>>,
    /// By digest.
    looked: Mutex<HashMap<String, Looked>>,
    running: Semaphore,
    /// How much all of them log.
    logged: Arc<log::Meter>,
}

impl Sandbox {
    /// Compiled components are kept in `cache`.
    pub fn new(
        runtime: Arc<Runtime>,
        cache: &std::path::Path,
        limits: Limits,
        workspace: PathBuf,
        home: PathBuf,
    ) -> Result<Self> {
        let cache = Cache::open(cache, runtime.engine())?;
        Ok(Self {
            runtime,
            cache,
            limits,
            workspace,
            home,
            services: OnceLock::new(),
            looked: Mutex::default(),
            running: Semaphore::new(SIDE_BY_SIDE),
            logged: Arc::default(),
        })
    }

    /// What all calls share, once it is there.
    pub fn join(&self, services: &Arc<Services>) {
        // Said once, by `app`.
        let _ = self.services.set(Arc::downgrade(services));
    }

    /// What is known of a component that was looked at.
    pub fn known(&self, digest: &str) -> Option<Looked> {
        self.looked.lock().unwrap_or_else(PoisonError::into_inner).get(digest).cloned()
    }

    /// Forgets what belongs to no skill any more.
    pub fn forget(&self, live: &dyn Fn(&str) -> bool) {
        self.looked.lock().unwrap_or_else(PoisonError::into_inner).retain(|digest, _| live(digest));
    }

    /// Removes compiled components of no skill. At the start only: a run may still need one.
    pub fn tidy(&self, live: &dyn Fn(&str) -> bool) {
        self.cache.prune(live);
    }

    /// What the component of a skill is; compiles it at the first time.
    pub async fn look(&self, skill: &Skill, wasm: &Wasm) -> Looked {
        if let Some(looked) = self.known(&wasm.digest) {
            return looked;
        }
        let looked = self.kind(skill, wasm).await.map_err(|error| format!("{}: {error:#}", wasm.file.display()));
        self.looked.lock().unwrap_or_else(PoisonError::into_inner).insert(wasm.digest.clone(), looked.clone());
        looked
    }

    async fn kind(&self, skill: &Skill, wasm: &Wasm) -> Result<Kind> {
        let component = self.load(skill, wasm).await?;
        let engine = self.runtime.engine();
        let names = |of: Vec<&str>| of.into_iter().map(str::to_owned).collect::<Vec<_>>();
        let exports = names(component.component_type().exports(engine).map(|(name, _)| name).collect());
        for import in names(component.component_type().imports(engine).map(|(name, _)| name).collect()) {
            let records = import.starts_with("openpista:http/exchange@");
            if capability_of(&import).is_some_and(|capability| !FREE.contains(&capability)) && !records {
                anyhow::bail!(
                    "it imports {import}, and a skill has no capability; install it as a plugin, which can be granted one"
                );
            }
        }
        let has = |start: &str| exports.iter().any(|name| name.starts_with(start));
        if has("openpista:plugin/tools@") {
            let pre = self.pre(&component)?;
            return Ok(Kind::Tools(self.definitions(skill, wasm, &pre).await?));
        }
        if has("wasi:cli/run@") {
            let pre = self.pre(&component)?;
            CommandIndices::new(&pre).map_err(|error| anyhow::anyhow!("its `wasi:cli/run` does not fit: {error:#}"))?;
            return Ok(Kind::Command);
        }
        let has = if exports.is_empty() { "nothing".to_owned() } else { exports.join(", ") };
        anyhow::bail!(
            "it exports {has}; a skill is a WASI command (wasi:cli/run) or has tools (openpista:plugin/tools)"
        )
    }

    async fn load(&self, skill: &Skill, wasm: &Wasm) -> Result<Component> {
        let (runtime, cache) = (Arc::clone(&self.runtime), self.cache.clone());
        let (folder, wasm) = (skill.folder.clone(), wasm.clone());
        let compile = move || {
            runtime.component_in(&cache, &wasm.digest, &|| {
                let bytes = bytes(&folder, &wasm)?;
                check_kind(&bytes)?;
                Ok(bytes)
            })
        };
        tokio::task::spawn_blocking(compile).await.context("compiling was interrupted")?
    }

    fn pre(&self, component: &Component) -> Result<InstancePre<HostState>> {
        sandbox::linker(self.runtime.engine())
            .and_then(|linker| linker.instantiate_pre(component))
            .map_err(|error| anyhow::anyhow!("it cannot be linked: {error:#}"))
    }

    async fn definitions(
        &self,
        skill: &Skill,
        wasm: &Wasm,
        pre: &InstancePre<HostState>,
    ) -> Result<Vec<ToolDefinition>> {
        let indices =
            tools::GuestIndices::new(pre).map_err(|error| anyhow::anyhow!("its tools do not fit: {error:#}"))?;
        let state = self.state(skill, wasm, &Serving::default(), WasiCtx::builder().build())?;
        let (answer, _) = self
            .runtime
            .run(&skill.front.name, pre, state, self.budget(CancellationToken::new()), async |store, instance| {
                indices.load(&mut *store, instance)?.call_definitions(store).await
            })
            .await?;
        let list = answer.map_err(|error| anyhow::anyhow!("it does not say which tools it has: {error:?}"))?;
        anyhow::ensure!(list.len() <= DEFINITIONS_MAX, "it has {} tools; {DEFINITIONS_MAX} are allowed", list.len());
        Ok(list)
    }

    fn budget(&self, cancel: CancellationToken) -> Budget {
        let running = Duration::from_millis(self.limits.ticks.saturating_mul(TICK_MS));
        Budget { limits: self.limits, time: running.saturating_mul(2).saturating_add(WAITING), cancel }
    }

    fn state(&self, skill: &Skill, wasm: &Wasm, serving: &Serving, wasi: WasiCtx) -> Result<HostState> {
        let services = self.services.get().and_then(Weak::upgrade).context("the host is ending")?;
        let instance = format!("skill:{}", skill.front.name);
        let call = capability::Call {
            caller: Caller {
                plugin: instance.clone(),
                instance: instance.clone(),
                digest: wasm.digest.clone(),
                session: serving.session.clone(),
                turn: serving.turn.clone(),
                operation: "skill.run",
                approval: String::new(),
            },
            grants: Arc::new(Grants::default()),
            settings: "{}".into(),
            secrets: capability::secrets::CallSecrets::default(),
            cancel: serving.cancel.clone(),
            // Nothing of it takes effect: what a skill wants to keep is forgotten.
            held: Held::default(),
            progress: serving.progress.clone(),
            tools_changed: false,
            pace: capability::deltas::Pace::default(),
            log: log::Flow::new(&instance, Arc::clone(&self.logged)),
            services,
        };
        let real = |path: &PathBuf| path.canonicalize().unwrap_or_else(|_| path.clone());
        let (home, workspace) = (real(&self.home), real(&self.workspace));
        let mut open = vec![real(&skill.folder)];
        if workspace.starts_with(&home) && workspace != home {
            open.push(workspace);
        }
        Ok(HostState::sandboxed(call, self.limits, wasi, Arc::new(Reach { closed: home, open })))
    }

    /// Runs a skill.
    pub async fn run(&self, skill: &Skill, call: Call, serving: Serving) -> Result<Outcome, Error> {
        let name = &skill.front.name;
        let Some(wasm) = &skill.wasm else {
            return Err(Error::Invalid(format!(
                "{name} is a skill of `mode: {}`; only those of `mode: wasm` are run here",
                skill.front.mode
            )));
        };
        let kind = self.look(skill, wasm).await.map_err(Error::Unavailable)?;
        let _running = self.running.acquire().await.map_err(|_| Error::Cancelled)?;
        let unavailable = |error: anyhow::Error| Error::Unavailable(format!("{name}: {error:#}"));
        let component = self.load(skill, wasm).await.map_err(unavailable)?;
        let pre = self.pre(&component).map_err(unavailable)?;
        let known = Arc::clone(&self.services.get().and_then(Weak::upgrade).ok_or(Error::Cancelled)?.known);
        let (stdout, stderr) = (Kept::new(known.filter()), Kept::new(known.filter()));
        let wasi = self.wasi(skill, &call, &kind, &stdout, &stderr).map_err(unavailable)?;
        let state = self.state(skill, wasm, &serving, wasi).map_err(unavailable)?;
        let budget = self.budget(serving.cancel);
        let done = match kind {
            Kind::Command => self.command(name, &pre, state, budget).await,
            Kind::Tools(list) => {
                let tool = call.tool.unwrap_or_default();
                if !list.iter().any(|known| known.name == tool) {
                    return Err(Error::NotFound(format!("the skill {name} has no tool {tool:?}")));
                }
                let arguments = String::from_utf8(call.input)
                    .map_err(|_| Error::Invalid("the arguments of a tool are JSON".into()))?;
                let invocation = tools::Invocation {
                    id: crate::message::new_id(),
                    name: tool,
                    arguments,
                    session: serving.session.unwrap_or_default(),
                };
                self.tool(name, &pre, state, budget, invocation).await
            }
        };
        let end = match done {
            Ok(end) => end,
            Err(CallError::Cancelled | CallError::Aside { .. }) => return Err(Error::Cancelled),
            Err(CallError::Limit { violation, .. }) => End::Stopped(violation.to_string()),
            Err(CallError::Trap { reason, .. }) => End::Stopped(format!("it failed: {reason}")),
            Err(CallError::TimedOut { after, .. }) => {
                End::Stopped(format!("it did not end within {} s, waiting included", after.as_secs()))
            }
        };
        Ok(Outcome { end, stdout: stdout.written(), stderr: stderr.written() })
    }

    fn wasi(&self, skill: &Skill, call: &Call, kind: &Kind, stdout: &Kept, stderr: &Kept) -> Result<WasiCtx> {
        let mut wasi = WasiCtx::builder();
        wasi.stdout(stdout.clone()).stderr(stderr.clone()).envs(&skill.front.env).initial_cwd("/workspace");
        if *kind == Kind::Command {
            wasi.arg(&skill.front.name).args(&call.arguments).stdin(MemoryInputPipe::new(call.input.clone()));
        }
        let access = FsPerms::ReadOnly;
        let mut folder = |path: &PathBuf, as_what: &str| -> Result<()> {
            let opened = wasi.preopened_dir(path, as_what, access);
            opened.map(drop).map_err(|error| anyhow::anyhow!("{} cannot be opened: {error:#}", path.display()))
        };
        // What is written without a folder, or from the root, is looked for in the workspace.
        folder(&self.workspace, ".")?;
        folder(&self.workspace, "/workspace")?;
        folder(&skill.folder, "/skill")?;
        Ok(wasi.build())
    }

    async fn command(
        &self,
        name: &str,
        pre: &InstancePre<HostState>,
        state: HostState,
        budget: Budget,
    ) -> Result<End, CallError> {
        let (end, _) = self
            .runtime
            .run(name, pre, state, budget, async |store, instance| {
                let command = CommandIndices::new(pre)?.load(&mut *store, instance)?;
                match command.wasi_cli_run().call_run(store).await {
                    Ok(Ok(())) => Ok(End::Exited(0)),
                    Ok(Err(())) => Ok(End::Exited(1)),
                    Err(error) => match error.downcast_ref::<I32Exit>() {
                        Some(I32Exit(code)) => Ok(End::Exited(*code)),
                        None => Err(error),
                    },
                }
            })
            .await?;
        Ok(end)
    }

    async fn tool(
        &self,
        name: &str,
        pre: &InstancePre<HostState>,
        state: HostState,
        budget: Budget,
        invocation: tools::Invocation,
    ) -> Result<End, CallError> {
        let (answer, _) = self
            .runtime
            .run(name, pre, state, budget, async |store, instance| {
                tools::GuestIndices::new(pre)?.load(&mut *store, instance)?.call_call(store, &invocation).await
            })
            .await?;
        let said = |text: String| End::Failed(vec![Content::Text(text)]);
        Ok(match answer {
            Ok(content) => End::Answered(content),
            Err(tools::ToolError::Failed(content)) => End::Failed(content),
            Err(tools::ToolError::AccessDenied(why)) => said(format!("not allowed: {why}")),
            Err(tools::ToolError::InvalidArguments(why)) => said(format!("the arguments do not fit: {why}")),
            Err(tools::ToolError::Other(why)) => said(why),
            Err(tools::ToolError::TimedOut) => said("its time was over".into()),
            Err(tools::ToolError::Cancelled) => return Err(CallError::Cancelled),
        })
    }
}
