//! Discord's gateway and API, built from the vendor's documentation as far as the channel uses them: for what the other
//! counterpart lacks, which is sessions that are resumed with what was missed, interactions, nonces that count, limits, and
//! errors.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::server::{ErrorResponse, Request, Response};
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_util::task::AbortOnDropHandle;

use super::daemon::until;
use super::messenger::service::{Asked, Service, answer_with};

/// What the developer portal would have given.
pub const TOKEN: &str = "MTM1MDAw.Gdiscord.test_token_7Hq2";
/// The bot, and its application.
pub const ME: &str = "135000000000000042";
pub const APPLICATION: &str = "135000000000000043";
/// Of each interaction's token; as long as they are.
const INTERACTION: &str = "aW50ZXJhY3Rpb246";

/// A call of the API.
#[derive(Clone, Debug)]
pub struct Call {
    pub method: String,
    pub path: String,
    /// Of an upload, the text of the form.
    pub body: Value,
    pub status: u16,
    pub answer: Value,
}

/// What happens to the open connection.
#[derive(Clone, Debug)]
pub enum Order {
    Frame(Value),
    /// As it is: no JSON, or no text.
    Raw(Message),
    Close(u16),
    /// Without a word.
    Cut,
    /// In the middle of a frame.
    CutInFrame,
}

struct Shown {
    id: u64,
    channel: String,
    body: Value,
    deleted: bool,
}

/// How often a connection did what.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub connections: usize,
    pub identified: usize,
    pub resumed: usize,
    pub heartbeats: usize,
}

#[derive(Default)]
struct State {
    /// Of the current session; none before the bot was there for the first time.
    session: Option<u64>,
    /// All events of the session, with their numbers. Those before the first session wait for it.
    events: Vec<(u64, String, Value)>,
    sequence: u64,
    open: Option<mpsc::UnboundedSender<Order>>,
    signed_in: bool,
    counts: Counts,
    /// Frames that came, and the paths and reasons of connections.
    frames: Vec<Value>,
    paths: Vec<String>,
    ends: Vec<(u16, String)>,
    heartbeat: u64,
    deaf: bool,
    silent: bool,
    forgets: bool,
    /// Who signs in is closed with this code.
    closes: Option<u16>,
    refuses: bool,
    ids: u64,
    calls: Vec<Call>,
    shown: Vec<Shown>,
    nonces: HashMap<String, u64>,
    /// Method, part of the path, how many calls go well before, status, headers and body.
    failing: VecDeque<(String, String, usize, u16, String, Value)>,
    /// Headers of what goes well.
    headers: VecDeque<String>,
    answered: HashSet<String>,
    /// Channel of each interaction's token, and the message that answers it.
    interactions: HashMap<String, (String, Option<u64>)>,
    files: HashMap<String, Vec<u8>>,
    strange: Vec<String>,
}

type Shared = Arc<Mutex<State>>;

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

impl State {
    /// A snowflake of now.
    fn id(&mut self) -> u64 {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        self.ids += 1;
        ((u64::try_from(since.as_millis()).unwrap() - 1_420_070_400_000) << 22) + self.ids
    }

    fn order(&self, order: Order) {
        if let Some(open) = &self.open {
            // It may be over.
            let _ = open.send(order);
        }
    }

    fn event(&mut self, kind: &str, data: Value) {
        self.sequence += 1;
        let number = self.sequence;
        self.events.push((number, kind.to_string(), data.clone()));
        if self.signed_in {
            self.order(Order::Frame(json!({"op": 0, "s": number, "t": kind, "d": data})));
        }
    }
}

/// Gateway and API.
pub struct Discord {
    service: Service,
    gateway: String,
    state: Shared,
    _accepting: AbortOnDropHandle<()>,
}

