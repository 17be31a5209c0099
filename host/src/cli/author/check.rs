//! `plugin check`: all that is wrong with a component, or a summary of it.

use std::path::Path;

use serde_json::json;

use super::{bench, counted, faults, file, size, tools};
use crate::author::check::{Level, Report, check as look_at};
use crate::cli::plugin::say_what_takes_long;
use crate::cli::{Context, Exit, Failure, logging};
use crate::output::{Cell, Output, Paint, plain, shortened};

/// Does it.
pub async fn check(context: &Context, typed: &Path) -> Result<Exit, Failure> {
    logging::for_a_command(context.verbosity, &context.known)?;
    let report = looked_at(context, typed).await?;
    let output = context.output;
    if output.json {
        output.json(&as_json(&report))?;
    } else {
        show(&report, context.verbosity > 0, output)?;
    }
    Ok(if report.good() { Exit::Done } else { Exit::Failed })
}

/// All that is to be said of a file.
pub async fn looked_at(context: &Context, typed: &Path) -> Result<Report, Failure> {
    let config = context.config()?;
    let path = file(context, typed)?;
    let bench = bench(context, &config, None)?;
    say_what_takes_long(&path, context.output);
    Ok(look_at(&bench, &path, &config.plugins.dir).await?)
}

fn roles(report: &Report) -> Vec<&'static str> {
    let shape = &report.shape;
    let all = [(shape.provider(), "provider"), (shape.channel(), "channel"), (shape.tools(), "tools")];
    all.into_iter().filter(|(has, _)| *has).map(|(_, role)| role).collect()
}

/// It has to be allowed first.
fn asks(report: &Report) -> bool {
    report.manifest.as_ref().is_some_and(|manifest| manifest.needs.iter().any(|need| !need.optional))
}

/// The fields of `plugin list`, and what only a look at the file tells.
fn as_json(report: &Report) -> serde_json::Value {
    let manifest = report.manifest.as_ref();
    let needs = manifest.map(|manifest| {
        let need = |need: &crate::author::check::Need| {
            json!({
                "capability": need.capability, "scope": need.scope, "reason": need.reason, "optional": need.optional,
                "granted": false
            })
        };
        manifest.needs.iter().map(need).collect::<Vec<_>>()
    });
    let standing = match (report.good(), asks(report)) {
        (false, _) => "broken",
        (true, true) => "waiting",
        (true, false) => "ready",
    };
    let parameters = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap_or_default();
    let definitions: Vec<serde_json::Value> = report
        .tools
        .iter()
        .map(|tool| {
            json!({
                "name": tool.name, "description": tool.description, "parameters": parameters(&tool.parameters),
                "hints": tool.hints
            })
        })
        .collect();
    let first = report.faults.iter().find(|fault| fault.level == Level::Error);
    json!({
        "name": manifest.map(|manifest| &manifest.name),
        "version": manifest.map(|manifest| &manifest.version),
        "description": manifest.map(|manifest| &manifest.summary),
        "file": report.file,
        "digest": report.digest,
        "size": report.size,
        "roles": roles(report),
        "standing": standing,
        "reason": first.map(|fault| &fault.what),
        "tools": report.tools.iter().map(|tool| &tool.name).collect::<Vec<_>>(),
        "definitions": definitions,
        "needs": needs.unwrap_or_default(),
        "secrets": manifest.map(|m| m.secrets.iter().map(|s| (&s.name, false)).collect::<Vec<_>>()).unwrap_or_default(),
        "settings": manifest.and_then(|manifest| manifest.settings.as_ref()),
        "compile_ms": report.compile_ms,
        "memory": report.memory,
        "faults": report.faults,
    })
}

/// For a person.
pub(super) fn show(report: &Report, notes: bool, output: Output) -> Result<(), Failure> {
    if !report.good() {
        faults(report, notes, output)?;
        let end = format!("{}: openpista-host would refuse {} as it is", counted(report), report.file);
        output.note(Paint::Bad, &end);
        return Ok(());
    }
    if let Some(manifest) = &report.manifest {
        let heading = format!("{} {}", plain(&manifest.name), plain(&manifest.version));
        let (word, paint) =
            if asks(report) { ("good, asks to be allowed", Paint::Warn) } else { ("good", Paint::Good) };
        output.line(&format!("{}  {}", output.paint(Paint::Strong, &heading), output.paint(paint, word)))?;
        output.line(&plain(&manifest.summary))?;
    }
    let compiled = report.compile_ms.map_or_else(|| "earlier".to_string(), |ms| format!("in {ms} ms"));
    let facts = [
        ("file", format!("{}, {}", report.file, size(report.size))),
        ("digest", report.digest.clone()),
        ("role", roles(report).join(", ")),
        ("compiled", compiled),
        ("memory", format!("{} to start", size(u64::try_from(report.memory).unwrap_or(u64::MAX)))),
    ];
    for (name, value) in facts {
        output.line(&format!("{} {}", output.paint(Paint::Faint, &format!("{name:>8}")), plain(&value)))?;
    }
    if !report.tools.is_empty() {
        output.line("")?;
        tools(&report.tools, output)?;
    }
    if let Some(manifest) = &report.manifest {
        if !manifest.needs.is_empty() {
            output.line("")?;
            let rows: Vec<Vec<Cell>> = manifest
                .needs
                .iter()
                .map(|need| {
                    vec![
                        need.capability.clone().into(),
                        if need.optional { "optional" } else { "" }.into(),
                        shortened(&need.scope.join(", "), 50).into(),
                        need.reason.clone().into(),
                    ]
                })
                .collect();
            output.table(&["ASKS FOR", "", "SCOPE", "BECAUSE"], &rows)?;
            if asks(report) {
                let word = format!("Once it is installed: openpista-host plugin allow {}", manifest.name);
                output.note(Paint::Faint, &word);
            }
        }
        if !manifest.secrets.is_empty() {
            output.line("")?;
            let rows: Vec<Vec<Cell>> = manifest
                .secrets
                .iter()
                .map(|secret| {
                    vec![
                        secret.name.clone().into(),
                        if secret.optional { "optional" } else { "" }.into(),
                        shortened(&secret.title, 70).into(),
                    ]
                })
                .collect();
            output.table(&["SECRET", "", "IS"], &rows)?;
        }
        crate::cli::plugin::settings(manifest.settings.as_ref(), output)?;
    }
    if report.faults.iter().any(|fault| notes || fault.level < Level::Note) {
        output.line("")?;
        faults(report, notes, output)?;
    }
    Ok(())
}
