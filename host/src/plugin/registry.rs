//! The plugins folder and what is made of it.
//!
//! `scan` reads the folder, inspects what is new, and swaps in a new [`Snapshot`] when all of it is known; calls in
//! flight finish on the old one. A file that can't be used changes nothing but the list: the last good bytes of that
//! file, kept by digest, go on serving, also over a restart.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock, Weak};

use anyhow::Result;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::folder::{Found, Known, Stamp, read_folder, read_index, write_index};
use super::instance::{Host, Instance};
use super::manifest::{Manifest, Need, Secret, SecretUse};
use super::standing::{Standing, Words, asks_no_more, expanded, weigh};
use super::{Plugin, digest};
use crate::capability::http::Entry;
use crate::capability::said::Weight;
use crate::capability::secrets::{Declared, InstanceSecrets, Named, SecretValue, Use};
use crate::runtime::cache::{private_folder, write_private};
use crate::runtime::limits::Limits;

/// Which of the contract's roles an instance plays.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RoleKind {
    /// A model's API.
    Provider,
    /// A messenger.
    Channel,
    /// Things that the model can do.
    Tools,
}

/// What the config says of one instance.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    /// The plugin; none: the one that has a preset of the instance's name, or whose short name it is.
    pub plugin: Option<String>,
    /// Not to be started.
    pub disabled: bool,
    /// The person's settings.
    pub settings: Map<String, Value>,
    /// Secrets by name.
    pub secrets: BTreeMap<String, SecretValue>,
    /// The person's grants.
    pub words: Words,
    /// Of each call.
    pub limits: Option<Limits>,
}

/// All that the config says of instances.
#[derive(Debug, Clone, Default)]
pub struct Wishes {
    /// By role and name.
    pub instances: BTreeMap<(RoleKind, String), Wanted>,
    /// What a plugin may do in all its instances, by the plugin's name.
    pub plugins: BTreeMap<String, BTreeMap<String, Vec<String>>>,
    /// Only what was shipped.
    pub safe_mode: bool,
    /// The default limits.
    pub limits: Limits,
    /// Where presets look for keys.
    pub environment: BTreeMap<String, String>,
}

/// The person's standing words, kept in the store.
pub trait GrantBook: Send + Sync {
    /// For a plugin, with the manifest that they were given to.
    fn words(&self, plugin: &str) -> Option<(Words, Option<Manifest>)>;
}

/// A file that can't be used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Broken {
    /// Its name.
    pub file: String,
    /// Why, in plain words.
    pub reason: String,
    /// The digest that serves in its place.
    pub serving: Option<String>,
}

/// An instance that does not work, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Idle {
    /// Its name.
    pub name: String,
    /// Its plugin.
    pub plugin: String,
    /// Its role.
    pub role: RoleKind,
    /// What it asks for and has not.
    pub waiting: Vec<Need>,
    /// Else why.
    pub reason: String,
    /// It is only not set up; nothing is wrong.
    pub unset: bool,
}

/// One state of the world.
#[derive(Default)]
pub struct Snapshot {
    /// By manifest name.
    pub plugins: BTreeMap<String, Arc<Plugin>>,
    /// Files that can't be used.
    pub broken: Vec<Broken>,
    /// Working instances.
    pub instances: BTreeMap<(RoleKind, String), Arc<Instance>>,
    /// The others.
    pub idle: Vec<Idle>,
    /// Which preset made an instance, and whether its secrets are there.
    pub presets: BTreeMap<String, PresetState>,
}

/// A provider preset as it is found on this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PresetState {
    /// As the plugin says.
    pub preset: super::manifest::Preset,
    /// All its secrets are there.
    pub keyed: bool,
    /// The variables that gave them, for "which and why".
    pub variables: Vec<String>,
}

impl Snapshot {
    /// The instances of a role.
    pub fn of(&self, role: RoleKind) -> impl Iterator<Item = &Arc<Instance>> {
        self.instances.iter().filter(move |((kind, _), _)| *kind == role).map(|(_, instance)| instance)
    }