impl Discord {
    pub async fn start() -> Self {
        let state: Shared = Arc::new(Mutex::new(State { heartbeat: 45_000, ..State::default() }));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let gateway = format!("ws://{}", listener.local_addr().unwrap());
        let (shared, address) = (Arc::clone(&state), gateway.clone());
        let accepting = tokio::spawn(async move {
            let mut open = tokio::task::JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                open.spawn(connection(Arc::clone(&shared), address.clone(), stream));
            }
        });
        let shared = Arc::clone(&state);
        let service = Service::start(move |asked, stream| serve(Arc::clone(&shared), asked, stream)).await;
        Self { service, gateway, state, _accepting: AbortOnDropHandle::new(accepting) }
    }

    /// The settings that lead here.
    pub fn settings(&self) -> String {
        format!("api = \"{}/api/v10\", gateway = \"{}\"", self.service.address, self.gateway)
    }

    /// Between two heartbeats, in ms.
    pub fn heartbeat(&self, every: u64) {
        lock(&self.state).heartbeat = every;
    }

    /// Heartbeats are not answered any more, or are again.
    pub fn deaf(&self, deaf: bool) {
        lock(&self.state).deaf = deaf;
    }

    /// New connections hear nothing, or do again.
    pub fn silent(&self, silent: bool) {
        lock(&self.state).silent = silent;
    }

    /// The session is forgotten: whoever would resume it is told so.
    pub fn forgets(&self) {
        lock(&self.state).forgets = true;
    }

    /// The open connection, and whoever signs in from now on, is closed with this code; none: no more.
    pub fn closes(&self, code: Option<u16>) {
        let mut state = lock(&self.state);
        state.closes = code;
        code.into_iter().for_each(|code| state.order(Order::Close(code)));
    }

    /// The token is not valid any more, or is again.
    pub fn refuses(&self, refuses: bool) {
        lock(&self.state).refuses = refuses;
        self.closes(refuses.then_some(4_004));
    }

    /// Something happens to the open connection.
    pub fn order(&self, order: Order) {
        lock(&self.state).order(order);
    }

    pub fn counts(&self) -> Counts {
        lock(&self.state).counts
    }

    /// What the bot sent to the gateway with this opcode.
    pub fn frames(&self, op: u64) -> Vec<Value> {
        lock(&self.state).frames.iter().filter(|frame| frame["op"] == json!(op)).cloned().collect()
    }

    /// The paths at which it was dialled.
    pub fn paths(&self) -> Vec<String> {
        lock(&self.state).paths.clone()
    }

    /// With what the bot closed connections.
    pub fn ends(&self) -> Vec<(u16, String)> {
        lock(&self.state).ends.clone()
    }

    /// What the documentation forbids and was done all the same.
    pub fn strange(&self) -> Vec<String> {
        lock(&self.state).strange.clone()
    }

    /// Waits until so many connections were signed in.
    pub async fn signed_in(&self, times: usize) {
        until(&format!("{times} sign-ins, of {:?}", self.counts()), async || {
            let counts = self.counts();
            (counts.identified + counts.resumed >= times).then_some(())
        })
        .await;
    }

    /// A message of a person, in a server if `more` names one; its id.
    pub fn says(&self, person: &str, channel: &str, text: &str, more: Value) -> String {
        let mut state = lock(&self.state);
        let id = state.id().to_string();
        let mut message = json!({
            "id": id, "channel_id": channel, "type": 0, "content": text, "mentions": [], "attachments": [],
            "author": {"id": person, "username": format!("person{person}"), "global_name": format!("Person {person}")}
        });
        if let (Some(all), Value::Object(more)) = (message.as_object_mut(), more) {
            all.extend(more);
        }
        state.event("MESSAGE_CREATE", message);
        id
    }

    /// A person does something that is to be answered: 2, a slash command; 3, a pressed button. Its id.
    pub fn interacts(&self, kind: u64, person: &str, channel: &str, data: Value) -> String {
        let mut state = lock(&self.state);
        let id = state.id().to_string();
        let token = format!("{INTERACTION}{id}{}", "x".repeat(180));
        state.interactions.insert(token.clone(), (channel.into(), None));
        let user =
            json!({"id": person, "username": format!("person{person}"), "global_name": format!("Person {person}")});
        let interaction = json!({
            "id": id, "application_id": APPLICATION, "type": kind, "token": token, "channel_id": channel, "data": data,
            "user": user
        });
        state.event("INTERACTION_CREATE", interaction);
        id
    }

    /// The bytes of a file that somebody sent; its address.
    pub fn file(&self, name: &str, bytes: Vec<u8>) -> String {
        lock(&self.state).files.insert(name.into(), bytes);
        format!("{}/attachments/{name}", self.service.address)
    }

    /// After some calls that go well, one of this method fails of which the path holds this.
    pub fn fails(&self, method: &str, part: &str, well: usize, status: u16, headers: &str, body: Value) {
        let failure = (method.into(), part.into(), well, status, headers.into(), body);
        lock(&self.state).failing.push_back(failure);
    }

    /// Headers of the next message that is sent well.
    pub fn limits(&self, headers: &str) {
        lock(&self.state).headers.push_back(headers.into());
    }

    /// All calls of a method of which the path holds this.
    pub fn called(&self, method: &str, part: &str) -> Vec<Call> {
        let state = lock(&self.state);
        state.calls.iter().filter(|call| call.method == method && call.path.contains(part)).cloned().collect()
    }

    /// Waits for a call that went well and is as wanted.
    pub async fn sees(&self, method: &str, part: &str, wanted: impl Fn(&Value) -> bool) -> Call {
        until(&format!("{method} …{part}… as wanted"), async || {
            self.called(method, part).into_iter().find(|call| call.status < 300 && wanted(&call.body))
        })
        .await
    }

    /// What a channel shows in the end: its messages, each as it was last edited.
    pub fn texts(&self, channel: &str) -> Vec<String> {
        let state = lock(&self.state);
        let here = state.shown.iter().filter(|one| one.channel == channel && !one.deleted);
        here.map(|one| one.body["content"].as_str().unwrap_or_default().to_string()).collect()
    }

    /// Waits until a channel shows this.
    pub async fn shows(&self, channel: &str, text: &str) {
        until(&format!("{text:?} in channel {channel}, among {:#?}", self.texts(channel)), async || {
            self.texts(channel).iter().any(|shown| shown.contains(text)).then_some(())
        })
        .await;
    }
}

