//! Layers of configuration: a default, the file, the environment, the command line; the last one that speaks wins.
//!
//! A [`Section`] is asked for its keys one by one. Asking is what makes a key known: it is recorded with its default,
//! its value and where that came from, and at the end every key of the file that nobody asked for is a problem with the
//! nearest known name. So a key stands in exactly one place of the code, where its value is used. Problems are
//! collected and reported all at once.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Serialize;
use serde_json::Value;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::{Sources, scalar};

/// Where a value comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "from")]
pub enum Origin {
    /// Nobody set it.
    Default,
    /// The file, with the line.
    File {
        /// Counted from 1.
        line: usize,
    },
    /// An environment variable.
    Environment {
        /// Its name as it was found.
        variable: String,
    },
    /// An option of the command.
    CommandLine,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File { line } => write!(f, "line {line}"),
            Self::Environment { variable } => write!(f, "${variable}"),
            Self::CommandLine => f.write_str("command line"),
        }
    }
}

/// One key with its value, for `config show`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Setting {
    /// `agent.max_tool_rounds`.
    pub key: String,
    /// As it is in force; a secret is `"[set]"`.
    pub value: Value,
    /// What it would be if nobody set it; null when unset.
    pub default: Value,
    /// Who set it.
    pub origin: Origin,
}

/// Something wrong with the configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// `/home/ann/.openpista/config.toml:12`, or the variable, or the command line.
    pub place: String,
    /// What is wrong and what would be right.
    pub text: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.text)
    }
}

/// A value that was found, before anyone looked at it.
pub struct Found {
    /// In the words of JSON; from the environment and the command line always a text.
    pub value: Value,
    /// Who said so.
    pub origin: Origin,
}

/// The layers, and what came of reading them.
pub struct Reader<'a> {
    file: &'a Path,
    text: &'a str,
    environment: &'a BTreeMap<String, String>,
    overrides: &'a BTreeMap<String, String>,
    /// The person's own folder, for `~`.
    pub user_folder: &'a Path,
    started_in: &'a Path,
    /// What is wrong.
    pub problems: Vec<Problem>,
    /// Every key that was asked for.
    pub settings: Vec<Setting>,
    /// Every variable that was asked for, in capitals.
    pub variables: BTreeSet<String>,
}

impl<'a> Reader<'a> {
    /// Over a file's text (empty if there is none).
    pub fn new(file: &'a Path, text: &'a str, sources: &'a Sources) -> Self {
        Self {
            file,
            text,
            environment: &sources.environment,
            overrides: &sources.overrides,
            user_folder: &sources.user_folder,
            started_in: &sources.started_in,
            problems: Vec::new(),
            settings: Vec::new(),
            variables: BTreeSet::new(),
        }
    }

    /// The line of a byte of the file, from 1.
    pub fn line(&self, offset: usize) -> usize {
        self.text.bytes().take(offset).filter(|byte| *byte == b'\n').count() + 1
    }

    /// A place in the file for a person.
    pub fn place(&self, offset: usize) -> String {
        format!("{}:{}", self.file.display(), self.line(offset))
    }

    /// The folder of the file, where its relative paths begin.
    pub fn folder(&self) -> &'a Path {
        self.file.parent().unwrap_or(Path::new("/"))
    }

    /// Where a value of this origin is to be corrected.
    pub fn place_of(&self, origin: &Origin) -> String {
        match origin {
            Origin::File { line } => format!("{}:{line}", self.file.display()),
            Origin::Environment { variable } => format!("environment variable {variable}"),
            Origin::CommandLine => "command line".to_owned(),
            Origin::Default => self.file.display().to_string(),
        }
    }

    /// Notes that something is wrong.
    pub fn problem(&mut self, place: String, text: impl Into<String>) {
        self.problems.push(Problem { place, text: text.into() });
    }

    /// A variable, in capitals first, then as the older spelling with a small prefix.
    pub fn variable(&mut self, name: &str) -> Option<(String, String)> {
        let name = name.to_ascii_uppercase();
        self.variables.insert(name.clone());
        if let Some(value) = self.environment.get(&name) {
            return Some((name, value.clone()));
        }
        self.environment
            .iter()
            .find(|(key, _)| key.eq_ignore_ascii_case(&name))
            .map(|(key, value)| (key.clone(), value.clone()))
    }

    /// Opens a section; `name` is dotted: `channels.web`.
    pub fn section<'r>(&'r mut self, name: &str, table: Option<&'r DeTable<'a>>) -> Section<'r, 'a> {
        Section { reader: self, name: name.to_owned(), table, asked: BTreeSet::new() }
    }

    /// Reports keys of a table that are not in `known`.
    pub fn refuse_unknown(&mut self, table: &DeTable<'_>, section: &str, known: &BTreeSet<String>) {
        for (key, _) in table {
            let name = key.get_ref().as_ref();
            if known.contains(name) {
                continue;
            }
            let what = match section {
                "" => format!("unknown section [{name}]"),
                section => format!("unknown key `{name}` in [{section}]"),
            };
            let place = self.place(key.span().start);
            self.problem(place, format!("{what}{}", suggestion(name, known.iter().map(String::as_str))));
        }
    }
}

