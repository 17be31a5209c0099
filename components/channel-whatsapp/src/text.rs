//! Text as WhatsApp takes it: in its own markup, in pieces.
//!
//! The markup has no way to escape a mark. So a mark that the text itself has stays as it is, which at worst changes how a
//! word looks, never what it says.

use openpista_plugin::cut::pieces;
use openpista_plugin::rich::{Run, parse};

/// Of one message, its marks counted. The Cloud API takes 4,096 characters.
pub const MESSAGE: usize = 4_000;
/// A reply of more messages than this comes as the first of them and a file.
pub const MESSAGES: usize = 8;

/// A reply, cut. Behind [`MESSAGES`] pieces, all of it goes into a file.
pub fn reply(markdown: &str) -> Vec<String> {
    cut(parse(markdown))
}

/// Words of the host: no Markdown.
pub fn plain(words: &str) -> Vec<String> {
    cut(vec![Run::plain(words)])
}

fn cut(runs: Vec<Run>) -> Vec<String> {
    let cost = |runs: &[Run]| marked(runs).chars().count();
    pieces(runs, MESSAGE, &cost).iter().map(|piece| marked(piece)).collect()
}

/// Runs in WhatsApp's markup.
pub fn marked(runs: &[Run]) -> String {
    let mut all = String::new();
    let mut line_start = true;
    for run in runs {
        let style = &run.style;
        let marks: &str = match (&style.block, style.code) {
            (Some(_), _) => "```",
            (None, true) => "`",
            (None, false) => "",
        };
        let mut text = run.text.clone();
        if marks.is_empty() {
            let styles = [(style.bold, '*'), (style.italic, '_'), (style.strike, '~')];
            for (_, mark) in styles.into_iter().filter(|(on, _)| *on) {
                text = each_line(&text, |line| around(line, mark));
            }
        } else if style.block.is_some() || !text.contains('`') {
            text = format!("{marks}{text}{marks}");
        }
        if let Some(link) = style.link.as_ref().filter(|link| leads_somewhere(link, &run.text)) {
            text = format!("{text} ({link})");
        }
        if style.quote {
            let quoted = text.replace('\n', "\n> ");
            text = if line_start { format!("> {quoted}") } else { quoted };
        }
        line_start = run.text.ends_with('\n');
        all.push_str(&text);
    }
    all
}

fn each_line(text: &str, change: impl Fn(&str) -> String) -> String {
    text.split('\n').map(change).collect::<Vec<_>>().join("\n")
}

/// A mark stands directly at a word, or it is none.
fn around(line: &str, mark: char) -> String {
    let inner = line.trim();
    let (Some(start), false) = (line.find(inner), inner.is_empty()) else { return line.to_string() };
    let (before, rest) = line.split_at(start);
    let after = rest.strip_prefix(inner).unwrap_or_default();
    format!("{before}{mark}{inner}{mark}{after}")
}

/// An address that is not there to be read already.
fn leads_somewhere(link: &str, text: &str) -> bool {
    (link.starts_with("http://") || link.starts_with("https://")) && text.trim() != link
}
