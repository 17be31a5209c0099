//! Notices changes in the plugins folder and scans it when it has come to rest.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use notify::{EventKind, RecursiveMode, Watcher as _};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::registry::Registry;

/// A file that is still being copied changes again within this time.
const REST: Duration = Duration::from_millis(120);
/// One file that never comes to rest does not hold up the others for longer.
const REST_MOST: Duration = Duration::from_secs(10);

/// Watches until `stop`. `changed` is called after each scan that changed something.
pub async fn watch(
    registry: Arc<Registry>,
    stop: CancellationToken,
    changed: impl AsyncFn() + Send + Sync + 'static,
) -> Result<()> {
    let (events, mut incoming) = mpsc::unbounded_channel();
    let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        // Whatever the system lost track of may have been a plugin.
        let matters = event.map_or(true, |event| {
            event.need_rescan()
                || (!matches!(event.kind, EventKind::Access(_)) && event.paths.iter().any(|path| is_plugin(path)))
        });
        if matters {
            // The receiver is gone only when the host ends.
            let _ = events.send(());
        }
    })
    .context("the plugins folder cannot be watched")?;
    watcher
        .watch(registry.folder(), RecursiveMode::NonRecursive)
        .with_context(|| format!("cannot watch {}", registry.folder().display()))?;
    // What changed between the first scan and the watch.
    rescan(&registry, &changed).await;
    loop {
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            event = incoming.recv() => if event.is_none() { return Ok(()) },
        }
        let patience = tokio::time::sleep(REST_MOST);
        tokio::pin!(patience);
        loop {
            tokio::select! {
                () = &mut patience => break,
                rested = tokio::time::timeout(REST, incoming.recv()) => if !matches!(rested, Ok(Some(()))) { break },
            }
        }
        rescan(&registry, &changed).await;
    }
}

async fn rescan(registry: &Registry, changed: &impl AsyncFn()) {
    match registry.scan().await {
        Ok(true) => changed().await,
        Ok(false) => (),
        Err(error) => tracing::warn!("the plugins folder cannot be read; what was loaded goes on: {error:#}"),
    }
}

fn is_plugin(path: &Path) -> bool {
    path.extension().is_some_and(|ending| ending == "wasm")
}
