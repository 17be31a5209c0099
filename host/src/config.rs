//! The configuration: `config.toml`, the environment and the command line become one validated [`Config`], once.
//!
//! A leaf: everything else gets its part of the result and knows nothing of files or variables. Defaults, ranges and the
//! list of keys stand where [`Config::load`] reads them; `config.toml` at the top of the repository documents them,
//! and a test holds the two together. Unknown keys fail with the nearest known name, and all problems are reported at
//! once. Where each value comes from is kept for `config show`.
//!
//! A key `[agent] max_tool_rounds` is also the variable `OPENPISTA_AGENT_MAX_TOOL_ROUNDS`.

mod instance;
mod limits;
mod pinned;
mod read;
mod scalar;
mod skills;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Map, Value};
use toml::de::DeTable;

use instance::ServerWishes;
pub use instance::{Contacts, Instance, Role, Secret, SecretError, SecretSource, is_name};
pub use limits::{LimitWishes, Limits};
pub use pinned::{Pinned, RegistryLogin};
pub use read::{Origin, Problem, Setting, suggestion};
use read::{Reader, choose};
pub use skills::{SkillContext, Skills};

/// What the web channel calls the server's token.
const WEB_TOKEN: &str = "web-token";

/// What the configuration is made of.
#[derive(Debug, Clone)]
pub struct Sources {
    /// `~/.openpista`, or where the person wants it.
    pub home: PathBuf,
    /// A file that the person named: it must exist. `None`: `config.toml` in the home, if there is one.
    pub file: Option<PathBuf>,
    /// All variables of the process.
    pub environment: BTreeMap<String, String>,
    /// `section.key` and value, from options of the command.
    pub overrides: BTreeMap<String, String>,
    /// The person's own folder: what `~` stands for.
    pub user_folder: PathBuf,
    /// Where the command was started.
    pub started_in: PathBuf,
    /// Whether a person started it, at a terminal.
    pub at_terminal: bool,
}

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read the configuration {path}: {source}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file can be read and is wrong.
    #[error("{}", list(.0))]
    Wrong(Vec<Problem>),
}

fn list(problems: &[Problem]) -> String {
    let mut text = match problems.len() {
        1 => String::from("the configuration has a problem:"),
        n => format!("the configuration has {n} problems:"),
    };
    for problem in problems {
        text.push_str("\n  ");
        text.push_str(&problem.to_string());
    }
    text
}

/// The configuration, validated, with defaults filled in and paths made absolute.
#[derive(Debug, Clone)]
pub struct Config {
    /// The home: store, plugins, socket, logs.
    pub home: PathBuf,
    /// The file that was read, or would be if it existed.
    pub file: PathBuf,
    /// Whether it exists.
    pub file_exists: bool,
    /// The process's environment, for secrets that are kept there.
    pub environment: BTreeMap<String, String>,
    /// `[agent]`.
    pub agent: Agent,
    /// `[server]`.
    pub server: Server,
    /// `[operator]`.
    pub operator: Operator,
    /// `[policy]`.
    pub policy: Policy,
    /// `[limits]`.
    pub limits: Limits,
    /// `[ledger]`.
    pub ledger: Ledger,
    /// `[store]`.
    pub store: Store,
    /// `[log]`.
    pub log: Log,
    /// `[plugins]`.
    pub plugins: Plugins,
    /// `[registries.HOST]`: who one is there.
    pub registries: BTreeMap<String, RegistryLogin>,
    /// `[skills]`.
    pub skills: Skills,
    /// `[providers.NAME]`.
    pub providers: BTreeMap<String, Instance>,
    /// `[channels.NAME]`.
    pub channels: BTreeMap<String, Instance>,
    /// `[tools.NAME]`.
    pub tools: BTreeMap<String, Instance>,
    /// Every key with its value and where that comes from.
    pub settings: Vec<Setting>,
    /// What is not wrong but should be looked at.
    pub warnings: Vec<Problem>,
}

/// A model that a person named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelName {
    /// The provider instance.
    pub instance: String,
    /// As its API calls it; `None`: the instance's first.
    pub model: Option<String>,
}

impl std::fmt::Display for ModelName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.model {
            Some(model) => write!(f, "{}/{model}", self.instance),
            None => f.write_str(&self.instance),
        }
    }
}

/// How hard the model is to think.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effort {
    /// Not at all.
    Off,
    /// A little.
    Low,
    /// Some.
    Medium,
    /// Much.
    High,
}

