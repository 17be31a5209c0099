//! What commands write: plain text, aligned tables, relative times, colour where a person looks, JSON where a script does.
//!
//! Standard output carries answers only; everything about how it goes is on standard error. A reader that leaves
//! (`| head`) is no error.

use std::io::{self, IsTerminal as _, Write as _};

use qrcode::render::unicode::Dense1x2;
use serde::Serialize;

use crate::message::{Timestamp, steers};

/// A colour with a meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Paint {
    /// Works.
    Good,
    /// Look at it.
    Warn,
    /// Does not work.
    Bad,
    /// Less important.
    Faint,
    /// A heading.
    Strong,
}

/// Where a command writes, and how.
#[derive(Debug, Clone, Copy)]
pub struct Output {
    /// One JSON value a line instead of text.
    pub json: bool,
    colour: bool,
    colour_below: bool,
}

impl Output {
    /// For this process. `NO_COLOR` switches colour off, and so does a terminal that has none.
    pub fn new(json: bool) -> Self {
        let able = std::env::var_os("TERM").is_none_or(|term| term != "dumb");
        let wanted = able && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        Self {
            json,
            colour: wanted && !json && io::stdout().is_terminal(),
            colour_below: wanted && io::stderr().is_terminal(),
        }
    }

    /// Text in a colour, if standard output shows any.
    pub fn paint(&self, paint: Paint, text: &str) -> String {
        if self.colour { painted(paint, text) } else { text.to_owned() }
    }

    /// A line of the answer.
    pub fn line(&self, text: &str) -> io::Result<()> {
        let mut out = io::stdout().lock();
        writeln!(out, "{text}")
    }

    /// A piece of the answer, shown at once.
    pub fn piece(&self, text: &str) -> io::Result<()> {
        let mut out = io::stdout().lock();
        out.write_all(text.as_bytes())?;
        out.flush()
    }

    /// A JSON value on a line of its own.
    pub fn json(&self, value: &impl Serialize) -> io::Result<()> {
        let text = serde_json::to_string(value)?;
        self.line(&text)
    }

    /// A line about how it goes, on standard error.
    pub fn note(&self, paint: Paint, text: &str) {
        let text = if self.colour_below { painted(paint, text) } else { text.to_owned() };
        // Nobody is left to tell when standard error is gone.
        let _gone = writeln!(io::stderr().lock(), "{text}");
    }

    /// A QR code, two of its rows in a line. Its dark squares are dark: with colours that are set, else on the dark ground
    /// that most terminals have.
    pub fn code(&self, content: &str) -> io::Result<()> {
        let Some(lines) = drawn(content, self.colour) else {
            return self.line("(too long for a QR code)");
        };
        for line in lines {
            self.line(&if self.colour { format!("\u{1b}[30;107m{line}\u{1b}[0m") } else { line })?;
        }
        Ok(())
    }

    /// Rows under headings, columns as wide as they need; the last one ends where it ends.
    pub fn table(&self, headings: &[&str], rows: &[Vec<Cell>]) -> io::Result<()> {
        let mut widths: Vec<usize> = headings.iter().map(|heading| heading.chars().count()).collect();
        for row in rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(cell.text.chars().count());
            }
        }
        let heading: Vec<Cell> =
            headings.iter().map(|text| Cell { text: (*text).to_owned(), paint: Some(Paint::Faint) }).collect();
        for row in std::iter::once(&heading).chain(rows) {
            let mut line = String::new();
            for (cell, width) in row.iter().zip(&widths) {
                let gap = " ".repeat(width.saturating_sub(cell.text.chars().count()) + 2);
                match cell.paint {
                    Some(paint) => line.push_str(&self.paint(paint, &cell.text)),
                    None => line.push_str(&cell.text),
                }
                line.push_str(&gap);
            }
            self.line(line.trim_end())?;
        }
        Ok(())
    }
}

/// The lines of a QR code with the margin that readers want. `on_light`: what is dark is drawn; else what is light.
pub fn drawn(content: &str, on_light: bool) -> Option<Vec<String>> {
    let code = qrcode::QrCode::with_error_correction_level(content, qrcode::EcLevel::L).ok()?;
    let (drawn, left) = (Dense1x2::Dark, Dense1x2::Light);
    let (dark, light) = if on_light { (drawn, left) } else { (left, drawn) };
    let text = code.render::<Dense1x2>().dark_color(dark).light_color(light).build();
    Some(text.lines().map(str::to_owned).collect())
}

