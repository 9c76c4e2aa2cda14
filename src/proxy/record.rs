//! What is written down of a request when it is over.

use std::time::SystemTime;

use http::header;
use pingora::Error;
use pingora_proxy::Session;

use crate::plan;
use crate::telemetry::metrics::Lane;
use crate::telemetry::{AccessEntry, AccessLogger, Metrics};

use super::context::RequestContext;
use super::facts::{client_facts, host};

/// Writes the request down and frees its place at the backend.
pub(super) fn finish(
    session: &Session,
    error: Option<&Error>,
    ctx: &mut RequestContext,
    metrics: &Metrics,
    access: &AccessLogger,
) {
    let sent = session.response_written().filter(|response| !response.status.is_informational());
    let request = session.req_header();
    let field = |name: &header::HeaderName| request.headers.get(name).map(header::HeaderValue::as_bytes);
    let facts = client_facts(session, "");
    let backend = ctx.last_backend.map(|address| address.to_string());
    let cause = error.map(ToString::to_string);
    let entry = AccessEntry {
        client: Some(ctx.snapshot.forwarding.client_address(&facts, &request.headers)),
        method: request.method.as_str().as_bytes(),
        target: request.raw_path(),
        version: request.version,
        status: sent.map_or(0, |response| response.status.as_u16()),
        body_bytes: session.body_bytes_sent() as u64,
        referer: field(&header::REFERER),
        user_agent: field(&header::USER_AGENT),
        host: Some(host(request).as_bytes()).filter(|host| !host.is_empty()),
        request_id: ctx.request_id.as_ref().map(header::HeaderValue::as_bytes),
        backend: backend.as_deref(),
        tries: ctx.attempts.made(),
        duration: ctx.start.elapsed(),
        connect: ctx.connect_time,
        first_byte: ctx.answered_at.zip(ctx.chosen_at).map(|(answered, chosen)| answered - chosen),
        held: Some(ctx.held).filter(|held| !held.is_zero()),
        ..AccessEntry::at(SystemTime::now())
    };
    let record = plan::Record {
        entry,
        route: &ctx.route,
        lane: Lane::Full,
        path: request.uri.path(),
        body_in: session.body_bytes_read() as u64,
        reason: ctx.reason,
        cause: cause.as_deref().map(str::trim),
    };
    record.finish(metrics, access);
    ctx.lease = None;
}
