//! Whether a request that failed is tried again. Asked by both lanes.

use std::net::SocketAddr;
use std::time::Instant;

use crate::config::model::RetryOn;
use crate::upstream::{Failure, Lease, Upstream};

/// Methods that may be sent twice (RFC 9110, section 9.2.2).
pub fn is_idempotent(method: &str) -> bool {
    matches!(method, "GET" | "HEAD" | "PUT" | "DELETE" | "OPTIONS" | "TRACE")
}

/// True where the upstream wants this failure tried again.
pub fn is_wanted(failure: Failure, on: &RetryOn) -> bool {
    match failure {
        Failure::Refused | Failure::ConnectTimeout | Failure::ConnectFailed => on.connect,
        Failure::Reset | Failure::BadAnswer => on.reset,
        Failure::Timeout => on.timeout,
        Failure::Status(status) => on.statuses.contains(&status),
    }
}

/// True while there is someone else to ask and the upstream's retries are not spent. `attempts` were made for a
/// request that came at `start`.
pub fn may_go_on(upstream: &Upstream, tried: &[SocketAddr], attempts: u32, start: Instant) -> bool {
    let someone = upstream.has_untried(tried) || Instant::now() < upstream.hold_deadline(start);
    attempts <= upstream.spec().retry.attempts && someone && upstream.budget().withdraw()
}

/// True where a request that waits in a backend goes elsewhere now: the backend was put out because it is sick, another is
/// up and has room, and the upstream's retries are not spent. `attempts` were made. What was sent, if anything was, must be
/// safe to send twice, and nothing of an answer may have been passed on. To leave for a second time is for the caller to
/// forbid.
pub fn may_leave(upstream: &Upstream, lease: &Lease, tried: &[SocketAddr], attempts: u32) -> bool {
    let retry = &upstream.spec().retry;
    lease.is_evicted()
        && retry.on.reset
        && attempts <= retry.attempts
        && upstream.has_refuge(lease, tried)
        && upstream.budget().withdraw()
}
