//! Finds the folders with a `SKILL.md`: first in the person's own folder of skills, then in the workspace.
//!
//! The walk is bounded in depth, folders, skills and sizes, follows no link, and leaves out what is hidden (but
//! `.agents`) and what builds leave behind. It blocks, so it runs where that is allowed.

use std::collections::{BTreeMap, VecDeque};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::beneath;
use super::front::{self, Front, Mode};

/// The file that makes a folder a skill.
pub const FILE: &str = "SKILL.md";
/// Of a text.
pub const TEXT_MAX: u64 = 256 << 10;
const DEPTH_MAX: usize = 6;
const FOLDERS_MAX: usize = 2_000;
const SKILLS_MAX: usize = 100;
const PROBLEMS_MAX: usize = 50;
const WASM_MAX: u64 = 64 << 20;
/// Where nobody writes skills, and much else lies.
const LEFT_OUT: [&str; 4] = ["target", "node_modules", "__pycache__", "venv"];

/// Where a skill was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// In the person's folder of skills.
    Own,
    /// In the workspace.
    Workspace,
}

/// Where to look.
#[derive(Debug, Clone)]
pub struct Roots {
    /// The person's folder of skills.
    pub own: PathBuf,
    /// The workspace, unless it is not looked at.
    pub workspace: Option<PathBuf>,
    /// Nothing in here but `own`.
    pub home: PathBuf,
}

/// One skill as it lies there.
#[derive(Debug, Clone, PartialEq)]
pub struct Skill {
    /// What it says of itself.
    pub front: Front,
    /// Absolute.
    pub folder: PathBuf,
    /// Where that is.
    pub source: Source,
    /// Its component.
    pub wasm: Option<Wasm>,
}

/// A component in the folder of a skill.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wasm {
    /// Relative to the folder.
    pub file: PathBuf,
    /// SHA-256 in hex.
    pub digest: String,
}

/// Something that a person should mend.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// A `SKILL.md`, or a folder.
    pub path: PathBuf,
    /// From 1, if it is about one.
    pub line: Option<usize>,
    /// What is wrong and what to do.
    pub text: String,
    /// The skill is used all the same.
    pub note: bool,
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.line {
            Some(line) => write!(f, "{}:{line}: {}", self.path.display(), self.text),
            None => write!(f, "{}: {}", self.path.display(), self.text),
        }
    }
}

/// What was found.
#[derive(Debug, Default)]
pub struct Scan {
    /// With their texts, the person's own first, each source in the order of its paths.
    pub skills: Vec<(Skill, String)>,
    /// What is wrong.
    pub problems: Vec<Problem>,
    /// Folders that were looked into: where something new would show.
    pub folders: Vec<PathBuf>,
}

