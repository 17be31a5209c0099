//! Skills, as the configuration wants them, and what follows when they change.

use std::sync::Arc;

use anyhow::Result;

use super::{App, limits};
use crate::config::{Config, SkillContext};
use crate::runtime::Runtime;
use crate::runtime::limits::Limits;
use crate::skill::prompt::Context;
use crate::skill::scan::Roots;
use crate::skill::watch::watch;
use crate::skill::{Library, Settings};

/// Without a look yet.
pub(super) fn library(config: &Config, runtime: &Arc<Runtime>) -> Result<Library> {
    let skills = &config.skills;
    crate::runtime::cache::private_folder(&skills.dir)?;
    let settings = Settings {
        off: config.plugins.safe_mode,
        roots: Roots {
            own: skills.dir.clone(),
            workspace: skills.workspace.then(|| config.agent.workspace.clone()),
            home: config.home.clone(),
        },
        workspace: config.agent.workspace.clone(),
        context: match skills.context {
            SkillContext::All => Context::All,
            SkillContext::Names => Context::Names,
        },
        chars: usize::try_from(skills.context_chars).unwrap_or(usize::MAX),
        limits: Limits {
            memory: usize::try_from(skills.memory).unwrap_or(usize::MAX),
            ticks: crate::runtime::ticks(skills.running),
            ..limits(&config.limits)
        },
    };
    Library::new(settings, Arc::clone(runtime), &config.home.join("cache").join("skills"))
}

impl App {
    /// Looks for skills, and again whenever something changes, until the end. The start does not wait for it.
    pub(super) async fn watch_skills(self: Arc<Self>) {
        let me = Arc::clone(&self);
        let changed = async move || me.skills_changed().await;
        if let Err(error) = watch(Arc::clone(&self.skills), self.quit.clone(), changed).await {
            tracing::error!("changes of skills go unnoticed until the next start: {error:#}");
        }
    }

    /// Looks now; for commands, which shall not show what was true a moment ago.
    pub(super) async fn look_for_skills(&self) {
        if self.skills.scan().await {
            self.skills_changed().await;
        }
    }

    async fn skills_changed(&self) {
        let _alone = self.changing.lock().await;
        self.tools.refresh_with("skill").await;
    }
}
