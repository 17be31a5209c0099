//! What can be typed, with the help that `--help` shows.

use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::builder::styling::{AnsiColor, Styles};
use clap::{ArgAction, Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;

const STYLES: Styles = Styles::styled()
    .header(AnsiColor::Yellow.on_default().bold())
    .usage(AnsiColor::Yellow.on_default().bold())
    .literal(AnsiColor::Green.on_default())
    .placeholder(AnsiColor::Cyan.on_default());

const EXAMPLES: &str = "\
Examples:
  openpista-host run                              start, with the web page and a prompt here
  openpista-host run -e \"what is in this folder?\" ask once and print the answer
  openpista-host plugin list                      what is installed, and what waits for your word
  openpista-host doctor                           when something is not as it should be

Exit codes:
  0 done   1 failed   2 wrong usage   3 wrong configuration   4 no such thing
  5 denied, or nobody there to approve   6 a daemon runs (or none does)   130 interrupted";

/// The version, with that of the contract.
pub fn version() -> String {
    format!("openpista-host {} (plugin contract {})", env!("CARGO_PKG_VERSION"), crate::plugin::CONTRACT)
}

/// An agent whose models, messengers and tools are WebAssembly plugins.
#[derive(Debug, Parser)]
#[command(
    name = "openpista-host",
    version,
    styles = STYLES,
    after_help = EXAMPLES,
    subcommand_required = true,
    arg_required_else_help = true,
    disable_help_subcommand = true
)]
pub struct Arguments {
    /// For all commands.
    #[command(flatten)]
    pub global: Global,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// For all commands.
#[derive(Debug, Args)]
pub struct Global {
    /// Everything that is kept lies here [default: ~/.openpista, or OPENPISTA_HOME]
    #[arg(long, global = true, value_name = "FOLDER")]
    pub home: Option<PathBuf>,
    /// The configuration [default: config.toml in the home, or OPENPISTA_CONFIG]
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Write JSON, one value a line
    #[arg(long, global = true)]
    pub json: bool,
    /// Log more; twice for still more
    #[arg(short, long, global = true, action = ArgAction::Count)]
    pub verbose: u8,
    /// Log less; twice for errors only
    #[arg(short, long, global = true, action = ArgAction::Count)]
    pub quiet: u8,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Start the agent, or ask it one thing with -e
    #[command(
        visible_alias = "start",
        after_help = "Examples:\n  openpista-host run\n  openpista-host run --no-console --listen 127.0.0.1:4000\n  \
                      openpista-host run -e \"sum up README.md\" --yes\n  openpista-host run -e \"and in Korean?\" -s 4f2a\n\n\
                      Ctrl-C or SIGTERM lets what is under way finish; a second one ends at once."
    )]
    Run(RunOptions),
    /// End the daemon of this home
    Quit,
    /// Say whether a daemon runs, and where its page is
    Status,
    /// End turns that are running
    Stop {
        /// All of them
        #[arg(long, conflicts_with = "session", required_unless_present = "session")]
        all: bool,
        /// Those of this session (an id, or how it begins)
        session: Option<String>,
    },
    /// Conversations
    #[command(subcommand)]
    Session(SessionCommand),
    /// Plugins: what is there, what it may do
    #[command(subcommand)]
    Plugin(PluginCommand),
    /// Models
    #[command(subcommand)]
    Model(ModelCommand),
    /// Channels
    #[command(subcommand)]
    Channel(ChannelCommand),
    /// The configuration
    #[command(subcommand)]
    Config(ConfigCommand),
    /// The ledger: what plugins did
    #[command(subcommand)]
    Ledger(LedgerCommand),
    /// Look for what is wrong, and say what to do
    Doctor,
    /// Print completions for a shell
    #[command(
        after_help = "Example:\n  openpista-host completions bash > ~/.local/share/bash-completion/completions/openpista-host"
    )]
    Completions {
        /// Which shell
        shell: Shell,
    },
    /// Print the version
    Version,
}

/// `run`.
#[derive(Debug, Args)]
pub struct RunOptions {
    /// Say this, print the answer, end
    #[arg(short = 'e', long = "execute", value_name = "TEXT")]
    pub say: Option<String>,
    /// Of the one turn.
    #[command(flatten)]
    pub turn: TurnOptions,
    /// Talk here too, even when this is no terminal
    #[arg(long, conflicts_with_all = ["no_console", "say"])]
    pub console: bool,
    /// Do not talk here
    #[arg(long)]
    pub no_console: bool,
    /// Where the page and webhooks are
    #[arg(long, value_name = "ADDRESS:PORT", conflicts_with = "say")]
    pub listen: Option<String>,
    /// The model: "instance/model"
    #[arg(short, long)]
    pub model: Option<String>,
}

/// `run -e`.
#[derive(Debug, Args)]
pub struct TurnOptions {
    /// Go on with this session (an id, or how it begins) [default: a new one]
    #[arg(short, long, requires = "say")]
    pub session: Option<String>,
    /// Allow whatever would be asked about, for this turn
    #[arg(short, long, requires = "say")]
    pub yes: bool,
}

/// `session`.
#[derive(Debug, Subcommand)]
pub enum SessionCommand {
    /// The newest first
    List {
        /// At most so many
        #[arg(short = 'n', long, default_value_t = 20)]
        limit: usize,
    },
    /// Those with these words in them
    Search {
        /// The words
        query: String,
        /// At most so many
        #[arg(short = 'n', long, default_value_t = 20)]
        limit: usize,
    },
    /// Print a conversation
    Show {
        /// An id, or how it begins
        session: String,
        /// Only the last so many messages
        #[arg(short = 'n', long)]
        last: Option<usize>,
    },
    /// Write a conversation with everything in it as JSON lines
    Export {
        /// An id, or how it begins
        session: String,
        /// Into this file [default: standard output]
        #[arg(short, long)]
        output: Option<PathBuf>,
    },
    /// Delete a conversation for good
    Delete {
        /// An id, or how it begins
        session: String,
        /// Do not ask
        #[arg(short, long)]
        yes: bool,
    },
}

