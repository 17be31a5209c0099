//! Files that come with messages. Only their addresses do; the host asks for the bytes when the message's turn begins.

use serde_json::{Value, json};

use crate::api::Api;
use crate::contract::exports::openpista::plugin::channel::ChannelError;
use crate::contract::openpista::gateway::gateway::Attachment;
use crate::contract::openpista::types::types::Media;

/// The host takes no larger file.
const MOST: usize = 10 * 1024 * 1024;
/// The type of pages.
const PAGE: &str = "text/html";

/// The files of a message: references to those that Slack keeps, and lines for those that lie elsewhere.
pub fn attached(message: &Value) -> (Vec<Attachment>, Vec<String>) {
    let (mut kept, mut elsewhere) = (Vec::new(), Vec::new());
    for file in message.get("files").and_then(Value::as_array).into_iter().flatten() {
        let of = |key: &str| file.get(key).and_then(Value::as_str);
        let url = of("url_private_download").or_else(|| of("url_private"));
        if file.get("is_external").and_then(Value::as_bool) == Some(true) {
            elsewhere.extend(url.map(|url| format!("📎 {}: {url}", of("title").unwrap_or("file"))));
        } else if of("mode").is_none_or(|mode| mode != "tombstone" && mode != "hidden_by_limit") {
            let reference = json!({
                "id": of("id"), "url": url, "mime": of("mimetype"), "name": of("name"), "size": file.get("size")
            });
            kept.push(Attachment::Later(reference.to_string()));
        }
    }
    (kept, elsewhere)
}

/// `attachments.fetch`
pub fn fetch(api: Api<'_>, reference: &str) -> Result<Media, ChannelError> {
    let reference: Value = serde_json::from_str(reference).unwrap_or_default();
    let of = |key: &str| reference.get(key).and_then(Value::as_str);
    let large = |size: u64| usize::try_from(size).is_ok_and(|size| size > MOST);
    if reference.get("size").and_then(Value::as_u64).is_some_and(large) {
        return Err(ChannelError::Malformed("the file has more than 10 MiB".into()));
    }
    let url = match of("url") {
        Some(url) => url.to_string(),
        // Of a file from another workspace the message has the id only.
        None => {
            let known = api.call("files.info", &json!({"file": of("id")}))?;
            let url = known.pointer("/file/url_private").and_then(Value::as_str);
            url.ok_or_else(|| ChannelError::Other("Slack names no address for the file".into()))?.to_string()
        }
    };
    let (kind, data) = api.file(&url, MOST)?;
    let mime = of("mime").unwrap_or("application/octet-stream");
    if kind.starts_with(PAGE) && mime != PAGE {
        return Err(ChannelError::Other(
            "Slack showed a page to sign in instead of the file: give the app the scope files:read, and install it again"
                .into(),
        ));
    }
    Ok(Media { mime: mime.to_string(), name: of("name").map(str::to_string), data })
}
