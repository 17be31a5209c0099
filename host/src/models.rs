//! Which model answers: what the person chose, else the best that this machine has, and why.
//!
//! Everything about vendors comes from the manifests of provider plugins: their presets say which variable holds a key,
//! which local address answers, and in what order they are taken. What a model can take comes from the provider's own
//! list, asked for in the background and kept for a day.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::Instant;

use crate::agent::Model;
use crate::agent::ports::Effort;
use crate::plugin::provider::ProviderInstance;
use crate::plugin::registry::{Registry, RoleKind, Snapshot};
use crate::session::Catalogue;
use crate::wit::role::provider as wit;

/// How long a local service may take to show that it is there.
const PROBE: Duration = Duration::from_millis(300);
/// A list of models is asked for again after this; after a failure sooner.
const FRESH: Duration = Duration::from_secs(24 * 3600);
const AGAIN: Duration = Duration::from_secs(60);
/// What the person set up by hand comes before what is only found.
const BY_HAND: u16 = 1_000;

/// What the config says.
#[derive(Debug, Clone, Default)]
pub struct Wishes {
    /// `instance/model`, or an instance.
    pub model: Option<(String, Option<String>)>,
    /// Asked when the first one fails.
    pub fallbacks: Vec<(String, Option<String>)>,
    /// How hard to think.
    pub effort: Option<Effort>,
    /// For the model's API: name and JSON.
    pub options: Vec<(String, String)>,
    /// Instances that the config names.
    pub configured: Vec<String>,
}

/// What is used when nobody says otherwise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choice {
    /// The provider instance.
    pub instance: String,
    /// As the API calls it; none: the first of its list.
    pub model: Option<String>,
    /// For the person.
    pub why: String,
}

/// See the module.
pub struct Models {
    me: Weak<Models>,
    registry: Arc<Registry>,
    wishes: Wishes,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    choice: Option<Choice>,
    lists: BTreeMap<String, List>,
}

/// What one instance offers.
struct List {
    digest: String,
    models: Vec<wit::Model>,
    due: Instant,
}

