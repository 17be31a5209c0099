use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::*;

/// Answers `stop` with the sessions it is told, follows a turn for ever, refuses to delete.
struct Fake {
    left: std::sync::Mutex<Option<oneshot::Sender<Gone>>>,
}

#[async_trait]
impl Handler for Fake {
    async fn handle(&self, request: Request, out: ResponseSink) -> Result<(), Refusal> {
        match request {
            Request::Stop { session } => {
                let _gone = out.send(Response::Stopped { sessions: session.into_iter().collect() }).await;
                Ok(())
            }
            Request::Say { text, .. } => loop {
                if let Err(gone) = out.send(Response::Turn(TurnEvent::Text { text: text.clone() })).await {
                    if let Some(left) = self.left.lock().unwrap().take() {
                        left.send(gone).unwrap();
                    }
                    return Ok(());
                }
            },
            _ => Err(Refusal::not_found("there is no such session")),
        }
    }
}

struct Running {
    _folder: tempfile::TempDir,
    path: PathBuf,
    shutdown: CancellationToken,
    task: JoinHandle<()>,
    left: oneshot::Receiver<Gone>,
}

fn start() -> Running {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("admin.sock");
    let server = Server::bind(&path).unwrap();
    let (sender, left) = oneshot::channel();
    let handler = Arc::new(Fake { left: std::sync::Mutex::new(Some(sender)) });
    let shutdown = CancellationToken::new();
    let task = tokio::spawn(server.serve(handler, shutdown.clone()));
    Running { _folder: folder, path, shutdown, task, left }
}

fn stop(session: &str) -> Request {
    Request::Stop { session: Some(session.to_owned()) }
}

fn say(text: &str) -> Request {
    Request::Say { text: text.to_owned(), session: None, model: None, yes: false }
}

/// Sends bytes as they are and reads to the end.
async fn raw(path: &Path, bytes: &[u8]) -> String {
    let mut stream = UnixStream::connect(path).await.unwrap();
    // The server may refuse before it has read everything.
    let _refused = stream.write_all(bytes).await;
    let mut answer = Vec::new();
    let _reset = stream.read_to_end(&mut answer).await;
    String::from_utf8(answer).unwrap()
}

#[tokio::test]
async fn a_request_is_answered_over_the_socket_and_in_the_process_alike() {
    let running = start();
    let (sender, _left) = oneshot::channel();
    let here = Link::Here(Arc::new(Fake { left: std::sync::Mutex::new(Some(sender)) }));
    for link in [Link::daemon(&running.path).await.unwrap(), here] {
        assert_eq!(link.all(stop("abc")).await.unwrap(), [Response::Stopped { sessions: vec!["abc".to_owned()] }]);
        let refused = link.all(Request::SessionDelete { session: "x".to_owned() }).await;
        assert!(
            matches!(&refused, Err(AskError::Refused(r)) if *r == Refusal::not_found("there is no such session")),
            "{refused:?}"
        );
    }
}

#[tokio::test]
async fn only_the_owner_can_reach_the_socket_and_it_goes_with_the_server() {
    let running = start();
    let mode = std::fs::metadata(&running.path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode, 0o600);
    running.shutdown.cancel();
    running.task.await.unwrap();
    assert!(!running.path.exists());
    assert!(matches!(Link::daemon(&running.path).await, Err(AskError::NoDaemon)));
}

#[tokio::test]
async fn a_socket_that_others_can_use_is_not_trusted() {
    let running = start();
    std::fs::set_permissions(&running.path, std::fs::Permissions::from_mode(0o666)).unwrap();
    assert!(matches!(Link::daemon(&running.path).await, Err(AskError::Untrusted(_))));
}

#[tokio::test]
async fn a_leftover_socket_is_replaced_and_another_file_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("admin.sock");
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    assert!(matches!(Link::daemon(&path).await, Err(AskError::NoDaemon)));
    drop(Server::bind(&path).unwrap());
    std::fs::write(&path, "mine").unwrap();
    assert!(matches!(Server::bind(&path), Err(BindError::NotASocket(_))));
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "mine");
    let long = folder.path().join("x".repeat(120));
    assert!(matches!(Server::bind(&long), Err(BindError::PathTooLong(_))));
}

#[tokio::test]
async fn garbage_is_refused_and_the_next_one_is_served() {
    let running = start();
    for bytes in
        [&b"\xff\xfe\n"[..], b"{}\n", b"GET / HTTP/1.1\r\n", b"{\"do\":\"fly\"}\n", b"{\"do\":\"stop\",\"x\":1}\n"]
    {
        let answer = raw(&running.path, bytes).await;
        assert!(answer.starts_with("{\"refused\":{\"kind\":\"invalid\",\"message\":\"not a request: "), "{answer}");
    }
    let link = Link::daemon(&running.path).await.unwrap();
    assert_eq!(link.all(stop("a")).await.unwrap(), [Response::Stopped { sessions: vec!["a".to_owned()] }]);
}

#[tokio::test]
async fn a_line_without_end_is_cut_off() {
    let running = start();
    let mut stream = UnixStream::connect(&running.path).await.unwrap();
    stream.write_all(&vec![b' '; REQUEST_MOST + 1]).await.unwrap();
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).await.unwrap();
    assert_eq!(line, "{\"refused\":{\"kind\":\"invalid\",\"message\":\"a request has at most 1048576 bytes\"}}\n");
}

#[tokio::test]
async fn a_client_that_vanishes_ends_what_it_followed() {
    let running = start();
    let link = Link::daemon(&running.path).await.unwrap();
    let mut answers = link.ask(say("word")).await.unwrap();
    let first = answers.next().await.unwrap();
    assert_eq!(first, Some(Response::Turn(TurnEvent::Text { text: "word".to_owned() })));
    drop(answers);
    assert_eq!(running.left.await, Ok(Gone));
}

#[tokio::test]
async fn dropping_the_answers_of_a_handler_here_ends_it_too() {
    let (sender, left) = oneshot::channel();
    let link = Link::Here(Arc::new(Fake { left: std::sync::Mutex::new(Some(sender)) }));
    let mut answers = link.ask(say("word")).await.unwrap();
    assert!(answers.next().await.unwrap().is_some());
    drop(answers);
    assert_eq!(left.await, Ok(Gone));
}

#[tokio::test]
async fn an_answer_that_stops_in_the_middle_is_told_apart_from_its_end() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("admin.sock");
    let listener = UnixListener::bind(&path).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    let texts = ["{\"response\":{\"stopped\":{\"sessions\":[]}}}\n", "{\"resp", "what?\n"];
    let server = tokio::spawn(async move {
        for text in texts {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut line = String::new();
            BufReader::new(&mut stream).read_line(&mut line).await.unwrap();
            stream.write_all(text.as_bytes()).await.unwrap();
        }
    });
    let link = Link::Daemon(path);
    assert!(matches!(link.all(stop("a")).await, Err(AskError::CutOff)));
    assert!(matches!(link.all(stop("a")).await, Err(AskError::CutOff)));
    assert!(matches!(link.all(stop("a")).await, Err(AskError::Garbled(_))));
    server.await.unwrap();
}
