//! How a text is written inside URLs, forms and JSON: for putting a secret in, and for finding it again.

use std::fmt::Write as _;

/// Characters, besides letters and digits, that a place keeps as they are.
pub type Kept = &'static [u8];

/// RFC 3986's unreserved ones: kept everywhere.
pub const UNRESERVED: Kept = b"-._~";
/// In a path, where `:` and `@` stay.
pub const PATH: Kept = b"-._~:@";
/// As `encodeURIComponent` does it.
pub const COMPONENT: Kept = b"-._~!*'()";
/// As `encodeURI` does it.
pub const URI: Kept = b"-._~!*'();/?:@&=+$,#";
/// Every byte is escaped, letters too.
pub const NOTHING: Kept = b"";

fn escape(out: &mut String, byte: u8, upper: bool) {
    // Writing to a String cannot fail.
    let _ = if upper { write!(out, "%{byte:02X}") } else { write!(out, "%{byte:02x}") };
}

/// Percent-encoded. With nothing kept, letters and digits are escaped as well.
pub fn percent(text: &str, keep: Kept, upper: bool) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if keep.contains(&byte) || (!keep.is_empty() && byte.is_ascii_alphanumeric()) {
            out.push(char::from(byte));
        } else {
            escape(&mut out, byte, upper);
        }
    }
    out
}

/// `application/x-www-form-urlencoded`.
pub fn form(text: &str, upper: bool) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b' ' => out.push('+'),
            b'*' | b'-' | b'.' | b'_' => out.push(char::from(byte)),
            _ if byte.is_ascii_alphanumeric() => out.push(char::from(byte)),
            _ => escape(&mut out, byte, upper),
        }
    }
    out
}

/// How much of a JSON string is escaped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JsonEscape {
    /// What has to be.
    Needed,
    /// Whatever is not ASCII, too.
    Ascii,
    /// Every character.
    All,
}

/// The inside of a JSON string.
pub fn json(text: &str, how: JsonEscape, upper: bool) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        let short = match character {
            '"' => Some("\\\""),
            '\\' => Some("\\\\"),
            '\n' => Some("\\n"),
            '\r' => Some("\\r"),
            '\t' => Some("\\t"),
            '\u{8}' => Some("\\b"),
            '\u{c}' => Some("\\f"),
            _ => None,
        };
        let long = match how {
            JsonEscape::All => true,
            JsonEscape::Ascii => !character.is_ascii() || (short.is_none() && character.is_control()),
            JsonEscape::Needed => short.is_none() && u32::from(character) < 0x20,
        };
        match short {
            _ if long => {
                for unit in character.encode_utf16(&mut [0; 2]) {
                    // Writing to a String cannot fail.
                    let _ = if upper { write!(out, "\\u{unit:04X}") } else { write!(out, "\\u{unit:04x}") };
                }
            }
            Some(short) => out.push_str(short),
            None => out.push(character),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_place_has_its_own_spelling() {
        let text = "a b:@/ü\"\u{1}";
        assert_eq!(percent(text, UNRESERVED, true), "a%20b%3A%40%2F%C3%BC%22%01");
        assert_eq!(percent(text, PATH, false), "a%20b:@%2f%c3%bc%22%01");
        assert_eq!(percent("ab", NOTHING, true), "%61%62");
        assert_eq!(form(text, true), "a+b%3A%40%2F%C3%BC%22%01");
        assert_eq!(json(text, JsonEscape::Needed, false), "a b:@/ü\\\"\\u0001");
        assert_eq!(json("ü😀\"", JsonEscape::Ascii, true), "\\u00FC\\uD83D\\uDE00\\\"");
        assert_eq!(json("ab", JsonEscape::All, false), "\\u0061\\u0062");
    }
}
