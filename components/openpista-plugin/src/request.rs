//! Pieces of requests, and of the settings that shape them, that the APIs of models have in common.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

/// Adds the person's options to a request's body. Those that are no JSON or of which `allowed` says no are left out and
/// returned, for the log.
pub fn options(
    body: &mut Map<String, Value>,
    options: &[(String, String)],
    allowed: impl Fn(&str) -> bool,
) -> Vec<String> {
    let mut ignored = Vec::new();
    for (name, text) in options {
        match serde_json::from_str::<Value>(text) {
            Ok(value) if allowed(name) => {
                body.insert(name.clone(), value);
            }
            _ => ignored.push(name.clone()),
        }
    }
    ignored
}

/// The further headers that settings give, in lower case; those that are the provider's own are passed over.
pub fn headers(settings: &Value, own: &[&str]) -> Vec<(String, String)> {
    let given = settings.get("headers").and_then(Value::as_object).into_iter().flatten();
    let named = given.filter_map(|(name, value)| Some((name.to_lowercase(), value.as_str()?.to_string())));
    named.filter(|(name, _)| !own.contains(&name.as_str())).collect()
}

/// The JSON Schema of a provider's settings: its own properties, and `headers` and `models`, which all have.
pub fn settings_schema(own: Value) -> Value {
    let mut properties = own;
    if let Some(properties) = properties.as_object_mut() {
        properties.insert(
            "headers".into(),
            json!({
                "type": "object", "additionalProperties": {"type": "string"}, "default": {},
                "description": "Further headers of each request; no secrets."
            }),
        );
        properties.insert(
            "models".into(),
            json!({
                "type": "array", "items": {"type": "string"}, "default": [],
                "description": "Ids of the models on offer, for a service that does not list its models."
            }),
        );
    }
    json!({"type": "object", "additionalProperties": false, "properties": properties})
}

/// The texts of a list in the settings.
pub fn texts(settings: &Value, key: &str) -> Vec<String> {
    let items = settings.get(key).and_then(Value::as_array).into_iter().flatten();
    items.filter_map(|item| item.as_str().map(str::to_string)).collect()
}

/// A tool's schema; services refuse one that is no object.
pub fn schema(text: &str) -> Value {
    let schema = serde_json::from_str(text).ok().filter(Value::is_object);
    schema.unwrap_or_else(|| json!({"type": "object", "properties": {}}))
}

/// The arguments of a call as the object that they should be. Those that the model broke would make services refuse the
/// whole history; the result that follows says what was wrong with them.
pub fn object(arguments: &str) -> Value {
    serde_json::from_str(arguments).ok().filter(Value::is_object).unwrap_or_else(|| json!({}))
}

/// As [`object`], for services that take the arguments as a text: what the model wrote, to the letter.
pub fn object_text(arguments: &str) -> String {
    match serde_json::from_str::<Value>(arguments) {
        Ok(Value::Object(_)) => arguments.into(),
        _ => "{}".into(),
    }
}

/// A file's bytes in base64.
pub fn base64(data: &[u8]) -> String {
    STANDARD.encode(data)
}

/// The bytes that base64 stands for; none if it is not base64.
pub fn from_base64(text: &str) -> Option<Vec<u8>> {
    STANDARD.decode(text).ok()
}

/// A file as an URL (RFC 2397).
pub fn data_url(mime: &str, data: &[u8]) -> String {
    format!("data:{mime};base64,{}", base64(data))
}

/// What stands in the place of a file that the API does not take. `name` if it has one.
pub fn left_out(name: Option<&str>, mime: &str) -> String {
    format!("[{}: left out, for this API takes no {mime}]", name.unwrap_or(mime))
}

/// What a call without a text gave back, for services that want one; a failure says so where the API has no field for it.
pub fn outcome_text(text: &str, failed: bool) -> String {
    match (failed, text.is_empty()) {
        (true, _) => format!("[The tool failed.]\n{text}").trim_end().into(),
        (false, true) => "[The tool returned nothing.]".into(),
        (false, false) => text.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_taken_over_unless_they_are_broken_or_not_allowed() {
        let mut body = Map::new();
        let given = [("a", "0.5"), ("b", "{"), ("own", "1")].map(|(name, value)| (name.to_string(), value.to_string()));
        assert_eq!(options(&mut body, &given, |name| name != "own"), ["b", "own"]);
        assert_eq!(Value::Object(body), json!({"a": 0.5}));
    }

    #[test]
    fn settings_give_headers_and_lists() {
        let settings = json!({"headers": {"X-A": "1", "Authorization": "no"}, "models": ["m", 7]});
        assert_eq!(headers(&settings, &["authorization"]), [("x-a".to_string(), "1".to_string())]);
        assert_eq!((texts(&settings, "models"), texts(&settings, "none")), (vec!["m".to_string()], vec![]));
        let schema = settings_schema(json!({"base-url": {"type": "string"}}));
        let names: Vec<&String> = schema["properties"].as_object().unwrap().keys().collect();
        assert_eq!(names, ["base-url", "headers", "models"]);
    }

    #[test]
    fn what_should_be_an_object_is_one() {
        assert_eq!([object(r#"{"a":1}"#), object("[1]"), object("{a")], [json!({"a": 1}), json!({}), json!({})]);
        assert_eq!([object_text(r#"{ "a":1 }"#), object_text("7")], [r#"{ "a":1 }"#, "{}"]);
        assert_eq!(
            [schema(r#"{"type":"object"}"#), schema("x")],
            [json!({"type": "object"}), json!({"type": "object", "properties": {}})]
        );
    }

    #[test]
    fn files_are_written_in_base64_or_named() {
        assert_eq!(data_url("image/png", &[1, 2, 3]), "data:image/png;base64,AQID");
        assert_eq!(left_out(Some("a.ogg"), "audio/ogg"), "[a.ogg: left out, for this API takes no audio/ogg]");
        assert_eq!(left_out(None, "audio/ogg"), "[audio/ogg: left out, for this API takes no audio/ogg]");
    }

    #[test]
    fn an_outcome_always_says_something() {
        let said =
            [("x", false), ("x", true), ("", true), ("", false)].map(|(text, failed)| outcome_text(text, failed));
        assert_eq!(said, ["x", "[The tool failed.]\nx", "[The tool failed.]", "[The tool returned nothing.]"]);
    }
}
