//! Redaction over random secrets, encodings and chunk boundaries. The encoders here are the ones that services use, not
//! our own.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use proptest::prelude::*;

use super::*;

/// The inside of a JSON string.
fn json(secret: &str) -> String {
    let quoted = serde_json::to_string(secret).unwrap();
    quoted.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap().to_string()
}

/// What services do to a value before it comes back.
fn encode(secret: &str, how: usize) -> String {
    let unicode = |upper: bool| -> String {
        let units = secret.encode_utf16();
        units.map(|unit| if upper { format!("\\u{unit:04X}") } else { format!("\\u{unit:04x}") }).collect()
    };
    match how {
        0 => secret.to_string(),
        1 => hex::encode(secret),
        2 => hex::encode_upper(secret),
        3 => percent_encoding::utf8_percent_encode(secret, percent_encoding::NON_ALPHANUMERIC)
            .to_string()
            .replace("%2D", "-")
            .replace("%2E", ".")
            .replace("%5F", "_")
            .replace("%7E", "~"),
        4 => secret.bytes().map(|byte| format!("%{byte:02x}")).collect(),
        5 => secret.bytes().map(|byte| format!("%{byte:02X}")).collect(),
        6 => url::form_urlencoded::byte_serialize(secret.as_bytes()).collect(),
        7 => json(secret),
        8 => unicode(true),
        9 => unicode(false),
        10..=15 => {
            // The value behind and before other bytes, so that it falls on each of the three alignments.
            let whole = format!("{}{secret}\u{1}\u{2}\u{3}", "\u{7f}".repeat(how % 3));
            if how < 13 { STANDARD.encode(whole) } else { URL_SAFE.encode(whole) }
        }
        16 => json(secret).replace('/', "\\/"),
        17..=21 => entities(secret, how - 17),
        22 => percent_encoding::utf8_percent_encode(&encode(secret, 3), percent_encoding::NON_ALPHANUMERIC)
            .to_string()
            .replace("%2D", "-")
            .replace("%2E", ".")
            .replace("%5F", "_")
            .replace("%7E", "~"),
        23 => json(&json(secret)),
        24 => {
            let form: String = url::form_urlencoded::byte_serialize(secret.as_bytes()).collect();
            form.replace('%', "%25").replace('+', "%2B").replace('*', "%2A")
        }
        25 => json(secret).replace('<', "\\u003c").replace('>', "\\u003e").replace('&', "\\u0026"),
        _ => STANDARD.encode(secret).trim_end_matches('=').replace('+', "%2B").replace('/', "%2F"),
    }
}

/// As templates and libraries of five languages write the text of a document.
fn entities(secret: &str, how: usize) -> String {
    let table: [(&str, &str, &str, &str, &str); 5] = [
        ("&amp;", "&lt;", "&gt;", "&quot;", "&#x27;"),
        ("&amp;", "&lt;", "&gt;", "&#34;", "&#39;"),
        ("&amp;", "&lt;", "&gt;", "&quot;", "&#039;"),
        ("&#38;", "&#60;", "&#62;", "&#34;", "&#39;"),
        ("&#x26;", "&#x3c;", "&#x3e;", "&#x22;", "&#x27;"),
    ];
    let (and, less, more, quote, apostrophe) = table[how];
    secret
        .chars()
        .map(|character| match character {
            '&' => and.to_string(),
            '<' => less.to_string(),
            '>' => more.to_string(),
            '"' => quote.to_string(),
            '\'' => apostrophe.to_string(),
            other => other.to_string(),
        })
        .collect()
}

/// What of an encoding gives the value away: for base64 the characters that hold bits of the value, but for the first
/// one that it shares with what stands before.
fn telling(secret: &str, how: usize) -> String {
    let encoded = encode(secret, how);
    if !(10..=15).contains(&how) {
        return encoded;
    }
    let before = how % 3;
    let (first, last) = ((before * 8).div_ceil(6), ((before + secret.len()) * 8).div_ceil(6));
    encoded.chars().skip(first).take(last - first).collect()
}

const ENCODINGS: usize = 27;

fn redactor(secrets: &[&str]) -> Arc<Redactor> {
    Arc::new(Redactor::new(secrets.iter().map(|secret| (*secret, label("KEY")))).unwrap())
}

/// Cuts `stream` at the given places and runs the pieces through a filter.
fn run(redactor: &Arc<Redactor>, stream: &[u8], cuts: &[usize]) -> Vec<u8> {
    let mut filter = Filter::new(Arc::clone(redactor));
    let mut places: Vec<usize> = cuts.iter().map(|cut| cut % (stream.len() + 1)).collect();
    places.extend([0, stream.len()]);
    places.sort_unstable();
    let mut out = Vec::new();
    for pair in places.windows(2) {
        out.extend(filter.push(&stream[pair[0]..pair[1]]));
    }
    out.extend(filter.finish());
    out
}

fn contains(bytes: &[u8], part: &str) -> bool {
    memchr::memmem::find(bytes, part.as_bytes()).is_some()
}

/// The longest suffix of `stream` that begins a spelling without being all of it, found the slow way.
fn could_go_on(secrets: &[&str], stream: &[u8]) -> usize {
    let patterns: Vec<Vec<u8>> = secrets.iter().flat_map(|secret| spelling::all(secret)).collect();
    let lengths = (0..=stream.len()).rev();
    let begins = |length: &usize| {
        let suffix = &stream[stream.len() - length..];
        patterns.iter().any(|pattern| pattern.len() > *length && pattern.starts_with(suffix))
    };
    lengths.into_iter().find(begins).unwrap_or(0)
}

