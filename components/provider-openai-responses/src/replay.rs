//! What a part of an answer carries, so that the service has its own item again. Opaque to the host, JSON to us.

use serde_json::{Map, Value, json};

/// A reasoning item, or what a message had besides its text.
#[derive(Clone, Debug, PartialEq)]
pub enum Replay {
    /// Of a `reasoning` item.
    Reasoning {
        /// `rs_…`
        id: String,
        /// `encrypted_content`
        encrypted: String,
        /// The texts of `summary`, apart, as they were signed.
        summary: Vec<String>,
    },
    /// `phase` of a `message` item: whether it was the answer or a word on the way to it.
    Phase(String),
}

impl Replay {
    /// With the model that reasoned: what is encrypted for one may be no use to another.
    pub fn write(&self, model: &str) -> Vec<u8> {
        let value = match self {
            Self::Reasoning { id, encrypted, summary } => {
                json!({"model": model, "id": id, "encrypted": encrypted, "summary": summary})
            }
            Self::Phase(phase) => json!({"model": model, "phase": phase}),
        };
        value.to_string().into_bytes()
    }

    /// None for bytes that are not ours, or of another model.
    pub fn read(bytes: &[u8], model: &str) -> Option<Self> {
        let value: Map<String, Value> = serde_json::from_slice(bytes).ok()?;
        let text = |key: &str| value.get(key).and_then(Value::as_str).filter(|text| !text.is_empty());
        if text("model") != Some(model) {
            return None;
        }
        if let Some(phase) = text("phase") {
            return Some(Self::Phase(phase.into()));
        }
        let summary = value.get("summary").and_then(Value::as_array).into_iter().flatten();
        Some(Self::Reasoning {
            id: text("id")?.into(),
            encrypted: text("encrypted")?.into(),
            summary: summary.filter_map(|text| text.as_str().map(str::to_string)).collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_by_the_same_model_only() {
        let reasoning =
            Replay::Reasoning { id: "rs_1".into(), encrypted: "gAAA".into(), summary: vec!["a".into(), "b".into()] };
        for replay in [reasoning, Replay::Phase("commentary".into())] {
            let bytes = replay.write("m");
            assert_eq!((Replay::read(&bytes, "m"), Replay::read(&bytes, "n")), (Some(replay), None));
        }
    }

    #[test]
    fn foreign_bytes_are_passed_over() {
        for bytes in [&b""[..], b"\xff\xfe", b"[]", br#"{"model":"m"}"#, br#"{"model":"m","signature":"s"}"#] {
            assert_eq!(Replay::read(bytes, "m"), None, "{bytes:?}");
        }
    }
}
