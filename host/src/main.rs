<<<<<<< HEAD
use std::collections::BTreeMap;
#[tokio::main]
async fn main() -> anyhow::Result<()> {
    tracing_subscriber::fmt().with_writer(std::io::stderr).with_env_filter("info").init();
    let home = std::path::PathBuf::from(std::env::var("OPENPISTA_HOME")?);
    let sources = openpista_host::config::Sources { home: home.clone(), file: None, environment: std::env::vars().collect(), overrides: BTreeMap::new(), user_folder: home.clone(), started_in: std::env::current_dir()?, at_terminal: false };
    let config = openpista_host::config::Config::load(&sources)?;
    let app = openpista_host::app::App::assemble(config, openpista_host::transport::Console::standard(true)).await?;
    app.serve(|app| { eprintln!("{:?} {:?}", app.link(), app.models.choice()); for idle in &app.registry.snapshot().idle { eprintln!("idle {idle:?}"); } for b in &app.registry.snapshot().broken { eprintln!("broken {b:?}"); } }).await
=======
//! The executable: hands the application to the command line and ends with its exit code.

use std::process::ExitCode;

use openpista_host::cli::{self, Hooks};

fn main() -> ExitCode {
    cli::run(Hooks {
        daemon: |_config, _options| Box::pin(async { anyhow::bail!("this build has no application in it") }),
        offline: |_config| Box::pin(async { anyhow::bail!("this build has no application in it") }),
    })
>>>>>>> bbb41d0 (Add the command line, its home and its output)
}
