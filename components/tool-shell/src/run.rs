//! Following a process from its first byte to the report. The process and the listener are arguments, so that the
//! tests can play both.

use openpista_plugin::clip::Clip;

use crate::arguments::{Arguments, NAME, Settings};
use crate::contract::exports::openpista::plugin::tools::ToolError;
use crate::contract::openpista::types::types::{Content, Error, Output, Signal};
use crate::report::{End, Written};

/// Characters of the newest output that the waiting person sees; well below the 4 KiB of `progress.report`.
const LIVE: usize = 1_000;

/// Reads the process (`next`) to its end and shows the newest output (`show`) as it comes. Both streams are shown in
/// the order in which they arrive, and reported apart.
pub fn follow(
    arguments: &Arguments,
    settings: &Settings,
    mut next: impl FnMut() -> Result<Option<Output>, Error>,
    mut show: impl FnMut(&str) -> Signal,
) -> Result<Vec<Content>, ToolError> {
    let mut written = Written::new(settings.max_output);
    let mut live = Clip::new(LIVE);
    let end = loop {
        let bytes = match next() {
            Ok(Some(Output::Stdout(bytes))) => {
                written.stdout.push(&bytes);
                bytes
            }
            Ok(Some(Output::Stderr(bytes))) => {
                written.stderr.push(&bytes);
                bytes
            }
            Ok(Some(Output::Exited(code))) => break End::Exited(code),
            Ok(None) => break End::Lost,
            Err(Error::TimedOut) => break End::TimedOut(arguments.timeout),
            Err(error) => return Err(refusal(error)),
        };
        live.push(&bytes);
        if !live.is_binary() && show(&live.last(LIVE)) == Signal::Stop {
            return Err(ToolError::Cancelled);
        }
    };
    let content = vec![Content::Text(written.report(end))];
    if end == End::Exited(0) { Ok(content) } else { Err(ToolError::Failed(content)) }
}

/// What the model is told when the capability does not do it.
pub fn refusal(error: Error) -> ToolError {
    match error {
        Error::AccessDenied(why) => ToolError::AccessDenied(why),
        Error::Invalid(why) | Error::NotFound(why) => ToolError::InvalidArguments(format!("{NAME}: {why}")),
        Error::TooLarge(why) => ToolError::InvalidArguments(format!("{NAME}: too large: {why}")),
        Error::TimedOut => ToolError::TimedOut,
        Error::Cancelled => ToolError::Cancelled,
        Error::Unavailable(why) => ToolError::Other(format!("{NAME}: the shell is not available now: {why}")),
        Error::Other(why) => ToolError::Other(format!("{NAME}: {why}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SETTINGS: Settings = Settings { default_timeout: 30, max_output: 10_000 };

    fn out(text: &str) -> Result<Option<Output>, Error> {
        Ok(Some(Output::Stdout(text.into())))
    }

    fn err(text: &str) -> Result<Option<Output>, Error> {
        Ok(Some(Output::Stderr(text.into())))
    }

    /// Plays a process; returns the result and what the person saw.
    fn play(
        steps: Vec<Result<Option<Output>, Error>>,
        signal: Signal,
    ) -> (Result<Vec<Content>, ToolError>, Vec<String>) {
        let arguments = Arguments { command: "x".into(), timeout: 30, dir: None };
        let mut seen = Vec::new();
        let mut steps = steps.into_iter();
        let result = follow(
            &arguments,
            &SETTINGS,
            || steps.next().unwrap_or(Ok(None)),
            |text| {
                seen.push(text.to_string());
                signal
            },
        );
        (result, seen)
    }

    fn text(text: &str) -> Vec<Content> {
        vec![Content::Text(text.into())]
    }

    #[test]
    fn a_good_command_is_a_result_and_its_output_is_seen_while_it_runs() {
        let (result, seen) =
            play(vec![out("one\n"), err("hm\n"), out("two\n"), Ok(Some(Output::Exited(0)))], Signal::Proceed);
        assert_eq!(result, Ok(text("exit code: 0\nstdout:\none\ntwo\nstderr:\nhm")));
        assert_eq!(seen, ["one\n", "one\nhm\n", "one\nhm\ntwo\n"]);
    }

    #[test]
    fn a_character_cut_by_the_pieces_comes_out_whole() {
        let euro = "€".as_bytes();
        let (result, _) = play(
            vec![
                Ok(Some(Output::Stdout(euro[..1].to_vec()))),
                Ok(Some(Output::Stdout(euro[1..].to_vec()))),
                Ok(Some(Output::Exited(0))),
            ],
            Signal::Proceed,
        );
        assert_eq!(result, Ok(text("exit code: 0\nstdout:\n€")));
    }

    #[test]
    fn another_exit_code_is_a_failure_with_everything_it_wrote() {
        let (result, _) = play(vec![err("no such file\n"), Ok(Some(Output::Exited(2)))], Signal::Proceed);
        assert_eq!(result, Err(ToolError::Failed(text("exit code: 2\nstderr:\nno such file"))));
    }

    #[test]
    fn when_the_time_is_over_the_model_learns_what_came_until_then() {
        let (result, _) = play(vec![out("step 1\n"), Err(Error::TimedOut)], Signal::Proceed);
        assert_eq!(
            result,
            Err(ToolError::Failed(text(
                "[killed after 30 s: it had not ended; what came until then follows]\nstdout:\nstep 1"
            )))
        );
    }

    #[test]
    fn cancelling_ends_it_whether_the_listener_or_the_process_says_so() {
        assert_eq!(play(vec![out("x"), out("never read")], Signal::Stop).0, Err(ToolError::Cancelled));
        assert_eq!(play(vec![Err(Error::Cancelled)], Signal::Proceed).0, Err(ToolError::Cancelled));
    }

    #[test]
    fn the_live_text_is_short_however_much_comes() {
        let (result, seen) = play(vec![out(&"y\n".repeat(50_000)), Ok(Some(Output::Exited(0)))], Signal::Proceed);
        assert_eq!(seen.iter().map(|text| text.len()).collect::<Vec<_>>(), [LIVE]);
        let Ok(content) = result else { panic!("{result:?}") };
        let [Content::Text(report)] = content.as_slice() else { panic!("{content:?}") };
        assert!(report.chars().count() < 10_100);
    }

    #[test]
    fn a_refusal_of_the_capability_reaches_the_model_in_its_words() {
        assert_eq!(
            [
                Error::AccessDenied("run `openpista-host plugin allow tool-shell shell`".into()),
                Error::NotFound("no folder src2 in the workspace".into()),
                Error::Unavailable("no bash".into()),
            ]
            .map(refusal),
            [
                ToolError::AccessDenied("run `openpista-host plugin allow tool-shell shell`".into()),
                ToolError::InvalidArguments("system.run: no folder src2 in the workspace".into()),
                ToolError::Other("system.run: the shell is not available now: no bash".into()),
            ]
        );
    }
}
