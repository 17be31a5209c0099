//! Markdown for the eye, while it is being written.
//!
//! A terminal takes nothing back, and a reply comes in pieces: so this reads character by character, keeps what it needs
//! to know for the next piece in a few bits ([`Marks`], part of the receipt), and holds back what it cannot tell yet, such
//! as a star at the end of a piece. Emphasis ends with its line, so that a lone mark spoils one line only.

use crate::screen::is_harmless;

/// Where in the Markdown the text is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Marks {
    /// At the begin of a line.
    start: bool,
    fence: bool,
    heading: bool,
    quote: bool,
    bold: bool,
    italic: bool,
    code: bool,
}

/// Columns before the lines of a code block.
const INDENT: &str = "  ";

impl Marks {
    /// Before any text.
    pub const BEGIN: Self =
        Self { start: true, fence: false, heading: false, quote: false, bold: false, italic: false, code: false };

    /// Something else was written on lines of its own.
    pub fn interrupted(self) -> Self {
        Self { fence: self.fence, ..Self::BEGIN }
    }

    /// As a number, for a receipt.
    pub fn bits(self) -> u8 {
        let all = [self.start, self.fence, self.heading, self.quote, self.bold, self.italic, self.code];
        all.iter().fold(0, |bits, bit| bits << 1 | u8::from(*bit))
    }

    /// From such a number.
    pub fn of(bits: u8) -> Self {
        let [code, italic, bold, quote, heading, fence, start] = [0, 1, 2, 3, 4, 5, 6].map(|bit| bits >> bit & 1 == 1);
        Self { start, fence, heading, quote, bold, italic, code }
    }

    /// Draws what can be told of a piece, all of the `last` one; what is drawn, and how many bytes of the piece that is.
    pub fn draw(&mut self, piece: &str, last: bool) -> (String, usize) {
        let mut drawn = self.colours();
        let mut at = 0;
        while let Some(rest) = piece.get(at..).filter(|rest| !rest.is_empty()) {
            let taken = if self.start {
                self.line_begins(rest, last, &mut drawn)
            } else {
                self.goes_on(rest, piece.get(..at).and_then(|before| before.chars().next_back()), last, &mut drawn)
            };
            match taken {
                Some(taken) => at += taken,
                None => break,
            }
        }
        if !self.colours().is_empty() {
            drawn.push_str("\x1b[0m");
        }
        (drawn, at)
    }

    /// The begin of a line up to where its text begins; none: more has to come to tell what it is.
    fn line_begins(&mut self, rest: &str, last: bool, drawn: &mut String) -> Option<usize> {
        let (line, whole) = match rest.split_once('\n') {
            Some((line, _)) => (line, true),
            None => (rest, last),
        };
        // With its end, if it has one.
        let length = if rest.len() > line.len() { line.len() + 1 } else { line.len() };
        let body = line.trim_start_matches(' ');
        let indent = line.len() - body.len();
        let spaces = " ".repeat(indent);
        if body.starts_with("```") || body.starts_with("~~~") {
            if !whole {
                return None;
            }
            self.fence = !self.fence;
            return Some(length);
        }
        let may_be_fence = ["```", "~~~"].iter().any(|fence| fence.starts_with(body));
        if !whole && may_be_fence {
            return None;
        }
        if self.fence {
            self.start = false;
            if !line.is_empty() {
                drawn.push_str(&format!("{}{INDENT}", self.colours()));
            }
            return Some(0);
        }
        let ruled = ['-', '*', '_'].iter().any(|mark| body.trim_end().chars().all(|c| c == *mark || c == ' '));
        if ruled && !whole {
            return None;
        }
        if ruled && body.chars().filter(|c| *c != ' ').count() >= 3 {
            drawn.push_str("\x1b[2m────────────────\x1b[0m");
            self.start = false;
            return Some(line.len());
        }
        let level = body.len() - body.trim_start_matches('#').len();
        if (1..=6).contains(&level) {
            let after = body.get(level..).unwrap_or_default();
            if after.is_empty() && !whole {
                return None;
            }
            if after.starts_with(' ') {
                self.heading = true;
                self.begin(&self.colours(), drawn);
                return Some(indent + level + 1);
            }
        }
        if let Some(mark) = ["- ", "* ", "+ "].iter().find(|mark| body.starts_with(**mark)) {
            self.begin(&format!("{spaces}• "), drawn);
            return Some(indent + mark.len());
        }
        if !whole && body == "+" {
            return None;
        }
        if let Some(after) = body.strip_prefix('>') {
            if after.is_empty() && !whole {
                return None;
            }
            self.quote = true;
            self.begin(&format!("{}│ ", self.colours()), drawn);
            return Some(indent + 1 + usize::from(after.starts_with(' ')));
        }
        self.begin(&spaces, drawn);
        Some(indent)
    }

    fn begin(&mut self, with: &str, drawn: &mut String) {
        drawn.push_str(with);
        self.start = false;
    }

