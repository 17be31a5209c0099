//! Markdown as runs of text with a style each: what every messenger can show, in no messenger's markup.
//!
//! Messengers know less than Markdown does, and each writes it differently. [`parse`] turns CommonMark (with tables,
//! strike-through and task lists) into a flat list of [`Run`]s, in which lists, rules and tables are already plain text;
//! [`crate::cut`] cuts such a list at a messenger's limit, and the channel writes each piece in its own markup. As marks
//! are made only from whole runs, what is sent is always well formed, however broken the Markdown or odd the cut.

use pulldown_cmark::{CodeBlockKind, Event, HeadingLevel, Options, Parser, Tag, TagEnd};

/// How a run looks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Style {
    /// Strong, also headings.
    pub bold: bool,
    /// Emphasis.
    pub italic: bool,
    /// Struck through.
    pub strike: bool,
    /// Within a quotation.
    pub quote: bool,
    /// Code within a line.
    pub code: bool,
    /// A code block, with its language (empty: not said).
    pub block: Option<String>,
    /// Where it leads.
    pub link: Option<String>,
}

/// Text of one style.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Run {
    /// Without control characters but line ends and tabs.
    pub text: String,
    /// How it looks.
    pub style: Style,
}

impl Run {
    /// Text without any style.
    pub fn plain(text: &str) -> Self {
        Self { text: harmless(text), style: Style::default() }
    }

    /// Bold text.
    pub fn bold(text: &str) -> Self {
        Self { text: harmless(text), style: Style { bold: true, ..Style::default() } }
    }

    /// A code block without a language.
    pub fn block(text: &str) -> Self {
        Self { text: harmless(text), style: Style { block: Some(String::new()), ..Style::default() } }
    }
}

/// The text of runs without their styles.
pub fn text(runs: &[Run]) -> String {
    runs.iter().map(|run| run.text.as_str()).collect()
}

/// No messenger shows control characters, and some refuse a text that has one.
fn harmless(text: &str) -> String {
    text.chars().filter(|c| !c.is_control() || matches!(c, '\n' | '\t')).collect()
}

/// Reads Markdown. Line ends within a paragraph stay: people who chat mean them.
pub fn parse(markdown: &str) -> Vec<Run> {
    let options = Options::ENABLE_TABLES | Options::ENABLE_STRIKETHROUGH | Options::ENABLE_TASKLISTS;
    let mut writer = Writer::default();
    for event in Parser::new_ext(markdown, options) {
        writer.take(event);
    }
    writer.runs
}

#[derive(Default)]
struct Writer {
    runs: Vec<Run>,
    bold: usize,
    italic: usize,
    strike: usize,
    quote: usize,
    block: Option<String>,
    links: Vec<String>,
    /// Of each list around: the number of its next item; none: it has dots.
    lists: Vec<Option<u64>>,
    /// Line ends that are due before more text comes.
    gap: usize,
    /// A quotation ended since the last text, so that the next one is another.
    left_quote: bool,
    /// The rows of a table; its last cell grows.
    table: Option<Vec<Vec<String>>>,
}

impl Writer {
    fn take(&mut self, event: Event<'_>) {
        match event {
            Event::Start(tag) => self.start(tag),
            Event::End(tag) => self.end(tag),
            Event::Text(text) | Event::Html(text) | Event::InlineHtml(text) => self.push(&text, false),
            Event::Code(text) => self.push(&text, true),
            Event::SoftBreak | Event::HardBreak => self.push("\n", false),
            Event::Rule => {
                self.due(2);
                self.push("———", false);
                self.due(2);
            }
            Event::TaskListMarker(done) => self.push(if done { "☑ " } else { "☐ " }, false),
            Event::InlineMath(text) | Event::DisplayMath(text) | Event::FootnoteReference(text) => {
                self.push(&text, false);
            }
        }
    }

