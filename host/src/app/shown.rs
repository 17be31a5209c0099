//! Parts as commands show them: from the host's own types to those of the admin socket.

use crate::admin::{NeedSummary, SessionSummary, ToolSummary, TurnEvent};
use crate::agent::event::Event;
use crate::message::ToolDefinition;
use crate::plugin::Plugin;
use crate::plugin::aside::Aside;
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

/// That an instance is set aside, for how much longer, and why.
pub(super) fn aside_in_words(aside: &Aside) -> String {
    let left = aside.until.saturating_duration_since(tokio::time::Instant::now());
    format!(
        "is set aside for {} more (time {} in a row): it broke again and again, the last time because {}",
        crate::runtime::in_words(left),
        aside.times,
        aside.why
    )
}

/// A tool with its schema.
pub(super) fn tool_summary(tool: &ToolDefinition) -> ToolSummary {
    let hints = tool.hints;
    let all = [
        (hints.read_only, "read-only"),
        (hints.destructive, "destructive"),
        (hints.idempotent, "idempotent"),
        (hints.open_world, "open-world"),
    ];
    ToolSummary {
        name: tool.name.clone(),
        description: tool.description.clone(),
        parameters: serde_json::from_str(&tool.parameters).unwrap_or_default(),
        hints: all.into_iter().filter(|(is, _)| *is).map(|(_, word)| word.to_string()).collect(),
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
