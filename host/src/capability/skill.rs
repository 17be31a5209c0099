//! `openpista:skill`: skills by name, their texts, and the sandbox for those that are WebAssembly.
//!
//! What a skill may do does not depend on who runs it: it gets no capability, no network and no environment, reads the
//! workspace and its own folder, and changes nothing. `skill` implements [`Skills`].
//! Scope: `*` or names of skills.

use async_trait::async_trait;
use tokio_util::sync::CancellationToken;

use super::ledger::{self, Begun};
use super::{Error, View};
use crate::agent::ports::Progress;
use crate::wit::openpista::skill::skill::Host;
pub use crate::wit::openpista::skill::skill::{Call, End, Outcome, Skill, Way, Written};

const ARGUMENTS_MAX: usize = 64 << 10;
const INPUT_MAX: usize = 1 << 20;

/// Whom a run serves.
#[derive(Clone, Default)]
pub struct Serving {
    /// The session, in a turn.
    pub session: Option<String>,
    /// The turn.
    pub turn: Option<String>,
    /// Ends it.
    pub cancel: CancellationToken,
    /// Where its progress goes.
    pub progress: Option<Progress>,
}

/// The skills of this host.
#[async_trait]
pub trait Skills: Send + Sync {
    /// Those that can be used, by name.
    fn list(&self) -> Vec<Skill>;
    /// The text of one, or of a file in its folder.
    async fn read(&self, name: &str, file: Option<&str>) -> Result<String, Error>;
    /// Runs one in the sandbox.
    async fn run(&self, call: Call, serving: Serving) -> Result<Outcome, Error>;
}

impl View<'_> {
    fn has_skill(&self, name: &str) -> bool {
        let scope = self.call.grants.scope("skill").unwrap_or_default();
        scope.iter().any(|item| item == "*" || item == name)
    }

    /// Refuses what is out of scope; what is not is in the ledger when it is over.
    fn may_use_skill(&self, name: &str, what: String, arguments: String) -> Result<Begun, Error> {
        if self.has_skill(name) {
            return Ok(self.begin("skill", what, arguments));
        }
        self.note("skill", what, arguments, false);
        Err(Error::AccessDenied(crate::grant::denial(&self.call.caller.instance, "skill", name)))
    }

    async fn skill_read(&mut self, name: &str, file: Option<&str>) -> Result<String, Error> {
        let what = format!("read {name} {}", file.unwrap_or_default());
        let begun = self.may_use_skill(name, what.trim_end().into(), String::new())?;
        let read = begun.noted(self.call.services.skills.read(name, file)).await;
        begun.end(true, outcome(&read));
        read
    }

    async fn skill_run(&mut self, call: Call) -> Result<Outcome, Error> {
        let words = call.tool.iter().chain(&call.arguments).fold(String::new(), |all, word| format!("{all} {word}"));
        let parts = call.tool.iter().chain(&call.arguments).map(String::as_bytes).chain([call.input.as_slice()]);
        let hash = ledger::hash(parts);
        let begun = self.may_use_skill(&call.skill, format!("run {}{words}", call.skill), hash)?;
        let arguments: usize = call.arguments.iter().map(|argument| argument.len() + 1).sum();
        if arguments > ARGUMENTS_MAX || call.input.len() > INPUT_MAX {
            return Err(Error::TooLarge("a skill takes 64 KiB of arguments and 1 MiB of input".into()));
        }
        if call.arguments.iter().any(|argument| argument.contains('\0')) {
            return Err(Error::Invalid("an argument cannot hold the character NUL".into()));
        }
        let serving = Serving {
            session: self.call.caller.session.clone(),
            turn: self.call.caller.turn.clone(),
            cancel: self.call.cancel.clone(),
            progress: self.call.progress.clone(),
        };
        let done = begun.noted(self.call.services.skills.run(call, serving)).await;
        begun.end(true, outcome(&done));
        done
    }
}

fn outcome<T>(done: &Result<T, Error>) -> &'static str {
    if done.is_ok() { ledger::DONE } else { "failed" }
}

impl Host for View<'_> {
    async fn all(&mut self) -> wasmtime::Result<Vec<Skill>> {
        let mut skills = self.call.services.skills.list();
        skills.retain(|skill| self.has_skill(&skill.name));
        Ok(skills)
    }

    async fn read(&mut self, name: String, file: Option<String>) -> wasmtime::Result<Result<String, Error>> {
        Ok(self.skill_read(&name, file.as_deref()).await)
    }

    async fn run(&mut self, call: Call) -> wasmtime::Result<Result<Outcome, Error>> {
        Ok(self.skill_run(call).await)
    }
}
