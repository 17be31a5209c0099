//! Runs of text as the Markdown of messages.
//!
//! It is the service's own dialect: what would mean something in it is escaped unless it is meant, marks stand directly at
//! the words, and an address is written between angle brackets, so that it ends where it ends and nothing is fetched to be
//! shown below the message. `@everyone` stays a word by what is sent beside the text, not by how it is written.

use openpista_plugin::rich::{Run, Style};

/// Between two marks that would be read as one.
const APART: char = '\u{200b}';
/// A longer address is left out: there has to be room for words.
const LINK_MOST: usize = 500;

/// How long a message with these runs is, as the service counts.
pub fn cost(runs: &[Run]) -> usize {
    markdown(runs).encode_utf16().count()
}

/// The Markdown.
pub fn markdown(runs: &[Run]) -> String {
    let mut writer = Writer::default();
    for run in runs {
        writer.run(run);
    }
    writer.marks(&[]);
    writer.text
}

#[derive(Default)]
struct Writer {
    text: String,
    /// White space that is due before more text comes, and whether it is quoted: marks do not stand beside it.
    space: Vec<(char, bool)>,
    /// The marks that are open, the last one innermost.
    open: Vec<&'static str>,
    /// The text ends with a mark that was closed.
    closed: bool,
}

impl Writer {
    fn run(&mut self, run: &Run) {
        let Style { quote, .. } = run.style;
        if let Some(language) = &run.style.block {
            self.marks(&[]);
            self.due(quote);
            return self.block(&run.text, language, quote);
        }
        if run.text.trim().is_empty() {
            return self.space.extend(run.text.chars().map(|space| (space, quote)));
        }
        let marks = [(run.style.strike, "~~"), (run.style.bold, "**"), (run.style.italic, "*")];
        let marks: Vec<&'static str> = marks.into_iter().filter(|(on, _)| *on).map(|(_, mark)| mark).collect();
        let words = run.text.trim();
        let (before, behind) = run.text.split_once(words).unwrap_or_default();
        self.space.extend(before.chars().map(|space| (space, quote)));
        self.marks(&marks);
        self.due(quote);
        for mark in marks.iter().skip(self.open.len()) {
            if self.closed {
                self.text.push(APART);
                self.closed = false;
            }
            self.text.push_str(mark);
            self.open.push(mark);
        }
        match run.style.link.as_deref().and_then(address) {
            Some(link) => {
                self.text.push('[');
                self.words(words, quote, run.style.code, true);
                self.text.push_str(&format!("](<{link}>)"));
                self.closed = false;
            }
            None => self.words(words, quote, run.style.code, false),
        }
        self.space.extend(behind.chars().map(|space| (space, quote)));
    }

