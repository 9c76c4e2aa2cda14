//! Which backend gets the request, and what happens when it cannot be reached or breaks off.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use pingora::upstreams::peer::HttpPeer;
use pingora::{Error, ErrorSource, ErrorType, Result};
use pingora_proxy::Session;

use crate::plan;
use crate::upstream::{Failure, NoBackend, Upstream, failure_of};

use super::context::RequestContext;
use super::request::UPGRADED_IDLE;
use super::upgrade::UpgradeConnector;

/// Claims a backend not tried before; waits for one where the upstream holds requests.
pub(super) async fn choose(session: &mut Session, ctx: &mut RequestContext) -> Result<Box<HttpPeer>> {
    let Some(route) = ctx.route.clone() else { return Error::e_explain(ErrorType::InternalError, "no route") };
    let upstream = &route.upstream;
    ctx.lease = None;
    ctx.attempts += 1;
    ctx.body.rewind();
    let lease = match upstream.select(&ctx.tried) {
        Ok(lease) => lease,
        Err(_) => {
            let waited_from = Instant::now();
            let found = upstream.select_or_wait(&mut ctx.tried, upstream.hold_deadline(ctx.start)).await;
            if !upstream.spec().hold.is_zero() {
                ctx.held += waited_from.elapsed();
            }
            ctx.is_shed = matches!(found, Err(NoBackend::Overloaded));
            found.map_err(|why| nobody(ctx, why.words()))?
        }
    };
    if !ctx.is_upgrade && !session.is_body_done() {
        lease.excuse();
    }
    let mut peer = Box::new(lease.backend().peer().clone());
    if ctx.is_upgrade {
        peer.options.read_timeout = Some(UPGRADED_IDLE);
        let timeouts = upstream.spec().timeouts;
        let connector = UpgradeConnector { timeout: timeouts.connect, answer: timeouts.read };
        peer.options.custom_l4 = Some(Arc::new(connector));
    }
    if ctx.is_upgrade || !session.req_header().method.is_idempotent() {
        make_fresh(&mut peer);
    }
    ctx.chosen_at = Some(Instant::now());
    ctx.last_backend = Some(lease.backend().address());
    ctx.lease = Some(lease);
    Ok(peer)
}

/// A request that must not be sent twice gets a connection of its own: on a pooled one the backend's close could cross
/// it, and nobody could tell whether it was read (HAProxy's `http-reuse safe` is the same idea).
pub(super) fn make_fresh(peer: &mut HttpPeer) {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    peer.group_key = NEXT.fetch_add(1, Ordering::Relaxed);
    peer.options.idle_timeout = Some(Duration::ZERO);
}

/// The error for a request nobody takes: what the last backend did, or 503 where none was tried.
fn nobody(ctx: &RequestContext, why: &'static str) -> Box<Error> {
    let status = match ctx.last_failure {
        _ if ctx.is_shed => 503,
        None => 503,
        Some(Failure::Timeout | Failure::ConnectTimeout) => 504,
        Some(_) => 502,
    };
    Error::explain(ErrorType::HTTPStatus(status), why)
}

/// Notes that a connection stands.
pub(super) fn connected(ctx: &mut RequestContext, reused: bool) {
    ctx.connect_time = ctx.chosen_at.map(|chosen| chosen.elapsed()).filter(|_| !reused);
}

/// A backend that cannot be reached has seen nothing: any method may go to another.
pub(super) fn not_connected(ctx: &mut RequestContext, mut error: Box<Error>) -> Box<Error> {
    let failure = failure_of(&error);
    let Some((route, lease)) = ctx.route.clone().zip(ctx.lease.take()) else { return error };
    let upstream = &route.upstream;
    // What is not the backend's doing, such as too many open files here, says nothing about it.
    if failure.is_unreachable() {
        upstream.failed(&lease, failure);
    }
    ctx.tried.push(lease.backend().address());
    ctx.last_failure = Some(failure);
    drop(lease);
    error.set_retry(upstream.spec().retry.on.connect && may_go_on(ctx, upstream));
    error
}

/// A backend that broke off: the request may go to another where nothing of the answer is out and repeating it is safe.
pub(super) fn broke(session: &Session, ctx: &mut RequestContext, mut error: Box<Error>, reused: bool) -> Box<Error> {
    error.set_retry(false);
    let Some((route, lease)) = ctx.route.clone().zip(ctx.lease.take()) else { return error };
    if *error.esource() != ErrorSource::Upstream {
        return error;
    }
    let upstream = &route.upstream;
    let failure = failure_of(&error);
    // A pooled connection that the backend closed while idle says nothing about its health.
    let stale = reused && failure == Failure::Reset;
    if !stale && !matches!(failure, Failure::Status(_)) {
        upstream.failed(&lease, failure);
    }
    ctx.last_failure = Some(failure);
    let wanted = plan::is_wanted(failure, &upstream.spec().retry.on);
    let safe = session.req_header().method.is_idempotent() && !session.as_ref().retry_buffer_truncated();
    let untouched = session.response_written().is_none();
    if !stale {
        ctx.tried.push(lease.backend().address());
    }
    drop(lease);
    // A status that is tried again has been paid for when it was judged.
    let go_on = || matches!(failure, Failure::Status(_)) || may_go_on(ctx, upstream);
    error.set_retry((wanted || stale) && safe && untouched && go_on());
    error
}

/// True while there is someone else to ask and the upstream's retries are not spent.
pub(super) fn may_go_on(ctx: &RequestContext, upstream: &Upstream) -> bool {
    plan::may_go_on(upstream, &ctx.tried, ctx.attempts, ctx.start)
}
