//! `doctor`: looks at everything that can be wrong, and says what to do about each.
//!
//! The surroundings are looked at here; store, plugins and models by whoever has them open.

use std::io::IsTerminal as _;
use std::net::TcpListener;
use std::path::Path;

use super::{Context, Exit, Failure, connect, logging};
use crate::admin::{Check, CheckStatus, Link, Request, Response};
use crate::config::{Config, ConfigError};
use crate::output::{Cell, Output, Paint, plain};

/// Below this the store may soon have no place for the next message.
const SPACE_LEAST: u64 = 256 << 20;

/// Looks and reports; fails if something does not work.
pub async fn run(context: &Context) -> Result<Exit, Failure> {
    logging::for_a_command(context.verbosity - 1, &context.known)?;
    let mut checks = vec![home(context)];
    let config = match Config::load(&context.sources) {
        Ok(config) => Some(config),
        Err(error) => {
            checks.push(config_is_wrong(&error));
            None
        }
    };
    let daemon = connect::daemon(context).await.unwrap_or(None);
    if let Some(config) = &config {
        checks.push(config_is_fine(config));
        checks.push(workspace(&config.agent.workspace));
        checks.push(address(config, daemon.is_some()));
    }
    checks.push(space(context.home.path()));
    checks.push(terminal());
    let home_works = checks.first().is_some_and(|check| check.status != CheckStatus::Fail);
    if let Some(config) = config.filter(|_| home_works) {
        inside(context, config, daemon, &mut checks).await;
    }
    report(&checks, context.output)?;
    let failed = checks.iter().any(|check| check.status == CheckStatus::Fail);
    Ok(if failed { Exit::Failed } else { Exit::Done })
}

/// What the daemon, or the opened home, finds in itself.
async fn inside(context: &Context, config: Config, daemon: Option<Link>, checks: &mut Vec<Check>) {
    let running = daemon.is_some();
    let detail = if running { "a daemon is running" } else { "no daemon is running; `openpista-host run` starts one" };
    checks.push(ok("daemon", detail));
    let answers = match daemon {
        Some(link) => link.all(Request::Doctor).await.map_err(Failure::from),
        None => match connect::offline(context, config).await {
            Ok(reach) => reach.all(Request::Doctor).await.map_err(Failure::from),
            Err(failure) => Err(failure),
        },
    };
    match answers {
        Ok(found) => checks.extend(found.into_iter().filter_map(|response| match response {
            Response::Check(check) => Some(check),
            _ => None,
        })),
        Err(Failure { error, .. }) => {
            let advice = "Correct what it says; if it stays, start with `openpista-host run -v` and read the log.";
            checks.push(bad("host", &format!("{error:#}"), advice));
        }
    }
}

fn ok(name: &str, detail: impl Into<String>) -> Check {
    Check { name: name.to_owned(), status: CheckStatus::Ok, detail: detail.into(), advice: None }
}

fn warn(name: &str, detail: &str, advice: &str) -> Check {
    Check {
        name: name.to_owned(),
        status: CheckStatus::Warn,
        detail: detail.to_owned(),
        advice: Some(advice.to_owned()),
    }
}

fn bad(name: &str, detail: &str, advice: &str) -> Check {
    Check { status: CheckStatus::Fail, ..warn(name, detail, advice) }
}

fn home(context: &Context) -> Check {
    let path = context.home.path().display();
    if let Err(error) = context.home.create() {
        return bad("home", &error.to_string(), "The home must be a folder of your own that you can read and write.");
    }
    match context.home.open_to_others() {
        Some(mode) => {
            warn("home", &format!("others can look into {path} (mode {mode:o})"), &format!("chmod 700 {path}"))
        }
        None => ok("home", path.to_string()),
    }
}

fn config_is_wrong(error: &ConfigError) -> Check {
    let detail = match error {
        ConfigError::Wrong(problems) => problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "),
        other => other.to_string(),
    };
    bad("config", &detail, "Correct these; `openpista-host config check` looks again.")
}

fn config_is_fine(config: &Config) -> Check {
    if !config.warnings.is_empty() {
        let detail = config.warnings.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
        return warn("config", &detail, "`openpista-host config show` says what is in force.");
    }
    let detail = if config.file_exists { "is fine" } else { "does not exist; every option has its default" };
    ok("config", format!("{} {detail}", config.file.display()))
}

fn workspace(path: &Path) -> Check {
    match std::fs::read_dir(path) {
        Ok(_) => ok("workspace", path.display().to_string()),
        Err(error) => bad(
            "workspace",
            &format!("{}: {error}", path.display()),
            "Make the folder, or set `workspace` in [agent] to another.",
        ),
    }
}

fn address(config: &Config, daemon: bool) -> Check {
    let listen = config.server.listen;
    if daemon {
        return ok("address", format!("{listen}, used by the daemon"));
    }
    match TcpListener::bind(listen) {
        Ok(_) => ok("address", format!("{listen} is free")),
        Err(error) => bad(
            "address",
            &format!("cannot listen on {listen}: {error}"),
            "End what has the port, or set another `listen` in [server].",
        ),
    }
}

fn space(path: &Path) -> Check {
    let free = match nix::sys::statvfs::statvfs(path) {
        // The types differ between systems; on some they are u64 already.
        #[allow(clippy::useless_conversion, reason = "the width of these numbers depends on the system")]
        Ok(found) => u64::from(found.blocks_available()).saturating_mul(u64::from(found.fragment_size())),
        Err(error) => {
            return warn("space", &format!("{}: {error}", path.display()), "Look at the file system yourself.");
        }
    };
    let detail = format!("{} MB free", free >> 20);
    if free < SPACE_LEAST {
        warn("space", &detail, "Make place; messages that cannot be stored are not taken.")
    } else {
        ok("space", detail)
    }
}

fn terminal() -> Check {
    let at_terminal = std::io::stdin().is_terminal() && std::io::stdout().is_terminal();
    if at_terminal {
        return ok("terminal", "a prompt can be shown here");
    }
    ok("terminal", "none; `run` starts without a prompt, and nobody can approve here")
}

fn report(checks: &[Check], output: Output) -> Result<(), Failure> {
    if output.json {
        for check in checks {
            output.json(check)?;
        }
        return Ok(());
    }
    let rows: Vec<Vec<Cell>> = checks
        .iter()
        .map(|check| {
            let (word, paint) = match check.status {
                CheckStatus::Ok => ("ok", Paint::Good),
                CheckStatus::Warn => ("warn", Paint::Warn),
                CheckStatus::Fail => ("fail", Paint::Bad),
            };
            vec![Cell::painted(paint, word), check.name.clone().into(), check.detail.clone().into()]
        })
        .collect();
    output.table(&["", "WHAT", "FOUND"], &rows)?;
    let advised = checks.iter().filter_map(|check| check.advice.as_ref().map(|advice| (check, advice)));
    for (check, advice) in advised {
        let paint = if check.status == CheckStatus::Fail { Paint::Bad } else { Paint::Warn };
        output.line(&format!("{} {}", output.paint(paint, &format!("{}:", plain(&check.name))), plain(advice)))?;
    }
    Ok(())
}
