//! `plugin log`: what a plugin wrote, and the host about it.

use super::super::lists::no_daemon;
use super::super::{Context, Exit, Failure, connect};
use crate::admin::{Request, Response, SaidLine};
use crate::output::{Output, Paint, plain};

/// Prints the last lines, and each new one until Ctrl-C if that is wanted.
pub async fn run(context: &Context, name: String, last: usize, follow: bool) -> Result<Exit, Failure> {
    let output = context.output;
    let Some(link) = connect::daemon(context).await? else {
        output.note(
            Paint::Faint,
            "What plugins say is kept by the daemon while it runs; its log has what was said before.",
        );
        return Err(no_daemon(context));
    };
    let mut answers = link.ask(Request::PluginLog { name, last, follow }).await?;
    let mut some = false;
    while let Some(response) = answers.next().await? {
        let Response::Said(line) = response else { continue };
        some = true;
        if output.json {
            output.json(&line)?;
        } else {
            show(&line, output)?;
        }
    }
    if !some && !output.json && !follow {
        output.note(Paint::Faint, "It has said nothing since the daemon started.");
    }
    Ok(Exit::Done)
}

fn show(line: &SaidLine, output: Output) -> Result<(), Failure> {
    let time = i64::try_from(line.at).ok().and_then(|at| jiff::Timestamp::from_millisecond(at).ok());
    let time = time.map(|at| at.to_zoned(jiff::tz::TimeZone::system()).strftime("%H:%M:%S").to_string());
    let paint = match line.level.as_str() {
        "error" => Paint::Bad,
        "warn" => Paint::Warn,
        "debug" => Paint::Faint,
        _ => Paint::Strong,
    };
    output.line(&format!(
        "{} {} {} {}",
        output.paint(Paint::Faint, &time.unwrap_or_default()),
        output.paint(paint, &format!("{:>5}", line.level)),
        output.paint(Paint::Faint, &plain(&format!("{} {:>6}", line.instance, line.from))),
        plain(&line.text)
    ))?;
    Ok(())
}
