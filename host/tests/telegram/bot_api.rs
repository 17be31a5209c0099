//! A Bot API server, built from the vendor's documentation as far as the channel uses it: for pressed buttons, files that
//! people send and errors, which the other counterpart lacks.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::sync::Notify;

use super::daemon::until;
use super::messenger::service::{Asked, Service, answer, answer_with};

/// What @BotFather would have given.
pub const TOKEN: &str = "424242:AAE-telegram_test_token";
const JSON: &str = "application/json";

/// A call of a method.
#[derive(Clone, Debug)]
pub struct Call {
    pub method: String,
    /// Of an upload, the text of the form.
    pub body: Value,
    /// What was answered.
    pub answer: Value,
}

/// What a poll may come to.
#[derive(Clone, Copy, Debug)]
pub enum Broken {
    /// The connection ends before there is an answer.
    Closed,
    /// It ends in the middle of one.
    Cut,
    /// No answer of the Bot API.
    Garbage,
    /// A status of something in between, with a header.
    Status(u16, &'static str),
}

#[derive(Default)]
struct State {
    updates: Vec<Value>,
    update: i64,
    calls: Vec<Call>,
    messages: HashMap<String, i64>,
    /// Methods, how many calls go well before, and the answer.
    failing: VecDeque<(String, usize, u16, Value)>,
    files: HashMap<String, Vec<u8>>,
    /// What the next polls come to, instead of an answer.
    broken: VecDeque<Broken>,
    /// Replaces the number of the poll, so that an earlier one ends.
    poll: u64,
    refuses: bool,
}

/// The server.
pub struct BotApi {
    service: Service,
    state: Arc<(Mutex<State>, Notify)>,
}

fn lock(state: &(Mutex<State>, Notify)) -> MutexGuard<'_, State> {
    state.0.lock().unwrap_or_else(PoisonError::into_inner)
}

impl BotApi {
    pub async fn start() -> Self {
        let state: Arc<(Mutex<State>, Notify)> = Arc::default();
        let shared = Arc::clone(&state);
        let service = Service::start(move |asked, stream| serve(Arc::clone(&shared), asked, stream)).await;
        Self { service, state }
    }

    pub fn address(&self) -> &str {
        &self.service.address
    }

    /// An update, with the next id.
    pub fn update(&self, kind: &str, value: Value) {
        let mut state = lock(&self.state);
        state.update += 1;
        let id = state.update;
        state.updates.push(json!({"update_id": id, kind: value}));
        drop(state);
        self.state.1.notify_waiters();
    }

    /// A message of a person; in a group if the chat is below zero. Its id.
    pub fn says(&self, person: i64, chat: i64, text: &str, more: Value) -> i64 {
        let id = self.next_id(chat);
        let kind = if chat < 0 { "supergroup" } else { "private" };
        let mut message = json!({
            "message_id": id, "date": 1_700_000_000, "chat": {"id": chat, "type": kind}, "text": text,
            "from": {"id": person, "is_bot": false, "first_name": format!("Person {person}")}
        });
        if let (Some(all), Value::Object(more)) = (message.as_object_mut(), more) {
            all.extend(more);
        }
        self.update("message", message);
        id
    }

    /// A person presses a button of a message.
    pub fn presses(&self, person: i64, chat: i64, data: &str) {
        let from = json!({"id": person, "is_bot": false, "first_name": format!("Person {person}")});
        let query = json!({
            "id": format!("query-{person}"), "from": from, "data": data,
            "message": {"message_id": 1, "chat": {"id": chat, "type": "supergroup"}}
        });
        self.update("callback_query", query);
    }

    fn next_id(&self, chat: i64) -> i64 {
        let mut state = lock(&self.state);
        let id = state.messages.entry(chat.to_string()).or_default();
        *id += 1;
        *id
    }

    /// The bytes of a file that somebody sent.
    pub fn file(&self, id: &str, bytes: Vec<u8>) {
        lock(&self.state).files.insert(id.into(), bytes);
    }

