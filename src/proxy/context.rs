//! What one request carries through its phases.

use std::sync::Arc;
use std::time::{Duration, Instant};

use http::HeaderValue;

use crate::snapshot::{Route, Snapshot};
use crate::upstream::{FailureKind, Lease, Tried};

use super::active::ActiveRequest;
use super::body::RequestBody;

/// One request's state. Dropped when its answer is out, which frees its place at the backend.
pub struct RequestContext {
    /// Pinned when the head was read.
    pub(super) snapshot: Arc<Snapshot>,
    pub(super) start: Instant,
    pub(super) route: Option<Arc<Route>>,
    /// The path in normal form where it differs from the one sent and the route strips its prefix.
    pub(super) request_id: Option<HeaderValue>,
    pub(super) lease: Option<Lease>,
    pub(super) tried: Tried,
    pub(super) attempts: u32,
    pub(super) last_failure: Option<FailureKind>,
    pub(super) body: RequestBody,
    pub(super) is_upgrade: bool,
    pub(super) held: Duration,
    pub(super) connected_at: Option<Instant>,
    pub(super) answered_at: Option<Instant>,
    /// Why the edge answered itself, for the log.
    pub(super) note: Option<&'static str>,
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
            body: RequestBody::default(),
            is_upgrade: false,
            held: Duration::ZERO,
            connected_at: None,
            answered_at: None,
            note: None,
            _active: active,
        }
    }

    /// The request id as text; empty before it is known.
    pub(super) fn request_id(&self) -> &str {
        self.request_id.as_ref().and_then(|id| id.to_str().ok()).unwrap_or_default()
    }
}
