//! The protocol of the websocket.
//!
//! A connection is tagged once its browser is known: by the cookie that came with it, or, for clients that are no
//! browsers, by the token in its `hello`. `hello` names a session: what was said there since `seen` is replayed, with
//! the questions that wait and the text that is being written, and from then on the connection gets what is delivered
//! there. A message has an id from the client, so that one which is sent again (the line broke before its `said`) is
//! taken once.

use serde_json::{Value, json};

use crate::contract::exports::openpista::plugin::approvals::Verdict;
use crate::contract::exports::openpista::plugin::channel::{
    ChannelError, Delivery, DeliveryError, Event, Opened, Outcome, Preference, Setup, Source, Transport, TransportKind,
};
use crate::contract::exports::openpista::plugin::observer::Update;
use crate::contract::openpista::connection::connection::{ConnectionId, Frame, Target};
use crate::contract::openpista::gateway::gateway::{Approval, Decision, Inbound, Sender};
use crate::contract::openpista::types::types::Error;
use crate::host::Host;
use crate::pages::is_session;
use crate::{frames, sign_in};

/// Before a session's id in the name of its conversation.
pub const CONVERSATIONS: &str = "web:";

/// Entries that one `hello` replays at most, the newest.
const REPLAY: usize = 2_000;

/// The page of `sessions.history`: a shorter one is the last.
const PAGE: usize = 200;

/// WebSocket close code: sign in first.
const SIGN_IN: u16 = 4401;

/// `channel.open`
pub fn setup() -> Setup {
    let transport = |id: &str, kind| Transport { id: id.into(), kind };
    Setup {
        transports: vec![
            transport("pages", TransportKind::Http("/".into())),
            transport("socket", TransportKind::Websocket("/ws".into())),
        ],
        preferences: vec![
            Preference::Increments(33),
            Preference::Working(5_000),
            Preference::Activity,
            Preference::Reasoning,
            Preference::SignedIn,
        ],
    }
}

/// `channel.receive`
pub fn receive(host: &impl Host, event: &Event) -> Result<(), ChannelError> {
    match event {
        Event::Opened(opened) => Ok(greet(host, opened)?),
        Event::Frame((source, Frame::Text(text))) => {
            let message: Value = serde_json::from_str(text)
                .map_err(|error| ChannelError::Malformed(format!("a frame of the web chat is no JSON: {error}")))?;
            Ok(Client { host, source }.take(&message)?)
        }
        Event::Frame((_, Frame::Binary(_))) => Err(ChannelError::Malformed("the web chat has no binary frames".into())),
        _ => Ok(()),
    }
}

fn greet(host: &impl Host, opened: &Opened) -> Result<(), Error> {
    let connection = opened.source.connection;
    match sign_in::user(host, &opened.headers)? {
        Some(user) => {
            host.tag(connection, &tags(&user, None))?;
            host.send(&Target::One(connection), &json!({"type": "welcome", "user": user}).to_string())
        }
        None => host.send(&Target::One(connection), &json!({"type": "sign-in"}).to_string()),
    }
}

fn tags(user: &str, session: Option<&str>) -> Vec<String> {
    let mut tags = vec!["all".to_string(), format!("u/{user}")];
    tags.extend(session.map(|session| format!("s/{session}")));
    tags
}

/// All who look at a conversation; none if it is not one of ours.
fn audience(conversation: &str) -> Option<Target> {
    let session = conversation.strip_prefix(CONVERSATIONS)?;
    Some(Target::Tagged(format!("s/{session}")))
}

/// One frame's sender.
struct Client<'a, H> {
    host: &'a H,
    source: &'a Source,
}

