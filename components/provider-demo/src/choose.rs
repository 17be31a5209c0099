//! Which of the offered tools fits, and its arguments, from nothing but names, descriptions and JSON Schemas.

use serde_json::{Map, Value, json};

use crate::contract::exports::openpista::plugin::provider::ToolDefinition;
use crate::intent::Intent;
use crate::words;

/// A tool and its arguments.
#[derive(Clone, Debug, PartialEq)]
pub struct Choice {
    /// As in the definition.
    pub name: String,
    /// An object.
    pub arguments: Value,
}

/// How many points of fit it takes to call a tool: a word of its name, or two of its description.
const ENOUGH: usize = 2;

/// The calls for a message: one for each intent, or one for the tool that fits best.
pub fn choose(message: &str, intents: &[Intent], tools: &[ToolDefinition]) -> Vec<Choice> {
    let mut choices = Vec::new();
    for intent in intents {
        let special = tools
            .iter()
            .filter(|tool| command_property(tool).is_none())
            .filter(|tool| name_stems(tool).iter().any(|stem| intent.because.contains(stem)))
            .find_map(|tool| Some(Choice { name: tool.name.clone(), arguments: arguments(tool, message)? }));
        let choice = special.or_else(|| {
            let tool = command_tool(message, tools)?;
            Some(Choice { name: tool.name.clone(), arguments: command_arguments(tool, &intent.command)? })
        });
        if let Some(choice) = choice.filter(|choice| !choices.contains(choice)) {
            choices.push(choice);
        }
    }
    if choices.is_empty() && intents.is_empty() {
        choices.extend(best(message, tools));
    }
    choices
}

/// The call of one tool that has to be made whatever the message says.
pub fn forced(message: &str, intents: &[Intent], tool: &ToolDefinition) -> Choice {
    let arguments = match command_property(tool) {
        Some(_) => command_arguments(tool, intents.first().map_or("pwd", |intent| &intent.command)),
        None => arguments(tool, message),
    };
    Choice { name: tool.name.clone(), arguments: arguments.unwrap_or_else(|| json!({})) }
}

/// The tool that takes shell commands; of several, the one that the message fits best, then the first.
fn command_tool<'a>(message: &str, tools: &'a [ToolDefinition]) -> Option<&'a ToolDefinition> {
    let mut found: Option<(&ToolDefinition, usize)> = None;
    for tool in tools.iter().filter(|tool| command_property(tool).is_some()) {
        let fit = fit(message, tool);
        if found.is_none_or(|(_, best)| fit > best) {
            found = Some((tool, fit));
        }
    }
    found.map(|(tool, _)| tool)
}

fn best(message: &str, tools: &[ToolDefinition]) -> Option<Choice> {
    let mut ranked: Vec<(usize, &ToolDefinition)> = tools
        .iter()
        .filter(|tool| command_property(tool).is_none())
        .map(|tool| (fit(message, tool), tool))
        .filter(|(fit, _)| *fit >= ENOUGH)
        .collect();
    // A stable sort: of equals the first offered.
    ranked.sort_by_key(|(fit, _)| std::cmp::Reverse(*fit));
    ranked
        .into_iter()
        .find_map(|(_, tool)| Some(Choice { name: tool.name.clone(), arguments: arguments(tool, message)? }))
}

/// Three points for each word of the name in the message, one for each of the description.
fn fit(message: &str, tool: &ToolDefinition) -> usize {
    let said = words::telling(message);
    let name = name_stems(tool);
    let mut description = words::telling(&tool.description);
    description.sort();
    description.dedup();
    let named = name.iter().filter(|stem| said.contains(stem)).count();
    let described = description.iter().filter(|stem| said.contains(stem) && !name.contains(stem)).count();
    named * 3 + described
}

fn name_stems(tool: &ToolDefinition) -> Vec<String> {
    words::telling(&tool.name)
}

fn schema(tool: &ToolDefinition) -> Value {
    serde_json::from_str(&tool.parameters).unwrap_or_default()
}

fn properties(schema: &Value) -> impl Iterator<Item = (&String, &Value)> {
    schema.get("properties").and_then(Value::as_object).into_iter().flatten()
}

fn required(schema: &Value) -> Vec<String> {
    let listed = schema.get("required").and_then(Value::as_array).into_iter().flatten();
    listed.filter_map(|name| name.as_str().map(str::to_string)).collect()
}

fn kind(schema: &Value) -> &str {
    match schema.get("type") {
        Some(Value::String(kind)) => kind,
        Some(Value::Array(kinds)) => {
            kinds.iter().filter_map(Value::as_str).find(|kind| *kind != "null").unwrap_or_default()
        }
        _ if schema.get("properties").is_some() => "object",
        _ => "string",
    }
}

