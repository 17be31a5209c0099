//! `plugin dev`: builds a folder, installs what came of it, and does so again at each change.

use std::path::Path;
use std::time::Duration;

use notify::{RecursiveMode, Watcher as _};
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::{bench, counted, faults};
use crate::admin::{PluginSummary, Request, Response, Standing};
use crate::author::Bench;
use crate::author::check::{check as look_at, namesakes};
use crate::author::project::{Project, install};
use crate::cli::arguments::Dev;
use crate::cli::{Context, Exit, Failure, connect, logging};
use crate::config::Config;
use crate::output::Paint;

/// An editor that saves several files does so within this time.
const REST: Duration = Duration::from_millis(200);
/// A daemon takes a file within this time, or something is wrong with it. A large component has to be compiled.
const TAKEN: Duration = Duration::from_secs(60);
const LOOK: Duration = Duration::from_millis(100);

/// Does it.
pub async fn dev(context: &Context, options: Dev) -> Result<Exit, Failure> {
    logging::for_a_command(context.verbosity, &context.known)?;
    let config = context.config()?;
    let folder = context.sources.started_in.join(&options.folder);
    let folder = folder
        .canonicalize()
        .map_err(|error| Failure::new(Exit::NotFound, format!("{}: {error}", options.folder.display())))?;
    let project = Project::find(&folder, options.build, options.output).await;
    let project = project.map_err(|error| Failure::new(Exit::Usage, format!("{error:#}")))?;
    let workshop = Workshop { context, bench: bench(context, &config, None)?, config, project };
    if options.once {
        return Ok(if workshop.round().await?.is_some() { Exit::Done } else { Exit::Failed });
    }
    let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    let mut installed = None;
    let ended = {
        let watching = workshop.watch(&mut installed);
        tokio::pin!(watching);
        tokio::select! {
            ended = &mut watching => ended,
            _ = tokio::signal::ctrl_c() => Ok(()),
            _ = terminate.recv() => Ok(()),
        }
    };
    ended?;
    match installed {
        Some(path) => workshop.say(Paint::Strong, &format!("ended; the plugin stays installed: {path}")),
        None => workshop.say(Paint::Strong, "ended; nothing was installed"),
    }
    Ok(Exit::Done)
}

struct Workshop<'a> {
    context: &'a Context,
    bench: Bench,
    config: Config,
    project: Project,
}

