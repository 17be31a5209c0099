//! `session`: lists, shows, exports and deletes conversations.

use std::fs::OpenOptions;
use std::io::{BufWriter, IsTerminal as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use anyhow::Context as _;

use super::arguments::SessionCommand;
use super::connect::{self, Reach};
use super::{Context, Exit, Failure, logging};
use crate::admin::{Request, Response, SessionSummary};
use crate::message::{Body, Message, Role, now};
use crate::output::{Cell, Output, Paint, ago, harmless, plain, shortened};

/// Does it.
pub async fn run(context: &Context, command: SessionCommand) -> Result<Exit, Failure> {
    logging::for_a_command(context.verbosity, &context.known)?;
    let reach = connect::reach(context).await?;
    let output = context.output;
    match command {
        SessionCommand::List { limit } => list(&reach, None, limit, output).await,
        SessionCommand::Search { query, limit } => list(&reach, Some(query), limit, output).await,
        SessionCommand::Show { session, last } => show(&reach, session, last, output).await,
        SessionCommand::Export { session, output: into } => export(&reach, session, into.as_deref(), output).await,
        SessionCommand::Delete { session, yes } => delete(&reach, session, yes, output).await,
    }
}

async fn list(reach: &Reach, query: Option<String>, limit: usize, output: Output) -> Result<Exit, Failure> {
    let searched = query.is_some();
    let found = reach.all(Request::SessionList { query, limit }).await?;
    let sessions: Vec<&SessionSummary> = found
        .iter()
        .filter_map(|response| match response {
            Response::Session(session) => Some(session),
            _ => None,
        })
        .collect();
    if output.json {
        for session in sessions {
            output.json(session)?;
        }
        return Ok(Exit::Done);
    }
    if sessions.is_empty() {
        let none = if searched { "No conversation has these words." } else { "There are no conversations yet." };
        output.note(Paint::Faint, none);
        return Ok(Exit::Done);
    }
    let now = now();
    let rows: Vec<Vec<Cell>> = sessions
        .iter()
        .map(|session| {
            vec![
                short_id(&session.id).into(),
                session.channel.clone().into(),
                session.messages.to_string().into(),
                ago(session.updated, now).into(),
                shortened(title(session), 60).into(),
            ]
        })
        .collect();
    output.table(&["ID", "CHANNEL", "MESSAGES", "LAST", "TITLE"], &rows)?;
    Ok(Exit::Done)
}

/// Enough to be unique for a person's sessions, and accepted everywhere.
fn short_id(id: &str) -> String {
    id.chars().take(8).collect()
}

fn title(session: &SessionSummary) -> &str {
    if session.title.is_empty() { "(untitled)" } else { &session.title }
}

async fn show(reach: &Reach, session: String, last: Option<usize>, output: Output) -> Result<Exit, Failure> {
    let mut answers = reach.ask(Request::SessionShow { session, last }).await?;
    while let Some(response) = answers.next().await? {
        match response {
            _ if output.json => output.json(&response)?,
            Response::Session(session) => {
                output.line(&output.paint(Paint::Strong, &plain(title(&session))))?;
                let about = format!("{} · {} · {} messages", session.id, session.channel, session.messages);
                output.line(&output.paint(Paint::Faint, &about))?;
            }
            Response::Message { message, .. } => show_message(&message, output)?,
            _ => {}
        }
    }
    Ok(Exit::Done)
}

fn show_message(message: &Message, output: Output) -> Result<(), Failure> {
    for part in &message.parts {
        let (who, paint) = match message.role {
            Role::User => ("you", Paint::Good),
            Role::Assistant => ("assistant", Paint::Strong),
        };
        match &part.body {
            Body::Text(text) => {
                output.line(&format!("\n{}", output.paint(paint, who)))?;
                output.line(harmless(text).trim_end())?;
            }
            Body::Call(call) => {
                let line = format!("▸ {} {}", plain(&call.name), shortened(&plain(&call.arguments), 200));
                output.line(&output.paint(Paint::Faint, &line))?;
            }
            Body::Outcome(outcome) => {
                let sign = if outcome.failed { "✗" } else { "✓" };
                output.line(&output.paint(Paint::Faint, &format!("{sign} {}", plain(&outcome.name))))?;
            }
            Body::Media(media) => {
                let name = media.name.as_deref().unwrap_or("a file");
                let line = format!("[{}, {}, {} bytes]", plain(name), plain(&media.mime), media.data.len());
                output.line(&output.paint(Paint::Faint, &line))?;
            }
            Body::Reasoning(_) | Body::Other(_) => {}
        }
    }
    Ok(())
}

async fn export(reach: &Reach, session: String, into: Option<&Path>, output: Output) -> Result<Exit, Failure> {
    let mut answers = reach.ask(Request::SessionShow { session, last: None }).await?;
    let Some(path) = into else {
        while let Some(response) = answers.next().await? {
            output.json(&response)?;
        }
        return Ok(Exit::Done);
    };
    // The first answer comes before the file, so that a wrong id leaves none behind.
    let mut next = answers.next().await?;
    let file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .with_context(|| format!("cannot write {}", path.display()))?;
    let mut file = BufWriter::new(file);
    while let Some(response) = next {
        serde_json::to_writer(&mut file, &response).map_err(anyhow::Error::from)?;
        file.write_all(b"\n")?;
        next = answers.next().await?;
    }
    let file = file.into_inner().map_err(|error| error.into_error())?;
    file.sync_all()?;
    output.note(Paint::Faint, &format!("Written to {}", path.display()));
    Ok(Exit::Done)
}

async fn delete(reach: &Reach, session: String, yes: bool, output: Output) -> Result<Exit, Failure> {
    if !yes {
        if !(std::io::stdin().is_terminal() && std::io::stderr().is_terminal()) {
            return Err(Failure::new(Exit::Usage, "deleting is for good; add --yes to say that you mean it"));
        }
        output.note(Paint::Strong, &format!("Delete the conversation {} for good? [y/N]", plain(&session)));
        let mut line = String::new();
        std::io::stdin().read_line(&mut line)?;
        if !matches!(line.trim().to_lowercase().as_str(), "y" | "yes") {
            output.note(Paint::Faint, "Nothing was deleted.");
            return Ok(Exit::Done);
        }
    }
    reach.all(Request::SessionDelete { session }).await?;
    output.note(Paint::Faint, "Deleted.");
    Ok(Exit::Done)
}
