//! Where a conversation is: a chat, or a topic in it. Its name is kept when a group becomes a supergroup, which gives the
//! chat another id: the move is remembered in both directions.

use crate::contract::openpista::types::types::Error;
use crate::host::Host;

/// Before the chat's id in the name of a conversation.
const PREFIX: &str = "telegram:";

/// A chat, or a topic in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Negative for groups.
    pub chat: i64,
    /// The topic.
    pub thread: Option<i64>,
}

impl Place {
    /// Reads the name of a conversation.
    pub fn parse(conversation: &str) -> Option<Self> {
        let rest = conversation.strip_prefix(PREFIX)?;
        match rest.split_once('/') {
            Some((chat, thread)) => Some(Self { chat: chat.parse().ok()?, thread: Some(thread.parse().ok()?) }),
            None => Some(Self { chat: rest.parse().ok()?, thread: None }),
        }
    }

    /// The name of the conversation.
    pub fn name(self) -> String {
        match self.thread {
            Some(thread) => format!("{PREFIX}{}/{thread}", self.chat),
            None => format!("{PREFIX}{}", self.chat),
        }
    }

    /// More than one person may be there.
    pub fn is_group(self) -> bool {
        self.chat < 0
    }

    /// With the id that its chat has now, for sending.
    pub fn today(self, host: &dyn Host) -> Result<Self, Error> {
        Ok(Self { chat: number(host, &format!("moved/{}", self.chat))?.unwrap_or(self.chat), ..self })
    }

    /// With the id that its chat had first, for its name.
    pub fn first(self, host: &dyn Host) -> Result<Self, Error> {
        Ok(Self { chat: number(host, &format!("was/{}", self.chat))?.unwrap_or(self.chat), ..self })
    }
}

/// A chat has another id now.
pub fn moved(host: &dyn Host, from: i64, to: i64) -> Result<(), Error> {
    host.set(&format!("moved/{from}"), &to.to_string())?;
    host.set(&format!("was/{to}"), &from.to_string())
}

fn number(host: &dyn Host, key: &str) -> Result<Option<i64>, Error> {
    Ok(host.get(key)?.and_then(|text| text.parse().ok()))
}
