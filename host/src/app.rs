//! The composition root: the only place that builds everything and knows all parts.
//!
//! [`App::assemble`] opens the store and the plugins folder without touching a socket: what `plugin list` and
//! `session show` need when no daemon runs. [`App::serve`] adds the sockets and goes on with what was left.

mod admin;
mod archive;
mod installing;
mod joints;
mod notes;
mod pinned;
mod shown;
mod skills;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use anyhow::{Context, Result};
use tokio_util::sync::CancellationToken;

use crate::admin::SharedHandler;
use crate::agent::arguments::Schemas;
use crate::agent::policy::Rules;
use crate::agent::ports::{Effort, Policy};
use crate::capability::Services;
use crate::capability::http::{Egress, EgressOptions};
use crate::capability::secrets::{Known, SecretValue};
use crate::capability::shell::Shell;
use crate::cli::DaemonOptions;
use crate::config::{self, Config};
use crate::gateway::{ChannelOptions, Contacts, Gateway, Operator, Parts};
use crate::message::{new_id, now};
use crate::models::{Choice, Models};
use crate::output::Paint;
use crate::plugin::instance::Host;
use crate::plugin::registry::{Registry, RoleKind, Wanted, Wishes};
use crate::plugin::standing::Words;
use crate::plugin::stock::{self, Laid, Source};
use crate::plugin::tools::PluginTools;
use crate::plugin::watch::watch;
use crate::runtime::Runtime;
use crate::runtime::limits::Limits;
use crate::session::{Desk, Sessions, Settings};
use crate::skill::Library;
use crate::store::Store;
use crate::transport::http::{HttpLimits, HttpSettings, Server};
use crate::transport::{Console, Hub, HubSettings, random};

pub use admin::Admin;

const BASE_PROMPT: &str = include_str!("app/prompt.md");
/// Connections get so long to say good-bye.
const GOOD_BYE: Duration = Duration::from_secs(5);

/// All parts, put together.
pub struct App {
    /// What was read.
    pub config: Config,
    /// Everything that matters.
    pub store: Store,
    /// Plugins.
    pub registry: Arc<Registry>,
    /// Their tools.
    pub tools: Arc<PluginTools>,
    /// Models.
    pub models: Arc<Models>,
    /// Conversations.
    pub sessions: Arc<Sessions>,
    /// Channels.
    pub gateway: Arc<Gateway>,
    /// Sockets.
    pub hub: Arc<Hub>,
    /// Skills.
    pub skills: Arc<Library>,
    /// Every secret.
    pub known: Arc<Known>,
    /// Where plugins come from.
    pub installations: installing::Installations,
    /// What laying out the first-party components did.
    pub laid: Laid,
    /// The daemon shall end.
    pub quit: CancellationToken,
    /// Since when.
    started: u64,
    addresses: OnceLock<Vec<SocketAddr>>,
    /// The channels are there, too.
    open: AtomicBool,
    changing: tokio::sync::Mutex<()>,
}

