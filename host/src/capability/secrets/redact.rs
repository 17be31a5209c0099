//! Cutting secrets out of what comes back, however it is encoded and wherever it is cut into chunks.
//!
//! A [`Redactor`] knows the usual spellings of some secrets; a [`Filter`] runs a stream through it. All spellings are
//! looked for at once by one automaton, whose state after a byte is the longest suffix that begins a spelling. So the
//! filter knows at the end of each chunk how many bytes may still turn out to be a secret; it holds back those and no
//! others, and what streams is not delayed.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use aho_corasick::Anchored;
use aho_corasick::automaton::{Automaton, StateID};
use aho_corasick::nfa::contiguous::NFA;

use super::spelling;

/// Finds some secrets in all their spellings; the default one finds none.
#[derive(Debug, Default)]
pub struct Redactor {
    search: Option<Search>,
}

#[derive(Debug)]
struct Search {
    automaton: NFA,
    start: StateID,
    /// What is put in the place of each pattern.
    replacements: Vec<String>,
    /// How many of the last bytes may become a secret yet; states that are not in it: none.
    open: HashMap<StateID, usize>,
}

/// The search could not be set up: an error, for a filter that finds nothing must not look like one that works.
#[derive(Debug, thiserror::Error)]
pub enum RedactorError {
    /// Gigabytes of values.
    #[error("the secrets are too many or too long to be searched for: {0}")]
    Build(#[from] aho_corasick::BuildError),
    /// The automaton has no such search.
    #[error("secrets cannot be searched for: {0}")]
    Start(#[from] aho_corasick::MatchError),
}

/// What stands for a secret in a text that was cleaned.
pub fn label(name: &str) -> String {
    format!("[secret {name}]")
}

impl Redactor {
    /// From pairs of a secret's value and what to put in its place.
    pub fn new<'a>(secrets: impl IntoIterator<Item = (&'a str, String)>) -> Result<Self, RedactorError> {
        let mut patterns = Vec::new();
        let mut replacements = Vec::new();
        for (value, replacement) in secrets {
            for pattern in spelling::all(value) {
                patterns.push(pattern);
                replacements.push(replacement.clone());
            }
        }
        if patterns.is_empty() {
            return Ok(Self { search: None });
        }
        let automaton = NFA::new(&patterns)?;
        let start = automaton.start_state(Anchored::No)?;
        let open = open_suffixes(&automaton, start, &mut patterns);
        Ok(Self { search: Some(Search { automaton, start, replacements, open }) })
    }

    /// It was made for no secret.
    pub fn finds_nothing(&self) -> bool {
        self.search.is_none()
    }

    /// Whether any of them is in these bytes.
    pub(super) fn occurs_in(&self, bytes: &[u8]) -> bool {
        let Some(search) = &self.search else { return false };
        let mut state = search.start;
        bytes.iter().any(|byte| {
            state = search.automaton.next_state(Anchored::No, state, *byte);
            search.automaton.is_match(state)
        })
    }

    /// A text that is there as a whole.
    pub fn clean(self: &Arc<Self>, text: &str) -> String {
        String::from_utf8_lossy(&self.clean_bytes(text.as_bytes())).into_owned()
    }

    /// As `clean`, for bytes.
    pub fn clean_bytes(self: &Arc<Self>, bytes: &[u8]) -> Vec<u8> {
        // Nearly every text: nothing has to be held back to know that it holds no secret.
        if !self.occurs_in(bytes) {
            return bytes.to_vec();
        }
        let mut filter = Filter::new(Arc::clone(self));
        let mut cleaned = filter.push(bytes);
        cleaned.extend(filter.finish());
        cleaned
    }
}

/// For each state, the length of the longest suffix that is a *proper* prefix of a pattern.
fn open_suffixes(automaton: &NFA, start: StateID, patterns: &mut [Vec<u8>]) -> HashMap<StateID, usize> {
    let step = |state, byte: &u8| automaton.next_state(Anchored::No, state, *byte);
    let mut open = HashMap::new();
    for pattern in patterns.iter() {
        let proper = pattern.split_last().map_or(&[][..], |(_, proper)| proper);
        let mut state = start;
        for (length, byte) in (1..).zip(proper) {
            state = step(state, byte);
            open.insert(state, length);
        }
    }
    // What follows a whole pattern that begins no longer one is decided by its longest suffix; shorter ones first, so
    // that the suffix's own state is known.
    patterns.sort_by_key(Vec::len);
    for pattern in patterns.iter() {
        let end = pattern.iter().fold(start, step);
        if !open.contains_key(&end) {
            let suffix = pattern.iter().skip(1).fold(start, step);
            let length = open.get(&suffix).copied().unwrap_or(0);
            open.insert(end, length);
        }
    }
    open
}