    fn start(&mut self, tag: Tag<'_>) {
        match tag {
            Tag::Heading { level, .. } => {
                self.due(2);
                self.bold += 1;
                // The two levels that messages have use for look the same without this.
                self.italic += usize::from(level > HeadingLevel::H3);
            }
            Tag::Paragraph | Tag::HtmlBlock | Tag::FootnoteDefinition(_) => self.due(self.between()),
            Tag::BlockQuote(_) => {
                self.due(2);
                self.quote += 1;
            }
            Tag::CodeBlock(kind) => {
                self.due(self.between());
                self.block = Some(match kind {
                    CodeBlockKind::Fenced(info) => info.split_whitespace().next().unwrap_or_default().to_string(),
                    CodeBlockKind::Indented => String::new(),
                });
            }
            Tag::List(first) => {
                self.due(if self.lists.is_empty() { 2 } else { 1 });
                self.lists.push(first);
            }
            Tag::Item => self.item(),
            Tag::Emphasis => self.italic += 1,
            Tag::Strong => self.bold += 1,
            Tag::Strikethrough => self.strike += 1,
            Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. } => self.links.push(dest_url.to_string()),
            Tag::Table(_) => {
                self.due(2);
                self.table = Some(Vec::new());
            }
            Tag::TableHead | Tag::TableRow => self.table.iter_mut().for_each(|rows| rows.push(Vec::new())),
            Tag::TableCell => {
                self.table.iter_mut().filter_map(|rows| rows.last_mut()).for_each(|row| row.push(String::new()));
            }
            _ => (),
        }
    }

    fn end(&mut self, tag: TagEnd) {
        match tag {
            TagEnd::Heading(level) => {
                self.bold = self.bold.saturating_sub(1);
                self.italic = self.italic.saturating_sub(usize::from(level > HeadingLevel::H3));
                self.due(2);
            }
            TagEnd::Paragraph | TagEnd::HtmlBlock | TagEnd::FootnoteDefinition => self.due(self.between()),
            TagEnd::BlockQuote(_) => {
                self.quote = self.quote.saturating_sub(1);
                self.left_quote = true;
                self.due(2);
            }
            TagEnd::CodeBlock => {
                self.block = None;
                if let Some(last) = self.runs.last_mut().filter(|run| run.style.block.is_some()) {
                    last.text.truncate(last.text.trim_end_matches('\n').len());
                }
                self.due(self.between());
            }
            TagEnd::List(_) => {
                self.lists.pop();
                self.due(if self.lists.is_empty() { 2 } else { 1 });
            }
            TagEnd::Item => self.due(1),
            TagEnd::Emphasis => self.italic = self.italic.saturating_sub(1),
            TagEnd::Strong => self.bold = self.bold.saturating_sub(1),
            TagEnd::Strikethrough => self.strike = self.strike.saturating_sub(1),
            TagEnd::Link | TagEnd::Image => {
                self.links.pop();
            }
            TagEnd::Table => {
                if let Some(rows) = self.table.take() {
                    self.block = Some(String::new());
                    self.push(&columns(&rows), false);
                    self.block = None;
                }
                self.due(2);
            }
            _ => (),
        }
    }

    /// Paragraphs of a list's item are not set apart as others are: a chat has little room.
    fn between(&self) -> usize {
        if self.lists.is_empty() { 2 } else { 1 }
    }

    fn item(&mut self) {
        self.due(1);
        let depth = self.lists.len().saturating_sub(1);
        let mark = match self.lists.last_mut() {
            Some(Some(number)) => {
                let mark = format!("{number}. ");
                *number = number.saturating_add(1);
                mark
            }
            _ => "• ".to_string(),
        };
        self.push(&format!("{}{mark}", "  ".repeat(depth)), false);
        // What the item begins with stands behind its mark.
        self.gap = usize::MAX;
    }

    fn due(&mut self, lines: usize) {
        if self.gap != usize::MAX {
            self.gap = self.gap.max(lines);
        }
    }

    fn style(&self, code: bool) -> Style {
        let quote = self.quote > 0;
        if self.block.is_some() {
            return Style { quote, block: self.block.clone(), ..Style::default() };
        }
        Style {
            bold: self.bold > 0,
            italic: self.italic > 0,
            strike: self.strike > 0,
            quote,
            code,
            block: None,
            link: self.links.last().cloned(),
        }
    }

    fn push(&mut self, text: &str, code: bool) {
        let text = harmless(text);
        if text.is_empty() {
            return;
        }
        if let Some(cell) = self.table.as_mut().and_then(|rows| rows.last_mut()).and_then(|row| row.last_mut()) {
            cell.push_str(&text.replace('\n', " "));
            return;
        }
        let gap = std::mem::take(&mut self.gap);
        if gap != usize::MAX && gap > 0 && !self.runs.is_empty() {
            let quote = self.quote > 0 && !self.left_quote && self.runs.last().is_some_and(|run| run.style.quote);
            self.append("\n".repeat(gap), Style { quote, ..Style::default() });
        }
        self.left_quote = false;
        self.append(text, self.style(code));
    }

    fn append(&mut self, text: String, style: Style) {
        match self.runs.last_mut() {
            Some(last) if last.style == style => last.text.push_str(&text),
            _ => self.runs.push(Run { text, style }),
        }
    }
}

