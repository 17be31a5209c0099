//! Finds someone who answers: the daemon of the home, or the home opened in this process.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::{Context, Failure};
use crate::admin::{Answers, AskError, Link, Request, Response};
use crate::config::Config;
use crate::home::{HomeError, Lock};

/// A daemon that is starting, or another command, may hold the home for a moment.
const PATIENCE: Duration = Duration::from_secs(5);

/// Someone who answers, and the home if it is ours meanwhile.
pub struct Reach {
    link: Link,
    _lock: Option<Lock>,
}

impl Reach {
    /// A stream of answers.
    pub async fn ask(&self, request: Request) -> Result<Answers, AskError> {
        self.link.ask(request).await
    }

    /// A short answer.
    pub async fn all(&self, request: Request) -> Result<Vec<Response>, AskError> {
        self.link.all(request).await
    }
}

/// Asks the daemon if there is one, else opens the home.
pub async fn reach(context: &Context) -> Result<Reach, Failure> {
    if let Some(link) = daemon(context).await? {
        return Ok(Reach { link, _lock: None });
    }
    let config = context.config()?;
    offline(context, config).await
}

/// The daemon, if one answers.
pub async fn daemon(context: &Context) -> Result<Option<Link>, Failure> {
    match Link::daemon(&context.home.socket()).await {
        Ok(link) => Ok(Some(link)),
        Err(AskError::NoDaemon) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Opens the home here; waits a little while somebody else has it.
pub async fn offline(context: &Context, config: Config) -> Result<Reach, Failure> {
    context.home.create()?;
    let until = Instant::now() + PATIENCE;
    let lock = loop {
        match Lock::acquire(&context.home) {
            Ok(lock) => break lock,
            Err(error @ HomeError::Locked { .. }) if Instant::now() >= until => return Err(error.into()),
            Err(HomeError::Locked { .. }) => {
                if let Some(link) = daemon(context).await? {
                    return Ok(Reach { link, _lock: None });
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            Err(error) => return Err(error.into()),
        }
    };
    let handler = (context.hooks.offline)(config, Arc::clone(&context.known)).await?;
    Ok(Reach { link: Link::Here(handler), _lock: Some(lock) })
}
