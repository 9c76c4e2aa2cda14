//! The connection to the daemon: where it is, which version of the API it speaks, and whether it may be asked now.

use std::collections::HashSet;
use std::env;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use bollard::errors::Error as Bollard;
use parking_lot::Mutex;
use serde::Serialize;

use crate::config::model::DockerSpec;

use super::breaker::{Breaker, Change};
use super::container::ContainerId;
use super::error::DockerError;
use super::overdue::Overdue;
use super::version;

/// Where the socket is unless the file or `DOCKER_HOST` says otherwise.
const USUAL_SOCKET: &str = "/var/run/docker.sock";
/// Deadline of a question that the daemon answers from memory.
pub(super) const CALL_LIMIT: Duration = Duration::from_secs(4);
/// bollard's own deadline, for the head of an answer; ours are tighter except for restarts.
const CLIENT_TIMEOUT_SECONDS: u64 = 300;

/// The Docker daemon, reached or not.
#[derive(Debug)]
pub struct Docker {
    place: DaemonSocket,
    breaker: Mutex<Breaker>,
    client: Mutex<Option<bollard::Docker>>,
    /// Which container the edge runs in, once known.
    pub(super) own: OnceLock<Option<ContainerId>>,
    /// The project of the first container found, where the edge has none of its own.
    pub(super) pinned_project: OnceLock<String>,
    /// Commands that ran past their deadline and may still run.
    pub(super) overdue: Mutex<Overdue>,
    /// Containers whose image has no `timeout`.
    pub(super) without_timeout: Mutex<HashSet<ContainerId>>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum DaemonSocket {
    Off,
    /// `expected` where the user named it, so that its absence is worth a warning.
    Socket {
        path: PathBuf,
        expected: bool,
    },
}

/// How things stand with Docker, for status pages.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum DockerStatus {
    /// Switched off in the file.
    Off,
    /// Not asked yet.
    Untried,
    /// The latest call was answered.
    Answers,
    /// It was not, and why.
    Fails(String),
}

impl Docker {
    /// A handle to the daemon of `spec`. Does no I/O: the daemon is asked when there is something to ask.
    pub fn connect(spec: &DockerSpec) -> Self {
        let place = match spec {
            // The edge of a sidecar has no Docker of its own.
            DockerSpec::Off | DockerSpec::Sidecar(_) => DaemonSocket::Off,
            DockerSpec::Socket(path) => DaemonSocket::Socket { path: path.clone(), expected: true },
            DockerSpec::Auto => usual_place(env::var("DOCKER_HOST").ok().as_deref()),
        };
        Self {
            place,
            breaker: Mutex::default(),
            client: Mutex::default(),
            own: OnceLock::new(),
            pinned_project: OnceLock::new(),
            overdue: Mutex::default(),
            without_timeout: Mutex::default(),
        }
    }

    /// How things stand, without asking.
    pub fn status(&self) -> DockerStatus {
        if self.place == DaemonSocket::Off {
            return DockerStatus::Off;
        }
        let breaker = self.breaker.lock();
        match breaker.error() {
            Some(error) => DockerStatus::Fails(error.to_string()),
            None if breaker.is_closed() => DockerStatus::Answers,
            None => DockerStatus::Untried,
        }
    }

    /// Asks the daemon whether it is there.
    ///
    /// # Errors
    /// When it is not, or may not be asked yet after it failed.
    pub async fn ping(&self) -> Result<(), DockerError> {
        self.call(CALL_LIMIT, |docker| async move { docker.ping().await.map(drop) }).await
    }

    /// Runs one call under a deadline and tells the breaker how it went.
    pub(super) async fn call<T, F>(
        &self,
        limit: Duration,
        work: impl FnOnce(bollard::Docker) -> F,
    ) -> Result<T, DockerError>
    where
        F: Future<Output = Result<T, Bollard>>,
    {
        let DaemonSocket::Socket { path, .. } = &self.place else {
            return Err(DockerError::Off);
        };
        self.breaker.lock().check(Instant::now())?;
        let result = match self.client(path).await {
            Ok(client) => match tokio::time::timeout(limit, work(client)).await {
                Ok(answer) => answer.map_err(|error| DockerError::from_bollard(&error, path)),
                Err(_) => Err(DockerError::Silent(format!("timed out after {limit:?}"))),
            },
            Err(error) => Err(error),
        };
        self.note(result.as_ref().err());
        result
    }

