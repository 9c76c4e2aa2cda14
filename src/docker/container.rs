//! A container as the rest of the edge sees it: names that are safe in a URL, a state, and what a heal must know.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bollard::models::{ContainerInspectResponse, ContainerStateStatusEnum, RestartPolicyNameEnum};
use serde::{Deserialize, Serialize};

/// Longest name that is passed on.
const NAME_MAX: usize = 128;

/// Why a text cannot name a container.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` cannot name a container; 1 to 128 letters, digits, `_`, `.` or `-`, starting with a letter or digit")]
pub struct InvalidContainerName(String);

/// `[a-zA-Z0-9][a-zA-Z0-9_.-]{0,127}`: bollard puts names into URLs as they are.
fn parse(text: &str) -> Result<Arc<str>, InvalidContainerName> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-');
    let starts_well = text.starts_with(|c: char| c.is_ascii_alphanumeric());
    if starts_well && text.len() <= NAME_MAX && text.chars().all(allowed) {
        return Ok(text.into());
    }
    Err(InvalidContainerName(text.escape_debug().take(NAME_MAX).collect()))
}

/// The id Docker gave a container; another one after every recreation.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ContainerId(Arc<str>);

impl ContainerId {
    /// Parses an id.
    ///
    /// # Errors
    /// When it has a character that does not belong into a URL's path.
    pub fn parse(text: &str) -> Result<Self, InvalidContainerName> {
        parse(text).map(Self)
    }

    /// The whole id.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Its first twelve characters, as `docker ps` shows it.
    pub fn short(&self) -> &str {
        self.0.get(..12).unwrap_or(&self.0)
    }
}

/// The name of a container, without the leading slash of the API.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ContainerName(Arc<str>);

impl ContainerName {
    /// Parses a name, with or without the API's leading slash.
    ///
    /// # Errors
    /// When it has a character that does not belong into a URL's path.
    pub fn parse(text: &str) -> Result<Self, InvalidContainerName> {
        parse(text.strip_prefix('/').unwrap_or(text)).map(Self)
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for ContainerName {
    type Error = InvalidContainerName;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::parse(&text)
    }
}

impl From<ContainerName> for String {
    fn from(name: ContainerName) -> Self {
        name.as_str().to_owned()
    }
}

impl fmt::Display for ContainerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What Docker says a container is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ContainerState {
    /// Commands can be run in it.
    Running,
    /// Frozen by an operator.
    Paused,
    /// Between two lives; the restart policy owns it.
    Restarting,
    /// Ended, or not started yet.
    Exited,
    /// On its way out.
    Removing,
    /// Docker does not say.
    Unknown,
}

impl fmt::Display for ContainerState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Restarting => "restarting",
            Self::Exited => "not running",
            Self::Removing => "being removed",
            Self::Unknown => "in an unknown state",
        })
    }
}

/// When Docker starts a container again by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RestartPolicy {
    /// Never.
    No,
    /// Whenever it ends.
    Always,
    /// Whenever it ends, unless it was stopped by hand.
    UnlessStopped,
    /// When it ends with an error.
    OnFailure,
}

/// One container, as inspected a moment ago.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContainerRef {
    /// Docker's id.
    pub id: ContainerId,
    /// The name.
    pub name: ContainerName,
    /// What it was doing.
    pub state: ContainerState,
    /// When its PID 1 was started.
    pub started_at: Option<SystemTime>,
    /// Whether Docker brings it back.
    pub restart_policy: RestartPolicy,
    /// `STOPSIGNAL` where the image or the stack sets one, as written.
    pub stop_signal: Option<String>,
    /// PID 1's command as Docker started it.
    pub command: Vec<String>,
    /// How long its own health check gives it to start; 0 where it has none.
    pub start_period: Duration,
}