impl Models {
    /// Nothing is chosen yet.
    pub fn new(registry: Arc<Registry>, wishes: Wishes) -> Arc<Self> {
        Arc::new_cyclic(|me| Self { me: Weak::clone(me), registry, wishes, state: Mutex::default() })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is used when nobody says otherwise.
    pub fn choice(&self) -> Option<Choice> {
        self.state().choice.clone()
    }

    /// Looks again at what there is; at the start and when plugins change.
    pub async fn choose(&self) -> Option<Choice> {
        let snapshot = self.registry.snapshot();
        let choice = match &self.wishes.model {
            Some((instance, model)) => {
                let model = model.clone().or_else(|| preset_model(&snapshot, instance));
                Some(Choice { instance: instance.clone(), model, why: "the configuration says so".into() })
            }
            None => self.best(&snapshot).await,
        };
        self.state().choice.clone_from(&choice);
        choice
    }

    async fn best(&self, snapshot: &Snapshot) -> Option<Choice> {
        let mut ranked: Vec<(u16, &str)> = Vec::new();
        for provider in snapshot.of(RoleKind::Provider) {
            let by_hand = self.wishes.configured.contains(&provider.name);
            let rank = snapshot.presets.get(&provider.name).map_or(0, |preset| u16::from(preset.preset.rank));
            if by_hand || rank > 0 {
                ranked.push((if by_hand { BY_HAND + rank } else { rank }, &provider.name));
            }
        }
        ranked.sort_by(|a, b| b.0.cmp(&a.0).then(a.1.cmp(b.1)));
        for (rank, instance) in ranked {
            let model = preset_model(snapshot, instance);
            let choice = |why: String| Some(Choice { instance: instance.to_string(), model: model.clone(), why });
            let Some(preset) = snapshot.presets.get(instance) else {
                return choice(format!("[providers.{instance}] is in the configuration"));
            };
            if rank >= BY_HAND
                && (preset.keyed || preset.preset.environment.is_empty())
                && preset.preset.probe.is_none()
            {
                return choice(format!("[providers.{instance}] is in the configuration"));
            }
            if !preset.keyed {
                continue;
            }
            match &preset.preset.probe {
                Some(address) => {
                    if answers(address).await {
                        return choice(format!("{} answers at {address}", preset.preset.title));
                    }
                }
                None if preset.variables.is_empty() => {
                    return choice(format!("nothing else is set up: {}", preset.preset.title));
                }
                None => return choice(format!("{} is set", preset.variables.join(" and "))),
            }
        }
        None
    }

    /// The list of one instance as it is known; asked for in the background when it is old.
    fn known(&self, instance: &str) -> Option<Vec<wit::Model>> {
        let snapshot = self.registry.snapshot();
        let digest = snapshot.get(RoleKind::Provider, instance)?.plugin.digest.clone();
        let mut state = self.state();
        let list = state.lists.get(instance).filter(|list| list.digest == digest);
        let models = list.map(|list| list.models.clone());
        if list.is_none_or(|list| list.due <= Instant::now()) {
            let due = Instant::now() + AGAIN;
            let kept = models.clone().unwrap_or_default();
            state.lists.insert(instance.to_string(), List { digest, models: kept, due });
            if let Some(me) = self.me.upgrade() {
                let instance = instance.to_string();
                tokio::spawn(async move { me.ask(&instance).await });
            }
        }
        models.filter(|models| !models.is_empty())
    }

    /// Asks an instance for its models; what went wrong.
    pub async fn ask(&self, instance: &str) -> Result<Vec<wit::Model>, String> {
        let snapshot = self.registry.snapshot();
        let found =
            snapshot.get(RoleKind::Provider, instance).ok_or_else(|| format!("there is no provider {instance}"))?;
        let provider = ProviderInstance { instance: Arc::clone(found), host: Arc::clone(self.registry.host()) };
        let models = provider.models().await.map_err(|error| error.to_string());
        if let Ok(models) = &models {
            let list =
                List { digest: found.plugin.digest.clone(), models: models.clone(), due: Instant::now() + FRESH };
            self.state().lists.insert(instance.to_string(), list);
        }
        models
    }

    /// Asks those that are ready, so that clients have something to choose from.
    pub async fn refresh(&self) {
        let snapshot = self.registry.snapshot();
        let ready = snapshot.of(RoleKind::Provider).filter(|provider| {
            let preset = snapshot.presets.get(&provider.name);
            let chosen = self.choice().is_some_and(|choice| choice.instance == provider.name);
            chosen || preset.is_none_or(|preset| preset.keyed && preset.preset.probe.is_none())
        });
        for provider in ready {
            if let Err(why) = self.ask(&provider.name).await {
                tracing::debug!("the models of {} are not known: {why}", provider.name);
            }
        }
    }

    async fn model(&self, instance: &str, model: Option<&str>) -> Option<Model> {
        let snapshot = self.registry.snapshot();
        let found = snapshot.get(RoleKind::Provider, instance)?;
        let id = match model {
            Some(model) => model.to_string(),
            None => {
                let list = match self.known(instance) {
                    Some(list) => list,
                    None => self.ask(instance).await.ok()?,
                };
                list.first()?.id.clone()
            }
        };
        let known = self.known(instance).and_then(|list| list.into_iter().find(|known| known.id == id));
        let abilities = known.as_ref().map_or(
            // Most models can; one that cannot says so in its list, or in its answer.
            wit::Abilities::TOOLS | wit::Abilities::IMAGES,
            |known| known.abilities,
        );
        Some(Model {
            provider: Arc::new(ProviderInstance {
                instance: Arc::clone(found),
                host: Arc::clone(self.registry.host()),
            }),
            id,
            context: known.as_ref().and_then(|known| known.context),
            max_output: known.as_ref().and_then(|known| known.max_output),
            tools: abilities.contains(wit::Abilities::TOOLS),
            images: abilities.contains(wit::Abilities::IMAGES),
            documents: abilities.contains(wit::Abilities::DOCUMENTS),
            effort: self.wishes.effort,
            options: self.wishes.options.clone(),
        })
    }
}

fn preset_model(snapshot: &Snapshot, instance: &str) -> Option<String> {
    snapshot.presets.get(instance)?.preset.model.clone()
}

/// Whether something answers at a loopback address. Nothing else is ever asked without a word from the person.
async fn answers(address: &str) -> bool {
    let Ok(url) = url::Url::parse(address) else { return false };
    let loopback = match url.host() {
        Some(url::Host::Ipv4(ip)) => IpAddr::V4(ip).is_loopback(),
        Some(url::Host::Ipv6(ip)) => IpAddr::V6(ip).is_loopback(),
        Some(url::Host::Domain(_)) | None => false,
    };
    if !loopback || url.scheme() != "http" {
        return false;
    }
    let probe = async {
        let (host, port) = (url.host_str()?, url.port_or_known_default()?);
        let stream = tokio::net::TcpStream::connect((host, port)).await.ok()?;
        let io = hyper_util::rt::TokioIo::new(stream);
        let (mut sender, connection) = hyper::client::conn::http1::handshake(io).await.ok()?;
        let driver = tokio::spawn(connection);
        let request = http::Request::get(url.path())
            .header(http::header::HOST, format!("{host}:{port}"))
            .body(http_body_util::Empty::<bytes::Bytes>::new())
            .ok()?;
        let answer = sender.send_request(request).await.ok();
        driver.abort();
        Some(answer?.status().is_success())
    };
    tokio::time::timeout(PROBE, probe).await.ok().flatten().unwrap_or(false)
}

#[async_trait]
impl Catalogue for Models {
    async fn line_up(&self, chosen: Option<&str>) -> Vec<Model> {
        let first = match chosen {
            Some(name) => {
                let (instance, model) = name.split_once('/').unwrap_or((name, ""));
                Some((instance.to_string(), Some(model).filter(|model| !model.is_empty()).map(str::to_string)))
            }
            None => self.choice().map(|choice| (choice.instance, choice.model)),
        };
        let mut line_up = Vec::new();
        for (instance, model) in first.into_iter().chain(self.wishes.fallbacks.iter().cloned()) {
            line_up.extend(self.model(&instance, model.as_deref()).await);
        }
        line_up
    }

