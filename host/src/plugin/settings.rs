//! A person's settings against the JSON Schema of a plugin: defaults filled in, and each key that is wrong named.

use jsonschema::error::ValidationErrorKind;
use jsonschema::{PatternOptions, Validator};
use serde_json::{Map, Value};

/// Faults that a person is told of at once.
const FAULTS_MOST: usize = 10;
/// Characters of a value that are shown.
const SHOWN_MOST: usize = 60;
/// Words of a schema that say nothing that defaults could break.
const PLAIN: [&str; 8] =
    ["$schema", "$id", "title", "description", "type", "properties", "additionalProperties", "examples"];

/// A schema comes from a stranger: nothing is fetched for it, and its patterns run in linear time.
pub fn validator(schema: &Value) -> Result<Validator, String> {
    let options = jsonschema::options().offline().with_pattern_options(PatternOptions::regex());
    options.build(schema).map_err(|error| error.to_string())
}

/// The settings with the schema's defaults, or everything that is wrong with them, a sentence for each key.
pub fn checked(
    plugin: &str,
    schema: Option<&Value>,
    given: Map<String, Value>,
) -> Result<Map<String, Value>, Vec<String>> {
    let mut settings = given;
    let Some(schema) = schema else {
        return if settings.is_empty() {
            Ok(settings)
        } else {
            Err(settings.keys().map(|key| format!("`settings.{key}`: {plugin} has no settings")).collect())
        };
    };
    let none = Map::new();
    let known = schema.get("properties").and_then(Value::as_object).unwrap_or(&none);
    let mut faults: Vec<String> = settings
        .keys()
        .filter(|key| !known.contains_key(*key))
        .map(|key| unknown(&format!("settings.{key}"), key, known))
        .collect();
    settings.retain(|key, _| known.contains_key(key));
    let own = !settings.is_empty();
    for (key, property) in known {
        if let Some(default) = property.get("default") {
            settings.entry(key).or_insert_with(|| default.clone());
        }
    }
    // What a person did not write cannot be wrong; and compiling the schema takes longer than all else here.
    let plain = schema.as_object().is_some_and(|schema| schema.keys().all(|word| PLAIN.contains(&word.as_str())));
    if !own && plain {
        return if faults.is_empty() { Ok(settings) } else { Err(faults) };
    }
    let value = Value::Object(settings);
    let validator = validator(schema).map_err(|why| vec![format!("the plugin's own schema is broken: {why}")])?;
    faults.extend(validator.iter_errors(&value).take(FAULTS_MOST).map(|error| {
        let path = error.instance_path().to_string();
        fault(&path, error.kind(), schema, &value, &error.to_string())
    }));
    match value {
        Value::Object(settings) if faults.is_empty() => Ok(settings),
        _ => Err(faults),
    }
}

fn unknown(place: &str, key: &str, known: &Map<String, Value>) -> String {
    let nearest = known
        .keys()
        .map(|name| (strsim::jaro_winkler(name, key), name))
        .max_by(|(one, _), (other, _)| one.total_cmp(other));
    let hint = match nearest {
        Some((alike, name)) if alike > 0.75 => format!("; did you mean `{name}`?"),
        Some(_) => format!("; there are: {}", known.keys().cloned().collect::<Vec<_>>().join(", ")),
        None => String::new(),
    };
    format!("`{place}` is not known{hint}")
}

/// One sentence about one place, in the words of the configuration.
fn fault(path: &str, kind: &ValidationErrorKind, schema: &Value, settings: &Value, words: &str) -> String {
    let dotted = path.replace('/', ".").replace("~1", "/").replace("~0", "~");
    let place = format!("settings{dotted}");
    let found = || settings.pointer(path).map_or_else(String::new, short);
    match kind {
        ValidationErrorKind::Required { property } => {
            let name = property.as_str().map_or_else(|| property.to_string(), str::to_string);
            let means = described(schema, path, &name);
            format!("`{place}.{name}` is missing{means}")
        }
        ValidationErrorKind::Enum { options } => format!("`{place}` is {}: {} are allowed", found(), listed(options)),
        ValidationErrorKind::Constant { expected_value } => {
            format!("`{place}` is {}: only {} is allowed", found(), short(expected_value))
        }
        ValidationErrorKind::Minimum { limit } => format!("`{place}` is {}: at least {limit} is allowed", found()),
        ValidationErrorKind::Maximum { limit } => format!("`{place}` is {}: at most {limit} is allowed", found()),
        ValidationErrorKind::AdditionalProperties { unexpected } => {
            let known = at(schema, path).and_then(|schema| schema.get("properties")).and_then(Value::as_object);
            let none = Map::new();
            let each = unexpected.iter().map(|key| unknown(&format!("{place}.{key}"), key, known.unwrap_or(&none)));
            each.collect::<Vec<_>>().join("; ")
        }
        _ => format!("`{place}`: {}", cut(words)),
    }
}

