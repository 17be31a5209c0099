//! What `ARCHITECTURE.md` says of the code, held against the code: who imports whom, no vendor's name in the host, files
//! of a readable length, and commands in the documentation that exist; and that `mutants.toml` fits the code.
#![expect(clippy::unwrap_used, clippy::panic, reason = "what tests share may fail loudly, too")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Who may import whom, with `crate::`. `a::b` allows only that part of `a`. `app` and `main` may import everything.
/// The same table stands in `ARCHITECTURE.md`.
const LAYERS: &[(&str, &[&str])] = &[
    ("message", &[]),
    ("config", &[]),
    ("grant", &[]),
    ("home", &[]),
    ("failpoint", &[]),
    ("output", &["message"]),
    ("store", &["failpoint", "message"]),
    ("agent", &["message"]),
    ("live", &["agent::event"]),
    ("wit", &["capability::deltas", "capability::http", "capability::shell"]),
    ("capability", &["agent::ports", "grant", "message", "wit"]),
    ("transport", &["capability::connection", "message", "wit"]),
    ("runtime", &["capability", "message", "wit"]),
    ("plugin", &["agent::ports", "capability", "failpoint", "grant", "message", "runtime", "wit"]),
    ("install", &["capability::http", "capability::secrets", "config", "plugin", "runtime::cache"]),
    ("skill", &["capability", "grant", "message", "plugin", "runtime", "wit"]),
    ("session", &["agent", "capability::secrets", "live", "message", "store"]),
    ("models", &["agent", "plugin", "session::Catalogue", "wit"]),
    (
        "gateway",
        &[
            "capability",
            "failpoint",
            "grant",
            "live",
            "message",
            "output::drawn",
            "plugin",
            "runtime::CallError",
            "runtime::in_words",
            "session",
            "store",
            "transport",
            "wit",
        ],
    ),
    ("admin", &["message"]),
    ("author", &["admin", "agent", "capability", "grant", "message", "plugin", "runtime", "wit"]),
    (
        "cli",
        &[
            "admin",
            "author",
            "capability::secrets",
            "config",
            "home",
            "install",
            "message",
            "output",
            "plugin::CONTRACT",
            "plugin::digest",
        ],
    ),
];

/// May import everything.
const ROOTS: [&str; 3] = ["app", "fuzzing", "main"];

/// A longer file holds more than one idea.
const LINES_MOST: usize = 800;

/// Names of services and of their companies. What is special about one belongs into a component.
const VENDORS: [&str; 11] = [
    "telegram",
    "discord",
    "slack",
    "whatsapp",
    "anthropic",
    "openai",
    "ollama",
    "openrouter",
    "copilot",
    "gemini",
    "bedrock",
];

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_path_buf()
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// All files under a folder that end so, sorted; what was built is left out.
fn files(folder: &Path, ending: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                if path.file_name().is_some_and(|name| name != "target") {
                    folders.push(path);
                }
            } else if path.to_str().is_some_and(|path| path.ends_with(ending)) {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

/// A source file without what only tests have.
struct Source {
    code: String,
    /// `mod NAME;` behind `#[cfg(test)]`.
    test_modules: Vec<String>,
}

/// Takes out each item behind `#[cfg(test)]`. It ends where rustfmt puts its end: at a closing bracket that stands as far
/// in as the item begins.
fn without_tests(text: &str) -> Source {
    let mut code = String::new();
    let mut test_modules = Vec::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        if line.trim() != "#[cfg(test)]" {
            code.push_str(line);
            code.push('\n');
            continue;
        }
        let indent = line.strip_suffix(line.trim_start()).unwrap_or_default();
        let Some(item) = lines.find(|line| !line.trim().starts_with("#[")) else { break };
        let words = item.trim().trim_end_matches(';').split_whitespace();
        let name = words.skip_while(|word| *word != "mod").nth(1);
        if item.ends_with(';') {
            test_modules.extend(name.map(str::to_string));
        } else if !item.ends_with('}') {
            let closed = |line: &&str| line.strip_prefix(indent).is_some_and(|rest| rest.starts_with(['}', ')', ']']));
            assert!(lines.by_ref().any(|line| closed(&line)), "an item behind #[cfg(test)] has no end: {item}");
        }
    }
    Source { code, test_modules }
}

/// Every source file of a folder that is not for tests only, by its path below the folder, without its tests.
fn sources(folder: &Path) -> BTreeMap<String, String> {
    let mut sources = BTreeMap::new();
    let mut for_tests = Vec::new();
    for path in files(folder, ".rs") {
        let inside = path.strip_prefix(folder).unwrap().to_str().unwrap().to_string();
        let source = without_tests(&read(&path));
        let parent = match inside.strip_suffix(".rs").unwrap() {
            "lib" | "main" => String::new(),
            module => format!("{module}/"),
        };
        for module in source.test_modules {
            for_tests.push(format!("{parent}{module}.rs"));
            for_tests.push(format!("{parent}{module}/"));
        }
        sources.insert(inside, source.code);
    }
    assert!(!sources.is_empty(), "there is no source in {}", folder.display());
    sources.retain(|path, _| {
        !for_tests.iter().any(|test| path == test || (test.ends_with('/') && path.starts_with(test)))
    });
    sources
}

