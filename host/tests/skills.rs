//! Skills in a real daemon: found, told to the model, run in the sandbox, and kept in there.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "clippy exempts only functions that are tests themselves, not what they share"
)]

mod daemon;

use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use daemon::client::{Client, kind};
use daemon::model::{Answer, Asked, Model};
use daemon::{Daemon, Home, guest, stock, until};
use serde_json::{Value, json};

/// What a person says is the call that the model makes: the tool as the model knows it, and the arguments.
fn script(_: usize, asked: &Asked) -> Answer {
    let said: Vec<&str> = asked.outcomes().collect();
    if !said.is_empty() {
        return Answer::Text(said.join("\n"));
    }
    let Ok(call) = serde_json::from_str::<Value>(asked.question()) else { return Answer::Text("hello".into()) };
    Answer::Calls(vec![(call["tool"].as_str().unwrap().to_string().leak(), call["arguments"].clone())])
}

/// A daemon with skills, a model that does as it is told, and somebody who tells it.
struct World {
    home: Home,
    model: Model,
    daemon: Daemon,
    client: Client,
    said: usize,
}

/// Nobody is asked.
const FREELY: &str = "[policy]\ndefault = \"allow\"\nreask_after_untrusted = false\n";

fn prepared(model: &Model, config: &str) -> Home {
    let home = Home::with(&["channel-web", "provider-openai-chat", "tool-skill"]);
    home.configure(&format!("{}{config}", model.config()));
    home
}

fn own(home: &Home) -> PathBuf {
    home.path().join("skills")
}

/// A folder with a skill; `more` are lines of its front matter.
fn put(folder: &Path, more: &str, text: &str, component: Option<&[u8]>) {
    std::fs::create_dir_all(folder).unwrap();
    let name = folder.file_name().unwrap().to_str().unwrap();
    if let Some(bytes) = component {
        std::fs::write(folder.join(format!("{name}.wasm")), bytes).unwrap();
    }
    let front = format!("---\nname: {name}\ndescription: What {name} is for.\n{more}---\n{text}\n");
    std::fs::write(folder.join("SKILL.md"), front).unwrap();
}

/// The guest of the tests as the skill `probe`.
fn put_probe(home: &Home, more: &str) {
    put(&own(home).join("probe"), &format!("mode: wasm\n{more}"), "", Some(&guest("guest-command")));
}

async fn tools(home: &Home) -> Vec<String> {
    let plugin = home.json(&["plugin", "inspect", "tool-skill"]).await.remove(0);
    let tools = plugin["tools"].as_array().unwrap().iter();
    let mut tools: Vec<String> = tools.map(|tool| tool.as_str().unwrap().to_string()).collect();
    tools.sort();
    tools
}

async fn until_tools(home: &Home, wanted: &[&str]) {
    until(&format!("the tools {wanted:?}"), async || (tools(home).await == wanted).then_some(())).await;
}

async fn skills(home: &Home) -> Vec<Value> {
    home.json(&["skill", "list"]).await
}

impl World {
    /// `ready` are the tools that are waited for.
    async fn begin(home: Home, model: Model, environment: &[(&str, &str)], ready: &[&str]) -> Self {
        let daemon = home.start_with(environment).await;
        until_tools(&home, ready).await;
        let client = daemon.client(&home, "skills").await;
        Self { home, model, daemon, client, said: 0 }
    }

    /// With the skill `probe` alone.
    async fn probing(config: &str, more: &str) -> Self {
        let model = Model::start(script).await;
        let home = prepared(&model, &format!("{FREELY}{config}"));
        put_probe(&home, more);
        Self::begin(home, model, &[], &["skill.probe", "skill.read"]).await
    }

    async fn say(&mut self, text: &str) {
        self.said += 1;
        self.client.say(&format!("m{}", self.said), text).await;
    }

    /// What comes of a call.
    async fn call(&mut self, tool: &str, arguments: Value) -> String {
        self.say(&json!({"tool": tool, "arguments": arguments}).to_string()).await;
        let reply = self.client.expect_any(&["reply", "failed", "approval"]).await;
        assert_eq!(kind(&reply), "reply", "{reply}");
        reply["text"].as_str().unwrap().to_string()
    }

    async fn probe(&mut self, arguments: &[&str]) -> String {
        self.call("skill_probe", json!({"arguments": arguments})).await
    }

