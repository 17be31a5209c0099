//! Following a model's answer while it comes. The network, the answer and the listener are arguments, so that the tests
//! of a provider play all three.

use crate::failure::{self, Failure};
use crate::models::Model;
use crate::sse::{Event, Parser};

/// Bytes of an answer that is not a stream; more is no answer of a model.
const LARGEST: usize = 16 * 1024 * 1024;

/// Why the network gives no more.
#[derive(Clone, Debug, PartialEq)]
pub enum Broken {
    /// The turn was cancelled: an end, not a failure.
    Cancelled,
    /// Nothing came in time.
    TimedOut,
    /// Else.
    Failed(Failure),
}

/// An answer of which the body is still coming.
pub trait Incoming {
    /// The status.
    fn status(&self) -> u16;
    /// Names in lower case.
    fn headers(&self) -> Vec<(String, String)>;
    /// The next piece; none at the end.
    fn read(&self) -> Result<Option<Vec<u8>>, Broken>;
}

/// What grows from the events of a stream.
pub trait Answer: Sized {
    /// The component's own type.
    type Delta;
    /// The component's own type.
    type Completion;

    /// Takes one event; a body that is no stream is one event without a name. Returns what is new.
    fn take(&mut self, event: &Event) -> Result<Vec<Self::Delta>, Failure>;
    /// The service said that nothing follows.
    fn is_over(&self) -> bool;
    /// It is over, or the stream ended by itself.
    fn finish(self) -> Result<Self::Completion, Failure>;
    /// It was cancelled: what there is.
    fn cancelled(self) -> Self::Completion;
}

/// `provider.complete`, once the request was sent. `now` in milliseconds since 1970; `push` answers whether to go on.
pub fn follow<A: Answer>(
    sent: Result<impl Incoming, Broken>,
    mut answer: A,
    now: u64,
    mut push: impl FnMut(A::Delta) -> bool,
) -> Result<A::Completion, Failure> {
    let incoming = match sent {
        Ok(incoming) => incoming,
        Err(Broken::Cancelled) => return Ok(answer.cancelled()),
        Err(broken) => return Err(failed(broken, "no answer came in time")),
    };
    let headers = incoming.headers();
    if incoming.status() != 200 {
        return match read_all(&incoming) {
            Ok(body) => Err(failure::from_status(incoming.status(), &headers, &body, now)),
            Err(Broken::Cancelled) => Ok(answer.cancelled()),
            // The status says enough.
            Err(_) => Err(failure::from_status(incoming.status(), &headers, b"", now)),
        };
    }
    let is_json = headers
        .iter()
        .any(|(name, value)| name == "content-type" && value.to_lowercase().starts_with("application/json"));
    let mut events = Events::new(is_json);
    loop {
        let piece = match incoming.read() {
            Ok(piece) => piece,
            Err(Broken::Cancelled) => return Ok(answer.cancelled()),
            Err(broken) => return Err(failed(broken, "the answer stopped coming")),
        };
        let ended = piece.is_none();
        for event in events.take(piece)? {
            for delta in answer.take(&event)? {
                if !push(delta) {
                    return Ok(answer.cancelled());
                }
            }
            if answer.is_over() {
                return answer.finish();
            }
        }
        if ended {
            return answer.finish();
        }
    }
}

/// `provider.models`, once the request was sent. `parse` is none for what is no list.
pub fn list(
    sent: Result<impl Incoming, Broken>,
    now: u64,
    parse: impl FnOnce(&str) -> Option<Vec<Model>>,
) -> Result<Vec<Model>, Failure> {
    let late = |broken| failed(broken, "no answer came in time");
    let incoming = sent.map_err(late)?;
    let body = read_all(&incoming).map_err(late)?;
    if incoming.status() != 200 {
        return Err(failure::from_status(incoming.status(), &incoming.headers(), &body, now));
    }
    parse(&String::from_utf8_lossy(&body))
        .ok_or_else(|| Failure::Other("the service's list of models is not in a known form".into()))
}

