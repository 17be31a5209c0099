//! The model's service: Chat Completions, streamed, as a script of the test says. A step may wait for the test.

use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::sync::Notify;

use super::service::{Asked, Service};

/// What the model does.
#[derive(Clone)]
pub enum Step {
    /// Says this.
    Say(String),
    /// Waits until the test goes on.
    Wait(Arc<Notify>),
    /// Calls a tool with these arguments.
    Call(&'static str, Value),
}

/// What the model answers to a request.
pub type Script = dyn Fn(&Value) -> Vec<Step> + Send + Sync;

/// The service, with all that it was asked.
pub struct Model {
    service: Service,
    asked: Arc<Mutex<Vec<Value>>>,
}

impl Model {
    pub async fn start(script: impl Fn(&Value) -> Vec<Step> + Send + Sync + 'static) -> Self {
        let asked: Arc<Mutex<Vec<Value>>> = Arc::default();
        let (noted, script): (_, Arc<Script>) = (Arc::clone(&asked), Arc::new(script));
        let service = Service::start(move |request: Asked, stream| {
            let body = request.json();
            noted.lock().unwrap().push(body.clone());
            stream_steps(script(&body), stream)
        });
        Self { service: service.await, asked }
    }

    pub fn address(&self) -> &str {
        &self.service.address
    }

    pub fn asked(&self) -> Vec<Value> {
        self.asked.lock().unwrap().clone()
    }
}

async fn stream_steps(steps: Vec<Step>, mut stream: TcpStream) -> std::io::Result<()> {
    stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n").await?;
    let mut reason = "stop";
    for step in steps {
        let delta = match step {
            Step::Say(text) => json!({"content": text}),
            Step::Wait(gate) => {
                gate.notified().await;
                continue;
            }
            Step::Call(name, arguments) => {
                reason = "tool_calls";
                json!({"tool_calls": [{"index": 0, "id": "call-1", "type": "function",
                    "function": {"name": name, "arguments": arguments.to_string()}}]})
            }
        };
        event(&mut stream, &json!({"choices": [{"delta": delta}]})).await?;
    }
    event(&mut stream, &json!({"choices": [{"delta": {}, "finish_reason": reason}]})).await?;
    stream.write_all(b"data: [DONE]\n\n").await?;
    stream.shutdown().await
}

async fn event(stream: &mut TcpStream, event: &Value) -> std::io::Result<()> {
    stream.write_all(format!("data: {event}\n\n").as_bytes()).await
}

/// The text of a request's last message.
pub fn last(request: &Value) -> String {
    let message = request["messages"].as_array().and_then(|messages| messages.last()).cloned().unwrap_or_default();
    match &message["content"] {
        Value::String(text) => text.clone(),
        Value::Array(parts) => parts.iter().filter_map(|part| part["text"].as_str()).collect(),
        _ => String::new(),
    }
}

/// Whether a tool has just answered. A picture that it gave follows in a message of its own.
pub fn after_a_tool(request: &Value) -> bool {
    let messages = request["messages"].as_array().map(Vec::as_slice).unwrap_or_default();
    messages.iter().rev().take(2).any(|message| message["role"] == "tool")
}

/// Says one thing.
pub fn say(text: impl Into<String>) -> Vec<Step> {
    vec![Step::Say(text.into())]
}

/// Answers "answer to …", in one piece.
pub fn echo(request: &Value) -> Vec<Step> {
    say(format!("answer to {}", last(request)))
}

/// Longer than a message, with a code block about where it would be cut.
pub fn long_reply() -> String {
    let code: String = (0..60).map(|line| format!("let line_{line} = {line} < 3 && true;\n")).collect();
    format!("{}\n\n```rust\n{code}```\n\nThe **end**.", "A sentence of *some* length. ".repeat(130))
}

/// A long message of the model for "long", a picture for "draw", text that grows for "slowly", else an echo.
pub fn several(gate: &Arc<Notify>) -> impl Fn(&Value) -> Vec<Step> + Send + Sync + use<> {
    let gate = Arc::clone(gate);
    move |request| match last(request).as_str() {
        _ if after_a_tool(request) => say("It is **drawn**."),
        "draw" => vec![Step::Call("picture_draw", json!({}))],
        "long" => say(long_reply()),
        "silently" => vec![Step::Wait(Arc::clone(&gate)), Step::Say("Now I know.".into())],
        // The end of a draft is held back as long as it may be the beginning of a secret, so more is said than is looked for.
        "slowly" => {
            vec![
                Step::Say("The beginning of it, ".into()),
                Step::Wait(Arc::clone(&gate)),
                Step::Say("and the end.".into()),
            ]
        }
        _ => echo(request),
    }
}

/// Runs a command for "run it", else echoes.
pub fn runs(request: &Value) -> Vec<Step> {
    match last(request) {
        _ if after_a_tool(request) => say("It ran."),
        text if text.contains("run it") => {
            vec![Step::Call("system_run", json!({"command": "touch made-by-the-tool"}))]
        }
        _ => echo(request),
    }
}
