//! What goes wrong between a provider and its service, as the host acts on it: sign in, wait, retry, compact, or give up.
//!
//! The services agree on little here, so all of their signs stand together: the status, `type` and `code` of the error
//! object, and at last its words.

use serde_json::Value;

/// Characters of a service's words that are handed on.
const WORDS: usize = 1_000;

/// The cases of the contract's `provider-error`, without the bindings of a component; see there for what each leads to.
#[derive(Clone, Debug, PartialEq)]
pub enum Failure {
    /// No credential, or it was refused.
    AuthRequired(String),
    /// A capability refused.
    AccessDenied(String),
    /// In milliseconds, if the service says so.
    RateLimited(Option<u32>),
    /// Quota or balance used up.
    Exhausted(String),
    /// Busy.
    Overloaded(String),
    /// More than the model takes.
    ContextTooLong(String),
    /// The service says that the request is wrong.
    BadRequest(String),
    /// No connection, or it broke.
    Transport(String),
    /// Else.
    Other(String),
}

/// An answer with a status that is no success. `now` in milliseconds since 1970.
pub fn from_status(status: u16, headers: &[(String, String)], body: &[u8], now: u64) -> Failure {
    let text = String::from_utf8_lossy(body);
    let said = Said::parse(&text);
    let words = said.words(&format!("the service answered with status {status}"));
    match status {
        401 => Failure::AuthRequired(words),
        402 => Failure::Exhausted(words),
        400..=499 if said.is_quota() => Failure::Exhausted(words),
        403 => Failure::AuthRequired(words),
        429 => Failure::RateLimited(retry_after(headers, now)),
        400 | 413 | 422 if status == 413 || said.is_too_long() => Failure::ContextTooLong(words),
        408 | 409 | 425 | 500.. => Failure::Overloaded(words),
        400..=499 => Failure::BadRequest(words),
        _ => Failure::Other(words),
    }
}

/// An error object in the middle of a stream, where the status was a good one.
pub fn from_stream(error: &Value) -> Failure {
    let said = Said::from_error(error);
    let words = said.words("the service broke off with an error");
    let number = error.get("code").and_then(Value::as_u64).and_then(|code| u16::try_from(code).ok());
    if let Some(status) = number.filter(|status| (400..600).contains(status)) {
        return from_status(status, &[], error.to_string().as_bytes(), 0);
    }
    if said.is_quota() {
        Failure::Exhausted(words)
    } else if said.is_too_long() {
        Failure::ContextTooLong(words)
    } else if said.is_about(&["rate_limit", "too_many_requests"]) {
        Failure::RateLimited(None)
    } else if said.is_about(&["authentication", "invalid_api_key", "permission"]) {
        Failure::AuthRequired(words)
    } else if said.is_about(&["server_error", "api_error", "overloaded", "internal", "unavailable", "timeout"]) {
        Failure::Overloaded(words)
    } else if said.is_about(&["invalid_request", "invalid_prompt", "bad_request", "not_found"]) {
        Failure::BadRequest(words)
    } else {
        Failure::Other(words)
    }
}

/// What an error says of itself.
struct Said {
    message: String,
    /// `type` and `code`, lower case.
    kind: String,
}

impl Said {
    fn parse(text: &str) -> Self {
        match serde_json::from_str::<Value>(text) {
            Ok(value) => Self::from_error(value.get("error").unwrap_or(&value)),
            Err(_) => Self { message: text.trim().into(), kind: String::new() },
        }
    }

    fn from_error(error: &Value) -> Self {
        let text = |key: &str| error.get(key).and_then(Value::as_str).unwrap_or_default();
        let message = error.as_str().unwrap_or_else(|| text("message"));
        // OpenRouter keeps the words of the service behind it here.
        let raw = error.pointer("/metadata/raw").and_then(Value::as_str);
        Self {
            message: raw.map_or_else(|| message.to_string(), |raw| format!("{message}: {raw}")),
            kind: format!("{} {}", text("type"), text("code")).to_lowercase(),
        }
    }

    fn is_about(&self, signs: &[&str]) -> bool {
        signs.iter().any(|sign| self.kind.contains(sign))
    }

