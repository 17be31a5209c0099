//! How a text is written inside URLs, forms, JSON and HTML: for putting a secret in, and for finding it again.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};

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
    /// What has a meaning in HTML, too: as Go does it.
    Html,
    /// Both, quotation marks and `+` as well: as .NET does it.
    Strict,
    /// Every character.
    All,
}

impl JsonEscape {
    /// All of them.
    const EACH: [Self; 5] = [Self::Needed, Self::Ascii, Self::Html, Self::Strict, Self::All];
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
        let html = matches!(character, '<' | '>' | '&' | '\u{2028}' | '\u{2029}');
        let long = match how {
            JsonEscape::All => true,
            JsonEscape::Html => html || (short.is_none() && u32::from(character) < 0x20),
            JsonEscape::Strict => {
                html || matches!(character, '"' | '\'' | '+' | '`')
                    || !character.is_ascii()
                    || (short.is_none() && character.is_control())
            }
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

/// The text of an HTML or XML document, and how it writes quotation marks and apostrophes.
pub fn html(text: &str, quote: &str, apostrophe: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str(quote),
            '\'' => out.push_str(apostrophe),
            other => out.push(other),
        }
    }
    out
}

/// How characters of an HTML document are numbered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Numbers {
    /// `&#38;`, of what has to be escaped.
    Decimal,
    /// `&#x26;`, of what has to be escaped.
    Hex,
    /// `&#x26;`, of everything but letters and digits.
    All,
}

/// As [`html`], with numbers in the place of names.
pub fn html_numbers(text: &str, how: Numbers, upper: bool) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        let code = u32::from(character);
        let escaped = match how {
            Numbers::All => !character.is_ascii_alphanumeric(),
            Numbers::Decimal | Numbers::Hex => matches!(character, '&' | '<' | '>' | '"' | '\''),
        };
        // Writing to a String cannot fail.
        let _ = match how {
            _ if !escaped => write!(out, "{character}"),
            Numbers::Decimal => write!(out, "&#{code};"),
            Numbers::Hex | Numbers::All if upper => write!(out, "&#x{code:X};"),
            Numbers::Hex | Numbers::All => write!(out, "&#x{code:x};"),
        };
    }
    out
}

/// The ways in which services write a value back, and what is often written twice: an address in an address, JSON in JSON,
/// base64 in either.
pub fn all(value: &str) -> BTreeSet<Vec<u8>> {
    let raw = value.as_bytes();
    let mut texts = BTreeSet::from([value.to_string(), hex::encode(raw), hex::encode_upper(raw)]);
    let places = [UNRESERVED, PATH, COMPONENT, URI, NOTHING];
    for upper in [true, false] {
        let mut escaped: Vec<String> = places.iter().map(|keep| percent(value, keep, upper)).collect();
        escaped.push(form(value, upper));
        texts.extend(escaped.iter().map(|once| percent(once, UNRESERVED, upper)));
        texts.extend(escaped);
        for how in JsonEscape::EACH {
            let once = json(value, how, upper);
            texts.insert(json(&once, JsonEscape::Needed, upper));
            texts.insert(once);
        }
        for how in [Numbers::Decimal, Numbers::Hex, Numbers::All] {
            texts.insert(html_numbers(value, how, upper));
        }
    }
    for quote in ["&quot;", "&#34;", "\""] {
        for apostrophe in ["&#39;", "&#x27;", "&#039;", "&apos;", "'"] {
            texts.insert(html(value, quote, apostrophe));
        }
    }
    base64(raw, &mut texts);
    // Some encoders of JSON escape the slash too.
    let slashed: Vec<String> =
        texts.iter().filter(|text| text.contains('/')).map(|text| text.replace('/', "\\/")).collect();
    texts.into_iter().chain(slashed).map(String::into_bytes).collect()
}

/// In base64, at each of the three places where a value can begin, as it is and within an address.
fn base64(raw: &[u8], into: &mut BTreeSet<String>) {
    for before in 0..3_usize {
        // Only the characters that hold bits of the secret. The first one that it shares with other bytes says next to
        // nothing of it; the last one is cut as well, whatever the bytes behind the secret make of it.
        let bits = (before + raw.len()) * 8;
        let first = (before * 8).div_ceil(6);
        let (alone, touched) = ((bits / 6).saturating_sub(first), bits.div_ceil(6).saturating_sub(first));
        // So many bits of the last one are those of the next byte: none, two or four.
        let others = (6 - bits % 6) % 6;
        for next in (0..=u8::MAX).step_by(256 >> others) {
            let bytes = shifted(raw, before, next);
            for text in [STANDARD_NO_PAD.encode(&bytes), URL_SAFE_NO_PAD.encode(&bytes)] {
                for count in [alone, touched] {
                    let inner: String = text.chars().skip(first).take(count).collect();
                    for upper in [true, false] {
                        into.insert(percent(&inner, UNRESERVED, upper));
                    }
                    into.insert(inner);
                }
            }
        }
    }
}

/// The secret behind `before` other bytes, and one that follows.
fn shifted(raw: &[u8], before: usize, next: u8) -> Vec<u8> {
    let mut bytes = vec![0; before];
    bytes.extend(raw);
    bytes.push(next);
    bytes
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
        assert_eq!(json("<\"+ü\u{1}", JsonEscape::Html, false), "\\u003c\\\"+ü\\u0001");
        assert_eq!(json("<\"+ü\\\n", JsonEscape::Strict, true), "\\u003C\\u0022\\u002B\\u00FC\\\\\\n");
        assert_eq!(html("a&<\"'/", "&quot;", "&#39;"), "a&amp;&lt;&quot;&#39;/");
        assert_eq!(html_numbers("a&'/", Numbers::Decimal, false), "a&#38;&#39;/");
        assert_eq!(html_numbers("a</", Numbers::Hex, true), "a&#x3C;/");
        assert_eq!(html_numbers("a</", Numbers::All, false), "a&#x3c;&#x2f;");
    }
}
