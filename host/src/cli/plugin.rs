//! `plugin`: what is installed, what each may do, and the person's word about it.

mod inspect;
mod log;

use super::arguments::PluginCommand;
use super::{Context, Exit, Failure, author, connect, installing, logging, publishing};
use crate::admin::{Grant, PluginSummary, Request, Response, Standing};
use crate::output::{Cell, Output, Paint, plain, shortened};

pub(super) use inspect::settings;

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
        PluginCommand::Log { name, lines, follow } => return log::run(context, name, lines, follow).await,
        PluginCommand::Resume { name } => return resume(context, name).await,
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
            Response::Plugin(plugin) => Some(plugin.as_ref()),
            _ => None,
        })
        .collect();
    if output.json {
        for plugin in &plugins {
            output.json(plugin)?;
        }
    } else if whole {
        for plugin in &plugins {
            inspect::show(plugin, output)?;
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
        Standing::Aside => ("set aside", Paint::Bad),
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

/// Uses one that is set aside at once.
async fn resume(context: &Context, name: String) -> Result<Exit, Failure> {
    let link = connect::daemon(context).await?.ok_or_else(|| super::lists::no_daemon(context))?;
    for response in link.all(Request::PluginResume { name: name.clone() }).await? {
        let Response::Resumed { instances } = response else { continue };
        if context.output.json {
            context.output.json(&serde_json::json!({ "resumed": instances }))?;
        } else if instances.is_empty() {
            context.output.line(&format!("{} was not set aside", plain(&name)))?;
        } else {
            context.output.line(&format!("{} is used again", plain(&instances.join(", "))))?;
        }
    }
    Ok(Exit::Done)
}