impl App {
    /// Opens the store and the plugins; no socket, no turn.
    pub async fn assemble(
        config: Config,
        console: Result<Console, String>,
        known: Arc<Known>,
        quit: CancellationToken,
    ) -> Result<Arc<Self>> {
        let home = config.home.clone();
        let store = Store::open(
            &config.store.path,
            crate::store::Options {
                cache: usize::try_from(config.store.cache).unwrap_or(usize::MAX),
                ..crate::store::Options::default()
            },
        )?;
        crate::runtime::cache::private_folder(&config.plugins.dir)?;
        let laid = if config.plugins.stock {
            let (source, folder) = (Source::of_this_build(), config.plugins.dir.clone());
            tokio::task::spawn_blocking(move || stock::lay_out(&source, &folder)).await??
        } else {
            Laid::default()
        };
        let installations = installing::Installations::new(&config, &known)?;
        let runtime = Arc::new(Runtime::new(&home.join("cache"))?);
        let hub =
            Hub::new(HubSettings { generation: u32::try_from(now() / 1_000).unwrap_or(u32::MAX), random, console });
        let later = Arc::new(joints::Later::default());
        let skills = Arc::new(skills::library(&config, &runtime)?);
        let services = Arc::new(Services {
            http: Arc::new(Egress::new(EgressOptions::default())),
            shell: Shell::new(config.agent.workspace.clone()),
            skills: Arc::clone(&skills) as _,
            state: Arc::new(joints::State(store.clone())),
            conversations: Arc::clone(&later) as _,
            connections: Arc::clone(&hub) as _,
            ledger: Arc::new(notes::Notes::new(store.clone())),
            known: Arc::clone(&known),
            said: Arc::default(),
        });
        skills.join(&services);
        let registry = Arc::new(Registry::new(
            config.plugins.dir.clone(),
            home.join("cache").join("good"),
            Arc::new(Host { runtime, services }),
            laid.digests.clone(),
            wishes(&config)?,
            Arc::new(joints::Book(store.clone(), home.join("cache").join("good"))),
        )?);
        registry.scan().await?;
        registry.tidy();
        let tools = Arc::new(PluginTools::new(Arc::clone(&registry)));
        let models = Models::new(Arc::clone(&registry), model_wishes(&config));
        let gateway = Gateway::new(Parts {
            store: store.clone(),
            registry: Arc::clone(&registry),
            hub: Arc::clone(&hub),
            catalogue: Arc::clone(&models) as _,
            options: channel_options(&config),
            known: Arc::clone(&known),
            operator: Operator { notify: config.operator.notify.clone(), after: config.operator.after },
            folder: home.join("channels"),
            quit: quit.clone(),
        });
        let sessions = Sessions::new(Arc::new(Desk {
            store: store.clone(),
            toolbox: Arc::new(joints::Discreet { tools: Arc::clone(&tools), known: Arc::clone(&known) }),
            power: Arc::new(joints::ToolPower { tools: Arc::clone(&tools), registry: Arc::clone(&registry) }),
            catalogue: Arc::clone(&models) as _,
            lore: Arc::new(joints::Texts(Arc::clone(&skills))),
            schemas: Arc::new(Schemas::default()),
            settings: settings(&config),
            outlet: Arc::clone(&gateway) as _,
            known: Arc::clone(&known),
            waiting: crate::session::approver::Waiting::default(),
        }));
        gateway.join(Arc::clone(&sessions));
        later.join(&gateway);
        Ok(Arc::new(Self {
            config,
            store,
            registry,
            tools,
            models,
            sessions,
            gateway,
            hub,
            skills,
            known,
            installations,
            laid,
            quit,
            started: now(),
            addresses: OnceLock::new(),
            open: AtomicBool::new(false),
            changing: tokio::sync::Mutex::default(),
        }))
    }

    /// Makes tools and models known: for turns, with or without a daemon.
    pub async fn warm_up(&self) -> Option<Choice> {
        self.tools.refresh(None).await;
        self.models.choose().await
    }

