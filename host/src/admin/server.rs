//! The daemon's end of the socket.

use std::io;
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::{Frame, Refusal, Request, SharedHandler, sink};

/// Connections at the same time; further ones wait.
const CONNECTIONS_MOST: usize = 64;
/// A client that does not ask, or does not read, has so long.
const PATIENCE: Duration = Duration::from_secs(30);
/// Bytes of a socket's path, by the operating system.
const PATH_MOST: usize = 107;

/// Why there is no socket.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// The operating system has a cap.
    #[error("{0} is too long for a socket ({PATH_MOST} bytes at most); choose a shorter home with --home")]
    PathTooLong(PathBuf),
    /// Something that is no socket has its name.
    #[error("{0} is in the way: it is not a socket; move it away")]
    NotASocket(PathBuf),
    /// Else.
    #[error("cannot open the socket {path}: {source}")]
    Io {
        /// Where.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// The bound socket; its file goes away with it.
#[derive(Debug)]
pub struct Server {
    listener: UnixListener,
    path: PathBuf,
}

impl Server {
    /// Binds. The caller holds the home's lock, so a socket that is there already is a leftover.
    pub fn bind(path: &Path) -> Result<Self, BindError> {
        let io = |source| BindError::Io { path: path.to_owned(), source };
        if path.as_os_str().len() > PATH_MOST {
            return Err(BindError::PathTooLong(path.to_owned()));
        }
        match std::fs::symlink_metadata(path) {
            Ok(found) if found.file_type().is_socket() => std::fs::remove_file(path).map_err(io)?,
            Ok(_) => return Err(BindError::NotASocket(path.to_owned())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(io(error)),
        }
        // Between these two lines the home's own 0700 keeps others out.
        let listener = UnixListener::bind(path).map_err(io)?;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).map_err(io)?;
        Ok(Self { listener, path: path.to_owned() })
    }

    /// Answers until `shutdown`, then lets answers that are under way finish.
    pub async fn serve(self, handler: SharedHandler, shutdown: CancellationToken) {
        let tasks = TaskTracker::new();
        let places = Arc::new(Semaphore::new(CONNECTIONS_MOST));
        loop {
            let accepted = tokio::select! {
                () = shutdown.cancelled() => break,
                accepted = self.listener.accept() => accepted,
            };
            let stream = match accepted {
                Ok((stream, _)) => stream,
                Err(error) => {
                    // Out of descriptors, mostly: without a pause this would spin until one is free.
                    tracing::warn!(%error, "the admin socket could not take a connection");
                    tokio::time::sleep(Duration::from_millis(200)).await;
                    continue;
                }
            };
            let Ok(place) = Arc::clone(&places).acquire_owned().await else { break };
            let handler = Arc::clone(&handler);
            let shutdown = shutdown.clone();
            tasks.spawn(async move {
                if let Err(error) = connection(stream, handler, shutdown).await {
                    tracing::debug!(%error, "an admin connection ended early");
                }
                drop(place);
            });
        }
        tasks.close();
        tasks.wait().await;
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_file(&self.path) {
            tracing::debug!(%error, path = %self.path.display(), "the admin socket was gone already");
        }
    }
}

async fn connection(stream: UnixStream, handler: SharedHandler, shutdown: CancellationToken) -> io::Result<()> {
    let peer = stream.peer_cred()?.uid();
    let own = nix::unistd::geteuid().as_raw();
    let (read, mut write) = stream.into_split();
    if peer != own {
        tracing::warn!(peer, "another user tried the admin socket");
        return refuse(&mut write, Refusal::denied("this socket is for its owner only")).await;
    }
    let mut read = BufReader::new(read);
    let request = tokio::select! {
        () = shutdown.cancelled() => return refuse(&mut write, Refusal::failed("the daemon is ending")).await,
        request = tokio::time::timeout(PATIENCE, request(&mut read)) => match request {
            Err(_) => return refuse(&mut write, Refusal::invalid("no request came")).await,
            Ok(Err(error)) => return Err(error),
            Ok(Ok(Err(refusal))) => return refuse(&mut write, refusal).await,
            Ok(Ok(Ok(None))) => return Ok(()),
            Ok(Ok(Ok(Some(request)))) => request,
        },
    };
    answer(request, read, write, handler).await
}

/// The request line; `None` if the client left without one.
async fn request(read: &mut BufReader<OwnedReadHalf>) -> io::Result<Result<Option<Request>, Refusal>> {
    let mut line = Vec::new();
    let most = u64::try_from(super::REQUEST_MOST).unwrap_or(u64::MAX);
    read.take(most + 1).read_until(b'\n', &mut line).await?;
    if line.is_empty() {
        return Ok(Ok(None));
    }
    if line.len() > super::REQUEST_MOST {
        return Ok(Err(Refusal::invalid(format!("a request has at most {} bytes", super::REQUEST_MOST))));
    }
    Ok(serde_json::from_slice(&line).map(Some).map_err(|error| Refusal::invalid(format!("not a request: {error}"))))
}

async fn answer(
    request: Request,
    mut read: BufReader<OwnedReadHalf>,
    mut write: OwnedWriteHalf,
    handler: SharedHandler,
) -> io::Result<()> {
    let (out, mut responses) = sink();
    let gone = out.gone().clone();
    let handling = async { handler.handle(request, out).await };
    let writing = async {
        let mut result = Ok(());
        while let Some(response) = responses.recv().await {
            result = send(&mut write, &Frame::Response(Box::new(response))).await;
            if result.is_err() {
                break;
            }
        }
        if result.is_err() {
            gone.cancel();
            responses.close();
        }
        result.map(|()| write)
    };
    // The client says nothing more, so what can be read is the end: it has gone.
    let watching = async {
        let mut end = [0_u8; 64];
        while matches!(read.read(&mut end).await, Ok(n) if n > 0) {}
        gone.cancel();
        std::future::pending::<()>().await;
    };
    let (handled, written) = tokio::select! {
        both = async { tokio::join!(handling, writing) } => both,
        () = watching => return Ok(()),
    };
    let mut write = written?;
    let last = handled.map_or_else(Frame::Refused, |()| Frame::End);
    send(&mut write, &last).await
}

async fn refuse(write: &mut OwnedWriteHalf, refusal: Refusal) -> io::Result<()> {
    send(write, &Frame::Refused(refusal)).await
}

async fn send(write: &mut OwnedWriteHalf, frame: &Frame) -> io::Result<()> {
    let mut line = serde_json::to_vec(frame)?;
    line.push(b'\n');
    match tokio::time::timeout(PATIENCE, write.write_all(&line)).await {
        Ok(result) => result,
        Err(_) => Err(io::Error::new(io::ErrorKind::TimedOut, "the client does not read")),
    }
}
