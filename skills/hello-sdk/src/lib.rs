//! A skill on the Rust SDK: `words.count` counts words and remembers how many it counted in all, `words.page` counts those of
//! a page.
//!
//! Compare `hello-wasm`, which has nothing but the contract. Build it with `cargo build --release --target wasm32-wasip2`.

use openpista_plugin::sdk::{About, Answer, Host, Level, Tool, ToolError, ToolHints, http, settings};
use schemars::JsonSchema;
use serde::Deserialize;

/// `[tools.….settings]`
#[derive(Deserialize, JsonSchema)]
struct Settings {
    /// Words that are not counted.
    #[serde(default)]
    ignore: Vec<String>,
    /// The site that pages are taken from.
    #[serde(default = "site")]
    site: String,
}

fn site() -> String {
    "https://example.com".into()
}

/// The arguments of `words.count`; the comments are what the model reads.
#[derive(Deserialize, JsonSchema)]
struct Text {
    /// What is counted.
    text: String,
}

struct Count;

impl Tool for Count {
    const NAME: &'static str = "words.count";
    const DESCRIPTION: &'static str = "Counts the words of a text, and tells how many were counted in all.";
    type Arguments = Text;

    fn call(arguments: Text, host: &impl Host) -> Result<Answer, ToolError> {
        let settings: Settings = settings(host)?;
        let words = count(&arguments.text, &settings.ignore);
        let before = host.get("total")?.and_then(|bytes| String::from_utf8(bytes).ok()?.parse::<usize>().ok());
        let total = before.unwrap_or(0) + words;
        host.set("total", total.to_string().as_bytes())?;
        host.log(Level::Info, &format!("counted {words}"));
        Ok(format!("{words} words, {total} in all").into())
    }
}

/// The arguments of `words.page`.
#[derive(Deserialize, JsonSchema)]
struct Page {
    /// The path of the page: `/about`
    path: String,
}

struct OfPage;

impl Tool for OfPage {
    const NAME: &'static str = "words.page";
    const DESCRIPTION: &'static str = "Counts the words of a page of the site.";
    const HINTS: ToolHints = ToolHints::READ_ONLY;
    type Arguments = Page;

    fn call(arguments: Page, host: &impl Host) -> Result<Answer, ToolError> {
        let settings: Settings = settings(host)?;
        let page = http::get(format!("{}{}", settings.site, arguments.path)).send(host)?.good()?.text()?;
        Ok(format!("{} words", count(&page, &settings.ignore)).into())
    }
}

fn count(text: &str, ignore: &[String]) -> usize {
    text.split_whitespace().filter(|word| !ignore.iter().any(|ignored| ignored == word)).count()
}

fn about() -> About {
    About::new(env!("CARGO_PKG_NAME"), env!("CARGO_PKG_VERSION"), env!("CARGO_PKG_DESCRIPTION"))
        .may_use("http", ["{site}"], "takes the page whose words are counted")
        .settings::<Settings>()
        .says("licence", env!("CARGO_PKG_LICENSE"))
}

openpista_plugin::export_tools!(about(), [Count, OfPage]);

#[cfg(test)]
mod tests {
    use openpista_plugin::sdk::{Answers, Mock};

    use super::*;

    #[test]
    fn words_are_counted_but_those_that_are_ignored_and_the_sum_is_kept() {
        let host = Mock::new().setting("ignore", vec!["a"]);
        let text = || Text { text: "a word or two".into() };
        assert_eq!(Count::call(text(), &host), Ok("3 words, 3 in all".into()));
        assert_eq!(Count::call(text(), &host), Ok("3 words, 6 in all".into()));
    }

    #[test]
    fn a_page_is_asked_for_and_one_that_is_not_there_is_told() {
        let host = Mock::new().answers(Answers::new(200, "one two")).answers(Answers::new(404, "no such page"));
        let page = || Page { path: "/about".into() };
        assert_eq!(OfPage::call(page(), &host), Ok("2 words".into()));
        assert_eq!(host.asked.borrow()[0].url, "https://example.com/about");
        assert_eq!(OfPage::call(page(), &host), Err(ToolError::Other("status 404: no such page".into())));
    }
}
