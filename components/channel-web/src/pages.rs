//! HTTP: the page, its files, and the exchange of the printed token. Whoever has no cookie gets the page, too: it holds
//! nothing but the form to sign in.

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::contract::exports::openpista::plugin::channel::ChannelError;
use crate::contract::exports::openpista::plugin::http_handler::Incoming;
use crate::contract::openpista::http::exchange::Response;
use crate::contract::openpista::types::types::Error;
use crate::host::Host;
use crate::sign_in;

/// The page as it is at the root of the mount; `@ROOT@` is the way from the page to that root.
const INDEX: &str = include_str!("../page/index.html");

const FILES: &[(&str, &str, &str)] = &[
    ("/assets/style.css", "text/css; charset=utf-8", include_str!("../page/style.css")),
    ("/assets/app.js", "text/javascript; charset=utf-8", include_str!("../page/app.js")),
    ("/assets/link.js", "text/javascript; charset=utf-8", include_str!("../page/link.js")),
    ("/assets/markdown.js", "text/javascript; charset=utf-8", include_str!("../page/markdown.js")),
    ("/assets/icon.svg", "image/svg+xml", include_str!("../page/icon.svg")),
];

/// Nothing from elsewhere, nothing inline, nothing that frames us: text of a model that slips past the page's own care
/// still runs nothing.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; \
                      connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// `http-handler.handle`
pub fn handle(host: &impl Host, incoming: &Incoming) -> Result<Response, ChannelError> {
    let path = incoming.request.url.split(['?', '#']).next().unwrap_or_default();
    let method = incoming.request.method.as_str();
    if path == "/auth" {
        return if method == "POST" { auth(host, incoming) } else { Ok(not_allowed("POST")) };
    }
    let Some((kind, text)) = find(path) else {
        return Ok(plain(404, "There is nothing here.\n"));
    };
    if method != "GET" && method != "HEAD" {
        return Ok(not_allowed("GET, HEAD"));
    }
    let etag = format!("\"{}\"", hex::encode(Sha256::digest(text.as_bytes())));
    let known = incoming
        .request
        .headers
        .iter()
        .filter(|(name, _)| name.eq_ignore_ascii_case("if-none-match"))
        .flat_map(|(_, value)| value.split(','))
        .any(|tag| tag.trim().trim_start_matches("W/") == etag || tag.trim() == "*");
    let mut response = Response { status: if known { 304 } else { 200 }, headers: headers(&kind), body: Vec::new() };
    response.headers.push(("etag".into(), etag));
    response.headers.push(("cache-control".into(), "no-cache".into()));
    if !known && method == "GET" {
        response.body = text.into_bytes();
    }
    Ok(response)
}

/// The content type and the text of a file.
fn find(path: &str) -> Option<(String, String)> {
    let page = |root: &str| Some(("text/html; charset=utf-8".to_string(), INDEX.replace("@ROOT@", root)));
    if path == "/" || path.is_empty() {
        return page("./");
    }
    if let Some(session) = path.strip_prefix("/s/") {
        return if is_session(session) { page("../") } else { None };
    }
    let (_, kind, text) = FILES.iter().find(|(name, _, _)| *name == path)?;
    Some(((*kind).to_string(), (*text).to_string()))
}

/// Chosen by the page, kept in its address: letters, digits, `-` and `_`, at most 64.
pub fn is_session(id: &str) -> bool {
    (1..=64).contains(&id.len()) && id.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'))
}

fn auth(host: &impl Host, incoming: &Incoming) -> Result<Response, ChannelError> {
    let value: Value = serde_json::from_slice(&incoming.request.body).unwrap_or_default();
    let Some(token) = value.get("token").and_then(Value::as_str) else {
        return Ok(plain(400, "The body must be {\"token\": \"…\"}.\n"));
    };
    match sign_in::exchange(host, token, &incoming.transport) {
        Ok(Some(signed_in)) => {
            let body = json!({"user": signed_in.user, "until": signed_in.until});
            let mut headers = headers("application/json");
            headers.push(("set-cookie".into(), signed_in.cookie));
            headers.push(("cache-control".into(), "no-store".into()));
            Ok(Response { status: 200, headers, body: body.to_string().into_bytes() })
        }
        Ok(None) => Ok(plain(401, "That token is wrong. The right one is in the link that the daemon printed.\n")),
        // `secrets.matches` answers no more after too many wrong ones.
        Err(Error::TooLarge(_) | Error::AccessDenied(_)) => {
            let mut response = plain(429, "Too many wrong tokens. Wait a minute.\n");
            response.headers.push(("retry-after".into(), "60".into()));
            Ok(response)
        }
        Err(error) => Err(error.into()),
    }
}

fn headers(kind: &str) -> Vec<(String, String)> {
    [
        ("content-type", kind),
        ("content-security-policy", POLICY),
        ("x-content-type-options", "nosniff"),
        ("referrer-policy", "no-referrer"),
    ]
    .map(|(name, value)| (name.to_string(), value.to_string()))
    .to_vec()
}

fn plain(status: u16, text: &str) -> Response {
    Response { status, headers: headers("text/plain; charset=utf-8"), body: text.as_bytes().to_vec() }
}

