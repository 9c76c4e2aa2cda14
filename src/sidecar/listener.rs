//! The unix socket: who may connect, how many, how often, how long. Knows lines, not what is in them.

use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::io::{AsyncReadExt, BufReader};
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Semaphore, mpsc};

use crate::docker::SidecarRefusal;
use crate::telemetry::Limiter;
use crate::types::OwnedTask;

use super::failure::WireFailure;
use super::line::{self, NoLine};
use super::rate::Rate;
use super::request_handler::RequestHandler;
use super::wire::{BEAT, ContainerEvent, REQUEST_MAX, Reply, SidecarRequest};

/// Connections at a time; one upstream that is healed takes one, and so does watching.
const CONNECTIONS_MAX: usize = 64;
/// Those of them that watch.
const WATCHERS_MAX: usize = 2;
/// Requests of all connections together, per second, and how many at once; beyond them a connection ends.
const REQUESTS: (u32, u32) = (50, 100);
/// How long a connection may be silent between two requests.
const SILENCE: Duration = Duration::from_secs(30);
/// Pause before the next connection where too many come or the system has no more.
const PAUSE: Duration = Duration::from_millis(50);
/// How long it is waited for whether anybody answers on a socket that is there already.
const PROBE: Duration = Duration::from_secs(1);
/// Events that wait for whoever watches; further ones wait at Docker.
const EVENTS: usize = 64;

/// Why there is no socket.
#[derive(Debug, thiserror::Error)]
pub enum SocketError {
    /// The folder is not there or cannot be used.
    #[error("cannot use the folder of `{path}`: {cause}; create it, writable by this user only")]
    Folder {
        /// The socket.
        path: PathBuf,
        /// What the system said.
        cause: io::Error,
    },
    /// Everybody may replace what is in the folder.
    #[error("`{0}` is writable by everyone, so anyone could replace the socket; use a folder of the sidecar's own")]
    OpenFolder(PathBuf),
    /// Something else is there.
    #[error("`{0}` exists and is not a socket; remove it, or give another path")]
    NoSocket(PathBuf),
    /// Somebody listens.
    #[error("a sidecar is already running on `{0}`")]
    Taken(PathBuf),
    /// The system refused.
    #[error("cannot listen on `{path}`: {cause}")]
    Socket {
        /// The socket.
        path: PathBuf,
        /// What the system said.
        cause: io::Error,
    },
}

/// A socket that listens; its file goes with it.
#[derive(Debug)]
pub struct BoundSocket {
    pub(super) listener: UnixListener,
    pub(super) file: SocketFile,
}

/// The file of a socket, until this is dropped. Apart from the listener, whose task ends when its runtime comes to it.
#[derive(Debug)]
pub(super) struct SocketFile {
    path: PathBuf,
    /// Device and number of the file, so that nobody else's is removed.
    identity: Option<(u64, u64)>,
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if self.identity.is_some() && identity(&self.path) == self.identity {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Binds the socket, for its owner and group (0660). One that a killed sidecar left behind is replaced.
///
/// # Errors
/// When somebody answers there, the folder is open to everybody, or the system refuses.
pub async fn bind(path: &Path) -> Result<BoundSocket, SocketError> {
    let failed = |cause| SocketError::Socket { path: path.to_owned(), cause };
    let folder = path.parent().unwrap_or_else(|| Path::new("/"));
    let about = fs::metadata(folder).map_err(|cause| SocketError::Folder { path: path.to_owned(), cause })?;
    if about.permissions().mode() & 0o002 != 0 {
        return Err(SocketError::OpenFolder(folder.to_owned()));
    }
    match fs::symlink_metadata(path) {
        Ok(there) if !there.file_type().is_socket() => return Err(SocketError::NoSocket(path.to_owned())),
        Ok(_) => {
            if answers(path).await.map_err(failed)? {
                return Err(SocketError::Taken(path.to_owned()));
            }
            fs::remove_file(path).map_err(failed)?;
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(failed(error)),
    }
    let listener = UnixListener::bind(path).map_err(failed)?;
    let bound = BoundSocket { listener, file: SocketFile { path: path.to_owned(), identity: identity(path) } };
    // Who comes in before this line is asked who he is all the same.
    fs::set_permissions(path, fs::Permissions::from_mode(0o660)).map_err(failed)?;
    Ok(bound)
}

/// In doubt somebody does.
async fn answers(path: &Path) -> io::Result<bool> {
    match tokio::time::timeout(PROBE, UnixStream::connect(path)).await {
        Ok(Err(error)) if error.kind() == io::ErrorKind::ConnectionRefused => Ok(false),
        Ok(Err(error)) if error.kind() == io::ErrorKind::PermissionDenied => Err(error),
        Ok(Ok(_) | Err(_)) | Err(_) => Ok(true),
    }
}

fn identity(path: &Path) -> Option<(u64, u64)> {
    fs::symlink_metadata(path).ok().map(|about| (about.dev(), about.ino()))
}

/// Takes connections until it is dropped; all of them end with it.
pub(super) async fn run(listener: UnixListener, handler: Arc<RequestHandler>) {
    let door = Arc::new(Door {
        handler,
        own: rustix::process::geteuid().as_raw(),
        requests: Mutex::new(Rate::new(REQUESTS.0, REQUESTS.1)),
        watchers: Semaphore::new(WATCHERS_MAX),
        closed: Limiter::default(),
    });
    let mut connections: Vec<OwnedTask> = Vec::new();
    let mut arrivals = Rate::new(REQUESTS.0, REQUESTS.1);
    loop {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                door.close(&format!("cannot accept connections: {error}"));
                tokio::time::sleep(PAUSE).await;
                continue;
            }
        };
        while !arrivals.take(Instant::now()) {
            tokio::time::sleep(PAUSE).await;
        }
        connections.retain(|connection| !connection.is_finished());
        if CONNECTIONS_MAX <= connections.len() {
            door.close("too many connections");
            continue;
        }
        connections.push(OwnedTask::spawn(Arc::clone(&door).attend(stream)));
    }
}

/// What all connections share.
struct Door {
    handler: Arc<RequestHandler>,
    /// The only user who is listened to: the sidecar's own.
    own: u32,
    requests: Mutex<Rate>,
    watchers: Semaphore,
    closed: Limiter,
}

impl Door {
    async fn attend(self: Arc<Self>, stream: UnixStream) {
        match stream.peer_cred() {
            Ok(peer) if peer.uid() == self.own => {}
            Ok(peer) => {
                return self.close(&format!("the peer is user {}; only user {} is allowed", peer.uid(), self.own));
            }
            Err(error) => return self.close(&format!("cannot determine the peer's user: {error}")),
        }
        let (read, mut write) = stream.into_split();
        // As small as a request: what is not read is not kept.
        let mut read = BufReader::with_capacity(REQUEST_MAX, read);
        loop {
            let line = match line::read(&mut read, REQUEST_MAX, SILENCE).await {
                Ok(line) => line,
                Err(NoLine::Ended | NoLine::Late) => return,
                Err(error) => return self.close(&format!("bad request: {error}")),
            };
            if !self.requests.lock().take(Instant::now()) {
                let refusal =
                    SidecarRefusal { why: "too many requests".to_owned(), again_in: Some(Duration::from_secs(1)) };
                let _ = line::write(&mut write, &Reply::Failed(refusal.into()).line()).await;
                return self.close("too many requests");
            }
            let request = match SidecarRequest::parse(&line) {
                Ok(SidecarRequest::Watch) => return self.watch(read, write).await,
                Ok(request) => request,
                Err(error) => {
                    let reply = Reply::Failed(WireFailure::NotARequest(error.to_string()));
                    let _ = line::write(&mut write, &reply.line()).await;
                    return self.close(&error.to_string());
                }
            };
            let reply = self.handler.answer(request).await;
            if line::write(&mut write, &reply.line()).await.is_err() {
                return;
            }
        }
    }