    fn is_quota(&self) -> bool {
        let message = self.message.to_lowercase();
        self.is_about(&["insufficient_quota", "billing", "insufficient_credits", "credit_limit", "usage_limit_reached"])
            || message.contains("exceeded your current quota")
            || message.contains("insufficient credits")
            || message.contains("credit balance is too low")
    }

    fn is_too_long(&self) -> bool {
        const SIGNS: &[&str] = &[
            "context length",
            "context window",
            "context size",
            "maximum context",
            "too many tokens",
            "prompt is too long",
            "input is too long",
            "exceeds the limit of tokens",
        ];
        let message = self.message.to_lowercase();
        self.is_about(&["context_length_exceeded", "context_too_long", "request_too_large"])
            || SIGNS.iter().any(|s| message.contains(s))
    }

    fn words(&self, otherwise: &str) -> String {
        let words: String = self.message.chars().take(WORDS).collect();
        if words.is_empty() { otherwise.into() } else { words }
    }
}

/// How long to wait, in milliseconds: `retry-after-ms`, or `retry-after` in seconds or as a date.
pub fn retry_after(headers: &[(String, String)], now: u64) -> Option<u32> {
    let header =
        |wanted: &str| headers.iter().find(|(name, _)| name.eq_ignore_ascii_case(wanted)).map(|(_, v)| v.trim());
    let capped = |ms: f64| (ms.is_finite() && ms >= 0.0).then(|| ms.min(f64::from(u32::MAX)).ceil() as u32);
    if let Some(ms) = header("retry-after-ms").and_then(|text| text.parse::<f64>().ok()).and_then(capped) {
        return Some(ms);
    }
    let text = header("retry-after")?;
    if let Ok(seconds) = text.parse::<f64>() {
        return capped(seconds * 1000.0);
    }
    // The service's own clock, where it says it: ours may be wrong.
    let now = header("date").and_then(http_date).map_or(now, |seconds| seconds * 1000);
    let wait = (http_date(text)? * 1000).saturating_sub(now);
    Some(u32::try_from(wait).unwrap_or(u32::MAX))
}

