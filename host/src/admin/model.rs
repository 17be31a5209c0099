//! What can be asked and what is answered. Also the shape of `--json` output, so fields are added and never renamed.

use serde::{Deserialize, Serialize};

use super::{Grant, InstanceSummary, SaidLine, ToolSummary};
use crate::message::{Decision, Message, Timestamp, ToolDefinition, Usage};

/// One thing that is wanted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "snake_case", deny_unknown_fields)]
pub enum Request {
    /// Is anyone there? → [`Response::Status`].
    Status,
    /// Says something in a session and follows the turn → [`Response::Turn`]…
    Say {
        /// The message.
        text: String,
        /// An id or its beginning; none: a new session.
        session: Option<String>,
        /// `instance/model` for this turn.
        model: Option<String>,
        /// Allow whatever the policy would ask about.
        yes: bool,
    },
    /// Answers an approval of a turn that is being followed.
    Decide {
        /// From [`TurnEvent::Approval`].
        approval: String,
        /// What the person says.
        decision: Decision,
    },
    /// There is nobody to ask about an approval of a turn that is being followed.
    Nobody {
        /// From [`TurnEvent::Approval`].
        approval: String,
    },
    /// Ends running turns → [`Response::Stopped`].
    Stop {
        /// An id or its beginning; none: all.
        session: Option<String>,
    },
    /// Ends the daemon, cleanly.
    Quit,
    /// The newest first → [`Response::Session`]…
    SessionList {
        /// Only those with these words.
        query: Option<String>,
        /// At most so many.
        limit: usize,
    },
    /// → [`Response::Session`], then [`Response::Message`]…
    SessionShow {
        /// An id or its beginning.
        session: String,
        /// Only so many of the last messages.
        last: Option<usize>,
    },
    /// Deletes a session with its messages.
    SessionDelete {
        /// An id or its beginning.
        session: String,
    },
    /// → [`Response::Plugin`]…
    PluginList,
    /// → [`Response::Plugin`].
    PluginInspect {
        /// A plugin or an instance.
        name: String,
    },
    /// The tools of an instance → [`Response::Tools`].
    PluginTools {
        /// A plugin or an instance.
        name: String,
    },
    /// Calls a tool of an instance by hand; what it writes into its state is not kept → [`Response::Called`].
    PluginCall {
        /// A plugin or an instance.
        name: String,
        /// The tool.
        tool: String,
        /// A JSON object.
        arguments: String,
        /// With fixed clocks and random numbers.
        deterministic: bool,
    },
    /// Grants a capability, or everything that the plugin asks for → [`Response::Plugin`].
    PluginAllow {
        /// A plugin or an instance.
        name: String,
        /// Capability and scope; none: all it needs.
        grants: Vec<Grant>,
    },
    /// Takes grants back → [`Response::Plugin`].
    PluginDeny {
        /// A plugin or an instance.
        name: String,
        /// Capability and scope (empty: the capability whole); none: everything.
        grants: Vec<Grant>,
    },
    /// Uses one that is set aside at once → [`Response::Resumed`].
    PluginResume {
        /// A plugin or an instance.
        name: String,
    },
    /// What it wrote last, and the host about it → [`Response::Said`]…
    PluginLog {
        /// A plugin or an instance.
        name: String,
        /// At most so many lines.
        last: usize,
        /// And each new one, until the asker is gone.
        follow: bool,
    },
    /// Those that are there now, broken ones, too → [`Response::Skill`]…
    SkillList,
    /// With its text → [`Response::Skill`].
    SkillShow {
        /// The skill.
        name: String,
    },
    /// Looks at a folder as the daemon would, without taking it up → [`Response::Skill`].
    SkillCheck {
        /// An absolute path.
        path: String,
    },
    /// What is about installing plugins, and taking them away.
    Installing(super::Installing),
    /// → [`Response::Model`]…
    ModelList,
    /// → [`Response::Channel`]…
    ChannelList {
        /// Only this one.
        name: Option<String>,
    },
    /// Who may write, and who asked to → [`Response::Contact`]…, [`Response::Pairing`]…
    ContactList {
        /// Only of this channel.
        channel: Option<String>,
    },
    /// Lets in whoever was shown this code → [`Response::Contact`].
    ChannelPair {
        /// As it was typed.
        code: String,
    },
    /// Lets somebody in → [`Response::Contact`].
    ChannelAllow {
        /// The instance.
        channel: String,
        /// As the channel names them.
        sender: String,
    },
    /// Lets somebody in no more.
    ChannelForget {
        /// The instance.
        channel: String,
        /// As the channel names them.
        sender: String,
    },
    /// Closes a channel and opens it again.
    ChannelRestart {
        /// The instance.
        channel: String,
    },
    /// Gives up what a channel tries again and again → [`Response::Skipped`].
    ChannelSkip {
        /// The instance.
        channel: String,
    },
    /// The newest first → [`Response::Ledger`]…
    LedgerShow {
        /// Of this plugin or instance.
        plugin: Option<String>,
        /// Only of this instance.
        #[serde(default)]
        instance: Option<String>,
        /// Only of this capability.
        #[serde(default)]
        capability: Option<String>,
        /// Not older than this.
        #[serde(default)]
        since: Option<Timestamp>,
        /// Of this session.
        session: Option<String>,
        /// Only what was denied.
        denied: bool,
        /// At most so many.
        limit: usize,
    },
    /// → [`Response::LedgerChecked`].
    LedgerVerify,
    /// What only the running parts know → [`Response::Check`]…
    Doctor,
}

