//! What a person says to the host instead of the model: `/new`, `/model`, … The same in every channel.

use std::sync::Arc;

use anyhow::Result;

use super::{Desk, Key, Tap, Tapped};
use crate::message::{Delivery, DeliveryContent, now};
use crate::store::{InboxEntry, Session};

/// A command, parsed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Another session.
    New,
    /// Show or choose the model.
    Model(Option<String>),
    /// Stop what runs. By the time it is its turn, that has happened.
    Stop,
    /// How things stand.
    Status,
    /// What there is.
    Help,
    /// End the daemon, from the console.
    Quit,
    /// Something else with a slash.
    Unknown(String),
}

const HELP: &str = "/new - start a new session\n/model [NAME] - show or choose the model\n/stop - stop what is running\n/status - session, model, tokens\n/help - this list\n/quit - end the host (in its console)";

/// The command in a text, if it is one. A path such as `/etc/hosts is odd` is none.
pub fn parse(text: &str) -> Option<Command> {
    let text = text.trim();
    let rest = text.strip_prefix('/')?;
    let (name, argument) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
    // In groups, messengers write `/new@name_of_the_bot`.
    let name = name.split('@').next().unwrap_or(name);
    if name.is_empty() || !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-') {
        return None;
    }
    let argument = Some(argument.trim()).filter(|argument| !argument.is_empty());
    Some(match name.to_ascii_lowercase().as_str() {
        "new" | "clear" => Command::New,
        "model" => Command::Model(argument.map(str::to_string)),
        "stop" | "cancel" => Command::Stop,
        "status" | "session" => Command::Status,
        "help" | "start" => Command::Help,
        "quit" | "exit" => Command::Quit,
        other => Command::Unknown(other.to_string()),
    })
}

/// Does it, and tells the person.
pub(super) async fn obey(
    desk: &Arc<Desk>,
    key: &Key,
    entry: &InboxEntry,
    command: Command,
    tap: Option<&Tap>,
) -> Result<()> {
    let current = desk.store.read(|tx| tx.session_current(&key.instance, &key.conversation))?;
    let mut change = Change::None;
    let mut failed = false;
    // Nobody would be shown it before the next start.
    let mut unsaid = false;
    let words = match command {
        Command::New => {
            change = Change::Start;
            "A new session. The old one is kept: openpista-host session list".to_string()
        }
        Command::Model(None) => {
            let names = desk.catalogue.names();
            let line_up = desk.catalogue.line_up(current.as_ref().and_then(|session| session.model.as_deref())).await;
            let used = line_up.first().map_or_else(|| "none".to_string(), crate::agent::Model::name);
            format!("The model is {used}.\nTo choose another: /model NAME, one of:\n{}", names.join("\n"))
        }
        Command::Model(Some(typed)) => match desk.catalogue.find(&typed) {
            Ok(name) => {
                let words = format!("From now on {name} answers in this session.");
                change = Change::Model(name);
                words
            }
            Err(why) => {
                failed = true;
                why
            }
        },
        Command::Stop => "Stopped.".to_string(),
        Command::Status => status(desk, current.as_ref()).await,
        Command::Help => HELP.to_string(),
        Command::Quit => {
            if desk.outlet.quit(key) {
                unsaid = true;
                "Good-bye.".to_string()
            } else {
                failed = true;
                "/quit ends the host and works in its own console only. To stop what runs here: /stop".to_string()
            }
        }
        Command::Unknown(name) => {
            failed = true;
            format!("There is no command /{name}.\n{HELP}")
        }
    };
    let content = if failed { DeliveryContent::Failed(words.clone()) } else { DeliveryContent::Notice(words.clone()) };
    let delivery = Delivery {
        id: format!("command-{}", entry.key.number),
        instance: key.instance.clone(),
        conversation: key.conversation.clone(),
        turn: None,
        handle: entry.inbound.handle.clone(),
        content,
    };
    let by_hand = tap.is_some();
    let (inbox, queued, place, sender) =
        (entry.key.clone(), delivery.clone(), key.clone(), entry.inbound.sender.clone());
    desk.store
        .write(move |tx| {
            match &change {
                Change::None => (),
                Change::Start => {
                    tx.session_start(&Session::new(&place.instance, &place.conversation, sender.clone(), now()))?;
                }
                Change::Model(name) => {
                    let session = tx.session_ensure(&place.instance, &place.conversation, &sender, now())?;
                    tx.session_change(&session.id, |session| session.model = Some(name.clone()))?;
                }
            }
            if !by_hand && !unsaid {
                tx.outbox_enqueue(&queued, now())?;
            }
            tx.inbox_finish(&inbox)?;
            Ok(())
        })
        .await?;
    match tap {
        Some(tap) => tap(Tapped::Notice(words)),
        None if unsaid => (),
        None => desk.outlet.enqueued(vec![delivery]),
    }
    desk.outlet.changed(key);
    Ok(())
}

enum Change {
    None,
    Start,
    Model(String),
}

async fn status(desk: &Desk, session: Option<&Session>) -> String {
    let line_up = desk.catalogue.line_up(session.and_then(|session| session.model.as_deref())).await;
    let model = line_up.first().map_or_else(|| "none".to_string(), crate::agent::Model::name);
    let tools = desk.toolbox.definitions().len();
    match session {
        Some(session) => format!(
            "Session {} ({} messages, {} tokens in, {} out), model {model}, tools: {tools}.",
            session.id.get(..8).unwrap_or(&session.id),
            session.last,
            session.usage.input,
            session.usage.output
        ),
        None => format!("No session yet. Model {model}, tools: {tools}."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_told_from_paths_and_words() {
        assert_eq!(parse("/new"), Some(Command::New));
        assert_eq!(parse(" /Model  acme/x "), Some(Command::Model(Some("acme/x".into()))));
        assert_eq!(parse("/stop@my_bot"), Some(Command::Stop));
        assert_eq!(parse("/etc/hosts looks odd"), None);
        assert_eq!(parse("/"), None);
        assert_eq!(parse("hello /new"), None);
        assert_eq!(parse("/dance"), Some(Command::Unknown("dance".into())));
    }
}
