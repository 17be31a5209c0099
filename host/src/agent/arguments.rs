//! A call's arguments: JSON as a model wrote it, checked against the tool's schema before anything runs.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use jsonschema::{PatternOptions, Validator};
use serde_json::Value;
use sha2::{Digest, Sha256};

/// Compiled schemas that are kept; far above what a host offers, so it only bounds plugins that change theirs a lot.
const KEPT: usize = 1024;
/// Mistakes that the model is told of at once.
const MISTAKES: usize = 5;
/// Characters of the arguments that are shown around a mistake.
const AROUND: usize = 30;

type Compiled = Result<Arc<Validator>, String>;

/// Compiled schemas by the hash of their text. One for the host, shared by all turns.
#[derive(Default)]
pub struct Schemas {
    compiled: Mutex<HashMap<[u8; 32], Compiled>>,
}

impl Schemas {
    /// The arguments as a JSON object in its shortest form, or what is wrong with them, for the model.
    pub fn check(&self, arguments: &str, schema: &str) -> Result<String, String> {
        let value = parse(arguments)?;
        let validator = self
            .validator(schema)
            .map_err(|reason| format!("The tool cannot be called: its own schema is broken ({reason})."))?;
        let mistakes: Vec<String> = validator
            .iter_errors(&value)
            .take(MISTAKES)
            .map(|mistake| {
                let path = mistake.instance_path().to_string();
                let place = if path.is_empty() { "the arguments" } else { path.as_str() };
                shorten(&format!("{place}: {mistake}"), 300)
            })
            .collect();
        if mistakes.is_empty() {
            Ok(value.to_string())
        } else {
            Err(format!("The arguments do not fit the tool's schema:\n- {}", mistakes.join("\n- ")))
        }
    }

    fn validator(&self, schema: &str) -> Compiled {
        let key: [u8; 32] = Sha256::digest(schema).into();
        let kept = self.compiled.lock().unwrap_or_else(PoisonError::into_inner).get(&key).cloned();
        if let Some(kept) = kept {
            return kept;
        }
        let compiled = compile(schema);
        let mut all = self.compiled.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= KEPT {
            all.clear();
        }
        all.insert(key, compiled.clone());
        compiled
    }
}

/// A schema comes from a stranger: nothing is fetched for it, and its patterns run in linear time.
fn compile(schema: &str) -> Compiled {
    let schema: Value = if schema.trim().is_empty() {
        Value::Bool(true)
    } else {
        serde_json::from_str(schema).map_err(|error| error.to_string())?
    };
    jsonschema::options()
        .offline()
        .with_pattern_options(PatternOptions::regex())
        .build(&schema)
        .map(Arc::new)
        .map_err(|error| shorten(&error.to_string(), 300))
}

fn parse(arguments: &str) -> Result<Value, String> {
    // Several APIs write nothing at all for a tool without parameters.
    if arguments.trim().is_empty() {
        return Ok(Value::Object(serde_json::Map::new()));
    }
    match serde_json::from_str(arguments) {
        Ok(value @ Value::Object(_)) => Ok(value),
        Ok(_) => Err("The arguments must be a JSON object.".into()),
        Err(error) => Err(format!(
            "The arguments are not valid JSON: {error}, near `{}`. Send the call again with complete, valid JSON.",
            around(arguments, error.line(), error.column())
        )),
    }
}

/// What stands around a place that is named by line and byte column, both from 1.
fn around(text: &str, line: usize, column: usize) -> String {
    let line = text.lines().nth(line.saturating_sub(1)).unwrap_or_default();
    let (before, after) = line.split_at(line.floor_char_boundary(column));
    let skipped = before.chars().count().saturating_sub(AROUND);
    before.chars().skip(skipped).chain(after.chars().take(AROUND)).collect()
}

fn shorten(text: &str, chars: usize) -> String {
    let mut short: String = text.chars().take(chars).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCHEMA: &str = r#"{"type":"object","properties":{"path":{"type":"string","pattern":"^/"},
        "depth":{"type":"integer"}},"required":["path"],"additionalProperties":false}"#;

    #[test]
    fn arguments_that_fit_come_back_in_their_shortest_form() {
        let schemas = Schemas::default();
        assert_eq!(
            schemas.check(" {\"path\" : \"/tmp\", \"depth\": 2 }", SCHEMA),
            Ok(r#"{"path":"/tmp","depth":2}"#.into())
        );
        assert_eq!(schemas.check("", r#"{"type":"object"}"#), Ok("{}".into()));
        assert_eq!(schemas.check("{\"any\":1}", ""), Ok(r#"{"any":1}"#.into()));
    }

    #[test]
    fn broken_json_is_told_with_its_place() {
        let told = Schemas::default().check("{\"path\": \"/tmp\", \"depth\": }", SCHEMA);
        assert_eq!(
            told,
            Err("The arguments are not valid JSON: expected value at line 1 column 27, near \
                 `{\"path\": \"/tmp\", \"depth\": }`. Send the call again with complete, valid JSON."
                .into())
        );
    }

    #[test]
    fn broken_json_of_any_script_and_cut_anywhere_is_told() {
        let whole = "{\"path\": \"/집/ключ/日本\", \"depth\": 2}";
        for cut in (1..whole.len()).filter(|at| whole.is_char_boundary(*at)) {
            let told = Schemas::default().check(whole.get(..cut).unwrap_or_default(), SCHEMA);
            assert!(told.is_err_and(|told| told.starts_with("The arguments are not valid JSON: ")), "{cut}");
        }
    }

    #[test]
    fn every_mistake_is_told_with_its_path() {
        let told = Schemas::default().check(r#"{"path":"tmp","depth":"two"}"#, SCHEMA);
        assert_eq!(
            told,
            Err("The arguments do not fit the tool's schema:\n- /path: \"tmp\" does not match \"^/\"\n\
                 - /depth: \"two\" is not of type \"integer\""
                .into())
        );
        assert_eq!(Schemas::default().check("[1]", SCHEMA), Err("The arguments must be a JSON object.".into()));
    }

    #[test]
    fn a_schema_that_cannot_be_checked_refuses_the_call() {
        let schemas = Schemas::default();
        for schema in ["{", r#"{"type": 5}"#, r#"{"$ref":"http://127.0.0.1:9/schema"}"#] {
            let told = schemas.check("{}", schema);
            assert!(
                told.is_err_and(|told| told.starts_with("The tool cannot be called: its own schema is broken (")),
                "{schema}"
            );
        }
    }

    #[test]
    fn a_schema_is_compiled_once() {
        let schemas = Schemas::default();
        let (Ok(first), Ok(second)) = (schemas.validator(SCHEMA), schemas.validator(SCHEMA)) else {
            panic!("the schema is valid");
        };
        assert!(Arc::ptr_eq(&first, &second));
    }
}