/// One item of an answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Response {
    /// Of the host.
    Status(Status),
    /// Of a turn that is followed; the last one is [`TurnEvent::End`].
    Turn(TurnEvent),
    /// One session.
    Session(SessionSummary),
    /// One message of a session.
    Message {
        /// Its number in the session, from 1.
        cursor: u64,
        /// The message.
        message: Message,
    },
    /// One plugin.
    Plugin(Box<PluginSummary>),
    /// These instances were set aside and are used again.
    Resumed {
        /// Their names.
        instances: Vec<String>,
    },
    /// One line of a plugin.
    Said(SaidLine),
    /// The tools of one instance.
    Tools(Vec<ToolDefinition>),
    /// A tool that was called by hand, while it runs: a line of its progress.
    Progress(String),
    /// A tool that was called by hand.
    Called(super::Called),
    /// One skill.
    Skill(SkillSummary),
    /// Of an installation.
    Installing(super::InstallEvent),
    /// One model.
    Model(ModelSummary),
    /// One channel instance.
    Channel(ChannelSummary),
    /// Somebody who may write.
    Contact(ContactSummary),
    /// Somebody who asked to.
    Pairing(PairingSummary),
    /// So many deliveries were given up.
    Skipped {
        /// How many.
        deliveries: usize,
    },
    /// One line of the ledger.
    Ledger(LedgerEntry),
    /// What came of the check.
    LedgerChecked {
        /// How many lines were looked at.
        lines: u64,
        /// The first one that is not as it was written.
        broken_at: Option<u64>,
        /// How many of them are in archives.
        #[serde(default)]
        archived: u64,
        /// The archive that is not as it was written.
        #[serde(default)]
        archive: Option<String>,
        /// Lines between the archives and the rest that nobody kept.
        #[serde(default)]
        missing: u64,
    },
    /// Sessions whose turns were ended.
    Stopped {
        /// Their ids.
        sessions: Vec<String>,
    },
    /// One finding.
    Check(Check),
}

/// Why something was not done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
pub struct Refusal {
    /// What kind of refusal it is; decides the exit code.
    pub kind: RefusalKind,
    /// What happened and what to do.
    pub message: String,
}

impl Refusal {
    /// There is no such thing.
    pub fn not_found(message: impl Into<String>) -> Self {
        Self { kind: RefusalKind::NotFound, message: message.into() }
    }

    /// It is not allowed.
    pub fn denied(message: impl Into<String>) -> Self {
        Self { kind: RefusalKind::Denied, message: message.into() }
    }

    /// The request makes no sense.
    pub fn invalid(message: impl Into<String>) -> Self {
        Self { kind: RefusalKind::Invalid, message: message.into() }
    }

    /// It was tried and did not work.
    pub fn failed(message: impl Into<String>) -> Self {
        Self { kind: RefusalKind::Failed, message: message.into() }
    }
}

impl From<anyhow::Error> for Refusal {
    fn from(error: anyhow::Error) -> Self {
        Self::failed(format!("{error:#}"))
    }
}

/// The kinds of refusals.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RefusalKind {
    /// No such session, plugin, model, approval.
    NotFound,
    /// By policy, a grant or a person.
    Denied,
    /// The request cannot be understood, or its parts do not fit.
    Invalid,
    /// Everything else.
    Failed,
}

/// How the host is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// Of the host.
    pub version: String,
    /// Of the process.
    pub pid: u32,
    /// Since when.
    pub started: Timestamp,
    /// Where the page is, if the server runs.
    pub address: Option<String>,
    /// Turns that run now.
    pub turns: usize,
    /// Instances that are set aside.
    #[serde(default)]
    pub aside: Vec<String>,
}

