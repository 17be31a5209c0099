//! What authors of plugins do: look at a component, call its tools, build and install it again and again, make recorded
//! calls again. All but calls of installed plugins is done in this process, whether a daemon runs or not.

mod check;
mod dev;
mod replay;
mod run;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::Value;

use super::arguments::Given;
use super::{Context, Exit, Failure};
use crate::author::Bench;
use crate::author::check::{Level, Report};
use crate::author::run as trial;
use crate::capability::secrets::SecretValue;
use crate::config::Config;
use crate::message::ToolDefinition;
use crate::output::{Cell, Output, Paint, plain, shortened};

pub use check::{check, looked_at};
pub use dev::dev;
pub use replay::replay;
pub use run::run;

/// A bench that keeps compiled code where the daemon does.
fn bench(context: &Context, config: &Config, workspace: Option<&Path>) -> Result<Bench, Failure> {
    context.home.create()?;
    let workspace = match workspace {
        Some(folder) => context.sources.started_in.join(folder),
        None => config.agent.workspace.clone(),
    };
    Ok(Bench::new(&context.home.path().join("cache"), workspace, Arc::clone(&context.known))?)
}

/// A file that is to be a component.
fn file(context: &Context, file: &Path) -> Result<PathBuf, Failure> {
    let path = context.sources.started_in.join(file);
    match std::fs::metadata(&path) {
        Ok(meta) if meta.is_dir() => {
            Err(Failure::new(Exit::Usage, format!("{} is a folder; name the .wasm file in it", file.display())))
        }
        Ok(_) => Ok(path),
        Err(error) => Err(Failure::new(Exit::NotFound, format!("{}: {error}", file.display()))),
    }
}

/// What was typed as what is given.
fn given(context: &Context, typed: &Given) -> Result<trial::Given, Failure> {
    let usage = |text: String| Failure::new(Exit::Usage, text);
    let mut given = trial::Given::default();
    for text in &typed.allow {
        let grant = super::plugin::grant(text)?;
        let whole = grant.scope.is_empty();
        let scope = given.allow.entry(grant.capability).or_insert_with(|| grant.scope.clone());
        if whole {
            scope.clear();
        } else if !scope.is_empty() {
            scope.extend(grant.scope.into_iter().filter(|item| !scope.contains(item)).collect::<Vec<_>>());
        }
    }
    if let Some(text) = &typed.settings {
        given.settings = serde_json::from_str(text)
            .map_err(|error| usage(format!("--settings is no JSON object: {error}; write '{{\"key\": \"value\"}}'")))?;
    }
    for text in &typed.secret {
        let parts = text.split_once('=').and_then(|(name, source)| Some((name, source.strip_prefix("env:")?)));
        let Some((name, variable)) = parts else {
            // The text may hold the secret itself: it is not repeated.
            return Err(usage("--secret is NAME=env:VARIABLE: a secret is never typed".into()));
        };
        let value = context.sources.environment.get(variable);
        let value = value.ok_or_else(|| usage(format!("the environment variable {variable} is not set")))?;
        let value = SecretValue::new(value).map_err(|error| usage(format!("the secret in {variable}: {error}")))?;
        given.secrets.insert(name.to_owned(), value);
    }
    Ok(given)
}

/// The faults as a person reads them; notes only if wanted.
fn faults(report: &Report, notes: bool, output: Output) -> Result<(), Failure> {
    for fault in &report.faults {
        let (word, paint) = match fault.level {
            Level::Error => ("error", Paint::Bad),
            Level::Warning => ("warning", Paint::Warn),
            Level::Note if notes => ("note", Paint::Faint),
            Level::Note => continue,
        };
        output.line(&format!("{}: {}", output.paint(paint, word), plain(&fault.what)))?;
        if let Some(place) = fault.place.as_deref().filter(|place| !place.is_empty() && !fault.what.contains(*place)) {
            output.line(&format!("    at {}", plain(place)))?;
        }
        if !fault.advice.is_empty() {
            output.line(&format!("    {}", plain(&fault.advice)))?;
        }
    }
    Ok(())
}

/// How many of each, as words.
fn counted(report: &Report) -> String {
    let count = |level| report.faults.iter().filter(|fault| fault.level == level).count();
    let words = |count: usize, word: &str| match count {
        1 => format!("1 {word}"),
        count => format!("{count} {word}s"),
    };
    match (count(Level::Error), count(Level::Warning)) {
        (0, 0) => "nothing is wrong".to_string(),
        (0, warnings) => words(warnings, "warning"),
        (errors, 0) => words(errors, "error"),
        (errors, warnings) => format!("{}, {}", words(errors, "error"), words(warnings, "warning")),
    }
}

/// Tools with their arguments.
fn tools(tools: &[ToolDefinition], output: Output) -> Result<(), Failure> {
    let rows: Vec<Vec<Cell>> = tools
        .iter()
        .map(|tool| {
            vec![
                tool.name.clone().into(),
                shortened(&arguments(&tool.parameters), 60).into(),
                shortened(&tool.description, 70).into(),
            ]
        })
        .collect();
    Ok(output.table(&["TOOL", "ARGUMENTS", "DOES"], &rows)?)
}

/// `place: string, days?: integer`
fn arguments(schema: &str) -> String {
    let schema: Value = serde_json::from_str(schema).unwrap_or_default();
    let required: Vec<&str> =
        schema.get("required").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect();
    let properties = schema.get("properties").and_then(Value::as_object).into_iter().flatten();
    let one = |(name, property): (&String, &Value)| {
        let optional = if required.contains(&name.as_str()) { "" } else { "?" };
        let kind = match property.get("type") {
            Some(Value::String(kind)) => format!(": {kind}"),
            _ => String::new(),
        };
        format!("{name}{optional}{kind}")
    };
    properties.map(one).collect::<Vec<_>>().join(", ")
}

/// Bytes as a person reads them.
fn size(bytes: u64) -> String {
    match bytes {
        0..1_024 => format!("{bytes} bytes"),
        1_024..1_048_576 => format!("{} KiB", bytes.div_ceil(1_024)),
        _ => format!("{}.{} MiB", bytes >> 20, ((bytes & 0xf_ffff) * 10) >> 20),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_told_with_their_types_and_whether_they_are_needed() {
        let schema =
            r#"{"required":["place"],"properties":{"place":{"type":"string"},"days":{"type":"integer"},"x":{}}}"#;
        assert_eq!(arguments(schema), "place: string, days?: integer, x?");
        assert_eq!(arguments("{"), "");
    }

    #[test]
    fn sizes_are_told_in_their_unit() {
        assert_eq!([size(12), size(90_000), size(1_572_864)], ["12 bytes", "88 KiB", "1.5 MiB"]);
    }
}
