//! What moves through the host: messages of a conversation, what comes in over a channel, what goes out.
//!
//! A leaf: plain data with no behaviour beyond its own shape. The store keeps these types (so a field that is added
//! needs a serde default), the agent works on them, `plugin` converts them from and to the contract.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

/// Milliseconds since 1970-01-01T00:00:00Z.
pub type Timestamp = u64;

/// The time now.
pub fn now() -> Timestamp {
    std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

/// Characters that steer a terminal, or make a text read otherwise than it is: control characters, line ends among them,
/// what turns the direction of writing, and what is not seen at all. Joiners, which emoji and some scripts need, are none.
pub fn steers(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{200b}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// One line in which every character that steers is written out (`\u{1b}`): what a stranger logs cannot look like a line
/// of somebody else.
pub fn in_one_line(text: &str) -> std::borrow::Cow<'_, str> {
    if !text.contains(|character| steers(character) && character != '\t') {
        return text.into();
    }
    let mut line = String::with_capacity(text.len() + 16);
    for character in text.chars() {
        if steers(character) && character != '\t' {
            line.extend(character.escape_default());
        } else {
            line.push(character);
        }
    }
    line.into()
}

/// 22 characters of base64url: 128 random bits, which nobody can guess. Never begins with a dash, which a command line
/// would take for an option.
pub fn new_id() -> String {
    use base64::Engine as _;
    loop {
        let mut bytes = [0_u8; 16];
        // Without randomness nothing here is safe; the operating system failing to give any is not survivable.
        if getrandom::fill(&mut bytes).is_err() {
            std::process::abort();
        }
        let id = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(bytes);
        if !id.starts_with('-') {
            return id;
        }
    }
}

/// Eight letters and digits that nobody can guess and everybody can type: without those that look alike.
pub fn new_code() -> String {
    const LETTERS: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
    let mut bytes = [0_u8; 8];
    // As for ids.
    if getrandom::fill(&mut bytes).is_err() {
        std::process::abort();
    }
    bytes.iter().map(|byte| char::from(LETTERS[usize::from(byte % 32)])).collect()
}

/// Bytes are base64 in JSON and the like, and themselves in what the store keeps.
mod base64_in_text {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use bytes::Bytes;
    use serde::{Deserialize as _, Deserializer, Serialize as _, Serializer};

    pub fn serialize<S: Serializer>(data: &Bytes, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.serialize_str(&STANDARD.encode(data))
        } else {
            data.serialize(serializer)
        }
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Bytes, D::Error> {
        if !deserializer.is_human_readable() {
            return Bytes::deserialize(deserializer);
        }
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        STANDARD.decode(text.as_ref()).map(Bytes::from).map_err(serde::de::Error::custom)
    }
}

/// A file in memory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Media {
    /// `image/png`; checked against the bytes where it comes in.
    pub mime: String,
    /// A file name without a folder.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// At most 10 MiB.
    #[serde(with = "base64_in_text")]
    pub data: Bytes,
}

/// One piece of what a tool gave back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Content {
    /// Plain text.
    Text(String),
    /// An image or another file.
    Media(Media),
    /// A JSON text.
    Json(String),
    /// Something that a later contract added.
    Other(Extension),
}

/// A case of a variant that this host may not know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Extension {
    /// A name with its maker.
    pub kind: String,
    /// A JSON text.
    pub data: String,
}

/// SHA-256 of a tool call's arguments, in hex: of their JSON without spaces and with sorted keys.
pub fn arguments_hash(arguments: &str) -> String {
    use sha2::{Digest as _, Sha256};
    let canonical = serde_json::from_str::<serde_json::Value>(arguments).map(|mut value| {
        value.sort_all_objects();
        value.to_string()
    });
    hex::encode(Sha256::digest(canonical.as_deref().unwrap_or(arguments)))
}

/// What the model is told about a tool.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToolDefinition {
    /// Unique in the host.
    pub name: String,
    /// For the model.
    pub description: String,
    /// JSON Schema of the arguments, as text.
    pub parameters: String,
    /// What the tool says of itself.
    #[serde(default)]
    pub hints: ToolHints,
}

/// The tool's word about itself: read by the approval policy, never trusted to allow.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[expect(clippy::struct_excessive_bools, reason = "four independent flags of the contract")]
pub struct ToolHints {
    /// Changes nothing.
    pub read_only: bool,
    /// May destroy or overwrite.
    pub destructive: bool,
    /// Doing it twice is doing it once.
    pub idempotent: bool,
    /// Reaches things outside the machine.
    pub open_world: bool,
}

/// Who says a message. What tools gave back is said by the user.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// The person, and the outcomes of tools.
    User,
    /// The model.
    Assistant,
}

/// One message of a session, as it is stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// Who says it.
    pub role: Role,
    /// In order.
    pub parts: Vec<Part>,
    /// When it was stored.
    pub at: Timestamp,
    /// The turn that it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub turn: Option<String>,
    /// `instance/model` that wrote it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Tokens of the model call that wrote it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage: Option<Usage>,
}

impl Message {
    /// All text parts, joined.
    pub fn text(&self) -> String {
        let mut all = String::new();
        for part in &self.parts {
            if let Body::Text(text) = &part.body {
                all.push_str(text);
            }
        }
        all
    }

    /// The tool calls in it.
    pub fn calls(&self) -> impl Iterator<Item = &ToolCall> {
        self.parts.iter().filter_map(|part| match &part.body {
            Body::Call(call) => Some(call),
            _ => None,
        })
    }
}

/// A piece of a message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// What it is.
    pub body: Body,
    /// Opaque bytes for the provider instance that made the part.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replay: Option<Replay>,
}

impl From<Body> for Part {
    fn from(body: Body) -> Self {
        Self { body, replay: None }
    }
}

