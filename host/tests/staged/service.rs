//! A model's service in Node.js: starts a script that writes its address and, when its standard input ends, the requests
//! that came to it. Included by the tests that need it.

use std::io::{BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};

use serde_json::Value;

/// The folder with `node_modules`, if these packages are in it and Node.js is there.
pub fn packages(npm: Option<PathBuf>, names: &[&str]) -> Result<PathBuf, String> {
    let complete = |npm: &PathBuf| names.iter().all(|name| npm.join("node_modules").join(name).exists());
    let npm = npm.filter(complete).ok_or("the npm packages are not installed")?;
    let node = Command::new("node").arg("--version").stdout(Stdio::null()).status();
    if !node.is_ok_and(|status| status.success()) {
        return Err("there is no Node.js".into());
    }
    npm.canonicalize().map_err(|error| format!("{}: {error}", npm.display()))
}

/// A script of the tests with its argument.
pub fn node(npm: &Path, script: &str, argument: &Value) -> Command {
    let mut node = Command::new("node");
    node.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join(script)).arg(argument.to_string());
    node.env("OPENPISTA_NPM", npm);
    node
}

/// A process that does not outlive the test.
pub struct Running(pub Child);

impl Drop for Running {
    fn drop(&mut self) {
        // Fails where it has ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The service, and the requests that came to it.
pub struct Service {
    process: Running,
    output: BufReader<ChildStdout>,
    /// `http://127.0.0.1:PORT`
    pub address: String,
}

impl Service {
    /// Once it serves.
    pub fn start(npm: &Path, script: &str, argument: &Value) -> Self {
        let mut node = node(npm, script, argument);
        let mut process = Running(node.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap());
        let mut output = BufReader::new(process.0.stdout.take().unwrap());
        let mut address = String::new();
        output.read_line(&mut address).unwrap();
        Self { process, output, address: address.trim_end().into() }
    }

    /// Ends it.
    pub fn requests(mut self) -> Vec<Value> {
        drop(self.process.0.stdin.take());
        let mut text = String::new();
        self.output.read_to_string(&mut text).unwrap();
        serde_json::from_str(&text).unwrap()
    }
}
