//! Runs of text in pieces that a messenger takes, cut where a reader would.
//!
//! A code block stays whole if it fits into a piece at all; else it is cut at a line end and goes on as a code block.
//! Other text is cut between paragraphs, else lines, sentences, words, as long as the piece is at least half full.

use crate::rich::{Run, Style};

/// Length in UTF-16 units, as several messengers count.
pub fn utf16(runs: &[Run]) -> usize {
    runs.iter().map(|run| run.text.encode_utf16().count()).sum()
}

/// Length in characters.
pub fn chars(runs: &[Run]) -> usize {
    runs.iter().map(|run| run.text.chars().count()).sum()
}

/// Pieces of at most `most`, as `cost` measures them: of a messenger that counts its markup, the length of what would be
/// sent. A piece costs no less than it has characters, and one character alone always fits. What has nothing but white
/// space is no piece.
pub fn pieces(runs: Vec<Run>, most: usize, cost: &dyn Fn(&[Run]) -> usize) -> Vec<Vec<Run>> {
    let mut rest = runs;
    let mut pieces = Vec::new();
    loop {
        // One letter more than can fit: the cut depends on what comes behind it.
        let (window, whole) = first(&rest, most.saturating_add(1));
        if whole && cost(&window) <= most {
            pieces.push(rest);
            break;
        }
        let fits = longest(&window, most, cost);
        let fits_alone = |start: usize| {
            block_at(&rest, start).is_some_and(|block| {
                block.text.chars().nth(most).is_none() && cost(std::slice::from_ref(block)) <= most
            })
        };
        let at = place(&window, fits, &fits_alone).max(1);
        let later = split_off(&mut rest, at);
        pieces.push(std::mem::replace(&mut rest, later));
        trim_start(&mut rest);
    }
    for piece in &mut pieces {
        trim_end(piece);
    }
    pieces.retain(|piece| piece.iter().any(|run| !run.text.trim().is_empty()));
    pieces
}

/// Words that are no Markdown, as one piece: what would be cut off is cut off.
pub fn plain(words: &str, most: usize, cost: &dyn Fn(&[Run]) -> usize) -> Vec<Run> {
    pieces(vec![Run::plain(words)], most, cost).into_iter().next().unwrap_or_default()
}

/// The first `count` characters, and whether that is all.
fn first(runs: &[Run], count: usize) -> (Vec<Run>, bool) {
    let mut left = count;
    let mut taken = Vec::new();
    for run in runs {
        let text: String = run.text.chars().take(left).collect();
        left -= text.chars().count();
        let cut = text.len() < run.text.len();
        if !text.is_empty() {
            taken.push(Run { text, style: run.style.clone() });
        }
        if cut {
            return (taken, false);
        }
    }
    (taken, true)
}

/// How many characters from the start fit.
fn longest(window: &[Run], most: usize, cost: &dyn Fn(&[Run]) -> usize) -> usize {
    let (mut fits, mut over) = (0, chars(window) + 1);
    while over - fits > 1 {
        let middle = usize::midpoint(fits, over);
        if cost(&first(window, middle).0) <= most {
            fits = middle;
        } else {
            over = middle;
        }
    }
    fits
}

/// The run that begins behind so many characters.
fn block_at(runs: &[Run], start: usize) -> Option<&Run> {
    let mut at = 0;
    for run in runs {
        if at >= start {
            return Some(run);
        }
        at += run.text.chars().count();
    }
    None
}

