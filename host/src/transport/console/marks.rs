//! What may reach a terminal of what a channel sends: text, colours, and the marks by which it says where its prompt is.
//!
//! The marks are those of semantic prompts (OSC 133), which many terminals know: `L` asks for a fresh line, `A` begins a
//! prompt and `B` ends it. All other control is taken out here, whatever the channel let through: a sequence in the
//! output of a command could retitle the window, rewrite what stands above or fill the clipboard.

/// A part of what was sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Part {
    /// Text with line ends and colours.
    Text(String),
    /// What comes begins a line.
    Fresh,
    /// Where the person writes from now on.
    Prompt(String),
}

/// Instead of a tabulator, of which nobody knows the width.
const TAB: &str = "    ";
/// A longer sequence is none that we know.
const SEQUENCE_MAX: usize = 64;

/// Reads a frame; nothing of it is kept for the next one.
pub(super) fn parts(frame: &str) -> Vec<Part> {
    let mut reader = Reader::default();
    let mut rest = frame.chars();
    while let Some(character) = rest.next() {
        match character {
            '\n' => reader.text.push('\n'),
            '\t' => reader.text.push_str(TAB),
            '\x1b' => {
                let (kind, after) = sequence(rest.as_str());
                match kind {
                    Sequence::Colour(codes) => reader.text.push_str(&format!("\x1b[{codes}m")),
                    Sequence::Mark(mark) => reader.mark(mark),
                    Sequence::Other => {}
                }
                rest = after.chars();
            }
            character if character.is_control() => {}
            character => reader.text.push(character),
        }
    }
    reader.flush();
    reader.parts
}

/// Text without colours.
pub(super) fn plain(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text.chars();
    while let Some(character) = rest.next() {
        if character == '\x1b' {
            rest = sequence(rest.as_str()).1.chars();
        } else {
            plain.push(character);
        }
    }
    plain
}

#[derive(Default)]
struct Reader {
    parts: Vec<Part>,
    text: String,
    in_prompt: bool,
}

impl Reader {
    fn flush(&mut self) {
        let text = std::mem::take(&mut self.text);
        if std::mem::take(&mut self.in_prompt) {
            self.parts.push(Part::Prompt(text.replace('\n', " ")));
        } else if !text.is_empty() {
            self.parts.push(Part::Text(text));
        }
    }

    fn mark(&mut self, mark: char) {
        self.flush();
        match mark {
            'A' => self.in_prompt = true,
            'L' => self.parts.push(Part::Fresh),
            _ => {}
        }
    }
}

enum Sequence<'a> {
    Colour(&'a str),
    Mark(char),
    Other,
}

/// What stands behind an escape character, and the text after it.
fn sequence(text: &str) -> (Sequence<'_>, &str) {
    if let Some(body) = text.strip_prefix('[') {
        let codes = body.len() - body.trim_start_matches(|c: char| c.is_ascii_digit() || matches!(c, ';' | ':')).len();
        if let Some((codes, after)) = body.split_at_checked(codes)
            && codes.len() <= SEQUENCE_MAX
            && let Some(after) = after.strip_prefix('m')
        {
            return (Sequence::Colour(codes), after);
        }
        // Up to its last byte; what breaks off is text again.
        let end = body.find(|c: char| !(' '..='?').contains(&c));
        let after = end.and_then(|end| body.get(end..)).unwrap_or("");
        let last = after.chars().next().filter(|c| ('@'..='~').contains(c));
        return (Sequence::Other, after.get(last.map_or(0, char::len_utf8)..).unwrap_or(""));
    }
    if let Some(body) = text.strip_prefix([']', 'P', 'X', '^', '_']) {
        let Some(end) = body.find(['\x07', '\x1b', '\u{9c}', '\n']) else { return (Sequence::Other, body) };
        let (inner, after) = body.split_at_checked(end).unwrap_or((body, ""));
        let after = ["\x1b\\", "\x07", "\u{9c}"].iter().find_map(|end| after.strip_prefix(end)).unwrap_or(after);
        let mark = inner.strip_prefix("133;").filter(|_| text.starts_with(']')).and_then(|mark| mark.chars().next());
        return (mark.map_or(Sequence::Other, Sequence::Mark), after);
    }
    let mut after = text.chars();
    match after.next() {
        Some(' '..='~') => (Sequence::Other, after.as_str()),
        _ => (Sequence::Other, text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Part {
        Part::Text(text.into())
    }

    #[test]
    fn text_lines_and_colours_pass() {
        assert_eq!(parts("a\n\x1b[1;31mb\x1b[0m\tc"), [text("a\n\x1b[1;31mb\x1b[0m    c")]);
        assert_eq!(plain("\x1b[1;36m>\x1b[0m "), "> ");
        assert_eq!(parts(""), []);
    }

    #[test]
    fn marks_say_what_is_the_prompt() {
        let sent = "\x1b]133;L\x07done\n\x1b]133;A\x1b\\\x1b[36m>\x1b[0m \x1b]133;B\x1b\\";
        assert_eq!(parts(sent), [Part::Fresh, text("done\n"), Part::Prompt("\x1b[36m>\x1b[0m ".into())]);
        assert_eq!(parts("\x1b]133;A\x07one\ntwo"), [Part::Prompt("one two".into())]);
        assert_eq!(parts("\x1b]133;A\x07\x1b]133;B\x07x"), [Part::Prompt(String::new()), text("x")]);
    }

    #[test]
    fn nothing_else_steers_the_terminal() {
        for (sent, shown) in [
            ("a\x1b]0;title\x07b", "ab"),
            ("a\x1b]52;c;aGk=\x1b\\b", "ab"),
            ("a\x1b[2J\x1b[Hb", "ab"),
            ("a\x1b[?1049hb", "ab"),
            ("a\x1bPq#0\x1b\\b", "ab"),
            ("a\x1bcb\x1b7", "ab"),
            ("a\u{9b}2Jb\r\x08\x07", "a2Jb"),
            ("a\x1b[31", "a"),
            ("a\x1b[>4;1mb", "ab"),
            ("a\x1b[3ä", "aä"),
            ("a\x1b", "a"),
            ("a\x1b\nb", "a\nb"),
        ] {
            assert_eq!(parts(sent), [text(shown)], "{sent:?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn what_passes_has_no_other_control(sent in "[a\\x1b\\[\\]0-9;mPAL?\\x07\\\\ä\\n\\x9b]{0,60}") {
            for part in parts(&sent) {
                let (Part::Text(shown) | Part::Prompt(shown)) = part else { continue };
                proptest::prop_assert!(plain(&shown).chars().all(|c| !c.is_control() || c == '\n'), "{shown:?}");
            }
        }
    }
}
