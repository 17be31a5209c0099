//! The console of a real terminal: a line that is edited, with a history, while what the channel sends is drawn above it.
//!
//! One thread reads keys and draws. What is written meanwhile waits in the [`Screen`]; a second thread tells the editor,
//! which then draws itself anew and, before its prompt, what waits. So nothing is ever drawn into a line that is edited.

use std::borrow::Cow;
use std::io::Write as _;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use rustyline::completion::Completer;
use rustyline::error::ReadlineError;
use rustyline::highlight::Highlighter;
use rustyline::hint::Hinter;
use rustyline::history::MemHistory;
use rustyline::validate::Validator;
use rustyline::{
    Cmd, ColorMode, ConditionalEventHandler, Config, Editor, Event, EventContext, EventHandler, Helper, KeyEvent,
    Movement, RepeatCount,
};
use tokio::io::AsyncWrite;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::history::{History, MOST};
use super::screen::Screen;
use crate::transport::Frame;

/// More than this does not wait to be drawn: who writes waits.
const WAITING_MAX: usize = 1 << 20;
/// Up and down again: the editor draws itself anew, and there what waits. Without an end of line it would add one.
const LOOK: &str = "\x1b[A\n";
/// Ctrl-C where no line is to be cleared.
const INTERRUPT: &str = "\x03";

/// A channel that has not named its prompt by now has none.
const FIRST_PROMPT: Duration = Duration::from_secs(2);

/// What the editor shares with whoever writes.
#[derive(Clone)]
pub(super) struct Shown {
    state: Arc<Mutex<State>>,
    look: SyncSender<()>,
    written: Arc<Condvar>,
}

#[derive(Default)]
struct State {
    screen: Screen,
    /// The prompt, as the editor counts its cells.
    begun: String,
    /// The editor has the terminal.
    editing: bool,
    /// Nobody draws any more.
    over: bool,
    /// Who waits until all is drawn.
    writers: Vec<Waker>,
}

