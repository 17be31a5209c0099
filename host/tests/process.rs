//! The executable on its own: the console, one question and its answer, the beginning and the end of a daemon, and
//! what it does with a home that is not as it should be.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "clippy exempts only functions that are tests themselves, not what they share"
)]

mod daemon;

use std::process::Stdio;

use daemon::client::kind;
use daemon::{Home, PATIENCE, until};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::{ChildStdin, ChildStdout};
use tokio::time::timeout;

const QUESTION: &str = "show me the files here";

/// Both ends of a console.
struct Screen {
    keys: ChildStdin,
    text: ChildStdout,
    shown: String,
}

impl Screen {
    async fn types(&mut self, line: &str) {
        self.keys.write_all(format!("{line}\n").as_bytes()).await.unwrap();
    }

    /// Reads on until this stands there; what was read up to its end is not looked at again.
    async fn shows(&mut self, wanted: &str) {
        let mut bytes = [0; 4096];
        while !self.shown.contains(wanted) {
            let read = timeout(PATIENCE, self.text.read(&mut bytes));
            let read = read.await.unwrap_or_else(|_| panic!("{wanted:?} is not shown:\n{}", self.shown)).unwrap();
            assert_ne!(read, 0, "the console ended without {wanted:?}:\n{}", self.shown);
            self.shown.push_str(&String::from_utf8_lossy(&bytes[..read]));
        }
        assert!(!self.shown.contains('\x1b'), "a pipe is no terminal: {:?}", self.shown);
        self.shown = self.shown.split_once(wanted).unwrap().1.to_string();
    }
}