/// `[agent]`.
#[derive(Debug, Clone, PartialEq)]
pub struct Agent {
    /// `None`: the first provider that is ready.
    pub model: Option<ModelName>,
    /// Tried in order when the model fails.
    pub fallback_models: Vec<ModelName>,
    /// Rounds of model and tools in one turn.
    pub max_tool_rounds: u32,
    /// Of one turn, without the time that an approval waits.
    pub turn_timeout: Duration,
    /// How long an approval can be answered.
    pub approval_timeout: Duration,
    /// Added to the host's own words.
    pub system_prompt: Option<String>,
    /// `None`: what the model can take.
    pub max_context_tokens: Option<u64>,
    /// Earlier turns of which the model gets the messages.
    pub max_context_turns: Option<u64>,
    /// Characters of one tool's output that the model sees.
    pub tool_output_chars: usize,
    /// `None`: the model's own choice.
    pub effort: Option<Effort>,
    /// For the provider, per model call.
    pub options: Map<String, Value>,
    /// Where tools work.
    pub workspace: PathBuf,
}

/// `[server]`.
#[derive(Debug, Clone, PartialEq)]
pub struct Server {
    /// Port 0: any free one.
    pub listen: SocketAddr,
    /// What a browser must show. `None` on the own machine only: one is made at the first start.
    pub token: Option<SecretSource>,
    /// Host names under which the server answers, besides its address and localhost.
    pub allowed_hosts: Vec<String>,
    /// Other pages that may call it.
    pub cors_origins: Vec<String>,
    /// The address that the world sees, without a slash at the end.
    pub public_url: Option<url::Url>,
}

/// `[operator]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operator {
    /// Conversations in which is said that a channel does not work.
    pub notify: Vec<String>,
    /// How long it may be down before.
    pub after: Duration,
}

/// What the policy says of a tool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Runs.
    Allow,
    /// A person is asked.
    Ask,
    /// Never.
    Deny,
}

/// `[policy]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// For tools that nothing else speaks of; read-only tools may be treated better by the agent.
    pub default: Verdict,
    /// Patterns with `*`, the most exact one first.
    pub tools: Vec<(String, Verdict)>,
    /// Ask again for what could do harm once the turn took in words of strangers.
    pub reask_after_untrusted: bool,
}

impl Policy {
    /// What a pattern says of a tool; `None`: none speaks of it, `default` holds.
    pub fn named(&self, tool: &str) -> Option<Verdict> {
        self.tools.iter().find(|(pattern, _)| matches(pattern, tool)).map(|(_, verdict)| *verdict)
    }
}

/// A duration as a person writes it: `90s`, `2m`, `1h30m`.
pub fn duration(text: &str) -> Result<Duration, String> {
    scalar::duration(&Value::from(text))
}

/// `*` stands for any characters, also none.
fn matches(pattern: &str, text: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == text,
        Some((start, rest)) => text.strip_prefix(start).is_some_and(|after| {
            let mut tail = after;
            loop {
                if matches(rest, tail) {
                    return true;
                }
                let mut letters = tail.chars();
                if letters.next().is_none() {
                    return false;
                }
                tail = letters.as_str();
            }
        }),
    }
}

/// `[ledger]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ledger {
    /// Lines in the database.
    pub keep: u64,
    /// Whether older ones are kept in files.
    pub archive: bool,
    /// Bytes of those together.
    pub archive_size: u64,
}

/// `[store]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Store {
    /// The database.
    pub path: PathBuf,
    /// Bytes of its cache.
    pub cache: u64,
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One object a line.
    Json,
}

/// `[log]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Log {
    /// A level, or directives per module.
    pub level: String,
    /// How a line looks.
    pub format: LogFormat,
    /// `None`: standard error, or `log/openpista.log` in the home while the console is open.
    pub file: Option<PathBuf>,
}

/// `[plugins]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plugins {
    /// Where components lie.
    pub dir: PathBuf,
    /// Only what came with the host is loaded.
    pub safe_mode: bool,
    /// Whether what came with the host is laid out.
    pub stock: bool,
    /// Bytes of a plugin that is fetched.
    pub max_download: u64,
    /// `[plugins.NAME]`: plugins that are to be there.
    pub pinned: BTreeMap<String, Pinned>,
}