/// A table in a fixed-width face: a line for each row, the head underlined.
fn columns(rows: &[Vec<String>]) -> String {
    let count = rows.iter().map(Vec::len).max().unwrap_or_default();
    let width = |at: usize| rows.iter().filter_map(|row| row.get(at)).map(|cell| cell.chars().count()).max();
    let widths: Vec<usize> = (0..count).map(|at| width(at).unwrap_or_default()).collect();
    let mut lines = Vec::new();
    for (number, row) in rows.iter().enumerate() {
        let cells = widths.iter().enumerate().map(|(at, width)| {
            let cell = row.get(at).map_or("", String::as_str);
            format!("{cell}{}", " ".repeat(width.saturating_sub(cell.chars().count())))
        });
        lines.push(cells.collect::<Vec<_>>().join(" │ ").trim_end().to_string());
        if number == 0 {
            lines.push(widths.iter().map(|width| "─".repeat(*width)).collect::<Vec<_>>().join("─┼─"));
        }
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn shown(markdown: &str) -> String {
        text(&parse(markdown))
    }

    #[test]
    fn styles_are_runs() {
        let style = |change: fn(&mut Style)| {
            let mut style = Style::default();
            change(&mut style);
            style
        };
        let run = |text: &str, style: Style| Run { text: text.into(), style };
        assert_eq!(
            parse("a **b *c*** `d` ~~e~~ [f](https://x.test)"),
            [
                run("a ", Style::default()),
                run("b ", style(|s| s.bold = true)),
                run("c", style(|s| (s.bold, s.italic) = (true, true))),
                run(" ", Style::default()),
                run("d", style(|s| s.code = true)),
                run(" ", Style::default()),
                run("e", style(|s| s.strike = true)),
                run(" ", Style::default()),
                run("f", style(|s| s.link = Some("https://x.test".into()))),
            ]
        );
    }

    #[test]
    fn blocks_are_set_apart_and_lists_stay_together() {
        assert_eq!(shown("# Title\none\ntwo\n\nthree"), "Title\n\none\ntwo\n\nthree");
        assert_eq!(shown("x\n- a\n- b\n  1. c\n  2. d\n\n- [x] e\n\ny"), "x\n\n• a\n• b\n  1. c\n  2. d\n• ☑ e\n\ny");
        assert_eq!(shown("- a\n\n  b\n- c"), "• a\nb\n• c");
        assert_eq!(shown("a\n\n---\nb"), "a\n\n———\n\nb");
    }

    #[test]
    fn a_code_block_is_one_run_with_its_language() {
        let runs = parse("see\n```rust extra\nfn a() {\n\n}\n```\nend");
        let block =
            Run { text: "fn a() {\n\n}".into(), style: Style { block: Some("rust".into()), ..Style::default() } };
        assert_eq!(runs[0], Run::plain("see\n\n"));
        assert_eq!(runs[1], block);
        assert_eq!(parse("```\nnever closed").last().map(|run| run.style.block.is_some()), Some(true));
    }

    #[test]
    fn two_quotations_are_two() {
        let quoted: Vec<(String, bool)> =
            parse("> a\n>\n> b\n\nx\n\n> c").into_iter().map(|run| (run.text, run.style.quote)).collect();
        let run = |text: &str, quote| (text.to_string(), quote);
        assert_eq!(quoted, [run("a\n\nb", true), run("\n\nx\n\n", false), run("c", true)]);
    }

    #[test]
    fn a_table_has_columns() {
        assert_eq!(shown("|a|bb|\n|-|-|\n|ccc|d|"), "a   │ bb\n────┼───\nccc │ d");
    }

    #[test]
    fn markup_of_others_is_text_and_control_characters_are_gone() {
        assert_eq!(shown("<b>x</b> & \u{1b}[31m\u{0}y"), "<b>x</b> & [31my");
    }

    proptest! {
        #[test]
        fn any_text_can_be_read(markdown in r"([*_`~#>|\[\]()<&!-]|[a-c]|\n| |\PC){0,120}") {
            let runs = parse(&markdown);
            prop_assert!(runs.iter().all(|run| !run.text.is_empty()));
            prop_assert!(runs.windows(2).all(|two| two[0].style != two[1].style));
        }
    }
}