    /// The next call of this method fails so.
    pub fn fails(&self, method: &str, code: u16, words: &str, parameters: Value) {
        self.fails_after(method, 0, code, words, parameters);
    }

    /// A call of this method fails so, after some that go well.
    pub fn fails_after(&self, method: &str, well: usize, code: u16, words: &str, parameters: Value) {
        let body = json!({"ok": false, "error_code": code, "description": words, "parameters": parameters});
        lock(&self.state).failing.push_back((method.into(), well, code, body));
    }

    /// The token is not valid any more, or is again. A poll that waits ends.
    pub fn refuses(&self, refuses: bool) {
        let mut state = lock(&self.state);
        state.refuses = refuses;
        state.poll += 1;
        drop(state);
        self.state.1.notify_waiters();
    }

    /// Another program polls: whoever polls now is told.
    pub fn second_program(&self) {
        self.fails("getUpdates", 409, "Conflict: terminated by other getUpdates request", Value::Null);
        lock(&self.state).poll += 1;
        self.state.1.notify_waiters();
    }

    /// The next polls come to this.
    pub fn breaks(&self, all: &[Broken]) {
        let mut state = lock(&self.state);
        state.broken.extend(all);
        state.poll += 1;
        drop(state);
        self.state.1.notify_waiters();
    }

    /// How many of these are left.
    pub fn to_break(&self) -> usize {
        lock(&self.state).broken.len()
    }

    /// All calls of a method.
    pub fn called(&self, method: &str) -> Vec<Call> {
        lock(&self.state).calls.iter().filter(|call| call.method == method).cloned().collect()
    }

    /// Waits for a call of this method that is as wanted.
    pub async fn sees(&self, method: &str, wanted: impl Fn(&Value) -> bool) -> Call {
        until(&format!("a call of {method} as wanted"), async || {
            self.called(method).into_iter().find(|call| wanted(&call.body) && call.answer["ok"] == json!(true))
        })
        .await
    }

    /// Waits for a message, or an edit of one, that shows this.
    pub async fn shows(&self, chat: i64, text: &str) -> Call {
        until(&format!("{text:?} in chat {chat}, among {:#?}", self.texts(chat)), async || {
            let calls = [self.called("sendMessage"), self.called("editMessageText")].concat();
            calls.into_iter().find(|call| {
                let here = call.body["chat_id"] == json!(chat) && call.answer["ok"] == json!(true);
                here && call.body["text"].as_str().is_some_and(|said| said.contains(text))
            })
        })
        .await
    }

    /// What a chat shows in the end: its messages, each as it was last edited.
    pub fn texts(&self, chat: i64) -> Vec<String> {
        let state = lock(&self.state);
        let mut shown: Vec<(i64, String)> = Vec::new();
        let here = |call: &&Call| call.body["chat_id"] == json!(chat) && call.answer["ok"] == json!(true);
        for call in state.calls.iter().filter(here) {
            let text = call.body["text"].as_str().unwrap_or_default().to_string();
            match call.method.as_str() {
                "sendMessage" => shown.push((call.answer["result"]["message_id"].as_i64().unwrap_or_default(), text)),
                "editMessageText" => {
                    let id = call.body["message_id"].as_i64();
                    shown
                        .iter_mut()
                        .filter(|(shown, _)| Some(*shown) == id)
                        .for_each(|(_, said)| said.clone_from(&text));
                }
                _ => (),
            }
        }
        shown.into_iter().map(|(_, text)| text).collect()
    }
}

