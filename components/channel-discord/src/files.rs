//! Files that come with messages. Only their addresses do; the host asks for the bytes when the message's turn begins.

use serde_json::{Value, json};

use crate::api::{Api, read};
use crate::contract::exports::openpista::plugin::channel::ChannelError;
use crate::contract::openpista::gateway::gateway::Attachment;
use crate::contract::openpista::http::exchange::Request;
use crate::contract::openpista::types::types::Media;
use crate::host::Fault;

/// The host takes no larger file.
const MOST: usize = 10 << 20;
/// Of a reference, with room for all else that is in it.
const ADDRESS_MOST: usize = 3 * 1024;

/// References to what is attached to a message.
pub fn attached(message: &Value) -> Vec<Attachment> {
    message.get("attachments").and_then(Value::as_array).into_iter().flatten().filter_map(reference).collect()
}

fn reference(file: &Value) -> Option<Attachment> {
    let text = |key: &str| file.get(key).and_then(Value::as_str);
    let url = text("url").filter(|url| url.len() <= ADDRESS_MOST)?;
    // Some types come with parameters (`text/plain; charset=utf-8`).
    let mime = text("content_type").and_then(|kind| kind.split(';').next()).unwrap_or("application/octet-stream");
    let name: Option<String> = text("filename").map(|name| name.chars().take(100).collect());
    Some(Attachment::Later(
        json!({"url": url, "mime": mime.trim(), "name": name, "size": file.get("size")}).to_string(),
    ))
}

/// `attachments.fetch`
pub fn fetch(api: Api<'_>, reference: &str) -> Result<Media, ChannelError> {
    let reference: Value = serde_json::from_str(reference).unwrap_or_default();
    let of = |key: &str| reference.get(key).and_then(Value::as_str);
    if reference.get("size").and_then(Value::as_u64).unwrap_or_default() > 10 << 20 {
        return Err(ChannelError::Malformed("the file has more than 10 MiB".into()));
    }
    let url = of("url").unwrap_or_default().to_string();
    let answer = api.host.http(&Request { method: "GET".into(), url, headers: Vec::new(), body: Vec::new() }, MOST)?;
    if answer.status != 200 {
        return Err(read(&answer).err().unwrap_or(Fault::Missing).into());
    }
    let name = of("name").map(str::to_string);
    Ok(Media { mime: of("mime").unwrap_or_default().to_string(), name, data: answer.body })
}
