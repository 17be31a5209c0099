//! The asker's end: over the socket of a daemon, or to a handler in the same process.

use std::io;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::{Frame, Refusal, Request, Response, SharedHandler, sink};

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// No daemon listens there.
    #[error("no daemon is running")]
    NoDaemon,
    /// The socket could be somebody else's trap.
    #[error("{0} is not only yours; a daemon makes it so that only its owner can use it. Remove it and start again")]
    Untrusted(PathBuf),
    /// It said no.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The connection ended in the middle of the answer.
    #[error("the daemon ended before the answer was complete")]
    CutOff,
    /// It does not speak as it should.
    #[error("the daemon answered something else ({0}); is it of another version? Restart it")]
    Garbled(String),
    /// Else.
    #[error("cannot talk to the daemon at {path}: {source}")]
    Io {
        /// The socket.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// Someone who answers.
#[derive(Clone)]
pub enum Link {
    /// A daemon, by its socket.
    Daemon(PathBuf),
    /// A handler in this process.
    Here(SharedHandler),
}

impl Link {
    /// The daemon at this socket, if there is one.
    pub async fn daemon(socket: &Path) -> Result<Self, AskError> {
        connect(socket).await.map(|_| Self::Daemon(socket.to_owned()))
    }

    /// Asks. Dropping the answers ends the request.
    pub async fn ask(&self, request: Request) -> Result<Answers, AskError> {
        match self {
            Self::Daemon(path) => {
                let (read, mut write) = connect(path).await?.into_split();
                let io = |source| AskError::Io { path: path.clone(), source };
                let mut line = serde_json::to_vec(&request).map_err(|error| io(error.into()))?;
                line.push(b'\n');
                write.write_all(&line).await.map_err(io)?;
                Ok(Answers(Source::Daemon { read: BufReader::new(read), _write: write, path: path.clone() }))
            }
            Self::Here(handler) => {
                let (out, responses) = sink();
                let gone = out.gone().clone();
                let handler = Arc::clone(handler);
                let task = tokio::spawn(async move { handler.handle(request, out).await });
                Ok(Answers(Source::Here { responses, task: Some(task), _gone: CancellationToken::drop_guard(gone) }))
            }
        }
    }

    /// Asks and waits for all of a short answer.
    pub async fn all(&self, request: Request) -> Result<Vec<Response>, AskError> {
        let mut answers = self.ask(request).await?;
        let mut all = Vec::new();
        while let Some(response) = answers.next().await? {
            all.push(response);
        }
        Ok(all)
    }
}

async fn connect(path: &Path) -> Result<UnixStream, AskError> {
    let io = |source| AskError::Io { path: path.to_owned(), source };
    let metadata = match std::fs::symlink_metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(AskError::NoDaemon),
        Err(error) => return Err(io(error)),
    };
    if metadata.uid() != nix::unistd::geteuid().as_raw() || metadata.permissions().mode() & 0o077 != 0 {
        return Err(AskError::Untrusted(path.to_owned()));
    }
    match UnixStream::connect(path).await {
        Ok(stream) => Ok(stream),
        // A daemon that was killed leaves its socket behind.
        Err(error) if matches!(error.kind(), io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound) => {
            Err(AskError::NoDaemon)
        }
        Err(error) => Err(io(error)),
    }
}

/// The answers to one request, as they come.
pub struct Answers(Source);

enum Source {
    Daemon {
        read: BufReader<OwnedReadHalf>,
        // Held open: its closing tells the daemon that nobody listens.
        _write: OwnedWriteHalf,
        path: PathBuf,
    },
    Here {
        responses: mpsc::Receiver<Response>,
        task: Option<JoinHandle<Result<(), Refusal>>>,
        _gone: DropGuard,
    },
    Over,
}

impl Answers {
    /// The next one; `None` at the end. Not to be dropped half-way: what was read of a line would be lost.
    pub async fn next(&mut self) -> Result<Option<Response>, AskError> {
        let result = match &mut self.0 {
            Source::Over => return Ok(None),
            Source::Daemon { read, path, .. } => frame(read, path).await,
            Source::Here { responses, task, .. } => match responses.recv().await {
                Some(response) => Ok(Some(response)),
                None => match task.take() {
                    None => Ok(None),
                    Some(task) => match task.await {
                        Ok(handled) => handled.map(|()| None).map_err(AskError::Refused),
                        Err(_) => Err(AskError::CutOff),
                    },
                },
            },
        };
        if !matches!(result, Ok(Some(_))) {
            self.0 = Source::Over;
        }
        result
    }
}

async fn frame(read: &mut BufReader<OwnedReadHalf>, path: &Path) -> Result<Option<Response>, AskError> {
    let mut line = Vec::new();
    let most = u64::try_from(super::RESPONSE_MOST).unwrap_or(u64::MAX);
    let read = read.take(most).read_until(b'\n', &mut line).await;
    read.map_err(|source| AskError::Io { path: path.to_owned(), source })?;
    if line.is_empty() {
        return Err(AskError::CutOff);
    }
    if line.last() != Some(&b'\n') {
        let cut = line.len() < super::RESPONSE_MOST;
        return Err(if cut { AskError::CutOff } else { AskError::Garbled("a line without an end".to_owned()) });
    }
    match serde_json::from_slice(&line) {
        Ok(Frame::Response(response)) => Ok(Some(*response)),
        Ok(Frame::Refused(refusal)) => Err(AskError::Refused(refusal)),
        Ok(Frame::End) => Ok(None),
        Err(error) => Err(AskError::Garbled(error.to_string())),
    }
}