impl ContainerRef {
    /// Reads an inspect answer. `None` when the id or the name is missing or malformed.
    pub(super) fn from_inspect(answer: &ContainerInspectResponse) -> Option<Self> {
        let config = answer.config.as_ref();
        let state = answer.state.as_ref();
        let policy = answer.host_config.as_ref().and_then(|host| host.restart_policy.as_ref());
        let start_period = config.and_then(|config| config.healthcheck.as_ref()?.start_period).unwrap_or_default();
        let mut command: Vec<String> = answer.path.iter().cloned().collect();
        command.extend(answer.args.iter().flatten().cloned());
        Some(Self {
            id: ContainerId::parse(answer.id.as_deref()?).ok()?,
            name: ContainerName::parse(answer.name.as_deref()?).ok()?,
            state: state.and_then(|state| state.status).map_or(ContainerState::Unknown, state_of),
            started_at: state.and_then(|state| state.started_at.as_deref()).and_then(parse_time),
            restart_policy: policy.and_then(|policy| policy.name).map_or(RestartPolicy::No, policy_of),
            stop_signal: config.and_then(|config| config.stop_signal.clone()).filter(|signal| !signal.is_empty()),
            command,
            start_period: Duration::from_nanos(start_period.try_into().unwrap_or_default()),
        })
    }

    /// Name and short id, for logs.
    pub fn label(&self) -> String {
        format!("{} ({})", self.name, self.id.short())
    }
}

fn state_of(status: ContainerStateStatusEnum) -> ContainerState {
    match status {
        ContainerStateStatusEnum::RUNNING => ContainerState::Running,
        ContainerStateStatusEnum::PAUSED => ContainerState::Paused,
        ContainerStateStatusEnum::RESTARTING => ContainerState::Restarting,
        ContainerStateStatusEnum::CREATED | ContainerStateStatusEnum::EXITED | ContainerStateStatusEnum::STOPPING => {
            ContainerState::Exited
        }
        ContainerStateStatusEnum::REMOVING | ContainerStateStatusEnum::DEAD => ContainerState::Removing,
        ContainerStateStatusEnum::EMPTY => ContainerState::Unknown,
    }
}

fn policy_of(name: RestartPolicyNameEnum) -> RestartPolicy {
    match name {
        RestartPolicyNameEnum::ALWAYS => RestartPolicy::Always,
        RestartPolicyNameEnum::UNLESS_STOPPED => RestartPolicy::UnlessStopped,
        RestartPolicyNameEnum::ON_FAILURE => RestartPolicy::OnFailure,
        RestartPolicyNameEnum::NO | RestartPolicyNameEnum::EMPTY => RestartPolicy::No,
    }
}

/// Docker's times are RFC 3339; the zero time means never.
fn parse_time(text: &str) -> Option<SystemTime> {
    let time = chrono::DateTime::parse_from_rfc3339(text).ok()?;
    (0 < time.timestamp()).then(|| time.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_safe_in_a_url() {
        for text in ["backend-1", "a", "9x", "stack_backend.2", &"f".repeat(64)] {
            assert!(ContainerId::parse(text).is_ok() && ContainerName::parse(text).is_ok(), "{text}");
        }
        assert_eq!(ContainerName::parse("/backend-1").unwrap().as_str(), "backend-1");
        for text in ["", "/", "../x", "a/b", "a?b", "a b", "-a", ".a", "a%2f", "ä", "a\n", &"x".repeat(129)] {
            assert!(ContainerId::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn docker_times_are_read() {
        assert!(parse_time("2026-01-02T03:04:05.678901234Z").is_some());
        assert_eq!(parse_time("0001-01-01T00:00:00Z"), None);
        assert_eq!(parse_time("yesterday"), None);
    }

    #[test]
    fn an_inspect_answer_may_lack_anything_but_id_and_name() {
        assert_eq!(ContainerRef::from_inspect(&ContainerInspectResponse::default()), None);
        let bare = ContainerInspectResponse {
            id: Some("0123456789abcdef".into()),
            name: Some("/backend-1".into()),
            ..Default::default()
        };
        let container = ContainerRef::from_inspect(&bare).unwrap();
        assert_eq!(container.state, ContainerState::Unknown);
        assert_eq!(container.restart_policy, RestartPolicy::No);
        assert_eq!(container.label(), "backend-1 (0123456789ab)");
        let hostile = ContainerInspectResponse { name: Some("/../exec".into()), ..bare };
        assert_eq!(ContainerRef::from_inspect(&hostile), None);
    }
}