    /// Instances that were not called for so long give back what they have loaded; how many did.
    pub fn rest(&self, idle: std::time::Duration) -> usize {
        self.instances.values().filter(|instance| instance.rest(idle)).count()
    }

    /// One instance.
    pub fn get(&self, role: RoleKind, name: &str) -> Option<&Arc<Instance>> {
        self.instances.get(&(role, name.to_string()))
    }
}

/// The keeper.
pub struct Registry {
    folder: PathBuf,
    good: PathBuf,
    host: Arc<Host>,
    stock: BTreeSet<String>,
    wishes: Wishes,
    book: Arc<dyn GrantBook>,
    files: tokio::sync::Mutex<BTreeMap<String, FileState>>,
    snapshot: RwLock<Arc<Snapshot>>,
    looking_at: RwLock<Vec<String>>,
    /// Versions that were replaced; what is kept of one goes when no call runs on it any more.
    retired: Mutex<Vec<(String, Weak<Plugin>)>>,
}

/// What is known of one file.
#[derive(Clone)]
struct FileState {
    seen: String,
    stamp: Option<Stamp>,
    plugin: Option<Arc<Plugin>>,
    broken: Option<String>,
}

impl Registry {
    /// `folder` holds the plugins, `good` the last good bytes by digest.
    pub fn new(
        folder: PathBuf,
        good: PathBuf,
        host: Arc<Host>,
        stock: BTreeSet<String>,
        wishes: Wishes,
        book: Arc<dyn GrantBook>,
    ) -> Result<Self> {
        private_folder(&good)?;
        let configured = wishes.instances.values().flat_map(|wanted| wanted.secrets.clone()).collect();
        host.services.known.learn("the configuration", configured)?;
        Ok(Self {
            folder,
            good,
            host,
            stock,
            wishes,
            book,
            files: tokio::sync::Mutex::default(),
            snapshot: RwLock::default(),
            looking_at: RwLock::default(),
            retired: Mutex::default(),
        })
    }

