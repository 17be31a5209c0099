//! `plugin new`: lays out a plugin that builds as it is, in Rust, Python or JavaScript.
//!
//! The files lie in `host/templates/`, a folder for each language, and are part of the executable, with the contract in its
//! one-file form. In each of them `@NAME@` and the like stand for what [`Project::filled`] puts there. The world is one file for
//! all languages.

use std::path::{Path, PathBuf};

use anyhow::Context as _;

use super::arguments::{NewLang, NewRole};
use super::{Exit, Failure};
use crate::config::is_name;
use crate::output::{Output, Paint};

/// A file of the templates.
macro_rules! template {
    ($file:literal) => {
        include_str!(concat!("../../templates/", $file))
    };
}

const WORLD: &str = template!("world.wit.in");
const CONTRACT: &str = include_str!("../../../wit/flat/openpista.wit");
/// What other programs, languages and this project call something of their own.
const RESERVED: [&str; 9] = ["host", "openpista", "test", "core", "std", "crate", "self", "super", "wit"];

/// What is to be laid out.
struct Project<'a> {
    name: &'a str,
    role: NewRole,
    lang: NewLang,
}

/// Makes the folder. One that has something in it is refused.
pub fn new(name: &str, role: NewRole, lang: NewLang, into: Option<&Path>, output: Output) -> Result<Exit, Failure> {
    if !is_name(name) || !name.starts_with(|c: char| c.is_ascii_lowercase()) || name.contains("--") {
        return Err(Failure::new(
            Exit::Usage,
            format!("\"{name}\" cannot be a plugin's name; begin with a letter, then small letters, digits and -"),
        ));
    }
    if RESERVED.contains(&name) {
        return Err(Failure::new(
            Exit::Usage,
            format!("\"{name}\" is a name that the tools use themselves; take another one, such as my-{name}"),
        ));
    }
    let folder = into.map_or_else(|| PathBuf::from(name), Path::to_owned);
    let taken = match std::fs::read_dir(&folder) {
        Ok(mut entries) => entries.next().is_some(),
        Err(error) => error.kind() != std::io::ErrorKind::NotFound,
    };
    if taken {
        return Err(Failure::new(
            Exit::Failed,
            format!("{} is there already and not an empty folder; choose another with --into", folder.display()),
        ));
    }
    let project = Project { name, role, lang };
    for (file, text) in project.files() {
        let path = folder.join(file);
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent).with_context(|| format!("cannot make {}", parent.display()))?;
        }
        std::fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
    }
    output.line(&format!("{} is a plugin that builds as it is:", folder.display()))?;
    output.line(&format!("  cd {}", folder.display()))?;
    for command in project.commands() {
        output.line(&format!("  {command}"))?;
    }
    output.note(
        Paint::Faint,
        "A running daemon takes it at once; `openpista-host plugin list` shows it. README.md has the rest.",
    );
    Ok(Exit::Done)
}

