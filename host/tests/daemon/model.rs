//! A model's service in the test's own process, so that it outlives every daemon: it speaks Chat Completions, answers as
//! the test tells it, and keeps a journal of what it was asked, which no daemon can lose or mend.

use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use futures_util::StreamExt as _;
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::{Request, Response};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;

/// The key that the service wants to be shown.
pub const KEY: &str = "sk-daemon-5Ht8wB2nQx6Z";

/// One request.
#[derive(Debug, Clone)]
pub struct Asked {
    /// The header `accept`.
    pub accept: String,
    /// The system prompt.
    pub system: String,
    /// The messages, without the system prompt.
    pub messages: Vec<Value>,
    /// The names of the tools on offer.
    pub tools: Vec<String>,
}

impl Asked {
    /// The last message of a person.
    pub fn question(&self) -> &str {
        let last = self.messages.iter().rev().find(|message| message["role"] == "user");
        last.and_then(|message| message["content"].as_str()).unwrap_or_default()
    }

    /// What the tools gave back since then.
    pub fn outcomes(&self) -> impl Iterator<Item = &str> {
        let since = self.messages.iter().rev().take_while(|message| message["role"] != "user");
        since.filter(|message| message["role"] == "tool").filter_map(|message| message["content"].as_str())
    }

    fn new(accept: String, mut body: Value) -> Self {
        let list = |value: Value| if let Value::Array(items) = value { items } else { Vec::new() };
        let mut messages = list(body["messages"].take());
        let system = messages.iter().find(|message| message["role"] == "system");
        let system = system.and_then(|message| message["content"].as_str()).unwrap_or_default().to_string();
        messages.retain(|message| message["role"] != "system");
        let tools = list(body["tools"].take());
        let name = |tool: &Value| tool.pointer("/function/name").and_then(Value::as_str).map(str::to_string);
        Self { accept, system, messages, tools: tools.iter().filter_map(name).collect() }
    }
}

/// What the model says to a request.
pub enum Answer {
    /// Words, which end the turn.
    Text(String),
    /// Calls: a tool's name as it is on offer, and the arguments.
    Calls(Vec<(&'static str, Value)>),
}

/// The service.
pub struct Model {
    /// `http://127.0.0.1:PORT`
    pub address: String,
    journal: Arc<Mutex<Vec<Asked>>>,
    listed: watch::Sender<bool>,
    _listening: AbortOnDropHandle<()>,
}

/// Answers the request of this number in the journal.
type Script = fn(usize, &Asked) -> Answer;

impl Model {
    /// Listens until it is dropped.
    pub async fn start(script: Script) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let journal: Arc<Mutex<Vec<Asked>>> = Arc::default();
        let noted = Arc::clone(&journal);
        let (listed, list) = watch::channel(true);
        let listening = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (journal, list) = (Arc::clone(&noted), list.clone());
                let service = hyper::service::service_fn(move |request| {
                    answer(script, Arc::clone(&journal), list.clone(), request)
                });
                let io = hyper_util::rt::TokioIo::new(stream);
                let connection = hyper::server::conn::http1::Builder::new().serve_connection(io, service);
                tokio::spawn(async move {
                    // Whoever was killed has not said good-bye.
                    let _ = connection.await;
                });
            }
        });
        Self { address, journal, listed, _listening: AbortOnDropHandle::new(listening) }
    }

    /// Whether who asks for the list of models gets it, or waits.
    pub fn lists(&self, now: bool) {
        self.listed.send_replace(now);
    }

    /// What it was asked so far.
    pub fn journal(&self) -> Vec<Asked> {
        self.journal.lock().unwrap().clone()
    }

    /// Lines for `config.toml`: the instance `fake` of the provider asks this service and is the model.
    pub fn config(&self) -> String {
        let address = &self.address;
        format!(
            "[agent]\nmodel = \"fake/model\"\n[providers.fake]\nplugin = \"provider-openai-chat\"\n\
             settings = {{ base-url = \"{address}/v1\", models = [\"model\"] }}\nsecrets = {{ api-key = \"{KEY}\" }}\n"
        )
    }
}

type Pieces = StreamBody<futures_util::stream::BoxStream<'static, Result<Frame<Bytes>, Infallible>>>;

async fn answer(
    script: Script,
    journal: Arc<Mutex<Vec<Asked>>>,
    mut list: watch::Receiver<bool>,
    request: Request<Incoming>,
) -> Result<Response<Pieces>, hyper::Error> {
    let header = |name| request.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    assert_eq!(header("authorization"), format!("Bearer {KEY}"));
    if request.method() == hyper::Method::GET {
        // An error is the end of the test.
        let _ = list.wait_for(|listed| *listed).await;
        let models = json!({"data": [{"id": "model"}]}).to_string();
        return Ok(respond("application/json", vec![models.into()]));
    }
    let accept = header("accept").to_string();
    let body = request.into_body().collect().await?.to_bytes();
    let asked = Asked::new(accept, serde_json::from_slice(&body).unwrap());
    let number = {
        let mut journal = journal.lock().unwrap();
        journal.push(asked.clone());
        journal.len() - 1
    };
    let mut pieces: Vec<Value> = match script(number, &asked) {
        // A few words at a time, as models do.
        Answer::Text(text) => {
            text.split_inclusive(' ').map(|word| json!({"choices": [{"delta": {"content": word}}]})).collect()
        }
        Answer::Calls(calls) => calls
            .iter()
            .enumerate()
            .map(|(index, (tool, arguments))| {
                let function = json!({"name": tool, "arguments": arguments.to_string()});
                let call = json!({
                    "index": index, "id": format!("call_{number}_{index}"), "type": "function", "function": function
                });
                json!({"choices": [{"delta": {"tool_calls": [call]}}]})
            })
            .collect(),
    };
    let called = pieces.iter().any(|piece| piece.pointer("/choices/0/delta/tool_calls").is_some());
    let finish = if called { "tool_calls" } else { "stop" };
    pieces.push(json!({"choices": [{"delta": {}, "finish_reason": finish}]}));
    pieces.push(json!({"choices": [], "usage": {"prompt_tokens": 7, "completion_tokens": 2}}));
    let lines = pieces.iter().map(Value::to_string).chain(["[DONE]".to_string()]);
    let lines: Vec<Bytes> = lines.map(|line| format!("data: {line}\n\n").into()).collect();
    Ok(respond("text/event-stream", lines))
}

/// Each line is a piece of its own on the way, too.
fn respond(kind: &str, lines: Vec<Bytes>) -> Response<Pieces> {
    let body = futures_util::stream::iter(lines).then(|line| async {
        tokio::task::yield_now().await;
        Ok(Frame::data(line))
    });
    Response::builder().header("content-type", kind).body(StreamBody::new(body.boxed())).unwrap()
}
