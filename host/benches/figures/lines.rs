//! How long the components are: lines with code, without tests.

use std::path::Path;

use anyhow::Result;

use super::table::Row;

/// A line for each component, by name.
pub fn lines(components: &Path) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    let mut folders: Vec<_> = std::fs::read_dir(components)?.collect::<Result<_, _>>()?;
    folders.sort_by_key(std::fs::DirEntry::file_name);
    for folder in folders {
        let name = folder.file_name().to_string_lossy().into_owned();
        let source = folder.path().join("src");
        if !source.is_dir() {
            continue;
        }
        let compared = if name.starts_with("channel-") { "at least 900 lines" } else { "" };
        let what = format!("{name}: {} lines of Rust without tests", of_folder(&source)?);
        let none = String::new;
        rows.push(Row { what, p50: none(), p99: none(), memory: none(), compared: compared.into() });
    }
    Ok(rows)
}

fn of_folder(folder: &Path) -> Result<usize> {
    let mut count = 0;
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_stem().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        // `cargo component` leaves bindings there.
        if matches!(name.as_str(), "tests" | "stage" | "bindings") {
            continue;
        }
        if path.is_dir() {
            count += of_folder(&path)?;
        } else if path.extension().is_some_and(|kind| kind == "rs") {
            count += of_text(&std::fs::read_to_string(path)?);
        }
    }
    Ok(count)
}

/// Neither empty nor a comment, and before the tests, which stand at the end of a file.
fn of_text(text: &str) -> usize {
    let before = text.split("\n#[cfg(test)]\nmod tests {").next().unwrap_or_default();
    before.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with("//")).count()
}
