//! The status document: what runs, in what state, and why nothing was done. Data only; read by people and by `remora status`.

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::config::model::{Balance, CheckKind, UpstreamSpec};
use crate::reload::{ReloadOutcome, Reloaded, RolledBack};
use crate::telemetry::rfc3339;
use crate::types::millis;

/// Everything.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Status {
    /// The process.
    pub process: ProcessStatus,
    /// In the order in which they are tried.
    pub routes: Vec<RouteStatus>,
    /// By name.
    pub upstreams: Vec<UpstreamStatus>,
    /// The journal's entries, newest last.
    pub heals: serde_json::Value,
    /// Why nothing was done where something might have been: `backend: not healed, the database it needs is down`.
    pub notes: Vec<String>,
}

impl Status {
    /// The same without what files, containers and commands have said: there may be secrets in it.
    pub fn without_texts(mut self) -> Self {
        let empty = |of: &mut serde_json::Value, key: &str| {
            of.get_mut(key).into_iter().for_each(|text| *text = "".into());
        };
        for heal in self.heals.as_array_mut().into_iter().flatten() {
            empty(heal, "logs");
            let steps = heal.get_mut("steps").and_then(serde_json::Value::as_array_mut);
            steps.into_iter().flatten().for_each(|step| empty(step, "output"));
        }
        let reload = self.process.last_reload.as_mut();
        if let Some(error) = reload.and_then(|reload| reload.error.as_mut()) {
            "refused; the admin address and `remora status` show the report".clone_into(error);
        }
        self
    }
}

/// The process and its configuration.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ProcessStatus {
    /// Of the binary.
    pub version: String,
    /// As the process itself sees it; 1 in a container.
    pub pid: u32,
    /// Since the start.
    pub uptime_seconds: u64,
    /// Of the configuration in force.
    pub generation: u64,
    /// Where the configuration was read; none for `remora demo`.
    pub config_file: Option<String>,
    /// Addresses with an open listener.
    pub listeners: Vec<String>,
    /// Client connections that are open.
    #[serde(default)]
    pub connections: u64,
    /// Requests that took the fast lane.
    #[serde(default)]
    pub fast_requests: u64,
    /// Requests that took the full lane: HTTP/2, WebSockets, and all of them with `lane: full`.
    #[serde(default)]
    pub full_requests: u64,
    /// None before the first.
    pub last_reload: Option<ReloadStatus>,
    /// The entry of the history that a rollback put in force while the files say something else; none where they say the
    /// same.
    #[serde(default)]
    pub rolled_back_to: Option<u64>,
}

impl ProcessStatus {
    /// What a process knows of itself: version, process id and uptime. Fill in the rest.
    pub fn of_this_process(uptime: Duration) -> Self {
        Self {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: std::process::id(),
            uptime_seconds: uptime.as_secs(),
            ..Self::default()
        }
    }
}

/// How the last reload ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReloadStatus {
    /// RFC 3339, UTC.
    pub at: String,
    /// `file`, `signal`, `admin` or `rollback`.
    pub origin: String,
    /// What it changed, when it was accepted.
    pub summary: Option<String>,
    /// The report, when it was refused; the configuration before it stays in force.
    pub error: Option<String>,
}

impl From<&ReloadOutcome> for ReloadStatus {
    fn from(outcome: &ReloadOutcome) -> Self {
        let (summary, error) = match &outcome.result {
            Ok(reloaded) => (Some(reloaded.summary.clone()), None),
            Err(report) => (None, Some(report.clone())),
        };
        Self { at: rfc3339(outcome.at), origin: outcome.origin.as_str().to_owned(), summary, error }
    }
}

/// The answer to `POST /reload`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReloadAnswer {
    /// Of the configuration in force.
    pub generation: u64,
    /// `1 upstream changed (backend), 1 route added (/x)` or `nothing changed`.
    pub summary: String,
    /// How long it took.
    pub took_ms: u64,
    /// What is odd about the files, such as one that is mounted by itself.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
    /// What the files get by defaults that this version changed; each is told once.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub new_defaults: Vec<String>,
}

impl From<&Reloaded> for ReloadAnswer {
    fn from(reloaded: &Reloaded) -> Self {
        let took_ms = millis(reloaded.took);
        Self {
            generation: reloaded.generation,
            summary: reloaded.summary.clone(),
            took_ms,
            notes: reloaded.notes.clone(),
            new_defaults: reloaded.new_defaults.clone(),
        }
    }
}

/// The answer to `POST /rollback`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RollbackAnswer {
    /// Of the configuration in force.
    pub generation: u64,
    /// What changed by it; `nothing changed` where only the files said something else.
    pub summary: String,
    /// How long it took.
    pub took_ms: u64,
    /// The entry of the history that was brought back.
    pub to: u64,
    /// The files that were written.
    pub written: Vec<String>,
    /// The files that were not there then, and what they are called now.
    pub set_aside: Vec<[String; 2]>,
    /// The entry with what the files said before; none where they said the same.
    pub replaced: Option<u64>,
    /// Why the files still say something else than what is in force; none where they say the same.
    pub not_written: Option<String>,
}

impl From<&RolledBack> for RollbackAnswer {
    fn from(done: &RolledBack) -> Self {
        let shown = |path: &PathBuf| path.display().to_string();
        let ReloadAnswer { generation, summary, took_ms, notes: _, new_defaults: _ } =
            ReloadAnswer::from(&done.reloaded);
        Self {
            generation,
            summary,
            took_ms,
            to: done.to,
            written: done.written.iter().map(shown).collect(),
            set_aside: done.set_aside.iter().map(|(file, name)| [shown(file), shown(name)]).collect(),
            replaced: done.replaced,
            not_written: done.not_written.clone(),
        }
    }
}

