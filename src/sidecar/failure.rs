//! What goes wrong at Docker or in a container, as it crosses the wire: the healer is to treat it as if it had come from
//! Docker itself.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::config::model::Signal;
use crate::docker::{ContainerName, ContainerState, DockerError, ExecError, FindError, SidecarRefusal};
use crate::types::millis;

use super::fitting::{WORDS_MAX, fitting};

/// What a text of Docker's, or a program's name, may take of a reply.
const TEXT_MAX: usize = 1024;

/// Why there is no other reply.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum WireFailure {
    /// The line was no request.
    NotARequest(String),
    /// The sidecar's own limits.
    Refused {
        why: String,
        again_ms: Option<u64>,
    },
    /// Not a backend of the sidecar's file.
    Stranger {
        why: String,
    },
    /// No container has the address.
    NoContainer,
    Ambiguous {
        count: usize,
    },
    Foreign {
        container: String,
        owner: String,
    },
    Own,
    /// It was there a moment ago.
    Gone {
        container: String,
    },
    NotFound {
        command: String,
        container: String,
    },
    NotExecutable {
        command: String,
        container: String,
    },
    BadCommand(String),
    TimedOut {
        command: String,
        container: String,
        limit_ms: u64,
        output: String,
    },
    Busy {
        command: String,
        container: String,
    },
    NotRunning {
        container: String,
        state: ContainerState,
    },
    WouldDisarm {
        container: String,
        signal: String,
    },
    DockerOff,
    NoSocket(PathBuf),
    Denied(PathBuf),
    Silent(String),
    Malformed(String),
    DockerRefused {
        status: u16,
        message: String,
    },
}

impl From<&DockerError> for WireFailure {
    fn from(error: &DockerError) -> Self {
        match error {
            DockerError::Off => Self::DockerOff,
            DockerError::NoSocket(path) => Self::NoSocket(path.clone()),
            DockerError::Denied(path) => Self::Denied(path.clone()),
            DockerError::Silent(text) | DockerError::NoSidecar(text) => Self::Silent(short(text)),
            DockerError::Malformed(text) => Self::Malformed(short(text)),
            DockerError::Refused { status, message } => {
                Self::DockerRefused { status: *status, message: short(message) }
            }
        }
    }
}

impl From<&SidecarRefusal> for WireFailure {
    fn from(refusal: &SidecarRefusal) -> Self {
        Self::Refused { why: short(&refusal.why), again_ms: refusal.again_in.map(millis) }
    }
}

impl From<&FindError> for WireFailure {
    fn from(error: &FindError) -> Self {
        match error {
            FindError::Gone { .. } => Self::NoContainer,
            FindError::Ambiguous { count, .. } => Self::Ambiguous { count: *count },
            FindError::Foreign { container, owner, .. } => {
                Self::Foreign { container: container.to_string(), owner: short(owner) }
            }
            FindError::Own(_) => Self::Own,
            FindError::Stranger { why, .. } => Self::Stranger { why: short(why) },
            FindError::Refused(refusal) => refusal.into(),
            FindError::Docker(error) => error.into(),
        }
    }
}

impl From<&ExecError> for WireFailure {
    fn from(error: &ExecError) -> Self {
        let named = |container: &ContainerName| container.to_string();
        match error {
            ExecError::NotFound { command, container } => {
                Self::NotFound { command: short(command), container: named(container) }
            }
            ExecError::NotExecutable { command, container } => {
                Self::NotExecutable { command: short(command), container: named(container) }
            }
            ExecError::BadCommand(why) => Self::BadCommand(short(why)),
            ExecError::TimedOut { command, container, limit, output } => Self::TimedOut {
                command: short(command),
                container: named(container),
                limit_ms: millis(*limit),
                output: fitting(output, WORDS_MAX),
            },
            ExecError::Busy { command, container } => {
                Self::Busy { command: short(command), container: named(container) }
            }
            ExecError::NotRunning { container, state } => {
                Self::NotRunning { container: named(container), state: *state }
            }
            ExecError::Gone(container) => Self::Gone { container: named(container) },
            ExecError::WouldDisarm { container, signal } => {
                Self::WouldDisarm { container: named(container), signal: (*signal).to_owned() }
            }
            ExecError::Refused(refusal) => refusal.into(),
            ExecError::Docker(error) => error.into(),
        }
    }
}

