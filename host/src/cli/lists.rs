//! The short commands: `status`, `stop`, `model`, `channel`.

use super::arguments::{ChannelCommand, ModelCommand};
use super::{Context, Exit, Failure, connect, logging};
use crate::admin::{Request, Response};
use crate::message::now;
use crate::output::{Cell, Paint, ago, plain};

pub(super) fn no_daemon(context: &Context) -> Failure {
    Failure::new(Exit::Daemon, format!("no daemon is running on {}", context.home.path().display()))
}

/// Whether a daemon runs.
pub async fn status(context: &Context) -> Result<Exit, Failure> {
    logging::for_a_command(context.verbosity, &context.known)?;
    let link = connect::daemon(context).await?.ok_or_else(|| no_daemon(context))?;
    for response in link.all(Request::Status).await? {
        let Response::Status(status) = response else { continue };
        if context.output.json {
            context.output.json(&status)?;
            continue;
        }
        let since = ago(status.started, now());
        let turns = if status.turns == 1 { "1 turn is".to_owned() } else { format!("{} turns are", status.turns) };
        context
            .output
            .line(&format!("{} runs as process {}, started {since}; {turns} running", status.version, status.pid))?;
        if let Some(address) = status.address {
            context.output.line(&format!("page: {address}"))?;
        }
        for aside in status.aside {
            context.output.note(Paint::Warn, &plain(&aside));
        }
    }
    Ok(Exit::Done)
}

/// Ends turns.
pub async fn stop(context: &Context, session: Option<String>) -> Result<Exit, Failure> {
    logging::for_a_command(context.verbosity, &context.known)?;
    let link = connect::daemon(context).await?.ok_or_else(|| no_daemon(context))?;
    for response in link.all(Request::Stop { session }).await? {
        let Response::Stopped { sessions } = response else { continue };
        if context.output.json {
            context.output.json(&serde_json::json!({ "stopped": sessions }))?;
        } else if sessions.is_empty() {
            context.output.note(Paint::Faint, "No turn was running.");
        } else {
            for session in sessions {
                context.output.line(&format!("stopped {session}"))?;
            }
        }
    }
    Ok(Exit::Done)
}

/// Models.
pub async fn models(context: &Context, command: ModelCommand) -> Result<Exit, Failure> {
    let ModelCommand::List = command;
    logging::for_a_command(context.verbosity, &context.known)?;
    let output = context.output;
    let mut rows: Vec<Vec<Cell>> = Vec::new();
    for response in connect::reach(context).await?.all(Request::ModelList).await? {
        let Response::Model(model) = response else { continue };
        if output.json {
            output.json(&model)?;
            continue;
        }
        let mark = if model.chosen { Cell::painted(Paint::Good, "*") } else { "".into() };
        rows.push(vec![
            mark,
            format!("{}/{}", model.instance, model.model).into(),
            model.context.map_or_else(String::new, |tokens| tokens.to_string()).into(),
            model.note.unwrap_or_default().into(),
        ]);
    }
    if !output.json {
        output.table(&["", "MODEL", "CONTEXT", "NOTE"], &rows)?;
    }
    Ok(Exit::Done)
}

/// Channels.
pub async fn channels(context: &Context, command: ChannelCommand) -> Result<Exit, Failure> {
    logging::for_a_command(context.verbosity, &context.known)?;
    let (name, whole) = match command {
        ChannelCommand::List => (None, false),
        ChannelCommand::Status { name } => (name, true),
        ChannelCommand::Contacts { name } => return contacts(context, name).await,
        other => return change_channel(context, other).await,
    };
    let output = context.output;
    let mut rows: Vec<Vec<Cell>> = Vec::new();
    let mut transports: Vec<Vec<Cell>> = Vec::new();
    let mut codes: Vec<(String, String)> = Vec::new();
    let now = now();
    for response in connect::reach(context).await?.all(Request::ChannelList { name }).await? {
        let Response::Channel(channel) = response else { continue };
        if output.json {
            output.json(&channel)?;
            continue;
        }
        let paint = match channel.state.as_str() {
            "live" => Paint::Good,
            "down" => Paint::Bad,
            "connecting" => Paint::Warn,
            _ => Paint::Faint,
        };
        for transport in &channel.transports {
            transports.push(vec![
                channel.name.clone().into(),
                transport.id.clone().into(),
                transport.kind.clone().into(),
                transport.progress.map_or_else(|| "never".to_owned(), |at| ago(at, now)).into(),
                transport.state.clone().into(),
            ]);
        }
        codes.extend(channel.qr.map(|code| (channel.name.clone(), code)));
        rows.push(vec![
            channel.name.into(),
            channel.plugin.into(),
            Cell::painted(paint, channel.state),
            channel.detail.into(),
        ]);
    }
    if !output.json {
        output.table(&["CHANNEL", "PLUGIN", "STATE", "DETAIL"], &rows)?;
        if whole && !transports.is_empty() {
            output.line("")?;
            output.table(&["CHANNEL", "TRANSPORT", "KIND", "PROGRESS", "STATE"], &transports)?;
        }
        for (channel, code) in codes.iter().filter(|_| whole) {
            output.line(&format!("\nTo be scanned for {channel} (it is a new one every few seconds):"))?;
            output.code(code)?;
        }
    }
    Ok(Exit::Done)
}