    /// Within a line; none: more has to come to tell what it is.
    fn goes_on(&mut self, rest: &str, before: Option<char>, last: bool, drawn: &mut String) -> Option<usize> {
        let character = rest.chars().next()?;
        if character == '\n' {
            drawn.push_str(if self.colours().is_empty() { "\n" } else { "\x1b[0m\n" });
            *self = self.interrupted();
            return Some(1);
        }
        if self.fence {
            push(character, drawn);
            return Some(character.len_utf8());
        }
        match character {
            '`' => {
                self.change(Self { code: !self.code, ..*self }, drawn);
                Some(1)
            }
            '\\' if !self.code => {
                let next = rest.chars().nth(1);
                if next.is_none() && !last {
                    return None;
                }
                match next.filter(char::is_ascii_punctuation) {
                    Some(literal) => {
                        drawn.push(literal);
                        Some(2)
                    }
                    None => {
                        drawn.push('\\');
                        Some(1)
                    }
                }
            }
            '*' if !self.code => self.stars(rest, before, last, drawn),
            other => {
                push(other, drawn);
                Some(other.len_utf8())
            }
        }
    }

    fn stars(&mut self, rest: &str, before: Option<char>, last: bool, drawn: &mut String) -> Option<usize> {
        let count = rest.len() - rest.trim_start_matches('*').len();
        let next = rest.chars().nth(count);
        if next.is_none() && !last {
            return None;
        }
        let opens = next.is_some_and(|c| !c.is_whitespace());
        let closes = before.is_none_or(|c| !c.is_whitespace());
        let within_word = before.is_some_and(char::is_alphanumeric);
        let (bold, italic) = (count >= 2, count % 2 == 1);
        let fits = |on: bool| if on { closes } else { opens };
        if count > 3 || (bold && !fits(self.bold)) || (italic && !(fits(self.italic) && (self.italic || !within_word)))
        {
            drawn.push_str(&"*".repeat(count));
            return Some(count);
        }
        self.change(Self { bold: self.bold ^ bold, italic: self.italic ^ italic, ..*self }, drawn);
        Some(count)
    }

    fn change(&mut self, to: Self, drawn: &mut String) {
        if !self.colours().is_empty() {
            drawn.push_str("\x1b[0m");
        }
        *self = to;
        drawn.push_str(&self.colours());
    }

    /// What switches the colours on.
    fn colours(self) -> String {
        let codes = [
            (self.heading, "1;4"),
            (self.quote, "2"),
            (self.bold, "1"),
            (self.italic, "3"),
            (self.code || (self.fence && !self.start), "36"),
        ];
        let codes: Vec<&str> = codes.iter().filter(|(on, _)| *on).map(|(_, code)| *code).collect();
        if codes.is_empty() { String::new() } else { format!("\x1b[{}m", codes.join(";")) }
    }
}

fn push(character: char, drawn: &mut String) {
    if is_harmless(character) {
        drawn.push(character);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// With short names for colours.
    fn draw(text: &str) -> String {
        named(&Marks::BEGIN.clone().draw(text, true).0)
    }

    fn named(drawn: &str) -> String {
        drawn.replace("\x1b[0m", "}").replace("\x1b[", "{").replace("36m", "C:").replace("1;4m", "H:")
    }

    #[test]
    fn marks_become_looks() {
        for (text, drawn) in [
            ("plain", "plain"),
            ("# Title\ntext", "{H:Title}\ntext"),
            ("a **b** c", "a {1mb} c"),
            ("a *b* c", "a {3mb} c"),
            ("a ***b*** c", "a {1;3mb} c"),
            ("2 * 3 * 4, a*b*c", "2 * 3 * 4, a*b*c"),
            ("run `ls *` now", "run {C:ls *} now"),
            ("- one\n  * two\n1. three", "• one\n  • two\n1. three"),
            ("> said\nby", "{2m│ said}\nby"),
            ("---\nx", "{2m────────────────}\nx"),
            ("a \\*b\\* \\d", "a *b* \\d"),
            ("#hashtag", "#hashtag"),
            ("lone ** star\nnext", "lone ** star\nnext"),
            ("lone `tick\nnext", "lone {C:tick}\nnext"),
            ("a\x1b[2Jb\x07", "a[2Jb"),
        ] {
            assert_eq!(draw(text), drawn.replace("{2mJ", "[2J"), "{text:?}");
        }
    }

    #[test]
    fn code_blocks_are_set_apart_and_left_as_they_are() {
        assert_eq!(
            draw("```rust\nlet a = *b;\n\n# no title\n```\nafter"),
            "{C:  let a = *b;}\n}\n{C:  # no title}\nafter"
        );
    }

    #[test]
    fn pieces_of_any_size_look_like_the_whole() {
        let text = "# A *b*\n\n- **one** and `two`\n- x\n\n```sh\nls **\n```\n> quote\n***\n+ y ~ `z`\nend **";
        let plain = |drawn: &str| {
            // Looks are switched off and on at the seams: compare what each character looks like.
            let mut look = String::new();
            let mut seen = Vec::new();
            let mut rest = drawn.chars();
            while let Some(c) = rest.next() {
                if c == '\x1b' {
                    let code: String = rest.by_ref().skip(1).take_while(|c| *c != 'm').collect();
                    look = if code == "0" { String::new() } else { code };
                } else {
                    seen.push((c, look.clone()));
                }
            }
            seen
        };
        let whole = plain(&Marks::BEGIN.clone().draw(text, true).0);
        for size in 1..9 {
            let mut marks = Marks::BEGIN;
            let (mut drawn, mut at, mut end) = (String::new(), 0, 0);
            while end < text.len() {
                end = (end + size).min(text.len());
                let (more, taken) = marks.draw(text.get(at..end).unwrap(), end == text.len());
                marks = Marks::of(marks.bits());
                drawn.push_str(&more);
                at += taken;
            }
            assert_eq!(at, text.len());
            assert_eq!(plain(&drawn), whole, "pieces of {size}: {drawn:?}");
        }
    }
}