/// A failure on the edge's side: what it asked for is known, and that it does not fit is an error too.
impl WireFailure {
    pub(super) fn into_find(self, upstream: &str, address: SocketAddr, server: &str) -> FindError {
        match self {
            Self::Refused { why, again_ms } => {
                SidecarRefusal { why, again_in: again_ms.map(Duration::from_millis) }.into()
            }
            Self::Stranger { why } => FindError::Stranger { address, upstream: upstream.to_owned(), why },
            Self::NoContainer | Self::Gone { .. } => FindError::Gone { address, server: server.to_owned() },
            Self::Ambiguous { count } => FindError::Ambiguous { address, server: server.to_owned(), count },
            Self::Foreign { container, owner } => match ContainerName::parse(&container) {
                Ok(container) => FindError::Foreign { address, container, owner },
                Err(_) => unexpected().into(),
            },
            Self::Own => FindError::Own(address),
            other => other.into_docker().into(),
        }
    }

    pub(super) fn into_exec(self, asked: &ContainerName) -> ExecError {
        let name = |text: String| ContainerName::parse(&text).unwrap_or_else(|_| asked.clone());
        match self {
            Self::Refused { why, again_ms } => {
                SidecarRefusal { why, again_in: again_ms.map(Duration::from_millis) }.into()
            }
            Self::Stranger { why } => SidecarRefusal { why, again_in: None }.into(),
            Self::Ambiguous { .. } | Self::Foreign { .. } | Self::Own => {
                SidecarRefusal { why: format!("`{asked}` is no container of its servers any more"), again_in: None }
                    .into()
            }
            Self::NoContainer => ExecError::Gone(asked.clone()),
            Self::Gone { container } => ExecError::Gone(name(container)),
            Self::NotFound { command, container } => ExecError::NotFound { command, container: name(container) },
            Self::NotExecutable { command, container } => {
                ExecError::NotExecutable { command, container: name(container) }
            }
            Self::BadCommand(why) => ExecError::BadCommand(why),
            Self::TimedOut { command, container, limit_ms, output } => ExecError::TimedOut {
                command,
                container: name(container),
                limit: Duration::from_millis(limit_ms),
                output,
            },
            Self::Busy { command, container } => ExecError::Busy { command, container: name(container) },
            Self::NotRunning { container, state } => ExecError::NotRunning { container: name(container), state },
            Self::WouldDisarm { container, signal } => match Signal::parse(&signal) {
                Some(signal) => ExecError::WouldDisarm { container: name(container), signal: signal.name() },
                None => unexpected().into(),
            },
            other => other.into_docker().into(),
        }
    }

    fn into_docker(self) -> DockerError {
        match self {
            Self::DockerOff => DockerError::Off,
            Self::NoSocket(path) => DockerError::NoSocket(path),
            Self::Denied(path) => DockerError::Denied(path),
            Self::Silent(text) => DockerError::Silent(text),
            Self::Malformed(text) => DockerError::Malformed(text),
            Self::DockerRefused { status, message } => DockerError::Refused { status, message },
            Self::NotARequest(why) => DockerError::NoSidecar(format!("it did not understand: {why}")),
            Self::Refused { .. }
            | Self::Stranger { .. }
            | Self::NoContainer
            | Self::Ambiguous { .. }
            | Self::Foreign { .. }
            | Self::Own
            | Self::Gone { .. }
            | Self::NotFound { .. }
            | Self::NotExecutable { .. }
            | Self::BadCommand(_)
            | Self::TimedOut { .. }
            | Self::Busy { .. }
            | Self::NotRunning { .. }
            | Self::WouldDisarm { .. } => unexpected(),
        }
    }
}

