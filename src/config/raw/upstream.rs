//! An upstream's maps: its servers, its check, its deadlines, its repair.

use schemars::JsonSchema;
use serde::Deserialize;
use serde_yaml::Value;

use crate::config::schema::form;

/// A named group of servers.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(rename = "Upstream", extend("required" = ["servers"]))]
pub(in crate::config) struct RawUpstream {
    /// Servers as `host:port`; a name may resolve to several addresses.
    #[schemars(with = "form::Servers")]
    pub servers: Option<Value>,
    /// How requests are balanced: `round_robin`.
    #[schemars(with = "form::Balance")]
    pub balance: Option<Value>,
    /// The health check: `tcp` (default), a path such as `/health`, `off`, or the long form.
    #[schemars(with = "form::Check")]
    pub check: Option<Value>,
    /// Upstreams that this one depends on: while one of them is down, no backend of this one is healed,
    /// unless another one of its backends passes the check.
    #[schemars(with = "form::OneOrMany<form::Text>")]
    pub needs: Option<Value>,
    /// Timeouts of requests to the servers.
    #[schemars(with = "RawTimeouts")]
    pub timeouts: Option<Value>,
    /// When a request is retried on another server, or `off`.
    #[schemars(with = "form::Retry")]
    pub retry: Option<Value>,
    /// How long requests are queued while no server is up. Default 10s; 0: 503 at once.
    #[schemars(with = "form::Duration")]
    pub hold: Option<Value>,
    /// CORS for every route to this upstream that has none of its own.
    #[schemars(with = "form::Cors")]
    pub cors: Option<Value>,
    /// How a failing server is healed inside its container: a step, a list of steps, the long form, or `off` (default).
    #[schemars(with = "form::Heal")]
    pub heal: Option<Value>,
    /// Request body that is read before a server is chosen. Default 1MiB; 0 streams from the first byte.
    #[schemars(with = "form::Size")]
    pub request_buffer: Option<Value>,
}

/// A server in its long form.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(rename = "Server", extend("required" = ["address"]))]
pub(in crate::config) struct RawServer {
    /// `host:port`.
    #[schemars(with = "form::Address")]
    pub address: Option<Value>,
    /// Share relative to the other servers, 1 to 1000. Default 1.
    #[schemars(with = "form::Number<1, 1000>")]
    pub weight: Option<Value>,
    /// Used only when no other server is up. Default false.
    #[schemars(with = "form::Flag")]
    pub backup: Option<Value>,
}

/// A health check in its long form. Exactly one of `http`, `tcp`, `mysql`, `postgres` and `redis` says what it asks.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(rename = "CheckLong", extend("oneOf" = form::one_required(&["http", "tcp", "mysql", "postgres", "redis"])))]
pub(in crate::config) struct RawCheck {
    /// Path to request.
    #[schemars(with = "form::Path")]
    pub http: Option<Value>,
    /// `true`: only open a connection; `mysql`, `postgres` or `redis`: the same as these keys.
    #[schemars(with = "form::TcpCheck")]
    pub tcp: Option<Value>,
    /// `true`: wait for the greeting of MySQL or MariaDB.
    #[schemars(with = "form::Flag")]
    pub mysql: Option<Value>,
    /// `true`: wait until PostgreSQL asks for a password or lets in.
    #[schemars(with = "form::Flag")]
    pub postgres: Option<Value>,
    /// `true`: wait for the response of Redis or Valkey to PING.
    #[schemars(with = "form::Flag")]
    pub redis: Option<Value>,
    /// Port to check. Default the server's own.
    #[schemars(with = "form::Number<1, 65535>")]
    pub port: Option<Value>,
    /// Method of the request: GET (default), HEAD, OPTIONS, or POST without a body.
    #[schemars(with = "form::CheckMethod")]
    pub method: Option<Value>,
    /// `Host` header to send. Default the server's own name.
    #[schemars(with = "form::Text")]
    pub host: Option<Value>,
    /// Further headers to send, such as `{ Authorization: "Bearer ${TOKEN}" }`.
    #[schemars(with = "form::Headers")]
    pub headers: Option<Value>,
    /// Statuses that pass, `200` or `200-399`. Default 200-399.
    #[schemars(with = "form::OneOrMany<form::Statuses>")]
    pub expect: Option<Value>,
    /// Pause between two probes, 100ms to 1h. Default 2s.
    #[schemars(with = "form::Duration")]
    pub every: Option<Value>,
    /// Timeout of a probe, 10ms to 1m and not longer than `every`. Default 1s, or `every` where that is shorter.
    #[schemars(with = "form::Duration")]
    pub timeout: Option<Value>,
    /// Failures in a row that take a server down, 1 to 100. Default 3.
    #[schemars(with = "form::Number<1, 100>")]
    pub fall: Option<Value>,
    /// Passes in a row that bring it back, 1 to 100. Default 2.
    #[schemars(with = "form::Number<1, 100>")]
    pub rise: Option<Value>,
}