/// What a followed turn says, in order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum TurnEvent {
    /// The turn is accepted.
    Begin {
        /// The session that it is in.
        session: String,
    },
    /// A model is about to write. Text from here on stands apart from earlier text.
    Answering {
        /// `instance/model`.
        model: String,
    },
    /// More of the answer.
    Text {
        /// CommonMark, a piece.
        text: String,
    },
    /// More thinking.
    Reasoning {
        /// A piece.
        text: String,
    },
    /// What came since the last `answering` does not count.
    Restarted,
    /// The model's service is asked again.
    Retrying {
        /// Why.
        reason: String,
        /// Who is asked next.
        model: String,
        /// In ms.
        wait: u64,
    },
    /// Older messages are being summed up.
    Compacting,
    /// Someone has to decide: answer with [`Request::Decide`], or [`Request::Nobody`].
    Approval {
        /// For the answer.
        id: String,
        /// The model's id of the call.
        call: String,
        /// Which tool.
        tool: String,
        /// One line: what would be done.
        summary: String,
        /// JSON, as it would be run.
        arguments: String,
    },
    /// The question is over.
    ApprovalOver {
        /// The model's id of the call.
        call: String,
        /// None: nobody answered in time.
        decision: Option<Decision>,
    },
    /// A tool runs.
    ToolStarted {
        /// The model's id of the call.
        call: String,
        /// Which tool.
        name: String,
        /// JSON.
        arguments: String,
    },
    /// A line of what it does.
    ToolProgress {
        /// The model's id of the call.
        call: String,
        /// One line.
        line: String,
    },
    /// It did it.
    ToolDone {
        /// The model's id of the call.
        call: String,
        /// Which tool.
        name: String,
        /// The beginning of what it gave back.
        line: String,
    },
    /// It did not do it.
    ToolFailed {
        /// The model's id of the call.
        call: String,
        /// Which tool.
        name: String,
        /// Why.
        line: String,
    },
    /// The turn is over.
    End {
        /// Whether the model was done; else `notice` says what happened.
        ok: bool,
        /// Whether somebody stopped it.
        cancelled: bool,
        /// Everything that the model said.
        text: String,
        /// `instance/model`.
        model: String,
        /// Of the whole turn.
        usage: Usage,
        /// For the person, besides the text.
        notice: Option<String>,
    },
}

/// A session without its messages.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionSummary {
    /// Unique.
    pub id: String,
    /// For people; empty until it has one.
    pub title: String,
    /// The channel instance.
    pub channel: String,
    /// The conversation there.
    pub conversation: String,
    /// Whose it is.
    pub owner: String,
    /// `instance/model`, if one was chosen.
    pub model: Option<String>,
    /// When it was started.
    pub created: Timestamp,
    /// When something was last said.
    pub updated: Timestamp,
    /// How many.
    pub messages: u64,
    /// The sum of its model calls.
    pub usage: Usage,
}

/// How a plugin stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// It serves.
    Ready,
    /// It broke again and again, and is not called for a while.
    Aside,
    /// It asks for more than it has.
    Waiting,
    /// It is only not set up.
    Unset,
    /// The person switched it off.
    Off,
    /// Its file cannot be used.
    Broken,
    /// Its file is new and is being looked at.
    Loading,
}

/// A plugin as the host sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PluginSummary {
    /// As it calls itself; the file's name if it cannot.
    pub name: String,
    /// Its own.
    pub version: String,
    /// For people.
    pub description: String,
    /// In the plugins folder.
    pub file: String,
    /// SHA-256, in hex.
    pub digest: String,
    /// It came with the host.
    pub stock: bool,
    /// `provider`, `channel`, `tools`.
    pub roles: Vec<String>,
    /// How it stands.
    pub standing: Standing,
    /// Why, unless it is ready; what to do.
    pub reason: Option<String>,
    /// Instances that it serves.
    pub instances: Vec<String>,
    /// Tools that it offers.
    pub tools: Vec<String>,
    /// What it asks for.
    pub needs: Vec<NeedSummary>,
    /// Secrets that it can be given, by name, and whether each has a value.
    pub secrets: Vec<(String, bool)>,
    /// JSON Schema of its settings.
    pub settings: Option<serde_json::Value>,
    /// Interfaces that it imports.
    #[serde(default)]
    pub imports: Vec<String>,
    /// Interfaces that it exports.
    #[serde(default)]
    pub exports: Vec<String>,
    /// Its tools with their schemas.
    #[serde(default)]
    pub tool_definitions: Vec<ToolSummary>,
    /// Its instances that work, in detail.
    #[serde(default)]
    pub serving: Vec<InstanceSummary>,
    /// Where it came from, if it was installed by a command or the configuration.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub installed: Option<Box<super::InstalledSummary>>,
}

