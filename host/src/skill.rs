//! Skills: folders with a `SKILL.md`, found in the person's own folder and in the workspace.
//!
//! [`scan`] finds them, [`front`] reads what they say of themselves, [`prompt`] makes the part of the system prompt of
//! them, [`run`] is the sandbox for those that are WebAssembly, [`watch`] notices changes. [`Library`] holds what came of
//! the last look, and is the service behind the capability `skill`. Nothing here acts on behalf of a skill but the
//! sandbox: what runs as a process or in a container is run by a component with that capability.

pub mod beneath;
pub mod front;
mod kept;
pub mod prompt;
pub mod run;
pub mod scan;
pub mod watch;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use anyhow::Result;
use async_trait::async_trait;

use crate::capability::skill::{Call, Outcome, Serving, Skill as Listed, Skills, Way};
use crate::capability::{Error, Services};
use crate::runtime::Runtime;
use crate::runtime::limits::Limits;
use crate::wit::types::Extension;
use front::Mode;
use prompt::Context;
use run::{Kind, Sandbox};
use scan::{Digests, Problem, Roots, Skill, Source};

/// Where skills are, and what they may use.
#[derive(Debug, Clone)]
pub struct Settings {
    /// There are none.
    pub off: bool,
    /// Where to look.
    pub roots: Roots,
    /// What skills read.
    pub workspace: PathBuf,
    /// How much of them goes into each request.
    pub context: Context,
    /// Characters of it.
    pub chars: usize,
    /// Of one run.
    pub limits: Limits,
}

/// What came of a look.
#[derive(Debug, Default)]
pub struct Shelf {
    /// By name.
    pub skills: BTreeMap<String, Skill>,
    /// What is wrong.
    pub problems: Vec<Problem>,
    /// For the system prompt.
    pub prompt: Arc<str>,
    /// Folders that were looked into.
    pub folders: Vec<PathBuf>,
}

/// All skills of this host.
pub struct Library {
    settings: Settings,
    sandbox: Sandbox,
    shelf: RwLock<Arc<Shelf>>,
    digests: Arc<std::sync::Mutex<Digests>>,
    /// One look at a time.
    looking: tokio::sync::Mutex<bool>,
}

impl Library {
    /// Nothing is looked at yet; what is compiled of skills is kept in `cache`.
    pub fn new(settings: Settings, runtime: Arc<Runtime>, cache: &Path) -> Result<Self> {
        let (workspace, home) = (settings.workspace.clone(), settings.roots.home.clone());
        let sandbox = Sandbox::new(runtime, cache, settings.limits, workspace, home)?;
        Ok(Self {
            settings,
            sandbox,
            shelf: RwLock::default(),
            digests: Arc::default(),
            looking: tokio::sync::Mutex::new(false),
        })
    }

    /// What all calls share, once it is there.
    pub fn join(&self, services: &Arc<Services>) {
        self.sandbox.join(services);
    }

