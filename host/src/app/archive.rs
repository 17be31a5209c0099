//! The ledger's archives: what grows beyond `[ledger] keep` goes into files of the home before it goes from the store.
//!
//! A file holds one part of the chain as JSON lines, the oldest first, each with the bytes that its hash is over, so that
//! `ledger verify` goes through archives and store as one chain. It is named after its first line, and written whole
//! before the store drops what is in it: a kill in between writes the same file again.

use std::io::{BufRead as _, BufReader, BufWriter, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::store::{LedgerCheck, LedgerLine, Store, StoredLine, ledger_link};

/// The ledger is looked at so often.
const LOOK: Duration = Duration::from_secs(30);
/// Lines of one file at most.
const LINES_MOST: usize = 10_000;
/// What the name of each file begins with.
const NAME: &str = "ledger-";

/// How much is kept, and where.
#[derive(Debug, Clone)]
pub struct Archives {
    folder: PathBuf,
    /// Lines in the store.
    keep: u64,
    /// Whether what goes is archived.
    archive: bool,
    /// Bytes of all files together; beyond, the oldest go.
    size: u64,
}

/// What a look at the whole chain found.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// Lines that are as they were written.
    pub lines: u64,
    /// Of them in archives.
    pub archived: u64,
    /// The first one that is not.
    pub broken_at: Option<u64>,
    /// The archive that it is in.
    pub archive: Option<String>,
    /// Lines between archives, or behind them, that nobody has.
    pub missing: u64,
}

/// One line of a file.
#[derive(Serialize, Deserialize)]
struct Row {
    number: u64,
    /// In hex: over the hash before, the number and the bytes.
    hash: String,
    /// Of the line before, on the first line of a file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    after: Option<String>,
    /// For whoever reads it.
    line: LedgerLine,
    /// The bytes that the hash is over, in base64.
    stored: String,
}

impl Row {
    fn of(line: &StoredLine, after: Option<[u8; 32]>) -> Result<Self> {
        Ok(Self {
            number: line.number,
            hash: hex::encode(line.hash),
            after: after.map(hex::encode),
            line: line.line()?,
            stored: STANDARD.encode(&line.bytes),
        })
    }

    /// The line as it was stored, if what is to be read is what the bytes say.
    fn back(&self) -> Option<StoredLine> {
        let bytes = STANDARD.decode(&self.stored).ok()?;
        let hash = hex::decode(&self.hash).ok()?.try_into().ok()?;
        let stored = StoredLine { number: self.number, hash, bytes };
        (stored.line().ok()? == self.line).then_some(stored)
    }
}

impl Archives {
    /// As the configuration wants it.
    pub fn of(config: &Config) -> Self {
        Self {
            folder: config.home.join("ledger-archive"),
            keep: config.ledger.keep,
            archive: config.ledger.archive,
            size: config.ledger.archive_size,
        }
    }

