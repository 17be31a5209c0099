//! Where a plugin comes from, as a person writes it: a path, `https://…`, `oci://REGISTRY/REPOSITORY[:TAG][@sha256:…]`.

use std::fmt;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use url::Url;

/// The scheme of registries.
const OCI: &str = "oci://";
/// The tag that is meant when none is written.
const LATEST: &str = "latest";

/// Where a plugin comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// A file on this machine, by its whole path.
    File(PathBuf),
    /// An address of the web.
    Url(Url),
    /// An artifact in a registry.
    Oci(Reference),
}

/// An artifact in a registry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reference {
    /// Host, with its port if it is not the usual one.
    pub registry: String,
    /// The path there.
    pub repository: String,
    /// A name that its owner can move. With a digest it is only for the reader.
    pub tag: Option<String>,
    /// SHA-256 of the manifest, in hex: what is fetched can only be that.
    pub digest: Option<String>,
}

/// Why something is no source.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SourceError {
    /// Another scheme.
    #[error("{0}:// is not known; a plugin comes from a file, https://…, or oci://REGISTRY/REPOSITORY:TAG")]
    Scheme(String),
    /// No address.
    #[error("{text} is not an address: {why}")]
    Address {
        /// As it was written.
        text: String,
        /// Why.
        why: String,
    },
    /// A name or a password in it.
    #[error("an address with a user name or password would end up in the lock file; leave them out")]
    Credentials,
    /// A part of a reference.
    #[error("{text} is not a reference to a registry: {why}; it looks like oci://ghcr.io/ann/weather:1.2")]
    Reference {
        /// As it was written.
        text: String,
        /// Why.
        why: &'static str,
    },
}

impl Source {
    /// Reads what a person wrote. A relative path begins in `folder`.
    pub fn parse(text: &str, folder: &Path) -> Result<Self, SourceError> {
        if let Some(rest) = text.strip_prefix(OCI) {
            return Reference::parse(rest).map(Self::Oci);
        }
        match text.split_once("://") {
            Some(("https" | "http", _)) => {
                let wrong = |why: &str| SourceError::Address { text: text.to_owned(), why: why.to_owned() };
                let mut url = Url::parse(text).map_err(|error| wrong(&error.to_string()))?;
                if !url.has_host() {
                    return Err(wrong("there is no host in it"));
                }
                if !url.username().is_empty() || url.password().is_some() {
                    return Err(SourceError::Credentials);
                }
                url.set_fragment(None);
                Ok(Self::Url(url))
            }
            Some((scheme, _)) => Err(SourceError::Scheme(scheme.to_owned())),
            None => Ok(Self::File(folder.join(text))),
        }
    }

    /// What is fetched can only be one thing, whoever owns the place.
    pub fn pinned(&self) -> Option<&str> {
        match self {
            Self::Oci(reference) => reference.digest.as_deref(),
            _ => None,
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Url(url) => write!(f, "{url}"),
            Self::Oci(reference) => write!(f, "{reference}"),
        }
    }
}

