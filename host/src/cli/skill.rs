//! `skill`: what is found, what it says, what is wrong with it.

use super::arguments::SkillCommand;
use super::{Context, Exit, Failure, connect, logging};
use crate::admin::{Request, Response, SkillSummary};
use crate::output::{Cell, Output, Paint, harmless, plain, shortened};

/// Does it.
pub async fn run(context: &Context, command: SkillCommand) -> Result<Exit, Failure> {
    logging::for_a_command(context.verbosity, &context.known)?;
    let output = context.output;
    let (request, whole) = match command {
        SkillCommand::List => (Request::SkillList, false),
        SkillCommand::Show { name } => (Request::SkillShow { name }, true),
        SkillCommand::Check { folder } => {
            let path = std::path::absolute(context.sources.started_in.join(&folder))?;
            // `.` and a link to it are names of a folder, too; the skill is called as the folder is.
            let path = path.canonicalize().unwrap_or(path);
            let path = path.to_str().map(str::to_owned).ok_or_else(|| {
                Failure::new(Exit::Usage, format!("{} is not a name in UTF-8; rename the folder", folder.display()))
            })?;
            (Request::SkillCheck { path }, true)
        }
    };
    let found = connect::reach(context).await?.all(request).await?;
    let skills: Vec<&SkillSummary> = found
        .iter()
        .filter_map(|response| match response {
            Response::Skill(skill) => Some(skill),
            _ => None,
        })
        .collect();
    if output.json {
        for skill in &skills {
            output.json(skill)?;
        }
    } else if whole {
        for skill in &skills {
            show(skill, output)?;
        }
    } else {
        list(&skills, output)?;
    }
    let broken = whole && skills.iter().any(|skill| !skill.usable);
    Ok(if broken { Exit::Failed } else { Exit::Done })
}

fn word(skill: &SkillSummary) -> Cell {
    if skill.usable { Cell::painted(Paint::Good, "ready") } else { Cell::painted(Paint::Bad, "broken") }
}

fn list(skills: &[&SkillSummary], output: Output) -> Result<(), Failure> {
    if skills.is_empty() {
        output.note(
            Paint::Faint,
            "There are no skills: put a folder with a SKILL.md into ~/.openpista/skills or the workspace.",
        );
        return Ok(());
    }
    let rows: Vec<Vec<Cell>> = skills
        .iter()
        .map(|skill| {
            let from = if skill.workspace { "workspace" } else { "your own" };
            vec![
                skill.name.clone().into(),
                word(skill),
                skill.mode.clone().into(),
                if skill.usable { from } else { "" }.to_owned().into(),
                shortened(&skill.description, 70).into(),
            ]
        })
        .collect();
    output.table(&["NAME", "STANDING", "MODE", "FROM", "WHAT FOR"], &rows)?;
    problems(skills, output);
    Ok(())
}

fn problems(skills: &[&SkillSummary], output: Output) {
    for skill in skills {
        for problem in &skill.problems {
            let paint = if skill.usable { Paint::Warn } else { Paint::Bad };
            output.note(paint, &plain(problem));
        }
    }
}

fn show(skill: &SkillSummary, output: Output) -> Result<(), Failure> {
    let standing = if skill.usable { (Paint::Good, "ready") } else { (Paint::Bad, "broken") };
    let heading = output.paint(Paint::Strong, &plain(&skill.name));
    output.line(&format!("{heading}  {}", output.paint(standing.0, standing.1)))?;
    if !skill.description.is_empty() {
        output.line(&plain(&skill.description))?;
    }
    let word = |value: &serde_json::Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let metadata: Vec<String> = skill.metadata.iter().map(|(name, value)| format!("{name} {}", word(value))).collect();
    let facts = [
        ("mode", skill.mode.clone()),
        ("folder", skill.folder.clone()),
        ("tools", skill.tools.join(", ")),
        ("license", skill.license.clone().unwrap_or_default()),
        ("needs", skill.compatibility.clone().unwrap_or_default()),
        ("metadata", metadata.join(", ")),
    ];
    for (name, value) in facts.iter().filter(|(_, value)| !value.is_empty()) {
        output.line(&format!("  {name:<9} {}", plain(value)))?;
    }
    problems(&[skill], output);
    if let Some(text) = &skill.text {
        output.line("")?;
        output.line(harmless(text).trim_end())?;
    }
    Ok(())
}
