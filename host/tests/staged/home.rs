//! A home of the real executable for one test, with a provider that asks a service on this machine. Included by the
//! tests that need it.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;

use crate::skip::found;

/// The key that the service is shown. Nobody else may see it.
pub const KEY: &str = "sk-staged-7Qm2vX9dLr4T";

/// The folder with the first-party components, or why there is none.
pub fn stock() -> Result<PathBuf, String> {
    let folder = found("OPENPISTA_STOCK", "plugins").filter(|path| path.join("provider-openai-chat.wasm").exists());
    folder.ok_or_else(|| "the first-party components are not built".into())
}

/// A home and a workspace.
pub struct Home {
    folder: TempDir,
}

impl Home {
    /// With some of the first-party components: each that is there is compiled. `service` is the address of the
    /// model's service, `agent` further lines of `[agent]`.
    pub fn new(stock: &Path, components: &[&str], service: &str, agent: &str) -> Self {
        use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
        let folder = tempfile::tempdir().unwrap();
        let home = Self { folder };
        std::fs::create_dir(home.stock()).unwrap();
        for name in components {
            let file = format!("{name}.wasm");
            std::fs::copy(stock.join(&file), home.stock().join(&file)).unwrap();
        }
        std::fs::create_dir(home.workspace()).unwrap();
        std::fs::DirBuilder::new().mode(0o700).create(home.path()).unwrap();
        let workspace = home.workspace();
        let text = format!(
            "[agent]\nmodel = \"fake/gpt-4o-mini\"\nworkspace = {workspace:?}\n{agent}\n[providers.fake]\n\
             plugin = \"provider-openai-chat\"\nsettings = {{ base-url = \"{service}/v1\", models = [\"gpt-4o-mini\"] }}\n\
             secrets = {{ api-key = \"{KEY}\" }}\n"
        );
        let config = home.path().join("config.toml");
        let file = std::fs::OpenOptions::new().create_new(true).write(true).mode(0o600).open(config);
        file.unwrap().write_all(text.as_bytes()).unwrap();
        home
    }

    fn stock(&self) -> PathBuf {
        self.folder.path().join("stock")
    }

    /// What the executable keeps.
    pub fn path(&self) -> PathBuf {
        self.folder.path().join("pista")
    }

    /// Where its tools work.
    pub fn workspace(&self) -> PathBuf {
        self.folder.path().join("work")
    }

    /// The executable, with nothing of the machine's environment but the way to its programs.
    pub fn host(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_openpista-host"));
        command.args(arguments).env_clear().env("HOME", self.folder.path()).env("OPENPISTA_HOME", self.path());
        command.env("PATH", "/usr/local/bin:/usr/bin:/bin").env("OPENPISTA_STOCK", self.stock());
        command.stdin(Stdio::null()).current_dir(self.folder.path());
        command
    }

    #[allow(dead_code, reason = "not each test crate that includes this file has a use for it")]
    /// Runs it to its end: the exit code, the JSON values it wrote, what it said.
    pub fn run(&self, arguments: &[&str]) -> (Option<i32>, Vec<serde_json::Value>, String) {
        let output = self.host(arguments).output().unwrap();
        let out = String::from_utf8(output.stdout).unwrap();
        let lines = out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        (output.status.code(), lines, String::from_utf8(output.stderr).unwrap())
    }
}
