//! Parts as commands show them: from the host's own types to those of the admin socket.

use crate::admin::{NeedSummary, SessionSummary, TurnEvent};
use crate::agent::event::Event;
use crate::plugin::Plugin;
use crate::store::Session;
use crate::transport::State;

/// A transport's state as a word and its reason.
pub(super) fn in_words(state: &State) -> String {
    match state {
        State::Starting => "starting".into(),
        State::Listening => "listening".into(),
        State::Open => "open".into(),
        State::BackingOff { reason, .. } => format!("tried again soon: {reason}"),
        State::AuthRequired { reason } => format!("needs a credential: {reason}"),
        State::Off { reason } => format!("off: {reason}"),
    }
}

/// The roles that a plugin plays.
pub(super) fn roles(plugin: &Plugin) -> Vec<String> {
    [(plugin.shape.provider(), "provider"), (plugin.shape.channel(), "channel"), (plugin.shape.tools(), "tools")]
        .into_iter()
        .filter(|(has, _)| *has)
        .map(|(_, role)| role.to_string())
        .collect()
}

/// What a plugin asks for, and whether it has it.
pub(super) fn needs(plugin: &Plugin, granted: &dyn Fn(&str) -> bool) -> Vec<NeedSummary> {
    plugin
        .manifest
        .needs
        .iter()
        .map(|need| NeedSummary {
            capability: need.capability.clone(),
            scope: need.scope.clone(),
            reason: need.reason.clone(),
            optional: need.optional,
            granted: granted(&need.capability),
        })
        .collect()
}

/// A session without its messages.
pub(super) fn summary(session: Session) -> SessionSummary {
    SessionSummary {
        id: session.id,
        title: session.title,
        channel: session.instance,
        conversation: session.conversation,
        owner: if session.owner.name.is_empty() { session.owner.id } else { session.owner.name },
        model: session.model,
        created: session.created,
        updated: session.updated,
        messages: session.last,
        usage: session.usage,
    }
}

/// What a follower is told of an event; approvals are told with their id, by `Tapped::Ask`.
pub(super) fn turn_event(event: Event) -> Option<TurnEvent> {
    Some(match event {
        Event::Answering { model } => TurnEvent::Answering { model },
        Event::Text(text) => TurnEvent::Text { text },
        Event::Reasoning(text) => TurnEvent::Reasoning { text },
        Event::Restarted => TurnEvent::Restarted,
        Event::Retrying { reason, model, wait } => {
            TurnEvent::Retrying { reason, model, wait: u64::try_from(wait.as_millis()).unwrap_or(u64::MAX) }
        }
        Event::Compacting => TurnEvent::Compacting,
        Event::ApprovalWaiting(_) => return None,
        Event::ApprovalOver { call, decision } => TurnEvent::ApprovalOver { call, decision },
        Event::ToolStarted(call) => {
            TurnEvent::ToolStarted { call: call.id, name: call.name, arguments: call.arguments }
        }
        Event::ToolProgress { call, line } => TurnEvent::ToolProgress { call, line },
        Event::ToolDone { call, name, line, .. } => TurnEvent::ToolDone { call, name, line },
        Event::ToolFailed { call, name, line } => TurnEvent::ToolFailed { call, name, line },
    })
}
