//! The protocol of the console: lines in, text out, one conversation.
//!
//! A line is the answer to the oldest open question if there is one, else a message (the host knows which of them are
//! commands). Deliveries are printed as they come; after each that ends something the prompt is written again.

use serde_json::{Value, json};

use crate::contract::exports::openpista::plugin::approvals::Verdict;
use crate::contract::exports::openpista::plugin::channel::{
    Activity, ActivityState, ChannelError, Delivery, DeliveryContent, DeliveryError, Draft, Event, Outcome, Preference,
    Setup, Transport, TransportKind,
};
use crate::contract::openpista::connection::connection::{ConnectionId, Frame};
use crate::contract::openpista::gateway::gateway::{Approval, Decision, Inbound, Sender};
use crate::contract::openpista::types::types::{Error, Timestamp};
use crate::receipt::Printed;
use crate::screen::{Style, arguments, harmless, one_line, size};

/// The one conversation, and the tag of its connection.
pub const CONVERSATION: &str = "console";

/// Key of the number of lines that were submitted: with it a line that is tried again keeps its id.
const LINES: &str = "lines";
/// Key that is set while the cursor stands behind a prompt.
const PROMPTED: &str = "prompted";

/// Milliseconds between two pieces of a growing reply.
const PACE: u32 = 30;

/// What the console asks of the host.
pub trait Host {
    /// `gateway.submit`
    fn submit(&self, message: Inbound) -> Result<(), Error>;
    /// `gateway.decide`
    fn decide(&self, approval: &str, by: &Sender, decision: Decision) -> Result<(), Error>;
    /// `gateway.waiting` of the console's conversation.
    fn waiting(&self) -> Result<Vec<Approval>, Error>;
    /// `connection.tag`
    fn tag(&self, connection: ConnectionId, tag: &str) -> Result<(), Error>;
    /// `connection.send` to the console's tag.
    fn print(&self, text: &str) -> Result<(), Error>;
    /// `state.get` as text.
    fn get(&self, key: &str) -> Result<Option<String>, Error>;
    /// `state.set`
    fn set(&self, key: &str, value: &str) -> Result<(), Error>;
    /// The clock.
    fn now(&self) -> Timestamp;
}

/// `[channels.console.settings]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// Colours on the terminal.
    pub color: bool,
    /// What the person at the terminal is called.
    pub name: String,
}

impl Settings {
    /// The JSON Schema for the manifest.
    pub fn schema() -> Value {
        json!({
            "type": "object",
            "additionalProperties": false,
            "properties": {
                "color": {
                    "type": "boolean", "default": false,
                    "description": "Use colours."
                },
                "name": {
                    "type": "string", "default": "owner", "maxLength": 100,
                    "description": "What the person at the terminal is called."
                }
            }
        })
    }

    /// The host has checked the text against the schema.
    pub fn parse(text: &str) -> Self {
        let value: Value = serde_json::from_str(text).unwrap_or_default();
        Self {
            color: value.get("color").and_then(Value::as_bool).unwrap_or(false),
            name: value.get("name").and_then(Value::as_str).unwrap_or("owner").to_string(),
        }
    }
}

/// `open`
pub fn setup() -> Setup {
    Setup {
        transports: vec![Transport { id: "console".into(), kind: TransportKind::Console }],
        preferences: vec![Preference::Increments(PACE), Preference::Activity, Preference::SignedIn],
    }
}

/// One call's view: the host and the settings.
pub struct Console<'a, H> {
    host: &'a H,
    settings: Settings,
    style: Style,
}

impl<'a, H: Host> Console<'a, H> {
    /// For one call.
    pub fn new(host: &'a H, settings: Settings) -> Self {
        let style = Style { color: settings.color };
        Self { host, settings, style }
    }

    /// `channel.receive`
    pub fn receive(&self, event: Event) -> Result<(), ChannelError> {
        match event {
            Event::Opened(opened) => self.welcome(opened.source.connection)?,
            Event::Frame((_, Frame::Text(line))) => self.line(&line)?,
            Event::Frame((_, Frame::Binary(bytes))) => self.line(&String::from_utf8_lossy(&bytes))?,
            _ => (),
        }
        Ok(())
    }

