//! Standard input and output as one connection.
//!
//! On a terminal lines are edited ([`editor`]), and what the channel sends is drawn above the line. Elsewhere each line
//! that comes is a frame. Of what is sent, only text, colours and the marks of the prompt count ([`marks`]).
//!
//! Input is read by a thread of its own: a blocked read of a terminal cannot be cancelled, and must not hold up the end
//! of the daemon. The end of a pipe ends nothing: the connection stays for what is written.

mod editor;
mod history;
mod marks;
mod screen;

use std::io::{BufRead, IsTerminal as _, Read as _};
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::io::{AsyncWrite, AsyncWriteExt as _};
use tokio::sync::{Mutex, mpsc};
use tokio_util::sync::CancellationToken;

use self::marks::{Part, parts};
use super::connection::{Connection, End, Link, Outgoing, Transport, code};
use super::instance::Instance;
use super::status::State;
use super::{Frame, lines};

/// Asks for a fresh line (OSC 133).
pub(super) const FRESH_LINE: &str = "\u{1b}]133;L\u{7}";
/// The longest line of a console, in bytes.
const LINE_MAX: usize = 1 << 20;
/// Lines read ahead of the channel.
const AHEAD: usize = 16;
/// What was sent before the end is drawn within this.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// Where lines come from and where frames go.
pub struct Console {
    lines: mpsc::Receiver<Frame>,
    output: Output,
    input_over: bool,
    headers: Vec<(String, String)>,
}

enum Output {
    /// Not yet used, so that what the host writes before does not meet the prompt.
    Later {
        lines: mpsc::Sender<Frame>,
        history: PathBuf,
        end: CancellationToken,
    },
    Editor(editor::Shown),
    Plain(Plain),
}

impl Console {
    /// Standard input and output: with a line that is edited if both are a terminal that can move its cursor. What is
    /// typed is kept in the file `history`; `end` is told when the person ends the input.
    pub fn standard(history: PathBuf, end: CancellationToken) -> Result<Self, String> {
        let shows = std::io::stdout().is_terminal();
        let term = std::env::var("TERM").unwrap_or_default();
        let able = !matches!(term.as_str(), "" | "dumb" | "cons25" | "emacs");
        let colour = shows && able && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        let headers = if shows {
            let colour = if colour { "yes" } else { "no" };
            vec![("term".to_owned(), term), ("color".to_owned(), colour.to_owned())]
        } else {
            Vec::new()
        };
        if able && shows && std::io::stdin().is_terminal() {
            let (send, lines) = mpsc::channel(AHEAD);
            let output = Output::Later { lines: send, history, end };
            let headers = [headers, vec![("edit".to_owned(), "yes".to_owned())]].concat();
            return Ok(Self { lines, output, input_over: false, headers });
        }
        Ok(Self { headers, ..Self::new(std::io::BufReader::new(std::io::stdin()), tokio::io::stdout())? })
    }

    /// Any input and output.
    pub fn new(
        input: impl BufRead + Send + 'static,
        output: impl AsyncWrite + Send + Unpin + 'static,
    ) -> Result<Self, String> {
        let (send, lines) = mpsc::channel(AHEAD);
        let typed = Arc::new(AtomicBool::new(false));
        let output = Plain { to: Box::new(output), typed: Arc::clone(&typed), prompted: false, within: false };
        let read = move || read(input, &send, &typed);
        let thread = std::thread::Builder::new().name("console".to_owned()).spawn(read);
        thread.map_err(|error| format!("no thread for the console could be started: {error}"))?;
        Ok(Self { lines, output: Output::Plain(output), input_over: false, headers: Vec::new() })
    }
}

/// Text as it comes, for pipes and terminals that cannot move their cursor.
struct Plain {
    to: Box<dyn AsyncWrite + Send + Unpin>,
    /// A line came since the prompt was written: whoever typed it ended the prompt's line.
    typed: Arc<AtomicBool>,
    /// The last that was written is a prompt.
    prompted: bool,
    /// What was written ends within a line.
    within: bool,
}

impl Plain {
    async fn write(&mut self, frame: &str) -> std::io::Result<()> {
        let mut text = String::new();
        for part in parts(frame) {
            if std::mem::take(&mut self.prompted) && !self.typed.load(Ordering::Acquire) {
                text.push('\n');
            }
            match part {
                Part::Text(words) => {
                    self.within = !words.ends_with('\n');
                    text.push_str(&words);
                }
                Part::Fresh => self.fresh(&mut text),
                Part::Prompt(prompt) => {
                    self.fresh(&mut text);
                    text.push_str(&prompt);
                    self.prompted = true;
                    self.typed.store(false, Ordering::Release);
                }
            }
        }
        self.to.write_all(text.as_bytes()).await
    }

