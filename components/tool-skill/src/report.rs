//! What a run came to, as the model reads it, within a cap.

use openpista_plugin::clip::{Clip, grouped};

use crate::contract::exports::openpista::plugin::tools::ToolError;
use crate::contract::openpista::skill::skill::{End, Outcome, Written};
use crate::contract::openpista::types::types::{Content, Error};

/// Characters of output that the model gets to see.
pub const CAP: usize = 10_000;

/// The result of a call.
pub fn result(outcome: Outcome) -> Result<Vec<Content>, ToolError> {
    let Outcome { end, stdout, stderr } = outcome;
    match end {
        End::Exited(0) => Ok(vec![Content::Text(text(None, &stdout, &stderr))]),
        End::Exited(code) => {
            Err(ToolError::Failed(vec![Content::Text(text(Some(format!("exit code: {code}")), &stdout, &stderr))]))
        }
        End::Stopped(why) => {
            Err(ToolError::Failed(vec![Content::Text(text(Some(format!("[stopped: {why}]")), &stdout, &stderr))]))
        }
        End::Answered(content) => Ok(content),
        End::Failed(mut content) => {
            if !stderr.bytes.is_empty() {
                content.push(Content::Text(text(None, &nothing(), &stderr)));
            }
            Err(ToolError::Failed(content))
        }
    }
}

/// What the model is told when the capability does not do it.
pub fn refusal(tool: &str, error: Error) -> ToolError {
    match error {
        Error::AccessDenied(why) => ToolError::AccessDenied(why),
        Error::Invalid(why) | Error::NotFound(why) | Error::TooLarge(why) => {
            ToolError::InvalidArguments(format!("{tool}: {why}"))
        }
        Error::TimedOut => ToolError::TimedOut,
        Error::Cancelled => ToolError::Cancelled,
        Error::Unavailable(why) | Error::Other(why) => ToolError::Other(format!("{tool}: {why}")),
    }
}

fn nothing() -> Written {
    Written { bytes: Vec::new(), lost: 0, at: 0 }
}

/// The output alone if that is all there is to say, else both streams under their names. Errors get a quarter of the cap
/// when they need it.
fn text(end: Option<String>, stdout: &Written, stderr: &Written) -> String {
    let (out, err) = (clip(stdout), clip(stderr));
    let needed = |clip: &Clip| usize::try_from(clip.chars()).unwrap_or(usize::MAX);
    let for_errors = needed(&err).min((CAP / 4).max(CAP.saturating_sub(needed(&out))));
    let plain = end.is_none() && err.is_empty();
    let mut text = end.unwrap_or_default();
    section(&mut text, if plain { "" } else { "stdout" }, &out, stdout, CAP.saturating_sub(for_errors));
    section(&mut text, "stderr", &err, stderr, for_errors);
    if out.is_empty() && err.is_empty() {
        text.push_str(if text.is_empty() { "(no output)" } else { "\n(no output)" });
    }
    text
}

fn clip(written: &Written) -> Clip {
    let mut clip = Clip::new(CAP);
    clip.push(&written.bytes);
    clip.end();
    clip
}

fn section(text: &mut String, name: &str, clip: &Clip, written: &Written, budget: usize) {
    if clip.is_empty() {
        return;
    }
    if !text.is_empty() {
        text.push('\n');
    }
    if !name.is_empty() {
        text.push_str(&format!("{name}:\n"));
    }
    if written.lost > 0 {
        text.push_str(&format!("[it wrote {} bytes more, which are left out in the middle]\n", grouped(written.lost)));
    }
    if clip.is_binary() {
        text.push_str(&format!("[binary output, {} bytes, not shown]", grouped(clip.bytes())));
    } else {
        text.push_str(clip.text(budget).trim_end_matches('\n'));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrote(bytes: &[u8]) -> Written {
        Written { bytes: bytes.to_vec(), lost: 0, at: bytes.len() as u64 }
    }

    fn run(end: End, stdout: &[u8], stderr: &[u8]) -> (bool, String) {
        let (good, content) = match result(Outcome { end, stdout: wrote(stdout), stderr: wrote(stderr) }) {
            Ok(content) => (true, content),
            Err(ToolError::Failed(content)) => (false, content),
            other => panic!("{other:?}"),
        };
        let text = content.into_iter().map(|one| if let Content::Text(text) = one { text } else { panic!("{one:?}") });
        (good, text.collect::<Vec<_>>().join("|"))
    }

    #[test]
    fn a_good_run_is_its_output() {
        assert_eq!(run(End::Exited(0), b"42\n", b""), (true, "42".into()));
        assert_eq!(run(End::Exited(0), b"42\n", b"slow\n"), (true, "stdout:\n42\nstderr:\nslow".into()));
        assert_eq!(run(End::Exited(0), b"", b""), (true, "(no output)".into()));
    }

    #[test]
    fn another_exit_code_or_a_stop_is_a_failure_with_all_that_it_wrote() {
        assert_eq!(run(End::Exited(1), b"", b"no file\n"), (false, "exit code: 1\nstderr:\nno file".into()));
        assert_eq!(
            run(End::Stopped("it ran for more than its 300 ms".into()), b"step 1\n", b""),
            (false, "[stopped: it ran for more than its 300 ms]\nstdout:\nstep 1".into())
        );
        assert_eq!(run(End::Exited(3), b"", b""), (false, "exit code: 3\n(no output)".into()));
    }

    #[test]
    fn a_tool_answers_for_itself_and_its_errors_are_shown_when_it_failed() {
        assert_eq!(run(End::Answered(vec![Content::Text("hi".into())]), b"log", b"log"), (true, "hi".into()));
        assert_eq!(
            run(End::Failed(vec![Content::Text("no".into())]), b"", b"why\n"),
            (false, "no|stderr:\nwhy".into())
        );
    }

    #[test]
    fn output_without_end_is_cut_at_characters_with_marks_and_binary_is_named() {
        let long = Written { bytes: "é".repeat(500_000).into_bytes(), lost: 99_000_000, at: 500_000 };
        let Ok(content) = result(Outcome { end: End::Exited(0), stdout: long, stderr: wrote(b"") }) else { panic!() };
        let [Content::Text(text)] = content.as_slice() else { panic!("{content:?}") };
        assert!(
            text.starts_with("[it wrote 99,000,000 bytes more, which are left out in the middle]\néé"),
            "{}",
            text.len()
        );
        assert!(text.contains("characters left out …]") && text.ends_with("éé"));
        assert!(text.chars().count() < CAP + 100);
        assert_eq!(run(End::Exited(0), &[0; 2_048], b""), (true, "[binary output, 2,048 bytes, not shown]".into()));
        assert_eq!(run(End::Exited(0), b"caf\xe9 and a line of text", b"").1, "caf\u{FFFD} and a line of text");
    }
}
