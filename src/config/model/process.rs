//! The process half of the file.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use log::LevelFilter;

use crate::types::ByteSize;

/// What is fixed while a process lives; a reload that changes it is refused with the restart command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProcessSpec {
    /// Never empty. Default: port 80 on every address.
    pub listen: Vec<ListenSpec>,
    /// Worker threads, 1 to 256. Default (`auto`): one per core.
    pub threads: usize,
    /// Where status, metrics and reload are served; a loopback address. Default `127.0.0.1:9901`; `None` is `off`.
    pub admin: Option<SocketAddr>,
    /// What is logged and how.
    pub log: LogSpec,
    /// Where the Docker daemon is reached.
    pub docker: DockerSpec,
    /// Largest request body where the route says nothing; 413 beyond. Default 10 MiB; 0 is no limit.
    pub body_limit: ByteSize,
    /// How long a client's idle connection is kept. At most 1 h, default 75 s, as in nginx.
    pub keepalive: Duration,
    /// Largest pause between two reads of a request, or two writes of a response. 10 ms to 24 h, default 60 s, as in
    /// nginx.
    pub client_timeout: Duration,
    /// How long requests in flight may take to finish after SIGTERM. At most 1 h, default 8 s, below Docker's 10 s.
    pub shutdown: Duration,
}

/// One address to listen on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ListenSpec {
    /// A bare port: every address, IPv6 and IPv4, or IPv4 alone where the machine has no IPv6.
    Port(u16),
    /// One address; port 0 is any that is free.
    Address(SocketAddr),
}

/// What is logged and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogSpec {
    /// Access log on standard output. Default `combined`.
    pub access: AccessLog,
    /// Level of the error log on standard error. Default `info`.
    pub level: LevelFilter,
}

/// The form of an access log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AccessLog {
    /// nginx's and Apache's combined format.
    Combined,
    /// One JSON object a line.
    Json,
    /// None.
    Off,
}

/// Where the Docker daemon is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DockerSpec {
    /// The socket in the usual place, when it is there (default).
    Auto,
    /// A socket that must be there for healing to work.
    Socket(PathBuf),
    /// No Docker: sick backends are ejected, not healed.
    Off,
}