    /// The system prompt of a turn that begins now.
    async fn prompt(&mut self) -> String {
        self.say("hello").await;
        self.client.expect("reply").await;
        self.model.journal().last().unwrap().system.clone()
    }
}

#[tokio::test]
async fn skills_of_both_kinds_are_called_in_a_chat_once_a_person_said_yes() {
    let model = Model::start(script).await;
    let home = prepared(&model, "");
    let repository = Path::new(env!("CARGO_MANIFEST_DIR")).join("../skills");
    for (name, folder) in [("word-count", own(&home)), ("hello-wasm", home.workspace().join("tools"))] {
        let folder = folder.join(name);
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::copy(repository.join(name).join("SKILL.md"), folder.join("SKILL.md")).unwrap();
        std::fs::write(folder.join("built.wasm"), guest(name)).unwrap();
    }
    std::fs::write(home.workspace().join("notes.md"), "Bread and more bread.\n").unwrap();
    let ready = ["skill.hello-wasm.hello.greet", "skill.read", "skill.word-count"];
    let mut world = World::begin(home, model, &[], &ready).await;

    let count =
        json!({"tool": "skill_word-count", "arguments": {"arguments": ["notes.md", "/workspace/marmalade.txt"]}});
    world.say(&count.to_string()).await;
    let approval = world.client.expect_any(&["approval", "reply"]).await;
    assert_eq!(kind(&approval), "approval", "a skill reads files, so a person is asked");
    world.client.decide(&approval, "once").await;
    let reply = world.client.expect("reply").await;
    assert_eq!(
        reply["text"],
        "notes.md: 1 lines, 4 words, 22 characters\n/workspace/marmalade.txt: 1 lines, 1 words, 6 characters\n\
         total of 2 files: 2 lines, 5 words, 28 characters\nmost used: bread 2, more 1, sweet 1"
    );

    let greet = json!({"tool": "skill_hello-wasm_hello_greet", "arguments": {"name": "Ada"}});
    world.say(&greet.to_string()).await;
    let approval = world.client.expect("approval").await;
    world.client.decide(&approval, "once").await;
    assert_eq!(world.client.expect("reply").await["text"], "Hello, Ada!");

    // What a skill says is read without a question: it is in the prompt anyway.
    let text = world.call("skill_read", json!({"name": "word-count"})).await;
    assert!(text.contains("# Word count"), "{text}");
    let prompt = world.prompt().await;
    assert!(prompt.contains("# Skills\n## hello-wasm\nGreets a person by name."), "{prompt}");
    assert!(
        prompt.contains("## word-count\n") && prompt.contains("Hidden files and files that are not text"),
        "{prompt}"
    );
    assert!(prompt.find("# Skills") < prompt.find("# Now"), "{prompt}");

    until("the run in the ledger", async || {
        let ledger = world.home.json(&["ledger", "show"]).await;
        let what = "run word-count notes.md /workspace/marmalade.txt";
        ledger.iter().any(|line| line["what"] == what && line["capability"] == "skill").then_some(())
    })
    .await;
    world.daemon.end().await;
}

