//! The ledger: which plugin used which capability for what, and whether it was let.
//!
//! Each line carries the SHA-256 of the line before, its number and its own bytes, so a line that was changed or taken
//! out shows. When the oldest go, the hash that the rest begins from is recorded; `app` says how many are kept, and
//! writes those that go into archives first.
//!
//! The hash is over the bytes as they are stored, so lines of an older program stay whole, whatever fields came since.

use redb::{ReadableTable as _, ReadableTableMetadata as _, TableDefinition};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::error::StoreError;
use super::transaction::{Reading, Writing, decode, encode};
use crate::message::Timestamp;

/// Number to hash and line.
pub(super) const LEDGER: TableDefinition<u64, ([u8; 32], &[u8])> = TableDefinition::new("ledger");
/// `start`: the number and hash of the line before the first one; `end`: of the last one.
pub(super) const CHAIN: TableDefinition<&str, (u64, [u8; 32])> = TableDefinition::new("ledger.chain");

const START: &str = "start";
const END: &str = "end";
/// Beyond so many the oldest go even if nobody came to archive them.
const KEPT: u64 = 1_200_000;
const WHAT_MOST: usize = 1_000;
/// One page of a filtered reading looks at this many lines at most.
const SCAN_MOST: usize = 20_000;
/// A line may be older than the one before it by so many milliseconds.
const OUT_OF_ORDER: u64 = 60_000;

/// One line.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct LedgerLine {
    /// When.
    pub at: Timestamp,
    /// The plugin's name.
    pub plugin: String,
    /// The instance.
    pub instance: String,
    /// SHA-256 of the component, in hex.
    pub digest: String,
    /// In which session.
    pub session: Option<String>,
    /// In which turn.
    pub turn: Option<String>,
    /// Which of the contract's calls: `tools.call`, …
    pub operation: String,
    /// `http`, `shell`, …
    pub capability: String,
    /// What, without secrets; at most 1,000 characters are kept.
    pub what: String,
    /// It was allowed.
    pub allowed: bool,
    /// SHA-256 of the arguments, in hex; empty where there are none, and in lines of older programs.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub arguments: String,
    /// Who or what let a tool call run: a rule, the session's word, an approval.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub approval: String,
    /// What came of it: `ok`, `200`, `exit 0`, `denied`, `cut off`; `begun` of one that was still under way.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub outcome: String,
    /// How long it took, in µs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub took: Option<u64>,
}

/// Which lines are wanted; `None` does not restrict.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct LedgerFilter {
    /// By plugin.
    pub plugin: Option<String>,
    /// By instance.
    pub instance: Option<String>,
    /// By session.
    pub session: Option<String>,
    /// By turn.
    pub turn: Option<String>,
    /// By capability.
    pub capability: Option<String>,
    /// Only what was allowed, or only what was denied.
    pub allowed: Option<bool>,
    /// By plugin or instance.
    pub name: Option<String>,
    /// Not older than this.
    pub since: Option<Timestamp>,
}

impl LedgerFilter {
    fn fits(&self, line: &LedgerLine) -> bool {
        fn is(wanted: Option<&String>, found: &str) -> bool {
            wanted.is_none_or(|wanted| wanted == found)
        }
        is(self.plugin.as_ref(), &line.plugin)
            && is(self.instance.as_ref(), &line.instance)
            && is(self.capability.as_ref(), &line.capability)
            && (self.session.is_none() || self.session == line.session)
            && (self.turn.is_none() || self.turn == line.turn)
            && self.allowed.is_none_or(|allowed| allowed == line.allowed)
            && self.name.as_ref().is_none_or(|name| *name == line.plugin || *name == line.instance)
            && self.since.is_none_or(|since| line.at >= since)
    }
}

/// A part of the ledger, the newest line first.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LedgerPage {
    /// Number and line.
    pub lines: Vec<(u64, LedgerLine)>,
    /// Where to go on; `None` at the end.
    pub before: Option<u64>,
}

/// What a look at the whole chain found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LedgerCheck {
    /// This many lines, all as they were written.
    Whole(u64),
    /// From this number on something was changed or is missing.
    Broken(u64),
}

/// A line as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// Its number.
    pub number: u64,
    /// Over the hash of the line before, the number and the bytes.
    pub hash: [u8; 32],
    /// The line, encoded.
    pub bytes: Vec<u8>,
}

impl Stored {
    /// The line that the bytes hold.
    pub fn line(&self) -> Result<LedgerLine, StoreError> {
        decode("ledger", &self.bytes)
    }
}

/// The hash of a line behind another one.
pub fn link(before: &[u8; 32], number: u64, line: &[u8]) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update(before);
    hash.update(number.to_be_bytes());
    hash.update(line);
    hash.finalize().into()
}