    /// Closes what is open beyond the marks that both have.
    fn marks(&mut self, wanted: &[&'static str]) {
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

    fn at_line(&self) -> bool {
        self.text.is_empty() || self.text.ends_with('\n')
    }

    fn begin(&mut self, quote: bool) {
        if quote && self.at_line() {
            self.text.push_str("> ");
            self.closed = false;
        }
    }

    fn block(&mut self, code: &str, language: &str, quote: bool) {
        let good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '#' | '_' | '.');
        let language = Some(language).filter(|language| language.chars().all(good)).unwrap_or_default();
        let code = apart(code, "```");
        for (at, line) in format!("```{language}\n{code}\n```").split('\n').enumerate() {
            if at > 0 {
                self.text.push('\n');
            }
            self.begin(quote);
            self.text.push_str(line);
        }
        self.closed = false;
    }

    fn words(&mut self, words: &str, quote: bool, code: bool, linked: bool) {
        if code && !linked {
            return self.code(words);
        }
        let mut rest = words;
        while let Some(letter) = rest.chars().next() {
            let begins = ["https://", "http://"].iter().any(|scheme| rest.starts_with(scheme));
            // Within a word it is none.
            if begins && !linked && !self.text.ends_with(char::is_alphanumeric) {
                let end = rest.find(|c: char| c.is_whitespace() || matches!(c, '<' | '>')).unwrap_or(rest.len());
                let (whole, _) = rest.split_at(end);
                let address = whole.trim_end_matches(['.', ',', ':', ';', '!', '?', '"', '\'', ')', ']', '*', '_']);
                self.text.push_str(&format!("<{address}>"));
                self.closed = false;
                rest = rest.strip_prefix(address).unwrap_or_default();
                continue;
            }
            self.begin(quote);
            let first = self
                .text
                .trim_end_matches([' ', '\t'])
                .rsplit('\n')
                .next()
                .is_some_and(|line| matches!(line, "" | ">"));
            let special = matches!(letter, '\\' | '*' | '_' | '~' | '`' | '|' | '[' | ']' | '<');
            if special || (first && matches!(letter, '#' | '>' | '-')) {
                self.text.push('\\');
            }
            self.text.push(letter);
            self.closed = false;
            rest = rest.strip_prefix(letter).unwrap_or_default();
        }
    }

    /// Code within a line is taken as it is; the marks around it are longer than those in it.
    fn code(&mut self, code: &str) {
        let mark = if code.contains('`') { "``" } else { "`" };
        let code = apart(code, "``");
        let space = |edge: bool| if edge { " " } else { "" };
        let (before, behind) = (space(code.starts_with('`')), space(code.ends_with('`')));
        if self.text.ends_with('`') {
            self.text.push(APART);
        }
        self.text.push_str(&format!("{mark}{before}{code}{behind}{mark}"));
        self.closed = false;
    }
}

/// So that this mark, which would be the end of the code, is not in it.
fn apart(code: &str, mark: &str) -> String {
    let mut code = code.to_string();
    while code.contains(mark) {
        code = code.replacen(mark, &format!("`{APART}{}", mark.strip_prefix('`').unwrap_or_default()), 1);
    }
    code
}

/// An address of the net, so that nothing in it ends it.
fn address(link: &str) -> Option<String> {
    let good = ["http://", "https://"].iter().any(|scheme| link.starts_with(scheme)) && link.len() <= LINK_MOST;
    good.then(|| {
        link.chars()
            .map(|letter| match letter {
                '(' => "%28".to_string(),
                ')' => "%29".to_string(),
                '<' => "%3C".to_string(),
                '>' => "%3E".to_string(),
                '\\' => "%5C".to_string(),
                c if c.is_whitespace() => "%20".to_string(),
                other => other.to_string(),
            })
            .collect()
    })
}

#[cfg(test)]
mod tests {
    use openpista_plugin::cut::pieces;
    use openpista_plugin::rich::{parse, text};
    use proptest::prelude::*;

    use super::*;

    fn shown(text: &str) -> String {
        markdown(&parse(text))
    }

    #[test]
    fn styles_become_marks_and_all_else_is_escaped() {
        assert_eq!(shown("**b** *i* ~~s~~ `c*d`"), "**b** *i* ~~s~~ `c*d`");
        assert_eq!(shown("2 * 3 < snake_case || x[1]"), "2 \\* 3 \\< snake\\_case \\|\\| x\\[1\\]");
        assert_eq!(
            shown("\\# no head\n\\- no item\n\\> no quote - a > b # c"),
            "\\# no head\n\\- no item\n\\> no quote - a > b # c"
        );
        assert_eq!(shown("**b *c***"), "**b *c***");
        assert_eq!(shown("***a** b*"), "***a*** *b*");
        assert_eq!(shown("***a**b*"), format!("***a***{APART}*b*"));
        assert_eq!(shown("> a **b**\n>\n> c\n\nd"), "> a **b**\n> \n> c\n\nd");
    }