#[tokio::test]
async fn nothing_is_changed_and_nothing_outside_is_reached() {
    let mut world = World::probing("", "").await;
    let work = world.home.workspace();
    let outside = work.parent().unwrap().join("outside");
    std::fs::create_dir(&outside).unwrap();
    std::fs::write(outside.join("secret"), "outside").unwrap();
    std::fs::create_dir(work.join("sub")).unwrap();
    std::fs::write(work.join("sub/inner"), "inside").unwrap();
    symlink("sub/inner", work.join("good-link")).unwrap();
    symlink("../outside/secret", work.join("bad-link")).unwrap();
    symlink(&outside, work.join("bad-folder")).unwrap();

    for path in ["sub/inner", "/workspace/sub/inner", "/workspace/sub/../sub/inner", "good-link"] {
        assert_eq!(world.probe(&["cat", path]).await, "inside", "{path}");
    }
    let names = "bad-folder bad-link good-link marmalade.txt sub";
    assert_eq!(world.probe(&["list", "/workspace"]).await, names);
    assert!(world.probe(&["list", "/skill"]).await.contains("SKILL.md"));

    let secret = outside.join("secret").display().to_string();
    for path in [
        "bad-link",
        "/workspace/bad-folder/secret",
        "../outside/secret",
        "/workspace/../outside/secret",
        "/workspace/sub/../../outside/secret",
        "/skill/../../../outside/secret",
        secret.as_str(),
        "/etc/passwd",
        "/proc/self/environ",
    ] {
        let told = world.probe(&["cat", path]).await;
        assert!(told.contains("exit code: 1\nstderr:\n"), "{path}: {told}");
    }
    for attempt in [
        vec!["write", "/workspace/marmalade.txt"],
        vec!["write", "/workspace/new"],
        vec!["write", "new"],
        vec!["write", "/skill/SKILL.md"],
        vec!["write", "/workspace/bad-link"],
        vec!["append", "/workspace/marmalade.txt"],
        vec!["mkdir", "/workspace/folder"],
        vec!["remove", "/workspace/marmalade.txt"],
        vec!["rmdir", "/workspace/sub"],
        vec!["rename", "/workspace/marmalade.txt", "/workspace/jam.txt"],
        vec!["link", "/workspace/marmalade.txt", "/workspace/second"],
        vec!["connect", "127.0.0.1:9"],
    ] {
        let told = world.probe(&attempt).await;
        assert!(told.contains("Permission") || told.contains("ReadOnly"), "{attempt:?}: {told}");
    }
    assert_eq!(world.probe(&["list", "/workspace"]).await, names);
    assert_eq!(std::fs::read_to_string(work.join("marmalade.txt")).unwrap(), "sweet\n");
}

#[tokio::test]
async fn a_link_that_is_exchanged_while_it_is_read_shows_nothing_from_outside() {
    let mut world = World::probing("", "").await;
    let work = world.home.workspace();
    let outside = work.parent().unwrap().join("outside");
    for (folder, text) in [(&outside, "outside"), (&work.join("good"), "inside")] {
        std::fs::create_dir(folder).unwrap();
        std::fs::write(folder.join("file"), text).unwrap();
    }
    let stop = Arc::new(AtomicBool::new(false));
    let (stopped, place) = (Arc::clone(&stop), work.join("place"));
    let swapping = std::thread::spawn(move || {
        let (new, mut number) = (place.with_extension("new"), 0_usize);
        while !stopped.load(Ordering::Relaxed) {
            let target = if number % 2 == 0 { Path::new("good") } else { &outside };
            symlink(target, &new).unwrap();
            std::fs::rename(&new, &place).unwrap();
            number += 1;
        }
        number
    });
    let seen = world.probe(&["stare", "/workspace/place/file"]).await;
    stop.store(true, Ordering::Relaxed);
    assert!(swapping.join().unwrap() > 10);
    assert!(!seen.contains("outside"), "{seen}");
}

#[tokio::test]
async fn the_home_of_the_host_is_closed_also_within_the_workspace() {
    let model = Model::start(script).await;
    let home = prepared(&model, FREELY);
    put_probe(&home, "");
    let around = home.path().parent().unwrap().to_path_buf();
    symlink(home.path().join("web-token"), around.join("link")).unwrap();
    symlink("home", around.join("door")).unwrap();
    let environment = [("OPENPISTA_WORKSPACE", around.to_str().unwrap())];
    let mut world = World::begin(home, model, &environment, &["skill.probe", "skill.read"]).await;
    let token = world.home.token();
    assert_eq!(world.probe(&["cat", "/workspace/workspace/marmalade.txt"]).await, "sweet");
    assert!(world.probe(&["cat", "/skill/SKILL.md"]).await.contains("name: probe"));
    for path in [
        "home/web-token",
        "/workspace/home/web-token",
        "home/config.toml",
        "link",
        "door/web-token",
        "door/../home/web-token",
    ] {
        let told = world.probe(&["cat", path]).await;
        assert!(told.contains("PermissionDenied") && !told.contains(&token), "{path}: {told}");
    }
    assert!(world.probe(&["list", "home"]).await.contains("PermissionDenied"));
}