    /// Opens the sockets and goes on with what an earlier run left. Returns when the daemon shall end, after everything
    /// is closed.
    pub async fn serve(self: &Arc<Self>, ready: impl FnOnce(&Self)) -> Result<()> {
        let server = Server::bind(
            HttpSettings {
                listen: vec![self.config.server.listen],
                hosts: self.config.server.allowed_hosts.clone(),
                cors_origins: self.config.server.cors_origins.clone(),
                limits: HttpLimits::default(),
            },
            Arc::clone(&self.hub),
        )
        .await?;
        // Set once: a daemon serves once.
        let _ = self.addresses.set(server.addresses().to_vec());
        self.warm_up().await;
        ready(self);
        self.gateway.reconcile().await;
        server.open();
        self.open.store(true, Ordering::Release);
        self.gateway.resume().await?;
        let tending = tokio::spawn(Arc::clone(&self.gateway).tend());
        let watching = tokio::spawn({
            let me = Arc::clone(self);
            let changed = Arc::clone(self);
            async move {
                let done =
                    watch(Arc::clone(&me.registry), me.quit.clone(), async move || changed.plugins_changed().await);
                if let Err(error) = done.await {
                    tracing::error!("changes in the plugins folder go unnoticed until the next start: {error:#}");
                }
            }
        });
        let looking = tokio::spawn(Arc::clone(self).watch_skills());
        let providing = tokio::spawn(Arc::clone(self).provide());
        let archiving = tokio::spawn(archive::Archives::of(&self.config).tend(self.store.clone(), self.quit.clone()));
        let asking = tokio::spawn({
            let models = Arc::clone(&self.models);
            async move { models.refresh().await }
        });
        self.quit.cancelled().await;
        tracing::info!("ending");
        asking.abort();
        providing.abort();
        server.shutdown(GOOD_BYE).await;
        self.sessions.shutdown().await;
        self.gateway.shutdown();
        self.hub.shutdown().await;
        // Both end with the token; what they still do is finished.
        let _ = watching.await;
        let _ = tending.await;
        let _ = looking.await;
        let _ = archiving.await;
        self.close().await;
        Ok(())
    }

    /// Everything that depends on which plugins there are. One at a time: a change of the folder and a command may come
    /// together, and what was asked last shall count.
    pub async fn plugins_changed(&self) {
        let _alone = self.changing.lock().await;
        self.tools.refresh(None).await;
        self.models.choose().await;
        self.gateway.reconcile().await;
    }

    /// Stores what is queued and gives the database free.
    pub async fn close(&self) {
        let store = self.store.clone();
        // Blocking: the last batch is written.
        if let Err(error) = tokio::task::spawn_blocking(move || store.close()).await {
            tracing::error!("the store was not closed cleanly: {error}");
        }
    }

    /// Where the server is.
    pub fn address(&self) -> Option<String> {
        self.addresses.get().and_then(|addresses| addresses.first()).map(|address| format!("http://{address}"))
    }

    /// Where the page is, without its token.
    fn page(&self) -> Option<String> {
        Some(format!("{}{}", self.address()?, mount_of_the_page(&self.config)))
    }

    /// The same, once something answers there: before, a client would only find that there is nothing.
    pub fn open_address(&self) -> Option<String> {
        self.open.load(Ordering::Acquire).then(|| self.page()).flatten()
    }

    /// The address to open, with the token behind `#`, where no server and no log sees it.
    pub fn link(&self) -> Option<String> {
        let page = self.page()?;
        let token = web_token(&self.config).ok()?;
        Some(format!("{page}/#token={token}"))
    }

    /// The daemon starts without a single component: what to do about it.
    pub fn nothing_to_run(&self) -> Option<String> {
        let snapshot = self.registry.snapshot();
        snapshot.plugins.is_empty().then(|| {
            format!(
                "there is no plugin in {}, and this build carries none: build them with `cargo xtask build`, or put \
                 components there",
                self.config.plugins.dir.display()
            )
        })
    }
}

/// Runs the host until it is told to end: what `run` does.
pub async fn daemon(config: Config, options: DaemonOptions) -> Result<()> {
    let console = if options.console {
        Console::standard(options.home.history_file(), options.shutdown.clone())
    } else {
        Err("the console is off".into())
    };
    let app = App::assemble(config, console, options.known, options.shutdown.clone()).await?;
    if let Some(why) = app.nothing_to_run() {
        tracing::warn!("{why}");
    }
    let socket = crate::admin::Server::bind(&options.home.socket())?;
    let handler = Arc::new(Admin(Arc::clone(&app)));
    let answering = tokio::spawn(socket.serve(handler, options.shutdown.clone()));
    let served = app.serve(welcome).await;
    options.shutdown.cancel();
    // Its last answers are given.
    let _ = answering.await;
    served
}

