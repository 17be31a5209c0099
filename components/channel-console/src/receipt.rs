//! How far a reply was printed. A terminal cannot take back what it shows, and each call is a fresh instance: so the
//! receipt of one delivery tells the next what is on the screen.

use crate::markdown::Marks;

/// What FNV-1a begins with.
const BASIS: u64 = 0xcbf2_9ce4_8422_2325;

/// What is on the screen of the turn's text.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Printed {
    /// Bytes of the text.
    pub bytes: usize,
    /// Of those bytes, to see whether a later text begins with them.
    hash: u64,
    /// The same without white space at the end, which the whole reply may lack.
    solid: (usize, u64),
    /// Where in its Markdown the text is.
    pub marks: Marks,
}

impl Printed {
    /// Nothing yet.
    pub const NOTHING: Self = Self { bytes: 0, hash: BASIS, solid: (0, BASIS), marks: Marks::BEGIN };

    /// From a receipt; a missing or strange one is [`Printed::NOTHING`].
    pub fn parse(receipt: Option<&str>) -> Self {
        let read = |text: &str| {
            let mut fields = text.split(' ');
            Some(Self {
                bytes: fields.next()?.parse().ok()?,
                hash: u64::from_str_radix(fields.next()?, 16).ok()?,
                solid: (fields.next()?.parse().ok()?, u64::from_str_radix(fields.next()?, 16).ok()?),
                marks: Marks::of(fields.next()?.parse().ok()?),
            })
        };
        receipt.and_then(read).unwrap_or(Self::NOTHING)
    }

    /// As a receipt.
    pub fn receipt(self) -> String {
        let (solid, solid_hash) = self.solid;
        format!("{} {:016x} {solid} {solid_hash:016x} {}", self.bytes, self.hash, self.marks.bits())
    }

    /// After `text` was printed too.
    pub fn and(self, text: &str, marks: Marks) -> Self {
        let words = text.trim_end();
        let solid = if words.is_empty() { self.solid } else { (self.bytes + words.len(), fnv(self.hash, words)) };
        Self { bytes: self.bytes + text.len(), hash: fnv(self.hash, text), solid, marks }
    }

    /// After something else was printed on lines of its own.
    pub fn interrupted(self) -> Self {
        Self { marks: self.marks.interrupted(), ..self }
    }

    /// What of `whole` is not printed yet; none if `whole` does not begin with what was printed.
    pub fn rest_of(self, whole: &str) -> Option<&str> {
        let rest = |(bytes, hash): (usize, u64)| {
            let (before, rest) = whole.split_at_checked(bytes)?;
            (fnv(BASIS, before) == hash).then_some(rest)
        };
        rest((self.bytes, self.hash)).or_else(|| rest(self.solid))
    }

    /// What of a piece that begins at byte `since` of the text is not printed yet; none if text before it is missing.
    pub fn rest_of_piece(self, piece: &str, since: usize) -> Option<&str> {
        let known = self.bytes.checked_sub(since)?;
        if known >= piece.len() { Some("") } else { piece.get(known..) }
    }
}

/// FNV-1a, 64 bits: can be continued, and nobody gains anything from a collision.
fn fnv(start: u64, text: &str) -> u64 {
    text.bytes().fold(start, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_receipt_is_read_back_and_a_strange_one_is_nothing() {
        let printed = Printed::NOTHING.and("héllo\n", Marks::BEGIN).and("you", Marks::of(0b101));
        assert_eq!(Printed::parse(Some(&printed.receipt())), printed);
        assert_eq!(Printed::parse(None), Printed::NOTHING);
        assert_eq!(Printed::parse(Some("twelve")), Printed::NOTHING);
    }

    #[test]
    fn only_a_text_that_begins_with_the_printed_one_has_a_rest() {
        let printed = Printed::NOTHING.and("one ", Marks::BEGIN).and("two", Marks::BEGIN);
        assert_eq!(printed.rest_of("one two three"), Some(" three"));
        assert_eq!(printed.rest_of("two three four"), None);
        assert_eq!(printed.rest_of("one"), None);
        assert_eq!(printed.and(", ", Marks::BEGIN).rest_of("one two,\n\nthree"), Some("\n\nthree"));
        assert_eq!(printed.and("  \n", Marks::BEGIN).rest_of("one two"), Some(""));
    }

    #[test]
    fn a_piece_that_came_before_is_not_printed_again_and_a_gap_is_seen() {
        let printed = Printed::NOTHING.and("abcd", Marks::BEGIN);
        assert_eq!(printed.rest_of_piece("efg", 4), Some("efg"));
        assert_eq!(printed.rest_of_piece("cdef", 2), Some("ef"));
        assert_eq!(printed.rest_of_piece("bc", 1), Some(""));
        assert_eq!(printed.rest_of_piece("gh", 6), None);
    }
}
