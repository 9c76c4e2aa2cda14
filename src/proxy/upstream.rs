//! Which backend gets the request, and what happens when it cannot be reached or breaks off.

use std::os::fd::RawFd;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use pingora::protocols::http::ServerSession;
use pingora::upstreams::peer::HttpPeer;
use pingora::{Error, ErrorSource, ErrorType, Result};
use pingora_proxy::Session;

use crate::plan::{Next, Outcome};
use crate::upstream::{Failure, NoBackend, failure_of};

use super::context::RequestContext;

/// Claims a backend not tried before; waits for one where the upstream holds requests.
pub(super) async fn choose(session: &mut Session, ctx: &mut RequestContext) -> Result<Box<HttpPeer>> {
    let Some(upstream) = ctx.route.upstream.clone() else {
        return Error::e_explain(ErrorType::InternalError, "no upstream");
    };
    ctx.lease = None;
    ctx.attempts.begin();
    ctx.body.rewind();
    let lease = match upstream.select(ctx.attempts.tried()) {
        Ok(lease) => lease,
        Err(_) => {
            let mut queued_since = None;
            let found = {
                let deadline = upstream.hold_deadline(ctx.start);
                let waiting = upstream.select_or_wait(ctx.attempts.tried_mut(), deadline, &mut queued_since);
                tokio::select! {
                    biased;
                    found = waiting => found,
                    error = left(session) => return Err(error),
                }
            };
            if let Some(since) = queued_since {
                ctx.held += since.elapsed();
            }
            ctx.is_shed = matches!(found, Err(NoBackend::Overloaded));
            found.map_err(|why| no_backend(ctx, why.words()))?
        }
    };
    if !session.is_body_done() {
        lease.mark_not_waiting();
    }
    let mut peer = Box::new(lease.backend().peer().clone());
    if ctx.attempts.needs_new_connection() || !session.req_header().method.is_idempotent() {
        make_fresh(&mut peer);
    }
    ctx.chosen_at = Some(Instant::now());
    ctx.last_backend = Some(lease.backend().address());
    ctx.lease = Some(lease);
    Ok(peer)
}

/// Waits until the client left. Only while nothing more of its body is to come: else that would be read here.
async fn left(session: &mut Session) -> Box<Error> {
    if session.is_body_done()
        && let ServerSession::H1(client) = session.as_downstream_mut()
        && let Err(error) = client.read_body_or_idle(true).await
    {
        return error.into_down();
    }
    std::future::pending().await
}

/// A request that must not be sent twice gets a connection of its own: on a pooled one the backend's close could cross
/// it, and nobody could tell whether it was read (HAProxy's `http-reuse safe` is the same idea).
fn make_fresh(peer: &mut HttpPeer) {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    peer.group_key = NEXT.fetch_add(1, Ordering::Relaxed);
    peer.options.idle_timeout = Some(Duration::ZERO);
}

/// The error for a request nobody takes: what the last backend did, or 503 where none was tried.
fn no_backend(ctx: &RequestContext, why: &'static str) -> Box<Error> {
    let status = match ctx.attempts.last() {
        _ if ctx.is_shed => 503,
        None => 503,
        Some(Failure::Timeout | Failure::ConnectTimeout) => 504,
        Some(_) => 502,
    };
    Error::explain(ErrorType::HTTPStatus(status), why)
}

/// Notes that a connection stands.
pub(super) fn connected(ctx: &mut RequestContext, socket: RawFd, reused: bool) {
    ctx.socket = Some(socket);
    ctx.connect_time = ctx.chosen_at.map(|chosen| chosen.elapsed()).filter(|_| !reused);
}

/// A backend that cannot be reached has seen nothing: any method may go to another.
pub(super) fn not_connected(ctx: &mut RequestContext, mut error: Box<Error>) -> Box<Error> {
    let failure = failure_of(&error);
    let Some((upstream, lease)) = ctx.route.upstream.clone().zip(ctx.lease.take()) else { return error };
    // What is not the backend's doing, such as too many open files here, says nothing about it.
    if failure.is_unreachable() {
        upstream.failed(&lease, failure);
    }
    let (backend, others) = (lease.backend().address(), (&*upstream, ctx.start));
    let next = ctx.attempts.after(Outcome::Failed(failure), backend, &upstream.spec().retry, true, &others);
    error.set_retry(next == Next::Again);
    error
}

/// A backend that broke off: the request may go to another where nothing of the answer is out and repeating it is safe.
pub(super) fn broke(session: &Session, ctx: &mut RequestContext, mut error: Box<Error>, reused: bool) -> Box<Error> {
    error.set_retry(false);
    let Some((upstream, lease)) = ctx.route.upstream.clone().zip(ctx.lease.take()) else { return error };
    if *error.esource() != ErrorSource::Upstream {
        return error;
    }
    let failure = failure_of(&error);
    if let Failure::Status(_) = failure {
        // Decided when its head came.
        error.set_retry(true);
        return error;
    }
    let safe = session.req_header().method.is_idempotent()
        && !session.as_ref().retry_buffer_truncated()
        && session.response_written().is_none();
    // A pooled connection that the backend closed while idle says nothing about its health.
    let is_stale = reused && safe && failure == Failure::Reset;
    if !is_stale {
        upstream.failed(&lease, failure);
    }
    let outcome = if is_stale { Outcome::Stale } else { Outcome::Failed(failure) };
    let (backend, others) = (lease.backend().address(), (&*upstream, ctx.start));
    let next = ctx.attempts.after(outcome, backend, &upstream.spec().retry, safe, &others);
    error.set_retry(next == Next::Again);
    error
}
