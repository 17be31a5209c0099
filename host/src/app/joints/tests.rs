//! What passes where parts meet.

use super::*;
use crate::capability::secrets::SecretValue;
use crate::message::{Extension, Media};

const SECRET: &str = "correct-horse";

/// Tools that say what the test wants.
struct Says(Result<Vec<Content>, ToolError>);

#[async_trait]
impl Toolbox for Says {
    fn definitions(&self) -> Arc<[ToolDefinition]> {
        Arc::new([])
    }

    async fn call(&self, _: Invocation, _: Progress, _: CancellationToken) -> Result<Vec<Content>, ToolError> {
        self.0.clone()
    }
}

async fn passed_on(said: Result<Vec<Content>, ToolError>) -> Result<Vec<Content>, ToolError> {
    let known = Arc::new(Known::default());
    known.learn("a test", vec![("key".into(), SecretValue::new(SECRET).unwrap())]).unwrap();
    let tools = Discreet { tools: Arc::new(Says(said)), known };
    let invocation = Invocation {
        edition: None,
        approval: String::new(),
        id: "1".into(),
        name: "system.run".into(),
        arguments: "{}".into(),
        session: "s".into(),
        turn: "t".into(),
    };
    tools.call(invocation, Arc::new(|_| ()), CancellationToken::new()).await
}

fn media(mime: &str, data: &str) -> Content {
    Content::Media(Media { mime: mime.into(), name: Some(data.into()), data: data.to_string().into() })
}

/// Every kind of content, with this in it.
fn content(secret: &str) -> Vec<Content> {
    vec![
        Content::Text(format!("KEY={secret}\nHOME=/root")),
        Content::Json(format!("{{\"key\":\"{secret}\"}}")),
        media("text/plain", &format!("key: {secret}")),
        media("application/octet-stream", &format!("\0{secret}\0")),
        Content::Other(Extension { kind: "x.test/y".into(), data: format!("[\"{secret}\"]") }),
    ]
}

#[tokio::test]
async fn no_tool_tells_the_model_a_secret_of_the_host() {
    let cleaned = content("[secret key]");
    assert_eq!(passed_on(Ok(content(SECRET))).await, Ok(cleaned.clone()));
    assert_eq!(passed_on(Err(ToolError::Failed(content(SECRET)))).await, Err(ToolError::Failed(cleaned)));
    for kind in [ToolError::AccessDenied, ToolError::InvalidArguments, ToolError::Other] {
        assert_eq!(passed_on(Err(kind(format!("no {SECRET}")))).await, Err(kind("no [secret key]".into())));
    }
    // An image whose bytes look like a secret is an image all the same.
    let image = Content::Media(Media { mime: "image/png".into(), name: None, data: SECRET.into() });
    assert_eq!(passed_on(Ok(vec![image.clone()])).await, Ok(vec![image]));
}
