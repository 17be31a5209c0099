//! Remembering: what the person said before, and which of it answers a question.

use crate::words;

/// Statements of the person found in texts, oldest first: sentences and list items that are no questions.
pub fn statements<'a>(texts: impl IntoIterator<Item = &'a str>) -> Vec<String> {
    let mut found = Vec::new();
    for text in texts {
        let lines = if is_record(text) { said_by_the_user(text) } else { text.lines().collect() };
        for line in lines {
            let line = line.trim().trim_start_matches(['-', '*', '•']).trim();
            // A heading says nothing by itself.
            if line.ends_with(':') {
                continue;
            }
            found.extend(sentences(line).into_iter().filter(|s| is_statement(s)).map(str::to_string));
        }
    }
    found
}

/// Whether the host wrote the text, from what was said before: a summary, or a transcript to be summed up.
pub fn is_record(text: &str) -> bool {
    text.starts_with("[Summary of the conversation") || text.contains("<transcript>")
}

/// The lines of a record that are the user's. A speaker stands before the first line of what he says; what has none at
/// the start is a summary, which is about the user.
fn said_by_the_user(record: &str) -> Vec<&str> {
    const OTHERS: &[&str] = &["Assistant: ", "Call of ", "Result of ", "Failure of "];
    let mut lines = Vec::new();
    let mut users = true;
    for line in record.lines() {
        if line.starts_with('[') {
            continue;
        }
        if let Some(tag) = line.strip_prefix('<') {
            users = !tag.starts_with('/');
            continue;
        }
        match line.strip_prefix("User: ") {
            Some(said) => {
                users = true;
                lines.push(said);
            }
            None if OTHERS.iter().any(|other| line.starts_with(other)) => users = false,
            None if users => lines.push(line),
            None => (),
        }
    }
    lines
}

/// The sentences of a line, with their marks. A point inside a word or a number ends nothing.
fn sentences(line: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let mut rest = line;
    while let Some((at, mark)) = rest.char_indices().find(|(at, c)| {
        matches!(c, '.' | '!' | '?')
            && rest.get(at + c.len_utf8()..).is_some_and(|after| after.starts_with(char::is_whitespace))
    }) {
        let (sentence, after) = rest.split_at(at + mark.len_utf8());
        found.push(sentence.trim());
        rest = after.trim_start();
    }
    found.push(rest.trim());
    found.retain(|sentence| !sentence.is_empty());
    found
}

/// No question, no command, and long enough to say something.
pub fn is_statement(sentence: &str) -> bool {
    !is_question(sentence) && !sentence.starts_with('/') && words::all(sentence).len() >= 3
}

/// By its mark or its first word.
pub fn is_question(text: &str) -> bool {
    const OPENERS: &[&str] = &[
        "what", "whats", "who", "whos", "whose", "where", "wheres", "when", "which", "why", "how", "do", "does", "did",
        "is", "are", "am", "can", "could",
    ];
    let first = words::all(text).into_iter().next().unwrap_or_default();
    text.trim_end().ends_with('?') || OPENERS.contains(&first.as_str())
}

/// Whether the sentence says something about the person or asks to be kept.
pub fn is_fact(sentence: &str) -> bool {
    const SIGNS: &[&str] =
        &["i", "im", "ive", "my", "mine", "we", "our", "remember", "note", "is", "are", "was", "called", "named"];
    is_statement(sentence) && words::all(sentence).iter().any(|word| SIGNS.contains(&word.as_str()))
}

/// The statement that shares most telling words with the question; of equals the newest, for people change their
/// minds. None if it shares fewer than half of them.
pub fn recall(question: &str, statements: &[String]) -> Option<String> {
    let mut asked = words::telling(question);
    asked.sort();
    asked.dedup();
    asked.retain(|stem| stem != "remember" && stem != "rememb");
    if asked.is_empty() {
        return None;
    }
    let score = |statement: &String| {
        let said = words::telling(statement);
        asked.iter().filter(|stem| said.contains(stem)).count()
    };
    let best = statements.iter().map(score).max().unwrap_or(0);
    if best == 0 || best * 2 < asked.len() {
        return None;
    }
    statements.iter().rev().find(|statement| score(statement) == best).cloned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(lines: &[&str]) -> Vec<String> {
        statements(lines.iter().copied())
    }

    #[test]
    fn sentences_and_list_items_are_statements_but_questions_are_not() {
        assert_eq!(
            texts(&[
                "Hi there! My name is Ada. What is 3.5 times 2?",
                "Facts:\n- The launch code is 4.2.1\n- ok",
                "/new"
            ]),
            ["My name is Ada.", "The launch code is 4.2.1"]
        );
    }

    #[test]
    fn a_question_finds_what_was_said() {
        let said = texts(&["My name is Ada.", "I live in Seoul.", "My dog is called Rex."]);
        assert_eq!(recall("what is my name?", &said), Some("My name is Ada.".into()));
        assert_eq!(recall("Where do I live?", &said), Some("I live in Seoul.".into()));
        assert_eq!(recall("What is my dog called?", &said), Some("My dog is called Rex.".into()));
        assert_eq!(recall("How do I bake bread?", &said), None);
        assert_eq!(recall("what?", &said), None);
    }

    #[test]
    fn of_a_record_only_the_users_words_are_taken() {
        let record = "<memory>\n- My name is Ada.\n</memory>\n\n<transcript>\nUser: I live in Seoul.\nIt is raining there.\n\
                      Assistant: You live in Oslo.\nCall of system.run: {}\nResult of system.run: exit code is 0\n\
                      that is all of it\nUser: ok\n</transcript>\n\nWrite the new memory.";
        assert_eq!(texts(&[record]), ["My name is Ada.", "I live in Seoul.", "It is raining there."]);
        let summary = "[Summary of the conversation so far, made by the host.]\nFacts that the user stated:\n- My dog is Rex.\n[End of the summary.]";
        assert_eq!(texts(&[summary]), ["My dog is Rex."]);
    }

    #[test]
    fn the_newest_word_counts() {
        let said = texts(&["My favourite colour is red", "My favourite colour is blue"]);
        assert_eq!(recall("What's my favourite colour?", &said), Some("My favourite colour is blue".into()));
    }
}