    /// Sends what happens until the other side ends, says anything more, or does not read.
    async fn watch(&self, mut read: BufReader<OwnedReadHalf>, mut write: OwnedWriteHalf) {
        let Ok(_place) = self.watchers.try_acquire() else { return self.close("too many watchers") };
        let (tell, mut events) = mpsc::channel(EVENTS);
        let handler = Arc::clone(&self.handler);
        let _watching = OwnedTask::spawn(async move { handler.watch(tell).await });
        let mut beat = tokio::time::interval(BEAT);
        let mut any = [0; 1];
        loop {
            let reply = tokio::select! {
                _ = read.read(&mut any) => return,
                seen = events.recv() => match seen {
                    Some(seen) => Reply::Seen(ContainerEvent {
                        addresses: seen.addresses,
                        container: seen.container.to_string(),
                        what: seen.what,
                    }),
                    None => return,
                },
                _ = beat.tick() => Reply::Beat,
            };
            if line::write(&mut write, &reply.line()).await.is_err() {
                return;
            }
        }
    }

    /// One line a second, however many are closed.
    fn close(&self, why: &str) {
        self.handler.closed.fetch_add(1, Ordering::Relaxed);
        match self.closed.admit() {
            Some(0) => log::warn!("connection closed: {why}"),
            Some(more) => log::warn!("connection closed: {why}; {more} similar suppressed"),
            None => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_socket_is_taken_once_and_replaced_when_nobody_answers() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("heal.sock");
        let bound = bind(&path).await.unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o660);
        assert!(matches!(bind(&path).await, Err(SocketError::Taken(_))));
        drop(bound);
        assert!(!path.exists(), "it goes with its listener");

        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        assert!(path.exists(), "as a killed sidecar leaves it");
        let bound = bind(&path).await.unwrap();
        fs::remove_file(&path).unwrap();
        let _other = std::os::unix::net::UnixListener::bind(&path).unwrap();
        drop(bound);
        assert!(path.exists(), "another one's socket stays");
    }

    #[tokio::test]
    async fn no_socket_where_another_could_take_its_place() {
        let folder = tempfile::tempdir().unwrap();
        let open = folder.path().join("open");
        fs::create_dir(&open).unwrap();
        fs::set_permissions(&open, fs::Permissions::from_mode(0o1777)).unwrap();
        assert!(matches!(bind(&open.join("heal.sock")).await, Err(SocketError::OpenFolder(_))));
        assert!(matches!(bind(&folder.path().join("none/heal.sock")).await, Err(SocketError::Folder { .. })));
        fs::write(folder.path().join("file"), "").unwrap();
        assert!(matches!(bind(&folder.path().join("file")).await, Err(SocketError::NoSocket(_))));
    }
}
