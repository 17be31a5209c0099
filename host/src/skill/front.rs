//! A `SKILL.md`: front matter in YAML between two lines `---`, then the text for the model.
//!
//! The keys are those of the Agent Skills convention (`name`, `description`, `license`, `compatibility`, `metadata`,
//! `allowed-tools`) and ours: `mode`, `image`, `wasm`, `parameters`, `env`. A key that is not known is noted and ignored,
//! because other hosts have keys of their own. What is wrong is said with its line.

use std::fmt;

use serde_json::{Map, Value};

const NAME_MAX: usize = 64;
const DESCRIPTION_MAX: usize = 1_024;
const COMPATIBILITY_MAX: usize = 500;
const FRONT_MAX: usize = 32 << 10;
const ENVIRONMENT_MAX: usize = 32;
const KEYS: [&str; 11] = [
    "name",
    "description",
    "license",
    "compatibility",
    "metadata",
    "allowed-tools",
    "mode",
    "image",
    "wasm",
    "parameters",
    "env",
];

/// How a skill is carried out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Mode {
    /// By the model, with the tools that there are.
    #[default]
    Prompt,
    /// In the sandbox.
    Wasm,
    /// As a process.
    Subprocess,
    /// In a container.
    Container,
}

const MODES: [(&str, Mode); 4] =
    [("prompt", Mode::Prompt), ("wasm", Mode::Wasm), ("subprocess", Mode::Subprocess), ("container", Mode::Container)];

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(MODES.iter().find(|(_, mode)| mode == self).map_or("", |(word, _)| word))
    }
}

/// What stands in the front matter.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Front {
    /// `[a-z0-9-]`.
    pub name: String,
    /// What it is for.
    pub description: String,
    /// For the person.
    pub license: Option<String>,
    /// What it needs, for the person.
    pub compatibility: Option<String>,
    /// Whatever its author wants to say.
    pub metadata: Map<String, Value>,
    /// Tools that it uses, for the model. Grants nothing.
    pub allowed_tools: Vec<String>,
    /// How it is carried out.
    pub mode: Mode,
    /// For a container.
    pub image: Option<String>,
    /// The component, relative to the folder; none: the only one there.
    pub wasm: Option<String>,
    /// JSON Schema of a command's arguments.
    pub parameters: Option<Value>,
    /// All that there is of an environment.
    pub env: Vec<(String, String)>,
    /// What should be looked at, with its line.
    pub notes: Vec<(usize, String)>,
}

/// Why a `SKILL.md` cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wrong {
    /// From 1.
    pub line: usize,
    /// What is wrong and what to do.
    pub text: String,
}

fn wrong<T>(line: usize, text: impl Into<String>) -> Result<T, Wrong> {
    Err(Wrong { line, text: text.into() })
}

/// Reads a `SKILL.md` from the folder of this name.
pub fn parse(text: &str, folder: &str) -> Result<(Front, String), Wrong> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut lines = text.split_inclusive('\n');
    let begins = text.lines().next().is_some_and(|line| line.trim_end() == "---");
    let (mut yaml, mut closed) = (String::new(), !begins);
    if begins {
        lines.next();
        for line in lines.by_ref() {
            if matches!(line.trim_end(), "---" | "...") {
                closed = true;
                break;
            }
            yaml.push_str(line);
        }
    }
    if !closed {
        return wrong(1, "the front matter has no end: put a line `---` behind it");
    }
    if yaml.len() > FRONT_MAX {
        return wrong(1, format!("the front matter is longer than {} KiB", FRONT_MAX >> 10));
    }
    let body: String = lines.collect();
    let mut reader = Reader { map: map(&yaml)?, yaml: &yaml };
    let front = reader.front(folder, &body)?;
    Ok((front, body.trim().to_owned()))
}

fn map(yaml: &str) -> Result<Map<String, Value>, Wrong> {
    if yaml.lines().all(|line| line.trim().is_empty() || line.trim_start().starts_with('#')) {
        return Ok(Map::new());
    }
    serde_saphyr::from_str(yaml).map_err(|error| {
        let error = error.without_snippet();
        let line = error.location().map_or(1, |location| usize::try_from(location.line()).unwrap_or(1));
        let said = error.to_string();
        // The line is said once, and as it is in the file.
        let first = said.lines().next().and_then(|first| first.split(" at line ").next()).unwrap_or_default();
        Wrong {
            line: line.saturating_add(1),
            text: format!("the front matter is not YAML of keys and values: {first}"),
        }
    })
}

struct Reader<'a> {
    map: Map<String, Value>,
    yaml: &'a str,
}