impl Project<'_> {
    /// The world of the contract that the plugin's own one includes.
    fn world(&self) -> &'static str {
        match self.role {
            NewRole::Tools => "tool-plugin",
            NewRole::Provider => "provider-plugin",
            NewRole::Channel => "channel-plugin",
        }
    }

    /// What the example does, as a module is named.
    fn logic(&self) -> &'static str {
        match self.role {
            NewRole::Tools => "reverse",
            NewRole::Provider => "echo",
            NewRole::Channel => "lines",
        }
    }

    /// The component's file.
    fn component(&self) -> String {
        match self.lang {
            NewLang::Rust => format!("{}.wasm", self.name.replace('-', "_")),
            NewLang::Python | NewLang::Js => format!("{}.wasm", self.name),
        }
    }

    /// What an instance of the plugin is called unless the person says otherwise.
    fn instance(&self) -> &str {
        let rest = ["channel-", "provider-", "tool-"].iter().find_map(|role| self.name.strip_prefix(role));
        rest.unwrap_or(self.name)
    }

    /// From nothing to the folder of the plugins.
    fn commands(&self) -> Vec<String> {
        let component = self.component();
        let (build, built): (&[&str], _) = match self.lang {
            NewLang::Rust => {
                (&["cargo build --release --target wasm32-wasip2"], format!("target/wasm32-wasip2/release/{component}"))
            }
            NewLang::Python => (
                &[
                    "python3 -m venv .venv && . .venv/bin/activate && pip install -r requirements.txt",
                    "componentize-py -d wit -w guest componentize plugin -o @FILE@",
                ],
                component,
            ),
            NewLang::Js => (&["npm install && npm run build"], component),
        };
        let mut commands: Vec<String> = build.iter().map(|command| self.filled(command)).collect();
        commands.push(format!("cp {built} ~/.openpista/plugins/"));
        if self.role == NewRole::Channel {
            commands.push(format!("openpista-host plugin allow {}", self.name));
        }
        commands
    }

    /// Each file's path in the project, and its text.
    fn files(&self) -> Vec<(String, String)> {
        let logic = self.logic();
        let of_language: Vec<(String, &str)> = match self.lang {
            NewLang::Rust => vec![
                ("Cargo.toml".into(), template!("rust/Cargo.toml.in")),
                (".gitignore".into(), "/target\n/src/bindings.rs\n"),
                ("README.md".into(), template!("rust/README.md.in")),
                ("src/lib.rs".into(), self.pick(RUST)),
            ],
            NewLang::Python => vec![
                ("requirements.txt".into(), template!("python/requirements.txt.in")),
                (".gitignore".into(), template!("python/gitignore.in")),
                ("README.md".into(), template!("python/README.md.in")),
                ("plugin.py".into(), self.pick(PYTHON)),
                (format!("{logic}.py"), self.pick(PYTHON_LOGIC)),
                (format!("test_{logic}.py"), self.pick(PYTHON_TEST)),
            ],
            // Its engine takes one file only, so there is no module of its own for the logic.
            NewLang::Js if self.role == NewRole::Provider => vec![
                ("package.json".into(), template!("js/package-provider.json.in")),
                (".gitignore".into(), template!("js/gitignore.in")),
                ("README.md".into(), template!("js/README-provider.md.in")),
                ("plugin.js".into(), template!("js/provider.js.in")),
                ("plugin.test.js".into(), template!("js/provider.test.js.in")),
            ],
            NewLang::Js => vec![
                ("package.json".into(), template!("js/package.json.in")),
                (".gitignore".into(), template!("js/gitignore.in")),
                ("README.md".into(), template!("js/README.md.in")),
                ("plugin.js".into(), self.pick(JS)),
                (format!("{logic}.js"), self.pick(JS_LOGIC)),
                (format!("{logic}.test.js"), self.pick(JS_TEST)),
            ],
        };
        let mut files: Vec<(String, String)> =
            of_language.into_iter().map(|(path, text)| (path, self.filled(text))).collect();
        files.push(("wit/world.wit".into(), self.filled(WORLD)));
        files.push(("wit/openpista.wit".into(), CONTRACT.to_owned()));
        files
    }

    /// What belongs to the role.
    fn pick<'t>(&self, [tools, provider, channel]: [&'t str; 3]) -> &'t str {
        match self.role {
            NewRole::Tools => tools,
            NewRole::Provider => provider,
            NewRole::Channel => channel,
        }
    }

    fn filled(&self, text: &str) -> String {
        text.replace("@TRY@", self.pick(TRY).trim_end())
            .replace("@NAME@", self.name)
            .replace("@INSTANCE@", self.instance())
            .replace("@ROLE@", self.world())
            .replace("@LOGIC@", self.logic())
            .replace("@FILE@", &self.component())
    }
}

/// For tools, a provider, a channel.
type ForRoles = [&'static str; 3];

const TRY: ForRoles = [template!("try-tools.md.in"), template!("try-provider.md.in"), template!("try-channel.md.in")];
const RUST: ForRoles =
    [template!("rust/tools.rs.in"), template!("rust/provider.rs.in"), template!("rust/channel.rs.in")];
const PYTHON: ForRoles =
    [template!("python/tools.py.in"), template!("python/provider.py.in"), template!("python/channel.py.in")];
const PYTHON_LOGIC: ForRoles =
    [template!("python/reverse.py.in"), template!("python/echo.py.in"), template!("python/lines.py.in")];
const PYTHON_TEST: ForRoles =
    [template!("python/test_reverse.py.in"), template!("python/test_echo.py.in"), template!("python/test_lines.py.in")];
const JS: ForRoles = [template!("js/tools.js.in"), "", template!("js/channel.js.in")];
const JS_LOGIC: ForRoles = [template!("js/reverse.js.in"), "", template!("js/lines.js.in")];
const JS_TEST: ForRoles = [template!("js/reverse.test.js.in"), "", template!("js/lines.test.js.in")];