impl Config {
    /// Reads all sources. A missing file is an empty one, unless the person named it.
    pub fn load(sources: &Sources) -> Result<Self, ConfigError> {
        let file = sources.file.clone().unwrap_or_else(|| sources.home.join("config.toml"));
        let (text, file_exists) = match std::fs::read_to_string(&file) {
            Ok(text) => (text, true),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound && sources.file.is_none() => {
                (String::new(), false)
            }
            Err(source) => return Err(ConfigError::Unreadable { path: file, source }),
        };
        let mut config = Self::parse(&text, &file, sources)?;
        config.file_exists = file_exists;
        if file_exists && config.has_inline_secret() {
            config.warnings.extend(open_to_others(&file));
        }
        Ok(config)
    }

    /// The same from a text that is at hand.
    pub fn parse(text: &str, file: &Path, sources: &Sources) -> Result<Self, ConfigError> {
        let (root, errors) = DeTable::parse_recoverable(text);
        let mut reader = Reader::new(file, text, sources);
        for error in errors {
            let place = reader.place(error.span().map_or(0, |span| span.start));
            reader.problem(place, error.message().to_owned());
        }
        // After a wrong sign the rest of the tree is guesswork; what it seems to lack would only distract.
        if !reader.problems.is_empty() {
            return Err(ConfigError::Wrong(reader.problems));
        }
        let config = Self::read(&mut reader, root.get_ref(), sources, file);
        if reader.problems.is_empty() { Ok(config) } else { Err(ConfigError::Wrong(reader.problems)) }
    }

    fn read<'a>(reader: &mut Reader<'a>, root: &DeTable<'a>, sources: &Sources, file: &Path) -> Self {
        let home = &sources.home;
        let mut wishes = ServerWishes::default();
        let (limits, ceiling) = limits::read(reader, root);
        let providers = instance::read(reader, root, Role::Provider, &ceiling, &mut wishes);
        let mut channels = instance::read(reader, root, Role::Channel, &ceiling, &mut wishes);
        let tools = instance::read(reader, root, Role::Tool, &ceiling, &mut wishes);
        let agent = agent(reader, root, sources);
        if wishes.token.is_none() {
            wishes.token = channels.get("web").and_then(|web| web.secrets.get(WEB_TOKEN)).cloned();
        }
        let server = server(reader, root, wishes);
        if let Some(token) = &server.token {
            web_channel(&mut channels).secrets.insert(WEB_TOKEN.to_owned(), token.clone());
        }
        let operator = operator(reader, root);
        let policy = policy(reader, root);
        let ledger = ledger(reader, root);
        let store = store(reader, root, home);
        let log = log(reader, root);
        let plugins = plugins(reader, root, home);
        let registries = pinned::registries(reader, root);
        let skills = skills::skills(reader, root, home);
        let sections = [
            "agent",
            "server",
            "operator",
            "policy",
            "limits",
            "ledger",
            "store",
            "log",
            "plugins",
            "registries",
            "skills",
            "providers",
            "channels",
            "tools",
        ];
        reader.refuse_unknown(root, "", &sections.iter().map(|s| (*s).to_owned()).collect());
        Self {
            home: home.clone(),
            file: file.to_owned(),
            file_exists: false,
            environment: sources.environment.clone(),
            agent,
            server,
            operator,
            policy,
            limits,
            ledger,
            store,
            log,
            plugins,
            registries,
            skills,
            providers,
            channels,
            tools,
            warnings: unknown_variables(&reader.variables, &sources.environment),
            settings: std::mem::take(&mut reader.settings),
        }
    }

    /// All instances of all roles.
    pub fn instances(&self) -> impl Iterator<Item = (Role, &Instance)> {
        let providers = self.providers.values().map(|instance| (Role::Provider, instance));
        let channels = self.channels.values().map(|instance| (Role::Channel, instance));
        let tools = self.tools.values().map(|instance| (Role::Tool, instance));
        providers.chain(channels).chain(tools)
    }

    fn has_inline_secret(&self) -> bool {
        let inline = |source: &SecretSource| matches!(source, SecretSource::Inline(_));
        self.registries.values().any(|registry| inline(&registry.password))
            || self.server.token.as_ref().is_some_and(inline)
            || self.instances().any(|(_, instance)| instance.secrets.values().any(inline))
    }
}

/// The instance that serves the page; it exists without a table of its own too.
fn web_channel(channels: &mut BTreeMap<String, Instance>) -> &mut Instance {
    channels.entry("web".to_owned()).or_insert_with(|| Instance {
        name: "web".to_owned(),
        plugin: None,
        enabled: true,
        settings: Map::new(),
        secrets: BTreeMap::new(),
        grants: BTreeMap::new(),
        limits: LimitWishes::default(),
        mount: None,
        contacts: None,
        allow: Vec::new(),
    })
}