/// Timeouts of requests to the servers.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(rename = "Timeouts")]
pub(in crate::config) struct RawTimeouts {
    /// To open a connection. Default 2s.
    #[schemars(with = "form::Duration")]
    pub connect: Option<Value>,
    /// Between two reads of a response. Default 60s.
    #[schemars(with = "form::Duration")]
    pub read: Option<Value>,
    /// Between two writes of a request. Default 60s.
    #[schemars(with = "form::Duration")]
    pub write: Option<Value>,
    /// How long an unused connection is kept. Default 1s.
    #[schemars(with = "form::Duration")]
    pub idle: Option<Value>,
}

/// When a request is retried on another server.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(rename = "RetryLong")]
pub(in crate::config) struct RawRetry {
    /// Most retries of a request, 0 to 10. Default 2.
    #[schemars(with = "form::Number<0, 10>")]
    pub attempts: Option<Value>,
    /// What is retried: `connect`, `reset`, `timeout`, and statuses 500 to 599. Default connect and reset.
    #[schemars(with = "form::OneOrMany<form::RetryOn>")]
    pub on: Option<Value>,
    /// Largest share of requests that may be retries. Default 20%.
    #[schemars(with = "form::Percent")]
    pub budget: Option<Value>,
}

/// A heal in its long form.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(rename = "HealLong", extend("required" = ["steps"]))]
pub(in crate::config) struct RawHeal {
    /// Steps, tried in order until the check passes.
    #[schemars(with = "form::OneOrMany<form::Step>")]
    pub steps: Option<Value>,
    /// How long requests in flight may take to finish before a step. Default 5s.
    #[schemars(with = "form::Duration")]
    pub drain: Option<Value>,
    /// How long the check may take to pass after a step. Default 10s.
    #[schemars(with = "form::Duration")]
    pub verify: Option<Value>,
    /// Pause before the same server is healed again. Default 30s.
    #[schemars(with = "form::Duration")]
    pub cooldown: Option<Value>,
    /// Heals allowed in a period, COUNT/PERIOD. Default 3/10m.
    #[schemars(with = "form::Budget")]
    pub budget: Option<Value>,
    /// A server that still serves is not healed when fewer than this many others are up. Default 1.
    #[schemars(with = "form::Number<0, 1000>")]
    pub min_up: Option<Value>,
    /// Timeout of one command. Default 15s.
    #[schemars(with = "form::Duration")]
    pub timeout: Option<Value>,
}

/// One step of a heal, with exactly one key.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(rename = "StepLong", extend("minProperties" = 1, "maxProperties" = 1))]
pub(in crate::config) struct RawStep {
    /// A signal to the container's PID 1: HUP, INT, QUIT, TERM, KILL, USR1, USR2 or WINCH.
    #[schemars(with = "form::Signal")]
    pub signal: Option<Value>,
    /// A command and its arguments as a list; there is no shell.
    #[schemars(with = "form::Argv")]
    pub exec: Option<Value>,
    /// A systemd unit to restart.
    #[schemars(with = "form::Text")]
    pub systemd: Option<Value>,
    /// A supervisor program to restart.
    #[schemars(with = "form::Text")]
    pub supervisor: Option<Value>,
    /// A PM2 app to reload.
    #[schemars(with = "form::Text")]
    pub pm2: Option<Value>,
}
