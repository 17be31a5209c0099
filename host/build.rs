//! Packs the components that were built before (`plugins/*.wasm`) into the host when it is built for release. It never
//! builds them: without any the table is empty and `run` says what to do.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo::rerun-if-changed=../plugins");
    println!("cargo::rerun-if-changed=../wit");
    println!("cargo::rerun-if-env-changed=OPENPISTA_EMBED");
    let out = PathBuf::from(std::env::var("OUT_DIR")?);
    let release = std::env::var("PROFILE").is_ok_and(|profile| profile == "release");
    let embed = release || std::env::var_os("OPENPISTA_EMBED").is_some();
    let mut table = String::from("static STOCK: &[Embedded] = &[\n");
    if embed {
        let folder = Path::new("../plugins");
        let mut files: Vec<PathBuf> =
            std::fs::read_dir(folder)?.map(|entry| entry.map(|entry| entry.path())).collect::<Result<_, _>>()?;
        files.retain(|file| file.extension().is_some_and(|ending| ending == "wasm"));
        files.sort();
        if files.is_empty() {
            println!(
                "cargo::warning=no components in plugins/: this host embeds none; `cargo xtask build` builds both"
            );
        }
        for file in files {
            let name = file.file_name().and_then(|name| name.to_str()).ok_or("a component's name is not UTF-8")?;
            let bytes = std::fs::read(&file)?;
            let packed = out.join(format!("{name}.deflate"));
            let mut encoder =
                flate2::write::DeflateEncoder::new(std::fs::File::create(&packed)?, flate2::Compression::best());
            encoder.write_all(&bytes)?;
            encoder.finish()?;
            let digest: String = Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
            table.push_str(&format!("    ({name:?}, {digest:?}, include_bytes!({packed:?})),\n"));
        }
    }
    table.push_str("];\n");
    std::fs::write(out.join("stock.rs"), table)?;
    Ok(())
}