    /// The world as it is now.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.snapshot.read().map(|snapshot| Arc::clone(&snapshot)).unwrap_or_default()
    }

    /// The files that a scan is about, and that are not yet part of the world.
    pub fn looking_at(&self) -> Vec<String> {
        self.looking_at.read().map(|files| files.clone()).unwrap_or_default()
    }

    fn look_at_all(&self, files: Vec<String>) {
        if let Ok(mut looking) = self.looking_at.write() {
            *looking = files;
        }
    }

    /// What instances share.
    pub fn host(&self) -> &Arc<Host> {
        &self.host
    }

    /// The plugins folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Whether these bytes were shipped with this host.
    pub fn is_stock(&self, digest: &str) -> bool {
        self.stock.contains(digest)
    }

    /// Reads the folder and swaps in what came of it. Returns whether anything changed.
    pub async fn scan(&self) -> Result<bool> {
        let mut files = self.files.lock().await;
        let (folder, good) = (self.folder.clone(), self.good.clone());
        let known = if files.is_empty() {
            read_index(&self.good)
        } else {
            files.iter().map(|(file, state)| (file.clone(), (state.stamp, state.seen.clone()))).collect()
        };
        let present = tokio::task::spawn_blocking(move || read_folder(&folder, &good, &known)).await??;
        let mut changed = false;
        let gone: Vec<String> = files.keys().filter(|file| !present.contains_key(*file)).cloned().collect();
        for file in gone {
            tracing::info!("the plugin file {file} is gone");
            files.remove(&file);
            let _ = std::fs::remove_file(self.good_note(&file));
            changed = true;
        }
        let new =
            present.iter().filter(|(file, found)| files.get(*file).is_none_or(|known| known.seen != found.digest));
        self.look_at_all(new.map(|(file, _)| file.clone()).collect());
        for (file, found) in present {
            let known = files.get(&file);
            if known.is_some_and(|state| state.seen == found.digest) {
                if let Some(state) = files.get_mut(&file) {
                    state.stamp = found.stamp;
                }
                continue;
            }
            changed = true;
            let before = known.and_then(|state| state.plugin.clone());
            let state = self.look_at(&file, found, before).await;
            files.insert(file, state);
        }
        let next = self.assemble(&files);
        // Before anything can use them.
        self.host.services.known.learn("plugins", self.secrets(&next))?;
        self.tell_of_idle(&next);
        if let Ok(mut snapshot) = self.snapshot.write() {
            *snapshot = Arc::new(next);
        }
        self.forget_retired(&files);
        if changed {
            // Of a broken file and of one that was touched just now nothing is known that would hold.
            let held = files.iter().filter(|(_, state)| state.broken.is_none() && state.stamp.is_some());
            let known: Known = held.map(|(file, state)| (file.clone(), (state.stamp, state.seen.clone()))).collect();
            write_index(&self.good, &known);
        }
        self.look_at_all(Vec::new());
        Ok(changed)
    }

    /// Removes what is kept of plugins that are no more. At the start only: later a replaced version may still serve.
    pub fn tidy(&self) {
        let snapshot = self.snapshot();
        let mut live: BTreeSet<String> = snapshot.plugins.values().map(|plugin| plugin.digest.clone()).collect();
        let Ok(entries) = std::fs::read_dir(&self.good) else { return };
        let kept: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
        for note in kept.iter().filter(|path| path.extension().is_some_and(|ending| ending == "last")) {
            live.extend(std::fs::read_to_string(note));
        }
        for bytes in kept.iter().filter(|path| path.extension().is_some_and(|ending| ending == "wasm")) {
            let stem = bytes.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
            if !live.contains(stem) {
                // What cannot be removed is in nobody's way.
                let _ = std::fs::remove_file(bytes);
            }
        }
        self.host.runtime.cache().prune(&|digest| live.contains(digest));
    }

    /// What instances do not work for, where that is news.
    fn tell_of_idle(&self, next: &Snapshot) {
        let before = self.snapshot();
        for idle in next.idle.iter().filter(|idle| !idle.unset && !before.idle.contains(idle)) {
            self.host.services.said.host(&idle.plugin, &idle.name, Weight::Warn, idle.reason.as_str());
        }
    }

    /// Removes what is kept of versions that were replaced, once nothing runs on them.
    fn forget_retired(&self, files: &BTreeMap<String, FileState>) {
        let live: BTreeSet<&str> = files
            .values()
            .flat_map(|state| state.plugin.iter().map(|plugin| plugin.digest.as_str()).chain([state.seen.as_str()]))
            .collect();
        self.retired.lock().unwrap_or_else(PoisonError::into_inner).retain(|(digest, plugin)| {
            if plugin.strong_count() > 0 {
                return true;
            }
            if !live.contains(digest.as_str()) {
                // What cannot be removed is in nobody's way, and gone after the next start.
                let _ = std::fs::remove_file(self.good.join(format!("{digest}.wasm")));
                self.host.runtime.cache().forget(digest);
            }
            false
        });
    }

    fn retire(&self, before: Option<&Arc<Plugin>>) {
        if let Some(before) = before {
            let mut retired = self.retired.lock().unwrap_or_else(PoisonError::into_inner);
            retired.push((before.digest.clone(), Arc::downgrade(before)));
        }
    }

    fn good_note(&self, file: &str) -> PathBuf {
        self.good.join(format!("{file}.last"))
    }

    async fn look_at(&self, file: &str, found: Found, before: Option<Arc<Plugin>>) -> FileState {
        let inspected = match &found.problem {
            Some(problem) => Err(anyhow::anyhow!("{problem}")),
            None => {
                let bytes = self.good.join(format!("{}.wasm", found.digest));
                Plugin::inspect(&self.host.runtime, file, &found.digest, bytes).await
            }
        };
        match inspected {
            Ok(plugin) => {
                self.retire(before.as_ref());
                let short = plugin.digest.get(..12).unwrap_or_default();
                let text = format!("version {} is in use now ({file}, {short})", plugin.manifest.version);
                self.host.services.said.host(&plugin.manifest.name, &plugin.manifest.name, Weight::Info, text);
                tracing::info!(
                    "plugin {} {} ({file}, {})",
                    plugin.manifest.name,
                    plugin.manifest.version,
                    plugin.digest.get(..12).unwrap_or_default()
                );
                let note = self.good_note(file);
                // At each start there are as many as plugins.
                let noted = std::fs::read(&note).is_ok_and(|noted| noted == found.digest.as_bytes());
                if !noted && let Err(error) = write_private(&note, found.digest.as_bytes()) {
                    tracing::warn!("{error:#}");
                }
                FileState { seen: found.digest, stamp: found.stamp, plugin: Some(Arc::new(plugin)), broken: None }
            }
            Err(error) => {
                let reason = format!("{error:#}");
                let last = match before {
                    Some(before) => Some(before),
                    None => self.last_good(file).await,
                };
                let name = last.as_ref().map_or(file.trim_end_matches(".wasm"), |last| last.manifest.name.as_str());
                let text = format!("the file {file} can't be used: {reason}");
                self.host.services.said.host(name, name, Weight::Error, text);
                match &last {
                    Some(last) => tracing::warn!(
                        "the plugin file {file} can't be used: {reason}; its last good version {} goes on",
                        last.manifest.version
                    ),
                    None => tracing::warn!("the plugin file {file} can't be used: {reason}"),
                }
                FileState { seen: found.digest, stamp: found.stamp, plugin: last, broken: Some(reason) }
            }
        }
    }

    /// After a restart: the bytes that this file had when they were good.
    async fn last_good(&self, file: &str) -> Option<Arc<Plugin>> {
        let noted = std::fs::read_to_string(self.good_note(file)).ok()?;
        let bytes = self.good.join(format!("{noted}.wasm"));
        let genuine = std::fs::read(&bytes).is_ok_and(|bytes| digest(&bytes) == noted);
        if !genuine {
            return None;
        }
        Plugin::inspect(&self.host.runtime, file, &noted, bytes).await.ok().map(Arc::new)
    }

    /// From files to instances.
    fn assemble(&self, files: &BTreeMap<String, FileState>) -> Snapshot {
        let before = self.snapshot();
        let mut next = Snapshot::default();
        // Whoever takes the name of what came with the host does not get its place, and with it what the person gave it.
        let shipped = |state: &FileState| state.plugin.as_ref().is_some_and(|plugin| self.is_stock(&plugin.digest));
        let (first, then): (Vec<_>, Vec<_>) = files.iter().partition(|(_, state)| shipped(state));
        for (file, state) in first.into_iter().chain(then) {
            let mut broken = state.broken.clone();
            if let Some(plugin) = &state.plugin {
                let name = plugin.manifest.name.clone();
                match next.plugins.get(&name) {
                    Some(first) => {
                        broken = Some(format!("it has the same name as {} ({name}); only one can be used", first.file));
                    }
                    None => {
                        next.plugins.insert(name, Arc::clone(plugin));
                    }
                }
            }
            if let Some(reason) = broken {
                let serving = state.plugin.as_ref().filter(|_| state.broken.is_some()).map(|p| p.digest.clone());
                next.broken.push(Broken { file: file.clone(), reason, serving });
            }
        }
        for (role, name, plugin, wanted, preset) in self.wanted(&next.plugins) {
            if let Some(preset) = &preset {
                next.presets.insert(name.clone(), preset.clone());
            }
            let idle = |waiting, reason: String, unset| Idle {
                name: name.clone(),
                plugin: plugin.as_ref().map_or_else(String::new, |plugin| plugin.manifest.name.clone()),
                role,
                waiting,
                reason,
                unset,
            };
            let Some(found) = &plugin else {
                let which = wanted.plugin.clone().unwrap_or_else(|| name.clone());
                next.idle.push(idle(vec![], format!("there is no plugin {which} in the plugins folder"), false));
                continue;
            };
            match self.instance(&name, found, &wanted, preset.as_ref(), &before, role) {
                Ok(instance) => {
                    next.instances.insert((role, name.clone()), instance);
                }
                Err(NotWorking::Waiting(needs)) => {
                    let reason =
                        format!("it asks for more than it has; openpista-host plugin allow {}", found.manifest.name);
                    next.idle.push(idle(needs, reason, false));
                }
                Err(NotWorking::Unset(reason)) => next.idle.push(idle(vec![], reason, true)),
                Err(NotWorking::Refused(reason)) => next.idle.push(idle(vec![], reason, false)),
            }
        }
        next
    }

    /// The secrets of all instances, and those that the environment holds for an instance that does not work yet. Only
    /// what came with the host says which variables hold secrets: a stranger could name any.
    fn secrets(&self, snapshot: &Snapshot) -> Vec<Named> {
        let used = snapshot.instances.values().flat_map(|instance| instance.secrets.values());
        let stock = snapshot.plugins.values().filter(|plugin| self.is_stock(&plugin.digest));
        let named = stock.flat_map(|plugin| &plugin.manifest.presets).flat_map(|preset| &preset.environment);
        let found = named.filter_map(|(secret, variable)| {
            let value = self.wishes.environment.get(variable)?;
            Some((secret.clone(), SecretValue::new(value).ok()?))
        });
        used.chain(found).collect()
    }

    /// What there should be: what the config names, and what needs no word.
    #[expect(clippy::type_complexity, reason = "one row for each instance, consumed at once")]
    fn wanted(
        &self,
        plugins: &BTreeMap<String, Arc<Plugin>>,
    ) -> Vec<(RoleKind, String, Option<Arc<Plugin>>, Wanted, Option<PresetState>)> {
        let mut rows = Vec::new();
        let mut named = BTreeSet::new();
        for ((role, name), wanted) in &self.wishes.instances {
            named.insert((*role, name.clone()));
            if wanted.disabled {
                continue;
            }
            let plugin = match &wanted.plugin {
                Some(plugin) => plugins.get(plugin).cloned(),
                None => plugins.values().find(|plugin| plays(plugin, *role) && knows(plugin, name)).cloned(),
            };
            let preset =
                plugin.as_ref().and_then(|plugin| preset_state(plugin, name, wanted, &self.wishes.environment));
            rows.push((*role, name.clone(), plugin, wanted.clone(), preset));
        }
        for plugin in plugins.values() {
            if self.wishes.safe_mode && !self.is_stock(&plugin.digest) {
                continue;
            }
            for role in [RoleKind::Provider, RoleKind::Channel, RoleKind::Tools] {
                if !plays(plugin, role) {
                    continue;
                }
                let presets: Vec<String> =
                    plugin.manifest.presets.iter().filter(|preset| preset.rank > 0).map(|p| p.name.clone()).collect();
                let names = if presets.is_empty() && plugin.manifest.presets.is_empty() {
                    vec![plugin.manifest.short_name().to_string()]
                } else {
                    presets
                };
                for name in names {
                    if named.insert((role, name.clone())) {
                        let wanted = Wanted::default();
                        let preset = preset_state(plugin, &name, &wanted, &self.wishes.environment);
                        rows.push((role, name, Some(Arc::clone(plugin)), wanted, preset));
                    }
                }
            }
        }
        rows
    }

    fn instance(
        &self,
        name: &str,
        plugin: &Arc<Plugin>,
        wanted: &Wanted,
        preset: Option<&PresetState>,
        before: &Snapshot,
        role: RoleKind,
    ) -> Result<Arc<Instance>, NotWorking> {
        let stock = self.is_stock(&plugin.digest);
        if self.wishes.safe_mode && !stock {
            return Err(NotWorking::Refused("safe mode: only plugins that came with the host are used".into()));
        }
        let mut settings = preset.map(|preset| preset.preset.settings.clone()).unwrap_or_default();
        settings.extend(wanted.settings.clone());
        let settings = plugin.manifest.settings(settings).map_err(NotWorking::Refused)?;
        let own: BTreeSet<String> = wanted.settings.keys().cloned().collect();
        let mut words = wanted.words.clone();
        for (capability, scope) in self.wishes.plugins.get(&plugin.manifest.name).into_iter().flatten() {
            words.granted.entry(capability.clone()).or_insert_with(|| scope.clone());
        }
        if let Some((standing, given_to)) = self.book.words(&plugin.manifest.name) {
            // What was granted to one version holds for another that asks for no more.
            let holds = given_to.is_none_or(|before| asks_no_more(&before, &plugin.manifest));
            if holds {
                for (capability, scope) in standing.granted {
                    words.granted.entry(capability).or_insert(scope);
                }
            }
            words.denied.extend(standing.denied);
        }
        let grants = match weigh(plugin, stock, &words, &settings, &own) {
            Standing::Ready(grants) => grants,
            Standing::Waiting(needs) => return Err(NotWorking::Waiting(needs)),
            Standing::Refused(reason) => return Err(NotWorking::Refused(reason)),
        };
        let mut values = secret_values(plugin, wanted, preset, stock, &own, &self.wishes.environment);
        if let Some(missing) =
            plugin.manifest.secrets.iter().find(|secret| !secret.optional && !values.contains_key(&secret.name))
        {
            return Err(NotWorking::Unset(format!("it needs the secret `{}`: {}", missing.name, missing.title)));
        }
        let declared = plugin
            .manifest
            .secrets
            .iter()
            .map(|secret| Ok((declared(secret, &settings, &own)?, values.remove(&secret.name))))
            .collect::<Result<Vec<_>, String>>()
            .map_err(NotWorking::Refused)?;
        let secrets = InstanceSecrets::new(name, declared).map_err(|error| NotWorking::Refused(error.to_string()))?;
        let settings: Arc<str> = Value::Object(settings).to_string().into();
        let limits = wanted.limits.unwrap_or(self.wishes.limits);
        // An instance of which nothing changed keeps what it has loaded.
        if let Some(same) = before.get(role, name).filter(|same| {
            same.plugin.digest == plugin.digest
                && *same.grants == grants
                && same.settings == settings
                && same.limits == limits
                && same.secrets.same_as(&secrets)
        }) {
            return Ok(Arc::clone(same));
        }
        let record = before.get(role, name).map(|old| {
            // Another component has not broken anything yet.
            if old.plugin.digest != plugin.digest {
                old.record.pardon();
            }
            Arc::clone(&old.record)
        });
        Ok(Arc::new(Instance::new(
            name.to_string(),
            Arc::clone(plugin),
            grants,
            settings,
            Arc::new(secrets),
            limits,
            record.unwrap_or_default(),
        )))
    }
}

