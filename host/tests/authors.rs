//! From an empty folder to a tool that the agent calls, in each language: what runs here are the commands of
//! `docs/plugins.md`, and those of the README that `plugin new` writes.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "clippy exempts only functions that are tests themselves, not what they share"
)]

mod daemon;
#[path = "staged/skip.rs"]
mod skip;

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use daemon::client::kind;
use daemon::model::{Answer, Asked, Model};
use daemon::{Home, until};
use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use skip::{found, skip};
use tokio_tungstenite::tungstenite::Message;

const LANGUAGES: [&str; 3] = ["rust", "python", "js"];

/// The page for authors.
fn page() -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/plugins.md")).unwrap()
}

/// The text below a heading, up to the next one.
fn section(page: &str, heading: &str) -> String {
    let found = page.split("\n## ").flat_map(|part| part.split("\n### ")).find(|part| part.starts_with(heading));
    found.unwrap_or_else(|| panic!("there is no section {heading:?}")).to_string()
}

/// What stands between fences of this language.
fn blocks(text: &str, language: &str) -> Vec<String> {
    let fence = format!("```{language}\n");
    text.split(&fence).skip(1).map(|rest| rest.split("```").next().unwrap().to_string()).collect()
}

/// Someone at a shell in an empty folder, with a daemon of their own.
struct Author {
    home: Home,
    folder: tempfile::TempDir,
    tools: PathBuf,
}

impl Author {
    /// Or why this machine has not what an author needs for it.
    fn with(language: &str) -> Result<Self, String> {
        let tools = found("OPENPISTA_AUTHORS", "target/authors").ok_or("cargo xtask setup has not run")?;
        let (program, fetched) = match language {
            "rust" => ("cargo", tools.clone()),
            "python" => ("python3", tools.join("wheels")),
            _ => ("npm", tools.join("npm-cache")),
        };
        if !fetched.exists() {
            return Err(format!("what builds plugins in {language} is not installed"));
        }
        let there = Command::new(program).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
        if !there.is_ok_and(|status| status.success()) {
            return Err(format!("there is no {program}"));
        }
        let home = Home::with(&["channel-web", "provider-openai-chat"]);
        symlink(home.path(), home.workspace().parent().unwrap().join(".openpista")).unwrap();
        std::fs::create_dir_all(tools.join("rust")).unwrap();
        Ok(Self { home, folder: tempfile::tempdir().unwrap(), tools: tools.canonicalize().unwrap() })
    }

    /// Runs the commands as they stand, in this folder; fails with all that they wrote.
    fn does(&self, folder: &Path, commands: &str) -> String {
        let host = Path::new(env!("CARGO_BIN_EXE_openpista-host")).parent().unwrap();
        let cargo_component = found("OPENPISTA_TOOLS", "target/tools/bin").unwrap_or_default();
        let of_person = |name: &str, folder: &str| {
            let own = std::env::home_dir().unwrap_or_default().join(folder);
            std::env::var_os(name).map_or(own, PathBuf::from)
        };
        let path = std::env::var_os("PATH").unwrap_or_default();
        let path =
            std::env::join_paths([host.to_path_buf(), cargo_component].into_iter().chain(std::env::split_paths(&path)));
        let mut shell = Command::new("bash");
        shell
            .args(["-euo", "pipefail", "-c", &format!("exec 2>&1\n{commands}")])
            .env_clear()
            .current_dir(folder)
            .env("PATH", path.unwrap())
            .env("HOME", self.home.workspace().parent().unwrap())
            .env("OPENPISTA_HOME", self.home.path())
            // Nothing is fetched: what is needed was, by setup.
            .env("PIP_NO_INDEX", "1")
            .env("PIP_FIND_LINKS", self.tools.join("wheels"))
            .env("npm_config_offline", "true")
            .env("npm_config_cache", self.tools.join("npm-cache"))
            .env("CARGO_NET_OFFLINE", "true")
            .env("CARGO_HOME", of_person("CARGO_HOME", ".cargo"))
            .env("RUSTUP_HOME", of_person("RUSTUP_HOME", ".rustup"))
            .envs(std::env::vars_os().filter(|(name, _)| name == "RUSTUP_TOOLCHAIN"))
            .stdin(Stdio::null());
        let output = shell.output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{}\nof\n{commands}\nwrote\n{said}", output.status);
        said
    }

