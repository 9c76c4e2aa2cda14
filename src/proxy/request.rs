//! From the head as the client sent it to the head the backend gets.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use http::header::{self, HeaderName, HeaderValue};
use http::{Method, StatusCode, Version};
use pingora::http::RequestHeader;
use pingora::{Error, ErrorType, Result};
use pingora_proxy::Session;
use tokio::sync::Semaphore;

use crate::filter::{ClientFacts, Forwarding, is_request_id};
use crate::routing::normal_path;
use crate::telemetry::ErrorReason;

use super::EdgeSettings;
use super::body;
use super::context::RequestContext;
use super::reply::{Refusal, refuse, send_preflight};

/// How long a WebSocket may be silent in both directions.
pub(super) const UPGRADED_IDLE: Duration = Duration::from_secs(3600);
/// How long what a client still sends is read after an answer that did not wait for it.
const DRAIN_LIMIT: Duration = Duration::from_secs(5);

/// Sets what Pingora leaves without a limit, for every request anew: it carries the last one's over.
pub(super) fn set_deadlines(session: &mut Session, ctx: &mut RequestContext, settings: &EdgeSettings) {
    let asked = session.get_header(header::UPGRADE);
    let websocket = asked.is_some_and(|protocol| protocol.as_bytes().eq_ignore_ascii_case(b"websocket"));
    ctx.is_upgrade = websocket && session.is_upgrade_req();
    let idle = if ctx.is_upgrade { UPGRADED_IDLE } else { settings.client_timeout };
    session.set_read_timeout(Some(idle));
    session.set_write_timeout(Some(settings.client_timeout));
    session.set_total_drain_timeout(Some(DRAIN_LIMIT));
    if session.is_process_shutting_down() {
        session.set_keepalive(None);
    } else if session.get_keepalive().is_some() {
        session.set_keepalive(Some(settings.keepalive.as_secs().max(1)));
    }
}

/// Finds the route, answers what the edge answers itself (true: answered), and takes in a small body.
pub(super) async fn admit(
    session: &mut Session,
    ctx: &mut RequestContext,
    settings: &EdgeSettings,
    buffers: &Arc<Semaphore>,
) -> Result<bool> {
    ctx.request_id = Some(request_id(session.req_header()));
    if let Err(refusal) = find_route(session.req_header(), ctx) {
        return refuse(session, ctx, refusal).await;
    }
    if send_preflight(session, ctx).await? {
        return Ok(true);
    }
    let limit = ctx.route.as_ref().and_then(|route| route.spec.body_limit).map_or(settings.body_limit, |size| size.0);
    ctx.body.limit = (limit != 0).then_some(limit);
    if ctx.body.limit.is_some_and(|limit| content_length(session.req_header()).is_some_and(|length| limit < length)) {
        return refuse(session, ctx, too_large()).await;
    }
    if let Some(route) = &ctx.route {
        route.upstream.budget().deposit();
    }
    body::take_in(session, ctx, buffers, settings.client_timeout).await?;
    Ok(false)
}

fn too_large() -> Refusal {
    Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, "the request body is too large", ErrorReason::TooLarge)
}

fn bad_request(detail: &'static str) -> Refusal {
    Refusal::new(StatusCode::BAD_REQUEST, detail, ErrorReason::BadRequest)
}

fn find_route(request: &RequestHeader, ctx: &mut RequestContext) -> Result<(), Refusal> {
    if request.method == Method::TRACE {
        return Err(Refusal::new(StatusCode::METHOD_NOT_ALLOWED, "TRACE is not allowed", ErrorReason::BadRequest));
    }
    let host = host(request);
    if host.is_empty() && request.version >= Version::HTTP_11 {
        return Err(bad_request("the request names no host"));
    }
    let path = request.uri.path();
    let path = if path == "*" && request.method == Method::OPTIONS { "/" } else { path };
    let path = normal_path(path).map_err(|_| bad_request("the path can be read in two ways"))?;
    match ctx.snapshot.routes.find(host, &path) {
        Some(route) => {
            ctx.route = Some(Arc::clone(route));
            Ok(())
        }
        None => Err(Refusal::new(StatusCode::NOT_FOUND, "no route leads there", ErrorReason::NoRoute)),
    }
}

/// The host the client asked for: `Host`, or `:authority` in HTTP/2.
pub(super) fn host(request: &RequestHeader) -> &str {
    let field = request.headers.get(header::HOST).and_then(|host| host.to_str().ok());
    field.or_else(|| request.uri.authority().map(http::uri::Authority::as_str)).unwrap_or_default()
}

