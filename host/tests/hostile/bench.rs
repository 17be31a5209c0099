//! A host on a home of its own, with the plugins that a test wants.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use openpista_host::agent::ports::{Invocation, ToolError, Toolbox};
use openpista_host::app::App;
use openpista_host::config::{Config, Sources};
use openpista_host::message::Content;
use openpista_host::plugin::instance::{Around, Host, Instance};
use openpista_host::plugin::registry::RoleKind;
use openpista_host::runtime::CallError;
use openpista_host::wit::role::tools as wit;
use openpista_host::wit::types;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

/// Longer than any attack takes to be stopped; it only ends a test that hangs.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// The bytes of a guest.
pub fn guest(name: &str) -> Vec<u8> {
    let folder = std::env::var_os("OPENPISTA_TEST_GUESTS")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/test-guests"), PathBuf::from);
    let path = folder.join(format!("{name}.wasm"));
    std::fs::read(&path).unwrap_or_else(|error| {
        panic!("{}: {error}; the guests of the tests are built by: cargo xtask test components", path.display())
    })
}

/// A guest with other bytes, as many, in place of some.
pub fn lie(guest: &[u8], truth: &str, lie: &[u8]) -> Vec<u8> {
    let mut bytes = guest.to_vec();
    let mut found = memchr::memmem::find_iter(&bytes, truth).collect::<Vec<_>>();
    let at = found.pop().expect("the words are among the bytes");
    assert_eq!(found, Vec::<usize>::new(), "they are there once");
    assert_eq!(lie.len(), truth.len());
    bytes.splice(at..at + lie.len(), lie.iter().copied());
    bytes
}

/// Asks again until there is an answer; for what no event tells of.
pub async fn until<T>(mut ask: impl FnMut() -> Option<T>) -> T {
    let asking = async {
        loop {
            if let Some(answer) = ask() {
                return answer;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, asking).await.expect("it never happened")
}

/// Whether there is such a process.
pub fn lives(pid: i32) -> bool {
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), None).is_ok()
}

/// The host and its home.
pub struct Bench {
    /// All parts.
    pub app: Arc<App>,
    home: TempDir,
    config: String,
}

impl Bench {
    /// With these files in the plugins folder and this config.
    pub async fn new(files: &[(&str, Vec<u8>)], config: &str) -> Self {
        let home = tempfile::tempdir().unwrap();
        let folder = |name: &str| {
            let path = home.path().join(name);
            std::fs::create_dir(&path).unwrap();
            path
        };
        let plugins = folder("plugins");
        folder("workspace");
        for (name, bytes) in files {
            std::fs::write(plugins.join(name), bytes).unwrap();
        }
        Self::on(home, config.to_string()).await
    }

    /// Ends it and starts it again on the same home, after `between` did something to that.
    pub async fn again(self, between: impl FnOnce(&Path)) -> Self {
        let Self { app, home, config } = self;
        app.close().await;
        drop(app);
        between(home.path());
        Self::on(home, config).await
    }

    async fn on(home: TempDir, config: String) -> Self {
        let sources = Sources {
            home: home.path().to_path_buf(),
            file: None,
            environment: BTreeMap::new(),
            overrides: BTreeMap::new(),
            user_folder: home.path().to_path_buf(),
            started_in: home.path().join("workspace"),
            at_terminal: false,
        };
        let text = format!("[plugins]\nstock = false\n{config}");
        let parsed = Config::parse(&text, &home.path().join("config.toml"), &sources).unwrap();
        let app =
            App::assemble(parsed, Err("no console".into()), Arc::default(), CancellationToken::new()).await.unwrap();
        app.tools.refresh(None).await;
        Self { app, home, config }
    }

    /// The hostile guest and the harmless one; `config` follows `[tools.hostile]`.
    pub async fn hostile(config: &str) -> Self {
        let files = [("hostile.wasm", guest("guest-hostile")), ("pure.wasm", guest("guest-pure"))];
        Self::new(&files, &format!("[tools.hostile]\n{config}")).await
    }

    /// A path in the home.
    pub fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    /// What instances share.
    pub fn host(&self) -> &Arc<Host> {
        self.app.registry.host()
    }

    /// The hostile instance.
    pub fn instance(&self) -> Arc<Instance> {
        Arc::clone(self.app.registry.snapshot().get(RoleKind::Tools, "hostile").expect("the hostile guest is loaded"))
    }

    /// One attack as far as it comes, with the host's own reason why it ended.
    pub async fn attack(&self, arguments: Value) -> Result<Result<String, wit::ToolError>, CallError> {
        attack_on(self.host(), &self.instance(), arguments, PATIENCE).await
    }

    /// One attack that the guest must be able to tell of.
    pub async fn told(&self, arguments: Value) -> String {
        self.attack(arguments).await.expect("the guest is not stopped").expect("the tool answers")
    }

    /// A tool through the port that the agent uses.
    pub async fn call(&self, tool: &str, arguments: Value, cancel: CancellationToken) -> Result<String, ToolError> {
        let invocation = Invocation {
            approval: "policy".into(),
            id: "call-1".into(),
            name: tool.into(),
            arguments: arguments.to_string(),
            session: "session-1".into(),
            turn: "turn-1".into(),
            edition: None,
        };
        let content = self.app.tools.call(invocation, Arc::new(|_| ()), cancel).await?;
        Ok(content
            .into_iter()
            .map(|one| match one {
                Content::Text(text) => text,
                other => format!("{other:?}"),
            })
            .collect())
    }

    /// The harmless tool works.
    pub async fn pure_works(&self) {
        let arguments = json!({ "text": "still here" });
        let answer = self.call("pure.echo", arguments.clone(), CancellationToken::new()).await;
        assert_eq!(answer, Ok(arguments.to_string()));
    }

    /// Lets an attack run, calls the harmless tool while it does, and returns what came of the attack.
    pub async fn beside_pure(&self, arguments: Value) -> Result<Result<String, wit::ToolError>, CallError> {
        let (attacked, ()) = tokio::join!(self.attack(arguments), self.pure_works());
        // And after it.
        self.pure_works().await;
        attacked
    }
}

/// One call of the hostile guest under a time limit.
pub async fn attack_on(
    host: &Host,
    instance: &Instance,
    arguments: Value,
    time: Duration,
) -> Result<Result<String, wit::ToolError>, CallError> {
    let request = wit::Invocation {
        id: "call-1".into(),
        name: "attack".into(),
        arguments: arguments.to_string(),
        session: "session-1".into(),
    };
    let around = Around { operation: "tools.call", ..Around::default() };
    let (answer, _) = instance
        .call(host, around, time, async |store, live, exports| {
            let guest = exports.tools.as_ref().expect("it has tools").load(&mut *store, live)?;
            guest.call_call(store, &request).await
        })
        .await?;
    Ok(answer.map(|content| {
        content
            .into_iter()
            .map(|one| match one {
                types::Content::Text(text) => text,
                other => format!("{other:?}"),
            })
            .collect()
    }))
}