    /// What came of the last look.
    pub fn shelf(&self) -> Arc<Shelf> {
        Arc::clone(&self.shelf.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// What is known of a skill's component.
    pub fn kind(&self, skill: &Skill) -> Option<Kind> {
        self.sandbox.known(&skill.wasm.as_ref()?.digest)?.ok()
    }

    /// Looks again; whether anything is other than before. New components are compiled.
    pub async fn scan(&self) -> bool {
        if self.settings.off {
            return false;
        }
        let mut looked_before = self.looking.lock().await;
        let (roots, digests) = (self.settings.roots.clone(), Arc::clone(&self.digests));
        let walked = tokio::task::spawn_blocking(move || {
            scan::scan(&roots, &mut digests.lock().unwrap_or_else(PoisonError::into_inner))
        });
        // A panic in the walk leaves everything as it was.
        let Ok(found) = walked.await else { return false };
        let mut problems = found.problems;
        let mut kept: BTreeMap<String, (Skill, String)> = BTreeMap::new();
        for (skill, body) in found.skills {
            let name = skill.front.name.clone();
            let problem = |text| Problem { path: skill.folder.join(scan::FILE), line: None, text, note: false };
            if let Some((first, _)) = kept.get(&name) {
                let text =
                    format!("{} is called {name}, too, and was found first: that one is used", first.folder.display());
                problems.push(problem(text));
                continue;
            }
            if let Some(wasm) = &skill.wasm
                && let Err(why) = self.sandbox.look(&skill, wasm).await
            {
                problems.push(problem(why));
                continue;
            }
            kept.insert(name, (skill, body));
        }
        let prompt = prompt::text(
            kept.values().map(|(skill, body)| (skill, body.as_str())),
            self.settings.context,
            self.settings.chars,
        );
        let skills: BTreeMap<String, Skill> = kept.into_iter().map(|(name, (skill, _))| (name, skill)).collect();
        let live = |digest: &str| skills.values().any(|skill| skill.wasm.as_ref().is_some_and(|w| w.digest == digest));
        self.sandbox.forget(&live);
        if !std::mem::replace(&mut *looked_before, true) {
            self.sandbox.tidy(&live);
        }
        let before = self.shelf();
        for problem in problems.iter().filter(|problem| !problem.note && !before.problems.contains(problem)) {
            tracing::info!("a skill cannot be used: {problem}");
        }
        let changed = before.skills != skills || *before.prompt != *prompt || before.problems != problems;
        let shelf = Shelf { skills, problems, prompt: prompt.into(), folders: found.folders };
        *self.shelf.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(shelf);
        changed
    }

    /// Looks at one folder as a scan would, without taking it up.
    pub async fn check(&self, folder: &Path) -> (Option<(Skill, Option<Kind>)>, Vec<Problem>) {
        let at = folder.to_path_buf();
        let read = tokio::task::spawn_blocking(move || {
            let mut problems = Vec::new();
            (scan::read(&at, Source::Workspace, &mut Digests::default(), &mut problems), problems)
        });
        let Ok((read, mut problems)) = read.await else { return (None, Vec::new()) };
        let skill = match read {
            Ok((skill, _)) => skill,
            Err(problem) => {
                problems.push(problem);
                return (None, problems);
            }
        };
        let Some(wasm) = &skill.wasm else { return (Some((skill, None)), problems) };
        match self.sandbox.look(&skill, wasm).await {
            Ok(kind) => (Some((skill, Some(kind))), problems),
            Err(text) => {
                problems.push(Problem { path: folder.join(scan::FILE), line: None, text, note: false });
                (None, problems)
            }
        }
    }

    fn found(&self, name: &str) -> Result<Skill, Error> {
        let shelf = self.shelf();
        shelf.skills.get(name).cloned().ok_or_else(|| {
            let broken = shelf.problems.iter().find(|problem| {
                !problem.note && problem.path.parent().and_then(Path::file_name).is_some_and(|folder| folder == name)
            });
            let why = broken.map(|problem| format!("; {problem}")).unwrap_or_default();
            Error::NotFound(format!("there is no skill {name:?} that can be used{why}"))
        })
    }

    fn listed(&self, skill: &Skill) -> Listed {
        let front = &skill.front;
        let other = |kind: &str| Way::Other(Extension { kind: format!("openpista:{kind}"), data: "{}".into() });
        let way = match front.mode {
            Mode::Prompt => Way::Prompt,
            Mode::Wasm => match self.kind(skill) {
                Some(Kind::Tools(tools)) => Way::Tools(tools),
                Some(Kind::Command) | None => Way::Command(front.parameters.as_ref().map(ToString::to_string)),
            },
            Mode::Subprocess => other("subprocess"),
            Mode::Container => other("container"),
        };
        Listed { name: front.name.clone(), description: front.description.clone(), way }
    }
}

#[async_trait]
impl Skills for Library {
    fn list(&self) -> Vec<Listed> {
        self.shelf().skills.values().map(|skill| self.listed(skill)).collect()
    }

    async fn read(&self, name: &str, file: Option<&str>) -> Result<String, Error> {
        let skill = self.found(name)?;
        let file = PathBuf::from(file.filter(|file| !file.is_empty()).unwrap_or(scan::FILE));
        let shown = format!("{} of the skill {name}", file.display());
        let read = tokio::task::spawn_blocking(move || {
            beneath::open_file(&skill.folder, &file).and_then(|file| beneath::read(file, scan::TEXT_MAX))
        });
        let bytes = match read.await {
            Ok(Ok(bytes)) => bytes,
            Ok(Err(error)) => return Err(Error::NotFound(format!("{shown} cannot be read: {error}"))),
            Err(_) => return Err(Error::Cancelled),
        };
        String::from_utf8(bytes).map_err(|_| Error::Invalid(format!("{shown} is not a text in UTF-8")))
    }

    async fn run(&self, call: Call, serving: Serving) -> Result<Outcome, Error> {
        let skill = self.found(&call.skill)?;
        self.sandbox.run(&skill, call, serving).await
    }
}
