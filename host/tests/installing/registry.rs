//! A real registry: Debian's docker-registry on a port of its own, with its files in a folder of the test's.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// Who may use a registry with a password.
pub const USER: &str = "ann";
/// The password.
pub const PASSWORD: &str = "orange-Kite-7421";
/// The same as the registry keeps it.
const HASH: &str = "$2b$05$abcdefghijklmnopqrstuul8VyIVnhLDqFbfncgPvxm3PtFNfF5eW";

/// A registry, until it is dropped.
pub struct Registry {
    process: Child,
    folder: tempfile::TempDir,
    /// `127.0.0.1:PORT`
    pub address: String,
}

impl Registry {
    /// Open to everyone; none if the program is not there.
    pub fn start() -> Option<Self> {
        Self::with("")
    }

    /// For [`USER`] only.
    pub fn with_password() -> Option<Self> {
        Self::with("auth:\n  htpasswd:\n    realm: test\n    path: FOLDER/htpasswd\n")
    }

    fn with(more: &str) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().to_str().unwrap();
        std::fs::write(folder.path().join("htpasswd"), format!("{USER}:{HASH}\n")).unwrap();
        let config = format!(
            "version: 0.1\nlog:\n  level: info\nstorage:\n  filesystem:\n    rootdirectory: FOLDER/data\n\
             http:\n  addr: 127.0.0.1:0\n{more}"
        );
        let file = folder.path().join("config.yml");
        std::fs::write(&file, config.replace("FOLDER", path)).unwrap();
        let program = program()?;
        let process = Command::new(program)
            .arg("serve")
            .arg(&file)
            .env_clear()
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn();
        let mut process = process.unwrap();
        let mut lines = BufReader::new(process.stderr.take().unwrap()).lines();
        let address = lines
            .by_ref()
            .map_while(Result::ok)
            .find_map(|line| {
                let rest = line.split("listening on ").nth(1)?;
                let end = rest.find(|c: char| !(c.is_ascii_digit() || ".:".contains(c))).unwrap_or(rest.len());
                Some(rest[..end].to_string())
            })
            .unwrap_or_else(|| panic!("docker-registry ended before it listened"));
        // Read on, so that it never writes into a full pipe.
        std::thread::spawn(move || lines.for_each(drop));
        Some(Self { process, folder, address })
    }

    /// A reference to something in it.
    pub fn reference(&self, path: &str) -> String {
        format!("oci://{}/{path}", self.address)
    }

    /// Where it keeps a blob.
    pub fn blob(&self, digest: &str) -> PathBuf {
        let start = &digest[..2];
        self.folder.path().join(format!("data/docker/registry/v2/blobs/sha256/{start}/{digest}/data"))
    }

    /// Stores a manifest as it is.
    pub async fn put_manifest(&self, path: &str, tag: &str, kind: &str, manifest: &str) {
        let url = format!("http://{}/v2/{path}/manifests/{tag}", self.address);
        let client = client();
        let answer = client.put(url).header("content-type", kind).body(manifest.to_string()).send().await.unwrap();
        assert!(answer.status().is_success(), "{}", answer.text().await.unwrap());
    }

    /// A manifest as it is.
    pub async fn manifest(&self, path: &str, tag: &str) -> String {
        let url = format!("http://{}/v2/{path}/manifests/{tag}", self.address);
        let accept = "application/vnd.oci.image.manifest.v1+json";
        client().get(url).header("accept", accept).send().await.unwrap().text().await.unwrap()
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn client() -> reqwest::Client {
    let tls = openpista_host::capability::http::tls::client_config(&[]).unwrap();
    reqwest::Client::builder().tls_backend_preconfigured(tls).no_proxy().build().unwrap()
}

fn program() -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let there = |folder: PathBuf| Some(folder.join("docker-registry")).filter(|program| program.is_file());
    std::env::split_paths(&path).chain([Path::new("/usr/bin").to_path_buf()]).find_map(there)
}
