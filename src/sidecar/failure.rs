//! What goes wrong at Docker or in a container, as it crosses the wire: the healer is to treat it as if it had come from
//! Docker itself.

use serde::{Deserialize, Serialize};

use crate::docker::{ContainerName, DockerError, ExecError, FindError, SidecarRefusal};

use super::fitting::{WORDS_MAX, fitting};

/// Why there is no other reply. The texts in it are short but for what a command said, which is made to fit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum WireFailure {
    /// The line was no request.
    NotARequest(String),
    /// The sidecar's own limits, whatever was asked.
    Refused(SidecarRefusal),
    /// The container of the backend is not to be had.
    Find(FindError),
    /// The step did not run, or was not seen to end.
    Step(ExecError),
}

impl From<SidecarRefusal> for WireFailure {
    fn from(refusal: SidecarRefusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<FindError> for WireFailure {
    fn from(error: FindError) -> Self {
        Self::Find(error)
    }
}

impl From<ExecError> for WireFailure {
    fn from(mut error: ExecError) -> Self {
        if let ExecError::TimedOut { output, .. } = &mut error {
            *output = fitting(output, WORDS_MAX);
        }
        Self::Step(error)
    }
}

/// A failure on the edge's side: what it asked for is known, and that it does not fit is an error too.
impl WireFailure {
    pub(super) fn into_find(self, asked: &str) -> FindError {
        match self {
            Self::Refused(refusal) => refusal.into(),
            Self::Find(mut error) => {
                if let FindError::Gone { server, .. } | FindError::Ambiguous { server, .. } = &mut error {
                    asked.clone_into(server);
                }
                error
            }
            Self::Step(_) => unexpected().into(),
            Self::NotARequest(why) => misunderstood(&why).into(),
        }
    }

    pub(super) fn into_exec(self, asked: &ContainerName) -> ExecError {
        let refused = |why| SidecarRefusal { why, again_in: None }.into();
        match self {
            Self::Refused(refusal) | Self::Find(FindError::Refused(refusal)) => refusal.into(),
            Self::Find(FindError::Stranger { why, .. }) => refused(why),
            Self::Find(FindError::Ambiguous { .. } | FindError::Foreign { .. } | FindError::Own(_)) => {
                refused(format!("`{asked}` is no longer a container of its servers"))
            }
            Self::Find(FindError::Gone { .. }) => ExecError::Gone(asked.clone()),
            Self::Find(FindError::Docker(error)) => error.into(),
            Self::Step(error) => error,
            Self::NotARequest(why) => misunderstood(&why).into(),
        }
    }
}

fn misunderstood(why: &str) -> DockerError {
    DockerError::NoSidecar(format!("it cannot parse the request: {why}"))
}

/// An answer to another question.
pub(super) fn unexpected() -> DockerError {
    DockerError::NoSidecar("cannot parse its response; do edge and sidecar have the same version?".into())
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;
    use std::time::Duration;

    use super::super::wire::{REPLY_MAX, Reply};
    use super::*;
    use crate::docker::ContainerState;

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
            ExecError::WouldDisarm { container: container.clone(), signal: "HUP".to_owned() },
            ExecError::Refused(refusal),
            ExecError::Docker(DockerError::Off),
            ExecError::Docker(DockerError::NoSocket("/var/run/docker.sock".into())),
            ExecError::Docker(DockerError::Denied("/var/run/docker.sock".into())),
            ExecError::Docker(DockerError::Silent("no answer".into())),
            ExecError::Docker(DockerError::Malformed("x".into())),
            ExecError::Docker(DockerError::Refused { status: 409, message: "is paused".into() }),
        ];
        for error in errors {
            let arrived = over(WireFailure::from(error.clone())).into_exec(&container);
            assert_eq!(arrived, error);
            assert_eq!((arrived.is_permanent(), arrived.is_elsewhere()), (error.is_permanent(), error.is_elsewhere()));
        }
        let long =
            ExecError::TimedOut { command: "pkill".to_owned(), container: name(), limit, output: "\u{1}".repeat(9000) };
        over(WireFailure::from(long));
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
            assert_eq!(over(WireFailure::from(error.clone())).into_find("backend"), error);
        }
    }

    #[test]
    fn an_answer_to_another_question_is_no_answer() {
        let odd = WireFailure::Step(ExecError::Gone(name()));
        assert_eq!(odd.into_find("b"), FindError::Docker(unexpected()));
        let wrong_name = br#"{"v":1,"reply":{"failed":{"step":{"gone":"../x"}}}}"#;
        assert_eq!(Reply::parse(wrong_name), None);
    }

    #[test]
    fn a_backend_that_is_not_found_gets_no_step() {
        let address: SocketAddr = "172.18.0.3:8000".parse().unwrap();
        let step = |error: FindError| WireFailure::from(error).into_exec(&name());
        assert_eq!(step(FindError::Gone { address, server: String::new() }), ExecError::Gone(name()));
        assert_eq!(step(FindError::Docker(DockerError::Off)), ExecError::Docker(DockerError::Off));
        assert!(matches!(step(FindError::Own(address)), ExecError::Refused(_)));
    }
}
