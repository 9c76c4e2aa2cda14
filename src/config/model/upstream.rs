//! An upstream, fully decided.

use std::fmt;
use std::ops::RangeInclusive;
use std::time::Duration;

use http::{HeaderName, HeaderValue, Method};

use crate::types::{ByteSize, Percent, ServerAddress, UpstreamName, Weight};

use super::HealSpec;

/// An upstream, fully decided. Equal specs behave the same, so a reload keeps the running one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpstreamSpec {
    /// Its name in the file.
    pub name: UpstreamName,
    /// Never empty, no duplicates, at least one that is not a backup.
    pub servers: Vec<ServerSpec>,
    /// How requests are spread.
    pub balance: Balance,
    /// How health is found out. Default: TCP; `None` is `off`, when passive evidence alone counts.
    pub check: Option<CheckSpec>,
    /// Upstreams whose sickness explains this one's, where no backend of it is well; never itself, no cycles.
    pub needs: Vec<UpstreamName>,
    /// Deadlines towards the backends.
    pub timeouts: Timeouts,
    /// When another backend is tried.
    pub retry: RetrySpec,
    /// How long a new request waits for a backend when none is up. At most 5 min; default 10 s; 0: answered 503 at once.
    pub hold: Duration,
    /// How a sick backend is repaired. Default: not at all.
    pub heal: Option<HealSpec>,
    /// Request body read from the client before a backend is chosen, so that a slow client holds no worker.
    /// Default 1 MiB, which a body that is longer passes through as it comes; 0 streams from the first byte. At most 64 MiB.
    pub request_buffer: ByteSize,
}

/// One server as written in the file; it may resolve to several backends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerSpec {
    /// `host:port`.
    pub address: ServerAddress,
    /// Share relative to its siblings. Default 1.
    pub weight: Weight,
    /// Used only when no other server is up. Default false.
    pub backup: bool,
}

/// How requests are spread over the backends that are up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Balance {
    /// In turn, smoothly by weight.
    #[default]
    RoundRobin,
}

/// An active health check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckSpec {
    /// What is asked.
    pub kind: CheckKind,
    /// The port that is asked. Default: the one that requests go to.
    pub port: Option<u16>,
    /// Pause between two probes of one backend, give or take a tenth. 100 ms to 1 h, default 2 s.
    pub every: Duration,
    /// Deadline of one probe in total. 10 ms to 1 min, not longer than `every`. Default 1 s, or `every` where that is
    /// shorter.
    pub timeout: Duration,
    /// Consecutive failures that take a backend down. 1 to 100, default 3.
    pub fall: u32,
    /// Consecutive passes that bring it up. 1 to 100, default 2.
    pub rise: u32,
}

impl CheckSpec {
    /// What a probe asks, what passes and by when: checks that are worded alike pass and fail alike, whatever their pace.
    /// Headers are named, and their values, which may be secrets, are told apart by a number only.
    pub fn question(&self) -> String {
        let asked = match &self.kind {
            CheckKind::Tcp => "tcp".to_owned(),
            CheckKind::Greeting(protocol) => protocol.word().to_owned(),
            CheckKind::Http(page) => page.question(),
        };
        let port = self.port.map(|port| format!(" on port {port}")).unwrap_or_default();
        format!("{asked}{port} within {:?}", self.timeout)
    }
}

/// What a check asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CheckKind {
    /// A connection opens.
    Tcp,
    /// A connection opens, and a database speaks on it. Nothing is logged in to.
    Greeting(Protocol),
    /// A request is answered with an expected status.
    Http(PageSpec),
}

/// The page that a check requests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PageSpec {
    /// GET, HEAD, OPTIONS, or POST without a body. Default GET. Of GET, a body has to come as a whole.
    pub method: Method,
    /// Path and query to ask for.
    pub path: String,
    /// `Host` to send; `None` sends the server's own name.
    pub host: Option<String>,
    /// Further headers, in the order of the file; none twice, and none that the check sets itself.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// Statuses that pass. Default 200-399.
    pub expect: StatusRanges,
}

impl PageSpec {
    fn question(&self) -> String {
        let Self { method, path, host, headers, expect } = self;
        let host = host.as_ref().map(|host| format!(" with host {host}")).unwrap_or_default();
        let names: Vec<&str> = headers.iter().map(|(name, _)| name.as_str()).collect();
        let headers = match names.as_slice() {
            [] => String::new(),
            names => format!(" with {} ({:08x})", names.join(", "), fingerprint(headers)),
        };
        format!("{method} {path}{host}{headers} for {expect}")
    }
}

/// The same for the same headers in every process (FNV-1a).
fn fingerprint(headers: &[(HeaderName, HeaderValue)]) -> u32 {
    let bytes = headers.iter().flat_map(|(name, value)| [name.as_str().as_bytes(), b":", value.as_bytes(), b"\n"]);
    bytes.flatten().fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193))
}

