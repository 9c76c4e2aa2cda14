//! Forward authentication: an auth upstream is asked about a request before anything of it goes to the route's own.
//!
//! It is asked on the full lane alone: a request with an answer to wait for gains nothing from the fast one.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use http::header::{self, HeaderName, HeaderValue};
use http::{Method, StatusCode};
use pingora::connectors::ConnectorOptions;
use pingora::connectors::http::v1::Connector;
use pingora::http::RequestHeader;
use pingora::protocols::http::v1::client::HttpSession;
use pingora::upstreams::peer::HttpPeer;
use pingora::{Error, ErrorType, Result};
use pingora_proxy::Session;
use tokio::time::timeout_at;

use crate::filter::{Ruling, carried, denial_fields, ruling};
use crate::plan::{self, Denial, Refusal};
use crate::snapshot::Auth;
use crate::upstream::{Failure, Lease, NoBackend, Tried, failure_of};

use super::context::RequestContext;
use super::reply::{deny, refuse};
use super::request::{host, introduce};
use super::upstream::make_fresh;

/// Idle connections to the backends of all auth upstreams; each is closed by its upstream's `timeouts.idle` long before.
const POOLED_CONNECTIONS: usize = 2048;
/// Largest body of a denial that is passed on; a larger one is replaced by the edge's own.
const BODY_MAX: usize = 64 * 1024;
/// How long the rest of an answer that said yes is read, so that its connection can be used again. Nobody needs it.
const REST: Duration = Duration::from_millis(100);

/// The method and target of the request that is asked about, as Traefik's ForwardAuth names them, and as nginx's users
/// set them for `auth_request`. A client's own are replaced.
const FORWARDED_METHOD: HeaderName = HeaderName::from_static("x-forwarded-method");
const FORWARDED_URI: HeaderName = HeaderName::from_static("x-forwarded-uri");
const ORIGINAL_METHOD: HeaderName = HeaderName::from_static("x-original-method");
const ORIGINAL_URI: HeaderName = HeaderName::from_static("x-original-uri");

/// Asks auth upstreams, on connections that are kept. Each worker has its own.
pub(super) struct Asker {
    connections: Connector,
}

/// What an auth upstream said.
enum Answer {
    /// Yes, and this of the client.
    Granted(Box<[(HeaderName, HeaderValue)]>),
    /// No, and this to the client.
    Denied(Denial),
}

/// Why nobody said yes or no.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
enum Silence {
    /// Nobody could be asked.
    #[error("{}", .0.words())]
    Nobody(NoBackend),
    /// The last one asked failed.
    #[error("{0}: {1}")]
    Failed(SocketAddr, Failure),
}

/// How one attempt failed.
struct Broken {
    failure: Failure,
    /// On a connection that had been used before.
    reused: bool,
    /// It says something about the backend.
    blamed: bool,
}

/// Asks whether the request is allowed, where its route has it so; true when it was refused, and answered.
pub(super) async fn refuses(session: &mut Session, ctx: &mut RequestContext, asker: &Asker) -> Result<bool> {
    let Some(route) = ctx.route.as_ref().filter(|route| route.auth.is_some()).cloned() else { return Ok(false) };
    let Some(auth) = &route.auth else { return Ok(false) };
    let question = question(session, ctx, auth)?;
    // Apart, so that requests which ask nobody do not carry its state.
    match Box::pin(asker.ask(auth, &question)).await {
        Ok(Answer::Granted(identity)) => {
            ctx.identity = Some(identity);
            Ok(false)
        }
        // Where a body is left unread, which could be taken for the next request, Pingora closes the connection.
        Ok(Answer::Denied(denial)) => deny(session, ctx, denial).await,
        Err(silence) => {
            ctx.cause = Some(format!("auth upstream {}: {silence}", auth.upstream.name()));
            refuse(session, ctx, silence.refusal()).await
        }
    }
}

