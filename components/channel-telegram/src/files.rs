//! Files that come with messages. Only their ids do; the host asks for the bytes when the message's turn begins.

use serde_json::{Value, json};

use crate::api::Api;
use crate::contract::exports::openpista::plugin::channel::ChannelError;
use crate::contract::openpista::gateway::gateway::Attachment;
use crate::contract::openpista::types::types::Media;

/// The host takes no larger file. (The API hands out up to 20 MB.)
const MOST: usize = 10 * 1024 * 1024;

/// Kinds of files, with the type that they have when the message does not say it.
const KINDS: [(&str, &str); 6] = [
    ("document", "application/octet-stream"),
    ("voice", "audio/ogg"),
    ("audio", "audio/mpeg"),
    ("video", "video/mp4"),
    ("video_note", "video/mp4"),
    ("animation", "video/mp4"),
];

/// References to what is attached to a message.
pub fn attached(message: &Value) -> Vec<Attachment> {
    let photo = message.get("photo").and_then(Value::as_array).and_then(|sizes| {
        let fits = |photo: &&Value| size(photo).is_none_or(|size| size <= MOST);
        sizes.iter().filter(fits).max_by_key(|photo| photo.get("width").and_then(Value::as_u64))
    });
    let mut found: Vec<Attachment> = photo.and_then(|photo| reference(photo, "image/jpeg")).into_iter().collect();
    let kinds = KINDS.iter().filter(|(kind, _)| {
        // An animation is there a second time as a document, for programs that do not know it.
        !(*kind == "document" && message.get("animation").is_some())
    });
    found.extend(kinds.filter_map(|(kind, mime)| reference(message.get(kind)?, mime)));
    found
}

fn size(file: &Value) -> Option<usize> {
    file.get("file_size").and_then(Value::as_u64).and_then(|size| usize::try_from(size).ok())
}

fn reference(file: &Value, mime: &str) -> Option<Attachment> {
    let id = file.get("file_id")?.as_str()?;
    let mime = file.get("mime_type").and_then(Value::as_str).unwrap_or(mime);
    let name = file.get("file_name").and_then(Value::as_str);
    Some(Attachment::Later(json!({"id": id, "mime": mime, "name": name, "size": size(file)}).to_string()))
}

/// `attachments.fetch`
pub fn fetch(api: Api<'_>, reference: &str) -> Result<Media, ChannelError> {
    let reference: Value = serde_json::from_str(reference).unwrap_or_default();
    let of = |key: &str| reference.get(key).and_then(Value::as_str);
    let too_large = || ChannelError::Malformed("the file has more than 10 MiB".into());
    if reference
        .get("size")
        .and_then(Value::as_u64)
        .is_some_and(|size| usize::try_from(size).is_ok_and(|size| size > MOST))
    {
        return Err(too_large());
    }
    let file = api.call("getFile", &json!({"file_id": of("id")}))?;
    let path = file.get("file_path").and_then(Value::as_str).unwrap_or_default();
    let good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '/' | '_' | '-' | '.');
    if path.is_empty() || path.starts_with('/') || path.contains("..") || !path.chars().all(good) {
        return Err(ChannelError::Other(format!(
            "the API names {path:?} as the file's path; a server that keeps files on its own disk cannot be used for files"
        )));
    }
    let data = api.file(path, MOST)?;
    Ok(Media { mime: of("mime").unwrap_or_default().to_string(), name: of("name").map(str::to_string), data })
}