/// One connection of the gateway.
async fn connection(state: Shared, address: String, stream: TcpStream) {
    let mut path = String::new();
    #[expect(clippy::result_large_err, reason = "the signature is the library's")]
    let noted = |request: &Request, response: Response| -> Result<Response, ErrorResponse> {
        path = request.uri().to_string();
        Ok(response)
    };
    let Ok(mut socket) = tokio_tungstenite::accept_hdr_async(stream, noted).await else { return };
    let (sender, mut orders) = mpsc::unbounded_channel();
    let (hello, silent) = {
        let mut state = lock(&state);
        state.counts.connections += 1;
        state.paths.push(path);
        state.open = Some(sender.clone());
        state.signed_in = false;
        (json!({"op": 10, "d": {"heartbeat_interval": state.heartbeat}}), state.silent)
    };
    if !silent && socket.send(Message::text(hello.to_string())).await.is_err() {
        return;
    }
    loop {
        tokio::select! {
            order = orders.recv() => {
                let sent = match order {
                    Some(Order::Frame(frame)) => socket.send(Message::text(frame.to_string())).await.is_ok(),
                    Some(Order::Raw(message)) => socket.send(message).await.is_ok(),
                    Some(Order::Close(code)) => {
                        let frame = CloseFrame { code: code.into(), reason: "".into() };
                        socket.send(Message::Close(Some(frame))).await.is_ok()
                    }
                    Some(Order::CutInFrame) => {
                        // The head of a text of 4,096 bytes, and its beginning.
                        let _ = socket.get_mut().write_all(&[0x81, 0x7e, 0x10, 0x00, b'{', b'"']).await;
                        false
                    }
                    Some(Order::Cut) | None => false,
                };
                if !sent {
                    break;
                }
            }
            message = socket.next() => match message {
                Some(Ok(Message::Text(text))) => came(&state, &sender, &address, text.as_str()),
                Some(Ok(Message::Close(frame))) => {
                    let frame = frame.map(|frame| (u16::from(frame.code), frame.reason.to_string()));
                    lock(&state).ends.extend(frame);
                }
                Some(Ok(_)) => (),
                Some(Err(_)) | None => break,
            }
        }
    }
    let mut state = lock(&state);
    if state.open.as_ref().is_some_and(|open| open.same_channel(&sender)) {
        state.open = None;
        state.signed_in = false;
    }
}

