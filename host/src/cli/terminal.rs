//! The terminal as it was before: whatever reads keys one by one on it, and however the daemon ends, the person gets it
//! back as it was.

use std::io::Write as _;
use std::sync::{Arc, Mutex, PoisonError};

use nix::sys::termios::{LocalFlags, SetArg, Termios, tcgetattr, tcsetattr};

/// No more marks around what is pasted, and the row of the prompt empty.
const AFTER_EDITING: &str = "\x1b[?2004l\r\x1b[J";

/// How the terminal of standard input was; nothing if there is none. It is put right when the last of these is dropped.
#[derive(Clone)]
pub(super) struct Terminal(Arc<Kept>);

struct Kept(Option<Mutex<Termios>>);

impl Terminal {
    /// How it is now.
    pub(super) fn remember() -> Self {
        Self(Arc::new(Kept(tcgetattr(std::io::stdin()).ok().map(Mutex::new))))
    }

    /// As it was, if it is not.
    pub(super) fn restore(&self) {
        self.0.restore();
    }
}

impl Kept {
    fn restore(&self) {
        let Some(kept) = &self.0 else { return };
        let kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
        let line_by_line = |how: &Termios| how.local_flags.contains(LocalFlags::ICANON);
        let edited = tcgetattr(std::io::stdin()).is_ok_and(|now| line_by_line(&kept) && !line_by_line(&now));
        if !edited {
            return;
        }
        let mut out = std::io::stdout().lock();
        // A terminal that is gone needs nothing.
        let _gone = out.write_all(AFTER_EDITING.as_bytes()).and_then(|()| out.flush());
        let _gone = tcsetattr(std::io::stdin(), SetArg::TCSADRAIN, &kept);
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        self.restore();
    }
}
