//! What may stand on a terminal: text without control characters, and colour where the person wants it.

use openpista_plugin::question::details;

/// Cells of arguments shown beside a tool's name.
const ARGUMENTS: usize = 120;

/// How things look.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Style {
    /// Use the sixteen colours of every terminal.
    pub color: bool,
}

impl Style {
    /// Beside the main thing.
    pub fn dim(self, text: &str) -> String {
        self.paint("2", text)
    }

    /// Wants an answer.
    pub fn question(self, text: &str) -> String {
        self.paint("33", text)
    }

    /// Went wrong.
    pub fn alarm(self, text: &str) -> String {
        self.paint("31", text)
    }

    /// Where the person writes, marked as such.
    pub fn prompt(self) -> String {
        marked(&(self.paint("1;36", ">") + " "))
    }

    /// Where the person answers; as wide, so that one can take the place of the other while a line is written.
    pub fn answer(self) -> String {
        marked(&(self.paint("1;33", "?") + " "))
    }

    /// The name of something that wants an answer.
    pub fn strong(self, text: &str) -> String {
        self.paint("1", text)
    }

    fn paint(self, code: &str, text: &str) -> String {
        if self.color && !text.is_empty() { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_string() }
    }
}

/// What comes begins a line, wherever the cursor is.
pub const FRESH: &str = "\x1b]133;L\x1b\\";

fn marked(prompt: &str) -> String {
    format!("\x1b]133;A\x1b\\{prompt}\x1b]133;B\x1b\\")
}

/// Without what steers a terminal: a model or a file may hold escape sequences that retitle the window, rewrite what
/// stands above, or fill the clipboard.
pub fn harmless(text: &str) -> String {
    text.chars().filter(|c| is_harmless(*c)).collect()
}

/// A character that steers nothing.
pub fn is_harmless(character: char) -> bool {
    !character.is_control() || matches!(character, '\n' | '\t')
}

/// On one line, at most `cap` characters.
pub fn one_line(text: &str, cap: usize) -> String {
    let mut line = String::new();
    for (at, character) in harmless(text).split_whitespace().collect::<Vec<_>>().join(" ").chars().enumerate() {
        if at + 1 >= cap {
            line.push('…');
            break;
        }
        line.push(character);
    }
    line
}

/// The arguments of a tool call for the eye.
pub fn arguments(json: &str) -> String {
    one_line(&details(json), ARGUMENTS)
}

/// A number of bytes for a person.
pub fn size(bytes: usize) -> String {
    match bytes {
        0..1024 => format!("{bytes} bytes"),
        1024..1_048_576 => format!("{} KiB", bytes.div_ceil(1024)),
        _ => format!("{:.1} MiB", bytes as f64 / 1_048_576.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escape_sequences_lose_their_power() {
        assert_eq!(harmless("a\x1b]0;title\x07b\u{9b}2Jc\r\nd\te"), "a]0;titleb2Jc\nd\te");
    }

    #[test]
    fn arguments_are_shown_without_json() {
        assert_eq!(arguments(r#"{"command":"ls -la\n  | wc"}"#), "ls -la | wc");
        assert_eq!(arguments(r#"{"a":"x","b":2}"#), "a: x b: 2");
        assert_eq!(arguments("{}"), "");
        assert_eq!(arguments("{broken"), "{broken");
        assert_eq!(arguments(&format!(r#"{{"a":"{}"}}"#, "é".repeat(500))).chars().count(), ARGUMENTS);
    }

    #[test]
    fn colour_is_only_there_when_wanted() {
        assert_eq!(Style { color: false }.alarm("no"), "no");
        assert_eq!(Style { color: true }.alarm("no"), "\x1b[31mno\x1b[0m");
        assert_eq!(Style { color: true }.dim(""), "");
    }

    #[test]
    fn sizes_are_for_people() {
        assert_eq!([12, 2048, 2_621_440].map(size), ["12 bytes", "2 KiB", "2.5 MiB"].map(String::from));
    }
}