fn secret() -> impl Strategy<Value = String> {
    prop_oneof!["[a-zA-Z0-9_:/+-]{8,60}", "[ -~]{8,40}", "\\PC{8,20}", "[ab]{8,12}"]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_secret_never_comes_through_and_no_other_byte_is_changed(
        secret in secret(),
        before in "[^a-zA-Z0-9%\\\\+/_&-]{0,40}",
        after in "[^a-zA-Z0-9%\\\\+/_&-]{0,40}",
        how in 0..ENCODINGS,
        cuts in prop::collection::vec(any::<usize>(), 0..8),
    ) {
        let telling = telling(&secret, how);
        prop_assume!(!contains(before.as_bytes(), &telling) && !contains(after.as_bytes(), &telling));
        let stream = format!("{before}{}{after}", encode(&secret, how));
        let out = run(&redactor(&[&secret]), stream.as_bytes(), &cuts);
        prop_assert!(!contains(&out, &telling), "{} came through", telling);
        // What stands around the part that gives it away stays as it was. Where the value's own end or beginning is
        // repeated beside it, a match may begin earlier and take that along.
        let (head, tail) = stream.split_once(&telling).unwrap();
        if stream.matches(&telling).count() == 1 && could_go_on(&[&secret], head.as_bytes()) == 0 {
            let expected = format!("{head}[secret KEY]{tail}");
            prop_assert_eq!(String::from_utf8_lossy(&out), expected);
        }
    }

    #[test]
    fn what_holds_no_secret_is_not_changed_by_a_byte(
        stream in prop::collection::vec(any::<u8>(), 0..400),
        cuts in prop::collection::vec(any::<usize>(), 0..8),
    ) {
        prop_assert_eq!(run(&redactor(&["correct-horse/battery"]), &stream, &cuts), stream);
    }

    #[test]
    fn no_more_is_held_back_than_may_still_become_a_secret(
        secrets in prop::collection::vec("[ab]{8,10}", 1..3),
        stream in "[abc]{0,60}",
        cut in any::<usize>(),
    ) {
        let secrets: Vec<&str> = secrets.iter().map(String::as_str).collect();
        let redactor = redactor(&secrets);
        let (head, _) = stream.as_bytes().split_at(cut % (stream.len() + 1));
        let mut filter = Filter::new(Arc::clone(&redactor));
        filter.push(head);
        prop_assert_eq!(filter.held.len(), could_go_on(&secrets, head));
    }

    #[test]
    fn chunk_boundaries_make_no_difference(
        secrets in prop::collection::vec("[ab]{8,10}", 1..3),
        stream in "[abc]{0,80}",
        cuts in prop::collection::vec(any::<usize>(), 0..8),
    ) {
        let redactor = redactor(&secrets.iter().map(String::as_str).collect::<Vec<_>>());
        let out = run(&redactor, stream.as_bytes(), &cuts);
        prop_assert_eq!(&out, &run(&redactor, stream.as_bytes(), &[]));
        for secret in &secrets {
            prop_assert!(!contains(&out, secret));
        }
    }
}

#[test]
fn an_event_of_a_stream_is_passed_on_at_once() {
    let mut filter = Filter::new(redactor(&["sk-0123456789"]));
    assert_eq!(filter.push(b"data: {\"text\":\"hello\"}\n\n"), b"data: {\"text\":\"hello\"}\n\n");
    assert_eq!(filter.push(b"data: task"), b"data: ta");
    assert_eq!(filter.push(b"-0123456789 and"), b"[secret KEY] and");
    assert_eq!(filter.push(b" s"), b" ");
    assert_eq!(filter.finish(), b"s");
}

#[test]
fn a_short_spelling_inside_a_longer_one_does_not_open_it() {
    let redactor = redactor(&["abcdefghijklmnop", "efghijkl"]);
    assert_eq!(redactor.clean("<abcdefghijklmnop>"), "<[secret KEY]>");
    assert_eq!(redactor.clean("<abcdefghijklmnoX>"), "<abcd[secret KEY]mnoX>");
}

#[test]
fn base64_leaves_no_character_of_the_value_behind() {
    for secret in ["correct-horse", "correct-horse1", "correct-horse12"] {
        let redactor = redactor(&[secret]);
        for (before, after) in [("", ""), ("", "\u{7f}x"), ("", "?"), ("abc", "é"), ("abcdef", "~~~")] {
            let (head, tail) = (STANDARD.encode(before), &STANDARD.encode(format!("{before}{secret}{after}")));
            let telling = head.len() + (secret.len() * 8).div_ceil(6);
            let expected = format!("{head}[secret KEY]{}", tail.get(telling..).unwrap());
            assert_eq!(redactor.clean(tail), expected, "{secret} before {after:?}");
        }
    }
}

#[test]
fn a_text_is_cut_between_characters_wherever_a_secret_may_begin() {
    let mut filter = Filter::new(redactor(&["ünsäglich"]));
    let out: Vec<String> =
        ["a ü", "ns", "är", " ün", "säglich", " ü"].iter().map(|piece| filter.push_text(piece)).collect();
    assert_eq!(out, ["a ", "", "ünsär", " ", "[secret KEY]", " "]);
    assert_eq!(filter.finish_text(), "ü");
}

#[test]
fn without_secrets_everything_passes_untouched() {
    assert_eq!(run(&redactor(&[]), b"anything", &[3]), b"anything");
}