#[tokio::test]
async fn a_command_gets_its_arguments_its_input_what_is_declared_of_an_environment_and_nothing_else() {
    let mut world = World::probing("", "env:\n  DEPTH: 3\n  GREETING: \"hi there\"\n").await;
    assert_eq!(world.probe(&["args", "two words", ""]).await, "probe|args|two words|");
    assert_eq!(world.probe(&["env"]).await, "DEPTH=3;GREETING=hi there;");
    let told = world.call("skill_probe", json!({"arguments": ["input"], "input": "héllo"})).await;
    assert_eq!(told, "héllo");
    assert_eq!(world.probe(&["both"]).await, "stdout:\nto stdout\nstderr:\nto stderr");
    // With a schema of its own the arguments are the input.
    let schema = "parameters:\n  properties:\n    path: {type: string}\n  required: [path]\n";
    put(&own(&world.home).join("typed"), &format!("mode: wasm\n{schema}"), "", Some(&guest("guest-command")));
    until_tools(&world.home, &["skill.probe", "skill.read", "skill.typed"]).await;
    let told = world.call("skill_typed", json!({"nothing": 1})).await;
    assert!(told.contains("path"), "{told}");
}

#[tokio::test]
async fn what_takes_too_much_or_fails_is_an_error_with_what_was_written_until_then() {
    let limits = "[skills]\nrunning = \"300ms\"\nmemory = \"16MB\"\n";
    let mut world = World::probing(limits, "").await;
    let told = world.probe(&["spin"]).await;
    assert!(told.contains("[stopped: it ran for more than its 300 ms]\nstdout:\nbefore"), "{told}");
    let told = world.probe(&["grow"]).await;
    assert!(told.contains("[stopped: it wanted more than its 16 MiB of memory]"), "{told}");
    let told = world.probe(&["exit", "1"]).await;
    assert!(told.contains("exit code: 1\nstderr:\nit went wrong"), "{told}");
    let told = world.probe(&["unknown"]).await;
    assert!(told.contains("exit code: 1\nstderr:\nunknown: unknown"), "{told}");
    let told = world.probe(&["panic"]).await;
    assert!(told.contains("[stopped: it failed: ") && told.contains("in a skill"), "{told}");
    assert_eq!(world.probe(&["garbage"]).await, "caf\u{FFFD} is not UTF-8, but it is a line of text");
    // It is well after all that.
    assert_eq!(world.probe(&["args"]).await, "probe|args");
}

#[tokio::test]
async fn a_hundred_megabytes_of_output_are_bounded_and_end_whole() {
    let mut world = World::probing("", "").await;
    let told = world.probe(&["flood", "1600"]).await;
    assert!(told.starts_with("[it wrote 103,809,024 bytes more, which are left out in the middle]\néé"), "{told:.200}");
    assert!(told.contains("characters left out …]") && told.ends_with("éé"), "{told:.200}");
    assert!(told.chars().count() < 10_200, "{}", told.chars().count());
}

#[tokio::test]
async fn broken_skills_are_listed_with_file_and_line_and_hurt_no_other() {
    let model = Model::start(script).await;
    let home = prepared(&model, FREELY);
    put_probe(&home, "");
    let good = guest("guest-command");
    put(&own(&home).join("cut"), "mode: wasm\n", "", Some(&good[..good.len() / 2]));
    put(&own(&home).join("core"), "mode: wasm\n", "", Some(b"\0asm\x01\0\0\0"));
    put(&own(&home).join("elsewhere"), "mode: wasm\n", "", Some(&guest("guest-elsewhere")));
    put(&own(&home).join("greedy"), "mode: wasm\n", "", Some(&guest("guest-unlisted")));
    put(&own(&home).join("typo"), "mode: wsam\n", "", None);
    // What is the person's own comes before what lies in the workspace.
    put(&home.workspace().join("probe"), "", "Another one.", None);
    let mut world = World::begin(home, model, &[], &["skill.probe", "skill.read"]).await;
    assert_eq!(world.probe(&["args"]).await, "probe|args");
    let list = skills(&world.home).await;
    let problem = |name: &str| -> String {
        let of = |skill: &&Value| skill["name"] == name && skill["usable"] == false;
        let skill = list.iter().find(of).unwrap_or_else(|| panic!("{name}: {list:?}"));
        skill["problems"].as_array().unwrap().iter().map(|problem| problem.as_str().unwrap()).collect()
    };
    for (name, words) in [
        ("cut", "cut/SKILL.md: cut.wasm: it is cut off, damaged, or uses what this host does not know"),
        ("core", "core.wasm: it is a core WebAssembly module, not a component: build it with"),
        (
            "elsewhere",
            "it exports nothing; a skill is a WASI command (wasi:cli/run) or has tools (openpista:plugin/tools)",
        ),
        ("greedy", "it imports openpista:shell/shell@0.1.0, and a skill has no capability; install it as a plugin"),
        ("typo", "typo/SKILL.md:4: `mode: wsam` is none of prompt, wasm, subprocess, container"),
        ("probe", "is called probe, too, and was found first: that one is used"),
    ] {
        assert!(problem(name).contains(words), "{name}: {}", problem(name));
    }
    let core = own(&world.home).join("core");
    let (code, out, err) = world.home.said(&["skill", "check", core.to_str().unwrap()]).await;
    assert_eq!(code, Some(1), "{out}{err}");
    assert!(err.contains("wasm32-wasip2"), "{out}{err}");
    let (code, out, _) = world.home.said(&["skill", "show", "probe"]).await;
    assert_eq!(code, Some(0));
    assert!(out.contains("name: probe") && out.contains("wasm"), "{out}");
    let (code, _, err) = world.home.said(&["skill", "show", "typo"]).await;
    assert_eq!(code, Some(4), "{err}");
    assert!(err.contains("typo/SKILL.md:4"), "{err}");
}