/// One field of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cell {
    text: String,
    paint: Option<Paint>,
}

impl Cell {
    /// In a colour.
    pub fn painted(paint: Paint, text: impl Into<String>) -> Self {
        Self { text: plain(&text.into()), paint: Some(paint) }
    }
}

impl<T: Into<String>> From<T> for Cell {
    fn from(text: T) -> Self {
        Self { text: plain(&text.into()), paint: None }
    }
}

/// Without line breaks, without what a terminal would obey and what turns the direction of writing: names and titles come
/// from strangers.
pub fn plain(text: &str) -> String {
    text.chars().map(|c| if steers(c) { ' ' } else { c }).collect()
}

/// Without what a terminal would obey, line breaks and tabs kept.
pub fn harmless(text: &str) -> String {
    text.chars().filter(|c| !c.is_control() || matches!(c, '\n' | '\t')).collect()
}

/// At most so many characters, the rest as `…`.
pub fn shortened(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    let mut short: String = text.chars().take(most.saturating_sub(1)).collect();
    short.push('…');
    short
}

fn painted(paint: Paint, text: &str) -> String {
    let code = match paint {
        Paint::Good => 32,
        Paint::Warn => 33,
        Paint::Bad => 31,
        Paint::Faint => 2,
        Paint::Strong => 1,
    };
    format!("\u{1b}[{code}m{text}\u{1b}[0m")
}

/// How long ago, in words that fit a table.
pub fn ago(at: Timestamp, now: Timestamp) -> String {
    let seconds = now.saturating_sub(at) / 1_000;
    match seconds {
        0..=9 => "now".to_owned(),
        10..=59 => format!("{seconds} s ago"),
        60..=3_599 => format!("{} min ago", seconds / 60),
        3_600..=86_399 => format!("{} h ago", seconds / 3_600),
        _ => format!("{} d ago", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::{ago, drawn, plain, shortened};

    #[test]
    fn a_qr_code_has_each_of_its_squares_and_a_margin() {
        let content = "2@kW3c+a/Z=,b1yQ=,c9=";
        let code = qrcode::QrCode::with_error_correction_level(content, qrcode::EcLevel::L).unwrap();
        let width = code.width();
        for on_light in [true, false] {
            let lines = drawn(content, on_light).unwrap();
            let dark = |x: usize, y: usize| {
                let (upper, lower) = match lines[y / 2].chars().nth(x).unwrap() {
                    '█' => (true, true),
                    '▀' => (true, false),
                    '▄' => (false, true),
                    ' ' => (false, false),
                    other => panic!("{other:?}"),
                };
                (if y.is_multiple_of(2) { upper } else { lower }) == on_light
            };
            for (y, x) in (0..width).flat_map(|y| (0..width).map(move |x| (y, x))) {
                assert_eq!(dark(x + 4, y + 4), code[(x, y)] == qrcode::Color::Dark, "{x} {y}");
            }
            assert!((0..width + 8).all(|at| !dark(at, 0) && !dark(0, at) && !dark(at, 3) && !dark(width + 7, at)));
        }
        assert_eq!(drawn(&"x".repeat(4_000), true), None);
    }

    #[test]
    fn times_are_told_in_their_largest_unit() {
        let now = 10 * 86_400_000;
        let told = [0, 5_000, 59_000, 60_000, 7_200_000, 86_400_000 * 3].map(|before| ago(now - before, now));
        assert_eq!(told, ["now", "now", "59 s ago", "1 min ago", "2 h ago", "3 d ago"]);
        assert_eq!(ago(now + 5, now), "now");
    }

    #[test]
    fn a_stranger_cannot_steer_the_terminal() {
        assert_eq!(plain("a\u{1b}[2Jb\nc"), "a [2Jb c");
    }

    #[test]
    fn long_text_is_cut_between_characters() {
        assert_eq!(shortened("한국어 텍스트", 4), "한국어…");
        assert_eq!(shortened("short", 5), "short");
    }
}
