//! Runs of text as the HTML of messages.
//!
//! Only the tags that the API knows, each closed where it was opened, and everything else escaped: there is nothing that
//! it could fail to parse. Code takes no other style, and quotations are not nested, as the API has it.

use openpista_plugin::rich::{Run, Style};

/// The HTML.
pub fn html(runs: &[Run]) -> String {
    let mut html = String::new();
    let mut quote = false;
    for run in runs {
        if run.style.quote != quote {
            html.push_str(if quote { "</blockquote>" } else { "<blockquote>" });
            quote = run.style.quote;
        }
        let tags = tags(&run.style);
        tags.iter().for_each(|(open, _)| html.push_str(open));
        html.push_str(&escaped(&run.text));
        tags.iter().rev().for_each(|(_, close)| html.push_str(close));
    }
    if quote {
        html.push_str("</blockquote>");
    }
    html
}

fn tags(style: &Style) -> Vec<(String, &'static str)> {
    let tag = |open: &str, close| (open.to_string(), close);
    if let Some(language) = &style.block {
        let good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '#' | '_' | '.');
        return if language.is_empty() || !language.chars().all(good) {
            vec![tag("<pre>", "</pre>")]
        } else {
            vec![tag("<pre>", "</pre>"), (format!("<code class=\"language-{language}\">"), "</code>")]
        };
    }
    let link = style.link.as_ref().filter(|link| leads_somewhere(link));
    if style.code && link.is_none() {
        return vec![tag("<code>", "</code>")];
    }
    let mut tags = Vec::new();
    tags.extend(link.map(|link| (format!("<a href=\"{}\">", escaped(link)), "</a>")));
    let marks = [(style.bold, "<b>", "</b>"), (style.italic, "<i>", "</i>"), (style.strike, "<s>", "</s>")];
    tags.extend(marks.into_iter().filter(|(on, ..)| *on).map(|(_, open, close)| tag(open, close)));
    tags
}

/// An address of the net. A relative one leads nowhere from a message.
fn leads_somewhere(link: &str) -> bool {
    ["http://", "https://", "tg://", "mailto:"].iter().any(|scheme| link.starts_with(scheme))
}

fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            other => safe.push(other),
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use openpista_plugin::cut::{pieces, utf16};
    use openpista_plugin::rich::{parse, text};
    use proptest::prelude::*;

    use super::*;

    /// What the API does with HTML, as far as its documentation says: the text, or why not.
    pub fn rendered(html: &str) -> Result<String, String> {
        let mut text = String::new();
        let mut open: Vec<&str> = Vec::new();
        let mut rest = html;
        while let Some(at) = rest.find(['<', '&']) {
            let (before, from) = rest.split_at(at);
            text.push_str(before);
            let end = from.find(if from.starts_with('<') { '>' } else { ';' }).ok_or("no end")?;
            let (mark, after) = from.split_at(end + 1);
            match mark {
                "&amp;" => text.push('&'),
                "&lt;" => text.push('<'),
                "&gt;" => text.push('>'),
                "&quot;" => text.push('"'),
                _ if mark.starts_with('&') => return Err(format!("what is {mark}?")),
                _ => {
                    let inner = mark.trim_matches(['<', '>']);
                    if let Some(name) = inner.strip_prefix('/') {
                        if open.pop() != Some(name) {
                            return Err(format!("{mark} closes nothing"));
                        }
                    } else {
                        let name = inner.split(' ').next().unwrap_or_default();
                        if !["b", "i", "s", "a", "code", "pre", "blockquote"].contains(&name) {
                            return Err(format!("there is no tag {mark}"));
                        }
                        if open.last().is_some_and(|last| *last == "code") || open.contains(&name) {
                            return Err(format!("{mark} within {open:?}"));
                        }
                        open.push(name);
                    }
                }
            }
            rest = after;
        }
        text.push_str(rest);
        if open.is_empty() { Ok(text) } else { Err(format!("{open:?} stay open")) }
    }

    #[test]
    fn styles_become_tags_and_all_else_is_escaped() {
        let shown = |markdown: &str| html(&parse(markdown));
        assert_eq!(shown("**b** *i* ~~s~~ `c<d`"), "<b>b</b> <i>i</i> <s>s</s> <code>c&lt;d</code>");
        assert_eq!(shown("a < b && c > \"d\""), "a &lt; b &amp;&amp; c &gt; &quot;d&quot;");
        assert_eq!(
            shown("[x](https://y.test/?a=1&b=\"2\")"),
            "<a href=\"https://y.test/?a=1&amp;b=&quot;2&quot;\">x</a>"
        );
        assert_eq!(shown("[x](javascript:alert)"), "x");
        assert_eq!(
            shown("```rust\nlet a = &b;\n```"),
            "<pre><code class=\"language-rust\">let a = &amp;b;</code></pre>"
        );
        assert_eq!(shown("```\"><b>\nx\n```"), "<pre>x</pre>");
        assert_eq!(shown("> a **b**\n\nc"), "<blockquote>a <b>b</b></blockquote>\n\nc");
        assert_eq!(shown("[**`a`**](https://b.test)"), "<a href=\"https://b.test\"><b>a</b></a>");
    }

    proptest! {
        #[test]
        fn whatever_the_model_writes_is_html_that_the_api_takes(
            markdown in r"([*_`~#>|\[\]()<&!-]|```[a-z<]*\n|https://a\.b|[a-c]|\n|  | |&lt;|</b>|\PC){0,100}", most in 3usize..60
        ) {
            for piece in pieces(parse(&markdown), most, &utf16) {
                prop_assert_eq!(rendered(&html(&piece)), Ok(text(&piece)), "{:?}", html(&piece));
            }
        }
    }
}
