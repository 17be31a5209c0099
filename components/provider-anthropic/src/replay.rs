//! What a part of an answer carries, so that the service knows its own words again: the signature of thinking, or
//! thinking that it keeps to itself. Opaque to the host, JSON to us.

use serde_json::{Value, json};

/// What makes a reasoning part a block of the service again.
#[derive(Clone, Debug, PartialEq)]
pub enum Replay {
    /// Of a `thinking` block.
    Signature(String),
    /// The `data` of a `redacted_thinking` block.
    Redacted(String),
}

impl Replay {
    /// With the model that thought it: what one model signed, another may refuse.
    pub fn write(&self, model: &str) -> Vec<u8> {
        let value = match self {
            Self::Signature(signature) => json!({"model": model, "signature": signature}),
            Self::Redacted(data) => json!({"model": model, "redacted": data}),
        };
        value.to_string().into_bytes()
    }

    /// None for bytes that are not ours, or of another model.
    pub fn read(bytes: &[u8], model: &str) -> Option<Self> {
        let value: Value = serde_json::from_slice(bytes).ok()?;
        let text = |key: &str| value.get(key).and_then(Value::as_str).filter(|text| !text.is_empty());
        if text("model") != Some(model) {
            return None;
        }
        text("signature")
            .map(|signature| Self::Signature(signature.into()))
            .or_else(|| text("redacted").map(|data| Self::Redacted(data.into())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_by_the_same_model_only() {
        for replay in [Replay::Signature("c2ln".into()), Replay::Redacted("ZGF0YQ==".into())] {
            let bytes = replay.write("m");
            assert_eq!((Replay::read(&bytes, "m"), Replay::read(&bytes, "n")), (Some(replay), None));
        }
    }

    #[test]
    fn foreign_bytes_are_passed_over() {
        for bytes in [&b""[..], b"\xff\xfe", b"{}", br#"{"model":"m"}"#, br#"{"model":"m","signature":7}"#, b"null"] {
            assert_eq!(Replay::read(bytes, "m"), None, "{bytes:?}");
        }
    }
}