impl Reader<'_> {
    /// Of a key in the file. The front matter begins in line 2.
    fn line(&self, key: &str) -> usize {
        let at = |line: &str| {
            let bare = line.trim_start_matches(['"', '\'']);
            bare.strip_prefix(key)
                .is_some_and(|rest| rest.trim_start_matches(['"', '\'']).trim_start().starts_with(':'))
        };
        self.yaml.lines().position(at).map_or(1, |index| index.saturating_add(2))
    }

    fn text(&mut self, key: &str, most: usize) -> Result<Option<String>, Wrong> {
        match self.map.remove(key) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) if text.trim().is_empty() => Ok(None),
            Some(Value::String(text)) if text.chars().count() > most => {
                wrong(self.line(key), format!("`{key}` has more than {most} characters"))
            }
            Some(Value::String(text)) => Ok(Some(text.trim().to_owned())),
            Some(other) => wrong(self.line(key), format!("`{key}` must be a text; write it in quotes: \"{other}\"")),
        }
    }

    fn front(&mut self, folder: &str, body: &str) -> Result<Front, Wrong> {
        let mut notes = Vec::new();
        let name = match self.text("name", 1_000)? {
            Some(name) => name,
            None => {
                notes.push((1, format!("it has no `name`, so it is called as its folder: {folder}")));
                folder.to_owned()
            }
        };
        if !is_name(&name) {
            return wrong(
                self.line("name"),
                format!(
                    "{name:?} is no name of a skill: lower case letters, digits and single `-`, at most {NAME_MAX}"
                ),
            );
        }
        if name != folder {
            notes.push((self.line("name"), format!("`name` and the name of its folder, {folder}, should be the same")));
        }
        let description = match self.text("description", DESCRIPTION_MAX)? {
            Some(description) => description.split_whitespace().collect::<Vec<_>>().join(" "),
            None => {
                notes.push((1, "it has no `description`, so its first line stands for it".into()));
                first_line(body)
            }
        };
        let mode = match self.text("mode", 100)? {
            None => Mode::Prompt,
            Some(word) => match MODES.iter().find(|(known, _)| *known == word) {
                Some((_, mode)) => *mode,
                None => {
                    let known: Vec<&str> = MODES.iter().map(|(known, _)| *known).collect();
                    return wrong(self.line("mode"), format!("`mode: {word}` is none of {}", known.join(", ")));
                }
            },
        };
        let front = Front {
            name,
            description,
            license: self.text("license", 1_000)?,
            compatibility: self.text("compatibility", COMPATIBILITY_MAX)?,
            metadata: self.table("metadata")?,
            allowed_tools: self.tools()?,
            mode,
            image: self.text("image", 1_000)?,
            wasm: self.text("wasm", 1_000)?,
            parameters: self.parameters()?,
            env: self.environment()?,
            notes: Vec::new(),
        };
        for key in self.map.keys() {
            let near = KEYS.iter().find(|known| strsim::jaro_winkler(known, key) > 0.85);
            let hint = near.map(|known| format!("; did you mean `{known}`?")).unwrap_or_default();
            notes.push((self.line(key), format!("`{key}` is not known here and ignored{hint}")));
        }
        notes.sort();
        Ok(Front { notes, ..front })
    }

    fn table(&mut self, key: &str) -> Result<Map<String, Value>, Wrong> {
        match self.map.remove(key) {
            None | Some(Value::Null) => Ok(Map::new()),
            Some(Value::Object(table)) => Ok(table),
            Some(_) => wrong(self.line(key), format!("`{key}` must have keys and values of its own")),
        }
    }

    /// One text with spaces between them, or a list.
    fn tools(&mut self) -> Result<Vec<String>, Wrong> {
        let key = "allowed-tools";
        match self.map.remove(key) {
            None | Some(Value::Null) => Ok(Vec::new()),
            Some(Value::String(text)) => Ok(text.split_whitespace().map(str::to_owned).collect()),
            Some(Value::Array(items)) if items.iter().all(Value::is_string) => {
                Ok(items.iter().filter_map(Value::as_str).map(str::to_owned).collect())
            }
            Some(_) => wrong(self.line(key), format!("`{key}` must be names of tools with spaces between them")),
        }
    }

    fn parameters(&mut self) -> Result<Option<Value>, Wrong> {
        let mut schema = self.table("parameters")?;
        if schema.is_empty() {
            return Ok(None);
        }
        let line = self.line("parameters");
        let kind = schema.entry("type").or_insert_with(|| Value::from("object")).clone();
        if kind != "object" {
            return wrong(line, "`parameters` must be a JSON Schema of `type: object`");
        }
        let schema = Value::Object(schema);
        match jsonschema::validator_for(&schema) {
            Ok(_) => Ok(Some(schema)),
            Err(error) => wrong(line, format!("`parameters` is no JSON Schema: {error}")),
        }
    }

    fn environment(&mut self) -> Result<Vec<(String, String)>, Wrong> {
        let table = self.table("env")?;
        let line = self.line("env");
        if table.len() > ENVIRONMENT_MAX {
            return wrong(line, format!("`env` has more than {ENVIRONMENT_MAX} variables"));
        }
        let variable = |(name, value): (String, Value)| {
            let letters = |c: char| c.is_ascii_alphanumeric() || c == '_';
            if name.is_empty() || !name.chars().all(letters) || name.starts_with(|c: char| c.is_ascii_digit()) {
                return wrong(line, format!("{name:?} in `env` is no name of a variable"));
            }
            match value {
                Value::String(text) if !text.contains('\0') => Ok((name, text)),
                Value::Number(number) => Ok((name, number.to_string())),
                Value::Bool(flag) => Ok((name, flag.to_string())),
                _ => wrong(line, format!("`{name}` in `env` must be a text")),
            }
        };
        table.into_iter().map(variable).collect()
    }
}

