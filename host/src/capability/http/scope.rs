//! The words of the `http` scope: hosts, as a manifest or a person writes them. Audiences of secrets use the same.
//!
//! ```text
//! api.example.org          that name, at the scheme's own port
//! api.example.org:8443     at that port only
//! *.example.org            every name under it, not itself
//! lan:nas.home:8080        may resolve to a private address; plain http is fine
//! localhost:11434          this machine; plain http is fine
//! 192.168.1.5, [::1]:3000  that address; plain http is fine
//! ```

use std::net::IpAddr;

use url::{Host, Url};

use super::address::Reach;

/// One host, or all under a suffix, that may be asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    host: Pattern,
    port: Option<u16>,
    reach: Reach,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Pattern {
    Name(String),
    /// With its leading dot.
    Suffix(String),
    Address(IpAddr),
}

/// A scope entry that says nothing the gate understands.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "'{entry}' is no host: write api.example.org, *.example.org, host:port, lan:host:port, localhost:port or an address"
)]
pub struct EntryError {
    entry: String,
}

/// Where one hop of a request goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// A lower-case name without a trailing dot, or an address.
    pub host: TargetHost,
    /// Of the URL, or the scheme's own.
    pub port: u16,
    /// `https` or `wss`.
    pub secure: bool,
}

/// A name or an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TargetHost {
    /// In ASCII.
    Name(String),
    /// Written out in the URL, in whatever notation.
    Address(IpAddr),
}

impl Target {
    /// Where a URL leads; `None` when it has no host or its scheme is none of http, https, ws, wss.
    pub fn of(url: &Url) -> Option<Self> {
        let (secure, own) = match url.scheme() {
            "https" | "wss" => (true, 443),
            "http" | "ws" => (false, 80),
            _ => return None,
        };
        let host = match url.host()? {
            Host::Domain(name) => TargetHost::Name(plain(name)?),
            Host::Ipv4(address) => TargetHost::Address(address.into()),
            Host::Ipv6(address) => TargetHost::Address(address.into()),
        };
        Some(Self { host, port: url.port().unwrap_or(own), secure })
    }

    /// As a scope entry would name it: with the port only where it is not the scheme's own.
    pub fn entry(&self) -> String {
        let host = match &self.host {
            TargetHost::Name(name) => name.clone(),
            TargetHost::Address(IpAddr::V6(address)) => format!("[{address}]"),
            TargetHost::Address(IpAddr::V4(address)) => address.to_string(),
        };
        if self.port == self.own_port() { host } else { format!("{host}:{}", self.port) }
    }

    fn own_port(&self) -> u16 {
        if self.secure { 443 } else { 80 }
    }
}

/// A name without the dot of the root, in lower case; none if a label of it is empty. Without its dots, `0x7f.1..` would be
/// another notation of an address.
fn plain(name: &str) -> Option<String> {
    let name = name.strip_suffix('.').unwrap_or(name);
    let whole = !name.split('.').any(str::is_empty);
    whole.then(|| name.to_ascii_lowercase())
}

impl Entry {
    /// Reads one entry.
    pub fn parse(text: &str) -> Result<Self, EntryError> {
        Self::read(text.trim()).ok_or_else(|| EntryError { entry: text.to_string() })
    }

    fn read(text: &str) -> Option<Self> {
        let (lan, rest) = text.strip_prefix("lan:").map_or((false, text), |rest| (true, rest));
        if let Ok(address) = rest.parse::<IpAddr>() {
            return Some(Self { host: Pattern::Address(address), port: None, reach: Reach::Lan });
        }
        let (host, port) = match rest.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => {
                (host, Some(port.parse::<u16>().ok().filter(|port| *port > 0)?))
            }
            _ => (rest, None),
        };
        let (suffix, name) = host.strip_prefix("*.").map_or((false, host), |name| (true, name));
        // Only what a URL would take for a host is one: this turns foreign letters into ASCII and finds addresses in
        // every notation.
        match Host::parse(name).ok()? {
            Host::Domain(name) => {
                let name = plain(&name)?;
                if !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_')) {
                    return None;
                }
                let reach = if lan {
                    Reach::Lan
                } else if name == "localhost" && !suffix {
                    Reach::Loopback
                } else {
                    Reach::Public
                };
                let host = if suffix { Pattern::Suffix(format!(".{name}")) } else { Pattern::Name(name) };
                Some(Self { host, port, reach })
            }
            Host::Ipv4(_) | Host::Ipv6(_) if suffix => None,
            Host::Ipv4(address) => Some(Self { host: Pattern::Address(address.into()), port, reach: Reach::Lan }),
            Host::Ipv6(address) => Some(Self { host: Pattern::Address(address.into()), port, reach: Reach::Lan }),
        }
    }

    /// Whether it names that target. Plain http only where the entry is about one's own network or an address.
    pub fn matches(&self, target: &Target) -> bool {
        let host = match (&self.host, &target.host) {
            (Pattern::Name(name), TargetHost::Name(asked)) => name == asked,
            (Pattern::Suffix(suffix), TargetHost::Name(asked)) => {
                asked.len() > suffix.len() && asked.ends_with(suffix.as_str())
            }
            (Pattern::Address(address), TargetHost::Address(asked)) => address == asked,
            _ => false,
        };
        let port = self.port.unwrap_or_else(|| target.own_port()) == target.port;
        host && port && (target.secure || self.reach != Reach::Public)
    }
}

