//! From the list of skills to tools, and from a call of a tool to what the capability does.
//!
//! A command is the tool `skill.NAME`. A tool of a component is `skill.NAME.TOOL`: what a skill calls its tools is its own
//! business, and none takes the name of another tool in the host.

use serde_json::{Value, json};

use crate::contract::exports::openpista::plugin::tools::ToolError;
use crate::contract::openpista::skill::skill::{Call, Skill, Way};
use crate::contract::openpista::types::types::{ToolDefinition, ToolHints};

/// The tool that reads texts.
pub const READ: &str = "skill.read";

/// A run changes nothing and reaches nothing outside. But what it gives back may be what others wrote into a file, and
/// the host takes that hint for it.
const RUN_HINTS: ToolHints = ToolHints::READ_ONLY.union(ToolHints::OPEN_WORLD);

/// What a call asks for.
#[derive(Clone, Debug, PartialEq)]
pub enum Asked {
    /// The text of a skill, or of a file in its folder.
    Read(String, Option<String>),
    /// A run.
    Run(Call),
}

/// What the model is told.
pub fn definitions(skills: &[Skill]) -> Vec<ToolDefinition> {
    if skills.is_empty() {
        return Vec::new();
    }
    let mut tools = vec![read(skills)];
    for skill in skills {
        match &skill.way {
            Way::Command(parameters) => tools.push(ToolDefinition {
                name: format!("skill.{}", skill.name),
                description: format!(
                    "{} (A skill, run in a sandbox that can only read the workspace.)",
                    skill.description
                ),
                parameters: parameters.clone().unwrap_or_else(generic),
                hints: RUN_HINTS,
            }),
            Way::Tools(own) => tools.extend(own.iter().map(|tool| ToolDefinition {
                name: format!("skill.{}.{}", skill.name, tool.name),
                hints: tool.hints | RUN_HINTS,
                ..tool.clone()
            })),
            Way::Prompt | Way::Other(_) => (),
        }
    }
    tools
}

fn read(skills: &[Skill]) -> ToolDefinition {
    let names: Vec<&str> = skills.iter().map(|skill| skill.name.as_str()).collect();
    let parameters = json!({
        "type": "object",
        "additionalProperties": false,
        "required": ["name"],
        "properties": {
            "name": {"type": "string", "enum": names, "description": "Which skill."},
            "file": {"type": "string", "description": "A file in its folder that its text names, such as references/api.md. \
                                                       Left out: the text of the skill."}
        }
    });
    ToolDefinition {
        name: READ.into(),
        description: "Reads the instructions of a skill, or a file that belongs to it.".into(),
        parameters: parameters.to_string(),
        hints: ToolHints::READ_ONLY | ToolHints::IDEMPOTENT,
    }
}

/// Of a command that does not say what it takes.
fn generic() -> String {
    json!({
        "type": "object",
        "additionalProperties": false,
        "properties": {
            "arguments": {
                "type": "array", "items": {"type": "string"},
                "description": "The words behind the command's name. Files are named relative to the workspace."
            },
            "input": {"type": "string", "description": "Its standard input."}
        }
    })
    .to_string()
}

