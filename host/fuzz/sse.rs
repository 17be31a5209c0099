//! The stream of a model's service, as the providers read it: the fuzzers and a test of the host share it.

use openpista_plugin::sse::Parser;

/// Where a stream is cut makes no difference; the first byte says how.
pub fn sse(data: &[u8]) {
    let [size, stream @ ..] = data else { return };
    let mut parser = Parser::new();
    let mut events = Vec::new();
    for piece in stream.chunks(usize::from(*size).max(1)) {
        events.extend(parser.push(piece));
    }
    let whole = Parser::new().push(stream);
    assert_eq!(events, whole);
    for event in &whole {
        assert!(!event.name.contains(['\n', '\r']) && !event.data.contains('\r'), "{event:?}");
    }
}
