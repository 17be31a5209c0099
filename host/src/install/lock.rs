//! `plugins.lock` in the home: what was installed from where, with which digests, signed by whom, and whose key is
//! trusted for which name.
//!
//! It is TOML for people to read, and to keep under version control. What is in it and not known here, comments too, stays
//! as it is when it is written again; a file that cannot be understood is left alone and nothing is installed.

use std::path::{Path, PathBuf};

use toml_edit::{DocumentMut, Item, Table, value};

use super::signature::Key;
use super::source::is_digest;
use crate::runtime::cache::write_private;

/// Of the file's form.
const VERSION: i64 = 1;
const HEADING: &str = "\
# What was installed from where: written by `openpista-host plugin add`, `update`, `rollback`, `remove` and `trust`.
";

/// One version of a plugin as it was installed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Installed {
    /// Where it came from, as [`super::source::Source`] is written.
    pub source: String,
    /// As it says itself.
    pub version: String,
    /// SHA-256 of the file, in hex.
    pub digest: String,
    /// SHA-256 of the manifest in the registry, in hex.
    pub manifest: Option<String>,
    /// The key that signed it.
    pub signer: Option<String>,
    /// It may be fetched over unencrypted connections.
    pub plain_http: bool,
    /// RFC 3339.
    pub when: String,
}

/// A plugin as the lock file knows it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Entry {
    /// In the plugins folder.
    pub file: String,
    /// What is there now.
    pub now: Installed,
    /// What was there before.
    pub previous: Option<Installed>,
}

/// Why there is no lock file to work with.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Not read.
    #[error("cannot read {path}: {why}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// Not TOML, or not of this form.
    #[error(
        "{path} is damaged: {why}. Mend it, or move it away to begin anew: then every plugin counts as put there by hand"
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Where and what.
        why: String,
    },
    /// Of another program.
    #[error("{path} was written by a newer openpista-host (version {found}); update this one")]
    Newer {
        /// The file.
        path: PathBuf,
        /// Of its form.
        found: i64,
    },
    /// Not written.
    #[error("{0:#}")]
    Unwritten(anyhow::Error),
}

/// The lock file, as it was read.
#[derive(Debug, Clone)]
pub struct Lock {
    path: PathBuf,
    document: DocumentMut,
}

