//! A turn while it runs, as the person sees it: the text so far, the tools at work. Written by the agent's events, read
//! by the conversation's deliverer at the pace that the channel asked for, and by clients that join in the middle.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::agent::event::Event;

/// Tool activity that nobody took is bounded; older lines give way.
const ACTIVITY_MAX: usize = 64;

/// One turn that runs.
pub struct Live {
    /// The turn's id.
    pub turn: String,
    /// From the message that began it.
    pub handle: Option<String>,
    state: Mutex<State>,
    /// Wakes the one who shows it.
    pub changed: Notify,
}

#[derive(Default)]
struct State {
    text: String,
    reasoning: String,
    /// Where the current answer began, in the text and in the thinking: a restart goes back to it.
    mark: (usize, usize),
    activity: VecDeque<Activity>,
    /// Calls that run, with their tools: a line of progress comes when the first one was taken long ago.
    tools: HashMap<String, String>,
    version: u64,
}

/// One line about a tool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Activity {
    /// The call's id.
    pub call: String,
    /// The tool.
    pub tool: String,
    /// What it does.
    pub state: ActivityState,
}

/// What a tool does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ActivityState {
    /// It began, with these arguments.
    Started(String),
    /// A line of progress.
    Progress(String),
    /// A line of what came out.
    Done(String),
    /// What went wrong.
    Failed(String),
}

/// What a draft is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// All text so far.
    pub text: String,
    /// Thinking so far.
    pub reasoning: String,
    /// Grows with each change.
    pub version: u64,
}

impl Live {
    /// Nothing is written yet.
    pub fn new(turn: String, handle: Option<String>) -> Arc<Self> {
        Arc::new(Self { turn, handle, state: Mutex::default(), changed: Notify::new() })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes an event of the agent.
    pub fn take(&self, event: Event) {
        let mut state = self.state();
        let activity = match event {
            Event::Answering { .. } => {
                if !state.text.is_empty() && !state.text.ends_with("\n\n") {
                    state.text.push_str("\n\n");
                }
                state.mark = (state.text.len(), state.reasoning.len());
                None
            }
            Event::Text(text) => {
                state.text.push_str(&text);
                state.version += 1;
                None
            }
            Event::Reasoning(text) => {
                state.reasoning.push_str(&text);
                state.version += 1;
                None
            }
            Event::Restarted => {
                let (text, reasoning) = state.mark;
                state.text.truncate(text);
                state.reasoning.truncate(reasoning);
                state.version += 1;
                None
            }
            Event::ToolStarted(call) => {
                state.tools.insert(call.id.clone(), call.name.clone());
                Some(Activity { call: call.id, tool: call.name, state: ActivityState::Started(call.arguments) })
            }
            Event::ToolProgress { call, line } => {
                let tool = state.tools.get(&call).cloned().unwrap_or_default();
                state.activity.retain(|a| a.call != call || !matches!(a.state, ActivityState::Progress(_)));
                Some(Activity { call, tool, state: ActivityState::Progress(line) })
            }
            // Files are kept and delivered with the outcome.
            Event::ToolDone { call, name, line, media: _ } => {
                state.tools.remove(&call);
                Some(Activity { call, tool: name, state: ActivityState::Done(line) })
            }
            Event::ToolFailed { call, name, line } => {
                state.tools.remove(&call);
                Some(Activity { call, tool: name, state: ActivityState::Failed(line) })
            }
            Event::Retrying { reason, model, .. } => {
                tracing::warn!(turn = self.turn, "{reason}; {model} is asked next");
                None
            }
            Event::Compacting | Event::ApprovalWaiting(_) | Event::ApprovalOver { .. } => None,
        };
        if let Some(activity) = activity {
            if state.activity.len() >= ACTIVITY_MAX {
                state.activity.pop_front();
            }
            state.activity.push_back(activity);
        }
        drop(state);
        self.changed.notify_one();
    }

    /// What is written.
    pub fn written(&self) -> Written {
        let state = self.state();
        Written { text: state.text.clone(), reasoning: state.reasoning.clone(), version: state.version }
    }

    /// How far it is written, cheaply.
    pub fn version(&self) -> u64 {
        self.state().version
    }

    /// The next line about a tool.
    pub fn next_activity(&self) -> Option<Activity> {
        self.state().activity.pop_front()
    }

    /// There is a line about a tool.
    pub fn has_activity(&self) -> bool {
        !self.state().activity.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::ToolCall;

    #[test]
    fn a_restart_takes_back_what_the_broken_answer_wrote() {
        let live = Live::new("t".into(), None);
        let model = || Event::Answering { model: "a/b".into() };
        let thought = |text: &str| Event::Reasoning(text.into());
        for event in
            [model(), thought("hm. "), Event::Text("one".into()), model(), thought("w"), Event::Text("tw".into())]
        {
            live.take(event);
        }
        for event in [Event::Restarted, thought("why?"), Event::Text("two".into())] {
            live.take(event);
        }
        let written = live.written();
        assert_eq!((written.text.as_str(), written.reasoning.as_str()), ("one\n\ntwo", "hm. why?"));
    }

    #[test]
    fn progress_names_its_tool_however_late_it_comes() {
        let live = Live::new("t".into(), None);
        let call = ToolCall { id: "1".into(), name: "system.run".into(), arguments: "{}".into() };
        live.take(Event::ToolStarted(call));
        live.next_activity();
        live.take(Event::ToolProgress { call: "1".into(), line: "half".into() });
        let state = ActivityState::Progress("half".into());
        assert_eq!(live.next_activity(), Some(Activity { call: "1".into(), tool: "system.run".into(), state }));
    }

    #[test]
    fn activity_that_nobody_takes_is_bounded() {
        let live = Live::new("t".into(), None);
        for index in 0..1_000 {
            live.take(Event::ToolFailed { call: index.to_string(), name: "x".into(), line: String::new() });
        }
        let kept: Vec<String> = std::iter::from_fn(|| live.next_activity()).map(|a| a.call).collect();
        assert_eq!(kept, (936..1_000).map(|index| index.to_string()).collect::<Vec<_>>());
    }
}