/// Opens the home without a socket, for one command.
pub async fn offline(config: Config, known: Arc<Known>) -> Result<SharedHandler> {
    let off = Err("no daemon runs".into());
    let app = App::assemble(config, off, known, CancellationToken::new()).await?;
    app.warm_up().await;
    Ok(Arc::new(Admin(app)))
}

/// What a person sees when the host is ready.
fn welcome(app: &App) {
    let model = match app.models.choice() {
        Some(choice) => {
            let model = choice.model.map(|model| format!("/{model}")).unwrap_or_default();
            format!("{}{model} ({})", choice.instance, choice.why)
        }
        None => "none is set up: see `openpista-host model list`".into(),
    };
    let snapshot = app.registry.snapshot();
    let mut lines = vec![
        format!("openpista-host {}", env!("CARGO_PKG_VERSION")),
        format!("  web page   {}", app.link().unwrap_or_else(|| "not served".into())),
        format!("  model      {model}"),
        format!("  workspace  {}", app.config.agent.workspace.display()),
        format!("  plugins    {} in {}", snapshot.plugins.len(), app.registry.folder().display()),
    ];
    for idle in snapshot.idle.iter().filter(|idle| !idle.unset) {
        lines.push(format!("  {} does not work: {}", idle.name, idle.reason));
    }
    for broken in &snapshot.broken {
        lines.push(format!("  {} can't be used: {}", broken.file, broken.reason));
    }
    let output = crate::output::Output::new(false);
    for (index, line) in lines.iter().enumerate() {
        output.note(if index == 0 { Paint::Strong } else { Paint::Faint }, line);
    }
}

/// The token of the page: the configured one, else one that was made at the first start.
pub fn web_token(config: &Config) -> Result<String> {
    if let Some(source) = &config.server.token {
        return Ok(source.read(&config.environment).context("the token of the web page")?.reveal().to_string());
    }
    made_token(&config.home)
}

fn made_token(home: &Path) -> Result<String> {
    let path = home.join("web-token");
    match std::fs::read_to_string(&path) {
        Ok(token) if token.trim().len() >= 16 => Ok(token.trim().to_string()),
        Ok(_) | Err(_) => {
            let token = new_id();
            crate::runtime::cache::write_private(&path, token.as_bytes())?;
            Ok(token)
        }
    }
}

fn wishes(config: &Config) -> Result<Wishes> {
    let mut instances = BTreeMap::new();
    for (role, instance) in config.instances() {
        let kind = match role {
            config::Role::Provider => RoleKind::Provider,
            config::Role::Channel => RoleKind::Channel,
            config::Role::Tool => RoleKind::Tools,
        };
        let mut secrets = BTreeMap::new();
        for (name, source) in &instance.secrets {
            let place = || format!("the secret {name} of {}", instance.name);
            let value = source.read(&config.environment).with_context(place)?;
            secrets.insert(name.clone(), SecretValue::new(value.reveal()).with_context(place)?);
        }
        let wanted = Wanted {
            plugin: instance.plugin.clone(),
            disabled: !instance.enabled,
            settings: instance.settings.clone(),
            secrets,
            words: Words { granted: instance.grants.clone(), denied: BTreeSet::new() },
            limits: Some(limits(&config.limits.with(&instance.limits))),
        };
        instances.insert((kind, instance.name.clone()), wanted);
    }
    // The page has a token even when the config says nothing of it.
    let web = instances.entry((RoleKind::Channel, "web".to_string())).or_default();
    if !web.secrets.contains_key("web-token") {
        web.secrets
            .insert("web-token".into(), SecretValue::new(web_token(config)?).context("the token of the web page")?);
    }
    Ok(Wishes {
        instances,
        plugins: config.plugins.pinned.iter().map(|(name, pinned)| (name.clone(), pinned.grants.clone())).collect(),
        safe_mode: config.plugins.safe_mode,
        limits: limits(&config.limits),
        environment: config.environment.clone(),
    })
}