/// As the Agent Skills convention has it.
pub fn is_name(name: &str) -> bool {
    let letters = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let ends = |name: &str| name.starts_with('-') || name.ends_with('-') || name.contains("--");
    !name.is_empty() && name.len() <= NAME_MAX && name.chars().all(letters) && !ends(name)
}

fn first_line(body: &str) -> String {
    let line = body.lines().map(|line| line.trim().trim_start_matches('#').trim()).find(|line| !line.is_empty());
    line.unwrap_or("A skill without words.").chars().take(200).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn refused(text: &str) -> (usize, String) {
        let wrong = parse(text, "folder").unwrap_err();
        (wrong.line, wrong.text)
    }

    #[test]
    fn all_keys_of_the_convention_and_ours_are_read() {
        let text = "---\r\nname: word-count\r\ndescription: >\r\n  Counts words\r\n  in files.\r\nlicense: MIT\r\n\
                    compatibility: any host\r\nmetadata:\r\n  author: somebody\r\n  version: \"1.0\"\r\n\
                    allowed-tools: system.run files.read\r\nmode: wasm\r\nimage: debian:13\r\nwasm: count.wasm\r\n\
                    parameters:\r\n  properties:\r\n    path: {type: string}\r\nenv:\r\n  DEPTH: 3\r\n---\r\n\r\n# Text\r\n";
        let (front, body) = parse(text, "word-count").unwrap();
        let expected = Front {
            name: "word-count".into(),
            description: "Counts words in files.".into(),
            license: Some("MIT".into()),
            compatibility: Some("any host".into()),
            metadata: json!({"author": "somebody", "version": "1.0"}).as_object().unwrap().clone(),
            allowed_tools: vec!["system.run".into(), "files.read".into()],
            mode: Mode::Wasm,
            image: Some("debian:13".into()),
            wasm: Some("count.wasm".into()),
            parameters: Some(json!({"properties": {"path": {"type": "string"}}, "type": "object"})),
            env: vec![("DEPTH".into(), "3".into())],
            notes: vec![],
        };
        assert_eq!((front, body.as_str()), (expected, "# Text"));
    }

    #[test]
    fn a_text_without_front_matter_is_a_skill_of_words() {
        let (front, body) = parse("# How we deploy\n\nCarefully.\n", "deploy").unwrap();
        assert_eq!((front.name.as_str(), front.description.as_str()), ("deploy", "How we deploy"));
        assert_eq!((front.mode, front.notes.len()), (Mode::Prompt, 2));
        assert_eq!(body, "# How we deploy\n\nCarefully.");
    }

    #[test]
    fn what_is_wrong_is_said_with_its_line() {
        assert_eq!(refused("---\nname: a\n"), (1, "the front matter has no end: put a line `---` behind it".into()));
        let (line, text) = refused("---\nname: a\ndescription: [one\nmode: wasm\n---\n");
        assert!(line >= 3 && text.starts_with("the front matter is not YAML of keys and values: "), "{line} {text}");
        assert_eq!(
            refused("---\nname: a\nmode: wsam\n---\n"),
            (3, "`mode: wsam` is none of prompt, wasm, subprocess, container".into())
        );
        assert_eq!(
            refused("---\ndescription: x\nname: 7\n---\n"),
            (3, "`name` must be a text; write it in quotes: \"7\"".into())
        );
        assert_eq!(refused("---\nname: Bad Name\n---\n").0, 2);
        assert_eq!(refused("---\n\nparameters: {type: array}\n---\n").0, 3);
        assert_eq!(
            refused("---\nname: a\nenv: {1A: b}\n---\n"),
            (3, "\"1A\" in `env` is no name of a variable".into())
        );
        assert_eq!(refused("---\n- a\n- b\n---\n").0, 2);
    }

    #[test]
    fn a_bomb_of_aliases_is_refused() {
        let mut yaml = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x]\n");
        for level in 1..12 {
            let list = vec![format!("*a{}", level - 1); 9].join(", ");
            yaml.push_str(&format!("a{level}: &a{level} [{list}]\n"));
        }
        assert!(parse(&format!("---\n{yaml}---\n"), "bomb").is_err());
    }

    #[test]
    fn what_is_not_known_is_noted_with_what_was_meant() {
        let (front, _) = parse("---\nname: a\ndescription: b\ncontext: fork\nmodes: wasm\n---\n", "a").unwrap();
        assert_eq!(
            front.notes,
            [
                (4, "`context` is not known here and ignored".to_string()),
                (5, "`modes` is not known here and ignored; did you mean `mode`?".to_string())
            ]
        );
    }
}