#[tokio::test]
async fn the_console_asks_answers_and_quits() {
    let home = Home::new();
    let mut command = home.command(&["run", "--console", "--listen", "127.0.0.1:0"]);
    let mut child = command.stdin(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut screen =
        Screen { keys: child.stdin.take().unwrap(), text: child.stdout.take().unwrap(), shown: String::new() };
    screen.shows("> ").await;
    screen.types(QUESTION).await;
    screen.shows("ls -la").await;
    screen.shows("[y]").await;
    screen.types("y").await;
    screen.shows("marmalade.txt").await;
    screen.types("/quit").await;
    let ended = timeout(PATIENCE, child.wait()).await.expect("/quit ends the host").unwrap();
    assert_eq!(ended.code(), Some(0));
}

#[tokio::test]
async fn the_console_falls_silent_with_its_component_and_speaks_again_with_it() {
    let home = Home::with(&["channel-console", "provider-demo"]);
    let mut command = home.command(&["run", "--console", "--listen", "127.0.0.1:0"]);
    let mut child = command.stdin(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut screen =
        Screen { keys: child.stdin.take().unwrap(), text: child.stdout.take().unwrap(), shown: String::new() };
    screen.shows("> ").await;
    let file = home.plugins().join("channel-console.wasm");
    let kept = std::fs::read(&file).unwrap();
    std::fs::remove_file(&file).unwrap();
    until("the console to go", async || {
        let channels = home.json(&["channel", "status"]).await;
        channels.iter().all(|channel| channel["name"] != json!("console")).then_some(())
    })
    .await;
    screen.types("hello").await;
    // The host is there; only nobody takes what is typed.
    let (code, out, err) = home.said(&["run", "-e", "hello"]).await;
    assert_eq!(code, Some(0), "{out}{err}");
    let talked = async || {
        let sessions = home.json(&["session", "list"]).await;
        sessions.iter().filter(|session| session["channel"] == json!("console")).count()
    };
    assert_eq!(talked().await, 0);
    std::fs::write(&file, kept).unwrap();
    screen.shows("> ").await;
    // What was typed in the meantime has waited.
    until("the answer to it", async || (talked().await == 1).then_some(())).await;
    screen.types("/quit").await;
    let ended = timeout(PATIENCE, child.wait()).await.expect("/quit ends the host").unwrap();
    assert_eq!(ended.code(), Some(0));
}

#[tokio::test]
async fn one_question_is_answered_with_and_without_a_daemon() {
    let home = Home::new();
    let (code, out, err) = home.said(&["run", "-e", QUESTION, "--yes"]).await;
    assert_eq!(code, Some(0), "{out}{err}");
    assert!(out.contains("marmalade.txt"), "{out}");
    let plugins = std::fs::metadata(home.plugins()).unwrap().permissions();
    assert_eq!(std::os::unix::fs::PermissionsExt::mode(&plugins) & 0o777, 0o700);
    assert!(!err.contains("not delivered") && !err.contains("is not known"), "{err}");

    let daemon = home.start().await;
    let (code, out, err) = home.said(&["run", "-e", QUESTION, "--yes"]).await;
    assert_eq!(code, Some(0), "{out}{err}");
    assert!(out.contains("marmalade.txt"), "{out}");
    assert_eq!(home.json(&["session", "list"]).await.len(), 2);
    assert!(daemon.end().await.success());
}

#[tokio::test]
async fn without_anybody_to_approve_nothing_is_run() {
    let home = Home::new();
    let touch = "run touch made-by-the-tool";
    let (code, out, err) = home.said(&["run", "-e", touch]).await;
    assert_eq!(code, Some(5), "{out}{err}");
    assert!(err.contains("--yes"), "{err}");
    let list = home.json(&["session", "list"]).await;
    let shown = home.said(&["session", "show", list[0]["id"].as_str().unwrap()]).await.1;
    assert!(shown.contains("nobody could be asked") && !shown.contains("said no"), "{shown}");
    let _daemon = home.start().await;
    let (code, out, err) = home.said(&["run", "-e", touch]).await;
    assert_eq!(code, Some(5), "{out}{err}");
    assert!(!home.workspace().join("made-by-the-tool").exists());
}

#[tokio::test]
async fn a_tool_that_prints_a_secret_of_the_configuration_tells_nobody() {
    const SECRET: &str = "sk-correct-horse-battery";
    let home = Home::new();
    let config = format!(
        "[agent]\nmodel = \"demo\"\n[log]\nlevel = \"info,openpista_host=debug\"\n\
         [providers.mine]\nplugin = \"provider-openai-chat\"\nsettings = {{ base-url = \"http://127.0.0.1:9/v1\" }}\n\
         secrets = {{ api-key = \"{SECRET}\" }}\n"
    );
    let file = home.path().join("config.toml");
    std::fs::write(&file, config).unwrap();
    std::fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let mut daemon = home.start().await;
    let mut client = daemon.client(&home, "secret").await;
    let print = format!("run cat {}", file.display());
    client.say("m1", &print).await;
    let approval = client.expect("approval").await;
    client.decide(&approval, "once").await;
    let reply = client.expect("reply").await;
    assert!(reply["text"].as_str().unwrap().contains("[secret api-key]"), "{reply}");
    // A person may write it; whoever looks on, and the log, still do not get it.
    client.say("m2", &format!("run echo {SECRET} and $(echo {SECRET} | base64)")).await;
    let approval = client.expect("approval").await;
    assert!(approval["summary"].as_str().unwrap().contains("echo [secret api-key]"), "{approval}");
    client.decide(&approval, "once").await;
    client.expect("reply").await;
    let (code, out, err) = home.said(&["run", "-e", &print, "--yes"]).await;
    assert_eq!(code, Some(0), "{err}");
    assert!(out.contains("[secret api-key]"), "{out}");
    let late = daemon.client(&home, "secret").await;
    let ledger = home.said(&["ledger", "show"]).await.1;
    assert!(ledger.contains("[secret api-key]"), "{ledger}");
    // The page says to its own sender what they wrote.
    let told = client.seen.iter().chain(&late.seen).filter(|frame| kind(frame) != "said");
    for place in told.map(ToString::to_string).chain([out, err, ledger, daemon.log()]) {
        assert!(!place.contains(SECRET) && !place.contains("c2stY29ycmVjdC1ob3JzZS1iYXR0ZXJ5"), "{place}");
    }
    assert!(daemon.runs());
}

#[tokio::test]
async fn sessions_are_listed_shown_exported_and_deleted() {
    let home = Home::new();
    let (code, answer, _) = home.said(&["run", "-e", "hello"]).await;
    assert_eq!(code, Some(0));
    let list = home.json(&["session", "list"]).await;
    assert_eq!((list.len(), &list[0]["title"], &list[0]["messages"]), (1, &json!("hello"), &json!(2)));
    let id = list[0]["id"].as_str().unwrap();

    let (code, shown, _) = home.said(&["session", "show", id]).await;
    assert_eq!(code, Some(0));
    assert!(shown.contains("hello") && shown.contains(answer.trim()), "{shown}");
    let (code, exported, _) = home.said(&["session", "export", id]).await;
    assert_eq!(code, Some(0));
    let lines: Vec<Value> = exported.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines, home.json(&["session", "show", id]).await);
    assert_eq!(lines.len(), 3);

    let (code, _, err) = home.said(&["session", "delete", id]).await;
    assert_eq!(code, Some(2), "{err}");
    assert_eq!(home.said(&["session", "delete", id, "--yes"]).await.0, Some(0));
    assert_eq!(home.json(&["session", "list"]).await, Vec::<Value>::new());
    assert_eq!(home.said(&["session", "show", id]).await.0, Some(4));
}

#[tokio::test]
async fn a_session_that_is_deleted_while_it_asks_is_not_gone_on_with() {
    let home = Home::new();
    let daemon = home.start().await;
    let mut client = daemon.client(&home, "gone").await;
    client.say("m1", QUESTION).await;
    client.expect("approval").await;
    let list = home.json(&["session", "list"]).await;
    let (code, _, err) = home.said(&["session", "delete", list[0]["id"].as_str().unwrap(), "--yes"]).await;
    assert_eq!(code, Some(0), "{err}");
    client.say("m2", "hello").await;
    client.expect("reply").await;
    let list = home.json(&["session", "list"]).await;
    assert_eq!((list.len(), &list[0]["title"], &list[0]["messages"]), (1, &json!("hello"), &json!(2)));
    assert!(!client.seen.iter().any(|frame| kind(frame) == "failed"));
}

#[tokio::test]
async fn a_page_that_is_mounted_elsewhere_is_where_the_link_says() {
    let home = Home::new();
    std::fs::write(home.path().join("config.toml"), "[channels.web]\nmount = \"/chat\"\n").unwrap();
    let daemon = home.start().await;
    let server = daemon.address.strip_prefix("http://").unwrap().strip_suffix("/chat").unwrap();
    assert!(daemon.log().contains(&format!("http://{server}/chat/#token=")), "{}", daemon.log());
    let open = async |path: &str| {
        let mut stream = tokio::net::TcpStream::connect(server).await.unwrap();
        let head = "accept: text/html\r\nconnection: close";
        stream.write_all(format!("GET {path} HTTP/1.1\r\nhost: {server}\r\n{head}\r\n\r\n").as_bytes()).await.unwrap();
        let mut answer = String::new();
        timeout(PATIENCE, stream.read_to_string(&mut answer)).await.unwrap().unwrap();
        answer
    };
    let sent_on = open("/chat").await;
    assert!(sent_on.starts_with("HTTP/1.1 307") && sent_on.contains("location: chat/\r\n"), "{sent_on}");
    assert!(open("/chat/").await.starts_with("HTTP/1.1 200"));
}

#[tokio::test]
async fn a_second_daemon_refuses_and_the_first_goes_on() {
    let home = Home::new();
    let daemon = home.start().await;
    let mut client = daemon.client(&home, "first").await;
    let (code, _, err) = home.said(&["run", "--no-console", "--listen", "127.0.0.1:0"]).await;
    assert_eq!(code, Some(6), "{err}");
    assert!(err.contains(&daemon.pid().to_string()) && err.contains("quit"), "{err}");
    client.say("m1", "hello").await;
    client.expect("reply").await;
    let status = home.json(&["status"]).await;
    assert_eq!(status[0]["pid"], json!(daemon.pid()));
    assert!(daemon.end().await.success());
    assert!(!home.path().join("admin.sock").exists());
}

#[tokio::test]
async fn a_daemon_ends_cleanly_in_the_middle_of_a_question_and_the_next_one_asks_again() {
    let home = Home::new();
    let daemon = home.start().await;
    let mut client = daemon.client(&home, "open").await;
    client.say("m1", QUESTION).await;
    let approval = client.expect("approval").await;
    assert_eq!(daemon.end().await.code(), Some(0));
    let daemon = home.start().await;
    let mut client = daemon.client(&home, "open").await;
    assert!(client.seen.contains(&approval), "{:?}", client.seen);
    client.decide(&approval, "once").await;
    let reply = client.expect("reply").await;
    assert!(reply["text"].as_str().unwrap().contains("marmalade.txt"), "{reply}");
    assert!(!client.seen.iter().any(|frame| kind(frame) == "failed"));
}

#[tokio::test]
async fn a_port_that_is_taken_is_named() {
    let home = Home::new();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let place = taken.local_addr().unwrap();
    let address = place.to_string();
    let (code, _, err) = home.said(&["run", "--no-console", "--listen", &address]).await;
    assert_eq!(code, Some(1), "{err}");
    assert!(err.contains(&place.port().to_string()) && err.contains("taken") && err.contains("--listen"), "{err}");
}

#[tokio::test]
async fn a_misspelt_key_of_the_configuration_is_named_with_the_right_one() {
    let home = Home::new();
    std::fs::write(home.path().join("config.toml"), "[agent]\nmax_tool_round = 3\n").unwrap();
    let (code, _, err) = home.said(&["run", "--no-console", "--listen", "127.0.0.1:0"]).await;
    assert_eq!(code, Some(3), "{err}");
    assert!(err.contains("max_tool_rounds"), "{err}");
    std::fs::write(home.path().join("config.toml"), [0xff, 0x00, 0x5b]).unwrap();
    let (code, _, err) = home.said(&["run", "--no-console", "--listen", "127.0.0.1:0"]).await;
    assert_eq!(code, Some(3), "{err}");
    assert!(err.contains("config.toml"), "{err}");
}

#[tokio::test]
async fn a_store_that_is_no_store_is_left_as_it_is() {
    let home = Home::new();
    let store = home.path().join("openpista.redb");
    let garbage: Vec<u8> = (0..8192_u32).map(|number| u8::try_from(number * 7 % 251).unwrap()).collect();
    std::fs::write(&store, &garbage).unwrap();
    let (code, _, err) = home.said(&["run", "--no-console", "--listen", "127.0.0.1:0"]).await;
    assert_eq!(code, Some(1), "{err}");
    assert!(err.contains("openpista.redb"), "{err}");
    assert_eq!(std::fs::read(&store).unwrap(), garbage);
}

#[tokio::test]
async fn a_daemon_that_is_told_to_quit_is_gone_when_the_command_is() {
    let home = Home::new();
    let mut daemon = home.start().await;
    assert_eq!(home.said(&["quit"]).await.0, Some(0));
    assert!(daemon.ended().await.success());
    until("the daemon's end", async || (!daemon.runs()).then_some(())).await;
    assert_eq!(home.said(&["quit"]).await.0, Some(6));
}