    fn fresh(&mut self, text: &mut String) {
        if std::mem::take(&mut self.within) {
            text.push('\n');
        }
    }
}

impl Output {
    fn start(&mut self) -> Result<(), String> {
        if let Self::Later { lines, history, end } = self {
            *self = Self::Editor(editor::start(lines.clone(), history.clone(), end.clone())?);
        }
        Ok(())
    }

    async fn write(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        match self {
            Self::Later { .. } => Ok(()),
            Self::Editor(shown) => shown.write_all(bytes).await,
            Self::Plain(plain) => plain.write(&String::from_utf8_lossy(bytes)).await,
        }
    }

    async fn flush(&mut self) -> std::io::Result<()> {
        match self {
            Self::Later { .. } => Ok(()),
            Self::Editor(shown) => Pin::new(shown).flush().await,
            Self::Plain(plain) => plain.to.flush().await,
        }
    }
}

/// Reads lines until the end of input, or until nobody wants them.
fn read(mut input: impl BufRead, send: &mpsc::Sender<Frame>, typed: &AtomicBool) {
    loop {
        let mut line = Vec::new();
        match input.by_ref().take(LINE_MAX as u64 + 1).read_until(b'\n', &mut line) {
            Ok(0) => return,
            Ok(_) => {}
            Err(error) => {
                tracing::warn!(%error, "the console cannot be read any more");
                return;
            }
        }
        if line.len() > LINE_MAX && line.last() != Some(&b'\n') {
            tracing::warn!("a line of the console was skipped: it has more than {LINE_MAX} bytes");
            if input.skip_until(b'\n').is_err() {
                return;
            }
            continue;
        }
        typed.store(true, Ordering::Release);
        if send.blocking_send(lines::frame(line)).is_err() {
            return;
        }
    }
}

/// Serves the console for as long as the transport is wanted.
pub(super) async fn run(
    instance: &Arc<Instance>,
    transport: &Arc<Transport>,
    console: Result<Arc<Mutex<Console>>, String>,
) {
    let console = match console {
        Ok(console) => console,
        Err(reason) => return transport.health.set(State::Off { reason }),
    };
    // A console of an instance that ends is given back before this one has it.
    let mut console = console.lock().await;
    let Console { lines, output, input_over, headers } = &mut *console;
    if let Err(reason) = output.start() {
        return transport.health.set(State::Off { reason });
    }
    let (link, mut outgoing) = instance.open(transport);
    link.opened(None, String::new(), headers.clone()).await;
    transport.health.set(State::Open);
    let end = {
        let reader = receive(lines, input_over, &link);
        let writer = write(output, &mut outgoing, &link.connection);
        tokio::pin!(reader);
        tokio::select! {
            biased;
            end = &mut reader => end,
            () = writer => reader.await,
        }
    };
    // While the person searches the history nothing is drawn.
    let _drawn = tokio::time::timeout(LAST_WORDS, output.flush()).await;
    let reason = format!("closed by the channel: {}", end.reason);
    link.closed(end).await;
    transport.health.set(State::Off { reason });
}

async fn receive(lines: &mut mpsc::Receiver<Frame>, input_over: &mut bool, link: &Link) -> End {
    loop {
        let line = tokio::select! {
            biased;
            end = link.connection.ended() => return end,
            line = lines.recv(), if !*input_over => line,
        };
        match line {
            Some(line) => {
                link.frame(line).await;
            }
            None => *input_over = true,
        }
    }
}

/// Writes what is queued; ends only after it has ended the connection.
async fn write(output: &mut Output, outgoing: &mut mpsc::UnboundedReceiver<Outgoing>, connection: &Connection) {
    while let Some(item) = outgoing.recv().await {
        let written = match (&item, item.bytes()) {
            (Outgoing::Close(end), _) => return connection.end(end.clone()),
            (_, Some(bytes)) => output.write(bytes).await,
            (_, None) => Ok(()),
        };
        connection.sent(&item);
        let flushed = match written {
            Ok(()) if outgoing.is_empty() => output.flush().await,
            other => other,
        };
        if let Err(error) = flushed {
            return connection.end(End::new(code::VANISHED, format!("standard output: {error}")));
        }
    }
}

