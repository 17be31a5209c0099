//! What the person asks about skills.

use std::path::{Path, PathBuf};

use super::Admin;
use crate::admin::{Refusal, Request, Response, ResponseSink, SkillSummary};
use crate::capability::{in_words, skill::Skills as _};
use crate::skill::run::Kind;
use crate::skill::scan::{FILE, Problem, Skill, Source};

fn shown(path: &Path) -> String {
    path.display().to_string()
}

fn summary(skill: &Skill, kind: Option<&Kind>, problems: &[Problem]) -> SkillSummary {
    let front = &skill.front;
    let file = skill.folder.join(FILE);
    SkillSummary {
        name: front.name.clone(),
        description: front.description.clone(),
        mode: front.mode.to_string(),
        folder: shown(&skill.folder),
        workspace: skill.source == Source::Workspace,
        usable: true,
        problems: problems.iter().filter(|problem| problem.path == file).map(ToString::to_string).collect(),
        tools: match kind {
            Some(Kind::Tools(tools)) => tools.iter().map(|tool| tool.name.clone()).collect(),
            Some(Kind::Command) | None => Vec::new(),
        },
        license: front.license.clone(),
        compatibility: front.compatibility.clone(),
        metadata: front.metadata.clone(),
        text: None,
    }
}

/// Of a folder of which nothing could be made.
fn broken(problem: &Problem) -> SkillSummary {
    let folder = problem.path.parent().unwrap_or(&problem.path);
    let name = folder.file_name().map(|name| name.to_string_lossy().into_owned());
    SkillSummary {
        name: name.unwrap_or_default(),
        folder: shown(folder),
        problems: vec![problem.to_string()],
        ..SkillSummary::default()
    }
}

impl Admin {
    pub(super) async fn about_skills(&self, request: Request, out: &ResponseSink) -> Result<(), Refusal> {
        match request {
            Request::SkillCheck { path } => {
                out.send(Response::Skill(self.check_skill(path.into()).await?)).await?;
            }
            Request::SkillShow { name } => {
                self.0.look_for_skills().await;
                let text = self.0.skills.read(&name, None).await;
                let text = text.map_err(|error| Refusal::not_found(in_words(&error)))?;
                let found = self.skills().into_iter().find(|skill| skill.usable && skill.name == name);
                let skill = found.ok_or_else(|| Refusal::not_found(format!("the skill {name} is gone")))?;
                out.send(Response::Skill(SkillSummary { text: Some(text), ..skill })).await?;
            }
            _ => {
                self.0.look_for_skills().await;
                for skill in self.skills() {
                    out.send(Response::Skill(skill)).await?;
                }
            }
        }
        Ok(())
    }

    fn skills(&self) -> Vec<SkillSummary> {
        let library = &self.0.skills;
        let shelf = library.shelf();
        let good = shelf.skills.values().map(|skill| summary(skill, library.kind(skill).as_ref(), &shelf.problems));
        let bad = shelf.problems.iter().filter(|problem| !problem.note).map(broken);
        good.chain(bad).collect()
    }

    async fn check_skill(&self, path: PathBuf) -> Result<SkillSummary, Refusal> {
        if !path.is_dir() {
            return Err(Refusal::not_found(format!(
                "{} is not a folder; name the one with the {FILE}",
                path.display()
            )));
        }
        let (found, problems) = self.0.skills.check(&path).await;
        match (found, problems.last()) {
            (Some((skill, kind)), _) => Ok(summary(&skill, kind.as_ref(), &problems)),
            (None, Some(problem)) => Ok(broken(problem)),
            (None, None) => Err(Refusal::failed(format!("{} could not be looked at", path.display()))),
        }
    }
}
