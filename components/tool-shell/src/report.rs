//! What a command wrote, as the model reads it: exit code, standard output, standard error, within a cap.

use openpista_plugin::clip::{Clip, grouped};

/// How it ended.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum End {
    /// By itself, with this code; 128 + its number for a signal.
    Exited(i32),
    /// Killed after so many seconds.
    TimedOut(u32),
    /// The host lost it before it ended.
    Lost,
}

/// Both streams, as far as they are kept.
pub struct Written {
    /// Standard output.
    pub stdout: Clip,
    /// Standard error.
    pub stderr: Clip,
    cap: usize,
}

impl Written {
    /// For a report of at most `cap` characters of output.
    pub fn new(cap: usize) -> Self {
        Self { stdout: Clip::new(cap), stderr: Clip::new(cap), cap }
    }

    /// The report. The cap holds for both streams together: the errors get at least a quarter of it when they need
    /// it, for that is where a failure says why.
    pub fn report(&mut self, end: End) -> String {
        self.stdout.end();
        self.stderr.end();
        let needed = |clip: &Clip| usize::try_from(clip.chars()).unwrap_or(usize::MAX);
        let for_errors = needed(&self.stderr).min((self.cap / 4).max(self.cap.saturating_sub(needed(&self.stdout))));
        let for_output = self.cap.saturating_sub(for_errors);

        let mut text = match end {
            End::Exited(code) => format!("exit code: {code}"),
            End::TimedOut(seconds) => {
                format!("[killed after {seconds} s: it had not ended; what came until then follows]")
            }
            End::Lost => "[it ended without an exit code; what came until then follows]".into(),
        };
        section(&mut text, "stdout", &self.stdout, for_output);
        section(&mut text, "stderr", &self.stderr, for_errors);
        if self.stdout.is_empty() && self.stderr.is_empty() {
            text.push_str("\n(no output)");
        }
        text
    }
}

fn section(text: &mut String, name: &str, clip: &Clip, budget: usize) {
    if clip.is_empty() {
        return;
    }
    text.push_str(&format!("\n{name}:\n"));
    if clip.is_binary() {
        text.push_str(&format!("[binary output, {} bytes, not shown]", grouped(clip.bytes())));
    } else {
        text.push_str(clip.text(budget).trim_end_matches('\n'));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(stdout: &[u8], stderr: &[u8], cap: usize, end: End) -> String {
        let mut written = Written::new(cap);
        written.stdout.push(stdout);
        written.stderr.push(stderr);
        written.report(end)
    }

    #[test]
    fn both_streams_and_the_code_are_reported() {
        assert_eq!(
            report(b"a\nb\n", b"warning\n", 10_000, End::Exited(2)),
            "exit code: 2\nstdout:\na\nb\nstderr:\nwarning"
        );
    }

    #[test]
    fn silence_is_said() {
        assert_eq!(report(b"", b"", 10_000, End::Exited(0)), "exit code: 0\n(no output)");
    }

    #[test]
    fn a_killed_command_shows_what_it_had_written() {
        assert_eq!(
            report(b"step 1\n", b"", 10_000, End::TimedOut(3)),
            "[killed after 3 s: it had not ended; what came until then follows]\nstdout:\nstep 1"
        );
    }

    #[test]
    fn ten_thousand_characters_are_the_limit_for_both_together() {
        let long = "é".repeat(30_000);
        let shown = report(long.as_bytes(), long.as_bytes(), 10_000, End::Exited(0));
        let (_, rest) = shown.split_once("stdout:\n").unwrap();
        let (stdout, stderr) = rest.split_once("\nstderr:\n").unwrap();
        assert_eq!((stdout.chars().count(), stderr.chars().count()), (7_500, 2_500));
        assert!(stdout.contains("[… 22,534 characters left out …]"), "{}", stdout.replace('é', ""));
        assert!(stdout.starts_with("éé") && stdout.ends_with("éé"));
    }

    #[test]
    fn errors_use_the_room_that_the_output_leaves() {
        let long = "e".repeat(9_000);
        assert_eq!(
            report(b"ok\n", long.as_bytes(), 10_000, End::Exited(1)),
            format!("exit code: 1\nstdout:\nok\nstderr:\n{long}")
        );
    }

    #[test]
    fn binary_output_is_named_instead_of_shown() {
        assert_eq!(
            report(&[0u8; 2048], b"", 10_000, End::Exited(0)),
            "exit code: 0\nstdout:\n[binary output, 2,048 bytes, not shown]"
        );
    }

    #[test]
    fn invalid_utf8_is_replaced() {
        assert_eq!(
            report(b"caf\xe9 and a long enough line of text\n", b"", 10_000, End::Exited(0)),
            "exit code: 0\nstdout:\ncaf\u{FFFD} and a long enough line of text"
        );
    }
}
