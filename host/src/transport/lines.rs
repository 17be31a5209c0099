//! Lines as frames, for what has no framing of its own: the console and processes.

use tokio::io::{AsyncBufRead, AsyncBufReadExt as _, AsyncReadExt as _};

use super::Frame;

/// A line without its end: text if it is UTF-8, else bytes.
pub(super) fn frame(mut line: Vec<u8>) -> Frame {
    if line.last() == Some(&b'\n') {
        line.pop();
        if line.last() == Some(&b'\r') {
            line.pop();
        }
    }
    String::from_utf8(line).map_or_else(|error| Frame::Binary(error.into_bytes()), Frame::Text)
}

/// Why there is no next line.
#[derive(Debug, thiserror::Error)]
pub(super) enum LineError {
    #[error("a line has more than {0} bytes")]
    TooLong(usize),
    #[error("reading a line: {0}")]
    Read(#[from] std::io::Error),
}

/// The next line with its end, of at most so many bytes; none at the end.
pub(super) async fn next<R>(input: &mut R, most: usize) -> Result<Option<Vec<u8>>, LineError>
where
    R: AsyncBufRead + Unpin,
{
    let mut line = Vec::new();
    input.take(most as u64 + 1).read_until(b'\n', &mut line).await?;
    if line.len() > most && line.last() != Some(&b'\n') {
        return Err(LineError::TooLong(most));
    }
    Ok(Some(line).filter(|line| !line.is_empty()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_is_a_line_without_its_end() {
        assert_eq!(frame(b"a b\r\n".to_vec()), Frame::Text("a b".into()));
        assert_eq!(frame(b"a\r".to_vec()), Frame::Text("a\r".into()));
        assert_eq!(frame(b"\n".to_vec()), Frame::Text(String::new()));
        assert_eq!(frame(vec![0xff, b'\n']), Frame::Binary(vec![0xff]));
    }

    #[tokio::test]
    async fn lines_are_read_up_to_their_limit() {
        let mut input = &b"abc\n\nabcd\nabcde\n"[..];
        assert_eq!(next(&mut input, 4).await.unwrap(), Some(b"abc\n".to_vec()));
        assert_eq!(next(&mut input, 4).await.unwrap(), Some(b"\n".to_vec()));
        assert_eq!(next(&mut input, 4).await.unwrap(), Some(b"abcd\n".to_vec()));
        assert!(matches!(next(&mut input, 4).await, Err(LineError::TooLong(4))));
        let mut last = &b"x"[..];
        assert_eq!(next(&mut last, 4).await.unwrap(), Some(b"x".to_vec()));
        assert_eq!(next(&mut last, 4).await.unwrap(), None);
    }
}
