//! Answers: what of a channel's is kept, what the host puts on every one, and the host's own words.

use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Response, StatusCode};
use http_body_util::Full;

use crate::transport::Response as Said;

/// The channel's answer without what is the host's to say.
pub(super) fn from_channel(response: Said) -> Result<Response<Full<Bytes>>, String> {
    let status = StatusCode::from_u16(response.status).ok().filter(|status| !status.is_informational());
    let status = status.ok_or_else(|| format!("{} is not a status of an answer", response.status))?;
    let mut answer = Response::new(Full::new(Bytes::from(response.body)));
    *answer.status_mut() = status;
    for (name, value) in response.headers {
        let name = HeaderName::try_from(&name).map_err(|_| format!("`{name}` is not the name of a header"))?;
        if is_the_hosts(&name) {
            continue;
        }
        let value = HeaderValue::try_from(&value).map_err(|_| format!("the value of `{name}` cannot be sent"))?;
        answer.headers_mut().append(name, value);
    }
    Ok(answer)
}

/// Length, date, connection, and the headers of TLS, CORS and framing policy.
fn is_the_hosts(name: &HeaderName) -> bool {
    let own = [
        "connection",
        "content-length",
        "date",
        "keep-alive",
        "strict-transport-security",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "x-frame-options",
    ];
    own.contains(&name.as_str()) || name.as_str().starts_with("access-control-")
}

/// The headers that every answer has, and those of CORS for a configured origin.
pub(super) fn hardened(mut answer: Response<Full<Bytes>>, cors: Option<String>) -> Response<Full<Bytes>> {
    let headers = answer.headers_mut();
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.entry(header::REFERRER_POLICY).or_insert(HeaderValue::from_static("no-referrer"));
    headers.insert(header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
    // A second policy can only forbid more, so the channel's own stays as it is.
    headers.append(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static("frame-ancestors 'none'"));
    if let Some(origin) = cors.and_then(|origin| HeaderValue::try_from(origin).ok()) {
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        headers.append(header::VARY, HeaderValue::from_static("origin"));
    }
    answer
}

/// The answer to a preflight of a configured origin: what it asks for, it may do.
pub(super) fn allow(asked: &HeaderMap) -> Response<Full<Bytes>> {
    let mut answer = Response::new(Full::default());
    *answer.status_mut() = StatusCode::NO_CONTENT;
    let pairs = [
        (header::ACCESS_CONTROL_REQUEST_METHOD, header::ACCESS_CONTROL_ALLOW_METHODS),
        (header::ACCESS_CONTROL_REQUEST_HEADERS, header::ACCESS_CONTROL_ALLOW_HEADERS),
    ];
    for (question, reply) in pairs {
        if let Some(value) = asked.get(question) {
            answer.headers_mut().insert(reply, value.clone());
        }
    }
    answer.headers_mut().insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("600"));
    answer
}

/// The host's own words.
pub(super) fn plain(status: StatusCode, text: &str) -> Response<Full<Bytes>> {
    let mut answer = Response::new(Full::new(Bytes::from(text.to_owned())));
    *answer.status_mut() = status;
    answer.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    answer
}