/// A stream that is being cleaned.
#[derive(Debug, Default)]
pub struct Filter {
    redactor: Arc<Redactor>,
    state: Option<StateID>,
    /// Came in and did not go out.
    held: VecDeque<u8>,
    /// Offset in the stream of the first held byte.
    base: u64,
    /// Offset of the next byte to come.
    end: u64,
    /// Secrets among what is held, in order, without overlaps.
    hidden: VecDeque<Hidden>,
}

#[derive(Debug)]
struct Hidden {
    start: u64,
    end: u64,
    pattern: usize,
    /// Its replacement went out; the rest of it is dropped.
    announced: bool,
}

impl Filter {
    /// At the start of a stream.
    pub fn new(redactor: Arc<Redactor>) -> Self {
        let state = redactor.search.as_ref().map(|search| search.start);
        Self { redactor, state, held: VecDeque::new(), base: 0, end: 0, hidden: VecDeque::new() }
    }

    /// Takes a chunk in, gives what is certain.
    pub fn push(&mut self, chunk: &[u8]) -> Vec<u8> {
        let redactor = Arc::clone(&self.redactor);
        let (Some(search), Some(mut state)) = (redactor.search.as_ref(), self.state) else { return chunk.to_vec() };
        self.held.extend(chunk);
        for byte in chunk {
            state = search.automaton.next_state(Anchored::No, state, *byte);
            self.end += 1;
            if search.automaton.is_match(state) {
                self.hide(search, state);
            }
        }
        self.state = Some(state);
        let open = search.open.get(&state).copied().unwrap_or(0);
        self.release(search, self.end.saturating_sub(open as u64))
    }

    /// As `push`, of a stream of text. A secret is text, so what is held back begins and ends between characters.
    pub fn push_text(&mut self, piece: &str) -> String {
        String::from_utf8_lossy(&self.push(piece.as_bytes())).into_owned()
    }

    /// As `finish`, of a stream of text.
    pub fn finish_text(&mut self) -> String {
        String::from_utf8_lossy(&self.finish()).into_owned()
    }

    /// The stream is over: what was held back begins no secret.
    pub fn finish(&mut self) -> Vec<u8> {
        let redactor = Arc::clone(&self.redactor);
        let Some(search) = redactor.search.as_ref() else { return Vec::new() };
        self.state = Some(search.start);
        self.release(search, self.end)
    }

    fn hide(&mut self, search: &Search, state: StateID) {
        let ending = (0..search.automaton.match_len(state)).map(|index| search.automaton.match_pattern(state, index));
        let longest = ending.max_by_key(|pattern| search.automaton.pattern_len(*pattern));
        let Some(pattern) = longest else { return };
        let length = search.automaton.pattern_len(pattern) as u64;
        let mut found = Hidden {
            start: self.end.saturating_sub(length),
            end: self.end,
            pattern: pattern.as_usize(),
            announced: false,
        };
        while let Some(last) = self.hidden.pop_back_if(|last| last.end > found.start) {
            found.start = found.start.min(last.start);
            found.announced |= last.announced;
            found.pattern = last.pattern;
        }
        self.hidden.push_back(found);
    }

    /// Lets go of everything before `until`.
    fn release(&mut self, search: &Search, until: u64) -> Vec<u8> {
        let mut out = Vec::new();
        while self.base < until {
            let base = self.base;
            match self.hidden.front_mut() {
                Some(hidden) if hidden.start <= base => {
                    if !hidden.announced {
                        hidden.announced = true;
                        out.extend(
                            search.replacements.get(hidden.pattern).map_or(&b"[secret]"[..], |text| text.as_bytes()),
                        );
                    }
                    let to = hidden.end.min(until);
                    if hidden.end <= until {
                        self.hidden.pop_front();
                    }
                    self.take(to);
                }
                next => {
                    let to = next.map_or(until, |hidden| hidden.start.min(until));
                    out.extend(self.take(to));
                }
            }
        }
        out
    }

    fn take(&mut self, to: u64) -> std::collections::vec_deque::Drain<'_, u8> {
        let count = usize::try_from(to.saturating_sub(self.base)).unwrap_or(usize::MAX).min(self.held.len());
        self.base = to;
        self.held.drain(..count)
    }
}

#[cfg(test)]
mod tests;
