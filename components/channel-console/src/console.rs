//! The protocol of the console: lines in, text out, one conversation.
//!
//! A line is the answer to the oldest open question if there is one, else a message (the host knows which of them are
//! commands). Deliveries are printed as they come; after each that ends something the prompt is written again. Marks tell
//! the host where a line has to begin and what is the prompt: it knows where the cursor is, and whether a line is edited.

use openpista_plugin::question::details;
use serde_json::{Value, json};

use crate::contract::exports::openpista::plugin::approvals::Verdict;
use crate::contract::exports::openpista::plugin::channel::{
    Activity, ActivityState, ChannelError, Delivery, DeliveryContent, DeliveryError, Draft, Event, Opened, Outcome,
    Preference, Setup, Transport, TransportKind,
};
use crate::contract::openpista::connection::connection::{ConnectionId, Frame};
use crate::contract::openpista::gateway::gateway::{Approval, Decision, Inbound, Sender};
use crate::contract::openpista::types::types::{Error, Timestamp};
use crate::markdown::Marks;
use crate::receipt::Printed;
use crate::screen::{FRESH, Style, arguments, harmless, one_line, size};

/// The one conversation, and the tag of its connection.
pub const CONVERSATION: &str = "console";

/// Key of the number of lines that were submitted: with it a line that is tried again keeps its id.
const LINES: &str = "lines";
/// Key of what the terminal can do, as `opened` told it.
const TERMINAL: &str = "terminal";
/// Key that is `1` while something runs for the person.
const BUSY: &str = "busy";

/// The frame of Ctrl-C where no line is to be cleared.
const INTERRUPT: &str = "\x03";

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

/// When to use colours.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Color {
    /// If the terminal shows them and the person did not forbid it.
    Auto,
    /// Also into a pipe.
    Always,
    /// Not at all; Markdown stays as it was written.
    Never,
}

/// `[channels.console.settings]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// Colours, and Markdown for the eye.
    pub color: Color,
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
                    "enum": ["auto", "always", "never"], "default": "auto",
                    "description": "Colours, and Markdown shown as what it means: auto, if the terminal can."
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
        let color = match value.get("color").and_then(Value::as_str) {
            Some("always") => Color::Always,
            Some("never") => Color::Never,
            _ => Color::Auto,
        };
        Self { color, name: value.get("name").and_then(Value::as_str).unwrap_or("owner").to_string() }
    }
}

/// What the terminal can do, from the headers of `opened`.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Terminal {
    color: bool,
    /// The prompt stays below what is written.
    edits: bool,
}

impl Terminal {
    fn of(headers: &[(String, String)]) -> Self {
        let yes = |name: &str| headers.iter().any(|(given, value)| given == name && value == "yes");
        Self { color: yes("color"), edits: yes("edit") }
    }

    fn kept(self) -> &'static str {
        match (self.color, self.edits) {
            (true, true) => "color edit",
            (true, false) => "color",
            (false, true) => "edit",
            (false, false) => "",
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
    terminal: Terminal,
    style: Style,
}

impl<'a, H: Host> Console<'a, H> {
    /// For one call.
    pub fn new(host: &'a H, settings: Settings) -> Self {
        // Without it nothing is lost but looks.
        let kept = host.get(TERMINAL).ok().flatten().unwrap_or_default();
        let terminal = Terminal { color: kept.contains("color"), edits: kept.contains("edit") };
        let style = style(settings.color, terminal);
        Self { host, settings, terminal, style }
    }

    /// `channel.receive`
    pub fn receive(&mut self, event: Event) -> Result<(), ChannelError> {
        match event {
            Event::Opened(opened) => self.welcome(&opened)?,
            Event::Frame((_, Frame::Text(line))) => self.line(&line)?,
            Event::Frame((_, Frame::Binary(bytes))) => self.line(&String::from_utf8_lossy(&bytes))?,
            _ => (),
        }
        Ok(())
    }

    fn welcome(&mut self, opened: &Opened) -> Result<(), Error> {
        self.terminal = Terminal::of(&opened.headers);
        self.style = style(self.settings.color, self.terminal);
        self.host.set(TERMINAL, self.terminal.kept())?;
        self.host.tag(opened.source.connection, CONVERSATION)?;
        let keys = if self.terminal.edits { ["Ctrl-C", "Ctrl-D"] } else { ["/stop", "/quit"] };
        let words = format!("Type a message; /help for commands, {} to stop, {} to end.", keys[0], keys[1]);
        self.host.print(&format!("{}\n", self.style.dim(&words)))?;
        self.host.print(&self.invitation()?)
    }

    /// What the person sees when it is their turn: an open question is not covered by a prompt.
    fn invitation(&self) -> Result<String, Error> {
        Ok(self.host.waiting()?.first().map_or_else(|| self.style.prompt(), |approval| self.question(approval)))
    }

    fn line(&self, line: &str) -> Result<(), Error> {
        let text = line.trim_matches(|c: char| c.is_whitespace());
        if text == INTERRUPT {
            return self.interrupt();
        }
        let waiting = self.host.waiting()?;
        if let Some(approval) = waiting.first()
            && !text.starts_with('/')
        {
            return self.answer(text, approval);
        }
        if text.is_empty() {
            return self.host.print(&self.style.prompt());
        }
        if !text.starts_with('/') {
            self.busy(true)?;
        }
        self.submit(text)
    }

