//! Who may ask: checks on the headers of a request before anything else sees it.
//!
//! A page on the internet can make the reader's browser send requests to this server. Two checks stand against that:
//! a name in `Host` that is not ours means that some other name was pointed at our address (DNS rebinding), and an
//! `Origin` that is not ours means that another site's page asks. Both are headers that a page cannot forge.

use std::net::{IpAddr, SocketAddr};

use http::header::{HOST, HeaderMap, ORIGIN};
use http::uri::Authority;
use http::{Method, Uri};

/// The names and origins that were configured.
#[derive(Debug, Clone, Default)]
pub(super) struct Guard {
    /// Names besides our addresses and `localhost`, in lower case.
    pub(super) hosts: Vec<String>,
    /// `https://chat.example.org`: pages elsewhere that may ask.
    pub(super) origins: Vec<String>,
}

/// Whose page asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Origin {
    /// No page, or our own.
    Own,
    /// One of the configured: it needs CORS headers.
    Configured(String),
    /// Another site's.
    Foreign(String),
}

impl Guard {
    /// The name in the request is one of ours. `local`: the address that the peer connected to; `public`: hosts of the
    /// instances' public addresses.
    pub(super) fn knows_host(&self, uri: &Uri, headers: &HeaderMap, local: SocketAddr, public: &[String]) -> bool {
        let mut named = headers.get_all(HOST).iter().map(|value| value.to_str().ok()?.parse().ok());
        let from_header: Option<Authority> = match (named.next(), named.next()) {
            (Some(one), None) => one,
            _ => None,
        };
        let Some(from_header) = from_header else {
            return false;
        };
        let ours = |authority: &Authority| self.is_ours(authority.host(), local, public);
        ours(&from_header) && uri.authority().is_none_or(ours)
    }

    fn is_ours(&self, host: &str, local: SocketAddr, public: &[String]) -> bool {
        let host = host.to_ascii_lowercase();
        let bare = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(&host);
        if let Ok(address) = bare.parse::<IpAddr>() {
            // An address cannot be rebound. Where we listen to others too, they may reach us by any of them (NAT).
            return address.is_loopback() || address == local.ip() || !local.ip().is_loopback();
        }
        host == "localhost" || self.hosts.contains(&host) || public.contains(&host)
    }

    /// Where the page that asks comes from.
    pub(super) fn origin(&self, headers: &HeaderMap, public: &[String]) -> Origin {
        let Some(origin) = headers.get(ORIGIN) else {
            return Origin::Own;
        };
        let text = String::from_utf8_lossy(origin.as_bytes()).into_owned();
        if self.origins.iter().any(|known| known.trim_end_matches('/').eq_ignore_ascii_case(&text)) {
            return Origin::Configured(text);
        }
        if is_own(&text, headers, public) { Origin::Own } else { Origin::Foreign(text) }
    }
}

/// The page was served under the host that is asked, or under a public address of ours.
fn is_own(origin: &str, headers: &HeaderMap, public: &[String]) -> bool {
    let Ok(origin) = url::Url::parse(origin) else {
        return false;
    };
    let Some(host) = origin.host_str().filter(|_| matches!(origin.scheme(), "http" | "https")) else {
        return false;
    };
    if public.iter().any(|name| name.eq_ignore_ascii_case(host)) {
        return true;
    }
    let asked = headers.get(HOST).and_then(|value| value.to_str().ok()).and_then(|text| text.parse::<Authority>().ok());
    asked.is_some_and(|asked| {
        let default = if origin.scheme() == "https" { 443 } else { 80 };
        asked.host().eq_ignore_ascii_case(host)
            && asked.port_u16().unwrap_or(default) == origin.port().unwrap_or(default)
    })
}

/// A page may cause it only on its own site.
pub(super) fn changes_something(method: &Method) -> bool {
    !matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS)
}
