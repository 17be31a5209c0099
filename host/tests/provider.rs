//! What the stock provider and the host make of a service that misbehaves: a person is told what happened, a script gets
//! an exit code, and what was said stays in the session.

#![expect(clippy::panic, clippy::unwrap_used, reason = "what a test is made of fails as loudly as the test")]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

#[path = "staged/home.rs"]
mod home;
#[path = "staged/skip.rs"]
mod skip;

use home::{Home, KEY, stock};
use skip::skip;

const QUESTION: &str = "how are you?";

/// How one request is answered, on the bare connection: what these services do, no HTTP library lets a server do.
type Answer = fn(&mut TcpStream) -> std::io::Result<()>;

/// A service on this machine that answers its requests in turn, and later ones as the last.
struct Service {
    address: String,
    /// The header `authorization` of each request.
    asked: Arc<Mutex<Vec<String>>>,
}

impl Service {
    fn start(answers: &'static [Answer]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let asked: Arc<Mutex<Vec<String>>> = Arc::default();
        let noted = Arc::clone(&asked);
        // It waits for the next connection until the tests end.
        std::thread::spawn(move || {
            // One that is left without an answer stays open.
            let mut open = Vec::new();
            for mut stream in listener.incoming().map_while(Result::ok) {
                let Some(authorization) = read_request(&stream) else { continue };
                let number = {
                    let mut noted = noted.lock().unwrap();
                    noted.push(authorization);
                    noted.len()
                };
                // The daemon may have gone already.
                let _ = answers[number.min(answers.len()) - 1](&mut stream);
                open.push(stream);
            }
        });
        Self { address, asked }
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

/// Reads a whole request; what its header `authorization` says.
fn read_request(stream: &TcpStream) -> Option<String> {
    let mut reader = BufReader::new(stream);
    let (mut length, mut authorization) = (0, String::new());
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok().filter(|read| *read > 0)?;
        let Some((name, value)) = line.trim_end().split_once(": ") else {
            if line.trim_end().is_empty() {
                break;
            }
            continue;
        };
        match name.to_lowercase().as_str() {
            "content-length" => length = value.parse().ok()?,
            "authorization" => authorization = value.into(),
            _ => (),
        }
    }
    reader.read_exact(&mut vec![0; length]).ok()?;
    Some(authorization)
}

/// A whole answer, after which the connection is over.
fn answer(stream: &mut TcpStream, status: &str, headers: &str, body: &str) -> std::io::Result<()> {
    let length = body.len();
    write!(stream, "HTTP/1.1 {status}\r\n{headers}connection: close\r\ncontent-length: {length}\r\n\r\n{body}")?;
    stream.shutdown(Shutdown::Both)
}

fn well(stream: &mut TcpStream) -> std::io::Result<()> {
    let pieces = [
        json!({"choices": [{"delta": {"content": "Very "}}]}),
        json!({"choices": [{"delta": {"content": "well."}, "finish_reason": "stop"}]}),
        json!({"choices": [], "usage": {"prompt_tokens": 7, "completion_tokens": 2}}),
    ];
    let body: String = pieces.iter().map(|piece| format!("data: {piece}\n\n")).collect();
    answer(stream, "200 OK", "content-type: text/event-stream\r\n", &(body + "data: [DONE]\n\n"))
}

fn too_many_requests(stream: &mut TcpStream) -> std::io::Result<()> {
    let body = r#"{"error":{"message":"slow down","type":"rate_limit_error"}}"#;
    answer(stream, "429 Too Many Requests", "content-type: application/json\r\nretry-after: 1\r\n", body)
}

fn unauthorized(stream: &mut TcpStream) -> std::io::Result<()> {
    let body = r#"{"error":{"message":"Incorrect API key provided.","code":"invalid_api_key"}}"#;
    answer(stream, "401 Unauthorized", "content-type: application/json\r\n", body)
}

fn nothing(_: &mut TcpStream) -> std::io::Result<()> {
    Ok(())
}

fn cut(stream: &mut TcpStream) -> std::io::Result<()> {
    let piece = format!("data: {}\n\n", json!({"choices": [{"delta": {"content": "Very "}}]}));
    let length = piece.len();
    write!(stream, "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n")?;
    write!(stream, "{length:x}\r\n{piece}\r\n")?;
    stream.shutdown(Shutdown::Both)
}

/// One piece, and then nothing more.
fn stalled(stream: &mut TcpStream) -> std::io::Result<()> {
    let piece = format!("data: {}\n\n", json!({"choices": [{"delta": {"content": "Very "}}]}));
    let length = piece.len();
    write!(stream, "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n")?;
    write!(stream, "{length:x}\r\n{piece}\r\n")
}

/// What a portal or a misconfigured proxy answers.
fn page(stream: &mut TcpStream) -> std::io::Result<()> {
    answer(stream, "200 OK", "content-type: text/html\r\n", "<html><body>Please sign in to the network.</body></html>")
}

fn broken(stream: &mut TcpStream) -> std::io::Result<()> {
    answer(stream, "200 OK", "content-type: text/event-stream\r\n", "data: {\"choices\": [{\"del\n\n")
}

/// Asks a service with these answers.
struct Asked {
    code: Option<i32>,
    events: Vec<Value>,
    /// The last event.
    end: Value,
    /// How often the service was asked.
    times: usize,
    /// Who said what, as the session has it afterwards.
    kept: Vec<(String, String)>,
}

fn ask(test: &str, agent: &str, answers: &'static [Answer]) -> Option<Asked> {
    let stock = match stock() {
        Ok(stock) => stock,
        Err(reason) => {
            skip(&format!("provider::{test}"), &reason);
            return None;
        }
    };
    let service = Service::start(answers);
    let home = Home::new(&stock, &["provider-openai-chat"], &service.address, agent);
    let (code, mut events, error) = home.run(&["run", "-e", QUESTION, "--json"]);
    assert!(!error.contains(KEY), "{error}");
    let begin = events.remove(0);
    let end = events.pop().unwrap_or_else(|| panic!("nothing after {begin}: {error}"));
    let asked = service.asked();
    assert!(asked.iter().all(|authorization| *authorization == format!("Bearer {KEY}")), "{asked:?}");
    let (shown, lines, error) = home.run(&["session", "show", begin["session"].as_str().unwrap(), "--json"]);
    assert_eq!(shown, Some(0), "{error}");
    let kept = lines.iter().filter_map(|line| {
        let message = line.pointer("/message/message")?;
        let texts = message["parts"].as_array().unwrap().iter().filter_map(|part| part.pointer("/body/text"));
        let texts: Vec<&str> = texts.filter_map(Value::as_str).collect();
        Some((message["role"].as_str().unwrap().to_string(), texts.join("\n")))
    });
    let kept = kept.collect();
    Some(Asked { code, events, end, times: asked.len(), kept })
}

/// A failed turn's last event.
fn failed(notice: &str) -> Value {
    json!({
        "event": "end", "ok": false, "cancelled": false, "text": "", "model": "fake/gpt-4o-mini",
        "usage": {"input": 0, "output": 0, "cache_read": 0, "cache_write": 0}, "notice": notice
    })
}

fn said(role: &str, text: &str) -> (String, String) {
    (role.into(), text.into())
}

#[test]
fn after_the_time_that_a_service_names_it_is_asked_again() {
    let test = "after_the_time_that_a_service_names_it_is_asked_again";
    let Some(asked) = ask(test, "", &[too_many_requests, well]) else { return };
    assert_eq!((asked.code, asked.times), (Some(0), 2));
    let retrying = asked.events.iter().find(|event| event["event"] == "retrying");
    assert_eq!(
        retrying,
        Some(&json!({
            "event": "retrying", "reason": "fake/gpt-4o-mini: the model's service asks to wait",
            "model": "fake/gpt-4o-mini", "wait": 1000
        }))
    );
    assert_eq!(
        asked.end,
        json!({
            "event": "end", "ok": true, "cancelled": false, "text": "Very well.", "model": "fake/gpt-4o-mini",
            "usage": {"input": 7, "output": 2, "cache_read": 0, "cache_write": 0}, "notice": null
        })
    );
    assert_eq!(asked.kept, [said("user", QUESTION), said("assistant", "Very well.")]);
}

#[test]
fn a_service_that_never_answers_is_given_up_with_the_turns_time() {
    let test = "a_service_that_never_answers_is_given_up_with_the_turns_time";
    let Some(asked) = ask(test, "turn_timeout = \"3s\"", &[nothing]) else { return };
    assert_eq!((asked.code, asked.times), (Some(1), 1));
    assert_eq!(asked.end, failed("Stopped: the turn's time was over. Ask to go on."));
    assert_eq!(asked.kept, [said("user", QUESTION), said("assistant", "")]);
}

#[test]
fn an_answer_that_breaks_off_is_asked_for_once_more_and_then_reported() {
    let test = "an_answer_that_breaks_off_is_asked_for_once_more_and_then_reported";
    let Some(asked) = ask(test, "", &[cut]) else { return };
    assert_eq!((asked.code, asked.times), (Some(1), 2));
    assert_eq!(
        asked.end,
        failed(
            "fake/gpt-4o-mini gave no answer: the answer was cut off while it came (the connection to the model's \
         service failed: unexpected EOF during chunk size line)"
        )
    );
    assert_eq!(asked.kept, [said("user", QUESTION)]);
}

#[test]
fn after_an_answer_that_broke_off_the_next_one_counts() {
    let test = "after_an_answer_that_broke_off_the_next_one_counts";
    let Some(asked) = ask(test, "", &[cut, well]) else { return };
    assert_eq!((asked.code, asked.times), (Some(0), 2));
    assert_eq!(asked.kept, [said("user", QUESTION), said("assistant", "Very well.")]);
}

#[test]
fn broken_json_is_asked_for_once_more_and_then_reported() {
    let test = "broken_json_is_asked_for_once_more_and_then_reported";
    let Some(asked) = ask(test, "", &[broken]) else { return };
    assert_eq!((asked.code, asked.times), (Some(1), 2));
    assert_eq!(
        asked.end,
        failed(
            "fake/gpt-4o-mini gave no answer: the service sent broken JSON: EOF while parsing a string at line 1 column 18"
        )
    );
    assert_eq!(asked.kept, [said("user", QUESTION)]);
}

#[test]
fn a_wrong_key_is_not_tried_again() {
    let test = "a_wrong_key_is_not_tried_again";
    let Some(asked) = ask(test, "", &[unauthorized]) else { return };
    assert_eq!((asked.code, asked.times), (Some(1), 1));
    assert_eq!(
        asked.end,
        failed("fake/gpt-4o-mini needs a sign-in (look at its secrets in config.toml): Incorrect API key provided.")
    );
    assert_eq!(asked.kept, [said("user", QUESTION)]);
}

#[test]
fn a_service_that_only_ever_asks_to_wait_is_asked_four_times_and_then_reported() {
    let test = "a_service_that_only_ever_asks_to_wait_is_asked_four_times_and_then_reported";
    let Some(asked) = ask(test, "", &[too_many_requests]) else { return };
    assert_eq!((asked.code, asked.times), (Some(1), 4));
    assert_eq!(asked.end, failed("fake/gpt-4o-mini gave no answer: the model's service asks to wait"));
    assert_eq!(asked.kept, [said("user", QUESTION)]);
}

#[test]
fn a_stream_that_stops_is_given_up_with_the_turns_time() {
    let test = "a_stream_that_stops_is_given_up_with_the_turns_time";
    let Some(asked) = ask(test, "turn_timeout = \"3s\"", &[stalled]) else { return };
    assert_eq!((asked.code, asked.times), (Some(1), 1));
    // What came until then is the person's.
    let mut end = failed("Stopped: the turn's time was over. Ask to go on.");
    end["text"] = json!("Very");
    assert_eq!(asked.end, end);
    assert_eq!(asked.kept, [said("user", QUESTION), said("assistant", "Very ")]);
}

#[test]
fn a_page_in_place_of_an_answer_is_reported() {
    let test = "a_page_in_place_of_an_answer_is_reported";
    let Some(asked) = ask(test, "", &[page]) else { return };
    assert_eq!((asked.code, asked.times), (Some(1), 4));
    assert_eq!(
        asked.end,
        failed(
            "fake/gpt-4o-mini gave no answer: the connection to the model's service failed: the answer broke off before \
             its end"
        )
    );
    assert_eq!(asked.kept, [said("user", QUESTION)]);
}