fn table<'t, 'a>(reader: &mut Reader<'a>, root: &'t DeTable<'a>, name: &str) -> Option<&'t DeTable<'a>> {
    let entry = root.get(name)?;
    let table = entry.get_ref().as_table();
    if table.is_none() {
        let place = reader.place(entry.span().start);
        reader.problem(place, format!("`{name}` must be a table: write [{name}]"));
    }
    table
}

fn model(value: &Value) -> Result<Option<ModelName>, String> {
    let text = scalar::text(value)?;
    if text == "auto" {
        return Ok(None);
    }
    let (instance, model) = match text.split_once('/') {
        Some((instance, model)) if !model.is_empty() => (instance, Some(model.to_owned())),
        Some((instance, _)) => (instance, None),
        None => (text.as_str(), None),
    };
    if !is_name(instance) {
        return Err(format!("\"{text}\" is not a model: write \"instance/model\", or \"auto\""));
    }
    Ok(Some(ModelName { instance: instance.to_owned(), model }))
}

fn models(value: &Value) -> Result<Vec<ModelName>, String> {
    let names = scalar::texts(value)?;
    names
        .iter()
        .map(|name| model(&Value::from(name.as_str()))?.ok_or_else(|| "\"auto\" cannot be a fallback".to_owned()))
        .collect()
}

fn agent<'a>(reader: &mut Reader<'a>, root: &DeTable<'a>, sources: &Sources) -> Agent {
    let table = table(reader, root, "agent");
    let mut section = reader.section("agent", table);
    let show_model =
        |name: &Option<ModelName>| Value::from(name.as_ref().map_or_else(|| "auto".to_owned(), ModelName::to_string));
    let model = section.take("model", &["OPENPISTA_MODEL"], Some(None), |v, _| model(v), show_model).0.flatten();
    let show_models = |names: &Vec<ModelName>| Value::from_iter(names.iter().map(ModelName::to_string));
    let fallback_models =
        section.take("fallback_models", &[], Some(Vec::new()), |v, _| models(v), show_models).0.unwrap_or_default();
    let max_tool_rounds = section.count("max_tool_rounds", 30, 1..=1000);
    let turn_timeout = section.duration("turn_timeout", Duration::from_secs(120));
    let approval_timeout = section.duration("approval_timeout", Duration::from_secs(600));
    let mut system_prompt = section.text("system_prompt");
    if let Some(path) = section.path("system_prompt_file", &[], None) {
        match std::fs::read_to_string(&path) {
            Ok(text) => system_prompt = Some(system_prompt.map_or(text.clone(), |own| format!("{own}\n\n{text}"))),
            Err(error) => {
                let place = section.key("system_prompt_file");
                section.reader.problem(place, format!("cannot read {}: {error}", path.display()));
            }
        }
    }
    let max_context_tokens = section.optional_count("max_context_tokens", 1_000..=100_000_000);
    let max_context_turns = section.optional_count("max_context_turns", 2..=1_000_000);
    let tool_output_chars = section.count("tool_output_chars", 10_000, 200..=1_000_000);
    let efforts = [("off", Effort::Off), ("low", Effort::Low), ("medium", Effort::Medium), ("high", Effort::High)];
    let effort = section.choice("effort", &[], None, &efforts);
    let options = section.table("options");
    // A daemon that a service manager starts has `/` around it, which nobody means to work in.
    let here = sources.at_terminal && sources.started_in != Path::new("/");
    let default = if here { &sources.started_in } else { &sources.user_folder };
    let workspace =
        section.path("workspace", &["OPENPISTA_WORKSPACE"], Some(default.clone())).unwrap_or_else(|| default.clone());
    section.end();
    Agent {
        model,
        fallback_models,
        max_tool_rounds: u32::try_from(max_tool_rounds).unwrap_or(u32::MAX),
        turn_timeout,
        approval_timeout,
        system_prompt,
        max_context_tokens,
        max_context_turns,
        tool_output_chars: usize::try_from(tool_output_chars).unwrap_or(usize::MAX),
        effort,
        options,
        workspace,
    }
}

