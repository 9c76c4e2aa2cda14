//! The maps of the file as users write them. What is behind a key is still a value; `check` decides what it means.
//!
//! The fields are the keys: unknown ones are found, and the JSON Schema is made, from these types alone. Their comments
//! are what an editor shows.

mod upstream;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_yaml::Value;

use super::schema::form;

pub(super) use upstream::{RawCheck, RawHeal, RawRetry, RawServer, RawStep, RawTimeouts, RawUpstream};

/// The configuration of Remora, an edge proxy that routes, balances, checks and heals.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(rename = "File", extend("patternProperties" = { "^x-": true }))]
pub(super) struct RawFile {
    /// Routes: a path, a host, or a host and path, and its upstream. The longest path wins.
    #[schemars(with = "form::Routes")]
    pub routes: Option<Value>,
    /// Named groups of servers.
    #[schemars(with = "form::Upstreams")]
    pub upstreams: Option<Value>,
    /// Further files with routes and upstreams; patterns such as `../upstreams/*/upstream.yaml`, relative to this file.
    #[schemars(with = "form::OneOrMany<form::Text>")]
    pub include: Option<Value>,
    /// Where to listen: a port, addresses such as `127.0.0.1:8080` and `[::]:80`, or the long form with TLS. Default 80.
    #[schemars(with = "form::OneOrMany<form::Listen>")]
    pub listen: Option<Value>,
    /// Worker threads, 1 to 256, or `auto` (default): one per core.
    #[schemars(with = "form::AutoOr<1, 256>")]
    pub threads: Option<Value>,
    /// Loopback address for status, metrics and reload, or `off`. Default `127.0.0.1:9901`.
    #[schemars(with = "form::Text")]
    pub admin: Option<Value>,
    /// Address that other containers may read metrics and status from, such as `0.0.0.0:9902`, or `off` (default).
    #[schemars(with = "form::Text")]
    pub metrics: Option<Value>,
    /// What is logged and how.
    #[schemars(with = "RawLog")]
    pub log: Option<Value>,
    /// How to reach the Docker daemon: `auto` (default), `off`, a socket, or a sidecar.
    #[schemars(with = "form::Docker")]
    pub docker: Option<Value>,
    /// Where heals are recorded: `auto` (default), `off`, a file, or the long form.
    #[schemars(with = "form::Journal")]
    pub journal: Option<Value>,
    /// URL to which alerts and heals are posted, in the format of its host: Slack, Discord, else JSON; or the long form.
    #[schemars(with = "form::Alerts")]
    pub alerts: Option<Value>,
    /// Limits for clients.
    #[schemars(with = "RawLimits")]
    pub limits: Option<Value>,
    /// How requests are processed: `auto` (default), or `full`: HTTP/1.1 through Pingora's proxy, for comparison and
    /// troubleshooting.
    #[schemars(with = "form::Lane")]
    pub lane: Option<Value>,
    /// How long requests in flight may take to finish at a stop. Default 8s.
    #[schemars(with = "form::Duration")]
    pub shutdown: Option<Value>,
    /// Networks of proxies in front, whose `X-Forwarded-*` headers are trusted, such as `10.0.0.0/8`. Default none.
    #[schemars(with = "form::OneOrMany<form::Text>")]
    pub trusted_proxies: Option<Value>,
}

/// The keys of an included file.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(rename = "Fragment", extend("patternProperties" = { "^x-": true }))]
pub(super) struct RawFragment {
    /// Routes.
    #[schemars(with = "form::Routes")]
    pub routes: Option<Value>,
    /// Named groups of servers.
    #[schemars(with = "form::Upstreams")]
    pub upstreams: Option<Value>,
}

/// A listener in its long form.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(rename = "ListenLong", extend("required" = ["address"]))]
pub(super) struct RawListen {
    /// A port, or an address such as `127.0.0.1:8443`.
    #[schemars(with = "form::ListenAddress")]
    pub address: Option<Value>,
    /// TLS, which the edge terminates: a certificate and its key, a list of them, or the long form. Default none.
    #[schemars(with = "form::Tls")]
    pub tls: Option<Value>,
}

/// TLS on a listener: one certificate and its key, or several.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(rename = "TlsLong", extend("oneOf" = [{ "required": ["certificate", "key"] }, { "required": ["certificates"] }]))]
pub(super) struct RawTls {
    /// PEM file of the server's own certificate and, after it, those that lead to a root.
    #[schemars(with = "form::Text")]
    pub certificate: Option<Value>,
    /// PEM file of the certificate's key, without a passphrase.
    #[schemars(with = "form::Text")]
    pub key: Option<Value>,
    /// Several, chosen by the host names in them; the first is for all other host names.
    #[schemars(with = "form::OneOrMany<RawCertificate>")]
    pub certificates: Option<Value>,
    /// Minimum TLS version: 1.2 (default) or 1.3.
    #[schemars(with = "form::TlsVersion")]
    pub min: Option<Value>,
}