impl PluginSummary {
    /// Of something that is no plugin, or none yet.
    pub fn bare(name: &str, file: &str, standing: Standing, reason: &str) -> Self {
        Self {
            name: name.to_owned(),
            version: String::new(),
            description: String::new(),
            file: file.to_owned(),
            digest: String::new(),
            stock: false,
            roles: Vec::new(),
            standing,
            reason: Some(reason.to_owned()),
            instances: Vec::new(),
            tools: Vec::new(),
            needs: Vec::new(),
            secrets: Vec::new(),
            settings: None,
            installed: None,
            imports: Vec::new(),
            exports: Vec::new(),
            tool_definitions: Vec::new(),
            serving: Vec::new(),
        }
    }
}

/// A skill.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SkillSummary {
    /// As it calls itself; its folder's name if it cannot be read.
    pub name: String,
    /// What it is for.
    pub description: String,
    /// `prompt`, `wasm`, `subprocess`, `container`; empty if that cannot be read.
    pub mode: String,
    /// Where it lies.
    pub folder: String,
    /// It lies in the workspace, and not in the person's own folder of skills.
    pub workspace: bool,
    /// It can be used.
    pub usable: bool,
    /// What is wrong with it, or should be looked at, with file and line.
    pub problems: Vec<String>,
    /// Tools of its component; of a command none.
    pub tools: Vec<String>,
    /// For the person.
    pub license: Option<String>,
    /// For the person.
    pub compatibility: Option<String>,
    /// Its author's.
    pub metadata: serde_json::Map<String, serde_json::Value>,
    /// The whole `SKILL.md`, where it was asked for.
    pub text: Option<String>,
}

/// A capability that a plugin asks for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NeedSummary {
    /// The capability.
    pub capability: String,
    /// In the capability's own words.
    pub scope: Vec<String>,
    /// The plugin's reason.
    pub reason: String,
    /// It works without too.
    pub optional: bool,
    /// It has it.
    pub granted: bool,
}

/// A model that could be used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelSummary {
    /// The provider instance.
    pub instance: String,
    /// As its API calls it.
    pub model: String,
    /// Tokens that it takes.
    pub context: Option<u64>,
    /// It is the one in use.
    pub chosen: bool,
    /// Why the provider was chosen, or cannot be used.
    pub note: Option<String>,
}

/// A channel instance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChannelSummary {
    /// The instance.
    pub name: String,
    /// Its plugin.
    pub plugin: String,
    /// One word: `live`, `connecting`, `down`, `off`.
    pub state: String,
    /// What is wrong, or where it is.
    pub detail: String,
    /// The content of a QR code that waits to be scanned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub qr: Option<String>,
    /// Its transports.
    pub transports: Vec<TransportSummary>,
}

/// Somebody who may write to a channel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContactSummary {
    /// The instance.
    pub channel: String,
    /// As the channel names them.
    pub sender: String,
    /// As they call themselves; empty if that is not known.
    pub name: String,
    /// When they were let in.
    pub since: Timestamp,
}

/// A stranger who has a code.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PairingSummary {
    /// For `channel pair`.
    pub code: String,
    /// The instance.
    pub channel: String,
    /// As the channel names them.
    pub sender: String,
    /// As they call themselves.
    pub name: String,
    /// The code is good until then.
    pub expires: Timestamp,
}

/// A transport of a channel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TransportSummary {
    /// Within the instance.
    pub id: String,
    /// `http`, `websocket`, `poll`, …
    pub kind: String,
    /// In words.
    pub state: String,
    /// When it last made progress.
    pub progress: Option<Timestamp>,
}

/// A line of the ledger.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LedgerEntry {
    /// From 1, without gaps.
    pub number: u64,
    /// When.
    pub at: Timestamp,
    /// The plugin.
    pub plugin: String,
    /// Its instance.
    pub instance: String,
    /// The session that it served.
    pub session: Option<String>,
    /// Which of the contract's calls.
    pub operation: String,
    /// `http`, `shell`, …
    pub capability: String,
    /// What, without secrets.
    pub what: String,
    /// It was allowed.
    pub allowed: bool,
    /// SHA-256 of the arguments, in hex.
    #[serde(default)]
    pub arguments: String,
    /// Who or what let a tool call run.
    #[serde(default)]
    pub approval: String,
    /// What came of it.
    #[serde(default)]
    pub outcome: String,
    /// How long it took, in µs.
    #[serde(default)]
    pub took: Option<u64>,
}

/// How a finding is to be taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CheckStatus {
    /// As it should be.
    Ok,
    /// Works, and should be looked at.
    Warn,
    /// Does not work.
    Fail,
}

/// A finding of `doctor`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Check {
    /// What was looked at.
    pub name: String,
    /// How it is.
    pub status: CheckStatus,
    /// What was found.
    pub detail: String,
    /// What to do, unless it is well.
    pub advice: Option<String>,
}
