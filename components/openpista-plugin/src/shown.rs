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

/// What can be done with the messages of a text, which is in pieces. Places count from 0.
pub trait Messages {
    /// Why the messenger did not do it.
    type Fault;

    /// Sends the piece of this place; the message's id.
    fn send(&mut self, place: usize) -> Result<String, Self::Fault>;

    /// Shows the piece of this place in a message; false: it is not there, or cannot be edited.
    fn edit(&mut self, place: usize, id: &str) -> Result<bool, Self::Fault>;

    /// Takes a message away. One that cannot be taken away stays: no error.
    fn delete(&mut self, id: &str) -> Result<(), Self::Fault>;
}

impl Shown {
    /// Brings the messages nearer to what is wanted, by one step at this time; whether that was all. Of a text that still
    /// grows (not `whole`) nothing is deleted, and one step is all.
    pub fn advance<M: Messages>(
        &mut self,
        wanted: &[u32],
        whole: bool,
        at: u64,
        messages: &mut M,
    ) -> Result<bool, M::Fault> {
        let id = |place: usize| self.messages.get(place).map(|(id, _)| id.clone()).unwrap_or_default();
        let (place, id) = match self.step(wanted) {
            Step::Done => return Ok(true),
            Step::Delete(_) if !whole => return Ok(true),
            Step::Delete(place) => {
                messages.delete(&id(place))?;
                self.messages.truncate(place);
                self.at = at;
                return Ok(self.step(wanted) == Step::Done);
            }
            Step::Send(place) => (place, messages.send(place)?),
            Step::Edit(place) => {
                let id = id(place);
                // The person deleted it, or it is not there yet.
                (place, if messages.edit(place, &id)? { id } else { messages.send(place)? })
            }
        };
        self.put(place, id, wanted.get(place).copied().unwrap_or_default());
        self.at = at;
        Ok(!whole || self.step(wanted) == Step::Done)
    }

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

    /// Ids are numbers; the messages that are gone are named.
    struct Chat {
        next: u32,
        gone: Vec<&'static str>,
        done: Vec<String>,
    }

    impl Messages for Chat {
        type Fault = ();
        fn send(&mut self, place: usize) -> Result<String, ()> {
            self.next += 1;
            self.done.push(format!("send {place}"));
            Ok(self.next.to_string())
        }
        fn edit(&mut self, place: usize, id: &str) -> Result<bool, ()> {
            self.done.push(format!("edit {place} {id}"));
            Ok(!self.gone.contains(&id))
        }
        fn delete(&mut self, id: &str) -> Result<(), ()> {
            self.done.push(format!("delete {id}"));
            Ok(())
        }
    }

    #[test]
    fn a_text_advances_step_by_step_and_only_a_whole_one_takes_messages_away() {
        let mut chat = Chat { next: 10, gone: vec!["1"], done: Vec::new() };
        let mut shown = Shown { at: 0, messages: vec![("1".into(), 1), ("2".into(), 2), ("3".into(), 3)] };
        assert_eq!(shown.advance(&[9, 2], false, 5, &mut chat), Ok(true));
        assert_eq!(shown, Shown { at: 5, messages: vec![("11".into(), 9), ("2".into(), 2), ("3".into(), 3)] });
        assert_eq!(shown.advance(&[9, 2], false, 6, &mut chat), Ok(true));
        assert_eq!(shown.advance(&[9, 8], true, 7, &mut chat), Ok(false));
        assert_eq!(shown.advance(&[9, 8], true, 8, &mut chat), Ok(true));
        assert_eq!(shown.advance(&[9, 8, 7], true, 9, &mut chat), Ok(true));
        assert_eq!(shown, Shown { at: 9, messages: vec![("11".into(), 9), ("2".into(), 8), ("12".into(), 7)] });
        assert_eq!(chat.done, ["edit 0 1", "send 0", "edit 1 2", "delete 3", "send 2"]);
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