fn server<'a>(reader: &mut Reader<'a>, root: &DeTable<'a>, wishes: ServerWishes) -> Server {
    let default = SocketAddr::from((Ipv4Addr::LOCALHOST, 3210));
    let table = table(reader, root, "server");
    let mut section = reader.section("server", table);
    let address = |value: &Value, _: &Reader<'_>| {
        let text = scalar::text(value)?;
        text.replace("localhost", "127.0.0.1")
            .parse::<SocketAddr>()
            .map_err(|_| format!("\"{text}\" is not an address with a port, like \"127.0.0.1:3210\""))
    };
    let (listen, listen_origin) = section.take("listen", &[], Some(default), address, |a| Value::from(a.to_string()));
    let mut listen = listen.unwrap_or(default);
    let mut origin = listen_origin;
    let token = section
        .take("token", &["OPENPISTA_WEB_TOKEN"], None, instance::secret, instance::show_secret)
        .0
        .or(wishes.token);
    let allowed_hosts = section.texts("allowed_hosts");
    let mut cors_origins = section.texts("cors_origins");
    cors_origins.extend(wishes.cors_origins);
    let public_url = section.take("public_url", &[], None, |v, _| web_address(v), |u| Value::from(u.as_str())).0;
    let variable = section.reader.variable("OPENPISTA_WEB_PORT");
    section.end();

    let from_variable = variable.and_then(|(variable, text)| {
        let from = Origin::Environment { variable };
        match text.trim().parse::<u16>() {
            Ok(port) => Some((port, from)),
            Err(_) => {
                let place = reader.place_of(&from);
                reader.problem(place, format!("\"{text}\" is not a port: 0 to 65535"));
                None
            }
        }
    });
    let command_line = matches!(origin, Origin::CommandLine);
    if let Some((port, from)) = from_variable.or(wishes.port).filter(|_| !command_line) {
        listen.set_port(port);
        if let Some(setting) = reader.settings.iter_mut().find(|setting| setting.key == "server.listen") {
            setting.value = Value::from(listen.to_string());
            setting.origin = from.clone();
        }
        origin = from;
    }
    if !listen.ip().is_loopback() && token.is_none() {
        let place = reader.place_of(&origin);
        reader.problem(
            place,
            format!(
                "listening on {listen} lets others in, so it needs a token: set `token` in [server] or \
                 OPENPISTA_WEB_TOKEN, or listen on 127.0.0.1"
            ),
        );
    }
    Server { listen, token, allowed_hosts, cors_origins, public_url }
}

fn web_address(value: &Value) -> Result<url::Url, String> {
    let text = scalar::text(value)?;
    match url::Url::parse(&text) {
        Ok(url) if matches!(url.scheme(), "http" | "https") && url.has_host() => Ok(url),
        _ => Err(format!("\"{text}\" is not an address like \"https://example.com\"")),
    }
}

fn operator<'a>(reader: &mut Reader<'a>, root: &DeTable<'a>) -> Operator {
    let table = table(reader, root, "operator");
    let mut section = reader.section("operator", table);
    let operator =
        Operator { notify: section.texts("notify"), after: section.duration("after", Duration::from_secs(60)) };
    section.end();
    operator
}

fn policy<'a>(reader: &mut Reader<'a>, root: &DeTable<'a>) -> Policy {
    let verdicts = [("allow", Verdict::Allow), ("ask", Verdict::Ask), ("deny", Verdict::Deny)];
    let table = table(reader, root, "policy");
    let mut section = reader.section("policy", table);
    let default = section.choice("default", &[], Some(Verdict::Ask), &verdicts).unwrap_or(Verdict::Ask);
    let reask_after_untrusted = section.boolean("reask_after_untrusted", true);
    let mut tools = Vec::new();
    let entry = section.entry("tools");
    match entry.map(|entry| (entry, entry.get_ref().as_table())) {
        None => section.record("tools", Value::Object(Map::new()), Value::Object(Map::new()), Origin::Default),
        Some((entry, None)) => {
            let place = section.reader.place(entry.span().start);
            section.reader.problem(place, "`tools` in [policy] must be a table: write [policy.tools]");
        }
        Some((entry, Some(table))) => {
            for (pattern, value) in table {
                let name = pattern.get_ref().as_ref();
                let place = section.reader.place(value.span().start);
                if value.get_ref().is_table() {
                    section.reader.problem(place, format!("put the tool's name in quotes: \"{name}.…\" = \"ask\""));
                    continue;
                }
                match choose(&read::json(value.get_ref()), &verdicts) {
                    Ok(verdict) => tools.push((name.to_owned(), verdict)),
                    Err(text) => section.reader.problem(place, format!("`{name}` in [policy.tools]: {text}")),
                }
            }
            let line = section.reader.line(entry.span().start);
            section.record("tools", read::json(entry.get_ref()), Value::Object(Map::new()), Origin::File { line });
        }
    }
    section.end();
    // The more letters a pattern fixes, the more exactly it speaks; one without a star speaks of one tool only.
    tools.sort_by_key(|(pattern, _): &(String, Verdict)| {
        (pattern.contains('*'), std::cmp::Reverse(pattern.chars().filter(|c| *c != '*').count()))
    });
    Policy { default, tools, reask_after_untrusted }
}