/// What the connection says about the client.
pub(super) fn client_facts(session: &Session) -> ClientFacts<'_> {
    let client = session.client_addr().and_then(|address| address.as_inet()).map(SocketAddr::ip);
    let address = client.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
    ClientFacts { address, scheme: "http", host: host(session.req_header()) }
}

/// The declared length of the body.
pub(super) fn content_length(request: &RequestHeader) -> Option<u64> {
    request.headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.trim().parse().ok()
}

/// The client's own request id where it is plain, else 32 random hex digits as nginx's `$request_id`.
fn request_id(request: &RequestHeader) -> HeaderValue {
    match request.headers.get(REQUEST_ID) {
        Some(own) if is_request_id(own.as_bytes()) => own.clone(),
        _ => {
            let id = format!("{:016x}{:016x}", fastrand::u64(..), fastrand::u64(..));
            HeaderValue::try_from(id).unwrap_or_else(|_| HeaderValue::from_static("-"))
        }
    }
}

/// The field a request id travels in.
pub(super) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Makes the client's head the backend's: path, forwarded fields, one `Cookie`, no field that could be taken for another.
/// Pingora has already removed the hop-by-hop fields.
pub(super) fn prepare(session: &Session, request: &mut RequestHeader, ctx: &mut RequestContext) -> Result<()> {
    let original = session.req_header();
    let facts = client_facts(session);
    drop_ambiguous(request);
    if !ctx.snapshot.forwarding.trusts(facts.address) {
        for name in Forwarding::owned() {
            request.remove_header(&name);
        }
    }
    let mut failed = None;
    ctx.snapshot.forwarding.apply(&facts, &original.headers, &mut |name, value| {
        failed = request.insert_header(name, value).err().or(failed.take());
    });
    if let Some(error) = failed {
        return Err(error);
    }
    if let Some(id) = &ctx.request_id {
        request.insert_header(REQUEST_ID, id.clone())?;
    }
    if ctx.body.expectation_met {
        request.remove_header(&header::EXPECT);
    }
    if session.is_http2() {
        join_cookies(request)?;
    }
    strip(request, ctx)
}

/// Fields with `_` in their names: WSGI and CGI read `X_Forwarded_For` as `X-Forwarded-For`; nginx drops them too.
fn drop_ambiguous(request: &mut RequestHeader) {
    let ambiguous = |name: &&HeaderName| name.as_str().contains('_');
    let names: Vec<HeaderName> = request.headers.keys().filter(ambiguous).cloned().collect();
    for name in names {
        request.remove_header(&name);
    }
}

/// HTTP/2 clients may split cookies into several fields; HTTP/1.1 backends must see one (RFC 9113, section 8.2.3).
fn join_cookies(request: &mut RequestHeader) -> Result<()> {
    let crumbs: Vec<&[u8]> = request.headers.get_all(header::COOKIE).iter().map(HeaderValue::as_bytes).collect();
    if crumbs.len() < 2 {
        return Ok(());
    }
    let joined = HeaderValue::from_bytes(&crumbs.join(&b"; "[..]));
    let joined = joined.map_err(|_| Error::explain(ErrorType::InvalidHTTPHeader, "cookie"))?;
    request.insert_header(header::COOKIE, joined)
}

/// Removes the route's own path, where it says `strip`. What is left starts with `/`.
fn strip(request: &mut RequestHeader, ctx: &RequestContext) -> Result<()> {
    let Some(route) = ctx.route.as_ref().filter(|route| route.spec.strip && !route.spec.path.is_root()) else {
        return Ok(());
    };
    let sent = request.uri.path();
    let left = match route.spec.path.rest(sent) {
        // As sent, where nothing in it is escaped or doubled in a way that hides the prefix.
        Some(rest) => rest.to_owned(),
        None => {
            let normal = normal_path(sent).map_err(|_| Error::new(ErrorType::HTTPStatus(400)))?;
            escaped(route.spec.path.rest(&normal).unwrap_or("/"))
        }
    };
    let slash = if left.starts_with('/') { "" } else { "/" };
    let query = request.uri.query().map(|query| format!("?{query}")).unwrap_or_default();
    request.set_raw_path(format!("{slash}{left}{query}").as_bytes())
}

/// A decoded path, safe to send: everything but unreserved characters and `/` escaped.
fn escaped(path: &str) -> String {
    const KEPT: percent_encoding::AsciiSet =
        percent_encoding::NON_ALPHANUMERIC.remove(b'/').remove(b'-').remove(b'.').remove(b'_').remove(b'~');
    percent_encoding::utf8_percent_encode(path, &KEPT).to_string()
}