    /// Follows the page's section from its first command to its last.
    fn follows(&self, heading: &str) -> String {
        let commands = blocks(&section(&page(), heading), "sh").concat();
        // What each plugin in Rust is built from is compiled once.
        let shared = format!("cd weather\nln -s {} target\n", self.tools.join("rust").display());
        let commands = if heading == "In Rust" { commands.replacen("cd weather\n", &shared, 1) } else { commands };
        self.does(self.folder.path(), &commands)
    }

    /// Lays out a plugin and does what its README says first.
    fn builds(&self, name: &str, role: &str, language: &str) -> String {
        self.does(self.folder.path(), &format!("openpista-host plugin new {name} --role {role} --lang {language}"));
        let project = self.folder.path().join(name);
        if language == "rust" {
            symlink(self.tools.join("rust"), project.join("target")).unwrap();
        }
        let readme = std::fs::read_to_string(project.join("README.md")).unwrap();
        self.does(&project, &blocks(&readme, "sh")[0])
    }

    /// How the plugin stands, once it stands so.
    async fn sees(&self, name: &str, standing: &str) -> Value {
        until(&format!("{name} to be {standing}"), async || {
            let list = self.home.json(&["plugin", "list"]).await;
            list.into_iter().find(|plugin| plugin["name"] == json!(name) && plugin["standing"] == json!(standing))
        })
        .await
    }
}

/// The model uses the tool for whatever it is asked.
fn script(_: usize, asked: &Asked) -> Answer {
    match asked.outcomes().next() {
        Some(outcome) => Answer::Text(format!("Turned around it reads {outcome}.")),
        None => Answer::Calls(vec![("weather_reverse", json!({"text": "pista"}))]),
    }
}