/// Where to cut, in characters: at `fits` or before it. `fits_alone`: whether the code block that begins there does.
fn place(window: &[Run], fits: usize, fits_alone: &dyn Fn(usize) -> bool) -> usize {
    let letters: Vec<char> = window.iter().flat_map(|run| run.text.chars()).collect();
    let blocks = blocks(window);
    let last = |from: usize, to: usize, good: &dyn Fn(usize) -> bool| (from.max(1)..=to).rev().find(|at| good(*at));
    let after = |at: usize, ends: &[char]| at >= ends.len() && letters.get(at - ends.len()..at) == Some(ends);
    if let Some((start, _)) = blocks.iter().copied().find(|(start, end)| *start < fits && fits < *end) {
        let line = last(start + 1, fits, &|at| after(at, &['\n']));
        return match (start, line) {
            (1.., _) if fits_alone(start) => start,
            (_, Some(line)) => line,
            (1.., None) => start,
            (0, None) => fits,
        };
    }
    let outside = |at: usize| !blocks.iter().any(|(start, end)| *start < at && at < *end);
    let half = fits.div_ceil(2);
    let ends: [&[&[char]]; 4] =
        [&[&['\n', '\n']], &[&['\n']], &[&['.', ' '], &['!', ' '], &['?', ' '], &['。'], &['…', ' ']], &[&[' ']]];
    for ends in ends {
        let good = |at: usize| outside(at) && ends.iter().any(|end| after(at, end));
        if let Some(at) = last(half, fits, &good) {
            return at;
        }
    }
    // A mark that belongs to the letter before it stays with it.
    let apart =
        |at: usize| letters.get(at).is_none_or(|next| !joins(*next)) && letters.get(at - 1) != Some(&'\u{200d}');
    last(fits.saturating_sub(16), fits, &|at| outside(at) && apart(at)).unwrap_or(fits)
}

/// Joiners, variation selectors, skin tones and the common combining marks.
fn joins(letter: char) -> bool {
    matches!(letter, '\u{200d}' | '\u{fe00}'..='\u{fe0f}' | '\u{1f3fb}'..='\u{1f3ff}' | '\u{300}'..='\u{36f}' | '\u{20d0}'..='\u{20ff}')
}

/// Where the code blocks are, in characters.
fn blocks(window: &[Run]) -> Vec<(usize, usize)> {
    let mut at = 0;
    let mut found = Vec::new();
    for run in window {
        let end = at + run.text.chars().count();
        if run.style.block.is_some() {
            found.push((at, end));
        }
        at = end;
    }
    found
}

/// Cuts behind `count` characters; what comes then is returned.
fn split_off(runs: &mut Vec<Run>, count: usize) -> Vec<Run> {
    let mut left = count;
    for at in 0..runs.len() {
        let Some(run) = runs.get_mut(at) else { break };
        let here = run.text.chars().count();
        if left < here {
            let byte = run.text.char_indices().nth(left).map_or(run.text.len(), |(byte, _)| byte);
            let second = Run { text: run.text.split_off(byte), style: run.style.clone() };
            let mut later = runs.split_off(at + 1);
            runs.retain(|run| !run.text.is_empty());
            later.insert(0, second);
            return later;
        }
        left -= here;
    }
    Vec::new()
}

/// Line ends go, and in text spaces, too; in a code block spaces mean something.
fn loose(style: &Style) -> &'static [char] {
    if style.block.is_some() { &['\n'] } else { &['\n', ' ', '\t'] }
}

fn trim_start(runs: &mut Vec<Run>) {
    while let Some(run) = runs.first_mut() {
        run.text = run.text.trim_start_matches(loose(&run.style)).to_string();
        if !run.text.is_empty() {
            return;
        }
        runs.remove(0);
    }
}