/// The string property that wants a shell command, by its name or by what is said about it and the tool.
fn command_property(tool: &ToolDefinition) -> Option<String> {
    const NAMES: &[&str] = &["command", "cmd", "script", "bash", "shell", "commandline"];
    const SIGNS: &[&str] = &["shell", "bash", "command", "script"];
    let schema = schema(tool);
    let strings: Vec<(&String, &Value)> =
        properties(&schema).filter(|(_, property)| kind(property) == "string").collect();
    let named = strings.iter().find(|(name, _)| words::all(name).iter().any(|word| NAMES.contains(&word.as_str())));
    let wanted = required(&schema);
    let described = || {
        strings.iter().find(|(name, property)| {
            let text = property.get("description").and_then(Value::as_str).unwrap_or_default();
            let said = words::all(text);
            wanted.contains(name) && SIGNS.iter().any(|sign| said.iter().any(|word| word == sign))
        })
    };
    named.or_else(described).map(|(name, _)| (*name).clone())
}

fn command_arguments(tool: &ToolDefinition, command: &str) -> Option<Value> {
    let schema = schema(tool);
    let property = command_property(tool)?;
    let mut object = Map::new();
    for name in required(&schema).into_iter().filter(|name| *name != property) {
        let value = value(&name, schema.get("properties")?.get(&name)?, "", &[])?;
        object.insert(name, value);
    }
    object.insert(property, json!(command));
    Some(Value::Object(object))
}

/// All required properties, from the message; none if one of them can't be told.
fn arguments(tool: &ToolDefinition, message: &str) -> Option<Value> {
    object(&schema(tool), message, &words::telling(&format!("{} {}", tool.name, tool.description)))
}

fn object(schema: &Value, message: &str, known: &[String]) -> Option<Value> {
    let mut object = Map::new();
    for name in required(schema) {
        let property = schema.get("properties").and_then(|all| all.get(&name)).cloned().unwrap_or_default();
        object.insert(name.clone(), value(&name, &property, message, known)?);
    }
    Some(Value::Object(object))
}

/// One value. `known` are the stems that name the tool: they are no content.
fn value(name: &str, schema: &Value, message: &str, known: &[String]) -> Option<Value> {
    if let Some(fixed) = schema.get("const").or_else(|| schema.get("default")) {
        return Some(fixed.clone());
    }
    if let Some(choices) = schema.get("enum").and_then(Value::as_array) {
        let said = words::all(message);
        let named = choices.iter().find(|choice| {
            choice.as_str().is_some_and(|choice| words::all(choice).iter().all(|word| said.contains(word)))
        });
        return named.or_else(|| choices.first()).cloned();
    }
    match kind(schema) {
        "string" => string(name, message, known).map(Value::String),
        "integer" => number(message)
            .or_else(|| schema.get("minimum").and_then(Value::as_f64))
            .map(|number| json!(number.trunc() as i64)),
        "number" => number(message).or_else(|| schema.get("minimum").and_then(Value::as_f64)).map(|n| json!(n)),
        "boolean" => Some(json!(false)),
        "array" => Some(json!([value(name, schema.get("items").unwrap_or(&Value::Null), message, known)?])),
        "object" => object(schema, message, known),
        _ => None,
    }
}

fn number(message: &str) -> Option<f64> {
    message
        .split(|c: char| !(c.is_ascii_digit() || c == '.' || c == '-'))
        .find_map(|token| token.trim_end_matches('.').parse().ok())
}

fn string(name: &str, message: &str, known: &[String]) -> Option<String> {
    let stems = words::telling(name);
    let is = |word: &str| stems.contains(&words::stem(word));
    let mut tokens = message.split_whitespace().map(|token| token.trim_matches(|c: char| ",;!?\"'`“”()".contains(c)));
    if is("url") || is("uri") || is("link") {
        return tokens.find(|token| token.contains("://")).map(str::to_string);
    }
    if let Some(quoted) = quoted(message) {
        return Some(quoted);
    }
    if is("path") || is("file") || is("folder") || is("dir") {
        return tokens
            .map(|token| token.trim_end_matches('.'))
            .find(|token| token.contains('/') || token.contains('.'))
            .map(str::to_string);
    }
    if let Some((_, after)) = message.split_once(": ") {
        return Some(after.trim().to_string()).filter(|rest| !rest.is_empty());
    }
    // What is left when the words that name the tool or mean nothing are gone from the front.
    let mut rest: Vec<&str> = message.split_whitespace().collect();
    while let Some(first) = rest.first() {
        let empty =
            words::telling(first).iter().all(|stem| known.contains(stem) || stems.contains(stem) || stem == "say");
        if !empty {
            break;
        }
        rest.remove(0);
    }
    let text = rest.join(" ");
    let text = text.trim_end_matches(['?', '!', '.', ',']).trim();
    (!text.is_empty()).then(|| text.to_string())
}

