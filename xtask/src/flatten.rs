//! Writes the contract in `wit/` as one file of nested packages, `wit/flat/openpista.wit`.
//!
//! `cargo component`, componentize-py and jco want the packages that a world refers to beside it, without a folder
//! `deps`. The flat file is what a guest's author copies, so it keeps every comment and the order within each file.
//! The result depends only on what `wit/` holds; `--check` compares it with the file byte by byte.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

const NOTICE: &str = "// Made from wit/ by `cargo xtask flatten`. Do not edit.\n";

/// Where the flat file of the contract in `wit` lies.
pub fn destination(wit: &Path) -> PathBuf {
    wit.join("flat").join("openpista.wit")
}

/// Writes the flat file unless it is up to date. True if it was written.
pub fn write(wit: &Path) -> Result<bool> {
    let text = flatten(wit)?;
    let path = destination(wit);
    if fs::read_to_string(&path).is_ok_and(|old| old == text) {
        return Ok(false);
    }
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    }
    fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
    Ok(true)
}

/// Fails unless the flat file says what `wit` says, and names the first line that differs.
pub fn check(wit: &Path) -> Result<()> {
    let path = destination(wit);
    let found = fs::read_to_string(&path)
        .with_context(|| format!("cannot read {}; run `cargo xtask flatten`", path.display()))?;
    let wanted = flatten(wit)?;
    if found == wanted {
        return Ok(());
    }
    let same = found.lines().zip(wanted.lines()).take_while(|(a, b)| a == b).count();
    bail!("{} differs from wit/ in line {}; run `cargo xtask flatten`", path.display(), same + 1)
}

/// The contract in `wit` as one text: the packages of `wit/deps` by folder name, the main package last.
pub fn flatten(wit: &Path) -> Result<String> {
    let mut folders: Vec<PathBuf> = entries(&wit.join("deps"))?.into_iter().filter(|path| path.is_dir()).collect();
    folders.push(wit.to_path_buf());

    let mut text = NOTICE.to_string();
    for folder in folders {
        let mut files = Vec::new();
        for path in entries(&folder)?.into_iter().filter(|path| path.extension().is_some_and(|e| e == "wit")) {
            files.push(fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?);
        }
        let package = nest(&files).with_context(|| format!("cannot flatten {}", folder.display()))?;
        text.push('\n');
        text.push_str(&package);
    }
    Ok(text)
}

/// What a folder holds, sorted by name.
fn entries(folder: &Path) -> Result<Vec<PathBuf>> {
    let context = || format!("cannot list {}", folder.display());
    let mut paths = Vec::new();
    for entry in fs::read_dir(folder).with_context(context)? {
        paths.push(entry.with_context(context)?.path());
    }
    paths.sort();
    Ok(paths)
}

/// The files of one package as `package NAME { … }`. Exactly one of them has the header.
fn nest(files: &[String]) -> Result<String> {
    let mut header: Option<Header> = None;
    let mut bodies = Vec::new();
    for file in files {
        let (found, rest) = split(file);
        if let Some(found) = found {
            if let Some(first) = &header {
                bail!("the package has two headers: {} and {}", first.name, found.name);
            }
            header = Some(found);
        }
        bodies.push(rest.trim_matches('\n').to_string());
    }
    let Some(Header { doc, name }) = header else {
        bail!("no file has a line `package NAME;`");
    };

    let mut text = format!("{doc}package {name} {{\n");
    for line in bodies.join("\n\n").split('\n') {
        if !line.is_empty() {
            text.push_str("  ");
            text.push_str(line);
        }
        text.push('\n');
    }
    text.push_str("}\n");
    Ok(text)
}

struct Header {
    /// The `///` lines right above it, each with its line end.
    doc: String,
    name: String,
}

/// Takes the package header with its documentation out of a file.
fn split(file: &str) -> (Option<Header>, String) {
    let lines: Vec<&str> = file.split_inclusive('\n').collect();
    let named = lines.iter().enumerate().find_map(|(at, line)| {
        let name = line.trim_end_matches('\n').strip_prefix("package ")?.strip_suffix(';')?;
        Some((at, name.to_string()))
    });
    let Some((at, name)) = named else {
        return (None, file.to_string());
    };
    let (before, after) = lines.split_at(at);
    let documented = before.iter().rev().take_while(|line| line.trim_start().starts_with("///")).count();
    let (before, doc) = before.split_at(at - documented);
    let rest = before.iter().chain(after.iter().skip(1)).copied().collect();
    (Some(Header { doc: doc.concat(), name }), rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contract(files: &[(&str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        folder
    }

    #[test]
    fn packages_are_nested_in_order_with_their_comments() {
        let wit = contract(&[
            ("world.wit", "/// The main one.\npackage a:main@0.1.0;\n\nworld w {\n  import x;\n}\n"),
            ("also.wit", "// A note.\ninterface x {}\n"),
            ("deps/b/b.wit", "package a:b@0.1.0;\n\n/// One.\ninterface one {\n\n  f: func();\n}\n"),
            ("deps/a/a.wit", "/// First line.\n/// Second line.\npackage a:a@0.1.0;\ninterface two {}\n"),
            ("deps/a/notes.md", "not WIT"),
        ]);
        assert_eq!(
            flatten(wit.path()).unwrap(),
            "\
// Made from wit/ by `cargo xtask flatten`. Do not edit.

/// First line.
/// Second line.
package a:a@0.1.0 {
  interface two {}
}

package a:b@0.1.0 {
  /// One.
  interface one {

    f: func();
  }
}

/// The main one.
package a:main@0.1.0 {
  // A note.
  interface x {}

  world w {
    import x;
  }
}
"
        );
    }

    #[test]
    fn a_package_without_a_header_or_with_two_is_refused() {
        let none = contract(&[("world.wit", "interface x {}\n"), ("deps/a/a.wit", "package a:a;\n")]);
        assert!(format!("{:#}", flatten(none.path()).unwrap_err()).ends_with("no file has a line `package NAME;`"));
        let two = contract(&[("a.wit", "package a:a;\n"), ("b.wit", "package a:b;\n"), ("deps/.keep", "")]);
        assert!(format!("{:#}", flatten(two.path()).unwrap_err()).ends_with("two headers: a:a and a:b"));
    }

    #[test]
    fn the_check_names_the_line_that_differs_and_writing_settles_it() {
        let wit = contract(&[("world.wit", "package a:main;\n\ninterface x {}\n"), ("deps/a/a.wit", "package a:a;\n")]);
        assert!(write(wit.path()).unwrap());
        assert!(!write(wit.path()).unwrap());
        check(wit.path()).unwrap();
        fs::write(wit.path().join("world.wit"), "package a:main;\n\ninterface y {}\n").unwrap();
        let error = check(wit.path()).unwrap_err().to_string();
        assert!(error.ends_with("differs from wit/ in line 8; run `cargo xtask flatten`"), "{error}");
    }

    #[test]
    fn the_checked_in_flat_file_is_in_step() {
        check(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../wit")).unwrap();
    }
}
