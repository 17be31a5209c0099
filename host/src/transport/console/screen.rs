//! What stands above the line that is edited: text that grows, and where its last row ends.
//!
//! The editor draws its prompt and its line; whenever it does, it first asks for what came in the meantime
//! ([`Screen::paint`]). So one thread draws, and a row that is not finished yet grows above the prompt, piece by piece.

use unicode_width::UnicodeWidthChar as _;

use super::marks::{Part, parts, plain};

/// Text that waits to be drawn, and the state of the rows above the prompt.
#[derive(Debug, Default)]
pub(super) struct Screen {
    /// Not drawn yet.
    waiting: String,
    /// The last row above the prompt, if it is not finished.
    row: String,
    /// Its width in cells; 0: the last line is finished.
    width: usize,
    /// What was sent last ends within a line.
    within: bool,
    /// Where the person writes, with colours.
    prompt: String,
}

impl Screen {
    /// Takes in a frame.
    pub(super) fn write(&mut self, frame: &str) {
        for part in parts(frame) {
            match part {
                Part::Text(text) => {
                    self.within = !text.ends_with('\n');
                    self.waiting.push_str(&text);
                }
                Part::Fresh => self.fresh(),
                Part::Prompt(prompt) => {
                    self.fresh();
                    self.prompt = prompt;
                }
            }
        }
    }

    fn fresh(&mut self) {
        if std::mem::take(&mut self.within) {
            self.waiting.push('\n');
        }
    }

    /// How many bytes wait to be drawn.
    pub(super) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// The prompt without colours, by which the editor counts cells.
    pub(super) fn prompt(&self) -> String {
        plain(&self.prompt)
    }

    /// The prompt as it is drawn where one of this text has its place. Another one of the same width replaces it at once;
    /// one of another width waits for the next line, for the editor has counted its cells.
    pub(super) fn drawn_prompt(&self, begun: &str) -> String {
        let now = self.prompt();
        if cells(&now) == cells(begun) { self.prompt.clone() } else { begun.to_owned() }
    }

    /// What draws the waiting text for a cursor at the begin of the prompt's first row, and leaves it there again.
    pub(super) fn paint(&mut self, columns: usize) -> String {
        let waiting = std::mem::take(&mut self.waiting);
        if waiting.is_empty() {
            return waiting;
        }
        let mut drawn = String::with_capacity(waiting.len() + 16);
        if self.width >= columns {
            // A full row: it goes on below.
            self.end_row();
        } else if self.width > 0 {
            drawn.push_str(&format!("\x1b[A\x1b[{}C", self.width));
        }
        drawn.push_str(&waiting);
        let mut in_sequence = false;
        for character in waiting.chars() {
            if in_sequence || character == '\x1b' {
                in_sequence = character != 'm';
                self.row.push(character);
                continue;
            }
            if character == '\n' {
                self.end_row();
                continue;
            }
            let width = character.width().unwrap_or(0);
            if self.width + width > columns {
                self.end_row();
            }
            self.width += width;
            self.row.push(character);
        }
        if self.width > 0 {
            drawn.push('\n');
        }
        drawn
    }

    fn end_row(&mut self) {
        self.row.clear();
        self.width = 0;
    }

    /// What draws a line that the person has finished, for a cursor at the begin of the row below it. It goes above a row
    /// that still grows, so that neither tears the other. Nothing is left of a line without text.
    pub(super) fn finished(&mut self, begun: &str, line: &str, columns: usize, rows: usize) -> String {
        let written = row_count(&format!("{begun}{line}"), columns);
        if line.trim().is_empty() {
            return format!("\x1b[{written}A\r\x1b[J");
        }
        if self.width == 0 {
            return String::new();
        }
        if written + 1 >= rows {
            // It has scrolled: what grows goes on below.
            self.end_row();
            return String::new();
        }
        format!("\x1b[{}A\r\x1b[J{}{line}\n{}\n", written + 1, self.drawn_prompt(begun), self.row)
    }
}