    /// Looks after the ledger until the end.
    pub async fn tend(self, store: Store, stop: CancellationToken) {
        let mut look = tokio::time::interval(LOOK);
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                _ = look.tick() => (),
            }
            if let Err(error) = self.rotate(&store).await {
                tracing::error!("the ledger grows beyond {} lines: {error:#}", self.keep);
            }
        }
    }

    /// Takes what is too much out of the store; how many lines.
    pub async fn rotate(&self, store: &Store) -> Result<u64> {
        // A tenth more than wanted, so that a file is worth writing.
        let part = (self.keep / 10).max(1);
        let mut moved = 0_u64;
        loop {
            let len = store.read(|tx| tx.ledger_len())?;
            if len < self.keep.saturating_add(part) {
                return Ok(moved);
            }
            let many = usize::try_from(len.saturating_sub(self.keep)).unwrap_or(LINES_MOST).min(LINES_MOST);
            let (me, reading) = (self.clone(), store.clone());
            let upto = tokio::task::spawn_blocking(move || me.archive(&reading, many)).await??;
            let Some(upto) = upto else { return Ok(moved) };
            store.write(move |tx| tx.ledger_drop(upto)).await?;
            moved = moved.saturating_add(u64::try_from(many).unwrap_or(u64::MAX));
        }
    }

    /// Writes the oldest lines into a file; the last of them.
    fn archive(&self, store: &Store, many: usize) -> Result<Option<u64>> {
        let (start, lines) = store.read(|tx| Ok((tx.ledger_start()?, tx.ledger_oldest(many)?)))?;
        let (Some(first), Some(last)) = (lines.first(), lines.last()) else { return Ok(None) };
        if !self.archive {
            return Ok(Some(last.number));
        }
        crate::runtime::cache::private_folder(&self.folder)?;
        let mut bytes = BufWriter::new(Vec::new());
        for (at, line) in lines.iter().enumerate() {
            serde_json::to_writer(&mut bytes, &Row::of(line, (at == 0).then_some(start.1))?)?;
            bytes.write_all(b"\n")?;
        }
        let path = self.folder.join(format!("{NAME}{:012}.jsonl", first.number));
        let bytes = bytes.into_inner().context("an archive in memory")?;
        crate::runtime::cache::write_private(&path, &bytes)?;
        // Before the store forgets: the file and its name are on the disk.
        std::fs::File::open(&path)?.sync_all()?;
        std::fs::File::open(&self.folder)?.sync_all()?;
        self.prune()?;
        Ok(Some(last.number))
    }

    /// The files, the oldest first.
    fn files(&self) -> Result<Vec<PathBuf>> {
        let entries = match std::fs::read_dir(&self.folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error).with_context(|| self.folder.display().to_string()),
        };
        let is_one = |path: &Path| {
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            name.starts_with(NAME) && name.ends_with(".jsonl")
        };
        let mut files: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).filter(|path| is_one(path)).collect();
        files.sort();
        Ok(files)
    }

    fn prune(&self) -> Result<()> {
        let mut files = self.files()?;
        let size = |path: &PathBuf| std::fs::metadata(path).map_or(0, |about| about.len());
        let mut all: u64 = files.iter().map(size).sum();
        // The newest one stays, whatever its size.
        while all > self.size && files.len() > 1 {
            let oldest = files.remove(0);
            all = all.saturating_sub(size(&oldest));
            tracing::info!("{} goes: the archives have more than {} bytes", oldest.display(), self.size);
            std::fs::remove_file(&oldest).with_context(|| oldest.display().to_string())?;
        }
        Ok(())
    }

    /// Goes through all that is kept, from the oldest archive to the newest line.
    pub fn verify(&self, store: &Store) -> Result<Found> {
        // One state of both: what is archived meanwhile is in the store's view still.
        let files = self.files()?;
        let (start, checked) = store.read(|tx| Ok((tx.ledger_start()?, tx.ledger_verify()?)))?;
        let mut found = Found::default();
        let mut last: Option<(u64, [u8; 32])> = None;
        for file in files {
            match check(&file, last, start.0)? {
                Ok((lines, gap, end)) => {
                    found.archived = found.archived.saturating_add(lines);
                    found.missing = found.missing.saturating_add(gap);
                    last = end.or(last);
                }
                Err(number) => {
                    let name = file.file_name().map(|name| name.to_string_lossy().into_owned());
                    return Ok(Found { broken_at: Some(number), archive: name, lines: found.archived, ..found });
                }
            }
        }
        if let Some((number, hash)) = last {
            if number == start.0 && hash != start.1 {
                return Ok(Found { broken_at: Some(number), lines: found.archived, ..found });
            }
            found.missing = found.missing.saturating_add(start.0.saturating_sub(number));
        }
        found.lines = found.archived;
        match checked {
            LedgerCheck::Whole(lines) => found.lines = found.lines.saturating_add(lines),
            LedgerCheck::Broken(number) => found.broken_at = Some(number),
        }
        Ok(found)
    }
}

/// Number and hash of a line.
type End = (u64, [u8; 32]);

/// How many lines of a file are whole, how many are missing before them, and their end.
type Checked = (u64, u64, Option<End>);

