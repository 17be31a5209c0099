//! A body of `multipart/form-data`, for messengers that take files.

/// A form that is being filled.
#[derive(Clone, Debug, Default)]
pub struct Form {
    parts: Vec<Part>,
}

#[derive(Clone, Debug)]
struct Part {
    head: String,
    body: Vec<u8>,
}

impl Form {
    /// A field with text.
    #[must_use]
    pub fn text(mut self, name: &str, value: &str) -> Self {
        let head = format!("content-disposition: form-data; name=\"{}\"\r\n", quoted(name));
        self.parts.push(Part { head, body: value.as_bytes().to_vec() });
        self
    }

    /// A field with a file.
    #[must_use]
    pub fn file(mut self, name: &str, file: &str, mime: &str, body: Vec<u8>) -> Self {
        let mime: String = mime.chars().filter(|c| c.is_ascii_graphic() || *c == ' ').collect();
        let head = format!(
            "content-disposition: form-data; name=\"{}\"; filename=\"{}\"\r\ncontent-type: {mime}\r\n",
            quoted(name),
            quoted(file)
        );
        self.parts.push(Part { head, body });
        self
    }

    /// The value of `content-type`, and the body.
    pub fn finish(self) -> (String, Vec<u8>) {
        let boundary = self.boundary();
        let mut all = Vec::new();
        for part in self.parts {
            all.extend_from_slice(format!("--{boundary}\r\n{}\r\n", part.head).as_bytes());
            all.extend_from_slice(&part.body);
            all.extend_from_slice(b"\r\n");
        }
        all.extend_from_slice(format!("--{boundary}--\r\n").as_bytes());
        (format!("multipart/form-data; boundary={boundary}"), all)
    }

    /// One that stands in no part.
    fn boundary(&self) -> String {
        let mut number = 0_u64;
        loop {
            let boundary = format!("openpista-{number:016x}");
            let taken = |body: &[u8]| body.windows(boundary.len()).any(|window| window == boundary.as_bytes());
            if !self.parts.iter().any(|part| taken(&part.body) || taken(part.head.as_bytes())) {
                return boundary;
            }
            number += 1;
        }
    }
}

/// As the HTML standard writes names in a form.
fn quoted(name: &str) -> String {
    name.chars()
        .map(|letter| match letter {
            '"' => "%22".to_string(),
            '\r' => "%0D".to_string(),
            '\n' => "%0A".to_string(),
            other => other.to_string(),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_and_files_are_parts() {
        let (kind, body) =
            Form::default().text("chat", "7").file("photo", "a \"b\"\r\n.png", "image/png", vec![0, 255]).finish();
        assert_eq!(kind, "multipart/form-data; boundary=openpista-0000000000000000");
        let text = String::from_utf8_lossy(&body);
        assert_eq!(
            text,
            "--openpista-0000000000000000\r\ncontent-disposition: form-data; name=\"chat\"\r\n\r\n7\r\n\
             --openpista-0000000000000000\r\ncontent-disposition: form-data; name=\"photo\"; \
             filename=\"a %22b%22%0D%0A.png\"\r\ncontent-type: image/png\r\n\r\n\u{0}\u{fffd}\r\n\
             --openpista-0000000000000000--\r\n"
        );
    }

    #[test]
    fn a_file_that_holds_the_boundary_gets_another() {
        let (kind, _) = Form::default().text("x", "openpista-0000000000000000").finish();
        assert!(kind.ends_with("0001"), "{kind}");
    }
}