#[tokio::test]
async fn a_skill_that_comes_changes_and_goes_is_noticed_by_a_daemon_that_runs() {
    let model = Model::start(script).await;
    let home = prepared(&model, FREELY);
    let mut world = World::begin(home, model, &[], &[]).await;
    assert!(!world.prompt().await.contains("# Skills"));

    let folder = world.home.workspace().join("deep/down/probe");
    put(&folder, "mode: wasm\n", "The first text.", Some(&guest("guest-command")));
    until_tools(&world.home, &["skill.probe", "skill.read"]).await;
    assert!(world.prompt().await.contains("The first text."));
    assert_eq!(world.probe(&["args"]).await, "probe|args");

    put(&folder, "mode: wasm\n", "The second text.", Some(&guest("hello-wasm")));
    until_tools(&world.home, &["skill.probe.hello.greet", "skill.read"]).await;
    assert!(world.prompt().await.contains("The second text."));
    assert_eq!(world.call("skill_probe_hello_greet", json!({"name": "Bo"})).await, "Hello, Bo!");

    std::fs::write(folder.join("probe.wasm"), b"\0asm").unwrap();
    until_tools(&world.home, &[]).await;
    assert_eq!(skills(&world.home).await[0]["usable"], json!(false));

    std::fs::write(folder.join("probe.wasm"), guest("guest-command")).unwrap();
    until_tools(&world.home, &["skill.probe", "skill.read"]).await;
    std::fs::remove_dir_all(&folder).unwrap();
    until_tools(&world.home, &[]).await;
    assert!(!world.prompt().await.contains("# Skills"));
    assert_eq!(skills(&world.home).await, Vec::<Value>::new());
}

#[tokio::test]
async fn texts_go_to_the_model_while_they_fit_and_the_rest_is_read_on_demand() {
    let model = Model::start(script).await;
    let home = prepared(&model, &format!("{FREELY}[skills]\ncontext_chars = 1000\n"));
    put(&own(&home).join("brief"), "", "Be brief.", None);
    put(&own(&home).join("long"), "", &"Read all of it. ".repeat(100), None);
    let folder = own(&home).join("long");
    std::fs::create_dir(folder.join("references")).unwrap();
    std::fs::write(folder.join("references/api.md"), "The reference.").unwrap();
    symlink(home.path().join("config.toml"), folder.join("stolen")).unwrap();
    let mut world = World::begin(home, model, &[], &["skill.read"]).await;
    let prompt = world.prompt().await;
    assert!(prompt.contains("Be brief.") && prompt.contains("- `long`: What long is for."), "{prompt}");
    assert!(!prompt.contains("Read all of it."), "{prompt}");
    assert!(world.call("skill_read", json!({"name": "long"})).await.contains("Read all of it."));
    let told = world.call("skill_read", json!({"name": "long", "file": "references/api.md"})).await;
    assert_eq!(told, "The reference.");
    for file in ["stolen", "../../config.toml", "/etc/passwd", "references"] {
        let told = world.call("skill_read", json!({"name": "long", "file": file})).await;
        assert!(told.contains("cannot be read"), "{file}: {told}");
    }
}