    /// Asks for something that may fail without anybody being told.
    pub(super) async fn ask_aside<T, F>(&self, limit: Duration, work: impl FnOnce(bollard::Docker) -> F) -> Option<T>
    where
        F: Future<Output = Result<T, Bollard>>,
    {
        let DaemonSocket::Socket { path, .. } = &self.place else { return None };
        self.breaker.lock().check(Instant::now()).ok()?;
        let client = self.client(path).await.ok()?;
        tokio::time::timeout(limit, work(client)).await.ok()?.ok()
    }

    /// The client, after the version of the API was agreed on.
    async fn client(&self, path: &Path) -> Result<bollard::Docker, DockerError> {
        if let Some(client) = self.client.lock().as_ref() {
            return Ok(client.clone());
        }
        let client = match tokio::time::timeout(CALL_LIMIT, version::agree(path, CLIENT_TIMEOUT_SECONDS)).await {
            Ok(answer) => answer.map_err(|error| DockerError::from_bollard(&error, path))?,
            Err(_) => return Err(DockerError::Silent(format!("timed out after {CALL_LIMIT:?}"))),
        };
        *self.client.lock() = Some(client.clone());
        Ok(client)
    }

    fn note(&self, error: Option<&DockerError>) {
        let change = match error {
            Some(error) if error.opens_breaker() => {
                // The daemon that comes back may be another version.
                *self.client.lock() = None;
                self.breaker.lock().failed(error, Instant::now())
            }
            Some(_) | None => self.breaker.lock().succeeded(),
        };
        match change {
            None | Some(Change::Answers { again: false }) => {}
            Some(Change::Answers { again: true }) => log::info!("docker: the daemon responds again; healing resumes"),
            Some(Change::Fails(error @ DockerError::NoSocket(_))) if !self.is_expected() => {
                log::info!("docker: {error}; failing backends are ejected, not healed");
            }
            Some(Change::Fails(error)) => {
                log::warn!("docker: {error}; until it responds, failing backends are ejected, not healed");
            }
        }
    }

    fn is_expected(&self) -> bool {
        matches!(self.place, DaemonSocket::Socket { expected: true, .. })
    }
}

fn usual_place(docker_host: Option<&str>) -> DaemonSocket {
    match docker_host.filter(|host| !host.is_empty()) {
        None => DaemonSocket::Socket { path: USUAL_SOCKET.into(), expected: false },
        Some(host) => match host.strip_prefix("unix://") {
            Some(path) => DaemonSocket::Socket { path: path.into(), expected: true },
            None => {
                log::warn!("docker: DOCKER_HOST={host} is not a unix socket; healing needs `unix://PATH`");
                DaemonSocket::Off
            }
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_socket_is_in_the_usual_place_or_where_docker_host_says() {
        let usual = DaemonSocket::Socket { path: USUAL_SOCKET.into(), expected: false };
        assert_eq!(usual_place(None), usual);
        assert_eq!(usual_place(Some("")), usual);
        let named = DaemonSocket::Socket { path: "/run/user/1000/docker.sock".into(), expected: true };
        assert_eq!(usual_place(Some("unix:///run/user/1000/docker.sock")), named);
        assert_eq!(usual_place(Some("tcp://10.0.0.1:2375")), DaemonSocket::Off);
    }

    #[tokio::test]
    async fn an_absent_daemon_is_an_error_not_a_wait() {
        let docker = Docker::connect(&DockerSpec::Socket("/nonexistent/docker.sock".into()));
        assert_eq!(docker.status(), DockerStatus::Untried);
        let started = Instant::now();
        assert_eq!(docker.ping().await, Err(DockerError::NoSocket("/nonexistent/docker.sock".into())));
        assert_eq!(docker.ping().await, Err(DockerError::NoSocket("/nonexistent/docker.sock".into())));
        assert!(started.elapsed() < Duration::from_secs(1));
        assert!(matches!(docker.status(), DockerStatus::Fails(_)));

        let off = Docker::connect(&DockerSpec::Off);
        assert_eq!((off.ping().await, off.status()), (Err(DockerError::Off), DockerStatus::Off));
    }
}