fn trim_end(runs: &mut Vec<Run>) {
    while let Some(run) = runs.last_mut() {
        run.text.truncate(run.text.trim_end_matches(loose(&run.style)).len());
        if !run.text.is_empty() {
            return;
        }
        runs.pop();
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::rich::{parse, text};

    fn cut(markdown: &str, most: usize) -> Vec<String> {
        pieces(parse(markdown), most, &utf16).iter().map(|piece| text(piece)).collect()
    }

    #[test]
    fn what_fits_is_one_piece_and_nothing_is_none() {
        assert_eq!(cut("hello", 5), ["hello"]);
        assert_eq!(cut("", 5), Vec::<String>::new());
        assert_eq!(cut("\n\n", 5), Vec::<String>::new());
    }

    #[test]
    fn cuts_are_between_paragraphs_then_lines_sentences_and_words() {
        assert_eq!(cut("one two\n\nthree four", 14), ["one two", "three four"]);
        assert_eq!(cut("one two\nthree four", 14), ["one two", "three four"]);
        assert_eq!(cut("One two. Three four", 14), ["One two.", "Three four"]);
        assert_eq!(cut("one two three", 9), ["one two", "three"]);
        assert_eq!(cut("abcdefghij", 4), ["abcd", "efgh", "ij"]);
        assert_eq!(cut("a\n\nbcdefghijkl", 8), ["a\n\nbcdef", "ghijkl"], "a piece is not left nearly empty");
    }

    #[test]
    fn letters_are_counted_in_utf16_and_stay_whole() {
        assert_eq!(cut("🦀🦀🦀", 4), ["🦀🦀", "🦀"]);
        assert_eq!(cut("🦀🦀🦀", 5), ["🦀🦀", "🦀"]);
        assert_eq!(cut("xxe\u{301}y", 3), ["xx", "e\u{301}y"]);
    }

    #[test]
    fn a_code_block_that_fits_stays_whole() {
        assert_eq!(cut("some words\n```\naaa\nbbb\n```\nend", 16), ["some words", "aaa\nbbb\n\nend"]);
        assert_eq!(cut("ab\n```\naa aa\nbb bb\n```", 12), ["ab", "aa aa\nbb bb"]);
    }

    #[test]
    fn a_longer_one_is_cut_at_line_ends_and_goes_on_as_code() {
        let cut = pieces(parse("x\n```rust\naaaa\n  bbbb\ncccc\n```"), 12, &utf16);
        let said: Vec<String> = cut.iter().map(|piece| text(piece)).collect();
        assert_eq!(said, ["x\n\naaaa", "  bbbb\ncccc"]);
        assert_eq!(cut[1][0].style.block.as_deref(), Some("rust"));
    }

    #[test]
    fn a_style_goes_on_in_the_next_piece() {
        let cut = pieces(parse("**aaa bbb**"), 5, &utf16);
        assert!(cut.iter().flatten().all(|run| run.style.bold), "{cut:?}");
        assert_eq!(cut.len(), 2);
    }

    #[test]
    fn a_megabyte_is_cut_in_no_time() {
        assert!(pieces(parse(&"lorem ipsum dolor. ".repeat(50_000)), 4096, &utf16).len() > 200);
    }

    proptest! {
        #[test]
        fn no_piece_is_too_long_or_empty_and_no_letter_is_lost(
            markdown in r"([*`~#>-]|```\n|[a-e]|\n| |🦀|é|\. ){0,200}", most in 2usize..40
        ) {
            let runs = parse(&markdown);
            let cut = pieces(runs.clone(), most, &utf16);
            for piece in &cut {
                prop_assert!(utf16(piece) <= most, "{piece:?}");
                prop_assert!(!text(piece).trim().is_empty());
            }
            let letters = |runs: &[Run]| -> String { text(runs).split_whitespace().collect() };
            prop_assert_eq!(letters(&cut.concat()), letters(&runs));
        }

        #[test]
        fn a_code_block_that_fits_is_never_cut(
            before in "[a-c .\n]{0,60}", code in "[x-z]{1,8}(\n[x-z]{1,8}){0,3}", after in "[a-c .\n]{0,60}"
        ) {
            let cut = pieces(parse(&format!("{before}\n\n```\n{code}\n```\n\n{after}")), 40, &utf16);
            let holds = cut.iter().flatten().filter(|run| run.style.block.is_some()).any(|run| run.text == code);
            prop_assert!(holds, "{cut:?}");
        }
    }
}