/// `; did you mean …?`, or the names there are when none is near.
pub fn suggestion<'n>(name: &str, known: impl Iterator<Item = &'n str>) -> String {
    let known: Vec<&str> = known.collect();
    let nearest = known
        .iter()
        .map(|candidate| (strsim::jaro_winkler(name, candidate), *candidate))
        .max_by(|a, b| a.0.total_cmp(&b.0));
    match nearest {
        Some((likeness, candidate)) if likeness > 0.75 => format!("; did you mean `{candidate}`?"),
        _ if known.is_empty() => String::new(),
        _ => format!("; there are: {}", known.join(", ")),
    }
}

/// A value of the file in the words of JSON. Dates become texts.
pub fn json(value: &DeValue<'_>) -> Value {
    match value {
        DeValue::String(text) => Value::from(text.as_ref()),
        DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix())
            .map_or_else(|_| Value::from(number.as_str()), Value::from),
        DeValue::Float(number) => number.as_str().parse::<f64>().map_or(Value::Null, Value::from),
        DeValue::Boolean(flag) => Value::from(*flag),
        DeValue::Datetime(date) => Value::from(date.to_string()),
        DeValue::Array(items) => Value::Array(items.iter().map(|item| json(item.get_ref())).collect()),
        DeValue::Table(table) => {
            Value::Object(table.iter().map(|(key, item)| (key.get_ref().to_string(), json(item.get_ref()))).collect())
        }
    }
}

/// One `[section]`, being read.
pub struct Section<'r, 'a> {
    /// What it reads through.
    pub reader: &'r mut Reader<'a>,
    name: String,
    table: Option<&'r DeTable<'a>>,
    asked: BTreeSet<String>,
}

impl<'r, 'a> Section<'r, 'a> {
    /// The dotted name of a key in here.
    pub fn key(&self, key: &str) -> String {
        format!("{}.{key}", self.name)
    }

    /// The entry of the file, if it has one. Makes the key known.
    pub fn entry(&mut self, key: &str) -> Option<&'r Spanned<DeValue<'a>>> {
        self.asked.insert(key.to_owned());
        self.table.and_then(|table| table.get(key))
    }

    /// The value of a key from the strongest layer that has it. `also` are further names of its variable.
    pub fn find(&mut self, key: &str, also: &[&str]) -> Option<Found> {
        let entry = self.entry(key);
        let dotted = self.key(key);
        let generic = format!("OPENPISTA_{}", dotted.replace(['.', '-'], "_"));
        let mut variable = self.reader.variable(&generic);
        for name in also {
            let found = self.reader.variable(name);
            variable = variable.or(found);
        }
        if let Some(text) = self.reader.overrides.get(&dotted) {
            return Some(Found { value: Value::from(text.as_str()), origin: Origin::CommandLine });
        }
        if let Some((variable, text)) = variable {
            return Some(Found { value: Value::from(text), origin: Origin::Environment { variable } });
        }
        let entry = entry?;
        let line = self.reader.line(entry.span().start);
        Some(Found { value: json(entry.get_ref()), origin: Origin::File { line } })
    }

    /// Notes a key for `config show`.
    pub fn record(&mut self, key: &str, value: Value, default: Value, origin: Origin) {
        let key = self.key(key);
        self.reader.settings.push(Setting { key, value, default, origin });
    }

    /// The general case: finds, parses, records. A value that does not parse is a problem, and the default goes on.
    pub fn take<T>(
        &mut self,
        key: &str,
        also: &[&str],
        default: Option<T>,
        parse: impl FnOnce(&Value, &Reader<'a>) -> Result<T, String>,
        show: impl Fn(&T) -> Value,
    ) -> (Option<T>, Origin) {
        let shown_default = default.as_ref().map_or(Value::Null, &show);
        let (value, origin) = match self.find(key, also) {
            None => (default, Origin::Default),
            Some(found) => match parse(&found.value, self.reader) {
                Ok(value) => (Some(value), found.origin),
                Err(text) => {
                    let place = self.reader.place_of(&found.origin);
                    let name = &self.name;
                    self.reader.problem(place, format!("`{key}` in [{name}]: {text}"));
                    (default, Origin::Default)
                }
            },
        };
        self.record(key, value.as_ref().map_or(Value::Null, show), shown_default, origin.clone());
        (value, origin)
    }

    /// Yes or no.
    pub fn boolean(&mut self, key: &str, default: bool) -> bool {
        self.take(key, &[], Some(default), |value, _| scalar::boolean(value), |flag| Value::from(*flag))
            .0
            .unwrap_or(default)
    }

    /// A whole number in a range.
    pub fn count(&mut self, key: &str, default: u64, range: RangeInclusive<u64>) -> u64 {
        self.take(key, &[], Some(default), |value, _| within(scalar::count(value)?, &range), |n| Value::from(*n))
            .0
            .unwrap_or(default)
    }

    /// A whole number in a range that may be unset.
    pub fn optional_count(&mut self, key: &str, range: RangeInclusive<u64>) -> Option<u64> {
        self.take(key, &[], None, |value, _| within(scalar::count(value)?, &range), |n| Value::from(*n)).0
    }

    /// A duration of at least a millisecond.
    pub fn duration(&mut self, key: &str, default: Duration) -> Duration {
        self.optional_duration(key, Some(default)).unwrap_or(default)
    }

    /// A duration that may be unset.
    pub fn optional_duration(&mut self, key: &str, default: Option<Duration>) -> Option<Duration> {
        let parse = |value: &Value, _: &Reader<'a>| match scalar::duration(value)? {
            Duration::ZERO => Err("must be longer than nothing".to_owned()),
            duration => Ok(duration),
        };
        self.take(key, &[], default, parse, |d| Value::from(scalar::show_duration(*d))).0
    }

