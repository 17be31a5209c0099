//! The executable: hands the application to the command line and ends with its exit code.

use std::process::ExitCode;

use openpista_host::app;
use openpista_host::cli::{self, Hooks};

fn main() -> ExitCode {
    cli::run(Hooks {
        daemon: |config, options| Box::pin(app::daemon(config, options)),
        offline: |config, known| Box::pin(app::offline(config, known)),
    })
}