/// A frame of the bot's.
fn came(state: &Shared, sender: &mpsc::UnboundedSender<Order>, address: &str, text: &str) {
    let mut state = lock(state);
    let frame: Value = serde_json::from_str(text).unwrap_or_default();
    state.frames.push(frame.clone());
    let say = |frame: Value| drop(sender.send(Order::Frame(frame)));
    let op = frame["op"].as_u64();
    match op {
        Some(1) => {
            state.counts.heartbeats += 1;
            if !state.deaf {
                say(json!({"op": 11}));
            }
        }
        Some(2 | 6) if state.closes.is_some() || frame["d"]["token"] != json!(TOKEN) => {
            let code = state.closes.unwrap_or(4_004);
            drop(sender.send(Order::Close(code)));
        }
        Some(2) => {
            state.counts.identified += 1;
            // What was said before there was a session waits for the first one; later it is lost, as it would be.
            let waiting = if state.session.is_none() { std::mem::take(&mut state.events) } else { Vec::new() };
            state.events.clear();
            let id = state.id();
            (state.session, state.sequence, state.signed_in, state.forgets) = (Some(id), 0, true, false);
            let ready = json!({
                "v": 10, "session_id": id.to_string(), "resume_gateway_url": format!("{address}/resume"),
                "user": {"id": ME, "username": "pista", "bot": true}, "application": {"id": APPLICATION, "flags": 0},
                "guilds": []
            });
            state.event("READY", ready);
            waiting.into_iter().for_each(|(_, kind, data)| state.event(&kind, data));
        }
        Some(6) => {
            let known = state.session.map(|id| json!(id.to_string())) == Some(frame["d"]["session_id"].clone());
            let Some(behind) = frame["d"]["seq"].as_u64().filter(|_| known && !state.forgets) else {
                return say(json!({"op": 9, "d": false}));
            };
            state.counts.resumed += 1;
            state.signed_in = true;
            for (number, kind, data) in state.events.iter().filter(|(number, ..)| *number > behind) {
                say(json!({"op": 0, "s": number, "t": kind, "d": data}));
            }
            state.event("RESUMED", json!({}));
        }
        _ => state.strange.push(format!("a frame: {text}")),
    }
}

async fn serve(state: Shared, asked: Asked, stream: TcpStream) -> std::io::Result<()> {
    if let Some(name) = asked.path.strip_prefix("/attachments/") {
        let file = lock(&state).files.get(name).cloned();
        let status = if file.is_some() { 200 } else { 404 };
        return answer_with(stream, status, "content-type: image/png\r\n", &file.unwrap_or_default()).await;
    }
    let body = match serde_json::from_slice(&asked.body) {
        Ok(body) => body,
        Err(_) => Value::String(String::from_utf8_lossy(&asked.body).into_owned()),
    };
    let path = asked.path.strip_prefix("/api/v10").unwrap_or_default().to_string();
    let (status, headers, answer) = {
        let mut state = lock(&state);
        let done = failure(&mut state, &asked.method, &path).unwrap_or_else(|| route(&mut state, &asked, &path, &body));
        let call = Call { method: asked.method, path, body, status: done.0, answer: done.2.clone() };
        state.calls.push(call);
        done
    };
    let body = if answer.is_null() { String::new() } else { answer.to_string() };
    answer_with(stream, status, &format!("content-type: application/json\r\n{headers}"), body.as_bytes()).await
}

fn failure(state: &mut State, method: &str, path: &str) -> Option<(u16, String, Value)> {
    let at = state.failing.iter().position(|(of, part, ..)| of == method && path.contains(part.as_str()))?;
    let (_, _, well, ..) = state.failing.get_mut(at)?;
    if *well > 0 {
        *well -= 1;
        return None;
    }
    state.failing.remove(at).map(|(_, _, _, status, headers, body)| (status, headers, body))
}

