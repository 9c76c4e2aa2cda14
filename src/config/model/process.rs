//! The process half of the file.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use log::LevelFilter;

use crate::types::{ByteSize, PaceLimits};

use super::listen::ListenSpec;

/// What is fixed while a process lives; a reload that changes it is refused with the restart command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProcessSpec {
    /// Never empty. Default: port 80 on every address.
    pub listen: Vec<ListenSpec>,
    /// Worker threads. Default `auto`.
    pub threads: Threads,
    /// Where status, metrics and reload are served; a loopback address. Default `127.0.0.1:9901`; `None` is `off`.
    pub admin: Option<SocketAddr>,
    /// Where metrics and status can be read, and nothing can be changed; any address. Default `None`, which is `off`.
    pub metrics: Option<SocketAddr>,
    /// What is logged and how.
    pub log: LogSpec,
    /// Where the Docker daemon is reached.
    pub docker: DockerSpec,
    /// Where heals are written down.
    pub journal: JournalFile,
    /// Who is told of alerts and heals. Default nobody but the log.
    pub alerts: Option<AlertSpec>,
    /// What a client may take and send.
    pub limits: LimitsSpec,
    /// Which way requests take. Default `auto`.
    pub lane: LaneChoice,
    /// How long requests in flight may take to finish after SIGTERM. At most 1 h, default 8 s, below Docker's 10 s.
    pub shutdown: Duration,
}

/// How many worker threads there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Threads {
    /// One per core of the machine that runs the edge, which need not be the one that checks the file.
    Auto,
    /// So many: 1 to 256.
    Count(usize),
}

impl fmt::Display for Threads {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Count(count) => count.fmt(f),
        }
    }
}

/// What a client may take and send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LimitsSpec {
    /// Largest request body where the route says nothing; 413 beyond. Default 10 MiB; 0 is no limit.
    pub body: ByteSize,
    /// How long a client's idle connection is kept. At most 1 h, default 75 s, as in nginx.
    pub keepalive: Duration,
    /// Largest pause between two reads of a request, or two writes of a response. 10 ms to 24 h, default 60 s, as in
    /// nginx.
    pub client_timeout: Duration,
    /// Longest a whole request head may take from its first byte; also a TLS handshake and HTTP/2's preface. 408
    /// beyond. 100 ms to 1 h, default 20 s.
    pub header_timeout: Duration,
    /// Largest request line and header fields together; 431 beyond (RFC 6585, section 5). 1 KiB to 60 KiB, default
    /// 32 KiB, as four of nginx's `large_client_header_buffers`.
    pub header_size: ByteSize,
    /// Most header fields of a request; 431 beyond. 10 to 256, default 100.
    pub headers: usize,
    /// Largest request target; 414 beyond (RFC 9110, section 15.5.15). 256 B to 60 KiB and not more than
    /// `header_size`, default 8 KiB, as in nginx, or `header_size` where that is less.
    pub uri: ByteSize,
    /// Least bytes a second of a request body in and of an answer out, averaged, after a grace of 5 s. At most 1 MiB,
    /// default 240 B, as Kestrel's `MinRequestBodyDataRate`; 0 is none.
    pub min_rate: ByteSize,
    /// Most requests on one connection; it is closed after the last. Default 10 000; 0 is no limit. nginx's
    /// `keepalive_requests`.
    pub requests: u32,
    /// Age after which a client's connection is closed at the end of a request. At most 7 d, default 1 h, as nginx's
    /// `keepalive_time`; 0 is no limit.
    pub lifetime: Duration,
    /// Most client connections at a time, 1 to 1 000 000. `None` is `auto` (default): what the open-file limit at the
    /// start allows.
    pub connections: Option<usize>,
    /// Most connections of one client address at a time, 1 to 1 000 000. `None` is `auto` (default): half of
    /// `connections`.
    pub connections_per_client: Option<usize>,
}

impl LimitsSpec {
    /// How fast clients have to be.
    pub fn pace(&self) -> PaceLimits {
        PaceLimits { pause: self.client_timeout, min_rate: self.min_rate.0 }
    }
}

impl Default for LimitsSpec {
    fn default() -> Self {
        Self {
            body: ByteSize(10 << 20),
            keepalive: Duration::from_secs(75),
            client_timeout: Duration::from_secs(60),
            header_timeout: Duration::from_secs(20),
            header_size: ByteSize(32 << 10),
            headers: 100,
            uri: ByteSize(8 << 10),
            min_rate: ByteSize(240),
            requests: 10_000,
            lifetime: Duration::from_secs(3_600),
            connections: None,
            connections_per_client: None,
        }
    }
}

/// Which way requests take through the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LaneChoice {
    /// Each the shortest that does what its route asks for (default).
    Auto,
    /// Each through Pingora's proxy, for comparison and fault finding.
    Full,
}

/// What is logged and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogSpec {
    /// Access log. Default `combined`, on standard output.
    pub access: AccessLogSpec,
    /// Level of the error log on standard error. Default `info`.
    pub level: LevelFilter,
}

/// The access log: how, and where to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccessLogSpec {
    /// How a request is written down.
    pub form: AccessLog,
    /// A file to append to, by an absolute path; `None` for standard output.
    pub file: Option<PathBuf>,
}

/// The form of an access log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AccessLog {
    /// nginx's and Apache's combined format.
    Combined,
    /// The same, and behind it the request's id in quotes.
    CombinedWithId,
    /// One JSON object a line.
    Json,
    /// None.
    Off,
}

/// Where heals are written down.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum JournalFile {
    /// `/var/lib/remora/heals.jsonl`, where that folder is there (default).
    #[default]
    Auto,
    /// This one. Where it cannot be written, heals are kept in memory, and that is said.
    At(PathBuf),
    /// None: heals are forgotten at the end of the process.
    Off,
}

/// Who is told of alerts and heals.
#[derive(Clone, PartialEq, Eq)]
pub struct AlertSpec {
    /// An HTTP URL with a host and without a user. It is often a secret.
    pub webhook: String,
    /// What is posted there.
    pub format: AlertFormat,
}

impl fmt::Debug for AlertSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AlertSpec").field("format", &self.format).finish_non_exhaustive()
    }
}

/// The shape of what is posted. Default: that of the URL's host, or `json`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AlertFormat {
    /// One JSON object with every field.
    Json,
    /// A message for Slack's incoming webhooks, and for those that take the same.
    Slack,
    /// A message for Discord's webhooks.
    Discord,
}

impl AlertFormat {
    /// As it is written in the file.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Slack => "slack",
            Self::Discord => "discord",
        }
    }
}

/// Where the Docker daemon is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DockerSpec {
    /// The socket in the usual place, when it is there (default).
    Auto,
    /// A socket that must be there for healing to work.
    Socket(PathBuf),
    /// By way of `remora sidecar`, the only process that holds Docker's socket; the edge has none.
    Sidecar(SidecarSpec),
    /// No Docker: sick backends are ejected, not healed.
    Off,
}

/// Where the sidecar is, for the edge, and where it finds Docker itself. Both read the same words of the same file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SidecarSpec {
    /// The unix socket it listens on.
    pub path: PathBuf,
    /// Docker's socket, for the sidecar alone. Default: the usual place.
    pub docker: Option<PathBuf>,
}

impl SidecarSpec {
    /// Where the sidecar itself reaches the Docker daemon.
    pub fn daemon(&self) -> DockerSpec {
        self.docker.clone().map_or(DockerSpec::Auto, DockerSpec::Socket)
    }
}