/// A certificate and its key.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(rename = "Certificate", extend("required" = ["certificate", "key"]))]
pub(super) struct RawCertificate {
    /// PEM file of the server's own certificate and, after it, those that lead to a root.
    #[schemars(with = "form::Text")]
    pub certificate: Option<Value>,
    /// PEM file of the certificate's key, without a passphrase.
    #[schemars(with = "form::Text")]
    pub key: Option<Value>,
}

/// What is logged and how.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(rename = "Log")]
pub(super) struct RawLog {
    /// Access log on standard output: `combined` (default), `json` or `off`; or the long form, with a file of its own.
    #[schemars(with = "form::AccessLog")]
    pub access: Option<Value>,
    /// Level of the error log on standard error: `error`, `warn`, `info` (default), `debug`, `trace` or `off`.
    #[schemars(with = "form::Level")]
    pub level: Option<Value>,
}

/// The access log: its format, and a file of its own.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(rename = "AccessLogLong")]
pub(super) struct RawAccessLog {
    /// Format of a line: `combined` (default), `json` or `off`.
    #[schemars(with = "form::AccessForm")]
    pub format: Option<Value>,
    /// Absolute path of the file to append to. SIGUSR1 opens it again after a log rotation. Default standard output.
    #[schemars(with = "form::Text")]
    pub file: Option<Value>,
    /// Whether a combined line ends with the request's id, in quotes. Default `false`; JSON lines always have it.
    #[schemars(with = "form::Flag")]
    pub request_id: Option<Value>,
}

/// Where heals are recorded.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(rename = "JournalLong")]
pub(super) struct RawJournal {
    /// `auto` (default: `/var/lib/remora/heals.jsonl`, if that folder exists), `off`, or an absolute path.
    #[schemars(with = "form::Text")]
    pub file: Option<Value>,
    /// The older name of `alerts:` at the top.
    #[schemars(with = "form::Text")]
    pub webhook: Option<Value>,
}

/// Where alerts and heals are posted, and in which format.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(rename = "AlertsLong", extend("required" = ["webhook"]))]
pub(super) struct RawAlerts {
    /// URL of the webhook, `http:` or `https:`.
    #[schemars(with = "form::Text")]
    pub webhook: Option<Value>,
    /// `json`, `slack` or `discord`. Default: what the URL's host takes.
    #[schemars(with = "form::AlertFormat")]
    pub format: Option<Value>,
}

/// How to reach the Docker daemon: by its socket, or through a sidecar.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(rename = "DockerSocket", extend("anyOf" = [{ "required": ["socket"] }, { "required": ["sidecar"] }]))]
pub(super) struct RawDocker {
    /// Path of the daemon's socket; with `sidecar`, the one that the sidecar uses. Default `DOCKER_HOST`, else
    /// `/var/run/docker.sock`.
    #[schemars(with = "form::Text")]
    pub socket: Option<Value>,
    /// Path of the socket of `remora sidecar`, which holds the Docker socket instead of the edge.
    #[schemars(with = "form::Text")]
    pub sidecar: Option<Value>,
}

/// Limits for clients.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(rename = "Limits")]
pub(super) struct RawLimits {
    /// Largest request body; 413 beyond. Default 10MiB; 0 = unlimited.
    #[schemars(with = "form::Size")]
    pub body: Option<Value>,
    /// How long a client's idle connection is kept. Default 75s.
    #[schemars(with = "form::Duration")]
    pub keepalive: Option<Value>,
    /// Largest pause between two reads of a request, or two writes of a response. Default 60s.
    #[schemars(with = "form::Duration")]
    pub client_timeout: Option<Value>,
    /// Timeout of a whole request head from its first byte; also of a TLS handshake. 100ms to 1h, default 20s.
    #[schemars(with = "form::Duration")]
    pub header_timeout: Option<Value>,
    /// Largest request line and headers together, 1KiB to 60KiB; 431 beyond. Default 32KiB.
    #[schemars(with = "form::Size")]
    pub header_size: Option<Value>,
    /// Most headers of a request, 10 to 256; 431 beyond. Default 100.
    #[schemars(with = "form::Number<10, 256>")]
    pub headers: Option<Value>,
    /// Largest request target, 256B to `header_size`; 414 beyond. Default 8KiB.
    #[schemars(with = "form::Size")]
    pub uri: Option<Value>,
    /// Least bytes per second of a request body and of a response, after 5s. Default 240B; 0 = no limit.
    #[schemars(with = "form::Size")]
    pub min_rate: Option<Value>,
    /// Most requests on one connection. Default 10000; 0 = unlimited.
    #[schemars(with = "form::Number<0, 1_000_000_000>")]
    pub requests: Option<Value>,
    /// Age after which a client's connection is closed at the end of a request. Default 1h; 0 = unlimited.
    #[schemars(with = "form::Duration")]
    pub lifetime: Option<Value>,
    /// Most client connections at a time, 1 to 1000000, or `auto` (default): what the open-file limit allows.
    #[schemars(with = "form::AutoOr<1, 1_000_000>")]
    pub connections: Option<Value>,
    /// Most connections of one client address at a time, or `auto` (default): half of `connections`.
    #[schemars(with = "form::AutoOr<1, 1_000_000>")]
    pub connections_per_client: Option<Value>,
}