/// One route.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RouteStatus {
    /// None for any host.
    pub host: Option<String>,
    /// The path it covers.
    pub path: String,
    /// Where requests go.
    pub upstream: String,
    /// Finished so far.
    pub requests: u64,
    /// The shortest its requests can take: `fast`, or `full` for Pingora's proxy.
    pub lane: String,
}

/// One upstream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UpstreamStatus {
    /// Its name in the file.
    pub name: String,
    /// What the file says, in short.
    pub spec: SpecSummary,
    /// All of its backends together.
    pub state: PoolState,
    /// Requests waiting now for a backend to come up.
    pub held: u64,
    /// By server, then address.
    pub backends: Vec<BackendStatus>,
}

/// What the file says of an upstream, in short.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SpecSummary {
    /// As written: `backend:8000`.
    pub servers: Vec<String>,
    /// How requests are spread.
    pub balance: String,
    /// `GET /health every 2s`, `tcp every 2s` or `off`.
    pub check: String,
    /// `gunicorn reload, then restart container` or `off`.
    pub heal: String,
    /// How long a request waits for a backend, in milliseconds; 0 is not at all.
    pub hold_ms: u64,
}

impl From<&UpstreamSpec> for SpecSummary {
    fn from(spec: &UpstreamSpec) -> Self {
        let balance = match spec.balance {
            Balance::RoundRobin => "round_robin",
        };
        let check = spec.check.as_ref().map(|check| {
            let asked = match &check.kind {
                CheckKind::Tcp => "tcp".to_owned(),
                CheckKind::Greeting(protocol) => protocol.word().to_owned(),
                CheckKind::Http(page) => format!("{} {}", page.method, page.path),
            };
            let port = check.port.map(|port| format!(" on port {port}")).unwrap_or_default();
            format!("{asked}{port} every {:?}", check.every)
        });
        let heal = spec.heal.as_ref().map(|heal| {
            let steps: Vec<_> = heal.steps.iter().map(ToString::to_string).collect();
            steps.join(", then ")
        });
        Self {
            servers: spec.servers.iter().map(|server| server.address.to_string()).collect(),
            balance: balance.to_owned(),
            check: check.unwrap_or_else(|| "off".to_owned()),
            heal: heal.unwrap_or_else(|| "off".to_owned()),
            hold_ms: millis(spec.hold),
        }
    }
}

/// All backends of an upstream together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PoolState {
    /// Every backend is up.
    Up,
    /// Some are up, some are not.
    Degraded,
    /// None is up.
    Down,
    /// No backend is known: no name resolves.
    Empty,
}

impl PoolState {
    /// The state of a pool with these backends; one that has left does not count.
    pub fn of(backends: &[BackendStatus]) -> Self {
        let there = backends.iter().filter(|backend| backend.state != ShownState::Left);
        let (mut up, mut all) = (0, 0);
        for backend in there {
            all += 1;
            up += usize::from(backend.state == ShownState::Up);
        }
        match (up, all) {
            (_, 0) => Self::Empty,
            (0, _) => Self::Down,
            (up, all) if up == all => Self::Up,
            (_, _) => Self::Degraded,
        }
    }

    /// The word shown.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Degraded => "degraded",
            Self::Down => "down",
            Self::Empty => "empty",
        }
    }
}

/// One backend.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackendStatus {
    /// `172.18.0.4:8000`
    pub address: String,
    /// The container at this address, where Docker or the sidecar has told of it.
    #[serde(default)]
    pub container: Option<String>,
    /// The server it was resolved from: `backend:8000`.
    pub server: String,
    /// Relative to its siblings.
    pub weight: u16,
    /// Used only when no other is up.
    pub backup: bool,
    /// Now.
    pub state: ShownState,
    /// When it came into this state: RFC 3339, UTC.
    pub since: String,
    /// None before the first.
    pub last_check: Option<CheckStatus>,
    /// Why it is in this state: `connection refused`.
    pub cause: Option<String>,
    /// Requests it is answering now.
    pub in_flight: u64,
    /// Sent to it so far.
    pub requests: u64,
    /// Failed so far.
    pub failures: u64,
}

/// The state of a backend.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ShownState {
    /// Not checked yet.
    New,
    /// Gets requests.
    Up,
    /// Its checks fail.
    Down,
    /// Taken out on passive evidence.
    Ejected,
    /// Finishes its requests and gets no new ones.
    Draining,
    /// A heal step is at work.
    Healing,
    /// Gets no new requests while its container is stopped, replaced or paused.
    #[serde(rename = "stopping", alias = "held")]
    Held,
    /// No longer among the addresses of its server.
    Left,
}

impl ShownState {
    /// The word shown.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Up => "up",
            Self::Down => "down",
            Self::Ejected => "ejected",
            Self::Draining => "draining",
            Self::Healing => "healing",
            Self::Held => "stopping",
            Self::Left => "left",
        }
    }
}

/// How the last check of a backend ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckStatus {
    /// RFC 3339, UTC.
    pub at: String,
    /// `passed`, `passed: ` and what a server said that lives but refuses the check, or what went wrong: `status 503`.
    pub result: String,
    /// How long it took.
    pub duration_ms: u64,
}

#[cfg(test)]
#[path = "status_tests.rs"]
pub(crate) mod tests;
