//! Where a conversation is: a direct message, or a thread.

/// Before the channel's id in the name of a conversation.
const PREFIX: &str = "slack:";

/// A direct message, or a thread in it or in a channel. In a channel there is always a thread: what is said at the top
/// begins one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// `D…` for direct messages, `C…` or `G…` for channels.
    pub channel: String,
    /// The `ts` of the thread's first message.
    pub thread: Option<String>,
}

impl Place {
    /// Reads the name of a conversation.
    pub fn parse(conversation: &str) -> Option<Self> {
        let rest = conversation.strip_prefix(PREFIX)?;
        let (channel, thread) = match rest.split_once('/') {
            Some((channel, thread)) => (channel, Some(thread.to_string())),
            None => (rest, None),
        };
        (!channel.is_empty()).then(|| Self { channel: channel.to_string(), thread })
    }

    /// The name of the conversation.
    pub fn name(&self) -> String {
        match &self.thread {
            Some(thread) => format!("{PREFIX}{}/{thread}", self.channel),
            None => format!("{PREFIX}{}", self.channel),
        }
    }

    /// Between one person and the bot.
    pub fn is_direct(&self) -> bool {
        self.channel.starts_with('D')
    }
}
