//! The edge's side: a driver that asks the sidecar. Never blocks or panics because there is none, or it talks nonsense.

use std::io;
use std::path::PathBuf;
use std::time::{Duration, Instant, UNIX_EPOCH};

use async_trait::async_trait;
use parking_lot::Mutex;
use tokio::io::BufReader;
use tokio::net::UnixStream;
use tokio::sync::mpsc;

use crate::docker::{
    Breaker, Change, ContainerId, ContainerName, ContainerRef, DockerError, ExecError, FindError, RestartPolicy, Seen,
};
use crate::heal::policy::ManualHeals;
use crate::heal::{BackendRef, ContainerDriver, Order, StepDone};

use super::failure::unexpected;
use super::line::{self, NoLine};
use super::wire::{self, BEAT, REPLY_MAX, Reply, SidecarRequest, SidecarStatus, WireTarget, longest, sum};

/// Deadline of what the sidecar knows, or asks Docker in a few short questions.
const QUESTION: Duration = Duration::from_secs(20);
/// Deadline of a connection to it.
const CONNECT: Duration = Duration::from_secs(2);
/// How long it is left alone after it did not answer. To knock at a socket of this host costs next to nothing.
const PAUSE: Duration = Duration::from_secs(2);
/// Pause before it is listened to again.
const AGAIN: Duration = Duration::from_secs(1);

/// The sidecar, reached or not.
#[derive(Debug)]
pub struct Sidecar {
    path: PathBuf,
    breaker: Mutex<Breaker>,
}

impl Sidecar {
    /// A handle to the sidecar that listens on `path`. Does no I/O: it is asked when there is something to ask.
    pub fn at(path: PathBuf) -> Self {
        Self { path, breaker: Mutex::new(Breaker::pausing(PAUSE)) }
    }

    /// How it is.
    ///
    /// # Errors
    /// When it does not answer, or may not be asked yet after it did not.
    pub async fn status(&self) -> Result<SidecarStatus, DockerError> {
        match self.ask(&SidecarRequest::Status, QUESTION).await? {
            Reply::Status(status) => Ok(status),
            _ => Err(unexpected()),
        }
    }

    /// Sends a request and waits for its reply, and tells the breaker how it went.
    async fn ask(&self, request: &SidecarRequest, limit: Duration) -> Result<Reply, DockerError> {
        self.breaker.lock().check(Instant::now())?;
        let exchange = async {
            let mut stream = self.connect().await?;
            line::write(&mut stream, &request.line()).await.map_err(broke)?;
            let mut stream = BufReader::new(stream);
            let line = line::read(&mut stream, REPLY_MAX, limit).await.map_err(broke)?;
            Reply::parse(&line).ok_or_else(unexpected)
        };
        let result = exchange.await;
        self.note(result.as_ref().err());
        result
    }

    async fn connect(&self) -> Result<UnixStream, DockerError> {
        let path = self.path.display();
        let why = match tokio::time::timeout(CONNECT, UnixStream::connect(&self.path)).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(error)) => match error.kind() {
                io::ErrorKind::NotFound => format!("there is no socket at `{path}`"),
                io::ErrorKind::ConnectionRefused => format!("no process listens at `{path}`"),
                io::ErrorKind::PermissionDenied => {
                    format!("no permission to open `{path}`; edge and sidecar must run as the same user")
                }
                _ => format!("`{path}`: {error}"),
            },
            Err(_) => format!("`{path}` does not accept connections"),
        };
        Err(DockerError::NoSidecar(why))
    }

    fn note(&self, error: Option<&DockerError>) {
        let change = match error {
            Some(error) => self.breaker.lock().failed(error, Instant::now()),
            None => self.breaker.lock().succeeded(),
        };
        match change {
            None => {}
            Some(Change::Answers { again: false }) => log::info!("the sidecar responds; healing is available"),
            Some(Change::Answers { again: true }) => log::info!("the sidecar responds again; healing resumes"),
            Some(Change::Fails(error)) => {
                log::warn!("{error}; until it responds, failing backends are ejected, not healed");
            }
        }
    }

    async fn listen(&self, tell: &mpsc::Sender<Seen>) -> Result<(), DockerError> {
        self.breaker.lock().check(Instant::now())?;
        let begun = async {
            let mut stream = self.connect().await?;
            line::write(&mut stream, &SidecarRequest::Watch.line()).await.map_err(broke)?;
            Ok(BufReader::new(stream))
        };
        let begun = begun.await;
        self.note(begun.as_ref().err());
        let mut stream = begun?;
        loop {
            let line = tokio::select! {
                line = line::read(&mut stream, REPLY_MAX, BEAT * 3) => line.map_err(broke)?,
                () = tell.closed() => return Ok(()),
            };
            let seen = match Reply::parse(&line) {
                Some(Reply::Seen(event)) => event,
                Some(Reply::Beat) => continue,
                _ => return Err(unexpected()),
            };
            let Ok(container) = ContainerName::parse(&seen.container) else { return Err(unexpected()) };
            if tell.send(Seen { addresses: seen.addresses, container, what: seen.what }).await.is_err() {
                return Ok(());
            }
        }
    }
}

