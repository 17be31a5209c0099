//! `plugin inspect`: all about one.

use super::super::Failure;
use super::super::ledger::took;
use super::word;
use crate::admin::{InstanceSummary, PluginSummary, ToolSummary};
use crate::message::now;
use crate::output::{Cell, Output, Paint, ago, plain, shortened};

fn size(bytes: u64) -> String {
    match bytes {
        0..1_024 => format!("{bytes} B"),
        1_024..1_048_576 => format!("{} KB", bytes / 1_024),
        _ => format!("{} MB", bytes / 1_048_576),
    }
}

/// `memory 64 MB, running 30 s, 2000 calls at once`
fn limits(instance: &InstanceSummary) -> String {
    let limits = &instance.limits;
    format!(
        "memory {}, running {}, {} calls at once, {} handed over at once, {} processes and answers",
        size(limits.memory),
        took(limits.running.saturating_mul(1_000)),
        limits.live_calls,
        size(limits.host_call),
        limits.resources
    )
}

/// `7 calls, the last 3 min ago: 1 error, 2 traps`
fn counts(instance: &InstanceSummary) -> String {
    let counts = &instance.counts;
    let Some(last) = counts.last else { return "no call since the start".into() };
    let all = [
        (counts.errors, "errors"),
        (counts.traps, "traps"),
        (counts.limits, "at a limit"),
        (counts.late, "too late"),
        (counts.cancelled, "cancelled"),
        (counts.refused, "refused"),
    ];
    let bad: Vec<String> =
        all.iter().filter(|(count, _)| *count > 0).map(|(count, word)| format!("{count} {word}")).collect();
    let bad = if bad.is_empty() { "all well".to_string() } else { bad.join(", ") };
    format!("{} since the start, the last {}: {bad}", counts.calls, ago(last, now()))
}

fn times(instance: &InstanceSummary) -> String {
    match (instance.counts.p50, instance.counts.p99) {
        (Some(half), Some(most)) => {
            format!("half of the calls at most {}, 99 of 100 at most {}", took(half), took(most))
        }
        _ => String::new(),
    }
}

fn serving(instance: &InstanceSummary, output: Output) -> Result<(), Failure> {
    output.line("")?;
    let name = output.paint(Paint::Strong, &plain(&instance.name));
    output.line(&format!("{name} ({})", instance.role))?;
    let grants: Vec<String> = instance
        .grants
        .iter()
        .map(|grant| match grant.scope.as_slice() {
            [] => grant.capability.clone(),
            scope => format!("{}={}", grant.capability, scope.join(",")),
        })
        .collect();
    let state = if instance.state > 0 { size(instance.state) } else { String::new() };
    let peak =
        if instance.counts.memory > 0 { format!("at most {}", size(instance.counts.memory)) } else { String::new() };
    let aside = instance.aside.as_ref().map(|aside| {
        format!(
            "for {} more: it broke again and again, the last time because {}",
            took(aside.left.saturating_mul(1_000)),
            aside.why
        )
    });
    let facts = [
        ("grants", grants.join(" ")),
        ("limits", limits(instance)),
        ("calls", counts(instance)),
        ("times", times(instance)),
        ("memory", peak),
        ("state", state),
        ("aside", aside.unwrap_or_default()),
    ];
    for (name, value) in facts.iter().filter(|(_, value)| !value.is_empty()) {
        output.line(&format!("{} {}", output.paint(Paint::Faint, &format!("{name:>8}")), plain(value)))?;
    }
    Ok(())
}

fn tools(tools: &[ToolSummary], output: Output) -> Result<(), Failure> {
    for tool in tools {
        output.line("")?;
        let hints = if tool.hints.is_empty() { String::new() } else { format!(" ({})", tool.hints.join(", ")) };
        output.line(&format!("{}{}", output.paint(Paint::Strong, &plain(&tool.name)), plain(&hints)))?;
        output.line(&format!("  {}", shortened(&plain(&tool.description), 200)))?;
        output.line(&format!("  {}", plain(&tool.parameters.to_string())))?;
    }
    Ok(())
}

