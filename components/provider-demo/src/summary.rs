//! Summing up a conversation for the host, when it grew too long: what the person said, the facts first.
//!
//! It extracts and never rewrites, so nothing in a summary was not said. A summary of a summary keeps its facts: they
//! stand in list items, which [`memory::statements`] reads like sentences.

use std::collections::HashSet;

use crate::memory;

/// Characters of a summary, unless the host wants it shorter.
const CAP: usize = 6_000;
/// Characters that a token stands for, so that a limit in tokens is kept with some room.
const CHARACTERS: usize = 3;
/// Characters of one line in it.
const LINE: usize = 300;

/// Whether the host asks for a summary of a conversation: it says so in the system prompt, and offers no tools.
pub fn is_wanted(system: &str, tools: usize) -> bool {
    let system = system.to_lowercase();
    let summary = ["summar", "memory of a"].iter().any(|words| system.contains(words));
    tools == 0 && summary && (system.contains("conversation") || system.contains("messages"))
}

/// What the texts of the person (and summaries of earlier ones) say. Facts go before other statements, and of those
/// the newest stay when there is no room for all. `max_tokens` is the host's limit.
pub fn summarize<'a>(texts: impl IntoIterator<Item = &'a str>, max_tokens: Option<u32>) -> String {
    let mut known = HashSet::new();
    let mut statements = memory::statements(texts);
    // Of a sentence that was said twice the newer place counts.
    statements.reverse();
    statements.retain(|statement| known.insert(statement.to_lowercase()));
    let limit = max_tokens.and_then(|tokens| usize::try_from(tokens).ok()).unwrap_or(usize::MAX);
    let mut room = CAP.min(limit.saturating_mul(CHARACTERS));
    let mut take = |statement: &&String| {
        let length = statement.chars().count().min(LINE) + 3;
        let fits = length <= room;
        if fits {
            room -= length;
        }
        fits
    };
    let mut facts: Vec<&String> = statements.iter().filter(|s| memory::is_fact(s)).filter(&mut take).collect();
    let mut others: Vec<&String> = statements.iter().filter(|s| !memory::is_fact(s)).filter(&mut take).collect();
    facts.reverse();
    others.reverse();
    let mut summary = String::new();
    for (title, lines) in [("Facts that the user stated:", facts), ("Also said by the user:", others)] {
        if lines.is_empty() {
            continue;
        }
        summary.push_str(title);
        for line in lines {
            summary.push_str("\n- ");
            summary.extend(line.chars().take(LINE));
        }
        summary.push('\n');
    }
    if summary.is_empty() {
        summary.push_str("The user has stated nothing yet that has to be kept.\n");
    }
    summary
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn facts_go_first_and_questions_are_left_out() {
        assert_eq!(
            summarize(["Show me the files, please.", "My name is Ada. What time is it?", "my name is Ada."], None),
            "Facts that the user stated:\n- my name is Ada.\nAlso said by the user:\n- Show me the files, please.\n"
        );
    }

    #[test]
    fn a_fact_outlives_many_summaries_of_chatter() {
        let mut kept = summarize(["My launch code is 4711."], None);
        for round in 0..20 {
            let chatter: Vec<String> = (0..200).map(|n| format!("Chatter {round} number {n} goes on and on")).collect();
            kept = summarize(std::iter::once(kept.as_str()).chain(chatter.iter().map(String::as_str)), None);
        }
        assert!(kept.contains("- My launch code is 4711."), "{kept}");
        assert!(kept.contains("- Chatter 19 number 199 goes on and on"), "{kept}");
        assert!(kept.chars().count() <= CAP + 100);
    }

    #[test]
    fn the_hosts_limit_is_kept() {
        let chatter: Vec<String> = (0..500).map(|n| format!("Chatter number {n} goes on and on")).collect();
        let summary = summarize(chatter.iter().map(String::as_str), Some(256));
        assert!(summary.chars().count() <= 256 * 4, "{}", summary.chars().count());
        assert!(summary.ends_with("- Chatter number 499 goes on and on\n"), "{summary}");
    }

    #[test]
    fn nothing_said_is_said() {
        assert_eq!(summarize([], None), "The user has stated nothing yet that has to be kept.\n");
    }

    #[test]
    fn only_the_hosts_wish_for_a_summary_is_one() {
        assert!(is_wanted("Summarize the conversation so far.", 0));
        assert!(is_wanted("You write the memory of a conversation between a user and an assistant.", 0));
        assert!(!is_wanted("Summarize the conversation so far.", 2));
        assert!(!is_wanted("You are a helpful assistant.", 0));
    }
}
