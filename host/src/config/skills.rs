//! `[skills]`: where skills lie, what of them goes to the model, what those in WebAssembly may use.

use std::path::{Path, PathBuf};
use std::time::Duration;

use toml::de::DeTable;

use super::read::Reader;

/// How much of skills goes into each request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SkillContext {
    /// Their texts, as long as they fit.
    All,
    /// Their names and descriptions.
    Names,
}

/// `[skills]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Skills {
    /// The person's own folder of skills.
    pub dir: PathBuf,
    /// Whether skills of the workspace are used, too.
    pub workspace: bool,
    /// How much of them goes into each request.
    pub context: SkillContext,
    /// Characters of it.
    pub context_chars: u64,
    /// Memory of one run in WebAssembly, in bytes.
    pub memory: u64,
    /// Time that one run computes.
    pub running: Duration,
}

/// Reads the section.
pub(super) fn skills<'a>(reader: &mut Reader<'a>, root: &DeTable<'a>, home: &Path) -> Skills {
    let default = home.join("skills");
    let table = super::table(reader, root, "skills");
    let mut section = reader.section("skills", table);
    let contexts = [("all", SkillContext::All), ("names", SkillContext::Names)];
    let skills = Skills {
        dir: section.path("dir", &[], Some(default.clone())).unwrap_or(default),
        workspace: section.boolean("workspace", true),
        context: section.choice("context", &[], Some(SkillContext::All), &contexts).unwrap_or(SkillContext::All),
        context_chars: section.count("context_chars", 24_000, 500..=100_000),
        memory: section.size("memory", 64 << 20, super::limits::MEMORY),
        running: section.duration("running", Duration::from_secs(30)),
    };
    section.end();
    skills
}
