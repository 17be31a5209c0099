//! Server-sent events (the event stream format of the HTML standard), from pieces of any size.
//!
//! Only what a client of an API reads: `event` and `data`; comments, `id` and `retry` are passed over. Lines end with
//! LF, CR or CR LF. Bytes that are not UTF-8 become `U+FFFD`.

/// One event.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Event {
    /// The `event` field; empty for none.
    pub name: String,
    /// The `data` fields, joined by line ends.
    pub data: String,
}

/// Collects pieces until an event is whole.
#[derive(Debug, Default)]
pub struct Parser {
    line: Vec<u8>,
    /// The last byte was CR: a LF that follows belongs to it.
    after_cr: bool,
    /// The first line may begin with a byte order mark.
    started: bool,
    event: Event,
    has_data: bool,
}

impl Parser {
    /// At the start of a stream.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the next bytes and returns the events that they complete. What stands in a stream behind its last blank
    /// line is no event, by the standard.
    pub fn push(&mut self, bytes: &[u8]) -> Vec<Event> {
        let mut events = Vec::new();
        for byte in bytes {
            let after_cr = std::mem::replace(&mut self.after_cr, *byte == b'\r');
            match byte {
                b'\n' if after_cr => (),
                b'\n' | b'\r' => events.extend(self.end_line()),
                other => self.line.push(*other),
            }
        }
        events
    }

    fn end_line(&mut self) -> Option<Event> {
        let bytes = std::mem::take(&mut self.line);
        let text = String::from_utf8_lossy(&bytes);
        let mut line = text.as_ref();
        if !std::mem::replace(&mut self.started, true) {
            line = line.strip_prefix('\u{FEFF}').unwrap_or(line);
        }
        if line.is_empty() {
            let event = std::mem::take(&mut self.event);
            return std::mem::take(&mut self.has_data).then_some(event);
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "event" => self.event.name = value.into(),
            "data" => {
                if std::mem::replace(&mut self.has_data, true) {
                    self.event.data.push('\n');
                }
                self.event.data.push_str(value);
            }
            _ => (),
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn event(name: &str, data: &str) -> Event {
        Event { name: name.into(), data: data.into() }
    }

    #[test]
    fn fields_make_an_event_and_comments_do_not() {
        let stream =
            ": hello\n\ndata: one\ndata:two\nid: 7\n\nevent: ping\nretry: 5\ndata\n\nevent: lonely\n\ndata: cut";
        assert_eq!(Parser::new().push(stream.as_bytes()), [event("", "one\ntwo"), event("ping", "")]);
    }

    #[test]
    fn every_line_end_and_a_byte_order_mark_are_understood() {
        let stream = "\u{FEFF}data: a\r\n\r\ndata: b\r\rdata: c\n\n";
        assert_eq!(Parser::new().push(stream.as_bytes()), [event("", "a"), event("", "b"), event("", "c")]);
    }

    proptest! {
        #[test]
        fn the_pieces_do_not_matter(
            data in proptest::collection::vec("[^\r\n\u{FEFF}]{0,20}", 1..6),
            end in prop_oneof![Just("\n"), Just("\r\n"), Just("\r")],
            size in 1usize..9,
        ) {
            let stream: String = data.iter().map(|line| format!("data: {line}{end}{end}")).collect();
            let mut parser = Parser::new();
            let events: Vec<Event> = stream.as_bytes().chunks(size).flat_map(|piece| parser.push(piece)).collect();
            let wanted: Vec<Event> = data.iter().map(|line| event("", line)).collect();
            prop_assert_eq!(events, wanted);
        }

        #[test]
        fn any_bytes_are_taken_and_cut_anywhere_give_the_same(bytes in proptest::collection::vec(any::<u8>(), 0..200), at in 0usize..200) {
            let at = at.min(bytes.len());
            let whole = Parser::new().push(&bytes);
            let mut parser = Parser::new();
            let mut pieces = parser.push(&bytes[..at]);
            pieces.extend(parser.push(&bytes[at..]));
            prop_assert_eq!(pieces, whole);
        }
    }
}