/// As [`list`] went, or what is `known` without it where the service has no list: a proxy, a subscription.
pub fn list_or(listed: Result<Vec<Model>, Failure>, known: Vec<Model>) -> Result<Vec<Model>, Failure> {
    match listed {
        Err(Failure::BadRequest(_) | Failure::Other(_)) if !known.is_empty() => Ok(known),
        listed => listed,
    }
}

fn failed(broken: Broken, late: &str) -> Failure {
    match broken {
        Broken::Cancelled => Failure::Other("cancelled".into()),
        Broken::TimedOut => Failure::Transport(late.into()),
        Broken::Failed(failure) => failure,
    }
}

fn too_large() -> Failure {
    Failure::Other("the service's answer is over 16 MiB".into())
}

fn read_all(incoming: &impl Incoming) -> Result<Vec<u8>, Broken> {
    let mut all = Vec::new();
    while let Some(piece) = incoming.read()? {
        all.extend(piece);
        if all.len() > LARGEST {
            return Err(Broken::Failed(too_large()));
        }
    }
    Ok(all)
}

/// Pieces of a body as events: those of a stream, or the one that the whole body is.
enum Events {
    Stream(Parser),
    Whole(Vec<u8>),
}

impl Events {
    fn new(is_json: bool) -> Self {
        if is_json { Self::Whole(Vec::new()) } else { Self::Stream(Parser::new()) }
    }

    /// None is the end.
    fn take(&mut self, piece: Option<Vec<u8>>) -> Result<Vec<Event>, Failure> {
        match (self, piece) {
            (Self::Stream(parser), piece) => {
                // A last event may lack its blank line.
                let bytes = piece.unwrap_or_else(|| b"\n\n".to_vec());
                Ok(parser.push(&bytes).into_iter().filter(|event| !event.data.is_empty()).collect())
            }
            (Self::Whole(all), Some(bytes)) => {
                all.extend(bytes);
                if all.len() > LARGEST { Err(too_large()) } else { Ok(Vec::new()) }
            }
            (Self::Whole(all), None) => {
                Ok(vec![Event { name: String::new(), data: String::from_utf8_lossy(all).into_owned() }])
            }
        }
    }
}

/// A service that the tests of providers play.
pub mod played {
    use std::cell::RefCell;
    use std::collections::VecDeque;

    use super::{Broken, Incoming};

    /// An answer that is known already.
    #[derive(Debug)]
    pub struct Played {
        status: u16,
        headers: Vec<(String, String)>,
        pieces: RefCell<VecDeque<Result<Vec<u8>, Broken>>>,
    }

    impl Incoming for Played {
        fn status(&self) -> u16 {
            self.status
        }
        fn headers(&self) -> Vec<(String, String)> {
            self.headers.clone()
        }
        fn read(&self) -> Result<Option<Vec<u8>>, Broken> {
            self.pieces.borrow_mut().pop_front().transpose()
        }
    }

    /// With the content type `kind` and these pieces.
    pub fn answer(status: u16, kind: &str, pieces: Vec<Result<Vec<u8>, Broken>>) -> Result<Played, Broken> {
        Ok(Played { status, headers: vec![("content-type".into(), kind.into())], pieces: RefCell::new(pieces.into()) })
    }

    /// A stream that comes in one piece.
    pub fn stream(text: &str) -> Result<Played, Broken> {
        answer(200, "text/event-stream", vec![Ok(text.into())])
    }

    /// A stream that comes in pieces of so many bytes.
    pub fn pieces(text: &str, size: usize) -> Result<Played, Broken> {
        let pieces = text.as_bytes().chunks(size.max(1)).map(|piece| Ok(piece.to_vec())).collect();
        answer(200, "text/event-stream; charset=utf-8", pieces)
    }
}

#[cfg(test)]
mod tests {
    use super::played::{answer, stream};
    use super::*;

    /// Says each event; `end` is the last one.
    #[derive(Default)]
    struct Said(Vec<String>, bool);

