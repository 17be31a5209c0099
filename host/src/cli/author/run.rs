//! `plugin run`: a tool called from the shell.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::{bench, file, given, size, tools};
use crate::admin::{Called, FailureKind, Request, Response};
use crate::author::check::check as look_at;
use crate::author::run::{Call, Trial, call, find};
use crate::cli::arguments::RunTool;
use crate::cli::{Context, Exit, Failure, connect, logging};
use crate::message::{Content, Media, ToolDefinition, new_id};
use crate::output::{Output, Paint, harmless, plain};

/// Does it.
pub async fn run(context: &Context, options: RunTool) -> Result<Exit, Failure> {
    logging::for_an_author(context.verbosity, &context.known)?;
    let typed = Path::new(&options.plugin);
    let is_file = options.plugin.ends_with(".wasm") || options.plugin.contains('/') || typed.is_file();
    if is_file { of_file(context, &options, typed).await } else { of_installed(context, &options).await }
}

fn arguments(typed: &str) -> Result<String, Failure> {
    if typed != "-" {
        return Ok(typed.to_owned());
    }
    let mut text = String::new();
    std::io::stdin().read_to_string(&mut text)?;
    Ok(text)
}

/// A component that need not be installed.
async fn of_file(context: &Context, options: &RunTool, typed: &Path) -> Result<Exit, Failure> {
    let (config, path) = (context.config()?, file(context, typed)?);
    let bench = bench(context, &config, options.given.workspace.as_deref())?;
    let report = look_at(&bench, &path, &config.plugins.dir).await?;
    if !report.good() {
        // The answer of this command is the tool's; what is wrong stands beside it.
        for fault in report.faults.iter().filter(|fault| fault.level == crate::author::check::Level::Error) {
            context.output.note(Paint::Bad, &plain(&fault.what));
            context.output.note(Paint::Faint, &format!("    {}", plain(&fault.advice)));
        }
        return Err(Failure::new(Exit::Failed, format!("{} cannot be used; see `plugin check`", report.file)));
    }
    if !report.shape.tools() {
        let instead = if report.shape.provider() {
            "a provider: install it, then `openpista-host model list` and `run -e TEXT --model INSTANCE/MODEL` use it"
        } else {
            "a channel: install it, then `openpista-host channel status` shows how it stands"
        };
        return Err(Failure::new(Exit::Usage, format!("{} has no tools to call; it is {instead}", report.file)));
    }
    let trial = Trial::open(&bench, &path, given(context, &options.given)?).await;
    let trial = trial.map_err(|error| Failure::new(Exit::Usage, format!("{error:#}")))?;
    let Some(tool) = &options.tool else { return listed(&trial.tools, context.output) };
    let known = trial.tool(tool).map_err(|why| Failure::new(Exit::NotFound, why))?;
    let arguments = crate::author::checked(&arguments(&options.arguments)?, known);
    let arguments = arguments.map_err(|why| Failure::new(Exit::Usage, why))?;
    for name in &trial.unset {
        let text = format!("the secret {name} has no value; give it one with --secret {name}=env:VARIABLE");
        context.output.note(Paint::Warn, &text);
    }
    let output = context.output;
    let cancel = CancellationToken::new();
    let request = Call {
        tool: tool.clone(),
        arguments,
        id: None,
        session: format!("by-hand-{}", new_id()),
        progress: Arc::new(move |line| output.note(Paint::Faint, &harmless(&line))),
        cancel: cancel.clone(),
        fixed: options.deterministic.then(Default::default),
    };
    let running = call(&bench.host, &trial.instance, request);
    tokio::pin!(running);
    let said = tokio::select! {
        said = &mut running => said,
        _ = tokio::signal::ctrl_c() => {
            cancel.cancel();
            running.await
        }
    };
    let mut called = said.told(&bench.known, tool, &bench.notes);
    // The plugin is not installed: what would allow it here stands on this command line.
    let command = format!("openpista-host plugin allow {} ", trial.instance.name);
    if let Some(error) = &mut called.error {
        error.text = error.text.replace(&command, "--allow ");
    }
    let hint = |capability: &str| {
        let need = trial.instance.plugin.manifest.needs.iter().find(|need| need.capability == capability);
        match need {
            Some(need) => {
                format!("allow it for this call: --allow {capability} (it asks for {})", need.scope.join(", "))
            }
            None => format!("it does not ask for {capability}: add it to `needs`"),
        }
    };
    shown(&called, &hint, options.save.as_deref(), context)
}