impl<H: Host> Client<'_, H> {
    fn take(&self, message: &Value) -> Result<(), Error> {
        let kind = text(message, "type");
        let Some(user) = self.tag("u/").map(str::to_string).or(self.by_token(kind, message)?) else {
            return self.host.close(self.connection(), SIGN_IN, "sign in");
        };
        match kind {
            "hello" => self.hello(&user, message),
            "ping" => self.reply(&json!({"type": "pong"})),
            "sessions" => {
                let before = message.get("before").and_then(Value::as_u64);
                self.reply(&frames::sessions(&self.host.sessions(before)?))
            }
            "models" => self.reply(&frames::models(&self.host.models()?)),
            _ => match self.tag("s/") {
                Some(session) => self.in_session(kind, session, &sender(&user), message),
                None => self.complain("Say hello with a session first."),
            },
        }
    }

    fn connection(&self) -> ConnectionId {
        self.source.connection
    }

    fn tag(&self, prefix: &str) -> Option<&str> {
        self.source.tags.iter().find_map(|tag| tag.strip_prefix(prefix))
    }

    fn by_token(&self, kind: &str, message: &Value) -> Result<Option<String>, Error> {
        let token = text(message, "token");
        if kind != "hello" || token.is_empty() {
            return Ok(None);
        }
        match self.host.is_web_token(token) {
            Ok(right) => Ok(right.then(|| sign_in::OWNER.to_string())),
            // Too many wrong ones: as one more of them.
            Err(Error::AccessDenied(_) | Error::TooLarge(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn reply(&self, frame: &Value) -> Result<(), Error> {
        self.host.send(&Target::One(self.connection()), &frame.to_string())
    }

    fn complain(&self, what: &str) -> Result<(), Error> {
        self.reply(&json!({"type": "error", "text": what}))
    }

    fn hello(&self, user: &str, message: &Value) -> Result<(), Error> {
        let session = text(message, "session");
        if !is_session(session) {
            return self.complain("A session's id has 1 to 64 letters, digits, - or _.");
        }
        let seen = message.get("seen").and_then(Value::as_u64).unwrap_or(0);
        let conversation = format!("{CONVERSATIONS}{session}");
        self.host.tag(self.connection(), &tags(user, Some(session)))?;
        self.reply(&json!({"type": "hello", "session": session, "user": user, "seen": seen}))?;
        for entry in self.replay(&conversation, seen)? {
            self.reply(&entry)?;
        }
        if let Some(text) = or_nothing(self.host.running(&conversation))?.flatten() {
            self.reply(&json!({"type": "draft", "text": text, "since": 0, "reasoning": ""}))?;
        }
        for approval in self.host.waiting(&conversation)? {
            self.reply(&frames::approval(&approval))?;
        }
        self.reply(&json!({"type": "ready"}))?;
        self.reply(&frames::sessions(&self.host.sessions(None)?))?;
        self.reply(&frames::models(&self.host.models()?))
    }

    fn replay(&self, conversation: &str, seen: u64) -> Result<Vec<Value>, Error> {
        let mut entries = Vec::new();
        let mut after = seen;
        while let Some(page) = or_nothing(self.host.history(conversation, after))? {
            let Some(last) = page.last() else { break };
            after = last.cursor;
            entries.extend(page.iter().map(frames::entry));
            let surplus = entries.len().saturating_sub(REPLAY);
            entries.drain(..surplus);
            if page.len() < PAGE {
                break;
            }
        }
        Ok(entries)
    }

    fn in_session(&self, kind: &str, session: &str, by: &Sender, message: &Value) -> Result<(), Error> {
        let conversation = format!("{CONVERSATIONS}{session}");
        match kind {
            "say" => self.say(session, conversation, by, message),
            "stop" => self.host.cancel(&conversation, by),
            "running" => {
                let text = or_nothing(self.host.running(&conversation))?.flatten().unwrap_or_default();
                self.reply(&json!({"type": "draft", "text": text, "since": 0, "reasoning": ""}))
            }
            "approve" => self.approve(by, message),
            "model" => match self.host.choose(&conversation, text(message, "model")) {
                Ok(()) => self.host.send(
                    &Target::Tagged(format!("s/{session}")),
                    &json!({"type": "notice", "text": format!("The model is now {}.", text(message, "model"))})
                        .to_string(),
                ),
                Err(Error::NotFound(why) | Error::Invalid(why)) => self.complain(&why),
                Err(error) => Err(error),
            },
            _ => self.complain("The web chat does not know this kind of message."),
        }
    }

    fn say(&self, session: &str, conversation: String, by: &Sender, message: &Value) -> Result<(), Error> {
        let (id, said) = (text(message, "id"), text(message, "text"));
        if !is_session(id) || said.trim().is_empty() {
            return self.complain("A message needs an id of 1 to 64 letters, digits, - or _, and a text.");
        }
        let sent = self.host.now();
        let inbound = Inbound {
            // Two sessions may have used the same one: a client counts for each of them.
            id: format!("{}/{session}/{id}", by.id),
            conversation,
            sender: by.clone(),
            text: said.into(),
            attachments: Vec::new(),
            sent,
            handle: None,
        };
        match self.host.submit(inbound) {
            Ok(()) => (),
            // Sent again it would fail again: the page has to know, and to take it out of its queue.
            Err(Error::TooLarge(why) | Error::Invalid(why)) => {
                return self.reply(&json!({"type": "refused", "id": id, "text": why}));
            }
            Err(error) => return Err(error),
        }
        let frame = json!({"type": "said", "id": id, "text": said, "at": sent});
        self.host.send(&Target::Tagged(format!("s/{session}")), &frame.to_string())
    }

    fn approve(&self, by: &Sender, message: &Value) -> Result<(), Error> {
        let id = text(message, "id");
        let decision = match text(message, "decision") {
            "once" => Decision::AllowOnce,
            "session" => Decision::AllowSession,
            "deny" => Decision::Deny,
            _ => return self.complain("A decision is once, session or deny."),
        };
        match self.host.decide(id, by, decision) {
            Err(Error::NotFound(_)) => self.reply(&json!({"type": "decided", "id": id, "decision": null, "by": null})),
            done => done,
        }
    }
}

/// A conversation of which nothing was said yet is not found.
fn or_nothing<T>(result: Result<T, Error>) -> Result<Option<T>, Error> {
    match result {
        Ok(found) => Ok(Some(found)),
        Err(Error::NotFound(_)) => Ok(None),
        Err(error) => Err(error),
    }
}

fn text<'a>(message: &'a Value, key: &str) -> &'a str {
    message.get(key).and_then(Value::as_str).unwrap_or_default()
}

fn sender(user: &str) -> Sender {
    Sender { id: user.into(), name: user.into() }
}

/// `channel.deliver`. Nobody there is no failure: the history is what is replayed.
pub fn deliver(host: &impl Host, delivery: &Delivery) -> Result<Outcome, DeliveryError> {
    if let (Some(target), Some(frame)) = (audience(&delivery.conversation), frames::delivery(delivery)) {
        host.send(&target, &frame.to_string())?;
    }
    Ok(Outcome::Done(None))
}

/// `approvals.ask`
pub fn ask(host: &impl Host, approval: &Approval) -> Result<Outcome, DeliveryError> {
    if let Some(target) = audience(&approval.conversation) {
        host.send(&target, &frames::approval(approval).to_string())?;
    }
    Ok(Outcome::Done(None))
}

/// `approvals.decided`
pub fn decided(host: &impl Host, verdict: &Verdict) -> Result<(), DeliveryError> {
    if let Some(target) = audience(&verdict.approval.conversation) {
        host.send(&target, &frames::decided(verdict).to_string())?;
    }
    Ok(())
}

/// `observer.notify`
pub fn notify(host: &impl Host, update: &Update) -> Result<(), Error> {
    match frames::update(update) {
        Some(frame) => host.send(&Target::Tagged("all".into()), &frame.to_string()),
        None => Ok(()),
    }
}

#[cfg(test)]
pub(crate) mod stage;
#[cfg(test)]
mod tests;
