//! Where log lines go: standard error, or a file while a person talks on the terminal. Never standard output.

use std::fs::{DirBuilder, OpenOptions};
use std::io::IsTerminal as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::writer::BoxMakeWriter;

use crate::config::{Log, LogFormat};

/// Begins logging. `verbosity` counts `-v` up and `-q` down; `default_file` is used if the configuration names none.
pub fn begin(log: &Log, verbosity: i16, default_file: Option<&Path>) -> Result<()> {
    let directives = match verbosity {
        0 => log.level.as_str(),
        1 => "debug",
        -1 => "warn",
        quieter if quieter < 0 => "error",
        _ => "trace",
    };
    let filter = EnvFilter::try_new(directives).with_context(|| format!("wrong log level \"{directives}\""))?;
    let file = log.file.as_deref().or(default_file);
    let (writer, colour) = match file {
        None => {
            let colour = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty());
            (BoxMakeWriter::new(std::io::stderr), colour)
        }
        Some(path) => {
            if let Some(folder) = path.parent() {
                DirBuilder::new()
                    .recursive(true)
                    .mode(0o700)
                    .create(folder)
                    .with_context(|| format!("cannot make the folder for logs {}", folder.display()))?;
            }
            let file = OpenOptions::new()
                .append(true)
                .create(true)
                .mode(0o600)
                .open(path)
                .with_context(|| format!("cannot write the log {}", path.display()))?;
            (BoxMakeWriter::new(Arc::new(file)), false)
        }
    };
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(writer).with_ansi(colour);
    let begun = match log.format {
        LogFormat::Text => builder.try_init(),
        LogFormat::Json => builder.json().try_init(),
    };
    begun.map_err(|error| anyhow::anyhow!("logging has begun already: {error}"))
}

/// For commands that end soon: only what is wrong, unless the person wants more.
pub fn for_a_command(verbosity: i16) -> Result<()> {
    let log = Log { level: "warn".to_owned(), format: LogFormat::Text, file: None };
    begin(&log, verbosity, None)
}
