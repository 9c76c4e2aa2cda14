//! What one request carries through its phases.

use std::net::SocketAddr;
use std::os::fd::RawFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::HeaderValue;

use crate::plan::{Attempts, Walk};
use crate::snapshot::{LiveRoute, Snapshot};
use crate::telemetry::ErrorReason;
use crate::types::ActiveRequest;
use crate::upstream::Lease;

use super::body::RequestBody;
use super::planned::Planned;

/// One request's state. Dropped when its answer is out, which frees its place at the backend.
pub struct RequestContext {
    /// Pinned when the head was read.
    pub(super) snapshot: Arc<Snapshot>,
    pub(super) start: Instant,
    pub(super) route: Arc<LiveRoute>,
    pub(super) walk: Walk,
    pub(super) request_id: Option<HeaderValue>,
    pub(super) lease: Option<Lease>,
    pub(super) attempts: Attempts,
    /// Every backend had more than it could answer.
    pub(super) is_shed: bool,
    pub(super) body: RequestBody,
    pub(super) held: Duration,
    pub(super) chosen_at: Option<Instant>,
    /// Of the backend's connection.
    pub(super) socket: Option<RawFd>,
    pub(super) connect_time: Option<Duration>,
    pub(super) last_backend: Option<SocketAddr>,
    pub(super) answered_at: Option<Instant>,
    /// Why the request failed, for the log.
    pub(super) reason: Option<ErrorReason>,
    _active: ActiveRequest,
}

impl RequestContext {
    pub(super) fn new(planned: Planned, active: ActiveRequest) -> Self {
        let Planned { snapshot, walk, start } = planned;
        Self {
            route: Arc::clone(snapshot.route(walk.route())),
            snapshot,
            walk,
            start,
            request_id: None,
            lease: None,
            attempts: Attempts::default(),
            is_shed: false,
            body: RequestBody::default(),
            held: Duration::ZERO,
            chosen_at: None,
            socket: None,
            connect_time: None,
            last_backend: None,
            answered_at: None,
            reason: None,
            _active: active,
        }
    }

    /// The request id as text; empty before it is known.
    pub(super) fn request_id(&self) -> &str {
        self.request_id.as_ref().and_then(|id| id.to_str().ok()).unwrap_or_default()
    }
}