    impl Answer for Said {
        type Delta = String;
        type Completion = (Vec<String>, &'static str);

        fn take(&mut self, event: &Event) -> Result<Vec<String>, Failure> {
            self.1 = event.data == "end";
            self.0.push(event.data.clone());
            Ok(vec![event.data.clone()])
        }
        fn is_over(&self) -> bool {
            self.1
        }
        fn finish(self) -> Result<Self::Completion, Failure> {
            Ok((self.0, "done"))
        }
        fn cancelled(self) -> Self::Completion {
            (self.0, "cancelled")
        }
    }

    fn run(sent: Result<played::Played, Broken>) -> Result<(Vec<String>, &'static str), Failure> {
        follow(sent, Said::default(), 0, |delta| delta != "stop")
    }

    fn said(words: &[&str]) -> Vec<String> {
        words.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn events_are_taken_until_the_answer_is_over_or_the_stream_ends() {
        assert_eq!(run(stream("data: a\n\ndata: end\n\ndata: b\n\n")), Ok((said(&["a", "end"]), "done")));
        assert_eq!(run(stream(": hello\n\ndata: a\n\nevent: ping\ndata:\n\ndata: b")), Ok((said(&["a", "b"]), "done")));
        assert_eq!(run(answer(200, "application/json", vec![Ok("{}".into())])), Ok((said(&["{}"]), "done")));
    }

    #[test]
    fn cancelling_is_an_end_wherever_it_comes() {
        assert_eq!(run(Err(Broken::Cancelled)), Ok((vec![], "cancelled")));
        assert_eq!(run(answer(200, "text/event-stream", vec![Err(Broken::Cancelled)])), Ok((vec![], "cancelled")));
        assert_eq!(run(answer(500, "text/html", vec![Err(Broken::Cancelled)])), Ok((vec![], "cancelled")));
        assert_eq!(run(stream("data: a\n\ndata: stop\n\ndata: b\n\n")), Ok((said(&["a", "stop"]), "cancelled")));
    }

    #[test]
    fn a_network_that_fails_is_told_with_what_it_was_waited_for() {
        let transport = |words: &str| Err(Failure::Transport(words.into()));
        assert_eq!(run(Err(Broken::TimedOut)), transport("no answer came in time"));
        let silent = answer(200, "text/event-stream", vec![Ok("data: a\n\n".into()), Err(Broken::TimedOut)]);
        assert_eq!(run(silent), transport("the answer stopped coming"));
        let reset = Broken::Failed(Failure::Transport("reset".into()));
        assert_eq!(run(answer(200, "text/event-stream", vec![Err(reset.clone())])), transport("reset"));
        let overloaded = Failure::Overloaded("the service answered with status 500".into());
        assert_eq!(run(answer(500, "text/html", vec![Err(reset)])), Err(overloaded));
    }

    #[test]
    fn an_answer_without_an_end_is_cut() {
        let endless = (0..17).map(|_| Ok(vec![b' '; 1024 * 1024])).collect();
        assert_eq!(run(answer(200, "application/json", endless)), Err(too_large()));
    }

    #[test]
    fn a_list_is_parsed_or_refused_with_the_services_words() {
        let parse = |text: &str| (text == "[]").then(Vec::new);
        assert_eq!(list(answer(200, "application/json", vec![Ok("[]".into())]), 0, parse), Ok(vec![]));
        let refused = answer(401, "application/json", vec![Ok(r#"{"error":{"message":"No key"}}"#.into())]);
        assert_eq!(list(refused, 0, parse), Err(Failure::AuthRequired("No key".into())));
        assert!(matches!(list(stream("<html>"), 0, parse), Err(Failure::Other(_))));
        let known = || crate::models::Table::parse(r#"{"models":[{"id":"m","title":"M"}]}"#).known();
        let missing = || list(answer(404, "text/html", vec![]), 0, parse);
        assert_eq!(list_or(missing(), known()), Ok(known()));
        assert!(list_or(missing(), vec![]).is_err());
        assert_eq!(list_or(Ok(vec![]), known()), Ok(vec![]));
        let refused = Err(Failure::AuthRequired("No key".into()));
        assert_eq!(list_or(refused.clone(), known()), refused);
    }
}
