//! `ledger`: what plugins did, and whether the record of it is whole.

use super::arguments::LedgerCommand;
use super::{Context, Exit, Failure, connect, logging};
use crate::admin::{LedgerEntry, Request, Response};
use crate::config::duration;
use crate::message::{Timestamp, now};
use crate::output::{Cell, Output, Paint, ago, plain, shortened};

/// Does it.
pub async fn run(context: &Context, command: LedgerCommand) -> Result<Exit, Failure> {
    logging::for_a_command(context.verbosity, &context.known)?;
    let output = context.output;
    let (request, verify) = match command {
        LedgerCommand::Show { plugin, instance, session, capability, since, denied, limit } => {
            let since = since.as_deref().map(|text| time(text, now())).transpose()?;
            (Request::LedgerShow { plugin, instance, session, capability, since, denied, limit }, false)
        }
        LedgerCommand::Verify => (Request::LedgerVerify, true),
    };
    let mut rows: Vec<Vec<Cell>> = Vec::new();
    let mut exit = Exit::Done;
    let now = now();
    for response in connect::reach(context).await?.all(request).await? {
        match response {
            Response::Ledger(entry) if output.json => output.json(&entry)?,
            Response::Ledger(entry) => rows.push(row(entry, now)),
            Response::LedgerChecked { broken_at, .. } => {
                if broken_at.is_some() {
                    exit = Exit::Failed;
                }
                verified(&response, output)?;
            }
            _ => {}
        }
    }
    if !output.json && !verify {
        let heads = ["LINE", "WHEN", "INSTANCE", "", "CAPABILITY", "TOOK", "WHAT", "LET BY"];
        output.table(&heads, &rows)?;
    }
    Ok(exit)
}

fn row(entry: LedgerEntry, now: Timestamp) -> Vec<Cell> {
    let known = if entry.outcome.is_empty() { "allowed" } else { entry.outcome.as_str() };
    let word =
        if entry.allowed { Cell::painted(Paint::Good, plain(known)) } else { Cell::painted(Paint::Bad, "denied") };
    vec![
        entry.number.to_string().into(),
        ago(entry.at, now).into(),
        entry.instance.into(),
        word,
        entry.capability.into(),
        entry.took.map_or_else(String::new, took).into(),
        shortened(&plain(&entry.what), 80).into(),
        shortened(&plain(&entry.approval), 60).into(),
    ]
}

/// `420 µs`, `12 ms`, `3.2 s`
pub(super) fn took(micros: u64) -> String {
    match micros {
        0..1_000 => format!("{micros} µs"),
        1_000..1_000_000 => format!("{} ms", micros / 1_000),
        _ => format!("{}.{} s", micros / 1_000_000, micros / 100_000 % 10),
    }
}

fn verified(response: &Response, output: Output) -> Result<(), Failure> {
    let Response::LedgerChecked { lines, broken_at, archived, archive, missing } = response else { return Ok(()) };
    if output.json {
        output.json(&serde_json::json!({
            "lines": lines, "broken_at": broken_at, "archived": archived, "archive": archive, "missing": missing,
        }))?;
        return Ok(());
    }
    match (broken_at, archive) {
        (None, _) => {
            output.line(&format!("{lines} lines, all as they were written; {archived} of them in archives"))?
        }
        (Some(number), Some(archive)) => output.line(&format!(
            "from line {number} on the archive {archive} was changed or lines are missing; what is before it is whole"
        ))?,
        (Some(number), None) => output.line(&format!(
            "from line {number} on the ledger was changed or lines are missing; what is before it is whole"
        ))?,
    }
    if *missing > 0 {
        let words = format!("{missing} lines between are in no archive: it was switched off, or a file is gone");
        output.note(Paint::Warn, &words);
    }
    Ok(())
}

/// A duration before now, or a time.
fn time(text: &str, now: Timestamp) -> Result<Timestamp, Failure> {
    if let Ok(before) = duration(text) {
        return Ok(now.saturating_sub(u64::try_from(before.as_millis()).unwrap_or(u64::MAX)));
    }
    let parsed: Result<jiff::Timestamp, _> = text.parse();
    parsed.ok().and_then(|at| u64::try_from(at.as_millisecond()).ok()).ok_or_else(|| {
        Failure::new(
            Exit::Usage,
            format!("\"{text}\" is no time: write how long ago, like \"2h\", or a time like 2026-11-21T15:00:00Z"),
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_so_long_ago_or_a_moment() {
        assert_eq!(time("2h", 10_000_000).unwrap(), 10_000_000 - 7_200_000);
        assert_eq!(time("1970-01-01T00:00:01Z", 0).unwrap(), 1_000);
        assert!(time("yesterday", 0).is_err());
    }

    #[test]
    fn how_long_a_call_took_is_short_to_read() {
        assert_eq!([999, 12_345, 3_250_000].map(took), ["999 µs", "12 ms", "3.2 s"]);
    }
}
