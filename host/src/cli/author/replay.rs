//! `plugin replay`: a recorded conversation as a test of a plugin.

use serde_json::json;

use super::{bench, file, given};
use crate::author::replay::{Again, Recording, Replayed};
use crate::author::run::Trial;
use crate::cli::arguments::Replay;
use crate::cli::{Context, Exit, Failure, logging};
use crate::output::{Output, Paint, plain, shortened};

/// Does it.
pub async fn replay(context: &Context, options: Replay) -> Result<Exit, Failure> {
    logging::for_a_command(context.verbosity, &context.known)?;
    let (config, path) = (context.config()?, file(context, &options.file)?);
    let recorded = file(context, &options.recording)?;
    let text = std::fs::read_to_string(&recorded)
        .map_err(|error| Failure::new(Exit::Failed, format!("{}: {error}", options.recording.display())))?;
    let mut recording = Recording::read(&text)?;
    let bench = bench(context, &config, options.given.workspace.as_deref())?;
    let trial = Trial::open(&bench, &path, given(context, &options.given)?).await;
    let trial = trial.map_err(|error| Failure::new(Exit::Failed, format!("{}: {error:#}", options.file.display())))?;
    if !trial.instance.plugin.shape.tools() {
        let why = "it has no tools, and replay makes recorded calls of tools again: a conversation does not hold what a \
                   provider asked its service, or what a messenger sent";
        return Err(Failure::new(Exit::Usage, format!("{}: {why}", options.file.display())));
    }
    let output = context.output;
    let (mut same, mut skipped) = (0, 0);
    let different = recording
        .again(&bench, &trial, options.deterministic, options.update, |replayed| {
            match replayed.result {
                Again::Same => same += 1,
                Again::Differs(_) => (),
                Again::Skipped(_) => skipped += 1,
            }
            // A reader that left has seen enough.
            let _gone = show(replayed, output);
        })
        .await?;
    if same + skipped + different == 0 {
        let offers: Vec<&str> = trial.tools.iter().map(|tool| tool.name.as_str()).collect();
        let calls = recording.tools();
        let calls = if calls.is_empty() { "no tool".to_string() } else { calls.join(", ") };
        let text = format!("the recording calls {calls}; {} has {}", options.file.display(), offers.join(", "));
        return Err(Failure::new(Exit::NotFound, text));
    }
    for denied in bench.notes.take() {
        let text = format!("denied: {} for {}; allow it with --allow {0}", denied.capability, plain(&denied.what));
        output.note(Paint::Warn, &text);
    }
    let updated = options.update && different > 0;
    if updated {
        std::fs::write(&recorded, recording.text())?;
    }
    let what = if updated { "written anew" } else { "different" };
    let counted = format!("{same} as recorded, {different} {what}, {skipped} not made");
    let good = different == 0 || updated;
    output.note(if good { Paint::Good } else { Paint::Bad }, &counted);
    Ok(if good { Exit::Done } else { Exit::Failed })
}

fn show(replayed: &Replayed, output: Output) -> std::io::Result<()> {
    let (word, paint, lines) = match &replayed.result {
        Again::Same => ("ok", Paint::Good, Vec::new()),
        Again::Differs(lines) => ("differs", Paint::Bad, lines.clone()),
        Again::Skipped(why) => ("not made", Paint::Faint, vec![why.clone()]),
    };
    if output.json {
        return output.json(&json!({
            "id": replayed.id, "tool": replayed.tool, "arguments": replayed.arguments, "result": word, "lines": lines
        }));
    }
    let call = format!("{} {}", plain(&replayed.tool), shortened(&plain(&replayed.arguments), 80));
    output.line(&format!("{} {call}", output.paint(paint, &format!("{word:<8}"))))?;
    for line in lines {
        output.line(&format!("    {}", plain(&line)))?;
    }
    Ok(())
}
