//! Figures as a person reads them.

use std::time::Duration;

/// One line.
pub struct Row {
    /// What was measured.
    pub what: String,
    /// Half of them were at most this.
    pub p50: String,
    /// All but one of a hundred were at most this.
    pub p99: String,
    /// The host's memory.
    pub memory: String,
    /// What it is held against.
    pub compared: String,
}

/// A value that a part of all values, in percent, are at most.
pub fn percentile(times: &[Duration], percent: usize) -> Duration {
    let mut sorted = times.to_vec();
    sorted.sort_unstable();
    let at = (sorted.len() * percent).div_ceil(100).saturating_sub(1);
    sorted.get(at).copied().unwrap_or_default()
}

/// `31 µs`, `1.84 ms`, `2.1 s`
pub fn time(time: Duration) -> String {
    let micros = time.as_secs_f64() * 1e6;
    match micros {
        m if m < 10.0 => format!("{m:.1} µs"),
        m if m < 1_000.0 => format!("{m:.0} µs"),
        m if m < 10_000.0 => format!("{:.2} ms", m / 1e3),
        m if m < 1_000_000.0 => format!("{:.0} ms", m / 1e3),
        m => format!("{:.1} s", m / 1e6),
    }
}

/// `18.4 MB`, in millions of bytes.
pub fn size(bytes: u64) -> String {
    format!("{:.1} MB", bytes as f64 / 1e6)
}

/// The rows as Markdown that is also readable as it is.
pub fn table(rows: &[Row]) -> String {
    let head = ["what", "p50", "p99", "memory", "compared with"].map(str::to_string);
    let mut lines: Vec<[String; 5]> = vec![head];
    for row in rows {
        let Row { what, p50, p99, memory, compared } = row;
        lines.push([what, p50, p99, memory, compared].map(Clone::clone));
    }
    let width = |column: usize| lines.iter().map(|line| line[column].chars().count()).max().unwrap_or_default();
    let widths: [usize; 5] = std::array::from_fn(width);
    let mut text = String::new();
    for (number, line) in lines.iter().enumerate() {
        for (cell, width) in line.iter().zip(widths) {
            text.push_str(&format!("| {cell:width$} "));
        }
        text.push_str("|\n");
        if number == 0 {
            text.push_str(&widths.map(|width| format!("|{}", "-".repeat(width + 2))).concat());
            text.push_str("|\n");
        }
    }
    text
}