impl Reference {
    /// What stands behind `oci://`.
    fn parse(rest: &str) -> Result<Self, SourceError> {
        let wrong = |why| SourceError::Reference { text: format!("{OCI}{rest}"), why };
        if rest.contains(['?', '#', ' ']) {
            return Err(wrong("it has a sign that no reference has"));
        }
        let (named, digest) = match rest.split_once('@') {
            Some((_, user)) if user.contains('/') => return Err(SourceError::Credentials),
            Some((named, digest)) => {
                let hex = digest.strip_prefix("sha256:").ok_or_else(|| wrong("its digest is not sha256:…"))?;
                if !is_digest(hex) {
                    return Err(wrong("a digest is sha256: and 64 of the letters 0-9a-f"));
                }
                (named, Some(hex.to_owned()))
            }
            None => (rest, None),
        };
        let (registry, path) = named.split_once('/').ok_or_else(|| wrong("it has no repository"))?;
        let (repository, tag) = match path.split_once(':') {
            Some((repository, tag)) => (repository, Some(tag)),
            None => (path, None),
        };
        let host = Url::parse(&format!("https://{registry}/")).ok().filter(|url| url.has_host() && url.path() == "/");
        if host.is_none() {
            return Err(wrong("its registry is not a host"));
        }
        let part = |part: &str| {
            let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "._-".contains(c);
            let edge = |c: Option<char>| c.is_some_and(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
            part.chars().all(inner) && edge(part.chars().next()) && edge(part.chars().last())
        };
        if repository.len() > 255 || !repository.split('/').all(part) {
            return Err(wrong("its repository is made of small letters, digits, and . _ - between them"));
        }
        let tagged = |tag: &str| {
            let inner = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
            !tag.is_empty() && tag.len() <= 128 && tag.chars().all(inner) && !tag.starts_with(['.', '-'])
        };
        if tag.is_some_and(|tag| !tagged(tag)) {
            return Err(wrong("its tag is made of letters, digits, . _ and -"));
        }
        let tag = tag.map(str::to_owned).or_else(|| digest.is_none().then(|| LATEST.to_owned()));
        Ok(Self { registry: registry.to_owned(), repository: repository.to_owned(), tag, digest })
    }

    /// What stands in the path of a request for its manifest.
    pub fn wanted(&self) -> String {
        match (&self.digest, &self.tag) {
            (Some(digest), _) => format!("sha256:{digest}"),
            (None, Some(tag)) => tag.clone(),
            (None, None) => LATEST.to_owned(),
        }
    }

    /// The same place, whatever is there now.
    pub fn without_digest(&self) -> Self {
        Self { digest: None, ..self.clone() }
    }

    /// The same place, and only what is there now.
    pub fn pinned_to(&self, digest: &str) -> Self {
        Self { digest: Some(digest.to_owned()), ..self.clone() }
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{OCI}{}/{}", self.registry, self.repository)?;
        if let Some(tag) = &self.tag {
            write!(f, ":{tag}")?;
        }
        match &self.digest {
            Some(digest) => write!(f, "@sha256:{digest}"),
            None => Ok(()),
        }
    }
}

/// 64 small hex digits.
pub fn is_digest(text: &str) -> bool {
    text.len() == 64 && text.chars().all(|c| c.is_ascii_digit() || ('a'..='f').contains(&c))
}

/// The host is this machine, whatever names say.
pub fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(url::Host::Ipv4(address)) => IpAddr::from(address).is_loopback(),
        Some(url::Host::Ipv6(address)) => IpAddr::from(address).is_loopback(),
        Some(url::Host::Domain(name)) => name == "localhost",
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Source, SourceError> {
        Source::parse(text, Path::new("/home/ann"))
    }

    #[test]
    fn a_source_is_a_file_an_address_or_a_reference_and_is_written_as_it_is_read() {
        let digest = "0".repeat(64);
        for (text, same) in [
            ("weather.wasm", "/home/ann/weather.wasm".to_owned()),
            ("/tmp/w.wasm", "/tmp/w.wasm".to_owned()),
            ("https://x.org/w.wasm?v=1#top", "https://x.org/w.wasm?v=1".to_owned()),
            ("oci://127.0.0.1:5000/a/b-c:1.0", "oci://127.0.0.1:5000/a/b-c:1.0".to_owned()),
            ("oci://ghcr.io/a/b", "oci://ghcr.io/a/b:latest".to_owned()),
            (&format!("oci://r.org/a@sha256:{digest}"), format!("oci://r.org/a@sha256:{digest}")),
            (&format!("oci://r.org/a:1@sha256:{digest}"), format!("oci://r.org/a:1@sha256:{digest}")),
        ] {
            assert_eq!(parse(text).unwrap().to_string(), same);
            assert_eq!(parse(&same).unwrap(), parse(text).unwrap());
        }
        assert_eq!(parse(&format!("oci://r.org/a:1@sha256:{digest}")).unwrap().pinned(), Some(digest.as_str()));
    }

    #[test]
    fn what_is_no_source_is_refused_with_what_is_wrong() {
        for (text, words) in [
            ("ftp://x.org/w", "ftp:// is not known"),
            ("https://ann:pw@x.org/w", "user name or password"),
            ("oci://ann:pw@r.org/a", "user name or password"),
            ("oci://r.org", "no repository"),
            ("oci://r.org/A", "small letters"),
            ("oci://r.org/../a", "small letters"),
            ("oci://r.org/a:", "its tag"),
            ("oci://r.org/a@sha256:12", "64 of the letters"),
            ("oci://r.org/a@md5:12", "not sha256"),
            ("oci://r.org/a?x", "a sign"),
            ("oci:///a", "not a host"),
        ] {
            let error = parse(text).unwrap_err().to_string();
            assert!(error.contains(words), "{text}: {error}");
        }
    }

    #[test]
    fn only_what_surely_is_this_machine_is_loopback() {
        let loopback = |text: &str| is_loopback(&Url::parse(text).unwrap());
        assert!(loopback("http://127.0.0.1:5000/") && loopback("http://[::1]/") && loopback("http://localhost:1/"));
        assert!(!loopback("http://10.0.0.1/") && !loopback("http://localhost.example.org/"));
    }
}