/// A plugin of the home, by its own grants.
async fn of_installed(context: &Context, options: &RunTool) -> Result<Exit, Failure> {
    let name = options.plugin.clone();
    let typed = &options.given;
    let own =
        typed.allow.is_empty() && typed.settings.is_none() && typed.secret.is_empty() && typed.workspace.is_none();
    if !own {
        return Err(Failure::new(
            Exit::Usage,
            format!(
                "{name} is an installed plugin, which has its own grants, settings and secrets; --allow, --settings, \
                 --secret and --workspace are for a file (write ./{name}.wasm)"
            ),
        ));
    }
    let reach = connect::reach(context).await?;
    let answer = reach.all(Request::PluginTools { name: name.clone() }).await?;
    let offered = answer.into_iter().find_map(|response| match response {
        Response::Tools(tools) => Some(tools),
        _ => None,
    });
    let offered = offered.unwrap_or_default();
    let Some(tool) = options.tool.clone() else { return listed(&offered, context.output) };
    let known = find(&offered, &tool).map_err(|why| Failure::new(Exit::NotFound, why))?;
    let arguments = crate::author::checked(&arguments(&options.arguments)?, known);
    let arguments = arguments.map_err(|why| Failure::new(Exit::Usage, why))?;
    let request = Request::PluginCall { name: name.clone(), tool, arguments, deterministic: options.deterministic };
    let mut answers = reach.ask(request).await?;
    loop {
        // The daemon ends the call when this process is gone.
        match answers.next().await? {
            Some(Response::Progress(line)) => context.output.note(Paint::Faint, &harmless(&line)),
            Some(Response::Called(called)) => {
                let hint = |capability: &str| format!("allow it: openpista-host plugin allow {name} {capability}");
                return shown(&called, &hint, options.save.as_deref(), context);
            }
            Some(_) => (),
            None => return Err(Failure::new(Exit::Failed, "the host gave no answer")),
        }
    }
}

fn listed(offered: &[ToolDefinition], output: Output) -> Result<Exit, Failure> {
    if output.json {
        for tool in offered {
            output.json(tool)?;
        }
    } else if offered.is_empty() {
        output.note(Paint::Faint, "It offers no tool.");
    } else {
        tools(offered, output)?;
        output.note(Paint::Faint, "Call one: openpista-host plugin run FILE TOOL '{\"key\": \"value\"}'");
    }
    Ok(Exit::Done)
}

fn shown(
    called: &Called,
    hint: &dyn Fn(&str) -> String,
    save: Option<&Path>,
    context: &Context,
) -> Result<Exit, Failure> {
    let output = context.output;
    if output.json {
        output.json(called)?;
    } else {
        for (number, one) in called.content.iter().enumerate() {
            match one {
                Content::Text(text) => output.line(&harmless(text))?,
                Content::Json(text) => {
                    let value: Option<serde_json::Value> = serde_json::from_str(text).ok();
                    let pretty = value.and_then(|value| serde_json::to_string_pretty(&value).ok());
                    output.line(&pretty.unwrap_or_else(|| harmless(text)))?;
                }
                Content::Media(media) => {
                    let folder =
                        save.map_or_else(|| context.sources.started_in.clone(), |f| context.sources.started_in.join(f));
                    let path = kept(media, number, &folder)?;
                    let length = u64::try_from(media.data.len()).unwrap_or(u64::MAX);
                    output.line(&format!("[{}, {}: {}]", plain(&media.mime), size(length), path.display()))?;
                }
                Content::Other(other) => output.line(&json!({ other.kind.clone(): other.data }).to_string())?,
            }
        }
    }
    if let Some(error) = &called.error {
        output.note(Paint::Bad, &format!("error: {}", harmless(&error.text)));
    }
    let mut told = Vec::new();
    for denied in &called.denied {
        output.note(Paint::Warn, &format!("denied: {} for {}", denied.capability, plain(&denied.what)));
        if !told.contains(&&denied.capability) {
            output.note(Paint::Warn, &format!("    {}", hint(&denied.capability)));
            told.push(&denied.capability);
        }
    }
    if context.verbosity > 0 {
        let used =
            format!("{} ms, {} ms of it running, {} of memory", called.took_ms, called.ran_ms, size(called.memory));
        output.note(Paint::Faint, &used);
    }
    Ok(match called.error.as_ref().map(|error| error.kind) {
        None => Exit::Done,
        Some(FailureKind::AccessDenied) => Exit::Denied,
        Some(FailureKind::Cancelled) => Exit::Interrupted,
        Some(_) if !called.denied.is_empty() => Exit::Denied,
        Some(_) => Exit::Failed,
    })
}

/// Writes a file that a tool gave back, over none that is there.
fn kept(media: &Media, number: usize, folder: &Path) -> Result<PathBuf, Failure> {
    std::fs::create_dir_all(folder)?;
    let ending = media.mime.rsplit('/').next().unwrap_or_default();
    let ending: String = ending.chars().filter(char::is_ascii_alphanumeric).take(8).collect();
    let safe = |c: char| c.is_alphanumeric() || matches!(c, '.' | '-' | '_' | ' ');
    let given: String = media.name.as_deref().unwrap_or_default().chars().filter(|c| safe(*c)).take(100).collect();
    let given = given.trim_start_matches('.');
    let name = if given.is_empty() { format!("file-{}.{ending}", number + 1) } else { given.to_string() };
    let (stem, rest) =
        name.rsplit_once('.').map_or((name.as_str(), String::new()), |(stem, e)| (stem, format!(".{e}")));
    for again in 0..1_000 {
        let name = if again == 0 { name.clone() } else { format!("{stem}-{again}{rest}") };
        let path = folder.join(name);
        let mut file = match std::fs::OpenOptions::new().write(true).create_new(true).open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => continue,
            Err(error) => return Err(error.into()),
        };
        std::io::Write::write_all(&mut file, &media.data)?;
        return Ok(path);
    }
    Err(Failure::new(Exit::Failed, format!("{} has too many files called {name}", folder.display())))
}
