//! One ladder as it is written down.

use std::time::SystemTime;

use chrono::DateTime;
use serde::{Deserialize, Serialize};

use crate::docker::{ContainerState, DockerError, ExecError};

/// Characters of a command's output, and of a container's log, kept with an entry.
const OUTPUT_MAX: usize = 2_000;

/// One ladder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JournalEntry {
    /// Counts up from 1, on through restarts of the edge where the journal is kept in a file.
    pub id: u64,
    /// The upstream's name.
    pub upstream: String,
    /// The backend's address.
    pub backend: String,
    /// Name and id of its container.
    pub container: String,
    /// The container's id.
    pub container_id: String,
    /// Who wanted it.
    pub asked_by: AskedBy,
    /// What the check said.
    pub cause: String,
    /// The last lines that the container had logged by then, control characters escaped.
    pub logs: String,
    /// RFC 3339, UTC.
    pub started_at: String,
    /// Requests it was working on when it was taken out of rotation.
    pub in_flight: usize,
    /// Requests that were still unfinished when the first step ran.
    pub in_flight_after_drain: usize,
    /// How long they were waited for.
    pub drain_ms: u64,
    /// What was tried, in order.
    pub steps: Vec<StepEntry>,
    /// How it ended.
    pub result: LadderOutcome,
    /// From taking it out of rotation to the end.
    pub took_ms: u64,
    /// Requests of its upstream that waited for a backend meanwhile.
    pub requests_held: u64,
    /// Requests of its upstream that failed meanwhile.
    pub requests_failed: u64,
}

/// Who wanted a ladder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AskedBy {
    /// The check and the policy.
    Policy,
    /// `remora heal`.
    Hand,
    /// `remora reload UPSTREAM`: its first step alone.
    Reload,
    /// `remora drill`: nothing was sick.
    Drill,
}

/// One step of a ladder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepEntry {
    /// As the file or its presets call it.
    pub step: String,
    /// What came of it, as one word.
    pub result: StepResult,
    /// `ok`, `exit 1`, or what went wrong.
    pub outcome: String,
    /// Exit code, where there was a command that ended.
    pub code: Option<i64>,
    /// The end of what it said, control characters escaped.
    pub output: String,
    /// How long the step itself took.
    pub duration_ms: u64,
    /// How long after it the check passed; `null` when it did not.
    pub passed_after_ms: Option<u64>,
}

/// What came of a step. Each is told apart in the journal and in `remora_heal_total`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StepResult {
    /// The check passes after it.
    Helped,
    /// It ran and said it did its work, and the check still fails.
    #[serde(rename = "no_effect", alias = "in_vain")]
    InVain,
    /// It ended with another exit code than 0, and the check still fails.
    ExitCode,
    /// No process matched: exit code 1 of `pkill` and the like, 3 of a preset.
    NoMatch,
    /// Exit code 127: its program is not in the image. Not tried again in that container.
    NotFound,
    /// Exit code 126: its program may not be executed. Not tried again in that container.
    NotExecutable,
    /// It cannot be passed to a program, or Docker or a proxy in front of it forbids it (403). Not tried again.
    Refused,
    /// It ran past its deadline; nothing else is started in that container until Docker says that it ended.
    TimedOut,
    /// An earlier command still hangs in the container.
    Busy,
    /// The container is paused.
    Paused,
    /// The container is restarting.
    Restarting,
    /// The container has ended.
    NotRunning,
    /// The container is gone, or was replaced.
    Gone,
    /// Docker could not start it: no process, memory or place left.
    NotStarted,
    /// Docker, or the sidecar, could not be asked.
    Unavailable,
    /// The sidecar did not want it now: its own limits stand against it.
    #[serde(rename = "limited", alias = "held")]
    Held,
    /// It was left out, for a reason that stands beside it.
    Skipped,
}

