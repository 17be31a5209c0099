//! Plugins that the configuration names, for machines without a person: `[plugins.NAME]` says from where and which bytes,
//! and a daemon that starts fetches those that are missing, beside everything else that it does. Only what is pinned by a
//! digest is fetched: nobody is there to look at what came.

use std::path::Path;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use super::App;
use super::admin::Admin;
use super::admin::installing::Wanted;
use super::installing::Accepted;
use crate::admin::{PluginSummary, Refusal, Standing};
use crate::config::Pinned;
use crate::install::lock::Lock;
use crate::install::source::{Source, is_digest};

/// Between attempts at what could not be reached.
const AGAIN: [Duration; 4] =
    [Duration::from_secs(10), Duration::from_secs(60), Duration::from_secs(600), Duration::from_secs(3_600)];

/// How a plugin stands against what the configuration says.
enum Want {
    /// It is there.
    There,
    /// It cannot be fetched as it is written.
    Refused(String),
    /// It is to be fetched.
    Fetch(Source),
}

impl App {
    fn want(&self, name: &str, pinned: &Pinned) -> Want {
        let source = match Source::parse(&pinned.source, self.config.file.parent().unwrap_or(Path::new("/"))) {
            Ok(source) => source,
            Err(error) => return Want::Refused(error.to_string()),
        };
        let digest = pinned.digest.as_deref().map(|digest| digest.strip_prefix("sha256:").unwrap_or(digest));
        if let Some(wrong) = digest.filter(|digest| !is_digest(digest)) {
            return Want::Refused(format!("its digest {wrong} is not sha256: and 64 hex digits"));
        }
        if digest.is_none() && source.pinned().is_none() {
            return Want::Refused(
                "it is not pinned, so nothing says which bytes are meant: add digest = \"sha256:…\"".into(),
            );
        }
        let snapshot = self.registry.snapshot();
        let here = snapshot.plugins.get(name).map(|plugin| plugin.digest.as_str());
        let there = match (digest, here) {
            (_, None) => false,
            (Some(digest), Some(here)) => digest == here,
            (None, Some(here)) => Lock::read(&self.installations.lock)
                .ok()
                .and_then(|lock| lock.get(name))
                .is_some_and(|entry| entry.now.digest == here && entry.now.manifest.as_deref() == source.pinned()),
        };
        if there { Want::There } else { Want::Fetch(source) }
    }

    /// Brings what the configuration names; tries again what could not be reached.
    pub(super) async fn provide(self: Arc<Self>) {
        let mut waits = AGAIN.into_iter();
        loop {
            let mut again = false;
            for (name, pinned) in &self.config.plugins.pinned {
                let source = match self.want(name, pinned) {
                    Want::There => continue,
                    Want::Refused(why) => {
                        tracing::warn!("the plugin {name} of the configuration is not fetched: {why}");
                        self.installations.trouble(name, Some(why));
                        continue;
                    }
                    Want::Fetch(source) => source,
                };
                tracing::info!("fetching the plugin {name} from {source}, as the configuration says");
                match self.bring(name, pinned, source).await {
                    Ok(()) => self.installations.trouble(name, None),
                    Err((why, may_pass)) => {
                        let why = self.known.cleaned(why);
                        tracing::warn!("the plugin {name} of the configuration is not there: {why}");
                        self.installations.trouble(name, Some(why));
                        again |= may_pass;
                    }
                }
            }
            let Some(wait) = waits.next().filter(|_| again) else { return };
            tokio::select! {
                () = self.quit.cancelled() => return,
                () = tokio::time::sleep(wait) => (),
            }
        }
    }

    /// Why not, and whether another attempt may go better.
    async fn bring(self: &Arc<Self>, name: &str, pinned: &Pinned, source: Source) -> Result<(), (String, bool)> {
        let failed = |refusal: Refusal| {
            let may_pass = refusal.kind == crate::admin::RefusalKind::Failed;
            (refusal.message, may_pass)
        };
        let accepted = Accepted::parse(pinned.signer.as_deref()).map_err(|error| failed(error.into()))?;
        let wanted = Wanted {
            source,
            plain_http: false,
            replace: true,
            accepted,
            name: Some(name.to_owned()),
            configured: true,
        };
        let admin = Admin(Arc::clone(self));
        let staged = admin.stage(wanted, &|_, _| (), &self.quit).await.map_err(failed)?;
        let digest = pinned.digest.as_deref().map(|digest| digest.strip_prefix("sha256:").unwrap_or(digest));
        if let Some(digest) = digest.filter(|digest| *digest != staged.plugin.digest) {
            self.installations.drop_staged(&staged.id);
            let found = &staged.plugin.digest;
            return Err((format!("sha256:{digest} was wanted, and sha256:{found} came"), false));
        }
        let installed = admin.install(&staged.id, false).await.map_err(failed)?;
        tracing::info!("the plugin {name} {} is there, as the configuration says", installed.version);
        Ok(())
    }

    /// Says in a list of plugins which of them are not as the configuration says.
    pub(super) fn tell_of_pinned(&self, list: &mut Vec<PluginSummary>) {
        let troubles = self.installations.troubles.lock().unwrap_or_else(PoisonError::into_inner).clone();
        for (name, pinned) in &self.config.plugins.pinned {
            let why = match self.want(name, pinned) {
                Want::There => continue,
                Want::Refused(why) => why,
                Want::Fetch(source) => {
                    troubles.get(name).cloned().unwrap_or_else(|| format!("a daemon fetches it from {source}"))
                }
            };
            let reason = format!("[plugins.{name}] in the configuration: {why}");
            match list.iter_mut().find(|plugin| plugin.name == *name) {
                Some(plugin) => plugin.reason = Some(reason),
                None => list.push(PluginSummary::bare(name, "", Standing::Broken, &reason)),
            }
        }
    }
}