/// For the fuzzers: texts with and without colours.
#[cfg(any(test, fuzzing))]
pub(super) fn drawn(frame: &str) -> Vec<(String, String)> {
    let texts = marks::parts(frame).into_iter().filter_map(|part| match part {
        marks::Part::Text(text) | marks::Part::Prompt(text) => Some(text),
        marks::Part::Fresh => None,
    });
    texts.map(|text| (text.clone(), marks::plain(&text))).collect()
}

#[cfg(test)]
mod tests {
    use std::io::{Cursor, Write as _};
    use std::time::Duration;

    use tokio::io::AsyncReadExt as _;

    use super::*;
    use crate::capability::connection::{Connections as _, Effect};
    use crate::transport::TransportKind;
    use crate::transport::fake::{Fake, Seen, setup};
    use crate::wit::openpista::connection::connection::Target;

    #[tokio::test]
    async fn lines_are_frames_and_frames_are_written_as_they_are() {
        let (mut typed, input) = std::io::pipe().map(|(read, write)| (write, read)).unwrap();
        let (output, mut shown) = tokio::io::duplex(1024);
        let fake = Fake::with_console(Console::new(std::io::BufReader::new(input), output));
        fake.configure("console", setup("tty", TransportKind::Console)).unwrap();
        assert_eq!(fake.seen().await, Seen::opened("tty", ""));

        typed.write_all("grüß dich\r\nand\n".as_bytes()).unwrap();
        assert_eq!(fake.seen().await, Seen::text("tty", "grüß dich"));
        assert_eq!(fake.seen().await, Seen::text("tty", "and"));

        fake.hub.apply("console", vec![Effect::Send(Target::One(fake.last()), Frame::Text("> ".into()))]);
        let mut bytes = [0; 2];
        shown.read_exact(&mut bytes).await.unwrap();
        assert_eq!(&bytes, b"> ");
    }

    #[tokio::test]
    async fn the_end_of_input_leaves_the_connection_open() {
        let (output, mut shown) = tokio::io::duplex(1024);
        let fake = Fake::with_console(Console::new(Cursor::new("last"), output));
        fake.configure("console", setup("tty", TransportKind::Console)).unwrap();
        assert_eq!(fake.seen().await, Seen::opened("tty", ""));
        assert_eq!(fake.seen().await, Seen::text("tty", "last"));
        fake.hub.apply("console", vec![Effect::Send(Target::One(fake.last()), Frame::Text("still".into()))]);
        let mut bytes = [0; 5];
        shown.read_exact(&mut bytes).await.unwrap();
        assert_eq!(&bytes, b"still");
        assert!(fake.hub.is_open("console", fake.last()));
    }

    #[tokio::test]
    async fn a_line_that_is_too_long_is_skipped() {
        let (output, _shown) = tokio::io::duplex(64);
        let fits = "y".repeat(LINE_MAX);
        let input = format!("{}\n{fits}\nshort\n", "x".repeat(LINE_MAX + 10));
        let fake = Fake::with_console(Console::new(Cursor::new(input), output));
        fake.configure("console", setup("tty", TransportKind::Console)).unwrap();
        assert_eq!(fake.seen().await, Seen::opened("tty", ""));
        assert_eq!(fake.seen().await, Seen::text("tty", &fits));
        assert_eq!(fake.seen().await, Seen::text("tty", "short"));
    }

    #[tokio::test]
    async fn without_a_terminal_the_status_says_how_to_have_a_console() {
        let fake = Fake::with_console(Err("no terminal; use --console".to_owned()));
        fake.configure("console", setup("tty", TransportKind::Console)).unwrap();
        fake.until(|hub| {
            let state = hub.status().remove(0).state;
            state == State::Off { reason: "no terminal; use --console".to_owned() }
        })
        .await;
    }

    #[tokio::test]
    async fn a_blocked_read_does_not_hold_up_the_end() {
        let (_typed, input) = std::io::pipe().map(|(read, write)| (write, read)).unwrap();
        let (output, _shown) = tokio::io::duplex(64);
        let fake = Fake::with_console(Console::new(std::io::BufReader::new(input), output));
        fake.configure("console", setup("tty", TransportKind::Console)).unwrap();
        assert_eq!(fake.seen().await, Seen::opened("tty", ""));
        tokio::time::timeout(Duration::from_secs(5), fake.hub.shutdown()).await.unwrap();
    }
}