    /// A size in bytes in a range.
    pub fn size(&mut self, key: &str, default: u64, range: RangeInclusive<u64>) -> u64 {
        self.optional_size(key, Some(default), range).unwrap_or(default)
    }

    /// A size that may be unset.
    pub fn optional_size(&mut self, key: &str, default: Option<u64>, range: RangeInclusive<u64>) -> Option<u64> {
        let parse = |value: &Value, _: &Reader<'a>| match scalar::size(value)? {
            size if range.contains(&size) => Ok(size),
            size => Err(format!(
                "{} is not between {} and {}",
                scalar::show_size(size),
                scalar::show_size(*range.start()),
                scalar::show_size(*range.end())
            )),
        };
        self.take(key, &[], default, parse, |size| Value::from(scalar::show_size(*size))).0
    }

    /// Text that may be unset.
    pub fn text(&mut self, key: &str) -> Option<String> {
        self.take(key, &[], None, |value, _| scalar::text(value), |text| Value::from(text.as_str())).0
    }

    /// Several texts.
    pub fn texts(&mut self, key: &str) -> Vec<String> {
        self.take(key, &[], Some(Vec::new()), |value, _| scalar::texts(value), |texts| Value::from(texts.clone()))
            .0
            .unwrap_or_default()
    }

    /// A path. A relative one in the file begins at the file's folder, else where the command was started.
    pub fn path(&mut self, key: &str, also: &[&str], default: Option<PathBuf>) -> Option<PathBuf> {
        let origin = self.find(key, also).map(|found| found.origin);
        let parse = |value: &Value, reader: &Reader<'a>| {
            let base = match origin {
                Some(Origin::File { .. }) => reader.folder(),
                _ => reader.started_in,
            };
            scalar::path(value, reader.user_folder, base)
        };
        self.take(key, also, default, parse, |path| Value::from(path.display().to_string())).0
    }

    /// One of several words.
    pub fn choice<T: Copy + PartialEq>(
        &mut self,
        key: &str,
        also: &[&str],
        default: Option<T>,
        choices: &[(&'static str, T)],
    ) -> Option<T> {
        let show = |chosen: &T| {
            choices.iter().find(|(_, choice)| choice == chosen).map_or(Value::Null, |(word, _)| Value::from(*word))
        };
        self.take(key, also, default, |value, _| choose(value, choices), show).0
    }

    /// A table of whatever a person writes: handed on as JSON.
    pub fn table(&mut self, key: &str) -> serde_json::Map<String, Value> {
        let parse = |value: &Value, _: &Reader<'a>| match value {
            Value::Object(table) => Ok(table.clone()),
            Value::String(text) => serde_json::from_str(text).map_err(|e| format!("not a JSON object: {e}")),
            _ => Err(format!("{value} is not a table; write it like {{ name = \"value\" }}")),
        };
        let show = |table: &serde_json::Map<String, Value>| Value::Object(table.clone());
        self.take(key, &[], Some(serde_json::Map::new()), parse, show).0.unwrap_or_default()
    }

    /// The end of the section: what is in the file and was not asked for is unknown.
    pub fn end(self) {
        if let Some(table) = self.table {
            self.reader.refuse_unknown(table, &self.name, &self.asked);
        }
    }
}

/// A word out of several.
pub fn choose<T: Copy>(value: &Value, choices: &[(&'static str, T)]) -> Result<T, String> {
    let words = || choices.iter().map(|(word, _)| format!("\"{word}\"")).collect::<Vec<_>>().join(", ");
    let text = scalar::text(value)?;
    choices
        .iter()
        .find(|(word, _)| word.eq_ignore_ascii_case(text.trim()))
        .map(|(_, choice)| *choice)
        .ok_or_else(|| format!("\"{text}\" is none of {}", words()))
}

fn within(number: u64, range: &RangeInclusive<u64>) -> Result<u64, String> {
    if range.contains(&number) {
        return Ok(number);
    }
    Err(format!("{number} is not between {} and {}", range.start(), range.end()))
}