    fn welcome(&self, connection: ConnectionId) -> Result<(), Error> {
        self.host.tag(connection, CONVERSATION)?;
        match self.host.waiting()?.first() {
            Some(approval) => self.host.print(&self.question(approval))?,
            None => self.host.print(&self.style.prompt())?,
        }
        self.host.set(PROMPTED, "1")
    }

    fn line(&self, line: &str) -> Result<(), Error> {
        let text = line.trim();
        let waiting = self.host.waiting()?;
        if let Some(approval) = waiting.first()
            && !text.starts_with('/')
        {
            return self.answer(text, approval);
        }
        if text.is_empty() {
            return self.ask_on(&self.style.prompt());
        }
        let number = self.host.get(LINES)?.and_then(|text| text.parse::<u64>().ok()).unwrap_or(0) + 1;
        self.host.set(LINES, &number.to_string())?;
        self.host.set(PROMPTED, "0")?;
        self.host.submit(Inbound {
            id: format!("line-{number}"),
            conversation: CONVERSATION.into(),
            sender: self.person(),
            text: text.into(),
            attachments: Vec::new(),
            sent: self.host.now(),
            handle: None,
        })
    }

    /// The line answers the oldest question; `decided` then asks the next one, for it has scrolled away.
    fn answer(&self, text: &str, approval: &Approval) -> Result<(), Error> {
        let Some(decision) = decision(text) else {
            let again = "Please answer y, s or n, or stop it all with /stop.\n";
            return self.ask_on(&(self.style.question(again) + &self.question(approval)));
        };
        match self.host.decide(&approval.id, &self.person(), decision) {
            Ok(()) => self.host.set(PROMPTED, "0"),
            Err(Error::NotFound(_)) => {
                self.ask_on(&format!("That question is no longer open.\n{}", self.style.prompt()))
            }
            Err(error) => Err(error),
        }
    }

    /// Prints something after which the person writes.
    fn ask_on(&self, text: &str) -> Result<(), Error> {
        self.host.print(text)?;
        self.host.set(PROMPTED, "1")
    }

    /// `channel.deliver`
    pub fn deliver(&self, delivery: Delivery) -> Result<Outcome, DeliveryError> {
        Ok(Outcome::Done(self.show(delivery)?))
    }

    /// Prints it and returns the receipt.
    fn show(&self, delivery: Delivery) -> Result<Option<String>, Error> {
        let printed = Printed::parse(delivery.receipt.as_deref());
        match delivery.content {
            DeliveryContent::Draft(draft) => self.draft(printed, &draft),
            DeliveryContent::Activity(activity) => self.activity(printed, &activity),
            DeliveryContent::Media(media) => {
                let name = media.name.unwrap_or_else(|| "a file without a name".into());
                let words =
                    format!("[{}: {}, {}]", one_line(&media.mime, 60), one_line(&name, 120), size(media.data.len()));
                self.aside(printed, &self.style.dim(&words))
            }
            DeliveryContent::Reply(reply) => {
                match printed.rest_of(&reply.text) {
                    Some(rest) if printed.bytes > 0 => self.end("", rest)?,
                    _ => self.end(&self.fresh_line(printed)?, &reply.text)?,
                }
                Ok(None)
            }
            DeliveryContent::Failed(why) => {
                let words = self.style.alarm(&format!("❌ {}", harmless(&why)));
                self.end_painted(&self.fresh_line(printed)?, &words)?;
                Ok(None)
            }
            DeliveryContent::Notice(words) => {
                self.end(&self.fresh_line(printed)?, &words)?;
                Ok(None)
            }
            DeliveryContent::Working | DeliveryContent::Other(_) => Ok(None),
        }
    }

    fn draft(&self, printed: Printed, draft: &Draft) -> Result<Option<String>, Error> {
        let since = usize::try_from(draft.since).unwrap_or(usize::MAX);
        let Some(rest) = printed.rest_of_piece(&draft.text, since).filter(|rest| !rest.is_empty()) else {
            // Nothing new, or a piece is missing: the whole reply brings it.
            return Ok(None);
        };
        let before = if printed == Printed::NOTHING { self.fresh_line(printed)? } else { String::new() };
        self.host.print(&(before + &harmless(rest)))?;
        Ok(Some(printed.and(rest).receipt()))
    }