/// Cells of a text without line ends.
fn cells(text: &str) -> usize {
    text.chars().map(|character| character.width().unwrap_or(0)).sum()
}

/// Rows that the editor uses for a text: one that ends at the margin has an empty one below.
fn row_count(text: &str, columns: usize) -> usize {
    let (mut rows, mut width) = (1, 0);
    for character in text.chars() {
        let wide = character.width().unwrap_or(0);
        if character == '\n' || width + wide > columns {
            rows += 1;
            width = 0;
        }
        width += wide;
    }
    rows + usize::from(width >= columns)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROMPT: &str = "\x1b]133;A\x07\x1b[36m>\x1b[0m \x1b]133;B\x07";

    #[test]
    fn a_row_grows_above_the_prompt() {
        let mut screen = Screen::default();
        screen.write("The ans");
        assert_eq!(screen.paint(20), "The ans\n");
        assert_eq!(screen.paint(20), "");
        screen.write("wer is");
        assert_eq!(screen.paint(20), "\x1b[A\x1b[7Cwer is\n");
        screen.write(" 42.\n");
        assert_eq!(screen.paint(20), "\x1b[A\x1b[13C 42.\n");
        screen.write("Next.\n");
        assert_eq!(screen.paint(20), "Next.\n");
    }

    #[test]
    fn a_long_row_goes_on_where_the_terminal_wrapped_it() {
        let mut screen = Screen::default();
        screen.write("123456789012");
        assert_eq!(screen.paint(10), "123456789012\n");
        screen.write("x");
        assert_eq!(screen.paint(10), "\x1b[A\x1b[2Cx\n");
        screen.write("\n1234567890");
        screen.paint(10);
        screen.write("y");
        assert_eq!(screen.paint(10), "y\n");
    }

    #[test]
    fn wide_characters_and_colours_are_counted_by_their_cells() {
        let mut screen = Screen::default();
        screen.write("\x1b[1m日本\x1b[0m");
        screen.paint(10);
        screen.write("e\u{301}");
        assert_eq!(screen.paint(10), "\x1b[A\x1b[4Ce\u{301}\n");
        screen.write("語語語");
        screen.paint(10);
        screen.write("!");
        assert_eq!(screen.paint(10), "\x1b[A\x1b[2C!\n");
    }

    #[test]
    fn a_fresh_line_is_begun_only_within_a_line() {
        let mut screen = Screen::default();
        screen.write("\x1b]133;L\x07a");
        screen.write("\x1b]133;L\x07b\n\x1b]133;L\x07c");
        screen.write(PROMPT);
        assert_eq!(screen.paint(10), "a\nb\nc\n");
        assert_eq!(screen.prompt(), "> ");
    }

    #[test]
    fn a_prompt_of_the_same_width_is_shown_at_once() {
        let mut screen = Screen::default();
        screen.write(PROMPT);
        assert_eq!(screen.drawn_prompt("? "), "\x1b[36m>\x1b[0m ");
        assert_eq!(screen.drawn_prompt("answer: "), "answer: ");
    }

    #[test]
    fn a_finished_line_goes_above_the_row_that_grows() {
        let mut screen = Screen::default();
        screen.write(PROMPT);
        assert_eq!(screen.finished("> ", "hi", 20, 24), "");
        assert_eq!(screen.finished("> ", "  ", 20, 24), "\x1b[1A\r\x1b[J");
        screen.write("The ans");
        screen.paint(20);
        assert_eq!(screen.finished("> ", "hi", 20, 24), "\x1b[2A\r\x1b[J\x1b[36m>\x1b[0m hi\nThe ans\n");
        screen.write("wer");
        assert_eq!(screen.paint(20), "\x1b[A\x1b[7Cwer\n");
    }

    #[test]
    fn rows_are_counted_as_the_editor_counts_them() {
        assert_eq!(["", "ab", "abcd", "abcde", "a\nb", "abc日"].map(|text| row_count(text, 4)), [1, 1, 2, 2, 2, 2]);
    }
}
