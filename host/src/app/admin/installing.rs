//! Installing, updating and taking away plugins: what is fetched is looked at as the daemon would, shown, and only then put
//! in its place, in one step, with the version before kept.

use std::path::Path;

use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::Admin;
use crate::admin::{
    Audience, Before, Grant, InstallEvent, InstalledSummary, Installing, PluginSummary, Refusal, Removal, Response,
    ResponseSink, SignerSummary, StagedPlugin,
};
use crate::app::installing::{Accepted, Staged};
use crate::app::joints;
use crate::install::changes::{Changes, changes, usage_in_words};
use crate::install::lock::{Entry, Installed, Lock};
use crate::install::signature::{Key, Signer, check};
use crate::install::source::Source;
use crate::message::new_id;
use crate::plugin::{Plugin, check_kind, digest};
use crate::runtime::cache::{private_folder, write_private};

/// Between two words of how far a download is.
const STEP: u64 = 128 << 10;

/// What is to be fetched, and what may be done with it.
pub(in crate::app) struct Wanted {
    /// From where.
    pub source: Source,
    /// Unencrypted connections are meant.
    pub plain_http: bool,
    /// It may take the place of what came from elsewhere.
    pub replace: bool,
    /// What the person says about signers.
    pub accepted: Accepted,
    /// It has to be this plugin.
    pub name: Option<String>,
    /// The configuration wants it.
    pub configured: bool,
}

/// Told how far a download is.
pub(in crate::app) type Progress<'a> = dyn Fn(u64, Option<u64>) + Send + Sync + 'a;

impl Admin {
    pub(super) async fn installing(&self, wanted: Installing, out: &ResponseSink) -> Result<(), Refusal> {
        let event = match wanted {
            Installing::Stage { source, folder, plain_http, replace, accept_signer } => {
                let source = Source::parse(&source, Path::new(&folder)).map_err(|e| Refusal::invalid(e.to_string()))?;
                let accepted = Accepted::parse(accept_signer.as_deref())?;
                let wanted = Wanted { source, plain_http, replace, accepted, name: None, configured: false };
                InstallEvent::Staged(Box::new(self.staged(wanted, out).await?))
            }
            Installing::StageUpdate { name, accept_signer } => {
                self.stage_update(name, Accepted::parse(accept_signer.as_deref())?, out).await?
            }
            Installing::Install { id, allow } => InstallEvent::Installed(Box::new(self.install(&id, allow).await?)),
            Installing::Forget { id } => {
                self.0.installations.drop_staged(&id);
                return Ok(());
            }
            Installing::Rollback { name } => InstallEvent::Installed(Box::new(self.rollback(&name).await?)),
            Installing::Remove { name, purge, really } => {
                InstallEvent::Removal(self.remove(&name, purge, really).await?)
            }
            Installing::Trust { name, key } => self.trust(name, key).await?,
            Installing::Sources => {
                let lock = Lock::read(&self.0.installations.lock)?;
                for (name, entry) in lock.names().into_iter().filter_map(|name| Some((name.clone(), lock.get(&name)?)))
                {
                    let event = InstallEvent::Source { name, installed: installed_summary(&entry) };
                    out.send(Response::Installing(event)).await?;
                }
                return Ok(());
            }
        };
        out.send(Response::Installing(event)).await?;
        Ok(())
    }

    /// Stages, and tells the asker how far it is.
    async fn staged(&self, wanted: Wanted, out: &ResponseSink) -> Result<StagedPlugin, Refusal> {
        let (step, mut steps) = mpsc::unbounded_channel();
        let told = std::sync::atomic::AtomicU64::new(0);
        let progress = move |done: u64, total: Option<u64>| {
            let before = told.load(std::sync::atomic::Ordering::Relaxed);
            if done >= before + STEP || total == Some(done) {
                told.store(done, std::sync::atomic::Ordering::Relaxed);
                // The asker may be gone; then the work is cancelled.
                let _ = step.send((done, total));
            }
        };
        let staging = self.stage(wanted, &progress, out.gone());
        tokio::pin!(staging);
        loop {
            tokio::select! {
                biased;
                Some((done, total)) = steps.recv() => {
                    out.send(Response::Installing(InstallEvent::Progress { done, total })).await?;
                }
                staged = &mut staging => return staged,
            }
        }
    }