    fn activity(&self, printed: Printed, activity: &Activity) -> Result<Option<String>, Error> {
        let tool = one_line(&activity.tool, 80);
        let words = match &activity.state {
            ActivityState::Started(json) => self.style.dim(format!("• {tool} {}", arguments(json)).trim_end()),
            ActivityState::Done(line) => self.style.dim(format!("  ✓ {}", one_line(line, 160)).trim_end()),
            ActivityState::Failed(why) => self.style.alarm(&format!("  ✗ {tool}: {}", one_line(why, 160))),
            // Live output is a page that is replaced; a terminal only appends.
            ActivityState::Progress(_) => return Ok(None),
        };
        self.aside(printed, &words)
    }

    /// A line of its own within a turn.
    fn aside(&self, printed: Printed, words: &str) -> Result<Option<String>, Error> {
        let before = self.fresh_line(printed)?;
        self.host.print(&format!("{before}{words}\n"))?;
        Ok(Some(printed.on_a_new_line().receipt()))
    }

    /// A line end if the cursor does not stand at the start of a line.
    fn fresh_line(&self, printed: Printed) -> Result<String, Error> {
        let within = printed.within_line || self.host.get(PROMPTED)?.as_deref() == Some("1");
        if within {
            self.host.set(PROMPTED, "0")?;
        }
        Ok(if within { "\n".into() } else { String::new() })
    }

    fn end(&self, before: &str, text: &str) -> Result<(), Error> {
        self.end_painted(before, &harmless(text.trim_end()))
    }

    /// The end of something: the person's turn. A question that is still open is not covered by a prompt.
    fn end_painted(&self, before: &str, text: &str) -> Result<(), Error> {
        let then = match self.host.waiting()?.first() {
            Some(approval) => self.question(approval),
            None => self.style.prompt(),
        };
        self.ask_on(&format!("{before}{text}\n\n{then}"))
    }

    /// `approvals.ask`. It begins with a line end, for the text of the turn may stand within a line.
    pub fn ask(&self, approval: &Approval) -> Result<Outcome, DeliveryError> {
        self.ask_on(&format!("\n{}", self.question(approval)))?;
        Ok(Outcome::Done(None))
    }

    /// `approvals.decided`
    pub fn decided(&self, verdict: &Verdict) -> Result<(), DeliveryError> {
        let words = match verdict.decision {
            Some(Decision::AllowOnce) => "  ✓ allowed",
            Some(Decision::AllowSession) => "  ✓ allowed for this session",
            Some(Decision::Deny) => "  ✗ denied",
            None => "  ✗ not answered in time",
        };
        let before = self.fresh_line(Printed::NOTHING)?;
        self.host.print(&format!("{before}{}\n", self.style.dim(words)))?;
        if let Some(next) = self.host.waiting()?.iter().find(|open| open.id != verdict.approval.id) {
            self.ask_on(&self.question(next))?;
        }
        Ok(())
    }

    fn question(&self, approval: &Approval) -> String {
        let tool = one_line(&approval.tool, 80);
        let mut text = format!("? {tool}: {}\n", one_line(&approval.summary, 400));
        let shown = arguments(&approval.arguments);
        if !shown.is_empty() && !approval.summary.contains(&shown) {
            text.push_str(&format!("  {shown}\n"));
        }
        self.style.question(&(text + "  [y]es / [s]ession / [n]o:")) + " "
    }

    fn person(&self) -> Sender {
        Sender { id: "local".into(), name: self.settings.name.clone() }
    }
}

fn decision(text: &str) -> Option<Decision> {
    match text.to_lowercase().as_str() {
        "y" | "yes" => Some(Decision::AllowOnce),
        "s" | "session" => Some(Decision::AllowSession),
        "n" | "no" => Some(Decision::Deny),
        _ => None,
    }
}

openpista_plugin::channel_errors!(Error, ChannelError, DeliveryError);

#[cfg(test)]
mod tests;
