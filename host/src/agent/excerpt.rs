//! Text that is too long for a model, cut so that it shows where and how much.

/// The longest run of a `data:` URI that may stay in a text, in characters.
const DATA_URI_MAX: usize = 256;

/// At most `chars` characters: the beginning and the end with a mark between; the mark comes on top.
pub(super) fn ends(text: &str, chars: usize) -> String {
    // A character has at least one byte, so most texts need no counting.
    if text.len() <= chars {
        return text.to_owned();
    }
    let all = text.chars().count();
    if all <= chars {
        return text.to_owned();
    }
    let tail = chars / 4;
    let head = chars.saturating_sub(tail);
    let mut short: String = text.chars().take(head).collect();
    let left_out = all.saturating_sub(head).saturating_sub(tail);
    short.push_str(&format!("\n[… {left_out} characters left out …]\n"));
    short.extend(text.chars().skip(all.saturating_sub(tail)));
    short
}

/// The first line that says something, at most `chars` characters.
pub(super) fn line(text: &str, chars: usize) -> String {
    let line = text.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or_default();
    let mut short: String = line.chars().take(chars).collect();
    if short.len() < line.len() {
        short.push('…');
    }
    short
}

/// The text with long `data:` URIs replaced by a note: as text a picture is only noise, and an expensive one.
pub(super) fn without_data_uris(text: &str) -> String {
    let mut clean = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("data:") {
        clean.push_str(before);
        let end = after.find(|c: char| c.is_whitespace() || "\"'<>)`\\".contains(c)).unwrap_or(after.len());
        let (uri, tail) = after.split_at(end);
        match uri.split_once(";base64,") {
            Some((mime, data)) if data.len() > DATA_URI_MAX => {
                clean.push_str(&format!("[{} of {mime} left out]", size(data.len() / 4 * 3)));
            }
            _ => {
                clean.push_str("data:");
                clean.push_str(uri);
            }
        }
        rest = tail;
    }
    clean.push_str(rest);
    clean
}

/// A number of bytes for people and models.
pub(super) fn size(bytes: usize) -> String {
    match bytes {
        0..1024 => format!("{bytes} bytes"),
        1024..1_048_576 => format!("{} KiB", bytes / 1024),
        _ => format!("{} MiB", bytes / 1_048_576),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_text_keeps_its_ends_and_says_how_much_is_gone() {
        assert_eq!(ends("abcdefgh", 8), "abcdefgh");
        assert_eq!(ends("日本語日本語日本", 8), "日本語日本語日本");
        assert_eq!(ends("abcdefghij", 8), "abcdef\n[… 2 characters left out …]\nij");
        assert_eq!(ends("日本語日本語日本語x", 4), "日本語\n[… 6 characters left out …]\nx");
    }

    #[test]
    fn a_line_is_the_first_that_says_something() {
        assert_eq!(line("\n  \n  two words \nmore", 20), "two words");
        assert_eq!(line("日本語日本語", 3), "日本語…");
        assert_eq!(line("", 3), "");
    }

    #[test]
    fn pictures_are_taken_out_of_text_and_short_uris_stay() {
        let picture = "A".repeat(4000);
        assert_eq!(
            without_data_uris(&format!("<img src=\"data:image/png;base64,{picture}\"> data:text/plain,hi and data:")),
            "<img src=\"[2 KiB of image/png left out]\"> data:text/plain,hi and data:"
        );
    }
}
