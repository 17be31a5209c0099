//! What the model is told of skills with each request: their texts as long as they fit, names and descriptions of the
//! rest.

use super::front::Mode;
use super::scan::Skill;

/// How much of skills goes into each request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Context {
    /// The texts, as long as they fit.
    All,
    /// Names and descriptions; texts on demand.
    Names,
}

/// A description is never cut shorter than this.
const DESCRIPTION_LEAST: usize = 80;

/// The text, of about `cap` characters at most.
pub fn text<'a>(skills: impl Iterator<Item = (&'a Skill, &'a str)>, context: Context, cap: usize) -> String {
    let (mut whole, mut named) = (Vec::new(), Vec::new());
    let mut free = cap;
    for (skill, body) in skills {
        let section = section(skill, body);
        let length = section.chars().count().saturating_add(2);
        if context == Context::All && length <= free {
            free -= length;
            whole.push(section);
        } else {
            named.push(skill);
        }
    }
    if !named.is_empty() {
        let most = (cap / named.len()).max(DESCRIPTION_LEAST);
        let lines: Vec<String> = named.iter().map(|skill| line(skill, most)).collect();
        whole.push(format!(
            "Of these skills you know only what they are for. When one fits what is asked, read it with the tool \
             `skill.read` before you act:\n{}",
            lines.join("\n")
        ));
    }
    whole.join("\n\n")
}

fn section(skill: &Skill, body: &str) -> String {
    let front = &skill.front;
    let mut text = format!("## {}\n{}", front.name, front.description);
    match front.mode {
        Mode::Wasm => text.push_str("\n(A tool named after it runs it.)"),
        Mode::Prompt | Mode::Subprocess | Mode::Container => {
            text.push_str(&format!("\n(Its files are in {}.)", skill.folder.display()));
        }
    }
    if !front.allowed_tools.is_empty() {
        text.push_str(&format!("\n(It works with: {}.)", front.allowed_tools.join(", ")));
    }
    if !body.is_empty() {
        text.push_str("\n\n");
        text.push_str(body);
    }
    text
}

fn line(skill: &Skill, most: usize) -> String {
    let description = &skill.front.description;
    let cut: String = match description.char_indices().nth(most) {
        Some((end, _)) => format!("{}…", description.split_at(end).0.trim_end()),
        None => description.clone(),
    };
    format!("- `{}`: {cut}", skill.front.name)
}

#[cfg(test)]
mod tests {
    use super::super::front::Front;
    use super::super::scan::Source;
    use super::*;

    fn skill(name: &str, mode: Mode) -> Skill {
        let front = Front { name: name.into(), description: format!("does {name}"), mode, ..Front::default() };
        Skill { front, folder: format!("/s/{name}").into(), source: Source::Own, wasm: None }
    }

    const NAMED: &str = "Of these skills you know only what they are for. When one fits what is asked, read it with the tool \
                         `skill.read` before you act:\n";

    #[test]
    fn texts_come_whole_while_they_fit_and_the_rest_by_name() {
        let (one, two, three) = (skill("one", Mode::Prompt), skill("two", Mode::Wasm), skill("three", Mode::Prompt));
        let long = "x".repeat(150);
        let all = [(&one, "Do it."), (&two, long.as_str()), (&three, "")];
        assert_eq!(
            text(all.into_iter(), Context::All, 130),
            format!(
                "## one\ndoes one\n(Its files are in /s/one.)\n\nDo it.\n\n\
                 ## three\ndoes three\n(Its files are in /s/three.)\n\n{NAMED}- `two`: does two"
            )
        );
        assert_eq!(
            text(all.into_iter(), Context::Names, 10_000),
            format!("{NAMED}- `one`: does one\n- `two`: does two\n- `three`: does three")
        );
        assert_eq!(text([].into_iter(), Context::All, 10), "");
    }

    #[test]
    fn many_long_descriptions_share_the_cap() {
        let skills: Vec<Skill> = (0..100)
            .map(|number| {
                let mut skill = skill(&format!("s{number}"), Mode::Prompt);
                skill.front.description = "é".repeat(1_024);
                skill
            })
            .collect();
        let text = text(skills.iter().map(|skill| (skill, "")), Context::Names, 20_000);
        assert!(text.chars().count() < 23_000, "{}", text.chars().count());
    }
}