/// What is known of files that were read before: reading a component again for its digest takes a while.
#[derive(Debug, Default)]
pub struct Digests(BTreeMap<PathBuf, (Stamp, String)>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Stamp {
    inode: (u64, u64),
    size: u64,
    changed: (i64, i64, i64, i64),
}

/// Looks everywhere.
pub fn scan(roots: &Roots, digests: &mut Digests) -> Scan {
    let mut scan = Scan::default();
    let mut folders = FOLDERS_MAX;
    walk(&roots.own, Source::Own, roots, digests, &mut scan, &mut folders);
    if let Some(workspace) = &roots.workspace {
        walk(workspace, Source::Workspace, roots, digests, &mut scan, &mut folders);
    }
    digests.0.retain(|path, _| scan.skills.iter().any(|(skill, _)| path.starts_with(&skill.folder)));
    scan.problems.truncate(PROBLEMS_MAX);
    scan
}

fn walk(root: &Path, source: Source, roots: &Roots, digests: &mut Digests, scan: &mut Scan, left: &mut usize) {
    let mut queue = VecDeque::from([(root.to_path_buf(), 0)]);
    while let Some((folder, depth)) = queue.pop_front() {
        if *left == 0 || scan.skills.len() >= SKILLS_MAX {
            let text = format!("only the first {FOLDERS_MAX} folders and {SKILLS_MAX} skills are looked at");
            scan.problems.push(Problem { path: root.to_path_buf(), line: None, text, note: true });
            return;
        }
        // Gone, or not ours to read: there is nothing in it for us.
        let Ok(entries) = std::fs::read_dir(&folder) else { continue };
        *left -= 1;
        scan.folders.push(folder.clone());
        let mut within = Vec::new();
        let mut is_skill = false;
        for entry in entries.flatten() {
            let Ok(kind) = entry.file_type() else { continue };
            let name = entry.file_name();
            let name = name.to_string_lossy();
            if kind.is_dir() && depth < DEPTH_MAX && is_looked_into(&name) {
                within.push(entry.path());
            }
            is_skill |= !kind.is_dir() && name == FILE;
        }
        if is_skill {
            match read(&folder, source, digests, &mut scan.problems) {
                Ok(found) => scan.skills.push(found),
                Err(problem) => scan.problems.push(problem),
            }
        }
        within.sort();
        let elsewhere = |path: &PathBuf| source == Source::Own || (*path != roots.own && *path != roots.home);
        queue.extend(within.into_iter().filter(elsewhere).map(|path| (path, depth + 1)));
    }
}

fn is_looked_into(name: &str) -> bool {
    (!name.starts_with('.') || name == ".agents") && !LEFT_OUT.contains(&name)
}

/// Reads the skill in a folder.
pub fn read(
    folder: &Path,
    source: Source,
    digests: &mut Digests,
    problems: &mut Vec<Problem>,
) -> Result<(Skill, String), Problem> {
    let path = folder.join(FILE);
    let problem = |line, text: String| Problem { path: path.clone(), line, text, note: false };
    let text = beneath::open_file(folder, Path::new(FILE))
        .and_then(|file| beneath::read(file, TEXT_MAX))
        .map_err(|error| problem(None, error.to_string()))?;
    let text = String::from_utf8(text).map_err(|error| {
        let good = error.as_bytes().get(..error.utf8_error().valid_up_to()).unwrap_or_default();
        let line = good.iter().filter(|byte| **byte == b'\n').count() + 1;
        problem(Some(line), "it is not UTF-8".into())
    })?;
    let name = folder.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let (front, body) = front::parse(&text, &name).map_err(|wrong| problem(Some(wrong.line), wrong.text))?;
    let wasm = match front.mode {
        Mode::Wasm => Some(component(folder, &front, digests).map_err(|text| problem(None, text))?),
        Mode::Prompt | Mode::Subprocess | Mode::Container => None,
    };
    let notes = front.notes.iter();
    problems.extend(notes.map(|(line, text)| Problem { note: true, ..problem(Some(*line), text.clone()) }));
    Ok((Skill { front, folder: folder.to_path_buf(), source, wasm }, body))
}

fn component(folder: &Path, front: &Front, digests: &mut Digests) -> Result<Wasm, String> {
    let file = match &front.wasm {
        Some(file) => PathBuf::from(file),
        None => only_component(folder, &front.name)?,
    };
    let what = |error: std::io::Error| format!("{}: {error}", file.display());
    let open = beneath::open_file(folder, &file).map_err(what)?;
    let meta = open.metadata().map_err(what)?;
    let stamp = Stamp {
        inode: (meta.dev(), meta.ino()),
        size: meta.size(),
        changed: (meta.mtime(), meta.mtime_nsec(), meta.ctime(), meta.ctime_nsec()),
    };
    let path = folder.join(&file);
    if let Some((before, digest)) = digests.0.get(&path)
        && *before == stamp
    {
        return Ok(Wasm { file, digest: digest.clone() });
    }
    let bytes = beneath::read(open, WASM_MAX).map_err(what)?;
    let digest = crate::plugin::digest(&bytes);
    digests.0.insert(path, (stamp, digest.clone()));
    Ok(Wasm { file, digest })
}

/// The component of a skill that does not say which.
fn only_component(folder: &Path, name: &str) -> Result<PathBuf, String> {
    let entries = std::fs::read_dir(folder).map_err(|error| error.to_string())?;
    let mut found: Vec<String> = entries
        .flatten()
        .filter_map(|entry| entry.file_name().into_string().ok())
        .filter(|file| file.ends_with(".wasm"))
        .collect();
    found.sort();
    let own = format!("{name}.wasm");
    match found.as_slice() {
        [] => Err("`mode: wasm` needs a component, and there is no .wasm beside it: build it and put it there".into()),
        [one] => Ok(one.into()),
        many if many.contains(&own) => Ok(own.into()),
        many => Err(format!("there are {}: say which with `wasm: FILE`", many.join(", "))),
    }
}

/// Reads the bytes of a skill's component again, if they are still those that were looked at.
pub fn bytes(folder: &Path, wasm: &Wasm) -> std::io::Result<Vec<u8>> {
    let bytes = beneath::open_file(folder, &wasm.file).and_then(|file| beneath::read(file, WASM_MAX))?;
    if crate::plugin::digest(&bytes) == wasm.digest {
        return Ok(bytes);
    }
    Err(std::io::Error::other("it was changed a moment ago and has not been looked at yet; try again"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(path: &Path, text: &str) {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    fn skill(folder: &Path, more: &str) {
        let name = folder.file_name().unwrap().to_str().unwrap();
        write(&folder.join(FILE), &format!("---\nname: {name}\ndescription: does {name}\n{more}---\ntext of {name}\n"));
    }

    fn roots(at: &Path) -> Roots {
        let home = at.join("work/.openpista");
        Roots { own: home.join("skills"), workspace: Some(at.join("work")), home }
    }

    fn names(scan: &Scan) -> Vec<(&str, Source)> {
        scan.skills.iter().map(|(skill, _)| (skill.front.name.as_str(), skill.source)).collect()
    }

    #[test]
    fn skills_are_found_at_any_depth_but_not_behind_links_nor_in_what_is_hidden_or_built() {
        let at = tempfile::tempdir().unwrap();
        let roots = roots(at.path());
        skill(&roots.own.join("mine"), "");
        let work = at.path().join("work");
        skill(&work.join("a/b/c/deep"), "");
        skill(&work.join(".agents/skills/agents"), "");
        skill(&work.join("1/2/3/4/5/6/7"), "");
        for left_out in [".git/hidden", "target/built", "node_modules/package"] {
            skill(&work.join(left_out), "");
        }
        skill(&at.path().join("outside"), "");
        std::os::unix::fs::symlink(at.path().join("outside"), work.join("linked")).unwrap();
        std::fs::create_dir(work.join("file-link")).unwrap();
        std::os::unix::fs::symlink(at.path().join("outside").join(FILE), work.join("file-link").join(FILE)).unwrap();
        let scan = scan(&roots, &mut Digests::default());
        let own = Source::Workspace;
        assert_eq!(names(&scan), [("mine", Source::Own), ("agents", own), ("deep", own)]);
        let problems: Vec<String> = scan.problems.iter().map(ToString::to_string).collect();
        assert_eq!(problems.len(), 1, "{problems:?}");
        assert!(
            problems[0]
                .ends_with("file-link/SKILL.md: it is a link, or there is one on the way; links are not followed")
        );
    }

    #[test]
    fn what_is_wrong_with_a_file_is_said_with_file_and_line_and_the_others_are_found() {
        let at = tempfile::tempdir().unwrap();
        let roots = roots(at.path());
        skill(&roots.own.join("good"), "");
        skill(&roots.own.join("bad"), "mode: wsam\n");
        skill(&roots.own.join("bare"), "mode: wasm\n");
        skill(&roots.own.join("two"), "mode: wasm\n");
        write(&roots.own.join("two/a.wasm"), "a");
        write(&roots.own.join("two/b.wasm"), "b");
        std::fs::create_dir(roots.own.join("binary")).unwrap();
        std::fs::write(roots.own.join("binary").join(FILE), b"one\ntwo\xff\n").unwrap();
        write(&roots.own.join("endless").join(FILE), &"x".repeat(300 << 10));
        let scan = scan(&roots, &mut Digests::default());
        assert_eq!(names(&scan), [("good", Source::Own)]);
        let own = format!("{}/", roots.own.display());
        let problems: Vec<String> = scan.problems.iter().map(|problem| problem.to_string().replace(&own, "")).collect();
        assert_eq!(
            problems,
            [
                "bad/SKILL.md:4: `mode: wsam` is none of prompt, wasm, subprocess, container",
                "bare/SKILL.md: `mode: wasm` needs a component, and there is no .wasm beside it: build it and put it there",
                "binary/SKILL.md:2: it is not UTF-8",
                "endless/SKILL.md: it is longer than 256 KiB",
                "two/SKILL.md: there are a.wasm, b.wasm: say which with `wasm: FILE`",
            ]
        );
    }

    #[test]
    fn the_number_of_skills_is_bounded_and_that_is_said() {
        let at = tempfile::tempdir().unwrap();
        let roots = roots(at.path());
        for number in 0..SKILLS_MAX + 5 {
            skill(&roots.own.join(format!("s{number}")), "");
        }
        let scan = scan(&roots, &mut Digests::default());
        assert_eq!(scan.skills.len(), SKILLS_MAX);
        assert!(scan.problems[0].text.starts_with("only the first "), "{:?}", scan.problems);
    }

    #[test]
    fn a_component_that_was_exchanged_after_it_was_looked_at_is_not_run() {
        let at = tempfile::tempdir().unwrap();
        let roots = roots(at.path());
        let folder = roots.own.join("tool");
        skill(&folder, "mode: wasm\n");
        write(&folder.join("x.wasm"), "one");
        let mut digests = Digests::default();
        let found = scan(&roots, &mut digests);
        let wasm = found.skills[0].0.wasm.clone().unwrap();
        assert_eq!(bytes(&folder, &wasm).unwrap(), b"one");
        write(&folder.join("x.wasm"), "other");
        assert!(bytes(&folder, &wasm).is_err());
        let again = scan(&roots, &mut digests).skills[0].0.wasm.clone().unwrap();
        assert_ne!(again, wasm);
        assert_eq!(bytes(&folder, &again).unwrap(), b"other");
    }
}