/// An answer to another question.
pub(super) fn unexpected() -> DockerError {
    DockerError::NoSidecar("its answer is not understood; are edge and sidecar of one version?".into())
}

fn short(text: &str) -> String {
    fitting(text, TEXT_MAX)
}

#[cfg(test)]
mod tests {
    use super::super::wire::{REPLY_MAX, Reply};
    use super::*;

    fn name() -> ContainerName {
        ContainerName::parse("shop_backend_1").unwrap()
    }

    fn over(failure: WireFailure) -> WireFailure {
        let line = Reply::Failed(failure).line();
        assert!(line.len() <= REPLY_MAX, "{}", line.len());
        match Reply::parse(line.trim_ascii_end()) {
            Some(Reply::Failed(failure)) => failure,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn errors_of_a_step_arrive_as_they_were() {
        let (container, command) = (name(), "pkill -HUP".to_owned());
        let refusal = SidecarRefusal { why: "cooling down".into(), again_in: Some(Duration::from_secs(12)) };
        let limit = Duration::from_secs(15);
        let errors = [
            ExecError::NotFound { command: command.clone(), container: container.clone() },
            ExecError::NotExecutable { command: command.clone(), container: container.clone() },
            ExecError::BadCommand("it is empty".into()),
            ExecError::TimedOut {
                command: command.clone(),
                container: container.clone(),
                limit,
                output: "a\n\u{1}".into(),
            },
            ExecError::Busy { command, container: container.clone() },
            ExecError::NotRunning { container: container.clone(), state: ContainerState::Paused },
            ExecError::Gone(container.clone()),
            ExecError::WouldDisarm { container: container.clone(), signal: "HUP" },
            ExecError::Refused(refusal),
            ExecError::Docker(DockerError::Off),
            ExecError::Docker(DockerError::NoSocket("/var/run/docker.sock".into())),
            ExecError::Docker(DockerError::Denied("/var/run/docker.sock".into())),
            ExecError::Docker(DockerError::Silent("no answer".into())),
            ExecError::Docker(DockerError::Malformed("x".into())),
            ExecError::Docker(DockerError::Refused { status: 409, message: "is paused".into() }),
        ];
        for error in errors {
            let arrived = over(WireFailure::from(&error)).into_exec(&container);
            assert_eq!(arrived, error);
            assert_eq!((arrived.is_permanent(), arrived.is_elsewhere()), (error.is_permanent(), error.is_elsewhere()));
        }
        let long = ExecError::TimedOut {
            command: "\u{1}".repeat(9000),
            container: name(),
            limit,
            output: "\u{1}".repeat(9000),
        };
        over(WireFailure::from(&long));
    }

    #[test]
    fn errors_of_a_search_arrive_as_they_were() {
        let address: SocketAddr = "172.18.0.3:8000".parse().unwrap();
        let (upstream, server) = ("backend".to_owned(), "backend".to_owned());
        let errors = [
            FindError::Gone { address, server: server.clone() },
            FindError::Ambiguous { address, server, count: 2 },
            FindError::Foreign { address, container: name(), owner: "the compose project `blog`".into() },
            FindError::Own(address),
            FindError::Stranger { address, upstream, why: "none of its servers has port 22".into() },
            FindError::Refused(SidecarRefusal { why: "too many requests".into(), again_in: None }),
            FindError::Docker(DockerError::Silent("no answer".into())),
        ];
        for error in errors {
            assert_eq!(over(WireFailure::from(&error)).into_find("backend", address, "backend"), error);
        }
    }

    #[test]
    fn an_answer_to_another_question_is_no_answer() {
        let address: SocketAddr = "172.18.0.3:8000".parse().unwrap();
        let odd = WireFailure::WouldDisarm { container: "../x".into(), signal: "NOPE".into() };
        assert_eq!(odd.clone().into_find("b", address, "b"), FindError::Docker(unexpected()));
        assert_eq!(odd.into_exec(&name()), ExecError::Docker(unexpected()));
    }
}
