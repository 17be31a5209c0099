//! A Cloud API server, built from the vendor's documentation as far as the channel uses it. It brings webhooks as the
//! vendor's does: signed, one after the other, and again until they are taken.

use std::collections::{HashMap, VecDeque};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hmac::{Hmac, Mac as _};
use openpista_host::admin::{Link, Request, Response};
use serde_json::{Value, json};
use sha2::Sha256;
use tokio::net::TcpStream;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::task::JoinSet;

use super::daemon::{Home, until};
use super::messenger::service::{Asked, Service, answer, try_post};

/// What the operator would have from the vendor.
pub const TOKEN: &str = "EAAwhatsappTestToken0123456789";
pub const SECRET: &str = "0123456789abcdef0123456789abcdef";
pub const VERIFY: &str = "verify-Token_987654";
/// Two phone numbers of ours.
pub const PHONE: &str = "100";
pub const OTHER_PHONE: &str = "200";

const JSON: &str = "application/json";

/// A request of the channel.
#[derive(Clone, Debug)]
pub struct Call {
    /// `messages`, `read` for the sign that one was read, `media`, or the id of a file.
    pub method: String,
    pub phone: String,
    /// Of an upload, the text of the form.
    pub body: Value,
    pub status: u16,
}

#[derive(Default)]
struct State {
    calls: Vec<Call>,
    /// Methods, how many calls go well before, and the answer.
    failing: VecDeque<(String, usize, u16, u32)>,
    files: HashMap<String, Vec<u8>>,
    messages: u32,
    refuses: bool,
}

/// The server.
pub struct Graph {
    service: Service,
    state: Arc<Mutex<State>>,
    bodies: Mutex<Option<UnboundedSender<String>>>,
    _bringing: Mutex<JoinSet<()>>,
}

fn lock<T>(state: &Mutex<T>) -> MutexGuard<'_, T> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

/// `x-hub-signature-256` as a header line.
pub fn signature(body: &str, secret: &str) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    mac.update(body.as_bytes());
    format!("x-hub-signature-256: sha256={}\r\n", hex::encode(mac.finalize().into_bytes()))
}

/// The body of a webhook with one message. `body` has what stands under its type.
pub fn webhook(phone: &str, person: &str, id: &str, kind: &str, body: Value) -> String {
    json!({"object": "whatsapp_business_account", "entry": [{"id": "1", "changes": [{"field": "messages", "value": {
        "messaging_product": "whatsapp",
        "metadata": {"display_phone_number": "15550000000", "phone_number_id": phone},
        "contacts": [{"profile": {"name": format!("Person {person}")}, "wa_id": person}],
        "messages": [{"from": person, "id": id, "timestamp": "1700000000", "type": kind, kind: body}]
    }}]}]})
    .to_string()
}

impl Graph {
    pub async fn start() -> Self {
        let state: Arc<Mutex<State>> = Arc::default();
        let shared = Arc::clone(&state);
        let service = Service::start(move |asked, stream| serve(Arc::clone(&shared), asked, stream)).await;
        Self { service, state, bodies: Mutex::default(), _bringing: Mutex::default() }
    }

    /// The address of the API with its version.
    pub fn api(&self) -> String {
        format!("{}/v25.0", self.service.address)
    }

    /// Brings webhooks to the daemon of this home, whichever runs.
    pub fn brings_to(&self, home: &Home) {
        let (sender, mut bodies) = unbounded_channel::<String>();
        *lock(&self.bodies) = Some(sender);
        let socket = home.path().join("admin.sock");
        lock(&self._bringing).spawn(async move {
            let mut address = String::new();
            while let Some(body) = bodies.recv().await {
                let headers = signature(&body, SECRET);
                while try_post(&address, "/whatsapp", &headers, &body).await != Some(200) {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                    address = daemon(&socket).await.unwrap_or_default();
                }
            }
        });
    }

    fn next_id(&self) -> String {
        let mut state = lock(&self.state);
        state.messages += 1;
        format!("wamid.{}", state.messages)
    }

    /// Something of a person to one of our numbers; its id.
    pub fn event(&self, phone: &str, person: &str, kind: &str, body: Value) -> String {
        let id = self.next_id();
        let sender = lock(&self.bodies).clone().unwrap();
        sender.send(webhook(phone, person, &id, kind, body)).unwrap();
        id
    }

    /// A message of a person to the first number.
    pub fn says(&self, person: &str, text: &str) -> String {
        self.event(PHONE, person, "text", json!({"body": text}))
    }

