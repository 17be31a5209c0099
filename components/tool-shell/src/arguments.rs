//! The settings of the instance, the definition that the model sees, and what it asks for.

use serde_json::{Value, json};

use crate::contract::exports::openpista::plugin::tools::ToolError;
use crate::contract::openpista::shell::shell::{Command, Spec};
use crate::contract::openpista::types::types::{ToolDefinition, ToolHints};

/// The tool's name.
pub const NAME: &str = "system.run";

/// The longest time a command can have, in seconds.
pub const LONGEST: u32 = 600;

/// `[tools.….settings]`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Settings {
    /// Seconds a command has when the model does not say.
    pub default_timeout: u32,
    /// Characters of output that the model gets to see.
    pub max_output: usize,
}

impl Settings {
    /// The JSON Schema for the manifest.
    pub fn schema() -> Value {
        json!({
            "type": "object",
            "additionalProperties": false,
            "properties": {
                "default-timeout": {
                    "type": "integer", "minimum": 1, "maximum": LONGEST, "default": 30,
                    "description": "Seconds a command may take when the model does not ask for another time."
                },
                "max-output": {
                    "type": "integer", "minimum": 500, "maximum": 100_000, "default": 10_000,
                    "description": "Characters of a command's output that the model gets to see."
                }
            }
        })
    }

    /// The host has checked the text against the schema; what is missing has its default.
    pub fn parse(text: &str) -> Self {
        let value: Value = serde_json::from_str(text).unwrap_or_default();
        let number = |key: &str, otherwise: u64, highest: u64| {
            value.get(key).and_then(Value::as_u64).unwrap_or(otherwise).clamp(1, highest)
        };
        Self {
            default_timeout: number("default-timeout", 30, u64::from(LONGEST)) as u32,
            max_output: number("max-output", 10_000, 100_000) as usize,
        }
    }
}

/// What the model is told.
pub fn definition(settings: &Settings) -> ToolDefinition {
    let parameters = json!({
        "type": "object",
        "additionalProperties": false,
        "required": ["command"],
        "properties": {
            "command": {
                "type": "string", "minLength": 1,
                "description": "The bash command line to run."
            },
            "timeout": {
                "type": "integer", "minimum": 1, "maximum": LONGEST, "default": settings.default_timeout,
                "description": "Seconds after which the command and everything it started is killed."
            },
            "dir": {
                "type": "string",
                "description": "The folder to run in, relative to the workspace. The workspace itself if left out."
            }
        }
    });
    ToolDefinition {
        name: NAME.into(),
        description: "Runs a bash command on the user's machine, in the workspace, and returns its standard output, \
                      standard error and exit code. Each call is a new shell without a terminal: give commands all \
                      their input."
            .into(),
        parameters: parameters.to_string(),
        hints: ToolHints::DESTRUCTIVE | ToolHints::OPEN_WORLD,
    }
}

/// One call, understood.
#[derive(Clone, Debug, PartialEq)]
pub struct Arguments {
    /// For bash.
    pub command: String,
    /// Seconds.
    pub timeout: u32,
    /// Relative to the workspace.
    pub dir: Option<String>,
}

impl Arguments {
    /// Reads the arguments of a call.
    pub fn parse(text: &str, settings: &Settings) -> Result<Self, ToolError> {
        let wrong = |what: &str| ToolError::InvalidArguments(format!("{NAME}: {what}"));
        let value: Value = serde_json::from_str(text).map_err(|e| wrong(&format!("the arguments are no JSON: {e}")))?;
        let command = match value.get("command").and_then(Value::as_str) {
            Some(command) if !command.trim().is_empty() => command.to_string(),
            _ => return Err(wrong("`command` must be a text with the command to run")),
        };
        let timeout = match value.get("timeout") {
            None | Some(Value::Null) => settings.default_timeout,
            Some(given) => given
                .as_u64()
                .filter(|seconds| (1..=u64::from(LONGEST)).contains(seconds))
                .ok_or_else(|| wrong(&format!("`timeout` must be a number of seconds from 1 to {LONGEST}")))?
                as u32,
        };
        let dir = match value.get("dir") {
            None | Some(Value::Null) => None,
            Some(Value::String(dir)) => Some(dir.clone()).filter(|dir| !dir.is_empty()),
            Some(_) => return Err(wrong("`dir` must be the name of a folder")),
        };
        Ok(Self { command, timeout, dir })
    }

    /// For the capability.
    pub fn spec(&self) -> Spec {
        Spec {
            command: Command::Script(self.command.clone()),
            dir: self.dir.clone(),
            env: Vec::new(),
            stdin: Vec::new(),
            timeout_ms: Some(self.timeout.saturating_mul(1000)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SETTINGS: Settings = Settings { default_timeout: 30, max_output: 10_000 };

    fn refused(text: &str) -> String {
        match Arguments::parse(text, &SETTINGS) {
            Err(ToolError::InvalidArguments(why)) => why,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn settings_have_defaults_and_stay_within_their_bounds() {
        assert_eq!(Settings::parse("{}"), SETTINGS);
        assert_eq!(
            Settings::parse(r#"{"default-timeout": 5, "max-output": 2000}"#),
            Settings { default_timeout: 5, max_output: 2000 }
        );
        assert_eq!(Settings::parse(r#"{"default-timeout": 90000}"#).default_timeout, LONGEST);
    }

    #[test]
    fn a_call_becomes_a_script_for_the_capability() {
        let arguments = Arguments::parse(r#"{"command":"ls -la","timeout":5,"dir":"src"}"#, &SETTINGS).unwrap();
        assert_eq!(
            arguments.spec(),
            Spec {
                command: Command::Script("ls -la".into()),
                dir: Some("src".into()),
                env: vec![],
                stdin: vec![],
                timeout_ms: Some(5000),
            }
        );
    }

    #[test]
    fn what_is_left_out_has_its_default() {
        assert_eq!(
            Arguments::parse(r#"{"command":"pwd","dir":"","timeout":null}"#, &SETTINGS).unwrap(),
            Arguments { command: "pwd".into(), timeout: 30, dir: None }
        );
    }

    #[test]
    fn wrong_arguments_are_refused_with_what_is_wrong() {
        assert_eq!(refused("{}"), "system.run: `command` must be a text with the command to run");
        assert_eq!(refused(r#"{"command":"  "}"#), "system.run: `command` must be a text with the command to run");
        assert_eq!(
            refused(r#"{"command":"ls","timeout":601}"#),
            "system.run: `timeout` must be a number of seconds from 1 to 600"
        );
        assert_eq!(refused(r#"{"command":"ls","dir":7}"#), "system.run: `dir` must be the name of a folder");
        assert!(refused("{").starts_with("system.run: the arguments are no JSON: "));
    }

    #[test]
    fn the_definition_shows_the_default_time_of_this_instance() {
        let definition = definition(&Settings { default_timeout: 7, max_output: 1 });
        let parameters: Value = serde_json::from_str(&definition.parameters).unwrap();
        assert_eq!(parameters["properties"]["timeout"]["default"], 7);
        assert_eq!(parameters["required"], json!(["command"]));
        assert_eq!(definition.hints, ToolHints::DESTRUCTIVE | ToolHints::OPEN_WORLD);
    }
}