impl Workshop<'_> {
    fn say(&self, paint: Paint, text: &str) {
        self.context.output.note(paint, text);
    }

    /// Round after round.
    async fn watch(&self, installed: &mut Option<String>) -> Result<(), Failure> {
        let (events, mut changes) = mpsc::channel(1);
        let project = self.project.clone();
        let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            let matters = event.map_or(true, |event| {
                let read_only = matches!(event.kind, notify::EventKind::Access(_));
                event.need_rescan() || (!read_only && event.paths.iter().any(|path| project.is_source(path)))
            });
            if matters {
                // One that waits is enough.
                let _ = events.try_send(());
            }
        })
        .map_err(anyhow::Error::from)?;
        watch_sources(&mut watcher, &self.project.folder)?;
        loop {
            let before = self.project.sources()?;
            if let Some(path) = self.round().await? {
                *installed = Some(path);
            }
            self.say(Paint::Faint, "waiting for changes; Ctrl-C ends this");
            // What the build itself wrote is news once: the next build writes the same.
            while self.project.sources()? == before {
                if changes.recv().await.is_none() {
                    return Ok(());
                }
                while let Ok(Some(())) = tokio::time::timeout(REST, changes.recv()).await {}
                // Folders that are new.
                watch_sources(&mut watcher, &self.project.folder)?;
            }
        }
    }

    /// Builds, checks, installs. None: something was wrong, and was said.
    async fn round(&self) -> Result<Option<String>, Failure> {
        self.say(Paint::Strong, &format!("building… ({})", self.project.build));
        let built = self.project.build().await?;
        let seconds = built.took.as_secs_f32();
        if !built.ok {
            self.say(Paint::Faint, &crate::output::harmless(&built.log));
            self.say(Paint::Bad, &format!("the build failed after {seconds:.1} s"));
            return Ok(None);
        }
        let path = match self.project.component() {
            Ok(path) => path,
            Err(error) => {
                self.say(Paint::Bad, &format!("{error:#}"));
                return Ok(None);
            }
        };
        let shown = path.strip_prefix(&self.project.folder).unwrap_or(&path);
        self.say(Paint::Good, &format!("built in {seconds:.1} s: {}", shown.display()));
        let report = look_at(&self.bench, &path, &self.config.plugins.dir).await?;
        let (Some(manifest), true) = (&report.manifest, report.good()) else {
            faults(&report, false, self.context.output)?;
            self.say(Paint::Bad, &format!("refused: {}; what is installed stays as it is", counted(&report)));
            return Ok(None);
        };
        let clash = |code: &str| code == "name-clash" || code == "replaces";
        let mut rest = report.faults.clone();
        rest.retain(|fault| !clash(fault.code));
        let rest = crate::author::check::Report { faults: rest, ..Default::default() };
        faults(&rest, false, self.context.output)?;
        let folder = &self.config.plugins.dir;
        std::fs::create_dir_all(folder)?;
        // The file that has the name already is replaced, whatever it is called.
        let old = namesakes(&self.bench, &manifest.name, folder, "").into_iter().next();
        let file = old.as_ref().map_or_else(|| format!("{}.wasm", manifest.name), |(file, _)| file.clone());
        let bytes = std::fs::read(&path)?;
        let target = install(&bytes, folder, &file)?;
        let instead = old.map(|(_, version)| format!(" in place of {version}")).unwrap_or_default();
        let word = format!("installed {} {}{instead}: {}", manifest.name, manifest.version, target.display());
        self.say(Paint::Good, &word);
        self.taken(&manifest.name, &file, &report.digest).await?;
        Ok(Some(target.display().to_string()))
    }

    /// What the daemon makes of it.
    async fn taken(&self, name: &str, file: &str, digest: &str) -> Result<(), Failure> {
        let Some(link) = connect::daemon(self.context).await? else {
            self.say(Paint::Faint, "no daemon runs here; `openpista-host run` starts one");
            return Ok(());
        };
        let until = Instant::now() + TAKEN;
        loop {
            let answer = match link.all(Request::PluginList).await {
                Ok(answer) => answer,
                Err(error) => {
                    self.say(Paint::Warn, &format!("the daemon does not answer: {error}"));
                    return Ok(());
                }
            };
            let mine = answer.iter().find_map(|response| match response {
                Response::Plugin(plugin)
                    if plugin.file == file && plugin.digest == digest && plugin.standing != Standing::Loading =>
                {
                    Some(plugin)
                }
                _ => None,
            });
            if let Some(plugin) = mine {
                self.stands(name, plugin);
                return Ok(());
            }
            if Instant::now() >= until {
                let text = "the daemon did not take it; see `openpista-host plugin list`";
                self.say(Paint::Warn, text);
                return Ok(());
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    fn stands(&self, name: &str, plugin: &PluginSummary) {
        let reason = plugin.reason.clone().unwrap_or_default();
        match plugin.standing {
            Standing::Ready => self.say(Paint::Good, "loaded by the daemon"),
            Standing::Loading => self.say(Paint::Faint, "the daemon compiles it"),
            Standing::Waiting => {
                let text = format!("loaded by the daemon; it waits for your word: openpista-host plugin allow {name}");
                self.say(Paint::Warn, &text);
            }
            Standing::Unset | Standing::Off => {
                self.say(Paint::Warn, &format!("loaded by the daemon, not set up: {reason}"))
            }
            Standing::Aside => self.say(Paint::Bad, &format!("loaded by the daemon, and set aside: {reason}")),
            Standing::Broken => self.say(Paint::Bad, &format!("refused by the daemon because {reason}")),
        }
    }
}

/// Watches the folders that hold sources, one by one: what builds make would be a flood.
fn watch_sources(watcher: &mut notify::RecommendedWatcher, folder: &Path) -> Result<(), Failure> {
    for folder in crate::author::project::source_folders(folder)? {
        let watched = watcher.watch(&folder, RecursiveMode::NonRecursive);
        // One that is gone already is no loss.
        if let Err(error) = watched
            && folder.exists()
        {
            return Err(anyhow::anyhow!("cannot watch {}: {error}", folder.display()).into());
        }
    }
    Ok(())
}
