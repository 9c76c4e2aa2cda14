//! Routes: flat, with everything that a request needs which takes them.

use std::fmt;
use std::time::Duration;

use http::uri::PathAndQuery;
use http::{HeaderName, Method};

use crate::types::{ByteSize, HostPattern, IdentityField, Origin, PathPrefix, UpstreamName};

/// One route: all that a request needs which takes it, inherited values included. Nothing is looked up elsewhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// The host as the file writes it; `None` is any host.
    pub host: Option<HostPattern>,
    /// The path as the file writes it, on whole segments.
    pub path: PathPrefix,
    /// What is asked of a request before its content is made, in this order.
    pub gates: Vec<Gate>,
    /// What makes the response.
    pub content: Content,
    /// What is changed in every response, a backend's or the edge's own.
    pub response: ResponseEdits,
    /// Form of the bodies of the edge's own errors. Default `auto`.
    pub errors: ErrorFormat,
    /// Largest request body, 413 beyond, also where its length is not announced. `None` is no limit.
    pub body_limit: Option<ByteSize>,
}

/// What may answer a request before its content does. The order is the route's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Gate {
    /// Preflights are answered by the edge, by the route's [`ResponseEdits::cors`].
    Cors,
    /// An announced body larger than the route's `body_limit` is refused with 413.
    Body,
    /// An upstream allows or refuses the request.
    Auth(AuthSpec),
}

/// What makes the response: a closed set, matched in `plan::Walk`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// A backend of an upstream.
    Proxy(Proxy),
    /// 404: no route of the file takes the request.
    NotFound,
}

/// A request is passed on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proxy {
    /// To one of its backends.
    pub to: UpstreamName,
    /// What is asked for.
    pub uri: UriRule,
}

/// The path a backend is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UriRule {
    /// The one that the client sent, byte for byte.
    AsSent,
    /// Without this prefix.
    Strip(PathPrefix),
}

/// What is changed in responses.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ResponseEdits {
    /// Its headers take the place of the backend's.
    pub cors: Option<CorsSpec>,
}

impl Route {
    /// Where requests go that no route of the file takes.
    pub fn not_found() -> Self {
        Self {
            host: None,
            path: PathPrefix::root(),
            gates: Vec::new(),
            content: Content::NotFound,
            response: ResponseEdits::default(),
            errors: ErrorFormat::Auto,
            body_limit: None,
        }
    }

    /// The upstream it leads to.
    pub fn to(&self) -> Option<&UpstreamName> {
        match &self.content {
            Content::Proxy(proxy) => Some(&proxy.to),
            Content::NotFound => None,
        }
    }

    /// What it asks an auth upstream.
    pub fn auth(&self) -> Option<&AuthSpec> {
        self.gates.iter().find_map(|gate| match gate {
            Gate::Auth(auth) => Some(auth),
            Gate::Cors | Gate::Body => None,
        })
    }
}

impl fmt::Display for Route {
    /// Host and path, as logs and metrics name it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.host {
            Some(host) => write!(f, "{host}{}", self.path),
            None => write!(f, "{}", self.path),
        }
    }
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