/// The paths behind `crate::` in code, at most two names long: `store`, `agent::ports`.
fn imports(code: &str, root: &str) -> Vec<String> {
    let mut found = Vec::new();
    let name = |text: &str| -> String { text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect() };
    for line in code.lines().filter(|line| !line.trim_start().starts_with("//")) {
        for rest in line.split(root).skip(1) {
            let first = name(rest);
            let second = rest.strip_prefix(&first).and_then(|rest| rest.strip_prefix("::")).map(name);
            let second = second.filter(|second| !second.is_empty());
            found.push(second.map_or_else(|| first.clone(), |second| format!("{first}::{second}")));
        }
    }
    found
}

#[test]
fn modules_import_only_what_their_layer_allows() {
    let allowed: BTreeMap<&str, &[&str]> = LAYERS.iter().copied().collect();
    let mut wrong = Vec::new();
    let mut used: BTreeSet<(String, String)> = BTreeSet::new();
    for (path, code) in sources(&repository().join("host/src")) {
        let depth = path.trim_end_matches(".rs").split('/').count();
        let module = path.trim_end_matches(".rs").split('/').next().unwrap().to_string();
        if module == "lib" || ROOTS.contains(&module.as_str()) {
            continue;
        }
        let Some(layer) = allowed.get(module.as_str()) else {
            wrong.push(format!("{path}: `{module}` stands in no layer"));
            continue;
        };
        if code.contains(&"super::".repeat(depth)) {
            wrong.push(format!("{path}: a path with `super::` leads to another module; write it with `crate::`"));
        }
        for import in imports(&code, "crate::") {
            let top = import.split("::").next().unwrap();
            if top == module {
                continue;
            }
            match layer.iter().find(|allowed| **allowed == top || **allowed == import) {
                Some(allowed) => {
                    used.insert((module.clone(), (*allowed).to_string()));
                }
                None => wrong.push(format!("{path}: {module} may not import {import}")),
            }
        }
    }
    for (module, layer) in LAYERS {
        for allowed in *layer {
            if !used.contains(&((*module).to_string(), (*allowed).to_string())) {
                wrong.push(format!("{module} imports nothing of {allowed}: take it out of the table"));
            }
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
}

#[test]
fn the_layers_in_the_architecture_are_those_of_the_test() {
    let page = read(&repository().join("host/ARCHITECTURE.md"));
    let names = |cell: &str| -> Vec<String> { cell.split('`').skip(1).step_by(2).map(str::to_string).collect() };
    let section = page.split("\n## ").find(|section| section.starts_with("Who may import whom")).unwrap();
    let rows: Vec<(Vec<String>, Vec<String>)> = section
        .lines()
        .filter_map(|line| line.strip_prefix("| `"))
        .map(|row| row.split_once('|').unwrap())
        .map(|(module, layer)| (names(&format!("`{module}")), names(layer)))
        .collect();
    let strings = |list: &[&str]| -> Vec<String> { list.iter().map(ToString::to_string).collect() };
    let table: Vec<(Vec<String>, Vec<String>)> =
        LAYERS.iter().map(|(module, layer)| (strings(&[*module]), strings(layer))).collect();
    assert_eq!(rows, table);
}

#[test]
fn each_mechanism_that_mutants_switch_off_is_where_they_say_and_has_its_test() {
    let repository = repository();
    let list: toml::Table = read(&repository.join("host/tests/mutants.toml")).parse().unwrap();
    let (mut names, mut wrong) = (BTreeSet::new(), Vec::new());
    for mutant in list["mutant"].as_array().unwrap() {
        let word =
            |key: &str| mutant.get(key).and_then(toml::Value::as_str).unwrap_or_else(|| panic!("{key}: {mutant}"));
        let name = word("name");
        assert!(!word("off").is_empty());
        if !names.insert(name) {
            wrong.push(format!("{name}: there are two of that name"));
        }
        let found = read(&repository.join(word("file"))).matches(word("find")).count();
        if found != 1 || word("find") == word("replace") {
            wrong.push(format!("{name}: `find` stands {found} times in {}", word("file")));
        }
        let tests = mutant.get("tests").and_then(toml::Value::as_array).unwrap();
        for path in tests.iter().filter_map(toml::Value::as_str) {
            let (module, test) = path.rsplit_once("::").unwrap_or(("", path));
            let file = ["host/tests", word("target"), module].join("/");
            let code = read(&repository.join(format!("{}.rs", file.trim_end_matches('/'))));
            if code.matches(&format!("fn {test}()")).count() != 1 {
                wrong.push(format!("{name}: there is no test {path}"));
            }
        }
        if tests.is_empty() || !word("replace").contains("OFF") {
            wrong.push(format!("{name}: it has no tests, or no OFF"));
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
}

#[test]
fn the_host_names_no_vendor() {
    let repository = repository();
    let mut found = Vec::new();
    let texts =
        files(&repository.join("host/src"), "").into_iter().chain(files(&repository.join("host/templates"), ""));
    for path in texts {
        for (number, line) in read(&path).lines().enumerate() {
            let words = line.split(|c: char| !c.is_alphanumeric() && c != '_').map(str::to_lowercase);
            for word in words.filter(|word| VENDORS.contains(&word.as_str())) {
                found.push(format!("{}:{}: {word}", path.strip_prefix(&repository).unwrap().display(), number + 1));
            }
        }
    }
    assert_eq!(found, Vec::<String>::new());
}

#[test]
fn no_file_is_too_long_to_be_read() {
    let repository = repository();
    let mut long = Vec::new();
    for folder in ["host/src", "components", "xtask/src"] {
        // `cargo component build` leaves what it made beside the sources; git ignores it, and nobody reads it.
        let made = |path: &str| folder == "components" && path.ends_with("/src/bindings.rs");
        let own = sources(&repository.join(folder)).into_iter().filter(|(path, _)| !made(path));
        for (path, code) in own {
            let lines = code.lines().count();
            if lines > LINES_MOST {
                long.push(format!("{folder}/{path}: {lines} lines without its tests"));
            }
        }
    }
    assert_eq!(long, Vec::<String>::new());
}

/// What stands between backticks, and the lines of blocks for a shell. Other blocks show output, or other languages.
fn code_in(page: &str) -> Vec<String> {
    let mut code = Vec::new();
    let mut block = None;
    for line in page.lines() {
        if let Some(language) = line.trim_start().strip_prefix("```") {
            block = if block.is_none() { Some(language) } else { None };
        } else if block == Some("sh") {
            code.push(line.to_string());
        } else if block.is_none() {
            code.extend(line.split('`').skip(1).step_by(2).map(str::to_string));
        }
    }
    code
}

/// The arguments that a shell would make of a line, up to where its command ends.
fn arguments(line: &str) -> Vec<String> {
    let mut arguments = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    for c in line.chars() {
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (Some(_), c) => word.get_or_insert_default().push(c),
            (None, '"' | '\'') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (None, '>' | '|' | '&' | ';') => break,
            (None, '#') if word.is_none() => break,
            (None, c) if c.is_whitespace() => arguments.extend(word.take()),
            (None, c) => word.get_or_insert_default().push(c),
        }
    }
    arguments.extend(word);
    arguments
}

#[test]
fn the_commands_in_the_documentation_exist() {
    let repository = repository();
    let mut pages: Vec<PathBuf> =
        ["README.md", "config.toml", "host/ARCHITECTURE.md", "plugins/README.md", "skills/README.md"]
            .map(|page| repository.join(page))
            .to_vec();
    pages.extend(files(&repository.join("docs"), ".md"));
    pages.extend(files(&repository.join("host/templates"), "README.md.in"));
    let mut commands: BTreeMap<Vec<String>, PathBuf> = BTreeMap::new();
    for page in pages {
        for code in code_in(&read(&page)) {
            let mut rest = code.as_str();
            while let Some((before, after)) = rest.split_once("openpista-host ") {
                rest = after;
                // A command, not a sentence that has the name in it.
                if !before.trim_end().is_empty() && !before.ends_with("&& ") && !before.ends_with('/') {
                    continue;
                }
                let command = arguments(after);
                let placeholder = |word: &String| word.chars().all(char::is_uppercase);
                if command.first().is_some_and(|first| !placeholder(first)) {
                    commands.insert(command, page.clone());
                }
            }
        }
    }
    assert!(!commands.is_empty(), "no page names a command");
    let home = tempfile::tempdir().unwrap();
    let mut wrong = Vec::new();
    for (command, page) in commands {
        // What stands before it is parsed first, so an unknown command or option fails; nothing of it is done.
        let output = Command::new(env!("CARGO_BIN_EXE_openpista-host"))
            .args(&command)
            .arg("--help")
            .env_clear()
            .env("HOME", home.path())
            .output()
            .unwrap();
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr).lines().next().unwrap_or_default().to_string();
            wrong.push(format!("{}: openpista-host {}: {said}", page.display(), command.join(" ")));
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
}
