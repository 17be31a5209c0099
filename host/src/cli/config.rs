//! `config`: checks, shows and begins the configuration.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;

use anyhow::Context as _;

use super::arguments::ConfigCommand;
use super::{Context, Exit, Failure};
use crate::config::{Config, ConfigError, Origin, Problem};
use crate::output::{Cell, Paint, shortened};

const EXAMPLE: &str = include_str!("../../../config.toml");

/// Does it.
pub fn run(context: &Context, command: ConfigCommand) -> Result<Exit, Failure> {
    match command {
        ConfigCommand::Check => check(context),
        ConfigCommand::Show { changed } => show(context, changed),
        ConfigCommand::Path => {
            let path = context.sources.file.clone().unwrap_or_else(|| context.home.path().join("config.toml"));
            context.output.line(&path.display().to_string())?;
            Ok(Exit::Done)
        }
        ConfigCommand::Init => init(context),
    }
}

fn check(context: &Context) -> Result<Exit, Failure> {
    let output = context.output;
    let (problems, warnings, file): (Vec<Problem>, Vec<Problem>, _) = match Config::load(&context.sources) {
        Ok(config) => (Vec::new(), config.warnings, Some((config.file, config.file_exists))),
        Err(ConfigError::Wrong(problems)) => (problems, Vec::new(), None),
        Err(error) => return Err(error.into()),
    };
    let exit = if problems.is_empty() { Exit::Done } else { Exit::Config };
    if output.json {
        let answer = serde_json::json!({ "ok": problems.is_empty(), "problems": problems, "warnings": warnings });
        output.json(&answer)?;
        return Ok(exit);
    }
    for problem in &problems {
        output.line(&output.paint(Paint::Bad, &problem.to_string()))?;
    }
    for warning in &warnings {
        output.line(&output.paint(Paint::Warn, &format!("warning: {warning}")))?;
    }
    match file {
        Some((file, true)) => output.line(&format!("{} is fine", file.display()))?,
        Some((file, false)) => {
            output.line(&format!("{} does not exist; every option has its default", file.display()))?
        }
        None => {}
    }
    Ok(exit)
}

fn show(context: &Context, changed: bool) -> Result<Exit, Failure> {
    let config = context.config()?;
    let output = context.output;
    let settings = config.settings.iter().filter(|setting| !changed || setting.origin != Origin::Default);
    if output.json {
        for setting in settings {
            output.json(setting)?;
        }
        return Ok(Exit::Done);
    }
    let rows: Vec<Vec<Cell>> = settings
        .map(|setting| {
            let value = if setting.value.is_null() { "(unset)".to_owned() } else { setting.value.to_string() };
            let origin = setting.origin.to_string();
            let origin = match setting.origin {
                Origin::Default => Cell::painted(Paint::Faint, origin),
                _ => origin.into(),
            };
            vec![setting.key.clone().into(), shortened(&value, 80).into(), origin]
        })
        .collect();
    output.table(&["KEY", "VALUE", "FROM"], &rows)?;
    Ok(Exit::Done)
}

fn init(context: &Context) -> Result<Exit, Failure> {
    let path = context.sources.file.clone().unwrap_or_else(|| context.home.path().join("config.toml"));
    context.home.create()?;
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&path)
        .with_context(|| format!("cannot write {} (one that is there is never overwritten)", path.display()))?;
    file.write_all(EXAMPLE.as_bytes())?;
    context.output.line(&format!("written to {}", path.display()))?;
    Ok(Exit::Done)
}
