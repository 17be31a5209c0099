//! Notices changes in the folders that were looked into, and looks again when they have come to rest.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result};
use notify::event::{CreateKind, ModifyKind, RemoveKind};
use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::Library;
use super::scan::FILE;

/// What is still being copied changes again within this time.
const REST: Duration = Duration::from_millis(120);
/// What never comes to rest is looked at this often.
const REST_MOST: Duration = Duration::from_secs(5);
/// Between two looks: a build in the workspace makes folders by the thousand.
const PAUSE: Duration = Duration::from_millis(500);

/// New folders may come faster than they are looked into; then the next event is waited for.
const LOOKS_MOST: usize = 4;

/// Watches until `stop`. `changed` is called after each look that found something else than before.
pub async fn watch(library: Arc<Library>, stop: CancellationToken, changed: impl AsyncFn()) -> Result<()> {
    let (events, mut incoming) = mpsc::unbounded_channel();
    let watched: Arc<Mutex<BTreeSet<PathBuf>>> = Arc::default();
    let known = Arc::clone(&watched);
    let mut watcher = notify::recommended_watcher(move |event: notify::Result<Event>| {
        let known = known.lock().unwrap_or_else(PoisonError::into_inner);
        if event.map_or(true, |event| matters(&event, &known)) {
            // The receiver is gone only when the host ends.
            let _ = events.send(());
        }
    })
    .context("folders of skills cannot be watched")?;
    loop {
        // What changes between a look and the watch of a folder that is new is found by another look.
        for _ in 0..LOOKS_MOST {
            tokio::select! {
                () = stop.cancelled() => return Ok(()),
                other = library.scan() => if other { changed().await },
            }
            if !follow(&library, &mut watcher, &watched) {
                break;
            }
        }
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            event = incoming.recv() => if event.is_none() { return Ok(()) },
        }
        let patience = tokio::time::sleep(REST_MOST);
        tokio::pin!(patience);
        loop {
            tokio::select! {
                () = &mut patience => break,
                () = stop.cancelled() => return Ok(()),
                rested = tokio::time::timeout(REST, incoming.recv()) => if !matches!(rested, Ok(Some(()))) { break },
            }
        }
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            () = tokio::time::sleep(PAUSE) => (),
        }
        while incoming.try_recv().is_ok() {}
    }
}

/// Watches the folders of the last look, and no others. Whether one of them is new.
fn follow(library: &Library, watcher: &mut RecommendedWatcher, watched: &Mutex<BTreeSet<PathBuf>>) -> bool {
    let wanted: BTreeSet<PathBuf> = library.shelf().folders.iter().cloned().collect();
    let mut watched = watched.lock().unwrap_or_else(PoisonError::into_inner);
    for gone in watched.difference(&wanted) {
        // The system forgets a folder that was removed by itself.
        let _ = watcher.unwatch(gone);
    }
    let before = std::mem::take(&mut *watched);
    let mut new = false;
    for folder in wanted {
        if before.contains(&folder) {
            watched.insert(folder);
            continue;
        }
        match watcher.watch(&folder, RecursiveMode::NonRecursive) {
            Ok(()) => {
                new = true;
                watched.insert(folder);
            }
            Err(error) => tracing::debug!("{} cannot be watched for skills: {error}", folder.display()),
        }
    }
    new
}

/// A `SKILL.md`, a component, or a folder that comes or goes.
fn matters(event: &Event, watched: &BTreeSet<PathBuf>) -> bool {
    let named = |path: &PathBuf| {
        path.file_name().is_some_and(|name| name == FILE) || path.extension().is_some_and(|ending| ending == "wasm")
    };
    let folder = |path: &PathBuf| watched.contains(path) || Path::is_dir(path);
    event.need_rescan()
        || match event.kind {
            EventKind::Access(_) => false,
            EventKind::Create(CreateKind::Folder) | EventKind::Remove(RemoveKind::Folder) => true,
            EventKind::Modify(ModifyKind::Name(_)) => event.paths.iter().any(|path| named(path) || folder(path)),
            _ => event.paths.iter().any(named),
        }
}
