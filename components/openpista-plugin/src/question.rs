//! The words around an approval, the same in every messenger with buttons: the question, what its buttons say and carry,
//! and how it ended.

use serde_json::Value;

use crate::clip;
use crate::rich::Run;

/// What a person can answer. Each channel has the contract's own type, generated; this one goes between.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// This call.
    Once,
    /// This tool, for the rest of the session.
    Session,
    /// No.
    Deny,
}

/// The buttons, in their order, with what they say.
pub const BUTTONS: [(Answer, &str); 3] =
    [(Answer::Once, "✅ Allow"), (Answer::Session, "✅ Allow for this session"), (Answer::Deny, "🚫 Deny")];

/// So much of the arguments is shown: a person decides about what is to be seen, so little is left out.
const ARGUMENTS_MOST: usize = 2_500;

/// The question.
pub fn question(tool: &str, arguments: &str) -> Vec<Run> {
    let mut runs = vec![Run::plain("May I run "), Run::bold(tool), Run::plain("?")];
    let shown = details(arguments);
    if !shown.is_empty() {
        runs.extend([Run::plain("\n\n"), Run::block(&shown)]);
    }
    runs
}

/// The question with its end. `decided`: what was said and by whom; none: nobody answered in time.
pub fn ended(tool: &str, arguments: &str, decided: Option<(Answer, Option<&str>)>) -> Vec<Run> {
    let by = |name: Option<&str>| name.map_or_else(String::new, |name| format!(" by {name}"));
    let end = match decided {
        Some((Answer::Once, name)) => format!("✅ Allowed{}", by(name)),
        Some((Answer::Session, name)) => format!("✅ Allowed for this session{}", by(name)),
        Some((Answer::Deny, name)) => format!("🚫 Denied{}", by(name)),
        None => "⌛ Not answered in time, so it is not run".to_string(),
    };
    let mut runs = question(tool, arguments);
    runs.push(Run::plain(&format!("\n\n{end}")));
    runs
}

/// The arguments for a person who decides about them: one as it is, several by name.
pub fn details(arguments: &str) -> String {
    let as_text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_string);
    let all = match serde_json::from_str(arguments) {
        Ok(Value::Object(fields)) if fields.len() == 1 => fields.values().map(as_text).collect(),
        Ok(Value::Object(fields)) => {
            let lines: Vec<String> = fields.iter().map(|(name, value)| format!("{name}: {}", as_text(value))).collect();
            lines.join("\n")
        }
        _ => arguments.to_string(),
    };
    clip::cut(&all, ARGUMENTS_MOST)
}

/// What a button carries: a letter and the approval's id.
pub fn data(answer: Answer, approval: &str) -> String {
    let letter = match answer {
        Answer::Once => 'o',
        Answer::Session => 's',
        Answer::Deny => 'd',
    };
    format!("{letter}{approval}")
}

/// What a pressed button carried; none: it is none of ours.
pub fn read(data: &str) -> Option<(Answer, &str)> {
    let mut letters = data.chars();
    let answer = match letters.next()? {
        'o' => Answer::Once,
        's' => Answer::Session,
        'd' => Answer::Deny,
        _ => return None,
    };
    let id = letters.as_str();
    let good = !id.is_empty() && id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
    good.then_some((answer, id))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rich::text;

    #[test]
    fn a_question_shows_what_would_be_done() {
        assert_eq!(text(&question("system.run", r#"{"command":"ls\n-la"}"#)), "May I run system.run?\n\nls\n-la");
        assert_eq!(text(&question("a", r#"{"x":"y","n":3}"#)), "May I run a?\n\nx: y\nn: 3");
        assert_eq!(text(&question("a", "{}")), "May I run a?");
        assert_eq!(text(&question("a", "broken")), "May I run a?\n\nbroken");
    }

    #[test]
    fn a_long_one_keeps_both_ends() {
        let long = format!(r#"{{"command":"begin {} end"}}"#, "x".repeat(5_000));
        let shown = text(&question("a", &long));
        assert!(shown.contains("begin") && shown.ends_with("end") && shown.contains("left out"));
        assert!(shown.chars().count() < 2_600);
    }

    #[test]
    fn the_end_says_who() {
        let end = |decided| text(&ended("a", "{}", decided));
        assert_eq!(end(Some((Answer::Deny, Some("Ann")))), "May I run a?\n\n🚫 Denied by Ann");
        assert_eq!(end(Some((Answer::Once, None))), "May I run a?\n\n✅ Allowed");
        assert!(end(None).ends_with("⌛ Not answered in time, so it is not run"));
    }

    #[test]
    fn what_a_button_carries_is_read_back_and_nothing_else() {
        for (answer, _) in BUTTONS {
            assert_eq!(read(&data(answer, "Zq-3_x")), Some((answer, "Zq-3_x")));
        }
        assert_eq!([read(""), read("o"), read("xabc"), read("oa b")], [None; 4]);
    }
}