/// A provider's own note on a part: a signature, an id. Given back to that instance only.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Replay {
    /// The provider instance that made it.
    pub instance: String,
    /// At most 256 KiB.
    #[serde(with = "base64_in_text")]
    pub data: Bytes,
}

/// What a part is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Body {
    /// Words.
    Text(String),
    /// An image or another file.
    Media(Media),
    /// Thinking, of the assistant.
    Reasoning(String),
    /// Of the assistant.
    Call(ToolCall),
    /// Of the user.
    Outcome(ToolOutcome),
    /// Something that a later contract added.
    Other(Extension),
}

/// The model wants a tool run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToolCall {
    /// Unique in the session.
    pub id: String,
    /// As in its definition.
    pub name: String,
    /// JSON as the model wrote it; may be broken.
    pub arguments: String,
}

/// What came of a call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToolOutcome {
    /// Of the call.
    pub id: String,
    /// The tool.
    pub name: String,
    /// What the model sees of it.
    pub content: Vec<Content>,
    /// It did not do what was asked.
    pub failed: bool,
}

/// Tokens of one model call, or the sum of several.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Usage {
    /// All input tokens, cached ones included.
    pub input: u64,
    /// Output tokens.
    pub output: u64,
    /// Part of `input` that came from a cache.
    pub cache_read: u64,
    /// Part of `input` that was written to a cache.
    pub cache_write: u64,
    /// Millionths of a US dollar.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cost: Option<u64>,
}

impl std::ops::AddAssign for Usage {
    fn add_assign(&mut self, other: Self) {
        self.input = self.input.saturating_add(other.input);
        self.output = self.output.saturating_add(other.output);
        self.cache_read = self.cache_read.saturating_add(other.cache_read);
        self.cache_write = self.cache_write.saturating_add(other.cache_write);
        self.cost = match (self.cost, other.cost) {
            (None, None) => None,
            (a, b) => Some(a.unwrap_or(0).saturating_add(b.unwrap_or(0))),
        };
    }
}

/// Who wrote, as the channel knows them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sender {
    /// Stable within the channel instance.
    pub id: String,
    /// For people.
    pub name: String,
}

/// A file that came with a message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Attachment {
    /// Here it is.
    Media(Media),
    /// A reference for the channel's `attachments.fetch`, taken when the turn begins.
    Later(String),
}

/// One message of a person, as a channel submitted it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Inbound {
    /// The channel instance.
    pub instance: String,
    /// Unique within the instance: taken once.
    pub id: String,
    /// Chat, thread, browser session.
    pub conversation: String,
    /// Who wrote.
    pub sender: Sender,
    /// At most 256 KiB.
    pub text: String,
    /// In order.
    pub attachments: Vec<Attachment>,
    /// When it was sent.
    pub sent: Timestamp,
    /// Opaque; comes back with each delivery of its turn.
    pub handle: Option<String>,
}

/// What a person says to an approval.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Decision {
    /// This call.
    AllowOnce,
    /// This call and all later ones of this tool in this session.
    AllowSession,
    /// No.
    Deny,
}

/// A tool call that waits for a person, as it is stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Approval {
    /// From `new_id`: goes into a button.
    pub id: String,
    /// The channel instance that asks.
    pub instance: String,
    /// The conversation that is asked.
    pub conversation: String,
    /// The session and turn that wait.
    pub session: String,
    /// See `session`.
    pub turn: String,
    /// The model's id of the call.
    pub call: String,
    /// The person who may answer.
    pub owner: Sender,
    /// From the message that began the turn.
    pub handle: Option<String>,
    /// The tool.
    pub tool: String,
    /// One line: what would be done.
    pub summary: String,
    /// As they would be run.
    pub arguments: String,
    /// Whose tool it is; empty: not known.
    #[serde(default)]
    pub owned_by: String,
    /// SHA-256 of tool, owner and arguments, in hex: a decision holds for exactly this.
    pub hash: String,
    /// Until when it may be answered.
    pub expires: Timestamp,
    /// Asked of somebody who runs the turn by hand, not in the conversation.
    #[serde(default)]
    pub by_hand: bool,
    /// The answer, with who gave it.
    #[serde(default)]
    pub decision: Option<(Decision, Sender)>,
    /// What `approvals.ask` returned.
    #[serde(default)]
    pub receipt: Option<String>,
}

impl Approval {
    /// What is allowed when it is allowed for the session.
    pub fn allowance(&self) -> String {
        allowance(&self.tool, &self.owned_by)
    }
}

/// A tool as a session remembers that it is allowed: with its owner, so that another plugin that comes to have the name
/// has to ask.
pub fn allowance(tool: &str, owned_by: &str) -> String {
    if owned_by.is_empty() { tool.to_string() } else { format!("{tool} of {owned_by}") }
}

/// One thing that a channel shall show and that is kept until it did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delivery {
    /// The same at every attempt.
    pub id: String,
    /// The channel instance.
    pub instance: String,
    /// Where to.
    pub conversation: String,
    /// All deliveries of one turn have it.
    pub turn: Option<String>,
    /// From the message that began the turn.
    pub handle: Option<String>,
    /// What it is.
    pub content: DeliveryContent,
}

/// The kept kinds of a delivery; drafts, activity and typing signs are never stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeliveryContent {
    /// A file.
    Media(Media),
    /// The whole reply of a turn.
    Reply {
        /// CommonMark.
        text: String,
        /// Of the whole turn.
        usage: Usage,
        /// `instance/model`.
        model: String,
    },
    /// What went wrong and what to do.
    Failed(String),
    /// The host's own words.
    Notice(String),
    /// Ask for an approval.
    Ask(Approval),
    /// An approval is decided (none: its time is over).
    Decided(Approval),
}