#[async_trait]
impl ContainerDriver for Sidecar {
    async fn find(&self, backend: &BackendRef) -> Result<ContainerRef, FindError> {
        match self.ask(&SidecarRequest::Find(target(backend)), QUESTION).await? {
            Reply::Container(container) => container_of(&container).ok_or_else(|| unexpected().into()),
            Reply::Failed(failure) => Err(failure.into_find(backend.server.host())),
            _ => Err(unexpected().into()),
        }
    }

    async fn perform(&self, order: &Order<'_>) -> Result<StepDone, ExecError> {
        let request = SidecarRequest::Step { target: target(order.backend), index: order.index, sum: sum(order.step) };
        let limit = longest(order.step, order.limit) + QUESTION;
        match self.ask(&request, limit).await? {
            Reply::Done(wire::Done { code, output, took_ms }) => {
                Ok(StepDone { code, output, took: Duration::from_millis(took_ms) })
            }
            Reply::Failed(failure) => Err(failure.into_exec(&order.container.name)),
            _ => Err(unexpected().into()),
        }
    }

    async fn logs(&self, backend: &BackendRef, _container: &ContainerRef) -> String {
        match self.ask(&SidecarRequest::Logs(target(backend)), QUESTION).await {
            Ok(Reply::Logs(text)) => text,
            // They are nice to have.
            Ok(_) | Err(_) => String::new(),
        }
    }

    fn manual_heals(&self) -> ManualHeals {
        ManualHeals::WithinLimits
    }

    async fn watch(&self, tell: mpsc::Sender<Seen>) {
        while !tell.is_closed() {
            if let Err(error) = self.listen(&tell).await {
                log::debug!("cannot subscribe to container events: {error}");
            }
            tokio::select! {
                () = tokio::time::sleep(AGAIN) => {}
                () = tell.closed() => {}
            }
        }
    }
}

fn target(backend: &BackendRef) -> WireTarget {
    WireTarget { upstream: backend.upstream.clone(), backend: backend.address }
}

fn container_of(container: &wire::Container) -> Option<ContainerRef> {
    Some(ContainerRef {
        id: ContainerId::parse(&container.id).ok()?,
        name: ContainerName::parse(&container.name).ok()?,
        state: container.state,
        started_at: container.started_ms.map(|ms| UNIX_EPOCH + Duration::from_millis(ms)),
        // What only whoever acts has to know stays with the sidecar.
        restart_policy: RestartPolicy::No,
        stop_signal: None,
        command: Vec::new(),
        start_period: Duration::from_millis(container.start_period_ms),
    })
}

#[expect(clippy::needless_pass_by_value, reason = "for `map_err`")]
fn broke(error: NoLine) -> DockerError {
    DockerError::NoSidecar(match error {
        NoLine::Ended => "it closed the connection; its log says why".to_owned(),
        NoLine::Late => "timed out".to_owned(),
        NoLine::TooLong(_) | NoLine::Io(_) => format!("its response was cut off: {error}"),
    })
}
