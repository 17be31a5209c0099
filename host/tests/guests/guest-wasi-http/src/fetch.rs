//! One request over `wasi:http/outgoing-handler`.

use wasip2::http::outgoing_handler::handle;
use wasip2::http::types::{ErrorCode, Fields, IncomingBody, Method, OutgoingBody, OutgoingRequest, Scheme};
use wasip2::io::streams::StreamError;

/// What a URL answers, headers and body; or the error in words.
pub fn fetch(url: &str, method: &str, body: &str, authorization: Option<&str>) -> String {
    asked(url, method, body, authorization).unwrap_or_else(|error| format!("{error:?}"))
}

fn asked(url: &str, method: &str, body: &str, authorization: Option<&str>) -> Result<String, ErrorCode> {
    let refused = |()| ErrorCode::InternalError(Some("the host does not take this".into()));
    let (scheme, rest) = url.split_once("://").unwrap_or_default();
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    let headers = Fields::new();
    if let Some(value) = authorization {
        headers.append("authorization", value.as_bytes()).map_err(|_| refused(()))?;
    }
    let request = OutgoingRequest::new(headers);
    let scheme = match scheme {
        "http" => Scheme::Http,
        "https" => Scheme::Https,
        other => Scheme::Other(other.into()),
    };
    let method = match method {
        "" | "GET" => Method::Get,
        "POST" => Method::Post,
        other => Method::Other(other.into()),
    };
    request.set_scheme(Some(&scheme)).map_err(refused)?;
    request.set_authority(Some(authority)).map_err(refused)?;
    request.set_path_with_query(Some(&format!("/{path}"))).map_err(refused)?;
    request.set_method(&method).map_err(refused)?;
    let outgoing = request.body().map_err(refused)?;
    let waiting = handle(request, None)?;
    {
        let stream = outgoing.write().map_err(refused)?;
        // What one write takes at most.
        for piece in body.as_bytes().chunks(4096) {
            if stream.blocking_write_and_flush(piece).is_err() {
                break;
            }
        }
    }
    OutgoingBody::finish(outgoing, None)?;
    let answer = loop {
        match waiting.get() {
            Some(answer) => break answer.map_err(refused)??,
            None => waiting.subscribe().block(),
        }
    };
    let mut text = format!("{}\n", answer.status());
    for (name, value) in answer.headers().entries() {
        text.push_str(&format!("{name}: {}\n", String::from_utf8_lossy(&value)));
    }
    let incoming = answer.consume().map_err(refused)?;
    {
        let stream = incoming.stream().map_err(refused)?;
        loop {
            match stream.blocking_read(4096) {
                Ok(piece) => text.push_str(&String::from_utf8_lossy(&piece)),
                Err(StreamError::Closed) => break,
                Err(StreamError::LastOperationFailed(error)) => {
                    text.push_str(&error.to_debug_string());
                    break;
                }
            }
        }
    }
    drop(IncomingBody::finish(incoming));
    Ok(text)
}