impl Reading<'_> {
    /// Lines with a number below `before`, the newest first. A page may have fewer than `limit`, or none, when few fit:
    /// go on until its `before` is `None`.
    pub fn ledger(&self, filter: &LedgerFilter, before: Option<u64>, limit: usize) -> Result<LedgerPage, StoreError> {
        let mut page = LedgerPage::default();
        for (seen, entry) in self.view(LEDGER)?.range(..before.unwrap_or(u64::MAX))?.rev().enumerate() {
            let (number, value) = entry?;
            if page.lines.len() >= limit || seen >= SCAN_MOST {
                page.before = Some(number.value().saturating_add(1));
                break;
            }
            let line: LedgerLine = decode("ledger", value.value().1)?;
            // Lines stand nearly in the order of their times.
            if filter.since.is_some_and(|since| line.at.saturating_add(OUT_OF_ORDER) < since) {
                break;
            }
            if filter.fits(&line) {
                page.lines.push((number.value(), line));
            }
        }
        Ok(page)
    }

    /// How many lines there are.
    pub fn ledger_len(&self) -> Result<u64, StoreError> {
        self.view(LEDGER)?.len()
    }

    /// Number and hash of the line before the first one that is here.
    pub fn ledger_start(&self) -> Result<(u64, [u8; 32]), StoreError> {
        Ok(self.view(CHAIN)?.get(START)?.map_or((0, [0; 32]), |start| start.value()))
    }

    /// The oldest lines, as they are stored.
    pub fn ledger_oldest(&self, most: usize) -> Result<Vec<Stored>, StoreError> {
        let mut lines = Vec::new();
        for entry in self.view(LEDGER)?.all()?.take(most) {
            let (number, value) = entry?;
            let (hash, bytes) = value.value();
            lines.push(Stored { number: number.value(), hash, bytes: bytes.to_vec() });
        }
        Ok(lines)
    }

    /// Goes through all lines: whether each is as it was written and none is missing.
    pub fn ledger_verify(&self) -> Result<LedgerCheck, StoreError> {
        let chain = self.view(CHAIN)?;
        let (mut number, mut hash) = chain.get(START)?.map_or((0, [0; 32]), |start| start.value());
        let end = chain.get(END)?.map_or((0, [0; 32]), |end| end.value());
        let mut lines = 0_u64;
        for entry in self.view(LEDGER)?.all()? {
            let (found, value) = entry?;
            number = number.saturating_add(1);
            let (stored, line) = value.value();
            hash = link(&hash, number, line);
            if found.value() != number || stored != hash {
                return Ok(LedgerCheck::Broken(number));
            }
            lines = lines.saturating_add(1);
        }
        Ok(if (number, hash) == end {
            LedgerCheck::Whole(lines)
        } else {
            LedgerCheck::Broken(number.saturating_add(1))
        })
    }
}

impl Writing<'_> {
    /// Adds a line. Use it with `write_later`: it rides along with the next commit.
    pub fn ledger_append(&mut self, line: &LedgerLine) -> Result<(), StoreError> {
        self.ledger_append_keeping(line, KEPT)
    }

    /// Removes all lines up to this one.
    pub fn ledger_drop(&mut self, upto: u64) -> Result<(), StoreError> {
        let mut chain = self.table(CHAIN)?;
        let mut ledger = self.table(LEDGER)?;
        while ledger.first()?.is_some_and(|(number, _)| number.value() <= upto) {
            let Some((oldest, value)) = ledger.pop_first()? else { break };
            chain.insert(START, (oldest.value(), value.value().0))?;
        }
        Ok(())
    }

    pub(super) fn ledger_append_keeping(&mut self, line: &LedgerLine, kept: u64) -> Result<(), StoreError> {
        let mut chain = self.table(CHAIN)?;
        let (last, before) = chain.get(END)?.map_or((0, [0; 32]), |end| end.value());
        let number = last.saturating_add(1);
        let bytes = match line.what.char_indices().nth(WHAT_MOST) {
            Some(_) => encode(&LedgerLine { what: line.what.chars().take(WHAT_MOST).collect(), ..line.clone() })?,
            None => encode(line)?,
        };
        let hash = link(&before, number, &bytes);
        let mut ledger = self.table(LEDGER)?;
        ledger.insert(number, (hash, bytes.as_slice()))?;
        chain.insert(END, (number, hash))?;
        while ledger.len()? > kept {
            let Some((oldest, value)) = ledger.pop_first()? else {
                break;
            };
            chain.insert(START, (oldest.value(), value.value().0))?;
        }
        Ok(())
    }
}
