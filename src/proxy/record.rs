//! What is written down when a request is over: one access log line, the route's counters, a warning where the edge failed it.

use std::time::{Duration, SystemTime};

use http::header;
use pingora::Error;
use pingora_proxy::Session;

use crate::telemetry::{AccessEntry, AccessLogger, ErrorReason, RouteMetrics};

use super::context::RequestContext;
use super::facts::{client_facts, host};

/// nginx's status for a client that left before its answer; it is logged and never sent.
const CLIENT_LEFT: u16 = 499;

/// Writes the request down and frees its place at the backend.
pub(super) fn finish(
    session: &Session,
    error: Option<&Error>,
    ctx: &mut RequestContext,
    access: &AccessLogger,
    unrouted: &RouteMetrics,
) {
    let sent = session.response_written().filter(|response| !response.status.is_informational());
    let status = sent.map_or(CLIENT_LEFT, |response| response.status.as_u16());
    if status == CLIENT_LEFT {
        ctx.reason.get_or_insert(ErrorReason::ClientAbort);
    }
    let duration = ctx.start.elapsed();
    let metrics = ctx.route.as_ref().map_or(unrouted, |route| &route.metrics);
    metrics.finished(status, duration, session.body_bytes_read() as u64, session.body_bytes_sent() as u64);
    if let Some(reason) = ctx.reason {
        metrics.failed(reason);
    }
    for _ in 1..ctx.attempts.made() {
        metrics.retried();
    }
    if !ctx.held.is_zero() {
        metrics.held();
    }
    if (500..600).contains(&status)
        && let Some(error) = error
    {
        warn(session, error.to_string().trim(), ctx, status);
    }
    if access.is_on() {
        write_line(session, ctx, access, status, duration);
    }
    ctx.lease = None;
}

/// One line a second and route about requests the edge failed; the access log has them all.
fn warn(session: &Session, cause: &str, ctx: &RequestContext, status: u16) {
    let Some(left_out) = ctx.route.as_ref().map_or(Some(0), |route| route.warnings.admit()) else { return };
    let request = session.req_header();
    let reason = ctx.reason.map_or("", ErrorReason::as_str);
    let more = if left_out == 0 { String::new() } else { format!("; {left_out} similar suppressed") };
    let (method, path, id) = (&request.method, request.uri.path(), ctx.request_id());
    log::warn!("{method} {path} failed with {status} ({reason}): {cause}, request {id}{more}");
}

fn write_line(session: &Session, ctx: &RequestContext, access: &AccessLogger, status: u16, duration: Duration) {
    let request = session.req_header();
    let field = |name: &header::HeaderName| request.headers.get(name).map(header::HeaderValue::as_bytes);
    let backend = ctx.last_backend.map(|address| address.to_string());
    let facts = client_facts(session, "");
    access.log(&AccessEntry {
        client: Some(ctx.snapshot.forwarding.client_address(&facts, &request.headers)),
        method: request.method.as_str().as_bytes(),
        target: request.raw_path(),
        version: request.version,
        status,
        body_bytes: session.body_bytes_sent() as u64,
        referer: field(&header::REFERER),
        user_agent: field(&header::USER_AGENT),
        host: Some(host(request).as_bytes()).filter(|host| !host.is_empty()),
        request_id: ctx.request_id.as_ref().map(header::HeaderValue::as_bytes),
        route: ctx.route.as_ref().map(|route| &*route.label),
        upstream: ctx.route.as_ref().map(|route| route.upstream.name().as_str()),
        backend: backend.as_deref(),
        tries: ctx.attempts.made(),
        duration,
        connect: ctx.connect_time,
        first_byte: ctx.answered_at.zip(ctx.chosen_at).map(|(answered, chosen)| answered - chosen),
        held: Some(ctx.held).filter(|held| !held.is_zero()),
        note: ctx.reason.map(ErrorReason::as_str),
        ..AccessEntry::at(SystemTime::now())
    });
}