    async fn stage_update(
        &self,
        name: String,
        accepted: Accepted,
        out: &ResponseSink,
    ) -> Result<InstallEvent, Refusal> {
        let lock = Lock::read(&self.0.installations.lock)?;
        let entry = lock.get(&name).ok_or_else(|| {
            Refusal::not_found(format!(
                "{name} was not installed by a command, so nothing says where a newer one is; `openpista-host plugin \
                 add SOURCE --replace` does"
            ))
        })?;
        self.not_configured(&name)?;
        let source = Source::parse(&entry.now.source, Path::new("/")).map_err(|e| Refusal::failed(e.to_string()))?;
        let up_to_date = |note: Option<String>| InstallEvent::UpToDate {
            name: name.clone(),
            version: entry.now.version.clone(),
            note,
        };
        if let Some(pinned) = source.pinned() {
            let tagged = self.0.installations.installer.tagged(&source, entry.now.plain_http).await?;
            let mut note = format!("it is pinned to sha256:{pinned}");
            if let (Some(now), Source::Oci(reference)) = (tagged.filter(|now| now != pinned), &source) {
                let there = reference.without_digest();
                let pinned = reference.pinned_to(&now);
                note.push_str(&format!("; {there} is another one now: openpista-host plugin add {pinned} --replace"));
            }
            return Ok(up_to_date(Some(note)));
        }
        let wanted = Wanted {
            source,
            plain_http: entry.now.plain_http,
            replace: false,
            accepted,
            name: Some(name.clone()),
            configured: false,
        };
        let staged = self.staged(wanted, out).await?;
        if staged.before.as_ref().is_some_and(|before| before.digest == staged.plugin.digest) {
            self.0.installations.drop_staged(&staged.id);
            return Ok(up_to_date(None));
        }
        Ok(InstallEvent::Staged(Box::new(staged)))
    }

    /// Fetches a plugin and looks at it; nothing of what is installed changes.
    pub(in crate::app) async fn stage(
        &self,
        wanted: Wanted,
        progress: &Progress<'_>,
        cancel: &CancellationToken,
    ) -> Result<StagedPlugin, Refusal> {
        let Wanted { source, plain_http, replace, accepted, name: expected, configured } = wanted;
        let place = &self.0.installations;
        let fetched = place.installer.fetch(&source, plain_http, progress, cancel).await?;
        let whole = |why: String| Refusal::failed(format!("{source}: {why}"));
        check_kind(&fetched.bytes).map_err(|error| whole(format!("{error:#}")))?;
        private_folder(&place.folder)?;
        let id = new_id();
        let path = place.folder.join(format!("{id}.wasm"));
        write_private(&path, &fetched.bytes)?;
        // What is refused below leaves nothing behind.
        let mut left = Leftover(Some(path.clone()));
        let runtime = &self.0.registry.host().runtime;
        let plugin = Plugin::inspect(runtime, &id, &fetched.digest, path).await;
        let plugin = plugin.map_err(|error| whole(format!("{error:#}")))?;
        let name = plugin.manifest.name.clone();
        if let Some(expected) = expected.filter(|expected| *expected != name) {
            return Err(Refusal::denied(format!("{source} is {name} now, and not {expected}; nothing is changed")));
        }
        if !configured {
            self.not_configured(&name)?;
        }
        let lock = Lock::read(&place.lock)?;
        let known = lock.trusted(&name);
        let trusted = known.clone().filter(|_| accepted != Accepted::Nobody);
        let key = if let Accepted::Key(key) = &accepted { Some(key) } else { None };
        let signer = check(&name, &fetched.bytes, fetched.signature.as_deref(), trusted.as_ref(), key)
            .map_err(|error| Refusal { message: format!("{name} from {source}: {error}"), ..error.into() })?;

        let snapshot = self.0.registry.snapshot();
        let twin = snapshot.plugins.get(&name).cloned();
        let entry = lock.get(&name);
        let file = twin.as_ref().map_or_else(|| format!("{name}.wasm"), |twin| twin.file.clone());
        let belongs = self.belongs(twin.as_deref(), entry.as_ref(), &source, &fetched.digest, signer.as_ref());
        let occupied = twin.is_none() && self.0.registry.folder().join(&file).exists();
        if !replace {
            if occupied {
                return Err(Refusal::denied(format!(
                    "there is another file {file} in the plugins folder; add --replace to put this one in its place"
                )));
            }
            if let Err(why) = &belongs {
                return Err(Refusal::denied(format!("{why}; add --replace to put this one in its place")));
            }
        }
        let fresh = twin.is_none() || belongs.is_err();
        let compared = twin.as_ref().map(|twin| changes(&twin.manifest, &plugin.manifest));
        let before = twin.as_ref().zip(compared.clone()).map(|(twin, Changes { wider, narrower, older, .. })| Before {
            version: twin.manifest.version.clone(),
            digest: twin.digest.clone(),
            stock: self.0.registry.is_stock(&twin.digest),
            same: !fresh,
            wider,
            narrower,
            older,
        });
        let audiences = plugin.manifest.secrets.iter().map(|secret| Audience {
            secret: secret.name.clone(),
            title: secret.title.clone(),
            uses: secret.uses.iter().map(usage_in_words).collect(),
        });
        let shown = StagedPlugin {
            id: id.clone(),
            plugin: PluginSummary { reason: None, ..self.checked(&plugin, file.clone()) },
            size: u64::try_from(fetched.bytes.len()).unwrap_or(u64::MAX),
            source: source.to_string(),
            manifest: fetched.manifest.clone(),
            signer: signer.as_ref().map(signer_summary),
            audiences: audiences.collect(),
            before,
        };
        let grants = compared.map(|changes| changes.grants);
        place.keep(
            id,
            Staged {
                plugin,
                source,
                plain_http,
                manifest: fetched.manifest,
                signer,
                trusted: known,
                before: twin.map(|twin| twin.digest.clone()),
                fresh,
                grants: grants.unwrap_or_default(),
                file,
                since: Instant::now(),
            },
        );
        left.0 = None;
        Ok(shown)
    }

