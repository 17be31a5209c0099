//! Runs of text as the Markdown of messages.
//!
//! It is the service's own dialect: what would mean something in it is escaped unless it is meant, and an address is written
//! between angle brackets, so that it ends where it ends and nothing is fetched to be shown below the message. `@everyone`
//! stays a word by what is sent beside the text, not by how it is written.

use openpista_plugin::marks::{Dialect, without, write};
use openpista_plugin::rich::Run;

/// A longer address is left out: there has to be room for words.
const LINK_MOST: usize = 500;

const DIALECT: Dialect = Dialect { marks: ["~~", "**", "*"], words, code, block, link };

/// How long a message with these runs is, as the service counts.
pub fn cost(runs: &[Run]) -> usize {
    markdown(runs).encode_utf16().count()
}

/// The Markdown.
pub fn markdown(runs: &[Run]) -> String {
    write(runs, &DIALECT)
}

fn words(words: &str, first: bool) -> String {
    let (mut text, mut rest) = (String::new(), words);
    while let Some(letter) = rest.chars().next() {
        let begins = ["https://", "http://"].iter().any(|scheme| rest.starts_with(scheme));
        // Within a word it is none.
        if begins && !text.ends_with(char::is_alphanumeric) {
            let end = rest.find(|c: char| c.is_whitespace() || matches!(c, '<' | '>')).unwrap_or(rest.len());
            let (whole, _) = rest.split_at(end);
            let address = whole.trim_end_matches(['.', ',', ':', ';', '!', '?', '"', '\'', ')', ']', '*', '_']);
            text.push_str(&format!("<{address}>"));
            rest = rest.strip_prefix(address).unwrap_or_default();
            continue;
        }
        let begins_line = first && text.trim().is_empty() && matches!(letter, '#' | '>' | '-');
        if begins_line || special(letter) {
            text.push('\\');
        }
        text.push(letter);
        rest = rest.strip_prefix(letter).unwrap_or_default();
    }
    text
}

fn special(letter: char) -> bool {
    matches!(letter, '\\' | '*' | '_' | '~' | '`' | '|' | '[' | ']' | '<')
}

/// Code within a line is taken as it is; the marks around it are longer than those in it.
fn code(code: &str) -> String {
    let mark = if code.contains('`') { "``" } else { "`" };
    let space = |edge: bool| if edge { " " } else { "" };
    let (before, behind) = (space(code.starts_with('`')), space(code.ends_with('`')));
    format!("{mark}{before}{}{behind}{mark}", without(code, "``"))
}

fn block(code: &str, language: &str) -> String {
    let good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '#' | '_' | '.');
    let language = Some(language).filter(|language| language.chars().all(good)).unwrap_or_default();
    format!("```{language}\n{}\n```", without(code, "```"))
}

/// Of an address of the net, so that nothing in it ends it. Words that look like an address themselves are not shown as
/// leading anywhere.
fn link(words: &str, link: &str) -> Option<String> {
    let good = ["http://", "https://"].iter().any(|scheme| link.starts_with(scheme)) && link.len() <= LINK_MOST;
    let mut text: String = words.chars().fold(String::from("["), |mut text, letter| {
        text.extend(special(letter).then_some('\\'));
        text.push(letter);
        text
    });
    text.push_str("](<");
    for letter in link.chars() {
        match letter {
            '(' => text.push_str("%28"),
            ')' => text.push_str("%29"),
            '<' => text.push_str("%3C"),
            '>' => text.push_str("%3E"),
            '\\' => text.push_str("%5C"),
            c if c.is_whitespace() => text.push_str("%20"),
            other => text.push(other),
        }
    }
    text.push_str(">)");
    good.then_some(text)
}

#[cfg(test)]
mod tests {
    use openpista_plugin::cut::pieces;
    use openpista_plugin::marks::APART;
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
            let behind = |mark: &str| rest.strip_prefix(mark);
            let marked = |marks: [&'static str; 3]| marks.into_iter().find(|mark| rest.starts_with(mark));
            let next = rest.strip_prefix(letter).unwrap_or_default();
            if let Some(quoted) = behind("> ").filter(|_| text.is_empty() || text.ends_with('\n')) {
                rest = quoted;
            } else if let Some(mark) = marked(["```", "``", "`"]) {
                let inner = behind(mark).unwrap_or_default();
                let (code, later) = inner.split_once(mark).ok_or(format!("{mark} stays open"))?;
                text.push_str(if mark == "```" { code.split_once('\n').ok_or("no line")?.1 } else { code });
                rest = later;
            } else if let Some(mark) = marked(["**", "~~", "*"]) {
                match open.iter().position(|one| *one == mark) {
                    Some(at) => drop(open.remove(at)),
                    None => open.push(mark),
                }
                rest = behind(mark).unwrap_or_default();
            } else if letter == '\\' {
                let escaped = next.chars().next().ok_or("nothing is escaped")?;
                text.push(escaped);
                rest = next.strip_prefix(escaped).unwrap_or_default();
            } else if letter == '<' {
                let (address, later) = next.split_once('>').filter(|_| next.starts_with("http")).ok_or("what is <?")?;
                text.push_str(address);
                rest = later;
            } else if letter == ']' {
                rest = behind("](<").and_then(|link| link.split_once(">)")).ok_or("no address")?.1;
            } else if matches!(letter, '_' | '|' | '~') {
                return Err(format!("{letter} means something"));
            } else {
                text.extend((letter != '[').then_some(letter));
                rest = next;
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