/// Seconds since 1970 of `Sun, 06 Nov 1994 08:49:37 GMT`, the form that HTTP demands of senders (RFC 9110, 5.6.7).
fn http_date(text: &str) -> Option<u64> {
    const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let (_, rest) = text.split_once(", ")?;
    let mut fields = rest.split(' ');
    let day: u64 = fields.next()?.parse().ok()?;
    let name = fields.next()?;
    let month = MONTHS.iter().position(|month| *month == name)? as u64 + 1;
    let year: u64 = fields.next()?.parse().ok()?;
    let mut clock = fields.next()?.split(':').map(str::parse::<u64>);
    let (hour, minute, second) = (clock.next()?.ok()?, clock.next()?.ok()?, clock.next()?.ok()?);
    if fields.next() != Some("GMT") || !(1970..=9999).contains(&year) || !(1..=31).contains(&day) {
        return None;
    }
    // Days since 1 March of the year 0, in years that begin with March, so that the leap day is the last.
    let (y, m) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = 365 * y + y / 4 - y / 100 + y / 400 + (153 * m + 2) / 5 + day - 1;
    Some(days.checked_sub(719_468)? * 86_400 + hour * 3_600 + minute * 60 + second)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn header(name: &str, value: &str) -> (String, String) {
        (name.into(), value.into())
    }

    #[test]
    fn each_status_has_its_meaning() {
        let openai = |kind: &str, code: &str, message: &str| {
            json!({"error": {"message": message, "type": kind, "code": code}}).to_string()
        };
        let table = [
            (
                401,
                openai("invalid_request_error", "invalid_api_key", "Wrong key"),
                Failure::AuthRequired("Wrong key".into()),
            ),
            (403, "no entry".into(), Failure::AuthRequired("no entry".into())),
            (402, openai("", "", "Insufficient credits"), Failure::Exhausted("Insufficient credits".into())),
            (429, openai("insufficient_quota", "insufficient_quota", "Pay"), Failure::Exhausted("Pay".into())),
            (429, openai("rate_limit_error", "", "Slow"), Failure::RateLimited(None)),
            (
                400,
                openai("invalid_request_error", "", "Your credit balance is too low to access the API."),
                Failure::Exhausted("Your credit balance is too low to access the API.".into()),
            ),
            (
                400,
                openai("invalid_request_error", "", "prompt is too long: 212345 tokens > 200000 maximum"),
                Failure::ContextTooLong("prompt is too long: 212345 tokens > 200000 maximum".into()),
            ),
            (
                400,
                openai("invalid_request_error", "context_length_exceeded", "Long"),
                Failure::ContextTooLong("Long".into()),
            ),
            (
                400,
                openai("", "", "This model's maximum context length is 8192 tokens."),
                Failure::ContextTooLong("This model's maximum context length is 8192 tokens.".into()),
            ),
            (413, String::new(), Failure::ContextTooLong("the service answered with status 413".into())),
            (400, openai("", "", "No such field"), Failure::BadRequest("No such field".into())),
            (404, r#"{"error":"model 'x' not found"}"#.into(), Failure::BadRequest("model 'x' not found".into())),
            (422, r#"{"message":"Unprocessable"}"#.into(), Failure::BadRequest("Unprocessable".into())),
            (500, String::new(), Failure::Overloaded("the service answered with status 500".into())),
            (503, "busy".into(), Failure::Overloaded("busy".into())),
            (529, "busy".into(), Failure::Overloaded("busy".into())),
            (304, String::new(), Failure::Other("the service answered with status 304".into())),
        ];
        for (status, body, wanted) in table {
            assert_eq!(from_status(status, &[], body.as_bytes(), 0), wanted, "{status} {body}");
        }
    }

    #[test]
    fn an_error_within_a_stream_is_mapped_by_what_it_says() {
        let table = [
            (json!({"message": "slow", "type": "rate_limit_error"}), Failure::RateLimited(None)),
            (json!({"message": "busy", "type": "server_error"}), Failure::Overloaded("busy".into())),
            (json!({"message": "busy", "type": "overloaded_error"}), Failure::Overloaded("busy".into())),
            (json!({"message": "broke", "type": "api_error"}), Failure::Overloaded("broke".into())),
            (json!({"message": "who?", "type": "permission_error"}), Failure::AuthRequired("who?".into())),
            (json!({"message": "no", "code": "invalid_prompt"}), Failure::BadRequest("no".into())),
            (json!({"message": "gone", "code": 502}), Failure::Overloaded("gone".into())),
            (json!({"message": "pay", "code": "insufficient_quota"}), Failure::Exhausted("pay".into())),
            (json!({"message": "long", "code": "context_length_exceeded"}), Failure::ContextTooLong("long".into())),
            (json!({"message": "what", "type": "invalid_request_error"}), Failure::BadRequest("what".into())),
            (json!("strange"), Failure::Other("strange".into())),
        ];
        for (error, wanted) in table {
            assert_eq!(from_stream(&error), wanted, "{error}");
        }
    }

    #[test]
    fn waiting_times_come_in_three_forms() {
        let date = header("Date", "Sun, 06 Nov 1994 08:49:07 GMT");
        let table = [
            (vec![header("retry-after-ms", "150")], Some(150)),
            (vec![header("Retry-After", "2")], Some(2_000)),
            (vec![header("retry-after", "0.5")], Some(500)),
            (vec![header("retry-after", "Sun, 06 Nov 1994 08:49:37 GMT"), date.clone()], Some(30_000)),
            (vec![header("retry-after", "Sun, 06 Nov 1994 08:49:00 GMT"), date], Some(0)),
            (vec![header("retry-after", "-1")], None),
            (vec![header("retry-after", "soon")], None),
            (vec![], None),
        ];
        for (headers, wanted) in table {
            assert_eq!(retry_after(&headers, 0), wanted, "{headers:?}");
        }
        let now = http_date("Tue, 29 Feb 2028 23:59:59 GMT").unwrap() * 1000;
        assert_eq!(retry_after(&[header("retry-after", "Wed, 01 Mar 2028 00:00:01 GMT")], now), Some(2_000));
    }

    #[test]
    fn dates_are_seconds_since_1970() {
        assert_eq!(http_date("Sun, 06 Nov 1994 08:49:37 GMT"), Some(784_111_777));
        assert_eq!(http_date("Thu, 01 Jan 1970 00:00:00 GMT"), Some(0));
        assert_eq!(http_date("Sunday"), None);
    }
}
