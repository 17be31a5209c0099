//! Words as the rules compare them: lower case, without endings and without those that every sentence has.

/// Said in every sentence; tells nothing.
const COMMON: &[&str] = &[
    "a", "about", "again", "all", "also", "am", "an", "and", "any", "are", "as", "at", "be", "by", "can", "could",
    "did", "do", "does", "for", "from", "get", "give", "has", "have", "here", "hey", "how", "i", "in", "is", "it",
    "its", "just", "know", "let", "like", "me", "mine", "much", "my", "now", "of", "on", "one", "or", "our", "please",
    "shall", "should", "show", "so", "some", "tell", "than", "that", "the", "their", "them", "then", "there", "these",
    "they", "this", "to", "us", "use", "was", "we", "were", "what", "whats", "when", "where", "which", "who", "whom",
    "whose", "why", "will", "with", "would", "you", "your",
];

/// All words in order, lower case. `browser.clickLink` is three.
pub fn all(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = String::new();
    let mut before_was_lower = false;
    for character in text.chars() {
        if character.is_alphanumeric() {
            if character.is_uppercase() && before_was_lower && !word.is_empty() {
                words.push(std::mem::take(&mut word));
            }
            before_was_lower = character.is_lowercase();
            word.extend(character.to_lowercase());
        } else if character != '\'' && character != '’' {
            before_was_lower = false;
            if !word.is_empty() {
                words.push(std::mem::take(&mut word));
            }
        }
    }
    if !word.is_empty() {
        words.push(word);
    }
    words
}

/// The words that tell something, as stems, in order.
pub fn telling(text: &str) -> Vec<String> {
    all(text).into_iter().filter(|word| !COMMON.contains(&word.as_str())).map(|word| stem(&word)).collect()
}

/// Without the endings of English: `files` and `file`, `running` and `run` are the same.
pub fn stem(word: &str) -> String {
    let cut = |ending: &str| word.strip_suffix(ending).filter(|rest| rest.chars().count() >= 3);
    if let Some(rest) = cut("ies") {
        return format!("{rest}y");
    }
    if let Some(rest) = cut("sses") {
        return format!("{rest}ss");
    }
    if word.ends_with("ss") || word.ends_with("us") {
        return word.to_string();
    }
    let rest = cut("ing").or_else(|| cut("ed")).or_else(|| cut("es")).or_else(|| cut("s")).unwrap_or(word);
    // `running` → `runn` → `run`; `files` loses `es` and `file` its `e`, so that both are `fil`.
    let mut characters: Vec<char> = rest.chars().collect();
    if rest != word
        && let [.., before, last] = characters.as_slice()
        && before == last
        && !matches!(last, 'l' | 's')
    {
        characters.pop();
    }
    if characters.len() > 3 && characters.last() == Some(&'e') {
        characters.pop();
    }
    characters.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_tools_fall_into_words() {
        assert_eq!(all("browser.clickLink now_2"), ["browser", "click", "link", "now", "2"]);
        assert_eq!(all("What's the URL?"), ["whats", "the", "url"]);
    }

    #[test]
    fn endings_do_not_matter() {
        for (a, b) in [
            ("files", "file"),
            ("running", "run"),
            ("processes", "process"),
            ("directories", "directory"),
            ("reversed", "reverse"),
            ("times", "time"),
            ("names", "name"),
        ] {
            assert_eq!(stem(a), stem(b), "{a} {b}");
        }
    }

    #[test]
    fn only_telling_words_are_kept() {
        assert_eq!(telling("What is my favourite colour?"), ["favourit", "colour"]);
    }
}