/// All about one.
pub fn show(plugin: &PluginSummary, output: Output) -> Result<(), Failure> {
    let (text, paint) = word(plugin.standing);
    let heading = format!("{} {}", plain(&plugin.name), plain(&plugin.version));
    output.line(&format!("{}  {}", output.paint(Paint::Strong, &heading), output.paint(paint, text)))?;
    if !plugin.description.is_empty() {
        output.line(&plain(&plugin.description))?;
    }
    if let Some(reason) = &plugin.reason {
        output.line(&plain(reason))?;
    }
    let origin = if plugin.stock { "came with openpista-host" } else { "added by you" };
    let from = plugin.installed.as_ref();
    let facts = [
        ("from", from.map(|from| from.source.clone()).unwrap_or_default()),
        ("signer", from.and_then(|from| from.signer.clone()).unwrap_or_default()),
        ("file", format!("{} ({origin})", plugin.file)),
        ("digest", plugin.digest.clone()),
        ("role", plugin.roles.join(", ")),
        ("serves", plugin.instances.join(", ")),
        ("tools", plugin.tools.join(", ")),
    ];
    for (name, value) in facts.iter().filter(|(_, value)| !value.is_empty()) {
        output.line(&format!("{} {}", output.paint(Paint::Faint, &format!("{name:>8}")), plain(value)))?;
    }
    for (name, interfaces) in [("imports", &plugin.imports), ("exports", &plugin.exports)] {
        for (at, interface) in interfaces.iter().filter(|name| name.starts_with("openpista:")).enumerate() {
            let name = if at == 0 { name } else { "" };
            output.line(&format!("{} {}", output.paint(Paint::Faint, &format!("{name:>8}")), plain(interface)))?;
        }
    }
    for instance in &plugin.serving {
        serving(instance, output)?;
    }
    tools(&plugin.tool_definitions, output)?;
    if !plugin.needs.is_empty() {
        output.line("")?;
        let rows: Vec<Vec<Cell>> = plugin
            .needs
            .iter()
            .map(|need| {
                let state = match (need.granted, need.optional) {
                    (true, _) => Cell::painted(Paint::Good, "allowed"),
                    (false, true) => Cell::painted(Paint::Faint, "optional"),
                    (false, false) => Cell::painted(Paint::Warn, "missing"),
                };
                vec![
                    need.capability.clone().into(),
                    state,
                    shortened(&need.scope.join(", "), 50).into(),
                    need.reason.clone().into(),
                ]
            })
            .collect();
        output.table(&["NEEDS", "", "SCOPE", "BECAUSE"], &rows)?;
    }
    if !plugin.secrets.is_empty() {
        output.line("")?;
        let rows: Vec<Vec<Cell>> = plugin
            .secrets
            .iter()
            .map(|(name, set)| {
                let state =
                    if *set { Cell::painted(Paint::Good, "set") } else { Cell::painted(Paint::Faint, "not set") };
                vec![name.clone().into(), state]
            })
            .collect();
        output.table(&["SECRET", ""], &rows)?;
    }
    settings(plugin.settings.as_ref(), output)
}

/// The settings that a schema describes, as a table.
pub fn settings(schema: Option<&serde_json::Value>, output: Output) -> Result<(), Failure> {
    let properties = schema.and_then(|schema| schema.get("properties")?.as_object());
    if let Some(properties) = properties.filter(|properties| !properties.is_empty()) {
        output.line("")?;
        let text = |schema: &serde_json::Value, key: &str| {
            schema
                .get(key)
                .map_or_else(String::new, |value| value.as_str().map_or_else(|| value.to_string(), str::to_owned))
        };
        let rows: Vec<Vec<Cell>> = properties
            .iter()
            .map(|(name, schema)| {
                vec![
                    name.clone().into(),
                    text(schema, "type").into(),
                    shortened(&text(schema, "default"), 40).into(),
                    text(schema, "description").into(),
                ]
            })
            .collect();
        output.table(&["SETTING", "TYPE", "DEFAULT", "MEANS"], &rows)?;
    }
    Ok(())
}