/// A route in its long form.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(rename = "Route", extend("required" = ["to"]))]
pub(super) struct RawRoute {
    /// Host it matches, `app.example.com` or `*.example.com`; only in a list of routes. Default any.
    #[schemars(with = "form::Text")]
    pub host: Option<Value>,
    /// Path it matches, on whole segments; only in a list of routes. Default `/`.
    #[schemars(with = "form::Text")]
    pub path: Option<Value>,
    /// Upstream that requests go to.
    #[schemars(with = "form::Text")]
    pub to: Option<Value>,
    /// Remove the route's path before the request is passed on. Default false.
    #[schemars(with = "form::Flag")]
    pub strip: Option<Value>,
    /// The route's own CORS. Default the upstream's.
    #[schemars(with = "form::Cors")]
    pub cors: Option<Value>,
    /// Format of error bodies: `auto` (default; JSON where the client asks for it), `json` or `html`.
    #[schemars(with = "form::Errors")]
    pub errors: Option<Value>,
    /// The route's own limits.
    #[schemars(with = "RawRouteLimits")]
    pub limits: Option<Value>,
    /// The upstream that allows or refuses each request. Default none.
    #[schemars(with = "RawAuth")]
    pub auth: Option<Value>,
}

/// An upstream that allows or refuses each request of a route: 2xx allows it, 401, 403 and a redirect go to the client.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(rename = "Auth", extend("required" = ["to", "path"]))]
pub(super) struct RawAuth {
    /// The auth upstream.
    #[schemars(with = "form::Text")]
    pub to: Option<Value>,
    /// Absolute path that is requested from it by GET; may have a query.
    #[schemars(with = "form::Path")]
    pub path: Option<Value>,
    /// Headers of its response that are set on the request, such as `X-User-Id`; a client's own are removed. Default none.
    #[schemars(with = "form::OneOrMany<form::Text>")]
    pub pass: Option<Value>,
    /// Timeout of the whole check, 10ms to 1m. Default 5s.
    #[schemars(with = "form::Duration")]
    pub timeout: Option<Value>,
}

/// A route's own limits.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(rename = "RouteLimits")]
pub(super) struct RawRouteLimits {
    /// Largest request body; 413 beyond; 0 = unlimited.
    #[schemars(with = "form::Size")]
    pub body: Option<Value>,
}

/// Cross-origin resource sharing in its long form.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(rename = "CorsLong", extend("required" = ["origins"]))]
pub(super) struct RawCors {
    /// Origins that may read responses, such as `https://app.example.com`, or `*`.
    #[schemars(with = "form::OneOrMany<form::Text>")]
    pub origins: Option<Value>,
    /// Methods a page may use. Default GET, HEAD, POST, PUT, PATCH, DELETE.
    #[schemars(with = "form::OneOrMany<form::Text>")]
    pub methods: Option<Value>,
    /// Request headers a page may send, or `*` (default): any that it asks for.
    #[schemars(with = "form::OneOrMany<form::Text>")]
    pub headers: Option<Value>,
    /// Response headers a page may read. Default none.
    #[schemars(with = "form::OneOrMany<form::Text>")]
    pub expose: Option<Value>,
    /// Allow cookies and other credentials; never with `*`. Default false.
    #[schemars(with = "form::Flag")]
    pub credentials: Option<Value>,
    /// How long a browser may keep a preflight's response. Default 10m.
    #[schemars(with = "form::Duration")]
    pub max_age: Option<Value>,
}