    #[test]
    fn addresses_are_whole_and_lead_where_they_say() {
        assert_eq!(shown("see https://a.test/x_y*z, please"), "see <https://a.test/x_y*z>, please");
        assert_eq!(shown("**https://a.test/x_y**"), "**<https://a.test/x_y>**");
        assert_eq!(shown("[x_y](https://b.test/(1))"), "[x\\_y](<https://b.test/%281%29>)");
        assert_eq!(shown("[x](javascript:alert)"), "x");
    }

    #[test]
    fn code_is_taken_as_it_is() {
        assert_eq!(shown("```rust\nlet a = *b;\n```\nend"), "```rust\nlet a = *b;\n```\n\nend");
        assert_eq!(shown("``a`b``"), "``a`b``");
        assert_eq!(shown("````\n```\n````"), format!("```\n`{APART}``\n```"));
        assert_eq!(shown("```\"><b>\nx\n```"), "```\nx\n```");
    }

    /// What the service shows of a message, as far as its dialect is known: the text, or why not.
    fn rendered(markdown: &str) -> Result<String, String> {
        let mut text = String::new();
        let mut open: Vec<&str> = Vec::new();
        let mut rest = markdown;
        while let Some(letter) = rest.chars().next() {
            if (text.is_empty() || text.ends_with('\n')) && rest.starts_with("> ") {
                rest = &rest[2..];
                continue;
            }
            if let Some(mark) = ["```", "``", "`"].into_iter().find(|mark| rest.starts_with(mark)) {
                let inner = &rest[mark.len()..];
                let end = inner.find(mark).ok_or(format!("{mark} stays open"))?;
                let code = &inner[..end];
                text.push_str(if mark == "```" { code.split_once('\n').ok_or("no line")?.1 } else { code });
                rest = &inner[end + mark.len()..];
                continue;
            }
            if let Some(mark) = ["**", "~~", "*"].into_iter().find(|mark| rest.starts_with(mark)) {
                match open.iter().position(|one| *one == mark) {
                    Some(at) => drop(open.remove(at)),
                    None => open.push(mark),
                }
                rest = &rest[mark.len()..];
                continue;
            }
            match letter {
                '\\' => {
                    let escaped = rest[1..].chars().next().ok_or("nothing is escaped")?;
                    text.push(escaped);
                    rest = &rest[1 + escaped.len_utf8()..];
                }
                '<' => {
                    let end = rest.find('>').ok_or("no end")?;
                    if !rest.starts_with("<http") {
                        return Err(format!("what is {rest}?"));
                    }
                    text.push_str(&rest[1..end]);
                    rest = &rest[end + 1..];
                }
                '[' => rest = &rest[1..],
                ']' => {
                    let end = rest.find(">)").filter(|_| rest.starts_with("](<")).ok_or("no address")?;
                    rest = &rest[end + 2..];
                }
                '_' | '|' | '~' => return Err(format!("{letter} means something")),
                other => {
                    text.push(other);
                    rest = &rest[other.len_utf8()..];
                }
            }
        }
        if open.is_empty() { Ok(text) } else { Err(format!("{open:?} stay open")) }
    }

    fn letters(text: &str) -> String {
        text.chars().filter(|c| !c.is_whitespace() && *c != APART && *c != '>').collect()
    }

    proptest! {
        #[test]
        fn whatever_the_model_writes_is_shown_as_it_was_meant(
            text_ in r"([*_`~#>|\[\]()<&!-]|```[a-z<]*\n|https://a\.b|<@1>|[a-c]|\n|  | |\PC){0,100}", most in 60usize..90
        ) {
            for piece in pieces(parse(&text_), most, &cost) {
                let written = markdown(&piece);
                prop_assert!(cost(&piece) <= most, "{written:?}");
                let shown = rendered(&written).map(|shown| letters(&shown));
                prop_assert_eq!(shown, Ok(letters(&text(&piece))), "{:?}", written);
            }
        }
    }
}