/// `plugin`.
#[derive(Debug, Subcommand)]
pub enum PluginCommand {
    /// What is installed and how it stands
    List,
    /// All about one
    Inspect {
        /// A plugin or an instance
        name: String,
    },
    /// Try a file as the daemon would, without installing it
    Check {
        /// A component
        file: PathBuf,
    },
    /// Let a plugin do what it asks for, or more
    #[command(
        after_help = "Examples:\n  openpista-host plugin allow weather                        all that it asks for\n  \
                            openpista-host plugin allow weather http=api.example.com   this host\n\n\
                            A capability that is not given does not exist for the plugin."
    )]
    Allow {
        /// A plugin or an instance
        name: String,
        /// Capability, with a scope if it has one
        #[arg(value_name = "CAPABILITY[=SCOPE]")]
        grants: Vec<String>,
    },
    /// Take back what a plugin may do
    Deny {
        /// A plugin or an instance
        name: String,
        /// Capability, with a scope if only that; none: everything
        #[arg(value_name = "CAPABILITY[=SCOPE]")]
        grants: Vec<String>,
    },
    /// Use one at once that was set aside because it broke again and again
    Resume {
        /// A plugin or an instance
        name: String,
    },
    /// What a plugin wrote, and what the host said about it
    #[command(after_help = "Examples:\n  openpista-host plugin log weather        the last lines\n  \
                            openpista-host plugin log weather -f     and each new one, until Ctrl-C\n\n\
                            The daemon keeps 200 lines of each instance since its start; its log has all of them.")]
    Log {
        /// A plugin or an instance
        name: String,
        /// At most so many lines
        #[arg(short = 'n', long, default_value_t = 50)]
        lines: usize,
        /// Go on with each new line
        #[arg(short, long)]
        follow: bool,
    },
    /// Begin a plugin of your own
    New {
        /// Its name: small letters, digits, -
        name: String,
        /// What it is to be
        #[arg(long, value_enum, default_value_t = NewRole::Tools)]
        role: NewRole,
        /// In this folder [default: one with its name, here]
        #[arg(long, value_name = "FOLDER")]
        into: Option<PathBuf>,
    },
}

/// What a new plugin is to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum NewRole {
    /// Things that the model can do
    Tools,
    /// A model's API
    Provider,
    /// A messenger
    Channel,
}

/// `model`.
#[derive(Debug, Subcommand)]
pub enum ModelCommand {
    /// What can be used, and which one is
    List,
}

/// `channel`.
#[derive(Debug, Subcommand)]
pub enum ChannelCommand {
    /// All of them
    List,
    /// One, with its transports
    Status {
        /// The instance [default: all]
        name: Option<String>,
    },
    /// Who may write, and who waits for your word
    Contacts {
        /// The instance [default: all]
        name: Option<String>,
    },
    /// Let in whoever was shown this code
    #[command(
        after_help = "Somebody unknown who writes gets a code that works for an hour. `openpista-host channel contacts` \
                      shows whose it is."
    )]
    Pair {
        /// Eight letters and digits
        code: String,
    },
    /// Let somebody in without a code
    Allow {
        /// The instance
        name: String,
        /// Their id, as the channel has it
        sender: String,
    },
    /// Let somebody in no more
    Forget {
        /// The instance
        name: String,
        /// Their id, as `contacts` shows it
        sender: String,
    },
    /// Close a channel and open it again
    Restart {
        /// The instance
        name: String,
    },
    /// Give up what a channel tries to deliver again and again
    Skip {
        /// The instance
        name: String,
    },
}

/// `config`.
#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// Look for mistakes
    Check,
    /// What is in force, and where it comes from
    Show {
        /// Only what somebody set
        #[arg(long)]
        changed: bool,
    },
    /// Where the file is
    Path,
    /// Write a commented example where the file belongs
    Init,
}

/// `ledger`.
#[derive(Debug, Subcommand)]
pub enum LedgerCommand {
    /// The newest first
    Show {
        /// Of a plugin or an instance
        #[arg(long)]
        plugin: Option<String>,
        /// Of an instance
        #[arg(long)]
        instance: Option<String>,
        /// Of a session
        #[arg(short, long)]
        session: Option<String>,
        /// Of a capability: http, shell, … or tools
        #[arg(long)]
        capability: Option<String>,
        /// Not older than this: "30m", "2h", or a time like 2026-11-21T15:00:00Z
        #[arg(long, value_name = "TIME")]
        since: Option<String>,
        /// Only what was denied
        #[arg(long)]
        denied: bool,
        /// At most so many
        #[arg(short = 'n', long, default_value_t = 50)]
        limit: usize,
    },
    /// Check that no line was changed or taken out
    Verify,
}

impl Command {
    /// What of the command stands above the configuration.
    pub fn overrides(&self, into: &mut BTreeMap<String, String>) {
        if let Self::Run(options) = self {
            if let Some(listen) = &options.listen {
                into.insert("server.listen".to_owned(), listen.clone());
            }
            if let Some(model) = &options.model {
                into.insert("agent.model".to_owned(), model.clone());
            }
        }
    }
}