    /// A person presses a button.
    pub fn presses(&self, person: &str, data: &str) {
        let reply = json!({"type": "button_reply", "button_reply": {"id": data, "title": "Allow"}});
        self.event(PHONE, person, "interactive", reply);
    }

    /// The bytes of a file that somebody sent.
    pub fn file(&self, id: &str, bytes: Vec<u8>) {
        lock(&self.state).files.insert(id.into(), bytes);
    }

    /// A call of this method fails so, after some that go well.
    pub fn fails(&self, method: &str, well: usize, status: u16, code: u32) {
        lock(&self.state).failing.push_back((method.into(), well, status, code));
    }

    /// The token is not valid any more, or is again.
    pub fn refuses(&self, refuses: bool) {
        lock(&self.state).refuses = refuses;
    }

    /// All calls of a method.
    pub fn called(&self, method: &str) -> Vec<Call> {
        lock(&self.state).calls.iter().filter(|call| call.method == method).cloned().collect()
    }

    /// Waits for a message that went well and is as wanted.
    pub async fn sees(&self, what: &str, wanted: impl Fn(&Value) -> bool) -> Call {
        until(what, async || {
            [self.called("messages"), self.called("read")]
                .concat()
                .into_iter()
                .find(|call| call.status == 200 && wanted(&call.body))
        })
        .await
    }

    /// Waits until a person is shown this.
    pub async fn shows(&self, person: &str, text: &str) -> Call {
        self.sees(&format!("{text:?} for {person}, among {:#?}", self.texts(person)), |body| {
            body["to"] == person && body["text"]["body"].as_str().is_some_and(|said| said.contains(text))
        })
        .await
    }

    /// The texts that a person was sent.
    pub fn texts(&self, person: &str) -> Vec<String> {
        let calls = self.called("messages").into_iter();
        calls
            .filter(|call| call.status == 200 && call.body["to"] == person)
            .filter_map(|call| call.body["text"]["body"].as_str().map(str::to_string))
            .collect()
    }
}

/// The address of the daemon that listens at this socket.
pub async fn daemon(socket: &Path) -> Option<String> {
    let link = Link::daemon(socket).await.ok()?;
    let answers = link.all(Request::Status).await.ok()?;
    answers.into_iter().find_map(|answer| match answer {
        Response::Status(status) => status.address,
        _ => None,
    })
}

async fn serve(state: Arc<Mutex<State>>, asked: Asked, stream: TcpStream) -> std::io::Result<()> {
    let error = |code: u32| json!({"error": {"message": format!("(#{code}) it fails"), "type": "OAuthException", "code": code}});
    let mut parts = asked.path.trim_start_matches("/v25.0/").rsplit('/');
    let mut method = parts.next().unwrap_or_default().to_string();
    let phone = parts.next().unwrap_or_default().to_string();
    let body = serde_json::from_slice(&asked.body)
        .unwrap_or_else(|_| Value::String(String::from_utf8_lossy(&asked.body).into_owned()));
    if body["status"].is_string() {
        method = "read".into();
    }
    if lock(&state).refuses || asked.header("authorization") != format!("Bearer {TOKEN}") {
        return answer(stream, 401, JSON, error(190).to_string().as_bytes()).await;
    }
    if let Some(bytes) = asked.path.strip_prefix("/files/").and_then(|id| lock(&state).files.get(id).cloned()) {
        return answer(stream, 200, "application/octet-stream", &bytes).await;
    }
    let (status, said) = match failure(&state, &method) {
        Some((status, code)) => (status, error(code)),
        None => (200, result(&state, &method, asked.header("host"))),
    };
    lock(&state).calls.push(Call { method, phone, body, status });
    answer(stream, status, JSON, said.to_string().as_bytes()).await
}

fn failure(state: &Mutex<State>, method: &str) -> Option<(u16, u32)> {
    let mut state = lock(state);
    let at = state.failing.iter().position(|(failing, ..)| failing == method)?;
    let (_, well, ..) = state.failing.get_mut(at)?;
    if *well > 0 {
        *well -= 1;
        return None;
    }
    state.failing.remove(at).map(|(_, _, status, code)| (status, code))
}

fn result(state: &Mutex<State>, method: &str, host: &str) -> Value {
    match method {
        "read" => json!({"success": true}),
        "messages" => {
            let mut state = lock(state);
            state.messages += 1;
            json!({"messaging_product": "whatsapp", "messages": [{"id": format!("wamid.{}", state.messages)}]})
        }
        "media" => json!({"id": "uploaded"}),
        file => {
            json!({"id": file, "url": format!("http://{host}/files/{file}"), "mime_type": "image/png", "file_size": 9})
        }
    }
}