/// Checks one file behind the end of the one before, up to where the store begins; the number of the line that is not as
/// it was written, if one is not.
fn check(file: &Path, before: Option<End>, upto: u64) -> Result<Result<Checked, u64>> {
    let opened = std::fs::File::open(file).with_context(|| file.display().to_string())?;
    let mut last = before;
    let (mut lines, mut gap) = (0_u64, 0_u64);
    for (at, text) in BufReader::new(opened).lines().enumerate() {
        let expected = last.map_or(1, |(number, _)| number.saturating_add(1));
        let text = text.with_context(|| file.display().to_string())?;
        let row: Option<Row> = serde_json::from_str(&text).ok();
        let Some((row, line)) = row.and_then(|row| row.back().map(|line| (row, line))) else {
            return Ok(Err(expected));
        };
        if line.number > upto {
            // It is in the store still: a kill came between file and store.
            break;
        }
        if at == 0 {
            let after: Option<[u8; 32]> = row.after.as_ref().and_then(|after| hex::decode(after).ok()?.try_into().ok());
            let Some(after) = after else { return Ok(Err(line.number)) };
            match last {
                // A file may be missing because it was pruned or nothing was archived for a while, but not lie.
                Some((number, hash)) if number.saturating_add(1) == line.number && hash != after => {
                    return Ok(Err(line.number));
                }
                Some((number, _)) if line.number <= number => return Ok(Err(line.number)),
                _ => {
                    gap = last.map_or(0, |(number, _)| line.number.saturating_sub(number.saturating_add(1)));
                    last = Some((line.number.saturating_sub(1), after));
                }
            }
        }
        let Some((number, hash)) = last else { return Ok(Err(line.number)) };
        if line.number != number.saturating_add(1) || ledger_link(&hash, line.number, &line.bytes) != line.hash {
            return Ok(Err(number.saturating_add(1)));
        }
        last = Some((line.number, line.hash));
        lines = lines.saturating_add(1);
    }
    Ok(Ok((lines, gap, last)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Options;

    struct World {
        folder: tempfile::TempDir,
        store: Store,
        archives: Archives,
    }

    impl World {
        fn new(keep: u64, archive: bool) -> Self {
            let folder = tempfile::tempdir().unwrap();
            let store = Store::open(folder.path().join("store.redb"), Options::default()).unwrap();
            let archives = Archives { folder: folder.path().join("archive"), keep, archive, size: u64::MAX };
            Self { folder, store, archives }
        }

        async fn note(&self, many: u64) {
            let change = move |tx: &mut crate::store::Writing<'_>| {
                (0..many).try_for_each(|at| {
                    tx.ledger_append(&LedgerLine { at, what: "x".repeat(50), ..LedgerLine::default() })
                })
            };
            self.store.write(change).await.unwrap();
        }

        async fn rotated(&self) -> u64 {
            self.archives.rotate(&self.store).await.unwrap()
        }

        fn found(&self) -> Found {
            self.archives.verify(&self.store).unwrap()
        }

        fn names(&self) -> Vec<String> {
            let files = self.archives.files().unwrap();
            files.iter().map(|path| path.file_name().unwrap().to_string_lossy().into_owned()).collect()
        }
    }

    #[tokio::test]
    async fn what_is_too_much_goes_into_archives_and_the_chain_goes_through_both() {
        let world = World::new(20, true);
        world.note(21).await;
        assert_eq!(world.rotated().await, 0);
        world.note(9).await;
        assert_eq!(world.rotated().await, 10);
        world.note(5).await;
        assert_eq!(world.rotated().await, 5);
        assert_eq!(world.names(), ["ledger-000000000001.jsonl", "ledger-000000000011.jsonl"]);
        assert_eq!(world.found(), Found { lines: 35, archived: 15, ..Found::default() });
    }

    #[tokio::test]
    async fn a_line_that_was_changed_or_taken_out_of_an_archive_shows() {
        let world = World::new(10, true);
        world.note(30).await;
        world.rotated().await;
        let path = world.archives.files().unwrap().remove(0);
        let whole = std::fs::read_to_string(&path).unwrap();
        let spoilt: [(&str, String, u64); 3] = [
            ("what is to be read", whole.replacen("xxx", "yyy", 1), 1),
            (
                "a line less",
                whole.split_inclusive('\n').enumerate().filter(|(at, _)| *at != 4).map(|(_, l)| l).collect(),
                5,
            ),
            ("half of it", whole.get(..whole.len() - 20).unwrap().to_string(), 20),
        ];
        for (what, text, number) in spoilt {
            std::fs::write(&path, text).unwrap();
            let found = world.found();
            assert_eq!((found.broken_at, found.archive.is_some()), (Some(number), true), "{what}");
        }
        std::fs::write(&path, whole).unwrap();
        assert_eq!(world.found().broken_at, None);
    }

    #[tokio::test]
    async fn a_kill_between_file_and_store_doubles_nothing() {
        let world = World::new(10, true);
        world.note(30).await;
        // The file is there, and the store still has its lines.
        assert_eq!(world.archives.archive(&world.store, 20).unwrap(), Some(20));
        assert_eq!(world.found(), Found { lines: 30, ..Found::default() });
        assert_eq!(world.rotated().await, 20);
        assert_eq!(world.found(), Found { lines: 30, archived: 20, ..Found::default() });
        assert_eq!(world.names().len(), 1);
    }

    #[tokio::test]
    async fn archives_are_bounded_and_what_nobody_kept_is_told() {
        let mut world = World::new(10, true);
        for _ in 0..4 {
            world.note(10).await;
            world.rotated().await;
        }
        assert_eq!(world.names().len(), 3);
        world.archives.size = 1;
        world.note(10).await;
        world.rotated().await;
        // The oldest are gone, and what is left is whole.
        assert_eq!(world.names(), ["ledger-000000000031.jsonl"]);
        assert_eq!(world.found(), Found { lines: 20, archived: 10, ..Found::default() });
        world.archives.archive = false;
        world.note(10).await;
        assert_eq!(world.rotated().await, 10);
        assert_eq!(world.found(), Found { lines: 20, archived: 10, missing: 10, ..Found::default() });
        assert!(world.folder.path().join("archive").exists());
    }
}