/// Who may write, and who asked to.
async fn contacts(context: &Context, channel: Option<String>) -> Result<Exit, Failure> {
    let output = context.output;
    let (mut known, mut asking): (Vec<Vec<Cell>>, Vec<Vec<Cell>>) = (Vec::new(), Vec::new());
    let now = now();
    for response in connect::reach(context).await?.all(Request::ContactList { channel }).await? {
        match response {
            Response::Contact(contact) if output.json => output.json(&contact)?,
            Response::Pairing(pairing) if output.json => output.json(&pairing)?,
            Response::Contact(contact) => known.push(vec![
                contact.channel.into(),
                plain(&contact.sender).into(),
                plain(&contact.name).into(),
                ago(contact.since, now).into(),
            ]),
            Response::Pairing(pairing) => asking.push(vec![
                pairing.channel.into(),
                plain(&pairing.sender).into(),
                plain(&pairing.name).into(),
                Cell::painted(Paint::Warn, format!("openpista-host channel pair {}", pairing.code)),
            ]),
            _ => (),
        }
    }
    if output.json {
        return Ok(Exit::Done);
    }
    output.table(&["CHANNEL", "SENDER", "NAME", "LET IN"], &known)?;
    if !asking.is_empty() {
        output.line("")?;
        output.table(&["CHANNEL", "SENDER", "NAME", "WAITS; TO LET THEM IN"], &asking)?;
    }
    Ok(Exit::Done)
}

/// What changes a channel or who may write to it.
async fn change_channel(context: &Context, command: ChannelCommand) -> Result<Exit, Failure> {
    let (request, done) = match command {
        ChannelCommand::Pair { code } => (Request::ChannelPair { code }, String::new()),
        ChannelCommand::Allow { name, sender } => (Request::ChannelAllow { channel: name, sender }, String::new()),
        ChannelCommand::Forget { name, sender } => {
            let done = format!("{sender} may write to {name} no more");
            (Request::ChannelForget { channel: name, sender }, done)
        }
        ChannelCommand::Skip { name } => (Request::ChannelSkip { channel: name }, String::new()),
        ChannelCommand::Restart { name } => {
            let done = format!("{name} is opened again");
            (Request::ChannelRestart { channel: name }, done)
        }
        ChannelCommand::List | ChannelCommand::Status { .. } | ChannelCommand::Contacts { .. } => {
            return Ok(Exit::Done);
        }
    };
    let needs_daemon = matches!(request, Request::ChannelSkip { .. } | Request::ChannelRestart { .. });
    let responses = if needs_daemon {
        connect::daemon(context).await?.ok_or_else(|| no_daemon(context))?.all(request).await?
    } else {
        connect::reach(context).await?.all(request).await?
    };
    let output = context.output;
    for response in responses {
        match response {
            Response::Contact(contact) if output.json => output.json(&contact)?,
            Response::Contact(contact) => {
                let name = if contact.name.is_empty() { String::new() } else { format!("{}, ", plain(&contact.name)) };
                output.line(&format!("{name}{} may write to {} now", plain(&contact.sender), contact.channel))?;
            }
            Response::Skipped { deliveries } if output.json => {
                output.json(&serde_json::json!({ "skipped": deliveries }))?;
            }
            Response::Skipped { deliveries } => {
                output.line(&match deliveries {
                    0 => "nothing is tried again and again: there is nothing to give up".to_string(),
                    1 => "1 delivery is given up".to_string(),
                    several => format!("{several} deliveries are given up"),
                })?;
            }
            _ => (),
        }
    }
    if !output.json && !done.is_empty() {
        output.line(&done)?;
    }
    Ok(Exit::Done)
}