/// The whole way of a section of the page, and a chat in which the agent uses what came of it.
async fn from_nothing_to_the_agent(author: &Author, heading: &str) -> String {
    let model = Model::start(script).await;
    author.home.configure(&model.config());
    let daemon = author.home.start().await;
    let said = author.follows(heading);
    let plugin = author.sees("weather", "ready").await;
    assert_eq!(plugin["stock"], json!(false), "{plugin}");
    // Which tools it has is asked when it is there.
    until("its tool to be known", async || {
        let list = author.home.json(&["plugin", "inspect", "weather"]).await;
        list.into_iter().find(|plugin| plugin["tools"] == json!(["weather.reverse"]))
    })
    .await;
    let mut client = daemon.client(&author.home, "author").await;
    client.say("m1", "turn pista around").await;
    let answer = client.expect_any(&["approval", "reply", "failed"]).await;
    assert_eq!(kind(&answer), "reply", "{answer}");
    assert_eq!(answer["text"], json!("Turned around it reads atsip."), "{answer}");
    said
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_author_gets_from_nothing_to_a_tool_that_the_agent_calls_in_rust() {
    let author = match Author::with("rust") {
        Ok(author) => author,
        Err(why) => return skip("authors::an_author_gets_from_nothing_to_a_tool_that_the_agent_calls_in_rust", &why),
    };
    from_nothing_to_the_agent(&author, "In Rust").await;
    // The other way that the page names.
    let project = author.folder.path().join("weather");
    let other = "target/wasm32-wasip1/release/weather.wasm";
    author.does(&project, &format!("cargo component build --release\nopenpista-host plugin check {other}"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_author_gets_from_nothing_to_a_tool_that_the_agent_calls_in_python() {
    let author = match Author::with("python") {
        Ok(author) => author,
        Err(why) => return skip("authors::an_author_gets_from_nothing_to_a_tool_that_the_agent_calls_in_python", &why),
    };
    let said = from_nothing_to_the_agent(&author, "In Python").await;
    // What takes seconds is told.
    assert!(said.contains("Compiling 18 MB, which takes some seconds"), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_author_gets_from_nothing_to_a_tool_that_the_agent_calls_in_javascript() {
    let author = match Author::with("js") {
        Ok(author) => author,
        Err(why) => {
            return skip("authors::an_author_gets_from_nothing_to_a_tool_that_the_agent_calls_in_javascript", &why);
        }
    };
    from_nothing_to_the_agent(&author, "In JavaScript").await;
}

/// A provider and a channel as they are laid out: a model that is asked, a messenger that hears what is said in it.
async fn a_provider_and_a_channel(test: &str, language: &str) {
    let author = match Author::with(language) {
        Ok(author) => author,
        Err(why) => return skip(&format!("authors::{test}"), &why),
    };
    author.home.configure("[agent]\nmodel = \"my-echo/echo\"\n[channels.my-lines]\ncontacts = \"open\"\n");
    let daemon = author.home.start().await;
    author.builds("my-echo", "provider", language);
    author.sees("my-echo", "ready").await;
    let (code, out, err) = author.home.said(&["run", "-e", "hello there"]).await;
    assert_eq!((code, out.trim_end()), (Some(0), "You said: hello there"), "{err}");
    let checked = author.builds("my-lines", "channel", language);
    assert!(checked.contains("openpista-host plugin allow my-lines"), "{checked}");
    author.sees("my-lines", "waiting").await;
    let (code, out, err) = author.home.said(&["plugin", "allow", "my-lines"]).await;
    assert_eq!(code, Some(0), "{out}{err}");
    let url = format!("{}/my-lines/lines", daemon.address.replacen("http", "ws", 1));
    let mut socket = until("the channel to open", async || {
        tokio_tungstenite::connect_async(&url).await.ok().map(|(socket, _)| socket)
    })
    .await;
    socket.send(Message::text("1 hello")).await.unwrap();
    let said = tokio::time::timeout(daemon::PATIENCE, socket.next()).await.unwrap().unwrap().unwrap();
    assert!(said.to_text().unwrap().contains("hello"), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_provider_and_a_channel_begun_in_rust_work() {
    a_provider_and_a_channel("a_provider_and_a_channel_begun_in_rust_work", "rust").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_provider_and_a_channel_begun_in_python_work() {
    a_provider_and_a_channel("a_provider_and_a_channel_begun_in_python_work", "python").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_provider_and_a_channel_begun_in_javascript_work() {
    a_provider_and_a_channel("a_provider_and_a_channel_begun_in_javascript_work", "js").await;
}

/// Every file of a folder, with its text.
fn laid_out(folder: &Path) -> Vec<(String, String)> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let name = entry.file_name().into_string().unwrap();
        if entry.path().is_dir() {
            files.extend(laid_out(&entry.path()).into_iter().map(|(file, text)| (format!("{name}/{file}"), text)));
        } else {
            files.push((name, std::fs::read_to_string(entry.path()).unwrap()));
        }
    }
    files.sort();
    files
}

/// What `plugin new` writes.
fn begun(name: &str, role: &str, language: &str) -> Vec<(String, String)> {
    let folder = tempfile::tempdir().unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_openpista-host"))
        .args(["plugin", "new", name, "--role", role, "--lang", language])
        .env_clear()
        .current_dir(folder.path())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    laid_out(&folder.path().join(name))
}

#[test]
fn the_same_world_serves_all_languages() {
    for role in ["tools", "provider", "channel"] {
        let mut worlds: Vec<Vec<(String, String)>> = LANGUAGES
            .map(|language| begun("weather", role, language))
            .map(|files| files.into_iter().filter(|(file, _)| file.starts_with("wit/")).collect())
            .to_vec();
        let first = worlds.remove(0);
        let names: Vec<&str> = first.iter().map(|(file, _)| file.as_str()).collect();
        assert_eq!(names, ["wit/openpista.wit", "wit/world.wit"]);
        for world in worlds {
            assert_eq!(world, first, "{role}");
        }
    }
}

#[test]
fn nothing_of_a_template_is_left_unfilled() {
    for language in LANGUAGES {
        for role in ["tools", "provider", "channel"] {
            let files = begun("my-weather", role, language);
            let names: Vec<&str> = files.iter().map(|(file, _)| file.as_str()).collect();
            assert!(names.contains(&"README.md") && names.contains(&".gitignore"), "{names:?}");
            for (file, text) in &files {
                let left = text
                    .split('@')
                    .skip(1)
                    .step_by(2)
                    .find(|word| !word.is_empty() && word.chars().all(|letter| letter.is_ascii_uppercase()));
                assert!(!text.is_empty() && left.is_none(), "{language} {role} {file}: {left:?}");
            }
            // Each file that the README speaks of is there.
            let readme = &files.iter().find(|(file, _)| file == "README.md").unwrap().1;
            let rows = readme.lines().filter_map(|line| line.strip_prefix("| `")?.split_once('`'));
            for (file, _) in rows {
                assert!(names.contains(&file), "{language} {role}: the README names {file}; there are {names:?}");
            }
        }
    }
}

#[test]
fn the_code_that_the_page_shows_is_what_is_laid_out() {
    for (language, heading) in [("rust", "In Rust"), ("python", "In Python"), ("js", "In JavaScript")] {
        let shown = blocks(&section(&page(), heading), language);
        assert!(!shown.is_empty(), "{heading}");
        let files = begun("weather", "tools", language);
        for code in shown {
            assert!(files.iter().any(|(_, text)| text.contains(&code)), "{heading}: {code}");
        }
    }
}