enum NotWorking {
    Waiting(Vec<Need>),
    Unset(String),
    Refused(String),
}

fn plays(plugin: &Plugin, role: RoleKind) -> bool {
    match role {
        RoleKind::Provider => plugin.shape.provider(),
        RoleKind::Channel => plugin.shape.channel(),
        RoleKind::Tools => plugin.shape.tools(),
    }
}

fn knows(plugin: &Plugin, name: &str) -> bool {
    plugin.manifest.name == name
        || plugin.manifest.short_name() == name
        || plugin.manifest.presets.iter().any(|preset| preset.name == name)
}

fn preset_state(
    plugin: &Plugin,
    name: &str,
    wanted: &Wanted,
    environment: &BTreeMap<String, String>,
) -> Option<PresetState> {
    let preset = plugin.manifest.presets.iter().find(|preset| preset.name == name)?.clone();
    let variables: Vec<String> = preset
        .environment
        .iter()
        .filter(|(_, variable)| environment.get(variable).is_some_and(|value| !value.is_empty()))
        .map(|(_, variable)| variable.clone())
        .collect();
    let keyed = preset
        .environment
        .iter()
        .all(|(secret, variable)| wanted.secrets.contains_key(secret) || variables.contains(variable));
    Some(PresetState { preset, keyed, variables })
}

