//! Signing in: the token of the printed link is exchanged once for a session token of the browser's own, which it
//! keeps in a cookie that no script can read. The host's store has only the hash of it.

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::contract::openpista::types::types::{Error, Timestamp};
use crate::host::Host;

/// The cookie's name.
pub const COOKIE: &str = "openpista";
/// The only person so far.
pub const OWNER: &str = "owner";

const DAY: u64 = 24 * 60 * 60;
/// Seconds for which a browser stays signed in.
const LIFETIME: u64 = 90 * DAY;

/// Before the hash of a token, in `state`.
const PREFIX: &str = "token/";

/// A browser that has just signed in.
#[derive(Clone, Debug, PartialEq)]
pub struct SignedIn {
    /// For the `Set-Cookie` header.
    pub cookie: String,
    /// Who it is.
    pub user: String,
    /// When it ends.
    pub until: Timestamp,
}

/// Exchanges the token of the link; none if it is wrong.
pub fn exchange(host: &impl Host, token: &str, transport: &str) -> Result<Option<SignedIn>, Error> {
    if !host.is_web_token(token)? {
        return Ok(None);
    }
    forget_expired(host)?;
    let own = hex::encode(host.random()?);
    let until = host.now().saturating_add(LIFETIME * 1000);
    host.set(&key(&own), &json!({"user": OWNER, "until": until}).to_string())?;
    // A page on loopback has no certificate, and a browser would not give a `Secure` cookie back there.
    let secure = if host.is_https(transport) { "; Secure" } else { "" };
    let cookie = format!("{COOKIE}={own}; HttpOnly; SameSite=Strict; Path=/; Max-Age={LIFETIME}{secure}");
    Ok(Some(SignedIn { cookie, user: OWNER.into(), until }))
}

/// Whose browser it is, by the cookie in these headers.
pub fn user(host: &impl Host, headers: &[(String, String)]) -> Result<Option<String>, Error> {
    let cookies = headers.iter().filter(|(name, _)| name.eq_ignore_ascii_case("cookie"));
    let pairs = cookies.flat_map(|(_, value)| value.split(';')).filter_map(|pair| pair.trim().split_once('='));
    // Services on other ports of the same machine share cookies: there may be one of the same name that is not ours.
    for (_, token) in pairs.filter(|(name, _)| *name == COOKIE) {
        if let Some(kept) = host.get(&key(token))?
            && let Some((user, until)) = parse(&kept)
            && until > host.now()
        {
            return Ok(Some(user));
        }
    }
    Ok(None)
}

fn key(token: &str) -> String {
    format!("{PREFIX}{}", hex::encode(Sha256::digest(token.as_bytes())))
}

fn parse(kept: &str) -> Option<(String, Timestamp)> {
    let value: Value = serde_json::from_str(kept).ok()?;
    Some((value.get("user")?.as_str()?.to_string(), value.get("until")?.as_u64()?))
}

fn forget_expired(host: &impl Host) -> Result<(), Error> {
    for key in host.keys(PREFIX)? {
        let alive = host.get(&key)?.and_then(|kept| parse(&kept)).is_some_and(|(_, until)| until > host.now());
        if !alive {
            host.remove(&key)?;
        }
    }
    Ok(())
}
