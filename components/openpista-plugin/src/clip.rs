//! Output of unknown length as text with a hard cap, for whatever enters the model's context.
//!
//! A process may write gigabytes: [`Clip`] keeps the beginning and the end, counts the rest, and never holds more than
//! a few times its cap. Characters are Unicode scalar values; bytes that are not UTF-8 become `U+FFFD`, whichever way
//! the bytes were cut into pieces.

/// Text that is collected piece by piece.
#[derive(Clone, Debug)]
pub struct Clip {
    cap: usize,
    head: String,
    head_chars: usize,
    /// What came after `head`, at least the last `cap` characters of it.
    tail: String,
    tail_chars: usize,
    /// Characters that were dropped from the front of `tail`.
    dropped: u64,
    /// The beginning of a character of which the rest has not come yet.
    partial: Vec<u8>,
    bytes: u64,
    /// Characters that text does not have: NUL and what was not UTF-8.
    odd: u64,
}

impl Clip {
    /// Keeps what is needed to show up to `cap` characters.
    pub fn new(cap: usize) -> Self {
        Self {
            cap,
            head: String::new(),
            head_chars: 0,
            tail: String::new(),
            tail_chars: 0,
            dropped: 0,
            partial: Vec::new(),
            bytes: 0,
            odd: 0,
        }
    }

    /// Takes the next bytes.
    pub fn push(&mut self, bytes: &[u8]) {
        self.bytes = self.bytes.saturating_add(bytes.len() as u64);
        let joined;
        let mut rest = if self.partial.is_empty() {
            bytes
        } else {
            let mut all = std::mem::take(&mut self.partial);
            all.extend_from_slice(bytes);
            joined = all;
            joined.as_slice()
        };
        while !rest.is_empty() {
            match std::str::from_utf8(rest) {
                Ok(text) => {
                    self.append(text);
                    break;
                }
                Err(error) => {
                    let (good, bad) = rest.split_at(error.valid_up_to());
                    self.append(&String::from_utf8_lossy(good));
                    match error.error_len() {
                        Some(length) => {
                            self.append("\u{FFFD}");
                            rest = bad.get(length..).unwrap_or_default();
                        }
                        None => {
                            self.partial = bad.to_vec();
                            break;
                        }
                    }
                }
            }
        }
    }

    /// Takes the next text.
    pub fn push_str(&mut self, text: &str) {
        self.push(text.as_bytes());
    }

    /// No more bytes come: a character that is still incomplete is a broken one.
    pub fn end(&mut self) {
        if !self.partial.is_empty() {
            self.partial.clear();
            self.append("\u{FFFD}");
        }
    }

    /// All bytes that came.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// All characters that came.
    pub fn chars(&self) -> u64 {
        self.head_chars as u64 + self.dropped + self.tail_chars as u64
    }

    /// Nothing came.
    pub fn is_empty(&self) -> bool {
        self.bytes == 0
    }

    /// Whether a person would not call this text: more than a tenth of it is NUL or not UTF-8.
    pub fn is_binary(&self) -> bool {
        self.odd > 0 && self.odd.saturating_mul(10) > self.chars()
    }

    /// At most `budget` characters, mark included: everything, or the beginning and the end with a mark between them
    /// that says how much is left out. A budget over the cap is the cap.
    pub fn text(&self, budget: usize) -> String {
        let budget = budget.min(self.cap);
        let total = self.chars();
        if total <= budget as u64 {
            return format!("{}{}", self.head, self.tail);
        }
        // The mark is written with the largest count it can show, so that its length is known before the real count.
        let longest = mark(total);
        let Some(room) = budget.checked_sub(longest.chars().count()).filter(|room| *room > 0) else {
            return self.head.chars().take(budget).collect();
        };
        let front = room.div_ceil(2);
        let back = room - front;
        let head: String = self.head.chars().take(front).collect();
        format!("{head}{}{}", mark(total - room as u64), self.last(back))
    }

    /// The last `count` characters, at most the cap.
    pub fn last(&self, count: usize) -> String {
        let count = count.min(self.cap);
        if count <= self.tail_chars {
            return self.tail.chars().skip(self.tail_chars - count).collect();
        }
        // `tail` is shorter than asked for only while nothing was dropped, so `head` goes before it without a gap.
        let more = count - self.tail_chars;
        let mut text: String = self.head.chars().skip(self.head_chars.saturating_sub(more)).collect();
        text.push_str(&self.tail);
        text
    }