/// Replaces what a client says of itself by what the auth upstream said of it.
pub(super) fn identify(request: &mut RequestHeader, ctx: &RequestContext) -> Result<()> {
    let Some(auth) = ctx.route.as_ref().and_then(|route| route.auth.as_ref()) else { return Ok(()) };
    let Some(identity) = &ctx.identity else {
        return Error::e_explain(ErrorType::InternalError, "nobody let this request through");
    };
    for field in &auth.spec.pass {
        request.remove_header(field.name());
    }
    for (name, value) in identity {
        request.append_header(name.clone(), value.clone())?;
    }
    Ok(())
}

/// The head that is sent to the auth upstream.
fn question(session: &Session, ctx: &RequestContext, auth: &Auth) -> Result<RequestHeader> {
    let client = session.req_header();
    let mut question = RequestHeader::build_no_case(Method::GET, b"/", Some(client.headers.len() + 10))?;
    question.set_uri(auth.target.clone());
    let host = host(client);
    question.insert_header(header::HOST, if host.is_empty() { auth.upstream.name().as_str() } else { host })?;
    for (name, value) in carried(&client.headers) {
        question.append_header(name.clone(), value.clone())?;
    }
    introduce(session, &mut question, ctx)?;
    let method = HeaderValue::from_str(client.method.as_str());
    let target = HeaderValue::from_bytes(target(client));
    let unreadable = |_| Error::explain(ErrorType::InvalidHTTPHeader, "the request line");
    let (method, target) = (method.map_err(unreadable)?, target.map_err(unreadable)?);
    question.insert_header(ORIGINAL_METHOD, method.clone())?;
    question.insert_header(FORWARDED_METHOD, method)?;
    question.insert_header(ORIGINAL_URI, target.clone())?;
    question.insert_header(FORWARDED_URI, target)?;
    Ok(question)
}

/// Path and query as the client sent them, without the scheme and host that may stand before them.
fn target(client: &RequestHeader) -> &[u8] {
    let sent = client.raw_path();
    if sent.starts_with(b"/") {
        return sent;
    }
    client.uri.path_and_query().map_or(b"/", |target| target.as_str().as_bytes())
}

impl Silence {
    fn refusal(self) -> Refusal {
        match self {
            Self::Nobody(_) => Refusal::auth_unavailable(),
            Self::Failed(_, failure) => Refusal::auth_failed(failure),
        }
    }
}

impl Asker {
    /// One without connections yet.
    pub fn new() -> Self {
        let mut options = ConnectorOptions::new(POOLED_CONNECTIONS);
        // Backends are spoken to without TLS: else each worker would read all of the system's certificates.
        options.ca_file = Some("/dev/null".to_owned());
        Self { connections: Connector::new(Some(options)) }
    }

    /// Asks one backend after another until one answers, as far as the upstream's `retry` and the route's deadline go.
    async fn ask(&self, auth: &Auth, question: &RequestHeader) -> Result<Answer, Silence> {
        let (start, upstream) = (Instant::now(), &auth.upstream);
        let deadline = start + auth.spec.timeout;
        let (mut tried, mut attempts, mut last, mut stale) = (Tried::new(), 0, None, false);
        upstream.budget().deposit();
        loop {
            let wait = deadline.min(upstream.hold_deadline(start));
            let lease = upstream.select_or_wait(&mut tried, wait).await.map_err(|why| match last {
                Some(last) if why == NoBackend::AllTried => last,
                _ => Silence::Nobody(why),
            })?;
            attempts += 1;
            let (address, began) = (lease.backend().address(), Instant::now());
            let attempt = self.attempt(lease.backend().peer(), question, stale);
            let broken = match timeout_at(deadline.into(), attempt).await {
                Ok(Ok((session, status))) => {
                    upstream.answered(&lease, status.as_u16(), Instant::now());
                    tried.push(address);
                    let is_listed = upstream.spec().retry.on.statuses.contains(&status.as_u16());
                    if !(is_listed
                        && upstream.has_untried(&tried)
                        && plan::may_go_on(upstream, &tried, attempts, start))
                    {
                        let answer = self.hear(session, status, auth, &lease, deadline).await;
                        return answer.ok_or(Silence::Failed(address, Failure::Status(status.as_u16())));
                    }
                    last = Some(Silence::Failed(address, Failure::Status(status.as_u16())));
                    continue;
                }
                Ok(Err(broken)) => broken,
                // The deadline is the route's: who was asked when most of it was gone is not to blame.
                Err(_) => {
                    let blamed = auth.spec.timeout <= began.elapsed() * 2;
                    Broken { failure: Failure::Timeout, reused: false, blamed }
                }
            };
            let failed = Silence::Failed(address, broken.failure);
            last = Some(failed);
            // A pooled connection that the backend closed while idle: nobody was asked yet.
            stale = broken.reused && broken.failure == Failure::Reset;
            if !stale {
                if broken.blamed {
                    upstream.failed(&lease, broken.failure);
                }
                tried.push(address);
            }
            let is_wanted = plan::is_wanted(broken.failure, &upstream.spec().retry.on);
            let goes_on = stale || (is_wanted && plan::may_go_on(upstream, &tried, attempts, start));
            if !goes_on || deadline <= Instant::now() {
                return Err(failed);
            }
        }
    }