    /// Whether what comes is the next version of what is there, by its source or its signer; else what to say.
    fn belongs(
        &self,
        twin: Option<&Plugin>,
        entry: Option<&Entry>,
        source: &Source,
        digest: &str,
        signer: Option<&Signer>,
    ) -> Result<(), String> {
        let Some(twin) = twin else { return Ok(()) };
        let name = &twin.manifest.name;
        if twin.digest == digest || signer.is_some_and(|signer| signer.known) {
            return Ok(());
        }
        if self.0.registry.is_stock(&twin.digest) {
            return Err(format!("{name} came with openpista-host"));
        }
        let Some(entry) = entry else { return Err(format!("you put a {name} into the plugins folder yourself")) };
        let before = Source::parse(&entry.now.source, Path::new("/")).ok();
        let same = match (&before, source) {
            (Some(Source::Oci(before)), Source::Oci(now)) => {
                (&before.registry, &before.repository) == (&now.registry, &now.repository)
            }
            (before, now) => before.as_ref() == Some(now),
        };
        if same { Ok(()) } else { Err(format!("{name} is installed from {}", entry.now.source)) }
    }

    /// The configuration's word counts more than a command's.
    fn not_configured(&self, name: &str) -> Result<(), Refusal> {
        if self.0.config.plugins.pinned.contains_key(name) {
            let file = self.0.config.file.display();
            return Err(Refusal::denied(format!(
                "[plugins.{name}] in {file} says which {name} there is; change it there"
            )));
        }
        Ok(())
    }