/// Understands a call. `skills` are those that there are now.
pub fn asked(skills: &[Skill], name: &str, arguments: &str) -> Result<Asked, ToolError> {
    let wrong = |what: &str| ToolError::InvalidArguments(format!("{name}: {what}"));
    let value: Value =
        serde_json::from_str(arguments).map_err(|e| wrong(&format!("the arguments are no JSON: {e}")))?;
    let text = |key: &str| value.get(key).and_then(Value::as_str).map(str::to_owned);
    if name == READ {
        let skill = text("name").ok_or_else(|| wrong("`name` must say which skill"))?;
        return Ok(Asked::Read(skill, text("file").filter(|file| !file.is_empty())));
    }
    for skill in skills {
        let Some(rest) = name.strip_prefix("skill.").and_then(|rest| rest.strip_prefix(skill.name.as_str())) else {
            continue;
        };
        let call = match (&skill.way, rest.strip_prefix('.')) {
            (Way::Tools(own), Some(tool)) if own.iter().any(|known| known.name == tool) => Call {
                tool: Some(tool.into()),
                arguments: Vec::new(),
                input: arguments.into(),
                skill: skill.name.clone(),
            },
            (Way::Command(Some(_)), None) if rest.is_empty() => {
                Call { tool: None, arguments: Vec::new(), input: arguments.into(), skill: skill.name.clone() }
            }
            (Way::Command(None), None) if rest.is_empty() => {
                let list = match value.get("arguments") {
                    None | Some(Value::Null) => Vec::new(),
                    Some(Value::Array(items)) if items.iter().all(Value::is_string) => {
                        items.iter().filter_map(Value::as_str).map(str::to_owned).collect()
                    }
                    Some(_) => return Err(wrong("`arguments` must be a list of texts")),
                };
                let input = text("input").unwrap_or_default().into_bytes();
                Call { tool: None, arguments: list, input, skill: skill.name.clone() }
            }
            _ => continue,
        };
        return Ok(Asked::Run(call));
    }
    Err(ToolError::Other(format!("{name} is gone: its skill was removed, changed or is broken now")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::openpista::types::types::Extension;

    fn skill(name: &str, way: Way) -> Skill {
        Skill { name: name.into(), description: format!("Does {name}."), way }
    }

    fn greet() -> ToolDefinition {
        ToolDefinition {
            name: "greet".into(),
            description: "Greets.".into(),
            parameters: "{}".into(),
            hints: ToolHints::IDEMPOTENT,
        }
    }

    fn all() -> Vec<Skill> {
        vec![
            skill("count", Way::Command(None)),
            skill("count-all", Way::Command(Some(r#"{"type":"object"}"#.into()))),
            skill("hello", Way::Tools(vec![greet()])),
            skill("later", Way::Other(Extension { kind: "openpista:subprocess".into(), data: "{}".into() })),
            skill("words", Way::Prompt),
        ]
    }

    #[test]
    fn each_skill_that_can_be_run_has_its_tools_and_all_can_be_read() {
        let tools = definitions(&all());
        let names: Vec<&str> = tools.iter().map(|tool| tool.name.as_str()).collect();
        assert_eq!(names, ["skill.read", "skill.count", "skill.count-all", "skill.hello.greet"]);
        let read: Value = serde_json::from_str(&tools[0].parameters).unwrap();
        assert_eq!(read["properties"]["name"]["enum"], json!(["count", "count-all", "hello", "later", "words"]));
        assert_eq!(tools[0].hints, ToolHints::READ_ONLY | ToolHints::IDEMPOTENT);
        assert_eq!(tools[1].hints, ToolHints::READ_ONLY | ToolHints::OPEN_WORLD);
        assert_eq!(tools[2].parameters, r#"{"type":"object"}"#);
        assert_eq!(tools[3].hints, ToolHints::READ_ONLY | ToolHints::OPEN_WORLD | ToolHints::IDEMPOTENT);
        assert_eq!(definitions(&[]), []);
    }

    #[test]
    fn a_call_becomes_a_run_of_its_skill() {
        let run = |name: &str, arguments: &str| match asked(&all(), name, arguments).unwrap() {
            Asked::Run(call) => (call.skill, call.tool, call.arguments, String::from_utf8(call.input).unwrap()),
            other => panic!("{other:?}"),
        };
        assert_eq!(
            run("skill.count", r#"{"arguments":["-l","a.md"],"input":"x"}"#),
            ("count".into(), None, vec!["-l".into(), "a.md".into()], "x".into())
        );
        assert_eq!(
            run("skill.count-all", r#"{"path":"."}"#),
            ("count-all".into(), None, vec![], r#"{"path":"."}"#.into())
        );
        assert_eq!(run("skill.hello.greet", "{}"), ("hello".into(), Some("greet".into()), vec![], "{}".into()));
    }

    #[test]
    fn reading_names_a_skill_and_perhaps_a_file() {
        let read = |arguments: &str| asked(&[], READ, arguments);
        assert_eq!(read(r#"{"name":"a"}"#), Ok(Asked::Read("a".into(), None)));
        assert_eq!(read(r#"{"name":"a","file":"b.md"}"#), Ok(Asked::Read("a".into(), Some("b.md".into()))));
        assert_eq!(read("{}"), Err(ToolError::InvalidArguments("skill.read: `name` must say which skill".into())));
    }

    #[test]
    fn what_is_not_there_or_does_not_fit_is_refused() {
        for name in ["skill.other", "skill.words", "skill.later", "skill.hello", "skill.hello.other", "count"] {
            assert!(matches!(asked(&all(), name, "{}"), Err(ToolError::Other(_))), "{name}");
        }
        assert!(matches!(asked(&all(), "skill.count", r#"{"arguments":"a"}"#), Err(ToolError::InvalidArguments(_))));
    }
}
