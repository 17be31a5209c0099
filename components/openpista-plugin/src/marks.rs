//! Runs of text in a messenger's dialect of Markdown: marks before and behind words, `> ` before the lines of a quotation.
//!
//! Dialects differ in their marks and in what has to be escaped; that is [`Dialect`]. The same in all of them, and easy to get
//! wrong, is [`write`]: marks stand directly at words, are nested, and are kept apart where two of them would be read as one.

use crate::rich::{Run, Style};

/// Between two marks that would be read as one: a space of no width.
pub const APART: char = '\u{200b}';

/// How a messenger writes.
pub struct Dialect {
    /// The marks of what is struck through, bold, italic.
    pub marks: [&'static str; 3],
    /// A part of a line, with what means something in it escaped. `true`: the line begins with it.
    pub words: fn(&str, bool) -> String,
    /// Code within a line, with its marks.
    pub code: fn(&str) -> String,
    /// A code block, with its marks, and its language (may be empty).
    pub block: fn(&str, &str) -> String,
    /// Words that lead somewhere; none: that is not written.
    pub link: fn(&str, &str) -> Option<String>,
}

/// The text. What ends with white space is sent without it by whoever cuts it.
pub fn write(runs: &[Run], dialect: &Dialect) -> String {
    let mut writer = Writer { dialect, text: String::new(), space: Vec::new(), open: Vec::new(), closed: false };
    for run in runs {
        writer.run(run);
    }
    writer.close(&[]);
    writer.text
}

/// The code with something between the letters of each such mark, which would be its end.
pub fn without(code: &str, mark: &str) -> String {
    let mut letters = mark.chars();
    let Some(first) = letters.next() else { return code.to_string() };
    let split = format!("{first}{APART}{}", letters.as_str());
    let mut code = code.to_string();
    while code.contains(mark) {
        code = code.replacen(mark, &split, 1);
    }
    code
}

struct Writer<'a> {
    dialect: &'a Dialect,
    text: String,
    /// White space that is due before more text comes, and whether it is quoted.
    space: Vec<(char, bool)>,
    /// The marks that are open, the last one innermost.
    open: Vec<&'static str>,
    /// The text ends with a mark that was closed.
    closed: bool,
}

impl Writer<'_> {
    fn run(&mut self, run: &Run) {
        let Style { quote, code, .. } = run.style;
        if let Some(language) = &run.style.block {
            self.close(&[]);
            self.due(quote);
            return self.lines(&(self.dialect.block)(&run.text, language), quote, |line, _| line.to_string());
        }
        let words = run.text.trim();
        let Some((before, behind)) = run.text.split_once(words).filter(|_| !words.is_empty()) else {
            return self.later(&run.text, quote);
        };
        self.later(before, quote);
        let wanted = [run.style.strike, run.style.bold, run.style.italic];
        let marks: Vec<&'static str> =
            self.dialect.marks.into_iter().zip(wanted).filter(|(_, on)| *on).map(|(mark, _)| mark).collect();
        self.close(&marks);
        self.due(quote);
        for mark in marks.into_iter().skip(self.open.len()) {
            if std::mem::take(&mut self.closed) {
                self.text.push(APART);
            }
            self.text.push_str(mark);
            self.open.push(mark);
        }
        let link = run.style.link.as_deref().and_then(|link| (self.dialect.link)(words, link));
        let whole = link.or_else(|| code.then(|| (self.dialect.code)(words)));
        match whole {
            Some(whole) => {
                if self.text.ends_with('`') && whole.starts_with('`') {
                    self.text.push(APART);
                }
                self.lines(&whole, quote, |line, _| line.to_string());
            }
            None => self.lines(words, quote, self.dialect.words),
        }
        self.later(behind, quote);
    }

    fn later(&mut self, space: &str, quote: bool) {
        self.space.extend(space.chars().map(|space| (space, quote)));
    }

    /// Closes what is open beyond the marks that both have.
    fn close(&mut self, wanted: &[&'static str]) {
        let same = self.open.iter().zip(wanted).take_while(|(open, wanted)| open == wanted).count();
        for mark in self.open.drain(same..).rev() {
            self.text.push_str(mark);
            self.closed = true;
        }
    }

    /// Writes the space that is due. A line of a quotation begins with a mark, an empty one, too.
    fn due(&mut self, quote: bool) {
        for (space, quoted) in std::mem::take(&mut self.space) {
            self.begin(quoted);
            self.text.push(space);
            self.closed = false;
        }
        self.begin(quote);
    }

    fn begin(&mut self, quote: bool) {
        if quote && (self.text.is_empty() || self.text.ends_with('\n')) {
            self.text.push_str("> ");
            self.closed = false;
        }
    }

    fn lines(&mut self, text: &str, quote: bool, written: fn(&str, bool) -> String) {
        for (at, line) in text.split('\n').enumerate() {
            if at > 0 {
                self.text.push('\n');
            }
            self.begin(quote);
            let first = matches!(self.text.trim_end_matches([' ', '\t']).rsplit('\n').next(), None | Some("" | ">"));
            self.text.push_str(&written(line, first));
        }
        self.closed = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rich::parse;

    fn written(markdown: &str) -> String {
        let dialect = Dialect {
            marks: ["~", "*", "_"],
            words: |words, first| if first { format!("^{words}") } else { words.to_string() },
            code: |code| format!("`{code}`"),
            block: |code, language| format!("```{language}\n{}\n```", without(code, "```")),
            link: |words, link| link.starts_with("https://").then(|| format!("<{link}|{words}>")),
        };
        write(&parse(markdown), &dialect)
    }

    #[test]
    fn marks_stand_at_words_and_are_nested() {
        assert_eq!(written("a **b *c*** d"), "^a *b _c_* d");
        assert_eq!(written("a **b** *c*"), "^a *b* _c_");
        assert_eq!(written("a ~~**b**~~"), "^a ~*b*~");
    }

    #[test]
    fn marks_that_would_be_read_as_one_are_kept_apart() {
        assert_eq!(written("***a**b*"), format!("*_^a_*{APART}_b_").replace('^', ""));
        assert_eq!(written("`a`[`b`](c)"), format!("`a`{APART}`b`"));
        assert_eq!(without("a````b", "```"), format!("a`{APART}`{APART}``b"));
    }

    #[test]
    fn each_line_of_a_quotation_has_its_mark() {
        assert_eq!(written("> a **b**\n>\n> c\n\nd"), "> ^a *b*\n> \n> ^c\n\n^d");
        assert_eq!(written("> ```sh\n> a\n> b\n> ```"), "> ```sh\n> a\n> b\n> ```");
    }

    #[test]
    fn links_that_lead_nowhere_are_words() {
        assert_eq!(written("[a](https://b.test) [c](d)"), "<https://b.test|a> c");
    }
}