fn not_allowed(methods: &str) -> Response {
    let mut response = plain(405, "This address does not take that method.\n");
    response.headers.push(("allow".into(), methods.into()));
    response
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::openpista::http::exchange::Request;
    use crate::web::stage::{NOW, Stage};

    fn ask(stage: &Stage, method: &str, url: &str, headers: &[(&str, &str)], body: &str) -> Response {
        let request = Request {
            method: method.into(),
            url: url.into(),
            headers: headers.iter().map(|(n, v)| (n.to_string(), v.to_string())).collect(),
            body: body.into(),
        };
        handle(stage, &Incoming { transport: "pages".into(), request, peer: "127.0.0.1:9".into() }).unwrap()
    }

    fn header<'a>(response: &'a Response, name: &str) -> Option<&'a str> {
        response.headers.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
    }

    #[test]
    fn the_page_is_at_the_root_and_at_every_session_with_its_files_beside() {
        let stage = Stage::default();
        for (url, root) in [("/", "./"), ("/?x=1", "./"), ("/s/k3-_9", "../")] {
            let page = ask(&stage, "GET", url, &[], "");
            let text = String::from_utf8(page.body.clone()).unwrap();
            assert_eq!((page.status, header(&page, "content-security-policy")), (200, Some(POLICY)));
            assert!(text.contains(&format!("src=\"{root}assets/app.js\"")), "{url}");
            assert!(!text.contains("@ROOT@") && !text.contains("<style") && !text.contains("style=\""));
        }
        for (path, kind, text) in FILES {
            let file = ask(&stage, "GET", path, &[], "");
            assert_eq!(
                (file.status, header(&file, "content-type"), file.body.as_slice()),
                (200, Some(*kind), text.as_bytes())
            );
        }
    }

    #[test]
    fn a_file_that_is_known_is_not_sent_again() {
        let stage = Stage::default();
        let first = ask(&stage, "GET", "/assets/app.js", &[], "");
        let etag = header(&first, "etag").unwrap();
        let again = ask(&stage, "GET", "/assets/app.js", &[("If-None-Match", &format!("\"x\", W/{etag}"))], "");
        assert_eq!((again.status, again.body.len(), header(&again, "etag")), (304, 0, Some(etag)));
        assert_eq!(ask(&stage, "GET", "/assets/app.js", &[("if-none-match", "\"x\"")], "").status, 200);
        let head = ask(&stage, "HEAD", "/", &[], "");
        assert_eq!((head.status, head.body.len()), (200, 0));
    }

    #[test]
    fn other_ways_lead_nowhere() {
        let stage = Stage::default();
        for (method, url, status) in [
            ("GET", "/etc/passwd", 404),
            ("GET", "/s/../x", 404),
            ("GET", "/s/", 404),
            ("GET", "/assets/", 404),
            ("DELETE", "/", 405),
            ("GET", "/auth", 405),
        ] {
            assert_eq!(ask(&stage, method, url, &[], "").status, status, "{method} {url}");
        }
    }

    #[test]
    fn the_right_token_becomes_a_cookie_that_is_known_again_until_it_expires() {
        let stage = Stage::default();
        let signed = ask(&stage, "POST", "/auth", &[], r#"{"token":"right token"}"#);
        let until = NOW + 90 * 24 * 60 * 60 * 1000;
        assert_eq!(signed.status, 200);
        assert_eq!(String::from_utf8(signed.body.clone()).unwrap(), format!(r#"{{"user":"owner","until":{until}}}"#));
        let token = "07".repeat(32);
        assert_eq!(
            header(&signed, "set-cookie"),
            Some(format!("openpista={token}; HttpOnly; SameSite=Strict; Path=/; Max-Age=7776000").as_str())
        );
        assert!(!stage.state.borrow().iter().any(|(key, value)| key.contains(&token) || value.contains(&token)));
        let cookies = [("Cookie".to_string(), format!("openpista=other; a=b; openpista={token}"))];
        assert_eq!(sign_in::user(&stage, &cookies).unwrap(), Some("owner".into()));
        stage.now.set(until);
        assert_eq!(sign_in::user(&stage, &cookies).unwrap(), None);
        ask(&stage, "POST", "/auth", &[], r#"{"token":"right token"}"#);
        assert_eq!(stage.state.borrow().len(), 1, "the expired one is gone");
    }

    #[test]
    fn wrong_tokens_are_refused_and_too_many_are_slowed_down() {
        let stage = Stage::default();
        assert_eq!(ask(&stage, "POST", "/auth", &[], r#"{"token":"wrong"}"#).status, 401);
        assert_eq!(ask(&stage, "POST", "/auth", &[], "token=right").status, 400);
        stage.locked.set(true);
        let slowed = ask(&stage, "POST", "/auth", &[], r#"{"token":"right token"}"#);
        assert_eq!((slowed.status, header(&slowed, "retry-after")), (429, Some("60")));
        assert!(stage.state.borrow().is_empty());
    }

    #[test]
    fn behind_https_the_cookie_stays_on_https() {
        let stage = Stage::default();
        stage.https.set(true);
        let signed = ask(&stage, "POST", "/auth", &[], r#"{"token":"right token"}"#);
        assert!(header(&signed, "set-cookie").unwrap().ends_with("; Secure"));
    }
}
