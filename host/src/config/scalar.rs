//! Single values as a person writes them: durations (`"2m"`), sizes (`"64MB"`), paths with `~`, yes and no.
//!
//! The same parsers serve the file, the environment and the command line; in the latter two everything is text, so
//! every parser also takes the text form of its value.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;

/// A duration: `"90s"`, `"2m"`, `"1h30m"`, `"500ms"`, or a number of seconds.
pub fn duration(value: &Value) -> Result<Duration, String> {
    let wrong = || format!("{value} is not a duration; write it like \"90s\", \"2m\" or \"1h30m\"");
    if let Some(seconds) = value.as_u64() {
        return Ok(Duration::from_secs(seconds));
    }
    let text = value.as_str().ok_or_else(wrong)?.trim();
    if let Ok(seconds) = text.parse::<u64>() {
        return Ok(Duration::from_secs(seconds));
    }
    let mut total = Duration::ZERO;
    let mut rest = text;
    if rest.is_empty() {
        return Err(wrong());
    }
    while !rest.is_empty() {
        let (number, after) = split_number(rest);
        let (unit, after) = split_unit(after);
        let number: u64 = number.parse().map_err(|_| wrong())?;
        let milliseconds = match unit {
            "ms" => 1,
            "s" => 1_000,
            "m" | "min" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            _ => return Err(wrong()),
        };
        let part = number.checked_mul(milliseconds).map(Duration::from_millis).ok_or_else(wrong)?;
        total = total.checked_add(part).ok_or_else(wrong)?;
        rest = after.trim_start();
    }
    Ok(total)
}

/// A duration in the words of [`duration`], in its largest unit that needs no fraction.
pub fn show_duration(duration: Duration) -> String {
    let milliseconds = duration.as_millis();
    for (unit, size) in [("h", 3_600_000), ("m", 60_000), ("s", 1_000)] {
        if milliseconds >= size && milliseconds.is_multiple_of(size) {
            return format!("{}{unit}", milliseconds / size);
        }
    }
    format!("{milliseconds}ms")
}

/// A size in bytes: `"64MB"`, `"1GB"`, `"512KB"` or a number. The units are powers of 1024, as memory is counted.
pub fn size(value: &Value) -> Result<u64, String> {
    let wrong = || format!("{value} is not a size; write it like \"64MB\", \"512KB\" or a number of bytes");
    if let Some(bytes) = value.as_u64() {
        return Ok(bytes);
    }
    let text = value.as_str().ok_or_else(wrong)?.trim();
    let (number, unit) = split_number(text);
    let number: u64 = number.parse().map_err(|_| wrong())?;
    let scale: u64 = match unit.trim().to_ascii_uppercase().as_str() {
        "" | "B" => 1,
        "K" | "KB" | "KIB" => 1 << 10,
        "M" | "MB" | "MIB" => 1 << 20,
        "G" | "GB" | "GIB" => 1 << 30,
        _ => return Err(wrong()),
    };
    number.checked_mul(scale).ok_or_else(wrong)
}

/// A size in the words of [`size`].
pub fn show_size(bytes: u64) -> String {
    for (unit, scale) in [("GB", 1_u64 << 30), ("MB", 1 << 20), ("KB", 1 << 10)] {
        if bytes >= scale && bytes.is_multiple_of(scale) {
            return format!("{}{unit}", bytes / scale);
        }
    }
    bytes.to_string()
}

/// Yes or no.
pub fn boolean(value: &Value) -> Result<bool, String> {
    match value {
        Value::Bool(flag) => Ok(*flag),
        Value::String(text) => match text.trim().to_ascii_lowercase().as_str() {
            "true" | "yes" | "on" | "1" => Ok(true),
            "false" | "no" | "off" | "0" => Ok(false),
            _ => Err(format!("{value} is neither true nor false")),
        },
        _ => Err(format!("{value} is neither true nor false")),
    }
}

/// A whole number.
pub fn count(value: &Value) -> Result<u64, String> {
    let number = match value {
        Value::String(text) => text.trim().parse().ok(),
        other => other.as_u64(),
    };
    number.ok_or_else(|| format!("{value} is not a whole number"))
}

/// Text.
pub fn text(value: &Value) -> Result<String, String> {
    value.as_str().map(str::to_owned).ok_or_else(|| format!("{value} is not a text; put it in quotes"))
}

/// Several texts: an array, or one text with commas.
pub fn texts(value: &Value) -> Result<Vec<String>, String> {
    match value {
        Value::Array(items) => items.iter().map(text).collect(),
        Value::String(items) => {
            Ok(items.split(',').map(str::trim).filter(|item| !item.is_empty()).map(str::to_owned).collect())
        }
        _ => Err(format!("{value} is not a list; write it like [\"a\", \"b\"]")),
    }
}

/// A path: `~` is the person's folder, a relative one begins at `base`.
pub fn path(value: &Value, user_folder: &Path, base: &Path) -> Result<PathBuf, String> {
    let text = text(value)?;
    if text.trim().is_empty() {
        return Err("an empty path".to_owned());
    }
    if text == "~" {
        return Ok(user_folder.to_owned());
    }
    Ok(match text.strip_prefix("~/") {
        Some(rest) => user_folder.join(rest),
        None => base.join(text),
    })
}

fn split_number(text: &str) -> (&str, &str) {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    text.split_at(end)
}

fn split_unit(text: &str) -> (&str, &str) {
    let end = text.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(text.len());
    text.split_at(end)
}
