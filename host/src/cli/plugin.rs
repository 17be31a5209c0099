//! `plugin`: what is installed, what each may do, and the person's word about it.

use super::arguments::PluginCommand;
use super::{Context, Exit, Failure, author, connect, installing, logging, publishing};
use crate::admin::{Grant, PluginSummary, Request, Response, Standing};
use crate::output::{Cell, Output, Paint, plain, shortened};

/// Does it.
pub async fn run(context: &Context, command: PluginCommand) -> Result<Exit, Failure> {
    let command = match command {
        PluginCommand::Check { file } => return author::check(context, &file).await,
        PluginCommand::Run(options) => return author::run(context, options).await,
        PluginCommand::Dev(options) => return author::dev(context, options).await,
        PluginCommand::Replay(options) => return author::replay(context, options).await,
        command => command,
    };
    logging::for_a_command(context.verbosity, &context.known)?;
    let output = context.output;
    let (request, whole) = match command {
        PluginCommand::List => (Request::PluginList, false),
        PluginCommand::Inspect { name } => (Request::PluginInspect { name }, true),
        PluginCommand::Allow { name, grants } => {
            let grants = grants.iter().map(|text| grant(text)).collect::<Result<_, _>>()?;
            (Request::PluginAllow { name, grants }, true)
        }
        PluginCommand::Deny { name, grants } => {
            let grants = grants.iter().map(|text| grant(text)).collect::<Result<_, _>>()?;
            (Request::PluginDeny { name, grants }, true)
        }
        PluginCommand::Add { source, plain_http, replace, wishes } => {
            return installing::add(context, source, plain_http, replace, &wishes.into()).await;
        }
        PluginCommand::Update { name, check, allow_more, wishes } => {
            let wishes = installing::Wishes { allow_more, ..wishes.into() };
            return installing::update(context, name, check, &wishes).await;
        }
        PluginCommand::Rollback { name } => return installing::rollback(context, name).await,
        PluginCommand::Remove { name, purge, yes } => return installing::remove(context, name, purge, yes).await,
        PluginCommand::Trust { name, key } => return installing::trust(context, name, key).await,
        PluginCommand::Keygen { file } => return publishing::keygen(context, &file),
        PluginCommand::Publish { file, to, key, plain_http } => {
            return publishing::publish(context, &file, to.as_deref(), key.as_deref(), plain_http).await;
        }
        // Done before there is anyone to ask.
        PluginCommand::New { .. }
        | PluginCommand::Check { .. }
        | PluginCommand::Run(_)
        | PluginCommand::Dev(_)
        | PluginCommand::Replay(_) => return Ok(Exit::Done),
    };
    let found = connect::reach(context).await?.all(request).await?;
    let plugins: Vec<&PluginSummary> = found
        .iter()
        .filter_map(|response| match response {
            Response::Plugin(plugin) => Some(plugin),
            _ => None,
        })
        .collect();
    if output.json {
        for plugin in &plugins {
            output.json(plugin)?;
        }
    } else if whole {
        for plugin in &plugins {
            inspect(plugin, output)?;
        }
    } else {
        list(&plugins, output)?;
    }
    let broken = whole && plugins.iter().any(|plugin| plugin.standing == Standing::Broken);
    Ok(if broken { Exit::Failed } else { Exit::Done })
}

/// A component with a whole interpreter in it is compiled for some seconds, in which nothing else is seen.
pub(super) fn say_what_takes_long(path: &std::path::Path, output: Output) {
    const LARGE: u64 = 4 << 20;
    let size = std::fs::metadata(path).map_or(0, |meta| meta.len());
    if size > LARGE {
        output.note(Paint::Faint, &format!("Compiling {} MB, which takes some seconds …", size.div_ceil(1 << 20)));
    }
}

/// `http=api.example.com`, or `shell`.
pub(super) fn grant(text: &str) -> Result<Grant, Failure> {
    let (capability, scope) = match text.split_once('=') {
        Some((capability, scope)) => (capability, vec![scope.to_owned()]),
        None => (text, Vec::new()),
    };
    let empty = scope.first().is_some_and(String::is_empty);
    if !crate::config::is_name(capability) || empty {
        return Err(Failure::new(
            Exit::Usage,
            format!("\"{text}\" is not a grant; write a capability, or capability=scope like http=api.example.com"),
        ));
    }
    Ok(Grant { capability: capability.to_owned(), scope })
}

fn word(standing: Standing) -> (&'static str, Paint) {
    match standing {
        Standing::Ready => ("ready", Paint::Good),
        Standing::Waiting => ("waiting", Paint::Warn),
        Standing::Unset => ("not set up", Paint::Faint),
        Standing::Off => ("off", Paint::Faint),
        Standing::Broken => ("broken", Paint::Bad),
        Standing::Loading => ("loading", Paint::Warn),
    }
}

fn list(plugins: &[&PluginSummary], output: Output) -> Result<(), Failure> {
    if plugins.is_empty() {
        output.note(Paint::Faint, "There are no plugins.");
        return Ok(());
    }
    let rows: Vec<Vec<Cell>> = plugins
        .iter()
        .map(|plugin| {
            let (text, paint) = word(plugin.standing);
            vec![
                plugin.name.clone().into(),
                plugin.version.clone().into(),
                Cell::painted(paint, text),
                plugin.roles.join(", ").into(),
                shortened(&plugin.instances.join(", "), 60).into(),
            ]
        })
        .collect();
    output.table(&["NAME", "VERSION", "STANDING", "ROLE", "SERVES"], &rows)?;
    for plugin in plugins {
        let interesting = plugin.standing != Standing::Unset && plugin.standing != Standing::Off;
        if let Some(reason) = plugin.reason.as_ref().filter(|_| interesting) {
            output.note(word(plugin.standing).1, &format!("{}: {}", plain(&plugin.name), plain(reason)));
        }
    }
    Ok(())
}

fn inspect(plugin: &PluginSummary, output: Output) -> Result<(), Failure> {
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
pub(super) fn settings(schema: Option<&serde_json::Value>, output: Output) -> Result<(), Failure> {
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
