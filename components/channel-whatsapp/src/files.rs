//! Files that come by the Cloud API. Only their ids do; the host asks for the bytes when the message's turn begins.

use serde_json::{Value, json};

use crate::contract::exports::openpista::plugin::channel::ChannelError;
use crate::contract::openpista::gateway::gateway::Attachment;
use crate::contract::openpista::types::types::Media;
use crate::graph::Graph;

/// The host takes no larger file.
const MOST: usize = 10 * 1024 * 1024;

/// The file of a message of this type.
pub fn attached(kind: &str, message: &Value) -> Option<Attachment> {
    let file = message.get(kind).filter(|_| matches!(kind, "image" | "document" | "audio" | "video" | "sticker"))?;
    let of = |key: &str| file.get(key).and_then(Value::as_str);
    let reference = json!({"id": of("id").filter(|id| is_id(id))?, "mime": of("mime_type"), "name": of("filename")});
    Some(Attachment::Later(reference.to_string()))
}

/// It becomes part of an address.
pub fn is_id(id: &str) -> bool {
    !id.is_empty() && id.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | '='))
}

/// `attachments.fetch`
pub fn fetch(graph: Graph<'_>, reference: &str) -> Result<Media, ChannelError> {
    let reference: Value = serde_json::from_str(reference).unwrap_or_default();
    let of = |key: &str| reference.get(key).and_then(Value::as_str);
    let media = graph.media(of("id").unwrap_or_default())?;
    if media.get("file_size").and_then(Value::as_u64).is_some_and(|size| size > MOST as u64) {
        return Err(ChannelError::Malformed("the file has more than 10 MiB".into()));
    }
    let url = media.get("url").and_then(Value::as_str).unwrap_or_default();
    let data = graph.bytes(url, MOST)?;
    let mime = of("mime").or_else(|| media.get("mime_type").and_then(Value::as_str)).unwrap_or_default();
    // Voice notes say their codec, too.
    let mime = mime.split(';').next().unwrap_or_default().trim().to_string();
    Ok(Media { mime, name: of("name").map(str::to_string), data })
}