/// A database's protocol, as far as a check knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// MySQL and MariaDB: their handshake comes.
    Mysql,
    /// PostgreSQL: it answers a start-up message.
    Postgres,
    /// Redis and Valkey: a PING is answered.
    Redis,
}

impl Protocol {
    /// Every one, as the file words it.
    pub const ALL: [(&str, Self); 3] = [("mysql", Self::Mysql), ("postgres", Self::Postgres), ("redis", Self::Redis)];

    /// The word of the file.
    pub fn word(self) -> &'static str {
        match self {
            Self::Mysql => "mysql",
            Self::Postgres => "postgres",
            Self::Redis => "redis",
        }
    }

    /// Its name for people.
    pub fn title(self) -> &'static str {
        match self {
            Self::Mysql => "MySQL",
            Self::Postgres => "PostgreSQL",
            Self::Redis => "Redis",
        }
    }
}

/// Statuses written as `200-399` or `200,204,300-399`. Never empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatusRanges(pub Vec<RangeInclusive<u16>>);

impl StatusRanges {
    /// True when a status is among them.
    pub fn contains(&self, status: u16) -> bool {
        self.0.iter().any(|range| range.contains(&status))
    }
}

impl fmt::Display for StatusRanges {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, range) in self.0.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            match (range.start(), range.end()) {
                (start, end) if start == end => write!(f, "{comma}{start}")?,
                (start, end) => write!(f, "{comma}{start}-{end}")?,
            }
        }
        Ok(())
    }
}

/// Deadlines towards the backends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// To open a connection. 10 ms to 1 min, default 2 s.
    pub connect: Duration,
    /// Between two reads of a response, and until its first byte. 10 ms to 24 h, default 60 s, as in nginx.
    pub read: Duration,
    /// Between two writes of a request. 10 ms to 24 h, default 60 s, as in nginx.
    pub write: Duration,
    /// How long an unused connection is kept. At most 1 h, default 1 s: below the shortest keepalive of common servers
    /// (Gunicorn 2 s).
    /// 0 opens one per request.
    pub idle: Duration,
}

/// When another backend is tried.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RetrySpec {
    /// Further attempts after the first. 0 to 10, default 2.
    pub attempts: u32,
    /// What may be tried again. Default connect and reset; a request that was sent is tried again only if idempotent.
    pub on: RetryOn,
    /// Retries allowed as a share of requests, so that retries cannot multiply an outage. Default 20 %.
    pub budget: Percent,
}

/// What may be tried again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RetryOn {
    /// The connection could not be opened: safe for every method.
    pub connect: bool,
    /// The connection ended before the first byte of the answer.
    pub reset: bool,
    /// The answer took longer than `timeouts.read`.
    pub timeout: bool,
    /// These statuses, 500 to 599.
    pub statuses: Vec<u16>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checks_that_ask_the_same_are_worded_alike() {
        let check = |kind, secs, fall| {
            let (every, timeout) = (Duration::from_secs(secs * 2), Duration::from_secs(secs));
            CheckSpec { kind, port: None, every, timeout, fall, rise: fall }
        };
        let page = |path: &str, host: Option<&str>, expect| PageSpec {
            method: Method::GET,
            path: path.to_owned(),
            host: host.map(str::to_owned),
            headers: Vec::new(),
            expect: StatusRanges(expect),
        };
        let http = |path, host, expect| CheckKind::Http(page(path, host, expect));
        let header = |value| (HeaderName::from_static("x-key"), HeaderValue::from_static(value));
        let keyed = |value| {
            let page =
                PageSpec { method: Method::HEAD, headers: vec![header(value)], ..page("/", None, vec![200..=200]) };
            CheckSpec { port: Some(9000), ..check(CheckKind::Http(page), 1, 3) }
        };
        #[rustfmt::skip]
        let rows = [
            (check(CheckKind::Tcp, 1, 3),                                      "tcp within 1s"),
            (check(CheckKind::Tcp, 1, 1),                                      "tcp within 1s"),
            (check(CheckKind::Greeting(Protocol::Mysql), 2, 3),                "mysql within 2s"),
            (check(http("/health", None, vec![200..=399]), 1, 3),              "GET /health for 200-399 within 1s"),
            (check(http("/", Some("a.b"), vec![200..=200, 300..=399]), 1, 3),  "GET / with host a.b for 200,300-399 within 1s"),
            (keyed("secret"),  "HEAD / with x-key (2dd2d969) for 200 on port 9000 within 1s"),
            (keyed("another"), "HEAD / with x-key (b2ebb122) for 200 on port 9000 within 1s"),
        ];
        for (check, words) in rows {
            assert_eq!(check.question(), words);
        }
    }
}
