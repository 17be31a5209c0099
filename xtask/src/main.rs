//! Builds, runs, tests and measures openpista-host: `cargo xtask COMMAND`.
#![expect(clippy::print_stdout, reason = "a build tool talks on standard output")]

use std::path::Path;

use anyhow::Result;

mod flatten;

fn main() -> Result<()> {
    let wit = Path::new(env!("CARGO_MANIFEST_DIR")).join("../wit");
    if std::env::args().any(|argument| argument == "--check") {
        flatten::check(&wit)?;
        println!("wit/flat is in step");
    } else if flatten::write(&wit)? {
        println!("wrote wit/flat/openpista.wit");
    }
    Ok(())
}
