//! What a person wants done on the machine, and the shell command for it.

use crate::words;

/// One thing that a message asks for.
#[derive(Clone, Debug, PartialEq)]
pub struct Intent {
    /// For the answer: `the files here`.
    pub what: String,
    /// For a tool that takes a command.
    pub command: String,
    /// The words of the message that led here, as stems: a tool with such a name is better than a command.
    pub because: Vec<String>,
}

struct Rule {
    /// Any of these words, or of these groups of words, leads here.
    words: &'static [&'static [&'static str]],
    what: &'static str,
    command: &'static str,
}

const RULES: &[Rule] = &[
    Rule { words: &[&["files"], &["folder"], &["directory"], &["ls"]], what: "the files here", command: "ls -la" },
    Rule {
        words: &[&["disk"], &["storage"], &["free", "space"], &["df"]],
        what: "the disk usage",
        command: "df -h . && du -sh .",
    },
    Rule { words: &[&["memory"], &["ram"]], what: "the memory", command: "free -h" },
    Rule {
        words: &[&["processes"], &["running", "programs"]],
        what: "the processes",
        command: "ps -eo pid,pcpu,pmem,args --sort=-pcpu | head -n 15",
    },
    Rule { words: &[&["date"], &["time"], &["clock"], &["day", "today"]], what: "the date and time", command: "date" },
    Rule { words: &[&["uptime"], &["load"]], what: "the load", command: "uptime" },
    Rule {
        words: &[&["system"], &["kernel"], &["machine"], &["computer"], &["operating"], &["os"], &["uname"]],
        what: "the system",
        command: "uname -a",
    },
];

/// Everything that the message asks for, in the order of the rules; a command that it spells out goes first.
pub fn intents(message: &str) -> Vec<Intent> {
    if let Some(command) = spelled_out(message) {
        return vec![Intent { what: format!("`{command}`"), command, because: Vec::new() }];
    }
    let said: Vec<String> = words::all(message).iter().map(|word| words::stem(word)).collect();
    let mut found = Vec::new();
    for rule in RULES {
        let hit = rule.words.iter().find_map(|group| {
            let stems: Vec<String> = group.iter().map(|word| words::stem(word)).collect();
            stems.iter().all(|stem| said.contains(stem)).then_some(stems)
        });
        if let Some(because) = hit {
            found.push(Intent { what: rule.what.into(), command: rule.command.into(), because });
        }
    }
    found
}

/// `run X`, or X between backticks beside such a verb or alone.
fn spelled_out(message: &str) -> Option<String> {
    const VERBS: &[&str] = &["run", "execute", "exec"];
    let text = message.trim();
    let verb_first = text
        .strip_prefix("please ")
        .or_else(|| text.strip_prefix("Please "))
        .unwrap_or(text)
        .split_once(char::is_whitespace)
        .filter(|(verb, _)| VERBS.contains(&verb.to_lowercase().as_str()))
        .map(|(_, rest)| rest.trim());
    if let Some((_, rest)) = text.split_once('`')
        && let Some((command, after)) = rest.split_once('`')
    {
        let alone = text.starts_with('`') && after.is_empty();
        let told = words::all(text).iter().any(|word| VERBS.contains(&word.as_str()));
        let command = command.trim();
        return ((alone || told) && !command.is_empty()).then(|| command.to_string());
    }
    let rest = verb_first?;
    let rest = rest.strip_prefix("the command").unwrap_or(rest).trim_start_matches(':').trim();
    (!rest.is_empty()).then(|| rest.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn commands(message: &str) -> Vec<String> {
        intents(message).into_iter().map(|intent| intent.command).collect()
    }

    #[test]
    fn ordinary_wishes_have_a_command() {
        for (message, command) in [
            ("show me the files here", "ls -la"),
            ("What is in this folder?", "ls -la"),
            ("how full is my disk?", "df -h . && du -sh ."),
            ("how much memory is left", "free -h"),
            ("What time is it?", "date"),
            ("tell me about this computer", "uname -a"),
            ("which processes are running?", "ps -eo pid,pcpu,pmem,args --sort=-pcpu | head -n 15"),
        ] {
            assert_eq!(commands(message), [command], "{message}");
        }
    }

    #[test]
    fn several_wishes_are_several_commands() {
        assert_eq!(commands("Show the files, the memory and the date"), ["ls -la", "free -h", "date"]);
    }

    #[test]
    fn a_command_that_is_spelled_out_is_taken_as_it_is() {
        assert_eq!(commands("run echo 'the files' | wc -c"), ["echo 'the files' | wc -c"]);
        assert_eq!(commands("Please run `sleep 5; echo done`, will you?"), ["sleep 5; echo done"]);
        assert_eq!(commands("`pwd`"), ["pwd"]);
        assert_eq!(commands("execute the command: id -u"), ["id -u"]);
    }

    #[test]
    fn talk_is_no_wish() {
        assert_eq!(commands("Hello! How are you?"), Vec::<String>::new());
        assert_eq!(commands("what does `foo` mean?"), Vec::<String>::new());
        assert_eq!(commands("run"), Vec::<String>::new());
    }
}