fn ledger<'a>(reader: &mut Reader<'a>, root: &DeTable<'a>) -> Ledger {
    let table = table(reader, root, "ledger");
    let mut section = reader.section("ledger", table);
    let ledger = Ledger {
        keep: section.count("keep", 100_000, 100..=1_000_000),
        archive: section.boolean("archive", true),
        archive_size: section.size("archive_size", 256 << 20, 1 << 20..=1 << 40),
    };
    section.end();
    ledger
}

fn store<'a>(reader: &mut Reader<'a>, root: &DeTable<'a>, home: &Path) -> Store {
    let default = home.join("openpista.redb");
    let table = table(reader, root, "store");
    let mut section = reader.section("store", table);
    let path = section.path("path", &[], Some(default.clone())).unwrap_or(default);
    let cache = section.size("cache", 16 << 20, 1 << 20..=4 << 30);
    section.end();
    Store { path, cache }
}

fn log<'a>(reader: &mut Reader<'a>, root: &DeTable<'a>) -> Log {
    let table = table(reader, root, "log");
    let mut section = reader.section("log", table);
    let level = |value: &Value, _: &Reader<'_>| {
        let text = scalar::text(value)?;
        tracing_subscriber::EnvFilter::try_new(&text)
            .map(|_| text.clone())
            .map_err(|_| format!("\"{text}\" is none of error, warn, info, debug, trace, nor directives of them"))
    };
    let level = section
        .take("level", &["OPENPISTA_LOG"], Some("info".to_owned()), level, |l| Value::from(l.as_str()))
        .0
        .unwrap_or_else(|| "info".to_owned());
    let formats = [("text", LogFormat::Text), ("json", LogFormat::Json)];
    let format = section.choice("format", &[], Some(LogFormat::Text), &formats).unwrap_or(LogFormat::Text);
    let file = section.path("file", &[], None);
    section.end();
    Log { level, format, file }
}

fn plugins<'a>(reader: &mut Reader<'a>, root: &DeTable<'a>, home: &Path) -> Plugins {
    let default = home.join("plugins");
    let table = table(reader, root, "plugins");
    let mut section = reader.section("plugins", table);
    let dir = section.path("dir", &[], Some(default.clone())).unwrap_or(default);
    let safe_mode = section.boolean("safe_mode", false);
    let stock = section.boolean("stock", true);
    let max_download = section.size("max_download", 64 << 20, 1 << 10..=1 << 30);
    let pinned = pinned::plugins(&mut section, table);
    section.end();
    Plugins { dir, safe_mode, stock, max_download, pinned }
}

/// A variable that looks like ours and that nobody asked for: most likely misspelt.
fn unknown_variables(asked: &BTreeSet<String>, environment: &BTreeMap<String, String>) -> Vec<Problem> {
    let elsewhere =
        ["OPENPISTA_HOME", "OPENPISTA_CONFIG", "OPENPISTA_STOCK", "OPENPISTA_FAILPOINT", "OPENPISTA_KEY_PASSWORD"];
    let known = || asked.iter().map(String::as_str).chain(elsewhere);
    environment
        .keys()
        .filter(|name| name.to_ascii_uppercase().starts_with("OPENPISTA_"))
        .filter(|name| !known().any(|known| known.eq_ignore_ascii_case(name)))
        .map(|name| {
            let near = suggestion(&name.to_ascii_uppercase(), known());
            let hint = if near.starts_with("; did") { near } else { String::new() };
            Problem { place: format!("environment variable {name}"), text: format!("is not known and not used{hint}") }
        })
        .collect()
}

/// A warning when others on the machine can read a file with secrets.
fn open_to_others(file: &Path) -> Option<Problem> {
    use std::os::unix::fs::PermissionsExt as _;
    let mode = std::fs::metadata(file).ok()?.permissions().mode();
    (mode & 0o077 != 0).then(|| Problem {
        place: file.display().to_string(),
        text: format!("holds secrets and others can read it; run: chmod 600 {}", file.display()),
    })
}