impl Lock {
    /// Reads it; a missing one is empty. All of it is understood, or it is an error.
    pub fn read(path: &Path) -> Result<Self, LockError> {
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => format!("{HEADING}version = {VERSION}\n"),
            Err(error) => return Err(LockError::Unreadable { path: path.to_owned(), why: error.to_string() }),
        };
        Self::parse(path, &text)
    }

    fn parse(path: &Path, text: &str) -> Result<Self, LockError> {
        let damaged = |why: String| LockError::Damaged { path: path.to_owned(), why };
        let document: DocumentMut = text.parse().map_err(|error: toml_edit::TomlError| damaged(error.to_string()))?;
        match document.get("version").map(Item::as_integer) {
            Some(Some(VERSION)) => (),
            Some(Some(found)) if found > VERSION => return Err(LockError::Newer { path: path.to_owned(), found }),
            _ => return Err(damaged(format!("there is no `version = {VERSION}` in it"))),
        }
        let lock = Self { path: path.to_owned(), document };
        for section in ["plugin", "trust"] {
            if lock.document.get(section).is_some_and(|item| item.as_table_like().is_none()) {
                return Err(damaged(format!("`{section}` is not a table")));
            }
        }
        for name in lock.names() {
            lock.entry(&name).map_err(damaged)?;
        }
        for (name, item) in lock.table("trust").into_iter().flat_map(|table| table.iter()) {
            let key = item.as_str().ok_or_else(|| damaged(format!("`trust.{name}` is not a text")))?;
            Key::parse(key).map_err(|error| damaged(format!("`trust.{name}`: {error}")))?;
        }
        Ok(lock)
    }

    fn table(&self, name: &str) -> Option<&dyn toml_edit::TableLike> {
        self.document.get(name)?.as_table_like()
    }

    /// Of all plugins in it, sorted.
    pub fn names(&self) -> Vec<String> {
        let table = self.table("plugin").into_iter();
        let mut names: Vec<String> = table.flat_map(|table| table.iter()).map(|(name, _)| name.to_owned()).collect();
        names.sort();
        names
    }

    /// A plugin.
    pub fn get(&self, name: &str) -> Option<Entry> {
        // What does not read was refused when the file was.
        self.entry(name).ok().flatten()
    }

    fn entry(&self, name: &str) -> Result<Option<Entry>, String> {
        let Some(item) = self.table("plugin").and_then(|plugins| plugins.get(name)) else { return Ok(None) };
        let place = format!("plugin.{name}");
        let table = item.as_table_like().ok_or_else(|| format!("`{place}` is not a table"))?;
        let file = text(table, &place, "file")?.ok_or_else(|| format!("`{place}.file` is missing"))?;
        if Path::new(&file).extension().is_none_or(|ending| ending != "wasm") || file.contains(['/', '\0']) {
            return Err(format!("`{place}.file` is not the name of a plugin's file"));
        }
        let previous = match table.get("previous") {
            None => None,
            Some(item) => {
                let place = format!("{place}.previous");
                let table = item.as_table_like().ok_or_else(|| format!("`{place}` is not a table"))?;
                Some(installed(table, &place)?)
            }
        };
        Ok(Some(Entry { file, now: installed(table, &place)?, previous }))
    }

    /// The key that is trusted for a plugin.
    pub fn trusted(&self, name: &str) -> Option<Key> {
        Key::parse(self.table("trust")?.get(name)?.as_str()?).ok()
    }

    /// Trusts a key for a plugin, or forgets whom it trusted.
    pub fn trust(&mut self, name: &str, key: Option<&Key>) {
        let Some(trust) = section(&mut self.document, "trust") else { return };
        match key {
            Some(key) => trust.insert(name, value(key.text())),
            None => trust.remove(name),
        };
    }

    /// Notes what is installed now. Fields that are not known here stay.
    pub fn set(&mut self, name: &str, entry: &Entry) {
        let Some(plugins) = section(&mut self.document, "plugin") else { return };
        plugins.set_implicit(true);
        let item = plugins.entry(name).or_insert_with(|| Item::Table(Table::new()));
        if item.as_table().is_none() {
            // Somebody wrote it in one line.
            *item = Item::Table(std::mem::take(item).into_table().unwrap_or_default());
        }
        let Some(table) = item.as_table_mut() else { return };
        table.insert("file", value(&entry.file));
        write(table, &entry.now);
        match &entry.previous {
            None => {
                table.remove("previous");
            }
            Some(previous) => {
                let mut before = Table::new();
                write(&mut before, previous);
                table.insert("previous", Item::Table(before));
            }
        }
    }

    /// Forgets a plugin; whose key is trusted for its name stays. Whether it was there.
    pub fn remove(&mut self, name: &str) -> bool {
        section(&mut self.document, "plugin").is_some_and(|plugins| plugins.remove(name).is_some())
    }

    /// Writes it, in one step.
    pub fn save(&self) -> Result<(), LockError> {
        write_private(&self.path, self.document.to_string().as_bytes()).map_err(LockError::Unwritten)
    }
}

/// A table at the top; what stands there otherwise was refused when the file was read.
fn section<'a>(document: &'a mut DocumentMut, name: &str) -> Option<&'a mut Table> {
    let item = document.entry(name).or_insert_with(|| Item::Table(Table::new()));
    if item.as_table().is_none() {
        *item = Item::Table(std::mem::take(item).into_table().unwrap_or_default());
    }
    item.as_table_mut()
}

fn text(table: &dyn toml_edit::TableLike, place: &str, key: &str) -> Result<Option<String>, String> {
    match table.get(key) {
        None => Ok(None),
        Some(item) => item.as_str().map(|text| Some(text.to_owned())).ok_or(format!("`{place}.{key}` is not a text")),
    }
}

fn installed(table: &dyn toml_edit::TableLike, place: &str) -> Result<Installed, String> {
    let needed = |key: &str| text(table, place, key)?.ok_or(format!("`{place}.{key}` is missing"));
    let hex = |key: &str, text: String| {
        let hex = text.strip_prefix("sha256:").filter(|hex| is_digest(hex));
        hex.map(str::to_owned).ok_or(format!("`{place}.{key}` is not sha256: and 64 hex digits"))
    };
    let plain_http = match table.get("plain_http") {
        None => false,
        Some(item) => item.as_bool().ok_or(format!("`{place}.plain_http` is not true or false"))?,
    };
    Ok(Installed {
        source: needed("source")?,
        version: needed("version")?,
        digest: hex("digest", needed("digest")?)?,
        manifest: text(table, place, "manifest")?.map(|text| hex("manifest", text)).transpose()?,
        signer: text(table, place, "signer")?,
        plain_http,
        when: text(table, place, "installed")?.unwrap_or_default(),
    })
}