async fn serve(state: Arc<(Mutex<State>, Notify)>, asked: Asked, stream: TcpStream) -> std::io::Result<()> {
    let refusal = |code: u16, words: &str| json!({"ok": false, "error_code": code, "description": words});
    if let Some(path) = asked.path.strip_prefix(&format!("/file/bot{TOKEN}/files/")) {
        let file = lock(&state).files.get(path).cloned();
        return match file {
            Some(bytes) => answer(stream, 200, "application/octet-stream", &bytes).await,
            None => answer(stream, 404, JSON, refusal(404, "Not Found").to_string().as_bytes()).await,
        };
    }
    let Some(method) = asked.path.strip_prefix(&format!("/bot{TOKEN}/")).map(str::to_string) else {
        return answer(stream, 404, JSON, refusal(404, "Not Found").to_string().as_bytes()).await;
    };
    let body = match serde_json::from_slice(&asked.body) {
        Ok(body) => body,
        Err(_) => Value::String(String::from_utf8_lossy(&asked.body).into_owned()),
    };
    let broken = if method == "getUpdates" { lock(&state).broken.pop_front() } else { None };
    if let Some(broken) = broken {
        return break_off(stream, broken).await;
    }
    let done = match failure(&state, &method) {
        Some(failure) => failure,
        None if method == "getUpdates" => poll(&state, &body).await,
        None => (200, json!({"ok": true, "result": result(&state, &method, &body)})),
    };
    if method != "getUpdates" {
        lock(&state).calls.push(Call { method, body, answer: done.1.clone() });
    }
    answer(stream, done.0, JSON, done.1.to_string().as_bytes()).await
}

async fn break_off(mut stream: TcpStream, broken: Broken) -> std::io::Result<()> {
    match broken {
        Broken::Closed => Ok(()),
        Broken::Cut => {
            let head = "HTTP/1.1 200 X\r\ncontent-type: application/json\r\ncontent-length: 1000\r\n\r\n";
            stream.write_all(format!("{head}{{\"ok\": true, \"result\": [").as_bytes()).await
        }
        Broken::Garbage => answer(stream, 200, "text/html", b"<html>It works!\0\xff</html>").await,
        Broken::Status(status, header) => answer_with(stream, status, header, b"<html>no</html>").await,
    }
}

fn failure(state: &(Mutex<State>, Notify), method: &str) -> Option<(u16, Value)> {
    let mut state = lock(state);
    if state.refuses {
        return Some((401, json!({"ok": false, "error_code": 401, "description": "Unauthorized"})));
    }
    let at = state.failing.iter().position(|(failing, ..)| failing == method)?;
    let (_, well, ..) = state.failing.get_mut(at)?;
    if *well > 0 {
        *well -= 1;
        return None;
    }
    state.failing.remove(at).map(|(_, _, code, answer)| (code, answer))
}

fn result(state: &(Mutex<State>, Notify), method: &str, body: &Value) -> Value {
    match method {
        "getMe" => json!({"id": 424_242, "is_bot": true, "first_name": "Pista", "username": "pista_bot"}),
        "getFile" => {
            json!({"file_id": body["file_id"], "file_path": format!("files/{}", body["file_id"].as_str().unwrap())})
        }
        "sendMessage" | "sendPhoto" | "sendDocument" => {
            let mut state = lock(state);
            let id = state.messages.entry(body["chat_id"].to_string()).or_default();
            *id += 1;
            json!({"message_id": id})
        }
        _ => json!(true),
    }
}

async fn poll(state: &(Mutex<State>, Notify), body: &Value) -> (u16, Value) {
    let offset = body["offset"].as_i64().unwrap_or(0);
    let end = tokio::time::Instant::now() + Duration::from_secs(body["timeout"].as_u64().unwrap_or(0));
    let number = {
        let mut state = lock(state);
        state.poll += 1;
        state.updates.retain(|update| update["update_id"].as_i64() >= Some(offset));
        state.poll
    };
    loop {
        let woken = state.1.notified();
        let (updates, current) = {
            let state = lock(state);
            (state.updates.clone(), state.poll == number)
        };
        if !current {
            return failure(state, "getUpdates")
                .unwrap_or((409, json!({"ok": false, "error_code": 409, "description": "Conflict"})));
        }
        if !updates.is_empty() || tokio::time::timeout_at(end, woken).await.is_err() {
            return (200, json!({"ok": true, "result": updates}));
        }
    }
}
