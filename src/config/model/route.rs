//! Routes, and the filters a route or an upstream may carry.

use std::time::Duration;

use http::uri::PathAndQuery;
use http::{HeaderName, Method};

use crate::types::{ByteSize, HostPattern, IdentityField, Origin, PathPrefix, UpstreamName};

/// A match and what to do with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RouteSpec {
    /// The host it is for; `None` is any host, tried after those that name one.
    pub host: Option<HostPattern>,
    /// The path it covers, on whole segments; the longest wins.
    pub path: PathPrefix,
    /// Where requests go.
    pub to: UpstreamName,
    /// Remove the route's path from the request before it is passed on. Default false.
    pub strip: bool,
    /// The route's own CORS; else its upstream's.
    pub cors: Option<CorsSpec>,
    /// Form of error bodies. Default `auto`.
    pub errors: ErrorFormat,
    /// Largest request body, 413 beyond; else the process's `limits.body`. 0 is no limit.
    pub body_limit: Option<ByteSize>,
    /// Whom to ask before a request goes on; `None` asks nobody.
    pub auth: Option<AuthSpec>,
}

/// Forward authentication: each request is allowed or refused by an upstream before it goes to the route's own.
///
/// The rules are those of nginx's `auth_request` (<https://nginx.org/en/docs/http/ngx_http_auth_request_module.html>) and
/// Traefik's ForwardAuth (<https://doc.traefik.io/traefik/reference/routing-configuration/http/middlewares/forwardauth/>).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuthSpec {
    /// The upstream that is asked.
    pub to: UpstreamName,
    /// What it is asked for, by GET; with a query where the file has one.
    pub path: PathAndQuery,
    /// Fields of its answer that are set on the request. A client's own are removed, also where the answer has none. Each
    /// once, default none.
    pub pass: Vec<IdentityField>,
    /// How long it may take in all, other backends of it that are tried included. 10 ms to 1 minute, default 5 s.
    pub timeout: Duration,
}

/// Form of the bodies of the edge's own errors.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ErrorFormat {
    /// JSON where the client accepts JSON and not HTML, else HTML.
    #[default]
    Auto,
    /// Always JSON.
    Json,
    /// Always HTML.
    Html,
}

/// Cross-origin resource sharing, as the Fetch standard defines it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CorsSpec {
    /// Who may read answers.
    pub origins: Origins,
    /// Methods a preflight may ask for. Default GET, HEAD, POST, PUT, PATCH, DELETE.
    pub methods: Vec<Method>,
    /// Request headers a preflight may ask for; `None` (default, `"*"` in the file) allows what it asks.
    pub headers: Option<Vec<HeaderName>>,
    /// Response headers a page may read. Default none.
    pub expose: Vec<HeaderName>,
    /// How long a browser may keep a preflight's answer. At most 24 h, default 10 minutes.
    pub max_age: Duration,
}

/// Who may read answers. Credentials with any origin cannot be written down.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origins {
    /// `*`, without credentials.
    Any,
    /// Exactly these; never empty.
    Listed {
        /// Compared to the `Origin` field octet by octet.
        origins: Vec<Origin>,
        /// Send `Access-Control-Allow-Credentials: true`. Default false.
        credentials: bool,
    },
}
