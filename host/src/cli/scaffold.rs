//! `plugin new`: lays out a plugin that builds as it is.
//!
//! The files lie in `host/templates/` and are part of the executable, with the contract in its one-file form.

use std::path::{Path, PathBuf};

use anyhow::Context as _;

use super::arguments::NewRole;
use super::{Exit, Failure};
use crate::config::{is_name, suggestion};
use crate::output::{Output, Paint};

const MANIFEST: &str = include_str!("../../templates/Cargo.toml.in");
const WORLD: &str = include_str!("../../templates/world.wit.in");
const README: &str = include_str!("../../templates/README.md.in");
const CONTRACT: &str = include_str!("../../../wit/flat/openpista.wit");
const TOOLS: &str = include_str!("../../templates/tools.rs.in");
const PROVIDER: &str = include_str!("../../templates/provider.rs.in");
const CHANNEL: &str = include_str!("../../templates/channel.rs.in");

/// Makes the folder. One that has something in it is refused.
pub fn new(name: &str, role: NewRole, into: Option<&Path>, output: Output) -> Result<Exit, Failure> {
    let reserved = ["host", "openpista", "test", "core", "std", "crate", "self", "super", "wit"];
    if !is_name(name) || !name.starts_with(|c: char| c.is_ascii_lowercase()) || name.contains("--") {
        return Err(Failure::new(
            Exit::Usage,
            format!("\"{name}\" cannot be a plugin's name; begin with a letter, then small letters, digits and -"),
        ));
    }
    if reserved.contains(&name) {
        let near = suggestion(name, [format!("my-{name}").as_str()].into_iter());
        return Err(Failure::new(Exit::Usage, format!("\"{name}\" is a name that the tools use themselves{near}")));
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
    let (source, world) = match role {
        NewRole::Tools => (TOOLS, "tool-plugin"),
        NewRole::Provider => (PROVIDER, "provider-plugin"),
        NewRole::Channel => (CHANNEL, "channel-plugin"),
    };
    let crate_file = format!("{}.wasm", name.replace('-', "_"));
    let fill = |text: &str| text.replace("@NAME@", name).replace("@ROLE@", world).replace("@FILE@", &crate_file);
    let files = [
        ("Cargo.toml", fill(MANIFEST)),
        (".gitignore", "/target\n/src/bindings.rs\n".to_owned()),
        ("README.md", fill(README)),
        ("src/lib.rs", fill(source)),
        ("wit/world.wit", fill(WORLD)),
        ("wit/openpista.wit", CONTRACT.to_owned()),
    ];
    for (file, text) in files {
        let path = folder.join(file);
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent).with_context(|| format!("cannot make {}", parent.display()))?;
        }
        std::fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
    }
    let shown = folder.display();
    output.line(&format!("{shown} is a plugin that builds as it is:"))?;
    output.line(&format!("  cd {shown} && cargo build --release --target wasm32-wasip2"))?;
    output.line(&format!("  cp target/wasm32-wasip2/release/{crate_file} ~/.openpista/plugins/"))?;
    output.note(Paint::Faint, "A running daemon takes it at once; `openpista-host plugin list` shows it.");
    Ok(Exit::Done)
}
