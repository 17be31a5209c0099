//! Where log lines go: standard error, or a file while a person talks on the terminal. Never standard output. Secrets
//! are cut out of them on the way, whoever wrote them.

use std::fs::{DirBuilder, OpenOptions};
use std::io::{self, IsTerminal as _, Write};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::fmt::writer::BoxMakeWriter;

use crate::capability::secrets::Known;
use crate::config::{Log, LogFormat};

/// Begins logging. `verbosity` counts `-v` up and `-q` down; `default_file` is used if the configuration names none.
pub fn begin(log: &Log, verbosity: i16, default_file: Option<&Path>, known: &Arc<Known>) -> Result<()> {
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
    let writer = Discreet { to: writer, known: Arc::clone(known) };
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(writer).with_ansi(colour);
    let begun = match log.format {
        LogFormat::Text => builder.try_init(),
        LogFormat::Json => builder.json().try_init(),
    };
    begun.map_err(|error| anyhow::anyhow!("logging has begun already: {error}"))
}

/// For commands that end soon: only what is wrong, unless the person wants more.
pub fn for_a_command(verbosity: i16, known: &Arc<Known>) -> Result<()> {
    let log = Log { level: "warn".to_owned(), format: LogFormat::Text, file: None };
    begin(&log, verbosity, None, known)
}

/// For commands that run a component in front of its author: also what it logs and writes.
pub fn for_an_author(verbosity: i16, known: &Arc<Known>) -> Result<()> {
    let log = Log { level: "warn,plugin=info".to_owned(), format: LogFormat::Text, file: None };
    begin(&log, verbosity.clamp(-1, 0), None, known)
}

/// Writes on without secrets.
struct Discreet {
    to: BoxMakeWriter,
    known: Arc<Known>,
}

impl<'a> MakeWriter<'a> for Discreet {
    type Writer = Line<'a>;

    fn make_writer(&'a self) -> Line<'a> {
        Line { to: self.to.make_writer(), known: &self.known }
    }
}

/// Gets a line as a whole: so does the formatter write it.
struct Line<'a> {
    to: Box<dyn Write + 'a>,
    known: &'a Known,
}

impl Write for Line<'_> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.to.write_all(&self.known.clean_bytes(line))?;
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;
    use crate::capability::secrets::SecretValue;

    struct Kept(Arc<Mutex<Vec<u8>>>);

    impl Write for Kept {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn no_line_has_a_secret_in_its_message_or_its_fields_in_either_format() {
        let known = Arc::new(Known::default());
        let secret = "cor\"rect-horse";
        known.learn("a test", vec![("key".into(), SecretValue::new(secret).unwrap())]).unwrap();
        let written: Arc<Mutex<Vec<u8>>> = Arc::default();
        for json in [false, true] {
            let kept = Arc::clone(&written);
            let to = BoxMakeWriter::new(move || Kept(Arc::clone(&kept)));
            let builder = tracing_subscriber::fmt().with_writer(Discreet { to, known: Arc::clone(&known) });
            let builder = builder.with_ansi(false);
            let say = || tracing::info!(field = secret, "told {secret} at the end");
            if json {
                tracing::subscriber::with_default(builder.json().finish(), say);
            } else {
                tracing::subscriber::with_default(builder.finish(), say);
            }
        }
        let written = String::from_utf8(written.lock().unwrap().clone()).unwrap();
        assert_eq!(written.matches("[secret key]").count(), 4, "{written}");
        assert!(!written.contains("horse"), "{written}");
    }
}