    /// Puts what was staged in its place.
    pub(in crate::app) async fn install(&self, id: &str, allow: bool) -> Result<PluginSummary, Refusal> {
        let place = &self.0.installations;
        let alone = place.alone.lock().await;
        let staged = place.take(id).ok_or_else(|| Refusal::not_found("what was fetched is gone; begin again"))?;
        let _left = Leftover(Some(staged.plugin.bytes.clone()));
        let name = staged.plugin.manifest.name.clone();
        let bytes = tokio::fs::read(&staged.plugin.bytes).await.map_err(|error| Refusal::failed(error.to_string()))?;
        let twin = self.0.registry.snapshot().plugins.get(&name).cloned();
        if digest(&bytes) != staged.plugin.digest || twin.as_ref().map(|twin| &twin.digest) != staged.before.as_ref() {
            return Err(Refusal::failed(format!("{name} was changed meanwhile; begin again")));
        }
        let mut lock = Lock::read(&place.lock)?;
        if lock.trusted(&name) != staged.trusted {
            return Err(Refusal::failed(format!("whom you trust for {name} was changed meanwhile; begin again")));
        }
        let entry = lock.get(&name);
        let now = Installed {
            source: staged.source.to_string(),
            version: staged.plugin.manifest.version.clone(),
            digest: staged.plugin.digest.clone(),
            manifest: staged.manifest.clone(),
            signer: staged.signer.as_ref().map(|signer| signer.key.text().to_owned()),
            plain_http: staged.plain_http,
            when: when(),
        };
        let mut previous = entry.as_ref().and_then(|entry| entry.previous.clone());
        if let Some(twin) = twin.as_ref().filter(|twin| twin.digest != now.digest) {
            private_folder(&place.previous)?;
            let old = tokio::fs::read(&twin.bytes).await.map_err(|error| Refusal::failed(error.to_string()))?;
            write_private(&place.previous.join(format!("{name}.wasm")), &old)?;
            previous = Some(match entry {
                Some(entry) if entry.now.digest == twin.digest => entry.now,
                _ => Installed {
                    source: self.0.registry.folder().join(&twin.file).display().to_string(),
                    version: twin.manifest.version.clone(),
                    digest: twin.digest.clone(),
                    ..Installed::default()
                },
            });
        }
        lock.set(&name, &Entry { file: staged.file.clone(), now, previous });
        lock.trust(&name, staged.signer.as_ref().map(|signer| &signer.key));
        if staged.fresh {
            let forgotten = name.clone();
            self.0.store.write(move |tx| tx.grants_remove(&forgotten).map(drop)).await?;
        }
        self.put(&staged.file, &bytes, &lock).await?;
        self.serves(&name, &staged.plugin.digest)?;
        drop(alone);
        let needs = !staged.plugin.manifest.needs.is_empty();
        if allow && needs && (staged.fresh || staged.before.is_none()) {
            return self.allow(&name, Vec::new()).await;
        }
        if allow && !staged.grants.is_empty() {
            let grants = staged.grants.into_iter().map(|(capability, scope)| Grant { capability, scope });
            return self.allow(&name, grants.collect()).await;
        }
        self.plugin(&name)
    }

    /// The file, then the lock file; if the latter fails, the former is as it was.
    async fn put(&self, file: &str, bytes: &[u8], lock: &Lock) -> Result<(), Refusal> {
        let path = self.0.registry.folder().join(file);
        let before = tokio::fs::read(&path).await.ok();
        write_private(&path, bytes)?;
        if let Err(error) = lock.save() {
            match before {
                Some(before) => write_private(&path, &before)?,
                None => std::fs::remove_file(&path).map_err(|error| Refusal::failed(error.to_string()))?,
            }
            return Err(error.into());
        }
        self.0.registry.scan().await?;
        self.0.plugins_changed().await;
        Ok(())
    }

    /// It is what is used now, or why not.
    fn serves(&self, name: &str, digest: &str) -> Result<(), Refusal> {
        let snapshot = self.0.registry.snapshot();
        if snapshot.plugins.get(name).is_some_and(|plugin| plugin.digest == digest) {
            return Ok(());
        }
        let why =
            snapshot.broken.iter().map(|broken| format!("{}: {}", broken.file, broken.reason)).collect::<Vec<_>>();
        Err(Refusal::failed(format!("{name} is in its place and cannot be used: {}", why.join("; "))))
    }

    async fn rollback(&self, name: &str) -> Result<PluginSummary, Refusal> {
        self.not_configured(name)?;
        let place = &self.0.installations;
        let alone = place.alone.lock().await;
        let mut lock = Lock::read(&place.lock)?;
        let nothing = || Refusal::not_found(format!("no version of {name} before this one is kept"));
        let entry = lock.get(name).ok_or_else(nothing)?;
        let back = entry.previous.clone().ok_or_else(nothing)?;
        let kept = place.previous.join(format!("{name}.wasm"));
        let bytes = tokio::fs::read(&kept).await.map_err(|_| nothing())?;
        if digest(&bytes) != back.digest {
            return Err(Refusal::denied(format!("{} is not what was kept there; nothing is changed", kept.display())));
        }
        let path = self.0.registry.folder().join(&entry.file);
        let current = tokio::fs::read(&path).await.ok().filter(|current| digest(current) == entry.now.digest);
        let previous = current.as_ref().map(|_| entry.now.clone());
        lock.set(name, &Entry { file: entry.file.clone(), now: back.clone(), previous });
        self.put(&entry.file, &bytes, &lock).await?;
        match current {
            Some(current) => write_private(&kept, &current)?,
            None => drop(tokio::fs::remove_file(&kept).await),
        }
        drop(alone);
        self.serves(name, &back.digest)?;
        self.plugin(name)
    }