    fn names(&self) -> Vec<String> {
        let snapshot = self.registry.snapshot();
        let mut names: Vec<String> = Vec::new();
        let choice = self.choice();
        if let Some(Choice { instance, model: Some(model), .. }) = &choice {
            names.push(format!("{instance}/{model}"));
        }
        for (instance, list) in &self.state().lists {
            if snapshot.get(RoleKind::Provider, instance).is_some() {
                names.extend(list.models.iter().map(|model| format!("{instance}/{}", model.id)));
            }
        }
        let mut seen = std::collections::HashSet::new();
        names.retain(|name| seen.insert(name.clone()));
        names
    }

    fn find(&self, typed: &str) -> Result<String, String> {
        let names = self.names();
        if names.iter().any(|name| name == typed) {
            return Ok(typed.to_string());
        }
        let ending: Vec<&String> =
            names.iter().filter(|name| name.split_once('/').is_some_and(|(_, model)| model == typed)).collect();
        if let [only] = ending.as_slice() {
            return Ok((*only).clone());
        }
        let snapshot = self.registry.snapshot();
        let (instance, model) = typed.split_once('/').unwrap_or((typed, ""));
        if snapshot.get(RoleKind::Provider, instance).is_some() {
            // A list may be out of date; the service says it if there is no such model.
            return Ok(if model.is_empty() { instance.to_string() } else { typed.to_string() });
        }
        let nearest = names
            .iter()
            .map(|name| (strsim::jaro_winkler(name, typed), name))
            .max_by(|(one, _), (other, _)| one.total_cmp(other));
        Err(match nearest {
            Some((alike, name)) if alike > 0.7 => format!("There is no model {typed}. Did you mean {name}?"),
            _ => format!("There is no model {typed}. To see what there is: /model"),
        })
    }
}
