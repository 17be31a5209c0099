//! How a plugin comes from somewhere else: the sources that a person can name, what is fetched from them and under which
//! limits, who signed it, and the lock file that remembers all of it.
//!
//! [`Installer::fetch`] brings bytes that are what their source says they are: as long as announced, with the digests that
//! were asked for. It neither loads them nor writes them anywhere; `app` inspects what came, asks the person and puts it in
//! place. [`signature`] says who vouches for the bytes, [`lock`] what is installed and whose key is trusted, [`changes`]
//! what a new version wants beyond the old one.

pub mod changes;
pub mod fetch;
pub mod lock;
pub mod login;
pub mod oci;
pub mod signature;
pub mod source;

use std::path::Path;
use std::sync::OnceLock;

use tokio_util::sync::CancellationToken;

use crate::plugin::digest;
use fetch::{FetchError, Limits, Progress, Web};
use login::Logins;
use oci::{Expected, Registry};
use source::Source;

/// What comes behind the name of a file, or of an address, for the signature of what is there.
pub const SIGNATURE_ENDING: &str = ".minisig";
/// Bytes of a signature.
const SIGNATURE_MOST: u64 = 4 << 10;

/// What came from a source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fetched {
    /// The component, as far as its source can say.
    pub bytes: Vec<u8>,
    /// SHA-256 of the bytes, in hex.
    pub digest: String,
    /// SHA-256 of the manifest in the registry, in hex.
    pub manifest: Option<String>,
    /// The signature beside it, a minisign file.
    pub signature: Option<String>,
}

/// Fetches plugins.
pub struct Installer {
    limits: Limits,
    logins: Logins,
    web: OnceLock<Web>,
}

impl Installer {
    /// With nothing connected yet.
    pub fn new(limits: Limits, logins: Logins) -> Self {
        Self { limits, logins, web: OnceLock::new() }
    }

    fn web(&self) -> Result<&Web, FetchError> {
        if let Some(ready) = self.web.get() {
            return Ok(ready);
        }
        let made = Web::new(self.limits)?;
        Ok(self.web.get_or_init(|| made))
    }

    /// Everything that a source has of a plugin. `plain` allows unencrypted connections to others than this machine.
    pub async fn fetch(
        &self,
        source: &Source,
        plain: bool,
        progress: &Progress<'_>,
        cancel: &CancellationToken,
    ) -> Result<Fetched, FetchError> {
        tokio::select! {
            biased;
            () = cancel.cancelled() => Err(FetchError::Cancelled),
            done = tokio::time::timeout(self.limits.time, self.fetch_all(source, plain, progress)) => {
                done.unwrap_or(Err(FetchError::TimedOut { time: self.limits.time }))
            }
        }
    }

    async fn fetch_all(&self, source: &Source, plain: bool, progress: &Progress<'_>) -> Result<Fetched, FetchError> {
        let (bytes, manifest, signature) = match source {
            Source::File(path) => {
                let bytes = read_file(path, self.limits.size).await?;
                let mut beside = path.clone().into_os_string();
                beside.push(SIGNATURE_ENDING);
                let signature = match read_file(Path::new(&beside), SIGNATURE_MOST).await {
                    Ok(bytes) => Some(text(bytes)?),
                    Err(FetchError::NoFile { .. }) => None,
                    Err(error) => return Err(error),
                };
                (bytes, None, signature)
            }
            Source::Url(url) => {
                let web = self.web()?;
                let bytes = web.download(url, plain, self.limits.size, progress).await?;
                let mut beside = url.clone();
                beside.set_path(&format!("{}{SIGNATURE_ENDING}", url.path()));
                let signature = match web.download(&beside, plain, SIGNATURE_MOST, &|_, _| ()).await {
                    Ok(bytes) => Some(text(bytes)?),
                    Err(FetchError::Status { status: 404 | 410, .. }) => None,
                    Err(error) => return Err(error),
                };
                (bytes, None, signature)
            }
            Source::Oci(reference) => {
                let login = self.logins.of(&reference.registry)?;
                let registry = Registry::new(self.web()?, reference, plain, login);
                let pulled = registry.pull(&Expected { most: self.limits.size }, progress).await?;
                (pulled.bytes, Some(pulled.manifest), pulled.signature)
            }
        };
        Ok(Fetched { digest: digest(&bytes), bytes, manifest, signature })
    }

    /// Which manifest the tag of a reference names now, in hex; none for what has no tag.
    pub async fn tagged(&self, source: &Source, plain: bool) -> Result<Option<String>, FetchError> {
        let Source::Oci(reference) = source else { return Ok(None) };
        if reference.tag.is_none() {
            return Ok(None);
        }
        let login = self.logins.of(&reference.registry)?;
        let by_tag = reference.without_digest();
        let registry = Registry::new(self.web()?, &by_tag, plain, login);
        let asked = tokio::time::timeout(self.limits.time, registry.manifest());
        let (_, digest) = asked.await.unwrap_or(Err(FetchError::TimedOut { time: self.limits.time }))?;
        Ok(Some(digest))
    }
}

async fn read_file(path: &Path, most: u64) -> Result<Vec<u8>, FetchError> {
    let unreadable = |error: std::io::Error| match error.kind() {
        std::io::ErrorKind::NotFound => FetchError::NoFile { path: path.to_owned() },
        _ => FetchError::Unreadable { path: path.to_owned(), why: error.to_string() },
    };
    let found = tokio::fs::metadata(path).await.map_err(unreadable)?;
    if !found.is_file() {
        return Err(FetchError::Unreadable { path: path.to_owned(), why: "it is not a file".into() });
    }
    if found.len() > most {
        return Err(FetchError::TooLarge { what: path.display().to_string(), most });
    }
    tokio::fs::read(path).await.map_err(unreadable)
}

fn text(bytes: Vec<u8>) -> Result<String, FetchError> {
    String::from_utf8(bytes).map_err(|_| FetchError::NotText)
}