    async fn remove(&self, name: &str, purge: bool, really: bool) -> Result<Removal, Refusal> {
        let summary = self.plugin(name)?;
        self.not_configured(&summary.name)?;
        let (name, file) = (summary.name.clone(), summary.file.clone());
        let snapshot = self.0.registry.snapshot();
        let mut instances = summary.instances.clone();
        instances.extend(snapshot.idle.iter().filter(|idle| idle.plugin == name).map(|idle| idle.name.clone()));
        instances.sort();
        instances.dedup();
        let configured: Vec<String> = instances
            .iter()
            .filter(|one| self.0.config.instances().any(|(_, named)| named.name == **one))
            .cloned()
            .collect();
        let granted = self.0.store.read(|tx| tx.grants(&name))?.unwrap_or_default();
        let grants = granted.allowed.iter().map(|(capability, scope)| match scope.is_empty() {
            true => capability.clone(),
            false => format!("{capability} ({})", scope.join(", ")),
        });
        let state = self.0.store.read(|tx| instances.iter().map(|one| tx.state_size(one)).sum())?;
        let removal = Removal {
            name: name.clone(),
            file: file.clone(),
            stock: summary.stock,
            grants: grants.collect(),
            instances: instances.clone(),
            configured,
            state,
            purge,
            done: really,
        };
        if !really {
            return Ok(removal);
        }
        let place = &self.0.installations;
        let _alone = place.alone.lock().await;
        let mut lock = Lock::read(&place.lock)?;
        match std::fs::remove_file(self.0.registry.folder().join(&file)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(Refusal::failed(format!("{file} cannot be removed: {error}")));
            }
            Ok(()) | Err(_) => (),
        }
        let known = lock.remove(&name);
        if purge {
            lock.trust(&name, None);
        }
        if known || purge {
            lock.save()?;
        }
        // What was kept of it is in nobody's way.
        let _ = std::fs::remove_file(place.previous.join(format!("{name}.wasm")));
        let good = self.0.config.home.join("cache").join("good");
        let _ = std::fs::remove_file(joints::manifest_path(&good, &name));
        // First it is gone, then what it stored: else it could store again.
        self.0.registry.scan().await?;
        self.0.plugins_changed().await;
        let change = move |tx: &mut crate::store::Writing<'_>| {
            tx.grants_remove(&name)?;
            instances.iter().filter(|_| purge).try_for_each(|one| tx.state_remove(one))
        };
        self.0.store.write(change).await?;
        Ok(removal)
    }

    async fn trust(&self, name: String, key: Option<String>) -> Result<InstallEvent, Refusal> {
        let place = &self.0.installations;
        let _alone = place.alone.lock().await;
        let mut lock = Lock::read(&place.lock)?;
        if let Some(text) = key {
            let key = if text == "none" { None } else { Some(Key::parse(&text)?) };
            lock.trust(&name, key.as_ref());
            lock.save()?;
        }
        let key = lock.trusted(&name).map(|key| signer_summary(&Signer { key, known: true }));
        Ok(InstallEvent::Trust { name, key })
    }

    /// Where a plugin came from; none if the lock file does not say, or speaks of another file.
    pub(super) fn installed(&self, plugin: &Plugin) -> Option<InstalledSummary> {
        let entry = Lock::read(&self.0.installations.lock).ok()?.get(&plugin.manifest.name)?;
        (entry.now.digest == plugin.digest).then(|| installed_summary(&entry))
    }
}

/// A file that goes unless somebody keeps it.
struct Leftover(Option<std::path::PathBuf>);

impl Drop for Leftover {
    fn drop(&mut self) {
        if let Some(path) = self.0.take() {
            let _ = std::fs::remove_file(path);
        }
    }
}

fn when() -> String {
    let now = jiff::Timestamp::now();
    now.round(jiff::Unit::Second).unwrap_or(now).to_string()
}

fn signer_summary(signer: &Signer) -> SignerSummary {
    SignerSummary { id: signer.key.id(), key: signer.key.text().to_owned(), known: signer.known }
}

fn installed_summary(entry: &Entry) -> InstalledSummary {
    let now = &entry.now;
    InstalledSummary {
        source: now.source.clone(),
        version: now.version.clone(),
        digest: now.digest.clone(),
        manifest: now.manifest.clone(),
        signer: now.signer.as_deref().and_then(|key| Key::parse(key).ok()).map(|key| key.id()),
        when: now.when.clone(),
        previous: entry.previous.as_ref().map(|previous| previous.version.clone()),
    }
}
