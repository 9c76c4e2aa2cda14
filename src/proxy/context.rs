//! What one request carries through its phases.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::{HeaderName, HeaderValue};

use crate::snapshot::{Route, Snapshot};
use crate::telemetry::ErrorReason;
use crate::types::ActiveRequest;
use crate::upstream::{Failure, Lease, Tried};

use super::body::RequestBody;

/// One request's state. Dropped when its answer is out, which frees its place at the backend.
pub struct RequestContext {
    /// Pinned when the head was read.
    pub(super) snapshot: Arc<Snapshot>,
    pub(super) start: Instant,
    pub(super) route: Option<Arc<Route>>,
    pub(super) request_id: Option<HeaderValue>,
    pub(super) lease: Option<Lease>,
    pub(super) tried: Tried,
    pub(super) attempts: u32,
    pub(super) last_failure: Option<Failure>,
    /// Every backend had more than it could answer.
    pub(super) is_shed: bool,
    pub(super) body: RequestBody,
    pub(super) is_upgrade: bool,
    pub(super) held: Duration,
    pub(super) chosen_at: Option<Instant>,
    pub(super) connect_time: Option<Duration>,
    pub(super) last_backend: Option<SocketAddr>,
    pub(super) answered_at: Option<Instant>,
    /// What the auth upstream said of the client, once it let the request through.
    pub(super) identity: Option<Box<[(HeaderName, HeaderValue)]>>,
    /// Why the request failed, for the log.
    pub(super) reason: Option<ErrorReason>,
    /// The same in more words, where no error of Pingora's has them.
    pub(super) cause: Option<String>,
    _active: ActiveRequest,
}

impl RequestContext {
    pub(super) fn new(snapshot: Arc<Snapshot>, active: ActiveRequest) -> Self {
        Self {
            snapshot,
            start: Instant::now(),
            route: None,
            request_id: None,
            lease: None,
            tried: Tried::new(),
            attempts: 0,
            last_failure: None,
            is_shed: false,
            body: RequestBody::default(),
            is_upgrade: false,
            held: Duration::ZERO,
            chosen_at: None,
            connect_time: None,
            last_backend: None,
            answered_at: None,
            identity: None,
            reason: None,
            cause: None,
            _active: active,
        }
    }

    /// The request id as text; empty before it is known.
    pub(super) fn request_id(&self) -> &str {
        self.request_id.as_ref().and_then(|id| id.to_str().ok()).unwrap_or_default()
    }
}