/// The person's values, and for stock plugins what the preset's variables hold. A setting of the person's that moves
/// the audience elsewhere keeps the vendor's key at home: it was given for the vendor.
fn secret_values(
    plugin: &Plugin,
    wanted: &Wanted,
    preset: Option<&PresetState>,
    stock: bool,
    own: &BTreeSet<String>,
    environment: &BTreeMap<String, String>,
) -> BTreeMap<String, SecretValue> {
    let mut values = wanted.secrets.clone();
    let Some(preset) = preset.filter(|_| stock) else { return values };
    for (secret, variable) in &preset.preset.environment {
        let moved = plugin
            .manifest
            .secrets
            .iter()
            .filter(|declared| declared.name == *secret)
            .flat_map(|declared| &declared.uses)
            .filter_map(audience)
            .filter_map(|audience| audience.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')))
            .any(|setting| own.contains(setting));
        if moved || values.contains_key(secret) {
            continue;
        }
        if let Some(value) = environment.get(variable)
            && !value.is_empty()
        {
            match SecretValue::new(value) {
                Ok(value) => {
                    values.insert(secret.clone(), value);
                }
                Err(why) => tracing::warn!("the variable {variable} is not used: {why}"),
            }
        }
    }
    values
}

fn audience(usage: &SecretUse) -> Option<&str> {
    match usage {
        SecretUse::Header(at)
        | SecretUse::Basic(at)
        | SecretUse::Query(at)
        | SecretUse::Json(at)
        | SecretUse::Form(at)
        | SecretUse::Frame(at)
        | SecretUse::Environment(at) => Some(&at.audience),
        SecretUse::Path(audience) => Some(audience),
        SecretUse::Verify | SecretUse::Compare | SecretUse::Mac { .. } | SecretUse::Digest | SecretUse::Fact(_) => None,
    }
}

/// An audience whose setting is not given is nobody's: the use is left out. A broken one refuses the instance.
pub fn declared(secret: &Secret, settings: &Map<String, Value>, own: &BTreeSet<String>) -> Result<Declared, String> {
    let mut uses = Vec::new();
    for usage in &secret.uses {
        let audience = match audience(usage) {
            None => None,
            Some(_) if matches!(usage, SecretUse::Environment(_)) => None,
            Some(text) => match expanded(&[text.to_string()], settings, own).pop() {
                Some(text) => Some(
                    Entry::parse(&text)
                        .map_err(|error| format!("the audience of its secret `{}`: {error}", secret.name))?,
                ),
                None => continue,
            },
        };
        uses.extend(usage_of(usage, audience));
    }
    Ok(Declared { name: secret.name.clone(), uses, optional: secret.optional })
}

fn usage_of(usage: &SecretUse, audience: Option<Entry>) -> Option<Use> {
    Some(match usage {
        SecretUse::Header(at) => Use::Header { audience: audience?, name: at.name.clone() },
        SecretUse::Basic(at) => Use::Basic { audience: audience?, name: at.name.clone() },
        SecretUse::Path(_) => Use::Path { audience: audience? },
        SecretUse::Query(at) => Use::Query { audience: audience?, name: at.name.clone() },
        SecretUse::Json(at) => Use::Json { audience: audience?, pointer: at.name.clone() },
        SecretUse::Form(at) => Use::Form { audience: audience?, name: at.name.clone() },
        SecretUse::Frame(at) => Use::Frame { audience: audience?, pointer: at.name.clone() },
        SecretUse::Environment(at) => Use::Environment { command: at.audience.clone(), name: at.name.clone() },
        SecretUse::Verify => Use::Verify,
        SecretUse::Compare => Use::Compare,
        SecretUse::Mac { prefix, rounds } => Use::Mac { prefix: prefix.clone(), rounds: *rounds },
        SecretUse::Digest => Use::Digest,
        SecretUse::Fact(claim) => Use::Fact(claim.clone()),
    })
}