/// What the schema says of a key, in brackets.
fn described(schema: &Value, path: &str, name: &str) -> String {
    let property = at(schema, path).and_then(|schema| schema.get("properties")).and_then(|all| all.get(name));
    let words = property.and_then(|property| property.get("description")).and_then(Value::as_str);
    words.map_or_else(String::new, |words| format!(" ({})", cut(words)))
}

/// The part of a schema that speaks of a place, as far as `properties` lead there.
fn at<'s>(schema: &'s Value, path: &str) -> Option<&'s Value> {
    path.split('/').skip(1).try_fold(schema, |schema, key| schema.get("properties")?.get(key))
}

fn listed(options: &Value) -> String {
    let all = options.as_array().map(|all| all.iter().map(short).collect::<Vec<_>>());
    all.unwrap_or_default().join(", ")
}

fn short(value: &Value) -> String {
    cut(&value.to_string())
}

fn cut(text: &str) -> String {
    let plain = text.chars().map(|c| if c.is_control() { ' ' } else { c });
    let mut line: String = plain.take(SHOWN_MOST * 3).collect();
    if text.chars().count() > SHOWN_MOST * 3 {
        line.push('…');
    }
    line
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn schema() -> Value {
        json!({
            "type": "object",
            "properties": {
                "unit": {"type": "string", "enum": ["c", "f"], "default": "c"},
                "base-url": {"type": "string", "description": "Where the service is"},
                "days": {"type": "integer", "minimum": 1, "maximum": 14},
                "colours": {"type": "object", "properties": {"warm": {"type": "string"}}, "additionalProperties": false}
            }
        })
    }

    fn faults(given: Value) -> Vec<String> {
        let Value::Object(given) = given else { panic!("{given}") };
        checked("tool-weather", Some(&schema()), given).unwrap_err()
    }

    #[test]
    fn defaults_are_filled_in_and_what_fits_is_kept() {
        let Value::Object(given) = json!({"days": 3}) else { panic!() };
        let all = checked("tool-weather", Some(&schema()), given).unwrap();
        assert_eq!(Value::Object(all), json!({"days": 3, "unit": "c"}));
        let all = checked("tool-weather", Some(&schema()), Map::new()).unwrap();
        assert_eq!(Value::Object(all), json!({"unit": "c"}));
    }

    #[test]
    fn every_key_that_is_wrong_is_named_with_what_is_allowed() {
        let wrong = faults(json!({
            "unit": "k", "days": 20, "base-url": 7, "base-ulr": "x", "colours": {"wram": "red"}
        }));
        assert_eq!(wrong.len(), 5, "{wrong:#?}");
        for words in [
            "`settings.base-ulr` is not known; did you mean `base-url`?",
            r#"`settings.unit` is "k": "c", "f" are allowed"#,
            "`settings.days` is 20: at most 14 is allowed",
            "`settings.colours.wram` is not known; did you mean `warm`?",
        ] {
            assert!(wrong.iter().any(|fault| fault == words), "{words}: {wrong:#?}");
        }
        assert!(wrong.iter().any(|fault| fault.starts_with("`settings.base-url`: 7 is not of type")), "{wrong:#?}");
    }

    #[test]
    fn what_is_missing_is_named_with_its_meaning() {
        let mut schema = schema();
        schema["required"] = json!(["base-url"]);
        let wrong = checked("tool-weather", Some(&schema), Map::new()).unwrap_err();
        assert_eq!(wrong, ["`settings.base-url` is missing (Where the service is)"]);
    }

    #[test]
    fn a_plugin_without_settings_takes_none() {
        let Value::Object(given) = json!({"unit": "c"}) else { panic!() };
        let wrong = checked("tool-weather", None, given).unwrap_err();
        assert_eq!(wrong, ["`settings.unit`: tool-weather has no settings"]);
        assert_eq!(checked("tool-weather", None, Map::new()), Ok(Map::new()));
    }
}