/// How far the granted entries let a request to `target` reach: the widest of those that name it, `None` when none
/// does. An entry that cannot be read grants nothing.
pub fn reach(scope: &[String], target: &Target) -> Option<Reach> {
    let granted: Vec<Reach> = scope
        .iter()
        .filter_map(|entry| Entry::parse(entry).ok())
        .filter(|entry| entry.matches(target))
        .map(|entry| entry.reach)
        .collect();
    [Reach::Lan, Reach::Loopback, Reach::Public].into_iter().find(|reach| granted.contains(reach))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn granted(entry: &str, url: &str) -> Option<Reach> {
        reach(&[entry.to_string()], &Target::of(&Url::parse(url).unwrap()).unwrap())
    }

    #[test]
    fn an_entry_names_exactly_its_hosts_and_ports() {
        let table = [
            ("api.example.org", "https://api.example.org/v1", Some(Reach::Public)),
            ("api.example.org", "https://API.Example.org./v1", Some(Reach::Public)),
            ("api.example.org", "wss://api.example.org", Some(Reach::Public)),
            ("api.example.org", "https://api.example.org:8443/", None),
            ("api.example.org", "http://api.example.org/", None),
            ("api.example.org", "https://evil-api.example.org/", None),
            ("api.example.org", "https://api.example.org.evil.test/", None),
            ("api.example.org:8443", "https://api.example.org:8443/", Some(Reach::Public)),
            ("api.example.org:8443", "https://api.example.org/", None),
            ("*.example.org", "https://a.b.example.org/", Some(Reach::Public)),
            ("*.example.org", "https://example.org/", None),
            ("*.example.org", "https://badexample.org/", None),
            ("lan:nas.home:8080", "http://nas.home:8080/", Some(Reach::Lan)),
            ("lan:nas.home", "http://nas.home/", Some(Reach::Lan)),
            ("lan:nas.home", "https://nas.home/", Some(Reach::Lan)),
            ("localhost:11434", "http://localhost:11434/", Some(Reach::Loopback)),
            ("localhost:11434", "http://127.0.0.1:11434/", None),
            ("localhost", "http://app.localhost/", None),
            ("127.0.0.1:3000", "http://127.0.0.1:3000/", Some(Reach::Lan)),
            ("127.0.0.1:3000", "http://2130706433:3000/", Some(Reach::Lan)),
            ("api.example.org", "https://2130706433/", None),
            ("[::1]:3000", "http://[::1]:3000/", Some(Reach::Lan)),
            ("::1", "http://[::1]/", Some(Reach::Lan)),
            ("bücher.example", "https://xn--bcher-kva.example/", Some(Reach::Public)),
        ];
        let wrong: Vec<_> = table.iter().filter(|(entry, url, expected)| granted(entry, url) != *expected).collect();
        assert_eq!(wrong, Vec::<&(&str, &str, Option<Reach>)>::new());
    }

    #[test]
    fn what_is_no_host_is_refused_and_grants_nothing() {
        for entry in [
            "",
            "*",
            "*.",
            "a.test..",
            "a..test",
            ".test",
            "lan:",
            "host:0",
            "host:99999",
            "host:x",
            "https://a.test",
            "a b",
            "a/b",
            "*.10.0.0.1",
        ] {
            assert!(Entry::parse(entry).is_err(), "{entry}");
        }
    }

    #[test]
    fn an_address_with_empty_labels_leads_nowhere() {
        for url in ["https://0x7f.1../", "https://a..test/", "https://.test/", "https://../"] {
            let target = Url::parse(url).ok().and_then(|url| Target::of(&url));
            assert_eq!(target, None, "{url}");
        }
    }

    #[test]
    fn of_several_entries_the_widest_counts() {
        let scope = ["nas.home".to_string(), "lan:nas.home".to_string(), "*".to_string()];
        let target = Target::of(&Url::parse("https://nas.home/").unwrap()).unwrap();
        assert_eq!(reach(&scope, &target), Some(Reach::Lan));
    }

    #[test]
    fn a_denial_can_be_answered_with_the_entry_that_it_names() {
        for (url, entry) in
            [("https://a.test/x", "a.test"), ("http://a.test:81/", "a.test:81"), ("https://[::1]:5/", "[::1]:5")]
        {
            assert_eq!(Target::of(&Url::parse(url).unwrap()).unwrap().entry(), entry);
        }
    }
}
