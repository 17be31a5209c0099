//! What can be typed, with the help that `--help` shows.

mod author;

use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::builder::styling::{AnsiColor, Styles};
use clap::{ArgAction, Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;

pub use author::{Dev, Given, Replay, RunTool};

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
    /// Skills: what is there, and what is wrong with it
    #[command(subcommand)]
    Skill(SkillCommand),
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
    /// Look at a component as the host would: all that is wrong with it, and what to do
    #[command(after_help = "Needs no daemon and installs nothing. Exit code 1: the host would refuse the file.")]
    Check {
        /// A component
        file: PathBuf,
    },
    /// Call a tool from here, without a model
    #[command(
        after_help = "Examples:\n  openpista-host plugin run weather.wasm                            what it offers\n  \
                      openpista-host plugin run weather.wasm weather.now '{\"place\": \"Oslo\"}' --allow http\n  \
                      openpista-host plugin run weather weather.now '{\"place\": \"Oslo\"}'\n\n\
                      A file may do what --allow says and nothing else. An installed plugin has its own grants, settings \
                      and secrets. What it writes into its state is not kept.\n\n\
                      Exit codes: 1 the tool failed   2 the arguments do not fit   5 something was denied"
    )]
    Run(RunTool),
    /// Build a plugin's folder, install it, and do it again at each change
    #[command(after_help = "Examples:\n  openpista-host plugin dev weather\n  \
                      openpista-host plugin dev weather --build \"make\" --output out/weather.wasm\n\n\
                      Knows folders with Cargo.toml, package.json and pyproject.toml. Ctrl-C ends it; the plugin stays \
                      installed.")]
    Dev(Dev),
    /// Make the calls of a recorded conversation again, and compare
    #[command(after_help = "Examples:\n  openpista-host session export 4f2a -o weather.jsonl\n  \
                      openpista-host plugin replay weather.wasm weather.jsonl --allow http\n\n\
                      Exit code 1: something is different. --update takes what came for right.")]
    Replay(Replay),
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
    /// Install a plugin: from a file, the web or a registry
    #[command(after_help = "Examples:\n  openpista-host plugin add ./weather.wasm\n  \
                      openpista-host plugin add https://example.com/weather.wasm\n  \
                      openpista-host plugin add oci://ghcr.io/ann/weather:1.2\n  \
                      openpista-host plugin add oci://ghcr.io/ann/weather@sha256:4f…   only ever this one\n\n\
                      What it asks for is shown first, and you are asked.")]
    Add {
        /// A path, https://…, or oci://REGISTRY/REPOSITORY[:TAG][@sha256:DIGEST]
        source: String,
        /// Unencrypted http is meant (to this machine it needs no word)
        #[arg(long)]
        plain_http: bool,
        /// It may take the place of a plugin of the same name that came from elsewhere
        #[arg(long)]
        replace: bool,
        /// What need not be asked.
        #[command(flatten)]
        wishes: InstallOptions,
    },
    /// Look for newer versions where plugins came from
    Update {
        /// Which [default: all that were installed by a command]
        name: Option<String>,
        /// Only look
        #[arg(long)]
        check: bool,
        /// With --yes: also where a version asks for more than the one before
        #[arg(long, requires = "yes")]
        allow_more: bool,
        /// What need not be asked.
        #[command(flatten)]
        wishes: InstallOptions,
    },
    /// Go back to the version before the last update
    Rollback {
        /// Which
        name: String,
    },
    /// Take a plugin away
    Remove {
        /// A plugin, or its file
        name: String,
        /// And what it stored, and whose key was trusted
        #[arg(long)]
        purge: bool,
        /// Do not ask
        #[arg(short, long)]
        yes: bool,
    },
    /// Say who may sign a plugin, or show who may
    #[command(after_help = "The first signer is trusted; another one is refused until you say so here.")]
    Trust {
        /// A plugin
        name: String,
        /// A public key (RW…); none: nobody, until the next signer
        key: Option<String>,
    },
    /// Make a key to sign plugins with
    Keygen {
        /// The secret key's file; the public one gets .pub behind it
        #[arg(default_value = "openpista.key")]
        file: PathBuf,
    },
    /// Put a plugin into a registry, signed
    #[command(
        after_help = "Examples:\n  openpista-host plugin publish weather.wasm oci://ghcr.io/ann/weather:1.2 --key openpista.key\n  \
                      openpista-host plugin publish weather.wasm --key openpista.key     only sign it: weather.wasm.minisig\n\n\
                      Passwords come from [registries] in config.toml, or from `docker login`."
    )]
    Publish {
        /// A component
        file: PathBuf,
        /// oci://REGISTRY/REPOSITORY:TAG [default: only sign it]
        to: Option<String>,
        /// Sign it with this key
        #[arg(long, value_name = "FILE")]
        key: Option<PathBuf>,
        /// Unencrypted http is meant (to this machine it needs no word)
        #[arg(long)]
        plain_http: bool,
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
    /// Begin a plugin of your own, with a working example in it
    #[command(
        after_help = "Examples:\n  openpista-host plugin new weather                          a tool, in Rust\n  \
                            openpista-host plugin new weather --lang python            the same in Python\n  \
                            openpista-host plugin new my-chat --role channel --lang js a messenger, in JavaScript"
    )]
    New {
        /// Its name: small letters, digits, -
        name: String,
        /// What it is to be
        #[arg(long, value_enum, default_value_t = NewRole::Tools)]
        role: NewRole,
        /// The language that it is written in
        #[arg(long, value_enum, default_value_t = NewLang::Rust)]
        lang: NewLang,
        /// In this folder [default: one with its name, here]
        #[arg(long, value_name = "FOLDER")]
        into: Option<PathBuf>,
    },
}

/// `plugin add` and `plugin update`.
#[derive(Debug, Args)]
pub struct InstallOptions {
    /// Do not ask; what it asks for is allowed
    #[arg(short, long)]
    pub yes: bool,
    /// Do not allow what it asks for
    #[arg(long)]
    pub no_allow: bool,
    /// This public key may sign it from now on (RW…); none: it need not be signed
    #[arg(long, value_name = "KEY")]
    pub accept_signer: Option<String>,
}

impl From<InstallOptions> for super::installing::Wishes {
    fn from(typed: InstallOptions) -> Self {
        Self { yes: typed.yes, no_allow: typed.no_allow, allow_more: false, accept_signer: typed.accept_signer }
    }
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

/// The language of a new plugin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum NewLang {
    /// Built by cargo
    Rust,
    /// Built by componentize-py
    Python,
    /// Built by componentize-qjs, which is jco's QuickJS; a provider by jco
    #[value(alias = "javascript")]
    Js,
}

/// `skill`.
#[derive(Debug, Subcommand)]
pub enum SkillCommand {
    /// All that were found, broken ones, too
    #[command(after_help = "Skills are folders with a SKILL.md in ~/.openpista/skills and in the workspace.")]
    List,
    /// One, with its text
    Show {
        /// Its name
        name: String,
    },
    /// Look at a folder as the daemon would, without using it
    #[command(after_help = "Example:\n  openpista-host skill check skills/word-count")]
    Check {
        /// With a SKILL.md in it
        folder: PathBuf,
    },
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