fn route(state: &mut State, asked: &Asked, path: &str, body: &Value) -> (u16, String, Value) {
    let refused =
        |status: u16, code: u64, words: &str| (status, String::new(), json!({"code": code, "message": words}));
    let well = |answer: Value| (if answer.is_null() { 204 } else { 200 }, String::new(), answer);
    if !asked.header("user-agent").starts_with("DiscordBot (") {
        state.strange.push(format!("the user agent {}", asked.header("user-agent")));
    }
    let parts: Vec<&str> = path.trim_start_matches('/').split('/').collect();
    let free = matches!(parts.first(), Some(&"interactions" | &"webhooks"));
    if free != asked.header("authorization").is_empty() {
        state.strange.push(format!("{path} with the authorization {:?}", asked.header("authorization")));
    }
    if !free && (state.refuses || asked.header("authorization") != format!("Bot {TOKEN}")) {
        return refused(401, 0, "401: Unauthorized");
    }
    match (asked.method.as_str(), parts.as_slice()) {
        ("PUT", ["applications", APPLICATION, "commands"]) => well(body.clone()),
        ("POST", ["channels", _, "typing"]) => well(Value::Null),
        ("POST", ["channels", channel, "messages"]) => {
            let form = body.as_str().and_then(|form| form.split("\r\n").find(|line| line.starts_with('{')));
            let body = form.map_or_else(|| body.clone(), |fields| serde_json::from_str(fields).unwrap_or_default());
            let nonce = body["nonce"].as_str().unwrap_or_default();
            if body["content"].as_str().is_some_and(|text| text.is_empty() || text.chars().count() > 2_000)
                || nonce.len() > 25
            {
                return refused(400, 50_035, "Invalid Form Body");
            }
            let key = format!("{channel} {nonce}");
            let known = state.nonces.get(&key).copied().filter(|_| body["enforce_nonce"] == json!(true));
            let id = known.unwrap_or_else(|| {
                let id = state.id();
                state.shown.push(Shown { id, channel: (*channel).into(), body: body.clone(), deleted: false });
                state.nonces.insert(key, id);
                id
            });
            let shown = state.shown.iter().find(|one| one.id == id).map(|one| one.body["content"].clone());
            let headers = state.headers.pop_front().unwrap_or_default();
            (200, headers, json!({"id": id.to_string(), "channel_id": channel, "content": shown}))
        }
        ("PATCH" | "DELETE", ["channels", channel, "messages", id]) => {
            let here = |one: &&mut Shown| one.id.to_string() == *id && one.channel == *channel && !one.deleted;
            match state.shown.iter_mut().find(here) {
                None => refused(404, 10_008, "Unknown Message"),
                Some(shown) if asked.method == "DELETE" => {
                    shown.deleted = true;
                    well(Value::Null)
                }
                Some(shown) => {
                    shown.body = body.clone();
                    well(json!({"id": id, "channel_id": channel, "content": body["content"]}))
                }
            }
        }
        ("POST", ["interactions", id, token, "callback"]) => {
            if !state.interactions.contains_key(*token) || !token.contains(id) {
                return refused(404, 10_062, "Unknown interaction");
            }
            if !state.answered.insert((*token).to_string()) {
                return refused(400, 40_060, "Interaction has already been acknowledged.");
            }
            well(Value::Null)
        }
        ("PATCH", ["webhooks", APPLICATION, token, "messages", "@original"]) => {
            let Some((channel, message)) = state.interactions.get(*token).cloned() else {
                return refused(404, 10_015, "Unknown Webhook");
            };
            let id = message.unwrap_or_else(|| {
                let id = state.id();
                state.shown.push(Shown { id, channel: channel.clone(), body: Value::Null, deleted: false });
                state.interactions.insert((*token).to_string(), (channel, Some(id)));
                id
            });
            state.shown.iter_mut().filter(|one| one.id == id).for_each(|one| one.body = body.clone());
            well(json!({"id": id.to_string(), "content": body["content"]}))
        }
        _ => refused(404, 0, "404: Not Found"),
    }
}