fn limits(limits: &config::Limits) -> Limits {
    let size = |value: u64| usize::try_from(value).unwrap_or(usize::MAX);
    Limits {
        memory: size(limits.memory),
        ticks: crate::runtime::ticks(limits.running),
        table_elements: size(limits.table_elements),
        instances: size(limits.instances),
        resources: size(limits.resources),
        transfer: size(limits.host_call),
        live_calls: size(limits.live_calls),
    }
}

fn model_wishes(config: &Config) -> crate::models::Wishes {
    let name = |name: &config::ModelName| (name.instance.clone(), name.model.clone());
    crate::models::Wishes {
        model: config.agent.model.as_ref().map(name),
        fallbacks: config.agent.fallback_models.iter().map(name).collect(),
        effort: config.agent.effort.map(|effort| match effort {
            config::Effort::Off => Effort::Off,
            config::Effort::Low => Effort::Low,
            config::Effort::Medium => Effort::Medium,
            config::Effort::High => Effort::High,
        }),
        options: config.agent.options.iter().map(|(name, value)| (name.clone(), value.to_string())).collect(),
        configured: config.providers.values().filter(|one| one.enabled).map(|one| one.name.clone()).collect(),
    }
}

fn channel_options(config: &Config) -> BTreeMap<String, ChannelOptions> {
    let mut all: BTreeMap<String, ChannelOptions> = config
        .channels
        .values()
        .map(|channel| {
            let options = ChannelOptions {
                mount: channel.mount.clone(),
                public_url: config.server.public_url.as_ref().map(ToString::to_string),
                contacts: match (channel.contacts, channel.allow.is_empty()) {
                    (Some(config::Contacts::Open), _) => Some(Contacts::Open),
                    (Some(config::Contacts::Allow), _) => Some(Contacts::Allow(channel.allow.clone())),
                    (Some(config::Contacts::Pairing), _) | (None, false) => {
                        Some(Contacts::Pairing(channel.allow.clone()))
                    }
                    (None, true) => None,
                },
            };
            (channel.name.clone(), options)
        })
        .collect();
    // The page is the server's own, unless the config gives it another place.
    all.entry("web".into()).or_default().mount.get_or_insert_with(|| "/".into());
    all
}

/// Without a slash at its end; empty for the root.
fn mount_of_the_page(config: &Config) -> String {
    let options = channel_options(config);
    let mount = options.get("web").and_then(|web| web.mount.as_deref()).unwrap_or_default();
    mount.trim_end_matches('/').to_string()
}

fn settings(config: &Config) -> Settings {
    let policy = |verdict: config::Verdict| match verdict {
        config::Verdict::Allow => Policy::Allow,
        config::Verdict::Ask => Policy::Ask,
        config::Verdict::Deny => Policy::Deny,
    };
    let mut rules: Vec<(String, Policy)> =
        config.policy.tools.iter().map(|(tool, verdict)| (tool.clone(), policy(*verdict))).collect();
    if config.policy.default != config::Verdict::Ask {
        rules.push(("*".into(), policy(config.policy.default)));
    }
    let base_prompt = match &config.agent.system_prompt {
        Some(own) => format!("{BASE_PROMPT}\n{own}"),
        None => BASE_PROMPT.to_string(),
    };
    let defaults = crate::agent::Limits::default();
    Settings {
        limits: crate::agent::Limits {
            max_rounds: usize::try_from(config.agent.max_tool_rounds).unwrap_or(usize::MAX),
            time: config.agent.turn_timeout,
            tool_chars: config.agent.tool_output_chars,
            context_tokens: config
                .agent
                .max_context_tokens
                .map_or(defaults.context_tokens, |tokens| usize::try_from(tokens).unwrap_or(usize::MAX)),
            context_turns: config
                .agent
                .max_context_turns
                .map_or(defaults.context_turns, |turns| usize::try_from(turns).unwrap_or(usize::MAX)),
            ..defaults
        },
        approval_time: config.agent.approval_timeout,
        rules: Arc::new(Rules::new(rules)),
        trust_content: !config.policy.reask_after_untrusted,
        base_prompt,
        workspace: config.agent.workspace.display().to_string(),
    }
}