fn quoted(message: &str) -> Option<String> {
    for (open, close) in [('"', '"'), ('“', '”'), ('`', '`'), ('«', '»')] {
        if let Some((_, rest)) = message.split_once(open)
            && let Some((inside, _)) = rest.split_once(close)
            && !inside.is_empty()
        {
            return Some(inside.to_string());
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::openpista::types::types::ToolHints;
    use crate::intent::intents;

    fn tool(name: &str, description: &str, parameters: Value) -> ToolDefinition {
        ToolDefinition {
            name: name.into(),
            description: description.into(),
            parameters: parameters.to_string(),
            hints: ToolHints::empty(),
        }
    }

    fn shell(name: &str) -> ToolDefinition {
        tool(
            name,
            "Runs a bash command",
            json!({"type": "object", "required": ["command"], "properties": {
                "command": {"type": "string"}, "timeout": {"type": "integer", "default": 30}}}),
        )
    }

    fn reverse() -> ToolDefinition {
        tool(
            "text.reverse",
            "Turns a text round",
            json!({"type": "object", "required": ["text"], "properties": {"text": {"type": "string"}}}),
        )
    }

    fn chosen(message: &str, tools: &[ToolDefinition]) -> Vec<(String, Value)> {
        choose(message, &intents(message), tools).into_iter().map(|c| (c.name, c.arguments)).collect()
    }

    #[test]
    fn a_command_goes_to_whatever_tool_takes_commands() {
        let renamed = tool(
            "acme_exec",
            "Does things",
            json!({"type": "object", "required": ["line", "why"], "properties": {
                "line": {"type": "string", "description": "What to give to the shell"},
                "why": {"type": "string", "enum": ["test", "work"]}}}),
        );
        for (tool, arguments) in [
            (shell("system.run"), json!({"command": "ls -la"})),
            (shell("Bash"), json!({"command": "ls -la"})),
            (renamed, json!({"why": "test", "line": "ls -la"})),
        ] {
            let name = tool.name.clone();
            assert_eq!(chosen("show me the files here", &[reverse(), tool]), [(name, arguments)]);
        }
    }

    #[test]
    fn two_wishes_are_two_calls() {
        assert_eq!(
            chosen("show the files and the memory", &[shell("system.run")]),
            [("system.run".into(), json!({"command": "ls -la"})), ("system.run".into(), json!({"command": "free -h"}))]
        );
    }

    #[test]
    fn an_unknown_tool_is_found_by_its_words_and_filled_from_its_schema() {
        let tools = [shell("system.run"), reverse()];
        assert_eq!(
            chosen("reverse the text hello world", &tools),
            [("text.reverse".into(), json!({"text": "hello world"}))]
        );
        assert_eq!(
            chosen("Please reverse \"abc def\" for me", &tools),
            [("text.reverse".into(), json!({"text": "abc def"}))]
        );
    }

    #[test]
    fn a_tool_made_for_it_is_better_than_a_command() {
        let clock = tool("time.now", "The time of day", json!({"type": "object", "properties": {}}));
        assert_eq!(chosen("what time is it?", &[shell("system.run"), clock]), [("time.now".into(), json!({}))]);
    }

    #[test]
    fn values_follow_the_schema() {
        let resize = tool(
            "image.resize",
            "Resizes an image file",
            json!({"type": "object", "required": ["path", "width", "format", "upscale", "tags"], "properties": {
                "path": {"type": "string"},
                "width": {"type": ["integer", "null"], "minimum": 1},
                "format": {"enum": ["jpeg", "png"]},
                "upscale": {"type": "boolean"},
                "tags": {"type": "array", "items": {"const": "demo"}}}}),
        );
        assert_eq!(
            chosen("resize the image in photos/cat.jpg to 300 as png", &[resize]),
            [(
                "image.resize".into(),
                json!({"path": "photos/cat.jpg", "width": 300, "format": "png", "upscale": false, "tags": ["demo"]})
            )]
        );
    }

    #[test]
    fn a_tool_whose_arguments_cannot_be_told_is_not_called() {
        let open = tool(
            "browser.open",
            "Opens a page",
            json!({"type": "object", "required": ["url"], "properties": {"url": {"type": "string"}}}),
        );
        assert_eq!(chosen("open the browser", std::slice::from_ref(&open)), []);
        assert_eq!(
            chosen("open https://example.org/x in the browser", &[open]),
            [("browser.open".into(), json!({"url": "https://example.org/x"}))]
        );
    }

    #[test]
    fn small_talk_calls_nothing() {
        let greet = tool(
            "hello.greet",
            "Greets a person by name",
            json!({"type": "object", "required": ["name"], "properties": {"name": {"type": "string"}}}),
        );
        assert_eq!(chosen("hello", &[greet.clone(), shell("system.run")]), []);
        assert_eq!(chosen("say hello to Ada", &[greet]), [("hello.greet".into(), json!({"name": "Ada"}))]);
    }
}
