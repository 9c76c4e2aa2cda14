//! What can go wrong between the edge and a container, one enum per question asked. A sidecar sends them as they are.

use std::error::Error as _;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use bollard::errors::Error as Bollard;
use serde::{Deserialize, Serialize};

use super::container::{ContainerName, ContainerState};

/// Why the daemon could not be asked, or what it said instead.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
pub enum DockerError {
    /// The file says so.
    #[error("Docker is disabled in the configuration")]
    Off,
    /// There is no socket.
    #[error("there is no Docker socket at `{0}`")]
    NoSocket(PathBuf),
    /// The socket is there and closed to this user.
    #[error("no permission to open `{0}`; run the edge with the group that owns the socket")]
    Denied(PathBuf),
    /// Nothing came back in time, or the connection broke.
    #[error("the Docker daemon does not respond: {0}")]
    Silent(String),
    /// Something came back that is not Docker's.
    #[error("cannot parse the Docker daemon's response: {0}")]
    Malformed(String),
    /// `remora sidecar`, which would ask the daemon in the edge's stead, is not to be reached.
    #[error("the sidecar does not respond: {0}")]
    NoSidecar(String),
    /// The daemon, or a proxy in front of it, refused.
    #[error("the Docker daemon refused ({status}): {message}")]
    Refused {
        /// HTTP status.
        status: u16,
        /// Its own words.
        message: String,
    },
}

impl DockerError {
    /// True when the daemon itself is at fault, so that asking again at once is pointless.
    pub(super) fn opens_breaker(&self) -> bool {
        match self {
            Self::NoSocket(_) | Self::Denied(_) | Self::Silent(_) | Self::Malformed(_) | Self::NoSidecar(_) => true,
            Self::Off | Self::Refused { .. } => false,
        }
    }

    pub(super) fn from_bollard(error: &Bollard, socket: &std::path::Path) -> Self {
        match error {
            Bollard::DockerResponseServerError { status_code, message } => {
                Self::Refused { status: *status_code, message: one_line(message) }
            }
            Bollard::SocketNotFoundError(_) => Self::NoSocket(socket.into()),
            Bollard::RequestTimeoutError => Self::Silent("timed out".into()),
            Bollard::JsonDataError { .. } | Bollard::JsonSerdeError { .. } | Bollard::APIVersionParseError {} => {
                Self::Malformed(one_line(&error.to_string()))
            }
            _ => match io_kind(error) {
                Some(io::ErrorKind::PermissionDenied) => Self::Denied(socket.into()),
                Some(io::ErrorKind::NotFound) => Self::NoSocket(socket.into()),
                _ => Self::Silent(one_line(&chain(error))),
            },
        }
    }
}

