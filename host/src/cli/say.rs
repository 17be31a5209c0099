//! `run -e`: one message, its answer on standard output, what the tools do on standard error.

use std::io::{IsTerminal as _, Read as _};

use super::arguments::TurnOptions;
use super::{Context, Exit, Failure, connect, logging};
use crate::admin::{AskError, Request, Response, TurnEvent};
use crate::message::Decision;
use crate::output::{Output, Paint, harmless, plain, shortened};
use connect::Reach;

/// Says it and follows the turn to its end.
pub async fn run(context: Context, text: String, options: TurnOptions) -> Result<Exit, Failure> {
    logging::for_a_command(context.verbosity, &context.known)?;
    let text = if text == "-" { from_standard_input()? } else { text };
    if text.trim().is_empty() {
        return Err(Failure::new(Exit::Usage, "there is nothing to say; write the message after -e"));
    }
    let reach = connect::reach(&context).await?;
    let model = context.sources.overrides.get("agent.model").cloned();
    let request = Request::Say { text, session: options.session, model, yes: options.yes };
    tokio::select! {
        exit = follow(&reach, request, context.output) => exit,
        _ = tokio::signal::ctrl_c() => Ok(Exit::Interrupted),
    }
}

fn from_standard_input() -> Result<String, Failure> {
    let most = u64::try_from(crate::admin::REQUEST_MOST / 2).unwrap_or(u64::MAX);
    let mut text = String::new();
    std::io::stdin().take(most).read_to_string(&mut text)?;
    Ok(text)
}

async fn follow(reach: &Reach, request: Request, output: Output) -> Result<Exit, Failure> {
    let mut answers = reach.ask(request).await?;
    let mut page = Page { output, written: false, apart: false, line_open: false };
    let mut nobody = false;
    let mut exit = None;
    while let Some(response) = answers.next().await? {
        let Response::Turn(event) = response else { continue };
        if output.json {
            output.json(&event)?;
        } else {
            page.show(&event)?;
        }
        match event {
            TurnEvent::Approval { id, tool, summary, arguments, .. } => {
                let decision = if at_terminal() && !output.json {
                    ask_person(output, &tool, &summary, &arguments).await
                } else {
                    None
                };
                nobody |= decision.is_none();
                let word = match decision {
                    Some(decision) => Request::Decide { approval: id, decision },
                    None => Request::Nobody { approval: id },
                };
                match reach.all(word).await {
                    // Its time was over meanwhile; the turn says so by itself.
                    Ok(_) | Err(AskError::Refused(_)) => {}
                    Err(error) => return Err(error.into()),
                }
            }
            TurnEvent::ApprovalOver { decision: None, .. } => nobody = true,
            TurnEvent::End { ok, cancelled, .. } => {
                exit = Some(match (ok, cancelled) {
                    _ if nobody => Exit::Denied,
                    (true, _) => Exit::Done,
                    (false, true) => Exit::Interrupted,
                    (false, false) => Exit::Failed,
                });
            }
            _ => {}
        }
    }
    if nobody {
        let advice = "Something needed an approval and nobody was there to give it; --yes allows it for one turn, a \
                      line under [policy.tools] in config.toml for good.";
        output.note(Paint::Warn, advice);
    }
    exit.ok_or_else(|| AskError::CutOff.into())
}

fn at_terminal() -> bool {
    std::io::stdin().is_terminal() && std::io::stderr().is_terminal()
}

/// None: nobody is there to answer.
async fn ask_person(output: Output, tool: &str, summary: &str, arguments: &str) -> Option<Decision> {
    output.note(Paint::Strong, &format!("\n{} wants to: {}", plain(tool), plain(summary)));
    output.note(Paint::Faint, &format!("  {}", shortened(&plain(arguments), 2_000)));
    loop {
        output.note(Paint::Strong, "Allow? [y]es, [s]ession, [n]o:");
        let line = tokio::task::spawn_blocking(|| {
            let mut line = String::new();
            std::io::stdin().read_line(&mut line).map(|read| (read > 0).then_some(line))
        });
        // The end of input is nobody's yes, nor anybody's no.
        let Ok(Ok(Some(line))) = line.await else { return None };
        match line.trim().to_lowercase().as_str() {
            "y" | "yes" => return Some(Decision::AllowOnce),
            "s" | "session" => return Some(Decision::AllowSession),
            "n" | "no" => return Some(Decision::Deny),
            _ => {}
        }
    }
}

/// The answer on standard output, the rest beside it.
struct Page {
    output: Output,
    written: bool,
    apart: bool,
    line_open: bool,
}

impl Page {
    fn show(&mut self, event: &TurnEvent) -> Result<(), Failure> {
        match event {
            TurnEvent::Answering { .. } => self.apart = self.written,
            TurnEvent::Text { text } => {
                if self.apart {
                    self.apart = false;
                    self.output.piece(if self.line_open { "\n\n" } else { "\n" })?;
                }
                self.output.piece(&harmless(text))?;
                self.written = true;
                self.line_open = !text.ends_with('\n');
            }
            TurnEvent::Restarted => self.note(Paint::Warn, "The answer begins anew.")?,
            TurnEvent::Retrying { reason, model, .. } => {
                self.note(Paint::Warn, &format!("{}; asking {}", plain(reason), plain(model)))?;
            }
            TurnEvent::Compacting => self.note(Paint::Faint, "Summing up older messages")?,
            TurnEvent::ToolStarted { name, arguments, .. } => {
                self.note(Paint::Faint, &format!("▸ {} {}", plain(name), shortened(&plain(arguments), 200)))?;
            }
            TurnEvent::ToolProgress { line, .. } => {
                self.note(Paint::Faint, &format!("  {}", shortened(&plain(line), 200)))?;
            }
            TurnEvent::ToolDone { name, line, .. } => {
                self.note(Paint::Faint, &format!("✓ {} {}", plain(name), shortened(&plain(line), 200)))?;
            }
            TurnEvent::ToolFailed { name, line, .. } => {
                self.note(Paint::Bad, &format!("✗ {} {}", plain(name), shortened(&plain(line), 200)))?;
            }
            TurnEvent::End { notice, .. } => {
                self.close_line()?;
                if let Some(notice) = notice {
                    self.note(Paint::Warn, &harmless(notice))?;
                }
            }
            TurnEvent::Begin { .. }
            | TurnEvent::Reasoning { .. }
            | TurnEvent::Approval { .. }
            | TurnEvent::ApprovalOver { .. } => {}
        }
        Ok(())
    }

    fn note(&mut self, paint: Paint, text: &str) -> Result<(), Failure> {
        self.close_line()?;
        self.output.note(paint, text);
        Ok(())
    }

    fn close_line(&mut self) -> Result<(), Failure> {
        if self.line_open {
            self.output.piece("\n")?;
            self.line_open = false;
        }
        Ok(())
    }
}