impl State {
    /// What is to be drawn above the prompt.
    fn paint(&mut self) -> String {
        let drawn = self.screen.paint(size().0);
        self.writers.drain(..).for_each(Waker::wake);
        drawn
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Columns and rows.
fn size() -> (usize, usize) {
    terminal_size::terminal_size().map_or((80, 24), |(columns, rows)| (columns.0.max(2).into(), rows.0.max(2).into()))
}

/// Begins to edit lines on standard input and output. `end` is told when the person wants no more.
pub(super) fn start(lines: mpsc::Sender<Frame>, history: PathBuf, end: CancellationToken) -> Result<Shown, String> {
    let failed = |error: ReadlineError| format!("the terminal cannot be used: {error}");
    let config = Config::builder().color_mode(ColorMode::Forced).auto_add_history(false);
    let config = config.max_history_size(MOST).map_err(failed)?.build();
    let mut editor = Editor::with_history(config.clone(), MemHistory::with_config(&config)).map_err(failed)?;
    let (look, wanted) = sync_channel(1);
    let shown = Shown { state: Arc::default(), look, written: Arc::default() };
    editor.set_helper(Some(Above(Arc::clone(&shown.state))));
    editor.bind_sequence(KeyEvent::ctrl('C'), EventHandler::Conditional(Box::new(ClearOrInterrupt)));
    let printer = editor.create_external_printer().map_err(failed)?;
    let (history, before) = History::open(history);
    for line in before {
        editor.add_history_entry(line).map_err(failed)?;
    }
    let state = Arc::clone(&shown.state);
    let written = Arc::clone(&shown.written);
    let mut keys = Keys { editor, state, history, lines };
    let spawn = |name: &str, run: Box<dyn FnOnce() + Send>| {
        let thread = std::thread::Builder::new().name(name.to_owned()).spawn(run);
        thread.map(drop).map_err(|error| format!("no thread for the console could be started: {error}"))
    };
    spawn("console-look", Box::new(move || look_again(printer, &wanted)))?;
    spawn(
        "console",
        Box::new(move || {
            // The editor counts the cells of its prompt when it begins.
            let unnamed = |state: &mut State| state.screen.prompt().is_empty();
            drop(written.wait_timeout_while(lock(&keys.state), FIRST_PROMPT, unnamed));
            let wanted = keys.edit();
            let mut state = lock(&keys.state);
            state.over = true;
            show(&state.paint());
            drop(state);
            if wanted {
                end.cancel();
            }
        }),
    )?;
    Ok(shown)
}

/// Blocks while the person searches the history: a thread of its own.
fn look_again(mut printer: impl rustyline::ExternalPrinter, wanted: &Receiver<()>) {
    while wanted.recv().is_ok() {
        if printer.print(LOOK.to_owned()).is_err() {
            return;
        }
    }
}

struct Keys {
    editor: Editor<Above, MemHistory>,
    state: Arc<Mutex<State>>,
    history: History,
    lines: mpsc::Sender<Frame>,
}

impl Keys {
    /// Until the end of input; `true`: the person wants the daemon to end.
    fn edit(&mut self) -> bool {
        loop {
            let begun = {
                let mut state = lock(&self.state);
                state.begun = state.screen.prompt();
                state.begun.clone()
            };
            let read = self.editor.readline(&begun);
            lock(&self.state).editing = false;
            match read {
                Ok(line) => {
                    let line: String = line.chars().filter(|c| !c.is_control() || matches!(c, '\n' | '\t')).collect();
                    self.left(&begun, &line);
                    if self.history.add(&line)
                        && let Err(error) = self.editor.add_history_entry(&line)
                    {
                        tracing::warn!("the line is not remembered: {error}");
                    }
                    self.hand_on(line);
                }
                Err(ReadlineError::Interrupted) => {
                    self.left(&begun, "");
                    self.hand_on(INTERRUPT.to_owned());
                }
                Err(ReadlineError::Eof) => {
                    self.left(&begun, "");
                    return true;
                }
                // Not UTF-8: the line is lost, the terminal is not.
                Err(ReadlineError::Io(error)) if error.kind() == std::io::ErrorKind::InvalidData => {}
                Err(error) => {
                    tracing::warn!(%error, "the console cannot be read any more");
                    return false;
                }
            }
        }
    }

    /// Draws the line that is finished where it belongs.
    fn left(&self, begun: &str, line: &str) {
        let (columns, rows) = size();
        let drawn = lock(&self.state).screen.finished(begun, line, columns, rows);
        show(&drawn);
    }

    fn hand_on(&self, line: String) {
        if self.lines.try_send(Frame::Text(line)).is_err() {
            lock(&self.state).screen.write("\x1b]133;L\x07(too many lines wait: this one is not taken)\n");
        }
    }
}

/// Draws while the editor does not.
fn show(drawn: &str) {
    let mut out = std::io::stdout().lock();
    // Without a terminal the editor ends, too.
    let _gone = out.write_all(drawn.as_bytes()).and_then(|()| out.flush());
}

/// What the editor asks while it draws: its prompt is preceded by what is to stand above it.
struct Above(Arc<Mutex<State>>);

impl Highlighter for Above {
    fn highlight_prompt<'b, 's: 'b, 'p: 'b>(&'s self, prompt: &'p str, default: bool) -> Cow<'b, str> {
        let mut state = lock(&self.0);
        state.editing = true;
        let mut drawn = state.paint();
        if default && prompt == state.begun {
            drawn.push_str(&state.screen.drawn_prompt(prompt));
        } else {
            drawn.push_str(prompt);
        }
        Cow::Owned(drawn)
    }

    /// What is pasted may hold anything.
    fn highlight<'l>(&self, line: &'l str, _: usize) -> Cow<'l, str> {
        let steers = |c: char| c.is_control() && !matches!(c, '\n' | '\t');
        if line.contains(steers) { Cow::Owned(line.replace(steers, "")) } else { Cow::Borrowed(line) }
    }
}

impl Completer for Above {
    type Candidate = String;
}

impl Hinter for Above {
    type Hint = String;
}

impl Validator for Above {}
impl Helper for Above {}

struct ClearOrInterrupt;

impl ConditionalEventHandler for ClearOrInterrupt {
    fn handle(&self, _: &Event, _: RepeatCount, _: bool, context: &EventContext) -> Option<Cmd> {
        Some(if context.line().is_empty() { Cmd::Interrupt } else { Cmd::Kill(Movement::WholeBuffer) })
    }
}

impl AsyncWrite for Shown {
    /// A frame at a time.
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<std::io::Result<usize>> {
        let mut state = lock(&self.state);
        if state.screen.waiting() > WAITING_MAX && !state.over {
            state.writers.push(context.waker().clone());
            return Poll::Pending;
        }
        state.screen.write(&String::from_utf8_lossy(bytes));
        if state.over {
            show(&state.paint());
        }
        self.written.notify_all();
        let editing = state.editing;
        drop(state);
        if editing {
            // One that is under way is enough: it takes all that waits.
            let _under_way = self.look.try_send(());
        }
        Poll::Ready(Ok(bytes.len()))
    }

    /// All is drawn.
    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        let mut state = lock(&self.state);
        if state.screen.waiting() == 0 || state.over {
            return Poll::Ready(Ok(()));
        }
        state.writers.push(context.waker().clone());
        Poll::Pending
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        self.poll_flush(context)
    }
}
