//! The messages that show a turn's growing text, for messengers in which messages can be edited.
//!
//! Each call of a channel is a fresh instance, so what is shown comes back as the receipt: the messages' ids, each with
//! a hash of its text. [`Shown::step`] says what to do next; one step in a call, so that nothing is done twice.

/// The messages of a turn, and when one of them was last changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Shown {
    /// Milliseconds since 1970.
    pub at: u64,
    /// Ids, which have neither `,` nor `=`, and hashes of the texts.
    pub messages: Vec<(String, u32)>,
}

/// What brings the messages nearer to the text, by place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// This message shows something else.
    Edit(usize),
    /// The next one is this.
    Send(usize),
    /// There are more messages than text.
    Delete(usize),
    /// Nothing.
    Done,
}

impl Shown {
    /// From a receipt; a missing or strange one is nothing.
    pub fn parse(receipt: Option<&str>) -> Self {
        let read = |receipt: &str| {
            let (at, rest) = receipt.split_once(';')?;
            let message = |text: &str| {
                let (id, hash) = text.split_once('=')?;
                Some((id.to_string(), u32::from_str_radix(hash, 16).ok()?))
            };
            let messages = rest.split(',').filter(|text| !text.is_empty()).map(message).collect::<Option<_>>()?;
            Some(Self { at: at.parse().ok()?, messages })
        };
        receipt.and_then(read).unwrap_or_default()
    }

    /// As a receipt.
    pub fn receipt(&self) -> String {
        let messages: Vec<String> = self.messages.iter().map(|(id, hash)| format!("{id}={hash:x}")).collect();
        format!("{};{}", self.at, messages.join(","))
    }

    /// What comes next so that the messages have these hashes.
    pub fn step(&self, wanted: &[u32]) -> Step {
        let same = |at: usize, hash: u32| self.messages.get(at).is_some_and(|(_, shown)| *shown == hash);
        match wanted.iter().enumerate().find(|(at, hash)| !same(*at, **hash)) {
            Some((at, _)) if at < self.messages.len() => Step::Edit(at),
            Some((at, _)) => Step::Send(at),
            None if self.messages.len() > wanted.len() => Step::Delete(self.messages.len() - 1),
            None => Step::Done,
        }
    }

    /// Notes what the message at this place is now.
    pub fn put(&mut self, place: usize, id: String, hash: u32) {
        match self.messages.get_mut(place) {
            Some(message) => *message = (id, hash),
            None => self.messages.push((id, hash)),
        }
    }
}

/// 32 bits of FNV-1a. A collision leaves an old draft standing: nothing that anybody could gain from.
pub fn hash(text: &str) -> u32 {
    text.bytes().fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_receipt_is_read_back_and_a_strange_one_is_nothing() {
        let shown = Shown { at: 17, messages: vec![("5".into(), 0xbeef), ("1700.01".into(), 0)] };
        assert_eq!(Shown::parse(Some(&shown.receipt())), shown);
        assert_eq!(Shown::parse(Some("17;")), Shown { at: 17, messages: vec![] });
        assert_eq!(
            [None, Some("x"), Some("1;2")].map(|receipt| Shown::parse(receipt)),
            [0; 3].map(|_| Shown::default())
        );
    }

    #[test]
    fn steps_lead_to_the_text_and_end_there() {
        let mut shown = Shown { at: 0, messages: vec![("a".into(), 1), ("b".into(), 2)] };
        assert_eq!(shown.step(&[1, 3, 4]), Step::Edit(1));
        shown.put(1, "b".into(), 3);
        assert_eq!(shown.step(&[1, 3, 4]), Step::Send(2));
        shown.put(2, "c".into(), 4);
        assert_eq!(shown.step(&[1, 3, 4]), Step::Done);
        assert_eq!(shown.step(&[1, 3]), Step::Delete(2));
    }
}