fn write(table: &mut Table, installed: &Installed) {
    table.insert("source", value(&installed.source));
    table.insert("version", value(&installed.version));
    table.insert("digest", value(format!("sha256:{}", installed.digest)));
    let mut optional = |key: &str, text: Option<String>| match text {
        Some(text) => drop(table.insert(key, value(text))),
        None => drop(table.remove(key)),
    };
    optional("manifest", installed.manifest.as_ref().map(|hex| format!("sha256:{hex}")));
    optional("signer", installed.signer.clone());
    if installed.plain_http {
        table.insert("plain_http", value(true));
    } else {
        table.remove("plain_http");
    }
    table.insert("installed", value(&installed.when));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(number: &str) -> Installed {
        Installed {
            source: "oci://r.org/a:1".into(),
            version: number.into(),
            digest: "ab".repeat(32),
            manifest: Some("cd".repeat(32)),
            signer: None,
            plain_http: number == "0.9.0",
            when: "2026-01-02T03:04:05Z".into(),
        }
    }

    #[test]
    fn what_is_written_is_read_again_and_nothing_else_is_lost() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("plugins.lock");
        let mut lock = Lock::read(&path).unwrap();
        assert_eq!(lock.names(), Vec::<String>::new());
        let (_, _, key) = crate::install::signature::generate().unwrap();
        let entry = Entry { file: "weather.wasm".into(), now: version("1.0.0"), previous: Some(version("0.9.0")) };
        lock.set("weather", &entry);
        lock.trust("weather", Some(&key));
        lock.save().unwrap();
        let mode = std::os::unix::fs::MetadataExt::mode(&std::fs::metadata(&path).unwrap()) & 0o777;
        assert_eq!(mode, 0o600);

        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.starts_with("# What was installed") && text.contains("[plugin.weather.previous]"), "{text}");
        let text =
            text.replace("[plugin.weather]\n", "# mine\n[plugin.weather]\nnote = \"good\"\n") + "\n[later]\nx = 1\n";
        std::fs::write(&path, &text).unwrap();
        let mut lock = Lock::read(&path).unwrap();
        assert_eq!((lock.get("weather"), lock.trusted("weather")), (Some(entry), Some(key)));
        let next = Entry { file: "weather.wasm".into(), now: version("1.1.0"), previous: None };
        lock.set("weather", &next);
        lock.trust("weather", None);
        lock.save().unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        for kept in ["# mine", "note = \"good\"", "[later]\nx = 1"] {
            assert!(text.contains(kept), "{kept} in\n{text}");
        }
        let mut lock = Lock::read(&path).unwrap();
        assert_eq!((lock.get("weather"), lock.trusted("weather")), (Some(next), None));
        assert!(lock.remove("weather") && !lock.remove("weather"));
        assert_eq!(lock.get("weather"), None);
    }

    #[test]
    fn a_damaged_file_is_named_with_what_is_wrong_and_left_alone() {
        let good = format!(
            "version = 1\n[plugin.a]\nfile = \"a.wasm\"\nsource = \"/a\"\nversion = \"1\"\ndigest = \"sha256:{}\"\n",
            "ab".repeat(32)
        );
        let path = Path::new("/home/ann/plugins.lock");
        assert!(Lock::parse(path, &good).unwrap().get("a").is_some());
        let in_one_line = good.replace("[plugin.a]\n", "plugin.a = { ").replace("\"\n", "\", ") + "}";
        assert!(Lock::parse(path, &in_one_line.replace(", }", " }")).is_ok());
        for (from, to, words) in [
            ("version = 1\n", "", "`version = 1`"),
            ("version = 1\n", "version = 2\n", "newer"),
            ("file = \"a.wasm\"", "", "`plugin.a.file` is missing"),
            ("\"a.wasm\"", "\"../a.wasm\"", "not the name of a plugin's file"),
            ("\"sha256:ab", "\"sha256:zz", "`plugin.a.digest`"),
            ("version = \"1\"", "version = 1", "`plugin.a.version` is not a text"),
            ("[plugin.a]", "plugin = 3\n[other]", "`plugin` is not a table"),
            ("[plugin.a]", "[trust]\na = \"RW\"\n[plugin.a]", "`trust.a`"),
            ("[plugin.a]", "[plugin.a", "damaged"),
        ] {
            let error = Lock::parse(path, &good.replacen(from, to, 1)).unwrap_err().to_string();
            assert!(error.contains(words) && error.contains("/home/ann/plugins.lock"), "{words}: {error}");
        }
    }
}