/// Why the container of a backend is not known.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
pub enum FindError {
    /// No container of this project has the address, or its service has none that could be meant.
    #[error(
        "no matching container: none in this Compose project has the address {address} of `{server}`; it may have \
         been recreated"
    )]
    Gone {
        /// The backend's address.
        address: SocketAddr,
        /// The server it was resolved from.
        server: String,
    },
    /// Several containers could be meant.
    #[error("ambiguous: {count} containers match `{server}`, and none has the address {address}")]
    Ambiguous {
        /// The backend's address.
        address: SocketAddr,
        /// The server it was resolved from.
        server: String,
        /// How many.
        count: usize,
    },
    /// The container belongs to somebody else.
    #[error(
        "container `{container}` at {address} belongs to {owner}; only containers of the edge's own project are healed"
    )]
    Foreign {
        /// The backend's address.
        address: SocketAddr,
        /// Its container.
        container: ContainerName,
        /// A project in words.
        owner: String,
    },
    /// The address is the edge's own.
    #[error("{0} is the edge itself")]
    Own(SocketAddr),
    /// There is no such backend as far as the sidecar's file goes.
    #[error("{address} is not a backend of `{upstream}` in the sidecar's file: {why}")]
    Stranger {
        /// The address asked for.
        address: SocketAddr,
        /// The upstream asked for.
        upstream: String,
        /// What does not fit.
        why: String,
    },
    /// The sidecar keeps to its own limits.
    #[error(transparent)]
    Refused(#[from] SidecarRefusal),
    /// Docker could not be asked.
    #[error(transparent)]
    Docker(#[from] DockerError),
}

/// Why the sidecar did nothing although it could have. Its limits are its own and do not depend on who asks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("refused by the sidecar: {why}{}", again(*again_in))]
pub struct SidecarRefusal {
    /// In words.
    pub why: String,
    /// When it may be asked again, where time alone will change the answer.
    pub again_in: Option<Duration>,
}

fn again(after: Option<Duration>) -> String {
    after.map(|after| format!("; retry in {:.0} s", after.as_secs_f64().ceil())).unwrap_or_default()
}

/// Why a command did not run in a container, or was not seen to end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
pub enum ExecError {
    /// Exit code 127: the program is not in the image. Permanent.
    #[error("`{command}` was not found in container `{container}`")]
    NotFound {
        /// What was asked for.
        command: String,
        /// Where.
        container: ContainerName,
    },
    /// Exit code 126: it is there and may not be executed. Permanent.
    #[error("`{command}` in container `{container}` is not executable")]
    NotExecutable {
        /// What was asked for.
        command: String,
        /// Where.
        container: ContainerName,
    },
    /// The command is empty or cannot be passed to a program. Permanent.
    #[error("invalid command: {0}")]
    BadCommand(String),
    /// It ran past its deadline.
    #[error("`{command}` in container `{container}` timed out after {limit:?}{}", said(output))]
    TimedOut {
        /// What was asked for.
        command: String,
        /// Where.
        container: ContainerName,
        /// The deadline.
        limit: Duration,
        /// What it had said by then.
        output: String,
    },
    /// An earlier command still runs there past its deadline, so no second one is started.
    #[error("`{command}` is still running in container `{container}`; no other command is started until it ends")]
    Busy {
        /// The earlier command.
        command: String,
        /// Where.
        container: ContainerName,
    },
    /// Docker owns the container's state now: paused, restarting, exited.
    #[error("container `{container}` is {state}")]
    NotRunning {
        /// Which.
        container: ContainerName,
        /// What it is instead.
        state: ContainerState,
    },
    /// The container is gone: removed or recreated.
    #[error("container `{0}` is gone")]
    Gone(ContainerName),
    /// There is neither a shell nor `kill`, and the API's signal would disarm the restart policy.
    #[error(
        "container `{container}` has neither `sh` nor `kill`, and {signal} through the API would disable its restart \
         policy"
    )]
    WouldDisarm {
        /// Which.
        container: ContainerName,
        /// The signal.
        signal: String,
    },
    /// The sidecar keeps to its own limits: nothing was done.
    #[error(transparent)]
    Refused(#[from] SidecarRefusal),
    /// Docker could not be asked, or refused.
    #[error(transparent)]
    Docker(#[from] DockerError),
}

impl ExecError {
    /// True when trying the same again cannot help: the image or the configuration must change.
    pub fn is_permanent(&self) -> bool {
        match self {
            Self::NotFound { .. } | Self::NotExecutable { .. } | Self::BadCommand(_) | Self::WouldDisarm { .. } => true,
            Self::Docker(DockerError::Refused { status, .. }) => *status == 403,
            Self::TimedOut { .. }
            | Self::Busy { .. }
            | Self::NotRunning { .. }
            | Self::Gone(_)
            | Self::Refused(_)
            | Self::Docker(_) => false,
        }
    }

    /// True when nothing was done and it is not the command's fault: no attempt is counted.
    pub fn is_elsewhere(&self) -> bool {
        match self {
            Self::NotRunning { .. } | Self::Gone(_) | Self::Refused(_) => true,
            Self::Docker(error) => error.opens_breaker() || *error == DockerError::Off,
            Self::NotFound { .. }
            | Self::NotExecutable { .. }
            | Self::BadCommand(_)
            | Self::WouldDisarm { .. }
            | Self::TimedOut { .. }
            | Self::Busy { .. } => false,
        }
    }
}

fn said(output: &str) -> String {
    if output.is_empty() { String::new() } else { format!("; output: {}", one_line(output)) }
}

/// A daemon's words as one short line without control characters.
pub(super) fn one_line(text: &str) -> String {
    let words: Vec<&str> = text.split_whitespace().collect();
    let joined: String = words.join(" ").chars().filter(|c| !c.is_control()).take(300).collect();
    joined
}

fn chain(error: &Bollard) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.ends_with(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    text
}

fn io_kind(error: &Bollard) -> Option<io::ErrorKind> {
    let mut source: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(cause) = source {
        if let Some(found) = cause.downcast_ref::<io::Error>() {
            return Some(found.kind());
        }
        source = cause.source();
    }
    None
}
