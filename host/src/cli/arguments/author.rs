//! What authors of plugins type.

use std::path::PathBuf;

use clap::Args;

/// `plugin run`.
#[derive(Debug, Args)]
pub struct RunTool {
    /// A component (FILE.wasm), or an installed plugin or instance
    #[arg(value_name = "FILE|NAME")]
    pub plugin: String,
    /// The tool [default: list them]
    pub tool: Option<String>,
    /// Its arguments, a JSON object; - reads them from standard input
    #[arg(value_name = "JSON", default_value = "{}")]
    pub arguments: String,
    /// What a file is given.
    #[command(flatten)]
    pub given: Given,
    /// Fixed clocks and random numbers: the same result each time
    #[arg(long)]
    pub deterministic: bool,
    /// Put files that it gives back here [default: the current folder]
    #[arg(long, value_name = "FOLDER")]
    pub save: Option<PathBuf>,
}

/// What a component is given for calls by hand.
#[derive(Debug, Args)]
pub struct Given {
    /// Allow a capability, with a scope or all that it asks for; may come more than once
    #[arg(long, value_name = "CAPABILITY[=SCOPE]")]
    pub allow: Vec<String>,
    /// Its settings, a JSON object
    #[arg(long, value_name = "JSON")]
    pub settings: Option<String>,
    /// A secret from an environment variable; may come more than once
    #[arg(long, value_name = "NAME=env:VARIABLE")]
    pub secret: Vec<String>,
    /// Where processes work [default: the workspace of the configuration]
    #[arg(long, value_name = "FOLDER")]
    pub workspace: Option<PathBuf>,
}

/// `plugin replay`.
#[derive(Debug, Args)]
pub struct Replay {
    /// A component
    pub file: PathBuf,
    /// What `session export` wrote
    pub recording: PathBuf,
    /// What it is given.
    #[command(flatten)]
    pub given: Given,
    /// Fixed clocks (at the recorded time) and random numbers
    #[arg(long)]
    pub deterministic: bool,
    /// Write what comes now into the recording
    #[arg(long)]
    pub update: bool,
}

/// `plugin dev`.
#[derive(Debug, Args)]
pub struct Dev {
    /// The folder of the plugin
    #[arg(default_value = ".")]
    pub folder: PathBuf,
    /// Build with this command of the shell
    #[arg(long, value_name = "COMMAND")]
    pub build: Option<String>,
    /// The component that the build makes, in the folder
    #[arg(long, value_name = "FILE.wasm")]
    pub output: Option<PathBuf>,
    /// Build and install once
    #[arg(long)]
    pub once: bool,
}