    fn append(&mut self, text: &str) {
        for character in text.chars() {
            if matches!(character, '\0' | '\u{FFFD}') {
                self.odd += 1;
            }
            if self.head_chars < self.cap {
                self.head.push(character);
                self.head_chars += 1;
                continue;
            }
            self.tail.push(character);
            self.tail_chars += 1;
            // Twice the cap before anything is dropped: each character is moved once on average.
            if self.tail_chars >= self.cap.saturating_mul(2).max(2) {
                let drop = self.tail_chars - self.cap;
                self.tail = self.tail.chars().skip(drop).collect();
                self.tail_chars = self.cap;
                self.dropped += drop as u64;
            }
        }
    }
}

/// `text` with at most `budget` characters: the beginning and the end, and how much is left out between them.
pub fn cut(text: &str, budget: usize) -> String {
    let mut clip = Clip::new(budget);
    clip.push_str(text);
    clip.text(budget)
}

fn mark(left_out: u64) -> String {
    format!("\n[… {} characters left out …]\n", grouped(left_out))
}

/// `12345` as `12,345`.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn short_text_stays_as_it_is() {
        assert_eq!(cut("naïve 🦀", 7), "naïve 🦀");
        assert_eq!(cut("", 10), "");
    }

    #[test]
    fn long_text_keeps_both_ends_and_tells_what_is_missing() {
        let text: String = ('a'..='z').cycle().take(1000).collect();
        let shown = cut(&text, 50);
        assert_eq!(shown, "abcdefghi\n[… 983 characters left out …]\nefghijkl");
    }

    #[test]
    fn a_budget_without_room_for_the_mark_is_the_beginning() {
        assert_eq!(cut("abcdefghijklmnopqrstuvwxyz", 5), "abcde");
    }

    #[test]
    fn numbers_are_grouped_by_three() {
        assert_eq!([0, 999, 1000, 1234567].map(grouped), ["0", "999", "1,000", "1,234,567"].map(String::from));
    }

    #[test]
    fn bytes_that_are_no_text_are_called_binary() {
        let mut clip = Clip::new(100);
        clip.push(&[0x7f, b'E', b'L', b'F', 0, 0, 0xff, 0xfe]);
        assert!(clip.is_binary());
        let mut text = Clip::new(100);
        text.push_str("one broken byte in a long line: ");
        text.push(&[0xff]);
        assert!(!text.is_binary());
    }

    proptest! {
        #[test]
        fn the_pieces_do_not_matter(bytes in proptest::collection::vec(any::<u8>(), 0..400), cuts in proptest::collection::vec(0usize..400, 0..8)) {
            let mut pieces = Clip::new(4000);
            let mut at: Vec<usize> = cuts.into_iter().map(|c| c.min(bytes.len())).collect();
            at.sort_unstable();
            at.push(bytes.len());
            let mut from = 0;
            for to in at {
                pieces.push(&bytes[from..to]);
                from = to;
            }
            pieces.end();
            prop_assert_eq!(pieces.text(4000), String::from_utf8_lossy(&bytes).into_owned());
        }

        #[test]
        fn never_longer_than_the_budget_and_both_ends_are_the_texts(text in ".{0,600}", budget in 0usize..300) {
            let shown = cut(&text, budget);
            prop_assert!(shown.chars().count() <= budget);
            if let Some((head, rest)) = shown.split_once("\n[… ") && text.chars().count() > budget {
                let tail = rest.split_once("]\n").map(|(_, tail)| tail).unwrap_or_default();
                prop_assert!(text.starts_with(head));
                prop_assert!(text.ends_with(tail));
            }
        }

        #[test]
        fn the_last_characters_are_the_last(text in ".{0,300}", cap in 1usize..40, count in 0usize..60) {
            let mut clip = Clip::new(cap);
            clip.push_str(&text);
            let wanted = count.min(cap);
            let all: Vec<char> = text.chars().collect();
            let last: String = all[all.len().saturating_sub(wanted)..].iter().collect();
            prop_assert_eq!(clip.last(count), last);
        }
    }
}