impl StepResult {
    /// The word for metrics.
    pub fn word(self) -> &'static str {
        match self {
            Self::Helped => "helped",
            Self::InVain => "no_effect",
            Self::ExitCode => "exit_code",
            Self::NoMatch => "no_match",
            Self::NotFound => "not_found",
            Self::NotExecutable => "not_executable",
            Self::Refused => "refused",
            Self::TimedOut => "timed_out",
            Self::Busy => "busy",
            Self::Paused => "paused",
            Self::Restarting => "restarting",
            Self::NotRunning => "not_running",
            Self::Gone => "gone",
            Self::NotStarted => "not_started",
            Self::Unavailable => "unavailable",
            Self::Held => "limited",
            Self::Skipped => "skipped",
        }
    }

    /// What an error of a step means.
    pub fn of_error(error: &ExecError) -> Self {
        match error {
            ExecError::NotFound { .. } => Self::NotFound,
            ExecError::NotExecutable { .. } => Self::NotExecutable,
            ExecError::BadCommand(_) | ExecError::WouldDisarm { .. } => Self::Refused,
            ExecError::TimedOut { .. } => Self::TimedOut,
            ExecError::Busy { .. } => Self::Busy,
            ExecError::NotRunning { state: ContainerState::Paused, .. } => Self::Paused,
            ExecError::NotRunning { state: ContainerState::Restarting, .. } => Self::Restarting,
            ExecError::NotRunning { .. } => Self::NotRunning,
            ExecError::Gone(_) => Self::Gone,
            ExecError::Refused(_) => Self::Held,
            ExecError::Docker(DockerError::Refused { status: 403, .. }) => Self::Refused,
            ExecError::Docker(DockerError::Refused { .. }) => Self::NotStarted,
            ExecError::Docker(_) => Self::Unavailable,
        }
    }
}

/// How a ladder ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LadderOutcome {
    /// Under way.
    Running,
    /// A step was followed by a check that passes.
    Healed,
    /// The check passed before any step was run.
    Recovered,
    /// Every step was tried in vain.
    Failed,
    /// No step can run in this container.
    Unrunnable,
    /// Nothing was done: Docker or the container was not to be had.
    Postponed,
    /// The backend left its upstream meanwhile.
    Left,
    /// The edge ended meanwhile.
    Interrupted,
}

impl LadderOutcome {
    /// The word for metrics.
    pub fn word(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Healed => "healed",
            Self::Recovered => "recovered",
            Self::Failed => "failed",
            Self::Unrunnable => "unrunnable",
            Self::Postponed => "postponed",
            Self::Left => "left",
            Self::Interrupted => "interrupted",
        }
    }
}

/// Text from a container that is safe to show: control characters escaped, the end kept.
pub(in crate::heal) fn shown(output: &str) -> String {
    let mut shown = String::new();
    for c in output.chars() {
        match c {
            '\n' | '\t' => shown.push(c),
            c if c.is_control() => shown.extend(c.escape_default()),
            c => shown.push(c),
        }
    }
    let over = shown.chars().count().saturating_sub(OUTPUT_MAX);
    if over == 0 { shown } else { format!("…{}", shown.chars().skip(over).collect::<String>()) }
}

/// `None` where it is not a time.
pub(in crate::heal) fn parse_time(text: &str) -> Option<SystemTime> {
    DateTime::parse_from_rfc3339(text).ok().map(SystemTime::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn output_cannot_play_with_a_terminal() {
        assert_eq!(shown("a\u{1b}[2Jb\r\nc"), "a\\u{1b}[2Jb\\r\nc");
        assert_eq!(shown(&"x".repeat(5_000)).chars().count(), OUTPUT_MAX + 1);
    }

    #[test]
    fn a_result_is_written_as_its_word_and_read_under_the_word_before_too() {
        for (result, before) in [(StepResult::InVain, "in_vain"), (StepResult::Held, "held")] {
            assert_eq!(serde_json::to_value(result).unwrap(), result.word());
            assert_eq!(serde_json::from_str::<StepResult>(&format!("\"{before}\"")).unwrap(), result);
        }
    }
}