    fn submit(&self, text: &str) -> Result<(), Error> {
        let number = self.host.get(LINES)?.and_then(|text| text.parse::<u64>().ok()).unwrap_or(0) + 1;
        self.host.set(LINES, &number.to_string())?;
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

    /// Ctrl-C: ends the answer, not the host.
    fn interrupt(&self) -> Result<(), Error> {
        if self.host.get(BUSY)?.as_deref() == Some("1") {
            return self.submit("/stop");
        }
        self.host.print(&format!("{FRESH}{}\n{}", self.style.dim("Ctrl-D or /quit ends."), self.invitation()?))
    }

    fn busy(&self, busy: bool) -> Result<(), Error> {
        let word = if busy { "1" } else { "0" };
        if self.host.get(BUSY)?.as_deref() == Some(word) {
            return Ok(());
        }
        self.host.set(BUSY, word)
    }

    /// The line answers the oldest question; `decided` then asks the next one, for it has scrolled away.
    fn answer(&self, text: &str, approval: &Approval) -> Result<(), Error> {
        let Some(decision) = decision(text) else {
            let again = self.style.question("Please answer y, s or n, or stop it all with /stop.");
            return self.host.print(&format!("{FRESH}{again}\n{}", self.question(approval)));
        };
        match self.host.decide(&approval.id, &self.person(), decision) {
            Err(Error::NotFound(_)) => {
                self.host.print(&format!("{FRESH}That question is no longer open.\n{}", self.style.prompt()))
            }
            other => other,
        }
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
                let name = media.name.unwrap_or_else(|| "without a name".into());
                let words =
                    format!("[{}, {}, {}]", one_line(&media.mime, 60), size(media.data.len()), one_line(&name, 120));
                self.aside(printed, &self.style.dim(&words))
            }
            DeliveryContent::Reply(reply) => {
                self.busy(false)?;
                let (before, rest, mut marks) = match printed.rest_of(&reply.text) {
                    Some(rest) if printed.bytes > 0 => ("", rest, printed.marks),
                    _ => (FRESH, reply.text.as_str(), Marks::BEGIN),
                };
                self.end(&format!("{before}{}", self.drawn(rest.trim_end(), &mut marks, true).0))
            }
            DeliveryContent::Failed(why) => {
                self.busy(false)?;
                self.end(&format!("{FRESH}{}", self.style.alarm(&format!("❌ {}", harmless(why.trim_end())))))
            }
            DeliveryContent::Notice(words) => self.end(&format!("{FRESH}{}", harmless(words.trim_end()))),
            DeliveryContent::Working | DeliveryContent::Other(_) => Ok(None),
        }
    }

    /// The text as it is shown, and how many bytes of it that is.
    fn drawn(&self, text: &str, marks: &mut Marks, last: bool) -> (String, usize) {
        if self.style.color { marks.draw(text, last) } else { (harmless(text), text.len()) }
    }

    fn draft(&self, printed: Printed, draft: &Draft) -> Result<Option<String>, Error> {
        let since = usize::try_from(draft.since).unwrap_or(usize::MAX);
        let Some(rest) = printed.rest_of_piece(&draft.text, since).filter(|rest| !rest.is_empty()) else {
            // Nothing new, or a piece is missing: the whole reply brings it.
            return Ok(None);
        };
        // Behind a tool's line, the empty line that sets the next part of the text apart is one, not two.
        let apart = self.style.color && printed.marks == Marks::BEGIN && printed.bytes > 0 && rest.starts_with("\n\n");
        let rest_at = usize::from(apart);
        let mut marks = printed.marks;
        let (drawn, taken) = self.drawn(rest.get(rest_at..).unwrap_or_default(), &mut marks, false);
        let taken = taken + rest_at;
        let before = if printed.bytes == 0 { FRESH } else { "" };
        self.host.print(&format!("{before}{drawn}"))?;
        Ok(Some(printed.and(rest.get(..taken).unwrap_or_default(), marks).receipt()))
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
        self.host.print(&format!("{FRESH}{words}\n"))?;
        Ok(Some(printed.interrupted().receipt()))
    }

    /// The end of something: the person's turn.
    fn end(&self, text: &str) -> Result<Option<String>, Error> {
        self.host.print(&format!("{text}{FRESH}\n{}", self.invitation()?))?;
        Ok(None)
    }

    /// `approvals.ask`
    pub fn ask(&self, approval: &Approval) -> Result<Outcome, DeliveryError> {
        self.host.print(&self.question(approval))?;
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
        let next = self.host.waiting()?.into_iter().find(|open| open.id != verdict.approval.id);
        let then = match next {
            Some(next) => self.question(&next),
            None if self.terminal.edits => self.style.prompt(),
            // Nothing stands below: the next prompt comes with the end of the turn.
            None => String::new(),
        };
        self.host.print(&format!("{FRESH}{}\n{then}", self.style.dim(words)))?;
        Ok(())
    }

    fn question(&self, approval: &Approval) -> String {
        let bar = |bar: &str| self.style.question(bar);
        let tool = self.style.strong(&one_line(&approval.tool, 80));
        let details = harmless(&details(&approval.arguments));
        let summary = one_line(&approval.summary, 400);
        let summary = if one_line(&details, 400).contains(&summary) { String::new() } else { format!(" {summary}") };
        let mut text = format!("{FRESH}{} {tool}{summary}\n", bar("╭"));
        for line in details.lines() {
            text.push_str(&format!("{}   {line}\n", bar("│")));
        }
        text.push_str(&format!("{} {}\n", bar("╰"), self.style.question("[y]es · yes for this [s]ession · [n]o")));
        text + &self.style.answer()
    }

    fn person(&self) -> Sender {
        Sender { id: "local".into(), name: self.settings.name.clone() }
    }
}

fn style(color: Color, terminal: Terminal) -> Style {
    Style { color: color == Color::Always || (color == Color::Auto && terminal.color) }
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
