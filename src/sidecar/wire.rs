//! What edge and sidecar say to each other: one JSON object a line, of a closed vocabulary. Reads and writes texts, nothing
//! else.
//!
//! A request names an upstream, a backend's address and the number of a step. Nothing in it can become a command, a signal
//! or the name of a container: these come from the sidecar's own file and from Docker.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::config::model::Step;
use crate::docker::{ContainerState, Happening};
use crate::types::UpstreamName;

use super::failure::WireFailure;

/// The version of all of this; another one is refused.
pub(super) const VERSION: u8 = 1;
/// Longest request, its line feed included.
pub(super) const REQUEST_MAX: usize = 256;
/// Longest reply, its line feed included.
pub(super) const REPLY_MAX: usize = 16 * 1024;
/// How often a line comes to whoever watches, if only to say that it still may.
pub(super) const BEAT: Duration = Duration::from_secs(10);
/// Grace and return of a restarted container, which has no deadline in the file.
const RESTART: Duration = Duration::from_secs(60);

/// Which backend is meant.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct WireTarget {
    pub upstream: UpstreamName,
    pub backend: SocketAddr,
}

/// Everything the edge may ask.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum SidecarRequest {
    /// The container of a backend, and whether a ladder may begin there.
    Find(WireTarget),
    /// Step `index` of the upstream's ladder; `sum` is the [`sum`] of what the edge takes it for.
    Step { target: WireTarget, index: usize, sum: u32 },
    /// The last lines that the container has logged.
    Logs(WireTarget),
    /// What Docker does with containers of upstreams, until the connection ends.
    Watch,
    /// How the sidecar is.
    Status,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Verb {
    Find,
    Step,
    Logs,
    Watch,
    Status,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RequestLine {
    v: u8,
    r#do: Verb,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    upstream: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    backend: Option<SocketAddr>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    step: Option<u8>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sum: Option<u32>,
}

/// A line that is no request. Says nothing of what was in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum NoRequest {
    #[error("not a request")]
    Malformed,
    #[error("only version {VERSION} is supported")]
    Version,
}

impl SidecarRequest {
    /// Reads a line without its line feed.
    pub(super) fn parse(line: &[u8]) -> Result<Self, NoRequest> {
        let line: RequestLine = serde_json::from_slice(line).map_err(|_| NoRequest::Malformed)?;
        if line.v != VERSION {
            return Err(NoRequest::Version);
        }
        let target = match (line.upstream, line.backend) {
            (Some(upstream), Some(backend)) => {
                let upstream = UpstreamName::parse(&upstream).map_err(|_| NoRequest::Malformed)?;
                Some(WireTarget { upstream, backend })
            }
            (None, None) => None,
            (Some(_), None) | (None, Some(_)) => return Err(NoRequest::Malformed),
        };
        match (line.r#do, target, line.step, line.sum) {
            (Verb::Find, Some(target), None, None) => Ok(Self::Find(target)),
            (Verb::Logs, Some(target), None, None) => Ok(Self::Logs(target)),
            (Verb::Step, Some(target), Some(index), Some(sum)) => Ok(Self::Step { target, index: index.into(), sum }),
            (Verb::Watch, None, None, None) => Ok(Self::Watch),
            (Verb::Status, None, None, None) => Ok(Self::Status),
            (Verb::Find | Verb::Logs | Verb::Step | Verb::Watch | Verb::Status, _, _, _) => Err(NoRequest::Malformed),
        }
    }

    /// The line, with its line feed.
    pub(super) fn line(&self) -> Vec<u8> {
        let bare = |r#do| RequestLine { v: VERSION, r#do, upstream: None, backend: None, step: None, sum: None };
        let of = |r#do, target: &WireTarget| RequestLine {
            upstream: Some(target.upstream.to_string()),
            backend: Some(target.backend),
            ..bare(r#do)
        };
        let line = match self {
            Self::Find(target) => of(Verb::Find, target),
            Self::Logs(target) => of(Verb::Logs, target),
            Self::Step { target, index, sum } => {
                RequestLine { step: u8::try_from(*index).ok(), sum: Some(*sum), ..of(Verb::Step, target) }
            }
            Self::Watch => bare(Verb::Watch),
            Self::Status => bare(Verb::Status),
        };
        to_line(&line)
    }
}

/// Everything the sidecar may answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Reply {
    Container(Container),
    Done(Done),
    Logs(String),
    Status(SidecarStatus),
    Seen(ContainerEvent),
    /// Nothing happened, and the sidecar still watches.
    Beat,
    Failed(WireFailure),
}

#[derive(Debug, Serialize, Deserialize)]
struct ReplyLine {
    v: u8,
    reply: Reply,
}

impl Reply {
    /// Reads a line without its line feed; `None` when it is none of ours.
    pub(super) fn parse(line: &[u8]) -> Option<Self> {
        let line: ReplyLine = serde_json::from_slice(line).ok()?;
        (line.v == VERSION).then_some(line.reply)
    }

    /// The line, with its line feed.
    pub(super) fn line(self) -> Vec<u8> {
        to_line(&ReplyLine { v: VERSION, reply: self })
    }
}

fn to_line(value: &impl Serialize) -> Vec<u8> {
    // Our own types have neither maps with odd keys nor anything else that JSON lacks.
    let mut line = serde_json::to_vec(value).unwrap_or_default();
    line.push(b'\n');
    line
}

/// A container as the edge needs it to decide.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Container {
    pub id: String,
    pub name: String,
    pub state: ContainerState,
    /// When its PID 1 was started, milliseconds since 1970.
    pub started_ms: Option<u64>,
    /// How long its own health check gives it to start, milliseconds.
    pub start_period_ms: u64,
}

/// A step that ran.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Done {
    pub code: Option<i64>,
    pub output: String,
    pub took_ms: u64,
}

/// Something that Docker does with a container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct ContainerEvent {
    pub addresses: Vec<IpAddr>,
    pub container: String,
    pub what: Happening,
}

/// How a sidecar is, since it was started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SidecarStatus {
    /// How things stand with Docker, in words.
    pub docker: String,
    /// Upstreams of its file that have a `heal`.
    pub upstreams: usize,
    /// Steps it ran.
    pub steps: u64,
    /// Steps that run now.
    pub running: usize,
    /// Steps it refused, by its own limits.
    pub refused: u64,
    /// Connections it closed for what they asked, how often, or who they were.
    pub closed: u64,
}

/// Tells one step from another, so that edge and sidecar do not take different ones for the same. FNV-1a; no secret.
pub(super) fn sum(step: &Step) -> u32 {
    step.to_string().bytes().fold(0x811c_9dc5, |sum, byte| (sum ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}

/// How long a step may take in all, where one command in it has `limit`: presets run several, and some a second time.
pub(super) fn longest(step: &Step, limit: Duration) -> Duration {
    let commands = limit * 2 + Duration::from_secs(30);
    if *step == Step::Restart { commands.max(RESTART) } else { commands }
}

#[cfg(test)]
#[path = "wire_tests.rs"]
mod tests;