    /// Asks one backend; its answer's head is read when this is done. `anew` opens a connection in any case.
    async fn attempt(
        &self,
        peer: &HttpPeer,
        question: &RequestHeader,
        anew: bool,
    ) -> Result<(HttpSession, StatusCode), Broken> {
        let connected = if anew {
            let mut peer = peer.clone();
            make_fresh(&mut peer);
            self.connections.get_http_session(&peer).await
        } else {
            self.connections.get_http_session(peer).await
        };
        let (mut session, reused) = connected.map_err(|error| {
            // What is not the backend's doing, such as too many open files here, says nothing about it.
            let failure = failure_of(&error);
            let blamed = failure.is_unreachable();
            Broken { failure: if blamed { failure } else { Failure::ConnectFailed }, reused: false, blamed }
        })?;
        session.read_timeout = peer.options.read_timeout;
        session.write_timeout = peer.options.write_timeout;
        let broken = |error: Box<Error>| Broken { failure: failure_of(&error), reused, blamed: true };
        session.write_request_header(Box::new(question.clone())).await.map_err(broken)?;
        loop {
            session.read_response().await.map_err(broken)?;
            match session.get_status() {
                Some(StatusCode::SWITCHING_PROTOCOLS) | None => {
                    return Err(Broken { failure: Failure::BadAnswer, reused, blamed: true });
                }
                Some(status) if status.is_informational() => {}
                Some(status) => return Ok((session, status)),
            }
        }
    }

    /// Makes sense of an answer; `None` where it says neither yes nor no.
    async fn hear(
        &self,
        mut session: HttpSession,
        status: StatusCode,
        auth: &Auth,
        lease: &Lease,
        deadline: Instant,
    ) -> Option<Answer> {
        let headers = &session.resp_header()?.headers;
        let answer = match ruling(status, headers.contains_key(header::LOCATION)) {
            Ruling::Neither => return None,
            Ruling::Granted => {
                let names = auth.spec.pass.iter().map(|field| field.name());
                let fields =
                    names.flat_map(|name| headers.get_all(name).iter().map(|value| (name.clone(), value.clone())));
                let identity = fields.collect();
                let until = deadline.min(Instant::now() + REST);
                let _ = timeout_at(until.into(), body(&mut session)).await;
                Answer::Granted(identity)
            }
            Ruling::Denied => {
                let (with_body, without) = (denial_fields(headers, true), denial_fields(headers, false));
                let body = timeout_at(deadline.into(), body(&mut session)).await.ok().flatten();
                Answer::Denied(Denial { status, fields: if body.is_some() { with_body } else { without }, body })
            }
        };
        let (peer, idle) = (lease.backend().peer(), auth.upstream.spec().timeouts.idle);
        if session.is_body_done() && !idle.is_zero() {
            self.connections.release_http_session(session, peer, Some(idle)).await;
        }
        Some(answer)
    }
}

/// The whole body; `None` where it is too large or breaks off.
async fn body(session: &mut HttpSession) -> Option<Bytes> {
    let mut whole = BytesMut::new();
    while let Some(part) = session.read_body_ref().await.ok()? {
        if BODY_MAX < whole.len() + part.len() {
            return None;
        }
        whole.extend_from_slice(part);
    }
    Some(whole.freeze())
}
