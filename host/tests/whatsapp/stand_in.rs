//! A bridge that the test plays: the process only passes lines on, so what it knows survives a kill of the host, as the
//! folder of the real one does.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::task::JoinSet;

use super::daemon::until;

#[derive(Default)]
struct State {
    /// What goes to the host next.
    lines: VecDeque<String>,
    /// Messages that the host has not acknowledged.
    waiting: Vec<Value>,
    number: usize,
    /// Chat, key and place of each message, with what it shows.
    shown: Vec<(String, String, Value)>,
    orders: Vec<Value>,
    failing: usize,
    starts: usize,
    dies: bool,
}

/// The bridge.
pub struct StandIn {
    port: u16,
    state: Arc<(Mutex<State>, Notify)>,
    _serving: JoinSet<()>,
}

fn lock(state: &(Mutex<State>, Notify)) -> MutexGuard<'_, State> {
    state.0.lock().unwrap_or_else(PoisonError::into_inner)
}

impl StandIn {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let state: Arc<(Mutex<State>, Notify)> = Arc::default();
        let shared = Arc::clone(&state);
        let mut serving = JoinSet::new();
        serving.spawn(async move {
            // One process at a time, as the host has it.
            while let Ok((stream, _)) = listener.accept().await {
                let _ = serve(&shared, stream).await;
            }
        });
        Self { port, state, _serving: serving }
    }

    /// What starts it, as a setting.
    pub fn command(&self) -> String {
        let script = format!("exec 3<>/dev/tcp/127.0.0.1/{}; {{ cat <&3; kill $$; }} & cat >&3; kill 0", self.port);
        json!(["bash", "-c", script]).to_string()
    }

    /// A line for the host.
    pub fn writes(&self, line: impl Into<String>) {
        lock(&self.state).lines.push_back(line.into());
        self.state.1.notify_waiters();
    }

    /// A person says something in a chat.
    pub fn says(&self, person: &str, chat: &str, text: &str, more: Value) {
        let mut state = lock(&self.state);
        state.number += 1;
        let number = state.number;
        let mut line = json!({
            "type": "message", "ack": format!("{number}"), "id": format!("{chat}/{number}"), "chat": chat,
            "group": chat.ends_with("@g.us"), "sender": format!("{person}@s.whatsapp.net"), "name": format!("Person {person}"),
            "text": text, "at": 1_700_000_000_000_u64, "me": ["15550000000@s.whatsapp.net"], "mentions": [], "answers": "",
            "handle": "{}"
        });
        line.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        state.lines.push_back(line.to_string());
        state.waiting.push(line);
        drop(state);
        self.state.1.notify_waiters();
    }

    /// The next orders to show something fail.
    pub fn fails(&self, orders: usize) {
        lock(&self.state).failing = orders;
    }

    /// The process ends.
    pub fn dies(&self) {
        lock(&self.state).dies = true;
        self.state.1.notify_waiters();
    }

    /// How often it was started.
    pub fn starts(&self) -> usize {
        lock(&self.state).starts
    }

    /// All orders of a type.
    pub fn orders(&self, kind: &str) -> Vec<Value> {
        lock(&self.state).orders.iter().filter(|order| order["type"] == kind).cloned().collect()
    }

    /// What a chat shows.
    pub fn parts(&self, chat: &str) -> Vec<Value> {
        lock(&self.state).shown.iter().filter(|(here, ..)| here == chat).map(|(.., part)| part.clone()).collect()
    }

    /// Waits until a chat shows this.
    pub async fn shows(&self, chat: &str, text: &str) -> String {
        until(&format!("{text:?} in {chat}, among {:#?}", self.parts(chat)), async || {
            let said = |part: &Value| part["text"].as_str().map(str::to_string);
            self.parts(chat).iter().filter_map(said).find(|said| said.contains(text))
        })
        .await
    }
}

async fn serve(state: &(Mutex<State>, Notify), stream: TcpStream) -> std::io::Result<()> {
    let (input, mut output) = stream.into_split();
    {
        let mut state = lock(state);
        state.starts += 1;
        state.dies = false;
        // As the real one does: what it was not told about is said again.
        let again: Vec<String> = state.waiting.iter().map(Value::to_string).collect();
        state.lines.retain(|line| !again.contains(line));
        again.into_iter().rev().for_each(|line| state.lines.push_front(line));
    }
    let mut input = BufReader::new(input).lines();
    loop {
        let woken = state.1.notified();
        let (line, dies) = {
            let mut state = lock(state);
            (state.lines.pop_front(), state.dies)
        };
        if dies {
            return Ok(());
        }
        if let Some(line) = line {
            output.write_all(format!("{line}\n").as_bytes()).await?;
            continue;
        }
        tokio::select! {
            () = woken => (),
            order = input.next_line() => match order? {
                Some(order) => obey(state, &serde_json::from_str(&order).unwrap()),
                None => return Ok(()),
            },
        }
    }
}

fn obey(state: &(Mutex<State>, Notify), order: &Value) {
    let mut state = lock(state);
    state.orders.push(order.clone());
    let of = |key: &str| order[key].as_str().unwrap_or_default().to_string();
    if order["type"] == "ack" {
        state.waiting.retain(|line| line["ack"] != order["ack"]);
    }
    if order["type"] != "show" {
        return;
    }
    if state.failing > 0 {
        state.failing -= 1;
        state.lines.push_back(json!({"type": "failed", "id": of("id"), "why": "there is no connection"}).to_string());
        return;
    }
    for (place, part) in order["parts"].as_array().unwrap().iter().enumerate() {
        let key = format!("{}/{place}", of("key"));
        match state.shown.iter_mut().find(|(_, known, _)| *known == key) {
            Some((.., shown)) => *shown = part.clone(),
            None => state.shown.push((of("chat"), key, part.clone())),
        }
    }
    if !of("id").is_empty() {
        state.lines.push_back(json!({"type": "sent", "id": of("id")}).to_string());
    }
}