#[tokio::test]
async fn with_names_only_or_in_safe_mode_no_text_of_a_skill_goes_to_the_model_by_itself() {
    for (config, named) in [("[skills]\ncontext = \"names\"\n", true), ("[plugins]\nsafe_mode = true\n", false)] {
        let model = Model::start(script).await;
        let home = prepared(&model, config);
        put(&own(&home).join("brief"), "", "Be brief.", None);
        let ready: &[&str] = if named { &["skill.read"] } else { &[] };
        let mut world = World::begin(home, model, &[], ready).await;
        let prompt = world.prompt().await;
        assert!(!prompt.contains("Be brief."), "{prompt}");
        assert_eq!(prompt.contains("- `brief`: What brief is for."), named, "{prompt}");
    }
}

#[tokio::test]
async fn without_a_daemon_a_skill_is_used_too() {
    let model = Model::start(script).await;
    let home = prepared(&model, FREELY);
    put_probe(&home, "");
    let asked = json!({"tool": "skill_probe", "arguments": {"arguments": ["args", "once"]}}).to_string();
    let (code, out, err) = home.said(&["run", "-e", &asked]).await;
    assert_eq!(code, Some(0), "{out}{err}");
    assert!(out.contains("probe|args|once"), "{out}{err}");
}

/// Lines of the blocks for a shell in one section of a page.
fn commands(page: &str, section: &str) -> Vec<String> {
    let text = page.split("\n## ").find(|part| part.starts_with(section)).unwrap();
    let blocks = text.split("```").enumerate().filter(|(index, _)| index % 2 == 1).map(|(_, block)| block);
    blocks.filter_map(|block| block.strip_prefix("sh\n")).flat_map(|block| block.lines().map(str::to_string)).collect()
}

#[tokio::test]
async fn the_commands_of_the_guide_make_a_skill_of_a_plain_command() {
    let skills = Path::new(env!("CARGO_MANIFEST_DIR")).join("../skills");
    let page = std::fs::read_to_string(skills.join("README.md")).unwrap();
    let home = Home::with(&["tool-skill"]);
    // The guide's home is where everybody's is.
    let place = tempfile::tempdir().unwrap();
    let folder = place.path().join("word-count");
    std::fs::create_dir_all(folder.join("src")).unwrap();
    for file in ["Cargo.toml", "Cargo.lock", "SKILL.md", "src/main.rs"] {
        std::fs::copy(skills.join("word-count").join(file), folder.join(file)).unwrap();
    }
    std::fs::set_permissions(place.path(), std::fs::Permissions::from_mode(0o700)).unwrap();
    let lines = commands(&page, "A plain command");
    // The target is there, and asking for it needs a network.
    let script: Vec<&str> = lines
        .iter()
        .map(String::as_str)
        .filter(|line| !line.starts_with("rustup") && !line.starts_with("cd "))
        .collect();
    assert!(script.len() >= 4, "{script:?}");
    let binary = Path::new(env!("CARGO_BIN_EXE_openpista-host")).parent().unwrap();
    let real = |name: &str, folder: &str| {
        std::env::var_os(name).unwrap_or_else(|| Path::new(&std::env::var_os("HOME").unwrap()).join(folder).into())
    };
    let mut path = std::ffi::OsString::from(binary);
    path.push(":");
    path.push(std::env::var_os("PATH").unwrap_or_default());
    let mut command = tokio::process::Command::new("bash");
    command.args(["-e", "-c", &script.join("\n")]).current_dir(&folder).env_clear();
    command
        .env("HOME", place.path())
        .env("PATH", path)
        .env("OPENPISTA_STOCK", home.path().parent().unwrap().join("stock"));
    command.env("CARGO_HOME", real("CARGO_HOME", ".cargo")).env("RUSTUP_HOME", real("RUSTUP_HOME", ".rustup"));
    if let Some(toolchain) = std::env::var_os("RUSTUP_TOOLCHAIN") {
        command.env("RUSTUP_TOOLCHAIN", toolchain);
    }
    command.env("CARGO_NET_OFFLINE", "true").stdin(std::process::Stdio::null()).kill_on_drop(true);
    let output = tokio::time::timeout(5 * daemon::PATIENCE, command.output()).await.unwrap().unwrap();
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{out}{err}");
    assert!(out.contains("word-count") && out.contains("ready"), "{out}{err}");
    assert!(place.path().join(".openpista/skills/word-count/word-count.wasm").is_file());
    assert!(stock().is_dir());
}
