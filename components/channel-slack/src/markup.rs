//! Runs of text as Slack's markup, `mrkdwn`.
//!
//! Everything that is not a mark of ours is escaped, so that nothing in a text is a reference: the model can't call a
//! channel together. Slack takes a mark for one only at the edge of a word and within a line: white space is put
//! outside of it, and beside a letter stands a space without width.
//! See <https://docs.slack.dev/messaging/formatting-message-text>.

use openpista_plugin::rich::{Run, Style};

/// A space without width.
const EDGE: char = '\u{200b}';

/// The markup.
pub fn mrkdwn(runs: &[Run]) -> String {
    let mut writer = Writer::default();
    for run in runs {
        match &run.style.block {
            Some(_) => writer.push(&format!("```\n{}\n```", escaped(&run.text.replace("```", "``\u{200b}`")))),
            None => writer.lines(run),
        }
    }
    writer.text
}

#[derive(Default)]
struct Writer {
    text: String,
    /// The last character is a mark.
    marked: bool,
}

impl Writer {
    fn push(&mut self, text: &str) {
        if self.marked && text.chars().next().is_some_and(char::is_alphanumeric) {
            self.text.push(EDGE);
        }
        self.marked = self.marked && text.is_empty();
        self.text.push_str(text);
    }

    fn lines(&mut self, run: &Run) {
        for (number, line) in run.text.split('\n').enumerate() {
            if number > 0 {
                self.push("\n");
            }
            if run.style.quote && (self.text.is_empty() || self.text.ends_with('\n')) {
                self.push("> ");
            }
            let inner = line.trim();
            let (before, behind) = line.split_once(inner).unwrap_or((line, ""));
            self.push(&escaped(before));
            if !inner.is_empty() {
                self.styled(inner, &run.style);
            }
            self.push(&escaped(behind));
        }
    }

    fn styled(&mut self, text: &str, style: &Style) {
        let link = style.link.as_ref().filter(|link| leads_somewhere(link));
        let marks = match link {
            None if style.code && !text.contains('`') => vec!['`'],
            _ => [(style.bold, '*'), (style.italic, '_'), (style.strike, '~')]
                .into_iter()
                .filter_map(|(on, mark)| on.then_some(mark))
                .collect(),
        };
        let inner = match link {
            Some(link) => format!("<{}|{}>", escaped(&link.replace('|', "%7C")), escaped(text)),
            None => escaped(text),
        };
        if marks.is_empty() {
            return self.push(&inner);
        }
        if self.text.chars().last().is_some_and(|last| last.is_alphanumeric() || self.marked) {
            self.text.push(EDGE);
        }
        self.text.extend(&marks);
        self.text.push_str(&inner);
        self.text.extend(marks.iter().rev());
        self.marked = true;
    }
}

/// An address of the net. A relative one leads nowhere from a message.
fn leads_somewhere(link: &str) -> bool {
    ["http://", "https://", "mailto:"].iter().any(|scheme| link.starts_with(scheme))
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use openpista_plugin::cut::pieces;
    use openpista_plugin::rich::parse;
    use proptest::prelude::*;

    use super::*;

    fn shown(markdown: &str) -> String {
        mrkdwn(&parse(markdown))
    }

    #[test]
    fn styles_become_marks_and_all_else_is_escaped() {
        assert_eq!(shown("**b** *i* ~~s~~ `c<d`"), "*b* _i_ ~s~ `c&lt;d`");
        assert_eq!(shown("a < b && c > \"d\""), "a &lt; b &amp;&amp; c &gt; \"d\"");
        assert_eq!(shown("[x](https://y.test/?a=1&b=|2)"), "<https://y.test/?a=1&amp;b=%7C2|x>");
        assert_eq!(shown("[x](javascript:alert) [y](!channel)"), "x y");
        assert_eq!(shown("```rust\nlet a = &b;\n```"), "```\nlet a = &amp;b;\n```");
        assert_eq!(shown("> a **b**\n> c\n\nd"), "> a *b*\n> c\n\nd");
        assert_eq!(shown("[**`a`**](https://b.test)"), "*<https://b.test|a>*");
        assert_eq!(shown("`` a`b ``"), "a`b");
    }

    #[test]
    fn nobody_is_called_by_what_the_model_writes() {
        assert_eq!(shown("<!channel> `<!here>` <@U1>"), "&lt;!channel&gt; `&lt;!here&gt;` &lt;@U1&gt;");
        assert_eq!(shown("```\n<!everyone>\n```"), "```\n&lt;!everyone&gt;\n```");
    }

    #[test]
    fn marks_stand_at_the_edges_of_words_and_within_lines() {
        assert_eq!(shown("**중요**합니다 a**b**c"), "*중요*\u{200b}합니다 a\u{200b}*b*\u{200b}c");
        let bold = Run { text: " a \n b".into(), style: Style { bold: true, ..Style::default() } };
        assert_eq!(mrkdwn(&[bold]), " *a* \n *b*");
    }

    proptest! {
        #[test]
        fn whatever_the_model_writes_holds_no_reference_but_links(
            markdown in r"([*_`~#>|\[\]()<&!@-]|```[a-z<]*\n|<!channel>|<@U1>|https://a\.b|[a-c]|\n|  | |&lt;|\PC){0,100}",
            most in 120usize..300
        ) {
            let cost = |runs: &[Run]| mrkdwn(runs).encode_utf16().count();
            for piece in pieces(parse(&markdown), most, &cost) {
                let written = mrkdwn(&piece);
                prop_assert!(written.encode_utf16().count() <= most);
                for behind in written.split('<').skip(1) {
                    prop_assert!(leads_somewhere(behind), "{written:?}");
                }
            }
        }
    }
}
